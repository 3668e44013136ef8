//! The server over loopback TCP, against an echo that sends back as many
//! octets as the answers have, in the same run: one connection, W requests
//! outstanding, client and server each on a thread of its own.
//!
//! Absolute figures depend on the machine and its hour; the ratio is what
//! counts.

#![allow(missing_docs, reason = "criterion's macro makes an undocumented main")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::{client, node, rulebook};
use weir::base::capabilities;
use weir::config::Config;
use weir::metrics::Counters;
use weir::net::Server;
use weir::policy::Register;
use weir::wire::compose::HostAddress;

/// Devices in the register.
const DEVICES: u64 = 1_000_000;

/// Requests prepared, a multiple of every window.
const PREPARED: u32 = 16 * 1024;

/// Starts the server on a thread with one worker.
fn start_server() -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut config = Config::default();
            config.diameter.listen = vec!["tcp://127.0.0.1:0".parse().unwrap()];
            let register = Arc::new(Register::new(rulebook(DEVICES)));
            let counters = Arc::new(Counters::default());
            let server = Server::bind(&config, Arc::new(node()), register, counters)
                .await
                .unwrap();
            sender
                .send(server.listening().next().unwrap().addresses[0])
                .unwrap();
            server.run(std::future::pending()).await;
        });
    });
    receiver.recv().unwrap()
}

/// Starts an echo: for each `request` octets received, sends `answer` octets.
fn start_echo(request: usize, answer: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut input = vec![0; 64 * 1024];
            let output = vec![0; 64 * 1024 / request * answer + answer];
            let mut pending = 0;
            while let Ok(read @ 1..) = stream.read(&mut input) {
                pending += read;
                let whole = pending / request;
                pending %= request;
                if stream.write_all(&output[..whole * answer]).is_err() {
                    break;
                }
            }
        }
    });
    address
}

/// Sends windows of `window` requests and reads as many answers, until
/// `count` are answered; returns how long it took.
fn drive(
    stream: &mut TcpStream,
    bytes: &[u8],
    request: usize,
    answer: usize,
    window: usize,
    count: u64,
) -> Duration {
    let mut input = vec![0; 256 * 1024];
    let total = bytes.len() / request;
    let (mut sent, mut answered) = (0u64, 0u64);
    let mut received = 0;
    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    let start = Instant::now();
    while answered < count {
        let room = (window as u64 - (sent - answered)).min(count - sent) as usize;
        if room > 0 {
            let at = (sent % total as u64) as usize;
            let room = room.min(total - at);
            stream
                .write_all(&bytes[at * request..(at + room) * request])
                .unwrap();
            sent += room as u64;
        }
        received += stream.read(&mut input).unwrap();
        answered += (received / answer) as u64;
        received %= answer;
    }
    start.elapsed()
}

/// Windows of different sizes, server and echo side by side.
fn loopback(criterion: &mut Criterion) {
    let client = client("mme.epc.mnc001.mcc001.3gppnetwork.org");
    // All known, so that all answers have one length.
    let mut bytes = BytesMut::new();
    for number in 0..PREPARED {
        let device = support::device(support::Random(u64::from(number)).next() % DEVICES);
        support::request(&client, number, device, &mut bytes);
    }
    let request = bytes.len() / PREPARED as usize;

    let mut server = TcpStream::connect(start_server()).unwrap();
    server.set_nodelay(true).unwrap();
    let mut cer = BytesMut::new();
    capabilities::compose_request(
        &mut cer,
        &client,
        (1, 1),
        &[HostAddress::V4([127, 0, 0, 1])],
    );
    server.write_all(&cer).unwrap();
    let mut cea = [0; 1024];
    let read = server.read(&mut cea).unwrap();
    assert_eq!(
        cea[..4],
        [1, 0, (read >> 8) as u8, read as u8],
        "one whole CEA"
    );

    // One answer before the time.
    server.write_all(&bytes[..request]).unwrap();
    let answer = server.read(&mut cea).unwrap();
    assert!(
        cea[..answer].ends_with(&[0, 0, 0x28, 0xaf, 0, 0, 0, 1]),
        "blacklisted"
    );

    let mut echo = TcpStream::connect(start_echo(request, answer)).unwrap();
    echo.set_nodelay(true).unwrap();

    let mut group = criterion.benchmark_group("loopback");
    for window in [1usize, 16, 256] {
        group.throughput(Throughput::Elements(1));
        for (name, stream) in [("weir", &mut server), ("echo", &mut echo)] {
            group.bench_function(BenchmarkId::new(name, window), |bench| {
                bench.iter_custom(|count| drive(stream, &bytes, request, answer, window, count));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, loopback);
criterion_main!(benches);
