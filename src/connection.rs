//! One connection to a peer, without its socket: bytes and time go in, bytes
//! come out.
//!
//! The shell that owns the socket drives it:
//!
//! 1. [`handle_input`](Connection::handle_input) with whatever was received,
//!    and remove what it consumed; or, where the transport keeps boundaries,
//!    [`handle_messages`](Connection::handle_messages).
//! 2. Send what was appended to `out`.
//! 3. If [`claim`](Connection::claim) shows a peer, find out whether it may
//!    have this connection, say so with
//!    [`resolve_claim`](Connection::resolve_claim), and go to 1 with the same
//!    input: the CER is still in it.
//! 4. If [`ending`](Connection::ending) says so, end the transport.
//! 5. Call [`handle_timeout`](Connection::handle_timeout) when
//!    [`next_timeout`](Connection::next_timeout) has come.
//!
//! A connection that we open ourselves begins with
//! [`initiate`](Connection::initiate), and has no claim.
//!
//! `now` must never run backwards. One call handles requests until the input
//! or the room for answers is used up, so a peer that sends faster than it
//! reads is stopped by its own unread answers.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod ending;
mod input;
mod opening;

use core::time::Duration;
use std::sync::Arc;

use bytes::BytesMut;

use crate::base::Node;
use crate::base::capabilities;
use crate::base::disconnect::{self, DisconnectCause};
use crate::base::peer::{Action, Event, State, transition};
use crate::base::watchdog::{self, Alarm, Health, Random, Watchdog};
use crate::s13::Forms;
use crate::time::Uptime;
use crate::wire::compose::HostAddress;

pub use self::ending::{Decision, EndReason, Ending, Refusal};
use self::opening::Call;
pub use self::opening::{Callee, Peer};

/// How long an old connection has to answer a DWR when its peer asks for a new
/// one: long enough for any live path, short enough that a peer that crashed
/// is back before its subscribers notice.
pub const PROBE_WAIT: Duration = Duration::from_secs(3);

/// How long the decision on a claim may take at least, whatever is left of the
/// time for the handshake: an old connection may have to be asked for a sign of
/// life, which is not the new one's fault.
const CLAIM_WAIT: Duration = PROBE_WAIT.saturating_add(Duration::from_secs(1));

/// A connection's protocol state.
#[derive(Debug)]
pub struct Connection {
    /// This node.
    node: Arc<Node>,
    /// The local addresses, for Host-IP-Address.
    addresses: Box<[HostAddress]>,
    /// Where the peer machine stands.
    state: State,
    /// Who the peer is, once its CER or CEA was good.
    peer: Option<Peer>,
    /// Whom we have called, if it was us.
    call: Option<Box<Call>>,
    /// The decision on the peer's claim, while the CER waits for it.
    claim: Option<Decision>,
    /// When the time of the present state runs out.
    deadline: Option<Uptime>,
    /// The watchdog, while open.
    watchdog: Option<Watchdog>,
    /// Until when a sign of life must come, if one was demanded.
    probe: Option<Uptime>,
    /// How the connection ends, once it does.
    ending: Option<Ending>,
    /// Whether capabilities were exchanged.
    opened: bool,
    /// The cause in the peer's DPR, once one came.
    farewell: Option<DisconnectCause>,
    /// How many messages have passed.
    traffic: Traffic,
    /// Whether TLS protects the transport.
    secured: bool,
    /// What its requests have in common.
    forms: Forms,
    /// For identifiers and jitter.
    random: Random,
}

/// How many messages have passed, of all commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests received.
    pub requests: u64,
    /// Answers composed.
    pub answers: u64,
}

impl Connection {
    /// A connection that a peer has just opened. `seed` spreads identifiers
    /// and jitter; `addresses` are the local ones, at least one.
    #[must_use]
    pub fn new(node: Arc<Node>, addresses: &[HostAddress], seed: u64, now: Uptime) -> Self {
        let deadline = now.plus(node.limits().handshake);
        Self {
            node,
            addresses: addresses.into(),
            state: State::Accepted,
            peer: None,
            call: None,
            claim: None,
            deadline: Some(deadline),
            watchdog: None,
            probe: None,
            ending: None,
            opened: false,
            farewell: None,
            traffic: Traffic::default(),
            secured: false,
            forms: Forms::default(),
            random: Random(seed),
        }
    }

