//! What a verdict costs on a register of a million devices, beside what a
//! bare hash table costs that holds the same devices.
//!
//! What each feature costs is told in instructions, see `instructions.rs`: times
//! are too coarse for it.
//!
//! Run with `cargo bench --bench lookup`. The ratio of both tells more than
//! either figure: the machine's memory is in both.

#![allow(missing_docs, reason = "criterion's macro makes an undocumented main")]

#[path = "support/scatter.rs"]
mod scatter;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustc_hash::FxHashMap;
use scatter::scatter;
use weir::equipment::devices::BATCH;
use weir::equipment::{
    BindingSpec, Builder, CheckDigit, Device, Imei, Imsi, RuleSpec, Scope, Special, Status,
    Subscribers, Tac, Validity,
};
use weir::policy::{Combine, Inquiry, Outcome, PolicySpec, Rulebook};
use weir::time::UnixTime;

/// Devices in the register.
const DEVICES: usize = 1_000_000;
/// Inquiries of one sample: so many that the caches do not hold their lines.
const INQUIRIES: usize = 1 << 16;
/// Subscribers, and as many ranges and TACs, of the register of every kind.
const SUBSCRIBERS: usize = 10_000;
/// The models that the devices are spread over.
const TACS: u64 = 2_000;
/// The time of all inquiries.
const NOW: UnixTime = UnixTime(1_700_000_000);

/// The number of a device; those from `DEVICES` on are in no list.
fn device_number(index: usize) -> u64 {
    let bits = scatter(index as u64);
    let tac = 35_000_000 + bits % TACS;
    tac * 1_000_000 + (bits >> 32) % 1_000_000
}

/// The same as a device.
fn device(index: usize) -> Device {
    Device::from_number(device_number(index)).expect("fourteen digits")
}

/// A register of the devices, and of more kinds or with more features if asked
/// for.
fn rulebook(every_kind: bool, features: bool) -> Rulebook {
    let mut builder = Builder::new();
    let list = builder
        .list("devices", Status::Blacklisted)
        .expect("a list");
    let file = builder.file("devices.csv").expect("a file");
    let rule = RuleSpec {
        scope: Scope::Device(device(0)),
        status: Status::Blacklisted,
        validity: Validity::ALWAYS,
        reason: Some("stolen"),
        exceptions: &[],
        file,
        line: 1,
    };
    let add = |builder: &mut Builder, scope, line| {
        let rule = RuleSpec {
            scope,
            line,
            ..rule
        };
        builder.rule(list, rule).expect("room");
    };
    for (line, index) in (1..).zip(0..DEVICES) {
        add(&mut builder, Scope::Device(device(index)), line);
    }
    if every_kind {
        let bound = builder
            .binding_list("bound", Status::Blacklisted, None)
            .expect("a list");
        for (line, index) in (1..).zip(0..SUBSCRIBERS) {
            let from = device(index);
            let next = from.number() + 1;
            let [next, last] = [next, next + 99]
                .map(|number| Device::from_number(number).expect("fourteen digits"));
            // Among the devices, but beside those that are asked for.
            let elsewhere = Tac::from_number(45_000_000 + line).expect("eight digits");
            let scopes = [
                Scope::Range {
                    from: next,
                    to: last,
                },
                Scope::Tac(elsewhere),
            ];
            for scope in scopes {
                add(&mut builder, scope, line);
            }
            let binding = BindingSpec {
                subscribers: Subscribers::One(imsi(index)),
                scope: Scope::Tac(from.tac()),
                validity: Validity::ALWAYS,
                reason: None,
                file,
                line,
            };
            builder.binding(bound, binding).expect("room");
        }
    }
    let mut default = PolicySpec::new("default");
    let mut policies = Vec::new();
    if features {
        let tried = builder.list("tried", Status::Whitelisted).expect("a list");
        builder.shadow(tried).expect("the list");
        let odd = builder.list("odd", Status::Greylisted).expect("a list");
        for special in Special::ALL {
            let special = RuleSpec {
                scope: Scope::Special(special),
                status: Status::Greylisted,
                // Over, so that the answers stay the same.
                validity: Validity {
                    from: None,
                    until: Some(UnixTime(0)),
                },
                ..rule
            };
            builder.rule(odd, special).expect("room");
        }
        for number in 0..TACS {
            let tac = Tac::from_number(35_000_000 + number as u32).expect("eight digits");
            builder.model(tac, "Acme", "One").expect("room");
        }
        default.combine = Combine::Order;
        policies.push(PolicySpec {
            origin_realms: vec!["*.visited.example".to_owned()],
            route_records: vec!["*.visited.example".to_owned()],
            ..PolicySpec::new("visited")
        });
    }
    Rulebook::new(builder.finish(), None, default, policies).expect("a rulebook")
}

/// A subscriber.
fn imsi(index: usize) -> Imsi {
    Imsi::parse(format!("00101{index:010}").as_bytes()).expect("fifteen digits")
}

/// What is asked of a device.
fn inquiry(index: usize, imsi: Option<Imsi>) -> Inquiry<'static> {
    let imei = Imei {
        device: device(index),
        svn: None,
        check_digit: CheckDigit::Absent,
    };
    Inquiry {
        imei: Ok(imei),
        svn: None,
        imsi,
        origin_host: b"mme.example",
        origin_realm: b"example",
        route_record: None,
    }
}

