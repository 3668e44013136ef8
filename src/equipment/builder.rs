//! From rules to a snapshot.

use rustc_hash::{FxHashMap, FxHashSet};
use thiserror::Error;

use super::bindings::{BoundBuilder, Exceptions};
use super::bulk::{
    Assembly, Bundle, Classes, Kept, PARTITIONS, Partition, Plan, Prepared, Refusal, Refusals,
    Said, Scattered, Scratch, Tuple, counted,
};
use super::device_rules::DeviceRules;
use super::devices::Devices;
use super::directory::TacDirectoryBuilder;
use super::index::RuleIndexBuilder;
use super::ranges::deepest;
use super::record::{NONE, Record, Records};
use super::snapshot::{Bindings, Catalogue, List, ListKind, Rules, Source};
use super::texts::TextsBuilder;
use super::union::Union;
use super::{
    BindingSpec, Counts, Device, ExceptionSpec, FileId, Imsi, ListId, RuleId, RuleSpec, Scope,
    Snapshot, Status, Tac, Terms, Validity,
};

/// How many rules about one device are looked at one by one for another that
/// says the same; where there are more, a table knows them. More than one
/// device has in practice, so that the table is small.
const REPEATS_SOUGHT: usize = 32;

/// How many rules of single devices make a bundle, if they come one by one: a
/// few megabytes.
const OPEN_MAX: usize = 1 << 17;

/// The most rules about exactly the same devices that differ in list, status
/// or dates, and the most ranges of one list that do so and share a device or
/// subscriber, since each verdict looks at all of them: far more than there are
/// in practice.
pub const MAX_TERMS: usize = 1024;

//----------- Builder ---------------------------------------------------------

/// Collects lists, and makes a [`Snapshot`] of them.
///
/// Lists and files are declared before the rules that stand in them:
///
/// ```
/// use weir::equipment::{Builder, Imei, RuleSpec, Scope, Status, Validity};
///
/// let mut builder = Builder::new();
/// let list = builder.list("stolen", Status::Blacklisted)?;
/// let file = builder.file("stolen.csv")?;
/// builder.rule(list, RuleSpec {
///     scope: Scope::Device(Imei::parse(b"490154203237518").unwrap().device),
///     status: Status::Blacklisted,
///     validity: Validity::ALWAYS,
///     reason: Some("reported by its owner"),
///     exceptions: &[],
///     file,
///     line: 2,
/// })?;
/// let snapshot = builder.finish();
/// assert_eq!(snapshot.counts().devices, 1);
/// # Ok::<(), weir::equipment::BuildError>(())
/// ```
#[derive(Debug, Default)]
pub struct Builder {
    /// The lists.
    lists: Vec<List>,
    /// The paths of the files.
    files: Vec<Box<str>>,
    /// List, status and dates of all rules and bindings.
    terms: Interner<Terms>,
    /// File and reason of all rules and bindings.
    sources: Interner<Source>,
    /// The reasons.
    reasons: TextsBuilder,
    /// The rules, but for those of one device.
    rules: Records,
    /// What rules of single devices say.
    saids: Interner<Said>,
    /// Rules of single devices that are in no bundle yet.
    open: Vec<Tuple>,
    /// The others, unless they were taken.
    bundles: Vec<Bundle>,
    /// Those of them from which somebody is excepted: device, what is said, and
    /// line, and the record of the exception.
    excepted: FxHashMap<(Device, u32, u32), u32>,
    /// Where the rules are found.
    index: RuleIndexBuilder,
    /// The numbers of the terms of devices with very many rules.
    crowded: FxHashMap<Scope, FxHashSet<u32>>,
    /// What the ranges of each list cover with each status, and with each of
    /// their terms.
    covered: FxHashMap<(ListId, Status), Covered>,
    /// How many ranges there were when each list was declared.
    ranges_before: Vec<usize>,
    /// Who is excepted from them.
    exceptions: Vec<(Imsi, RuleId)>,
    /// The bindings.
    bindings: Records,
    /// Whose bindings they are, and where they are found.
    bound: BoundBuilder,
    /// The models of devices.
    models: TacDirectoryBuilder,
    /// How many there are of each.
    counts: Counts,
}

