//! From rules to a snapshot.

use rustc_hash::{FxHashMap, FxHashSet};
use thiserror::Error;

use super::bindings::{BoundBuilder, Exceptions};
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
    /// The rules of one device.
    devices: Records,
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
        let Some(ListKind::Rules { .. }) = self.kind_of(list) else {
            return Err(BuildError::List);
        };
        let terms = self.terms.intern(Terms {
            list,
            status: rule.status,
            validity: rule.validity,
        })?;
        let source = self.intern_source(rule.file, rule.reason)?;
        let number = self
            .records_of_mut(rule.scope)
            .push(rule.scope, terms, source, rule.line)
            .ok_or(BuildError::TooMany("rules"))?;
        // A rule that only says again what another says is kept for its line and
        // its exceptions, but not looked at: a list that repeats a line a
        // hundred thousand times must not make one device's verdict slow.
        if !self.repeats(rule.scope, terms)
            && let Some(next) = self.index.insert(rule.scope, number)
        {
            self.records_of_mut(rule.scope).link(number, next);
        }
        if let Scope::Range { from, to } = rule.scope {
            let covered = self.covered.entry((list, rule.status)).or_default();
            covered.insert(from, to, terms);
        }
        if !rule.exceptions.is_empty() {
            // The rules of one device get other numbers in the end.
            let number = match rule.scope {
                Scope::Device(_) => self
                    .rules
                    .push(rule.scope, terms, source, rule.line)
                    .ok_or(BuildError::TooMany("exceptions"))?,
                _ => number,
            };
            for &imsi in rule.exceptions {
                self.except(imsi, number)?;
            }
        }
        *self.counts.of_mut(rule.scope.kind()) += 1;
        self.count_entry(list);
        Ok(())
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
        self.count_entry(list);
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
        self.except(exception.imsi, number)?;
        self.count_entry(list);
        Ok(())
    }

    /// Whether there are as many rules about exactly these devices as there may
    /// be, [`MAX_TERMS`], and one of these would be another.
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
    /// `statuses` at a time that they share.
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
                scope: self.records_of(scope).scope(record)?,
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
        let mut chain = self.records_of(scope).chain(head);
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
        let devices = DeviceRules::build(&self.devices, self.index.take_devices());
        self.finish_around(devices)
    }

    /// The same with a table of devices that was made elsewhere in the place of
    /// the devices of all rules for one: of its class 1 is said what the first of
    /// these rules says, and so on. The lines of its devices are not known.
    #[must_use]
    pub fn finish_with(mut self, table: Devices) -> Snapshot {
        drop(self.index.take_devices());
        self.counts.devices = table.len();
        let devices = DeviceRules::of_table(table, &self.devices);
        self.finish_around(devices)
    }

    /// The snapshot of these devices and everything else.
    fn finish_around(mut self, devices: DeviceRules) -> Snapshot {
        // Before anything else is made: these are the most.
        self.devices = Records::default();
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

    /// Excepts a subscriber from a rule.
    fn except(&mut self, imsi: Imsi, number: u32) -> Result<(), BuildError> {
        number_of_next(self.exceptions.len(), "exceptions")?;
        self.exceptions.push((imsi, RuleId::of_record(number)));
        Ok(())
    }

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

    /// Notes that a list has one entry more.
    fn count_entry(&mut self, list: ListId) {
        if let Some(list) = self.lists.get_mut(list.place()) {
            list.entries += 1;
        }
    }

    /// Where the records of rules with this scope are kept.
    fn records_of(&self, scope: Scope) -> &Records {
        match scope {
            Scope::Device(_) => &self.devices,
            _ => &self.rules,
        }
    }

    /// The same, for a new one.
    fn records_of_mut(&mut self, scope: Scope) -> &mut Records {
        match scope {
            Scope::Device(_) => &mut self.devices,
            _ => &mut self.rules,
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
        let chain = || self.records_of(scope).chain(head);
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
