//! No file as memory: on systems where nothing is known of it.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use crate::equipment::devices::Region;

/// A file that is mapped, of which there is none.
#[derive(Debug)]
pub(super) enum Mapping {}

impl Mapping {
    /// Maps no file.
    pub(super) fn new(_file: &File, _length: u64) -> Option<Arc<Self>> {
        None
    }

    /// See the method of this name on Linux.
    pub(super) fn populate(&self, _part: Range<u64>) {
        match *self {}
    }

    /// See the method of this name on Linux.
    pub(super) fn is_huge(&self) -> bool {
        match *self {}
    }
}

// SAFETY: there is no such value.
unsafe impl Region for Mapping {
    fn octets(&self) -> &[u8] {
        match *self {}
    }
}
