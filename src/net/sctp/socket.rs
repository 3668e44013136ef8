//! One-to-one SCTP sockets on tokio: listening, connecting, and moving batches
//! of messages.
//!
//! What the kernel's documentation does not say, and this module minds:
//!
//! * An ABORT wakes no reader unless notifications of the association are
//!   subscribed to, and a refused connection wakes no writer when they are. So
//!   they are, always, and connecting waits for anything at all.
//! * Subscriptions and streams are settled before listening or connecting;
//!   accepted sockets inherit them.
//! * A wildcard advertises every address of the machine to the peer; therefore
//!   several addresses can be bound by name.
//! * A message that does not fit the buffer comes in parts, of which only the
//!   last has the end-of-record flag; notifications come in between.
//! * There is no half-close. Closing with unread input, or with a linger time
//!   of zero, aborts; any other close shuts down and delivers what was sent.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::batch::{self, ReceiveBuffer};
use super::layout::{self, EVENTS, Notification, STATUS_LEN, SocketOption, Status};
use super::sys;

/// The payload protocol identifier of Diameter in clear text (RFC 6733 section
/// 2.1.1); messages with any other are taken all the same.
pub const DIAMETER_PPID: u32 = 46;

/// Room for the addresses of either side: 64 IPv6 addresses, of which an
/// association hardly has four.
const ADDRESSES_ROOM: usize = 64 * 28;

//----------- Options

/// How associations of a socket behave; `None` leaves the kernel's setting
/// (`sysctl net.sctp`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SctpOptions {
    /// Streams to the peer that are asked for.
    pub streams_out: Option<u16>,
    /// Streams from the peer that are allowed.
    pub streams_in: Option<u16>,
    /// The retransmission timeout before any measurement.
    pub rto_initial: Option<Duration>,
    /// The least retransmission timeout.
    pub rto_min: Option<Duration>,
    /// The greatest retransmission timeout.
    pub rto_max: Option<Duration>,
    /// How often an idle path is probed.
    pub heartbeat: Option<Duration>,
    /// Unanswered retransmissions after which a path is broken.
    pub path_max_retrans: Option<u16>,
    /// Unanswered retransmissions after which the association is lost.
    pub association_max_retrans: Option<u16>,
    /// Octets that may wait in the kernel to be sent. A message must fit.
    pub send_buffer: Option<usize>,
}

impl SctpOptions {
    /// Applies them to a socket that neither listens nor connects yet.
    fn apply(&self, socket: &Socket) -> io::Result<()> {
        let fd = socket.as_fd();
        let set = |option, value: &[u8]| sys::set_option(fd, option, value);
        for kind in EVENTS {
            set(SocketOption::Event, &layout::event(kind))?;
        }
        set(SocketOption::ReceiveInfo, &layout::ON)?;
        // Answers are sent a batch at a time: waiting for more would only delay
        // the last one.
        set(SocketOption::NoDelay, &layout::ON)?;
        let zero = Duration::ZERO;
        let streams = layout::init_message(
            self.streams_out.unwrap_or_default(),
            self.streams_in.unwrap_or_default(),
            0,
            zero,
        );
        set(SocketOption::InitMessage, &streams)?;
        let rto = layout::rto_info(
            self.rto_initial.unwrap_or(zero),
            self.rto_min.unwrap_or(zero),
            self.rto_max.unwrap_or(zero),
        );
        set(SocketOption::RtoInfo, &rto)?;
        if let Some(most) = self.association_max_retrans {
            set(
                SocketOption::AssociationInfo,
                &layout::association_info(most),
            )?;
        }
        if self.heartbeat.is_some() || self.path_max_retrans.is_some() {
            let heartbeat = self.heartbeat.unwrap_or(zero);
            let most = self.path_max_retrans.unwrap_or_default();
            set(
                SocketOption::PathParameters,
                &layout::path_parameters(heartbeat, most),
            )?;
        }
        if let Some(octets) = self.send_buffer {
            socket.set_send_buffer_size(octets)?;
        }
        Ok(())
    }
}

/// Whether this machine's kernel has SCTP.
#[must_use]
pub fn is_available() -> bool {
    let protocol = Protocol::from(libc::IPPROTO_SCTP);
    Socket::new(Domain::IPV4, Type::STREAM, Some(protocol)).is_ok()
}

