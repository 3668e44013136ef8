//! The rules of single devices on their way into a register, of which there may
//! be a billion: small tuples in partitions that are sorted and laid out one by
//! one, so that no more than a few of them need to be in memory.
//!
//! ```text
//! lists ─▶ Tuple ─▶ Bundle ─┬─▶ (a file, if there are too many) ─┐
//!                           └────────────────────────────────────┴▶ Partition ─▶ Sorted
//!                                                                                  │ refusals, classes
//!                       DeviceRules ◀─ (a file) ◀─ Joiner ◀─ Piece ◀─ Prepared ◀───┘
//! ```
//!
//! A [`Bundle`] holds the tuples of a few hundred thousand lines, divided by
//! partition. A partition is that of a TAC, chosen by a bijection that scatters
//! them, so that partitions are of a size whatever a register is like. What is
//! said of a device is a number, a [`Said`], which many devices share.
//!
//! Two lines about one device meet only when their partition is sorted: that
//! they contradict each other is found there ([`resolve`]), not when the second
//! is read.
//!
//! Nothing here knows threads or files. Who calls does: the steps of partitions
//! that may be done at once take shared references, and those that must be done
//! in the order of partitions take mutable ones, see [`Assembly`]. The result is
//! the same octets whoever does what, and wherever tuples were kept.

mod assembly;
mod bundle;
mod classes;
mod kept;
mod resolve;
mod segment;
mod sort;
mod tuple;

pub(crate) use self::assembly::{Assembled, Assembly, Plan, Prepared, counted};
pub(crate) use self::bundle::Bundle;
pub(super) use self::classes::Classes;
pub(crate) use self::kept::Kept;
pub(crate) use self::resolve::{Refusal, Refusals, Said};
pub(crate) use self::segment::{GROUP, Meta, Segment};
pub(crate) use self::sort::Partition;
pub(crate) use self::tuple::{PARTITIONS, Tuple, Tuples};
pub(crate) use super::devices::{
    Arrays, BUCKETS, Few, Filled, Item, Rest, Scattered, Scratch, Sketch, populate,
};
