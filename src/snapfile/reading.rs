//! Reading a snapshot: several threads bring its sections, or it is mapped.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::num::NonZero;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::mapping::Mapping;
use super::memory::{Memory, Residence};
use crate::equipment::Store;
use crate::equipment::devices::Region;
use crate::snapshot::{self, Contents, MAGIC, Provenance, ReadError, Source, Stored};

/// The most threads that read at once: fewer saturate the memory of any machine.
const WORKERS_MAX: usize = 8;

/// Reads a snapshot into memory, or maps it, and checks everything but the lines
/// of rules, which are left in the file; also tells what became of it.
///
/// # Errors
///
/// A file that cannot be read, or that is no whole snapshot of this version;
/// see [`ReadError`].
pub fn read(path: &Path, memory: Memory) -> Result<(Stored, Residence), String> {
    with(path, |file| {
        let length = file.metadata().map_err(ReadError::Source)?.len();
        let (mapping, residence) = memory.choose(&file, length);
        let source = FileSource {
            store: Some(Arc::new(FileStore::new(&file).map_err(ReadError::Source)?)),
            file,
            mapping,
        };
        let stored = snapshot::read(&source)?;
        if let Some(mapping) = &source.mapping
            && let Some(reason) = memory.repents(mapping, length)
        {
            drop(stored);
            let source = FileSource {
                mapping: None,
                ..source
            };
            return Ok((snapshot::read(&source)?, reason));
        }
        Ok((stored, residence))
    })
}

/// Reads a file to its end and checks all its checksums, in little memory.
///
/// # Errors
///
/// As [`read`].
pub fn verify(path: &Path) -> Result<Contents, String> {
    with(path, |file| snapshot::verify(&FileSource::plain(file)))
}

/// Reads what a snapshot is and where its lists come from, and no more of it.
///
/// # Errors
///
/// As [`read`].
pub fn provenance(path: &Path) -> Result<(Contents, Provenance), String> {
    with(path, |file| {
        snapshot::read_provenance(&FileSource::plain(file))
    })
}

/// Whether a file begins as a snapshot does. One that cannot be read does not.
#[must_use]
pub fn is_snapshot(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let read = is_file.then(|| File::open(path).and_then(|mut file| file.read_exact(&mut magic)));
    matches!(read, Some(Ok(()))) && magic == MAGIC
}

/// Opens a file and has it read.
fn with<T>(
    path: &Path,
    read: impl FnOnce(File) -> Result<T, ReadError<io::Error>>,
) -> Result<T, String> {
    let told = |why: &dyn core::fmt::Display| format!("{}: {why}", path.display());
    let metadata = fs::metadata(path).map_err(|error| told(&plain(&error)))?;
    // Told before opening: to open a pipe would wait for its other end.
    if !metadata.is_file() {
        return Err(told(&"is not a regular file"));
    }
    let file = File::open(path).map_err(|error| told(&plain(&error)))?;
    read(file).map_err(|error| told(&error))
}

/// An error of opening, in plain words.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file; `weir compile -o FILE` makes one".to_owned(),
        ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

//----------- FileSource ------------------------------------------------------

/// A file that is read.
struct FileSource {
    /// It.
    file: File,
    /// The same as memory, if it is mapped.
    mapping: Option<Arc<Mapping>>,
    /// The same for what is left in it.
    store: Option<Arc<FileStore>>,
}

impl FileSource {
    /// A file of which everything is read.
    fn plain(file: File) -> Self {
        Self {
            file,
            mapping: None,
            store: None,
        }
    }
}

impl Source for FileSource {
    type Error = io::Error;

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while !buffer.is_empty() {
            match self.file.read_at(buffer, offset) {
                Ok(0) => break,
                Ok(read) => {
                    count += read;
                    offset += read as u64;
                    buffer = buffer.get_mut(read..).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    fn region(&self) -> Option<Arc<dyn Region>> {
        let mapping = Arc::clone(self.mapping.as_ref()?);
        Some(mapping)
    }

    fn populate(&self, part: Range<u64>) {
        if let Some(mapping) = &self.mapping {
            mapping.populate(part);
        }
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        let store = Arc::clone(self.store.as_ref()?);
        Some(store)
    }

    fn each<T: Send, R: Send>(&self, tasks: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        let count = tasks.len();
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let workers = workers.min(WORKERS_MAX).min(count);
        if workers < 2 {
            return tasks.into_iter().map(work).collect();
        }
        let tasks = Mutex::new(tasks.into_iter().enumerate());
        // A worker that panics makes the scope panic, so that no lock is seen
        // poisoned that matters.
        let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
        let busy = || {
            let mut done = Vec::new();
            while let Some((place, task)) = next() {
                done.push((place, work(task)));
            }
            done
        };
        let mut done: Vec<(usize, R)> = thread::scope(|scope| {
            // If there is no thread to be had, this one does the work.
            let others: Vec<_> = (1..workers)
                .filter_map(|_| thread::Builder::new().spawn_scoped(scope, busy).ok())
                .collect();
            let mut done = busy();
            for other in others {
                match other.join() {
                    Ok(more) => done.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        done.sort_unstable_by_key(|(place, _)| *place);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

/// A file that stays open, so that what was left in it can be read when it has
/// another name or none.
#[derive(Debug)]
struct FileStore {
    /// It.
    file: File,
    /// What it was like when the rest of it was checked.
    state: State,
    /// How often it could not be read.
    failures: AtomicU64,
}

/// What changes when a file is written to: the length and when that was, in
/// seconds and nanoseconds.
type State = (u64, i64, i64);

impl FileStore {
    /// A file as it is now.
    fn new(file: &File) -> io::Result<Self> {
        Ok(Self {
            state: state(file)?,
            file: file.try_clone()?,
            failures: AtomicU64::new(0),
        })
    }
}

impl Store for FileStore {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> bool {
        // Of a file that was written to since, nothing belongs to what was read.
        let is_read = self.file.read_exact_at(buffer, offset).is_ok()
            && state(&self.file).is_ok_and(|state| state == self.state);
        self.failures
            .fetch_add(u64::from(!is_read), Ordering::Relaxed);
        is_read
    }

    fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// What a file is like.
fn state(file: &File) -> io::Result<State> {
    let now = file.metadata()?;
    Ok((now.len(), now.mtime(), now.mtime_nsec()))
}
