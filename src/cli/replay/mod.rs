//! `weir replay`: feeds the requests of a capture through the EIR and compares
//! the answers with the recorded ones.
//!
//! ```text
//! capture ─▶ Recording: requests, recorded answers, who answered
//!               │
//!               ├─▶ local: Connection and register, no socket ─┐
//!               └─▶ live: a server (--peer)        ──────────┤
//!                                                              ▼
//!               compare: verdict, then AVP by AVP ─▶ Row per request ─▶ Summary
//! ```

mod between;
mod compare;
mod live;
mod local;
mod print;
mod recording;
mod value;

use core::fmt;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;

use super::transport::TransportArgs;
use super::{configuration, printed, serve};
use crate::capture::{self, Capture, CaptureError, DIAMETER_PORT, Fault, Options};
use crate::config::Transport;
use crate::error::Failed;
use crate::load;
use crate::wire::dictionary;

pub(super) use self::between::{Differing, between};
use self::compare::{Kind, Verdict, differences};
use self::print::{Counted, Outcome, Printer, Row, Summary};
use self::recording::{Exchange, Recording, identity, view};
use self::value::Masking;

/// Feed the requests of a capture through the EIR, and show how its answers
/// differ from the recorded ones. Needs no server: the lists are read, and the
/// answers given in the name of the recorded server. With --peer, a live server
/// is asked instead.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct ReplayArgs {
    /// The capture: pcap or pcapng, Diameter over TCP or SCTP, not encrypted.
    #[arg(value_name = "FILE.pcap")]
    pub capture: PathBuf,

    /// The configuration whose lists and policies answer; without one, the
    /// built-in register of test IMEIs.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Send the requests to this server instead: host or host:port.
    /// One connection for each recorded one, in the name of its client.
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["config", "own_identity"])]
    pub peer: Option<String>,

    /// Answer as the configured Origin-Host and Origin-Realm, not as the
    /// recorded server.
    #[arg(long)]
    pub own_identity: bool,

    /// Diameter has been captured on this port, too, besides 3868; may be given
    /// several times.
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,

    /// Fail for any difference, not only for another verdict.
    #[arg(long)]
    pub strict: bool,

    /// Print one JSON object for each request, and one for the summary, each on
    /// a line.
    #[arg(long)]
    pub json: bool,

    /// Print IMEIs and IMSIs in full.
    #[arg(long)]
    pub show_identities: bool,

    /// Print what decided each verdict, every difference with its values, and
    /// all warnings.
    #[arg(short, long)]
    pub verbose: bool,

    /// How the server is reached.
    #[command(flatten)]
    pub transport: TransportArgs,
}

/// How the command ends.
const EXIT_CODES: &str = "\
Ends with 0 if every recorded answer got the same verdict: the same Result-Code or
Experimental-Result-Code, and the same Equipment-Status. Ends with 1 if one differs or is
missing. Other differences are shown, and only count with --strict.";

/// What a request was answered in the replay.
#[derive(Clone, Debug)]
struct Reply {
    /// The answer, or why there is none.
    answer: Result<Bytes, Silence>,
    /// What decided the verdict, if it is known.
    ground: Option<String>,
}

impl Reply {
    /// No answer.
    const fn silent(silence: Silence) -> Self {
        Self {
            answer: Err(silence),
            ground: None,
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Silence {
    /// The connection is open, and nothing came.
    Unanswered,
    /// The connection ended, for this reason.
    Ended(String),
    /// The connection is closing, or the request never reached it.
    Lost,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered => f.write_str("the request was ignored"),
            Self::Ended(reason) => f.write_str(reason),
            Self::Lost => f.write_str("the connection was closing"),
        }
    }
}

impl ReplayArgs {
    /// Carries the command out, printing to `out`.
    ///
    /// # Errors
    ///
    /// A capture, configuration or list that cannot be used, a server that
    /// cannot be reached, or, once all is printed, verdicts that differ.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Failed> {
        let capture = read(&self.capture, &self.port)?;
        let recording = Recording::of(&capture);
        if recording.exchanges.is_empty() {
            return Err(nothing(&self.capture, &capture));
        }
        let replies = match &self.peer {
            Some(peer) => live::replay(&recording, peer, &self.transport)?,
            None if self.transport.transport() != Transport::Tcp => {
                return Err(Failed::usage(
                    "--tls and --sctp are ways to a server; name it with --peer",
                ));
            }
            None => {
                let config = configuration(self.config.as_deref())?;
                let loaded = load::load(&config)?;
                let node = serve::node(&config);
                let explain = self.verbose || self.json;
                let rulebook = &loaded.rulebook;
                local::replay(
                    &recording,
                    &node,
                    self.own_identity,
                    rulebook,
                    None,
                    explain,
                )
            }
        };
        let (rows, summary) = self.judge(&recording, &replies);
        let printer = Printer {
            json: self.json,
            verbose: self.verbose,
        };
        printed(printer.print(out, &rows, &summary))?;
        self.result(&summary)
    }

