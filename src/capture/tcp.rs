//! TCP connections of a capture, and their octets in order (RFC 9293).
//!
//! Sequence numbers wrap after 4 GiB, so each direction counts its own
//! positions in 64 bits. Octets that came early wait; octets that came twice
//! are dropped; octets that never came become a gap when too much waits for
//! them, or when the connection or the capture ends.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::flow::{Collector, Side, Slot, Stamp, Whose};
use super::framing::Framer;
use super::packet::{Datagram, Segment};
use super::{Ending, Transport, WarningKind};

/// The most octets that wait in one direction for missing ones: 1 MiB, more
/// than the window of a Diameter connection.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// The most segments that wait in one direction.
const WAITING_SEGMENTS_MAX: usize = 4096;

/// The position of the first octet seen. Far from zero, so that octets from
/// before it have a position as well.
const FIRST_POSITION: u64 = 1 << 32;

/// All connections of a capture.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// The latest connection of each pair of addresses, the lower one first.
    latest: HashMap<(SocketAddr, SocketAddr), Connection>,
}

impl Connections {
    /// Takes one segment.
    pub(super) fn take(
        &mut self,
        way: &Datagram<'_>,
        segment: &Segment<'_>,
        stamp: Stamp,
        out: &mut Collector,
    ) {
        let key = (
            way.source.min(way.destination),
            way.source.max(way.destination),
        );
        if let Some(old) = self.latest.get_mut(&key)
            && old.is_replaced_by(old.side_of(way.source), segment)
        {
            old.finish(out);
            out.ended(old.slot, Ending::Replaced);
            self.latest.remove(&key);
        }
        let connection = match self.latest.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let ends = [way.source, way.destination];
                let Some(slot) = out.open(Transport::Tcp, ends, stamp.frame) else {
                    return;
                };
                entry.insert(Connection {
                    slot,
                    first: way.source,
                    streams: Default::default(),
                })
            }
        };
        connection.take(
            connection.side_of(way.source),
            segment,
            way.missing,
            stamp,
            out,
        );
    }

    /// Ends all connections with the capture.
    pub(super) fn finish(self, out: &mut Collector) {
        for mut connection in self.latest.into_values() {
            connection.finish(out);
        }
    }
}

/// One connection.
#[derive(Debug)]
struct Connection {
    /// Its place in the collector.
    slot: Slot,
    /// The address of [`Side::First`].
    first: SocketAddr,
    /// Both directions, by their sender.
    streams: [Stream; 2],
}

impl Connection {
    /// The side that has this address.
    fn side_of(&self, address: SocketAddr) -> Side {
        if address == self.first {
            Side::First
        } else {
            Side::Second
        }
    }

    /// Whether a segment of `side` begins another connection between the same
    /// addresses and ports: a SYN that is not this connection's own.
    fn is_replaced_by(&self, side: Side, segment: &Segment<'_>) -> bool {
        let (own, other) = (
            &self.streams[side.index()],
            &self.streams[side.other().index()],
        );
        match own.initial {
            _ if !segment.syn => false,
            Some(initial) => initial != segment.sequence,
            None if own.framer.is_some() => true,
            // The answer to a SYN fits here; a SYN fits only if its answer was
            // captured before it.
            None => !segment.ack && other.initial.is_none(),
        }
    }

    /// Takes a segment that belongs here.
    fn take(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        missing: usize,
        stamp: Stamp,
        out: &mut Collector,
    ) {
        let whose = (self.slot, side);
        let stream = &mut self.streams[side.index()];
        if segment.syn && stream.initial.is_none() {
            stream.initial = Some(segment.sequence);
            stream.begin(
                segment.sequence.wrapping_add(1),
                true,
                out.is_diameter(self.slot),
            );
            out.opened_by(self.slot, if segment.ack { side.other() } else { side });
        }
        if missing > 0 {
            out.warn(stamp.frame, Some(whose), WarningKind::PacketCut { missing });
        }
        // What a RST carries is an explanation for people, not the stream.
        if !segment.payload.is_empty() && !segment.rst {
            let sequence = segment.sequence.wrapping_add(u32::from(segment.syn));
            if stream.framer.is_none() {
                stream.begin(sequence, false, out.is_diameter(self.slot));
            }
            stream.take(sequence, segment.payload, stamp, whose, out);
        }
        if segment.rst {
            out.ended(self.slot, Ending::Reset);
        } else if segment.fin {
            out.ended(self.slot, Ending::Closed);
        }
    }

