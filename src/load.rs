//! From the configuration to a rulebook: every list and binding, all or none.

mod error;
mod loader;
mod policies;
mod rails;
mod settle;
mod stored;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

pub use self::error::LoadError;
use self::loader::{Goal, Loader};
use crate::compile::{Progress, Shelf};
use crate::config::Config;
use crate::lists::LoadReport;
use crate::lists::feed::Watch;
use crate::lists::source;
use crate::policy::Rulebook;
use crate::snapfile::{Draft, Residence};
use crate::snapshot::Provenance;

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
    let loader = Loader::read(config, previous, (dir, None), Watch::default())?;
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
    draft: &Draft,
    progress: &Progress,
) -> Result<(Loaded, Shelf), LoadError> {
    let watch = Watch {
        progress: progress.clone(),
        digests: true,
    };
    let dir = draft.dir().to_owned();
    let loader = Loader::read(config, previous, (dir, Some(draft.ahead())), watch)?;
    let (loaded, shelf) = loader.finish(Goal::Write)?;
    // Whoever writes has one.
    let shelf = shelf.ok_or_else(|| LoadError::Memory("nothing was kept".to_owned()))?;
    Ok((loaded, shelf))
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

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::equipment::{Device, Imsi, RuleKind, Scope, Snapshot, Status};
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
        let draft = Draft::begin(&path).unwrap();
        let (loaded, shelf) =
            compile(config, &Previous::default(), &draft, &Progress::default()).unwrap();
        let snapshot = loaded.rulebook.snapshot();
        let none = Provenance::default();
        draft
            .finish((snapshot, &shelf), &none, UnixTime(0))
            .unwrap();
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

    /// A line of a list of bindings: one subscriber or the end of a range of them,
    /// a device, and whether the whole TAC is meant.
    type Bound = (u64, Option<u64>, u64, bool);

    /// Few subscribers, so that some have many bindings, and others.
    fn bound() -> impl Strategy<Value = Bound> {
        let imsi = prop_oneof![0u64..9, (0u64..3000).prop_map(|n| n * 7_777_777)];
        let range = prop::option::weighted(0.1, 0u64..20);
        (imsi, range, 0u64..9, prop::bool::weighted(0.2))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// The same of bindings; a scan over the lines is the oracle.
        #[test]
        fn memory_changes_no_bindings(
            lines in prop::collection::vec(bound(), 0..3000)
        ) {
            let imsi = |number: u64| format!("{:015}", 1_010_000_000_000 + number);
            let tac = |device: u64| 35_209_900 + device % 3;
            let mut text = "imsi,imsi_from,imsi_to,imei,tac\n".to_owned();
            for &(from, length, device, of_tac) in &lines {
                text += &match length {
                    None => format!("{},,,", imsi(from)),
                    Some(length) => format!(",{},{},", imsi(from), imsi(from + length)),
                };
                text += &match of_tac {
                    false => format!("{}{device:06},\n", tac(device)),
                    true => format!(",{}\n", tac(device)),
                };
            }
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("b.csv"), text).unwrap();
            let keys = "[[binding]]\nname = \"b\"\npath = \"b.csv\"\n";
            let mut config = Config::parse(keys, Path::new("weir.toml")).unwrap();
            config.register.lists_dir = dir.path().to_owned();
            let served = load(&config).unwrap();
            let snapshot = served.rulebook.snapshot();
            let none = Provenance::default();
            let octets = snapshot::to_octets(snapshot, &none, UnixTime(0)).unwrap();
            for memory in [1 << 30, 30_000, 0] {
                config.register.compile_memory = memory;
                let (file, report) = compiled(&config, dir.path());
                prop_assert!(file == octets, "{} octets of memory", memory);
                prop_assert_eq!(report.lists[0].entries(), lines.len() as u64);
                let served = load(&config).unwrap();
                let own = snapshot::to_octets(served.rulebook.snapshot(), &none, UnixTime(0));
                prop_assert!(own.unwrap() == octets, "{} octets of memory", memory);
            }
            let stored = snapshot::from_octets(&octets).unwrap().snapshot;
            prop_assert_eq!(stored.bindings().count(), lines.len());
            for number in (0..30).chain([7_777_777, 777_777_700]) {
                let asked = Imsi::parse(imsi(number).as_bytes()).unwrap();
                for device in 0..9 {
                    let holds = |&(from, length, own, of_tac): &Bound| {
                        (from..=from + length.unwrap_or(0)).contains(&number)
                            && (own == device || of_tac && tac(own) == tac(device))
                    };
                    let holding = || (2u32..).zip(&lines).filter(|(_, line)| holds(line));
                    let scope = |&(_, _, own, of_tac): &Bound| (tac(own), own * u64::from(!of_tac), of_tac);
                    let expected: BTreeSet<_> = holding().map(|(_, line)| scope(line)).collect();
                    let device = Device::from_number(tac(device) * 1_000_000 + device).unwrap();
                    let mut found = BTreeSet::new();
                    let mut strangers = 0;
                    stored.visit_bindings(asked, (device, None, UnixTime(0)), |id, own, _| {
                        if own.covers(device, None) == Some(true) {
                            let line = stored.binding(id).unwrap().line;
                            let mut holding = holding();
                            match holding.find(|&(number, _)| number == line) {
                                // Of many that say the same, one is enough.
                                Some((_, line)) => drop(found.insert(scope(line))),
                                None => strangers += 1,
                            }
                        }
                    });
                    prop_assert_eq!((found, strangers), (expected, 0));
                }
            }
        }
    }

    #[test]
    fn a_place_for_files_that_is_none_is_named() {
        let lists = [vec![(1, None, 0, false); 10]];
        let (dir, mut config) = configured(&lists);
        config.register.compile_memory = 0;
        let nowhere = dir.path().join("nowhere");
        fs::create_dir(&nowhere).unwrap();
        let draft = Draft::begin(&nowhere.join("out.weir")).unwrap();
        fs::remove_dir_all(&nowhere).unwrap();
        let error = compile(&config, &Previous::default(), &draft, &Progress::default());
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
