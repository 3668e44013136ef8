//! The task of one connection: passes on what its transport and its
//! [`Connection`] have for each other, keeps its timers, and ends the transport
//! as the protocol says.
//!
//! A turn handles all that was received, sends the answers at once, and only
//! then waits. Reading stops while answers fill the peer's share of memory, so
//! a peer that does not read is asked for nothing more, and is cut when it has
//! not read for the configured time.

mod report;

use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until, timeout};

use super::directory::{Applicant, COMMANDS, Command, Orders, Place};
use super::peers::{Call, Direction, Link};
use super::spin::Spinner;
use super::tls::CertifiedNames;
use super::transport::{Ends, Received, Transport};
use super::witness::Witness;
use super::workers::Seat;
use super::{Shared, host_address, seed};
use crate::base::disconnect::DisconnectCause;
use crate::base::peer::State;
use crate::config::Transport as Kind;
use crate::connection::{Callee, Connection, Decision, EndReason, Ending, Refusal};
use crate::metrics::{Gauge, Tally};
use crate::time::Uptime;

/// Octets that a connection may receive before it lets others have a turn. A
/// transport that always has more never waits by itself, and as many of them
/// as there are threads would leave all other peers unanswered.
const BURST_MAX: usize = 64 * 1024;

/// Octets that receiving counts for at least: little ones add up, too, as each
/// costs a turn.
const BURST_STEP: usize = 4 * 1024;

/// How long a closing connection may take to send its last answers: a slow
/// link takes seconds for all that may be queued.
pub(super) const FLUSH_MAX: Duration = Duration::from_secs(5);

/// How long a closing connection then waits for the peer to close, too.
const FAREWELL: Duration = Duration::from_secs(1);

/// Numbers the connections.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// Who has opened a connection.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// The peer.
    Accepted,
    /// We have.
    Called {
        /// Whom we have called.
        callee: Callee,
        /// Where to show how the call stands.
        call: Arc<Call>,
    },
}

/// What has become of a connection.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Why it has ended.
    pub(super) reason: EndReason,
    /// Whether it was open before.
    pub(super) opened: bool,
    /// What the peer said to the reason, if it did not let us in; its name if
    /// it is another peer.
    pub(super) said: Option<String>,
}

/// Drives a connection from its first message, awaited since `since`, to its
/// close. `None` if there is no place for a connection to the peer that was
/// called. To be awaited by a task of the worker that it has a seat with.
pub(super) async fn drive<T: Transport>(
    transport: T,
    ends: Ends,
    role: Role,
    since: Uptime,
    shared: Arc<Shared>,
    orders: watch::Receiver<Orders>,
    seat: &Seat,
) -> Option<Outcome> {
    let _gauge = shared.counters.connection();
    let (inbox, commands) = mpsc::channel(COMMANDS);
    let mut driver = Driver::new(transport, ends, &role, since, &shared, inbox, seat);
    if let Role::Called { callee, call } = role {
        driver.call(callee, call, since)?;
    }
    let end = driver.run(commands, orders).await;
    let sent = driver.finish(end).await;
    Some(driver.report_end(end, sent))
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
struct Driver<'a, T> {
    /// What all connections share.
    shared: &'a Arc<Shared>,
    /// The peer's address.
    remote: SocketAddr,
    /// What the transport is.
    kind: Kind,
    /// The names one of which the peer must have.
    certified: Option<CertifiedNames>,
    /// What others may see of it.
    link: Arc<Link>,
    /// Where to show how the call stands, if it was us who opened it.
    call: Option<Arc<Call>>,
    /// The transport, and what waits on both sides of it.
    transport: T,
    /// The protocol.
    connection: Connection,
    /// Whether the peer has closed its sending side.
    ended: bool,
    /// Octets received since others last had a turn.
    burst: usize,
    /// Looks for more instead of sleeping, where that is wanted.
    spinner: Spinner<'a>,
    /// Since when the peer has read nothing although answers wait.
    stalled: Option<Uptime>,
    /// What was counted in this turn.
    tally: Tally,
    /// Tells connections apart.
    id: u64,
    /// For other connections to reach this one.
    inbox: mpsc::Sender<Command>,
    /// Who waits for a sign of life.
    life: Vec<oneshot::Sender<()>>,
    /// The connection's place in the directory.
    place: Option<Place>,
    /// Its part of the gauge of open peers.
    gauge: Option<Gauge<'a>>,
    /// Whether the opening was logged.
    announced: bool,
    /// Whether the peer was last seen suspect.
    suspect: bool,
}

