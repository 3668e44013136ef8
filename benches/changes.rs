//! Single changes: how long until one is in force, what a lookup costs above
//! some of them, and how fast a journal is read.
//!
//! `cargo bench --bench changes` takes a register of a million devices; with
//! `WEIR_BASE` in the environment, one of so many.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir::changes::{Composer, Header, Live, Step, replay};
use weir::equipment::{
    Action, Builder, Change, Device, Edit, Entry, Imei, Overlay, RuleSpec, Scope, Status, Subject,
    Validity,
};
use weir::policy::{Inquiry, Outcome, PolicySpec, Register, Rulebook};
use weir::time::UnixTime;

/// Changes above the register.
const CHANGES: [u64; 4] = [0, 1_000, 100_000, 1_000_000];

/// Lookups in a batch.
const BATCH: usize = 32;

/// A device: numbers that are scattered over all TACs.
fn device(number: u64) -> Device {
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    Device::from_number(scattered % 100_000_000_000_000).expect("fourteen digits")
}

/// How many devices the register has.
fn base_len() -> u64 {
    let asked = std::env::var("WEIR_BASE").ok();
    asked.map_or(1_000_000, |asked| asked.parse().expect("a number"))
}

/// The register, which blacklists its devices.
fn base() -> Rulebook {
    let mut builder = Builder::new();
    let list = builder.list("stolen", Status::Blacklisted).expect("a list");
    let file = builder.file("stolen.csv").expect("a file");
    for number in 0..base_len() {
        let rule = RuleSpec {
            scope: Scope::Device(device(number)),
            status: Status::Blacklisted,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: &[],
            file,
            line: 1,
        };
        builder.rule(list, rule).expect("a rule");
    }
    let default = PolicySpec::new("default");
    Rulebook::new(builder.finish(), None, default, Vec::new()).expect("a rulebook")
}

/// The change that greylists another device.
fn change(number: u64) -> Arc<Change> {
    Arc::new(Change {
        number,
        time: UnixTime(0),
        by: "bench".into(),
        subject: Subject {
            list: "stolen".into(),
            subscriber: None,
            scope: Scope::Device(device(u64::MAX / 2 + number)),
        },
        action: Action::Set(Entry {
            status: Status::Greylisted,
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
                    assert_eq!(seen, Outcome::Status(Status::Greylisted));
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
fn lookups(base: &Rulebook) {
    /// How often each is measured.
    const TURNS: usize = 41;
    /// Lookups each time.
    const LOOKUPS: usize = 16 * 1024;
    let black = Outcome::Status(Status::Blacklisted);
    let grey = Outcome::Status(Status::Greylisted);
    let rulebooks = CHANGES.map(|count| changed(base, count));
    for (count, rulebook) in CHANGES.iter().zip(&rulebooks) {
        assert_eq!(outcome(rulebook, device(1)), black);
        if *count > 0 {
            assert_eq!(outcome(rulebook, device(u64::MAX / 2 + 1)), grey);
        }
    }
    let mut number = 0u64;
    let mut next = |found: bool| {
        // The next one depends on what was found.
        number = number.wrapping_mul(0x5851_f42d_4c95_7f2d);
        number = number.wrapping_add(u64::from(found));
        device((number >> 20) % base_len())
    };
    let mut batches = |rulebook: &Rulebook| {
        for _ in 0..LOOKUPS / BATCH {
            let devices: [Device; BATCH] = core::array::from_fn(|_| next(true));
            let inquiries = devices.map(inquiry);
            rulebook.prefetch(inquiries.iter());
            for inquiry in &inquiries {
                let outcome = rulebook.decide(inquiry, UnixTime(0)).outcome;
                assert_eq!(black_box(outcome), black);
            }
        }
    };
    in_turns("batch", &rulebooks, LOOKUPS, TURNS, &mut batches);
    let mut found = true;
    let mut dependent = |rulebook: &Rulebook| {
        for _ in 0..LOOKUPS {
            found = outcome(rulebook, next(found)) == black;
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
            let begin = on_processor();
            run(rulebook);
            times.push((on_processor() - begin).as_nanos() as f64 / lookups as f64);
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
    let base = base();
    publish(criterion, &base);
    lookups(&base);
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
