//! Registers and requests at random, from so few keys that they meet.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use weir::equipment::Special;
use weir::policy::Combine;

use super::{
    BINDING_LISTS, Binding, COMBINES, Digits, List, Policy, RULE_LISTS, Register, Request, Rule,
};

/// TACs that share prefixes of all lengths.
const TACS: [&str; 6] = [
    "11111110", "11111111", "11199999", "01111111", "00000000", "09999999",
];
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
/// What policies name of them.
const HOST_PATTERNS: [&str; 5] = [
    "mme1.example",
    "MME2.Example",
    "*.example",
    "*.Mme1.example",
    "*.other",
];
/// Their realms.
const REALMS: [&str; 3] = ["example", "a.EXAMPLE", "other"];
/// What policies name of them.
const REALM_PATTERNS: [&str; 3] = ["example", "*.example", "Other"];

/// Digits of a device.
fn device() -> impl Strategy<Value = String> + Clone {
    (select(&TACS[..]), select(&[0, 1, 2, 111_111][..]))
        .prop_map(|(tac, serial)| format!("{tac}{serial:06}"))
}

/// Any kind of digits.
fn digits() -> impl Strategy<Value = Digits> + Clone {
    prop_oneof![
        (device(), select(&SVNS[..])).prop_map(|(own, svn)| Digits::DeviceSvn(own, svn.into())),
        device().prop_map(Digits::Device),
        (device(), device()).prop_map(|(from, to)| Digits::Range(from, to)),
        select(&TACS[..]).prop_map(|tac| Digits::Tac(tac.into())),
        (select(&TACS[..]), 1..=7usize)
            .prop_map(|(tac, length)| Digits::Prefix(tac[..length].into())),
        select(&Special::ALL[..]).prop_map(Digits::Special),
    ]
}

/// A status.
fn any_status() -> impl Strategy<Value = u8> + Clone {
    0..3u8
}

/// First and last second, often none, on both sides of the time of requests.
fn dates() -> impl Strategy<Value = (Option<i64>, Option<i64>)> + Clone {
    let end = || prop_oneof![2 => Just(None), 1 => (0..6i64).prop_map(Some)];
    (end(), end())
}

/// A few subscribers, most often none.
fn exceptions() -> impl Strategy<Value = Vec<String>> + Clone {
    prop_oneof![
        1 => Just(Vec::new()),
        1 => subsequence(&IMSIS[..], 1..3)
            .prop_map(|imsis| imsis.into_iter().map(str::to_owned).collect()),
    ]
}

/// A rule.
pub(super) fn rule() -> impl Strategy<Value = Rule> + Clone {
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
pub(super) fn binding() -> impl Strategy<Value = Binding> + Clone {
    let lists = RULE_LISTS..RULE_LISTS + BINDING_LISTS;
    let imsis = prop_oneof![
        2 => select(&IMSIS[..]).prop_map(|imsi| (imsi, imsi)),
        1 => (select(&IMSIS[..]), select(&IMSIS[..])),
    ];
    (lists, imsis, digits(), dates()).prop_map(|(list, (from, to), digits, dates)| Binding {
        list,
        imsis: (from.into(), to.into()),
        digits,
        dates,
    })
}

/// How rules combine.
fn combine() -> impl Strategy<Value = Combine> {
    select(&COMBINES[..])
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
    let lists = prop::option::of(
        subsequence(
            (0..RULE_LISTS + BINDING_LISTS).collect::<Vec<_>>(),
            0..=RULE_LISTS + BINDING_LISTS,
        )
        .prop_shuffle(),
    );
    let ranges = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec![("001010000000001".to_owned(), "001019999999999".to_owned())]),
        1 => Just(vec![("001010".to_owned(), "001011".to_owned())]),
    ];
    (
        (
            some(&HOST_PATTERNS),
            some(&REALM_PATTERNS),
            some(&HOST_PATTERNS),
        ),
        some(&["00101", "0", "901010000000001", "0010100", "0001010"]),
        ranges,
        lists,
        prop::option::of(any_status()),
        prop::option::weighted(0.2, (any_status(), 0..6i64)),
        prop::option::of(any_status()),
        combine(),
        prop::option::weighted(0.05, any_status()),
        prop::bool::weighted(0.15),
    )
        .prop_map(
            move |(
                (hosts, realms, mut routes),
                prefixes,
                ranges,
                lists,
                unlisted,
                grace,
                malformed,
                combine,
                overriding,
                shadow,
            )| {
                // Most requests have none.
                if routes.len() > 1 {
                    routes.clear();
                }
                let policy = Policy {
                    name: name.into(),
                    hosts,
                    realms,
                    routes,
                    prefixes,
                    ranges,
                    lists,
                    unlisted,
                    grace,
                    malformed,
                    combine,
                    overriding,
                    shadow,
                };
                match name {
                    "default" => Policy {
                        hosts: Vec::new(),
                        realms: Vec::new(),
                        routes: Vec::new(),
                        shadow: false,
                        prefixes: Vec::new(),
                        ranges: Vec::new(),
                        ..policy
                    },
                    _ => policy,
                }
            },
        )
}

/// Most often few entries, and at times so many for each subscriber and device
/// that they are indexed in other ways.
fn few_or_many<T: std::fmt::Debug>(
    entry: impl Strategy<Value = T> + Clone,
    few: std::ops::Range<usize>,
    many: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![
        40 => prop::collection::vec(entry.clone(), few),
        1 => prop::collection::vec(entry, many),
    ]
}

/// A register.
pub(super) fn register() -> impl Strategy<Value = Register> {
    (
        prop::option::weighted(0.03, any_status()),
        few_or_many(rule(), 0..40, 200..300),
        few_or_many(binding(), 0..6, 200..300),
        prop::collection::vec(
            (
                any_status(),
                prop::option::of(any_status()),
                prop::bool::weighted(0.1),
            )
                .prop_map(|(mismatch, on_match, shadow)| List {
                    binding: (mismatch, on_match),
                    shadow,
                }),
            RULE_LISTS + BINDING_LISTS,
        ),
        prop_oneof![
            Just(Vec::new()),
            subsequence(&TACS[..], 1..TACS.len())
                .prop_map(|tacs| tacs.into_iter().map(str::to_owned).collect()),
        ],
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
            |(override_status, rules, bindings, lists, models, policies, default)| Register {
                override_status,
                rules,
                bindings,
                lists,
                models,
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
pub(super) fn request() -> impl Strategy<Value = Request> {
    (
        imei(),
        prop::option::weighted(0.4, select(&SVNS[..])),
        prop::option::weighted(0.7, select(&IMSIS[..])),
        select(&HOSTS[..]),
        select(&REALMS[..]),
        prop::option::weighted(0.3, select(&HOSTS[..])),
        0..6i64,
    )
        .prop_map(
            |((text, device, inner_svn), svn, imsi, host, realm, route, now)| Request {
                text,
                device,
                inner_svn,
                svn: svn.map(str::to_owned),
                imsi: imsi.map(str::to_owned),
                host: host.into(),
                realm: realm.into(),
                route: route.map(str::to_owned),
                now,
            },
        )
}
