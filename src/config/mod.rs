//! The configuration: one TOML file, read once at start and again at a reload.
//!
//! Every key has a default, so an empty file is a valid configuration; every
//! number has bounds, and the constants beside the structures give the reasons.
//! [`Config::load`] reads a file, [`Config::default`] is what a server without
//! a file runs with, and [`Config::commented_default`] prints as a file to
//! start from.
//!
//! ```
//! let config = weir::config::Config::parse(
//!     "[diameter]\nwatchdog = \"12s\"\n",
//!     std::path::Path::new("weir.toml"),
//! )?;
//! assert_eq!(config.diameter.watchdog.as_secs(), 12);
//! # Ok::<(), weir::config::ConfigError>(())
//! ```

mod check;
pub mod diameter;
pub mod endpoint;
mod locate;
pub mod peers;
pub mod runtime;
pub mod sctp;
mod text;
pub mod tls;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::equipment::{Special, Status};
use crate::policy::{Combine, Malformed, Unlisted};
use crate::time::UnixTime;

pub(crate) use self::check::{split_imsi_range, suggest};
pub use self::diameter::Diameter;
pub use self::endpoint::{Endpoint, Transport};
pub use self::locate::{ConfigError, Problem};
pub use self::peers::{Access, Connect, Peer};
pub use self::runtime::Runtime;
pub use self::sctp::{Listen, Sctp, SctpOverrides};
pub use self::text::MaxChange;
#[cfg(feature = "server")]
pub(crate) use self::text::parse_duration;
pub use self::tls::{ClientCertificates, Tls, TlsVersion};
pub use crate::lists::ListFormat;
pub use crate::snapfile::Memory as SnapshotMemory;

//----------- Config ----------------------------------------------------------

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who the EIR is on the Diameter side, and its limits.
    #[serde(default)]
    pub diameter: Diameter,
    /// What the EIR knows, and what it answers where it knows nothing.
    #[serde(default)]
    pub register: Register,
    /// The lists of rules.
    #[serde(default, rename = "list")]
    pub lists: Vec<List>,
    /// The lists that tie an IMSI to its devices.
    #[serde(default, rename = "binding")]
    pub bindings: Vec<Binding>,
    /// The files that name the models of devices.
    #[serde(default, rename = "tac")]
    pub tacs: Vec<TacFile>,
    /// The lists of devices that are conspicuous by their digits.
    #[serde(default, rename = "special")]
    pub specials: Vec<SpecialList>,
    /// Verdicts for groups of clients or subscribers; the first that matches
    /// applies, and the `[register]` keys if none does.
    #[serde(default, rename = "policy")]
    pub policies: Vec<Policy>,
    /// The threads that answer.
    #[serde(default)]
    pub runtime: Runtime,
    /// What is logged.
    #[serde(default)]
    pub log: Log,
    /// The directory that `lists_dir` is relative to: the configuration
    /// file's, or empty for the working directory.
    #[serde(skip)]
    pub base_dir: PathBuf,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is not TOML, holds a key that is not known
    /// or a value out of bounds. The error prints one line a problem.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = locate::read(path)?;
        let mut config = Self::parse(&text, path)?;
        config.base_dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(config)
    }

    /// Checks the text of a configuration; `path` only names it in errors.
    ///
    /// # Errors
    ///
    /// As [`Config::load`], but for reading.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self =
            toml::from_str(text).map_err(|error| locate::syntax(&error, text, path))?;
        let faults = check::faults(&config);
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(locate::values(faults, text, path))
        }
    }

    /// The default configuration with a comment on every key, as a file to
    /// start from. It parses to [`Config::default`].
    #[must_use]
    pub fn commented_default() -> &'static str {
        include_str!("default.toml")
    }

    /// The directory that the paths of lists and bindings are relative to.
    #[must_use]
    pub fn lists_dir(&self) -> PathBuf {
        self.base_dir.join(&self.register.lists_dir)
    }

    /// The compiled register that is served instead of lists, if there is one.
    #[must_use]
    pub fn snapshot(&self) -> Option<PathBuf> {
        let file = self.register.snapshot.as_ref()?;
        Some(self.base_dir.join(file))
    }

    /// The directory in which the files of past loads are kept, if they are.
    #[must_use]
    pub fn state_dir(&self) -> Option<PathBuf> {
        let dir = self.register.state_dir.as_ref()?;
        Some(self.base_dir.join(dir))
    }

    /// The paths and patterns of all lists, bindings and files of TACs.
    pub fn paths(&self) -> impl Iterator<Item = &[String]> {
        let lists = self.lists.iter().map(|list| list.path.as_slice());
        let bindings = self.bindings.iter().map(|binding| binding.path.as_slice());
        let tacs = self.tacs.iter().map(|tac| tac.path.as_slice());
        lists.chain(bindings).chain(tacs)
    }

    /// What is allowed but most likely not meant, one line each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        check::warnings(self)
    }
}

