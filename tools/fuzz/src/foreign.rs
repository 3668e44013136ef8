//! What holds for a list in any format: it is loaded or refused with an error
//! that can be printed, never a panic; and the same bytes give the same
//! register, whether they come plain or compressed.

use std::path::PathBuf;
use std::sync::LazyLock;

use weir::config::{Config, ListFormat};
use weir::equipment::Counts;

/// A directory of this process's own: lists are read from files.
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    parent.join(format!("weir-fuzz-{}", std::process::id()))
});

/// Loads files as a list or, if the format is for those, as bindings.
///
/// # Panics
///
/// When something does not hold: that is the finding.
pub fn load(format: ListFormat, files: &[(&str, &[u8])]) {
    for table in format.tables() {
        let keys = match *table {
            "list" => "name = \"fuzz\"\nstatus = \"blacklisted\"",
            _ => "name = \"fuzz\"",
        };
        let first = count(table, keys, format, files);
        assert_eq!(
            first,
            count(table, keys, format, files),
            "not the same twice"
        );
        if format == ListFormat::Csv {
            continue;
        }
        let packed: Vec<(String, Vec<u8>)> = (files.iter())
            .map(|(name, bytes)| (format!("{name}.zst"), stored(bytes)))
            .collect();
        let packed: Vec<(&str, &[u8])> = (packed.iter())
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
            .collect();
        // An empty frame is a list that is empty, not no file at all.
        if files.iter().all(|(_, bytes)| is_plain(bytes)) {
            assert_eq!(
                first,
                count(table, keys, format, &packed),
                "not the same packed"
            );
        }
    }
}

/// Loads a file of TACs.
///
/// # Panics
///
/// As [`load`].
pub fn models(format: ListFormat, bytes: &[u8]) {
    let first = count("tac", "", format, &[("tac.txt", bytes)]);
    assert_eq!(first, count("tac", "", format, &[("tac.txt", bytes)]));
}

/// What a configuration with one table loads.
fn count(table: &str, keys: &str, format: ListFormat, files: &[(&str, &[u8])]) -> Option<Counts> {
    let directory = &*DIRECTORY;
    // libFuzzer ends without a farewell, so nothing is left between two runs.
    let _ = std::fs::remove_dir_all(directory);
    std::fs::create_dir_all(directory).expect("the directory can be made");
    for (name, bytes) in files {
        std::fs::write(directory.join(name), bytes).expect("the file can be written");
    }
    let text = format!(
        "[[{table}]]\n{keys}\npath = \"*\"\nformat = \"{format}\"\nmax_bad_lines = 1000000\n"
    );
    let path = PathBuf::from("fuzz.toml");
    let mut config = Config::parse(&text, &path).expect("the configuration is right");
    config.register.lists_dir.clone_from(directory);
    let result = match weir::load::load(&config) {
        Ok(loaded) => {
            assert!(!loaded.report.to_string().is_empty());
            Some(loaded.rulebook.snapshot().counts())
        }
        Err(error) => {
            assert!(!error.to_string().trim().is_empty());
            None
        }
    };
    let _ = std::fs::remove_dir_all(directory);
    result
}

/// Whether bytes are taken as they are: no file of a compressed format.
fn is_plain(bytes: &[u8]) -> bool {
    let compressed: [&[u8]; 3] = [b"\x1F\x8B", b"\x28\xB5\x2F\xFD", b"PK\x03\x04"];
    let skippable = matches!(bytes, [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..]);
    !skippable && !compressed.iter().any(|magic| bytes.starts_with(magic))
}

/// A Zstandard frame of these bytes, uncompressed (RFC 8878 clause 3.1.1): a
/// header without length and checksum, one raw block.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut frame = b"\x28\xB5\x2F\xFD\x00\x58".to_vec();
    let header = (bytes.len() as u32) << 3 | 1;
    frame.extend_from_slice(&header.to_le_bytes()[..3]);
    frame.extend_from_slice(bytes);
    frame
}
