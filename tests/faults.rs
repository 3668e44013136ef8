//! The error matrix: one row a fault, with the Result-Code, the octets of
//! Failed-AVP, and that the connection lives on. Expected values are written
//! down from RFC 6733 sections 7.1 and 7.5; the E bit and everything else that
//! answers have in common is judged by `support/rules.rs`.

mod support;

use support::bench::{UNKNOWN, WHITE};
use support::bytes::{
    EIR, M, MME, REALM, RP, Request, S13, SESSION, TGPP, VM, avp, base, failed, group, number,
    raw_avp, terminal, terminal_of, tgpp,
};
use support::{Bench, Read};

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

//----------- Two faults at once ----------------------------------------------

/// The order in which faults are looked for: of two in one message the earlier
/// is reported, wherever its AVP stands.
#[test]
fn of_two_faults_the_earlier_check_wins() {
    type Spoil = fn(Request) -> Request;
    let order: [(&str, u32, Spoil); 11] = [
        ("E bit", 3008, |request| request.flags(0xe0)),
        ("application", 3007, |mut request| {
            request.application = 16_777_251;
            request
        }),
        ("command", 3001, |mut request| {
            request.command = 316;
            request
        }),
        ("length", 5014, |request| {
            request.with(raw_avp(9999, M, None, 3, b""))
        }),
        ("host", 3002, |request| {
            request.with_first(base(293, "other"))
        }),
        ("realm", 3003, |request| {
            let realm = base(283, "other");
            request.instead(283, realm)
        }),
        ("missing", 5005, |request| request.without(277)),
        ("repeated", 5009, |request| {
            request.with_first(base(1, "001010123456788"))
        }),
        ("forbidden", 5008, |request| {
            request.with_first(number(268, 2001))
        }),
        ("unknown", 5001, |request| {
            request.with_first(base(9999, ""))
        }),
        ("value", 5004, |request| {
            request.instead(1401, terminal_of("x"))
        }),
    ];
    let mut bench = Bench::open();
    for (at, (first, code, spoil)) in order.iter().enumerate() {
        let alone = bench.ask(&spoil(ecr()).bytes());
        assert_eq!(alone.result_code(), Some(*code), "{first}");
        for (second, _, spoil_more) in &order[at + 1..] {
            let both = spoil(spoil_more(ecr()));
            let answer = bench.ask(&both.bytes());
            assert_eq!(answer.result_code(), Some(*code), "{first} and {second}");
        }
    }
}

/// The same inside Terminal-Information, against faults of the first level.
#[test]
fn faults_of_the_group_come_with_those_of_the_message() {
    let repeated = terminal(&[tgpp(1402, WHITE), tgpp(1402, UNKNOWN)]);
    let unknown = terminal(&[tgpp(1402, WHITE), base(9999, "in")]);
    let broken = terminal(&[raw_avp(1402, VM, Some(TGPP), 5, b"")]);
    check(&[
        row(
            "missing outside, repeated inside",
            &ecr().instead(1401, repeated.clone()).without(277),
            5005,
            Some(number(277, 0)),
        ),
        row(
            "missing inside, repeated outside",
            &ecr()
                .instead(1401, terminal(&[]))
                .with(base(1, "001010123456788")),
            5005,
            Some(in_terminal(&tgpp(1402, ""))),
        ),
        row(
            "unknown outside, repeated inside",
            &ecr().instead(1401, repeated).with(base(9999, "out")),
            5009,
            Some(in_terminal(&tgpp(1402, UNKNOWN))),
        ),
        row(
            "unknown in both",
            &ecr().instead(1401, unknown).with(base(9999, "out")),
            5001,
            Some(base(9999, "out")),
        ),
        row(
            "broken inside, another host outside",
            &ecr().instead(1401, broken).with(base(293, "other")),
            5014,
            Some(in_terminal(&tgpp(1402, ""))),
        ),
    ]);
}

//----------- What answers repeat, under faults -------------------------------

#[test]
fn proxy_infos_and_session_come_back_with_every_fault() {
    let proxy = |name: &str| base(284, group(&[base(280, name), base(33, "state")]));
    // Not a group at all, with an odd length: it is opaque to us.
    let odd = avp(284, 0x60, None, b"opaque!");
    let last = proxy("dra3");
    let dressed = |request: Request| {
        request
            .with(proxy("dra1"))
            .with(odd.clone())
            .with(last.clone())
    };
    let mut bench = Bench::open();
    for request in [
        ecr(),
        ecr().without(277),
        ecr().flags(0xe0),
        ecr().with_first(base(9999, "")),
        ecr().with(base(293, "other")),
        ecr().instead(1401, terminal_of("x")),
        Request {
            command: 316,
            ..ecr()
        },
        Request::dwr(),
    ] {
        let answer = bench.ask(&dressed(request).bytes());
        assert_eq!(answer.all(284).len(), 3);
    }
    // What stands behind a broken length is out of reach, and only that.
    let broken = dressed(ecr()).with(raw_avp(9999, M, None, 3, b""));
    let answer = bench.ask(&broken.with(proxy("lost")).bytes());
    assert_eq!(answer.result_code(), Some(5014));
    assert_eq!(answer.all(284).len(), 3);
}

#[test]
fn session_id_comes_first_wherever_it_stood() {
    let request = ecr().without(263).with(base(263, SESSION));
    let mut bench = Bench::open();
    for request in [
        request.clone(),
        request.clone().with_first(base(284, "p")),
        request.clone().with(base(9999, "")),
        request.flags(0xe0),
    ] {
        let answer = bench.ask(&request.bytes());
        assert_eq!(answer.avps[0].text(), SESSION);
    }
}

/// Answers, also wrong ones, are never answered.
#[test]
fn answers_are_not_answered() {
    let mut bench = Bench::open();
    for flags in [0x00, 0x40, 0x20, 0x60, 0x10, 0x7f] {
        for (command, application) in [(324, S13), (257, 0), (280, 0), (282, 0), (316, 1)] {
            let stray = Request::new(flags, command, application)
                .with(number(268, 2001))
                .with(base(264, MME))
                .with(base(296, REALM));
            bench.feed(&stray.bytes());
            assert!(bench.taken().is_empty(), "{flags:02x} {command}");
        }
    }
    let answer: Read = bench.ask(&ecr().bytes());
    assert_eq!(answer.verdict(), Ok(0));
}
