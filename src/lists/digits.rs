//! IMEIs of plain digits, eight digits at a time: in a word, each octet a digit,
//! all eight are tested, summed and turned into a number by a few instructions.

use crate::equipment::{CheckDigit, Device, Imei, Svn};

/// The digits of an IMEI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digits {
    /// The device.
    pub(super) device: Device,
    /// What the fifteenth digit is, if it is the last.
    pub(super) check_digit: Option<CheckDigit>,
    /// The last two of sixteen.
    pub(super) svn: Option<Svn>,
}

impl Digits {
    /// The same as an IMEI.
    pub(super) fn imei(self) -> Imei {
        Imei {
            device: self.device,
            svn: self.svn,
            check_digit: self.check_digit.unwrap_or(CheckDigit::Absent),
        }
    }
}

/// The IMEI that the first line of a text is, and the length of the line with
/// its end; `None` if it is anything else than 14 to 16 digits and the end, or
/// the text ends too early to see it.
#[inline(always)]
pub(super) fn line(text: &[u8]) -> Option<(Digits, usize)> {
    // One octet more than the longest.
    let window: &[u8; 18] = text.first_chunk()?;
    // Where the line ends, and with which octets.
    let digits = match window {
        [.., b'\n', _, _, _] | [.., b'\r', b'\n', _, _] => 14,
        [.., b'\n', _, _] | [.., b'\r', b'\n', _] => 15,
        [.., b'\n', _] | [.., b'\r', b'\n'] => 16,
        _ => return None,
    };
    let length = match window.get(digits) {
        Some(b'\n') => digits + 1,
        _ => digits + 2,
    };
    Some((of_window(window, digits)?, length))
}

/// The IMEI that the first of several fields is, and its length; `None` if it is
/// anything else than 14 to 16 digits and a comma, or the text ends too early to
/// see it.
#[inline(always)]
pub(super) fn first_field(text: &[u8]) -> Option<(Digits, usize)> {
    let window: &[u8; 18] = text.first_chunk()?;
    let digits = (14..=16).find(|&digits| window.get(digits) == Some(&b','))?;
    Some((of_window(window, digits)?, digits))
}

/// The IMEI that a field of digits is; `None` if it is anything else.
#[inline]
pub(super) fn imei(field: &[u8]) -> Option<Digits> {
    if !(14..=16).contains(&field.len()) {
        return None;
    }
    let mut window = [0; 18];
    window.get_mut(..field.len())?.copy_from_slice(field);
    of_window(&window, field.len())
}

/// The IMEI of so many digits, 14 to 16.
#[inline(always)]
fn of_window(window: &[u8; 18], digits: usize) -> Option<Digits> {
    let tac = u64::from_le_bytes(*window.first_chunk()?);
    let behind = u64::from_le_bytes(*window.get(8..)?.first_chunk()?);
    // Two zeros before the six digits of the serial number.
    let serial = behind << 16 | 0x3030;
    if !are_digits(tac) || !are_digits(serial) {
        return None;
    }
    let device = Device::from_number(number(tac) * 1_000_000 + number(serial))?;
    let extra = |place: usize| {
        let digit = window.get(place)?.wrapping_sub(b'0');
        (digit < 10).then_some(digit)
    };
    let (check_digit, svn) = match digits {
        14 => (None, None),
        15 => {
            let digit = u64::from(extra(14)?);
            let check_digit = match (luhn([tac, serial]) + digit) % 10 {
                0 => CheckDigit::Right,
                _ if digit == 0 => CheckDigit::Zero,
                _ => CheckDigit::Wrong,
            };
            (Some(check_digit), None)
        }
        _ => (None, Some(Svn::from_number(extra(14)? * 10 + extra(15)?)?)),
    };
    Some(Digits {
        device,
        check_digit,
        svn,
    })
}

/// Whether all octets are ASCII digits.
#[inline]
fn are_digits(word: u64) -> bool {
    /// The same octet eight times.
    const fn all(octet: u8) -> u64 {
        u64::from_le_bytes([octet; 8])
    }
    // The upper half is that of digits, and stays it with 6 more: 0x3A to 0x3F
    // leave it.
    let upper = word & all(0xF0) | (word.wrapping_add(all(0x06)) & all(0xF0)) >> 4;
    upper == all(0x33)
}

/// The number of eight digits, the first in the lowest octet.
#[inline]
fn number(word: u64) -> u64 {
    let digits = word & 0x0F0F_0F0F_0F0F_0F0F;
    // Pairs, fours, eights: the lower place is worth ten, a hundred, ten thousand.
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xFFFF_FFFF
}

/// The sum of sixteen digits of which every second is doubled, and nine taken
/// from what has two digits then (TS 23.003 annex B).
#[inline]
fn luhn(words: [u64; 2]) -> u64 {
    let [first, second] = words.map(|word| {
        let digits = word & 0x0F0F_0F0F_0F0F_0F0F;
        let single = digits & 0x00FF_00FF_00FF_00FF;
        let double = digits & 0xFF00_FF00_FF00_FF00;
        // From 5 on: with 0x7B more the highest bit is set.
        let large = (double + 0x7B00_7B00_7B00_7B00) >> 7 & 0x0100_0100_0100_0100;
        single + double * 2 - large * 9
    });
    // No octet is more than 18, so that no sum of all is more than 144.
    (first + second).wrapping_mul(0x0101_0101_0101_0101) >> 56
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// The parser of the register is the oracle, for every octet in every place.
    #[test]
    fn digits_are_those_of_the_parser() {
        let mut word = 1u64;
        for round in 0..20_000u32 {
            word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let mut text = format!("{:016}", (word >> 8) % 10_000_000_000_000_000).into_bytes();
            text.truncate(14 + round as usize % 3);
            if round % 4 == 0 {
                let place = (word >> 40) as usize % text.len();
                text[place] = round.to_le_bytes()[1];
            }
            let expected = Imei::parse(&text).ok();
            assert_eq!(imei(&text).map(Digits::imei), expected, "{text:?}");
            let field = [text.as_slice(), b",more"].concat();
            let found = first_field(&field).map(|(digits, length)| (digits.imei(), length));
            if !text.contains(&b',') {
                assert_eq!(found, expected.map(|imei| (imei, text.len())), "{text:?}");
            }
            for end in ["\n", "\r\n"] {
                let mut line_text = text.clone();
                line_text.extend(end.as_bytes());
                let length = line_text.len();
                line_text.extend(b"12345678");
                let found = line(&line_text);
                let is_plain = !text.iter().any(|byte| b"\r\n".contains(byte));
                if is_plain {
                    let found = found.map(|(digits, length)| (digits.imei(), length));
                    assert_eq!(found, expected.map(|imei| (imei, length)), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn other_lengths_are_not_taken() {
        for text in [
            "",
            "1",
            "1234567890123",
            "12345678901234567",
            "123456789012345678",
        ] {
            assert_eq!(imei(text.as_bytes()), None);
            let text = format!("{text}\n{}", "0".repeat(30));
            assert_eq!(line(text.as_bytes()), None, "{text}");
        }
        assert_eq!(line(b"49015420323751\n"), None, "too near to the end");
    }
}
