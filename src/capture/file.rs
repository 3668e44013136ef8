//! The two file formats: pcap and pcapng, either byte order, as frames.

use std::io::{self, Cursor, Read};
use std::sync::{Arc, OnceLock};

use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{Block, InterfaceDescriptionBlock, PcapBlockOwned, PcapError, create_reader};

use super::Fault;
use super::flow::Stamp;

/// The longest packet or block that is read: 16 MiB, sixty times the largest
/// snapshot length that capturing tools use.
pub(super) const BLOCK_LEN_MAX: usize = 16 << 20;

/// The octets that a pcapng block has at least, by its own account.
const BLOCK_LEN_MIN: u32 = 12;

/// What is read at once, and room for any usual block.
const BUFFER_LEN: usize = 256 << 10;

/// The first octets of a pcapng file, the same in either byte order.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The block type of the Packet Block that pcapng had before the Enhanced
/// Packet Block. It is not read, but counts as a frame.
const OBSOLETE_PACKET_BLOCK: u32 = 2;

/// A packet as it was captured.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// Its number and time.
    pub(super) stamp: Stamp,
    /// The link type, as in the registry of link types.
    pub(super) link_type: i32,
    /// What was captured of it.
    pub(super) data: &'a [u8],
    /// Octets that were not captured.
    pub(super) missing: usize,
}

/// The frames of a file, one after the other.
pub(super) struct Frames<'s> {
    /// The parser of the format.
    reader: Box<dyn PcapReaderIterator + Send + 's>,
    /// Room in the parser's buffer.
    capacity: usize,
    /// What the headers have said so far.
    context: Context,
    /// The data of the current frame.
    data: Vec<u8>,
    /// Why the source failed, if it did.
    failure: Failure,
    /// Whether it is pcapng.
    is_pcapng: bool,
    /// Whether the file ends in the middle of something.
    cut: bool,
}

impl<'s> Frames<'s> {
    /// Recognises the format and reads the file's header.
    pub(super) fn open(mut source: impl Read + Send + 's) -> Result<Self, Fault> {
        let mut magic = Vec::new();
        source
            .by_ref()
            .take(4)
            .read_to_end(&mut magic)
            .map_err(Fault::Read)?;
        if magic.is_empty() {
            return Err(Fault::Empty);
        }
        let is_pcapng = magic == PCAPNG_MAGIC;
        let failure = Failure::default();
        let source = Patient {
            inner: Cursor::new(magic).chain(source),
            failure: Arc::clone(&failure),
        };
        let reader = create_reader(BUFFER_LEN, source).map_err(|error| match error {
            PcapError::ReadError => take_failure(&failure),
            PcapError::Incomplete(_) => Fault::HeaderCut,
            _ if is_pcapng => Fault::HeaderCut,
            _ => Fault::NotACapture,
        })?;
        Ok(Self {
            reader,
            capacity: BUFFER_LEN,
            context: Context::default(),
            data: Vec::new(),
            failure,
            is_pcapng,
            cut: false,
        })
    }

    /// The next frame, or None at the end.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, Fault> {
        loop {
            if self.is_pcapng && self.context.is_impossible(self.reader.data()) {
                return Err(Fault::Damaged {
                    frame: self.context.frames,
                });
            }
            let want = match self.reader.next() {
                Ok((len, block)) => {
                    let found = self.context.note(&block, &mut self.data);
                    drop(block);
                    self.reader.consume(len);
                    match found? {
                        Some(head) => return Ok(Some(head.with(&self.data))),
                        None => continue,
                    }
                }
                Err(error) => Want::from(error),
            };
            match want {
                Want::Nothing => return Ok(None),
                Want::CutOff => {
                    self.cut = true;
                    return Ok(None);
                }
                Want::Octets => self.refill()?,
                Want::Room => {
                    if self.capacity >= BLOCK_LEN_MAX {
                        return Err(Fault::BlockTooLong {
                            frame: self.context.frames,
                        });
                    }
                    self.capacity *= 2;
                    self.reader.grow(self.capacity);
                    self.refill()?;
                }
                Want::Sense => {
                    return Err(Fault::Damaged {
                        frame: self.context.frames,
                    });
                }
            }
        }
    }

    /// How many frames there were.
    pub(super) fn count(&self) -> u64 {
        self.context.frames
    }

    /// The last whole frame, if the file ends in the middle of the next one.
    pub(super) fn cut_after(&self) -> Option<u64> {
        self.cut.then_some(self.context.frames)
    }

    /// Reads on. A parser that wants more although its buffer is full would
    /// never get it, so that counts as damage.
    fn refill(&mut self) -> Result<(), Fault> {
        let before = self.reader.data().len();
        if self.reader.refill().is_err() {
            return Err(take_failure(&self.failure));
        }
        if self.reader.data().len() == before && !self.reader.reader_exhausted() {
            return Err(Fault::Damaged {
                frame: self.context.frames,
            });
        }
        Ok(())
    }
}

