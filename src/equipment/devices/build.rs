//! How the map is built: which structure the devices of a TAC get.
//!
//! Devices come in ascending order, so that one TAC is decided and laid out at
//! a time and nothing else is kept of it. Only the devices of TACs without a
//! structure of their own, 16 octets each, wait for the end, as their table is
//! cut by how many they are; at its peak a builder has these, the finished
//! lines and that table.

use super::directory::{Dense, Directory, Entry, Extent};
use super::exact::{Exact, Load};
use super::line::{Cells, Line, Slots16, Slots24, Slots28, Slots32};
use super::mix::{Mix, Seeds};
use super::pages::Lines;
use super::quotient::{self, Geometry, Inserted, Table, class_bits, classes, overflow_limit};
use super::table::{CHUNK_LINES, Chunk, Devices, MIXES, Rest, SERIAL_BITS, SERIALS};

/// How many devices a hashed line is meant to have: with 24 of 31 slots one
/// line in fifteen overflows, and one device in a hundred and forty, whose lookup
/// costs a second line. Each device less saves memory for fewer of these.
const HASHED_FILL: u64 = 24;

/// The fewest lines of a hashed TAC: with less, a slot has no room for two
/// classes.
const HASHED_MIN: u64 = 64;

/// Octets that a device costs in the exact table.
const EXACT_COST: u64 = 11;

/// Octets that a device costs in the table of the rest; it depends on them all,
/// but this is near enough to choose.
const REST_COST: u64 = 5;

/// One line of so many may be missing in a run that is laid out without gaps.
const GAPS_MAX: u64 = 32;

/// Octets of a line.
const LINE: u64 = size_of::<Line>() as u64;

//----------- DevicesBuilder --------------------------------------------------

/// Collects [`Devices`], which come in ascending order.
#[derive(Debug, Default)]
pub struct DevicesBuilder {
    /// For the bijections.
    seed: u64,
    /// Those of the present TAC: serial numbers and classes.
    tac: Vec<(u32, u32)>,
    /// The present TAC.
    current: u32,
    /// TACs with structures of their own.
    entries: Vec<Entry>,
    /// As of [`Devices`].
    chunks: Vec<Chunk>,
    /// As of [`Devices`].
    dense: Lines,
    /// As of [`Devices`].
    hashed: Lines,
    /// As of [`Devices`].
    mixes: [Mix<SERIAL_BITS>; MIXES],
    /// The devices of TACs without structures.
    rest: Vec<(u64, u32)>,
    /// What has no room elsewhere.
    exact: Vec<(u64, u32)>,
    /// How many devices there are.
    len: usize,
}

/// What is counted of the devices of a TAC to choose its structure.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Lines with cells of each kind.
    lines: [u64; Cells::ALL.len()],
    /// Devices whose classes do not fit these.
    lost: [u64; Cells::ALL.len()],
    /// Devices whose classes do not fit slots.
    lost_hashed: u64,
}

