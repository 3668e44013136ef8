//! Where the devices of a TAC stand.

use super::line::Cells;

/// Where the devices of a TAC stand, while a directory is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The TAC.
    pub(super) tac: u32,
    /// The first line or chunk.
    pub(super) base: u32,
    /// How many lines or chunks.
    count: u32,
    /// What it is of, in the low three bits, and above them which mix or which
    /// line or chunk is the first.
    kind: u32,
}

/// What an entry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Lines from the base: how many, as [`round_up`](super::directory::round_up) gives them, and the
    /// number of the mix.
    Hashed(u32, u32),
    /// Lines of cells from the base, without gaps.
    Solid(Dense),
    /// Chunks from the base, each of some lines of cells.
    Chunked(Dense),
}

/// The lines or chunks of a dense TAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dense {
    /// The number of the first that there is.
    pub(super) first: u32,
    /// How many there are.
    pub(super) count: u32,
    /// How their lines are cut.
    pub(super) cells: Cells,
}

/// The kind of a hashed TAC; of dense ones it is the bits of their cells less
/// one.
const HASHED: u32 = 0;
/// With it in its kind, a dense TAC has chunks.
pub(super) const CHUNKED: u32 = 4;
/// Bits of a kind.
const KIND_BITS: u32 = 3;

impl Entry {
    /// The entry of a TAC.
    pub(super) fn new(tac: u32, base: u32, extent: Extent) -> Self {
        let cells = |dense: Dense| dense.first << KIND_BITS | (dense.cells.bits() - 1);
        let (count, kind) = match extent {
            Extent::Hashed(lines, mix) => (lines, mix << KIND_BITS | HASHED),
            Extent::Solid(dense) => (dense.count, cells(dense)),
            Extent::Chunked(dense) => (dense.count, cells(dense) | CHUNKED),
        };
        Self {
            tac,
            base,
            count,
            kind,
        }
    }

    /// What it is of.
    pub(super) fn extent(self) -> Extent {
        let first = self.kind >> KIND_BITS;
        let bits = self.kind & (CHUNKED - 1);
        if bits == HASHED {
            return Extent::Hashed(self.count, first);
        }
        let dense = Dense {
            first,
            count: self.count,
            cells: Cells::new(bits + 1),
        };
        match self.kind & CHUNKED {
            0 => Extent::Solid(dense),
            _ => Extent::Chunked(dense),
        }
    }

    /// The same with all hashed lines, dense lines and chunks so much further on.
    pub(super) fn moved(self, hashed: u32, dense: u32, chunks: u32) -> Self {
        let by = match self.extent() {
            Extent::Hashed(..) => hashed,
            Extent::Solid(..) => dense,
            Extent::Chunked(..) => chunks,
        };
        Self {
            base: self.base + by,
            ..self
        }
    }

    /// The kind of a dense TAC: the bits of its cells less one, and whether it has
    /// chunks.
    pub(super) fn kind(self) -> u32 {
        self.kind & ((1 << KIND_BITS) - 1)
    }

    /// How many words it takes in a directory.
    pub(super) fn words(self) -> usize {
        match self.extent() {
            Extent::Hashed(..) => 1,
            Extent::Solid(_) | Extent::Chunked(_) => 2,
        }
    }
}
