//! From sorted partitions to the rules of devices.

use super::classes::{Census, Ranks, Several};
use super::resolve::{Catalogue, Refusal, Refusals, Resolved, Said};
use super::sort::{Partition, Sorted};
use super::tuple::{PARTITIONS, device_of, serial_of, tac_of};
use crate::equipment::Terms;
use crate::equipment::device_rules::{DeviceRules, MEMBERS_MAX};
use crate::equipment::devices::{
    Arrays, DevicesBuilder, Item, Joiner, Piece, Rest, Scattered, Scratch, Sketch,
};

/// What the bijections of the table begin with, together with the digest of all
/// devices: any number will do, and the same one makes the same table of the same
/// devices.
const SEED: u64 = 0x5713_a1e1;

/// How many tuples are looked at to know which classes are common. A class that
/// is not among them is that of so few devices that its number does not matter;
/// of a register of no more, all is counted.
const CENSUS: u64 = 4_000_000;

//----------- Assembly --------------------------------------------------------

/// What all partitions are assembled with, at once if need be.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// What the numbers of tuples refer to.
    catalogue: Catalogue<'a>,
    /// Whether the line of each device is kept.
    keeps_lines: bool,
    /// What the bijections of the table begin with. It depends on the devices, so
    /// that nobody knows it who has not chosen all of them yet.
    seed: u64,
    /// The classes of which one thing is said, once they are ranked.
    ranks: Ranks,
}

/// The register of single devices under way. Whatever changes it is done in the
/// order of partitions:
///
/// 1. [`prepare`](Plan::prepare) the first [`counted`] partitions,
///    [`rank`](Self::rank) the classes by them;
/// 2. `prepare` the others, and of each partition [`number`](Self::number) its
///    classes, [`lay_out`](Plan::lay_out) it, [`join`](Self::join) it, and keep
///    the arrays that this gives;
/// 3. [`sketch`](Self::sketch) the table of the rest, and fill its parts;
/// 4. [`finish`](Self::finish).
#[derive(Debug)]
pub(crate) struct Assembly {
    /// See [`Several`].
    several: Several,
    /// How many lines of devices there are that have several.
    more: u32,
    /// These lines, of the partitions that are joined.
    more_lines: Vec<u32>,
    /// What does not count.
    refusals: Refusals,
    /// The map.
    joiner: Joiner,
}

/// How many of the partitions, which have so many tuples, are counted before the
/// classes are ranked.
pub(crate) fn counted(mut tuples: impl FnMut(usize) -> usize) -> usize {
    let mut sum = 0;
    let enough = (0..PARTITIONS).find(|&partition| {
        sum += tuples(partition) as u64;
        sum >= CENSUS
    });
    enough.map_or(PARTITIONS, |last| last + 1)
}

/// A partition that is sorted, and of which it is known what counts.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its number.
    partition: usize,
    /// Its tuples.
    sorted: Sorted,
    /// Which of them count.
    resolved: Resolved,
    /// The classes of devices with several lines, in their order.
    classes: Vec<u32>,
    /// How many lines of devices with several rules there are before it.
    more: u32,
}

/// A partition that is laid out.
#[derive(Debug)]
pub(crate) struct LaidOut {
    /// The map of its devices.
    piece: Piece,
    /// The lines of devices with several rules.
    more_lines: Vec<u32>,
    /// What does not count.
    refusals: Refusals,
}

/// What is made of all partitions.
#[derive(Debug, Default)]
pub(crate) struct Assembled {
    /// The rules, but for the arrays of the pieces.
    pub(crate) rules: DeviceRules,
    /// The lines for the places behind these, if lines are kept.
    pub(crate) lines: Vec<u32>,
    /// What does not count.
    pub(crate) refusals: Refusals,
}

impl<'a> Plan<'a> {
    /// For tuples that say these things, of terms and sources with these
    /// numbers; of each source its file.
    pub(in crate::equipment) fn new(
        saids: &'a [Said],
        terms: &'a [Terms],
        files: &'a [u32],
        (digest, keeps_lines): (u64, bool),
    ) -> Self {
        Self {
            catalogue: Catalogue {
                saids,
                terms,
                files,
            },
            keeps_lines,
            seed: SEED.wrapping_add(digest),
            ranks: Ranks::default(),
        }
    }

    /// Sorts a partition, and finds out what counts.
    pub(crate) fn prepare(&self, partition: usize, tuples: Partition) -> Prepared {
        let sorted = tuples.sort();
        let resolved = Resolved::of(partition, &sorted, &self.catalogue);
        Prepared {
            partition,
            sorted,
            resolved,
            classes: Vec::new(),
            more: 0,
        }
    }

