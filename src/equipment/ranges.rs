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

//----------- Ranges ----------------------------------------------------------

/// An immutable set of ranges that may overlap in any way.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    /// The tree.
    nodes: Box<[Node]>,
}

/// One range, and what is below it in the tree.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The first number.
    from: u64,
    /// The last number.
    to: u64,
    /// The last number of any range in the subtree.
    reach: u64,
    /// The rule or binding.
    record: u32,
}

impl Ranges {
    /// Calls `visitor` with the record of each range that holds the number, in
    /// no particular order.
    ///
    /// Among n ranges, k of which hold the number, some log n + k · log(n ÷ k)
    /// are looked at; if they do not overlap, log n.
    // Apart from its callers, so that they need no room for the stack.
    #[inline(never)]
    pub(super) fn visit(&self, number: u64, mut visitor: impl FnMut(u32)) {
        // Slices yet to be searched. Each slice on the stack is at most half
        // as long as the one below it, so that there are never more of them
        // than a length has bits; the bound is tested all the same.
        let mut stack: [&[Node]; STACK] = [&[]; STACK];
        let mut depth = 0;
        let mut slice = &*self.nodes;
        loop {
            let middle = slice.len() / 2;
            if let Some(node) = slice.get(middle)
                && number <= node.reach
            {
                let (left, right) = (&slice[..middle], &slice[middle + 1..]);
                if node.from <= number {
                    if number <= node.to {
                        visitor(node.record);
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

//----------- RangesBuilder ---------------------------------------------------

/// Collects [`Ranges`].
#[derive(Debug, Default)]
pub(super) struct RangesBuilder {
    /// The ranges in the order in which they came; their reach is not known.
    nodes: Vec<Node>,
}

impl RangesBuilder {
    /// Adds a range, both ends included.
    pub(super) fn push(&mut self, from: u64, to: u64, record: u32) {
        self.nodes.push(Node {
            from,
            to,
            reach: 0,
            record,
        });
    }

    /// The set.
    pub(super) fn finish(mut self) -> Ranges {
        self.nodes.sort_by_key(|node| (node.from, node.record));
        measure(&mut self.nodes);
        Ranges {
            nodes: self.nodes.into_boxed_slice(),
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
        ranges.visit(number, |record| found.push(record));
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
            builder.push(0, 9, record);
        }
        let ranges = builder.finish();
        assert_eq!(found(&ranges, 9), (0..count).collect::<Vec<_>>());
        assert_eq!(found(&ranges, 10), [0; 0]);
    }

    proptest! {
        /// A scan over all ranges is the oracle.
        #[test]
        fn finds_what_a_scan_finds(
            ends in prop::collection::vec((0..64u64, 0..64u64), 0..60),
        ) {
            let mut builder = RangesBuilder::default();
            for (record, &(from, to)) in (0..).zip(&ends) {
                builder.push(from, to, record);
            }
            let ranges = builder.finish();
            for number in 0..65 {
                let expected: Vec<u32> = (0..)
                    .zip(&ends)
                    .filter(|(_, (from, to))| (from..=to).contains(&&number))
                    .map(|(record, _)| record)
                    .collect();
                prop_assert_eq!(found(&ranges, number), expected);
            }
        }
    }
}
