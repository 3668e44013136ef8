//! How far a register is, for whoever wants to watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that several threads add to and another reads; it costs nothing that
/// counts to keep them where nobody looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<Counters>);

/// See [`Progress`].
#[derive(Debug, Default)]
struct Counters {
    /// Octets of files that have been read.
    octets: AtomicU64,
    /// Lines that have been taken.
    lines: AtomicU64,
    /// Partitions that have been assembled.
    partitions: AtomicU64,
}

impl Progress {
    /// Notes that so many octets have been read.
    pub(crate) fn read(&self, octets: u64) {
        self.0.octets.fetch_add(octets, Ordering::Relaxed);
    }

    /// Notes that so many lines have been taken.
    pub(crate) fn took(&self, lines: u64) {
        self.0.lines.fetch_add(lines, Ordering::Relaxed);
    }

    /// Notes that another partition is assembled.
    pub(crate) fn assembled(&self) {
        self.0.partitions.fetch_add(1, Ordering::Relaxed);
    }

    /// Octets, lines and partitions so far.
    #[cfg(feature = "server")]
    pub(crate) fn so_far(&self) -> [u64; 3] {
        let Counters {
            octets,
            lines,
            partitions,
        } = &*self.0;
        [octets, lines, partitions].map(|counter| counter.load(Ordering::Relaxed))
    }
}
