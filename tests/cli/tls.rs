//! TLS from the command line: servers with certificates, clients with and
//! without, and rotation by SIGHUP.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::certificates::{Ca, expired};
use crate::harness::*;

/// The name of the server.
const EIR: &str = weir::config::diameter::DEFAULT_ORIGIN_HOST;

/// A directory with a CA, certificates of a server and a client, and a
/// configuration.
fn world() -> (tempfile::TempDir, Ca) {
    let dir = directory(&[(
        "weir.toml",
        "[diameter]\nlisten = \"tls://127.0.0.1:0\"\n\
         [diameter.tls]\ncertificate = \"eir.pem\"\nkey = \"eir.key\"\nca = \"ca.pem\"\n\
         [register]\nsample = true\n",
    )]);
    let ca = Ca::new(dir.path(), "ca");
    ca.issue("eir", &[EIR]);
    ca.issue("mme", &["mme.localdomain"]);
    (dir, ca)
}

/// A server with that configuration, on the addresses in it.
fn serve(dir: &Path) -> Serving {
    let mut command = command();
    command.arg("serve").arg("-c").arg(dir.join("weir.toml"));
    Serving::spawn(&mut command)
}

/// Where it listens for TLS.
fn address(server: &Serving) -> String {
    let text = server.out.text();
    let (_, rest) = text.split_once("listening on tls://").expect(&text);
    rest.lines().next().unwrap().to_owned()
}

/// `weir check` of this server, as the client, with these further arguments.
fn check(dir: &Path, server: &Serving, args: &[&str]) -> Run {
    let path = |name: &str| dir.join(name).display().to_string();
    let (cert, key) = (path("mme.pem"), path("mme.key"));
    let own = ["--cert", &cert, "--key", &key];
    anonymous(dir, server, &[&own[..], args].concat())
}

/// The same without a certificate.
fn anonymous(dir: &Path, server: &Serving, args: &[&str]) -> Run {
    let ca = dir.join("ca.pem").display().to_string();
    let peer = address(server);
    let all = ["check", WHITE, "--peer", &peer, "--tls", "--ca", &ca];
    let name = ["--server-name", EIR, "--origin-host", "mme.localdomain"];
    let mut all: Vec<&str> = [&all[..], &name].concat();
    if args.contains(&"--insecure") {
        all.retain(|arg| ![&ca[..], "--ca"].contains(arg));
    }
    if args.contains(&"--server-name") {
        all.retain(|arg| ![EIR, "--server-name"].contains(arg));
    }
    weir(all.iter().chain(args))
}

#[test]
fn a_check_over_tls_says_what_is_missing() {
    let (dir, ca) = world();
    ca.issue("other", &["other.localdomain"]);
    ca.issue_with("old", &["mme.localdomain"], expired);
    Ca::new(dir.path(), "stranger");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let mut server = serve(dir.path());
    let banner = server.out.text();
    let way = format!(
        "--peer {} --tls --ca {} --server-name {EIR} --cert FILE --key FILE\n",
        address(&server),
        path("ca.pem")
    );
    assert!(banner.contains(&way), "{banner}");

    let run = check(dir.path(), &server, &[]).ends(0);
    assert!(
        run.out.starts_with("490154203237518: whitelisted\n"),
        "{run:?}"
    );
    let run = check(dir.path(), &server, &["--insecure"]).ends(0);
    assert!(run.out.contains("whitelisted"), "{run:?}");

    let run = anonymous(dir.path(), &server, &[]).ends(1);
    assert!(
        run.err.contains("it requires a certificate of ours"),
        "{run:?}"
    );
    assert!(run.err.contains("--cert and --key"), "{run:?}");
    let old = ["--cert", &path("old.pem"), "--key", &path("old.key")];
    let run = anonymous(dir.path(), &server, &old).ends(1);
    assert!(
        run.err.contains("to it, our certificate has expired"),
        "{run:?}"
    );
    let run = check(dir.path(), &server, &["--server-name", "mme.localdomain"]).ends(1);
    let want = format!("its certificate is for {EIR}, not for mme.localdomain\n");
    assert!(run.err.contains(&want), "{run:?}");

    let peer = address(&server);
    let ca = ["--ca", &path("stranger.pem")];
    let all = [
        "check",
        WHITE,
        "--tls",
        "--peer",
        &peer,
        "--server-name",
        EIR,
    ];
    let run = weir([&all[..], &ca].concat()).ends(1);
    assert!(
        run.err.contains("is of no CA that is trusted here"),
        "{run:?}"
    );
    let run = weir(["check", WHITE, "--peer", &peer]).ends(1);
    assert!(
        run.err.contains("the server speaks TLS on this port"),
        "{run:?}"
    );
    assert!(run.err.contains("--tls speaks it, too"), "{run:?}");
    let log = server.log.text();
    assert!(
        log.contains("no TLS with it: it sent no certificate"),
        "{log}"
    );
    server.stop();

    let plain = Serving::start([""; 0]);
    let run = weir([
        "check",
        WHITE,
        "--peer",
        &plain.peer(),
        "--tls",
        "--insecure",
    ])
    .ends(1);
    assert!(
        run.err.contains("its port may be one without TLS"),
        "{run:?}"
    );
}

