//! The floor: a bare echo of the same number of octets, on one thread, over
//! the same transport.
//!
//! A client first sends two numbers of 32 bits: the octets of a request and
//! those of an answer. For each request's octets that come, an answer's octets
//! go back. Nothing is looked at, so that no server on these sockets can be
//! faster.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;
use socket2::Socket;

use crate::address::{Address, Transport};
use crate::sctp::{self, SctpStream};
use crate::stream::{Ends, READ, Received, Stream, quick};
use crate::tls::{self, Pair, TlsStream};

/// The largest request and answer that an echo is asked for.
const LEN_MAX: u32 = 64 * 1024;

/// The token of the listener.
const LISTENER: Token = Token(usize::MAX - 1);

/// A connection of the echo.
struct Connection {
    /// The socket.
    stream: Stream,
    /// The numbers that come first, as far as they are here.
    preamble: Vec<u8>,
    /// Octets of a request that is not whole.
    partial: usize,
    /// Octets of an answer.
    answer: usize,
    /// Octets that wait to be sent.
    queued: usize,
}

/// An echo that listens.
pub struct Echo {
    /// The listening socket.
    listener: Listener,
    /// Where it listens.
    address: Address,
}

/// A listening socket.
enum Listener {
    /// Of TCP.
    Tcp(TcpListener),
    /// Of TCP, with what its connections are secured by.
    Tls(TcpListener, Arc<ServerConfig>),
    /// Of SCTP.
    Sctp(Socket),
}

impl Listener {
    /// A connection that waits.
    fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => Ok(Stream::tcp(quick(listener.accept()?.0)?)),
            Self::Tls(listener, config) => {
                let socket = quick(listener.accept()?.0)?;
                let stream = TlsStream::accept(socket, config.clone())?;
                Ok(Stream::Tls(Box::new(stream)))
            }
            Self::Sctp(listener) => {
                let stream = SctpStream::accepted(listener.accept()?.0)?;
                Ok(Stream::Sctp(Box::new(stream)))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) | Self::Tls(listener, _) => listener.as_fd(),
            Self::Sctp(listener) => listener.as_fd(),
        }
    }
}

impl Echo {
    /// Listens; over TLS, a certificate is shown.
    ///
    /// # Errors
    ///
    /// For people.
    pub fn bind(mut address: Address, pair: Option<&Pair>) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot listen on {address}: {error}");
        let listener = match address.transport {
            Transport::Sctp => Listener::Sctp(sctp::listen(address.socket).map_err(failed)?),
            transport => {
                let listener = TcpListener::bind(address.socket).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                match (transport, pair) {
                    (Transport::Tls, Some(pair)) => Listener::Tls(listener, tls::server(pair)?),
                    (Transport::Tls, None) => {
                        return Err("an echo over TLS shows a certificate: add it".to_owned());
                    }
                    _ => Listener::Tcp(listener),
                }
            }
        };
        let local = socket2::SockRef::from(&listener).local_addr();
        if let Some(socket) = local.map_err(failed)?.as_socket() {
            address.socket = socket;
        }
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Serves for ever.
    pub fn run(self) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut listener = SourceFd(&self.listener.as_fd().as_raw_fd());
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut connections: Vec<Option<Connection>> = Vec::new();
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ];
        let zeros = vec![0; 16 * READ];
        loop {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    while let Ok(stream) = self.listener.accept() {
                        let place = connections.iter().position(Option::is_none);
                        let place = place.unwrap_or_else(|| {
                            connections.push(None);
                            connections.len() - 1
                        });
                        let interest = Interest::READABLE | Interest::WRITABLE;
                        poll.registry().register(
                            &mut SourceFd(&stream.as_raw_fd()),
                            Token(place),
                            interest,
                        )?;
                        connections[place] = Some(Connection {
                            stream,
                            preamble: Vec::new(),
                            partial: 0,
                            answer: 0,
                            queued: 0,
                        });
                    }
                    continue;
                }
                let slot = &mut connections[event.token().0];
                if let Some(connection) = slot
                    && connection.turn(&mut buffer, &zeros).is_err()
                {
                    *slot = None;
                }
            }
        }
    }
}

impl Connection {
    /// Takes what came, and sends what it asks for; an error at the end.
    fn turn(&mut self, buffer: &mut [u8], zeros: &[u8]) -> io::Result<()> {
        loop {
            self.send(zeros)?;
            match self.stream.read(buffer) {
                Ok(Received { octets: 0, .. }) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Received { octets, more }) => {
                    self.take(&buffer[..octets])?;
                    self.send(zeros)?;
                    if !more {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Counts what came.
    fn take(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while self.preamble.len() < 8 {
            let Some((&octet, rest)) = octets.split_first() else {
                return Ok(());
            };
            self.preamble.push(octet);
            octets = rest;
        }
        let len = |at: usize| -> Option<usize> {
            let len = u32::from_be_bytes(self.preamble.get(at..at + 4)?.try_into().ok()?);
            (1..=LEN_MAX).contains(&len).then_some(len as usize)
        };
        let (Some(request), Some(answer)) = (len(0), len(4)) else {
            return Err(io::Error::other("no lengths"));
        };
        self.partial += octets.len();
        self.answer = answer;
        self.queued += self.partial / request * answer;
        self.partial %= request;
        Ok(())
    }

    /// Sends what the socket takes.
    fn send(&mut self, zeros: &[u8]) -> io::Result<()> {
        match self.push(zeros) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }

    /// Sends everything, or fails.
    fn push(&mut self, zeros: &[u8]) -> io::Result<()> {
        while self.queued > 0 {
            // What is cut off ends with an answer, or is one's rest.
            let most = zeros.len() - zeros.len() % self.answer;
            let octets = &zeros[..self.queued.min(most)];
            self.queued -= self.stream.write(octets, Ends::Every(self.answer))?;
        }
        self.stream.flush()
    }
}
