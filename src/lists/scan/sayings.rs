//! The different things that the lines of a chunk say.

use rustc_hash::FxHashMap;

use super::Saying;
use crate::equipment::{Status, Validity};

/// What rules of single devices say, each once.
#[derive(Debug, Default)]
pub(super) struct Sayings {
    /// All of them.
    pub(super) all: Vec<Saying>,
    /// Their numbers by their hashes. Of two with the same hash, which is rare,
    /// the second is merely kept anew each time.
    numbers: FxHashMap<u64, u32>,
    /// That which has neither dates nor reason, of the last status asked for.
    plain: Option<(Status, u32)>,
}

impl Sayings {
    /// The number of a status without more.
    #[inline]
    pub(super) fn plain(&mut self, status: Status) -> u32 {
        match self.plain {
            Some((known, number)) if known == status => number,
            _ => {
                let number = self.number(status, Validity::ALWAYS, None);
                self.plain = Some((status, number));
                number
            }
        }
    }

    /// The number of this.
    pub(super) fn number(
        &mut self,
        status: Status,
        validity: Validity,
        reason: Option<&str>,
    ) -> u32 {
        use core::hash::BuildHasher;
        let hash = rustc_hash::FxBuildHasher.hash_one((status, validity, reason));
        if let Some(&number) = self.numbers.get(&hash) {
            let known = self.all.get(number as usize);
            if known.is_some_and(|known| {
                known.status == status
                    && known.validity == validity
                    && known.reason.as_deref() == reason
            }) {
                return number;
            }
        }
        // A chunk has fewer lines than there are numbers.
        let number = self.all.len() as u32;
        self.numbers.entry(hash).or_insert(number);
        self.all.push(Saying {
            status,
            validity,
            reason: reason.map(Into::into),
        });
        number
    }
}
