//! Paths that fail under an association with two of them.
//!
//! Needs the network of `tools/sctp-vm`: two pairs of virtual interfaces, whose
//! far ends are in the network namespace `peer`. The client runs there, as a
//! process of its own: this test binary again.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use weir::net::Clock;
use weir::net::sctp::SctpOptions;

use crate::harness::{KNOWN, TestServer};
use crate::need_sctp;
use crate::peer::{Peer, until};
use crate::support::{Read, Request};

/// Near and far addresses of the two paths.
const NEAR: [&str; 2] = ["10.99.1.1", "10.99.2.1"];
const FAR: [&str; 2] = ["10.99.1.2", "10.99.2.2"];

/// Requests before and after the first path is cut, and after it is back.
const REQUESTS: usize = 60;

/// Held while the paths are in use.
static PATHS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Where the client finds the server's port.
const PORT: &str = "WEIR_TEST_PORT";
/// The port that the client uses itself.
const OWN_PORT: &str = "WEIR_TEST_OWN_PORT";

/// Whether this machine has the two paths.
fn has_paths() -> bool {
    let found = Command::new("ip")
        .args(["-n", "peer", "link", "show", "pathb"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        crate::skipped("there are no two paths to cut");
    }
    found
}

fn ip(args: &[&str]) {
    let status = Command::new("ip").args(args).status().unwrap();
    assert!(status.success(), "ip {args:?}");
}

/// Runs one of the clients below at the far ends.
fn far_client(test: &str, server: &TestServer) -> Child {
    Command::new("ip")
        .args(["netns", "exec", "peer"])
        .arg(std::env::current_exe().unwrap())
        .args([
            test,
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(PORT, server.address.port().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a client says, line by line.
fn lines(client: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(client.stdout.take().unwrap()).lines();
    lines.map(|line| line.unwrap())
}

/// Both paths to the server.
fn remote() -> Vec<SocketAddr> {
    let port: u16 = std::env::var(PORT).unwrap().parse().unwrap();
    NEAR.map(|host| SocketAddr::new(host.parse().unwrap(), port))
        .to_vec()
}

/// Both far ends.
fn local() -> Vec<SocketAddr> {
    let port = std::env::var(OWN_PORT).map_or(0, |port| port.parse().unwrap());
    FAR.map(|host| SocketAddr::new(host.parse().unwrap(), port))
        .to_vec()
}

/// Timeouts for paths that are as short as these.
fn quick() -> SctpOptions {
    SctpOptions {
        streams_out: Some(30),
        rto_initial: Some(Duration::from_millis(200)),
        rto_min: Some(Duration::from_millis(100)),
        rto_max: Some(Duration::from_millis(400)),
        heartbeat: Some(Duration::from_millis(200)),
        path_max_retrans: Some(2),
        ..SctpOptions::default()
    }
}

async fn start(heartbeat: Duration) -> TestServer {
    TestServer::start(|config| {
        let listen = format!("sctp://{},{}:0", NEAR[0], NEAR[1]);
        config.diameter.listen = vec![listen.parse().unwrap()];
        config.diameter.sctp.rto_initial = Duration::from_millis(200);
        config.diameter.sctp.rto_min = Duration::from_millis(100);
        config.diameter.sctp.rto_max = Duration::from_millis(400);
        config.diameter.sctp.heartbeat = heartbeat;
        config.diameter.sctp.path_max_retrans = 2;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_association_survives_the_loss_of_its_first_path() {
    need_sctp!();
    let _alone = PATHS.lock().await;
    if !has_paths() {
        return;
    }
    let server = start(Duration::from_millis(200)).await;
    let mut client = far_client("paths::client_that_asks_all_the_time", &server);
    let told = lines(&mut client);
    let counters = server.counters.clone();
    let cutting = tokio::task::spawn_blocking(move || {
        let mut answered = 0;
        for line in told {
            if !line.ends_with("answered") {
                println!("{line}");
                continue;
            }
            answered += 1;
            match answered {
                REQUESTS => ip(&["link", "set", "patha", "down"]),
                n if n == 2 * REQUESTS => ip(&["link", "set", "patha", "up"]),
                _ => {}
            }
        }
        answered
    });
    let answered = cutting.await.unwrap();
    assert!(client.wait().unwrap().success());
    assert_eq!(answered, 3 * REQUESTS);
    let total = counters.total();
    assert_eq!(total.whitelisted, 3 * REQUESTS as u64);
    assert!(total.paths_down >= 1, "{total}");
    assert_eq!((total.accepted, total.broken, total.undelivered), (1, 0, 0));
}

/// The client of the test above.
#[tokio::test]
#[ignore = "runs at the far ends of the paths"]
async fn client_that_asks_all_the_time() {
    let mut peer = Peer::connect_with(&local(), &remote(), &quick())
        .await
        .unwrap();
    peer.ask(&Request::cer().bytes()).await;
    let (clock, mut longest) = (Clock::start(), Duration::ZERO);
    for number in 0..3 * REQUESTS {
        let asked = clock.now().uptime;
        let identifier = u32::try_from(number).unwrap();
        let request = Request::ecr(KNOWN[0].0).numbered(identifier, !identifier);
        let stream = u16::try_from(number % 30).unwrap();
        peer.send_on(&request.bytes(), stream, 46).await;
        let answer = peer.receive().await.unwrap().expect("an answer").octets;
        assert_eq!(
            answer[12..16],
            identifier.to_be_bytes(),
            "no other, none lost"
        );
        assert_eq!(Read::strictly(&answer).unwrap().equipment_status(), Some(0));
        longest = longest.max(clock.now().uptime.since(asked));
        println!("answered");
        // As a network does that is not too busy; so that heartbeats matter.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("the longest answer took {} ms", longest.as_millis());
    drop(peer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_restarts_in_place_is_served_again() {
    need_sctp!();
    let _alone = PATHS.lock().await;
    if !has_paths() {
        return;
    }
    // A heartbeat that finds the far end without its association would be
    // answered with an ABORT.
    let server = start(Duration::from_secs(3600)).await;
    // It ends with an ABORT that does not get through, and is not repeated.
    let mut client = far_client("paths::client_that_vanishes", &server);
    // The harness of tests begins the line.
    let mut told = lines(&mut client);
    let own_port = told.find_map(|line| {
        let (_, port) = line.split_once("open ")?;
        Some(port.to_owned())
    });
    let own_port = own_port.unwrap();
    // So is a path probed that has never been confirmed.
    let counters = server.counters.clone();
    until("the second path is there", || {
        counters.total().paths_up == 1
    })
    .await;
    // Cut at the far end, where no route is left: cut at the near end alone,
    // the ABORT would wait for an answer to ARP.
    for path in ["patha", "pathb"] {
        ip(&["-n", "peer", "link", "set", path, "down"]);
    }
    drop(client.stdin.take());
    assert!(client.wait().unwrap().success());
    for path in ["patha", "pathb"] {
        ip(&["-n", "peer", "link", "set", path, "up"]);
    }
    let status = Command::new("ip")
        .args(["netns", "exec", "peer"])
        .arg(std::env::current_exe().unwrap())
        .args(["paths::client_that_is_back", "--exact", "--ignored"])
        .env(PORT, server.address.port().to_string())
        .env(OWN_PORT, own_port)
        .status()
        .unwrap();
    assert!(status.success());
    let total = server.counters.total();
    assert_eq!(total.restarted_associations, 1, "{total}");
    assert_eq!((total.accepted, total.whitelisted), (1, 2), "{total}");
    until("it is over", || server.counters.connections() == 0).await;
}

/// The client that is cut off while it is open.
#[tokio::test]
#[ignore = "runs at the far ends of the paths"]
async fn client_that_vanishes() {
    let mut peer = Peer::connect_with(&local(), &remote(), &quick())
        .await
        .unwrap();
    peer.ask(&Request::cer().bytes()).await;
    peer.ask(&Request::ecr(KNOWN[0].0).bytes()).await;
    println!("open {}", peer.socket.local_addresses().unwrap()[0].port());
    let cut = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    cut.await.unwrap().unwrap();
    peer.socket.abort();
}

/// The client that comes from the same addresses and port.
#[tokio::test]
#[ignore = "runs at the far ends of the paths"]
async fn client_that_is_back() {
    let mut peer = Peer::connect_with(&local(), &remote(), &quick())
        .await
        .unwrap();
    let cea = peer.ask(&Request::cer().bytes()).await;
    assert_eq!(Read::strictly(&cea).unwrap().result_code(), Some(2001));
    peer.ask(&Request::ecr(KNOWN[0].0).bytes()).await;
}
