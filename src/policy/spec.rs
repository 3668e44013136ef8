//! A policy as it is written down.

use thiserror::Error;

use crate::equipment::{ListId, Status};

//----------- PolicySpec ------------------------------------------------------

/// How verdicts are reached for one group of clients or subscribers.
///
/// The first four criteria say for whom. Of the kinds of criteria that have
/// values, all must fit; of several values of one kind, any. Without any
/// value, the policy fits every inquiry.
#[derive(Clone, Debug)]
pub struct PolicySpec {
    /// What it is called.
    pub name: String,
    /// Origin-Hosts of clients.
    pub origin_hosts: Vec<String>,
    /// Origin-Realms of clients.
    pub origin_realms: Vec<String>,
    /// First digits of IMSIs, 1 to 15.
    pub imsi_prefixes: Vec<String>,
    /// First and last IMSIs, both included, with the same number of digits;
    /// they hold IMSIs with as many digits.
    pub imsi_ranges: Vec<(String, String)>,
    /// The lists that count, of rules and of bindings; `None`: all.
    pub lists: Option<Vec<ListId>>,
    /// What is said of a device that no rule covers.
    pub unlisted: Unlisted,
    /// What is said of something that is no IMEI.
    pub malformed: Malformed,
    /// How several rules combine.
    pub combine: Combine,
}

impl PolicySpec {
    /// A policy for everybody, by all lists, which calls unlisted devices
    /// unknown and malformed IMEIs a fault.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            origin_hosts: Vec::new(),
            origin_realms: Vec::new(),
            imsi_prefixes: Vec::new(),
            imsi_ranges: Vec::new(),
            lists: None,
            unlisted: Unlisted::Unknown,
            malformed: Malformed::Fault,
            combine: Combine::Strictest,
        }
    }
}

/// What a policy says of a device that no rule covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// That the equipment is unknown.
    Unknown,
    /// This status.
    Status(Status),
}

/// What a policy says of something that is no IMEI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// That the request is faulty.
    Fault,
    /// This status.
    Status(Status),
}

/// How the statuses of several rules of the same kind become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// The strictest counts: black before grey before white.
    Strictest,
}

//----------- PolicyError -----------------------------------------------------

/// Why a policy cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PolicyError {
    /// A prefix is not 1 to 15 digits.
    #[error("policy {policy}: IMSI prefix {prefix:?} must have 1 to 15 digits")]
    ImsiPrefix {
        /// The name of the policy.
        policy: String,
        /// The prefix.
        prefix: String,
    },
    /// A range has an end that is no IMSI, or ends that do not belong
    /// together.
    #[error(
        "policy {policy}: IMSI range {from:?} to {to:?} must go from a lower to a higher IMSI \
         with the same number of digits, 6 to 15"
    )]
    ImsiRange {
        /// The name of the policy.
        policy: String,
        /// The first IMSI.
        from: String,
        /// The last IMSI.
        to: String,
    },
    /// A list is not one of the snapshot.
    #[error("policy {policy}: there is no list number {list}")]
    List {
        /// The name of the policy.
        policy: String,
        /// The list.
        list: ListId,
    },
    /// The default policy is not for everybody.
    #[error("policy {policy}: the default policy cannot have a match")]
    DefaultMatches {
        /// The name of the policy.
        policy: String,
    },
    /// There are more policies than numbers for them.
    #[error("there are more than 65,534 policies")]
    TooMany,
}
