//! The journal of changes: as octets, on a disk that fails, and under a server
//! that is killed.
#![cfg(feature = "server")]

mod disk;
mod failures;
mod keeper;
mod octets;
mod steps;
