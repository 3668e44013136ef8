//! How single values are written in the configuration: durations, statuses, and
//! lists of one.

use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;

use serde::de::value::{SeqAccessDeserializer, StringDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, IntoDeserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::equipment::Status;
use crate::lists::field::{self, End};
use crate::policy::Malformed;
use crate::time::UnixTime;

//----------- MaxChange -------------------------------------------------------

/// By how many percent a list may change: `"25%"`, or `"off"` for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxChange(Option<u32>);

impl MaxChange {
    /// The percentage; `None` if any change is allowed.
    #[must_use]
    pub const fn percent(self) -> Option<u32> {
        self.0
    }
}

impl Default for MaxChange {
    fn default() -> Self {
        Self(Some(super::DEFAULT_MAX_CHANGE))
    }
}

impl FromStr for MaxChange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let number = text.strip_suffix('%').map(str::trim_end);
        let digits = number.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|number| number.parse().ok()) {
            Some(percent) if percent > 0 => Ok(Self(Some(percent))),
            _ => Err(format!(
                "`{text}` is no percentage; write for example \"25%\", or \"off\" for any change"
            )),
        }
    }
}

impl fmt::Display for MaxChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(percent) => write!(f, "{percent}%"),
            None => f.write_str("off"),
        }
    }
}

impl Serialize for MaxChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MaxChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

//----------- Durations -------------------------------------------------------

/// A duration as a number and a unit: `"30s"`.
pub(super) mod duration {
    use core::time::Duration;

    use super::{Deserialize, Deserializer, Serializer};
    use serde::de::Error as _;

    /// Writes the duration in the largest unit that fits it evenly.
    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::show_duration(*value))
    }

    /// Reads `"1500ms"`, `"30s"`, `"5m"` or `"1h"`.
    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)
            .map_err(|_| D::Error::custom("is no duration; write for example \"30s\""))?;
        super::parse_duration(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no duration; write a number and ms, s, m or h, as in \"30s\""
            ))
        })
    }
}

/// The same, where the key may be absent.
pub(super) mod optional_duration {
    use core::time::Duration;

    use super::{Deserializer, Serializer};

    /// Writes the duration that is there.
    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a duration.
    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::duration::deserialize(deserializer).map(Some)
    }
}

/// A small whole number, both ways.
pub(super) mod number {
    use super::{Deserializer, Serializer};

    /// Writes the number.
    pub(in crate::config) fn serialize<S: Serializer>(
        value: &u16,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(*value)
    }

    /// Reads a number.
    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u16, D::Error> {
        super::whole_number(deserializer)
    }
}

/// The same, where the key may be absent.
pub(super) mod optional_number {
    use super::{Deserializer, Serializer};

    /// Writes the number that is there.
    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Option<u16>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_u16(*value),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a number.
    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u16>, D::Error> {
        super::whole_number(deserializer).map(Some)
    }
}

/// Reads a number with a unit.
pub(crate) fn parse_duration(text: &str) -> Option<core::time::Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(core::time::Duration::from_millis(
        number.checked_mul(millis)?,
    ))
}

/// The duration as the configuration writes it.
pub(super) fn show_duration(value: core::time::Duration) -> String {
    let millis = value.as_millis();
    match millis {
        0 => "0s".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

//----------- Statuses and outcomes -------------------------------------------

/// Declares a `serde(with = …)` module of a value that is written as one word.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $type:ty, $parse:path, $show:path) => {
        $(#[$doc])*
        pub(super) mod $name {
            use super::{Deserializer, Serializer};

            /// Writes the word.
            pub(in crate::config) fn serialize<S: Serializer>(
                value: &$type,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$show(value))
            }

            /// Reads the word.
            pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                super::read_word(deserializer, $parse)
            }
        }
    };
    ($(#[$doc:meta])* optional $name:ident, $type:ty, $parse:path, $show:path) => {
        $(#[$doc])*
        pub(super) mod $name {
            use super::{Deserializer, Serializer};

            /// Writes the word, or nothing.
            pub(in crate::config) fn serialize<S: Serializer>(
                value: &Option<$type>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                match value {
                    Some(value) => serializer.serialize_some(&$show(value)),
                    None => serializer.serialize_none(),
                }
            }

            /// Reads the word.
            pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<$type>, D::Error> {
                super::read_word(deserializer, $parse).map(Some)
            }
        }
    };
}

word!(
    /// An Equipment-Status by one of its names.
    status, crate::equipment::Status, super::parse_status, super::show_status
);
word!(
    /// The same, where the key may be absent.
    optional optional_status, crate::equipment::Status, super::parse_status, super::show_status
);
word!(
    /// `unknown`, or a status.
    outcome, Option<crate::equipment::Status>, super::parse_outcome, super::show_outcome
);
word!(
    /// A last second: a date, or a moment.
    until, crate::time::UnixTime, super::parse_until, ToString::to_string
);
word!(
    /// The first second of a validity: a date, or a moment.
    optional optional_from, crate::time::UnixTime, super::parse_from, ToString::to_string
);
word!(
    /// The last second of a validity: a date, or a moment.
    optional optional_until, crate::time::UnixTime, super::parse_until, ToString::to_string
);
word!(
    /// `5004`, or a status.
    malformed, crate::policy::Malformed, super::parse_malformed, super::show_malformed
);
word!(
    /// The same, where the key may be absent.
    optional optional_malformed, crate::policy::Malformed, super::parse_malformed, super::show_malformed
);
word!(
    /// `continue`, or a status.
    on_match, Option<crate::equipment::Status>, super::parse_on_match, super::show_on_match
);

/// Reads a status, or says which there are.
fn parse_status(text: &str) -> Result<Status, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no status; write whitelisted, greylisted or blacklisted"))
}

