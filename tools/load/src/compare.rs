//! Server and floor, one after the other and again, and their ratios.
//!
//! The absolute figures of a shared machine drift by a factor of two from hour
//! to hour; runs that alternate every few seconds drift together.

use std::fmt;

use serde::Serialize;

use crate::engine::{Pace, Plan};
use crate::report::Report;

/// A figure of a report, with its name.
type Figure = (&'static str, fn(&Report) -> f64);

/// Pairs of runs.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The runs against the server.
    pub server: Vec<Report>,
    /// The runs against the floor.
    pub floor: Vec<Report>,
    /// What is compared, server by floor.
    pub ratios: Vec<Ratio>,
}

/// A figure of the server by that of the floor, over all pairs.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// The figure.
    pub name: &'static str,
    /// The median of the server's.
    pub server: f64,
    /// The median of the floor's.
    pub floor: f64,
    /// The median of the pairs' ratios.
    pub ratio: f64,
    /// The least of them.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The floor's own spread: its greatest figure by its least.
    pub floor_spread: f64,
}

impl Comparison {
    /// Compares runs, the first with the first and so on.
    pub fn new(plan: &Plan, server: Vec<Report>, floor: Vec<Report>) -> Self {
        let figures: Vec<Figure> = match plan.pace {
            Pace::Closed(_) => vec![
                ("answers/s", |report| report.rate),
                ("p50", |report| report.latency_us.p50),
                ("p99", |report| report.latency_us.p99),
            ],
            Pace::Open(_) => vec![
                ("p50", |report| report.latency_us.p50),
                ("p99", |report| report.latency_us.p99),
                ("p99.9", |report| report.latency_us.p99_9),
                ("p99.99", |report| report.latency_us.p99_99),
            ],
        };
        let ratios = figures
            .into_iter()
            .map(|(name, figure)| {
                let server: Vec<f64> = server.iter().map(figure).collect();
                let floor: Vec<f64> = floor.iter().map(figure).collect();
                Ratio::new(name, &server, &floor)
            })
            .collect();
        Self {
            server,
            floor,
            ratios,
        }
    }
}

impl Ratio {
    /// The ratio of pairs.
    fn new(name: &'static str, server: &[f64], floor: &[f64]) -> Self {
        let pairs: Vec<f64> = server
            .iter()
            .zip(floor)
            .map(|(server, floor)| server / floor)
            .collect();
        let (server, _, _) = summary(server);
        let (floor, floor_min, floor_max) = summary(floor);
        let (ratio, min, max) = summary(&pairs);
        Self {
            name,
            server,
            floor,
            ratio,
            min,
            max,
            floor_spread: floor_max / floor_min,
        }
    }
}

/// Median, least and greatest.
fn summary(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    ((at(last / 2) + at(last.div_ceil(2))) / 2.0, at(0), at(last))
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>14} {:>14} {:>8} {:>8} {:>8}   floor's spread",
            "", "server", "floor", "ratio", "least", "most"
        )?;
        for ratio in &self.ratios {
            writeln!(
                f,
                "{:<10} {:>14.1} {:>14.1} {:>8.2} {:>8.2} {:>8.2}   {:.2}",
                ratio.name,
                ratio.server,
                ratio.floor,
                ratio.ratio,
                ratio.min,
                ratio.max,
                ratio.floor_spread
            )?;
        }
        let warnings = (self.server.iter().map(|report| ("server", report)))
            .chain(self.floor.iter().map(|report| ("floor", report)));
        for (of, report) in warnings {
            for warning in &report.warnings {
                writeln!(f, "warning: {of}: {warning}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        assert_eq!(summary(&[3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
        assert_eq!(summary(&[4.0, 1.0, 2.0, 3.0]), (2.5, 1.0, 4.0));
        let ratio = Ratio::new("x", &[2.0, 6.0, 6.0], &[4.0, 8.0, 6.0]);
        assert_eq!((ratio.ratio, ratio.min, ratio.max), (0.75, 0.5, 1.0));
        assert_eq!(ratio.floor_spread, 2.0);
    }
}
