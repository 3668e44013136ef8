//! One immutable, indexed register.

mod views;
mod whole;

pub use self::views::{BindingView, Counts, ListKind, ListView, RuleView};
use super::bindings::{BoundIndex, Exceptions, Found};
use super::device_rules::DeviceRules;
use super::index::RuleIndex;
use super::record::{Entry, Spans};
use super::rule::Place;
use super::stored::{Column, StoredRule, StoredSubscribers};
use super::texts::Texts;
use super::{
    BindingId, Device, FileId, Imsi, ListId, RuleId, RuleKind, Scope, Status, Svn, TacDirectory,
    Terms,
};
use crate::time::UnixTime;

//----------- Snapshot --------------------------------------------------------

/// All lists as they were at one moment, indexed for lookups.
///
/// A snapshot never changes: a change is a new snapshot. Made by a
/// [`Builder`](super::Builder).
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What rules and bindings refer to.
    pub(super) catalogue: Catalogue,
    /// The rules.
    pub(super) rules: Rules,
    /// The bindings.
    pub(super) bindings: Bindings,
    /// The models of devices.
    pub(super) models: TacDirectory,
    /// How many there are of each.
    pub(super) counts: Counts,
}

impl Snapshot {
    /// How many entries there are of each kind.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The models of devices.
    #[must_use]
    pub fn models(&self) -> &TacDirectory {
        &self.models
    }

