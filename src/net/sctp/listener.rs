//! Listening for associations, and accepting them.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use super::{Association, SctpListener, SctpOptions, SctpSocket, is_missing};
use crate::config::{Diameter, Listen, Sctp, Transport as Kind};
use crate::error::Failed;
use crate::net::Listening;
use crate::net::listener::{ACCEPT_PAUSE, BACKLOG, Door, is_of_one_connection, resolve};
use crate::net::transport::Ends;

/// Octets of answers that may wait in the kernel for one association, beyond
/// those that the output limit counts: enough for the answers of a busy peer
/// during one round trip.
const SEND_BUFFER: usize = 256 * 1024;

impl SctpOptions {
    /// What is configured; messages of `message_len_max` octets can be sent.
    #[must_use]
    pub fn new(config: &Sctp, message_len_max: usize) -> Self {
        Self {
            streams_out: Some(config.streams_out),
            streams_in: Some(config.streams_in),
            rto_initial: Some(config.rto_initial),
            rto_min: Some(config.rto_min),
            rto_max: Some(config.rto_max),
            heartbeat: Some(config.heartbeat),
            path_max_retrans: Some(config.path_max_retrans),
            association_max_retrans: Some(config.association_max_retrans),
            send_buffer: Some(SEND_BUFFER.max(message_len_max)),
        }
    }
}

/// Opens the listening socket of one configured address; `None` where the
/// kernel has no SCTP.
///
/// # Errors
///
/// What cannot be listened on, and why.
pub(in crate::net) async fn bind(
    listen: &Listen,
    diameter: &Diameter,
) -> Result<Option<(SctpListener, Listening)>, Failed> {
    let endpoint = &listen.endpoint;
    let failed = |why: &str| Failed::new(format!("cannot listen on {endpoint}: {why}"));
    let addresses = resolve(endpoint).await.map_err(|why| failed(&why))?;
    let config = listen.sctp.over(&diameter.sctp);
    let options = SctpOptions::new(&config, diameter.max_message);
    match SctpListener::bind(&addresses, &options, BACKLOG) {
        Ok(socket) => {
            let listening = Listening {
                transport: Kind::Sctp,
                addresses: socket.addresses().to_vec(),
            };
            Ok(Some((socket, listening)))
        }
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(failed(&explain(&error, &addresses))),
    }
}

/// How associations are opened from this side.
#[derive(Debug)]
pub(in crate::net) struct Calling {
    /// How they behave.
    pub(in crate::net) options: SctpOptions,
    /// Where from; anywhere if empty.
    pub(in crate::net) local: Vec<SocketAddr>,
}

impl Calling {
    /// From the addresses that are listened on first, so that a peer sees the
    /// same paths whoever calls; but from anywhere, if they are none that could
    /// be reached from elsewhere.
    pub(in crate::net) fn new<'a>(
        diameter: &Diameter,
        mut listening: impl Iterator<Item = &'a Listening>,
    ) -> Self {
        let local = listening.find(|listening| listening.transport == Kind::Sctp);
        let local: Vec<_> = local
            .into_iter()
            .flat_map(|listening| &listening.addresses)
            .map(|address| SocketAddr::new(address.ip(), 0))
            .collect();
        let somewhere = |ip: IpAddr| !ip.is_loopback() && !ip.is_unspecified();
        let usable = local.iter().all(|address| somewhere(address.ip()));
        Self {
            options: SctpOptions::new(&diameter.sctp, diameter.max_message),
            local: if usable { local } else { Vec::new() },
        }
    }
}

/// What an error of binding means, and what to do.
fn explain(error: &io::Error, addresses: &[SocketAddr]) -> String {
    let port = addresses.first().map_or(0, SocketAddr::port);
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "the port is in use; stop what listens there (`ss -lSnp 'sport = :{port}'` shows it) \
             or choose another"
        ),
        // The kernel does not say which of several it was.
        ErrorKind::AddrNotAvailable | ErrorKind::InvalidInput => {
            let foreign = addresses
                .iter()
                .map(SocketAddr::ip)
                .find(|ip| is_foreign(*ip));
            match foreign {
                Some(ip) => format!("{ip} is no address of this machine"),
                None => error.to_string(),
            }
        }
        ErrorKind::PermissionDenied => {
            format!("port {port} needs privileges; choose one above 1023")
        }
        _ => error.to_string(),
    }
}

/// Whether an address is none of this machine's.
fn is_foreign(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

impl Door {
    /// Accepts associations for ever.
    pub(in crate::net) async fn open_sctp(self, listener: SctpListener) {
        loop {
            match listener.accept().await {
                Ok((socket, remote)) => self.admit_sctp(socket, remote),
                // One that was gone before its turn has no state to ask for.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) if error.kind() == ErrorKind::InvalidInput => {}
                Err(error) => {
                    self.shared
                        .throttle
                        .warn("accept", || format!("cannot accept associations: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Starts the task of a new association, or turns it away.
    fn admit_sctp(&self, socket: SctpSocket, remote: SocketAddr) {
        let Some(permit) = self.permit(remote) else {
            socket.abort();
            return;
        };
        let local = match socket.local_addresses() {
            Ok(local) if !local.is_empty() => local,
            // The peer is gone already.
            _ => return,
        };
        let ends = Ends {
            kind: Kind::Sctp,
            local,
            remote,
            certified: None,
        };
        let (socket, shared) = (socket.detach(), Arc::clone(&self.shared));
        let take_over = move || Ok(Association::new(socket.attach()?, remote, shared));
        self.serve(take_over, ends, permit);
    }
}
