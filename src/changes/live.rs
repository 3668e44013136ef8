//! What of a journal is in force: of each subject the last change.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::Step;
use crate::equipment::{Change, Edit, Subject};

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
    places: HashTable<usize>,
    /// What scatters them.
    hasher: RandomState,
    /// The number of the last step.
    last: u64,
}

impl Live {
    /// Goes on behind the step with this number, if it is a later one.
    pub fn skip_to(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// Takes the next step.
    pub fn take(&mut self, step: &Step) {
        self.last = self.last.max(step.number);
        let subject = step.edit.subject();
        let hash = self.hasher.hash_one(subject);
        let changes = &mut self.changes;
        let found = (self.places).find_entry(hash, |&place| is_about(changes, place, subject));
        if let Ok(found) = found {
            let (place, _) = found.remove();
            if let Some((_, gap)) = changes.get_mut(place) {
                *gap = None;
            }
        }
        if let Edit::Change(change) = &step.edit {
            changes.push((hash, Some(Arc::clone(change))));
            let place = changes.len() - 1;
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
        for (place, (hash, _)) in changes.iter().enumerate() {
            (self.places).insert_unique(*hash, place, |&place| hash_at(changes, place));
        }
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
        let hash = self.hasher.hash_one(subject);
        let is_it = |&place: &usize| is_about(&self.changes, place, subject);
        let place = *self.places.find(hash, is_it)?;
        self.changes.get(place)?.1.as_ref()
    }

    /// All changes, in the order in which they were made.
    pub fn in_order(&self) -> impl Iterator<Item = &Arc<Change>> {
        self.changes
            .iter()
            .filter_map(|(_, change)| change.as_ref())
    }
}

/// The hash of the change at a place.
fn hash_at(changes: &[(u64, Option<Arc<Change>>)], place: usize) -> u64 {
    changes.get(place).map_or(0, |&(hash, _)| hash)
}

/// Whether the change at a place is about a subject.
fn is_about(changes: &[(u64, Option<Arc<Change>>)], place: usize, subject: &Subject) -> bool {
    let change = changes.get(place).and_then(|(_, change)| change.as_ref());
    change.is_some_and(|change| change.subject == *subject)
}
