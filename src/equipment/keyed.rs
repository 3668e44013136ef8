//! From a key to whatever was said of it: an immutable, exact index.
//!
//! Keys are mixed by a bijection and sorted by what comes out. Its high bits say
//! in which *bucket* of a few entries a key stands, so that an entry has to store
//! the rest of them only; where each bucket begins stands in an array of its own.
//! A lookup takes a line of that, and one or two of entries, whatever their
//! number and whoever has chosen the keys: a bucket that is long nevertheless is
//! searched by halves.
//!
//! ```text
//! key ─mix─▶ bucket, remainder
//!              │
//!  starts  [ 0 │3 │ 4 │ 9 │ … ]
//!               └─▶ entries [ remainder, payload │ remainder, payload │ … ]
//! ```
//!
//! A key may have any number of entries; they stand in the order of their first
//! words, which are the numbers of rules or bindings. Everything is stored as it
//! is in memory.

mod layout;

use core::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::devices::{Geometry, Mix, prefetch};
use super::stored::{Array, Damage, Flaw, Parts, Section};

pub(super) use self::layout::{Layout, Loose};
pub(crate) use self::layout::{Loose4, PARTS};

/// An index of keys below `2^BITS`, with so many words said of each. An entry has
/// one or two words more; these sums are parameters since they cannot be computed
/// here.
#[derive(Clone, Debug)]
pub(super) struct Keyed<
    const BITS: u32,
    const PAYLOAD: usize,
    const NARROW: usize,
    const WIDE: usize,
> {
    /// Where each bucket begins, and where the last one ends.
    starts: Array<u32>,
    /// The entries: the remainder, in one word or two, then the payload.
    words: Array<u32>,
    /// Words of an entry.
    stride: usize,
    /// Which bucket a mixed key is in.
    geometry: Geometry<BITS>,
    /// How keys are scattered.
    mix: Mix<BITS>,
}

/// An index that says two words of each key.
pub(super) type Keyed2<const BITS: u32> = Keyed<BITS, 2, 3, 4>;
/// An index that says four.
pub(super) type Keyed4<const BITS: u32> = Keyed<BITS, 4, 5, 6>;

/// Entries of a bucket in a large index, on average: about a cache line.
const BUCKET: usize = 3;

/// Entries of a small index: it stays in the cache with [`SPREAD`] buckets for each
/// of them, and memory does not count, but instructions do.
const SMALL: usize = 1 << 14;

/// Buckets of a small index for each entry: four of five are empty, so that most
/// lookups of other keys end there.
const SPREAD: usize = 4;

/// Entries of a bucket that are looked at one by one.
const LONG: usize = 16;

/// What the bijection begins with: any number will do, since no bucket is too
/// long, and the same one makes the same index of the same keys.
const SEED: u64 = 0x1d_e7e5;

/// What there is to know of an index besides its arrays.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct KeyedHead {
    /// Words of an entry.
    stride: u64,
    /// The factors of the bijection.
    factors: [u64; 2],
}

