//! Values that many rules share, and the numbers that they get.

use rustc_hash::FxHashMap;

use super::BuildError;
use crate::equipment::record::NONE;

/// Values that are kept once, numbered from 0.
#[derive(Debug)]
pub(super) struct Interner<T> {
    /// The values by their numbers.
    pub(super) values: Vec<T>,
    /// The numbers of the values.
    pub(super) numbers: FxHashMap<T, u32>,
    /// The last one asked for: lists repeat themselves, line by line.
    last: Option<(T, u32)>,
}

impl<T: Copy + Eq + core::hash::Hash> Interner<T> {
    /// The number of a value, which is kept if it is new.
    pub(super) fn intern(&mut self, value: T) -> Result<u32, BuildError> {
        if let Some((last, number)) = self.last
            && last == value
        {
            return Ok(number);
        }
        let number = match self.numbers.get(&value) {
            Some(&number) => number,
            None => {
                let number = number_of_next(self.values.len(), "kinds of entries")?;
                self.values.push(value);
                self.numbers.insert(value, number);
                number
            }
        };
        self.last = Some((value, number));
        Ok(number)
    }
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: FxHashMap::default(),
            last: None,
        }
    }
}

/// The number that the next entry gets.
pub(super) fn number_of_next(length: usize, what: &'static str) -> Result<u32, BuildError> {
    u32::try_from(length)
        .ok()
        .filter(|&number| number != NONE)
        .ok_or(BuildError::TooMany(what))
}
