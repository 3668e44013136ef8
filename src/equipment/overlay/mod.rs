//! Changes above a snapshot, in force together with it.
//!
//! ```text
//!              ┌ devices      ─▶ tree ─▶ what changes say of the device
//! Overlay ─────┼ subscribers  ─▶ tree ─▶ their bindings, and exceptions of devices
//!              └ wide         ─▶ ranges, TACs and prefixes: a small snapshot
//! ```
//!
//! An overlay never changes: [`Overlay::with`] makes another, which shares what
//! is the same ([`tree`]), so that one change costs microseconds whatever the
//! snapshot and the overlay hold. Many changes that are made at once are seen at
//! once. What the snapshot says of the subject of a change is passed over, and
//! what the change says comes in its place ([`Layered`]).

mod layered;
mod tree;
mod wide;

use std::sync::Arc;

use thiserror::Error;

pub(crate) use self::layered::{Layered, Lookup};
use self::tree::Tree;
use self::wide::Wide;
use super::change::{Action, Change, Subject};
use super::{
    Counts, Device, Imsi, ListId, ListKind, RuleKind, Scope, Snapshot, Status, Svn, Validity,
};

/// Changes about one device, or one subscriber, that there may be: a lookup
/// looks at all of them.
pub const SAME_MAX: usize = 1024;

/// Changes of ranges, TACs and prefixes that there may be: each further one
/// has all of them indexed anew, which takes milliseconds for so many. A list
/// that changes more is better loaded.
pub const WIDE_MAX: usize = 10_000;

/// All changes that there may be: some 300 octets of memory each. Whoever has
/// more has a list.
pub const CHANGES_MAX: usize = 2_000_000;

/// Subscribers that one change may except: as many as a line of a list may
/// sensibly name.
pub const EXCEPTIONS_MAX: usize = 1024;

//----------- Overlay ---------------------------------------------------------

/// What is said of single devices and subscribers in place of a snapshot.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// Changes about single devices, by device.
    devices: Tree<OfDevice>,
    /// Changes about subscribers, by subscriber.
    subscribers: Tree<OfSubscriber>,
    /// All others.
    wide: Arc<Wide>,
    /// How many rules, bindings and exceptions the changes add.
    counts: Counts,
    /// How many changes there are.
    len: usize,
}

/// What a change says of a device.
#[derive(Clone, Debug)]
struct OfDevice {
    /// What the change says, with all that is seldom asked for.
    change: Arc<Change>,
    /// The list.
    list: ListId,
    /// The software version, of changes about one.
    svn: Option<Svn>,
    /// The status; `None`: the list says nothing any more.
    status: Option<Status>,
    /// Whether the change says when.
    is_dated: bool,
}

/// What a change says of a subscriber.
#[derive(Clone, Debug)]
struct OfSubscriber {
    /// The change.
    change: Arc<Change>,
    /// The list.
    list: ListId,
    /// Whether it is an exception, and no binding.
    is_exception: bool,
}

/// One step from an overlay to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A change is made; one about the same is given up for it.
    Change(Arc<Change>),
    /// The change about this is given up: the list speaks again.
    Undo(Subject),
}

impl Edit {
    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        match self {
            Self::Change(change) => &change.subject,
            Self::Undo(subject) => subject,
        }
    }
}

impl Overlay {
    /// Has the memory fetched that looking up these devices begins with.
    #[inline]
    pub(crate) fn prefetch(&self, devices: impl Iterator<Item = Device>) {
        for device in devices {
            self.devices.prefetch(device.number());
        }
    }

    /// Likewise for these subscribers.
    #[inline]
    pub(crate) fn prefetch_subscribers(&self, imsis: impl Iterator<Item = Imsi>) {
        for imsi in imsis {
            self.subscribers.prefetch(imsi.key());
        }
    }

