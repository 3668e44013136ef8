//! Partition by partition to the register, several at once.
//!
//! Each thread takes the next partition. What must be done in the order of
//! partitions waits for its turn, so that the result does not depend on how many
//! threads there are; as partitions are taken in order, the one whose turn it is
//! never waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Heap, Progress, Shelf};
use crate::equipment::bulk::{
    Arrays, Assembled, Assembly, Kept, PARTITIONS, Plan, Prepared, counted,
};

/// Octets that a rule takes while its partition is sorted and laid out: the word
/// twice, line and what is said, and what is made of them.
const RULE: u64 = 32;

/// Fewer rules than these are not worth a thread.
const THREADED_MIN: usize = 200_000;

/// Where the arrays of pieces go.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// To memory, to be served from.
    pub(crate) kept: Option<Kept>,
    /// To where they are written from; and what is needed until the end.
    pub(crate) shelf: Shelf,
}

impl Keeper {
    /// A keeper in memory, for the rules of a heap.
    pub(crate) fn memory(heap: &Heap) -> Self {
        let rules = (0..PARTITIONS).map(|partition| heap.count(partition) as u64);
        Self {
            kept: Some(Kept::new(rules.sum())),
            shelf: Shelf::new(heap.budget(), heap.size()),
        }
    }

    /// A shelf, within the budget of a heap.
    pub(crate) fn shelf(heap: &Heap) -> Self {
        Self {
            kept: None,
            shelf: Shelf::new(heap.budget(), heap.size()),
        }
    }

    /// Keeps the arrays of the next piece.
    fn keep(&mut self, mut arrays: Arrays) -> Result<(), String> {
        match &mut self.kept {
            Some(kept) => {
                let rest = arrays.take_rest();
                kept.keep(arrays);
                self.shelf.keep(rest)
            }
            None => self.shelf.keep(arrays),
        }
    }
}

/// What is done in the order of partitions.
struct Ordered<'a> {
    /// The register under way.
    assembly: Assembly,
    /// Where arrays go.
    keeper: &'a mut Keeper,
    /// The partition whose classes are numbered next.
    numbers: usize,
    /// The one that is joined next.
    joins: usize,
    /// Why it ended early.
    failed: Option<String>,
}

/// Assembles the rules of a heap.
///
/// # Errors
///
/// If a file of what does not fit in memory cannot be written or read.
pub(crate) fn assemble(
    mut plan: Plan<'_>,
    heap: Heap,
    keeper: &mut Keeper,
    progress: &Progress,
) -> Result<Assembled, String> {
    let counts: Vec<usize> = (0..PARTITIONS)
        .map(|partition| heap.count(partition))
        .collect();
    let threads = threads(&heap, &counts);
    let first = counted(|partition| counts.get(partition).copied().unwrap_or_default());
    let counted = prepare_first(&plan, &heap, first, threads)?;
    let assembly = Assembly::rank(&mut plan, &counted);
    let counted: Vec<Mutex<Option<Prepared>>> = counted
        .into_iter()
        .map(|own| Mutex::new(Some(own)))
        .collect();
    let ordered = Mutex::new(Ordered {
        assembly,
        keeper,
        numbers: 0,
        joins: 0,
        failed: None,
    });
    let turned = Condvar::new();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let partition = next.fetch_add(1, Ordering::Relaxed);
            if partition >= PARTITIONS {
                return;
            }
            let known = counted.get(partition).and_then(|own| lock(own).take());
            let prepared = match known {
                Some(prepared) => Ok(prepared),
                None => (heap.gather(partition)).map(|tuples| plan.prepare(partition, tuples)),
            };
            let mut prepared = match prepared {
                Ok(prepared) => prepared,
                Err(error) => return fail(&ordered, &turned, error),
            };
            let Some(mut turn) = wait(&ordered, &turned, |own| own.numbers == partition) else {
                return;
            };
            turn.assembly.number(&plan, &mut prepared);
            turn.numbers += 1;
            drop(turn);
            turned.notify_all();
            let laid_out = plan.lay_out(prepared);
            let Some(mut turn) = wait(&ordered, &turned, |own| own.joins == partition) else {
                return;
            };
            let arrays = turn.assembly.join(&plan, laid_out);
            if let Err(error) = turn.keeper.keep(arrays) {
                drop(turn);
                return fail(&ordered, &turned, error);
            }
            turn.joins += 1;
            drop(turn);
            turned.notify_all();
            progress.assembled();
        }
    };
    in_threads(threads, work);
    let ordered = ordered.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Ordered {
        assembly,
        keeper,
        failed,
        ..
    } = ordered;
    drop(heap);
    match failed {
        Some(error) => Err(error),
        None => assembly.finish(&keeper.shelf),
    }
}

/// How many threads are worth it, and fit in half of the budget.
fn threads(heap: &Heap, counts: &[usize]) -> usize {
    if counts.iter().sum::<usize>() < THREADED_MIN {
        return 1;
    }
    let largest = counts.iter().copied().max().unwrap_or_default() as u64;
    let fitting = heap.budget().memory / 2 / (largest * RULE).max(1);
    let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
    fitting.min(heap.budget().threads).max(1)
}

/// Prepares the first so many partitions.
fn prepare_first(
    plan: &Plan<'_>,
    heap: &Heap,
    first: usize,
    threads: usize,
) -> Result<Vec<Prepared>, String> {
    let next = AtomicUsize::new(0);
    let all: Vec<Mutex<Option<Result<Prepared, String>>>> =
        (0..first).map(|_| Mutex::new(None)).collect();
    in_threads(threads, || {
        loop {
            let partition = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = all.get(partition) else {
                return;
            };
            let tuples = heap.gather(partition);
            *lock(place) = Some(tuples.map(|tuples| plan.prepare(partition, tuples)));
        }
    });
    let all = all.into_iter();
    let all = all.filter_map(|own| own.into_inner().unwrap_or_else(PoisonError::into_inner));
    all.collect()
}

/// Does the same on so many threads, of which this is one.
fn in_threads(threads: usize, work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(&work);
        }
        work();
    });
}

/// Waits until it is a partition's turn; `None` if it never will be.
fn wait<'m, 'a>(
    ordered: &'m Mutex<Ordered<'a>>,
    turned: &Condvar,
    is_turn: impl Fn(&Ordered<'a>) -> bool,
) -> Option<MutexGuard<'m, Ordered<'a>>> {
    let own = lock(ordered);
    let own = turned.wait_while(own, |own| own.failed.is_none() && !is_turn(own));
    let own = own.unwrap_or_else(PoisonError::into_inner);
    own.failed.is_none().then_some(own)
}

/// Ends the work of all threads.
fn fail(ordered: &Mutex<Ordered<'_>>, turned: &Condvar, error: String) {
    lock(ordered).failed.get_or_insert(error);
    turned.notify_all();
}

/// Locks; a thread that panicked takes the others with it anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
