//! Captures written octet by octet, for tests: nothing here uses the libraries
//! that the reader uses, so that a mistake in one shows in the other.

use std::net::{IpAddr, SocketAddr};

use super::{Capture, Options, read_from};

/// A Diameter request of `len` octets, told apart by `id`.
pub(crate) fn message(command: u32, id: u32, len: usize) -> Vec<u8> {
    let mut bytes = (0x0100_0000 | len as u32).to_be_bytes().to_vec();
    bytes.extend((0x8000_0000 | command).to_be_bytes());
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend(id.to_be_bytes());
    // Never 1, so that nothing in it looks like another header.
    bytes.extend((20..len).map(|at| 0xa0 | (at as u8 & 0x0f)));
    bytes
}

/// The same with the R bit clear.
pub(crate) fn answer(command: u32, id: u32, len: usize) -> Vec<u8> {
    let mut bytes = message(command, id, len);
    bytes[4] = 0;
    bytes
}

/// A number in either byte order.
fn u32_in(big_endian: bool, number: u32) -> [u8; 4] {
    if big_endian {
        number.to_be_bytes()
    } else {
        number.to_le_bytes()
    }
}

/// A pcap file of packets: seconds, fraction, data, original length.
pub(crate) fn pcap(
    big_endian: bool,
    nanoseconds: bool,
    link_type: u32,
    packets: &[(u32, u32, &[u8], usize)],
) -> Vec<u8> {
    let order = |number| u32_in(big_endian, number);
    let mut file = Vec::new();
    file.extend(order(if nanoseconds {
        0xa1b2_3c4d
    } else {
        0xa1b2_c3d4
    }));
    file.extend(if big_endian {
        [0, 2, 0, 4]
    } else {
        [2, 0, 4, 0]
    });
    for number in [0, 0, 0x4_0000, link_type] {
        file.extend(order(number));
    }
    for (seconds, fraction, data, original) in packets {
        for number in [*seconds, *fraction, data.len() as u32, *original as u32] {
            file.extend(order(number));
        }
        file.extend(*data);
    }
    file
}

/// A pcapng file in the making.
pub(crate) struct Pcapng {
    /// Whether its section is big-endian.
    big_endian: bool,
    /// The blocks so far.
    bytes: Vec<u8>,
}

/// Begins a pcapng file with a section header.
pub(crate) fn pcapng(big_endian: bool) -> Pcapng {
    let file = Pcapng {
        big_endian,
        bytes: Vec::new(),
    };
    let mut body = file.u32(0x1a2b_3c4d).to_vec();
    body.extend(if big_endian {
        [0, 1, 0, 0]
    } else {
        [1, 0, 0, 0]
    });
    body.extend([0xff; 8]);
    file.block(0x0a0d_0d0a, &body)
}

impl Pcapng {
    /// A number in the section's byte order.
    fn u32(&self, number: u32) -> [u8; 4] {
        u32_in(self.big_endian, number)
    }

    /// Adds a block.
    fn block(mut self, kind: u32, body: &[u8]) -> Self {
        let padding = body.len().next_multiple_of(4) - body.len();
        let len = self.u32((12 + body.len() + padding) as u32);
        self.bytes.extend(self.u32(kind));
        self.bytes.extend(len);
        self.bytes.extend(body);
        self.bytes.extend(std::iter::repeat_n(0, padding));
        self.bytes.extend(len);
        self
    }

