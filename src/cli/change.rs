//! `weir change`: single changes of the register in force.

mod apply;
mod client;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::client::Client;
use super::{print_json, printed};
use crate::changes::BY_MAX;
use crate::config::Config;
use crate::error::Failed;
use crate::journal;
use crate::journal::request::{Line, Request, Verb};

/// Change what a list says of single devices, at once and without loading
/// anything: a running server makes the change and keeps it in its `state_dir`.
#[derive(Clone, Debug, Args)]
pub struct ChangeArgs {
    /// What to do.
    #[command(subcommand)]
    command: ChangeCommand,
}

/// What can be done.
#[derive(Clone, Debug, Subcommand)]
enum ChangeCommand {
    /// Let a list say this of exactly these devices, instead of what its files
    /// say of them.
    Add(AddArgs),
    /// Let a list say nothing of exactly these devices, whatever its files say
    /// of them.
    Remove(SingleArgs),
    /// Give a change up: the list says what its files say.
    Undo(SingleArgs),
    /// Make the changes of a CSV file.
    Apply(ApplyArgs),
    /// Make all changes a part of the snapshot that the server reads, which
    /// they lie above until then. What is folded cannot be undone any more.
    Fold(Common),
    /// Show all changes that are kept, whether a server runs or not.
    List(ListArgs),
}

/// Where the server is, and how to print.
#[derive(Clone, Debug, Args)]
struct Common {
    /// The configuration file of the server, which must name a `state_dir`.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which devices of which list.
#[derive(Clone, Debug, Args)]
struct Which {
    /// The name of the list or binding.
    #[arg(long, value_name = "NAME")]
    list: String,

    /// One device.
    #[arg(long, value_name = "DIGITS", group = "devices")]
    imei: Option<String>,

    /// The device only while it runs this software version.
    #[arg(long, value_name = "NN", requires = "imei")]
    svn: Option<String>,

    /// All devices from one to another, as FIRST-LAST.
    #[arg(long, value_name = "FIRST-LAST", group = "devices")]
    range: Option<String>,

    /// All devices of a model.
    #[arg(long, value_name = "DIGITS", group = "devices")]
    tac: Option<String>,

    /// All devices of the models whose TACs begin so.
    #[arg(long, value_name = "DIGITS", group = "devices")]
    tac_prefix: Option<String>,

    /// Of a binding, the subscriber. Of a rule that is added, one who may use
    /// the devices although they are blacklisted; may be given several times.
    #[arg(long, value_name = "DIGITS")]
    imsi: Vec<String>,
}

/// `weir change add`.
#[derive(Clone, Debug, Args)]
struct AddArgs {
    /// What every change has.
    #[command(flatten)]
    single: SingleArgs,

    /// The status, instead of the list's.
    #[arg(long)]
    status: Option<String>,

    /// The first day or moment.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// The last day or moment.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Why, for whoever asks later.
    #[arg(long)]
    reason: Option<String>,
}

/// `weir change remove` and `weir change undo`, and what `weir change add` has of
/// them.
#[derive(Clone, Debug, Args)]
struct SingleArgs {
    /// Where the server is.
    #[command(flatten)]
    common: Common,

    /// Who asks.
    #[command(flatten)]
    who: Who,

    /// What it is about.
    #[command(flatten)]
    which: Which,
}

/// Who makes the change.
#[derive(Clone, Debug, Args)]
struct Who {
    /// Who makes the change, for whoever asks later; the user by default.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// `weir change apply`.
#[derive(Clone, Debug, Args)]
struct ApplyArgs {
    /// Where the server is.
    #[command(flatten)]
    common: Common,

    /// Who asks.
    #[command(flatten)]
    who: Who,

    /// The file. Its columns are those of a list; `do` (add, remove or undo; add
    /// by default) and `list` may be columns, too. Each thousand lines are made
    /// at once; the first that is refused stops the rest.
    file: PathBuf,

    /// The list of lines that name none.
    #[arg(long, value_name = "NAME")]
    list: Option<String>,
}

/// `weir change list`.
#[derive(Clone, Debug, Args)]
struct ListArgs {
    /// Where the server is.
    #[command(flatten)]
    common: Common,

    /// Only those of this list or binding.
    #[arg(long, value_name = "NAME")]
    list: Option<String>,
}

impl ChangeArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// If there is no server, or it refuses.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        match &self.command {
            ChangeCommand::Add(args) => {
                let line = Line {
                    status: args.status.clone(),
                    from: args.from.clone(),
                    until: args.until.clone(),
                    reason: args.reason.clone(),
                    ..args.single.which.line(Verb::Add)?
                };
                let SingleArgs { common, who, .. } = &args.single;
                common.make(who, line, out)
            }
            ChangeCommand::Remove(args) => {
                let line = args.which.line(Verb::Remove)?;
                args.common.make(&args.who, line, out)
            }
            ChangeCommand::Undo(args) => {
                let line = args.which.line(Verb::Undo)?;
                args.common.make(&args.who, line, out)
            }
            ChangeCommand::Apply(args) => args.run(out),
            ChangeCommand::Fold(common) => common.fold(out),
            ChangeCommand::List(args) => args.run(out),
        }
    }
}

