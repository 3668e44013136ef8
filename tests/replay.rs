//! `weir replay` on every capture of `captures/`, and on damaged ones.
//!
//! What a request must be answered comes from the goldens of tshark, which
//! share no code with Weir; what else differs, from a table here whose every
//! line `captures/README.md` explains.
#![cfg(feature = "server")]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use clap::Parser;
use serde_json::Value;
use tokio::sync::oneshot;
use weir::cli::replay::ReplayArgs;
use weir::cli::serve;
use weir::config::Config;
use weir::error::Failed;
use weir::load;
use weir::metrics::Counters;
use weir::net::Server;
use weir::policy::Register;

/// What a replay of the Open5GS MME's CEA shows.
const CEA: [&str; 2] = [
    "CEA: 267 Firmware-Revision only in the replay",
    "CEA: 278 Origin-State-Id only in the replay",
];
/// The same of its DWA.
const DWA: &str = "DWA: 278 Origin-State-Id only in the replay";
/// The same of its ECA.
const ECA: &str = "ECA: 260 Vendor-Specific-Application-Id only in the recording";

/// Kinds of differences in the order of a summary, with their counts.
type Differences = &'static [(&'static str, u64)];

/// Every capture, the configuration that gives its verdicts, and how many
/// times each further difference occurs.
const CAPTURES: &[(&str, &str, Differences)] = &[
    (
        "open5gs-white",
        "weir",
        &[(CEA[0], 1), (CEA[1], 1), (ECA, 1)],
    ),
    (
        "open5gs-black",
        "weir-black",
        &[(CEA[0], 1), (CEA[1], 1), (ECA, 1)],
    ),
    (
        "open5gs-grey",
        "weir-grey",
        &[(CEA[0], 1), (CEA[1], 1), (ECA, 1)],
    ),
    (
        "open5gs-unknown5422",
        "weir-unknown",
        &[(CEA[0], 1), (CEA[1], 1), (ECA, 1)],
    ),
    (
        "open5gs-watchdog-tw6",
        "weir",
        &[(CEA[0], 1), (CEA[1], 1), (DWA, 3), (ECA, 1)],
    ),
    (
        "open5gs-dpr-from-eir-cause0-reconnect",
        "weir",
        &[(CEA[0], 2), (CEA[1], 2), (ECA, 1)],
    ),
    (
        "open5gs-drop-then-reopen-3-dwr",
        "weir",
        &[(CEA[0], 2), (CEA[1], 2), (DWA, 3), (ECA, 2)],
    ),
    (
        "open5gs-50-parallel-ecr",
        "weir",
        &[(CEA[0], 1), (CEA[1], 1), (ECA, 50)],
    ),
    (
        "open5gs-sctp-diameter-3-attaches",
        "weir",
        &[(CEA[0], 1), (CEA[1], 1), (DWA, 3), (ECA, 3)],
    ),
    ("s13-tcp", "weir-s13", ENCODED),
    ("s13-sctp", "weir-s13", ENCODED),
];

/// The further differences of the two composed recordings.
const ENCODED: Differences = &[
    ("316: 281 Error-Message only in the replay", 1),
    ("ECA: 281 Error-Message has another value", 1),
];

/// The folder with the captures.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// The path of a capture.
fn pcap(name: &str) -> PathBuf {
    folder().join(name).with_extension("pcap")
}

/// The command line of `weir replay`.
#[derive(Parser)]
struct Line {
    /// Its arguments.
    #[command(flatten)]
    replay: ReplayArgs,
}

/// What the command prints, and how it ends.
fn run(capture: &Path, options: &[&str]) -> (String, Result<(), Failed>) {
    let capture = capture.to_str().expect("a path in UTF-8");
    let line = ["replay", capture]
        .into_iter()
        .chain(options.iter().copied());
    let line = Line::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    let result = line.replay.run(&mut out);
    (String::from_utf8(out).expect("UTF-8"), result)
}

/// The same with a configuration of the captures.
fn run_with(name: &str, config: &str, options: &[&str]) -> (String, Result<(), Failed>) {
    let config = folder().join(config).with_extension("toml");
    let with = ["-c", config.to_str().expect("a path in UTF-8")];
    run(&pcap(name), &[&with[..], options].concat())
}

