//! Changes above a register: the model makes them in its plain text, line by
//! line, and knows nothing of layers.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use weir::equipment::{Action, Builder, Change, Edit, Entry, Overlay, Snapshot, Subject};
use weir::policy::{Combine, Ground, Rulebook};
use weir::time::UnixTime;

use super::generators::{binding, register, request, rule};
use super::library::{imsi, status, validity};
use super::{Answer, Because, Binding, Digits, RULE_LISTS, Register, Request, Rule, Told};

/// Registers tried; each with [`REQUESTS`] requests after each round of edits.
const REGISTERS: u32 = 250;
/// Requests tried after each round.
const REQUESTS: usize = 24;
/// Rounds of edits for each register.
const ROUNDS: usize = 4;

/// A line that a change is about, and whether it is set, removed or given up.
#[derive(Clone, Debug)]
enum Wish {
    /// A line of a list of rules.
    Rule(Rule, What),
    /// A line of a list of bindings.
    Binding(Binding, What),
}

/// What is wished of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Set,
    Remove,
    Undo,
}

/// What stands in place of lines: in the order in which it came up.
#[derive(Clone, Debug, Default)]
struct Live {
    rules: Vec<(Rule, bool)>,
    bindings: Vec<(Binding, bool)>,
}

impl Live {
    /// Makes a wish come true.
    fn make(&mut self, wish: &Wish) {
        match wish {
            Wish::Rule(rule, what) => {
                let same = |own: &Rule| own.list == rule.list && own.digits == rule.digits;
                let place = self.rules.iter().position(|(own, _)| same(own));
                put(&mut self.rules, place, rule, *what);
            }
            Wish::Binding(binding, what) => {
                let same = |own: &Binding| {
                    (own.list, &own.imsis, &own.digits)
                        == (binding.list, &binding.imsis, &binding.digits)
                };
                let place = self.bindings.iter().position(|(own, _)| same(own));
                put(&mut self.bindings, place, binding, *what);
            }
        }
    }

    /// The register as if its files had been written so.
    fn applied(&self, register: &Register) -> Register {
        let mut register = register.clone();
        register.rules.retain(|rule| {
            let same = |own: &Rule| own.list == rule.list && own.digits == rule.digits;
            !self.rules.iter().any(|(own, _)| same(own))
        });
        register.bindings.retain(|binding| {
            !self.bindings.iter().any(|(own, _)| {
                (own.list, &own.imsis, &own.digits)
                    == (binding.list, &binding.imsis, &binding.digits)
            })
        });
        let set = |(_, is_set): &&(_, bool)| *is_set;
        let rules = self.rules.iter().filter(set).map(|(rule, _)| rule.clone());
        register.rules.extend(rules);
        let set = |(_, is_set): &&(_, bool)| *is_set;
        let bindings = self.bindings.iter().filter(set).map(|(own, _)| own.clone());
        register.bindings.extend(bindings);
        register
    }
}

/// Puts a line where another about the same stands, or last.
fn put<T: Clone>(lines: &mut Vec<(T, bool)>, place: Option<usize>, line: &T, what: What) {
    match (place, what) {
        (Some(place), What::Undo) => drop(lines.remove(place)),
        (None, What::Undo) => {}
        (Some(place), what) => lines[place] = (line.clone(), what == What::Set),
        (None, what) => lines.push((line.clone(), what == What::Set)),
    }
}

impl Wish {
    /// The same for the library.
    fn edit(&self, number: u64) -> Edit {
        let (list, subscriber, digits, what) = match self {
            Self::Rule(rule, what) => (rule.list, None, &rule.digits, *what),
            Self::Binding(own, what) => (own.list, Some(imsi(&own.imsis.0)), &own.digits, *what),
        };
        let subject = Subject {
            list: list_name(list),
            subscriber,
            scope: digits.scope(),
        };
        if what == What::Undo {
            return Edit::Undo(subject);
        }
        let entry = match self {
            Self::Rule(rule, _) => Entry {
                status: status(rule.status),
                validity: validity(rule.dates),
                reason: Some("why not".into()),
                exceptions: rule.exceptions.iter().map(|text| imsi(text)).collect(),
            },
            Self::Binding(binding, _) => Entry {
                status: status(0),
                validity: validity(binding.dates),
                reason: None,
                exceptions: [].into(),
            },
        };
        Edit::Change(Arc::new(Change {
            number,
            time: UnixTime(0),
            by: "somebody".into(),
            subject,
            action: match what {
                What::Set => Action::Set(entry),
                _ => Action::Remove,
            },
        }))
    }

