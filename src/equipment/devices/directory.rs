//! Which TACs have structures of their own.

use bytemuck::{Pod, Zeroable};

use super::line::{Cells, Line};
use super::mix::{Mix, Seeds};
use super::pages::Lines;
use crate::equipment::Tac;

/// Where the devices of a TAC stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(16))]
pub(super) struct Entry {
    /// The TAC plus one; 0 if the entry is empty.
    tac: u32,
    /// The first line or chunk.
    pub(super) base: u32,
    /// How many lines or chunks.
    count: u32,
    /// What it is of, in the low three bits, and above them which mix or which
    /// line or chunk is the first.
    kind: u32,
}

/// What an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Lines from the base: how many, and the number of the mix.
    Hashed(u32, u32),
    /// Lines of cells from the base, without gaps.
    Solid(Dense),
    /// Chunks from the base, each of some lines of cells.
    Chunked(Dense),
}

/// The lines or chunks of a dense TAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dense {
    /// The number of the first that there is.
    pub(super) first: u32,
    /// How many there are.
    pub(super) count: u32,
    /// How their lines are cut.
    pub(super) cells: Cells,
}

/// The kind of a hashed TAC; of dense ones it is the bits of their cells less
/// one.
const HASHED: u32 = 0;
/// With it, a dense TAC has chunks.
const CHUNKED: u32 = 4;
/// Bits of a kind.
const KIND_BITS: u32 = 3;

impl Entry {
    /// The entry of a TAC.
    pub(super) fn new(tac: u32, base: u32, extent: Extent) -> Self {
        let cells = |dense: Dense| dense.first << KIND_BITS | (dense.cells.bits() - 1);
        let (count, kind) = match extent {
            Extent::Hashed(lines, mix) => (lines, mix << KIND_BITS | HASHED),
            Extent::Solid(dense) => (dense.count, cells(dense)),
            Extent::Chunked(dense) => (dense.count, cells(dense) | CHUNKED),
        };
        Self {
            tac: tac + 1,
            base,
            count,
            kind,
        }
    }

    /// What it is of.
    #[inline]
    pub(super) fn extent(self) -> Extent {
        let first = self.kind >> KIND_BITS;
        let bits = self.kind & (CHUNKED - 1);
        if bits == HASHED {
            return Extent::Hashed(self.count, first);
        }
        let dense = Dense {
            first,
            count: self.count,
            cells: Cells::new(bits + 1),
        };
        match self.kind & CHUNKED {
            0 => Extent::Solid(dense),
            _ => Extent::Chunked(dense),
        }
    }

    /// The same with all hashed lines, dense lines and chunks so much further on.
    pub(super) fn moved(self, hashed: u32, dense: u32, chunks: u32) -> Self {
        let by = match self.extent() {
            Extent::Hashed(..) => hashed,
            Extent::Solid(..) => dense,
            Extent::Chunked(..) => chunks,
        };
        Self {
            base: self.base + by,
            ..self
        }
    }

    /// The TAC.
    pub(super) fn tac(self) -> u32 {
        self.tac - 1
    }

    /// Whether it is empty, or of a TAC of no more than eight digits.
    pub(super) fn is_sound(self) -> bool {
        self.tac <= Tac::MAX.number() + 1
    }
}

/// Entries by TAC, in lines of four.
///
/// An entry stands in the line that its TAC is scattered to or, where that is
/// full, in one of the next. Half of the room stays free, so that hardly a
/// search leaves its line: one that ends here for one TAC and there for the
/// next costs more than the memory, as no processor guesses where.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    /// The lines, filled from their first entry on; the last search ends with a
    /// line that is not full or with the last one.
    lines: Lines,
    /// Where searches begin: at so many lines; none if 0.
    homes: u64,
    /// How TACs are scattered.
    mix: Mix<27>,
}

/// Octets that stay in the second cache of a core while others come and go.
const CACHED: usize = 256 * 1024;
/// Entries of a line.
const ENTRIES: usize = 4;
/// How many entries a line is meant to have: one in twenty overflows.
const FILL: usize = 2;
/// One entry of so many may be a line too far before other factors are tried;
/// where TACs have no pattern one in twenty is.
const DISPLACED_MAX: usize = 4;
/// How many lines too far it takes to speak of a share.
const DISPLACED_FREE: usize = 1000;

impl Directory {
    /// A directory of these entries, with the first of the seeds that scatters
    /// them well.
    pub(super) fn build(entries: &[Entry], seeds: Seeds) -> Self {
        let limit = DISPLACED_FREE + entries.len() / DISPLACED_MAX;
        let built = seeds.pick(|seed, is_last| {
            let limit = if is_last { usize::MAX } else { limit };
            Self::try_build(entries, seed, limit)
        });
        built.unwrap_or_default()
    }

