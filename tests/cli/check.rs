//! `weir check` against servers of all sorts.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use weir::net::Clock;

use crate::harness::*;

#[test]
fn the_commands_of_the_banner_work_as_they_are_printed() {
    let mut server = Serving::start([""; 0]);
    let banner = server.out.text();
    let (_, commands) = banner
        .split_once("Try in a second shell:\n")
        .expect(&banner);
    let commands: Vec<_> = commands.lines().map(str::trim).collect();
    assert_eq!(commands.len(), 2, "{banner}");
    for (line, needle) in commands.iter().zip([
        "Equipment-Status     whitelisted (0)",
        "Verdict: whitelisted",
    ]) {
        let run = finish(std::process::Command::new("sh").args(["-c", line])).ends(0);
        assert!(run.out.contains(needle), "{line}: {run:?}");
    }
    server.stop();
}

#[test]
fn every_kind_of_sample_rule_in_text_and_json() {
    let server = Serving::start([""; 0]);
    // As the comments of the built-in register say.
    for (args, verdict) in [
        (&["490154203237518"][..], "whitelisted"),
        (&["49015420323751"], "whitelisted"),
        (&["4901542032375101"], "whitelisted"),
        (&["imei-490154203237518"], "whitelisted"),
        (&["001012340000010"], "blacklisted"),
        (&["00101234000002"], "greylisted"),
        (&["0010123400000305"], "greylisted"),
        (&["00101234000003", "--svn", "05"], "greylisted"),
        (&["00101234000003", "--svn", "06"], "unknown"),
        (&["00101234000003"], "unknown"),
        (&["00101234000004"], "blacklisted"),
        (
            &["00101234000004", "--imsi", "001010000000001"],
            "whitelisted",
        ),
        (
            &["00101234000004", "--imsi", "001010000000002"],
            "blacklisted",
        ),
        (&["00101234000005"], "unknown"),
        (&["00105000000000"], "blacklisted"),
        (&["00105000000999"], "blacklisted"),
        (&["00105000001000"], "unknown"),
        (&["00106000123456"], "greylisted"),
        (&["00107999123456"], "blacklisted"),
        (&["35349006987331"], "unknown"),
        (&["00101234000100", "--imsi", "001010000000100"], "unknown"),
        (
            &["490154203237518", "--imsi", "001010000000100"],
            "blacklisted",
        ),
        (
            &["00106000123456", "--imsi", "001010000000101"],
            "greylisted",
        ),
    ] {
        let run = server.check(args).ends(0);
        assert!(
            run.out.starts_with(&format!("{}: {verdict}\n", args[0])),
            "{run:?}"
        );
        assert!(
            run.out
                .contains("answered by          eir.epc.mnc001.mcc001"),
            "{run:?}"
        );

        let json = server.check(&[args, &["--json"]].concat()).ends(0).json();
        assert_eq!(json["imei"], args[0]);
        assert_eq!(json["verdict"], verdict, "{args:?}");
        let status = ["whitelisted", "blacklisted", "greylisted"];
        match status.iter().position(|name| *name == verdict) {
            Some(number) => {
                assert!(
                    run.out
                        .contains(&format!("Equipment-Status     {verdict} ({number})"))
                );
                assert!(run.out.contains("DIAMETER_SUCCESS (2001)"));
                assert_eq!(json["equipment_status"], number);
                assert_eq!(json["result_code"], 2001);
                assert!(json["experimental_result_code"].is_null());
            }
            None => {
                assert!(
                    run.out.contains("DIAMETER_ERROR_EQUIPMENT_UNKNOWN (5422)"),
                    "{run:?}"
                );
                assert!(json["equipment_status"].is_null());
                assert!(json["result_code"].is_null());
                assert_eq!(json["experimental_result_code"], 5422);
            }
        }
        assert!(json["round_trip_micros"].is_u64());
        assert_eq!(json["product_name"], "Weir");
    }
}

#[test]
fn an_error_answer_is_shown_and_ends_with_1() {
    let server = Serving::start([""; 0]);
    for (args, code) in [
        (&["12", "--raw"][..], 5004),
        (&[WHITE, "--destination-realm", "elsewhere"], 3003),
        (&[WHITE, "--destination-host", "other.localdomain"], 3002),
    ] {
        let run = server.check(args).ends(1);
        assert!(run.out.contains(&format!("({code})")), "{run:?}");
        assert!(run.out.contains("Error-Message"), "{run:?}");
        assert!(
            run.err.contains("the server answered with an error"),
            "{run:?}"
        );
        let json = server.check(&[args, &["--json"]].concat()).ends(1).json();
        assert_eq!(json["verdict"], "error");
        assert_eq!(json["result_code"], code);
    }
}

