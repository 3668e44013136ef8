//! One cache line, cut into slots in different ways.

use bytemuck::{Pod, Zeroable};

use super::processor::{equal8, equal16, prefetch};

/// 64 octets that come from memory at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(in crate::equipment) struct Line([u64; 8]);

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
    /// at most [`CLASS_BITS_MAX`] low bits.
    fn find(line: &Line, pattern: u64, class: u64) -> Option<usize>;

    /// The low bits of what a slot holds, those of the class among them.
    fn low(line: &Line, slot: usize) -> u64;

    /// What a slot holds.
    fn get(line: &Line, slot: usize) -> u64;

    /// Fills a slot.
    fn set(line: &mut Line, slot: usize, value: u64);

    /// One bit for each group of keys of which some did not find room.
    fn overflow(line: &Line) -> u64;

    /// Notes that keys of a group did not find room.
    fn mark_overflow(line: &mut Line, filter: u32);
}

/// The most bits of a slot that a class has.
pub(super) const CLASS_BITS_MAX: u32 = 16;

/// Slots of 16 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots16;
/// Slots of 24 bits, as a plane of 16 and a plane of 8.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots24;
/// Slots of 28 bits, as planes of 16, 8 and 4.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots28;
/// Slots of 32 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots32;

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
    fn low(line: &Line, slot: usize) -> u64 {
        let words: &[u16; 32] = bytemuck::cast_ref(line);
        words.get(slot).map_or(0, |&word| u64::from(word))
    }

    #[inline]
    fn get(line: &Line, slot: usize) -> u64 {
        Self::low(line, slot)
    }

    #[inline]
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
    fn low(line: &Line, slot: usize) -> u64 {
        let words: &[u16; 32] = bytemuck::cast_ref(line);
        words.get(slot).map_or(0, |&word| u64::from(word))
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

    #[inline]
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

impl Layout for Slots28 {
    const SLOTS: usize = 18;
    const BITS: u32 = 28;
    const FILTERS: u32 = 8;

    #[inline]
    fn find(line: &Line, pattern: u64, class: u64) -> Option<usize> {
        // The low 16 bits of the slots are the first 36 octets, the next 8
        // bits the next 18, the high 4 the next 9, the filters the last.
        let words: &[u16; 32] = bytemuck::cast_ref(line);
        let bytes: &[u8; 64] = bytemuck::cast_ref(line);
        let low = equal16(words, !(class as u16), pattern as u16) & ((1 << Self::SLOTS) - 1);
        let middle = equal8(bytes, (pattern >> 16) as u8) >> 36;
        // Hardly ever more than one is left to look at.
        let mut hits = low & middle as u32;
        while let Some(slot) = first(hits) {
            if u64::from(nibble(bytes, slot)) == pattern >> 24 {
                return Some(slot);
            }
            hits &= hits - 1;
        }
        None
    }

    #[inline]
    fn low(line: &Line, slot: usize) -> u64 {
        Slots24::low(line, slot)
    }

    #[inline]
    fn get(line: &Line, slot: usize) -> u64 {
        let words: &[u16; 32] = bytemuck::cast_ref(line);
        let bytes: &[u8; 64] = bytemuck::cast_ref(line);
        match (words.get(slot), bytes.get(36 + slot)) {
            (Some(&low), Some(&middle)) if slot < Self::SLOTS => {
                let high = nibble(bytes, slot);
                u64::from(low) | u64::from(middle) << 16 | u64::from(high) << 24
            }
            _ => 0,
        }
    }

    #[inline]
    fn set(line: &mut Line, slot: usize, value: u64) {
        if slot < Self::SLOTS {
            let words: &mut [u16; 32] = bytemuck::cast_mut(line);
            words[slot] = value as u16;
            let bytes: &mut [u8; 64] = bytemuck::cast_mut(line);
            bytes[36 + slot] = (value >> 16) as u8;
            let (byte, shift) = (54 + slot / 2, slot % 2 * 4);
            bytes[byte] = bytes[byte] & !(0xf << shift) | ((value >> 24 & 0xf) as u8) << shift;
        }
    }

    #[inline]
    fn overflow(line: &Line) -> u64 {
        Slots24::overflow(line)
    }

    fn mark_overflow(line: &mut Line, filter: u32) {
        Slots24::mark_overflow(line, filter);
    }
}

/// The high bits of a slot of 28.
#[inline]
fn nibble(bytes: &[u8; 64], slot: usize) -> u8 {
    let byte = bytes.get(54 + slot / 2).copied().unwrap_or_default();
    byte >> (slot % 2 * 4) & 0xf
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
    fn low(line: &Line, slot: usize) -> u64 {
        let words: &[u32; 16] = bytemuck::cast_ref(line);
        words.get(slot).map_or(0, |&word| u64::from(word))
    }

    #[inline]
    fn get(line: &Line, slot: usize) -> u64 {
        Self::low(line, slot)
    }

    #[inline]
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

impl Line {
    /// A line of zeroes.
    pub(super) const EMPTY: Self = Self([0; 8]);

    /// What a cell holds.
    #[inline]
    pub(super) fn cell(&self, cells: Cells, cell: u8) -> u64 {
        let (word, shift) = cells.place(cell);
        let word = self.0.get(word).copied().unwrap_or_default();
        word >> shift & cells.mask()
    }

    /// Fills a cell that is zero.
    pub(super) fn set_cell(&mut self, cells: Cells, cell: u8, value: u64) {
        let (word, shift) = cells.place(cell);
        if let Some(word) = self.0.get_mut(word) {
            *word |= (value & cells.mask()) << shift;
        }
    }

    /// Where the line is, for a prefetch.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(self);
    }
}

/// How a line is cut into cells, which lie at places of their own: as many of 2,
/// 3 or 4 bits as fit into each of its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    /// Bits of a cell.
    bits: u32,
}

