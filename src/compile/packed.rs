//! Records on their way to a file that say little each: what follows from the
//! first of a batch is not kept.
//!
//! A list has bindings of one kind from one file, on lines one after the other:
//! of the twelve words of each, four tell something.

use std::io;

use super::Budget;
use super::stacks::Stacks;

/// Octets of a word.
const WORD: usize = size_of::<u32>();

/// Records of `WIDTH` words.
#[derive(Debug)]
pub(super) struct Packed<const WIDTH: usize> {
    /// What is kept of them, batch by batch: word by word, of all records.
    kept: Stacks,
    /// What there is to know of each batch.
    heads: Vec<Head<WIDTH>>,
}

/// What there is to know of a batch.
#[derive(Debug)]
struct Head<const WIDTH: usize> {
    /// How many records it has.
    count: usize,
    /// The words.
    words: [Word; WIDTH],
}

/// A word of all records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// It is the same in all.
    Same(u32),
    /// It is one more in each than in the one before.
    Rising(u32),
    /// It is kept.
    Kept,
}

impl<const WIDTH: usize> Head<WIDTH> {
    /// That of some records.
    fn of(records: &[[u32; WIDTH]]) -> Self {
        let first = records.first().copied().unwrap_or([0; WIDTH]);
        let (mut same, mut rising) = ([0; WIDTH], [0; WIDTH]);
        for (record, place) in records.iter().zip(0u32..) {
            let words = record.iter().zip(first);
            for ((word, first), (same, rising)) in words.zip(same.iter_mut().zip(&mut rising)) {
                *same |= word ^ first;
                *rising |= word ^ first.wrapping_add(place);
            }
        }
        let mut words = [Word::Kept; WIDTH];
        for ((own, first), differs) in words.iter_mut().zip(first).zip(same.iter().zip(rising)) {
            match differs {
                (0, _) => *own = Word::Same(first),
                (_, 0) => *own = Word::Rising(first),
                _ => {}
            }
        }
        Self {
            count: records.len(),
            words,
        }
    }

    /// How many words are kept of all its records.
    fn kept(&self) -> usize {
        let kept = self.words.iter().filter(|&&word| word == Word::Kept);
        kept.count() * self.count
    }

    /// The records of which this was kept.
    fn unpack(&self, kept: &[u32], records: &mut Vec<[u32; WIDTH]>) {
        // All of it is written to.
        records.resize(self.count, [0; WIDTH]);
        let mut kept = kept.chunks_exact(self.count.max(1));
        for (place, word) in self.words.iter().enumerate() {
            let all = records
                .iter_mut()
                .filter_map(|record| record.get_mut(place));
            match *word {
                Word::Same(first) => all.for_each(|own| *own = first),
                Word::Rising(first) => {
                    (all.zip(0u32..)).for_each(|(own, place)| *own = first.wrapping_add(place));
                }
                Word::Kept => {
                    let column = kept.next().unwrap_or_default();
                    all.zip(column).for_each(|(own, &word)| *own = word);
                }
            }
        }
    }
}

impl<const WIDTH: usize> Packed<WIDTH> {
    /// None yet; what is kept goes to a file when so many octets of the budget are
    /// used.
    pub(super) fn new(budget: (&Budget, u64)) -> Self {
        Self {
            kept: Stacks::new(1, 1, budget),
            heads: Vec::new(),
        }
    }

    /// Adds a batch of records.
    ///
    /// # Errors
    ///
    /// If there is no room in memory, and the file cannot be written.
    pub(super) fn add(&mut self, records: &[[u32; WIDTH]]) -> Result<(), String> {
        let head = Head::of(records);
        let mut column: Vec<u32> = Vec::with_capacity(records.len());
        for (place, _) in (head.words.iter().enumerate()).filter(|own| *own.1 == Word::Kept) {
            column.clear();
            column.extend(records.iter().filter_map(|record| record.get(place)));
            self.kept.append(0, bytemuck::cast_slice(&column))?;
        }
        self.heads.push(head);
        Ok(())
    }

    /// Octets of all records.
    pub(super) fn length(&self) -> u64 {
        let counts = self.heads.iter().map(|head| head.count as u64);
        counts.sum::<u64>() * (WIDTH * WORD) as u64
    }

    /// Gives all records to `take`, batch by batch.
    ///
    /// # Errors
    ///
    /// Those of `take`, and when the file cannot be read.
    pub(super) fn read(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut heads = self.heads.iter().peekable();
        let mut records = Vec::new();
        let mut held: Vec<u32> = Vec::new();
        let mut give = |held: &mut Vec<u32>| {
            let mut used = 0;
            while let Some(head) = heads.next_if(|head| used + head.kept() <= held.len()) {
                let kept = held.get(used..used + head.kept());
                head.unpack(kept.unwrap_or_default(), &mut records);
                take(bytemuck::cast_slice(&records))?;
                used += head.kept();
            }
            held.drain(..used);
            Ok::<_, io::Error>(())
        };
        self.kept.read(0, &mut |octets| {
            // They were kept as whole words.
            let words = octets
                .chunks_exact(WORD)
                .filter_map(|word| word.first_chunk());
            held.extend(words.map(|word| u32::from_ne_bytes(*word)));
            give(&mut held)
        })?;
        // Of the last ones, or of all, there may be nothing to keep.
        give(&mut held)
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compile::Ledger;

    proptest! {
        /// What comes back is what was added, wherever it was meanwhile.
        #[test]
        fn records_come_back(
            batches in prop::collection::vec((0usize..40, [0u8..4, 0..4, 0..4], any::<u32>()), 0..9),
            memory in prop_oneof![Just(0u64), Just(100), Just(1 << 20)],
        ) {
            let budget = Budget {
                ahead: None,
                memory,
                dir: std::env::temp_dir(),
                threads: 1,
                ledger: Ledger::default(),
            };
            let mut packed = Packed::<3>::new((&budget, memory));
            let mut all = Vec::new();
            for (count, kinds, first) in batches {
                let word = |kind: u8, place: u32| match kind {
                    0 => first,
                    1 => first.wrapping_add(place),
                    2 => first.wrapping_mul(place | 1),
                    _ => place / 2,
                };
                let records = (0..count as u32).map(|place| kinds.map(|kind| word(kind, place)));
                let records: Vec<[u32; 3]> = records.collect();
                packed.add(&records).unwrap();
                all.extend(records);
            }
            let mut back: Vec<u8> = Vec::new();
            packed
                .read(&mut |octets| {
                    back.extend_from_slice(octets);
                    Ok(())
                })
                .unwrap();
            prop_assert_eq!(packed.length(), back.len() as u64);
            prop_assert_eq!(back, bytemuck::cast_slice::<_, u8>(&all));
        }
    }

    #[test]
    fn what_follows_from_the_first_is_not_kept() {
        let budget = Budget {
            ahead: None,
            memory: 1 << 20,
            dir: std::env::temp_dir(),
            threads: 1,
            ledger: Ledger::default(),
        };
        let mut packed = Packed::<3>::new((&budget, 1 << 20));
        let records: Vec<[u32; 3]> = (0..100)
            .map(|place| [7, place + 9, place * place])
            .collect();
        packed.add(&records).unwrap();
        assert_eq!(packed.kept.length_of(0), 400);
    }
}
