//! Bindings, of which there may be a hundred million: in memory and, above what
//! there is room for, in files, until their index is made part by part.
//!
//! ```text
//! Batch ─┬▶ bindings, subscribers ────────────────────────────▶ BoundShelf
//!        └▶ entries, in parts ─▶ sort, lay out ─▶ starts, words ─▶ │
//!                                several at once                   ▼
//!                                                 sections, or Gathered in memory
//! ```

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::Budget;
use super::assemble::{in_threads, lock};
use super::packed::Packed;
use super::stacks::{Stacks, fill};
use crate::equipment::{
    BOUND, BOUND_SECTIONS, Batch, BoundLayout, Gathered, Loose4, Octets, PARTS, RULE,
};
use crate::snapshot::Sum;

/// What part of the budget may be used, by everything, before bindings go to a
/// file: the rest is for the rules of single devices.
const SHARE: (u64, u64) = (1, 2);

/// Entries of a part that are gathered before they are put away: enough that a
/// file is not read in too many pieces.
const BUFFER: usize = 2048;

/// Parts that share their memory, which is free again when all of them are laid
/// out: each such group may have two megabytes more than it needs.
const GROUP: usize = 16;

/// Octets that an entry takes while its part is sorted and laid out.
const ENTRY: u64 = 48;

/// What part of the budget all parts that are being sorted may take.
const SORTED_SHARE: u64 = 8;

/// Fewer entries than these are not worth a thread.
const THREADED_MIN: usize = 200_000;

/// The number of the array of the index that tells where buckets begin.
const STARTS: usize = 0;
/// That of its entries.
const WORDS: usize = 1;

//----------- BoundHeap -------------------------------------------------------

/// Bindings that were read.
#[derive(Debug)]
pub(super) struct BoundHeap {
    /// How much may be in memory.
    budget: Budget,
    /// What is known of each, and who is bound.
    columns: Columns,
    /// Those of single subscribers, by parts of the index.
    parts: Stacks,
    /// How many there are of each part, and the last ones of it.
    gathered: Vec<(usize, Vec<Loose4>)>,
}

impl BoundHeap {
    /// None yet.
    pub(super) fn new(budget: &Budget) -> Self {
        let limit = budget.memory.saturating_mul(SHARE.0) / SHARE.1;
        Self {
            budget: budget.clone(),
            columns: Columns {
                rules: Packed::new((budget, limit)),
                subscribers: Packed::new((budget, limit)),
                sums: Default::default(),
            },
            parts: Stacks::new(PARTS, GROUP, (budget, limit)),
            gathered: (0..PARTS).map(|_| (0, Vec::new())).collect(),
        }
    }

    /// Adds bindings behind those that there are.
    ///
    /// # Errors
    ///
    /// If they do not fit in memory, and the file cannot be written.
    pub(super) fn add(&mut self, batches: Vec<Batch>) -> Result<(), String> {
        for batch in batches {
            self.columns.add(&batch)?;
            for &entry in &batch.entries {
                let part = entry.part();
                let Some((count, own)) = self.gathered.get_mut(part) else {
                    continue;
                };
                *count += 1;
                own.push(entry);
                if own.len() >= BUFFER {
                    self.parts.append(part, bytemuck::cast_slice(own))?;
                    own.clear();
                }
            }
        }
        Ok(())
    }

