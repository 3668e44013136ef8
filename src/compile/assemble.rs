//! Partition by partition to the register, several at once.
//!
//! Each thread takes the next partition. What must be done in the order of
//! partitions waits for its turn, so that the result does not depend on how many
//! threads there are; as partitions are taken in order, the one whose turn it is
//! never waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::buckets::Buckets;
use super::shelf::Rest;
use super::{Heap, Progress, Shelf};
use crate::equipment::bulk::{
    Arrays, Assembled, Assembly, BUCKETS, Filled, Item, Kept, PARTITIONS, Partition, Plan,
    Prepared, Scattered, Scratch, Sketch, counted,
};

/// Octets that a rule takes while its partition is sorted and laid out: the word
/// twice, line and what is said, and what is made of them.
const RULE: u64 = 40;

/// What part of the budget all partitions that are being sorted may take.
const SHARE: u64 = 8;

/// Fewer rules than these are not worth a thread.
const THREADED_MIN: usize = 200_000;

/// How many parts of the table of the rest besides those that threads are at may
/// wait for one before them: enough for nobody to wait for a thread that waits for
/// a processor.
const WAITING_MAX: usize = 4;

/// Where the arrays of pieces go.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// To memory, to be served from.
    pub(crate) kept: Option<Kept>,
    /// Otherwise to where they are written from.
    pub(crate) shelf: Shelf,
    /// The devices that are needed again.
    buckets: Buckets,
}

impl Keeper {
    /// A keeper in memory, for the rules of a heap.
    pub(crate) fn memory(heap: &Heap) -> Self {
        let rules = (0..PARTITIONS).map(|partition| heap.count(partition) as u64);
        // What is kept has its own memory.
        heap.budget().ledger.give_back();
        Self {
            kept: Some(Kept::new(rules.sum())),
            ..Self::shelf(heap)
        }
    }

    /// A shelf, within the budget of a heap.
    pub(crate) fn shelf(heap: &Heap) -> Self {
        Self {
            kept: None,
            shelf: Shelf::new(heap.budget()),
            buckets: Buckets::new(heap.budget()),
        }
    }

    /// Keeps the arrays of the next piece; the memory of the rest comes back.
    fn keep(&mut self, mut arrays: Arrays) -> Result<Scattered, String> {
        let rest = core::mem::take(&mut arrays.rest);
        self.buckets.add(&rest)?;
        match &mut self.kept {
            Some(kept) => kept.keep(arrays),
            None => self.shelf.keep(&arrays)?,
        }
        Ok(rest)
    }

    /// Begins the table of the rest, and tells where it is written to at once.
    fn begin_rest(&mut self, sketch: &Sketch) -> Result<Option<Rest>, String> {
        match &mut self.kept {
            Some(kept) => {
                kept.begin_rest(sketch);
                Ok(None)
            }
            None => self.shelf.begin_rest(sketch).map(Some),
        }
    }

    /// Keeps what the next bucket has filled of it; memory that is free then comes
    /// back.
    fn keep_part(&mut self, filled: Filled) -> Result<Filled, String> {
        match &mut self.kept {
            Some(kept) => {
                kept.keep_part(filled);
                Ok(Filled::default())
            }
            None => {
                self.shelf.keep_part(&filled)?;
                Ok(filled)
            }
        }
    }

