//! The server over SCTP: streams, sizes, ends, and answers that are those of
//! TCP.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use weir::config::Config;
use weir::metrics::Counters;
use weir::net::Server;
use weir::net::sctp::{Parcel, SctpOptions};
use weir::policy::Register;

use crate::harness::{KNOWN, PATIENCE, TestClient, TestServer, command, is_request, plain_answer};
use crate::need_sctp;
use crate::peer::{Peer, until};
use crate::support::bytes::{base, failed, group, number, terminal_of};
use crate::support::{Read, Request, raw_avp};

/// A server on an SCTP port of loopback.
async fn start() -> TestServer {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start(|config| {
        config.diameter.listen = vec!["sctp://127.0.0.1:0".parse().unwrap()];
        change(config);
    })
    .await
}

fn hosts(server: &TestServer, hosts: &[&str]) -> Vec<SocketAddr> {
    hosts
        .iter()
        .map(|host| SocketAddr::new(host.parse().unwrap(), server.address.port()))
        .collect()
}

/// A request whose Proxy-Info makes it, and its answer, larger by `len`.
fn large(len: usize) -> Request {
    let state = base(33, vec![7; len]);
    Request::ecr(KNOWN[0].0).with(base(284, group(&[base(280, "proxy"), state])))
}

//----------- Streams

#[tokio::test]
async fn answers_go_back_on_the_stream_of_the_request() {
    need_sctp!();
    let server = start().await;
    let mut peer = Peer::open(&[server.address]).await;
    assert_eq!(peer.socket.streams_out(), 30);
    let mut sent = BTreeMap::new();
    for stream in 0..30 {
        for ppid in [0, 46] {
            let identifier = u32::from(stream) * 100 + ppid;
            let request = Request::ecr(KNOWN[0].0).numbered(identifier, !identifier);
            peer.send_on(&request.bytes(), stream, ppid).await;
            sent.insert(identifier, stream);
        }
    }
    while !sent.is_empty() {
        let answer = peer.receive().await.unwrap().unwrap();
        let identifier = u32::from_be_bytes(answer.octets[12..16].try_into().unwrap());
        assert_eq!(
            sent.remove(&identifier),
            Some(answer.stream),
            "{identifier}"
        );
        assert_eq!(answer.ppid, 46);
        let read = Read::strictly(&answer.octets).unwrap();
        assert_eq!(read.equipment_status(), Some(0));
    }
    assert_eq!(server.counters.total().whitelisted, 60);
}

#[tokio::test]
async fn a_stream_that_goes_one_way_only_is_answered_on_another() {
    need_sctp!();
    let server = start().await;
    let narrow = SctpOptions {
        streams_out: Some(10),
        streams_in: Some(2),
        ..SctpOptions::default()
    };
    let peer = Peer::connect_with(&[], &[server.address], &narrow).await;
    let mut peer = peer.unwrap();
    peer.ask(&Request::cer().bytes()).await;
    for (stream, expected) in [(1, 1), (9, 0)] {
        peer.send_on(&Request::ecr(KNOWN[0].0).bytes(), stream, 46)
            .await;
        assert_eq!(peer.receive().await.unwrap().unwrap().stream, expected);
    }
}

//----------- Sizes

#[tokio::test]
async fn large_requests_have_large_answers() {
    need_sctp!();
    let server = start().await;
    let mut peer = Peer::open(&[server.address]).await;
    for len in [3_000, 60_000, 65_000] {
        let answer = peer.ask(&large(len).bytes()).await;
        assert!(answer.len() > len);
        let read = Read::strictly(&answer).unwrap();
        assert_eq!(read.equipment_status(), Some(0));
        let proxied = read.only(284).unwrap().members();
        assert_eq!(proxied[1].data, vec![7; len]);
    }
    assert!(peer.parts > 30);
}

#[tokio::test]
async fn what_is_no_message_ends_in_an_abort() {
    need_sctp!();
    let server = start().await;
    let two = [Request::dwr().bytes(), Request::dwr().bytes()].concat();
    let mut short = Request::ecr(KNOWN[0].0).bytes();
    short.truncate(100);
    let broken = [
        ("another version", vec![9; 40]),
        ("two messages in one", two),
        ("a message that was cut", short),
        ("less than a header", vec![1, 0, 0]),
        ("beyond the limit", large(70_000).bytes()),
    ];
    for (count, (what, octets)) in (1..).zip(broken) {
        let mut peer = Peer::open(&[server.address]).await;
        peer.send(&octets).await;
        peer.expect_abort().await;
        until(what, || server.counters.total().broken == count).await;
    }
}