    /// Adds an interface with options: code and value.
    pub(crate) fn interface(
        self,
        link_type: u16,
        snapshot_len: u32,
        options: &[(u16, &[u8])],
    ) -> Self {
        let u16_in = |number: u16| {
            if self.big_endian {
                number.to_be_bytes()
            } else {
                number.to_le_bytes()
            }
        };
        let mut body = [u16_in(link_type), u16_in(0)].concat();
        body.extend(self.u32(snapshot_len));
        for (code, value) in options {
            body.extend(u16_in(*code));
            body.extend(u16_in(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    /// Adds an enhanced packet.
    pub(crate) fn packet(self, interface: u32, time: u64, data: &[u8], original: usize) -> Self {
        let numbers = [
            interface,
            (time >> 32) as u32,
            time as u32,
            data.len() as u32,
            original as u32,
        ];
        let mut body: Vec<u8> = numbers
            .iter()
            .flat_map(|number| self.u32(*number))
            .collect();
        body.extend(data);
        self.block(6, &body)
    }

    /// Adds a simple packet: what is captured of it is the first `captured`.
    pub(crate) fn simple(self, data: &[u8], captured: usize) -> Self {
        let mut body = self.u32(data.len() as u32).to_vec();
        body.extend(&data[..captured]);
        self.block(3, &body)
    }

    /// The file.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// An IP datagram, version 4 or 6 as the addresses are.
pub(crate) fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ipv4_part(
            source.octets(),
            destination.octets(),
            protocol,
            (0, 0, false),
            payload,
        ),
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut bytes = vec![0x60, 0, 0, 0];
            bytes.extend((payload.len() as u16).to_be_bytes());
            bytes.extend([protocol, 64]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend(payload);
            bytes
        }
        _ => panic!("two versions of IP in one datagram"),
    }
}

/// An IPv4 datagram or a fragment: identification, offset in octets, more.
pub(crate) fn ipv4_part(
    source: [u8; 4],
    destination: [u8; 4],
    protocol: u8,
    (identification, offset, more): (u16, u16, bool),
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((20 + payload.len() as u16).to_be_bytes());
    bytes.extend(identification.to_be_bytes());
    bytes.extend(((offset / 8) | if more { 0x2000 } else { 0 }).to_be_bytes());
    bytes.extend([64, protocol, 0, 0]);
    bytes.extend(source);
    bytes.extend(destination);
    bytes.extend(payload);
    bytes
}

/// TCP's flags.
pub(crate) const FIN: u8 = 1;
/// See [`FIN`].
pub(crate) const SYN: u8 = 2;
/// See [`FIN`].
pub(crate) const RST: u8 = 4;
/// See [`FIN`].
pub(crate) const ACK: u8 = 16;

/// A TCP segment without IP.
pub(crate) fn tcp(
    ports: (u16, u16),
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledgement.to_be_bytes());
    bytes.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

/// An SCTP packet without IP.
pub(crate) fn sctp(ports: (u16, u16), tag: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(chunks.concat());
    bytes
}

/// An SCTP chunk.
pub(crate) fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, flags];
    bytes.extend((4 + value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A DATA chunk. Flags: 2 begins, 1 ends.
pub(crate) fn data(flags: u8, tsn: u32, stream: u16, ppid: u32, bytes: &[u8]) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend(stream.to_be_bytes());
    value.extend([0, 0]);
    value.extend(ppid.to_be_bytes());
    value.extend(bytes);
    chunk(0, flags, &value)
}

/// Packets of raw IP, read as a capture; frame `n` is at second `n`.
pub(crate) fn read_packets(packets: &[Vec<u8>]) -> Capture {
    let records: Vec<(u32, u32, &[u8], usize)> = packets
        .iter()
        .enumerate()
        .map(|(at, packet)| (at as u32 + 1, 0, packet.as_slice(), packet.len()))
        .collect();
    read_from(
        pcap(false, false, 101, &records).as_slice(),
        &Options::default(),
    )
    .expect("a good file")
}

/// A pair of hosts and what they send one another over TCP.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    /// Who connects.
    pub(crate) client: SocketAddr,
    /// To whom.
    pub(crate) server: SocketAddr,
}

impl Pair {
    /// Over IPv4, from port 40000 to Diameter's.
    pub(crate) fn v4() -> Self {
        Self {
            client: "192.0.2.1:40000".parse().unwrap(),
            server: "192.0.2.2:3868".parse().unwrap(),
        }
    }

    /// The same the other way round.
    pub(crate) fn back(self) -> Self {
        Self {
            client: self.server,
            server: self.client,
        }
    }

    /// Source and destination port.
    pub(crate) fn ports(self) -> (u16, u16) {
        (self.client.port(), self.server.port())
    }

    /// A TCP segment from the client.
    pub(crate) fn tcp(self, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        ip(
            self.client.ip(),
            self.server.ip(),
            6,
            &tcp(self.ports(), sequence, 0, flags, payload),
        )
    }

    /// An SCTP packet from the client.
    pub(crate) fn sctp(self, tag: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
        ip(
            self.client.ip(),
            self.server.ip(),
            132,
            &sctp(self.ports(), tag, chunks),
        )
    }
}