    /// An overlay without changes. The secret is to be a random number: it keeps
    /// anybody from choosing devices that are slow to look up.
    #[must_use]
    pub fn new(secret: [u64; 2]) -> Self {
        Self {
            devices: Tree::new(secret),
            subscribers: Tree::new(secret),
            wide: Arc::default(),
            counts: Counts::default(),
            len: 0,
        }
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The overlay with these edits made, in their order, above a snapshot.
    ///
    /// # Errors
    ///
    /// The first edit that cannot be made, by its place: none is made then. To
    /// undo what was never changed is no error.
    pub fn with(&self, base: &Snapshot, edits: &[Edit]) -> Result<Self, (usize, EditError)> {
        let mut next = Writer::new(self, base);
        for (place, edit) in edits.iter().enumerate() {
            next.make(edit).map_err(|error| (place, error))?;
        }
        let last = edits.len().saturating_sub(1);
        match next.finish() {
            Ok((_, true)) => Err((last, EditError::TooMany(CROWDED))),
            Ok((next, false)) => Ok(next),
            Err(error) => Err((last, error)),
        }
    }

    /// The overlay with all these changes that fit the snapshot, and those that
    /// do not: their list is gone, or of another kind now.
    #[must_use]
    pub fn with_those_that_fit(
        &self,
        base: &Snapshot,
        changes: impl Iterator<Item = Arc<Change>>,
    ) -> (Self, Vec<(Arc<Change>, EditError)>) {
        let mut next = Writer::new(self, base);
        let mut changes: Vec<_> = changes.collect();
        // Neighbours in the tree one after the other, so that a million of them
        // do not each wait for memory; all others stay in their order.
        changes.sort_by_cached_key(|change| match change.subject.scope {
            Scope::Device(device) if exceptions(change).is_empty() => {
                self.devices.order(device.number())
            }
            _ => u64::MAX,
        });
        let misfits = changes.into_iter().filter_map(|change| {
            let made = next.make(&Edit::Change(Arc::clone(&change)));
            made.err().map(|error| (change, error))
        });
        let mut misfits: Vec<_> = misfits.collect();
        // They were not crowded when they were made.
        let next = next.finish_with_those_that_fit(&mut misfits);
        (next, misfits)
    }

    /// What a list says of a device by a change, the one to exactly this
    /// subject.
    fn of_device(
        &self,
        list: ListId,
        device: Device,
        svn: Option<Svn>,
    ) -> Option<(u32, &OfDevice)> {
        let own = (0..).zip(self.devices.find(device.number()));
        let mut own = own.filter(|(_, of)| of.list == list && of.svn == svn);
        own.next()
    }

    /// Whether a change speaks in place of what a list says of a scope.
    fn replaces(&self, list: ListId, scope: Scope) -> bool {
        match scope {
            Scope::Device(device) => self.of_device(list, device, None).is_some(),
            Scope::DeviceSvn(device, svn) => self.of_device(list, device, Some(svn)).is_some(),
            _ => self.wide.replaces(list, scope),
        }
    }
}

/// Why an edit cannot be made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EditError {
    /// The snapshot has no such list.
    #[error("no list or binding is called `{0}`")]
    NoList(Arc<str>),
    /// A change to rules that names a subscriber, as bindings do.
    #[error("`{0}` is a list of rules: whom it is about is told by exceptions, not by an IMSI")]
    NotBindings(Arc<str>),
    /// A change to bindings that names no subscriber, or exceptions.
    #[error("`{0}` is a list of bindings: an IMSI must be named, and no exceptions")]
    NotRules(Arc<str>),
    /// The scope is a peculiarity, or a range that holds nothing.
    #[error(
        "{0} cannot be changed: name a device, a range from lower to higher, a TAC or a prefix"
    )]
    Scope(Scope),
    /// What the change replaces was left in the file of the snapshot.
    #[error(
        "what it replaces cannot be looked up: the file of the snapshot in force was written to \
         or removed; put the file back or another in its place, reload (SIGHUP), and try again"
    )]
    Unreadable,
    /// There are too many.
    #[error("{0}; put them into a file of the list, and undo them")]
    TooMany(&'static str),
}

impl EditError {
    /// Whether there would be nothing wrong with the edit if the list were
    /// another: that it is not in effect is to be told, not to be refused.
    #[must_use]
    pub fn is_of_list(&self) -> bool {
        matches!(
            self,
            Self::NoList(_) | Self::NotBindings(_) | Self::NotRules(_)
        )
    }
}

//----------- Writer ----------------------------------------------------------

/// The next overlay under way.
struct Writer<'a> {
    /// What it will be.
    overlay: Overlay,
    /// What it is above.
    base: &'a Snapshot,
    /// The wide changes, if they are others than before.
    wide: Option<Vec<(ListId, Arc<Change>)>>,
    /// The list that was asked for last.
    last: Option<(Arc<str>, ListId, ListKind)>,
}

