//! Bijections that scatter keys.

/// A keyed bijection of the numbers below `2^BITS`: xorshifts and
/// multiplications by odd numbers, each of which can be undone.
///
/// It keeps nobody from finding colliding keys who knows its factors; the
/// builder takes others when too many keys collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mix<const BITS: u32> {
    /// The odd factors.
    factors: [u64; 2],
}

impl<const BITS: u32> Mix<BITS> {
    /// The numbers that are mixed.
    const MASK: u64 = (1 << BITS) - 1;
    /// How far the upper half is folded down.
    const FOLD: u32 = BITS / 2;

    /// One of the bijections.
    pub(super) fn new(seed: u64) -> Self {
        // SplitMix64 spreads the seed over both factors.
        let factors = [1u64, 2].map(|step| {
            let mut word = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (word ^ word >> 31) & Self::MASK | 1
        });
        Self { factors }
    }

    /// The image of a key.
    #[inline]
    pub(super) fn apply(self, key: u64) -> u64 {
        let [first, second] = self.factors;
        let mut word = key.wrapping_mul(first) & Self::MASK;
        word ^= word >> Self::FOLD;
        word.wrapping_mul(second) & Self::MASK
    }

    /// The key of an image.
    pub(super) fn invert(self, image: u64) -> u64 {
        let [first, second] = self.factors.map(inverse);
        let mut word = image.wrapping_mul(second) & Self::MASK;
        // Once for the half that was folded, once more for an odd bit.
        word ^= word >> Self::FOLD ^ word >> (2 * Self::FOLD);
        word.wrapping_mul(first) & Self::MASK
    }
}

/// The number that an odd one yields 1 with, modulo 2^64.
fn inverse(odd: u64) -> u64 {
    // Newton's iteration: correct bits 5, 10, 20, 40, 80.
    let mut inverse = odd.wrapping_mul(3) ^ 2;
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_is_undone() {
        for seed in 0..50 {
            let small = Mix::<20>::new(seed);
            let large = Mix::<47>::new(seed);
            for key in (0..1 << 20).step_by(977) {
                assert_eq!(small.invert(small.apply(key)), key);
                let key = key.wrapping_mul(seed + 3) << 20 & ((1 << 47) - 1) | key;
                assert_eq!(large.invert(large.apply(key)), key);
            }
        }
    }

    #[test]
    fn all_images_differ() {
        let mix = Mix::<20>::new(7);
        let mut seen = vec![false; 1 << 20];
        for key in 0..1 << 20 {
            let image = usize::try_from(mix.apply(key)).unwrap();
            assert!(!core::mem::replace(&mut seen[image], true));
        }
    }
}
