//! The verdict order, checked against a second, slow and simple telling of it.
//!
//! The model below knows digits as text and rules as a list that it scans from
//! front to back. It shares nothing with the library but the numbers of the
//! statuses. All keys come from so small a space that rules of every kind,
//! exceptions and bindings meet on nearly every device.

mod changes;
mod generators;
mod library;
mod response_types;
mod table;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use weir::equipment::Special;
use weir::policy::{Combine, Explanation, Ground, Inquiry, Rulebook, Verdict};
use weir::time::UnixTime;

use self::generators::{register, request};
use self::library::{Answer, line_of};

/// Registers tried in each thread; each with [`REQUESTS`] requests.
const REGISTERS: u32 = 640;
/// Requests tried on each register.
const REQUESTS: usize = 40;
/// Threads, each with cases of its own: 102,400 in all.
const THREADS: usize = 4;

/// All ways.
const COMBINES: [Combine; 5] = [
    Combine::Strictest,
    Combine::Order,
    Combine::Type1,
    Combine::Type2,
    Combine::Type3,
];
/// Lists of rules; lists of bindings follow.
const RULE_LISTS: usize = 3;
/// Lists of bindings.
const BINDING_LISTS: usize = 2;

#[test]
fn decides_as_the_model_does() {
    let threads: Vec<_> = (0..THREADS).map(|_| thread::spawn(run_cases)).collect();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for thread in threads {
        for (name, count) in thread.join().unwrap() {
            *seen.entry(name).or_insert(0) += count;
        }
    }
    // What never happened was not tested.
    for name in [
        "override",
        "policy override",
        "malformed",
        "mismatch",
        "match",
        "rule",
        "not whitelisted",
        "exception",
        "unlisted",
        "special rule",
        "shadow differs",
        "shadow is the same",
        "strictest",
        "order",
        "type1",
        "type2",
        "type3",
    ] {
        assert!(seen.get(name) > Some(&100), "{name}: {seen:?}");
    }
}

