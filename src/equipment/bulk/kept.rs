//! The arrays of pieces, put together in memory.

use super::assembly::Assembled;
use crate::equipment::device_rules::DeviceRules;
use crate::equipment::devices::{Arrays, Lines};
use crate::equipment::stored::Octets;

/// Octets of lines that a device takes at most, for addresses to be set aside;
/// most take half of it.
const SIZE_MAX: usize = 6;

/// The arrays of the pieces of a register.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The dense lines.
    dense: Lines,
    /// The hashed lines.
    hashed: Lines,
    /// The lines of lists for places in the former, piece by piece.
    dense_lines: Vec<Vec<u32>>,
    /// The same of the latter.
    hashed_lines: Vec<Vec<u32>>,
}

impl Kept {
    /// Room for so many devices, which costs no memory before it is used.
    pub(crate) fn new(devices: u64) -> Self {
        let octets = usize::try_from(devices).unwrap_or(0);
        let room = octets.saturating_mul(SIZE_MAX) / Lines::LINE;
        Self {
            dense: Lines::with_room(room),
            hashed: Lines::with_room(room),
            dense_lines: Vec::new(),
            hashed_lines: Vec::new(),
        }
    }

    /// Keeps the arrays of the next piece.
    pub(crate) fn keep(&mut self, arrays: Arrays) {
        self.dense.append(&arrays.dense);
        self.hashed.append(&arrays.hashed);
        self.dense_lines.push(arrays.dense_lines);
        self.hashed_lines.push(arrays.hashed_lines);
    }

    /// The rules with them.
    pub(crate) fn fill(mut self, assembled: Assembled, keeps_lines: bool) -> DeviceRules {
        let Assembled {
            mut rules, lines, ..
        } = assembled;
        self.dense.shrink();
        self.hashed.shrink();
        let lines = keeps_lines.then(|| {
            let pieces = self.dense_lines.into_iter().chain(self.hashed_lines);
            let pieces: Vec<Vec<u32>> = pieces.chain([lines]).collect();
            let count: usize = pieces.iter().map(Vec::len).sum();
            let mut all = Octets::zeroed(count * size_of::<u32>());
            let mut at = 0;
            // Each goes when it has been copied.
            for piece in pieces {
                let own: &[u8] = bytemuck::cast_slice(&piece);
                let place = at..at + own.len();
                at = place.end;
                if let Some(place) = all.as_mut_slice().get_mut(place) {
                    place.copy_from_slice(own);
                }
            }
            all
        });
        rules.fill(self.dense, self.hashed, lines);
        rules
    }
}
