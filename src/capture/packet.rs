//! From a frame to TCP or SCTP: link layers, VLAN tags, IP and its fragments.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use etherparse::defrag::IpDefragBuf;
use etherparse::{IpFragOffset, IpNumber, Ipv6ExtensionSlice, LaxIpSlice, TcpSlice};

use super::WarningKind;
use super::file::Frame;
use super::flow::Collector;

/// The most IP datagrams that wait for fragments at once: 256, which bounds
/// them to 16 MiB. The oldest gives way.
const DATAGRAMS_MAX: usize = 256;

/// The most holes in one datagram. It has at most fifty fragments at the
/// smallest MTU of IPv6, and they come nearly in order.
const HOLES_MAX: usize = 64;

/// The most VLAN tags before the IP header; networks nest two.
const VLAN_TAGS_MAX: usize = 4;

/// Octets of the common header of SCTP (RFC 9260 clause 3.1).
const SCTP_HEADER_LEN: usize = 12;

/// What a frame turned out to be.
#[derive(Debug)]
pub(super) enum Layers<'a> {
    /// A TCP segment or an SCTP packet.
    Transport(Datagram<'a>),
    /// IP that ends before the transport header does.
    Cut {
        /// Octets that were not captured.
        missing: usize,
    },
    /// A fragment that made a datagram give up.
    FragmentsDropped,
    /// Something else, or a fragment that is kept for later.
    Other,
    /// A link type that is not read.
    UnsupportedLink,
}

/// A TCP segment or an SCTP packet on its way.
#[derive(Debug)]
pub(super) struct Datagram<'a> {
    /// The sender.
    pub(super) source: SocketAddr,
    /// The receiver.
    pub(super) destination: SocketAddr,
    /// Octets that were not captured.
    pub(super) missing: usize,
    /// What is in it.
    pub(super) content: Transported<'a>,
}

/// The transport layer.
#[derive(Debug)]
pub(super) enum Transported<'a> {
    /// TCP.
    Tcp(Segment<'a>),
    /// SCTP.
    Sctp(Chunks<'a>),
}

/// A TCP segment (RFC 9293 clause 3.1).
#[derive(Debug)]
pub(super) struct Segment<'a> {
    /// The sequence number.
    pub(super) sequence: u32,
    /// SYN.
    pub(super) syn: bool,
    /// ACK.
    pub(super) ack: bool,
    /// FIN.
    pub(super) fin: bool,
    /// RST.
    pub(super) rst: bool,
    /// The octets of the stream.
    pub(super) payload: &'a [u8],
}

/// An SCTP packet (RFC 9260 clause 3).
#[derive(Debug)]
pub(super) struct Chunks<'a> {
    /// The verification tag.
    pub(super) tag: u32,
    /// The chunks.
    pub(super) bytes: &'a [u8],
}

/// What tells the fragments of one datagram from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FragmentKey {
    /// The sender.
    source: IpAddr,
    /// The receiver.
    destination: IpAddr,
    /// The identification, of 16 bits in IPv4 and 32 in IPv6.
    identification: u32,
    /// The transport protocol.
    protocol: u8,
}

/// Takes the layers off frames and joins IP fragments.
#[derive(Debug, Default)]
pub(super) struct Unwrapper {
    /// Datagrams that wait for fragments, and the frame of the last one.
    waiting: HashMap<FragmentKey, (IpDefragBuf, u64)>,
    /// The payload of the datagram that was joined last.
    joined: Vec<u8>,
}