impl Builder {
    /// A builder that has nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a list of rules. The status is that of lines which name none;
    /// here it is kept for reports only.
    ///
    /// # Errors
    ///
    /// If there are too many lists.
    pub fn list(&mut self, name: &str, status: Status) -> Result<ListId, BuildError> {
        self.push_list(name, ListKind::Rules { status })
    }

    /// Declares a list of bindings: what a subscriber is answered who uses a
    /// device that it is not bound to, and one that it is; `None`: the rules
    /// decide.
    ///
    /// # Errors
    ///
    /// If there are too many lists.
    pub fn binding_list(
        &mut self,
        name: &str,
        mismatch: Status,
        on_match: Option<Status>,
    ) -> Result<ListId, BuildError> {
        self.push_list(name, ListKind::Bindings { mismatch, on_match })
    }

    /// Makes a list a shadow: it has no say in any verdict, but it can be asked
    /// what it would have said.
    ///
    /// # Errors
    ///
    /// If the list is not of this builder.
    pub fn shadow(&mut self, list: ListId) -> Result<(), BuildError> {
        let list = self.lists.get_mut(list.place()).ok_or(BuildError::List)?;
        list.shadow = true;
        Ok(())
    }

    /// Declares a file that rules stand in.
    ///
    /// # Errors
    ///
    /// If there are too many files.
    pub fn file(&mut self, path: &str) -> Result<FileId, BuildError> {
        let id = number_of_next(self.files.len(), "files")?;
        self.files.push(path.into());
        Ok(FileId(id))
    }

    /// Adds a rule to a list.
    ///
    /// # Errors
    ///
    /// If the list or the file is not of this builder, or there are too many
    /// rules.
    pub fn rule(&mut self, list: ListId, rule: RuleSpec<'_>) -> Result<(), BuildError> {
        self.rule_of_line(list, rule, &[])
    }

    /// Adds one of the rules of a line that gives devices all these statuses. If
    /// it is of a single device and contradicts a line before, it is left out in
    /// the end, with all others of its line about the device, which are added
    /// one behind the other; of what is about other devices,
    /// [`contradicts`](Self::contradicts) tells. Without statuses it counts
    /// whatever it contradicts.
    pub(crate) fn rule_of_line(
        &mut self,
        list: ListId,
        rule: RuleSpec<'_>,
        statuses: &[Status],
    ) -> Result<(), BuildError> {
        let Some(ListKind::Rules { .. }) = self.kind_of(list) else {
            return Err(BuildError::List);
        };
        let terms = self.terms.intern(Terms {
            list,
            status: rule.status,
            validity: rule.validity,
        })?;
        let source = self.intern_source(rule.file, rule.reason)?;
        let number = match rule.scope {
            Scope::Device(device) => {
                let said = self.saids.intern(Said {
                    terms,
                    source,
                    statuses: Said::bits(statuses),
                    has_exceptions: !rule.exceptions.is_empty(),
                })?;
                self.push_tuple(Tuple::new(device, said, rule.line));
                self.except(device, said, &rule)?
            }
            _ => Some(self.push_rule(terms, source, &rule)?),
        };
        for &imsi in rule.exceptions {
            self.push_exception(imsi, number)?;
        }
        *self.counts.of_mut(rule.scope.kind()) += 1;
        self.count_entries(list, 1);
        Ok(())
    }

    /// Adds the record of a rule that is not of a single device.
    fn push_rule(
        &mut self,
        terms: u32,
        source: u32,
        rule: &RuleSpec<'_>,
    ) -> Result<u32, BuildError> {
        let number = (self.rules)
            .push(rule.scope, terms, source, rule.line)
            .ok_or(BuildError::TooMany("rules"))?;
        // A rule that only says again what another says is kept for its line and
        // its exceptions, but not looked at: a list that repeats a line a
        // hundred thousand times must not make one device's verdict slow.
        if !self.repeats(rule.scope, terms)
            && let Some(next) = self.index.insert(rule.scope, number)
        {
            self.rules.link(number, next);
        }
        if let Scope::Range { from, to } = rule.scope
            && let Some(list) = self.terms.values.get(terms as usize)
        {
            let covered = self.covered.entry((list.list, rule.status)).or_default();
            covered.insert(from, to, terms);
        }
        Ok(number)
    }

