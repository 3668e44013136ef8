//! From an inquiry to a verdict.

use super::matching::Policy;
use super::spec::{Combine, Malformed, PolicyError, PolicySpec, Unlisted};
use super::trace::{Effect, Stage, Trace, Unwatched};
use super::{Explanation, Ground, Inquiry, Outcome, PolicyId, Verdict};
use crate::equipment::{BindingId, Device, Imsi, RuleId, RuleKind, Snapshot, Status, Svn, Terms};
use crate::time::UnixTime;

//----------- Rulebook --------------------------------------------------------

/// Everything that a verdict depends on, but for the inquiry and the time: a
/// snapshot of the lists, the policies, and the maintenance switch.
///
/// It never changes, and it is published, swapped and answered from as a
/// whole, so that no answer mixes an old list with a new policy.
#[derive(Debug)]
pub struct Rulebook {
    /// The lists.
    snapshot: Snapshot,
    /// The maintenance switch: the status that everything has.
    override_status: Option<Status>,
    /// The policy for those that no other is for.
    default: Policy,
    /// The other policies; the first that fits applies.
    policies: Vec<Policy>,
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
        if policies.len() >= usize::from(u16::MAX) {
            return Err(PolicyError::TooMany);
        }
        let policies = (1..)
            .zip(policies)
            .map(|(number, spec)| Policy::new(PolicyId(number), spec, &snapshot))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            snapshot,
            override_status,
            default,
            policies,
        })
    }

    /// The lists.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The status that everything has, if the maintenance switch is set.
    #[must_use]
    pub fn override_status(&self) -> Option<Status> {
        self.override_status
    }

    /// The names of all policies with their numbers, the default one first.
    pub fn policies(&self) -> impl Iterator<Item = (PolicyId, &str)> {
        core::iter::once(&self.default)
            .chain(&self.policies)
            .map(|policy| (policy.id, policy.name.as_str()))
    }

    /// The name of a policy; `None` if it is another rulebook's.
    #[must_use]
    pub fn policy_name(&self, id: PolicyId) -> Option<&str> {
        let policy = match usize::from(id.number()).checked_sub(1) {
            None => &self.default,
            Some(index) => self.policies.get(index)?,
        };
        Some(&policy.name)
    }

    //--- Verdicts

    /// What is said of a device at this time.
    ///
    /// Allocates nothing, takes no lock and calls no system.
    #[must_use]
    pub fn decide(&self, inquiry: &Inquiry<'_>, now: UnixTime) -> Verdict {
        self.evaluate(inquiry, now, &mut Unwatched)
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
        let policy = self.select(inquiry, trace);
        let (outcome, ground) = self.apply(policy, inquiry, now, trace);
        Verdict {
            outcome,
            ground,
            policy: policy.id,
        }
    }

    /// The policy for this inquiry.
    fn select(&self, inquiry: &Inquiry<'_>, trace: &mut impl Trace) -> &Policy {
        for policy in &self.policies {
            let fits = policy.criteria.fit(inquiry);
            trace.policy(policy.id, fits);
            if fits {
                return policy;
            }
        }
        trace.policy(PolicyId::DEFAULT, true);
        &self.default
    }

    /// Takes the steps that depend on the policy.
    fn apply(
        &self,
        policy: &Policy,
        inquiry: &Inquiry<'_>,
        now: UnixTime,
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
            snapshot: &self.snapshot,
            policy,
            device: imei.device,
            svn: inquiry.known_svn(),
            now,
        };

        if let Some(imsi) = inquiry.imsi
            && let Some((status, ground)) = case.judge_bindings(imsi, trace)
        {
            return (Outcome::Status(status), ground);
        }

        let Some((status, rule)) = case.judge_rules(trace) else {
            trace.stage(Stage::Unlisted);
            let outcome = match policy.unlisted {
                Unlisted::Unknown => Outcome::Unknown,
                Unlisted::Status(status) => Outcome::Status(status),
            };
            return (outcome, Ground::Unlisted);
        };

        if status == Status::Blacklisted
            && let Some(imsi) = inquiry.imsi
            && let Some(exception) = case.find_exception(imsi, trace)
        {
            let ground = Ground::Exception { rule, exception };
            return (Outcome::Status(Status::Whitelisted), ground);
        }
        (Outcome::Status(status), Ground::Rule(rule))
    }
}

//----------- Case ------------------------------------------------------------

/// One device under one policy at one time.
struct Case<'a> {
    /// The lists.
    snapshot: &'a Snapshot,
    /// The policy.
    policy: &'a Policy,
    /// The device.
    device: Device,
    /// Its software version, if known.
    svn: Option<Svn>,
    /// The time.
    now: UnixTime,
}

