//! From an inquiry to a verdict.

use std::sync::Arc;

use super::matching::{ListSet, Policy};
use super::overlap;
use super::selection::Selection;
use super::spec::{Combine, Malformed, PolicyError, PolicySpec};
use super::tally::Tally;
use super::trace::{Effect, Stage, Trace, Unwatched};
use super::{Explanation, Ground, Inquiry, Outcome, PolicyId, Verdict};
use crate::equipment::{
    BindingId, BindingView, Device, Imsi, Layered, Lookup, Overlay, RuleId, RuleKind, RuleView,
    Scope, Snapshot, Status, Svn, Terms,
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

    /// Has the memory fetched that the verdict on an inquiry begins with: as
    /// soon as it has been read, so that the next ones are read while the
    /// memory answers. For up to [`BATCH`](crate::equipment::devices::BATCH)
    /// inquiries, before the first is decided. A hint that changes nothing but
    /// the time.
    #[inline]
    pub fn prefetch_start(&self, inquiry: &Inquiry<'_>) {
        let snapshot = &self.base.snapshot;
        if let Ok(imei) = inquiry.imei {
            snapshot.prefetch_device(imei.device);
            if let Some(overlay) = &self.overlay {
                overlay.prefetch_device(imei.device);
            }
        }
        if let Some(imsi) = inquiry.imsi {
            snapshot.prefetch_subscriber(imsi);
            if let Some(overlay) = &self.overlay {
                overlay.prefetch_subscriber(imsi);
            }
        }
    }

    /// Has the memory fetched that the verdicts on the inquiries of a batch go
    /// on with, where what they begin with says where that is: after
    /// [`prefetch_start`](Self::prefetch_start) for all of them.
    #[inline]
    pub fn prefetch_next<'i>(&self, inquiries: impl Iterator<Item = &'i Inquiry<'i>> + Clone) {
        let snapshot = &self.base.snapshot;
        let imeis = (inquiries.clone()).filter_map(|inquiry| inquiry.imei.ok());
        snapshot.prefetch_devices_next(imeis.map(|imei| imei.device));
        snapshot.prefetch_subscribers_next(inquiries.filter_map(|inquiry| inquiry.imsi));
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

        if let Some(imsi) = inquiry.imsi {
            trace.stage(Stage::Bindings);
            if lists.has_bindings()
                && let Some((status, ground)) = case.judge_bindings(imsi, trace)
            {
                return (Outcome::Status(status), ground);
            }
        }

        let Some((outcome, rule)) = case.judge_rules(trace) else {
            trace.stage(Stage::Unlisted);
            return (policy.unlisted.outcome(now), Ground::Unlisted);
        };

        if outcome == Outcome::Status(Status::Blacklisted)
            && let Some(imsi) = inquiry.imsi
        {
            trace.stage(Stage::Exceptions);
            if lists.has_exceptions()
                && let Some(exception) = case.find_exception(imsi, trace)
            {
                let ground = Ground::Exception { rule, exception };
                return (Outcome::Status(Status::Whitelisted), ground);
            }
        }
        match outcome {
            Outcome::Status(_) => (outcome, Ground::Rule(rule)),
            Outcome::Unknown | Outcome::Malformed => (outcome, Ground::NotWhitelisted(rule)),
        }
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

//----------- Case ------------------------------------------------------------

/// One device under one policy at one time.
struct Case<'a, L> {
    /// The lists.
    lists: L,
    /// The policy.
    policy: &'a Policy,
    /// Which lists count.
    counted: &'a ListSet,
    /// The device.
    device: Device,
    /// Its software version, if known.
    svn: Option<Svn>,
    /// The time.
    now: UnixTime,
}

/// What the bindings of a subscriber say so far. One thing, so that what visits
/// them carries one reference along.
struct Bound {
    /// Whether the device is bound to.
    is_inside: bool,
    /// Whether it may be, by its software version.
    may_be_inside: bool,
    /// What is said if it is.
    matches: Tally,
    /// What is said if it is not.
    mismatches: Tally,
}

impl Bound {
    /// Before the first binding.
    const fn new() -> Self {
        Self {
            is_inside: false,
            may_be_inside: false,
            matches: Tally::new(),
            mismatches: Tally::new(),
        }
    }
}

