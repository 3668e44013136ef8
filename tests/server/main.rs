//! The server over real sockets on loopback: load, slowness, hostility,
//! limits, reconnects and the end.

mod calls;
#[path = "../support/certificates.rs"]
mod certificates;
mod harness;
mod peers;
mod reload;
mod spin;
mod tls;
mod workers;

use std::time::Duration;

use bytes::BytesMut;
use harness::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use weir::connection::PROBE_WAIT;

//----------- Load

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_in_one_write() {
    let server = TestServer::start(|_| {}).await;
    let mut client = server.connect().await;
    let mut all = cer("mme.localdomain", 0);
    for identifier in 0..1000u32 {
        let (imei, _) = KNOWN[identifier as usize % KNOWN.len()];
        all.extend_from_slice(&ecr(identifier, imei));
    }
    client.send(&all).await;
    assert_eq!(result_code(&client.receive().await.unwrap()), Some(2001));
    for identifier in 0..1000u32 {
        let answer = client.receive().await.unwrap();
        assert_eq!(hop_by_hop(&answer), identifier, "each once, in order");
        assert_eq!(status(&answer), KNOWN[identifier as usize % KNOWN.len()].1);
    }
    let total = server.counters.total();
    assert_eq!(
        (
            total.whitelisted,
            total.blacklisted,
            total.greylisted,
            total.unknown
        ),
        (200, 400, 200, 200)
    );
}

