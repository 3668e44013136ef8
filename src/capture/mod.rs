//! Diameter messages out of packet captures.
//!
//! ```text
//! file (pcap, pcapng) → frame → link layer → IP (fragments joined) ─┬→ TCP: bytes in order → framing ─┬→ messages
//!                                                                   └→ SCTP: user messages ───────────┘
//! ```
//!
//! A capture is evidence of what somebody else's network did, so this reader
//! is lax where a node must be strict: it takes a capture that starts in the
//! middle, that lost packets, or that was cut by a snapshot length, gives what
//! can be told for certain, and says in [`Capture::warnings`] what it could not.
//! Checksums are not verified, because captures taken on the sending machine
//! hold packets whose checksum the network card would have filled in.
//!
//! Every buffer is bounded by a named constant or by the size of the file.

mod file;
mod flow;
mod framing;
mod packet;
mod sctp;
mod tcp;
#[cfg(test)]
mod testing;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::time::UnixTime;

use self::file::Frames;
use self::flow::Collector;
use self::packet::{Layers, Transported, Unwrapper};
use self::sctp::Associations;
use self::tcp::Connections;

/// Diameter's port over TCP and SCTP (RFC 6733 clause 11.4).
pub const DIAMETER_PORT: u16 = 3868;

/// The most octets of messages that are kept of one capture: 1 GiB. Messages
/// stay in memory, and a machine that replays has that much to spare.
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// Which conversations are taken for Diameter.
#[derive(Clone, Debug)]
pub struct Options {
    /// A conversation with one of these ports at either end is Diameter. Any
    /// other is, too, if it begins like a Diameter message.
    pub ports: Vec<u16>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ports: vec![DIAMETER_PORT],
        }
    }
}

/// Reads the Diameter messages of a capture file, with the default [`Options`].
///
/// # Errors
///
/// [`CaptureError`] if the file cannot be read, is no capture, or holds no
/// packet of a supported link type. A file that ends in the middle of a packet
/// is read up to there and has a warning.
pub fn read(path: &Path) -> Result<Capture, CaptureError> {
    let fail = |fault| CaptureError {
        path: path.to_owned(),
        fault,
    };
    let file = File::open(path).map_err(|error| fail(Fault::Open(error)))?;
    read_from(file, &Options::default()).map_err(fail)
}

/// Reads the Diameter messages of a capture from any source of bytes.
///
/// # Errors
///
/// [`Fault`], for the same reasons as [`read`].
pub fn read_from(source: impl Read + Send, options: &Options) -> Result<Capture, Fault> {
    let mut frames = Frames::open(source)?;
    let mut unwrapper = Unwrapper::default();
    let mut connections = Connections::default();
    let mut associations = Associations::default();
    let mut out = Collector::new(options.clone());
    let (mut supported, mut unsupported) = (0_u64, None);

    while let Some(frame) = frames.next()? {
        let stamp = frame.stamp;
        match unwrapper.unwrap(&frame) {
            Layers::Transport(datagram) => {
                supported += 1;
                match &datagram.content {
                    Transported::Tcp(segment) => {
                        connections.take(&datagram, segment, stamp, &mut out)
                    }
                    Transported::Sctp(packet) => {
                        associations.take(&datagram, packet, stamp, &mut out)
                    }
                }
            }
            Layers::Cut { missing } => {
                supported += 1;
                out.warn(stamp.frame, None, WarningKind::PacketCut { missing });
            }
            Layers::FragmentsDropped => {
                supported += 1;
                out.warn(stamp.frame, None, WarningKind::FragmentsLost);
            }
            Layers::Other => supported += 1,
            Layers::UnsupportedLink => {
                let (_, count) = unsupported.get_or_insert((frame.link_type, 0_u64));
                *count += 1;
                if *count == 1 {
                    out.warn(
                        stamp.frame,
                        None,
                        WarningKind::LinkType {
                            number: frame.link_type,
                        },
                    );
                }
            }
        }
        if out.bytes() > MESSAGE_BYTES_MAX {
            return Err(Fault::TooMuch { frame: stamp.frame });
        }
    }
    if let (0, Some((number, _))) = (supported, unsupported) {
        return Err(Fault::LinkType { number });
    }
    if let Some(frame) = frames.cut_after() {
        out.warn(frame, None, WarningKind::FileCut);
    }
    unwrapper.finish(&mut out);
    connections.finish(&mut out);
    associations.finish(&mut out);
    Ok(out.finish(frames.count()))
}

//----------- Capture --------------------------------------------------------

/// What a capture file holds of Diameter.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// The messages, in the order in which each became complete.
    pub messages: Vec<Message>,
    /// The conversations that carried Diameter, in the order of their first
    /// frame; a [`FlowId`] is an index into them.
    pub flows: Vec<Flow>,
    /// What could not be read, in the order of the frames.
    pub warnings: Vec<Warning>,
    /// How many more warnings there were than are kept.
    pub warnings_left_out: u64,
    /// How many frames the file has.
    pub frames: u64,
}

