//! One connection: a socket, what is outstanding on it, and what came back.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use weir::base::disconnect::{self, DisconnectCause};
use weir::base::{Node, capabilities, watchdog};
use weir::wire::compose::HostAddress;
use weir::wire::{CommandCode, Deframed, Message, ResultCode, deframe, dictionary};

use crate::address::Address;
use crate::answer::{Outcome, Twins};
use crate::script::Script;
use crate::stream::{Ends, READ, Received, Stream};
use crate::tls::Credentials;

/// The largest message that is believed.
const MESSAGE_MAX: usize = 64 * 1024;

/// How long a server is waited for when a connection is to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Octets of a header.
const HEADER: usize = 20;

/// The flag of requests (RFC 6733 section 3).
const REQUEST: u8 = 0x80;

/// Requests that may be outstanding on one connection.
pub const OUTSTANDING_MAX: usize = 1 << 16;

/// How long a server may be silent while capabilities are exchanged.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What the other end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A Diameter server.
    Diameter,
    /// The echo: it sends so many octets for each request.
    Echo(usize),
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    /// Its number in the script.
    number: usize,
    /// When it was to be sent, in nanoseconds of the run.
    intended: u64,
    /// Its End-to-End Identifier; 0 if the slot is free.
    end_to_end: u32,
}

/// What was received and not checked yet.
#[derive(Debug)]
struct Input {
    /// Where it stands.
    buffer: Vec<u8>,
    /// Its beginning.
    start: usize,
    /// The end of what is known to be whole messages.
    framed: usize,
    /// Its end.
    end: usize,
}

/// A connection on which requests are sent.
///
/// Answers are counted when they are received, and checked later: meanwhile the
/// next requests are under way, so that checking takes the generator's time but
/// none of the loop's.
#[derive(Debug)]
pub struct Link {
    /// The socket.
    pub stream: Stream,
    /// What is at the other end.
    peer: Peer,
    /// Who this end is.
    node: Node,
    /// Received: `framed` octets of whole messages that are not checked yet,
    /// and the beginning of another.
    input: Input,
    /// Answers that were received.
    received: u64,
    /// Composed, not yet taken by the socket.
    output: BytesMut,
    /// Requests that may be outstanding.
    window: usize,
    /// What is outstanding or not checked yet; the slot is the Hop-by-Hop
    /// Identifier.
    slots: Vec<Outstanding>,
    /// Free slots.
    free: Vec<u32>,
    /// The oldest slot outstanding, for an echo, which answers in order.
    oldest: usize,
    /// The next End-to-End Identifier.
    next: u32,
    /// What the answers look like.
    twins: Twins,
    /// Requests sent.
    pub sent: u64,
    /// Octets received in answer to them.
    pub octets: u64,
    /// Whether the socket took no more.
    pub blocked: bool,
}

impl Link {
    /// Connects as the peer with this number, and exchanges capabilities.
    ///
    /// # Errors
    ///
    /// What went wrong, for people.
    pub fn connect(
        address: &Address,
        credentials: &Credentials,
        peer: Peer,
        script: &Script,
        number: usize,
        window: usize,
    ) -> Result<Self, String> {
        let free = Outstanding {
            number: 0,
            intended: 0,
            end_to_end: 0,
        };
        let window = window.clamp(1, OUTSTANDING_MAX);
        let mut link = Self {
            stream: Stream::connect(address, credentials)?,
            peer,
            node: script.peer(number),
            input: Input::new(),
            received: 0,
            output: BytesMut::with_capacity(READ),
            window,
            slots: vec![free; 2 * window],
            // The first is taken first.
            free: (0..2 * window as u32).rev().collect(),
            oldest: 0,
            next: 1,
            twins: Twins::default(),
            sent: 0,
            octets: 0,
            blocked: false,
        };
        match peer {
            Peer::Diameter => link
                .exchange_capabilities()
                .map_err(|why| format!("{address}: no capabilities exchange: {why}"))?,
            Peer::Echo(answer_len) => link
                .tell_lens(script.request_len(), answer_len)
                .map_err(|error| format!("{address}: no echo: {error}"))?,
        }
        Ok(link)
    }

