//! Compiling a list: lines a second, and the memory that it takes, beside what
//! there is to compare with: the same file read and its lines counted, and the
//! way of the standard library (lines, parse, `HashMap`).
//!
//! ```text
//! cargo bench --bench compile                                    10^6 lines of each shape
//! cargo bench --bench compile -- --lines 100000000 --dir /big    one large run
//!     --shape plain|house|dense    which; else all
//!     --memory BYTES               compile_memory
//!     --no-line-numbers            line_numbers = false
//!     --no-std                     not the standard library, which needs 30 bytes a line
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir::cli::compile::CompileArgs;
use weir::equipment::Imei;

/// Lines of a file unless told otherwise: it is done in seconds.
const LINES: u64 = 1_000_000;
/// TACs of the register of random devices.
const TACS: u64 = 200_000;
/// TACs are 37 apart, so that they are no run.
const STEP: u64 = 37;
/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// What a list is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// One column, random devices.
    Plain,
    /// The same with status and reason.
    House,
    /// One column, eight of ten serial numbers of each TAC.
    Dense,
}

fn main() {
    let mut args = std::env::args().skip(1).peekable();
    let mut lines = LINES;
    let mut shapes = vec![Shape::Plain, Shape::House, Shape::Dense];
    let mut dir: Option<PathBuf> = None;
    let mut memory = weir::config::DEFAULT_COMPILE_MEMORY;
    let (mut line_numbers, mut with_std) = (true, true);
    while let Some(arg) = args.next() {
        let mut value = || args.next().expect("the option has a value");
        match arg.as_str() {
            "--lines" => lines = value().parse().expect("a number of lines"),
            "--dir" => dir = Some(value().into()),
            "--memory" => memory = value().parse().expect("a number of bytes"),
            "--no-line-numbers" => line_numbers = false,
            "--no-std" => with_std = false,
            "--shape" => {
                shapes = vec![match value().as_str() {
                    "plain" => Shape::Plain,
                    "house" => Shape::House,
                    "dense" => Shape::Dense,
                    other => panic!("no such shape: {other}"),
                }];
            }
            // What cargo passes on, and what is meant for other benches.
            _ => {}
        }
    }
    let own = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.unwrap_or_else(|| own.path().to_owned());
    for shape in shapes {
        let list = dir.join(format!("{shape:?}-{lines}.csv").to_lowercase());
        if !list.exists() {
            generate(&list, shape, lines);
        }
        println!(
            "{shape:?}, {lines} lines, {} bytes",
            fs::metadata(&list).unwrap().len()
        );
        told("read, lines counted", lines, || count(&list));
        let key = if line_numbers {
            ""
        } else {
            "line_numbers = false\n"
        };
        let text = format!(
            "[register]\nlists_dir = {dir:?}\ncompile_memory = {memory}\n{key}[[list]]\nname = \"black\"\nstatus = \"blacklisted\"\npath = {list:?}\n"
        );
        let config = own.path().join("weir.toml");
        fs::write(&config, text).unwrap();
        let output = dir.join("compiled.weir");
        let args = CompileArgs {
            config: Some(config),
            output: output.clone(),
            json: true,
        };
        told("weir compile", lines, || {
            args.run(&mut Vec::new()).expect("it compiles")
        });
        let length = fs::metadata(&output).unwrap().len();
        println!(
            "  snapshot of {length} bytes, {:.2} a device; peak of this process {} MiB",
            length as f64 / lines as f64,
            peak() >> 10
        );
        fs::remove_file(&output).unwrap();
        if with_std {
            told("lines, parse, HashMap", lines, || by_the_library(&list));
        }
    }
}

/// Times something that goes through so many lines.
#[expect(clippy::disallowed_methods, reason = "a bench times")]
fn told(what: &str, lines: u64, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    let took: Duration = start.elapsed();
    let rate = lines as f64 / took.as_secs_f64() / 1e6;
    println!(
        "  {what:24} {:8.2} s {rate:8.1} M lines/s",
        took.as_secs_f64()
    );
}

/// Writes a list.
fn generate(path: &Path, shape: Shape, lines: u64) {
    let mut out = BufWriter::with_capacity(BUFFER, File::create(path).unwrap());
    let header = if shape == Shape::House {
        "imei,status,reason\n"
    } else {
        "imei\n"
    };
    out.write_all(header.as_bytes()).unwrap();
    let mut word = 42u64;
    for line in 0..lines {
        word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = word;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let device = match shape {
            // Eight of ten, in order.
            Shape::Dense => {
                let serial = line / 8 * 10 + line % 8;
                (35_000_000 + serial / 1_000_000 * STEP) * 1_000_000 + serial % 1_000_000
            }
            _ => (35_000_000 + mixed % TACS * STEP) * 1_000_000 + (mixed >> 24) % 1_000_000,
        };
        let device = device % 100_000_000_000_000;
        // 15 digits, the last the check digit.
        let mut text = *b"000000000000000";
        let mut rest = device;
        let mut sum = 0;
        for (place, digit) in text[..14].iter_mut().enumerate().rev() {
            let own = rest % 10;
            rest /= 10;
            *digit = b'0' + own as u8;
            let double = own * 2 - if own > 4 { 9 } else { 0 };
            sum += if place % 2 == 1 { double } else { own };
        }
        text[14] = b'0' + ((10 - sum % 10) % 10) as u8;
        out.write_all(&text).unwrap();
        match shape {
            Shape::House => {
                // The same of the same device.
                let kind = device % 7;
                let status = ["blacklisted", "greylisted"][usize::from(kind > 4)];
                let reason = ["stolen", "lost", "reported by its owner", "cloned"];
                writeln!(out, ",{status},{}", reason[kind as usize % 4]).unwrap();
            }
            _ => out.write_all(b"\n").unwrap(),
        }
    }
    out.flush().unwrap();
}

/// Reads a file and counts its lines.
fn count(path: &Path) {
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; BUFFER];
    let mut lines = 0;
    loop {
        let read = file.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &buffer[..read]).count();
    }
    assert!(lines > 0);
}

/// The way of the standard library.
fn by_the_library(path: &Path) {
    let mut map = HashMap::new();
    let file = BufReader::with_capacity(BUFFER, File::open(path).unwrap());
    for (number, line) in file.lines().enumerate().skip(1) {
        let line = line.unwrap();
        let mut fields = line.split(',');
        let imei = Imei::parse(fields.next().unwrap().as_bytes()).unwrap();
        map.entry(imei.device.number()).or_insert(number as u32);
    }
    assert!(!map.is_empty());
}

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
