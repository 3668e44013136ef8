//! Ranges of devices or subscribers: which of them hold a given one?
//!
//! The ends are numbers: those of devices, or the keys of IMSIs. The ranges
//! stand in an array, sorted by their first number. The array is
//! read as a balanced binary tree: the middle of a slice is its root, the
//! halves beside it are the subtrees. Each root also knows the last number
//! that any range of its subtree reaches, so that a subtree which ends before
//! the number is not entered.
//!
//! ```text
//!             ┌─────── root ───────┐
//!   [ . . . middle . . . ] middle [ . . . middle . . . ]
//! ```
//!
//! Of many ranges none of which overlaps another, which a list of blocks of devices
//! is, only the last one that begins before the number may hold it. A [`Ladder`]
//! made beside them tells where that is, of which a lookup waits for memory twice
//! instead of at each level of the tree; in batches it does not wait.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use bytemuck::{Pod, Zeroable};

use super::devices::{BATCH, prefetch};
use super::stored::{Array, Flaw, Parts, Section};

//----------- Ranges ----------------------------------------------------------

/// An immutable set of ranges that may overlap in any way.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    /// The tree.
    nodes: Array<Node>,
    /// Where the range stands that begins last before a number, if none overlaps
    /// another.
    ladder: Option<Ladder>,
}

/// One range, and what is below it in the tree.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Node {
    /// The first number.
    from: u64,
    /// The last number.
    to: u64,
    /// The last number of any range in the subtree.
    reach: u64,
    /// The rule or binding.
    record: u32,
    /// The ranges that say the same.
    class: u32,
}

impl Ranges {
    /// Calls `visitor` with the record and the class of each range that holds the
    /// number, in no particular order.
    ///
    /// Among n ranges, k of which hold the number, some log n + k · log(n ÷ k)
    /// are looked at; if no two of many overlap, those of two cache lines.
    #[inline]
    pub(super) fn visit(&self, number: u64, visitor: impl FnMut(u32, u32)) {
        match &self.ladder {
            _ if self.is_empty() => {}
            None => self.search(number, visitor),
            Some(ladder) => self.climb(ladder, number, visitor),
        }
    }

    /// The same where no range overlaps another: one of them may hold the number.
    #[inline(never)]
    fn climb(&self, ladder: &Ladder, number: u64, mut visitor: impl FnMut(u32, u32)) {
        let nodes = self.nodes.all();
        let from = ladder.rung(number, 0) * RUNG;
        let own = nodes.get(from..).unwrap_or_default();
        let mut own = own.iter().take(RUNG).rev();
        if let Some(node) = own.find(|node| node.from <= number)
            && number <= node.to
        {
            visitor(node.record, node.class);
        }
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 0
    }

