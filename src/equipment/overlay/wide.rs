//! Changes of ranges, TACs and prefixes: few, and looked up as any rule is.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{EditError, entry, exceptions};
use crate::equipment::change::Change;
use crate::equipment::{
    BuildError, Builder, Device, FileId, ListId, ListKind, RuleId, RuleSpec, RuleView, Scope,
    Snapshot,
};

/// Some changes, and a snapshot of what is said because of them.
///
/// An index of ranges keeps one of several that say the same where they overlap.
/// If that one is replaced, the others have to speak: they are indexed here once
/// more.
#[derive(Debug, Default)]
pub(super) struct Wide {
    /// The changes.
    changes: Vec<(ListId, Arc<Change>)>,
    /// What they are about.
    subjects: FxHashSet<(ListId, Scope)>,
    /// The rules of the snapshot below that they speak in place of, as its
    /// lookups find them.
    hidden: FxHashSet<RuleId>,
    /// What they set. Its lists have the numbers that they have in the snapshot
    /// below.
    pub(super) snapshot: Snapshot,
    /// Where each record of it is from.
    origins: Vec<Origin>,
    /// Whether more ranges share a device than a list may have.
    pub(super) is_crowded: bool,
}

/// Where a rule is from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// It is the change's at this place.
    Change(usize),
    /// It is a rule of the snapshot below.
    Base(RuleId),
}

impl Wide {
    /// Indexes changes of the lists of a snapshot. If there are ranges among
    /// them, this takes time in proportion to those of the snapshot. Those from
    /// the place `fresh` on are being made now, the others were made before.
    ///
    /// # Errors
    ///
    /// Where there are ranges among them, and what is known of those of the
    /// snapshot was left in a file that can no longer be read; and where one that
    /// is being made contradicts another range of its list.
    pub(super) fn new(
        base: &Snapshot,
        changes: Vec<(ListId, Arc<Change>)>,
        fresh: usize,
    ) -> Result<Self, EditError> {
        let subjects = changes.iter();
        let subjects = subjects.map(|(list, change)| (*list, change.subject.scope));
        let mut wide = Self {
            subjects: subjects.collect(),
            changes,
            ..Self::default()
        };
        let overlapping = wide.hide(base)?;
        wide.index(base, &overlapping, fresh)?;
        Ok(wide)
    }

