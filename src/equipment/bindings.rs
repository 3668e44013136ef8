//! From a subscriber to the bindings and exceptions that name it.

mod collect;

use bytemuck::{Pod, Zeroable};
use rustc_hash::FxHashMap;

pub(super) use self::collect::BoundBuilder;
pub(crate) use self::collect::{BOUND, Batch, BoundLayout, Gathered, RULE};

use super::crowd::{CROWD, Crowd, Member};
use super::keyed::{Keyed4, KeyedHead};
use super::ranges::Ranges;
use super::record::{Entry, Records, Spans};
use super::stored::{self, Flaw, Parts, Section};
use super::{Imsi, RuleId, Terms};

/// What is said of a subscriber, by its rank.
type BySubscriber = Keyed4<SUBSCRIBERS>;

/// Bits of the rank of a subscriber.
const SUBSCRIBERS: u32 = 50;

//----------- BoundIndex ------------------------------------------------------

/// From a subscriber to its bindings, whether they name it or a range that
/// holds it.
#[derive(Clone, Debug, Default)]
pub(super) struct BoundIndex {
    /// The bindings of each subscriber.
    imsis: BySubscriber,
    /// The number of each range of subscribers, by [`Imsi::key`].
    ranges: Ranges,
    /// The bindings of each range, by its number.
    of_ranges: Keyed4<32>,
    /// Unpacks the scopes of both.
    spans: Spans,
    /// Subscribers with many bindings, by their rank.
    crowds: FxHashMap<u64, Crowd>,
    /// Ranges with many.
    range_crowds: FxHashMap<u64, Crowd>,
}

/// What is found of a subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// One binding.
    One(Entry),
    /// More than are looked at one by one.
    Many(&'a Crowd),
}

impl BoundIndex {
    /// Calls `visitor` with the bindings of the subscriber, in no particular
    /// order.
    #[inline]
    pub(super) fn visit(&self, imsi: Imsi, mut visitor: impl FnMut(Found<'_>)) {
        self.visit_own(imsi, &mut visitor);
        self.visit_ranges(imsi, &mut visitor);
    }

    /// Whether nothing can be found.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.imsis.is_empty() & self.ranges.is_empty()
    }

