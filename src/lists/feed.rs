//! What all readers have in common: the way of an entry into the register, and
//! the way of what is wrong into the report.

use rustc_hash::FxHashMap;

use crate::compile::{Heap, Progress};
use crate::equipment::bulk::Bundle;
use crate::equipment::{
    BindingSpec, BoundSaid, BuildError, Builder, Device, ExceptionSpec, FileId, Imei, Imsi, ListId,
    MAX_TERMS, RuleSpec, Scope, Status, Subscribers, Tac, Validity,
};

use super::report::{Bad, FileReport, ListReport, plural};
use super::scan::{Saying, Tally, Tied};
use super::source::{Part, Source};

/// What the lines of a list become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Rules, with this status unless a line has its own.
    Rules(ListId, Status),
    /// Bindings.
    Bindings(ListId),
    /// The names of models.
    Models,
}

/// Why the rest of a list was not read.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something is wrong with a file; complete with its path.
    Fault(String),
    /// The register is full.
    Build(BuildError),
}

impl From<BuildError> for Stop {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

/// Why a line did not become an entry.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The line is wrong.
    Line(Bad),
    /// The register is full.
    Build(BuildError),
}

impl From<Bad> for Refusal {
    fn from(bad: Bad) -> Self {
        Self::Line(bad)
    }
}

impl From<BuildError> for Refusal {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

/// What is told of files while they are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// How much has been read.
    pub(crate) progress: Progress,
    /// Whether their digests are wanted.
    pub(crate) digests: bool,
}

//----------- Feed ------------------------------------------------------------

/// One list on its way into the register.
pub(crate) struct Feed<'a> {
    /// The register.
    builder: &'a mut Builder,
    /// Where the rules of single devices are until the end.
    heap: &'a mut Heap,
    /// Who watches.
    watch: Watch,
    /// What is told of the list.
    pub(crate) list: &'a mut ListReport,
    /// What its lines become.
    pub(crate) target: Target,
    /// What is known of its files, each in the place of its report.
    files: Vec<FileState>,
    /// What lines that speak of several devices at once have said of single
    /// ones: such a line is taken whole or not at all.
    together: FxHashMap<Device, (Status, At)>,
}

/// A line: the place of the file in the report, and the number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// Which file.
    pub(crate) file: usize,
    /// Which line.
    pub(crate) line: u64,
}

/// What is known of a file besides its report.
struct FileState {
    /// Its number in the register.
    id: FileId,
    /// The first line whose IMEI has a wrong check digit.
    first_wrong_digit: Option<u64>,
    /// The first line that was left out.
    first_left_out: Option<u64>,
}

/// A rule before it is known where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    /// Which devices.
    pub(crate) scope: Scope,
    /// When.
    pub(crate) validity: Validity,
    /// Why.
    pub(crate) reason: Option<&'a str>,
}

impl Draft<'_> {
    /// A rule that always holds, without a reason.
    pub(crate) fn of(scope: Scope) -> Self {
        Self {
            scope,
            validity: Validity::ALWAYS,
            reason: None,
        }
    }
}

impl<'a> Feed<'a> {
    /// A list without files so far.
    pub(crate) fn new(
        (builder, heap): (&'a mut Builder, &'a mut Heap),
        list: &'a mut ListReport,
        target: Target,
        watch: Watch,
    ) -> Self {
        Self {
            builder,
            heap,
            watch,
            list,
            target,
            files: Vec::new(),
            together: FxHashMap::default(),
        }
    }

    /// Opens one of its files.
    pub(crate) fn open(&self, part: &Part) -> Result<Source, String> {
        let Watch { progress, digests } = &self.watch;
        Source::open_with(part, progress.clone(), *digests)
    }

    /// Notes the digest of a file, if it is known.
    pub(crate) fn digest(&mut self, file: usize, digest: Option<String>) {
        if let Some(report) = self.list.files.get_mut(file) {
            report.sha256 = digest;
        }
    }

    /// Threads that a list may be read with.
    pub(crate) fn threads(&self) -> usize {
        self.heap.threads()
    }

    /// Begins a file; returns its place.
    pub(crate) fn start(&mut self, path: String) -> Result<usize, BuildError> {
        let id = self.builder.file(&path)?;
        self.files.push(FileState {
            id,
            first_wrong_digit: None,
            first_left_out: None,
        });
        self.list.files.push(FileReport {
            path,
            ..FileReport::default()
        });
        Ok(self.list.files.len() - 1)
    }

