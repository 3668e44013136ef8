//! The error matrix: one row a fault, with the Result-Code, the octets of
//! Failed-AVP, and that the connection lives on. Expected values are written
//! down from RFC 6733 sections 7.1 and 7.5; the E bit and everything else that
//! answers have in common is judged by `support/rules.rs`.

mod several;
#[path = "../support/mod.rs"]
mod support;

use support::Bench;
use support::bench::{UNKNOWN, WHITE};
use support::bytes::{
    EIR, M, REALM, RP, Request, S13, TGPP, VM, avp, base, failed, group, number, raw_avp, terminal,
    terminal_of, tgpp,
};

/// One fault: what is asked, and the Result-Code and content of Failed-AVP
/// that it is answered with.
struct Row {
    /// What is wrong.
    name: String,
    /// The request.
    request: Vec<u8>,
    /// The Result-Code.
    code: u32,
    /// The data of Failed-AVP.
    failed: Option<Vec<u8>>,
}

/// A row of the matrix.
fn row(name: impl Into<String>, request: &Request, code: u32, failed: Option<Vec<u8>>) -> Row {
    Row {
        name: name.into(),
        request: request.bytes(),
        code,
        failed,
    }
}

/// Plays the rows on one connection, which must survive them all.
fn check(rows: &[Row]) {
    assert!(!rows.is_empty());
    let mut bench = Bench::open();
    let good = Request::ecr(WHITE).bytes();
    for Row {
        name,
        request,
        code,
        failed,
    } in rows
    {
        println!("{name}");
        let answer = bench.ask(request);
        assert_eq!(answer.result_code(), Some(*code), "{name}");
        assert_eq!(answer.failed(), failed.as_deref(), "{name}");
        assert_eq!(answer.flags & 0x20 != 0, code / 1000 == 3, "{name}: E bit");
        assert_eq!(bench.ask(&good).verdict(), Ok(0), "{name}: it lives on");
        assert_eq!(bench.connection.ending(), None, "{name}");
    }
}

/// A sound ECR.
fn ecr() -> Request {
    Request::ecr(WHITE)
}

/// Terminal-Information around a culprit, as Failed-AVP shows it.
fn in_terminal(culprit: &[u8]) -> Vec<u8> {
    tgpp(1401, culprit)
}

//----------- The header ------------------------------------------------------

#[test]
fn headers_that_are_not_served() {
    let s6a = 16_777_251;
    let mut rows = Vec::new();
    for command in [0, 1, 271, 316, 325, 0x00ff_ffff] {
        let request = Request { command, ..ecr() };
        rows.push(row(format!("command {command}"), &request, 3001, None));
    }
    // RAR, ASR and STR belong to the base protocol, but have S13's
    // Application-ID where they concern its sessions; S13 has no sessions.
    for command in [258, 274, 275] {
        let request = Request { command, ..ecr() };
        rows.push(row(format!("{command} on S13"), &request, 3001, None));
    }
    for command in [257, 280, 282] {
        let request = Request { command, ..ecr() };
        rows.push(row(format!("{command} on S13"), &request, 3001, None));
    }
    for command in [324, 258, 300] {
        let request = Request {
            command,
            application: 0,
            ..ecr()
        };
        rows.push(row(format!("{command} on 0"), &request, 3001, None));
    }
    for application in [1, 3, s6a, S13 - 1, S13 + 1, 0xffff_ffff] {
        for command in [257, 280, 282, 316, 324] {
            let request = Request {
                application,
                command,
                ..ecr()
            };
            let name = format!("{command} on {application}");
            rows.push(row(name, &request, 3007, None));
        }
    }
    rows.push(row("R and E", &ecr().flags(0xe0), 3008, None));
    rows.push(row("R, E and T", &ecr().flags(0xf0), 3008, None));
    for (name, request) in [
        ("CER with E", Request::cer()),
        ("DWR with E", Request::dwr()),
        ("DPR with E", Request::dpr(0)),
    ] {
        rows.push(row(name, &request.flags(0xa0), 3008, None));
    }
    rows.push(row(
        "no AVPs at all, unknown command",
        &Request::new(RP, 316, s6a),
        3007,
        None,
    ));
    check(&rows);
}

//----------- Destination -----------------------------------------------------

