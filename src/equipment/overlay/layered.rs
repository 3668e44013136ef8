//! A snapshot with changes above it, looked up as one.

use super::wide::{Origin, Wide};
use super::{OfDevice, OfSubscriber, Overlay, entry};
use crate::equipment::bindings::Found;
use crate::equipment::change::Change;
use crate::equipment::rule::Place;
use crate::equipment::snapshot::{BindingView, RuleView};
use crate::equipment::{
    BindingId, Device, Imsi, ListId, ListKind, RuleId, RuleKind, Scope, Snapshot, Status,
    Subscribers, Svn, Terms, Validity,
};
use crate::time::UnixTime;

//----------- Lookup ----------------------------------------------------------

/// What verdicts are reached from: a snapshot, or one with changes above it.
///
/// See the methods of [`Snapshot`] that have the same names. It is a trait so
/// that the code which answers from a bare snapshot knows nothing of changes.
pub(crate) trait Lookup: Copy {
    /// Whether there may be a rule of a kind.
    fn has_rules(self, kind: RuleKind) -> bool;
    /// Whether there may be a binding.
    fn has_bindings(self) -> bool;
    /// Whether anybody may be excepted from a rule.
    fn has_exceptions(self) -> bool;
    /// Visits the rules of a kind that cover a device.
    fn visit_rules(
        self,
        kind: RuleKind,
        device: Device,
        svn: Option<Svn>,
        visitor: impl FnMut(RuleId, &Terms),
    );
    /// Visits bindings of a subscriber.
    fn visit_bindings(
        self,
        imsi: Imsi,
        asked: (Device, Option<Svn>, UnixTime),
        visitor: impl FnMut(BindingId, Scope, &Terms),
    );
    /// Visits the rules that a subscriber is excepted from, all or those about
    /// a device.
    fn visit_exceptions_for(
        self,
        imsi: Imsi,
        asked: (Device, Option<Svn>),
        visitor: impl FnMut(RuleId, Scope, &Terms),
    );
    /// What a match with a list of bindings says.
    fn on_match(self, list: ListId) -> Option<Status>;
    /// Whether a scope covers a device, if that is known.
    fn covers(self, scope: Scope, device: Device, svn: Option<Svn>) -> Option<bool>;
}

impl Lookup for &Snapshot {
    #[inline(always)]
    fn has_rules(self, kind: RuleKind) -> bool {
        self.has_rules(kind)
    }

    #[inline(always)]
    fn has_bindings(self) -> bool {
        self.has_bindings()
    }

    #[inline(always)]
    fn has_exceptions(self) -> bool {
        self.has_exceptions()
    }

    #[inline(always)]
    fn visit_rules(
        self,
        kind: RuleKind,
        device: Device,
        svn: Option<Svn>,
        visitor: impl FnMut(RuleId, &Terms),
    ) {
        self.visit_rules(kind, device, svn, visitor);
    }

    #[inline(always)]
    fn visit_bindings(
        self,
        imsi: Imsi,
        asked: (Device, Option<Svn>, UnixTime),
        visitor: impl FnMut(BindingId, Scope, &Terms),
    ) {
        self.visit_bindings(imsi, asked, visitor);
    }

    #[inline(always)]
    fn visit_exceptions_for(
        self,
        imsi: Imsi,
        asked: (Device, Option<Svn>),
        visitor: impl FnMut(RuleId, Scope, &Terms),
    ) {
        self.visit_exceptions_for(imsi, asked, visitor);
    }

    #[inline(always)]
    fn on_match(self, list: ListId) -> Option<Status> {
        self.on_match(list)
    }

    #[inline(always)]
    fn covers(self, scope: Scope, device: Device, svn: Option<Svn>) -> Option<bool> {
        self.covers(scope, device, svn)
    }
}

//----------- Layered ---------------------------------------------------------

/// A snapshot with changes above it.
///
/// Rules of changes have numbers of their own: those about a device count what
/// changes say of it, and all others are the records of a small snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layered<'a> {
    /// The snapshot.
    pub(crate) base: &'a Snapshot,
    /// The changes.
    pub(crate) overlay: &'a Overlay,
}

