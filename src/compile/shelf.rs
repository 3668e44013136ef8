//! The arrays of pieces that are to be written to a file in the end: in memory,
//! and from the budget on in a file of their own until then.

use std::io;

use super::Budget;
use super::spill::Spill;
use crate::equipment::ARRAYS;
use crate::equipment::bulk::{Arrays, Item, Rest};
use crate::snapshot::Elsewhere;

/// Octets that are read at a time.
const BUFFER: usize = 1 << 20;

/// The arrays of all pieces, in their order.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// How much may be in memory.
    memory: u64,
    /// Where the rest goes.
    budget: Budget,
    /// The arrays of each piece.
    pieces: Vec<Place>,
    /// Octets of those in memory.
    octets: u64,
    /// Those in a file.
    spill: Option<Spill>,
    /// The lines for the places behind all of these.
    lines: Vec<u32>,
}

/// Where the arrays of a piece are.
#[derive(Debug)]
enum Place {
    /// In memory.
    Memory(Arrays),
    /// In the file: where each begins, and how long it is.
    File([(u64, usize); Arrays::COUNT]),
}

impl Shelf {
    /// Nothing yet; beside it, so many octets of the budget are used.
    pub(super) fn new(budget: &Budget, used: u64) -> Self {
        Self {
            memory: budget.memory.saturating_sub(used),
            budget: budget.clone(),
            pieces: Vec::new(),
            octets: 0,
            spill: None,
            lines: Vec::new(),
        }
    }

    /// Adds the lines for the places behind those of all arrays.
    pub(crate) fn finish(&mut self, lines: Vec<u32>) {
        self.lines = lines;
    }

    /// Keeps the arrays of the next piece.
    ///
    /// # Errors
    ///
    /// If they do not fit in memory, and the file cannot be written.
    pub(super) fn keep(&mut self, arrays: Arrays) -> Result<(), String> {
        let octets = arrays.octets().map(|octets| octets.len() as u64);
        let octets: u64 = octets.iter().sum();
        if self.octets + octets <= self.memory {
            self.octets += octets;
            self.pieces.push(Place::Memory(arrays));
            return Ok(());
        }
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::new(&self.budget.dir)?),
        };
        let mut places = [(0, 0); Arrays::COUNT];
        for (place, octets) in places.iter_mut().zip(arrays.octets()) {
            *place = (spill.append(octets)?, octets.len());
        }
        self.pieces.push(Place::File(places));
        Ok(())
    }

    /// Octets of one of the arrays.
    fn length_of(&self, array: usize) -> u64 {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Place::Memory(arrays) => arrays.octets().get(array).map_or(0, |octets| octets.len()),
            Place::File(places) => places.get(array).map_or(0, |&(_, length)| length),
        });
        pieces.map(|length| length as u64).sum()
    }

    /// Gives one of the arrays to `take`, piece by piece.
    fn read_array(
        &self,
        array: usize,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        for piece in &self.pieces {
            match (piece, &self.spill) {
                (Place::Memory(arrays), _) => {
                    take(arrays.octets().get(array).copied().unwrap_or_default())?;
                }
                (Place::File(places), Some(spill)) => {
                    let (mut at, length) = places.get(array).copied().unwrap_or_default();
                    let end = at + length as u64;
                    while at < end {
                        let left = usize::try_from(end - at).unwrap_or(BUFFER);
                        buffer.resize(left.min(BUFFER), 0);
                        spill.read(&mut buffer, at).map_err(io::Error::other)?;
                        take(&buffer)?;
                        at += buffer.len() as u64;
                    }
                }
                // Nothing is in a file that is not there.
                (Place::File(_), None) => {}
            }
        }
        Ok(())
    }
}

/// The number of the array of the rest.
const REST: usize = Arrays::COUNT - 1;

impl Rest for Shelf {
    fn each(&self, take: &mut dyn FnMut(&[Item])) -> Result<(), String> {
        let mut aligned: Vec<Item> = Vec::new();
        let read = self.read_array(REST, &mut |octets| {
            match bytemuck::try_cast_slice(octets) {
                Ok(items) => take(items),
                Err(_) => {
                    // What was read from a file may stand anywhere in memory.
                    aligned.clear();
                    let items = octets.chunks_exact(size_of::<Item>());
                    aligned.extend(items.map(bytemuck::pod_read_unaligned::<Item>));
                    take(&aligned);
                }
            }
            Ok(())
        });
        read.map_err(|error| error.to_string())
    }
}

/// The arrays of a section.
fn arrays(section: &str) -> &'static [usize] {
    match ARRAYS.iter().position(|&name| name == section) {
        Some(0) => &[0],
        Some(1) => &[1],
        Some(_) => &[2, 3],
        None => &[],
    }
}

impl Elsewhere<io::Error> for Shelf {
    fn length(&self, section: &str) -> Option<u64> {
        let arrays = arrays(section);
        let pieces = arrays.iter().map(|&array| self.length_of(array));
        match arrays {
            [] => None,
            [_] => Some(pieces.sum()),
            _ => Some(pieces.sum::<u64>() + 4 * self.lines.len() as u64),
        }
    }

    fn read(&self, section: &str, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let arrays = arrays(section);
        for &array in arrays {
            self.read_array(array, take)?;
        }
        match arrays {
            [] | [_] => Ok(()),
            _ => take(bytemuck::cast_slice(&self.lines)),
        }
    }
}
