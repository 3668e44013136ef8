//! What many connections cost: idle ones with watchdogs, and a flood of those
//! that connect and say nothing, while one honest peer asks on.
//!
//!     cargo bench --bench crowd -- --full
//!
//! starts `weir serve` (this build's, or what WEIR names) and prints its memory, its processor time, and how long
//! the honest peer waited. Without `--full` it does the same on a small scale,
//! to show that it holds.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{client, device, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::codec::Decoder;
use weir::base::{capabilities, watchdog};
use weir::net::codec::MessageCodec;
use weir::wire::compose::HostAddress;
use weir::wire::{CommandCode, Deframed, deframe};

#[path = "support/mod.rs"]
mod support;

/// How much of everything.
struct Scale {
    /// Idle connections.
    idle: usize,
    /// How long they idle.
    rest: Duration,
    /// Connections that say nothing.
    flood: usize,
    /// `diameter.max_connections`.
    limit: usize,
    /// `diameter.handshake_timeout`.
    handshake: &'static str,
}

/// What the figures are taken with.
const FULL: Scale = Scale {
    idle: 2000,
    rest: Duration::from_secs(60),
    flood: 10_000,
    limit: 4096,
    handshake: "10s",
};

/// What shows that it holds.
const SMALL: Scale = Scale {
    idle: 100,
    rest: Duration::from_secs(9),
    flood: 500,
    limit: 300,
    handshake: "1s",
};

/// Resident memory that the idle connections may cost at most.
const MEMORY_MAX: u64 = 64 * 1024 * 1024;

/// How long a closed or silent server is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the honest peer asks.
const PACE: Duration = Duration::from_millis(2);

/// Ticks of /proc/PID/stat in a second: the same on all Linux.
const TICKS: f64 = 100.0;

/// Files that a process needs besides its connections.
const FILES_BESIDES: u64 = 64;

fn main() {
    let full = std::env::args().any(|argument| argument == "--full");
    let scale = if full { FULL } else { SMALL };
    allow_files(scale.flood.max(scale.limit) + scale.idle);
    let server = Server::start(&scale);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&scale, &server));
}

/// Measures and prints.
async fn run(scale: &Scale, server: &Server) {
    let empty = server.memory();
    let answered = Arc::new(AtomicUsize::new(0));
    let mut idle = Vec::new();
    for number in 0..scale.idle {
        let peer = Peer::open(server.address, &format!("mme{number}.example")).await;
        idle.push(tokio::spawn(peer.idle(Arc::clone(&answered))));
    }
    let opened = server.memory();
    let (before, started) = (server.processor_time(), Instant::now());
    tokio::time::sleep(scale.rest).await;
    let (used, passed) = (server.processor_time() - before, started.elapsed());
    let rested = server.memory();
    println!("{} idle connections, watchdog every 6 s", scale.idle);
    println!("  resident without any     {:>8.1} MiB", mebibytes(empty));
    println!("  with all, just opened    {:>8.1} MiB", mebibytes(opened));
    println!(
        "  with all, after {:>4} s   {:>8.1} MiB",
        passed.as_secs(),
        mebibytes(rested)
    );
    println!(
        "  each                     {:>8.1} KiB",
        (rested.saturating_sub(empty)) as f64 / 1024.0 / scale.idle as f64
    );
    println!(
        "  processor                {:>8.2} % of one, for {} watchdogs",
        used.as_secs_f64() / passed.as_secs_f64() * 100.0,
        answered.load(Ordering::Relaxed)
    );
    assert!(
        answered.load(Ordering::Relaxed) >= scale.idle,
        "each was asked"
    );
    assert!(
        idle.iter().all(|task| !task.is_finished()),
        "none was closed"
    );
    assert!(rested - empty < MEMORY_MAX, "too much memory");

    let mut honest = Peer::open(server.address, "honest.example").await;
    let calm = honest.ask_until(|asked| asked == 500).await;
    let started = Instant::now();
    let shed = Arc::new(AtomicUsize::new(0));
    let address = server.address;
    let flooding = (0..scale.flood).map(|_| {
        let shed = Arc::clone(&shed);
        tokio::spawn(async move {
            // Connects, says nothing, and waits for the end.
            if let Ok(mut stream) = TcpStream::connect(address).await {
                let end = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 16])).await;
                assert!(!matches!(end, Ok(Ok(1..))), "nobody was asked anything");
                assert!(end.is_ok(), "a silent connection is left alone");
            }
            shed.fetch_add(1, Ordering::Relaxed);
        })
    });
    let flooding: Vec<_> = flooding.collect();
    let flooded = honest
        .ask_until(|_| shed.load(Ordering::Relaxed) == scale.flood)
        .await;
    let passed = started.elapsed();
    for task in flooding {
        task.await.unwrap();
    }
    println!(
        "{} connections that say nothing, all closed after {:.1} s",
        scale.flood,
        passed.as_secs_f64()
    );
    println!(
        "  resident after           {:>8.1} MiB",
        mebibytes(server.memory())
    );
    for (when, mut times) in [("before", calm), ("meanwhile", flooded)] {
        times.sort();
        let at =
            |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "  an honest peer {when:<9} {:>8} answers: median {:.2} ms, 99 % {:.2} ms, longest {:.2} ms",
            times.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
        assert!(at(1.0) < 1000.0, "it was delayed");
    }
    assert!(
        idle.iter().all(|task| !task.is_finished()),
        "none was closed"
    );
}

