//! The index of single devices beside the alternatives, by size and by what the
//! devices are like: octets a device, and the time of a lookup.
//!
//! Each table stands in a table of figures with the cost of one random line of
//! memory of the same size, on huge pages and measured in turns with it: the
//! ratios tell something, the times little. *Dependent* lookups wait for each
//! other, as those of a single request do; *batches* are of 32.
//!
//! ```text
//! cargo bench --bench index
//! WEIR_BENCH_DEVICES=100000000 WEIR_BENCH_SHAPES=random,tacs,dense \
//! WEIR_BENCH_TABLES=weir,hashbrown cargo bench --bench index
//! ```
//!
//! Of Weir's index alone a thousand million devices fit into 6 GiB: devices come
//! from a generator in ascending order and are not kept.
#![allow(
    unsafe_code,
    reason = "lines to compare with, prefetched from huge pages"
)]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

#[path = "support/scatter.rs"]
mod scatter;

use std::env;
use std::hint::black_box;
use std::time::Instant;

use boomphf::Mphf;
use roaring::RoaringTreemap;
use rustc_hash::FxHashMap;
use scatter::{below, scatter};
use weir::equipment::devices::{BATCH, Devices, DevicesBuilder};

/// Serial numbers of a TAC.
const SERIALS: u64 = 1_000_000;
/// Devices that there can be.
const DEVICES: u64 = 100_000_000_000_000;
/// Devices that are asked for, and as many that are not there.
const QUESTIONS: u64 = 1 << 20;
/// How often everything is measured; what is shown is the middle.
const ROUNDS: usize = 5;

//----------- Registers -------------------------------------------------------

/// What the devices of a register are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Anywhere among all that can be.
    Random,
    /// Anywhere within some TACs, of which a thousand million have 200,000.
    Tacs,
    /// Four fifths of runs of 50,000 serial numbers.
    Dense,
}

/// The class of a device: most have the same said of them.
fn class(device: u64) -> u32 {
    match below(scatter(device ^ 0x5555), 100) {
        0..80 => 1,
        80..95 => 2,
        95..99 => 3,
        _ => 4,
    }
}

impl Shape {
    /// The shape with this name.
    fn named(name: &str) -> Self {
        match name {
            "random" => Self::Random,
            "tacs" => Self::Tacs,
            "dense" => Self::Dense,
            _ => panic!("{name}: the shapes are random, tacs and dense"),
        }
    }

    /// Calls `visitor` with about `count` devices in ascending order.
    fn generate(self, count: u64, mut visitor: impl FnMut(u64)) {
        let mut own = Vec::new();
        let mut spread = |places: u64, width: u64, step: u64, each: u64| {
            for place in 0..places {
                own.clear();
                let numbers = (0..each).map(|number| scatter(scatter(place) ^ number));
                own.extend(numbers.map(|bits| place * step + below(bits, width)));
                own.sort_unstable();
                own.dedup();
                own.iter().copied().for_each(&mut visitor);
            }
        };
        match self {
            Self::Random => {
                let places = count.div_ceil(1000);
                spread(places, DEVICES / places, DEVICES / places, 1000);
            }
            Self::Tacs => {
                let places = (count / 5000).max(1);
                let step = 100_000_000 / places * SERIALS;
                spread(places, SERIALS, step, count.div_ceil(places));
            }
            Self::Dense => {
                let runs = (count * 5 / 4).div_ceil(50_000);
                let step = DEVICES / runs / SERIALS * SERIALS;
                for run in 0..runs {
                    let from = run * step + below(scatter(run), SERIALS - 50_000);
                    (from..from + 50_000)
                        .filter(|&device| below(scatter(device), 5) > 0)
                        .for_each(&mut visitor);
                }
            }
        }
    }
}

/// Devices to ask for, in random order.
struct Questions {
    /// Those that are there.
    hits: Vec<u64>,
    /// Their neighbours that are not.
    misses: Vec<u64>,
}