impl Capture {
    /// The flow of a message or a warning of this capture.
    #[must_use]
    pub fn flow(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(id.0 as usize)
    }
}

/// One Diameter message and how it travelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When it was complete: nanoseconds since 1970-01-01 00:00:00 UTC.
    pub time_ns: u64,
    /// The frame that completed it, numbered from 1 as other tools number them.
    pub frame: u64,
    /// The conversation.
    pub flow: FlowId,
    /// Which side sent it.
    pub direction: Direction,
    /// The transport, as in its flow.
    pub transport: Transport,
    /// The SCTP stream identifier; 0 over TCP.
    pub stream: u16,
    /// The SCTP payload protocol identifier: 46 is Diameter (RFC 6733 clause
    /// 11.5), 0 is unspecified. None over TCP.
    pub payload_protocol: Option<u32>,
    /// The whole message, from the version octet to the last padding.
    pub bytes: Vec<u8>,
}

impl Message {
    /// When it was complete, to the second.
    #[must_use]
    pub fn unix_time(&self) -> UnixTime {
        UnixTime(i64::try_from(self.time_ns / 1_000_000_000).unwrap_or(i64::MAX))
    }
}

/// One TCP connection or SCTP association, as an index into [`Capture::flows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u32);

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flow {}", self.0)
    }
}

/// One TCP connection or SCTP association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The transport.
    pub transport: Transport,
    /// The side that connected, or is taken to have: the sender of the SYN or
    /// INIT, else the one whose peer has a Diameter port, else the sender of
    /// the Capabilities-Exchange-Request, else of the first request. On a
    /// multi-homed SCTP association this is the address seen first.
    pub client: SocketAddr,
    /// The other side.
    pub server: SocketAddr,
    /// The first frame.
    pub first_frame: u64,
    /// How it began.
    pub opening: Opening,
    /// How it ended.
    pub ending: Ending,
}

/// The transport of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Sctp => "SCTP",
        })
    }
}

/// Which side of its flow sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From [`Flow::client`] to [`Flow::server`].
    FromClient,
    /// From [`Flow::server`] to [`Flow::client`].
    FromServer,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FromClient => "from the client",
            Self::FromServer => "from the server",
        })
    }
}

/// How a flow begins in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opening {
    /// With its SYN or INIT.
    Handshake,
    /// In its middle: the capture started later, or lost the handshake.
    MidStream,
}

/// How a flow ends in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// It was open when the capture ended.
    Open,
    /// By FIN or SHUTDOWN.
    Closed,
    /// By RST or ABORT.
    Reset,
    /// Its addresses and ports were used again by a new flow; the end itself
    /// was not captured.
    Replaced,
}

//----------- Warning --------------------------------------------------------

/// Something that a capture does not tell, or tells wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The frame at which it was noticed.
    pub frame: u64,
    /// Whose octets are concerned, if it is known.
    pub flow: Option<(FlowId, Direction)>,
    /// What is wrong.
    pub kind: WarningKind,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {}", self.frame)?;
        if let Some((flow, direction)) = self.flow {
            write!(f, ", {flow} {direction}")?;
        }
        write!(f, ": {}", self.kind)
    }
}

/// The kinds of [`Warning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// The file ends in the middle of the packet after this frame.
    FileCut,
    /// The packet is longer than what was captured of it.
    PacketCut {
        /// Octets that were not captured.
        missing: usize,
    },
    /// An IP datagram came in fragments that do not make a whole.
    FragmentsLost,
    /// Octets of a TCP stream are missing; the messages they belong to are
    /// lost, and reading goes on at the next one that can be recognised.
    Gap {
        /// Octets missing.
        bytes: u64,
    },
    /// An SCTP user message, or one direction of a TCP stream, ends before the
    /// Diameter message in it.
    MessageCut {
        /// Octets of the message that were there.
        bytes: usize,
    },
    /// Octets that are not Diameter on a flow that is; they are left out.
    NotDiameter {
        /// Octets left out in this direction, from this frame on.
        bytes: u64,
    },
    /// Packets of this link type are left out, from this frame on.
    LinkType {
        /// The number, as in the registry of link types.
        number: i32,
    },
    /// More conversations than are followed; new ones are left out.
    TooManyFlows,
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileCut => write!(f, "the file ends in the middle of the next packet"),
            Self::PacketCut { missing } => {
                write!(f, "{missing} octets of the packet were not captured")
            }
            Self::FragmentsLost => write!(
                f,
                "fragments of an IP datagram are missing or contradict each other"
            ),
            Self::Gap { bytes } => write!(f, "{bytes} octets of the stream were not captured"),
            Self::MessageCut { bytes } => {
                write!(f, "a message ends after {bytes} octets, before its length")
            }
            Self::NotDiameter { bytes } => write!(f, "{bytes} octets are not Diameter"),
            Self::LinkType { number } => write!(f, "packets of link type {number} are left out"),
            Self::TooManyFlows => write!(
                f,
                "more than {} conversations, new ones are left out",
                flow::FLOWS_MAX
            ),
        }
    }
}