impl DevicesBuilder {
    /// A builder without devices; the same seed and devices make the same map.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            mixes: core::array::from_fn(|number| Mix::new(Seeds::new(seed).nth(number as u64))),
            ..Self::default()
        }
    }

    /// Sets addresses aside for so many devices. It costs no memory before they
    /// come, and nothing has to be moved when they do.
    pub fn expect(&mut self, devices: usize) {
        let room = devices.saturating_mul(REST_COST as usize) / LINE as usize;
        if self.dense.is_empty() && self.hashed.is_empty() {
            self.dense = Lines::with_room(room);
            self.hashed = Lines::with_room(room);
        }
    }

    /// Adds a device with its class, from 1; devices come in ascending order,
    /// each once.
    #[inline]
    pub fn push(&mut self, device: u64, class: u32) {
        let mut serial = device.wrapping_sub(u64::from(self.current) * SERIALS);
        if serial >= SERIALS {
            self.finish_tac();
            self.current = (device / SERIALS) as u32;
            serial = device % SERIALS;
        }
        self.tac.push((serial as u32, class));
        self.len += 1;
    }

    /// Adds what another builder with the same seed has collected, all of whose
    /// TACs are above those of this one.
    ///
    /// So a caller with several threads can share a register out by ranges of
    /// TACs, sort and collect them at once and put them together in the end.
    /// The map is the same as if one builder had collected all.
    pub fn append(&mut self, mut other: Self) {
        self.finish_tac();
        other.finish_tac();
        let (lines, dense) = (self.hashed.len() as u32, self.dense.len() as u32);
        let chunks = self.chunks.len() as u32;
        let moved = other
            .entries
            .iter()
            .map(|entry| entry.moved(lines, dense, chunks));
        self.entries.extend(moved);
        self.chunks.extend(other.chunks.iter().map(|chunk| Chunk {
            base: chunk.base + dense,
            ..*chunk
        }));
        self.dense.append(&other.dense);
        self.hashed.append(&other.hashed);
        self.rest.append(&mut other.rest);
        self.exact.append(&mut other.exact);
        self.len += other.len;
        self.current = other.current;
    }

    /// Chooses a structure for the present TAC.
    fn finish_tac(&mut self) {
        let devices = core::mem::take(&mut self.tac);
        if devices.is_empty() {
            return;
        }
        let count = devices.len() as u64;
        let lines = count.div_ceil(HASHED_FILL);
        let geometry = Geometry::<SERIAL_BITS>::new(lines);
        let bits = class_bits::<Slots16>(geometry.remainder_bits());
        let tally = Tally::of(&devices, bits);
        let costs = tally.lines.iter().zip(&tally.lost).zip(Cells::ALL);
        let costs = costs.map(|((&lines, lost), cells)| {
            let cost = lines * LINE + lost * EXACT_COST;
            (cost, cells, lines)
        });
        let least = costs.min_by_key(|cost| cost.0);
        let (dense, cells, dense_lines) = least.unwrap_or((u64::MAX, Cells::ALL[0], 0));
        let hashed = match lines >= HASHED_MIN {
            true => lines * LINE + tally.lost_hashed * EXACT_COST,
            false => u64::MAX,
        };
        let rest = count * REST_COST;
        if dense <= hashed && dense <= rest {
            self.finish_dense(&devices, cells, dense_lines);
        } else if hashed <= rest {
            self.finish_hashed(&devices, lines);
        } else {
            let base = u64::from(self.current) * SERIALS;
            let devices = devices.iter();
            self.rest
                .extend(devices.map(|&(serial, class)| (base + u64::from(serial), class)));
        }
        self.tac = devices;
        self.tac.clear();
    }

    /// Lays the present TAC out in cells, which have so many lines.
    fn finish_dense(&mut self, devices: &[(u32, u32)], cells: Cells, lines: u64) {
        let line_of = |&(serial, _): &(u32, u32)| cells.split(serial).0;
        let (Some(first), Some(last)) = (devices.first(), devices.last()) else {
            return;
        };
        let first = line_of(first);
        let count = line_of(last) - first + 1;
        // Where nearly all lines of a run are there, nothing has to tell which.
        if u64::from(count) > lines + lines / GAPS_MAX {
            return self.finish_chunked(devices, cells);
        }
        let base = self.dense.len();
        let extent = Extent::Solid(Dense {
            first,
            count,
            cells,
        });
        self.entries
            .push(Entry::new(self.current, base as u32, extent));
        self.dense.extend(count as usize);
        for &(serial, class) in devices {
            let (line, cell) = cells.split(serial);
            let value = self.value(serial, class, cells);
            if let Some(line) = self.dense.get_mut(base + (line - first) as usize) {
                line.set_cell(cells, cell, value);
            }
        }
    }

    /// What the cell of a device of the present TAC holds.
    #[inline]
    fn value(&mut self, serial: u32, class: u32, cells: Cells) -> u64 {
        let fitting = classes(cells.bits());
        if u64::from(class) <= fitting {
            return u64::from(class);
        }
        let tac = u64::from(self.current) * SERIALS;
        self.exact.push((tac + u64::from(serial), class));
        fitting + 1
    }

    /// The same in chunks, for runs with gaps.
    fn finish_chunked(&mut self, devices: &[(u32, u32)], cells: Cells) {
        let chunk_of = |&(serial, _): &(u32, u32)| cells.split(serial).0 / CHUNK_LINES as u32;
        let (Some(first), Some(last)) = (devices.first(), devices.last()) else {
            return;
        };
        let first = chunk_of(first);
        let count = chunk_of(last) - first + 1;
        let base = self.chunks.len();
        let extent = Extent::Chunked(Dense {
            first,
            count,
            cells,
        });
        self.entries
            .push(Entry::new(self.current, base as u32, extent));
        self.chunks.resize(base + count as usize, Chunk::default());
        for device in devices {
            let &(serial, class) = device;
            let (block, cell) = cells.split(serial);
            let Some(chunk) = (self.chunks).get_mut(base + (chunk_of(device) - first) as usize)
            else {
                continue;
            };
            let bit = 1 << (block % CHUNK_LINES as u32);
            if chunk.present == 0 {
                chunk.base = self.dense.len() as u32;
            }
            if chunk.present & bit == 0 {
                chunk.present |= bit;
                self.dense.extend(1);
            }
            let value = self.value(serial, class, cells);
            if let Some(line) = self.dense.last_mut() {
                line.set_cell(cells, cell, value);
            }
        }
    }

    /// Lays the present TAC out in slots.
    fn finish_hashed(&mut self, devices: &[(u32, u32)], lines: u64) {
        let geometry = Geometry::<SERIAL_BITS>::new(lines);
        let bits = class_bits::<Slots16>(geometry.remainder_bits());
        let base = self.hashed.len();
        self.hashed.extend(lines as usize);
        let before = self.exact.len();
        let tac = u64::from(self.current) * SERIALS;
        let most = overflow_limit(devices.len());
        for (number, mix) in (0..).zip(&self.mixes) {
            let mut overflowed = 0;
            for &(serial, class) in devices {
                let (line, remainder) = geometry.place(mix.apply(u64::from(serial)));
                let Some(line) = self.hashed.get_mut(base + line as usize) else {
                    continue;
                };
                match quotient::insert::<Slots16>(line, remainder, class, bits) {
                    Inserted::Stands => continue,
                    Inserted::WithoutClass => {}
                    Inserted::Overflowed => overflowed += 1,
                }
                self.exact.push((tac + u64::from(serial), class));
            }
            if overflowed <= most || number + 1 == self.mixes.len() as u32 {
                let extent = Extent::Hashed(lines as u32, number);
                self.entries
                    .push(Entry::new(self.current, base as u32, extent));
                return;
            }
            // Keys that these factors do not scatter: once more with others.
            self.exact.truncate(before);
            if let Some(lines) = self.hashed.get_mut(base..) {
                lines.fill(Line::default());
            }
        }
    }

    /// The map.
    #[must_use]
    pub fn finish(mut self) -> Devices {
        self.finish_tac();
        let rest = self.finish_rest();
        self.dense.shrink();
        self.hashed.shrink();
        let tacs = self.entries.iter().map(|entry| u64::from(entry.tac()));
        let directory = Directory::build(&self.entries, Seeds::of(self.seed, tacs));
        let keys = self.exact.iter().map(|&(key, _)| key);
        let exact = Exact::build(&self.exact, Load::Dense, Seeds::of(self.seed, keys));
        Devices {
            directory,
            chunks: self.chunks.into_boxed_slice(),
            dense: self.dense,
            hashed: self.hashed,
            mixes: self.mixes,
            rest,
            exact,
            len: self.len,
        }
    }

    /// The table of the rest, with the slots that cost the least.
    fn finish_rest(&mut self) -> Rest {
        let rest = core::mem::take(&mut self.rest);
        if rest.is_empty() {
            return Rest::Empty;
        }
        // Devices by the bits that their classes take.
        let mut by_bits = [0u64; 33];
        for &(_, class) in &rest {
            by_bits[(u64::from(class) + 1).ilog2() as usize] += 1;
        }
        let count = rest.len() as u64;
        let cost = |fill: u64, class_bits: fn(u64) -> u32| {
            let lines = (count * 10).div_ceil(fill).max(1);
            let bits = class_bits(lines);
            let lost: u64 = by_bits.iter().skip(bits as usize).sum();
            // A slot needs one class and the mark of all others.
            match bits {
                0 | 1 => (u64::MAX, lines),
                _ => (lines * LINE + lost * EXACT_COST, lines),
            }
        };
        // So many of ten lines' slots are meant to be filled: three quarters to
        // four fifths, so that one device of fifty finds its line full.
        let (cost24, lines24) = cost(168, Table::<Slots24>::class_bits);
        let (cost28, lines28) = cost(144, Table::<Slots28>::class_bits);
        let (cost32, lines32) = cost(112, Table::<Slots32>::class_bits);
        let words = count * 16;
        let seeds = Seeds::of(self.seed, rest.iter().map(|&(key, _)| key));
        let exact = &mut self.exact;
        let least = cost24.min(cost28).min(cost32).min(words);
        let built = if least == words {
            None
        } else if least == cost24 {
            Table::build(&rest, lines24, seeds, exact).map(Rest::Slots24)
        } else if least == cost28 {
            Table::build(&rest, lines28, seeds, exact).map(Rest::Slots28)
        } else {
            Table::build(&rest, lines32, seeds, exact).map(Rest::Slots32)
        };
        built.unwrap_or_else(|| Rest::Words(Exact::build(&rest, Load::Half, seeds)))
    }
}

