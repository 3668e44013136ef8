//! From a subscriber to the bindings and exceptions that name it.

use rustc_hash::FxHashMap;

use super::crowd::{CROWD, Crowd, Member};
use super::ranges::{Ranges, RangesBuilder, deepest};
use super::record::NONE;
use super::stored::{StoredException, StoredSubscribers};
use super::{Imsi, RuleId, Subscribers};

//----------- ImsiIndex -------------------------------------------------------

/// An exact index from a subscriber to the first of its records.
#[derive(Clone, Debug, Default)]
pub(super) struct ImsiIndex {
    /// By [`Imsi::key`].
    heads: FxHashMap<u64, u32>,
}

impl ImsiIndex {
    /// Puts a record first; the one that was first is returned.
    pub(super) fn insert(&mut self, imsi: Imsi, record: u32) -> Option<u32> {
        self.heads.insert(imsi.key(), record)
    }

    /// The subscribers, in no particular order.
    fn subscribers(&self) -> impl Iterator<Item = Imsi> {
        self.heads.keys().map(|&key| Imsi::from_key(key))
    }

    /// The first record.
    pub(super) fn find(&self, imsi: Imsi) -> Option<u32> {
        self.heads.get(&imsi.key()).copied()
    }
}

//----------- BoundIndex ------------------------------------------------------

/// From a subscriber to its bindings, whether they name it or a range that
/// holds it.
#[derive(Clone, Debug, Default)]
pub(super) struct BoundIndex {
    /// The first record of each subscriber.
    imsis: ImsiIndex,
    /// The first record of each range of subscribers, by [`Imsi::key`].
    ranges: Ranges,
    /// Those that have many, by the first record.
    crowds: FxHashMap<u32, Crowd>,
}

impl BoundIndex {
    /// Calls `visitor` with the first record of each chain of bindings of the
    /// subscriber, in no particular order.
    #[inline]
    pub(super) fn visit(&self, imsi: Imsi, mut visitor: impl FnMut(u32)) {
        if let Some(head) = self.imsis.find(imsi) {
            visitor(head);
        }
        self.ranges.visit(imsi.key(), visitor);
    }

    /// The bindings of a chain, if they are many.
    #[inline]
    pub(super) fn crowd(&self, head: u32) -> Option<&Crowd> {
        self.crowds.get(&head)
    }
}

/// Collects a [`BoundIndex`], and keeps whom each binding binds.
#[derive(Debug, Default)]
pub(super) struct BoundBuilder {
    /// Who is bound.
    bound: Bound,
    /// The last binding of each subscriber.
    imsis: ImsiIndex,
    /// The last binding of each range.
    ranges: FxHashMap<(Imsi, Imsi), u32>,
    /// How long the chains are.
    lengths: Lengths,
}

impl BoundBuilder {
    /// Adds the binding with the next number; returns another of the same
    /// subscribers, which is to follow it.
    pub(super) fn push(&mut self, subscribers: Subscribers, record: u32) -> Option<u32> {
        let next = match subscribers {
            Subscribers::One(imsi) => {
                self.bound.firsts.push(imsi);
                self.imsis.insert(imsi, record)
            }
            Subscribers::Range { from, to } => {
                self.bound.firsts.push(from);
                self.bound.lasts.insert(record, to);
                // Between keys of different lengths lie others' keys.
                if from.digits() != to.digits() {
                    return None;
                }
                self.ranges.insert((from, to), record)
            }
        };
        self.lengths.extend(next, record);
        next
    }

    /// The most ranges that hold one subscriber, and that subscriber.
    pub(super) fn deepest(&self) -> (usize, Imsi) {
        let ranges = self.ranges.iter();
        let (depth, key) = deepest(ranges.map(|(&(from, to), &head)| (from.key(), to.key(), head)));
        (depth, Imsi::from_key(key))
    }

    /// Who is bound, and the index; `member` tells what a record says, and
    /// which follows it.
    pub(super) fn finish(
        mut self,
        member: impl Fn(u32) -> Option<(Member, u32)>,
    ) -> (Bound, BoundIndex) {
        self.bound.firsts.shrink_to_fit();
        let mut ranges = RangesBuilder::default();
        for (&(from, to), &head) in &self.ranges {
            // None of them says what another says.
            ranges.push(from.key(), to.key(), head, head);
        }
        let index = BoundIndex {
            imsis: self.imsis,
            ranges: ranges.finish(),
            crowds: self.lengths.crowds(member),
        };
        (self.bound, index)
    }
}