//----------- CaptureError ---------------------------------------------------

/// A capture file that gives nothing.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct CaptureError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: Fault,
}

/// Why a capture gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// No octets at all.
    #[error("is empty, not a capture")]
    Empty,
    /// Neither of the two formats.
    #[error("is not a capture: it begins like neither pcap nor pcapng")]
    NotACapture,
    /// Ends before the first packet could.
    #[error("is truncated: it ends within the file header")]
    HeaderCut,
    /// A packet or block whose own description is impossible.
    #[error("is damaged after frame {frame}: a packet or block that contradicts its own length")]
    Damaged {
        /// The last good frame; 0 if there is none.
        frame: u64,
    },
    /// A block that is longer than is read.
    #[error("is damaged after frame {frame}: a packet or block of more than {} MiB", file::BLOCK_LEN_MAX >> 20)]
    BlockTooLong {
        /// The last good frame; 0 if there is none.
        frame: u64,
    },
    /// All packets are of a link type that is not read.
    #[error(
        "has link type {number}, which is not supported (Ethernet, Linux cooked, raw IP and BSD loopback are)"
    )]
    LinkType {
        /// The number, as in the registry of link types.
        number: i32,
    },
    /// More Diameter than fits in memory.
    #[error("holds more than {} MiB of Diameter messages up to frame {frame}; split it", MESSAGE_BYTES_MAX >> 20)]
    TooMuch {
        /// Where the limit was reached.
        frame: u64,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{ACK, Pair, SYN, message, pcap, pcapng};
    use super::*;

    #[test]
    fn errors_name_the_file_and_what_is_wrong() {
        let missing = read(Path::new("no/such/file.pcap"))
            .unwrap_err()
            .to_string();
        assert!(
            missing.starts_with("no/such/file.pcap: cannot be opened: "),
            "{missing}"
        );
        let folder = tempfile::tempdir().unwrap();
        let directory = read(folder.path()).unwrap_err().to_string();
        assert!(directory.contains(": cannot be read: "), "{directory}");
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "not a capture").unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .ends_with("begins like neither pcap nor pcapng")
        );
    }

    #[test]
    fn one_foreign_interface_does_not_spoil_the_others() {
        let good = Pair::v4().tcp(0, SYN | ACK, &message(257, 1, 20));
        let file = pcapng(false)
            .interface(147, 0, &[])
            .interface(101, 0, &[])
            .packet(0, 0, b"who knows", 9)
            .packet(0, 0, b"who knows", 9)
            .packet(1, 0, &good, good.len())
            .bytes();
        let capture = read_from(file.as_slice(), &Options::default()).unwrap();
        assert_eq!(capture.messages.len(), 1);
        let warnings: Vec<_> = capture.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, ["frame 1: packets of link type 147 are left out"]);
    }

    #[test]
    fn the_port_can_be_chosen() {
        let mut pair = Pair::v4();
        pair.server.set_port(13868);
        // A command code that content alone does not vouch for.
        let sent = pair.tcp(0, SYN, &message(9, 1, 20));
        let file = pcap(false, false, 101, &[(0, 0, &sent, sent.len())]);
        let count = |ports| {
            read_from(file.as_slice(), &Options { ports })
                .unwrap()
                .messages
                .len()
        };
        assert_eq!((count(vec![3868]), count(vec![13868])), (0, 1));
    }

    proptest! {
        #[test]
        fn no_octets_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), start in 0_usize..4) {
            let starts = [
                Vec::new(),
                pcap(false, false, 101, &[]),
                pcap(true, true, 1, &[]),
                pcapng(true).interface(101, 0, &[]).bytes(),
            ];
            let file = [starts[start].as_slice(), &bytes].concat();
            let _ = read_from(file.as_slice(), &Options::default());
        }

        #[test]
        fn no_change_of_a_real_capture_panics(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
            file in 0_usize..3,
            len in any::<prop::sample::Index>(),
        ) {
            let mut bytes = [
                &include_bytes!("../../captures/open5gs-sctp-diameter-3-attaches.pcap")[..],
                include_bytes!("../../captures/open5gs-drop-then-reopen-3-dwr.pcap"),
                include_bytes!("../../captures/s13-sctp.pcap"),
            ][file].to_vec();
            for (at, octet) in changes {
                let at = at.index(bytes.len());
                bytes[at] = octet;
            }
            bytes.truncate(len.index(bytes.len() + 1));
            let _ = read_from(bytes.as_slice(), &Options::default());
        }
    }
}
