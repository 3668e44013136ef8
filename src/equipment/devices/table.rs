//! The map as a whole: how it is looked at, and how it is built.

use super::directory::{Directory, Entry, Extent};
use super::exact::Exact;
use super::line::{Layout, Line, Slots16, Slots24, Slots32, Slots64};
use super::mix::Mix;
use super::quotient::{self, Found, Geometry, Table, classes};

/// Serial numbers of a TAC.
const SERIALS: u64 = 1_000_000;

/// Bits of a serial number.
const SERIAL_BITS: u32 = 20;

/// Serial numbers of a line of cells.
const CELLS: u64 = 256;

/// Lines of a chunk.
const CHUNK_LINES: u64 = 16;

/// How many devices a hashed line is meant to have: with 25 of 31 slots one
/// line in ten overflows, and one device in eighty.
const HASHED_FILL: u64 = 25;

/// The fewest lines of a hashed TAC: with less, a slot has no room for two
/// classes.
const HASHED_MIN: u64 = 64;

/// Octets that a device costs in the exact table.
const EXACT_COST: u64 = 11;

/// Where a dense TAC's lines stand: of 4096 serial numbers those 256 that have
/// a line, one behind the other.
#[derive(Clone, Copy, Debug, Default)]
struct Chunk {
    /// The first of them.
    base: u32,
    /// Which have a line.
    present: u32,
}

/// A compact, exact map from devices to classes.
#[derive(Clone, Debug)]
pub struct Devices {
    /// TACs with structures of their own.
    directory: Directory,
    /// Where the lines of dense TACs are.
    chunks: Box<[Chunk]>,
    /// The lines of dense TACs.
    dense: Box<[Line]>,
    /// The lines of hashed TACs.
    hashed: Box<[Line]>,
    /// How serial numbers are scattered over the lines of a hashed TAC.
    mix: Mix<SERIAL_BITS>,
    /// The devices of all other TACs.
    rest: Rest,
    /// What has no room elsewhere.
    exact: Exact,
    /// How many devices there are.
    len: usize,
}

/// The devices of TACs without a structure of their own.
#[derive(Clone, Debug)]
enum Rest {
    /// None.
    Empty,
    /// In slots of 24 bits.
    Slots24(Table<Slots24>),
    /// In slots of 32 bits.
    Slots32(Table<Slots32>),
    /// In slots of 64 bits.
    Slots64(Table<Slots64>),
}