/// The rows and the summary of `--json`.
fn json(text: &str) -> (Vec<Value>, Value) {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let mut rows: Vec<Value> = lines.collect();
    let last = rows.pop().expect("a summary");
    (rows, last["summary"].clone())
}

/// A request of a golden: frame, command, Hop-by-Hop Identifier, and result and
/// status of the answer.
type Golden = (u64, u64, u64, Option<(String, String)>);

/// The requests of a golden with their answers.
fn golden(name: &str) -> Vec<Golden> {
    let text = fs::read_to_string(folder().join(name).with_extension("txt")).expect("a golden");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let is = |line: &[&str], sender: &str, request: bool| {
        let flags = u8::from_str_radix(line[3], 16).expect("flags");
        line[1] == sender && (flags & 0x80 != 0) == request
    };
    let requests = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| is(line, "client", true));
    requests
        .map(|(at, line)| {
            let mut behind = lines[at..].iter();
            let answer = behind.find(|other| is(other, "server", false) && other[4] == line[4]);
            let answer = answer.map(|line| (line[5].to_owned(), line[6].to_owned()));
            let frame = line[0].parse().expect("a frame");
            let command = line[2].parse().expect("a command");
            let hop_by_hop = u64::from_str_radix(line[4], 16).expect("an identifier");
            (frame, command, hop_by_hop, answer)
        })
        .collect()
}

/// A verdict in the words of the goldens.
fn in_golden_words(verdict: &Value) -> (String, String) {
    let experimental = &verdict["experimental_result_code"];
    let result = match experimental.as_u64() {
        Some(code) => format!("exp:{code}"),
        None => verdict["result_code"].to_string(),
    };
    let status = verdict["equipment_status"].as_u64();
    (
        result,
        status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
    )
}

#[test]
fn every_capture_gets_the_recorded_verdicts() {
    for (name, config, _) in CAPTURES {
        let (text, result) = run_with(name, config, &["--json"]);
        assert_eq!(result, Ok(()), "{name}");
        let (rows, summary) = json(&text);
        let golden = golden(name);
        assert_eq!(summary["requests"], golden.len(), "{name}");
        for (row, (frame, command, hop_by_hop, answer)) in rows.iter().zip(&golden) {
            let place = format!("{name}, frame {frame}");
            assert_eq!(row["frame"], *frame, "{place}");
            assert_eq!(row["command"], *command, "{place}");
            assert_eq!(row["hop_by_hop"], *hop_by_hop, "{place}");
            match answer {
                Some(answer) => {
                    assert_eq!(in_golden_words(&row["answer"]), *answer, "{place}");
                    assert_eq!(row["outcome"], "same", "{place}");
                }
                // Only the stand-in that drops its connection gave none.
                None => {
                    assert_eq!((*name, *frame), ("open5gs-drop-then-reopen-3-dwr", 8));
                    assert_eq!(in_golden_words(&row["answer"]), ("2001".into(), "0".into()));
                    assert_eq!(row["outcome"], "recorded_unanswered", "{place}");
                }
            }
        }
    }
}

