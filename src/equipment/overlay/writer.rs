//! From one overlay to the next.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::wide::Wide;
use super::{
    CHANGES_MAX, EXCEPTIONS_MAX, Edit, EditError, OfDevice, OfSubscriber, Overlay, SAME_MAX,
    WIDE_MAX, entry, exceptions,
};
use crate::equipment::change::{Change, Subject};
use crate::equipment::{Device, Imsi, ListId, ListKind, RuleKind, Scope, Snapshot, Svn};

/// Why ranges are refused that share a device.
pub(super) const CROWDED: &str = "more than 1024 changed ranges share a device";

//----------- Writer ----------------------------------------------------------

/// The next overlay under way.
pub(super) struct Writer<'a> {
    /// What it will be.
    pub(super) overlay: Overlay,
    /// What it is above.
    base: &'a Snapshot,
    /// The wide changes, if they are others than before.
    wide: Option<Draft>,
    /// Whether there may be no more changes than [`CHANGES_MAX`], [`WIDE_MAX`] and
    /// [`SAME_MAX`]: what was in force once stays so.
    pub(super) is_bounded: bool,
    /// The list that was asked for last.
    last: Option<(Arc<str>, ListId, ListKind)>,
}

impl<'a> Writer<'a> {
    /// Begins with an overlay.
    pub(super) fn new(overlay: &Overlay, base: &'a Snapshot) -> Self {
        Self {
            overlay: overlay.clone(),
            base,
            wide: None,
            is_bounded: true,
            last: None,
        }
    }

    /// The number and kind of a list.
    pub(super) fn list(&mut self, name: &Arc<str>) -> Result<(ListId, ListKind), EditError> {
        if let Some((last, id, kind)) = &self.last
            && last == name
        {
            return Ok((*id, *kind));
        }
        let list = self.base.lists().find(|list| *list.name == **name);
        let list = list.ok_or_else(|| EditError::NoList(Arc::clone(name)))?;
        self.last = Some((Arc::clone(name), list.id, list.kind));
        Ok((list.id, list.kind))
    }

    /// Makes one edit.
    pub(super) fn make(&mut self, edit: &Edit) -> Result<(), EditError> {
        let (subject, change) = match edit {
            Edit::Change(change) => (&change.subject, Some(change)),
            Edit::Undo(subject) => (subject, None),
        };
        let (list, kind) = match (self.list(&subject.list), change) {
            // Of a list that is gone nothing is in effect.
            (Err(_), None) => return Ok(()),
            (list, _) => list?,
        };
        match subject.scope {
            Scope::Special(_) => return Err(EditError::Scope(subject.scope)),
            Scope::Range { from, to } if from > to => return Err(EditError::Scope(subject.scope)),
            _ => {}
        }
        if change.is_some() && self.is_bounded && self.overlay.len >= CHANGES_MAX {
            return Err(EditError::TooMany("there are at most 2,000,000 changes"));
        }
        let exceptions = change.map_or(&[][..], |change| exceptions(change));
        match (kind, subject.subscriber) {
            // Made when the list was of the other kind, it is not in effect.
            (ListKind::Rules { .. }, Some(_)) | (ListKind::Bindings { .. }, None)
                if change.is_none() =>
            {
                return Ok(());
            }
            (ListKind::Rules { .. }, Some(_)) => {
                return Err(EditError::NotBindings(Arc::clone(&subject.list)));
            }
            (ListKind::Bindings { .. }, None) => {
                return Err(EditError::NotRules(Arc::clone(&subject.list)));
            }
            (ListKind::Bindings { .. }, Some(_)) if !exceptions.is_empty() => {
                return Err(EditError::NotRules(Arc::clone(&subject.list)));
            }
            (ListKind::Bindings { .. }, Some(imsi)) => {
                return self.change_binding(list, imsi, subject, change);
            }
            (ListKind::Rules { .. }, None) => {}
        }
        if exceptions.len() > EXCEPTIONS_MAX {
            return Err(EditError::TooMany("a change excepts at most 1024 IMSIs"));
        }
        match subject.scope {
            Scope::Device(device) => self.change_device(list, device, None, change),
            Scope::DeviceSvn(device, svn) => self.change_device(list, device, Some(svn), change),
            _ => self.change_wide(list, subject, change),
        }
    }

