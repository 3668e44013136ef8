//! Writes down how a verdict is reached.

use super::explanation::{Asked, Changed, Entry, Explanation, Other, Shadowed, Step};
use super::rulebook::Shadows;
use super::trace::{Effect, Stage, Trace};
use super::{Ground, Inquiry, Outcome, PolicyId, Rulebook, Verdict};
use crate::equipment::{
    BindingId, BindingView, Change, CheckDigit, ListId, ListKind, RuleId, RuleKind, RuleView,
    Status, Validity,
};
use crate::time::UnixTime;

impl Explanation {
    /// Reaches a verdict and writes down how.
    pub(super) fn record(rulebook: &Rulebook, inquiry: &Inquiry<'_>, now: UnixTime) -> Self {
        let mut recorder = Recorder::default();
        let verdict = rulebook.evaluate(inquiry, now, Shadows::Off, &mut recorder);
        let writer = Writer {
            rulebook,
            inquiry,
            verdict,
        };
        Self {
            asked: Asked::new(rulebook, inquiry, now),
            steps: writer.steps(&recorder),
            outcome: verdict.outcome.name(),
            ground: ground(verdict).into(),
            policy: writer.policy_name(verdict.policy),
            decided_by: writer.deciding_entry(verdict),
            shadow: writer.shadow(now),
            others: writer.others(now),
            verdict,
        }
    }
}

impl Asked {
    /// Spells an inquiry out.
    fn new(rulebook: &Rulebook, inquiry: &Inquiry<'_>, now: UnixTime) -> Self {
        let imei = inquiry.imei.ok();
        let check_digit = imei.and_then(|imei| match imei.check_digit {
            CheckDigit::Absent => None,
            CheckDigit::Right => Some("right".into()),
            CheckDigit::Zero => Some("spare 0".into()),
            CheckDigit::Wrong => Some(format!("wrong, {} is right", imei.device.check_digit())),
        });
        Self {
            device: imei.map(|imei| imei.device.to_string()),
            model: imei
                .and_then(|imei| rulebook.snapshot().models().find(imei.device.tac()))
                .map(|model| model.to_string()),
            malformed: inquiry.imei.err().map(|error| error.to_string()),
            check_digit,
            svn: inquiry.known_svn().map(|svn| svn.to_string()),
            imsi: inquiry.imsi.map(|imsi| imsi.to_string()),
            origin_host: String::from_utf8_lossy(inquiry.origin_host).into(),
            origin_realm: String::from_utf8_lossy(inquiry.origin_realm).into(),
            route_record: inquiry
                .route_record
                .map(|node| String::from_utf8_lossy(node).into()),
            time: now.to_string(),
        }
    }
}

//----------- Recorder --------------------------------------------------------

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Recorder {
    /// The policies that were tried.
    policies: Vec<(PolicyId, bool)>,
    /// The steps that were taken.
    stages: Vec<Taken>,
}

/// A step that was taken, and what was found there.
#[derive(Debug)]
struct Taken {
    /// Which.
    stage: Stage,
    /// The bindings that were found.
    bindings: Vec<(BindingId, Effect)>,
    /// The rules that were found.
    rules: Vec<(RuleId, Effect)>,
}

impl Recorder {
    /// The step, if it was taken.
    fn taken(&self, stage: Stage) -> Option<&Taken> {
        self.stages.iter().find(|taken| taken.stage == stage)
    }
}

impl Trace for Recorder {
    fn policy(&mut self, policy: PolicyId, fits: bool) {
        self.policies.push((policy, fits));
    }

    fn stage(&mut self, stage: Stage) {
        self.stages.push(Taken {
            stage,
            bindings: Vec::new(),
            rules: Vec::new(),
        });
    }

    fn binding(&mut self, binding: BindingId, effect: Effect) {
        if let Some(taken) = self.stages.last_mut() {
            taken.bindings.push((binding, effect));
        }
    }

    fn rule(&mut self, rule: RuleId, effect: Effect) {
        if let Some(taken) = self.stages.last_mut() {
            taken.rules.push((rule, effect));
        }
    }
}

//----------- Writer ----------------------------------------------------------

/// Makes words of what was recorded.
struct Writer<'a> {
    /// What the numbers are of.
    rulebook: &'a Rulebook,
    /// What was asked.
    inquiry: &'a Inquiry<'a>,
    /// What came of it.
    verdict: Verdict,
}

