//! The peer machine as a printed table, compared with the reviewed copy in
//! `tests/peer_table.txt`: whoever changes a transition changes that file, and
//! the difference can be read.

use weir::base::peer::{Event, State, Table, transition};

/// The reviewed table.
const REVIEWED: &str = include_str!("peer_table.txt");

#[test]
fn the_table_is_the_reviewed_one() {
    let table = Table.to_string();
    for (number, (now, reviewed)) in (1..).zip(table.lines().zip(REVIEWED.lines())) {
        assert_eq!(now, reviewed, "line {number} of tests/peer_table.txt");
    }
    assert_eq!(table, REVIEWED, "the table in full:\n{table}");
}

#[test]
fn every_state_meets_every_event() {
    let lines = Table.to_string().lines().count();
    assert_eq!(lines, 1 + State::ALL.len() * Event::ALL.len());
    assert_eq!((State::ALL.len(), Event::ALL.len()), (7, 17));
    // None is listed twice, so none is left out: the enums have as many.
    let mut states = State::ALL.map(|state| format!("{state:?}"));
    let mut events = Event::ALL.map(|event| format!("{event:?}"));
    states.sort();
    events.sort();
    assert!(states.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(events.windows(2).all(|pair| pair[0] != pair[1]));
}

/// RFC 6733 section 5.6: a closed connection stays closed, so from everywhere
/// the machine comes to an end.
#[test]
fn every_state_can_end() {
    for state in State::ALL {
        let mut reached = vec![state];
        let mut at = 0;
        while let Some(from) = reached.get(at).copied() {
            at += 1;
            for event in Event::ALL {
                let (_, next) = transition(from, event);
                if !reached.contains(&next) {
                    reached.push(next);
                }
            }
        }
        assert!(reached.contains(&State::Closed), "{state:?}");
    }
}
