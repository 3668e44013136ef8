//! What only the processor can do at once: compare a whole line, and fetch one
//! ahead of time.
#![allow(unsafe_code)]

/// Has the line of `what` fetched while other work goes on. A hint: without it
/// everything is the same, only later.
#[inline]
pub(in crate::equipment) fn prefetch<T>(what: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that a program can see and faults
        // on no address, and this one is that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(what).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}

/// Which words are `pattern` where `mask` has ones, one bit for each.
#[inline]
pub(super) fn equal16(words: &[u16; 32], mask: u16, pattern: u16) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: SSE2 is a part of x86-64.
        unsafe { sse2::equal16(words, mask, pattern) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    plain::equal16(words, mask, pattern)
}

/// The same of eight larger words.
#[inline]
pub(super) fn equal32(words: &[u32; 8], mask: u32, pattern: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: SSE2 is a part of x86-64.
        unsafe { sse2::equal32(words, mask, pattern) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    plain::equal32(words, mask, pattern)
}

/// Which octets are `pattern`, one bit for each.
#[inline]
pub(super) fn equal8(bytes: &[u8; 64], pattern: u8) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: SSE2 is a part of x86-64.
        unsafe { sse2::equal8(bytes, pattern) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    plain::equal8(bytes, pattern)
}

/// Sixteen octets at once.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use core::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_cmpeq_epi16, _mm_cmpeq_epi32,
        _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi8, _mm_set1_epi16,
        _mm_set1_epi32, _mm_setzero_si128,
    };

    /// See the function of this name outside.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn equal16(words: &[u16; 32], mask: u16, pattern: u16) -> u32 {
        let parts: &[[u64; 2]; 4] = bytemuck::cast_ref(words);
        let [a, b, c, d] = parts.map(bytemuck::cast::<[u64; 2], __m128i>);
        let (mask, pattern) = (_mm_set1_epi16(mask as i16), _mm_set1_epi16(pattern as i16));
        let equal = |part| _mm_cmpeq_epi16(_mm_and_si128(part, mask), pattern);
        let low = _mm_movemask_epi8(_mm_packs_epi16(equal(a), equal(b)));
        let high = _mm_movemask_epi8(_mm_packs_epi16(equal(c), equal(d)));
        (low as u32 & 0xffff) | (high as u32) << 16
    }

    /// See the function of this name outside.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn equal32(words: &[u32; 8], mask: u32, pattern: u32) -> u32 {
        let parts: &[[u64; 2]; 2] = bytemuck::cast_ref(words);
        let parts = parts.map(bytemuck::cast::<[u64; 2], __m128i>);
        let (mask, pattern) = (_mm_set1_epi32(mask as i32), _mm_set1_epi32(pattern as i32));
        let [low, high] = parts.map(|part| _mm_cmpeq_epi32(_mm_and_si128(part, mask), pattern));
        let equal = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
        _mm_movemask_epi8(equal) as u32
    }

    /// See the function of this name outside.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn equal8(bytes: &[u8; 64], pattern: u8) -> u64 {
        let parts: &[[u64; 2]; 4] = bytemuck::cast_ref(bytes);
        let pattern = _mm_set1_epi8(pattern as i8);
        let mut hits = 0;
        for (place, &part) in parts.iter().enumerate() {
            let part = bytemuck::cast::<[u64; 2], __m128i>(part);
            let mask = _mm_movemask_epi8(_mm_cmpeq_epi8(part, pattern)) as u32;
            hits |= u64::from(mask) << (place * 16);
        }
        hits
    }
}

/// One after the other.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    /// See the function of this name outside.
    pub(super) fn equal16(words: &[u16; 32], mask: u16, pattern: u16) -> u32 {
        let mut hits = 0;
        for (place, word) in words.iter().enumerate() {
            hits |= u32::from(word & mask == pattern) << place;
        }
        hits
    }

    /// See the function of this name outside.
    pub(super) fn equal32(words: &[u32; 8], mask: u32, pattern: u32) -> u32 {
        let mut hits = 0;
        for (place, word) in words.iter().enumerate() {
            hits |= u32::from(word & mask == pattern) << place;
        }
        hits
    }

    /// See the function of this name outside.
    pub(super) fn equal8(bytes: &[u8; 64], pattern: u8) -> u64 {
        let mut hits = 0;
        for (place, &byte) in bytes.iter().enumerate() {
            hits |= u64::from(byte == pattern) << place;
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparing_at_once_is_comparing_one_by_one() {
        let mut word = 1u64;
        for _ in 0..2000 {
            let bytes: [u8; 64] = core::array::from_fn(|_| {
                word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                (word >> 60) as u8 % 3 * 127
            });
            let words: &[u16; 32] = &bytemuck::cast(bytes);
            for pattern in [0u16, 127, 254, 127 << 8, 254 << 8 | 127, 9] {
                for mask in [0xffff, 0xfffe, 0xff00] {
                    let expected = plain::equal16(words, mask, pattern);
                    assert_eq!(equal16(words, mask, pattern), expected);
                }
                let [half, _]: &[[u32; 8]; 2] = bytemuck::cast_ref(&bytes);
                for mask in [u32::MAX, 0xffff_0000, 0xffff, 0xff00_00ff] {
                    for pattern in [half[3] & mask, u32::from(pattern), half[7]] {
                        let expected = plain::equal32(half, mask, pattern);
                        assert_eq!(equal32(half, mask, pattern), expected);
                    }
                }
                let expected = plain::equal8(&bytes, pattern as u8);
                assert_eq!(equal8(&bytes, pattern as u8), expected);
            }
        }
    }
}