    /// Adds a record for the exceptions of a rule of a single device, which has
    /// no other.
    fn except(
        &mut self,
        device: Device,
        said: u32,
        rule: &RuleSpec<'_>,
    ) -> Result<Option<u32>, BuildError> {
        let Some(own) = self.saids.values.get(said as usize) else {
            return Ok(None);
        };
        if !own.has_exceptions {
            return Ok(None);
        }
        let number = (self.rules)
            .push(rule.scope, own.terms, own.source, rule.line)
            .ok_or(BuildError::TooMany("exceptions"))?;
        self.excepted.insert((device, said, rule.line), number);
        Ok(Some(number))
    }

    //--- In bulk

    /// The number of what rules of single devices say that stand in a file; see
    /// [`rule_of_line`](Self::rule_of_line) for the statuses.
    pub(crate) fn said(
        &mut self,
        (list, file): (ListId, FileId),
        (status, validity): (Status, Validity),
        reason: Option<&str>,
    ) -> Result<u32, BuildError> {
        let Some(ListKind::Rules { .. }) = self.kind_of(list) else {
            return Err(BuildError::List);
        };
        let terms = self.terms.intern(Terms {
            list,
            status,
            validity,
        })?;
        let source = self.intern_source(file, reason)?;
        self.saids.intern(Said {
            terms,
            source,
            statuses: Said::bits(&[status]),
            has_exceptions: false,
        })
    }

    /// Adds rules of single devices to a list, which come behind all that were
    /// added before; what they say has numbers of [`said`](Self::said).
    pub(crate) fn bundle(&mut self, list: ListId, bundle: Bundle) {
        self.close_bundle();
        self.counts.devices += bundle.meta.len();
        self.count_entries(list, bundle.meta.len());
        self.bundles.push(bundle);
    }

    /// Adds a rule of a single device.
    fn push_tuple(&mut self, tuple: Tuple) {
        self.open.push(tuple);
        if self.open.len() >= OPEN_MAX {
            self.close_bundle();
        }
    }

    /// Makes a bundle of the rules that are in none.
    fn close_bundle(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let tuples = core::mem::take(&mut self.open);
        self.bundles.push(Bundle::of_register(tuples));
    }

    /// Takes the rules of single devices that were added, which may be kept
    /// elsewhere until the end.
    pub(crate) fn take_bundles(&mut self, all: bool) -> Vec<Bundle> {
        if all {
            self.close_bundle();
        }
        core::mem::take(&mut self.bundles)
    }

    /// Excepts a subscriber from the rule of a record.
    fn push_exception(&mut self, imsi: Imsi, record: Option<u32>) -> Result<(), BuildError> {
        number_of_next(self.exceptions.len(), "exceptions")?;
        let record = record.ok_or(BuildError::TooMany("exceptions"))?;
        self.exceptions.push((imsi, RuleId::of_record(record)));
        Ok(())
    }

    /// How many rules of single devices were added.
    pub(crate) fn device_rules(&self) -> u64 {
        self.counts.devices as u64
    }

    /// The number of the file of each source, for
    /// [`plan`](Self::plan).
    pub(crate) fn files_of_sources(&self) -> Vec<u32> {
        let sources = self.sources.values.iter();
        sources.map(|source| source.file.0).collect()
    }

    /// What the rules of single devices are assembled with, of which this is the
    /// digest; and whether their lines are kept.
    pub(crate) fn plan<'a>(&'a self, files: &'a [u32], how: (u64, bool)) -> Plan<'a> {
        Plan::new(&self.saids.values, &self.terms.values, files, how)
    }

    /// The file and the list of what is said.
    pub(crate) fn place_of(&self, said: u32) -> Option<(FileId, ListId, Status)> {
        let said = self.saids.values.get(said as usize)?;
        let terms = self.terms.values.get(said.terms as usize)?;
        let source = self.sources.values.get(said.source as usize)?;
        Some((source.file, terms.list, terms.status))
    }

    /// The path of a file.
    pub(crate) fn path(&self, file: FileId) -> Option<&str> {
        self.files.get(file.0 as usize).map(|path| &**path)
    }