impl Unwrapper {
    /// Takes the layers off one frame.
    pub(super) fn unwrap<'a>(&'a mut self, frame: &Frame<'a>) -> Layers<'a> {
        let Some(link) = link_payload(frame.link_type, frame.data) else {
            return Layers::UnsupportedLink;
        };
        let Some(bytes) = link.ip else {
            return Layers::Other;
        };
        let Ok((ip, _)) = LaxIpSlice::from_slice(bytes) else {
            let missing = frame.missing;
            return if missing > 0 {
                Layers::Cut { missing }
            } else {
                Layers::Other
            };
        };
        let (source, destination) = (ip.source_addr(), ip.destination_addr());
        let payload = ip.payload();
        let missing = if payload.incomplete {
            frame.missing.max(1)
        } else {
            0
        };
        let protocol = payload.ip_number;
        if protocol != IpNumber::TCP && protocol != IpNumber::SCTP {
            return Layers::Other;
        }
        let mut bytes = payload.payload;
        if payload.fragmented {
            if missing > 0 {
                return Layers::Cut { missing };
            }
            match self.join(&ip, frame.stamp.frame) {
                Joined::Whole => bytes = &self.joined,
                Joined::Waiting => return Layers::Other,
                Joined::Dropped => return Layers::FragmentsDropped,
            }
        }
        match transport(protocol, bytes) {
            Some((ports, content)) => Layers::Transport(Datagram {
                source: SocketAddr::new(source, ports.0),
                destination: SocketAddr::new(destination, ports.1),
                missing,
                content,
            }),
            None if missing > 0 => Layers::Cut { missing },
            None => Layers::Other,
        }
    }

    /// Warns of the datagrams that are still incomplete.
    pub(super) fn finish(self, out: &mut Collector) {
        for (_, frame) in self.waiting.into_values() {
            out.warn(frame, None, WarningKind::FragmentsLost);
        }
    }

    /// Adds a fragment to its datagram.
    fn join(&mut self, ip: &LaxIpSlice<'_>, frame: u64) -> Joined {
        let Some((identification, offset, more)) = fragment_of(ip) else {
            return Joined::Dropped;
        };
        let payload = ip.payload();
        let key = FragmentKey {
            source: ip.source_addr(),
            destination: ip.destination_addr(),
            identification,
            protocol: payload.ip_number.0,
        };
        let mut dropped = false;
        if self.waiting.len() >= DATAGRAMS_MAX
            && !self.waiting.contains_key(&key)
            && let Some(oldest) = self
                .waiting
                .iter()
                .min_by_key(|(_, (_, frame))| *frame)
                .map(|(key, _)| *key)
        {
            self.waiting.remove(&oldest);
            dropped = true;
        }
        let (buffer, last) = self.waiting.entry(key).or_insert_with(|| {
            (
                IpDefragBuf::new(payload.ip_number, Vec::new(), Vec::new()),
                frame,
            )
        });
        *last = frame;
        let added = buffer.add(offset, more, payload.payload).is_ok()
            && buffer.sections().len() <= HOLES_MAX;
        if added && !buffer.is_complete() {
            return if dropped {
                Joined::Dropped
            } else {
                Joined::Waiting
            };
        }
        match self.waiting.remove(&key) {
            Some((buffer, _)) if added => {
                (self.joined, _) = buffer.take_bufs();
                Joined::Whole
            }
            _ => Joined::Dropped,
        }
    }
}

/// What became of a fragment.
enum Joined {
    /// Its datagram is whole now.
    Whole,
    /// It is kept.
    Waiting,
    /// It, or another datagram in its favour, was given up.
    Dropped,
}

/// Identification, offset and More Fragments of a fragment.
fn fragment_of(ip: &LaxIpSlice<'_>) -> Option<(u32, IpFragOffset, bool)> {
    match ip {
        LaxIpSlice::Ipv4(ip) => {
            let header = ip.header();
            Some((
                u32::from(header.identification()),
                header.fragments_offset(),
                header.more_fragments(),
            ))
        }
        LaxIpSlice::Ipv6(ip) => {
            ip.extensions()
                .clone()
                .into_iter()
                .find_map(|extension| match extension {
                    Ipv6ExtensionSlice::Fragment(header) => Some((
                        header.identification(),
                        header.fragment_offset(),
                        header.more_fragments(),
                    )),
                    _ => None,
                })
        }
    }
}

