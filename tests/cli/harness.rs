//! The `weir` binary as processes: run to its end, or serving.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use weir::net::Clock;

/// Long enough for anything that is not meant to wait, on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a state is looked at that nothing announces.
const POLL: Duration = Duration::from_millis(20);

/// A device that the built-in register whitelists.
pub(crate) const WHITE: &str = "490154203237518";

//----------- Commands that end

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// The same, after it was made sure that the command ended with `code`.
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// The binary, without what the environment of the tests may hold.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs `weir` to its end.
pub(crate) fn weir<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Run {
    finish(command().args(args))
}

/// `weir change` with the configuration of a directory.
pub(crate) fn change(dir: &Path, args: &[&str]) -> Run {
    let config = dir.join("weir.toml");
    let (verb, rest) = args.split_first().unwrap();
    weir(
        ["change", verb, "-c", config.to_str().unwrap()]
            .iter()
            .chain(rest),
    )
}

/// Runs any command to its end.
pub(crate) fn finish(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The end of a pipe that nobody reads from.
pub(crate) fn closed() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// The next Diameter message on a connection.
pub(crate) fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut message = vec![0; 4];
    stream.read_exact(&mut message).unwrap();
    let length = u32::from_be_bytes([0, message[1], message[2], message[3]]) as usize;
    message.resize(length, 0);
    stream.read_exact(&mut message[4..]).unwrap();
    message
}

//----------- Directories

/// A directory with these files; directories in their names are made.
pub(crate) fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// Whether a file whose mode forbids it is not readable: it is, to root.
pub(crate) fn modes_count(path: &Path) -> bool {
    let counts = fs::File::open(path).is_err();
    if !counts {
        eprintln!(
            "skipped: this user may read {} all the same",
            path.display()
        );
    }
    counts
}

//----------- Output that grows

/// What a process has printed so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Printed(Arc<(Mutex<String>, Condvar)>);

impl Printed {
    /// Collects everything that comes from `pipe`.
    pub(crate) fn collect(pipe: impl Read + Send + 'static) -> Self {
        let printed = Self::default();
        let writer = printed.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let (text, more) = &*writer.0;
                text.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&line));
                more.notify_all();
                line.clear();
            }
        });
        printed
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        self.0.0.lock().unwrap().clone()
    }

    /// How often `needle` is in it.
    pub(crate) fn count(&self, needle: &str) -> usize {
        self.text().matches(needle).count()
    }

    /// Waits until `needle` is in it `times` times; returns the text.
    pub(crate) fn wait_for(&self, needle: &str, times: usize) -> String {
        let (text, more) = &*self.0;
        let (text, _) = more
            .wait_timeout_while(text.lock().unwrap(), PATIENCE, |text| {
                text.matches(needle).count() < times
            })
            .unwrap();
        assert!(
            text.matches(needle).count() >= times,
            "`{needle}` was not printed {times} times:\n{text}"
        );
        text.clone()
    }
}

//----------- Servers

/// A `weir serve` process.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) out: Printed,
    pub(crate) log: Printed,
}

impl Serving {
    /// `weir serve` with a port of its own and these arguments.
    pub(crate) fn start<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Self {
        let mut command = command();
        command.args(["serve", "--listen", "tcp://127.0.0.1:0"]);
        Self::spawn(command.args(args))
    }

    /// `weir serve` with the configuration `weir.toml` of a directory.
    pub(crate) fn start_in(dir: &Path) -> Self {
        Self::start([OsStr::new("-c"), dir.join("weir.toml").as_os_str()])
    }

    /// A server started by this command; it is there when this returns.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let serving = Self {
            out: Printed::collect(child.stdout.take().unwrap()),
            log: Printed::collect(child.stderr.take().unwrap()),
            child,
        };
        // The last line of the banner.
        serving.out.wait_for(" explain ", 1);
        serving
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.out.text())
    }

    /// The first of the addresses, as the command line takes it.
    pub(crate) fn peer(&self) -> String {
        self.addresses()[0].to_string()
    }

    /// `weir check` of this server.
    pub(crate) fn check(&self, args: &[&str]) -> Run {
        let peer = self.peer();
        weir(["check", "--peer", &peer].iter().chain(args))
    }

    /// The verdict about an IMEI, as `weir check` prints it.
    pub(crate) fn verdict(&self, imei: &str) -> String {
        let run = self.check(&[imei, "--json"]).ends(0);
        run.json()["verdict"].as_str().unwrap().to_owned()
    }

    /// Waits until this is the verdict.
    pub(crate) fn wait_for_verdict(&self, imei: &str, verdict: &str) {
        until(
            || self.verdict(imei) == verdict,
            || format!("{imei} never was {verdict}:\n{}", self.log.text()),
        );
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until(
            || {
                status = self.child.try_wait().unwrap();
                status.is_some()
            },
            || "the server does not end".to_owned(),
        );
        status.unwrap()
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log.text());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Fails if it has ended, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The addresses in what a server printed.
pub(crate) fn addresses(text: &str) -> Vec<SocketAddr> {
    text.split("listening on tcp://")
        .skip(1)
        .map(|rest| rest.split([' ', '\n', ';', ',']).next().unwrap())
        .map(|address| address.parse().unwrap())
        .collect()
}

/// Waits until something is so.
pub(crate) fn until(mut is_so: impl FnMut() -> bool, why: impl Fn() -> String) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.now().uptime.0 < PATIENCE, "{}", why());
        thread::sleep(POLL);
    }
}