    /// Adds a binding to a list.
    ///
    /// # Errors
    ///
    /// If the list or the file is not of this builder, or there are too many
    /// bindings.
    pub fn binding(&mut self, list: ListId, binding: BindingSpec<'_>) -> Result<(), BuildError> {
        let Some(ListKind::Bindings { mismatch, .. }) = self.kind_of(list) else {
            return Err(BuildError::List);
        };
        let terms = self.terms.intern(Terms {
            list,
            status: mismatch,
            validity: binding.validity,
        })?;
        let source = self.intern_source(binding.file, binding.reason)?;
        self.bindings
            .push(binding.scope, terms, source, binding.line)
            .ok_or(BuildError::TooMany("bindings"))?;
        self.bound.push(binding.subscribers);
        self.count_entries(list, 1);
        Ok(())
    }

    /// Lets a subscriber use devices although they are blacklisted, by a list
    /// that has no rules about them itself.
    ///
    /// It is kept as a blacklisted rule that no device is judged by, so that
    /// an explanation finds file and line of it.
    ///
    /// # Errors
    ///
    /// If the list or the file is not of this builder, or there are too many
    /// exceptions.
    pub fn exception(
        &mut self,
        list: ListId,
        exception: ExceptionSpec<'_>,
    ) -> Result<(), BuildError> {
        let Some(ListKind::Rules { .. }) = self.kind_of(list) else {
            return Err(BuildError::List);
        };
        let terms = self.terms.intern(Terms {
            list,
            status: Status::Blacklisted,
            validity: exception.validity,
        })?;
        let source = self.intern_source(exception.file, exception.reason)?;
        let number = self
            .rules
            .push(exception.scope, terms, source, exception.line)
            .ok_or(BuildError::TooMany("exceptions"))?;
        self.push_exception(exception.imsi, Some(number))?;
        self.count_entries(list, 1);
        Ok(())
    }

    /// Whether there are as many rules about exactly these devices as there may
    /// be, [`MAX_TERMS`], and one of these would be another. Of single devices it
    /// is not known before the end.
    #[must_use]
    pub fn is_crowded(
        &self,
        list: ListId,
        scope: Scope,
        validity: Validity,
        statuses: &[Status],
    ) -> bool {
        let known = self.crowded.get(&scope);
        let Some(known) = known.filter(|known| known.len() >= MAX_TERMS) else {
            return false;
        };
        statuses.iter().any(|&status| {
            let terms = self.terms.numbers.get(&Terms {
                list,
                status,
                validity,
            });
            terms.is_none_or(|terms| !known.contains(terms))
        })
    }

    /// Whether a rule of the same list about exactly the same devices, or of a
    /// range about a device of this range, has a status that is none of
    /// `statuses` at a time that they share. Of single devices it is not known
    /// before the end.
    #[must_use]
    pub fn contradicts(
        &self,
        list: ListId,
        scope: Scope,
        validity: Validity,
        statuses: &[Status],
    ) -> bool {
        let Scope::Range { from, to } = scope else {
            return self
                .contradiction(list, scope, validity, statuses)
                .is_some();
        };
        let mut others = (Status::ALL.iter()).filter(|status| !statuses.contains(status));
        others.any(|&status| {
            (self.covered.get(&(list, status))).is_some_and(|covered| {
                covered.overlaps(from, to, |terms| {
                    let terms = self.terms.values.get(terms as usize);
                    terms.is_some_and(|terms| terms.validity.overlaps(validity))
                })
            })
        })
    }