    /// Gives out what waited in vain.
    fn finish(&mut self, out: &mut Collector) {
        for side in Side::both() {
            self.streams[side.index()].finish((self.slot, side), out);
        }
    }
}

/// Octets that wait for earlier ones.
#[derive(Debug)]
struct Early {
    /// The octets.
    bytes: Vec<u8>,
    /// When they came.
    stamp: Stamp,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Stream {
    /// The sequence number of the SYN.
    initial: Option<u32>,
    /// The sequence number at [`FIRST_POSITION`].
    origin: u32,
    /// The position of the next octet in order.
    position: u64,
    /// Octets that came early, by their position.
    early: BTreeMap<u64, Early>,
    /// How many octets those are.
    early_bytes: usize,
    /// The latest frame that octets in order came from.
    stamp: Stamp,
    /// The first frame with octets that are not Diameter.
    stray_from: Option<u64>,
    /// Cuts messages; there is one as soon as the stream has a beginning.
    framer: Option<Framer>,
}

impl Stream {
    /// Begins at a sequence number, `aligned` if that is the stream's start.
    fn begin(&mut self, sequence: u32, aligned: bool, trusted: bool) {
        self.origin = sequence;
        self.position = FIRST_POSITION;
        self.framer = Some(Framer::new(aligned, trusted));
    }

    /// The position that is meant by a sequence number: the one nearest to the
    /// octet that comes next.
    fn position_of(&self, sequence: u32) -> u64 {
        let next = self
            .origin
            .wrapping_add((self.position - FIRST_POSITION) as u32);
        let ahead = sequence.wrapping_sub(next).cast_signed();
        self.position.saturating_add_signed(i64::from(ahead))
    }

    /// Takes the octets of one segment.
    fn take(
        &mut self,
        sequence: u32,
        bytes: &[u8],
        stamp: Stamp,
        whose: Whose,
        out: &mut Collector,
    ) {
        let start = self.position_of(sequence);
        if start > self.position {
            self.keep(start, bytes, stamp);
            while self.early_bytes > WAITING_BYTES_MAX || self.early.len() > WAITING_SEGMENTS_MAX {
                self.skip(whose, out);
            }
            return;
        }
        self.deliver(start, bytes, stamp, whose, out);
        self.catch_up(whose, out);
    }

    /// Keeps octets that came early; of two at one place the longer.
    fn keep(&mut self, start: u64, bytes: &[u8], stamp: Stamp) {
        if self
            .early
            .get(&start)
            .is_some_and(|early| early.bytes.len() >= bytes.len())
        {
            return;
        }
        self.early_bytes += bytes.len();
        if let Some(shorter) = self.early.insert(
            start,
            Early {
                bytes: bytes.to_vec(),
                stamp,
            },
        ) {
            self.early_bytes -= shorter.bytes.len();
        }
    }

    /// Hands on the new part of octets that begin at or before the position.
    fn deliver(
        &mut self,
        start: u64,
        bytes: &[u8],
        stamp: Stamp,
        whose: Whose,
        out: &mut Collector,
    ) {
        let Some(fresh) = usize::try_from(self.position - start)
            .ok()
            .and_then(|seen| bytes.get(seen..))
        else {
            return;
        };
        let Some(framer) = self.framer.as_mut().filter(|_| !fresh.is_empty()) else {
            return;
        };
        self.position += fresh.len() as u64;
        self.stamp = self.stamp.max(stamp);
        let stray = framer.stray();
        for message in framer.push(fresh) {
            out.message(whose, self.stamp, (0, None), message);
        }
        if framer.stray() > stray {
            self.stray_from.get_or_insert(self.stamp.frame);
        }
    }

    /// Hands on early octets whose turn has come.
    fn catch_up(&mut self, whose: Whose, out: &mut Collector) {
        while let Some(entry) = self
            .early
            .first_entry()
            .filter(|entry| *entry.key() <= self.position)
        {
            let (start, early) = entry.remove_entry();
            self.early_bytes -= early.bytes.len();
            self.deliver(start, &early.bytes, early.stamp, whose, out);
        }
    }

