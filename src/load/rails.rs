//! Guard rails: what a list is refused for although each of its lines can be
//! read. Every refusal says what to check, and which key of the list forces it.

use crate::config::MaxChange;
use crate::equipment::Status;
use crate::lists::{ListFormat, ListReport};

/// IMEIs of thirteen digits that a list must have before it is said to have
/// lost its zeros: fewer are typing mistakes, told line by line.
const LOST_ZEROS_MIN: u64 = 10;

/// One in so many of its lines must be so. Of all TACs about one in fifty
/// begins with a zero, old ones more often.
const LOST_ZEROS_SHARE: u64 = 200;

/// Entries that a list must have before it is said to be one of bindings: a
/// short list of exceptions may well look so.
const BINDINGS_MIN: u64 = 10;

/// Entries by which any list may change: small lists are often written anew.
const FREE_CHANGE: u64 = 1000;

/// What is asked of a list.
pub(super) struct Rails {
    /// How its files are written.
    pub(super) format: ListFormat,
    /// The status of its rules, unless it is a list of something else.
    pub(super) status: Option<Status>,
    /// How much it may change.
    pub(super) max_change: MaxChange,
}

impl Rails {
    /// Notes a fault of the list for each guard rail that it breaks.
    pub(super) fn check(&self, list: &mut ListReport) {
        if !list.faults.is_empty() {
            return;
        }
        let lines: u64 = (list.files.iter())
            .map(|file| file.entries + file.bad_lines + file.left_out)
            .sum();
        let lost = list.lost_zeros;
        if lost >= LOST_ZEROS_MIN && lost.saturating_mul(LOST_ZEROS_SHARE) >= lines {
            list.first_bad_lines.clear();
            list.faults.push(format!(
                "list {}: {lost} of {lines} IMEIs have 13 digits: leading zeros were lost, most likely in a spreadsheet, and others may have become other devices; export the column as text{FORCE}",
                list.name
            ));
        }
        let (short, shifted) = (list.without_check_digit, list.like_shifted);
        if short >= LOST_ZEROS_MIN
            && shifted.saturating_mul(2) > short
            && list.with_check_digit >= LOST_ZEROS_MIN
        {
            // No fault: they can be meant as they stand, though hardly.
            list.warnings.push(format!(
                "{shifted} of {short} IMEIs of 14 digits would be IMEIs with their check digit if a zero stood before them, and others have 15 digits: leading zeros may have been lost, most likely in a spreadsheet, so that other devices are listed; export the column as text"
            ));
        }
        if self.status.is_some()
            && self.format == ListFormat::Csv
            && list.like_bindings >= BINDINGS_MIN
            && list.like_bindings == list.entries() + list.contradictions
        {
            list.faults.push(format!(
                "list {}: every line has one IMSI, as in a list of bindings; write [[binding]] instead of [[list]]{FORCE}",
                list.name
            ));
        }
        self.check_status(list);
        check_change(list, self.max_change, "on the list");
    }

    /// Refuses a list that is named as the opposite of its status.
    fn check_status(&self, list: &mut ListReport) {
        let opposite: &[&str] = match self.status {
            Some(Status::Blacklisted) => &["white", "allow"],
            Some(Status::Whitelisted) => &["black", "block", "stolen"],
            _ => return,
        };
        if list.own_status == list.entries() + list.contradictions {
            return;
        }
        let named = list.files.iter().find_map(|file| {
            let name = file.path.rsplit('/').next()?.to_ascii_lowercase();
            let says = |word: &&&str| name.contains(**word);
            opposite.iter().find(says).map(|word| (&file.path, *word))
        });
        if let (Some((path, word)), Some(status)) = (named, self.status) {
            let fault = format!(
                "list {}: {path} is named `{word}`, but its devices would be {status}; check `status` and `path` of the list{FORCE}",
                list.name
            );
            list.faults.push(fault);
        }
    }
}

/// Refuses a list that has grown or shrunk by too much; `place` says where its
/// `max_change` stands.
pub(super) fn check_change(list: &mut ListReport, max_change: MaxChange, place: &str) {
    let (Some(before), Some(percent)) = (list.before, max_change.percent()) else {
        return;
    };
    let now = list.entries();
    let allowed = (before.saturating_mul(u64::from(percent)) / 100).max(FREE_CHANGE);
    let change = now.abs_diff(before);
    if change > allowed {
        let direction = if now < before { "fewer" } else { "more" };
        list.faults.push(format!(
            "list {}: {now} entries, {change} {direction} than the {before} in force; max_change allows {allowed}. \
             Check that its files are the right ones, and whole; if they are, set `max_change = \"off\"` \
             (or more than \"{percent}%\") {place}, reload, and take it away again",
            list.name
        ));
    }
}

/// How a guard rail is forced.
const FORCE: &str = ". If it is meant so, set `guard_rails = false` on the list";

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::FileReport;

    /// The faults of a list with so many entries, and before.
    fn change(before: u64, now: u64, max_change: &str) -> usize {
        let mut list = ListReport::new("l", false, 0);
        list.before = Some(before);
        list.files.push(FileReport {
            entries: now,
            ..FileReport::default()
        });
        let rails = Rails {
            format: ListFormat::Csv,
            status: None,
            max_change: max_change.parse().unwrap(),
        };
        rails.check(&mut list);
        list.faults.len()
    }

    #[test]
    fn changes_are_allowed_up_to_the_percentage_and_the_floor() {
        for (before, now, max_change, faults) in [
            (0, 1000, "25%", 0),
            (0, 1001, "25%", 1),
            (900, 0, "25%", 0),
            (100_000, 125_000, "25%", 0),
            (100_000, 125_001, "25%", 1),
            (100_000, 75_000, "25%", 0),
            (100_000, 74_999, "25%", 1),
            (100_000, 0, "off", 0),
            (100_000, 300_000, "200%", 0),
            (100_000, 0, "100%", 0),
        ] {
            assert_eq!(change(before, now, max_change), faults, "{before} {now}");
        }
    }
}
