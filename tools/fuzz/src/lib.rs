//! What the fuzz targets share: a second, naive reading of Diameter, written
//! without a look at Weir's, to hold its output against.

pub mod foreign;

use std::time::Duration;

use weir::base::node::{Limits, Node, NodeSettings};
use weir::config::Config;
use weir::policy::Rulebook;

/// Octets of a Diameter header.
const HEADER: usize = 20;

/// The E bit of the Command Flags.
const ERROR: u8 = 0x20;
/// The P bit of the Command Flags.
const PROXIABLE: u8 = 0x40;
/// The R bit of the Command Flags.
const REQUEST: u8 = 0x80;

/// The AVP codes that this reading knows, all without vendor.
mod code {
    pub const SESSION_ID: u32 = 263;
    pub const ORIGIN_HOST: u32 = 264;
    pub const RESULT_CODE: u32 = 268;
    pub const ORIGIN_REALM: u32 = 296;
    pub const EXPERIMENTAL_RESULT: u32 = 297;
    pub const DESTINATION_REALM: u32 = 283;
    pub const DESTINATION_HOST: u32 = 293;
}

/// One AVP as the naive reading sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avp<'a> {
    /// AVP Code.
    pub code: u32,
    /// Vendor-ID, 0 without the V bit.
    pub vendor: u32,
    /// AVP Flags.
    pub flags: u8,
    /// The data.
    pub data: &'a [u8],
}

/// The AVPs of a message or a group, up to the first that cannot be followed;
/// and whether there is such a one.
pub fn avps(mut rest: &[u8]) -> (Vec<Avp<'_>>, bool) {
    let mut found = Vec::new();
    while !rest.is_empty() {
        if rest.len() < 8 {
            return (found, true);
        }
        let flags = rest[4];
        let length = number(&[0, rest[5], rest[6], rest[7]]) as usize;
        let header = if flags & 0x80 != 0 { 12 } else { 8 };
        if length < header || length > rest.len() {
            return (found, true);
        }
        found.push(Avp {
            code: number(&rest[..4]),
            vendor: if header == 12 {
                number(&rest[8..12])
            } else {
                0
            },
            flags,
            data: &rest[header..length],
        });
        let padded = (length + 3) / 4 * 4;
        rest = &rest[padded.min(rest.len())..];
    }
    (found, false)
}

/// Four octets, big-endian.
fn number(octets: &[u8]) -> u32 {
    octets
        .iter()
        .fold(0, |sum, octet| sum << 8 | u32::from(*octet))
}

/// Splits what Weir wrote into messages.
///
/// # Panics
///
/// When the last one is not whole: nothing but whole messages may be written.
pub fn messages(mut written: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !written.is_empty() {
        assert!(
            written.len() >= HEADER,
            "less than a header at the end: {written:02x?}"
        );
        let length = number(&[0, written[1], written[2], written[3]]) as usize;
        assert!(
            length >= HEADER && length <= written.len(),
            "Message Length {length}"
        );
        let (message, rest) = written.split_at(length);
        found.push(message);
        written = rest;
    }
    found
}

/// The whole messages at the beginning of what a peer sent, up to where its
/// boundaries are lost.
pub fn received(mut sent: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while sent.len() >= HEADER {
        let length = number(&[0, sent[1], sent[2], sent[3]]) as usize;
        if sent[0] != 1 || length < HEADER || length % 4 != 0 || length > sent.len() {
            break;
        }
        let (message, rest) = sent.split_at(length);
        found.push(message);
        sent = rest;
    }
    found
}

/// Whether a message is a request.
pub fn is_request(message: &[u8]) -> bool {
    message[4] & REQUEST != 0
}

/// Hop-by-Hop and End-to-End Identifier.
pub fn identifiers(message: &[u8]) -> &[u8] {
    &message[12..HEADER]
}

