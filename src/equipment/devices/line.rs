//! One cache line, cut into slots in different ways.

use bytemuck::{Pod, Zeroable};

use super::processor::{equal8, equal16, prefetch};

/// 64 octets that come from memory at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line([u64; 8]);

/// How a line is cut into slots.
///
/// An empty slot is zero, and slots are filled from the first on, so that an
/// entry stands before all empty slots.
pub(super) trait Layout {
    /// How many slots.
    const SLOTS: usize;
    /// Bits of a slot.
    const BITS: u32;
    /// How many filters tell what overflowed; see [`Layout::overflow`].
    const FILTERS: u32;

    /// The first slot that is `pattern` but for the bits of `class`, a mask of
    /// low bits.
    fn find(line: &Line, pattern: u64, class: u64) -> Option<usize>;

    /// What a slot holds.
    fn get(line: &Line, slot: usize) -> u64;

    /// Fills a slot.
    fn set(line: &mut Line, slot: usize, value: u64);

    /// One bit for each group of keys of which some did not find room.
    fn overflow(line: &Line) -> u64;

    /// Notes that keys of a group did not find room.
    fn mark_overflow(line: &mut Line, filter: u32);
}

/// Slots of 16 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots16;
/// Slots of 24 bits, as a plane of 16 and a plane of 8.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots24;
/// Slots of 32 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots32;
/// Slots of 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots64;

impl Layout for Slots16 {
    const SLOTS: usize = 31;
    const BITS: u32 = 16;
    const FILTERS: u32 = 16;

    #[inline]
    fn find(line: &Line, pattern: u64, class: u64) -> Option<usize> {
        let words: &[u16; 32] = bytemuck::cast_ref(line);
        let hits = equal16(words, !(class as u16), pattern as u16) & ((1 << Self::SLOTS) - 1);
        first(hits)
    }

    #[inline]
    fn get(line: &Line, slot: usize) -> u64 {
        let words: &[u16; 32] = bytemuck::cast_ref(line);
        words.get(slot).map_or(0, |&word| u64::from(word))
    }

    fn set(line: &mut Line, slot: usize, value: u64) {
        let words: &mut [u16; 32] = bytemuck::cast_mut(line);
        if let Some(word) = words.get_mut(slot) {
            *word = value as u16;
        }
    }

    #[inline]
    fn overflow(line: &Line) -> u64 {
        let words: &[u16; 32] = bytemuck::cast_ref(line);
        u64::from(words[Self::SLOTS])
    }

    fn mark_overflow(line: &mut Line, filter: u32) {
        let words: &mut [u16; 32] = bytemuck::cast_mut(line);
        words[Self::SLOTS] |= 1 << filter;
    }
}

impl Layout for Slots24 {
    const SLOTS: usize = 21;
    const BITS: u32 = 24;
    const FILTERS: u32 = 8;

    #[inline]
    fn find(line: &Line, pattern: u64, class: u64) -> Option<usize> {
        // The low 16 bits of the slots are the first 42 octets, the high 8
        // the next 21, the filters the last.
        let words: &[u16; 32] = bytemuck::cast_ref(line);
        let bytes: &[u8; 64] = bytemuck::cast_ref(line);
        let low = equal16(words, !(class as u16), pattern as u16) & ((1 << Self::SLOTS) - 1);
        let high = equal8(bytes, (pattern >> 16) as u8) >> 42;
        first(low & high as u32)
    }

    #[inline]
    fn get(line: &Line, slot: usize) -> u64 {
        let words: &[u16; 32] = bytemuck::cast_ref(line);
        let bytes: &[u8; 64] = bytemuck::cast_ref(line);
        match (words.get(slot), bytes.get(42 + slot)) {
            (Some(&low), Some(&high)) if slot < Self::SLOTS => {
                u64::from(low) | u64::from(high) << 16
            }
            _ => 0,
        }
    }

