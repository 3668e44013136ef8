//! The few devices that have no room elsewhere, with whole keys.

use rustc_hash::FxHashMap;

use super::mix::Mix;

/// Devices with classes, by open addressing.
#[derive(Clone, Debug)]
pub(super) struct Exact {
    /// Key and class in one word: the key plus one, then the class.
    words: Box<[u64]>,
    /// Classes whose numbers are too large for that.
    large: FxHashMap<u64, u32>,
    /// How keys are scattered.
    mix: Mix<47>,
    /// How many there are.
    len: usize,
}

/// Bits of a word for the class.
const CLASS_BITS: u32 = 17;
/// The class that stands elsewhere.
const LARGE: u64 = (1 << CLASS_BITS) - 1;

impl Exact {
    /// A table of these devices.
    pub(super) fn build(entries: &[(u64, u32)], seed: u64) -> Self {
        // A load of three quarters: half of a line is looked at on average.
        let mut this = Self {
            words: vec![0; entries.len() + entries.len() / 3 + 1].into_boxed_slice(),
            large: FxHashMap::default(),
            mix: Mix::new(seed),
            len: entries.len(),
        };
        for &(key, class) in entries {
            let mut place = this.home(key);
            while this.words.get(place).is_some_and(|&word| word != 0) {
                place = (place + 1) % this.words.len();
            }
            let class = match u64::from(class) < LARGE {
                true => u64::from(class),
                false => {
                    this.large.insert(key, class);
                    LARGE
                }
            };
            if let Some(word) = this.words.get_mut(place) {
                *word = (key + 1) << CLASS_BITS | class;
            }
        }
        this
    }

    /// Where the search for a key begins.
    #[inline]
    fn home(&self, key: u64) -> usize {
        let place = u128::from(self.mix.apply(key)) * self.words.len() as u128;
        (place >> 47) as usize
    }

    /// The class of a device.
    pub(super) fn find(&self, key: u64) -> Option<u32> {
        self.class_at(self.slot(key)?)
    }

    /// Where a device stands, if it does.
    pub(super) fn slot(&self, key: u64) -> Option<usize> {
        let mut place = self.home(key);
        // There is always an empty word, so that the search ends.
        loop {
            let word = *self.words.get(place)?;
            if word == 0 {
                return None;
            }
            if word >> CLASS_BITS == key + 1 {
                return Some(place);
            }
            place += 1;
            if place == self.words.len() {
                place = 0;
            }
        }
    }

    /// The class of the device that stands at a place.
    fn class_at(&self, place: usize) -> Option<u32> {
        let word = *self.words.get(place)?;
        match word & LARGE {
            LARGE => self
                .large
                .get(&((word >> CLASS_BITS).checked_sub(1)?))
                .copied(),
            class => Some(class as u32),
        }
    }

    /// The devices, with their classes.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u32)> {
        (0..self.words.len()).filter_map(|place| {
            let key = (self.words.get(place)? >> CLASS_BITS).checked_sub(1)?;
            Some((key, self.class_at(place)?))
        })
    }

    /// How many places there are.
    pub(super) fn slots(&self) -> usize {
        self.words.len()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The octets of it.
    pub(super) fn size(&self) -> usize {
        size_of_val::<[u64]>(&self.words) + self.large.capacity() * 16
    }
}
