//! The devices of TACs without a structure of their own, on their way into the
//! table that they share.
//!
//! A device stands in that table wherever its mixed key says, so that to put them
//! in one after the other would be to fetch a line from memory for each. Each
//! piece of a register gives them [`Scattered`] instead: mixed, and divided into
//! buckets by the highest bits, which are the order of the lines. A bucket of all
//! pieces fills a part of the table that stays in the cache, no other bucket has
//! a device of that part, and several can be at work at once ([`Sketch`]).

use core::marker::PhantomData;
use core::ops::Range;

use super::build::Item;
use super::line::{Layout, Line, Slots24, Slots28, Slots32};
use super::mix::{Mix, Seeds};
use super::pages::Lines;
use super::processor::prefetch;
use super::quotient::{self, Geometry, Inserted, Table, overflow_limit};
use super::table;

/// How many buckets there are: a part of a table of a hundred million devices is
/// half a megabyte.
pub(crate) const BUCKETS: usize = 1024;

/// Bits of a mixed key below those that say its bucket.
const BUCKET_SHIFT: u32 = 64 - BUCKETS.ilog2();

/// Bits of a word below the mixed key.
const CLASS_BITS: u32 = 17;
/// They, and the class of devices whose class is too large for them.
pub(super) const LARGE: u64 = (1 << CLASS_BITS) - 1;

/// Octets that a device costs in the exact table.
pub(super) const EXACT_COST: u64 = 11;

//----------- Scattered -------------------------------------------------------

/// The devices of a piece, bucket by bucket; in each in the order in which they
/// came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scattered {
    /// The mixed keys, above the classes.
    words: Vec<u64>,
    /// The line of the list for each, if lines are kept.
    lines: Vec<u32>,
    /// Where each bucket ends; nothing of no devices.
    ends: Vec<u32>,
}

/// Some devices of a bucket, as octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Few<'a> {
    /// As of [`Scattered`].
    pub(crate) words: &'a [u8],
    /// As of [`Scattered`].
    pub(crate) lines: &'a [u8],
}

/// Where the devices of all pieces are.
pub(crate) trait Rest {
    /// Gives those of a bucket to `take`, in the order of the pieces.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn bucket(&self, bucket: usize, take: &mut dyn FnMut(Few<'_>)) -> Result<(), String>;

    /// Gives all of them to `take`, piece by piece, and in each bucket by bucket.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn all(&self, take: &mut dyn FnMut(Few<'_>)) -> Result<(), String>;
}

