//! One TAC: which structure costs the least for its devices, and these laid out
//! in it.

use super::super::directory::{self, HASHED_MIN};
use super::super::entry::{Dense, Entry, Extent};
use super::super::line::{Cells, Layout, Line, Slots16};
use super::super::pages::Lines;
use super::super::quotient::{self, Geometry, Inserted, class_bits, classes, overflow_limit};
use super::super::rest::{self, EXACT_COST, LARGE};
use super::super::table::{CELLS_MAX, CHUNK_LINES, Chunk, SERIAL_BITS, SERIALS};
use super::{DevicesBuilder, Piece, Scratch, Serial};

/// How many devices a hashed line is meant to have: with 24 of 31 slots one
/// line in fifteen overflows, and one device in a hundred and forty, whose lookup
/// costs a second line. Each device less saves memory for fewer of these.
const HASHED_FILL: u64 = 24;

/// Octets that a device costs in the table of the rest; it depends on them all,
/// but this is near enough to choose.
const REST_COST: u64 = 5;

/// One line of so many may be missing in a run that is laid out without gaps.
const GAPS_MAX: u64 = 32;

/// Octets of a line.
const LINE: u64 = size_of::<Line>() as u64;

impl DevicesBuilder {
    /// Chooses a structure for the present TAC.
    pub(super) fn finish_tac(&mut self) {
        let devices = core::mem::take(&mut self.scratch.tac);
        if devices.is_empty() {
            return;
        }
        let count = devices.len() as u64;
        let lines = lines_for(count);
        let hashed = match count.div_ceil(HASHED_FILL) >= u64::from(HASHED_MIN) {
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
}

/// Lines for so many devices in slots.
fn lines_for(count: u64) -> u64 {
    directory::round_up(count.div_ceil(HASHED_FILL))
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
    use super::*;

    /// Serial numbers that all have the same few lines with the first factors.
    #[test]
    fn serial_numbers_chosen_against_one_mix_do_not_hold_against_the_next() {
        let mut builder = DevicesBuilder::new(42);
        let count = 2000;
        let lines = lines_for(count as u64);
        let geometry = Geometry::<SERIAL_BITS>::new(lines);
        let first = builder.mixes[0];
        let crowded = |&serial: &u64| geometry.place(first.apply(serial)).0 < lines / 8;
        for serial in (0..SERIALS).filter(crowded).step_by(50).take(count) {
            builder.push(SERIALS + serial, 1);
        }
        let devices = builder.finish();
        assert_eq!(devices.len(), count);
        let extent = devices.directory.find(1).unwrap().extent().unwrap();
        assert!(matches!(extent, Extent::Hashed(own, 1..) if u64::from(own) == lines));
        assert!(devices.size().exact_devices < overflow_limit(count));
    }
}
