//! What is asked, and what the answer should be.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use bytes::BytesMut;
use weir::base::Node;
use weir::base::node::{Limits, NodeSettings};
use weir::base::watchdog::DEFAULT_INTERVAL;
use weir::equipment::Imei;
use weir::s13::request::{IdentityCheck, compose};
use weir::wire::DEFAULT_MESSAGE_LEN_MAX;

use crate::answer::Outcome;

/// Requests that are prepared, one for each outstanding at most: enough that
/// no cache of a server holds the answers to all of them.
pub const PREPARED: usize = 64 * 1024;

/// Where IMEIs come from: `FILE`, `FILE=OUTCOME` or `FILE=OUTCOME@WEIGHT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A file with one IMEI a line; of comma-separated lines, the first field
    /// counts, and lines without an IMEI there do not.
    pub path: PathBuf,
    /// What the answers should say; anything if absent.
    pub expected: Option<Outcome>,
    /// How often its IMEIs are asked about, compared with other sources.
    pub weight: u32,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (text, weight) = match text.rsplit_once('@') {
            Some((text, weight)) => match weight.parse() {
                Ok(weight @ 1..) => (text, weight),
                _ => return Err(format!("`{weight}` is no weight; write a number from 1")),
            },
            None => (text, 1),
        };
        let (path, expected) = match text.rsplit_once('=') {
            Some((path, outcome)) => (path, Some(outcome.parse()?)),
            None => (text, None),
        };
        Ok(Self {
            path: path.into(),
            expected,
            weight,
        })
    }
}

/// All requests, prepared.
#[derive(Debug)]
pub struct Script {
    /// Them, one behind the other.
    bytes: BytesMut,
    /// What each answer should say.
    expected: Vec<Option<Outcome>>,
    /// Octets of a request: all have the same.
    request_len: usize,
    /// Who asks.
    names: Names,
}

/// What a script is made of.
#[derive(Clone, Debug)]
pub struct Names {
    /// Origin-Host of the requests.
    pub origin_host: String,
    /// Origin-Realm of the requests.
    pub origin_realm: String,
    /// Destination-Realm.
    pub destination_realm: String,
}

impl Script {
    /// Prepares requests about devices of these sources, or about devices that
    /// hardly any list has if there are none.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or has no IMEI.
    pub fn new(names: &Names, sources: &[Source], seed: u64) -> Result<Self, String> {
        let node = node(&names.origin_host, &names.origin_realm);
        let mut random = Random(seed);
        let lists = sources
            .iter()
            .map(|source| Ok((source, read(source)?)))
            .collect::<Result<Vec<_>, String>>()?;
        let weights: u64 = sources.iter().map(|source| u64::from(source.weight)).sum();
        let mut bytes = BytesMut::new();
        let mut expected = Vec::with_capacity(PREPARED);
        for number in 0..PREPARED {
            let (imei, outcome) = match weights {
                0 => (random.next() % 100_000_000_000_000, None),
                _ => pick(&lists, random.next() % weights, random.next()),
            };
            // The widths are fixed, so that all requests are of one length.
            let check = IdentityCheck {
                session_id: &format!("{};{seed:08x};{number:05}", names.origin_host),
                destination_host: None,
                destination_realm: &names.destination_realm,
                imei: &format!("{imei:014}"),
                software_version: Some("01"),
                user_name: Some(&format!("00101{:010}", random.next() % 10_000_000_000)),
            };
            compose(&mut bytes, &node, (0, 0), &check);
            expected.push(outcome);
        }
        Ok(Self {
            request_len: bytes.len() / PREPARED,
            bytes,
            expected,
            names: names.clone(),
        })
    }

    /// The same, where any answer is right.
    pub fn without_expectations(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            expected: vec![None; self.expected.len()],
            request_len: self.request_len,
            names: self.names.clone(),
        }
    }

    /// The octets of a request, identifiers zero.
    pub fn request(&self, number: usize) -> &[u8] {
        let from = number % PREPARED * self.request_len;
        &self.bytes[from..from + self.request_len]
    }

    /// What the answer to it should say.
    pub fn expected(&self, number: usize) -> Option<Outcome> {
        self.expected[number % PREPARED]
    }

    /// Octets of each request.
    pub const fn request_len(&self) -> usize {
        self.request_len
    }

    /// The peer of one of many connections: a server may allow a peer one
    /// connection, so that each is a peer of its own, and a relay of the
    /// requests if there are several.
    pub fn peer(&self, number: usize) -> Node {
        let Names {
            origin_host,
            origin_realm,
            ..
        } = &self.names;
        match number {
            0 => node(origin_host, origin_realm),
            _ => node(&format!("n{number}.{origin_host}"), origin_realm),
        }
    }
}

