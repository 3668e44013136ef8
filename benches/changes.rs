//! Single changes: how long until one is in force, what a lookup costs above
//! some of them, and how fast a journal is read.
//!
//! `cargo bench --bench changes` takes a register of ten million devices, from a
//! file; `WEIR_BENCH_DEVICES` and `WEIR_BENCH_SNAPSHOT` say which, as in the bench
//! of snapshots.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "support/register.rs"]
mod register;
#[path = "support/scatter.rs"]
mod scatter;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir::changes::{Composer, Header, Live, Step, replay};
use weir::equipment::{
    Action, Change, Device, Edit, Entry, Imei, Overlay, Scope, Status, Subject, Validity,
};
use weir::policy::{Inquiry, Outcome, PolicySpec, Register, Rulebook};
use weir::snapfile::{self, Memory};
use weir::time::UnixTime;

use crate::scatter::scatter;

/// Changes above the register.
const CHANGES: [u64; 5] = [0, 1_000, 10_000, 100_000, 1_000_000];

/// Devices of the register that is made if nothing else is wanted.
const DEVICES: u64 = 10_000_000;

/// Devices that are asked for, about.
const QUESTIONS: usize = 1 << 18;

/// What is said of changed devices.
const WHITE: Outcome = Outcome::Status(Status::Whitelisted);

/// Lookups in a batch.
const BATCH: usize = 32;

/// A device that is not in the register: numbers that are scattered over all odd
/// TACs, where those of the register are even.
fn other(number: u64) -> Device {
    let scattered = scatter(number) % 100_000_000_000_000;
    let (tac, serial) = (scattered / 1_000_000, scattered % 1_000_000);
    Device::from_number((tac | 1) * 1_000_000 + serial).expect("fourteen digits")
}

/// The register, mapped, and some of its devices in random order.
fn base(dir: &Path) -> (Rulebook, Vec<Device>) {
    let path = register::path(dir, DEVICES);
    let (stored, residence) = snapfile::read(&path, Memory::Auto).expect("a snapshot");
    println!("snapshot: {residence}");
    let all = stored.snapshot.counts().devices;
    let step = (all / QUESTIONS).max(1) as u64;
    let devices = stored.snapshot.devices();
    let chosen = devices.filter(|device| scatter(device.number()).is_multiple_of(step));
    let mut chosen: Vec<Device> = chosen.collect();
    for last in (1..chosen.len()).rev() {
        chosen.swap(last, scatter(last as u64) as usize % (last + 1));
    }
    let default = PolicySpec::new("default");
    let rulebook = Rulebook::new(stored.snapshot, None, default, Vec::new());
    (rulebook.expect("a rulebook"), chosen)
}

/// The change that whitelists another device.
fn change(number: u64) -> Arc<Change> {
    Arc::new(Change {
        number,
        time: UnixTime(0),
        by: "bench".into(),
        subject: Subject {
            list: "blacklisted".into(),
            subscriber: None,
            scope: Scope::Device(other(number)),
        },
        action: Action::Set(Entry {
            status: Status::Whitelisted,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: [].into(),
        }),
    })
}

/// The rulebook with so many changes.
fn changed(base: &Rulebook, count: u64) -> Rulebook {
    let secret = [0x1234_5678_9abc_def1, 0xfedc_ba98_7654_3211];
    let changes = (0..count).map(change);
    let (overlay, misfits) = Overlay::of_those_that_fit(secret, base.snapshot(), changes);
    assert!(misfits.is_empty());
    base.with_overlay(overlay)
}

/// What is said of a device.
fn outcome(rulebook: &Rulebook, device: Device) -> Outcome {
    rulebook.decide(&inquiry(device), UnixTime(0)).outcome
}

/// What is asked about a device.
fn inquiry(device: Device) -> Inquiry<'static> {
    let imei = Imei {
        device,
        svn: None,
        check_digit: weir::equipment::CheckDigit::Absent,
    };
    Inquiry {
        imei: Ok(imei),
        svn: None,
        imsi: None,
        origin_host: b"",
        origin_realm: b"",
        route_record: None,
    }
}

