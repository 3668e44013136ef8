//! Device, subscriber, client and time go in; a verdict comes out.
//!
//! ```text
//! Inquiry ─▶ override ─▶ policy ─▶ IMEI ─▶ bindings ─▶ rules ─▶ exceptions ─▶ Verdict
//!                                                        │
//!          device and SVN ▸ device ▸ range ▸ TAC ▸ TAC prefix ▸ special
//! ```
//!
//! A [`Rulebook`] is everything that a verdict depends on but the inquiry and
//! the time; [`Rulebook::decide`] answers, [`Rulebook::explain`] also tells
//! how, and [`Rulebook::shadow`] what would be if its shadows were in force. A
//! [`Register`] holds the rulebook that is in force and swaps it.

mod case;
mod explanation;
mod inquiry;
mod matching;
mod narrator;
mod overlap;
mod register;
mod rulebook;
mod selection;
mod spec;
mod tally;
mod trace;
mod verdict;

pub use self::explanation::{Asked, Changed, Entry, Explanation, Other, Shadowed, Step};
pub use self::inquiry::Inquiry;
pub use self::register::{Register, RulebookGuard};
pub use self::rulebook::Rulebook;
pub use self::spec::{Combine, Malformed, PolicyError, PolicySpec, Unlisted};
pub use self::verdict::{Ground, Outcome, PolicyId, Verdict};
