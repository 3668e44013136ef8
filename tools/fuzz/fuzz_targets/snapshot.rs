//! A compiled register: as a file, whose checksums refuse almost everything,
//! and with the checksums out of the way. Read or refused with an error that
//! names the section, never a panic, and what is read answers and is written as
//! it was read.
//!
//! The input is a patch of the stored sample: which section, what is done to
//! it, where, and the octets that are put there; as often as there is input. An
//! input that begins as a file does is read as one.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weir::equipment::{Imei, Imsi, Octets, Parts, Snapshot};
use weir::policy::{Inquiry, PolicySpec, Rulebook};
use weir::snapshot::{self, Provenance};
use weir::time::UnixTime;

/// When the verdicts are asked for.
const NOW: UnixTime = UnixTime(1_767_225_600);
/// Devices and subscribers of the sample, and others.
const DEVICES: [&[u8]; 5] = [
    b"490154203237518",
    b"4901542032375101",
    b"352099001761481",
    b"00101234000001",
    b"99999999999999",
];
const IMSIS: [&[u8]; 2] = [b"001010123456789", b"999990000000000"];

/// The sections of the sample.
static SAMPLE: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let rulebook = weir_fuzz::rulebook();
    let sections = rulebook
        .snapshot()
        .sections()
        .expect("a sample that can be stored");
    let sections = sections.into_iter();
    sections
        .map(|own| (own.name.to_owned(), own.octets.into_owned()))
        .collect()
});

fuzz_target!(|data: &[u8]| {
    if data.starts_with(&snapshot::MAGIC) {
        match snapshot::from_octets(data) {
            Ok(stored) => ask(stored.snapshot),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        return;
    }
    let mut sections = SAMPLE.clone();
    let mut patches = data;
    while let [which, what, at, length, rest @ ..] = patches {
        let count = sections.len();
        let octets = &mut sections[usize::from(*which) % count].1;
        let (new, next) = rest.split_at(rest.len().min(usize::from(*length % 32)));
        patches = next;
        let at = usize::from(*at) * (1 + usize::from(what >> 4)) % (octets.len() + 1);
        let end = octets.len().min(at + new.len());
        match what % 4 {
            0 => octets.truncate(at),
            1 => drop(octets.splice(at..at, new.iter().copied())),
            _ => drop(octets.splice(at..end, new.iter().copied())),
        }
    }
    let mut parts = Parts::default();
    for (name, own) in sections {
        let mut octets = Octets::zeroed(own.len());
        octets.as_mut_slice().copy_from_slice(&own);
        parts.insert(name, octets);
    }
    match Snapshot::restore(&mut parts) {
        Ok(snapshot) => ask(snapshot),
        Err(flaw) => assert!(!flaw.section.is_empty() && !flaw.reason.is_empty()),
    }
});

/// Asks a register everything, and has it written and read again.
fn ask(snapshot: Snapshot) {
    let count = |snapshot: &Snapshot| {
        (
            snapshot.rules().count(),
            snapshot.bindings().count(),
            snapshot.excepted().count(),
        )
    };
    let whole = count(&snapshot);
    let octets = snapshot::to_octets(&snapshot, &Provenance::default(), NOW).expect("octets");
    let again = snapshot::from_octets(&octets).expect("what was written");
    assert_eq!(count(&again.snapshot), whole);
    let new = |snapshot| Rulebook::new(snapshot, None, PolicySpec::new("default"), Vec::new());
    let [one, other] = [snapshot, again.snapshot].map(|own| new(own).expect("a rulebook"));
    for device in DEVICES {
        for imsi in IMSIS {
            let inquiry = Inquiry {
                imei: Imei::parse(device),
                svn: None,
                imsi: Imsi::parse(imsi).ok(),
                origin_host: b"",
                origin_realm: b"",
                route_record: None,
            };
            let outcome = one.decide(&inquiry, NOW).outcome;
            assert_eq!(outcome, other.decide(&inquiry, NOW).outcome);
            assert_eq!(outcome, one.explain(&inquiry, NOW).verdict.outcome);
        }
    }
}