    /// Gives up the octets before the first early ones.
    fn skip(&mut self, whose: Whose, out: &mut Collector) {
        let Some((&start, early)) = self.early.first_key_value() else {
            return;
        };
        let bytes = start - self.position;
        out.warn(early.stamp.frame, Some(whose), WarningKind::Gap { bytes });
        if let Some(framer) = &mut self.framer {
            framer.gap(bytes);
        }
        self.position = start;
        self.catch_up(whose, out);
    }

    /// Gives out everything and reports what remains.
    fn finish(&mut self, whose: Whose, out: &mut Collector) {
        while !self.early.is_empty() {
            self.skip(whose, out);
        }
        let Some(framer) = self.framer.take() else {
            return;
        };
        if framer.unfinished() > 0 {
            let bytes = framer.unfinished();
            out.warn(
                self.stamp.frame,
                Some(whose),
                WarningKind::MessageCut { bytes },
            );
        }
        if let Some(frame) = self.stray_from {
            out.warn(
                frame,
                Some(whose),
                WarningKind::NotDiameter {
                    bytes: framer.stray(),
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{ACK, FIN, Pair, RST, SYN, answer, message, read_packets};
    use super::super::{Capture, Direction, Opening, Warning};
    use super::*;

    /// The messages' octets alone.
    fn bytes(capture: &Capture) -> Vec<Vec<u8>> {
        capture
            .messages
            .iter()
            .map(|message| message.bytes.clone())
            .collect()
    }

    /// The warnings' kinds alone.
    fn kinds(capture: &Capture) -> Vec<WarningKind> {
        capture
            .warnings
            .iter()
            .map(|warning| warning.kind)
            .collect()
    }

    #[test]
    fn a_connection_is_read_from_syn_to_fin() {
        let (pair, back) = (Pair::v4(), Pair::v4().back());
        let (cer, cea) = (message(257, 1, 60), answer(257, 1, 80));
        let capture = read_packets(&[
            pair.tcp(1000, SYN, b""),
            back.tcp(7000, SYN | ACK, b""),
            pair.tcp(1001, ACK, &cer),
            back.tcp(7001, ACK, &cea),
            pair.tcp(1061, FIN | ACK, b""),
            back.tcp(7081, FIN | ACK, b""),
        ]);
        assert_eq!(capture.warnings, []);
        assert_eq!(bytes(&capture), [cer, cea]);
        let (first, second) = (&capture.messages[0], &capture.messages[1]);
        assert_eq!(
            (first.frame, first.time_ns, first.direction),
            (3, 3_000_000_000, Direction::FromClient)
        );
        assert_eq!(
            (second.frame, second.unix_time().0, second.direction),
            (4, 4, Direction::FromServer)
        );
        let [flow] = &capture.flows[..] else {
            panic!("one flow")
        };
        assert_eq!((flow.client, flow.server), (pair.client, pair.server));
        assert_eq!(
            (flow.opening, flow.ending, flow.first_frame),
            (Opening::Handshake, Ending::Closed, 1)
        );
        assert_eq!(capture.frames, 6);
    }

    #[test]
    fn segments_of_one_octet_make_a_message() {
        let (pair, sent) = (Pair::v4(), message(324, 5, 44));
        let mut packets = vec![pair.tcp(0, SYN, b"")];
        packets.extend(
            sent.iter()
                .zip(1..)
                .map(|(octet, sequence)| pair.tcp(sequence, ACK, &[*octet])),
        );
        let capture = read_packets(&packets);
        assert_eq!(bytes(&capture), [sent]);
        assert_eq!(capture.messages[0].frame, 45);
    }

    #[test]
    fn order_repetition_and_overlap_do_not_matter() {
        let pair = Pair::v4();
        let stream = [message(257, 1, 40), message(324, 2, 80)].concat();
        let capture = read_packets(&[
            pair.tcp(99, SYN, b""),
            pair.tcp(99, SYN, b""),
            pair.tcp(100 + 60, ACK, &stream[60..]),
            pair.tcp(100, ACK, &stream[..30]),
            pair.tcp(100, ACK, &stream[..30]),
            pair.tcp(100 + 50, ACK, &stream[50..70]),
            pair.tcp(100 + 20, ACK, &stream[20..55]),
            pair.tcp(100 + 119, ACK, &stream[119..]),
        ]);
        assert_eq!(capture.warnings, []);
        assert_eq!(bytes(&capture), [&stream[..40], &stream[40..]]);
        // Both wait for frame 7, which closes the hole.
        assert_eq!(
            capture
                .messages
                .iter()
                .map(|message| message.frame)
                .collect::<Vec<_>>(),
            [7, 7]
        );
        assert_eq!(capture.flows.len(), 1);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let pair = Pair::v4();
        let sent: Vec<_> = (0..8).map(|id| message(324, id, 100)).collect();
        let mut sequence = u32::MAX - 250;
        let mut packets = vec![pair.tcp(sequence.wrapping_sub(1), SYN, b"")];
        for message in &sent {
            packets.push(pair.tcp(sequence, ACK, message));
            sequence = sequence.wrapping_add(100);
        }
        packets.swap(3, 4);
        assert_eq!(bytes(&read_packets(&packets)), sent);
    }

    #[test]
    fn lost_octets_are_reported_and_passed() {
        let pair = Pair::v4();
        let sent: Vec<_> = (0..4).map(|id| message(324, id, 100)).collect();
        let stream = sent.concat();
        let capture = read_packets(&[
            pair.tcp(99, SYN, b""),
            pair.tcp(100, ACK, &stream[..150]),
            // 150..220 is lost: the rest of the second, the head of the third.
            pair.tcp(100 + 220, ACK, &stream[220..300]),
            pair.tcp(100 + 300, ACK, &stream[300..]),
        ]);
        assert_eq!(bytes(&capture), [sent[0].clone(), sent[3].clone()]);
        assert_eq!(
            kinds(&capture),
            [
                WarningKind::Gap { bytes: 70 },
                WarningKind::NotDiameter { bytes: 80 }
            ]
        );
        assert_eq!(
            capture.messages[1].frame, 4,
            "its own frame, not the end of the capture"
        );
    }

    #[test]
    fn what_waits_is_bounded() {
        let pair = Pair::v4();
        let filler = message(324, 1, 20_000);
        let mut packets = vec![pair.tcp(99, SYN, b"")];
        let count = WAITING_BYTES_MAX / filler.len() + 2;
        // The first octet never comes.
        for at in 0..count {
            packets.push(pair.tcp(101 + (at * filler.len()) as u32, ACK, &filler));
        }
        let mut stream = Stream::default();
        let mut out = Collector::new(super::super::Options::default());
        let slot = out
            .open(Transport::Tcp, [pair.client, pair.server], 1)
            .unwrap();
        stream.begin(100, true, true);
        for at in 0..count {
            let sequence = 101 + (at * filler.len()) as u32;
            stream.take(
                sequence,
                &filler,
                Stamp::default(),
                (slot, Side::First),
                &mut out,
            );
            assert!(stream.early_bytes <= WAITING_BYTES_MAX);
        }
        let capture = read_packets(&packets);
        assert_eq!(capture.messages.len(), count);
        assert_eq!(kinds(&capture), [WarningKind::Gap { bytes: 1 }]);
    }

    #[test]
    fn ports_used_again_are_another_connection() {
        let pair = Pair::v4();
        let (first, second, third) = (
            message(257, 1, 40),
            message(257, 2, 40),
            message(257, 3, 40),
        );
        let capture = read_packets(&[
            pair.tcp(10, SYN, b""),
            pair.tcp(11, ACK, &first),
            pair.tcp(51, RST, b"gone"),
            pair.tcp(5000, SYN, b""),
            pair.tcp(5001, ACK, &second),
            pair.tcp(90, SYN, b""),
            pair.tcp(91, ACK, &third),
        ]);
        assert_eq!(bytes(&capture), [first, second, third]);
        let endings: Vec<_> = capture.flows.iter().map(|flow| flow.ending).collect();
        assert_eq!(endings, [Ending::Reset, Ending::Replaced, Ending::Open]);
        let flows: Vec<_> = capture
            .messages
            .iter()
            .map(|message| message.flow.0)
            .collect();
        assert_eq!(flows, [0, 1, 2]);
    }

    #[test]
    fn an_answer_captured_before_the_syn_belongs_to_it() {
        let pair = Pair::v4();
        let sent = message(257, 1, 40);
        let capture = read_packets(&[
            pair.back().tcp(70, SYN | ACK, b""),
            pair.tcp(10, SYN, b""),
            pair.tcp(11, ACK, &sent),
        ]);
        assert_eq!(bytes(&capture), [sent]);
        assert_eq!(capture.flows.len(), 1);
        assert_eq!(capture.flows[0].client, pair.client);
    }

    #[test]
    fn a_capture_may_start_in_the_middle() {
        let pair = Pair::v4();
        let (lost, seen) = (message(324, 1, 100), message(324, 2, 100));
        let capture = read_packets(&[pair.tcp(500, ACK, &lost[40..]), pair.tcp(560, ACK, &seen)]);
        assert_eq!(bytes(&capture), [seen]);
        assert_eq!(capture.flows[0].opening, Opening::MidStream);
        let warning = &capture.warnings[0];
        assert_eq!(
            warning.to_string(),
            "frame 1, flow 0 from the client: 60 octets are not Diameter"
        );
    }

    #[test]
    fn without_a_known_port_the_content_and_the_first_request_decide() {
        let mut pair = Pair::v4();
        pair.server.set_port(9999);
        let other = Pair {
            client: "192.0.2.9:50000".parse().unwrap(),
            ..pair
        };
        let (cea, dwr) = (answer(257, 1, 40), message(280, 2, 20));
        let cer = message(257, 1, 40);
        let capture = read_packets(&[
            pair.back().tcp(1, ACK, &dwr),
            pair.tcp(1, ACK, &cer),
            pair.back().tcp(21, ACK, &cea),
            other.tcp(1, ACK, b"GET / HTTP/1.1\r\n\r\n"),
        ]);
        assert_eq!(bytes(&capture), [dwr, cer, cea]);
        let [flow] = &capture.flows[..] else {
            panic!("one flow")
        };
        assert_eq!(
            flow.client, pair.client,
            "the sender of the CER, not of the first request"
        );
        assert_eq!(capture.warnings, []);
    }

    #[test]
    fn a_message_cut_by_the_end_is_reported() {
        let pair = Pair::v4();
        let capture = read_packets(&[
            pair.tcp(0, SYN, b""),
            pair.tcp(1, ACK, &message(324, 1, 100)[..70]),
        ]);
        assert_eq!(
            capture.warnings,
            [Warning {
                frame: 2,
                flow: Some((super::super::FlowId(0), Direction::FromClient)),
                kind: WarningKind::MessageCut { bytes: 70 },
            }]
        );
    }

    proptest! {
        /// However a stream is cut, shuffled and repeated, its messages come
        /// out whole and in order.
        #[test]
        fn any_segmentation_gives_the_same_messages(
            sizes in prop::collection::vec(5_usize..60, 1..12),
            cuts in prop::collection::vec(1_usize..90, 1..12),
            shuffle in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
            twice in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            overlap in 0_usize..30,
            initial in prop_oneof![any::<u32>(), (u32::MAX - 700)..=u32::MAX],
        ) {
            let sent: Vec<_> = sizes.iter().zip(0..).map(|(size, id)| message(324, id, size * 4)).collect();
            let stream = sent.concat();
            let pair = Pair::v4();
            let (mut segments, mut at) = (Vec::new(), 0);
            for cut in cuts.iter().cycle() {
                let end = stream.len().min(at + cut);
                let from = at.saturating_sub(overlap);
                let sequence = initial.wrapping_add(1 + from as u32);
                segments.push(pair.tcp(sequence, ACK, &stream[from..end]));
                at = end;
                if at == stream.len() {
                    break;
                }
            }
            for index in twice {
                segments.push(segments[index.index(segments.len())].clone());
            }
            for (at, index) in shuffle.iter().enumerate() {
                let (a, b) = (at % segments.len(), index.index(segments.len()));
                segments.swap(a, b);
            }
            segments.insert(0, pair.tcp(initial, SYN, b""));
            let capture = read_packets(&segments);
            prop_assert_eq!(&capture.warnings, &[]);
            prop_assert_eq!(bytes(&capture), sent);
        }
    }
}
