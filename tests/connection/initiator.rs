//! A connection that this node opens: CER out, CEA in, and then as any other.

use core::time::Duration;
use std::sync::Arc;

use weir::base::Node;
use weir::base::disconnect::DisconnectCause;
use weir::base::peer::State;
use weir::connection::{Callee, Connection, EndReason};
use weir::wire::ResultCode;

use super::support::bench::{ADDRESS, BLACK, WHITE, settings};
use super::support::bytes::{EIR, Request, S13, avp, base, group, number};
use super::support::{Bench, Read};
use super::{closed, codes, secs};

/// The agent that is called, and its realm.
const DRA: &str = "dra.example";
const DRA_REALM: &str = "example";

/// Calls the agent, and returns its CER as well.
fn call(origin_realm: Option<&str>) -> (Bench, Read) {
    let mut bench = Bench::accepted();
    let callee = Callee {
        origin_host: "DRA.example".to_owned(),
        origin_realm: origin_realm.map(str::to_owned),
    };
    let node = Arc::new(Node::new(settings()));
    let now = bench.now.uptime;
    bench.connection = Connection::initiate(node, &[ADDRESS], 42, now, callee, &mut bench.out);
    let sent = bench.taken();
    assert_eq!(codes(&sent), [257]);
    let cer = Read::strictly(&sent[0]).expect("a sound CER");
    (bench, cer)
}

/// A CEA to `cer` with this Result-Code and no application.
fn bare_cea(cer: &Read, code: u32) -> Request {
    Request::new(0, 257, 0)
        .numbered(cer.hop_by_hop, cer.end_to_end)
        .with(number(268, code))
        .with(base(264, DRA))
        .with(base(296, DRA_REALM))
        .with(base(257, [0, 1, 192, 0, 2, 99]))
        .with(number(266, 0))
        .with(avp(269, 0, None, b"agent"))
}

/// A CEA that opens: of a relay.
fn cea(cer: &Read) -> Request {
    bare_cea(cer, 2001).with(number(258, 0xffff_ffff))
}

/// A connection that was opened to the agent.
fn opened() -> Bench {
    let (mut bench, cer) = call(None);
    bench.feed(&cea(&cer).bytes());
    assert_eq!(bench.connection.state(), State::Open);
    bench
}

#[test]
fn our_cer_is_sound() {
    let (bench, cer) = call(None);
    assert_eq!((cer.flags, cer.command, cer.application), (0x80, 257, 0));
    // RFC 6733 section 5.3.1, in its order.
    let codes: Vec<u32> = cer.avps.iter().map(|avp| avp.code).collect();
    assert_eq!(codes, [264, 296, 257, 266, 269, 278, 265, 260, 267]);
    assert_eq!(cer.avps[0].data, EIR.as_bytes());
    assert_eq!(bench.connection.state(), State::WaitCea);
    assert!(bench.connection.claim().is_none());
    assert!(bench.connection.peer().is_none());
}

#[test]
fn a_good_cea_opens_and_requests_are_served() {
    for origin_realm in [None, Some("EXAMPLE")] {
        let (mut bench, cer) = call(origin_realm);
        // A request right behind the CEA is answered.
        let ecr = Request::ecr(WHITE).numbered(7, 7).bytes();
        bench.feed(&[cea(&cer).bytes(), ecr].concat());
        assert_eq!(codes(&bench.taken()), [-324]);
        let peer = bench.connection.peer().expect("a peer");
        assert_eq!(
            (peer.origin_host.as_str(), peer.origin_realm.as_str()),
            (DRA, DRA_REALM)
        );
        assert!(bench.connection.was_opened());
        assert_eq!(bench.ask(&Request::ecr(BLACK).bytes()).verdict(), Ok(1));
        assert_eq!(bench.ask(&Request::dwr().bytes()).result_code(), Some(2001));
        let traffic = bench.connection.traffic();
        assert_eq!((traffic.requests, traffic.answers), (3, 3));
    }
}

#[test]
fn s13_may_be_offered_in_any_way_and_relay_will_do() {
    let vsai = |id| base(260, group(&[number(266, 10415), number(258, id)]));
    for (offer, common) in [
        (number(258, S13), true),
        (number(259, S13), true),
        (vsai(S13), true),
        (number(258, 0xffff_ffff), true),
        (vsai(16_777_251), false),
        (number(258, 4), false),
        (number(265, S13), false),
    ] {
        let (mut bench, cer) = call(None);
        bench.feed(
            &bare_cea(&cer, 2001)
                .with(vsai(16_777_251))
                .with(offer)
                .bytes(),
        );
        let want = if common {
            None
        } else {
            closed(EndReason::NoCommonApplication)
        };
        assert_eq!(bench.connection.ending(), want);
    }
}

#[test]
fn a_refusal_closes_and_is_reported_in_the_peer_s_words() {
    for code in [3010, 4003, 5010, 5012] {
        let (mut bench, cer) = call(None);
        let flags = if code < 4000 { 0x20 } else { 0 };
        let refusal = Request {
            flags,
            ..bare_cea(&cer, code)
        };
        bench.feed(&refusal.with(avp(281, 0, None, b"go away")).bytes());
        assert!(bench.taken().is_empty());
        let reason = EndReason::RefusedByPeer(ResultCode(code));
        assert_eq!(bench.connection.ending(), closed(reason));
        assert_eq!(bench.connection.said(), Some("go away"));
        assert!(!bench.connection.was_opened());
        assert!(bench.connection.next_timeout().is_none());
    }
}

