//! Arrays of octets that grow at their ends: in memory, and from a limit on in a
//! file.

use std::io;

use super::slabs::At;
use super::spill::Spill;
use super::{Budget, Slabs};

/// Octets that are read at a time.
const BUFFER: usize = 1 << 20;

/// Octets that are put into memory at once at most, so that little of a piece of
/// memory is left over.
const PART: usize = 128 << 10;

/// Them.
#[derive(Debug)]
pub(super) struct Stacks {
    /// Where what is too much goes.
    budget: Budget,
    /// How many octets may be used, of everything, before it goes there.
    limit: u64,
    /// What is in memory.
    slabs: Slabs,
    /// How many arrays share a slab.
    group: usize,
    /// What each array consists of.
    arrays: Vec<Vec<Place>>,
    /// What is in a file.
    spill: Option<Spill>,
}

/// Where a part of an array is.
#[derive(Debug)]
enum Place {
    /// In its slab: where it begins, and how long it is.
    Memory(At, usize),
    /// In the file: where it begins, and how long it is.
    File(u64, usize),
}

impl Place {
    /// Its octets.
    fn length(&self) -> usize {
        match self {
            Self::Memory(_, length) | Self::File(_, length) => *length,
        }
    }
}

impl Stacks {
    /// So many empty arrays, groups of which share their memory; they go to the
    /// file when so many octets of the budget are used.
    pub(super) fn new(arrays: usize, group: usize, (budget, limit): (&Budget, u64)) -> Self {
        Self {
            slabs: Slabs::new(arrays.div_ceil(group), group, budget.ledger.clone()),
            budget: budget.clone(),
            limit,
            group,
            arrays: (0..arrays).map(|_| Vec::new()).collect(),
            spill: None,
        }
    }

    /// Appends to one of the arrays.
    ///
    /// # Errors
    ///
    /// If there is no room in memory, and the file cannot be written.
    pub(super) fn append(&mut self, array: usize, octets: &[u8]) -> Result<(), String> {
        let Some(places) = self.arrays.get_mut(array).filter(|_| !octets.is_empty()) else {
            return Ok(());
        };
        if self.budget.ledger.sum() + octets.len() as u64 <= self.limit {
            for part in octets.chunks(PART) {
                let write = |slab: &mut Vec<u8>| slab.extend_from_slice(part);
                let at = self.slabs.append(array / self.group, part.len(), write);
                places.push(Place::Memory(at, part.len()));
            }
            return Ok(());
        }
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::new(&self.budget.dir)?),
        };
        let at = spill.append(octets)?;
        match places.last_mut() {
            // What follows on the last one is read with it.
            Some(Place::File(start, length)) if *start + *length as u64 == at => {
                *length += octets.len();
            }
            _ => places.push(Place::File(at, octets.len())),
        }
        Ok(())
    }

    /// Forgets what is in one of the arrays.
    pub(super) fn clear(&mut self, array: usize) {
        if let Some(places) = self.arrays.get_mut(array) {
            places.clear();
        }
    }

    /// Octets of one of the arrays.
    pub(super) fn length_of(&self, array: usize) -> u64 {
        let places = self.arrays.get(array).into_iter().flatten();
        places.map(|place| place.length() as u64).sum()
    }

    /// Fills a buffer from a place of one of the arrays on.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub(super) fn read_at(
        &self,
        array: usize,
        from: usize,
        buffer: &mut [u8],
    ) -> Result<(), String> {
        let mut before = 0;
        for place in self.arrays.get(array).into_iter().flatten() {
            let (start, end) = (
                from.max(before),
                (from + buffer.len()).min(before + place.length()),
            );
            let skipped = start - before;
            before += place.length();
            if start >= end {
                continue;
            }
            let Some(own) = buffer.get_mut(start - from..end - from) else {
                continue;
            };
            match (place, &self.spill) {
                (Place::Memory(at, _), _) => self.slabs.look(array / self.group, |slab| {
                    own.copy_from_slice(slab.get(*at, skipped..skipped + own.len()));
                }),
                (Place::File(at, _), Some(spill)) => spill.read(own, at + skipped as u64)?,
                // Nothing is in a file that is not there.
                (Place::File(..), None) => {}
            }
        }
        Ok(())
    }

    /// Gives one of the arrays to `take`, piece by piece.
    ///
    /// # Errors
    ///
    /// Those of `take`, and when the file cannot be read.
    pub(super) fn read(
        &self,
        array: usize,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        for place in self.arrays.get(array).into_iter().flatten() {
            match (place, &self.spill) {
                (Place::Memory(at, length), _) => {
                    let slab = array / self.group;
                    (self.slabs).look(slab, |slab| take(slab.get(*at, 0..*length)))?;
                }
                (Place::File(at, length), Some(spill)) => {
                    let (mut at, end) = (*at, at + *length as u64);
                    while at < end {
                        let left = usize::try_from(end - at).unwrap_or(BUFFER);
                        buffer.resize(left.min(BUFFER), 0);
                        spill.read(&mut buffer, at).map_err(io::Error::other)?;
                        take(&buffer)?;
                        at += buffer.len() as u64;
                    }
                }
                // Nothing is in a file that is not there.
                (Place::File(..), None) => {}
            }
        }
        Ok(())
    }

    /// Notes that an array will not be read again.
    pub(super) fn release(&self, array: usize) {
        self.slabs.release(array / self.group);
    }
}

/// Fills a buffer with what `read` gives piece by piece, and which is as long.
///
/// # Errors
///
/// Those of `read`.
pub(super) fn fill(
    mut buffer: &mut [u8],
    read: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
) -> Result<(), String> {
    let filled = read(&mut |octets| {
        let all = core::mem::take(&mut buffer);
        let split = all.split_at_mut_checked(octets.len());
        let (own, rest) = split.ok_or(io::ErrorKind::UnexpectedEof)?;
        own.copy_from_slice(octets);
        buffer = rest;
        Ok(())
    });
    filled.map_err(|error| error.to_string())
}
