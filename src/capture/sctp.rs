//! SCTP associations of a capture, and their user messages (RFC 9260).
//!
//! An association is recognised by its ports and by the verification tag of
//! each direction, which holds on every path of a multi-homed one. A tag of
//! zero, which encoders without an association write, tells nothing; then the
//! addresses decide. A user message is given out as soon as all its fragments
//! were seen: messages of different streams do not wait for each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use super::flow::{Collector, Side, Slot, Stamp, Whose};
use super::framing::{HEADER_LEN, claimed_len, is_plausible};
use super::packet::{Chunks, Datagram, read_u16, read_u32};
use super::{Ending, Transport, WarningKind};

/// The most fragments of unfinished user messages in one direction. At the
/// usual path MTU these are more than a megabyte.
const FRAGMENTS_MAX: usize = 1024;

/// How many of the latest transmission sequence numbers are remembered, to
/// know repeated ones. A receive window holds fewer chunks.
const SEEN_MAX: usize = 4096;

/// The position of the first transmission sequence number seen; see
/// `FIRST_POSITION` in the TCP reader.
const FIRST_POSITION: u64 = 1 << 32;

/// Diameter in clear text (RFC 6733 clause 11.5).
const PPID_DIAMETER: u32 = 46;

/// Chunk types (RFC 9260 clause 3.2).
mod chunk {
    /// Payload data.
    pub(super) const DATA: u8 = 0;
    /// Initiation.
    pub(super) const INIT: u8 = 1;
    /// Initiation acknowledgement.
    pub(super) const INIT_ACK: u8 = 2;
    /// Abort.
    pub(super) const ABORT: u8 = 6;
    /// Shutdown.
    pub(super) const SHUTDOWN: u8 = 7;
}

/// All associations of a capture.
#[derive(Debug, Default)]
pub(super) struct Associations {
    /// The associations, in the order of their first packet.
    all: Vec<Association>,
    /// By source port, destination port and verification tag.
    by_tag: HashMap<(u16, u16, u32), (usize, Side)>,
    /// The latest by source and destination.
    by_address: HashMap<(SocketAddr, SocketAddr), (usize, Side)>,
}

impl Associations {
    /// Takes one packet.
    pub(super) fn take(
        &mut self,
        way: &Datagram<'_>,
        packet: &Chunks<'_>,
        stamp: Stamp,
        out: &mut Collector,
    ) {
        let mut rest = packet.bytes;
        while let Some(chunk) = Chunk::split_from(&mut rest) {
            let found = match chunk.kind {
                chunk::INIT => self.initiate(way, chunk, stamp, out),
                _ => self.find(way, packet.tag, chunk.kind == chunk::DATA, stamp, out),
            };
            let Some((index, side)) = found else { continue };
            let slot = self.all[index].slot;
            match chunk.kind {
                chunk::INIT_ACK => {
                    // The tag that the initiator will send with.
                    if let Some(tag) = read_u32(chunk.value, 0) {
                        self.learn(way.destination, way.source, tag, (index, side.other()));
                    }
                }
                chunk::DATA => self.all[index].data(side, chunk, stamp, out),
                chunk::ABORT => out.ended(slot, Ending::Reset),
                chunk::SHUTDOWN => out.ended(slot, Ending::Closed),
                _ => {}
            }
        }
        if !rest.is_empty() && way.missing > 0 {
            let whose = self.by_address.get(&(way.source, way.destination));
            let whose = whose.map(|&(index, side)| (self.all[index].slot, side));
            out.warn(
                stamp.frame,
                whose,
                WarningKind::PacketCut {
                    missing: way.missing,
                },
            );
        }
    }

    /// Reports what never became a message.
    pub(super) fn finish(self, out: &mut Collector) {
        for association in self.all {
            for side in Side::both() {
                if let Some(fragment) = association.directions[side.index()]
                    .fragments
                    .values()
                    .next()
                {
                    let bytes = fragment.bytes.len();
                    let whose = Some((association.slot, side));
                    out.warn(
                        fragment.stamp.frame,
                        whose,
                        WarningKind::MessageCut { bytes },
                    );
                }
            }
        }
    }

