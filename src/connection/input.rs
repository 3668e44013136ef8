//! What comes in: octets or user messages, taken apart, read ahead in batches
//! and handled one after the other.

use arrayvec::ArrayVec;
use bytes::BytesMut;

use super::{Connection, EndReason};
use crate::base::disconnect::{self, CLOSE_WAIT};
use crate::base::peer::{Action, Event, State};
use crate::base::watchdog;
use crate::base::{Answer, Envelope};
use crate::policy::{Inquiry, Rulebook};
use crate::service::{self, BATCH, Observer, Reading};
use crate::time::{Now, Uptime};
use crate::wire::{ApplicationId, CommandCode, CommandFlags, Deframed, Message, deframe, frame};

/// A message of which was read what can be before its turn to be handled has
/// come.
#[derive(Debug)]
enum Received<'a> {
    /// A request for the service.
    Request(Reading<'a>),
    /// One of the base protocol's own commands, or an answer.
    Other(Message<'a>),
}

impl<'a> Received<'a> {
    /// The message.
    const fn message(&self) -> &Message<'a> {
        match self {
            Self::Request(reading) => reading.message(),
            Self::Other(message) => message,
        }
    }

    /// What the register is asked by a request for the service.
    fn inquiry(&self) -> Option<&Inquiry<'a>> {
        match self {
            Self::Request(reading) => reading.inquiry(),
            Self::Other(_) => None,
        }
    }
}

impl Connection {
    //----------- Octets and messages that came

    /// Handles the messages at the beginning of `input`, and returns how many
    /// octets they took. What is left is an incomplete message, or waits for
    /// the claim, or for room in `out`.
    pub fn handle_input(
        &mut self,
        now: Now,
        input: &[u8],
        rulebook: &Rulebook,
        out: &mut BytesMut,
        observer: &mut impl Observer,
    ) -> usize {
        let mut consumed = 0usize;
        let limit = self.node.limits().message_len_max;
        while self.takes_more(out) {
            let rest = input.get(consumed..).unwrap_or_default();
            match deframe(rest, limit) {
                Deframed::Incomplete { .. } => break,
                Deframed::Broken(broken) => self.step(Event::Broken, EndReason::Broken(broken)),
                // Whether there is a second one is not known, but likely.
                Deframed::Message(message) if message.len() < rest.len() => {
                    let taken = self.handle_batch(now, rest, rulebook, out, observer);
                    consumed = consumed.saturating_add(taken);
                }
                Deframed::Message(message) => {
                    if self.handle_one(now, message, rulebook, out, observer) {
                        consumed = consumed.saturating_add(message.len());
                    }
                }
            }
        }
        consumed
    }

    /// Handles up to [`BATCH`] messages at the beginning of `input`, one after
    /// the other, having read all of them before; returns how many octets they
    /// took.
    ///
    /// Reading changes nothing that matters, so what was read in vain, because a message
    /// before it ended the connection or filled `out`, is read again or never.
    #[inline(never)]
    fn handle_batch(
        &mut self,
        now: Now,
        input: &[u8],
        rulebook: &Rulebook,
        out: &mut BytesMut,
        observer: &mut impl Observer,
    ) -> usize {
        let limit = self.node.limits().message_len_max;
        let mut batch = ArrayVec::<_, BATCH>::new();
        let mut rest = input;
        while !batch.is_full()
            && let Deframed::Message(message) = deframe(rest, limit)
        {
            rest = rest.get(message.len()..).unwrap_or_default();
            // There is room.
            let _ = batch.try_push(self.read(message));
            prefetch(groups(&batch).0, rulebook);
        }
        let mut consumed = 0usize;
        self.handle_read(now, &batch, rulebook, out, observer, |received, _| {
            consumed = consumed.saturating_add(received.message().len());
        });
        consumed
    }