impl<L: Lookup> Case<'_, L> {
    /// What the bindings of the subscriber say, if anything.
    ///
    /// A binding to one software version of this very device neither fits nor
    /// fails to where the version is not known: then there is no mismatch.
    #[inline(never)]
    fn judge_bindings(&self, imsi: Imsi, trace: &mut impl Trace) -> Option<(Status, Ground)> {
        let mut bound = Bound::new();
        let asked = (self.device, self.svn, self.now);
        self.lists.visit_bindings(imsi, asked, |id, scope, terms| {
            let effect = self.weigh_binding(&mut bound, id, scope, terms);
            trace.binding(id, effect);
        });
        if bound.is_inside {
            let (status, id) = bound.matches.result()?;
            Some((status, Ground::BindingMatch(BindingId::from_number(id))))
        } else if bound.may_be_inside {
            None
        } else {
            let (status, id) = bound.mismatches.result()?;
            Some((status, Ground::BindingMismatch(BindingId::from_number(id))))
        }
    }

    /// Adds a binding to what the others say.
    #[inline]
    fn weigh_binding(
        &self,
        bound: &mut Bound,
        id: BindingId,
        scope: Scope,
        terms: &Terms,
    ) -> Effect {
        let effect = self.effect(terms);
        if effect != Effect::Effective {
            return effect;
        }
        let rank = self.policy.rank(terms.list);
        bound.mismatches.add(rank, terms.status, id.number());
        match self.lists.covers(scope, self.device, self.svn) {
            Some(true) => {
                bound.is_inside = true;
                if let Some(status) = self.lists.on_match(terms.list) {
                    bound.matches.add(rank, status, id.number());
                }
                effect
            }
            Some(false) => Effect::OtherDevice,
            None => {
                bound.may_be_inside = true;
                Effect::UnknownSvn
            }
        }
    }

    /// What the most specific rules say, if there are any: a status, or by
    /// type 3 without a rule that whitelists, unknown.
    ///
    /// The kinds of [`RuleKind::ALL`] are written out, so that each has code
    /// of its own, and one that has no rules costs the test of a bit.
    #[inline(always)]
    fn judge_rules(&self, trace: &mut impl Trace) -> Option<(Outcome, RuleId)> {
        let rules = (self.tally_rules(RuleKind::DeviceSvn, trace))
            .or_else(|| self.tally_rules(RuleKind::Device, trace))
            .or_else(|| self.tally_rules(RuleKind::Range, trace))
            .or_else(|| self.tally_rules(RuleKind::Tac, trace))
            .or_else(|| self.tally_rules(RuleKind::TacPrefix, trace))
            .or_else(|| self.tally_rules(RuleKind::Special, trace));
        let (status, rule) = rules.result()?;
        let outcome = match self.policy.combine {
            Combine::Type3 if !rules.is_white() => Outcome::Unknown,
            _ => Outcome::Status(status),
        };
        Some((outcome, RuleId::from_number(rule)))
    }

    /// The rules of one kind that have a say.
    #[inline(always)]
    fn tally_rules(&self, kind: RuleKind, trace: &mut impl Trace) -> Tally {
        trace.stage(Stage::Rules(kind));
        let mut rules = Tally::new();
        if !self.lists.has_rules(kind) {
            return rules;
        }
        self.lists
            .visit_rules(kind, self.device, self.svn, |id, terms| {
                let effect = self.effect(terms);
                if effect == Effect::Effective {
                    rules.add(self.policy.rank(terms.list), terms.status, id.number());
                }
                trace.rule(id, effect);
            });
        rules
    }

    /// A rule that blacklists the device, but not for this subscriber: that
    /// which was loaded first.
    #[inline(never)]
    fn find_exception(&self, imsi: Imsi, trace: &mut impl Trace) -> Option<RuleId> {
        let mut first = None;
        let asked = (self.device, self.svn);
        (self.lists).visit_exceptions_for(imsi, asked, |id, scope, terms| {
            let covered = self.lists.covers(scope, self.device, self.svn);
            let effect = match (covered, terms.status) {
                (Some(true), Status::Blacklisted) => self.effect(terms),
                (Some(true), _) => Effect::NotBlacklisted,
                (Some(false), _) => Effect::OtherDevice,
                (None, _) => Effect::UnknownSvn,
            };
            if effect == Effect::Effective && first.is_none_or(|first| id < first) {
                first = Some(id);
            }
            trace.rule(id, effect);
        });
        first
    }

    /// Whether something on these terms has a say.
    #[inline]
    fn effect(&self, terms: &Terms) -> Effect {
        if self.counted.contains(terms.list) {
            terms.validity.standing(self.now).into()
        } else if self.policy.lists_with_shadows.contains(terms.list) {
            Effect::Shadow
        } else {
            Effect::NotCounted
        }
    }
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
