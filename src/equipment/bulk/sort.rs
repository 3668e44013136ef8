//! A partition, sorted by device.

use super::segment::Segment;
use super::tuple::{KEY_BITS, LOW, LOW_BITS};

/// Fewer words than these are not worth counting digits.
const RADIX_MIN: usize = 2048;

/// From so many on, three digits of thousands of values each are better than four
/// of a thousand: to go through the words once less pays for counting them.
const WIDE_MIN: usize = 32_768;

//----------- Partition -------------------------------------------------------

/// The tuples of a partition, gathered from bundles in the order of loading.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    /// The keys, above the line of the tuple as long as `lines` is empty, and its
    /// number otherwise; if there are too many tuples, above nothing.
    words: Vec<u64>,
    /// The line of each tuple, unless all say the same, the lines ascend, and fit
    /// in words, as they do in nearly all registers.
    lines: Vec<u32>,
    /// The last line, if words hold lines.
    last: u64,
    /// What each says, if it is not the same of all.
    saids: Vec<u32>,
    /// What the first bundle says.
    only: Option<u32>,
    /// Memory as large as that of the words, for sorting them.
    other: Vec<u64>,
}

impl Partition {
    /// Makes room for so many tuples.
    pub(crate) fn make_room(&mut self, tuples: usize) {
        self.words.reserve(tuples);
    }

    /// Puts the lines beside the words.
    fn part_with_lines(&mut self) {
        if self.lines.is_empty() {
            let lines = self.words.iter().map(|&word| (word & LOW) as u32);
            self.lines.extend(lines);
            for (number, word) in (0u64..).zip(&mut self.words) {
                *word = *word & !LOW | number & LOW;
            }
        }
    }

    /// Adds tuples that were loaded behind those before.
    pub(crate) fn add(&mut self, segment: Segment<'_>) {
        let before = self.words.len();
        if segment.len() == 0 {
            return;
        }
        let said = segment.only_said();
        if before == 0 {
            self.only = said;
        } else if self.saids.is_empty() && said != self.only {
            self.saids.resize(before, self.only.unwrap_or_default());
        }
        let is_uniform = self.saids.is_empty() && said.is_some() && said == self.only;
        if is_uniform
            && self.lines.is_empty()
            && let Some((words, last)) = segment.with_lines(self.last)
        {
            self.words.extend(words);
            self.last = last;
            return;
        }
        self.part_with_lines();
        let Self {
            words,
            lines,
            saids,
            ..
        } = self;
        let mut number = before as u64;
        if is_uniform && let Some((keys, own_lines)) = segment.simple() {
            words.extend(keys.zip(number..).map(|(key, number)| key | number & LOW));
            lines.extend(own_lines);
            return;
        }
        segment.each(|key, said, line| {
            // Of more than fit the numbers are made when they are sorted.
            words.push(key << LOW_BITS | number & LOW);
            lines.push(line);
            if !is_uniform {
                saids.push(said);
            }
            number += 1;
        });
    }

    /// Sorts them by device, those of one in the order of loading.
    pub(crate) fn sort(mut self) -> Sorted {
        if self.words.len() as u64 > LOW + 1 {
            self.part_with_lines();
        }
        let Self {
            mut words,
            lines,
            saids,
            only,
            mut other,
            ..
        } = self;
        let mut numbers = Vec::new();
        if words.len() as u64 > LOW + 1 {
            let pairs = (0..)
                .zip(&words)
                .map(|(number, word)| (word & !LOW, number));
            let mut pairs: Vec<(u64, u32)> = pairs.collect();
            pairs.sort_unstable();
            words = pairs.iter().map(|&(word, _)| word).collect();
            numbers = pairs.into_iter().map(|(_, number)| number).collect();
        } else if words.len() < RADIX_MIN {
            // By the key alone: what stands below it may not ascend.
            words.sort_by_key(|&word| word & !LOW);
        } else {
            match words.len() < WIDE_MIN {
                true => sort_by_digits::<4, { digit(4) }>(&mut words, &mut other),
                false => sort_by_digits::<3, { digit(3) }>(&mut words, &mut other),
            }
        }
        Sorted {
            words,
            numbers,
            lines,
            saids,
            only: only.unwrap_or_default(),
            other,
        }
    }
}

/// How many values a digit has if so many are a key.
const fn digit(digits: u32) -> usize {
    1 << KEY_BITS.div_ceil(digits)
}

/// Sorts words by their keys, digit by digit, the lowest first, with memory for
/// as many others.
fn sort_by_digits<const DIGITS: usize, const DIGIT: usize>(
    words: &mut Vec<u64>,
    other: &mut Vec<u64>,
) {
    let digit = |word: u64, number: usize| {
        (word >> (LOW_BITS + DIGIT.ilog2() * number as u32)) as usize % DIGIT
    };
    let mut counts = [[0u32; DIGIT]; DIGITS];
    for &word in &*words {
        for (number, counts) in counts.iter_mut().enumerate() {
            if let Some(count) = counts.get_mut(digit(word, number)) {
                *count += 1;
            }
        }
    }
    other.resize(words.len(), 0);
    for (number, counts) in counts.iter_mut().enumerate() {
        if counts.iter().any(|&count| count as usize == words.len()) {
            continue;
        }
        let mut next = 0;
        for count in counts.iter_mut() {
            next += core::mem::replace(count, next);
        }
        for &word in &*words {
            if let Some(next) = counts.get_mut(digit(word, number)) {
                if let Some(place) = other.get_mut(*next as usize) {
                    *place = word;
                }
                *next += 1;
            }
        }
        core::mem::swap(words, other);
    }
}

