//! The peers as an operator sees them: who is connected, over what, since
//! when, and what has become of the calls.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::Clock;
use super::directory::Directory;
use crate::base::peer::State;
use crate::config::peers::Connect;
use crate::config::{Diameter, Transport};
use crate::connection::Connection;
use crate::time::{UnixTime, Uptime};

//----------- Peers -----------------------------------------------------------

/// The peers of a running server: to look at, and to change who may be one.
#[derive(Clone, Debug)]
pub struct Peers {
    /// Who is connected.
    pub(super) directory: Arc<Directory>,
    /// The server's clock.
    pub(super) clock: Clock,
}

impl Peers {
    /// Puts what a configuration says of peers in force: who may connect, and
    /// whom to call. Connections that are no longer wanted are disconnected in
    /// order, with DO_NOT_WANT_TO_TALK_TO_YOU.
    pub fn apply(&self, diameter: &Diameter) {
        let admission = Arc::new(diameter.admission());
        let connect: Arc<[Connect]> = diameter.connect.as_slice().into();
        self.directory.order(|orders| {
            orders.admission = admission;
            orders.connect = connect;
        });
    }

    /// The table of peers as it stands.
    #[must_use]
    pub fn table(&self) -> PeerTable {
        let now = self.clock.now();
        let admission = self.directory.admission();
        let mut peers: Vec<PeerRow> = self.directory.look(|places| {
            let peers = places.values().filter(|holders| !holders.is_empty());
            let peers = peers.map(|holders| PeerRow {
                origin_host: (holders.first())
                    .map(|holder| holder.peer.origin_host.clone())
                    .unwrap_or_default(),
                origin_realm: (holders.first())
                    .map(|holder| holder.peer.origin_realm.clone())
                    .unwrap_or_default(),
                connections: holders
                    .iter()
                    .map(|holder| holder.link.row(now.uptime))
                    .collect(),
            });
            peers.collect()
        });
        for known in &admission.peers {
            let is_there = |row: &PeerRow| row.origin_host.eq_ignore_ascii_case(&known.origin_host);
            if !peers.iter().any(is_there) {
                peers.push(PeerRow {
                    origin_host: known.origin_host.clone(),
                    origin_realm: known.origin_realm.clone().unwrap_or_default(),
                    connections: Vec::new(),
                });
            }
        }
        peers.sort_by_key(|row| row.origin_host.to_ascii_lowercase());
        let calls = self
            .directory
            .calls()
            .iter()
            .map(|call| call.row(now.uptime))
            .collect();
        PeerTable {
            at: now.unix.to_string(),
            peers,
            calls,
        }
    }
}

//----------- Link ------------------------------------------------------------

/// Who has opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The peer.
    In,
    /// We.
    Out,
}

/// What a connection's task lets others see. The task stores it once a turn,
/// not once a request, and nobody waits for anybody.
#[derive(Debug)]
pub(super) struct Link {
    /// What carries it.
    pub(super) transport: Transport,
    /// The local addresses.
    pub(super) local: Vec<SocketAddr>,
    /// The peer's address.
    pub(super) remote: SocketAddr,
    /// Who has opened it.
    pub(super) direction: Direction,
    /// Since when it is there.
    pub(super) since: (UnixTime, Uptime),
    /// A [`LinkState`] as its number.
    state: AtomicU8,
    /// Requests received.
    requests: AtomicU64,
    /// Answers sent, or about to be.
    answers: AtomicU64,
    /// Round-trip time of the last watchdog in microseconds, and 1; 0 for none.
    round_trip: AtomicU64,
}

/// Where a connection stands, as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum LinkState {
    /// Capabilities are being exchanged.
    Opening,
    /// Requests are served.
    Open,
    /// The peer leaves the watchdog unanswered.
    Suspect,
    /// One side has asked to disconnect, or the end is there.
    Closing,
}

impl LinkState {
    /// All states, by their numbers.
    const ALL: [Self; 4] = [Self::Opening, Self::Open, Self::Suspect, Self::Closing];

    /// The state of a connection.
    fn of(connection: &Connection) -> Self {
        match connection.state() {
            State::Accepted | State::Claiming | State::WaitCea => Self::Opening,
            State::Open if connection.is_suspect() => Self::Suspect,
            State::Open => Self::Open,
            State::DprSent | State::DpaSent | State::Closed => Self::Closing,
        }
    }
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Opening => "opening",
            Self::Open => "open",
            Self::Suspect => "suspect",
            Self::Closing => "closing",
        })
    }
}