#[test]
fn destinations() {
    let other_host = ecr().with(base(293, "eir2.example"));
    let empty_host = ecr().with(base(293, ""));
    let other_realm = ecr().instead(283, base(283, "elsewhere.org"));
    let longer_realm = ecr().instead(283, base(283, format!("{REALM}x")));
    check(&[
        row("another host", &other_host, 3002, None),
        row("an empty host", &empty_host, 3002, None),
        row("another realm", &other_realm, 3003, None),
        row("a longer realm", &longer_realm, 3003, None),
        row(
            "an empty realm",
            &ecr().instead(283, base(283, "")),
            3003,
            None,
        ),
        row(
            "both",
            &other_realm.clone().with(base(293, "eir2.example")),
            3002,
            None,
        ),
    ]);
}

//----------- Missing ---------------------------------------------------------

#[test]
fn missing_avps_are_shown_by_an_example() {
    let cases = [
        (263, base(263, "")),
        (277, number(277, 0)),
        (264, base(264, "")),
        (296, base(296, "")),
        (283, base(283, "")),
        (1401, tgpp(1401, "")),
    ];
    let mut rows: Vec<Row> = cases
        .into_iter()
        .map(|(code, example)| {
            let request = ecr().without(code);
            row(format!("no {code}"), &request, 5005, Some(example))
        })
        .collect();
    let imei = in_terminal(&tgpp(1402, ""));
    for (name, members) in [
        ("an empty Terminal-Information", Vec::new()),
        ("only a Software-Version", vec![tgpp(1403, "86")]),
        ("only a MEID", vec![tgpp(1471, [0; 8])]),
        // Another AVP, unknown and with M; but what is missing counts first.
        ("an IMEI without its vendor", vec![base(1402, WHITE)]),
    ] {
        let request = ecr().instead(1401, terminal(&members));
        rows.push(row(name, &request, 5005, Some(imei.clone())));
    }
    rows.push(row(
        "no AVPs at all",
        &Request::new(RP, 324, S13),
        5005,
        Some(base(263, "")),
    ));
    rows.push(row(
        "DWR without Origin-Host",
        &Request::dwr().without(264),
        5005,
        Some(base(264, "")),
    ));
    rows.push(row(
        "DWR without Origin-Realm",
        &Request::dwr().without(296),
        5005,
        Some(base(296, "")),
    ));
    rows.push(row(
        "DPR without a cause",
        &Request::dpr(0).without(273),
        5005,
        Some(number(273, 0)),
    ));
    check(&rows);
}

//----------- Too many, forbidden, unknown ------------------------------------

#[test]
fn the_first_instance_beyond_the_permitted_number_is_shown() {
    let second = [
        base(263, "another"),
        number(277, 0),
        base(264, "another"),
        base(296, "another"),
        base(283, REALM),
        terminal_of(UNKNOWN),
        base(1, "001010123456788"),
    ];
    let mut rows: Vec<Row> = second
        .into_iter()
        .map(|avp| {
            let name = format!("a second {:?}", &avp[2..4]);
            let request = ecr().with(avp.clone()).with(avp.clone());
            row(name, &request, 5009, Some(avp))
        })
        .collect();
    let host = base(293, EIR);
    rows.push(row(
        "a second Destination-Host",
        &ecr().with(host.clone()).with(host.clone()),
        5009,
        Some(host),
    ));
    for member in [tgpp(1402, UNKNOWN), tgpp(1403, "99")] {
        let members = [tgpp(1402, WHITE), tgpp(1403, "86"), member.clone()];
        rows.push(row(
            format!("a second member {:?}", &member[2..4]),
            &ecr().instead(1401, terminal(&members)),
            5009,
            Some(in_terminal(&member)),
        ));
    }
    rows.push(row(
        "two Origin-State-Ids in a DWR",
        &Request::dwr().with(number(278, 8)),
        5009,
        Some(number(278, 8)),
    ));
    rows.push(row(
        "two causes in a DPR",
        &Request::dpr(0).with(number(273, 1)),
        5009,
        Some(number(273, 1)),
    ));
    check(&rows);
}

#[test]
fn avps_that_an_ecr_must_not_have() {
    let avps = [
        number(268, 2001),
        base(297, group(&[number(266, TGPP), number(298, 5422)])),
        tgpp(1445, [0, 0, 0, 1]),
        failed(&number(277, 1)),
        // Of a wrong length: it is not read, so that cannot matter.
        base(268, "x"),
    ];
    let rows: Vec<Row> = avps
        .into_iter()
        .map(|avp| {
            let name = format!("forbidden {:?}", &avp[2..4]);
            row(name, &ecr().with(avp.clone()), 5008, Some(avp))
        })
        .collect();
    check(&rows);
}

