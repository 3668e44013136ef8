//! What a client is to reach a server with, as the command line says it.

use std::path::PathBuf;

use clap::Args;

use crate::config::Transport;
use crate::error::Failed;
use crate::net::Clock;
use crate::net::client::{Carrier, ClientError};
use crate::net::tls::{ClientFiles, Connector};

/// The options of all commands that speak to a server.
#[derive(Clone, Debug, Default, Args)]
pub struct TransportArgs {
    /// Speak TLS to the server; its port is then 5868 unless given.
    #[arg(long, help_heading = HEADING)]
    pub tls: bool,

    /// Speak SCTP to the server; it may have several addresses, such as
    /// 10.0.0.1,10.0.1.1:3868.
    #[arg(long, help_heading = HEADING, conflicts_with = "tls")]
    pub sctp: bool,

    /// The CAs (PEM) one of which must have issued the server's certificate.
    #[arg(long, help_heading = HEADING, value_name = "FILE", requires = "tls")]
    pub ca: Option<PathBuf>,

    /// Accept any certificate of the server: the answers may be anybody's.
    #[arg(long, help_heading = HEADING, requires = "tls", conflicts_with = "ca")]
    pub insecure: bool,

    /// A certificate (PEM) to show to the server, with those that lead to its
    /// CA.
    #[arg(long, help_heading = HEADING, value_name = "FILE", requires_all = ["tls", "key"])]
    pub cert: Option<PathBuf>,

    /// The private key (PEM) of that certificate.
    #[arg(long, help_heading = HEADING, value_name = "FILE", requires_all = ["tls", "cert"])]
    pub key: Option<PathBuf>,

    /// The name that the server's certificate must have; by default the host
    /// that is connected to.
    #[arg(long, help_heading = HEADING, value_name = "NAME", requires = "tls")]
    pub server_name: Option<String>,
}

/// What the options stand under in the help.
const HEADING: &str = "Transport";

impl TransportArgs {
    /// What carries the messages.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match (self.tls, self.sctp) {
            (true, _) => Transport::Tls,
            (_, true) => Transport::Sctp,
            _ => Transport::Tcp,
        }
    }

    /// `peer` with the port of the transport if it has none.
    #[must_use]
    pub fn address(&self, peer: &str) -> String {
        with_port(peer, self.transport().default_port())
    }

    /// What the client is to use, files read.
    ///
    /// # Errors
    ///
    /// A file that cannot be used, or options that do not suffice.
    pub fn carrier(&self) -> Result<Carrier, Failed> {
        match self.transport() {
            Transport::Tcp => Ok(Carrier::Tcp),
            Transport::Sctp => Ok(Carrier::Sctp),
            Transport::Tls => {
                if self.ca.is_none() && !self.insecure {
                    return Err(Failed::usage(
                        "--tls needs --ca FILE, the CA that issued the server's certificate, or \
                         --insecure to accept any",
                    ));
                }
                let files = ClientFiles {
                    ca: self.ca.as_deref(),
                    certificate: self.cert.as_deref().zip(self.key.as_deref()),
                    server_name: self.server_name.as_deref(),
                };
                let now = Clock::start().now().unix;
                let connector = Connector::load(files, now).map_err(Failed::new)?;
                Ok(Carrier::Tls(connector))
            }
        }
    }

    /// What to do about an error of the client; empty if there is nothing to
    /// say.
    #[must_use]
    pub fn remedy(&self, error: &ClientError) -> &'static str {
        match error {
            ClientError::Connect(..) if self.tls => {
                "\nIs a server running there, with a tls:// address in its configuration?"
            }
            ClientError::Connect(..) if self.sctp => {
                "\nIs a server running there, with an sctp:// address in its configuration?"
            }
            ClientError::Connect(..) => {
                "\nIs a server running there? `weir serve` starts one on 127.0.0.1:3868; \
                 --peer names another."
            }
            ClientError::SpeaksTls => "\n--tls speaks it, too.",
            ClientError::Tls(_) => {
                "\n--ca names the CAs to trust, --cert and --key a certificate to show, and \
                 --server-name the name that the server's must have."
            }
            _ => "",
        }
    }
}

/// `peer` with a port if it has none.
fn with_port(peer: &str, port: u16) -> String {
    if let Some((others, last)) = peer.rsplit_once(',') {
        // Several addresses have one port, behind the last.
        return format!("{others},{}", with_port(last, port));
    }
    let has_port = match peer.rsplit_once(':') {
        // Within the brackets, or in a bare IPv6 address.
        Some((front, port)) => {
            !port.contains(']') && (front.ends_with(']') || !front.contains(':'))
        }
        None => false,
    };
    match has_port {
        true => peer.to_owned(),
        false if peer.contains(':') && !peer.starts_with('[') => format!("[{peer}]:{port}"),
        false => format!("{peer}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_added_where_none_is() {
        let cases = [
            ("eir", "eir:3868"),
            ("eir:1", "eir:1"),
            ("127.0.0.1", "127.0.0.1:3868"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]", "[::1]:3868"),
            ("[::1]:1", "[::1]:1"),
            ("::1", "[::1]:3868"),
            ("10.0.0.1,10.0.1.1", "10.0.0.1,10.0.1.1:3868"),
            ("[::1],10.0.1.1:1", "[::1],10.0.1.1:1"),
        ];
        for (peer, want) in cases {
            assert_eq!(TransportArgs::default().address(peer), want);
        }
        let tls = TransportArgs {
            tls: true,
            ..TransportArgs::default()
        };
        assert_eq!(tls.address("eir"), "eir:5868");
        assert_eq!(tls.address("eir:3868"), "eir:3868");
    }
}