impl Writer<'_> {
    /// All steps, whether they were taken or not.
    fn steps(&self, recorder: &Recorder) -> Vec<Step> {
        Stage::all()
            .map(|stage| {
                let name = stage.name();
                let lookup = self.lookup(stage);
                match recorder.taken(stage) {
                    Some(taken) => {
                        let entries = self.entries(taken);
                        Step {
                            name,
                            lookup,
                            result: self.result(recorder, taken, &entries),
                            reached: true,
                            entries,
                        }
                    }
                    None => Step {
                        name,
                        lookup,
                        result: self.why_not_reached(recorder, stage).into(),
                        reached: false,
                        entries: Vec::new(),
                    },
                }
            })
            .collect()
    }

    /// What a step looks up.
    fn lookup(&self, stage: Stage) -> String {
        let imei = self.inquiry.imei.ok();
        let imsi = match self.inquiry.imsi {
            Some(imsi) => imsi.to_string(),
            None => "no IMSI".into(),
        };
        match (stage, imei) {
            (Stage::Override, _) => "maintenance switch".into(),
            (Stage::Policy, _) => "client and subscriber".into(),
            (Stage::Imei, Some(imei)) => imei.to_string(),
            (Stage::Bindings | Stage::Exceptions, Some(_)) => imsi,
            (Stage::Rules(RuleKind::DeviceSvn), Some(imei)) => match self.inquiry.known_svn() {
                Some(svn) => format!("{} with SVN {svn}", imei.device),
                None => "no SVN".into(),
            },
            (
                Stage::Rules(RuleKind::Device | RuleKind::Range | RuleKind::Special)
                | Stage::Unlisted,
                Some(imei),
            ) => imei.device.to_string(),
            (Stage::Rules(RuleKind::Tac | RuleKind::TacPrefix), Some(imei)) => {
                imei.device.tac().to_string()
            }
            (_, None) => "no IMEI".into(),
        }
    }

    /// What a step said that was taken.
    fn result(&self, recorder: &Recorder, taken: &Taken, entries: &[Entry]) -> String {
        let effective = entries.iter().filter(|entry| entry.effective).count();
        let outcome = self.verdict.outcome;
        match taken.stage {
            Stage::Override => match self.rulebook.override_status() {
                Some(status) => format!("{status}"),
                None => "not set".into(),
            },
            Stage::Policy => self.selection(recorder),
            Stage::Imei => match self.inquiry.imei {
                Ok(_) => "well formed".into(),
                Err(error) => format!("{outcome}: {error}"),
            },
            Stage::Bindings => match self.verdict.ground {
                Ground::BindingMatch(_) => format!("{outcome}: bound to this device"),
                Ground::BindingMismatch(_) => format!("{outcome}: bound to other devices only"),
                _ if effective > 0 => "bound to this device: the rules decide".into(),
                _ if taken
                    .bindings
                    .iter()
                    .any(|&(_, effect)| effect == Effect::UnknownSvn) =>
                {
                    "bound to a software version that is not known: the rules decide".into()
                }
                _ if entries.is_empty() => "none".into(),
                _ => "none in effect".into(),
            },
            Stage::Rules(RuleKind::DeviceSvn) if self.inquiry.known_svn().is_none() => {
                "skipped: no SVN".into()
            }
            // Only the kind that decides has rules with a say.
            Stage::Rules(_) => match self.rule_status().filter(|_| effective > 0) {
                Some(status) if matches!(self.verdict.ground, Ground::NotWhitelisted(_)) => {
                    format!("{outcome}: {status}, but not whitelisted as well")
                }
                Some(status) if effective == 1 => format!("{status} by one rule"),
                Some(status) => format!("{status} by {effective} rules"),
                None if entries.is_empty() => "no rule".into(),
                None => "no rule in effect".into(),
            },
            Stage::Exceptions => match self.verdict.ground {
                Ground::Exception { .. } => format!("{outcome}: this subscriber may use it"),
                _ if entries.is_empty() => "none".into(),
                _ => "none in effect".into(),
            },
            Stage::Unlisted => format!("{outcome}"),
        }
    }

    /// Why a step was not taken.
    fn why_not_reached(&self, recorder: &Recorder, stage: Stage) -> &'static str {
        let later = recorder.stages.iter().any(|taken| taken.stage > stage);
        let is_rule = matches!(
            self.verdict.ground,
            Ground::Rule(_) | Ground::NotWhitelisted(_)
        );
        match stage {
            Stage::Bindings if later => "skipped: no IMSI",
            Stage::Exceptions if is_rule && self.inquiry.imsi.is_none() && self.is_black() => {
                "skipped: no IMSI"
            }
            Stage::Exceptions if is_rule || later => "not needed: not blacklisted",
            _ => "not reached",
        }
    }

    /// Whether the verdict is black.
    fn is_black(&self) -> bool {
        self.verdict.outcome == Outcome::Status(Status::Blacklisted)
    }

    /// Which policy was chosen, and which were passed over.
    fn selection(&self, recorder: &Recorder) -> String {
        let mut name = self.policy_name(self.verdict.policy);
        if self.verdict.ground == Ground::PolicyOverride {
            name = format!("{name}: {}, its override", self.verdict.outcome);
        }
        let passed: Vec<String> = recorder
            .policies
            .iter()
            .filter(|(_, fits)| !fits)
            .map(|&(policy, _)| self.policy_name(policy))
            .collect();
        match passed.as_slice() {
            [] => name,
            passed => format!("{name}; not {}", passed.join(", ")),
        }
    }

    /// The name of a policy.
    fn policy_name(&self, id: PolicyId) -> String {
        self.rulebook.policy_name(id).unwrap_or_default().into()
    }

    //--- The ground

    /// What the shadows would change.
    fn shadow(&self, now: UnixTime) -> Option<Shadowed> {
        let shadow = self.rulebook.shadow(self.inquiry, now, &self.verdict)?;
        Some(Shadowed {
            enforced: self.enforced(shadow),
            outcome: shadow.outcome.name(),
            ground: ground(shadow),
            policy: self.policy_name(shadow.policy),
            decided_by: self.deciding_entry(shadow),
        })
    }

    /// The shadow that makes a difference: the list of the deciding entry, the
    /// policy, or any of them, as when a list of several makes the status.
    fn enforced(&self, shadow: Verdict) -> String {
        let snapshot = self.rulebook.snapshot();
        let list = self.deciding_list(shadow).and_then(|id| snapshot.list(id));
        match list.filter(|list| list.shadow) {
            Some(list) => format!("shadow list {}", list.name),
            None if shadow.policy != self.verdict.policy => {
                format!("shadow policy {}", self.policy_name(shadow.policy))
            }
            None => "all shadow lists".into(),
        }
    }

    /// What the policies would say that do not apply.
    fn others(&self, now: UnixTime) -> Vec<Other> {
        if self.verdict.ground == Ground::Override {
            return Vec::new();
        }
        let opinions = self.rulebook.opinions(self.inquiry, now);
        opinions
            .filter(|(_, verdict)| verdict.policy != self.verdict.policy)
            .map(|(shadow, verdict)| Other {
                policy: self.policy_name(verdict.policy),
                shadow,
                outcome: verdict.outcome.name(),
                ground: ground(verdict),
                decided_by: self.deciding_entry(verdict),
            })
            .collect()
    }

    /// A rule that was found for the device in question.
    fn rule(&self, id: RuleId) -> Option<RuleView<'_>> {
        let device = self.inquiry.imei.ok()?.device;
        self.rulebook.rule(id, device)
    }

    /// A binding that was found for the subscriber in question.
    fn binding(&self, id: BindingId) -> Option<BindingView<'_>> {
        self.rulebook.binding(id, self.inquiry.imsi?)
    }

    /// The list of the rule or binding that decided.
    fn deciding_list(&self, verdict: Verdict) -> Option<ListId> {
        match verdict.ground {
            Ground::Rule(id)
            | Ground::NotWhitelisted(id)
            | Ground::Exception { exception: id, .. } => Some(self.rule(id)?.list.id),
            Ground::BindingMatch(id) | Ground::BindingMismatch(id) => {
                Some(self.binding(id)?.list.id)
            }
            Ground::Override
            | Ground::PolicyOverride
            | Ground::MalformedImei
            | Ground::Unlisted => None,
        }
    }

    /// The rule or binding that decided.
    fn deciding_entry(&self, verdict: Verdict) -> Option<Entry> {
        match verdict.ground {
            Ground::Rule(id)
            | Ground::NotWhitelisted(id)
            | Ground::Exception { exception: id, .. } => {
                Some(Entry::of_rule(&self.rule(id)?, Effect::Effective))
            }
            Ground::BindingMatch(id) => {
                Some(Entry::of_binding(&self.binding(id)?, Effect::Effective))
            }
            Ground::BindingMismatch(id) => {
                Some(Entry::of_binding(&self.binding(id)?, Effect::OtherDevice))
            }
            Ground::Override
            | Ground::PolicyOverride
            | Ground::MalformedImei
            | Ground::Unlisted => None,
        }
    }

    /// The status that the rules gave, before any exception.
    fn rule_status(&self) -> Option<Status> {
        match self.verdict.ground {
            Ground::Rule(rule) | Ground::NotWhitelisted(rule) | Ground::Exception { rule, .. } => {
                Some(self.rule(rule)?.status)
            }
            _ => None,
        }
    }

    /// What was found at a step, in the order of the lists.
    fn entries(&self, taken: &Taken) -> Vec<Entry> {
        let mut bindings = taken.bindings.clone();
        let mut rules = taken.rules.clone();
        bindings.sort_by_key(|&(id, _)| id);
        // One that stands for others may have been found twice.
        bindings.dedup();
        rules.sort_by_key(|&(id, _)| id);
        let bindings = bindings
            .iter()
            .filter_map(|&(id, effect)| Some(Entry::of_binding(&self.binding(id)?, effect)));
        let rules = rules
            .iter()
            .filter_map(|&(id, effect)| Some(Entry::of_rule(&self.rule(id)?, effect)));
        bindings.chain(rules).collect()
    }
}

