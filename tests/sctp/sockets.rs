//! The sockets by themselves, against each other.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;

use weir::net::sctp::{DIAMETER_PPID, Parcel, SctpListener, SctpOptions};

use crate::need_sctp;
use crate::peer::{Peer, pair};

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn options() -> SctpOptions {
    SctpOptions {
        send_buffer: Some(256 * 1024),
        ..SctpOptions::default()
    }
}

/// Octets that are different everywhere.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    need_sctp!();
    let listener = SctpListener::bind(&addresses(&["127.0.0.1:0"]), &options(), 1).unwrap();
    let free = listener.addresses().to_vec();
    drop(listener);
    let refused = Peer::connect_with(&[], &free, &options())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn the_fewer_streams_are_agreed_on() {
    need_sctp!();
    let few = SctpOptions {
        streams_out: Some(5),
        streams_in: Some(7),
        ..options()
    };
    let many = SctpOptions {
        streams_out: Some(30),
        streams_in: Some(30),
        ..options()
    };
    let listener = SctpListener::bind(&addresses(&["127.0.0.1:0"]), &few, 1).unwrap();
    let (client, server) = tokio::join!(
        Peer::connect_with(&[], listener.addresses(), &many),
        listener.accept()
    );
    let (client, server) = (client.unwrap().socket, server.unwrap().0);
    assert_eq!((client.streams_out(), client.streams_in()), (7, 5));
    assert_eq!((server.streams_out(), server.streams_in()), (5, 7));
    let beyond = Parcel {
        octets: b"x",
        stream: 7,
        ppid: 0,
    };
    let error = client.send(beyond).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn streams_and_protocols_arrive_as_they_were_sent() {
    need_sctp!();
    let (client, mut server) = pair(&options()).await;
    for (stream, ppid) in [(0, 0), (3, 46), (9, 0x0102_0304)] {
        client.send_on(b"hello", stream, ppid).await;
        let message = server.receive().await.unwrap().unwrap();
        assert_eq!((message.stream, message.ppid), (stream, ppid));
        assert_eq!(message.octets, b"hello");
    }
}

#[tokio::test]
async fn messages_of_any_size_come_whole() {
    need_sctp!();
    let (client, mut server) = pair(&options()).await;
    for len in [1, 2047, 2048, 2049, 4096, 60_000, 200_000] {
        let sent = pattern(len);
        client.send(&sent).await;
        let message = server.receive().await.unwrap().unwrap();
        assert!(message.octets == sent, "{len} octets");
    }
    assert!(
        server.parts > 30,
        "large ones come in parts: {}",
        server.parts
    );
}

#[tokio::test]
async fn many_messages_come_with_one_system_call() {
    need_sctp!();
    let (client, mut server) = pair(&options()).await;
    let sent: Vec<Vec<u8>> = (0..20u8).map(|number| vec![number; 60]).collect();
    let parcels: Vec<_> = sent
        .iter()
        .map(|octets| Parcel {
            octets,
            stream: 1,
            ppid: DIAMETER_PPID,
        })
        .collect();
    let mut rest = &parcels[..];
    let mut sends = 0;
    while !rest.is_empty() {
        let taken = poll_fn(|cx| client.socket.poll_send(cx, rest))
            .await
            .unwrap();
        rest = &rest[taken..];
        sends += 1;
    }
    assert_eq!(sends, 1, "there is room for all of them");
    for expected in &sent {
        let message = server.receive().await.unwrap().unwrap();
        assert_eq!(&message.octets, expected, "in order");
    }
    assert!(server.calls < 10, "{} calls for 20 messages", server.calls);
}

#[tokio::test]
async fn a_message_beyond_the_send_buffer_is_an_error_and_nothing_is_lost() {
    need_sctp!();
    let (client, mut server) = pair(&options()).await;
    let huge = vec![0; 4 * 1024 * 1024];
    let parcel = Parcel {
        octets: &huge,
        stream: 0,
        ppid: 0,
    };
    let error = client.socket.send(parcel).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE");
    client.send(b"still there").await;
    let message = server.receive().await.unwrap().unwrap();
    assert_eq!(message.octets, b"still there");
}

#[tokio::test]
async fn an_abort_and_a_shutdown_are_told_apart() {
    need_sctp!();
    let (client, mut server) = pair(&options()).await;
    client.socket.abort();
    server.expect_abort().await;

    let (client, mut server) = pair(&options()).await;
    client.send(b"last words").await;
    drop(client);
    let message = server.receive().await.unwrap().unwrap();
    assert_eq!(message.octets, b"last words");
    assert_eq!(server.receive().await.unwrap(), None);
}

#[tokio::test]
async fn one_endpoint_has_several_addresses_of_both_families() {
    need_sctp!();
    let local = addresses(&["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"]);
    let listener = SctpListener::bind(&local, &options(), 1).unwrap();
    let port = listener.addresses()[0].port();
    assert_ne!(port, 0);
    let expected: Vec<_> = local
        .iter()
        .map(|address| SocketAddr::new(address.ip(), port))
        .collect();
    assert_eq!(listener.addresses(), expected);
    let from = addresses(&["127.0.0.3:0", "127.0.0.4:0", "[::1]:0"]);
    let options = options();
    let (client, server) = tokio::join!(
        Peer::connect_with(&from, &expected[1..2], &options),
        listener.accept()
    );
    let (client, (server, _)) = (client.unwrap().socket, server.unwrap());
    let sorted = |mut addresses: Vec<SocketAddr>| {
        addresses.sort();
        addresses
    };
    assert_eq!(
        sorted(client.peer_addresses().unwrap()),
        sorted(expected.clone())
    );
    assert_eq!(sorted(server.local_addresses().unwrap()), sorted(expected));
    let theirs = sorted(server.peer_addresses().unwrap());
    let ips: Vec<_> = theirs
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    assert_eq!(ips, ["127.0.0.3", "127.0.0.4", "::1"]);
}

#[tokio::test]
async fn both_wildcards_of_a_port_can_be_listened_on() {
    need_sctp!();
    let first = SctpListener::bind(&addresses(&["0.0.0.0:0"]), &options(), 1).unwrap();
    let port = first.addresses()[0].port();
    let wildcard = SocketAddr::new("::".parse().unwrap(), port);
    let second = SctpListener::bind(&[wildcard], &options(), 1).unwrap();
    for (listener, address) in [(&first, "127.0.0.1"), (&second, "::1")] {
        let address = SocketAddr::new(address.parse().unwrap(), port);
        let (remote, options) = ([address], options());
        let (client, server) = tokio::join!(
            Peer::connect_with(&[], &remote, &options),
            listener.accept()
        );
        let _client = client.unwrap();
        let local = server.unwrap().0.local_addresses().unwrap();
        assert!(local.contains(&address), "{local:?}");
    }
}
