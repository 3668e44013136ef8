//! A journal of changes. What is read is the beginning of what was written, or
//! an error; octets behind right checksums are steps that are written as they
//! were read, or none.
//!
//! An input that begins with an odd octet is a patch of a sample: where, and the
//! octets that are put there; as often as there is input. Of another one, the
//! rest is the inside of a record.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weir::changes::{Composer, Header, Live, Step, replay, steps};
use weir::equipment::{Action, Change, Edit, Entry, Imsi, Scope, Status, Subject, Tac, Validity};
use weir::time::UnixTime;

/// Some steps.
static STEPS: LazyLock<Vec<Step>> = LazyLock::new(|| {
    let step = |number: u64| {
        let subject = Subject {
            list: "stolen".into(),
            subscriber: None,
            scope: Scope::Tac(Tac::from_digits(b"35209900").expect("eight digits")),
        };
        let action = Action::Set(Entry {
            status: Status::Blacklisted,
            validity: Validity::ALWAYS,
            reason: Some("lost".into()),
            exceptions: [Imsi::parse(b"001010000000001").expect("an IMSI")].into(),
        });
        let edit = match number % 3 {
            0 => Edit::Undo(subject),
            _ => Edit::Change(std::sync::Arc::new(Change {
                number,
                time: UnixTime(0),
                by: "somebody".into(),
                subject,
                action,
            })),
        };
        Step {
            number,
            time: UnixTime(0),
            by: "somebody".into(),
            edit,
        }
    };
    (1..30).map(step).collect()
});

/// A journal of them, in records of some.
static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let header = Header {
        file: 77,
        last: 0,
        created: UnixTime(0),
        fold: None,
    };
    let mut octets = Vec::new();
    let mut composer = Composer::begin(&header, &mut octets);
    for steps in STEPS.chunks(7) {
        assert!(composer.record(steps, &mut octets));
    }
    octets
});

fuzz_target!(|data: &[u8]| {
    let Some((first, mut rest)) = data.split_first() else {
        return;
    };
    if first % 2 == 0 {
        if let Some(read) = steps(rest) {
            let mut again = Vec::new();
            let mut live = Live::default();
            for step in &read {
                assert!(step.is_storable());
                step.compose(&mut again);
                live.take(step);
            }
            assert_eq!(again, rest);
            assert!(live.len() <= read.len());
        }
        return;
    }
    let mut octets = SAMPLE.clone();
    while let [high, low, length, more @ ..] = rest {
        let (new, next) = more.split_at(more.len().min(usize::from(length % 64)));
        rest = next;
        let at = usize::from(u16::from_be_bytes([*high, *low])) % (octets.len() + 1);
        match length / 64 {
            0 => octets.truncate(at),
            1 => drop(octets.splice(at..at, new.iter().copied())),
            _ => {
                let end = octets.len().min(at + new.len());
                drop(octets.splice(at..end, new.iter().copied()));
            }
        }
    }
    let mut read = Vec::new();
    match replay(&octets, |step| read.push(step)) {
        Ok(replayed) => assert_eq!(replayed.length + replayed.torn, octets.len()),
        Err(damage) => assert!(damage.offset <= octets.len()),
    }
    assert!(STEPS.starts_with(&read));
});
