//! Counters of what the server did.
//!
//! A connection counts into its own [`Tally`], plain numbers, and adds them to
//! the shared [`Counters`] once a batch, so counting costs no shared cache
//! line a request.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::equipment::{CheckDigit, Status};
use crate::policy::{Ground, Outcome, Verdict};
use crate::service::{Checked, Observer};
use crate::wire::{Fault, Message, ResultCode};

/// Declares the counters once, for the tally, the shared ones and the sum.
macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// What one connection has counted since it last reported.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$meta])* pub $name: u64,)*
        }

        /// What all connections have counted since the start.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$meta])* $name: AtomicU64,)*
            /// Connections that are there now, open or not.
            connections: AtomicI64,
            /// Peers with whom capabilities are exchanged now.
            peers: AtomicI64,
        }

        impl Counters {
            /// Adds what a connection has counted, and clears it.
            pub fn add(&self, tally: &mut Tally) {
                $(if tally.$name != 0 { self.$name.fetch_add(tally.$name, Ordering::Relaxed); })*
                *tally = Tally::default();
            }

            /// The sums as they stand.
            #[must_use]
            pub fn total(&self) -> Tally {
                Tally { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl fmt::Display for Tally {
            /// Prints the counters that are not zero.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut separator = "";
                $(if self.$name != 0 {
                    write!(f, "{separator}{}={}", stringify!($name), self.$name)?;
                    separator = " ";
                })*
                if separator.is_empty() { f.write_str("nothing yet") } else { Ok(()) }
            }
        }
    };
}

counters! {
    /// Checks answered 2001, whitelisted.
    whitelisted,
    /// Checks answered 2001, blacklisted.
    blacklisted,
    /// Checks answered 2001, greylisted.
    greylisted,
    /// Checks answered 5422, equipment unknown.
    unknown,
    /// Blacklisted devices let in because the subscriber is an exception.
    black_but_allowed,
    /// Devices refused because the subscriber is bound to others.
    binding_mismatch,
    /// Checks that would have been answered otherwise if the shadow lists and
    /// policies were in force.
    shadow_changes,
    /// Of these, those that would have been whitelisted.
    shadow_whitelisted,
    /// Of these, those that would have been blacklisted.
    shadow_blacklisted,
    /// Of these, those that would have been greylisted.
    shadow_greylisted,
    /// Of these, those that would have been unknown.
    shadow_unknown,
    /// Of these, those whose IMEI would have been called malformed.
    shadow_malformed,
    /// IMEIs with a 15th digit that is neither the check digit nor 0.
    wrong_check_digit,
    /// User-Names that are no IMSI, and so were ignored.
    ignored_user_name,
    /// Software-Versions that are not two digits, and so were ignored.
    ignored_software_version,
    /// Requests answered with a protocol error (3xxx).
    protocol_errors,
    /// Requests answered 5004, invalid value.
    invalid_values,
    /// Requests answered with any other permanent failure (5xxx).
    other_faults,
    /// Connections accepted.
    accepted,
    /// Connections turned away at the limit.
    over_limit,
    /// Connections turned away because their address is not admitted.
    denied,
    /// Connections on which TLS was not agreed.
    failed_handshakes,
    /// Connections whose CER was refused.
    refused,
    /// Of these, those of peers that are not admitted, or not by this name.
    unknown_peers,
    /// Calls that reached the peer: a connection was opened from this side.
    calls,
    /// Calls that failed, and connections opened from this side that ended.
    failed_calls,
    /// Connections aborted because the message boundary was lost.
    broken,
    /// Connections that ended before the capabilities exchange for any other
    /// reason.
    unopened,
    /// Connections ended because the peer did not read its answers.
    unread,
    /// Connections ended because the watchdog was not answered.
    watchdog_timeouts,
    /// Addresses of SCTP peers that could not be reached any more.
    paths_down,
    /// Addresses of SCTP peers that could be reached again, or at first.
    paths_up,
    /// SCTP associations that the peer has started anew in place.
    restarted_associations,
    /// Messages of ours that SCTP could not deliver.
    undelivered,
    /// Lists and configuration reloaded and published.
    reloads,
    /// Reloads that were refused.
    refused_reloads,
    /// Single changes that were made.
    changes,
    /// Single changes that were asked for and refused.
    refused_changes,
    /// Groups of changes that could not be written to the journal.
    journal_errors,
}

