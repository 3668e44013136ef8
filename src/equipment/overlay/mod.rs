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

mod bulk;
mod fold;
mod layered;
mod tree;
mod wide;
mod writer;

use std::sync::Arc;

use thiserror::Error;

pub(crate) use self::layered::{Layered, Lookup};
use self::tree::Tree;
use self::wide::Wide;
use self::writer::{CROWDED, Writer};
use super::change::{Action, Change, Subject};
use super::{Counts, Device, Imsi, ListId, Scope, Snapshot, Status, Svn, Validity};

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

impl OfDevice {
    /// What a change of a list says of a device with this software version, or
    /// any.
    fn of(change: &Arc<Change>, list: ListId, svn: Option<Svn>) -> Self {
        Self {
            change: Arc::clone(change),
            list,
            svn,
            status: entry(change).map(|entry| entry.status),
            is_dated: entry(change).is_some_and(|entry| entry.validity != Validity::ALWAYS),
        }
    }
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
        self.edited(base, edits, false)
    }

    /// The same, where a range that overlaps another range of its list and says
    /// something else is refused, as in a file of the list.
    ///
    /// # Errors
    ///
    /// As [`with`](Self::with), and of such a range [`EditError::Contradicts`].
    pub fn with_agreeing(
        &self,
        base: &Snapshot,
        edits: &[Edit],
    ) -> Result<Self, (usize, EditError)> {
        self.edited(base, edits, true)
    }

    /// The overlay with these edits, which must agree with all else or need not.
    fn edited(
        &self,
        base: &Snapshot,
        edits: &[Edit],
        must_agree: bool,
    ) -> Result<Self, (usize, EditError)> {
        let mut next = Writer::new(self, base);
        for (place, edit) in edits.iter().enumerate() {
            next.make(edit).map_err(|error| (place, error))?;
        }
        let last = edits.len().saturating_sub(1);
        match next.finish(must_agree) {
            Ok((_, true)) => Err((last, EditError::TooMany(CROWDED))),
            Ok((next, false)) => Ok(next),
            Err(error) => Err((last, error)),
        }
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
    /// A range overlaps one of the same list that says something else.
    #[error(
        "{scope} cannot be {status}, as {other} of the same list share some of them and are {is}: \
         change or remove those first, or change devices one by one"
    )]
    Contradicts {
        /// What was to be changed.
        scope: Scope,
        /// What it was to be.
        status: Status,
        /// What it overlaps.
        other: Scope,
        /// What that is.
        is: Status,
    },
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