    /// The association that an INIT opens, unless the INIT is a repeated one.
    fn initiate(
        &mut self,
        way: &Datagram<'_>,
        chunk: Chunk<'_>,
        stamp: Stamp,
        out: &mut Collector,
    ) -> Option<(usize, Side)> {
        let tag = read_u32(chunk.value, 0)?;
        if let Some(&(index, side)) = self.by_address.get(&(way.source, way.destination)) {
            // The answers to this INIT will carry its tag.
            if self.all[index].tags[side.other().index()] == Some(tag) {
                return Some((index, side));
            }
            out.ended(self.all[index].slot, Ending::Replaced);
        }
        let (index, side) = self.open(way, stamp, out)?;
        out.opened_by(self.all[index].slot, side);
        self.learn(way.destination, way.source, tag, (index, side.other()));
        Some((index, side))
    }

    /// The association of a packet; with `may_open`, a new one if there is none.
    fn find(
        &mut self,
        way: &Datagram<'_>,
        tag: u32,
        may_open: bool,
        stamp: Stamp,
        out: &mut Collector,
    ) -> Option<(usize, Side)> {
        let (source, destination) = (way.source, way.destination);
        if tag != 0
            && let Some(&found) = self.by_tag.get(&(source.port(), destination.port(), tag))
        {
            self.by_address.insert((source, destination), found);
            return Some(found);
        }
        if let Some(&(index, side)) = self.by_address.get(&(source, destination)) {
            match self.all[index].tags[side.index()] {
                _ if tag == 0 => return Some((index, side)),
                None => {
                    self.learn(source, destination, tag, (index, side));
                    return Some((index, side));
                }
                // Not this association's: an ABORT may carry the other side's
                // tag, anything else belongs to one that was opened unseen.
                Some(_) if !may_open => return Some((index, side)),
                Some(_) => out.ended(self.all[index].slot, Ending::Replaced),
            }
        }
        if !may_open {
            return None;
        }
        let found = self.open(way, stamp, out)?;
        if tag != 0 {
            self.learn(source, destination, tag, found);
        }
        Some(found)
    }

    /// Opens an association whose first packet is this.
    fn open(
        &mut self,
        way: &Datagram<'_>,
        stamp: Stamp,
        out: &mut Collector,
    ) -> Option<(usize, Side)> {
        let slot = out.open(Transport::Sctp, [way.source, way.destination], stamp.frame)?;
        let index = self.all.len();
        self.all.push(Association {
            slot,
            tags: [None; 2],
            directions: Default::default(),
        });
        self.by_address
            .insert((way.source, way.destination), (index, Side::First));
        self.by_address
            .insert((way.destination, way.source), (index, Side::Second));
        Some((index, Side::First))
    }

    /// Notes the tag of the packets from `source` to `destination`.
    fn learn(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        tag: u32,
        (index, side): (usize, Side),
    ) {
        self.all[index].tags[side.index()] = Some(tag);
        self.by_tag
            .insert((source.port(), destination.port(), tag), (index, side));
    }
}

/// A chunk: type, flags and value (RFC 9260 clause 3.2).
#[derive(Clone, Copy, Debug)]
struct Chunk<'a> {
    /// The type.
    kind: u8,
    /// The flags.
    flags: u8,
    /// The value without padding.
    value: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Takes the first chunk from the octets of a packet; None, and nothing
    /// taken, if there is no whole one.
    fn split_from(bytes: &mut &'a [u8]) -> Option<Self> {
        let [kind, flags, ..] = **bytes else {
            return None;
        };
        let len = usize::from(read_u16(bytes, 2)?);
        let value = bytes.get(4..len)?;
        // The last chunk's padding may be missing.
        *bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Self { kind, flags, value })
    }
}

