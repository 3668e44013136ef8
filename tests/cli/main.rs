//! The `weir` binary as an operator meets it: what it prints, how it ends, and
//! what it does with files and signals.
#![cfg(feature = "server")]

#[path = "../support/certificates.rs"]
#[expect(dead_code, reason = "the tests of the server use more of it")]
mod certificates;
mod change;
mod check;
mod config;
mod explain;
mod fold;
mod harness;
mod reload;
mod rollback;
mod serve;
mod snapshot;
mod tls;
mod usage;
