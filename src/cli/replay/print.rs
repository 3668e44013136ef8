//! What a replay shows: a row for each request, then the summary, for people
//! or as JSON lines.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use serde::{Serialize, Serializer};

use super::Reply;
use super::compare::{Difference, How, Kind, Verdict};
use super::recording::{Exchange, Recording, data, identity, view};
use super::value::{Masking, imei, imsi, mask, shown};
use crate::wire::{CommandCode, Message, dictionary};

/// Warnings of the capture that are printed unless all are asked for.
pub(super) const WARNINGS_SHOWN: usize = 10;

//----------- Row -------------------------------------------------------------

/// One request, and how it was answered.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// The frame that completed it.
    pub(super) frame: u64,
    /// When, in seconds since the first message of the capture.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(super) offset_ns: u64,
    /// When, to the second: the moment for which the verdict was given.
    pub(super) time: String,
    /// The flow, numbered from 0.
    pub(super) flow: u32,
    /// The client's address.
    pub(super) client: String,
    /// Origin-Host of the request.
    pub(super) origin_host: Option<String>,
    /// The short name of the request, else its command code.
    #[serde(rename = "request")]
    pub(super) request_name: String,
    /// The short name of its answer.
    #[serde(skip)]
    pub(super) answer_name: String,
    /// Command code.
    pub(super) command: u32,
    /// Application-ID.
    pub(super) application: u32,
    /// Hop-by-Hop Identifier.
    pub(super) hop_by_hop: u32,
    /// End-to-End Identifier.
    pub(super) end_to_end: u32,
    /// IMEI.
    pub(super) imei: Option<String>,
    /// Software-Version.
    pub(super) software_version: Option<String>,
    /// User-Name.
    pub(super) imsi: Option<String>,
    /// The verdict of the replay.
    pub(super) answer: Option<Verdict>,
    /// Why there is none.
    pub(super) silence: Option<String>,
    /// What decided.
    pub(super) ground: Option<String>,
    /// The recorded verdict.
    pub(super) recorded: Option<Verdict>,
    /// The frame of the recorded answer.
    pub(super) recorded_frame: Option<u64>,
    /// How the two compare.
    pub(super) outcome: Outcome,
    /// What else differs.
    pub(super) differences: Vec<Difference>,
}

/// How the verdict compares with the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The same verdict.
    Same,
    /// Another verdict.
    Different,
    /// The recording has no answer.
    RecordedUnanswered,
    /// The replay has no answer.
    Unanswered,
    /// Neither has.
    BothUnanswered,
}

impl Row {
    /// The row of a request, as far as the recording tells.
    pub(super) fn of(recording: &Recording<'_>, exchange: &Exchange<'_>, masking: Masking) -> Self {
        let (request, message) = (exchange.request, &exchange.message);
        let header = message.header();
        let first = recording.capture.messages.first();
        let start = first.map_or(request.time_ns, |message| message.time_ns);
        let flow = recording.capture.flow(request.flow);
        let (request_name, answer_name) = command_names(header.command);
        let (mut device, mut software_version) = (None, None);
        let terminal = terminal_information(message);
        for avp in terminal {
            if avp.key() == dictionary::IMEI.key {
                device.get_or_insert_with(|| imei(avp.data(), masking));
            } else if avp.key() == dictionary::SOFTWARE_VERSION.key {
                software_version.get_or_insert_with(|| mask(&shown(avp.data())));
            }
        }
        let subscriber = data(message, dictionary::USER_NAME);
        Self {
            frame: request.frame,
            offset_ns: request.time_ns.saturating_sub(start),
            time: request.unix_time().to_string(),
            flow: request.flow.0,
            client: flow.map(|flow| flow.client.to_string()).unwrap_or_default(),
            origin_host: identity(message, dictionary::ORIGIN_HOST),
            request_name,
            answer_name,
            command: header.command.0,
            application: header.application.0,
            hop_by_hop: header.hop_by_hop,
            end_to_end: header.end_to_end,
            imei: device,
            software_version,
            imsi: subscriber.map(|data| imsi(data, masking)),
            answer: None,
            silence: None,
            ground: None,
            recorded: exchange
                .recorded
                .map(|recorded| Verdict::of(&recorded.message)),
            recorded_frame: exchange.recorded.map(|recorded| recorded.frame),
            outcome: Outcome::BothUnanswered,
            differences: Vec::new(),
        }
    }