impl<const BITS: u32, const PAYLOAD: usize, const NARROW: usize, const WIDE: usize>
    Keyed<BITS, PAYLOAD, NARROW, WIDE>
{
    /// An index of these entries. Those of one key are going to be found by their
    /// first words, the lowest first.
    pub(super) fn new(entries: impl Iterator<Item = (u64, [u32; PAYLOAD])>) -> Self {
        let entries = entries.map(|(key, payload)| Loose::new::<BITS>(key, &payload));
        Self::arranged(entries.collect())
    }

    /// The same of entries that are not in their places yet.
    pub(super) fn arranged(mut sorted: Vec<Loose<WIDE>>) -> Self {
        Loose::sort(&mut sorted);
        let layout = Layout::<BITS, WIDE>::new(sorted.len());
        let whole = layout.whole();
        let mut starts = Array::zeroed(whole.starts());
        let mut words = Array::zeroed(sorted.len() * layout.stride);
        let room: (&mut [u32], &mut [u32]) = (starts.all_mut(), words.all_mut());
        layout.lay(&sorted, &whole, room);
        Self::laid_out(&layout, starts, words)
    }

    /// The index that was laid out so; without its arrays it finds nothing, and
    /// is [stored](Self::store) for what there is to know of it besides.
    pub(super) fn laid_out(
        layout: &Layout<BITS, WIDE>,
        starts: Array<u32>,
        words: Array<u32>,
    ) -> Self {
        const { assert!(NARROW == PAYLOAD + 1 && WIDE == PAYLOAD + 2) };
        Self {
            starts,
            words,
            stride: layout.stride,
            geometry: layout.geometry,
            mix: layout.mix,
        }
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.words.len() == 0
    }

    /// Whether there are so many that a lookup may wait for memory.
    #[inline]
    pub(super) fn is_large(&self) -> bool {
        self.words.len() >= SMALL * self.stride
    }

    //--- Lookups

    /// Calls `visitor` with what was said of a key, in order.
    ///
    /// Apart from its callers: most registers have nothing of most kinds, and
    /// what looks for single devices is to have the registers for itself.
    #[inline(never)]
    pub(super) fn visit(&self, key: u64, visitor: impl FnMut([u32; PAYLOAD])) {
        let (bucket, remainder) = self.geometry.place(self.mix.apply(key));
        if let Some((from, to)) = self.bounds(bucket)
            && from < to
        {
            self.visit_bucket(from..to, remainder, visitor);
        }
    }

    /// The same where the bucket has entries: apart, since most have none in a
    /// small index, and finding that out needs few registers.
    #[inline(never)]
    fn visit_bucket(
        &self,
        bucket: Range<usize>,
        remainder: u64,
        mut visitor: impl FnMut([u32; PAYLOAD]),
    ) {
        if bucket.len() > LONG {
            self.visit_long(bucket, remainder, &mut visitor);
            return;
        }
        let words = self.words.padded();
        // Both loops are made for their strides.
        if self.stride == NARROW {
            let mut rest = words.get(bucket.start * NARROW..bucket.end * NARROW);
            while let Some((entry, more)) = rest.and_then(<[u32]>::split_first_chunk::<NARROW>) {
                if entry.first() == Some(&(remainder as u32))
                    && let Some(payload) = entry.last_chunk()
                {
                    visitor(*payload);
                }
                rest = Some(more);
            }
        } else {
            let mut rest = words.get(bucket.start * WIDE..bucket.end * WIDE);
            while let Some((entry, more)) = rest.and_then(<[u32]>::split_first_chunk::<WIDE>) {
                if let Some(&[low, high]) = entry.first_chunk()
                    && (low, high) == (remainder as u32, (remainder >> u32::BITS) as u32)
                    && let Some(payload) = entry.last_chunk()
                {
                    visitor(*payload);
                }
                rest = Some(more);
            }
        }
    }

    /// The same where the bucket is long.
    #[cold]
    #[inline(never)]
    fn visit_long(
        &self,
        bucket: Range<usize>,
        remainder: u64,
        visitor: &mut impl FnMut([u32; PAYLOAD]),
    ) {
        let rest = |place| self.entry(place).map_or(u64::MAX, |(rest, _)| rest);
        let (mut from, mut to) = (bucket.start, bucket.end);
        while from < to {
            let middle = from.midpoint(to);
            match rest(middle) < remainder {
                true => from = middle + 1,
                false => to = middle,
            }
        }
        let entries = (from..bucket.end).map_while(|place| self.entry(place));
        let own = entries.take_while(|&(rest, _)| rest == remainder);
        own.for_each(|(_, payload)| visitor(payload));
    }

    /// The remainder and the payload of an entry.
    fn entry(&self, place: usize) -> Option<(u64, [u32; PAYLOAD])> {
        let from = place.checked_mul(self.stride)?;
        let entry = self.words.all().get(from..from.checked_add(self.stride)?)?;
        let (rest, payload) = entry.split_last_chunk()?;
        Some((joined(rest), *payload))
    }

    /// Where a bucket begins and ends.
    #[inline]
    fn bounds(&self, bucket: u64) -> Option<(usize, usize)> {
        let starts = self.starts.padded();
        let to = *starts.get(bucket as usize + 1)?;
        let from = *starts.get(bucket as usize)?;
        Some((from as usize, to as usize))
    }

    /// Has the place fetched that tells where the bucket of a key begins.
    #[inline]
    pub(super) fn prefetch_start(&self, key: u64) {
        let (bucket, _) = self.geometry.place(self.mix.apply(key));
        if let Some(start) = self.starts.padded().get(bucket as usize) {
            prefetch(start);
        }
    }

    /// Has the bucket of a key fetched, but for what is beyond two lines.
    #[inline]
    pub(super) fn prefetch_entries(&self, key: u64) {
        let (bucket, _) = self.geometry.place(self.mix.apply(key));
        let bounds = self.bounds(bucket);
        if let Some((from, to)) = bounds.filter(|(from, to)| from < to) {
            let words = self.words.padded();
            for place in [from * self.stride, to * self.stride - 1] {
                if let Some(word) = words.get(place) {
                    prefetch(word);
                }
            }
        }
    }

    //--- Everything

    /// The keys that there are, each as often as it has entries, with what was
    /// said of it; those of one key stand together.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, [u32; PAYLOAD])> + '_ {
        let buckets = self.starts.len().saturating_sub(1) as u64;
        (0..buckets).flat_map(move |bucket| {
            let (from, to) = self.bounds(bucket).unwrap_or_default();
            let entries = (from..to).filter_map(|place| self.entry(place));
            entries.map(move |(rest, payload)| {
                let mixed = self.geometry.unplace(bucket, rest);
                (self.mix.invert(mixed), payload)
            })
        })
    }

    /// The keys that have more entries than that.
    pub(super) fn crowded(&self, more_than: usize) -> Vec<u64> {
        let buckets = self.starts.len().saturating_sub(1) as u64;
        let mut crowded = Vec::new();
        for bucket in 0..buckets {
            let (from, to) = self.bounds(bucket).unwrap_or_default();
            if to.saturating_sub(from) <= more_than {
                continue;
            }
            let entries = (from..to).filter_map(|place| self.entry(place));
            let mut rests: Vec<u64> = entries.map(|(rest, _)| rest).collect();
            rests.sort_unstable();
            let runs = rests
                .chunk_by(|a, b| a == b)
                .filter(|run| run.len() > more_than);
            let keys = runs.filter_map(|run| Some(self.geometry.unplace(bucket, *run.first()?)));
            crowded.extend(keys.map(|mixed| self.mix.invert(mixed)));
        }
        crowded
    }

    //--- Storing

    /// What there is to know besides the arrays, which are added as sections.
    pub(super) fn store<'a>(
        &'a self,
        [starts, words]: [&'static str; 2],
        sections: &mut Vec<Section<'a>>,
    ) -> KeyedHead {
        sections.push(Section::new(starts, self.starts.octets()));
        sections.push(Section::new(words, self.words.octets()));
        KeyedHead {
            stride: self.stride as u64,
            factors: self.mix.factors(),
        }
    }

    /// The index of stored sections.
    pub(super) fn restore(
        [starts, words]: [&'static str; 2],
        head: KeyedHead,
        parts: &mut Parts,
    ) -> Result<Self, Flaw> {
        let taken = Array::of(parts.take(starts)?).map_err(|damage| damage.of(starts))?;
        let stride = [NARROW, WIDE]
            .into_iter()
            .find(|&stride| stride as u64 == head.stride)
            .ok_or_else(|| Damage("has entries of an unknown size").of(words))?;
        let entries = Array::<u32>::of(parts.take(words)?).map_err(|damage| damage.of(words))?;
        let buckets = taken.len().checked_sub(1).filter(|&buckets| buckets > 0);
        let buckets = buckets.filter(|&buckets| buckets as u64 <= 1 << (BITS - 1));
        let geometry = match buckets {
            Some(buckets) => Geometry::new(buckets as u64),
            None => return Err(Damage("has too few or too many entries").of(starts)),
        };
        let this = Self {
            starts: taken,
            words: entries,
            stride,
            geometry,
            mix: Mix::from_factors(head.factors),
        };
        // No entry is in two buckets, so that looking at all takes no longer than
        // there are.
        let ends = this.starts.all();
        let is_whole = ends.first() == Some(&0)
            && ends
                .last()
                .is_some_and(|&end| end as usize * stride == this.words.len())
            && ends.is_sorted();
        match is_whole {
            true => Ok(this),
            false => Err(Damage("does not divide the entries").of(starts)),
        }
    }
}

