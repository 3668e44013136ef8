//! A file without a name, for what memory has no room for.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells the files of one process apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// It.
#[derive(Debug)]
pub(super) struct Spill {
    /// Where it is.
    dir: PathBuf,
    /// The file.
    file: File,
    /// How many octets it has.
    length: u64,
}

impl Spill {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// Complete with where it would be, if none can be made there.
    pub(super) fn new(dir: &Path) -> Result<Self, String> {
        let file = open(dir).map_err(|error| told(dir, &error))?;
        Ok(Self {
            dir: dir.to_owned(),
            file,
            length: 0,
        })
    }

    /// How many octets it has.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Appends octets, and tells where they are.
    ///
    /// # Errors
    ///
    /// When there is no room for them, most likely; says where.
    pub(super) fn append(&mut self, octets: &[u8]) -> Result<u64, String> {
        let at = self.length;
        let written = self.file.write_all_at(octets, at);
        written.map_err(|error| told(&self.dir, &error))?;
        self.length += octets.len() as u64;
        Ok(at)
    }

    /// Fills a buffer with the octets from a place on.
    ///
    /// # Errors
    ///
    /// When they cannot be read; says from where.
    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), String> {
        let read = self.file.read_exact_at(buffer, at);
        read.map_err(|error| told(&self.dir, &error))
    }
}

/// Opens a file and takes its name away.
fn open(dir: &Path) -> io::Result<File> {
    let dir = match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    };
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!(".weir-{}-{number}.spill", process::id()));
        let mut options = File::options();
        match options.read(true).write(true).create_new(true).open(&path) {
            // Left by a process of the same number that was killed in between.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                fs::remove_file(&path)?;
                return Ok(file);
            }
        }
    }
}

/// Words an error.
fn told(dir: &Path, error: &io::Error) -> String {
    format!(
        "{}: a temporary file for what `compile_memory` has no room for fails ({error}); make room \
         there, or raise `compile_memory` in [register]",
        dir.display()
    )
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_no_name_and_keeps_what_it_gets() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(spill.append(b"one").unwrap(), 0);
        assert_eq!(spill.append(b"three").unwrap(), 3);
        let mut buffer = [0; 5];
        spill.read(&mut buffer, 3).unwrap();
        assert_eq!(buffer, *b"three");
        assert!(spill.read(&mut buffer, 4).is_err());
        let told = Spill::new(&dir.path().join("no")).unwrap_err();
        assert!(
            told.contains("no: a temporary file") && told.contains("compile_memory"),
            "{told}"
        );
    }
}