impl Case<'_> {
    /// What the bindings of the subscriber say, if anything.
    ///
    /// A binding to one software version of this very device neither fits nor
    /// fails to where the version is not known: then there is no mismatch.
    fn judge_bindings(&self, imsi: Imsi, trace: &mut impl Trace) -> Option<(Status, Ground)> {
        trace.stage(Stage::Bindings);
        let mut is_inside = false;
        let mut may_be_inside = false;
        let mut matches = self.tally();
        let mut mismatches = self.tally();
        self.snapshot.visit_bindings(imsi, |id, scope, terms| {
            let mut effect = self.effect(terms);
            if effect == Effect::Effective {
                mismatches.add(terms.status, id);
                match scope.covers(self.device, self.svn) {
                    Some(true) => {
                        is_inside = true;
                        if let Some(status) = self.snapshot.on_match(terms.list) {
                            matches.add(status, id);
                        }
                    }
                    Some(false) => effect = Effect::OtherDevice,
                    None => {
                        may_be_inside = true;
                        effect = Effect::UnknownSvn;
                    }
                }
            }
            trace.binding(id, effect);
        });
        if is_inside {
            let (status, id): (_, BindingId) = matches.result()?;
            Some((status, Ground::BindingMatch(id)))
        } else if may_be_inside {
            None
        } else {
            let (status, id) = mismatches.result()?;
            Some((status, Ground::BindingMismatch(id)))
        }
    }

    /// What the most specific rules say, if there are any.
    fn judge_rules(&self, trace: &mut impl Trace) -> Option<(Status, RuleId)> {
        RuleKind::ALL.into_iter().find_map(|kind| {
            trace.stage(Stage::Rules(kind));
            let mut rules = self.tally();
            self.snapshot
                .visit_rules(kind, self.device, self.svn, |id, terms| {
                    let effect = self.effect(terms);
                    if effect == Effect::Effective {
                        rules.add(terms.status, id);
                    }
                    trace.rule(id, effect);
                });
            rules.result()
        })
    }

    /// A rule that blacklists the device, but not for this subscriber.
    fn find_exception(&self, imsi: Imsi, trace: &mut impl Trace) -> Option<RuleId> {
        trace.stage(Stage::Exceptions);
        let mut exceptions = self.tally();
        self.snapshot.visit_exceptions(imsi, |id, scope, terms| {
            let effect = match (scope.covers(self.device, self.svn), terms.status) {
                (Some(true), Status::Blacklisted) => self.effect(terms),
                (Some(true), _) => Effect::NotBlacklisted,
                (Some(false), _) => Effect::OtherDevice,
                (None, _) => Effect::UnknownSvn,
            };
            if effect == Effect::Effective {
                exceptions.add(terms.status, id);
            }
            trace.rule(id, effect);
        });
        exceptions.result().map(|(_, id)| id)
    }

    /// Whether something on these terms has a say.
    fn effect(&self, terms: &Terms) -> Effect {
        if self.policy.lists.contains(terms.list) {
            terms.validity.standing(self.now).into()
        } else {
            Effect::NotCounted
        }
    }

    /// Combines statuses as the policy says.
    fn tally<Id>(&self) -> Tally<Id> {
        Tally {
            combine: self.policy.combine,
            result: None,
        }
    }
}

//----------- Tally -----------------------------------------------------------

/// Makes one status of many, in whatever order they come.
struct Tally<Id> {
    /// How.
    combine: Combine,
    /// The status so far, and whose it is.
    result: Option<(Status, Id)>,
}

impl<Id: Copy + Ord> Tally<Id> {
    /// Adds a status. Of several that tell the same, the one that was loaded
    /// first stands for them, so that a verdict always has the same ground.
    fn add(&mut self, status: Status, id: Id) {
        let wins = match (self.combine, self.result) {
            (_, None) => true,
            (Combine::Strictest, Some((best, best_id))) => {
                (status.severity(), best_id) > (best.severity(), id)
            }
        };
        if wins {
            self.result = Some((status, id));
        }
    }

    /// The status, if there was any.
    fn result(self) -> Option<(Status, Id)> {
        self.result
    }
}

//----------- Tests -----------------------------------------------------------

// The order of the steps is tested in `tests/verdict_model.rs`, against a
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
        let many = vec![PolicySpec::new("one"); usize::from(u16::MAX)];
        assert_eq!(new(default, many).unwrap_err(), PolicyError::TooMany);
    }

    #[test]
    fn of_equals_the_first_stands_for_all() {
        for order in [[1, 2, 3], [3, 2, 1], [2, 1, 3]] {
            let mut tally = Tally {
                combine: Combine::Strictest,
                result: None,
            };
            tally.add(Status::Whitelisted, 0);
            for id in order {
                tally.add(Status::Greylisted, id);
            }
            assert_eq!(tally.result(), Some((Status::Greylisted, 1)));
        }
    }
}
