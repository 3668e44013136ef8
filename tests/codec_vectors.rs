//! The worked example, message by message: what Weir reads in it, and that it
//! writes the same octets.
//!
//! The vectors come from another encoder and another decoder (see
//! `support/vectors.rs`). An answer of Weir is equal to its vector octet by
//! octet, except where a fault's Error-Message is free text: RFC 6733 section
//! 7.3 leaves its wording, and whether there is one, to the implementation.

mod support;

use ::bytes::BytesMut;
use support::bench::{ADDRESS, settings};
use support::bytes::{MME, REALM};
use support::vectors::{self, octets};
use support::{Bench, Read, assert_answer_obeys_rules};
use weir::base::node::NodeSettings;
use weir::base::{Node, capabilities, disconnect, watchdog};
use weir::connection::Decision;
use weir::s13::request::{IdentityCheck, compose};
use weir::wire::compose::HostAddress;
use weir::wire::{Avp, Avps, Deframed, deframe, dictionary};

/// One AVP as the table of the worked example has it: code, vendor, flags,
/// AVP Length, and the data as text or number.
type Row = (u32, u32, u8, usize, Value);

/// The data of an AVP.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    /// Text.
    Text(&'static str),
    /// Four octets.
    Number(u32),
    /// Any octets.
    Octets(&'static [u8]),
    /// Members.
    Group(Vec<Row>),
}

use Value::{Group, Number, Octets, Text};

/// Flags of base AVPs with M.
const M: u8 = 0x40;
/// Flags of 3GPP's AVPs.
const VM: u8 = 0xc0;
/// The EIR's Origin-Host.
const EIR: &str = "eir1.epc.mnc001.mcc001.3gppnetwork.org";
/// An agent.
const DRA1: &str = "dra1.epc.mnc001.mcc001.3gppnetwork.org";
/// Another agent.
const DRA2: &str = "dra2.epc.mnc001.mcc001.3gppnetwork.org";
/// The Session-Ids, by their last number.
const SESSIONS: [&str; 5] = [
    "",
    "mme1.epc.mnc001.mcc001.3gppnetwork.org;1767225600;1",
    "mme1.epc.mnc001.mcc001.3gppnetwork.org;1767225600;2",
    "mme1.epc.mnc001.mcc001.3gppnetwork.org;1767225600;3",
    "mme1.epc.mnc001.mcc001.3gppnetwork.org;1767225600;4",
];

/// Session-Id.
fn session(number: usize) -> Row {
    (263, 0, M, 59, Text(SESSIONS[number]))
}

/// Origin-Host and Origin-Realm.
fn origin(host: &'static str) -> [Row; 2] {
    [(264, 0, M, 46, Text(host)), (296, 0, M, 41, Text(REALM))]
}

/// An AVP of four octets.
fn number(code: u32, value: u32) -> Row {
    (code, 0, M, 12, Number(value))
}

/// Destination-Realm.
fn destination_realm() -> Row {
    (283, 0, M, 41, Text(REALM))
}

/// What CER and CEA say of a node.
fn capabilities_rows(
    host: &'static str,
    address: &'static [u8],
    product: &'static str,
) -> Vec<Row> {
    let mut rows: Vec<Row> = origin(host).into();
    rows.extend([
        (257, 0, M, 14, Octets(address)),
        number(266, 32473),
        (269, 0, 0, 19, Text(product)),
        number(278, 1_767_225_600),
        number(265, 10415),
        (
            260,
            0,
            M,
            32,
            Group(vec![number(266, 10415), number(258, 16_777_252)]),
        ),
        (267, 0, 0, 12, Number(1)),
    ]);
    rows
}

/// The Proxy-Infos of two agents.
fn proxy_infos() -> [Row; 2] {
    let proxy = |host, state, len| {
        let members = vec![
            (280, 0, M, 46, Text(host)),
            (33, 0, M, 8 + 4 + usize::from(len == 72), Octets(state)),
        ];
        (284, 0, M, len, Group(members))
    };
    [
        proxy(DRA2, &[1, 2, 3, 4, 5], 72),
        proxy(DRA1, &[0xaa, 0xbb, 0xcc, 0xdd], 68),
    ]
}

/// One message: hex, flags, command, application, number in the example, and
/// AVPs.
type Line = (&'static str, u8, u32, u32, u32, Vec<Row>);

/// All messages.
fn table() -> Vec<Line> {
    const S13: u32 = 16_777_252;
    let mme = || origin(MME);
    let eir = || origin(EIR);
    let terminal = |len, members| (1401, 10415, VM, len, Group(members));
    let imei = |len, text| (1402, 10415, VM, len, Text(text));
    let rows = |parts: Vec<Vec<Row>>| parts.into_iter().flatten().collect::<Vec<_>>();
    vec![
        (
            vectors::CER,
            0x80,
            257,
            0,
            1,
            capabilities_rows(MME, &[0, 1, 192, 0, 2, 10], "example-mme"),
        ),
        (
            vectors::CEA,
            0x00,
            257,
            0,
            1,
            rows(vec![
                vec![number(268, 2001)],
                capabilities_rows(EIR, &[0, 1, 192, 0, 2, 20], "example-eir"),
            ]),
        ),
        (
            vectors::DWR,
            0x80,
            280,
            0,
            2,
            rows(vec![mme().into(), vec![number(278, 1_767_225_600)]]),
        ),
        (
            vectors::DWA,
            0x00,
            280,
            0,
            2,
            rows(vec![
                vec![number(268, 2001)],
                eir().into(),
                vec![number(278, 1_767_225_600)],
            ]),
        ),
        (
            vectors::ECR,
            0xc0,
            324,
            S13,
            3,
            rows(vec![
                vec![session(1), number(277, 1)],
                mme().into(),
                vec![
                    destination_realm(),
                    terminal(
                        56,
                        vec![
                            imei(26, "49015420323751"),
                            (1403, 10415, VM, 14, Text("86")),
                        ],
                    ),
                    (1, 0, M, 23, Text("001010123456789")),
                ],
            ]),
        ),
        (
            vectors::ECA_LISTED,
            0x40,
            324,
            S13,
            3,
            rows(vec![
                vec![session(1), number(268, 2001), number(277, 1)],
                eir().into(),
                vec![(1445, 10415, VM, 16, Number(1))],
            ]),
        ),
        (
            vectors::ECR_PROXIED,
            0xc0,
            324,
            S13,
            4,
            rows(vec![
                vec![session(2), (301, 0, 0, 12, Number(2)), number(277, 1)],
                mme().into(),
                vec![
                    (293, 0, M, 46, Text(EIR)),
                    destination_realm(),
                    terminal(40, vec![imei(27, "490154203237518")]),
                ],
                proxy_infos().into(),
                vec![(282, 0, M, 46, Text(MME)), (282, 0, M, 46, Text(DRA2))],
            ]),
        ),
        (
            vectors::ECA_UNKNOWN,
            0x40,
            324,
            S13,
            4,
            rows(vec![
                vec![
                    session(2),
                    (
                        297,
                        0,
                        M,
                        32,
                        Group(vec![number(266, 10415), number(298, 5422)]),
                    ),
                    number(277, 1),
                ],
                eir().into(),
                proxy_infos().into(),
            ]),
        ),
        (
            vectors::ECR_INCOMPLETE,
            0xc0,
            324,
            S13,
            5,
            rows(vec![
                vec![session(3), number(277, 1)],
                mme().into(),
                vec![destination_realm()],
            ]),
        ),
        (
            vectors::ECA_MISSING,
            0x40,
            324,
            S13,
            5,
            rows(vec![
                vec![session(3), number(268, 5005), number(277, 1)],
                eir().into(),
                vec![
                    (281, 0, 0, 36, Text("Terminal-Information missing")),
                    (279, 0, M, 20, Group(vec![terminal(12, Vec::new())])),
                ],
            ]),
        ),
        (
            vectors::ULR,
            0xc0,
            316,
            16_777_251,
            6,
            rows(vec![
                vec![session(4), number(277, 1)],
                mme().into(),
                vec![destination_realm()],
            ]),
        ),
        (
            vectors::ULA_UNSUPPORTED,
            0x60,
            316,
            16_777_251,
            6,
            rows(vec![
                vec![session(4)],
                eir().into(),
                vec![number(268, 3007)],
            ]),
        ),
        (
            vectors::DPR,
            0x80,
            282,
            0,
            7,
            rows(vec![mme().into(), vec![number(273, 0)]]),
        ),
        (
            vectors::DPA,
            0x00,
            282,
            0,
            7,
            rows(vec![vec![number(268, 2001)], eir().into()]),
        ),
    ]
}

/// Compares what Weir reads with the table's rows.
fn assert_rows(avps: Avps<'_>, rows: &[Row], place: &str) {
    let read: Vec<Avp<'_>> = avps.map(|avp| avp.expect("sound AVPs")).collect();
    assert_eq!(read.len(), rows.len(), "{place}");
    for (avp, (code, vendor, flags, length, value)) in read.iter().zip(rows) {
        let place = format!("{place}, AVP {code}");
        assert_eq!(avp.key().code.0, *code, "{place}");
        assert_eq!(avp.key().vendor.0, *vendor, "{place}");
        assert_eq!(avp.flags().0, *flags, "{place}");
        assert_eq!(avp.raw().len(), *length, "{place}");
        let known = dictionary::lookup(avp.key()).expect("a known AVP");
        assert_eq!(known.flags.0, *flags, "{place}: flags of the dictionary");
        match value {
            Text(text) => assert_eq!(avp.data(), text.as_bytes(), "{place}"),
            Number(number) => assert_eq!(avp.unsigned32(), Some(*number), "{place}"),
            Octets(octets) => assert_eq!(avp.data(), *octets, "{place}"),
            Group(rows) => assert_rows(avp.members().expect("shallow"), rows, &place),
        }
    }
}

#[test]
fn every_field_of_every_message_is_read_as_the_table_has_it() {
    for (hex, flags, command, application, number, rows) in table() {
        let bytes = octets(hex);
        let Deframed::Message(message) = deframe(&bytes, 65_536) else {
            panic!("{command}: not a message");
        };
        let header = message.header();
        assert_eq!(message.len(), bytes.len());
        assert_eq!(header.length as usize, bytes.len());
        assert_eq!(header.flags.0, flags, "{command}");
        assert_eq!(header.command.0, command);
        assert_eq!(header.application.0, application);
        assert_eq!(header.hop_by_hop, 0x1111_0000 + number);
        assert_eq!(header.end_to_end, 0x2222_0000 + number);
        assert_rows(message.avps(), &rows, &format!("command {command}"));
    }
}

/// Plays the example up to the request, and returns the answer to it.
fn answer_to(request: &str) -> Vec<u8> {
    let mut bench = Bench::accepted();
    bench.feed(&octets(vectors::CER));
    bench.connection.resolve_claim(Decision::Granted);
    bench.feed(&[]);
    let cea = bench.taken();
    if request == vectors::CER {
        return cea[0].clone();
    }
    let request = octets(request);
    bench.feed(&request);
    let answers = bench.taken();
    assert_eq!(answers.len(), 1);
    assert_answer_obeys_rules(&request, &answers[0]);
    answers[0].clone()
}

#[test]
fn answers_without_free_text_are_equal_to_their_vectors() {
    for (request, answer) in [
        (vectors::CER, vectors::CEA),
        (vectors::DWR, vectors::DWA),
        (vectors::ECR, vectors::ECA_LISTED),
        (vectors::ECR_PROXIED, vectors::ECA_UNKNOWN),
        (vectors::DPR, vectors::DPA),
    ] {
        assert_eq!(answer_to(request), octets(answer), "{request}");
    }
}

#[test]
fn answers_with_free_text_differ_from_their_vectors_in_nothing_else() {
    for (request, answer) in [
        (vectors::ECR_INCOMPLETE, vectors::ECA_MISSING),
        (vectors::ULR, vectors::ULA_UNSUPPORTED),
    ] {
        let own = Read::strictly(&answer_to(request)).expect("an answer");
        let vector = Read::strictly(&octets(answer)).expect("a vector");
        let header = |read: &Read| (read.flags, read.command, read.application, read.hop_by_hop);
        assert_eq!(header(&own), header(&vector));
        assert_eq!(own.end_to_end, vector.end_to_end);
        // In order too: Session-Id first, the fault's AVPs last.
        let without_text = |read: &Read| -> Vec<_> {
            read.avps
                .iter()
                .filter(|avp| avp.code != 281)
                .cloned()
                .collect()
        };
        assert_eq!(without_text(&own), without_text(&vector));
    }
}

#[test]
fn requests_composed_as_a_client_are_equal_to_the_vectors() {
    let node = Node::new(NodeSettings {
        origin_host: MME.to_owned(),
        product_name: "example-mme".to_owned(),
        ..settings()
    });
    let composed = |compose: &dyn Fn(&mut BytesMut, (u32, u32)), number: u32| {
        let mut out = BytesMut::new();
        compose(&mut out, (0x1111_0000 + number, 0x2222_0000 + number));
        out.to_vec()
    };
    let address = HostAddress::V4([192, 0, 2, 10]);
    assert_ne!(address, ADDRESS);
    let cer = composed(
        &|out, ids| capabilities::compose_request(out, &node, ids, &[address]),
        1,
    );
    assert_eq!(cer, octets(vectors::CER));
    let dwr = composed(&|out, ids| watchdog::compose_request(out, &node, ids), 2);
    assert_eq!(dwr, octets(vectors::DWR));
    let check = IdentityCheck {
        session_id: SESSIONS[1],
        destination_host: None,
        destination_realm: REALM,
        imei: "49015420323751",
        software_version: Some("86"),
        user_name: Some("001010123456789"),
    };
    let ecr = composed(&|out, ids| compose(out, &node, ids, &check), 3);
    assert_eq!(ecr, octets(vectors::ECR));
    let cause = disconnect::DisconnectCause::REBOOTING;
    let dpr = composed(
        &|out, ids| disconnect::compose_request(out, &node, ids, cause),
        7,
    );
    assert_eq!(dpr, octets(vectors::DPR));
}
