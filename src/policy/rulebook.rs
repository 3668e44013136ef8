//! From an inquiry to a verdict.

use std::sync::Arc;

use super::case::Case;
use super::matching::Policy;
use super::overlap;
use super::selection::Selection;
use super::spec::{Malformed, PolicyError, PolicySpec};
use super::trace::{Stage, Trace, Unwatched};
use super::{Explanation, Ground, Inquiry, Outcome, PolicyId, Verdict};
use crate::equipment::{
    BindingId, BindingView, Device, Imsi, Layered, Lookup, Overlay, RuleId, RuleView, Snapshot,
    Status,
};
use crate::time::UnixTime;

//----------- Rulebook --------------------------------------------------------

/// Everything that a verdict depends on, but for the inquiry and the time: a
/// snapshot of the lists, what was changed since it was made, the policies, and
/// the maintenance switch.
///
/// It never changes, and it is published, swapped and answered from as a
/// whole, so that no answer mixes an old list with a new policy, or sees one of
/// two changes that were made at once.
#[derive(Clone, Debug)]
pub struct Rulebook {
    /// What is the same after a change.
    base: Arc<Base>,
    /// What was changed; `None` as long as nothing was, so that changes cost
    /// nothing where there are none.
    overlay: Option<Overlay>,
}

/// A rulebook without changes.
#[derive(Debug)]
pub(super) struct Base {
    /// The lists.
    snapshot: Snapshot,
    /// The maintenance switch: the status that everything has.
    override_status: Option<Status>,
    /// The policy for those that no other is for.
    default: Policy,
    /// The other policies; the first that fits applies.
    policies: Vec<Policy>,
    /// Which of them may be for an inquiry.
    selection: Selection,
    /// Whether a list or a policy is a shadow.
    has_shadows: bool,
}

impl Rulebook {
    /// A rulebook of these lists and policies.
    ///
    /// # Errors
    ///
    /// If a policy cannot be used: see [`PolicyError`].
    pub fn new(
        snapshot: Snapshot,
        override_status: Option<Status>,
        default: PolicySpec,
        policies: Vec<PolicySpec>,
    ) -> Result<Self, PolicyError> {
        let default = Policy::new(PolicyId::DEFAULT, default, &snapshot)?;
        if !default.criteria.is_empty() {
            return Err(PolicyError::DefaultMatches {
                policy: default.name,
            });
        }
        if default.shadow {
            return Err(PolicyError::DefaultShadow {
                policy: default.name,
            });
        }
        if policies.len() >= usize::from(u16::MAX) {
            return Err(PolicyError::TooMany);
        }
        let policies = (1..)
            .zip(policies)
            .map(|(number, spec)| Policy::new(PolicyId(number), spec, &snapshot))
            .collect::<Result<Vec<_>, _>>()?;
        let base = Base {
            has_shadows: snapshot.lists().any(|list| list.shadow)
                || policies.iter().any(|policy| policy.shadow),
            snapshot,
            override_status,
            default,
            selection: Selection::new(&policies),
            policies,
        };
        Ok(Self {
            base: Arc::new(base),
            overlay: None,
        })
    }

    /// The same rulebook with these changes above its lists, and no others. It
    /// shares everything but the changes with this one, so that this takes no
    /// time to speak of.
    #[must_use]
    pub fn with_overlay(&self, overlay: Overlay) -> Self {
        Self {
            base: Arc::clone(&self.base),
            overlay: Some(overlay).filter(|overlay| !overlay.is_empty()),
        }
    }

    /// A rulebook with another snapshot of the same lists, in the same order, and
    /// without changes.
    #[must_use]
    pub fn with_snapshot(&self, snapshot: Snapshot) -> Self {
        Self {
            base: Arc::new(self.base.with_snapshot(snapshot)),
            overlay: None,
        }
    }

