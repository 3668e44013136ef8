//! The watchdog of RFC 3539 section 3.4, as far as the accepting side needs it.
//!
//! ```text
//!              any message: arm                any message: arm (failback)
//!              ┌────┐                       ┌──────────────────────────────┐
//!              ▼    │     Tw, DWR pending   │                              │
//! connected ─▶ OKAY ┴──────────────────────▶ SUSPECT ── Tw ──▶ close ──▶ DOWN
//!              Tw, none pending: send DWR
//! ```
//!
//! A connection is closed two to three Tw after its last message. REOPEN is
//! left out: it protects a client from sending to a peer that flaps, and is
//! entered only by the side that reconnects. A server that held back answers
//! in it would punish its clients; freeDiameter and Erlang's accepting side do
//! the same. Any message counts as a sign of life, a DWA with wrong identifiers
//! too.

use core::time::Duration;

use bytes::BytesMut;

use super::answer::{Answer, Envelope};
use super::disconnect::request_header;
use super::grammar::grammar;
use super::node::Node;
use crate::time::Uptime;
use crate::wire::{CommandCode, Composer, Message, dictionary};

/// Default of Tw (RFC 3539 section 3.4.1).
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// Bounds of Tw: six seconds is RFC 3539's least, as the jitter takes two; an
/// hour is longer than any NAT keeps an idle connection.
pub const INTERVAL_BOUNDS: (Duration, Duration) =
    (Duration::from_secs(6), Duration::from_secs(3600));

/// Half the width of the jitter that is drawn anew at each arming: keeps the
/// watchdogs of many connections from beating together.
pub const JITTER: Duration = Duration::from_secs(2);

/// What the peer's silence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Heard of within Tw, or a DWR is on its way.
    Okay,
    /// A DWR was not answered for Tw.
    Suspect,
}

/// What to do when the timer ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Not due yet.
    None,
    /// Send a DWR.
    Probe,
    /// Nothing to send: the peer is now suspect.
    Suspect,
    /// Close the connection.
    Close,
}

/// The watchdog of one connection.
#[derive(Clone, Debug)]
pub struct Watchdog {
    /// Tw without jitter.
    interval: Duration,
    /// When the timer runs out.
    due: Uptime,
    /// Whether a DWR is unanswered.
    pending: bool,
    /// What the silence says so far.
    health: Health,
    /// The Hop-by-Hop Identifier of the last DWR, and when it was sent, until
    /// it is answered.
    asked: Option<(u32, Uptime)>,
    /// How long the last answer took.
    round_trip: Option<Duration>,
    /// Randomness for the jitter.
    random: Random,
}

impl Watchdog {
    /// A watchdog for a connection that has just opened. `seed` spreads the
    /// jitter of different connections.
    #[must_use]
    pub fn new(interval: Duration, seed: u64, now: Uptime) -> Self {
        let mut this = Self {
            interval,
            due: now,
            pending: false,
            health: Health::Okay,
            asked: None,
            round_trip: None,
            random: Random(seed),
        };
        this.arm(now);
        this
    }

    /// When [`expire`](Self::expire) is due.
    #[must_use]
    pub const fn due(&self) -> Uptime {
        self.due
    }

    /// What the peer's silence says.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }

    /// How long the peer took to answer the last DWR that it answered.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Takes note that a DWR with this Hop-by-Hop Identifier is on its way.
    pub const fn asked(&mut self, hop_by_hop: u32, now: Uptime) {
        self.asked = Some((hop_by_hop, now));
    }

    /// Takes note of a DWA. Only one that pairs with the last DWR tells a time.
    pub fn answered(&mut self, hop_by_hop: u32, now: Uptime) {
        if let Some((_, sent)) = self.asked.take_if(|(asked, _)| *asked == hop_by_hop) {
            self.round_trip = Some(now.since(sent));
        }
    }

    /// Takes note of any message from the peer.
    pub fn alive(&mut self, now: Uptime) {
        self.pending = false;
        self.health = Health::Okay;
        self.arm(now);
    }

    /// Takes note of a DWR sent outside the timer's turn.
    pub fn probed(&mut self, now: Uptime) {
        self.pending = true;
        self.arm(now);
    }

    /// What is to be done at `now`.
    pub fn expire(&mut self, now: Uptime) -> Alarm {
        if now < self.due {
            return Alarm::None;
        }
        let alarm = match (self.health, self.pending) {
            (Health::Okay, false) => {
                self.pending = true;
                Alarm::Probe
            }
            (Health::Okay, true) => {
                self.health = Health::Suspect;
                Alarm::Suspect
            }
            (Health::Suspect, _) => Alarm::Close,
        };
        self.arm(now);
        alarm
    }

