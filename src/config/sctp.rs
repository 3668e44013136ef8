//! `[diameter.sctp]`: associations, and what one address to listen on has
//! otherwise.
//!
//! The defaults are for signalling networks, where a broken path must be left
//! within a second or two. The kernel's own (`sysctl net.sctp`) are those of
//! RFC 4960 for the public Internet, where the same takes most of a minute.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::endpoint::{Endpoint, Transport};
use super::text;

/// Streams in either direction: clients spread their requests over up to 30,
/// and each answer goes back on the stream of its request.
pub const DEFAULT_STREAMS: u16 = 32;
/// At least one.
pub const MIN_STREAMS: u16 = 1;
/// Each stream costs the kernel memory in every association, and no client is
/// known to use as many.
pub const MAX_STREAMS: u16 = 1024;

/// The retransmission timeout before anything was measured: the second of RFC
/// 9260 clause 16.
pub const DEFAULT_RTO_INITIAL: Duration = Duration::from_secs(1);
/// The least retransmission timeout: more than the 200 ms for which peers may
/// hold back an acknowledgement, or those would be taken for losses.
pub const DEFAULT_RTO_MIN: Duration = Duration::from_millis(300);
/// The greatest: a broken path shows after few retransmissions, so they must
/// not be far apart.
pub const DEFAULT_RTO_MAX: Duration = Duration::from_secs(3);
/// Below, the scheduling of a busy machine alone would cause retransmissions.
pub const MIN_RTO: Duration = Duration::from_millis(10);
/// The greatest that RFC 9260 clause 16 recommends.
pub const MAX_RTO: Duration = Duration::from_secs(60);

/// How often an idle path is probed: a broken one should be known before it is
/// needed.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(5);
/// Each path of each association is probed so often.
pub const MIN_HEARTBEAT: Duration = Duration::from_millis(100);
/// Beyond an hour nobody learns of a broken path by it.
pub const MAX_HEARTBEAT: Duration = Duration::from_secs(3600);

/// Retransmissions that make a path broken: one loss is common and two happen.
pub const DEFAULT_PATH_MAX_RETRANS: u16 = 3;
/// With none, every lost packet would end a path.
pub const MIN_PATH_MAX_RETRANS: u16 = 1;
/// Beyond, the watchdog is faster.
pub const MAX_PATH_MAX_RETRANS: u16 = 20;

/// Retransmissions that end an association, as RFC 9260 clause 16 recommends:
/// with the timeouts above some 25 s, so that a network which is back by then
/// costs no connection.
pub const DEFAULT_ASSOCIATION_MAX_RETRANS: u16 = 10;
/// With none, every lost packet would end an association.
pub const MIN_ASSOCIATION_MAX_RETRANS: u16 = 1;
/// Beyond, the watchdog is faster.
pub const MAX_ASSOCIATION_MAX_RETRANS: u16 = 40;