    /// Makes the index of all of them; `None` if there are none.
    ///
    /// # Errors
    ///
    /// If a file of what does not fit in memory cannot be written or read.
    pub(super) fn arrange(mut self) -> Result<Option<BoundShelf>, String> {
        if self.columns.rules.length() == 0 {
            return Ok(None);
        }
        for (part, (_, own)) in self.gathered.iter_mut().enumerate() {
            self.parts.append(part, bytemuck::cast_slice(own))?;
            *own = Vec::new();
        }
        let counts = self.gathered.iter().map(|&(count, _)| count);
        let counts: Vec<usize> = counts.collect();
        let layout = BoundLayout::new(counts.iter().sum());
        let limit = self.budget.memory.saturating_mul(SHARE.0) / SHARE.1;
        let ordered = Mutex::new(Ordered {
            index: Stacks::new(2, 1, (&self.budget, limit)),
            sums: Default::default(),
            next: 0,
            failed: None,
        });
        let turned = Condvar::new();
        let next = AtomicUsize::new(0);
        let befores = counts.iter().scan(0u64, |sum, &count| {
            let before = *sum;
            *sum += count as u64;
            Some(before)
        });
        let befores: Vec<u64> = befores.collect();
        in_threads(self.threads(&counts), || {
            let mut room = Room::default();
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                let (Some(&count), Some(&before)) = (counts.get(part), befores.get(part)) else {
                    return;
                };
                let laid_out = self.lay_out(&layout, (part, count, before), &mut room);
                let own = lock(&ordered);
                let own = turned.wait_while(own, |own| own.failed.is_none() && own.next != part);
                let mut own = own.unwrap_or_else(PoisonError::into_inner);
                match laid_out.and_then(|()| own.keep(&room)) {
                    Ok(()) => own.next += 1,
                    Err(error) => drop(own.failed.get_or_insert(error)),
                }
                let has_failed = own.failed.is_some();
                drop(own);
                turned.notify_all();
                if has_failed {
                    return;
                }
            }
        });
        let ordered = ordered.into_inner().unwrap_or_else(PoisonError::into_inner);
        match ordered.failed {
            Some(error) => Err(error),
            None => Ok(Some(BoundShelf {
                layout,
                columns: self.columns,
                index: ordered.index,
                sums: ordered.sums,
            })),
        }
    }

    /// Lays a part out: one of so many entries, with so many before it.
    fn lay_out(
        &self,
        layout: &BoundLayout,
        (part, count, before): (usize, usize, u64),
        room: &mut Room,
    ) -> Result<(), String> {
        let Room {
            entries,
            starts,
            words,
        } = room;
        // All of it is written to.
        entries.resize(count, bytemuck::Zeroable::zeroed());
        let octets = bytemuck::cast_slice_mut(entries);
        fill(octets, |take| self.parts.read(part, take))?;
        self.parts.release(part);
        Loose4::sort(entries);
        let place = layout.part(part, before);
        starts.resize(place.starts(), 0);
        words.resize(count * layout.stride(), 0);
        layout.lay(entries, &place, (starts, words));
        Ok(())
    }

    /// How many threads are worth it, and fit in the budget.
    fn threads(&self, counts: &[usize]) -> usize {
        if counts.iter().sum::<usize>() < THREADED_MIN {
            return 1;
        }
        let largest = counts.iter().copied().max().unwrap_or_default() as u64;
        let fitting = self.budget.memory / SORTED_SHARE / (largest * ENTRY).max(1);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
        fitting.min(self.budget.threads).max(1)
    }
}

/// What is known of bindings beside the index.
#[derive(Debug)]
struct Columns {
    /// The bindings.
    rules: Packed<RULE>,
    /// Who is bound.
    subscribers: Packed<BOUND>,
    /// The checksums of both.
    sums: [Sum; 2],
}

impl Columns {
    /// Adds a batch.
    fn add(&mut self, batch: &Batch) -> Result<(), String> {
        let [rules, subscribers] = &mut self.sums;
        rules.add(bytemuck::cast_slice(batch.rules()));
        subscribers.add(bytemuck::cast_slice(batch.subscribers()));
        self.rules.add(batch.rules())?;
        self.subscribers.add(batch.subscribers())
    }
}

/// What whoever lays out part after part uses again.
#[derive(Debug, Default)]
struct Room {
    /// The entries.
    entries: Vec<Loose4>,
    /// Where buckets begin.
    starts: Vec<u32>,
    /// The entries in their places.
    words: Vec<u32>,
}

/// What is done in the order of parts.
struct Ordered {
    /// The index so far.
    index: Stacks,
    /// Its checksums.
    sums: [Sum; 2],
    /// The next part.
    next: usize,
    /// Why it ended early.
    failed: Option<String>,
}

