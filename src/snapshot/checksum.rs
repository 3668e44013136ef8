//! The checksum of a section: that of the checksums of its blocks.
//!
//! So that many may be at work on a section of gigabytes, each block is summed
//! for itself.

use core::fmt;
use core::hash::Hasher as _;

use twox_hash::XxHash3_64;

/// Octets of a block; the last one of a section may have less. A few hundred
/// make enough work for any number of processors, and one is summed in less
/// than a millisecond.
pub(super) const BLOCK: usize = 4 * 1024 * 1024;

/// The checksum of a section.
pub(super) fn of(octets: &[u8]) -> u64 {
    of_blocks(octets.chunks(BLOCK).map(XxHash3_64::oneshot))
}

/// The checksum of a section that comes part by part, wherever that is cut.
#[derive(Clone, Default)]
pub(crate) struct Sum {
    /// Those of blocks.
    blocks: Vec<u64>,
    /// The block under way, if it has any octets.
    hasher: Option<XxHash3_64>,
    /// How many octets it has.
    len: usize,
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sum({} blocks)", self.blocks.len())
    }
}

impl Sum {
    /// Adds the next octets.
    pub(crate) fn add(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            let room = BLOCK - self.len;
            let (own, rest) = octets.split_at(room.min(octets.len()));
            octets = rest;
            self.len += own.len();
            match &mut self.hasher {
                // A whole block at once, which is faster.
                None if self.len == BLOCK => self.blocks.push(XxHash3_64::oneshot(own)),
                hasher => hasher.get_or_insert_default().write(own),
            }
            if self.len == BLOCK {
                self.end_block();
            }
        }
    }

    /// Ends the block under way.
    fn end_block(&mut self) {
        let hasher = self.hasher.take();
        self.blocks.extend(hasher.map(|hasher| hasher.finish()));
        self.len = 0;
    }

    /// The checksum of all of them.
    pub(crate) fn finish(mut self) -> u64 {
        self.end_block();
        of_blocks(self.blocks.into_iter())
    }
}

/// The checksum of the section whose blocks have these.
pub(super) fn of_blocks(blocks: impl Iterator<Item = u64>) -> u64 {
    let mut hasher = XxHash3_64::new();
    for block in blocks {
        hasher.write(&block.to_le_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks are cut off as the documentation says, and are in order.
    #[test]
    fn a_section_is_summed_block_by_block() {
        let octets: Vec<u8> = (0..2 * BLOCK + 5)
            .map(|place| (place * 7 / 3) as u8)
            .collect();
        let [first, second, rest] = [0..BLOCK, BLOCK..2 * BLOCK, 2 * BLOCK..2 * BLOCK + 5]
            .map(|range| XxHash3_64::oneshot(&octets[range]).to_le_bytes());
        for (length, sums) in [
            (BLOCK, first.to_vec()),
            (2 * BLOCK, [first, second].concat()),
            (2 * BLOCK + 5, [first, second, rest].concat()),
        ] {
            assert_eq!(of(&octets[..length]), XxHash3_64::oneshot(&sums));
            // However it is cut.
            for part in [1_000_003, BLOCK, BLOCK + 1, 3 * BLOCK] {
                let mut sum = Sum::default();
                octets[..length].chunks(part).for_each(|part| sum.add(part));
                assert_eq!(sum.finish(), of(&octets[..length]));
            }
        }
    }

    /// XXH3 of nothing with seed 0, from its specification.
    #[test]
    fn nothing_has_the_checksum_of_the_specification() {
        assert_eq!(of(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(Sum::default().finish(), of(b""));
    }
}
