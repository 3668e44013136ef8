//! One connection: a socket, what is outstanding on it, and what came back.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use mio::net::TcpStream;
use weir::base::{Node, capabilities, watchdog};
use weir::wire::compose::HostAddress;
use weir::wire::{CommandCode, Deframed, Message, ResultCode, deframe, dictionary};

use crate::answer::{Outcome, Twins};
use crate::script::Script;

/// Octets that are read at once: some four hundred answers.
pub const READ: usize = 64 * 1024;

/// The largest message that is believed.
const MESSAGE_MAX: usize = 64 * 1024;

/// Requests that may be outstanding on one connection.
pub const OUTSTANDING_MAX: usize = 1 << 16;

/// How long a server may take to accept and to exchange capabilities.
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

/// What was read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests sent.
    pub sent: u64,
    /// Reads that brought something.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// A connection on which requests are sent.
#[derive(Debug)]
pub struct Link {
    /// The socket.
    pub socket: TcpStream,
    /// What is at the other end.
    peer: Peer,
    /// Who this end is.
    node: Node,
    /// Received, not yet taken apart.
    input: BytesMut,
    /// Octets of an echo that are no whole answer yet.
    echoed: usize,
    /// Composed, not yet taken by the socket.
    output: BytesMut,
    /// What is outstanding; the slot is the Hop-by-Hop Identifier.
    slots: Vec<Outstanding>,
    /// Free slots.
    free: Vec<u32>,
    /// The oldest slot outstanding, for an echo, which answers in order.
    oldest: usize,
    /// The next End-to-End Identifier.
    next: u32,
    /// What the answers look like.
    twins: Twins,
    /// What was read and written.
    pub traffic: Traffic,
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
        address: SocketAddr,
        peer: Peer,
        script: &Script,
        number: usize,
        window: usize,
    ) -> Result<Self, String> {
        let node = script.peer(number);
        let failed = |error: io::Error| format!("{address}: {error}");
        let mut socket = std::net::TcpStream::connect_timeout(&address, HANDSHAKE)
            .map_err(|error| format!("cannot connect to {address}: {error}"))?;
        socket.set_nodelay(true).map_err(failed)?;
        socket.set_read_timeout(Some(HANDSHAKE)).map_err(failed)?;
        match peer {
            Peer::Diameter => handshake(&mut socket, &node)
                .map_err(|why| format!("{address}: no capabilities exchange: {why}"))?,
            Peer::Echo(answer_len) => {
                let lens = [script.request_len() as u32, answer_len as u32];
                let lens: Vec<u8> = lens.into_iter().flat_map(u32::to_be_bytes).collect();
                socket.write_all(&lens).map_err(failed)?;
            }
        }
        socket.set_nonblocking(true).map_err(failed)?;
        let free = Outstanding {
            number: 0,
            intended: 0,
            end_to_end: 0,
        };
        let window = window.clamp(1, OUTSTANDING_MAX);
        Ok(Self {
            socket: TcpStream::from_std(socket),
            peer,
            node,
            input: BytesMut::with_capacity(2 * READ),
            echoed: 0,
            output: BytesMut::with_capacity(2 * READ),
            slots: vec![free; window],
            // The first is taken first.
            free: (0..window as u32).rev().collect(),
            oldest: 0,
            next: 1,
            twins: Twins::default(),
            traffic: Traffic::default(),
            blocked: false,
        })
    }

    /// How many more requests may be outstanding.
    pub fn room(&self) -> usize {
        self.free.len()
    }

    /// How many requests are outstanding.
    pub fn outstanding(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Composes a request, if there is room for it.
    pub fn ask(&mut self, script: &Script, number: usize, intended: u64) -> bool {
        let slot = match self.peer {
            Peer::Diameter => self.free.pop(),
            // An echo answers in order, so that the slots are a ring.
            Peer::Echo(_) => {
                let outstanding = self.outstanding();
                self.free
                    .pop()
                    .map(|_| ((self.oldest + outstanding) % self.slots.len()) as u32)
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
        self.traffic.sent += 1;
        true
    }

    /// Sends what the socket takes.
    pub fn send(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    self.traffic.writes += 1;
                    self.output.advance(sent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.blocked = false;
        Ok(())
    }

    /// Receives what the socket has; calls `answered` with the intended time of
    /// each request that was answered, and what was wrong with the answer.
    /// Returns whether the socket may have more.
    pub fn receive(
        &mut self,
        script: &Script,
        buffer: &mut [u8],
        mut answered: impl FnMut(u64, Result<Option<Outcome>, String>),
    ) -> io::Result<bool> {
        let received = match self.socket.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        };
        self.traffic.reads += 1;
        let more = received == buffer.len();
        if let Peer::Echo(answer_len) = self.peer {
            self.take_echo(received, answer_len, answered);
            return Ok(more);
        }
        self.input.extend_from_slice(&buffer[..received]);
        let mut consumed = 0;
        loop {
            match deframe(&self.input[consumed..], MESSAGE_MAX) {
                Deframed::Incomplete { .. } => break,
                Deframed::Broken(broken) => {
                    return Err(io::Error::other(format!("no Diameter: {broken}")));
                }
                Deframed::Message(message) => {
                    consumed += message.len();
                    if message.header().is_request() {
                        if message.header().command == CommandCode::DEVICE_WATCHDOG {
                            watchdog::answer(&message, &self.node, &mut self.output);
                        }
                        continue;
                    }
                    let slot = message.header().hop_by_hop;
                    let end_to_end = message.header().end_to_end;
                    let held = self.slots.get_mut(slot as usize);
                    let Some(held) =
                        held.filter(|held| held.end_to_end == end_to_end && end_to_end != 0)
                    else {
                        answered(0, Err("an answer to nothing that was asked".to_owned()));
                        continue;
                    };
                    let Outstanding {
                        number, intended, ..
                    } = *held;
                    held.end_to_end = 0;
                    self.free.push(slot);
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
        }
        self.input.advance(consumed);
        Ok(more)
    }

    /// Takes what an echo sent for answers, in order.
    fn take_echo(
        &mut self,
        received: usize,
        answer_len: usize,
        mut answered: impl FnMut(u64, Result<Option<Outcome>, String>),
    ) {
        self.echoed += received;
        while self.echoed >= answer_len && self.outstanding() > 0 {
            self.echoed -= answer_len;
            let intended = self.slots[self.oldest].intended;
            self.oldest = (self.oldest + 1) % self.slots.len();
            self.free.push(0);
            answered(intended, Ok(None));
        }
    }
}

/// Exchanges capabilities, and waits for the answer.
fn handshake(socket: &mut std::net::TcpStream, node: &Node) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let local = match socket.local_addr().map_err(text)?.ip().to_canonical() {
        std::net::IpAddr::V4(v4) => HostAddress::V4(v4.octets()),
        std::net::IpAddr::V6(v6) => HostAddress::V6(v6.octets()),
    };
    let mut cer = BytesMut::new();
    capabilities::compose_request(&mut cer, node, (1, 1), &[local]);
    socket.write_all(&cer).map_err(text)?;
    let mut input = Vec::new();
    let mut octet = [0];
    loop {
        // One by one, so that nothing behind the CEA is taken.
        socket.read_exact(&mut octet).map_err(text)?;
        input.extend_from_slice(&octet);
        match deframe(&input, MESSAGE_MAX) {
            Deframed::Incomplete { .. } => {}
            Deframed::Broken(broken) => return Err(format!("no Diameter: {broken}")),
            Deframed::Message(cea) => return judge(&cea),
        }
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
