//! A snapshot file under way.
//!
//! ```text
//! Draft ── Ahead ──▶ DIR/.NAME.unfinished ◀── the rest, fsync ── rename ──▶ DIR/NAME
//!           large sections, while they are made
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::fs::OFlags;

use super::refuse_foreign;
use crate::equipment::Snapshot;
use crate::snapshot::{self, Ahead, Contents, Elsewhere, Provenance, Sink, WriteError};
use crate::time::UnixTime;

//----------- Draft -----------------------------------------------------------

/// A snapshot that is to be put in the place of what is at a path.
///
/// When it is [finished](Self::finish), the file is on the disk. If it never is,
/// the unfinished file is removed, and what was there is as it was. A process that
/// is killed leaves the unfinished file behind, which the next one writes over.
#[derive(Debug)]
pub struct Draft {
    /// Where it is to be.
    path: PathBuf,
    /// Its file.
    file: Arc<Unfinished>,
    /// Whether that has the name that it is to have.
    is_placed: bool,
}

impl Draft {
    /// Begins one.
    ///
    /// # Errors
    ///
    /// When its file cannot be made, another process is writing it, or what is
    /// there is something else than a snapshot.
    pub fn begin(path: &Path) -> Result<Self, String> {
        let told = |why: &dyn core::fmt::Display| format!("{}: {why}", path.display());
        refuse_foreign(path)?;
        let unfinished = unfinished(path).ok_or_else(|| told(&"is no name of a file"))?;
        let cannot = format!("cannot be written ({}", unfinished.display());
        let opened = open(&unfinished);
        let opened = opened.map_err(|error| cannot_be_written(&told(&cannot), &error))?;
        let file = opened.ok_or_else(|| told(&"is being written by another process"))?;
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(Unfinished {
                path: unfinished,
                cannot: told(&cannot),
                file,
                fresh: AtomicUsize::new(0),
                flusher: Mutex::default(),
            }),
            is_placed: false,
        })
    }

    /// Where sections go that are written before all is known of the others.
    #[must_use]
    pub fn ahead(&self) -> Arc<dyn Ahead> {
        Arc::clone(&self.file) as _
    }

    /// The directory that it is in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new(""))
    }

    /// Writes a snapshot, of which some sections are kept elsewhere or stand there
    /// already, and puts it in its place.
    ///
    /// # Errors
    ///
    /// When anything of it cannot be written: then the file is what it was; only if
    /// the directory cannot be brought to the disk, the new file is there already,
    /// and the error says so.
    pub fn finish(
        mut self,
        (snapshot, elsewhere): (&Snapshot, &dyn Elsewhere<io::Error>),
        provenance: &Provenance,
        created: UnixTime,
    ) -> Result<Contents, String> {
        let mut sink = FileSink {
            file: &self.file,
            at: 0,
        };
        let written = snapshot::write_with(snapshot, elsewhere, provenance, created, &mut sink);
        let told = |why: &dyn core::fmt::Display| format!("{}: {why}", self.path.display());
        // Whatever came of it, nobody is to be at work on it any more.
        let whole = self.file.rest();
        let contents = match written {
            Ok(contents) => contents,
            Err(WriteError::Sink(error)) => return Err(self.file.told(&error)),
            Err(WriteError::Unstorable) => return Err(told(&WriteError::<io::Error>::Unstorable)),
        };
        // Somebody may have put something else there meanwhile.
        refuse_foreign(&self.path)?;
        let placed = whole.and_then(|()| self.place());
        let dir = placed.map_err(|error| self.file.told(&error))?;
        self.is_placed = true;
        // The new file is in its place by now, whatever comes of this.
        dir.sync_all().map_err(|error| {
            format!(
                "{}: is written, but its directory cannot be brought to the disk ({error}); after \
                 a power loss the old file may be back, so write it again",
                self.path.display()
            )
        })?;
        Ok(contents)
    }

    /// Puts the file on the disk and in its place; returns the directory, which
    /// knows of it once it is on the disk, too.
    fn place(&self) -> io::Result<File> {
        self.file.file.sync_all()?;
        let dir = Some(self.dir()).filter(|dir| !dir.as_os_str().is_empty());
        let dir = File::open(dir.unwrap_or_else(|| Path::new(".")))?;
        fs::rename(&self.file.path, &self.path)?;
        Ok(dir)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_placed {
            // The error that is told is the first.
            let _ = fs::remove_file(&self.file.path);
        }
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
    let options = options.read(true).write(true).create(true);
    // A link would be put in the place of the snapshot, and what it is to be emptied.
    let options = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let file = options.truncate(false).open(path)?;
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

/// Words why an unfinished file cannot be written.
fn cannot_be_written(cannot: &str, error: &io::Error) -> String {
    format!("{cannot}: {error}); what was there is as it was")
}

//----------- Unfinished ------------------------------------------------------

/// The file of a [`Draft`].
#[derive(Debug)]
struct Unfinished {
    /// Its name while it is written.
    path: PathBuf,
    /// How what goes wrong with it is told.
    cannot: String,
    /// The file.
    file: File,
    /// Octets that nobody was asked to bring to the disk yet.
    fresh: AtomicUsize,
    /// Brings the others there.
    flusher: Mutex<Option<Flusher>>,
}

/// From so many octets on it is worth to bring a part of a file to the disk while
/// the rest is written: so little is left to wait for in the end.
const FLUSHED: usize = 32 << 20;

impl Ahead for Unfinished {
    fn write(&self, octets: &[u8], at: u64) -> Result<(), String> {
        let written = self.put(octets, at);
        written.map_err(|error| self.told(&error))
    }

    fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), String> {
        let read = self.file.read_exact_at(buffer, at);
        read.map_err(|error| self.told(&error))
    }

    fn flush(&self) {
        let mut flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner);
        if flusher.is_none() {
            // Without one it is all done in the end.
            *flusher = self.file.try_clone().and_then(Flusher::start).ok();
        }
        // While it is asked already, more gathers.
        let is_asked = |own: &Flusher| own.ask.try_send(()).is_ok();
        if flusher.as_ref().is_none_or(is_asked) {
            self.fresh.store(0, Ordering::Relaxed);
        }
    }
}

