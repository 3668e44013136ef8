//! The tuples of one partition of a bundle, as they are read again, and what is
//! known of the bundle wherever they are.

use core::ops::Range;

use super::tuple::{LOW, LOW_BITS};
use crate::equipment::devices::prefetch;

/// Partitions that stand together: each so many are given back at once.
pub(crate) const GROUP: usize = 64;

//----------- Meta ------------------------------------------------------------

/// What is kept in memory of a bundle wherever its tuples are.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    /// What is said, by the places that tuples have.
    pub(super) table: Vec<u32>,
    /// The line that lines are counted from.
    pub(super) line: u32,
    /// How far behind that the last one is, if the words hold lines.
    pub(super) span: u32,
    /// Octets of a place in the table.
    pub(super) width: usize,
    /// Whether lines stand beside the words.
    pub(super) has_lines: bool,
    /// Where the tuples of each partition end.
    pub(super) ends: Vec<u32>,
    /// The sum of the digests of the tuples' devices.
    pub(super) digest: u64,
}

impl Meta {
    /// See [`Meta`].
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Which of the tuples are of a partition.
    pub(super) fn range(&self, partition: usize) -> Range<usize> {
        let end = |partition: usize| self.ends.get(partition).copied().unwrap_or_default();
        let start = partition.checked_sub(1).map_or(0, end);
        start as usize..end(partition) as usize
    }

    /// How many tuples there are of a partition.
    pub(crate) fn count(&self, partition: usize) -> usize {
        self.range(partition).len()
    }

    /// How many tuples there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or_default() as usize
    }

    /// Octets of each tuple.
    pub(super) fn size(&self) -> usize {
        size_of::<u64>() + self.width + if self.has_lines { size_of::<u32>() } else { 0 }
    }

    /// Octets of the tuples of a partition.
    pub(crate) fn octets(&self, partition: usize) -> usize {
        self.count(partition) * self.size()
    }

    /// Octets of the tuples of the partitions of a group that stand before one
    /// of them.
    pub(crate) fn octets_before(&self, partition: usize) -> usize {
        let first = partition - partition % GROUP;
        (self.range(partition).start - self.range(first).start) * self.size()
    }

    /// Octets of the tuples of all partitions of a group.
    pub(crate) fn group_octets(&self, group: usize) -> usize {
        let last = (group + 1) * GROUP - 1;
        self.octets_before(last) + self.octets(last)
    }

    /// Octets of memory that this takes by itself.
    pub(crate) fn own_size(&self) -> usize {
        4 * (self.table.len() + self.ends.len())
    }

    /// Lets lines be counted from another one: they were counted from the first
    /// of a chunk before it was known where that stands.
    pub(crate) fn move_lines(&mut self, by: u64) {
        let line = u64::from(self.line).saturating_add(by);
        // Those beyond the fourth thousand million share a number.
        self.line = u32::try_from(line).unwrap_or(u32::MAX);
    }

    /// Gives what is said its numbers in the register.
    pub(crate) fn translate(&mut self, numbers: &[u32]) {
        for said in &mut self.table {
            *said = numbers.get(*said as usize).copied().unwrap_or_default();
        }
    }

    /// The tuples of a partition in the octets that [`Bundle::write`](super::Bundle) gave.
    pub(crate) fn segment<'a>(&'a self, partition: usize, octets: &'a [u8]) -> Segment<'a> {
        let count = self.count(partition);
        let (words, rest) = octets.split_at_checked(8 * count).unwrap_or_default();
        let (saids, lines) = rest
            .split_at_checked(self.width * count)
            .unwrap_or_default();
        Segment {
            meta: self,
            words,
            saids,
            lines,
        }
    }
}

//----------- Segment ---------------------------------------------------------

/// The tuples of one partition, as octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    /// What there is to know of them.
    pub(super) meta: &'a Meta,
    /// See [`Bundle`](super::Bundle).
    pub(super) words: &'a [u8],
    /// See [`Bundle`](super::Bundle).
    pub(super) saids: &'a [u8],
    /// See [`Bundle`](super::Bundle).
    pub(super) lines: &'a [u8],
}

impl Segment<'_> {
    /// Calls `visitor` with each key, what is said, and the line.
    #[inline]
    pub(super) fn each(self, mut visitor: impl FnMut(u64, u32, u32)) {
        let Meta { table, line, .. } = self.meta;
        let word = |octets: &[u8; 8]| u64::from_le_bytes(*octets);
        let (words, _) = self.words.as_chunks::<8>();
        let lines = |word: u64| line.saturating_add((word & LOW) as u32);
        let said = |place: usize| table.get(place).copied().unwrap_or_default();
        match (self.meta.width, self.meta.has_lines) {
            (0, false) => {
                let only = said(0);
                for octets in words {
                    let word = word(octets);
                    visitor(word >> LOW_BITS, only, lines(word));
                }
            }
            (1, false) => {
                for (octets, &place) in words.iter().zip(self.saids) {
                    let word = word(octets);
                    visitor(word >> LOW_BITS, said(place.into()), lines(word));
                }
            }
            (width, has_lines) => {
                for (number, octets) in words.iter().enumerate() {
                    let word = word(octets);
                    let place = self.saids.get(number * width..(number + 1) * width);
                    let place = (place.unwrap_or_default().iter().rev())
                        .fold(0, |place, &octet| place << 8 | usize::from(octet));
                    let line = match has_lines {
                        false => lines(word),
                        true => {
                            let (own, _) = self.lines.as_chunks::<4>();
                            own.get(number).map_or(0, |line| u32::from_le_bytes(*line))
                        }
                    };
                    visitor(word >> LOW_BITS, said(place), line);
                }
            }
        }
    }

    /// The keys where they stand in words, and the lines, if all of it says the
    /// same and the words hold the lines.
    pub(super) fn simple(
        &self,
    ) -> Option<(
        impl ExactSizeIterator<Item = u64>,
        impl ExactSizeIterator<Item = u32>,
    )> {
        let Meta { line, .. } = *self.meta;
        let (words, _) = self.words.as_chunks::<8>();
        let word = |octets: &[u8; 8]| u64::from_le_bytes(*octets);
        let keys = words.iter().map(move |octets| word(octets) & !LOW);
        let lines = words
            .iter()
            .map(move |octets| line.saturating_add((word(octets) & LOW) as u32));
        (self.meta.width == 0 && !self.meta.has_lines).then_some((keys, lines))
    }

    /// The words with their whole lines in the place of what is counted from the
    /// first, and the last line; if the words hold lines, all of them fit there,
    /// and none is before this one.
    pub(super) fn with_lines(
        &self,
        after: u64,
    ) -> Option<(impl ExactSizeIterator<Item = u64>, u64)> {
        let first = u64::from(self.meta.line);
        let last = first + u64::from(self.meta.span);
        let (words, _) = self.words.as_chunks::<8>();
        let words = words
            .iter()
            .map(move |octets| u64::from_le_bytes(*octets) + first);
        (!self.meta.has_lines && first >= after && last <= LOW).then_some((words, last))
    }

    /// Has all of it fetched while other work goes on.
    pub(crate) fn prefetch(&self) {
        (self.words.iter().step_by(64)).for_each(prefetch);
    }

    /// What all of it says, if it says one thing.
    pub(super) fn only_said(self) -> Option<u32> {
        match *self.meta.table {
            [said] => Some(said),
            _ => None,
        }
    }

    /// How many tuples there are.
    pub(super) fn len(self) -> usize {
        self.words.len() / 8
    }
}
