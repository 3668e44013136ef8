//! Threads that read a list together.
//!
//! ```text
//! Chunks ─┬▶ scan ─┬▶ merge, in the order of chunks
//!         ├▶ scan ─┘
//!         └▶ digest, in the order of chunks
//! ```
//!
//! Reading, merging and the digest have to be done in one go, and only by one thread
//! at a time. A thread that has done something looks for what nobody is at, so that
//! there need not be more of them than processors, and hardly ever one that waits.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Merge;
use crate::equipment::bulk::Bundle;
use crate::lists::chunks::{Chunk, Chunks};
use crate::lists::feed::Stop;
use crate::lists::lines::LineError;
use crate::lists::scan::{Desk, Scan, Scanned};
use crate::lists::tap::Hasher;

/// How many chunks may be read besides those that threads are at before what they
/// say is added: enough for a thread that scans not to hold up the others.
const AHEAD_MAX: usize = 4;

/// So many chunks may be without a digest before reading waits for it; more would
/// be further from the processor when it is made.
const BEHIND_MAX: usize = 8;

/// So many should be: whoever makes the digest then need not wait for reading.
const BEHIND_MIN: usize = 2;

/// Them, and what they share.
pub(super) struct Crew<'a, 'm, 'f, R> {
    /// How lines are scanned.
    scan: &'a Scan<'a>,
    /// How many there are.
    threads: usize,
    /// What is done and what is not.
    state: Mutex<State>,
    /// Whether something of it has changed.
    changed: Condvar,
    /// The first chunk, and the others.
    source: Mutex<(Option<Chunk>, Chunks<R>)>,
    /// The digest, if it is wanted, and where its next chunk begins in the file.
    digest: Option<Mutex<(Hasher, u64)>>,
    /// Where what is found goes.
    merge: Mutex<&'a mut Merge<'m, 'f>>,
}

/// What is done and what is not.
#[derive(Default)]
struct State {
    /// How many chunks have been read.
    read: u64,
    /// How many of them have been merged.
    merged: u64,
    /// What the others say, as far as they are scanned.
    scanned: BTreeMap<u64, (Box<Scanned>, Option<LineError>)>,
    /// Those that are not in the digest.
    unhashed: VecDeque<Arc<Chunk>>,
    /// Whether there are no more to be read.
    has_ended: bool,
    /// Whether somebody reads.
    is_reading: bool,
    /// Whether somebody merges.
    is_merging: bool,
    /// Whether somebody makes the digest.
    is_hashing: bool,
    /// Why all of it ended early.
    stop: Option<Stop>,
    /// Whether a thread has panicked, for whom nobody is to wait.
    is_lost: bool,
    /// Chunks that nobody looks at any more, for their memory.
    chunks: Vec<Chunk>,
    /// Bundles of which the same is true.
    bundles: Vec<Bundle>,
}

/// What somebody can do.
enum Task {
    /// Read the next chunk, and scan it.
    Read,
    /// Go on with the digest.
    Hash(Arc<Chunk>),
    /// Merge the next chunk.
    Merge(Box<Scanned>, Option<LineError>),
}

impl<'a, 'm, 'f, R: Read + Send> Crew<'a, 'm, 'f, R> {
    /// So many threads for a list, with the digest that is wanted of it.
    pub(super) fn new(
        mut chunks: Chunks<R>,
        scan: &'a Scan<'a>,
        (digest, threads): (Option<Hasher>, usize),
        merge: &'a mut Merge<'m, 'f>,
    ) -> Self {
        let first = chunks.next(Chunk::default());
        // Most files are shorter than a chunk, and not worth a thread.
        let is_short = first.as_ref().is_none_or(|first| first.is_last);
        Self {
            scan,
            threads: if is_short { 1 } else { threads },
            state: Mutex::default(),
            changed: Condvar::new(),
            source: Mutex::new((first, chunks)),
            digest: digest.map(|digest| Mutex::new((digest, merge.bytes))),
            merge: Mutex::new(merge),
        }
    }

    /// Reads the list to its end.
    ///
    /// # Errors
    ///
    /// Why it ended early.
    pub(super) fn read_all(self) -> Result<(), Stop> {
        thread::scope(|scope| {
            for _ in 1..self.threads {
                scope.spawn(|| self.work());
            }
            self.work();
        });
        let state = self.state.into_inner();
        match state.unwrap_or_else(PoisonError::into_inner).stop {
            Some(stop) => Err(stop),
            None => Ok(()),
        }
    }

