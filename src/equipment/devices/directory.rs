//! Which TACs have structures of their own.
//!
//! Every lookup of a device reads a line of the directory first, so it is made
//! to stay in the second cache: a TAC with slots takes 8 octets, one with cells
//! 16. As in lines of devices ([`super::quotient`]), the line of an entry says
//! most of its TAC, and the entry the rest.
//!
//! ```text
//! TAC ─mix─▶ line, remainder
//!
//! line   8 high words │ 8 low words, one of each is an entry
//! entry  remainder, 3 bits: lines too far │ base │ 4 bits: mix │ 9 bits: code
//! cells  and in the next entry: remainder 0, 7 │ count, first
//! ```
//!
//! A base has 48 bits less those of a remainder. Of `n` entries, four a line, a
//! remainder has at most `30 - log2(n)`, and the base less than `15.4 + log2(n)`,
//! as no TAC has more lines or chunks than `2^15.4`: two bits are left.

use core::iter;

use super::entry::{CHUNKED, Dense, Entry, Extent};
use super::line::{Cells, Line};
use super::mix::{Mix, Seeds};
use super::pages::Lines;
use super::processor::equal32;
use super::quotient::Geometry;
use super::table::SERIALS;

//----------- Words -----------------------------------------------------------

/// Bits of a word that say how many lines too far it stands.
const FAR_BITS: u32 = 3;
/// How many lines too far an entry may stand.
const FAR_MAX: u32 = 6;
/// What stands for that in the second word of an entry and in one left out.
const NO_ENTRY: u32 = 7;
/// Bits of a code: what the entry is of.
const CODE_BITS: u32 = 9;
/// Bits of the number of a mix.
const MIX_BITS: u32 = 4;
/// Bits of a number of lines or chunks of cells: no TAC has as many.
const EXTENT_BITS: u32 = 16;
/// The first code of hashed lines; codes below are the kinds of dense TACs, and 0
/// is that of no entry.
const CODE_HASHED: u32 = 1 << STEP_BITS;
/// Bits of a number of hashed lines that are told apart below the highest one.
const STEP_BITS: u32 = 5;

/// The fewest lines of a hashed TAC: with less, a slot has no room for two
/// classes.
pub(super) const HASHED_MIN: u32 = 2 << STEP_BITS;

/// The code for so many hashed lines or a few more.
fn hashed_code(lines: u32) -> u32 {
    let exponent = lines.max(HASHED_MIN).ilog2() - STEP_BITS;
    // Up to the next number that has a code, which may be a power of two.
    let steps = lines.max(HASHED_MIN).div_ceil(1 << exponent);
    (exponent << STEP_BITS) + (steps - (1 << STEP_BITS))
}

/// How many hashed lines a code is for.
#[inline]
fn hashed_lines(code: u32) -> u32 {
    let steps = 1 << STEP_BITS | code & ((1 << STEP_BITS) - 1);
    steps << (code >> STEP_BITS)
}

/// So many lines for a hashed TAC, or up to one in thirty-two more, so that nine
/// bits tell how many.
pub(super) fn round_up(lines: u64) -> u64 {
    let most = lines.min(SERIALS) as u32;
    hashed_lines(hashed_code(most)).into()
}

//----------- Directory -------------------------------------------------------

/// Entries by TAC, in lines of eight words.
///
/// An entry stands in the line that its TAC is scattered to or, where that is
/// full, in one of the next six. Half of the room stays free, so that hardly a
/// search leaves its line: one that ends here for one TAC and there for the
/// next costs more than the memory, as no processor guesses where.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// The lines, filled from their first word on: a search ends with a line that
    /// is not full.
    lines: Lines,
    /// Where searches begin: at so many lines.
    homes: u64,
    /// How TACs are scattered.
    mix: Mix<TAC_BITS>,
    /// Bits of a high word that are those of the TAC: what its line does not say,
    /// and how far it stands from there.
    tag_mask: u32,
}

