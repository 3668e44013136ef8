//! The floor: a bare TCP echo of the same number of octets, on one thread.
//!
//! A client first sends two numbers of 32 bits: the octets of a request and
//! those of an answer. For each request's octets that come, an answer's octets
//! go back. Nothing is looked at, so that no server on these sockets can be
//! faster.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::link::READ;

/// The largest request and answer that an echo is asked for.
const LEN_MAX: u32 = 64 * 1024;

/// The token of the listener.
const LISTENER: Token = Token(usize::MAX - 1);

/// A connection of the echo.
struct Connection {
    /// The socket.
    socket: TcpStream,
    /// The numbers that come first, as far as they are here.
    preamble: Vec<u8>,
    /// Octets of a request that is not whole.
    partial: usize,
    /// Octets that wait to be sent.
    queued: usize,
}

/// An echo that listens.
pub struct Echo {
    /// The listening socket.
    listener: mio::net::TcpListener,
    /// Where it listens.
    address: SocketAddr,
}

impl Echo {
    /// Listens.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: mio::net::TcpListener::from_std(listener),
            address,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves for ever.
    pub fn run(mut self) -> io::Result<()> {
        let mut poll = Poll::new()?;
        poll.registry()
            .register(&mut self.listener, LISTENER, Interest::READABLE)?;
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
                    while let Ok((mut socket, _)) = self.listener.accept() {
                        socket.set_nodelay(true)?;
                        let place = connections.iter().position(Option::is_none);
                        let place = place.unwrap_or_else(|| {
                            connections.push(None);
                            connections.len() - 1
                        });
                        let interest = Interest::READABLE | Interest::WRITABLE;
                        poll.registry()
                            .register(&mut socket, Token(place), interest)?;
                        connections[place] = Some(Connection {
                            socket,
                            preamble: Vec::new(),
                            partial: 0,
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
            match self.socket.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.take(&buffer[..read])?;
                    self.send(zeros)?;
                    // A read that did not fill the buffer emptied the socket.
                    if read < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
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
        self.queued += self.partial / request * answer;
        self.partial %= request;
        Ok(())
    }

    /// Sends what the socket takes.
    fn send(&mut self, zeros: &[u8]) -> io::Result<()> {
        while self.queued > 0 {
            match self.socket.write(&zeros[..self.queued.min(zeros.len())]) {
                Ok(sent) => self.queued -= sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
