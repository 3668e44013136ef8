//! A policy as it is written down.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Outcome;
use crate::equipment::{ListId, Status};
use crate::time::UnixTime;

//----------- PolicySpec ------------------------------------------------------

/// How verdicts are reached for one group of clients or subscribers.
///
/// The first five criteria say for whom. Names are compared without regard to
/// ASCII case; one that begins with `*.` is for all that end as the rest. Of the kinds of criteria that have
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
    /// First Route-Records of requests: the node that the first agent on the
    /// way had the request from (RFC 6733 section 6.7.1). A request that came
    /// without an agent has none.
    pub route_records: Vec<String>,
    /// First digits of IMSIs, 1 to 15.
    pub imsi_prefixes: Vec<String>,
    /// First and last IMSIs, both included, with the same number of digits;
    /// they hold IMSIs with as many digits.
    pub imsi_ranges: Vec<(String, String)>,
    /// The lists that count, of rules and of bindings; `None`: all. Their order
    /// counts for [`Combine::Order`].
    pub lists: Option<Vec<ListId>>,
    /// What is said of a device that no rule covers.
    pub unlisted: Unlisted,
    /// What is said of something that is no IMEI.
    pub malformed: Malformed,
    /// How several rules combine.
    pub combine: Combine,
    /// The status that everything has for whom the policy is.
    pub override_status: Option<Status>,
    /// Whether the policy is a shadow: it is for nobody, but can be asked what
    /// would be if it were in force.
    pub shadow: bool,
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
            route_records: Vec::new(),
            imsi_prefixes: Vec::new(),
            imsi_ranges: Vec::new(),
            lists: None,
            unlisted: Unlisted::Unknown,
            malformed: Malformed::Fault,
            combine: Combine::Strictest,
            override_status: None,
            shadow: false,
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
    /// One thing for a while, then another.
    Grace {
        /// The status for now.
        status: Status,
        /// The last second of it.
        until: UnixTime,
        /// The status after; `None`: unknown.
        then: Option<Status>,
    },
}

impl Unlisted {
    /// What is answered at this time.
    #[must_use]
    pub fn outcome(self, now: UnixTime) -> Outcome {
        let status = match self {
            Self::Unknown => None,
            Self::Status(status) => Some(status),
            Self::Grace { status, until, .. } if now <= until => Some(status),
            Self::Grace { then, .. } => then,
        };
        status.map_or(Outcome::Unknown, Outcome::Status)
    }
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
///
/// The response types 1, 2 and 3 are those that operators know from the EAGLE
/// EIR. They look at which of the three statuses the device has, at the most
/// specific kind that has any rule with a say:
///
/// | white | grey | black | `type1` | `type2` | `type3` |
/// |---|---|---|---|---|---|
/// | x |   |   | white | white | white |
/// | x | x |   | grey  | grey  | grey |
/// | x | x | x | black | black | black |
/// | x |   | x | black | black | black |
/// |   | x |   | grey  | grey  | *unknown* |
/// |   | x | x | black | black | *unknown* |
/// |   |   | x | black | black | *unknown* |
/// |   |   |   | *white* | *unknown* | *unknown* |
///
/// The last row is [`Combine::unlisted`], which a policy may replace. As with
/// the EAGLE, single devices are searched before ranges, and ranges only if
/// there is no match; what a subscriber is excepted from is looked at only
/// where the table says black.
///
/// Bindings combine by [`Combine::Order`] where the policy does, and to the
/// strictest otherwise: the types speak of rules only.
///
/// The rows of white and black follow Oracle's published description of the
/// list determination (EAGLE and Diameter Signaling Router, EIR User's
/// Guides). It says nothing that we could find of grey and of devices on no
/// list: there, grey is treated as black is, and the last row is what the types
/// are commonly understood to mean. Compare with your EIR before relying on
/// these rows; `weir diff` and a shadow policy show what they would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// The strictest counts: black before grey before white.
    #[default]
    Strictest,
    /// The first list counts that has a rule with a say, in the order of the
    /// policy's lists, or without these in which they were loaded; within it,
    /// the strictest.
    Order,
    /// What is not known to be bad is good.
    Type1,
    /// The strictest counts, and what is not listed is unknown.
    Type2,
    /// What is not whitelisted is unknown.
    Type3,
}

impl Combine {
    /// What is said of a device that no rule covers, unless the policy says
    /// otherwise.
    #[must_use]
    pub const fn unlisted(self) -> Unlisted {
        match self {
            Self::Type1 => Unlisted::Status(Status::Whitelisted),
            Self::Strictest | Self::Order | Self::Type2 | Self::Type3 => Unlisted::Unknown,
        }
    }

    /// The name, as a configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strictest => "strictest",
            Self::Order => "order",
            Self::Type1 => "type1",
            Self::Type2 => "type2",
            Self::Type3 => "type3",
        }
    }
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
    /// A name has a `*` where it means nothing.
    #[error(
        "policy {policy}: `{name}` is no name; a `*` stands only before a dot, as in `*.example`"
    )]
    Name {
        /// The name of the policy.
        policy: String,
        /// The name.
        name: String,
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
    /// The default policy is a shadow.
    #[error("policy {policy}: the default policy cannot be a shadow")]
    DefaultShadow {
        /// The name of the policy.
        policy: String,
    },
    /// There are more policies than numbers for them.
    #[error("there are more than 65,534 policies")]
    TooMany,
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_period_ends_at_the_second() {
        for (then, after) in [
            (None, Outcome::Unknown),
            (
                Some(Status::Blacklisted),
                Outcome::Status(Status::Blacklisted),
            ),
        ] {
            let grace = Unlisted::Grace {
                status: Status::Greylisted,
                until: UnixTime(1_798_761_599),
                then,
            };
            let grey = Outcome::Status(Status::Greylisted);
            for (now, expected) in [
                (0, grey),
                (1_798_761_599, grey),
                (1_798_761_600, after),
                (i64::MAX, after),
            ] {
                assert_eq!(grace.outcome(UnixTime(now)), expected, "{now}");
            }
        }
    }
}
