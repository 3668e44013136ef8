//! Equipment-Status: what an EIR says of a device.

use core::fmt;
use core::str::FromStr;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

//----------- Status ----------------------------------------------------------

/// The status of a device, numbered as in the Equipment-Status AVP
/// (TS 29.272 clause 7.3.51).
///
/// The three lists have newer names with the same meaning (TS 22.016):
/// *permitted* for white, *prohibited* for black, *tracking* for grey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// May be used.
    Whitelisted = 0,
    /// Must not be used: the network refuses it.
    Blacklisted = 1,
    /// May be used, and is watched.
    Greylisted = 2,
}

impl Status {
    /// All three, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Whitelisted, Self::Blacklisted, Self::Greylisted];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// How hard the status is on the device: black above grey above white.
    #[must_use]
    pub const fn severity(self) -> u8 {
        match self {
            Self::Whitelisted => 0,
            Self::Greylisted => 1,
            Self::Blacklisted => 2,
        }
    }

    /// The name, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whitelisted => "whitelisted",
            Self::Blacklisted => "blacklisted",
            Self::Greylisted => "greylisted",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

//--- Reading

/// Takes the old and new names of the lists, in any case, and the numbers.
impl FromStr for Status {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NAMES
            .iter()
            .find(|(name, _)| text.eq_ignore_ascii_case(name))
            .map(|&(_, status)| status)
            .ok_or(StatusError)
    }
}

/// Text that names no [`Status`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a status; must be whitelisted, blacklisted or greylisted")]
pub struct StatusError;

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusVisitor)
    }
}

/// Takes what [`FromStr`] takes, and the number as a number.
struct StatusVisitor;

impl Visitor<'_> for StatusVisitor {
    type Value = Status;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whitelisted, blacklisted or greylisted")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Status, E> {
        text.parse()
            .map_err(|StatusError| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Status, E> {
        Status::ALL
            .into_iter()
            .find(|status| i64::from(status.number()) == number)
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Status, E> {
        Status::ALL
            .into_iter()
            .find(|status| u64::from(status.number()) == number)
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }
}

/// Every name of a status.
const NAMES: [(&str, Status); 19] = [
    ("whitelisted", Status::Whitelisted),
    ("whitelist", Status::Whitelisted),
    ("white", Status::Whitelisted),
    ("permittedlisted", Status::Whitelisted),
    ("permitted", Status::Whitelisted),
    ("0", Status::Whitelisted),
    ("blacklisted", Status::Blacklisted),
    ("blacklist", Status::Blacklisted),
    ("black", Status::Blacklisted),
    ("prohibitedlisted", Status::Blacklisted),
    ("prohibited", Status::Blacklisted),
    ("1", Status::Blacklisted),
    ("greylisted", Status::Greylisted),
    ("greylist", Status::Greylisted),
    ("grey", Status::Greylisted),
    ("gray", Status::Greylisted),
    ("trackinglisted", Status::Greylisted),
    ("tracking", Status::Greylisted),
    ("2", Status::Greylisted),
];

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_old_and_new_names() {
        for (text, number) in [
            ("white", 0),
            ("WHITELISTED", 0),
            ("PERMITTEDLISTED", 0),
            ("black", 1),
            ("Blacklisted", 1),
            ("prohibited", 1),
            ("grey", 2),
            ("gray", 2),
            ("TRACKINGLISTED", 2),
            ("2", 2),
        ] {
            let status: Status = text.parse().unwrap();
            assert_eq!(status.number(), number, "{text}");
        }
        for wrong in ["", " white", "whitelistedd", "3", "00", "blocked"] {
            assert_eq!(wrong.parse::<Status>(), Err(StatusError), "{wrong}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for status in Status::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
            assert_eq!(status.number().to_string().parse(), Ok(status));
        }
        assert_eq!(Status::ALL.map(Status::severity), [0, 2, 1]);
    }

    #[test]
    fn goes_through_serde() {
        /// A document that holds statuses.
        #[derive(Debug, Deserialize, PartialEq, Serialize)]
        struct Document {
            /// Them.
            status: Vec<Status>,
        }
        let document: Document = toml::from_str("status = [\"prohibited\", 2, \"0\"]").unwrap();
        assert_eq!(
            document.status,
            [Status::Blacklisted, Status::Greylisted, Status::Whitelisted],
        );
        let text = toml::to_string(&document).unwrap();
        assert_eq!(
            text.trim(),
            "status = [\"blacklisted\", \"greylisted\", \"whitelisted\"]"
        );
        for wrong in ["status = [3]", "status = [-1]", "status = [\"blue\"]"] {
            let error = toml::from_str::<Document>(wrong).unwrap_err();
            assert!(
                error
                    .message()
                    .contains("whitelisted, blacklisted or greylisted"),
                "{error}"
            );
        }
    }
}
