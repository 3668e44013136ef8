//! Busy polling: it costs a processor while a peer is asking, and nobody else
//! notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use weir::config::runtime::MAX_BUSY_POLL;

use crate::harness::*;

/// How long a client pauses between requests: much less than a server spins.
const PAUSE: Duration = Duration::from_millis(1);

/// A runtime that accepts.
fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// A server that spins for as long as can be configured, which is more than
/// enough to hold others up.
fn spinning(runtime: &Runtime, workers: Workers) -> TestServer {
    runtime.block_on(TestServer::start_on(workers, |config| {
        config.runtime.busy_poll = MAX_BUSY_POLL;
        config.diameter.handshake_timeout = Duration::from_millis(300);
    }))
}

/// A client on a thread of its own, whose capabilities are exchanged.
fn open(server: &TestServer, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&cer(name, 0)).unwrap();
    assert_eq!(result_code(&receive(&mut stream).unwrap()), Some(2001));
    stream
}

/// The next message; `None` at the end.
fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = vec![0; 4];
    stream.read_exact(&mut message).ok()?;
    let len = u32::from_be_bytes([0, message[1], message[2], message[3]]);
    message.resize(len as usize, 0);
    stream.read_exact(&mut message[4..]).ok()?;
    Some(message)
}

/// Asks about each known device; whether all answers are right.
fn ask(stream: &mut TcpStream) -> bool {
    KNOWN.iter().zip(1..).all(|((imei, expected), identifier)| {
        stream.write_all(&ecr(identifier, imei)).unwrap();
        let answer = receive(stream);
        answer.is_some_and(|eca| hop_by_hop(&eca) == identifier && status(&eca) == *expected)
    })
}

/// Peers that keep the server spinning.
struct Asking {
    /// Whether to end.
    stop: Arc<AtomicBool>,
    /// How often all known devices were asked about.
    rounds: Arc<AtomicUsize>,
    /// Tell whether all answers were right.
    threads: Vec<JoinHandle<bool>>,
}

impl Asking {
    /// So many of them.
    fn begin(server: &TestServer, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicUsize::new(0));
        let threads = (0..count).map(|number| {
            let mut stream = open(server, &format!("asking{number}"));
            let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
            spawn(move || {
                let mut right = true;
                while right && !stop.load(Ordering::Relaxed) {
                    right = ask(&mut stream);
                    rounds.fetch_add(1, Ordering::Relaxed);
                    sleep(PAUSE);
                }
                right
            })
        });
        let threads = threads.collect();
        Self {
            stop,
            rounds,
            threads,
        }
    }

    /// Ends them; whether all answers were right, and all were still asking.
    fn end(self) -> bool {
        let rounds = self.rounds.load(Ordering::Relaxed);
        let asking = self.threads.iter().all(|thread| !thread.is_finished());
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        let right = threads.map(|thread| thread.join().unwrap());
        right.fold(asking && rounds > 0, |all, one| all && one)
    }
}

#[test]
fn who_spins_leaves_turns_to_others_to_newcomers_and_to_timers() {
    for threads in [1, 2] {
        let runtime = runtime();
        let server = spinning(&runtime, Workers::start("spin-turns", threads));
        let asking = Asking::begin(&server, 3);
        let mut silent = TcpStream::connect(server.address).unwrap();
        silent.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut other = open(&server, "other");
        for _ in 0..50 {
            assert!(ask(&mut other));
        }
        // It is closed when its time is over, without a word.
        assert!(matches!(silent.read(&mut [0; 64]), Ok(0)));
        assert!(asking.end());
        runtime.shutdown_background();
    }
}

#[test]
fn who_spins_is_told_to_leave() {
    let runtime = runtime();
    let server = spinning(&runtime, Workers::start("spin-leave", 1));
    let mut stream = open(&server, "mme.localdomain");
    assert!(ask(&mut stream));
    let running = server.stop();
    // Requests follow answers at once, so that it never sleeps meanwhile.
    let mut left = false;
    let mut identifier = 1;
    stream.write_all(&ecr(identifier, KNOWN[0].0)).unwrap();
    while let Some(message) = receive(&mut stream) {
        if is_request(&message) {
            assert_eq!(command(&message), 282);
            assert_eq!(disconnect_cause(&message), Some(0), "REBOOTING");
            stream.write_all(&plain_answer(&message)).unwrap();
            left = true;
        } else {
            assert_eq!(hop_by_hop(&message), identifier);
            assert_eq!(status(&message), KNOWN[0].1);
            if !left {
                identifier += 1;
                stream.write_all(&ecr(identifier, KNOWN[0].0)).unwrap();
            }
        }
    }
    assert!(left);
    drop(stream);
    let stopped = async { tokio::time::timeout(PATIENCE, running).await };
    runtime.block_on(stopped).unwrap().unwrap();
}

/// The processor time that the only thread of this name has taken.
fn processor_time(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let mut tasks = tasks.map(|task| task.unwrap().path());
    let task = tasks.find(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
    });
    let spent = std::fs::read_to_string(task.unwrap().join("schedstat")).unwrap();
    let nanos = spent.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanos)
}

#[test]
fn the_processor_is_kept_while_a_peer_is_asking_and_then_left() {
    let spent = |name: &str, busy_poll| {
        let runtime = runtime();
        let workers = Workers::start(name, 1);
        let start = TestServer::start_on(workers, |config| config.runtime.busy_poll = busy_poll);
        let server = runtime.block_on(start);
        let mut stream = open(&server, "mme.localdomain");
        let before = processor_time(name);
        for _ in 0..100 {
            assert!(ask(&mut stream));
            sleep(5 * PAUSE);
        }
        let asking = processor_time(name) - before;
        // The last time to spin is over long before the end of this.
        sleep(30 * Duration::from_micros(MAX_BUSY_POLL.into()));
        let silent = processor_time(name) - before - asking;
        runtime.shutdown_background();
        (asking, silent)
    };
    let (asleep, _) = spent("spin-off", 0);
    let (spinning, silent) = spent("spin-on", MAX_BUSY_POLL);
    assert!(spinning > 3 * asleep, "{spinning:?}, {asleep:?}");
    let most = 3 * Duration::from_micros(MAX_BUSY_POLL.into());
    assert!(silent < most, "{silent:?} while nobody asks");
}