    /// Exchanges capabilities, and waits for the answer.
    fn exchange_capabilities(&mut self) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let local = match self.stream.local_ip().map_err(text)? {
            IpAddr::V4(v4) => HostAddress::V4(v4.octets()),
            IpAddr::V6(v6) => HostAddress::V6(v6.octets()),
        };
        capabilities::compose_request(&mut self.output, &self.node, (1, 1), &[local]);
        loop {
            self.send().map_err(text)?;
            match deframe(self.input.octets(), MESSAGE_MAX) {
                Deframed::Incomplete { .. } => {}
                Deframed::Broken(broken) => return Err(format!("no Diameter: {broken}")),
                Deframed::Message(cea) => {
                    let len = cea.len();
                    judge(&cea)?;
                    self.input.take(len);
                    return Ok(());
                }
            }
            if self.read().map_err(text)?.is_none() && !self.stream.wait(HANDSHAKE).map_err(text)? {
                return Err(format!("silence for {} s", HANDSHAKE.as_secs()));
            }
        }
    }

    /// Tells an echo how long requests are, and how long answers are to be.
    fn tell_lens(&mut self, request: usize, answer: usize) -> io::Result<()> {
        let lens = [request as u32, answer as u32].map(u32::to_be_bytes);
        let lens = lens.concat();
        let sent = self.stream.write(&lens, Ends::Every(lens.len()))?;
        if sent < lens.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        // A TLS handshake takes turns; an echo says nothing else by itself.
        loop {
            let silent = self.read()?.is_none();
            if !self.stream.is_shaking_hands() {
                break;
            }
            if silent && !self.stream.wait(HANDSHAKE)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Says that it leaves: a server that lost a peer without a word may be
    /// wary of it when it comes again (RFC 3539 section 3.4.1, REOPEN).
    pub fn leave(&mut self) -> io::Result<()> {
        if self.peer == Peer::Diameter {
            let cause = DisconnectCause::REBOOTING;
            disconnect::compose_request(&mut self.output, &self.node, (2, 2), cause);
        }
        self.send()
    }

    /// Waits until the server has heard that: its answer, or its end, is next.
    pub fn left(mut self) -> io::Result<()> {
        if self.peer == Peer::Diameter && self.read()?.is_none() && self.stream.wait(FAREWELL)? {
            self.read()?;
        }
        Ok(())
    }

    /// How many more requests may be outstanding.
    fn room(&self) -> usize {
        self.window.saturating_sub(self.outstanding())
    }

    /// How many requests are outstanding.
    fn outstanding(&self) -> usize {
        self.sent.saturating_sub(self.received) as usize
    }

    /// How many requests have no answer of theirs, after all were checked.
    pub fn unanswered(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Composes a request, if there is room for it.
    pub fn ask(&mut self, script: &Script, number: usize, intended: u64) -> bool {
        if self.room() == 0 {
            return false;
        }
        let taken = self.unanswered();
        let slot = match self.peer {
            Peer::Diameter => self.free.pop(),
            // An echo answers in order, so that the slots are a ring.
            Peer::Echo(_) => {
                let slot = (self.oldest + taken) % self.slots.len();
                self.free.pop().map(|_| slot as u32)
            }
        };
        let Some(slot) = slot else { return false };
        let at = self.output.len();
        self.output.extend_from_slice(script.request(number));
        self.output[at + 12..at + 16].copy_from_slice(&slot.to_be_bytes());
        self.output[at + 16..at + 20].copy_from_slice(&self.next.to_be_bytes());
        self.slots[slot as usize] = Outstanding {
            number,
            intended,
            end_to_end: self.next,
        };
        self.next = self.next.checked_add(1).unwrap_or(1);
        self.sent += 1;
        true
    }

    /// Sends what the socket takes.
    pub fn send(&mut self) -> io::Result<()> {
        self.blocked = match self.push() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            result => {
                result?;
                false
            }
        };
        Ok(())
    }

    /// Sends everything, or fails.
    fn push(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let taken = self.stream.write(&self.output, Ends::Header)?;
            self.output.advance(taken);
        }
        self.stream.flush()
    }

    /// Receives what the socket has; nothing if that would take waiting.
    fn read(&mut self) -> io::Result<Option<Received>> {
        match self.stream.read(self.input.room()) {
            Ok(Received { octets: 0, .. }) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => {
                self.input.end += received.octets;
                Ok(Some(received))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Receives what the socket has, and counts the answers; they are to be
    /// [checked](Self::check) before more is received. Returns whether the
    /// socket may have more.
    pub fn receive(&mut self) -> io::Result<bool> {
        let Some(Received { octets, more }) = self.read()? else {
            return Ok(false);
        };
        self.octets += octets as u64;
        self.received += match self.peer {
            Peer::Echo(answer_len) => self.input.frame_every(answer_len),
            Peer::Diameter => self.input.frame()?,
        };
        Ok(more)
    }

    /// Checks what was received; calls `answered` with the intended time of
    /// each request that was answered, and what was wrong with the answer.
    pub fn check(
        &mut self,
        script: &Script,
        answered: impl FnMut(u64, Result<Option<Outcome>, String>),
    ) -> io::Result<()> {
        let framed = self.input.framed - self.input.start;
        match self.peer {
            Peer::Echo(answer_len) => self.take_echo(framed / answer_len, answered),
            Peer::Diameter => {
                // The buffer is lent to the loop that changes the rest.
                let input = std::mem::replace(&mut self.input, Input::NONE);
                let result = self.take(&input.octets()[..framed], script, answered);
                self.input = input;
                result?;
            }
        }
        self.input.take(framed);
        Ok(())
    }

    /// Takes whole messages.
    fn take(
        &mut self,
        input: &[u8],
        script: &Script,
        mut answered: impl FnMut(u64, Result<Option<Outcome>, String>),
    ) -> io::Result<()> {
        let mut consumed = 0;
        loop {
            let message = match deframe(&input[consumed..], MESSAGE_MAX) {
                Deframed::Incomplete { .. } => return Ok(()),
                Deframed::Broken(broken) => {
                    return Err(io::Error::other(format!("no Diameter: {broken}")));
                }
                Deframed::Message(message) => message,
            };
            consumed += message.len();
            let header = message.header();
            if header.is_request() {
                if header.command == CommandCode::DEVICE_WATCHDOG {
                    watchdog::answer(&message, &self.node, &mut self.output);
                }
                continue;
            }
            let held = self.slots.get_mut(header.hop_by_hop as usize);
            let Some(held) =
                held.filter(|held| held.end_to_end == header.end_to_end && header.end_to_end != 0)
            else {
                answered(0, Err("an answer to nothing that was asked".to_owned()));
                continue;
            };
            held.end_to_end = 0;
            let Outstanding {
                number, intended, ..
            } = *held;
            self.free.push(header.hop_by_hop);
            let said = self.twins.outcome(&message, script.request(number));
            answered(
                intended,
                said.and_then(|said| match script.expected(number) {
                    Some(expected) if expected != said => {
                        Err(format!("{said} instead of {expected}"))
                    }
                    _ => Ok(Some(said)),
                }),
            );
        }
    }

    /// Takes what an echo sent for answers, in order.
    fn take_echo(
        &mut self,
        answers: usize,
        mut answered: impl FnMut(u64, Result<Option<Outcome>, String>),
    ) {
        for _ in 0..answers {
            let intended = self.slots[self.oldest].intended;
            self.oldest = (self.oldest + 1) % self.slots.len();
            self.free.push(0);
            answered(intended, Ok(None));
        }
    }
}

impl Input {
    /// Nothing, where nothing can be received.
    const NONE: Self = Self {
        buffer: Vec::new(),
        start: 0,
        framed: 0,
        end: 0,
    };

    /// Nothing yet.
    fn new() -> Self {
        Self {
            // Room for a read behind the beginning of a message.
            buffer: vec![0; READ + MESSAGE_MAX],
            ..Self::NONE
        }
    }

    /// What was received.
    fn octets(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where a read goes to.
    fn room(&mut self) -> &mut [u8] {
        if self.buffer.len() - self.end < READ {
            self.buffer.copy_within(self.start..self.end, 0);
            self.framed -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..self.end + READ]
    }

    /// Drops what was taken.
    fn take(&mut self, octets: usize) {
        self.start += octets;
        self.framed = self.framed.max(self.start);
        if self.start == self.end {
            (self.start, self.framed, self.end) = (0, 0, 0);
        }
    }

    /// Finds where messages end; returns how many answers are among those that
    /// were not known before.
    fn frame(&mut self) -> io::Result<u64> {
        let mut answers = 0;
        while let [_, a, b, c, flags, ..] = self.buffer[self.framed..self.end] {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            if !(HEADER..=MESSAGE_MAX).contains(&len) {
                return Err(io::Error::other(format!("a message of {len} octets")));
            }
            if self.end - self.framed < len {
                break;
            }
            self.framed += len;
            answers += u64::from(flags & REQUEST == 0);
        }
        Ok(answers)
    }

    /// The same for answers that all have one length.
    fn frame_every(&mut self, len: usize) -> u64 {
        let answers = (self.end - self.framed) / len;
        self.framed += answers * len;
        answers as u64
    }
}

/// Whether a CEA is one that opens the connection.
fn judge(cea: &Message<'_>) -> Result<(), String> {
    let code = cea
        .avps()
        .map_while(Result::ok)
        .find(|avp| avp.key() == dictionary::RESULT_CODE.key)
        .and_then(|avp| avp.unsigned32())
        .map(ResultCode);
    match code {
        Some(ResultCode::SUCCESS) => Ok(()),
        Some(code) => Err(format!("refused with {code}")),
        None => Err("the answer has no Result-Code".to_owned()),
    }
}
