//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::address::Address;
use crate::engine::{Pace, Plan};
use crate::figure::Want;
use crate::link::{OUTSTANDING_MAX, Peer};
use crate::script::{Names, Script, Source};
use crate::tls::{Credentials, Pair};

/// A load generator for S13: closed and open loop, every answer checked.
#[derive(Debug, Parser)]
#[command(name = "weir-load", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send as fast as answers come, with a fixed number outstanding.
    Closed(ClosedArgs),
    /// Send at a fixed rate, and measure from the moment each request was due.
    Open(OpenArgs),
    /// Measure two things alternately: a server and a bare echo, two servers,
    /// or one server under different conditions.
    Compare(Box<CompareArgs>),
    /// Be the bare echo, until standard input ends.
    Echo(EchoArgs),
    /// Hold connections open and ask nothing, until standard input ends.
    Idle(IdleArgs),
    /// Print a list of random devices, the same for the same numbers.
    List(ListArgs),
    /// Make a record of comparisons that were written with --json-to.
    Record(RecordArgs),
}

/// Whom to ask, and as whom.
#[derive(Debug, Args)]
pub struct PeerArgs {
    /// The server: tcp://HOST:PORT, tls://HOST:PORT or sctp://HOST:PORT.
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:3868")]
    pub peer: Address,

    /// For TLS: the CA of the server's certificate.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// For TLS: the certificate to show.
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca"])]
    pub certificate: Option<PathBuf>,

    /// For TLS: its private key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,

    /// For TLS: the name in the server's certificate, if not that of its
    /// address.
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,

    /// Origin-Host of the requests.
    #[arg(long, default_value = "mme.epc.mnc001.mcc001.3gppnetwork.org")]
    pub origin_host: String,

    /// Origin-Realm and Destination-Realm of the requests.
    #[arg(long, default_value = "epc.mnc001.mcc001.3gppnetwork.org")]
    pub realm: String,
}

/// What all runs have in common.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub peer: PeerArgs,

    /// Connections, each of a peer of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub connections: u32,

    /// Where IMEIs come from, what answers should say, and how often they are
    /// asked about; may be repeated. Without it, random devices are asked
    /// about, and any answer is right.
    #[arg(long, value_name = "FILE[=OUTCOME[@WEIGHT]]")]
    pub imeis: Vec<Source>,

    /// Seconds before measuring begins.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub warmup: f64,

    /// Seconds measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub duration: f64,

    /// The processor that the generator stays on.
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,

    /// The server's process, to tell the processor time that it takes; it must
    /// be on this machine.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,

    /// What makes one run's choice of devices differ from another's.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `closed`.
#[derive(Debug, Args)]
pub struct ClosedArgs {
    /// What all runs have in common.
    #[command(flatten)]
    pub run: RunArgs,

    /// Requests outstanding on each connection.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = window)]
    pub window: usize,

    /// What single runs have in common.
    #[command(flatten)]
    pub single: SingleArgs,
}

/// `open`.
#[derive(Debug, Args)]
pub struct OpenArgs {
    /// What all runs have in common.
    #[command(flatten)]
    pub run: RunArgs,

    /// Requests a second, all connections together.
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: u64,

    /// What single runs have in common.
    #[command(flatten)]
    pub single: SingleArgs,
}

/// What single runs have in common.
#[derive(Debug, Args)]
pub struct SingleArgs {
    /// The peer is an echo that sends so many octets for each request.
    #[arg(long, value_name = "OCTETS", value_parser = octets)]
    pub echo: Option<u16>,

    /// Where to write the latencies, in microseconds, as HdrHistogram's tools
    /// read them.
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
}

