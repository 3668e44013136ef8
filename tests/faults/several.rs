//! Several faults in one message, and what answers repeat whatever the fault is.

use super::support::bench::{UNKNOWN, WHITE};
use super::support::bytes::{
    M, MME, REALM, Request, S13, SESSION, TGPP, VM, avp, base, group, number, raw_avp, terminal,
    terminal_of, tgpp,
};
use super::support::{Bench, Read};
use super::{check, ecr, in_terminal, row};

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
