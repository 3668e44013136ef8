//! How the kernel lays out what it is told and tells: options, control data,
//! addresses, notifications (RFC 6458 and linux/sctp.h).
//!
//! The C library declares none of these structures. They are written and read
//! here as plain octets, field by field, so that nothing hangs on how a Rust
//! structure would be padded; the lengths are part of the types.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use libc::c_int;

//----------- SocketOption

/// The options that are used here. None of their structures holds a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketOption {
    /// Retransmission timeouts.
    RtoInfo,
    /// Retransmissions of an association.
    AssociationInfo,
    /// Streams, and attempts to connect.
    InitMessage,
    /// Whether to send at once.
    NoDelay,
    /// Heartbeat and retransmissions of paths.
    PathParameters,
    /// The state of the association.
    Status,
    /// Whether the stream and protocol of each message are told.
    ReceiveInfo,
    /// One kind of notification.
    Event,
    /// Further local addresses.
    BindAdd,
    /// Connecting to a peer with several addresses.
    Connect,
    /// The addresses of the peer.
    PeerAddresses,
    /// The local addresses.
    LocalAddresses,
    /// What was sent and received, for measuring.
    Statistics,
}

impl SocketOption {
    /// Its number in linux/sctp.h.
    pub(super) const fn number(self) -> c_int {
        match self {
            Self::RtoInfo => 0,
            Self::AssociationInfo => 1,
            Self::InitMessage => 2,
            Self::NoDelay => 3,
            Self::PathParameters => 9,
            Self::Status => 14,
            Self::ReceiveInfo => 32,
            Self::BindAdd => 100,
            Self::PeerAddresses => 108,
            Self::LocalAddresses => 109,
            Self::Connect => 110,
            Self::Statistics => 112,
            Self::Event => 127,
        }
    }
}

/// A boolean option that is on: a C `int`.
pub(super) const ON: [u8; 4] = 1i32.to_ne_bytes();

/// `sctp_rtoinfo`: retransmission timeouts; zero leaves the kernel's.
pub(super) fn rto_info(initial: Duration, least: Duration, most: Duration) -> [u8; 16] {
    let mut octets = Octets::<16>::default();
    octets.put(4, &millis(initial));
    octets.put(8, &millis(most));
    octets.put(12, &millis(least));
    octets.0
}

/// `sctp_assocparams`: how many retransmissions in a row end the association;
/// zero leaves the kernel's.
pub(super) fn association_info(max_retrans: u16) -> [u8; 20] {
    let mut octets = Octets::<20>::default();
    octets.put(4, &max_retrans.to_ne_bytes());
    octets.0
}

/// `sctp_initmsg`: the streams to ask for and to allow, and how often and how
/// long at most to try; zero leaves the kernel's.
pub(super) fn init_message(out: u16, max_in: u16, attempts: u16, timeout: Duration) -> [u8; 8] {
    let mut octets = Octets::<8>::default();
    octets.put(0, &out.to_ne_bytes());
    octets.put(2, &max_in.to_ne_bytes());
    octets.put(4, &attempts.to_ne_bytes());
    let timeout = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX);
    octets.put(6, &timeout.to_ne_bytes());
    octets.0
}

/// `sctp_paddrparams` for all paths: the interval of heartbeats, and how many
/// retransmissions take a path for broken. Packed in C, hence its odd length.
pub(super) fn path_parameters(heartbeat: Duration, max_retrans: u16) -> [u8; 156] {
    /// The beginning of the fields behind the association and an address.
    const FIELDS: usize = 4 + 128;
    /// `SPP_HB_ENABLE`.
    const HEARTBEAT_ENABLE: u32 = 1;
    let mut octets = Octets::<156>::default();
    octets.put(FIELDS, &millis(heartbeat));
    octets.put(FIELDS + 4, &max_retrans.to_ne_bytes());
    octets.put(FIELDS + 14, &HEARTBEAT_ENABLE.to_ne_bytes());
    octets.0
}

/// `sctp_event`: subscribes to one kind of notification.
pub(super) fn event(kind: u16) -> [u8; 8] {
    let mut octets = Octets::<8>::default();
    octets.put(4, &kind.to_ne_bytes());
    octets.put(6, &[1]);
    octets.0
}

/// A duration in milliseconds, as most options have it.
fn millis(duration: Duration) -> [u8; 4] {
    u32::try_from(duration.as_millis())
        .unwrap_or(u32::MAX)
        .to_ne_bytes()
}

//----------- Status

/// Octets of `sctp_status`.
pub(super) const STATUS_LEN: usize = 176;

