//! Whom to ask, and over what.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use serde::Serialize;

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// TLS over TCP, from the first octet.
    Tls,
    /// SCTP, one-to-one.
    Sctp,
}

impl Transport {
    /// All of them.
    const ALL: [Self; 3] = [Self::Tcp, Self::Tls, Self::Sctp];

    /// As addresses begin.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Sctp => "sctp",
        }
    }
}

/// `tcp://HOST:PORT`, `tls://HOST:PORT` or `sctp://HOST:PORT`, as a server's
/// `listen` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Over what.
    pub transport: Transport,
    /// The host as it was written, without brackets.
    pub host: String,
    /// Where that is.
    pub socket: SocketAddr,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("`{text}` is not tcp://HOST:PORT, tls://… or sctp://…");
        let (scheme, place) = text.split_once("://").ok_or_else(wanted)?;
        let transport = Transport::ALL
            .into_iter()
            .find(|transport| transport.scheme() == scheme)
            .ok_or_else(wanted)?;
        let mut found = place
            .to_socket_addrs()
            .map_err(|error| format!("{}: {error}", wanted()))?;
        let socket = found
            .next()
            .ok_or_else(|| format!("{place} has no address"))?;
        let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
        Ok(Self {
            transport,
            host: host.trim_matches(['[', ']']).to_owned(),
            socket,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport.scheme(), self.socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_servers_write_them() {
        let address: Address = "tls://127.0.0.1:5868".parse().unwrap();
        assert_eq!(address.transport, Transport::Tls);
        assert_eq!(address.host, "127.0.0.1");
        assert_eq!(address.to_string(), "tls://127.0.0.1:5868");
        let six: Address = "sctp://[::1]:3868".parse().unwrap();
        assert_eq!((six.host.as_str(), six.socket.port()), ("::1", 3868));
        for wrong in ["127.0.0.1:3868", "udp://127.0.0.1:1", "tcp://127.0.0.1"] {
            assert!(wrong.parse::<Address>().unwrap_err().contains(wrong));
        }
    }
}
