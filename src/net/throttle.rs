//! Warnings that strangers can cause, at most once a minute of each kind.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a kind of warning stays silent after it was given.
const SILENCE: Duration = Duration::from_secs(60);

/// Gives each kind of warning at most once per [`SILENCE`], with the number of
/// those that were held back.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// When each kind was last given, and how many were held back since.
    kinds: Mutex<HashMap<&'static str, (Instant, u64)>>,
}

impl Throttle {
    /// Warns, unless this kind of warning was given a short while ago.
    pub(super) fn warn(&self, kind: &'static str, message: impl FnOnce() -> String) {
        if let Some(held_back) = self.pass(kind, now()) {
            match held_back {
                0 => tracing::warn!("{}", message()),
                more => tracing::warn!("{} (and {more} like it before)", message()),
            }
        }
    }

    /// Whether a warning of this kind may be given at `now`, and how many were
    /// held back before it.
    fn pass(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(kind) {
            Some((given, held_back)) if now.duration_since(*given) < SILENCE => {
                *held_back += 1;
                None
            }
            Some(entry) => Some(std::mem::replace(entry, (now, 0)).1),
            None => {
                kinds.insert(kind, (now, 0));
                Some(0)
            }
        }
    }
}

/// The present instant.
#[expect(clippy::disallowed_methods, reason = "this is a shell")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_and_counts() {
        let throttle = Throttle::default();
        let start = now();
        assert_eq!(throttle.pass("a", start), Some(0));
        assert_eq!(throttle.pass("a", start + SILENCE / 2), None);
        assert_eq!(throttle.pass("b", start + SILENCE / 2), Some(0));
        assert_eq!(
            throttle.pass("a", start + SILENCE - Duration::from_millis(1)),
            None
        );
        assert_eq!(throttle.pass("a", start + SILENCE), Some(2));
        assert_eq!(throttle.pass("a", start + SILENCE), None);
    }
}
