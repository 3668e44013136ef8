//! Distributions as HdrHistogram's own tools print and plot them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use hdrhistogram::Histogram;

/// Steps in each half of the distance to 1, as other implementations have it.
const TICKS: u32 = 5;

/// Nanoseconds in the unit that is printed, microseconds.
const UNIT: f64 = 1000.0;

/// Writes a distribution of nanoseconds as a `.hgrm` file of microseconds.
pub fn write(path: &Path, histogram: &Histogram<u64>) -> Result<(), String> {
    let mut text = Vec::new();
    print(histogram, &mut text)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Prints it.
fn print(histogram: &Histogram<u64>, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS) {
        count += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / UNIT;
        let quantile = step.quantile_iterated_to();
        write!(out, "{value:>12.3} {quantile:>14.12} {count:>10}")?;
        match quantile < 1.0 {
            true => writeln!(out, " {:>14.2}", 1.0 / (1.0 - quantile))?,
            false => writeln!(out)?,
        }
    }
    writeln!(
        out,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]",
        histogram.mean() / UNIT,
        histogram.stdev() / UNIT
    )?;
    writeln!(
        out,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        histogram.max() as f64 / UNIT,
        histogram.len()
    )?;
    writeln!(
        out,
        "#[Buckets = {:>12}, SubBuckets     = {:>12}]",
        histogram.buckets(),
        2 * 10u32.pow(histogram.sigfig().into())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line says of how many values it is, and these are counted anew.
    #[test]
    fn lines_count_the_values_up_to_them() {
        let values: Vec<u64> = (1..=1000).map(|value| value * 1000).collect();
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for &value in &values {
            histogram.record(value).unwrap();
        }
        let mut text = Vec::new();
        print(&histogram, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut lines = 0;
        for line in text.lines().skip(2).filter(|line| !line.starts_with('#')) {
            let fields: Vec<f64> = (line.split_whitespace())
                .map(|field| field.parse().unwrap())
                .collect();
            // A bucket of values is told by its highest.
            let counted = (values.iter())
                .filter(|&&value| value as f64 / UNIT <= fields[0] + 0.001)
                .count();
            assert_eq!(counted as f64, fields[2], "{line}");
            assert!(fields[2] / 1000.0 >= fields[1] - 1e-9, "{line}");
            lines += 1;
        }
        assert!(lines > 20, "{text}");
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }
}