    /// The section of them.
    pub(super) fn store(&self, name: &'static str) -> Section<'_> {
        Section::new(name, self.nodes.octets())
    }

    /// The ranges of a section. Whatever it holds, a search ends.
    pub(super) fn restore(name: &'static str, parts: &mut Parts) -> Result<Self, Flaw> {
        let nodes = Array::of(parts.take(name)?).map_err(|damage| damage.of(name))?;
        Ok(Self::of(nodes))
    }

    /// These ranges.
    fn of(nodes: Array<Node>) -> Self {
        let ladder = Ladder::of(nodes.all());
        Self { nodes, ladder }
    }

    /// Has the memory fetched that looking these numbers up begins with: for up to
    /// a batch of them.
    #[inline]
    pub(super) fn prefetch(&self, numbers: impl Iterator<Item = u64>) {
        if let Some(ladder) = &self.ladder {
            ladder.prefetch(self.nodes.all(), numbers);
        }
    }

    /// The same where there are ranges: apart from its callers, so that they
    /// need no room for the stack.
    #[inline(never)]
    fn search(&self, number: u64, mut visitor: impl FnMut(u32, u32)) {
        // Slices yet to be searched. Each slice on the stack is at most half
        // as long as the one below it, so that there are never more of them
        // than a length has bits; the bound is tested all the same.
        let mut stack: [&[Node]; STACK] = [&[]; STACK];
        let mut depth = 0;
        let mut slice = self.nodes.all();
        loop {
            let middle = slice.len() / 2;
            if let Some(node) = slice.get(middle)
                && number <= node.reach
            {
                let (left, right) = (&slice[..middle], &slice[middle + 1..]);
                if node.from <= number {
                    if number <= node.to {
                        visitor(node.record, node.class);
                    }
                    if let Some(top) = stack.get_mut(depth) {
                        *top = right;
                        depth += 1;
                    }
                }
                slice = left;
                continue;
            }
            let Some(top) = depth.checked_sub(1) else {
                return;
            };
            depth = top;
            slice = stack[top];
        }
    }
}

/// How many slices wait at the same time at most: one for each halving of the
/// longest array.
const STACK: usize = u32::BITS as usize + 1;

//----------- Ladder ----------------------------------------------------------

/// Ranges of a rung: four cache lines.
const RUNG: usize = 8;

/// Numbers of a block: two cache lines.
const BLOCK: usize = 16;

/// The fewest ranges that are worth a ladder: what waits for memory is not a
/// smaller tree.
const LADDER_MIN: usize = 1 << 12;

/// Finds the rung of ranges that a number stands on: each level has the first
/// number of every block of the level below, and the lowest that of every
/// [`RUNG`] ranges. All but the lowest stay near the processor: of ten million
/// ranges they are some 700 kB.
#[derive(Clone, Debug)]
struct Ladder {
    /// The levels, the lowest first; each consists of whole blocks.
    levels: Vec<Vec<[u64; BLOCK]>>,
}

impl Ladder {
    /// That of ranges sorted by their first numbers, if they are many and none
    /// overlaps another.
    fn of(nodes: &[Node]) -> Option<Self> {
        let is_flat = |nodes: &[Node]| {
            let pairs = nodes.iter().zip(nodes.get(1..).unwrap_or_default());
            pairs.clone().all(|(node, next)| node.to < next.from)
        };
        if nodes.len() < LADDER_MIN || !is_flat(nodes) {
            return None;
        }
        let firsts = nodes.iter().step_by(RUNG).map(|node| node.from);
        let mut levels = vec![blocks(firsts)];
        while let Some(top) = levels.last().filter(|top| top.len() > 1) {
            let firsts = top.iter().filter_map(|block| block.first().copied());
            let level = blocks(firsts);
            levels.push(level);
        }
        Some(Self { levels })
    }

    /// The block of a level that a number stands in or behind, one for all levels
    /// above having been found; of level 0 the rung.
    #[inline]
    fn rung(&self, number: u64, level: usize) -> usize {
        let above = self.levels.get(level..).unwrap_or_default();
        let levels = above.iter().rev();
        levels.fold(0, |block, level| below(level, block, number))
    }

    /// Has the lowest level of some numbers fetched, then their rungs.
    #[inline]
    fn prefetch(&self, nodes: &[Node], numbers: impl Iterator<Item = u64>) {
        let Some(lowest) = self.levels.first() else {
            return;
        };
        let mut found = [(0, 0); BATCH];
        let mut count = 0;
        for (own, number) in found.iter_mut().zip(numbers) {
            let block = self.rung(number, 1);
            if let Some([first, .., last]) = lowest.get(block) {
                prefetch(first);
                prefetch(last);
            }
            *own = (number, block);
            count += 1;
        }
        for &(number, block) in found.iter().take(count) {
            let from = below(lowest, block, number) * RUNG;
            // Two ranges are a line.
            let rung = nodes.get(from..).unwrap_or_default();
            rung.iter().take(RUNG).step_by(2).for_each(prefetch);
        }
    }
}

/// Which block of the level below a number stands in, or which rung, of those that
/// a block tells of.
#[inline]
fn below(level: &[[u64; BLOCK]], block: usize, number: u64) -> usize {
    let firsts = level.get(block).unwrap_or(&[u64::MAX; BLOCK]);
    let begun = firsts.iter().map(|&first| usize::from(first <= number));
    block * BLOCK + begun.sum::<usize>().saturating_sub(1)
}

/// Numbers in whole blocks, the last one filled up with a number that no device or
/// subscriber has.
fn blocks(numbers: impl Iterator<Item = u64>) -> Vec<[u64; BLOCK]> {
    let mut blocks = Vec::new();
    for (place, number) in numbers.enumerate() {
        if place % BLOCK == 0 {
            blocks.push([u64::MAX; BLOCK]);
        }
        let last = blocks.last_mut();
        if let Some(own) = last.and_then(|block| block.get_mut(place % BLOCK)) {
            *own = number;
        }
    }
    blocks
}

//----------- RangesBuilder ---------------------------------------------------

/// Collects [`Ranges`].
#[derive(Debug, Default)]
pub(super) struct RangesBuilder {
    /// The ranges in the order in which they came; their reach is not known.
    nodes: Vec<Node>,
}

impl RangesBuilder {
    /// Adds a range, both ends included; with its ends the wrong way round it
    /// holds nothing. Of all ranges of one class that hold a number, only the
    /// one with the lowest record is going to be found.
    pub(super) fn push(&mut self, from: u64, to: u64, record: u32, class: u32) {
        if from <= to {
            self.nodes.push(Node {
                from,
                to,
                reach: 0,
                record,
                class,
            });
        }
    }

