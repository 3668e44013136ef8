//! What the names of DIRBS files say: when they were made, for whom, and on
//! what a delta builds.

use super::super::format::ListFormat;

//----------- Name ------------------------------------------------------------

/// A file name of a DIRBS list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Date, and time if it has one, as digits: names sort as they were made.
    pub(super) date: String,
    /// The operator, if the list is made for one.
    pub(super) operator: String,
    /// What a delta builds on; `None` for a full list.
    pub(super) delta: Option<Delta>,
}

/// What a delta is applied to, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delta {
    /// The run that its lines are the difference to; -1 for nothing at all.
    pub(super) base: i64,
    /// The run that made it.
    pub(super) run: i64,
    /// What it does to all of its lines; `None` if each line says it.
    pub(super) action: Option<Action>,
}

/// What a line of a delta does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Takes away what is there.
    Remove,
    /// Replaces what is there.
    Change,
    /// Adds what is not there.
    Add,
}

impl Action {
    /// The action of a word in a file name or in the column `change_type`.
    pub(super) fn named(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "blocked" | "new" | "added" | "add" => Some(Self::Add),
            // What is blacklisted now stands on the blacklist, and no longer
            // among the notifications.
            "unblocked" | "resolved" | "blacklisted" | "no_longer_seen" | "removed" | "remove" => {
                Some(Self::Remove)
            }
            "changed" | "change" | "update" => Some(Self::Change),
            _ => None,
        }
    }
}

/// Reads the name of a file of a format; `None` if it is not one that DIRBS
/// gives.
///
/// ```text
/// 20260131_blacklist.csv
/// 20260131_120000_notifications_operator1.csv
/// 20260201_exceptions_operator1_delta_41_42_added.csv
/// ```
pub(super) fn parse(name: &str, format: ListFormat) -> Option<Name> {
    let kind = match format {
        ListFormat::DirbsBlacklist => "blacklist",
        ListFormat::DirbsNotifications => "notifications",
        ListFormat::DirbsExceptions => "exceptions",
        _ => return None,
    };
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let stem = stem.to_ascii_lowercase();
    let (date, behind) = stem.split_once(kind)?;
    let date = date.strip_suffix('_')?;
    let (day, time) = date.split_once('_').unwrap_or((date, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if day.len() != 8 || !all_digits(day) || !all_digits(time) {
        return None;
    }
    let (operator, delta) = match behind.rsplit_once("_delta_") {
        None if behind == "_delta" => return None,
        None => (behind, None),
        Some((operator, delta)) => (operator, Some(read_delta(delta)?)),
    };
    Some(Name {
        date: format!("{day}{time}"),
        operator: operator.strip_prefix('_').unwrap_or(operator).to_owned(),
        delta,
    })
}

/// Reads `BASE_RUN` or `BASE_RUN_CHANGE`.
fn read_delta(text: &str) -> Option<Delta> {
    let mut parts = text.splitn(3, '_');
    let base = parts.next()?.parse().ok()?;
    let run = parts.next()?.parse().ok()?;
    let action = match parts.next() {
        None => None,
        Some(word) => Some(Action::named(word)?),
    };
    Some(Delta { base, run, action })
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_date_operator_and_delta() {
        use ListFormat::{DirbsBlacklist, DirbsExceptions, DirbsNotifications, DirbsPairing};
        let name = |date: &str, operator: &str, delta: Option<(i64, i64, Option<Action>)>| {
            Some(Name {
                date: date.to_owned(),
                operator: operator.to_owned(),
                delta: delta.map(|(base, run, action)| Delta { base, run, action }),
            })
        };
        for (text, format, expected) in [
            (
                "20260131_blacklist.csv",
                DirbsBlacklist,
                name("20260131", "", None),
            ),
            (
                "20260131_235959_Blacklist.csv",
                DirbsBlacklist,
                name("20260131235959", "", None),
            ),
            (
                "20260201_blacklist_delta_-1_7_blocked.csv",
                DirbsBlacklist,
                name("20260201", "", Some((-1, 7, Some(Action::Add)))),
            ),
            (
                "20260201_blacklist_delta_6_7.csv",
                DirbsBlacklist,
                name("20260201", "", Some((6, 7, None))),
            ),
            (
                "20260201_notifications_op_1_delta_6_7_no_longer_seen.csv",
                DirbsNotifications,
                name("20260201", "op_1", Some((6, 7, Some(Action::Remove)))),
            ),
            (
                "20260201_exceptions_op1.csv",
                DirbsExceptions,
                name("20260201", "op1", None),
            ),
            ("blacklist.csv", DirbsBlacklist, None),
            ("2026_blacklist.csv", DirbsBlacklist, None),
            (
                "20260201_blacklist_delta_6_7_eaten.csv",
                DirbsBlacklist,
                None,
            ),
            ("20260201_blacklist_delta_6.csv", DirbsBlacklist, None),
            ("20260201_blacklist.csv", DirbsPairing, None),
        ] {
            assert_eq!(parse(text, format), expected, "{text}");
        }
    }
}