    /// Does what there is to do until all is done.
    fn work(&self) {
        let _told = Told(self);
        let mut desk = Desk::default();
        let mut state = lock(&self.state);
        while !state.is_done() {
            state = match state.next(self.threads + AHEAD_MAX) {
                None => (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner),
                Some(task) => {
                    drop(state);
                    let state = match task {
                        Task::Read => self.read(&mut desk),
                        Task::Hash(chunk) => self.hash(chunk),
                        Task::Merge(scanned, error) => self.merge(scanned, error),
                    };
                    self.changed.notify_all();
                    state
                }
            };
        }
    }

    /// Reads a chunk, and scans it.
    fn read(&self, desk: &mut Desk) -> MutexGuard<'_, State> {
        let spare = lock(&self.state).chunks.pop();
        let next = {
            let (first, chunks) = &mut *lock(&self.source);
            let first = first.take();
            first.or_else(|| chunks.next(spare.unwrap_or_default()))
        };
        let mut state = lock(&self.state);
        state.is_reading = false;
        let Some(mut chunk) = next else {
            state.has_ended = true;
            return state;
        };
        let number = state.read;
        state.read += 1;
        state.has_ended = chunk.is_last;
        let error = chunk.error.take();
        let chunk = Arc::new(chunk);
        if self.digest.is_some() {
            state.unhashed.push_back(Arc::clone(&chunk));
        }
        desk.spare = state.bundles.pop();
        drop(state);
        self.changed.notify_all();
        let scanned = Box::new(self.scan.read(chunk.text(), desk));
        let mut state = lock(&self.state);
        state.scanned.insert(number, (scanned, error));
        state.take_back(chunk);
        state
    }

    /// Goes on with the digest.
    fn hash(&self, chunk: Arc<Chunk>) -> MutexGuard<'_, State> {
        if let Some(digest) = &self.digest {
            let (hasher, at) = &mut *lock(digest);
            hasher.add(*at, chunk.text());
            *at += chunk.text().len() as u64;
        }
        let mut state = lock(&self.state);
        state.is_hashing = false;
        state.take_back(chunk);
        state
    }

    /// Merges what the next chunk says.
    fn merge(&self, scanned: Box<Scanned>, error: Option<LineError>) -> MutexGuard<'_, State> {
        let merged = lock(&self.merge).add(*scanned, error);
        let mut state = lock(&self.state);
        state.is_merging = false;
        state.merged += 1;
        match merged {
            Ok(spare) => state.bundles.extend(spare),
            Err(stop) => state.stop = Some(stop),
        }
        state
    }
}

/// Tells the others when a thread panics.
struct Told<'c, 'a, 'm, 'f, R>(&'c Crew<'a, 'm, 'f, R>);

impl<R> Drop for Told<'_, '_, '_, '_, R> {
    fn drop(&mut self) {
        if thread::panicking() {
            lock(&self.0.state).is_lost = true;
            self.0.changed.notify_all();
        }
    }
}

impl State {
    /// What can be done now; so many chunks may be read that are not merged.
    fn next(&mut self, ahead: usize) -> Option<Task> {
        if !self.is_merging
            && let Some((scanned, error)) = self.scanned.remove(&self.merged)
        {
            self.is_merging = true;
            return Some(Task::Merge(scanned, error));
        }
        let may_read = !self.has_ended
            && !self.is_reading
            && self.unhashed.len() < BEHIND_MAX
            && self.read - self.merged < ahead as u64;
        if may_read && self.unhashed.len() < BEHIND_MIN {
            self.is_reading = true;
            return Some(Task::Read);
        }
        if !self.is_hashing
            && let Some(chunk) = self.unhashed.pop_front()
        {
            self.is_hashing = true;
            return Some(Task::Hash(chunk));
        }
        self.is_reading |= may_read;
        may_read.then_some(Task::Read)
    }

    /// Whether nothing is left to be done.
    fn is_done(&self) -> bool {
        let is_idle = !self.is_reading && !self.is_merging && !self.is_hashing;
        let is_whole = self.has_ended && self.merged == self.read && self.unhashed.is_empty();
        self.stop.is_some() || self.is_lost || is_whole && is_idle
    }

    /// Keeps the memory of a chunk if nobody else has it.
    fn take_back(&mut self, chunk: Arc<Chunk>) {
        self.chunks.extend(Arc::into_inner(chunk));
    }
}

/// Locks; a thread that panicked takes the others with it anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
