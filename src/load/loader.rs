//! Reading everything that a configuration names, list by list, and making one
//! register of it.

use std::path::PathBuf;
use std::sync::Arc;

use super::policies::rulebook;
use super::rails::Rails;
use super::settle::settle;
use super::{LoadError, Loaded, Previous};
use crate::compile::{Budget, Heap, Keeper, Ledger, Shelf, assemble};
use crate::config::{self, Config, ListFormat, MaxChange};
use crate::equipment::{
    BuildError, Builder, MAX_TERMS, RuleSpec, Scope, Special, Status, Validity,
};
use crate::lists::feed::{Feed, Stop, Target, Watch};
use crate::lists::source::{self, Part};
use crate::lists::{FileReport, ListReport, LoadReport};
use crate::lists::{house, open};
use crate::snapshot::Ahead;

/// The built-in rules; see the comments in it.
const SAMPLE_RULES: &str = include_str!("../lists/sample.csv");

/// The built-in bindings.
const SAMPLE_BINDINGS: &str = include_str!("../lists/sample-bindings.csv");

/// The file that special rules are said to stand in.
const SPECIAL_FILE: &str = "[[special]]";

/// What a register is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "a command compiles")
)]
pub(super) enum Goal {
    /// To be served.
    Serve,
    /// To be written.
    Write,
}

//----------- Loader ----------------------------------------------------------

/// A load under way.
pub(super) struct Loader<'a> {
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
    /// goes to `dir`, and to `ahead` what can be written there early.
    pub(super) fn read(
        config: &'a Config,
        previous: &'a Previous,
        (dir, ahead): (PathBuf, Option<Arc<dyn Ahead>>),
        watch: Watch,
    ) -> Result<Self, LoadError> {
        let heap = Heap::new(Budget {
            memory: config.register.compile_memory,
            dir,
            threads: Budget::processors(),
            ledger: Ledger::default(),
            ahead,
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
    pub(super) fn finish(mut self, goal: Goal) -> Result<(Loaded, Option<Shelf>), LoadError> {
        self.heap.take_from(&mut self.builder, true);
        self.heap.finish().map_err(LoadError::Memory)?;
        let bound = (self.heap.arrange_bindings()).map_err(LoadError::Memory)?;
        // Whoever serves has them in memory, before there is more of it in use.
        let (bound, served) = match (goal, bound) {
            (Goal::Serve, Some(bound)) => (None, bound.into_memory().map_err(LoadError::Memory)?),
            (_, bound) => (bound, None),
        };
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
        settle(&mut self.report, &self.builder, &refusals);
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
        let (devices, bindings, shelf) = match kept {
            Some(kept) => (kept.fill(assembled, keeps_lines), served, None),
            None => {
                shelf.finish(assembled.lines);
                let outline = shelf.bind(bound);
                (assembled.rules, outline, Some(shelf))
            }
        };
        let snapshot = (self.builder).finish_assembled(devices, &refusals, bindings);
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
