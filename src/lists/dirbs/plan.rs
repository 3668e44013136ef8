//! Which files of a DIRBS list are read, and in what order.

use std::collections::BTreeMap;

use super::names::{Action, Name};

/// A file of a list, as its name and header describe it.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// How reports call it.
    pub(super) shown: String,
    /// What its name says; `None` if it is named otherwise.
    pub(super) name: Option<Name>,
    /// Whether each line says what it does, so that it is a delta whatever it
    /// is named.
    pub(super) line_actions: bool,
}

/// A file with its number, and what it does to all of its lines.
pub(super) type Step = (usize, Option<Action>);

/// The files of one list, or of one operator's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lane {
    /// The full lists.
    pub(super) base: Vec<usize>,
    /// The deltas, in the order in which they apply. All of one run apply at
    /// once; within one, what takes away comes first.
    pub(super) steps: Vec<Step>,
    /// What is not read, and why.
    pub(super) notes: Vec<String>,
}

/// Orders files: the newest full list, then the deltas made after it, run by
/// run.
///
/// # Errors
///
/// Deltas that do not build on what is there, one line each.
pub(super) fn plan(files: &[Described]) -> Result<Vec<Lane>, Vec<String>> {
    let mut lanes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        let operator = file.name.as_ref().map_or("", |name| name.operator.as_str());
        lanes.entry(operator).or_default().push(number);
    }
    let (mut planned, mut faults) = (Vec::new(), Vec::new());
    for numbers in lanes.values() {
        match lane(files, numbers) {
            Ok(lane) => planned.push(lane),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(planned)
    } else {
        Err(faults)
    }
}

/// Orders the files of one lane.
fn lane(files: &[Described], numbers: &[usize]) -> Result<Lane, String> {
    let mut lane = Lane::default();
    let (mut fulls, mut deltas, mut undated) = (Vec::new(), Vec::new(), Vec::new());
    for &number in numbers {
        let Some(file) = files.get(number) else {
            continue;
        };
        match &file.name {
            Some(Name { date, delta, .. }) => match delta {
                None => fulls.push((date.as_str(), number, file)),
                Some(delta) => deltas.push((date.as_str(), delta.run, *delta, number, file)),
            },
            // Taken for a full list, what it takes away would be added.
            None if looks_like_delta(&file.shown) && !file.line_actions => {
                return Err(format!(
                    "{}: looks like a delta, but its name does not say what it does; DIRBS names deltas `<date>_…_delta_<base>_<run>_<change>.csv`",
                    file.shown
                ));
            }
            None if file.line_actions => lane.steps.push((number, None)),
            None => undated.push((number, file)),
        }
    }
    // Lists that are named by hand have no order but that of their names.
    if let Some((_, file)) = undated.first() {
        if let Some((_, _, dated)) = fulls.first() {
            return Err(format!(
                "{}: which of it and {} is newer cannot be told; name it as DIRBS does, with the date in front",
                file.shown, dated.shown
            ));
        }
        lane.base = undated.iter().map(|(number, _)| *number).collect();
    }
    fulls.sort_unstable_by_key(|(date, number, _)| (*date, *number));
    let mut since = "";
    if let Some((date, number, file)) = fulls.pop() {
        since = date;
        lane.base.push(number);
        for (_, _, older) in &fulls {
            let (older, shown) = (&older.shown, &file.shown);
            lane.notes
                .push(format!("{older} is older than {shown}, and is not read"));
        }
    }
    deltas.sort_unstable_by_key(|(date, run, delta, number, _)| {
        // In one run, what is taken away comes before what is added.
        (
            *date,
            *run,
            delta.base,
            delta.action.map(|action| action as u8),
            *number,
        )
    });
    // A delta as old as the full list was made with it: it tells the run.
    let mut current = match lane.base.is_empty() {
        true => Some(-1),
        false => None,
    };
    let mut applied: Option<(i64, i64)> = None;
    for (date, run, delta, number, file) in deltas {
        if !since.is_empty() && date <= since {
            if date == since {
                current = Some(run);
            }
            lane.notes.push(format!(
                "{} is contained in the full list of {since}, and is not read",
                file.shown
            ));
            continue;
        }
        if applied != Some((delta.base, run)) {
            match current {
                Some(current) if run <= current => {
                    return Err(format!(
                        "{}: run {run} is applied already, and what is there is run {current}; remove the file",
                        file.shown
                    ));
                }
                Some(current) if delta.base != current => {
                    let there = match current {
                        -1 => "no full list is there".to_owned(),
                        current => format!("what is there is run {current}"),
                    };
                    return Err(format!(
                        "{}: builds on run {}, but {there}; add the files in between, or the newest full list",
                        file.shown, delta.base
                    ));
                }
                _ => {}
            }
            current = Some(run);
            applied = Some((delta.base, run));
        }
        lane.steps.push((number, delta.action));
    }
    Ok(lane)
}

