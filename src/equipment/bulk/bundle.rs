//! Tuples, and bundles of them that are divided by partition.

use core::ops::Range;

use crate::equipment::Device;
use crate::equipment::devices::prefetch;

/// How many partitions there are. With 1024 one of a hundred million devices is
/// sorted in the second cache of a processor, one of a billion takes some 30 MB,
/// and those of a small register cost nothing to speak of.
pub(crate) const PARTITIONS: usize = 1024;

/// Partitions that stand together: each so many are given back at once.
pub(crate) const GROUP: usize = 64;

/// Bits of a TAC, and of a serial number.
const TAC_BITS: u32 = 27;
/// See [`TAC_BITS`].
const SERIAL_BITS: u32 = 20;
/// Serial numbers of a TAC.
const SERIALS: u64 = 1_000_000;
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
    key: u64,
    /// The number of what is said of it.
    said: u32,
    /// The line of the list.
    line: u32,
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
    fn partition(self) -> usize {
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
    keys: Vec<u64>,
    /// What the first says, and its line.
    first: (u32, u32),
    /// What each says, and its line; nothing as long as all say the same, on lines
    /// that follow each other.
    others: Vec<(u32, u32)>,
    /// How many there are of each partition.
    counts: [u32; PARTITIONS],
    /// The sum of the digests of their devices.
    digest: u64,
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
    fn lines(&self) -> (u32, u32) {
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
    fn iter(&self) -> impl Iterator<Item = Tuple> {
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

//----------- Bundle ----------------------------------------------------------

/// Tuples, partition by partition, in each in the order of loading.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    /// What there is to know of them.
    pub(crate) meta: Meta,
    /// The keys without what the partition implies, above the line less the
    /// first line.
    words: Vec<u64>,
    /// What is said, as places in the table, in as many octets as it takes.
    saids: Vec<u8>,
    /// The lines, if they are too far from each other for the words.
    lines: Vec<u32>,
}

/// What is kept in memory of a bundle wherever its tuples are.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    /// What is said, by the places that tuples have.
    table: Vec<u32>,
    /// The line that lines are counted from.
    line: u32,
    /// How far behind that the last one is, if the words hold lines.
    span: u32,
    /// Octets of a place in the table.
    width: usize,
    /// Whether lines stand beside the words.
    has_lines: bool,
    /// Where the tuples of each partition end.
    ends: Vec<u32>,
    /// The sum of the digests of the tuples' devices.
    digest: u64,
}

impl Meta {
    /// See [`Meta`].
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Which of the tuples are of a partition.
    fn range(&self, partition: usize) -> Range<usize> {
        let end = |partition: usize| self.ends.get(partition).copied().unwrap_or_default();
        let start = partition.checked_sub(1).map_or(0, end);
        start as usize..end(partition) as usize
    }

    /// How many tuples there are of a partition.
    pub(crate) fn count(&self, partition: usize) -> usize {
        self.range(partition).len()
    }

    /// How many tuples there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or_default() as usize
    }

    /// Octets of each tuple.
    fn size(&self) -> usize {
        size_of::<u64>() + self.width + if self.has_lines { size_of::<u32>() } else { 0 }
    }

    /// Octets of the tuples of a partition.
    pub(crate) fn octets(&self, partition: usize) -> usize {
        self.count(partition) * self.size()
    }

    /// Octets of the tuples of the partitions of a group that stand before one
    /// of them.
    pub(crate) fn octets_before(&self, partition: usize) -> usize {
        let first = partition - partition % GROUP;
        (self.range(partition).start - self.range(first).start) * self.size()
    }

    /// Octets of the tuples of all partitions of a group.
    pub(crate) fn group_octets(&self, group: usize) -> usize {
        let last = (group + 1) * GROUP - 1;
        self.octets_before(last) + self.octets(last)
    }

    /// Octets of memory that this takes by itself.
    pub(crate) fn own_size(&self) -> usize {
        4 * (self.table.len() + self.ends.len())
    }

    /// Lets lines be counted from another one: they were counted from the first
    /// of a chunk before it was known where that stands.
    pub(crate) fn move_lines(&mut self, by: u64) {
        let line = u64::from(self.line).saturating_add(by);
        // Those beyond the fourth thousand million share a number.
        self.line = u32::try_from(line).unwrap_or(u32::MAX);
    }

    /// Gives what is said its numbers in the register.
    pub(crate) fn translate(&mut self, numbers: &[u32]) {
        for said in &mut self.table {
            *said = numbers.get(*said as usize).copied().unwrap_or_default();
        }
    }

    /// The tuples of a partition in the octets that [`Bundle::write`] gave.
    pub(crate) fn segment<'a>(&'a self, partition: usize, octets: &'a [u8]) -> Segment<'a> {
        let count = self.count(partition);
        let (words, rest) = octets.split_at_checked(8 * count).unwrap_or_default();
        let (saids, lines) = rest
            .split_at_checked(self.width * count)
            .unwrap_or_default();
        Segment {
            meta: self,
            words,
            saids,
            lines,
        }
    }
}