/// A lookup whose line is known and on its way.
#[derive(Clone, Copy, Debug)]
enum Probe<'a> {
    /// It is not there.
    Absent,
    /// A cell of a line.
    Cell(&'a Line, u8),
    /// A remainder and the bits of its class.
    Slot(&'a Line, u32, u32),
    /// A remainder.
    Rest(&'a Line, u64),
}

impl Devices {
    /// The class of a device, by its number.
    #[inline]
    #[must_use]
    pub fn find(&self, device: u64) -> Option<u32> {
        let probe = self.probe(device);
        self.resolve(device, probe)
    }

    /// Where a device stands, as a number below [`places`](Self::places): for
    /// what is kept of each device beside its class.
    #[must_use]
    pub fn place(&self, device: u64) -> Option<usize> {
        let cells = self.dense.len() * CELLS as usize;
        let slots = self.hashed.len() * Slots16::SLOTS;
        let rest = self.rest_slots();
        // Whose class is elsewhere has its place there, as it need not have
        // one here.
        let elsewhere = |device| Some(cells + slots + rest + self.exact.slot(device)?);
        match self.probe(device) {
            Probe::Absent => None,
            Probe::Cell(line, cell) => match line.cell(cell) {
                0 => None,
                ELSEWHERE => elsewhere(device),
                _ => Some(place_in(&self.dense, line)? * CELLS as usize + usize::from(cell)),
            },
            Probe::Slot(line, remainder, bits) => {
                let remainder = u64::from(remainder);
                match quotient::find::<Slots16>(line, remainder, bits) {
                    Found::Absent => None,
                    Found::Elsewhere => elsewhere(device),
                    Found::Class(_) => {
                        let slot = quotient::slot::<Slots16>(line, remainder, bits)?;
                        Some(cells + place_in(&self.hashed, line)? * Slots16::SLOTS + slot)
                    }
                }
            }
            probe @ Probe::Rest(..) => match self.look(probe) {
                Found::Absent => None,
                Found::Elsewhere => elsewhere(device),
                Found::Class(_) => {
                    let slot = match &self.rest {
                        Rest::Empty => None,
                        Rest::Slots24(table) => table.slot(device),
                        Rest::Slots32(table) => table.slot(device),
                        Rest::Slots64(table) => table.slot(device),
                    };
                    Some(cells + slots + slot?)
                }
            },
        }
    }

    /// How many places there are; some are empty.
    #[must_use]
    pub fn places(&self) -> usize {
        self.dense.len() * CELLS as usize
            + self.hashed.len() * Slots16::SLOTS
            + self.rest_slots()
            + self.exact.slots()
    }

    /// How many slots the table of the rest has.
    fn rest_slots(&self) -> usize {
        match &self.rest {
            Rest::Empty => 0,
            Rest::Slots24(table) => table.slots(),
            Rest::Slots32(table) => table.slots(),
            Rest::Slots64(table) => table.slots(),
        }
    }

    /// All devices with their classes, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        let tacs = self.directory.entries().flat_map(|entry| {
            let tac = u64::from(entry.tac()) * SERIALS;
            let serials: Box<dyn Iterator<Item = (u64, u32)> + '_> = match entry.extent() {
                Extent::Hashed(lines) => Box::new(self.hashed_serials(entry.base, lines)),
                Extent::Dense(first, count) => {
                    Box::new(self.dense_serials(entry.base, first, count))
                }
            };
            serials.map(move |(serial, class)| (tac + serial, class))
        });
        let rest: Box<dyn Iterator<Item = (u64, Option<u32>)> + '_> = match &self.rest {
            Rest::Empty => Box::new(core::iter::empty()),
            Rest::Slots24(table) => Box::new(table.entries()),
            Rest::Slots32(table) => Box::new(table.entries()),
            Rest::Slots64(table) => Box::new(table.entries()),
        };
        let rest = rest.filter_map(|(device, class)| Some((device, class?)));
        tacs.chain(rest).chain(self.exact.entries())
    }

    /// The serial numbers of a hashed TAC whose classes stand there.
    fn hashed_serials(&self, base: u32, lines: u32) -> impl Iterator<Item = (u64, u32)> {
        let geometry = Geometry::<SERIAL_BITS>::new(u64::from(lines));
        let bits = Slots16::BITS.saturating_sub(geometry.remainder_bits());
        let lines = self.hashed.iter().skip(base as usize).take(lines as usize);
        (0u64..).zip(lines).flat_map(move |(number, line)| {
            quotient::contents::<Slots16>(line, bits).filter_map(move |(remainder, class)| {
                let mixed = geometry.unplace(number, remainder);
                Some((self.mix.invert(mixed), class?))
            })
        })
    }

    /// The serial numbers of a dense TAC whose classes stand there.
    fn dense_serials(&self, base: u32, first: u32, count: u32) -> impl Iterator<Item = (u64, u32)> {
        let chunks = self.chunks.iter().skip(base as usize).take(count as usize);
        (u64::from(first)..)
            .zip(chunks)
            .flat_map(move |(number, chunk)| {
                let present = (0..CHUNK_LINES).filter(|line| chunk.present >> line & 1 == 1);
                let lines = self.dense.iter().skip(chunk.base as usize);
                present.zip(lines).flat_map(move |(place, line)| {
                    (0..=u8::MAX).filter_map(move |cell| match line.cell(cell) {
                        0 | ELSEWHERE => None,
                        class => {
                            let block = number * CHUNK_LINES + place;
                            Some((block * CELLS + u64::from(cell), class as u32))
                        }
                    })
                })
            })
    }

    /// The classes of many devices: while one line comes from memory, the next
    /// are asked for.
    pub fn find_batch(&self, devices: &[u64], mut found: impl FnMut(usize, Option<u32>)) {
        for (batch, devices) in devices.chunks(BATCH).enumerate() {
            if !self.directory.is_empty() {
                for &device in devices {
                    self.directory.prefetch((device / SERIALS) as u32);
                }
            }
            let mut probes = [Probe::Absent; BATCH];
            for (probe, &device) in probes.iter_mut().zip(devices) {
                *probe = self.probe(device);
                probe.prefetch();
            }
            for (place, (&probe, &device)) in probes.iter().zip(devices).enumerate() {
                found(batch * BATCH + place, self.resolve(device, probe));
            }
        }
    }

    /// The line of a device.
    #[inline]
    fn probe(&self, device: u64) -> Probe<'_> {
        if !self.directory.is_empty() {
            let (tac, serial) = ((device / SERIALS) as u32, device % SERIALS);
            if let Some(entry) = self.directory.find(tac) {
                return self.probe_tac(entry, serial);
            }
        }
        let located = match &self.rest {
            Rest::Empty => None,
            Rest::Slots24(table) => table.locate(device),
            Rest::Slots32(table) => table.locate(device),
            Rest::Slots64(table) => table.locate(device),
        };
        located.map_or(Probe::Absent, |(line, remainder)| {
            Probe::Rest(line, remainder)
        })
    }

    /// The line of a device whose TAC has a structure of its own.
    #[inline]
    fn probe_tac(&self, entry: Entry, serial: u64) -> Probe<'_> {
        match entry.extent() {
            Extent::Hashed(lines) => {
                let geometry = Geometry::<SERIAL_BITS>::new(u64::from(lines));
                let (line, remainder) = geometry.place(self.mix.apply(serial));
                match self.hashed.get(entry.base as usize + line as usize) {
                    Some(line) => {
                        let bits = Slots16::BITS.saturating_sub(geometry.remainder_bits());
                        Probe::Slot(line, remainder as u32, bits)
                    }
                    None => Probe::Absent,
                }
            }
            Extent::Dense(first, count) => {
                let block = (serial / CELLS) as u32;
                let chunk = (block / CHUNK_LINES as u32).wrapping_sub(first);
                if chunk >= count {
                    return Probe::Absent;
                }
                let Some(chunk) = self.chunks.get(entry.base as usize + chunk as usize) else {
                    return Probe::Absent;
                };
                let bit = 1 << (block % CHUNK_LINES as u32);
                if chunk.present & bit == 0 {
                    return Probe::Absent;
                }
                let before = (chunk.present & (bit - 1)).count_ones();
                match self.dense.get(chunk.base as usize + before as usize) {
                    Some(line) => Probe::Cell(line, (serial % CELLS) as u8),
                    None => Probe::Absent,
                }
            }
        }
    }

    /// What the line says.
    #[inline]
    fn look(&self, probe: Probe<'_>) -> Found {
        match probe {
            Probe::Absent => Found::Absent,
            Probe::Cell(line, cell) => match line.cell(cell) {
                0 => Found::Absent,
                ELSEWHERE => Found::Elsewhere,
                class => Found::Class(class as u32),
            },
            Probe::Slot(line, remainder, bits) => {
                quotient::find::<Slots16>(line, u64::from(remainder), bits)
            }
            Probe::Rest(line, remainder) => match &self.rest {
                Rest::Empty => Found::Absent,
                Rest::Slots24(table) => table.find_in(line, remainder),
                Rest::Slots32(table) => table.find_in(line, remainder),
                Rest::Slots64(table) => table.find_in(line, remainder),
            },
        }
    }

    /// What the line says, and the exact table where the line does not know.
    #[inline]
    fn resolve(&self, device: u64, probe: Probe<'_>) -> Option<u32> {
        match self.look(probe) {
            Found::Absent => None,
            Found::Class(class) => Some(class),
            Found::Elsewhere => self.exact.find(device),
        }
    }

    /// How many devices there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it is made of, and how large that is.
    #[must_use]
    pub fn size(&self) -> Size {
        let rest = match &self.rest {
            Rest::Empty => 0,
            Rest::Slots24(table) => table.size(),
            Rest::Slots32(table) => table.size(),
            Rest::Slots64(table) => table.size(),
        };
        Size {
            directory: self.directory.size() + size_of_val::<[Chunk]>(&self.chunks),
            dense: size_of_val::<[Line]>(&self.dense),
            hashed: size_of_val::<[Line]>(&self.hashed),
            rest,
            exact: self.exact.size(),
            exact_devices: self.exact.len(),
        }
    }
}

