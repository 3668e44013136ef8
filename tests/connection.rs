//! One connection in virtual time: handshake, watchdog, disconnect, limits.
//!
//! Times are checked against RFC 3539 section 3.4.1: Tw is 30 s, and every
//! arming of the timer adds up to 2 s either way.

mod support;

use core::time::Duration;

use support::bench::{BLACK, UNKNOWN, WHITE, settings};
use support::bytes::{MME, REALM, Request, S13, base, group, number};
use support::{Bench, Read, assert_answer_obeys_rules};
use weir::base::disconnect::DisconnectCause;
use weir::base::node::{Admission, KnownPeer, Limits, NodeSettings};
use weir::base::peer::State;
use weir::connection::{EndReason, Ending};
use weir::time::Uptime;
use weir::wire::{BrokenFrame, ResultCode};

/// So many seconds.
const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// An orderly ending for this reason.
const fn closed(reason: EndReason) -> Option<Ending> {
    Some(Ending {
        abort: false,
        reason,
    })
}

/// Reads what was composed, and returns the Command Codes, negative for
/// answers.
fn codes(messages: &[Vec<u8>]) -> Vec<i64> {
    messages
        .iter()
        .map(|message| {
            let read = Read::strictly(message).expect("a sound message");
            let code = i64::from(read.command);
            if read.flags & 0x80 == 0 { -code } else { code }
        })
        .collect()
}

/// The Result-Code of the only message composed.
fn only_result(bench: &mut Bench) -> Option<u32> {
    let messages = bench.taken();
    assert_eq!(messages.len(), 1);
    Read::strictly(&messages[0]).expect("sound").result_code()
}

/// Settings with other limits.
fn limited(change: impl FnOnce(&mut Limits)) -> NodeSettings {
    let mut settings = settings();
    change(&mut settings.limits);
    settings
}

//----------- Handshake -------------------------------------------------------

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

    bench.connection.resolve_claim(true);
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
    bench.connection.resolve_claim(false);
    bench.feed(&[]);
    let answers = bench.taken();
    assert_eq!(answers.len(), 1, "what is behind the CER is not answered");
    let cea = assert_answer_obeys_rules(&cer, &answers[0]);
    assert_eq!(cea.result_code(), Some(5012));
    let reason = EndReason::Refused(ResultCode::UNABLE_TO_COMPLY);
    assert_eq!(bench.connection.ending(), closed(reason));
    assert!(!bench.connection.was_opened());
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

