//! The map as a whole: how it is looked at.

use bytemuck::{Pod, Zeroable};

use super::directory::{Directory, Place};
use super::entry::{Dense, Extent};
use super::exact::Exact;
use super::line::{Cells, Layout, Line, Slots16, Slots24, Slots28, Slots32};
use super::mix::Mix;
use super::pages::Lines;
use super::quotient::{self, Found, Geometry, Table, class_bits};

/// Serial numbers of a TAC.
pub(super) const SERIALS: u64 = 1_000_000;

/// Bits of a serial number.
pub(super) const SERIAL_BITS: u32 = 20;

/// Lines of a chunk.
pub(super) const CHUNK_LINES: u64 = 16;

/// How many ways there are to scatter the serial numbers of a hashed TAC.
pub(super) const MIXES: usize = 16;

/// Where lines of a dense TAC stand: those of its next 16 that there are, one
/// behind the other.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Chunk {
    /// The first of them.
    pub(super) base: u32,
    /// Which there are.
    pub(super) present: u32,
}

/// A compact, exact map from devices to classes.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    /// TACs with structures of their own.
    pub(super) directory: Directory,
    /// Where the lines of dense TACs are.
    pub(super) chunks: Box<[Chunk]>,
    /// The lines of dense TACs.
    pub(super) dense: Lines,
    /// The lines of hashed TACs.
    pub(super) hashed: Lines,
    /// How serial numbers are scattered over the lines of a hashed TAC.
    pub(super) mixes: [Mix<SERIAL_BITS>; MIXES],
    /// The devices of all other TACs.
    pub(super) rest: Rest,
    /// What has no room elsewhere.
    pub(super) exact: Exact,
    /// How many devices there are.
    pub(super) len: usize,
}

/// The devices of TACs without a structure of their own.
#[derive(Clone, Debug, Default)]
pub(super) enum Rest {
    /// None.
    #[default]
    Empty,
    /// In words with whole keys.
    Words(Exact),
    /// In slots of 24 bits.
    Slots24(Table<Slots24>),
    /// In slots of 28 bits.
    Slots28(Table<Slots28>),
    /// In slots of 32 bits.
    Slots32(Table<Slots32>),
}

/// A line where nothing stands.
static EMPTY: Line = Line::EMPTY;