/// What decided, in a few words that "in file:line" can follow.
const fn ground(verdict: Verdict) -> &'static str {
    match verdict.ground {
        Ground::Override => "as the override says",
        Ground::PolicyOverride => "as the override of the policy says",
        Ground::MalformedImei => "as the IMEI is malformed",
        Ground::BindingMismatch(_) => "as the subscriber is bound to other devices",
        Ground::BindingMatch(_) => "as the subscriber is bound to the device",
        Ground::Rule(_) => "as a rule says",
        Ground::NotWhitelisted(_) => "as no rule whitelists it beside the one",
        Ground::Exception { .. } => "as the subscriber is excepted from a blacklisting",
        Ground::Unlisted => "as no rule says anything",
    }
}

impl Entry {
    /// The entry of a rule.
    fn of_rule(rule: &RuleView<'_>, effect: Effect) -> Self {
        Self {
            says: rule.status.to_string(),
            reason: rule.reason.map(Into::into),
            ..Self::new(
                rule.scope.to_string(),
                rule.list.name,
                (rule.file, rule.line, rule.change),
                rule.validity,
                effect,
            )
        }
    }

    /// The entry of a binding.
    fn of_binding(binding: &BindingView<'_>, effect: Effect) -> Self {
        let status = match (binding.list.kind, effect) {
            (ListKind::Bindings { mismatch, .. }, Effect::OtherDevice) => Some(mismatch),
            (ListKind::Bindings { on_match, .. }, _) => on_match,
            (ListKind::Rules { status }, _) => Some(status),
        };
        Self {
            says: status.map_or("continue", Status::name).into(),
            reason: binding.reason.map(Into::into),
            ..Self::new(
                binding.scope.to_string(),
                binding.list.name,
                (binding.file, binding.line, binding.change),
                binding.validity,
                effect,
            )
        }
    }

    /// What rules and bindings have in common.
    fn new(
        scope: String,
        list: &str,
        (file, line, change): (&str, u32, Option<&Change>),
        validity: Validity,
        effect: Effect,
    ) -> Self {
        Self {
            scope,
            says: String::new(),
            list: list.into(),
            file: file.into(),
            line,
            change: change.map(|change| Changed {
                number: change.number,
                time: change.time.to_string(),
                by: change.by.as_ref().into(),
            }),
            reason: None,
            from: validity.from.map(|time| time.to_string()),
            until: validity.until.map(|time| time.to_string()),
            effective: effect == Effect::Effective,
            effect: effect.name(),
        }
    }
}
