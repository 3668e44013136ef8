//! A column of IMEIs and nothing else, four lines at a time: that is what the
//! largest lists are.
//!
//! Only lines of fifteen digits with the right check digit, ended by a single
//! line feed, are read here. They have sixteen octets each, as a vector does; what
//! else there may be is the business of [`digits`](super::digits).
#![allow(unsafe_code)]

/// Octets of a line.
pub(super) const LINE: usize = 16;

/// How many lines are read at once at most.
pub(super) const BATCH: usize = 64;

/// A TAC below the serial number of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts(u64);

impl Parts {
    /// The TAC, below 10^8.
    #[inline]
    pub(super) fn tac(self) -> u32 {
        self.0 as u32
    }

    /// The serial number, below 10^6.
    #[inline]
    pub(super) fn serial(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Reads the first lines of a text, as far as they are such lines, and returns how
/// many they are. It may leave up to three to others, and all of them if the
/// processor cannot do it.
#[inline]
pub(super) fn read(text: &[u8], devices: &mut [Parts; BATCH]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::read(text, devices) };
    }
    let _ = (text, devices);
    0
}

/// With vectors of two lines.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use core::arch::x86_64::{
        __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_blendv_epi8, _mm256_cmpeq_epi8,
        _mm256_cmpeq_epi64, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_min_epu8,
        _mm256_movemask_epi8, _mm256_mul_epu32, _mm256_packus_epi32, _mm256_sad_epu8,
        _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi64,
        _mm256_sub_epi8, _mm256_sub_epi64, _mm256_unpackhi_epi64, _mm256_unpacklo_epi64,
    };

    use super::{BATCH, LINE, Parts};

    /// The same octets for each of two lines.
    const fn twice(half: [u8; LINE]) -> [u8; 2 * LINE] {
        let mut whole = [0; 2 * LINE];
        let mut place = 0;
        while place < whole.len() {
            whole[place] = half[place % LINE];
            place += 1;
        }
        whole
    }

    /// What digits and end of a line are counted from.
    const ZERO: [u8; 32] = twice(*b"000000000000000\n");
    /// The most that they are then.
    const MOST: [u8; 32] = twice([9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0]);
    /// What digits are worth in pairs; the check digit is no part of the number.
    const TENS: [u8; 32] = twice([10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 0, 0]);
    /// What pairs are worth in fours; the last pair of the serial number stands
    /// alone.
    const HUNDREDS: [u8; 32] = twice([100, 0, 1, 0, 100, 0, 1, 0, 100, 0, 1, 0, 1, 0, 0, 0]);
    /// What fours are worth in a TAC, and behind it in a serial number: 10,000, 1,
    /// 100, 1.
    const WHOLE: [u8; 32] = twice([
        0x10, 0x27, 1, 0, 100, 0, 1, 0, 0x10, 0x27, 1, 0, 100, 0, 1, 0,
    ]);
    /// What digits count that are doubled (TS 23.003 annex B).
    const DOUBLED: [u8; 32] = twice([0, 2, 4, 6, 8, 1, 3, 5, 7, 9, 0, 0, 0, 0, 0, 0]);
    /// Which are.
    const SECOND: [u8; 32] = twice([
        0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0,
    ]);
    /// A tenth of 2^16, rounded up: of sums of 15 digits, no more than 135, that is
    /// near enough.
    const TENTH: i64 = 6554;

    /// See the function of this name outside.
    #[target_feature(enable = "avx2")]
    pub(super) fn read(text: &[u8], devices: &mut [Parts; BATCH]) -> usize {
        let vector = bytemuck::cast::<[u8; 32], __m256i>;
        let [zero, most, second] = [ZERO, MOST, SECOND].map(vector);
        let [tens, hundreds, whole, doubled] = [TENS, HUNDREDS, WHOLE, DOUBLED].map(vector);
        let (fours, _) = text.as_chunks::<{ 4 * LINE }>();
        let (places, _) = devices.as_chunks_mut::<4>();
        let mut count = 0;
        for (four, devices) in fours.iter().zip(places) {
            let [a, b] = bytemuck::cast::<[u8; 4 * LINE], [__m256i; 2]>(*four);
            let (a, b) = (_mm256_sub_epi8(a, zero), _mm256_sub_epi8(b, zero));
            // No octet is more than it may be.
            let is_right = |own| _mm256_cmpeq_epi8(_mm256_min_epu8(own, most), own);
            let are_digits = _mm256_and_si256(is_right(a), is_right(b));
            let fours = |own| _mm256_madd_epi16(_mm256_maddubs_epi16(own, tens), hundreds);
            // Of each half one line, and of each line four numbers below 10,000.
            let numbers = _mm256_madd_epi16(_mm256_packus_epi32(fours(a), fours(b)), whole);
            let sums = |own| {
                let doubled = _mm256_shuffle_epi8(doubled, own);
                let digits = _mm256_blendv_epi8(own, doubled, second);
                _mm256_sad_epu8(digits, _mm256_setzero_si256())
            };
            let (low, high) = (sums(a), sums(b));
            let sum = _mm256_add_epi64(
                _mm256_unpacklo_epi64(low, high),
                _mm256_unpackhi_epi64(low, high),
            );
            let tenths = _mm256_srli_epi64::<16>(_mm256_mul_epu32(sum, _mm256_set1_epi64x(TENTH)));
            let tens = _mm256_mul_epu32(tenths, _mm256_set1_epi64x(10));
            let rest = _mm256_sub_epi64(sum, tens);
            let are_checked = _mm256_cmpeq_epi64(rest, _mm256_setzero_si256());
            if _mm256_movemask_epi8(_mm256_and_si256(are_digits, are_checked)) != -1 {
                break;
            }
            // The halves have the first and third line, and the second and fourth.
            let [first, third, second, fourth] = bytemuck::cast::<__m256i, [u64; 4]>(numbers);
            *devices = [first, second, third, fourth].map(Parts);
            count += 4;
        }
        count
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::super::digits;
    use super::*;
    use crate::equipment::CheckDigit;

    /// The reader of single lines is the oracle, for every octet in every place.
    #[test]
    fn lines_are_those_of_the_reader_of_single_ones() {
        let mut word = 1u64;
        let mut taken = 0;
        for round in 0..20_000usize {
            let mut text = Vec::new();
            for _ in 0..round % 70 {
                word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let device = (word >> 8) % 100_000_000_000_000;
                let right = (0..10).map(|digit| format!("{device:014}{digit}\n").into_bytes());
                let mut right = right.filter(|line| is_right(line));
                text.extend(right.next().unwrap());
            }
            if let Some(place) = text.len().checked_sub(1)
                && round % 4 > 0
            {
                let place = (word >> 30) as usize % (place + 1);
                text[place] = if round % 4 == 1 {
                    round as u8
                } else {
                    b'0' + (round % 10) as u8
                };
            }
            let mut devices = [Parts::default(); BATCH];
            let count = read(&text, &mut devices);
            let lines: Vec<&[u8]> = text.chunks(LINE).collect();
            for (line, parts) in lines.iter().zip(&devices[..count]) {
                assert!(is_right(line), "{line:?}");
                let (digits, _) = line_of(line).unwrap();
                let device = u64::from(parts.tac()) * 1_000_000 + u64::from(parts.serial());
                assert_eq!(device, digits.device.number());
            }
            taken += count;
            // No more than three are left out before the first that is not such.
            let right = lines.iter().take_while(|line| is_right(line)).count();
            let can = cfg!(target_arch = "x86_64") && std::arch::is_x86_feature_detected!("avx2");
            assert_eq!(count, if can { right.min(BATCH) / 4 * 4 } else { 0 });
        }
        assert!(taken > 0 || !cfg!(target_arch = "x86_64"));
    }

    /// What the reader of single lines makes of one.
    fn line_of(line: &[u8]) -> Option<(digits::Digits, usize)> {
        // It looks a little further than the end.
        digits::line(&[line, b"00"].concat())
    }

    /// Whether it is such a line.
    fn is_right(line: &[u8]) -> bool {
        line_of(line).is_some_and(|(digits, length)| {
            length == LINE && line[15] == b'\n' && digits.check_digit == Some(CheckDigit::Right)
        })
    }
}
