//! What stands behind the IMEIs of a list, so that it is read once and not on
//! each line.

use super::scanner::Simple;

/// How many tails are kept.
const TAILS: usize = 256;

/// The longest that is kept: what is as long as a line may be would be too long
/// behind a longer IMEI.
const TAIL_MAX: usize = 1024;

/// What stands behind the IMEI on simple lines, and what it says: lists have a
/// few statuses and reasons, so that most lines need not be taken apart.
#[derive(Debug, Default)]
pub(super) struct Tails(Vec<Tail>);

/// One of them.
#[derive(Clone, Debug, Default)]
struct Tail {
    /// Where it stands in the text.
    at: core::ops::Range<usize>,
    /// What it says, and whether it has a status.
    says: (u32, bool),
}

impl Tails {
    /// Those of a list of which this is known; none if the IMEI is not first.
    pub(super) fn new(simple: Option<Simple>) -> Self {
        let are_kept = simple.is_some_and(|simple| simple.width > 1 && simple.imei == 0);
        Self(match are_kept {
            true => vec![Tail::default(); TAILS],
            false => Vec::new(),
        })
    }

    /// Whether there may be any.
    #[inline]
    pub(super) fn are_kept(&self) -> bool {
        !self.0.is_empty()
    }

    /// What a tail says, if it is known.
    #[inline]
    pub(super) fn find(&self, text: &[u8], at: core::ops::Range<usize>) -> Option<(u32, bool)> {
        let own = text.get(at)?;
        let known = self.0.get(Self::place(own))?;
        // An empty one is none: a simple line has a comma at least.
        (text.get(known.at.clone())? == own).then_some(known.says)
    }

    /// Keeps one.
    pub(super) fn keep(&mut self, text: &[u8], at: core::ops::Range<usize>, says: (u32, bool)) {
        let place = Self::place(text.get(at.clone()).unwrap_or_default());
        if at.len() <= TAIL_MAX
            && let Some(tail) = self.0.get_mut(place)
        {
            *tail = Tail { at, says };
        }
    }

    /// The place of a tail.
    #[inline]
    fn place(tail: &[u8]) -> usize {
        let (words, rest) = tail.as_chunks::<8>();
        let last = rest
            .iter()
            .fold(0, |last, &octet| last << 8 | u64::from(octet));
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let hash = words.chain([last]).fold(tail.len() as u64, |hash, word| {
            (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        (hash >> 56) as usize % TAILS
    }
}
