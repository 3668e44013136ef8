//! Bijections that scatter keys.

/// A keyed bijection of the numbers below `2^BITS`: xorshifts and
/// multiplications by odd numbers, each of which can be undone.
///
/// Images stand in the high bits of a word, so that the high half of their
/// product with a number of lines is a line.
///
/// It keeps nobody from finding colliding keys who knows its factors; the
/// builder takes others when too many keys collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::equipment) struct Mix<const BITS: u32> {
    /// The odd factors.
    factors: [u64; 2],
}

impl<const BITS: u32> Mix<BITS> {
    /// The numbers that are mixed.
    const MASK: u64 = (1 << BITS) - 1;
    /// How far the upper half is folded down.
    const FOLD: u32 = BITS / 2;
    /// How far images stand above the low end of their word.
    const LEFT: u32 = 64 - BITS;

    /// One of the bijections.
    pub(in crate::equipment) fn new(seed: u64) -> Self {
        // SplitMix64 spreads the seed over both factors.
        let factors = [1u64, 2].map(|step| {
            let mut word = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (word ^ word >> 31) & Self::MASK | 1
        });
        Self { factors }
    }

    /// The factors, which are the whole bijection.
    pub(in crate::equipment) fn factors(self) -> [u64; 2] {
        self.factors
    }

    /// The bijection with these factors; with others than
    /// [`factors`](Self::factors) gave, it may be none.
    pub(in crate::equipment) fn from_factors(factors: [u64; 2]) -> Self {
        Self { factors }
    }

    /// The image of a key.
    #[inline]
    pub(in crate::equipment) fn apply(self, key: u64) -> u64 {
        let [first, second] = self.factors;
        let mut word = key.wrapping_mul(first) & Self::MASK;
        word ^= word >> Self::FOLD;
        word.wrapping_mul(second) << Self::LEFT
    }

    /// The key of an image.
    pub(in crate::equipment) fn invert(self, image: u64) -> u64 {
        let [first, second] = self.factors.map(inverse);
        let mut word = (image >> Self::LEFT).wrapping_mul(second) & Self::MASK;
        // Once for the half that was folded, once more for an odd bit.
        word ^= word >> Self::FOLD ^ word >> (2 * Self::FOLD);
        word.wrapping_mul(first) & Self::MASK
    }
}

impl<const BITS: u32> Default for Mix<BITS> {
    fn default() -> Self {
        Self::new(0)
    }
}

/// Seeds of bijections, one to be taken after the other failed.
///
/// The first depends on the keys: the same keys make the same table, and whoever
/// chooses keys cannot know how they will be scattered before all are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seeds(u64);

impl Seeds {
    /// How many are tried.
    pub(super) const TRIES: u64 = 8;

    /// Those that begin with a number.
    pub(super) fn new(first: u64) -> Self {
        Self(first)
    }

    /// Those for some keys.
    pub(super) fn of(first: u64, keys: impl Iterator<Item = u64>) -> Self {
        Self(keys.fold(first, |digest, key| {
            let digest = (digest ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            digest ^ digest >> 32
        }))
    }

    /// One of them.
    pub(super) fn nth(self, number: u64) -> u64 {
        // Far apart, as the seeds of factors are close to each other.
        self.0.wrapping_add(number << 40)
    }

    /// What is made of the first one that it can be made of; `make` is told
    /// whether it is the last.
    pub(super) fn pick<T>(self, mut make: impl FnMut(u64, bool) -> Option<T>) -> Option<T> {
        (0..Self::TRIES).find_map(|number| make(self.nth(number), number + 1 == Self::TRIES))
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
            let image = usize::try_from(mix.apply(key) >> 44).unwrap();
            assert!(!core::mem::replace(&mut seen[image], true));
        }
    }
}