    /// Notes how much of a file was read.
    pub(crate) fn read(&mut self, file: usize, lines: u64, bytes: u64) {
        if let Some(report) = self.list.files.get_mut(file) {
            report.lines = lines;
            report.bytes = bytes;
        }
    }

    /// Notes what is most likely not meant in a file.
    pub(crate) fn warn(&mut self, file: usize, warning: String) {
        if let Some(report) = self.list.files.get_mut(file) {
            report.warnings.push(warning);
        }
    }

    /// The path of a file, as reports give it.
    pub(crate) fn path(&self, file: usize) -> &str {
        (self.list.files.get(file)).map_or("", |report| report.path.as_str())
    }

    /// A fault of a file, at a line if that is known.
    pub(crate) fn fault(&self, at: At, why: &str) -> Stop {
        let path = self.path(at.file);
        Stop::Fault(match at.line {
            0 => format!("{path}: {why}"),
            line => format!("{path}:{line}: {why}"),
        })
    }

    //--- Entries

    /// Adds a rule, with those who may use its devices although they are
    /// blacklisted.
    pub(crate) fn rule(
        &mut self,
        at: At,
        draft: Draft<'_>,
        status: Status,
        exceptions: &[Imsi],
    ) -> Result<(), Refusal> {
        self.rules(at, draft, &[status], exceptions)
    }

    /// Adds a rule of each status: some registers have a device on several of
    /// their lists at once.
    pub(crate) fn rules(
        &mut self,
        at: At,
        draft: Draft<'_>,
        statuses: &[Status],
        exceptions: &[Imsi],
    ) -> Result<(), Refusal> {
        let (list, file) = self.place(at)?;
        let Draft {
            scope,
            validity,
            reason,
        } = draft;
        self.check(at, draft, statuses)?;
        for &status in statuses {
            self.builder.rule_of_line(
                list,
                RuleSpec {
                    scope,
                    status,
                    validity,
                    reason,
                    exceptions: match status {
                        Status::Blacklisted => exceptions,
                        _ => &[],
                    },
                    file,
                    line: line_number(at),
                },
                statuses,
            )?;
        }
        self.flow(false)?;
        Ok(())
    }

    /// Hands rules of single devices and bindings on to where they are until the
    /// end.
    pub(crate) fn flow(&mut self, all: bool) -> Result<(), BuildError> {
        self.heap.take_from(self.builder, all);
        match self.heap.has_failed() {
            true => Err(BuildError::Memory),
            false => Ok(()),
        }
    }

    /// Adds the rules of single devices of a file which stand behind a line, and
    /// whose own lines are counted from there. Memory that may be used for others
    /// comes back.
    pub(crate) fn bundle(
        &mut self,
        file: usize,
        before: u64,
        mut bundle: Bundle,
        sayings: &[Saying],
    ) -> Result<Option<Bundle>, BuildError> {
        if bundle.meta.len() == 0 {
            return Ok(Some(bundle));
        }
        let place = self.place(At { file, line: 0 })?;
        let numbers = sayings.iter().map(|saying| {
            let Saying {
                status,
                validity,
                reason,
            } = saying;
            (self.builder).said(place, (*status, *validity), reason.as_deref())
        });
        let numbers: Vec<u32> = numbers.collect::<Result<_, _>>()?;
        bundle.meta.translate(&numbers);
        bundle.meta.move_lines(before);
        self.builder.bundle(place.0, bundle);
        self.flow(false)?;
        Ok(self.heap.take_spare())
    }

    /// Adds the bindings of a file which stand behind a line, likewise.
    pub(crate) fn bindings(
        &mut self,
        file: usize,
        before: u64,
        bindings: &[Tied],
        sayings: &[Saying],
    ) -> Result<(), BuildError> {
        if bindings.is_empty() {
            return Ok(());
        }
        let place = self.place(At { file, line: 0 })?;
        let saids = sayings
            .iter()
            .map(|saying| (self.builder).bound(place, saying.validity, saying.reason.as_deref()));
        let saids: Vec<BoundSaid> = saids.collect::<Result<_, _>>()?;
        let bindings = bindings.iter().filter_map(|tied| {
            let line = before + u64::from(tied.line);
            let said = *saids.get(tied.said as usize)?;
            Some((
                tied.subscribers,
                tied.scope,
                said,
                line_number(At { file, line }),
            ))
        });
        self.builder.bindings(place.0, bindings)?;
        self.flow(false)
    }