/// The tuples of one partition, as octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    /// What there is to know of them.
    meta: &'a Meta,
    /// See [`Bundle`].
    words: &'a [u8],
    /// See [`Bundle`].
    saids: &'a [u8],
    /// See [`Bundle`].
    lines: &'a [u8],
}

impl Segment<'_> {
    /// Calls `visitor` with each key, what is said, and the line.
    #[inline]
    pub(super) fn each(self, mut visitor: impl FnMut(u64, u32, u32)) {
        let Meta { table, line, .. } = self.meta;
        let word = |octets: &[u8; 8]| u64::from_le_bytes(*octets);
        let (words, _) = self.words.as_chunks::<8>();
        let lines = |word: u64| line.saturating_add((word & LOW) as u32);
        let said = |place: usize| table.get(place).copied().unwrap_or_default();
        match (self.meta.width, self.meta.has_lines) {
            (0, false) => {
                let only = said(0);
                for octets in words {
                    let word = word(octets);
                    visitor(word >> LOW_BITS, only, lines(word));
                }
            }
            (1, false) => {
                for (octets, &place) in words.iter().zip(self.saids) {
                    let word = word(octets);
                    visitor(word >> LOW_BITS, said(place.into()), lines(word));
                }
            }
            (width, has_lines) => {
                for (number, octets) in words.iter().enumerate() {
                    let word = word(octets);
                    let place = self.saids.get(number * width..(number + 1) * width);
                    let place = (place.unwrap_or_default().iter().rev())
                        .fold(0, |place, &octet| place << 8 | usize::from(octet));
                    let line = match has_lines {
                        false => lines(word),
                        true => {
                            let (own, _) = self.lines.as_chunks::<4>();
                            own.get(number).map_or(0, |line| u32::from_le_bytes(*line))
                        }
                    };
                    visitor(word >> LOW_BITS, said(place), line);
                }
            }
        }
    }

    /// The keys where they stand in words, and the lines, if all of it says the
    /// same and the words hold the lines.
    pub(super) fn simple(
        &self,
    ) -> Option<(
        impl ExactSizeIterator<Item = u64>,
        impl ExactSizeIterator<Item = u32>,
    )> {
        let Meta { line, .. } = *self.meta;
        let (words, _) = self.words.as_chunks::<8>();
        let word = |octets: &[u8; 8]| u64::from_le_bytes(*octets);
        let keys = words.iter().map(move |octets| word(octets) & !LOW);
        let lines = words
            .iter()
            .map(move |octets| line.saturating_add((word(octets) & LOW) as u32));
        (self.meta.width == 0 && !self.meta.has_lines).then_some((keys, lines))
    }

    /// The words with their whole lines in the place of what is counted from the
    /// first, and the last line; if the words hold lines, all of them fit there,
    /// and none is before this one.
    pub(super) fn with_lines(
        &self,
        after: u64,
    ) -> Option<(impl ExactSizeIterator<Item = u64>, u64)> {
        let first = u64::from(self.meta.line);
        let last = first + u64::from(self.meta.span);
        let (words, _) = self.words.as_chunks::<8>();
        let words = words
            .iter()
            .map(move |octets| u64::from_le_bytes(*octets) + first);
        (!self.meta.has_lines && first >= after && last <= LOW).then_some((words, last))
    }

    /// Has all of it fetched while other work goes on.
    pub(crate) fn prefetch(&self) {
        (self.words.iter().step_by(64)).for_each(prefetch);
    }

    /// What all of it says, if it says one thing.
    pub(super) fn only_said(self) -> Option<u32> {
        match *self.meta.table {
            [said] => Some(said),
            _ => None,
        }
    }

    /// How many tuples there are.
    pub(super) fn len(self) -> usize {
        self.words.len() / 8
    }
}

