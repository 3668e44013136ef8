//! The one who makes changes: writes them down, then puts them in force.
//!
//! ```text
//! requests ─▶ queue ─▶ the thread of changes
//!                        │ what waits, as one group:
//!                        │   check · lay above the register, unseen
//!                        │   append to the journal, wait for the disk once
//!                        │     good: publish, then say so
//!                        │     bad:  forget it, then say so
//!                        │ free what was replaced
//!                        └ fold, if there are many: on a thread for it
//! ```
//!
//! A change is acknowledged when it is on the disk and in force. The serving
//! threads see one exchange of a pointer.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::above::{Changes, State, laid_above};
use super::disk::{Directory, Disk};
use super::fold::{self, Folding, Made, Task};
use super::log::{Log, Opened};
use super::wish::{Wish, above};
use crate::changes::{Fold, Step};
use crate::equipment::{Edit, Overlay, Subject};
use crate::error::Failed;
use crate::metrics::{Counters, Tally};
use crate::net::Clock;
use crate::policy::{Register, Rulebook};
use crate::snapshot::Folded;

/// Requests that may wait, whoever asks: what a disk takes at once, and no more
/// than fits in memory if each is as large as may be.
const QUEUE: usize = 256;

/// Octets after which a group that is written down takes no further request: what
/// a disk takes at once. With the longest request it is far below the longest
/// record.
const GROUP: usize = 32 * 1024 * 1024;

/// How much the thread that folds gives way to those that answer: as much as can
/// be.
const FOLD_NICENESS: i32 = 19;

/// After a fold that came to nothing, so many more changes are awaited: one part
/// of so many of those that begin one.
const FOLD_AGAIN: usize = 4;

/// How often the thread looks whether what was replaced is free.
const RETIRE_POLL: Duration = Duration::from_millis(2);

//----------- Keeper ----------------------------------------------------------

/// What came of a request: the numbers of its first and last change, or why
/// none of it was done.
pub type Outcome = Result<(u64, u64), String>;

/// A request on its way.
enum Job {
    /// For changes.
    Make(Wanted),
    /// For folding. The outcome has the number of the last change that is folded.
    Fold(mpsc::Sender<Outcome>),
}

/// Changes that somebody asks for.
struct Wanted {
    /// Who asks.
    by: Arc<str>,
    /// For what: all at once, or nothing.
    wishes: Vec<Wish>,
    /// Who is told.
    reply: mpsc::Sender<Outcome>,
}

/// Hands requests to the thread of changes, which ends when the last handle is
/// gone.
#[derive(Clone)]
pub struct Handle {
    /// To the thread.
    jobs: SyncSender<Job>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    /// Asks for changes, all at once or none. What comes of it is received when
    /// it is on the disk and in force. Waits while very many others do.
    #[must_use]
    pub fn ask(&self, by: Arc<str>, wishes: Vec<Wish>) -> Receiver<Outcome> {
        let (reply, outcome) = mpsc::channel();
        // Fails only if the thread is gone, and then so is the reply.
        let _ = self.jobs.send(Job::Make(Wanted { by, wishes, reply }));
        outcome
    }

    /// Asks for all changes to be folded. What comes of it is received when that
    /// is done.
    #[must_use]
    pub fn fold(&self) -> Receiver<Outcome> {
        let (reply, outcome) = mpsc::channel();
        let _ = self.jobs.send(Job::Fold(reply));
        outcome
    }
}

/// The thread of changes.
pub struct Keeper<D> {
    /// What was changed.
    changes: Arc<Changes>,
    /// The journal.
    log: Log<D>,
    /// What was done.
    counters: Arc<Counters>,
    /// Rulebooks that were replaced, and may still be held by others.
    retired: VecDeque<Arc<Rulebook>>,
    /// What is being folded.
    under_way: Option<UnderWay>,
    /// What is folded next, as it was asked for.
    fold_asked: Vec<mpsc::Sender<Outcome>>,
    /// How many changes there are when the next fold begins by itself.
    fold_at: usize,
    /// The subjects of what is folded, as soon as somebody asks for one.
    folded: Option<(Fold, HashSet<Subject>)>,
}

/// A fold on its thread.
struct UnderWay {
    /// Whence what is made comes.
    made: Receiver<Result<Made, String>>,
    /// Who is told.
    replies: Vec<mpsc::Sender<Outcome>>,
    /// Whether a change was undone since: it may be one that is being folded.
    is_stale: bool,
}

