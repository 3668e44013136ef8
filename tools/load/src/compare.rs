//! Two things measured one after the other and again, and their ratios.
//!
//! The absolute figures of a shared machine drift by a factor of two from hour
//! to hour; runs that alternate every few seconds drift together.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::figure::{Figure, Want};
use crate::report::Report;

/// Pairs of which a ratio is the median, at least, for it to show anything.
pub const PAIRS_MIN: usize = 5;

/// What was measured of one of two.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Side {
    /// What it is.
    pub name: String,
    /// Its runs.
    pub runs: Vec<Report>,
}

/// Pairs of runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Comparison {
    /// What is compared, for people.
    pub title: String,
    /// What is judged.
    pub subject: Side,
    /// What it is held against.
    pub base: Side,
    /// The figures, subject by base.
    pub ratios: Vec<Ratio>,
    /// Wrong and missing answers, and figures that are the generator's.
    pub warnings: Vec<String>,
}

/// A figure of the subject by that of the base, over all pairs that count.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Ratio {
    /// The figure.
    pub figure: Figure,
    /// The median of the subject's.
    pub subject: f64,
    /// The median of the base's.
    pub base: f64,
    /// The median of the pairs' ratios.
    pub ratio: f64,
    /// The least of them.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The base's own spread: its greatest figure by its least.
    pub base_spread: f64,
    /// Pairs that count: the base was not limited by the generator.
    pub pairs: usize,
    /// What the ratio is worth.
    pub worth: Worth,
    /// What it should be.
    pub want: Option<Want>,
    /// Whether it is, if that is shown.
    pub met: Option<bool>,
}

/// What a ratio is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Worth {
    /// It is what it says.
    Shown,
    /// The generator limited the subject, which is better than this.
    OrBetter,
    /// Too few pairs in which the generator did not limit the base, or too few
    /// at all: not shown.
    NotShown,
}

impl Comparison {
    /// Compares runs, the first with the first and so on.
    pub fn new(
        title: String,
        figures: &[Figure],
        subject: Side,
        base: Side,
        wants: &[Want],
    ) -> Self {
        let ratios = figures
            .iter()
            .filter_map(|&figure| {
                let want = wants.iter().find(|want| want.figure == figure).copied();
                Ratio::new(figure, &subject.runs, &base.runs, want)
            })
            .collect();
        let mut warnings = Vec::new();
        for side in [&subject, &base] {
            for warning in side.runs.iter().flat_map(|report| &report.warnings) {
                warnings.push(format!("{}: {warning}", side.name));
            }
        }
        Self {
            title,
            subject,
            base,
            ratios,
            warnings: in_kinds(warnings),
        }
    }
}

/// Warnings, where those that differ in their numbers only are told once.
fn in_kinds(warnings: Vec<String>) -> Vec<String> {
    let mut kinds: Vec<(String, String, usize)> = Vec::new();
    for warning in warnings {
        let kind = warning.replace(|c: char| c.is_ascii_digit(), "");
        match kinds.iter_mut().find(|known| known.0 == kind) {
            Some(known) => known.2 += 1,
            None => kinds.push((kind, warning, 1)),
        }
    }
    let told = |(_, warning, count)| match count {
        1 => warning,
        _ => format!("{warning} (in {count} runs, to some extent)"),
    };
    kinds.into_iter().map(told).collect()
}

/// Whether the generator limited none of these figures of a run.
pub fn counts(report: &Report, figures: &[Figure]) -> bool {
    figures.iter().all(|figure| report.limit(*figure).is_none())
}

impl Ratio {
    /// The ratio of pairs; none if the figure was not taken.
    fn new(
        figure: Figure,
        subject: &[Report],
        base: &[Report],
        want: Option<Want>,
    ) -> Option<Self> {
        let all: Vec<(&Report, f64, &Report, f64)> = subject
            .iter()
            .zip(base)
            .filter_map(|(subject, base)| {
                Some((subject, figure.of(subject)?, base, figure.of(base)?))
            })
            .collect();
        let good: Vec<_> = (all.iter().copied())
            .filter(|(_, _, base, _)| counts(base, &[figure]))
            .collect();
        let enough = good.len() >= PAIRS_MIN;
        let limited = good
            .iter()
            .filter(|(subject, ..)| !counts(subject, &[figure]))
            .count();
        let worth = match enough {
            false => Worth::NotShown,
            true if 2 * limited >= good.len() => Worth::OrBetter,
            true => Worth::Shown,
        };
        // What is not shown is told all the same, of all pairs.
        let told = if enough { &good } else { &all };
        let figures = |of: fn(&(&Report, f64, &Report, f64)) -> f64| -> Vec<f64> {
            told.iter().map(of).collect()
        };
        let (subject, _, _) = summary(&figures(|pair| pair.1))?;
        let (base, base_min, base_max) = summary(&figures(|pair| pair.3))?;
        let (ratio, min, max) = summary(&figures(|pair| pair.1 / pair.3))?;
        let met = want.and_then(|want| match (worth, want.is_met(ratio)) {
            (Worth::NotShown, _) | (Worth::OrBetter, false) => None,
            (_, met) => Some(met),
        });
        Some(Self {
            figure,
            subject,
            base,
            ratio,
            min,
            max,
            base_spread: base_max / base_min,
            pairs: good.len(),
            worth,
            want,
            met,
        })
    }