impl Rest for Vec<Scattered> {
    fn bucket(&self, bucket: usize, take: &mut dyn FnMut(Few<'_>)) -> Result<(), String> {
        self.iter().for_each(|piece| take(piece.bucket(bucket)));
        Ok(())
    }

    fn all(&self, take: &mut dyn FnMut(Few<'_>)) -> Result<(), String> {
        for piece in self {
            take(Few {
                words: bytemuck::cast_slice(&piece.words),
                lines: bytemuck::cast_slice(&piece.lines),
            });
        }
        Ok(())
    }
}

/// The word of a device.
#[inline]
pub(super) fn word(mix: Mix<47>, key: u64, class: u32) -> u64 {
    mix.apply(key) | u64::from(class).min(LARGE)
}

impl Scattered {
    /// Devices whose words come in any order, with the lines of the list, if
    /// these are kept; in the memory of others.
    pub(crate) fn of((words, lines): (&[u64], &[u32]), old: Self) -> Self {
        let mut scattered = old;
        scattered.ends.clear();
        // All of it is written to.
        scattered.words.resize(words.len(), 0);
        scattered.lines.resize(lines.len(), 0);
        if words.is_empty() {
            return scattered;
        }
        let bucket = |word: u64| (word >> BUCKET_SHIFT) as usize;
        let mut next = [0u32; BUCKETS];
        for &word in words {
            if let Some(count) = next.get_mut(bucket(word)) {
                *count += 1;
            }
        }
        let mut end = 0;
        for next in &mut next {
            let start = end;
            end += *next;
            scattered.ends.push(end);
            *next = start;
        }
        for (number, &word) in words.iter().enumerate() {
            let Some(next) = next.get_mut(bucket(word)) else {
                continue;
            };
            let place = *next as usize;
            *next += 1;
            if let Some(own) = scattered.words.get_mut(place) {
                *own = word;
            }
            if let (Some(own), Some(&line)) = (scattered.lines.get_mut(place), lines.get(number)) {
                *own = line;
            }
        }
        scattered
    }

    /// Where each bucket ends.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Whether the lines of the list are kept.
    pub(crate) fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    /// How many devices there are.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// Where those of some buckets stand.
    fn range(&self, buckets: Range<usize>) -> Range<usize> {
        let end = |bucket: usize| self.ends.get(bucket).map_or(0, |&end| end as usize);
        let before = |bucket: usize| bucket.checked_sub(1).map_or(0, end);
        before(buckets.start)..before(buckets.end)
    }

    /// How many there are in some buckets.
    pub(crate) fn count(&self, buckets: Range<usize>) -> usize {
        self.range(buckets).len()
    }

    /// The words of those in some buckets, as octets.
    pub(crate) fn words(&self, buckets: Range<usize>) -> &[u8] {
        bytemuck::cast_slice(self.words.get(self.range(buckets)).unwrap_or_default())
    }

    /// Those of a bucket.
    pub(crate) fn bucket(&self, bucket: usize) -> Few<'_> {
        let range = self.range(bucket..bucket + 1);
        Few {
            words: bytemuck::cast_slice(self.words.get(range.clone()).unwrap_or_default()),
            lines: bytemuck::cast_slice(self.lines.get(range).unwrap_or_default()),
        }
    }
}

impl Few<'_> {
    /// Has all of it fetched while other work goes on.
    pub(crate) fn prefetch(self) {
        for octets in [self.words, self.lines] {
            octets.iter().step_by(Lines::LINE).for_each(prefetch);
        }
    }

    /// Calls `visitor` with each word, and the line.
    #[inline]
    fn each(self, mut visitor: impl FnMut(u64, u32)) {
        let (words, _) = self.words.as_chunks::<8>();
        let (lines, _) = self.lines.as_chunks::<4>();
        if lines.is_empty() {
            for word in words {
                visitor(u64::from_le_bytes(*word), 0);
            }
        }
        for (word, line) in words.iter().zip(lines) {
            visitor(u64::from_le_bytes(*word), u32::from_le_bytes(*line));
        }
    }
}

//----------- Tally -----------------------------------------------------------

/// Counts devices by the bits that their classes take.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByBits([u64; 33]);

impl ByBits {
    /// None.
    pub(super) const NONE: Self = Self([0; 33]);

    /// Counts so many devices of a class.
    #[inline]
    pub(super) fn add(&mut self, class: u32, devices: u64) {
        let bits = (u64::from(class) + 1).ilog2() as usize;
        if let Some(count) = self.0.get_mut(bits) {
            *count += devices;
        }
    }

    /// Counts those of another one.
    pub(super) fn absorb(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own += other;
        }
    }

    /// How many there are.
    pub(super) fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many have classes that so many bits do not tell apart.
    fn beyond(&self, bits: u32) -> u64 {
        self.0.iter().skip(bits as usize).sum()
    }
}

impl Default for ByBits {
    fn default() -> Self {
        Self::NONE
    }
}

//----------- Sketch ----------------------------------------------------------

/// What a table of all these devices is to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sketch {
    /// How lines are cut.
    slots: Slots,
    /// How many lines there are, the same number for each bucket.
    lines: u64,
    /// How many devices there are.
    devices: u64,
    /// What scatters them.
    seeds: Seeds,
    /// The number of the bijection.
    number: u64,
    /// Whether the line of each device is kept.
    keeps_lines: bool,
}

/// How wide slots are.
#[derive(Clone, Copy, Debug)]
enum Slots {
    /// 24 bits.
    Of24,
    /// 28 bits.
    Of28,
    /// 32 bits.
    Of32,
}

