//! A comparison for people.

use std::io::{self, Write};

use super::change::{Decision, Sample, Tally};
use super::side::SideSummary;
use super::{AudienceReport, Replayed, Report};
use crate::cli::grouped;

/// Where samples begin.
const INDENT: &str = "      ";

/// How many warnings of each side are shown.
const WARNINGS_SHOWN: usize = 3;

/// Prints everything.
pub(super) fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    print_side(out, "Old", &report.old)?;
    print_side(out, "New", &report.new)?;
    writeln!(out, "Time {}", report.at)?;
    for note in &report.notes {
        writeln!(out, "Note {note}")?;
    }
    for audience in &report.audiences {
        print_audience(out, audience)?;
    }
    if let Some(subscribers) = &report.subscribers
        && subscribers.changed + subscribers.unchanged > 0
    {
        writeln!(out, "\nSubscribers with bindings or exceptions")?;
        print_tally(out, subscribers)?;
    }
    if let Some(replay) = &report.replay {
        print_replay(out, replay)?;
    }
    if !report.differs {
        writeln!(out, "\nNo verdict changes.")?;
    }
    Ok(())
}

/// Prints what OLD or NEW is.
fn print_side(out: &mut impl Write, name: &str, side: &SideSummary) -> io::Result<()> {
    write!(
        out,
        "{name}  {}: {}",
        side.path,
        plural(side.rules as u64, "rule")
    )?;
    for (count, what) in [(side.exceptions, "exception"), (side.bindings, "binding")] {
        if count > 0 {
            write!(out, ", {}", plural(count as u64, what))?;
        }
    }
    match side.changing_later {
        0 => {}
        1 => write!(out, "; 1 begins or ends later")?,
        more => write!(out, "; {} begin or end later", grouped(more as u64))?,
    }
    if let Some(status) = side.override_status {
        write!(out, "; override: everything is {status}")?;
    }
    writeln!(out)?;
    for warning in side.warnings.iter().take(WARNINGS_SHOWN) {
        writeln!(out, "     warning: {warning}")?;
    }
    match side.warnings.len().saturating_sub(WARNINGS_SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "     warning: … and {more} more"),
    }
}

/// Prints what one client would be answered.
fn print_audience(out: &mut impl Write, audience: &AudienceReport) -> io::Result<()> {
    let policies = match audience.old_policy == audience.new_policy {
        true => format!("policy {}", audience.old_policy),
        false => format!(
            "policy {}, then {}",
            audience.old_policy, audience.new_policy
        ),
    };
    let mut who = String::new();
    for (name, value) in [
        ("Origin-Host", audience.origin_host.as_str()),
        ("Origin-Realm", &audience.origin_realm),
        ("Route-Record", &audience.route_record),
        ("IMSI", audience.imsi.as_deref().unwrap_or_default()),
    ] {
        if !value.is_empty() {
            who += &format!(", {name} {value}");
        }
    }
    writeln!(out, "\nDevices, {policies}{who}")?;
    print_tally(out, &audience.devices)?;
    if audience.device_svns.changed + audience.device_svns.unchanged > 0 {
        writeln!(out, "  with a software version that makes a difference")?;
        print_tally(out, &audience.device_svns)?;
    }
    if audience.malformed.changed > 0 {
        writeln!(out, "  what is no IMEI")?;
        print_tally(out, &audience.malformed)?;
    }
    Ok(())
}

/// Prints counts by change, with the samples.
fn print_tally(out: &mut impl Write, tally: &Tally) -> io::Result<()> {
    let counts = tally.changes.iter().map(|change| change.count);
    let numbers: Vec<_> = counts.chain([tally.unchanged]).map(grouped).collect();
    let width = numbers.iter().map(String::len).max().unwrap_or_default();
    for (change, number) in tally.changes.iter().zip(&numbers) {
        writeln!(
            out,
            "{number:>width$}  {} → {}",
            change.old,
            change.new,
            width = width + 2
        )?;
        for sample in &change.samples {
            print_sample(out, sample)?;
        }
    }
    let unchanged = grouped(tally.unchanged);
    writeln!(out, "{unchanged:>width$}  unchanged", width = width + 2)
}

/// Prints one sample.
fn print_sample(out: &mut impl Write, sample: &Sample) -> io::Result<()> {
    let mut parts = Vec::new();
    if let Some(imsi) = &sample.imsi {
        parts.push(format!("IMSI {imsi}"));
    }
    match (&sample.scope, &sample.from, &sample.to) {
        (Some(scope), _, _) => parts.push(scope.clone()),
        (_, Some(from), _) if sample.elsewhere => parts.push(format!("other devices, as {from}")),
        (_, Some(from), Some(to)) if from != to => parts.push(format!("{from} to {to}")),
        (_, Some(from), _) => parts.push(from.clone()),
        (_, None, _) => {}
    }
    if let (Some(svn), None) = (&sample.svn, &sample.scope) {
        parts.push(format!("SVN {svn}"));
    }
    if !parts.is_empty() {
        write!(out, "{INDENT}{}", parts.join(", "))?;
        match sample.count {
            1 => writeln!(out)?,
            count if count == sample.own_count => writeln!(out, " ({})", grouped(count))?,
            count => writeln!(out, " and others ({})", grouped(count))?,
        }
    }
    for (name, decision) in [("old", &sample.old), ("new", &sample.new)] {
        writeln!(out, "{INDENT}  {name}: {}", told(decision))?;
    }
    Ok(())
}

/// What decided, in a line.
fn told(decision: &Decision) -> String {
    let mut text = format!("{}, {}", decision.outcome, decision.ground);
    if let (Some(file), Some(line), Some(list)) = (&decision.file, decision.line, &decision.list) {
        text += &format!(" in {file}:{line} (list {list}");
        if let Some(reason) = &decision.reason {
            text += &format!(", {reason:?}");
        }
        text += ")";
    }
    text
}

/// Prints the requests that are answered differently, a line each.
fn print_replay(out: &mut impl Write, replay: &Replayed) -> io::Result<()> {
    let requests = plural(replay.requests, "request");
    writeln!(
        out,
        "\nReplay of {}: {} of {requests} answered differently",
        replay.capture,
        grouped(replay.changed as u64),
    )?;
    let subjects: Vec<_> = replay.differing.iter().map(|row| row.subject()).collect();
    let width = subjects.iter().map(|subject| subject.chars().count()).max();
    let width = width.unwrap_or_default();
    for (row, subject) in replay.differing.iter().zip(&subjects) {
        writeln!(
            out,
            "{:>6}  {}  {subject:<width$}  {} → {}",
            row.frame, row.time, row.old, row.new
        )?;
    }
    Ok(())
}

/// A number and its noun.
fn plural(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{} {noun}s", grouped(count)),
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_nouns() {
        assert_eq!(plural(1, "rule"), "1 rule");
        assert_eq!(plural(1234, "rule"), "1,234 rules");
    }
}
