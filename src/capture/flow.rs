//! What the readers of TCP and SCTP have in common: the flows they find, and
//! the one place where messages and warnings are put.

use std::net::SocketAddr;

use super::{
    Capture, Direction, Ending, Flow, FlowId, Message, Opening, Options, Transport, Warning,
    WarningKind,
};

/// The most conversations that are followed in one capture: 65,536, about a
/// hundred megabytes of state. A core has a few hundred Diameter peers.
pub(super) const FLOWS_MAX: usize = 1 << 16;

/// The most warnings that are kept: nobody reads more.
const WARNINGS_MAX: usize = 1000;

/// Where and when something was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    /// The frame, from 1.
    pub(super) frame: u64,
    /// Its time in nanoseconds since 1970.
    pub(super) time_ns: u64,
}

/// One of the two ends of a flow, before it is known which is the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The sender of the flow's first frame.
    First,
    /// Its receiver.
    Second,
}

impl Side {
    /// The place of this side's state in an array of two.
    pub(super) fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }

    /// The other end.
    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Both, in the order of their index.
    pub(super) fn both() -> [Self; 2] {
        [Self::First, Self::Second]
    }
}

/// A flow's place in the collector, not yet its public [`FlowId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

/// One direction of a flow, by its sender.
pub(super) type Whose = (Slot, Side);

/// A flow as far as it is known while the capture is read.
#[derive(Debug)]
struct Record {
    /// The transport.
    transport: Transport,
    /// The addresses, in the order of [`Side`].
    ends: [SocketAddr; 2],
    /// The first frame.
    first_frame: u64,
    /// The side that sent the SYN or INIT.
    opener: Option<Side>,
    /// The sender of the first Capabilities-Exchange-Request.
    introducer: Option<Side>,
    /// The sender of the first request of any kind.
    requester: Option<Side>,
    /// How it ended, so far.
    ending: Ending,
    /// Whether it carried a message, or has a Diameter port.
    diameter: bool,
}

impl Record {
    /// The side that connected, by the best evidence there is.
    fn client(&self, ports: &[u16]) -> Side {
        let serves = |end: &SocketAddr| ports.contains(&end.port());
        let by_port = match (serves(&self.ends[0]), serves(&self.ends[1])) {
            (true, false) => Some(Side::Second),
            (false, true) => Some(Side::First),
            _ => None,
        };
        self.opener
            .or(by_port)
            .or(self.introducer)
            .or(self.requester)
            .unwrap_or(Side::First)
    }
}

/// A message whose direction is still to be told.
#[derive(Debug)]
struct Found {
    /// Its flow.
    slot: Slot,
    /// Its sender.
    side: Side,
    /// Where it became complete.
    stamp: Stamp,
    /// The SCTP stream, or 0.
    stream: u16,
    /// The SCTP payload protocol identifier.
    payload_protocol: Option<u32>,
    /// The message.
    bytes: Vec<u8>,
}

/// A warning whose direction is still to be told.
#[derive(Debug)]
struct Noted {
    /// The frame.
    frame: u64,
    /// Whose octets are concerned.
    whose: Option<Whose>,
    /// What is wrong.
    kind: WarningKind,
}

/// Collects flows, messages and warnings, and makes a [`Capture`] of them.
#[derive(Debug)]
pub(super) struct Collector {
    /// Which ports are Diameter's.
    options: Options,
    /// Every flow, Diameter or not.
    records: Vec<Record>,
    /// The messages, each flow's in their order.
    found: Vec<Found>,
    /// Octets in `found`.
    bytes: usize,
    /// The warnings.
    warnings: Vec<Noted>,
    /// Warnings beyond [`WARNINGS_MAX`].
    warnings_left_out: u64,
    /// Whether [`WarningKind::TooManyFlows`] was said.
    full: bool,
}