    /// The same connection over TLS: a peer that asks for TLS in its CER has
    /// it already.
    #[must_use]
    pub const fn over_tls(mut self) -> Self {
        self.secured = true;
        self
    }

    /// A connection that we have just opened to `callee`: composes the CER. The
    /// rest is as with one that was accepted, but that there is no claim.
    #[must_use]
    pub fn initiate(
        node: Arc<Node>,
        addresses: &[HostAddress],
        seed: u64,
        now: Uptime,
        callee: Callee,
        out: &mut BytesMut,
    ) -> Self {
        let mut this = Self::new(node, addresses, seed, now);
        let cer = this.identifiers();
        capabilities::compose_request(out, &this.node, cer, &this.addresses);
        this.state = State::WaitCea;
        this.call = Some(Box::new(Call {
            callee,
            cer,
            said: None,
        }));
        this
    }

    /// A connection whose capabilities exchange took place out of sight: for
    /// captures that begin in the middle.
    #[must_use]
    pub fn already_open(node: Arc<Node>, addresses: &[HostAddress], now: Uptime) -> Self {
        let mut this = Self::new(node, addresses, 0, now);
        this.open(now);
        this
    }

    //----------- Getters

    /// Where the peer machine stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Who the peer is, once its CER could be read, or its CEA.
    #[must_use]
    pub const fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// The peer that waits to be told whether it may have this connection.
    #[must_use]
    pub const fn claim(&self) -> Option<&Peer> {
        match (self.state, self.claim) {
            (State::Claiming, None) => self.peer.as_ref(),
            _ => None,
        }
    }