/// The part of a table that a bucket fills.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// Its lines.
    pub(in crate::equipment) lines: Vec<Line>,
    /// The lines of the list for each of their slots, if these are kept.
    pub(in crate::equipment) list_lines: Vec<u32>,
    /// What has no room in it.
    pub(crate) exact: Vec<Item>,
    /// How many devices found their line full.
    pub(crate) overflowed: usize,
}

impl Filled {
    /// A part of a table without devices, in the memory of another one.
    pub(crate) fn empty(sketch: &Sketch, old: Self) -> Self {
        let Self {
            mut lines,
            mut list_lines,
            mut exact,
            ..
        } = old;
        lines.clear();
        lines.resize(sketch.part(), Line::EMPTY);
        list_lines.clear();
        list_lines.resize(sketch.part_lines(), 0);
        exact.clear();
        Self {
            lines,
            list_lines,
            exact,
            overflowed: 0,
        }
    }

    /// The octets of its lines, and of the lines of the list.
    pub(crate) fn octets(&self) -> [&[u8]; 2] {
        [
            bytemuck::cast_slice(&self.lines),
            bytemuck::cast_slice(&self.list_lines),
        ]
    }

    /// The same, to be written to.
    pub(crate) fn octets_mut(&mut self) -> [&mut [u8]; 2] {
        [
            bytemuck::cast_slice_mut(&mut self.lines),
            bytemuck::cast_slice_mut(&mut self.list_lines),
        ]
    }
}

/// A part that is being filled.
struct Filling<L> {
    /// Where devices stand in the whole table.
    geometry: Geometry<47>,
    /// Bits of a slot that the class has.
    class_bits: u32,
    /// The first line of the part.
    first: u64,
    /// How devices are scattered.
    mix: Mix<47>,
    /// How many devices each line has.
    taken: Vec<u8>,
    /// The part.
    filled: Filled,
    /// How lines are cut.
    layout: PhantomData<L>,
}

impl<L: Layout> Filling<L> {
    /// Adds some devices.
    fn add(&mut self, few: Few<'_>) {
        few.each(|word, list_line| self.insert(word, list_line));
    }

    /// Adds a device.
    #[inline(always)]
    fn insert(&mut self, word: u64, list_line: u32) {
        let (line, remainder) = self.geometry.place(word & !LARGE);
        let class = (word & LARGE) as u32;
        let place = (line - self.first.min(line)) as usize;
        let Filled { lines, .. } = &mut self.filled;
        let (Some(line), Some(taken)) = (lines.get_mut(place), self.taken.get_mut(place)) else {
            return;
        };
        match quotient::insert::<L>((line, taken), remainder, class, self.class_bits) {
            Inserted::Stands(slot) => {
                let slot = place * L::SLOTS + slot;
                if let Some(line) = self.filled.list_lines.get_mut(slot) {
                    *line = list_line;
                }
                return;
            }
            Inserted::WithoutClass => {}
            Inserted::Overflowed => self.filled.overflowed += 1,
        }
        // Those of large classes are in the exact table anyway.
        if u64::from(class) != LARGE {
            self.filled.exact.push(Item {
                key: self.mix.invert(word & !LARGE),
                class,
                line: list_line,
            });
        }
    }
}

