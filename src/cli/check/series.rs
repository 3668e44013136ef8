//! The same question again and again, over one connection as long as it lasts:
//! to watch a server through a reload, a restart or a failure.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::{Answer, CheckArgs, Session, printed};
use crate::error::Failed;
use crate::net::Clock;
use crate::net::client::Carrier;

/// Round trips that the median is of: the last ones, for a series may go on for
/// days.
const SAMPLES_MAX: usize = 100_000;

/// A request without an answer, as JSON.
#[derive(Debug, Serialize)]
struct Miss<'a> {
    /// The IMEI asked about.
    imei: &'a str,
    /// Always `none`.
    verdict: &'static str,
    /// Why there is none.
    error: &'a str,
}

/// What came of a series.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Requests sent, or tried to.
    asked: u64,
    /// Those that were answered.
    answered: u64,
    /// The answers by verdict.
    verdicts: BTreeMap<&'static str, u64>,
    /// The shortest round trip.
    min_micros: Option<u64>,
    /// The one in the middle.
    median_micros: Option<u64>,
    /// The longest.
    max_micros: Option<u64>,
    /// The last round trips.
    #[serde(skip)]
    samples: VecDeque<u64>,
}

impl Summary {
    /// Counts an answer.
    fn add(&mut self, answer: &Answer) {
        let micros = answer.round_trip_micros;
        self.answered += 1;
        *self.verdicts.entry(answer.verdict).or_default() += 1;
        self.min_micros = Some(self.min_micros.map_or(micros, |least| least.min(micros)));
        self.max_micros = Some(self.max_micros.map_or(micros, |most| most.max(micros)));
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(micros);
    }

    /// Finds the median: with an even number, the lower one of the two.
    fn finish(&mut self) {
        self.samples.make_contiguous().sort_unstable();
        let middle = self.samples.len().saturating_sub(1) / 2;
        self.median_micros = self.samples.get(middle).copied();
    }

    /// How many requests got no verdict.
    fn failed(&self) -> u64 {
        let errors = self.verdicts.get("error").copied().unwrap_or_default();
        self.asked - self.answered + errors
    }

    /// Prints it for people.
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let verdicts: Vec<_> = (self.verdicts.iter())
            .map(|(verdict, count)| format!("{count} {verdict}"))
            .collect();
        let colon = if verdicts.is_empty() { "" } else { ": " };
        writeln!(
            out,
            "{} asked, {} answered{colon}{}",
            self.asked,
            self.answered,
            verdicts.join(", ")
        )?;
        match (self.min_micros, self.median_micros, self.max_micros) {
            (Some(min), Some(median), Some(max)) => writeln!(
                out,
                "round trip: min {:.3} ms, median {:.3} ms, max {:.3} ms",
                millis(min),
                millis(median),
                millis(max)
            ),
            _ => Ok(()),
        }
    }
}

/// Microseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// Asks again and again, until it is enough or a signal comes.
///
/// # Errors
///
/// When there is no connection to begin with, or, once the summary is printed,
/// requests that got no verdict.
pub(super) async fn run(
    args: &CheckArgs,
    carrier: &Carrier,
    out: &mut impl Write,
) -> Result<(), Failed> {
    let take =
        |kind| signal(kind).map_err(|error| Failed::new(format!("cannot handle signals: {error}")));
    let mut interrupt = take(SignalKind::interrupt())?;
    let mut terminate = take(SignalKind::terminate())?;
    let mut stop = pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    let clock = Clock::start();
    let mut summary = Summary::default();
    let mut session = Some(args.open(carrier).await?);
    loop {
        let due = clock.now().uptime.plus(args.interval);
        let asked = tokio::select! {
            biased;
            () = &mut stop => break,
            asked = ask(args, carrier, &mut session) => asked,
        };
        summary.asked += 1;
        let line = match &asked {
            Ok(answer) => {
                summary.add(answer);
                print_answer(args, answer, out)
            }
            Err(why) => {
                session = None;
                print_miss(args, &why.to_string(), out)
            }
        };
        if line.is_err() || summary.asked == args.repeat {
            printed(line)?;
            break;
        }
        let rest = due.since(clock.now().uptime);
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = wait(&mut session, rest) => {}
        }
    }
    if let Some(session) = session {
        session.close().await;
    }
    summary.finish();
    printed(match args.json {
        true => print_line(out, &BTreeMap::from([("summary", &summary)])),
        false => summary.print(out),
    })?;
    match summary.failed() {
        0 => Ok(()),
        failed => Err(Failed::new(format!(
            "{failed} of {} requests got no verdict",
            summary.asked
        ))),
    }
}

/// Asks once, over a new connection if there is none.
async fn ask(
    args: &CheckArgs,
    carrier: &Carrier,
    session: &mut Option<Session>,
) -> Result<Answer, Failed> {
    let open = match session.take() {
        Some(open) => open,
        None => args.open(carrier).await?,
    };
    session.insert(open).ask(args).await
}

/// Waits, and keeps the connection meanwhile; one that ends is opened again
/// for the next request.
async fn wait(session: &mut Option<Session>, span: Duration) {
    let clock = Clock::start();
    if let Some(open) = session
        && open.client.idle(span).await.is_err()
    {
        *session = None;
    }
    // The rest, if it ended before.
    sleep(span.saturating_sub(clock.now().uptime.0)).await;
}

/// Prints an answer on one line.
fn print_answer(args: &CheckArgs, answer: &Answer, out: &mut impl Write) -> io::Result<()> {
    if args.json {
        return print_line(out, answer);
    }
    let Answer { imei, verdict, .. } = answer;
    writeln!(
        out,
        "{imei}: {verdict} in {:.3} ms",
        millis(answer.round_trip_micros)
    )
}

/// Prints that there was no answer.
fn print_miss(args: &CheckArgs, why: &str, out: &mut impl Write) -> io::Result<()> {
    let (imei, error) = (&args.imei, why.lines().next().unwrap_or_default());
    if args.json {
        let verdict = "none";
        return print_line(
            out,
            &Miss {
                imei,
                verdict,
                error,
            },
        );
    }
    writeln!(out, "{imei}: no answer: {error}")
}

/// Prints a value as JSON on one line.
fn print_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value).map_err(io::Error::other)?;
    writeln!(out, "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle_of_the_last_ones() {
        for (micros, want) in [
            (vec![], None),
            (vec![5], Some(5)),
            (vec![9, 1], Some(1)),
            (vec![9, 1, 5], Some(5)),
            (vec![4, 3, 2, 1], Some(2)),
        ] {
            let mut summary = Summary {
                samples: micros.into(),
                ..Summary::default()
            };
            summary.finish();
            assert_eq!(summary.median_micros, want);
        }
    }
}
