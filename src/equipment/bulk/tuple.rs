//! Tuples, one for each rule of a single device: how a device is scattered over
//! the partitions, and what is counted while tuples are collected.

use crate::equipment::Device;

/// How many partitions there are. With 1024 one of a hundred million devices is
/// sorted in the second cache of a processor, one of a billion takes some 30 MB,
/// and those of a small register cost nothing to speak of.
pub(crate) const PARTITIONS: usize = 1024;

/// Bits of a TAC, and of a serial number.
const TAC_BITS: u32 = 27;
/// See [`TAC_BITS`].
const SERIAL_BITS: u32 = 20;
/// Serial numbers of a TAC.
pub(super) const SERIALS: u64 = 1_000_000;
/// Bits of the part of a key that its partition does not imply.
pub(super) const KEY_BITS: u32 = TAC_BITS + SERIAL_BITS - PARTITIONS.ilog2();
/// The bits of a word below the key.
pub(super) const LOW_BITS: u32 = 64 - KEY_BITS;
/// Those that are set in the low part of a word.
pub(super) const LOW: u64 = (1 << LOW_BITS) - 1;

/// Scatters TACs: an odd number, so that multiplying by it can be undone, near
/// the golden section of its range, so that TACs that follow one another are
/// far apart.
const FACTOR: u64 = 0x04f1_bbcd;
/// What undoes that.
const INVERSE: u64 = inverse(FACTOR);

/// What digests are made with: any numbers with bits everywhere.
const DIGEST: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

/// The number that an odd one yields 1 with.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    // Newton's iteration doubles the right bits, of which there are three.
    while step < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

//----------- Tuple -----------------------------------------------------------

/// A rule of a single device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    /// The device: its TAC scattered, above its serial number.
    pub(super) key: u64,
    /// The number of what is said of it.
    pub(super) said: u32,
    /// The line of the list.
    pub(super) line: u32,
}

impl Tuple {
    /// A rule that says something of a device on a line.
    #[inline]
    pub(crate) fn new(device: Device, said: u32, line: u32) -> Self {
        let number = device.number();
        Self::of_parts([number / SERIALS, number % SERIALS], said, line)
    }

    /// The same of a device whose TAC and serial number are known.
    #[inline]
    pub(crate) fn of_parts([tac, serial]: [u64; 2], said: u32, line: u32) -> Self {
        let tac = tac.wrapping_mul(FACTOR) & ((1 << TAC_BITS) - 1);
        Self {
            key: tac << SERIAL_BITS | serial,
            said,
            line,
        }
    }

    /// A number that depends on all bits of the device, and nothing else.
    #[inline]
    fn digest(self) -> u64 {
        let product = u128::from(self.key ^ DIGEST[0]) * u128::from(DIGEST[1]);
        product as u64 ^ (product >> 64) as u64
    }

    /// The partition that it belongs to.
    #[inline]
    pub(super) fn partition(self) -> usize {
        (self.key >> KEY_BITS) as usize
    }
}

/// The number of the device with this key in a partition.
pub(super) fn device_of(partition: usize, key: u64) -> u64 {
    let key = (partition as u64) << KEY_BITS | key;
    let tac = (key >> SERIAL_BITS).wrapping_mul(INVERSE) & ((1 << TAC_BITS) - 1);
    tac * SERIALS + (key & ((1 << SERIAL_BITS) - 1))
}

/// A number for the TAC of a key, which no other one of the partition has.
#[inline]
pub(super) fn tac_of(key: u64) -> u64 {
    key >> SERIAL_BITS
}

/// The serial number of a key.
#[inline]
pub(super) fn serial_of(key: u64) -> u32 {
    (key & ((1 << SERIAL_BITS) - 1)) as u32
}

//----------- Tuples ----------------------------------------------------------

/// Tuples in the order of loading, and what a bundle has to know of them.
#[derive(Debug)]
pub(crate) struct Tuples {
    /// Their keys.
    pub(super) keys: Vec<u64>,
    /// What the first says, and its line.
    first: (u32, u32),
    /// What each says, and its line; nothing as long as all say the same, on lines
    /// that follow each other.
    pub(super) others: Vec<(u32, u32)>,
    /// How many there are of each partition.
    pub(super) counts: [u32; PARTITIONS],
    /// The sum of the digests of their devices.
    pub(super) digest: u64,
}