    /// Whether both have the same lists and policies, but for changes.
    #[must_use]
    pub fn shares_base(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.base, &other.base)
    }

    /// The lists, without what was changed since they were loaded.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.base.snapshot
    }

    /// What was changed since, if anything was.
    #[must_use]
    pub fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_ref()
    }

    /// The rule with this number that was found for a device, of a list or of a
    /// change; `None` if it is another rulebook's.
    #[must_use]
    pub fn rule(&self, id: RuleId, device: Device) -> Option<RuleView<'_>> {
        match self.layered() {
            None => self.base.snapshot.rule(id, device),
            Some(layered) => layered.rule(id, device),
        }
    }

    /// The binding with this number that was found for a subscriber, likewise.
    #[must_use]
    pub fn binding(&self, id: BindingId, imsi: Imsi) -> Option<BindingView<'_>> {
        match self.layered() {
            None => self.base.snapshot.binding(id),
            Some(layered) => layered.binding(id, imsi),
        }
    }

    /// The lists with the changes above them, if there are any.
    #[inline]
    fn layered(&self) -> Option<Layered<'_>> {
        Some(Layered {
            base: &self.base.snapshot,
            overlay: self.overlay.as_ref()?,
        })
    }

    /// The status that everything has, if the maintenance switch is set.
    #[must_use]
    pub fn override_status(&self) -> Option<Status> {
        self.base.override_status
    }

    /// The names of all policies with their numbers, the default one first.
    pub fn policies(&self) -> impl Iterator<Item = (PolicyId, &str)> {
        (self.base.policies()).map(|policy| (policy.id, policy.name.as_str()))
    }

    /// The name of a policy; `None` if it is another rulebook's.
    #[must_use]
    pub fn policy_name(&self, id: PolicyId) -> Option<&str> {
        let policy = match usize::from(id.number()).checked_sub(1) {
            None => &self.base.default,
            Some(index) => self.base.policies.get(index)?,
        };
        Some(&policy.name)
    }

    /// What in the order of the policies is most likely not meant: those that
    /// are never reached, and those that overlap. One line each.
    #[must_use]
    pub fn overlaps(&self) -> Vec<String> {
        overlap::warnings(&self.base.policies)
    }

    //--- Verdicts

    /// What is said of a device at this time.
    ///
    /// Allocates nothing, takes no lock and calls no system.
    #[must_use]
    pub fn decide(&self, inquiry: &Inquiry<'_>, now: UnixTime) -> Verdict {
        match &self.overlay {
            None => {
                let base = &*self.base;
                base.evaluate(&base.snapshot, inquiry, now, Shadows::Off, &mut Unwatched)
            }
            Some(_) => self.decide_with_changes(inquiry, now),
        }
    }

    /// The same where there are changes: apart, so that the code which answers
    /// where there are none knows nothing of them.
    #[inline(never)]
    fn decide_with_changes(&self, inquiry: &Inquiry<'_>, now: UnixTime) -> Verdict {
        self.evaluate(inquiry, now, Shadows::Off, &mut Unwatched)
    }

    /// Has the memory fetched that the verdicts of these inquiries begin with,
    /// so that it comes for all of them at once: for up to
    /// [`BATCH`](crate::equipment::devices::BATCH) of them, before the first is
    /// decided. A hint that changes nothing but the time.
    #[inline]
    pub fn prefetch<'i>(&self, inquiries: impl Iterator<Item = &'i Inquiry<'i>> + Clone) {
        let imeis = (inquiries.clone()).filter_map(|inquiry| inquiry.imei.ok());
        let devices = imeis.map(|imei| imei.device);
        let snapshot = &self.base.snapshot;
        snapshot.prefetch(devices.clone());
        let imsis = inquiries.filter_map(|inquiry| inquiry.imsi);
        snapshot.prefetch_subscribers(imsis.clone());
        if let Some(overlay) = &self.overlay {
            overlay.prefetch(devices);
            overlay.prefetch_subscribers(imsis);
        }
    }

    /// What would be said if all lists and policies that are shadows were in
    /// force; `None` if there are none, or the outcome would be that of
    /// `verdict`, which [`decide`](Self::decide) gave to the same inquiry.
    ///
    /// Allocates nothing, takes no lock and calls no system.
    #[inline]
    #[must_use]
    pub fn shadow(
        &self,
        inquiry: &Inquiry<'_>,
        now: UnixTime,
        verdict: &Verdict,
    ) -> Option<Verdict> {
        if !self.base.has_shadows {
            return None;
        }
        self.evaluate_shadows(inquiry, now, verdict)
    }

    /// The same where there are shadows: apart, so that the code which answers
    /// is made for [`Shadows::Off`] alone.
    #[cold]
    #[inline(never)]
    fn evaluate_shadows(
        &self,
        inquiry: &Inquiry<'_>,
        now: UnixTime,
        verdict: &Verdict,
    ) -> Option<Verdict> {
        let shadow = self.evaluate(inquiry, now, Shadows::On, &mut Unwatched);
        (shadow.outcome != verdict.outcome).then_some(shadow)
    }

    /// The same verdict, and how it was reached.
    #[must_use]
    pub fn explain(&self, inquiry: &Inquiry<'_>, now: UnixTime) -> Explanation {
        Explanation::record(self, inquiry, now)
    }

    /// Takes one step after the other until one decides.
    pub(super) fn evaluate(
        &self,
        inquiry: &Inquiry<'_>,
        now: UnixTime,
        shadows: Shadows,
        trace: &mut impl Trace,
    ) -> Verdict {
        let base = &*self.base;
        match self.layered() {
            None => base.evaluate(&base.snapshot, inquiry, now, shadows, trace),
            Some(layered) => base.evaluate(layered, inquiry, now, shadows, trace),
        }
    }

    /// What each policy would say if it applied, the default one first, and
    /// whether it is a shadow.
    pub(super) fn opinions(
        &self,
        inquiry: &Inquiry<'_>,
        now: UnixTime,
    ) -> impl Iterator<Item = (bool, Verdict)> {
        let base = &*self.base;
        base.policies().map(move |policy| {
            let off = Shadows::Off;
            let verdict = match self.layered() {
                None => {
                    let lists = &base.snapshot;
                    base.apply(policy, lists, inquiry, now, off, &mut Unwatched)
                }
                Some(lists) => base.apply(policy, lists, inquiry, now, off, &mut Unwatched),
            };
            (policy.shadow, verdict)
        })
    }
}