/// One of the devices of one of the lists.
fn pick(lists: &[(&Source, Vec<u64>)], mut weight: u64, number: u64) -> (u64, Option<Outcome>) {
    for (source, imeis) in lists {
        match weight.checked_sub(u64::from(source.weight)) {
            Some(rest) => weight = rest,
            None => {
                let imei = imeis[(number % imeis.len() as u64) as usize];
                return (imei, source.expected);
            }
        }
    }
    (0, None)
}

/// The devices of a file.
fn read(source: &Source) -> Result<Vec<u64>, String> {
    let path = source.path.display();
    let text =
        fs::read_to_string(&source.path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let imeis: Vec<u64> = text
        .lines()
        .filter_map(|line| {
            let field = line.split(',').next().unwrap_or_default().trim();
            Some(Imei::parse(field.as_bytes()).ok()?.device.number())
        })
        .collect();
    if imeis.is_empty() {
        return Err(format!("{path} has no line that begins with an IMEI"));
    }
    Ok(imeis)
}

/// A node of this name.
fn node(origin_host: &str, origin_realm: &str) -> Node {
    Node::new(NodeSettings {
        origin_host: origin_host.to_owned(),
        origin_realm: origin_realm.to_owned(),
        realms: Vec::new(),
        vendor_id: 0,
        product_name: "weir-load".to_owned(),
        firmware_revision: 1,
        state_id: 0,
        limits: Limits {
            message_len_max: DEFAULT_MESSAGE_LEN_MAX,
            output_len_max: DEFAULT_MESSAGE_LEN_MAX,
            watchdog: DEFAULT_INTERVAL,
            handshake: DEFAULT_INTERVAL,
            drain: DEFAULT_INTERVAL,
        },
    })
}

/// A small generator (SplitMix64), so that every run asks the same.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            origin_host: "mme.localdomain".to_owned(),
            origin_realm: "localdomain".to_owned(),
            destination_realm: "localdomain".to_owned(),
        }
    }

    #[test]
    fn sources_are_read_as_written() {
        let source = |text: &str| text.parse::<Source>();
        assert_eq!(
            source("a=b.csv=blacklisted@9"),
            Ok(Source {
                path: "a=b.csv".into(),
                expected: Some(Outcome::Blacklisted),
                weight: 9,
            })
        );
        assert_eq!(source("a.csv").unwrap().expected, None);
        assert!(source("a.csv=blue").unwrap_err().contains("blue"));
        assert!(source("a.csv=unknown@0").unwrap_err().contains("`0`"));
    }

    #[test]
    fn all_requests_are_of_one_length_and_are_requests() {
        let script = Script::new(&names(), &[], 1).unwrap();
        for number in [0, 1, 9_999, 10_000, PREPARED - 1, PREPARED] {
            let request = script.request(number);
            let message = weir::wire::deframe(request, 1 << 16);
            let weir::wire::Deframed::Message(message) = message else {
                panic!("{message:?}")
            };
            assert_eq!(message.len(), script.request_len());
            assert!(message.header().is_request());
        }
    }

    #[test]
    fn weights_are_shares() {
        let dir = std::env::temp_dir().join(format!("weir-load-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let source = |name: &str, content: &str, expected, weight| {
            let path = dir.join(name);
            fs::write(&path, content).unwrap();
            Source {
                path,
                expected: Some(expected),
                weight,
            }
        };
        let sources = [
            source(
                "a",
                "imei,status\n490154203237518,black\n",
                Outcome::Blacklisted,
                3,
            ),
            source("b", "35000000000001\n35000000000002\n", Outcome::Unknown, 1),
        ];
        let script = Script::new(&names(), &sources, 1).unwrap();
        let black = (0..PREPARED)
            .filter(|&number| script.expected(number) == Some(Outcome::Blacklisted))
            .count();
        let share = black as f64 / PREPARED as f64;
        assert!((0.72..0.78).contains(&share), "{share}");
        let empty = source("c", "nothing\n", Outcome::Unknown, 1);
        assert!(
            Script::new(&names(), &[empty], 1)
                .unwrap_err()
                .contains("no line")
        );
        fs::remove_dir_all(dir).unwrap();
    }
}
