//! Listening sockets: how they are opened, and how connections are accepted,
//! limited and configured.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::{Shared, driver, resolve};
use crate::config::ListenAddress;
use crate::error::Failed;
use crate::metrics::Tally;

/// Connections that the kernel may hold ready before they are accepted: all
/// MMEs of a network come back at the same moment after a restart.
const BACKLOG: i32 = 1024;

/// How long accepting pauses when the process is out of file descriptors:
/// trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When TCP begins to probe an idle connection. The watchdog notices a dead
/// peer far earlier; this frees sockets whose peer vanished in the handshake.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Opens the listening sockets of one configured address: several, when its
/// name has several addresses.
pub(super) async fn bind(
    address: &ListenAddress,
    listeners: &mut Vec<TcpListener>,
) -> Result<(), Failed> {
    for resolved in resolve(address).await? {
        let listener = listen(resolved).map_err(|error| {
            Failed::new(format!(
                "cannot listen on {address}: {}",
                explain(&error, resolved)
            ))
        })?;
        listeners.push(listener);
    }
    Ok(())
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

/// Accepts connections for ever.
pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
    draining: watch::Receiver<bool>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                admit(stream, remote, &shared, &connections, &draining);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                shared
                    .throttle
                    .warn("accept", || format!("cannot accept connections: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether an error of `accept` concerns only the connection that was to be
/// accepted: it was gone before its turn.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

/// Starts the task of a new connection, or turns it away at the limit.
fn admit(
    stream: TcpStream,
    remote: SocketAddr,
    shared: &Arc<Shared>,
    connections: &Arc<Semaphore>,
    draining: &watch::Receiver<bool>,
) {
    let Ok(permit) = Arc::clone(connections).try_acquire_owned() else {
        shared.counters.add(&mut Tally {
            over_limit: 1,
            ..Tally::default()
        });
        shared.throttle.warn("limit", || {
            format!("{remote}: turned away, diameter.max_connections is reached")
        });
        abort(&stream);
        return;
    };
    if let Err(error) = configure(&stream) {
        // The peer is gone already; its socket says so at the first option.
        tracing::debug!("{remote}: cannot configure the socket: {error}");
        return;
    }
    shared.counters.add(&mut Tally {
        accepted: 1,
        ..Tally::default()
    });
    let shared = Arc::clone(shared);
    let draining = draining.clone();
    tokio::spawn(async move {
        driver::drive(stream, remote, shared, draining).await;
        drop(permit);
    });
}

/// Sets the options that every connection has.
fn configure(stream: &TcpStream) -> io::Result<()> {
    // Answers are written whole batches at a time: waiting for more would only
    // delay the last one.
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

/// Makes the close of this socket abortive (RST): nothing lingers, and the
/// peer cannot take it for an orderly end (RFC 6733 section 2.1).
pub(super) fn abort(stream: &TcpStream) {
    // Fails only on a socket that is dead already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