/// What a server without a configuration file runs with: every key at its
/// default, and the sample register, which an empty file does not load.
impl Default for Config {
    fn default() -> Self {
        Self {
            diameter: Diameter::default(),
            register: Register {
                sample: true,
                ..Register::default()
            },
            lists: Vec::new(),
            bindings: Vec::new(),
            tacs: Vec::new(),
            specials: Vec::new(),
            policies: Vec::new(),
            runtime: Runtime::default(),
            log: Log::default(),
            base_dir: PathBuf::new(),
        }
    }
}

//----------- Register --------------------------------------------------------

/// Bad lines that a list may have before it is refused: none, so that nothing
/// is lost unseen.
pub const DEFAULT_MAX_BAD_LINES: u64 = 0;

/// By how many percent a list may grow or shrink at a reload: national lists
/// change by less than a hundredth a day, and half a file is a half.
pub const DEFAULT_MAX_CHANGE: u32 = 25;

/// Loads that are kept: the one in force, and two to go back to.
pub const DEFAULT_KEEP: usize = 3;
/// At least the one in force.
pub const MIN_KEEP: usize = 1;
/// More are a backup, which is better kept elsewhere.
pub const MAX_KEEP: usize = 100;

/// `[register]`: what the lists have in common, and the default policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Register {
    /// The directory that the paths of lists and bindings are relative to;
    /// itself relative to the configuration file's.
    pub lists_dir: PathBuf,
    /// Whether to load the built-in register of test IMEIs.
    pub sample: bool,
    /// The compiled register that is served instead of lists; relative to the
    /// configuration file's directory.
    pub snapshot: Option<PathBuf>,
    /// Whether that is read into memory or mapped.
    pub snapshot_memory: SnapshotMemory,
    /// Maintenance switch: the status that every request gets.
    #[serde(rename = "override", with = "text::optional_status")]
    pub override_status: Option<Status>,
    /// What a device that no rule matches is answered; absent: what `combine`
    /// says, which is unknown but for type 1.
    #[serde(with = "text::optional_unlisted")]
    pub unlisted: Option<Unlisted>,
    /// What an IMEI that is none is answered.
    #[serde(with = "text::malformed")]
    pub malformed: Malformed,
    /// How lists that disagree combine.
    pub combine: Combine,
    /// Bad lines that each list may have; see the same key of a list.
    #[serde(deserialize_with = "text::whole_number")]
    pub max_bad_lines: u64,
    /// How much a list may grow or shrink at a reload; see the same key of a
    /// list.
    pub max_change: MaxChange,
    /// Where the files of the lists that were in force last are kept, and single
    /// changes; relative to the configuration file's directory. They are not if
    /// absent.
    pub state_dir: Option<PathBuf>,
    /// How many loads are kept there.
    #[serde(deserialize_with = "text::whole_number")]
    pub keep: usize,
    /// How many single changes are above a snapshot when they are folded into it
    /// in the background; 0: never.
    #[serde(deserialize_with = "text::whole_number")]
    pub fold_changes: usize,
    /// Whether a change of a list's file loads the lists anew.
    pub watch: bool,
    /// How many bytes of memory the rules of single devices and bindings may take
    /// while lists are loaded or compiled, besides what is made of them to be
    /// served.
    #[serde(deserialize_with = "text::whole_number")]
    pub compile_memory: u64,
    /// Whether a compiled register knows on which line of its list a single
    /// device stands.
    pub line_numbers: bool,
}

impl Default for Register {
    fn default() -> Self {
        Self {
            lists_dir: PathBuf::from("lists"),
            sample: false,
            snapshot: None,
            snapshot_memory: SnapshotMemory::Auto,
            override_status: None,
            unlisted: None,
            malformed: Malformed::Fault,
            combine: Combine::Strictest,
            max_bad_lines: DEFAULT_MAX_BAD_LINES,
            max_change: MaxChange::default(),
            state_dir: None,
            keep: DEFAULT_KEEP,
            fold_changes: DEFAULT_FOLD_CHANGES,
            watch: true,
            compile_memory: DEFAULT_COMPILE_MEMORY,
            line_numbers: true,
        }
    }
}

/// The default of [`Register::fold_changes`]: below, they are read in well under
/// a second at a start, and what is folded cannot be undone any more.
pub const DEFAULT_FOLD_CHANGES: usize = 500_000;
/// The most of it: more changes than that there cannot be.
pub const MAX_FOLD_CHANGES: usize = crate::equipment::CHANGES_MAX;

