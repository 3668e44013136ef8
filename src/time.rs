//! Time as the core sees it: two plain numbers, always an argument.
//!
//! The core never reads a clock. The shells read both clocks once a batch and
//! pass them in, so a test, a replay and a live server run the same code.

use core::fmt;
use core::time::Duration;

/// Seconds since 1970-01-01 00:00:00 UTC, leap seconds not counted.
///
/// This is the time that `from` and `until` of a rule are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

/// Monotonic time since an origin that the shell chose, usually its start.
///
/// Timers are computed from it; it never runs backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uptime(pub Duration);

impl Uptime {
    /// The moment `after` later than this one, saturating at the end of time.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(after))
    }

    /// How long from `earlier` until this moment; zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks, read together by the shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For timers.
    pub uptime: Uptime,
    /// For the validity of rules.
    pub unix: UnixTime,
}
