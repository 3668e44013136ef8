//! The rulebook that is in force.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::Rulebook;

/// Holds the rulebook that answers are given from, and swaps it for another.
///
/// Readers neither wait nor make others wait. Who answers takes one guard for
/// a batch of requests, so that each request sees one rulebook as a whole.
#[derive(Debug)]
pub struct Register {
    /// The rulebook.
    current: ArcSwap<Rulebook>,
}

/// A rulebook that stays as it is for as long as it is held, whatever is
/// published meanwhile. To be held briefly: it keeps the rulebook in memory.
pub type RulebookGuard = Guard<Arc<Rulebook>>;

impl Register {
    /// A register in which this rulebook is in force.
    #[must_use]
    pub fn new(rulebook: Rulebook) -> Self {
        Self {
            current: ArcSwap::from_pointee(rulebook),
        }
    }

    /// The rulebook that is in force now.
    #[must_use]
    pub fn load(&self) -> RulebookGuard {
        self.current.load()
    }

    /// Puts another rulebook in force: every load from now on sees it.
    ///
    /// The old one is returned, as freeing it may take long and is not for a
    /// thread that answers. Readers may still hold it: who wants to be the one
    /// to free it keeps it until [`Arc::strong_count`] is one.
    pub fn publish(&self, rulebook: Rulebook) -> Arc<Rulebook> {
        self.current.swap(Arc::new(rulebook))
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::{Imei, Snapshot, Status};
    use crate::policy::{Inquiry, Outcome, PolicySpec};
    use crate::time::UnixTime;

    /// A rulebook that gives everything this status.
    fn rulebook(status: Status) -> Rulebook {
        let default = PolicySpec::new("default");
        Rulebook::new(Snapshot::default(), Some(status), default, Vec::new()).unwrap()
    }

    #[test]
    fn a_guard_keeps_its_rulebook() {
        let inquiry = Inquiry {
            imei: Imei::parse(b"490154203237518"),
            svn: None,
            imsi: None,
            origin_host: b"",
            origin_realm: b"",
            route_record: None,
        };
        let outcome = |rulebook: &Rulebook| rulebook.decide(&inquiry, UnixTime(0)).outcome;
        let register = Register::new(rulebook(Status::Greylisted));
        let before = register.load();
        let old = register.publish(rulebook(Status::Blacklisted));
        let after = register.load();
        assert_eq!(outcome(&before), Outcome::Status(Status::Greylisted));
        assert_eq!(outcome(&old), Outcome::Status(Status::Greylisted));
        assert_eq!(outcome(&after), Outcome::Status(Status::Blacklisted));
        drop(before);
        assert_eq!(Arc::strong_count(&old), 1);
    }
}