impl<'a, T: Transport> Driver<'a, T> {
    /// A driver for a connection that was opened at `since`.
    fn new(
        transport: T,
        ends: Ends,
        role: &Role,
        since: Uptime,
        shared: &'a Arc<Shared>,
        inbox: mpsc::Sender<Command>,
        seat: &'a Seat,
    ) -> Self {
        let addresses: Vec<_> = ends
            .local
            .iter()
            .map(|local| host_address(local.ip()))
            .collect();
        let direction = match role {
            Role::Accepted => Direction::In,
            Role::Called { .. } => Direction::Out,
        };
        let Ends {
            kind,
            local,
            remote,
            certified,
        } = ends;
        let begun = (shared.clock.now().unix, since);
        let connection = Connection::new(Arc::clone(&shared.node), &addresses, seed(), since);
        let connection = match kind {
            Kind::Tls => connection.over_tls(),
            Kind::Tcp | Kind::Sctp => connection,
        };
        Self {
            shared,
            remote,
            kind,
            certified,
            link: Arc::new(Link::new(kind, local, remote, direction, begun)),
            call: None,
            transport,
            connection,
            ended: false,
            burst: 0,
            spinner: Spinner::new(seat.spinning()),
            stalled: None,
            tally: Tally::default(),
            id: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            inbox,
            life: Vec::new(),
            place: None,
            gauge: None,
            announced: false,
            suspect: false,
        }
    }

    /// Takes a place for a connection to the peer that was called, and sends
    /// the CER; `None` if there is no place.
    fn call(&mut self, callee: Callee, call: Arc<Call>, since: Uptime) -> Option<()> {
        let realm = callee.origin_realm.as_deref().unwrap_or_default();
        let applicant = self.applicant();
        let directory = &self.shared.directory;
        self.place = Some(directory.call(&callee.origin_host, realm, applicant)?);
        self.call = Some(call);
        let node = Arc::clone(&self.shared.node);
        let local = self.link.local.iter();
        let addresses: Vec<_> = local.map(|local| host_address(local.ip())).collect();
        let Self {
            connection,
            transport,
            ..
        } = self;
        transport.compose(|out| {
            *connection = Connection::initiate(node, &addresses, seed(), since, callee, out);
        });
        Some(())
    }

    /// This connection, as the directory knows it.
    fn applicant(&self) -> Applicant {
        Applicant {
            id: self.id,
            commands: self.inbox.clone(),
            link: Arc::clone(&self.link),
        }
    }

    /// Runs the connection until it is to be ended.
    async fn run(
        &mut self,
        mut commands: mpsc::Receiver<Command>,
        mut orders: watch::Receiver<Orders>,
    ) -> End {
        let mut timer = pin!(sleep_until(self.deadline()));
        let mut claim: Pin<Box<dyn Future<Output = Result<Place, Refusal>> + Send>> =
            Box::pin(pending());
        let mut claiming = false;
        // A change before this connection began has been looked at, but not
        // that the server stops: that is told once.
        let mut ordered = true;
        orders.mark_changed();
        loop {
            let mut full;
            loop {
                let goes_on = self.answer();
                full = self.is_full();
                if let Err(error) = self.send_now().await {
                    return self.lost(&error);
                }
                if goes_on && !full {
                    continue;
                }
                // Sending may have made room for the answers to what has been
                // received already, for which no event will come.
                if !full || self.is_full() {
                    break;
                }
            }
            if let Some(ending) = self.connection.ending() {
                return End::Protocol(ending);
            }
            if let Some(peer) = self.connection.claim().filter(|_| !claiming) {
                let covers = |names: &CertifiedNames| names.cover(&peer.origin_host);
                if !self.certified.as_ref().is_none_or(covers) {
                    let refused = Decision::Refused(Refusal::NotCertified);
                    self.connection.resolve_claim(refused);
                    continue;
                }
                let directory = Arc::clone(&self.shared.directory);
                claim = Box::pin(directory.claim(peer.clone(), self.applicant()));
                claiming = true;
            }
            // What came before the end of the transport is answered first, and
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
            tokio::select! {
                moved = poll_fn(|cx| self.poll_move(cx)) => {
                    if let Err(error) = moved {
                        return self.lost(&error);
                    }
                }
                place = &mut claim, if claiming => {
                    claiming = false;
                    claim = Box::pin(pending());
                    self.connection.resolve_claim(match &place {
                        Ok(_) => Decision::Granted,
                        Err(refusal) => Decision::Refused(*refusal),
                    });
                    self.place = place.ok();
                    // Who may be a peer has not been looked at meanwhile.
                    orders.mark_changed();
                }
                Some(command) = commands.recv() => self.obey(command),
                () = &mut timer => {
                    let now = self.shared.clock.now().uptime;
                    let Self { connection, transport, .. } = self;
                    // Nothing has come for a while, or the timer had been left
                    // behind by a later deadline; either way, seldom.
                    transport.relax();
                    transport.compose(|out| connection.handle_timeout(now, out));
                }
                changed = orders.changed(), if ordered => {
                    ordered = changed.is_ok();
                    let cause = self.farewell(&orders.borrow_and_update());
                    if let Some(cause) = cause {
                        let now = self.shared.clock.now().uptime;
                        let Self { connection, transport, .. } = self;
                        transport.compose(|out| connection.begin_disconnect(cause, now, out));
                    }
                }
            }
        }
    }

