//! Peers that the server calls: opening, refusals, reconnects, elections,
//! changes while it runs.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use weir::config::{Config, Connect};
use weir::net::Direction;

use super::harness::*;

/// The least Tc.
const RETRY: Duration = Duration::from_secs(1);

/// An agent that waits to be called.
struct Agent {
    listener: TcpListener,
    name: &'static str,
}

impl Agent {
    async fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, name }
    }

    /// The configuration that has it called.
    fn connect(&self) -> Connect {
        let address = format!("tcp://{}", self.listener.local_addr().unwrap());
        Connect {
            address: address.parse().unwrap(),
            origin_host: self.name.to_owned(),
            origin_realm: None,
            retry: RETRY,
        }
    }

    /// Waits for a call; returns it with its CER.
    async fn called(&self) -> (TestClient, bytes::Bytes) {
        let (stream, _) = timeout(PATIENCE, self.listener.accept())
            .await
            .expect("a call")
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = TestClient::over(stream);
        let cer = client.receive().await.expect("a CER");
        assert_eq!((command(&cer), is_request(&cer)), (257, true));
        (client, cer)
    }

    /// The same, answered, so that the connection is open.
    async fn opened(&self) -> TestClient {
        let (mut client, request) = self.called().await;
        client.send(&cea(self.name, &request, 2001)).await;
        client
    }
}

/// A server that calls these agents.
async fn server(agents: &[&Agent]) -> TestServer {
    let connect: Vec<_> = agents.iter().map(|agent| agent.connect()).collect();
    TestServer::start(|config| config.diameter.connect = connect).await
}

/// How the only call stands.
fn state(server: &TestServer) -> (&'static str, Option<String>) {
    let table = server.peers.table();
    match &table.calls[..] {
        [] => ("not begun", None),
        [call] => (call.state, call.last.clone()),
        _ => panic!("{table}"),
    }
}