//----------- Lengths ---------------------------------------------------------

/// How long chains are, of those with more than one link.
#[derive(Clone, Debug, Default)]
struct Lengths {
    /// By the first link.
    by_head: FxHashMap<u32, u32>,
}

impl Lengths {
    /// Puts a link before the one that was first.
    fn extend(&mut self, first: Option<u32>, head: u32) {
        if let Some(first) = first {
            let length = self.by_head.remove(&first).unwrap_or(1);
            self.by_head.insert(head, length.saturating_add(1));
        }
    }

    /// Indexes the chains that are long; `member` tells what a link says, and
    /// which follows it.
    fn crowds(&self, member: impl Fn(u32) -> Option<(Member, u32)>) -> FxHashMap<u32, Crowd> {
        let long = (self.by_head.iter()).filter(|&(_, &length)| length > CROWD);
        let crowd = |(&head, _): (&u32, _)| {
            let mut number = head;
            let chain = core::iter::from_fn(|| {
                let (member, next) = member(number)?;
                number = next;
                Some(member)
            });
            // The last that was added is the first of the chain.
            let mut members: Vec<Member> = chain.collect();
            members.reverse();
            (head, Crowd::new(members.into_iter()))
        };
        long.map(crowd).collect()
    }
}

//----------- Bound -----------------------------------------------------------

/// Whom each binding binds. Most bind one, so that the ends of ranges stand
/// apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Bound {
    /// The only or first subscriber, by the number of the binding.
    firsts: Vec<Imsi>,
    /// The last subscriber, of those bindings that have ranges.
    lasts: FxHashMap<u32, Imsi>,
}

impl Bound {
    /// Whom a binding binds.
    pub(super) fn find(&self, record: u32) -> Option<Subscribers> {
        let from = *self.firsts.get(record as usize)?;
        Some(match self.lasts.get(&record) {
            None => Subscribers::One(from),
            Some(&to) => Subscribers::Range { from, to },
        })
    }
}

impl Bound {
    /// Whom each of so many bindings binds.
    pub(super) fn stored(&self, bindings: usize) -> Vec<StoredSubscribers> {
        let numbers = (0..bindings).map_while(|number| u32::try_from(number).ok());
        let stored = numbers.filter_map(|number| Some(StoredSubscribers::new(self.find(number)?)));
        stored.collect()
    }
}

//----------- Exceptions ------------------------------------------------------

/// Which rules a subscriber is excepted from.
#[derive(Clone, Debug, Default)]
pub(super) struct Exceptions {
    /// From a subscriber to its first link.
    index: ImsiIndex,
    /// Rules, chained for each subscriber.
    links: Vec<Link>,
    /// How long the chains are, until they are indexed.
    lengths: Lengths,
    /// The subscribers that have many, by the first link.
    crowds: FxHashMap<u32, Crowd>,
}

/// One subscriber excepted from one rule.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The rule.
    rule: RuleId,
    /// The next link of the same subscriber, or [`NONE`].
    next: u32,
}

impl Exceptions {
    /// Excepts a subscriber from a rule; `None` if the numbers are used up.
    pub(super) fn push(&mut self, imsi: Imsi, rule: RuleId) -> Option<()> {
        let number = u32::try_from(self.links.len()).ok()?;
        if number == NONE {
            return None;
        }
        let next = self.index.insert(imsi, number);
        self.lengths.extend(next, number);
        self.links.push(Link {
            rule,
            next: next.unwrap_or(NONE),
        });
        Some(())
    }

    /// The rules that a subscriber is excepted from, in no particular order.
    pub(super) fn of(&self, imsi: Imsi) -> impl Iterator<Item = RuleId> {
        let mut number = self.index.find(imsi).unwrap_or(NONE);
        core::iter::from_fn(move || {
            // Nothing has the number that ends a chain, so the chain ends.
            let link = self.links.get(number as usize)?;
            number = link.next;
            Some(link.rule)
        })
    }

    /// The same as an index, if they are many; its entries are numbers of
    /// rules.
    pub(super) fn crowd(&self, imsi: Imsi) -> Option<&Crowd> {
        self.crowds.get(&self.index.find(imsi)?)
    }

