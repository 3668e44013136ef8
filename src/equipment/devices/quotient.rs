//! Where a mixed key stands: which line, and what of it the line stores.

use core::marker::PhantomData;

use super::line::{CLASS_BITS_MAX, Layout, Line};
use super::mix::Mix;
use super::pages::Lines;

/// Where keys of `2^DOMAIN` numbers stand in a number of lines. Mixed keys
/// stand in the high bits of a word; see [`Mix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::equipment) struct Geometry<const DOMAIN: u32> {
    /// How many lines, at least one.
    lines: u64,
    /// How far the part that the line does not imply is shifted.
    shift: u32,
}

impl<const DOMAIN: u32> Geometry<DOMAIN> {
    /// How far mixed keys stand above the low end of their word.
    const LEFT: u32 = 64 - DOMAIN;

    /// The geometry of so many lines, at least one and less than `2^DOMAIN`.
    #[inline]
    pub(in crate::equipment) fn new(lines: u64) -> Self {
        let lines = lines.max(1);
        Self {
            lines,
            // Two keys of one line differ by at least `lines` in the fraction.
            shift: Self::LEFT + lines.ilog2(),
        }
    }

    /// Bits that a line stores of a key.
    #[inline]
    pub(super) fn remainder_bits(self) -> u32 {
        64 - self.shift
    }

    /// The line and the remainder of a mixed key.
    #[inline]
    pub(in crate::equipment) fn place(self, mixed: u64) -> (u64, u64) {
        // One multiplication: the line is its high half, the fraction the low.
        let product = u128::from(mixed) * u128::from(self.lines);
        ((product >> 64) as u64, product as u64 >> self.shift)
    }

    /// The mixed key of a line and a remainder.
    pub(in crate::equipment) fn unplace(self, line: u64, remainder: u64) -> u64 {
        let lines = u128::from(self.lines);
        let product = u128::from(line) << 64 | u128::from(remainder) << self.shift;
        ((product >> Self::LEFT).div_ceil(lines) as u64) << Self::LEFT
    }
}

/// What a line says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is not there.
    Absent,
    /// It has this class.
    Class(u32),
    /// The exact table knows.
    Elsewhere,
}

/// The classes that slots with so many bits for them tell apart; the highest
/// number says that the class stands elsewhere.
#[inline]
pub(super) const fn classes(bits: u32) -> u64 {
    (1 << bits) - 2
}

/// Looks a remainder up in its line.
#[inline]
pub(super) fn find<L: Layout>(line: &Line, remainder: u64, class_bits: u32) -> Found {
    let mask = (1u64 << class_bits) - 1;
    if let Some(slot) = L::find(line, remainder << class_bits, mask) {
        let class = L::low(line, slot) & mask;
        if class == mask {
            return Found::Elsewhere;
        }
        if class != 0 {
            return Found::Class(class as u32);
        }
    }
    // The low bits of remainders are as random as any.
    let filter = remainder % u64::from(L::FILTERS);
    match L::overflow(line) >> filter & 1 {
        0 => Found::Absent,
        _ => Found::Elsewhere,
    }
}

/// The slot of a remainder in its line, if it has one.
pub(super) fn slot<L: Layout>(line: &Line, remainder: u64, class_bits: u32) -> Option<usize> {
    let mask = (1u64 << class_bits) - 1;
    let slot = L::find(line, remainder << class_bits, mask)?;
    (L::low(line, slot) & mask != 0).then_some(slot)
}

/// The remainders of a line with what stands there of their classes, and their
/// slots.
pub(super) fn contents<L: Layout>(
    line: &Line,
    class_bits: u32,
) -> impl Iterator<Item = (u64, Option<u32>)> {
    let mask = (1u64 << class_bits) - 1;
    (0..L::SLOTS).map_while(move |slot| {
        let value = L::get(line, slot);
        let class = value & mask;
        // An empty slot is zero; a class is not.
        (class != 0).then(|| (value >> class_bits, (class != mask).then_some(class as u32)))
    })
}

/// What became of a device that was put into its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It stands there with its class, in this slot.
    Stands(usize),
    /// It does, but its class needs more bits.
    WithoutClass,
    /// The line was full.
    Overflowed,
}

