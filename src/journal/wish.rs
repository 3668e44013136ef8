//! What is asked for, and the steps that make it come true.

use std::sync::Arc;

use crate::changes::Step;
use crate::equipment::{
    Action, Change, Edit, Entry, Imsi, ListKind, Overlay, Scope, Snapshot, Status, Subject,
    Validity,
};
use crate::time::UnixTime;

/// Changes in one request: as many as can be put in force at once.
pub const BATCH_MAX: usize = 10_000;

/// The number and time of a change, and who makes it.
pub(super) type Numbered<'a> = (u64, UnixTime, &'a Arc<str>);

//----------- Wish ------------------------------------------------------------

/// What is asked for, before it is known when and with which number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The name of the list.
    pub list: Arc<str>,
    /// The subscribers: of bindings, whose it is; of rules, who is excepted.
    pub imsis: Vec<Imsi>,
    /// The devices.
    pub scope: Scope,
    /// What is to become of them.
    pub what: What,
}

/// What is to become of what a list says of some devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The list is to say this.
    Set {
        /// The status; that of the list if there is none.
        status: Option<Status>,
        /// When.
        validity: Validity,
        /// Why.
        reason: Option<Box<str>>,
    },
    /// The list is to say nothing.
    Remove,
    /// The list is to say what its files say.
    Undo,
}

impl Wish {
    /// The step that makes it come true.
    fn step(&self, snapshot: &Snapshot, (number, time, by): Numbered<'_>) -> Result<Step, String> {
        let Self {
            list, imsis, scope, ..
        } = self;
        let kind = snapshot.lists().find(|own| *own.name == **list);
        let kind = kind.map(|list| list.kind);
        // Of a list that is gone changes can be given up all the same.
        let is_bindings = match kind {
            None => imsis.len() == 1,
            Some(kind) => matches!(kind, ListKind::Bindings { .. }),
        };
        let (subscriber, exceptions) = match (is_bindings, imsis.as_slice(), &self.what) {
            // Whatever the list is now, it may have been of the other kind when
            // the change was made.
            (_, [], What::Undo) => (None, Vec::new()),
            (_, &[imsi], What::Undo) => (Some(imsi), Vec::new()),
            (true, &[imsi], _) => (Some(imsi), Vec::new()),
            (true, ..) => {
                return Err(format!(
                    "`{list}` is a list of bindings: a change is of one IMSI, and {} are named",
                    imsis.len()
                ));
            }
            (false, imsis, What::Set { .. }) => (None, imsis.to_vec()),
            (false, [], _) => (None, Vec::new()),
            (false, ..) => {
                return Err(format!(
                    "`{list}` is a list of rules: its exceptions go with the rule; add it again \
                     with those that are to stay"
                ));
            }
        };
        let subject = Subject {
            list: Arc::clone(list),
            subscriber,
            scope: *scope,
        };
        let action = match &self.what {
            What::Undo => None,
            What::Remove => Some(Action::Remove),
            What::Set {
                status,
                validity,
                reason,
            } => Some(Action::Set(Entry {
                status: match (kind, *status) {
                    (Some(ListKind::Bindings { .. }), Some(_)) => {
                        return Err(format!(
                            "`{list}` is a list of bindings: a binding has no status of its own"
                        ));
                    }
                    (Some(ListKind::Bindings { mismatch, .. }), None) => mismatch,
                    (_, Some(status)) => status,
                    (Some(ListKind::Rules { status }), None) => status,
                    // It is refused.
                    (None, None) => Status::Blacklisted,
                },
                validity: *validity,
                reason: reason.clone(),
                exceptions: exceptions.into(),
            })),
        };
        if let Some(Action::Set(entry)) = &action
            && entry.status != Status::Blacklisted
            && !entry.exceptions.is_empty()
        {
            return Err(format!(
                "an IMSI is excepted from a blacklisting, and this is {}",
                entry.status
            ));
        }
        let by = Arc::clone(by);
        let edit = match action {
            None => Edit::Undo(subject),
            Some(action) => Edit::Change(Arc::new(Change {
                number,
                time,
                by: Arc::clone(&by),
                subject,
                action,
            })),
        };
        Ok(Step {
            number,
            time,
            by,
            edit,
        })
    }
}

/// The overlay with what is wished, and the steps to it; or why there is none.
pub(super) fn above<'a>(
    overlay: &Overlay,
    snapshot: &Snapshot,
    wishes: impl ExactSizeIterator<Item = (Numbered<'a>, &'a Wish)>,
) -> Result<(Overlay, Vec<Step>), String> {
    let count = wishes.len();
    let place = |place: usize| match count {
        1 => String::new(),
        _ => format!("change {} of the request: ", place + 1),
    };
    if !(1..=BATCH_MAX).contains(&count) {
        return Err(format!(
            "a request is of 1 to {BATCH_MAX} changes, and this one of {count}"
        ));
    }
    let mut steps = Vec::with_capacity(count);
    for (at, (of, wish)) in wishes.enumerate() {
        let step = wish.step(snapshot, of);
        let step = step.map_err(|why| format!("{}{why}", place(at)))?;
        if !step.is_storable() {
            return Err(format!("{}a name or reason is too long", place(at)));
        }
        steps.push(step);
    }
    let edits: Vec<Edit> = steps.iter().map(|step| step.edit.clone()).collect();
    let above = overlay.with_agreeing(snapshot, &edits);
    let above = above.map_err(|(at, error)| format!("{}{error}", place(at)))?;
    Ok((above, steps))
}