#[tokio::test]
async fn more_than_the_output_limit_in_one_write() {
    // Answers to some 20,000 requests are far more than may be queued, so the
    // connection stops and goes on many times without losing its place.
    let server = TestServer::start(|config| config.diameter.output_limit = 64 * 1024).await;
    let client = server.open("mme.localdomain").await;
    let (reader, mut writer) = client.stream.into_split();
    let requests = 20_000u32;
    let sending = tokio::spawn(async move {
        let mut batch = BytesMut::new();
        for identifier in 0..requests {
            batch.extend_from_slice(&ecr(identifier, "490154203237518"));
        }
        writer.write_all(&batch).await.unwrap();
        writer
    });
    let mut reader =
        tokio_util::codec::FramedRead::new(reader, weir::net::codec::MessageCodec::default());
    for identifier in 0..requests {
        let next = std::future::poll_fn(|context| {
            futures_util::Stream::poll_next(std::pin::Pin::new(&mut reader), context)
        });
        let answer = timeout(PATIENCE, next).await.unwrap().unwrap().unwrap();
        assert_eq!(hop_by_hop(&answer), identifier);
    }
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_larger_than_what_is_answered_at_a_time() {
    let server = TestServer::start(|_| {}).await;
    let mut client = server.open("mme.localdomain").await;
    // An AVP that nobody knows, of 50,000 octets, among requests without.
    let mut large = ecr(100, KNOWN[1].0);
    large.extend_from_slice(&[0, 0x0f, 0x42, 0x40, 0, 0, 0xc3, 0x50]);
    large.extend_from_slice(&[0; 50_000 - 8]);
    let len = u32::try_from(large.len()).unwrap().to_be_bytes();
    large[1..4].copy_from_slice(&len[1..]);
    let mut all = BytesMut::new();
    for identifier in 0..200 {
        match identifier {
            100 => all.extend_from_slice(&large),
            _ => all.extend_from_slice(&ecr(identifier, KNOWN[0].0)),
        }
    }
    client.send(&all).await;
    for identifier in 0..200 {
        let answer = client.receive().await.unwrap();
        assert_eq!(hop_by_hop(&answer), identifier, "each once, in order");
        assert_eq!(status(&answer), KNOWN[usize::from(identifier == 100)].1);
    }
}

#[tokio::test]
async fn one_octet_at_a_time() {
    let server = TestServer::start(|_| {}).await;
    let mut client = server.connect().await;
    for octet in cer("mme.localdomain", 0)
        .iter()
        .chain(&ecr(9, "001012340000010"))
    {
        client.send(&[*octet]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(result_code(&client.receive().await.unwrap()), Some(2001));
    assert_eq!(status(&client.receive().await.unwrap()), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connections_at_once() {
    let server = TestServer::start(|_| {}).await;
    let mut clients = Vec::new();
    for number in 0..200 {
        clients.push(server.open(&format!("mme{number}.localdomain")).await);
    }
    assert_eq!(server.counters.peers(), 200);
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                for (imei, want) in KNOWN.into_iter().cycle().take(20) {
                    assert_eq!(client.check(imei).await, want);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(server.counters.total().requests(), 4000);
}

#[tokio::test]
async fn a_half_closed_client_gets_its_answers() {
    let server = TestServer::start(|_| {}).await;
    let mut client = server.connect().await;
    let mut all = cer("mme.localdomain", 0);
    all.extend_from_slice(&ecr(1, "490154203237518"));
    client.send(&all).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(result_code(&client.receive().await.unwrap()), Some(2001));
    assert_eq!(status(&client.receive().await.unwrap()), Some(0));
    assert!(client.receive().await.is_none());
}

//----------- Slowness and hostility

#[tokio::test]
async fn a_half_closed_client_gets_its_answers_also_when_they_must_wait() {
    let server = TestServer::start(|config| {
        config.diameter.max_message = 1024 * 1024;
        config.diameter.output_limit = 64 * 1024;
    })
    .await;
    // Does not answer the DWR, so that the end of the stream comes before the
    // new connection's claim is decided.
    let _dead = server.open("mme.localdomain").await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    // Short requests with answers ten times as long: more than all buffers
    // between the two hold.
    let mut request = ecr(1, "490154203237518")[..20].to_vec();
    request[1..4].copy_from_slice(&[0, 0, 20]);
    let count = 50_000;
    let mut all = cer("mme.localdomain", 0).to_vec();
    all.extend_from_slice(&request.repeat(count));
    stream.write_all(&all).await.unwrap();
    stream.shutdown().await.unwrap();

    let mut answers = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answers)).await;
    read.expect("the server closes").unwrap();
    let mut rest = &answers[..];
    let mut received = 0;
    while let [_, a, b, c, ..] = *rest {
        rest = &rest[u32::from_be_bytes([0, a, b, c]) as usize..];
        received += 1;
    }
    assert_eq!(received, 1 + count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_reads_is_cut_and_delays_nobody() {
    let server = TestServer::start(|config| {
        config.diameter.write_timeout = Duration::from_secs(1);
    })
    .await;
    let mut honest = server.open("honest.localdomain").await;
    let mut deaf = server.open("deaf.localdomain").await;
    let flood = tokio::spawn(async move {
        let batch: BytesMut = (0..500).flat_map(|id| ecr(id, "490154203237518")).collect();
        let mut sent = 0usize;
        // Ends when the server cuts the connection.
        while deaf.stream.write_all(&batch).await.is_ok() {
            sent += batch.len();
        }
        sent
    });
    while !flood.is_finished() {
        let asked = Instant::now();
        assert_eq!(honest.check("001012340000010").await, Some(1));
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "held up by another connection"
        );
        tokio::task::yield_now().await;
    }
    let sent = timeout(PATIENCE, flood).await.unwrap().unwrap();
    // What the kernel's buffers on both sides and the server's own limits
    // hold; without a limit it would be as much as a second of loopback.
    assert!(
        sent < 64 * 1024 * 1024,
        "{sent} octets were taken from a deaf peer"
    );
    for _ in 0..1000 {
        if server.counters.total().unread == 1 {
            break;
        }
        assert_eq!(honest.check("001012340000010").await, Some(1));
    }
    assert_eq!(server.counters.total().unread, 1);
}

/// Whether the connection ends with a reset, and not in order.
async fn is_reset(client: &mut TestClient) -> bool {
    let mut rest = [0];
    let read = timeout(PATIENCE, client.stream.read(&mut rest)).await;
    read.expect("the server ends it")
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn no_diameter_aborts_the_connection_alone() {
    let server = TestServer::start(|_| {}).await;
    let mut honest = server.open("honest.localdomain").await;
    let hostile: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: eir\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x01\x00\x00\x00",
        b"\x01\xff\xff\xfc",
        b"\x01\x00\x00\x15",
    ];
    for bytes in hostile {
        let mut client = server.connect().await;
        client.send(bytes).await;
        assert!(is_reset(&mut client).await, "{bytes:?}");
        assert_eq!(honest.check("490154203237518").await, Some(0));
    }
    // The same in the middle of an open connection.
    let mut client = server.open("hostile.localdomain").await;
    client.send(b"\x02\x00\x00\x14").await;
    assert!(is_reset(&mut client).await);
    assert_eq!(honest.check("490154203237518").await, Some(0));
    assert_eq!(server.counters.total().broken, 6);
}

#[tokio::test]
async fn silence_and_requests_before_the_cer_end_the_connection() {
    let server = TestServer::start(|config| {
        config.diameter.handshake_timeout = Duration::from_secs(1);
    })
    .await;
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.send(&cer("half.localdomain", 0)[..100]).await;
    let mut early = server.connect().await;
    early.send(&ecr(1, "490154203237518")).await;
    assert!(early.receive().await.is_none());
    assert!(silent.receive().await.is_none());
    assert!(half.receive().await.is_none());
}

/// At full scale: `cargo bench --bench crowd -- --full`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_that_says_nothing_is_shed_and_delays_nobody() {
    let server = TestServer::start(|config| {
        config.diameter.max_connections = 100;
        config.diameter.handshake_timeout = Duration::from_secs(1);
    })
    .await;
    let mut honest = server.open("honest.localdomain").await;
    let flood: Vec<_> = (0..400)
        .map(|_| {
            let address = server.address;
            tokio::spawn(async move {
                // Shed before the connection is noticed to be there.
                let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else {
                    return false;
                };
                let end = timeout(PATIENCE, stream.read(&mut [0; 16])).await;
                matches!(end.expect("it is closed"), Ok(1..))
            })
        })
        .collect();
    while flood.iter().any(|task| !task.is_finished()) {
        let asked = Instant::now();
        assert_eq!(honest.check("001012340000010").await, Some(1));
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "held up by others"
        );
    }
    for task in flood {
        assert!(!task.await.unwrap(), "closed without a word");
    }
    // The last are counted, and gone, a moment after they are closed.
    eventually("all shed", || {
        let total = server.counters.total();
        total.over_limit + total.unopened == 400 && server.counters.connections() == 1
    })
    .await;
    let total = server.counters.total();
    // Each is shed in one of the two ways, and there was no room for all.
    assert!(total.over_limit >= 1 && total.unopened >= 99, "{total}");
}

#[tokio::test]
async fn the_connection_limit_turns_away_and_frees() {
    let server = TestServer::start(|config| config.diameter.max_connections = 2).await;
    let mut first = server.open("a.localdomain").await;
    let second = server.open("b.localdomain").await;
    let mut third = server.connect().await;
    assert!(third.receive().await.is_none());
    assert_eq!(first.check("490154203237518").await, Some(0));
    drop(second);
    // The place is free once the server has seen the close.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut again = server.connect().await;
        let _ = again.stream.write_all(&cer("c.localdomain", 0)).await;
        if again.receive().await.is_some() {
            break;
        }
        assert!(Instant::now() < deadline, "the place is never freed");
    }
}

#[tokio::test]
async fn unknown_peers_get_3010_and_are_closed() {
    let server = TestServer::start(|config| {
        config.diameter.unknown_peers = false;
        let known = "[[diameter.peer]]\norigin_host = \"mme.localdomain\"\n";
        let parsed = weir::config::Config::parse(known, "x.toml".as_ref()).unwrap();
        config.diameter.peers = parsed.diameter.peers;
    })
    .await;
    let mut stranger = server.connect().await;
    stranger.send(&cer("stranger.localdomain", 0)).await;
    let cea = stranger.receive().await.unwrap();
    assert_eq!(result_code(&cea), Some(3010));
    assert_eq!(cea[4], 0x20, "E bit");
    assert!(stranger.receive().await.is_none());
    let mut known = server.open("MME.localdomain").await;
    assert_eq!(known.check("490154203237518").await, Some(0));
}

//----------- Reconnects

#[tokio::test]
async fn a_restarted_peer_replaces_its_lingering_connection() {
    let server = TestServer::start(|_| {}).await;
    let mut old = server.connect().await;
    old.send(&cer("mme.localdomain", 100)).await;
    assert_eq!(result_code(&old.receive().await.unwrap()), Some(2001));
    let mut new = server.connect().await;
    new.send(&cer("mme.localdomain", 101)).await;
    assert_eq!(result_code(&new.receive().await.unwrap()), Some(2001));
    assert!(old.receive().await.is_none());
    assert_eq!(new.check("490154203237518").await, Some(0));
}

/// A DWR, or a DPR with cause REBOOTING, of a client of this name.
fn base_request(command: u8, disconnect_cause: &[u8]) -> Vec<u8> {
    let mut request = vec![1, 0, 0, 0, 0x80, 0, 1, command];
    request.extend_from_slice(&[0; 12]);
    request.extend_from_slice(b"\0\0\x01\x08\x40\0\0\x0bmme\0");
    request.extend_from_slice(b"\0\0\x01\x28\x40\0\0\x0blte\0");
    request.extend_from_slice(disconnect_cause);
    request[3] = u8::try_from(request.len()).unwrap();
    request
}

#[tokio::test]
async fn a_peer_that_said_goodbye_may_come_back_before_it_has_closed() {
    let server = TestServer::start(|_| {}).await;
    let mut old = server.open("mme.localdomain").await;
    let dpr = base_request(26, b"\0\0\x01\x11\x40\0\0\x0c\0\0\0\0");
    // Often, as the threads of the two connections may be of different speed.
    for _ in 0..50 {
        old.send(&dpr).await;
        let dpa = old.receive().await.expect("a DPA");
        assert_eq!((command(&dpa), result_code(&dpa)), (282, Some(2001)));
        let mut new = server.open("mme.localdomain").await;
        assert_eq!(new.check("490154203237518").await, Some(0));
        // Had the new one waited for the old one's life, that would be over.
        old.send(&base_request(24, b"")).await;
        let dwa = old.receive().await.expect("a DWA");
        assert_eq!((command(&dwa), result_code(&dwa)), (280, Some(2001)));
        old = new;
    }
}

#[tokio::test]
async fn a_living_connection_keeps_its_peer() {
    let server = TestServer::start(|_| {}).await;
    let mut old = server.open("mme.localdomain").await;
    let mut new = server.connect().await;
    let mut both = cer("MME.localdomain", 0);
    both.extend_from_slice(&ecr(1, "490154203237518"));
    new.send(&both).await;
    let dwr = old.receive().await.expect("a sign of life is demanded");
    assert_eq!((command(&dwr), is_request(&dwr)), (280, true));
    old.send(&plain_answer(&dwr)).await;
    let cea = new.receive().await.unwrap();
    assert_eq!(result_code(&cea), Some(5012));
    assert!(
        new.receive().await.is_none(),
        "and the request behind it is not answered"
    );
    assert_eq!(old.check("490154203237518").await, Some(0));
}

#[tokio::test]
async fn a_dead_connection_is_replaced_within_seconds() {
    let server = TestServer::start(|_| {}).await;
    let mut dead = server.open("mme.localdomain").await;
    let mut new = server.connect().await;
    let mut both = cer("mme.localdomain", 0);
    both.extend_from_slice(&ecr(1, "001012340000010"));
    let asked = Instant::now();
    new.send(&both).await;
    // `dead` gets a DWR and does not answer it.
    assert_eq!(result_code(&new.receive().await.unwrap()), Some(2001));
    assert_eq!(
        status(&new.receive().await.unwrap()),
        Some(1),
        "the request waited for the CEA"
    );
    assert!(asked.elapsed() >= PROBE_WAIT);
    assert_eq!(command(&dead.receive().await.unwrap()), 280);
    assert!(dead.receive().await.is_none());
}

//----------- Listening and the end

#[tokio::test]
async fn several_addresses_of_both_families() {
    let server = TestServer::start(|config| {
        config.diameter.listen = ["tcp://127.0.0.1:0", "tcp://[::1]:0", "tcp://127.0.0.2:0"]
            .map(|address| address.parse().unwrap())
            .to_vec();
    })
    .await;
    assert_eq!(server.addresses.len(), 3);
    for (number, address) in server.addresses.iter().enumerate() {
        let mut client = TestClient::connect(*address).await;
        client.send(&cer(&format!("mme{number}"), 0)).await;
        let cea = client.receive().await.unwrap();
        let host_ip = avp(&cea, 257).unwrap();
        match address.ip() {
            std::net::IpAddr::V4(ip) => assert_eq!(host_ip[2..], ip.octets()),
            std::net::IpAddr::V6(ip) => assert_eq!(host_ip[2..], ip.octets()),
        }
        assert_eq!(client.check("490154203237518").await, Some(0));
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = TestServer::start(|_| {}).await;
    let mut config = weir::config::Config::default();
    config.diameter.listen = vec![format!("tcp://{}", server.address).parse().unwrap()];
    let node = std::sync::Arc::new(weir::cli::serve::node(&config));
    let error = weir::net::Server::bind(
        &config,
        node,
        server.register.clone(),
        server.counters.clone(),
    )
    .await
    .unwrap_err()
    .to_string();
    assert!(
        error.contains(&format!("tcp://{}", server.address)),
        "{error}"
    );
    assert!(error.contains("the port is in use"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_answers_then_disconnects_in_order() {
    let server = TestServer::start(|_| {}).await;
    let address = server.address;
    let mut busy = server.open("busy.localdomain").await;
    let mut handshaking = server.connect().await;
    let mut requests = BytesMut::new();
    for identifier in 0..200 {
        requests.extend_from_slice(&ecr(identifier, "490154203237518"));
    }
    busy.send(&requests).await;
    let running = server.stop();
    let mut answered = 0;
    let dpr = loop {
        let message = busy.receive().await.expect("a DPR before the close");
        if is_request(&message) {
            break message;
        }
        assert_eq!(status(&message), Some(0));
        answered += 1;
    };
    assert_eq!((command(&dpr), disconnect_cause(&dpr)), (282, Some(0)));
    // In flight while the DPR came: still answered.
    busy.send(&ecr(1000, "001012340000010")).await;
    loop {
        let message = busy.receive().await.unwrap();
        answered += 1;
        if hop_by_hop(&message) == 1000 {
            assert_eq!(status(&message), Some(1));
            break;
        }
    }
    assert_eq!(answered, 201);
    busy.send(&plain_answer(&dpr)).await;
    assert!(
        busy.receive().await.is_none(),
        "who receives the DPA closes"
    );
    assert!(handshaking.receive().await.is_none());
    timeout(PATIENCE, running).await.unwrap().unwrap();
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "nothing listens any more"
    );
}

/// Who is let in while the server stops would only be told to leave.
#[tokio::test]
async fn shutdown_does_not_wait_for_who_claims_a_place() {
    let server = TestServer::start(|_| {}).await;
    // Says nothing, and so holds up the claim.
    let mut old = server.open("mme.localdomain").await;
    let mut new = server.connect().await;
    new.send(&cer("mme.localdomain", 0)).await;
    let demand = old.receive().await.unwrap();
    assert_eq!(command(&demand), 280, "the claim has begun");
    let start = Instant::now();
    let _running = server.stop();
    assert_eq!(new.receive().await, None);
    let waited = start.elapsed();
    assert!(waited < PROBE_WAIT / 2, "{waited:?}");
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let server = TestServer::start(|config| {
        config.diameter.drain_timeout = Duration::from_secs(1);
    })
    .await;
    let mut stubborn = server.open("stubborn.localdomain").await;
    let running = server.stop();
    assert_eq!(command(&stubborn.receive().await.unwrap()), 282);
    // The DPR stays unanswered.
    assert!(stubborn.receive().await.is_none());
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

//----------- Fairness

#[test]
fn peers_that_never_pause_leave_turns_for_others() {
    use std::io::{Read, Write};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    // One thread for the server, so that one peer can occupy all of it. The
    // clients have threads of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let workers = Workers::start("worker", 1);
    let server = runtime.block_on(TestServer::start_on(workers, |_| {}));
    let connect = |name: &str| {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&cer(name, 0)).unwrap();
        stream
    };
    let stop = Arc::new(AtomicBool::new(false));
    let flooding: Vec<_> = (0..2)
        .map(|number| {
            let mut writer = connect(&format!("flood{number}"));
            let mut reader = writer.try_clone().unwrap();
            let stop = Arc::clone(&stop);
            let writing = std::thread::spawn(move || {
                // Small messages: cheap to send, as dear to answer as others.
                let request = &ecr(1, "490154203237518")[..20];
                let mut request = request.to_vec();
                request[1..4].copy_from_slice(&[0, 0, 20]);
                let all = request.repeat(10_000);
                while !stop.load(Ordering::Relaxed) && writer.write_all(&all).is_ok() {}
            });
            std::thread::spawn(move || {
                let mut answers = vec![0; 1 << 20];
                while reader.read(&mut answers).is_ok_and(|read| read > 0) {}
                writing.join().unwrap();
            })
        })
        .collect();

    let mut client = connect("mme.localdomain");
    let mut answer = [0; 4096];
    let answered = (0..100)
        .take_while(|identifier| {
            let request = ecr(*identifier, "490154203237518");
            client.write_all(&request).is_ok()
                && client.read(&mut answer).is_ok_and(|read| read > 0)
        })
        .count();
    let still_flooding = flooding.iter().all(|thread| !thread.is_finished());
    stop.store(true, Ordering::Relaxed);
    runtime.shutdown_background();
    for thread in flooding {
        thread.join().unwrap();
    }
    assert!(still_flooding, "the others never paused");
    assert_eq!(answered, 100, "each request is answered in time");
}
