//! International Mobile Equipment Identities (TS 23.003 clause 6).
//!
//! ```text
//!  TAC (8)   SNR (6)
//! ┌────────┬────────┬───┐
//! │49015420│ 323751 │ 8 │  IMEI: the last digit is a check digit, or a spare 0
//! └────────┴────────┴───┘
//! ┌────────┬────────┬────┐
//! │49015420│ 323751 │ 01 │ IMEISV: the last two digits are the software version
//! └────────┴────────┴────┘
//!  ╰─── Device ────╯
//! ```
//!
//! One device is its first fourteen digits, in whatever form they came.

use core::fmt;

use thiserror::Error;

use super::digits::{luhn, number};
use super::{Masked, Tac, strip_prefix};

//----------- Imei ------------------------------------------------------------

/// An IMEI or IMEISV as it was written: the device, and what stood behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Imei {
    /// The device: the first fourteen digits.
    pub device: Device,
    /// The software version, if there were sixteen digits.
    pub svn: Option<Svn>,
    /// The fifteenth digit of fifteen.
    pub check_digit: CheckDigit,
}

impl Imei {
    /// Reads an IMEI in any form that lists, requests and people use:
    /// 14, 15 or 16 ASCII digits, bare or behind `imei-` or `imeisv-`.
    ///
    /// The prefix says nothing that the number of digits does not say, so it
    /// is dropped. A check digit that does not fit is no error, as a spare 0
    /// is sent in its place (TS 23.003 clause 6.2.1) and some senders fill in
    /// other digits: see [`Imei::check_digit`].
    ///
    /// # Errors
    ///
    /// Anything else is an [`ImeiError`], which says what is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, ImeiError> {
        let digits = strip_prefix(text, "imei-")
            .or_else(|| strip_prefix(text, "imeisv-"))
            .unwrap_or(text);
        let read = || {
            let (device, rest) = digits.split_at_checked(Device::DIGITS)?;
            let device = Device::from_digits(device)?;
            let (svn, check_digit) = match *rest {
                [] => (None, CheckDigit::Absent),
                [digit @ b'0'..=b'9'] => (None, CheckDigit::classify(device, digit - b'0')),
                [..] => (Some(Svn::from_digits(rest)?), CheckDigit::Absent),
            };
            Some(Self {
                device,
                svn,
                check_digit,
            })
        };
        read().ok_or_else(|| ImeiError::of(text, digits))
    }

    /// The IMEI for a log: its TAC, the serial number hidden.
    #[must_use]
    pub fn masked(self) -> impl fmt::Display {
        self.device.masked()
    }
}

/// The device, and the software version if there was one; never a check digit.
impl fmt::Display for Imei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.device)?;
        match self.svn {
            Some(svn) => write!(f, "{svn}"),
            None => Ok(()),
        }
    }
}

//----------- Device ----------------------------------------------------------

/// The identity of one device: TAC and serial number, fourteen digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device(u64);

impl Device {
    /// How many digits identify a device.
    pub const DIGITS: usize = 14;

    /// The device of which all digits are zero.
    pub const MIN: Self = Self(0);

    /// Reads exactly fourteen ASCII digits.
    #[must_use]
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        if digits.len() != Self::DIGITS {
            return None;
        }
        number(digits).map(Self)
    }

    /// The device with this number, if it has no more than fourteen digits.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        if number < 100_000_000_000_000 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The fourteen digits as a number, below 10¹⁴.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The model: the first eight digits.
    #[must_use]
    pub fn tac(self) -> Tac {
        // Below 10⁸, as the device is below 10¹⁴; the maximum is never needed.
        u32::try_from(self.0 / SERIALS_PER_TAC)
            .ok()
            .and_then(Tac::from_number)
            .unwrap_or(Tac::MAX)
    }

    /// The check digit that belongs to this device: 0 to 9
    /// (TS 23.003 annex B, the Luhn formula).
    #[must_use]
    pub fn check_digit(self) -> u8 {
        luhn(self.0)
    }

    /// The device for a log: its TAC, the serial number hidden.
    #[must_use]
    pub fn masked(self) -> impl fmt::Display {
        Masked {
            shown: self.0 / SERIALS_PER_TAC,
            width: Tac::DIGITS,
            hidden: Self::DIGITS - Tac::DIGITS,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014}", self.0)
    }
}

//----------- Svn -------------------------------------------------------------

/// A Software Version Number: the last two digits of an IMEISV
/// (TS 23.003 clause 6.2.2), or the Software-Version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Svn(u8);

impl Svn {
    /// Reads exactly two ASCII digits.
    #[must_use]
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        match *digits {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
                Some(Self((tens - b'0') * 10 + ones - b'0'))
            }
            _ => None,
        }
    }

    /// The version with this number, if it has no more than two digits.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        if number < 100 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// All versions that there may be.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..100).map(Self)
    }

    /// The two digits as a number, below 100.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Svn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

//----------- CheckDigit ------------------------------------------------------

/// What stood in the fifteenth place of an IMEI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckDigit {
    /// Nothing, or a software version.
    Absent,
    /// The check digit of the device.
    Right,
    /// A 0 that is not the check digit: the spare digit that a phone sends.
    Zero,
    /// Another digit: a slip of the pen, or a made-up number.
    Wrong,
}

