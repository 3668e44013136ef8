//! The task of one TCP connection: moves bytes between its socket and its
//! [`Connection`], keeps its timers, and ends the transport as it says.
//!
//! A turn handles all that was received, sends the answers with one write, and
//! only then waits. Reading stops while answers fill the peer's share of
//! memory, so a peer that does not read is asked for nothing more, and is cut
//! when it has not read for the configured time.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until, timeout};

use super::directory::{COMMANDS, Command, Place};
use super::throttle::Sampler;
use super::{Shared, host_address, listener, seed};
use crate::base::disconnect::DisconnectCause;
use crate::base::peer::State;
use crate::connection::{Connection, EndReason, Ending};
use crate::metrics::{Gauge, Tally};
use crate::policy::{Ground, Inquiry, Rulebook, Verdict};
use crate::service::{Checked, Observer};
use crate::time::Uptime;
use crate::wire::{Fault, Message, ResultCode};

/// Octets that a first read offers room for: most peers send one request at a
/// time, and an idle connection should cost little.
const READ_MIN: usize = 4 * 1024;

/// Octets that a read offers room for at most: some two hundred requests, so
/// that one turn stays short.
const READ_MAX: usize = 64 * 1024;

/// Octets that a connection may receive before it lets others have a turn. A
/// socket that always has more never waits by itself, and as many of them as
/// there are threads would leave all other peers unanswered.
const BURST_MAX: usize = READ_MAX;

/// How long a closing connection may take to send its last answers: a slow
/// link takes seconds for all that may be queued.
pub(super) const FLUSH_MAX: Duration = Duration::from_secs(5);

/// How long a closing connection then waits for the peer to close, too.
const FAREWELL: Duration = Duration::from_secs(1);

/// Numbers the connections.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// Drives a connection from accept to close.
pub(super) async fn drive(
    stream: TcpStream,
    remote: SocketAddr,
    shared: Arc<Shared>,
    draining: watch::Receiver<bool>,
) {
    let Ok(local) = stream.local_addr() else {
        return; // The peer is gone already.
    };
    let _gauge = shared.counters.connection();
    let mut driver = Driver::new(remote, local, &shared);
    let end = driver.run(&stream, draining).await;
    let sent = driver.finish(stream, end).await;
    driver.report_end(end, sent);
}

/// How the loop of a connection ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The protocol said so.
    Protocol(Ending),
    /// The peer closed its side of the transport.
    Closed,
    /// The transport failed.
    Failed,
    /// The peer did not read its answers.
    Unread,
}

/// The state of one connection's task.
struct Driver<'a> {
    /// What all connections share.
    shared: &'a Arc<Shared>,
    /// The peer's address, for logs only.
    remote: SocketAddr,
    /// The protocol.
    connection: Connection,
    /// Received, not yet handled.
    input: BytesMut,
    /// Composed, not yet sent.
    output: BytesMut,
    /// Whether the peer has closed its sending side.
    ended: bool,
    /// Octets to offer the next read.
    read_len: usize,
    /// Octets received since others last had a turn.
    burst: usize,
    /// Since when the peer has read nothing although answers wait.
    stalled: Option<Uptime>,
    /// What was counted in this turn.
    tally: Tally,
    /// Tells connections apart.
    id: u64,
    /// Commands from other connections.
    commands: mpsc::Receiver<Command>,
    /// For them to reach this one.
    inbox: mpsc::Sender<Command>,
    /// Who waits for a sign of life.
    life: Vec<oneshot::Sender<()>>,
    /// The peer's place in the directory, and its part of the gauge.
    place: Option<(Place, Gauge<'a>)>,
    /// Whether the opening was logged.
    announced: bool,
    /// Whether the peer was last seen suspect.
    suspect: bool,
}

impl<'a> Driver<'a> {
    /// A driver for a connection from `remote`.
    fn new(remote: SocketAddr, local: SocketAddr, shared: &'a Arc<Shared>) -> Self {
        let (inbox, commands) = mpsc::channel(COMMANDS);
        let now = shared.clock.now().uptime;
        let addresses = [host_address(local.ip())];
        Self {
            shared,
            remote,
            connection: Connection::new(Arc::clone(&shared.node), &addresses, seed(), now),
            input: BytesMut::new(),
            output: BytesMut::new(),
            ended: false,
            read_len: READ_MIN,
            burst: 0,
            stalled: None,
            tally: Tally::default(),
            id: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            commands,
            inbox,
            life: Vec::new(),
            place: None,
            announced: false,
            suspect: false,
        }
    }