impl Unfinished {
    /// Writes octets to a place.
    fn put(&self, octets: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(octets, at)?;
        let fresh = self.fresh.fetch_add(octets.len(), Ordering::Relaxed);
        if fresh + octets.len() >= FLUSHED {
            self.flush();
        }
        Ok(())
    }

    /// Words an error.
    fn told(&self, error: &io::Error) -> String {
        cannot_be_written(&self.cannot, error)
    }

    /// Waits until nobody is at work on the file, which is yet to be brought to
    /// the disk to its end.
    fn rest(&self) -> io::Result<()> {
        let mut flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Flusher { ask, thread }) = flusher.take() else {
            return Ok(());
        };
        drop(ask);
        let lost = |_| io::Error::other("a thread was lost");
        thread.join().map_err(lost).flatten()
    }
}

/// A thread that brings a file to the disk again and again.
#[derive(Debug)]
struct Flusher {
    /// Asks it to.
    ask: SyncSender<()>,
    /// It; what went wrong is told once only, by the system as well.
    thread: JoinHandle<io::Result<()>>,
}

impl Flusher {
    /// One for a file.
    fn start(file: File) -> io::Result<Self> {
        // It may be asked once more while it is at it.
        let (ask, asked) = mpsc::sync_channel(1);
        let thread = thread::Builder::new();
        let thread = thread.spawn(move || asked.iter().try_for_each(|()| file.sync_data()))?;
        Ok(Self { ask, thread })
    }
}

//----------- FileSink --------------------------------------------------------

/// A file that is written from its beginning on. Sections are large, so that no
/// buffer is needed.
struct FileSink<'a> {
    /// It.
    file: &'a Unfinished,
    /// Where the next octets go.
    at: u64,
}

impl Sink for FileSink<'_> {
    type Error = io::Error;

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.put(octets, self.at)?;
        self.pass(octets.len() as u64)
    }

    fn pass(&mut self, octets: u64) -> io::Result<()> {
        self.at += octets;
        Ok(())
    }
}
