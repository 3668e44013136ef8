//! `[runtime]`: the threads that answer.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::text;

/// At least one.
pub const MIN_WORKERS: usize = 1;
/// More threads than any machine that an EIR is put on has processors: beyond
/// it, it is a mistake.
pub const MAX_WORKERS: usize = 256;

/// The highest number of a processor: what a set of them has room for.
pub const MAX_PROCESSOR: usize = 1023;

/// The longest time to look for more before sleeping, in microseconds. Being
/// woken takes tens of them; a peer whose next request is later than this would
/// only keep a processor busy.
pub const MAX_BUSY_POLL: u32 = 10_000;

/// `[runtime]`: the threads that answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runtime {
    /// How many threads answer, each for the connections that are handed to it
    /// in turn; if absent, as many as there are processors in
    /// `affinity`, or that the process may use.
    #[serde(deserialize_with = "text::optional_whole_number")]
    pub workers: Option<usize>,
    /// The processors that these threads are pinned to, in turn; if empty, the
    /// system moves them as it likes.
    pub affinity: Vec<usize>,
    /// How many microseconds a thread looks for more after what it has received
    /// from a peer before it sleeps; 0: it sleeps at once. Each looks for its own
    /// connections only.
    #[serde(deserialize_with = "text::whole_number")]
    pub busy_poll: u32,
}

impl Runtime {
    /// [`Self::busy_poll`] as a time.
    #[must_use]
    pub const fn busy_poll(&self) -> Duration {
        Duration::from_micros(self.busy_poll as u64)
    }
}