    /// The lists, in the order in which they were declared.
    pub fn lists(&self) -> impl ExactSizeIterator<Item = ListView<'_>> {
        self.catalogue
            .lists
            .iter()
            .enumerate()
            // There are no more lists than numbers for them.
            .map(|(index, list)| ListView::new(ListId(index as u16), list))
    }

    /// The list with this number; `None` if it is another snapshot's.
    #[must_use]
    pub fn list(&self, id: ListId) -> Option<ListView<'_>> {
        let list = self.catalogue.lists.get(id.place())?;
        Some(ListView::new(id, list))
    }

    /// The rule with this number; `None` if it is another snapshot's. The
    /// device is the one that the rule was found for: the rules of single
    /// devices share their numbers, so that it takes both.
    #[must_use]
    pub fn rule(&self, id: RuleId, device: Device) -> Option<RuleView<'_>> {
        let of = match id.place() {
            Place::Record(number) => {
                let record = self.rules.records.find(number as usize)?;
                return self.recorded_rule(id, record);
            }
            Place::Device(number) => {
                let (rule, line) = self.rules.devices.find(device, number)?;
                let line = line.unwrap_or_default();
                (rule.terms, rule.source, Scope::Device(device), line)
            }
            Place::DeviceChange(_) | Place::WideChange(_) => return None,
        };
        self.view_rule(id, of)
    }

    /// The rule of a record.
    fn recorded_rule(&self, id: RuleId, record: StoredRule) -> Option<RuleView<'_>> {
        let scope = record.scope().ok()?;
        self.view_rule(id, (record.terms, record.source, scope, record.line))
    }

    /// The rule with these terms, source, scope and line.
    fn view_rule(
        &self,
        id: RuleId,
        (terms, source, scope, line): (u32, u32, Scope, u32),
    ) -> Option<RuleView<'_>> {
        let terms = self.catalogue.terms.get(terms as usize)?;
        let source = self.catalogue.sources.get(source as usize)?;
        Some(RuleView {
            id,
            list: self.list(terms.list)?,
            scope,
            status: terms.status,
            validity: terms.validity,
            reason: self.catalogue.reasons.find(source.reason),
            file: self.catalogue.files.get(source.file.0 as usize)?,
            line,
            change: None,
        })
    }

    /// The binding with this number; `None` if it is another snapshot's.
    #[must_use]
    pub fn binding(&self, id: BindingId) -> Option<BindingView<'_>> {
        let record = self.bindings.records.find(id.0 as usize)?;
        let subscribers = self.bindings.subscribers.find(id.0 as usize)?;
        self.view_binding(id, record, subscribers)
    }

    /// The binding of a record.
    fn view_binding(
        &self,
        id: BindingId,
        record: StoredRule,
        subscribers: StoredSubscribers,
    ) -> Option<BindingView<'_>> {
        let terms = self.catalogue.terms.get(record.terms as usize)?;
        let source = self.catalogue.sources.get(record.source as usize)?;
        Some(BindingView {
            id,
            list: self.list(terms.list)?,
            subscribers: subscribers.restore().ok()?,
            scope: record.scope().ok()?,
            validity: terms.validity,
            reason: self.catalogue.reasons.find(source.reason),
            file: self.catalogue.files.get(source.file.0 as usize)?,
            line: record.line,
            change: None,
        })
    }

    //--- Lookups

    /// Whether there is any rule of a kind.
    #[inline]
    pub(crate) fn has_rules(&self, kind: RuleKind) -> bool {
        self.rules.index.has(kind)
    }

    /// Whether any subscriber is bound.
    #[inline]
    pub(crate) fn has_bindings(&self) -> bool {
        !self.bindings.index.is_empty()
    }

    /// Whether any subscriber is excepted from a rule.
    #[inline]
    pub(crate) fn has_exceptions(&self) -> bool {
        !self.rules.exceptions.is_empty()
    }

    /// Has the memory fetched that looking up the rules of these devices and of
    /// their TACs begins with, so that the lines of many inquiries come at once instead of
    /// one after the other.
    ///
    /// A hint that changes nothing but the time. It allocates nothing, and it is
    /// meant for up to [`BATCH`](super::devices::BATCH) devices at once.
    #[inline]
    pub fn prefetch(&self, devices: impl Iterator<Item = Device> + Clone) {
        self.rules.devices.prefetch(devices.clone());
        self.rules.index.prefetch(devices);
    }

    /// The same of the bindings and exceptions of subscribers.
    #[inline]
    pub fn prefetch_subscribers(&self, imsis: impl Iterator<Item = Imsi> + Clone) {
        if self.has_bindings() {
            self.bindings.index.prefetch(imsis.clone());
        }
        if self.has_exceptions() {
            self.rules.exceptions.prefetch(imsis);
        }
    }

    /// Calls `visitor` with each rule of one kind that covers the device, in
    /// no particular order. Allocates nothing.
    #[inline(always)]
    pub(crate) fn visit_rules(
        &self,
        kind: RuleKind,
        device: Device,
        svn: Option<Svn>,
        mut visitor: impl FnMut(RuleId, &Terms),
    ) {
        let Rules { devices, index, .. } = &self.rules;
        if kind == RuleKind::Device {
            devices.visit(device, |number, terms| {
                if let Some(terms) = self.catalogue.terms.get(terms as usize) {
                    visitor(RuleId::of_device(number), terms);
                }
            });
            return;
        }
        index.visit(&self.models, kind, device, svn, |number, terms| {
            if let Some(terms) = self.catalogue.terms.get(terms as usize) {
                visitor(RuleId::of_record(number), terms);
            }
        });
    }

    /// Calls `visitor` with bindings of the subscriber, in no particular order:
    /// with all that cover the device or would if its software version were
    /// known, and with the first of each list that is in effect and covers
    /// others; where they are few, with all of them. Allocates nothing.
    ///
    /// Takes constant time and the time for each binding that is visited,
    /// however many there are.
    #[inline]
    pub(crate) fn visit_bindings(
        &self,
        imsi: Imsi,
        asked: (Device, Option<Svn>, UnixTime),
        mut visitor: impl FnMut(BindingId, Scope, &Terms),
    ) {
        let index = &self.bindings.index;
        index.visit(imsi, |found| {
            self.visit_found(found, asked, &mut visitor);
        });
    }

    /// The same of what an index has found.
    #[inline(always)]
    pub(super) fn visit_found(
        &self,
        found: Found<'_>,
        (device, svn, now): (Device, Option<Svn>, UnixTime),
        visitor: &mut impl FnMut(BindingId, Scope, &Terms),
    ) {
        let spans = self.bindings.index.spans();
        let mut visit = |entry: Entry, only_others| {
            if let Some(terms) = self.catalogue.terms.get(entry.terms as usize)
                && let Some(scope) = spans.scope(entry.scope)
                && !(only_others && self.covers(scope, device, svn) != Some(false))
            {
                visitor(BindingId(entry.number), scope, terms);
            }
        };
        match found {
            Found::One(entry) => visit(entry, false),
            Found::Many(crowd) => {
                crowd.visit(&self.models, device, svn, |entry| visit(entry, false));
                // Those that cover the device have been visited.
                crowd.visit_effective(now, |entry| visit(entry, true));
            }
        }
    }

    /// Calls `visitor` with each rule that the subscriber is excepted from,
    /// whatever its devices and status, in no particular order. Allocates
    /// nothing.
    pub(crate) fn visit_exceptions(
        &self,
        imsi: Imsi,
        mut visitor: impl FnMut(RuleId, Scope, &Terms),
    ) {
        (self.rules.exceptions).visit(imsi, |entry| self.visit_exception(entry, &mut visitor));
    }

    /// The same of one device; where there are few, of all. However many there
    /// are, it takes constant time and the time for each that is visited.
    pub(crate) fn visit_exceptions_for(
        &self,
        imsi: Imsi,
        (device, svn): (Device, Option<Svn>),
        mut visitor: impl FnMut(RuleId, Scope, &Terms),
    ) {
        match self.rules.exceptions.crowd(imsi) {
            None => self.visit_exceptions(imsi, visitor),
            Some(crowd) => crowd.visit(&self.models, device, svn, |entry| {
                self.visit_exception(entry, &mut visitor);
            }),
        }
    }

    /// Calls `visitor` with a rule that somebody is excepted from.
    fn visit_exception(&self, entry: Entry, visitor: &mut impl FnMut(RuleId, Scope, &Terms)) {
        let spans: &Spans = self.rules.exceptions.spans();
        if let Some(terms) = self.catalogue.terms.get(entry.terms as usize)
            && let Some(scope) = spans.scope(entry.scope)
        {
            visitor(RuleId::of_record(entry.number), scope, terms);
        }
    }

    /// Whether a scope covers a device; `None` if that depends on the software
    /// version, and none is known.
    #[must_use]
    pub fn covers(&self, scope: Scope, device: Device, svn: Option<Svn>) -> Option<bool> {
        match scope {
            Scope::Special(special) => Some(special.covers_by(device, &self.models)),
            _ => scope.covers(device, svn),
        }
    }

    /// What the bindings of a list answer on a match; `None`: the rules
    /// decide, or it is no list of bindings.
    pub(crate) fn on_match(&self, list: ListId) -> Option<Status> {
        match self.catalogue.lists.get(list.place())?.kind {
            ListKind::Bindings { on_match, .. } => on_match,
            ListKind::Rules { .. } => None,
        }
    }
}