    /// What was wanted and whether it is so, for people.
    pub fn judgement(&self) -> String {
        match (self.want, self.met, self.worth) {
            (None, ..) => String::new(),
            (Some(want), Some(true), _) => format!("{want}: met"),
            (Some(want), Some(false), _) => format!("{want}: not met"),
            (Some(want), None, _) => format!("{want}: not shown"),
        }
    }

    /// The ratio, or why there is none.
    pub fn told(&self) -> String {
        match self.worth {
            Worth::Shown => format!("{:.2}", self.ratio),
            Worth::OrBetter => format!("{:.2} or better", self.ratio),
            Worth::NotShown => format!("({:.2})", self.ratio),
        }
    }
}

/// Median, least and greatest.
fn summary(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let median = (sorted[last / 2] + sorted[last.div_ceil(2)]) / 2.0;
    Some((median, sorted[0], sorted[last]))
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        writeln!(
            f,
            "{:<10} {:>14} {:>14} {:>14} {:>8} {:>8} {:>8} {:>6}",
            "", self.subject.name, self.base.name, "ratio", "least", "most", "spread", "pairs"
        )?;
        for ratio in &self.ratios {
            writeln!(
                f,
                "{:<10} {:>14.2} {:>14.2} {:>14} {:>8.2} {:>8.2} {:>8.2} {:>6}  {}",
                ratio.figure,
                ratio.subject,
                ratio.base,
                ratio.told(),
                ratio.min,
                ratio.max,
                ratio.base_spread,
                ratio.pairs,
                ratio.judgement()
            )?;
        }
        if self
            .ratios
            .iter()
            .any(|ratio| ratio.worth == Worth::NotShown)
        {
            writeln!(
                f,
                "in brackets: no proof, as fewer than {PAIRS_MIN} pairs count"
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    /// Runs with these rates and shares of idle time.
    fn runs(of: &[(f64, f64)]) -> Vec<Report> {
        of.iter()
            .map(|&(rate, idle)| Report {
                rate,
                idle: Some(idle),
                ..report()
            })
            .collect()
    }

    fn ratio(subject: &[(f64, f64)], base: &[(f64, f64)]) -> Ratio {
        let want = "answers/s>=0.5".parse().ok();
        Ratio::new(Figure::Rate, &runs(subject), &runs(base), want).unwrap()
    }

    #[test]
    fn medians_and_spreads() {
        assert_eq!(summary(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(summary(&[4.0, 1.0, 2.0, 3.0]), Some((2.5, 1.0, 4.0)));
        assert_eq!(summary(&[]), None);
        let fine = 0.5;
        let ratio = ratio(
            &[
                (2.0, fine),
                (6.0, fine),
                (6.0, fine),
                (3.0, fine),
                (6.0, fine),
            ],
            &[
                (4.0, fine),
                (8.0, fine),
                (6.0, fine),
                (4.0, fine),
                (8.0, fine),
            ],
        );
        assert_eq!((ratio.ratio, ratio.min, ratio.max), (0.75, 0.5, 1.0));
        assert_eq!(ratio.base_spread, 2.0);
        assert_eq!((ratio.worth, ratio.met), (Worth::Shown, Some(true)));
        assert_eq!(ratio.judgement(), "≥ 0.5: met");
    }

    #[test]
    fn warnings_of_one_kind_are_told_once() {
        let warnings = ["a: 1 of 2", "a: 30 of 4", "b: 1 of 2"].map(str::to_owned);
        let told = ["a: 1 of 2 (in 2 runs, to some extent)", "b: 1 of 2"];
        assert_eq!(in_kinds(warnings.into()), told);
    }

    #[test]
    fn no_ratio_is_proof_when_the_generator_limits_the_base() {
        let base = [(4.0, 0.5), (4.0, 0.5), (4.0, 0.01), (4.0, 0.5), (4.0, 0.5)];
        let ratio = ratio(&[(4.0, 0.5); 5], &base);
        assert_eq!((ratio.pairs, ratio.worth), (4, Worth::NotShown));
        assert_eq!((ratio.met, ratio.told().as_str()), (None, "(1.00)"));
        assert_eq!(ratio.judgement(), "≥ 0.5: not shown");
    }

    #[test]
    fn a_limited_subject_is_at_least_as_good_as_it_looks() {
        let good = ratio(&[(3.0, 0.01); 5], &[(4.0, 0.5); 5]);
        assert_eq!((good.worth, good.met), (Worth::OrBetter, Some(true)));
        let unknown = ratio(&[(1.0, 0.01); 5], &[(4.0, 0.5); 5]);
        assert_eq!((unknown.worth, unknown.met), (Worth::OrBetter, None));
        let bad = ratio(&[(1.0, 0.5); 5], &[(4.0, 0.5); 5]);
        assert_eq!((bad.worth, bad.met), (Worth::Shown, Some(false)));
    }
}
