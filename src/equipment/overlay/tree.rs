//! A map that shares what has not changed with the map it was made from.

use std::sync::Arc;

use crate::equipment::devices::prefetch;

/// How many ways there are at each level, as a power of two.
const FAN: u32 = 6;
/// The ways of a level.
const WAYS: usize = 1 << FAN;
/// The levels above the leaves: 262,144 leaves hold some four keys each of the
/// million that there may be.
const LEVELS: u32 = 3;

/// The ways of one level, those without anything below them empty.
type Level<T> = [Option<Arc<T>>; WAYS];

/// The last level.
///
/// Of the keys that are asked for most are not there, and that is told by the
/// line of `marks` alone: the two levels above are small and stay in the caches.
#[derive(Clone, Debug)]
struct Last<V> {
    /// Of each leaf, the marks of all its keys: what lacks one of the bits of a
    /// key's mark has not the key.
    marks: [u64; WAYS],
    /// The leaves: keys with their values, those of one key in the order in
    /// which they were added.
    leaves: Level<Vec<(u64, V)>>,
}

/// A persistent map from numbers to one or more values each.
///
/// A copy costs the count of a reference; a change of a copy copies the way to
/// one leaf, and nothing that is not shared; what is not shared with a copy is
/// changed where it stands. Keys are scattered by a secret, so that nobody can
/// choose them to meet in one leaf.
#[derive(Clone, Debug)]
pub(super) struct Tree<V> {
    /// What scatters the keys.
    secret: [u64; 2],
    /// The first level.
    root: Arc<Level<Level<Last<V>>>>,
}

/// Where a key is.
#[derive(Clone, Copy)]
struct Way {
    /// Its scattered image, by which the leaves are in order.
    image: u64,
    /// Its places at each level.
    places: [usize; LEVELS as usize],
    /// Its mark: two bits, so that of a leaf with four keys one in seventy
    /// others is looked for in vain.
    mark: u64,
}

impl<V: Clone> Tree<V> {
    /// A map without keys.
    pub(super) fn new(secret: [u64; 2]) -> Self {
        Self {
            secret,
            root: Arc::new([const { None }; WAYS]),
        }
    }

    /// A map of all these values, at once: of several that are the same, by
    /// `is_same`, the last, in the place of the first. Those that others have
    /// taken the place of are added to `lost`.
    pub(super) fn laid_out(
        secret: [u64; 2],
        mut values: Vec<Option<(u64, V)>>,
        is_same: impl Fn(&V, &V) -> bool,
        lost: &mut Vec<V>,
    ) -> Self {
        let mut tree = Self::new(secret);
        // Sorted by leaf in two passes: counted, then put in their places. Those
        // of one leaf stay in their order.
        let leaf_of = |value: &Option<(u64, V)>| {
            value.as_ref().map_or(0, |(key, _)| {
                (way_of(secret, *key).image >> (64 - FAN * LEVELS)) as usize
            })
        };
        let leaves: Vec<u32> = values.iter().map(|value| leaf_of(value) as u32).collect();
        let mut ends = vec![0u32; WAYS * WAYS * WAYS];
        for &leaf in &leaves {
            if let Some(end) = ends.get_mut(leaf as usize) {
                *end += 1;
            }
        }
        let mut begin = 0;
        for end in &mut ends {
            (*end, begin) = (begin, begin + *end);
        }
        let mut order = vec![0u32; values.len()];
        for (place, &leaf) in (0..).zip(&leaves) {
            if let Some(end) = ends.get_mut(leaf as usize)
                && let Some(at) = order.get_mut(*end as usize)
            {
                *at = place;
                *end += 1;
            }
        }
        let root = Arc::make_mut(&mut tree.root);
        let mut order = order.as_slice();
        let mut taken = 0;
        let mut leaf = Vec::new();
        for (first, level) in root.iter_mut().enumerate() {
            let mut seconds = [const { None }; WAYS];
            for (second, last) in seconds.iter_mut().enumerate() {
                let mut made = Last {
                    marks: [0; WAYS],
                    leaves: [const { None }; WAYS],
                };
                let mut is_empty = true;
                for third in 0..WAYS {
                    let end = ends.get((first * WAYS + second) * WAYS + third);
                    let end = end.map_or(taken, |&end| end as usize);
                    let (own, rest) = order.split_at_checked(end - taken).unwrap_or_default();
                    (order, taken) = (rest, end);
                    let own = own
                        .iter()
                        .filter_map(|&place| values.get_mut(place as usize)?.take());
                    own.for_each(|(key, value)| add(&mut leaf, key, value, &is_same, lost));
                    if leaf.is_empty() {
                        continue;
                    }
                    is_empty = false;
                    let keys = leaf.iter().map(|&(key, _)| way_of(secret, key).mark);
                    if let Some(marks) = made.marks.get_mut(third) {
                        *marks = keys.fold(0, |marks, mark| marks | mark);
                    }
                    if let Some(place) = made.leaves.get_mut(third) {
                        let mut exact = Vec::with_capacity(leaf.len());
                        exact.append(&mut leaf);
                        *place = Some(Arc::new(exact));
                    }
                }
                *last = (!is_empty).then(|| Arc::new(made));
            }
            if seconds.iter().any(Option::is_some) {
                *level = Some(Arc::new(seconds));
            }
        }
        tree
    }