#[test]
fn options_that_do_not_suffice_are_wrong_usage() {
    let dir = directory(&[("x.pem", "")]);
    let x = dir.path().join("x.pem").display().to_string();
    for (args, fragment) in [
        (&["--tls"][..], "--tls needs --ca FILE"),
        (&["--ca", &x], "--tls"),
        (&["--tls", "--insecure", "--cert", &x], "--key"),
        (&["--tls", "--insecure", "--ca", &x], "cannot be used with"),
        (&["--tls", "--sctp"], "cannot be used with"),
        (&["--interval", "1"], "write a number and ms, s, m or h"),
    ] {
        let run = weir(["check", WHITE].iter().chain(args)).ends(2);
        assert!(run.err.contains(fragment), "{fragment}: {run:?}");
    }
    let run = weir(["check", WHITE, "--tls", "--ca", &x]).ends(1);
    assert!(
        run.err.contains("x.pem: holds no certificate; it is empty"),
        "{run:?}"
    );
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let capture = captures.join("open5gs-black.pcap");
    let run = weir(["replay", capture.to_str().unwrap(), "--tls", "--insecure"]).ends(2);
    assert!(run.err.contains("name it with --peer"), "{run:?}");
}

#[test]
fn a_capture_replays_over_tls_with_the_same_verdicts() {
    let (dir, _ca) = world();
    let text = fs::read_to_string(dir.path().join("weir.toml")).unwrap();
    let text = text.replace(
        "[diameter.tls]",
        "[diameter.tls]\nclient_certificates = \"none\"",
    );
    fs::write(dir.path().join("weir.toml"), text).unwrap();
    let server = serve(dir.path());
    let plain = Serving::start([""; 0]);
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let capture = captures.join("open5gs-black.pcap");
    let capture = capture.to_str().unwrap();
    let ca = dir.path().join("ca.pem").display().to_string();
    let over_tls = [
        "replay",
        capture,
        "--json",
        "--peer",
        &address(&server),
        "--tls",
        "--ca",
        &ca,
        "--server-name",
        EIR,
    ];
    let secured = weir(over_tls);
    let plain = weir(["replay", capture, "--json", "--peer", &plain.peer()]);
    let verdicts = |run: &Run| -> Vec<serde_json::Value> {
        let lines = run
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines
            .map(|row: serde_json::Value| row["verdict"].clone())
            .collect()
    };
    assert_eq!(secured.code, plain.code, "{secured:?}\n{plain:?}");
    assert!(!verdicts(&secured).is_empty(), "{secured:?}");
    assert_eq!(verdicts(&secured), verdicts(&plain));
}

#[test]
fn a_new_certificate_is_shown_after_sighup_and_a_bad_one_is_not() {
    let (dir, ca) = world();
    let mut server = serve(dir.path());
    check(dir.path(), &server, &[]).ends(0);

    // Connected all the time, and asking.
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (ca_file, cert, key) = (path("ca.pem"), path("series.pem"), path("series.key"));
    ca.issue("series", &["series.localdomain"]);
    let mut series = command();
    series.args(["check", WHITE, "--tls", "--server-name", EIR]);
    series.args(["--peer", &address(&server), "--ca", &ca_file]);
    series.args(["--cert", &cert, "--key", &key]);
    series.args(["--origin-host", "series.localdomain"]);
    series.args(["--repeat", "0", "--interval", "2ms"]);
    let mut series = series.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let asked = Printed::collect(series.stdout.take().unwrap());
    asked.wait_for(": whitelisted in", 10);

    // One for another name: who asks for it by that name sees it.
    ca.issue("eir", &["new.example.org"]);
    let new = ["--server-name", "new.example.org"];
    check(dir.path(), &server, &new).ends(1);
    server.signal(Signal::HUP);
    server
        .log
        .wait_for("certificate reloaded: it is valid until", 1);
    server.log.wait_for("and not for origin_host", 1);
    check(dir.path(), &server, &new).ends(0);
    check(dir.path(), &server, &[]).ends(1);

    fs::copy(dir.path().join("mme.key"), dir.path().join("eir.key")).unwrap();
    server.signal(Signal::HUP);
    let log = server
        .log
        .wait_for("certificate refused, the one in force stays: ", 1);
    assert!(
        log.contains("eir.key: is not the key of the certificate in "),
        "{log}"
    );
    check(dir.path(), &server, &new).ends(0);

    // The lists do not wait for that.
    server.log.wait_for("register reloaded", 2);

    asked.wait_for(": whitelisted in", asked.count(": whitelisted in") + 10);
    let pid = rustix::process::Pid::from_child(&series);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(series.wait().unwrap().code(), Some(0), "all were answered");
    let text = asked.wait_for("round trip: min", 1);
    assert!(!text.contains("no answer"), "{text}");
    assert_eq!(server.log.count("series.localdomain: connected"), 1);
    server.stop();
}

