//! Snapshots in files: read or mapped and checked, and written so that there is
//! the old file or the whole new one, whatever happens.
//!
//! ```text
//! DIR/.NAME.unfinished ── write, fsync ──▶ rename ──▶ DIR/NAME ──▶ fsync of DIR
//!         │ an error: removed
//! ```
//!
//! All messages are complete: they name the file, and say what is wrong.

#[cfg(all(target_os = "linux", feature = "server"))]
mod guard;
#[cfg(target_os = "linux")]
mod mapping;
#[cfg(not(target_os = "linux"))]
#[path = "snapfile/no_mapping.rs"]
mod mapping;
mod memory;
mod reading;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use crate::equipment::Snapshot;
use crate::snapshot::{self, Contents, Elsewhere, Provenance, Sink, WriteError};
use crate::time::UnixTime;

pub use self::memory::{Memory, Residence};
pub use self::reading::{is_snapshot, provenance, read, verify};

//----------- Writing ---------------------------------------------------------

/// Writes a snapshot, and puts it in the place of what was there.
///
/// When this returns, the file is on the disk. A process that is killed leaves
/// the unfinished file behind, which the next one writes over.
///
/// # Errors
///
/// When anything of it cannot be written: then the file is what it was, and
/// the unfinished one is removed; only if the directory cannot be brought to
/// the disk, the new file is there already, and the error says so. Also when another process is writing it, or
/// what is there is something else than a snapshot.
pub fn write(
    path: &Path,
    snapshot: &Snapshot,
    provenance: &Provenance,
    created: UnixTime,
) -> Result<Contents, String> {
    write_with(path, (snapshot, &()), provenance, created)
}

/// The same of a snapshot of which some sections are kept elsewhere.
///
/// # Errors
///
/// As [`write()`].
pub fn write_with(
    path: &Path,
    (snapshot, elsewhere): (&Snapshot, &dyn Elsewhere<io::Error>),
    provenance: &Provenance,
    created: UnixTime,
) -> Result<Contents, String> {
    let told = |why: &dyn core::fmt::Display| format!("{}: {why}", path.display());
    refuse_foreign(path)?;
    let unfinished = unfinished(path).ok_or_else(|| told(&"is no name of a file"))?;
    let cannot = |error: &io::Error| {
        told(&format!(
            "cannot be written ({}: {error}); what was there is as it was",
            unfinished.display()
        ))
    };
    let file = match open(&unfinished) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(told(&"is being written by another process")),
        Err(error) => return Err(cannot(&error)),
    };
    let mut sink = FileSink::new(file);
    let written = snapshot::write_with(snapshot, elsewhere, provenance, created, &mut sink);
    // Whatever came of it, nobody is to be at work on it any more.
    let whole = sink.finish();
    let placed = match written {
        Ok(contents) => whole
            .and_then(|file| place(&file, &unfinished, path))
            .map(|dir| (contents, dir))
            .map_err(|error| cannot(&error)),
        Err(WriteError::Sink(error)) => Err(cannot(&error)),
        Err(WriteError::Unstorable) => Err(told(&WriteError::<io::Error>::Unstorable)),
    };
    let (contents, dir) = placed.inspect_err(|_| {
        // The error that is told is the first.
        let _ = fs::remove_file(&unfinished);
    })?;
    // The new file is in its place by now, whatever comes of this.
    dir.sync_all().map_err(|error| {
        told(&format!(
            "is written, but its directory cannot be brought to the disk ({error}); after a power \
             loss the old file may be back, so write it again"
        ))
    })?;
    Ok(contents)
}

/// Refuses to replace what is no snapshot: a list, most likely, whose name was
/// given by mistake.
///
/// # Errors
///
/// If the path is that of a file with something else in it, or of no file.
pub fn refuse_foreign(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => Err(format!("{}: is not a regular file", path.display())),
        Ok(there) if there.len() > 0 && !is_snapshot(path) => Err(format!(
            "{}: is there and is no snapshot of Weir, so it is not replaced; name another file",
            path.display()
        )),
        _ => Ok(()),
    }
}

/// The name of a file while it is written.
fn unfinished(path: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(".unfinished");
    Some(path.with_file_name(name))
}

/// Opens the unfinished file for this process alone, empty; `None` if another
/// has it.
fn open(path: &Path) -> io::Result<Option<File>> {
    // Not emptied before it is locked: it may be another's.
    let mut options = File::options();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // What another has finished in the meantime has another name now.
    let there = fs::metadata(path);
    if !there.is_ok_and(|there| file.metadata().is_ok_and(|own| own.ino() == there.ino())) {
        return Ok(None);
    }
    file.set_len(0)?;
    Ok(Some(file))
}