/// Bits of a TAC.
const TAC_BITS: u32 = 27;
/// Octets that stay in the second cache of a core while others come and go.
const CACHED: usize = 1024 * 1024;
/// Octets from which on a directory stands on a huge page: the pages of a smaller
/// one are known to the processor anyway.
const HUGE_MIN: usize = 128 * 1024;
/// Words of a line.
const WORDS: usize = 8;
/// Their high halves and their low ones.
type Words = [[u32; WORDS]; 2];
/// How many words a line is meant to have: one line in fifty overflows.
const FILL: usize = 4;
/// One entry of so many may be a line too far before other factors are tried;
/// where TACs have no pattern one in a hundred is.
const DISPLACED_MAX: usize = 4;
/// How many lines too far it takes to speak of a share.
const DISPLACED_FREE: usize = 1000;

impl Directory {
    //--- Building

    /// A directory of these entries, with the first of the seeds that scatters
    /// them well.
    pub(super) fn build(entries: &[Entry], seeds: Seeds) -> Self {
        let limit = DISPLACED_FREE + entries.len() / DISPLACED_MAX;
        let words: usize = entries.iter().map(|entry| entry.words()).sum();
        let least = words.div_ceil(FILL) as u64;
        // Hardly ever more than the first. The last ones have at most two TACs
        // of those that there can be in a line, so that one is made.
        let sizes = iter::successors(Some(least), |homes| Some(homes * 2));
        let mut sizes = sizes.take_while(|&homes| homes < 1 << TAC_BITS);
        let built = sizes.find_map(|homes| {
            seeds.pick(|seed, is_last| {
                let limit = if is_last { usize::MAX } else { limit };
                Self::try_build(entries, homes, seed, limit)
            })
        });
        built.unwrap_or_default()
    }

    /// A directory in which entries stand no more than `limit` lines too far in
    /// sum, and none more than [`FAR_MAX`].
    fn try_build(entries: &[Entry], homes: u64, seed: u64, limit: usize) -> Option<Self> {
        let len = match homes {
            0 => 0,
            _ => homes as usize + FAR_MAX as usize,
        };
        let lines = match len * size_of::<Line>() < HUGE_MIN {
            true => Lines::zeroed(len),
            false => Lines::zeroed_on_huge_pages(len),
        };
        let mut this = Self::from_parts(lines, homes, Mix::new(seed))?;
        let mut displaced = 0;
        for &entry in entries {
            let (home, tag) = this.place(entry.tac);
            let stands = (0..=FAR_MAX).find_map(|far| {
                let added = this.add(home + far as usize, tag | this.far(far), entry);
                displaced += usize::from(added.is_none());
                added
            });
            stands.filter(|()| displaced <= limit)?;
        }
        Some(this)
    }

    /// Puts an entry into a line; `None` if it has no room.
    fn add(&mut self, number: usize, tag: u32, entry: Entry) -> Option<()> {
        let (said, more) = self.pack(entry)?;
        let continued = self.far(NO_ENTRY);
        let line: &mut Words = bytemuck::cast_mut(self.lines.get_mut(number)?);
        let [highs, lows] = line;
        let places = iter::zip(highs, lows);
        let mut free = places.filter(|(high, low)| (**high, **low) == (0, 0));
        let (high, low) = free.next()?;
        match (more, free.next()) {
            (None, _) => (*high, *low) = (tag | said[0], said[1]),
            (Some(more), Some((next_high, next_low))) => {
                (*high, *low) = (tag | said[0], said[1]);
                (*next_high, *next_low) = (continued, more);
            }
            // The last one is left out, so that searches go on behind it.
            (Some(_), None) => {
                *high = continued;
                return None;
            }
        }
        Some(())
    }

    /// What the halves of the word of an entry say besides its TAC, and what the
    /// word behind it says, if it has one.
    fn pack(&self, entry: Entry) -> Option<([u32; 2], Option<u32>)> {
        let (code, mix, more) = match entry.extent() {
            Extent::Hashed(lines, mix) => (hashed_code(lines), mix, None),
            Extent::Solid(own) | Extent::Chunked(own) => {
                let more = own.count << EXTENT_BITS | own.first;
                (entry.kind(), 0, Some(more))
            }
        };
        let base = u64::from(entry.base) << (MIX_BITS + CODE_BITS);
        let said = base | u64::from(mix << CODE_BITS | code);
        let (high, low) = ((said >> u32::BITS) as u32, said as u32);
        (high & self.tag_mask == 0).then_some(([high, low], more))
    }

    //--- Parts

    /// The lines, the homes, and the bijection, which are the whole directory.
    pub(super) fn parts(&self) -> (&[Line], u64, Mix<TAC_BITS>) {
        (&self.lines, self.homes, self.mix)
    }