    /// Changes what a list says of a device.
    fn change_device(
        &mut self,
        list: ListId,
        device: Device,
        svn: Option<Svn>,
        change: Option<&Arc<Change>>,
    ) -> Result<(), EditError> {
        let before = self.overlay.of_device(list, device, svn);
        let before = before.map(|(_, of)| Arc::clone(&of.change));
        if before.is_none()
            && change.is_some()
            && self.is_bounded
            && self.overlay.devices.find(device.number()).count() >= SAME_MAX
        {
            return Err(EditError::TooMany("a device has at most 1024 changes"));
        }
        // The exceptions go first, as they may not fit.
        let checked = match change {
            Some(change) if self.is_bounded => exceptions(change),
            _ => &[],
        };
        for &imsi in checked {
            let kept = self.overlay.subscribers.find(imsi.key());
            let mut others = kept.filter(|of| !is_same(before.as_ref(), &of.change));
            if others.nth(SAME_MAX - 1).is_some() {
                return Err(EditError::TooMany("an IMSI has at most 1024 changes"));
            }
        }
        if let Some(before) = &before {
            for imsi in exceptions(before) {
                let is_it = |of: &OfSubscriber| Arc::ptr_eq(&of.change, before);
                (self.overlay.subscribers).replace(imsi.key(), None, is_it);
            }
        }
        let of = change.map(|change| OfDevice::of(change, list, svn));
        if let Some(change) = change {
            for imsi in exceptions(change) {
                let of = OfSubscriber {
                    change: Arc::clone(change),
                    list,
                    is_exception: true,
                };
                // Named twice, a subscriber is excepted once.
                let is_it = |own: &OfSubscriber| Arc::ptr_eq(&own.change, change);
                (self.overlay.subscribers).replace(imsi.key(), Some(of), is_it);
            }
        }
        let kind = match svn {
            Some(_) => RuleKind::DeviceSvn,
            None => RuleKind::Device,
        };
        self.count(Some(kind), before.as_ref(), change);
        (self.overlay.devices).replace(device.number(), of, |own| {
            own.list == list && own.svn == svn
        });
        Ok(())
    }

    /// Changes what a list says of a subscriber in some devices.
    fn change_binding(
        &mut self,
        list: ListId,
        imsi: Imsi,
        subject: &Subject,
        change: Option<&Arc<Change>>,
    ) -> Result<(), EditError> {
        let is_it = |of: &OfSubscriber| {
            !of.is_exception && of.list == list && of.change.subject.scope == subject.scope
        };
        let before = (self.overlay.subscribers.find(imsi.key()))
            .find(|of| is_it(of))
            .map(|of| Arc::clone(&of.change));
        if before.is_none()
            && change.is_some()
            && self.is_bounded
            && self.overlay.subscribers.find(imsi.key()).count() >= SAME_MAX
        {
            return Err(EditError::TooMany("an IMSI has at most 1024 changes"));
        }
        let of = change.map(|change| OfSubscriber {
            change: Arc::clone(change),
            list,
            is_exception: false,
        });
        self.count(None, before.as_ref(), change);
        (self.overlay.subscribers).replace(imsi.key(), of, is_it);
        Ok(())
    }

    /// Changes what a list says of a range, TAC or prefix.
    fn change_wide(
        &mut self,
        list: ListId,
        subject: &Subject,
        change: Option<&Arc<Change>>,
    ) -> Result<(), EditError> {
        let wide = &self.overlay.wide;
        let draft = (self.wide).get_or_insert_with(|| Draft::of(wide.changes()));
        let of = (list, subject.scope);
        let is_more = change.is_some() && !draft.places.contains_key(&of);
        if is_more && self.is_bounded && draft.places.len() >= WIDE_MAX {
            return Err(EditError::TooMany(
                "at most 10,000 ranges, TACs and prefixes are changed",
            ));
        }
        let before = draft.replace(of, change);
        self.count(Some(subject.scope.kind()), before.as_ref(), change);
        Ok(())
    }

