//! A snapshot and the changes above it, said anew as one.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Overlay, entry};
use crate::equipment::change::Change;
use crate::equipment::{
    BindingSpec, BuildError, Builder, Device, ExceptionSpec, FileId, Imsi, ListId, ListKind,
    RuleId, RuleSpec, RuleView, Scope, Snapshot, Status, Subscribers, Validity,
};

/// Rules that are added before what they take may be moved elsewhere.
const STRIDE: usize = 4096;

/// Who is excepted from rules of single devices, which have no number of their
/// own.
type Excepted<'a> = FxHashMap<(Device, ListId, Validity), Vec<(Imsi, RuleView<'a>)>>;

impl Overlay {
    /// Adds to a builder all that the snapshot says with these changes above it,
    /// which are those of this overlay in the order in which they were made:
    /// what is made of it says the same of every device.
    ///
    /// A rule of a change is said to stand in a file that tells who made it, on
    /// the line of its number. `spill` is called from time to time, so that
    /// what the builder holds can be moved elsewhere.
    ///
    /// # Errors
    ///
    /// Where there is more than can be numbered, `spill` fails, or what was left
    /// in the file of the snapshot cannot be read.
    pub fn fold<'c>(
        &self,
        base: &Snapshot,
        changes: impl Iterator<Item = &'c Arc<Change>>,
        builder: &mut Builder,
        mut spill: impl FnMut(&mut Builder) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        for list in base.lists() {
            let id = match list.kind {
                ListKind::Rules { status } => builder.list(list.name, status)?,
                ListKind::Bindings { mismatch, on_match } => {
                    builder.binding_list(list.name, mismatch, on_match)?
                }
            };
            if list.shadow {
                builder.shadow(id)?;
            }
        }
        let mut tacs: Vec<_> = base.models().tacs().collect();
        tacs.sort_unstable();
        for tac in tacs {
            if let Some(model) = base.models().find(tac) {
                builder.model(tac, model.make, model.model)?;
            }
        }
        let failures = base.failures();
        let mut files = Files::default();
        self.fold_rules(base, &mut files, builder, &mut spill)?;
        self.fold_bindings(base, &mut files, builder, &mut spill)?;
        for (count, change) in changes.enumerate() {
            fold_change(base, change, &mut files, builder)?;
            if count % STRIDE == 0 {
                spill(builder)?;
            }
        }
        if base.failures() != failures {
            return Err(BuildError::Memory);
        }
        spill(builder)
    }

    /// Adds the rules of the snapshot that no change speaks in place of, and the
    /// exceptions from them.
    fn fold_rules<'a>(
        &self,
        base: &'a Snapshot,
        files: &mut Files<'a>,
        builder: &mut Builder,
        spill: &mut impl FnMut(&mut Builder) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let mut of_records: FxHashMap<RuleId, Vec<Imsi>> = FxHashMap::default();
        let mut of_devices = Excepted::default();
        for imsi in base.excepted() {
            base.visit_exceptions(imsi, |id, scope, _| match scope {
                Scope::Device(device) => {
                    // From what is not blacklisted nobody needs to be excepted.
                    if let Some(rule) = base.rule(id, device)
                        && rule.status == Status::Blacklisted
                    {
                        let key = (device, rule.list.id, rule.validity);
                        of_devices.entry(key).or_default().push((imsi, rule));
                    }
                }
                _ => of_records.entry(id).or_default().push(imsi),
            });
        }
        for (count, rule) in base.rules().enumerate() {
            if count % STRIDE == 0 {
                spill(builder)?;
            }
            if self.replaces(rule.list.id, rule.scope) {
                continue;
            }
            let file = files.of(rule.file, builder)?;
            let mut exceptions = match rule.scope {
                Scope::Device(device) if rule.status == Status::Blacklisted => {
                    let own = of_devices.remove(&(device, rule.list.id, rule.validity));
                    let own = own.unwrap_or_default().into_iter();
                    own.map(|(imsi, _)| imsi).collect()
                }
                Scope::Device(_) => Vec::new(),
                _ => of_records.remove(&rule.id).unwrap_or_default(),
            };
            // Who is excepted from rules of other lists has a record without a
            // rule.
            if !matches!(rule.scope, Scope::Device(_)) && !base.says(&rule) {
                exceptions.retain(|_| rule.status == Status::Blacklisted);
                for imsi in exceptions {
                    builder.exception(rule.list.id, exception(imsi, &rule, file))?;
                }
                continue;
            }
            exceptions.sort_unstable();
            exceptions.dedup();
            let spec = RuleSpec {
                scope: rule.scope,
                status: rule.status,
                validity: rule.validity,
                reason: rule.reason,
                exceptions: &exceptions,
                file,
                line: rule.line,
            };
            builder.rule(rule.list.id, spec)?;
        }
        let mut left: Vec<_> = of_devices.into_iter().collect();
        left.sort_unstable_by_key(|&((device, list, validity), _)| {
            (device, list, validity.from, validity.until)
        });
        for ((device, list, _), own) in left {
            if self.replaces(list, Scope::Device(device)) {
                continue;
            }
            for (imsi, rule) in own {
                let file = files.of(rule.file, builder)?;
                builder.exception(list, exception(imsi, &rule, file))?;
            }
        }
        Ok(())
    }

    /// Likewise the bindings.
    fn fold_bindings<'a>(
        &self,
        base: &'a Snapshot,
        files: &mut Files<'a>,
        builder: &mut Builder,
        spill: &mut impl FnMut(&mut Builder) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        for (count, binding) in base.bindings().enumerate() {
            if count % STRIDE == 0 {
                spill(builder)?;
            }
            if let Subscribers::One(imsi) = binding.subscribers
                && self.replaces_binding(binding.list.id, imsi, binding.scope)
            {
                continue;
            }
            let spec = BindingSpec {
                subscribers: binding.subscribers,
                scope: binding.scope,
                validity: binding.validity,
                reason: binding.reason,
                file: files.of(binding.file, builder)?,
                line: binding.line,
            };
            builder.binding(binding.list.id, spec)?;
        }
        Ok(())
    }

    /// Whether a change speaks in place of what a list says of exactly this
    /// subscriber in these devices.
    fn replaces_binding(&self, list: ListId, imsi: Imsi, scope: Scope) -> bool {
        let mut own = self.subscribers.find(imsi.key());
        own.any(|of| !of.is_exception && of.list == list && of.change.subject.scope == scope)
    }
}

