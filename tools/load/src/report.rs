//! What was measured, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::engine::{Measured, Outcomes, Pace, Plan};

/// A closed loop whose generator waits for less than this share of the time
/// may have been limited by the generator.
const IDLE_MIN: f64 = 0.03;

/// An open loop whose requests were sent later than this, one in a hundred,
/// was not the load that was asked for.
const LAG_MAX: u64 = 1_000_000;

/// The figures of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Answers a second.
    pub rate: f64,
    /// Answers.
    pub answers: u64,
    /// What they said.
    pub outcomes: Outcomes,
    /// Answers that were wrong.
    pub wrong: u64,
    /// The first of them.
    pub first_wrong: Option<String>,
    /// Requests without an answer.
    pub lost: u64,
    /// Latencies in microseconds.
    pub latency_us: Percentiles,
    /// How late requests were sent in microseconds; open loop only.
    pub lag_us: Option<Percentiles>,
    /// The share of the time in which the generator waited; closed loop only.
    pub idle: Option<f64>,
    /// Requests for each write, and answers for each read.
    pub batches: Batches,
    /// Why the figures are not the server's, if they are not.
    pub warnings: Vec<String>,
}

/// Percentiles of a distribution.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Nine in ten are less.
    pub p90: f64,
    /// 99 in a hundred.
    pub p99: f64,
    /// 999 in a thousand.
    pub p99_9: f64,
    /// 9999 in ten thousand.
    pub p99_99: f64,
    /// The highest.
    pub max: f64,
}

/// How much one system call moves.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Batches {
    /// Requests sent with one write.
    pub requests_a_write: f64,
    /// Answers received with one read.
    pub answers_a_read: f64,
}

impl Report {
    /// The figures of a run.
    pub fn new(plan: &Plan, measured: &Measured) -> Self {
        let open = matches!(plan.pace, Pace::Open(_));
        let mut warnings = Vec::new();
        if measured.wrong > 0 {
            let first = measured.first_wrong.as_deref().unwrap_or_default();
            warnings.push(format!(
                "{} answers are wrong, the first: {first}",
                measured.wrong
            ));
        }
        if measured.lost > 0 {
            warnings.push(format!("{} requests were not answered", measured.lost));
        }
        if !open && measured.idle < IDLE_MIN {
            warnings.push(format!(
                "the generator was busy {:.0} % of the time: it may be what limits the rate",
                100.0 * (1.0 - measured.idle)
            ));
        }
        let lag = measured.lag.value_at_quantile(0.99);
        if open && lag > LAG_MAX {
            warnings.push(format!(
                "one request in a hundred was sent {} µs late or more: the generator did not keep \
                 its pace",
                lag / 1000
            ));
        }
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        Self {
            rate: measured.answers as f64 / measured.elapsed.as_secs_f64(),
            answers: measured.answers,
            outcomes: measured.outcomes,
            wrong: measured.wrong,
            first_wrong: measured.first_wrong.clone(),
            lost: measured.lost,
            latency_us: Percentiles::of(&measured.latency),
            lag_us: open.then(|| Percentiles::of(&measured.lag)),
            idle: (!open).then_some(measured.idle),
            batches: Batches {
                requests_a_write: share(measured.traffic.sent, measured.traffic.writes),
                answers_a_read: share(measured.traffic.sent, measured.traffic.reads),
            },
            warnings,
        }
    }

    /// Whether every request had its right answer.
    pub const fn is_right(&self) -> bool {
        self.wrong == 0 && self.lost == 0
    }
}

impl Percentiles {
    /// Of nanoseconds, in microseconds.
    fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: histogram.max() as f64 / 1000.0,
        }
    }

    /// With their names.
    pub const fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p99_9),
            ("p99.99", self.p99_99),
            ("max", self.max),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "answers/s   {:>12.0}", self.rate)?;
        let Outcomes {
            whitelisted,
            blacklisted,
            greylisted,
            unknown,
        } = self.outcomes;
        writeln!(
            f,
            "answers     {:>12}   {whitelisted} whitelisted, {blacklisted} blacklisted, \
             {greylisted} greylisted, {unknown} unknown",
            self.answers
        )?;
        for (name, value) in self.latency_us.named() {
            writeln!(f, "{name:<11} {value:>12.1} µs")?;
        }
        if let Some(lag) = self.lag_us {
            writeln!(f, "sent late   {:>12.1} µs (p99)", lag.p99)?;
        }
        if let Some(idle) = self.idle {
            writeln!(
                f,
                "idle        {:>12.1} % of the generator's time",
                idle * 100.0
            )?;
        }
        writeln!(
            f,
            "batches     {:>12.1} requests a write, {:.1} answers a read",
            self.batches.requests_a_write, self.batches.answers_a_read
        )?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
