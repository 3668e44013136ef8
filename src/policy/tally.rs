//! Many statuses become one.

use core::cmp::Reverse;

use crate::equipment::Status;

/// Makes one status of many, in whatever order they come.
///
/// The list that is named first wins where the policy says so, and has the
/// same rank as all others where it does not; then the strictest status. Of
/// several that tell the same, the one that was loaded first stands for them,
/// so that a verdict always has the same ground.
pub(super) struct Tally<Id> {
    /// The status so far with its rank, and whose it is.
    best: Option<(u16, Status, Id)>,
    /// Whether any of them is whitelisted.
    is_white: bool,
}

impl<Id: Copy + Ord> Tally<Id> {
    /// Of nothing.
    pub(super) const fn new() -> Self {
        Self {
            best: None,
            is_white: false,
        }
    }

    /// Adds a status; the lower the rank, the more it counts.
    pub(super) fn add(&mut self, rank: u16, status: Status, id: Id) {
        self.is_white |= status == Status::Whitelisted;
        let key = |(rank, status, id): (u16, Status, Id)| (rank, Reverse(status.severity()), id);
        let added = (rank, status, id);
        if self.best.is_none_or(|best| key(added) < key(best)) {
            self.best = Some(added);
        }
    }

    /// The status, if there was any.
    pub(super) fn result(&self) -> Option<(Status, Id)> {
        self.best.map(|(_, status, id)| (status, id))
    }

    /// Whether any status was whitelisted.
    pub(super) const fn is_white(&self) -> bool {
        self.is_white
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equals_the_first_stands_for_all() {
        for order in [[1, 2, 3], [3, 2, 1], [2, 1, 3]] {
            let mut tally = Tally::new();
            tally.add(0, Status::Whitelisted, 0);
            for id in order {
                tally.add(0, Status::Greylisted, id);
            }
            assert_eq!(tally.result(), Some((Status::Greylisted, 1)));
            assert!(tally.is_white());
            for id in order {
                tally.add(id + 1, Status::Blacklisted, id);
            }
            assert_eq!(tally.result(), Some((Status::Greylisted, 1)));
        }
    }
}