    /// What a bucket has filled.
    fn part(&self, bucket: usize, sketch: &Sketch) -> Result<Filled, String> {
        match &self.kept {
            Some(kept) => Ok(kept.part(bucket, sketch)),
            None => self.shelf.part(bucket, sketch),
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
    // Most of those of a small register are empty.
    let is_empty = |partition: &usize| counts.get(*partition) == Some(&0);
    let (empty, partitions): (Vec<usize>, Vec<usize>) = (0..PARTITIONS).partition(is_empty);
    for partition in empty {
        heap.skip(partition);
        progress.assembled();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut memory = Partition::default();
        let mut scratch = Scratch::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(&partition) = partitions.get(number) else {
                return;
            };
            let known = counted.get(partition).and_then(|own| lock(own).take());
            let prepared = match known {
                Some(prepared) => Ok(prepared),
                None => (heap.gather(partition, core::mem::take(&mut memory)))
                    .map(|tuples| plan.prepare(partition, tuples)),
            };
            let mut prepared = match prepared {
                Ok(prepared) => prepared,
                Err(error) => return fail(&ordered, &turned, error),
            };
            let Some(mut turn) = wait(&ordered, &turned, |own| own.numbers == number) else {
                return;
            };
            turn.assembly.number(&plan, &mut prepared);
            turn.numbers += 1;
            drop(turn);
            turned.notify_all();
            let laid_out = plan.lay_out(prepared, (&mut memory, &mut scratch));
            let Some(mut turn) = wait(&ordered, &turned, |own| own.joins == number) else {
                return;
            };
            let arrays = turn.assembly.join(&plan, laid_out);
            match turn.keeper.keep(arrays) {
                Ok(rest) => scratch.take_back(rest),
                Err(error) => {
                    drop(turn);
                    return fail(&ordered, &turned, error);
                }
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
    if let Some(error) = failed {
        return Err(error);
    }
    let table = match assembly.sketch() {
        Some(sketch) => Some(table(sketch, keeper, assembly.large(), threads)?),
        None => None,
    };
    thread::scope(|scope| {
        // What was needed until here takes long to give back.
        let ledger = &keeper.shelf.budget.ledger;
        if table.is_some() && threads > 1 {
            scope.spawn(|| ledger.give_back());
        }
        assembly.finish(table, &keeper.buckets)
    })
}

//----------- The rest --------------------------------------------------------

/// What buckets have filled so far.
#[derive(Default)]
struct Fill {
    /// The bucket that is kept next.
    next: usize,
    /// What those have filled that are not kept yet.
    waiting: BTreeMap<usize, Filled>,
    /// Whether somebody keeps one.
    is_keeping: bool,
    /// Memory for others.
    spare: Vec<Filled>,
    /// Why it ended early.
    failed: Option<String>,
}

impl Fill {
    /// The next bucket, if it is to be kept and nobody else keeps one.
    fn begin(&mut self) -> Option<(usize, Filled)> {
        if self.is_keeping {
            return None;
        }
        let filled = self.waiting.remove(&self.next)?;
        self.is_keeping = true;
        Some((self.next, filled))
    }

    /// Ends what was begun; with the memory of it, or why it could not be done.
    fn end(&mut self, kept: Result<Filled, String>) {
        self.is_keeping = false;
        self.next += 1;
        match kept {
            Ok(filled) => self.spare.push(filled),
            Err(error) => drop(self.failed.get_or_insert(error)),
        }
    }
}

/// What is kept of it.
struct Keep<'a> {
    /// Where it goes.
    keeper: &'a mut Keeper,
    /// The file that lines are written to at once.
    rest: Option<Rest>,
    /// What has no room.
    exact: Vec<Item>,
    /// How many devices found their line full.
    overflowed: usize,
}

impl Keep<'_> {
    /// Keeps what the next bucket has filled; memory that is free then comes back.
    fn keep(&mut self, bucket: usize, mut filled: Filled) -> Result<Filled, String> {
        self.exact.append(&mut filled.exact);
        self.overflowed += filled.overflowed;
        if let Some(rest) = &self.rest {
            rest.write(bucket, &filled)?;
        }
        self.keeper.keep_part(filled)
    }
}

/// Makes the table of the rest; returns what it is like in the end, and what has
/// no room in it.
fn table(
    mut sketch: Sketch,
    keeper: &mut Keeper,
    large: &[Item],
    threads: usize,
) -> Result<(Sketch, Vec<Item>), String> {
    loop {
        let (exact, overflowed) = fill_all(&sketch, keeper, threads)?;
        let Some(next) = sketch.after(overflowed) else {
            return Ok((sketch, exact));
        };
        // Once more with other factors; what has been put in comes out again.
        let mut buckets = Buckets::new(&keeper.shelf.budget);
        for bucket in 0..BUCKETS {
            let part = keeper.part(bucket, &sketch)?;
            buckets.add(&next.scatter_again(&sketch, (bucket, &part)))?;
        }
        for items in [&exact, large] {
            buckets.add(&next.scatter(items))?;
        }
        keeper.buckets = buckets;
        sketch = next;
    }
}

/// Fills all parts of it.
fn fill_all(
    sketch: &Sketch,
    keeper: &mut Keeper,
    threads: usize,
) -> Result<(Vec<Item>, usize), String> {
    let rest = keeper.begin_rest(sketch)?;
    let buckets = core::mem::replace(&mut keeper.buckets, Buckets::new(&keeper.shelf.budget));
    let keep = Mutex::new(Keep {
        keeper,
        rest,
        exact: Vec::new(),
        overflowed: 0,
    });
    let fill = Mutex::new(Fill::default());
    let turned = Condvar::new();
    let next = AtomicUsize::new(0);
    in_threads(threads, || {
        loop {
            let bucket = next.fetch_add(1, Ordering::Relaxed);
            if bucket >= BUCKETS {
                return;
            }
            let memory = lock(&fill).spare.pop();
            let filled = sketch.fill(bucket, &buckets, memory.unwrap_or_default());
            buckets.release(bucket);
            let mut own = lock(&fill);
            match filled {
                Ok(filled) => drop(own.waiting.insert(bucket, filled)),
                Err(error) => drop(own.failed.get_or_insert(error)),
            }
            // Whoever has the next one keeps those that wait for it, too, while
            // others go on.
            while let Some((bucket, filled)) = own.begin() {
                drop(own);
                let kept = lock(&keep).keep(bucket, filled);
                own = lock(&fill);
                own.end(kept);
                turned.notify_all();
            }
            let is_far_ahead = |own: &mut Fill| bucket > own.next + threads + WAITING_MAX;
            let own = turned.wait_while(own, |own| own.failed.is_none() && is_far_ahead(own));
            let own = own.unwrap_or_else(PoisonError::into_inner);
            if own.failed.is_some() {
                drop(own);
                return turned.notify_all();
            }
        }
    });
    let fill = fill.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = fill.failed {
        return Err(error);
    }
    let keep = keep.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(rest) = &keep.rest {
        rest.flush();
    }
    Ok((keep.exact, keep.overflowed))
}

//----------- Threads ---------------------------------------------------------

/// How many threads are worth it, and fit in the budget.
fn threads(heap: &Heap, counts: &[usize]) -> usize {
    if counts.iter().sum::<usize>() < THREADED_MIN {
        return 1;
    }
    let largest = counts.iter().copied().max().unwrap_or_default() as u64;
    let fitting = heap.budget().memory / SHARE / (largest * RULE).max(1);
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
            let tuples = match heap.count(partition) {
                0 => Ok(Partition::default()),
                _ => heap.gather(partition, Partition::default()),
            };
            *lock(place) = Some(tuples.map(|tuples| plan.prepare(partition, tuples)));
        }
    });
    let all = all.into_iter();
    let all = all.filter_map(|own| own.into_inner().unwrap_or_else(PoisonError::into_inner));
    all.collect()
}

/// Does the same on so many threads, of which this is one.
pub(super) fn in_threads(threads: usize, work: impl Fn() + Sync) {
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
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
