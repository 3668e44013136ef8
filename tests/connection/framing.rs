//! Limits, and where messages begin and end.

use weir::base::node::{Limits, NodeSettings};
use weir::base::peer::State;
use weir::connection::{Decision, EndReason, Ending};
use weir::wire::BrokenFrame;

use super::codes;
use super::support::bench::{BLACK, UNKNOWN, WHITE, settings};
use super::support::bytes::Request;
use super::support::{self, Bench, Read, assert_answer_obeys_rules};

/// Settings with other limits.
fn limited(change: impl FnOnce(&mut Limits)) -> NodeSettings {
    let mut settings = settings();
    change(&mut settings.limits);
    settings
}

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
            bench.connection.resolve_claim(Decision::Granted);
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

/// More messages than are read ahead, in every order that may matter: what is
/// read ahead must not be handled before its turn, nor after the end.
#[test]
fn many_at_once_are_answered_as_one_by_one() {
    let kinds = [
        Request::ecr(WHITE),
        Request::ecr(UNKNOWN),
        Request::ecr(BLACK),
        Request::ecr("x"),
        Request::ecr(BLACK).without(277),
        Request::ecr(WHITE).without(1401),
        Request::dwr(),
        Request::cer(),
        Request {
            application: 16_777_251,
            ..Request::ecr(WHITE)
        },
    ];
    let mut random = 1u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (random >> 33) % below
    };
    for round in 0..60 {
        let mut messages: Vec<Vec<u8>> = (0..100)
            .map(|number| {
                // Mostly requests that are looked up, so that they stand together.
                let kind = next(3 * kinds.len() as u64) as usize % kinds.len();
                kinds[kind].clone().numbered(number, number).bytes()
            })
            .collect();
        match round % 3 {
            0 => {}
            1 => messages[next(100) as usize] = Request::dpr(0).numbered(0, 0).bytes(),
            _ => messages[next(100) as usize] = vec![9; 20],
        }
        let limit = [262_144, 1000, 5000][round / 3 % 3];
        let limits = limited(|limits| limits.output_len_max = limit);
        let mut one_by_one = Bench::with(limits.clone()).opened();
        let mut expected = Vec::new();
        for message in &messages {
            one_by_one.feed(message);
            expected.extend(one_by_one.taken());
        }
        for _ in 0..3 {
            let mut at_once = Bench::with(limits.clone()).opened();
            let mut answers = Vec::new();
            let mut bytes = messages.concat();
            while !bytes.is_empty() {
                let rest = bytes.split_off(bytes.len().min(1 + next(20_000) as usize));
                at_once.feed(&bytes);
                bytes = rest;
                // Until nothing moves: the room for answers is limited.
                loop {
                    let taken = at_once.taken();
                    if taken.is_empty() {
                        break;
                    }
                    answers.extend(taken);
                    at_once.feed(&[]);
                }
            }
            assert_eq!(answers, expected);
            assert_eq!(at_once.connection.state(), one_by_one.connection.state());
            assert_eq!(at_once.connection.ending(), one_by_one.connection.ending());
            assert_eq!(
                at_once.connection.traffic(),
                one_by_one.connection.traffic()
            );
        }
        // The same as user messages, as many of them as had come.
        let mut at_once = Bench::with(limits).opened();
        let mut answers = Vec::new();
        let (mut done, mut come) = (0, 0);
        while at_once.connection.ending().is_none() && done < messages.len() {
            come = messages.len().min(come + 1 + next(70) as usize);
            let ends = hand_in(&mut at_once, &messages[done..come]);
            // Each answer stands before the end of its own request's.
            let mut begin = 0;
            for (message, end) in messages[done..].iter().zip(&ends) {
                let own = Read::stream(&at_once.out[begin..*end]);
                assert!(own.len() <= 1);
                for answer in &own {
                    assert_eq!(answer[12..16], message[12..16], "Hop-by-Hop Identifier");
                }
                begin = *end;
            }
            assert_eq!(begin, at_once.out.len());
            done += ends.len();
            answers.extend(at_once.taken());
        }
        assert_eq!(answers, expected);
        assert_eq!(at_once.connection.state(), one_by_one.connection.state());
        assert_eq!(at_once.connection.ending(), one_by_one.connection.ending());
        assert_eq!(
            at_once.connection.traffic(),
            one_by_one.connection.traffic()
        );
    }
}

/// Hands user messages in, once; how long what is to be sent was after each
/// that is done with.
fn hand_in(bench: &mut Bench, messages: &[Vec<u8>]) -> Vec<usize> {
    let messages = messages.iter().map(Vec::as_slice);
    let (now, rulebook, out) = (bench.now, &bench.rulebook, &mut bench.out);
    let ends = bench
        .connection
        .handle_messages(now, messages, rulebook, out, &mut ());
    ends.to_vec()
}

#[test]
fn user_messages_are_answered_like_a_stream() {
    let (stream, state) = play(usize::MAX);
    for at_once in 1..=conversation().len() {
        let mut bench = Bench::accepted();
        for messages in conversation().chunks(at_once) {
            let mut done = 0;
            while done < messages.len() {
                let handled = hand_in(&mut bench, &messages[done..]).len();
                if handled == 0 {
                    assert!(bench.connection.claim().is_some(), "only a claim waits");
                    bench.connection.resolve_claim(Decision::Granted);
                }
                done += handled;
            }
        }
        assert_eq!(bench.out.to_vec(), stream);
        assert_eq!(bench.connection.state(), state);
    }
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
        let ends = hand_in(&mut bench, &[message]);
        assert_eq!(ends, [0], "there is no use in handing it in again");
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
