//! One step of a journal: a change that was made, or given up.

use std::sync::Arc;

use crate::equipment::{
    Action, Change, Device, Edit, Entry, Imsi, Scope, Status, Subject, Svn, Tac, TacPrefix,
    Validity,
};
use crate::time::UnixTime;

/// The longest name of who makes changes, in octets.
pub const BY_MAX: usize = 64;

/// The longest name of a list that can be changed, in octets.
pub const LIST_MAX: usize = 1024;

/// The longest reason, in octets: as of a line of a list.
pub const REASON_MAX: usize = 512;

/// One step, with its number among all that were ever made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number, from 1.
    pub number: u64,
    /// When.
    pub time: UnixTime,
    /// By whom.
    pub by: Arc<str>,
    /// What.
    pub edit: Edit,
}

/// A list says something of the subject.
const SET: u8 = 1;
/// A list says nothing of it.
const REMOVE: u8 = 2;
/// What the list itself says holds again.
const UNDO: u8 = 3;

/// It has a first second.
const HAS_FROM: u8 = 1;
/// It has a last second.
const HAS_UNTIL: u8 = 2;
/// It has a reason.
const HAS_REASON: u8 = 4;

impl Step {
    /// The step that has made a change.
    #[must_use]
    pub fn of(change: &Arc<Change>) -> Self {
        Self {
            number: change.number,
            time: change.time,
            by: Arc::clone(&change.by),
            edit: Edit::Change(Arc::clone(change)),
        }
    }

    /// Whether the texts and numbers have the lengths that can be written.
    #[must_use]
    pub fn is_storable(&self) -> bool {
        let subject = self.edit.subject();
        let has_no_zeros = |text: &str| !text.as_bytes().contains(&0);
        let entry = match &self.edit {
            Edit::Change(change) => match &change.action {
                Action::Set(entry) => Some(entry),
                Action::Remove => None,
            },
            Edit::Undo(_) => None,
        };
        let reason = entry.and_then(|entry| entry.reason.as_deref());
        let exceptions = entry.map_or(0, |entry| entry.exceptions.len());
        self.by.len() <= BY_MAX
            && has_no_zeros(&self.by)
            && subject.list.len() <= LIST_MAX
            && has_no_zeros(&subject.list)
            && reason.is_none_or(|reason| reason.len() <= REASON_MAX && has_no_zeros(reason))
            && exceptions <= usize::from(u16::MAX)
            && !matches!(subject.scope, Scope::Special(_))
    }

    /// Octets that it does not exceed when it is written.
    #[must_use]
    pub fn weight(&self) -> usize {
        let exceptions = match &self.edit {
            Edit::Change(change) => match &change.action {
                Action::Set(entry) => entry.exceptions.len(),
                Action::Remove => 0,
            },
            Edit::Undo(_) => 0,
        };
        LIST_MAX + BY_MAX + REASON_MAX + 128 + exceptions * size_of::<u64>()
    }

    /// Appends it; it is to be [storable](Self::is_storable).
    pub fn compose(&self, out: &mut Vec<u8>) {
        let (kind, entry) = match &self.edit {
            Edit::Change(change) => match &change.action {
                Action::Set(entry) => (SET, Some(entry)),
                Action::Remove => (REMOVE, None),
            },
            Edit::Undo(_) => (UNDO, None),
        };
        let subject = self.edit.subject();
        out.push(kind);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.time.0.to_le_bytes());
        text(&self.by, out);
        text(&subject.list, out);
        let subscriber = subject.subscriber.map_or(0, Imsi::key);
        out.extend_from_slice(&subscriber.to_le_bytes());
        let (kind, first, second) = scope_numbers(subject.scope);
        out.push(kind);
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&second.to_le_bytes());
        let Some(entry) = entry else { return };
        out.push(entry.status.number());
        let Validity { from, until } = entry.validity;
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        out.push(
            flag(from.is_some(), HAS_FROM)
                | flag(until.is_some(), HAS_UNTIL)
                | flag(entry.reason.is_some(), HAS_REASON),
        );
        for time in [from, until].into_iter().flatten() {
            out.extend_from_slice(&time.0.to_le_bytes());
        }
        if let Some(reason) = &entry.reason {
            text(reason, out);
        }
        out.extend_from_slice(&(entry.exceptions.len() as u16).to_le_bytes());
        for imsi in &entry.exceptions {
            out.extend_from_slice(&imsi.key().to_le_bytes());
        }
    }
}

/// The kind of a scope, and two numbers that tell it from others of its kind.
pub(super) fn scope_numbers(scope: Scope) -> (u8, u64, u64) {
    match scope {
        Scope::DeviceSvn(device, svn) => (0, device.number(), u64::from(svn.number())),
        Scope::Device(device) => (1, device.number(), 0),
        Scope::Range { from, to } => (2, from.number(), to.number()),
        Scope::Tac(tac) => (3, u64::from(tac.number()), 0),
        Scope::TacPrefix(prefix) => (4, u64::from(prefix.number()), prefix.digits() as u64),
        // No change is about one.
        Scope::Special(_) => (u8::MAX, 0, 0),
    }
}