    /// A directory in which entries stand no more than `limit` lines too far in
    /// sum.
    fn try_build(entries: &[Entry], seed: u64, limit: usize) -> Option<Self> {
        let homes = entries.len().div_ceil(FILL);
        let mut this = Self {
            lines: Lines::with_room(homes + 1),
            homes: homes as u64,
            mix: Mix::new(seed),
        };
        this.lines.extend(homes);
        let mut displaced = 0;
        for &entry in entries {
            let mut number = this.home(entry.tac());
            loop {
                if number >= this.lines.len() {
                    this.lines.extend(1);
                }
                let Some(line) = this.lines.get_mut(number) else {
                    break;
                };
                let line: &mut [Entry; ENTRIES] = bytemuck::cast_mut(line);
                if let Some(empty) = line.iter_mut().find(|entry| entry.tac == 0) {
                    *empty = entry;
                    break;
                }
                number += 1;
                displaced += 1;
                if displaced > limit {
                    return None;
                }
            }
        }
        this.lines.shrink();
        Some(this)
    }

    /// The lines, the homes, and the bijection, which are the whole directory.
    pub(super) fn parts(&self) -> (&[Line], u64, Mix<27>) {
        (&self.lines, self.homes, self.mix)
    }

    /// The directory of these parts.
    pub(super) fn from_parts(lines: Lines, homes: u64, mix: Mix<27>) -> Self {
        Self { lines, homes, mix }
    }

    /// The entries, empty ones among them.
    pub(super) fn all(&self) -> &[Entry] {
        bytemuck::cast_slice(&self.lines)
    }

    /// Whether no TAC has a structure of its own.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.homes == 0
    }

    /// Whether it is too large to be at hand in the second cache, so that its
    /// entries are worth being fetched ahead.
    #[inline]
    pub(super) fn is_large(&self) -> bool {
        self.lines.len() > CACHED / size_of::<Line>()
    }

    /// The line where the search for a TAC begins.
    #[inline]
    fn home(&self, tac: u32) -> usize {
        let place = u128::from(self.mix.apply(u64::from(tac))) * u128::from(self.homes);
        (place >> 64) as usize
    }

    /// Has the entry of a TAC fetched.
    #[inline]
    pub(super) fn prefetch(&self, tac: u32) {
        if let Some(line) = self.lines.get(self.home(tac)) {
            line.prefetch();
        }
    }

    /// The entry of a TAC.
    #[inline]
    pub(super) fn find(&self, tac: u32) -> Option<Entry> {
        let mut number = self.home(tac);
        loop {
            let line: &[Entry; ENTRIES] = bytemuck::cast_ref(self.lines.get(number)?);
            // Which of the four it is decides no branch.
            let [_, second, third, fourth] = line.map(|entry| usize::from(entry.tac == tac + 1));
            let entry = *line.get(second | (third << 1) | (fourth * 3))?;
            if entry.tac == tac + 1 {
                return Some(entry);
            }
            if line[ENTRIES - 1].tac == 0 {
                return None;
            }
            number += 1;
        }
    }

    /// The entries, in no particular order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.all().iter().copied().filter(|entry| entry.tac != 0)
    }

    /// The octets of it.
    pub(super) fn size(&self) -> usize {
        size_of_val(self.all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let extents = [
            Extent::Hashed(40_000, 15),
            Extent::Chunked(Dense {
                first: 0,
                count: 489,
                cells: Cells::new(4),
            }),
            Extent::Solid(Dense {
                first: 488,
                count: 1,
                cells: Cells::new(3),
            }),
        ];
        // TACs in a row, and the first and last that there are.
        let tacs: Vec<u32> = (0..3000).chain(99_999_000..100_000_000).collect();
        let entry = |tac: u32| Entry::new(tac, tac * 7, extents[tac as usize % 3]);
        let entries: Vec<Entry> = tacs.iter().copied().map(entry).collect();
        let directory = Directory::build(&entries, Seeds::new(9));
        for &tac in &tacs {
            let found = directory.find(tac).unwrap();
            assert_eq!((found.tac(), found.base), (tac, tac * 7));
            assert_eq!(found.extent(), extents[tac as usize % 3]);
        }
        assert_eq!(directory.find(3000), None);
        assert_eq!(directory.find(98_999_999), None);
        assert_eq!(directory.entries().count(), tacs.len());
    }

    /// TACs that all begin at the first entries with the first seed.
    #[test]
    fn tacs_chosen_against_one_seed_do_not_hold_against_the_next() {
        let seeds = Seeds::new(3);
        let first = Mix::<27>::new(seeds.nth(0));
        let tacs = (0..200_000).map(|n| first.invert(n << 37));
        let tacs: Vec<u32> = tacs
            .filter(|&tac| tac < 100_000_000)
            .map(|tac| tac as u32)
            .collect();
        let entry = |&tac: &u32| Entry::new(tac, tac, extents_of_one_line());
        let entries: Vec<Entry> = tacs.iter().map(entry).collect();
        assert!(
            Directory::try_build(&entries, seeds.nth(0), entries.len() / DISPLACED_MAX).is_none()
        );
        let directory = Directory::build(&entries, seeds);
        assert_eq!(directory.mix, Mix::new(seeds.nth(1)));
        assert!(tacs.iter().all(|&tac| directory.find(tac).is_some()));
    }

    /// Any extent.
    fn extents_of_one_line() -> Extent {
        Extent::Hashed(1, 0)
    }
}
