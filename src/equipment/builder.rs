//! From rules to a snapshot.

mod contradiction;
mod finish;
mod interner;

use rustc_hash::{FxHashMap, FxHashSet};
use thiserror::Error;

pub use self::contradiction::Contradiction;
use self::contradiction::Covered;
use self::interner::{Interner, number_of_next};
use super::bindings::{Batch, BoundBuilder};
use super::bulk::{Bundle, Plan, Said, Tuple};
use super::directory::TacDirectoryBuilder;
use super::index::RuleIndexBuilder;
use super::record::{NONE, Records};
use super::snapshot::{List, ListKind, Source};
use super::texts::TextsBuilder;
use super::{
    BindingSpec, Counts, Device, ExceptionSpec, FileId, Imsi, ListId, RuleId, RuleSpec, Scope,
    Status, Subscribers, Tac, Terms, Validity,
};

/// How many rules of single devices make a bundle, if they come one by one: a
/// few megabytes.
const OPEN_MAX: usize = 1 << 17;

/// The most rules about exactly the same devices that differ in list, status
/// or dates, and the most ranges of one list that do so and share a device or
/// subscriber, since each verdict looks at all of them: far more than there are
/// in practice.
pub const MAX_TERMS: usize = 1024;

//----------- Builder ---------------------------------------------------------

/// Collects lists, and makes a [`Snapshot`](super::Snapshot) of them.
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
        let said = self.bound((list, binding.file), binding.validity, binding.reason)?;
        let own = (binding.subscribers, binding.scope, said, binding.line);
        self.bindings(list, core::iter::once(own))
    }

    /// The numbers of what bindings of a list say that stand in a file: when they
    /// hold, and why.
    pub(crate) fn bound(
        &mut self,
        (list, file): (ListId, FileId),
        validity: Validity,
        reason: Option<&str>,
    ) -> Result<BoundSaid, BuildError> {
        let Some(ListKind::Bindings { mismatch, .. }) = self.kind_of(list) else {
            return Err(BuildError::List);
        };
        let terms = self.terms.intern(Terms {
            list,
            status: mismatch,
            validity,
        })?;
        let source = self.intern_source(file, reason)?;
        Ok(BoundSaid { terms, source })
    }

    /// Adds bindings to a list, each with what it says and its line.
    pub(crate) fn bindings(
        &mut self,
        list: ListId,
        bindings: impl Iterator<Item = (Subscribers, Scope, BoundSaid, u32)>,
    ) -> Result<(), BuildError> {
        let before = self.bound.len();
        for (subscribers, scope, BoundSaid { terms, source }, line) in bindings {
            self.bound
                .push(subscribers, scope, (terms, source, line))
                .ok_or(BuildError::TooMany("bindings"))?;
        }
        self.count_entries(list, self.bound.len() - before);
        Ok(())
    }

    /// Takes the bindings that were added, which may be kept elsewhere until the
    /// end.
    pub(crate) fn take_bindings(&mut self, all: bool) -> Vec<Batch> {
        self.bound.take_batches(all)
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

    //--- Helpers

    /// Declares a list of either kind.
    fn push_list(&mut self, name: &str, kind: ListKind) -> Result<ListId, BuildError> {
        // The highest number stays free, as with everything else.
        let id = u16::try_from(self.lists.len())
            .ok()
            .filter(|&id| id != u16::MAX)
            .ok_or(BuildError::TooMany("lists"))?;
        self.ranges_before.push(self.index.ranges_len());
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

/// What many bindings say: the numbers of their terms and of their source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoundSaid {
    /// Those of the terms.
    terms: u32,
    /// That of the source.
    source: u32,
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