    /// Whether a change can say this.
    fn is_possible(&self) -> bool {
        let (digits, is_one) = match self {
            Self::Rule(rule, _) => (&rule.digits, true),
            Self::Binding(binding, _) => (&binding.digits, binding.imsis.0 == binding.imsis.1),
        };
        is_one
            && match digits {
                Digits::Special(_) => false,
                Digits::Range(from, to) => from <= to,
                _ => true,
            }
    }
}

/// The name of a list, as the library was told it.
fn list_name(list: usize) -> Arc<str> {
    match list < RULE_LISTS {
        true => format!("list{list}").into(),
        false => format!("bound{list}").into(),
    }
}

/// Edits about lines that the register has, and about others.
fn wishes(register: &Register) -> BoxedStrategy<Vec<Wish>> {
    let what = || {
        prop_oneof![
            3 => Just(What::Set),
            2 => Just(What::Remove),
            1 => Just(What::Undo),
        ]
    };
    let rules = register.rules.clone();
    let bindings = register.bindings.clone();
    let rule = (rule(), any::<prop::sample::Index>(), any::<bool>(), what());
    let rule = rule.prop_map(move |(mut rule, index, own, what)| {
        if own && !rules.is_empty() {
            let line = index.get(&rules);
            (rule.list, rule.digits) = (line.list, line.digits.clone());
        }
        Wish::Rule(rule, what)
    });
    let other = (
        binding(),
        any::<prop::sample::Index>(),
        any::<bool>(),
        what(),
    );
    let binding = other.prop_map(move |(mut binding, index, own, what)| {
        if own && !bindings.is_empty() {
            let line = index.get(&bindings);
            binding.list = line.list;
            (binding.digits, binding.imsis) = (line.digits.clone(), line.imsis.clone());
        }
        Wish::Binding(binding, what)
    });
    let wish = prop_oneof![3 => rule, 1 => binding];
    prop::collection::vec(wish, 1..30).boxed()
}

/// The list of a rule, and which kind of ground it is; lines are others here.
fn in_short(told: &Told, list: Option<String>) -> (u8, usize, &'static str, Option<String>) {
    let because = match told.2 {
        Because::Override => "override",
        Because::PolicyOverride => "policy override",
        Because::Malformed => "malformed",
        Because::Mismatch(_) => "mismatch",
        Because::Match(_) => "match",
        Because::Rule(_) => "rule",
        Because::NotWhitelisted(_) => "not whitelisted",
        Because::Exception(..) => "exception",
        Because::Unlisted => "unlisted",
    };
    (told.0, told.1, because, list)
}

/// A snapshot with changes folded into it.
fn folded(base: &Snapshot, overlay: &Overlay, changes: &[Arc<Change>]) -> Snapshot {
    let mut builder = Builder::new();
    (overlay.fold(base, changes.iter(), &mut builder, |_| Ok(()))).unwrap();
    builder.finish()
}

/// Compares a verdict with that of the model, and both with the explanation.
fn check(
    applied: &Register,
    rulebook: &Rulebook,
    request: &Request,
) -> Result<&'static str, TestCaseError> {
    let (inquiry, now) = (request.inquiry(), UnixTime(request.now));
    let verdict = rulebook.decide(&inquiry, now);
    let told = applied.judge(request);
    // Of equals it may be another one where the order of lists does not count.
    let by_order = applied.policy(told.1).combine == Combine::Order;
    let list = match told.2 {
        Because::Rule(line) | Because::NotWhitelisted(line) if by_order => {
            Some(list_name(applied.rules[line].list).to_string())
        }
        _ => None,
    };
    let rule = match verdict.ground {
        Ground::Rule(id) | Ground::NotWhitelisted(id) if by_order => {
            rulebook.rule(id, inquiry.imei.unwrap().device)
        }
        _ => None,
    };
    let found = Answer::of(rulebook, &inquiry, verdict);
    let found = in_short(&found, rule.map(|rule| rule.list.name.to_owned()));
    prop_assert_eq!(&found, &in_short(&told, list), "{:?}", request);
    let shadow = rulebook.shadow(&inquiry, now, &verdict);
    let mut enforced = applied.clone();
    enforced.lists.iter_mut().for_each(|own| own.shadow = false);
    (enforced.policies.iter_mut()).for_each(|own| own.shadow = false);
    let expected = enforced.judge(request).0;
    let outcome = shadow.map(|shadow| Answer::of(rulebook, &inquiry, shadow).0);
    prop_assert_eq!(outcome, Some(expected).filter(|own| *own != told.0));
    let explanation = rulebook.explain(&inquiry, now);
    prop_assert_eq!(explanation.verdict, verdict);
    let by_change = (explanation.decided_by.as_ref()).is_some_and(|entry| entry.change.is_some());
    if let Some(entry) = &explanation.decided_by {
        prop_assert_eq!(entry.change.is_some(), entry.file.is_empty());
        prop_assert_eq!(explanation.to_string().contains("by somebody"), {
            let steps = explanation.steps.iter().flat_map(|step| &step.entries);
            let others = explanation.others.iter().flat_map(|own| &own.decided_by);
            let shadow = explanation.shadow.iter().flat_map(|own| &own.decided_by);
            let mut all = steps.chain(others).chain(shadow).chain([entry]);
            all.any(|entry| entry.change.is_some())
        });
    }
    Ok(match by_change {
        true => "by a change",
        false => found.2,
    })
}