/// The status as it is written.
fn show_status(status: &Status) -> String {
    status.to_string()
}

/// Reads the first second of a date, or a moment.
fn parse_from(text: &str) -> Result<UnixTime, String> {
    field::moment(text.as_bytes(), End::From)
}

/// Reads the last second of a date, or a moment.
fn parse_until(text: &str) -> Result<UnixTime, String> {
    field::moment(text.as_bytes(), End::Until)
}

/// Reads `unknown` or a status.
fn parse_outcome(text: &str) -> Result<Option<Status>, String> {
    match text {
        "unknown" | "5422" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| {
            format!("`{text}` is neither `unknown` nor a status; write unknown, whitelisted, greylisted or blacklisted")
        }),
    }
}

/// `unknown` or a status, as it is written.
fn show_outcome(status: &Option<Status>) -> String {
    status.map_or_else(|| "unknown".to_owned(), |status| status.to_string())
}

/// Reads what a malformed IMEI is answered.
fn parse_malformed(text: &str) -> Result<Malformed, String> {
    match text {
        "5004" | "fault" => Ok(Malformed::Fault),
        _ => text.parse().map(Malformed::Status).map_err(|_| {
            format!("`{text}` is neither `5004` nor a status; write 5004, whitelisted, greylisted or blacklisted")
        }),
    }
}

/// What a malformed IMEI is answered, as it is written.
fn show_malformed(malformed: &Malformed) -> String {
    match malformed {
        Malformed::Fault => "5004".to_owned(),
        Malformed::Status(status) => status.to_string(),
    }
}

/// Reads what a bound IMSI in its device is answered.
fn parse_on_match(text: &str) -> Result<Option<Status>, String> {
    match text {
        "continue" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| {
            format!("`{text}` is neither `continue` nor a status; write continue, whitelisted, greylisted or blacklisted")
        }),
    }
}

/// What a bound IMSI in its device is answered, as it is written.
fn show_on_match(on_match: &Option<Status>) -> String {
    on_match.map_or_else(|| "continue".to_owned(), |status| status.to_string())
}

/// What an unlisted device is answered, where the key may be absent: a word,
/// or `{ status = …, until = …, then = … }` for a grace period.
pub(super) mod optional_unlisted {
    use serde::Serialize;
    use serde::de::value::{MapAccessDeserializer, StringDeserializer};
    use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};
    use serde::ser::Serializer;

    use crate::equipment::Status;
    use crate::policy::Unlisted;
    use crate::time::UnixTime;

    /// The table of a grace period.
    #[derive(Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Grace {
        /// The status for now.
        #[serde(with = "super::status")]
        status: Status,
        /// The last second of it.
        #[serde(with = "super::until")]
        until: UnixTime,
        /// What is said after.
        #[serde(default, with = "super::outcome")]
        then: Option<Status>,
    }

    /// Writes the word or the table, or nothing.
    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Option<Unlisted>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match *value {
            None => serializer.serialize_none(),
            Some(Unlisted::Unknown) => serializer.serialize_some(&super::show_outcome(&None)),
            Some(Unlisted::Status(status)) => serializer.serialize_some(&status.to_string()),
            Some(Unlisted::Grace {
                status,
                until,
                then,
            }) => serializer.serialize_some(&Grace {
                status,
                until,
                then,
            }),
        }
    }

    /// Reads either form.
    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Unlisted>, D::Error> {
        /// Takes either form.
        struct WordOrTable;

        impl<'de> Visitor<'de> for WordOrTable {
            type Value = Unlisted;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a word in quotes, or a table with status and until")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Unlisted, E> {
                let word: StringDeserializer<E> = text.to_owned().into_deserializer();
                let status = super::outcome::deserialize(word)?;
                Ok(status.map_or(Unlisted::Unknown, Unlisted::Status))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Unlisted, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Unlisted, A::Error> {
                let grace = Grace::deserialize(MapAccessDeserializer::new(table))?;
                Ok(Unlisted::Grace {
                    status: grace.status,
                    until: grace.until,
                    then: grace.then,
                })
            }
        }

        deserializer.deserialize_any(WordOrTable).map(Some)
    }
}

/// Reads one word, or a number that stands for one, and gives it its meaning.
fn read_word<'de, D, T>(
    deserializer: D,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    /// Turns a string or a number into text.
    struct Word;

    impl Visitor<'_> for Word {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a word in quotes")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_i64<E>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }

    let text = deserializer.deserialize_any(Word)?;
    parse(&text).map_err(D::Error::custom)
}

//----------- Numbers ---------------------------------------------------------

/// Reads a number that is whole and not negative.
pub(super) fn whole_number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    let number = i64::deserialize(deserializer)?;
    T::try_from(number).map_err(|_| {
        let why = if number < 0 {
            "less than 0"
        } else {
            "too large"
        };
        D::Error::custom(format!("{number} is {why}"))
    })
}

/// The same, where the key may be absent.
pub(super) fn optional_whole_number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    whole_number(deserializer).map(Some)
}

//----------- One or many -----------------------------------------------------

/// Reads a string, or an array of strings.
pub(super) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    /// Takes either form.
    struct OneOrMany<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string or an array of strings")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            let one: StringDeserializer<E> = text.to_owned().into_deserializer();
            T::deserialize(one).map(|value| vec![value])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, many: A) -> Result<Vec<T>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(many))
        }
    }

    deserializer.deserialize_any(OneOrMany(PhantomData))
}

/// The same, where the key may be absent.
pub(super) fn optional_one_or_many<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    one_or_many(deserializer).map(Some)
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn durations_round_trip_and_reject_what_has_no_unit() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1500ms", 1500),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)));
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "1d",
            "99999999999999999999s",
            "ß",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
