//! What of a journal is in force: of each subject the last change.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::Step;
use super::step::scope_numbers;
use crate::equipment::{Change, Edit, Imsi, Subject};

/// Gaps that are left open, and not made good in a table of few changes.
const GAPS: usize = 1024;

/// All changes that were made and not given up since.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Them, in the order in which they were made, with the hashes of their
    /// subjects: so a table that grows need not look at each of them. There is
    /// a gap where one was given up.
    changes: Vec<(u64, Option<Arc<Change>>)>,
    /// Their places, by what they are about.
    places: HashTable<u32>,
    /// What scatters them.
    scatter: Scatter,
    /// The list that was named last, and its hash: most changes that follow each
    /// other are of one list.
    list: Option<(Arc<str>, u64)>,
    /// The number of the last step.
    last: u64,
}

impl Live {
    /// Goes on behind the step with this number, if it is a later one.
    pub fn skip_to(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// Makes room for so many more changes.
    pub fn reserve(&mut self, more: usize) {
        self.changes.reserve(more);
        let changes = &self.changes;
        (self.places).reserve(more, |&place| hash_at(changes, place));
    }

    /// Takes the next step.
    pub fn take(&mut self, step: &Step) {
        self.last = self.last.max(step.number);
        let subject = step.edit.subject();
        let list = match &self.list {
            Some((list, hash)) if Arc::ptr_eq(list, &subject.list) => *hash,
            _ => {
                let hash = self.scatter.list(&subject.list);
                self.list = Some((Arc::clone(&subject.list), hash));
                hash
            }
        };
        let hash = self.scatter.subject(list, subject);
        let changes = &mut self.changes;
        // Of two that only seem alike the hashes tell, and no change is looked at.
        let found = (self.places).find_entry(hash, |&place| {
            hash_at(changes, place) == hash && is_about(changes, place, subject)
        });
        if let Ok(found) = found {
            let (place, _) = found.remove();
            if let Some((_, gap)) = changes.get_mut(place as usize) {
                *gap = None;
            }
        }
        if let Edit::Change(change) = &step.edit {
            changes.push((hash, Some(Arc::clone(change))));
            // There are far fewer than numbers for them, see `close_gaps`.
            let place = (changes.len() - 1) as u32;
            (self.places).insert_unique(hash, place, |&place| hash_at(changes, place));
        }
        if self.changes.len() > GAPS + 2 * self.places.len() {
            self.close_gaps();
        }
    }

    /// Moves the changes together.
    fn close_gaps(&mut self) {
        let changes = &mut self.changes;
        changes.retain(|(_, change)| change.is_some());
        self.places.clear();
        for (place, (hash, _)) in (0..).zip(changes.iter()) {
            (self.places).insert_unique(*hash, place, |&place| hash_at(changes, place));
        }
    }

    /// The same with other changes, made later.
    #[must_use]
    pub fn followed_by(mut self, later: &Self) -> Self {
        self.reserve(later.len());
        later
            .in_order()
            .for_each(|change| self.take(&Step::of(change)));
        self.skip_to(later.last);
        self
    }

    /// The changes behind the one with this number.
    #[must_use]
    pub fn since(&self, number: u64) -> Self {
        let mut later = Self::default();
        let own = self.in_order().filter(|change| change.number > number);
        own.for_each(|change| later.take(&Step::of(change)));
        later.skip_to(self.last);
        later
    }

    /// The number of the last step.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The change about a subject.
    #[must_use]
    pub fn find(&self, subject: &Subject) -> Option<&Arc<Change>> {
        let hash = (self.scatter).subject(self.scatter.list(&subject.list), subject);
        let is_it = |&place: &u32| is_about(&self.changes, place, subject);
        let place = *self.places.find(hash, is_it)?;
        self.changes.get(place as usize)?.1.as_ref()
    }

    /// All changes, in the order in which they were made.
    pub fn in_order(&self) -> impl Iterator<Item = &Arc<Change>> {
        self.changes
            .iter()
            .filter_map(|(_, change)| change.as_ref())
    }
}

/// The hash of the change at a place.
fn hash_at(changes: &[(u64, Option<Arc<Change>>)], place: u32) -> u64 {
    changes.get(place as usize).map_or(0, |&(hash, _)| hash)
}

/// Whether the change at a place is about a subject.
fn is_about(changes: &[(u64, Option<Arc<Change>>)], place: u32, subject: &Subject) -> bool {
    let change = changes
        .get(place as usize)
        .and_then(|(_, change)| change.as_ref());
    change.is_some_and(|change| change.subject == *subject)
}

//----------- Scatter ---------------------------------------------------------

/// Hashes subjects: by secrets, so that nobody can choose such as meet, and
/// faster than what hashes anything, as a start hashes a million of them.
#[derive(Clone, Debug)]
struct Scatter {
    /// For names of lists.
    names: RandomState,
    /// For numbers.
    secret: [u64; 3],
}

impl Default for Scatter {
    fn default() -> Self {
        let names = RandomState::new();
        Self {
            secret: [0, 1, 2].map(|number: u64| names.hash_one(number)),
            names,
        }
    }
}

impl Scatter {
    /// The hash of the name of a list.
    fn list(&self, name: &str) -> u64 {
        self.names.hash_one(name)
    }

    /// The hash of a subject, of that of the name of its list.
    #[inline]
    fn subject(&self, list: u64, subject: &Subject) -> u64 {
        let [first, second, third] = self.secret;
        let (kind, low, high) = scope_numbers(subject.scope);
        let subscriber = subject.subscriber.map_or(0, Imsi::key);
        let hash = folded(list ^ low, first);
        let hash = folded(hash ^ high ^ u64::from(kind) << 56, second);
        folded(hash ^ subscriber, third)
    }
}

/// Both halves of a product by an odd number: they depend on all bits.
#[inline]
fn folded(number: u64, secret: u64) -> u64 {
    let product = u128::from(number) * u128::from(secret | 1);
    (product >> 64) as u64 ^ product as u64
}