/// As people read memory.
fn mebibytes(octets: u64) -> f64 {
    octets as f64 / 1024.0 / 1024.0
}

/// Raises the limit of open files, or ends.
fn allow_files(connections: usize) {
    let needed = connections as u64 + FILES_BESIDES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < needed) {
        let limit = Rlimit {
            current: Some(needed),
            maximum,
        };
        setrlimit(Resource::Nofile, limit).expect("as many open files as connections");
    }
}

//----------- The server ------------------------------------------------------

/// A `weir serve` process.
struct Server {
    /// The process.
    child: Child,
    /// Where it listens.
    address: SocketAddr,
    /// Its configuration, removed at the end.
    _directory: tempfile::TempDir,
}

impl Server {
    /// Starts it.
    fn start(scale: &Scale) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weir.toml");
        let text = format!(
            "[diameter]\nlisten = \"tcp://127.0.0.1:0\"\nwatchdog = \"6s\"\n\
             max_connections = {}\nhandshake_timeout = \"{}\"\n\
             [register]\nsample = true\n[log]\nlevel = \"warn\"\n",
            scale.limit, scale.handshake
        );
        std::fs::write(&path, text).unwrap();
        let weir = std::env::var_os("WEIR").unwrap_or_else(|| env!("CARGO_BIN_EXE_weir").into());
        let mut child = Command::new(weir)
            .args(["serve", "-c"])
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(
                out.read_line(&mut line).unwrap() > 0,
                "the server does not listen"
            );
            if let Some((_, address)) = line.trim().split_once("listening on tcp://") {
                break address.parse().unwrap();
            }
        };
        // Keeps its standard output open.
        std::thread::spawn(move || io::copy(&mut out, &mut io::sink()));
        Self {
            child,
            address,
            _directory: directory,
        }
    }

    /// Resident memory in octets.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024
    }

    /// Processor time used so far, in both modes.
    fn processor_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).unwrap();
        // Behind the name, which may hold anything, from the third field on.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: u64 = [fields[11], fields[12]]
            .iter()
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        Duration::from_secs_f64(ticks as f64 / TICKS)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = io::stdout().flush();
    }
}

//----------- Peers -----------------------------------------------------------

/// A peer with its connection.
struct Peer {
    /// The connection.
    stream: TcpStream,
    /// Who it is.
    node: weir::base::Node,
    /// Received, not yet decoded.
    input: BytesMut,
    /// Framing.
    codec: MessageCodec,
}

impl Peer {
    /// Connects and exchanges capabilities.
    async fn open(address: SocketAddr, name: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut this = Self {
            stream,
            node: client(name),
            input: BytesMut::new(),
            codec: MessageCodec::default(),
        };
        let mut cer = BytesMut::new();
        let address = HostAddress::V4([127, 0, 0, 1]);
        capabilities::compose_request(&mut cer, &this.node, (1, 1), &[address]);
        this.stream.write_all(&cer).await.unwrap();
        let cea = this.receive().await.expect("a CEA");
        assert!(cea.windows(4).any(|at| at == 2001u32.to_be_bytes()), "2001");
        this
    }

    /// The next message.
    async fn receive(&mut self) -> Option<Bytes> {
        loop {
            if let Some(message) = self.codec.decode(&mut self.input).unwrap() {
                return Some(message);
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// Answers a watchdog; `false` if the message is none.
    async fn answer(&mut self, bytes: &Bytes) -> bool {
        let Deframed::Message(message) = deframe(bytes, bytes.len()) else {
            panic!("no message")
        };
        let header = message.header();
        let is_watchdog = header.is_request() && header.command == CommandCode::DEVICE_WATCHDOG;
        if is_watchdog {
            let mut out = BytesMut::new();
            watchdog::answer(&message, &self.node, &mut out);
            self.stream.write_all(&out).await.unwrap();
        }
        is_watchdog
    }

    /// Answers watchdogs and does nothing else.
    async fn idle(mut self, answered: Arc<AtomicUsize>) {
        while let Some(message) = self.receive().await {
            if self.answer(&message).await {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Asks at a steady pace until `enough` says so of the number of answers;
    /// returns how long each took.
    async fn ask_until(&mut self, enough: impl Fn(usize) -> bool) -> Vec<Duration> {
        let mut times = Vec::new();
        let mut pace = tokio::time::interval(PACE);
        while !enough(times.len()) {
            pace.tick().await;
            let mut out = BytesMut::new();
            let identifier = u32::try_from(times.len()).unwrap();
            request(&self.node, identifier, device(7), &mut out);
            let asked = Instant::now();
            self.stream.write_all(&out).await.unwrap();
            loop {
                let message = self.receive().await.expect("an answer");
                if !self.answer(&message).await {
                    assert_eq!(message[12..16], identifier.to_be_bytes());
                    break;
                }
            }
            times.push(asked.elapsed());
        }
        times
    }
}
