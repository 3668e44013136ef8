//! A list in the house format: loaded or refused with an error that can be
//! printed, never a panic; the order of its lines decides nothing.
//!
//! The first octet chooses the header, the rest is the lines below it.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weir::config::Config;
use weir::equipment::{Imei, Imsi, Status};
use weir::load::load;
use weir::policy::{Inquiry, Rulebook};
use weir::time::UnixTime;

/// Headers with all columns between them.
const HEADERS: [&str; 6] = [
    "imei,status,reason",
    "imei,svn,imsi,status",
    "tac,from,until",
    "tac_prefix,imei,tac,imei_from,imei_to,svn,status,imsi,from,until,reason",
    "imei_from,imei_to,status",
    "\"imei\",shoe size",
];
/// When the verdicts are asked for.
const NOW: UnixTime = UnixTime(1_767_225_600);
/// Digits that are asked for after a load, at most.
const QUESTIONS: usize = 64;

/// A file of this process's own: lists are read from files.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    directory.join(format!("weir-fuzz-{}.csv", std::process::id()))
});

fuzz_target!(|data: &[u8]| {
    let Some((&first, body)) = data.split_first() else {
        return;
    };
    let header = HEADERS[usize::from(first) % HEADERS.len()];
    let mut lines: Vec<&[u8]> = body.split(|octet| *octet == b'\n').collect();
    let forwards = rulebook(header, &lines);
    lines.reverse();
    let backwards = rulebook(header, &lines);
    match (forwards, backwards) {
        (Some(forwards), Some(backwards)) => {
            assert_eq!(forwards.snapshot().counts(), backwards.snapshot().counts());
            for question in body.split(|octet| !octet.is_ascii_digit()).take(QUESTIONS) {
                assert_eq!(ask(&forwards, question), ask(&backwards, question));
            }
        }
        (None, None) => {}
        (forwards, _) => panic!(
            "refused in one order only; as it is: {}",
            forwards.is_none()
        ),
    }
    // libFuzzer ends without a farewell: leave nothing behind.
    let _ = std::fs::remove_file(&*FILE);
});

/// Loads the lines below the header; `None` if the list is refused.
fn rulebook(header: &str, lines: &[&[u8]]) -> Option<Rulebook> {
    let text = [header.as_bytes(), &lines.join(&b'\n')].join(&b'\n');
    std::fs::write(&*FILE, text).expect("the file can be written");
    let mut config = Config::default();
    config.register.sample = false;
    config.lists = vec![weir::config::List {
        name: "fuzz".to_owned(),
        status: Status::Blacklisted,
        path: vec![FILE.display().to_string()],
        max_bad_lines: None,
        format: weir::config::ListFormat::Csv,
        strict_svn: false,
        max_change: None,
        guard_rails: true,
        shadow: false,
    }];
    match load(&config) {
        Ok(loaded) => {
            assert!(
                loaded.report.entries() <= lines.len() as u64,
                "more entries than lines"
            );
            Some(loaded.rulebook)
        }
        Err(error) => {
            assert!(!error.to_string().trim().is_empty());
            None
        }
    }
}

/// The verdict on some digits, taken as IMEI and as the beginning of one, with
/// and without an IMSI.
fn ask(rulebook: &Rulebook, digits: &[u8]) -> Vec<weir::policy::Outcome> {
    let mut padded = digits.to_vec();
    padded.resize(14, b'0');
    let mut outcomes = Vec::new();
    for imei in [digits, &padded] {
        for imsi in [None, Imsi::parse(digits).ok()] {
            let inquiry = Inquiry {
                imei: Imei::parse(imei),
                svn: None,
                imsi,
                origin_host: b"mme.localdomain",
                origin_realm: b"localdomain",
                route_record: None,
            };
            outcomes.push(rulebook.decide(&inquiry, NOW).outcome);
        }
    }
    outcomes
}