impl Bundle {
    /// A bundle of tuples in the order of loading, no more than four thousand
    /// million; what they say are places in the table. It takes the memory of an
    /// old one.
    pub(crate) fn pack(tuples: &Tuples, table: Vec<u32>, old: Self) -> Self {
        let count = tuples.keys.len();
        let (first, last) = tuples.lines();
        let width = match table.len() {
            0 | 1 => 0,
            2..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        let has_lines = u64::from(last - first) > LOW;
        // Where the next tuple of each partition goes.
        let mut next = [0u32; PARTITIONS];
        let mut ends = Vec::with_capacity(PARTITIONS);
        let mut end = 0;
        for (next, count) in next.iter_mut().zip(tuples.counts) {
            *next = end;
            end += count;
            ends.push(end);
        }
        let Self {
            mut words,
            mut saids,
            mut lines,
            ..
        } = old;
        // All of it is written to.
        words.resize(count, 0);
        saids.resize(count * width, 0);
        lines.resize(if has_lines { count } else { 0 }, 0);
        let mut next = |partition: usize| {
            let next = next.get_mut(partition)?;
            *next += 1;
            Some(*next as usize - 1)
        };
        // Of a column of devices the place says the line.
        let is_column = width == 0 && !has_lines && tuples.others.is_empty();
        let (column, others) = match is_column {
            true => (tuples.keys.as_slice(), None),
            false => (&[][..], Some(tuples.iter())),
        };
        for (low, &key) in (0u64..).zip(column) {
            let place = next((key >> KEY_BITS) as usize);
            if let Some(word) = place.and_then(|place| words.get_mut(place)) {
                *word = key << LOW_BITS | low;
            }
        }
        for tuple in others.into_iter().flatten() {
            let Some(place) = next(tuple.partition()) else {
                continue;
            };
            let low = if has_lines { 0 } else { tuple.line - first };
            if let Some(word) = words.get_mut(place) {
                // What the partition implies is shifted out.
                *word = tuple.key << LOW_BITS | u64::from(low);
            }
            match width {
                0 => {}
                1 => {
                    if let Some(said) = saids.get_mut(place) {
                        *said = tuple.said as u8;
                    }
                }
                _ => {
                    if let Some(said) = saids.get_mut(place * width..(place + 1) * width) {
                        let octets = tuple.said.to_le_bytes();
                        (said.iter_mut().zip(octets)).for_each(|(to, from)| *to = from);
                    }
                }
            }
            if has_lines && let Some(line) = lines.get_mut(place) {
                *line = tuple.line;
            }
        }
        Self {
            meta: Meta {
                table,
                line: if has_lines { 0 } else { first },
                span: if has_lines { 0 } else { last - first },
                width,
                has_lines,
                ends,
                digest: tuples.digest,
            },
            words,
            saids,
            lines,
        }
    }

    /// The same of tuples whose saids have the numbers of the register already.
    pub(crate) fn of_register(mut tuples: Vec<Tuple>) -> Self {
        let mut table: Vec<u32> = tuples.iter().map(|tuple| tuple.said).collect();
        table.sort_unstable();
        table.dedup();
        for tuple in &mut tuples {
            // All of them are there.
            let place = table.binary_search(&tuple.said).unwrap_or_default();
            tuple.said = place as u32;
        }
        Self::pack(&tuples.into_iter().collect(), table, Self::default())
    }

    /// Octets of memory that it takes.
    pub(crate) fn size(&self) -> usize {
        self.meta.len() * self.meta.size() + self.meta.own_size()
    }

    /// Appends the tuples of the partitions of a group as octets, partition by
    /// partition.
    pub(crate) fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        let partitions = group * GROUP..(group + 1) * GROUP;
        if self.saids.is_empty() && self.lines.is_empty() {
            let start = self.meta.range(partitions.start).start;
            let end = self.meta.range(partitions.end - 1).end;
            let words = self.words.get(start..end).unwrap_or_default();
            out.extend_from_slice(bytemuck::cast_slice(words));
            return;
        }
        partitions.for_each(|partition| self.write(partition, out));
    }

    /// Appends the tuples of a partition as octets.
    fn write(&self, partition: usize, out: &mut Vec<u8>) {
        let segment = self.segment(partition);
        out.extend_from_slice(segment.words);
        out.extend_from_slice(segment.saids);
        out.extend_from_slice(segment.lines);
    }

