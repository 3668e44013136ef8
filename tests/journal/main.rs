//! The journal of changes: as octets, and on a disk that fails.
#![cfg(feature = "server")]

mod disk;
mod failures;
mod octets;
mod steps;
