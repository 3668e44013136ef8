//! What is compared: OLD and NEW, each a configuration or a list.

use std::path::Path;

use serde::Serialize;

use crate::config::Config;
use crate::equipment::{Snapshot, Status, Validity};
use crate::error::Failed;
use crate::load;
use crate::policy::Rulebook;
use crate::snapfile;
use crate::time::UnixTime;

/// OLD or NEW, loaded.
#[derive(Debug)]
pub(super) struct Side {
    /// As it was named.
    pub(super) path: String,
    /// What it says, or what is said in its place where it is a list.
    pub(super) config: Config,
    /// What verdicts come from.
    pub(super) rulebook: Rulebook,
    /// What loading it gave rise to.
    warnings: Vec<String>,
}

impl Side {
    /// Loads what `path` names: `*.toml` is a configuration, what begins as a
    /// snapshot is one, and anything else a list of this name and `format`,
    /// whose rules have `status` unless they say otherwise.
    pub(super) fn load(
        name: &str,
        path: &str,
        status: Status,
        format: &str,
    ) -> Result<Self, Failed> {
        let is_config =
            (Path::new(path).extension()).is_some_and(|suffix| suffix.eq_ignore_ascii_case("toml"));
        let config = match is_config {
            true => Config::load(Path::new(path))?,
            false if snapfile::is_snapshot(Path::new(path)) => of_snapshot(path),
            false => of_list(name, path, status, format)?,
        };
        let loaded = load::load(&config)
            .map_err(|why| Failed::new(format!("{path} cannot be compared:\n{why}")))?;
        let lists = loaded.report.lists.iter();
        let of_lists = lists.flat_map(|list| {
            let of_files = list.files.iter().flat_map(|file| {
                let warnings = file.warnings.iter();
                warnings.map(|warning| format!("{}: {warning}", file.path))
            });
            list.warnings.iter().cloned().chain(of_files)
        });
        Ok(Self {
            path: path.to_owned(),
            warnings: (loaded.report.warnings.iter().cloned())
                .chain(of_lists)
                .collect(),
            config,
            rulebook: loaded.rulebook,
        })
    }

    /// Makes sure that all that was asked for of a snapshot could be read.
    ///
    /// # Errors
    ///
    /// If its file changed, or its disk failed, while it was compared.
    pub(super) fn demand_whole(&self) -> Result<(), Failed> {
        match self.rulebook.snapshot().failures() {
            0 => Ok(()),
            _ => Err(Failed::new(format!(
                "{} cannot be compared: its snapshot could not be read to the end; `weir verify` \
                 tells whether the file is whole",
                self.path
            ))),
        }
    }

    /// What there is to tell of it.
    pub(super) fn summary(&self, at: UnixTime) -> SideSummary {
        let snapshot = self.rulebook.snapshot();
        let counts = snapshot.counts();
        SideSummary {
            path: self.path.clone(),
            rules: counts.rules(),
            exceptions: counts.exceptions,
            bindings: counts.bindings,
            changing_later: changing_later(snapshot, at),
            override_status: self.rulebook.override_status().map(Status::name),
            warnings: self.warnings.clone(),
        }
    }
}

/// A configuration of nothing but a snapshot.
fn of_snapshot(path: &str) -> Config {
    let mut config = Config::default();
    config.register.sample = false;
    config.register.snapshot = Some(path.into());
    config
}

/// A configuration of nothing but a list. It is read like one from a file, so
/// that every other key of the list has its default.
fn of_list(name: &str, path: &str, status: Status, format: &str) -> Result<Config, Failed> {
    let keys = [
        ("name", name),
        ("status", status.name()),
        ("path", path),
        ("format", format),
    ];
    let keys = keys.map(|(key, value)| (key.to_owned(), toml::Value::from(value)));
    let list = toml::Table::from_iter(keys).try_into();
    let list = list.map_err(|why| Failed::new(format!("{path} cannot be compared: {why}")))?;
    let mut config = Config {
        lists: vec![list],
        ..Config::default()
    };
    config.register.sample = false;
    config.register.lists_dir.clear();
    Ok(config)
}

/// How many rules and bindings come into effect or go out of it later.
fn changing_later(snapshot: &Snapshot, at: UnixTime) -> usize {
    let later = |validity: &Validity| match validity.until {
        Some(until) => until >= at,
        None => validity.from.is_some_and(|from| from > at),
    };
    let rules = snapshot.rules().filter(|rule| later(&rule.validity));
    let bindings = snapshot.bindings();
    let bindings = bindings.filter(|binding| later(&binding.validity));
    rules.count() + bindings.count()
}

/// What there is to tell of OLD or NEW.
#[derive(Debug, Serialize)]
pub(super) struct SideSummary {
    /// As it was named.
    pub(super) path: String,
    /// How many rules it has.
    pub(super) rules: usize,
    /// How many exceptions.
    pub(super) exceptions: usize,
    /// How many bindings.
    pub(super) bindings: usize,
    /// How many rules and bindings begin or end later than the moment for
    /// which verdicts are compared.
    pub(super) changing_later: usize,
    /// The maintenance switch, if it is set.
    #[serde(rename = "override")]
    pub(super) override_status: Option<&'static str>,
    /// What loading it gave rise to.
    pub(super) warnings: Vec<String>,
}
