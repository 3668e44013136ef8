//! How the map is built: which structure the devices of a TAC get.
//!
//! The devices of a TAC come together and in ascending order, so that one TAC is
//! decided and laid out at a time and nothing else is kept of it. Only the
//! devices of TACs without a structure of their own, 8 octets each, wait for the
//! end, as their table is cut by how many they are ([`super::rest`]).
//!
//! A register that does not fit in memory is built piece by piece, each of some
//! TACs; what is large of a piece is put elsewhere at once ([`Joiner`]).

mod joiner;

use bytemuck::{Pod, Zeroable};

pub(in crate::equipment) use self::joiner::Joiner;

use super::directory::{Dense, Entry, Extent};
use super::line::{Cells, Layout, Line, Slots16};
use super::mix::{Mix, Seeds};
use super::pages::Lines;
use super::quotient::{self, Geometry, Inserted, class_bits, classes, overflow_limit};
use super::rest::{self, ByBits, EXACT_COST, LARGE, Scattered};
use super::table::{CELLS_MAX, CHUNK_LINES, Chunk, Devices, MIXES, SERIAL_BITS, SERIALS};

/// How many devices a hashed line is meant to have: with 24 of 31 slots one
/// line in fifteen overflows, and one device in a hundred and forty, whose lookup
/// costs a second line. Each device less saves memory for fewer of these.
const HASHED_FILL: u64 = 24;

/// The fewest lines of a hashed TAC: with less, a slot has no room for two
/// classes.
const HASHED_MIN: u64 = 64;

/// Octets that a device costs in the table of the rest; it depends on them all,
/// but this is near enough to choose.
const REST_COST: u64 = 5;

/// One line of so many may be missing in a run that is laid out without gaps.
const GAPS_MAX: u64 = 32;

/// Octets of a line.
const LINE: u64 = size_of::<Line>() as u64;

//----------- DevicesBuilder --------------------------------------------------

/// Collects [`Devices`]: those of a TAC one behind the other in ascending order,
/// the TACs in any order, which is a part of what the map is made of.
#[derive(Debug, Default)]
pub struct DevicesBuilder {
    /// For the bijections.
    seed: u64,
    /// Whether the number that comes with each device is kept.
    keeps_lines: bool,
    /// Devices to set addresses aside for.
    expected: usize,
    /// The present TAC.
    current: u32,
    /// As of [`Devices`].
    mixes: [Mix<SERIAL_BITS>; MIXES],
    /// What scatters the devices of TACs without structures.
    rest_mix: Mix<47>,
    /// What is under way.
    scratch: Scratch,
    /// What has been laid out.
    piece: Piece,
}

/// Memory of a builder, which may be used again for another one.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The devices of the present TAC.
    tac: Vec<Serial>,
    /// Those of TACs without structures, as words.
    rest: Vec<u64>,
    /// The lines of the list for them, if lines are kept.
    rest_lines: Vec<u32>,
    /// How many devices each line of the present TAC has.
    taken: Vec<u8>,
    /// For what is made of the rest.
    scattered: Scattered,
}

impl Scratch {
    /// Takes the rest back that was given away with a piece.
    pub(crate) fn take_back(&mut self, rest: Scattered) {
        self.scattered = rest;
    }
}

/// A device of the present TAC.
#[derive(Clone, Copy, Debug)]
struct Serial {
    /// Its serial number.
    serial: u32,
    /// Its class.
    class: u32,
    /// The line of the list that it stands on.
    line: u32,
}

/// A device with a whole key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Item {
    /// Its number.
    pub(super) key: u64,
    /// Its class.
    pub(super) class: u32,
    /// The line of the list that it stands on.
    pub(super) line: u32,
}

/// Some TACs, laid out.
#[derive(Debug, Default)]
pub(in crate::equipment) struct Piece {
    /// TACs with structures of their own.
    entries: Vec<Entry>,
    /// As of [`Devices`].
    chunks: Vec<Chunk>,
    /// What is large.
    arrays: Arrays,
    /// What has no room elsewhere.
    exact: Vec<Item>,
    /// Devices of TACs without structures whose classes do not fit in words.
    large: Vec<Item>,
    /// How many devices of TACs without structures there are.
    by_bits: ByBits,
    /// How many devices there are.
    len: usize,
}