    /// That rule. Of a range it is looked for in the whole list, so that
    /// [`contradicts`](Self::contradicts) is to be asked first.
    #[must_use]
    pub fn contradiction(
        &self,
        list: ListId,
        scope: Scope,
        validity: Validity,
        statuses: &[Status],
    ) -> Option<Contradiction<'_>> {
        let contradiction = |record: &Record| {
            let terms = self.terms.values.get(record.terms as usize)?;
            let differs = terms.list == list
                && !statuses.contains(&terms.status)
                && terms.validity.overlaps(validity);
            let source = self.sources.values.get(record.source as usize)?;
            differs.then_some(Contradiction {
                scope: self.rules.scope(record)?,
                status: terms.status,
                file: self.files.get(source.file.0 as usize)?,
                line: record.line,
            })
        };
        if let Scope::Range { from, to } = scope {
            let before = self.ranges_before.get(list.place()).copied();
            let ranges = self.index.ranges().skip(before.unwrap_or(0));
            let mut overlapping =
                ranges.filter(|&(start, end, _)| start <= to.number() && from.number() <= end);
            return overlapping.find_map(|(_, _, number)| contradiction(self.rules.find(number)?));
        }
        let head = self.index.find(scope).unwrap_or(NONE);
        let mut chain = self.rules.chain(head);
        chain.find_map(|(_, record)| contradiction(record))
    }

    /// The most ranges of a list with different statuses or dates that share a
    /// device, and that device; `None` if they are no more than [`MAX_TERMS`].
    #[must_use]
    pub fn crowded_device(&self, list: ListId) -> Option<(usize, Device)> {
        let covered = |status: &Status| self.covered.get(&(list, *status));
        let covered = Status::ALL.iter().filter_map(covered);
        // Of so few different ones no more can share a device.
        if covered.map(|covered| covered.by_terms.len()).sum::<usize>() < COVERED_TERMS {
            return None;
        }
        let before = self.ranges_before.get(list.place()).copied();
        let ranges = self.index.ranges().skip(before.unwrap_or(0));
        let of_list = ranges.filter_map(|(from, to, number)| {
            let number = self.rules.find(number)?.terms;
            let terms = self.terms.values.get(number as usize)?;
            (terms.list == list).then_some((from, to, number))
        });
        let (depth, device) = deepest(of_list);
        let device = Device::from_number(device)?;
        (depth > MAX_TERMS).then_some((depth, device))
    }

    /// The most ranges of subscribers that share one, and that subscriber;
    /// `None` if they are no more than [`MAX_TERMS`].
    #[must_use]
    pub fn crowded_subscriber(&self) -> Option<(usize, Imsi)> {
        (self.bound.deepest()).filter(|(depth, _)| *depth > MAX_TERMS)
    }

    /// Names the model of all devices with a TAC. Of several names for one
    /// TAC the first stays: the file that is read first knows best.
    ///
    /// # Errors
    ///
    /// If there are too many makes and models.
    pub fn model(&mut self, tac: Tac, make: &str, model: &str) -> Result<(), BuildError> {
        self.models
            .insert(tac, make, model)
            .ok_or(BuildError::TooMany("makes and models"))
    }

    /// The snapshot of everything that was added.
    #[must_use]
    pub fn finish(mut self) -> Snapshot {
        let bundles = self.take_bundles(true);
        let files = self.files_of_sources();
        let digests = bundles.iter().map(|bundle| bundle.meta.digest());
        let digest = digests.fold(0, u64::wrapping_add);
        let mut plan = self.plan(&files, (digest, true));
        let mut kept = Kept::new(self.device_rules());
        let gather = |partition| {
            let count = bundles.iter().map(|own| own.meta.count(partition)).sum();
            let mut tuples = Partition::default();
            tuples.make_room(count);
            for bundle in &bundles {
                tuples.add(bundle.segment(partition));
            }
            tuples
        };
        let first = counted(|partition| {
            let bundles = bundles.iter();
            bundles.map(|own| own.meta.count(partition)).sum()
        });
        let counted = (0..first).map(|partition| plan.prepare(partition, gather(partition)));
        let counted: Vec<Prepared> = counted.collect();
        let mut assembly = Assembly::rank(&mut plan, &counted);
        let mut counted = counted.into_iter();
        let mut rest: Vec<Scattered> = Vec::new();
        for partition in 0..PARTITIONS {
            // Most of those of a small register are empty.
            if bundles.iter().all(|own| own.meta.count(partition) == 0) {
                counted.next();
                continue;
            }
            let mut prepared = match counted.next() {
                Some(prepared) => prepared,
                None => plan.prepare(partition, gather(partition)),
            };
            assembly.number(&plan, &mut prepared);
            let laid_out = plan.lay_out(
                prepared,
                (&mut Partition::default(), &mut Scratch::default()),
            );
            let mut arrays = assembly.join(&plan, laid_out);
            rest.extend(Some(core::mem::take(&mut arrays.rest)).filter(|own| own.len() > 0));
            kept.keep(arrays);
        }
        drop(bundles);
        let mut assembled = assembly.finish_here(rest);
        let refusals = core::mem::take(&mut assembled.refusals);
        let devices = kept.fill(assembled, true);
        self.finish_assembled(devices, &refusals)
    }

    /// The same with the rules of single devices, which were assembled from this
    /// builder's; what was refused of them is left out.
    pub(crate) fn finish_assembled(
        mut self,
        devices: DeviceRules,
        refusals: &Refusals,
    ) -> Snapshot {
        for (&said, &[rules, _]) in &refusals.counts {
            let rules = usize::try_from(rules).unwrap_or(usize::MAX);
            self.counts.devices = self.counts.devices.saturating_sub(rules);
            let list = self.place_of(said).map(|(_, list, _)| list.place());
            if let Some(list) = list.and_then(|list| self.lists.get_mut(list)) {
                list.entries = list.entries.saturating_sub(rules);
            }
        }
        let record = |refusal: &Refusal| {
            let device = Device::from_number(refusal.device)?;
            let excepted = (device, refusal.said, refusal.line);
            let number = self.excepted.get(&excepted).copied()?;
            Some(RuleId::of_record(number))
        };
        let refused: FxHashSet<RuleId> =
            refusals.with_exceptions.iter().filter_map(record).collect();
        (self.exceptions).retain(|(_, rule)| !refused.contains(rule));
        self.finish_around(devices)
    }

    /// The same with a table of devices that was made elsewhere in the place of
    /// the devices of all rules for one: of its class 1 is said what the first of
    /// these rules says, of class 2 what the first one that says something else
    /// does, and so on. The lines of its devices are not known.
    #[must_use]
    pub fn finish_with(mut self, table: Devices) -> Snapshot {
        self.counts.devices = table.len();
        let mut classes = Classes::default();
        for said in &self.saids.values {
            classes.push(&[said.rule()]);
        }
        self.finish_around(DeviceRules::new(table, classes, Vec::new()))
    }

    /// The snapshot of these devices and everything else.
    fn finish_around(mut self, devices: DeviceRules) -> Snapshot {
        self.counts.exceptions = self.exceptions.len();
        self.counts.bindings = self.bindings.len();
        let (rules, bindings, terms) = (&self.rules, &self.bindings, &self.terms.values);
        let mut index = self.index.finish(rules);
        if !devices.is_empty() {
            index.note_devices();
        }
        let exceptions = Exceptions::new(&self.exceptions, rules, terms);
        let (subscribers, bound) = self.bound.finish(bindings, terms);
        Snapshot {
            rules: Rules {
                devices,
                records: rules.column(),
                index,
                exceptions,
            },
            bindings: Bindings {
                records: bindings.column(),
                subscribers,
                index: bound,
            },
            catalogue: Catalogue {
                lists: self.lists,
                files: self.files,
                terms: self.terms.values,
                sources: self.sources.values,
                reasons: self.reasons.finish(),
            },
            models: self.models.finish(),
            counts: self.counts,
        }
    }

    //--- Helpers

    /// Declares a list of either kind.
    fn push_list(&mut self, name: &str, kind: ListKind) -> Result<ListId, BuildError> {
        // The highest number stays free, as with everything else.
        let id = u16::try_from(self.lists.len())
            .ok()
            .filter(|&id| id != u16::MAX)
            .ok_or(BuildError::TooMany("lists"))?;
        self.ranges_before.push(self.index.ranges().len());
        self.lists.push(List {
            name: name.into(),
            kind,
            entries: 0,
            shadow: false,
        });
        Ok(ListId(id))
    }

    /// What a list holds, if it was declared.
    fn kind_of(&self, list: ListId) -> Option<ListKind> {
        self.lists.get(list.place()).map(|list| list.kind)
    }

    /// Notes that a list has so many entries more.
    fn count_entries(&mut self, list: ListId, more: usize) {
        if let Some(list) = self.lists.get_mut(list.place()) {
            list.entries += more;
        }
    }

    /// Whether a rule about the same devices has the same terms already; from
    /// now on there is one.
    fn repeats(&mut self, scope: Scope, terms: u32) -> bool {
        if let Some(known) = self.crowded.get_mut(&scope) {
            return !known.insert(terms);
        }
        // The chain is short: a long one has a table.
        let head = self.index.find(scope).unwrap_or(NONE);
        let chain = || self.rules.chain(head);
        if chain().any(|(_, record)| record.terms == terms) {
            return true;
        }
        if chain().count() >= REPEATS_SOUGHT {
            let mut known: FxHashSet<u32> = chain().map(|(_, record)| record.terms).collect();
            known.insert(terms);
            self.crowded.insert(scope, known);
        }
        false
    }

    /// The number of a file with a reason.
    fn intern_source(&mut self, file: FileId, reason: Option<&str>) -> Result<u32, BuildError> {
        if file.0 as usize >= self.files.len() {
            return Err(BuildError::File);
        }
        let reason = match reason {
            Some(text) => self
                .reasons
                .intern(text)
                .filter(|&number| number != NONE)
                .ok_or(BuildError::TooMany("reasons"))?,
            None => NONE,
        };
        self.sources.intern(Source { file, reason })
    }
}