/// What `sctp_status` says of an association.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Its number.
    pub(super) association: i32,
    /// Its state; see [`Status::is_established`].
    pub(super) state: i32,
    /// Streams from the peer.
    pub(super) streams_in: u16,
    /// Streams to the peer.
    pub(super) streams_out: u16,
}

impl Status {
    /// Reads the structure.
    pub(super) fn read(octets: &[u8; STATUS_LEN]) -> Self {
        Self {
            association: read_i32(octets, 0).unwrap_or_default(),
            state: read_i32(octets, 4).unwrap_or_default(),
            streams_in: read_u16(octets, 16).unwrap_or_default(),
            streams_out: read_u16(octets, 18).unwrap_or_default(),
        }
    }

    /// Whether the handshake is over and no shutdown has begun.
    pub(super) const fn is_established(&self) -> bool {
        self.state == 4
    }
}

//----------- Control data

/// Octets of a control header: its length as a C `size_t`, level and type.
const CONTROL_HEADER: usize = size_of::<usize>() + 8;

/// `SCTP_SNDINFO`, the control data with the stream of a message to be sent.
const SEND_INFO: i32 = 2;
/// `SCTP_RCVINFO`, the control data with the stream of a received message.
const RECEIVE_INFO: i32 = 3;

/// Octets of `sctp_sndinfo`.
const SEND_INFO_LEN: usize = 16;
/// Octets of `sctp_rcvinfo`.
const RECEIVE_INFO_LEN: usize = 28;

/// Control data of a message to be sent: its stream and payload protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SendControl(pub(super) [u8; CONTROL_HEADER + SEND_INFO_LEN]);

impl SendControl {
    /// Nothing, to be replaced.
    pub(super) const EMPTY: Self = Self([0; _]);

    /// For a message on `stream`, ordered, with payload protocol `ppid`.
    pub(super) fn new(stream: u16, ppid: u32) -> Self {
        let mut octets = Octets::<{ CONTROL_HEADER + SEND_INFO_LEN }>::default();
        octets.put(0, &(CONTROL_HEADER + SEND_INFO_LEN).to_ne_bytes());
        octets.put(CONTROL_HEADER - 8, &libc::IPPROTO_SCTP.to_ne_bytes());
        octets.put(CONTROL_HEADER - 4, &SEND_INFO.to_ne_bytes());
        octets.put(CONTROL_HEADER, &stream.to_ne_bytes());
        // The kernel passes it on as it is, so it is given in network order.
        octets.put(CONTROL_HEADER + 4, &ppid.to_be_bytes());
        Self(octets.0)
    }
}

/// Room for the control data of a received message.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveControl(pub(super) [u8; CONTROL_HEADER + RECEIVE_INFO_LEN + 4]);

impl Default for ReceiveControl {
    fn default() -> Self {
        Self([0; _])
    }
}

impl ReceiveControl {
    /// The stream and payload protocol of the message, from the first `len`
    /// octets; stream 0 and protocol 0 if they were not told.
    pub(super) fn read(&self, len: usize) -> (u16, u32) {
        let octets = self.0.get(..len).unwrap_or(&self.0);
        let told = read_i32(octets, CONTROL_HEADER - 8) == Some(libc::IPPROTO_SCTP)
            && read_i32(octets, CONTROL_HEADER - 4) == Some(RECEIVE_INFO);
        if !told {
            return (0, 0);
        }
        let stream = read_u16(octets, CONTROL_HEADER).unwrap_or_default();
        let ppid = octets
            .get(CONTROL_HEADER + 8..)
            .and_then(|rest| rest.first_chunk());
        (
            stream,
            ppid.copied().map(u32::from_be_bytes).unwrap_or_default(),
        )
    }
}

//----------- Addresses

/// Octets before the addresses in `sctp_getaddrs`.
const ADDRESSES_HEADER: usize = 8;

/// The question for the addresses of an association, with room for `room`
/// octets of them.
pub(super) fn addresses_question(association: i32, room: usize) -> Vec<u8> {
    let mut octets = vec![0; ADDRESSES_HEADER + room];
    put(&mut octets, 0, &association.to_ne_bytes());
    octets
}

/// The addresses in an answer of that form.
pub(super) fn read_addresses(octets: &[u8]) -> Vec<SocketAddr> {
    let count = read_i32(octets, 4).unwrap_or_default();
    let mut rest = octets.get(ADDRESSES_HEADER..).unwrap_or_default();
    let mut addresses = Vec::new();
    for _ in 0..count {
        let Some((address, len)) = read_address(rest) else {
            break;
        };
        addresses.push(address);
        rest = rest.get(len..).unwrap_or_default();
    }
    addresses
}