/// Whether a file is named as deltas are, whatever else is in its name.
fn looks_like_delta(shown: &str) -> bool {
    let name = shown.rsplit('/').next().unwrap_or_default();
    name.contains("_delta_")
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::super::super::format::ListFormat;
    use super::super::names;
    use super::*;

    /// Plans files with these names; gives the names that are read, the full
    /// lists before a bar.
    fn order(names: &[&str]) -> Result<String, Vec<String>> {
        let files: Vec<Described> = (names.iter())
            .map(|name| Described {
                shown: (*name).to_owned(),
                name: names::parse(name, ListFormat::DirbsBlacklist),
                line_actions: name.starts_with("delta"),
            })
            .collect();
        let lanes = plan(&files)?;
        let shown = |number: &usize| files[*number].shown.trim_end_matches(".csv").to_owned();
        let lanes = lanes.iter().map(|lane| {
            let base: Vec<String> = lane.base.iter().map(shown).collect();
            let steps: Vec<String> = lane.steps.iter().map(|(number, _)| shown(number)).collect();
            format!("{} | {}", base.join(" "), steps.join(" "))
        });
        Ok(lanes.collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn the_newest_full_list_comes_first_and_deltas_run_by_run() {
        let expected = "20260102_blacklist | 20260103_blacklist_delta_2_3_unblocked \
                        20260103_blacklist_delta_2_3_changed 20260103_blacklist_delta_2_3_blocked \
                        20260104_blacklist_delta_3_4_blocked";
        let mut names = [
            "20260104_blacklist_delta_3_4_blocked.csv",
            "20260103_blacklist_delta_2_3_blocked.csv",
            "20260103_blacklist_delta_2_3_changed.csv",
            "20260103_blacklist_delta_2_3_unblocked.csv",
            "20260102_blacklist_delta_1_2_blocked.csv",
            "20260102_blacklist.csv",
            "20260101_blacklist.csv",
        ];
        assert_eq!(order(&names).as_deref(), Ok(expected));
        names.reverse();
        assert_eq!(order(&names).as_deref(), Ok(expected));
    }

    #[test]
    fn lists_named_by_hand_are_read_by_name() {
        assert_eq!(order(&["a.csv", "delta1.csv"]).as_deref(), Ok("a | delta1"));
        let faults = order(&["a.csv", "20260101_blacklist.csv"]).unwrap_err();
        assert!(faults[0].contains("cannot be told"), "{faults:?}");
    }

    #[test]
    fn deltas_without_a_base_begin_with_nothing() {
        let names = [
            "20260101_blacklist_delta_-1_1_blocked.csv",
            "20260102_blacklist_delta_1_2_blocked.csv",
        ];
        assert!(order(&names).unwrap().starts_with(" | 20260101"));
    }

    #[test]
    fn a_delta_that_builds_on_something_else_is_refused() {
        for (names, fragment) in [
            (
                &["20260102_blacklist_delta_1_2_unblokced.csv"][..],
                "does not say what it does",
            ),
            (
                &["20260102_blacklist_delta_1_2_blocked.csv"][..],
                "builds on run 1, but no full list is there",
            ),
            (
                &[
                    "20260101_blacklist.csv",
                    "20260101_blacklist_delta_0_1_blocked.csv",
                    "20260103_blacklist_delta_2_3_blocked.csv",
                ],
                "builds on run 2, but what is there is run 1",
            ),
            (
                &[
                    "20260101_blacklist.csv",
                    "20260102_blacklist_delta_1_2_blocked.csv",
                    "20260104_blacklist_delta_3_4_blocked.csv",
                ],
                "builds on run 3, but what is there is run 2",
            ),
            (
                &[
                    "20260101_blacklist.csv",
                    "20260102_blacklist_delta_1_2_blocked.csv",
                    "20260103_blacklist_delta_1_2_blocked.csv",
                    "20260104_blacklist_delta_1_2_changed.csv",
                    "20260105_blacklist_delta_0_1_blocked.csv",
                ],
                "run 1 is applied already",
            ),
        ] {
            let faults = order(names).unwrap_err();
            assert!(faults[0].contains(fragment), "{faults:?}");
        }
    }
}
