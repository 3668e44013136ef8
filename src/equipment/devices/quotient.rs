//! Where a mixed key stands: which line, and what of it the line stores.

use core::marker::PhantomData;

use super::line::{Layout, Line};
use super::mix::Mix;

/// Where keys of `2^DOMAIN` numbers stand in a number of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry<const DOMAIN: u32> {
    /// How many lines, at least one.
    lines: u64,
    /// How far the part that the line does not imply is shifted.
    shift: u32,
}

impl<const DOMAIN: u32> Geometry<DOMAIN> {
    /// The geometry of so many lines, at least one and less than `2^DOMAIN`.
    #[inline]
    pub(super) fn new(lines: u64) -> Self {
        let lines = lines.max(1);
        Self {
            lines,
            // Two keys of one line differ by at least `lines` in the fraction.
            shift: lines.ilog2(),
        }
    }

    /// Bits that a line stores of a key.
    pub(super) fn remainder_bits(self) -> u32 {
        DOMAIN - self.shift
    }

    /// The line and the remainder of a mixed key.
    #[inline]
    pub(super) fn place(self, mixed: u64) -> (u64, u64) {
        let product = u128::from(mixed) * u128::from(self.lines);
        let line = (product >> DOMAIN) as u64;
        let fraction = product as u64 & ((1 << DOMAIN) - 1);
        (line, fraction >> self.shift)
    }

    /// The mixed key of a line and a remainder.
    pub(super) fn unplace(self, line: u64, remainder: u64) -> u64 {
        let lines = u128::from(self.lines);
        let product = u128::from(line) << DOMAIN | u128::from(remainder) << self.shift;
        product.div_ceil(lines) as u64
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
        let class = L::get(line, slot) & mask;
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
    (L::get(line, slot) & mask != 0).then_some(slot)
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

/// Puts a remainder into its line; says whether its class stands there.
pub(super) fn insert<L: Layout>(
    line: &mut Line,
    remainder: u64,
    class: u32,
    class_bits: u32,
) -> bool {
    let stands = u64::from(class) <= classes(class_bits);
    let stored = match stands {
        true => u64::from(class),
        false => (1 << class_bits) - 1,
    };
    for slot in 0..L::SLOTS {
        if L::get(line, slot) == 0 {
            L::set(line, slot, remainder << class_bits | stored);
            return stands;
        }
    }
    L::mark_overflow(line, (remainder % u64::from(L::FILTERS)) as u32);
    false
}

/// A table of whole devices.
#[derive(Clone, Debug)]
pub(super) struct Table<L> {
    /// The lines.
    lines: Box<[Line]>,
    /// Where devices stand.
    geometry: Geometry<47>,
    /// How they are scattered.
    mix: Mix<47>,
    /// Bits of a slot that the class has.
    class_bits: u32,
    /// How lines are cut.
    layout: PhantomData<L>,
}

impl<L: Layout> Table<L> {
    /// Bits for the class in slots of a table of so many lines.
    pub(super) fn class_bits(lines: u64) -> u32 {
        L::BITS.saturating_sub(Geometry::<47>::new(lines).remainder_bits())
    }

    /// A table of these devices with their classes; what has no room in it
    /// goes to `exact`.
    pub(super) fn build(
        entries: impl Iterator<Item = (u64, u32)>,
        lines: u64,
        seed: u64,
        exact: &mut Vec<(u64, u32)>,
    ) -> Self {
        let geometry = Geometry::new(lines);
        let class_bits = Self::class_bits(lines);
        let mix = Mix::new(seed);
        let mut table = vec![Line::default(); lines as usize].into_boxed_slice();
        for (key, class) in entries {
            let (line, remainder) = geometry.place(mix.apply(key));
            let stands = table
                .get_mut(line as usize)
                .is_some_and(|line| insert::<L>(line, remainder, class, class_bits));
            if !stands {
                exact.push((key, class));
            }
        }
        Self {
            lines: table,
            geometry,
            mix,
            class_bits,
            layout: PhantomData,
        }
    }

    /// The line of a device, and what it stores of it.
    #[inline]
    pub(super) fn locate(&self, key: u64) -> Option<(&Line, u64)> {
        let (line, remainder) = self.geometry.place(self.mix.apply(key));
        Some((self.lines.get(line as usize)?, remainder))
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

    /// What a line says.
    #[inline]
    pub(super) fn find_in(&self, line: &Line, remainder: u64) -> Found {
        find::<L>(line, remainder, self.class_bits)
    }

    /// The octets of it.
    pub(super) fn size(&self) -> usize {
        size_of_val::<[Line]>(&self.lines)
    }

    /// The devices of it, with their classes if those stand here.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, Option<u32>)> {
        (0u64..).zip(&self.lines).flat_map(move |(number, line)| {
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
                let place = geometry.place(key);
                assert!(place.0 < lines && place.1 < 1 << geometry.remainder_bits());
                assert!(last < Some(place), "in order, so no two are one");
                assert_eq!(geometry.unplace(place.0, place.1), key);
                last = Some(place);
            }
        }
        let geometry = Geometry::<47>::new(123_456_789);
        for key in (0..1 << 47).step_by((1 << 31) + 7919) {
            let (line, remainder) = geometry.place(key);
            assert_eq!(geometry.unplace(line, remainder), key);
        }
    }
}
