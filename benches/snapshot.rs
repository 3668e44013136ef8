//! How long it takes until a compiled register answers: read or mapped, and what
//! a lookup costs then.
//!
//! ```text
//! cargo bench --bench snapshot
//! WEIR_BENCH_DEVICES=1000000000 cargo bench --bench snapshot
//! WEIR_BENCH_SNAPSHOT=register.weir cargo bench --bench snapshot
//! ```
//!
//! Without a file, or if that is not there, it makes one of so many devices, 5,000
//! in each of some TACs and anywhere there; with `WEIR_BENCH_MAKE` it does no more
//! than that. Each way is taken several times in
//! turns, with the file in the page cache; what is shown is the fastest and the
//! middle one. Lookups are of devices that are in the register, in random order:
//! *dependent* ones wait for each other, *batches* are of 32.
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "support/register.rs"]
mod register;
#[path = "support/scatter.rs"]
mod scatter;

use std::env;
use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use weir::equipment::devices::BATCH;
use weir::equipment::{CheckDigit, Device, Imei};
use weir::policy::{Inquiry, PolicySpec, Rulebook};
use weir::snapfile::{self, Memory};
use weir::time::UnixTime;

use crate::scatter::scatter;

/// Devices of the register that is made if nothing else is wanted.
const DEVICES: u64 = 10_000_000;
/// Lookups that are timed.
const QUESTIONS: usize = 1 << 18;
/// How often each way is taken.
const ROUNDS: usize = 5;

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
    let path = register::path(dir.path(), DEVICES);
    if env::var_os("WEIR_BENCH_MAKE").is_some() {
        return;
    }
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
