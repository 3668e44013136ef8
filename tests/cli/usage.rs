//! The command line itself: help, version, mistakes, and output that nobody
//! reads.

use std::process::Stdio;

use crate::harness::*;

const COMMANDS: [&str; 9] = [
    "serve", "check", "explain", "diff", "compile", "inspect", "verify", "replay", "config",
];

#[test]
fn help_names_the_commands_and_what_to_try_first() {
    let help = weir(["--help"]).ends(0).out;
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    assert!(help.contains("weir check 490154203237518"), "{help}");
    assert!(
        help.contains("Exit codes: 0 done, 1 failed, 2 wrong usage."),
        "{help}"
    );
}

#[test]
fn the_help_of_each_command_is_for_operators() {
    let named = [
        (
            "serve",
            &["--config", "--listen", "--origin-host", "SIGHUP", "SIGTERM"][..],
        ),
        (
            "check",
            &[
                "<IMEI>",
                "--imsi",
                "--svn",
                "--peer",
                "127.0.0.1",
                "--timeout",
                "--json",
            ],
        ),
        (
            "explain",
            &[
                "<IMEI>",
                "--imsi",
                "--at",
                "RFC 3339",
                "--origin-host",
                "--config",
                "--json",
            ],
        ),
        (
            "diff",
            &[
                "<OLD>",
                "<NEW>",
                "--imsi",
                "--at",
                "--replay",
                "--exit-code",
                "Ends with 0",
            ],
        ),
        ("compile", &["--config", "--output", "max_change", "--json"]),
        ("inspect", &["<FILE>", "--json"]),
        ("verify", &["<FILE>"]),
        (
            "replay",
            &[
                "<FILE.pcap>",
                "--peer",
                "--strict",
                "Ends with 0",
                "Ends with 1",
            ],
        ),
        ("config", &["--check", "--json"]),
    ];
    assert_eq!(named.map(|(command, _)| command), COMMANDS);
    // Words of the source, of its language and of its libraries.
    let inner = [
        "struct",
        "tokio",
        "async",
        "panic",
        "unwrap",
        "enum",
        "clap",
        "Option<",
        "Result<",
        "[`",
        "TODO",
        "default: \"\"",
        "sans-IO",
    ];
    for (command, needles) in named {
        for flag in ["--help", "-h"] {
            let run = weir([command, flag]).ends(0);
            assert!(
                run.out.starts_with(|c: char| c.is_ascii_uppercase()),
                "{run:?}"
            );
            assert_eq!(run.err, "");
            for needle in needles {
                assert!(run.out.contains(needle), "{command}: {needle}\n{}", run.out);
            }
            for word in inner {
                assert!(!run.out.contains(word), "{command}: {word}\n{}", run.out);
            }
        }
    }
}