impl<'a> Layered<'a> {
    /// What a rule is, whether the snapshot's or a change's; see
    /// [`Snapshot::rule`].
    pub(crate) fn rule(self, id: RuleId, device: Device) -> Option<RuleView<'a>> {
        match id.place() {
            Place::Record(_) | Place::Device(_) => self.base.rule(id, device),
            Place::DeviceChange(place) => {
                let mut own = self.overlay.devices.find(device.number());
                let of = own.nth(place as usize)?;
                self.rule_of(id, of.list, &of.change)
            }
            Place::WideChange(place) => {
                let (list, change) = self.overlay.wide.change(place as usize)?;
                self.rule_of(id, *list, change)
            }
        }
    }

    /// The rule that a change makes.
    fn rule_of(self, id: RuleId, list: ListId, change: &'a Change) -> Option<RuleView<'a>> {
        let entry = entry(change)?;
        Some(RuleView {
            id,
            list: self.base.list(list)?,
            scope: change.subject.scope,
            status: entry.status,
            validity: entry.validity,
            reason: entry.reason.as_deref(),
            file: "",
            line: 0,
            change: Some(change),
        })
    }

    /// What a binding of a subscriber is; see [`Snapshot::binding`].
    pub(crate) fn binding(self, id: BindingId, imsi: Imsi) -> Option<BindingView<'a>> {
        let Some(place) = id.of_change() else {
            return self.base.binding(id);
        };
        let of = self
            .overlay
            .subscribers
            .find(imsi.key())
            .nth(place as usize)?;
        let entry = entry(&of.change)?;
        Some(BindingView {
            id,
            list: self.base.list(of.list)?,
            subscribers: Subscribers::One(imsi),
            scope: of.change.subject.scope,
            validity: entry.validity,
            reason: entry.reason.as_deref(),
            file: "",
            line: 0,
            change: Some(&of.change),
        })
    }

    /// Visits the rules for a device, with this software version or any.
    fn visit_devices(
        self,
        kind: RuleKind,
        device: Device,
        svn: Option<Svn>,
        mut visitor: impl FnMut(RuleId, &Terms),
    ) {
        let own = (0..).zip(self.overlay.devices.find(device.number()));
        let own = own.filter(|(_, of)| of.svn == svn);
        // Most devices were never changed.
        if own.clone().next().is_none() {
            return self.base.visit_rules(kind, device, svn, visitor);
        }
        self.base.visit_rules(kind, device, svn, |id, terms| {
            if !own.clone().any(|(_, of)| of.list == terms.list) {
                visitor(id, terms);
            }
        });
        for (place, of) in own {
            if let Some(terms) = of.terms() {
                visitor(RuleId::of_device_change(place), &terms);
            }
        }
    }
}

impl Lookup for Layered<'_> {
    fn has_rules(self, kind: RuleKind) -> bool {
        let Self { base, overlay } = self;
        base.has_rules(kind)
            || match kind {
                RuleKind::DeviceSvn => overlay.counts.device_svns > 0,
                RuleKind::Device => overlay.counts.devices > 0,
                kind => overlay.wide.snapshot.has_rules(kind),
            }
    }

    fn has_bindings(self) -> bool {
        self.base.has_bindings() || self.overlay.counts.bindings > 0
    }

    fn has_exceptions(self) -> bool {
        self.base.has_exceptions() || self.overlay.counts.exceptions > 0
    }

    #[inline]
    fn visit_rules(
        self,
        kind: RuleKind,
        device: Device,
        svn: Option<Svn>,
        mut visitor: impl FnMut(RuleId, &Terms),
    ) {
        let Self { base, overlay } = self;
        match (kind, svn) {
            (RuleKind::Device, _) => {
                return self.visit_devices(kind, device, None, visitor);
            }
            (RuleKind::DeviceSvn, Some(_)) => {
                return self.visit_devices(kind, device, svn, visitor);
            }
            // Of no rule it is known whether it covers the device.
            (RuleKind::DeviceSvn, None) => return,
            _ => {}
        }
        let wide = &overlay.wide;
        if wide.is_empty() {
            return base.visit_rules(kind, device, svn, visitor);
        }
        base.visit_rules(kind, device, svn, |id, terms| {
            if !wide.hides(id) {
                visitor(id, terms);
            }
        });
        wide.snapshot.visit_rules(kind, device, svn, |id, terms| {
            if let Some(id) = wide.id(id) {
                visitor(id, terms);
            }
        });
    }

    fn visit_bindings(
        self,
        imsi: Imsi,
        asked: (Device, Option<Svn>, UnixTime),
        mut visitor: impl FnMut(BindingId, Scope, &Terms),
    ) {
        let Self { base, overlay } = self;
        let own = (0..).zip(overlay.subscribers.find(imsi.key()));
        let own = || own.clone().filter(|(_, of)| !of.is_exception);
        if own().next().is_none() {
            return base.visit_bindings(imsi, asked, visitor);
        }
        let is_replaced = |list: ListId, scope: Scope| {
            own().any(|(_, of)| of.list == list && of.change.subject.scope == scope)
        };
        base.visit_bindings_but(imsi, asked, is_replaced, &mut visitor);
        for (place, of) in own() {
            if let Some(terms) = of.terms(base) {
                visitor(
                    BindingId::of_change_at(place),
                    of.change.subject.scope,
                    &terms,
                );
            }
        }
    }

    fn visit_exceptions_for(
        self,
        imsi: Imsi,
        asked: (Device, Option<Svn>),
        mut visitor: impl FnMut(RuleId, Scope, &Terms),
    ) {
        let Self { base, overlay } = self;
        let mut has_replaced = false;
        base.visit_exceptions_for(imsi, asked, |id, scope, terms| {
            match overlay.replaces(terms.list, scope) {
                true => has_replaced = true,
                false => visitor(id, scope, terms),
            }
        });
        // One of them may have stood for others that say the same.
        if has_replaced {
            base.visit_exceptions(imsi, |id, scope, terms| {
                if !overlay.replaces(terms.list, scope) {
                    visitor(id, scope, terms);
                }
            });
        }
        for of in overlay.subscribers.find(imsi.key()) {
            if !of.is_exception {
                continue;
            }
            let scope = of.change.subject.scope;
            let (device, svn) = match scope {
                Scope::Device(device) => (device, None),
                Scope::DeviceSvn(device, svn) => (device, Some(svn)),
                _ => continue,
            };
            // Numbers of rules count what changes say of one device.
            if device == asked.0
                && let Some((place, of)) = overlay.of_device(of.list, device, svn)
                && let Some(terms) = of.terms()
            {
                visitor(RuleId::of_device_change(place), scope, &terms);
            }
        }
        let wide = &overlay.wide;
        (wide.snapshot).visit_exceptions_for(imsi, asked, |id, scope, terms| {
            if let Some(id) = wide.id(id) {
                visitor(id, scope, terms);
            }
        });
    }

    fn on_match(self, list: ListId) -> Option<Status> {
        self.base.on_match(list)
    }

    fn covers(self, scope: Scope, device: Device, svn: Option<Svn>) -> Option<bool> {
        self.base.covers(scope, device, svn)
    }
}