impl Questions {
    /// About a register of a shape, of which a table knows the truth.
    fn new(shape: Shape, count: u64, table: &Devices) -> Self {
        let mut hits = Vec::new();
        let share = QUESTIONS.saturating_mul(u64::MAX / count.max(QUESTIONS));
        shape.generate(count, |device| {
            if scatter(device ^ 0xaaaa) <= share {
                hits.push(device);
            }
        });
        let mut misses: Vec<u64> = (0..)
            .zip(&hits)
            .map(|(number, &device)| {
                let near = |bits: u64| match shape {
                    Shape::Random => below(bits, DEVICES),
                    Shape::Tacs => device / SERIALS * SERIALS + below(bits, SERIALS),
                    Shape::Dense => device ^ below(bits, 256),
                };
                let tries = (0..).map(|attempt| near(scatter(number << 20 | attempt)));
                let mut missing = tries.filter(|&device| table.find(device).is_none());
                missing.next().expect("not all are there")
            })
            .collect();
        for devices in [&mut hits, &mut misses] {
            for last in (1..devices.len()).rev() {
                devices.swap(last, below(scatter(last as u64), last as u64 + 1) as usize);
            }
        }
        Self { hits, misses }
    }
}

//----------- Tables ----------------------------------------------------------

/// A map from devices to classes.
trait Table {
    /// The class of a device.
    fn find(&self, device: u64) -> Option<u32>;

    /// The sum of the classes of many.
    fn sum(&self, devices: &[u64]) -> u64 {
        let classes = devices.iter().map(|&device| self.find(device));
        classes.map(|class| u64::from(class.unwrap_or(0))).sum()
    }

    /// How many octets it takes.
    fn size(&self) -> usize;
}

impl Table for Devices {
    fn find(&self, device: u64) -> Option<u32> {
        self.find(device)
    }

    fn sum(&self, devices: &[u64]) -> u64 {
        let mut sum = 0;
        self.find_batch(devices, |_, class| sum += u64::from(class.unwrap_or(0)));
        sum
    }

    fn size(&self) -> usize {
        self.size().total()
    }
}

/// Weir's index, with the two steps that the answers of a service need: all
/// lines of a batch are asked for, then one request after the other is
/// answered.
struct Prefetched<'a>(&'a Devices);

impl Table for Prefetched<'_> {
    fn find(&self, device: u64) -> Option<u32> {
        self.0.find(device)
    }

    fn sum(&self, devices: &[u64]) -> u64 {
        let sums = devices.chunks(BATCH).map(|devices| {
            self.0.prefetch(devices.iter().copied());
            let classes = devices.iter().map(|&device| self.0.find(device));
            classes
                .map(|class| u64::from(class.unwrap_or(0)))
                .sum::<u64>()
        });
        sums.sum()
    }

    fn size(&self) -> usize {
        self.0.size().total()
    }
}

/// The standard library's hash table, which is hashbrown.
impl Table for FxHashMap<u64, u32> {
    fn find(&self, device: u64) -> Option<u32> {
        self.get(&device).copied()
    }

    fn size(&self) -> usize {
        // An octet of control each, and 7 of 8 are used at most.
        (self.capacity() * 8 / 7).next_power_of_two() * (16 + 1)
    }
}

/// Key and class in one word, in order.
struct Sorted(Vec<u64>);

impl Table for Sorted {
    fn find(&self, device: u64) -> Option<u32> {
        let place = self.0.partition_point(|&word| word >> 17 < device);
        let word = self.0.get(place).filter(|&&word| word >> 17 == device)?;
        Some((word & 0x1_ffff) as u32)
    }

    fn size(&self) -> usize {
        self.0.len() * 8
    }
}

/// A compressed set for each class.
struct Roaring(Vec<RoaringTreemap>);

impl Table for Roaring {
    fn find(&self, device: u64) -> Option<u32> {
        let place = self.0.iter().position(|set| set.contains(device))?;
        Some(place as u32 + 1)
    }

    fn size(&self) -> usize {
        self.0.iter().map(RoaringTreemap::serialized_size).sum()
    }
}

/// A minimal perfect hash to words of key and class.
struct Perfect {
    /// From keys to places.
    hash: Mphf<u64>,
    /// What stands there.
    words: Vec<u64>,
}

impl Table for Perfect {
    fn find(&self, device: u64) -> Option<u32> {
        let place = self.hash.try_hash(&device)?;
        let word = self.words.get(place as usize)?;
        (word >> 17 == device).then_some((word & 0x1_ffff) as u32)
    }

