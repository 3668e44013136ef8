//! Lists as operators write them: what is loaded, what is refused, and what
//! is said of it. Every expectation is written by hand.

mod anything;
mod bad;
mod files;
mod good;
mod register;

use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::TempDir;
use weir::config::Config;
use weir::equipment::{Imei, Imsi, RuleView, Scope, Status};
use weir::lists::{BadLine, LoadReport};
use weir::load::{LoadError, Loaded, load, watched_dirs};
use weir::policy::{Ground, Inquiry, Outcome, Rulebook, Verdict};
use weir::time::UnixTime;

/// 2026-06-01 12:00:00 UTC.
const NOW: UnixTime = UnixTime(1_780_315_200);

//----------- Helpers ----------------------------------------------------------

/// A directory with these files.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

/// The configuration with this text, its lists in `dir`.
fn config(dir: &Path, text: &str) -> Config {
    let mut config = Config::parse(text, Path::new("weir.toml")).unwrap();
    config.register.lists_dir = dir.to_path_buf();
    config
}

/// Loads one list of blacklisted rules with this text.
fn load_rules(text: impl AsRef<[u8]>, max_bad_lines: u64) -> Result<Loaded, LoadError> {
    let dir = directory(&[("list.csv", text.as_ref())]);
    load(&config(
        dir.path(),
        &format!(
            "[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"list.csv\"\nmax_bad_lines = {max_bad_lines}"
        ),
    ))
}

/// Loads one list of bindings with this text.
fn load_bindings(text: &str) -> Result<Loaded, LoadError> {
    let dir = directory(&[("b.csv", text.as_bytes())]);
    load(&config(dir.path(), "[[binding]]\npath = \"b.csv\""))
}

/// The report of a load that must have been refused.
fn refused(result: Result<Loaded, LoadError>) -> LoadReport {
    match result {
        Err(LoadError::Refused(report)) => report,
        other => panic!("not refused: {other:?}"),
    }
}

/// The only bad line of a load that must have been refused for it.
fn bad_line(result: Result<Loaded, LoadError>) -> BadLine {
    let report = refused(result);
    assert_eq!(report.bad_lines(), 1, "{report:?}");
    assert_eq!(report.lists[0].faults, [""; 0]);
    report.lists[0].first_bad_lines[0].clone()
}

/// The verdict on an IMEI, and on behalf of a subscriber.
fn decide(rulebook: &Rulebook, imei: &str, imsi: Option<&str>, now: UnixTime) -> Verdict {
    let inquiry = Inquiry {
        imei: Imei::parse(imei.as_bytes()),
        svn: None,
        imsi: imsi.map(|imsi| Imsi::parse(imsi.as_bytes()).unwrap()),
        origin_host: b"mme",
        origin_realm: b"epc",
        route_record: None,
    };
    rulebook.decide(&inquiry, now)
}

/// The outcome for an IMEI now.
fn outcome(rulebook: &Rulebook, imei: &str) -> Outcome {
    decide(rulebook, imei, None, NOW).outcome
}

/// The rule that decides on an IMEI at a time.
fn rule_at<'a>(rulebook: &'a Rulebook, imei: &str, now: UnixTime) -> RuleView<'a> {
    match decide(rulebook, imei, None, now).ground {
        Ground::Rule(id) => {
            let device = Imei::parse(imei.as_bytes()).unwrap().device;
            rulebook.rule(id, device).unwrap()
        }
        other => panic!("{imei}: {other:?}"),
    }
}

const BLACK: Outcome = Outcome::Status(Status::Blacklisted);
const GREY: Outcome = Outcome::Status(Status::Greylisted);
const WHITE: Outcome = Outcome::Status(Status::Whitelisted);