    /// The same of the bindings that name the subscriber.
    #[inline]
    pub(super) fn visit_own(&self, imsi: Imsi, mut visitor: impl FnMut(Found<'_>)) {
        visit(&self.imsis, &self.crowds, imsi.rank(), &mut visitor);
    }

    /// Calls `visitor` with each binding that names the subscriber, however many
    /// they are.
    pub(super) fn visit_each(&self, imsi: Imsi, mut visitor: impl FnMut(Entry)) {
        self.imsis.visit(imsi.rank(), |entry| visitor(entry.into()));
    }

    /// Calls `visitor` with the bindings of ranges that hold the subscriber.
    #[inline]
    pub(super) fn visit_ranges(&self, imsi: Imsi, mut visitor: impl FnMut(Found<'_>)) {
        if !self.ranges.is_empty() {
            self.ranges.visit(imsi.key(), |range, _| {
                let number = range.into();
                visit(&self.of_ranges, &self.range_crowds, number, &mut visitor);
            });
        }
    }

    /// What unpacks the scopes of what is found.
    #[inline]
    pub(super) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Has the memory fetched that looking these subscribers up begins with: for
    /// up to a batch of them.
    #[inline]
    pub(super) fn prefetch(&self, imsis: impl Iterator<Item = Imsi> + Clone) {
        prefetch(&self.imsis, imsis);
    }

    /// Indexes what is much.
    fn index_crowds(&mut self, terms: &[Terms]) {
        self.crowds = crowds(&self.imsis, &self.spans, terms);
        self.range_crowds = crowds(&self.of_ranges, &self.spans, terms);
    }
}

/// Calls `visitor` with what is said of a key.
#[inline]
fn visit<const BITS: u32>(
    index: &Keyed4<BITS>,
    crowds: &FxHashMap<u64, Crowd>,
    key: u64,
    visitor: &mut impl FnMut(Found<'_>),
) {
    if !crowds.is_empty()
        && let Some(crowd) = crowds.get(&key)
    {
        visitor(Found::Many(crowd));
        return;
    }
    index.visit(key, |entry| visitor(Found::One(entry.into())));
}

/// The keys of which more is said than is looked at one by one.
fn crowds<const BITS: u32>(
    index: &Keyed4<BITS>,
    spans: &Spans,
    terms: &[Terms],
) -> FxHashMap<u64, Crowd> {
    let crowd = |key| {
        let mut entries = Vec::new();
        index.visit(key, |entry| entries.push(Entry::from(entry)));
        Crowd::new(entries.into_iter().filter_map(|entry| {
            Some(Member {
                entry,
                scope: spans.scope(entry.scope)?,
                terms: *terms.get(entry.terms as usize)?,
            })
        }))
    };
    let keys = index.crowded(CROWD as usize).into_iter();
    keys.map(|key| (key, crowd(key))).collect()
}

/// Has the memory fetched that looking these subscribers up begins with.
#[inline]
fn prefetch(index: &BySubscriber, imsis: impl Iterator<Item = Imsi> + Clone) {
    for imsi in imsis.clone() {
        index.prefetch_start(imsi.rank());
    }
    for imsi in imsis {
        index.prefetch_entries(imsi.rank());
    }
}

//----------- Exceptions ------------------------------------------------------

/// Which rules a subscriber is excepted from.
#[derive(Clone, Debug, Default)]
pub(super) struct Exceptions {
    /// The rules of each subscriber.
    index: BySubscriber,
    /// Unpacks their scopes.
    spans: Spans,
    /// The subscribers that have many, by their rank.
    crowds: FxHashMap<u64, Crowd>,
}

impl Exceptions {
    /// These exceptions from rules with these records.
    pub(super) fn new(pairs: &[(Imsi, RuleId)], records: &Records, terms: &[Terms]) -> Self {
        let entries = (pairs.iter())
            .filter_map(|(imsi, rule)| Some((imsi.rank(), records.entry(rule.number())?.into())));
        let mut this = Self {
            index: Keyed4::new(entries),
            // Where nobody is excepted there is nothing to unpack.
            spans: match pairs {
                [] => Spans::default(),
                _ => records.spans(),
            },
            ..Self::default()
        };
        this.crowds = crowds(&this.index, &this.spans, terms);
        this
    }

    /// Calls `visitor` with the rules that a subscriber is excepted from, in no
    /// particular order.
    pub(super) fn visit(&self, imsi: Imsi, mut visitor: impl FnMut(Entry)) {
        self.index.visit(imsi.rank(), |entry| visitor(entry.into()));
    }

    /// The same as an index, if they are many.
    pub(super) fn crowd(&self, imsi: Imsi) -> Option<&Crowd> {
        match self.crowds.is_empty() {
            true => None,
            false => self.crowds.get(&imsi.rank()),
        }
    }

    /// What unpacks the scopes of what is found.
    pub(super) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// The subscribers, each once, in no particular order.
    pub(super) fn subscribers(&self) -> impl Iterator<Item = Imsi> {
        let mut last = None;
        let ranks = self.index.iter().map(|(rank, _)| rank);
        let ranks = ranks.filter(move |&rank| last.replace(rank) != Some(rank));
        ranks.filter_map(Imsi::of_rank)
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Has the memory fetched that looking these subscribers up begins with.
    #[inline]
    pub(super) fn prefetch(&self, imsis: impl Iterator<Item = Imsi> + Clone) {
        prefetch(&self.index, imsis);
    }
}

//----------- Storing ---------------------------------------------------------

/// What there is to know of a [`BoundIndex`] besides its arrays.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct BoundHead {
    /// Of the bindings of subscribers.
    imsis: KeyedHead,
    /// Of those of ranges.
    of_ranges: KeyedHead,
}

/// The bindings of subscribers: where buckets begin, and entries.
const IMSIS: [&str; 2] = ["bindings.imsis.starts", "bindings.imsis"];
/// The sections of bindings of which there may be very many: those that are a
/// [`Gathered`], what is known of each first.
pub(crate) const SECTIONS: [&str; 4] = [stored::BINDINGS, stored::SUBSCRIBERS, IMSIS[0], IMSIS[1]];
/// The ranges of subscribers.
const RANGES: &str = "bindings.ranges";
/// The bindings of those.
const OF_RANGES: [&str; 2] = ["bindings.of_ranges.starts", "bindings.of_ranges"];
/// The ends of ranges of devices.
const SPANS: &str = "bindings.spans";
/// The exceptions.
const EXCEPTIONS: [&str; 2] = ["exceptions.starts", "exceptions"];
/// The ends of ranges of devices that somebody is excepted from.
const EXCEPTION_SPANS: &str = "exceptions.spans";

impl BoundIndex {
    /// What there is to know besides the arrays, which are added as sections.
    pub(super) fn store<'a>(&'a self, sections: &mut Vec<Section<'a>>) -> BoundHead {
        let head = BoundHead {
            imsis: self.imsis.store(IMSIS, sections),
            of_ranges: self.of_ranges.store(OF_RANGES, sections),
        };
        sections.extend([self.ranges.store(RANGES), self.spans.store(SPANS)]);
        head
    }

    /// The index of stored sections.
    pub(super) fn restore(
        head: BoundHead,
        terms: &[Terms],
        parts: &mut Parts,
    ) -> Result<Self, Flaw> {
        let mut index = Self {
            imsis: Keyed4::restore(IMSIS, head.imsis, parts)?,
            ranges: Ranges::restore(RANGES, parts)?,
            of_ranges: Keyed4::restore(OF_RANGES, head.of_ranges, parts)?,
            spans: Spans::restore(SPANS, parts)?,
            ..Self::default()
        };
        index.index_crowds(terms);
        Ok(index)
    }
}

impl Exceptions {
    /// What there is to know besides the arrays, which are added as sections.
    pub(super) fn store<'a>(&'a self, sections: &mut Vec<Section<'a>>) -> KeyedHead {
        let head = self.index.store(EXCEPTIONS, sections);
        sections.push(self.spans.store(EXCEPTION_SPANS));
        head
    }

    /// The exceptions of stored sections.
    pub(super) fn restore(
        head: KeyedHead,
        terms: &[Terms],
        parts: &mut Parts,
    ) -> Result<Self, Flaw> {
        let mut this = Self {
            index: Keyed4::restore(EXCEPTIONS, head, parts)?,
            spans: Spans::restore(EXCEPTION_SPANS, parts)?,
            ..Self::default()
        };
        this.crowds = crowds(&this.index, &this.spans, terms);
        Ok(this)
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::{Scope, Tac};

    #[test]
    fn each_subscriber_has_its_own() {
        let imsis = ["001010000000001", "001010000000002", "00101000000001"]
            .map(|digits| Imsi::parse(digits.as_bytes()).unwrap());
        let mut records = Records::default();
        for _ in 0..10 {
            records.push(Scope::Tac(Tac::MAX), 0, 0, 1).unwrap();
        }
        let pairs = [(0, 7), (1, 8), (0, 9), (0, 7)];
        let pairs = pairs.map(|(imsi, rule)| (imsis[imsi], RuleId::of_record(rule)));
        let exceptions = Exceptions::new(&pairs, &records, &[]);
        let rules = |imsi: usize| {
            let mut rules = Vec::new();
            exceptions.visit(imsis[imsi], |entry| rules.push(entry.number));
            rules.sort_unstable();
            rules
        };
        assert_eq!(rules(0), [7, 7, 9]);
        assert_eq!(rules(1), [8]);
        assert_eq!(rules(2), [0; 0]);
        assert!(!exceptions.is_empty());
        let mut subscribers: Vec<_> = exceptions.subscribers().collect();
        subscribers.sort_unstable_by_key(|imsi| imsi.to_string());
        assert_eq!(subscribers, imsis[..2]);
    }
}
