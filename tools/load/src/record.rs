//! A dated record of comparisons: what was measured, against what, and what it
//! is worth.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::args::RecordArgs;
use crate::compare::{Comparison, PAIRS_MIN, Worth};
use crate::plot;

/// Writes the record of a directory, and the drawing if one is wanted.
pub fn write(args: &RecordArgs) -> Result<(), String> {
    let comparisons = read(&args.directory)?;
    let text = markdown(&args.title, &machine(), &comparisons);
    fs::write(&args.markdown, text)
        .map_err(|error| format!("cannot write {}: {error}", args.markdown.display()))?;
    match &args.svg {
        Some(path) => plot::draw(path, &comparisons),
        None => Ok(()),
    }
}

/// The comparisons of a directory, in the order of their files' names.
fn read(directory: &Path) -> Result<Vec<Comparison>, String> {
    let failed = |error| format!("cannot read {}: {error}", directory.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    };
    let comparisons = paths
        .iter()
        .map(|path| read(path).map_err(|why| format!("{}: {why}", path.display())))
        .collect::<Result<Vec<_>, _>>()?;
    match comparisons.is_empty() {
        true => Err(format!("{} has no comparison", directory.display())),
        false => Ok(comparisons),
    }
}

/// What this machine is.
fn machine() -> String {
    let of = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
    };
    let model = of("/proc/cpuinfo", "model name").unwrap_or_default();
    let memory = of("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
        .unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Major and minor number: what is behind them is the distributor's.
    let kernel = kernel.split('.').take(2).collect::<Vec<_>>().join(".");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} processors ({model}), {} GiB, Linux {}",
        memory >> 20,
        kernel.trim()
    )
}

/// The record.
fn markdown(title: &str, machine: &str, comparisons: &[Comparison]) -> String {
    let mut text = format!("# {title}\n\n{machine}.\n\n");
    text.push_str(
        "Runs of both sides alternate, and each ratio is the median of the pairs' ratios; beside it \
         the least and the greatest.\nThe spread is that of the base's own figures, the greatest by \
         the least. Latencies and processor time are in microseconds.\n\n",
    );
    text.push_str(
        "| What | Figure | Subject | Base | Ratio | Least to most | Base's spread | Pairs | Wanted |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let mut remarks = Vec::new();
    for comparison in comparisons {
        let Comparison {
            title,
            subject,
            base,
            ..
        } = comparison;
        for (row, ratio) in comparison.ratios.iter().enumerate() {
            let what = match row {
                0 => format!("{title}: {} / {}", subject.name, base.name),
                _ => String::new(),
            };
            let _ = writeln!(
                text,
                "| {what} | {} | {} | {} | {} | {:.2} to {:.2} | {:.2} | {} | {} |",
                ratio.figure,
                figure(ratio.subject),
                figure(ratio.base),
                ratio.told(),
                ratio.min,
                ratio.max,
                ratio.base_spread,
                ratio.pairs,
                ratio.judgement()
            );
        }
        remarks.extend(remarks_of(comparison));
    }
    let bracketed = (comparisons.iter().flat_map(|comparison| &comparison.ratios))
        .any(|ratio| ratio.worth == Worth::NotShown);
    if bracketed {
        remarks.push(format!(
            "A ratio in brackets proves nothing: in fewer than {PAIRS_MIN} pairs the base was free \
             of the generator's own limits."
        ));
    }
    if !remarks.is_empty() {
        text.push('\n');
    }
    for remark in remarks {
        let _ = writeln!(text, "* {remark}");
    }
    text
}

/// What else is to be said of a comparison.
fn remarks_of(comparison: &Comparison) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut notes: Vec<&str> = (comparison.subject.runs.iter())
        .filter_map(|run| run.beside.as_deref())
        .collect();
    notes.dedup();
    if !notes.is_empty() {
        remarks.push(format!("{}: {}", comparison.title, notes.join("; ")));
    }
    for warning in &comparison.warnings {
        remarks.push(format!("{}: {warning}", comparison.title));
    }
    remarks
}

/// A figure in few digits, thousands apart.
fn figure(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Side;
    use crate::figure::Figure;
    use crate::report::Report;
    use crate::report::tests::report;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(figure(1_234_567.4), "1,234,567");
        assert_eq!(figure(123.4), "123");
        assert_eq!(figure(1000.0), "1,000");
        assert_eq!(figure(0.126), "0.13");
    }

    /// What is read back from JSON says the same as what was written.
    #[test]
    fn a_record_has_each_figure_and_each_doubt_once() {
        let side = |name: &str, rate: f64| Side {
            name: name.to_owned(),
            runs: (0..5)
                .map(|number| Report {
                    rate,
                    warnings: vec![format!("{number} answers are wrong")],
                    beside: Some(format!("{number} reloads")),
                    ..report()
                })
                .collect(),
        };
        let wants = ["answers/s>=0.7".parse().unwrap()];
        let (weir, echo) = (side("Weir", 700_000.0), side("echo", 1e6));
        let comparison = Comparison::new("W = 256".into(), &Figure::CLOSED, weir, echo, &wants);
        let dir = tempfile::tempdir().unwrap();
        let json = serde_json::to_string(&comparison).unwrap();
        fs::write(dir.path().join("1.json"), json).unwrap();
        let read = read(dir.path()).unwrap();
        let text = markdown("Now", "a machine", &read);
        assert!(
            text.contains(
                "| W = 256: Weir / echo | answers/s | 700,000 | 1,000,000 | 0.70 | \
                 0.70 to 0.70 | 1.00 | 5 | ≥ 0.7: met |"
            ),
            "{text}"
        );
        assert!(text.contains("* W = 256: Weir: 0 answers are wrong (in 5 runs,"));
        assert!(text.contains("0 reloads; 1 reloads"));
        assert!(!text.contains("brackets"));
    }
}
