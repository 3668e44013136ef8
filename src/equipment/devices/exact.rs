//! Devices with whole keys: small registers, and the few devices of large ones
//! that have no room elsewhere.

use rustc_hash::FxHashMap;

use super::build::Item;
use super::line::Line;
use super::mix::{Mix, Seeds};
use super::pages::Lines;

/// Devices with classes, by open addressing.
#[derive(Clone, Debug, Default)]
pub(super) struct Exact {
    /// Key and class in one word: the key plus one, then the class. The last
    /// search ends with an empty word or with the last one.
    words: Lines,
    /// Where searches begin: at so many words.
    homes: u64,
    /// Classes whose numbers are too large for that.
    large: FxHashMap<u64, u32>,
    /// How keys are scattered.
    mix: Mix<47>,
    /// How many there are.
    len: usize,
}

/// What an [`Exact`] consists of.
pub(super) struct ExactParts<'a> {
    /// The words, eight a line.
    pub(super) lines: &'a [Line],
    /// Where searches begin: at so many words.
    pub(super) homes: u64,
    /// Classes whose numbers are too large for a word, by device.
    pub(super) large: Vec<(u64, u32)>,
    /// How keys are scattered.
    pub(super) mix: Mix<47>,
    /// How many devices there are.
    pub(super) len: usize,
}

/// Bits of a word for the class.
const CLASS_BITS: u32 = 17;
/// The class that stands elsewhere.
const LARGE: u64 = (1 << CLASS_BITS) - 1;
/// Words of a line.
const WORDS: usize = 8;
/// How many words too far a device may stand on average before other factors
/// are tried; at a load of three quarters it is one and a half.
const DISPLACEMENT_MAX: u64 = 8;
/// How many words too far it takes to speak of an average.
const DISPLACEMENT_FREE: u64 = 1000;

/// How many devices ahead lines are fetched while a table is built.
const AHEAD: usize = 16;

/// How full a table is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Load {
    /// Half: a device is found in the first word or the one behind it.
    Half,
    /// Three quarters: where there are few, and memory counts.
    Dense,
}

impl Load {
    /// Words for so many devices.
    fn homes(self, devices: usize) -> usize {
        match self {
            Self::Half => devices.saturating_mul(2),
            Self::Dense => devices + devices / 3,
        }
    }
}

impl Exact {
    /// A table of these devices, each once; with the first of the seeds that
    /// scatters them well.
    pub(super) fn build(entries: &[Item], load: Load, seeds: Seeds) -> Self {
        let homes = load.homes(entries.len());
        let limit = DISPLACEMENT_FREE + DISPLACEMENT_MAX * entries.len() as u64;
        let built = seeds.pick(|seed, is_last| {
            let limit = if is_last { u64::MAX } else { limit };
            Self::try_build(entries, homes, seed, limit)
        });
        built.unwrap_or_default()
    }

    /// A table in which devices stand no more than `limit` words too far in
    /// sum.
    fn try_build(entries: &[Item], homes: usize, seed: u64, limit: u64) -> Option<Self> {
        let mut this = Self {
            words: Lines::with_room(homes / WORDS + 2),
            homes: homes as u64,
            large: FxHashMap::default(),
            mix: Mix::new(seed),
            len: entries.len(),
        };
        this.words.extend(homes.div_ceil(WORDS));
        let mut displaced = 0;
        for (number, &Item { key, class, .. }) in entries.iter().enumerate() {
            if let Some(ahead) = entries.get(number + AHEAD) {
                this.prefetch(ahead.key);
            }
            let mut place = this.home(key);
            while this.words().get(place).is_some_and(|&word| word != 0) {
                place += 1;
                displaced += 1;
                if displaced > limit {
                    return None;
                }
            }
            if place >= this.words().len() {
                this.words.extend(1);
            }
            let class = match u64::from(class) < LARGE {
                true => u64::from(class),
                false => {
                    this.large.insert(key, class);
                    LARGE
                }
            };
            let words: &mut [u64] = bytemuck::cast_slice_mut(&mut this.words);
            if let Some(word) = words.get_mut(place) {
                *word = (key + 1) << CLASS_BITS | class;
            }
        }
        this.words.shrink();
        Some(this)
    }