/// The default of [`Register::compile_memory`]: a hundred million devices fit.
pub const DEFAULT_COMPILE_MEMORY: u64 = 1 << 30;
/// The least of it: below, what is read at a time does not fit.
pub const MIN_COMPILE_MEMORY: u64 = 64 << 20;
/// The most of it: no machine has more, so that it is a mistake.
pub const MAX_COMPILE_MEMORY: u64 = 1 << 44;

/// `[[list]]`: a named set of rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The name that policies, reports and explanations use.
    pub name: String,
    /// The status of its rules, unless a line says otherwise.
    #[serde(with = "text::status")]
    pub status: Status,
    /// Files, or patterns with `*`, `?`, `[…]` and `**`; none of a list that lives
    /// from single changes.
    #[serde(deserialize_with = "text::one_or_many")]
    pub path: Vec<String>,
    /// Overrides `max_bad_lines` of `[register]`.
    #[serde(default, deserialize_with = "text::optional_whole_number")]
    pub max_bad_lines: Option<u64>,
    /// How its files are written.
    #[serde(default)]
    pub format: ListFormat,
    /// Whether a record of Open5GS with a software version is of that version
    /// only.
    #[serde(default)]
    pub strict_svn: bool,
    /// Overrides `max_change` of `[register]`.
    #[serde(default)]
    pub max_change: Option<MaxChange>,
    /// Whether a list that makes no sense is refused although its lines do.
    #[serde(default = "default_true")]
    pub guard_rails: bool,
    /// Whether it is only tried: it has no say, and what it would have said is
    /// counted.
    #[serde(default)]
    pub shadow: bool,
}

/// `[[binding]]`: IMSIs and the devices that each may be used in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The name that policies, reports and explanations use; the first path
    /// without its suffixes if absent, see [`Binding::name`].
    #[serde(default)]
    pub name: Option<String>,
    /// Files or patterns, as of a list.
    #[serde(deserialize_with = "text::one_or_many")]
    pub path: Vec<String>,
    /// What a bound IMSI in another device is answered.
    #[serde(default = "default_mismatch", with = "text::status")]
    pub mismatch: Status,
    /// What a bound IMSI in its device is answered; absent (`continue`): what
    /// the lists say.
    #[serde(default, rename = "match", with = "text::on_match")]
    pub on_match: Option<Status>,
    /// Overrides `max_bad_lines` of `[register]`.
    #[serde(default, deserialize_with = "text::optional_whole_number")]
    pub max_bad_lines: Option<u64>,
    /// How its files are written.
    #[serde(default)]
    pub format: ListFormat,
    /// As of a list.
    #[serde(default)]
    pub strict_svn: bool,
    /// As of a list.
    #[serde(default)]
    pub max_change: Option<MaxChange>,
    /// As of a list.
    #[serde(default = "default_true")]
    pub guard_rails: bool,
    /// Whether it is only tried, as of a list.
    #[serde(default)]
    pub shadow: bool,
}

impl Binding {
    /// The configured name, or the first path cut before its first wildcard
    /// and suffix: `bindings/*.csv` is `bindings`, `iot/sims.csv` is `iot/sims`.
    #[must_use]
    pub fn name(&self) -> &str {
        if let Some(name) = &self.name {
            return name;
        }
        name_of_path(&self.path, "binding")
    }
}

/// The first path cut before its first wildcard and suffix, or `default` if
/// nothing is left.
fn name_of_path<'a>(paths: &'a [String], default: &'a str) -> &'a str {
    let path = paths.first().map_or("", String::as_str);
    let fixed = path.split(['*', '?', '[']).next().unwrap_or_default();
    let (dir, file) = match fixed.rfind('/') {
        Some(slash) => fixed.split_at(slash + 1),
        None => ("", fixed),
    };
    let stem = file.split('.').next().unwrap_or_default();
    let name = match fixed.get(..dir.len() + stem.len()) {
        Some(name) => name.trim_end_matches('/'),
        None => fixed,
    };
    if name.is_empty() { default } else { name }
}

/// What is on unless configured otherwise.
fn default_true() -> bool {
    true
}

/// The status of a bound IMSI in a foreign device, unless configured.
fn default_mismatch() -> Status {
    Status::Blacklisted
}

//----------- TacFile ---------------------------------------------------------

/// `[[tac]]`: files that name the model of each TAC, for explanations and for
/// rules about unallocated TACs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TacFile {
    /// The name that reports use; the first path without its suffixes if
    /// absent, as of a binding.
    #[serde(default)]
    pub name: Option<String>,
    /// Files or patterns, as of a list.
    #[serde(deserialize_with = "text::one_or_many")]
    pub path: Vec<String>,
    /// How the files are written: `gsma-tac`, `osmocom-tac` or `csv`.
    pub format: ListFormat,
    /// Overrides `max_bad_lines` of `[register]`.
    #[serde(default, deserialize_with = "text::optional_whole_number")]
    pub max_bad_lines: Option<u64>,
    /// As of a list.
    #[serde(default)]
    pub max_change: Option<MaxChange>,
    /// As of a list.
    #[serde(default = "default_true")]
    pub guard_rails: bool,
}

