//! The generator against servers that are known to be good, wrong, silent or
//! slow: what it says of them must be what they did.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// What the server does with a request.
enum Deed {
    /// Answers: blacklisted.
    Right,
    /// Answers something else: what is done to the right answer.
    Wrong(fn(&mut Vec<u8>)),
    /// Does not answer.
    Silence,
    /// Waits, then answers.
    Pause(Duration),
}

/// What the server does with each request.
type Deeds = fn(u64) -> Deed;

/// A server that does something with each request by its number, and counts
/// how often it answered wrongly. Its answers are put together by hand: nothing
/// of Weir's own code is in them.
struct Stub {
    address: SocketAddr,
    wrong: Arc<AtomicU64>,
}

impl Stub {
    fn start(deed: Deeds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wrong = Arc::new(AtomicU64::new(0));
        let count = wrong.clone();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let count = count.clone();
                thread::spawn(move || serve(&mut socket.unwrap(), deed, &count));
            }
        });
        Self { address, wrong }
    }

    fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::SeqCst)
    }
}

/// Answers until the client leaves.
fn serve(socket: &mut TcpStream, deed: Deeds, wrong: &AtomicU64) -> Option<()> {
    socket.set_nodelay(true).unwrap();
    let mut number = 0;
    loop {
        let mut request = vec![0; 20];
        socket.read_exact(&mut request).ok()?;
        let len = u32::from_be_bytes([0, request[1], request[2], request[3]]) as usize;
        request.resize(len, 0);
        socket.read_exact(&mut request[20..]).ok()?;
        let mut answer = answer(&request);
        // The CER and the DPR are no requests that count.
        let counts = request[5..8] == [0, 0x01, 0x44];
        let deed = if counts { deed(number) } else { Deed::Right };
        match deed {
            Deed::Right => {}
            Deed::Wrong(spoil) => {
                spoil(&mut answer);
                wrong.fetch_add(1, Ordering::SeqCst);
            }
            Deed::Silence => answer.clear(),
            Deed::Pause(pause) => thread::sleep(pause),
        }
        number += u64::from(counts);
        socket.write_all(&answer).ok()?;
    }
}

/// Header, first AVP of the request, Result-Code 2001, Equipment-Status 1.
fn answer(request: &[u8]) -> Vec<u8> {
    let mut answer = request[..20].to_vec();
    answer[4] &= 0x7f;
    let len = u32::from_be_bytes([0, request[25], request[26], request[27]]) as usize;
    answer.extend_from_slice(&request[20..20 + len.next_multiple_of(4)]);
    answer.extend_from_slice(&[0, 0, 1, 12, 0x40, 0, 0, 12, 0, 0, 0x07, 0xd1]);
    answer.extend_from_slice(&[
        0, 0, 0x05, 0xa5, 0xc0, 0, 0, 16, 0, 0, 0x28, 0xaf, 0, 0, 0, 1,
    ]);
    let len = (answer.len() as u32).to_be_bytes();
    answer[1..4].copy_from_slice(&len[1..]);
    answer
}