/// Tries the cases of one thread, and counts what happened.
fn run_cases() -> BTreeMap<&'static str, u32> {
    let seen = RefCell::new(BTreeMap::new());
    let mut runner = TestRunner::new(Config {
        cases: REGISTERS,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (register(), prop::collection::vec(request(), REQUESTS));
    let result = runner.run(&strategy, |(register, requests)| {
        let [rulebook, stored] = register.build();
        for (number, request) in requests.iter().enumerate() {
            for name in check(&register, &rulebook, request, number % 8 == 0)? {
                *seen.borrow_mut().entry(name).or_insert(0) += 1;
            }
            // Not only as good an answer, but the same, for the same reasons.
            let (inquiry, now) = (request.inquiry(), UnixTime(request.now));
            prop_assert_eq!(stored.decide(&inquiry, now), rulebook.decide(&inquiry, now));
            if number % 8 == 0 {
                let told = [&stored, &rulebook].map(|own| own.explain(&inquiry, now).to_string());
                prop_assert_eq!(&told[0], &told[1]);
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    seen.into_inner()
}

/// Compares one verdict and what shadows would make of it, with the
/// explanation if asked for, and names what happened.
fn check(
    register: &Register,
    rulebook: &Rulebook,
    request: &Request,
    explain: bool,
) -> Result<Vec<&'static str>, TestCaseError> {
    let inquiry = request.inquiry();
    let now = UnixTime(request.now);
    let verdict = rulebook.decide(&inquiry, now);
    let told = register.judge(request);
    let answer = |verdict| Answer::of(rulebook, &inquiry, verdict);
    prop_assert_eq!(answer(verdict), told.clone(), "{:?}", request);

    // Enforced, the shadows would be a register like any other.
    let mut enforced = register.clone();
    enforced
        .lists
        .iter_mut()
        .for_each(|list| list.shadow = false);
    enforced
        .policies
        .iter_mut()
        .for_each(|policy| policy.shadow = false);
    let shadow = enforced.judge(request);
    let expected = (shadow.0 != told.0).then_some(shadow);
    let shadow = rulebook.shadow(&inquiry, now, &verdict);
    prop_assert_eq!(shadow.map(answer), expected, "shadow of {:?}", request);

    if explain {
        let explanation = rulebook.explain(&inquiry, now);
        prop_assert_eq!(explanation.verdict, verdict);
        check_explanation(register, (rulebook, &inquiry), verdict, &explanation)?;
        prop_assert_eq!(
            explanation.shadow.as_ref().map(|shadow| shadow.outcome),
            shadow.map(|shadow| shadow.outcome.name())
        );
        let others = register.others(request);
        prop_assert_eq!(explanation.others.len(), others.len());
        for (other, (policy, outcome)) in explanation.others.iter().zip(others) {
            prop_assert_eq!(&other.policy, &policy);
            prop_assert_eq!(other.outcome, outcome_name(outcome));
        }
    }
    let mut names = vec![match verdict.ground {
        Ground::Override => "override",
        Ground::PolicyOverride => "policy override",
        Ground::MalformedImei => "malformed",
        Ground::BindingMismatch(_) => "mismatch",
        Ground::BindingMatch(_) => "match",
        Ground::Rule(_) => "rule",
        Ground::NotWhitelisted(_) => "not whitelisted",
        Ground::Exception { .. } => "exception",
        Ground::Unlisted => "unlisted",
    }];
    if let Ground::Rule(id) = verdict.ground {
        let rule = &register.rules[line_of(rulebook, &inquiry, id) as usize];
        names.extend(matches!(rule.digits, Digits::Special(_)).then_some("special rule"));
        names.push(register.policy(told.1).combine.name());
    }
    if register.has_shadows() {
        names.push(match shadow {
            Some(_) => "shadow differs",
            None => "shadow is the same",
        });
    }
    Ok(names)
}

/// The name of an outcome of the model.
fn outcome_name(outcome: u8) -> &'static str {
    match outcome {
        0 => "whitelisted",
        1 => "blacklisted",
        2 => "greylisted",
        5 => "unknown",
        _ => "malformed",
    }
}

/// The lines that an explanation names are those of the deciding entry.
fn check_explanation(
    register: &Register,
    (rulebook, inquiry): (&Rulebook, &Inquiry<'_>),
    verdict: Verdict,
    explanation: &Explanation,
) -> TestCaseResult {
    let expected = match verdict.ground {
        Ground::Rule(rule)
        | Ground::NotWhitelisted(rule)
        | Ground::Exception {
            exception: rule, ..
        } => Some(("rules.csv", line_of(rulebook, inquiry, rule))),
        Ground::BindingMatch(binding) | Ground::BindingMismatch(binding) => {
            Some(("bindings.csv", binding.number()))
        }
        Ground::Override | Ground::PolicyOverride | Ground::MalformedImei | Ground::Unlisted => {
            None
        }
    };
    let named = explanation
        .decided_by
        .as_ref()
        .map(|entry| (entry.file.as_str(), entry.line));
    prop_assert_eq!(named, expected);
    prop_assert_eq!(explanation.outcome, verdict.outcome.name());
    let applied = match (verdict.ground, verdict.policy.number()) {
        (_, 0) => "default".to_owned(),
        (_, number) => register.policies[usize::from(number) - 1].name.clone(),
    };
    prop_assert_eq!(&explanation.policy, &applied);
    // The first kind with a rule that has a say decides: no later one is asked.
    let speaking = explanation.steps.iter().filter(|step| {
        !matches!(step.name, "bindings" | "exceptions")
            && step.entries.iter().any(|entry| entry.effective)
    });
    let ruled = matches!(
        verdict.ground,
        Ground::Rule(_) | Ground::NotWhitelisted(_) | Ground::Exception { .. }
    );
    prop_assert_eq!(speaking.count(), usize::from(ruled), "{}", explanation);
    Ok(())
}

//----------- Model -----------------------------------------------------------

/// A register, as plain text.
#[derive(Clone, Debug)]
struct Register {
    /// The maintenance switch.
    override_status: Option<u8>,
    /// The rules, in the order of their lines.
    rules: Vec<Rule>,
    /// The bindings, in the order of their lines.
    bindings: Vec<Binding>,
    /// All lists: those of rules, then those of bindings.
    lists: Vec<List>,
    /// The TACs that are allocated.
    models: Vec<String>,
    /// The policies.
    policies: Vec<Policy>,
    /// The policy for the others.
    default: Policy,
}

/// A list.
#[derive(Clone, Debug)]
struct List {
    /// The statuses of mismatch and match; of no meaning for rules.
    binding: (u8, Option<u8>),
    /// Whether it is a shadow.
    shadow: bool,
}

/// Digits that devices are compared with.
#[derive(Clone, Debug, PartialEq)]
enum Digits {
    /// A device and its software version.
    DeviceSvn(String, String),
    /// A device.
    Device(String),
    /// Devices from one to another.
    Range(String, String),
    /// A TAC.
    Tac(String),
    /// The first digits of a TAC.
    Prefix(String),
    /// A peculiarity.
    Special(Special),
}

/// A rule.
#[derive(Clone, Debug)]
struct Rule {
    /// The number of its list, among all lists.
    list: usize,
    /// Which devices.
    digits: Digits,
    /// What they are.
    status: u8,
    /// The first and the last second.
    dates: (Option<i64>, Option<i64>),
    /// Who is excepted.
    exceptions: Vec<String>,
}

/// A binding.
#[derive(Clone, Debug)]
struct Binding {
    /// The number of its list, among all lists.
    list: usize,
    /// Who is bound: from one to another.
    imsis: (String, String),
    /// To which devices.
    digits: Digits,
    /// The first and the last second.
    dates: (Option<i64>, Option<i64>),
}

/// A policy.
#[derive(Clone, Debug)]
struct Policy {
    /// Its name.
    name: String,
    /// Origin-Hosts.
    hosts: Vec<String>,
    /// Origin-Realms.
    realms: Vec<String>,
    /// First Route-Records.
    routes: Vec<String>,
    /// First digits of IMSIs.
    prefixes: Vec<String>,
    /// First and last IMSIs.
    ranges: Vec<(String, String)>,
    /// The lists that count.
    lists: Option<Vec<usize>>,
    /// The status of the unlisted; `None`: unknown.
    unlisted: Option<u8>,
    /// Another status for them, and the last second of it.
    grace: Option<(u8, i64)>,
    /// The status of the malformed; `None`: malformed.
    malformed: Option<u8>,
    /// How rules combine.
    combine: Combine,
    /// The status that everything has.
    overriding: Option<u8>,
    /// Whether it is a shadow.
    shadow: bool,
}

/// A request.
#[derive(Clone, Debug)]
struct Request {
    /// The IMEI as it is sent.
    text: String,
    /// The device; `None` if it is malformed.
    device: Option<String>,
    /// The software version within the IMEI.
    inner_svn: Option<String>,
    /// The software version beside it.
    svn: Option<String>,
    /// The subscriber.
    imsi: Option<String>,
    /// The client.
    host: String,
    /// The realm of the client.
    realm: String,
    /// The first Route-Record.
    route: Option<String>,
    /// The time.
    now: i64,
}

/// A verdict as the model tells it: the outcome (a status, 5 for unknown, 6
/// for malformed), the number of the policy, and the ground.
type Told = (u8, usize, Because);

/// The ground of a verdict, with the numbers of lines.
#[derive(Clone, Debug, PartialEq)]
enum Because {
    /// The maintenance switch.
    Override,
    /// The policy's switch.
    PolicyOverride,
    /// No IMEI.
    Malformed,
    /// A binding that does not fit.
    Mismatch(usize),
    /// A binding that fits.
    Match(usize),
    /// A rule.
    Rule(usize),
    /// A rule, but no white one.
    NotWhitelisted(usize),
    /// A rule, and one that has an exception.
    Exception(usize, usize),
    /// No rule.
    Unlisted,
}

impl Register {
    /// The verdict.
    fn judge(&self, request: &Request) -> Told {
        // 1. Override.
        if let Some(status) = self.override_status {
            return (status, 0, Because::Override);
        }
        // 2. Policy.
        let number = self
            .policies
            .iter()
            .position(|policy| !policy.shadow && policy.fits(request))
            .map_or(0, |position| position + 1);
        let (outcome, because) = self.judge_by(self.policy(number), request);
        (outcome, number, because)
    }

    /// The policy with this number.
    fn policy(&self, number: usize) -> &Policy {
        match number {
            0 => &self.default,
            number => &self.policies[number - 1],
        }
    }

    /// Whether there is any shadow.
    fn has_shadows(&self) -> bool {
        self.lists.iter().any(|list| list.shadow) || self.policies.iter().any(|own| own.shadow)
    }

    /// What the policies would say that do not apply.
    fn others(&self, request: &Request) -> Vec<(String, u8)> {
        if self.override_status.is_some() {
            return Vec::new();
        }
        let applied = self.judge(request).1;
        (0..=self.policies.len())
            .filter(|number| *number != applied)
            .map(|number| self.policy(number))
            .map(|policy| (policy.name.clone(), self.judge_by(policy, request).0))
            .collect()
    }

    /// The verdict by one policy.
    fn judge_by(&self, policy: &Policy, request: &Request) -> (u8, Because) {
        if let Some(status) = policy.overriding {
            return (status, Because::PolicyOverride);
        }
        let Some(device) = &request.device else {
            return (policy.malformed.unwrap_or(6), Because::Malformed);
        };
        let svn = request.svn.as_ref().or(request.inner_svn.as_ref());
        let covers = |digits: &Digits| digits.cover(device, svn, &self.models);
        let counts = |list: usize, (from, until): (Option<i64>, Option<i64>)| {
            policy
                .lists
                .as_ref()
                .is_none_or(|lists| lists.contains(&list))
                && !self.lists[list].shadow
                && from.is_none_or(|from| from <= request.now)
                && until.is_none_or(|until| request.now <= until)
        };
        // The place of a list in the order that counts, if any does.
        let rank = |list: usize| match (policy.combine, &policy.lists) {
            (Combine::Order, None) => list,
            (Combine::Order, Some(lists)) => lists.iter().position(|own| *own == list).unwrap(),
            _ => 0,
        };

        // 3. Bindings.
        if let Some(imsi) = &request.imsi {
            let own: Vec<(usize, &Binding)> = self
                .bindings
                .iter()
                .enumerate()
                .filter(|(_, binding)| binding.binds(imsi) && counts(binding.list, binding.dates))
                .collect();
            let fitting: Vec<_> = own
                .iter()
                .filter(|(_, binding)| covers(&binding.digits))
                .collect();
            // Bound to a version of this device, but the version is not known.
            let open = svn.is_none()
                && own.iter().any(|(_, binding)| {
                    matches!(&binding.digits, Digits::DeviceSvn(bound, _) if bound == device)
                });
            if !fitting.is_empty() {
                let statuses = fitting.iter().filter_map(|(line, binding)| {
                    let status = self.lists[binding.list].binding.1?;
                    Some((rank(binding.list), status, *line))
                });
                if let Some((status, line)) = first_of(statuses) {
                    return (status, Because::Match(line));
                }
            } else if !open {
                let statuses = own.iter().map(|(line, binding)| {
                    let status = self.lists[binding.list].binding.0;
                    (rank(binding.list), status, *line)
                });
                if let Some((status, line)) = first_of(statuses) {
                    return (status, Because::Mismatch(line));
                }
            }
        }

        // 4. Rules.
        for kind in 0..6 {
            let statuses: Vec<_> = self
                .rules
                .iter()
                .enumerate()
                .filter(|(_, rule)| {
                    rule.digits.kind() == kind
                        && counts(rule.list, rule.dates)
                        && covers(&rule.digits)
                })
                .map(|(line, rule)| (rank(rule.list), rule.status, line))
                .collect();
            let white = statuses.iter().any(|(_, status, _)| *status == 0);
            let Some((status, line)) = first_of(statuses.into_iter()) else {
                continue;
            };
            if policy.combine == Combine::Type3 && !white {
                return (5, Because::NotWhitelisted(line));
            }
            // 5. Exceptions.
            if status == 1
                && let Some(imsi) = &request.imsi
                && let Some(exception) = self.rules.iter().position(|rule| {
                    rule.status == 1
                        && rule.exceptions.contains(imsi)
                        && counts(rule.list, rule.dates)
                        && covers(&rule.digits)
                })
            {
                return (0, Because::Exception(line, exception));
            }
            return (status, Because::Rule(line));
        }

        // 6. Unlisted.
        let outcome = match policy.grace {
            Some((status, until)) if request.now <= until => status,
            _ => policy.unlisted.unwrap_or(5),
        };
        (outcome, Because::Unlisted)
    }
}

impl Binding {
    /// Whether a subscriber is bound.
    fn binds(&self, imsi: &String) -> bool {
        let (from, to) = &self.imsis;
        from.len() == imsi.len() && imsi.len() == to.len() && from <= imsi && imsi <= to
    }
}

/// Of the lowest rank, the strictest status and the first line that has it.
fn first_of(statuses: impl Iterator<Item = (usize, u8, usize)>) -> Option<(u8, usize)> {
    let statuses: Vec<_> = statuses.collect();
    let lowest = statuses.iter().map(|(rank, _, _)| *rank).min()?;
    let best = statuses.iter().filter(|(rank, _, _)| *rank == lowest);
    strictest(best.map(|&(_, status, line)| (status, line)))
}

/// The strictest status and the first line that has it.
fn strictest(statuses: impl Iterator<Item = (u8, usize)>) -> Option<(u8, usize)> {
    let statuses: Vec<_> = statuses.collect();
    // Black, then grey, then white.
    [1, 2, 0].into_iter().find_map(|strict| {
        statuses
            .iter()
            .find(|(status, _)| *status == strict)
            .copied()
    })
}

impl Digits {
    /// Whether a device is meant.
    fn cover(&self, device: &str, svn: Option<&String>, models: &[String]) -> bool {
        match self {
            Self::DeviceSvn(own, own_svn) => own == device && svn == Some(own_svn),
            Self::Device(own) => own == device,
            Self::Range(from, to) => from.as_str() <= device && device <= to.as_str(),
            Self::Tac(own) => device[..8] == **own,
            Self::Prefix(own) => device.starts_with(own.as_str()),
            Self::Special(Special::Test) => device.starts_with('0') && !device.starts_with("01"),
            Self::Special(Special::Zero) => device == "00000000000000",
            Self::Special(Special::Repeated) => {
                device.chars().all(|digit| device.starts_with(digit))
            }
            Self::Special(Special::UnallocatedTac) => {
                !models.is_empty() && !models.iter().any(|tac| device[..8] == **tac)
            }
        }
    }

    /// The more specific, the lower.
    fn kind(&self) -> usize {
        match self {
            Self::DeviceSvn(..) => 0,
            Self::Device(_) => 1,
            Self::Range(..) => 2,
            Self::Tac(_) => 3,
            Self::Prefix(_) => 4,
            Self::Special(_) => 5,
        }
    }
}

impl Policy {
    /// Whether the policy is for this request.
    fn fits(&self, request: &Request) -> bool {
        let host = request.host.to_lowercase();
        let realm = request.realm.to_lowercase();
        let any = |values: &[String], fits: &dyn Fn(&String) -> bool| {
            values.is_empty() || values.iter().any(fits)
        };
        let route = request.route.as_ref().map(|route| route.to_lowercase());
        let same = |own: &String, name: &str| match own.to_lowercase().split_once('*') {
            Some((_, end)) => name.len() > end.len() && name.ends_with(end),
            None => own.to_lowercase() == name,
        };
        any(&self.hosts, &|own| same(own, &host))
            && any(&self.realms, &|own| same(own, &realm))
            && any(&self.routes, &|own| {
                route.as_ref().is_some_and(|route| same(own, route))
            })
            && any(&self.prefixes, &|own| {
                request
                    .imsi
                    .as_ref()
                    .is_some_and(|imsi| imsi.starts_with(own))
            })
            && (self.ranges.is_empty()
                || self.ranges.iter().any(|(from, to)| {
                    request
                        .imsi
                        .as_ref()
                        .is_some_and(|imsi| imsi.len() == from.len() && (from..=to).contains(&imsi))
                }))
    }
}