impl Tally {
    /// Checks and faults together: how many requests were answered.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.whitelisted
            .saturating_add(self.blacklisted)
            .saturating_add(self.greylisted)
            .saturating_add(self.unknown)
            .saturating_add(self.protocol_errors)
            .saturating_add(self.invalid_values)
            .saturating_add(self.other_faults)
    }
}

impl Observer for Tally {
    fn checked(&mut self, check: &Checked<'_>) {
        match check.verdict.outcome {
            Outcome::Status(Status::Whitelisted) => self.whitelisted += 1,
            Outcome::Status(Status::Blacklisted) => self.blacklisted += 1,
            Outcome::Status(Status::Greylisted) => self.greylisted += 1,
            Outcome::Unknown => self.unknown += 1,
            // Reported as a fault, not as a check.
            Outcome::Malformed => {}
        }
        match check.verdict.ground {
            Ground::Exception { .. } => self.black_but_allowed += 1,
            Ground::BindingMismatch(_) => self.binding_mismatch += 1,
            _ => {}
        }
        let imei = check.inquiry.imei;
        if imei.is_ok_and(|imei| imei.check_digit == CheckDigit::Wrong) {
            self.wrong_check_digit += 1;
        }
        if check.request.user_name().is_some() && check.inquiry.imsi.is_none() {
            self.ignored_user_name += 1;
        }
        if check.request.software_version().is_some() && check.inquiry.svn.is_none() {
            self.ignored_software_version += 1;
        }
    }

    fn shadowed(&mut self, _: &Checked<'_>, shadow: &Verdict) {
        self.shadow_changes += 1;
        match shadow.outcome {
            Outcome::Status(Status::Whitelisted) => self.shadow_whitelisted += 1,
            Outcome::Status(Status::Blacklisted) => self.shadow_blacklisted += 1,
            Outcome::Status(Status::Greylisted) => self.shadow_greylisted += 1,
            Outcome::Unknown => self.shadow_unknown += 1,
            Outcome::Malformed => self.shadow_malformed += 1,
        }
    }

    fn faulted(&mut self, _: &Message<'_>, fault: &Fault<'_>) {
        match fault.report().result_code {
            code if code.is_protocol_error() => self.protocol_errors += 1,
            ResultCode::INVALID_AVP_VALUE => self.invalid_values += 1,
            _ => self.other_faults += 1,
        }
    }
}

impl Counters {
    /// How many connections there are now.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many peers are connected and have exchanged capabilities now.
    #[must_use]
    pub fn peers(&self) -> i64 {
        self.peers.load(Ordering::Relaxed)
    }

    /// Counts one connection until the guard is dropped.
    pub(crate) fn connection(&self) -> Gauge<'_> {
        Gauge::up(&self.connections)
    }

    /// Counts one open peer until the guard is dropped.
    pub(crate) fn peer(&self) -> Gauge<'_> {
        Gauge::up(&self.peers)
    }
}

/// One more on a gauge, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Gauge<'a>(&'a AtomicI64);

impl<'a> Gauge<'a> {
    /// Counts one up.
    fn up(gauge: &'a AtomicI64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_are_cleared() {
        let counters = Counters::default();
        let mut tally = Tally {
            whitelisted: 2,
            invalid_values: 1,
            ..Tally::default()
        };
        counters.add(&mut tally);
        assert_eq!(tally, Tally::default());
        tally.whitelisted = 1;
        counters.add(&mut tally);
        let total = counters.total();
        assert_eq!((total.whitelisted, total.requests()), (3, 4));
        assert_eq!(total.to_string(), "whitelisted=3 invalid_values=1");
    }

    #[test]
    fn gauges_fall_when_dropped() {
        let counters = Counters::default();
        let one = counters.connection();
        {
            let _two = counters.connection();
            assert_eq!(counters.connections(), 2);
        }
        assert_eq!(counters.connections(), 1);
        drop(one);
        assert_eq!(counters.connections(), 0);
    }
}