impl Tally {
    /// Of these devices, if slots have so many bits for a class.
    fn of(devices: &[(u32, u32)], bits: u32) -> Self {
        let mut tally = Self::default();
        let mut last = [u32::MAX; Cells::ALL.len()];
        let fitting = classes(bits.max(1));
        for &(serial, class) in devices {
            let class = u64::from(class);
            for (kind, cells) in Cells::ALL.into_iter().enumerate() {
                let (line, _) = cells.split(serial);
                tally.lines[kind] += u64::from(line != last[kind]);
                last[kind] = line;
                tally.lost[kind] += u64::from(class > classes(cells.bits()));
            }
            tally.lost_hashed += u64::from(class > fitting);
        }
        tally
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Size;
    use super::*;

    /// A generator of test keys (SplitMix64).
    struct Keys(u64);
    impl Keys {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.0;
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ word >> 31
        }
        fn below(&mut self, bound: u64) -> u64 {
            self.next() % bound
        }
    }

    /// A map of the same content is the oracle.
    fn check(model: &BTreeMap<u64, u32>) -> Size {
        let mut builder = DevicesBuilder::new(42);
        for (&device, &class) in model {
            builder.push(device, class);
        }
        let devices = builder.finish();
        assert_eq!(devices.len(), model.len());
        let mut asked: Vec<u64> = Vec::new();
        let mut keys = Keys(model.len() as u64);
        for &device in model.keys() {
            asked.extend([device, device ^ 1, device + 1, device.wrapping_sub(1)]);
            asked.push(device / SERIALS * SERIALS + keys.below(SERIALS));
            asked.push(keys.below(100_000_000_000_000));
        }
        asked.retain(|&device| device < 100_000_000_000_000);
        for &device in &asked {
            assert_eq!(
                devices.find(device),
                model.get(&device).copied(),
                "{device}"
            );
        }
        let mut answers = 0;
        devices.find_batch(&asked, |place, class| {
            answers += 1;
            assert_eq!(class, model.get(&asked[place]).copied());
        });
        assert_eq!(answers, asked.len());
        // Everything comes back, and everything has a place of its own.
        assert!(devices.iter().collect::<BTreeMap<_, _>>() == *model);
        assert_eq!(devices.iter().count(), model.len());
        let mut taken = vec![false; devices.places()];
        for &device in &asked {
            let place = devices.place(device);
            assert_eq!(place.is_some(), model.contains_key(&device));
        }
        for &device in model.keys() {
            let place = devices.place(device).unwrap();
            assert!(!core::mem::replace(&mut taken[place], true), "{device}");
        }
        devices.size()
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        let devices = DevicesBuilder::new(1).finish();
        assert!(devices.is_empty());
        assert_eq!(devices.find(0), None);
        assert_eq!(devices.find(99_999_999_999_999), None);
    }