    /// The values of a key, in the order in which they were added.
    #[inline]
    pub(super) fn find(&self, key: u64) -> impl Iterator<Item = &V> + Clone {
        let leaf = self.leaf(key).unwrap_or_default();
        let own = leaf.iter().filter(move |(own, _)| *own == key);
        own.map(|(_, value)| value)
    }

    /// Has the line fetched that tells of most keys that they are not there.
    #[inline]
    pub(super) fn prefetch(&self, key: u64) {
        let way = self.way(key);
        if let Some(last) = self.last(way)
            && let Some(marks) = last.marks.get(way.places[2])
        {
            prefetch(marks);
        }
    }

    /// Puts a value in the place of that of a key which it is to replace, or
    /// last; takes that out if there is none.
    pub(super) fn replace(&mut self, key: u64, value: Option<V>, is_it: impl Fn(&V) -> bool) {
        let way = self.way(key);
        let [first, second, third] = way.places;
        let mut marks = 0;
        // Every place is below the number of ways, by `way`.
        let Some(level) = Arc::make_mut(&mut self.root).get_mut(first) else {
            return;
        };
        let level = Arc::make_mut(level.get_or_insert_with(|| Arc::new([const { None }; WAYS])));
        let Some(last) = level.get_mut(second) else {
            return;
        };
        let last = Arc::make_mut(last.get_or_insert_with(|| {
            Arc::new(Last {
                marks: [0; WAYS],
                leaves: [const { None }; WAYS],
            })
        }));
        if let Some(place) = last.leaves.get_mut(third) {
            let leaf = Arc::make_mut(place.get_or_insert_default());
            let value = value.map(|value| (key, value));
            super::replace(leaf, value, |(own, value)| *own == key && is_it(value));
            let keys = leaf.iter().map(|&(key, _)| way_of(self.secret, key).mark);
            marks = keys.fold(0, |marks, mark| marks | mark);
            if leaf.is_empty() {
                *place = None;
            }
        }
        if let Some(place) = last.marks.get_mut(third) {
            *place = marks;
        }
    }

    /// The leaf that a key stands in, if it may be there.
    #[inline]
    fn leaf(&self, key: u64) -> Option<&[(u64, V)]> {
        let way = self.way(key);
        let last = self.last(way)?;
        let [.., third] = way.places;
        if last.marks.get(third)? & way.mark != way.mark {
            return None;
        }
        last.leaves.get(third)?.as_deref().map(Vec::as_slice)
    }

    /// The last level on a way.
    #[inline]
    fn last(&self, way: Way) -> Option<&Last<V>> {
        let [first, second, _] = way.places;
        let level = self.root.get(first)?.as_deref()?;
        level.get(second)?.as_deref()
    }

    /// The way to a key.
    #[inline]
    fn way(&self, key: u64) -> Way {
        way_of(self.secret, key)
    }
}

/// Adds a value to a leaf that is laid out; see [`Tree::laid_out`].
fn add<V>(
    leaf: &mut Vec<(u64, V)>,
    key: u64,
    value: V,
    is_same: impl Fn(&V, &V) -> bool,
    lost: &mut Vec<V>,
) {
    for (_, before) in leaf.iter_mut().filter(|(own, _)| *own == key) {
        if is_same(before, &value) {
            lost.push(core::mem::replace(before, value));
            return;
        }
    }
    leaf.push((key, value));
}

/// The way to a key, scattered by a secret.
#[inline]
fn way_of([first, second]: [u64; 2], key: u64) -> Way {
    // Both halves of a product by an odd number depend on all bits.
    let product = u128::from(key ^ first) * u128::from(second | 1);
    let image = (product >> 64) as u64 ^ product as u64;
    let image = image.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let part = |part: u32| image >> (64 - FAN * part);
    let bit = |at| 1 << (part(at) % u64::from(u64::BITS));
    Way {
        image,
        places: [1, 2, 3].map(|level| part(level) as usize % WAYS),
        mark: bit(4) | bit(5),
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
                // One that is a multiple of three gives way, or none.
                let is_it = |value: &usize| value.is_multiple_of(3);
                let value = (what > 0).then_some(number);
                tree.replace(key, value, is_it);
                let own = model.entry(key).or_default();
                match (own.iter().position(is_it), value) {
                    (Some(place), Some(value)) => own[place] = value,
                    (Some(place), None) => drop(own.remove(place)),
                    (None, value) => own.extend(value),
                }
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
            let [a, b, c] = tree.way(35_209_900_000_000 + key).places;
            counts[(a * WAYS + b) * WAYS + c] += 1;
        }
        // Four on average: of as many that were thrown at random, none would
        // have thirty.
        assert!(counts.iter().all(|&count| count < 30));
    }
}