    /// Adds what was counted of lines of a file that stand behind a line.
    pub(crate) fn tally(&mut self, file: usize, before: u64, tally: &Tally) {
        let list = &mut self.list;
        self.watch.progress.took(tally.entries);
        list.with_check_digit += tally.with_check_digit;
        list.without_check_digit += tally.without_check_digit;
        list.like_shifted += tally.like_shifted;
        list.own_status += tally.own_status;
        list.lost_zeros += tally.lost_zeros;
        if let Some(report) = list.files.get_mut(file) {
            report.entries += tally.entries;
            report.wrong_check_digits += tally.wrong_check_digits;
        }
        if let (Some(line), Some(state)) = (tally.first_wrong_digit, self.files.get_mut(file)) {
            state.first_wrong_digit.get_or_insert(before + line);
        }
    }

    /// Refuses a line that gives several devices a status, if that contradicts
    /// what stands in the list. To be asked before the first of them is added.
    pub(crate) fn check_together(
        &mut self,
        at: At,
        scopes: &[Scope],
        status: Status,
    ) -> Result<(), Refusal> {
        for &scope in scopes {
            if let Scope::Device(device) = scope
                && let Some(&(other, before)) = self.together.get(&device)
                && other != status
            {
                return Err(Refusal::Line(Bad::new(format!(
                    "contradicts {}:{}, where {device} is {other}",
                    self.path(before.file),
                    before.line
                ))));
            }
            self.check(at, Draft::of(scope), &[status])?;
        }
        for scope in scopes {
            if let Scope::Device(device) = scope {
                self.together.entry(*device).or_insert((status, at));
            }
        }
        Ok(())
    }

    /// Refuses a rule that contradicts one of the same list; of single devices that
    /// is found in the end.
    fn check(&self, at: At, draft: Draft<'_>, statuses: &[Status]) -> Result<(), Refusal> {
        let (list, _) = self.place(at)?;
        let Draft {
            scope, validity, ..
        } = draft;
        let bad = |reason| Err(Refusal::Line(Bad::new(reason)));
        if (self.builder).is_crowded(list, scope, validity, statuses) {
            return bad(format!(
                "is one of more than {MAX_TERMS} rules about {scope} that differ in list, status or dates"
            ));
        }
        if !(self.builder).contradicts(list, scope, validity, statuses) {
            return Ok(());
        }
        // To find that line may take long, and only the first ones are told.
        let other = match self.list.tells_more() {
            true => (self.builder).contradiction(list, scope, validity, statuses),
            false => None,
        };
        bad(match other {
            None => "contradicts another line".to_owned(),
            Some(other) => format!(
                "contradicts {}:{}, where {} is {}",
                other.file, other.line, other.scope, other.status
            ),
        })
    }

    /// Lets a subscriber use devices although they are blacklisted, by
    /// whatever list.
    pub(crate) fn exception(
        &mut self,
        at: At,
        draft: Draft<'_>,
        imsi: Imsi,
    ) -> Result<(), Refusal> {
        let (list, file) = self.place(at)?;
        self.builder.exception(
            list,
            ExceptionSpec {
                imsi,
                scope: draft.scope,
                validity: draft.validity,
                reason: draft.reason,
                file,
                line: line_number(at),
            },
        )?;
        Ok(())
    }

    /// Binds subscribers to devices.
    pub(crate) fn binding(
        &mut self,
        at: At,
        draft: Draft<'_>,
        subscribers: Subscribers,
    ) -> Result<(), Refusal> {
        let (list, file) = self.place(at)?;
        self.builder.binding(
            list,
            BindingSpec {
                subscribers,
                scope: draft.scope,
                validity: draft.validity,
                reason: draft.reason,
                file,
                line: line_number(at),
            },
        )?;
        self.flow(false)?;
        Ok(())
    }