/// Where a device stands if it does.
#[derive(Clone, Copy, Debug)]
enum Spot<'a> {
    /// A cell of a line, and how that is cut.
    Cell(&'a Line, Cells, u8),
    /// A remainder in a line, and the bits of its class.
    Slot(&'a Line, u64, u32),
    /// A line of the rest, and the remainder in it if it has slots.
    Rest(&'a Line, u64),
}

impl Devices {
    /// Puts the arrays in whose lines the directory points to.
    pub(in crate::equipment) fn fill(&mut self, dense: Lines, hashed: Lines) {
        (self.dense, self.hashed) = (dense, hashed);
    }

    /// Puts the lines of the table of the rest in, if there is one.
    pub(in crate::equipment) fn fill_rest(&mut self, lines: Lines) {
        match &mut self.rest {
            Rest::Empty | Rest::Words(_) => {}
            Rest::Slots24(table) => table.fill(lines),
            Rest::Slots28(table) => table.fill(lines),
            Rest::Slots32(table) => table.fill(lines),
        }
    }

    //--- Lookups

    /// The class of a device, by its number.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, device: u64) -> Option<u32> {
        // Small registers are looked up on the spot: there instructions are
        // what counts, in large ones it is the memory.
        match &self.rest {
            Rest::Words(words) if self.directory.is_empty() => words.find(device),
            _ => self.find_in_all(device),
        }
    }

    /// The same, wherever devices stand.
    #[inline(never)]
    fn find_in_all(&self, device: u64) -> Option<u32> {
        self.look(device, self.locate(device))
    }

    /// Where a device stands if it does.
    #[inline(always)]
    fn locate(&self, device: u64) -> Spot<'_> {
        let spot = self
            .entry(device)
            .and_then(|place| self.spot(place, device % SERIALS));
        match spot {
            Some(spot) => spot,
            None => self.spot_in_rest(device),
        }
    }

    /// What stands there of a device, and where that is not known, what the
    /// exact table says.
    #[inline(always)]
    fn look(&self, device: u64, spot: Spot<'_>) -> Option<u32> {
        match self.found(device, spot) {
            Found::Absent => None,
            Found::Class(class) => Some(class),
            Found::Elsewhere => self.exact.find(device),
        }
    }

    /// What stands there of a device.
    #[inline(always)]
    fn found(&self, device: u64, spot: Spot<'_>) -> Found {
        match spot {
            Spot::Cell(line, cells, cell) => look_in_cell(line, cells, cell),
            Spot::Slot(line, remainder, bits) => quotient::find::<Slots16>(line, remainder, bits),
            Spot::Rest(line, remainder) => match &self.rest {
                Rest::Empty => Found::Absent,
                Rest::Words(words) => words.find(device).map_or(Found::Absent, Found::Class),
                Rest::Slots24(table) => table.look(line, remainder),
                Rest::Slots28(table) => table.look(line, remainder),
                Rest::Slots32(table) => table.look(line, remainder),
            },
        }
    }

    /// Where a device stands whose TAC has no structure of its own.
    #[inline(always)]
    fn spot_in_rest(&self, device: u64) -> Spot<'_> {
        let (line, remainder) = match &self.rest {
            Rest::Empty => (&EMPTY, 0),
            Rest::Words(words) => (words.line(device).unwrap_or(&EMPTY), 0),
            Rest::Slots24(table) => table.locate(device).unwrap_or((&EMPTY, 0)),
            Rest::Slots28(table) => table.locate(device).unwrap_or((&EMPTY, 0)),
            Rest::Slots32(table) => table.locate(device).unwrap_or((&EMPTY, 0)),
        };
        Spot::Rest(line, remainder)
    }

    /// Where the structure of the TAC of a device is, if it has one.
    #[inline(always)]
    fn entry(&self, device: u64) -> Option<Place> {
        match self.directory.is_empty() {
            true => None,
            false => self.directory.find(tac(device)),
        }
    }

    /// Where a device stands whose TAC has a structure of its own.
    ///
    /// Whether a dense TAC has a line for it is not decided by a branch, which
    /// nobody could predict.
    #[inline(always)]
    fn spot(&self, place: Place, serial: u64) -> Option<Spot<'_>> {
        let base = place.base as usize;
        let spot = match place.extent()? {
            Extent::Hashed(lines, mix) => {
                let geometry = Geometry::<SERIAL_BITS>::new(u64::from(lines));
                let mix = self.mixes[mix as usize % MIXES];
                let (line, remainder) = geometry.place(mix.apply(serial));
                let line = self.hashed.get(base + line as usize);
                let bits = class_bits::<Slots16>(geometry.remainder_bits());
                Spot::Slot(line.unwrap_or(&EMPTY), remainder, bits)
            }
            Extent::Solid(dense) => {
                let Dense {
                    first,
                    count,
                    cells,
                } = dense;
                let (line, cell) = cells.split(serial as u32);
                let line = line.wrapping_sub(first);
                let line = match line < count {
                    true => base + line as usize,
                    false => usize::MAX,
                };
                let line = self.dense.get(line).unwrap_or(&EMPTY);
                Spot::Cell(line, cells, cell)
            }
            Extent::Chunked(dense) => {
                let Dense {
                    first,
                    count,
                    cells,
                } = dense;
                let (block, cell) = cells.split(serial as u32);
                let chunk = (block / CHUNK_LINES as u32).wrapping_sub(first);
                let chunk = match chunk < count {
                    true => self.chunks.get(base + chunk as usize),
                    false => None,
                };
                let chunk = chunk.copied().unwrap_or_default();
                let bit = 1 << (block % CHUNK_LINES as u32);
                let before = (chunk.present & (bit - 1)).count_ones();
                let line = match chunk.present & bit {
                    0 => usize::MAX,
                    _ => chunk.base as usize + before as usize,
                };
                let line = self.dense.get(line).unwrap_or(&EMPTY);
                Spot::Cell(line, cells, cell)
            }
        };
        Some(spot)
    }

    //--- Batches

    /// Has the memory fetched that the lookups of these devices begin with:
    /// while one line is under way, the next are asked for. Changes nothing but
    /// the time that the lookups take.
    ///
    /// It pays from two devices on; of more than [`BATCH`] at once the first may
    /// be gone again before they are looked up.
    #[inline]
    pub fn prefetch(&self, devices: impl Iterator<Item = u64> + Clone) {
        if self.directory.is_large() {
            for device in devices.clone() {
                self.directory.prefetch(tac(device));
            }
        }
        for device in devices {
            self.locate(device).prefetch();
        }
    }

    /// The classes of many devices, with the place of each among them. As
    /// [`prefetch`](Self::prefetch) and then one after the other, but what the
    /// first has found out of a device's TAC the second need not, and of more
    /// than [`BATCH`] devices the next ones are fetched while some are looked
    /// at.
    #[inline]
    pub fn find_batch(&self, devices: &[u64], mut found: impl FnMut(usize, Option<u32>)) {
        let (first, rest) = devices.split_at(devices.len().min(BATCH));
        self.prefetch_tacs(first);
        let mut spots = [Spot::Rest(&EMPTY, 0); BATCH];
        for (spot, &device) in spots.iter_mut().zip(first) {
            *spot = self.locate(device);
            spot.prefetch();
        }
        let mut number = 0;
        let mut batch = first;
        for next in rest.chunks(BATCH) {
            self.prefetch_tacs(next);
            // One is looked at, another one is asked for: so the memory is
            // never idle, nor is it waited for.
            for ((spot, &device), &next) in spots.iter_mut().zip(batch).zip(next) {
                found(number, self.look(device, *spot));
                number += 1;
                *spot = self.locate(next);
                spot.prefetch();
            }
            let left = batch.get(next.len()..).unwrap_or_default();
            for (spot, &device) in spots.iter().skip(next.len()).zip(left) {
                found(number, self.look(device, *spot));
                number += 1;
            }
            batch = next;
        }
        for (spot, &device) in spots.iter().zip(batch) {
            found(number, self.look(device, *spot));
            number += 1;
        }
    }

    /// Has the entries of the TACs of devices fetched.
    #[inline]
    fn prefetch_tacs(&self, devices: &[u64]) {
        if self.directory.is_large() {
            for &device in devices {
                self.directory.prefetch(tac(device));
            }
        }
    }

    //--- Places

    /// Where a device stands, as a number below [`places`](Self::places): for
    /// what is kept of each device beside its class.
    #[must_use]
    pub fn place(&self, device: u64) -> Option<usize> {
        let cells = self.dense.len() * CELLS_MAX;
        let slots = cells + self.hashed.len() * Slots16::SLOTS;
        let spot = self.locate(device);
        let place = match spot {
            Spot::Cell(line, _, cell) => {
                place_in(&self.dense, line).map(|line| line * CELLS_MAX + usize::from(cell))
            }
            Spot::Slot(line, remainder, bits) => place_in(&self.hashed, line)
                .zip(quotient::slot::<Slots16>(line, remainder, bits))
                .map(|(line, slot)| cells + line * Slots16::SLOTS + slot),
            Spot::Rest(..) => self.rest_slot(device).map(|slot| slots + slot),
        };
        match self.found(device, spot) {
            Found::Absent => None,
            Found::Class(_) => place,
            // Whose class is elsewhere has its place there, as it need not have
            // one here.
            Found::Elsewhere => Some(slots + self.rest_slots() + self.exact.slot(device)?),
        }
    }

    /// How many places there are; some are empty.
    #[must_use]
    pub fn places(&self) -> usize {
        self.dense.len() * CELLS_MAX
            + self.hashed.len() * Slots16::SLOTS
            + self.rest_slots()
            + self.exact.slots()
    }

    /// The slot of a device in the table of the rest, if it has one.
    fn rest_slot(&self, device: u64) -> Option<usize> {
        match &self.rest {
            Rest::Empty => None,
            Rest::Words(words) => words.slot(device),
            Rest::Slots24(table) => table.slot(device),
            Rest::Slots28(table) => table.slot(device),
            Rest::Slots32(table) => table.slot(device),
        }
    }

    /// How many slots the table of the rest has.
    fn rest_slots(&self) -> usize {
        match &self.rest {
            Rest::Empty => 0,
            Rest::Words(words) => words.slots(),
            Rest::Slots24(table) => table.slots(),
            Rest::Slots28(table) => table.slots(),
            Rest::Slots32(table) => table.slots(),
        }
    }

    //--- Everything

    /// All devices with their classes, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        let tacs = self.directory.entries().flat_map(|entry| {
            let tac = u64::from(entry.tac) * SERIALS;
            let serials: Box<dyn Iterator<Item = (u64, u32)> + '_> = match entry.extent() {
                Extent::Hashed(lines, mix) => Box::new(self.hashed_serials(entry.base, lines, mix)),
                Extent::Solid(dense) => Box::new(self.solid_serials(entry.base, dense)),
                Extent::Chunked(dense) => Box::new(self.chunked_serials(entry.base, dense)),
            };
            serials.map(move |(serial, class)| (tac + serial, class))
        });
        let rest: Box<dyn Iterator<Item = (u64, Option<u32>)> + '_> = match &self.rest {
            Rest::Empty => Box::new(core::iter::empty()),
            Rest::Words(words) => Box::new(words.entries().map(|(key, class)| (key, Some(class)))),
            Rest::Slots24(table) => Box::new(table.entries()),
            Rest::Slots28(table) => Box::new(table.entries()),
            Rest::Slots32(table) => Box::new(table.entries()),
        };
        let rest = rest.filter_map(|(device, class)| Some((device, class?)));
        tacs.chain(rest).chain(self.exact.entries())
    }

    /// The serial numbers of a hashed TAC whose classes stand there.
    fn hashed_serials(&self, base: u32, lines: u32, mix: u32) -> impl Iterator<Item = (u64, u32)> {
        let geometry = Geometry::<SERIAL_BITS>::new(u64::from(lines));
        let bits = class_bits::<Slots16>(geometry.remainder_bits());
        let mix = self.mixes.get(mix as usize).copied().unwrap_or_default();
        let lines = self.hashed.iter().skip(base as usize).take(lines as usize);
        (0u64..).zip(lines).flat_map(move |(number, line)| {
            quotient::contents::<Slots16>(line, bits).filter_map(move |(remainder, class)| {
                Some((mix.invert(geometry.unplace(number, remainder)), class?))
            })
        })
    }

    /// The serial numbers of a dense TAC without gaps whose classes stand there.
    fn solid_serials(&self, base: u32, dense: Dense) -> impl Iterator<Item = (u64, u32)> {
        let Dense {
            first,
            count,
            cells,
        } = dense;
        let lines = self.dense.iter().skip(base as usize).take(count as usize);
        (u64::from(first)..)
            .zip(lines)
            .flat_map(move |(number, line)| cell_serials(number, line, cells))
    }

    /// The same of one with chunks.
    fn chunked_serials(&self, base: u32, dense: Dense) -> impl Iterator<Item = (u64, u32)> {
        let Dense {
            first,
            count,
            cells,
        } = dense;
        let chunks = self.chunks.iter().skip(base as usize).take(count as usize);
        (u64::from(first)..)
            .zip(chunks)
            .flat_map(move |(number, chunk)| {
                let present = (0..CHUNK_LINES).filter(|line| chunk.present >> line & 1 == 1);
                let lines = self.dense.iter().skip(chunk.base as usize);
                present.zip(lines).flat_map(move |(place, line)| {
                    cell_serials(number * CHUNK_LINES + place, line, cells)
                })
            })
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
            Rest::Words(words) => words.size(),
            Rest::Slots24(table) => table.size(),
            Rest::Slots28(table) => table.size(),
            Rest::Slots32(table) => table.size(),
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

impl Spot<'_> {
    /// Has the line fetched.
    #[inline]
    fn prefetch(self) {
        let (Self::Cell(line, ..) | Self::Slot(line, ..) | Self::Rest(line, ..)) = self;
        line.prefetch();
    }
}

