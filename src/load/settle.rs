//! What was found when the rules of single devices were sorted: lines that
//! contradict others, told with the lists that they stand in.

use crate::equipment::bulk::{Refusal, Refusals};
use crate::equipment::{Builder, Device, MAX_TERMS, Scope};
use crate::lists::report::{Bad, MAX_SHOWN};
use crate::lists::{BadLine, LoadReport};

/// Counts lines that are left out as bad ones, and tells the first.
pub(super) fn settle(report: &mut LoadReport, builder: &Builder, refusals: &Refusals) {
    if refusals.counts.is_empty() {
        return;
    }
    // Files are numbered in the order in which they were read.
    let lists = report.lists.iter().enumerate();
    let files =
        lists.flat_map(|(list, report)| (0..report.files.len()).map(move |file| (list, file)));
    let files: Vec<(usize, usize)> = files.collect();
    let place = |said: u32| {
        let (file, _, _) = builder.place_of(said)?;
        files.get(file.number() as usize).copied()
    };
    for (&said, &[_, lines]) in &refusals.counts {
        let Some((list, file)) = place(said) else {
            continue;
        };
        let Some(list) = report.lists.get_mut(list) else {
            continue;
        };
        list.contradictions += lines;
        if let Some(file) = list.files.get_mut(file) {
            file.entries = file.entries.saturating_sub(lines);
            file.bad_lines += lines;
        }
    }
    let mut told: Vec<(usize, usize, BadLine)> = Vec::new();
    for refusal in refusals.first() {
        if let Some((list, file)) = place(refusal.said)
            && let Some(path) = (report.lists.get(list)).and_then(|list| list.files.get(file))
        {
            let bad = Bad::new(reason(builder, refusal));
            let bad = bad.in_line(&path.path, u64::from(refusal.line), None);
            told.push((list, file, bad));
        }
    }
    for (place, list) in report.lists.iter_mut().enumerate() {
        if told.iter().all(|&(own, ..)| own != place) {
            continue;
        }
        let paths: Vec<String> = list.files.iter().map(|file| file.path.clone()).collect();
        let bad = told.iter().filter(|(own, ..)| *own == place);
        list.first_bad_lines
            .extend(bad.map(|(_, _, bad)| bad.clone()));
        list.first_bad_lines.sort_by_key(|bad| {
            let file = paths.iter().position(|path| *path == bad.path);
            (file, bad.line)
        });
        list.first_bad_lines.truncate(MAX_SHOWN);
    }
}

/// Why a line is left out.
fn reason(builder: &Builder, refusal: &Refusal) -> String {
    // It was the number of one.
    let device = Device::from_number(refusal.device).unwrap_or(Device::MIN);
    let scope = Scope::Device(device);
    let other = refusal.other.and_then(|(said, line)| {
        let (file, _, status) = builder.place_of(said)?;
        Some((builder.path(file)?, line, status))
    });
    match other {
        Some((file, line, status)) => {
            format!("contradicts {file}:{line}, where {scope} is {status}")
        }
        None => format!(
            "is one of more than {MAX_TERMS} rules about {scope} that differ in list, status or dates"
        ),
    }
}
