//! From the configuration to a rulebook: every list and binding, all or none.

mod rails;
mod settle;
mod stored;

use core::fmt;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use self::rails::Rails;
use crate::compile::{Budget, Heap, Keeper, Ledger, Progress, Shelf, assemble};
use crate::config::{self, Config, ListFormat, MaxChange};
use crate::equipment::{
    BuildError, Builder, MAX_TERMS, RuleSpec, Scope, Snapshot, Special, Status, Validity,
};
use crate::lists::feed::{Feed, Stop, Target, Watch};
use crate::lists::report::MAX_SHOWN;
use crate::lists::source::{self, Part};
use crate::lists::{FileReport, ListReport, LoadReport};
use crate::lists::{house, open};
use crate::policy::{PolicyError, PolicySpec, Rulebook};
use crate::snapfile::Residence;
use crate::snapshot::Provenance;

/// The built-in rules; see the comments in it.
const SAMPLE_RULES: &str = include_str!("lists/sample.csv");

/// The built-in bindings.
const SAMPLE_BINDINGS: &str = include_str!("lists/sample-bindings.csv");

/// The file that special rules are said to stand in.
const SPECIAL_FILE: &str = "[[special]]";

/// The name of the default policy in reports and explanations.
const DEFAULT_POLICY: &str = "default";

//----------- Loaded ----------------------------------------------------------

/// A rulebook that may be published, and what it was made from.
#[derive(Debug)]
pub struct Loaded {
    /// All lists, bindings and policies.
    pub rulebook: Rulebook,
    /// What was loaded.
    pub report: LoadReport,
    /// Where the octets of a compiled register are, if that is what was loaded.
    pub residence: Option<Residence>,
    /// What it is, if it is one.
    pub origin: Option<Origin>,
}

/// What a compiled register is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its digest.
    pub digest: u64,
    /// Where its lists come from.
    pub provenance: Provenance,
    /// Whether it was loaded in the place of the one that the configuration
    /// names, as single changes are made in it.
    pub is_folded: bool,
}

impl Origin {
    /// The digest of the register that the configuration names.
    #[must_use]
    pub fn base(&self) -> u64 {
        let folded = self.provenance.folded.filter(|_| self.is_folded);
        folded.map_or(self.digest, |folded| folded.base)
    }
}

/// A snapshot that a server has made of the one that its configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// What it must say of itself, but for what it was made of.
    pub through: u64,
    /// Likewise.
    pub file: u64,
}

/// Reads everything that the configuration names and makes a rulebook of it.
///
/// Files are read one after the other and never kept in memory. It may take a
/// second or two for a million rules: not for a thread that serves.
///
/// # Errors
///
/// If a single list has to be refused there is no rulebook; the error tells
/// what is wrong with all of them.
pub fn load(config: &Config) -> Result<Loaded, LoadError> {
    load_after(config, &Previous::default())
}

/// The same where lists are in force: one that changes by more than its
/// `max_change` is refused.
///
/// # Errors
///
/// As [`load`].
pub fn load_after(config: &Config, previous: &Previous) -> Result<Loaded, LoadError> {
    load_folded(config, previous, None)
}

/// The same where there may be a snapshot with single changes made in the one
/// that the configuration names: it is taken if it was made of just that one.
///
/// # Errors
///
/// As [`load`].
pub fn load_folded(
    config: &Config,
    previous: &Previous,
    candidate: Option<&Candidate>,
) -> Result<Loaded, LoadError> {
    if let Some(path) = config.snapshot() {
        return stored::load(config, &path, previous, candidate);
    }
    let dir = match &config.register.state_dir {
        Some(_) => config.state_dir().filter(|dir| dir.is_dir()),
        None => None,
    };
    let dir = dir.unwrap_or_else(std::env::temp_dir);
    let loader = Loader::read(config, previous, dir, Watch::default())?;
    let (loaded, _) = loader.finish(Goal::Serve)?;
    Ok(loaded)
}