#[test]
fn the_peer_may_be_written_in_several_ways() {
    let listen = ["--listen", "tcp://[::1]:0"];
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    let server = Serving::start(&listen[..if has_ipv6 { 2 } else { 0 }]);
    let addresses = server.addresses();
    for address in &addresses {
        weir(["check", WHITE, "--peer", &address.to_string()]).ends(0);
    }
    let port = addresses[0].port();
    weir(["check", WHITE, &format!("--peer=localhost:{port}")]).ends(0);
    for wrong in ["localhost:99999", "localhost:x", "nowhere.invalid"] {
        let run = weir(["check", WHITE, "--peer", wrong]).ends(1);
        assert!(
            run.err.contains(&format!("cannot connect to {wrong}")),
            "{run:?}"
        );
    }
    if !has_ipv6 {
        eprintln!("skipped: this machine has no IPv6");
    }
}

#[test]
fn a_check_can_take_the_name_of_a_peer_that_is_admitted() {
    let dir = directory(&[(
        "weir.toml",
        "[diameter]\nunknown_peers = false\n\
         [[diameter.peer]]\norigin_host = \"mme.localdomain\"\n\
         [register]\nsample = true\n",
    )]);
    let server = Serving::start_in(dir.path());
    let run = server.check(&[WHITE]).ends(1);
    assert!(run.err.contains("DIAMETER_UNKNOWN_PEER (3010)"), "{run:?}");
    assert!(run.err.contains("--origin-host"), "{run:?}");
    server
        .check(&[WHITE, "--origin-host", "mme.localdomain"])
        .ends(0);
}

//----------- No server, and servers that misbehave

#[test]
fn no_server_ends_with_1_and_says_how_to_start_one() {
    // Bound, but not listened on: nobody else can take the port meanwhile.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket
        .local_addr()
        .unwrap()
        .as_socket()
        .unwrap()
        .to_string();
    let run = weir(["check", WHITE, "--peer", &address]).ends(1);
    assert!(
        run.err.contains(&format!("cannot connect to {address}")),
        "{run:?}"
    );
    assert!(run.err.contains("`weir serve` starts one"), "{run:?}");
    assert!(run.err.contains("--peer"), "{run:?}");
    assert_eq!(run.out, "");
}

/// A server that does `serve` with its only connection, which stays open until
/// the test is over.
fn strange(serve: impl FnOnce(&mut TcpStream) + Send + 'static) -> (String, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (over, wait) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        serve(&mut stream);
        // An error as well as a message: the test is over.
        let _ = wait.recv();
    });
    (address, over)
}

#[test]
fn a_server_that_never_answers_is_given_up_on_time() {
    let (address, _over) = strange(|_| {});
    let clock = Clock::start();
    let run = weir(["check", WHITE, "--peer", &address, "--timeout", "0.3"]).ends(1);
    assert!(clock.now().uptime.0 >= Duration::from_millis(300));
    assert!(
        clock.now().uptime.0 < Duration::from_secs(5),
        "the default was waited for"
    );
    assert!(
        run.err
            .contains(&format!("{address}: no answer within 0.3 s")),
        "{run:?}"
    );
}

#[test]
fn a_server_that_answers_nonsense_is_told_as_such() {
    for nonsense in [
        &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        &[0xFF; 4000],
        // Shorter than a header; longer than any message.
        &[1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[
            1, 0xFF, 0xFF, 0xFC, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
    ] {
        let (address, _over) = strange(move |stream| {
            receive(stream);
            stream.write_all(nonsense).unwrap();
        });
        let clock = Clock::start();
        let run = weir(["check", WHITE, "--peer", &address, "--timeout", "20"]).ends(1);
        assert!(
            clock.now().uptime.0 < Duration::from_secs(15),
            "not noticed: {run:?}"
        );
        assert!(run.err.contains(&address), "{run:?}");
        assert!(run.err.contains("Diameter"), "{nonsense:?}: {run:?}");
    }
}

#[test]
fn a_server_that_closes_is_told_as_such() {
    let (address, _over) = strange(|stream| {
        receive(stream);
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let run = weir(["check", WHITE, "--peer", &address]).ends(1);
    assert!(
        run.err
            .contains("closed the connection instead of answering"),
        "{run:?}"
    );
}

#[test]
fn a_server_that_does_not_answer_the_disconnect_holds_nobody_up() {
    let server = Serving::start([""; 0]);
    let upstream = server.peer();
    // Passes the CER and the ECR on, and no more.
    let (address, _over) = strange(move |client| {
        let mut server = TcpStream::connect(upstream).unwrap();
        for _ in 0..2 {
            server.write_all(&receive(client)).unwrap();
            client.write_all(&receive(&mut server)).unwrap();
        }
    });
    let clock = Clock::start();
    let run = weir(["check", WHITE, "--peer", &address, "--timeout", "60"]).ends(0);
    assert!(run.out.contains("whitelisted"), "{run:?}");
    assert!(clock.now().uptime.0 < Duration::from_secs(20));
}
