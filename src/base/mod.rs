//! The Diameter base protocol (RFC 6733 sections 5 to 7): capabilities
//! exchange, watchdog, disconnect, the peer machine, and who may be a peer.
//!
//! ```text
//!  Message ──▶ grammar (one table per command) ──▶ fields │ Fault
//!                                                    │
//!     peer::transition(state, event) ──▶ action      ▼
//!        watchdog (RFC 3539)               answer (the one constructor)
//! ```
//!
//! Nothing here reads a socket or a clock: time and randomness are arguments.
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

pub mod admission;
pub mod answer;
pub mod capabilities;
pub mod disconnect;
pub mod grammar;
mod key_table;
pub mod network;
pub mod node;
pub mod peer;
pub mod watchdog;

pub use answer::{Answer, Envelope};
pub use grammar::{Fields, Grammar, Occurs};
pub use node::Node;
