//! What an EIR knows: devices, subscribers, and the rules about them.
//!
//! ```text
//! lists ──▶ Builder ──finish──▶ Snapshot ──visit──▶ policy
//!              │                   │
//!          RuleSpec            index · ranges · bindings · terms
//!          BindingSpec              ▲
//!                        Change ─▶ Overlay
//! ```
//!
//! The identities come first ([`Imei`], [`Device`], [`Tac`], [`Imsi`]), then
//! what a rule says ([`Scope`], [`Status`], [`Validity`]), then the register
//! that holds the rules ([`Builder`], [`Snapshot`]) and what was changed since
//! it was made ([`Change`], [`Overlay`]). Nothing here knows
//! Diameter, a socket or a clock, and nothing here decides: which rules
//! count, and how they combine, is the business of [`policy`](crate::policy).

use core::fmt;

mod bindings;
mod builder;
pub(crate) mod bulk;
mod change;
mod crowd;
mod device_rules;
pub mod devices;
mod digits;
mod directory;
mod imei;
mod imsi;
mod index;
mod keyed;
mod overlay;
mod ranges;
mod record;
mod rule;
mod snapshot;
mod special;
mod status;
mod stored;
mod tac;
mod texts;
mod union;

pub use self::builder::{BuildError, Builder, Contradiction, MAX_TERMS};
pub use self::change::{Action, Change, Entry, Subject};
pub use self::directory::{Model, TacDirectory};
pub use self::imei::{CheckDigit, Device, Imei, ImeiError, Svn};
pub use self::imsi::{Imsi, ImsiError};
pub use self::overlay::{
    CHANGES_MAX, EXCEPTIONS_MAX, Edit, EditError, Overlay, SAME_MAX, WIDE_MAX,
};
pub use self::rule::{
    BindingId, BindingSpec, ExceptionSpec, FileId, ListId, RuleId, RuleKind, RuleSpec, Scope,
    Standing, Subscribers, Validity,
};
pub use self::snapshot::{BindingView, Counts, ListKind, ListView, RuleView, Snapshot};
pub use self::special::Special;
pub use self::status::{Status, StatusError};
pub use self::stored::{Flaw, Left, Octets, Parts, Section, Store};
pub use self::tac::{Tac, TacPrefix};

pub(crate) use self::bindings::{
    BOUND, Batch, BoundLayout, Gathered, RULE, SECTIONS as BOUND_SECTIONS,
};
pub(crate) use self::builder::BoundSaid;
pub(crate) use self::device_rules::ARRAYS;
pub(crate) use self::keyed::{Loose4, PARTS};
pub(crate) use self::overlay::{Layered, Lookup};
pub(crate) use self::rule::Terms;

/// Digits of which the last ones are hidden, for a log.
struct Masked {
    /// The first digits, as a number.
    shown: u64,
    /// How many digits are shown.
    width: usize,
    /// How many more there are, a star for each.
    hidden: usize,
}

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shown,
            width,
            hidden,
        } = *self;
        write!(f, "{shown:0width$}{:*<hidden$}", "")
    }
}

/// Splits an ASCII prefix off, whatever its case.
#[inline]
fn strip_prefix<'a>(bytes: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    // Most have none, and no prefix begins with a digit.
    if bytes.first().is_none_or(u8::is_ascii_digit) {
        return None;
    }
    let (head, rest) = bytes.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix.as_bytes()).then_some(rest)
}
