//! One-to-one SCTP sockets of the kernel: a message for each request and
//! answer, many of them with one system call.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, send, sendmmsg, setsockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::stream::{CONNECT, Calls, Ends, READ, Received};

/// Messages that one system call moves at most.
const BATCH: usize = 32;

/// Octets that a message may have to come in one piece; longer ones come in
/// parts, which are put together again as a stream's are.
const SLOT: usize = READ / BATCH;

/// `SCTP_NODELAY`: a message is sent at once.
const NODELAY: libc::c_int = 3;

/// Sets [`NODELAY`].
#[derive(Clone)]
struct NoDelay;
nix::setsockopt_impl!(
    NoDelay,
    libc::IPPROTO_SCTP,
    NODELAY,
    bool,
    nix::sys::socket::sockopt::SetBool
);

/// An association.
#[derive(Debug)]
pub struct SctpStream {
    /// Its socket.
    socket: Socket,
    /// For receiving.
    incoming: MultiHeaders<()>,
    /// For sending.
    outgoing: MultiHeaders<()>,
    /// What was read and written.
    pub calls: Calls,
}

/// A socket for SCTP.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::SCTP)).map_err(|error| {
        match error.raw_os_error() {
            Some(libc::EPROTONOSUPPORT) => io::Error::other(
                "this kernel has no SCTP; load its module (modprobe sctp), or use tools/sctp-vm",
            ),
            _ => error,
        }
    })?;
    setsockopt(&socket, NoDelay, &true)?;
    Ok(socket)
}

/// Listens.
pub fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = socket(address)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(libc::SOMAXCONN)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl SctpStream {
    /// Connects.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = socket(address)?;
        socket.connect_timeout(&address.into(), CONNECT)?;
        Self::accepted(socket)
    }

    /// One that is connected.
    pub fn accepted(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        setsockopt(&socket, NoDelay, &true)?;
        Ok(Self {
            socket,
            incoming: MultiHeaders::preallocate(BATCH, None),
            outgoing: MultiHeaders::preallocate(BATCH, None),
            calls: Calls::default(),
        })
    }

    /// Sends whole messages, up to a batch of them. All but the last are sent
    /// with the word that more is to come, so that the kernel packs them
    /// together: packets are what sending costs.
    pub fn write(&mut self, octets: &[u8], ends: Ends) -> io::Result<usize> {
        let mut messages = [[IoSlice::new(&[])]; BATCH];
        let mut count = 0;
        let mut rest = octets;
        while count < BATCH && !rest.is_empty() {
            let (message, behind) = rest.split_at(ends.first(rest)?);
            messages[count] = [IoSlice::new(message)];
            count += 1;
            rest = behind;
        }
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        // The very last one is sent by itself, without that word.
        let held = if rest.is_empty() { count - 1 } else { count };
        let mut taken = 0;
        if held > 0 {
            self.calls.writes += 1;
            let sent = sendmmsg(
                fd,
                &mut self.outgoing,
                &messages[..held],
                [None::<()>; BATCH],
                [],
                flags | MsgFlags::from_bits_retain(libc::MSG_MORE),
            )?
            .count();
            taken = messages[..sent].iter().map(|[message]| message.len()).sum();
            if sent < held {
                return Ok(taken);
            }
        }
        if held < count {
            self.calls.writes += 1;
            match send(fd, &messages[held][0], flags) {
                Ok(sent) => taken += sent,
                Err(nix::errno::Errno::EAGAIN) if taken > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(taken)
    }

    /// Receives up to a batch of messages.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut lens = [0; BATCH];
        let mut count = 0;
        {
            let mut parts = buffer.chunks_exact_mut(SLOT);
            let mut slots: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(parts.next().unwrap_or_default())]);
            self.calls.reads += 1;
            let received = recvmmsg(
                self.socket.as_raw_fd(),
                &mut self.incoming,
                &mut slots,
                MsgFlags::MSG_DONTWAIT,
                None,
            )?;
            for message in received {
                lens[count] = message.bytes;
                count += 1;
            }
        }
        let mut octets = 0;
        for (slot, len) in lens.into_iter().enumerate().take(count) {
            buffer.copy_within(slot * SLOT..slot * SLOT + len, octets);
            octets += len;
        }
        let more = count == BATCH;
        Ok(Received { octets, more })
    }
}

impl Ends {
    /// The octets of the first message.
    fn first(self, octets: &[u8]) -> io::Result<usize> {
        let len = match self {
            Self::Every(len) => len,
            Self::Header => match octets {
                [_, a, b, c, ..] => u32::from_be_bytes([0, *a, *b, *c]) as usize,
                _ => 0,
            },
        };
        if len == 0 || len > octets.len() {
            return Err(io::Error::other("a message without an end"));
        }
        Ok(len)
    }
}

impl AsFd for SctpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_where_they_say() {
        let octets = [1, 0, 0, 5, 9, 1, 0, 0, 4];
        assert_eq!(Ends::Header.first(&octets).unwrap(), 5);
        assert_eq!(Ends::Every(3).first(&octets).unwrap(), 3);
        for (ends, octets) in [
            (Ends::Header, &octets[5..8]),
            (Ends::Header, &octets[1..]),
            (Ends::Every(10), &octets[..]),
        ] {
            ends.first(octets).unwrap_err();
        }
    }
}
