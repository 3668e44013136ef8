//! The capabilities exchange of a connection that a peer opened.

use core::time::Duration;

use weir::base::peer::State;
use weir::connection::{Decision, EndReason, PROBE_WAIT, Refusal};
use weir::wire::ResultCode;

use super::support::bench::{BLACK, WHITE, settings};
use super::support::bytes::{MME, REALM, Request, S13, base, group, number};
use super::support::{Bench, assert_answer_obeys_rules};
use super::{closed, only_result, secs};

#[test]
fn requests_behind_the_cer_wait_for_the_claim_and_are_then_answered() {
    let mut bench = Bench::accepted();
    let requests = [
        Request::cer().bytes(),
        Request::ecr(WHITE).numbered(1, 1).bytes(),
        Request::dwr().numbered(2, 2).bytes(),
        Request::ecr(BLACK).numbered(3, 3).bytes(),
    ];
    bench.feed(&requests.concat());
    assert_eq!(bench.input.len(), requests.concat().len(), "all waits");
    assert!(bench.out.is_empty());
    let peer = bench.connection.claim().expect("a claim").clone();
    assert_eq!(peer.origin_host, MME);
    assert_eq!(peer.origin_realm, REALM);
    assert!(!bench.connection.was_opened());
    // More input changes nothing.
    bench.feed(&[]);
    assert!(bench.out.is_empty());

    bench.connection.resolve_claim(Decision::Granted);
    assert_eq!(bench.connection.claim(), None);
    bench.feed(&[]);
    assert!(bench.input.is_empty());
    let answers = bench.taken();
    assert_eq!(answers.len(), 4);
    for (request, answer) in requests.iter().zip(&answers) {
        assert_answer_obeys_rules(request, answer);
    }
    assert!(bench.connection.was_opened());
    assert_eq!(bench.connection.peer(), Some(&peer));
}

#[test]
fn a_denied_claim_is_refused_and_ends() {
    let mut bench = Bench::accepted();
    let cer = Request::cer().bytes();
    bench.feed(&[cer.clone(), Request::ecr(WHITE).bytes()].concat());
    bench
        .connection
        .resolve_claim(Decision::Refused(Refusal::AlreadyConnected));
    bench.feed(&[]);
    let answers = bench.taken();
    assert_eq!(answers.len(), 1, "what is behind the CER is not answered");
    let cea = assert_answer_obeys_rules(&cer, &answers[0]);
    assert_eq!(cea.result_code(), Some(5012));
    let reason = EndReason::Refused(ResultCode::UNABLE_TO_COMPLY);
    assert_eq!(bench.connection.ending(), closed(reason));
    assert!(!bench.connection.was_opened());
}

/// RFC 6733 section 7.1: 3010 is a protocol error and sets the E bit, 4003 and
/// 5012 have the grammar of a CEA.
#[test]
fn refused_claims_say_why_and_end() {
    for (refusal, code) in [
        (Refusal::UnknownPeer, 3010),
        (Refusal::NotCertified, 3010),
        (Refusal::ElectionLost, 4003),
        (Refusal::AlreadyConnected, 5012),
    ] {
        let mut bench = Bench::accepted();
        let cer = Request::cer().bytes();
        bench.feed(&cer);
        bench.connection.resolve_claim(Decision::Refused(refusal));
        bench.feed(&[]);
        let answers = bench.taken();
        assert_eq!(answers.len(), 1);
        let cea = assert_answer_obeys_rules(&cer, &answers[0]);
        assert_eq!(cea.result_code(), Some(code));
        assert_eq!(cea.flags & 0x20 != 0, code == 3010);
        assert_eq!(cea.failed(), None);
        let reason = EndReason::Refused(ResultCode(code));
        assert_eq!(bench.connection.ending(), closed(reason));
    }
}

#[test]
fn anything_but_a_cer_first_closes_without_an_answer() {
    let answer = |command| Request::new(0, command, 0).with(number(268, 2001));
    for first in [
        Request::ecr(WHITE),
        Request::dwr(),
        Request::dpr(0),
        Request::cer().flags(0xa0),
        Request {
            application: S13,
            ..Request::cer()
        },
        answer(257),
        answer(280),
        answer(282),
        Request::new(0x80, 9999, 0),
    ] {
        let mut bench = Bench::accepted();
        bench.feed(&first.bytes());
        assert!(bench.taken().is_empty(), "{first:?}");
        let ending = bench.connection.ending();
        assert_eq!(ending, closed(EndReason::NotCer), "{first:?}");
        // Nothing more happens, whatever comes.
        bench.feed(&Request::cer().bytes());
        bench.pass(secs(1000));
        assert!(bench.taken().is_empty());
        assert_eq!(bench.connection.next_timeout(), None);
    }
}

#[test]
fn a_handshake_has_its_time_and_no_more() {
    // Silence, a slow CER, and a claim that nobody decides.
    let cer = Request::cer().bytes();
    for part in [0, 19, cer.len() - 1, cer.len()] {
        let mut bench = Bench::accepted();
        bench.feed(&cer[..part]);
        bench.pass(secs(10) - Duration::from_millis(1));
        assert_eq!(bench.connection.ending(), None);
        bench.pass(Duration::from_millis(1));
        let ending = bench.connection.ending();
        assert_eq!(ending, closed(EndReason::HandshakeTimeout), "{part}");
        assert!(bench.taken().is_empty());
    }
    // Once open, that time is of no concern.
    let mut bench = Bench::open();
    bench.pass(secs(11));
    assert_eq!(bench.connection.ending(), None);
}