/// What the parser lacks, when it gives no block.
enum Want {
    /// Nothing: the file ended.
    Nothing,
    /// The rest of a block that the file does not have.
    CutOff,
    /// More octets.
    Octets,
    /// A larger buffer.
    Room,
    /// A block that makes sense.
    Sense,
}

impl From<PcapError<&[u8]>> for Want {
    fn from(error: PcapError<&[u8]>) -> Self {
        match error {
            PcapError::Eof => Self::Nothing,
            PcapError::UnexpectedEof => Self::CutOff,
            PcapError::Incomplete(_) => Self::Octets,
            PcapError::BufferTooSmall => Self::Room,
            PcapError::ReadError
            | PcapError::HeaderNotRecognized
            | PcapError::NomError(..)
            | PcapError::OwnedNomError(..) => Self::Sense,
        }
    }
}

//----------- Context --------------------------------------------------------

/// What a file's headers say about the packets after them.
#[derive(Debug, Default)]
struct Context {
    /// Frames so far.
    frames: u64,
    /// The time of the last frame, for packets that have none of their own.
    time_ns: u64,
    /// Whether the pcapng section is big-endian.
    big_endian: bool,
    /// The section's interfaces; for pcap the only one.
    interfaces: Vec<Interface>,
}

/// One capturing interface.
#[derive(Clone, Copy, Debug)]
struct Interface {
    /// The link type.
    link_type: i32,
    /// The most that is captured of a packet; 0 is no limit.
    snapshot_len: u32,
    /// Units of time in a second.
    units: u128,
    /// Seconds to add to each time.
    offset_secs: i64,
}

impl Interface {
    /// A time in this interface's units as nanoseconds since 1970, saturating.
    fn time_ns(&self, time: u64) -> u64 {
        let ns = u128::from(time) * 1_000_000_000 / self.units;
        let ns = i128::try_from(ns).unwrap_or(i128::MAX);
        let ns = ns.saturating_add(i128::from(self.offset_secs) * 1_000_000_000);
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}

impl From<(&InterfaceDescriptionBlock<'_>, bool)> for Interface {
    fn from((block, big_endian): (&InterfaceDescriptionBlock<'_>, bool)) -> Self {
        // The highest bit chooses powers of two; the parser's own conversion
        // gives none of those, and reads the offset as little-endian only.
        let exponent = u32::from(block.if_tsresol & 0x7f);
        let units = if block.if_tsresol & 0x80 == 0 {
            10_u128
        } else {
            2
        }
        .checked_pow(exponent);
        let offset = block.if_tsoffset;
        Self {
            link_type: block.linktype.0,
            snapshot_len: block.snaplen,
            units: units.unwrap_or(u128::MAX),
            offset_secs: if big_endian {
                offset.swap_bytes()
            } else {
                offset
            },
        }
    }
}

/// A frame without its data.
struct Head {
    /// Number and time.
    stamp: Stamp,
    /// The link type.
    link_type: i32,
    /// The length on the wire.
    original_len: usize,
}

impl Head {
    /// The frame.
    fn with(self, data: &[u8]) -> Frame<'_> {
        Frame {
            stamp: self.stamp,
            link_type: self.link_type,
            data,
            missing: self.original_len.saturating_sub(data.len()),
        }
    }
}

impl Context {
    /// Whether what comes next in a pcapng file says that it is shorter than any
    /// block can be: its type and twice its length. The parser counts on it that
    /// nobody does, but for the section header, whose length may be in another
    /// order of octets.
    fn is_impossible(&self, data: &[u8]) -> bool {
        let Some((kind, rest)) = data.split_first_chunk::<4>() else {
            return false;
        };
        let Some(&length) = rest.first_chunk::<4>() else {
            return false;
        };
        let length = match self.big_endian {
            true => u32::from_be_bytes(length),
            false => u32::from_le_bytes(length),
        };
        *kind != PCAPNG_MAGIC && length < BLOCK_LEN_MIN
    }

