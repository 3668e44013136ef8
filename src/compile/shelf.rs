//! The arrays of pieces that are to be written to a file in the end: in memory,
//! and from the budget on in a file of their own until then. The table of the rest
//! is large, and it is known how large before it is filled: it goes to the file at
//! once.

use std::io;
use std::sync::Arc;

use super::Budget;
use super::bound::{BoundArray, BoundShelf};
use super::stacks::Stacks;
use crate::equipment::bulk::{Arrays, Filled, Sketch};
use crate::equipment::{ARRAYS, Gathered};
use crate::snapshot::{self, Ahead, Elsewhere, Sum};

/// The number of the array of the lines of lists for the places of the rest.
const REST_LINES: usize = Arrays::COUNT;
/// How many arrays there are.
const COUNT: usize = REST_LINES + 1;
/// So many of the first ones are a section each.
const WHOLE: usize = 2;

/// The arrays of all pieces, in their order.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// How much may be in memory, and where the rest goes.
    pub(super) budget: Budget,
    /// The arrays.
    arrays: Stacks,
    /// The checksums of those that are a section each.
    sums: [Sum; WHOLE],
    /// The lines of the rest, if they have a table.
    rest: Option<Rest>,
    /// The lines for the places behind all of these.
    lines: Vec<u32>,
    /// The bindings.
    bound: Option<BoundShelf>,
}

/// A table of the rest in the file that is written.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    /// That file.
    ahead: Arc<dyn Ahead>,
    /// Where the table begins in it.
    at: u64,
    /// Its octets.
    length: u64,
    /// The checksum of those that were kept.
    sum: Sum,
}

impl Rest {
    /// Writes what a bucket has filled, before that is [kept](Shelf::keep_part).
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(super) fn write(&self, bucket: usize, filled: &Filled) -> Result<(), String> {
        let [lines, _] = filled.octets();
        self.ahead.write(lines, self.of_bucket(bucket, lines.len()))
    }

    /// Notes that all of it is written, for it to be brought to the disk while other
    /// work goes on.
    pub(super) fn flush(&self) {
        self.ahead.flush();
    }

    /// Where the part of a bucket begins, if all have so many octets.
    fn of_bucket(&self, bucket: usize, octets: usize) -> u64 {
        self.at + (bucket * octets) as u64
    }
}

impl Shelf {
    /// Nothing yet.
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            arrays: Stacks::new(COUNT, 1, (budget, budget.limit())),
            budget: budget.clone(),
            sums: Default::default(),
            rest: None,
            lines: Vec::new(),
            bound: None,
        }
    }

    /// Adds the bindings, if there are any; returns what there is to know of them
    /// besides.
    pub(crate) fn bind(&mut self, bound: Option<BoundShelf>) -> Option<Gathered> {
        self.bound = bound;
        self.bound.as_ref()?.outline()
    }

    /// The array of bindings that a section is.
    fn bound_of(&self, section: &str) -> Option<BoundArray<'_>> {
        self.bound.as_ref()?.array(section)
    }

    /// Adds the lines for the places behind those of all arrays.
    pub(crate) fn finish(&mut self, lines: Vec<u32>) {
        self.lines = lines;
    }

    /// Keeps the arrays of the next piece, but for the rest.
    ///
    /// # Errors
    ///
    /// If they do not fit in memory, and the file cannot be written.
    pub(super) fn keep(&mut self, arrays: &Arrays) -> Result<(), String> {
        let mut arrays = arrays.octets().into_iter().enumerate();
        arrays.try_for_each(|(array, octets)| self.append(array, octets))
    }

    /// Begins the table of the rest, and tells where it goes; no more comes of
    /// pieces.
    ///
    /// # Errors
    ///
    /// If it goes to no file.
    pub(super) fn begin_rest(&mut self, sketch: &Sketch) -> Result<Rest, String> {
        self.arrays.clear(REST_LINES);
        let ahead = self.budget.ahead.clone();
        let length = sketch.octets();
        let [.., at] =
            snapshot::ahead([self.arrays.length_of(0), self.arrays.length_of(1), length]);
        let rest = Rest {
            ahead: ahead.ok_or("the register is not to be written")?,
            at,
            length,
            sum: Sum::default(),
        };
        Ok(self.rest.insert(rest).clone())
    }

    /// Keeps what the next bucket has filled of it and [written](Rest::write).
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep).
    pub(super) fn keep_part(&mut self, filled: &Filled) -> Result<(), String> {
        let [lines, list_lines] = filled.octets();
        if let Some(rest) = &mut self.rest {
            // They are near the processor still.
            rest.sum.add(lines);
        }
        self.append(REST_LINES, list_lines)
    }

    /// What a bucket has filled.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(super) fn part(&self, bucket: usize, sketch: &Sketch) -> Result<Filled, String> {
        let mut filled = Filled::empty(sketch, Filled::default());
        let [lines, list_lines] = filled.octets_mut();
        if let Some(rest) = &self.rest {
            let at = rest.of_bucket(bucket, lines.len());
            rest.ahead.read(lines, at)?;
        }
        (self.arrays).read_at(REST_LINES, bucket * list_lines.len(), list_lines)?;
        Ok(filled)
    }

    /// Appends to one of the arrays.
    fn append(&mut self, array: usize, octets: &[u8]) -> Result<(), String> {
        // They are near the processor still.
        if let Some(sum) = self.sums.get_mut(array) {
            sum.add(octets);
        }
        self.arrays.append(array, octets)
    }

    /// The arrays of a section, if they are here.
    fn arrays_of(&self, section: &str) -> &'static [usize] {
        match ARRAYS.iter().position(|&name| name == section) {
            Some(0) => &[0],
            Some(1) => &[1],
            Some(3) => &[2, 3, REST_LINES],
            _ => &[],
        }
    }

    /// The table of the rest, if it is this section, and not a small one that is
    /// kept with the others.
    fn rest_of(&self, section: &str) -> Option<&Rest> {
        let rest = self.rest.as_ref();
        rest.filter(|_| ARRAYS.iter().position(|&name| name == section) == Some(2))
    }
}

impl Elsewhere<io::Error> for Shelf {
    fn length(&self, section: &str) -> Option<u64> {
        if let Some(array) = self.bound_of(section) {
            return Some(array.length());
        }
        let arrays = self.arrays_of(section);
        let pieces = arrays.iter().map(|&array| self.arrays.length_of(array));
        match arrays {
            [] => self.rest_of(section).map(|rest| rest.length),
            [_] => Some(pieces.sum()),
            _ => Some(pieces.sum::<u64>() + 4 * self.lines.len() as u64),
        }
    }

    fn checksum(&self, section: &str) -> Option<u64> {
        if let Some(array) = self.bound_of(section) {
            return Some(array.checksum());
        }
        let sum = match *self.arrays_of(section) {
            [array] => self.sums.get(array),
            _ => self.rest_of(section).map(|rest| &rest.sum),
        };
        sum.map(|sum| sum.clone().finish())
    }

    fn place(&self, section: &str) -> Option<u64> {
        self.rest_of(section).map(|rest| rest.at)
    }

    fn read(&self, section: &str, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if let Some(array) = self.bound_of(section) {
            return array.read(take);
        }
        let arrays = self.arrays_of(section);
        for &array in arrays {
            self.arrays.read(array, take)?;
        }
        match arrays {
            [] | [_] => Ok(()),
            _ => take(bytemuck::cast_slice(&self.lines)),
        }
    }
}
