//! Numbers and records as they stand in a section and in memory.

use core::fmt;
use core::marker::PhantomData;

use bytemuck::Pod;

use super::{Damage, NO_RECORDS, Octets};
use crate::equipment::devices::Lines;

/// Entries of one size, in memory that a section may have been adopted as. They
/// begin with a cache line.
pub(in crate::equipment) struct Array<T> {
    /// Them, and what makes the last line full.
    lines: Lines,
    /// How many there are.
    len: usize,
    /// Of what they are.
    entries: PhantomData<T>,
}

impl<T: Pod> Array<T> {
    /// A section, not copied.
    pub(in crate::equipment) fn of(section: Octets) -> Result<Self, Damage> {
        let (lines, octets) = section.into_parts();
        match octets.is_multiple_of(size_of::<T>()) {
            true => Ok(Self {
                lines,
                len: octets / size_of::<T>(),
                entries: PhantomData,
            }),
            false => Err(NO_RECORDS),
        }
    }

    /// So many zeroed entries.
    pub(in crate::equipment) fn zeroed(len: usize) -> Self {
        const {
            assert!(
                align_of::<T>() <= align_of::<u64>() && LINE.is_multiple_of(size_of::<T>()),
                "a line consists of whole entries"
            );
        }
        Self {
            lines: Lines::zeroed(len.saturating_mul(size_of::<T>()).div_ceil(LINE)),
            len,
            entries: PhantomData,
        }
    }

    /// How many there are.
    #[inline]
    pub(in crate::equipment) fn len(&self) -> usize {
        self.len
    }

    /// Them, and those that make the last line full.
    #[inline]
    pub(in crate::equipment) fn padded(&self) -> &[T] {
        bytemuck::cast_slice(&self.lines)
    }

    /// Them.
    #[inline]
    pub(in crate::equipment) fn all(&self) -> &[T] {
        self.padded().get(..self.len).unwrap_or_default()
    }

    /// The same, to be filled in.
    pub(in crate::equipment) fn all_mut(&mut self) -> &mut [T] {
        let padded: &mut [T] = bytemuck::cast_slice_mut(&mut self.lines);
        padded.get_mut(..self.len).unwrap_or_default()
    }

    /// Them as a section.
    pub(in crate::equipment) fn octets(&self) -> &[u8] {
        bytemuck::cast_slice(self.all())
    }
}

impl<T: Pod> From<&[T]> for Array<T> {
    fn from(entries: &[T]) -> Self {
        let mut array = Self::zeroed(entries.len());
        array.all_mut().copy_from_slice(entries);
        array
    }
}

impl<T> Clone for Array<T> {
    fn clone(&self) -> Self {
        Self {
            lines: self.lines.clone(),
            len: self.len,
            entries: PhantomData,
        }
    }
}

impl<T> Default for Array<T> {
    fn default() -> Self {
        Self {
            lines: Lines::default(),
            len: 0,
            entries: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({})", self.len)
    }
}

/// Octets of a cache line.
const LINE: usize = 64;