    /// The words of the lines.
    #[inline]
    fn words(&self) -> &[u64] {
        bytemuck::cast_slice(&self.words)
    }

    /// Everything that a table of the same content needs.
    pub(super) fn parts(&self) -> ExactParts<'_> {
        let mut large: Vec<(u64, u32)> = (self.large.iter())
            .map(|(&key, &class)| (key, class))
            .collect();
        large.sort_unstable();
        ExactParts {
            lines: &self.words,
            homes: self.homes,
            large,
            mix: self.mix,
            len: self.len,
        }
    }

    /// The table of its lines, with as many homes and devices.
    pub(super) fn from_parts(
        words: Lines,
        (homes, len): (u64, usize),
        large: impl Iterator<Item = (u64, u32)>,
        mix: Mix<47>,
    ) -> Self {
        Self {
            words,
            homes,
            large: large.collect(),
            mix,
            len,
        }
    }

    /// Where the search for a key begins.
    #[inline]
    fn home(&self, key: u64) -> usize {
        let place = u128::from(self.mix.apply(key)) * u128::from(self.homes);
        (place >> 64) as usize
    }

    /// The line that the search for a device begins in.
    #[inline]
    pub(super) fn line(&self, key: u64) -> Option<&Line> {
        self.words.get(self.home(key) / WORDS)
    }

    /// Has that line fetched.
    #[inline]
    fn prefetch(&self, key: u64) {
        if let Some(line) = self.line(key) {
            line.prefetch();
        }
    }

    /// The class of a device.
    #[inline(always)]
    pub(super) fn find(&self, key: u64) -> Option<u32> {
        let words = self.words();
        let mut place = self.home(key);
        loop {
            let word = *words.get(place)?;
            if word >> CLASS_BITS == key + 1 {
                return self.class(word);
            }
            if word == 0 {
                return None;
            }
            place += 1;
        }
    }

    /// Where a device stands, if it does.
    pub(super) fn slot(&self, key: u64) -> Option<usize> {
        let words = self.words().iter().enumerate().skip(self.home(key));
        let mut words = words.take_while(|(_, word)| **word != 0);
        let found = words.find(|(_, word)| **word >> CLASS_BITS == key + 1);
        found.map(|(place, _)| place)
    }

    /// The class of the device of a word.
    #[inline]
    fn class(&self, word: u64) -> Option<u32> {
        match word & LARGE {
            LARGE => self.large_class(word),
            class => Some(class as u32),
        }
    }

    /// The same of a class with a large number.
    #[cold]
    fn large_class(&self, word: u64) -> Option<u32> {
        let key = (word >> CLASS_BITS).checked_sub(1)?;
        self.large.get(&key).copied()
    }

    /// The devices, with their classes.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u32)> {
        self.words().iter().filter_map(|&word| {
            let key = (word >> CLASS_BITS).checked_sub(1)?;
            Some((key, self.class(word)?))
        })
    }

    /// How many places there are.
    pub(super) fn slots(&self) -> usize {
        self.words().len()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The octets of it.
    pub(super) fn size(&self) -> usize {
        size_of_val(self.words()) + self.large.capacity() * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that all begin at the first words with the first seed.
    #[test]
    fn keys_chosen_against_one_seed_do_not_hold_against_the_next() {
        let seeds = Seeds::new(3);
        let first = Mix::<47>::new(seeds.nth(0));
        let item = |n: u64| Item {
            key: first.invert(n << 17),
            class: 1,
            line: 0,
        };
        let entries: Vec<Item> = (0..20_000).map(item).collect();
        let homes = Load::Half.homes(entries.len());
        let limit = DISPLACEMENT_MAX * entries.len() as u64;
        assert!(Exact::try_build(&entries, homes, seeds.nth(0), limit).is_none());
        let exact = Exact::build(&entries, Load::Half, seeds);
        assert_eq!(exact.mix, Mix::new(seeds.nth(1)));
        assert!(entries.iter().all(|item| exact.find(item.key) == Some(1)));
    }
}