#[test]
fn unknown_avps_with_m() {
    let avps = [
        base(9999, "unknown"),
        base(9999, ""),
        avp(9999, VM, Some(99), b"vendor"),
        avp(9999, VM | 0x3f, Some(99), b"all flags"),
        // Known numbers of another vendor.
        avp(264, VM, Some(TGPP), b"host"),
        avp(1401, VM, Some(99), b"not a group"),
        avp(1401, M, None, b""),
        avp(621, VM, Some(TGPP), b""),
    ];
    let mut rows = Vec::new();
    for avp in avps {
        let name = format!("unknown {avp:02x?}");
        rows.push(row(
            name.clone(),
            &ecr().with(avp.clone()),
            5001,
            Some(avp.clone()),
        ));
        rows.push(row(
            name.clone() + " in front",
            &ecr().with_first(avp.clone()),
            5001,
            Some(avp.clone()),
        ));
        if avp[..4] == [0, 0, 0x27, 0x0f] {
            let members = [tgpp(1402, WHITE), avp.clone()];
            rows.push(row(
                name.clone() + " in Terminal-Information",
                &ecr().instead(1401, terminal(&members)),
                5001,
                Some(in_terminal(&avp)),
            ));
            rows.push(row(
                name + " in a DWR",
                &Request::dwr().with(avp.clone()),
                5001,
                Some(avp),
            ));
        }
    }
    check(&rows);
}

#[test]
fn long_avps_are_named_but_not_repeated() {
    let long = base(9999, vec![b'x'; 1016]);
    let longer = base(9999, vec![b'x'; 1017]);
    let longest = base(9999, vec![b'x'; 64_000]);
    check(&[
        row("1 KiB", &ecr().with(long.clone()), 5001, Some(long)),
        row(
            "more than 1 KiB",
            &ecr().with(longer),
            5001,
            Some(base(9999, "")),
        ),
        row("62 KiB", &ecr().with(longest), 5001, Some(base(9999, ""))),
    ]);
}

//----------- Lengths ---------------------------------------------------------

#[test]
fn avp_lengths_that_cannot_be_followed() {
    let mut rows = Vec::new();
    for length in [0, 1, 7, 0x00ff_ffff] {
        let broken = raw_avp(9999, M, None, length, b"");
        rows.push(row(
            format!("unknown AVP with length {length}"),
            &ecr().with(broken),
            5014,
            Some(base(9999, "")),
        ));
        rows.push(row(
            format!("Auth-Application-Id with length {length}"),
            &ecr().with(raw_avp(258, M, None, length, b"1234")),
            5014,
            Some(number(258, 0)),
        ));
    }
    for length in [0, 8, 11, 13, 65_536] {
        rows.push(row(
            format!("IMEI with length {length}"),
            &ecr().instead(
                1401,
                terminal(&[raw_avp(1402, VM, Some(TGPP), length, b"")]),
            ),
            5014,
            Some(in_terminal(&tgpp(1402, ""))),
        ));
        rows.push(row(
            format!("Terminal-Information with length {length}"),
            &ecr()
                .without(1401)
                .with(raw_avp(1401, VM, Some(TGPP), length, b"")),
            5014,
            Some(tgpp(1401, "")),
        ));
    }
    // Half a header: four octets behind the last AVP.
    rows.push(row(
        "half a header",
        &ecr().with(270_u32.to_be_bytes().to_vec()),
        5014,
        Some(avp(270, 0, None, b"")),
    ));
    // The V bit, and no room for the Vendor-ID.
    rows.push(row(
        "a header cut in front of its vendor",
        &ecr().with(raw_avp(1402, VM, None, 12, b"")),
        5014,
        Some(base(1402, "")),
    ));
    // The group ends before its member does, although the message goes on.
    let member = tgpp(1402, WHITE);
    assert_eq!(member[7], 26);
    let overlong = raw_avp(1401, VM, Some(TGPP), 12 + 25, &member);
    rows.push(row(
        "a member beyond its group",
        &ecr().instead(1401, overlong).without(1),
        5014,
        Some(in_terminal(&tgpp(1402, ""))),
    ));
    rows.push(row(
        "a DWR",
        &Request::dwr().with(raw_avp(278, M, None, 2, b"")),
        5014,
        Some(number(278, 0)),
    ));
    rows.push(row(
        "a DPR",
        &Request::dpr(0).with(raw_avp(273, M, None, 9, b"")),
        5014,
        Some(number(273, 0)),
    ));
    check(&rows);
}

