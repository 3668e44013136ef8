//! Who may connect, and whom the EIR calls: `[[diameter.peer]]`,
//! `[diameter.allow]`, `[diameter.deny]`, `[[diameter.connect]]`.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use core::time::Duration;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use super::diameter::Diameter;
use super::endpoint::Endpoint;
use super::text;
use crate::base::admission::{Admission, KnownPeer, Rules};
use crate::base::network::{Network, NetworkError};
use crate::names::NamePattern;
use crate::wire::compose::HostAddress;

/// Connections of one peer at once: one, as RFC 6733 clause 5.6.4 has it.
pub const DEFAULT_CONNECTIONS_PER_PEER: u16 = 1;
/// At least one.
pub const MIN_CONNECTIONS_PER_PEER: u16 = 1;
/// An agent with more processes than this gives them names of their own.
pub const MAX_CONNECTIONS_PER_PEER: u16 = 64;

/// How long to wait before a peer is called again: Tc of RFC 6733 clause 2.1.
pub const DEFAULT_RETRY: Duration = Duration::from_secs(30);
/// Below a second an agent that restarts would be kept from it by calls.
pub const MIN_RETRY: Duration = Duration::from_secs(1);
/// Whoever waits for longer than an hour is not waited for.
pub const MAX_RETRY: Duration = Duration::from_secs(3600);

/// `[[diameter.peer]]`: a peer that is known by name.
///
/// Peers are told apart by the Origin-Host of their CER, never by an address:
/// a DRA may come from any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// The Origin-Host that its CER must carry; letter case does not count.
    pub origin_host: String,
    /// The Origin-Realm that its CER must carry; any if absent.
    #[serde(default)]
    pub origin_realm: Option<String>,
    /// The networks that it must come from; any if empty. Nobody else can then
    /// take its name.
    #[serde(default, deserialize_with = "text::one_or_many")]
    pub network: Vec<Cidr>,
    /// How many connections it may have, instead of `connections_per_peer`.
    #[serde(default)]
    pub connections: Option<u16>,
}

/// `[diameter.allow]` and `[diameter.deny]`: peers by name, realm and network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Origin-Hosts, whole or as `*.suffix`.
    #[serde(deserialize_with = "text::one_or_many")]
    pub origin_host: Vec<String>,
    /// Origin-Realms, whole or as `*.suffix`.
    #[serde(deserialize_with = "text::one_or_many")]
    pub origin_realm: Vec<String>,
    /// Networks.
    #[serde(deserialize_with = "text::one_or_many")]
    pub network: Vec<Cidr>,
}

/// `[[diameter.connect]]`: a peer that the EIR calls, such as a DRA.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// Where it listens.
    pub address: Endpoint,
    /// The Origin-Host that its CEA must carry; letter case does not count.
    pub origin_host: String,
    /// The Origin-Realm that its CEA must carry; any if absent.
    #[serde(default)]
    pub origin_realm: Option<String>,
    /// How long to wait before it is called again, give or take a tenth.
    #[serde(default = "default_retry", with = "text::duration")]
    pub retry: Duration,
}

/// What `retry` is when it is not given.
const fn default_retry() -> Duration {
    DEFAULT_RETRY
}

impl Connect {
    /// Whether both are the same peer at the same place.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.address == other.address
            && self.origin_host.eq_ignore_ascii_case(&other.origin_host)
            && self.origin_realm == other.origin_realm
    }
}

impl Diameter {
    /// Takes over what another configuration says of peers: all that can change
    /// while the server runs.
    pub fn take_peers(&mut self, other: &Self) {
        self.unknown_peers = other.unknown_peers;
        self.connections_per_peer = other.connections_per_peer;
        self.allow.clone_from(&other.allow);
        self.deny.clone_from(&other.deny);
        self.peers.clone_from(&other.peers);
        self.connect.clone_from(&other.connect);
    }

    /// Which peers may connect. Those that the EIR calls are known as well.
    #[must_use]
    pub fn admission(&self) -> Admission {
        let mut peers: Vec<KnownPeer> = self.peers.iter().map(Peer::known).collect();
        for connect in &self.connect {
            let is_new =
                |peer: &KnownPeer| !peer.origin_host.eq_ignore_ascii_case(&connect.origin_host);
            if peers.iter().all(is_new) {
                peers.push(KnownPeer {
                    origin_host: connect.origin_host.clone(),
                    origin_realm: connect.origin_realm.clone(),
                    ..KnownPeer::default()
                });
            }
        }
        Admission {
            unknown_peers: self.unknown_peers,
            peers,
            allow: self.allow.rules(),
            deny: self.deny.rules(),
            connections: self.connections_per_peer,
        }
    }
}

impl Peer {
    /// The peer as admission knows it.
    fn known(&self) -> KnownPeer {
        KnownPeer {
            origin_host: self.origin_host.clone(),
            origin_realm: self.origin_realm.clone(),
            networks: self.network.iter().map(|cidr| cidr.0).collect(),
            connections: self.connections,
        }
    }
}

impl Access {
    /// The rules as admission knows them.
    fn rules(&self) -> Rules {
        // Those that are no pattern were reported when the file was checked.
        let patterns = |names: &[String]| {
            let patterns = names.iter().filter_map(|name| NamePattern::parse(name));
            patterns.collect()
        };
        Rules {
            origin_hosts: patterns(&self.origin_host),
            origin_realms: patterns(&self.origin_realm),
            networks: self.network.iter().map(|cidr| cidr.0).collect(),
        }
    }
}

//----------- Cidr ------------------------------------------------------------

/// A network as it is written: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr(pub Network);

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address = match address.parse::<IpAddr>() {
            // The addresses of peers are looked at like this, too.
            Ok(address) => match address.to_canonical() {
                IpAddr::V4(v4) => HostAddress::V4(v4.octets()),
                IpAddr::V6(v6) => HostAddress::V6(v6.octets()),
            },
            Err(_) => {
                return Err(format!(
                    "`{text}` is no network; write an address and a prefix length, as in \
                     `10.0.0.0/8` or `2001:db8::/32`"
                ));
            }
        };
        let Some(prefix) = prefix else {
            return Ok(Self(Network::host(address)));
        };
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix_len: u8 = match prefix.parse() {
            Ok(prefix_len) if digits => prefix_len,
            _ => return Err(format!("`{text}`: `{prefix}` is no prefix length")),
        };
        match Network::new(address, prefix_len) {
            Ok(network) => Ok(Self(network)),
            Err(NetworkError::TooLong(most)) => Err(format!(
                "`{text}`: the prefix is longer than the address; {most} is the most"
            )),
            Err(NetworkError::HostBits(network)) => Err(format!(
                "`{text}` has bits set behind the prefix; write `{network}` for the network, or \
                 leave the prefix out for the one address"
            )),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_they_print() {
        for (text, printed) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            let cidr: Cidr = text.parse().unwrap();
            assert_eq!(cidr.to_string(), printed);
            assert_eq!(printed.parse(), Ok(cidr));
        }
        for (text, part) in [
            ("10.1.2.3/8", "write `10.0.0.0/8`"),
            ("10.0.0.0/33", "32 is the most"),
            ("2001:db8::/129", "128 is the most"),
            ("10.0.0.0/", "no prefix length"),
            ("10.0.0.0/+8", "no prefix length"),
            ("10.0.0.0/255.0.0.0", "no prefix length"),
            ("10.0.0/8", "no network"),
            ("mme.example", "no network"),
            ("", "no network"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
