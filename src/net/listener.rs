//! Listening sockets: how they are opened, and how connections are accepted,
//! limited and configured.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::directory::Orders;
use super::driver::Role;
use super::sctp::SctpListener;
use super::stream::Stream;
use super::tls::Tls;
use super::transport::{Ends, Transport};
use super::workers::Workers;
use super::{Listening, Shared, driver, host_address};
use crate::config::{Endpoint, Transport as Kind};
use crate::error::Failed;
use crate::metrics::Tally;

/// Connections that the kernel may hold ready before they are accepted: all
/// MMEs of a network come back at the same moment after a restart.
pub(super) const BACKLOG: i32 = 1024;

/// How long accepting pauses when the process is out of file descriptors:
/// trying again at once would only spin.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When TCP begins to probe an idle connection. The watchdog notices a dead
/// peer far earlier; this frees sockets whose peer vanished in the handshake.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    /// What it is to others.
    pub(super) listening: Listening,
    /// The socket.
    pub(super) socket: Acceptor,
}

/// A socket that accepts connections.
#[derive(Debug)]
pub(super) enum Acceptor {
    /// Byte streams, and what they are secured with.
    Tcp(TcpListener, Option<Arc<Tls>>),
    /// Associations.
    Sctp(SctpListener),
}

/// Opens the listening sockets of one configured endpoint for byte streams:
/// several, when its name has several addresses.
pub(super) async fn bind(
    endpoint: &Endpoint,
    tls: Option<&Arc<Tls>>,
    listeners: &mut Vec<Listener>,
) -> Result<(), Failed> {
    let failed = |why: &str| Failed::new(format!("cannot listen on {endpoint}: {why}"));
    let tls = match (endpoint.transport, tls) {
        (Kind::Tls, None) => {
            return Err(failed(
                "[diameter.tls] of the configuration names no certificate",
            ));
        }
        (Kind::Tls, Some(tls)) => Some(tls),
        _ => None,
    };
    for resolved in resolve(endpoint).await.map_err(|why| failed(&why))? {
        let socket = listen(resolved).map_err(|error| failed(&explain(&error, resolved)))?;
        let address = socket
            .local_addr()
            .map_err(|error| failed(&error.to_string()))?;
        listeners.push(Listener {
            listening: Listening {
                transport: endpoint.transport,
                addresses: vec![address],
            },
            socket: Acceptor::Tcp(socket, tls.cloned()),
        });
    }
    Ok(())
}

/// The addresses of an endpoint's hosts, each once: a name and its address may
/// both be there, and a name can have one twice.
pub(super) async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, String> {
    let mut resolved = Vec::new();
    for host in &endpoint.hosts {
        let found = tokio::net::lookup_host((host.as_str(), endpoint.port))
            .await
            .map_err(|error| format!("{host} cannot be resolved: {error}"))?;
        let mut has_address = false;
        for address in found {
            has_address = true;
            if !resolved.contains(&address) {
                resolved.push(address);
            }
        }
        if !has_address {
            return Err(format!("{host} has no address"));
        }
    }
    Ok(resolved)
}

/// Opens one listening socket.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that [::] and 0.0.0.0 can both be listened on.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// What an error of `bind` means, and what to do.
fn explain(error: &io::Error, address: SocketAddr) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "the port is in use; stop what listens there (`ss -ltnp 'sport = :{}'` shows it) or \
             choose another",
            address.port()
        ),
        ErrorKind::AddrNotAvailable => format!("{} is no address of this machine", address.ip()),
        ErrorKind::PermissionDenied => {
            format!(
                "port {} needs privileges; choose one above 1023",
                address.port()
            )
        }
        _ => error.to_string(),
    }
}

/// What accepting a connection takes.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// What all connections share.
    pub(super) shared: Arc<Shared>,
    /// Who serves them.
    pub(super) workers: Arc<Workers>,
    /// One permit for each connection that may be there at once.
    pub(super) connections: Arc<Semaphore>,
    /// What holds for all connections.
    pub(super) orders: watch::Receiver<Orders>,
}