    fn set(line: &mut Line, slot: usize, value: u64) {
        if slot < Self::SLOTS {
            let words: &mut [u16; 32] = bytemuck::cast_mut(line);
            words[slot] = value as u16;
            let bytes: &mut [u8; 64] = bytemuck::cast_mut(line);
            bytes[42 + slot] = (value >> 16) as u8;
        }
    }

    #[inline]
    fn overflow(line: &Line) -> u64 {
        let bytes: &[u8; 64] = bytemuck::cast_ref(line);
        u64::from(bytes[63])
    }

    fn mark_overflow(line: &mut Line, filter: u32) {
        let bytes: &mut [u8; 64] = bytemuck::cast_mut(line);
        bytes[63] |= 1 << filter;
    }
}

impl Layout for Slots32 {
    const SLOTS: usize = 15;
    const BITS: u32 = 32;
    const FILTERS: u32 = 32;

    #[inline]
    fn find(line: &Line, pattern: u64, class: u64) -> Option<usize> {
        let words: &[u32; 16] = bytemuck::cast_ref(line);
        let (mask, pattern) = (!(class as u32), pattern as u32);
        let mut hits = 0;
        for (slot, word) in words.iter().enumerate() {
            hits |= u32::from(word & mask == pattern) << slot;
        }
        first(hits & ((1 << Self::SLOTS) - 1))
    }

    #[inline]
    fn get(line: &Line, slot: usize) -> u64 {
        let words: &[u32; 16] = bytemuck::cast_ref(line);
        words.get(slot).map_or(0, |&word| u64::from(word))
    }

    fn set(line: &mut Line, slot: usize, value: u64) {
        let words: &mut [u32; 16] = bytemuck::cast_mut(line);
        if let Some(word) = words.get_mut(slot) {
            *word = value as u32;
        }
    }

    #[inline]
    fn overflow(line: &Line) -> u64 {
        let words: &[u32; 16] = bytemuck::cast_ref(line);
        u64::from(words[Self::SLOTS])
    }

    fn mark_overflow(line: &mut Line, filter: u32) {
        let words: &mut [u32; 16] = bytemuck::cast_mut(line);
        words[Self::SLOTS] |= 1 << filter;
    }
}

impl Layout for Slots64 {
    const SLOTS: usize = 7;
    const BITS: u32 = 64;
    const FILTERS: u32 = 64;

    #[inline]
    fn find(line: &Line, pattern: u64, class: u64) -> Option<usize> {
        let mut hits = 0;
        for (slot, word) in line.0.iter().enumerate() {
            hits |= u32::from(word & !class == pattern) << slot;
        }
        first(hits & ((1 << Self::SLOTS) - 1))
    }

    #[inline]
    fn get(line: &Line, slot: usize) -> u64 {
        line.0.get(slot).copied().unwrap_or_default()
    }

    fn set(line: &mut Line, slot: usize, value: u64) {
        if let Some(word) = line.0.get_mut(slot) {
            *word = value;
        }
    }

    #[inline]
    fn overflow(line: &Line) -> u64 {
        line.0[Self::SLOTS]
    }

    fn mark_overflow(line: &mut Line, filter: u32) {
        line.0[Self::SLOTS] |= 1 << filter;
    }
}

impl Line {
    /// The two bits of a cell; there are 256.
    #[inline]
    pub(super) fn cell(&self, cell: u8) -> u64 {
        let word = self.0[usize::from(cell) / 32];
        word >> (u32::from(cell) % 32 * 2) & 3
    }

    /// Fills a cell that is zero.
    pub(super) fn set_cell(&mut self, cell: u8, value: u64) {
        self.0[usize::from(cell) / 32] |= (value & 3) << (u32::from(cell) % 32 * 2);
    }

    /// Where the line is, for a prefetch.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(self);
    }
}

/// The place of the lowest bit.
#[inline]
fn first(hits: u32) -> Option<usize> {
    (hits != 0).then(|| hits.trailing_zeros() as usize)
}
