//! Lists of other registers, read as they are: each sample has every quirk of
//! its format, and the verdicts that it gives stand beside it, written by hand.

mod archives;
mod dirbs;
mod eagle;
mod house;
mod open5gs;
mod pyhss;
mod rails;
mod restore;
mod tacs;

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weir::config::Config;
use weir::equipment::{Imei, Imsi, Status, Tac};
use weir::lists::{ListReport, LoadReport};
use weir::load::{LoadError, Loaded, Previous, load, load_after};
use weir::policy::{Ground, Inquiry, Outcome, Verdict};
use weir::time::UnixTime;
use zip::write::SimpleFileOptions;

/// 2026-06-15 12:00:00 UTC.
const NOW: UnixTime = UnixTime(1_781_524_800);

const BLACK: Outcome = Outcome::Status(Status::Blacklisted);
const GREY: Outcome = Outcome::Status(Status::Greylisted);
const WHITE: Outcome = Outcome::Status(Status::Whitelisted);
const UNKNOWN: Outcome = Outcome::Unknown;

//----------- Helpers ----------------------------------------------------------

/// A sample.
fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/samples");
    fs::read(path.join(name)).unwrap()
}

/// A directory with these files.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// A configuration with its lists in `dir`.
fn config(dir: &Path, text: &str) -> Config {
    let mut config = Config::parse(text, Path::new("weir.toml")).unwrap();
    config.register.lists_dir = dir.to_path_buf();
    config
}

/// Loads files as a list of blacklisted devices of a format.
fn load_list(format: &str, files: &[(&str, &[u8])]) -> Result<Loaded, LoadError> {
    load_with(format, files, "")
}

/// The same with further keys.
fn load_with(format: &str, files: &[(&str, &[u8])], keys: &str) -> Result<Loaded, LoadError> {
    let dir = directory(files);
    let text = format!(
        "[[list]]\nname = \"l\"\nstatus = \"black\"\npath = \"*\"\nformat = \"{format}\"\n{keys}"
    );
    load(&config(dir.path(), &text))
}

/// Loads one sample.
fn load_sample(format: &str, name: &str) -> Loaded {
    load_list(format, &[(name, &sample(name))]).unwrap()
}

/// Loads files as bindings.
fn load_bindings(format: &str, files: &[(&str, &[u8])]) -> Result<Loaded, LoadError> {
    let dir = directory(files);
    let text = format!("[[binding]]\npath = \"*\"\nname = \"b\"\nformat = \"{format}\"");
    load(&config(dir.path(), &text))
}

/// The report of the only list of a load that must have been refused.
fn refused(result: Result<Loaded, LoadError>) -> ListReport {
    match result {
        Err(LoadError::Refused(report)) => report.lists.into_iter().next().unwrap(),
        other => panic!("not refused: {other:?}"),
    }
}

/// The reason of the rule that decides on a device.
fn reason(loaded: &Loaded, imei: &str) -> String {
    match decide(loaded, imei, "", NOW).ground {
        Ground::Rule(id) => {
            let device = Imei::parse(imei.as_bytes()).unwrap().device;
            let rule = loaded.rulebook.rule(id, device).unwrap();
            rule.reason.unwrap_or_default().to_owned()
        }
        other => panic!("{imei}: {other:?}"),
    }
}

/// What a device is answered, alone or with a subscriber; 16 digits tell the
/// software version.
fn ask(loaded: &Loaded, imei: &str, imsi: &str, now: UnixTime) -> Outcome {
    decide(loaded, imei, imsi, now).outcome
}

/// The same with its ground.
fn decide(loaded: &Loaded, imei: &str, imsi: &str, now: UnixTime) -> Verdict {
    let inquiry = Inquiry {
        imei: Imei::parse(imei.as_bytes()),
        svn: None,
        imsi: Imsi::parse(imsi.as_bytes()).ok(),
        origin_host: b"mme",
        origin_realm: b"epc",
        route_record: None,
    };
    loaded.rulebook.decide(&inquiry, now)
}

/// Holds verdicts against what is expected.
fn expect(loaded: &Loaded, verdicts: &[(&str, &str, Outcome)]) {
    for (imei, imsi, expected) in verdicts {
        assert_eq!(ask(loaded, imei, imsi, NOW), *expected, "{imei} {imsi}");
    }
}

/// A ZIP archive of these members.
fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
