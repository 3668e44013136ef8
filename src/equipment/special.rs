//! Devices that are conspicuous by their digits alone, or by their TAC.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::{Device, TacDirectory};

/// A peculiarity that a rule can speak of instead of naming devices.
///
/// A device may have several of them: one of fourteen zeros has all four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Special {
    /// Test equipment: the Reporting Body Identifier, the first two digits, is
    /// 00 or 02 to 09 (GSMA TS.06).
    Test,
    /// Fourteen zeros: no identity was programmed.
    Zero,
    /// Fourteen times the same digit, zero included: no manufacturer assigns
    /// such a number.
    Repeated,
    /// The TAC is not in the directory of models: nobody was given it. Of no
    /// effect where the directory is empty, as then nothing would be allocated.
    UnallocatedTac,
}

impl Special {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Test, Self::Zero, Self::Repeated, Self::UnallocatedTac];

    /// The name, as lists and configurations write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Zero => "zero",
            Self::Repeated => "repeated",
            Self::UnallocatedTac => "unallocated_tac",
        }
    }

    /// Whether a device is of this kind; `None` if that depends on which TACs
    /// are allocated.
    #[must_use]
    pub const fn covers(self, device: Device) -> Option<bool> {
        let number = device.number();
        match self {
            Self::Test => {
                let reporting_body = number / REPORTING_BODY;
                Some(reporting_body <= 9 && reporting_body != 1)
            }
            Self::Zero => Some(number == 0),
            Self::Repeated => Some(number.is_multiple_of(ONES)),
            Self::UnallocatedTac => None,
        }
    }

    /// Whether a device is of this kind, by a directory of the models that
    /// there are.
    #[must_use]
    pub fn covers_by(self, device: Device, models: &TacDirectory) -> bool {
        match self.covers(device) {
            Some(covered) => covered,
            None => !models.is_empty() && !models.contains(device.tac()),
        }
    }

    /// The number, from 0: its place in [`Self::ALL`].
    pub(super) const fn number(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a device is divided by to leave the first two digits.
const REPORTING_BODY: u64 = 1_000_000_000_000;

/// Fourteen ones; its multiples below 10¹⁴ repeat one digit.
const ONES: u64 = 11_111_111_111_111;

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::{Builder, Tac};

    #[test]
    fn peculiarities_are_seen_in_the_digits() {
        let mut builder = Builder::new();
        let tac = Tac::from_digits(b"49015420").unwrap();
        builder.model(tac, "Acme", "One").unwrap();
        let snapshot = builder.finish();
        // The digits as text are the oracle.
        for (digits, expected) in [
            ("49015420323751", ""),
            ("49015421323751", "unallocated_tac"),
            ("00101234000001", "test unallocated_tac"),
            ("01234567000001", "unallocated_tac"),
            ("02000000000000", "test unallocated_tac"),
            ("09999999999999", "test unallocated_tac"),
            ("10000000000000", "unallocated_tac"),
            ("00000000000000", "test zero repeated unallocated_tac"),
            ("11111111111111", "repeated unallocated_tac"),
            ("99999999999999", "repeated unallocated_tac"),
            ("99999999999998", "unallocated_tac"),
        ] {
            let device = Device::from_digits(digits.as_bytes()).unwrap();
            let found = Special::ALL
                .into_iter()
                .filter(|special| special.covers_by(device, snapshot.models()))
                .map(Special::name);
            assert_eq!(found.collect::<Vec<_>>().join(" "), expected, "{digits}");
            let empty = TacDirectory::default();
            assert!(!Special::UnallocatedTac.covers_by(device, &empty));
        }
    }

    #[test]
    fn numbers_are_places() {
        for (place, special) in Special::ALL.into_iter().enumerate() {
            assert_eq!(special.number(), place);
        }
    }
}