/// Whether an error of opening a socket says that the kernel has no SCTP.
#[must_use]
pub fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT)
    )
}

/// A socket of the family that `addresses` need, neither bound nor connected.
fn open(addresses: &[SocketAddr], options: &SctpOptions) -> io::Result<Socket> {
    let ipv6 = addresses.iter().any(SocketAddr::is_ipv6);
    let domain = if ipv6 { Domain::IPV6 } else { Domain::IPV4 };
    let protocol = Protocol::from(libc::IPPROTO_SCTP);
    let socket = Socket::new(domain, Type::STREAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if ipv6 && addresses.iter().all(SocketAddr::is_ipv6) {
        // So that [::] and 0.0.0.0 can both be listened on.
        socket.set_only_v6(true)?;
    }
    options.apply(&socket)?;
    Ok(socket)
}

/// Binds a socket to all of `addresses`, with the port of the first: all
/// addresses of an endpoint have one.
fn bind(socket: &Socket, addresses: &[SocketAddr]) -> io::Result<()> {
    let Some((first, rest)) = addresses.split_first() else {
        return Ok(());
    };
    // A restart must not wait for associations that are still closing.
    socket.set_reuse_address(true)?;
    // In this way, a socket for both families takes IPv4 addresses as well.
    add(socket, &[*first])?;
    if rest.is_empty() {
        return Ok(());
    }
    let port = local_port(socket)?;
    let rest: Vec<_> = rest
        .iter()
        .map(|address| SocketAddr::new(address.ip(), port))
        .collect();
    add(socket, &rest)
}

/// Adds local addresses to a socket.
fn add(socket: &Socket, addresses: &[SocketAddr]) -> io::Result<()> {
    sys::set_option(socket.as_fd(), SocketOption::BindAdd, &packed(addresses))
}

/// Addresses one after the other, as the kernel takes several.
fn packed(addresses: &[SocketAddr]) -> Vec<u8> {
    let mut octets = Vec::new();
    for address in addresses {
        layout::append_address(*address, &mut octets);
    }
    octets
}

/// The port that a socket is bound to.
fn local_port(socket: &Socket) -> io::Result<u16> {
    let address = socket.local_addr()?;
    Ok(address.as_socket().map_or(0, |address| address.port()))
}

//----------- SctpListener

/// A socket that accepts associations.
#[derive(Debug)]
pub struct SctpListener {
    /// The socket.
    fd: AsyncFd<Socket>,
    /// Its addresses, with one port.
    addresses: Vec<SocketAddr>,
}

impl SctpListener {
    /// Listens on all `addresses` at once, IPv4 and IPv6 mixed, with the port
    /// of the first; a peer sees them as one multi-homed endpoint. With port 0
    /// the system chooses one.
    ///
    /// # Errors
    ///
    /// [`is_missing`] where the kernel has no SCTP; an address that is not
    /// local or in use; no address at all.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bind(addresses: &[SocketAddr], options: &SctpOptions, backlog: i32) -> io::Result<Self> {
        if addresses.is_empty() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let socket = open(addresses, options)?;
        bind(&socket, addresses)?;
        socket.listen(backlog)?;
        let port = local_port(&socket)?;
        let addresses = addresses
            .iter()
            .map(|address| SocketAddr::new(address.ip(), port))
            .collect();
        Ok(Self {
            fd: sys::register(socket)?,
            addresses,
        })
    }

    /// The addresses that are listened on, port resolved.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The next association, and the peer's primary address.
    ///
    /// # Errors
    ///
    /// Those of `accept`: of the one association, or no file descriptors.
    pub async fn accept(&self) -> io::Result<(SctpSocket, SocketAddr)> {
        loop {
            let mut guard = self.fd.ready(Interest::READABLE | Interest::ERROR).await?;
            match guard.try_io(|fd| fd.get_ref().accept()) {
                Ok(accepted) => {
                    let (socket, address) = accepted?;
                    socket.set_nonblocking(true)?;
                    let address = canonical(address.as_socket())?;
                    return Ok((SctpSocket::of(socket)?, address));
                }
                Err(_would_block) => {}
            }
        }
    }
}