impl Link {
    /// A link of a connection that has just begun.
    pub(super) fn new(
        transport: Transport,
        local: Vec<SocketAddr>,
        remote: SocketAddr,
        direction: Direction,
        since: (UnixTime, Uptime),
    ) -> Self {
        Self {
            transport,
            local,
            remote,
            direction,
            since,
            state: AtomicU8::new(LinkState::Opening as u8),
            requests: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            round_trip: AtomicU64::new(0),
        }
    }

    /// Shows how the connection stands.
    pub(super) fn show(&self, connection: &Connection) {
        let traffic = connection.traffic();
        self.state
            .store(LinkState::of(connection) as u8, Ordering::Relaxed);
        self.requests.store(traffic.requests, Ordering::Relaxed);
        self.answers.store(traffic.answers, Ordering::Relaxed);
        if let Some(time) = connection.round_trip() {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            self.round_trip
                .store(micros.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// The link as a row of the table.
    fn row(&self, now: Uptime) -> ConnectionRow {
        let state = usize::from(self.state.load(Ordering::Relaxed));
        let micros = self.round_trip.load(Ordering::Relaxed).checked_sub(1);
        ConnectionRow {
            state: LinkState::ALL
                .get(state)
                .copied()
                .unwrap_or(LinkState::Closing),
            transport: self.transport.scheme(),
            direction: self.direction,
            local: self.local.clone(),
            remote: self.remote,
            since: self.since.0.to_string(),
            seconds: now.since(self.since.1).as_secs(),
            watchdog_micros: micros,
            requests: self.requests.load(Ordering::Relaxed),
            answers: self.answers.load(Ordering::Relaxed),
        }
    }

    /// A link for tests.
    #[cfg(test)]
    pub(super) fn example() -> Self {
        let local = SocketAddr::from(([127, 0, 0, 1], 3868));
        let since = (UnixTime(1_767_225_600), Uptime::default());
        Self::new(Transport::Tcp, vec![local], local, Direction::In, since)
    }
}

//----------- Call ------------------------------------------------------------

/// A peer that is called, and what has become of it.
#[derive(Debug)]
pub(super) struct Call {
    /// Whom, and where.
    pub(super) connect: Connect,
    /// How it stands.
    status: Mutex<CallStatus>,
}

/// How a call stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallStatus {
    /// The transport is being connected, or capabilities exchanged.
    Connecting,
    /// The connection is open.
    Connected,
    /// The peer has called us, and has the connections that it may have.
    Called,
    /// The next attempt is at this time; with what became of the last one.
    Waiting(Uptime, String),
}

impl Call {
    /// A call that begins.
    pub(super) const fn new(connect: Connect) -> Self {
        Self {
            connect,
            status: Mutex::new(CallStatus::Connecting),
        }
    }

    /// Says how the call stands.
    pub(super) fn set(&self, status: CallStatus) {
        *self.status() = status;
    }

    /// How the call stands.
    fn status(&self) -> MutexGuard<'_, CallStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call as a row of the table.
    fn row(&self, now: Uptime) -> CallRow {
        let (state, retry_seconds, last) = match &*self.status() {
            CallStatus::Connecting => ("connecting", None, None),
            CallStatus::Connected => ("connected", None, None),
            CallStatus::Called => ("called by the peer", None, None),
            CallStatus::Waiting(until, why) => {
                let left = until.since(now);
                ("waiting", Some(left.as_secs()), Some(why.clone()))
            }
        };
        CallRow {
            origin_host: self.connect.origin_host.clone(),
            address: self.connect.address.to_string(),
            state,
            retry_seconds,
            last,
        }
    }
}

//----------- PeerTable -------------------------------------------------------

/// All peers at one moment. Displays as aligned text.
#[derive(Clone, Debug, Serialize)]
pub struct PeerTable {
    /// The moment, UTC.
    pub at: String,
    /// Peers that are connected or known, by name.
    pub peers: Vec<PeerRow>,
    /// Peers that are called.
    pub calls: Vec<CallRow>,
}

/// A peer.
#[derive(Clone, Debug, Serialize)]
pub struct PeerRow {
    /// Its Origin-Host.
    pub origin_host: String,
    /// Its Origin-Realm; empty if it is not known yet.
    pub origin_realm: String,
    /// Its connections; none if it is not connected.
    pub connections: Vec<ConnectionRow>,
}

/// A connection of a peer.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionRow {
    /// Where it stands.
    pub state: LinkState,
    /// `tcp`, `tls` or `sctp`.
    pub transport: &'static str,
    /// Who has opened it.
    pub direction: Direction,
    /// The local addresses.
    pub local: Vec<SocketAddr>,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Since when it is there, UTC.
    pub since: String,
    /// For how many seconds it has been there.
    pub seconds: u64,
    /// How long the peer took to answer the last watchdog, in microseconds.
    pub watchdog_micros: Option<u64>,
    /// Requests received, of all commands.
    pub requests: u64,
    /// Answers sent, or about to be.
    pub answers: u64,
}

/// A peer that is called.
#[derive(Clone, Debug, Serialize)]
pub struct CallRow {
    /// Its Origin-Host.
    pub origin_host: String,
    /// Where it listens.
    pub address: String,
    /// How the call stands.
    pub state: &'static str,
    /// In how many seconds it is called again.
    pub retry_seconds: Option<u64>,
    /// What became of the last attempt.
    pub last: Option<String>,
}

/// The headings of the table.
const HEADINGS: [&str; 10] = [
    "peer", "realm", "state", "over", "by", "remote", "for", "watchdog", "requests", "answers",
];

impl fmt::Display for PeerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![HEADINGS.map(str::to_owned)];
        for peer in &self.peers {
            let names = [peer.origin_host.clone(), peer.origin_realm.clone()];
            if peer.connections.is_empty() {
                let [host, realm] = names.clone();
                let mut row: [String; 10] = Default::default();
                row[..3].clone_from_slice(&[host, realm, "down".to_owned()]);
                rows.push(row);
            }
            rows.extend(
                peer.connections
                    .iter()
                    .map(|connection| connection.cells(&names)),
            );
        }
        let mut widths = [0; HEADINGS.len()];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for (number, row) in rows.iter().enumerate() {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                line.push_str(&format!("{cell:<width$}  "));
            }
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", line.trim_end())?;
        }
        for call in &self.calls {
            write!(
                f,
                "\ncalling {} at {}: {}",
                call.origin_host, call.address, call.state
            )?;
            if let Some(seconds) = call.retry_seconds {
                write!(f, " {seconds} s")?;
            }
            if let Some(last) = &call.last {
                write!(f, ", as {last}")?;
            }
        }
        Ok(())
    }
}

