//! Every capture of `captures/` is read as tshark reads it.
//!
//! The goldens beside the captures come from `tools/capture-goldens.sh`, so
//! the oracle shares no code with the reader. What the test needs of the
//! messages themselves it takes apart in a few lines of its own.
#![cfg(feature = "server")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use weir::capture::{Capture, Direction, Ending, Opening, Transport, read};

/// The folder with the captures.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// The files of the folder with one of these extensions.
fn files(extensions: &[&str]) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder()).expect("captures/ can be listed");
    let files = entries.map(|entry| entry.expect("captures/ can be listed").path());
    let wanted = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension))
    };
    files.filter(wanted).collect()
}

/// One capture, by its name without extension.
fn capture(name: &str) -> Capture {
    let capture = read(&folder().join(name).with_extension("pcap"));
    capture.unwrap_or_else(|error| panic!("{error}"))
}

/// The data of the first AVP with this code and vendor (0 is none), looking
/// into Experimental-Result (297).
fn avp(mut avps: &[u8], code: u32, vendor: u32) -> Option<u32> {
    let u32_at =
        |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    while !avps.is_empty() {
        let len = (u32_at(avps, 4) & 0xff_ffff) as usize;
        let (head, owner) = if avps[4] & 0x80 != 0 {
            (12, u32_at(avps, 8))
        } else {
            (8, 0)
        };
        let data = &avps[head..len];
        match u32_at(avps, 0) {
            found if (found, owner) == (code, vendor) => return Some(u32_at(data, 0)),
            297 => match avp(data, code, vendor) {
                None => {}
                found => return found,
            },
            _ => {}
        }
        avps = &avps[len.next_multiple_of(4).min(avps.len())..];
    }
    None
}

/// The lines of a golden, from what the reader found.
fn describe(capture: &Capture) -> Vec<String> {
    let line = |message: &weir::capture::Message| {
        let (header, avps) = message.bytes.split_at(20);
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let or_dash =
            |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let result = match avp(avps, 298, 0) {
            Some(code) => format!("exp:{code}"),
            None => or_dash(avp(avps, 268, 0)),
        };
        let sender = match message.direction {
            Direction::FromClient => "client",
            Direction::FromServer => "server",
        };
        let (command, status) = (number(4) & 0xff_ffff, or_dash(avp(avps, 1445, 10415)));
        let (frame, flags, hop_by_hop) = (message.frame, header[4], number(12));
        format!("{frame} {sender} {command} {flags:02x} {hop_by_hop:08x} {result} {status}")
    };
    capture.messages.iter().map(line).collect()
}

#[test]
fn every_capture_gives_what_tshark_sees() {
    let mut messages = 0;
    for path in files(&["pcap", "pcapng"]) {
        let golden = fs::read_to_string(path.with_extension("txt"));
        let golden =
            golden.unwrap_or_else(|error| panic!("the golden of {}: {error}", path.display()));
        let capture = read(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(capture.warnings, [], "{}", path.display());
        let (got, want) = (describe(&capture), golden.lines().collect::<Vec<_>>());
        assert_eq!(got, want, "{}", path.display());
        messages += got.len();
    }
    assert!(
        messages > 150,
        "only {messages} messages in all of captures/"
    );
}

#[test]
fn every_capture_is_listed_and_every_golden_has_its_capture() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("captures/README.md");
    for path in files(&["pcap", "pcapng"]) {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name in UTF-8");
        assert!(
            readme.contains(&format!("`{name}`")),
            "captures/README.md does not list {name}"
        );
    }
    for path in files(&["txt"]) {
        let there = ["pcap", "pcapng"]
            .iter()
            .any(|extension| path.with_extension(extension).exists());
        assert!(there, "{} has no capture", path.display());
    }
}

#[test]
fn connections_are_told_apart() {
    let capture = capture("open5gs-drop-then-reopen-3-dwr");
    let ports: Vec<_> = capture
        .flows
        .iter()
        .map(|flow| flow.client.port())
        .collect();
    assert_eq!(ports, [55126, 47906]);
    for flow in &capture.flows {
        assert_eq!(
            (flow.opening, flow.ending),
            (Opening::Handshake, Ending::Closed)
        );
        assert_eq!(flow.server.to_string(), "127.0.0.99:3868");
    }
    let first = capture
        .messages
        .iter()
        .filter(|message| message.flow.0 == 0)
        .count();
    assert_eq!((first, capture.messages.len()), (3, 17));
}

#[test]
fn an_association_keeps_its_streams_and_protocol_identifiers() {
    let capture = capture("open5gs-sctp-diameter-3-attaches");
    let [flow] = &capture.flows[..] else {
        panic!("one association, not {:?}", capture.flows)
    };
    assert_eq!(
        (flow.transport, flow.opening, flow.ending),
        (Transport::Sctp, Opening::Handshake, Ending::Closed)
    );
    assert_eq!(flow.client.to_string(), "127.0.0.2:51450");
    let from_client: Vec<_> = capture
        .messages
        .iter()
        .filter(|message| message.direction == Direction::FromClient)
        .map(|message| (message.stream, message.payload_protocol))
        .collect();
    let by_tshark = [
        (0, 0),
        (1, 46),
        (2, 46),
        (3, 46),
        (4, 46),
        (5, 46),
        (6, 46),
        (0, 0),
    ];
    assert_eq!(
        from_client,
        by_tshark.map(|(stream, identifier)| (stream, Some(identifier)))
    );
}

#[test]
fn times_are_those_of_the_file() {
    // capinfos: first packet at 2026-11-22 07:36:13.202004 UTC; the CER is
    // 1.789 ms later.
    let message = &capture("open5gs-black").messages[0];
    assert_eq!(message.time_ns, 1_795_332_973_203_793_000);
    assert_eq!(message.unix_time().to_string(), "2026-11-22T07:36:13Z");
}