/// Adds what a change says, if it fits its list.
fn fold_change(
    base: &Snapshot,
    change: &Change,
    files: &mut Files<'_>,
    builder: &mut Builder,
) -> Result<(), BuildError> {
    let Some(entry) = entry(change) else {
        return Ok(());
    };
    let subject = &change.subject;
    let Some(list) = base.lists().find(|list| *list.name == *subject.list) else {
        return Ok(());
    };
    let file = files.of_changes(&change.by, builder)?;
    let line = u32::try_from(change.number).unwrap_or_default();
    match (list.kind, subject.subscriber) {
        (ListKind::Rules { .. }, None) => {
            let spec = RuleSpec {
                scope: subject.scope,
                status: entry.status,
                validity: entry.validity,
                reason: entry.reason.as_deref(),
                exceptions: &entry.exceptions,
                file,
                line,
            };
            builder.rule(list.id, spec)
        }
        (ListKind::Bindings { .. }, Some(imsi)) => {
            let spec = BindingSpec {
                subscribers: Subscribers::One(imsi),
                scope: subject.scope,
                validity: entry.validity,
                reason: entry.reason.as_deref(),
                file,
                line,
            };
            builder.binding(list.id, spec)
        }
        // The list is of the other kind by now.
        _ => Ok(()),
    }
}

/// An exception that stands on the line of a rule.
fn exception<'a>(imsi: Imsi, rule: &RuleView<'a>, file: FileId) -> ExceptionSpec<'a> {
    ExceptionSpec {
        imsi,
        scope: rule.scope,
        validity: rule.validity,
        reason: rule.reason,
        file,
        line: rule.line,
    }
}

//----------- Files -----------------------------------------------------------

/// The files of a snapshot by their paths, and those that changes are said to
/// stand in by who made them.
#[derive(Default)]
struct Files<'a> {
    /// Those of the snapshot.
    paths: FxHashMap<&'a str, FileId>,
    /// The one that was asked for last: most rules that follow each other stand
    /// in one.
    last: Option<(&'a str, FileId)>,
    /// Those of changes.
    by: FxHashMap<Arc<str>, FileId>,
}

impl<'a> Files<'a> {
    /// The number of a file.
    fn of(&mut self, path: &'a str, builder: &mut Builder) -> Result<FileId, BuildError> {
        if let Some((last, id)) = self.last
            && core::ptr::eq(last, path)
        {
            return Ok(id);
        }
        let id = match self.paths.get(path) {
            Some(&id) => id,
            None => {
                let id = builder.file(path)?;
                self.paths.insert(path, id);
                id
            }
        };
        self.last = Some((path, id));
        Ok(id)
    }

