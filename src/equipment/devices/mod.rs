//! A compact, exact map from devices to small numbers: where the rules of a
//! register's single devices are found.
//!
//! A national register has up to a billion devices, so that memory and the one
//! cache miss of a lookup are what counts. Three structures share the work, and
//! the builder chooses among them for each TAC by what its devices are like:
//!
//! | TACs | structure | bytes a device |
//! |---|---|---|
//! | with runs of consecutive serial numbers | [dense](dense): two bits a serial number, 256 of them a line | 0.25 and up |
//! | with thousands of scattered devices | [hashed](hashed): the line by a hash of the serial number, 31 slots of 16 bits | 2.6 |
//! | with few | [rest](rest): one table for all of them, the line by a hash of the device, slots of 24, 32 or 64 bits | 3.5 to 11 |
//!
//! All of them are *quotiented* (Knuth, TAOCP vol. 3, 6.4 exercise 13): the key
//! is mixed by a bijection, the high bits of the result choose a line, and the
//! line stores the remaining bits. As nothing is lost, an entry is found exactly
//! if it is there, and the table can be read back.
//!
//! A slot has a few bits for the *class* of its device. The classes are numbered
//! by how common they are. One that needs more bits than a slot has, and the few
//! devices whose line is full, stand in [`Exact`] tables of whole keys beside.
//!
//! ```text
//! device ─▶ TAC directory ─┬─ dense  ─▶ chunk ─▶ line: 256 × 2 bits
//!                          ├─ hashed ─▶ line: 31 × 16 bits ─┐
//!                          └─ none   ─▶ rest: line          ├─▶ full? exact tables
//! ```

mod build;
mod directory;
mod exact;
mod line;
mod mix;
mod pages;
mod processor;
mod quotient;
mod table;

pub use self::build::DevicesBuilder;
pub use self::table::{BATCH, Devices, Size};
