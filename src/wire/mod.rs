//! The Diameter wire format (RFC 6733 sections 3 and 4): bytes to views, and
//! values to bytes.
//!
//! ```text
//!            frame::deframe              Message::avps            Avp::members
//! received ────────────────▶ Message ─────────────────▶ Avp … ─────────────────▶ Avp …
//!  bytes     Incomplete │ Broken           │ BrokenAvp            nesting ≤ 8
//!                                          ▼
//!                                        Fault ──▶ Report: Result-Code, E bit, Failed-AVP
//!
//! values ──▶ Composer ──▶ the end of a reused buffer
//! ```
//!
//! Views borrow the received bytes and allocate nothing. A [`Message`] exists
//! only when its frame was complete and its Message Length sane, so its header
//! getters cannot fail; its AVPs are parsed lazily and each may still turn out
//! broken. No function here panics, whatever the bytes: every length passes
//! through nom or `split_at_checked`, and none is used before both its bounds
//! were checked.
//!
//! Numbers that the protocol may extend (codes, flags, vendors) are open
//! newtypes: an unknown value is a value, not an error.
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

pub mod avp;
pub mod code;
pub mod compose;
pub mod dictionary;
pub mod fault;
pub mod frame;
pub mod header;
pub mod message;
mod octets;

pub use avp::{Avp, Avps, BrokenAvp};
pub use code::{
    ApplicationId, AvpCode, AvpFlags, AvpKey, CommandCode, CommandFlags, ResultCode, VendorId,
};
pub use compose::Composer;
pub use dictionary::{AvpDefinition, DataType};
pub use fault::{Culprit, Fault, Report};
pub use frame::{BrokenFrame, Deframed, deframe};
pub use header::{HEADER_LEN, Header};
pub use message::Message;

/// Largest message accepted unless configured otherwise: 64 KiB, what
/// freeDiameter accepts. A real ECR is some 300 octets.
pub const DEFAULT_MESSAGE_LEN_MAX: usize = 64 * 1024;

/// Bounds of the configurable message limit. Below 4 KiB a CER with a long
/// list of applications could fail; above 1 MiB a peer could hold that much
/// memory with every connection it opens.
pub const MESSAGE_LEN_MAX_BOUNDS: (usize, usize) = (4 * 1024, 1024 * 1024);

/// How deep groups may be nested. S13 needs two levels; eight leaves room for
/// any vendor's AVP, and bounds the work that a hostile message can cause.
pub const NESTING_MAX: u8 = 8;

/// How many AVPs one message may hold. An ECR has about twelve; 512 leaves
/// room for any number of agents' Route-Records, and bounds the walk.
pub const AVPS_MAX: usize = 512;