    /// Compares all answers with the recorded ones.
    fn judge(&self, recording: &Recording<'_>, replies: &[Reply]) -> (Vec<Row>, Summary) {
        let mut summary = Summary::of(&self.capture, recording);
        let mut kinds: BTreeMap<(String, Kind), u64> = BTreeMap::new();
        let mut rows = Vec::with_capacity(replies.len());
        for (exchange, reply) in recording.exchanges.iter().zip(replies) {
            let mut row = self.row(recording, exchange, reply);
            if self.peer.is_some() {
                summary.take_identity(exchange, reply, &mut row.differences);
            }
            summary.count(row.outcome);
            for difference in &row.differences {
                let key = (row.answer_name.clone(), difference.kind.clone());
                *kinds.entry(key).or_default() += 1;
            }
            let misaddressed =
                row.answer.is_some_and(Verdict::is_misaddressed) && row.outcome != Outcome::Same;
            if misaddressed && summary.hint.is_none() {
                summary.hint = Some(self.hint(recording, exchange));
            }
            rows.push(row);
        }
        summary.differences = kinds
            .into_iter()
            .map(|((answer, kind), count)| Counted::new(answer, kind, count))
            .collect();
        (rows, summary)
    }

    /// What there is to tell of one request.
    fn row(&self, recording: &Recording<'_>, exchange: &Exchange<'_>, reply: &Reply) -> Row {
        let masking = Masking::shown_if(self.show_identities);
        let mut row = Row::of(recording, exchange, masking);
        row.ground.clone_from(&reply.ground);
        let answer = match &reply.answer {
            Ok(bytes) => view(bytes),
            Err(silence) => {
                row.silence = Some(silence.to_string());
                None
            }
        };
        row.answer = answer.as_ref().map(Verdict::of);
        row.outcome = match (row.answer, row.recorded) {
            (Some(ours), Some(theirs)) if ours == theirs => Outcome::Same,
            (Some(_), Some(_)) => Outcome::Different,
            (Some(_), None) => Outcome::RecordedUnanswered,
            (None, Some(_)) => Outcome::Unanswered,
            (None, None) => Outcome::BothUnanswered,
        };
        if let (Some(ours), Some(theirs)) = (answer, exchange.recorded) {
            row.differences = differences(&ours, &theirs.message, masking);
        }
        row
    }

    /// What to do about requests that name another node than the one that was
    /// asked.
    fn hint(&self, recording: &Recording<'_>, exchange: &Exchange<'_>) -> String {
        let server = recording.servers.get(exchange.request.flow.0 as usize);
        let recorded = server.and_then(|server| server.origin.clone());
        let (recorded_host, recorded_realm) = recorded.unzip();
        let host = identity(&exchange.message, dictionary::DESTINATION_HOST).or(recorded_host);
        let realm = identity(&exchange.message, dictionary::DESTINATION_REALM).or(recorded_realm);
        let (host, realm) = (host.unwrap_or_default(), realm.unwrap_or_default());
        match (&self.peer, self.own_identity) {
            (Some(_), _) => format!(
                "the requests are addressed to another node; start the server with \
                 --origin-host {host} --origin-realm {realm}"
            ),
            (None, true) => format!(
                "the requests are addressed to another node; leave --own-identity out, or set \
                 origin_host = \"{host}\" and origin_realm = \"{realm}\""
            ),
            (None, false) => format!(
                "requests on one connection are addressed to several nodes, of which {host} \
                 (realm {realm}) is not the one that answers here"
            ),
        }
    }

    /// Whether all is as recorded.
    fn result(&self, summary: &Summary) -> Result<(), Failed> {
        let file = self.capture.display();
        let wrong = summary.different + summary.unanswered;
        let others: u64 = summary
            .differences
            .iter()
            .map(|counted| counted.count)
            .sum();
        let hint = summary.hint.as_ref();
        let hint = hint.map(|hint| format!("\n{hint}")).unwrap_or_default();
        if wrong > 0 {
            return Err(Failed::new(format!(
                "{file}: {wrong} of {} requests did not get the recorded verdict{hint}",
                summary.requests
            )));
        }
        if self.strict && others > 0 {
            return Err(Failed::new(format!(
                "{file}: every verdict is the recorded one, but --strict counts {others} other \
                 differences"
            )));
        }
        Ok(())
    }
}

/// Reads the capture.
fn read(path: &Path, ports: &[u16]) -> Result<Capture, Failed> {
    let mut options = Options::default();
    options.ports.extend(ports);
    let read = File::open(path)
        .map_err(Fault::Open)
        .and_then(|file| capture::read_from(file, &options));
    read.map_err(|fault| {
        let path = path.to_path_buf();
        let help = match fault {
            Fault::Open(_) | Fault::Read(_) => "",
            Fault::LinkType { .. } => "; capture on another interface, or convert it",
            Fault::TooMuch { .. } => " with editcap -c",
            _ => "; record one with `tcpdump -w FILE.pcap port 3868`",
        };
        Failed::new(format!("{}{help}", CaptureError { path, fault }))
    })
}

/// Why there is nothing to replay.
fn nothing(path: &Path, capture: &Capture) -> Failed {
    let what = match capture.messages.len() {
        0 => "no Diameter message",
        _ => "no Diameter request of a client",
    };
    let mut text = format!(
        "{}: {what} in {} frames; --port names a port other than {DIAMETER_PORT}, and what is \
         encrypted (TLS, DTLS, IPsec) cannot be read",
        path.display(),
        capture.frames,
    );
    for warning in capture.warnings.iter().take(print::WARNINGS_SHOWN) {
        text += &format!("\n{warning}");
    }
    Failed::new(text)
}