/// A peer's address; IPv4 that is mapped into IPv6 as IPv4.
fn canonical(address: Option<SocketAddr>) -> io::Result<SocketAddr> {
    let address = address.ok_or(ErrorKind::InvalidData)?;
    Ok(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

//----------- SctpSocket

/// One association.
#[derive(Debug)]
pub struct SctpSocket {
    /// The socket.
    fd: AsyncFd<Socket>,
    /// Streams to the peer, at least one.
    streams_out: u16,
    /// Streams from the peer, at least one.
    streams_in: u16,
    /// The association's number.
    association: i32,
    /// Whether what comes next is the rest of a notification.
    notifying: AtomicBool,
}

/// An association of no runtime, of which nothing was received yet.
#[derive(Debug)]
pub struct DetachedSocket(Socket);

impl DetachedSocket {
    /// Gives it to the present runtime.
    ///
    /// # Errors
    ///
    /// When the association is gone.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn attach(self) -> io::Result<SctpSocket> {
        SctpSocket::of(self.0)
    }
}

/// Something that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A message, or a part of one.
    Data {
        /// Its octets.
        octets: &'a [u8],
        /// The stream that it came on.
        stream: u16,
        /// Its payload protocol identifier.
        ppid: u32,
        /// Whether the message ends with it.
        ends: bool,
    },
    /// Something has happened to the association.
    Notification(Notification),
    /// The peer has shut down; nothing comes any more.
    End,
}

/// A message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parcel<'a> {
    /// All of its octets.
    pub octets: &'a [u8],
    /// Its stream; those beyond [`SctpSocket::streams_out`] are an error.
    pub stream: u16,
    /// Its payload protocol identifier.
    pub ppid: u32,
}

impl Parcel<'_> {
    /// Nothing, to be replaced.
    pub const EMPTY: Self = Self {
        octets: &[],
        stream: 0,
        ppid: 0,
    };
}