/// `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// What all runs have in common.
    #[command(flatten)]
    pub run: RunArgs,

    /// Requests outstanding on each connection, in a closed loop.
    #[arg(long, value_name = "N", value_parser = window, required_unless_present = "rate", conflicts_with = "rate")]
    pub window: Option<usize>,

    /// Requests a second, in an open loop.
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<u64>,

    /// Pairs of runs that count; as many again are tried for those that do
    /// not, because the generator limited them.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pairs: u32,

    /// Octets of the echo's answers; the mean of the server's, if absent.
    #[arg(long, value_name = "OCTETS", value_parser = octets)]
    pub answer: Option<u16>,

    /// The processor that the echo stays on: the server's.
    #[arg(long, value_name = "N")]
    pub server_cpu: Option<usize>,

    /// For TLS: the certificate that the echo shows.
    #[arg(long, value_name = "FILE", requires = "echo_key")]
    pub echo_certificate: Option<PathBuf>,

    /// For TLS: its private key.
    #[arg(long, value_name = "FILE", requires = "echo_certificate")]
    pub echo_key: Option<PathBuf>,

    /// Another server instead of the echo; any answer of it is right.
    #[arg(long, value_name = "ADDRESS", group = "base")]
    pub against: Option<Address>,

    /// Its process, to tell the processor time that it takes.
    #[arg(long, value_name = "PID", requires = "against")]
    pub against_pid: Option<u32>,

    /// A command of the shell that runs beside each run of the server, which is
    /// held against runs without it. It prints a line when it is ready, and
    /// ends when its standard input does.
    #[arg(long, value_name = "COMMAND", group = "base")]
    pub beside: Option<String>,

    /// The same server, with so many connections, instead of the echo.
    #[arg(long, value_name = "N", group = "base", requires = "against_window")]
    pub against_connections: Option<u32>,

    /// Requests outstanding on each of those.
    #[arg(long, value_name = "N", value_parser = window, requires = "against_connections")]
    pub against_window: Option<usize>,

    /// What a ratio should be, such as `answers/s>=0.7` or `p99.9<=1.25`; may
    /// be repeated.
    #[arg(long, value_name = "FIGURE>=RATIO")]
    pub want: Vec<Want>,

    /// What is compared, for people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub title: String,

    /// What the server is called.
    #[arg(long, value_name = "TEXT", default_value = "server")]
    pub name: String,

    /// What it is held against is called.
    #[arg(long, value_name = "TEXT")]
    pub base_name: Option<String>,

    /// Where to write JSON, beside what is printed.
    #[arg(long, value_name = "FILE")]
    pub json_to: Option<PathBuf>,

    /// Where to write the latencies of all runs, as PREFIX-server.hgrm and
    /// PREFIX-base.hgrm.
    #[arg(long, value_name = "PREFIX")]
    pub hgrm: Option<String>,
}

/// `echo`.
#[derive(Debug, Args)]
pub struct EchoArgs {
    /// Where to listen: tcp://HOST:PORT, tls://HOST:PORT or sctp://HOST:PORT.
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:3867")]
    pub listen: Address,

    /// For TLS: the certificate to show.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,

    /// For TLS: its private key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,

    /// The processor to stay on.
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
}

/// `idle`.
#[derive(Debug, Args)]
pub struct IdleArgs {
    /// Whom to connect to.
    #[command(flatten)]
    pub peer: PeerArgs,

    /// Connections, each of a peer of its own.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub connections: u32,
}

/// `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How many devices.
    #[arg(long, value_name = "N")]
    pub devices: u64,

    /// In how many TACs.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub tacs: u64,

    /// The first of them.
    #[arg(long, value_name = "TAC", default_value_t = 35_000_000, value_parser = clap::value_parser!(u64).range(0..=99_000_000))]
    pub tac: u64,

    /// What makes one list differ from another.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `record`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// What was written with --json-to, in the order of their names.
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,

    /// Where to write the record, in Markdown.
    #[arg(long, value_name = "FILE")]
    pub markdown: PathBuf,

    /// The first line of it.
    #[arg(long, value_name = "TEXT")]
    pub title: String,

    /// Where to draw throughput and latency, as SVG.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

impl PeerArgs {
    /// What is asked.
    pub fn script(&self, imeis: &[Source], seed: u64) -> Result<Script, String> {
        let names = Names {
            origin_host: self.origin_host.clone(),
            origin_realm: self.realm.clone(),
            destination_realm: self.realm.clone(),
        };
        Script::new(&names, imeis, seed)
    }

    /// What secures connections.
    pub fn credentials(&self) -> Result<Credentials, String> {
        let Some(ca) = &self.ca else {
            return Ok(Credentials::default());
        };
        let own = pair(self.certificate.as_ref(), self.key.as_ref());
        Credentials::new(ca, own.as_ref(), self.server_name.clone())
    }
}

impl RunArgs {
    /// What is asked.
    pub fn script(&self) -> Result<Script, String> {
        self.peer.script(&self.imeis, self.seed)
    }

    /// What is run.
    pub fn plan(&self, pace: Pace, echo: Option<u16>) -> Result<Plan, String> {
        Ok(Plan {
            address: self.peer.peer.clone(),
            credentials: self.peer.credentials()?,
            peer: echo.map_or(Peer::Diameter, |octets| Peer::Echo(octets.into())),
            process: self.server_pid,
            connections: self.connections as usize,
            pace,
            warmup: Duration::from_secs_f64(self.warmup),
            duration: Duration::from_secs_f64(self.duration),
        })
    }
}

/// A certificate and its key, if there are both.
pub fn pair(certificate: Option<&PathBuf>, key: Option<&PathBuf>) -> Option<Pair> {
    certificate.zip(key).map(|(certificate, key)| Pair {
        certificate: certificate.clone(),
        key: key.clone(),
    })
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

/// Requests a second.
fn rate(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(rate @ 1..=100_000_000) => Ok(rate),
        _ => Err("write a number from 1 to 100000000".to_owned()),
    }
}

/// Octets of an answer.
fn octets(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(octets @ 1..) => Ok(octets),
        _ => Err("write a number from 1 to 65535".to_owned()),
    }
}
