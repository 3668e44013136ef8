//! Calls to peers that expect the EIR to connect, such as agents: each of
//! `[[diameter.connect]]` is called, and called again, for as long as it is
//! configured.
//!
//! ```text
//!             ┌──────────── room again ── Called ◀─── the peer has its connections
//!             ▼                                                │
//! Waiting ── Tc ──▶ Connecting ── resolve, connect, CER, CEA ──┴──▶ Connected
//!    ▲                  │ failed                                        │ closed
//!    └──────────────────┴───────────────────────────────────────────────┘
//! ```
//!
//! A peer that says that it is busy, or does not want to be talked to, is left
//! alone for longer than one that restarts (RFC 6733 section 5.4.3).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::directory::Orders;
use super::driver::{self, Outcome, Role};
use super::listener::{configure, resolve};
use super::peers::{Call, CallStatus};
use super::sctp::{Association, Calling, SctpSocket, is_missing};
use super::stream::Stream;
use super::transport::{Ends, Transport};
use super::workers::{Seat, Workers};
use super::{Shared, seed};
use crate::base::disconnect::DisconnectCause;
use crate::base::watchdog::Random;
use crate::config::peers::Connect;
use crate::config::{Endpoint, Transport as Kind};
use crate::connection::{Callee, EndReason};
use crate::metrics::Tally;
use crate::wire::ResultCode;

/// How long connecting to one address may take: a lost SYN is repeated after
/// 1, 3 and 7 seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of a name that are tried in one attempt: more are a mistake.
const ADDRESSES_MAX: usize = 16;

/// How much longer than Tc a peer that is busy is left alone.
const BUSY_FACTOR: u32 = 10;

/// The same of a peer that does not want to be talked to: most likely until
/// somebody has changed its configuration.
const UNWANTED_FACTOR: u32 = 200;

/// The longest pause; a peer that was not wanted yesterday may be today.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Part of a pause by which it is made longer or shorter, so that those who
/// lost an agent together do not come back together.
const JITTER_PART: u32 = 10;