    /// Takes a block: remembers what it says, or copies the packet in it.
    fn note(
        &mut self,
        block: &PcapBlockOwned<'_>,
        data: &mut Vec<u8>,
    ) -> Result<Option<Head>, Fault> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let nanoseconds = matches!(header.magic_number, 0xa1b2_3c4d | 0x4d3c_b2a1);
                self.interfaces = vec![Interface {
                    // The upper half holds the length of a frame check sequence.
                    link_type: header.network.0 & 0xffff,
                    snapshot_len: 0,
                    units: if nanoseconds {
                        1_000_000_000
                    } else {
                        1_000_000
                    },
                    offset_secs: 0,
                }];
                Ok(None)
            }
            PcapBlockOwned::Legacy(packet) => {
                let interface = self.interface(0)?;
                let time = u128::from(packet.ts_sec) * interface.units + u128::from(packet.ts_usec);
                let time = u64::try_from(time).unwrap_or(u64::MAX);
                let head = self.head(interface, interface.time_ns(time), packet.origlen);
                copy(packet.data, data);
                Ok(Some(head))
            }
            PcapBlockOwned::NG(Block::SectionHeader(header)) => {
                self.big_endian = header.big_endian();
                self.interfaces.clear();
                Ok(None)
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                self.interfaces
                    .push(Interface::from((interface, self.big_endian)));
                Ok(None)
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = self.interface(packet.if_id)?;
                let time = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let head = self.head(interface, interface.time_ns(time), packet.origlen);
                copy(packet.packet_data(), data);
                Ok(Some(head))
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let interface = self.interface(0)?;
                let limit = if interface.snapshot_len == 0 {
                    u32::MAX
                } else {
                    interface.snapshot_len
                };
                let len = packet.origlen.min(limit) as usize;
                // The block has padding, but neither a captured length nor a time.
                let captured = packet.data.get(..len).unwrap_or(packet.data);
                let head = self.head(interface, self.time_ns, packet.origlen);
                copy(captured, data);
                Ok(Some(head))
            }
            PcapBlockOwned::NG(Block::Unknown(unknown)) => {
                let kind = if self.big_endian {
                    unknown.block_type.swap_bytes()
                } else {
                    unknown.block_type
                };
                self.frames += u64::from(kind == OBSOLETE_PACKET_BLOCK);
                Ok(None)
            }
            PcapBlockOwned::NG(_) => Ok(None),
        }
    }

    /// Counts a frame.
    fn head(&mut self, interface: Interface, time_ns: u64, original_len: u32) -> Head {
        self.frames += 1;
        self.time_ns = time_ns;
        Head {
            stamp: Stamp {
                frame: self.frames,
                time_ns,
            },
            link_type: interface.link_type,
            original_len: original_len as usize,
        }
    }

    /// An interface of this section.
    fn interface(&self, number: u32) -> Result<Interface, Fault> {
        self.interfaces
            .get(number as usize)
            .copied()
            .ok_or(Fault::Damaged { frame: self.frames })
    }
}

/// Puts a packet where it outlives the parser's buffer.
fn copy(from: &[u8], to: &mut Vec<u8>) {
    to.clear();
    to.extend_from_slice(from);
}

//----------- Patient --------------------------------------------------------

/// Where a source leaves its error: the parser reports only that there is one.
type Failure = Arc<OnceLock<io::Error>>;

/// The error that was left.
fn take_failure(failure: &Failure) -> Fault {
    let error = failure
        .get()
        .map_or_else(|| "unknown error".to_owned(), ToString::to_string);
    Fault::Read(io::Error::other(error))
}

/// A source that fills the buffer it is given as long as there is more, since
/// the parser judges the format by what the first read returns.
struct Patient<R> {
    /// The source.
    inner: R,
    /// Where its error goes.
    failure: Failure,
}