    /// Runs the connection until it is to be ended.
    async fn run(&mut self, stream: &TcpStream, mut draining: watch::Receiver<bool>) -> End {
        let mut timer = pin!(sleep_until(self.deadline()));
        let mut claim: Pin<Box<dyn Future<Output = Option<Place>> + Send>> = Box::pin(pending());
        let mut claiming = false;
        let mut drained = false;
        loop {
            let limit = self.shared.node.limits().output_len_max;
            let mut full;
            loop {
                self.answer();
                full = self.output.len() >= limit;
                if let Err(error) = self.send(stream) {
                    return self.lost(&error);
                }
                // Sending may have made room for the answers to what has been
                // received already, for which no socket event will come.
                if !full || self.output.len() >= limit {
                    break;
                }
            }
            if let Some(ending) = self.connection.ending() {
                return End::Protocol(ending);
            }
            if let Some(peer) = self.connection.claim().filter(|_| !claiming) {
                let directory = Arc::clone(&self.shared.directory);
                claim = Box::pin(directory.claim(peer.clone(), self.id, self.inbox.clone()));
                claiming = true;
            }
            if self.connection.state() == State::DpaSent {
                // A peer that has said goodbye may come back at once.
                self.place = None;
            }
            // What came before the end of the stream is answered first, and
            // may have to wait for the claim, or for room for its answers.
            if self.ended && !claiming && !full {
                return End::Closed;
            }
            if self.is_stalled() {
                return End::Unread;
            }
            if self.burst >= BURST_MAX {
                self.burst = 0;
                yield_now().await;
            }
            self.set_timer(timer.as_mut());
            let interest = self.interest();
            tokio::select! {
                ready = stream.ready(interest.unwrap_or(Interest::ERROR)), if interest.is_some() => {
                    match ready {
                        Ok(ready) if ready.is_readable() && self.may_read() => {
                            match self.receive(stream) {
                                Ok(true) => {}
                                Ok(false) => self.ended = true,
                                Err(error) => return self.lost(&error),
                            }
                        }
                        Ok(_) => {}
                        Err(error) => return self.lost(&error),
                    }
                }
                place = &mut claim, if claiming => {
                    claiming = false;
                    claim = Box::pin(pending());
                    self.connection.resolve_claim(place.is_some());
                    self.place = place.map(|place| (place, self.shared.counters.peer()));
                }
                Some(command) = self.commands.recv() => self.obey(command),
                () = &mut timer => {
                    let now = self.shared.clock.now().uptime;
                    self.connection.handle_timeout(now, &mut self.output);
                }
                _ = draining.wait_for(|draining| *draining), if !drained => {
                    drained = true;
                    let now = self.shared.clock.now().uptime;
                    let cause = DisconnectCause::REBOOTING;
                    self.connection.begin_disconnect(cause, now, &mut self.output);
                }
            }
        }
    }

    /// Answers what has been received.
    fn answer(&mut self) {
        if !self.input.is_empty() {
            let now = self.shared.clock.now();
            let rulebook = self.shared.register.load();
            let mut witness = Witness {
                tally: &mut self.tally,
                rulebook: &rulebook,
                samples: &self.shared.shadow_samples,
                now: now.uptime,
                remote: self.remote,
                verbose: tracing::enabled!(tracing::Level::DEBUG),
                show_identities: self.shared.show_identities,
            };
            let consumed = self.connection.handle_input(
                now,
                &self.input,
                &rulebook,
                &mut self.output,
                &mut witness,
            );
            self.input.advance(consumed);
        }
        self.shared.counters.add(&mut self.tally);
        if !self.connection.is_probing() && self.connection.ending().is_none() {
            for life in self.life.drain(..) {
                // Fails only when the other connection is gone meanwhile.
                let _ = life.send(());
            }
        }
        self.report_changes();
    }

