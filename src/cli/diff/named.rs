//! The subscribers that bindings and exceptions name, with the devices.
//!
//! A range of subscribers is named by one of each part into which other ranges
//! and the policies cut it, as those within a part are answered alike, and by
//! each of its subscribers that is named by itself as well:
//!
//! ```text
//! binding  [──────────────────────────────]
//! binding           [─────────────]
//! policy                   [───────────────────
//! exception               •
//! named    ▲        ▲     ▲▲       ▲
//! ```

use std::collections::BTreeSet;

use super::side::Side;
use crate::config;
use crate::equipment::{Imsi, Scope, Snapshot, Subscribers};

/// How many subscribers of one binding are compared at most: more parts than
/// ranges have in practice, and few enough for a hundred thousand bindings.
const SUBSCRIBERS_MAX: usize = 64;

/// Collects the subscribers of both sides, in order, and notes what could not
/// be compared in full.
pub(super) fn collect(sides: [&Side; 2], notes: &mut Vec<String>) -> Vec<(Imsi, Scope)> {
    let snapshots = || sides.into_iter().map(|side| side.rulebook.snapshot());
    let bindings = || snapshots().flat_map(|snapshot| snapshot.bindings());
    let mut named = Vec::new();
    for snapshot in snapshots() {
        for imsi in snapshot.excepted() {
            snapshot.visit_exceptions(imsi, |_, scope, _| named.push((imsi, scope)));
        }
    }
    named.extend(bindings().filter_map(|binding| match binding.subscribers {
        Subscribers::One(imsi) => Some((imsi, binding.scope)),
        Subscribers::Range { .. } => None,
    }));
    let single: BTreeSet<Imsi> = named.iter().map(|(imsi, _)| *imsi).collect();
    let ranges = || {
        bindings().filter_map(|binding| match binding.subscribers {
            Subscribers::One(_) => None,
            Subscribers::Range { from, to } => Some((from, to, binding.scope)),
        })
    };
    let starts = starts(sides, ranges().map(|(from, to, _)| (from, to)));
    let mut is_short = false;
    for (from, to, scope) in ranges() {
        if from > to || from.digits() != to.digits() {
            continue;
        }
        // The part that the range begins within has its start before it.
        let inner = starts.range(from..=to).copied();
        let parts = core::iter::once(from).chain(inner.filter(|&start| start != from));
        // Where all that follow are named by themselves, one of them it is.
        let unnamed = parts.map(|start| {
            let mut following = core::iter::successors(Some(start), |&imsi| next(imsi));
            let found = following.find(|imsi| *imsi > to || !single.contains(imsi));
            found.filter(|imsi| *imsi <= to).unwrap_or(start)
        });
        let mut members = unnamed.chain(single.range(from..=to).copied());
        named.extend(
            members
                .by_ref()
                .take(SUBSCRIBERS_MAX)
                .map(|imsi| (imsi, scope)),
        );
        is_short |= members.next().is_some();
    }
    if is_short {
        notes.push(format!(
            "ranges of subscribers that are cut into more than {SUBSCRIBERS_MAX} parts are \
             compared for {SUBSCRIBERS_MAX} of their subscribers"
        ));
    }
    named.sort_unstable();
    named.dedup();
    named
}

/// The ranges of subscribers that are bound, each once.
pub(super) fn ranges(snapshots: [&Snapshot; 2]) -> BTreeSet<Subscribers> {
    let bindings = snapshots.into_iter().flat_map(Snapshot::bindings);
    let all = bindings.map(|binding| binding.subscribers);
    all.filter(|subscribers| matches!(subscribers, Subscribers::Range { .. }))
        .collect()
}

/// Where the answers may change from one subscriber to the next: where a range
/// or a policy begins, and behind its end.
fn starts(sides: [&Side; 2], ranges: impl Iterator<Item = (Imsi, Imsi)>) -> BTreeSet<Imsi> {
    let mut starts = BTreeSet::new();
    let mut enter = |from: Imsi, to: Imsi| {
        starts.insert(from);
        starts.extend(next(to));
    };
    let mut lengths = BTreeSet::new();
    for (from, to) in ranges {
        lengths.insert(from.digits());
        enter(from, to);
    }
    let parse = |digits: &str| Imsi::parse(digits.as_bytes()).ok();
    let policies = sides.into_iter().flat_map(|side| &side.config.policies);
    for matches in policies.map(|policy| &policy.matches) {
        for prefix in &matches.imsi_prefix {
            for length in lengths.range(prefix.len()..) {
                let fill =
                    |digit: &str| parse(&(prefix.clone() + &digit.repeat(length - prefix.len())));
                if let (Some(from), Some(to)) = (fill("0"), fill("9")) {
                    enter(from, to);
                }
            }
        }
        for range in &matches.imsi_range {
            if let Ok((from, to)) = config::split_imsi_range(range)
                && let (Some(from), Some(to)) = (parse(from), parse(to))
            {
                enter(from, to);
            }
        }
    }
    starts
}

/// The IMSI that follows on one, with as many digits.
fn next(imsi: Imsi) -> Option<Imsi> {
    let (number, digits) = (imsi.number() + 1, imsi.digits());
    Imsi::parse(format!("{number:0digits$}").as_bytes())
        .ok()
        .filter(|next| next.digits() == digits)
}
