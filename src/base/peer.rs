//! The peer state machine (RFC 6733 section 5.6) of one connection, as one
//! function from state and event to action and state.
//!
//! ```text
//! accepted:  Accepted ── CER ─▶ Claiming ── granted, CEA ─▶ Open ── DPR ─▶ DprSent, DpaSent
//! dialled:   (connecting) ── CER ─▶ WaitCea ── CEA ───────▶ Open                 │
//!                                                                 Closed ◀───────┘
//! ```
//!
//! The RFC's machine is one of a *peer*, with a transport of each direction in
//! it. Here each connection has a machine of its own, and the shell's table of
//! peers joins them: a CER is answered when the table grants its claim. Where
//! both sides have called each other, that claim is the [election](elect):
//! the accepted connection is `Granted` and the dialled one `Superseded`, or
//! the accepted one is `Denied`.
//!
//! It departs from the RFC's table in five places, each for a reason:
//!
//! * *Claiming* stands between CER and CEA, for the claim.
//! * Wait-Conn-Ack is the shell's: before there is a transport, there is no
//!   connection. A CER that comes meanwhile is answered without waiting for
//!   our own attempt, which is given up.
//! * A CER on an open connection is answered again when it names the same peer
//!   (the client may have lost our CEA), and refused when it names another.
//! * A DWR is answered in every state with a CEA behind it, also while
//!   closing: silence there could make the peer take an orderly end for a
//!   failure.
//! * Requests are still served while closing. DPR and DPA may overtake data on
//!   SCTP, and what the peer sent before it saw our DPR deserves its answer.
//!
//! The table of all states and events is printed, and compared with a stored
//! copy, by `tests/peer_table.rs`.

use core::cmp::Ordering;
use core::fmt;

/// Where the machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The transport is connected, no CER has come (Wait-I-CER).
    Accepted,
    /// A good CER has come; whether the peer may have this connection is being
    /// found out.
    Claiming,
    /// We have connected and sent a CER (Wait-I-CEA, Wait-Returns).
    WaitCea,
    /// Capabilities are exchanged (R-Open, I-Open).
    Open,
    /// Our DPR is out; waiting for the DPA.
    DprSent,
    /// The peer's DPR is answered; waiting for it to close the transport.
    DpaSent,
    /// Nothing more will happen here.
    Closed,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A CER of an admitted peer with a common application.
    CerGood,
    /// A CER that must be refused: faulty, unknown peer, nothing in common.
    CerBad,
    /// A good CER that names another Origin-Host than this connection's.
    CerForeign,
    /// A CEA to our CER with which the connection may open.
    CeaGood,
    /// A CEA that refuses, cannot be read, or is of somebody else.
    CeaBad,
    /// The peer may have this connection.
    Granted,
    /// The peer may not have it: it is not admitted, has another connection
    /// that is alive, or has lost the election.
    Denied,
    /// Another connection of the peer takes this one's place: the accepted one
    /// that has won the election, or that of a peer which has restarted.
    Superseded,
    /// A DWR.
    Dwr,
    /// A DPR.
    Dpr,
    /// A DPR that cannot be read.
    DprBad,
    /// A DPA.
    Dpa,
    /// Any other request.
    Request,
    /// A DWA, or any other answer.
    Answer,
    /// The time of this state ran out.
    Timeout,
    /// The operator or the shell wants the connection to end.
    Disconnect,
    /// The message boundary was lost.
    Broken,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Ignore,
    /// Ask whether the peer may have this connection.
    Claim,
    /// Send a CEA with 2001.
    SendCea,
    /// Send a CEA that says why not.
    RefuseCer,
    /// Send a DWA.
    SendDwa,
    /// Send a DPR.
    SendDpr,
    /// Send a DPA.
    SendDpa,
    /// Answer the request: S13, or the protocol error it deserves.
    Serve,
    /// Close the transport once everything composed is sent.
    Close,
    /// Close it at once and abortively.
    Abort,
}

impl State {
    /// All states, in the table's order.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Claiming,
        Self::WaitCea,
        Self::Open,
        Self::DprSent,
        Self::DpaSent,
        Self::Closed,
    ];
}