    /// The directory of these parts; `None` if there are more homes than TACs.
    pub(super) fn from_parts(lines: Lines, homes: u64, mix: Mix<TAC_BITS>) -> Option<Self> {
        let geometry = (homes < 1 << TAC_BITS).then(|| Geometry::<TAC_BITS>::new(homes))?;
        Some(Self {
            lines,
            homes,
            mix,
            tag_mask: !(u32::MAX >> (geometry.remainder_bits() + FAR_BITS)),
        })
    }

    /// The entries, in no particular order; `None` for each that is of no known
    /// kind, of which a directory that was built has none.
    pub(super) fn decoded(&self) -> impl Iterator<Item = Option<Entry>> {
        let geometry = Geometry::<TAC_BITS>::new(self.homes);
        let beside = u32::BITS - geometry.remainder_bits();
        (0u64..).zip(&*self.lines).flat_map(move |(number, line)| {
            let line: &Words = bytemuck::cast_ref(line);
            (0..WORDS).filter_map(move |place| {
                let [high, low] = line.map(|half| half.get(place).copied().unwrap_or_default());
                let far = (high >> (beside - FAR_BITS)) & NO_ENTRY;
                let is_entry = far != NO_ENTRY && (high, low) != (0, 0);
                is_entry.then(|| {
                    let home = number.checked_sub(far.into())?;
                    let mixed = geometry.unplace(home, u64::from(high >> beside));
                    let found = self.said(line, place);
                    // The word behind it is in the same line.
                    let is_whole = found.is_hashed() || place + 1 < WORDS;
                    let extent = found.extent().filter(|_| is_whole)?;
                    let tac = self.mix.invert(mixed) as u32;
                    Some(Entry::new(tac, found.base, extent))
                })
            })
        })
    }

    /// The entries, in no particular order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.decoded().flatten()
    }

    /// The octets of it.
    pub(super) fn size(&self) -> usize {
        size_of_val::<[Line]>(&self.lines)
    }

    //--- Lookups

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

    /// The line where the search for a TAC begins, and what a word there has of
    /// the TAC.
    #[inline]
    fn place(&self, tac: u32) -> (usize, u32) {
        // As of a `Geometry`, but that the remainder stays where it is.
        let place = u128::from(self.mix.apply(u64::from(tac))) * u128::from(self.homes);
        let remainders = self.tag_mask & self.tag_mask << FAR_BITS;
        ((place >> 64) as usize, (place >> 32) as u32 & remainders)
    }

    /// What a word has of how many lines too far it stands.
    #[inline]
    fn far(&self, lines: u32) -> u32 {
        // The lowest bit of the mask is the lowest of these.
        lines * (self.tag_mask & self.tag_mask.wrapping_neg())
    }

    /// Has the entry of a TAC fetched.
    #[inline]
    pub(super) fn prefetch(&self, tac: u32) {
        if let Some(line) = self.lines.get(self.place(tac).0) {
            line.prefetch();
        }
    }

    /// What there is of a TAC; a word that is empty may be found as well, which
    /// has no extent.
    #[inline]
    pub(super) fn find(&self, tac: u32) -> Option<Place> {
        let (home, tag) = self.place(tac);
        let line: &Words = bytemuck::cast_ref(self.lines.get(home)?);
        match equal32(&line[0], self.tag_mask, tag) {
            0 if line.map(|[.., last]| last) == [0, 0] => None,
            0 => self.find_far(home, tag),
            hits => Some(self.said(line, hits.trailing_zeros() as usize)),
        }
    }

    /// The same in the lines behind the first one, if that is full.
    #[cold]
    #[inline(never)]
    fn find_far(&self, home: usize, tag: u32) -> Option<Place> {
        for far in 1..=FAR_MAX {
            let line: &Words = bytemuck::cast_ref(self.lines.get(home + far as usize)?);
            match equal32(&line[0], self.tag_mask, tag | self.far(far)) {
                0 if line.map(|[.., last]| last) == [0, 0] => return None,
                0 => {}
                hits => return Some(self.said(line, hits.trailing_zeros() as usize)),
            }
        }
        None
    }

    /// What the word at a place of a line says, and the one behind it.
    #[inline]
    fn said(&self, [highs, lows]: &Words, place: usize) -> Place {
        let (place, next) = (place % WORDS, (place + 1) % WORDS);
        let high = u64::from(highs[place] & !self.tag_mask) << u32::BITS;
        let low = lows[place];
        Place {
            base: ((high | u64::from(low)) >> (MIX_BITS + CODE_BITS)) as u32,
            said: low & ((1 << (MIX_BITS + CODE_BITS)) - 1),
            more: lows[next],
        }
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            lines: Lines::default(),
            homes: 0,
            mix: Mix::default(),
            tag_mask: u32::MAX << (u32::BITS - TAC_BITS - FAR_BITS),
        }
    }
}