#[test]
fn data_of_the_wrong_length_for_the_type() {
    let mut rows = Vec::new();
    for data in [&b""[..], b"1", b"123", b"12345", b"12345678"] {
        let state = base(277, data);
        let request = ecr().instead(277, state.clone());
        rows.push(row(
            format!("Auth-Session-State of {}", data.len()),
            &request,
            5014,
            Some(state),
        ));
        let cause = base(273, data);
        rows.push(row(
            format!("Disconnect-Cause of {}", data.len()),
            &Request::dpr(0).instead(273, cause.clone()),
            5014,
            Some(cause),
        ));
        let id = base(278, data);
        rows.push(row(
            format!("Origin-State-Id of {} in a DWR", data.len()),
            &Request::dwr().instead(278, id.clone()),
            5014,
            Some(id),
        ));
    }
    check(&rows);
}

//----------- Values ----------------------------------------------------------

#[test]
fn imeis_that_are_none() {
    let long = "1".repeat(17);
    let cases = [
        "",
        "1",
        "3520990017614",
        &long,
        "3520990017614a",
        "35209900 76148",
        "a5209900176148",
        "352099001761480a",
        "0x209900176148",
        "35-209900-176148-1",
        "imei-",
        "imei-1",
        "３５２０９９",
    ];
    let mut rows: Vec<Row> = cases
        .into_iter()
        .map(|imei| {
            row(
                format!("IMEI {imei:?}"),
                &ecr().instead(1401, terminal_of(imei)),
                5004,
                Some(in_terminal(&tgpp(1402, imei))),
            )
        })
        .collect();
    // TBCD, as MAP has it: eight octets that are no text.
    let tbcd = [0x53, 0x02, 0x99, 0x00, 0x71, 0x16, 0x84, 0xf0];
    rows.push(row(
        "TBCD",
        &ecr().instead(1401, terminal_of(tbcd)),
        5004,
        Some(in_terminal(&tgpp(1402, tbcd))),
    ));
    rows.push(row(
        "2,000 digits",
        &ecr().instead(1401, terminal_of("1".repeat(2000))),
        5004,
        Some(in_terminal(&tgpp(1402, ""))),
    ));
    // Fourteen digits behind a flag that is not the standard's.
    rows.push(row(
        "V alone",
        &ecr().instead(1401, terminal(&[avp(1402, 0x80, Some(TGPP), b"x")])),
        5004,
        Some(in_terminal(&avp(1402, 0x80, Some(TGPP), b"x"))),
    ));
    check(&rows);
}

//----------- Limits ----------------------------------------------------------

#[test]
fn the_number_of_avps_is_limited() {
    let mut most = ecr();
    while most.avps.len() < 512 {
        most = most.with(base(282, "dra.example"));
    }
    let more = most.clone().with(base(282, "dra.example"));
    let mut members = vec![tgpp(1402, WHITE)];
    while members.len() < 513 {
        members.push(avp(9999, 0x80, Some(TGPP), b""));
    }
    let crowded = ecr().instead(1401, terminal(&members));
    let full = ecr().instead(1401, terminal(&members[..512]));
    let mut bench = Bench::open();
    assert_eq!(bench.ask(&most.bytes()).verdict(), Ok(0), "512 AVPs");
    assert_eq!(bench.ask(&full.bytes()).verdict(), Ok(0), "512 members");
    check(&[
        row("513 AVPs", &more, 5012, None),
        row("513 members", &crowded, 5012, None),
    ]);
}

#[test]
fn the_largest_message_is_answered() {
    let empty = ecr().with(avp(9999, 0, None, b"")).bytes().len();
    let filler = avp(9999, 0, None, &vec![b'x'; 65_536 - empty]);
    let request = ecr().with(filler).bytes();
    assert_eq!(request.len(), 65_536);
    assert_eq!(Bench::open().ask(&request).verdict(), Ok(0));
}

/// Unknown groups are not entered, so their depth does not matter; the known
/// ones of an ECR are two levels deep.
#[test]
fn nesting_does_not_matter() {
    let mut nested = number(258, S13);
    for _ in 0..100 {
        nested = avp(260, M, None, &nested);
    }
    let mut bench = Bench::open();
    let request = ecr().with(nested.clone()).bytes();
    assert_eq!(bench.ask(&request).verdict(), Ok(0));
    // In a second Terminal-Information it would have to be repeated, and its
    // members checked: that has an end.
    let second = terminal(&[nested]);
    let answer = bench.ask(&ecr().with(second).bytes());
    assert_eq!(answer.result_code(), Some(5009));
    assert_eq!(answer.failed(), Some(&tgpp(1401, "")[..]));
}
