//! An overlay of very many changes at once, as they are when a server starts.

use std::sync::Arc;

use super::tree::Tree;
use super::writer::Writer;
use super::{Edit, EditError, OfDevice, OfSubscriber, Overlay, exceptions};
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
    /// There may be more of them than could be made one by one, in all or about
    /// one device or subscriber: changes that were folded can come to lie above
    /// another snapshot all at once.
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
        let mut lost = Vec::new();
        let of_device =
            |one: &OfDevice, other: &OfDevice| one.list == other.list && one.svn == other.svn;
        next.overlay.devices = Tree::laid_out(secret, devices, of_device, &mut lost);
        for of in lost {
            let kind = match of.svn {
                Some(_) => RuleKind::DeviceSvn,
                None => RuleKind::Device,
            };
            next.count(Some(kind), Some(&of.change), None);
        }
        let mut lost = Vec::new();
        let of_subscriber = |one: &OfSubscriber, other: &OfSubscriber| {
            one.list == other.list && one.change.subject.scope == other.change.subject.scope
        };
        next.overlay.subscribers = Tree::laid_out(secret, subscribers, of_subscriber, &mut lost);
        for of in lost {
            next.count(None, Some(&of.change), None);
        }
        let mut misfits = Vec::new();
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

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::change::{Action, Entry, Subject};
    use crate::equipment::{Builder, Device, Imsi, SAME_MAX, Status, Svn, Validity};
    use crate::time::UnixTime;

    /// Changes about one device or one subscriber, more than may be made one by
    /// one, as they come together from several folds.
    #[test]
    fn as_many_as_were_in_force_are_laid_out() {
        let mut builder = Builder::new();
        let lists: Vec<String> = (0..12).map(|list| format!("rules {list}")).collect();
        for list in &lists {
            builder.list(list, Status::Blacklisted).unwrap();
        }
        builder
            .binding_list("meters", Status::Blacklisted, None)
            .unwrap();
        let base = builder.finish();
        let imsi = |number| Imsi::parse(format!("{number:015}").as_bytes()).unwrap();
        let device = |number| Device::from_number(number).unwrap();
        let change = |(list, subscriber, scope), exceptions: &[Imsi]| {
            Arc::new(Change {
                number: 1,
                time: UnixTime(0),
                by: "t".into(),
                subject: Subject {
                    list,
                    subscriber,
                    scope,
                },
                action: Action::Set(Entry {
                    status: Status::Blacklisted,
                    validity: Validity::ALWAYS,
                    reason: None,
                    exceptions: exceptions.into(),
                }),
            })
        };
        let excepting = |number: u64| {
            let scope = Scope::Device(device(number));
            change((lists[0].as_str().into(), None, scope), &[imsi(1)])
        };
        let binding = |number: u64| {
            let scope = Scope::Device(device(number));
            change(("meters".into(), Some(imsi(2)), scope), &[])
        };
        // 100 software versions in each of 12 lists.
        let versioned = |number: u64| {
            let digits = format!("{:02}", number % 100);
            let svn = Svn::from_digits(digits.as_bytes()).unwrap();
            let list = lists[(number / 100) as usize].as_str().into();
            change((list, None, Scope::DeviceSvn(device(9_999_999), svn)), &[])
        };
        let count = 1200;
        assert!(count > SAME_MAX as u64);
        let all = (0..count).flat_map(|at| [excepting(at), binding(at), versioned(at)]);
        let (overlay, misfits) = Overlay::of_those_that_fit([3, 4], &base, all);
        assert!(misfits.is_empty(), "{:?}", misfits[0]);
        assert_eq!(overlay.len(), 3 * count as usize);
        let own = |imsi: Imsi| overlay.subscribers.find(imsi.key()).count();
        assert_eq!((own(imsi(1)), own(imsi(2))), (1200, 1200));
        assert_eq!(overlay.devices.find(9_999_999).count(), 1200);
        // One by one there are no more, as there would be without a fold.
        for more in [excepting(count), binding(count)] {
            let refused = overlay.with(&base, &[Edit::Change(more)]);
            assert!(matches!(refused, Err((0, EditError::TooMany(_)))));
        }
    }
}
