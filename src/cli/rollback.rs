//! `weir rollback`: puts the lists, or the snapshot, back in place that were in
//! force.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{print_json, printed};
use crate::config::Config;
use crate::error::Failed;
use crate::state::{Manifest, Restored, State};
use crate::time::UnixTime;

/// Put the files of the lists, or the snapshot, back that were in force last, or
/// before. What differs from them is set aside as `*.refused`, and the load that
/// it was of is not gone back to again but with `--to`. A running server loads
/// the files when it watches them; else send it SIGHUP. Single changes stay as
/// they are.
#[derive(Clone, Debug, Args)]
pub struct RollbackArgs {
    /// The configuration file, which must name a `state_dir`.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,

    /// The number of the load to go back to; by default the newest that differs
    /// from the files as they are now and was not rolled back.
    #[arg(long, value_name = "N", conflicts_with = "list")]
    pub to: Option<u64>,

    /// Only show which loads there are.
    #[arg(long)]
    pub list: bool,

    /// Print what was done as JSON.
    #[arg(long)]
    pub json: bool,
}

/// There is no load at all.
const NOTHING_KEPT: &str = "nothing was kept yet; start the server once";

/// One load, as it is listed.
#[derive(Debug, Serialize)]
struct Load {
    /// Its number.
    number: u64,
    /// When it was published.
    time: String,
    /// How many files its lists have.
    files: usize,
    /// How many entries they have.
    entries: u64,
    /// Whether another was put back in its place.
    rolled_back: bool,
    /// Why it cannot be put back under this configuration, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    misfit: Option<String>,
    /// What is known of it.
    #[serde(skip)]
    manifest: Manifest,
}

impl RollbackArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// If nothing was kept, or nothing else than what is in place, a copy is
    /// damaged, or a file cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let config = Config::load(&self.config)?;
        let shown = self.config.display();
        let state = State::of(&config).ok_or_else(|| {
            Failed::new(format!(
                "{shown}: names no `state_dir` in [register], so no lists were kept; write `state_dir = \"state\"`, and restart the server"
            ))
        })?;
        let dir = state.dir().display();
        let (loads, warnings) = loads(&state, &config)
            .map_err(|error| Failed::new(format!("`state_dir` {dir}: {error}")))?;
        for warning in warnings {
            // That nobody reads it is no reason not to go on.
            let _ = writeln!(io::stderr(), "warning: {warning}");
        }
        if self.list {
            return match self.json {
                true => print_json(out, &loads),
                false => printed(list(&loads, out)),
            };
        }
        let number = match self.to {
            Some(number) => asked_for(number, &loads),
            None => newest(&loads, &state, &config),
        };
        let number = number.map_err(Failed::new)?;
        let restored = state.restore(number, &config).map_err(Failed::new)?;
        match self.json {
            true => print_json(out, &restored),
            false => printed(print(number, &restored, out)),
        }
    }
}

/// The load that was asked for, if it can be put back.
fn asked_for(number: u64, loads: &[Load]) -> Result<u64, String> {
    match loads.iter().find(|load| load.number == number) {
        Some(load) => load.misfit.clone().map_or(Ok(number), Err),
        None if loads.is_empty() => Err(NOTHING_KEPT.to_owned()),
        None => {
            let known: Vec<String> = loads.iter().map(|load| load.number.to_string()).collect();
            let known = known.join(", ");
            Err(format!("there is no load {number}; there are {known}"))
        }
    }
}

/// The newest load that can be put back, was not rolled back, and differs from
/// what is there.
fn newest(loads: &[Load], state: &State, config: &Config) -> Result<u64, String> {
    let Some(last) = loads.last() else {
        return Err(NOTHING_KEPT.to_owned());
    };
    let mut fitting = (loads.iter().rev())
        .filter(|load| load.misfit.is_none())
        .peekable();
    if let (None, Some(misfit)) = (fitting.peek(), &last.misfit) {
        return Err(format!("nothing to roll back: {misfit}"));
    }
    let differs = |load: &&Load| !load.rolled_back && !state.is_in_place(&load.manifest, config);
    let newest = fitting.find(differs).map(|load| load.number);
    newest.ok_or_else(|| {
        "nothing to roll back: the files are those of the newest load that was not rolled back, \
         and there is no other; `--list` shows all, `--to N` goes to any"
            .to_owned()
    })
}

/// The loads that are kept, and what is wrong with those that cannot be read.
fn loads(state: &State, config: &Config) -> io::Result<(Vec<Load>, Vec<String>)> {
    let (mut loads, mut warnings) = (Vec::new(), Vec::new());
    for number in state.numbers()? {
        match state.manifest(number) {
            Ok(manifest) => loads.push(Load {
                number,
                time: UnixTime(manifest.time).to_string(),
                files: manifest.files.len(),
                entries: manifest.entries.values().sum(),
                rolled_back: state.is_refused(number),
                misfit: state.misfit(number, &manifest, config),
                manifest,
            }),
            Err(error) => warnings.push(format!("load {number} is left out: {error}")),
        }
    }
    Ok((loads, warnings))
}

/// Prints the loads, one line each.
fn list(loads: &[Load], out: &mut impl Write) -> io::Result<()> {
    for load in loads {
        let Load {
            number,
            time,
            files,
            entries,
            ..
        } = load;
        write!(out, "{number}  {time}  {entries} entries in {files} files")?;
        if load.rolled_back {
            write!(out, ", rolled back")?;
        }
        if load.misfit.is_some() {
            write!(out, ", not for this configuration")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Prints what was done.
fn print(number: u64, restored: &Restored, out: &mut impl Write) -> io::Result<()> {
    for (path, aside) in &restored.set_aside {
        let (path, aside) = (path.display(), aside.display());
        writeln!(out, "set aside  {path} as {aside}")?;
    }
    for path in &restored.restored {
        writeln!(out, "restored   {}", path.display())?;
    }
    for path in &restored.unchanged {
        writeln!(out, "unchanged  {}", path.display())?;
    }
    writeln!(out, "the files are those of load {number} again")
}
