//! A map that shares what has not changed with the map it was made from.

use std::sync::Arc;

use crate::equipment::devices::prefetch;

/// How many ways there are at each level, as a power of two.
const FAN: u32 = 6;
/// The ways of a level.
const WAYS: usize = 1 << FAN;
/// The levels above the leaves: 262,144 leaves hold some four keys each of the
/// million that there may be, so that a lookup takes the lines of three small
/// arrays that stay in the caches, and that of the leaf.
const LEVELS: u32 = 3;

/// The ways of one level, those without anything below them empty.
type Level<T> = [Option<Arc<T>>; WAYS];
/// The last level: a leaf is a plain array, so that the line that is fetched
/// for it holds keys already.
type Last<V> = [Option<Arc<[(u64, V)]>>; WAYS];

/// A persistent map from numbers to one or more values each.
///
/// A copy costs the count of a reference; a change of a copy copies the way to
/// one leaf, and nothing that is not shared. Keys are scattered by a secret, so
/// that nobody can choose them to meet in one leaf.
#[derive(Clone, Debug)]
pub(super) struct Tree<V> {
    /// What scatters the keys.
    secret: [u64; 2],
    /// The first level.
    root: Arc<Level<Level<Last<V>>>>,
}

impl<V: Clone> Tree<V> {
    /// A map without keys.
    pub(super) fn new(secret: [u64; 2]) -> Self {
        Self {
            secret,
            root: Arc::new([const { None }; WAYS]),
        }
    }

    /// The values of a key, in the order in which they were added.
    #[inline]
    pub(super) fn find(&self, key: u64) -> impl Iterator<Item = &V> {
        let leaf = self.leaf(key).unwrap_or_default();
        let own = leaf.iter().filter(move |(own, _)| *own == key);
        own.map(|(_, value)| value)
    }

    /// Has the first line of the leaf fetched that a key would stand in.
    #[inline]
    pub(super) fn prefetch(&self, key: u64) {
        if let Some((first, _)) = self.leaf(key).and_then(<[_]>::first) {
            prefetch(first);
        }
    }

    /// Lets a key have other values: those that it has are handed to `change`,
    /// which makes of them those that it will have.
    pub(super) fn change(&mut self, key: u64, change: impl FnOnce(&mut Vec<V>)) {
        let [first, second, third] = self.way(key);
        // Every place is below the number of ways, by `way`.
        let Some(level) = Arc::make_mut(&mut self.root).get_mut(first) else {
            return;
        };
        let level = Arc::make_mut(level.get_or_insert_with(|| Arc::new([const { None }; WAYS])));
        let Some(last) = level.get_mut(second) else {
            return;
        };
        let last = Arc::make_mut(last.get_or_insert_with(|| Arc::new([const { None }; WAYS])));
        let Some(place) = last.get_mut(third) else {
            return;
        };
        let leaf = place.as_deref().unwrap_or_default();
        let own = leaf.iter().filter(|(own, _)| *own == key);
        let mut values: Vec<V> = own.map(|(_, value)| value.clone()).collect();
        change(&mut values);
        let others = leaf.iter().filter(|(other, _)| *other != key).cloned();
        let leaf: Arc<[_]> = (others)
            .chain(values.into_iter().map(|value| (key, value)))
            .collect();
        *place = Some(leaf).filter(|leaf| !leaf.is_empty());
    }

    /// The leaf that a key would stand in.
    #[inline]
    fn leaf(&self, key: u64) -> Option<&[(u64, V)]> {
        let [first, second, third] = self.way(key);
        let level = self.root.get(first)?.as_ref()?;
        let last = level.get(second)?.as_ref()?;
        last.get(third)?.as_deref()
    }

    /// The places of a key at each level.
    #[inline]
    fn way(&self, key: u64) -> [usize; LEVELS as usize] {
        let [first, second] = self.secret;
        // Both halves of a product by an odd number depend on all bits.
        let product = u128::from(key ^ first) * u128::from(second | 1);
        let image = (product >> 64) as u64 ^ product as u64;
        let image = image.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        [1, 2, 3].map(|level| (image >> (64 - FAN * level)) as usize % WAYS)
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A map of the standard library is the oracle, also for a copy that was
        /// taken before.
        #[test]
        fn finds_what_a_plain_map_finds(
            steps in prop::collection::vec((0..200u64, 0..3u8), 1..400),
            copied in 0..400usize,
        ) {
            let mut tree = Tree::new([7, 11]);
            let mut model: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            let mut copies = (tree.clone(), model.clone());
            for (number, &(key, what)) in steps.iter().enumerate() {
                if number == copied {
                    copies = (tree.clone(), model.clone());
                }
                let change = |values: &mut Vec<usize>| match what {
                    0 => values.push(number),
                    1 => *values = vec![number],
                    _ => values.clear(),
                };
                tree.change(key, change);
                change(model.entry(key).or_default());
            }
            for (tree, model) in [(&tree, &model), (&copies.0, &copies.1)] {
                for key in 0..200 {
                    let expected = model.get(&key).cloned().unwrap_or_default();
                    tree.prefetch(key);
                    prop_assert_eq!(tree.find(key).copied().collect::<Vec<_>>(), expected);
                }
            }
        }
    }

    #[test]
    fn keys_spread_over_all_leaves() {
        let tree = Tree::<()>::new([0x1234_5678_9abc_def0, 0xfedc_ba98_7654_3210]);
        let mut counts = vec![0u32; WAYS * WAYS * WAYS];
        for key in 0..1_000_000 {
            let [a, b, c] = tree.way(35_209_900_000_000 + key);
            counts[(a * WAYS + b) * WAYS + c] += 1;
        }
        // Four on average: of as many that were thrown at random, none would
        // have thirty.
        assert!(counts.iter().all(|&count| count < 30));
    }
}
