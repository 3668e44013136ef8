//! International Mobile Subscriber Identities (TS 23.003 clause 2.2).

use core::fmt;

use thiserror::Error;

use super::digits::number;
use super::{Masked, strip_prefix};

//----------- Imsi ------------------------------------------------------------

/// The identity of a subscriber: 6 to 15 digits, of which the first three are
/// the country and the next two or three the network.
///
/// The number of digits counts: `001010` and `0001010` are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Imsi(
    /// The number of digits in the highest four bits, the digits below: fifteen
    /// of them need fifty bits.
    u64,
);

impl Imsi {
    /// The fewest digits: country, network, and one of a subscriber.
    pub const MIN_DIGITS: usize = 6;
    /// The most digits.
    pub const MAX_DIGITS: usize = 15;

    /// Reads 6 to 15 ASCII digits, bare or behind `imsi-`.
    ///
    /// # Errors
    ///
    /// Anything else is an [`ImsiError`], which says what is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, ImsiError> {
        let digits = strip_prefix(text, "imsi-").unwrap_or(text);
        let fits = (Self::MIN_DIGITS..=Self::MAX_DIGITS).contains(&digits.len());
        match number(digits).filter(|_| fits) {
            Some(number) => Ok(Self((digits.len() as u64) << LENGTH_SHIFT | number)),
            None => Err(ImsiError::of(text, digits)),
        }
    }

    /// How many digits there are: 6 to 15.
    #[must_use]
    pub const fn digits(self) -> usize {
        (self.0 >> LENGTH_SHIFT) as usize
    }

    /// The digits as a number, below 10¹⁵.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0 & ((1 << LENGTH_SHIFT) - 1)
    }

    /// The first `digits` digits as a number; all of them if there are fewer.
    #[must_use]
    pub fn front(self, digits: usize) -> u64 {
        let behind = self.digits().saturating_sub(digits);
        // Never more than fifteen.
        POWERS.get(behind).map_or(0, |power| self.number() / power)
    }

    /// Digits and their number in one word: a key for an index.
    pub(crate) const fn key(self) -> u64 {
        self.0
    }

    /// All IMSIs as numbers without gaps, below 2^50: those with fewer digits come
    /// first.
    pub(super) fn rank(self) -> u64 {
        let shorter = SHORTER.get(self.digits()).copied().unwrap_or_default();
        self.number() + shorter
    }

    /// The IMSI that has this [`rank`](Self::rank), if one has.
    pub(super) fn of_rank(rank: u64) -> Option<Self> {
        let digits =
            (Self::MIN_DIGITS..=Self::MAX_DIGITS).rfind(|&digits| SHORTER[digits] <= rank)?;
        Self::from_stored((digits as u64) << LENGTH_SHIFT | (rank - SHORTER[digits]))
    }

    /// The IMSI that has this key, if one has.
    pub(crate) fn from_stored(key: u64) -> Option<Self> {
        let imsi = Self(key);
        let digits = imsi.digits();
        let fits = (Self::MIN_DIGITS..=Self::MAX_DIGITS).contains(&digits)
            && imsi.number() < 10u64.pow(digits as u32);
        fits.then_some(imsi)
    }

    /// The IMSI for a log: its first five digits, the others hidden.
    #[must_use]
    pub fn masked(self) -> impl fmt::Display {
        let hidden = self.digits().saturating_sub(SHOWN_DIGITS);
        Masked {
            shown: self.front(SHOWN_DIGITS),
            width: SHOWN_DIGITS,
            hidden,
        }
    }
}

impl fmt::Display for Imsi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}", self.number(), width = self.digits())
    }
}

//----------- ImsiError -------------------------------------------------------

/// Why something is not an IMSI.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum ImsiError {
    /// There is nothing, or nothing behind the prefix.
    #[error("the IMSI is empty")]
    Empty,
    /// So many characters, which is not 6 to 15. A prefix does not count.
    #[error("the IMSI has {0} characters; it must have 6 to 15 digits")]
    Length(usize),
    /// Something else than a digit.
    #[error("character {column} of the IMSI is not a digit")]
    Digit {
        /// Where it stands, from 1; a prefix counts.
        column: usize,
    },
}

impl ImsiError {
    /// What is wrong with these digits of a text.
    #[cold]
    fn of(text: &[u8], digits: &[u8]) -> Self {
        if digits.is_empty() {
            return Self::Empty;
        }
        let front = digits.get(..Imsi::MAX_DIGITS).unwrap_or(digits);
        match front.iter().position(|byte| !byte.is_ascii_digit()) {
            Some(at) => Self::Digit {
                column: text.len() - digits.len() + at + 1,
            },
            None => Self::Length(digits.len()),
        }
    }
}

/// Powers of ten: what so many digits at the end are divided off by.
const POWERS: [u64; Imsi::MAX_DIGITS + 1] = {
    let mut powers = [1; Imsi::MAX_DIGITS + 1];
    let mut digits = 1;
    while digits < powers.len() {
        powers[digits] = powers[digits - 1] * 10;
        digits += 1;
    }
    powers
};

/// How many IMSIs there are with fewer digits.
const SHORTER: [u64; Imsi::MAX_DIGITS + 1] = {
    let mut shorter = [0; Imsi::MAX_DIGITS + 1];
    let mut digits = Imsi::MIN_DIGITS;
    while digits < Imsi::MAX_DIGITS {
        shorter[digits + 1] = shorter[digits] + 10u64.pow(digits as u32);
        digits += 1;
    }
    shorter
};

/// Where the number of digits begins.
const LENGTH_SHIFT: u32 = 60;

/// How many digits a log shows: country and network.
const SHOWN_DIGITS: usize = 5;

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_prints_and_masks() {
        for (text, printed, masked) in [
            ("001010123456789", "001010123456789", "00101**********"),
            ("imsi-001010", "001010", "00101*"),
            ("999999999999999", "999999999999999", "99999**********"),
            ("000000", "000000", "00000*"),
        ] {
            let imsi = Imsi::parse(text.as_bytes()).unwrap();
            assert_eq!(imsi.to_string(), printed);
            assert_eq!(imsi.masked().to_string(), masked);
            assert_eq!(imsi.digits(), printed.len());
        }
        assert_ne!(Imsi::parse(b"001010"), Imsi::parse(b"0001010"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, error) in [
            ("", ImsiError::Empty),
            ("imsi-", ImsiError::Empty),
            ("00101", ImsiError::Length(5)),
            ("0010101234567890", ImsiError::Length(16)),
            ("00101012345678901234567890", ImsiError::Length(26)),
            ("00101x", ImsiError::Digit { column: 6 }),
            ("imsi-00101 ", ImsiError::Digit { column: 11 }),
            ("user@realm", ImsiError::Digit { column: 1 }),
        ] {
            assert_eq!(Imsi::parse(text.as_bytes()), Err(error), "{text}");
        }
    }
}