impl TacFile {
    /// The configured name, or that of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.name {
            Some(name) => name,
            None => name_of_path(&self.path, "tac"),
        }
    }
}

//----------- Special ---------------------------------------------------------

/// `[[special]]`: a list without a file, of all devices that are conspicuous
/// by their digits. It has a say where no list covers a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecialList {
    /// The name that policies, reports and explanations use.
    pub name: String,
    /// Which devices.
    #[serde(deserialize_with = "text::one_or_many")]
    pub kinds: Vec<Special>,
    /// What they are answered.
    #[serde(with = "text::status")]
    pub status: Status,
    /// The first second in which it has a say.
    #[serde(default, with = "text::optional_from")]
    pub from: Option<UnixTime>,
    /// The last second in which it has a say.
    #[serde(default, with = "text::optional_until")]
    pub until: Option<UnixTime>,
    /// Why, for explanations.
    #[serde(default)]
    pub reason: Option<String>,
    /// Whether it is only tried, as of a list.
    #[serde(default)]
    pub shadow: bool,
}

//----------- Policy ----------------------------------------------------------

/// `[[policy]]`: how verdicts are reached for a group of clients or
/// subscribers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The name that explanations use.
    pub name: String,
    /// Whom it is for.
    #[serde(rename = "match")]
    pub matches: Match,
    /// The lists and bindings that count for it; all if absent.
    #[serde(default, deserialize_with = "text::optional_one_or_many")]
    pub lists: Option<Vec<String>>,
    /// Overrides `unlisted` of `[register]`.
    #[serde(default, with = "text::optional_unlisted")]
    pub unlisted: Option<Unlisted>,
    /// Overrides `malformed` of `[register]`.
    #[serde(default, with = "text::optional_malformed")]
    pub malformed: Option<Malformed>,
    /// Overrides `combine` of `[register]`.
    #[serde(default)]
    pub combine: Option<Combine>,
    /// Maintenance switch of this policy: the status that every request gets
    /// that it is for.
    #[serde(default, rename = "override", with = "text::optional_status")]
    pub override_status: Option<Status>,
    /// Whether it is only tried: it is for nobody, and what it would have
    /// changed is counted.
    #[serde(default)]
    pub shadow: bool,
}

/// `match` of a policy: every condition that is given must hold; a condition
/// with several values holds if one of them does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Origin-Hosts of requests; `*.suffix` is for all names that end so.
    #[serde(deserialize_with = "text::one_or_many")]
    pub origin_host: Vec<String>,
    /// Origin-Realms of requests, as of hosts.
    #[serde(deserialize_with = "text::one_or_many")]
    pub origin_realm: Vec<String>,
    /// First Route-Records of requests, as of hosts: the nodes that the first
    /// agents on the way had the requests from.
    #[serde(deserialize_with = "text::one_or_many")]
    pub route_record: Vec<String>,
    /// First digits of IMSIs.
    #[serde(deserialize_with = "text::one_or_many")]
    pub imsi_prefix: Vec<String>,
    /// Ranges of IMSIs, both ends included, as `FIRST-LAST`.
    #[serde(deserialize_with = "text::one_or_many")]
    pub imsi_range: Vec<String>,
}

impl Policy {
    /// How lists that disagree combine for this policy.
    #[must_use]
    pub fn combine(&self, register: &Register) -> Combine {
        self.combine.unwrap_or(register.combine)
    }

    /// What this policy says of a device that no rule matches: its own key,
    /// else that of `[register]`, else what goes with its `combine`.
    #[must_use]
    pub fn unlisted(&self, register: &Register) -> Unlisted {
        let set = self.unlisted.or(register.unlisted);
        set.unwrap_or_else(|| self.combine(register).unlisted())
    }
}

impl Register {
    /// What the default policy says of a device that no rule matches.
    #[must_use]
    pub fn unlisted(&self) -> Unlisted {
        self.unlisted.unwrap_or_else(|| self.combine.unlisted())
    }
}

//----------- Log -------------------------------------------------------------

/// `[log]`: what is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// Whether IMSIs and IMEIs are logged in full.
    pub show_identities: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            show_identities: false,
        }
    }
}

/// How much is logged, each level with all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What needs somebody.
    Error,
    /// What may come to.
    Warn,
    /// Connections, reloads, start and stop.
    #[default]
    Info,
    /// Each request.
    Debug,
    /// Each message.
    Trace,
}

impl LogLevel {
    /// The level's name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
