//! The peer machine as a printed table, compared with the reviewed copy in
//! `tests/peer_table.txt`: whoever changes a transition changes that file, and
//! the difference can be read.

use std::collections::HashSet;

use weir::base::peer::{Action, Election, Event, State, Table, elect, transition};

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

//----------- Elections -------------------------------------------------------

/// Two nodes that may call each other, each with the machine's table for its
/// own end of each connection. Connection 0 is the call of node 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pair {
    /// By node and connection.
    ends: [[State; 2]; 2],
    /// The connection that has each node's only place for the other.
    places: [Option<usize>; 2],
    /// Whether each node has called.
    called: [bool; 2],
    /// What is under way to each node, by node and connection, in order.
    under_way: [[Vec<Sent>; 2]; 2],
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sent {
    Cer,
    CeaGood,
    CeaBad,
    Close,
}

/// The names of the nodes.
const NAMES: [&[u8]; 2] = [b"eir.example", b"DRA.example"];

impl Pair {
    /// Takes a transition of one end, and does what it says.
    fn step(&mut self, node: usize, connection: usize, event: Event) {
        let end = &mut self.ends[node][connection];
        let (action, next) = transition(*end, event);
        *end = next;
        let to_other = &mut self.under_way[1 - node][connection];
        match action {
            Action::SendCea => to_other.push(Sent::CeaGood),
            Action::RefuseCer => to_other.extend([Sent::CeaBad, Sent::Close]),
            Action::Close => to_other.push(Sent::Close),
            Action::Claim | Action::Ignore => {}
            other => panic!("{other:?} in an election"),
        }
        if next == State::Closed && self.places[node] == Some(connection) {
            self.places[node] = None;
        }
    }

    /// Node `node` calls, if it has a place for that.
    fn call(&self, node: usize) -> Option<Self> {
        if self.called[node] || self.places[node].is_some() {
            return None;
        }
        let mut next = self.clone();
        next.called[node] = true;
        next.places[node] = Some(node);
        next.ends[node][node] = State::WaitCea;
        next.under_way[1 - node][node].push(Sent::Cer);
        Some(next)
    }

    /// What is under way to a node over a connection arrives.
    fn arrive(&self, node: usize, connection: usize) -> Option<Self> {
        let mut next = self.clone();
        if next.under_way[node][connection].is_empty() {
            return None;
        }
        match next.under_way[node][connection].remove(0) {
            Sent::Cer => next.claim(node, connection),
            Sent::CeaGood => next.step(node, connection, Event::CeaGood),
            Sent::CeaBad => next.step(node, connection, Event::CeaBad),
            Sent::Close => {
                // The transport is gone, whatever the machine thinks.
                next.ends[node][connection] = State::Closed;
                if next.places[node] == Some(connection) {
                    next.places[node] = None;
                }
            }
        }
        Some(next)
    }

    /// A CER arrives and claims a place, as in RFC 6733 section 5.6.4.
    fn claim(&mut self, node: usize, connection: usize) {
        if self.ends[node][connection] != State::Accepted {
            return;
        }
        self.step(node, connection, Event::CerGood);
        let own = node;
        let granted = match self.places[node] {
            None => true,
            Some(place) if place == own && self.ends[node][own] == State::WaitCea => {
                let won = elect(NAMES[node], NAMES[1 - node]) == Election::KeepAccepted;
                if won {
                    self.step(node, own, Event::Superseded);
                }
                won
            }
            Some(_) => false,
        };
        if granted {
            self.places[node] = Some(connection);
        }
        let event = if granted {
            Event::Granted
        } else {
            Event::Denied
        };
        self.step(node, connection, event);
    }
}

/// However calls and messages cross, one connection is left, and both sides
/// have kept the same one.
#[test]
fn every_election_leaves_one_connection() {
    let start = Pair {
        ends: [[State::Accepted; 2]; 2],
        places: [None; 2],
        called: [false; 2],
        under_way: Default::default(),
    };
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    let (mut ends, mut both_called) = (0, 0);
    while let Some(pair) = open.pop() {
        let calls = (0..2).filter_map(|node| pair.call(node));
        let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
        let arrivals = places.into_iter();
        let arrivals = arrivals.filter_map(|(node, connection)| pair.arrive(node, connection));
        let next: Vec<Pair> = calls.chain(arrivals).collect();
        if next.is_empty() {
            ends += 1;
            both_called += usize::from(pair.called == [true; 2]);
            let kept: Vec<usize> = (0..2)
                .filter(|connection| {
                    [0, 1].map(|node| pair.ends[node][*connection]) == [State::Open; 2]
                })
                .collect();
            let [kept] = kept[..] else {
                panic!("{kept:?} are left of {pair:?}")
            };
            assert_eq!(pair.places, [Some(kept); 2], "{pair:?}");
            assert_ne!(pair.ends[0][1 - kept], State::Open, "{pair:?}");
            assert_ne!(pair.ends[1][1 - kept], State::Open, "{pair:?}");
        }
        open.extend(next.into_iter().filter(|next| seen.insert(next.clone())));
    }
    assert!(
        ends > 2 && both_called > 0,
        "{ends} ends, {both_called} elections"
    );
}