    /// Starts the timer anew: Tw ± up to [`JITTER`].
    fn arm(&mut self, now: Uptime) {
        let width = JITTER.saturating_mul(2);
        let millis = u64::try_from(width.as_millis()).unwrap_or(u64::MAX);
        let extra = Duration::from_millis(self.random.below(millis.saturating_add(1)));
        self.due = now.plus(self.interval.saturating_sub(JITTER).saturating_add(extra));
    }
}

grammar! {
    /// DWR, RFC 6733 section 5.5.1.
    DWR, Position {
        ORIGIN_HOST: Once,
        ORIGIN_REALM: Once,
        ORIGIN_STATE_ID: AtMostOnce,
    }
}

/// Composes the answer to a DWR, good or faulty.
pub fn answer(message: &Message<'_>, node: &Node, out: &mut BytesMut) {
    let envelope = Envelope::of(message);
    let read = DWR
        .read(message.avps(), None)
        .and_then(|fields| fields.findings.check());
    match read {
        Ok(()) => {
            let mut answer = Answer::success(out, envelope, node);
            state_id(answer.avps(), node);
            answer.finish();
        }
        Err(fault) => Answer::fail(out, envelope, node, &fault, |out| state_id(out, node)),
    }
}

/// Composes a DWR of this node.
pub fn compose_request(out: &mut BytesMut, node: &Node, identifiers: (u32, u32)) {
    let header = request_header(CommandCode::DEVICE_WATCHDOG, identifiers);
    let mut out = Composer::begin(out, &header);
    out.precomposed(node.origin());
    state_id(&mut out, node);
    out.finish();
}

/// Origin-State-Id, from which a peer infers a restart (RFC 6733 section
/// 8.16).
pub(super) fn state_id(out: &mut Composer<'_>, node: &Node) {
    out.unsigned32(&dictionary::ORIGIN_STATE_ID, node.settings().state_id);
}

/// A small generator (SplitMix64) for jitter and identifiers: they need to be
/// spread, not secret.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next 64 bits.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is.
    const fn below(&mut self, bound: u64) -> u64 {
        match self.next().checked_rem(bound) {
            Some(number) => number,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TW: Duration = Duration::from_secs(30);

    fn at(secs: u64) -> Uptime {
        Uptime(Duration::from_secs(secs))
    }

    #[test]
    fn silence_probes_then_suspects_then_closes() {
        let mut watchdog = Watchdog::new(TW, 1, at(0));
        assert_eq!(watchdog.expire(at(27)), Alarm::None);
        assert_eq!(watchdog.expire(at(33)), Alarm::Probe);
        assert_eq!(watchdog.health(), Health::Okay);
        assert_eq!(watchdog.expire(at(66)), Alarm::Suspect);
        assert_eq!(watchdog.health(), Health::Suspect);
        assert_eq!(watchdog.expire(at(99)), Alarm::Close);
    }

    #[test]
    fn any_message_rearms_and_heals() {
        let mut watchdog = Watchdog::new(TW, 2, at(0));
        assert_eq!(watchdog.expire(at(33)), Alarm::Probe);
        assert_eq!(watchdog.expire(at(66)), Alarm::Suspect);
        watchdog.alive(at(67));
        assert_eq!(watchdog.health(), Health::Okay);
        assert_eq!(watchdog.expire(at(94)), Alarm::None);
        assert_eq!(watchdog.expire(at(100)), Alarm::Probe);
    }

    #[test]
    fn only_the_answer_to_the_last_dwr_tells_a_round_trip() {
        let mut watchdog = Watchdog::new(TW, 4, at(0));
        watchdog.answered(7, at(1));
        assert_eq!(watchdog.round_trip(), None);
        watchdog.asked(7, at(10));
        watchdog.asked(8, at(12));
        watchdog.answered(7, at(13));
        assert_eq!(watchdog.round_trip(), None, "of a DWR before the last");
        watchdog.answered(8, at(15));
        assert_eq!(watchdog.round_trip(), Some(Duration::from_secs(3)));
        watchdog.answered(8, at(20));
        assert_eq!(watchdog.round_trip(), Some(Duration::from_secs(3)), "once");
    }

    #[test]
    fn jitter_fills_its_width_and_never_leaves_it() {
        let mut watchdog = Watchdog::new(TW, 3, at(0));
        let mut seen: Vec<u128> = (0..2000)
            .map(|_| {
                watchdog.alive(at(0));
                watchdog.due().0.as_millis()
            })
            .collect();
        seen.sort_unstable();
        let (first, last) = (seen[0], seen[seen.len() - 1]);
        assert!((28_000..28_100).contains(&first), "{first}");
        assert!((31_900..=32_000).contains(&last), "{last}");
    }
}