impl<const BITS: u32, const PAYLOAD: usize, const NARROW: usize, const WIDE: usize> Default
    for Keyed<BITS, PAYLOAD, NARROW, WIDE>
{
    fn default() -> Self {
        Self::new(core::iter::empty())
    }
}

/// A remainder of one word or two.
#[inline]
fn joined(words: &[u32]) -> u64 {
    match *words {
        [low] => low.into(),
        [low, high] => u64::from(low) | u64::from(high) << u32::BITS,
        _ => u64::MAX,
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What a map of vectors has is what is found, and nothing else.
    fn check<const BITS: u32>(entries: &[(u64, u32)]) -> usize {
        let mut model: BTreeMap<u64, Vec<[u32; 2]>> = BTreeMap::new();
        for (number, &(key, said)) in (0..).zip(entries) {
            model.entry(key).or_default().push([number, said]);
        }
        let payloads = (0..).zip(entries);
        let payloads = payloads.map(|(number, &(key, said))| (key, [number, said]));
        let index = Keyed2::<BITS>::new(payloads);
        assert_eq!(index.is_empty(), entries.is_empty());
        let mut everything: Vec<_> = index.iter().collect();
        everything.sort_unstable();
        let flat = model
            .iter()
            .flat_map(|(&key, all)| all.iter().map(move |&own| (key, own)));
        assert_eq!(everything, flat.collect::<Vec<_>>());
        for (&key, all) in &model {
            for key in [key, key ^ 1, key.wrapping_add(1) % (1 << BITS)] {
                let expected = model.get(&key).cloned().unwrap_or_default();
                let mut found = Vec::new();
                index.visit(key, |own| found.push(own));
                assert_eq!(found, expected);
                index.prefetch_start(key);
                index.prefetch_entries(key);
            }
            assert_eq!(index.crowded(5).contains(&key), all.len() > 5);
        }
        // Stored and read back it is the same.
        let mut sections = Vec::new();
        let head = index.store(["a", "b"], &mut sections);
        let mut parts = Parts::of(&sections);
        let again = Keyed2::<BITS>::restore(["a", "b"], head, &mut parts).unwrap();
        assert!(again.iter().eq(index.iter()));
        index.stride
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        let index = Keyed4::<50>::default();
        assert!(index.is_empty());
        index.visit(0, |_| panic!("nothing was said of it"));
    }

    #[test]
    fn large_and_small_ones_find_the_same() {
        let entries = |count: u64, step: u64, bits: u32| -> Vec<(u64, u32)> {
            let keys = (0..count).map(|number| number * step % (1 << bits));
            keys.zip((0..).map(|number| number * 3)).collect()
        };
        // Short remainders, then long ones.
        assert_eq!(check::<27>(&entries(5000, 77, 27)), 3);
        assert_eq!(check::<40>(&entries(1000, 7_777_777_777, 40)), 3);
        assert_eq!(check::<40>(&entries(100, 7_777_777_777, 40)), 4);
        assert_eq!(check::<54>(&entries(3000, 7_777_777_777_777, 54)), 4);
        // Some keys have many.
        assert_eq!(check::<50>(&entries(3000, 1 << 43, 50)), 4);
        assert_eq!(check::<29>(&entries(3000, 1 << 24, 29)), 3);
    }

    #[test]
    fn what_does_not_divide_the_entries_is_refused() {
        let index = Keyed2::<27>::new((0..100).map(|key| (key, [1, 2])));
        let mut sections = Vec::new();
        let head = index.store(["a", "b"], &mut sections);
        let fate = |place: usize, octets: &[u8], head| {
            let mut sections = sections.clone();
            sections[place] = Section::new(sections[place].name, octets.to_vec());
            let mut parts = Parts::of(&sections);
            Keyed2::<27>::restore(["a", "b"], head, &mut parts).map(|index| index.iter().count())
        };
        let (starts, words) = (&sections[0].octets, &sections[1].octets);
        assert_eq!(fate(0, starts, head), Ok(100));
        assert!(fate(0, &starts[4..], head).is_err());
        // Without the end of the last bucket that has entries.
        let ends: &[u32] = bytemuck::cast_slice(starts);
        let before = ends.partition_point(|&end| end < 100);
        assert!(fate(0, bytemuck::cast_slice(&ends[..before]), head).is_err());
        assert!(fate(0, &[], head).is_err() && fate(0, &[0; 4], head).is_err());
        assert!(fate(1, &words[..words.len() - 12], head).is_err());
        assert!(fate(1, &words[..words.len() - 1], head).is_err());
        let mut turned: Vec<u32> = bytemuck::cast_slice(starts).to_vec();
        turned[1..].reverse();
        assert!(fate(0, bytemuck::cast_slice(&turned), head).is_err());
        for stride in [0, 2, 5, u64::MAX] {
            assert!(fate(0, starts, KeyedHead { stride, ..head }).is_err());
        }
    }

    proptest! {
        #[test]
        fn finds_what_a_map_finds(
            entries in prop::collection::vec((0..40u64, 0..9u32), 0..200),
            factor in 1..1u64 << 40,
        ) {
            let entries: Vec<_> = entries.iter().map(|&(key, said)| (key * factor % (1 << 50), said)).collect();
            check::<50>(&entries);
        }
    }
}