    /// The set.
    pub(super) fn finish(mut self) -> Ranges {
        (self.nodes).sort_unstable_by_key(|node| (node.class, node.from, node.record));
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for class in self.nodes.chunk_by(|a, b| a.class == b.class) {
            separate(class, &mut nodes);
        }
        // There may be ten millions of them.
        drop(self);
        nodes.sort_unstable_by_key(|node| (node.from, node.class));
        measure(&mut nodes);
        Ranges::of(Array::from(&nodes[..]))
    }
}

/// The most ranges that a lookup finds for one number, and the first number for
/// which it finds so many; `ranges` have their ends and their class.
pub(super) fn deepest(ranges: impl Iterator<Item = (u64, u64, u32)>) -> (usize, u64) {
    let mut builder = RangesBuilder::default();
    for (from, to, class) in ranges {
        builder.push(from, to, 0, class);
    }
    let ranges = builder.finish();
    let nodes = ranges.nodes.all();
    let mut ends: Vec<u64> = nodes.iter().map(|node| node.to).collect();
    ends.sort_unstable();
    let mut ends = ends.into_iter().peekable();
    let (mut depth, mut deepest) = (0, (0, 0));
    // They are in the order in which they begin.
    for node in nodes {
        while ends.next_if(|&end| end < node.from).is_some() {
            depth -= 1;
        }
        depth += 1;
        if depth > deepest.0 {
            deepest = (depth, node.from);
        }
    }
    deepest
}

/// Appends the ranges of one class, sorted by their first numbers, to `nodes`
/// as ranges that do not overlap: of those that hold a number, the one with the
/// lowest record keeps it.
///
/// However many ranges a list lays upon another, a lookup finds one of them.
/// There are at most twice as many pieces as ranges.
fn separate(class: &[Node], nodes: &mut Vec<Node>) {
    // Those that have begun, the lowest record on top.
    let mut begun: BinaryHeap<Reverse<(u32, u64)>> = BinaryHeap::new();
    let mut rest = class.iter().peekable();
    let mut next = Some(0);
    while let Some(mut number) = next {
        if begun.is_empty() {
            let Some(first) = rest.peek() else {
                return;
            };
            number = number.max(first.from);
        }
        while let Some(node) = rest.next_if(|node| node.from <= number) {
            begun.push(Reverse((node.record, node.to)));
        }
        while let Some(&Reverse((_, to))) = begun.peek()
            && to < number
        {
            begun.pop();
        }
        next = Some(number);
        let Some(&Reverse((record, to))) = begun.peek() else {
            continue;
        };
        // It may lose the following numbers to the one that begins next.
        let end = (rest.peek()).map_or(to, |following| to.min(following.from - 1));
        next = end.checked_add(1);
        match nodes.last_mut() {
            Some(last) if last.record == record && last.to.checked_add(1) == Some(number) => {
                last.to = end;
            }
            _ => nodes.push(Node {
                from: number,
                to: end,
                reach: 0,
                record,
                class: class.first().map_or(0, |node| node.class),
            }),
        }
    }
}

/// Fills in the reach of a tree and returns that of its root.
///
/// Recursion is as deep as the tree: the bits of its length.
fn measure(nodes: &mut [Node]) -> u64 {
    let middle = nodes.len() / 2;
    let (left, rest) = nodes.split_at_mut(middle);
    let Some((node, right)) = rest.split_first_mut() else {
        return 0;
    };
    node.reach = node.to.max(measure(left)).max(measure(right));
    node.reach
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the tree finds, sorted.
    fn found(ranges: &Ranges, number: u64) -> Vec<u32> {
        let mut found = Vec::new();
        ranges.visit(number, |record, _| found.push(record));
        found.sort_unstable();
        found
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        assert_eq!(found(&Ranges::default(), 0), [0; 0]);
    }

    #[test]
    fn the_stack_is_deep_enough() {
        // All ranges hold the number, so that no subtree is left out.
        let mut builder = RangesBuilder::default();
        let count = 100_000;
        for record in 0..count {
            builder.push(0, 9, record, record);
        }
        let ranges = builder.finish();
        assert_eq!(found(&ranges, 9), (0..count).collect::<Vec<_>>());
        assert_eq!(found(&ranges, 10), [0; 0]);
    }

    #[test]
    fn ranges_of_one_class_may_reach_the_last_number() {
        let mut builder = RangesBuilder::default();
        for (record, from) in [(1, u64::MAX), (0, 5), (2, 0)] {
            builder.push(from, u64::MAX, record, 0);
        }
        let ranges = builder.finish();
        assert_eq!(found(&ranges, u64::MAX), [0]);
        assert_eq!(found(&ranges, 4), [2]);
        assert_eq!(ranges.nodes.len(), 2);
    }

    /// The arithmetic that the ranges follow is the oracle.
    #[test]
    fn many_that_do_not_overlap_are_found_by_the_ladder() {
        for (count, gap) in [(LADDER_MIN as u64, 0), (5001, 3), (70_007, 1)] {
            let mut builder = RangesBuilder::default();
            let length = 4 + gap;
            for record in 0..count {
                let from = 7 + record * length;
                builder.push(from, from + 3, record as u32, record as u32 % 3);
            }
            let ranges = builder.finish();
            assert!(ranges.ladder.is_some());
            for number in 0..7 + (count + 2) * length {
                let record = number
                    .checked_sub(7)
                    .map(|behind| (behind / length, behind % length));
                let record = record.filter(|&(record, place)| record < count && place < 4);
                let expected: Vec<u32> = record
                    .map(|(record, _)| record as u32)
                    .into_iter()
                    .collect();
                assert_eq!(found(&ranges, number), expected, "{number}");
            }
            assert_eq!(found(&ranges, u64::MAX), [0; 0]);
            ranges.prefetch([0, 8, count * length, u64::MAX].into_iter());
            // One more that overlaps is found as well, and all others still.
            let mut builder = RangesBuilder::default();
            for node in ranges.nodes.all() {
                builder.push(node.from, node.to, node.record, node.class);
            }
            builder.push(9, 12, u32::MAX, 9);
            let ranges = builder.finish();
            assert!(ranges.ladder.is_none());
            assert_eq!(found(&ranges, 9), [0, u32::MAX]);
            assert_eq!(
                found(&ranges, 6 + (count - 1) * length + 4),
                [count as u32 - 1]
            );
        }
    }

    proptest! {
        /// A scan over all ranges is the oracle.
        #[test]
        fn finds_what_a_scan_finds(
            ends in prop::collection::vec((0..64u64, 0..64u64, 0..8u32), 0..60),
            classes in 1..9u32,
        ) {
            let mut builder = RangesBuilder::default();
            for (record, &(from, to, class)) in (0..).zip(&ends) {
                builder.push(from, to, record, class % classes);
            }
            let ranges = builder.finish();
            prop_assert!(ranges.nodes.len() <= 2 * ends.len());
            let of_class = |&(from, to, class): &(u64, u64, u32)| (from, to, class % classes);
            let depth = |number| found(&ranges, number).len();
            let most = (0..65).map(depth).max().unwrap_or_default();
            let first = (0..65).find(|&number| depth(number) == most).unwrap_or_default();
            prop_assert_eq!(deepest(ends.iter().map(of_class)), (most, first));
            for number in 0..65 {
                // The first of each class.
                let mut seen = Vec::new();
                let expected: Vec<u32> = (0..)
                    .zip(&ends)
                    .filter(|(_, (from, to, _))| (from..=to).contains(&&number))
                    .filter(|(_, (_, _, class))| {
                        let class = class % classes;
                        let is_new = !seen.contains(&class);
                        seen.push(class);
                        is_new
                    })
                    .map(|(record, _)| record)
                    .collect();
                prop_assert_eq!(found(&ranges, number), expected);
            }
        }
    }
}