impl ConnectionRow {
    /// The cells of this row.
    fn cells(&self, [host, realm]: &[String; 2]) -> [String; 10] {
        let direction = match self.direction {
            Direction::In => "peer",
            Direction::Out => "us",
        };
        let watchdog = self.watchdog_micros.map(|micros| {
            let millis = Duration::from_micros(micros).as_secs_f64() * 1000.0;
            format!("{millis:.1} ms")
        });
        [
            host.clone(),
            realm.clone(),
            self.state.to_string(),
            self.transport.to_owned(),
            direction.to_owned(),
            self.remote.to_string(),
            show_seconds(self.seconds),
            watchdog.unwrap_or_else(|| "-".to_owned()),
            self.requests.to_string(),
            self.answers.to_string(),
        ]
    }
}

/// A time as people read it: the two largest units.
fn show_seconds(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned() {
        let connection = ConnectionRow {
            seconds: 3725,
            watchdog_micros: Some(1234),
            requests: 17,
            answers: 16,
            ..Link::example().row(Uptime::default())
        };
        let peer = |host: &str, connections| PeerRow {
            origin_host: host.to_owned(),
            origin_realm: "example".to_owned(),
            connections,
        };
        let table = PeerTable {
            at: String::new(),
            peers: vec![
                peer("dra.example", vec![connection]),
                peer("mme", Vec::new()),
            ],
            calls: vec![CallRow {
                origin_host: "dra2.example".to_owned(),
                address: "tcp://dra2.example:3868".to_owned(),
                state: "waiting",
                retry_seconds: Some(12),
                last: Some("connection refused".to_owned()),
            }],
        };
        let want = "\
peer         realm    state    over  by    remote          for   watchdog  requests  answers
dra.example  example  opening  tcp   peer  127.0.0.1:3868  1h2m  1.2 ms    17        16
mme          example  down
calling dra2.example at tcp://dra2.example:3868: waiting 12 s, as connection refused";
        assert_eq!(table.to_string(), want);
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, want) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m0s"),
            (3599, "59m59s"),
            (3600, "1h0m"),
            (86_399, "23h59m"),
            (90_000, "1d1h"),
        ] {
            assert_eq!(show_seconds(seconds), want);
        }
    }
}