#[test]
fn refused_cers_say_why_and_end() {
    let known = NodeSettings {
        admission: Admission {
            unknown_peers: false,
            peers: vec![KnownPeer {
                origin_host: "other.example".to_owned(),
                origin_realm: None,
            }],
        },
        ..settings()
    };
    let s6a = base(260, group(&[number(266, 10415), number(258, 16_777_251)]));
    let vendor_only = base(260, group(&[number(266, 10415)]));
    let both = [number(266, 10415), number(258, S13), number(259, S13)];
    let cases = [
        (known, Request::cer(), 3010, None),
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
    bench.connection.resolve_claim(true);
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

//----------- Watchdog --------------------------------------------------------

#[test]
fn a_dwr_is_answered_in_every_open_state() {
    let mut open = Bench::open();
    assert_eq!(open.ask(&Request::dwr().bytes()).result_code(), Some(2001));

    let mut closing = Bench::open();
    let now = closing.now.uptime;
    let cause = DisconnectCause::REBOOTING;
    closing
        .connection
        .begin_disconnect(cause, now, &mut closing.out);
    assert_eq!(closing.connection.state(), State::DprSent);
    closing.taken();
    let dwa = closing.ask(&Request::dwr().bytes());
    assert_eq!(dwa.result_code(), Some(2001));
    assert_eq!(dwa.all(278).len(), 1, "Origin-State-Id");

    let mut left = Bench::open();
    left.ask(&Request::dpr(0).bytes());
    assert_eq!(left.connection.state(), State::DpaSent);
    assert_eq!(left.ask(&Request::dwr().bytes()).result_code(), Some(2001));
}

/// Steps from timer to timer, and returns when the next one that does
/// something rang, in seconds since `since`.
fn ring(bench: &mut Bench, since: Uptime) -> f64 {
    let due = bench.connection.next_timeout().expect("a timer");
    bench.now.uptime = due;
    bench.connection.handle_timeout(due, &mut bench.out);
    due.since(since).as_secs_f64()
}

/// Asserts that `time` is `want` seconds, give or take `slack`.
fn assert_near(time: f64, want: f64, slack: f64) {
    assert!(
        (time - want).abs() <= slack,
        "{time} s, not {want} ± {slack}"
    );
}

#[test]
fn silence_is_probed_then_suspect_then_closed() {
    let mut bench = Bench::open();
    let start = bench.now.uptime;
    assert_near(ring(&mut bench, start), 30.0, 2.0);
    let dwr = bench.taken();
    assert_eq!(codes(&dwr), [280]);
    assert!(!bench.connection.is_suspect());
    assert_near(ring(&mut bench, start), 60.0, 4.0);
    assert!(bench.connection.is_suspect());
    assert_eq!(bench.connection.ending(), None);
    assert_near(ring(&mut bench, start), 90.0, 6.0);
    assert_eq!(
        bench.connection.ending(),
        closed(EndReason::WatchdogTimeout)
    );
    assert!(bench.taken().is_empty(), "one DWR, and no more");
    assert_eq!(bench.connection.next_timeout(), None);
}

#[test]
fn a_dwr_of_ours_is_sound() {
    let mut bench = Bench::open();
    let start = bench.now.uptime;
    ring(&mut bench, start);
    let sent = bench.taken();
    let dwr = Read::strictly(&sent[0]).expect("a sound DWR");
    assert_eq!((dwr.flags, dwr.command, dwr.application), (0x80, 280, 0));
    let codes: Vec<u32> = dwr.avps.iter().map(|avp| avp.code).collect();
    assert_eq!(codes, [264, 296, 278]);
    assert_eq!(dwr.avps[2].number(), 1_767_225_600);
}

/// Any message is a sign of life: the timer starts anew, and a suspect is one
/// no more.
#[test]
fn every_message_is_a_sign_of_life() {
    let dwa = Request::new(0, 280, 0)
        .with(number(268, 2001))
        .with(base(264, MME))
        .with(base(296, REALM));
    let stray = Request::new(0x40, 324, S13);
    let faulty = Request::new(0xc0, 1, 2);
    for life in [dwa, stray, faulty, Request::ecr(WHITE), Request::dwr()] {
        for missed in 0..3 {
            let mut bench = Bench::open();
            let start = bench.now.uptime;
            for _ in 0..missed {
                ring(&mut bench, start);
            }
            assert_eq!(bench.connection.is_suspect(), missed == 2);
            bench.now.uptime = bench.now.uptime.plus(secs(5));
            let heard = bench.now.uptime;
            bench.feed(&life.bytes());
            assert!(!bench.connection.is_suspect(), "failback");
            bench.taken();
            assert_near(ring(&mut bench, heard), 30.0, 2.0);
            assert_eq!(codes(&bench.taken()), [280]);
            assert_eq!(bench.connection.ending(), None);
        }
    }
}

/// Pieces of a message are not a message: they do not keep a peer alive.
#[test]
fn half_a_message_is_no_sign_of_life() {
    let mut bench = Bench::open();
    let request = Request::ecr(WHITE).bytes();
    for octet in &request[..request.len() - 1] {
        bench.pass(secs(1));
        bench.feed(&[*octet]);
    }
    assert_eq!(
        bench.connection.ending(),
        closed(EndReason::WatchdogTimeout)
    );
}

#[test]
fn a_client_that_answers_is_probed_for_ever() {
    let mut bench = Bench::open();
    for _ in 0..100 {
        let before = bench.now.uptime;
        assert_near(ring(&mut bench, before), 30.0, 2.0);
        let dwr = Read::strictly(&bench.taken()[0]).expect("a DWR");
        let dwa = Request::new(0, 280, 0)
            .numbered(dwr.hop_by_hop, dwr.end_to_end)
            .with(number(268, 2001))
            .with(base(264, MME))
            .with(base(296, REALM));
        bench.feed(&dwa.bytes());
        assert!(bench.taken().is_empty());
    }
    assert_eq!(bench.connection.state(), State::Open);
}

/// What freeDiameter sends after it has lost a connection.
#[test]
fn three_dwrs_in_a_row_after_a_reopen() {
    let mut bench = Bench::open();
    let dwrs = [1, 2, 3].map(|number| Request::dwr().numbered(number, number).bytes());
    bench.feed(&dwrs.concat());
    let answers = bench.taken();
    assert_eq!(answers.len(), 3);
    for (dwr, answer) in dwrs.iter().zip(&answers) {
        let dwa = assert_answer_obeys_rules(dwr, answer);
        assert_eq!(dwa.result_code(), Some(2001));
    }
    assert_eq!(
        bench.ask(&Request::ecr(UNKNOWN).bytes()).verdict(),
        Err(5422)
    );
}

#[test]
fn a_demand_for_life_is_met_or_ends_the_connection() {
    let mut dead = Bench::open();
    dead.connection.demand_life(dead.now.uptime, &mut dead.out);
    assert!(dead.connection.is_probing());
    assert_eq!(codes(&dead.taken()), [280]);
    dead.pass(secs(3) - Duration::from_millis(1));
    assert_eq!(dead.connection.ending(), None);
    dead.pass(Duration::from_millis(1));
    assert_eq!(dead.connection.ending(), closed(EndReason::Superseded));

    let mut alive = Bench::open();
    let now = alive.now.uptime;
    alive.connection.demand_life(now, &mut alive.out);
    alive.taken();
    alive.pass(secs(2));
    assert_eq!(alive.ask(&Request::dwr().bytes()).result_code(), Some(2001));
    assert!(!alive.connection.is_probing());
    alive.pass(secs(20));
    assert_eq!(alive.connection.ending(), None);
}

/// A client that crashed tries every second to come back: that must not keep
/// its dead connection alive.
#[test]
fn demands_repeated_do_not_postpone_the_end() {
    let mut bench = Bench::open();
    for _ in 0..3 {
        assert_eq!(bench.connection.ending(), None);
        let now = bench.now.uptime;
        bench.connection.demand_life(now, &mut bench.out);
        bench.pass(secs(1));
    }
    assert_eq!(bench.connection.ending(), closed(EndReason::Superseded));
    assert_eq!(codes(&bench.taken()), [280], "one DWR is enough");
}

#[test]
fn a_superseded_connection_ends() {
    let mut bench = Bench::open();
    bench.connection.supersede();
    // It is over: no timer, no demand, no message changes that.
    let now = bench.now.uptime;
    bench.connection.demand_life(now, &mut bench.out);
    assert_eq!(bench.connection.next_timeout(), None);
    assert_eq!(bench.connection.ending(), closed(EndReason::Superseded));
    bench.feed(&Request::ecr(WHITE).bytes());
    assert!(bench.taken().is_empty());
}

//----------- Disconnect ------------------------------------------------------

#[test]
fn the_peer_disconnects_for_any_cause() {
    for cause in [0, 1, 2, 3, u32::MAX] {
        let mut bench = Bench::open();
        let dpa = bench.ask(&Request::dpr(cause).bytes());
        assert_eq!(dpa.result_code(), Some(2001));
        assert_eq!(bench.connection.state(), State::DpaSent);
        assert_eq!(bench.connection.ending(), None, "the peer closes");
        let reason = EndReason::PeerDisconnected(DisconnectCause(cause));
        assert_eq!(bench.connection.loss(), reason);
        // Requests that the DPR overtook are still answered.
        assert_eq!(bench.ask(&Request::ecr(WHITE).bytes()).verdict(), Ok(0));
        // A peer that does not close is not waited for much longer.
        bench.pass(secs(4));
        assert_eq!(bench.connection.ending(), None);
        bench.pass(secs(2));
        assert_eq!(bench.connection.ending(), closed(reason));
        assert!(bench.taken().is_empty(), "no DWR while closing");
    }
}

/// A peer that repeats its DPR gets a DPA each time, and no more time.
#[test]
fn repeated_dprs_do_not_postpone_the_end() {
    let mut bench = Bench::open();
    for _ in 0..5 {
        assert_eq!(bench.connection.ending(), None);
        let dpa = bench.ask(&Request::dpr(2).bytes());
        assert_eq!(dpa.result_code(), Some(2001));
        bench.pass(secs(1));
    }
    let reason = EndReason::PeerDisconnected(DisconnectCause(2));
    assert_eq!(bench.connection.ending(), closed(reason));
}

/// Begins our end of the connection, and returns the DPR.
fn our_dpr(bench: &mut Bench, cause: DisconnectCause) -> Read {
    let now = bench.now.uptime;
    bench
        .connection
        .begin_disconnect(cause, now, &mut bench.out);
    let sent = bench.taken();
    assert_eq!(sent.len(), 1);
    Read::strictly(&sent[0]).expect("a sound DPR")
}

/// The DPA to this DPR.
fn dpa_to(dpr: &Read) -> Request {
    Request::new(0, 282, 0)
        .numbered(dpr.hop_by_hop, dpr.end_to_end)
        .with(number(268, 2001))
        .with(base(264, MME))
        .with(base(296, REALM))
}

#[test]
fn our_dpr_is_sound_and_its_dpa_closes() {
    let mut bench = Bench::open();
    let dpr = our_dpr(&mut bench, DisconnectCause::REBOOTING);
    assert_eq!((dpr.flags, dpr.command, dpr.application), (0x80, 282, 0));
    let codes: Vec<u32> = dpr.avps.iter().map(|avp| avp.code).collect();
    assert_eq!(codes, [264, 296, 273]);
    assert_eq!(dpr.avps[2].number(), 0);
    // What the peer sent before it saw the DPR is answered.
    assert_eq!(bench.ask(&Request::ecr(BLACK).bytes()).verdict(), Ok(1));
    // Asking again sends no second DPR.
    let now = bench.now.uptime;
    let cause = DisconnectCause::BUSY;
    bench
        .connection
        .begin_disconnect(cause, now, &mut bench.out);
    assert!(bench.taken().is_empty());
    bench.feed(&dpa_to(&dpr).bytes());
    assert!(bench.taken().is_empty());
    assert_eq!(bench.connection.ending(), closed(EndReason::Disconnected));
}

/// A DPA of another application is none; one that is an error is one.
#[test]
fn what_counts_as_a_dpa() {
    for (flags, application, ends) in [(0, S13, false), (0x40, 1, false), (0x20, 0, true)] {
        let mut bench = Bench::open();
        let dpr = our_dpr(&mut bench, DisconnectCause::REBOOTING);
        let answer = Request {
            flags,
            application,
            ..dpa_to(&dpr)
        };
        bench.feed(&answer.bytes());
        assert_eq!(bench.connection.ending().is_some(), ends);
    }
    // And one that nobody asked for does nothing.
    let mut bench = Bench::open();
    bench.feed(&Request::new(0, 282, 0).bytes());
    assert_eq!(bench.connection.state(), State::Open);
}

#[test]
fn an_unanswered_dpr_has_its_time() {
    let mut bench = Bench::open();
    our_dpr(&mut bench, DisconnectCause::REBOOTING);
    bench.pass(secs(5) - Duration::from_millis(1));
    assert_eq!(bench.connection.ending(), None);
    bench.pass(Duration::from_millis(1));
    assert_eq!(
        bench.connection.ending(),
        closed(EndReason::DisconnectTimeout)
    );
}

#[test]
fn crossing_dprs_are_both_answered() {
    let mut bench = Bench::open();
    let dpr = our_dpr(&mut bench, DisconnectCause::REBOOTING);
    let dpa = bench.ask(&Request::dpr(0).bytes());
    assert_eq!(dpa.result_code(), Some(2001));
    assert_eq!(bench.connection.ending(), None, "ours is unanswered");
    bench.feed(&dpa_to(&dpr).bytes());
    assert_eq!(bench.connection.ending(), closed(EndReason::Disconnected));
}

#[test]
fn before_it_is_open_a_connection_just_ends() {
    let mut claiming = Bench::accepted();
    claiming.feed(&Request::cer().bytes());
    for mut bench in [Bench::accepted(), claiming] {
        let now = bench.now.uptime;
        let cause = DisconnectCause::REBOOTING;
        bench
            .connection
            .begin_disconnect(cause, now, &mut bench.out);
        assert!(bench.taken().is_empty());
        assert_eq!(bench.connection.ending(), closed(EndReason::Shutdown));
    }
}

#[test]
fn a_cer_while_closing_is_refused() {
    let mut bench = Bench::open();
    bench.ask(&Request::dpr(0).bytes());
    assert_eq!(bench.ask(&Request::cer().bytes()).result_code(), Some(5012));
    assert!(bench.connection.ending().is_some());
}

//----------- Limits and framing ----------------------------------------------

#[test]
fn unread_answers_stop_the_reading() {
    let mut bench = Bench::with(limited(|limits| limits.output_len_max = 1000)).opened();
    let requests: Vec<Vec<u8>> = (0..50)
        .map(|number| Request::ecr(WHITE).numbered(number, number).bytes())
        .collect();
    bench.feed(&requests.concat());
    let mut answered = 0;
    let mut rounds = 0;
    loop {
        let answers = bench.taken();
        if answers.is_empty() {
            break;
        }
        let len: usize = answers.iter().map(Vec::len).sum();
        let last = answers.last().map_or(0, Vec::len);
        assert!(len - last < 1000, "{len} octets wait");
        for answer in &answers {
            assert_answer_obeys_rules(&requests[answered], answer);
            answered += 1;
        }
        // Full again: what is not taken stays in the input.
        let before = bench.input.len();
        bench.feed(&[]);
        assert!(bench.input.len() < before || before == 0);
        rounds += 1;
    }
    assert_eq!(answered, 50);
    assert!(rounds > 5, "{rounds}");
    assert!(bench.input.is_empty());
}

#[test]
fn bytes_that_are_no_diameter_abort() {
    let good = Request::ecr(WHITE).bytes();
    let spoiled = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let limit = 65_536;
    let cases: Vec<(Vec<u8>, BrokenFrame)> = vec![
        (spoiled(0, &[0]), BrokenFrame::Version(0)),
        (spoiled(0, &[2]), BrokenFrame::Version(2)),
        (
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            BrokenFrame::Version(b'G'),
        ),
        (vec![0x16, 3, 1, 2], BrokenFrame::Version(0x16)),
        (spoiled(1, &[0, 0, 0]), BrokenFrame::TooShort(0)),
        (spoiled(1, &[0, 0, 19]), BrokenFrame::TooShort(19)),
        (spoiled(1, &[0, 0, 21]), BrokenFrame::Unaligned(21)),
        (
            spoiled(1, &[1, 0, 4]),
            BrokenFrame::TooLong {
                length: 65_540,
                limit,
            },
        ),
        (
            spoiled(1, &[0xff, 0xff, 0xff]),
            BrokenFrame::TooLong {
                length: 0x00ff_ffff,
                limit,
            },
        ),
    ];
    for (bytes, broken) in cases {
        let want = Some(Ending {
            abort: true,
            reason: EndReason::Broken(broken),
        });
        // At once, behind a good request (which is answered), and before the
        // handshake. Four octets are enough to tell.
        let mut open = Bench::open();
        open.feed(&[good.clone(), bytes[..4].to_vec()].concat());
        assert_eq!(codes(&open.taken()), [-324]);
        assert_eq!(open.connection.ending(), want);
        let mut accepted = Bench::accepted();
        accepted.feed(&bytes);
        assert_eq!(accepted.connection.ending(), want);
        assert!(accepted.taken().is_empty());
    }
}

/// A conversation with everything in it, as one stream of octets.
fn conversation() -> Vec<Vec<u8>> {
    vec![
        Request::cer().bytes(),
        Request::ecr(WHITE).numbered(1, 1).bytes(),
        Request::ecr(UNKNOWN).numbered(2, 2).bytes(),
        Request::dwr().numbered(3, 3).bytes(),
        Request::ecr("x").numbered(4, 4).bytes(),
        Request::ecr(BLACK).without(277).numbered(5, 5).bytes(),
        Request::new(0, 280, 0).bytes(),
        Request::ecr(BLACK).numbered(6, 6).bytes(),
        Request::cer().numbered(7, 7).bytes(),
        Request::dpr(0).numbered(8, 8).bytes(),
        Request::ecr(BLACK).numbered(9, 9).bytes(),
    ]
}

/// Feeds the conversation in chunks, granting the claim when it comes up.
fn play(chunk: usize) -> (Vec<u8>, State) {
    let mut bench = Bench::accepted();
    for part in conversation().concat().chunks(chunk) {
        bench.feed(part);
        if bench.connection.claim().is_some() {
            bench.connection.resolve_claim(true);
            bench.feed(&[]);
        }
    }
    assert!(bench.input.is_empty());
    (bench.out.to_vec(), bench.connection.state())
}

#[test]
fn how_a_stream_is_cut_does_not_matter() {
    let whole = play(usize::MAX);
    assert_eq!(Read::stream(&whole.0).len(), 10);
    for chunk in [1, 2, 3, 19, 20, 21, 100, 333] {
        assert_eq!(play(chunk), whole, "chunks of {chunk}");
    }
}

#[test]
fn user_messages_are_answered_like_a_stream() {
    let mut bench = Bench::accepted();
    for message in conversation() {
        while !bench.connection.handle_message(
            bench.now,
            &message,
            &bench.rulebook,
            &mut bench.out,
            &mut (),
        ) {
            assert!(bench.connection.claim().is_some(), "only a claim waits");
            bench.connection.resolve_claim(true);
        }
    }
    let (stream, state) = play(usize::MAX);
    assert_eq!(bench.out.to_vec(), stream);
    assert_eq!(bench.connection.state(), state);
}

#[test]
fn a_user_message_holds_exactly_one_message() {
    let good = Request::ecr(WHITE).bytes();
    let cases = [
        Vec::new(),
        good[..3].to_vec(),
        good[..good.len() - 4].to_vec(),
        [good.clone(), vec![0; 4]].concat(),
        [good.clone(), good.clone()].concat(),
    ];
    for message in cases {
        let mut bench = Bench::open();
        let taken = bench.connection.handle_message(
            bench.now,
            &message,
            &bench.rulebook,
            &mut bench.out,
            &mut (),
        );
        assert!(taken, "there is no use in handing it in again");
        assert!(bench.taken().is_empty());
        let ending = bench.connection.ending().expect("an end");
        assert!(ending.abort, "{ending:?}");
        assert!(matches!(
            ending.reason,
            EndReason::Broken(BrokenFrame::Boundary { .. })
        ));
    }
}

/// Captures that begin in the middle.
#[test]
fn a_connection_may_begin_open() {
    let bench = Bench::open();
    let mut other = Bench::open();
    other.connection = weir::connection::Connection::already_open(
        std::sync::Arc::new(weir::base::Node::new(settings())),
        &[support::bench::ADDRESS],
        bench.now.uptime,
    );
    assert_eq!(other.ask(&Request::ecr(WHITE).bytes()).verdict(), Ok(0));
    assert!(other.connection.was_opened());
}