//----------- Parts -----------------------------------------------------------

/// What rules and bindings refer to by number.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    /// The lists.
    pub(super) lists: Vec<List>,
    /// The paths of the files.
    pub(super) files: Vec<Box<str>>,
    /// Lists with status and dates.
    pub(super) terms: Vec<Terms>,
    /// Files with reasons.
    pub(super) sources: Vec<Source>,
    /// The reasons.
    pub(super) reasons: Texts,
}

/// A list as it is stored.
#[derive(Debug)]
pub(super) struct List {
    /// Its name.
    pub(super) name: Box<str>,
    /// What it holds.
    pub(super) kind: ListKind,
    /// How many rules or bindings it has.
    pub(super) entries: usize,
    /// Whether it is a shadow.
    pub(super) shadow: bool,
}

/// Where a rule or binding comes from, but for the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// The file.
    pub(super) file: FileId,
    /// The number of the reason, or one that no reason has.
    pub(super) reason: u32,
}

/// The rules with their indexes.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The rules for single devices.
    pub(super) devices: DeviceRules,
    /// All others, and those that somebody is excepted from, for explanations.
    pub(super) records: Column<StoredRule>,
    /// Where they are found.
    pub(super) index: RuleIndex,
    /// Who is excepted from them.
    pub(super) exceptions: Exceptions,
}