    /// That of the changes that somebody made.
    fn of_changes(&mut self, by: &Arc<str>, builder: &mut Builder) -> Result<FileId, BuildError> {
        if let Some(&id) = self.by.get(by) {
            return Ok(id);
        }
        let id = builder.file(&format!("changes of {by}"))?;
        self.by.insert(Arc::clone(by), id);
        Ok(id)
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::equipment::{Left, Octets, Parts, Section, Store, Svn};

    /// Octets that cannot be read once, after so many readings.
    #[derive(Debug)]
    struct Flaky {
        octets: Vec<u8>,
        reads: AtomicU64,
        fails: u64,
    }

    impl Store for Flaky {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> bool {
            let from = offset as usize;
            buffer.copy_from_slice(&self.octets[from..from + buffer.len()]);
            self.reads.fetch_add(1, Ordering::Relaxed) != self.fails
        }

        fn failures(&self) -> u64 {
            u64::from(self.reads.load(Ordering::Relaxed) > self.fails)
        }
    }

    /// A snapshot with rules and bindings of all kinds that are left in a file.
    fn snapshot() -> Snapshot {
        let mut builder = Builder::new();
        let stolen = builder.list("stolen", Status::Blacklisted).unwrap();
        let meters = builder
            .binding_list("meters", Status::Blacklisted, None)
            .unwrap();
        let file = builder.file("a.csv").unwrap();
        let device = |number: u64| Device::from_number(35_209_900_000_000 + number).unwrap();
        for number in 0..5000u64 {
            let svn = Svn::from_digits(b"07").unwrap();
            let (validity, reason, line) = (Validity::ALWAYS, None, number as u32 + 1);
            let scope = match number % 50 {
                0 => Scope::Device(device(number)),
                _ => Scope::DeviceSvn(device(number), svn),
            };
            let rule = RuleSpec {
                scope,
                status: Status::Blacklisted,
                validity,
                reason,
                exceptions: &[],
                file,
                line,
            };
            builder.rule(stolen, rule).unwrap();
            let imsi = Imsi::parse(format!("{:015}", 1_010_000_000_000 + number).as_bytes());
            let binding = BindingSpec {
                subscribers: Subscribers::One(imsi.unwrap()),
                scope: Scope::Device(device(number)),
                validity,
                reason,
                file,
                line,
            };
            builder.binding(meters, binding).unwrap();
        }
        builder.finish()
    }

    /// A snapshot that was stored, and is read from where it fails once.
    fn restored(sections: &[Section<'_>], fails: u64) -> (Snapshot, Arc<Flaky>) {
        let left = |section: &&Section<'_>| Section::LEFT.contains(&section.name);
        let store = Arc::new(Flaky {
            octets: (sections.iter().filter(left))
                .flat_map(|section| section.octets.to_vec())
                .collect(),
            reads: AtomicU64::new(0),
            fails,
        });
        let mut parts = Parts::default();
        let mut offset = 0;
        for section in sections {
            let (name, len) = (section.name.to_owned(), section.octets.len());
            if left(&section) {
                let store = Arc::clone(&store) as Arc<dyn Store>;
                let len = len as u64;
                assert!(parts.leave(name, Left { store, offset, len }));
                offset += len;
            } else {
                let mut own = Octets::zeroed(len);
                own.as_mut_slice().copy_from_slice(&section.octets);
                assert!(parts.insert(name, own));
            }
        }
        (Snapshot::restore(&mut parts).unwrap(), store)
    }

    /// Whichever reading fails, nothing is folded; if none does, all is there.
    #[test]
    fn what_cannot_be_read_is_not_left_out() {
        let snapshot = snapshot();
        let sections = snapshot.sections().unwrap();
        let fold = |fails| {
            let (base, store) = restored(&sections, fails);
            let mut builder = Builder::new();
            let overlay = Overlay::new([1, 2]);
            let folded = overlay.fold(&base, [].into_iter(), &mut builder, |_| Ok(()));
            (folded, builder, store.reads.load(Ordering::Relaxed))
        };
        let (folded, builder, reads) = fold(u64::MAX);
        folded.unwrap();
        let all = builder.finish();
        assert_eq!(all.rules().count(), 5000);
        assert!(all.rules().all(|rule| rule.line > 0));
        let told = |snapshot: &Snapshot| -> Vec<String> {
            (snapshot.bindings())
                .map(|own| format!("{own:?}"))
                .collect()
        };
        assert_eq!(told(&all), told(&snapshot));
        // Of each kind some: rules, bindings, subscribers and lines.
        assert!(reads > 100, "{reads}");
        for fails in 0..reads {
            let (folded, ..) = fold(fails);
            assert!(matches!(folded, Err(BuildError::Memory)), "{fails}");
        }
    }
}
