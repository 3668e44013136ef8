//! The verdict order, checked against a second, slow and simple telling of it.
//!
//! The model below knows digits as text and rules as a list that it scans from
//! front to back. It shares nothing with the library but the numbers of the
//! statuses. All keys come from so small a space that rules of every kind,
//! exceptions and bindings meet on nearly every device.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use weir::equipment::{
    BindingSpec, Builder, Device, Imei, Imsi, ListId, RuleSpec, Scope, Status, Svn, Tac, TacPrefix,
    Validity,
};
use weir::policy::{
    Combine, Ground, Inquiry, Malformed, Outcome, PolicySpec, Rulebook, Unlisted, Verdict,
};
use weir::time::UnixTime;

/// Registers tried; each with [`REQUESTS`] requests.
const REGISTERS: u32 = 800;
/// Requests tried on each register.
const REQUESTS: usize = 32;

#[test]
fn decides_as_the_model_does() {
    let grounds = RefCell::new(BTreeMap::new());
    let mut runner = TestRunner::new(Config {
        cases: REGISTERS,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (register(), prop::collection::vec(request(), REQUESTS));
    let result = runner.run(&strategy, |(register, requests)| {
        let rulebook = register.build();
        for request in &requests {
            let name = check(&register, &rulebook, request)?;
            *grounds.borrow_mut().entry(name).or_insert(0) += 1;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // What never happened was not tested.
    let grounds = grounds.into_inner();
    for name in [
        "override",
        "malformed",
        "mismatch",
        "match",
        "rule",
        "exception",
        "unlisted",
    ] {
        assert!(grounds.get(name) > Some(&100), "{name}: {grounds:?}");
    }
}

/// Compares one verdict, and names its ground.
fn check(
    register: &Register,
    rulebook: &Rulebook,
    request: &Request,
) -> Result<&'static str, TestCaseError> {
    let inquiry = request.inquiry();
    let now = UnixTime(request.now);
    let verdict = rulebook.decide(&inquiry, now);
    prop_assert_eq!(
        Answer::of(verdict),
        register.judge(request),
        "{:?}",
        request
    );
    let explanation = rulebook.explain(&inquiry, now);
    prop_assert_eq!(explanation.verdict, verdict);
    check_explanation(register, verdict, &explanation)?;
    Ok(match verdict.ground {
        Ground::Override => "override",
        Ground::MalformedImei => "malformed",
        Ground::BindingMismatch(_) => "mismatch",
        Ground::BindingMatch(_) => "match",
        Ground::Rule(_) => "rule",
        Ground::Exception { .. } => "exception",
        Ground::Unlisted => "unlisted",
    })
}

/// The lines that an explanation names are those of the deciding entry.
fn check_explanation(
    register: &Register,
    verdict: Verdict,
    explanation: &weir::policy::Explanation,
) -> TestCaseResult {
    let expected = match verdict.ground {
        Ground::Rule(rule)
        | Ground::Exception {
            exception: rule, ..
        } => Some(("rules.csv", rule.number())),
        Ground::BindingMatch(binding) | Ground::BindingMismatch(binding) => {
            Some(("bindings.csv", binding.number()))
        }
        Ground::Override | Ground::MalformedImei | Ground::Unlisted => None,
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
    let ruled = matches!(verdict.ground, Ground::Rule(_) | Ground::Exception { .. });
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
    /// For each list of bindings, its statuses of mismatch and match.
    binding_lists: Vec<(u8, Option<u8>)>,
    /// The policies.
    policies: Vec<Policy>,
    /// The policy for the others.
    default: Policy,
}

/// Digits that devices are compared with.
#[derive(Clone, Debug)]
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
    /// Who is bound.
    imsi: String,
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
    /// First digits of IMSIs.
    prefixes: Vec<String>,
    /// First and last IMSIs.
    ranges: Vec<(String, String)>,
    /// The lists that count.
    lists: Option<Vec<usize>>,
    /// The status of the unlisted; `None`: unknown.
    unlisted: Option<u8>,
    /// The status of the malformed; `None`: malformed.
    malformed: Option<u8>,
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
    /// No IMEI.
    Malformed,
    /// A binding that does not fit.
    Mismatch(usize),
    /// A binding that fits.
    Match(usize),
    /// A rule.
    Rule(usize),
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
            .position(|policy| policy.fits(request))
            .map_or(0, |position| position + 1);
        let policy = match number {
            0 => &self.default,
            number => &self.policies[number - 1],
        };
        let Some(device) = &request.device else {
            return (policy.malformed.unwrap_or(6), number, Because::Malformed);
        };
        let svn = request.svn.as_ref().or(request.inner_svn.as_ref());
        let counts = |list: usize, (from, until): (Option<i64>, Option<i64>)| {
            policy
                .lists
                .as_ref()
                .is_none_or(|lists| lists.contains(&list))
                && from.is_none_or(|from| from <= request.now)
                && until.is_none_or(|until| request.now <= until)
        };

        // 3. Bindings.
        if let Some(imsi) = &request.imsi {
            let own: Vec<(usize, &Binding)> = self
                .bindings
                .iter()
                .enumerate()
                .filter(|(_, binding)| binding.imsi == *imsi && counts(binding.list, binding.dates))
                .collect();
            let fitting: Vec<_> = own
                .iter()
                .filter(|(_, binding)| binding.digits.cover(device, svn))
                .collect();
            // Bound to a version of this device, but the version is not known.
            let open = svn.is_none()
                && own.iter().any(|(_, binding)| {
                    matches!(&binding.digits, Digits::DeviceSvn(bound, _) if bound == device)
                });
            let lists = |list: usize| self.binding_lists[list - RULE_LISTS];
            if !fitting.is_empty() {
                let statuses = fitting
                    .iter()
                    .filter_map(|(line, binding)| Some((lists(binding.list).1?, *line)));
                if let Some((status, line)) = strictest(statuses) {
                    return (status, number, Because::Match(line));
                }
            } else if !open {
                let statuses = own
                    .iter()
                    .map(|(line, binding)| (lists(binding.list).0, *line));
                if let Some((status, line)) = strictest(statuses) {
                    return (status, number, Because::Mismatch(line));
                }
            }
        }

        // 4. Rules.
        for kind in 0..5 {
            let statuses = self.rules.iter().enumerate().filter_map(|(line, rule)| {
                (rule.digits.kind() == kind
                    && counts(rule.list, rule.dates)
                    && rule.digits.cover(device, svn))
                .then_some((rule.status, line))
            });
            let Some((status, line)) = strictest(statuses) else {
                continue;
            };
            // 5. Exceptions.
            if status == 1
                && let Some(imsi) = &request.imsi
                && let Some(exception) = self.rules.iter().position(|rule| {
                    rule.status == 1
                        && rule.exceptions.contains(imsi)
                        && counts(rule.list, rule.dates)
                        && rule.digits.cover(device, svn)
                })
            {
                return (0, number, Because::Exception(line, exception));
            }
            return (status, number, Because::Rule(line));
        }

        // 6. Unlisted.
        (policy.unlisted.unwrap_or(5), number, Because::Unlisted)
    }
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
    fn cover(&self, device: &str, svn: Option<&String>) -> bool {
        match self {
            Self::DeviceSvn(own, own_svn) => own == device && svn == Some(own_svn),
            Self::Device(own) => own == device,
            Self::Range(from, to) => from.as_str() <= device && device <= to.as_str(),
            Self::Tac(own) => device[..8] == **own,
            Self::Prefix(own) => device.starts_with(own.as_str()),
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
        any(&self.hosts, &|own| own.to_lowercase() == host)
            && any(&self.realms, &|own| own.to_lowercase() == realm)
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

//----------- Translation -----------------------------------------------------

/// A verdict of the library in the words of the model.
struct Answer;

impl Answer {
    /// Translates.
    fn of(verdict: Verdict) -> Told {
        let outcome = match verdict.outcome {
            Outcome::Status(status) => status.number(),
            Outcome::Unknown => 5,
            Outcome::Malformed => 6,
        };
        let because = match verdict.ground {
            Ground::Override => Because::Override,
            Ground::MalformedImei => Because::Malformed,
            Ground::BindingMismatch(id) => Because::Mismatch(id.number() as usize),
            Ground::BindingMatch(id) => Because::Match(id.number() as usize),
            Ground::Rule(id) => Because::Rule(id.number() as usize),
            Ground::Exception { rule, exception } => {
                Because::Exception(rule.number() as usize, exception.number() as usize)
            }
            Ground::Unlisted => Because::Unlisted,
        };
        (outcome, usize::from(verdict.policy.number()), because)
    }
}

impl Register {
    /// The same register for the library.
    fn build(&self) -> Rulebook {
        let mut builder = Builder::new();
        let mut lists: Vec<ListId> = (0..RULE_LISTS)
            .map(|list| {
                builder
                    .list(&format!("list{list}"), Status::Blacklisted)
                    .unwrap()
            })
            .collect();
        for (mismatch, on_match) in &self.binding_lists {
            let list = builder.binding_list("bound", status(*mismatch), on_match.map(status));
            lists.push(list.unwrap());
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
                imsi: imsi(&binding.imsi),
                scope: binding.digits.scope(),
                validity: validity(binding.dates),
                reason: None,
                file: bindings_file,
                line,
            };
            builder.binding(lists[binding.list], binding_spec).unwrap();
        }
        let policies = self.policies.iter().map(|policy| policy.spec(&lists));
        Rulebook::new(
            builder.finish(),
            self.override_status.map(status),
            self.default.spec(&lists),
            policies.collect(),
        )
        .unwrap()
    }
}

impl Policy {
    /// The same policy for the library.
    fn spec(&self, lists: &[ListId]) -> PolicySpec {
        PolicySpec {
            name: self.name.clone(),
            origin_hosts: self.hosts.clone(),
            origin_realms: self.realms.clone(),
            imsi_prefixes: self.prefixes.clone(),
            imsi_ranges: self.ranges.clone(),
            lists: self
                .lists
                .as_ref()
                .map(|own| own.iter().map(|&list| lists[list]).collect()),
            unlisted: self
                .unlisted
                .map_or(Unlisted::Unknown, |number| Unlisted::Status(status(number))),
            malformed: self
                .malformed
                .map_or(Malformed::Fault, |number| Malformed::Status(status(number))),
            combine: Combine::Strictest,
        }
    }
}

impl Digits {
    /// The same devices for the library.
    fn scope(&self) -> Scope {
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
        }
    }
}

impl Request {
    /// The same request for the library.
    fn inquiry(&self) -> Inquiry<'_> {
        Inquiry {
            imei: Imei::parse(self.text.as_bytes()),
            svn: self
                .svn
                .as_ref()
                .map(|svn| Svn::from_digits(svn.as_bytes()).unwrap()),
            imsi: self.imsi.as_ref().map(|text| imsi(text)),
            origin_host: self.host.as_bytes(),
            origin_realm: self.realm.as_bytes(),
        }
    }
}

/// The status with this number.
fn status(number: u8) -> Status {
    number.to_string().parse().unwrap()
}

/// The subscriber of these digits.
fn imsi(digits: &str) -> Imsi {
    Imsi::parse(digits.as_bytes()).unwrap()
}

/// The same dates for the library.
fn validity((from, until): (Option<i64>, Option<i64>)) -> Validity {
    Validity {
        from: from.map(UnixTime),
        until: until.map(UnixTime),
    }
}

//----------- Strategies ------------------------------------------------------

/// Lists of rules; lists of bindings follow.
const RULE_LISTS: usize = 3;
/// Lists of bindings.
const BINDING_LISTS: usize = 2;
/// TACs that share prefixes of all lengths.
const TACS: [&str; 4] = ["11111110", "11111111", "11199999", "01111111"];
/// Software versions.
const SVNS: [&str; 2] = ["00", "01"];
/// Subscribers, some a prefix of another.
const IMSIS: [&str; 4] = [
    "001010",
    "001010000000001",
    "001010000000002",
    "901010000000001",
];
/// Clients.
const HOSTS: [&str; 3] = ["mme1.example", "MME1.example", "mme2.example"];
/// Their realms.
const REALMS: [&str; 2] = ["example", "other"];

/// Digits of a device.
fn device() -> impl Strategy<Value = String> {
    (select(&TACS[..]), 0..3u32).prop_map(|(tac, serial)| format!("{tac}{serial:06}"))
}

/// Any kind of digits.
fn digits() -> impl Strategy<Value = Digits> {
    prop_oneof![
        (device(), select(&SVNS[..])).prop_map(|(own, svn)| Digits::DeviceSvn(own, svn.into())),
        device().prop_map(Digits::Device),
        (device(), device()).prop_map(|(from, to)| Digits::Range(from, to)),
        select(&TACS[..]).prop_map(|tac| Digits::Tac(tac.into())),
        (select(&TACS[..]), 1..=7usize)
            .prop_map(|(tac, length)| Digits::Prefix(tac[..length].into())),
    ]
}

/// A status.
fn any_status() -> impl Strategy<Value = u8> {
    0..3u8
}

/// First and last second, often none, on both sides of the time of requests.
fn dates() -> impl Strategy<Value = (Option<i64>, Option<i64>)> {
    let end = || prop_oneof![2 => Just(None), 1 => (0..6i64).prop_map(Some)];
    (end(), end())
}

/// A few subscribers, most often none.
fn exceptions() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        1 => Just(Vec::new()),
        1 => subsequence(&IMSIS[..], 1..3)
            .prop_map(|imsis| imsis.into_iter().map(str::to_owned).collect()),
    ]
}

/// A rule.
fn rule() -> impl Strategy<Value = Rule> {
    (0..RULE_LISTS, digits(), any_status(), dates(), exceptions()).prop_map(
        |(list, digits, status, dates, exceptions)| Rule {
            list,
            digits,
            status,
            dates,
            exceptions,
        },
    )
}

/// A binding.
fn binding() -> impl Strategy<Value = Binding> {
    let lists = RULE_LISTS..RULE_LISTS + BINDING_LISTS;
    (lists, select(&IMSIS[..]), digits(), dates()).prop_map(|(list, imsi, digits, dates)| Binding {
        list,
        imsi: imsi.into(),
        digits,
        dates,
    })
}

/// A policy; the default one is for everybody.
fn policy(name: &'static str) -> impl Strategy<Value = Policy> {
    /// None, or some of these.
    fn some(values: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
        prop_oneof![
            2 => Just(Vec::new()),
            1 => subsequence(values, 1..3)
                .prop_map(|values| values.into_iter().map(str::to_owned).collect()),
        ]
    }
    let lists = prop::option::of(subsequence(
        (0..RULE_LISTS + BINDING_LISTS).collect::<Vec<_>>(),
        0..=RULE_LISTS + BINDING_LISTS,
    ));
    let ranges = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec![("001010000000001".to_owned(), "001019999999999".to_owned())]),
        1 => Just(vec![("001010".to_owned(), "001011".to_owned())]),
    ];
    (
        some(&HOSTS),
        some(&REALMS),
        some(&["00101", "0", "901010000000001", "0010100", "0001010"]),
        ranges,
        lists,
        prop::option::of(any_status()),
        prop::option::of(any_status()),
    )
        .prop_map(
            move |(hosts, realms, prefixes, ranges, lists, unlisted, malformed)| {
                let policy = Policy {
                    name: name.into(),
                    hosts,
                    realms,
                    prefixes,
                    ranges,
                    lists,
                    unlisted,
                    malformed,
                };
                match name {
                    "default" => Policy {
                        hosts: Vec::new(),
                        realms: Vec::new(),
                        prefixes: Vec::new(),
                        ranges: Vec::new(),
                        ..policy
                    },
                    _ => policy,
                }
            },
        )
}