impl Which {
    /// The line of a request.
    fn line(&self, verb: Verb) -> Result<Line, Failed> {
        let mut line = Line::new(verb, &self.list);
        line.imei = self.imei.clone();
        line.svn = self.svn.clone();
        line.tac = self.tac.clone();
        line.tac_prefix = self.tac_prefix.clone();
        line.imsi = self.imsi.clone();
        if let Some(range) = &self.range {
            let (from, to) = range.split_once('-').ok_or_else(|| {
                Failed::usage(format!("--range `{range}`: write FIRST-LAST, two IMEIs"))
            })?;
            line.imei_from = Some(from.to_owned());
            line.imei_to = Some(to.to_owned());
        }
        Ok(line)
    }
}

impl Who {
    /// Their name.
    fn name(&self) -> String {
        let user = || {
            ["SUDO_USER", "USER"]
                .iter()
                .find_map(|name| std::env::var(name).ok())
        };
        let name = self.by.clone().or_else(user).unwrap_or_default();
        match name.is_empty() {
            true => "unknown".to_owned(),
            false => name.chars().take(BY_MAX).collect(),
        }
    }
}

/// What was done.
#[derive(Debug, Serialize)]
struct Made {
    /// How many changes.
    changes: u64,
    /// The number of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    /// The number of the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
}

/// What was folded.
#[derive(Debug, Serialize)]
struct Folded {
    /// The number of the last change of it; 0 if there is none.
    last: u64,
}

impl Common {
    /// The directory of the journal.
    fn dir(&self) -> Result<(Config, PathBuf), Failed> {
        let config = Config::load(&self.config)?;
        let dir = journal::dir(&config).ok_or_else(|| {
            Failed::new(format!(
                "{}: names no `state_dir` in [register], so that no change could be kept; write \
                 `state_dir = \"state\"`, and restart the server",
                self.config.display()
            ))
        })?;
        Ok((config, dir))
    }

    /// Makes one change.
    fn make(&self, who: &Who, line: Line, out: &mut impl Write) -> Result<(), Failed> {
        let (_, dir) = self.dir()?;
        let mut server = Client::connect(&dir)?;
        let request = Request {
            by: who.name(),
            changes: vec![line],
            fold: false,
        };
        server.send(&request)?;
        let (first, last) = server.receive()?.map_err(Failed::new)?;
        self.print(first, last, out)
    }

    /// Has all changes folded.
    fn fold(&self, out: &mut impl Write) -> Result<(), Failed> {
        let (_, dir) = self.dir()?;
        let mut server = Client::connect(&dir)?;
        server.send(&Request {
            by: Who { by: None }.name(),
            changes: Vec::new(),
            fold: true,
        })?;
        let (_, last) = server.receive()?.map_err(Failed::new)?;
        if self.json {
            return print_json(out, &Folded { last });
        }
        printed(match last {
            0 => writeln!(out, "there is no change to fold"),
            _ => writeln!(out, "the changes up to {last} are folded"),
        })
    }

    /// Tells what was done.
    fn print(&self, first: u64, last: u64, out: &mut impl Write) -> Result<(), Failed> {
        let made = Made {
            changes: (last + 1).saturating_sub(first),
            first: Some(first).filter(|_| first <= last),
            last: Some(last).filter(|_| first <= last),
        };
        if self.json {
            return print_json(out, &made);
        }
        printed(match made.changes {
            0 => writeln!(out, "no change was asked for"),
            1 => writeln!(out, "change {first} is in force"),
            _ => writeln!(out, "changes {first} to {last} are in force"),
        })
    }
}

impl ListArgs {
    /// Shows the changes.
    fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let (config, _) = self.common.dir()?;
        let live = journal::read(&config)?;
        let mut shown = Vec::new();
        for change in live.in_order() {
            if (self.list.as_deref()).is_none_or(|list| list == &*change.subject.list) {
                shown.push(Shown {
                    number: change.number,
                    time: change.time.to_string(),
                    by: change.by.as_ref().into(),
                    change: Line::of(change),
                });
            }
        }
        match self.common.json {
            true => print_json(out, &shown),
            false => printed(shown.iter().try_for_each(|change| change.print(out))),
        }
    }
}

/// A change, as it is listed.
#[derive(Debug, Serialize)]
struct Shown {
    /// Its number.
    number: u64,
    /// When it was made.
    time: String,
    /// By whom.
    by: String,
    /// What it says.
    #[serde(flatten)]
    change: Line,
}

impl Shown {
    /// Prints it on one line.
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            number,
            time,
            by,
            change,
        } = self;
        let verb = match change.verb {
            Verb::Add => "add",
            Verb::Remove => "remove",
            Verb::Undo => "undo",
        };
        write!(out, "{number}  {time}  {by}  {verb}  list {}", change.list)?;
        for (name, value) in [
            ("imei", &change.imei),
            ("svn", &change.svn),
            ("from", &change.imei_from),
            ("to", &change.imei_to),
            ("tac", &change.tac),
            ("tac_prefix", &change.tac_prefix),
        ] {
            if let Some(value) = value {
                write!(out, "  {name} {value}")?;
            }
        }
        if !change.imsi.is_empty() {
            write!(out, "  imsi {}", change.imsi.join("|"))?;
        }
        if let Some(status) = &change.status {
            write!(out, "  {status}")?;
        }
        if let Some(from) = &change.from {
            write!(out, "  from {from}")?;
        }
        if let Some(until) = &change.until {
            write!(out, "  until {until}")?;
        }
        if let Some(reason) = &change.reason {
            write!(out, "  {reason:?}")?;
        }
        writeln!(out)
    }
}
