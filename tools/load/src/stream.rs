//! A connection's socket, whatever the transport: octets out, octets in,
//! nothing ever waits.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::address::{Address, Transport};
use crate::sctp::SctpStream;
use crate::tls::{Credentials, TlsStream};

/// Octets that are read at once: some four hundred answers.
pub const READ: usize = 64 * 1024;

/// How long connecting may take.
pub const CONNECT: Duration = Duration::from_secs(10);

/// System calls that moved something, or could not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// To receive.
    pub reads: u64,
    /// To send.
    pub writes: u64,
}

/// Where messages end in octets that are sent: streams do not care, SCTP
/// sends each as a message of its own.
#[derive(Clone, Copy, Debug)]
pub enum Ends {
    /// Each says so in its header, as those of Diameter do.
    Header,
    /// All have so many octets.
    Every(usize),
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Octets; none when the other end has closed.
    pub octets: usize,
    /// Whether there may be more at once.
    pub more: bool,
}

/// A connected socket that never waits.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream, Calls),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
    /// SCTP.
    Sctp(Box<SctpStream>),
}

impl Stream {
    /// Connects; TLS shakes hands when something is sent.
    pub fn connect(address: &Address, credentials: &Credentials) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot connect to {address}: {error}");
        if address.transport == Transport::Sctp {
            let socket = SctpStream::connect(address.socket).map_err(failed)?;
            return Ok(Self::Sctp(Box::new(socket)));
        }
        let socket = TcpStream::connect_timeout(&address.socket, CONNECT).map_err(failed)?;
        let socket = quick(socket).map_err(failed)?;
        match address.transport {
            Transport::Tls => {
                let session = credentials.client(&address.host)?;
                Ok(Self::Tls(Box::new(TlsStream::new(socket, session))))
            }
            _ => Ok(Self::tcp(socket)),
        }
    }

    /// One that sends and receives as it is.
    pub fn tcp(socket: TcpStream) -> Self {
        Self::Tcp(socket, Calls::default())
    }

    /// Sends what the socket takes of some octets, whole messages if it must;
    /// returns how many. `WouldBlock` if none.
    pub fn write(&mut self, octets: &[u8], ends: Ends) -> io::Result<usize> {
        match self {
            Self::Tcp(socket, calls) => loop {
                calls.writes += 1;
                match socket.write(octets) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            },
            Self::Tls(stream) => stream.write(octets),
            Self::Sctp(stream) => stream.write(octets, ends),
        }
    }

    /// Sends what `write` has taken and holds; `WouldBlock` if not all of it
    /// could be sent.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.flush(),
            Self::Tcp(..) | Self::Sctp(_) => Ok(()),
        }
    }

    /// Receives; `WouldBlock` if there is nothing. The buffer has [`READ`]
    /// octets.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match self {
            Self::Tcp(socket, calls) => loop {
                calls.reads += 1;
                match socket.read(buffer) {
                    Ok(octets) => {
                        // A read that did not fill the buffer emptied the
                        // socket.
                        let more = octets == buffer.len();
                        return Ok(Received { octets, more });
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            },
            Self::Tls(stream) => stream.read(buffer),
            Self::Sctp(stream) => stream.read(buffer),
        }
    }

    /// Whether neither end can send data yet.
    pub fn is_shaking_hands(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.is_shaking_hands(),
            Self::Tcp(..) | Self::Sctp(_) => false,
        }
    }

    /// How many system calls it has made.
    pub fn calls(&self) -> Calls {
        match self {
            Self::Tcp(_, calls) => *calls,
            Self::Tls(stream) => stream.calls,
            Self::Sctp(stream) => stream.calls,
        }
    }

    /// This end's address, as a capabilities exchange has it.
    pub fn local_ip(&self) -> io::Result<std::net::IpAddr> {
        let address = socket2::SockRef::from(self).local_addr()?;
        let address = address.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok(address.ip().to_canonical())
    }

    /// Waits until there is something to receive, or until what is held can be
    /// sent; false when the patience is over.
    pub fn wait(&self, patience: Duration) -> io::Result<bool> {
        let mut wanted = PollFlags::IN;
        if let Self::Tls(stream) = self
            && stream.wants_write()
        {
            wanted |= PollFlags::OUT;
        }
        let patience = Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: patience.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(self, wanted)];
        Ok(poll(&mut fds, Some(&patience))? > 0)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket, _) => socket.as_fd(),
            Self::Tls(stream) => stream.as_fd(),
            Self::Sctp(stream) => stream.as_fd(),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Neither waits nor lets others wait.
pub fn quick(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