/// The ports and the content of a transport layer, if it is whole enough.
fn transport(protocol: IpNumber, bytes: &[u8]) -> Option<((u16, u16), Transported<'_>)> {
    if protocol == IpNumber::TCP {
        let tcp = TcpSlice::from_slice(bytes).ok()?;
        let segment = Segment {
            sequence: tcp.sequence_number(),
            syn: tcp.syn(),
            ack: tcp.ack(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            payload: tcp.payload(),
        };
        return Some((
            (tcp.source_port(), tcp.destination_port()),
            Transported::Tcp(segment),
        ));
    }
    let (header, chunks) = bytes.split_at_checked(SCTP_HEADER_LEN)?;
    let ports = (read_u16(header, 0)?, read_u16(header, 2)?);
    Some((
        ports,
        Transported::Sctp(Chunks {
            tag: read_u32(header, 4)?,
            bytes: chunks,
        }),
    ))
}

//----------- Link layers ----------------------------------------------------

/// What is under a link layer that is known.
struct Link<'a> {
    /// The IP datagram, if it is one.
    ip: Option<&'a [u8]>,
}

/// Takes off the link layer; None if the link type is not known.
fn link_payload(link_type: i32, data: &[u8]) -> Option<Link<'_>> {
    let ip = match link_type {
        // BSD loopback, in the writer's or in network byte order: four octets
        // of address family, which differ from system to system. The version
        // in the IP header says as much.
        0 | 108 => data.get(4..),
        // Ethernet.
        1 => read_u16(data, 12).and_then(|kind| under_ether_type(kind, data.get(14..)?)),
        // Raw IP, under its three numbers and as IPv4 and IPv6 only.
        12 | 14 | 101 | 228 | 229 => Some(data),
        // Linux cooked, first and second version.
        113 => read_u16(data, 14).and_then(|kind| under_ether_type(kind, data.get(16..)?)),
        276 => read_u16(data, 0).and_then(|kind| under_ether_type(kind, data.get(20..)?)),
        _ => return None,
    };
    Some(Link { ip })
}

/// Takes off VLAN tags (IEEE 802.1Q and 802.1ad) until IP comes.
fn under_ether_type(mut kind: u16, mut data: &[u8]) -> Option<&[u8]> {
    for _ in 0..=VLAN_TAGS_MAX {
        match kind {
            0x0800 | 0x86dd => return Some(data),
            0x8100 | 0x88a8 | 0x9100 => {
                kind = read_u16(data, 2)?;
                data = data.get(4..)?;
            }
            _ => return None,
        }
    }
    None
}

/// The big-endian number of two octets at `at`.
pub(super) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_be_bytes)
}

