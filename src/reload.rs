//! Loading the lists anew while the server answers.
//!
//! ```text
//! SIGHUP ───────────────┐
//! files changed ─ quiet ┴▶ the reload thread: read configuration and lists
//!                             │ good: publish, then free the old register here
//!                             └ bad:  report, change nothing
//! ```
//!
//! Everything that takes long happens on one thread of its own: reading,
//! building, and freeing what was replaced. The serving threads see one atomic
//! exchange of a pointer.

mod requests;
mod watching;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub use self::requests::Handle;
use crate::config::{Config, LogLevel};
use crate::error::Failed;
use crate::journal::above::{self, Changes};
use crate::lists::LoadReport;
use crate::load::{self, Candidate, Origin, Previous};
use crate::metrics::{Counters, Tally};
use crate::net::tls::{Credentials, Tls};
use crate::net::{Clock, Peers};
use crate::policy::{Register, Rulebook};
use crate::snapfile::Residence;
use crate::state::{self, Lock, Stamps, State};

/// How often the reload thread looks whether the old register is free.
const RETIRE_POLL: Duration = Duration::from_millis(2);

/// Reads the configuration and its lists again, and publishes them.
#[derive(Debug)]
pub struct Reloader {
    /// The configuration file; none for the built-in configuration.
    path: Option<PathBuf>,
    /// The configuration in force, as the file has it.
    config: Config,
    /// The configuration as it was read last, even if its lists were refused:
    /// their repair is what is waited for then.
    wanted: Config,
    /// The files as they were before they were read last.
    seen: Fingerprint,
    /// The lists in force.
    previous: Previous,
    /// The `state_dir`, for as long as this is the only one to use it.
    lock: Option<Lock>,
    /// The single changes above the lists, if they are kept.
    changes: Option<Arc<Changes>>,
    /// Where it is published.
    register: Arc<Register>,
    /// What was done.
    counters: Arc<Counters>,
    /// What TLS is secured with.
    tls: Option<Arc<Tls>>,
    /// Whom a change of the peers is told, if a server runs.
    peers: Option<Peers>,
    /// Sets the level of the log, if that can be set.
    log: Option<SetLevel>,
}

/// Sets the level of the log.
pub struct SetLevel(pub Box<dyn Fn(LogLevel) + Send>);

impl fmt::Debug for SetLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetLevel")
    }
}

/// What was put in force.
struct New {
    /// The configuration.
    config: Config,
    /// The files, as they were before they were read.
    stamps: Stamps,
    /// What was loaded.
    report: LoadReport,
    /// Where a snapshot is.
    residence: Option<Residence>,
    /// What was in force.
    old: Arc<Rulebook>,
}