/// Which of the lines a line is.
fn place_in(lines: &[Line], line: &Line) -> Option<usize> {
    let distance = (core::ptr::from_ref(line) as usize).checked_sub(lines.as_ptr() as usize)?;
    Some(distance / size_of::<Line>())
}

impl Default for Devices {
    fn default() -> Self {
        DevicesBuilder::new(0).finish()
    }
}

/// The octets of each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Of the TAC directory.
    pub directory: usize,
    /// Of dense TACs.
    pub dense: usize,
    /// Of hashed TACs.
    pub hashed: usize,
    /// Of the others.
    pub rest: usize,
    /// Of the exact table.
    pub exact: usize,
    /// Devices in the exact table.
    pub exact_devices: usize,
}

impl Size {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.directory + self.dense + self.hashed + self.rest + self.exact
    }
}

impl Probe<'_> {
    /// Has the line fetched.
    #[inline]
    fn prefetch(self) {
        match self {
            Self::Absent => {}
            Self::Cell(line, _) | Self::Slot(line, ..) | Self::Rest(line, _) => line.prefetch(),
        }
    }
}

/// Lookups that are under way at once: more than a processor has fetches
/// outstanding, and few enough for its first cache.
pub const BATCH: usize = 32;

/// The content of a cell whose class stands in the exact table.
const ELSEWHERE: u64 = 3;

