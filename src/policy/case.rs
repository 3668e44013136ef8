//! What the lists say of one device: the steps from its bindings to its rules
//! and the exceptions from them.

use super::matching::{ListSet, Policy};
use super::spec::Combine;
use super::tally::Tally;
use super::trace::{Effect, Stage, Trace};
use super::{Ground, Outcome};
use crate::equipment::{
    BindingId, Device, Imsi, Lookup, RuleId, RuleKind, Scope, Status, Svn, Terms,
};
use crate::time::UnixTime;

/// One device under one policy at one time.
pub(super) struct Case<'a, L> {
    /// The lists.
    pub(super) lists: L,
    /// The policy.
    pub(super) policy: &'a Policy,
    /// Which lists count.
    pub(super) counted: &'a ListSet,
    /// The device.
    pub(super) device: Device,
    /// Its software version, if known.
    pub(super) svn: Option<Svn>,
    /// The time.
    pub(super) now: UnixTime,
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
    /// What the lists say, and if it was asked for a subscriber, what they say of
    /// that one: bindings, then rules, then exceptions from these.
    #[inline(always)]
    pub(super) fn judge(&self, imsi: Option<Imsi>, trace: &mut impl Trace) -> (Outcome, Ground) {
        if let Some(imsi) = imsi {
            trace.stage(Stage::Bindings);
            if self.lists.has_bindings()
                && let Some((status, ground)) = self.judge_bindings(imsi, trace)
            {
                return (Outcome::Status(status), ground);
            }
        }

        let Some((outcome, rule)) = self.judge_rules(trace) else {
            trace.stage(Stage::Unlisted);
            return (self.policy.unlisted.outcome(self.now), Ground::Unlisted);
        };

        if outcome == Outcome::Status(Status::Blacklisted)
            && let Some(imsi) = imsi
        {
            trace.stage(Stage::Exceptions);
            if self.lists.has_exceptions()
                && let Some(exception) = self.find_exception(imsi, trace)
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