/// The bindings with their index.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    /// The bindings, for explanations.
    pub(super) records: Column<StoredRule>,
    /// Whose they are.
    pub(super) subscribers: Column<StoredSubscribers>,
    /// Where they are found.
    pub(super) index: BoundIndex,
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::{
        BindingSpec, BuildError, Builder, FileId, RuleSpec, Special, Subscribers, Tac, TacPrefix,
        Validity,
    };
    use crate::time::UnixTime;

    /// A rule for a scope, on a line of its own.
    fn rule(scope: Scope, file: FileId, line: u32) -> RuleSpec<'static> {
        RuleSpec {
            scope,
            status: Status::Greylisted,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: &[],
            file,
            line,
        }
    }

    /// A few scopes, two of them the same.
    fn scopes() -> [Scope; 7] {
        let device = Device::from_number(49_015_420_323_751).unwrap();
        let next = Device::from_number(49_015_420_323_752).unwrap();
        [
            Scope::Device(device),
            Scope::DeviceSvn(device, Svn::from_number(7).unwrap()),
            Scope::Range {
                from: device,
                to: next,
            },
            Scope::Tac(Tac::from_digits(b"49015420").unwrap()),
            Scope::TacPrefix(TacPrefix::from_digits(b"49").unwrap()),
            Scope::Device(device),
            Scope::Special(Special::Zero),
        ]
    }

    #[test]
    fn gives_back_what_was_added() {
        let mut builder = Builder::new();
        let list = builder.list("grey", Status::Blacklisted).unwrap();
        let fleet = builder
            .binding_list("fleet", Status::Blacklisted, Some(Status::Whitelisted))
            .unwrap();
        let files = ["a.csv", "b.csv"].map(|path| builder.file(path).unwrap());
        let validity = Validity {
            from: Some(UnixTime(1)),
            until: None,
        };
        let imsi = Imsi::parse(b"001010000000001").unwrap();
        for (line, scope) in (1..).zip(scopes()) {
            let spec = RuleSpec {
                validity,
                reason: Some("watched").filter(|_| line > 3),
                exceptions: &[imsi],
                ..rule(scope, files[line as usize % 2], line)
            };
            builder.rule(list, spec).unwrap();
        }
        let binding = BindingSpec {
            subscribers: Subscribers::One(imsi),
            scope: scopes()[2],
            validity,
            reason: Some("lorry"),
            file: files[1],
            line: 9,
        };
        builder.binding(fleet, binding).unwrap();
        let snapshot = builder.finish();

        let mut rules: Vec<_> = snapshot.rules().collect();
        rules.sort_by_key(|rule| rule.line);
        let added: Vec<_> = (1..).zip(scopes()).collect();
        // The sixth says nothing new, so that it is not looked at.
        let expected = added.iter().filter(|&&(line, _)| line != 6);
        let found = rules.iter().map(|rule| (rule.line, rule.scope));
        assert!(found.eq(expected.copied()), "{rules:?}");
        for rule in rules {
            let device = Device::from_number(49_015_420_323_751).unwrap();
            let again = snapshot.rule(rule.id, device).unwrap();
            assert_eq!((again.line, again.scope), (rule.line, rule.scope));
            assert_eq!((rule.status, rule.validity), (Status::Greylisted, validity));
            assert_eq!(rule.list.name, "grey");
            assert_eq!(rule.file, ["a.csv", "b.csv"][rule.line as usize % 2]);
            assert_eq!(rule.reason, Some("watched").filter(|_| rule.line > 3));
        }
        let view = snapshot.binding(BindingId(0)).unwrap();
        assert_eq!(view.subscribers, Subscribers::One(imsi));
        assert_eq!((view.scope, view.line), (scopes()[2], 9));
        assert_eq!((view.list.name, view.file), ("fleet", "b.csv"));
        assert_eq!((view.reason, view.validity), (Some("lorry"), validity));
        assert!(snapshot.binding(BindingId(1)).is_none());

        let counts = Counts {
            device_svns: 1,
            devices: 2,
            ranges: 1,
            tacs: 1,
            tac_prefixes: 1,
            specials: 1,
            exceptions: 7,
            bindings: 1,
        };
        assert_eq!(snapshot.counts(), counts);
        assert_eq!(counts.rules(), 7);
        let lists: Vec<_> = snapshot
            .lists()
            .map(|list| (list.id.number(), list.name, list.kind, list.entries))
            .collect();
        let grey = ListKind::Rules {
            status: Status::Blacklisted,
        };
        let fleet = ListKind::Bindings {
            mismatch: Status::Blacklisted,
            on_match: Some(Status::Whitelisted),
        };
        assert_eq!(lists, [(0, "grey", grey, 7), (1, "fleet", fleet, 1)]);
    }

    #[test]
    fn refuses_what_was_not_declared() {
        let mut other = Builder::new();
        let mut builder = Builder::new();
        let list = builder.list("grey", Status::Greylisted).unwrap();
        let bindings = builder
            .binding_list("fleet", Status::Blacklisted, None)
            .unwrap();
        let file = builder.file("a.csv").unwrap();
        let spec = rule(scopes()[0], file, 1);
        let binding = BindingSpec {
            subscribers: Subscribers::One(Imsi::parse(b"001010").unwrap()),
            scope: spec.scope,
            validity: Validity::ALWAYS,
            reason: None,
            file,
            line: 1,
        };
        assert_eq!(builder.rule(bindings, spec), Err(BuildError::List));
        assert_eq!(builder.binding(list, binding), Err(BuildError::List));
        assert_eq!(other.rule(list, spec), Err(BuildError::List));
        other.list("grey", Status::Greylisted).unwrap();
        assert_eq!(other.rule(list, spec), Err(BuildError::File));
        assert_eq!(other.finish().counts().rules(), 0);
        builder.rule(list, spec).unwrap();
        assert_eq!(builder.finish().counts().rules(), 1);
    }

    #[test]
    fn runs_out_of_lists() {
        let mut builder = Builder::new();
        for _ in 0..u16::MAX {
            builder.list("one of many", Status::Blacklisted).unwrap();
        }
        assert_eq!(
            builder.list("one too many", Status::Blacklisted),
            Err(BuildError::TooMany("lists")),
        );
        assert_eq!(builder.finish().lists().len(), usize::from(u16::MAX));
    }

    /// However many there are, only those about the device are visited.
    #[test]
    fn what_is_much_is_not_looked_at_one_by_one() {
        const MANY: u64 = 20_000;
        let mut builder = Builder::new();
        let list = builder.list("black", Status::Blacklisted).unwrap();
        let fleet = builder
            .binding_list("fleet", Status::Blacklisted, None)
            .unwrap();
        let file = builder.file("a.csv").unwrap();
        let imsi = Imsi::parse(b"001010000000001").unwrap();
        let device = |number| Device::from_number(number).unwrap();
        for number in 0..MANY {
            let own = device(number * 10);
            let range = Scope::Range {
                from: own,
                to: device(MANY * 10),
            };
            for scope in [Scope::Device(own), range] {
                let spec = RuleSpec {
                    exceptions: &[imsi],
                    ..rule(scope, file, 1)
                };
                builder.rule(list, spec).unwrap();
                for subscribers in [
                    Subscribers::One(imsi),
                    Subscribers::Range {
                        from: imsi,
                        to: imsi,
                    },
                ] {
                    let binding = BindingSpec {
                        subscribers,
                        scope,
                        validity: Validity::ALWAYS,
                        reason: None,
                        file,
                        line: 1,
                    };
                    builder.binding(fleet, binding).unwrap();
                }
            }
        }
        let snapshot = builder.finish();
        for (number, covering) in [(MANY * 5, 2), (MANY * 5 + 1, 1), (MANY * 10 + 1, 0)] {
            let own = device(number);
            let mut rules = 0;
            for kind in RuleKind::ALL {
                snapshot.visit_rules(kind, own, None, |_, _| rules += 1);
            }
            assert_eq!(rules, covering);
            let mut exceptions = 0;
            snapshot.visit_exceptions_for(imsi, (own, None), |_, scope, _| {
                assert_eq!(scope.covers(own, None), Some(true));
                exceptions += 1;
            });
            assert_eq!(exceptions, covering);
            // By the IMSI and by the range; and where none covers the device, the
            // first says what it is elsewhere.
            let mut bindings = 0;
            snapshot.visit_bindings(imsi, (own, None, UnixTime(0)), |_, _, _| bindings += 1);
            assert!(
                (1..=2 * covering.max(1) + 2).contains(&bindings),
                "{bindings}"
            );
        }
    }
}