/// What is large of a piece: what stands in these arrays stands in the same
/// order in those of the whole.
#[derive(Debug, Default)]
pub(crate) struct Arrays {
    /// As of [`Devices`].
    pub(in crate::equipment) dense: Lines,
    /// As of [`Devices`].
    pub(in crate::equipment) hashed: Lines,
    /// The line of the list for each place in `dense`, if lines are kept.
    pub(in crate::equipment) dense_lines: Vec<u32>,
    /// The same for `hashed`.
    pub(in crate::equipment) hashed_lines: Vec<u32>,
    /// The devices of TACs without structures.
    pub(crate) rest: Scattered,
}

impl Arrays {
    /// How many there are, but for the rest.
    pub(crate) const COUNT: usize = 4;

    /// The octets of each: dense and hashed lines, and the lines of the list for
    /// the places in them.
    pub(crate) fn octets(&self) -> [&[u8]; Self::COUNT] {
        [
            bytemuck::cast_slice::<Line, u8>(&self.dense),
            bytemuck::cast_slice::<Line, u8>(&self.hashed),
            bytemuck::cast_slice(&self.dense_lines),
            bytemuck::cast_slice(&self.hashed_lines),
        ]
    }
}

impl DevicesBuilder {
    /// A builder without devices; the same seed and devices make the same map.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            mixes: mixes(seed),
            rest_mix: rest_mix(seed),
            ..Self::default()
        }
    }

    /// The same, where the line of each device may be kept, with the memory of one
    /// before.
    pub(in crate::equipment) fn with_lines(seed: u64, keeps_lines: bool, scratch: Scratch) -> Self {
        Self {
            keeps_lines,
            scratch,
            ..Self::new(seed)
        }
    }

    /// Sets addresses aside for so many devices. It costs no memory before they
    /// come, and nothing has to be moved when they do.
    pub fn expect(&mut self, devices: usize) {
        self.expected = devices;
    }

    /// Adds a device with its class, from 1; devices of a TAC come in ascending
    /// order, each once.
    #[inline]
    pub fn push(&mut self, device: u64, class: u32) {
        self.push_with(device, class, 0);
    }

    /// The same with the line that it stands on.
    #[inline]
    pub(in crate::equipment) fn push_with(&mut self, device: u64, class: u32, line: u32) {
        let mut serial = device.wrapping_sub(u64::from(self.current) * SERIALS);
        if serial >= SERIALS {
            self.begin(device);
            serial = device % SERIALS;
        }
        self.push_serial(serial as u32, class, line);
    }

    /// Begins with the TAC of a device.
    pub(in crate::equipment) fn begin(&mut self, device: u64) {
        self.finish_tac();
        self.current = (device / SERIALS) as u32;
    }

    /// Adds the device of the present TAC with this serial number.
    #[inline]
    pub(in crate::equipment) fn push_serial(&mut self, serial: u32, class: u32, line: u32) {
        self.scratch.tac.push(Serial {
            serial,
            class,
            line,
        });
        self.piece.len += 1;
    }

    /// Adds what another builder with the same seed has collected, which has
    /// none of the TACs of this one.
    ///
    /// So a caller with several threads can share a register out by TACs, sort
    /// and collect them at once and put them together in the end. The map is the
    /// same as if one builder had collected all.
    pub fn append(&mut self, mut other: Self) {
        self.finish_tac();
        other.finish_tac();
        self.current = other.current;
        let own = &self.piece.arrays;
        let before = [own.dense.len(), own.hashed.len()];
        let arrays = self.piece.absorb(other.piece, before);
        let own = &mut self.piece.arrays;
        own.dense.append(&arrays.dense);
        own.hashed.append(&arrays.hashed);
        own.dense_lines.extend(arrays.dense_lines);
        own.hashed_lines.extend(arrays.hashed_lines);
        let own = &mut self.scratch;
        own.rest.extend(other.scratch.rest);
        own.rest_lines.extend(other.scratch.rest_lines);
    }

    /// What has been collected, for a [`Joiner`], and memory for another builder.
    pub(in crate::equipment) fn into_piece(mut self) -> (Piece, Scratch) {
        self.finish_tac();
        let arrays = &mut self.piece.arrays;
        arrays.dense.shrink();
        arrays.hashed.shrink();
        let scratch = &mut self.scratch;
        let old = core::mem::take(&mut scratch.scattered);
        arrays.rest = Scattered::of((&scratch.rest, &scratch.rest_lines), old);
        scratch.rest.clear();
        scratch.rest_lines.clear();
        (self.piece, self.scratch)
    }

    /// Chooses a structure for the present TAC.
    fn finish_tac(&mut self) {
        let devices = core::mem::take(&mut self.scratch.tac);
        if devices.is_empty() {
            return;
        }
        let count = devices.len() as u64;
        let lines = count.div_ceil(HASHED_FILL);
        let hashed = match lines >= HASHED_MIN {
            true => lines * LINE + lost_in_slots(&devices, lines) * EXACT_COST,
            false => u64::MAX,
        };
        let rest = count * REST_COST;
        // The least that cells can cost: most TACs with few devices need not be
        // looked at any closer.
        let smallest = lines_of_cells(&devices, Cells::ALL[0]);
        let (dense, cells, dense_lines) = match smallest * LINE <= hashed.min(rest) {
            true => cheapest_cells(&devices, smallest),
            false => (u64::MAX, Cells::ALL[0], 0),
        };
        if dense <= hashed && dense <= rest {
            self.finish_dense(&devices, cells, dense_lines);
        } else if hashed <= rest {
            self.finish_hashed(&devices, lines);
        } else {
            self.leave_to_rest(&devices);
        }
        self.scratch.tac = devices;
        self.scratch.tac.clear();
    }

    /// Leaves the present TAC to the rest.
    fn leave_to_rest(&mut self, devices: &[Serial]) {
        let base = u64::from(self.current) * SERIALS;
        let Scratch {
            rest, rest_lines, ..
        } = &mut self.scratch;
        if rest.is_empty() {
            rest.reserve(self.expected);
        }
        let mix = self.rest_mix;
        let words = devices.iter().map(|device| {
            let key = base + u64::from(device.serial);
            rest::word(mix, key, device.class)
        });
        rest.extend(words);
        if self.keeps_lines {
            rest_lines.extend(devices.iter().map(|device| device.line));
        }
        let by_bits = &mut self.piece.by_bits;
        // Most TACs have devices of one class only.
        let first = devices.first().map_or(1, |device| device.class);
        if devices.iter().all(|device| device.class == first) {
            by_bits.add(first, devices.len() as u64);
            if u64::from(first) < LARGE {
                return;
            }
        } else {
            devices
                .iter()
                .for_each(|device| by_bits.add(device.class, 1));
        }
        let large = devices
            .iter()
            .filter(|device| u64::from(device.class) >= LARGE);
        self.piece
            .large
            .extend(large.map(|device| device.item(base)));
    }

    /// Lays the present TAC out in cells, which have so many lines.
    fn finish_dense(&mut self, devices: &[Serial], cells: Cells, lines: u64) {
        let line_of = |device: &Serial| cells.split(device.serial).0;
        let (Some(first), Some(last)) = (devices.first(), devices.last()) else {
            return;
        };
        let first = line_of(first);
        let count = line_of(last) - first + 1;
        // Where nearly all lines of a run are there, nothing has to tell which.
        if u64::from(count) > lines + lines / GAPS_MAX {
            return self.finish_chunked(devices, cells);
        }
        let base = self.piece.arrays.dense.len();
        let extent = Extent::Solid(Dense {
            first,
            count,
            cells,
        });
        (self.piece.entries).push(Entry::new(self.current, base as u32, extent));
        self.extend_dense(count as usize);
        for device in devices {
            let (line, cell) = cells.split(device.serial);
            self.fill_cell(device, base + (line - first) as usize, cells, cell);
        }
    }

    /// Adds so many dense lines.
    fn extend_dense(&mut self, count: usize) {
        let arrays = &mut self.piece.arrays;
        if arrays.dense.is_empty() {
            arrays.dense = room_for(self.expected);
        }
        arrays.dense.extend(count);
        if self.keeps_lines {
            (arrays.dense_lines).resize(arrays.dense.len() * CELLS_MAX, 0);
        }
    }

    /// Puts a device of the present TAC into its cell.
    #[inline]
    fn fill_cell(&mut self, device: &Serial, line: usize, cells: Cells, cell: u8) {
        let fitting = classes(cells.bits());
        let value = match u64::from(device.class) <= fitting {
            true => u64::from(device.class),
            false => {
                let tac = u64::from(self.current) * SERIALS;
                self.piece.exact.push(device.item(tac));
                fitting + 1
            }
        };
        let arrays = &mut self.piece.arrays;
        if let Some(line) = arrays.dense.get_mut(line) {
            line.set_cell(cells, cell, value);
        }
        let place = line * CELLS_MAX + usize::from(cell);
        if let Some(place) = arrays.dense_lines.get_mut(place) {
            *place = device.line;
        }
    }

    /// The same in chunks, for runs with gaps.
    fn finish_chunked(&mut self, devices: &[Serial], cells: Cells) {
        let chunk_of = |device: &Serial| cells.split(device.serial).0 / CHUNK_LINES as u32;
        let (Some(first), Some(last)) = (devices.first(), devices.last()) else {
            return;
        };
        let first = chunk_of(first);
        let count = chunk_of(last) - first + 1;
        let base = self.piece.chunks.len();
        let extent = Extent::Chunked(Dense {
            first,
            count,
            cells,
        });
        (self.piece.entries).push(Entry::new(self.current, base as u32, extent));
        (self.piece.chunks).resize(base + count as usize, Chunk::default());
        for device in devices {
            let (block, cell) = cells.split(device.serial);
            let lines = self.piece.arrays.dense.len();
            let place = base + (chunk_of(device) - first) as usize;
            let Some(chunk) = self.piece.chunks.get_mut(place) else {
                continue;
            };
            let bit = 1 << (block % CHUNK_LINES as u32);
            if chunk.present == 0 {
                chunk.base = lines as u32;
            }
            if chunk.present & bit == 0 {
                chunk.present |= bit;
                self.extend_dense(1);
            }
            let last = self.piece.arrays.dense.len().saturating_sub(1);
            self.fill_cell(device, last, cells, cell);
        }
    }

    /// Lays the present TAC out in slots.
    fn finish_hashed(&mut self, devices: &[Serial], lines: u64) {
        let geometry = Geometry::<SERIAL_BITS>::new(lines);
        let bits = class_bits::<Slots16>(geometry.remainder_bits());
        let Piece {
            entries,
            arrays,
            exact,
            ..
        } = &mut self.piece;
        let base = arrays.hashed.len();
        if base == 0 {
            arrays.hashed = room_for(self.expected);
        }
        arrays.hashed.extend(lines as usize);
        if self.keeps_lines {
            (arrays.hashed_lines).resize(arrays.hashed.len() * Slots16::SLOTS, 0);
        }
        let before = exact.len();
        let tac = u64::from(self.current) * SERIALS;
        let most = overflow_limit(devices.len());
        for (number, mix) in (0..).zip(&self.mixes) {
            let mut overflowed = 0;
            let taken = &mut self.scratch.taken;
            taken.clear();
            taken.resize(lines as usize, 0);
            for device in devices {
                let (line, remainder) = geometry.place(mix.apply(u64::from(device.serial)));
                let place = base + line as usize;
                let taken = taken.get_mut(line as usize);
                let (Some(line), Some(taken)) = (arrays.hashed.get_mut(place), taken) else {
                    continue;
                };
                match quotient::insert::<Slots16>((line, taken), remainder, device.class, bits) {
                    Inserted::Stands(slot) => {
                        let place = place * Slots16::SLOTS + slot;
                        if let Some(place) = arrays.hashed_lines.get_mut(place) {
                            *place = device.line;
                        }
                        continue;
                    }
                    Inserted::WithoutClass => {}
                    Inserted::Overflowed => overflowed += 1,
                }
                exact.push(device.item(tac));
            }
            if overflowed <= most || number + 1 == self.mixes.len() as u32 {
                let extent = Extent::Hashed(lines as u32, number);
                entries.push(Entry::new(self.current, base as u32, extent));
                return;
            }
            // Keys that these factors do not scatter: once more with others.
            exact.truncate(before);
            if let Some(lines) = arrays.hashed.get_mut(base..) {
                lines.fill(Line::default());
            }
        }
    }

    /// The map.
    #[must_use]
    pub fn finish(self) -> Devices {
        let mut joiner = Joiner::new(self.seed, self.keeps_lines);
        let mut arrays = joiner.join(self.into_piece().0);
        let rest = vec![core::mem::take(&mut arrays.rest)];
        let (mut devices, _) = joiner.finish_here(rest);
        let dense = core::mem::take(&mut arrays.dense);
        devices.fill(dense, core::mem::take(&mut arrays.hashed));
        devices
    }
}

