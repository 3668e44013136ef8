//! TLS: who is let in and who is not, and that nobody notices a rotation.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, SerialNumber};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, crypto::ring,
};
use weir::config::peers::Connect;
use weir::config::{ClientCertificates, Config, TlsVersion};

use crate::certificates::{Ca, Pair, early, expired};
use crate::harness::*;

mod files;

/// The name of the server.
const EIR: &str = weir::config::diameter::DEFAULT_ORIGIN_HOST;

/// A name of a client.
const MME: &str = "mme.localdomain";

/// A CA, the server's certificate and a client's, and where they are.
struct World {
    dir: tempfile::TempDir,
    ca: Ca,
    mme: Pair,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::new(dir.path(), "ca");
        ca.issue("eir", &[EIR]);
        let mme = ca.issue("mme", &[MME]);
        Self { dir, ca, mme }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A server on TLS, with `change` made to its configuration.
    async fn serve(&self, change: impl FnOnce(&mut Config)) -> TestServer {
        TestServer::start(|config| {
            self.configure(config);
            change(config);
        })
        .await
    }

    /// Makes a configuration use the server's certificate.
    fn configure(&self, config: &mut Config) {
        config.base_dir = self.dir.path().to_owned();
        let diameter = &mut config.diameter;
        diameter.listen = vec!["tls://127.0.0.1:0".parse().unwrap()];
        diameter.tls.certificate = Some("eir.pem".into());
        diameter.tls.key = Some("eir.key".into());
        diameter.tls.ca = Some("ca.pem".into());
    }

    /// The client's end of TLS.
    fn client(
        &self,
        own: Option<&Pair>,
        version: &'static SupportedProtocolVersion,
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(read_certificate(&self.path("ca.pem"))).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => config.with_no_client_auth(),
            Some(own) => config
                .with_client_auth_cert(
                    vec![read_certificate(&own.certificate)],
                    PrivateKeyDer::from_pem_file(&own.key).unwrap(),
                )
                .unwrap(),
        };
        TlsConnector::from(Arc::new(config))
    }

    /// A client of this certificate.
    async fn connect(&self, server: &TestServer, own: &Pair) -> TestClient<TlsStream<TcpStream>> {
        let stream = secure(&self.client(Some(own), &TLS13), server).await;
        TestClient::over(stream.expect("a handshake"))
    }

    /// A client with the right certificate that has exchanged capabilities.
    async fn open(&self, server: &TestServer) -> TestClient<TlsStream<TcpStream>> {
        let mut client = self.connect(server, &self.mme).await;
        client.send(&cer(MME, 0)).await;
        let cea = client.receive().await.expect("a CEA");
        assert_eq!(result_code(&cea), Some(2001));
        client
    }
}

fn read_certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// Shakes hands with a server.
async fn secure(
    client: &TlsConnector,
    server: &TestServer,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(EIR).unwrap();
    timeout(PATIENCE, client.connect(name, stream))
        .await
        .expect("an end of the handshake")
}