    #[test]
    fn every_structure_is_exact() {
        let mut keys = Keys(1);
        let class = |keys: &mut Keys| match keys.below(100) {
            0..70 => 1,
            70..95 => 2,
            95..99 => keys.below(40) as u32 + 1,
            _ => keys.below(1 << 20) as u32 + 1,
        };
        let mut model = BTreeMap::new();
        // Dense runs, at both ends of a TAC and across all of one.
        for (tac, from, to) in [
            (1, 0, 5000),
            (1, 995_000, 1_000_000),
            (3, 0, 300_000),
            (99_999_999, 999_000, 1_000_000),
        ] {
            for serial in from..to {
                if keys.below(10) < 8 {
                    model.insert(tac * SERIALS + serial, class(&mut keys));
                }
            }
        }
        let size = check(&model);
        assert!(size.dense > 0 && size.hashed == 0 && size.rest == 0);
        // Scattered over a TAC.
        for tac in [2, 4, 99_999_998] {
            for _ in 0..6000 {
                model.insert(tac * SERIALS + keys.below(SERIALS), class(&mut keys));
            }
        }
        let size = check(&model);
        assert!(size.dense > 0 && size.hashed > 0 && size.rest == 0);
        // Here and there.
        for _ in 0..20_000 {
            model.insert(keys.below(100_000_000_000_000), class(&mut keys));
        }
        let size = check(&model);
        assert!(size.dense > 0 && size.hashed > 0 && size.rest > 0);
        assert!(size.exact_devices > 0);
    }

    #[test]
    fn extremes_are_found() {
        let model = [0, 1, 999_999, 1_000_000, 99_999_999_999_999]
            .into_iter()
            .zip([1, u32::MAX, 2, 3, 70_000])
            .collect();
        check(&model);
    }

    /// Serial numbers that all have the same few lines with the first factors.
    #[test]
    fn serial_numbers_chosen_against_one_mix_do_not_hold_against_the_next() {
        let mut builder = DevicesBuilder::new(42);
        let count = 2000;
        let lines = (count as u64).div_ceil(HASHED_FILL);
        let geometry = Geometry::<SERIAL_BITS>::new(lines);
        let first = builder.mixes[0];
        let crowded = |&serial: &u64| geometry.place(first.apply(serial)).0 < lines / 8;
        for serial in (0..SERIALS).filter(crowded).step_by(50).take(count) {
            builder.push(SERIALS + serial, 1);
        }
        let devices = builder.finish();
        assert_eq!(devices.len(), count);
        let entry = devices.directory.find(1).unwrap();
        assert!(matches!(entry.extent(), Extent::Hashed(own, 1..) if u64::from(own) == lines));
        assert!(devices.size().exact_devices < overflow_limit(count));
    }
}
