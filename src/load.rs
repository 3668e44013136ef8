//! From the configuration to a rulebook: every list and binding, all or none.

mod rails;
mod stored;

use core::fmt;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use self::rails::Rails;
use crate::config::{self, Config, ListFormat, MaxChange};
use crate::equipment::{
    BuildError, Builder, MAX_TERMS, RuleSpec, Scope, Snapshot, Special, Status, Validity,
};
use crate::lists::feed::{Feed, Stop, Target};
use crate::lists::report::MAX_SHOWN;
use crate::lists::source::{self, Part};
use crate::lists::{FileReport, ListReport, LoadReport};
use crate::lists::{house, open};
use crate::policy::{PolicyError, PolicySpec, Rulebook};
use crate::snapfile::Residence;

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
    if let Some(path) = config.snapshot() {
        return stored::load(config, &path, previous);
    }
    let mut loader = Loader {
        config,
        previous,
        builder: Builder::new(),
        report: LoadReport {
            lists: Vec::new(),
            warnings: config.warnings(),
        },
    };
    if config.register.sample {
        loader.sample()?;
    }
    for list in &config.lists {
        loader.list(list)?;
    }
    for binding in &config.bindings {
        loader.binding(binding)?;
    }
    for tac in &config.tacs {
        loader.models(tac)?;
    }
    for (special, number) in config.specials.iter().zip(1..) {
        loader.special(special, number)?;
    }
    loader.finish()
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
    /// The report so far.
    report: LoadReport,
}

impl<'a> Loader<'a> {
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
        let mut feed = Feed::new(&mut self.builder, &mut list, wanted.target);
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
            rails.check(&mut list);
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
            let mut feed = Feed::new(&mut self.builder, &mut list, target);
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

    /// Makes the rulebook, unless a list is refused.
    fn finish(mut self) -> Result<Loaded, LoadError> {
        if self.report.lists.iter().any(ListReport::is_refused) {
            return Err(LoadError::Refused(self.report));
        }
        let snapshot = self.builder.finish();
        let mut specials = self.config.specials.iter();
        if let Some(special) =
            specials.find(|special| special.kinds.contains(&Special::UnallocatedTac))
            && snapshot.models().is_empty()
        {
            return Err(LoadError::NoModels(special.name.clone()));
        }
        let rulebook = rulebook(self.config, snapshot)?;
        self.report.warnings.extend(rulebook.overlaps());
        Ok(Loaded {
            rulebook,
            report: self.report,
            residence: None,
        })
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
