//! The changes that are in force, beside the register in which they are.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::Directory;
use super::fold::{self, Folding};
use crate::changes::{Fold, Live, Step};
use crate::equipment::{Change, EditError, Overlay};
use crate::load::{Candidate, Origin};
use crate::policy::{Register, Rulebook};

/// What was changed, beside the register in which it is in force.
pub struct Changes {
    /// Where it is in force.
    pub(super) register: Arc<Register>,
    /// All of it, whether the lists are there or not.
    state: Mutex<State>,
    /// What scatters it.
    pub(super) secret: [u64; 2],
}

/// What was changed, and what of it is in the snapshot in force.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The changes that are not folded.
    pub(super) live: Live,
    /// Those that are, if there are any and the snapshot in force is the one that
    /// has them.
    pub(super) fold: Option<Fold>,
    /// What that snapshot is, if it is one.
    pub(super) origin: Option<Arc<Origin>>,
    /// How folding is done, if it is.
    pub(super) folding: Option<Folding>,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

/// A change that is not in effect, and why.
pub type Misfit = (Arc<Change>, EditError);

/// A rulebook with all changes above it that fit its lists.
#[must_use]
pub fn laid_above(rulebook: &Rulebook, live: &Live, secret: [u64; 2]) -> (Rulebook, Vec<Misfit>) {
    let changes = live.in_order().cloned();
    let (overlay, misfits) = Overlay::of_those_that_fit(secret, rulebook.snapshot(), changes);
    (rulebook.with_overlay(overlay), misfits)
}

/// What is to be told of changes that are not in effect, a line for each list.
#[must_use]
pub fn told(misfits: &[Misfit]) -> Vec<String> {
    let mut lists: Vec<(&str, usize, &EditError)> = Vec::new();
    for (change, error) in misfits {
        let name = &*change.subject.list;
        match lists.iter_mut().find(|(own, ..)| *own == name) {
            Some((_, count, _)) => *count += 1,
            None => lists.push((name, 1, error)),
        }
    }
    let lines = lists.iter().map(|(name, count, error)| {
        format!(
            "{count} changes of `{name}` are not in effect: {error}; `weir change list` shows \
             them, and `weir change undo` gives them up"
        )
    });
    lines.collect()
}

impl Changes {
    /// The changes that are in force in a register.
    #[must_use]
    pub fn new(register: Arc<Register>, live: Live, secret: [u64; 2]) -> Self {
        Self {
            register,
            state: Mutex::new(State {
                live,
                ..State::default()
            }),
            secret,
        }
    }

    /// Publishes another rulebook with all changes above it that are not a part
    /// of it. Returns what it has replaced, and the changes that are not in
    /// effect.
    ///
    /// # Errors
    ///
    /// If changes are to be laid above it that were folded, and their file cannot
    /// be read; or if it was loaded in the place of its base, and others were
    /// folded meanwhile: then it is to be loaded again.
    pub fn install(
        &self,
        rulebook: &Rulebook,
        origin: Option<Origin>,
    ) -> Result<(Arc<Rulebook>, Vec<Misfit>), String> {
        let mut state = self.state();
        if !is_of(origin.as_ref(), state.fold)? {
            state.live = unfolded(&state.live, state.fold, state.folding.as_ref())?;
            state.fold = None;
            tracing::info!(
                "all {} changes lie above the snapshot: it is not the one that they were folded into",
                state.live.len()
            );
        }
        state.origin = origin.map(Arc::new);
        let (rulebook, misfits) = laid_above(rulebook, &state.live, self.secret);
        Ok((self.register.publish(rulebook), misfits))
    }

    /// The snapshot to be loaded in the place of the one that the configuration
    /// names, if it was made of that.
    #[must_use]
    pub fn candidate(&self) -> Option<Candidate> {
        let state = self.state();
        Some(candidate(state.fold?, &state.folding.as_ref()?.dir))
    }

    /// How many changes there are that are not folded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().live.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are folded.
    #[must_use]
    pub fn fold(&self) -> Option<Fold> {
        self.state().fold
    }

    /// Puts steps in force: the overlay with them is `next` above `base`.
    /// Returns what was replaced.
    pub(super) fn publish(&self, steps: &[Step], base: &Rulebook, next: Overlay) -> Arc<Rulebook> {
        let mut state = self.state();
        let live = &mut state.live;
        steps.iter().for_each(|step| live.take(step));
        let current = Arc::clone(&self.register.load());
        if current.shares_base(base) {
            return self.register.publish(current.with_overlay(next));
        }
        // Other lists were published meanwhile.
        let (rulebook, _) = laid_above(&current, live, self.secret);
        self.register.publish(rulebook)
    }

    /// What was changed.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in between is half done: at worst a step is in the journal
        // and not in force.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The snapshot of a fold.
#[must_use]
pub fn candidate(fold: Fold, dir: &Path) -> Candidate {
    Candidate {
        path: fold::snapshot(dir, fold),
        through: fold.through,
        file: fold.file,
    }
}

/// Whether what was loaded has the changes of a fold in it; an error if it has
/// those of another.
fn is_of(origin: Option<&Origin>, fold: Option<Fold>) -> Result<bool, String> {
    let folded = origin.filter(|origin| origin.is_folded);
    let folded = folded.and_then(|origin| origin.provenance.folded);
    let folded = folded.map(|folded| Fold {
        through: folded.through,
        file: folded.file,
    });
    match (folded, fold) {
        (None, None) => Ok(true),
        (None, Some(_)) => Ok(false),
        (folded, fold) if folded == fold => Ok(true),
        (Some(_), _) => Err("changes were folded meanwhile; reload again".to_owned()),
    }
}

/// The changes with those of a fold.
fn unfolded(live: &Live, fold: Option<Fold>, folding: Option<&Folding>) -> Result<Live, String> {
    let (Some(fold), Some(folding)) = (fold, folding) else {
        return Ok(live.clone());
    };
    let disk = Directory::read_only(&folding.dir);
    match fold::read(&disk, fold) {
        Ok(older) => Ok(older.followed_by(live)),
        Err(error) => Err(error.within(&folding.dir.display().to_string()).to_string()),
    }
}
