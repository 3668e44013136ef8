//! Bundles of tuples that are divided by partition.

use super::segment::{GROUP, Meta, Segment};
use super::tuple::{KEY_BITS, LOW, LOW_BITS, PARTITIONS, Tuple, Tuples};

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
    use super::super::tuple::{SERIALS, device_of};
    use super::*;
    use crate::equipment::Device;

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
}