    /// Counts a rule of this kind, or a binding, that comes in place of another.
    pub(super) fn count(
        &mut self,
        kind: Option<RuleKind>,
        before: Option<&Arc<Change>>,
        after: Option<&Arc<Change>>,
    ) {
        let counts = &mut self.overlay.counts;
        for (change, is_more) in [(before, false), (after, true)] {
            let Some(change) = change else { continue };
            let step = |count: &mut usize, by: usize| {
                *count = match is_more {
                    true => count.saturating_add(by),
                    false => count.saturating_sub(by),
                }
            };
            step(&mut self.overlay.len, 1);
            if entry(change).is_some() {
                step(
                    match kind {
                        Some(kind) => counts.of_mut(kind),
                        None => &mut counts.bindings,
                    },
                    1,
                );
                step(&mut counts.exceptions, exceptions(change).len());
            }
        }
    }

    /// The next overlay, and whether it has too many ranges that share a
    /// device. New ranges must agree with others of their list, or need not.
    pub(super) fn finish(mut self, must_agree: bool) -> Result<(Overlay, bool), EditError> {
        let mut is_crowded = false;
        if let Some(Draft { changes, fresh, .. }) = self.wide {
            let older = changes.iter().take(fresh).flatten().count();
            let fresh = if must_agree { older } else { usize::MAX };
            let wide = Wide::new(self.base, changes.into_iter().flatten().collect(), fresh)?;
            is_crowded = wide.is_crowded;
            self.overlay.wide = Arc::new(wide);
        }
        Ok((self.overlay, is_crowded))
    }

    /// The next overlay, without the ranges if they cannot be looked up: then
    /// they are added to those that do not fit.
    pub(super) fn finish_with_those_that_fit(
        mut self,
        misfits: &mut Vec<(Arc<Change>, EditError)>,
    ) -> Overlay {
        let wide = self.wide.take().unwrap_or_default().changes;
        let (ranges, others): (Vec<_>, Vec<_>) = (wide.into_iter().flatten())
            .partition(|(_, change)| matches!(change.subject.scope, Scope::Range { .. }));
        let all = ranges.iter().chain(&others).cloned().collect();
        // What was in force stays so, whatever a list says by now.
        match Wide::new(self.base, all, usize::MAX) {
            Ok(wide) => self.overlay.wide = Arc::new(wide),
            Err(error) => {
                for (_, change) in ranges {
                    self.count(Some(RuleKind::Range), Some(&change), None);
                    misfits.push((change, error.clone()));
                }
                self.overlay.wide =
                    Arc::new(Wide::new(self.base, others, usize::MAX).unwrap_or_default());
            }
        }
        self.overlay
    }
}

/// Whether both are one change.
fn is_same(before: Option<&Arc<Change>>, change: &Arc<Change>) -> bool {
    before.is_some_and(|before| Arc::ptr_eq(before, change))
}

//----------- Draft -----------------------------------------------------------

/// Changes of ranges, TACs and prefixes, in the order in which they were made.
#[derive(Debug, Default)]
struct Draft {
    /// Them, with gaps where one was given up or made again.
    changes: Vec<Option<(ListId, Arc<Change>)>>,
    /// Their places.
    places: FxHashMap<(ListId, Scope), usize>,
    /// How many places there were at first: what is behind them is new.
    fresh: usize,
}

impl Draft {
    /// One that begins with these.
    fn of(changes: &[(ListId, Arc<Change>)]) -> Self {
        let places = changes.iter().enumerate();
        Self {
            changes: changes.iter().cloned().map(Some).collect(),
            places: places
                .map(|(place, (list, change))| ((*list, change.subject.scope), place))
                .collect(),
            fresh: changes.len(),
        }
    }

    /// Takes out what is about a subject, and puts this last, so that they are
    /// in the order in which a journal has them. Returns what was taken out.
    fn replace(
        &mut self,
        of: (ListId, Scope),
        change: Option<&Arc<Change>>,
    ) -> Option<Arc<Change>> {
        let place = match change {
            Some(change) => {
                self.changes.push(Some((of.0, Arc::clone(change))));
                self.places.insert(of, self.changes.len() - 1)
            }
            None => self.places.remove(&of),
        };
        let before = self.changes.get_mut(place?)?.take();
        before.map(|(_, change)| change)
    }
}
