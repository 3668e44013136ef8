//! What a driver tells of its connection, and counts of it.

use super::{Driver, End, Outcome};
use crate::connection::EndReason;
use crate::net::peers::CallStatus;
use crate::net::transport::Transport;
use crate::wire::ResultCode;

impl<T: Transport> Driver<'_, T> {
    /// Logs what has become of the peer since the last turn.
    pub(super) fn report_changes(&mut self) {
        if !self.announced && self.connection.was_opened() {
            self.announced = true;
            self.gauge = Some(self.shared.counters.peer());
            let (name, kind, remote) = (self.name(), self.kind, self.remote);
            if let Some(call) = &self.call {
                self.tally.calls += 1;
                call.set(CallStatus::Connected);
                if let (Some(place), Some(peer)) = (&self.place, self.connection.peer()) {
                    place.answered(peer);
                }
                tracing::info!("{name}: connected to {kind}://{remote}");
            } else {
                tracing::info!("{name}: connected from {kind}://{remote}");
            }
        }
        if self.suspect != self.connection.is_suspect() {
            self.suspect = !self.suspect;
            if self.suspect {
                tracing::warn!("{}: does not answer the watchdog", self.name());
            } else if self.connection.ending().is_none() {
                tracing::info!("{}: answers again", self.name());
            }
        }
    }

    /// Counts and logs the end.
    pub(super) fn report_end(&mut self, end: End, sent: bool) -> Outcome {
        self.report_changes();
        let reason = match end {
            End::Protocol(ending) => ending.reason,
            End::Closed | End::Failed | End::Unread => self.connection.loss(),
        };
        let opened = self.connection.was_opened();
        match (end, reason) {
            (End::Unread, _) => self.tally.unread += 1,
            (_, EndReason::Broken(_)) => self.tally.broken += 1,
            (_, EndReason::WatchdogTimeout) => self.tally.watchdog_timeouts += 1,
            (_, EndReason::Refused(code)) if !opened => {
                self.tally.refused += 1;
                self.tally.unknown_peers += u64::from(code == ResultCode::UNKNOWN_PEER);
            }
            // Counted as a call that failed.
            _ if self.call.is_some() => {}
            _ if !opened => self.tally.unopened += 1,
            _ => {}
        }
        self.shared.counters.add(&mut self.tally);
        let unsent = if sent {
            ""
        } else {
            ", with answers that it did not read"
        };
        let what = match end {
            End::Unread => "cut: it did not read its answers".to_owned(),
            End::Protocol(_) | End::Closed | End::Failed => format!("closed: {reason}{unsent}"),
        };
        let outcome = Outcome {
            reason,
            opened,
            said: match (reason, self.connection.peer()) {
                (EndReason::WrongPeer, Some(peer)) => Some(peer.origin_host.clone()),
                _ => self.connection.said().map(str::to_owned),
            },
        };
        if opened {
            tracing::info!("{}: {what}", self.name());
            return outcome;
        }
        if self.call.is_some() {
            // Who has called tells what became of it.
            return outcome;
        }
        // Who never was a peer can be anybody, any number of times.
        let name = self
            .connection
            .peer()
            .map(|peer| format!(" ({})", peer.origin_host));
        let name = name.unwrap_or_default();
        match reason {
            EndReason::Lost
            | EndReason::Shutdown
            | EndReason::Refused(ResultCode::ELECTION_LOST) => {
                tracing::debug!("{}{name}: {what}", self.remote);
            }
            _ => {
                let kind = kind(reason);
                let remote = self.remote;
                self.shared
                    .throttle
                    .warn(kind, || format!("{remote}{name}: {what}"));
            }
        }
        outcome
    }

    /// The peer's name, or its address before it has one.
    fn name(&self) -> String {
        match self.connection.peer() {
            Some(peer) => peer.origin_host.clone(),
            None => self.remote.to_string(),
        }
    }
}

/// The kind of warning that a reason belongs to.
const fn kind(reason: EndReason) -> &'static str {
    match reason {
        EndReason::NotCer => "not a CER",
        EndReason::HandshakeTimeout => "handshake",
        EndReason::Refused(ResultCode::UNKNOWN_PEER) => "unknown peer",
        EndReason::Refused(_) => "refused",
        EndReason::Broken(_) => "broken",
        _ => "other",
    }
}
