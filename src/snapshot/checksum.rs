//! The checksum of a section: that of the checksums of its blocks.
//!
//! So that many may be at work on a section of gigabytes, each block is summed
//! for itself.

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
        }
    }

    /// XXH3 of nothing with seed 0, from its specification.
    #[test]
    fn nothing_has_the_checksum_of_the_specification() {
        assert_eq!(of(b""), 0x2d06_8005_38d3_94c2);
    }
}
