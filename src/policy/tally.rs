//! Many statuses become one.

use crate::equipment::Status;

/// Makes one status of many, in whatever order they come.
///
/// The list that is named first wins where the policy says so, and has the
/// same rank as all others where it does not; then the strictest status. Of
/// several that tell the same, the one that was loaded first stands for them,
/// so that a verdict always has the same ground.
///
/// All that is one number, the lower the better, so that a status costs one
/// comparison:
///
/// ```text
///   63     50 49     34 33       32 31       0
///  ┌─────────┬─────────┬───────────┬──────────┐
///  │    0    │  rank   │ leniency  │  entry   │
///  └─────────┴─────────┴───────────┴──────────┘
/// ```
pub(super) struct Tally {
    /// The best so far, or [`NOTHING`].
    best: u64,
    /// Whether any of them is whitelisted.
    is_white: bool,
}

/// Worse than whatever can be added.
const NOTHING: u64 = u64::MAX;

/// Where the rank begins.
const RANK_SHIFT: u32 = 34;
/// Where the leniency begins.
const LENIENCY_SHIFT: u32 = 32;

/// The statuses by their leniency: the reverse of [`Status::severity`].
const BY_LENIENCY: [Status; 3] = [Status::Blacklisted, Status::Greylisted, Status::Whitelisted];

impl Tally {
    /// Of nothing.
    pub(super) const fn new() -> Self {
        Self {
            best: NOTHING,
            is_white: false,
        }
    }

    /// Adds the status that the entry with this number has; the lower the
    /// rank, the more it counts.
    #[inline]
    pub(super) fn add(&mut self, rank: u16, status: Status, entry: u32) {
        self.is_white |= status == Status::Whitelisted;
        let leniency = BY_LENIENCY.len() as u64 - 1 - u64::from(status.severity());
        let key = u64::from(rank) << RANK_SHIFT | leniency << LENIENCY_SHIFT | u64::from(entry);
        self.best = self.best.min(key);
    }

    /// The status and the number of its entry, if there was any.
    #[inline]
    pub(super) fn result(&self) -> Option<(Status, u32)> {
        let leniency = self.best >> LENIENCY_SHIFT & 3;
        // Of nothing, the leniency is none.
        let status = *BY_LENIENCY.get(leniency as usize)?;
        // The lower half.
        Some((status, self.best as u32))
    }

    /// This one, or another if nothing was added to this one.
    #[inline(always)]
    pub(super) fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self.best {
            NOTHING => other(),
            _ => self,
        }
    }

    /// Whether any status was whitelisted.
    #[inline]
    pub(super) const fn is_white(&self) -> bool {
        self.is_white
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leniency_is_the_reverse_of_severity() {
        for status in Status::ALL {
            let mut tally = Tally::new();
            tally.add(u16::MAX, status, u32::MAX);
            assert_eq!(tally.result(), Some((status, u32::MAX)));
        }
        assert!(BY_LENIENCY.is_sorted_by_key(|status| 2 - status.severity()));
    }

    #[test]
    fn of_equals_the_first_stands_for_all() {
        assert_eq!(Tally::new().result(), None);
        for order in [[1, 2, 3], [3, 2, 1], [2, 1, 3]] {
            let mut tally = Tally::new();
            tally.add(0, Status::Whitelisted, 0);
            for id in order {
                tally.add(0, Status::Greylisted, id);
            }
            assert_eq!(tally.result(), Some((Status::Greylisted, 1)));
            assert!(tally.is_white());
            for id in order {
                tally.add(id as u16 + 1, Status::Blacklisted, id);
            }
            assert_eq!(tally.result(), Some((Status::Greylisted, 1)));
        }
    }
}
