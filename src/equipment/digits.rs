//! Decimal digits, eight at a time in one word.
//!
//! ```text
//!  "35209900" ──▶ 3 5 2 0 9 9 0 0   a digit in each octet, the first one lowest
//!                 ╰35╯╰20╯╰99╯╰00╯  with each multiplication half as many,
//!                 ╰─3520─╯╰─9900─╯  of twice as many digits
//!                 ╰───35209900───╯
//! ```

/// Reads ASCII decimal digits as a number.
///
/// `None` if there is no digit, anything but a digit, or so many digits that
/// the number could leave an `u64` (more than 19).
#[inline]
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let (Some(first), Some(last), Some(overlap)) = (
        digits.first_chunk(),
        digits.last_chunk(),
        WORDS.checked_sub(digits.len()),
    ) else {
        return one_by_one(digits);
    };
    let (first, last) = (eight(*first)?, eight(*last)?);
    // The two words overlap: what the first one has counts as zeros in the last.
    let shift = overlap as u32 * u8::BITS;
    let last = last.unbounded_shr(shift).unbounded_shl(shift);
    let power = POWERS.get(WORD.checked_sub(overlap)?)?;
    Some(value(first) * power + value(last))
}

/// Digits of a word.
const WORD: usize = 8;
/// Digits of two words.
const WORDS: usize = 2 * WORD;

/// Powers of ten: what the first word counts for with so many digits behind it.
const POWERS: [u64; WORD + 1] = [
    1,
    10,
    100,
    1000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// Fewer digits than a word has, or more than two have.
fn one_by_one(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut number = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number)
}

/// Eight digits, one in each octet; `None` if one is none.
#[inline]
fn eight(text: [u8; WORD]) -> Option<u64> {
    let digits = u64::from_le_bytes(text) ^ every(b'0');
    // An octet above 9 has its highest bit set, by itself or with what makes 10
    // to 128. What it carries over can only spoil words that are spoiled.
    let above = digits | digits.wrapping_add(every(128 - 10));
    (above & every(128) == 0).then_some(digits)
}

/// The number that the digits of a word make.
#[inline]
const fn value(digits: u64) -> u64 {
    /// The lowest and the fifth octet.
    const TWO: u64 = 0xff | 0xff << 32;
    // Neighbours: 10 · first + second, below 100, in every other octet.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    // The first and third pair by 10^6 and 10^2, the second and fourth by 10^4
    // and 1: the sum stands in the upper half.
    let odd = (pairs & TWO).wrapping_mul(100 | 1_000_000 << 32);
    let even = (pairs >> 16 & TWO).wrapping_mul(1 | 10_000 << 32);
    odd.wrapping_add(even) >> 32
}

/// The digits of a number below 10⁸, one in each octet.
#[inline]
const fn spread(number: u64) -> u64 {
    /// Twice 16 bits.
    const FOURS: u64 = 0x7f | 0x7f << 32;
    /// Four times 8 bits.
    const TWOS: u64 = 0x000f_000f_000f_000f;
    // Each step splits the numbers of all fields into quotient and remainder;
    // the reciprocals are exact for numbers this small.
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & FOURS;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & TWOS;
    tens | ((twos - 10 * tens) << 8)
}

/// The check digit of fourteen digits, given as their number: 0 to 9
/// (TS 23.003 annex B, the Luhn formula).
///
/// From the right, every other digit is doubled, and the digits of the doubled
/// number are added: 2 · 7 = 14 gives 5, as 14 - 9 does.
#[inline]
pub(super) const fn luhn(number: u64) -> u8 {
    /// The digits that are doubled: with an even number of digits the second,
    /// fourth … from the left.
    const DOUBLED: u64 = 0xff00_ff00_ff00_ff00;
    const fn sums(digits: u64) -> u64 {
        let doubled = (digits & DOUBLED) << 1;
        let above = (doubled + every(128 - 10)) >> 7 & every(1);
        (digits & !DOUBLED) + doubled - above * 9
    }
    let (first, last) = (number / POWERS[WORD], number % POWERS[WORD]);
    let sums = sums(spread(first)) + sums(spread(last));
    // The highest octet of the product is the sum of all octets.
    let sum = sums.wrapping_mul(every(1)) >> 56;
    // Below 10.
    ((10 - sum % 10) % 10) as u8
}

/// This octet eight times.
const fn every(octet: u8) -> u64 {
    u64::from_ne_bytes([octet; WORD])
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a pattern.
    fn random(seed: &mut u64) -> u64 {
        *seed = seed
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        *seed >> 20
    }

    /// The standard library is the oracle.
    #[test]
    fn numbers_are_those_of_their_digits() {
        let mut seed = 1;
        for length in 0..=22 {
            for _ in 0..500 {
                let digits: Vec<u8> = (0..length)
                    .map(|_| b'0' + (random(&mut seed) % 10) as u8)
                    .collect();
                let text = core::str::from_utf8(&digits).unwrap();
                let expected = (length <= 19).then(|| text.parse().ok()).flatten();
                assert_eq!(number(&digits), expected, "{text}");
            }
        }
    }

    /// Every octet that is no digit, at every place of every length.
    #[test]
    fn nothing_but_digits_is_a_number() {
        for length in 1..=19 {
            for place in 0..length {
                for octet in 0..=u8::MAX {
                    let mut digits = vec![b'9'; length];
                    digits[place] = octet;
                    let expected = octet.is_ascii_digit();
                    assert_eq!(number(&digits).is_some(), expected, "{digits:?}");
                }
            }
        }
    }

    /// The formula with pencil and paper.
    #[test]
    fn check_digits_are_those_of_the_formula() {
        let mut seed = 7;
        for _ in 0..10_000 {
            let number = random(&mut seed) % 100_000_000_000_000;
            let text = format!("{number:014}");
            let sum: u32 = (text.bytes().rev().enumerate())
                .map(|(place, octet)| {
                    let digit = u32::from(octet - b'0');
                    match place % 2 {
                        0 => digit * 2 / 10 + digit * 2 % 10,
                        _ => digit,
                    }
                })
                .sum();
            assert_eq!((sum + u32::from(luhn(number))) % 10, 0, "{text}");
            assert!(luhn(number) < 10);
        }
    }
}
