//! `weir rollback`: puts the lists, or the snapshot, back in place that were in
//! force.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{print_json, printed};
use crate::config::Config;
use crate::error::Failed;
use crate::state::{Restored, State};
use crate::time::UnixTime;

/// Put the files of the lists, or the snapshot, back that were in force last, or
/// before. What differs from them is set aside as `*.refused`. A running server
/// loads them when it watches its files; else send it SIGHUP. Single changes
/// stay as they are.
#[derive(Clone, Debug, Args)]
pub struct RollbackArgs {
    /// The configuration file, which must name a `state_dir`.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,

    /// The number of the load to go back to; by default the newest that differs
    /// from the files as they are now.
    #[arg(long, value_name = "N", conflicts_with = "list")]
    pub to: Option<u64>,

    /// Only show which loads there are.
    #[arg(long)]
    pub list: bool,

    /// Print what was done as JSON.
    #[arg(long)]
    pub json: bool,
}

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
}

impl RollbackArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// If nothing was kept, a copy is damaged, or a file cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let config = Config::load(&self.config)?;
        let shown = self.config.display();
        let state = State::of(&config).ok_or_else(|| {
            Failed::new(format!(
                "{shown}: names no `state_dir` in [register], so no lists were kept; write `state_dir = \"state\"`, and restart the server"
            ))
        })?;
        let loads = loads(&state).map_err(|error| Failed::new(format!("{shown}: {error}")))?;
        if self.list {
            return match self.json {
                true => print_json(out, &loads),
                false => printed(list(&loads, out)),
            };
        }
        let newest = || {
            let mut newest = loads.iter().rev();
            let differs = |load: &&Load| !state.is_in_place(load.number);
            newest.find(differs).or_else(|| loads.last())
        };
        let number = match (self.to, newest()) {
            (Some(number), _) if loads.iter().any(|load| load.number == number) => number,
            (Some(number), Some(_)) => {
                let known: Vec<String> =
                    (loads.iter()).map(|load| load.number.to_string()).collect();
                return Err(Failed::new(format!(
                    "there is no load {number}; there are {}",
                    known.join(", ")
                )));
            }
            (None, Some(newest)) => newest.number,
            (_, None) => return Err(Failed::new("nothing was kept yet; start the server once")),
        };
        let restored = state.restore(number, &config).map_err(Failed::new)?;
        match self.json {
            true => print_json(out, &restored),
            false => printed(print(number, &restored, out)),
        }
    }
}

/// The loads that are kept.
fn loads(state: &State) -> io::Result<Vec<Load>> {
    let numbers = state.numbers()?.into_iter();
    let load = |number| {
        let manifest = state.manifest(number)?;
        Ok(Load {
            number,
            time: UnixTime(manifest.time).to_string(),
            files: manifest.files.len(),
            entries: manifest.entries.values().sum(),
        })
    };
    numbers.map(load).collect()
}

/// Prints the loads, one line each.
fn list(loads: &[Load], out: &mut impl Write) -> io::Result<()> {
    for load in loads {
        let Load {
            number,
            time,
            files,
            entries,
        } = load;
        writeln!(out, "{number}  {time}  {entries} entries in {files} files")?;
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