impl Sketch {
    /// That with the slots that cost the least; `None` if a table of whole keys
    /// is no larger.
    pub(super) fn new(by_bits: &ByBits, seeds: Seeds, keeps_lines: bool) -> Option<Self> {
        let devices = by_bits.sum();
        // So many of ten lines' slots are meant to be filled: three quarters to
        // four fifths, so that one device of fifty finds its line full.
        let kinds = [
            (
                Slots::Of24,
                168,
                Table::<Slots24>::class_bits as fn(u64) -> u32,
            ),
            (Slots::Of28, 144, Table::<Slots28>::class_bits),
            (Slots::Of32, 112, Table::<Slots32>::class_bits),
        ];
        let costs = kinds.into_iter().filter_map(|(slots, fill, class_bits)| {
            let lines = (devices * 10).div_ceil(fill).max(1);
            let lines = lines.next_multiple_of(BUCKETS as u64);
            // A slot needs one class and the mark of all others.
            let bits = Some(class_bits(lines)).filter(|&bits| bits > 1)?;
            let cost = lines * Lines::LINE as u64 + by_bits.beyond(bits) * EXACT_COST;
            Some((cost, slots, lines))
        });
        let (cost, slots, lines) = costs.min_by_key(|&(cost, ..)| cost)?;
        (cost < devices * 16).then_some(Self {
            slots,
            lines,
            devices,
            seeds,
            number: 0,
            keeps_lines,
        })
    }

    /// What scatters the devices.
    pub(super) fn mix(&self) -> Mix<47> {
        Mix::new(self.seeds.nth(self.number))
    }

    /// Fills the part of a bucket, in the memory of another one.
    ///
    /// # Errors
    ///
    /// If its devices cannot be read.
    pub(crate) fn fill(
        &self,
        bucket: usize,
        rest: &dyn Rest,
        old: Filled,
    ) -> Result<Filled, String> {
        match self.slots {
            Slots::Of24 => self.fill_slots::<Slots24>(bucket, rest, old),
            Slots::Of28 => self.fill_slots::<Slots28>(bucket, rest, old),
            Slots::Of32 => self.fill_slots::<Slots32>(bucket, rest, old),
        }
    }

    /// The same, of lines that are cut in this way.
    fn fill_slots<L: Layout>(
        &self,
        bucket: usize,
        rest: &dyn Rest,
        old: Filled,
    ) -> Result<Filled, String> {
        let mut filling = Filling::<L> {
            geometry: Geometry::new(self.lines),
            class_bits: Table::<L>::class_bits(self.lines),
            first: (bucket * self.part()) as u64,
            mix: self.mix(),
            taken: vec![0; self.part()],
            filled: Filled::empty(self, old),
            layout: PhantomData,
        };
        rest.bucket(bucket, &mut |few| filling.add(few))?;
        Ok(filling.filled)
    }

    /// The sketch with another bijection, if too many devices found no room with
    /// this one.
    pub(crate) fn after(&self, overflowed: usize) -> Option<Self> {
        let most = overflow_limit(usize::try_from(self.devices).unwrap_or(usize::MAX));
        (overflowed > most && self.number + 1 < Seeds::TRIES).then_some(Self {
            number: self.number + 1,
            ..*self
        })
    }

    /// The devices of a part that was filled after the sketch `before`, scattered
    /// for this one; but for those that had no room, or whose class had none.
    pub(crate) fn scatter_again(
        &self,
        before: &Self,
        (bucket, filled): (usize, &Filled),
    ) -> Scattered {
        match self.slots {
            Slots::Of24 => self.scatter_slots::<Slots24>(before, bucket, filled),
            Slots::Of28 => self.scatter_slots::<Slots28>(before, bucket, filled),
            Slots::Of32 => self.scatter_slots::<Slots32>(before, bucket, filled),
        }
    }

    /// The same, of lines that are cut in this way.
    fn scatter_slots<L: Layout>(&self, before: &Self, bucket: usize, filled: &Filled) -> Scattered {
        let geometry = Geometry::<47>::new(before.lines);
        let class_bits = Table::<L>::class_bits(before.lines);
        let (mix, now) = (before.mix(), self.mix());
        let (mut words, mut own_lines) = (Vec::new(), Vec::new());
        for (place, line) in filled.lines.iter().enumerate() {
            let number = (bucket * before.part() + place) as u64;
            let contents = quotient::contents::<L>(line, class_bits);
            for (slot, (remainder, class)) in contents.enumerate() {
                let Some(class) = class else {
                    continue;
                };
                let key = mix.invert(geometry.unplace(number, remainder));
                words.push(word(now, key, class));
                own_lines.extend(filled.list_lines.get(place * L::SLOTS + slot));
            }
        }
        Scattered::of((&words, &own_lines), Scattered::default())
    }

