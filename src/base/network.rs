//! Networks of addresses, as CIDR writes them (RFC 4632, RFC 4291 section
//! 2.3): `192.0.2.0/24`, `2001:db8::/32`.

use core::fmt;

use crate::wire::compose::HostAddress;

/// All addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address: all bits behind the prefix are 0.
    first: HostAddress,
    /// How many bits are alike.
    prefix_len: u8,
}

/// Why an address and a length are no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// The prefix is longer than an address, which has so many bits.
    TooLong(u8),
    /// The address has bits behind the prefix: most likely it was meant as a
    /// longer prefix, or as this network.
    HostBits(Network),
}

impl Network {
    /// The network of all addresses that have the first `prefix_len` bits of
    /// `first`.
    ///
    /// # Errors
    ///
    /// Of a prefix that is too long, or an address that is not the first.
    pub fn new(first: HostAddress, prefix_len: u8) -> Result<Self, NetworkError> {
        let (bits, value) = number(first);
        let Some(free) = bits.checked_sub(prefix_len) else {
            return Err(NetworkError::TooLong(bits));
        };
        let masked = value & mask(free);
        let network = Self {
            first: address(first, masked),
            prefix_len,
        };
        match masked == value {
            true => Ok(network),
            false => Err(NetworkError::HostBits(network)),
        }
    }

    /// The network of one address.
    #[must_use]
    pub const fn host(address: HostAddress) -> Self {
        Self {
            first: address,
            prefix_len: number(address).0,
        }
    }

    /// Whether the address is one of this network.
    #[must_use]
    pub fn contains(&self, address: HostAddress) -> bool {
        let (bits, first) = number(self.first);
        let (other_bits, value) = number(address);
        let free = bits.saturating_sub(self.prefix_len);
        bits == other_bits && value & mask(free) == first
    }
}

/// How many bits an address has, and the number that they are.
const fn number(address: HostAddress) -> (u8, u128) {
    match address {
        HostAddress::V4(octets) => (32, u32::from_be_bytes(octets) as u128),
        HostAddress::V6(octets) => (128, u128::from_be_bytes(octets)),
    }
}

/// All bits but the last `free`.
fn mask(free: u8) -> u128 {
    u128::MAX.checked_shl(free.into()).unwrap_or(0)
}

/// The address of the same family as `like` that is this number.
fn address(like: HostAddress, value: u128) -> HostAddress {
    let octets = value.to_be_bytes();
    match like {
        HostAddress::V4(_) => {
            let [.., a, b, c, d] = octets;
            HostAddress::V4([a, b, c, d])
        }
        HostAddress::V6(_) => HostAddress::V6(octets),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            HostAddress::V4([a, b, c, d]) => write!(f, "{a}.{b}.{c}.{d}")?,
            HostAddress::V6(octets) => {
                // Without the longest run of zeros left out only at the end,
                // which is where networks have it.
                let groups = octets.as_chunks::<2>().0.iter();
                let groups: Vec<u16> = groups.map(|pair| u16::from_be_bytes(*pair)).collect();
                let used = groups.iter().rposition(|group| *group != 0);
                let used = used.map_or(0, |last| last.saturating_add(1));
                for (number, group) in groups.iter().take(used).enumerate() {
                    let colon = if number == 0 { "" } else { ":" };
                    write!(f, "{colon}{group:x}")?;
                }
                if used < groups.len() {
                    f.write_str(if used == 7 { ":0" } else { "::" })?;
                }
            }
        }
        write!(f, "/{}", self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, by looking at each bit.
    fn naive(first: &[u8], prefix_len: u8, other: &[u8]) -> bool {
        let bit = |octets: &[u8], at: u8| octets[usize::from(at / 8)] >> (7 - at % 8) & 1;
        first.len() == other.len() && (0..prefix_len).all(|at| bit(first, at) == bit(other, at))
    }

    #[test]
    fn a_network_has_what_begins_alike() {
        let v4 = [
            [0u8; 4],
            [10, 0, 0, 0],
            [10, 1, 2, 3],
            [192, 0, 2, 128],
            [255; 4],
        ];
        let mut v6 = [[0u8; 16], [0xff; 16], [0; 16], [0; 16]];
        v6[2][..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        v6[3] = v6[2];
        v6[3][15] = 1;
        let all: Vec<HostAddress> = (v4.map(HostAddress::V4).into_iter())
            .chain(v6.map(HostAddress::V6))
            .collect();
        let octets = |address: &HostAddress| match address {
            HostAddress::V4(octets) => octets.to_vec(),
            HostAddress::V6(octets) => octets.to_vec(),
        };
        for first in &all {
            let bits = number(*first).0;
            assert_eq!(
                Network::new(*first, bits + 1),
                Err(NetworkError::TooLong(bits))
            );
            for prefix_len in 0..=bits {
                let network = match Network::new(*first, prefix_len) {
                    Ok(network) => network,
                    Err(NetworkError::HostBits(network)) => network,
                    Err(error) => panic!("{error:?}"),
                };
                for other in &all {
                    let want = naive(&octets(first), prefix_len, &octets(other));
                    assert_eq!(network.contains(*other), want, "{network} {other:?}");
                }
            }
        }
    }

    #[test]
    fn bits_behind_the_prefix_are_no_network() {
        let address = HostAddress::V4([10, 1, 2, 3]);
        let meant = Network::new(HostAddress::V4([10, 0, 0, 0]), 8).unwrap();
        assert_eq!(Network::new(address, 8), Err(NetworkError::HostBits(meant)));
        assert_eq!(Network::new(address, 32), Ok(Network::host(address)));
    }

    #[test]
    fn networks_print_as_they_are_written() {
        let v6 = |groups: [u16; 8]| {
            let mut octets = [0; 16];
            for (place, group) in octets.as_chunks_mut::<2>().0.iter_mut().zip(groups) {
                *place = group.to_be_bytes();
            }
            HostAddress::V6(octets)
        };
        for (first, prefix_len, text) in [
            (HostAddress::V4([10, 0, 0, 0]), 8, "10.0.0.0/8"),
            (v6([0; 8]), 0, "::/0"),
            (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0]), 32, "2001:db8::/32"),
            (v6([0, 0, 0, 0, 0, 0, 0, 1]), 128, "0:0:0:0:0:0:0:1/128"),
            (v6([1, 2, 3, 4, 5, 6, 7, 0]), 112, "1:2:3:4:5:6:7:0/112"),
        ] {
            assert_eq!(Network::new(first, prefix_len).unwrap().to_string(), text);
            let (address, _) = text.split_once('/').unwrap();
            // The library's reading is the judge of the writing.
            let read: core::net::IpAddr = address.parse().unwrap();
            let octets = match read {
                core::net::IpAddr::V4(v4) => HostAddress::V4(v4.octets()),
                core::net::IpAddr::V6(v6) => HostAddress::V6(v6.octets()),
            };
            assert_eq!(octets, first);
        }
    }
}