#[test]
fn every_command_knows_its_version() {
    let version = format!("weir {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(weir(["--version"]).ends(0).out, version);
    for command in COMMANDS {
        let run = weir([command, "--version"]).ends(0);
        assert!(
            run.out.ends_with(version.trim_start_matches("weir")),
            "{run:?}"
        );
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    for (args, needle) in [
        (&["bogus"][..], "'bogus'"),
        (&["serv"], "'serve'"),
        (&["--bogus"], "'--bogus'"),
        (&["serve", "--bogus"], "'--bogus'"),
        (&["serve", "extra"], "'extra'"),
        (&["serve", "--listen", "127.0.0.1:x"], "127.0.0.1:x"),
        (
            &["serve", "--listen", "tcp://127.0.0.1:x"],
            "`x` is no port",
        ),
        (&["serve", "--listen", "udp://127.0.0.1:1"], "udp"),
        (&["serve", "--origin-host", "a b"], "--origin-host `a b`"),
        (&["serve", "--origin-realm", ""], "--origin-realm"),
        (&["check"], "<IMEI>"),
        (&["check", "12"], "must have 14, 15 or 16 digits"),
        (&["check", "49015420323751x"], "IMEI `49015420323751x`"),
        (
            &["check", WHITE, "--svn", "5"],
            "--svn `5`: write two digits",
        ),
        (&["check", WHITE, "--imsi", "12"], "--imsi `12`"),
        (
            &["check", WHITE, "--timeout", "0"],
            "between 0.001 and 3600",
        ),
        (
            &["check", WHITE, "--timeout", "soon"],
            "not a number of seconds",
        ),
        (&["check", WHITE, "--origin-host", "a b"], "--origin-host"),
        (&["explain"], "<IMEI>"),
        (&["explain", WHITE, "--at", "2027"], "2027-01-31T12:00:00Z"),
        (&["explain", WHITE, "--svn", "x1"], "--svn `x1`"),
        (&["config", "--json"], "--check"),
        (&["replay"], "<FILE.pcap>"),
        (
            &["replay", "a.pcap", "--peer", "x", "-c", "y"],
            "cannot be used with",
        ),
    ] {
        let run = weir(args).ends(2);
        assert!(run.err.contains(needle), "{args:?}: {}", run.err);
        assert_eq!(run.out, "", "{args:?}");
    }
    let run = weir([""; 0]).ends(2);
    assert!(run.err.contains("Usage: weir <COMMAND>"), "{run:?}");
}

#[test]
fn output_into_a_closed_pipe_is_no_failure() {
    for args in [
        &["config"][..],
        &["--help"],
        &["check", "--help"],
        &["explain", WHITE],
        &["explain", WHITE, "--json"],
    ] {
        let child = command()
            .args(args)
            .stdout(closed())
            .stderr(Stdio::piped())
            .spawn();
        let run = child.unwrap().wait_with_output().unwrap();
        assert_eq!(run.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8(run.stderr).unwrap(), "", "{args:?}");
    }
}

#[test]
fn a_failure_that_nobody_reads_keeps_its_exit_code() {
    for (args, code) in [
        (&["config", "--check", "/nowhere.toml"][..], 1),
        (&["check", "12"], 2),
        (&["bogus"], 2),
    ] {
        let child = command()
            .args(args)
            .stderr(closed())
            .stdout(Stdio::null())
            .spawn();
        let status = child.unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let Ok(full) = full else {
        eprintln!("skipped: there is no /dev/full");
        return;
    };
    let child = command()
        .arg("config")
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn();
    let run = child.unwrap().wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(
        String::from_utf8(run.stderr)
            .unwrap()
            .contains("cannot print")
    );
}

//----------- Replay

/// A file among the captures of the repository.
fn capture(name: &str) -> String {
    format!("{}/captures/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn replay_ends_as_its_verdicts_do() {
    let pcap = capture("open5gs-black.pcap");
    let run = weir(["replay", &pcap, "-c", &capture("weir-black.toml")]).ends(0);
    assert!(run.out.contains("requests"), "{run:?}");
    assert_eq!(run.err, "");
    // The test IMEIs are not those of the capture.
    let run = weir(["replay", &pcap]).ends(1);
    assert!(
        run.err
            .contains("1 of 3 requests did not get the recorded verdict"),
        "{run:?}"
    );

    let run = weir(["replay", &pcap, "--json", "-c", &capture("weir-black.toml")]).ends(0);
    for line in run.out.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }

    let run = weir(["replay", "/nowhere.pcap"]).ends(1);
    assert!(run.err.contains("/nowhere.pcap"), "{run:?}");
    let run = weir(["replay", &capture("README.md")]).ends(1);
    assert!(run.err.contains("is not a capture"), "{run:?}");
}

#[test]
fn replay_asks_a_live_server() {
    let server = Serving::start([
        "-c",
        &capture("weir-black.toml"),
        "--origin-host",
        "eir.localdomain",
        "--origin-realm",
        "localdomain",
    ]);
    let pcap = capture("open5gs-black.pcap");
    let run = weir(["replay", &pcap, "--peer", &server.peer()]);
    assert_eq!(run.code, Some(0), "{run:?}\n{}", server.log.text());
}