impl OfDevice {
    /// The terms of the rule, if there is one.
    #[inline]
    fn terms(&self) -> Option<Terms> {
        Some(Terms {
            list: self.list,
            status: self.status?,
            validity: match self.is_dated {
                false => Validity::ALWAYS,
                true => entry(&self.change)?.validity,
            },
        })
    }
}

impl OfSubscriber {
    /// The terms of the binding, if there is one.
    fn terms(&self, base: &Snapshot) -> Option<Terms> {
        let ListKind::Bindings { mismatch, .. } = base.list(self.list)?.kind else {
            return None;
        };
        Some(Terms {
            list: self.list,
            status: mismatch,
            validity: entry(&self.change)?.validity,
        })
    }
}

//----------- Snapshot --------------------------------------------------------

impl Snapshot {
    /// As [`Snapshot::visit_bindings`], but for the bindings of just this
    /// subscriber that are replaced: as if the register had never had them.
    fn visit_bindings_but(
        &self,
        imsi: Imsi,
        asked: (Device, Option<Svn>, UnixTime),
        is_replaced: impl Fn(ListId, Scope) -> bool,
        visitor: &mut impl FnMut(BindingId, Scope, &Terms),
    ) {
        let index = &self.bindings.index;
        index.visit_own(imsi, |found| {
            let mut has_replaced = false;
            self.visit_found(
                found,
                asked,
                &mut |id, scope, terms: &Terms| match is_replaced(terms.list, scope) {
                    true => has_replaced = true,
                    false => visitor(id, scope, terms),
                },
            );
            // Of many, one that is replaced may have stood for others.
            if has_replaced && matches!(found, Found::Many(_)) {
                index.visit_each(imsi, |entry| {
                    if let Some(terms) = self.catalogue.terms.get(entry.terms as usize)
                        && let Some(scope) = index.spans().scope(entry.scope)
                        && !is_replaced(terms.list, scope)
                    {
                        visitor(BindingId::from_number(entry.number), scope, terms);
                    }
                });
            }
        });
        index.visit_ranges(imsi, |found| self.visit_found(found, asked, visitor));
    }
}

impl Wide {
    /// The number of a rule of the snapshot of changes, as verdicts have it.
    fn id(&self, id: RuleId) -> Option<RuleId> {
        let Place::Record(number) = id.place() else {
            return None;
        };
        Some(match self.origin(number)? {
            Origin::Base(id) => id,
            Origin::Change(place) => RuleId::of_wide_change(place),
        })
    }
}
