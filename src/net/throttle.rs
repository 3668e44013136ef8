//! Warnings that strangers can cause, at most once a minute of each kind.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::time::Uptime;

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

/// Lets one of many through each [`SILENCE`]: for what any request may cause,
/// so that it takes no lock.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    /// The uptime in seconds from which the next is let through.
    due: AtomicU64,
    /// How many were held back.
    held_back: AtomicU64,
}

impl Sampler {
    /// Whether one may pass at `now`, and how many were held back before it.
    pub(super) fn pass(&self, now: Uptime) -> Option<u64> {
        let now = now.0.as_secs();
        let due = self.due.load(Ordering::Relaxed);
        let next = now + SILENCE.as_secs();
        let passes = due <= now
            && (self.due)
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if passes {
            Some(self.held_back.swap(0, Ordering::Relaxed))
        } else {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            None
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
    fn samples_one_a_minute() {
        let sampler = Sampler::default();
        let at = |seconds| Uptime(Duration::from_secs(seconds));
        let passed = [0, 0, 59, 60, 61, 300].map(|seconds| sampler.pass(at(seconds)));
        assert_eq!(passed, [Some(0), None, None, Some(2), None, Some(1)]);
    }

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