impl Event {
    /// All events, in the table's order.
    pub const ALL: [Self; 17] = [
        Self::CerGood,
        Self::CerBad,
        Self::CerForeign,
        Self::CeaGood,
        Self::CeaBad,
        Self::Granted,
        Self::Denied,
        Self::Superseded,
        Self::Dwr,
        Self::Dpr,
        Self::DprBad,
        Self::Dpa,
        Self::Request,
        Self::Answer,
        Self::Timeout,
        Self::Disconnect,
        Self::Broken,
    ];
}

/// The table: what to do on `event` in `state`, and the state behind it.
#[must_use]
pub const fn transition(state: State, event: Event) -> (Action, State) {
    use Action as A;
    use Event as E;
    use State as S;
    match (state, event) {
        (S::Closed, _) => (A::Ignore, S::Closed),
        (_, E::Broken) => (A::Abort, S::Closed),
        (_, E::Superseded) => (A::Close, S::Closed),

        (S::Accepted, E::CerGood) => (A::Claim, S::Claiming),
        (S::Accepted, E::CerBad) => (A::RefuseCer, S::Closed),
        // RFC 6733 section 5.6: before the CER, anything else ends it.
        (
            S::Accepted,
            E::CerForeign
            | E::CeaGood
            | E::CeaBad
            | E::Granted
            | E::Denied
            | E::Dwr
            | E::Dpr
            | E::DprBad
            | E::Dpa
            | E::Request
            | E::Answer
            | E::Timeout
            | E::Disconnect,
        ) => (A::Close, S::Closed),

        (S::Claiming, E::Granted) => (A::SendCea, S::Open),
        (S::Claiming, E::Denied) => (A::RefuseCer, S::Closed),
        (S::Claiming, E::Timeout | E::Disconnect) => (A::Close, S::Closed),
        // Not taken from the buffer before the claim is decided.
        (
            S::Claiming,
            E::CerGood
            | E::CerBad
            | E::CerForeign
            | E::CeaGood
            | E::CeaBad
            | E::Dwr
            | E::Dpr
            | E::DprBad
            | E::Dpa
            | E::Request
            | E::Answer,
        ) => (A::Ignore, S::Claiming),

        (S::WaitCea, E::CeaGood) => (A::Ignore, S::Open),
        // I-Rcv-Non-CEA, and a CEA that leads nowhere.
        (
            S::WaitCea,
            E::CerGood
            | E::CerBad
            | E::CerForeign
            | E::CeaBad
            | E::Granted
            | E::Denied
            | E::Dwr
            | E::Dpr
            | E::DprBad
            | E::Dpa
            | E::Request
            | E::Answer
            | E::Timeout
            | E::Disconnect,
        ) => (A::Close, S::Closed),

        (S::Open, E::CerGood) => (A::SendCea, S::Open),
        (S::Open, E::CerBad | E::CerForeign) => (A::RefuseCer, S::Closed),
        (S::Open, E::Dpr) => (A::SendDpa, S::DpaSent),
        (S::Open, E::Disconnect) => (A::SendDpr, S::DprSent),

        // Both sides may send DPR at the same time; ours is still unanswered.
        (S::DprSent, E::Dpr) => (A::SendDpa, S::DprSent),
        // Who receives the DPA closes the transport (section 5.4.2).
        (S::DprSent, E::Dpa) => (A::Close, S::Closed),
        (S::DpaSent, E::Dpr) => (A::SendDpa, S::DpaSent),
        (S::DprSent | S::DpaSent, E::CerGood | E::CerBad | E::CerForeign) => {
            (A::RefuseCer, S::Closed)
        }
        (S::DprSent | S::DpaSent, E::Disconnect) => (A::Ignore, state),

        (S::Open | S::DprSent | S::DpaSent, E::Timeout) => (A::Close, S::Closed),
        (S::Open | S::DprSent | S::DpaSent, E::Dwr) => (A::SendDwa, state),
        (S::Open | S::DprSent | S::DpaSent, E::Request | E::DprBad) => (A::Serve, state),
        // Answers to requests that we did not send, and DWAs, which have done
        // their work by arriving.
        (
            S::Open | S::DprSent | S::DpaSent,
            E::Answer | E::CeaGood | E::CeaBad | E::Granted | E::Denied,
        ) => (A::Ignore, state),
        (S::Open | S::DpaSent, E::Dpa) => (A::Ignore, state),
    }
}