impl Reloader {
    /// A reloader for a configuration that is in force in `register`, loaded
    /// from the files as they are now; see [`since`](Self::since).
    #[must_use]
    pub fn new(
        path: Option<PathBuf>,
        config: Config,
        register: Arc<Register>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            seen: Fingerprint::of(path.as_deref(), &config),
            wanted: config.clone(),
            path,
            config,
            previous: Previous::default(),
            lock: None,
            changes: None,
            register,
            counters,
            tls: None,
            peers: None,
            log: None,
        }
    }

    /// The same for a register that was loaded from the files as they were at
    /// `seen`: what has changed since then is loaded at once.
    #[must_use]
    pub fn since(mut self, seen: Fingerprint) -> Self {
        self.seen = seen;
        self
    }

    /// The same with what is known of the lists in force.
    #[must_use]
    pub fn after(mut self, previous: Previous) -> Self {
        self.previous = previous;
        self
    }

    /// The same where single changes are laid above what is published.
    #[must_use]
    pub(crate) fn with_changes(mut self, changes: Option<Arc<Changes>>) -> Self {
        self.changes = changes;
        self
    }

    /// The same where the `state_dir` has been taken.
    #[must_use]
    pub(crate) fn holding(mut self, lock: Option<Lock>) -> Self {
        self.lock = lock;
        self
    }

    /// Takes the `state_dir` of a configuration, if it is another than that of
    /// the one before.
    fn lock(&mut self, config: &Config) -> Result<(), Failed> {
        let is_held = match (&self.lock, State::of(config)) {
            (Some(lock), Some(state)) => lock.is_of(&state),
            (_, None) => true,
            (None, Some(_)) => false,
        };
        if !is_held {
            self.lock = lock(config)?;
        }
        Ok(())
    }

    /// The same for a server with certificates, which are read again, too.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.tls = tls;
        self
    }

    /// The same for a server whose peers the configuration names.
    #[must_use]
    pub fn with_peers(mut self, peers: Peers) -> Self {
        self.peers = Some(peers);
        self
    }

    /// The same with a log whose level the configuration sets.
    #[must_use]
    pub fn with_log(mut self, log: SetLevel) -> Self {
        self.log = Some(log);
        self
    }

    /// Reloads once.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration or the lists; the register in
    /// force is then untouched.
    pub fn reload(&mut self) -> Result<LoadReport, Failed> {
        let candidate = self.candidate();
        let mut loaded = self.load_and_publish();
        // What was loaded may have become another one while it was.
        if loaded.is_err() && self.candidate() != candidate {
            loaded = self.load_and_publish();
        }
        let mut tally = Tally::default();
        let result = match loaded {
            Ok(New {
                config,
                stamps,
                report,
                residence,
                old,
            }) => {
                tally.reloads = 1;
                if let Some(peers) = &self.peers
                    && config.diameter != self.config.diameter
                {
                    peers.apply(&config.diameter);
                    tracing::info!("peers reloaded: who may connect, and whom to call");
                }
                if let Some(log) = &self.log
                    && config.log.level != self.config.log.level
                {
                    log.0(config.log.level);
                }
                self.config = config;
                self.previous = Previous::of(&report);
                if let Some(residence) = residence {
                    tracing::info!("snapshot: {residence}");
                }
                retire(old);
                keep(&self.config, &stamps, &report);
                Ok(report)
            }
            Err(failed) => {
                tally.refused_reloads = 1;
                Err(failed)
            }
        };
        self.counters.add(&mut tally);
        result
    }

    /// The snapshot with changes made in it that may be loaded.
    fn candidate(&self) -> Option<Candidate> {
        (self.changes.as_ref()).and_then(|changes| changes.candidate())
    }

    /// Loads what the configuration names, and puts it in force.
    fn load_and_publish(&mut self) -> Result<New, Failed> {
        let (config, stamps, loaded) = self.load()?;
        self.refuse_vanished(&loaded.report)?;
        let old = self.publish(loaded.rulebook, loaded.origin)?;
        Ok(New {
            config,
            stamps,
            report: loaded.report,
            residence: loaded.residence,
            old,
        })
    }

    /// Publishes a rulebook, with the single changes above it.
    fn publish(&self, rulebook: Rulebook, origin: Option<Origin>) -> Result<Arc<Rulebook>, Failed> {
        let Some(changes) = &self.changes else {
            return Ok(self.register.publish(rulebook));
        };
        let (old, misfits) = changes.install(&rulebook, origin).map_err(Failed::new)?;
        for warning in above::told(&misfits) {
            tracing::warn!("{warning}");
        }
        Ok(old)
    }

    /// Reads the configuration and everything that it names.
    fn load(&mut self) -> Result<(Config, Stamps, load::Loaded), Failed> {
        // Looked at before reading, so that no change goes unseen.
        self.seen = Fingerprint::of(self.path.as_deref(), &self.wanted);
        if let Some(path) = &self.path {
            let mut config = Config::load(path)?;
            if let Some(tls) = &self.tls {
                self.config.diameter.tls = config.diameter.tls.clone();
                renew(tls, &config, &self.counters);
            }
            let mut lasting = self.config.diameter.clone();
            lasting.take_peers(&config.diameter);
            let path = path.display();
            if config.diameter != lasting {
                tracing::warn!(
                    "{path}: changes of [diameter] take effect at the next start, but for those of peers and certificates"
                );
            }
            if config.log.show_identities != self.config.log.show_identities {
                tracing::warn!(
                    "{path}: a change of log.show_identities takes effect at the next start"
                );
            }
            if config.runtime != self.config.runtime {
                tracing::warn!("{path}: changes of [runtime] take effect at the next start");
            }
            if config.state_dir() != self.config.state_dir() {
                tracing::warn!(
                    "{path}: single changes stay in the `state_dir` of the start until the next one"
                );
            }
            config.diameter = lasting;
            config.runtime = self.config.runtime.clone();
            config.log.show_identities = self.config.log.show_identities;
            self.seen.lists = Stamps::take(&config);
            self.lock(&config)?;
            self.wanted = config;
        }
        let stamps = self.seen.lists.clone();
        // What an operator has put back is held to what it was, not to what it
        // is to replace.
        let restored = State::of(&self.wanted).and_then(|state| state.restored());
        let previous = restored.as_ref().unwrap_or(&self.previous);
        let loaded = load::load_folded(&self.wanted, previous, self.candidate().as_ref())?;
        Ok((self.wanted.clone(), stamps, loaded))
    }

    /// Refuses a register in which a list has lost all its files: a directory
    /// that is replaced or not mounted at the moment looks like that, and
    /// every device of the list would change its status.
    fn refuse_vanished(&self, report: &LoadReport) -> Result<(), Failed> {
        let in_force = self.register.load();
        let config = &self.wanted;
        let lists = config.lists.iter();
        let lists = lists.map(|list| (list.name.as_str(), &list.path));
        let bindings = config.bindings.iter();
        let bindings = bindings.map(|binding| (binding.name(), &binding.path));
        // Those that are to have no files are not to be asked for.
        let without: Vec<&str> = lists
            .chain(bindings)
            .filter(|(_, paths)| paths.is_empty())
            .map(|(name, _)| name)
            .collect();
        let vanished = report.lists.iter().filter(|list| list.files.is_empty());
        for list in vanished.filter(|list| !without.contains(&list.name.as_str())) {
            let before = in_force
                .snapshot()
                .lists()
                .find(|before| before.name == list.name)
                .map_or(0, |before| before.entries);
            if before > 0 {
                return Err(Failed::new(format!(
                    "list {}: all its files are gone, and it has {before} entries; to empty it, \
                     leave a file with a header only, or take it out of the configuration",
                    list.name
                )));
            }
        }
        Ok(())
    }
}

