//! Weir, an Equipment Identity Register (EIR) for LTE cores: answers MMEs and
//! SGSNs over Diameter S13 whether a device may attach.
//!
//! # The path of a request
//!
//! ```text
//! socket ─▶ buffer ─▶ frame ─▶ Message ─▶ peer machine ─▶ IdentityCheckRequest
//!                                                                  │
//! socket ◀─ buffer ◀─ ECA bytes ◀─ Verdict ◀─ Rulebook::decide ◀─ Inquiry
//! ```
//!
//! Everything between the two sockets is pure: bytes, a rulebook and the time
//! go in, bytes come out. No allocation after warm-up, no lock, no await. The
//! rulebook (all lists, bindings and policies, immutable) is held by one guard
//! for the batch of requests that a read brought, so each answer is from one
//! rulebook, old or new.
//!
//! # Layers
//!
//! Arrows stand for "may use".
//!
//! ```text
//! main ─▶ cli ─▶ net ─▶ connection ─▶ service ─▶ s13 ─▶ base ─▶ wire
//!                                        └─▶ policy ─▶ equipment ◀─ lists
//! load             config, lists, compile, snapfile, policy; for reload and cli
//! compile          equipment, snapshot; for lists and load
//! snapfile         snapshot; for load and cli
//! config, error    main, cli, net, reload, load
//! time, names      everybody
//! ```
//!
//! * [`wire`], [`base`], [`s13`]: the protocol. It does not know what an IMEI
//!   means.
//! * [`equipment`], [`policy`]: the register. It does not know Diameter.
//! * [`snapshot`]: a compiled register as octets; it uses [`equipment`] only.
//! * [`changes`]: the journal of single changes as octets, likewise.
//! * [`service`] joins both, [`connection`] is one connection without its
//!   socket.
//! * [`lists`], [`config`], [`snapfile`], [`load`], `compile`: from files to a
//!   rulebook, with threads and temporary files where it is large.
//! * `net`, `reload`, `state`, `journal`, `cli`, `capture`, `metrics`: the shells, behind the
//!   feature `server`. Only they know sockets, clocks, threads and logs.
//!
//! # Bytes that make no sense
//!
//! have three outcomes and no more: *incomplete* (wait for the rest), *answer*
//! (the header is readable: the Result-Code of a [`wire::Fault`], and the
//! connection lives on), *broken* (the message boundary is lost: the
//! connection is aborted).
#![deny(unsafe_code)]

pub mod base;
pub mod changes;
pub(crate) mod compile;
pub mod config;
pub mod connection;
pub mod equipment;
pub mod error;
pub mod lists;
pub mod load;
pub mod names;
mod nearest;
pub mod policy;
pub mod s13;
pub mod service;
pub mod snapfile;
pub mod snapshot;
pub mod time;
pub mod wire;

#[cfg(feature = "server")]
pub mod capture;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod journal;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod net;
#[cfg(feature = "server")]
pub mod reload;
#[cfg(feature = "server")]
pub mod state;