/// Times the verdicts on these inquiries.
fn time_verdicts(
    criterion: &mut Criterion,
    name: &str,
    rulebook: &Rulebook,
    inquiries: &[Inquiry<'_>],
    expected: Outcome,
) {
    for inquiry in inquiries {
        let verdict = rulebook.decide(inquiry, NOW);
        assert_eq!(verdict.outcome, expected, "{inquiry:?}");
    }
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(inquiries.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for inquiry in inquiries {
                black_box(rulebook.decide(black_box(inquiry), NOW));
            }
        });
    });
    group.finish();
}

/// Times the same verdicts where those of 32 inquiries are reached together: the
/// lines of all devices are asked for before the first is looked at.
fn time_batches(
    criterion: &mut Criterion,
    name: &str,
    rulebook: &Rulebook,
    inquiries: &[Inquiry<'_>],
) {
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(inquiries.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for inquiries in inquiries.chunks(BATCH) {
                let devices = inquiries.iter().filter_map(|inquiry| inquiry.imei.ok());
                (rulebook.snapshot()).prefetch(devices.map(|imei| imei.device));
                for inquiry in inquiries {
                    black_box(rulebook.decide(black_box(inquiry), NOW));
                }
            }
        });
    });
    group.finish();
}

/// Times the verdicts on these inquiries together with what shadows, which say
/// nothing else, would make of them.
fn time_shadows(
    criterion: &mut Criterion,
    name: &str,
    rulebook: &Rulebook,
    inquiries: &[Inquiry<'_>],
) {
    let both = |inquiry: &Inquiry<'_>| {
        let verdict = rulebook.decide(inquiry, NOW);
        rulebook.shadow(inquiry, NOW, &verdict)
    };
    for inquiry in inquiries {
        assert_eq!(both(inquiry), None, "{inquiry:?}");
    }
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(inquiries.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for inquiry in inquiries {
                black_box(both(black_box(inquiry)));
            }
        });
    });
    group.finish();
}

/// Times a bare hash table on the same devices.
fn time_table(criterion: &mut Criterion, name: &str, indexes: &[usize], expected: Option<u32>) {
    let table: FxHashMap<u64, u32> = (0..DEVICES)
        .map(|index| (device_number(index), 1))
        .collect();
    let keys: Vec<u64> = indexes.iter().map(|&index| device_number(index)).collect();
    for key in &keys {
        assert_eq!(table.get(key).copied(), expected);
    }
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for key in &keys {
                black_box(table.get(black_box(key)));
            }
        });
    });
    group.finish();
}

/// All of them.
fn lookup(criterion: &mut Criterion) {
    let plain = rulebook(false, false);
    let full = rulebook(true, false);
    // Of so many devices a few happen to be listed after all.
    let strangers: Vec<usize> = (DEVICES..)
        .filter(|&index| full.decide(&inquiry(index, None), NOW).outcome == Outcome::Unknown)
        .take(INQUIRIES)
        .collect();
    let own: Vec<usize> = (0..INQUIRIES).collect();
    time_table(criterion, "hash table, hit", &own, Some(1));
    time_table(criterion, "hash table, miss", &strangers, None);

    let black = Outcome::Status(Status::Blacklisted);
    let listed: Vec<_> = own.iter().map(|&index| inquiry(index, None)).collect();
    let unlisted: Vec<_> = strangers
        .iter()
        .map(|&index| inquiry(index, None))
        .collect();
    let bound: Vec<_> = (0..INQUIRIES)
        .map(|index| index % SUBSCRIBERS)
        .map(|index| inquiry(index, Some(imsi(index))))
        .collect();
    time_verdicts(criterion, "devices only, hit", &plain, &listed, black);
    time_verdicts(
        criterion,
        "devices only, miss",
        &plain,
        &unlisted,
        Outcome::Unknown,
    );
    time_batches(criterion, "devices only, hit, batch of 32", &plain, &listed);
    time_batches(
        criterion,
        "devices only, miss, batch of 32",
        &plain,
        &unlisted,
    );
    // What the service asks of each verdict where nothing is a shadow: a flag.
    time_shadows(criterion, "devices only, hit, no shadows", &plain, &listed);
    time_verdicts(criterion, "every kind, hit", &full, &listed, black);
    time_verdicts(
        criterion,
        "every kind, miss",
        &full,
        &unlisted,
        Outcome::Unknown,
    );
    time_verdicts(
        criterion,
        "every kind, bound subscriber",
        &full,
        &bound,
        black,
    );

    // Where the tables lie in memory tells as well, so that these stand where
    // the plain ones stood.
    drop((plain, full));
    let featured = rulebook(false, true);
    time_verdicts(
        criterion,
        "devices and features, hit",
        &featured,
        &listed,
        black,
    );
    time_verdicts(
        criterion,
        "devices and features, miss",
        &featured,
        &unlisted,
        Outcome::Unknown,
    );
    time_shadows(
        criterion,
        "devices and features, hit, shadows",
        &featured,
        &listed,
    );
}

criterion_group!(benches, lookup);
criterion_main!(benches);
