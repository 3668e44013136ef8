//! System calls of kernel SCTP for which no safe wrapper exists.
//!
//! The only place of this crate with `unsafe`. Every function here is safe to
//! call with any arguments: options, addresses and control data are plain
//! octets, laid out by [`layout`](super::layout), so the kernel is only ever
//! given a slice and its length.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, c_uint, c_void, iovec, mmsghdr, msghdr, socklen_t};
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::layout::{ReceiveControl, SendControl, SocketOption};

/// Messages that one system call sends or receives at most: enough that its
/// cost no longer counts, few enough that a batch stays in the first-level
/// cache.
pub(super) const BATCH_MAX: usize = 32;

/// Octets of one message, or one part of it, as received.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    /// How many octets came.
    pub(super) len: usize,
    /// `MSG_EOR`, `MSG_NOTIFICATION` and others.
    pub(super) flags: c_int,
    /// How many octets of control data came.
    pub(super) control_len: usize,
}

/// A message to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'a> {
    /// The whole message.
    pub(super) octets: &'a [u8],
    /// Its stream and payload protocol.
    pub(super) control: SendControl,
}

impl Outgoing<'_> {
    /// Nothing, to be replaced.
    pub(super) const EMPTY: Self = Self {
        octets: &[],
        control: SendControl::EMPTY,
    };
}

/// Registers a socket with the runtime, for reading, writing and errors.
///
/// # Panics
///
/// Outside of a tokio runtime with I/O, as all its sockets do.
pub(super) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    let interest = Interest::READABLE | Interest::WRITABLE | Interest::ERROR;
    // SAFETY: the function asks that the descriptor stay the same and open for
    // as long as it is registered. `Socket` owns its descriptor, never changes
    // it and closes it only when it is dropped, which `AsyncFd` does after it
    // has taken it off the reactor.
    let registered = unsafe { AsyncFd::register_with_interest(socket, interest) };
    Ok(registered?)
}

