//! Some TACs of a register, laid out: what stands in its arrays is large and may
//! be kept elsewhere, the rest is small.

use bytemuck::{Pod, Zeroable};

use super::super::entry::Entry;
use super::super::line::Line;
use super::super::pages::Lines;
use super::super::rest::{ByBits, Scattered};
use super::super::table::Chunk;

/// A device with a whole key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Item {
    /// Its number.
    pub(in crate::equipment::devices) key: u64,
    /// Its class.
    pub(in crate::equipment::devices) class: u32,
    /// The line of the list that it stands on.
    pub(in crate::equipment::devices) line: u32,
}

/// Some TACs, laid out.
#[derive(Debug, Default)]
pub(in crate::equipment) struct Piece {
    /// TACs with structures of their own.
    pub(super) entries: Vec<Entry>,
    /// As of [`Devices`](super::super::Devices).
    pub(super) chunks: Vec<Chunk>,
    /// What is large.
    pub(super) arrays: Arrays,
    /// What has no room elsewhere.
    pub(super) exact: Vec<Item>,
    /// Devices of TACs without structures whose classes do not fit in words.
    pub(super) large: Vec<Item>,
    /// How many devices of TACs without structures there are.
    pub(super) by_bits: ByBits,
    /// How many devices there are.
    pub(super) len: usize,
}

/// What is large of a piece: what stands in these arrays stands in the same
/// order in those of the whole.
#[derive(Debug, Default)]
pub(crate) struct Arrays {
    /// As of [`Devices`](super::super::Devices).
    pub(in crate::equipment) dense: Lines,
    /// As of [`Devices`](super::super::Devices).
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

impl Piece {
    /// Takes the TACs of another piece, whose arrays are put behind so many
    /// dense and hashed lines, and gives these arrays back.
    pub(super) fn absorb(&mut self, other: Self, [dense, hashed]: [usize; 2]) -> Arrays {
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
