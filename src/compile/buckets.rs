//! The devices of TACs without a structure of their own, bucket by bucket, until
//! the table that they share is made: in memory, and above the budget in a file.

use super::slabs::{At, Held};
use super::spill::Spill;
use super::{Budget, Slabs};
use crate::equipment::bulk::{BUCKETS, Few, Rest, Scattered};

/// So many pieces ahead of the one that is given, memory is asked for what they
/// have of a bucket, which is too little for the processor to see what comes next.
const AHEAD: usize = 2;

/// Buckets that stand together: each so many are given back at once.
const GROUP: usize = 64;

/// How many groups there are.
const GROUPS: usize = BUCKETS / GROUP;

/// Them.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// How much may be in memory.
    budget: Budget,
    /// What is.
    slabs: Slabs,
    /// The devices of each piece.
    pieces: Vec<Placed>,
    /// Those in a file.
    spill: Option<Spill>,
    /// What is gathered for it.
    buffer: Vec<u8>,
}

/// Where the devices of a piece are.
#[derive(Debug)]
struct Placed {
    /// Where each bucket ends, counted in devices.
    ends: Vec<u32>,
    /// Octets of a device.
    size: usize,
    /// Where they are.
    place: Place,
}

/// See [`Placed`].
#[derive(Debug)]
enum Place {
    /// In slabs: where those of each group begin.
    Memory(Box<[At; GROUPS]>),
    /// In the file, from there on.
    File(u64),
}