    /// What a status for one subscriber in some devices means: a binding to
    /// them, or an exception for them; there is no other status that holds
    /// for a pair only.
    pub(crate) fn pair(
        &mut self,
        at: At,
        draft: Draft<'_>,
        imsi: Imsi,
        status: Status,
    ) -> Result<(), Refusal> {
        match (self.target, status) {
            (Target::Bindings(_), Status::Whitelisted) => {
                self.binding(at, draft, Subscribers::One(imsi))
            }
            (_, Status::Whitelisted) => self.exception(at, draft, imsi),
            (_, status) => Err(Refusal::Line(Bad::new(format!(
                "is {status} for one subscriber only, which no rule can say; blacklist the device and except the others, or bind the subscriber to its devices"
            )))),
        }
    }

    /// Names a model.
    pub(crate) fn model(&mut self, tac: Tac, make: &str, model: &str) -> Result<(), Refusal> {
        Ok(self.builder.model(tac, make, model)?)
    }

    /// Counts what became of a line; `name` tells the columns of a bad one.
    pub(crate) fn settle(
        &mut self,
        at: At,
        result: Result<(), Refusal>,
        name: impl FnOnce(usize) -> Option<&'static str>,
    ) -> Result<(), BuildError> {
        match result {
            Ok(()) => {
                if let Some(report) = self.list.files.get_mut(at.file) {
                    report.entries += 1;
                }
                Ok(())
            }
            Err(Refusal::Line(bad)) => {
                let name = bad.place.and_then(name);
                self.bad(at, bad, name);
                Ok(())
            }
            Err(Refusal::Build(error)) => Err(error),
        }
    }

    /// Counts a bad line.
    pub(crate) fn bad(&mut self, at: At, bad: Bad, name: Option<&'static str>) {
        let Some(report) = self.list.files.get_mut(at.file) else {
            return;
        };
        report.bad_lines += 1;
        let path = report.path.clone();
        self.list.note(|| bad.in_line(&path, at.line, name));
    }

    /// Counts an IMEI whose check digit is wrong, which is kept nonetheless, and
    /// one that may have lost its leading zero.
    pub(crate) fn check_digit(&mut self, at: At, imei: Imei) {
        let mut tally = Tally::default();
        tally.check_digit(at.line, imei);
        self.tally(at.file, 0, &tally);
    }

    /// Counts a line that is allowed to mean nothing.
    pub(crate) fn left_out(&mut self, at: At) {
        if let Some(report) = self.list.files.get_mut(at.file) {
            report.left_out += 1;
        }
        if let Some(state) = self.files.get_mut(at.file) {
            state.first_left_out.get_or_insert(at.line);
        }
    }

    /// Ends a file, and tells what was counted; `left_out` says what the lines
    /// are that mean nothing.
    pub(crate) fn end(&mut self, file: usize, left_out: &str) {
        let is_empty = (self.list.files.get(file)).is_some_and(|report| {
            report.entries == 0 && report.bad_lines == 0 && report.left_out == 0
        });
        self.end_foreign(file, left_out, is_empty);
    }

    /// The same where the reader knows whether there was anything to read:
    /// entries may be counted later.
    pub(crate) fn end_foreign(&mut self, file: usize, left_out: &str, is_empty: bool) {
        let (Some(report), Some(state)) = (self.list.files.get_mut(file), self.files.get(file))
        else {
            return;
        };
        if let Some(line) = state.first_wrong_digit {
            report.warnings.push(format!(
                "{} with a wrong check digit, the first on line {line}; their devices count nonetheless",
                plural(report.wrong_check_digits, "IMEI")
            ));
        }
        if let Some(line) = state.first_left_out {
            report.warnings.push(format!(
                "{} {left_out} left out, the first is line {line}",
                plural(report.left_out, "line")
            ));
        }
        if is_empty {
            report.warnings.push("nothing but a header".to_owned());
        }
    }

    /// List and file of a line.
    fn place(&self, at: At) -> Result<(ListId, FileId), BuildError> {
        let list = match self.target {
            Target::Rules(list, _) | Target::Bindings(list) => list,
            Target::Models => return Err(BuildError::List),
        };
        let file = self.files.get(at.file).ok_or(BuildError::File)?.id;
        Ok((list, file))
    }
}

/// The line as the register keeps it: those beyond the fourth thousand million
/// share a number.
fn line_number(at: At) -> u32 {
    u32::try_from(at.line).unwrap_or(u32::MAX)
}