/// Of cells of so many bits: those of a line; 2^32 by that, and 2^16 by those of
/// a word, rounded up. Multiplied by these, a serial number and a cell are
/// divided, as they are smaller than 2^20 and 2^8.
const CELLS: [(u32, u64, u32); 5] = {
    let mut table = [(0, 0, 0); 5];
    let mut bits = 2;
    while bits <= 4 {
        let (of_word, of_line) = (64 / bits, 64 / bits * 8);
        let line = (1u64 << 32).div_ceil(of_line as u64);
        table[bits] = (of_line as u32, line, (1u32 << 16).div_ceil(of_word as u32));
        bits += 1;
    }
    table
};

impl Cells {
    /// All kinds of cells, the smallest first.
    pub(super) const ALL: [Self; 3] = [Self { bits: 2 }, Self { bits: 3 }, Self { bits: 4 }];

    /// Cells of so many bits, 2 to 4.
    #[inline]
    pub(super) fn new(bits: u32) -> Self {
        Self {
            bits: bits.clamp(2, 4),
        }
    }

    /// Bits of a cell.
    #[inline]
    pub(super) fn bits(self) -> u32 {
        self.bits
    }

    /// How many a line has.
    #[inline]
    pub(super) fn count(self) -> u32 {
        CELLS[self.bits as usize].0
    }

    /// Of lines with a cell for each serial number: which line, and which of its
    /// cells.
    #[inline]
    pub(super) fn split(self, serial: u32) -> (u32, u8) {
        let (count, factor, _) = CELLS[self.bits as usize];
        let line = ((u64::from(serial) * factor) >> 32) as u32;
        (line, serial.wrapping_sub(line * count) as u8)
    }

    /// The word of a cell, and how far it is shifted there.
    #[inline]
    fn place(self, cell: u8) -> (usize, u32) {
        let (of_line, _, factor) = CELLS[self.bits as usize];
        let of_word = of_line / 8;
        let word = (u32::from(cell) * factor) >> 16;
        let before = word * of_word;
        (word as usize, (u32::from(cell) - before) * self.bits)
    }

    /// As many ones as a cell has bits.
    #[inline]
    fn mask(self) -> u64 {
        (1 << self.bits) - 1
    }
}

/// The place of the lowest bit.
#[inline]
fn first(hits: u32) -> Option<usize> {
    (hits != 0).then(|| hits.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An array of whole slots is the oracle.
    fn check<L: Layout>() {
        let mut word = 1u64;
        for _ in 0..200 {
            let mut line = Line::default();
            let mut slots = vec![0; L::SLOTS];
            for _ in 0..2 {
                for (slot, expected) in slots.iter_mut().enumerate() {
                    word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    *expected = (word >> 20) % (1 << L::BITS);
                    L::set(&mut line, slot, *expected);
                }
            }
            L::mark_overflow(&mut line, 5);
            assert_eq!(L::overflow(&line), 1 << 5);
            for (slot, &expected) in slots.iter().enumerate() {
                assert_eq!(L::get(&line, slot), expected);
                assert_eq!(L::low(&line, slot) % (1 << 16), expected % (1 << 16));
                for class in [0, 3, 7] {
                    for pattern in [expected, expected ^ 1 << (L::BITS - 1), expected ^ 1 << 14] {
                        let pattern = pattern & !class;
                        let found = slots.iter().position(|slot| slot & !class == pattern);
                        assert_eq!(L::find(&line, pattern, class), found);
                    }
                }
            }
        }
    }

    #[test]
    fn slots_of_all_widths_hold_what_was_put_there() {
        check::<Slots16>();
        check::<Slots24>();
        check::<Slots28>();
        check::<Slots32>();
    }

    #[test]
    fn cells_of_all_widths_hold_what_was_put_there() {
        for cells in Cells::ALL {
            let mut line = Line::default();
            let value = |cell: u8| u64::from(cell) * 7 / 3 % (1 << cells.bits());
            let all = || 0..=(cells.count() - 1) as u8;
            for cell in all() {
                line.set_cell(cells, cell, value(cell));
            }
            assert!(all().all(|cell| line.cell(cells, cell) == value(cell)));
        }
    }

    #[test]
    fn serial_numbers_are_split_as_by_division() {
        for cells in Cells::ALL {
            for serial in 0..1_000_000 {
                let expected = (serial / cells.count(), (serial % cells.count()) as u8);
                assert_eq!(cells.split(serial), expected);
            }
            for cell in 0..=(cells.count() - 1) as u8 {
                let of_word = 64 / cells.bits();
                let (word, shift) = (u32::from(cell) / of_word, u32::from(cell) % of_word);
                assert_eq!(cells.place(cell), (word as usize, shift * cells.bits()));
            }
        }
    }
}