//----------- Sorted ----------------------------------------------------------

/// A sorted partition.
#[derive(Debug)]
pub(crate) struct Sorted {
    /// The keys, above the lines or numbers of the tuples, as of [`Partition`].
    words: Vec<u64>,
    /// The numbers, if they do not fit there.
    numbers: Vec<u32>,
    /// The line of each tuple, by number, unless words hold it.
    lines: Vec<u32>,
    /// What each tuple says, by number, if it is not the same of all.
    saids: Vec<u32>,
    /// What all say otherwise.
    only: u32,
    /// See [`Partition`].
    other: Vec<u64>,
}

impl Sorted {
    /// The memory of it, for another partition.
    pub(super) fn into_memory(self) -> Partition {
        let Self {
            mut words,
            mut lines,
            mut saids,
            mut other,
            ..
        } = self;
        words.clear();
        lines.clear();
        saids.clear();
        other.truncate(words.capacity());
        Partition {
            words,
            lines,
            saids,
            other,
            ..Partition::default()
        }
    }

    /// How many tuples there are.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The words.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// The key of a word.
    #[inline]
    pub(super) fn key(word: u64) -> u64 {
        word >> LOW_BITS
    }

    /// The number of the tuple at a place.
    #[inline]
    fn number(&self, place: usize, word: u64) -> usize {
        match self.numbers.get(place) {
            Some(&number) => number as usize,
            None => (word & LOW) as usize,
        }
    }

    /// What the tuple at a place says, and its line.
    #[inline]
    pub(super) fn tuple(&self, place: usize, word: u64) -> (u32, u32) {
        if self.lines.is_empty() {
            return (self.only, (word & LOW) as u32);
        }
        let number = self.number(place, word);
        let said = match self.saids.is_empty() {
            true => self.only,
            false => self.saids.get(number).copied().unwrap_or_default(),
        };
        (said, self.lines.get(number).copied().unwrap_or_default())
    }

    /// What all tuples say, if it is one thing.
    pub(super) fn only_said(&self) -> Option<u32> {
        self.saids.is_empty().then_some(self.only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sort of the library is the oracle.
    #[test]
    fn words_are_sorted_by_their_keys() {
        let mut word = 7u64;
        for spread in [u64::MAX, LOW, 0xfff << LOW_BITS | LOW] {
            let words: Vec<u64> = (0..10_000)
                .map(|number| {
                    word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    (word ^ word >> 29) & spread & !LOW | number
                })
                .collect();
            let mut expected = words.clone();
            expected.sort_unstable();
            let (mut by_three, mut by_four) = (words.clone(), words);
            sort_by_digits::<3, { digit(3) }>(&mut by_three, &mut Vec::new());
            sort_by_digits::<4, { digit(4) }>(&mut by_four, &mut Vec::new());
            assert!(by_three == expected && by_four == expected);
        }
    }

    /// However bundles follow each other, each tuple comes back with its line, by
    /// device and in the order of loading; a stable sort of all is the oracle.
    #[test]
    fn lines_are_those_of_the_tuples() {
        use super::super::bundle::Bundle;
        use super::super::tuple::{Tuple, device_of};
        use crate::equipment::Device;
        // The first line of each bundle and what it says: lines that ascend or
        // not, that do not fit in words, and bundles that say something else.
        let ascending = [(1u32, 5), (40, 5), (900, 5)];
        let descending = [(900, 5), (1, 5)];
        let large = [(7, 5), (LOW as u32 - 3, 5), (LOW as u32 + 9, 5)];
        let different = [(1, 5), (40, 6), (80, 5)];
        let bundles: [&[(u32, u32)]; 4] = [&ascending, &descending, &large, &different];
        for bundles in bundles {
            // One thing that is said or two, on lines that ascend or do not.
            for (kinds, turn) in [(1, 0), (2, 0), (1, 13), (2, 13)] {
                let mut partition = Partition::default();
                let mut expected = Vec::new();
                for &(first, said) in bundles {
                    let tuples = (0..32u32).map(|number| {
                        let device = u64::from(number * 7 % 10);
                        let (said, line) = (said + number % kinds, first + (number ^ turn));
                        expected.push((device, said, line));
                        Tuple::new(Device::from_number(device).unwrap(), said, line)
                    });
                    let bundle = Bundle::of_register(tuples.collect());
                    partition.add(bundle.segment(0));
                }
                expected.sort_by_key(|&(device, ..)| device);
                let sorted = partition.sort();
                let words = sorted.words().iter().enumerate();
                let found = words.map(|(place, &word)| {
                    let (said, line) = sorted.tuple(place, word);
                    (device_of(0, Sorted::key(word)), said, line)
                });
                assert_eq!(found.collect::<Vec<_>>(), expected);
            }
        }
    }
}
