//! The few things that a journal asks of a directory, so that tests can let
//! each of them fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Only the owner reads and writes what names subscribers.
const MODE: u32 = 0o600;

/// A directory with a few files.
pub trait Disk: Send {
    /// The names of the files.
    ///
    /// # Errors
    ///
    /// As the system has it; likewise of all others.
    fn list(&self) -> io::Result<Vec<String>>;
    /// All octets of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Makes a file without octets; one that is there is emptied.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Appends octets to a file.
    fn append(&mut self, name: &str, octets: &[u8]) -> io::Result<()>;
    /// Takes off all octets of a file behind so many.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;
    /// Waits until all octets of a file are on the disk.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Gives a file another name, instead of one that has it.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Waits until all names are on the disk.
    fn sync_names(&mut self) -> io::Result<()>;
}

/// A directory of the system.
#[derive(Debug)]
pub struct Directory {
    /// Where it is.
    path: PathBuf,
    /// The file that was written to last, which is written to next.
    open: Option<(String, File)>,
}

impl Directory {
    /// The directory with this path, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn new(path: &Path) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path)?;
        if let Some(parent) = path.parent() {
            sync(parent)?;
        }
        Ok(Self {
            path: path.to_owned(),
            open: None,
        })
    }

    /// The same without making it; nothing is to be written.
    #[must_use]
    pub fn read_only(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            open: None,
        }
    }

    /// The file with this name, for appending.
    fn open(&mut self, name: &str) -> io::Result<&File> {
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            let mut options = OpenOptions::new();
            let file = options.append(true).open(self.path.join(name))?;
            self.open = Some((name.to_owned(), file));
        }
        let open = self.open.as_ref();
        open.map(|(_, file)| file)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.open = None;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(MODE);
        options.open(self.path.join(name)).map(drop)
    }

    fn append(&mut self, name: &str, octets: &[u8]) -> io::Result<()> {
        self.open(name)?.write_all(octets)
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.open(name)?.set_len(length)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.open(name)?.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open = None;
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open = None;
        fs::remove_file(self.path.join(name))
    }

    fn sync_names(&mut self) -> io::Result<()> {
        sync(&self.path)
    }
}

/// Waits until the names in a directory are on the disk.
fn sync(dir: &Path) -> io::Result<()> {
    let here = dir.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { dir })?.sync_all()
}
