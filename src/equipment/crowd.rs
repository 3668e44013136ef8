//! The many entries of one subscriber, found by device.
//!
//! Most subscribers have a binding or two, which are looked at one by one. A
//! fleet that shares an IMSI may have a hundred thousand, and a list that was
//! made to do harm a million: those are indexed, so that no request waits for
//! them.

use rustc_hash::FxHashSet;

use super::index::RuleIndex;
use super::ranges::{Ranges, RangesBuilder};
use super::record::Entry;
use super::{Device, RuleKind, Scope, Svn, TacDirectory, Terms};
use crate::time::UnixTime;

/// Entries that are looked at one by one: about as many as fit the time that
/// the lookups of a [`Crowd`] take.
pub(super) const CROWD: u32 = 32;

/// More than [`CROWD`] entries of one subscriber.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    /// From a device to the places of the entries about it.
    index: RuleIndex,
    /// The entries.
    entries: Vec<Entry>,
    /// For each list, the place of the first of its entries at each time.
    times: Ranges,
}

/// An entry, for [`Crowd::new`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// It.
    pub(super) entry: Entry,
    /// Which devices.
    pub(super) scope: Scope,
    /// Its terms.
    pub(super) terms: Terms,
}

impl Crowd {
    /// Indexes entries, in the order in which they were added. One that only
    /// says again what one before it says is left out.
    pub(super) fn new(members: impl Iterator<Item = Member>) -> Self {
        let mut known = FxHashSet::default();
        let members = members.filter(|own| known.insert((own.scope, own.entry.terms)));
        let members: Vec<Member> = members.collect();
        let mut times = RangesBuilder::default();
        // There are no more of them than numbers.
        for (place, Member { terms, .. }) in (0..).zip(&members) {
            let validity = terms.validity;
            times.push(
                validity.from.map_or(0, time_key),
                validity.until.map_or(u64::MAX, time_key),
                place,
                terms.list.number().into(),
            );
        }
        let placed = (0..).zip(&members);
        let placed = placed.map(|(place, own)| (own.scope, place, own.entry.terms));
        Self {
            index: RuleIndex::new(placed),
            entries: members.iter().map(|own| own.entry).collect(),
            times: times.finish(),
        }
    }

    /// Calls `visitor` with each entry that covers the device, or would if the
    /// software version were known, in no particular order.
    pub(super) fn visit(
        &self,
        models: &TacDirectory,
        device: Device,
        svn: Option<Svn>,
        mut visitor: impl FnMut(Entry),
    ) {
        let mut visit = |place: u32, _| {
            if let Some(&entry) = self.entries.get(place as usize) {
                visitor(entry);
            }
        };
        for kind in RuleKind::ALL {
            if !self.index.has(kind) {
                continue;
            }
            if kind == RuleKind::DeviceSvn && svn.is_none() {
                for svn in Svn::all() {
                    (self.index).visit(models, kind, device, Some(svn), &mut visit);
                }
            } else {
                (self.index).visit(models, kind, device, svn, &mut visit);
            }
        }
    }

    /// Calls `visitor` with the first entry of each list that is in effect,
    /// whatever its devices.
    pub(super) fn visit_effective(&self, now: UnixTime, mut visitor: impl FnMut(Entry)) {
        self.times.visit(time_key(now), |place, _| {
            if let Some(&entry) = self.entries.get(place as usize) {
                visitor(entry);
            }
        });
    }
}

/// A time as a number that is ordered as times are.
fn time_key(time: UnixTime) -> u64 {
    time.0.cast_unsigned() ^ (1 << 63)
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::equipment::{ListId, Special, Status, Tac, TacPrefix, Validity};

    /// One of a few scopes that cover each other's devices.
    fn scope(choice: u8) -> Scope {
        let device = |low: u8| Device::from_number(49_015_420_000_000 + u64::from(low)).unwrap();
        match choice {
            0..10 => Scope::Device(device(choice)),
            10..16 => Scope::DeviceSvn(device(choice % 3), Svn::from_number(choice % 2).unwrap()),
            16..24 => Scope::Range {
                from: device(choice - 16),
                to: device(6),
            },
            24 => Scope::Tac(Tac::from_digits(b"49015420").unwrap()),
            25 => Scope::TacPrefix(TacPrefix::from_digits(b"49").unwrap()),
            _ => Scope::Special(Special::Test),
        }
    }

    proptest! {
        /// A scan over all members is the oracle: the same terms about the same
        /// devices are found, and of each list the first in effect.
        #[test]
        fn finds_what_a_scan_finds(
            entries in prop::collection::vec((0..27u8, 0..3u16, -2..3i64, -2..3i64), 0..60),
            low in 0..10u64,
            svn in prop::option::of(0..2u8),
            now in -3..4i64,
        ) {
            // As the builder numbers them: equal terms have one number.
            let mut terms = Vec::new();
            let members: Vec<Member> = (0..).zip(&entries).map(|(entry, &(choice, list, from, until))| {
                let own = Terms {
                    list: ListId(list),
                    status: Status::Blacklisted,
                    validity: Validity {
                        from: Some(UnixTime(from)).filter(|_| from > -2),
                        until: Some(UnixTime(until)).filter(|_| until > -2),
                    },
                };
                let number = terms.iter().position(|known| *known == own).unwrap_or_else(|| {
                    terms.push(own);
                    terms.len() - 1
                });
                let entry = Entry { number: entry, terms: number as u32, scope: 0 };
                Member { entry, scope: scope(choice), terms: own }
            }).collect();
            let crowd = Crowd::new(members.iter().copied());
            let device = Device::from_number(49_015_420_000_000 + low).unwrap();
            let svn = svn.and_then(Svn::from_number);

            let mut found = Vec::new();
            crowd.visit(&TacDirectory::default(), device, svn, |entry| found.push(entry.number));
            let unknown = |member: &&Member| member.scope.covers(device, svn).is_none()
                && member.scope.kind() == RuleKind::DeviceSvn;
            let covering: Vec<&Member> = (members.iter())
                .filter(|member| member.scope.covers(device, svn) == Some(true) || unknown(member))
                .collect();
            for entry in &found {
                prop_assert!(covering.iter().any(|member| member.entry.number == *entry));
            }
            for kind in RuleKind::ALL {
                let of_kind = |member: &&&Member| member.scope.kind() == kind;
                for number in 0..terms.len() as u32 {
                    // The first of those that say the same.
                    let first = covering.iter().filter(of_kind).find(|member| member.entry.terms == number);
                    let own = |entry: &&u32| {
                        let member = &members[**entry as usize];
                        member.scope.kind() == kind && member.entry.terms == number
                    };
                    prop_assert_eq!(first.map(|member| member.entry.number), found.iter().filter(own).min().copied());
                }
            }

            let mut effective = Vec::new();
            crowd.visit_effective(UnixTime(now), |entry| effective.push(entry.number));
            effective.sort_unstable();
            let mut expected: Vec<u32> = (0..3).filter_map(|list| {
                let first = members.iter().find(|member| member.terms.list == ListId(list)
                    && member.terms.validity.contains(UnixTime(now)));
                first.map(|member| member.entry.number)
            }).collect();
            expected.sort_unstable();
            prop_assert_eq!(effective, expected);
        }
    }
}