impl<'a> Writer<'a> {
    /// Begins with an overlay.
    fn new(overlay: &Overlay, base: &'a Snapshot) -> Self {
        Self {
            overlay: overlay.clone(),
            base,
            wide: None,
            last: None,
        }
    }

    /// The number and kind of a list.
    fn list(&mut self, name: &Arc<str>) -> Result<(ListId, ListKind), EditError> {
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
    fn make(&mut self, edit: &Edit) -> Result<(), EditError> {
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
        if change.is_some() && self.overlay.len >= CHANGES_MAX {
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
            && self.overlay.devices.find(device.number()).count() >= SAME_MAX
        {
            return Err(EditError::TooMany("a device has at most 1024 changes"));
        }
        // The exceptions go first, as they may not fit.
        for &imsi in change.map_or(&[][..], |change| exceptions(change)) {
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
        let of = change.map(|change| OfDevice {
            change: Arc::clone(change),
            list,
            svn,
            status: entry(change).map(|entry| entry.status),
            is_dated: entry(change).is_some_and(|entry| entry.validity != Validity::ALWAYS),
        });
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
        let all = self.wide.get_or_insert_with(|| wide.changes().to_vec());
        let is_it = |(own, change): &(ListId, Arc<Change>)| {
            *own == list && change.subject.scope == subject.scope
        };
        let place = all.iter().position(is_it);
        let before = place.and_then(|place| all.get(place));
        let before = before.map(|(_, change)| Arc::clone(change));
        if before.is_none() && change.is_some() && all.len() >= WIDE_MAX {
            return Err(EditError::TooMany(
                "at most 10,000 ranges, TACs and prefixes are changed",
            ));
        }
        replace(all, change.map(|change| (list, Arc::clone(change))), is_it);
        self.count(Some(subject.scope.kind()), before.as_ref(), change);
        Ok(())
    }

    /// Counts a rule of this kind, or a binding, that comes in place of another.
    fn count(
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
    /// device.
    fn finish(mut self) -> Result<(Overlay, bool), EditError> {
        let mut is_crowded = false;
        if let Some(wide) = self.wide {
            let wide = Wide::new(self.base, wide)?;
            is_crowded = wide.is_crowded;
            self.overlay.wide = Arc::new(wide);
        }
        Ok((self.overlay, is_crowded))
    }

    /// The next overlay, without the ranges if they cannot be looked up: then
    /// they are added to those that do not fit.
    fn finish_with_those_that_fit(
        mut self,
        misfits: &mut Vec<(Arc<Change>, EditError)>,
    ) -> Overlay {
        let wide = self.wide.take().unwrap_or_default();
        let (ranges, others): (Vec<_>, Vec<_>) = wide
            .into_iter()
            .partition(|(_, change)| matches!(change.subject.scope, Scope::Range { .. }));
        let all = ranges.iter().chain(&others).cloned().collect();
        match Wide::new(self.base, all) {
            Ok(wide) => self.overlay.wide = Arc::new(wide),
            Err(error) => {
                for (_, change) in ranges {
                    self.count(Some(RuleKind::Range), Some(&change), None);
                    misfits.push((change, error.clone()));
                }
                self.overlay.wide = Arc::new(Wide::new(self.base, others).unwrap_or_default());
            }
        }
        self.overlay
    }
}

/// Why ranges are refused that share a device.
const CROWDED: &str = "more than 1024 changed ranges share a device";

/// What a change sets.
fn entry(change: &Change) -> Option<&super::change::Entry> {
    match &change.action {
        Action::Set(entry) => Some(entry),
        Action::Remove => None,
    }
}

/// Whom a change excepts.
fn exceptions(change: &Change) -> &[Imsi] {
    entry(change).map_or(&[], |entry| &entry.exceptions)
}

/// Whether both are one change.
fn is_same(before: Option<&Arc<Change>>, change: &Arc<Change>) -> bool {
    before.is_some_and(|before| Arc::ptr_eq(before, change))
}

/// Puts a value in the place of that which it is to replace, or last; takes that
/// out if there is none.
fn replace<T>(all: &mut Vec<T>, value: Option<T>, is_it: impl Fn(&T) -> bool) {
    match (all.iter().position(is_it), value) {
        (Some(place), Some(value)) => {
            if let Some(own) = all.get_mut(place) {
                *own = value;
            }
        }
        (Some(place), None) => {
            all.remove(place);
        }
        (None, Some(value)) => all.push(value),
        (None, None) => {}
    }
}
