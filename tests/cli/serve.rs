//! `weir serve`: starting, refusing to start, stopping, and its log.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::BytesMut;
use rustix::process::Signal;
use weir::base::Node;
use weir::base::capabilities;
use weir::base::node::NodeSettings;
use weir::config::Config;
use weir::net::Clock;
use weir::s13::request::{IdentityCheck, compose};
use weir::wire::compose::HostAddress;

use crate::harness::*;

//----------- Starting

#[test]
fn the_threads_that_answer_are_as_many_as_configured_and_where_they_belong() {
    // The last processor that this process may use, as the kernel writes it.
    let allowed = |status: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.unwrap().trim().to_owned()
    };
    let own = allowed(&fs::read_to_string("/proc/self/status").unwrap());
    let last = own.rsplit([',', '-']).next().unwrap().to_owned();
    let text = format!("[runtime]\nworkers = 3\naffinity = [{last}]\n");
    let dir = directory(&[("weir.toml", text.as_str())]);
    let server = Serving::start_in(dir.path());
    let tasks = fs::read_dir(format!("/proc/{}/task", server.child.id())).unwrap();
    let mut pinned = 0;
    for task in tasks {
        let task = task.unwrap().path();
        let is_worker = fs::read_to_string(task.join("comm")).unwrap() == "weir-worker\n";
        let allowed = allowed(&fs::read_to_string(task.join("status")).unwrap());
        assert_eq!(allowed, if is_worker { &last } else { &own }.as_str());
        pinned += usize::from(is_worker);
    }
    assert_eq!(pinned, 3);
    server.check(&["490154203237518"]).ends(0);
}

#[test]
fn a_processor_that_is_not_there_is_told_with_those_that_are() {
    let dir = directory(&[("weir.toml", "[runtime]\naffinity = [1023]\n")]);
    let path = dir.path().join("weir.toml");
    for args in [["serve", "-c"], ["config", "--check"]] {
        let failed = weir(args.iter().map(OsStr::new).chain([path.as_os_str()])).ends(1);
        let told =
            "runtime.affinity names processor 1023, which this process may not use; it may use ";
        assert!(failed.err.contains(told), "{}", failed.err);
    }
}

#[test]
fn the_banner_names_the_configuration_and_the_address_that_are_in_use() {
    let dir = directory(&[
        (
            "it's mine/weir.toml",
            "[diameter]\nlisten = [\"tcp://0.0.0.0:0\", \"tcp://127.0.0.1:0\"]\n\
             [[list]]\nname = \"a\"\nstatus = \"black\"\npath = \"a.csv\"\n",
        ),
        ("it's mine/lists/a.csv", "imei\n490154203237518\n"),
    ]);
    let path = dir.path().join("it's mine/weir.toml");
    let server = Serving::spawn(
        command()
            .args([Path::new("serve"), Path::new("-c"), &path])
            .args(["--origin-host", "eir.localdomain"]),
    );
    let banner = server.out.text();
    assert!(
        banner.contains("identity      eir.localdomain\n"),
        "{banner}"
    );
    assert!(
        banner.contains("list          a: 1 rule from 1 file\n"),
        "{banner}"
    );
    let addresses = server.addresses();
    assert_eq!(addresses.len(), 2, "{banner}");
    for address in addresses {
        let peer = format!("127.0.0.1:{}", address.port());
        let json = weir(["check", WHITE, "--json", "--peer", &peer])
            .ends(0)
            .json();
        assert_eq!(json["verdict"], "blacklisted");
        assert_eq!(json["origin_host"], "eir.localdomain");
    }
    let (_, commands) = banner
        .split_once("Try in a second shell:\n")
        .expect(&banner);
    for line in commands.lines() {
        let run = finish(std::process::Command::new("sh").args(["-c", line])).ends(0);
        assert!(run.out.contains("blacklisted"), "{line}: {run:?}");
    }
}

#[test]
fn lists_are_found_beside_the_configuration_wherever_the_server_is_started() {
    let config = "[register]\nlists_dir = \"my lists\"\n\
                  [[list]]\nname = \"a\"\nstatus = \"black\"\npath = \"*.csv\"\n";
    let dir = directory(&[
        ("etc/weir.toml", config),
        ("etc/my lists/a.csv", "imei\n00101234000001\n"),
        ("elsewhere/my lists/a.csv", "imei\n00101234000002\n"),
    ]);
    for (cwd, config) in [("elsewhere", "../etc/weir.toml"), ("etc", "weir.toml")] {
        let server = Serving::spawn(command().current_dir(dir.path().join(cwd)).args([
            "serve",
            "--listen",
            "tcp://127.0.0.1:0",
            "-c",
            config,
        ]));
        assert_eq!(server.verdict("00101234000001"), "blacklisted");
        assert_eq!(server.verdict("00101234000002"), "unknown");
    }
}