    /// The Error-Message of the CEA, if the peer that we called sent one.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        self.call.as_ref()?.said.as_deref()
    }

    /// How many messages have passed.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How long the peer took to answer the watchdog last.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.watchdog.as_ref()?.round_trip()
    }

    /// How to end the transport, once that is due.
    #[must_use]
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Whether a demanded sign of life is still awaited.
    #[must_use]
    pub const fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// Whether capabilities were exchanged, now or before the end.
    #[must_use]
    pub const fn was_opened(&self) -> bool {
        self.opened
    }

    /// Whether the peer has left a DWR unanswered for an interval.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.watchdog
            .as_ref()
            .is_some_and(|watchdog| watchdog.health() == Health::Suspect)
    }

    /// What it means if the transport ends now.
    #[must_use]
    pub const fn loss(&self) -> EndReason {
        match (self.ending, self.farewell, self.state) {
            (Some(ending), ..) => ending.reason,
            (None, Some(cause), _) => EndReason::PeerDisconnected(cause),
            (None, None, State::DprSent) => EndReason::Disconnected,
            (None, None, _) => EndReason::Lost,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Uptime> {
        let watchdog = self.watchdog.as_ref().map(Watchdog::due);
        [self.deadline, watchdog, self.probe]
            .into_iter()
            .flatten()
            .min()
    }

    //----------- Time

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Uptime, out: &mut BytesMut) {
        if self.probe.is_some_and(|due| due <= now) {
            return self.end(false, EndReason::Superseded);
        }
        if self.deadline.is_some_and(|due| due <= now) {
            let reason = match self.state {
                State::Accepted | State::Claiming | State::WaitCea => EndReason::HandshakeTimeout,
                State::DprSent => EndReason::DisconnectTimeout,
                State::Open | State::DpaSent | State::Closed => self.loss(),
            };
            return self.step(Event::Timeout, reason);
        }
        match self.watchdog.as_mut().map(|watchdog| watchdog.expire(now)) {
            // A suspect peer is told apart by `is_suspect`.
            None | Some(Alarm::None | Alarm::Suspect) => {}
            Some(Alarm::Probe) => self.send_dwr(now, out),
            Some(Alarm::Close) => self.step(Event::Timeout, EndReason::WatchdogTimeout),
        }
    }

    //----------- Commands

    /// Says whether the claiming peer may have this connection. The CER is
    /// answered when the same input is handed in again.
    pub const fn resolve_claim(&mut self, decision: Decision) {
        if matches!(self.state, State::Claiming) {
            self.claim = Some(decision);
        }
    }

    /// Demands a sign of life within [`PROBE_WAIT`]: the peer has asked for
    /// another connection. Without one, this connection ends.
    ///
    /// A demand that is repeated meanwhile changes nothing: else a peer that
    /// tries again and again would keep its own dead connection alive.
    pub fn demand_life(&mut self, now: Uptime, out: &mut BytesMut) {
        if self.ending.is_some() || self.probe.is_some() {
            return;
        }
        if self.state == State::Open {
            self.send_dwr(now, out);
            if let Some(watchdog) = &mut self.watchdog {
                watchdog.probed(now);
            }
        }
        self.probe = Some(now.plus(PROBE_WAIT));
    }

    /// Ends this connection, as another of its peer takes its place.
    pub const fn supersede(&mut self) {
        let reason = match self.state {
            State::WaitCea => EndReason::ElectionWon,
            _ => EndReason::Superseded,
        };
        self.step(Event::Superseded, reason);
    }

    /// Begins the orderly end: DPR if the connection is open.
    pub fn begin_disconnect(&mut self, cause: DisconnectCause, now: Uptime, out: &mut BytesMut) {
        let (action, next) = transition(self.state, Event::Disconnect);
        match action {
            Action::SendDpr => {
                let identifiers = self.identifiers();
                disconnect::compose_request(out, &self.node, identifiers, cause);
                self.state = next;
                self.watchdog = None;
                self.deadline = Some(now.plus(self.node.limits().drain));
            }
            Action::Ignore => {}
            _ => self.step(Event::Disconnect, EndReason::Shutdown),
        }
    }

    //----------- Steps of the peer machine

    /// Takes the transition, and ends the connection with `reason` if that is
    /// its action. For events whose messages the caller composes itself.
    const fn step(&mut self, event: Event, reason: EndReason) {
        let (action, next) = transition(self.state, event);
        self.state = next;
        match action {
            Action::Close | Action::RefuseCer => self.end(false, reason),
            Action::Abort => self.end(true, reason),
            _ => {}
        }
    }

    /// Takes the transition of a request and returns what to do; ends the
    /// connection where a request must not come.
    fn act(&mut self, event: Event) -> Action {
        let premature = self.premature();
        let (action, next) = transition(self.state, event);
        self.state = next;
        if action == Action::Close {
            self.end(false, premature);
        }
        action
    }

    /// Why a connection ends that is not open, and got another message than the
    /// one that opens it.
    const fn premature(&self) -> EndReason {
        match self.state {
            State::WaitCea => EndReason::NotCea,
            _ => EndReason::NotCer,
        }
    }

    /// Enters the open state.
    fn open(&mut self, now: Uptime) {
        self.state = State::Open;
        self.deadline = None;
        let interval = self.node.limits().watchdog;
        self.watchdog = Some(Watchdog::new(interval, self.random.next(), now));
        self.opened = true;
    }

    /// Takes note of a sign of life.
    fn heard(&mut self, now: Uptime) {
        self.probe = None;
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.alive(now);
        }
    }

    /// Decides that the connection ends; the first reason stands.
    const fn end(&mut self, abort: bool, reason: EndReason) {
        self.state = State::Closed;
        self.deadline = None;
        self.watchdog = None;
        self.probe = None;
        if self.ending.is_none() {
            self.ending = Some(Ending { abort, reason });
        }
    }

    /// Composes a DWR.
    fn send_dwr(&mut self, now: Uptime, out: &mut BytesMut) {
        let identifiers = self.identifiers();
        watchdog::compose_request(out, &self.node, identifiers);
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.asked(identifiers.0, now);
        }
    }

    /// Fresh Hop-by-Hop and End-to-End Identifiers. Few requests are under way
    /// at a time, so random ones do.
    fn identifiers(&mut self) -> (u32, u32) {
        let random = self.random.next().to_be_bytes();
        let [a, b, c, d, e, f, g, h] = random;
        (
            u32::from_be_bytes([a, b, c, d]),
            u32::from_be_bytes([e, f, g, h]),
        )
    }
}
