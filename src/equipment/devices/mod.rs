//! A compact, exact map from devices to small numbers: where the rules of a
//! register's single devices are found.
//!
//! A national register has up to a billion devices, so that memory and the one
//! cache miss of a lookup are what counts. Three structures share the work, and
//! the builder chooses among them for each TAC by what its devices are like:
//!
//! | TACs | structure | bytes a device |
//! |---|---|---|
//! | with runs of consecutive serial numbers | dense: two to four bits a serial number, 128 to 256 of them a line | 0.25 and up |
//! | with thousands of scattered devices | hashed: the line by a hash of the serial number, 31 slots of 16 bits | 2.8 |
//! | with few | rest: one table for all of them, the line by a hash of the device, slots of 24, 28 or 32 bits | 4.0 to 6 |
//! | with few, and few of them | rest: one table of whole words | 16 |
//!
//! Those with slots are *quotiented* (Knuth, TAOCP vol. 3, 6.4 exercise 13): the key
//! is mixed by a bijection, the high bits of the result choose a line, and the
//! line stores the remaining bits. As nothing is lost, an entry is found exactly
//! if it is there, and the table can be read back.
//!
//! A slot has a few bits for the *class* of its device. The classes are numbered
//! by how common they are. One that needs more bits than a slot has, and the few
//! devices whose line is full, stand in exact tables of whole keys beside.
//!
//! ```text
//! device ─▶ TAC directory ─┬─ dense  ─▶ (gaps? chunk) ─▶ line: 256 × 2, 168 × 3 or 128 × 4 bits
//!                          ├─ hashed ─▶ line: 31 × 16 bits ─┐
//!                          └─ none   ─▶ rest: line          ├─▶ full? exact tables
//! ```
//!
//! # Chosen keys
//!
//! Whoever may add devices to a list could choose them so that many fall into
//! one line. That costs nothing but memory and a look at an exact table, and it
//! does not succeed: factors that leave too many keys without room are given up
//! for the next ones, and already the first factors of a register's tables depend
//! on all its devices.
//!
//! # Memory
//!
//! Large arrays are mappings on huge pages (`pages`). A lookup takes one line
//! of a small register or of the rest; of TACs with a structure of their own
//! also one of the directory, which the second cache mostly holds: 16 octets a
//! TAC with slots, half of them free, and 32 of one with cells.

mod build;
mod directory;
mod entry;
mod exact;
mod line;
mod mix;
mod pages;
mod processor;
mod quotient;
mod rest;
mod stored;
mod table;

pub use self::build::DevicesBuilder;
pub(crate) use self::build::{Arrays, Item, Scratch};
pub(super) use self::build::{Joiner, Piece};
pub(super) use self::mix::Mix;
pub(super) use self::pages::Lines;
pub use self::pages::Region;
pub(crate) use self::pages::populate;
pub(super) use self::processor::prefetch;
pub(super) use self::quotient::Geometry;
pub(crate) use self::rest::{BUCKETS, Few, Filled, Rest, Scattered, Sketch};
pub(super) use self::stored::{DENSE, HASHED, REST};
pub use self::table::{BATCH, Devices, Size};
