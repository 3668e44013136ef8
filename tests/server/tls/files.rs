//! Certificates as files: what is wrong with them, and how they are replaced.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::{ExtendedKeyUsagePurpose, SerialNumber};
use tokio_rustls::rustls::version::TLS13;
use weir::config::Config;
use weir::net::tls::{Credentials, Tls};
use weir::time::UnixTime;

use super::{EIR, World, failed_handshakes, secure};
use crate::certificates::{early, expired};
use crate::harness::*;

fn now() -> UnixTime {
    weir::net::Clock::start().now().unix
}

//----------- Rotation

/// The number of the certificate that a server shows.
async fn number_shown(world: &World, server: &TestServer) -> Vec<u8> {
    let stream = secure(&world.client(Some(&world.mme), &TLS13), server).await;
    let stream = stream.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
    certificate.raw_serial().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_rotated_under_load_and_no_request_is_lost() {
    let world = World::new();
    let server = world.serve(|_| {}).await;
    let tls: Arc<Tls> = server.tls.clone().unwrap();
    let mut config = Config::default();
    world.configure(&mut config);
    let stop = Arc::new(AtomicBool::new(false));
    let mut streams = Vec::new();
    for number in 0..2 {
        let name = format!("mme{number}.localdomain");
        let own = world.ca.issue(&format!("mme{number}"), &[&name]);
        let mut client = world.connect(&server, &own).await;
        client.send(&cer(&name, 0)).await;
        assert_eq!(result_code(&client.receive().await.unwrap()), Some(2001));
        let stop = Arc::clone(&stop);
        streams.push(tokio::spawn(async move {
            let mut identifier = 0u32;
            while !stop.load(Ordering::Relaxed) {
                let window: Vec<u8> = (0..32)
                    .flat_map(|offset| ecr(identifier + offset, "001012340000010"))
                    .collect();
                client.send(&window).await;
                for offset in 0..32 {
                    let answer = client.receive().await.expect("no request is lost");
                    assert_eq!(hop_by_hop(&answer), identifier + offset);
                    assert_eq!(status(&answer), Some(1));
                }
                identifier += 32;
            }
            u64::from(identifier)
        }));
    }
    for round in 1..=20u8 {
        world.ca.issue_with("eir", &[EIR], |params| {
            params.serial_number = Some(SerialNumber::from(vec![round]));
        });
        tls.publish(Credentials::load(&config, now()).unwrap().unwrap());
        assert_eq!(number_shown(&world, &server).await, [round]);
        // A bad one is refused before it is anywhere near the listener.
        fs::copy(world.path("mme.key"), world.path("eir.key")).unwrap();
        let error = Credentials::load(&config, now()).unwrap_err().to_string();
        assert!(
            error.contains("is not the key of the certificate"),
            "{error}"
        );
        assert_eq!(number_shown(&world, &server).await, [round]);
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = 0;
    for stream in streams {
        sent += stream.await.unwrap();
    }
    assert!(sent > 0);
    assert_eq!(server.counters.total().blacklisted, sent, "each once");
    assert_eq!(failed_handshakes(&server), 0);
}

//----------- Files

#[test]
fn files_that_cannot_be_used_are_named_with_what_to_do() {
    let world = World::new();
    world.ca.issue_with("old", &[EIR], expired);
    world.ca.issue_with("new", &[EIR], early);
    world.ca.revoke("crl", 1);
    fs::write(world.path("empty.pem"), "").unwrap();
    let garbage = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    fs::write(world.path("garbage.pem"), garbage).unwrap();
    let both = fs::read(world.path("eir.key")).unwrap();
    fs::write(world.path("two.key"), [both.clone(), both].concat()).unwrap();
    for (certificate, key, ca, crl, fragments) in [
        (
            "gone.pem",
            "eir.key",
            "ca.pem",
            None,
            [
                "tls.certificate: ",
                "gone.pem: cannot be read: No such file",
            ],
        ),
        (
            "empty.pem",
            "eir.key",
            "ca.pem",
            None,
            ["tls.certificate: ", "holds no certificate; it is empty"],
        ),
        (
            "eir.key",
            "eir.key",
            "ca.pem",
            None,
            [
                "tls.certificate: ",
                "holds no certificate, only PRIVATE KEY",
            ],
        ),
        (
            "garbage.pem",
            "eir.key",
            "ca.pem",
            None,
            ["tls.certificate: ", "certificate 1 is damaged"],
        ),
        (
            "old.pem",
            "old.key",
            "ca.pem",
            None,
            [
                "tls.certificate: ",
                "CN=old) has expired on 2021-01-01T00:00:00Z; renew",
            ],
        ),
        (
            "new.pem",
            "new.key",
            "ca.pem",
            None,
            [
                "tls.certificate: ",
                "CN=new) is not valid before 4000-01-01T00:00:00Z",
            ],
        ),
        (
            "eir.pem",
            "eir.pem",
            "ca.pem",
            None,
            [
                "tls.key: ",
                "holds no private key without a passphrase, only CERTIFICATE",
            ],
        ),
        (
            "eir.pem",
            "mme.key",
            "ca.pem",
            None,
            ["tls.key: ", "is not the key of the certificate in "],
        ),
        (
            "eir.pem",
            "two.key",
            "ca.pem",
            None,
            ["tls.key: ", "holds 2 private keys"],
        ),
        (
            "eir.pem",
            "eir.key",
            "gone.pem",
            None,
            ["tls.ca: ", "cannot be read"],
        ),
        (
            "eir.pem",
            "eir.key",
            "garbage.pem",
            None,
            ["tls.ca: ", "certificate 1 cannot be that of a CA"],
        ),
        (
            "eir.pem",
            "eir.key",
            "ca.pem",
            Some("ca.pem"),
            [
                "tls.crl: ",
                "holds no revocation list (X509 CRL), only CERTIFICATE",
            ],
        ),
    ] {
        let mut config = Config::default();
        world.configure(&mut config);
        let tls = &mut config.diameter.tls;
        tls.certificate = Some(certificate.into());
        tls.key = Some(key.into());
        tls.ca = Some(ca.into());
        tls.crl = crl.map(Into::into);
        let error = Credentials::load(&config, now()).unwrap_err().to_string();
        for fragment in fragments {
            assert!(error.contains(fragment), "{fragment}: {error}");
        }
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let mut config = Config::default();
    world.configure(&mut config);
    config.diameter.tls.crl = Some("crl.pem".into());
    let credentials = Credentials::load(&config, now()).unwrap().unwrap();
    assert_eq!(credentials.warnings(), [""; 0]);
}

#[test]
fn what_will_go_wrong_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    world
        .ca
        .issue_with("eir", &["other.example.org"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.not_after = rcgen::date_time_ymd(3000, 1, 15);
        });
    let key = world.path("eir.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let mut config = Config::default();
    world.configure(&mut config);
    let then: UnixTime = UnixTime(32_503_680_000 + 4 * 24 * 3600);
    let credentials = Credentials::load(&config, then).unwrap().unwrap();
    let warnings = credentials.warnings().join("\n");
    for fragment in [
        "it is for other.example.org, and not for origin_host, eir.epc.",
        "it is not meant for servers",
        "expires in 10 days, on 3000-01-15T00:00:00Z",
        "eir.key: everybody on this machine may read the private key",
    ] {
        assert!(warnings.contains(fragment), "{fragment}:\n{warnings}");
    }
    assert_eq!(credentials.warnings().len(), 4, "{warnings}");
}