/// Holds a message of Weir's against what any message must be.
///
/// # Panics
///
/// When it is not: that is the finding.
pub fn assert_sound(message: &[u8]) {
    assert_eq!(message[0], 1, "Version");
    assert_eq!(
        message.len() % 4,
        0,
        "a Message Length that is no multiple of 4"
    );
    let (avps, broken) = avps(&message[HEADER..]);
    assert!(!broken, "an AVP that cannot be followed: {message:02x?}");
    let count = |code| {
        avps.iter()
            .filter(|avp| avp.vendor == 0 && avp.code == code)
            .count()
    };
    assert_eq!(count(code::ORIGIN_HOST), 1, "Origin-Host");
    assert_eq!(count(code::ORIGIN_REALM), 1, "Origin-Realm");
    for avp in &avps {
        assert_eq!(avp.flags & 0x1f, 0, "reserved AVP flags: {avp:02x?}");
    }
}

/// Holds an answer of Weir's against the request it belongs to (RFC 6733
/// sections 6.2 and 7.2).
///
/// # Panics
///
/// When they do not fit: that is the finding.
pub fn assert_answers(request: &[u8], answer: &[u8]) {
    assert_eq!(
        answer[5..HEADER],
        request[5..HEADER],
        "command, application, identifiers"
    );
    assert_eq!(answer[4] & PROXIABLE, request[4] & PROXIABLE, "the P bit");
    assert_eq!(answer[4] & !(PROXIABLE | ERROR), 0, "R, T or reserved bits");

    let (asked, _) = avps(&request[HEADER..]);
    let (said, broken) = avps(&answer[HEADER..]);
    assert!(!broken, "an AVP that cannot be followed: {answer:02x?}");
    let plain = |avp: &&Avp<'_>, code| avp.vendor == 0 && avp.code == code;
    let count = |code| said.iter().filter(|avp| plain(avp, code)).count();

    let session = asked.iter().find(|avp| plain(avp, code::SESSION_ID));
    assert_eq!(
        count(code::SESSION_ID),
        usize::from(session.is_some()),
        "Session-Id"
    );
    if let Some(session) = session {
        assert_eq!(
            (said[0].code, said[0].data),
            (code::SESSION_ID, session.data)
        );
    }
    assert_eq!(count(code::ORIGIN_HOST), 1, "Origin-Host");
    assert_eq!(count(code::ORIGIN_REALM), 1, "Origin-Realm");
    assert_eq!(count(code::DESTINATION_HOST), 0, "Destination-Host");
    assert_eq!(count(code::DESTINATION_REALM), 0, "Destination-Realm");
    assert_eq!(
        count(code::RESULT_CODE) + count(code::EXPERIMENTAL_RESULT),
        1,
        "exactly one of Result-Code and Experimental-Result"
    );
    let result = said
        .iter()
        .find(|avp| plain(avp, code::RESULT_CODE))
        .map(|avp| number(avp.data));
    let protocol_error = result.is_some_and(|code| code / 1000 == 3);
    assert_eq!(
        answer[4] & ERROR != 0,
        protocol_error,
        "the E bit with {result:?}"
    );
}

/// The node that all targets play.
pub fn node() -> Node {
    Node::new(NodeSettings {
        origin_host: "eir.epc.mnc001.mcc001.3gppnetwork.org".to_owned(),
        origin_realm: "epc.mnc001.mcc001.3gppnetwork.org".to_owned(),
        realms: Vec::new(),
        vendor_id: 0,
        product_name: "Weir".to_owned(),
        firmware_revision: 1,
        state_id: 1,
        limits: Limits {
            message_len_max: weir::wire::DEFAULT_MESSAGE_LEN_MAX,
            output_len_max: 256 * 1024,
            watchdog: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            drain: Duration::from_secs(5),
        },
    })
}

/// A register with something to find in it: the built-in sample.
pub fn rulebook() -> Rulebook {
    let mut config = Config::default();
    config.register.sample = true;
    match weir::load::load(&config) {
        Ok(loaded) => loaded.rulebook,
        Err(error) => panic!("the sample does not load: {error}"),
    }
}