    /// Lays the devices of a partition out; its memory may be used for another.
    pub(crate) fn lay_out(
        &self,
        prepared: Prepared,
        (memory, scratch): (&mut Partition, &mut Scratch),
    ) -> LaidOut {
        let Prepared {
            partition,
            sorted,
            resolved,
            classes,
            more,
        } = prepared;
        let mut builder =
            DevicesBuilder::with_lines(self.seed, self.keeps_lines, core::mem::take(scratch));
        builder.expect(sorted.len());
        let mut more_lines = Vec::new();
        let mut lines = resolved.lines.iter();
        let mut runs = resolved.runs.iter().zip(classes).peekable();
        let words = sorted.words();
        let mut at = 0;
        // Of most partitions all say the same.
        let only = sorted.only_said().map(|said| self.ranks.of(said));
        let mut tac = None;
        while let Some(&word) = words.get(at) {
            let key = Sorted::key(word);
            if tac != Some(tac_of(key)) {
                tac = Some(tac_of(key));
                builder.begin(device_of(partition, key));
            }
            let serial = serial_of(key);
            match (runs.next_if(|(run, _)| run.at as usize == at), only) {
                (None, Some(class)) => {
                    let next = runs.peek().map_or(words.len(), |(run, _)| run.at as usize);
                    let alone = words.get(at..next).unwrap_or_default();
                    let own = alone.get(..same_tac(alone)).unwrap_or_default();
                    let devices = own.iter().enumerate().map(|(number, &word)| {
                        let (_, line) = sorted.tuple(at + number, word);
                        (serial_of(Sorted::key(word)), line)
                    });
                    builder.push_serials(class, devices);
                    at += own.len();
                }
                (None, None) => {
                    let (said, line) = sorted.tuple(at, word);
                    builder.push_serial(serial, self.ranks.of(said), line);
                    at += 1;
                }
                (Some((run, class)), _) => {
                    let own = lines.by_ref().take(run.kept as usize);
                    let line = match run.kept {
                        1 => own.map(|&(_, line)| line).next().unwrap_or_default(),
                        _ => {
                            let place = more.saturating_add(more_lines.len() as u32);
                            more_lines.extend(own.map(|&(_, line)| line));
                            place
                        }
                    };
                    builder.push_serial(serial, class, line);
                    at += run.len as usize;
                }
            }
        }
        *memory = sorted.into_memory();
        let (piece, rest) = builder.into_piece();
        *scratch = rest;
        LaidOut {
            piece,
            more_lines,
            refusals: resolved.refusals,
        }
    }
}

/// How many of the first words have the TAC of the first; they are sorted.
fn same_tac(words: &[u64]) -> usize {
    let tac = |word: &u64| tac_of(Sorted::key(*word));
    let is_same = |word: &u64| words.first().is_some_and(|first| tac(first) == tac(word));
    // Twice as far each time, so that little is looked at of few.
    let mut end = 1;
    while words.get(end).is_some_and(is_same) {
        end *= 2;
    }
    let half = words.get(end / 2..end.min(words.len()));
    end / 2 + half.map_or(0, |half| half.partition_point(is_same))
}

impl Assembly {
    /// Ranks the classes by the first partitions, and begins.
    pub(crate) fn rank(plan: &mut Plan<'_>, counted: &[Prepared]) -> Self {
        let mut census = Census::new(plan.catalogue.saids);
        for prepared in counted {
            census.count(&prepared.sorted, &prepared.resolved);
        }
        let (ranks, several) = census.rank(counted.len() >= PARTITIONS);
        plan.ranks = ranks;
        Self {
            several,
            more: 0,
            more_lines: Vec::new(),
            refusals: Refusals::default(),
            joiner: Joiner::new(plan.seed, plan.keeps_lines),
        }
    }

    /// Numbers what is said of the devices of a partition.
    pub(crate) fn number(&mut self, plan: &Plan<'_>, prepared: &mut Prepared) {
        let Prepared {
            resolved, classes, ..
        } = prepared;
        prepared.more = self.more;
        let mut at = 0;
        for run in &resolved.runs {
            let range = at..at + run.kept as usize;
            at = range.end;
            let rules = resolved.rules.get(range.clone()).unwrap_or_default();
            classes.push(match resolved.lines.get(range) {
                Some(&[(said, _)]) => plan.ranks.of(said),
                _ => {
                    // Rules are counted by 32 bits, and these are their lines.
                    self.more = self.more.saturating_add(run.kept);
                    self.several.number(rules)
                }
            });
        }
    }

    /// Joins a partition to those before it. What is given back comes behind the
    /// arrays of these.
    pub(crate) fn join(&mut self, plan: &Plan<'_>, laid_out: LaidOut) -> Arrays {
        if plan.keeps_lines {
            self.more_lines.extend(laid_out.more_lines);
        }
        let order = |refusal: &Refusal| plan.catalogue.order(refusal);
        self.refusals.absorb(laid_out.refusals, order);
        self.joiner.join(laid_out.piece)
    }

    /// What the table of the rest is to be like, if there is to be one.
    pub(crate) fn sketch(&self) -> Option<Sketch> {
        self.joiner.sketch()
    }

    /// Devices of the rest that have no class in its table.
    pub(crate) fn large(&self) -> &[Item] {
        self.joiner.large()
    }

    /// The rules with the table of the rest, which is in memory.
    pub(in crate::equipment) fn finish_here(self, rest: Vec<Scattered>) -> Assembled {
        let (table, lines) = self.joiner.finish_here(rest);
        Assembled {
            rules: DeviceRules::new(table, self.several.classes, self.more_lines),
            lines,
            refusals: self.refusals,
        }
    }

    /// The rules. If there is a table of the rest, it comes with what has no room
    /// in it; otherwise `rest` is that of the arrays that were given back.
    ///
    /// # Errors
    ///
    /// If that cannot be read, or more different things are said of devices than
    /// can be numbered.
    pub(crate) fn finish(
        self,
        table: Option<(Sketch, Vec<Item>)>,
        rest: &dyn Rest,
    ) -> Result<Assembled, String> {
        if self.several.classes.members.len() > MEMBERS_MAX {
            return Err(format!(
                "more than {MEMBERS_MAX} different things are said of single devices; give fewer of \
                 them a reason or dates of their own"
            ));
        }
        let (table, lines) = self.joiner.finish(table, rest)?;
        let mut more_lines = self.more_lines;
        more_lines.shrink_to_fit();
        Ok(Assembled {
            rules: DeviceRules::new(table, self.several.classes, more_lines),
            lines,
            refusals: self.refusals,
        })
    }
}