    fn size(&self) -> usize {
        // Of the hash with this factor some 3.7 bits a key.
        self.words.len() * 8 + self.words.len() * 37 / 80
    }
}

//----------- Lines -----------------------------------------------------------

/// Random lines of memory, to compare with.
struct Lines(&'static [[u64; 8]]);

impl Lines {
    /// So many octets, as a mapping of huge pages that stays to the end.
    fn new(size: usize) -> Self {
        let lines = size.div_ceil(64).max(64);
        let huge = 2 << 20;
        let size = (lines * 64).next_multiple_of(huge);
        let access = rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE;
        // SAFETY: a new mapping with room for an aligned beginning, of which
        // `lines` lines are used and nothing is given back.
        let lines = unsafe {
            let start = rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                size + huge,
                access,
                rustix::mm::MapFlags::PRIVATE,
            )
            .expect("memory");
            let start = start.byte_add(start.align_offset(1) + start.addr().wrapping_neg() % huge);
            let _ = rustix::mm::madvise(start, size, rustix::mm::Advice::LinuxHugepage);
            std::slice::from_raw_parts_mut(start.cast::<[u64; 8]>(), lines)
        };
        for (number, line) in lines.iter_mut().enumerate() {
            line[0] = scatter(number as u64);
        }
        Self(lines)
    }

    /// The line for a number without a pattern.
    fn line(&self, bits: u64) -> &[u64; 8] {
        &self.0[below(bits, self.0.len() as u64) as usize]
    }

    /// Nanoseconds of a line that has to be known for the next.
    fn dependent(&self) -> f64 {
        time(QUESTIONS, || {
            (0..QUESTIONS).fold(0, |last, number| self.line(scatter(number ^ last))[0])
        })
    }

    /// Nanoseconds of a line of a batch.
    fn batch(&self) -> f64 {
        time(QUESTIONS, || {
            let mut sum = 0u64;
            for from in (0..QUESTIONS).step_by(BATCH) {
                for number in from..from + BATCH as u64 {
                    prefetch(self.line(scatter(number)));
                }
                for number in from..from + BATCH as u64 {
                    sum = sum.wrapping_add(self.line(scatter(number))[0]);
                }
            }
            sum
        })
    }

    /// Gives the memory back.
    fn free(self) {
        let size = size_of_val(self.0);
        // SAFETY: the mapping of `new`, rounded to pages, which nothing refers
        // to any more.
        let _ = unsafe { rustix::mm::munmap(self.0.as_ptr().cast_mut().cast(), size) };
    }
}

/// Has a line fetched.
fn prefetch(line: &[u64; 8]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch faults on no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(line).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

//----------- Measuring -------------------------------------------------------

/// Nanoseconds of each of so many things.
fn time(count: u64, work: impl FnOnce() -> u64) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_nanos() as f64 / count as f64
}

/// Nanoseconds of a lookup that has to wait for the one before.
fn dependent(table: &impl Table, devices: &[u64]) -> f64 {
    time(devices.len() as u64, || {
        devices.iter().fold(0, |last, &device| {
            // A zero, but only once the last class is known.
            let zero = black_box(last) >> 40;
            u64::from(table.find(device ^ zero).unwrap_or(0))
        })
    })
}

/// Measures a table and prints a line about it.
fn measure(name: &str, table: &impl Table, count: u64, built: f64, questions: &Questions) {
    for &device in questions.hits.iter().take(10_000) {
        assert_eq!(table.find(device), Some(class(device)), "{name}: {device}");
    }
    for &device in questions.misses.iter().take(10_000) {
        assert_eq!(table.find(device), None, "{name}: {device}");
    }
    let lines = Lines::new(table.size());
    let mut figures = [const { Vec::new() }; 6];
    for _ in 0..ROUNDS {
        let batch = |devices: &[u64]| time(devices.len() as u64, || table.sum(devices));
        let round = [
            lines.dependent(),
            dependent(table, &questions.hits),
            dependent(table, &questions.misses),
            lines.batch(),
            batch(&questions.hits),
            batch(&questions.misses),
        ];
        for (figures, figure) in figures.iter_mut().zip(round) {
            figures.push(figure);
        }
    }
    lines.free();
    let [line, hit, miss, batch_line, batch_hit, batch_miss] = figures.map(|mut figures| {
        figures.sort_unstable_by(f64::total_cmp);
        figures[ROUNDS / 2]
    });
    println!(
        "| {name} | {:.2} | {:.1} | {line:.0} | {hit:.0} ({:.2}) | {miss:.0} ({:.2}) | {batch_line:.1} | {batch_hit:.1} ({:.2}) | {batch_miss:.1} ({:.2}) |",
        table.size() as f64 / count as f64,
        count as f64 / built / 1e6,
        hit / line,
        miss / line,
        batch_hit / batch_line,
        batch_miss / batch_line,
    );
}