    /// Who is asked about.
    fn subject(&self) -> String {
        let parts = [
            ("imei", &self.imei),
            ("svn", &self.software_version),
            ("imsi", &self.imsi),
        ];
        let parts = parts.into_iter().filter_map(|(name, part)| {
            let part = part.as_ref()?;
            Some(format!("{name} {part}"))
        });
        parts.collect::<Vec<_>>().join(" ")
    }

    /// The answer, and how it compares.
    fn result(&self) -> String {
        let recorded = match self.recorded {
            Some(recorded) => recorded.to_string(),
            None => "without an answer".to_owned(),
        };
        let silence = self.silence.as_deref().unwrap_or("unreadable");
        match (self.answer, self.outcome) {
            (Some(answer), Outcome::Same) => format!("{answer} ="),
            (Some(answer), Outcome::RecordedUnanswered) => {
                format!("{answer} (recorded without an answer)")
            }
            (Some(answer), _) => format!("{answer} ≠ recorded {recorded}"),
            (None, Outcome::BothUnanswered) => format!("no answer ({silence}) = none recorded"),
            (None, _) => format!("no answer ({silence}) ≠ recorded {recorded}"),
        }
    }
}

/// The members of Terminal-Information.
fn terminal_information<'m>(message: &Message<'m>) -> impl Iterator<Item = crate::wire::Avp<'m>> {
    let avps = message.avps().map_while(Result::ok);
    avps.filter(|avp| avp.key() == dictionary::TERMINAL_INFORMATION.key)
        .filter_map(|avp| avp.members())
        .flat_map(|members| members.map_while(Result::ok))
}

/// The short names of a command's request and answer.
fn command_names(command: CommandCode) -> (String, String) {
    let (request, answer) = match command {
        CommandCode::CAPABILITIES_EXCHANGE => ("CER", "CEA"),
        CommandCode::DEVICE_WATCHDOG => ("DWR", "DWA"),
        CommandCode::DISCONNECT_PEER => ("DPR", "DPA"),
        CommandCode::ME_IDENTITY_CHECK => ("ECR", "ECA"),
        CommandCode(other) => return (other.to_string(), other.to_string()),
    };
    (request.to_owned(), answer.to_owned())
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
fn seconds<S: Serializer>(nanos: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((nanos / 1000) as f64 / 1e6)
}

//----------- Summary ---------------------------------------------------------

/// All requests together.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// The capture.
    pub(super) capture: String,
    /// How many requests there are.
    pub(super) requests: u64,
    /// With the recorded verdict.
    pub(super) same: u64,
    /// With another verdict.
    pub(super) different: u64,
    /// Recorded without an answer.
    pub(super) recorded_unanswered: u64,
    /// Answered in the recording, and not in the replay.
    pub(super) unanswered: u64,
    /// Answered in neither.
    pub(super) both_unanswered: u64,
    /// Requests of the recorded server, which are not replayed.
    pub(super) server_requests: u64,
    /// Recorded answers without their request.
    pub(super) stray_answers: u64,
    /// The other differences, by kind.
    pub(super) differences: Vec<Counted>,
    /// The live server, where its identity is not the recorded one.
    pub(super) identity: Option<Identity>,
    /// What to do about verdicts that differ.
    pub(super) hint: Option<String>,
    /// What could not be read of the capture.
    pub(super) warnings: Vec<String>,
    /// Warnings that are not among them.
    pub(super) warnings_left_out: u64,
}

/// A kind of difference and how often it occurred.
#[derive(Debug, Serialize)]
pub(super) struct Counted {
    /// The short name of the answers.
    pub(super) answer: String,
    /// What differs.
    #[serde(flatten)]
    pub(super) kind: Kind,
    /// The same in words.
    pub(super) text: String,
    /// How many answers.
    pub(super) count: u64,
}

