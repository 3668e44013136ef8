//! Octets of a section: in memory where a table can use them as they are, and
//! read field by field.

use core::ops::Range;
use std::sync::Arc;

use bytemuck::{AnyBitPattern, NoUninit};

use super::Damage;
use crate::equipment::devices::{Lines, Region};

//----------- Octets ----------------------------------------------------------

/// The octets of a section, at the beginning of a cache line.
#[derive(Clone, Debug, Default)]
pub struct Octets {
    /// Them, and zeros up to the end of the last line; on huge pages if they are
    /// many.
    lines: Lines,
    /// How many there are.
    len: usize,
}

impl Octets {
    /// So many zeros, to be filled in.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        Self {
            lines: Lines::zeroed(len.div_ceil(LINE)),
            len,
        }
    }

    /// Those of a part of a region, which are not copied: it begins with a cache
    /// line, and the last one of it is there to its end. `None` if it does not,
    /// or is not.
    #[must_use]
    pub fn of_region(region: &Arc<dyn Region>, part: Range<usize>) -> Option<Self> {
        let len = part.end.checked_sub(part.start)?;
        let lines = Lines::of_region(region, part.start, len.div_ceil(LINE))?;
        Some(Self { lines, len })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Them.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        let all: &[u8] = bytemuck::cast_slice(&self.lines);
        all.get(..self.len).unwrap_or_default()
    }

    /// The same, to be filled in.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let all: &mut [u8] = bytemuck::cast_slice_mut(&mut self.lines);
        all.get_mut(..self.len).unwrap_or_default()
    }

    /// The records of which the section consists.
    pub(in crate::equipment) fn records<T: AnyBitPattern>(&self) -> Result<&[T], Damage> {
        bytemuck::try_cast_slice(self.as_slice()).map_err(|_| NO_RECORDS)
    }

    /// The cache lines in which it stands, and how many octets it has.
    pub(super) fn into_parts(self) -> (Lines, usize) {
        (self.lines, self.len)
    }

    /// The cache lines of which the section consists, as they are in memory.
    pub(in crate::equipment) fn into_lines(self) -> Result<Lines, Damage> {
        match self.len == self.lines.len() * LINE {
            true => Ok(self.lines),
            false => Err(NO_RECORDS),
        }
    }
}

/// Octets of a cache line.
const LINE: usize = 64;

/// What is wrong with a section that ends within a record.
pub(in crate::equipment) const NO_RECORDS: Damage = Damage("ends in the middle of an entry");

/// Records as the octets of a section.
pub(in crate::equipment) fn octets<T: NoUninit>(records: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(records).to_vec()
}

//----------- Texts -----------------------------------------------------------

/// Appends a text to a section of texts: its length, then its octets. `None`
/// if it is longer than a length can be.
pub(in crate::equipment) fn put_text(section: &mut Vec<u8>, text: &str) -> Option<()> {
    let length = u32::try_from(text.len()).ok()?;
    section.extend_from_slice(&length.to_le_bytes());
    section.extend_from_slice(text.as_bytes());
    Some(())
}

/// Reads a section of fields, one after the other.
#[derive(Clone, Copy, Debug)]
pub(in crate::equipment) struct Fields<'a> {
    /// What has not been read.
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// All fields of a section.
    pub(in crate::equipment) fn new(section: &'a [u8]) -> Self {
        Self { rest: section }
    }

    /// Whether nothing is left.
    pub(in crate::equipment) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// So many octets.
    pub(in crate::equipment) fn take<const LENGTH: usize>(
        &mut self,
    ) -> Result<[u8; LENGTH], Damage> {
        let (&field, rest) = self.rest.split_first_chunk().ok_or(ENDS)?;
        self.rest = rest;
        Ok(field)
    }

    /// A text.
    pub(in crate::equipment) fn text(&mut self) -> Result<&'a str, Damage> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(ENDS)?;
        self.rest = rest;
        core::str::from_utf8(text).map_err(|_| Damage("has a text that is not UTF-8"))
    }
}

/// What is wrong with a section that ends within a field.
const ENDS: Damage = Damage("ends in the middle of an entry");
