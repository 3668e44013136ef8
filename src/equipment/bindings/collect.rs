//! Bindings while there may be more of them: in batches that may be kept
//! elsewhere until the end.

use rustc_hash::FxHashMap;

use super::{BoundIndex, BySubscriber, SUBSCRIBERS};
use crate::equipment::keyed::{Keyed4, Layout, Loose, Loose4};
use crate::equipment::ranges::{RangesBuilder, deepest};
use crate::equipment::record::{ENTRY, Entry, Packer, RECORDS_MAX};
use crate::equipment::snapshot::Bindings;
use crate::equipment::stored::{Array, Column, StoredRule, StoredSubscribers};
use crate::equipment::{Imsi, Octets, Scope, Subscribers, Terms};

/// How many bindings make a batch: a few megabytes.
const BATCH: usize = 1 << 15;

/// How the index of the bindings of subscribers is laid out.
pub(crate) type BoundLayout = Layout<SUBSCRIBERS, 6>;

/// Words of a binding as it is stored.
pub(crate) const RULE: usize = size_of::<StoredRule>() / size_of::<u32>();

/// Words of whom it binds.
pub(crate) const BOUND: usize = size_of::<StoredSubscribers>() / size_of::<u32>();

//----------- Batch -----------------------------------------------------------

/// Bindings that were added one after the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Them, but for who is bound.
    rules: Vec<StoredRule>,
    /// Who is.
    subscribers: Vec<StoredSubscribers>,
    /// Those of single subscribers, for the index.
    pub(crate) entries: Vec<Loose4>,
}

impl Batch {
    /// What is known of each, as it is stored.
    pub(crate) fn rules(&self) -> &[[u32; RULE]] {
        bytemuck::cast_slice(&self.rules)
    }

    /// Who is bound, likewise.
    pub(crate) fn subscribers(&self) -> &[[u32; BOUND]] {
        bytemuck::cast_slice(&self.subscribers)
    }
}

//----------- Gathered --------------------------------------------------------

/// All bindings, as far as they stand in batches.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// See [`Bindings`].
    records: Column<StoredRule>,
    /// See [`Bindings`].
    subscribers: Column<StoredSubscribers>,
    /// See [`BoundIndex`].
    imsis: BySubscriber,
}

impl Gathered {
    /// Those of some batches, in their order. Their memory is given back as soon as
    /// it can be: it is all that there is of a large register.
    fn of(mut batches: Vec<Batch>) -> Self {
        let count = batches.iter().map(|batch| batch.rules.len()).sum();
        let entries = batches.iter().map(|batch| batch.entries.len()).sum();
        let mut all = Vec::with_capacity(entries);
        for batch in &mut batches {
            all.append(&mut core::mem::take(&mut batch.entries));
        }
        let imsis = Keyed4::arranged(all);
        let (rules, subscribers): (Vec<_>, Vec<_>) = (batches.into_iter())
            .map(|batch| (batch.rules, batch.subscribers))
            .unzip();
        Self {
            records: Column::collect(count, rules.into_iter().flatten()),
            subscribers: Column::collect(count, subscribers.into_iter().flatten()),
            imsis,
        }
    }

    /// Those of which this is known and who are bound, and this index of entries
    /// that was laid out: where buckets begin, and the entries. All of it is empty if
    /// it is kept elsewhere. `None` if these are no such arrays.
    pub(crate) fn laid_out(
        layout: &BoundLayout,
        [rules, subscribers]: [Octets; 2],
        [starts, words]: [Octets; 2],
    ) -> Option<Self> {
        let [starts, words] = [Array::of(starts).ok()?, Array::of(words).ok()?];
        Some(Self {
            records: Column::here(rules)?,
            subscribers: Column::here(subscribers)?,
            imsis: Keyed4::laid_out(layout, starts, words),
        })
    }
}

//----------- BoundBuilder ----------------------------------------------------

/// Collects bindings.
#[derive(Debug, Default)]
pub(in crate::equipment) struct BoundBuilder {
    /// How many there are.
    count: u32,
    /// Packs their scopes.
    packer: Packer,
    /// The batch that is not full.
    open: Batch,
    /// The others, unless they were taken.
    batches: Vec<Batch>,
    /// The number of each range of subscribers.
    ranges: FxHashMap<(Imsi, Imsi), u32>,
    /// The bindings of ranges, by their numbers.
    of_ranges: Vec<(u32, Entry)>,
}