/// All tables of a register.
fn compare(shape: Shape, asked: u64, tables: &str) {
    let is_wanted = |name: &str| tables == "all" || tables.split(',').any(|wanted| wanted == name);
    let mut builder = DevicesBuilder::new(1);
    builder.expect(asked as usize);
    let mut generated = 0u64;
    let generating = Instant::now();
    shape.generate(asked, |device| generated += u64::from(class(device) > 0));
    let generating = generating.elapsed();
    let start = Instant::now();
    shape.generate(asked, |device| builder.push(device, class(device)));
    let devices = builder.finish();
    let built = start.elapsed().saturating_sub(generating).as_secs_f64();
    let count = devices.len() as u64;
    assert_eq!(count, generated);
    println!("\n{count} devices, {shape:?}\n");
    println!(
        "| Table | Octets a device | Built, million/s | Line | Dependent hit | Miss | Line of a batch | Batch hit | Miss |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let questions = Questions::new(shape, asked, &devices);
    if is_wanted("weir") {
        measure("weir", &devices, count, built, &questions);
        let prefetched = Prefetched(&devices);
        measure(
            "weir, prefetched apart",
            &prefetched,
            count,
            built,
            &questions,
        );
    }
    let size = devices.size();
    drop(devices);
    let all = || {
        let mut all = Vec::with_capacity(count as usize);
        shape.generate(asked, |device| all.push(device));
        all
    };
    if is_wanted("hashbrown") {
        let all = all();
        let start = Instant::now();
        let table: FxHashMap<u64, u32> = all.iter().map(|&key| (key, class(key))).collect();
        let built = start.elapsed().as_secs_f64();
        drop(all);
        measure("hashbrown with Fx", &table, count, built, &questions);
    }
    if is_wanted("sorted") {
        let all = all();
        let start = Instant::now();
        let word = |&key: &u64| key << 17 | u64::from(class(key));
        let table = Sorted(all.iter().map(word).collect());
        let built = start.elapsed().as_secs_f64();
        drop(all);
        measure("sorted vector", &table, count, built, &questions);
    }
    if is_wanted("roaring") {
        let all = all();
        let start = Instant::now();
        let mut sets = vec![RoaringTreemap::new(); 4];
        for &device in &all {
            sets[class(device) as usize - 1].insert(device);
        }
        let built = start.elapsed().as_secs_f64();
        drop(all);
        measure("roaring", &Roaring(sets), count, built, &questions);
    }
    if is_wanted("boomphf") {
        let all = all();
        let start = Instant::now();
        let hash = Mphf::new(1.7, &all);
        let mut words = vec![0; all.len()];
        for &device in &all {
            words[hash.hash(&device) as usize] = device << 17 | u64::from(class(device));
        }
        let built = start.elapsed().as_secs_f64();
        drop(all);
        let table = Perfect { hash, words };
        measure("boomphf and keys", &table, count, built, &questions);
    }
    println!("\nweir: {size:?}");
}

/// What the environment asks for, or what is short enough for every day.
fn main() {
    let variable =
        |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let tables = variable("WEIR_BENCH_TABLES", "all");
    for count in variable("WEIR_BENCH_DEVICES", "100000,1000000").split(',') {
        let count = count.parse().expect("WEIR_BENCH_DEVICES: numbers");
        for shape in variable("WEIR_BENCH_SHAPES", "random,tacs,dense").split(',') {
            compare(Shape::named(shape), count, &tables);
        }
    }
}