/// What a cell of a line holds.
#[inline]
fn look_in_cell(line: &Line, cells: Cells, cell: u8) -> Found {
    match line.cell(cells, cell) {
        0 => Found::Absent,
        class if class > quotient::classes(cells.bits()) => Found::Elsewhere,
        class => Found::Class(class as u32),
    }
}

/// The serial numbers of one line of cells whose classes stand there.
fn cell_serials(number: u64, line: &Line, cells: Cells) -> impl Iterator<Item = (u64, u32)> {
    (0..cells.count()).filter_map(move |cell| {
        let serial = number * u64::from(cells.count()) + u64::from(cell);
        match look_in_cell(line, cells, cell as u8) {
            Found::Class(class) => Some((serial, class)),
            Found::Absent | Found::Elsewhere => None,
        }
    })
}

/// The TAC of a device.
#[inline]
fn tac(device: u64) -> u32 {
    (device / SERIALS) as u32
}

/// Which of the lines a line is.
fn place_in(lines: &[Line], line: &Line) -> Option<usize> {
    let distance = (core::ptr::from_ref(line) as usize).checked_sub(lines.as_ptr() as usize)?;
    Some(distance / size_of::<Line>())
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

/// Lookups that are under way at once: more than a processor has fetches
/// outstanding, and few enough for its first cache.
pub const BATCH: usize = 32;

/// Cells of a line of the smallest ones.
pub(super) const CELLS_MAX: usize = 256;
