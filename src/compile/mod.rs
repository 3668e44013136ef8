//! From rules in memory and files to a register, with all processors and in
//! bounded memory.
//!
//! ```text
//! Builder ─▶ Heap ─────────────────▶ assemble ──▶ Kept ──▶ Snapshot (to be served)
//!            bundles in memory,      threads  └─▶ Shelf ─▶ Snapshot and sections
//!            above the budget in a                         (to be written)
//!            file without a name
//! ```
//!
//! What is kept in files for a while has no name from the moment it is opened:
//! whatever becomes of the process, nothing is left behind.

mod assemble;
mod bound;
mod buckets;
#[cfg(feature = "server")]
mod fold;
mod heap;
mod packed;
mod progress;
mod shelf;
mod slabs;
mod spill;
mod stacks;

use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use self::assemble::{Keeper, assemble};
use self::bound::BoundHeap;
pub(crate) use self::bound::BoundShelf;
#[cfg(feature = "server")]
pub(crate) use self::fold::fold;
pub(crate) use self::heap::Heap;
pub(crate) use self::progress::Progress;
pub(crate) use self::shelf::Shelf;
pub(crate) use self::slabs::Ledger;
use self::slabs::Slabs;
use crate::snapshot::Ahead;

/// How much memory may be used, and what else is needed to use less.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// Octets.
    pub(crate) memory: u64,
    /// Where files go that hold what is above that.
    pub(crate) dir: PathBuf,
    /// Threads at once.
    pub(crate) threads: usize,
    /// What is used of it for long.
    pub(crate) ledger: Ledger,
    /// The file that the register is written to in the end, if it is.
    pub(crate) ahead: Option<Arc<dyn Ahead>>,
}

impl Budget {
    /// Whether so many octets more may be kept in memory; what is left is for
    /// partitions that are being sorted.
    fn has_room(&self, octets: usize) -> bool {
        self.ledger.sum() + octets as u64 <= self.limit()
    }

    /// How many octets may be kept in memory, of everything.
    const fn limit(&self) -> u64 {
        self.memory / 8 * 7
    }

    /// The processors of the machine.
    pub(crate) fn processors() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
