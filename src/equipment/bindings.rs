//! From a subscriber to the bindings and exceptions that name it.

use rustc_hash::FxHashMap;

use super::record::NONE;
use super::{Imsi, RuleId};

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

    /// The first record.
    pub(super) fn find(&self, imsi: Imsi) -> Option<u32> {
        self.heads.get(&imsi.key()).copied()
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
        let next = self.index.insert(imsi, number).unwrap_or(NONE);
        self.links.push(Link { rule, next });
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

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// Gives back the room that is left.
    pub(super) fn shrink(&mut self) {
        self.links.shrink_to_fit();
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subscriber_has_its_own() {
        let imsis = ["001010000000001", "001010000000002", "00101000000001"]
            .map(|digits| Imsi::parse(digits.as_bytes()).unwrap());
        let mut exceptions = Exceptions::default();
        for (imsi, rule) in [(0, 7), (1, 8), (0, 9), (0, 7)] {
            exceptions.push(imsis[imsi], RuleId(rule)).unwrap();
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
    }
}