/// The same for a snapshot that is written and not served: what is large of it
/// is on a shelf instead. What does not fit in memory goes to `dir`.
///
/// # Errors
///
/// As [`load`].
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "a command compiles")
)]
pub(crate) fn compile(
    config: &Config,
    previous: &Previous,
    dir: &Path,
    progress: &Progress,
) -> Result<(Loaded, Shelf), LoadError> {
    let watch = Watch {
        progress: progress.clone(),
        digests: true,
    };
    let loader = Loader::read(config, previous, dir.to_owned(), watch)?;
    let (loaded, shelf) = loader.finish(Goal::Write)?;
    // Whoever writes has one.
    let shelf = shelf.ok_or_else(|| LoadError::Memory("nothing was kept".to_owned()))?;
    Ok((loaded, shelf))
}

/// What a register is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "a command compiles")
)]
enum Goal {
    /// To be served.
    Serve,
    /// To be written.
    Write,
}

/// The directories in which a change may change a list, to be watched with all
/// that is below them. There may be none of some of them yet; there is none
/// where a snapshot is served.
#[must_use]
pub fn watched_dirs(config: &Config) -> Vec<PathBuf> {
    if config.snapshot().is_some() {
        return Vec::new();
    }
    let lists_dir = config.lists_dir();
    let mut dirs: Vec<PathBuf> = (config.paths().flatten())
        .map(|path| lists_dir.join(source::fixed_dir(path)))
        .collect();
    dirs.sort();
    // A directory sorts right before what is below it; with `..` a path only
    // looks as if it were.
    let is_below = |dir: &Path, above: &Path| {
        dir.strip_prefix(above)
            .is_ok_and(|rest| !rest.components().any(|part| part == Component::ParentDir))
    };
    dirs.dedup_by(|dir, above| is_below(dir, above));
    dirs
}

/// The files of all lists, bindings and models that are there now, or the
/// snapshot that is served instead, for telling whether one has changed.
#[must_use]
pub fn files(config: &Config) -> Vec<PathBuf> {
    if let Some(snapshot) = config.snapshot() {
        return vec![snapshot];
    }
    let dir = config.lists_dir();
    let found = (config.paths()).flat_map(|paths| source::find(&dir, paths).files);
    found.collect()
}

//----------- Previous --------------------------------------------------------

/// How many entries the lists in force have, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Previous {
    /// Them.
    pub entries: BTreeMap<String, u64>,
}

impl Previous {
    /// What a report counts.
    #[must_use]
    pub fn of(report: &LoadReport) -> Self {
        let lists = report.lists.iter();
        Self {
            entries: lists
                .map(|list| (list.name.clone(), list.entries()))
                .collect(),
        }
    }
}

//----------- LoadError -------------------------------------------------------

/// Why there is no rulebook. Prints several lines, complete with what to do.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Lists are refused.
    #[error("{}", Refused(.0))]
    Refused(LoadReport),
    /// What memory has no room for cannot be kept elsewhere.
    #[error("{0}; nothing was loaded")]
    Memory(String),
    /// There are more lists, files or rules than can be numbered.
    #[error("the lists do not fit: {0}")]
    Build(#[from] BuildError),
    /// A list of unallocated TACs without a file of those that are allocated.
    #[error(
        "[[special]] `{0}`: unallocated_tac needs to know which TACs are allocated; load a file \
         of TACs, or remove it"
    )]
    NoModels(String),
    /// The snapshot cannot be read.
    #[error("{0}\nnothing was loaded; compile the snapshot anew, or put another in its place")]
    Snapshot(String),
    /// A policy names a list that the snapshot does not have.
    #[error("policy `{policy}`: no list or binding in {snapshot} is called `{list}`{suggestion}")]
    NoList {
        /// The policy.
        policy: String,
        /// The list.
        list: String,
        /// The snapshot.
        snapshot: String,
        /// What was most likely meant.
        suggestion: String,
    },
    /// The policies cannot be made of the configuration.
    #[error("the policies cannot be used: {0}")]
    Policy(#[from] PolicyError),
}