/// Waits until the only call waits; in how many seconds it is made again, and
/// what became of the last attempt.
async fn waiting(server: &TestServer) -> (u64, String) {
    let mut found = None;
    eventually("it waits", || {
        let calls = server.peers.table().calls;
        found = calls
            .into_iter()
            .find_map(|call| Some((call.retry_seconds?, call.last?)));
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test]
async fn an_agent_is_called_and_served() {
    let agent = Agent::new("dra.localdomain").await;
    let server = server(&[&agent]).await;
    let mut client = agent.opened().await;
    assert_eq!(client.check("001012340000010").await, Some(1));
    assert_eq!(server.counters.total().calls, 1);
    assert_eq!(state(&server), ("connected", None));
    let table = server.peers.table();
    let row = &table.peers[0].connections[0];
    assert_eq!(row.direction, Direction::Out);
    assert_eq!(row.remote, agent.listener.local_addr().unwrap());

    // The orderly stop.
    let running = server.stop();
    let dpr = client.receive().await.expect("a DPR");
    assert_eq!(disconnect_cause(&dpr), Some(0));
    client.send(&plain_answer(&dpr)).await;
    assert!(client.receive().await.is_none());
    timeout(PATIENCE, running).await.expect("stopped").unwrap();
}

#[tokio::test]
async fn an_agent_that_is_lost_is_called_again_after_tc() {
    let agent = Agent::new("dra.localdomain").await;
    let server = server(&[&agent]).await;
    for round in 1..=3 {
        let mut client = agent.opened().await;
        assert_eq!(client.check("490154203237518").await, Some(0));
        drop(client);
        let lost = Instant::now();
        let (mut client, request) = agent.called().await;
        let waited = lost.elapsed();
        assert!(waited >= RETRY * 8 / 10, "Tc, less a tenth: {waited:?}");
        // A refusal is no different.
        client.send(&cea(agent.name, &request, 5012)).await;
        assert!(client.receive().await.is_none());
        let (_, last) = waiting(&server).await;
        assert!(last.contains("DIAMETER_UNABLE_TO_COMPLY (5012)"), "{last}");
        eventually("counted", || {
            server.counters.total().failed_calls == 2 * round
        })
        .await;
    }
}

#[tokio::test]
async fn a_peer_that_does_not_want_is_left_alone() {
    for (cause, seconds) in [(0, 1..=1), (1, 8..=11), (2, 180..=220)] {
        let agent = Agent::new("dra.localdomain").await;
        let server = server(&[&agent]).await;
        let mut client = agent.opened().await;
        let mut dpr = cer("dra.localdomain", 0)[..20].to_vec();
        dpr[7] = 26;
        dpr[6] = 1;
        dpr.extend_from_slice(b"\0\0\x01\x08\x40\0\0\x0bdra\0");
        dpr.extend_from_slice(b"\0\0\x01\x28\x40\0\0\x0blte\0");
        dpr.extend_from_slice(&[0, 0, 1, 17, 0x40, 0, 0, 12, 0, 0, 0, cause]);
        dpr[3] = u8::try_from(dpr.len()).unwrap();
        dpr[2] = 0;
        client.send(&dpr).await;
        assert_eq!(
            result_code(&client.receive().await.expect("a DPA")),
            Some(2001)
        );
        drop(client);
        let (left, _) = waiting(&server).await;
        assert!(
            left + 1 >= *seconds.start() && left <= *seconds.end(),
            "{cause}: {left}"
        );
    }
}

#[tokio::test]
async fn nobody_is_let_in_under_another_name() {
    let agent = Agent::new("dra.localdomain").await;
    let server = server(&[&agent]).await;
    let (mut client, request) = agent.called().await;
    client.send(&cea("other.localdomain", &request, 2001)).await;
    assert!(client.receive().await.is_none());
    let (_, last) = waiting(&server).await;
    assert!(last.contains("other.localdomain"), "{last}");
    assert_eq!(server.counters.peers(), 0);
    assert_eq!(server.counters.total().calls, 0);
}

#[tokio::test]
async fn what_cannot_be_reached_is_tried_again() {
    // A port on which nobody listens yet.
    let agent = Agent::new("dra.localdomain").await;
    let connect = agent.connect();
    let address = agent.listener.local_addr().unwrap();
    drop(agent);
    let server = TestServer::start(|config| config.diameter.connect = vec![connect]).await;
    let (_, last) = waiting(&server).await;
    assert!(last.contains(&address.to_string()), "{last}");
    let listener = TcpListener::bind(address).await.unwrap();
    let agent = Agent {
        listener,
        name: "dra.localdomain",
    };
    let mut client = agent.opened().await;
    assert_eq!(client.check("490154203237518").await, Some(0));
}

#[tokio::test]
async fn calls_come_and_go_while_the_server_runs() {
    let (first, second) = (Agent::new("dra1.x").await, Agent::new("dra2.x").await);
    let server = server(&[&first]).await;
    let mut client = first.opened().await;
    assert_eq!(client.check("490154203237518").await, Some(0));
    let apply = |connect: Vec<Connect>| {
        let mut config = Config::default();
        config.diameter.connect = connect;
        server.peers.apply(&config.diameter);
    };
    apply(vec![first.connect(), second.connect()]);
    let mut other = second.opened().await;
    assert_eq!(other.check("490154203237518").await, Some(0));
    // Another Tc is no other peer.
    let slower = Connect {
        retry: RETRY * 60,
        ..second.connect()
    };
    apply(vec![slower.clone()]);
    let dpr = client.receive().await.expect("a DPR");
    assert_eq!(disconnect_cause(&dpr), Some(2));
    client.send(&plain_answer(&dpr)).await;
    assert!(client.receive().await.is_none());
    assert_eq!(other.check("001012340000010").await, Some(1));
    assert_eq!(server.peers.table().calls.len(), 1);
    drop(other);
    let (left, _) = waiting(&server).await;
    assert!(left > 40, "the new Tc counts: {left}");
    // An attempt that waits is given up as well.
    apply(Vec::new());
    eventually("none", || server.peers.table().calls.is_empty()).await;
}

/// A peer that has called us need not be called; when it is gone, it is.
#[tokio::test]
async fn who_has_called_is_not_called() {
    let agent = Agent::new("dra.localdomain").await;
    let server = TestServer::start(|_| {}).await;
    let mut client = server.open("DRA.localdomain").await;
    let mut config = Config::default();
    config.diameter.connect = vec![agent.connect()];
    server.peers.apply(&config.diameter);
    eventually("it was called", || state(&server).0 == "called by the peer").await;
    assert_eq!(client.check("490154203237518").await, Some(0));
    drop(client);
    let mut client = agent.opened().await;
    assert_eq!(client.check("490154203237518").await, Some(0));
}

/// RFC 6733 section 5.6.4: the server is "eir.…".
#[tokio::test]
async fn elections_keep_one_connection() {
    // The greater name keeps what it has accepted.
    let agent = Agent::new("dra.localdomain").await;
    let eir = server(&[&agent]).await;
    let (mut call, request) = agent.called().await;
    let mut own = eir.connect().await;
    own.send(&cer("DRA.localdomain", 0)).await;
    assert_eq!(
        result_code(&own.receive().await.expect("a CEA")),
        Some(2001)
    );
    // The CEA comes too late.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut call.stream, &cea(agent.name, &request, 2001))
        .await;
    assert!(call.receive().await.is_none());
    assert_eq!(own.check("490154203237518").await, Some(0));
    eventually("it was called", || state(&eir).0 == "called by the peer").await;
    assert_eq!(eir.counters.peers(), 1);
    assert_eq!(eir.counters.total().failed_calls, 0, "that is no failure");

    // The lesser one is refused, and its own call goes on.
    let agent = Agent::new("mme.localdomain").await;
    let eir = server(&[&agent]).await;
    let (mut call, request) = agent.called().await;
    let mut own = eir.connect().await;
    own.send(&cer("mme.localdomain", 0)).await;
    let answer = own.receive().await.expect("a CEA");
    assert_eq!(result_code(&answer), Some(4003));
    assert_eq!(answer[4] & 0x20, 0, "no protocol error");
    assert!(own.receive().await.is_none());
    call.send(&cea(agent.name, &request, 2001)).await;
    assert_eq!(call.check("490154203237518").await, Some(0));
    assert_eq!(eir.counters.peers(), 1);
}

/// Two servers that call each other, many times: there is always one
/// connection in the end, and both know of the same one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_call_each_other_agree() {
    let named = |name: &'static str| {
        move |config: &mut Config| config.diameter.origin_host = name.to_owned()
    };
    let one = TestServer::start(named("one.x")).await;
    let two = TestServer::start(named("two.x")).await;
    let connect = |server: &TestServer, name: &str| Connect {
        address: format!("tcp://{}", server.address).parse().unwrap(),
        origin_host: name.to_owned(),
        origin_realm: None,
        retry: RETRY,
    };
    let apply = |server: &TestServer, connect: Option<Connect>| {
        let mut config = Config::default();
        config.diameter.connect = connect.into_iter().collect();
        server.peers.apply(&config.diameter);
    };
    let links = |server: &TestServer| {
        let peers = server.peers.table().peers;
        let links = peers.into_iter().flat_map(|peer| peer.connections);
        let ends = links.map(|link| (link.state.to_string(), link.local[0], link.remote));
        ends.collect::<Vec<_>>()
    };
    for round in 0..20 {
        apply(&one, Some(connect(&two, "two.x")));
        apply(&two, Some(connect(&one, "one.x")));
        eventually(&format!("round {round}: one connection"), || {
            let (at_one, at_two) = (links(&one), links(&two));
            let ([a], [b]) = (&at_one[..], &at_two[..]) else {
                return false;
            };
            (&a.0[..], &b.0[..]) == ("open", "open") && (a.1, a.2) == (b.2, b.1)
        })
        .await;
        apply(&one, None);
        apply(&two, None);
        // Unknown peers are welcome, so an accepted connection stays until the
        // side that has called hangs up.
        eventually("none", || links(&one).is_empty() && links(&two).is_empty()).await;
    }
}