//----------- Contradiction ---------------------------------------------------

/// A rule that says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction<'a> {
    /// Which devices it is about.
    pub scope: Scope,
    /// What it says.
    pub status: Status,
    /// The file it stands in.
    pub file: &'a str,
    /// The line of the file.
    pub line: u32,
}

//----------- Covered ---------------------------------------------------------

/// How many different terms of the ranges of one list and status are compared:
/// more dates than a list has in practice. A range that contradicts none of the
/// first so many is taken, so that a list with a date of its own on each of a
/// hundred thousand lines is loaded in no more time than others.
const COVERED_TERMS: usize = MAX_TERMS;

/// Which devices are in any range of one list with one status.
#[derive(Debug, Default)]
struct Covered {
    /// At any time.
    ever: Union,
    /// By the terms, which hold the dates.
    by_terms: FxHashMap<u32, Union>,
}

impl Covered {
    /// Adds a range.
    fn insert(&mut self, from: Device, to: Device, terms: u32) {
        let (from, to) = (from.number(), to.number());
        self.ever.insert(from, to);
        if self.by_terms.len() < COVERED_TERMS || self.by_terms.contains_key(&terms) {
            self.by_terms.entry(terms).or_default().insert(from, to);
        }
    }

    /// Whether any device of a range is in a range with such terms.
    fn overlaps(&self, from: Device, to: Device, counts: impl Fn(u32) -> bool) -> bool {
        let (from, to) = (from.number(), to.number());
        self.ever.overlaps(from, to)
            && (self.by_terms.iter())
                .any(|(&terms, union)| union.overlaps(from, to) && counts(terms))
    }
}

