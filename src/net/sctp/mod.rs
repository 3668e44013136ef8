//! Diameter over the kernel's SCTP (RFC 6733 section 2.1, RFC 6458).
//!
//! ```text
//! listener ─▶ Association (the Transport of a driver)
//!                 │ queue: whole messages with their streams, both ways
//!                 ▼
//!             SctpSocket, SctpListener   safe, on tokio
//!                 ▼
//!             layout (octets of the kernel's structures)   sys (system calls)
//! ```
//!
//! Needs Linux, and a kernel with SCTP; where it has none, the sockets cannot
//! be opened and say so ([`is_missing`]).

mod association;
mod batch;
mod layout;
mod listener;
#[cfg(test)]
mod measure;
mod queue;
mod socket;
mod sys;

pub(super) use self::association::Association;
pub use self::batch::ReceiveBuffer;
pub use self::layout::{Notification, PathState};
pub(super) use self::listener::{Calling, bind};
pub use self::socket::{
    DIAMETER_PPID, DetachedSocket, Parcel, Received, SctpListener, SctpOptions, SctpSocket,
    is_available, is_missing,
};