impl BoundBuilder {
    /// Adds a binding of these terms and source, on a line; `None` if the numbers
    /// are used up.
    #[inline]
    pub(in crate::equipment) fn push(
        &mut self,
        subscribers: Subscribers,
        scope: Scope,
        (terms, source, line): (u32, u32, u32),
    ) -> Option<()> {
        let number = self.count;
        if number >= RECORDS_MAX {
            return None;
        }
        self.count += 1;
        let entry = Entry {
            number,
            terms,
            scope: self.packer.pack(scope),
        };
        let open = &mut self.open;
        open.rules
            .push(StoredRule::new(scope, (terms, source, line)));
        open.subscribers.push(StoredSubscribers::new(subscribers));
        if let Subscribers::One(imsi) = subscribers {
            let loose = Loose::new::<SUBSCRIBERS>(imsi.rank(), &<[u32; ENTRY]>::from(entry));
            open.entries.push(loose);
        } else if let Some(range) = searched(subscribers) {
            // There are no more ranges than bindings.
            let next = self.ranges.len() as u32;
            let range = *self.ranges.entry(range).or_insert(next);
            self.of_ranges.push((range, entry));
        }
        if open.rules.len() >= BATCH {
            self.batches.push(core::mem::take(open));
        }
        Some(())
    }

    /// How many there are.
    pub(in crate::equipment) fn len(&self) -> usize {
        self.count as usize
    }

    /// Takes the batches, which may be kept elsewhere until the end.
    pub(in crate::equipment) fn take_batches(&mut self, all: bool) -> Vec<Batch> {
        if all && !self.open.rules.is_empty() {
            self.batches.push(core::mem::take(&mut self.open));
        }
        core::mem::take(&mut self.batches)
    }

    /// The most ranges that hold one subscriber, and that subscriber; none if
    /// there are no ranges.
    pub(in crate::equipment) fn deepest(&self) -> Option<(usize, Imsi)> {
        let ranges = self.ranges.iter();
        let (depth, key) =
            deepest(ranges.map(|(&(from, to), &range)| (from.key(), to.key(), range)));
        Some((depth, Imsi::from_stored(key)?))
    }

    /// All bindings; with what was made of their batches if these were taken.
    pub(in crate::equipment) fn finish(
        mut self,
        terms: &[Terms],
        gathered: Option<Gathered>,
    ) -> Bindings {
        let gathered = gathered.unwrap_or_else(|| Gathered::of(self.take_batches(true)));
        let of_ranges = self.of_ranges.into_iter();
        let of_ranges = of_ranges.map(|(range, entry)| (range.into(), entry.into()));
        let mut ranges = RangesBuilder::default();
        for (&(from, to), &range) in &self.ranges {
            // None of them says what another says.
            ranges.push(from.key(), to.key(), range, range);
        }
        let mut index = BoundIndex {
            imsis: gathered.imsis,
            ranges: ranges.finish(),
            of_ranges: Keyed4::new(of_ranges),
            spans: self.packer.spans(),
            ..BoundIndex::default()
        };
        index.index_crowds(terms);
        Bindings {
            records: gathered.records,
            subscribers: gathered.subscribers,
            index,
        }
    }
}

/// A range that a subscriber may be found in. Between keys of different lengths
/// lie others' keys.
fn searched(subscribers: Subscribers) -> Option<(Imsi, Imsi)> {
    match subscribers {
        Subscribers::Range { from, to } if from.digits() == to.digits() => Some((from, to)),
        _ => None,
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::Tac;
    use crate::equipment::bindings::Found;

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
        let mut builder = BoundBuilder::default();
        for subscribers in added {
            builder
                .push(subscribers, Scope::Tac(Tac::MAX), (0, 0, 1))
                .unwrap();
        }
        let Bindings {
            subscribers: bound,
            index,
            ..
        } = builder.finish(&[], None);
        for (record, subscribers) in added.into_iter().enumerate() {
            assert_eq!(bound.find(record).unwrap().restore(), Ok(subscribers));
        }
        assert!(bound.find(added.len()).is_none());
        for (digits, expected) in [
            ("001010000000001", &[0, 1, 2, 3][..]),
            ("001010000000009", &[1]),
            ("001010000000010", &[]),
            ("00101000000005", &[6]),
            ("0010100", &[]),
        ] {
            let mut found = Vec::new();
            index.visit(imsi(digits), |own| match own {
                Found::One(entry) => found.push(entry.number),
                Found::Many(_) => panic!("there are few"),
            });
            found.sort_unstable();
            assert_eq!(found, expected, "{digits}");
            for (record, subscribers) in (0..).zip(added) {
                let held = subscribers.contains(imsi(digits));
                assert_eq!(held, expected.contains(&record), "{subscribers}: {digits}");
            }
        }
    }
}