impl Buckets {
    /// None yet.
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            slabs: Slabs::new(GROUPS, GROUP, budget.ledger.clone()),
            budget: budget.clone(),
            pieces: Vec::new(),
            spill: None,
            buffer: Vec::new(),
        }
    }

    /// Adds those of the next piece.
    ///
    /// # Errors
    ///
    /// If they do not fit in memory, and the file cannot be written.
    pub(super) fn add(&mut self, piece: &Scattered) -> Result<(), String> {
        if piece.len() == 0 {
            return Ok(());
        }
        let size = size_of::<u64>()
            + if piece.has_lines() {
                size_of::<u32>()
            } else {
                0
            };
        let write = |bucket: usize, octets: &mut Vec<u8>| {
            let few = piece.bucket(bucket);
            octets.extend_from_slice(few.words);
            octets.extend_from_slice(few.lines);
        };
        let place = if self.budget.has_room(piece.len() * size) {
            let mut at = [At::default(); GROUPS];
            for (group, at) in at.iter_mut().enumerate() {
                let buckets = group * GROUP..(group + 1) * GROUP;
                let octets = piece.count(buckets.clone()) * size;
                *at = self
                    .slabs
                    .append(group, octets, |octets| match piece.has_lines() {
                        true => buckets.for_each(|bucket| write(bucket, octets)),
                        false => octets.extend_from_slice(piece.words(buckets)),
                    });
            }
            Place::Memory(Box::new(at))
        } else {
            let spill = match &mut self.spill {
                Some(spill) => spill,
                none => none.insert(Spill::new(&self.budget.dir)?),
            };
            self.buffer.clear();
            (0..BUCKETS).for_each(|bucket| write(bucket, &mut self.buffer));
            Place::File(spill.append(&self.buffer)?)
        };
        self.pieces.push(Placed {
            ends: piece.ends().to_vec(),
            size,
            place,
        });
        Ok(())
    }

    /// Notes that a bucket will not be asked for again.
    pub(super) fn release(&self, bucket: usize) {
        self.slabs.release(bucket / GROUP);
    }

    /// Gives the devices of a piece in a bucket to `take`; with the slab of the
    /// bucket's group, and memory to read into.
    fn give(
        &self,
        (piece, bucket): (&Placed, usize),
        (slab, buffer): (Held<'_>, &mut Vec<u8>),
        take: &mut dyn FnMut(Few<'_>),
    ) -> Result<(), String> {
        let size = piece.size;
        let range = piece.start(bucket)..piece.start(bucket + 1);
        if range.is_empty() {
            return Ok(());
        }
        let octets = match (&piece.place, &self.spill) {
            (Place::Memory(_), _) => piece.octets(bucket, slab),
            (Place::File(at), Some(spill)) => {
                buffer.resize(range.len() * size, 0);
                spill.read(buffer, at + (range.start * size) as u64)?;
                buffer
            }
            // Nothing is in a file that is not there.
            (Place::File(_), None) => &[],
        };
        let words = octets.split_at_checked(range.len() * size_of::<u64>());
        let (words, lines) = words.unwrap_or_default();
        take(Few { words, lines });
        Ok(())
    }
}

impl Rest for Buckets {
    fn bucket(&self, bucket: usize, take: &mut dyn FnMut(Few<'_>)) -> Result<(), String> {
        let mut buffer = Vec::new();
        self.slabs.look(bucket / GROUP, |slab| {
            let mut ahead = self.pieces.iter().skip(AHEAD);
            self.pieces.iter().try_for_each(|piece| {
                if let Some(ahead) = ahead.next() {
                    ahead.prefetch(bucket, slab);
                }
                self.give((piece, bucket), (slab, &mut buffer), take)
            })
        })
    }

    fn all(&self, take: &mut dyn FnMut(Few<'_>)) -> Result<(), String> {
        let mut buffer = Vec::new();
        for piece in &self.pieces {
            for group in 0..GROUPS {
                self.slabs.look(group, |slab| {
                    let mut buckets = group * GROUP..(group + 1) * GROUP;
                    buckets.try_for_each(|bucket| {
                        self.give((piece, bucket), (slab, &mut buffer), take)
                    })
                })?;
            }
        }
        Ok(())
    }
}

impl Placed {
    /// Where a bucket begins.
    fn start(&self, bucket: usize) -> usize {
        let before = bucket.checked_sub(1);
        let end = before.and_then(|before| self.ends.get(before));
        end.copied().unwrap_or_default() as usize
    }

    /// What there is of a bucket in the slab of its group.
    fn octets<'a>(&self, bucket: usize, slab: Held<'a>) -> &'a [u8] {
        let Place::Memory(at) = &self.place else {
            return &[];
        };
        let group = bucket / GROUP;
        let first = self.start(group * GROUP);
        let own = [bucket, bucket + 1].map(|bucket| (self.start(bucket) - first) * self.size);
        let at = at.get(group).copied().unwrap_or_default();
        slab.get(at, own[0]..own[1])
    }

    /// Has that fetched while other work goes on.
    fn prefetch(&self, bucket: usize, slab: Held<'_>) {
        Few {
            words: self.octets(bucket, slab),
            lines: &[],
        }
        .prefetch();
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::Ledger;

    /// What one thread in memory reads is the oracle for what a file gives.
    #[test]
    fn devices_are_the_same_in_memory_and_in_a_file() {
        let pieces: Vec<Scattered> = [0u64, 1, 5000, 70_000]
            .map(|count| {
                let words = (0..count).map(|n| (n + count).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let words = words.collect::<Vec<_>>();
                Scattered::of((&words, &vec![7; count as usize]), Scattered::default())
            })
            .into();
        let read = |rest: &dyn Rest| {
            let mut all: Vec<Vec<u8>> = Vec::new();
            for bucket in (0..BUCKETS).map(Some).chain([None]) {
                let mut own = [Vec::new(), Vec::new()];
                let mut take = |few: Few<'_>| {
                    own[0].extend_from_slice(few.words);
                    own[1].extend_from_slice(few.lines);
                };
                match bucket {
                    Some(bucket) => rest.bucket(bucket, &mut take).unwrap(),
                    None => rest.all(&mut take).unwrap(),
                }
                all.extend(own);
            }
            all
        };
        let expected = read(&pieces);
        assert_eq!(
            expected.iter().map(Vec::len).sum::<usize>(),
            2 * 12 * 75_001
        );
        for memory in [0, 300_000, 1 << 30] {
            let mut buckets = Buckets::new(&Budget {
                memory,
                dir: std::env::temp_dir(),
                threads: 1,
                ledger: Ledger::default(),
                ahead: None,
            });
            pieces.iter().for_each(|piece| buckets.add(piece).unwrap());
            assert_eq!(buckets.spill.is_some(), memory < 1 << 20);
            assert!(read(&buckets) == expected, "{memory}");
            (0..BUCKETS).for_each(|bucket| buckets.release(bucket));
            assert_eq!(buckets.budget.ledger.sum(), 0);
        }
    }
}