/// A register.
fn register() -> impl Strategy<Value = Register> {
    (
        prop::option::weighted(0.03, any_status()),
        prop::collection::vec(rule(), 0..40),
        prop::collection::vec(binding(), 0..6),
        prop::collection::vec(
            (any_status(), prop::option::of(any_status())),
            BINDING_LISTS,
        ),
        prop_oneof![
            Just(Vec::new()).boxed(),
            policy("first").prop_map(|policy| vec![policy]).boxed(),
            (policy("first"), policy("second"))
                .prop_map(|(first, second)| vec![first, second])
                .boxed(),
        ],
        policy("default"),
    )
        .prop_map(
            |(override_status, rules, bindings, binding_lists, policies, default)| Register {
                override_status,
                rules,
                bindings,
                binding_lists,
                policies,
                default,
            },
        )
}

/// An IMEI as text, its device, and the software version within.
fn imei() -> impl Strategy<Value = (String, Option<String>, Option<String>)> {
    prop_oneof![
        6 => device().prop_map(|device| (device.clone(), Some(device), None)),
        2 => (device(), 0..10u8, select(&["", "imei-"][..]))
            .prop_map(|(device, digit, prefix)| {
                (format!("{prefix}{device}{digit}"), Some(device), None)
            }),
        4 => (device(), select(&SVNS[..]), select(&["", "imeisv-"][..]))
            .prop_map(|(device, svn, prefix)| {
                (format!("{prefix}{device}{svn}"), Some(device), Some(svn.into()))
            }),
        1 => select(&["", "1111111000000", "1111111000000x", "11111110000000000"][..])
            .prop_map(|text| (text.into(), None, None)),
    ]
}

/// A request.
fn request() -> impl Strategy<Value = Request> {
    (
        imei(),
        prop::option::weighted(0.4, select(&SVNS[..])),
        prop::option::weighted(0.7, select(&IMSIS[..])),
        select(&HOSTS[..]),
        select(&REALMS[..]),
        0..6i64,
    )
        .prop_map(
            |((text, device, inner_svn), svn, imsi, host, realm, now)| Request {
                text,
                device,
                inner_svn,
                svn: svn.map(str::to_owned),
                imsi: imsi.map(str::to_owned),
                host: host.into(),
                realm: realm.into(),
                now,
            },
        )
}