/// Prints what is wrong with the lists of a report, the first ten problems in
/// full.
struct Refused<'a>(&'a LoadReport);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        let mut total = 0;
        let refused = || self.0.lists.iter().filter(|list| list.is_refused());
        for list in refused() {
            total += list.bad_lines() + list.faults.len() as u64;
            let bad = list.first_bad_lines.iter().map(ToString::to_string);
            for problem in list.faults.iter().cloned().chain(bad) {
                if shown < MAX_SHOWN {
                    shown += 1;
                    writeln!(f, "{problem}")?;
                }
            }
        }
        let more = total.saturating_sub(shown as u64);
        if more > 0 {
            writeln!(f, "… and {more} more")?;
        }
        let mut faulty = false;
        for list in refused() {
            faulty |= !list.faults.is_empty();
            let (bad, allowed) = (list.bad_lines(), list.max_bad_lines);
            write!(f, "list {} is refused", list.name)?;
            match (bad > allowed, bad) {
                (false, _) => {}
                (true, 1) => write!(f, ": 1 bad line, allowed are {allowed}")?,
                (true, _) => write!(f, ": {bad} bad lines, allowed are {allowed}")?,
            }
            writeln!(f)?;
        }
        f.write_str(match faulty {
            true => "nothing was loaded; correct the files",
            false => {
                "nothing was loaded; correct the lines, or raise max_bad_lines to leave them out"
            }
        })
    }
}

//----------- Wanted ----------------------------------------------------------

/// What the configuration says of one list, binding or file of models.
struct Wanted<'a> {
    /// Its name.
    name: &'a str,
    /// Its paths and patterns.
    paths: &'a [String],
    /// Bad lines that it may have, if it says so itself.
    max_bad_lines: Option<u64>,
    /// What its lines become.
    target: Target,
    /// How it is written.
    format: ListFormat,
    /// Whether a record of Open5GS is of its software version only.
    strict_svn: bool,
    /// How much it may change, if it says so itself.
    max_change: Option<MaxChange>,
    /// Whether it is refused for making no sense.
    guard_rails: bool,
}

//----------- Loader ----------------------------------------------------------

/// A load under way.
struct Loader<'a> {
    /// What to load.
    config: &'a Config,
    /// What is in force.
    previous: &'a Previous,
    /// What has been loaded.
    builder: Builder,
    /// The rules of single devices of it.
    heap: Heap,
    /// The report so far.
    report: LoadReport,
    /// What is asked of lists, by their places in the report.
    rails: Vec<(usize, Rails)>,
    /// Who watches.
    watch: Watch,
}

impl<'a> Loader<'a> {
    /// Reads everything that a configuration names; what does not fit in memory
    /// goes to `dir`.
    fn read(
        config: &'a Config,
        previous: &'a Previous,
        dir: PathBuf,
        watch: Watch,
    ) -> Result<Self, LoadError> {
        let heap = Heap::new(Budget {
            memory: config.register.compile_memory,
            dir,
            threads: Budget::processors(),
            ledger: Ledger::default(),
        });
        let mut loader = Self {
            config,
            previous,
            builder: Builder::new(),
            heap,
            report: LoadReport {
                lists: Vec::new(),
                warnings: config.warnings(),
            },
            rails: Vec::new(),
            watch,
        };
        match loader.read_all() {
            // Which is told better where it happened.
            Err(LoadError::Build(BuildError::Memory)) => {
                let error = loader.heap.finish().err();
                Err(LoadError::Memory(error.unwrap_or_default()))
            }
            read => read.map(|()| loader),
        }
    }

    /// Reads it.
    fn read_all(&mut self) -> Result<(), LoadError> {
        let config = self.config;
        if config.register.sample {
            self.sample()?;
        }
        for list in &config.lists {
            self.list(list)?;
        }
        for binding in &config.bindings {
            self.binding(binding)?;
        }
        for tac in &config.tacs {
            self.models(tac)?;
        }
        for (special, number) in config.specials.iter().zip(1..) {
            self.special(special, number)?;
        }
        Ok(())
    }

    /// Loads a list of rules.
    fn list(&mut self, list: &'a config::List) -> Result<(), LoadError> {
        let id = self.builder.list(&list.name, list.status)?;
        if list.shadow {
            self.builder.shadow(id)?;
        }
        self.files(Wanted {
            name: &list.name,
            paths: &list.path,
            max_bad_lines: list.max_bad_lines,
            target: Target::Rules(id, list.status),
            format: list.format,
            strict_svn: list.strict_svn,
            max_change: list.max_change,
            guard_rails: list.guard_rails,
        })
    }

