//! Watching a verdict being reached.

use super::PolicyId;
use crate::equipment::{BindingId, RuleId, RuleKind, Standing};

//----------- Trace -----------------------------------------------------------

/// Is told each thing that is looked at on the way to a verdict.
///
/// Every method does nothing unless it is overridden, so that a trace nobody
/// watches is compiled away.
pub(super) trait Trace {
    /// Whether anybody watches: what is looked at only to be told is looked at
    /// then only.
    const IS_WATCHING: bool = true;

    /// A policy was tried.
    #[inline]
    fn policy(&mut self, policy: PolicyId, fits: bool) {
        let _ = (policy, fits);
    }

    /// The next step begins.
    #[inline]
    fn stage(&mut self, stage: Stage) {
        let _ = stage;
    }

    /// A binding of the subscriber was found.
    #[inline]
    fn binding(&mut self, binding: BindingId, effect: Effect) {
        let _ = (binding, effect);
    }

    /// A rule was found: at the stage of its kind, that covers the device; at
    /// that of the exceptions, that the subscriber is excepted from.
    #[inline]
    fn rule(&mut self, rule: RuleId, effect: Effect) {
        let _ = (rule, effect);
    }
}

/// Watches nothing.
pub(super) struct Unwatched;

impl Trace for Unwatched {
    const IS_WATCHING: bool = false;
}

//----------- Stage -----------------------------------------------------------

/// The steps on the way to a verdict, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Is there a status that overrides everything?
    Override,
    /// Which policy applies?
    Policy,
    /// Is it an IMEI?
    Imei,
    /// Is the subscriber bound to devices?
    Bindings,
    /// Do rules of this kind cover the device?
    Rules(RuleKind),
    /// May the subscriber use a device that is blacklisted?
    Exceptions,
    /// What is said where no rule says anything?
    Unlisted,
}

impl Stage {
    /// All steps in their order.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [Self::Override, Self::Policy, Self::Imei, Self::Bindings]
            .into_iter()
            .chain(RuleKind::ALL.map(Self::Rules))
            .chain([Self::Exceptions, Self::Unlisted])
    }

    /// What the step is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::Policy => "policy",
            Self::Imei => "IMEI",
            Self::Bindings => "bindings",
            Self::Rules(kind) => kind.name(),
            Self::Exceptions => "exceptions",
            Self::Unlisted => "unlisted",
        }
    }
}

//----------- Effect ----------------------------------------------------------

/// What became of a rule or binding that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It has a say.
    Effective,
    /// Its list does not count for the policy.
    NotCounted,
    /// Its list would count, but is a shadow.
    Shadow,
    /// It is not yet in effect.
    NotYet,
    /// It is no longer in effect.
    Expired,
    /// It speaks of other devices.
    OtherDevice,
    /// It speaks of one software version, and none was named.
    UnknownSvn,
    /// It is not blacklisting, so that its exceptions are of no effect.
    NotBlacklisted,
}

impl Effect {
    /// What is said of it in an explanation.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Effective => "effective",
            Self::NotCounted => "its list does not count for the policy",
            Self::Shadow => "its list is a shadow",
            Self::NotYet => "not yet in effect",
            Self::Expired => "no longer in effect",
            Self::OtherDevice => "other devices",
            Self::UnknownSvn => "the SVN is not known",
            Self::NotBlacklisted => "not blacklisting",
        }
    }
}

impl From<Standing> for Effect {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Effective => Self::Effective,
            Standing::NotYet => Self::NotYet,
            Standing::Expired => Self::Expired,
        }
    }
}
