//! What is known of each entry beside what lookups need, such as the line of its
//! file: in memory, or left in the file until somebody asks.

use core::fmt;
use core::marker::PhantomData;
use std::borrow::Cow;
use std::sync::Arc;

use bytemuck::Pod;

use super::Octets;

/// Where octets are read that were left where they are.
pub trait Store: fmt::Debug + Send + Sync {
    /// Fills the buffer with the octets from a place on; false if they cannot be
    /// read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> bool;

    /// How often octets could not be read so far: whoever reads very many entries
    /// learns by it, once at the end, whether each was there.
    fn failures(&self) -> u64;
}

/// A section that was left where it is.
#[derive(Clone, Debug)]
pub struct Left {
    /// Where it is.
    pub store: Arc<dyn Store>,
    /// Where it begins there.
    pub offset: u64,
    /// How many octets it has.
    pub len: u64,
}

/// Entries of one size, each found by its number.
pub(in crate::equipment) struct Column<T> {
    /// Where they are.
    place: Place,
    /// Of what they are.
    entries: PhantomData<T>,
}

/// How many entries that were left are read at once.
const AT_ONCE: usize = 4096;

/// Where the entries of a column are.
#[derive(Clone, Debug)]
enum Place {
    /// Here.
    Here(Octets),
    /// Elsewhere.
    Left(Left),
}

impl<T: Pod> Column<T> {
    /// The column of what was read, if it consists of such entries.
    pub(in crate::equipment) fn here(octets: Octets) -> Option<Self> {
        octets.len().is_multiple_of(size_of::<T>()).then_some(Self {
            place: Place::Here(octets),
            entries: PhantomData,
        })
    }

    /// The column of what was left, if it consists of such entries.
    pub(super) fn left(left: Left) -> Option<Self> {
        left.len
            .is_multiple_of(size_of::<T>() as u64)
            .then_some(Self {
                place: Place::Left(left),
                entries: PhantomData,
            })
    }

    /// How many entries there are.
    pub(in crate::equipment) fn len(&self) -> usize {
        match &self.place {
            Place::Here(octets) => octets.len() / size_of::<T>(),
            // What does not fit into the memory is not found.
            Place::Left(left) => usize::try_from(left.len).unwrap_or(0) / size_of::<T>(),
        }
    }

    /// How often something could not be read where it was left.
    pub(in crate::equipment) fn failures(&self) -> u64 {
        match &self.place {
            Place::Here(_) => 0,
            Place::Left(left) => left.store.failures(),
        }
    }

    /// An entry. One that was left is read, which takes a while; `None` also if
    /// it cannot be.
    pub(in crate::equipment) fn find(&self, number: usize) -> Option<T> {
        match &self.place {
            Place::Here(octets) => {
                let entries: &[T] = bytemuck::try_cast_slice(octets.as_slice()).ok()?;
                entries.get(number).copied()
            }
            Place::Left(left) => {
                let offset = (number as u64).checked_mul(size_of::<T>() as u64)?;
                let behind = offset.checked_add(size_of::<T>() as u64)?;
                let mut entry = T::zeroed();
                let read = behind <= left.len
                    && (left.store).read_at(
                        left.offset.checked_add(offset)?,
                        bytemuck::bytes_of_mut(&mut entry),
                    );
                read.then_some(entry)
            }
        }
    }

    /// All entries; of a column that was left, to the first that cannot be read.
    pub(in crate::equipment) fn iter(&self) -> impl Iterator<Item = T> {
        let (mut buffer, mut next) = (Vec::new(), 0);
        core::iter::from_fn(move || {
            let place = next;
            next += 1;
            let Place::Left(left) = &self.place else {
                return self.find(place);
            };
            // Many at once, as each reading takes a while.
            if place % AT_ONCE == 0 {
                buffer.clear();
                buffer.resize(self.len().saturating_sub(place).min(AT_ONCE), T::zeroed());
                let offset = (place as u64).checked_mul(size_of::<T>() as u64)?;
                let octets: &mut [u8] = bytemuck::cast_slice_mut(&mut buffer);
                if !left.store.read_at(left.offset.checked_add(offset)?, octets) {
                    buffer.clear();
                }
            }
            buffer.get(place % AT_ONCE).copied()
        })
    }

    /// All of it as a section. What was left is read; `None` if it cannot be.
    pub(in crate::equipment) fn octets(&self) -> Option<Cow<'_, [u8]>> {
        match &self.place {
            Place::Here(octets) => Some(octets.as_slice().into()),
            Place::Left(left) => {
                let mut octets = vec![0; usize::try_from(left.len).ok()?];
                let read = left.store.read_at(left.offset, &mut octets);
                read.then(|| octets.into())
            }
        }
    }
}

impl<T: Pod> Column<T> {
    /// So many entries; where there are less, zeros are left.
    pub(in crate::equipment) fn collect(len: usize, entries: impl Iterator<Item = T>) -> Self {
        let mut octets = Octets::zeroed(len.saturating_mul(size_of::<T>()));
        for (to, entry) in octets
            .as_mut_slice()
            .chunks_exact_mut(size_of::<T>())
            .zip(entries)
        {
            to.copy_from_slice(bytemuck::bytes_of(&entry));
        }
        Self {
            place: Place::Here(octets),
            entries: PhantomData,
        }
    }
}

impl<T> Clone for Column<T> {
    fn clone(&self) -> Self {
        Self {
            place: self.place.clone(),
            entries: PhantomData,
        }
    }
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self {
            place: Place::Here(Octets::default()),
            entries: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Column<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store of some octets.
    #[derive(Debug)]
    struct Octet(Vec<u8>);

    impl Store for Octet {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> bool {
            let from = offset as usize;
            match self.0.get(from..from + buffer.len()) {
                Some(octets) => {
                    buffer.copy_from_slice(octets);
                    true
                }
                None => false,
            }
        }

        fn failures(&self) -> u64 {
            0
        }
    }

    #[test]
    fn entries_are_found_here_and_there() {
        let numbers: Vec<u32> = (0..9000).map(|number| number * 77).collect();
        let here = Column::collect(9000, numbers.iter().copied());
        let store = Arc::new(Octet([&[9; 5], bytemuck::cast_slice(&numbers)].concat()));
        let left = |len| {
            let store = Arc::clone(&store) as Arc<dyn Store>;
            Column::<u32>::left(Left {
                store,
                offset: 5,
                len,
            })
        };
        let there = left(36_000).unwrap();
        for column in [&here, &there] {
            assert_eq!(column.len(), 9000);
            for (place, &number) in numbers.iter().enumerate() {
                assert_eq!(column.find(place), Some(number));
            }
            for place in [9000, usize::MAX] {
                assert_eq!(column.find(place), None);
            }
            assert!(column.iter().eq(numbers.iter().copied()));
            assert_eq!(
                *column.octets().unwrap(),
                *bytemuck::cast_slice::<u32, u8>(&numbers)
            );
        }
        assert!(left(35_999).is_none());
        // Of more than there is, only what is there is found.
        let more = left(36_004).unwrap();
        assert_eq!((more.find(8999), more.find(9000)), (Some(8999 * 77), None));
        assert!(more.octets().is_none());
    }
}