impl Counted {
    /// Counts a kind of difference of one command's answers.
    pub(super) fn new(answer: String, kind: Kind, count: u64) -> Self {
        let text = format!("{answer}: {kind}");
        Self {
            answer,
            kind,
            text,
            count,
        }
    }
}

/// A live server whose names are not those of the recorded one.
#[derive(Debug, Serialize)]
pub(super) struct Identity {
    /// Its Origin-Host.
    pub(super) origin_host: Option<String>,
    /// Its Origin-Realm.
    pub(super) origin_realm: Option<String>,
    /// Origin-Host of the recorded server.
    pub(super) recorded_host: Option<String>,
    /// Origin-Realm of the recorded server.
    pub(super) recorded_realm: Option<String>,
    /// How many answers differ in it.
    pub(super) answers: u64,
}

impl Summary {
    /// A summary of no requests yet.
    pub(super) fn of(capture: &Path, recording: &Recording<'_>) -> Self {
        let warnings = &recording.capture.warnings;
        Self {
            capture: capture.display().to_string(),
            requests: 0,
            same: 0,
            different: 0,
            recorded_unanswered: 0,
            unanswered: 0,
            both_unanswered: 0,
            server_requests: recording.server_requests,
            stray_answers: recording.stray_answers,
            differences: Vec::new(),
            identity: None,
            hint: None,
            warnings: warnings.iter().map(ToString::to_string).collect(),
            warnings_left_out: recording.capture.warnings_left_out,
        }
    }

    /// Counts a request.
    pub(super) fn count(&mut self, outcome: Outcome) {
        self.requests += 1;
        *match outcome {
            Outcome::Same => &mut self.same,
            Outcome::Different => &mut self.different,
            Outcome::RecordedUnanswered => &mut self.recorded_unanswered,
            Outcome::Unanswered => &mut self.unanswered,
            Outcome::BothUnanswered => &mut self.both_unanswered,
        } += 1;
    }

    /// Takes differences of Origin-Host and Origin-Realm out of an answer's: a
    /// live server has its own names, which is told once.
    pub(super) fn take_identity(
        &mut self,
        exchange: &Exchange<'_>,
        reply: &Reply,
        differences: &mut Vec<Difference>,
    ) {
        let names = [dictionary::ORIGIN_HOST, dictionary::ORIGIN_REALM]
            .map(|known| format!("{} {}", known.key.code.0, known.name));
        let before = differences.len();
        differences.retain(|difference| {
            difference.kind.difference != How::Value || !names.contains(&difference.kind.avp)
        });
        if differences.len() == before {
            return;
        }
        if let Some(identity) = &mut self.identity {
            identity.answers += 1;
            return;
        }
        let replayed = reply.answer.as_ref().ok().and_then(|bytes| view(bytes));
        let name = |message: Option<Message<'_>>, definition| identity(&message?, definition);
        let recorded = exchange.recorded.map(|recorded| recorded.message);
        self.identity = Some(Identity {
            origin_host: name(replayed, dictionary::ORIGIN_HOST),
            origin_realm: name(replayed, dictionary::ORIGIN_REALM),
            recorded_host: name(recorded, dictionary::ORIGIN_HOST),
            recorded_realm: name(recorded, dictionary::ORIGIN_REALM),
            answers: 1,
        });
    }
}

//----------- Printer ---------------------------------------------------------

/// Prints a whole replay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printer {
    /// As JSON lines.
    pub(super) json: bool,
    /// With everything.
    pub(super) verbose: bool,
}

impl Printer {
    /// Prints all rows and the summary.
    pub(super) fn print(
        self,
        out: &mut impl Write,
        rows: &[Row],
        summary: &Summary,
    ) -> io::Result<()> {
        match self.json {
            true => print_json(out, rows, summary),
            false => {
                self.print_rows(out, rows)?;
                self.print_summary(out, summary)
            }
        }
    }

