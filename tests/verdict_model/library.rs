//! The model's words and registers in those of the library, and back.

use weir::equipment::{
    BindingSpec, Builder, Device, Imei, Imsi, ListId, RuleId, RuleSpec, Scope, Snapshot, Status,
    Subscribers, Svn, Tac, TacPrefix, Validity,
};
use weir::policy::{Ground, Inquiry, Malformed, Outcome, PolicySpec, Rulebook, Unlisted, Verdict};
use weir::snapshot::{self, Provenance};
use weir::time::UnixTime;

use super::{Because, Digits, Policy, RULE_LISTS, Register, Request, Told};

/// A verdict of the library in the words of the model.
pub(super) struct Answer;

impl Answer {
    /// Translates: rules are told by their lines, which the model counts from 0.
    pub(super) fn of(rulebook: &Rulebook, inquiry: &Inquiry<'_>, verdict: Verdict) -> Told {
        let line = |id: RuleId| line_of(rulebook, inquiry, id) as usize;
        let outcome = match verdict.outcome {
            Outcome::Status(status) => status.number(),
            Outcome::Unknown => 5,
            Outcome::Malformed => 6,
        };
        let because = match verdict.ground {
            Ground::Override => Because::Override,
            Ground::PolicyOverride => Because::PolicyOverride,
            Ground::MalformedImei => Because::Malformed,
            Ground::BindingMismatch(id) => Because::Mismatch(id.number() as usize),
            Ground::BindingMatch(id) => Because::Match(id.number() as usize),
            Ground::Rule(id) => Because::Rule(line(id)),
            Ground::NotWhitelisted(id) => Because::NotWhitelisted(line(id)),
            Ground::Exception { rule, exception } => {
                Because::Exception(line(rule), line(exception))
            }
            Ground::Unlisted => Because::Unlisted,
        };
        (outcome, usize::from(verdict.policy.number()), because)
    }
}

impl Register {
    /// The same register for the library, and once more from its stored form.
    pub(super) fn build(&self) -> [Rulebook; 2] {
        let (snapshot, lists) = self.snapshot();
        let octets = snapshot::to_octets(&snapshot, &Provenance::default(), UnixTime(0)).unwrap();
        let stored = snapshot::from_octets(&octets).unwrap();
        [snapshot, stored.snapshot].map(|snapshot| {
            let policies = self.policies.iter().map(|policy| policy.spec(&lists));
            Rulebook::new(
                snapshot,
                self.override_status.map(status),
                self.default.spec(&lists),
                policies.collect(),
            )
            .unwrap()
        })
    }

    /// Its lists for the library, with their numbers.
    fn snapshot(&self) -> (Snapshot, Vec<ListId>) {
        let mut builder = Builder::new();
        let mut lists: Vec<ListId> = (0..RULE_LISTS)
            .map(|list| {
                builder
                    .list(&format!("list{list}"), Status::Blacklisted)
                    .unwrap()
            })
            .collect();
        for (number, list) in self.lists.iter().enumerate().skip(RULE_LISTS) {
            let (mismatch, on_match) = list.binding;
            let name = format!("bound{number}");
            let list = builder.binding_list(&name, status(mismatch), on_match.map(status));
            lists.push(list.unwrap());
        }
        for (list, &id) in self.lists.iter().zip(&lists) {
            if list.shadow {
                builder.shadow(id).unwrap();
            }
        }
        for tac in &self.models {
            let tac = Tac::from_digits(tac.as_bytes()).unwrap();
            builder.model(tac, "Acme", "One").unwrap();
        }
        let rules_file = builder.file("rules.csv").unwrap();
        let bindings_file = builder.file("bindings.csv").unwrap();
        for (line, rule) in (0..).zip(&self.rules) {
            let exceptions: Vec<Imsi> = rule.exceptions.iter().map(|text| imsi(text)).collect();
            let rule_spec = RuleSpec {
                scope: rule.digits.scope(),
                status: status(rule.status),
                validity: validity(rule.dates),
                reason: Some("because").filter(|_| line % 2 == 0),
                exceptions: &exceptions,
                file: rules_file,
                line,
            };
            builder.rule(lists[rule.list], rule_spec).unwrap();
        }
        for (line, binding) in (0..).zip(&self.bindings) {
            let binding_spec = BindingSpec {
                subscribers: match (imsi(&binding.imsis.0), imsi(&binding.imsis.1)) {
                    (from, to) if from == to => Subscribers::One(from),
                    (from, to) => Subscribers::Range { from, to },
                },
                scope: binding.digits.scope(),
                validity: validity(binding.dates),
                reason: None,
                file: bindings_file,
                line,
            };
            builder.binding(lists[binding.list], binding_spec).unwrap();
        }
        (builder.finish(), lists)
    }
}

