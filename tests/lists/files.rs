//! Files, compressed or not, and the patterns that find them.

use super::*;

/// The text as a gzip file.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// The text as a Zstandard file.
fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A list of `count` devices from `first` on.
fn devices(first: u64, count: u64) -> String {
    let rows = (first..first + count).map(|device| format!("{device:014}\n"));
    std::iter::once("imei\n".to_owned()).chain(rows).collect()
}

/// Loads the list `path` of blacklisted rules from `dir`.
fn load_path(dir: &TempDir, path: &str) -> Result<Loaded, LoadError> {
    let text = format!("[[list]]\nname = \"l\"\nstatus = \"black\"\npath = {path}");
    load(&config(dir.path(), &text))
}

#[test]
fn compressed_files_are_read_with_all_their_parts() {
    let (one, two) = (devices(0, 30_000), "00009900000000\n");
    let joined = |pack: fn(&[u8]) -> Vec<u8>| [pack(one.as_bytes()), pack(two.as_bytes())].concat();
    let dir = directory(&[("a.csv.gz", &joined(gzip)), ("b.csv.zst", &joined(zstd))]);
    for path in ["\"a.csv.gz\"", "\"b.csv.zst\""] {
        let loaded = load_path(&dir, path).unwrap();
        assert_eq!(loaded.report.entries(), 30_001, "{path}");
        assert_eq!(
            loaded.report.lists[0].files[0].bytes,
            (one.len() + two.len()) as u64
        );
        for device in ["00000000000000", "00000000029999", "00009900000000"] {
            assert_eq!(outcome(&loaded.rulebook, device), BLACK, "{path} {device}");
        }
    }
}

#[test]
fn damaged_and_misnamed_compressed_files_are_refused() {
    let text = devices(0, 5000);
    let (gz, zst) = (gzip(text.as_bytes()), zstd(text.as_bytes()));
    let mut flipped = gz.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let dir = directory(&[
        ("cut.csv.gz", &gz[..gz.len() - 5]),
        ("cut.csv.zst", &zst[..zst.len() - 5]),
        ("flipped.csv.gz", &flipped),
        ("text.csv.gz", text.as_bytes()),
        ("text.csv.zst", text.as_bytes()),
        ("gzip.csv", &gz),
        ("zstd.csv", &zst),
        ("empty.csv.gz", b""),
    ]);
    for (path, fragment) in [
        ("cut.csv.gz", "is cut short"),
        ("cut.csv.zst", "is cut short"),
        ("flipped.csv.gz", "is damaged"),
        ("text.csv.gz", "is named .gz, but holds no gzip data"),
        ("text.csv.zst", "is named .zst, but holds no Zstandard data"),
        ("gzip.csv", "name it .gz"),
        ("zstd.csv", "name it .zst"),
        ("empty.csv.gz", "is empty"),
        ("missing.csv", "no such file"),
        (".", "is a directory"),
    ] {
        let report = refused(load_path(&dir, &format!("\"{path}\"")));
        let faults = &report.lists[0].faults;
        assert!(faults[0].contains(fragment), "{path}: {report:?}");
        assert!(faults[0].contains(path), "{path}: {report:?}");
    }
}

#[test]
fn patterns_find_files_in_order_and_leave_unfinished_ones_alone() {
    let dir = directory(&[
        ("g/b.csv", b"imei\n00000000000002\n"),
        ("g/a.csv", b"imei\n00000000000001\n"),
        ("g/.a.csv.Xyz", b"half"),
        ("g/.c.csv", b"half"),
        ("g/deep/c.csv", b"imei\n00000000000003\n"),
        ("g/note.txt", b"no list"),
    ]);
    let files = |path: &str| {
        let loaded = load_path(&dir, path).unwrap();
        let files = loaded.report.lists[0].files.iter();
        let names = files.map(|file| file.path.rsplit('/').next().unwrap().to_owned());
        (
            names.collect::<Vec<_>>(),
            loaded.report.lists[0].warnings.len(),
        )
    };
    assert_eq!(
        files("\"g/*.csv\""),
        (vec!["a.csv".to_owned(), "b.csv".to_owned()], 0)
    );
    let all = vec!["a.csv".to_owned(), "b.csv".to_owned(), "c.csv".to_owned()];
    assert_eq!(files("\"g/**/*.csv\""), (all, 0));
    let each_once = vec!["b.csv".to_owned(), "a.csv".to_owned()];
    assert_eq!(files("[\"g/b.csv\", \"g/*.csv\"]"), (each_once, 0));
    assert_eq!(files("\"h/*.csv\""), (vec![], 1));
}

#[test]
fn one_bad_list_refuses_all() {
    let dir = directory(&[
        ("good.csv", b"imei\n490154203237518\n"),
        ("bad.csv", b"imei\nx\n"),
    ]);
    let text = "[[list]]\nname = \"good\"\nstatus = \"black\"\npath = \"good.csv\"\n\
                [[list]]\nname = \"bad\"\nstatus = \"black\"\npath = \"bad.csv\"\n";
    let error = load(&config(dir.path(), text)).unwrap_err().to_string();
    assert!(
        error.contains("bad.csv:2:1: imei: `x` is no IMEI"),
        "{error}"
    );
    assert!(
        error.contains("list bad is refused: 1 bad line, allowed are 0"),
        "{error}"
    );
    assert!(!error.contains("list good"), "{error}");
}

#[test]
fn directories_to_watch_are_those_before_the_first_wildcard() {
    let config = config(
        Path::new("/l"),
        "[[list]]\nname = \"a\"\nstatus = \"black\"\npath = [\"gsma/*.csv\", \"gsma/old/x.csv\"]\n\
         [[binding]]\npath = \"iot/*/b.csv\"\n",
    );
    assert_eq!(
        watched_dirs(&config),
        [Path::new("/l/gsma"), Path::new("/l/iot")]
    );
}