impl<D> fmt::Debug for Keeper<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl<D: Disk + 'static> Keeper<D> {
    /// One for a journal that was opened, whose changes are in force in
    /// `register`.
    #[must_use]
    pub fn new(
        opened: Opened<D>,
        register: Arc<Register>,
        secret: [u64; 2],
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            changes: Arc::new(Changes::new(register, opened.live, secret)),
            log: opened.log,
            counters,
            retired: VecDeque::new(),
            under_way: None,
            fold_asked: Vec::new(),
            fold_at: usize::MAX,
            folded: None,
        }
    }

    /// The same where changes are folded into the snapshot that was loaded.
    #[must_use]
    pub fn folding(mut self, folding: Folding, fold: Option<Fold>) -> Self {
        let mut state = self.changes.state();
        state.folding = Some(folding);
        state.fold = fold;
        drop(state);
        self.fold_at = self.fold_after();
        self
    }

    /// What was changed.
    #[must_use]
    pub fn changes(&self) -> Arc<Changes> {
        Arc::clone(&self.changes)
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If that cannot be done.
    pub fn spawn(self) -> Result<Handle, Failed> {
        let (jobs, inbox) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("changes".to_owned())
            .spawn(move || self.run(&inbox))
            .map_err(|error| Failed::new(format!("cannot start the thread of changes: {error}")))?;
        Ok(Handle { jobs })
    }

    /// The thread.
    fn run(mut self, inbox: &Receiver<Job>) {
        loop {
            self.retired.retain(|old| Arc::strong_count(old) > 1);
            self.fold_if_due();
            let first = match self.retired.is_empty() && self.under_way.is_none() {
                true => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => inbox.recv_timeout(RETIRE_POLL),
            };
            match first {
                Ok(Job::Make(first)) => {
                    if let Some(Job::Fold(reply)) = self.make(first, inbox) {
                        self.fold_asked.push(reply);
                    }
                }
                Ok(Job::Fold(reply)) => self.fold_asked.push(reply),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.end_fold();
        }
    }

    //--- Folding

    /// Begins a fold if one was asked for or there are enough changes.
    fn fold_if_due(&mut self) {
        let is_due = !self.fold_asked.is_empty() || self.changes.len() >= self.fold_at;
        if self.under_way.is_some() || !is_due {
            return;
        }
        let replies = core::mem::take(&mut self.fold_asked);
        match self.begin_fold() {
            Ok(Some(made)) => {
                self.under_way = Some(UnderWay {
                    made,
                    replies,
                    is_stale: false,
                });
            }
            Ok(None) => {
                let through = self.changes.fold().map_or(0, |fold| fold.through);
                tell(replies, &Ok((through, through)));
            }
            Err(why) => {
                tracing::warn!("changes are not folded: {why}");
                self.fold_later();
                tell(replies, &Err(why));
            }
        }
    }

    /// Begins one; `None` if there is nothing to fold.
    fn begin_fold(&mut self) -> Result<Option<Receiver<Result<Made, String>>>, String> {
        let state = self.changes.state();
        let State {
            live,
            fold,
            origin,
            folding,
        } = &*state;
        let (Some(origin), Some(folding)) = (origin, folding) else {
            return Err(
                "changes are folded into a snapshot, and this server reads lists: `weir compile` \
                 makes one, and `snapshot` in [register] names it"
                    .to_owned(),
            );
        };
        if live.is_empty() {
            return Ok(None);
        }
        let task = Task {
            folding: folding.clone(),
            rulebook: Rulebook::clone(&self.changes.register.load()),
            origin: Arc::clone(origin),
            live: live.clone(),
            fold: *fold,
            secret: self.changes.secret,
            now: Clock::start().now().unix,
        };
        drop(state);
        // What was folded above a snapshot that is gone is named by the journal
        // until it is written anew, and so would be what is made of it now.
        if !self.log.is_certain(task.fold) {
            let written = self.log.rewrite(&task.live, task.fold, task.now);
            written.map_err(|error| format!("the journal cannot be written anew: {error}"))?;
        }
        let (done, made) = mpsc::channel();
        tracing::info!("{} changes are being folded", task.live.len());
        let spawned = thread::Builder::new()
            .name("fold".to_owned())
            .spawn(move || {
                // Of this thread alone.
                let _ = rustix::process::nice(FOLD_NICENESS);
                // Fails if the server stops.
                let _ = done.send(task.run());
            });
        match spawned {
            Ok(_) => Ok(Some(made)),
            Err(error) => Err(format!("no thread can be started: {error}")),
        }
    }

    /// Puts what was folded in force, if that is done.
    fn end_fold(&mut self) {
        let Some(under_way) = &self.under_way else {
            return;
        };
        let made = match under_way.made.try_recv() {
            Ok(made) => made,
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => Err("it came to a sudden end".to_owned()),
        };
        let Some(UnderWay {
            replies, is_stale, ..
        }) = self.under_way.take()
        else {
            return;
        };
        let result = made.and_then(|made| match is_stale {
            true => Err("a change was undone meanwhile".to_owned()),
            false => self.put_in_force(made),
        });
        match &result {
            Ok(through) => {
                self.fold_at = self.fold_after();
                tell(replies, &Ok((*through, *through)));
            }
            Err(why) => {
                self.log.tidy();
                tracing::warn!("changes were not folded, and stay above the snapshot: {why}");
                self.fold_later();
                tell(
                    replies,
                    &Err(format!("nothing was folded: {why}; try again")),
                );
            }
        }
    }

    /// How many changes begin a fold by themselves.
    fn fold_after(&self) -> usize {
        let after = self.changes.state().folding.as_ref().map(|own| own.after);
        after.filter(|&after| after > 0).unwrap_or(usize::MAX)
    }

    /// Lets some more changes come before the next fold begins by itself, and at
    /// least as many as are to begin one.
    fn fold_later(&mut self) {
        let after = self.fold_after();
        let more = after.div_ceil(FOLD_AGAIN);
        self.fold_at = self.changes.len().saturating_add(more).max(after);
    }

    /// Puts what was folded in force: first the journal tells of it.
    fn put_in_force(&mut self, made: Made) -> Result<u64, String> {
        let Made {
            rulebook,
            fold,
            snapshot,
            residence,
        } = made;
        let mut state = self.changes.state();
        let current = Arc::clone(&self.changes.register.load());
        if !current.shares_base(&rulebook) {
            return Err("other lists were loaded meanwhile".to_owned());
        }
        let later = state.live.since(fold.through);
        let now = Clock::start().now().unix;
        if let Err(error) = self.log.rewrite(&later, Some(fold), now) {
            return Err(format!("the journal cannot be written anew: {error}"));
        }
        let folded = current.with_snapshot(snapshot);
        let (folded, _) = laid_above(&folded, &later, self.changes.secret);
        let old = self.changes.register.publish(folded);
        state.live = later;
        state.fold = Some(fold);
        if let Some(origin) = &mut state.origin {
            let base = origin.base();
            let origin = Arc::make_mut(origin);
            origin.is_folded = true;
            origin.provenance.folded = Some(Folded {
                base,
                through: fold.through,
                file: fold.file,
            });
        }
        drop(state);
        drop((current, rulebook));
        self.retired.push_back(old);
        let through = fold.through;
        tracing::info!("changes up to {through} are folded; snapshot: {residence}");
        Ok(through)
    }

    /// Whether what a change is about is folded: then it cannot be undone.
    fn is_folded(&mut self, subject: &Subject) -> Result<bool, String> {
        let state = self.changes.state();
        let (Some(fold), Some(folding)) = (state.fold, &state.folding) else {
            return Ok(false);
        };
        let dir = folding.dir.clone();
        drop(state);
        if self.folded.as_ref().is_none_or(|(own, _)| *own != fold) {
            let live = fold::read(&Directory::read_only(&dir), fold);
            let live =
                live.map_err(|error| error.within(&dir.display().to_string()).to_string())?;
            let subjects = live.in_order().map(|change| change.subject.clone());
            self.folded = Some((fold, subjects.collect()));
        }
        let folded = self.folded.as_ref();
        Ok(folded.is_some_and(|(_, subjects)| subjects.contains(subject)))
    }

    //--- Making

    /// Checks that what the steps undo was changed, by them, by those before
    /// them in `said`, or earlier: most likely a list or a number is misspelt
    /// otherwise, and the change that was meant would stay in force. Notes what
    /// they say.
    fn check_undone(
        &mut self,
        steps: &[Step],
        said: &mut HashMap<Subject, bool>,
    ) -> Result<(), String> {
        let mut own = HashMap::new();
        for step in steps {
            let subject = step.edit.subject();
            let is_change = matches!(step.edit, Edit::Change(_));
            let before = own.get(subject).or_else(|| said.get(subject));
            if !is_change && self.is_folded(subject)? {
                return Err(format!(
                    "list {}: the change of this is folded into the snapshot, and cannot be undone \
                     any more: `weir change remove` or `add` says what is to hold instead",
                    subject.list
                ));
            }
            let is_there = || self.changes.state().live.find(subject).is_some();
            if !is_change && !before.copied().unwrap_or_else(is_there) {
                return Err(format!(
                    "list {}: there is no change of this to undo; `weir change list` shows those \
                     that there are",
                    subject.list
                ));
            }
            own.insert(subject.clone(), is_change);
        }
        said.extend(own);
        Ok(())
    }

    /// Makes the changes of a request, and of all that wait behind it. Returns what
    /// else was asked for behind them.
    fn make(&mut self, first: Wanted, inbox: &Receiver<Job>) -> Option<Job> {
        let current = Arc::clone(&self.changes.register.load());
        let snapshot = current.snapshot();
        let overlay = current.overlay().cloned();
        let mut next = overlay.unwrap_or_else(|| Overlay::new(self.changes.secret));
        let mut number = self.changes.state().live.last();
        let mut steps = Vec::new();
        let mut weight = 0;
        let mut made = Vec::new();
        let mut said = HashMap::new();
        let mut tally = Tally::default();
        let now = Clock::start().now().unix;
        let mut job = Some(Job::Make(first));
        while let Some(Job::Make(Wanted { by, wishes, reply })) = job {
            let count = wishes.len() as u64;
            let own = wishes.iter().enumerate();
            let own = own.map(|(at, wish)| ((number + 1 + at as u64, now, &by), wish));
            let above = above(&next, snapshot, own)
                .and_then(|made| self.check_undone(&made.1, &mut said).map(|()| made));
            match above {
                Ok((above, own)) => {
                    next = above;
                    tally.changes += count;
                    made.push((reply, (number + 1, number + count)));
                    number += count;
                    weight += own.iter().map(Step::weight).sum::<usize>();
                    steps.extend(own);
                }
                Err(why) => {
                    tally.refused_changes += count;
                    // Whoever asked may be gone.
                    let _ = reply.send(Err(why));
                }
            }
            job = match weight < GROUP {
                true => inbox.try_recv().ok(),
                false => None,
            };
        }
        if made.is_empty() {
            self.counters.add(&mut tally);
            return job;
        }
        let fold = self.changes.fold();
        let live = || self.changes.state().live.clone();
        let written = self.log.append(&steps, fold, live, now);
        if let Err(error) = written {
            tally = Tally {
                refused_changes: tally.refused_changes + tally.changes,
                journal_errors: 1,
                ..Tally::default()
            };
            self.counters.add(&mut tally);
            let name = self.log.name();
            tracing::error!("{} changes are refused: {name}: {error}", steps.len());
            let why = format!(
                "the change cannot be kept, and was not made: {name}: {error}; make room or mend \
                 the disk of `state_dir`, and try again"
            );
            for (reply, _) in made {
                let _ = reply.send(Err(why.clone()));
            }
            return job;
        }
        if let Some(under_way) = &mut self.under_way {
            let mut edits = steps.iter().map(|step| &step.edit);
            under_way.is_stale |= edits.any(|edit| matches!(edit, Edit::Undo(_)));
        }
        let old = self.changes.publish(&steps, &current, next);
        self.counters.add(&mut tally);
        for (reply, numbers) in made {
            let _ = reply.send(Ok(numbers));
        }
        drop(current);
        self.retired.push_back(old);
        if let (Some(first), Some(last)) = (steps.first(), steps.last()) {
            let (first, last) = (first.number, last.number);
            tracing::debug!("changes {first} to {last} are in force");
        }
        if self.log.has_grown() {
            let live = self.changes.state().live.clone();
            match self.log.rewrite(&live, fold, now) {
                Ok(()) => tracing::info!("the journal of {} changes was written anew", live.len()),
                Err(error) => {
                    tracing::warn!("the journal cannot be written anew, and grows on: {error}");
                }
            }
        }
        job
    }
}

/// Tells what came of a fold.
fn tell(replies: Vec<mpsc::Sender<Outcome>>, outcome: &Outcome) {
    for reply in replies {
        // Whoever asked may be gone.
        let _ = reply.send(outcome.clone());
    }
}