impl<R: Read> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    // Only the first error matters, so a full cell is no loss.
                    let _ = self.failure.set(error);
                    return Err(kind.into());
                }
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pcap, pcapng};
    use super::*;

    /// Number, time, link type, data and missing octets of a frame.
    type Row = (u64, u64, i32, Vec<u8>, usize);

    /// All frames of a file.
    fn frames(file: &[u8]) -> Result<Vec<Row>, Fault> {
        let mut frames = Frames::open(file)?;
        let mut all = Vec::new();
        while let Some(frame) = frames.next()? {
            let stamp = frame.stamp;
            all.push((
                stamp.frame,
                stamp.time_ns,
                frame.link_type,
                frame.data.to_vec(),
                frame.missing,
            ));
        }
        Ok(all)
    }

    #[test]
    fn pcap_is_read_in_either_order_and_both_precisions() {
        let want = vec![
            (1, 7_000_000_009_000, 101, b"one".to_vec(), 0),
            (2, 8_000_000_000_000, 101, vec![], 5),
        ];
        for (big_endian, nanoseconds, fraction) in [
            (false, false, 9),
            (true, false, 9),
            (false, true, 9000),
            (true, true, 9000),
        ] {
            let file = pcap(
                big_endian,
                nanoseconds,
                101,
                &[(7000, fraction, b"one", 3), (8000, 0, b"", 5)],
            );
            assert_eq!(frames(&file).unwrap(), want, "{big_endian} {nanoseconds}");
        }
    }

    #[test]
    fn pcapng_is_read_with_the_clock_of_each_interface() {
        for big_endian in [false, true] {
            let file = pcapng(big_endian)
                .interface(1, 0, &[])
                .interface(113, 0, &[(9, &[9])])
                // 2^-1 s, and a hundred seconds later than it says.
                .interface(
                    101,
                    0,
                    &[
                        (9, &[0x81]),
                        (
                            14,
                            &if big_endian {
                                100_i64.to_be_bytes()
                            } else {
                                100_i64.to_le_bytes()
                            },
                        ),
                    ],
                )
                .packet(0, 5_000_001, b"micro", 5)
                .packet(1, 5_000_000_002, b"nano!!", 6)
                .packet(2, 11, b"half", 40)
                .bytes();
            let want = vec![
                (1, 5_000_001_000, 1, b"micro".to_vec(), 0),
                (2, 5_000_000_002, 113, b"nano!!".to_vec(), 0),
                (3, 105_500_000_000, 101, b"half".to_vec(), 36),
            ];
            assert_eq!(frames(&file).unwrap(), want, "{big_endian}");
        }
    }

    #[test]
    fn simple_packets_and_further_sections_are_read() {
        let first = pcapng(false)
            .interface(1, 4, &[])
            .simple(b"abcdefgh", 4)
            .bytes();
        let second = pcapng(true)
            .interface(101, 0, &[])
            .packet(0, 1, b"x", 1)
            .bytes();
        let got = frames(&[first, second].concat()).unwrap();
        assert_eq!(
            got,
            vec![
                (1, 0, 1, b"abcd".to_vec(), 4),
                (2, 1000, 101, b"x".to_vec(), 0)
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let name = |file: &[u8]| {
            frames(file)
                .map(|all| all.len())
                .map_err(|fault| fault.to_string())
        };
        assert!(name(b"").unwrap_err().contains("empty"));
        assert!(name(b"hello, world").unwrap_err().contains("not a capture"));
        let good = pcap(false, false, 1, &[(0, 0, b"abc", 3), (0, 0, b"abc", 3)]);
        assert!(name(&good[..20]).unwrap_err().contains("truncated"));
        let section = pcapng(false).bytes();
        assert!(name(&section[..20]).unwrap_err().contains("truncated"));
        let stray = pcapng(false).packet(3, 0, b"no such interface", 17).bytes();
        assert!(name(&stray).unwrap_err().contains("damaged after frame 0"));
        for big_endian in [false, true] {
            let mut short = pcapng(big_endian).bytes();
            // Process information, and a type that nobody knows.
            for (kind, length) in [(0x8000_0001_u32, 0_u32), (0x8000_0001, 11), (0x77, 8)] {
                let words = [kind, length, length];
                short.extend(words.into_iter().flat_map(|word| match big_endian {
                    true => word.to_be_bytes(),
                    false => word.to_le_bytes(),
                }));
                assert!(name(&short).unwrap_err().contains("damaged after frame 0"));
                short.truncate(short.len() - 12);
            }
        }
        let mut long = pcap(false, false, 1, &[(0, 0, b"abc", 3)]);
        long[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(
            name(&long),
            Ok(0),
            "no different from a file that ends early"
        );
        long.resize(BLOCK_LEN_MAX + BUFFER_LEN, 0);
        assert!(name(&long).unwrap_err().contains("more than 16 MiB"));
    }

    #[test]
    fn a_file_that_ends_early_gives_what_it_has() {
        let good = pcap(false, false, 1, &[(0, 0, b"abc", 3), (0, 0, b"defg", 4)]);
        for len in good.len() - 19..good.len() {
            let mut frames = Frames::open(&good[..len]).unwrap();
            assert_eq!(frames.next().unwrap().unwrap().data, b"abc");
            assert!(frames.next().unwrap().is_none());
            assert_eq!(frames.cut_after(), Some(1), "{len}");
        }
    }

    #[test]
    fn a_block_larger_than_the_buffer_is_read() {
        let data = vec![7; BUFFER_LEN * 3];
        let file = pcapng(false)
            .interface(1, 0, &[])
            .packet(0, 0, &data, data.len())
            .bytes();
        assert_eq!(frames(&file).unwrap()[0].3, data);
    }
}
