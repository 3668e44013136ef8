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
mod heap;
mod progress;
mod shelf;
mod spill;

use std::path::PathBuf;

pub(crate) use self::assemble::{Keeper, assemble};
pub(crate) use self::heap::Heap;
pub(crate) use self::progress::Progress;
pub(crate) use self::shelf::Shelf;

/// How much memory may be used, and what else is needed to use less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Octets.
    pub(crate) memory: u64,
    /// Where files go that hold what is above that.
    pub(crate) dir: PathBuf,
    /// Threads at once.
    pub(crate) threads: usize,
}

impl Budget {
    /// The processors of the machine.
    pub(crate) fn processors() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