#[test]
fn a_bad_list_keeps_the_server_from_starting() {
    let bad: String = (0..15).map(|line| format!("{line}\n")).collect();
    let dir = directory(&[
        (
            "weir.toml",
            "[diameter]\nlisten = \"tcp://127.0.0.1:0\"\n\
             [[list]]\nname = \"a\"\nstatus = \"black\"\npath = \"a.csv\"\n",
        ),
        ("lists/a.csv", &format!("imei\n00101234000001\n{bad}")),
    ]);
    let mut command = command();
    let run = finish(
        command
            .current_dir(dir.path())
            .args(["serve", "-c", "weir.toml"]),
    )
    .ends(1);
    assert_eq!(run.out, "");
    let lines: Vec<_> = run.err.lines().collect();
    assert_eq!(
        lines[0],
        "weir: lists/a.csv:3:1: imei: `0` has 1 digit, an IMEI 14 to 16"
    );
    for (line, number) in lines[1..10].iter().zip(4..) {
        assert!(
            line.starts_with(&format!("lists/a.csv:{number}:1: imei: ")),
            "{line}"
        );
    }
    assert_eq!(lines[10], "… and 5 more");
    assert_eq!(lines[11], "list a is refused: 15 bad lines, allowed are 0");
    assert_eq!(lines.len(), 13, "{}", run.err);

    // Allowed, they are left out, and told all the same.
    let config = fs::read_to_string(dir.path().join("weir.toml")).unwrap();
    fs::write(
        dir.path().join("weir.toml"),
        format!("{config}max_bad_lines = 15\n"),
    )
    .unwrap();
    let server = Serving::start_in(dir.path());
    assert_eq!(server.verdict("00101234000001"), "blacklisted");
    assert!(
        server.out.text().contains("a.csv:3:1: imei"),
        "{}",
        server.out.text()
    );
}

#[test]
fn a_wrong_configuration_keeps_the_server_from_starting() {
    let dir = directory(&[("weir.toml", "[diameter]\nwatchdgo = \"30s\"\n")]);
    let path = dir.path().join("weir.toml");
    let run = weir([Path::new("serve"), Path::new("-c"), &path]).ends(1);
    assert!(
        run.err.contains("weir.toml:2:1: unknown key `watchdgo`"),
        "{run:?}"
    );
    assert!(run.err.contains("did you mean `watchdog`?"), "{run:?}");
    assert_eq!(run.err.lines().count(), 1, "{run:?}");
}

#[test]
fn a_port_in_use_keeps_the_server_from_starting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", taken.local_addr().unwrap());
    let run = weir([
        "serve",
        "--listen",
        "tcp://127.0.0.1:0",
        "--listen",
        &address,
    ])
    .ends(1);
    assert!(
        run.err
            .contains(&format!("cannot listen on {address}: the port is in use")),
        "{run:?}"
    );
    assert_eq!(run.out, "");
    let run = weir(["serve", "--listen", "tcp://192.0.2.1:0"]).ends(1);
    assert!(
        run.err.contains("192.0.2.1 is no address of this machine"),
        "{run:?}"
    );
}

/// A directory with a `state_dir` in the configuration, and one list.
fn with_state() -> tempfile::TempDir {
    let config = "[register]\nwatch = false\nstate_dir = \"state\"\n\
                  [[list]]\nname = \"a\"\nstatus = \"black\"\npath = \"a.csv\"\n";
    directory(&[
        ("weir.toml", config),
        ("lists/a.csv", "imei\n00101234000001\n"),
    ])
}

#[test]
fn a_state_dir_is_of_one_server() {
    let dir = with_state();
    let config = dir.path().join("weir.toml");
    let mut first = Serving::start_in(dir.path());
    let args = ["serve", "--listen", "tcp://127.0.0.1:0", "-c"].map(OsStr::new);
    let second = weir(args.into_iter().chain([config.as_os_str()])).ends(1);
    assert!(
        second
            .err
            .contains("state is in use by another server; give each server its own"),
        "{second:?}"
    );
    // Other commands may look into it while the server runs.
    let loads = ["rollback", "--list", "-c"].map(OsStr::new);
    let loads = weir(loads.into_iter().chain([config.as_os_str()])).ends(0);
    assert!(loads.out.starts_with("1  "), "{loads:?}");
    // It ends with the server, also where that is killed.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    Serving::start_in(dir.path()).stop();
}