impl Policy {
    /// The same policy for the library.
    fn spec(&self, lists: &[ListId]) -> PolicySpec {
        PolicySpec {
            name: self.name.clone(),
            origin_hosts: self.hosts.clone(),
            origin_realms: self.realms.clone(),
            route_records: self.routes.clone(),
            imsi_prefixes: self.prefixes.clone(),
            imsi_ranges: self.ranges.clone(),
            lists: self
                .lists
                .as_ref()
                .map(|own| own.iter().map(|&list| lists[list]).collect()),
            unlisted: match (self.grace, self.unlisted.map(status)) {
                (Some((grace, until)), then) => Unlisted::Grace {
                    status: status(grace),
                    until: UnixTime(until),
                    then,
                },
                (None, Some(status)) => Unlisted::Status(status),
                (None, None) => Unlisted::Unknown,
            },
            malformed: self
                .malformed
                .map_or(Malformed::Fault, |number| Malformed::Status(status(number))),
            combine: self.combine,
            override_status: self.overriding.map(status),
            shadow: self.shadow,
        }
    }
}

impl Digits {
    /// The same devices for the library.
    pub(super) fn scope(&self) -> Scope {
        let device = |digits: &String| Device::from_digits(digits.as_bytes()).unwrap();
        match self {
            Self::DeviceSvn(digits, svn) => {
                Scope::DeviceSvn(device(digits), Svn::from_digits(svn.as_bytes()).unwrap())
            }
            Self::Device(digits) => Scope::Device(device(digits)),
            Self::Range(from, to) => Scope::Range {
                from: device(from),
                to: device(to),
            },
            Self::Tac(digits) => Scope::Tac(Tac::from_digits(digits.as_bytes()).unwrap()),
            Self::Prefix(digits) => {
                Scope::TacPrefix(TacPrefix::from_digits(digits.as_bytes()).unwrap())
            }
            Self::Special(special) => Scope::Special(*special),
        }
    }
}

impl Request {
    /// The same request for the library.
    pub(super) fn inquiry(&self) -> Inquiry<'_> {
        Inquiry {
            imei: Imei::parse(self.text.as_bytes()),
            svn: self
                .svn
                .as_ref()
                .map(|svn| Svn::from_digits(svn.as_bytes()).unwrap()),
            imsi: self.imsi.as_ref().map(|text| imsi(text)),
            origin_host: self.host.as_bytes(),
            origin_realm: self.realm.as_bytes(),
            route_record: self.route.as_ref().map(String::as_bytes),
        }
    }
}

/// The line of a rule that was found for the device of an inquiry.
pub(super) fn line_of(rulebook: &Rulebook, inquiry: &Inquiry<'_>, id: RuleId) -> u32 {
    let device = inquiry.imei.unwrap().device;
    rulebook.rule(id, device).unwrap().line
}

/// The status with this number.
pub(super) fn status(number: u8) -> Status {
    number.to_string().parse().unwrap()
}

/// The subscriber of these digits.
pub(super) fn imsi(digits: &str) -> Imsi {
    Imsi::parse(digits.as_bytes()).unwrap()
}

/// The same dates for the library.
pub(super) fn validity((from, until): (Option<i64>, Option<i64>)) -> Validity {
    Validity {
        from: from.map(UnixTime),
        until: until.map(UnixTime),
    }
}