/// Appends an address as `sockaddr_in` or `sockaddr_in6`.
pub(super) fn append_address(address: SocketAddr, octets: &mut Vec<u8>) {
    match address {
        SocketAddr::V4(v4) => {
            octets.extend_from_slice(&family(libc::AF_INET).to_ne_bytes());
            octets.extend_from_slice(&v4.port().to_be_bytes());
            octets.extend_from_slice(&v4.ip().octets());
            octets.extend_from_slice(&[0; 8]);
        }
        SocketAddr::V6(v6) => {
            octets.extend_from_slice(&family(libc::AF_INET6).to_ne_bytes());
            octets.extend_from_slice(&v6.port().to_be_bytes());
            octets.extend_from_slice(&v6.flowinfo().to_ne_bytes());
            octets.extend_from_slice(&v6.ip().octets());
            octets.extend_from_slice(&v6.scope_id().to_ne_bytes());
        }
    }
}

/// Reads an address, and how many octets it has. IPv4 addresses that are
/// mapped into IPv6 are told as IPv4.
fn read_address(octets: &[u8]) -> Option<(SocketAddr, usize)> {
    let port = u16::from_be_bytes(*octets.get(2..)?.first_chunk()?);
    let kind = c_int::from(read_u16(octets, 0)?);
    if kind == libc::AF_INET {
        let ip: [u8; 4] = *octets.get(4..)?.first_chunk()?;
        let address = SocketAddrV4::new(Ipv4Addr::from(ip), port);
        return octets.get(..16).map(|_| (address.into(), 16));
    }
    if kind == libc::AF_INET6 {
        let ip: [u8; 16] = *octets.get(8..)?.first_chunk()?;
        let scope = u32::from_ne_bytes(*octets.get(24..)?.first_chunk()?);
        let ip = Ipv6Addr::from(ip);
        let address = match ip.to_ipv4_mapped() {
            Some(v4) => SocketAddrV4::new(v4, port).into(),
            None => SocketAddrV6::new(ip, port, 0, scope).into(),
        };
        return Some((address, 28));
    }
    None
}

/// An address family as `sa_family_t`.
fn family(family: c_int) -> u16 {
    // AF_INET is 2 and AF_INET6 is 10.
    u16::try_from(family).unwrap_or_default()
}

//----------- Notification

/// The kinds of notifications that are subscribed to.
pub(super) const EVENTS: [u16; 5] = [
    ASSOCIATION_CHANGE,
    PATH_CHANGE,
    SHUTDOWN,
    PARTIAL_DELIVERY,
    SEND_FAILED,
];

/// `SCTP_ASSOC_CHANGE`.
const ASSOCIATION_CHANGE: u16 = 0x8001;
/// `SCTP_PEER_ADDR_CHANGE`.
const PATH_CHANGE: u16 = 0x8002;
/// `SCTP_SHUTDOWN_EVENT`.
const SHUTDOWN: u16 = 0x8005;
/// `SCTP_PARTIAL_DELIVERY_EVENT`.
const PARTIAL_DELIVERY: u16 = 0x8006;
/// `SCTP_SEND_FAILED_EVENT`.
const SEND_FAILED: u16 = 0x800d;

/// What the kernel says of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification {
    /// It is established.
    Up,
    /// It is lost: aborted by the peer, or given up by the kernel.
    Lost,
    /// The peer has restarted it from the same addresses and port: it is new,
    /// and whatever was under way is lost.
    Restarted,
    /// It was shut down in order.
    Closed,
    /// It could not be established.
    Refused,
    /// A path to the peer has changed.
    Path {
        /// The peer's address.
        address: IpAddr,
        /// What has become of it.
        state: PathState,
    },
    /// The peer sends no more.
    PeerShutdown,
    /// The rest of an incomplete message will never come.
    DeliveryAborted,
    /// A message could not be delivered.
    SendFailed,
    /// Anything else.
    Other,
}

/// What has become of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathState {
    /// It works again.
    Available,
    /// It works, which was not known before.
    Confirmed,
    /// It does not work any more.
    Unreachable,
    /// It is suspected.
    PotentiallyFailed,
    /// It was added, removed, made the primary one, or otherwise changed.
    Other,
}

impl Notification {
    /// Reads a notification, as far as it is there.
    pub(super) fn read(octets: &[u8]) -> Self {
        let state = |at| read_u16(octets, at);
        match read_u16(octets, 0) {
            Some(ASSOCIATION_CHANGE) => match state(8) {
                Some(0) => Self::Up,
                Some(1) => Self::Lost,
                Some(2) => Self::Restarted,
                Some(3) => Self::Closed,
                Some(4) => Self::Refused,
                _ => Self::Other,
            },
            Some(PATH_CHANGE) => Self::read_path(octets).unwrap_or(Self::Other),
            Some(SHUTDOWN) => Self::PeerShutdown,
            // There is no other indication than that of an abort.
            Some(PARTIAL_DELIVERY) => Self::DeliveryAborted,
            Some(SEND_FAILED) => Self::SendFailed,
            _ => Self::Other,
        }
    }