/// Runs the generator against an address.
fn run(command: &str, address: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir-load"))
        .args([command, "--peer", address, "--warmup", "0", "--json"])
        .args(args)
        .output()
        .unwrap()
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A list of one device, and the argument that says it is blacklisted.
fn list(dir: &Path) -> String {
    let path = dir.join("list.csv");
    fs::write(&path, "imei\n490154203237518\n").unwrap();
    format!("{}=blacklisted", path.display())
}

fn closed(stub: &Stub, args: &[&str]) -> (Value, bool) {
    let dir = tempfile::tempdir().unwrap();
    let imeis = list(dir.path());
    let address = format!("tcp://{}", stub.address);
    let args = [&["--duration", "0.5", "--imeis", &imeis], args].concat();
    let output = run("closed", &address, &args);
    (report(&output), output.status.success())
}

#[test]
fn right_answers_are_right() {
    let stub = Stub::start(|_| Deed::Right);
    let (report, success) = closed(&stub, &["--window", "32", "--connections", "3"]);
    assert!(success, "{report}");
    assert!(report["answers"].as_u64().unwrap() > 100, "{report}");
    assert_eq!(report["answers"], report["outcomes"]["blacklisted"]);
    assert_eq!((&report["wrong"], &report["lost"]), (&0.into(), &0.into()));
}

#[test]
fn each_wrong_answer_is_found() {
    let spoils: [(&str, Deeds); 5] = [
        ("another status", |number| match number % 7 {
            0 => Deed::Wrong(|answer| *answer.last_mut().unwrap() = 0),
            _ => Deed::Right,
        }),
        ("another result", |number| match number % 7 {
            0 => Deed::Wrong(|answer| {
                let at = answer.len() - 17;
                answer[at] = 0xd2;
            }),
            _ => Deed::Right,
        }),
        ("another session", |number| match number % 7 {
            0 => Deed::Wrong(|answer| answer[30] ^= 1),
            _ => Deed::Right,
        }),
        ("another AVP", |number| match number % 7 {
            0 => Deed::Wrong(|answer| {
                let at = answer.len() - 13;
                answer[at] = 0xa6;
            }),
            _ => Deed::Right,
        }),
        ("a code without a status", |number| match number % 7 {
            0 => Deed::Wrong(|answer| {
                answer.truncate(answer.len() - 16);
                let len = (answer.len() as u32).to_be_bytes();
                answer[1..4].copy_from_slice(&len[1..]);
            }),
            _ => Deed::Right,
        }),
    ];
    for (what, deed) in spoils {
        let stub = Stub::start(deed);
        let (report, success) = closed(&stub, &["--window", "16"]);
        assert!(!success && stub.wrong() > 0, "{what}: {report}");
        assert_eq!(report["wrong"], stub.wrong(), "{what}: {report}");
    }
}

#[test]
fn an_answer_to_something_else_is_wrong_and_its_request_lost() {
    let stub = Stub::start(|number| match number {
        50 => Deed::Wrong(|answer| answer[19] ^= 0x80),
        60 | 70 => Deed::Silence,
        _ => Deed::Right,
    });
    let (report, success) = closed(&stub, &["--window", "16"]);
    assert!(!success);
    assert_eq!(report["wrong"], 1, "{report}");
    assert_eq!(report["lost"], 3, "{report}");
}

/// The server stands still for a quarter of the time, so that of the requests
/// of an open loop a tenth waits for more than three fifths of that: only a
/// generator that went on counting while it stood still can say so.
#[test]
fn a_pause_counts_for_all_that_were_due_meanwhile() {
    let stub = Stub::start(|number| match number {
        500 => Deed::Pause(Duration::from_millis(500)),
        _ => Deed::Right,
    });
    let dir = tempfile::tempdir().unwrap();
    let (imeis, hgrm) = (list(dir.path()), dir.path().join("latency.hgrm"));
    let address = format!("tcp://{}", stub.address);
    let args = [
        "--duration",
        "2",
        "--rate",
        "1000",
        "--imeis",
        &imeis,
        "--hgrm",
        hgrm.to_str().unwrap(),
    ];
    let report = report(&run("open", &address, &args));
    assert_eq!(report["answers"], 2000, "{report}");
    let latency = |name: &str| report["latency_us"][name].as_f64().unwrap();
    assert!(latency("p90") > 250_000.0, "{report}");
    assert!(latency("max") > 490_000.0, "{report}");
    let text = fs::read_to_string(hgrm).unwrap();
    assert!(text.contains("Total count    =         2000]"), "{text}");
}

/// An echo of the generator's own, and where it listens.
struct Echo(Child, String);

impl Echo {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir-load"))
            .arg("echo")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        Self(child, line.trim().replace("echo on ", ""))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It ends by itself when its input does.
        drop(self.0.stdin.take());
        let status = self.0.wait();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

#[test]
fn an_echo_sends_as_much_as_it_is_told() {
    let echo = Echo::start(&["--listen", "tcp://127.0.0.1:0"]);
    let address: SocketAddr = echo.1.trim_start_matches("tcp://").parse().unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(&[0, 0, 0, 10, 0, 0, 0, 3]).unwrap();
    socket.write_all(&[7; 25]).unwrap();
    let mut answers = [1; 6];
    socket.read_exact(&mut answers).unwrap();
    assert_eq!(answers, [0; 6]);
    socket.write_all(&[7; 5]).unwrap();
    socket.read_exact(&mut answers[..3]).unwrap();
    drop(socket);
    let args = ["--echo", "152", "--window", "64", "--duration", "0.3"];
    let report = report(&run("closed", &echo.1, &args));
    assert!(report["answers"].as_u64().unwrap() > 100, "{report}");
    assert_eq!(report["lost"], 0, "{report}");
}

#[test]
fn tls_is_spoken_and_strangers_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for name in ["own", "other"] {
        let made = rcgen::generate_simple_self_signed(["eir.example".to_owned()]).unwrap();
        fs::write(file(&format!("{name}.pem")), made.cert.pem()).unwrap();
        fs::write(
            file(&format!("{name}.key")),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
    }
    let (certificate, key) = (file("own.pem"), file("own.key"));
    let echo = Echo::start(&[
        "--listen",
        "tls://127.0.0.1:0",
        "--certificate",
        &certificate,
        "--key",
        &key,
    ]);
    let asked = |ca: &str, name: &str| {
        let ca = file(ca);
        let args = ["--echo", "152", "--window", "300", "--duration", "0.3"];
        let tls = ["--ca", &ca, "--server-name", name];
        run("closed", &echo.1, &[&args[..], &tls].concat())
    };
    let output = asked("own.pem", "eir.example");
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert!(report["answers"].as_u64().unwrap() > 300, "{report}");
    for (ca, name) in [("other.pem", "eir.example"), ("own.pem", "mme.example")] {
        let output = asked(ca, name);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("certificate"),
            "{said}"
        );
    }
}

#[test]
fn pairs_alternate_and_are_written_down() {
    let stub = Stub::start(|_| Deed::Right);
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (imeis, json) = (list(dir.path()), file("1.json"));
    let address = format!("tcp://{}", stub.address);
    let args = [
        "--window",
        "8",
        "--pairs",
        "5",
        "--duration",
        "0.1",
        "--imeis",
        &imeis,
        "--title",
        "W = 8",
        "--want",
        "answers/s<=100",
        "--json-to",
        &json,
    ];
    let comparison = report(&run("compare", &address, &args));
    let runs = comparison["subject"]["runs"].as_array().unwrap();
    assert_eq!(
        runs.len(),
        comparison["base"]["runs"].as_array().unwrap().len()
    );
    // The ratio of the medians is near the median of the ratios, and both are
    // of these runs.
    let ratio = &comparison["ratios"][0];
    assert_eq!(ratio["figure"], "answers/s");
    let (min, max) = (
        ratio["min"].as_f64().unwrap(),
        ratio["max"].as_f64().unwrap(),
    );
    assert!((min..=max).contains(&ratio["ratio"].as_f64().unwrap()));

    let (markdown, svg) = (file("record.md"), file("plot.svg"));
    let output = Command::new(env!("CARGO_BIN_EXE_weir-load"))
        .arg("record")
        .arg(dir.path())
        .args([
            "--title",
            "A record",
            "--markdown",
            &markdown,
            "--svg",
            &svg,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(markdown).unwrap();
    assert!(text.starts_with("# A record\n") && text.contains("| W = 8: server / echo |"));
    let drawing = fs::read_to_string(svg).unwrap();
    assert!(
        drawing.contains("<svg") && drawing.contains("W = 8"),
        "{drawing}"
    );
}