//----------- Ends

#[tokio::test]
async fn a_peer_that_aborts_or_shuts_down_may_come_back_at_once() {
    need_sctp!();
    let server = start().await;
    for round in 0..6 {
        let mut peer = Peer::open(&[server.address]).await;
        peer.ask(&Request::ecr(KNOWN[0].0).bytes()).await;
        match round % 3 {
            0 => peer.socket.abort(),
            1 => drop(peer.socket),
            _ => {
                peer.socket.shutdown().unwrap();
                assert_eq!(peer.receive().await.unwrap(), None);
            }
        }
        until("the server notices", || server.counters.peers() == 0).await;
    }
    assert_eq!(server.counters.total().refused, 0);
    until("all are gone", || server.counters.connections() == 0).await;
}

#[tokio::test]
async fn what_was_asked_before_a_shutdown_is_answered() {
    need_sctp!();
    let server = start().await;
    let mut peer = Peer::open(&[server.address]).await;
    for _ in 0..20 {
        peer.send(&Request::ecr(KNOWN[0].0).bytes()).await;
    }
    peer.send(&Request::dpr(0).bytes()).await;
    for _ in 0..20 {
        let answer = peer.receive().await.unwrap().unwrap();
        assert_eq!(command(&answer.octets), 324);
    }
    let dpa = peer.receive().await.unwrap().unwrap();
    assert_eq!(command(&dpa.octets), 282);
    drop(peer);
    until("the server notices", || server.counters.connections() == 0).await;
}