    /// All of them, in the order in which they were added.
    pub(super) fn stored(&self) -> Vec<StoredException> {
        let mut imsis = vec![None; self.links.len()];
        for (&key, &head) in &self.index.heads {
            let mut number = head as usize;
            while let (Some(link), Some(imsi)) = (self.links.get(number), imsis.get_mut(number)) {
                *imsi = Some(Imsi::from_key(key));
                number = link.next as usize;
            }
        }
        let links = self.links.iter().zip(imsis);
        let stored = links.filter_map(|(link, imsi)| Some(StoredException::new(imsi?, link.rule)));
        stored.collect()
    }

    /// The subscribers, each once, in no particular order.
    pub(super) fn subscribers(&self) -> impl Iterator<Item = Imsi> {
        self.index.subscribers()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// Indexes what is much, and gives back the room that is left; `member`
    /// tells what a rule says.
    pub(super) fn finish(&mut self, member: impl Fn(u32) -> Option<Member>) {
        self.links.shrink_to_fit();
        let lengths = core::mem::take(&mut self.lengths);
        self.crowds = lengths.crowds(|number| {
            let link = self.links.get(number as usize)?;
            Some((member(link.rule.number())?, link.next))
        });
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// A scan over what was added is the oracle.
    #[test]
    fn bindings_are_found_by_subscriber_and_by_range() {
        let imsi = |digits: &str| Imsi::parse(digits.as_bytes()).unwrap();
        let range = |from, to| Subscribers::Range {
            from: imsi(from),
            to: imsi(to),
        };
        let added = [
            Subscribers::One(imsi("001010000000001")),
            range("001010000000000", "001010000000009"),
            Subscribers::One(imsi("001010000000001")),
            range("001010000000001", "001010000000001"),
            range("001010000000009", "001010000000000"),
            // As many digits are not in between.
            range("001010", "999999999999999"),
            range("00101000000000", "00101000000009"),
        ];
        let mut records = super::super::record::Records::default();
        let mut builder = BoundBuilder::default();
        for subscribers in added {
            let scope = super::super::Scope::Tac(super::super::Tac::MAX);
            let record = records.push(scope, 0, 0, 1).unwrap();
            if let Some(next) = builder.push(subscribers, record) {
                records.link(record, next);
            }
        }
        let (bound, index) = builder.finish(|_| None);
        for (record, subscribers) in (0..).zip(added) {
            assert_eq!(bound.find(record), Some(subscribers));
        }
        assert_eq!(bound.find(added.len() as u32), None);
        for (digits, expected) in [
            ("001010000000001", &[0, 1, 2, 3][..]),
            ("001010000000009", &[1]),
            ("001010000000010", &[]),
            ("00101000000005", &[6]),
            ("0010100", &[]),
        ] {
            let mut found = Vec::new();
            index.visit(imsi(digits), |head| {
                found.extend(records.chain(head).map(|(number, _)| number));
            });
            found.sort_unstable();
            assert_eq!(found, expected, "{digits}");
            for (record, subscribers) in (0..).zip(added) {
                let held = subscribers.contains(imsi(digits));
                assert_eq!(held, expected.contains(&record), "{subscribers}: {digits}");
            }
        }
    }

    #[test]
    fn each_subscriber_has_its_own() {
        let imsis = ["001010000000001", "001010000000002", "00101000000001"]
            .map(|digits| Imsi::parse(digits.as_bytes()).unwrap());
        let mut exceptions = Exceptions::default();
        for (imsi, rule) in [(0, 7), (1, 8), (0, 9), (0, 7)] {
            exceptions
                .push(imsis[imsi], RuleId::of_record(rule))
                .unwrap();
        }
        let rules = |imsi: usize| {
            let mut rules: Vec<u32> = exceptions.of(imsis[imsi]).map(|rule| rule.0).collect();
            rules.sort_unstable();
            rules
        };
        assert_eq!(rules(0), [7, 7, 9]);
        assert_eq!(rules(1), [8]);
        assert_eq!(rules(2), [0; 0]);
        assert_eq!(exceptions.len(), 4);
        let mut subscribers: Vec<_> = exceptions.subscribers().collect();
        subscribers.sort_unstable_by_key(|imsi| imsi.to_string());
        assert_eq!(subscribers, imsis[..2]);
    }
}