impl Ordered {
    /// Keeps the next part.
    fn keep(&mut self, room: &Room) -> Result<(), String> {
        let arrays = [(STARTS, &room.starts), (WORDS, &room.words)];
        for ((array, own), sum) in arrays.into_iter().zip(&mut self.sums) {
            let octets = bytemuck::cast_slice(own);
            sum.add(octets);
            self.index.append(array, octets)?;
        }
        Ok(())
    }
}

//----------- BoundShelf ------------------------------------------------------

/// All bindings and their index, as they are stored.
#[derive(Debug)]
pub(crate) struct BoundShelf {
    /// How the index is laid out.
    layout: BoundLayout,
    /// What is known of each binding.
    columns: Columns,
    /// The index.
    index: Stacks,
    /// The checksums of that.
    sums: [Sum; 2],
}

impl BoundShelf {
    /// What there is to know of bindings that stay here.
    pub(super) fn outline(&self) -> Option<Gathered> {
        Gathered::laid_out(&self.layout, Default::default(), Default::default())
    }

    /// All bindings in memory.
    ///
    /// # Errors
    ///
    /// If the files of what did not fit there while they were sorted cannot be
    /// read.
    pub(crate) fn into_memory(self) -> Result<Option<Gathered>, String> {
        let [rules, subscribers, starts, words] = BOUND_SECTIONS.map(|section| {
            let array = self.array(section);
            array.map_or(Ok(Octets::default()), |array| array.into_memory())
        });
        Ok(Gathered::laid_out(
            &self.layout,
            [rules?, subscribers?],
            [starts?, words?],
        ))
    }

    /// The array that a section is, if it is here.
    pub(super) fn array(&self, section: &str) -> Option<BoundArray<'_>> {
        let Columns {
            rules,
            subscribers,
            sums: [rules_sum, subscribers_sum],
        } = &self.columns;
        let [starts_sum, words_sum] = &self.sums;
        let arrays = [
            (Place::Rules(rules), rules_sum),
            (Place::Subscribers(subscribers), subscribers_sum),
            (Place::Index(&self.index, STARTS), starts_sum),
            (Place::Index(&self.index, WORDS), words_sum),
        ];
        let mut named = BOUND_SECTIONS.into_iter().zip(arrays);
        let (_, (place, sum)) = named.find(|&(name, _)| name == section)?;
        Some(BoundArray { place, sum })
    }
}

/// A section of them.
#[derive(Debug)]
pub(super) struct BoundArray<'a> {
    /// Where it is.
    place: Place<'a>,
    /// Its checksum.
    sum: &'a Sum,
}

/// See [`BoundArray`].
#[derive(Debug)]
enum Place<'a> {
    /// It is what is known of bindings.
    Rules(&'a Packed<RULE>),
    /// It is who is bound.
    Subscribers(&'a Packed<BOUND>),
    /// It is an array of the index.
    Index(&'a Stacks, usize),
}

impl BoundArray<'_> {
    /// How many octets it has.
    pub(super) fn length(&self) -> u64 {
        match self.place {
            Place::Rules(packed) => packed.length(),
            Place::Subscribers(packed) => packed.length(),
            Place::Index(index, array) => index.length_of(array),
        }
    }

    /// Its checksum.
    pub(super) fn checksum(&self) -> u64 {
        self.sum.clone().finish()
    }

    /// Gives it to `take`, one piece after the other.
    ///
    /// # Errors
    ///
    /// Those of `take`, and when it cannot be read.
    pub(super) fn read(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match self.place {
            Place::Rules(packed) => packed.read(take),
            Place::Subscribers(packed) => packed.read(take),
            Place::Index(index, array) => index.read(array, take),
        }
    }

    /// It in memory.
    fn into_memory(self) -> Result<Octets, String> {
        // What does not fit there is not asked for.
        let length = usize::try_from(self.length()).unwrap_or(0);
        let mut octets = Octets::zeroed(length);
        fill(octets.as_mut_slice(), |take| self.read(take))?;
        Ok(octets)
    }
}