    /// The tuples of a partition.
    pub(crate) fn segment(&self, partition: usize) -> Segment<'_> {
        let range = self.meta.range(partition);
        let width = self.meta.width;
        let saids = range.start * width..range.end * width;
        Segment {
            meta: &self.meta,
            words: bytemuck::cast_slice(self.words.get(range.clone()).unwrap_or_default()),
            saids: self.saids.get(saids).unwrap_or_default(),
            lines: bytemuck::cast_slice(self.lines.get(range).unwrap_or_default()),
        }
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices at the ends of TACs and far apart.
    fn devices() -> impl Iterator<Item = u64> {
        let tacs = [0, 1, 35_209_900, 86_012_345, 99_999_999];
        let scattered = (0..3000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 100_000_000);
        let tacs = tacs.into_iter().chain(scattered);
        tacs.flat_map(|tac| [0, 1, 500_000, 999_999].map(|serial| tac * SERIALS + serial))
    }

    /// What goes in comes out, in memory and as octets, whatever the lines and
    /// however much is said; the tuples themselves are the oracle.
    #[test]
    fn tuples_come_back_in_their_order() {
        let mut old = Bundle::default();
        for (saids, step) in [(1, 1u32), (3, 7), (300, 1), (70_000, 2), (2, 1_000_003)] {
            let mut expected: Vec<Vec<(u64, u32, u32)>> = vec![Vec::new(); PARTITIONS];
            let mut tuples = Vec::new();
            for (number, device) in (0u32..).zip(devices()) {
                let said = number.wrapping_mul(0x9e37_79b9) % saids;
                let line = 5 + number.wrapping_mul(step) % 900_000_000;
                let tuple = Tuple::new(Device::from_number(device).unwrap(), said, line);
                expected[tuple.partition()].push((device, said + 10, line + 100));
                tuples.push(tuple);
            }
            let tuples = tuples.into_iter().collect();
            let mut bundle = Bundle::pack(&tuples, (0..saids).collect(), old);
            bundle.meta.translate(&(10..saids + 10).collect::<Vec<_>>());
            let is_by_lines = bundle.meta.has_lines;
            if !is_by_lines {
                bundle.meta.move_lines(100);
            }
            for (partition, expected) in expected.iter().enumerate() {
                let mut octets = Vec::new();
                bundle.write(partition, &mut octets);
                assert_eq!(octets.len(), bundle.meta.octets(partition));
                if partition % GROUP == GROUP - 1 {
                    let mut group = Vec::new();
                    bundle.write_group(partition / GROUP, &mut group);
                    assert_eq!(
                        group.len(),
                        bundle.meta.octets_before(partition) + octets.len()
                    );
                    assert!(group.ends_with(&octets));
                }
                let stored = bundle.meta.segment(partition, &octets);
                for segment in [bundle.segment(partition), stored] {
                    let mut found = Vec::new();
                    segment.each(|key, said, line| {
                        let line = if is_by_lines { line + 100 } else { line };
                        found.push((device_of(partition, key), said, line));
                    });
                    assert_eq!(found, *expected);
                }
            }
            old = bundle;
        }
    }

    /// Tuples one by one are the oracle, whatever stands before a column.
    #[test]
    fn a_column_is_its_tuples() {
        let column: Vec<[u64; 2]> = (0..100).map(|n| [n * 7_000_003 % 100_000_000, n]).collect();
        let tuple = |number: usize, said, line| Tuple::of_parts(column[number], said, line);
        for before in [vec![], vec![(0, 4)], vec![(0, 3)], vec![(1, 4)]] {
            let mut own = Tuples::default();
            let mut expected = Tuples::default();
            for &(said, line) in &before {
                own.push(tuple(0, said, line));
                expected.push(tuple(0, said, line));
            }
            own.push_column((0, 5), column.iter().copied());
            own.push_column((0, 105), column.iter().copied());
            for number in 0..200 {
                expected.push(tuple(number % 100, 0, number as u32 + 5));
            }
            assert_eq!(format!("{own:?}"), format!("{expected:?}"));
            let pack = |tuples| Bundle::pack(&tuples, vec![0, 1], Bundle::default());
            assert_eq!(format!("{:?}", pack(own)), format!("{:?}", pack(expected)));
        }
    }

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
