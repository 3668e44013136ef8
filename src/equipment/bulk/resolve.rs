//! What is said of a device by several lines: which of them count.

use rustc_hash::FxHashMap;

use super::sort::Sorted;
use super::tuple::device_of;
use crate::equipment::device_rules::DeviceRule;
use crate::equipment::{MAX_TERMS, Status, Terms};

/// How many refusals of each list are kept with what they contradict.
const SHOWN_MAX: usize = 10;

//----------- Said ------------------------------------------------------------

/// What a rule of a single device says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Said {
    /// The number of its terms.
    pub(crate) terms: u32,
    /// The number of its source.
    pub(crate) source: u32,
    /// All statuses that its line gives the device, a bit for each, if it must
    /// not contradict a line before; otherwise 0.
    pub(crate) statuses: u8,
    /// Whether somebody is excepted from it.
    pub(crate) has_exceptions: bool,
}

impl Said {
    /// The bits of statuses.
    pub(crate) fn bits(statuses: &[Status]) -> u8 {
        (statuses.iter()).fold(0, |bits, status| bits | 1 << status.number())
    }

    /// What is said.
    pub(in crate::equipment) fn rule(self) -> DeviceRule {
        DeviceRule {
            terms: self.terms,
            source: self.source,
        }
    }
}

//----------- Refusals --------------------------------------------------------

/// A line that is left out for what it says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The device.
    pub(crate) device: u64,
    /// What the line says.
    pub(crate) said: u32,
    /// The line.
    pub(crate) line: u32,
    /// What an earlier one says that it contradicts, and its line; `None` if
    /// there are too many about the device.
    pub(crate) other: Option<(u32, u32)>,
}

/// All lines that are left out.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// How many rules and lines that say a thing are left out.
    pub(crate) counts: FxHashMap<u32, [u64; 2]>,
    /// The first ones of each list, by its number, in no order.
    first: FxHashMap<u16, Vec<Refusal>>,
    /// Those from which somebody is excepted.
    pub(crate) with_exceptions: Vec<Refusal>,
}

impl Refusals {
    /// Adds those of another partition.
    pub(super) fn absorb(&mut self, other: Self, order: impl Fn(&Refusal) -> (u32, u32)) {
        for (said, [rules, lines]) in other.counts {
            let counts = self.counts.entry(said).or_default();
            counts[0] += rules;
            counts[1] += lines;
        }
        for (list, refusals) in other.first {
            let first = self.first.entry(list).or_default();
            first.extend(refusals);
            first.sort_by_key(&order);
            first.truncate(SHOWN_MAX);
        }
        self.with_exceptions.extend(other.with_exceptions);
    }

    /// The first ones of each list.
    pub(crate) fn first(&self) -> impl Iterator<Item = &Refusal> {
        self.first.values().flatten()
    }

    /// Notes the rules of a line.
    fn note(&mut self, refusal: Refusal, rules: usize, of: &Catalogue<'_>) {
        let list = of.terms_of(refusal.said).map(|terms| terms.list);
        let counts = self.counts.entry(refusal.said).or_default();
        counts[0] += rules as u64;
        counts[1] += 1;
        if let Some(list) = list {
            let first = self.first.entry(list.place() as u16).or_default();
            first.push(refusal);
            if first.len() >= 100 * SHOWN_MAX {
                first.sort_by_key(|refusal| of.order(refusal));
                first.truncate(SHOWN_MAX);
            }
        }
    }
}

/// What the numbers of tuples refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Catalogue<'a> {
    /// What is said.
    pub(super) saids: &'a [Said],
    /// List, status and dates.
    pub(super) terms: &'a [Terms],
    /// The number of the file of each source.
    pub(super) files: &'a [u32],
}

impl<'a> Catalogue<'a> {
    /// What this number says.
    pub(super) fn said(&self, said: u32) -> Option<&'a Said> {
        self.saids.get(said as usize)
    }

    /// The terms of it.
    fn terms_of(&self, said: u32) -> Option<&'a Terms> {
        self.terms.get(self.said(said)?.terms as usize)
    }

    /// Where a refused line stands: file and line.
    pub(super) fn order(&self, refusal: &Refusal) -> (u32, u32) {
        let source = self.said(refusal.said).map_or(0, |said| said.source);
        let file = self.files.get(source as usize).copied();
        (file.unwrap_or_default(), refusal.line)
    }
}

//----------- Resolved --------------------------------------------------------

