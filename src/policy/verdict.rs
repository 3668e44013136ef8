//! What is said of a device, and on what ground.

use core::fmt;

use crate::equipment::{BindingId, RuleId, Status};

/// The answer to an [`Inquiry`](super::Inquiry).
///
/// The numbers in it are those of the rulebook that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is answered.
    pub outcome: Outcome,
    /// What decided it.
    pub ground: Ground,
    /// The policy that applied; the default one where none was looked for.
    pub policy: PolicyId,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The device has this status.
    Status(Status),
    /// The device is unknown.
    Unknown,
    /// What was sent is no IMEI.
    Malformed,
}

impl Outcome {
    /// The name, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status(status) => status.name(),
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What decided a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ground {
    /// The maintenance switch: nothing else was looked at.
    Override,
    /// The policy says the same of everything.
    PolicyOverride,
    /// What was sent is no IMEI.
    MalformedImei,
    /// The subscriber is bound to other devices: the strictest of its bindings.
    BindingMismatch(BindingId),
    /// The subscriber is bound to the device: the binding that says so.
    BindingMatch(BindingId),
    /// A rule.
    Rule(RuleId),
    /// A rule, but none that whitelists beside it: see
    /// [`Combine::Type3`](super::Combine::Type3).
    NotWhitelisted(RuleId),
    /// The device is blacklisted, but this subscriber may use it.
    Exception {
        /// The rule that blacklists.
        rule: RuleId,
        /// The rule that has the exception; often the same.
        exception: RuleId,
    },
    /// No rule covers the device.
    Unlisted,
}

/// Names a policy within its rulebook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(pub(super) u16);

impl PolicyId {
    /// The default policy.
    pub const DEFAULT: Self = Self(0);

    /// The number: 0 is the default policy, the others count from 1.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}
