//! How long it takes until a compiled register answers: read or mapped, and what
//! a lookup costs then.
//!
//! ```text
//! cargo bench --bench snapshot
//! WEIR_BENCH_SNAPSHOT=register.weir cargo bench --bench snapshot
//! ```
//!
//! Without a file it compiles a small one. Each way is taken several times in
//! turns, with the file in the page cache; what is shown is the fastest and the
//! middle one. Lookups are of devices that are in the register, in random order:
//! *dependent* ones wait for each other, *batches* are of 32.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::env;
use std::fs::File;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use weir::equipment::devices::BATCH;
use weir::equipment::{Builder, CheckDigit, Device, Imei, RuleSpec, Scope, Status, Validity};
use weir::policy::{Inquiry, PolicySpec, Rulebook};
use weir::snapfile::{self, Memory};
use weir::snapshot::Provenance;
use weir::time::UnixTime;

/// Devices of the register that is compiled if none is given.
const DEVICES: u64 = 3_000_000;
/// Lookups that are timed.
const QUESTIONS: usize = 1 << 18;
/// How often each way is taken.
const ROUNDS: usize = 5;

/// Numbers without a pattern: the finalizer of SplitMix64.
fn scatter(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Compiles a register of devices all over.
fn compile(path: &std::path::Path) {
    let mut builder = Builder::new();
    let list = builder
        .list("devices", Status::Blacklisted)
        .expect("a list");
    let file = builder.file("devices.csv").expect("a file");
    for line in 1..=DEVICES {
        let number = scatter(line) % 100_000_000_000_000;
        let rule = RuleSpec {
            scope: Scope::Device(Device::from_number(number).expect("fourteen digits")),
            status: Status::Blacklisted,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: &[],
            file,
            line: line as u32,
        };
        builder.rule(list, rule).expect("room");
    }
    let snapshot = builder.finish();
    let written = snapfile::write(path, &snapshot, &Provenance::default(), UnixTime(0));
    written.expect("a snapshot");
}

/// What was measured, in nanoseconds.
#[derive(Default)]
struct Times {
    /// Loading.
    load: Vec<f64>,
    /// The first verdict after it.
    first: Vec<f64>,
    /// A verdict that waits for the one before.
    dependent: Vec<f64>,
    /// A verdict of a batch.
    batch: Vec<f64>,
    /// Freeing it.
    free: Vec<f64>,
}

/// What is asked of a device.
fn inquiry(device: Device) -> Inquiry<'static> {
    Inquiry {
        imei: Ok(Imei {
            device,
            svn: None,
            check_digit: CheckDigit::Absent,
        }),
        svn: None,
        imsi: None,
        origin_host: b"",
        origin_realm: b"",
        route_record: None,
    }
}

/// Nanoseconds since then.
fn since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9
}

/// Loads a file in one way and asks it.
fn measure(
    path: &std::path::Path,
    memory: Memory,
    devices: &mut Vec<Device>,
    times: &mut Times,
) -> String {
    let start = Instant::now();
    let (stored, residence) = snapfile::read(path, memory).expect("a snapshot");
    let book = Rulebook::new(
        stored.snapshot,
        None,
        PolicySpec::new("default"),
        Vec::new(),
    );
    let book = book.expect("a rulebook");
    times.load.push(since(start));
    let ask = |device: Device| {
        let verdict = book.decide(black_box(&inquiry(device)), UnixTime(0));
        u64::from(verdict.policy.number())
    };
    let start = Instant::now();
    black_box(ask(devices.last().copied().unwrap_or(Device::MIN)));
    times.first.push(since(start));
    if devices.is_empty() {
        // Of as many as are wanted, those that come first are close together;
        // so some of all are taken.
        let all = book.snapshot().counts().devices;
        let step = (all / QUESTIONS).max(1) as u64;
        let rules = book.snapshot().devices();
        let chosen = rules.filter(|device| scatter(device.number()) % step == 0);
        devices.extend(chosen);
        for last in (1..devices.len()).rev() {
            devices.swap(last, scatter(last as u64) as usize % (last + 1));
        }
    }
    let start = Instant::now();
    let mut last = 0;
    for place in 0..devices.len() {
        // Where to go on is known when the verdict is.
        last = ask(devices[place + last as usize]);
    }
    black_box(last);
    times.dependent.push(since(start) / devices.len() as f64);
    let start = Instant::now();
    for devices in devices.chunks(BATCH) {
        book.snapshot().prefetch(devices.iter().copied());
        black_box(devices.iter().map(|&device| ask(device)).sum::<u64>());
    }
    times.batch.push(since(start) / devices.len() as f64);
    let start = Instant::now();
    drop(book);
    times.free.push(since(start));
    residence.to_string()
}

/// The fastest and the middle one, in some unit.
fn shown(times: &mut [f64], unit: f64) -> String {
    times.sort_by(f64::total_cmp);
    format!(
        "{:.2} ({:.2})",
        times[0] / unit,
        times[times.len() / 2] / unit
    )
}

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = env::var_os("WEIR_BENCH_SNAPSHOT").map_or_else(
        || {
            let path = dir.path().join("register.weir");
            compile(&path);
            path
        },
        PathBuf::from,
    );
    let length = File::open(&path)
        .and_then(|file| file.metadata())
        .expect("a file")
        .len();
    println!(
        "{} octets, in the page cache; fastest (middle) of {ROUNDS}\n",
        length
    );
    println!("| Way | Load, ms | First verdict, µs | Dependent, ns | Batch, ns | Free, ms |");
    println!("|---|---|---|---|---|---|");
    let ways = [Memory::Read, Memory::Map, Memory::Auto];
    let mut devices = Vec::new();
    let mut times = ways.map(|_| Times::default());
    let mut told = ways.map(|_| String::new());
    let verified = Instant::now();
    snapfile::verify(&path).expect("a snapshot");
    let verified = since(verified);
    for _ in 0..ROUNDS {
        for ((way, times), told) in ways.into_iter().zip(&mut times).zip(&mut told) {
            *told = measure(&path, way, &mut devices, times);
        }
    }
    for (way, times) in ways.into_iter().zip(&mut times) {
        println!(
            "| {way:?} | {} | {} | {} | {} | {} |",
            shown(&mut times.load, 1e6),
            shown(&mut times.first, 1e3),
            shown(&mut times.dependent, 1.0),
            shown(&mut times.batch, 1.0),
            shown(&mut times.free, 1e6),
        );
    }
    println!("\nverify: {:.0} ms", verified / 1e6);
    for (way, told) in ways.into_iter().zip(told) {
        println!("{way:?}: {told}");
    }
}