/// Writes down the keys once: as they are in `[diameter.sctp]`, and as they may
/// be in an entry of `listen`.
macro_rules! keys {
    ($($(#[$doc:meta])* $key:ident: $type:ty = $default:expr, $read:literal, $optional:literal;)*) => {
        /// `[diameter.sctp]`: associations that peers open, and our own.
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Sctp {
            $($(#[$doc])* #[serde(with = $read)] pub $key: $type,)*
        }

        impl Default for Sctp {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        /// What one address has otherwise.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct SctpOverrides {
            $($(#[$doc])* pub $key: Option<$type>,)*
        }

        impl SctpOverrides {
            /// These, and `general` for the rest.
            #[must_use]
            pub fn over(&self, general: &Sctp) -> Sctp {
                Sctp { $($key: self.$key.unwrap_or(general.$key),)* }
            }
        }

        /// An entry of `listen` as a table.
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            /// The address.
            address: Endpoint,
            $($(#[$doc])* #[serde(
                default, with = $optional, skip_serializing_if = "Option::is_none"
            )] $key: Option<$type>,)*
        }

        impl From<Table> for Listen {
            fn from(table: Table) -> Self {
                Self {
                    endpoint: table.address,
                    sctp: SctpOverrides { $($key: table.$key,)* },
                }
            }
        }

        impl From<&Listen> for Table {
            fn from(listen: &Listen) -> Self {
                Self {
                    address: listen.endpoint.clone(),
                    $($key: listen.sctp.$key,)*
                }
            }
        }
    };
}

keys! {
    /// Streams to the peer that are asked for.
    streams_out: u16 = DEFAULT_STREAMS, "text::number", "text::optional_number";
    /// Streams from the peer that are allowed.
    streams_in: u16 = DEFAULT_STREAMS, "text::number", "text::optional_number";
    /// The retransmission timeout before anything was measured.
    rto_initial: Duration = DEFAULT_RTO_INITIAL, "text::duration", "text::optional_duration";
    /// The least retransmission timeout.
    rto_min: Duration = DEFAULT_RTO_MIN, "text::duration", "text::optional_duration";
    /// The greatest retransmission timeout.
    rto_max: Duration = DEFAULT_RTO_MAX, "text::duration", "text::optional_duration";
    /// How often an idle path is probed.
    heartbeat: Duration = DEFAULT_HEARTBEAT, "text::duration", "text::optional_duration";
    /// Retransmissions in a row that make a path broken.
    path_max_retrans: u16 = DEFAULT_PATH_MAX_RETRANS, "text::number", "text::optional_number";
    /// Retransmissions in a row that end the association.
    association_max_retrans: u16 = DEFAULT_ASSOCIATION_MAX_RETRANS, "text::number",
        "text::optional_number";
}

//----------- Listen ----------------------------------------------------------

/// An entry of `listen`: an address, or a table with an address and what its
/// associations have otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub endpoint: Endpoint,
    /// What its associations have otherwise; nothing where they are none.
    pub sctp: SctpOverrides,
}

impl Listen {
    /// Whether it is more than an address.
    #[must_use]
    pub fn has_overrides(&self) -> bool {
        self.sctp != SctpOverrides::default()
    }

    /// Whether it has keys of SCTP without being for SCTP.
    #[must_use]
    pub fn is_contradictory(&self) -> bool {
        self.endpoint.transport != Transport::Sctp && self.has_overrides()
    }
}

impl From<Endpoint> for Listen {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            sctp: SctpOverrides::default(),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(|endpoint: Endpoint| endpoint.into())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.has_overrides() {
            true => Table::from(self).serialize(serializer),
            false => self.endpoint.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Takes either form.
        struct AddressOrTable;

        impl<'de> Visitor<'de> for AddressOrTable {
            type Value = Listen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or a table with one")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Listen, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listen, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map));
                table.map(Into::into)
            }
        }

        deserializer.deserialize_any(AddressOrTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_what_it_names_otherwise_and_the_rest_from_the_general() {
        let text = "listen = [\"tcp://a\", { address = \"sctp://b,c:1\", rto_min = \"1500ms\" }]";
        /// Entries as in `[diameter]`.
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Entries {
            /// The entries.
            listen: Vec<Listen>,
        }
        let entries: Entries = toml::from_str(text).unwrap();
        let [plain, table] = &entries.listen[..] else {
            panic!("{entries:?}");
        };
        assert!(!plain.has_overrides() && !plain.is_contradictory());
        let general = Sctp {
            streams_in: 5,
            ..Sctp::default()
        };
        assert_eq!(plain.sctp.over(&general), general);
        let expected = Sctp {
            rto_min: Duration::from_millis(1500),
            ..general.clone()
        };
        assert_eq!(table.sctp.over(&general), expected);
        let written = toml::to_string(&entries).unwrap();
        assert_eq!(toml::from_str(&written), Ok(entries), "{written}");
    }
}