/// Appends a text behind its length.
fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The steps of octets that were made of them, without head and end of a record;
/// `None` if they make no sense.
#[must_use]
pub fn steps(octets: &[u8]) -> Option<Vec<Step>> {
    let mut names = [None, None];
    let mut reader = Reader::new(octets, &mut names);
    let steps = core::iter::from_fn(|| (!reader.is_done()).then(|| reader.step()));
    steps.collect()
}

//----------- Reader ----------------------------------------------------------

/// Reads steps from the octets of a record.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    /// What is left.
    rest: &'a [u8],
    /// Names that were read last: those that are alike are kept once.
    names: &'a mut [Option<Arc<str>>; 2],
}

impl<'a> Reader<'a> {
    /// A reader of these octets.
    pub(super) fn new(octets: &'a [u8], names: &'a mut [Option<Arc<str>>; 2]) -> Self {
        Self {
            rest: octets,
            names,
        }
    }

    /// Whether all was read.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next step; `None` if it makes no sense.
    pub(super) fn step(&mut self) -> Option<Step> {
        let [kind] = self.array()?;
        let number = self.number()?;
        let time = UnixTime(self.number()?.cast_signed());
        let by = self.name(0, BY_MAX)?;
        let list = self.name(1, LIST_MAX)?;
        let subscriber = match self.number()? {
            0 => None,
            key => Some(Imsi::from_stored(key)?),
        };
        let subject = Subject {
            list,
            subscriber,
            scope: self.scope()?,
        };
        let action = match kind {
            SET => Action::Set(self.entry()?),
            REMOVE => Action::Remove,
            UNDO => {
                return Some(Step {
                    number,
                    time,
                    by,
                    edit: Edit::Undo(subject),
                });
            }
            _ => return None,
        };
        let change = Change {
            number,
            time,
            by: Arc::clone(&by),
            subject,
            action,
        };
        Some(Step {
            number,
            time,
            by,
            edit: Edit::Change(Arc::new(change)),
        })
    }

    /// What a change sets.
    fn entry(&mut self) -> Option<Entry> {
        let [status, flags] = self.array()?;
        let status = *Status::ALL.iter().find(|own| own.number() == status)?;
        if flags & !(HAS_FROM | HAS_UNTIL | HAS_REASON) != 0 {
            return None;
        }
        let mut time = |flag| match flags & flag {
            0 => Some(None),
            _ => Some(Some(UnixTime(self.number()?.cast_signed()))),
        };
        let validity = Validity {
            from: time(HAS_FROM)?,
            until: time(HAS_UNTIL)?,
        };
        let reason = match flags & HAS_REASON {
            0 => None,
            _ => Some(self.text(REASON_MAX)?.into()),
        };
        let count = u16::from_le_bytes(self.array()?);
        let exceptions = (0..count).map(|_| Imsi::from_stored(self.number()?));
        Some(Entry {
            status,
            validity,
            reason,
            exceptions: exceptions.collect::<Option<_>>()?,
        })
    }

    /// A scope.
    fn scope(&mut self) -> Option<Scope> {
        let [kind] = self.array()?;
        let (first, second) = (self.number()?, self.number()?);
        if matches!(kind, 1 | 3) && second != 0 {
            return None;
        }
        Some(match kind {
            0 => Scope::DeviceSvn(
                Device::from_number(first)?,
                Svn::from_number(u8::try_from(second).ok()?)?,
            ),
            1 => Scope::Device(Device::from_number(first)?),
            2 => Scope::Range {
                from: Device::from_number(first)?,
                to: Device::from_number(second)?,
            },
            3 => Scope::Tac(Tac::from_number(u32::try_from(first).ok()?)?),
            4 => Scope::TacPrefix(TacPrefix::from_number(
                usize::try_from(second).ok()?,
                u32::try_from(first).ok()?,
            )?),
            _ => return None,
        })
    }

    /// A name, the same one as the last at its place if it is alike.
    fn name(&mut self, place: usize, longest: usize) -> Option<Arc<str>> {
        let text = self.text(longest)?;
        let last = self.names.get_mut(place)?;
        match last {
            Some(last) if **last == *text => Some(Arc::clone(last)),
            _ => {
                let name: Arc<str> = text.into();
                *last = Some(Arc::clone(&name));
                Some(name)
            }
        }
    }

    /// A text.
    fn text(&mut self, longest: usize) -> Option<&'a str> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let text = core::str::from_utf8(text).ok()?;
        (text.len() <= longest && !text.as_bytes().contains(&0)).then_some(text)
    }

    /// A number.
    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// So many octets.
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }
}