#[test]
fn every_other_difference_is_known_and_explained() {
    let readme = fs::read_to_string(folder().join("README.md")).expect("captures/README.md");
    let mut seen = BTreeSet::new();
    for (name, config, known) in CAPTURES {
        let (text, _) = run_with(name, config, &["--json"]);
        let (_, summary) = json(&text);
        let found = summary["differences"].as_array().expect("an array").iter();
        let found: Vec<(&str, u64)> = found
            .map(|kind| {
                (
                    kind["text"].as_str().unwrap(),
                    kind["count"].as_u64().unwrap(),
                )
            })
            .collect();
        assert_eq!(&found, known, "{name}");
        for (difference, _) in *known {
            assert!(
                readme.contains(&format!("`{difference}`")),
                "captures/README.md: {difference}"
            );
        }
        assert!(run_with(name, config, &["--strict"]).1.is_err(), "{name}");
        seen.insert(format!("{name}.pcap"));
    }
    let entries = fs::read_dir(folder()).expect("captures/ can be listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    let captures: BTreeSet<_> = names.filter(|name| name.contains(".pcap")).collect();
    assert_eq!(seen, captures);
}

#[test]
fn the_text_is_one_line_a_request_and_a_summary() {
    let (text, _) = run_with("open5gs-drop-then-reopen-3-dwr", "weir", &[]);
    let expected = "     \
     4     0.000000  mme.localdomain  CER                                                   2001 SUCCESS =
                      278 Origin-State-Id only in the replay; 267 Firmware-Revision only in the replay
     8     0.542215  mme.localdomain  ECR  imei 35349006****** svn 06 imsi 99970**********  2001 whitelisted (recorded without an answer)
    15     4.570740  mme.localdomain  CER                                                   2001 SUCCESS =  (differs as frame 4)
    19     4.571431  mme.localdomain  DWR                                                   2001 SUCCESS =
                      278 Origin-State-Id only in the replay
    21     4.571747  mme.localdomain  DWR                                                   2001 SUCCESS =  (differs as frame 19)
    23     4.571961  mme.localdomain  DWR                                                   2001 SUCCESS =  (differs as frame 19)
    26     4.638671  mme.localdomain  ECR  imei 35349006****** svn 06 imsi 99970**********  2001 whitelisted =
                      260 Vendor-Specific-Application-Id only in the recording
    29     8.734539  mme.localdomain  ECR  imei 35349006****** svn 06 imsi 99970**********  2001 whitelisted =  (differs as frame 26)
    32    13.394361  mme.localdomain  DPR                                                   2001 SUCCESS =

9 requests of NAME
     8 with the recorded verdict
     1 recorded without an answer
other differences
     2× CEA: 267 Firmware-Revision only in the replay
     2× CEA: 278 Origin-State-Id only in the replay
     3× DWA: 278 Origin-State-Id only in the replay
     2× ECA: 260 Vendor-Specific-Application-Id only in the recording
";
    let path = pcap("open5gs-drop-then-reopen-3-dwr");
    assert_eq!(text.replace(path.to_str().unwrap(), "NAME"), expected);
}

#[test]
fn another_register_gives_other_verdicts_and_fails() {
    let (text, result) = run_with("open5gs-white", "weir-black", &["-v"]);
    let failed = result.unwrap_err();
    assert_eq!(failed.exit_code(), 1);
    let message = failed.to_string();
    assert!(
        message.ends_with("open5gs-white.pcap: 1 of 3 requests did not get the recorded verdict"),
        "{message}"
    );
    assert!(
        text.contains("2001 blacklisted ≠ recorded 2001 whitelisted"),
        "{text}"
    );
    assert!(text.contains("black.csv:2 (list stolen)"), "{text}");
    assert!(text.contains("\n     1 with another verdict\n"), "{text}");
}

#[test]
fn identities_are_hidden_unless_asked_for() {
    let (device, subscriber) = ("35349006987331", "999700000000001");
    for options in [&["-v"][..], &["--json"]] {
        let (hidden, _) = run_with("open5gs-white", "weir", options);
        assert!(
            !hidden.contains(device) && !hidden.contains(subscriber),
            "{hidden}"
        );
        let options = [options, &["--show-identities"]].concat();
        let (shown, _) = run_with("open5gs-white", "weir", &options);
        assert!(
            shown.contains(device) && shown.contains(subscriber),
            "{shown}"
        );
    }
}

#[test]
fn rules_hold_at_the_time_of_the_recording() {
    // tshark: frame 8 of open5gs-black was captured at 07:36:13.822874 UTC.
    let cases = [
        ("from,2026-11-22T07:36:13Z", "2001 blacklisted ="),
        (
            "from,2026-11-22T07:36:14Z",
            "5422 unknown ≠ recorded 2001 blacklisted",
        ),
        ("until,2026-11-22T07:36:13Z", "2001 blacklisted ="),
        (
            "until,2026-11-22T07:36:12Z",
            "5422 unknown ≠ recorded 2001 blacklisted",
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    fs::write(
        &config,
        "[register]\nlists_dir = \".\"\n[[list]]\nname = \"a\"\nstatus = \"black\"\npath = \"a.csv\"\n",
    )
    .unwrap();
    for (bound, expected) in cases {
        let (column, moment) = bound.split_once(',').unwrap();
        let list = format!("imei,{column}\n35349006987331,{moment}\n");
        fs::write(dir.path().join("a.csv"), list).unwrap();
        let (text, _) = run(&pcap("open5gs-black"), &["-c", config.to_str().unwrap()]);
        assert!(text.contains(expected), "{bound}: {text}");
    }
}

#[test]
fn a_configured_identity_is_not_the_one_that_was_asked() {
    let (text, result) = run(&pcap("open5gs-white"), &["--own-identity"]);
    assert!(
        text.contains("3002 UNABLE_TO_DELIVER ≠ recorded 2001 whitelisted"),
        "{text}"
    );
    let message = result.unwrap_err().to_string();
    assert!(
        message.contains("leave --own-identity out, or set origin_host = \"eir.localdomain\""),
        "{message}"
    );
}

/// The packets of a classic little-endian capture, each with its header.
fn packets(bytes: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (header, mut rest) = bytes.split_at(24);
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let captured = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let (packet, behind) = rest.split_at(16 + captured);
        packets.push(packet);
        rest = behind;
    }
    (header, packets)
}

/// A capture of its own making, in a folder that lives as long.
fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.pcap");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn a_capture_that_begins_in_the_middle_is_replayed() {
    let bytes = fs::read(pcap("open5gs-white")).unwrap();
    let (header, packets) = packets(&bytes);
    // Frame 8 is the ECR; handshake, CER and CEA are before it.
    let cut = [&[header], &packets[7..]].concat().concat();
    let (_dir, path) = written(&cut);
    let config = folder().join("weir.toml");
    let (text, result) = run(&path, &["--json", "-c", config.to_str().unwrap()]);
    assert_eq!(result, Ok(()));
    let (rows, summary) = json(&text);
    assert_eq!(rows[0]["request"], "ECR");
    assert_eq!(
        in_golden_words(&rows[0]["answer"]),
        ("2001".into(), "0".into())
    );
    assert_eq!(
        (&summary["requests"], &summary["same"]),
        (&2.into(), &2.into())
    );
}

#[test]
fn a_truncated_capture_is_replayed_as_far_as_it_goes() {
    let bytes = fs::read(pcap("open5gs-white")).unwrap();
    let (header, packets) = packets(&bytes);
    // In the middle of frame 9, the answer to frame 8.
    let len = header.len() + packets[..8].concat().len() + packets[8].len() / 2;
    let (_dir, path) = written(&bytes[..len]);
    let config = folder().join("weir.toml");
    let (text, result) = run(&path, &["-c", config.to_str().unwrap()]);
    assert_eq!(result, Ok(()));
    assert!(
        text.contains("2001 whitelisted (recorded without an answer)"),
        "{text}"
    );
    assert!(
        text.contains("warning: frame 8: the file ends in the middle"),
        "{text}"
    );
    // Wherever it is cut, there is a result and no panic.
    for len in (0..bytes.len()).step_by(7) {
        fs::write(&path, &bytes[..len]).unwrap();
        let (text, result) = run(&path, &["-c", config.to_str().unwrap()]);
        let message = result
            .err()
            .map(|failed| failed.to_string())
            .unwrap_or_default();
        assert!(
            !text.is_empty() || message.contains("capture.pcap"),
            "{len}: {message}"
        );
    }
}

#[test]
fn a_capture_with_nothing_to_replay_says_what_to_do() {
    let bytes = fs::read(pcap("open5gs-white")).unwrap();
    let (header, packets) = packets(&bytes);
    for (bytes, expected) in [
        (
            header.to_vec(),
            "capture.pcap: no Diameter message in 0 frames; --port names",
        ),
        // The handshake, and nothing more.
        (
            [&[header], &packets[..3]].concat().concat(),
            "capture.pcap: no Diameter message in 3 frames; --port names",
        ),
        (
            b"not a capture".to_vec(),
            "capture.pcap: is not a capture: it begins like neither pcap nor pcapng; record one",
        ),
        (
            Vec::new(),
            "capture.pcap: is empty, not a capture; record one",
        ),
    ] {
        let (_dir, path) = written(&bytes);
        let (text, result) = run(&path, &[]);
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert_eq!(text, "");
    }
    let (_, result) = run(Path::new("no/such/file.pcap"), &[]);
    let message = result.unwrap_err().to_string();
    assert!(
        message.starts_with("no/such/file.pcap: cannot be opened: "),
        "{message}"
    );
}

//----------- A live server ---------------------------------------------------

/// A server on a port of its own, stopped when it is dropped.
struct Live {
    /// Where it listens.
    address: SocketAddr,
    /// Stops it.
    stop: Option<oneshot::Sender<()>>,
    /// Where it runs.
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Starts a server with a configuration of the captures, changed.
    fn start(config: &str, change: impl FnOnce(&mut Config)) -> Self {
        let path = folder().join(config).with_extension("toml");
        let mut config = Config::load(&path).unwrap();
        config.diameter.listen = vec!["tcp://127.0.0.1:0".parse().unwrap()];
        change(&mut config);
        let (stop, stopped) = oneshot::channel();
        let (started, start) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let rulebook = load::load(&config).unwrap().rulebook;
                let register = Arc::new(Register::new(rulebook));
                let node = Arc::new(serve::node(&config));
                let counters = Arc::new(Counters::default());
                let server = Server::bind(&config, node, register, counters)
                    .await
                    .unwrap();
                started
                    .send(server.listening().next().unwrap().addresses[0])
                    .unwrap();
                let shutdown = async {
                    let _ = stopped.await;
                };
                server.run(shutdown).await;
            });
        });
        Self {
            address: start.recv().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Replays a capture against this server.
    fn replay(&self, name: &str, options: &[&str]) -> (String, Result<(), Failed>) {
        let address = self.address.to_string();
        run(
            &pcap(name),
            &[&["--peer", address.as_str()][..], options].concat(),
        )
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_live_server_gives_the_recorded_verdicts() {
    for config in [
        "weir",
        "weir-black",
        "weir-grey",
        "weir-unknown",
        "weir-s13",
    ] {
        let live = Live::start(config, |_| {});
        for (name, _, _) in CAPTURES.iter().filter(|(_, needs, _)| *needs == config) {
            let (text, result) = live.replay(name, &["--json"]);
            assert_eq!(result, Ok(()), "{name}: {text}");
            let (rows, _) = json(&text);
            for (row, (frame, _, _, answer)) in rows.iter().zip(&golden(name)) {
                if let Some(answer) = answer {
                    assert_eq!(
                        in_golden_words(&row["answer"]),
                        *answer,
                        "{name}, frame {frame}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_live_server_with_other_lists_fails_the_replay() {
    let live = Live::start("weir-black", |_| {});
    let (text, result) = live.replay("open5gs-white", &[]);
    assert!(result.is_err());
    assert!(
        text.contains("2001 blacklisted ≠ recorded 2001 whitelisted"),
        "{text}"
    );
}

#[test]
fn a_live_server_of_another_name_is_told_once() {
    let live = Live::start("weir-s13", |config| {
        config.diameter.origin_host = "other.example".to_owned();
    });
    let (text, result) = live.replay("s13-tcp", &[]);
    // One of the requests has a Destination-Host, in frame 7.
    assert!(
        text.contains("\n     6 with the recorded verdict\n"),
        "{text}"
    );
    assert!(
        text.contains("3002 UNABLE_TO_DELIVER ≠ recorded 5422 unknown"),
        "{text}"
    );
    assert!(result.is_err());
    let told = "the server is other.example of epc.mnc001.mcc001.3gppnetwork.org, \
                the recorded one was eir1.epc.mnc001.mcc001.3gppnetwork.org of";
    assert_eq!(text.matches(told).count(), 1, "{text}");
    assert!(!text.contains("Origin-Host"), "{text}");
}

#[test]
fn requests_for_another_node_say_how_to_start_the_server() {
    let live = Live::start("weir", |config| {
        config.diameter.origin_host = "other.example".to_owned();
        config.diameter.origin_realm = "example".to_owned();
    });
    let (_, result) = live.replay("open5gs-white", &[]);
    let message = result.unwrap_err().to_string();
    let expected = "start the server with --origin-host eir.localdomain --origin-realm localdomain";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_live_server_that_is_not_there_is_an_error() {
    // Bound and not listening, so that nobody else can listen there.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket
        .local_addr()
        .unwrap()
        .as_socket()
        .unwrap()
        .to_string();
    let (text, result) = run(&pcap("open5gs-white"), &["--peer", &address]);
    let message = result.unwrap_err().to_string();
    assert!(
        message.starts_with(&format!("cannot connect to {address}: ")),
        "{message}"
    );
    assert!(message.contains("weir serve"), "{message}");
    assert_eq!(text, "");
}

#[test]
fn a_live_server_that_hangs_up_leaves_requests_unanswered() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let (text, result) = run(&pcap("open5gs-white"), &["--peer", &address]);
    thread.join().unwrap();
    assert!(result.is_err());
    assert!(
        text.contains("\n     3 without an answer, though recorded with one\n"),
        "{text}"
    );
}