#[test]
fn decides_with_changes_as_the_model_does() {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut runner = TestRunner::new(Config {
        cases: REGISTERS,
        failure_persistence: None,
        ..Config::default()
    });
    let rounds = register().prop_flat_map(|register| {
        let rounds = prop::collection::vec(wishes(&register), ROUNDS);
        let requests = prop::collection::vec(request(), REQUESTS * ROUNDS);
        (Just(register), rounds, requests)
    });
    let seen_cell = std::cell::RefCell::new(&mut seen);
    let result = runner.run(&rounds, |(register, rounds, requests)| {
        let [base, _] = register.build();
        let mut overlay = Overlay::new([3, 5]);
        let mut live = Live::default();
        let mut before: Option<(Register, Rulebook)> = None;
        for (round, wishes) in rounds.iter().enumerate() {
            let possible = wishes.iter().filter(|wish| wish.is_possible());
            let mut edits = Vec::new();
            for (number, wish) in (1..).zip(possible) {
                live.make(wish);
                edits.push(wish.edit(number));
            }
            overlay = overlay.with(base.snapshot(), &edits).unwrap();
            prop_assert_eq!(overlay.len(), live.rules.len() + live.bindings.len());
            let applied = live.applied(&register);
            let rulebook = base.with_overlay(overlay.clone());
            let own = requests.iter().skip(round * REQUESTS).take(REQUESTS);
            for request in own.clone() {
                let name = check(&applied, &rulebook, request)?;
                *seen_cell.borrow_mut().entry(name).or_insert(0) += 1;
            }
            // Whoever holds what was in force before sees that, and no mix.
            if let Some((applied, rulebook)) = &before {
                for request in own {
                    check(applied, rulebook, request)?;
                }
            }
            before = Some((applied, rulebook));
        }
        // Made at once above the same lists, they are what they are.
        let rules = live.rules.iter().map(|(own, is_set)| {
            let what = if *is_set { What::Set } else { What::Remove };
            Wish::Rule(own.clone(), what)
        });
        let bindings = live.bindings.iter().map(|(own, is_set)| {
            let what = if *is_set { What::Set } else { What::Remove };
            Wish::Binding(own.clone(), what)
        });
        let wishes = (1..).zip(rules.chain(bindings));
        let changes = wishes.filter_map(|(number, wish)| match wish.edit(number) {
            Edit::Change(change) => Some(change),
            Edit::Undo(_) => None,
        });
        let changes: Vec<Arc<Change>> = changes.collect();
        let of = changes.iter().cloned();
        let (again, misfits) = Overlay::of_those_that_fit([9, 9], base.snapshot(), of);
        prop_assert!(misfits.is_empty());
        let rulebook = base.with_overlay(again.clone());
        let applied = live.applied(&register);
        for request in &requests {
            check(&applied, &rulebook, request)?;
        }
        // And so they are as a part of the lists, however often they are folded.
        let folded = base.with_snapshot(folded(base.snapshot(), &again, &changes));
        let nothing = Overlay::new([1, 1]);
        let twice = base.with_snapshot(self::folded(folded.snapshot(), &nothing, &[]));
        for (place, request) in requests.iter().enumerate() {
            let folded = if place % 2 == 0 { &folded } else { &twice };
            check(&applied, folded, request)?;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    for name in [
        "by a change",
        "mismatch",
        "match",
        "rule",
        "exception",
        "unlisted",
    ] {
        assert!(seen.get(name) > Some(&50), "{name}: {seen:?}");
    }
}