    /// Prints a line for each request, and one for its differences. Those that
    /// an earlier answer has had just so are referred to.
    fn print_rows(self, out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
        let hosts = rows.iter().map(|row| row.peer().chars().count());
        let host_width = hosts.max().unwrap_or_default();
        let subjects: Vec<_> = rows.iter().map(Row::subject).collect();
        let subject_width = subjects.iter().map(|subject| subject.chars().count()).max();
        let subject_width = subject_width.unwrap_or_default();
        let mut seen: HashMap<(String, Vec<Kind>), u64> = HashMap::new();
        for (row, subject) in rows.iter().zip(&subjects) {
            let (seconds, micros) = (
                row.offset_ns / 1_000_000_000,
                row.offset_ns / 1000 % 1_000_000,
            );
            let line = format!(
                "{:>6} {seconds:>5}.{micros:06}  {:<host_width$}  {:<3}  {subject:<subject_width$}  {}",
                row.frame,
                row.peer(),
                row.request_name,
                row.result(),
            );
            write!(out, "{line}")?;
            let kinds: Vec<_> = row
                .differences
                .iter()
                .map(|found| found.kind.clone())
                .collect();
            let known = seen.get(&(row.answer_name.clone(), kinds.clone()));
            match known {
                _ if kinds.is_empty() || self.verbose => writeln!(out)?,
                Some(frame) => writeln!(out, "  (differs as frame {frame})")?,
                None => {
                    let texts: Vec<_> = kinds.iter().map(ToString::to_string).collect();
                    writeln!(out, "\n{INDENT}{}", texts.join("; "))?;
                    seen.insert((row.answer_name.clone(), kinds), row.frame);
                }
            }
            if self.verbose {
                if let Some(ground) = &row.ground {
                    writeln!(out, "{INDENT}{ground}")?;
                }
                for difference in &row.differences {
                    writeln!(out, "{INDENT}{difference}")?;
                }
            }
        }
        Ok(())
    }

    /// Prints the summary.
    fn print_summary(self, out: &mut impl Write, summary: &Summary) -> io::Result<()> {
        writeln!(
            out,
            "\n{} requests of {}",
            summary.requests, summary.capture
        )?;
        for (count, what) in [
            (summary.same, "with the recorded verdict"),
            (summary.different, "with another verdict"),
            (
                summary.unanswered,
                "without an answer, though recorded with one",
            ),
            (summary.recorded_unanswered, "recorded without an answer"),
            (summary.both_unanswered, "without an answer, as recorded"),
            (summary.server_requests, "of the recorded server, left out"),
            (
                summary.stray_answers,
                "recorded answers without their request, left out",
            ),
        ] {
            if count > 0 {
                writeln!(out, "{count:>6} {what}")?;
            }
        }
        if !summary.differences.is_empty() {
            writeln!(out, "other differences")?;
        }
        for Counted { text, count, .. } in &summary.differences {
            writeln!(out, "{count:>6}× {text}")?;
        }
        if let Some(identity) = &summary.identity {
            let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
            writeln!(
                out,
                "the server is {} of {}, the recorded one was {} of {}",
                name(&identity.origin_host),
                name(&identity.origin_realm),
                name(&identity.recorded_host),
                name(&identity.recorded_realm),
            )?;
        }
        let shown = if self.verbose {
            usize::MAX
        } else {
            WARNINGS_SHOWN
        };
        for warning in summary.warnings.iter().take(shown) {
            writeln!(out, "warning: {warning}")?;
        }
        let hidden = summary.warnings.len().saturating_sub(shown) as u64;
        match hidden + summary.warnings_left_out {
            0 => Ok(()),
            more => writeln!(out, "warning: … and {more} more"),
        }
    }
}

impl Row {
    /// Who asks: its name, else its address.
    fn peer(&self) -> &str {
        self.origin_host.as_deref().unwrap_or(&self.client)
    }
}

/// Where the lines below a request begin.
const INDENT: &str = "                      ";

/// Prints one object a line.
fn print_json(out: &mut impl Write, rows: &[Row], summary: &Summary) -> io::Result<()> {
    /// The last line.
    #[derive(Serialize)]
    struct Last<'s> {
        /// All requests together.
        summary: &'s Summary,
    }
    for row in rows {
        serde_json::to_writer(&mut *out, row)?;
        writeln!(out)?;
    }
    serde_json::to_writer(&mut *out, &Last { summary })?;
    writeln!(out)
}
