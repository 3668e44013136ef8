//! Which numbers any of some ranges holds.

use std::collections::BTreeMap;

/// The numbers of many ranges, without saying which range holds one.
///
/// It is kept as ranges that neither overlap nor touch, so that adding one and
/// asking for one take the logarithm of their number: each range that is
/// swallowed by another is gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Union {
    /// The last number by the first.
    pieces: BTreeMap<u64, u64>,
}

impl Union {
    /// Adds a range, both ends included; with its ends the wrong way round it
    /// holds nothing.
    pub(super) fn insert(&mut self, mut from: u64, mut to: u64) {
        if from > to {
            return;
        }
        let touching = to.saturating_add(1);
        while let Some((&start, &end)) = self.pieces.range(..=touching).next_back()
            && end.saturating_add(1) >= from
        {
            from = from.min(start);
            to = to.max(end);
            self.pieces.remove(&start);
        }
        self.pieces.insert(from, to);
    }

    /// Whether any number of a range is held.
    pub(super) fn overlaps(&self, from: u64, to: u64) -> bool {
        from <= to && (self.pieces.range(..=to).next_back()).is_some_and(|(_, &end)| end >= from)
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A set of all numbers is the oracle.
        #[test]
        fn holds_what_a_set_holds(
            ends in prop::collection::vec((0..64u64, 0..64u64), 0..40),
            asked in (0..64u64, 0..64u64),
        ) {
            let mut union = Union::default();
            let mut set = std::collections::BTreeSet::new();
            for (from, to) in ends {
                union.insert(from, to);
                set.extend(from..=to);
            }
            let (from, to) = asked;
            prop_assert_eq!(union.overlaps(from, to), (from..=to).any(|number| set.contains(&number)));
            let pieces: Vec<(u64, u64)> = union.pieces.into_iter().collect();
            prop_assert!(pieces.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }

    #[test]
    fn the_last_number_can_be_held() {
        let mut union = Union::default();
        union.insert(u64::MAX, u64::MAX);
        union.insert(0, u64::MAX - 1);
        assert!(union.overlaps(u64::MAX, u64::MAX));
        assert_eq!(union.pieces.len(), 1);
    }
}