impl Tuples {
    /// None, with the memory of others.
    pub(crate) fn again(self) -> Self {
        let Self {
            mut keys,
            mut others,
            ..
        } = self;
        keys.clear();
        others.clear();
        Self {
            keys,
            others,
            ..Self::default()
        }
    }

    /// Adds one.
    #[inline]
    pub(crate) fn push(&mut self, tuple: Tuple) {
        let Tuple { key, said, line } = tuple;
        if self.keys.is_empty() {
            self.first = (said, line);
        }
        if !self.others.is_empty() || self.following(self.keys.len()) != (said, line) {
            let known = self.others.len()..self.keys.len();
            let known = known.map(|number| self.following(number));
            // Nothing unless this is the first that is different.
            let known: Vec<(u32, u32)> = known.collect();
            self.others.extend(known);
            self.others.push((said, line));
        }
        self.keys.push(key);
        if let Some(count) = self.counts.get_mut(tuple.partition()) {
            *count += 1;
        }
        self.digest = self.digest.wrapping_add(tuple.digest());
    }

    /// Adds a column of devices, TACs and serial numbers, of which the same is said
    /// on lines that follow the first.
    #[inline]
    pub(crate) fn push_column(
        &mut self,
        (said, line): (u32, u32),
        devices: impl ExactSizeIterator<Item = [u64; 2]>,
    ) {
        let tuples = devices.zip(line..);
        let tuples = tuples.map(|(parts, line)| Tuple::of_parts(parts, said, line));
        if self.keys.is_empty() {
            self.first = (said, line);
        } else if !self.others.is_empty() || self.following(self.keys.len()) != (said, line) {
            return tuples.for_each(|tuple| self.push(tuple));
        }
        let Self {
            keys,
            counts,
            digest,
            ..
        } = self;
        keys.extend(tuples.map(|tuple| {
            if let Some(count) = counts.get_mut(tuple.partition()) {
                *count += 1;
            }
            *digest = digest.wrapping_add(tuple.digest());
            tuple.key
        }));
    }

    /// What the tuple with a number says, and its line, if all say the same on lines
    /// that follow each other.
    #[inline]
    fn following(&self, number: usize) -> (u32, u32) {
        let (said, line) = self.first;
        (said, line.wrapping_add(number as u32))
    }

    /// The first line and the last.
    pub(super) fn lines(&self) -> (u32, u32) {
        match self.others.is_empty() {
            true => (self.first.1, self.following(self.keys.len().max(1) - 1).1),
            false => {
                let lines = self.others.iter().map(|&(_, line)| line);
                let first = lines.clone().min().unwrap_or_default();
                (first, lines.max().unwrap_or_default())
            }
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Tuple> {
        self.keys.iter().enumerate().map(|(number, &key)| {
            let other = self.others.get(number).copied();
            let (said, line) = other.unwrap_or_else(|| self.following(number));
            Tuple { key, said, line }
        })
    }
}

impl Default for Tuples {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            first: (0, 0),
            others: Vec::new(),
            counts: [0; PARTITIONS],
            digest: 0,
        }
    }
}

impl FromIterator<Tuple> for Tuples {
    fn from_iter<I: IntoIterator<Item = Tuple>>(all: I) -> Self {
        let mut tuples = Self::default();
        all.into_iter().for_each(|tuple| tuples.push(tuple));
        tuples
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// Of TACs one behind the other, and of those of one manufacturer, no
    /// partition has twice its share.
    #[test]
    fn partitions_are_of_a_size() {
        for (first, step) in [(35_000_000u64, 1), (86_000_000, 10), (1_000_000, 100)] {
            let mut counts = [0u32; PARTITIONS];
            for tac in (0..200_000).map(|n| (first + n * step) % 100_000_000) {
                let device = Device::from_number(tac * SERIALS).unwrap();
                counts[Tuple::new(device, 0, 0).partition()] += 1;
            }
            assert!(counts.iter().all(|&count| count < 2 * 200_000 / 1024));
        }
    }
}