    /// Sends as much as the socket takes.
    fn send(&mut self, stream: &TcpStream) -> io::Result<()> {
        while !self.output.is_empty() {
            match stream.try_write(&self.output) {
                Ok(sent) => {
                    self.output.advance(sent);
                    self.stalled = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let now = self.shared.clock.now().uptime;
                    self.stalled.get_or_insert(now);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives what the socket has, up to the present room; `false` at the
    /// end of the stream.
    fn receive(&mut self, stream: &TcpStream) -> io::Result<bool> {
        self.input.reserve(self.read_len);
        match stream.try_read_buf(&mut self.input) {
            Ok(0) => Ok(false),
            Ok(received) => {
                // Also little ones add up: each costs a turn.
                self.burst = self.burst.saturating_add(received.max(READ_MIN));
                if received >= self.read_len {
                    self.read_len = (self.read_len * 2).min(READ_MAX);
                }
                Ok(true)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether there is room for more input, and for the answers to it.
    fn may_read(&self) -> bool {
        let limits = self.shared.node.limits();
        !self.ended
            && self.input.len() < limits.message_len_max
            && self.output.len() < limits.output_len_max
    }

    /// What to wait for at the socket.
    fn interest(&self) -> Option<Interest> {
        match (self.may_read(), self.output.is_empty()) {
            (true, true) => Some(Interest::READABLE),
            (true, false) => Some(Interest::READABLE | Interest::WRITABLE),
            (false, false) => Some(Interest::WRITABLE),
            (false, true) => None,
        }
    }

    /// Does what another connection asks.
    fn obey(&mut self, command: Command) {
        match command {
            Command::Supersede => self.connection.supersede(),
            Command::DemandLife(alive) => {
                let now = self.shared.clock.now().uptime;
                self.life.push(alive);
                self.connection.demand_life(now, &mut self.output);
            }
        }
    }

    //----------- Time

    /// Whether the peer has left its answers unread for too long.
    fn is_stalled(&self) -> bool {
        self.stalled.is_some_and(|since| {
            self.shared.clock.now().uptime.since(since) >= self.shared.write_timeout
        })
    }

    /// When something is due.
    fn deadline(&self) -> tokio::time::Instant {
        let stalled = self
            .stalled
            .map(|since| since.plus(self.shared.write_timeout));
        let due = [self.connection.next_timeout(), stalled]
            .into_iter()
            .flatten()
            .min();
        let due = due.unwrap_or_else(|| self.shared.clock.now().uptime.plus(NEVER));
        self.shared.clock.instant(due).into()
    }

    /// Sets the timer. A later deadline is left for the timer to find out when
    /// it fires: the watchdog is armed anew by every message, and resetting
    /// the timer each time would cost more than an idle wake-up now and then.
    fn set_timer(&self, mut timer: Pin<&mut Sleep>) {
        let deadline = self.deadline();
        if deadline < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
    }

    //----------- The end

    /// The end after an error of the socket.
    fn lost(&self, error: &io::Error) -> End {
        tracing::debug!("{}: {error}", self.remote);
        End::Failed
    }

    /// Ends the transport; returns whether all answers were sent.
    async fn finish(&mut self, mut stream: TcpStream, end: End) -> bool {
        // The place is free as soon as the protocol is over.
        self.place = None;
        self.life.clear();
        match end {
            // A peer that closed only its sending side still reads.
            End::Protocol(Ending { abort: false, .. }) | End::Closed => {}
            End::Protocol(Ending { abort: true, .. }) | End::Unread => {
                listener::abort(&stream);
                return self.output.is_empty();
            }
            End::Failed => return self.output.is_empty(),
        }
        let sent = timeout(FLUSH_MAX, async {
            stream.write_all_buf(&mut self.output).await?;
            stream.shutdown().await
        });
        let sent = matches!(sent.await, Ok(Ok(())));
        // Closing with unread input would reset the connection, and the reset
        // can overtake the answers just sent.
        let mut rest = [0; READ_MIN];
        let drain = async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
        let _ = timeout(FAREWELL, drain).await;
        sent
    }

    //----------- Reports

    /// Logs what has become of the peer since the last turn.
    fn report_changes(&mut self) {
        if !self.announced && self.connection.was_opened() {
            self.announced = true;
            tracing::info!("{}: connected from {}", self.name(), self.remote);
        }
        if self.suspect != self.connection.is_suspect() {
            self.suspect = !self.suspect;
            if self.suspect {
                tracing::warn!("{}: does not answer the watchdog", self.name());
            } else if self.connection.ending().is_none() {
                tracing::info!("{}: answers again", self.name());
            }
        }
    }

    /// Counts and logs the end.
    fn report_end(&mut self, end: End, sent: bool) {
        self.report_changes();
        let reason = match end {
            End::Protocol(ending) => ending.reason,
            End::Closed | End::Failed | End::Unread => self.connection.loss(),
        };
        let opened = self.connection.was_opened();
        match (end, reason) {
            (End::Unread, _) => self.tally.unread += 1,
            (_, EndReason::Broken(_)) => self.tally.broken += 1,
            (_, EndReason::WatchdogTimeout) => self.tally.watchdog_timeouts += 1,
            (_, EndReason::Refused(_)) if !opened => self.tally.refused += 1,
            _ if !opened => self.tally.unopened += 1,
            _ => {}
        }
        self.shared.counters.add(&mut self.tally);
        let unsent = if sent {
            ""
        } else {
            ", with answers that it did not read"
        };
        let what = match end {
            End::Unread => "cut: it did not read its answers".to_owned(),
            End::Protocol(_) | End::Closed | End::Failed => format!("closed: {reason}{unsent}"),
        };
        if opened {
            tracing::info!("{}: {what}", self.name());
            return;
        }
        // Who never was a peer can be anybody, any number of times.
        let name = self
            .connection
            .peer()
            .map(|peer| format!(" ({})", peer.origin_host));
        let name = name.unwrap_or_default();
        match reason {
            EndReason::Lost | EndReason::Shutdown => {
                tracing::debug!("{}{name}: {what}", self.remote);
            }
            _ => {
                let kind = kind(reason);
                let remote = self.remote;
                self.shared
                    .throttle
                    .warn(kind, || format!("{remote}{name}: {what}"));
            }
        }
    }

    /// The peer's name, or its address before it has one.
    fn name(&self) -> String {
        match self.connection.peer() {
            Some(peer) => peer.origin_host.clone(),
            None => self.remote.to_string(),
        }
    }
}

/// Counts each answer, and logs it where the log is that verbose.
struct Witness<'a> {
    /// What is counted.
    tally: &'a mut Tally,
    /// What the numbers of a verdict are of.
    rulebook: &'a Rulebook,
    /// When a shadow's verdict may be logged.
    samples: &'a Sampler,
    /// The time of the batch.
    now: Uptime,
    /// The peer's address.
    remote: SocketAddr,
    /// Whether to log.
    verbose: bool,
    /// Whether to log identities in full.
    show_identities: bool,
}

impl Observer for Witness<'_> {
    fn checked(&mut self, check: &Checked<'_>) {
        self.tally.checked(check);
        if self.verbose {
            let Inquiry { imei, imsi, .. } = check.inquiry;
            let imei = imei
                .ok()
                .map(|imei| self.identity(imei.device, imei.masked()));
            let imsi = imsi.map(|imsi| self.identity(imsi, imsi.masked()));
            tracing::debug!(
                "{} ({}): imei {} imsi {}: {}",
                check.request.origin_host.escape_ascii(),
                self.remote,
                imei.as_deref().unwrap_or("malformed"),
                imsi.as_deref().unwrap_or("none"),
                check.verdict.outcome,
            );
        }
    }

    fn shadowed(&mut self, check: &Checked<'_>, shadow: &Verdict) {
        self.tally.shadowed(check, shadow);
        if let Some(held_back) = self.samples.pass(self.now) {
            let Inquiry { imei, imsi, .. } = check.inquiry;
            let imei = imei
                .ok()
                .map(|imei| self.identity(imei.device, imei.masked()));
            let imsi = imsi.map(|imsi| self.identity(imsi, imsi.masked()));
            tracing::info!(
                "shadow: {}: imei {} imsi {}: {}, would be {} by {} ({held_back} more since the last)",
                check.request.origin_host.escape_ascii(),
                imei.as_deref().unwrap_or("malformed"),
                imsi.as_deref().unwrap_or("none"),
                check.verdict.outcome,
                shadow.outcome,
                self.deciding(shadow),
            );
        }
    }

    fn faulted(&mut self, message: &Message<'_>, fault: &Fault<'_>) {
        self.tally.faulted(message, fault);
        if self.verbose {
            let report = fault.report();
            let (command, code) = (message.header().command, report.result_code);
            tracing::debug!("{}: {command}: {code}, {}", self.remote, report.message);
        }
    }
}

impl Witness<'_> {
    /// The list or the policy that decided.
    fn deciding(&self, verdict: &Verdict) -> String {
        let snapshot = self.rulebook.snapshot();
        let list = match verdict.ground {
            Ground::Rule(id) | Ground::NotWhitelisted(id) | Ground::Exception { rule: id, .. } => {
                snapshot.rule(id).map(|rule| rule.list)
            }
            Ground::BindingMatch(id) | Ground::BindingMismatch(id) => {
                snapshot.binding(id).map(|binding| binding.list)
            }
            _ => None,
        };
        match (list, self.rulebook.policy_name(verdict.policy)) {
            (Some(list), _) => format!("list {}", list.name),
            (None, name) => format!("policy {}", name.unwrap_or_default()),
        }
    }

    /// An identity as the log may have it.
    fn identity(&self, full: impl ToString, masked: impl ToString) -> String {
        match self.show_identities {
            true => full.to_string(),
            false => masked.to_string(),
        }
    }
}

/// Longer than any timer: an hour is the longest watchdog.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// The kind of warning that a reason belongs to.
const fn kind(reason: EndReason) -> &'static str {
    match reason {
        EndReason::NotCer => "not a CER",
        EndReason::HandshakeTimeout => "handshake",
        EndReason::Refused(ResultCode::UNKNOWN_PEER) => "unknown peer",
        EndReason::Refused(_) => "refused",
        EndReason::Broken(_) => "broken",
        _ => "other",
    }
}
