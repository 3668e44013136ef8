//! Where the entries of an index are going to stand: known as soon as it is known
//! how many there are, so that an index can be made part by part.

use core::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::{BUCKET, SEED, SMALL, SPREAD};
use crate::equipment::devices::{Geometry, Mix};

/// An entry before it is in its place: the mixed key, the lower half first, and
/// what is said of it.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Loose<const WIDE: usize>([u32; WIDE]);

/// An entry of an index that says four words of each key.
pub(crate) type Loose4 = Loose<6>;

impl<const WIDE: usize> Loose<WIDE> {
    /// An entry of an index of keys below `2^BITS`, of which two words less are
    /// said.
    #[inline]
    pub(in crate::equipment) fn new<const BITS: u32>(key: u64, payload: &[u32]) -> Self {
        let mixed = Mix::<BITS>::new(SEED).apply(key);
        let mut words = [0; WIDE];
        if let Some((own, said)) = words.split_first_chunk_mut() {
            *own = [mixed as u32, (mixed >> u32::BITS) as u32];
            said.copy_from_slice(payload);
        }
        Self(words)
    }

    /// In which of the parts it is that entries are sorted in, one after the
    /// other: about as many are in each, whoever has chosen the keys.
    #[inline]
    pub(crate) fn part(&self) -> usize {
        (self.mixed() >> (u64::BITS - PARTS.ilog2())) as usize
    }

    /// The mixed key.
    #[inline]
    fn mixed(&self) -> u64 {
        let [low, high] = self.0.first_chunk().copied().unwrap_or_default();
        u64::from(low) | u64::from(high) << u32::BITS
    }

    /// What is said.
    #[inline]
    fn payload(&self) -> &[u32] {
        self.0.get(2..).unwrap_or_default()
    }

    /// Sorts entries as they are going to stand.
    pub(crate) fn sort(entries: &mut [Self]) {
        entries.sort_unstable_by_key(|own| (own.mixed(), own.0.get(2).copied()));
    }
}

/// Parts that entries can be divided into: at 10⁹ of them, a hundred megabytes
/// each.
pub(crate) const PARTS: usize = 256;

/// Where the entries of one part go.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The buckets whose beginnings are known by this part and those before.
    buckets: Range<u64>,
    /// How many entries there are in the parts before.
    before: u64,
}

impl Part {
    /// Words of what tells where buckets begin.
    pub(crate) fn starts(&self) -> usize {
        self.buckets.end.saturating_sub(self.buckets.start) as usize
    }
}

/// How an index of keys below `2^BITS` is laid out, whose entries have so many
/// words at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout<const BITS: u32, const WIDE: usize> {
    /// How many buckets there are.
    pub(super) buckets: u64,
    /// Words of an entry.
    pub(super) stride: usize,
    /// Which bucket a mixed key is in.
    pub(super) geometry: Geometry<BITS>,
    /// How keys are scattered.
    pub(super) mix: Mix<BITS>,
}

impl<const BITS: u32, const WIDE: usize> Layout<BITS, WIDE> {
    /// The layout of so many entries.
    pub(crate) fn new(entries: usize) -> Self {
        // With so many buckets one word is enough for the remainder.
        let narrow = 1usize
            .checked_shl(BITS.saturating_sub(u32::BITS))
            .unwrap_or(usize::MAX);
        let spread = match entries < SMALL {
            true => entries * SPREAD,
            false => entries / BUCKET,
        };
        let (buckets, stride) = match entries >= narrow {
            true => (spread.max(narrow), WIDE - 1),
            // There are more possible remainders than one word has.
            false => (spread.max(entries * 2), WIDE),
        };
        let buckets = buckets.clamp(1, 1 << (BITS - 1)) as u64;
        Self {
            buckets,
            stride,
            geometry: Geometry::new(buckets),
            mix: Mix::new(SEED),
        }
    }

    /// Words of an entry.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// All entries as one part.
    pub(super) fn whole(&self) -> Part {
        Part {
            buckets: 0..self.buckets + 1,
            before: 0,
        }
    }

    /// One of the [`PARTS`], which has so many entries before it.
    pub(crate) fn part(&self, number: usize, before: u64) -> Part {
        // The last mixed key of the part before is in the last bucket whose
        // beginning that part knows: all that is further has a greater key.
        let behind = |number: usize| {
            let last = (number as u64) << (u64::BITS - PARTS.ilog2());
            match number {
                0 => 0,
                PARTS => self.buckets + 1,
                _ => self.geometry.place(last - 1).0 + 1,
            }
        };
        Part {
            buckets: behind(number)..behind(number + 1),
            before,
        }
    }

    /// Lays the entries of a part out, which are sorted: where its buckets begin,
    /// and the entries. There is just enough room for them.
    pub(crate) fn lay(
        &self,
        sorted: &[Loose<WIDE>],
        part: &Part,
        (starts, words): (&mut [u32], &mut [u32]),
    ) {
        let mut starts = starts.iter_mut();
        let mut next = part.buckets.start;
        // There are no more entries than numbers of 32 bits.
        let mut place = part.before as u32;
        for (loose, slot) in sorted.iter().zip(words.chunks_exact_mut(self.stride)) {
            let (bucket, remainder) = self.geometry.place(loose.mixed());
            while next <= bucket {
                next += 1;
                if let Some(start) = starts.next() {
                    *start = place;
                }
            }
            let (rest, said) = slot.split_at_mut(self.stride + 2 - WIDE);
            for (word, shift) in rest.iter_mut().zip([0, u32::BITS]) {
                *word = (remainder >> shift) as u32;
            }
            said.copy_from_slice(loose.payload());
            place = place.wrapping_add(1);
        }
        starts.for_each(|start| *start = place);
    }
}