impl Serial {
    /// The device of a TAC that begins with this number.
    fn item(&self, tac: u64) -> Item {
        Item {
            key: tac + u64::from(self.serial),
            class: self.class,
            line: self.line,
        }
    }
}

impl Piece {
    /// Takes the TACs of another piece, whose arrays are put behind so many
    /// dense and hashed lines, and gives these arrays back.
    fn absorb(&mut self, other: Self, [dense, hashed]: [usize; 2]) -> Arrays {
        let (dense, hashed) = (dense as u32, hashed as u32);
        let chunks = self.chunks.len() as u32;
        let moved = other.entries.iter();
        let moved = moved.map(|entry| entry.moved(hashed, dense, chunks));
        self.entries.extend(moved);
        self.chunks.extend(other.chunks.iter().map(|chunk| Chunk {
            base: chunk.base + dense,
            ..*chunk
        }));
        self.exact.extend(other.exact);
        self.large.extend(other.large);
        self.by_bits.absorb(&other.by_bits);
        self.len += other.len;
        other.arrays
    }
}

/// How serial numbers are scattered over the lines of a hashed TAC.
fn mixes(seed: u64) -> [Mix<SERIAL_BITS>; MIXES] {
    core::array::from_fn(|number| Mix::new(Seeds::new(seed).nth(number as u64)))
}