//----------- Fingerprint -----------------------------------------------------

/// What tells whether the configuration or a list has changed: the identity,
/// size and times of all files that a reload would read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of the configuration file.
    config: Stamps,
    /// Of all files of lists and bindings.
    lists: Stamps,
}

impl Fingerprint {
    /// The fingerprint of a configuration file and of the lists that it names,
    /// as they are now.
    #[must_use]
    pub fn of(path: Option<&Path>, config: &Config) -> Self {
        Self {
            config: Stamps::of(path.map(Path::to_owned)),
            lists: Stamps::take(config),
        }
    }

    /// The part of the lists.
    #[must_use]
    pub fn lists(&self) -> &Stamps {
        &self.lists
    }
}

//----------- Keeping ---------------------------------------------------------

/// Takes the `state_dir` of a configuration for this process alone. That it
/// cannot be written is told when there is something to keep.
///
/// # Errors
///
/// If another server has it: both would take each other's loads for their own.
pub(crate) fn lock(config: &Config) -> Result<Option<Lock>, Failed> {
    let Some(state) = State::of(config) else {
        return Ok(None);
    };
    match state.lock() {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(Failed::new(format!(
            "`state_dir` {} is in use by another server; give each server its own",
            state.dir().display()
        ))),
        Err(error) => {
            tracing::debug!("{}: {error}", state.dir().display());
            Ok(None)
        }
    }
}

/// Reads certificates, keys and revocations again. What cannot be used changes
/// nothing of them, and does not keep new lists from being used: peers that are
/// connected go on asking.
fn renew(tls: &Tls, config: &Config, counters: &Counters) {
    let now = Clock::start().now().unix;
    let refused = match Credentials::load(config, now) {
        Ok(Some(credentials)) => {
            let (until, warnings) = (credentials.until(), credentials.warnings().to_vec());
            tls.publish(credentials);
            tracing::info!("certificate reloaded: it is valid until {until}");
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            return;
        }
        Ok(None) => {
            "diameter.tls.certificate is set no longer; removing it takes a restart".to_owned()
        }
        Err(error) => error.to_string(),
    };
    counters.add(&mut Tally {
        refused_reloads: 1,
        ..Tally::default()
    });
    tracing::error!("certificate refused, the one in force stays: {refused}");
    if let Some(warning) = tls.current().expiry(now) {
        tracing::warn!("{warning}");
    }
}

/// Keeps the files of lists that are in force, if the configuration says so.
/// That they cannot be kept is no reason not to use them.
pub(crate) fn keep(config: &Config, stamps: &Stamps, report: &LoadReport) {
    let Some(state) = State::of(config) else {
        return;
    };
    let saved = state.save(stamps, report, state::now());
    match state.settle().and(saved) {
        Ok(Some(number)) => tracing::info!("the files of the lists are kept as load {number}"),
        Ok(None) => {}
        Err(error) => tracing::warn!(
            "the files of the lists cannot be kept in `state_dir` ({error}); `weir rollback` has older ones"
        ),
    }
}

/// Digits of a number in a row that the log shows by default: a TAC and no more
/// of an IMEI, the operator and a little of an IMSI.
const DIGITS_SHOWN: usize = 8;

/// A report on lists as the log may have it: the numbers in it are those of
/// devices and subscribers, and file and line tell which they are.
#[must_use]
pub fn loggable(report: &str, config: &Config) -> String {
    if config.log.show_identities {
        return report.to_owned();
    }
    let mut digits = 0;
    let masked = report.chars().map(|letter| {
        digits = if letter.is_ascii_digit() {
            digits + 1
        } else {
            0
        };
        if digits > DIGITS_SHOWN { '*' } else { letter }
    });
    masked.collect()
}

/// Frees a rulebook that was replaced, on this thread: waits until no serving
/// thread holds it. They hold it for a batch, so this takes microseconds, and
/// a reload in itself far longer.
fn retire(old: Arc<Rulebook>) {
    while Arc::strong_count(&old) > 1 {
        thread::sleep(RETIRE_POLL);
    }
    drop(old);
}
