//! The commands over SCTP, as processes of their own, and calls to peers.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use weir::config::{Config, Connect};

use crate::harness::{KNOWN, TestServer};
use crate::need_sctp;
use crate::peer::until;

/// Runs a command of Weir, without holding up the servers of this process.
async fn weir(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(args);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    run.await.unwrap()
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

async fn start(listen: &str) -> TestServer {
    TestServer::start(|config| config.diameter.listen = vec![listen.parse().unwrap()]).await
}

#[tokio::test]
async fn check_asks_over_sctp() {
    need_sctp!();
    let server = start("sctp://127.0.0.1,127.0.0.2,[::1]:0").await;
    let port = server.address.port();
    for hosts in ["127.0.0.1", "127.0.0.2,127.0.0.1", "[::1]", "localhost"] {
        let peer = format!("{hosts}:{port}");
        let output = weir(&["check", "--sctp", "--peer", &peer, KNOWN[1].0]).await;
        assert!(output.status.success(), "{hosts}: {}", text(&output));
        assert!(text(&output).contains("blacklisted"), "{}", text(&output));
    }
    let peer = format!("127.0.0.1:{port}");
    let series = ["--repeat", "5", "--interval", "0s", "--json", KNOWN[0].0];
    let output = weir(&[&["check", "--sctp", "--peer", &peer][..], &series].concat()).await;
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(server.counters.total().whitelisted, 5);
}

#[tokio::test]
async fn check_says_why_nobody_answers() {
    need_sctp!();
    let server = start("sctp://127.0.0.1:0").await;
    let peer = server.address.to_string();
    server.stop().await.unwrap();
    let output = weir(&["check", "--sctp", "--peer", &peer, KNOWN[0].0]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(
        said.contains("refused") && said.contains("sctp://"),
        "{said}"
    );
}

#[tokio::test]
async fn a_capture_of_sctp_replays_live() {
    need_sctp!();
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let config = captures.join("weir.toml");
    let loaded = Config::load(&config).unwrap();
    let server = TestServer::start(|config| {
        *config = loaded;
        config.diameter.listen = vec!["sctp://127.0.0.1:0".parse().unwrap()];
    })
    .await;
    let capture = captures.join("open5gs-sctp-diameter-3-attaches.pcap");
    let capture = capture.to_str().unwrap();
    let peer = server.address.to_string();
    let live = weir(&["replay", capture, "--json", "--sctp", "--peer", &peer]).await;
    // The exit status is 0 only if no verdict differs.
    assert!(live.status.success(), "{}", text(&live));
    assert_eq!(server.counters.total().whitelisted, 3);
    let local = weir(&["replay", capture, "--json", "-c", config.to_str().unwrap()]).await;
    // The last line is the summary.
    let verdicts = |output: &Output| -> Vec<(String, String)> {
        let rows = String::from_utf8(output.stdout.clone()).unwrap();
        let rows = rows.lines().map(|row| serde_json::from_str(row).unwrap());
        rows.filter(|row: &serde_json::Value| row["request"] == "ECR")
            .map(|row| (row["imei"].to_string(), row["answer"].to_string()))
            .collect()
    };
    assert_eq!(verdicts(&live).len(), 3);
    assert_eq!(verdicts(&live), verdicts(&local));
}

#[tokio::test]
async fn the_default_configuration_serves_sctp_beside_tcp() {
    need_sctp!();
    let config = Config::default();
    let listen: Vec<_> = config
        .diameter
        .listen
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(listen, ["tcp://127.0.0.1:3868", "sctp://127.0.0.1:3868"]);
    let server = TestServer::start(|config| {
        config.diameter.listen = listen.iter().map(|entry| entry.parse().unwrap()).collect();
    })
    .await;
    assert_eq!(server.addresses.len(), 2);
    for more in [&[][..], &["--sctp"]] {
        let output = weir(&[&["check", KNOWN[0].0][..], more].concat()).await;
        assert!(output.status.success(), "{}", text(&output));
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_peer_is_called_over_sctp() {
    need_sctp!();
    let callee = start("sctp://127.0.0.1,127.0.0.2:0").await;
    let hosts = ["127.0.0.1", "127.0.0.2"].map(str::to_owned);
    let mut address: weir::config::Endpoint = "sctp://127.0.0.1".parse().unwrap();
    address.hosts = hosts.to_vec();
    address.port = callee.address.port();
    let caller = TestServer::start(|config| {
        let name = config.diameter.origin_host.clone();
        config.diameter.connect = vec![Connect {
            address,
            origin_host: name,
            origin_realm: None,
            retry: std::time::Duration::from_secs(1),
        }];
        config.diameter.origin_host = "caller.example".to_owned();
        config.diameter.listen = vec!["sctp://127.0.0.3:0".parse().unwrap()];
    })
    .await;
    let (theirs, ours) = (Arc::clone(&callee.counters), Arc::clone(&caller.counters));
    until("both are open", || theirs.peers() == 1 && ours.peers() == 1).await;
    // The callee leaves in order, and is called again when it is back.
    callee.stop().await.unwrap();
    until("it is over", || ours.peers() == 0).await;
    assert_eq!(ours.total().broken, 0);
}

/// What `weir serve` prints, up to what it suggests to try.
fn banner(listen: &[&str]) -> Vec<String> {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_weir"));
    serve
        .arg("serve")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for entry in listen {
        serve.args(["--listen", entry]);
    }
    let mut serve = serve.spawn().unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(serve.stdout.take().unwrap()).lines() {
        told.push(line.unwrap());
        if told.last().is_some_and(|line| line.contains(" explain ")) {
            break;
        }
    }
    serve.kill().unwrap();
    serve.wait().unwrap();
    told.retain(|line| line.contains("sctp") || line.contains(" check "));
    told
}

#[test]
fn the_banner_says_whether_sctp_is_served() {
    let told = banner(&["tcp://127.0.0.1:0", "sctp://127.0.0.1:0"]);
    if !weir::net::sctp::is_available() {
        let expected = "no SCTP in this kernel: not listening on sctp://127.0.0.1:0";
        assert!(told.iter().any(|line| line.trim() == expected), "{told:?}");
        return;
    }
    let listening = |line: &String| line.contains("listening on sctp://127.0.0.1:");
    assert!(told.iter().any(listening), "{told:?}");
    let alone = banner(&["sctp://127.0.0.1,127.0.0.2:0"]);
    let listening = |line: &String| line.contains("listening on sctp://127.0.0.1,127.0.0.2:");
    assert!(alone.iter().any(listening), "{alone:?}");
    let check = alone.iter().find(|line| line.contains(" check ")).unwrap();
    assert!(check.ends_with(" --sctp"), "{check}");
}

#[test]
fn without_sctp_the_rest_is_served() {
    if weir::net::sctp::is_available() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = TestServer::start(|config| {
            let listen = ["sctp://127.0.0.1:0", "tcp://127.0.0.1:0"];
            config.diameter.listen = listen.map(|entry| entry.parse().unwrap()).to_vec();
        })
        .await;
        let addresses: &[SocketAddr] = &server.addresses;
        assert_eq!(addresses.len(), 1);
        let peer = addresses[0].to_string();
        let output = weir(&["check", "--peer", &peer, KNOWN[0].0]).await;
        assert!(output.status.success(), "{}", text(&output));
        for (args, why) in [
            (
                &["check", "--sctp", "--peer", &peer, KNOWN[0].0][..],
                "modprobe sctp",
            ),
            (
                &["serve", "--listen", "sctp://127.0.0.1:0"],
                "cannot listen on sctp://127.0.0.1:0: this machine's kernel has no SCTP",
            ),
        ] {
            let output = weir(args).await;
            assert_eq!(output.status.code(), Some(1), "{args:?}");
            assert!(text(&output).contains(why), "{}", text(&output));
        }
    });
}
