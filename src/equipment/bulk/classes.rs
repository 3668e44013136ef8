//! The classes of devices: all that is said of one, kept once for all devices
//! that share it, and numbered by how many these are.

use rustc_hash::FxHashMap;

use super::resolve::{Resolved, Said};
use super::sort::Sorted;
use crate::equipment::device_rules::DeviceRule;

//----------- Classes ---------------------------------------------------------

/// Classes of devices.
#[derive(Clone, Debug, Default)]
pub(in crate::equipment) struct Classes {
    /// What is said, class by class, in the order of loading.
    pub(in crate::equipment) members: Vec<DeviceRule>,
    /// Where each class ends.
    pub(in crate::equipment) ends: Vec<u32>,
    /// So many of the first classes say one thing each, as most do: of these
    /// class and member have the same place.
    pub(in crate::equipment) single: u32,
}

impl Classes {
    /// What is said of a class, with the number of the first.
    #[inline(never)]
    pub(in crate::equipment) fn find(&self, class: u32) -> (u32, &[DeviceRule]) {
        let end = |class: u32| self.ends.get(class as usize).copied();
        // Classes are counted from 1.
        let last = class.wrapping_sub(1);
        let from = last.checked_sub(1).and_then(end).unwrap_or(0);
        let to = end(last).unwrap_or(from);
        let members = self.members.get(from as usize..to as usize);
        (from, members.unwrap_or_default())
    }

    /// Adds one, and returns its number.
    pub(in crate::equipment) fn push(&mut self, rules: &[DeviceRule]) -> u32 {
        if rules.len() == 1 && self.single as usize == self.ends.len() {
            self.single += 1;
        }
        self.members.extend_from_slice(rules);
        self.ends.push(self.members.len() as u32);
        self.ends.len() as u32
    }
}

//----------- Census ----------------------------------------------------------

/// Counts devices by class, of as many partitions as it takes to know which
/// classes are common.
#[derive(Debug)]
pub(super) struct Census {
    /// Each thing that is said, once.
    rules: Vec<DeviceRule>,
    /// The place of each [`Said`] among them.
    places: Vec<u32>,
    /// How many devices have only that said of them.
    single: Vec<u64>,
    /// How many have these said of them.
    several: FxHashMap<Box<[DeviceRule]>, u64>,
}

impl Census {
    /// Of devices of which these things are said.
    pub(super) fn new(saids: &[Said]) -> Self {
        let mut rules = Vec::new();
        let mut known = FxHashMap::default();
        let places = saids.iter().map(|said| {
            let rule = said.rule();
            *known.entry(rule).or_insert_with(|| {
                rules.push(rule);
                rules.len() as u32 - 1
            })
        });
        let places = places.collect();
        Self {
            single: vec![0; rules.len()],
            rules,
            places,
            several: FxHashMap::default(),
        }
    }

    /// Counts those of a partition.
    pub(super) fn count(&mut self, sorted: &Sorted, resolved: &Resolved) {
        let Self {
            places,
            single,
            several,
            ..
        } = self;
        let mut one = |said: u32, devices: u64| {
            let place = places.get(said as usize).copied().unwrap_or_default();
            if let Some(count) = single.get_mut(place as usize) {
                *count += devices;
            }
        };
        let mut at = 0;
        let mut rules = 0;
        let in_runs: usize = resolved.runs.iter().map(|run| run.len as usize).sum();
        match sorted.only_said() {
            Some(said) => one(said, (sorted.len() - in_runs) as u64),
            None => {
                let mut runs = resolved.runs.iter().peekable();
                while let Some(&word) = sorted.words().get(at) {
                    match runs.next_if(|run| run.at as usize == at) {
                        Some(run) => at += run.len as usize,
                        None => {
                            one(sorted.tuple(at, word).0, 1);
                            at += 1;
                        }
                    }
                }
            }
        }
        for run in &resolved.runs {
            let range = rules..rules + run.kept as usize;
            rules = range.end;
            match resolved.lines.get(range.clone()) {
                Some(&[(said, _)]) => one(said, 1),
                _ => {
                    let said = resolved.rules.get(range).unwrap_or_default();
                    match several.get_mut(said) {
                        Some(count) => *count += 1,
                        None => drop(several.insert(said.into(), 1)),
                    }
                }
            }
        }
    }

    /// The numbers of classes, the most common first; `is_complete` says that
    /// all partitions were counted. What was not seen comes behind what was.
    pub(super) fn rank(self, is_complete: bool) -> (Ranks, Several) {
        let mut found: Vec<(u64, &[DeviceRule])> = Vec::new();
        let single = self.single.iter().zip(&self.rules);
        let single = single.filter(|&(&count, _)| count > 0 || !is_complete);
        found.extend(single.map(|(&count, rule)| (count, core::slice::from_ref(rule))));
        let before = found.len();
        found.extend(self.several.iter().map(|(rules, &count)| (count, &**rules)));
        // A map has no order; what is said by one rule is in that of loading.
        if let Some(several) = found.get_mut(before..) {
            several.sort_unstable_by_key(|&(_, rules)| rules);
        }
        found.sort_by_key(|&(count, _)| core::cmp::Reverse(count));
        let mut numbers: FxHashMap<DeviceRule, u32> = FxHashMap::default();
        let mut several = Several::default();
        for (_, rules) in found {
            let number = several.classes.push(rules);
            match rules {
                &[rule] => drop(numbers.insert(rule, number)),
                _ => drop(several.numbers.insert(rules.into(), number)),
            }
        }
        let single = self.places.iter().map(|&place| {
            let rule = self.rules.get(place as usize);
            rule.and_then(|rule| numbers.get(rule))
                .copied()
                .unwrap_or(0)
        });
        let ranks = Ranks {
            single: single.collect(),
        };
        (ranks, several)
    }
}

/// The numbers of the classes of which one thing is said.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    /// By the number of what is said.
    single: Vec<u32>,
}

impl Ranks {
    /// The class of which this is said.
    #[inline]
    pub(super) fn of(&self, said: u32) -> u32 {
        self.single.get(said as usize).copied().unwrap_or_default()
    }
}

/// The classes, and the numbers of those of which several things are said.
#[derive(Debug, Default)]
pub(super) struct Several {
    /// All of them.
    pub(super) classes: Classes,
    /// By what is said.
    numbers: FxHashMap<Box<[DeviceRule]>, u32>,
}

impl Several {
    /// The class of which this is said, which may be new.
    pub(super) fn number(&mut self, rules: &[DeviceRule]) -> u32 {
        if let Some(&number) = self.numbers.get(rules) {
            return number;
        }
        let number = self.classes.push(rules);
        self.numbers.insert(rules.into(), number);
        number
    }
}