impl CheckDigit {
    /// Judges a fifteenth digit, given as a number from 0 to 9.
    fn classify(device: Device, digit: u8) -> Self {
        if digit == device.check_digit() {
            Self::Right
        } else if digit == 0 {
            Self::Zero
        } else {
            Self::Wrong
        }
    }
}

//----------- ImeiError -------------------------------------------------------

/// Why something is not an IMEI.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum ImeiError {
    /// There is nothing, or nothing behind the prefix.
    #[error("the IMEI is empty")]
    Empty,
    /// So many characters, which is neither 14 nor 15 nor 16. A prefix does
    /// not count.
    #[error("the IMEI has {0} characters; it must have 14, 15 or 16 digits")]
    Length(usize),
    /// Something else than a digit.
    #[error("character {column} of the IMEI is not a digit")]
    Digit {
        /// Where it stands, from 1; a prefix counts.
        column: usize,
    },
}

impl ImeiError {
    /// What is wrong with these digits of a text.
    #[cold]
    fn of(text: &[u8], digits: &[u8]) -> Self {
        if digits.is_empty() {
            return Self::Empty;
        }
        // A foreign character tells more than a wrong length does, but only
        // near the front: nobody wants it searched in a very long value.
        let front = digits.get(..MAX_DIGITS).unwrap_or(digits);
        match front.iter().position(|byte| !byte.is_ascii_digit()) {
            Some(at) => Self::Digit {
                column: text.len() - digits.len() + at + 1,
            },
            None => Self::Length(digits.len()),
        }
    }
}

/// The longest form, an IMEISV.
const MAX_DIGITS: usize = 16;

/// How many serial numbers there are in one TAC.
const SERIALS_PER_TAC: u64 = 1_000_000;

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// The device of these digits.
    fn device(digits: &str) -> Device {
        Device::from_digits(digits.as_bytes()).unwrap()
    }

    /// Vectors: the number of TS 23.003 annex B, and three worked by hand.
    #[test]
    fn computes_check_digits() {
        for (digits, check_digit) in [
            ("26053179311383", 7),
            ("49015420323751", 8),
            ("35209900176148", 1),
            ("00000000000000", 0),
        ] {
            assert_eq!(device(digits).check_digit(), check_digit, "{digits}");
        }
    }

    #[test]
    fn one_device_in_every_form() {
        let one = device("49015420323751");
        for (text, svn, check_digit) in [
            ("49015420323751", None, CheckDigit::Absent),
            ("490154203237518", None, CheckDigit::Right),
            ("490154203237510", None, CheckDigit::Zero),
            ("490154203237513", None, CheckDigit::Wrong),
            ("4901542032375186", Some(86), CheckDigit::Absent),
            ("imei-490154203237518", None, CheckDigit::Right),
            ("imei-49015420323751", None, CheckDigit::Absent),
            ("imeisv-4901542032375100", Some(0), CheckDigit::Absent),
            ("IMEISV-4901542032375199", Some(99), CheckDigit::Absent),
        ] {
            let imei = Imei {
                device: one,
                svn: svn.and_then(Svn::from_number),
                check_digit,
            };
            assert_eq!(Imei::parse(text.as_bytes()), Ok(imei), "{text}");
        }
        // A zero that is the check digit is the check digit.
        let imei = Imei::parse(b"000000000000000").unwrap();
        assert_eq!(imei.check_digit, CheckDigit::Right);
    }

    #[test]
    fn says_what_is_wrong() {
        let column = |column| ImeiError::Digit { column };
        for (text, error) in [
            ("", ImeiError::Empty),
            ("imei-", ImeiError::Empty),
            ("1", ImeiError::Length(1)),
            ("4901542032375", ImeiError::Length(13)),
            ("49015420323751866", ImeiError::Length(17)),
            ("4901542032375186x", ImeiError::Length(17)),
            ("4.90154E+13", column(2)),
            ("imei-4901542032375x", column(19)),
            ("49-015420-323751-8", column(3)),
            ("4901542032375A", column(14)),
            ("49015420323751 ", column(15)),
            ("mac-00-00-5e-00-53-00", column(1)),
            ("imei", column(1)),
            ("٤9015420323751", column(1)),
        ] {
            assert_eq!(Imei::parse(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(Imei::parse(&[b'1'; 70_000]), Err(ImeiError::Length(70_000)),);
    }

    #[test]
    fn prints_and_masks() {
        let imei = Imei::parse(b"imeisv-0049015420323751").unwrap();
        assert_eq!(imei.to_string(), "0049015420323751");
        assert_eq!(imei.device.to_string(), "00490154203237");
        assert_eq!(imei.masked().to_string(), "00490154******");
        assert_eq!(imei.device.tac().to_string(), "00490154");
        assert_eq!(device("99999999999999").tac(), Tac::MAX);
        assert_eq!(Device::from_number(100_000_000_000_000), None);
        assert_eq!(Svn::from_digits(b"07").unwrap().to_string(), "07");
        for wrong in ["", "7", "007", "0x", "x0"] {
            assert_eq!(Svn::from_digits(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Svn::from_number(100), None);
    }
}