/// Logs and the table of peers show it.
#[test]
fn of_what_the_peer_says_no_more_is_kept_than_a_name_may_have() {
    for code in [3010, 2001] {
        let (mut bench, cer) = call(None);
        let much = "ä".repeat(30_000);
        let cea = match code {
            2001 => cea(&cer).instead(264, base(264, &much)),
            _ => bare_cea(&cer, code).with(avp(281, 0, None, much.as_bytes())),
        };
        bench.feed(&cea.bytes());
        let said = match code {
            2001 => &bench.connection.peer().unwrap().origin_host,
            _ => bench.connection.said().unwrap(),
        };
        assert_eq!(said.chars().count(), 128, "255 octets, the last cut");
    }
}

#[test]
fn only_the_callee_is_let_in() {
    for (realm, cea_with, want) in [
        (None, base(264, "dra2.example"), Some(EndReason::WrongPeer)),
        (None, base(264, ""), Some(EndReason::WrongPeer)),
        (None, base(264, "dRA.exAMPLE"), None),
        (
            Some("example"),
            base(296, "other"),
            Some(EndReason::WrongPeer),
        ),
        (None, base(296, "other"), None),
    ] {
        let (mut bench, cer) = call(realm);
        let code = u32::from_be_bytes(cea_with[..4].try_into().expect("a code"));
        bench.feed(&cea(&cer).instead(code, cea_with).bytes());
        assert_eq!(bench.connection.ending(), want.and_then(closed));
    }
}

/// RFC 6733 section 5.6: anything but the CEA ends it (I-Rcv-Non-CEA).
#[test]
fn anything_but_the_cea_closes_without_an_answer() {
    let (_, cer) = call(None);
    let good = cea(&cer);
    let none = |request: Request| (request, EndReason::NotCea);
    for (first, reason) in [
        none(Request::cer()),
        none(Request::dwr()),
        none(Request::dpr(0)),
        none(Request::ecr(WHITE)),
        none(Request::new(0, 280, 0)),
        none(Request::new(0, 282, 0)),
        none(Request::new(0x40, 324, S13)),
        // To another CER than ours.
        none(good.clone().numbered(cer.hop_by_hop ^ 1, cer.end_to_end)),
        none(Request {
            application: S13,
            ..good.clone()
        }),
        (
            good.clone().instead(268, base(268, "abc")),
            EndReason::BadCea,
        ),
        (good.without(268), EndReason::RefusedByPeer(ResultCode(0))),
    ] {
        let (mut bench, _) = call(None);
        bench.feed(&first.bytes());
        assert!(bench.taken().is_empty(), "{first:?}");
        assert_eq!(bench.connection.ending(), closed(reason), "{first:?}");
        bench.feed(&Request::cer().bytes());
        bench.pass(secs(1000));
        assert!(bench.taken().is_empty());
    }
}

#[test]
fn a_cea_has_its_time() {
    let (mut bench, cer) = call(None);
    bench.pass(secs(10) - Duration::from_millis(1));
    assert_eq!(bench.connection.ending(), None);
    bench.pass(Duration::from_millis(1));
    assert_eq!(
        bench.connection.ending(),
        closed(EndReason::HandshakeTimeout)
    );
    // Too late.
    bench.feed(&cea(&cer).bytes());
    assert!(!bench.connection.was_opened());
}

#[test]
fn a_second_cea_changes_nothing() {
    let (mut bench, cer) = call(None);
    bench.feed(&cea(&cer).bytes());
    for again in [
        cea(&cer),
        bare_cea(&cer, 5012),
        cea(&cer).instead(264, base(264, "x")),
    ] {
        bench.feed(&again.bytes());
        assert_eq!(bench.connection.state(), State::Open);
        assert_eq!(bench.connection.peer().expect("a peer").origin_host, DRA);
    }
}

#[test]
fn watchdog_and_disconnect_are_those_of_any_connection() {
    let mut bench = opened();
    bench.pass(secs(33));
    assert_eq!(codes(&bench.taken()), [280]);
    bench.pass(secs(70));
    assert_eq!(
        bench.connection.ending(),
        closed(EndReason::WatchdogTimeout)
    );

    let mut bench = opened();
    assert_eq!(
        bench.ask(&Request::dpr(1).bytes()).result_code(),
        Some(2001)
    );
    let reason = EndReason::PeerDisconnected(DisconnectCause::BUSY);
    assert_eq!(bench.connection.loss(), reason);

    let mut bench = opened();
    let cause = DisconnectCause::DO_NOT_WANT_TO_TALK_TO_YOU;
    bench
        .connection
        .begin_disconnect(cause, bench.now.uptime, &mut bench.out);
    let dpr = Read::strictly(&bench.taken()[0]).expect("a sound DPR");
    assert_eq!((dpr.command, dpr.avps[2].number()), (282, 2));
}

/// Both sides have called, and the accepted connection is kept.
#[test]
fn an_election_that_is_won_ends_the_call() {
    let (mut bench, cer) = call(None);
    bench.connection.supersede();
    assert_eq!(bench.connection.ending(), closed(EndReason::ElectionWon));
    bench.feed(&cea(&cer).bytes());
    assert!(!bench.connection.was_opened());
    // Once open, it is a newer connection that takes the place.
    let mut bench = opened();
    bench.connection.supersede();
    assert_eq!(bench.connection.ending(), closed(EndReason::Superseded));
}

/// An end before the CEA needs no DPR.
#[test]
fn before_the_cea_a_call_just_ends() {
    let (mut bench, _) = call(None);
    let cause = DisconnectCause::REBOOTING;
    bench
        .connection
        .begin_disconnect(cause, bench.now.uptime, &mut bench.out);
    assert!(bench.taken().is_empty());
    assert_eq!(bench.connection.ending(), closed(EndReason::Shutdown));
}
