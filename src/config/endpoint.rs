//! Where a Diameter node is reached: `tcp://HOST:PORT`, `tls://HOST:PORT`, or
//! `sctp://HOST,HOST:PORT`.

use core::fmt;
use core::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// The port of Diameter over TCP and SCTP (RFC 6733 clause 11.4).
pub const DEFAULT_PORT: u16 = 3868;

/// The port of Diameter over TLS (RFC 6733 clause 11.4, which erratum 3997
/// sides with against 5658 in the clauses before it).
pub const DEFAULT_TLS_PORT: u16 = 5868;

/// The most addresses of one end of an association: more than two networks are
/// rare, and each is probed by heartbeats.
pub const HOSTS_MAX: usize = 8;

/// Where a Diameter node is reached, or listens.
///
/// A host is an IPv4 address, an IPv6 address in brackets, or a name that is
/// resolved when it is used. Only SCTP has more than one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// What carries the messages.
    pub transport: Transport,
    /// Addresses, without brackets, or names; at least one.
    pub hosts: Vec<String>,
    /// The port; 0 lets the system choose one to listen on.
    pub port: u16,
}

/// What carries Diameter messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A byte stream.
    Tcp,
    /// A byte stream, encrypted and authenticated.
    Tls,
    /// Messages, over one path or several.
    Sctp,
}

impl Transport {
    /// All, in the order in which they are spoken of.
    const ALL: [Self; 3] = [Self::Tcp, Self::Tls, Self::Sctp];

    /// The scheme of its endpoints.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Sctp => "sctp",
        }
    }

    /// The port that goes without saying.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tcp | Self::Sctp => DEFAULT_PORT,
            Self::Tls => DEFAULT_TLS_PORT,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            transport: Transport::Tcp,
            hosts: vec!["127.0.0.1".to_owned()],
            port: DEFAULT_PORT,
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("`{text}` is no address; write `tcp://{text}`"));
        };
        let transport = Transport::ALL
            .into_iter()
            .find(|transport| transport.scheme() == scheme);
        let Some(transport) = transport else {
            return Err(format!(
                "`{text}`: unknown transport `{scheme}`; write `tcp://{rest}`, `tls://` or `sctp://`"
            ));
        };
        let wrong = |why: String| format!("`{text}`: {why}");
        let (others, last) = match rest.rsplit_once(',') {
            Some((others, last)) => (Some(others), last),
            None => (None, rest),
        };
        let mut hosts = Vec::new();
        for other in others.into_iter().flat_map(|others| others.split(',')) {
            match split_port(other).map_err(wrong)? {
                (host, None) => hosts.push(host.to_owned()),
                (_, Some(_)) => {
                    return Err(wrong(
                        "all addresses of an association have one port; write it behind the last"
                            .to_owned(),
                    ));
                }
            }
        }
        let (host, port) = split_port(last).map_err(wrong)?;
        hosts.push(host.to_owned());
        match (transport, hosts.len()) {
            (Transport::Sctp, 1..=HOSTS_MAX) | (_, 1) => {}
            (Transport::Sctp, _) => {
                return Err(wrong(format!("{HOSTS_MAX} addresses are the most")));
            }
            _ => {
                return Err(wrong(
                    "only sctp:// has several addresses; write one entry for each".to_owned(),
                ));
            }
        }
        let port = port.unwrap_or_else(|| transport.default_port());
        Ok(Self {
            transport,
            hosts,
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.transport)?;
        for (index, host) in self.hosts.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]")?,
                false => write!(f, "{comma}{host}")?,
            }
        }
        write!(f, ":{}", self.port)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Splits `HOST:PORT`, `[IPV6]:PORT`, or a host alone.
fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let Some((host, after)) = inner.split_once(']') else {
            return Err("the bracket of the IPv6 address is not closed".to_owned());
        };
        if host.parse::<core::net::Ipv6Addr>().is_err() {
            return Err(format!("`{host}` is no IPv6 address"));
        }
        match after {
            "" => (host, None),
            _ => match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return Err(format!("`{after}` after the bracket; write `:PORT`")),
            },
        }
    } else {
        match text.split_once(':') {
            None => (text, None),
            Some((_, rest)) if rest.contains(':') => {
                return Err(
                    "write an IPv6 address in brackets, as in `tcp://[::1]:3868`".to_owned(),
                );
            }
            Some((host, port)) => (host, Some(port)),
        }
    };
    let well_formed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(well_formed) {
        return Err(format!(
            "`{host}` is no host; write an address (0.0.0.0 or [::] for all) or a name"
        ));
    }
    match port {
        None => Ok((host, None)),
        Some(port) => match port.parse() {
            Ok(number) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok((host, Some(number)))
            }
            _ => Err(format!("`{port}` is no port; ports are 0 to 65535")),
        },
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_written_by_hand() {
        use Transport::{Sctp, Tcp, Tls};
        for (text, transport, hosts, port) in [
            ("tcp://127.0.0.1:3868", Tcp, &["127.0.0.1"][..], 3868),
            ("tcp://0.0.0.0", Tcp, &["0.0.0.0"], 3868),
            ("tcp://[::1]:13868", Tcp, &["::1"], 13868),
            ("tcp://[2001:db8::5]", Tcp, &["2001:db8::5"], 3868),
            ("tcp://eir-1.example.org:0", Tcp, &["eir-1.example.org"], 0),
            ("tls://192.0.2.1", Tls, &["192.0.2.1"], 5868),
            ("tls://192.0.2.1:3868", Tls, &["192.0.2.1"], 3868),
            ("sctp://192.0.2.1", Sctp, &["192.0.2.1"], 3868),
            (
                "sctp://192.0.2.1,[2001:db8::1],a.example:1",
                Sctp,
                &["192.0.2.1", "2001:db8::1", "a.example"],
                1,
            ),
            ("sctp://a,[::1]:2", Sctp, &["a", "::1"], 2),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(
                (endpoint.transport, endpoint.hosts.as_slice(), endpoint.port),
                (
                    transport,
                    &hosts
                        .iter()
                        .map(|&host| host.to_owned())
                        .collect::<Vec<_>>()[..],
                    port
                ),
                "{text}"
            );
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint), "{text}");
        }
    }

    #[test]
    fn wrong_addresses_say_what_would_be_right() {
        for (text, fragment) in [
            ("127.0.0.1:3868", "write `tcp://127.0.0.1:3868`"),
            ("udp://127.0.0.1", "unknown transport `udp`"),
            ("tcp://::1:3868", "IPv6 address in brackets"),
            ("tcp://[::1", "not closed"),
            ("tcp://[1.2.3.4]:1", "is no IPv6 address"),
            ("tcp://[::1]3868", "write `:PORT`"),
            ("tcp://127.0.0.1:65536", "ports are 0 to 65535"),
            ("tcp://127.0.0.1:+5", "ports are 0 to 65535"),
            ("tcp://:3868", "is no host"),
            ("tcp://*:3868", "0.0.0.0 or [::] for all"),
            ("tcp://192.0.2.1,192.0.2.2:3868", "only sctp:// has several"),
            ("sctp://192.0.2.1:3868,192.0.2.2:3868", "behind the last"),
            ("sctp://192.0.2.1,:3868", "is no host"),
            ("sctp://a,b,c,d,e,f,g,h,i", "8 addresses are the most"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.contains(fragment), "{text}: {error}");
        }
    }
}
