//! `weir compile`: the lists as a snapshot file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::grouped;
use super::{configuration, print_json, printed};
use crate::compile::Progress;
use crate::config::Config;
use crate::error::Failed;
use crate::lists::{FileReport, ListReport};
use crate::load::{self, Loaded, Previous};
use crate::net::Clock;
use crate::snapfile::{self, Draft};
use crate::snapshot::{FileOrigin, ListOrigin, Provenance};
use crate::state::{Stamps, State};

/// Bytes of a file that are read at a time.
const BUFFER: usize = 1024 * 1024;

/// Compile the lists of a configuration into a snapshot file, which a server
/// reads in their place. A list that a server would refuse is refused here.
#[derive(Clone, Debug, Args)]
pub struct CompileArgs {
    /// The configuration; without it, the built-in register of test IMEIs. Its
    /// policies are no part of the snapshot.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where the snapshot goes. One that is there is replaced when the new one
    /// is whole; its lists are what `max_change` compares with, unless a
    /// `state_dir` knows them.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Print what was done as JSON.
    #[arg(long)]
    pub json: bool,
}

impl CompileArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// A configuration or list that cannot be used, or a file that cannot be
    /// written; what was there is then as it was.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let mut config = configuration(self.config.as_deref())?;
        // That is what is being made.
        config.register.snapshot = None;
        let draft = Draft::begin(&self.output).map_err(Failed::new)?;
        let before = Stamps::take(&config);
        let previous = self.previous(&config);
        let (loaded, shelf) = watched(&config, |progress| {
            load::compile(&config, &previous, &draft, progress)
        })?;
        let Loaded {
            rulebook, report, ..
        } = loaded;
        let provenance = provenance(&config, &report.lists)?;
        if Stamps::take(&config) != before {
            return Err(Failed::new(
                "a list has changed while it was compiled; nothing was written, compile again",
            ));
        }
        let created = Clock::start().now().unix;
        let snapshot = rulebook.snapshot();
        let contents = draft.finish((snapshot, &shelf), &provenance, created);
        let contents = contents.map_err(Failed::new)?;
        let compiled = Compiled {
            file: self.output.display().to_string(),
            length: contents.length,
            digest: format!("{:016x}", contents.digest),
            warnings: report.all_warnings().collect(),
            lists: report.lists,
        };
        match self.json {
            true => print_json(out, &compiled),
            false => printed(compiled.print(out)),
        }
    }

    /// The lists that the new ones are compared with.
    fn previous(&self, config: &Config) -> Previous {
        if let Some(state) = State::of(config) {
            return state.previous();
        }
        // What is damaged is replaced without more ado.
        let provenance = snapfile::provenance(&self.output).map(|(_, provenance)| provenance);
        let entries = provenance
            .unwrap_or_default()
            .lists
            .into_iter()
            .map(|list| {
                let entries = list.files.iter().map(|file| file.entries).sum();
                (list.name, entries)
            });
        Previous {
            entries: entries.collect(),
        }
    }
}

/// What was compiled.
#[derive(Debug, Serialize)]
struct Compiled {
    /// The snapshot.
    file: String,
    /// Its bytes.
    length: u64,
    /// What it holds, in one number.
    digest: String,
    /// The lists and bindings.
    lists: Vec<ListReport>,
    /// What is allowed but most likely not meant.
    warnings: Vec<String>,
}

impl Compiled {
    /// Prints it for people.
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for list in &self.lists {
            writeln!(out, "list     {list}")?;
        }
        for warning in &self.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        let length = grouped(self.length);
        writeln!(out, "written  {}: {length} bytes", self.file)?;
        writeln!(out, "digest   {}", self.digest)
    }
}

//----------- Progress --------------------------------------------------------

/// How often the progress is looked at: often enough to seem to flow.
const REFRESH: Duration = Duration::from_millis(200);

/// Partitions that are assembled in the end.
const PARTITIONS: u64 = crate::equipment::bulk::PARTITIONS as u64;

/// Does long work, and shows on a terminal how far it is.
fn watched<T>(config: &Config, work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    if !io::stderr().is_terminal() {
        return work(&progress);
    }
    let sizes = load::files(config).into_iter();
    let sizes = sizes.filter_map(|path| fs::metadata(path).ok());
    let total = sizes.map(|metadata| metadata.len()).sum::<u64>().max(1);
    let bar = ProgressBar::new(2 * total);
    let style = "{msg} {wide_bar} {percent:>3} %, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let (done, is_done) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        let (watched, bar) = (progress.clone(), &bar);
        scope.spawn(move || {
            while is_done.recv_timeout(REFRESH) == Err(mpsc::RecvTimeoutError::Timeout) {
                let [octets, lines, partitions] = watched.so_far();
                // To read takes about as long as to assemble.
                bar.set_position(octets.min(total) + total * partitions / PARTITIONS);
                let rate = lines as f64 / bar.elapsed().as_secs_f64() / 1e6;
                bar.set_message(match partitions {
                    0 => format!("reading, {rate:.1} M lines/s"),
                    _ => "assembling".to_owned(),
                });
            }
        });
        let result = work(&progress);
        drop(done);
        result
    });
    bar.finish_and_clear();
    result
}

//----------- Provenance ------------------------------------------------------

/// Where the lists of a report come from.
fn provenance(config: &Config, lists: &[ListReport]) -> Result<Provenance, Failed> {
    let mut formats: BTreeMap<&str, String> = BTreeMap::new();
    let own = config.lists.iter().map(|list| (&*list.name, list.format));
    let bindings = config.bindings.iter().map(|own| (own.name(), own.format));
    let tacs = config.tacs.iter().map(|own| (own.name(), own.format));
    for (name, format) in own.chain(bindings).chain(tacs) {
        formats.insert(name, format.to_string());
    }
    let lists = lists.iter().map(|list| {
        let files = list.files.iter().map(origin);
        Ok(ListOrigin {
            name: list.name.clone(),
            bindings: list.bindings,
            models: list.models,
            format: formats.get(&*list.name).cloned().unwrap_or_default(),
            files: files.collect::<Result<_, Failed>>()?,
        })
    });
    let lists = lists.collect::<Result<_, Failed>>()?;
    Ok(Provenance {
        lists,
        folded: None,
    })
}

/// Where a file of a list comes from.
fn origin(report: &FileReport) -> Result<FileOrigin, Failed> {
    let mut origin = FileOrigin {
        path: report.path.clone(),
        bytes: report.bytes,
        lines: report.lines,
        entries: report.entries,
        rejected: report.bad_lines,
        left_out: report.left_out,
        ..FileOrigin::default()
    };
    // A list in an archive has a path below it; what is built in has none.
    let mut paths = Path::new(&report.path).ancestors();
    if let Some(path) = paths.find(|path| path.is_file()) {
        let told = |error| Failed::new(format!("{}: cannot be read: {error}", path.display()));
        let metadata = fs::metadata(path).map_err(told)?;
        origin.size = Some(metadata.len());
        origin.modified = Some(metadata.mtime());
        // Of most files it was found while they were read.
        origin.sha256 = match &report.sha256 {
            Some(digest) => Some(digest.clone()),
            None => Some(sha256(path).map_err(told)?),
        };
    }
    Ok(origin)
}

/// SHA-256 of a file, as `sha256sum` prints it.
fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        hasher.update(read);
    }
    let octets = hasher.finalize();
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}