/// Nobody else's old connection would ever be replaced where the handshake has
/// less time than that has to show life.
#[test]
fn a_claim_has_the_time_in_which_an_old_connection_must_show_life() {
    let mut settings = settings();
    settings.limits.handshake = secs(1);
    let mut bench = Bench::with(settings);
    bench.feed(&Request::cer().bytes());
    bench.pass(PROBE_WAIT);
    assert_eq!(bench.connection.ending(), None);
    bench.connection.resolve_claim(Decision::Granted);
    bench.feed(&[]);
    assert_eq!(bench.connection.state(), State::Open);
}

#[test]
fn refused_cers_say_why_and_end() {
    let s6a = base(260, group(&[number(266, 10415), number(258, 16_777_251)]));
    let vendor_only = base(260, group(&[number(266, 10415)]));
    let both = [number(266, 10415), number(258, S13), number(259, S13)];
    let cases = [
        (settings(), Request::bare_cer(), 5010, None),
        (settings(), Request::bare_cer().with(s6a), 5010, None),
        (settings(), Request::cer().with(number(299, 1)), 5017, None),
        (
            settings(),
            Request::bare_cer().with(vendor_only),
            5005,
            Some(base(260, group(&[number(258, 0), number(259, 0)]))),
        ),
        (
            settings(),
            Request::bare_cer().with(base(260, group(&both))),
            5009,
            Some(base(260, group(&both[1..]))),
        ),
        (
            settings(),
            Request::cer().without(257),
            5005,
            Some(base(257, [0; 6])),
        ),
        (
            settings(),
            Request::cer().without(264),
            5005,
            Some(base(264, "")),
        ),
        (
            settings(),
            Request::cer().instead(264, base(264, "")),
            5004,
            Some(base(264, "")),
        ),
        (
            settings(),
            Request::cer().instead(296, base(296, "a realm")),
            5004,
            Some(base(296, "a realm")),
        ),
        (
            settings(),
            Request::cer().instead(266, base(266, "abc")),
            5014,
            Some(base(266, "abc")),
        ),
        (
            settings(),
            Request::cer().with(base(9999, "x")),
            5001,
            Some(base(9999, "x")),
        ),
        (
            settings(),
            Request::cer().with(number(268, 2001)),
            5008,
            Some(number(268, 2001)),
        ),
        (
            settings(),
            Request::cer().with(base(264, MME)),
            5009,
            Some(base(264, MME)),
        ),
    ];
    for (settings, cer, code, failed) in cases {
        let mut bench = Bench::with(settings);
        let cea = bench.ask(&cer.bytes());
        assert_eq!(cea.result_code(), Some(code), "{cer:?}");
        assert_eq!(cea.failed(), failed.as_deref(), "{cer:?}");
        // With the E bit another grammar holds; without it, a CEA is whole.
        for code in [257, 266, 269] {
            assert_eq!(cea.all(code).is_empty(), cea.flags & 0x20 != 0);
        }
        let reason = EndReason::Refused(ResultCode(code));
        assert_eq!(bench.connection.ending(), closed(reason));
    }
}

/// The CER of the Open5GS MME: Vendor-Id 0, S6a beside S13, the application in
/// front of the vendor, an address that is not the socket's.
#[test]
fn the_cer_of_a_real_client_is_accepted() {
    let vsai = |application| base(260, group(&[number(258, application), number(266, 10415)]));
    let cer = Request::new(0x80, 257, 0)
        .with(base(264, "mme.localdomain"))
        .with(base(296, "localdomain"))
        .with(base(257, [0, 1, 127, 0, 0, 2]))
        .with(number(266, 0))
        .with(base(269, "freediameter"))
        .with(number(278, 1))
        .with(number(267, 10500))
        .with(number(299, 0))
        .with(number(265, 10415))
        .with(number(265, 10415))
        .with(vsai(16_777_251))
        .with(vsai(S13));
    let mut bench = Bench::accepted();
    bench.feed(&cer.bytes());
    let peer = bench.connection.claim().expect("a claim");
    assert_eq!(peer.origin_host, "mme.localdomain");
    assert_eq!(peer.state_id, 1);
    bench.connection.resolve_claim(Decision::Granted);
    bench.feed(&[]);
    assert_eq!(only_result(&mut bench), Some(2001));
}

#[test]
fn a_second_cer_of_the_same_peer_is_answered_again() {
    let mut bench = Bench::open();
    let upper = MME.to_uppercase();
    for cer in [
        Request::cer(),
        Request::cer().instead(264, base(264, upper)),
    ] {
        let cea = bench.ask(&cer.bytes());
        assert_eq!(cea.result_code(), Some(2001));
        assert_eq!(bench.connection.state(), State::Open);
    }
    assert_eq!(bench.ask(&Request::ecr(WHITE).bytes()).verdict(), Ok(0));
}

#[test]
fn a_second_cer_of_another_peer_ends() {
    let mut bench = Bench::open();
    let cer = Request::cer().instead(264, base(264, "other.example"));
    assert_eq!(bench.ask(&cer.bytes()).result_code(), Some(5012));
    let reason = EndReason::Refused(ResultCode::UNABLE_TO_COMPLY);
    assert_eq!(bench.connection.ending(), closed(reason));
    let peer = bench.connection.peer().expect("the first peer");
    assert_eq!(peer.origin_host, MME);
}