    /// Reads `sctp_paddr_change`: an address in 128 octets, then its state.
    fn read_path(octets: &[u8]) -> Option<Self> {
        let (address, _) = read_address(octets.get(8..)?)?;
        let state = match read_i32(octets, 8 + 128)? {
            0 => PathState::Available,
            5 => PathState::Confirmed,
            1 => PathState::Unreachable,
            6 => PathState::PotentiallyFailed,
            _ => PathState::Other,
        };
        Some(Self::Path {
            address: address.ip(),
            state,
        })
    }
}

//----------- Helpers

/// Octets of a structure, all zero at first.
struct Octets<const N: usize>([u8; N]);

impl<const N: usize> Default for Octets<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Octets<N> {
    /// Writes a field.
    fn put(&mut self, at: usize, field: &[u8]) {
        put(&mut self.0, at, field);
    }
}

/// Writes a field at an offset, if there is room for it.
fn put(octets: &mut [u8], at: usize, field: &[u8]) {
    if let Some(room) = octets.get_mut(at..at + field.len()) {
        room.copy_from_slice(field);
    }
}

/// A 16-bit field in the machine's order.
fn read_u16(octets: &[u8], at: usize) -> Option<u16> {
    let field = octets.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*field))
}

/// A signed 32-bit field in the machine's order.
fn read_i32(octets: &[u8], at: usize) -> Option<i32> {
    let field = octets.get(at..)?.first_chunk()?;
    Some(i32::from_ne_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are what gcc makes of linux/sctp.h on x86-64.
    #[test]
    #[cfg(target_endian = "little")]
    fn structures_are_laid_out_as_in_c() {
        let ms = Duration::from_millis;
        assert_eq!(
            rto_info(ms(0x0102), ms(0x0304), ms(0x0506)),
            [0, 0, 0, 0, 2, 1, 0, 0, 6, 5, 0, 0, 4, 3, 0, 0],
            "initial, max, min"
        );
        assert_eq!(init_message(1, 2, 3, ms(4)), [1, 0, 2, 0, 3, 0, 4, 0]);
        assert_eq!(event(0x8001), [0, 0, 0, 0, 1, 0x80, 1, 0]);
        let path = path_parameters(ms(5000), 2);
        assert_eq!(path[132..138], [0x88, 0x13, 0, 0, 2, 0]);
        assert_eq!(path[146..150], [1, 0, 0, 0]);
    }

    #[test]
    fn addresses_survive_the_round_trip() {
        let addresses: Vec<SocketAddr> = ["192.0.2.1:3868", "[2001:db8::1]:5868", "[fe80::1%3]:1"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let mut octets = addresses_question(7, 0);
        for address in &addresses {
            append_address(*address, &mut octets);
        }
        put(&mut octets, 4, &3i32.to_ne_bytes());
        assert_eq!(read_addresses(&octets), addresses);
        octets.truncate(octets.len() - 1);
        assert_eq!(read_addresses(&octets), addresses[..2]);
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mut octets = addresses_question(7, 0);
        append_address("[::ffff:192.0.2.1]:3868".parse().unwrap(), &mut octets);
        put(&mut octets, 4, &1i32.to_ne_bytes());
        let plain: SocketAddr = "192.0.2.1:3868".parse().unwrap();
        assert_eq!(read_addresses(&octets), [plain]);
    }

    #[test]
    fn notifications_are_read_whatever_their_length() {
        let mut change = vec![0u8; 20];
        put(&mut change, 0, &ASSOCIATION_CHANGE.to_ne_bytes());
        put(&mut change, 8, &2u16.to_ne_bytes());
        assert_eq!(Notification::read(&change), Notification::Restarted);
        assert_eq!(Notification::read(&change[..9]), Notification::Other);

        let mut path = vec![0u8; 8];
        put(&mut path, 0, &PATH_CHANGE.to_ne_bytes());
        append_address("10.0.0.2:3868".parse().unwrap(), &mut path);
        path.resize(148, 0);
        put(&mut path, 136, &1i32.to_ne_bytes());
        let expected = Notification::Path {
            address: "10.0.0.2".parse().unwrap(),
            state: PathState::Unreachable,
        };
        assert_eq!(Notification::read(&path), expected);
        assert_eq!(Notification::read(&path[..137]), Notification::Other);
        assert_eq!(Notification::read(&[]), Notification::Other);
    }
}
