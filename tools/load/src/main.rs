//! `weir-load`: a load generator for S13.
//!
//! ```text
//! weir-load closed  --peer tcp://HOST:PORT --window W   as fast as answers come
//! weir-load open    --peer tcp://HOST:PORT --rate R     so many a second
//! weir-load compare --peer tcp://HOST:PORT --window W   beside a bare echo
//! weir-load echo    --listen tcp://HOST:PORT            that echo, by itself
//! weir-load idle    --peer tcp://HOST:PORT              connections that ask nothing
//! weir-load list    --devices N                         a list to load, and to ask
//! weir-load record  DIRECTORY                           tables and a drawing
//! ```
//!
//! One thread sends and receives, and every answer is checked. See README.md.

mod address;
mod answer;
mod args;
mod compare;
mod echo;
mod engine;
mod figure;
mod hgrm;
mod idle;
mod link;
mod pairs;
mod plot;
mod processes;
mod record;
mod report;
mod script;
mod sctp;
mod stream;
mod tls;

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::thread;

use clap::Parser;

use self::args::{Cli, Command, EchoArgs, IdleArgs, ListArgs, RunArgs, SingleArgs, pair};
use self::echo::Echo;
use self::engine::Pace;
use self::report::Report;
use self::script::Random;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("weir-load: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the command line says; whether all answers were right.
fn run() -> Result<bool, String> {
    match Cli::parse().command {
        Command::Closed(args) => single(&args.run, Pace::Closed(args.window), &args.single),
        Command::Open(args) => single(&args.run, Pace::Open(args.rate), &args.single),
        Command::Compare(args) => pairs::compare(&args),
        Command::Echo(args) => echo(&args),
        Command::Idle(args) => idle(&args),
        Command::List(args) => {
            list(&args, &mut BufWriter::new(io::stdout().lock()))
                .map_err(|error| error.to_string())?;
            Ok(true)
        }
        Command::Record(args) => record::write(&args).map(|()| true),
    }
}

/// One run.
fn single(args: &RunArgs, pace: Pace, single: &SingleArgs) -> Result<bool, String> {
    pin(args.cpu)?;
    let script = args.script()?;
    let plan = args.plan(pace, single.echo)?;
    let measured = engine::run(&plan, &script)?;
    if let Some(path) = &single.hgrm {
        hgrm::write(path, &measured.latency)?;
    }
    let report = Report::new(&plan, &measured);
    match args.json {
        true => println!("{}", json(&report)?),
        false => print!("{report}"),
    }
    Ok(report.is_right())
}

/// The echo.
fn echo(args: &EchoArgs) -> Result<bool, String> {
    pin(args.cpu)?;
    let pair = pair(args.certificate.as_ref(), args.key.as_ref());
    let echo = Echo::bind(args.listen.clone(), pair.as_ref())?;
    println!("echo on {}", echo.address());
    thread::spawn(|| {
        idle::when_input_ends();
        std::process::exit(0);
    });
    echo.run().map_err(|error| error.to_string())?;
    Ok(true)
}

/// Connections that ask nothing; whether all stayed open.
fn idle(args: &IdleArgs) -> Result<bool, String> {
    let script = args.peer.script(&[], 0)?;
    let credentials = args.peer.credentials()?;
    let connections = args.connections as usize;
    let open = idle::run(&args.peer.peer, &credentials, &script, connections)?;
    println!("{open} of {connections} connections were open to the end");
    Ok(open == connections)
}

/// Prints a list: the devices are spread over TACs.
fn list(args: &ListArgs, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "imei")?;
    let mut random = Random(args.seed);
    let mut printed = BTreeSet::new();
    let mut count = 0;
    // Few collide, so that remembering them all would be a waste: a list may
    // have the same device twice if it is large, which is no contradiction.
    let remember = args.devices <= 10_000_000;
    while count < args.devices {
        let number = random.next();
        let tac = args.tac + number % args.tacs;
        let device = tac * 1_000_000 + (number >> 32) % 1_000_000;
        if remember && !printed.insert(device) {
            continue;
        }
        writeln!(out, "{device:014}")?;
        count += 1;
    }
    out.flush()
}

/// A value as JSON.
fn json(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map_err(|error| error.to_string())
}

/// Stays on one processor.
fn pin(cpu: Option<usize>) -> Result<(), String> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let Some(cpu) = cpu else { return Ok(()) };
    if cpu >= CpuSet::MAX_CPU {
        return Err(format!("there is no processor {cpu}"));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot stay on processor {cpu}: {error}"))
}