/// How devices of TACs without structures are scattered at first.
fn rest_mix(seed: u64) -> Mix<47> {
    Mix::new(Seeds::new(seed).nth(0))
}

/// Room for the lines of so many devices.
fn room_for(devices: usize) -> Lines {
    Lines::with_room(devices.saturating_mul(REST_COST as usize) / Lines::LINE)
}

/// How many of these devices have classes that slots of so many lines have no
/// room for.
fn lost_in_slots(devices: &[Serial], lines: u64) -> u64 {
    let geometry = Geometry::<SERIAL_BITS>::new(lines);
    let bits = class_bits::<Slots16>(geometry.remainder_bits());
    count_beyond(devices, classes(bits.max(1)))
}

/// How many have a class above this one.
fn count_beyond(devices: &[Serial], class: u64) -> u64 {
    let beyond = devices.iter().filter(|own| u64::from(own.class) > class);
    beyond.count() as u64
}

/// How many lines with cells these devices have.
fn lines_of_cells(devices: &[Serial], cells: Cells) -> u64 {
    let (mut lines, mut last) = (0, u32::MAX);
    for device in devices {
        let (line, _) = cells.split(device.serial);
        lines += u64::from(line != last);
        last = line;
    }
    lines
}

/// The cells that cost the least: what they cost, they, and how many lines that
/// is; of the smallest ones these are known.
fn cheapest_cells(devices: &[Serial], smallest: u64) -> (u64, Cells, u64) {
    let kinds = Cells::ALL.into_iter().enumerate().map(|(number, cells)| {
        let lines = match number {
            0 => smallest,
            _ => lines_of_cells(devices, cells),
        };
        let lost = count_beyond(devices, classes(cells.bits()));
        (lines * LINE + lost * EXACT_COST, cells, lines)
    });
    let least = kinds.min_by_key(|cost| cost.0);
    least.unwrap_or((u64::MAX, Cells::ALL[0], 0))
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
