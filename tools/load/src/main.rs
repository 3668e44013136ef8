//! `weir-load`: a load generator for S13.
//!
//! ```text
//! weir-load closed  --peer HOST:PORT --window W      as fast as answers come
//! weir-load open    --peer HOST:PORT --rate R        so many a second
//! weir-load compare --peer HOST:PORT --window W      beside a bare TCP echo
//! weir-load echo    --listen HOST:PORT               that echo, by itself
//! weir-load list    --devices N                      a list to load, and to ask
//! ```
//!
//! One thread sends and receives, and every answer is checked. See README.md.

mod answer;
mod compare;
mod echo;
mod engine;
mod link;
mod report;
mod script;

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use self::compare::Comparison;
use self::echo::Echo;
use self::engine::{Pace, Plan};
use self::link::{OUTSTANDING_MAX, Peer};
use self::report::Report;
use self::script::{Names, Random, Script, Source};

/// A load generator for S13: closed and open loop, every answer checked.
#[derive(Debug, Parser)]
#[command(name = "weir-load", version)]
struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Send as fast as answers come, with a fixed number outstanding.
    Closed(ClosedArgs),
    /// Send at a fixed rate, and measure from the moment each request was due.
    Open(OpenArgs),
    /// Measure a server and a bare TCP echo alternately.
    Compare(CompareArgs),
    /// Be the bare TCP echo.
    Echo(EchoArgs),
    /// Print a list of random devices, the same for the same numbers.
    List(ListArgs),
}

/// What all runs have in common.
#[derive(Debug, Args)]
struct RunArgs {
    /// The server.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3868")]
    peer: String,

    /// Connections, each of a peer of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    connections: u32,

    /// Where IMEIs come from, what answers should say, and how often they are
    /// asked about; may be repeated. Without it, random devices are asked
    /// about, and any answer is right.
    #[arg(long, value_name = "FILE[=OUTCOME[@WEIGHT]]")]
    imeis: Vec<Source>,

    /// Seconds before measuring begins.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    warmup: f64,

    /// Seconds measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    duration: f64,

    /// The processor that the generator stays on.
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,

    /// Origin-Host of the requests.
    #[arg(long, default_value = "mme.epc.mnc001.mcc001.3gppnetwork.org")]
    origin_host: String,

    /// Origin-Realm and Destination-Realm of the requests.
    #[arg(long, default_value = "epc.mnc001.mcc001.3gppnetwork.org")]
    realm: String,

    /// What makes one run's choice of devices differ from another's.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `closed`.
#[derive(Debug, Args)]
struct ClosedArgs {
    /// What all runs have in common.
    #[command(flatten)]
    run: RunArgs,

    /// Requests outstanding on each connection.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = window)]
    window: usize,

    /// The peer is an echo that sends so many octets for each request.
    #[arg(long, value_name = "OCTETS")]
    echo: Option<u16>,
}

/// `open`.
#[derive(Debug, Args)]
struct OpenArgs {
    /// What all runs have in common.
    #[command(flatten)]
    run: RunArgs,

    /// Requests a second, all connections together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: u64,

    /// The peer is an echo that sends so many octets for each request.
    #[arg(long, value_name = "OCTETS")]
    echo: Option<u16>,
}

/// `compare`.
#[derive(Debug, Args)]
struct CompareArgs {
    /// What all runs have in common.
    #[command(flatten)]
    run: RunArgs,

    /// Requests outstanding on each connection, in a closed loop.
    #[arg(long, value_name = "N", value_parser = window, required_unless_present = "rate", conflicts_with = "rate")]
    window: Option<usize>,

    /// Requests a second, in an open loop.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: Option<u64>,

    /// Pairs of runs.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,

    /// Octets of the server's answers, which the echo sends, too.
    #[arg(long, value_name = "OCTETS", default_value_t = 160)]
    answer: u16,

    /// The processor that the echo stays on: the server's.
    #[arg(long, value_name = "N")]
    server_cpu: Option<usize>,
}

/// `echo`.
#[derive(Debug, Args)]
struct EchoArgs {
    /// Where to listen.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3867")]
    listen: String,

    /// The processor to stay on.
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
}

/// `list`.
#[derive(Debug, Args)]
struct ListArgs {
    /// How many devices.
    #[arg(long, value_name = "N")]
    devices: u64,