//----------- BuildError ------------------------------------------------------

/// Why something cannot be added to a register.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BuildError {
    /// The numbers for these are used up: 65,535 for lists, 4,294,967,295 for
    /// everything else.
    #[error("too many {0} for one register")]
    TooMany(&'static str),
    /// No list of this builder, or a list of the other kind.
    #[error("the list was not declared, or holds entries of another kind")]
    List,
    /// No file of this builder.
    #[error("the file was not declared")]
    File,
    /// Rules that are kept elsewhere until the end could not be.
    #[error("there is no room for more rules")]
    Memory,
}

/// The number that the next entry gets.
fn number_of_next(length: usize, what: &'static str) -> Result<u32, BuildError> {
    u32::try_from(length)
        .ok()
        .filter(|&number| number != NONE)
        .ok_or(BuildError::TooMany(what))
}

//----------- Interner --------------------------------------------------------

/// Values that are kept once, numbered from 0.
#[derive(Debug)]
struct Interner<T> {
    /// The values by their numbers.
    values: Vec<T>,
    /// The numbers of the values.
    numbers: FxHashMap<T, u32>,
    /// The last one asked for: lists repeat themselves, line by line.
    last: Option<(T, u32)>,
}

impl<T: Copy + Eq + core::hash::Hash> Interner<T> {
    /// The number of a value, which is kept if it is new.
    fn intern(&mut self, value: T) -> Result<u32, BuildError> {
        if let Some((last, number)) = self.last
            && last == value
        {
            return Ok(number);
        }
        let number = match self.numbers.get(&value) {
            Some(&number) => number,
            None => {
                let number = number_of_next(self.values.len(), "kinds of entries")?;
                self.values.push(value);
                self.numbers.insert(value, number);
                number
            }
        };
        self.last = Some((value, number));
        Ok(number)
    }
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: FxHashMap::default(),
            last: None,
        }
    }
}