#[tokio::test]
async fn draining_is_a_dpr_and_then_a_shutdown() {
    need_sctp!();
    let server = start().await;
    let mut peer = Peer::open(&[server.address]).await;
    let stopped = server.stop();
    let dpr = peer.receive().await.unwrap().unwrap();
    assert_eq!((command(&dpr.octets), is_request(&dpr.octets)), (282, true));
    assert_eq!((dpr.stream, dpr.ppid), (0, 46));
    peer.send(&Request::ecr(KNOWN[0].0).bytes()).await;
    let answer = peer.receive().await.unwrap().unwrap();
    assert_eq!(command(&answer.octets), 324, "answered to the last");
    peer.send(&plain_answer(&dpr.octets)).await;
    assert_eq!(peer.receive().await.unwrap(), None, "SHUTDOWN, not ABORT");
    timeout(PATIENCE, stopped).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_aborted() {
    need_sctp!();
    let server = start_with(|config| {
        config.diameter.write_timeout = Duration::from_secs(1);
        config.diameter.output_limit = 64 * 1024;
    })
    .await;
    let peer = Peer::open(&[server.address]).await;
    let request = large(30_000).bytes();
    let flood = async {
        let parcel = Parcel {
            octets: &request,
            stream: 0,
            ppid: 46,
        };
        while poll_fn(|cx| peer.socket.poll_send(cx, &[parcel]))
            .await
            .is_ok()
        {}
    };
    timeout(PATIENCE, flood).await.expect("the server ends it");
    until("it is counted", || server.counters.total().unread == 1).await;
    // Others are served meanwhile and after.
    let mut other = Peer::open(&[server.address]).await;
    other.ask(&Request::ecr(KNOWN[0].0).bytes()).await;
}

#[tokio::test]
async fn the_limits_of_connections_and_of_patience_hold() {
    need_sctp!();
    let server = start_with(|config| {
        config.diameter.max_connections = 1;
        config.diameter.handshake_timeout = Duration::from_secs(1);
    })
    .await;
    let mut silent = Peer::connect(&[server.address]).await;
    match Peer::connect_with(&[], &[server.address], &SctpOptions::default()).await {
        Ok(mut beyond) => beyond.expect_abort().await,
        // The ABORT may be faster than the look at the new association.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(
        silent.receive().await.unwrap(),
        None,
        "closed after a second"
    );
    until("there is room", || server.counters.connections() == 0).await;
    assert_eq!(server.counters.total().over_limit, 1);
    Peer::open(&[server.address]).await;
}

//----------- Addresses

#[tokio::test]
async fn all_addresses_are_listened_on_and_told() {
    need_sctp!();
    let server = start_with(|config| {
        config.diameter.listen = vec!["sctp://127.0.0.1,[::1],127.0.0.2:0".parse().unwrap()];
    })
    .await;
    let all = hosts(&server, &["127.0.0.1", "127.0.0.2", "::1"]);
    for remote in [&all[..1], &all[1..2], &all[2..], &all] {
        let mut peer = Peer::connect(remote).await;
        let cea = peer.ask(&Request::cer().bytes()).await;
        let mut told: Vec<_> = Read::strictly(&cea)
            .unwrap()
            .all(257)
            .iter()
            .map(|avp| avp.data.clone())
            .collect();
        told.sort();
        let mut v6 = vec![0, 2];
        v6.extend([0; 15]);
        v6.push(1);
        let expected = [vec![0, 1, 127, 0, 0, 1], vec![0, 1, 127, 0, 0, 2], v6];
        assert_eq!(told, expected);
        peer.socket.abort();
        until("the place is free", || server.counters.peers() == 0).await;
    }
}

#[tokio::test]
async fn addresses_that_cannot_be_listened_on_are_named() {
    need_sctp!();
    let taken = start().await;
    for (listen, why) in [
        (
            "sctp://127.0.0.1,192.0.2.77:0".to_owned(),
            "192.0.2.77 is no address of this machine",
        ),
        (
            "sctp://[2001:db8::77]:0".to_owned(),
            "2001:db8::77 is no address of this machine",
        ),
        (
            format!("sctp://127.0.0.1:{}", taken.address.port()),
            "the port is in use",
        ),
    ] {
        let mut config = Config::default();
        config.diameter.listen = vec![listen.parse().unwrap()];
        let rulebook = weir::load::load(&config).unwrap().rulebook;
        let node = Arc::new(weir::cli::serve::node(&config));
        let (register, counters) = (Register::new(rulebook), Counters::default());
        let bound = Server::bind(&config, node, Arc::new(register), Arc::new(counters)).await;
        let error = bound.err().unwrap().to_string();
        assert!(error.contains(why), "{listen}: {error}");
        assert!(error.contains(&listen), "{error}");
    }
}

#[tokio::test]
async fn settings_hold_for_one_address_or_for_all() {
    need_sctp!();
    let text = r#"
        [diameter]
        listen = ["sctp://127.0.0.1:0", { address = "sctp://127.0.0.2:0", streams_out = 3 }]
        [diameter.sctp]
        streams_out = 9
        [register]
        sample = true
    "#;
    let parsed = Config::parse(text, std::path::Path::new("weir.toml")).unwrap();
    let server = start_with(|config| *config = parsed).await;
    for (address, streams) in server.addresses.iter().zip([9, 3]) {
        let peer = Peer::connect(&[*address]).await;
        assert_eq!(peer.socket.streams_in(), streams);
    }
}

//----------- The same as over TCP

#[tokio::test]
async fn answers_are_those_of_tcp_to_the_octet() {
    need_sctp!();
    let server = start_with(|config| {
        config
            .diameter
            .listen
            .push("tcp://127.0.0.1:0".parse().unwrap());
    })
    .await;
    let mut requests = vec![Request::cer(), Request::dwr()];
    requests.extend(KNOWN.map(|(imei, _)| Request::ecr(imei)));
    let ecr = || Request::ecr(KNOWN[0].0);
    requests.extend([
        ecr().without(1),
        ecr().without(283),
        ecr().without(263),
        ecr().instead(1401, terminal_of("12")),
        ecr().with(base(999, "unknown and mandatory")),
        ecr().with(failed(b"odd")),
        ecr().with(base(284, group(&[base(280, "proxy"), base(33, "state")]))),
        ecr().with(raw_avp(999, 0, None, 7, b"")),
        ecr().flags(0xd0),
        Request::new(0xc0, 324, 4).with(base(263, "a;1;2")),
        Request::new(0xc0, 9999, 16_777_252).with(base(263, "a;1;2")),
        Request::new(0x80, 282, 0).with(number(273, 0)),
        large(50_000),
        Request::dpr(0),
    ]);
    let mut over_sctp = Vec::new();
    let mut peer = Peer::connect(&[server.addresses[0]]).await;
    for request in &requests {
        over_sctp.push(peer.ask(&request.bytes()).await);
    }
    drop(peer);
    until("the place is free", || server.counters.peers() == 0).await;
    let mut client = TestClient::connect(server.addresses[1]).await;
    let mut codes = std::collections::BTreeSet::new();
    for (request, over_sctp) in requests.iter().zip(&over_sctp) {
        client.send(&request.bytes()).await;
        let over_tcp = client.receive().await.expect("an answer");
        assert!(over_tcp == over_sctp[..], "{request:?}");
        codes.insert(Read::leniently(&over_tcp).unwrap().result_code());
    }
    assert!(codes.len() >= 5, "all kinds of answers: {codes:?}");
}