    /// In how many TACs.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    tacs: u64,

    /// The first of them.
    #[arg(long, value_name = "TAC", default_value_t = 35_000_000, value_parser = clap::value_parser!(u64).range(0..=99_000_000))]
    tac: u64,

    /// What makes one list differ from another.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

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
        Command::Closed(args) => single(&args.run, Pace::Closed(args.window), args.echo),
        Command::Open(args) => single(&args.run, Pace::Open(args.rate), args.echo),
        Command::Compare(args) => compare(&args),
        Command::Echo(args) => {
            pin(args.cpu)?;
            let echo = Echo::bind(resolve(&args.listen)?)
                .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
            println!("echo on {}", echo.address());
            echo.run().map_err(|error| error.to_string())?;
            Ok(true)
        }
        Command::List(args) => {
            list(&args, &mut BufWriter::new(io::stdout().lock()))
                .map_err(|error| error.to_string())?;
            Ok(true)
        }
    }
}

/// One run.
fn single(args: &RunArgs, pace: Pace, echo: Option<u16>) -> Result<bool, String> {
    pin(args.cpu)?;
    let script = args.script()?;
    let peer = match echo {
        Some(octets) => Peer::Echo(octets.into()),
        None => Peer::Diameter,
    };
    let plan = args.plan(resolve(&args.peer)?, peer, pace);
    let measured = engine::run(&plan, &script)?;
    let report = Report::new(&plan, &measured);
    match args.json {
        true => println!("{}", json(&report)?),
        false => print!("{report}"),
    }
    Ok(report.is_right())
}

/// Pairs of runs.
fn compare(args: &CompareArgs) -> Result<bool, String> {
    let script = args.run.script()?;
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let echo = Echo::bind(local).map_err(|error| format!("no echo: {error}"))?;
    let floor = echo.address();
    let cpu = args.server_cpu;
    thread::spawn(move || {
        if let Err(why) = pin(cpu) {
            eprintln!("weir-load: {why}");
        }
        if let Err(error) = echo.run() {
            eprintln!("weir-load: the echo failed: {error}");
        }
    });
    pin(args.run.cpu)?;
    let pace = match (args.rate, args.window) {
        (Some(rate), _) => Pace::Open(rate),
        (None, window) => Pace::Closed(window.unwrap_or(1)),
    };
    let server = args
        .run
        .plan(resolve(&args.run.peer)?, Peer::Diameter, pace);
    let floor = args.run.plan(floor, Peer::Echo(args.answer.into()), pace);
    let mut reports = (Vec::new(), Vec::new());
    for _ in 0..args.pairs {
        let measured = engine::run(&server, &script)?;
        reports.0.push(Report::new(&server, &measured));
        let measured = engine::run(&floor, &script)?;
        reports.1.push(Report::new(&floor, &measured));
    }
    let comparison = Comparison::new(&server, reports.0, reports.1);
    match args.run.json {
        true => println!("{}", json(&comparison)?),
        false => print!("{comparison}"),
    }
    Ok(comparison.server.iter().all(Report::is_right))
}

/// Prints a list: the devices are spread over TACs, each with a status.
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

impl RunArgs {
    /// What is asked.
    fn script(&self) -> Result<Script, String> {
        let names = Names {
            origin_host: self.origin_host.clone(),
            origin_realm: self.realm.clone(),
            destination_realm: self.realm.clone(),
        };
        Script::new(&names, &self.imeis, self.seed)
    }

    /// What is run.
    fn plan(&self, address: SocketAddr, peer: Peer, pace: Pace) -> Plan {
        Plan {
            address,
            peer,
            connections: self.connections as usize,
            pace,
            warmup: Duration::from_secs_f64(self.warmup),
            duration: Duration::from_secs_f64(self.duration),
        }
    }
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

/// The address of `HOST:PORT`.
fn resolve(text: &str) -> Result<SocketAddr, String> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|error| format!("`{text}` is no HOST:PORT: {error}"))?;
    found.next().ok_or_else(|| format!("{text} has no address"))
}

/// A number of seconds.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("write seconds, from 0 to 86400".to_owned()),
    }
}

/// A number of requests outstanding.
fn window(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(window) if (1..=OUTSTANDING_MAX).contains(&window) => Ok(window),
        _ => Err(format!("write a number from 1 to {OUTSTANDING_MAX}")),
    }
}
