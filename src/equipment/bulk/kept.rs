//! The arrays of pieces, put together in memory.

use super::assembly::Assembled;
use crate::equipment::device_rules::DeviceRules;
use crate::equipment::devices::{Arrays, Filled, Lines, Sketch};
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
    /// Those of the rest, if its table is kept here.
    rest: Option<Lines>,
    /// The lines of lists for places in the dense ones, piece by piece.
    dense_lines: Vec<Vec<u32>>,
    /// The same of the hashed ones.
    hashed_lines: Vec<Vec<u32>>,
    /// The same of those of the rest, bucket by bucket.
    rest_lines: Vec<Vec<u32>>,
}

impl Kept {
    /// Room for so many devices, which costs no memory before it is used.
    pub(crate) fn new(devices: u64) -> Self {
        let octets = usize::try_from(devices).unwrap_or(0);
        let room = octets.saturating_mul(SIZE_MAX) / Lines::LINE;
        Self {
            dense: Lines::with_room(room),
            hashed: Lines::with_room(room),
            rest: None,
            dense_lines: Vec::new(),
            hashed_lines: Vec::new(),
            rest_lines: Vec::new(),
        }
    }

    /// Keeps the arrays of the next piece, but for the rest.
    pub(crate) fn keep(&mut self, arrays: Arrays) {
        self.dense.append(&arrays.dense);
        self.hashed.append(&arrays.hashed);
        self.dense_lines.push(arrays.dense_lines);
        self.hashed_lines.push(arrays.hashed_lines);
    }

    /// Begins the table of the rest.
    pub(crate) fn begin_rest(&mut self, sketch: &Sketch) {
        self.rest = Some(Lines::with_room(sketch.lines()));
        self.rest_lines.clear();
    }

    /// Keeps what the next bucket has filled of it.
    pub(crate) fn keep_part(&mut self, filled: Filled) {
        self.rest.get_or_insert_default().append(&filled.lines);
        self.rest_lines.push(filled.list_lines);
    }

    /// What a bucket has filled.
    pub(crate) fn part(&self, bucket: usize, sketch: &Sketch) -> Filled {
        let lines = bucket * sketch.part()..(bucket + 1) * sketch.part();
        Filled {
            lines: (self.rest.as_ref().and_then(|rest| rest.get(lines)))
                .map_or_else(Vec::new, <[_]>::to_vec),
            list_lines: self.rest_lines.get(bucket).cloned().unwrap_or_default(),
            ..Filled::default()
        }
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
            let pieces = pieces.chain(self.rest_lines).chain([lines]);
            let pieces: Vec<Vec<u32>> = pieces.collect();
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
        rules.fill(self.dense, self.hashed, self.rest, lines);
        rules
    }
}
