//! An overlay of very many changes at once, as they are when a server starts.

use std::sync::Arc;

use super::tree::Tree;
use super::writer::Writer;
use super::{Edit, EditError, OfDevice, OfSubscriber, Overlay, SAME_MAX, exceptions};
use crate::equipment::change::Change;
use crate::equipment::{ListKind, RuleKind, Scope, Snapshot};

/// A change that is not in effect, and why.
type Misfit = (Arc<Change>, EditError);

/// What goes into a tree as a whole: its keys with what is said of them.
type Planned<V> = Vec<Option<(u64, V)>>;

impl Overlay {
    /// An overlay of all these changes that fit the snapshot, and those that do
    /// not: their list is gone, or of another kind now. The secret is as in
    /// [`Overlay::new`].
    ///
    /// There may be more of them than could be made one by one: changes that were
    /// folded can come to lie above another snapshot all at once.
    ///
    /// Of what is said of devices, and of bindings, each tree is laid out once;
    /// the few others are made one after the other.
    #[must_use]
    pub fn of_those_that_fit(
        secret: [u64; 2],
        base: &Snapshot,
        changes: impl Iterator<Item = Arc<Change>>,
    ) -> (Self, Vec<Misfit>) {
        let mut next = Writer::new(&Self::new(secret), base);
        next.is_bounded = false;
        let mut devices: Planned<OfDevice> = Vec::with_capacity(changes.size_hint().0);
        let mut subscribers: Planned<OfSubscriber> = Vec::new();
        let mut others = Vec::new();
        for change in changes {
            if !exceptions(&change).is_empty() {
                others.push(change);
                continue;
            }
            let subject = &change.subject;
            let kind = next.list(&subject.list);
            match (kind, subject.subscriber, subject.scope) {
                (Ok((list, ListKind::Rules { .. })), None, scope) => {
                    let (kind, device, svn) = match scope {
                        Scope::Device(device) => (RuleKind::Device, device, None),
                        Scope::DeviceSvn(device, svn) => (RuleKind::DeviceSvn, device, Some(svn)),
                        _ => {
                            others.push(change);
                            continue;
                        }
                    };
                    next.count(Some(kind), None, Some(&change));
                    let of = OfDevice::of(&change, list, svn);
                    devices.push(Some((device.number(), of)));
                }
                (Ok((list, ListKind::Bindings { .. })), Some(imsi), scope)
                    if !is_unusable(scope) =>
                {
                    next.count(None, None, Some(&change));
                    let of = OfSubscriber {
                        change: Arc::clone(&change),
                        list,
                        is_exception: false,
                    };
                    subscribers.push(Some((imsi.key(), of)));
                }
                _ => others.push(change),
            }
        }
        let mut misfits = Vec::new();
        let mut lost = Vec::new();
        let of_device =
            |one: &OfDevice, other: &OfDevice| one.list == other.list && one.svn == other.svn;
        next.overlay.devices = Tree::laid_out(secret, devices, SAME_MAX, of_device, &mut lost);
        for (of, is_replaced) in lost.drain(..) {
            let kind = match of.svn {
                Some(_) => RuleKind::DeviceSvn,
                None => RuleKind::Device,
            };
            next.count(Some(kind), Some(&of.change), None);
            if !is_replaced {
                let why = EditError::TooMany("a device has at most 1024 changes");
                misfits.push((of.change, why));
            }
        }
        let mut lost = Vec::new();
        let of_subscriber = |one: &OfSubscriber, other: &OfSubscriber| {
            one.list == other.list && one.change.subject.scope == other.change.subject.scope
        };
        next.overlay.subscribers =
            Tree::laid_out(secret, subscribers, SAME_MAX, of_subscriber, &mut lost);
        for (of, is_replaced) in lost {
            next.count(None, Some(&of.change), None);
            if !is_replaced {
                let why = EditError::TooMany("an IMSI has at most 1024 changes");
                misfits.push((of.change, why));
            }
        }
        for change in others {
            if let Err(error) = next.make(&Edit::Change(Arc::clone(&change))) {
                misfits.push((change, error));
            }
        }
        // They were not crowded when they were made.
        let next = next.finish_with_those_that_fit(&mut misfits);
        (next, misfits)
    }
}

/// Whether nothing can be said of such devices.
fn is_unusable(scope: Scope) -> bool {
    match scope {
        Scope::Special(_) => true,
        Scope::Range { from, to } => from > to,
        _ => false,
    }
}
