//! Who may be a peer, with how many connections, and the table of peers.

use std::time::Duration;

use weir::config::Config;
use weir::net::{Direction, LinkState};

use super::harness::*;

/// A peer of the configuration.
fn known(origin_host: &str) -> weir::config::Peer {
    weir::config::Peer {
        origin_host: origin_host.to_owned(),
        ..weir::config::Peer::default()
    }
}

/// The Result-Code that a CER of this name is answered with; `None` if the
/// connection is closed instead.
async fn refused(server: &TestServer, name: &str) -> Option<u32> {
    let mut client = server.connect().await;
    // Fails if the server has closed the connection already.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, &cer(name, 0)).await;
    let cea = client.receive().await?;
    let code = result_code(&cea);
    if code != Some(2001) {
        assert!(client.receive().await.is_none(), "refused, and then closed");
    }
    code
}

#[tokio::test]
async fn names_are_judged_by_the_cer() {
    let server = TestServer::start(|config| {
        let diameter = &mut config.diameter;
        diameter.allow.origin_host = vec!["*.example".to_owned()];
        diameter.deny.origin_host = vec!["bad.example".to_owned(), "*.deny.example".to_owned()];
        let mut elsewhere = known("elsewhere.example");
        elsewhere.network = vec!["192.0.2.0/24".parse().unwrap()];
        let mut realm = known("realm.example");
        realm.origin_realm = Some("other".to_owned());
        diameter.peers = vec![known("known.other"), elsewhere, realm];
    })
    .await;
    for (name, want) in [
        ("mme.example", 2001),
        ("MME2.Example", 2001),
        ("known.other", 2001),
        ("unknown.other", 3010),
        ("BAD.example", 3010),
        ("a.deny.example", 3010),
        // Somebody else's name, from an address that is not of its networks.
        ("elsewhere.example", 3010),
        ("realm.example", 3010),
    ] {
        assert_eq!(refused(&server, name).await, Some(want), "{name}");
    }
    eventually("all counted", || server.counters.total().refused == 5).await;
    assert_eq!(server.counters.total().unknown_peers, 5);
}

#[tokio::test]
async fn networks_are_judged_before_a_byte_is_read() {
    type Change = fn(&mut Config);
    let changes: [(Change, bool); 4] = [
        (
            |config| config.diameter.deny.network = vec!["127.0.0.0/8".parse().unwrap()],
            false,
        ),
        (
            |config| config.diameter.allow.network = vec!["192.0.2.0/24".parse().unwrap()],
            false,
        ),
        (
            |config| config.diameter.allow.network = vec!["127.0.0.1".parse().unwrap()],
            true,
        ),
        (
            |config| config.diameter.deny.network = vec!["::/0".parse().unwrap()],
            true,
        ),
    ];
    for (change, admitted) in changes {
        let server = TestServer::start(change).await;
        let answer = refused(&server, "mme.localdomain").await;
        assert_eq!(answer, admitted.then_some(2001));
        let total = server.counters.total();
        assert_eq!(
            (total.accepted, total.denied),
            (admitted.into(), (!admitted).into())
        );
    }
}

/// What a reload does, without the files.
fn apply(server: &TestServer, change: impl FnOnce(&mut Config)) {
    let mut config = Config::default();
    change(&mut config);
    server.peers.apply(&config.diameter);
}

#[tokio::test]
async fn who_is_no_longer_admitted_is_disconnected_in_order() {
    let server = TestServer::start(|_| {}).await;
    let mut wanted = server.open("mme.localdomain").await;
    let mut unwanted = server.open("bad.localdomain").await;
    let mut silent = server.connect().await;
    eventually("accepted", || server.counters.connections() == 3).await;

    apply(&server, |config| {
        config.diameter.deny.origin_host = vec!["bad.localdomain".to_owned()];
    });
    let dpr = unwanted.receive().await.expect("a DPR");
    assert_eq!((command(&dpr), is_request(&dpr)), (282, true));
    assert_eq!(disconnect_cause(&dpr), Some(2));
    // What it had asked before it saw the DPR is answered.
    assert_eq!(unwanted.check("001012340000010").await, Some(1));
    unwanted.send(&plain_answer(&dpr)).await;
    assert!(unwanted.receive().await.is_none());
    assert_eq!(refused(&server, "bad.localdomain").await, Some(3010));

    // The others have seen nothing of it.
    assert_eq!(wanted.check("001012340000010").await, Some(1));
    apply(&server, |config| {
        config.diameter.unknown_peers = false;
        config.diameter.peers = vec![known("MME.localdomain")];
    });
    assert_eq!(wanted.check("490154203237518").await, Some(0));
    silent.send(&cer("other.localdomain", 0)).await;
    let cea = silent.receive().await.expect("a CEA");
    assert_eq!(result_code(&cea), Some(3010));

    // A network that is denied: also who has said nothing yet.
    let mut silent = server.connect().await;
    eventually("accepted", || server.counters.total().accepted == 5).await;
    apply(&server, |config| {
        config.diameter.deny.network = vec!["127.0.0.0/8".parse().unwrap()];
    });
    assert!(silent.receive().await.is_none());
    let dpr = wanted.receive().await.expect("a DPR");
    assert_eq!(disconnect_cause(&dpr), Some(2));
}

