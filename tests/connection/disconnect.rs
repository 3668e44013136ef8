//! DPR and DPA, of either side.

use core::time::Duration;

use weir::base::disconnect::DisconnectCause;
use weir::base::peer::State;
use weir::connection::EndReason;

use super::support::bench::{BLACK, WHITE};
use super::support::bytes::{MME, REALM, Request, S13, base, number};
use super::support::{Bench, Read};
use super::{closed, secs};

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