/// Puts a remainder into its line, which has so many: slots are filled from the
/// first on.
#[inline]
pub(super) fn insert<L: Layout>(
    (line, taken): (&mut Line, &mut u8),
    remainder: u64,
    class: u32,
    class_bits: u32,
) -> Inserted {
    let slot = usize::from(*taken);
    if slot >= L::SLOTS {
        L::mark_overflow(line, (remainder % u64::from(L::FILTERS)) as u32);
        return Inserted::Overflowed;
    }
    *taken += 1;
    let (stored, inserted) = match u64::from(class) <= classes(class_bits) {
        true => (u64::from(class), Inserted::Stands(slot)),
        false => ((1 << class_bits) - 1, Inserted::WithoutClass),
    };
    L::set(line, slot, remainder << class_bits | stored);
    inserted
}

/// Bits for the class of a slot that stores so many of a key.
#[inline]
pub(super) fn class_bits<L: Layout>(remainder_bits: u32) -> u32 {
    L::BITS.saturating_sub(remainder_bits).min(CLASS_BITS_MAX)
}

/// A table of whole devices.
#[derive(Clone, Debug)]
pub(super) struct Table<L> {
    /// The lines.
    lines: Lines,
    /// Where devices stand.
    geometry: Geometry<47>,
    /// How they are scattered.
    mix: Mix<47>,
    /// Bits of a slot that the class has.
    class_bits: u32,
    /// How lines are cut.
    layout: PhantomData<L>,
}

/// One device of so many may find no room before other factors are tried; of
/// keys without a pattern one of fifty does not.
const OVERFLOW_MAX: usize = 12;
/// How many may do so whatever their share.
const OVERFLOW_FREE: usize = 100;

/// How many devices out of so many may find no room.
pub(super) fn overflow_limit(devices: usize) -> usize {
    OVERFLOW_FREE + devices / OVERFLOW_MAX
}

impl<L: Layout> Table<L> {
    /// Bits for the class in slots of a table of so many lines.
    pub(super) fn class_bits(lines: u64) -> u32 {
        class_bits::<L>(Geometry::<47>::new(lines).remainder_bits())
    }

    /// The lines and the bijection, which are the whole table.
    pub(super) fn parts(&self) -> (&[Line], Mix<47>) {
        (&self.lines, self.mix)
    }

    /// The table of these parts.
    pub(super) fn from_parts(lines: Lines, mix: Mix<47>) -> Self {
        let count = lines.len() as u64;
        Self {
            lines,
            geometry: Geometry::new(count),
            mix,
            class_bits: Self::class_bits(count),
            layout: PhantomData,
        }
    }

    /// The line of a device, and what it stores of it.
    #[inline]
    pub(super) fn locate(&self, key: u64) -> Option<(&Line, u64)> {
        let (line, remainder) = self.geometry.place(self.mix.apply(key));
        Some((self.lines.get(line as usize)?, remainder))
    }

    /// What a line says of the device with this remainder.
    #[inline]
    pub(super) fn look(&self, line: &Line, remainder: u64) -> Found {
        find::<L>(line, remainder, self.class_bits)
    }

    /// Puts the lines in.
    pub(super) fn fill(&mut self, lines: Lines) {
        *self = Self::from_parts(lines, self.mix);
    }

    /// Where a device stands among all slots, if it does.
    pub(super) fn slot(&self, key: u64) -> Option<usize> {
        let (line, remainder) = self.geometry.place(self.mix.apply(key));
        let slot = slot::<L>(self.lines.get(line as usize)?, remainder, self.class_bits)?;
        Some(line as usize * L::SLOTS + slot)
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.lines.len() * L::SLOTS
    }

    /// The octets of it.
    pub(super) fn size(&self) -> usize {
        size_of_val::<[Line]>(&self.lines)
    }

    /// The devices of it, with their classes if those stand here.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, Option<u32>)> {
        let lines = self.lines.iter();
        (0u64..).zip(lines).flat_map(move |(number, line)| {
            contents::<L>(line, self.class_bits).map(move |(remainder, class)| {
                let mixed = self.geometry.unplace(number, remainder);
                (self.mix.invert(mixed), class)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placing_is_undone() {
        for lines in [1, 2, 3, 5, 64, 100, 1000, 33_333, 1 << 19] {
            let geometry = Geometry::<20>::new(lines);
            let mut last = None;
            for key in 0..1 << 20 {
                let place = geometry.place(key << 44);
                assert!(place.0 < lines && place.1 < 1 << geometry.remainder_bits());
                assert!(last < Some(place), "in order, so no two are one");
                assert_eq!(geometry.unplace(place.0, place.1), key << 44);
                last = Some(place);
            }
        }
        let geometry = Geometry::<47>::new(123_456_789);
        for key in (0..1 << 47).step_by((1 << 31) + 7919) {
            let (line, remainder) = geometry.place(key << 17);
            assert_eq!(geometry.unplace(line, remainder), key << 17);
        }
    }
}
