//! The journal of changes, as octets.
#![cfg(feature = "server")]

mod octets;
mod steps;
