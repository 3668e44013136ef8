//! What a rule is asked before it is added to a list: whether another rule of
//! the list says otherwise of the same devices, and whether there are too many
//! about them.
//!
//! Rules of single devices are asked in the end, when they are sorted
//! ([`resolve`](crate::equipment::bulk)): they are too many to be found one by
//! one.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Builder, MAX_TERMS};
use crate::equipment::ranges::deepest;
use crate::equipment::record::{NONE, Record};
use crate::equipment::union::Union;
use crate::equipment::{Device, Imsi, ListId, Scope, Status, Terms, Validity};

/// How many rules about one device are looked at one by one for another that
/// says the same; where there are more, a table knows them. More than one
/// device has in practice, so that the table is small.
const REPEATS_SOUGHT: usize = 32;

//----------- Contradiction ---------------------------------------------------

/// A rule that says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction<'a> {
    /// Which devices it is about.
    pub scope: Scope,
    /// What it says.
    pub status: Status,
    /// The file it stands in.
    pub file: &'a str,
    /// The line of the file.
    pub line: u32,
}

impl Builder {
    /// Whether there are as many rules about exactly these devices as there may
    /// be, [`MAX_TERMS`], and one of these would be another. Of single devices it
    /// is not known before the end.
    #[must_use]
    pub fn is_crowded(
        &self,
        list: ListId,
        scope: Scope,
        validity: Validity,
        statuses: &[Status],
    ) -> bool {
        let known = self.crowded.get(&scope);
        let Some(known) = known.filter(|known| known.len() >= MAX_TERMS) else {
            return false;
        };
        statuses.iter().any(|&status| {
            let terms = self.terms.numbers.get(&Terms {
                list,
                status,
                validity,
            });
            terms.is_none_or(|terms| !known.contains(terms))
        })
    }

    /// Whether a rule of the same list about exactly the same devices, or of a
    /// range about a device of this range, has a status that is none of
    /// `statuses` at a time that they share. Of single devices it is not known
    /// before the end.
    #[must_use]
    pub fn contradicts(
        &self,
        list: ListId,
        scope: Scope,
        validity: Validity,
        statuses: &[Status],
    ) -> bool {
        let Scope::Range { from, to } = scope else {
            return self
                .contradiction(list, scope, validity, statuses)
                .is_some();
        };
        let mut others = (Status::ALL.iter()).filter(|status| !statuses.contains(status));
        others.any(|&status| {
            (self.covered.get(&(list, status))).is_some_and(|covered| {
                covered.overlaps(from, to, |terms| {
                    let terms = self.terms.values.get(terms as usize);
                    terms.is_some_and(|terms| terms.validity.overlaps(validity))
                })
            })
        })
    }