impl Collector {
    /// An empty one.
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            records: Vec::new(),
            found: Vec::new(),
            bytes: 0,
            warnings: Vec::new(),
            warnings_left_out: 0,
            full: false,
        }
    }

    /// Opens a flow whose first frame went from `ends[0]` to `ends[1]`; None,
    /// with one warning, if there are too many.
    pub(super) fn open(
        &mut self,
        transport: Transport,
        ends: [SocketAddr; 2],
        frame: u64,
    ) -> Option<Slot> {
        if self.records.len() >= FLOWS_MAX {
            if !self.full {
                self.full = true;
                self.warn(frame, None, WarningKind::TooManyFlows);
            }
            return None;
        }
        let diameter = ends
            .iter()
            .any(|end| self.options.ports.contains(&end.port()));
        self.records.push(Record {
            transport,
            ends,
            first_frame: frame,
            opener: None,
            introducer: None,
            requester: None,
            ending: Ending::Open,
            diameter,
        });
        Some(Slot(self.records.len() - 1))
    }

    /// Notes that `side` sent the SYN or INIT.
    pub(super) fn opened_by(&mut self, slot: Slot, side: Side) {
        self.records[slot.0].opener.get_or_insert(side);
    }

    /// Notes an end; the first one noted stays.
    pub(super) fn ended(&mut self, slot: Slot, ending: Ending) {
        let record = &mut self.records[slot.0];
        if record.ending == Ending::Open {
            record.ending = ending;
        }
    }

    /// Whether the flow is known to be Diameter, by its port or by a message.
    pub(super) fn is_diameter(&self, slot: Slot) -> bool {
        self.records[slot.0].diameter
    }

    /// Octets of all messages so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a message that has at least a whole header.
    pub(super) fn message(
        &mut self,
        (slot, side): Whose,
        stamp: Stamp,
        (stream, payload_protocol): (u16, Option<u32>),
        bytes: Vec<u8>,
    ) {
        let record = &mut self.records[slot.0];
        record.diameter = true;
        if let Some([flags, command @ ..]) = bytes.get(4..8)
            && flags & 0x80 != 0
        {
            record.requester.get_or_insert(side);
            // 257, Capabilities-Exchange: whoever connected sends it first.
            if command == [0, 1, 1] {
                record.introducer.get_or_insert(side);
            }
        }
        self.bytes += bytes.len();
        self.found.push(Found {
            slot,
            side,
            stamp,
            stream,
            payload_protocol,
            bytes,
        });
    }

    /// Adds a warning, unless it is about a flow that is not Diameter.
    pub(super) fn warn(&mut self, frame: u64, whose: Option<Whose>, kind: WarningKind) {
        if whose.is_some_and(|(slot, _)| !self.is_diameter(slot)) {
            return;
        }
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(Noted { frame, whose, kind });
        } else {
            self.warnings_left_out += 1;
        }
    }

    /// Sorts everything by frame and leaves out what is not Diameter.
    pub(super) fn finish(mut self, frames: u64) -> Capture {
        let mut flows = Vec::new();
        let mut known = Vec::with_capacity(self.records.len());
        for record in &self.records {
            if !record.diameter {
                known.push(None);
                continue;
            }
            let client = record.client(&self.options.ports);
            // At most FLOWS_MAX flows, so the number fits.
            known.push(Some((FlowId(flows.len() as u32), client, record.transport)));
            flows.push(Flow {
                transport: record.transport,
                client: record.ends[client.index()],
                server: record.ends[client.other().index()],
                first_frame: record.first_frame,
                opening: if record.opener.is_some() {
                    Opening::Handshake
                } else {
                    Opening::MidStream
                },
                ending: record.ending,
            });
        }
        let direction = |client, side| {
            if side == client {
                Direction::FromClient
            } else {
                Direction::FromServer
            }
        };
        // Stable: within a flow, and so within a frame, the order stays.
        self.found.sort_by_key(|found| found.stamp.frame);
        self.warnings.sort_by_key(|noted| noted.frame);
        let messages = self.found.into_iter().filter_map(|found| {
            let (flow, client, transport) = known[found.slot.0]?;
            Some(Message {
                time_ns: found.stamp.time_ns,
                frame: found.stamp.frame,
                flow,
                direction: direction(client, found.side),
                transport,
                stream: found.stream,
                payload_protocol: found.payload_protocol,
                bytes: found.bytes,
            })
        });
        let warnings = self
            .warnings
            .into_iter()
            .filter_map(|Noted { frame, whose, kind }| {
                let flow = match whose {
                    None => None,
                    Some((slot, side)) => {
                        let (flow, client, _) = known[slot.0]?;
                        Some((flow, direction(client, side)))
                    }
                };
                Some(Warning { frame, flow, kind })
            });
        Capture {
            messages: messages.collect(),
            warnings: warnings.collect(),
            flows,
            warnings_left_out: self.warnings_left_out,
            frames,
        }
    }
}