impl Base {
    /// The same policies for another snapshot.
    fn with_snapshot(&self, snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            override_status: self.override_status,
            default: self.default.clone(),
            policies: self.policies.clone(),
            selection: self.selection.clone(),
            has_shadows: self.has_shadows,
        }
    }

    /// All policies, the default one first.
    fn policies(&self) -> impl Iterator<Item = &Policy> {
        core::iter::once(&self.default).chain(&self.policies)
    }

    /// Takes one step after the other until one decides; the lists are those of
    /// the snapshot, with changes or without.
    #[inline(always)]
    fn evaluate(
        &self,
        lists: impl Lookup,
        inquiry: &Inquiry<'_>,
        now: UnixTime,
        shadows: Shadows,
        trace: &mut impl Trace,
    ) -> Verdict {
        trace.stage(Stage::Override);
        if let Some(status) = self.override_status {
            return Verdict {
                outcome: Outcome::Status(status),
                ground: Ground::Override,
                policy: PolicyId::DEFAULT,
            };
        }
        trace.stage(Stage::Policy);
        let policy = self.select(inquiry, shadows, trace);
        self.apply(policy, lists, inquiry, now, shadows, trace)
    }

    /// The policy for this inquiry.
    #[inline(always)]
    fn select<T: Trace>(&self, inquiry: &Inquiry<'_>, shadows: Shadows, trace: &mut T) -> &Policy {
        if self.policies.is_empty() {
            trace.policy(PolicyId::DEFAULT, true);
            return &self.default;
        }
        let counts = |policy: &Policy| !policy.shadow || shadows == Shadows::On;
        let first = self.selection.first(inquiry, |place| {
            let policy = self.policies.get(usize::from(place));
            policy.is_some_and(|policy| counts(policy) && policy.criteria.fit(inquiry))
        });
        let first = first.map(usize::from);
        if T::IS_WATCHING {
            // None before the first that fits does.
            let before = first.unwrap_or(self.policies.len());
            for policy in self.policies.iter().take(before) {
                if counts(policy) {
                    trace.policy(policy.id, false);
                }
            }
        }
        let policy = first.and_then(|first| self.policies.get(first));
        let policy = policy.unwrap_or(&self.default);
        trace.policy(policy.id, true);
        policy
    }

    /// Takes the steps that depend on the policy.
    #[inline(always)]
    fn apply(
        &self,
        policy: &Policy,
        lists: impl Lookup,
        inquiry: &Inquiry<'_>,
        now: UnixTime,
        shadows: Shadows,
        trace: &mut impl Trace,
    ) -> Verdict {
        let (outcome, ground) = match policy.override_status {
            Some(status) => (Outcome::Status(status), Ground::PolicyOverride),
            None => Self::judge(policy, lists, inquiry, now, shadows, trace),
        };
        Verdict {
            outcome,
            ground,
            policy: policy.id,
        }
    }

    /// Judges by the IMEI and the lists.
    #[inline(always)]
    fn judge(
        policy: &Policy,
        lists: impl Lookup,
        inquiry: &Inquiry<'_>,
        now: UnixTime,
        shadows: Shadows,
        trace: &mut impl Trace,
    ) -> (Outcome, Ground) {
        trace.stage(Stage::Imei);
        let Ok(imei) = inquiry.imei else {
            let outcome = match policy.malformed {
                Malformed::Fault => Outcome::Malformed,
                Malformed::Status(status) => Outcome::Status(status),
            };
            return (outcome, Ground::MalformedImei);
        };
        let case = Case {
            lists,
            policy,
            counted: match shadows {
                Shadows::Off => &policy.lists,
                Shadows::On => &policy.lists_with_shadows,
            },
            device: imei.device,
            svn: inquiry.known_svn(),
            now,
        };
        case.judge(inquiry.imsi, trace)
    }
}