/// Puts a file on the disk and in its place; returns the directory, which knows
/// of it once it is on the disk, too.
fn place(file: &File, unfinished: &Path, path: &Path) -> io::Result<File> {
    file.sync_all()?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = File::open(dir.unwrap_or_else(|| Path::new(".")))?;
    fs::rename(unfinished, path)?;
    Ok(dir)
}

/// A file that is written. Sections are large, so that no buffer is needed.
struct FileSink {
    /// It.
    file: File,
    /// Octets that nobody was asked to bring to the disk yet.
    fresh: usize,
    /// Brings the others there.
    flusher: Option<Flusher>,
}

/// From so many octets on it is worth to bring a part of a file to the disk while
/// the rest is written: so little is left to wait for in the end.
const FLUSHED: usize = 32 << 20;

/// A thread that brings a file to the disk again and again.
struct Flusher {
    /// Asks it to.
    ask: SyncSender<()>,
    /// It; what went wrong is told once only, by the system as well.
    thread: JoinHandle<io::Result<()>>,
}

impl FileSink {
    /// Nothing yet.
    fn new(file: File) -> Self {
        Self {
            file,
            fresh: 0,
            flusher: None,
        }
    }

    /// Has what was written brought to the disk.
    fn flush(&mut self) {
        if self.flusher.is_none() {
            // Without one it is all done in the end.
            self.flusher = self.file.try_clone().and_then(Flusher::start).ok();
        }
        // While it is at it, more gathers.
        let is_asked = |own: &Flusher| own.ask.try_send(()).is_ok();
        if self.flusher.as_ref().is_none_or(is_asked) {
            self.fresh = 0;
        }
    }

    /// The whole file, which is yet to be brought to the disk to its end.
    fn finish(self) -> io::Result<File> {
        if let Some(Flusher { ask, thread }) = self.flusher {
            drop(ask);
            let lost = |_| io::Error::other("a thread was lost");
            thread.join().map_err(lost).flatten()?;
        }
        Ok(self.file)
    }
}

impl Flusher {
    /// One for a file.
    fn start(file: File) -> io::Result<Self> {
        let (ask, asked) = mpsc::sync_channel(0);
        let thread = thread::Builder::new();
        let thread = thread.spawn(move || asked.iter().try_for_each(|()| file.sync_data()))?;
        Ok(Self { ask, thread })
    }
}

impl Sink for FileSink {
    type Error = io::Error;

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)?;
        self.fresh += octets.len();
        if self.fresh >= FLUSHED {
            self.flush();
        }
        Ok(())
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::{Builder, Status};

    /// A snapshot with one list.
    fn snapshot() -> Snapshot {
        let mut builder = Builder::new();
        builder.list("black", Status::Blacklisted).unwrap();
        builder.finish()
    }

    /// Writes a snapshot to a path.
    fn put(path: &Path) -> Result<Contents, String> {
        write(path, &snapshot(), &Provenance::default(), UnixTime(0))
    }

    /// The names in a directory.
    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.weir");
        for _ in 0..2 {
            let written = put(&path).unwrap();
            let (stored, _) = read(&path, Memory::Auto).unwrap();
            assert_eq!(stored.contents, written);
            assert_eq!(verify(&path), Ok(written));
            assert_eq!(stored.snapshot.lists().next().unwrap().name, "black");
            assert_eq!(names(dir.path()), ["a.weir"]);
        }
        assert!(is_snapshot(&path) && !is_snapshot(dir.path()));
    }

    #[test]
    fn what_a_killed_process_left_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".a.weir.unfinished"), [1; 100_000]).unwrap();
        let path = dir.path().join("a.weir");
        let written = put(&path).unwrap();
        assert_eq!(verify(&path), Ok(written));
        assert_eq!(names(dir.path()), ["a.weir"]);
    }

    #[test]
    fn what_another_writes_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.weir");
        let others = open(&dir.path().join(".a.weir.unfinished")).unwrap();
        let told = put(&path).unwrap_err();
        assert!(
            told.ends_with("a.weir: is being written by another process"),
            "{told}"
        );
        drop(others);
        put(&path).unwrap();
    }

    #[test]
    fn what_is_no_snapshot_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.csv");
        fs::write(&path, "imei\n").unwrap();
        assert!(put(&path).unwrap_err().contains("is not replaced"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "imei\n");
        assert!(
            put(dir.path())
                .unwrap_err()
                .ends_with("is not a regular file")
        );
        let nowhere = dir.path().join("no/a.weir");
        assert!(put(&nowhere).unwrap_err().contains("cannot be written"));
        assert!(verify(&nowhere).unwrap_err().contains("no such file"));
    }
}
