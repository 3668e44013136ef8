//! Type Allocation Codes: the model of a device.

use core::fmt;

use super::digits::number;

//----------- Tac -------------------------------------------------------------

/// A Type Allocation Code: the first eight digits of an IMEI, which name the
/// model of the device (TS 23.003 clause 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tac(u32);

impl Tac {
    /// How many digits a TAC has.
    pub const DIGITS: usize = 8;
    /// The highest TAC.
    pub const MAX: Self = Self(99_999_999);

    /// Reads exactly eight ASCII digits.
    #[must_use]
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        if digits.len() != Self::DIGITS {
            return None;
        }
        number(digits)
            .and_then(|number| u32::try_from(number).ok())
            .and_then(Self::from_number)
    }

    /// The TAC with this number, if the number has no more than eight digits.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        if number <= Self::MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The eight digits as a number, below 10⁸.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Tac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

//----------- TacPrefix -------------------------------------------------------

/// The first one to seven digits of a TAC, such as those of a reporting body
/// or of a block that a manufacturer was given.
///
/// The number of digits counts: `00` and `000` are different prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TacPrefix {
    /// How many digits: 1 to 7.
    length: u8,
    /// The digits as a number.
    number: u32,
}

impl TacPrefix {
    /// The longest prefix; with one digit more it would be a whole [`Tac`].
    pub const MAX_DIGITS: usize = Tac::DIGITS - 1;

    /// Reads one to seven ASCII digits.
    #[must_use]
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        if digits.len() > Self::MAX_DIGITS {
            return None;
        }
        Some(Self {
            length: u8::try_from(digits.len()).ok()?,
            number: u32::try_from(number(digits)?).ok()?,
        })
    }

    /// The first `length` digits of a TAC; `None` unless that is 1 to 7.
    #[must_use]
    pub fn of(tac: Tac, length: usize) -> Option<Self> {
        let divisor = DIVISORS.get(length.checked_sub(1)?)?;
        Some(Self {
            length: u8::try_from(length).ok()?,
            number: tac.number() / divisor,
        })
    }

    /// The prefix of `length` digits with this number, if they agree.
    #[must_use]
    pub fn from_number(length: usize, number: u32) -> Option<Self> {
        let divisor = DIVISORS.get(length.checked_sub(1)?)?;
        if u64::from(number) * u64::from(*divisor) >= 100_000_000 {
            return None;
        }
        Some(Self {
            length: u8::try_from(length).ok()?,
            number,
        })
    }

    /// How many digits the prefix has: 1 to 7.
    #[must_use]
    pub fn digits(self) -> usize {
        usize::from(self.length)
    }

    /// The digits as a number, below 10⁷.
    #[must_use]
    pub fn number(self) -> u32 {
        self.number
    }

    /// Whether the TAC begins with these digits.
    #[must_use]
    pub fn covers(self, tac: Tac) -> bool {
        Self::of(tac, self.digits()) == Some(self)
    }
}

impl fmt::Display for TacPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}", self.number, width = self.digits())
    }
}

/// What a TAC is divided by to leave its first 1, 2, … 7 digits.
const DIVISORS: [u32; TacPrefix::MAX_DIGITS] =
    [10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10];

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_tacs() {
        let tac = Tac::from_digits(b"00101234").unwrap();
        assert_eq!(tac.number(), 101_234);
        assert_eq!(tac.to_string(), "00101234");
        for wrong in ["", "0010123", "001012345", "0010123a", " 0101234"] {
            assert_eq!(Tac::from_digits(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Tac::from_number(100_000_000), None);
    }

    #[test]
    fn prefixes_agree_with_text() {
        let tacs = ["49015420", "00000000", "99999999", "00101234"];
        for text in tacs {
            let tac = Tac::from_digits(text.as_bytes()).unwrap();
            for length in 1..=TacPrefix::MAX_DIGITS {
                let prefix = TacPrefix::from_digits(&text.as_bytes()[..length]).unwrap();
                assert_eq!(prefix.to_string(), text[..length]);
                assert_eq!(TacPrefix::of(tac, length), Some(prefix));
                assert_eq!(
                    TacPrefix::from_number(length, prefix.number()),
                    Some(prefix)
                );
                for other in tacs {
                    let covered = Tac::from_digits(other.as_bytes()).unwrap();
                    assert_eq!(prefix.covers(covered), other.starts_with(&text[..length]));
                }
            }
            assert_eq!(TacPrefix::of(tac, 0), None);
            assert_eq!(TacPrefix::of(tac, 8), None);
        }
        for wrong in ["", "x", "12345678"] {
            assert_eq!(TacPrefix::from_digits(wrong.as_bytes()), None);
        }
        assert_eq!(TacPrefix::from_number(2, 100), None);
    }
}