/// As many as configured, and at the limit the silent one makes room.
#[tokio::test]
async fn a_peer_may_have_several_connections() {
    let server = TestServer::start(|config| {
        config.diameter.connections_per_peer = 2;
        let mut single = known("single.localdomain");
        single.connections = Some(1);
        config.diameter.peers = vec![single];
    })
    .await;
    let mut first = server.open("DRA.localdomain").await;
    let mut second = server.open("dra.localdomain").await;
    assert_eq!(first.check("001012340000010").await, Some(1));
    assert_eq!(second.check("490154203237518").await, Some(0));

    // Both live: the third is refused.
    let third = server.connect();
    let (mut third, _) = tokio::join!(third, async {});
    third.send(&cer("dra.localdomain", 99)).await;
    for living in [&mut first, &mut second] {
        let dwr = living.receive().await.expect("a DWR");
        assert_eq!(command(&dwr), 280);
        living.send(&plain_answer(&dwr)).await;
    }
    assert_eq!(
        result_code(&third.receive().await.expect("a CEA")),
        Some(5012)
    );

    // One is silent: it goes, within seconds.
    let started = tokio::time::Instant::now();
    let mut fourth = server.connect().await;
    fourth.send(&cer("dra.localdomain", 0)).await;
    let dwr = first.receive().await.expect("a DWR");
    first.send(&plain_answer(&dwr)).await;
    assert_eq!(
        result_code(&fourth.receive().await.expect("a CEA")),
        Some(2001)
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(command(&second.receive().await.expect("the DWR")), 280);
    assert!(second.receive().await.is_none(), "the silent one is closed");
    assert_eq!(first.check("001012340000010").await, Some(1));
    assert_eq!(fourth.check("001012340000010").await, Some(1));

    // The limit of the one peer.
    let mut single = server.open("single.localdomain").await;
    let mut another = server.connect().await;
    another.send(&cer("single.localdomain", 0)).await;
    let dwr = single.receive().await.expect("a DWR");
    single.send(&plain_answer(&dwr)).await;
    assert_eq!(
        result_code(&another.receive().await.expect("a CEA")),
        Some(5012)
    );
}

#[tokio::test]
async fn the_table_shows_who_is_there() {
    let server = TestServer::start(|config| {
        config.diameter.peers = vec![known("absent.localdomain")];
        config.diameter.connections_per_peer = 2;
    })
    .await;
    let mut client = server.open("MME.localdomain").await;
    let _second = server.open("mme.localdomain").await;
    for _ in 0..3 {
        client.check("490154203237518").await;
    }
    let table = server.peers.table();
    let names: Vec<_> = table
        .peers
        .iter()
        .map(|peer| peer.origin_host.as_str())
        .collect();
    assert_eq!(names, ["absent.localdomain", "MME.localdomain"]);
    assert!(table.peers[0].connections.is_empty());
    let [first, second] = &table.peers[1].connections[..] else {
        panic!("{table}")
    };
    assert_eq!(table.peers[1].origin_realm, "localdomain");
    assert_eq!(
        (first.state, first.transport, first.direction),
        (LinkState::Open, "tcp", Direction::In)
    );
    assert_eq!(first.local, [server.address]);
    assert_eq!(first.remote, client.stream.local_addr().unwrap());
    // The CER and three checks.
    assert_eq!((first.requests, first.answers), (4, 4));
    assert_eq!((second.requests, second.answers), (1, 1));
    let text = table.to_string();
    assert!(
        text.contains("absent.localdomain") && text.contains(" down"),
        "{text}"
    );

    let json = serde_json::to_value(&table).unwrap();
    let row = &json["peers"][1]["connections"][0];
    assert_eq!(
        (&row["state"], &row["direction"]),
        (&"open".into(), &"in".into())
    );
    drop(client);
    eventually("one is gone", || {
        server.peers.table().peers[1].connections.len() == 1
    })
    .await;
}

/// Several clients behind one connection: the policy is that of the request's
/// Origin-Host, not of the peer's.
#[tokio::test]
async fn policies_look_at_the_client_behind_a_relay() {
    let server = TestServer::start(|config| {
        let text = "[[policy]]\nname = \"a\"\nmatch = { origin_host = \"mme-a.localdomain\" }\n\
            unlisted = \"blacklisted\"\n\
            [[policy]]\nname = \"b\"\nmatch = { origin_host = \"*.roaming\" }\n\
            unlisted = \"greylisted\"\n";
        let parsed = Config::parse(text, std::path::Path::new("weir.toml")).unwrap();
        config.policies = parsed.policies;
    })
    .await;
    let mut relay = server.open("dra.localdomain").await;
    let unlisted = "35349006987331";
    let clients = [
        ("mme-a.localdomain", Some(1)),
        ("sgsn.roaming", Some(2)),
        ("mme-c.localdomain", None),
        ("dra.localdomain", None),
    ];
    let mut all = bytes::BytesMut::new();
    for (number, (name, _)) in (0..).zip(clients.iter().cycle().take(40)) {
        all.extend_from_slice(&ecr_of(name, number, unlisted));
    }
    relay.send(&all).await;
    for (number, (name, want)) in (0..).zip(clients.iter().cycle().take(40)) {
        let answer = relay.receive().await.expect("an answer");
        assert_eq!(hop_by_hop(&answer), number);
        assert_eq!(status(&answer), *want, "{name}");
    }
    let table = server.peers.table();
    assert_eq!(table.peers.len(), 1, "one peer, whoever is behind it");
    assert_eq!(table.peers[0].connections[0].requests, 41);
}
