//! One row for each combination of what a verdict depends on.

use std::collections::BTreeMap;

use weir::equipment::Special;
use weir::policy::Combine;

use super::{
    BINDING_LISTS, COMBINES, Digits, List, Policy, RULE_LISTS, Register, Request, Rule, check,
    outcome_name,
};

/// What a policy can be asked besides how it combines.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// Nothing.
    Nothing,
    /// Which lists count, and in which order.
    Lists,
    /// What the unlisted are answered.
    Unlisted,
    /// What they are answered before and after a moment.
    Grace,
    /// What it answers everybody.
    Override,
    /// What a list that is a shadow changes.
    ShadowList,
    /// What it changes itself as a shadow.
    ShadowPolicy,
}

impl Question {
    /// All of them.
    const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Lists,
        Self::Unlisted,
        Self::Grace,
        Self::Override,
        Self::ShadowList,
        Self::ShadowPolicy,
    ];
}

/// The device of the table, which is of every kind, special ones included.
const TABLED: &str = "00000000000000";
/// The subscriber of the table, who is excepted from some rules.
const TABLED_IMSI: &str = "001010000000001";

/// Digits of each kind that cover the device of the table.
fn tabled_digits() -> [Digits; 9] {
    [
        Digits::DeviceSvn(TABLED.into(), "01".into()),
        Digits::Device(TABLED.into()),
        Digits::Range(TABLED.into(), "00000000000009".into()),
        Digits::Tac("00000000".into()),
        Digits::Prefix("000".into()),
        Digits::Special(Special::Test),
        Digits::Special(Special::Zero),
        Digits::Special(Special::Repeated),
        Digits::Special(Special::UnallocatedTac),
    ]
}

/// A register with rules of these statuses, one in each of three lists, and a
/// policy that is asked this.
fn tabled(digits: &Digits, statuses: &[u8], combine: Combine, question: Question) -> Register {
    let rule = |(list, &status): (usize, &u8)| Rule {
        list,
        digits: digits.clone(),
        status,
        dates: (None, None),
        exceptions: match list {
            0 => vec![TABLED_IMSI.to_owned()],
            _ => Vec::new(),
        },
    };
    let is = |own: Question| question as usize == own as usize;
    let default = Policy {
        name: "default".into(),
        hosts: Vec::new(),
        realms: Vec::new(),
        routes: Vec::new(),
        prefixes: Vec::new(),
        ranges: Vec::new(),
        lists: None,
        unlisted: None,
        grace: None,
        malformed: None,
        combine: Combine::Strictest,
        overriding: None,
        shadow: false,
    };
    let policy = Policy {
        name: "asked".into(),
        hosts: vec!["mme1.example".into()],
        lists: is(Question::Lists).then(|| vec![2, 1]),
        unlisted: (is(Question::Unlisted) || is(Question::Grace)).then_some(1),
        grace: is(Question::Grace).then_some((2, 1)),
        combine,
        overriding: is(Question::Override).then_some(2),
        shadow: is(Question::ShadowPolicy),
        ..default.clone()
    };
    Register {
        override_status: None,
        rules: statuses.iter().enumerate().map(rule).collect(),
        bindings: Vec::new(),
        lists: (0..RULE_LISTS + BINDING_LISTS)
            .map(|list| List {
                binding: (1, None),
                shadow: is(Question::ShadowList) && list == 0,
            })
            .collect(),
        models: vec!["11111111".into()],
        policies: vec![policy],
        default,
    }
}

/// One row for each kind of rule, each way to combine, each question to a
/// policy, with and without IMSI and SVN, before and after a moment; each with
/// all sequences of statuses.
#[test]
fn every_row_of_the_table_is_as_the_model_says() {
    let mut sequences: Vec<Vec<u8>> = vec![Vec::new()];
    for length in 1..=RULE_LISTS {
        let longer: Vec<_> = sequences
            .iter()
            .filter(|sequence| sequence.len() + 1 == length)
            .flat_map(|sequence| (0..3).map(|status| [&sequence[..], &[status]].concat()))
            .collect();
        sequences.extend(longer);
    }
    let mut rows = 0;
    let mut outcomes = BTreeMap::new();
    for digits in tabled_digits() {
        for (combine, question) in COMBINES
            .into_iter()
            .flat_map(|combine| Question::ALL.map(|question| (combine, question)))
        {
            for statuses in &sequences {
                let register = tabled(&digits, statuses, combine, question);
                let [rulebook, _] = register.build();
                for bits in 0..8u8 {
                    let request = Request {
                        text: TABLED.into(),
                        device: Some(TABLED.into()),
                        inner_svn: None,
                        svn: (bits & 1 != 0).then(|| "01".into()),
                        imsi: (bits & 2 != 0).then(|| TABLED_IMSI.into()),
                        host: "mme1.example".into(),
                        realm: "example".into(),
                        route: None,
                        now: if bits & 4 == 0 { 1 } else { 2 },
                    };
                    let row = format!("{digits:?} {statuses:?} {combine:?} {question:?} {bits}");
                    if let Err(error) = check(&register, &rulebook, &request, false) {
                        panic!("{row}: {error}");
                    }
                    rows += 1;
                    let told = register.judge(&request).0;
                    *outcomes.entry(outcome_name(told)).or_insert(0) += 1;
                }
            }
        }
    }
    assert_eq!(rows, 9 * 5 * 7 * 40 * 8);
    for outcome in ["whitelisted", "blacklisted", "greylisted", "unknown"] {
        assert!(outcomes.get(outcome) > Some(&1000), "{outcomes:?}");
    }
}