impl SctpSocket {
    /// Connects to a peer with one or several `remote` addresses, from all of
    /// `local` with the port of the first, or from any if there are none.
    ///
    /// # Errors
    ///
    /// [`is_missing`] where the kernel has no SCTP; a refusal; no answer to
    /// several attempts. There is no time limit but the kernel's.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn connect(
        local: &[SocketAddr],
        remote: &[SocketAddr],
        options: &SctpOptions,
    ) -> io::Result<Self> {
        let families: Vec<_> = local.iter().chain(remote).copied().collect();
        let socket = open(&families, options)?;
        bind(&socket, local)?;
        let fd = sys::register(socket)?;
        match sys::set_option(sys::descriptor(&fd), SocketOption::Connect, &packed(remote)) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            result => result?,
        }
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::ERROR;
        loop {
            let mut guard = fd.ready(interest).await?;
            if let Some(error) = fd.get_ref().take_error()? {
                return Err(error);
            }
            if status(&fd).is_ok_and(|status| status.is_established()) {
                // The readiness is left as it is: what came with it is unread.
                break;
            }
            guard.clear_ready();
        }
        Self::established(fd)
    }

    /// An accepted socket.
    fn of(socket: Socket) -> io::Result<Self> {
        Self::established(sys::register(socket)?)
    }

    /// A socket with an association.
    fn established(fd: AsyncFd<Socket>) -> io::Result<Self> {
        let status = status(&fd)?;
        Ok(Self {
            fd,
            streams_out: status.streams_out.max(1),
            streams_in: status.streams_in.max(1),
            association: status.association,
            notifying: AtomicBool::new(false),
        })
    }

    /// Takes a new association off its runtime, for another one.
    #[must_use]
    pub fn detach(self) -> DetachedSocket {
        DetachedSocket(self.fd.into_inner())
    }

    /// How many streams there are to the peer, counted from 0.
    #[must_use]
    pub const fn streams_out(&self) -> u16 {
        self.streams_out
    }

    /// How many streams there are from the peer, counted from 0.
    #[must_use]
    pub const fn streams_in(&self) -> u16 {
        self.streams_in
    }

    /// Asks anew how many streams there are, after the peer has restarted the
    /// association.
    pub fn refresh(&mut self) {
        // Without an answer the association is gone, which shows elsewhere.
        if let Ok(status) = status(&self.fd) {
            self.streams_out = status.streams_out.max(1);
            self.streams_in = status.streams_in.max(1);
            self.association = status.association;
        }
    }

    /// The local addresses of the association.
    ///
    /// # Errors
    ///
    /// When the association is gone.
    pub fn local_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.addresses(SocketOption::LocalAddresses)
    }

    /// The peer's addresses.
    ///
    /// # Errors
    ///
    /// When the association is gone.
    pub fn peer_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.addresses(SocketOption::PeerAddresses)
    }

    /// The addresses of one side.
    fn addresses(&self, side: SocketOption) -> io::Result<Vec<SocketAddr>> {
        let mut octets = layout::addresses_question(self.association, ADDRESSES_ROOM);
        sys::read_option(self.descriptor(), side, &mut octets)?;
        Ok(layout::read_addresses(&octets))
    }

    /// How many packets the association has sent and received.
    ///
    /// # Errors
    ///
    /// When the association is gone.
    pub fn packets(&self) -> io::Result<(u64, u64)> {
        /// Octets of `sctp_assoc_stats`.
        const LEN: usize = 256;
        /// The offset of the packets sent; those received follow.
        const SENT: usize = 160;
        let mut octets = [0; LEN];
        octets[..4].copy_from_slice(&self.association.to_ne_bytes());
        sys::read_option(self.descriptor(), SocketOption::Statistics, &mut octets)?;
        let at = |at: usize| {
            let field = octets.get(at..).and_then(|rest| rest.first_chunk());
            field.copied().map(u64::from_ne_bytes).unwrap_or_default()
        };
        Ok((at(SENT), at(SENT + 8)))
    }

    //----------- Receiving

    /// Receives as many messages as there are, up to a batch, and shows them to
    /// `sink` in order. Ready once there was anything.
    ///
    /// # Errors
    ///
    /// Those of the association, such as `ConnectionReset` after an ABORT.
    pub fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReceiveBuffer,
        mut sink: impl FnMut(Received<'_>),
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            match buffer.fill(sys::descriptor(&self.fd)) {
                Ok(()) => {
                    buffer.show(&self.notifying, &mut sink);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What an association that was shut down says.
                Err(error) if error.kind() == ErrorKind::NotConnected => {
                    sink(Received::End);
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    //----------- Sending

    /// Sends the first of `parcels`, at most a batch; ready with how many of
    /// them the kernel has taken, at least one.
    ///
    /// # Errors
    ///
    /// Those of the association; `EMSGSIZE` for a message that is larger than
    /// the send buffer; `EINVAL` for an empty one or a stream that is not
    /// there.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        parcels: &[Parcel<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_write_ready(cx))?;
            match batch::send(sys::descriptor(&self.fd), parcels) {
                Ok(sent) => return Poll::Ready(Ok(sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends one message, waiting until the kernel takes it.
    ///
    /// # Errors
    ///
    /// As [`poll_send`](Self::poll_send).
    pub async fn send(&self, parcel: Parcel<'_>) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_send(cx, &[parcel]))
            .await
            .map(|_| ())
    }

    //----------- The end

    /// Ends the association with an ABORT, at once: nothing that waits is
    /// delivered, and the peer cannot take it for an orderly end.
    pub fn abort(self) {
        // Fails only on a socket that is dead already.
        let _ = self.fd.get_ref().set_linger(Some(Duration::ZERO));
    }

    /// Begins the orderly end (SHUTDOWN): what was sent is delivered, and
    /// nothing can be sent any more. What the peer sends meanwhile is still
    /// received, and then its end. Dropping the socket does the same, but
    /// aborts if there is unread input.
    ///
    /// # Errors
    ///
    /// When the association is gone.
    pub fn shutdown(&self) -> io::Result<()> {
        self.fd.get_ref().shutdown(std::net::Shutdown::Write)
    }

    /// The descriptor.
    fn descriptor(&self) -> BorrowedFd<'_> {
        sys::descriptor(&self.fd)
    }
}

/// The state of a socket's association.
fn status(fd: &AsyncFd<Socket>) -> io::Result<Status> {
    let mut octets = [0; STATUS_LEN];
    sys::read_option(sys::descriptor(fd), SocketOption::Status, &mut octets)?;
    Ok(Status::read(&octets))
}