    /// Devices with whole keys, scattered for this sketch.
    pub(crate) fn scatter(&self, items: &[Item]) -> Scattered {
        let words = items
            .iter()
            .map(|item| word(self.mix(), item.key, item.class));
        let lines = items.iter().map(|item| item.line);
        let lines = lines.take(if self.keeps_lines { items.len() } else { 0 });
        Scattered::of(
            (&words.collect::<Vec<_>>(), &lines.collect::<Vec<_>>()),
            Scattered::default(),
        )
    }

    /// The table of all parts.
    pub(super) fn table(&self, lines: Lines) -> table::Rest {
        let mix = self.mix();
        match self.slots {
            Slots::Of24 => table::Rest::Slots24(Table::from_parts(lines, mix)),
            Slots::Of28 => table::Rest::Slots28(Table::from_parts(lines, mix)),
            Slots::Of32 => table::Rest::Slots32(Table::from_parts(lines, mix)),
        }
    }

    /// How many lines there are.
    pub(crate) fn lines(&self) -> usize {
        self.lines as usize
    }

    /// How many octets these have.
    pub(crate) fn octets(&self) -> u64 {
        self.lines * Lines::LINE as u64
    }

    /// How many lines a bucket fills.
    pub(crate) fn part(&self) -> usize {
        self.lines() / BUCKETS
    }

    /// How many numbers of lines of the list these have.
    pub(crate) fn part_lines(&self) -> usize {
        let slots = match self.slots {
            Slots::Of24 => Slots24::SLOTS,
            Slots::Of28 => Slots28::SLOTS,
            Slots::Of32 => Slots32::SLOTS,
        };
        self.part() * if self.keeps_lines { slots } else { 0 }
    }
}

/// All devices as items, with whole keys; of those with large classes, these are
/// in `large`.
///
/// # Errors
///
/// If they cannot be read.
pub(super) fn items(rest: &dyn Rest, mix: Mix<47>, large: &[Item]) -> Result<Vec<Item>, String> {
    let mut items = large.to_vec();
    rest.all(&mut |few| {
        few.each(|word, line| {
            if word & LARGE != LARGE {
                items.push(Item {
                    key: mix.invert(word & !LARGE),
                    class: (word & LARGE) as u32,
                    line,
                });
            }
        });
    })?;
    Ok(items)
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// What is put in comes out of the parts, scattered for the next sketch; the
    /// devices themselves are the oracle.
    #[test]
    fn a_table_that_is_given_up_gives_all_devices_back() {
        let keys = (0..40_000u64).map(|n| n.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 17);
        let items: Vec<Item> = keys
            .map(|key| Item {
                key,
                class: 1 + (key % 9) as u32,
                line: key as u32,
            })
            .collect();
        for keeps_lines in [true, false] {
            // As many lines as it takes for slots to have room for small classes.
            let sketch = Sketch {
                slots: Slots::Of32,
                lines: 1 << 18,
                devices: items.len() as u64,
                seeds: Seeds::new(5),
                number: 0,
                keeps_lines,
            };
            assert!(sketch.after(overflow_limit(items.len())).is_none());
            let next = sketch.after(items.len()).unwrap();
            let rest = vec![sketch.scatter(&items)];
            let mut again = Vec::new();
            for bucket in 0..BUCKETS {
                let filled = sketch.fill(bucket, &rest, Filled::default()).unwrap();
                again.push(next.scatter_again(&sketch, (bucket, &filled)));
                again.push(next.scatter(&filled.exact));
            }
            let mut expected = items.clone();
            if !keeps_lines {
                expected.iter_mut().for_each(|item| item.line = 0);
            }
            let mut found = super::items(&again, next.mix(), &[]).unwrap();
            expected.sort_unstable_by_key(|item| item.key);
            found.sort_unstable_by_key(|item| item.key);
            assert_eq!(found, expected);
        }
    }
}