    /// Answers what has been received; tells whether to go on with it once the
    /// answers are on their way.
    fn answer(&mut self) -> bool {
        let mut goes_on = false;
        if self.transport.backlog() > 0 {
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
            goes_on = self
                .transport
                .handle(now, &mut self.connection, &rulebook, &mut witness);
        }
        if !self.connection.is_probing() && self.connection.ending().is_none() {
            for life in self.life.drain(..) {
                // Fails only when the other connection is gone meanwhile.
                let _ = life.send(());
            }
        }
        if self.connection.state() == State::DpaSent {
            // Before the DPA is sent: a peer that has said goodbye may come back as
            // soon as it has that, to another thread.
            self.leave();
        }
        self.link.show(&self.connection);
        self.report_changes();
        self.shared.counters.add(&mut self.tally);
        goes_on
    }

    /// Why to disconnect now, by what holds for all connections.
    fn farewell(&self, orders: &Orders) -> Option<DisconnectCause> {
        // A claim is decided by who is admitted, and answered, before it can be
        // told to leave for that; but who stops does not wait for it.
        let is_claiming = self.connection.state() == State::Claiming;
        if orders.leave.is_some() || self.call.is_some() || is_claiming {
            return orders.leave;
        }
        let address = host_address(self.remote.ip());
        let admitted = match self.connection.peer() {
            Some(peer) => {
                let (host, realm) = (peer.origin_host.as_bytes(), peer.origin_realm.as_bytes());
                orders.admission.admits(host, realm, address)
            }
            None => orders.admission.admits_address(address),
        };
        (!admitted).then_some(DisconnectCause::DO_NOT_WANT_TO_TALK_TO_YOU)
    }

    /// Gives the place up.
    fn leave(&mut self) {
        self.place = None;
        self.gauge = None;
    }

    /// Sends what the transport takes without waiting.
    async fn send_now(&mut self) -> io::Result<()> {
        poll_fn(|cx| match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        })
        .await
    }

    /// Sends, and takes note of whether the peer reads.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.transport.is_sent() {
            return Poll::Ready(Ok(()));
        }
        let before = self.transport.queued();
        let sent = self.transport.poll_send(cx);
        if sent.is_ready() || self.transport.queued() < before {
            self.stalled = None;
        }
        if sent.is_pending() {
            let now = self.shared.clock.now().uptime;
            self.stalled.get_or_insert(now);
        }
        sent
    }

    /// Sends and receives; ready once there was something of either.
    fn poll_move(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut moved = false;
        if !self.transport.is_sent() {
            let before = self.transport.queued();
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => moved = self.transport.queued() < before,
            }
        }
        if self.may_read() {
            match self.transport.poll_receive(cx) {
                Poll::Ready(Ok(Received::End)) => {
                    self.ended = true;
                    moved = true;
                }
                Poll::Ready(Ok(Received::Octets(received))) => {
                    self.burst = self.burst.saturating_add(received.max(BURST_STEP));
                    // Nobody but a peer may keep a processor busy.
                    if self.announced {
                        self.spinner.received(|| self.shared.clock.now().uptime);
                    }
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        match moved {
            true => Poll::Ready(Ok(())),
            false => {
                self.spinner.wait(|| self.shared.clock.now().uptime, cx);
                Poll::Pending
            }
        }
    }

    /// Whether no more answers may be composed until some are sent.
    fn is_full(&self) -> bool {
        self.transport.queued() >= self.shared.node.limits().output_len_max
    }

    /// Whether there is room for more input, and for the answers to it.
    fn may_read(&self) -> bool {
        let limits = self.shared.node.limits();
        !self.ended && self.transport.backlog() < limits.message_len_max && !self.is_full()
    }

    /// Does what another connection asks.
    fn obey(&mut self, command: Command) {
        match command {
            Command::Supersede => self.connection.supersede(),
            Command::DemandLife(alive) => {
                let now = self.shared.clock.now().uptime;
                self.life.push(alive);
                let Self {
                    connection,
                    transport,
                    ..
                } = self;
                transport.compose(|out| connection.demand_life(now, out));
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
    async fn finish(&mut self, end: End) -> bool {
        // The place is free as soon as the protocol is over.
        self.leave();
        self.spinner.rest();
        self.life.clear();
        match end {
            // A peer that closed only its sending side still reads.
            End::Protocol(Ending { abort: false, .. }) | End::Closed => {}
            End::Protocol(Ending { abort: true, .. }) | End::Unread => {
                self.transport.abort();
                return self.transport.is_sent();
            }
            End::Failed => return self.transport.is_sent(),
        }
        let sent = timeout(FLUSH_MAX, poll_fn(|cx| self.transport.poll_shutdown(cx)));
        let sent = matches!(sent.await, Ok(Ok(())));
        // Closing with unread input would reset the connection, and the reset
        // can overtake the answers just sent.
        let rest = async {
            while let Ok(Received::Octets(_)) = poll_fn(|cx| self.transport.poll_receive(cx)).await
            {
                self.transport.discard();
            }
        };
        let _ = timeout(FAREWELL, rest).await;
        sent
    }
}

/// Longer than any timer: an hour is the longest watchdog.
const NEVER: Duration = Duration::from_secs(24 * 3600);
