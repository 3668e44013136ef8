//! Numbers in network byte order, read with nom and written to arrays.

use nom::IResult;
pub(crate) use nom::number::complete::be_u64;

/// What a nom parser here returns: the rest and a value, or "too short".
///
/// The only way to fail is to run out of octets, so the error carries nothing.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// A parser of the next `N` octets: the fields of a header are read out of them
/// with one look at how many there are.
#[inline]
pub(crate) fn chunk<const N: usize>(input: &[u8]) -> Parsed<'_, &[u8; N]> {
    match input.split_first_chunk() {
        Some((chunk, rest)) => Ok((rest, chunk)),
        None => Err(nom::Err::Error(())),
    }
}

/// The upper and the lower half of a word.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "that is what halves are")]
pub(crate) const fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

/// The upper 8 and the lower 24 bits of a word.
#[inline]
pub(crate) const fn octet_and_u24(word: u32) -> (u8, u32) {
    let [octet, ..] = word.to_be_bytes();
    (octet, word & 0x00ff_ffff)
}

/// The low 24 bits of `value`, big endian.
///
/// Callers pass lengths of messages that are bounded by
/// [`MESSAGE_LEN_MAX_BOUNDS`](super::MESSAGE_LEN_MAX_BOUNDS), far below 2^24,
/// and codes that were read from 24-bit fields.
#[inline]
pub(crate) fn u24(value: u32) -> [u8; 3] {
    let [_, a, b, c] = value.to_be_bytes();
    [a, b, c]
}

/// A length as `u32`. Lengths here are those of buffers far below 4 GiB; a
/// larger one saturates, which no 24-bit field can hold either.
pub(crate) fn len_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// `len` rounded up to the next multiple of four, saturating.
pub(crate) fn padded(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// The four octets of an Unsigned32, Enumerated or Integer32.
pub(crate) fn read_u32(data: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(data.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_up_to_four() {
        let expected = [0, 4, 4, 4, 4, 8, 8, 8, 8, 12];
        for (len, want) in expected.into_iter().enumerate() {
            assert_eq!(padded(len), want);
        }
        assert_eq!(padded(usize::MAX), usize::MAX & !3);
    }

    #[test]
    fn u24_keeps_the_low_bits() {
        assert_eq!(u24(0x0001_0203), [1, 2, 3]);
        assert_eq!(u24(0xff00_0144), [0, 1, 0x44]);
    }
}