    /// The changes.
    pub(super) fn changes(&self) -> &[(ListId, Arc<Change>)] {
        &self.changes
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Where a record of [`Self::snapshot`] is from.
    pub(super) fn origin(&self, record: u32) -> Option<Origin> {
        self.origins.get(record as usize).copied()
    }

    /// The change at a place.
    pub(super) fn change(&self, place: usize) -> Option<&(ListId, Arc<Change>)> {
        self.changes.get(place)
    }

    /// Whether one of them speaks in place of what a list says of a scope.
    pub(super) fn replaces(&self, list: ListId, scope: Scope) -> bool {
        self.subjects.contains(&(list, scope))
    }

    /// Whether one of them speaks in place of a rule of the snapshot below that
    /// is not for a single device.
    #[inline]
    pub(super) fn hides(&self, rule: RuleId) -> bool {
        self.hidden.contains(&rule)
    }

    /// Notes the rules of the snapshot below that speak of exactly the scopes of
    /// the changes, so that verdicts need not ask for scopes, which may have been
    /// left in a file. Returns the rules for ranges that share a device with one
    /// of the same list that is replaced, and are not replaced themselves.
    fn hide<'a>(&mut self, base: &'a Snapshot) -> Result<Vec<RuleView<'a>>, EditError> {
        let mut replaced: FxHashMap<ListId, Vec<(Device, Device)>> = FxHashMap::default();
        for &(list, scope) in &self.subjects {
            if let Scope::Range { from, to } = scope {
                replaced.entry(list).or_default().push((from, to));
            }
            base.visit_group(scope, |id, terms| {
                if terms.list == list {
                    self.hidden.insert(id);
                }
            });
        }
        let mut overlapping = Vec::new();
        if replaced.is_empty() {
            return Ok(overlapping);
        }
        replaced.values_mut().for_each(join);
        let were_read = base.each_range(|rule| {
            let Scope::Range { from, to } = rule.scope else {
                return;
            };
            let ranges = replaced.get(&rule.list.id).map_or(&[][..], Vec::as_slice);
            let first = ranges.partition_point(|&(_, end)| end < from);
            if self.subjects.contains(&(rule.list.id, rule.scope)) {
                self.hidden.insert(rule.id);
            } else if ranges.get(first).is_some_and(|&(start, _)| start <= to) {
                overlapping.push(rule);
            }
        });
        match were_read {
            true => Ok(overlapping),
            false => Err(EditError::Unreadable),
        }
    }

    /// Makes the snapshot.
    fn index(
        &mut self,
        base: &Snapshot,
        overlapping: &[RuleView<'_>],
        fresh: usize,
    ) -> Result<(), EditError> {
        let mut builder = Builder::new();
        for list in base.lists() {
            match list.kind {
                ListKind::Rules { status } => builder.list(list.name, status)?,
                ListKind::Bindings { mismatch, on_match } => {
                    builder.binding_list(list.name, mismatch, on_match)?
                }
            };
        }
        let file = builder.file("")?;
        // No rule here is for a single device, so that each is one record.
        let mut origins = Vec::new();
        for rule in overlapping {
            builder.rule(rule.list.id, spec_of(rule, file))?;
            origins.push(Origin::Base(rule.id));
        }
        for (place, (list, change)) in self.changes.iter().enumerate() {
            let Some(entry) = entry(change) else { continue };
            let rule = RuleSpec {
                scope: change.subject.scope,
                status: entry.status,
                validity: entry.validity,
                reason: None,
                exceptions: exceptions(change),
                file,
                line: 0,
            };
            if place >= fresh
                && let Some(other) = contradiction(&builder, *list, &rule)
            {
                return Err(other);
            }
            builder.rule(*list, rule)?;
            origins.push(Origin::Change(place));
        }
        self.origins = origins;
        let mut lists = self.changes.iter().map(|(list, _)| *list);
        self.is_crowded = lists.any(|list| builder.crowded_device(list).is_some());
        self.snapshot = builder.finish();
        Ok(())
    }
}

/// What of a list a change of a range contradicts, if anything: as in a file of
/// the list, two that overlap have one status, or are in effect at other times.
fn contradiction(builder: &Builder, list: ListId, rule: &RuleSpec<'_>) -> Option<EditError> {
    let of = (list, rule.scope, rule.validity, [rule.status]);
    let (list, scope, validity, statuses) = of;
    if !matches!(scope, Scope::Range { .. })
        || !builder.contradicts(list, scope, validity, &statuses)
    {
        return None;
    }
    let other = builder.contradiction(list, scope, validity, &statuses)?;
    Some(EditError::Contradicts {
        scope,
        status: rule.status,
        other: other.scope,
        is: other.status,
    })
}

impl From<BuildError> for EditError {
    fn from(_: BuildError) -> Self {
        Self::TooMany("there are too many ranges beside those changed")
    }
}

/// The same rule, without what it is not judged by.
fn spec_of(rule: &RuleView<'_>, file: FileId) -> RuleSpec<'static> {
    RuleSpec {
        scope: rule.scope,
        status: rule.status,
        validity: rule.validity,
        reason: None,
        exceptions: &[],
        file,
        line: 0,
    }
}

/// Sorts ranges, and makes one of those that overlap.
fn join(ranges: &mut Vec<(Device, Device)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|(from, to), (_, end)| {
        let overlaps = *from <= *end;
        if overlaps {
            *end = (*end).max(*to);
        }
        overlaps
    });
}