    /// That rule. Of a range it is looked for in the whole list, so that
    /// [`contradicts`](Self::contradicts) is to be asked first.
    #[must_use]
    pub fn contradiction(
        &self,
        list: ListId,
        scope: Scope,
        validity: Validity,
        statuses: &[Status],
    ) -> Option<Contradiction<'_>> {
        let contradiction = |record: &Record| {
            let terms = self.terms.values.get(record.terms as usize)?;
            let differs = terms.list == list
                && !statuses.contains(&terms.status)
                && terms.validity.overlaps(validity);
            let source = self.sources.values.get(record.source as usize)?;
            differs.then_some(Contradiction {
                scope: self.rules.scope(record)?,
                status: terms.status,
                file: self.files.get(source.file.0 as usize)?,
                line: record.line,
            })
        };
        if let Scope::Range { from, to } = scope {
            let before = self.ranges_before.get(list.place()).copied();
            let ranges = self.index.ranges(before.unwrap_or(0), &self.rules);
            let mut overlapping =
                ranges.filter(|&(start, end, _)| start <= to.number() && from.number() <= end);
            return overlapping.find_map(|(_, _, number)| contradiction(self.rules.find(number)?));
        }
        let head = self.index.find(scope).unwrap_or(NONE);
        let mut chain = self.rules.chain(head);
        chain.find_map(|(_, record)| contradiction(record))
    }

    /// The most ranges of a list with different statuses or dates that share a
    /// device, and that device; `None` if they are no more than [`MAX_TERMS`].
    #[must_use]
    pub fn crowded_device(&self, list: ListId) -> Option<(usize, Device)> {
        let covered = |status: &Status| self.covered.get(&(list, *status));
        let covered = Status::ALL.iter().filter_map(covered);
        // Of so few different ones no more can share a device.
        if covered.map(|covered| covered.by_terms.len()).sum::<usize>() < COVERED_TERMS {
            return None;
        }
        let before = self.ranges_before.get(list.place()).copied();
        let ranges = self.index.ranges(before.unwrap_or(0), &self.rules);
        let of_list = ranges.filter_map(|(from, to, number)| {
            let number = self.rules.find(number)?.terms;
            let terms = self.terms.values.get(number as usize)?;
            (terms.list == list).then_some((from, to, number))
        });
        let (depth, device) = deepest(of_list);
        let device = Device::from_number(device)?;
        (depth > MAX_TERMS).then_some((depth, device))
    }

    /// The most ranges of subscribers that share one, and that subscriber;
    /// `None` if they are no more than [`MAX_TERMS`].
    #[must_use]
    pub fn crowded_subscriber(&self) -> Option<(usize, Imsi)> {
        (self.bound.deepest()).filter(|(depth, _)| *depth > MAX_TERMS)
    }

    /// Whether a rule about the same devices has the same terms already; from
    /// now on there is one.
    pub(super) fn repeats(&mut self, scope: Scope, terms: u32) -> bool {
        if let Some(known) = self.crowded.get_mut(&scope) {
            return !known.insert(terms);
        }
        // The chain is short: a long one has a table.
        let head = self.index.find(scope).unwrap_or(NONE);
        let chain = || self.rules.chain(head);
        if chain().any(|(_, record)| record.terms == terms) {
            return true;
        }
        if chain().count() >= REPEATS_SOUGHT {
            let mut known: FxHashSet<u32> = chain().map(|(_, record)| record.terms).collect();
            known.insert(terms);
            self.crowded.insert(scope, known);
        }
        false
    }
}

//----------- Covered ---------------------------------------------------------

/// How many different terms of the ranges of one list and status are compared:
/// more dates than a list has in practice. A range that contradicts none of the
/// first so many is taken, so that a list with a date of its own on each of a
/// hundred thousand lines is loaded in no more time than others.
const COVERED_TERMS: usize = MAX_TERMS;

/// Which devices are in any range of one list with one status.
#[derive(Debug, Default)]
pub(super) struct Covered {
    /// At any time, if that is not the same as on the only terms that there are.
    ever: Option<Union>,
    /// By the terms, which hold the dates.
    by_terms: FxHashMap<u32, Union>,
}

impl Covered {
    /// Adds a range.
    pub(super) fn insert(&mut self, from: Device, to: Device, terms: u32) {
        let (from, to) = (from.number(), to.number());
        if self.ever.is_none() && !self.by_terms.is_empty() && !self.by_terms.contains_key(&terms) {
            self.ever = self.by_terms.values().next().cloned();
        }
        if let Some(ever) = &mut self.ever {
            ever.insert(from, to);
        }
        if self.by_terms.len() < COVERED_TERMS || self.by_terms.contains_key(&terms) {
            self.by_terms.entry(terms).or_default().insert(from, to);
        }
    }

    /// Whether any device of a range is in a range with such terms.
    fn overlaps(&self, from: Device, to: Device, counts: impl Fn(u32) -> bool) -> bool {
        let (from, to) = (from.number(), to.number());
        (self.ever.as_ref()).is_none_or(|ever| ever.overlaps(from, to))
            && (self.by_terms.iter())
                .any(|(&terms, union)| union.overlaps(from, to) && counts(terms))
    }
}
