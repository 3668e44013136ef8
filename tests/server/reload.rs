//! Reloads under load: no request is lost, and every answer is from one list
//! or the other.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir::config::Config;
use weir::metrics::Counters;
use weir::net::Clock;
use weir::policy::Register;
use weir::reload::Reloader;
use weir::time::UnixTime;

use super::harness::*;

const FIRST: &str = "00101234000001";
const SECOND: &str = "00101234000002";

/// A list in which one of the two devices is white and the other black.
fn list(first_is_white: bool) -> String {
    let (white, black) = if first_is_white {
        (FIRST, SECOND)
    } else {
        (SECOND, FIRST)
    };
    format!("imei,status\n{white},whitelisted\n{black},blacklisted\n")
}

/// A configuration with one list, in `dir`.
fn write_config(dir: &Path) -> Config {
    let path = dir.join("weir.toml");
    let text = "[[list]]\nname = \"swap\"\nstatus = \"blacklisted\"\npath = \"swap.csv\"\n";
    fs::create_dir(dir.join("lists")).unwrap();
    fs::write(&path, text).unwrap();
    fs::write(dir.join("lists/swap.csv"), list(true)).unwrap();
    let mut config = Config::load(&path).unwrap();
    config.diameter.listen = vec!["tcp://127.0.0.1:0".parse().unwrap()];
    config
}

fn reloader(dir: &Path, register: &Arc<Register>, counters: &Arc<Counters>) -> Reloader {
    let path = dir.join("weir.toml");
    let config = Config::load(&path).unwrap();
    Reloader::new(
        Some(path),
        config,
        Arc::clone(register),
        Arc::clone(counters),
    )
}

/// The end of a rule comes at its second, under load and without a reload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_ends_at_its_second() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    // In effect up to and with this second.
    let last = Clock::start().now().unix.0 + 2;
    let until = UnixTime(last);
    let rule = format!("imei,status,until\n{FIRST},blacklisted,{until}\n{SECOND},whitelisted,\n");
    fs::write(dir.path().join("lists/swap.csv"), rule).unwrap();
    let server = TestServer::start(|default| *default = config).await;
    let mut client = server.open("mme.localdomain").await;
    let (mut before, mut after) = (0u64, 0u64);
    while after < 1000 {
        let asked = Clock::start().now().unix.0;
        let status = client.check(FIRST).await;
        let answered = Clock::start().now().unix.0;
        match status {
            Some(1) => {
                assert!(asked <= last, "blacklisted after its last second");
                assert_eq!(after, 0, "blacklisted again");
                before += 1;
            }
            None => {
                assert!(answered > last, "unlisted within its last second");
                after += 1;
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(client.check(SECOND).await, Some(0));
    }
    assert!(before > 100, "{before} answers before the end");
    assert_eq!(server.counters.total().reloads, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_a_constant_stream() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let server = TestServer::start(|default| *default = config).await;
    let stop = Arc::new(AtomicBool::new(false));
    let streams: Vec<_> = (0..2)
        .map(|number| {
            let address = server.address;
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut client = TestClient::connect(address).await;
                client.send(&cer(&format!("mme{number}"), 0)).await;
                assert_eq!(result_code(&client.receive().await.unwrap()), Some(2001));
                let mut seen = [0u64; 2];
                let mut identifier = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Windows of requests about both devices, so that reloads
                    // happen between, before and behind requests in flight.
                    let mut window = bytes::BytesMut::new();
                    for offset in 0..32 {
                        let imei = if offset % 2 == 0 { FIRST } else { SECOND };
                        window.extend_from_slice(&ecr(identifier + offset, imei));
                    }
                    client.send(&window).await;
                    for offset in 0..32 {
                        let answer = client.receive().await.expect("no request is lost");
                        assert_eq!(hop_by_hop(&answer), identifier + offset);
                        match status(&answer) {
                            Some(status @ (0 | 1)) => seen[status as usize] += 1,
                            other => panic!("{other:?} is in neither list"),
                        }
                    }
                    identifier += 32;
                }
                (seen, u64::from(identifier))
            })
        })
        .collect();

    let mut reloader = reloader(dir.path(), &server.register, &server.counters);
    let path = dir.path().join("lists/swap.csv");
    let mut other = server.open("other.localdomain").await;
    for round in 0..100 {
        let first_is_white = round % 2 == 1;
        fs::write(&path, list(first_is_white)).unwrap();
        reloader = tokio::task::spawn_blocking(move || {
            reloader.reload().unwrap();
            reloader
        })
        .await
        .unwrap();
        // What was published before the question is what answers it.
        let want = if first_is_white { 0 } else { 1 };
        assert_eq!(other.check(FIRST).await, Some(want), "round {round}");
        if round % 10 == 5 {
            fs::write(&path, "imei,status\n123,blacklisted\n").unwrap();
            let error = reloader.reload().unwrap_err().to_string();
            assert!(error.contains("swap.csv:2"), "{error}");
            assert_eq!(
                other.check(FIRST).await,
                Some(want),
                "a broken list changes nothing"
            );
        }
    }
    stop.store(true, Ordering::Relaxed);
    for stream in streams {
        let (seen, sent) = stream.await.unwrap();
        assert_eq!(seen[0] + seen[1], sent, "each request once");
        assert_eq!(seen[0], seen[1], "one of the two is white in either list");
    }
    let total = server.counters.total();
    assert_eq!((total.reloads, total.refused_reloads), (100, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_swapped_is_followed_and_never_empties_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    // A pattern, as a list may have no file yet.
    let text = "[[list]]\nname = \"swap\"\nstatus = \"blacklisted\"\npath = \"*.csv\"\n";
    fs::write(dir.path().join("weir.toml"), text).unwrap();
    let server = TestServer::start(|default| *default = config).await;
    let handle = reloader(dir.path(), &server.register, &server.counters)
        .spawn()
        .unwrap();
    let mut client = server.open("mme.localdomain").await;
    assert_eq!(client.check(FIRST).await, Some(0));

    let lists = dir.path().join("lists");
    // The first reload says that the files are watched.
    handle.reload();
    eventually("a reload", || server.counters.total().reloads == 1).await;
    fs::rename(&lists, dir.path().join("old")).unwrap();
    eventually("a refused reload", || {
        server.counters.total().refused_reloads == 1
    })
    .await;
    assert_eq!(client.check(FIRST).await, Some(0), "the old list stays");

    let new = dir.path().join("new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("swap.csv"), list(false)).unwrap();
    fs::rename(&new, &lists).unwrap();
    eventually("the new directory", || server.counters.total().reloads == 2).await;
    assert_eq!(client.check(FIRST).await, Some(1));

    fs::write(lists.join("swap.csv"), list(true)).unwrap();
    eventually("a file of it", || server.counters.total().reloads == 3).await;
    assert_eq!(client.check(FIRST).await, Some(0));
}