    /// Handles messages that were read, one after the other; `handled` is told
    /// each that is done with, and how long `out` is after it.
    #[inline(always)]
    fn handle_read(
        &mut self,
        now: Now,
        batch: &[Received<'_>],
        rulebook: &Rulebook,
        out: &mut BytesMut,
        observer: &mut impl Observer,
        mut handled: impl FnMut(&Received<'_>, usize),
    ) {
        prefetch(groups(batch).1, rulebook);
        self.heard(now.uptime);
        for received in batch {
            if !(self.takes_more(out) && self.on_message(now, received, rulebook, out, observer)) {
                break;
            }
            handled(received, out.len());
        }
    }

    /// Handles one message; returns whether it is done with.
    fn handle_one(
        &mut self,
        now: Now,
        message: Message<'_>,
        rulebook: &Rulebook,
        out: &mut BytesMut,
        observer: &mut impl Observer,
    ) -> bool {
        let received = self.read(message);
        self.heard(now.uptime);
        self.on_message(now, &received, rulebook, out, observer)
    }

    /// Whether messages are handled now: the connection has not ended, no
    /// claim waits, and there is room for answers.
    fn takes_more(&self, out: &BytesMut) -> bool {
        self.ending.is_none()
            && self.claim().is_none()
            && out.len() < self.node.limits().output_len_max
    }

    /// Handles the first of these user messages of a transport that keeps
    /// boundaries, up to [`BATCH`], one after the other, having read all of them
    /// before. Returns for each that is done with, how long `out` was after its
    /// answer; the others are to be handed in again, once there is room in
    /// `out` or the claim is resolved.
    #[inline(never)]
    pub fn handle_messages<'m>(
        &mut self,
        now: Now,
        received: impl IntoIterator<Item = &'m [u8]>,
        rulebook: &Rulebook,
        out: &mut BytesMut,
        observer: &mut impl Observer,
    ) -> ArrayVec<usize, BATCH> {
        let mut handled = ArrayVec::new();
        if !self.takes_more(out) {
            return handled;
        }
        let limit = self.node.limits().message_len_max;
        let mut batch = ArrayVec::<_, BATCH>::new();
        let mut broken = None;
        for octets in received.into_iter().take(BATCH) {
            match frame::whole(octets, limit) {
                Ok(message) => {
                    // There is room, as no more are asked for.
                    let _ = batch.try_push(self.read(message));
                    prefetch(groups(&batch).0, rulebook);
                }
                Err(found) => {
                    broken = Some(found);
                    break;
                }
            }
        }
        self.handle_read(now, &batch, rulebook, out, observer, |_, end| {
            let _ = handled.try_push(end);
        });
        let is_turn = handled.len() == batch.len() && self.takes_more(out);
        if let Some(broken) = broken.filter(|_| is_turn) {
            self.step(Event::Broken, EndReason::Broken(broken));
            let _ = handled.try_push(out.len());
        }
        handled
    }

    //----------- What messages do

    /// Reads a message if it is a request for the service: any but CER, DWR and
    /// DPR, which are the base protocol's own unless they have the E bit.
    #[inline(always)]
    fn read<'a>(&mut self, message: Message<'a>) -> Received<'a> {
        let header = message.header();
        let is_base = header.application == ApplicationId::COMMON
            && !header.flags.contains(CommandFlags::ERROR)
            && matches!(
                header.command,
                CommandCode::CAPABILITIES_EXCHANGE
                    | CommandCode::DEVICE_WATCHDOG
                    | CommandCode::DISCONNECT_PEER
            );
        match header.is_request() && !is_base {
            true => Received::Request(Reading::of(&message, &self.node, &mut self.forms)),
            false => Received::Other(message),
        }
    }

    /// Handles one message; returns whether it is done with.
    fn on_message(
        &mut self,
        now: Now,
        received: &Received<'_>,
        rulebook: &Rulebook,
        out: &mut BytesMut,
        observer: &mut impl Observer,
    ) -> bool {
        let composed = out.len();
        match received {
            Received::Request(reading) => {
                if self.act(Event::Request) == Action::Serve {
                    service::answer(reading, rulebook, &self.node, now.unix, out, observer);
                }
            }
            Received::Other(message) => {
                if let Some(done) = self.on_other(now, message, out, observer) {
                    return done;
                }
            }
        }
        // A request has one answer, or none where it ends the connection.
        self.traffic.requests = self.traffic.requests.saturating_add(1);
        let answered = u64::from(out.len() > composed);
        self.traffic.answers = self.traffic.answers.saturating_add(answered);
        true
    }

    /// Handles what is no request for the service; `None` if it was a request
    /// and is done with.
    fn on_other(
        &mut self,
        now: Now,
        message: &Message<'_>,
        out: &mut BytesMut,
        observer: &mut impl Observer,
    ) -> Option<bool> {
        let header = message.header();
        match (header.is_request(), header.command) {
            // Of the base protocol, also with the E bit: refused or not, the
            // request has been read.
            (false, command) if header.application == ApplicationId::COMMON => {
                self.on_answer(now.uptime, command, message);
                return Some(true);
            }
            (false, _) => {
                self.step(Event::Answer, self.premature());
                return Some(true);
            }
            (true, CommandCode::CAPABILITIES_EXCHANGE) => {
                if !self.on_cer(now.uptime, message, out, observer) {
                    return Some(false);
                }
            }
            (true, CommandCode::DEVICE_WATCHDOG) => {
                if self.act(Event::Dwr) == Action::SendDwa {
                    watchdog::answer(message, &self.node, out);
                }
            }
            // DPR: there are no other requests that are not the service's.
            (true, _) => self.on_dpr(now.uptime, message, out, observer),
        }
        None
    }

    /// Handles an answer of the base protocol.
    fn on_answer(&mut self, now: Uptime, command: CommandCode, message: &Message<'_>) {
        let header = message.header();
        match command {
            CommandCode::CAPABILITIES_EXCHANGE if self.is_to_our_cer(message) => {
                self.on_cea(now, message);
            }
            CommandCode::DISCONNECT_PEER => {
                let reason = match self.state {
                    State::Accepted | State::WaitCea => self.premature(),
                    _ => EndReason::Disconnected,
                };
                self.step(Event::Dpa, reason);
            }
            _ => {
                if command == CommandCode::DEVICE_WATCHDOG
                    && let Some(watchdog) = &mut self.watchdog
                {
                    watchdog.answered(header.hop_by_hop, now);
                }
                self.step(Event::Answer, self.premature());
            }
        }
    }

    /// Handles a DPR.
    fn on_dpr(
        &mut self,
        now: Uptime,
        message: &Message<'_>,
        out: &mut BytesMut,
        observer: &mut impl Observer,
    ) {
        match disconnect::read_request(message) {
            Ok(cause) => {
                if self.act(Event::Dpr) == Action::SendDpa {
                    Answer::success(out, Envelope::of(message), &self.node).finish();
                    self.farewell = Some(cause);
                    if self.state == State::DpaSent {
                        self.watchdog = None;
                        // From the first DPR on: repeating it buys no time.
                        self.deadline.get_or_insert_with(|| now.plus(CLOSE_WAIT));
                    }
                }
            }
            Err(fault) => {
                if self.act(Event::DprBad) == Action::Serve {
                    Answer::fail(out, Envelope::of(message), &self.node, &fault, |_| {});
                    observer.faulted(message, &fault);
                }
            }
        }
    }
}

/// How many requests are read until the memory is asked for that their verdicts
/// begin with: while it comes, the next ones are read. Of fewer the processor
/// waits for each where the register is large, of more for all of them at once.
const GROUP: usize = 16;

/// The last group if it has just become whole, and what is behind the last whole
/// one.
#[inline(always)]
fn groups<'a, 'm>(batch: &'a [Received<'m>]) -> (&'a [Received<'m>], &'a [Received<'m>]) {
    let groups = batch.chunks_exact(GROUP);
    match groups.remainder() {
        [] => (groups.last().unwrap_or_default(), &[]),
        rest => (&[], rest),
    }
}

/// Has the memory fetched that the verdicts on these requests begin with.
#[inline(always)]
fn prefetch(group: &[Received<'_>], rulebook: &Rulebook) {
    if !group.is_empty() {
        rulebook.prefetch(group.iter().filter_map(Received::inquiry));
    }
}