/// Which of two connections stays when both sides have called each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// We have won: the one that we accepted stays, ours is closed.
    KeepAccepted,
    /// We have lost: the accepted one is refused with 4003, ours stays.
    KeepDialled,
}

/// Holds the election (RFC 6733 section 5.6.4): the greater Origin-Host wins,
/// octet by octet, and keeps the connection that the other side has opened. As
/// both sides judge the same two names, they agree on the one to keep. Names
/// are folded to lower case, since they are equal without regard to it.
#[must_use]
pub fn elect(own_host: &[u8], peer_host: &[u8]) -> Election {
    let own_host = own_host.iter().map(u8::to_ascii_lowercase);
    let peer_host = peer_host.iter().map(u8::to_ascii_lowercase);
    match own_host.cmp(peer_host) {
        Ordering::Greater => Election::KeepAccepted,
        Ordering::Less | Ordering::Equal => Election::KeepDialled,
    }
}

/// The whole table as text, one line a state and event.
#[derive(Clone, Copy, Debug)]
pub struct Table;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<10} {:<11} {:<10} next", "state", "event", "action")?;
        for state in State::ALL {
            for event in Event::ALL {
                let (action, next) = transition(state, event);
                let (state, event) = (format!("{state:?}"), format!("{event:?}"));
                writeln!(
                    f,
                    "{state:<10} {event:<11} {:<10} {next:?}",
                    format!("{action:?}")
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_is_final_and_broken_always_aborts() {
        for event in Event::ALL {
            assert_eq!(
                transition(State::Closed, event),
                (Action::Ignore, State::Closed)
            );
        }
        for state in State::ALL
            .into_iter()
            .filter(|state| *state != State::Closed)
        {
            assert_eq!(
                transition(state, Event::Broken),
                (Action::Abort, State::Closed)
            );
        }
    }

    #[test]
    fn only_a_grant_or_a_cea_opens() {
        for state in State::ALL.into_iter().filter(|state| *state != State::Open) {
            for event in Event::ALL {
                let (_, next) = transition(state, event);
                let opened = matches!(
                    (state, event),
                    (State::Claiming, Event::Granted) | (State::WaitCea, Event::CeaGood)
                );
                assert_eq!(next == State::Open, opened, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn requests_are_served_in_every_state_behind_the_cea_and_in_no_other() {
        for state in State::ALL {
            let served = transition(state, Event::Request).0 == Action::Serve;
            let opened = matches!(state, State::Open | State::DprSent | State::DpaSent);
            assert_eq!(served, opened, "{state:?}");
        }
    }

    /// RFC 6733 section 5.6.4: both sides must keep the same connection.
    #[test]
    fn two_sides_elect_the_same_connection() {
        let names: [&[u8]; 6] = [b"a", b"B", b"b.example", b"b-example", b"c", b"\xe9"];
        for (number, one) in names.iter().enumerate() {
            for other in &names[number + 1..] {
                let mut sides = [elect(one, other), elect(other, one)];
                sides.sort_by_key(|side| *side == Election::KeepAccepted);
                assert_eq!(sides, [Election::KeepDialled, Election::KeepAccepted]);
            }
        }
        // The order is that of octets, whatever the letters' case.
        for (own, peer, want) in [
            ("b", "A", Election::KeepAccepted),
            ("B", "a", Election::KeepAccepted),
            ("a", "B", Election::KeepDialled),
            ("eir.example", "eir", Election::KeepAccepted),
            ("eir-2", "eir.1", Election::KeepDialled),
            ("eir_2", "eir.1", Election::KeepAccepted),
        ] {
            assert_eq!(elect(own.as_bytes(), peer.as_bytes()), want, "{own} {peer}");
        }
    }
}