/// Sets an option to the octets of its structure.
pub(super) fn set_option(fd: BorrowedFd<'_>, option: SocketOption, value: &[u8]) -> io::Result<()> {
    let len = socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel reads `len` octets from `value`, which has so many.
    // None of the options that `SocketOption` can name holds a pointer.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_SCTP,
            option.number(),
            value.as_ptr().cast(),
            len,
        )
    };
    // CONNECTX returns the number of the association, which is positive.
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Reads an option into `value`, which holds what the kernel is to know of the
/// question; returns how many octets the answer has.
pub(super) fn read_option(
    fd: BorrowedFd<'_>,
    option: SocketOption,
    value: &mut [u8],
) -> io::Result<usize> {
    let mut len = socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel reads and writes at most `len` octets of `value`,
    // which has so many, and writes `len`. No option here holds a pointer.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_SCTP,
            option.number(),
            value.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    match result {
        0 => Ok(usize::try_from(len).unwrap_or(0).min(value.len())),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Receives messages or parts of messages, one into each `slot_len` octets of
/// `buffer`, with one system call; returns how many came.
pub(super) fn receive_many(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    slot_len: usize,
    controls: &mut [ReceiveControl; BATCH_MAX],
    slots: &mut [Slot; BATCH_MAX],
) -> io::Result<usize> {
    let mut vectors = [EMPTY_VECTOR; BATCH_MAX];
    let mut headers = [EMPTY_HEADER; BATCH_MAX];
    let mut wanted = 0;
    let parts = buffer.chunks_exact_mut(slot_len.max(1));
    for (((part, control), vector), header) in parts
        .zip(controls.iter_mut())
        .zip(vectors.iter_mut())
        .zip(headers.iter_mut())
    {
        *vector = vector_mut(part);
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = control.0.len() as _;
        wanted += 1;
    }
    // SAFETY: the first `wanted` headers each point to one vector of this
    // frame and to a control buffer with its length, both borrowed mutably by
    // this function and used by nothing else; each vector points to a part of
    // `buffer` of its own, with its length. The rest is not given to the
    // kernel. The kernel keeps no pointer after the call.
    let received = unsafe {
        libc::recvmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            wanted as c_uint,
            libc::MSG_DONTWAIT,
            ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (slot, header) in slots.iter_mut().zip(&headers).take(received) {
        *slot = slot_of(&header.msg_hdr, header.msg_len as usize, slot_len);
    }
    Ok(received.min(wanted))
}

/// Receives one message or part of a message: [`receive_many`] where it is
/// not available, and what it is measured against.
pub(super) fn receive_one(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    control: &mut ReceiveControl,
) -> io::Result<Slot> {
    let mut vector = vector_mut(buffer);
    let mut header = EMPTY_HEADER.msg_hdr;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: as of `receive_many`, with one header.
    let received = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok(slot_of(&header, received, buffer.len()))
}

/// Sends messages with one system call; returns how many of them, from the
/// first, were taken. With `more`, the kernel may wait for the next message to
/// put both into one packet.
pub(super) fn send_many(
    fd: BorrowedFd<'_>,
    messages: &[Outgoing<'_>],
    more: bool,
) -> io::Result<usize> {
    let mut vectors = [EMPTY_VECTOR; BATCH_MAX];
    let mut headers = [EMPTY_HEADER; BATCH_MAX];
    let mut given: usize = 0;
    for ((message, vector), header) in messages
        .iter()
        .zip(vectors.iter_mut())
        .zip(headers.iter_mut())
    {
        *vector = vector_of(message.octets);
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = message.control.0.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_controllen = message.control.0.len() as _;
        given += 1;
    }
    // SAFETY: the first `given` headers each point to one vector of this frame
    // and to the control data of a message, and each vector to the octets of a
    // message, all with their lengths and borrowed until after the call. The
    // kernel only reads them (the pointers are `mut` because the structures
    // serve receiving, too), and keeps no pointer.
    let sent = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            given as c_uint,
            send_flags(more),
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Sends one message: [`send_many`] where it is not available.
pub(super) fn send_one(fd: BorrowedFd<'_>, message: &Outgoing<'_>, more: bool) -> io::Result<()> {
    let mut vector = vector_of(message.octets);
    let mut header = EMPTY_HEADER.msg_hdr;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = message.control.0.as_ptr().cast_mut().cast();
    header.msg_controllen = message.control.0.len() as _;
    // SAFETY: as of `send_many`, with one header.
    let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, send_flags(more)) };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

//----------- Helpers

/// A vector of nothing.
const EMPTY_VECTOR: iovec = iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

/// A message of nothing.
const EMPTY_HEADER: mmsghdr = {
    // SAFETY: all fields are integers or pointers, of which zeros are valid
    // values; the padding that some systems have wants zeros.
    unsafe { MaybeUninit::zeroed().assume_init() }
};

/// A vector of octets to be written.
fn vector_mut(octets: &mut [u8]) -> iovec {
    iovec {
        iov_base: octets.as_mut_ptr().cast::<c_void>(),
        iov_len: octets.len(),
    }
}

/// A vector of octets to be read only.
fn vector_of(octets: &[u8]) -> iovec {
    iovec {
        iov_base: octets.as_ptr().cast_mut().cast::<c_void>(),
        iov_len: octets.len(),
    }
}

/// What came into a slot of `slot_len` octets.
fn slot_of(header: &msghdr, len: usize, slot_len: usize) -> Slot {
    Slot {
        len: len.min(slot_len),
        flags: header.msg_flags,
        #[allow(clippy::unnecessary_cast, reason = "its type depends on the C library")]
        control_len: header.msg_controllen as usize,
    }
}

/// The flags of sending: never wait, never raise SIGPIPE; with `more`, the
/// kernel may hold back what does not fill a packet, for the next message.
fn send_flags(more: bool) -> c_int {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    if more { flags | libc::MSG_MORE } else { flags }
}

/// The descriptor of a registered socket.
pub(super) fn descriptor(fd: &AsyncFd<Socket>) -> BorrowedFd<'_> {
    fd.get_ref().as_fd()
}