//----------- Place -----------------------------------------------------------

/// What a directory says of a TAC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The first line or chunk.
    pub(super) base: u32,
    /// The code, and above it the number of the mix.
    said: u32,
    /// Of cells: the first line or chunk that there is, and above it how many.
    more: u32,
}

impl Place {
    /// Whether it is of lines with slots.
    #[inline]
    fn is_hashed(self) -> bool {
        self.said & ((1 << CODE_BITS) - 1) >= CODE_HASHED
    }

    /// What is there, if the code is one.
    #[inline]
    pub(super) fn extent(self) -> Option<Extent> {
        let code = self.said & ((1 << CODE_BITS) - 1);
        if self.is_hashed() {
            let mix = self.said >> CODE_BITS;
            return Some(Extent::Hashed(hashed_lines(code), mix));
        }
        let bits = code & (CHUNKED - 1);
        let dense = Dense {
            first: self.more & ((1 << EXTENT_BITS) - 1),
            count: self.more >> EXTENT_BITS,
            cells: Cells::new(bits + 1),
        };
        match (bits, code & CHUNKED) {
            (0, _) => None,
            (_, 0) => Some(Extent::Solid(dense)),
            (_, _) => Some(Extent::Chunked(dense)),
        }
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// All kinds of extents, as large as they can be and small.
    fn extent(number: u32) -> Extent {
        let dense = |first, count, bits| Dense {
            first,
            count,
            cells: Cells::new(bits),
        };
        match number % 6 {
            0 => Extent::Hashed(41_984, 15),
            1 => Extent::Chunked(dense(0, 489, 4)),
            2 => Extent::Solid(dense(7812, 1, 4)),
            3 => Extent::Hashed(HASHED_MIN, 0),
            4 => Extent::Solid(dense(0, 7813, 3)),
            _ => Extent::Chunked(dense(244, 1, 2)),
        }
    }

    /// The base and the extent of a TAC.
    fn find(directory: &Directory, tac: u32) -> Option<(u32, Extent)> {
        let place = directory.find(tac)?;
        Some((place.base, place.extent()?))
    }

    /// A map of the same entries is the oracle.
    fn check(entries: &[Entry]) -> Directory {
        let directory = Directory::build(entries, Seeds::new(9));
        let model: BTreeMap<u32, Entry> = entries.iter().map(|own| (own.tac, *own)).collect();
        assert_eq!(model.len(), entries.len());
        for &Entry { tac, base, .. } in entries {
            let expected = model.get(&tac).map(|own| (base, own.extent()));
            assert_eq!(find(&directory, tac), expected, "{tac}");
            for tac in [tac ^ 1, tac / 2, 99_999_999 - tac] {
                let expected = model.get(&tac).map(|own| (own.base, own.extent()));
                assert_eq!(find(&directory, tac), expected, "{tac}");
            }
            directory.prefetch(tac);
        }
        let mut all: Vec<Entry> = directory.entries().collect();
        assert_eq!(directory.decoded().count(), all.len());
        all.sort_unstable_by_key(|own| own.tac);
        assert!(all.into_iter().eq(model.into_values()));
        directory
    }

    #[test]
    fn entries_come_back() {
        assert!(check(&[]).is_empty());
        for count in [1, 2, 5, 9, 100, 4000] {
            // TACs in a row, and the first and last that there are; bases up
            // to what the extents add up to.
            let tacs = (0..count).chain(100_000_000 - count..100_000_000);
            let entries = tacs.map(|tac| Entry::new(tac, tac % (2 * count) * 41_984, extent(tac)));
            let directory = check(&entries.collect::<Vec<_>>());
            assert!(!directory.is_empty());
            let words = 2 * count as usize * 10 / 6;
            assert!(directory.size() <= (words.div_ceil(FILL) + 7) * size_of::<Line>());
        }
    }

    #[test]
    fn many_entries_take_little() {
        let entries = (0..200_000).map(|n| Entry::new(n * 499, n * 208, Extent::Hashed(208, 0)));
        let directory = check(&entries.collect::<Vec<_>>());
        assert_eq!(directory.size(), 50_006 * 64);
        assert_eq!(directory.tag_mask.count_ones(), 12 + FAR_BITS);
    }

    #[test]
    fn numbers_of_lines_are_rounded_up_by_little() {
        let mut before = 0;
        for lines in 64..=SERIALS {
            let rounded = round_up(lines);
            assert!((lines..=lines + lines / 32).contains(&rounded), "{lines}");
            assert!(rounded >= before);
            assert_eq!(round_up(rounded), rounded);
            before = rounded;
        }
        assert!(hashed_code(round_up(SERIALS) as u32) < 1 << CODE_BITS);
        assert_eq!((round_up(1), round_up(64), round_up(65)), (64, 64, 66));
        assert_eq!((round_up(127), round_up(129)), (128, 132));
    }

    /// TACs that all begin at the first entries with the first seed.
    #[test]
    fn tacs_chosen_against_one_seed_do_not_hold_against_the_next() {
        let seeds = Seeds::new(3);
        let first = Mix::<TAC_BITS>::new(seeds.nth(0));
        let tacs = (0..200_000).map(|n| first.invert(n << 37));
        let tacs: Vec<u32> = tacs
            .filter(|&tac| tac < 100_000_000)
            .map(|tac| tac as u32)
            .collect();
        let entry = |&tac: &u32| Entry::new(tac, tac, Extent::Hashed(64, 0));
        let entries: Vec<Entry> = tacs.iter().map(entry).collect();
        let (homes, limit) = (entries.len() as u64 / 4, entries.len());
        assert!(Directory::try_build(&entries, homes, seeds.nth(0), limit).is_none());
        let directory = Directory::build(&entries, seeds);
        assert_eq!(directory.mix, Mix::new(seeds.nth(1)));
        assert!(tacs.iter().all(|&tac| find(&directory, tac).is_some()));
    }

    /// TACs that hold against every seed are given more room.
    #[test]
    fn whatever_the_tacs_are_some_directory_has_them() {
        let seeds = Seeds::new(3);
        let last = Mix::<TAC_BITS>::new(seeds.nth(Seeds::TRIES - 1));
        let line = |n: u64| last.invert(n << 37) as u32;
        let tacs = (0..5000).map(line).filter(|&tac| tac < 100_000_000);
        let entries: Vec<Entry> = (tacs.take(400))
            .map(|tac| {
                Entry::new(
                    tac,
                    tac,
                    Extent::Solid(Dense {
                        first: 0,
                        count: 1,
                        cells: Cells::new(2),
                    }),
                )
            })
            .collect();
        let limit = usize::MAX;
        let seed = seeds.nth(Seeds::TRIES - 1);
        assert!(Directory::try_build(&entries, 200, seed, limit).is_none());
        let sizes = (8..TAC_BITS).map(|power| 1 << power);
        let built = sizes
            .filter_map(|homes| Directory::try_build(&entries, homes, seed, limit))
            .next();
        let built = built.unwrap();
        assert!(
            entries
                .iter()
                .all(|own| find(&built, own.tac) == Some((own.base, own.extent())))
        );
    }

    /// Whatever a directory consists of, a search in it ends.
    #[test]
    fn nonsense_is_searched_and_told() {
        let mut word = 1u64;
        for round in 0..200 {
            let mut lines = Lines::zeroed(round % 7);
            for own in lines.iter_mut() {
                let words: &mut [u64; WORDS] = bytemuck::cast_mut(own);
                for own in words {
                    word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    *own = word.rotate_left(13) & word;
                }
            }
            let homes = [1, 3, 5, 1 << 20, (1 << 27) - 1][round % 5];
            let directory = Directory::from_parts(lines, homes, Mix::new(word)).unwrap();
            assert!((0..2000).filter_map(|tac| find(&directory, tac)).count() <= 2000);
            assert!(directory.decoded().count() <= WORDS * directory.lines.len());
        }
        assert!(Directory::from_parts(Lines::default(), 1 << 27, Mix::new(1)).is_none());
    }
}