    /// Loads a list of bindings.
    fn binding(&mut self, binding: &'a config::Binding) -> Result<(), LoadError> {
        let name = binding.name();
        let id = (self.builder).binding_list(name, binding.mismatch, binding.on_match)?;
        if binding.shadow {
            self.builder.shadow(id)?;
        }
        self.files(Wanted {
            name,
            paths: &binding.path,
            max_bad_lines: binding.max_bad_lines,
            target: Target::Bindings(id),
            format: binding.format,
            strict_svn: binding.strict_svn,
            max_change: binding.max_change,
            guard_rails: binding.guard_rails,
        })
    }

    /// Loads files that name models.
    fn models(&mut self, tac: &'a config::TacFile) -> Result<(), LoadError> {
        self.files(Wanted {
            name: tac.name(),
            paths: &tac.path,
            max_bad_lines: tac.max_bad_lines,
            target: Target::Models,
            format: tac.format,
            strict_svn: false,
            max_change: tac.max_change,
            guard_rails: tac.guard_rails,
        })
    }

    /// Makes the rules of the `number`th list of special devices.
    fn special(&mut self, special: &'a config::SpecialList, number: u32) -> Result<(), LoadError> {
        let id = self.builder.list(&special.name, special.status)?;
        if special.shadow {
            self.builder.shadow(id)?;
        }
        // They stand in the configuration; the line counts its tables.
        let file = self.builder.file(SPECIAL_FILE)?;
        for &kind in &special.kinds {
            let rule = RuleSpec {
                scope: Scope::Special(kind),
                status: special.status,
                validity: Validity {
                    from: special.from,
                    until: special.until,
                },
                reason: special.reason.as_deref(),
                exceptions: &[],
                file,
                line: number,
            };
            self.builder.rule(id, rule)?;
        }
        let mut list = ListReport::new(&special.name, false, 0);
        list.files.push(FileReport {
            path: SPECIAL_FILE.to_owned(),
            entries: special.kinds.len() as u64,
            ..FileReport::default()
        });
        self.report.lists.push(list);
        Ok(())
    }

    /// Loads the files of one list.
    fn files(&mut self, wanted: Wanted<'_>) -> Result<(), LoadError> {
        let register = &self.config.register;
        let bindings = matches!(wanted.target, Target::Bindings(_));
        let max_bad_lines = wanted.max_bad_lines.unwrap_or(register.max_bad_lines);
        let mut list = ListReport::new(wanted.name, bindings, max_bad_lines);
        list.models = wanted.target == Target::Models;
        list.before = self.previous.entries.get(wanted.name).copied();
        let found = source::find(&self.config.lists_dir(), wanted.paths);
        list.faults = found.faults;
        list.warnings = found.warnings;
        let mut parts = Vec::new();
        for path in &found.files {
            match Part::all(path, &mut list.warnings) {
                Ok(found) => parts.extend(found),
                Err(why) => list.faults.push(format!("{}: {why}", path.display())),
            }
        }
        let watch = self.watch.clone();
        let mut feed = Feed::new(
            (&mut self.builder, &mut self.heap),
            &mut list,
            wanted.target,
            watch,
        );
        open::read(wanted.format, wanted.strict_svn, &parts, &mut feed)?;
        let crowded = match wanted.target {
            Target::Rules(id, _) => (self.builder.crowded_device(id)).map(|(depth, device)| {
                format!("{depth} ranges that differ in status or dates share device {device}")
            }),
            Target::Bindings(_) => (self.builder.crowded_subscriber())
                .map(|(depth, imsi)| format!("{depth} ranges of subscribers share IMSI {imsi}")),
            Target::Models => None,
        };
        list.faults.extend(crowded.map(|what| {
            format!(
                "list {}: {what}; {MAX_TERMS} are the most, as each verdict looks at all of them",
                wanted.name
            )
        }));
        if wanted.guard_rails {
            let rails = Rails {
                format: wanted.format,
                status: match wanted.target {
                    Target::Rules(_, status) => Some(status),
                    Target::Bindings(_) | Target::Models => None,
                },
                max_change: wanted.max_change.unwrap_or(register.max_change),
            };
            self.rails.push((self.report.lists.len(), rails));
        }
        self.report.lists.push(list);
        Ok(())
    }

