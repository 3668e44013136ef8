//! From the code and vendor of an AVP to what is known of it, in one comparison.

use crate::wire::code::AvpKey;

/// A table of few keys that are known when the program is built. It is
/// collision-free by construction, so that looking a key up takes one
/// multiplication, one entry and one comparison, whether it is there or not.
#[derive(Debug)]
pub(super) struct KeyTable<T: 'static> {
    /// `hash(key)` to what stands there.
    slots: [Slot<T>; SLOTS],
    /// The multiplier that makes `slots` collision-free.
    multiplier: u32,
}

/// Size of a table: many times the number of keys, so that a collision-free
/// multiplier is soon found.
const SLOTS: usize = 256;

/// Bits of a hash that do not tell a slot.
const SHIFT: u32 = u32::BITS - SLOTS.trailing_zeros();

/// One key with its value, or nothing.
#[derive(Clone, Copy, Debug)]
struct Slot<T> {
    /// The key; any other one where there is nothing.
    key: AvpKey,
    /// What is known of it.
    value: Option<T>,
}

impl<T: Copy> KeyTable<T> {
    /// A table of these. Evaluated at compile time.
    ///
    /// # Panics
    ///
    /// When two keys are the same. As tables are constants, that is a compile
    /// error.
    pub(super) const fn new(entries: &[(AvpKey, T)]) -> Self {
        let mut multiplier = 0x9e37_79b1u32;
        let mut tries = 10_000u32;
        while let Some(left) = tries.checked_sub(1) {
            if let Some(slots) = place(entries, multiplier) {
                return Self { slots, multiplier };
            }
            multiplier = multiplier.wrapping_mul(0x85eb_ca6b).wrapping_add(2) | 1;
            tries = left;
        }
        panic!("a table has the same AVP twice");
    }

    /// What is known of `key`.
    #[inline]
    pub(super) fn find(&self, key: AvpKey) -> Option<&T> {
        let slot = self.slots.get(slot(key, self.multiplier))?;
        let value = slot.value.as_ref()?;
        (slot.key == key).then_some(value)
    }
}

/// The slot of `key` under `multiplier`.
#[inline]
const fn slot(key: AvpKey, multiplier: u32) -> usize {
    let mixed = (key.code.0 ^ key.vendor.0.rotate_left(16)).wrapping_mul(multiplier);
    (mixed >> SHIFT) as usize
}

/// The slots under `multiplier`, if no two keys share one.
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated at compile time"
)]
const fn place<T: Copy>(entries: &[(AvpKey, T)], multiplier: u32) -> Option<[Slot<T>; SLOTS]> {
    let mut slots = [Slot {
        key: AvpKey::ietf(0),
        value: None,
    }; SLOTS];
    let mut at = 0;
    while at < entries.len() {
        let (key, value) = entries[at];
        let slot = slot(key, multiplier);
        if slots[slot].value.is_some() {
            return None;
        }
        slots[slot] = Slot {
            key,
            value: Some(value),
        };
        at += 1;
    }
    Some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_keys_and_no_others() {
        static TABLE: KeyTable<u8> = KeyTable::new(&[
            (AvpKey::ietf(1), 10),
            (AvpKey::ietf(263), 11),
            (AvpKey::tgpp(263), 12),
            (AvpKey::ietf(0), 13),
        ]);
        for code in 0..2000 {
            for (key, expected) in [
                (AvpKey::ietf(code), [(0, 13), (1, 10), (263, 11)].as_slice()),
                (AvpKey::tgpp(code), &[(263, 12)]),
            ] {
                let expected = expected.iter().find(|(known, _)| *known == code);
                assert_eq!(TABLE.find(key).copied(), expected.map(|&(_, value)| value));
            }
        }
    }
}
