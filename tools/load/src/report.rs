//! What was measured, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{Measured, Outcomes, Pace, Plan};
use crate::figure::Figure;

/// A closed loop whose generator waits for less than this share of the time
/// may have been limited by the generator.
const IDLE_MIN: f64 = 0.03;

/// Lateness of the generator that is no matter, in microseconds: about what
/// one turn of its loop takes.
const LAG_MIN: f64 = 10.0;

/// The figures of one run.
#[derive(Clone, Debug, Deserialize, Serialize)]
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
    /// The share of one processor that the generator took: all of it in an
    /// open loop, which never sleeps.
    pub cpu: f64,
    /// Processor time of the other end for each answer, in microseconds, if its
    /// process was watched.
    pub server_us: Option<f64>,
    /// Time that the other end waited for a processor, as that.
    pub server_waited_us: Option<f64>,
    /// Requests for each write, and answers for each read.
    pub batches: Batches,
    /// What ran beside it said of itself.
    pub beside: Option<String>,
    /// Why the figures are not the server's, if they are not.
    pub warnings: Vec<String>,
}

/// Percentiles of a distribution.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
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
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
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
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let answers = measured.answers;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / answers.max(1) as f64;
        let mut report = Self {
            rate: answers as f64 / measured.elapsed.as_secs_f64(),
            answers,
            outcomes: measured.outcomes,
            wrong: measured.wrong,
            first_wrong: measured.first_wrong.clone(),
            lost: measured.lost,
            latency_us: Percentiles::of(&measured.latency),
            lag_us: open.then(|| Percentiles::of(&measured.lag)),
            idle: (!open).then_some(measured.idle),
            cpu: measured.cpu,
            server_us: measured.server.map(|server| each(server.had)),
            server_waited_us: measured.server.map(|server| each(server.waited)),
            batches: Batches {
                requests_a_write: share(measured.sent, measured.calls.writes),
                answers_a_read: share(
                    measured.sent.saturating_sub(measured.lost),
                    measured.calls.reads,
                ),
            },
            beside: None,
            warnings: Vec::new(),
        };
        report.warnings = report.doubts();
        report
    }

    /// Whether every request had its answer, and the right one.
    pub fn is_right(&self) -> bool {
        self.wrong == 0 && self.lost == 0 && self.answers > 0
    }

    /// Why a figure of this run is the generator's and not that of the other
    /// end, if it is.
    pub fn limit(&self, figure: Figure) -> Option<String> {
        if let Some(idle) = self.idle {
            // Processor time counts for itself and not for the other end's.
            if idle >= IDLE_MIN || !figure.is_of_both() {
                return None;
            }
            return Some(format!(
                "the generator was busy {:.0} % of the time: it may be what limits",
                100.0 * (1.0 - idle)
            ));
        }
        let lag = figure.percentile(self.lag_us.as_ref()?)?;
        let latency = figure.percentile(&self.latency_us)?;
        (lag > LAG_MIN && lag > latency / 2.0).then(|| {
            format!(
                "{figure} of {latency:.0} µs is mostly the generator's own, which sent {lag:.0} µs \
                 late"
            )
        })
    }

    /// What is wrong with the run.
    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.wrong > 0 {
            let first = self.first_wrong.as_deref().unwrap_or_default();
            doubts.push(format!(
                "{} answers are wrong, the first: {first}",
                self.wrong
            ));
        }
        if self.lost > 0 {
            doubts.push(format!("{} requests were not answered", self.lost));
        }
        let figures: &[Figure] = match self.idle {
            Some(_) => &[Figure::Rate],
            None => &Figure::OPEN,
        };
        doubts.extend(figures.iter().filter_map(|figure| self.limit(*figure)));
        doubts
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
            "processor   {:>12.1} % of one, by the generator",
            self.cpu * 100.0
        )?;
        if let Some(server_us) = self.server_us {
            writeln!(
                f,
                "            {server_us:>12.3} µs an answer, by the server"
            )?;
        }
        if let Some(waited) = self.server_waited_us {
            writeln!(
                f,
                "            {waited:>12.3} µs an answer, waited for by it"
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

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A run of which nothing is known.
    pub fn report() -> Report {
        Report {
            rate: 1000.0,
            answers: 5000,
            outcomes: Outcomes::default(),
            wrong: 0,
            first_wrong: None,
            lost: 0,
            latency_us: Percentiles {
                p50: 1.0,
                p90: 1.0,
                p99: 1.0,
                p99_9: 1.0,
                p99_99: 1.0,
                max: 1.0,
            },
            lag_us: None,
            idle: Some(0.5),
            cpu: 0.5,
            server_us: None,
            server_waited_us: None,
            batches: Batches {
                requests_a_write: 1.0,
                answers_a_read: 1.0,
            },
            beside: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_generator_without_rest_limits_a_closed_loop() {
        let mut report = report();
        assert_eq!(report.limit(Figure::Rate), None);
        report.idle = Some(0.01);
        assert!(report.limit(Figure::Rate).unwrap().contains("99 %"));
        assert_eq!(report.limit(Figure::ServerTime), None);
    }

    #[test]
    fn a_late_generator_limits_the_percentiles_that_are_its_own() {
        let mut report = report();
        report.idle = None;
        report.latency_us.p50 = 40.0;
        report.latency_us.p99 = 1000.0;
        report.lag_us = Some(Percentiles {
            p50: 5.0,
            p99: 900.0,
            ..Percentiles::default()
        });
        assert_eq!(report.limit(Figure::P50), None);
        assert!(report.limit(Figure::P99).unwrap().contains("900 µs late"));
        // Half of it is the other end's.
        report.latency_us.p99 = 1800.0;
        assert_eq!(report.limit(Figure::P99), None);
    }
}
