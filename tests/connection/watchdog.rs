//! The watchdog (RFC 3539 section 3.4.1), and demands for a sign of life.

use core::time::Duration;

use weir::base::disconnect::DisconnectCause;
use weir::base::peer::State;
use weir::connection::EndReason;
use weir::time::Uptime;

use super::support::bench::{UNKNOWN, WHITE};
use super::support::bytes::{MME, REALM, Request, S13, base, number};
use super::support::{Bench, Read, assert_answer_obeys_rules};
use super::{closed, codes, secs};

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

/// The time from a DWR to its DWA, and to none but its own.
#[test]
fn the_watchdog_measures_the_round_trip() {
    let mut bench = Bench::open();
    assert_eq!(bench.connection.round_trip(), None);
    for (wait, pairs) in [(40, true), (7, true), (300, false)] {
        let before = bench.connection.round_trip();
        let start = bench.now.uptime;
        ring(&mut bench, start);
        let dwr = Read::strictly(&bench.taken()[0]).expect("a DWR");
        let wait = Duration::from_millis(wait);
        bench.now.uptime = bench.now.uptime.plus(wait);
        let hop_by_hop = if pairs {
            dwr.hop_by_hop
        } else {
            !dwr.hop_by_hop
        };
        let dwa = Request::new(0, 280, 0)
            .numbered(hop_by_hop, dwr.end_to_end)
            .with(number(268, 2001))
            .with(base(264, MME))
            .with(base(296, REALM));
        bench.feed(&dwa.bytes());
        let want = if pairs { Some(wait) } else { before };
        assert_eq!(bench.connection.round_trip(), want);
    }
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