/// One association.
#[derive(Debug)]
struct Association {
    /// Its place in the collector.
    slot: Slot,
    /// The verification tag of each sender's packets.
    tags: [Option<u32>; 2],
    /// Both directions, by their sender.
    directions: [DirectionState; 2],
}

/// A part of a user message that waits for the others.
#[derive(Debug)]
struct Fragment {
    /// Whether it is the first.
    begins: bool,
    /// Whether it is the last.
    ends: bool,
    /// Its octets.
    bytes: Vec<u8>,
    /// When it came.
    stamp: Stamp,
}

/// One direction of an association.
#[derive(Debug, Default)]
struct DirectionState {
    /// The first transmission sequence number seen.
    origin: Option<u32>,
    /// The highest position so far.
    highest: u64,
    /// Positions that were seen, the latest [`SEEN_MAX`].
    seen: BTreeSet<u64>,
    /// Everything below was seen or is too old to tell.
    floor: u64,
    /// Fragments, by position.
    fragments: BTreeMap<u64, Fragment>,
}

impl DirectionState {
    /// The position of a transmission sequence number, unless it was seen.
    fn admit(&mut self, tsn: u32) -> Option<u64> {
        let origin = *self.origin.get_or_insert_with(|| {
            self.highest = FIRST_POSITION;
            tsn
        });
        let highest = origin.wrapping_add((self.highest - FIRST_POSITION) as u32);
        let ahead = tsn.wrapping_sub(highest).cast_signed();
        let position = self.highest.saturating_add_signed(i64::from(ahead));
        if position < self.floor || !self.seen.insert(position) {
            return None;
        }
        self.highest = self.highest.max(position);
        if self.seen.len() > SEEN_MAX
            && let Some(lowest) = self.seen.pop_first()
        {
            self.floor = lowest + 1;
        }
        Some(position)
    }

    /// Takes the message that the fragment at `position` completes, if it does.
    fn complete(&mut self, position: u64) -> Option<Vec<u8>> {
        let (mut first, mut last) = (position, position);
        while !self.fragments.get(&first)?.begins {
            first = first.checked_sub(1)?;
        }
        while !self.fragments.get(&last)?.ends {
            last = last.checked_add(1)?;
        }
        let mut message = Vec::new();
        for position in first..=last {
            message.extend(self.fragments.remove(&position)?.bytes);
        }
        Some(message)
    }
}

impl Association {
    /// Takes a DATA chunk (RFC 9260 clause 3.3.1).
    fn data(&mut self, side: Side, chunk: Chunk<'_>, stamp: Stamp, out: &mut Collector) {
        let fields = (
            read_u32(chunk.value, 0),
            read_u16(chunk.value, 4),
            read_u32(chunk.value, 8),
        );
        let (Some(tsn), Some(stream), Some(ppid)) = fields else {
            return;
        };
        let bytes = chunk.value.get(12..).unwrap_or_default();
        let (begins, ends) = (chunk.flags & 2 != 0, chunk.flags & 1 != 0);
        let whose = (self.slot, side);
        let direction = &mut self.directions[side.index()];
        let Some(position) = direction.admit(tsn) else {
            return;
        };
        if begins && ends {
            user_message(whose, stamp, (stream, ppid), bytes, out);
            return;
        }
        let fragment = Fragment {
            begins,
            ends,
            bytes: bytes.to_vec(),
            stamp,
        };
        direction.fragments.insert(position, fragment);
        if let Some(message) = direction.complete(position) {
            user_message(whose, stamp, (stream, ppid), &message, out);
        } else if direction.fragments.len() > FRAGMENTS_MAX
            && let Some((_, fragment)) = direction.fragments.pop_first()
        {
            let bytes = fragment.bytes.len();
            out.warn(
                fragment.stamp.frame,
                Some(whose),
                WarningKind::MessageCut { bytes },
            );
        }
    }
}

