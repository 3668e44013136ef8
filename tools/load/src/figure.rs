//! The figures that are compared, and what is wanted of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::report::{Percentiles, Report};

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Figure {
    /// Answers a second.
    #[serde(rename = "answers/s")]
    Rate,
    /// The median latency.
    #[serde(rename = "p50")]
    P50,
    /// The latency of 99 in a hundred.
    #[serde(rename = "p99")]
    P99,
    /// That of 999 in a thousand.
    #[serde(rename = "p99.9")]
    P999,
    /// That of 9999 in ten thousand.
    #[serde(rename = "p99.99")]
    P9999,
    /// Processor time of the other end for each answer.
    #[serde(rename = "processor")]
    ServerTime,
    /// The time that the other end waited for a processor, for each answer.
    #[serde(rename = "waited")]
    ServerWaited,
}

impl Figure {
    /// What tells of a closed loop.
    pub const CLOSED: [Self; 4] = [Self::Rate, Self::P50, Self::P99, Self::ServerTime];

    /// What tells of an open loop.
    pub const OPEN: [Self; 6] = [
        Self::P50,
        Self::P99,
        Self::P999,
        Self::P9999,
        Self::ServerTime,
        Self::ServerWaited,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "answers/s",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::P9999 => "p99.99",
            Self::ServerTime => "processor",
            Self::ServerWaited => "waited",
        }
    }

    /// It, of a run; none if it was not taken.
    pub fn of(self, report: &Report) -> Option<f64> {
        match self {
            Self::Rate => Some(report.rate),
            Self::ServerTime => report.server_us,
            Self::ServerWaited => report.server_waited_us,
            _ => self.percentile(&report.latency_us),
        }
    }

    /// It, of a distribution.
    pub const fn percentile(self, of: &Percentiles) -> Option<f64> {
        match self {
            Self::P50 => Some(of.p50),
            Self::P99 => Some(of.p99),
            Self::P999 => Some(of.p99_9),
            Self::P9999 => Some(of.p99_99),
            Self::Rate | Self::ServerTime | Self::ServerWaited => None,
        }
    }

    /// Whether the generator has a part in it: all but what is told of the
    /// other end's process.
    pub const fn is_of_both(self) -> bool {
        !matches!(self, Self::ServerTime | Self::ServerWaited)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the ratio of a figure should be: `FIGURE>=RATIO` or `FIGURE<=RATIO`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Want {
    /// Of what.
    pub figure: Figure,
    /// Whether it should be at least this, or at most.
    pub at_least: bool,
    /// The ratio.
    pub ratio: f64,
}

impl Want {
    /// Whether a ratio is as wanted.
    pub fn is_met(&self, ratio: f64) -> bool {
        match self.at_least {
            true => ratio >= self.ratio,
            false => ratio <= self.ratio,
        }
    }
}

impl FromStr for Want {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not FIGURE>=RATIO or FIGURE<=RATIO");
        let (name, at_least, ratio) = (text.split_once(">="))
            .map(|(name, ratio)| (name, true, ratio))
            .or_else(|| {
                text.split_once("<=")
                    .map(|(name, ratio)| (name, false, ratio))
            })
            .ok_or_else(wrong)?;
        let figure = (Figure::CLOSED.into_iter().chain(Figure::OPEN))
            .find(|figure| figure.name() == name)
            .ok_or_else(wrong)?;
        let ratio = ratio.parse().map_err(|_| wrong())?;
        Ok(Self {
            figure,
            at_least,
            ratio,
        })
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.at_least { '≥' } else { '≤' };
        write!(f, "{sign} {}", self.ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wants_are_read_and_judged() {
        let want: Want = "answers/s>=0.7".parse().unwrap();
        assert!(want.is_met(0.7) && !want.is_met(0.69));
        let want: Want = "p99.9<=1.25".parse().unwrap();
        assert_eq!(want.figure, Figure::P999);
        assert!(want.is_met(1.25) && !want.is_met(1.26));
        for wrong in ["p98<=1", "p99=1", "p99<=one"] {
            assert!(wrong.parse::<Want>().unwrap_err().contains(wrong));
        }
    }
}