#[test]
fn what_was_never_in_force_is_not_kept() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = with_state();
    let config = dir.path().join("weir.toml");
    let listen = format!("tcp://{}", taken.local_addr().unwrap());
    let args = ["serve", "--listen", &listen, "-c"].map(OsStr::new);
    weir(args.into_iter().chain([config.as_os_str()])).ends(1);
    assert!(!dir.path().join("state/1").exists());
}

//----------- Output that nobody reads

#[test]
fn a_server_outlives_the_reader_of_its_log() {
    let mut child = command()
        .args(["serve", "--listen", "tcp://127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(closed())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut banner = Vec::new();
    while !banner.ends_with(b"explain 490154203237518\n") {
        let mut byte = [0];
        out.read_exact(&mut byte).unwrap();
        banner.push(byte[0]);
    }
    let peer = addresses(&String::from_utf8(banner).unwrap())[0].to_string();
    let runs: Vec<_> = (0..3)
        .map(|_| weir(["check", WHITE, "--peer", &peer]))
        .collect();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    for run in runs {
        run.ends(0);
    }
}

#[test]
fn a_server_without_standard_output_logs_where_it_listens() {
    let mut child = command()
        .args(["serve", "--listen", "tcp://127.0.0.1:0"])
        .stdout(closed())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = child.stderr.take().unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"\n") {
        let mut byte = [0];
        log.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("WARN"), "{text}");
    weir(["check", WHITE, "--peer", &addresses(&text)[0].to_string()]).ends(0);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Logging must never delay an answer: the pipe is full after some 400 of the
/// answers that are logged here, and nobody reads it.
#[test]
fn a_stalled_reader_of_the_log_delays_no_answer() {
    const REQUESTS: u32 = 5000;
    let mut child = command()
        .env("RUST_LOG", "debug")
        .args(["serve", "--listen", "tcp://127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let banner = Printed::collect(child.stdout.take().unwrap());
    banner.wait_for(" explain ", 1);
    let mut stream = open(addresses(&banner.text())[0]);
    let node = client();
    let check = IdentityCheck {
        session_id: "mme.localdomain;1;2",
        destination_host: None,
        destination_realm: weir::config::diameter::DEFAULT_ORIGIN_REALM,
        imei: WHITE,
        software_version: None,
        user_name: None,
    };
    for identifier in 0..REQUESTS {
        let mut ecr = BytesMut::new();
        compose(&mut ecr, &node, (identifier, identifier), &check);
        stream.write_all(&ecr).unwrap();
        let eca = receive(&mut stream);
        assert_eq!(eca[12..16], identifier.to_be_bytes());
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

//----------- The log

#[test]
fn identities_are_logged_in_full_only_where_asked() {
    let config = "[register]\nsample = true\n[log]\nlevel = \"debug\"\nshow_identities = true\n";
    let dir = directory(&[("weir.toml", config)]);
    let mut server = Serving::start_in(dir.path());
    server.check(&[WHITE, "--imsi", "001010123456789"]).ends(0);
    server.stop();
    let log = server.log.wait_for("stopped; ", 1);
    assert!(
        log.contains("imei 49015420323751 imsi 001010123456789: whitelisted"),
        "{log}"
    );
}

#[test]
fn no_identity_is_ever_logged() {
    for level in ["info", "debug", "trace"] {
        let config = format!("[register]\nsample = true\n[log]\nlevel = \"{level}\"\n");
        let dir = directory(&[("weir.toml", &config)]);
        let mut server = Serving::start_in(dir.path());
        for args in [
            &["490154203237518"][..],
            &["0010123400000305"],
            &["00101234000004", "--imsi", "001010000000001"],
            &["490154203237518", "--imsi", "001010000000100"],
            &["35349006987331"],
            &["49015420323751x", "--raw"],
        ] {
            server.check(args);
        }
        server.stop();
        let log = server.log.wait_for("stopped; ", 1);
        assert!(log.contains("connected from tcp://127.0.0.1:"), "{log}");
        for secret in ["4901542032", "0010123400", "00101000000", "353490069"] {
            assert!(!log.contains(secret), "{secret}:\n{log}");
        }
        assert!(!log.contains('\x1B'), "no colours in a pipe: {log:?}");
        let counted = "whitelisted=2 blacklisted=1 greylisted=1 unknown=1 black_but_allowed=1";
        assert!(log.contains(counted), "{log}");
    }
}

#[test]
fn the_environment_overrules_the_level_of_the_log() {
    let mut server = Serving::spawn(command().env("RUST_LOG", "error").args([
        "serve",
        "--listen",
        "tcp://127.0.0.1:0",
    ]));
    server.check(&[WHITE]).ends(0);
    server.stop();
    assert_eq!(server.log.text(), "");
}

//----------- Stopping

/// A connection whose capabilities are exchanged.
fn peer(server: &Serving) -> TcpStream {
    open(server.addresses()[0])
}

/// Who connects.
fn client() -> Node {
    let settings = weir::cli::serve::node(&Config::default())
        .settings()
        .clone();
    Node::new(NodeSettings {
        origin_host: "mme.localdomain".to_owned(),
        origin_realm: "localdomain".to_owned(),
        ..settings
    })
}

/// The same at an address.
fn open(address: SocketAddr) -> TcpStream {
    let node = client();
    let mut cer = BytesMut::new();
    capabilities::compose_request(&mut cer, &node, (1, 1), &[HostAddress::V4([127, 0, 0, 1])]);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&cer).unwrap();
    let cea = receive(&mut stream);
    assert_eq!((cea[4] & 0x80, &cea[5..8]), (0, &[0, 1, 1][..]));
    stream
}

/// Makes sure that this is a DPR with Disconnect-Cause REBOOTING (RFC 6733
/// sections 5.4.1 and 5.4.3).
fn is_dpr(message: &[u8]) {
    assert_eq!((message[4] & 0x80, &message[5..8]), (0x80, &[0, 1, 26][..]));
    let cause = [0, 0, 1, 17, 0x40, 0, 0, 12, 0, 0, 0, 0];
    assert!(message.windows(12).any(|avp| avp == cause), "{message:?}");
}

#[test]
fn signals_disconnect_the_peers_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Serving::start([""; 0]);
        let mut stream = peer(&server);
        server.signal(signal);
        let dpr = receive(&mut stream);
        is_dpr(&dpr);
        // The DPA: the same header as an answer, with Result-Code 2001 and
        // the names of the peer.
        let mut dpa = dpr[..20].to_vec();
        dpa[4] = 0;
        dpa.extend_from_slice(b"\0\0\x01\x0c\x40\0\0\x0c\0\0\x07\xd1");
        dpa.extend_from_slice(b"\0\0\x01\x08\x40\0\0\x0bmme\0\0\0\x01\x28\x40\0\0\x0blte\0");
        dpa[1..4].copy_from_slice(&[0, 0, 56]);
        stream.write_all(&dpa).unwrap();
        assert_eq!(stream.read(&mut [0; 100]).unwrap(), 0);
        drop(stream);
        assert_eq!(server.wait().code(), Some(0));
        let log = server.log.wait_for("stopped; ", 1);
        assert!(log.contains("stopping: disconnecting all peers"), "{log}");
    }
}

#[test]
fn the_second_signal_ends_the_server_at_once() {
    let config = "[diameter]\ndrain_timeout = \"15s\"\n[register]\nsample = true\n";
    let dir = directory(&[("weir.toml", config)]);
    let mut server = Serving::start_in(dir.path());
    let mut stream = peer(&server);
    server.signal(Signal::TERM);
    // Left without an answer.
    is_dpr(&receive(&mut stream));
    let clock = Clock::start();
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(1));
    assert!(clock.now().uptime.0 < Duration::from_secs(10));
    server
        .log
        .wait_for("stopped at once by the second signal", 1);
}

#[test]
fn sigusr1_logs_the_table_of_peers() {
    let dir = directory(&[(
        "weir.toml",
        "[register]\nsample = true\n[[diameter.peer]]\norigin_host = \"absent.localdomain\"\n\
         [[diameter.connect]]\norigin_host = \"dra.localdomain\"\naddress = \"tcp://127.0.0.1:1\"\n",
    )]);
    let server = Serving::start_in(dir.path());
    server.log.wait_for("calling dra.localdomain", 1);
    server.signal(Signal::USR1);
    let log = server
        .log
        .wait_for("calling dra.localdomain at tcp://127.0.0.1:1: waiting", 1);
    let row = log
        .lines()
        .find(|line| line.starts_with("absent.localdomain "))
        .unwrap();
    assert!(row.ends_with(" down"), "{row}");
    assert_eq!(server.verdict(WHITE), "whitelisted", "it serves on");
}
