//! How long it takes until a compiled register answers: read or mapped, and what
//! a lookup costs then.
//!
//! ```text
//! cargo bench --bench snapshot
//! WEIR_BENCH_DEVICES=1000000000 cargo bench --bench snapshot
//! WEIR_BENCH_SNAPSHOT=register.weir cargo bench --bench snapshot
//! ```
//!
//! Without a file it makes one of so many devices, 5,000 in each of some TACs and
//! anywhere there. Each way is taken several times in
//! turns, with the file in the page cache; what is shown is the fastest and the
//! middle one. Lookups are of devices that are in the register, in random order:
//! *dependent* ones wait for each other, *batches* are of 32.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::env;
use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use weir::equipment::devices::{BATCH, DevicesBuilder};
use weir::equipment::{Builder, CheckDigit, Device, Imei, RuleSpec, Scope, Status, Validity};
use weir::policy::{Inquiry, PolicySpec, Rulebook};
use weir::snapfile::{self, Memory};
use weir::snapshot::Provenance;
use weir::time::UnixTime;

/// Devices of the register that is made if nothing else is wanted.
const DEVICES: u64 = 10_000_000;
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

/// Makes a snapshot of about so many devices. What each has said of it is one of
/// two things.
fn make(path: &Path, count: u64) {
    let mut builder = Builder::new();
    let file = builder.file("devices.csv").expect("a file");
    let statuses = [Status::Blacklisted, Status::Greylisted];
    let lists = statuses.map(|status| builder.list(status.name(), status).expect("a list"));
    for (list, status) in lists.into_iter().zip(statuses) {
        let rule = RuleSpec {
            scope: Scope::Device(Device::MIN),
            status,
            validity: Validity::ALWAYS,
            reason: None,
            exceptions: &[],
            file,
            line: 1,
        };
        builder.rule(list, rule).expect("room");
    }
    let mut devices = DevicesBuilder::new(1);
    let places = (count / 5000).max(1);
    let mut serials = Vec::new();
    for place in 0..places {
        serials.clear();
        let each = count.div_ceil(places);
        serials.extend((0..each).map(|number| scatter(scatter(place) ^ number) % 1_000_000));
        serials.sort_unstable();
        serials.dedup();
        let tac = 100_000_000 / places * place;
        for &serial in &serials {
            let device = tac * 1_000_000 + serial;
            devices.push(device, 1 + (scatter(device) % 5 / 4) as u32);
        }
    }
    let snapshot = builder.finish_with(devices.finish());
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
fn measure(path: &Path, memory: Memory, devices: &mut Vec<Device>, times: &mut Times) -> String {
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
        let chosen = rules.filter(|device| scatter(device.number()).is_multiple_of(step));
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
    // On the disk, which the temporary files of the system may not be.
    let dir = tempfile::tempdir_in("target").expect("a directory");
    let path = env::var_os("WEIR_BENCH_SNAPSHOT").map_or_else(
        || {
            let path = dir.path().join("register.weir");
            let count = env::var("WEIR_BENCH_DEVICES").ok();
            make(
                &path,
                count.map_or(DEVICES, |count| count.parse().expect("a number")),
            );
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
