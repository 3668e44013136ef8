//! What of a journal is in force: of each subject the last change.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Step;
use crate::equipment::{Change, Edit, Subject};

/// All changes that were made and not given up since.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Them, by what they are about.
    changes: HashSet<BySubject>,
    /// The number of the last step.
    last: u64,
}

/// A change that is told from others by its subject.
#[derive(Clone, Debug)]
struct BySubject(Arc<Change>);

impl Borrow<Subject> for BySubject {
    fn borrow(&self) -> &Subject {
        &self.0.subject
    }
}

impl PartialEq for BySubject {
    fn eq(&self, other: &Self) -> bool {
        self.0.subject == other.0.subject
    }
}

impl Eq for BySubject {}

impl Hash for BySubject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.subject.hash(state);
    }
}

impl Live {
    /// Goes on behind the step with this number, if it is a later one.
    pub fn skip_to(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// Takes the next step.
    pub fn take(&mut self, step: &Step) {
        self.last = self.last.max(step.number);
        match &step.edit {
            Edit::Change(change) => drop(self.changes.replace(BySubject(Arc::clone(change)))),
            Edit::Undo(subject) => drop(self.changes.take(subject)),
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
        self.changes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The change about a subject.
    #[must_use]
    pub fn find(&self, subject: &Subject) -> Option<&Arc<Change>> {
        self.changes.get(subject).map(|change| &change.0)
    }

    /// All changes, in the order in which they were made.
    #[must_use]
    pub fn in_order(&self) -> Vec<Arc<Change>> {
        let changes = self.changes.iter();
        let mut changes: Vec<_> = changes.map(|change| Arc::clone(&change.0)).collect();
        changes.sort_unstable_by_key(|change| change.number);
        changes
    }
}