/// Tuples about one device of a sorted partition, and which of them count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The place of the first tuple.
    pub(super) at: u32,
    /// How many there are.
    pub(super) len: u32,
    /// How many count.
    pub(super) kept: u32,
}

/// What several lines about the same devices come to.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// The devices, in ascending order.
    pub(super) runs: Vec<Run>,
    /// What counts of them, one behind the other.
    pub(super) rules: Vec<DeviceRule>,
    /// What it is said by, and the lines.
    pub(super) lines: Vec<(u32, u32)>,
    /// What does not.
    pub(super) refusals: Refusals,
}

impl Resolved {
    /// Of a sorted partition.
    pub(super) fn of(partition: usize, sorted: &Sorted, of: &Catalogue<'_>) -> Self {
        let mut resolved = Self::default();
        let words = sorted.words();
        let mut at = 0;
        // Hardly any device has a second line.
        let is_same = |two: &[u64]| {
            let mut keys = two.iter().map(|&word| Sorted::key(word));
            keys.next() == keys.next()
        };
        while let Some(rest) = words.get(at..)
            && let Some(before) = rest.windows(2).position(is_same)
        {
            at += before;
            let key = words.get(at).map_or(0, |&word| Sorted::key(word));
            let rest = words.get(at..).unwrap_or_default();
            let len = rest.iter().take_while(|&&word| Sorted::key(word) == key);
            let len = len.count();
            let tuples = (at..).zip(rest.iter().take(len));
            let tuples = tuples.map(|(place, &word)| sorted.tuple(place, word));
            let kept = resolved.resolve(device_of(partition, key), tuples, of);
            resolved.runs.push(Run {
                at: at as u32,
                len: len as u32,
                kept: kept as u32,
            });
            at += len;
        }
        resolved
    }

    /// Which tuples of a device count, and how many: the first of each terms,
    /// unless its line contradicts one that counts.
    fn resolve(
        &mut self,
        device: u64,
        mut tuples: impl Iterator<Item = (u32, u32)>,
        of: &Catalogue<'_>,
    ) -> usize {
        let start = self.rules.len();
        while let Some((said, line)) = tuples.next() {
            let Some(own) = of.said(said) else {
                continue;
            };
            // The rules of one line come together, each with the same statuses.
            let together = own.statuses.count_ones().max(1) as usize;
            let mut rules = [(said, line); 8];
            let others = rules.iter_mut().take(together).skip(1);
            others.for_each(|rule| *rule = tuples.next().unwrap_or(*rule));
            let rules = rules.get(..together).unwrap_or_default();
            if let Some(other) = self.objection(start, own, rules, of) {
                let refusal = Refusal {
                    device,
                    said,
                    line,
                    other,
                };
                self.refusals.note(refusal, together, of);
                let excepted = rules
                    .iter()
                    .filter(|&&(said, _)| of.said(said).is_some_and(|said| said.has_exceptions));
                let excepted = excepted.map(|&(said, line)| Refusal {
                    said,
                    line,
                    ..refusal
                });
                self.refusals.with_exceptions.extend(excepted);
                continue;
            }
            for &(said, line) in rules {
                let Some(rule) = of.said(said).map(|said| said.rule()) else {
                    continue;
                };
                let known = self.rules.get(start..).unwrap_or_default();
                if known.iter().all(|known| known.terms != rule.terms) {
                    self.rules.push(rule);
                    self.lines.push((said, line));
                }
            }
        }
        self.rules.len() - start
    }

    /// Why the rules of a line do not count: what they contradict, if it is that.
    fn objection(
        &self,
        start: usize,
        own: &Said,
        rules: &[(u32, u32)],
        of: &Catalogue<'_>,
    ) -> Option<Option<(u32, u32)>> {
        let known = self.rules.get(start..)?;
        if own.statuses == 0 || known.is_empty() {
            return None;
        }
        let is_known = |&(said, _): &(u32, u32)| {
            let terms = of.said(said).map(|said| said.terms);
            known.iter().any(|known| Some(known.terms) == terms)
        };
        if known.len() >= MAX_TERMS && !rules.iter().all(is_known) {
            return Some(None);
        }
        let terms = of.terms.get(own.terms as usize)?;
        let contradicts = |rule: &DeviceRule| {
            of.terms.get(rule.terms as usize).is_some_and(|other| {
                other.list == terms.list
                    && own.statuses & 1 << other.status.number() == 0
                    && other.validity.overlaps(terms.validity)
            })
        };
        // The last one: it is the nearest.
        let place = known.iter().rposition(contradicts)?;
        Some(self.lines.get(start + place).copied())
    }
}