    /// Loads the built-in register.
    fn sample(&mut self) -> Result<(), LoadError> {
        let rules = self.builder.list("sample", Status::Blacklisted)?;
        let bindings = (self.builder).binding_list("sample-bindings", Status::Blacklisted, None)?;
        for (name, text, target) in [
            (
                "sample",
                SAMPLE_RULES,
                Target::Rules(rules, Status::Blacklisted),
            ),
            (
                "sample-bindings",
                SAMPLE_BINDINGS,
                Target::Bindings(bindings),
            ),
        ] {
            let is_bindings = matches!(target, Target::Bindings(_));
            let mut list = ListReport::new(name, is_bindings, 0);
            let watch = self.watch.clone();
            let mut feed = Feed::new(
                (&mut self.builder, &mut self.heap),
                &mut list,
                target,
                watch,
            );
            let file = feed.start(format!("{name}.csv (built in)"))?;
            match house::read(text.as_bytes(), file, &mut feed) {
                Ok(()) => {}
                Err(Stop::Build(error)) => return Err(error.into()),
                Err(Stop::Fault(fault)) => list.faults.push(fault),
            }
            self.report.lists.push(list);
        }
        Ok(())
    }

    /// Makes the rulebook, unless a list is refused, and what is large of it if
    /// it is to be written.
    fn finish(mut self, goal: Goal) -> Result<(Loaded, Option<Shelf>), LoadError> {
        self.heap.add(self.builder.take_bundles(true));
        self.heap.finish().map_err(LoadError::Memory)?;
        let files = self.builder.files_of_sources();
        let keeps_lines = goal == Goal::Serve || self.config.register.line_numbers;
        let plan = (self.builder).plan(&files, (self.heap.digest(), keeps_lines));
        let mut keeper = match goal {
            Goal::Serve => Keeper::memory(&self.heap),
            Goal::Write => Keeper::shelf(&self.heap),
        };
        let assembled = assemble(plan, self.heap, &mut keeper, &self.watch.progress);
        let mut assembled = assembled.map_err(LoadError::Memory)?;
        let refusals = core::mem::take(&mut assembled.refusals);
        settle::settle(&mut self.report, &self.builder, &refusals);
        for (place, rails) in &self.rails {
            if let Some(list) = self.report.lists.get_mut(*place) {
                rails.check(list);
            }
        }
        if self.report.lists.iter().any(ListReport::is_refused) {
            return Err(LoadError::Refused(self.report));
        }
        let Keeper {
            kept, mut shelf, ..
        } = keeper;
        let (devices, shelf) = match kept {
            Some(kept) => (kept.fill(assembled, keeps_lines), None),
            None => {
                shelf.finish(assembled.lines);
                (assembled.rules, Some(shelf))
            }
        };
        let snapshot = self.builder.finish_assembled(devices, &refusals);
        let mut specials = self.config.specials.iter();
        if let Some(special) =
            specials.find(|special| special.kinds.contains(&Special::UnallocatedTac))
            && snapshot.models().is_empty()
        {
            return Err(LoadError::NoModels(special.name.clone()));
        }
        let rulebook = rulebook(self.config, snapshot)?;
        self.report.warnings.extend(rulebook.overlaps());
        let loaded = Loaded {
            rulebook,
            report: self.report,
            residence: None,
            origin: None,
        };
        Ok((loaded, shelf))
    }
}

//----------- Policies --------------------------------------------------------

/// The rulebook of these lists and the policies of a configuration.
fn rulebook(config: &Config, snapshot: Snapshot) -> Result<Rulebook, PolicyError> {
    let register = &config.register;
    let default = PolicySpec {
        unlisted: register.unlisted(),
        malformed: register.malformed,
        combine: register.combine,
        ..PolicySpec::new(DEFAULT_POLICY)
    };
    let policies = config.policies.iter();
    let policies = policies.map(|policy| policy_spec(policy, register, &snapshot));
    let policies: Vec<_> = policies.collect();
    Rulebook::new(snapshot, register.override_status, default, policies)
}