/// The big-endian number of four octets at `at`.
pub(super) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ACK, Pair, ip, ipv4_part, message, pcap, read_packets, tcp};
    use super::super::{Fault, Options, read_from};
    use super::*;

    /// How many messages a packet of a link type gives, or the fault.
    fn count(link_type: u32, packet: &[u8]) -> Result<usize, Fault> {
        let file = pcap(false, false, link_type, &[(0, 0, packet, packet.len())]);
        Ok(read_from(file.as_slice(), &Options::default())?
            .messages
            .len())
    }

    #[test]
    fn every_link_layer_is_taken_off() {
        let (pair, sent) = (Pair::v4(), message(324, 1, 40));
        let v4 = pair.tcp(1, ACK, &sent);
        let v6 = ip(
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
            6,
            &tcp((40000, 3868), 1, 0, ACK, &sent),
        );
        let ether = |kind: &[u8], payload: &[u8]| [&[0xee; 12], kind, payload].concat();
        let cases: &[(u32, Vec<u8>)] = &[
            (1, ether(&[8, 0], &v4)),
            (1, ether(&[0x86, 0xdd], &v6)),
            (1, ether(&[0x81, 0, 0, 5, 8, 0], &v4)),
            (
                1,
                ether(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd], &v6),
            ),
            // Padding of a short Ethernet frame is not part of the stream.
            (1, [ether(&[8, 0], &v4), vec![1; 20]].concat()),
            (113, [&[0; 14], &[8, 0][..], &v4].concat()),
            (276, [&[0x86, 0xdd], &[0; 18][..], &v6].concat()),
            (0, [&[2, 0, 0, 0], &v4[..]].concat()),
            (0, [&[0, 0, 0, 30], &v6[..]].concat()),
            (108, [&[0, 0, 0, 2], &v4[..]].concat()),
            (12, v4.clone()),
            (101, v6.clone()),
            (228, v4.clone()),
            (229, v6.clone()),
            // The upper half of the number is about something else.
            (0x1400_0001, ether(&[8, 0], &v4)),
        ];
        for (link_type, packet) in cases {
            assert_eq!(
                count(*link_type, packet).unwrap(),
                1,
                "link type {link_type}: {packet:02x?}"
            );
        }
        assert!(matches!(
            count(147, &v4),
            Err(Fault::LinkType { number: 147 })
        ));
        let endless: Vec<u8> = [0x81, 0, 0, 1].repeat(100);
        assert_eq!(count(1, &ether(&[], &endless)).unwrap(), 0);
    }

    #[test]
    fn ip_fragments_are_joined() {
        let sent = message(324, 1, 100);
        let whole = tcp((40000, 3868), 1, 0, ACK, &sent);
        let (a, b) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let part = |id, from: usize, to: usize| {
            ipv4_part(
                a,
                b,
                6,
                (id, from as u16, to < whole.len()),
                &whole[from..to],
            )
        };
        let capture = read_packets(&[
            part(1, 80, whole.len()),
            part(1, 0, 40),
            part(2, 0, 16),
            part(1, 40, 80),
        ]);
        assert_eq!(capture.messages.len(), 1);
        assert_eq!(
            (capture.messages[0].frame, &capture.messages[0].bytes),
            (4, &sent)
        );
        let warnings: Vec<_> = capture
            .warnings
            .iter()
            .map(|warning| (warning.frame, warning.kind))
            .collect();
        assert_eq!(warnings, [(3, WarningKind::FragmentsLost)]);
    }

    #[test]
    fn ipv6_fragments_are_joined() {
        let sent = message(324, 1, 100);
        let whole = tcp((40000, 3868), 1, 0, ACK, &sent);
        let part = |from: usize, to: usize| {
            let place = from as u16 | u16::from(to < whole.len());
            let mut payload = vec![6, 0];
            payload.extend(place.to_be_bytes());
            payload.extend([0, 0, 0, 9]);
            payload.extend(&whole[from..to]);
            ip(
                "2001:db8::1".parse().unwrap(),
                "2001:db8::2".parse().unwrap(),
                44,
                &payload,
            )
        };
        let capture = read_packets(&[part(0, 64), part(64, whole.len())]);
        assert_eq!(capture.messages.len(), 1);
        assert_eq!(capture.messages[0].bytes, sent);
    }

    #[test]
    fn fragments_without_end_are_bounded() {
        let mut unwrapper = Unwrapper::default();
        for number in 0..3 * DATAGRAMS_MAX {
            let data = ipv4_part(
                [10, 0, 0, 1],
                [10, 0, 0, 2],
                6,
                (number as u16, 65_000, true),
                &[0; 8],
            );
            let stamp = super::super::flow::Stamp {
                frame: number as u64,
                time_ns: 0,
            };
            unwrapper.unwrap(&Frame {
                stamp,
                link_type: 101,
                data: &data,
                missing: 0,
            });
            assert!(unwrapper.waiting.len() <= DATAGRAMS_MAX);
        }
    }

    #[test]
    fn a_snapshot_length_loses_messages_and_says_so() {
        let pair = Pair::v4();
        let sent: Vec<_> = (0..3).map(|id| message(324, id, 100)).collect();
        let whole: Vec<_> = sent
            .iter()
            .zip(0..)
            .map(|(sent, at)| pair.tcp(1 + at * 100, ACK, sent))
            .collect();
        let file = pcap(
            false,
            false,
            101,
            &[
                (0, 0, &whole[0], 140),
                (0, 0, &whole[1][..96], 140),
                (0, 0, &whole[2], 140),
                (0, 0, &whole[2][..30], 140),
            ],
        );
        let capture = read_from(file.as_slice(), &Options::default()).unwrap();
        let got: Vec<_> = capture
            .messages
            .iter()
            .map(|message| message.bytes.clone())
            .collect();
        assert_eq!(got, [sent[0].clone(), sent[2].clone()]);
        let warnings: Vec<_> = capture
            .warnings
            .iter()
            .map(|warning| (warning.frame, warning.kind))
            .collect();
        assert_eq!(
            warnings,
            [
                (2, WarningKind::PacketCut { missing: 44 }),
                (3, WarningKind::Gap { bytes: 44 }),
                (4, WarningKind::PacketCut { missing: 110 }),
            ]
        );
    }
}