/// Gives out the Diameter message of a user message. RFC 6733 clause 2.1 means
/// one, but several in a row can be told apart as well.
fn user_message(
    whose: Whose,
    stamp: Stamp,
    (stream, ppid): (u16, u32),
    bytes: &[u8],
    out: &mut Collector,
) {
    let trusted = ppid == PPID_DIAMETER || out.is_diameter(whose.0);
    let mut rest = bytes;
    while !rest.is_empty() {
        let header = rest
            .get(..HEADER_LEN)
            .filter(|_| trusted || is_plausible(rest));
        let Some(len) = header.and_then(claimed_len) else {
            let bytes = rest.len() as u64;
            out.warn(stamp.frame, Some(whose), WarningKind::NotDiameter { bytes });
            return;
        };
        let Some((message, after)) = rest.split_at_checked(len) else {
            let bytes = rest.len();
            out.warn(stamp.frame, Some(whose), WarningKind::MessageCut { bytes });
            return;
        };
        out.message(whose, stamp, (stream, Some(ppid)), message.to_vec());
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Pair, answer, chunk, data, message, read_packets};
    use super::super::{Capture, Direction, Opening};
    use super::*;

    /// Flags of a chunk with a whole message.
    const WHOLE: u8 = 3;

    /// The messages' octets alone.
    fn bytes(capture: &Capture) -> Vec<Vec<u8>> {
        capture
            .messages
            .iter()
            .map(|message| message.bytes.clone())
            .collect()
    }

    /// The value of an INIT or INIT ACK.
    fn init(tag: u32, tsn: u32) -> Vec<u8> {
        let mut value = tag.to_be_bytes().to_vec();
        value.extend([0, 1, 0, 0, 0, 16, 0, 16]);
        value.extend(tsn.to_be_bytes());
        value
    }

    #[test]
    fn an_association_is_read_from_init_to_shutdown() {
        let (pair, back) = (Pair::v4(), Pair::v4().back());
        // The same hosts on other addresses: the tags tell.
        let second_path = Pair {
            client: "198.51.100.1:40000".parse().unwrap(),
            ..pair
        };
        let (cer, cea, dwr) = (message(257, 1, 60), answer(257, 1, 80), message(280, 2, 20));
        let capture = read_packets(&[
            pair.sctp(0, &[chunk(chunk::INIT, 0, &init(0xaaaa, 10))]),
            back.sctp(0xaaaa, &[chunk(chunk::INIT_ACK, 0, &init(0xbbbb, 20))]),
            pair.sctp(
                0xbbbb,
                &[chunk(10, 0, b"cookie"), data(WHOLE, 10, 0, 0, &cer)],
            ),
            back.sctp(
                0xaaaa,
                &[
                    chunk(11, 0, b""),
                    chunk(3, 0, &[0; 12]),
                    data(WHOLE, 20, 0, 46, &cea),
                ],
            ),
            second_path.sctp(0xbbbb, &[data(WHOLE, 11, 5, 46, &dwr)]),
            pair.sctp(0xbbbb, &[chunk(chunk::SHUTDOWN, 0, &[0; 4])]),
        ]);
        assert_eq!(capture.warnings, []);
        assert_eq!(bytes(&capture), [cer, cea, dwr]);
        let how: Vec<_> = capture
            .messages
            .iter()
            .map(|message| {
                (
                    message.frame,
                    message.direction,
                    message.stream,
                    message.payload_protocol,
                )
            })
            .collect();
        assert_eq!(
            how,
            [
                (3, Direction::FromClient, 0, Some(0)),
                (4, Direction::FromServer, 0, Some(46)),
                (5, Direction::FromClient, 5, Some(46)),
            ]
        );
        let [flow] = &capture.flows[..] else {
            panic!("one flow, not {:?}", capture.flows)
        };
        assert_eq!((flow.client, flow.server), (pair.client, pair.server));
        assert_eq!(
            (flow.opening, flow.ending),
            (Opening::Handshake, Ending::Closed)
        );
    }

    #[test]
    fn several_messages_in_a_packet_and_repeated_ones_are_told_apart() {
        let pair = Pair::v4();
        let sent = [
            message(324, 1, 20),
            message(324, 2, 24),
            message(324, 3, 28),
        ];
        let one = data(WHOLE, u32::MAX, 0, 46, &sent[0]);
        let two = data(WHOLE, 0, 1, 46, &sent[1]);
        let three = data(WHOLE, 1, 2, 46, &sent[2]);
        let capture = read_packets(&[
            pair.sctp(7, &[one.clone(), two.clone()]),
            pair.sctp(7, &[one, two, three.clone()]),
            pair.sctp(7, &[three]),
        ]);
        assert_eq!(bytes(&capture), sent);
        assert_eq!(capture.warnings, []);
    }

    #[test]
    fn fragments_are_joined_in_any_order() {
        let pair = Pair::v4();
        let sent = message(324, 1, 100);
        let whole = message(324, 2, 20);
        let part = |flags, tsn, from: usize, to: usize| data(flags, tsn, 1, 46, &sent[from..to]);
        let capture = read_packets(&[
            pair.sctp(7, &[part(0, 51, 33, 60)]),
            pair.sctp(7, &[part(1, 52, 60, 100), data(WHOLE, 53, 2, 46, &whole)]),
            pair.sctp(7, &[part(2, 50, 0, 33)]),
        ]);
        assert_eq!(
            bytes(&capture),
            [whole, sent],
            "another stream does not wait"
        );
        assert_eq!(capture.messages[1].frame, 3);
    }

    #[test]
    fn a_tag_of_zero_leaves_it_to_the_addresses() {
        let (mut pair, cer, cea) = (Pair::v4(), message(257, 1, 20), answer(257, 1, 20));
        pair.client.set_port(3868);
        let stranger = Pair {
            client: "192.0.2.77:3868".parse().unwrap(),
            ..pair
        };
        let capture = read_packets(&[
            pair.back().sctp(0, &[data(WHOLE, 1, 0, 46, &cea)]),
            pair.sctp(0, &[data(WHOLE, 1, 0, 46, &cer)]),
            stranger.sctp(0, &[data(WHOLE, 1, 0, 46, &cer)]),
        ]);
        assert_eq!(bytes(&capture), [cea, cer.clone(), cer]);
        let flows: Vec<_> = capture
            .messages
            .iter()
            .map(|message| (message.flow.0, message.direction))
            .collect();
        assert_eq!(
            flows,
            [
                (0, Direction::FromServer),
                (0, Direction::FromClient),
                (1, Direction::FromClient)
            ]
        );
    }

    #[test]
    fn ports_used_again_are_another_association() {
        let pair = Pair::v4();
        let sent = [
            message(257, 1, 20),
            message(257, 2, 20),
            message(257, 3, 20),
        ];
        let capture = read_packets(&[
            pair.sctp(0, &[chunk(chunk::INIT, 0, &init(1, 10))]),
            pair.sctp(0, &[chunk(chunk::INIT, 0, &init(1, 10))]),
            pair.back()
                .sctp(1, &[chunk(chunk::INIT_ACK, 0, &init(2, 20))]),
            pair.sctp(2, &[data(WHOLE, 10, 0, 46, &sent[0])]),
            pair.sctp(2, &[chunk(chunk::ABORT, 0, b"")]),
            pair.sctp(0, &[chunk(chunk::INIT, 0, &init(3, 10))]),
            pair.back()
                .sctp(3, &[chunk(chunk::INIT_ACK, 0, &init(4, 20))]),
            pair.sctp(4, &[data(WHOLE, 10, 0, 46, &sent[1])]),
            // Not opened in this capture.
            pair.sctp(99, &[data(WHOLE, 10, 0, 46, &sent[2])]),
        ]);
        assert_eq!(bytes(&capture), sent);
        let endings: Vec<_> = capture.flows.iter().map(|flow| flow.ending).collect();
        assert_eq!(endings, [Ending::Reset, Ending::Replaced, Ending::Open]);
    }

    #[test]
    fn what_is_not_diameter_is_reported_on_diameter_only() {
        let (pair, mut other) = (Pair::v4(), Pair::v4());
        other.server.set_port(36412);
        let good = message(324, 1, 40);
        let capture = read_packets(&[
            pair.sctp(7, &[data(WHOLE, 1, 0, 46, b"not Diameter")]),
            pair.sctp(7, &[data(WHOLE, 2, 0, 46, &good[..30])]),
            pair.sctp(
                7,
                &[data(
                    WHOLE,
                    3,
                    0,
                    46,
                    &[good.clone(), good.clone()].concat(),
                )],
            ),
            other.sctp(8, &[data(WHOLE, 1, 0, 18, b"S1AP, say")]),
            pair.sctp(7, &[data(2, 4, 0, 46, &good[..30])]),
        ]);
        assert_eq!(bytes(&capture), [good.clone(), good]);
        let kinds: Vec<_> = capture
            .warnings
            .iter()
            .map(|warning| (warning.frame, warning.kind))
            .collect();
        assert_eq!(
            kinds,
            [
                (1, WarningKind::NotDiameter { bytes: 12 }),
                (2, WarningKind::MessageCut { bytes: 30 }),
                (5, WarningKind::MessageCut { bytes: 30 }),
            ]
        );
        assert_eq!(capture.flows.len(), 1);
    }

    #[test]
    fn fragments_that_never_end_are_bounded() {
        let mut direction = Association {
            slot: Collector::new(Default::default())
                .open(Transport::Sctp, [Pair::v4().client, Pair::v4().server], 1)
                .unwrap(),
            tags: [None; 2],
            directions: Default::default(),
        };
        let mut out = Collector::new(Default::default());
        out.open(Transport::Sctp, [Pair::v4().client, Pair::v4().server], 1);
        for tsn in 0..5 * FRAGMENTS_MAX as u32 {
            let chunk = data(0, tsn * 2, 0, 46, b"middle");
            let chunk = Chunk::split_from(&mut chunk.as_slice()).unwrap();
            direction.data(Side::First, chunk, Stamp::default(), &mut out);
            let state = &direction.directions[0];
            assert!(state.fragments.len() <= FRAGMENTS_MAX && state.seen.len() <= SEEN_MAX);
        }
    }

    proptest! {
        /// However user messages are cut, shuffled and repeated, each comes
        /// out once and whole.
        #[test]
        fn any_fragmentation_gives_the_same_messages(
            sizes in prop::collection::vec((5_usize..60, 1_usize..100), 1..12),
            shuffle in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
            twice in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            initial in prop_oneof![any::<u32>(), (u32::MAX - 8)..=u32::MAX],
        ) {
            let pair = Pair::v4();
            let mut sent = Vec::new();
            let (mut packets, mut tsn) = (Vec::new(), initial);
            for ((size, cut), id) in sizes.into_iter().zip(0..) {
                let whole = message(324, id, size * 4);
                let count = whole.chunks(cut).len();
                for (at, part) in whole.chunks(cut).enumerate() {
                    let flags = if at == 0 { 2 } else { 0 } | if at + 1 == count { 1 } else { 0 };
                    packets.push(pair.sctp(7, &[data(flags, tsn, id as u16, 46, part)]));
                    tsn = tsn.wrapping_add(1);
                }
                sent.push(whole);
            }
            for index in twice {
                packets.push(packets[index.index(packets.len())].clone());
            }
            for (at, index) in shuffle.iter().enumerate() {
                let (a, b) = (at % packets.len(), index.index(packets.len()));
                packets.swap(a, b);
            }
            let capture = read_packets(&packets);
            let mut got = bytes(&capture);
            got.sort();
            sent.sort();
            prop_assert_eq!(got, sent);
            prop_assert_eq!(&capture.warnings, &[]);
        }
    }
}