impl Door {
    /// Accepts connections for ever.
    pub(super) async fn open(self, listener: Listener) {
        let (socket, tls) = match listener.socket {
            Acceptor::Tcp(socket, tls) => (socket, tls),
            Acceptor::Sctp(socket) => return self.open_sctp(socket).await,
        };
        loop {
            match socket.accept().await {
                Ok((stream, remote)) => self.admit(stream, remote, tls.as_ref()),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.shared
                        .throttle
                        .warn("accept", || format!("cannot accept connections: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Starts the task of a new connection, or turns it away.
    fn admit(&self, stream: TcpStream, remote: SocketAddr, tls: Option<&Arc<Tls>>) {
        let Some(permit) = self.permit(remote) else {
            let mut refused = Stream::new(stream);
            refused.abort();
            return;
        };
        let local = configure(&stream).and_then(|()| stream.local_addr());
        let local = match local {
            Ok(local) => vec![local],
            Err(error) => {
                // The peer is gone already; its socket says so at the first
                // option.
                tracing::debug!("{remote}: cannot configure the socket: {error}");
                return;
            }
        };
        // Of no runtime until its worker has it.
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!("{remote}: cannot hand the socket over: {error}");
                return;
            }
        };
        let ends = Ends {
            kind: Kind::Tcp,
            local,
            remote,
            certified: None,
        };
        match tls {
            None => self.serve(
                || TcpStream::from_std(stream).map(Stream::new),
                ends,
                permit,
            ),
            Some(tls) => self.secure(stream, ends, Arc::clone(tls), permit),
        }
    }

    /// Starts the task of a connection that begins with the handshake of TLS.
    /// The time for that is part of the time until the capabilities exchange.
    fn secure(
        &self,
        stream: std::net::TcpStream,
        mut ends: Ends,
        tls: Arc<Tls>,
        permit: OwnedSemaphorePermit,
    ) {
        let Self {
            shared, mut orders, ..
        } = self.clone();
        let since = shared.clock.now().uptime;
        let seat = self.workers.seat(since);
        seat.runtime().spawn(async move {
            let remote = ends.remote;
            let stream = match TcpStream::from_std(stream) {
                Ok(stream) => stream,
                Err(error) => return not_taken(remote, &error),
            };
            let gauge = shared.counters.connection();
            let limit = shared.node.limits().handshake;
            let accepted = tokio::select! {
                accepted = timeout(limit, tls.accept(stream)) => accepted,
                _ = orders.wait_for(|orders| orders.leave.is_some()) => return,
            };
            drop(gauge);
            let why = match accepted {
                Ok(Ok(accepted)) => {
                    ends.kind = Kind::Tls;
                    ends.certified = accepted.names;
                    let stream = Stream::new(TlsStream::from(accepted.stream));
                    driver::drive(stream, ends, Role::Accepted, since, shared, orders, &seat).await;
                    drop(permit);
                    return;
                }
                Ok(Err(why)) => why,
                Err(_) => format!("it did not finish within {} s", limit.as_secs()),
            };
            shared.counters.add(&mut Tally {
                failed_handshakes: 1,
                ..Tally::default()
            });
            shared
                .throttle
                .warn("tls", || format!("{remote}: no TLS with it: {why}"));
        });
    }

    /// A permit for a connection; `None`, counted and logged, if its address is
    /// not admitted, and at the limit.
    pub(super) fn permit(&self, remote: SocketAddr) -> Option<OwnedSemaphorePermit> {
        let shared = &self.shared;
        let admission = Arc::clone(&self.orders.borrow().admission);
        if !admission.admits_address(host_address(remote.ip())) {
            shared.counters.add(&mut Tally {
                denied: 1,
                ..Tally::default()
            });
            shared.throttle.warn("network", || {
                format!(
                    "{remote}: turned away, diameter.allow or diameter.deny has no place for it"
                )
            });
            return None;
        }
        let permit = Arc::clone(&self.connections).try_acquire_owned().ok();
        let mut tally = Tally::default();
        match permit {
            Some(_) => tally.accepted = 1,
            None => {
                tally.over_limit = 1;
                shared.throttle.warn("limit", || {
                    format!("{remote}: turned away, diameter.max_connections is reached")
                });
            }
        }
        shared.counters.add(&mut tally);
        permit
    }

    /// Starts the task of a connection, which takes the transport over into its
    /// runtime and holds the permit to the end.
    pub(super) fn serve<T: Transport + 'static>(
        &self,
        take_over: impl FnOnce() -> io::Result<T> + Send + 'static,
        ends: Ends,
        permit: OwnedSemaphorePermit,
    ) {
        let Self { shared, orders, .. } = self.clone();
        let since = shared.clock.now().uptime;
        let seat = self.workers.seat(since);
        seat.runtime().spawn(async move {
            match take_over() {
                Ok(transport) => {
                    let role = Role::Accepted;
                    driver::drive(transport, ends, role, since, shared, orders, &seat).await;
                }
                Err(error) => not_taken(ends.remote, &error),
            }
            drop(permit);
        });
    }
}

/// Tells of a connection that its worker could not take over: the kernel has no
/// memory for it.
fn not_taken(remote: SocketAddr, error: &io::Error) {
    tracing::warn!("{remote}: cannot serve the connection: {error}");
}

/// Whether an error of `accept` concerns only the connection that was to be
/// accepted: it was gone before its turn.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

/// Sets the options that every connection has.
pub(super) fn configure(stream: &TcpStream) -> io::Result<()> {
    // Answers are written whole batches at a time: waiting for more would only
    // delay the last one.
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_a_name_has_twice_is_listened_on_once() {
        let endpoint: Endpoint = "sctp://127.0.0.2,127.0.0.1,127.0.0.2:3868".parse().unwrap();
        let resolved = resolve(&endpoint).await.unwrap();
        let want = ["127.0.0.2:3868", "127.0.0.1:3868"].map(|address| address.parse().unwrap());
        assert_eq!(resolved, want);
    }
}
