//! The `weir` binary as an operator meets it: what it prints, how it ends, and
//! what it does with files and signals.
#![cfg(feature = "server")]

mod check;
mod config;
mod explain;
mod harness;
mod reload;
mod serve;
mod usage;