//----------- DevicesBuilder --------------------------------------------------

/// Collects [`Devices`], which come in ascending order.
#[derive(Debug)]
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
    dense: Vec<Line>,
    /// As of [`Devices`].
    hashed: Vec<Line>,
    /// As of [`Devices`].
    mix: Mix<SERIAL_BITS>,
    /// The devices of TACs without structures.
    rest: Vec<(u64, u32)>,
    /// What has no room elsewhere.
    exact: Vec<(u64, u32)>,
    /// How many devices there are.
    len: usize,
}

impl DevicesBuilder {
    /// A builder without devices.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            tac: Vec::new(),
            current: 0,
            entries: Vec::new(),
            chunks: Vec::new(),
            dense: Vec::new(),
            hashed: Vec::new(),
            mix: Mix::new(seed),
            rest: Vec::new(),
            exact: Vec::new(),
            len: 0,
        }
    }

    /// Adds a device with its class, from 1; devices come in ascending order,
    /// each once.
    pub fn push(&mut self, device: u64, class: u32) {
        let (tac, serial) = ((device / SERIALS) as u32, (device % SERIALS) as u32);
        if tac != self.current {
            self.finish_tac();
            self.current = tac;
        }
        self.tac.push((serial, class));
        self.len += 1;
    }

    /// Chooses a structure for the present TAC.
    fn finish_tac(&mut self) {
        let devices = core::mem::take(&mut self.tac);
        let count = devices.len() as u64;
        let mut blocks = 0;
        let mut last = None;
        let mut elsewhere = [0u64; 5];
        for &(serial, class) in &devices {
            let block = u64::from(serial) / CELLS;
            if last != Some(block) {
                blocks += 1;
                last = Some(block);
            }
            for (bits, elsewhere) in (0..).zip(&mut elsewhere) {
                *elsewhere += u64::from(u64::from(class) > classes(bits.max(1)));
            }
        }
        let lines = count.div_ceil(HASHED_FILL);
        let hashed_bits =
            Slots16::BITS.saturating_sub(Geometry::<SERIAL_BITS>::new(lines).remainder_bits());
        let lost = |bits: u32| {
            elsewhere
                .get(bits as usize)
                .map_or(0, |lost| lost * EXACT_COST)
        };
        let dense = blocks * 64 + lost(2);
        let hashed = match lines >= HASHED_MIN {
            true => lines * 64 + lost(hashed_bits.min(4)),
            false => u64::MAX,
        };
        // What a device costs in the table of the rest depends on them all;
        // this is near enough to choose.
        let rest = count * 5;
        if dense <= hashed && dense <= rest {
            self.finish_dense(&devices);
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

    /// Lays the present TAC out in cells.
    fn finish_dense(&mut self, devices: &[(u32, u32)]) {
        let chunk_of = |&(serial, _): &(u32, u32)| serial / (CELLS * CHUNK_LINES) as u32;
        let (Some(first), Some(last)) = (devices.first(), devices.last()) else {
            return;
        };
        let (first, last) = (chunk_of(first), chunk_of(last));
        let extent = Extent::Dense(first, last - first + 1);
        let base = self.chunks.len();
        self.entries
            .push(Entry::new(self.current, base as u32, extent));
        self.chunks
            .resize(base + (last - first + 1) as usize, Chunk::default());
        let tac = u64::from(self.current) * SERIALS;
        for device in devices {
            let &(serial, class) = device;
            let chunk = &mut self.chunks[base + (chunk_of(device) - first) as usize];
            let bit = 1 << (serial / CELLS as u32 % CHUNK_LINES as u32);
            if chunk.present == 0 {
                chunk.base = self.dense.len() as u32;
            }
            if chunk.present & bit == 0 {
                chunk.present |= bit;
                self.dense.push(Line::default());
            }
            let cell = match u64::from(class) < ELSEWHERE {
                true => u64::from(class),
                false => {
                    self.exact.push((tac + u64::from(serial), class));
                    ELSEWHERE
                }
            };
            if let Some(line) = self.dense.last_mut() {
                line.set_cell((serial % CELLS as u32) as u8, cell);
            }
        }
    }

    /// Lays the present TAC out in slots.
    fn finish_hashed(&mut self, devices: &[(u32, u32)], lines: u64) {
        let geometry = Geometry::<SERIAL_BITS>::new(lines);
        let bits = Slots16::BITS - geometry.remainder_bits();
        let base = self.hashed.len();
        let extent = Extent::Hashed(lines as u32);
        self.entries
            .push(Entry::new(self.current, base as u32, extent));
        self.hashed.resize(base + lines as usize, Line::default());
        let tac = u64::from(self.current) * SERIALS;
        for &(serial, class) in devices {
            let (line, remainder) = geometry.place(self.mix.apply(u64::from(serial)));
            let line = &mut self.hashed[base + line as usize];
            if !quotient::insert::<Slots16>(line, remainder, class, bits) {
                self.exact.push((tac + u64::from(serial), class));
            }
        }
    }

    /// The map.
    #[must_use]
    pub fn finish(mut self) -> Devices {
        self.finish_tac();
        let rest = self.finish_rest();
        Devices {
            directory: Directory::build(&self.entries, self.seed),
            chunks: self.chunks.into_boxed_slice(),
            dense: self.dense.into_boxed_slice(),
            hashed: self.hashed.into_boxed_slice(),
            mix: self.mix,
            rest,
            exact: Exact::build(&self.exact, self.seed),
            len: self.len,
        }
    }

    /// The table of the rest, with the slots that cost the least.
    fn finish_rest(&mut self) -> Rest {
        let rest = core::mem::take(&mut self.rest);
        if rest.is_empty() {
            return Rest::Empty;
        }
        let mut elsewhere = [0u64; 18];
        for &(_, class) in &rest {
            for (bits, elsewhere) in (0..).zip(&mut elsewhere) {
                *elsewhere += u64::from(u64::from(class) > classes(u32::max(bits, 1)));
            }
        }
        let count = rest.len() as u64;
        let cost = |fill: (u64, u64), class_bits: fn(u64) -> u32| {
            let lines = (count * fill.1).div_ceil(fill.0).max(1);
            let bits = class_bits(lines);
            match bits {
                0 | 1 => (u64::MAX, lines),
                _ => {
                    let lost = elsewhere.get(bits as usize).copied().unwrap_or_default();
                    (lines * 64 + lost * EXACT_COST, lines)
                }
            }
        };
        let (cost24, lines24) = cost((168, 10), Table::<Slots24>::class_bits);
        let (cost32, lines32) = cost((1125, 100), Table::<Slots32>::class_bits);
        let (cost64, lines64) = cost((455, 100), Table::<Slots64>::class_bits);
        let (seed, exact) = (self.seed, &mut self.exact);
        if cost24 <= cost32 && cost24 <= cost64 {
            Rest::Slots24(Table::build(rest.into_iter(), lines24, seed, exact))
        } else if cost32 <= cost64 {
            Rest::Slots32(Table::build(rest.into_iter(), lines32, seed, exact))
        } else {
            Rest::Slots64(Table::build(rest.into_iter(), lines64, seed, exact))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

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
}