/// Waits until a counter has this value.
async fn counted(server: &TestServer, what: &str, count: impl Fn(&TestServer) -> u64, want: u64) {
    let deadline = Instant::now() + PATIENCE;
    while count(server) != want {
        assert!(
            Instant::now() < deadline,
            "{what}: {} instead of {want}",
            count(server)
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn failed_handshakes(server: &TestServer) -> u64 {
    server.counters.total().failed_handshakes
}

//----------- What is served

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_and_both_versions_of_tls_get_the_same_bytes() {
    let world = World::new();
    let server = world
        .serve(|config| {
            let tcp = "tcp://127.0.0.1:0".parse().unwrap();
            config.diameter.listen.push(tcp);
        })
        .await;
    // Every kind of answer, base protocol and faults among them.
    let mut requests = vec![cer(MME, 0).to_vec()];
    for (number, (imei, _)) in (0..).zip(KNOWN) {
        requests.push(ecr(number, imei).to_vec());
    }
    requests.push(ecr(80, "12").to_vec());
    let mut unknown_command = ecr(81, "490154203237518").to_vec();
    unknown_command[7] = 99;
    requests.push(unknown_command);
    requests.push(cer(MME, 0).to_vec());

    let mut plain = TestClient::connect(server.addresses[1]).await;
    let mut expected = Vec::new();
    for request in &requests {
        plain.send(request).await;
        expected.push(plain.receive().await.expect("an answer"));
    }
    assert_eq!(status(&expected[1]), Some(0));
    assert_eq!(result_code(&expected[6]), Some(5004));
    assert_eq!(result_code(&expected[7]), Some(3001));
    drop(plain);
    for (version, number) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        counted(
            &server,
            "peers",
            |server| u64::try_from(server.counters.peers()).unwrap(),
            0,
        )
        .await;
        let stream = secure(&world.client(Some(&world.mme), version), &server).await;
        let stream = stream.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(number));
        let mut client = TestClient::over(stream);
        for (request, expected) in requests.iter().zip(&expected) {
            client.send(request).await;
            assert_eq!(client.receive().await.as_ref(), Some(expected));
        }
    }
    assert_eq!(failed_handshakes(&server), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_output_limit_at_once() {
    let world = World::new();
    let server = world
        .serve(|config| config.diameter.output_limit = 64 * 1024)
        .await;
    let client = world.open(&server).await;
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let requests = 5_000u32;
    let sending = tokio::spawn(async move {
        let batch: Vec<u8> = (0..requests)
            .flat_map(|identifier| ecr(identifier, "490154203237518"))
            .collect();
        writer.write_all(&batch).await.unwrap();
        writer.flush().await.unwrap();
        writer
    });
    let mut answers = Vec::new();
    let mut next = 0;
    for identifier in 0..requests {
        let rest = |answers: &Vec<u8>, next: usize| answers.len() - next;
        let mut wanted = 4;
        while rest(&answers, next) < wanted {
            let read = timeout(PATIENCE, reader.read_buf(&mut answers)).await;
            assert!(read.expect("answers").unwrap() > 0);
            if rest(&answers, next) >= 4 {
                let length = &answers[next + 1..next + 4];
                wanted = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
            }
        }
        let length = &answers[next + 1..next + 4];
        let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
        while rest(&answers, next) < length {
            assert!(reader.read_buf(&mut answers).await.unwrap() > 0);
        }
        assert_eq!(hop_by_hop(&answers[next..]), identifier);
        next += length;
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn the_end_is_told_by_tls_too() {
    let world = World::new();
    let server = world.serve(|_| {}).await;
    let mut client = world.open(&server).await;
    let running = server.stop();
    let dpr = client.receive().await.expect("a DPR");
    assert_eq!(disconnect_cause(&dpr), Some(0));
    client.send(&plain_answer(&dpr)).await;
    let mut rest = Vec::new();
    // Without close_notify this is an error.
    let read = timeout(PATIENCE, client.stream.read_to_end(&mut rest)).await;
    assert_eq!(read.expect("an end").expect("an orderly end"), 0);
    running.await.unwrap();
}

#[tokio::test]
async fn who_says_that_nothing_more_comes_gets_the_answers() {
    let world = World::new();
    let server = world.serve(|_| {}).await;
    let mut client = world.open(&server).await;
    let requests: Vec<u8> = (0..200)
        .flat_map(|identifier| ecr(identifier, "001012340000010"))
        .collect();
    client.send(&requests).await;
    // close_notify, and the end of the stream behind it.
    client.stream.shutdown().await.unwrap();
    for identifier in 0..200 {
        let answer = client.receive().await.expect("an answer");
        assert_eq!(hop_by_hop(&answer), identifier);
    }
    assert!(client.receive().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_reads_is_cut() {
    let world = World::new();
    let server = world
        .serve(|config| config.diameter.write_timeout = Duration::from_secs(1))
        .await;
    let mut deaf = world.open(&server).await;
    let flood = tokio::spawn(async move {
        let batch: Vec<u8> = (0..500)
            .flat_map(|identifier| ecr(identifier, "490154203237518"))
            .collect();
        // Ends when the server cuts the connection.
        while deaf.stream.write_all(&batch).await.is_ok() {}
    });
    timeout(PATIENCE, flood).await.expect("it is cut").unwrap();
    let unread = |server: &TestServer| server.counters.total().unread;
    counted(&server, "unread", unread, 1).await;
}

//----------- Who is let in

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_certificates_of_the_ca_that_are_valid_now_are_let_in() {
    let world = World::new();
    let stranger = Ca::new(world.dir.path(), "stranger");
    let revoked = world.ca.issue_with("revoked", &[MME], |params| {
        params.serial_number = Some(SerialNumber::from(77u64));
    });
    world.ca.revoke("crl", 77);
    let cases = [
        ("none", None),
        ("of a foreign CA", Some(stranger.issue("foreign", &[MME]))),
        ("expired", Some(world.ca.issue_with("old", &[MME], expired))),
        (
            "not valid yet",
            Some(world.ca.issue_with("new", &[MME], early)),
        ),
        (
            "for servers",
            Some(world.ca.issue_with("server", &[MME], |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            })),
        ),
        ("revoked", Some(revoked)),
    ];
    let server = world
        .serve(|config| config.diameter.tls.crl = Some("crl.pem".into()))
        .await;
    let mut refused = 0;
    for (what, own) in &cases {
        for version in [&TLS12, &TLS13] {
            let client = world.client(own.as_ref(), version);
            // With TLS 1.3 the client learns of it when it reads.
            if let Ok(mut stream) = secure(&client, &server).await {
                let _ = stream.write_all(&cer(MME, 0)).await;
                let read = timeout(PATIENCE, stream.read_u8()).await;
                let error = read.expect("an end").expect_err(what).to_string();
                assert!(error.contains("alert"), "{what}: {error}");
            }
            refused += 1;
            counted(&server, what, failed_handshakes, refused).await;
        }
    }
    assert_eq!(server.counters.total().refused, 0, "none came to its CER");
    let mut client = world.open(&server).await;
    assert_eq!(client.check("001012340000010").await, Some(1));
}

#[tokio::test]
async fn a_peer_must_be_whom_its_certificate_names() {
    let world = World::new();
    let server = world.serve(|_| {}).await;
    let fleet = world.ca.issue("fleet", &["*.epc.example.org"]);
    let nameless = world.ca.issue("nameless", &[]);
    for (own, name, code) in [
        (&world.mme, "MME.LocalDomain", 2001),
        (&world.mme, "other.localdomain", 3010),
        (&fleet, "mme7.epc.example.org", 2001),
        (&fleet, "a.mme7.epc.example.org", 3010),
        (&fleet, "epc.example.org", 3010),
        // The common name is no name of a host.
        (&nameless, "nameless", 3010),
    ] {
        let mut client = world.connect(&server, own).await;
        client.send(&cer(name, 0)).await;
        let cea = client.receive().await.expect("a CEA");
        assert_eq!(result_code(&cea), Some(code), "{name}");
        if code != 2001 {
            assert!(client.receive().await.is_none(), "{name} is sent away");
        }
    }
    let server = world
        .serve(|config| config.diameter.tls.verify_identity = false)
        .await;
    let mut client = world.connect(&server, &nameless).await;
    client.send(&cer("other.localdomain", 0)).await;
    assert_eq!(result_code(&client.receive().await.unwrap()), Some(2001));
}

#[tokio::test]
async fn certificates_may_be_optional_or_not_asked_for() {
    let world = World::new();
    let foreign = Ca::new(world.dir.path(), "stranger").issue("foreign", &[MME]);
    for (wanted, foreigners) in [
        (ClientCertificates::Optional, false),
        (ClientCertificates::None, true),
    ] {
        let server = world
            .serve(|config| config.diameter.tls.client_certificates = wanted)
            .await;
        for (own, let_in) in [
            (None, true),
            (Some(&world.mme), true),
            (Some(&foreign), foreigners),
        ] {
            let client = world.client(own, &TLS12);
            let stream = secure(&client, &server).await;
            assert_eq!(stream.is_ok(), let_in, "{wanted:?} {own:?}");
            if let Ok(stream) = stream {
                let mut client = TestClient::over(stream);
                client.send(&cer(MME, 0)).await;
                assert_eq!(result_code(&client.receive().await.unwrap()), Some(2001));
            }
        }
    }
}

#[tokio::test]
async fn old_versions_can_be_shut_out() {
    let world = World::new();
    let server = world
        .serve(|config| config.diameter.tls.min_version = TlsVersion::V1_3)
        .await;
    let old = secure(&world.client(Some(&world.mme), &TLS12), &server).await;
    assert!(old.unwrap_err().to_string().contains("ProtocolVersion"));
    counted(&server, "1.2", failed_handshakes, 1).await;
    world.open(&server).await;
}

#[tokio::test]
async fn who_wants_tls_after_the_capabilities_has_it_already() {
    let world = World::new();
    let server = world
        .serve(|config| {
            let tcp = "tcp://127.0.0.1:0".parse().unwrap();
            config.diameter.listen.push(tcp);
        })
        .await;
    // Inband-Security-Id with these values, behind the other AVPs.
    let cer_with = |values: &[u8]| {
        let mut message = cer(MME, 0).to_vec();
        for value in values {
            message.extend_from_slice(&[0, 0, 1, 43, 0x40, 0, 0, 12, 0, 0, 0, *value]);
        }
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        message[1..4].copy_from_slice(&length[1..]);
        message
    };
    for (values, over_tls, over_tcp) in [
        (&[0][..], 2001, 2001),
        (&[1], 2001, 5017),
        (&[0, 1], 2001, 2001),
        (&[2], 5017, 5017),
    ] {
        let mut secured = world.connect(&server, &world.mme).await;
        secured.send(&cer_with(values)).await;
        let cea = secured.receive().await.expect("a CEA");
        assert_eq!(result_code(&cea), Some(over_tls), "{values:?}");
        drop(secured);
        let peers = |server: &TestServer| u64::try_from(server.counters.peers()).unwrap();
        counted(&server, "peers", peers, 0).await;
        let mut plain = TestClient::connect(server.addresses[1]).await;
        plain.send(&cer_with(values)).await;
        let cea = plain.receive().await.expect("a CEA");
        assert_eq!(result_code(&cea), Some(over_tcp), "{values:?}");
        drop(plain);
        counted(&server, "peers", peers, 0).await;
    }
}

//----------- Calls

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_called_must_be_whom_its_certificate_names() {
    let world = World::new();
    let agent = world.serve(|_| {}).await;
    let own = world.ca.issue("caller", &["caller.localdomain"]);
    let call = |origin_host: &'static str, change: fn(&mut Config)| {
        let own = own.clone();
        let port = agent.address.port();
        world.serve(move |config| {
            let diameter = &mut config.diameter;
            diameter.origin_host = "caller.localdomain".to_owned();
            diameter.tls.certificate = Some(own.certificate);
            diameter.tls.key = Some(own.key);
            diameter.connect.push(Connect {
                address: format!("tls://localhost:{port}").parse().unwrap(),
                origin_host: origin_host.to_owned(),
                origin_realm: None,
                retry: Duration::from_secs(60),
            });
            change(config);
        })
    };
    let peers = |server: &TestServer| u64::try_from(server.counters.peers()).unwrap();
    let failed = |server: &TestServer| server.counters.total().failed_calls;

    let caller = call(EIR, |_| {}).await;
    counted(&caller, "a peer", peers, 1).await;
    counted(&agent, "a peer", peers, 1).await;
    let running = caller.stop();
    running.await.unwrap();
    counted(&agent, "no peer", peers, 0).await;

    let caller = call("other.localdomain", |_| {}).await;
    counted(&caller, "another name", failed, 1).await;
    // Without that check it is the host that the certificate must be for, and
    // it is not for localhost.
    let caller = call(EIR, |config| config.diameter.tls.verify_identity = false).await;
    counted(&caller, "another host", failed, 1).await;
    Ca::new(world.dir.path(), "stranger");
    let caller = call(EIR, |config| {
        config.diameter.tls.ca = Some("stranger.pem".into());
    })
    .await;
    counted(&caller, "a foreign CA", failed, 1).await;
    assert_eq!(agent.counters.total().requests(), 0);
}

//----------- Those who do not speak it, or take their time

#[tokio::test]
async fn diameter_without_tls_is_told_so_by_an_alert() {
    let world = World::new();
    let server = world.serve(|_| {}).await;
    let mut client = TestClient::connect(server.address).await;
    client.send(&cer(MME, 0)).await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, client.stream.read_to_end(&mut answer)).await;
    read.expect("an end").expect("the alert, then the end");
    // An alert of TLS, fatal.
    assert_eq!((answer[0], answer[5]), (21, 2), "{answer:?}");
    counted(&server, "plain", failed_handshakes, 1).await;
}

#[tokio::test]
async fn tls_on_a_port_without_is_cut() {
    let world = World::new();
    let server = TestServer::start(|_| {}).await;
    let client = world.client(Some(&world.mme), &TLS13);
    secure(&client, &server).await.expect_err("no TLS there");
    counted(
        &server,
        "broken",
        |server| server.counters.total().broken,
        1,
    )
    .await;
}

#[tokio::test]
async fn a_handshake_has_its_time_however_it_is_spent() {
    let world = World::new();
    let limit = Duration::from_secs(2);
    let server = world
        .serve(|config| config.diameter.handshake_timeout = limit)
        .await;
    // Three that never get there: silent, octet by octet, and with TLS but
    // without a CER. The time is one for both.
    let begun = Instant::now();
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let mut mute = world.connect(&server, &world.mme).await;
    let dripping = tokio::spawn(async move {
        // The beginning of a ClientHello that would have 512 octets.
        let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252][..], &[3; 512]].concat();
        for octet in hello {
            if slow.write_all(&[octet]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        slow
    });
    let mut honest = world.open(&server).await;
    let asked = Instant::now();
    assert_eq!(honest.check("001012340000010").await, Some(1));
    assert!(asked.elapsed() < limit, "held up by a handshake");

    assert!(mute.receive().await.is_none(), "cut");
    let gone = |mut stream: TcpStream| async move {
        let _ = timeout(PATIENCE, stream.read_u8()).await.expect("an end");
    };
    gone(silent).await;
    assert!(begun.elapsed() >= limit);
    gone(dripping.await.unwrap()).await;
    counted(&server, "slow and silent", failed_handshakes, 2).await;
    counted(
        &server,
        "mute",
        |server| server.counters.total().unopened,
        1,
    )
    .await;
    assert_eq!(honest.check("001012340000010").await, Some(1));
}