/// One change, from the call until a lookup sees it, without a disk.
fn publish(criterion: &mut Criterion, base: &Rulebook) {
    let mut group = criterion.benchmark_group("publish");
    for count in CHANGES {
        let register = Register::new(changed(base, count));
        let mut number = count;
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_batched(
                || {
                    number += 1;
                    [Edit::Change(change(number))]
                },
                |edits| {
                    let current = Arc::clone(&register.load());
                    let empty = || Overlay::new([1, 3]);
                    let overlay = current.overlay().cloned().unwrap_or_else(empty);
                    let next = overlay.with(current.snapshot(), &edits).expect("a change");
                    let old = register.publish(current.with_overlay(next));
                    let Scope::Device(device) = edits[0].subject().scope else {
                        unreachable!()
                    };
                    let seen = outcome(&register.load(), device);
                    assert_eq!(seen, WHITE);
                    // Freed when the time is taken.
                    (old, overlay)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Verdicts on devices of the register, one by one and in batches: with so many
/// changes in turns, as what else the machine does changes faster than a benchmark
/// runs.
fn lookups(base: &Rulebook, devices: &[Device]) {
    /// How often each is measured.
    const TURNS: usize = 41;
    /// Lookups each time.
    const LOOKUPS: usize = 16 * 1024;
    let rulebooks = CHANGES.map(|count| changed(base, count));
    for (count, rulebook) in CHANGES.iter().zip(&rulebooks) {
        assert!(matches!(outcome(rulebook, devices[0]), Outcome::Status(_)));
        if *count > 0 {
            assert_eq!(outcome(rulebook, other(*count - 1)), WHITE);
        }
    }
    let mut place = 0;
    let mut next = |step: usize| {
        place = (place + step) % devices.len();
        devices[place]
    };
    let mut batches = |rulebook: &Rulebook| {
        for _ in 0..LOOKUPS / BATCH {
            let devices: [Device; BATCH] = core::array::from_fn(|_| next(1));
            let inquiries = devices.map(inquiry);
            rulebook.prefetch(inquiries.iter());
            for inquiry in &inquiries {
                let outcome = rulebook.decide(inquiry, UnixTime(0)).outcome;
                assert!(matches!(black_box(outcome), Outcome::Status(_)));
            }
        }
    };
    in_turns("batch", &rulebooks, LOOKUPS, TURNS, &mut batches);
    let mut dependent = |rulebook: &Rulebook| {
        let mut found = true;
        for _ in 0..LOOKUPS {
            // Which is next is known when this one is.
            found = outcome(rulebook, next(usize::from(found))) != WHITE;
        }
    };
    in_turns("dependent", &rulebooks, LOOKUPS, TURNS, &mut dependent);
}

/// Measures lookups with each of the rulebooks in turns, and prints of each the
/// fastest, the middle, and how much the fastest is above that of the first.
fn in_turns(
    what: &str,
    rulebooks: &[Rulebook; CHANGES.len()],
    lookups: usize,
    turns: usize,
    run: &mut impl FnMut(&Rulebook),
) {
    let mut times = CHANGES.map(|_| Vec::new());
    for _ in 0..turns {
        for (rulebook, times) in rulebooks.iter().zip(&mut times) {
            // The system counts time on a processor by milliseconds only: too
            // coarsely for so few lookups, of which the fastest turn counts.
            let begin = Instant::now();
            run(rulebook);
            times.push(begin.elapsed().as_nanos() as f64 / lookups as f64);
        }
    }
    let mut bare = None;
    for (count, times) in CHANGES.iter().zip(&mut times) {
        times.sort_unstable_by(f64::total_cmp);
        let (fastest, middle) = (times[0], times[times.len() / 2]);
        let bare = *bare.get_or_insert(fastest);
        println!(
            "lookup/{what}/{count}: {fastest:.0} ns ({middle:.0}), {:+.0} ns, {:.2} times the first",
            fastest - bare,
            fastest / bare
        );
    }
}

/// How long the calling thread has been on a processor: what else runs on the
/// machine counts for less in it.
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let first = text.split(' ').next().expect("a number");
    Duration::from_nanos(first.parse().expect("a number"))
}

/// Measures the time on a processor of so many calls, without that of dropping
/// what they return.
fn timed<T>(times: u64, mut call: impl FnMut() -> T) -> Duration {
    let mut all = Duration::ZERO;
    for _ in 0..times {
        let begin = on_processor();
        let made = black_box(call());
        all += on_processor() - begin;
        drop(made);
    }
    all
}

/// A journal of a million changes, read until all are in force.
fn replays(criterion: &mut Criterion, base: &Rulebook) {
    const COUNT: u64 = 1_000_000;
    let header = Header {
        file: 1,
        last: 0,
        created: UnixTime(0),
        fold: None,
    };
    let mut octets = Vec::new();
    let mut composer = Composer::begin(&header, &mut octets);
    for first in (1..=COUNT).step_by(1000) {
        let steps = (first..first + 1000).map(|number| Step {
            number,
            time: UnixTime(0),
            by: "bench".into(),
            edit: Edit::Change(change(number)),
        });
        assert!(composer.record(&steps.collect::<Vec<_>>(), &mut octets));
    }
    let read = || {
        let mut live = Live::default();
        live.reserve(octets.len() / 128);
        replay(&octets, |step| live.take(&step)).expect("a whole journal");
        live
    };
    let mut group = criterion.benchmark_group("replay");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(COUNT));
    group.bench_function("read", |bencher| {
        bencher.iter_custom(|times| timed(times, read));
    });
    let live = read();
    assert_eq!(live.len() as u64, COUNT);
    group.bench_function("lay above", |bencher| {
        bencher.iter_custom(|times| {
            timed(times, || {
                let changes = live.in_order().cloned();
                Overlay::of_those_that_fit([5, 9], base.snapshot(), changes).0
            })
        });
    });
    group.finish();
}

/// All of them, on one register.
fn all(criterion: &mut Criterion) {
    // On the disk, which the temporary files of the system may not be.
    let dir = tempfile::tempdir_in("target").expect("a directory");
    let (base, devices) = base(dir.path());
    publish(criterion, &base);
    lookups(&base, &devices);
    replays(criterion, &base);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = all
}
criterion_main!(benches);
