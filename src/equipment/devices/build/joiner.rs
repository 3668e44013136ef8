//! From the pieces of a register to the map of it.

use super::super::directory::Directory;
use super::super::exact::{Exact, Load};
use super::super::mix::Seeds;
use super::super::pages::Lines;
use super::super::rest::{self, BUCKETS, Filled, Rest, Scattered, Sketch};
use super::super::table::{self, Devices};
use super::{Arrays, Item, Piece, mixes, rest_mix};

/// Puts pieces together whose arrays are kept elsewhere.
#[derive(Debug)]
pub(in crate::equipment) struct Joiner {
    /// For the bijections.
    seed: u64,
    /// Whether the line of each device is kept.
    keeps_lines: bool,
    /// All but the arrays.
    piece: Piece,
    /// How many dense lines there are.
    dense: usize,
    /// How many hashed lines there are.
    hashed: usize,
}

impl Joiner {
    /// Nothing yet, for pieces of builders with this seed.
    pub(in crate::equipment) fn new(seed: u64, keeps_lines: bool) -> Self {
        Self {
            seed,
            keeps_lines,
            piece: Piece::default(),
            dense: 0,
            hashed: 0,
        }
    }

    /// Takes a piece, and gives its arrays, which are to be put behind those of
    /// the pieces before.
    pub(in crate::equipment) fn join(&mut self, piece: Piece) -> Arrays {
        let arrays = self.piece.absorb(piece, [self.dense, self.hashed]);
        self.dense += arrays.dense.len();
        self.hashed += arrays.hashed.len();
        arrays
    }

    /// What the table of the rest is to be like, if there is to be one.
    pub(in crate::equipment) fn sketch(&self) -> Option<Sketch> {
        Sketch::new(&self.piece.by_bits, Seeds::new(self.seed), self.keeps_lines)
    }

    /// Devices of the rest whose classes do not fit in words.
    pub(in crate::equipment) fn large(&self) -> &[Item] {
        &self.piece.large
    }

    /// The map, but for the dense and hashed lines and those of the table of the
    /// rest, and the lines of the list for the places behind those of these.
    /// If there is such a table, `exact` has what has no room in it; otherwise
    /// `rest` are the devices of TACs without structures.
    ///
    /// # Errors
    ///
    /// If these cannot be read.
    pub(in crate::equipment) fn finish(
        self,
        table: Option<(Sketch, Vec<Item>)>,
        rest: &dyn Rest,
    ) -> Result<(Devices, Vec<u32>), String> {
        let mut lines = Vec::new();
        let Piece {
            entries,
            chunks,
            exact: mut exact_items,
            large,
            by_bits,
            len,
            ..
        } = self.piece;
        let rest = match table {
            Some((sketch, mut exact)) => {
                // There are few of the others, and many of these.
                exact.splice(0..0, exact_items.into_iter().chain(large));
                exact_items = exact;
                sketch.table(Lines::default())
            }
            None if by_bits.sum() == 0 => table::Rest::Empty,
            None => {
                // There are few.
                let items = rest::items(rest, rest_mix(self.seed), &large)?;
                let keys = items.iter().map(|item| item.key);
                let words = Exact::build(&items, Load::Half, Seeds::of(self.seed, keys));
                if self.keeps_lines {
                    add_lines(&mut lines, &words, &items);
                }
                table::Rest::Words(words)
            }
        };
        let tacs = entries.iter().map(|entry| u64::from(entry.tac));
        let directory = Directory::build(&entries, Seeds::of(self.seed, tacs));
        let keys = exact_items.iter().map(|item| item.key);
        let exact = Exact::build(&exact_items, Load::Dense, Seeds::of(self.seed, keys));
        if self.keeps_lines {
            add_lines(&mut lines, &exact, &exact_items);
        }
        let devices = Devices {
            directory,
            chunks: chunks.into_boxed_slice(),
            dense: Lines::default(),
            hashed: Lines::default(),
            mixes: mixes(self.seed),
            rest,
            exact,
            len,
        };
        Ok((devices, lines))
    }

    /// The same, where the rest is in memory, and with its table. The lines of
    /// the list are those for the places behind dense and hashed ones.
    pub(in crate::equipment) fn finish_here(self, mut rest: Vec<Scattered>) -> (Devices, Vec<u32>) {
        let mut sketch = self.sketch();
        let (mut lines, mut list_lines, mut exact) = (Lines::default(), Vec::new(), Vec::new());
        while let Some(own) = sketch {
            lines = Lines::with_room(own.lines());
            list_lines.clear();
            exact.clear();
            let mut overflowed = 0;
            for bucket in 0..BUCKETS {
                // What is in memory can be read.
                let filled = own
                    .fill(bucket, &rest, Filled::default())
                    .unwrap_or_default();
                lines.append(&filled.lines);
                list_lines.extend(filled.list_lines);
                exact.extend(filled.exact);
                overflowed += filled.overflowed;
            }
            let Some(next) = own.after(overflowed) else {
                break;
            };
            let (part, part_lines) = (own.part(), own.part_lines());
            let scattered = (0..BUCKETS).map(|bucket| {
                let lines = lines.get(bucket * part..(bucket + 1) * part);
                let list_lines = list_lines.get(bucket * part_lines..(bucket + 1) * part_lines);
                let filled = Filled {
                    lines: lines.unwrap_or_default().to_vec(),
                    list_lines: list_lines.unwrap_or_default().to_vec(),
                    ..Filled::default()
                };
                next.scatter_again(&own, (bucket, &filled))
            });
            rest = scattered.collect();
            rest.extend([&exact, self.large()].map(|items| next.scatter(items)));
            sketch = Some(next);
        }
        let table = sketch.map(|sketch| (sketch, exact));
        let (mut devices, more) = self.finish(table, &rest).unwrap_or_default();
        devices.fill_rest(lines);
        list_lines.extend(more);
        (devices, list_lines)
    }
}

/// Appends the lines of the list for the slots of an exact table.
fn add_lines(lines: &mut Vec<u32>, table: &Exact, items: &[Item]) {
    let before = lines.len();
    lines.resize(before + table.slots(), 0);
    for item in items {
        let slot = table.slot(item.key).map(|slot| before + slot);
        if let Some(line) = slot.and_then(|slot| lines.get_mut(slot)) {
            *line = item.line;
        }
    }
}
