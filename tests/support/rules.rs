//! The rules that every answer obeys, whatever it answers: RFC 6733 sections
//! 6.2 and 7.2, and TS 29.272 clause 7.2.20.

use super::bytes::{EIR, REALM, S13};
use super::reading::{Read, ReadAvp};

/// AVPs that may stand in an answer with the E bit (RFC 6733 section 7.2).
const ERROR_GRAMMAR: [u32; 10] = [263, 264, 296, 268, 278, 281, 294, 279, 297, 284];

/// What an answer may hold, by code: the vendor, and the flags it is sent
/// with.
const FLAGS: [(u32, Option<u32>, u8); 20] = [
    (263, None, 0x40),
    (268, None, 0x40),
    (297, None, 0x40),
    (277, None, 0x40),
    (264, None, 0x40),
    (296, None, 0x40),
    (278, None, 0x40),
    (279, None, 0x40),
    (281, None, 0x00),
    (1445, Some(10415), 0xc0),
    (621, None, 0x00),
    (257, None, 0x40),
    (266, None, 0x40),
    (269, None, 0x00),
    (265, None, 0x40),
    (258, None, 0x40),
    (260, None, 0x40),
    (267, None, 0x00),
    (284, None, 0x40),
    (294, None, 0x00),
];

/// Checks `answer` against `request` and returns it.
///
/// # Panics
///
/// When a rule is broken.
pub fn assert_answer_obeys_rules(request: &[u8], answer: &[u8]) -> Read {
    let request = Read::leniently(request).expect("a request with a sane header");
    let answer = match Read::strictly(answer) {
        Ok(answer) => answer,
        Err(problem) => panic!("unparseable answer: {problem}\n{answer:02x?}"),
    };
    let error = header(&request, &answer);
    repeated(&request, &answer);
    identity(&answer);
    result(&answer, error);
    flags(&answer);
    overload_control(&request, &answer);
    if answer.command == 324 && answer.application == S13 && !error {
        identity_check(&answer);
    }
    answer
}

/// The header; returns the E bit.
fn header(request: &Read, answer: &Read) -> bool {
    assert_ne!(request.flags & 0x80, 0, "not a request");
    assert_eq!(answer.flags & 0x80, 0, "R in an answer");
    assert_eq!(answer.flags & 0x1f, 0, "T or reserved bits in an answer");
    assert_eq!(answer.flags & 0x40, request.flags & 0x40, "P not as asked");
    assert_eq!(answer.command, request.command);
    assert_eq!(answer.application, request.application);
    assert_eq!(answer.hop_by_hop, request.hop_by_hop);
    assert_eq!(answer.end_to_end, request.end_to_end);
    answer.flags & 0x20 != 0
}

/// Session-Id first, Proxy-Info unchanged and in order.
fn repeated(request: &Read, answer: &Read) {
    let session = request.all(263).first().map(|avp| avp.data.clone());
    let first = answer.only(263).map(|avp| avp.data.clone());
    assert_eq!(first, session, "Session-Id");
    if session.is_some() {
        assert_eq!(answer.avps[0].code, 263, "Session-Id is not first");
    }
    let raw = |read: &Read| -> Vec<Vec<u8>> {
        read.all(284)
            .into_iter()
            .map(|avp| avp.raw.clone())
            .collect()
    };
    assert_eq!(raw(answer), raw(request), "Proxy-Info");
}

/// Own names, and no destination or route.
fn identity(answer: &Read) {
    assert_eq!(answer.only(264).expect("Origin-Host").text(), EIR);
    assert_eq!(answer.only(296).expect("Origin-Realm").text(), REALM);
    for code in [283, 293, 282, 294, 301, 1, 1401] {
        assert!(answer.all(code).is_empty(), "AVP {code} in an answer");
    }
}

/// One result, the E bit that belongs to it, and the AVPs it asks for.
fn result(answer: &Read, error: bool) {
    let code = answer.result_code();
    assert_eq!(
        code.is_some(),
        answer.only(297).is_none(),
        "one of Result-Code and Experimental-Result"
    );
    let protocol_error = code.is_some_and(|code| (3000..4000).contains(&code));
    assert_eq!(error, protocol_error, "E bit with {code:?}");
    if error {
        for avp in &answer.avps {
            assert!(
                ERROR_GRAMMAR.iter().any(|code| avp.is(*code, None)),
                "AVP {} beside the E bit",
                avp.code
            );
        }
    }
    if answer.only(297).is_some() {
        assert_eq!(answer.experimental(), Some(5422));
        assert_eq!(answer.only(297).map(|avp| avp.members().len()), Some(2));
    }
    let failed = answer.failed();
    match code {
        Some(5001 | 5004 | 5005 | 5007 | 5008 | 5009 | 5014 | 5016) => {
            assert!(!failed.expect("Failed-AVP").is_empty());
        }
        Some(2001) | None => assert_eq!(failed, None),
        Some(_) => {}
    }
    if let Some(message) = answer.only(281) {
        assert!(!message.text().is_empty());
        assert_ne!(code, Some(2001));
    }
}

/// Flags by the standards' tables; Proxy-Info is the request's.
fn flags(answer: &Read) {
    for ReadAvp {
        code,
        vendor,
        flags,
        ..
    } in &answer.avps
    {
        if *code == 284 {
            continue;
        }
        let known = FLAGS
            .iter()
            .find(|known| known.0 == *code && known.1 == *vendor)
            .unwrap_or_else(|| panic!("AVP {code} of {vendor:?} in an answer"));
        assert_eq!(*flags, known.2, "flags of AVP {code}");
    }
}

/// RFC 7683 section 5.1.2: none of its AVPs unless the request has
/// OC-Supported-Features; then that, with the loss algorithm.
fn overload_control(request: &Read, answer: &Read) {
    let Some(features) = answer.only(621) else {
        return;
    };
    assert!(
        !request.all(621).is_empty(),
        "OC-Supported-Features unasked"
    );
    let members = features.members();
    assert_eq!(members.len(), 1);
    assert_eq!((members[0].code, members[0].flags), (622, 0));
    assert_eq!(members[0].data, 1u64.to_be_bytes());
}

/// The own grammar of an ECA.
fn identity_check(answer: &Read) {
    let state = answer.only(277).expect("Auth-Session-State");
    assert_eq!(state.number(), 1, "NO_STATE_MAINTAINED");
    assert_eq!(
        answer.equipment_status().is_some(),
        answer.result_code() == Some(2001),
        "Equipment-Status exactly with 2001"
    );
    assert!(answer.equipment_status().is_none_or(|status| status <= 2));
    assert!(answer.all(260).is_empty(), "not in an ECA");
}