/// Whether the lists and policies that are shadows count as if they were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shadows {
    /// They do not count.
    Off,
    /// They count.
    On,
}

//----------- Tests -----------------------------------------------------------

// The order of the steps is tested in `tests/verdict_model/`, against a
// second telling of it.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_have_names() {
        let policies = ["iot", "guests"].map(PolicySpec::new).to_vec();
        let default = PolicySpec::new("default");
        let rulebook = Rulebook::new(Snapshot::default(), None, default, policies).unwrap();
        let names: Vec<_> = rulebook.policies().map(|(_, name)| name).collect();
        assert_eq!(names, ["default", "iot", "guests"]);
        for (id, name) in rulebook.policies() {
            assert_eq!(rulebook.policy_name(id), Some(name));
        }
        assert_eq!(rulebook.policy_name(PolicyId(3)), None);
    }

    #[test]
    fn refuses_policies_that_cannot_be_used() {
        let new = |default, policies| Rulebook::new(Snapshot::default(), None, default, policies);
        let default = PolicySpec::new("default");
        let narrow = PolicySpec {
            origin_realms: vec!["example".into()],
            ..default.clone()
        };
        assert_eq!(
            new(narrow, Vec::new()).unwrap_err().to_string(),
            "policy default: the default policy cannot have a match",
        );
        let prefix = PolicySpec {
            imsi_prefixes: vec!["0010x".into()],
            ..PolicySpec::new("iot")
        };
        assert_eq!(
            new(default.clone(), vec![prefix]).unwrap_err().to_string(),
            "policy iot: IMSI prefix \"0010x\" must have 1 to 15 digits",
        );
        let range = PolicySpec {
            imsi_ranges: vec![("001011".into(), "001010".into())],
            ..PolicySpec::new("iot")
        };
        assert_eq!(
            new(default.clone(), vec![range]).unwrap_err().to_string(),
            "policy iot: IMSI range \"001011\" to \"001010\" must go from a lower to a higher \
             IMSI with the same number of digits, 6 to 15",
        );
        let name = PolicySpec {
            origin_hosts: vec!["mme*.example".into()],
            ..PolicySpec::new("iot")
        };
        assert_eq!(
            new(default.clone(), vec![name]).unwrap_err().to_string(),
            "policy iot: `mme*.example` is no name; a `*` stands only before a dot, as in \
             `*.example`",
        );
        let shadow = PolicySpec {
            shadow: true,
            ..default.clone()
        };
        assert_eq!(
            new(shadow, Vec::new()).unwrap_err().to_string(),
            "policy default: the default policy cannot be a shadow",
        );
        let many = vec![PolicySpec::new("one"); usize::from(u16::MAX)];
        assert_eq!(new(default, many).unwrap_err(), PolicyError::TooMany);
    }
}