/// What a policy of the configuration says. Every list that it names is known
/// to be there.
fn policy_spec(
    policy: &config::Policy,
    register: &config::Register,
    snapshot: &Snapshot,
) -> PolicySpec {
    let id = |name: &String| {
        let named = snapshot.lists().find(|list| list.name == name);
        named.map(|list| list.id)
    };
    PolicySpec {
        name: policy.name.clone(),
        origin_hosts: policy.matches.origin_host.clone(),
        origin_realms: policy.matches.origin_realm.clone(),
        route_records: policy.matches.route_record.clone(),
        imsi_prefixes: policy.matches.imsi_prefix.clone(),
        imsi_ranges: (policy.matches.imsi_range.iter())
            .filter_map(|range| config::split_imsi_range(range).ok())
            .map(|(first, last)| (first.to_owned(), last.to_owned()))
            .collect(),
        lists: (policy.lists.as_ref()).map(|names| names.iter().filter_map(id).collect()),
        unlisted: policy.unlisted(register),
        malformed: policy.malformed.unwrap_or(register.malformed),
        combine: policy.combine(register),
        override_status: policy.override_status,
        shadow: policy.shadow,
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::equipment::{Device, RuleKind};
    use crate::snapfile;
    use crate::snapshot;
    use crate::time::UnixTime;

    /// A line of a list: device, status, reason, dated or not.
    type Line = (u64, Option<Status>, u8, bool);

    /// Few devices, so that lines meet, in TACs of every structure.
    fn line() -> impl Strategy<Value = Line> {
        let device = prop_oneof![
            3 => 0u64..40,
            1 => (0u64..50).prop_map(|n| n * 7_000_000_000 + n),
            1 => (0u64..3000).prop_map(|n| 35_209_900_000_000 + n),
        ];
        let status = prop_oneof![
            4 => Just(None),
            1 => Just(Some(Status::Greylisted)),
            1 => Just(Some(Status::Whitelisted)),
        ];
        (device, status, 0u8..4, prop::bool::weighted(0.1))
    }

    /// A list as a file: simple lines, and such as only the general reader
    /// takes.
    fn text(lines: &[Line]) -> String {
        let mut text = "imei,status,reason,from\n".to_owned();
        for &(device, status, reason, is_dated) in lines {
            let status = status.map_or(String::new(), |status| status.to_string());
            let reason = ["", "stolen", "lost, or so", "\u{e4}"][usize::from(reason)];
            let quote = if reason.contains(',') { "\"" } else { "" };
            let from = if is_dated { "2026-01-31" } else { "" };
            text += &format!("{device:014},{status},{quote}{reason}{quote},{from}\n");
        }
        text
    }

    /// What a naive reader makes of lists: for each device the lists, statuses
    /// and dates that count with their lines; and how many lines do not.
    #[expect(clippy::type_complexity, reason = "what a map of the naive kind is")]
    fn model(lists: &[Vec<Line>]) -> (BTreeMap<u64, Vec<(usize, Status, bool, u32)>>, Vec<u64>) {
        let mut devices: BTreeMap<u64, Vec<(usize, Status, bool, u32)>> = BTreeMap::new();
        let mut bad = vec![0; lists.len()];
        for (list, lines) in lists.iter().enumerate() {
            for (&(device, status, _, is_dated), line) in lines.iter().zip(2..) {
                let status = status.unwrap_or(Status::Blacklisted);
                let known = devices.entry(device).or_default();
                // A date has no end, so any two rules share a time.
                if known
                    .iter()
                    .any(|&(own, other, ..)| own == list && other != status)
                {
                    bad[list] += 1;
                } else if !known
                    .iter()
                    .any(|&(own, _, dated, _)| (own, dated) == (list, is_dated))
                {
                    known.push((list, status, is_dated, line));
                }
            }
        }
        (devices, bad)
    }

    /// A directory with lists, and its configuration.
    fn configured(lists: &[Vec<Line>]) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = String::new();
        for (number, lines) in lists.iter().enumerate() {
            fs::write(dir.path().join(format!("{number}.csv")), text(lines)).unwrap();
            keys += &format!(
                "[[list]]\nname = \"l{number}\"\nstatus = \"black\"\npath = \"{number}.csv\"\nmax_bad_lines = 1000000\n"
            );
        }
        let mut config = Config::parse(&keys, Path::new("weir.toml")).unwrap();
        config.register.lists_dir = dir.path().to_owned();
        (dir, config)
    }

    /// The file that a configuration compiles to.
    fn compiled(config: &Config, dir: &Path) -> (Vec<u8>, LoadReport) {
        let path = dir.join("out.weir");
        let (loaded, shelf) =
            compile(config, &Previous::default(), dir, &Progress::default()).unwrap();
        let snapshot = loaded.rulebook.snapshot();
        let none = Provenance::default();
        snapfile::write_with(&path, (snapshot, &shelf), &none, UnixTime(0)).unwrap();
        (fs::read(path).unwrap(), loaded.report)
    }

    /// The rules for single devices of a snapshot, as the model has them.
    fn rules(snapshot: &Snapshot) -> BTreeMap<u64, Vec<(usize, Status, bool, u32)>> {
        let mut devices: BTreeMap<u64, Vec<(usize, Status, bool, u32)>> = BTreeMap::new();
        let rules = snapshot
            .rules()
            .filter(|rule| rule.scope.kind() == RuleKind::Device);
        for rule in rules {
            let Scope::Device(device) = rule.scope else {
                continue;
            };
            let is_dated = rule.validity.from.is_some();
            let list = rule.list.name[1..].parse().unwrap();
            let rule = (list, rule.status, is_dated, rule.line);
            devices.entry(device.number()).or_default().push(rule);
        }
        devices
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// However little memory there is, so that everything goes to files, the
        /// compiled register has the same octets, and they say what the naive
        /// model says.
        #[test]
        fn memory_changes_nothing(
            lists in prop::collection::vec(prop::collection::vec(line(), 0..400), 1..4)
        ) {
            let (dir, mut config) = configured(&lists);
            let (expected, bad) = model(&lists);
            let served = load(&config).unwrap();
            let snapshot = served.rulebook.snapshot();
            let none = Provenance::default();
            let octets = snapshot::to_octets(snapshot, &none, UnixTime(0)).unwrap();
            for memory in [1 << 30, 10_000, 0] {
                config.register.compile_memory = memory;
                let (file, report) = compiled(&config, dir.path());
                prop_assert!(file == octets, "{} octets of memory", memory);
                let own: Vec<u64> = report.lists.iter().map(|list| list.bad_lines()).collect();
                prop_assert_eq!(&own, &bad);
                let entries: u64 = report.lists.iter().map(|list| list.entries()).sum();
                let lines: usize = lists.iter().map(Vec::len).sum();
                prop_assert_eq!(entries + bad.iter().sum::<u64>(), lines as u64);
            }
            let stored = snapshot::from_octets(&octets).unwrap().snapshot;
            for snapshot in [snapshot, &stored] {
                prop_assert!(rules(snapshot) == expected);
            }
            for (&device, rules) in &expected {
                let device = Device::from_number(device).unwrap();
                let mut found = Vec::new();
                stored.visit_rules(RuleKind::Device, device, None, |_, terms| {
                    found.push((terms.list.place(), terms.status));
                });
                let rules = rules.iter().map(|&(list, status, ..)| (list, status));
                prop_assert_eq!(found, rules.collect::<Vec<_>>());
            }
            // Nothing else is left.
            prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), lists.len() + 1);
        }
    }

    #[test]
    fn a_place_for_files_that_is_none_is_named() {
        let lists = [vec![(1, None, 0, false); 10]];
        let (dir, mut config) = configured(&lists);
        config.register.compile_memory = 0;
        let nowhere = dir.path().join("nowhere");
        let error = compile(
            &config,
            &Previous::default(),
            &nowhere,
            &Progress::default(),
        );
        let told = error.unwrap_err().to_string();
        assert!(told.contains("nowhere: a temporary file"), "{told}");
        assert!(told.contains("raise `compile_memory`"), "{told}");
    }

    #[test]
    fn without_line_numbers_rules_have_none() {
        let lists = [vec![(1, None, 1, false), (2, None, 0, false)]];
        let (dir, mut config) = configured(&lists);
        let (with, _) = compiled(&config, dir.path());
        config.register.line_numbers = false;
        let (without, _) = compiled(&config, dir.path());
        assert!(without.len() < with.len());
        let stored = snapshot::from_octets(&without).unwrap().snapshot;
        let lines =
            |snapshot: &Snapshot| -> Vec<u32> { snapshot.rules().map(|rule| rule.line).collect() };
        assert_eq!(lines(&stored), [0, 0]);
    }
}
