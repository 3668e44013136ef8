//! What the tests of the core share, and none of Weir's own codec: bytes are
//! built and read here by other code, so that a mistake in `wire` cannot hide
//! behind itself.
//!
//! ```text
//! bytes (build) ──▶ bench (a Connection in virtual time) ──▶ reading (parse) ──▶ rules (judge)
//! vectors: the worked example
//! ```
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test file is a crate of its own and uses a part"
)]

pub mod bench;
pub mod bytes;
pub mod reading;
pub mod rules;
pub mod vectors;

pub use bench::Bench;
pub use bytes::{M, Request, V, VM, avp, base, group, raw_avp, tgpp};
pub use reading::{Read, ReadAvp};
pub use rules::assert_answer_obeys_rules;