#[test]
fn a_configuration_is_checked_with_its_certificates() {
    let (dir, ca) = world();
    let path = dir.path().join("weir.toml");
    let file = path.display().to_string();
    let run = weir(["config", "--check", &file]).ends(0);
    assert!(run.out.contains("listen   tls://127.0.0.1:0"), "{run:?}");
    assert!(!run.out.contains("warning"), "{run:?}");
    ca.issue_with("eir", &[EIR], expired);
    for args in [&["config", "--check", &file][..], &["serve", "-c", &file]] {
        let run = weir(args).ends(1);
        assert!(
            run.err
                .contains("eir.pem: certificate 1 (CN=eir) has expired on 2021-01-01"),
            "{run:?}"
        );
    }
    let base = "[diameter]\nlisten = \"tls://127.0.0.1:0\"\n[diameter.tls]\n";
    for (text, fragment) in [
        ("", "weir.toml:2"),
        ("", "set `certificate`, `key` and `ca` in [diameter.tls]"),
        ("certificate = \"eir.pem\"\n", "is set without `key`"),
        ("key = \"eir.key\"\n", "is set without `certificate`"),
        (
            "certificate = \"eir.pem\"\nkey = \"eir.key\"\n",
            "is set without `ca`",
        ),
        ("crl = \"x\"\n", "is set without `ca`"),
        (
            "[[diameter.connect]]\naddress = \"tls://dra\"\norigin_host = \"dra\"\n",
            "weir.toml:5",
        ),
        ("client_certificates = \"require\"\n", "required"),
        ("min_version = \"1.1\"\n", "1.2"),
        ("cert = \"x\"\n", "certificate"),
    ] {
        fs::write(&path, format!("{base}{text}")).unwrap();
        let run = weir(["config", "--check", &file]).ends(1);
        assert!(run.err.contains(fragment), "{fragment}: {run:?}");
    }
}

//----------- Series

#[test]
fn a_series_prints_a_line_each_and_a_summary() {
    let mut server = Serving::start([""; 0]);
    let series = ["--repeat", "5", "--interval", "10ms"];
    let run = server.check(&[&[WHITE][..], &series].concat()).ends(0);
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines.len(), 7, "{run:?}");
    for line in &lines[..5] {
        assert!(
            line.starts_with("490154203237518: whitelisted in "),
            "{line}"
        );
    }
    assert_eq!(lines[5], "5 asked, 5 answered: 5 whitelisted");
    assert!(lines[6].starts_with("round trip: min "), "{run:?}");

    let run = server
        .check(&[&[WHITE, "--json"][..], &series].concat())
        .ends(0);
    let rows: Vec<serde_json::Value> = (run.out.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 6);
    let mut times: Vec<u64> = (rows[..5].iter())
        .map(|row| row["round_trip_micros"].as_u64().unwrap())
        .collect();
    times.sort_unstable();
    let summary = &rows[5]["summary"];
    assert_eq!(summary["asked"], 5);
    assert_eq!(summary["answered"], 5);
    assert_eq!(summary["verdicts"], serde_json::json!({"whitelisted": 5}));
    assert_eq!(summary["min_micros"], times[0]);
    assert_eq!(summary["median_micros"], times[2]);
    assert_eq!(summary["max_micros"], times[4]);

    // Errors count as no verdict.
    let run = server
        .check(&[&["12", "--raw"][..], &series].concat())
        .ends(1);
    assert!(
        run.err.contains("5 of 5 requests got no verdict"),
        "{run:?}"
    );
    server.stop();
    let run = server.check(&[&[WHITE][..], &series].concat()).ends(1);
    assert!(run.err.contains("cannot connect to"), "{run:?}");
    assert_eq!(run.out, "");
}

#[test]
fn a_series_lasts_until_a_signal_and_over_a_restart() {
    let mut server = Serving::start([""; 0]);
    let peer = server.peer();
    let mut child = command()
        .args([
            "check",
            WHITE,
            "--peer",
            &peer,
            "--repeat",
            "0",
            "--interval",
            "20ms",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let out = Printed::collect(child.stdout.take().unwrap());
    let err = Printed::collect(child.stderr.take().unwrap());
    out.wait_for(": whitelisted in", 3);
    server.stop();
    out.wait_for("no answer: cannot connect to", 1);
    let before = out.count(": whitelisted in");
    let mut restarted = command();
    restarted.args(["serve", "--listen", &format!("tcp://{peer}")]);
    let mut server = Serving::spawn(&mut restarted);
    out.wait_for(": whitelisted in", before + 3);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "some got no answer");
    let text = out.wait_for("round trip: min", 1);
    assert!(text.contains(" asked, "), "{text}");
    err.wait_for("requests got no verdict", 1);
    server.stop();
}