/// Calls all peers that the orders name, until they are to leave; returns once
/// all calls are over.
pub(super) async fn call_all(shared: Arc<Shared>, workers: Arc<Workers>) {
    let mut orders = shared.directory.orders();
    let mut calls: Vec<(Arc<Call>, watch::Sender<Orders>)> = Vec::new();
    let mut tasks = JoinSet::new();
    loop {
        let now = orders.borrow_and_update().clone();
        let is_wanted = |call: &Call| now.connect.iter().any(|one| one.is_same_as(&call.connect));
        calls.retain(|(call, to_task)| {
            let mut own = now.clone();
            let wanted = is_wanted(call);
            if !wanted {
                // The configuration no longer has it.
                own.leave
                    .get_or_insert(DisconnectCause::DO_NOT_WANT_TO_TALK_TO_YOU);
            }
            to_task.send_replace(own);
            wanted
        });
        for connect in now.connect.iter().filter(|_| now.leave.is_none()) {
            if !calls
                .iter()
                .any(|(call, _)| call.connect.is_same_as(connect))
            {
                let call = Arc::new(Call::new(connect.clone()));
                let (to_task, own) = watch::channel(now.clone());
                let caller = Caller {
                    shared: Arc::clone(&shared),
                    workers: Arc::clone(&workers),
                    call: Arc::clone(&call),
                    orders: own,
                    random: Random(seed()),
                    complaint: None,
                };
                tasks.spawn(caller.run());
                calls.push((call, to_task));
            }
        }
        *shared.directory.calls() = calls.iter().map(|(call, _)| Arc::clone(call)).collect();
        if now.leave.is_some() {
            break;
        }
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { break },
            // Only to let go of what has ended.
            Some(_) = tasks.join_next() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// The task of one call.
struct Caller {
    /// What all connections share.
    shared: Arc<Shared>,
    /// Who serves them.
    workers: Arc<Workers>,
    /// Whom to call.
    call: Arc<Call>,
    /// What holds for this call.
    orders: watch::Receiver<Orders>,
    /// For jitter.
    random: Random,
    /// What was complained about last: not again before it has changed.
    complaint: Option<String>,
}

/// What became of an attempt.
enum Attempt {
    /// The transport was not connected, for this reason.
    Failed(String),
    /// The peer has the connections that it may have.
    NoRoom,
    /// There was a connection, and it is over.
    Over(Outcome),
}

/// A transport that is connected, and its ends.
enum Connected {
    /// Over TCP.
    Tcp((TcpStream, Ends)),
    /// Over TLS; its state is large.
    Tls(Box<(TlsStream<TcpStream>, Ends)>),
    /// Over SCTP.
    Sctp((SctpSocket, Ends)),
}

/// How long to wait before the next attempt.
enum Pause {
    /// So long.
    For(Duration),
    /// Until the peer has room for a connection, and then so long.
    UntilRoomAnd(Duration),
}

impl Caller {
    /// Calls for as long as it is wanted.
    async fn run(mut self) {
        let mut orders = self.orders.clone();
        let wanted = async {
            let _ = orders.wait_for(|orders| orders.leave.is_some()).await;
        };
        let mut wanted = std::pin::pin!(wanted);
        loop {
            self.call.set(CallStatus::Connecting);
            let seat = self.workers.seat(self.shared.clock.now().uptime);
            let call = Arc::clone(&self.call);
            let attempt = seat.runtime().spawn(self.attempt(seat));
            let attempt = attempt.await.inspect_err(|error| {
                // Otherwise the runtime has ended.
                if error.is_panic() {
                    let host = &call.connect.origin_host;
                    tracing::error!("{host} is not called any more: {error}; restart to call it");
                }
            });
            let Ok((caller, attempt)) = attempt else {
                return;
            };
            self = caller;
            let Some(attempt) = attempt else {
                return;
            };
            if self.orders.borrow().leave.is_some() {
                return;
            }
            let pause = self.settle(attempt);
            let waited = async {
                match pause {
                    Pause::For(pause) => tokio::time::sleep(pause).await,
                    Pause::UntilRoomAnd(pause) => self.await_room(pause).await,
                }
            };
            tokio::select! {
                () = waited => {}
                () = &mut wanted => return,
            }
        }
    }

    /// One attempt, which is a task of the worker that serves the connection;
    /// `None` if it was given up.
    async fn attempt(self, seat: Seat) -> (Self, Option<Attempt>) {
        let mut orders = self.orders.clone();
        // An attempt that is under way is given up; a connection that is there
        // leaves in order, as it has the same orders.
        let ready = tokio::select! {
            ready = self.connect() => ready,
            _ = orders.wait_for(|orders| orders.leave.is_some()) => return (self, None),
        };
        let attempt = match ready {
            Ok(connected) => self.converse(connected, &seat).await,
            Err(attempt) => attempt,
        };
        (self, Some(attempt))
    }

    /// Connects the transport, unless there is no room for the peer.
    async fn connect(&self) -> Result<Connected, Attempt> {
        let Connect {
            address,
            origin_host,
            ..
        } = &self.call.connect;
        if !self.shared.directory.has_room(origin_host) {
            return Err(Attempt::NoRoom);
        }
        let connected = match address.transport {
            Kind::Tcp => connect_tcp(address).await.map(Connected::Tcp),
            Kind::Tls => self.connect_tls().await.map(Connected::Tls),
            Kind::Sctp => self.connect_sctp().await.map(Connected::Sctp),
        };
        connected.map_err(Attempt::Failed)
    }

    /// Connects over TLS. The peer's certificate must be for its Origin-Host,
    /// or where that is not asked for, for the host that is connected to.
    async fn connect_tls(&self) -> Result<Box<(TlsStream<TcpStream>, Ends)>, String> {
        let Connect {
            address,
            origin_host,
            ..
        } = &self.call.connect;
        let credentials = self.shared.tls.as_ref().map(|tls| tls.current());
        let credentials =
            credentials.ok_or("[diameter.tls] named no certificate when the server was started")?;
        let (stream, mut ends) = connect_tcp(address).await?;
        let stream = timeout(
            self.shared.node.limits().handshake,
            credentials.connect(origin_host, address, stream),
        );
        let stream = stream
            .await
            .map_err(|_| "no TLS with it: it did not finish in time".to_owned())?
            .map_err(|why| format!("no TLS with it: {why}"))?;
        ends.kind = Kind::Tls;
        Ok(Box::new((TlsStream::from(stream), ends)))
    }

    /// Connects over SCTP: to all addresses of the peer at once.
    async fn connect_sctp(&self) -> Result<(SctpSocket, Ends), String> {
        let address = &self.call.connect.address;
        let remote = timeout(CONNECT_TIMEOUT, resolve(address)).await;
        let remote = remote.map_err(|_| "it cannot be resolved in time".to_owned())??;
        let Calling { options, local } = &self.shared.sctp;
        let connected = SctpSocket::connect(local, &remote, options);
        let socket = match timeout(CONNECT_TIMEOUT, connected).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) if is_missing(&error) => {
                return Err("this machine's kernel has no SCTP".to_owned());
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("no answer".to_owned()),
        };
        let gone = |error: io::Error| error.to_string();
        let primary = socket.peer_addresses().map_err(gone)?;
        let ends = Ends {
            kind: Kind::Sctp,
            local: socket.local_addresses().map_err(gone)?,
            remote: *primary.first().ok_or("it is gone again")?,
            certified: None,
        };
        Ok((socket, ends))
    }

    /// Talks to the peer until the connection ends.
    async fn converse(&self, connected: Connected, seat: &Seat) -> Attempt {
        match connected {
            Connected::Tcp((stream, ends)) => {
                self.converse_over(Stream::new(stream), ends, seat).await
            }
            Connected::Tls(connected) => {
                let (stream, ends) = *connected;
                self.converse_over(Stream::new(stream), ends, seat).await
            }
            Connected::Sctp((socket, ends)) => {
                let association = Association::new(socket, ends.remote, Arc::clone(&self.shared));
                self.converse_over(association, ends, seat).await
            }
        }
    }

    /// The same over any transport.
    async fn converse_over<T: Transport>(&self, transport: T, ends: Ends, seat: &Seat) -> Attempt {
        let Connect {
            origin_host,
            origin_realm,
            ..
        } = &self.call.connect;
        let callee = Callee {
            origin_host: origin_host.clone(),
            origin_realm: origin_realm.clone(),
        };
        let shared = &self.shared;
        let since = shared.clock.now().uptime;
        let role = Role::Called {
            callee,
            call: Arc::clone(&self.call),
        };
        let orders = self.orders.clone();
        match driver::drive(
            transport,
            ends,
            role,
            since,
            Arc::clone(shared),
            orders,
            seat,
        )
        .await
        {
            Some(outcome) => Attempt::Over(outcome),
            None => Attempt::NoRoom,
        }
    }

    /// Says what became of an attempt, and returns how long to wait before the
    /// next.
    fn settle(&mut self, attempt: Attempt) -> Pause {
        let connect = self.call.connect.clone();
        let retry = {
            let orders = self.orders.borrow();
            let current = orders.connect.iter().find(|one| one.is_same_as(&connect));
            current.unwrap_or(&connect).retry
        };
        let (factor, why) = match attempt {
            Attempt::NoRoom => {
                self.call.set(CallStatus::Called);
                return Pause::UntilRoomAnd(self.jittered(retry));
            }
            Attempt::Failed(why) => (1, why),
            Attempt::Over(outcome) => {
                if outcome.opened {
                    self.complaint = None;
                }
                if is_of_other_connection(outcome.reason) {
                    tracing::info!("{}: {}", connect.origin_host, outcome.reason);
                    self.call.set(CallStatus::Called);
                    return Pause::UntilRoomAnd(self.jittered(retry));
                }
                let said = outcome.said.as_deref();
                let said = said.map(|said| format!(" (\"{}\")", said.escape_debug()));
                let why = format!("{}{}", outcome.reason, said.unwrap_or_default());
                (factor(outcome.reason), why)
            }
        };
        self.shared.counters.add(&mut Tally {
            failed_calls: 1,
            ..Tally::default()
        });
        let pause = self.jittered(retry.saturating_mul(factor).min(PAUSE_MAX));
        let (host, address) = (&connect.origin_host, &connect.address);
        let seconds = pause.as_millis().div_ceil(1000);
        // Every attempt can fail alike for days.
        if self.complaint.as_ref() == Some(&why) {
            tracing::debug!("calling {host} at {address}: {why}; again in {seconds} s");
        } else {
            tracing::warn!("calling {host} at {address}: {why}; again in {seconds} s");
        }
        self.complaint = Some(why.clone());
        let until = self.shared.clock.now().uptime.plus(pause);
        self.call.set(CallStatus::Waiting(until, why));
        Pause::For(pause)
    }

    /// Waits until the peer has room for a connection, and then for Tc, so that
    /// it can call again by itself.
    async fn await_room(&self, pause: Duration) {
        let mut freed = self.shared.directory.freed();
        let mut orders = self.orders.clone();
        loop {
            freed.mark_unchanged();
            if self
                .shared
                .directory
                .has_room(&self.call.connect.origin_host)
            {
                break;
            }
            tokio::select! {
                _ = freed.changed() => {}
                // It may be allowed more connections now.
                changed = orders.changed() => if changed.is_err() { return },
            }
        }
        let why = "the peer has no connection of its own".to_owned();
        let until = self.shared.clock.now().uptime.plus(pause);
        self.call.set(CallStatus::Waiting(until, why));
        tokio::time::sleep(pause).await;
    }

    /// A pause, give or take a tenth.
    fn jittered(&mut self, pause: Duration) -> Duration {
        let part = pause / JITTER_PART;
        let width = u64::try_from(part.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_mul(2);
        let extra = self.random.next() % width.saturating_add(1);
        (pause - part).saturating_add(Duration::from_millis(extra))
    }
}

/// How many times Tc to wait after a connection that ended for this reason.
const fn factor(reason: EndReason) -> u32 {
    match reason {
        EndReason::PeerDisconnected(DisconnectCause::BUSY)
        | EndReason::RefusedByPeer(ResultCode::TOO_BUSY) => BUSY_FACTOR,
        EndReason::PeerDisconnected(DisconnectCause::DO_NOT_WANT_TO_TALK_TO_YOU) => UNWANTED_FACTOR,
        _ => 1,
    }
}

/// Whether a call has ended for the sake of a connection that the peer has
/// opened: that is no failure.
const fn is_of_other_connection(reason: EndReason) -> bool {
    matches!(
        reason,
        EndReason::ElectionWon
            | EndReason::Superseded
            | EndReason::RefusedByPeer(ResultCode::ELECTION_LOST)
    )
}

/// Connects over TCP: to the addresses of the name, as they are now, one after
/// the other until one accepts.
async fn connect_tcp(endpoint: &Endpoint) -> Result<(TcpStream, Ends), String> {
    let mut failures = Vec::new();
    for host in &endpoint.hosts {
        let found = timeout(CONNECT_TIMEOUT, lookup_host((host.as_str(), endpoint.port))).await;
        let found: Vec<SocketAddr> = match found {
            Ok(Ok(found)) => found.take(ADDRESSES_MAX).collect(),
            Ok(Err(error)) => {
                failures.push(format!("{host} cannot be resolved: {error}"));
                continue;
            }
            Err(_) => {
                failures.push(format!("{host} cannot be resolved in time"));
                continue;
            }
        };
        for remote in found {
            match timeout(CONNECT_TIMEOUT, open_tcp(remote)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => failures.push(format!("{remote}: {error}")),
                Err(_) => failures.push(format!("{remote}: no answer")),
            }
        }
    }
    match failures.is_empty() {
        true => Err("the name has no address".to_owned()),
        false => Err(failures.join("; ")),
    }
}

/// Connects to one address over TCP.
async fn open_tcp(remote: SocketAddr) -> io::Result<(TcpStream, Ends)> {
    let stream = TcpStream::connect(remote).await?;
    configure(&stream)?;
    let ends = Ends {
        kind: Kind::Tcp,
        local: vec![stream.local_addr()?],
        remote,
        certified: None,
    };
    Ok((stream, ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6733 section 5.4.3.
    #[test]
    fn the_cause_says_how_soon_to_come_back() {
        let disconnected = |cause| factor(EndReason::PeerDisconnected(DisconnectCause(cause)));
        assert_eq!([0, 1, 2, 3].map(disconnected), [1, 10, 200, 1]);
        assert_eq!(factor(EndReason::RefusedByPeer(ResultCode(3004))), 10);
        assert_eq!(factor(EndReason::RefusedByPeer(ResultCode(3010))), 1);
        assert_eq!(factor(EndReason::Lost), 1);
    }
}
