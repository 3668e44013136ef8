//! `[runtime]`: the threads that answer.

use serde::{Deserialize, Serialize};

use super::text;

/// At least one.
pub const MIN_WORKERS: usize = 1;
/// More threads than any machine that an EIR is put on has processors: beyond
/// it, it is a mistake.
pub const MAX_WORKERS: usize = 256;

/// The highest number of a processor: what a set of them has room for.
pub const MAX_PROCESSOR: usize = 1023;

/// `[runtime]`: the threads that answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runtime {
    /// How many threads answer; if absent, as many as there are processors in
    /// `affinity`, or that the process may use.
    #[serde(deserialize_with = "text::optional_whole_number")]
    pub workers: Option<usize>,
    /// The processors that these threads are pinned to, in turn; if empty, the
    /// system moves them as it likes.
    pub affinity: Vec<usize>,
}
