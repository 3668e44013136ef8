//! The one who makes changes: writes them down, then puts them in force.
//!
//! ```text
//! requests ─▶ queue ─▶ the thread of changes
//!                        │ what waits, as one group:
//!                        │   check · lay above the register, unseen
//!                        │   append to the journal, wait for the disk once
//!                        │     good: publish, then say so
//!                        │     bad:  forget it, then say so
//!                        └ free what was replaced
//! ```
//!
//! A change is acknowledged when it is on the disk and in force. The serving
//! threads see one exchange of a pointer.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use super::disk::Disk;
use super::log::{Log, Opened};
use crate::changes::{Live, Step};
use crate::equipment::{
    Action, Change, Edit, EditError, Entry, Imsi, ListKind, Overlay, Scope, Snapshot, Status,
    Subject, Validity,
};
use crate::error::Failed;
use crate::metrics::{Counters, Tally};
use crate::net::Clock;
use crate::policy::{Register, Rulebook};
use crate::time::UnixTime;

/// Requests that may wait, whoever asks: what a disk takes at once, and no more
/// than fits in memory if each is as large as may be.
const QUEUE: usize = 256;

/// Octets after which a group that is written down takes no further request: what
/// a disk takes at once. With the longest request it is far below the longest
/// record.
const GROUP: usize = 32 * 1024 * 1024;

/// Changes in one request: as many as can be put in force at once.
pub const BATCH_MAX: usize = 10_000;

/// How often the thread looks whether what was replaced is free.
const RETIRE_POLL: Duration = Duration::from_millis(2);

/// The number and time of a change, and who makes it.
type Numbered<'a> = (u64, UnixTime, &'a Arc<str>);

//----------- Wish ------------------------------------------------------------

/// What is asked for, before it is known when and with which number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The name of the list.
    pub list: Arc<str>,
    /// The subscribers: of bindings, whose it is; of rules, who is excepted.
    pub imsis: Vec<Imsi>,
    /// The devices.
    pub scope: Scope,
    /// What is to become of them.
    pub what: What,
}

/// What is to become of what a list says of some devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The list is to say this.
    Set {
        /// The status; that of the list if there is none.
        status: Option<Status>,
        /// When.
        validity: Validity,
        /// Why.
        reason: Option<Box<str>>,
    },
    /// The list is to say nothing.
    Remove,
    /// The list is to say what its files say.
    Undo,
}

impl Wish {
    /// The step that makes it come true.
    fn step(&self, snapshot: &Snapshot, (number, time, by): Numbered<'_>) -> Result<Step, String> {
        let Self {
            list, imsis, scope, ..
        } = self;
        let kind = snapshot.lists().find(|own| *own.name == **list);
        let kind = kind.map(|list| list.kind);
        // Of a list that is gone changes can be given up all the same.
        let is_bindings = match kind {
            None => imsis.len() == 1,
            Some(kind) => matches!(kind, ListKind::Bindings { .. }),
        };
        let (subscriber, exceptions) = match (is_bindings, imsis.as_slice(), &self.what) {
            // Whatever the list is now, it may have been of the other kind when
            // the change was made.
            (_, [], What::Undo) => (None, Vec::new()),
            (_, &[imsi], What::Undo) => (Some(imsi), Vec::new()),
            (true, &[imsi], _) => (Some(imsi), Vec::new()),
            (true, ..) => {
                return Err(format!(
                    "`{list}` is a list of bindings: a change is of one IMSI, and {} are named",
                    imsis.len()
                ));
            }
            (false, imsis, What::Set { .. }) => (None, imsis.to_vec()),
            (false, [], _) => (None, Vec::new()),
            (false, ..) => {
                return Err(format!(
                    "`{list}` is a list of rules: its exceptions go with the rule; add it again \
                     with those that are to stay"
                ));
            }
        };
        let subject = Subject {
            list: Arc::clone(list),
            subscriber,
            scope: *scope,
        };
        let action = match &self.what {
            What::Undo => None,
            What::Remove => Some(Action::Remove),
            What::Set {
                status,
                validity,
                reason,
            } => Some(Action::Set(Entry {
                status: match (kind, *status) {
                    (Some(ListKind::Bindings { .. }), Some(_)) => {
                        return Err(format!(
                            "`{list}` is a list of bindings: a binding has no status of its own"
                        ));
                    }
                    (Some(ListKind::Bindings { mismatch, .. }), None) => mismatch,
                    (_, Some(status)) => status,
                    (Some(ListKind::Rules { status }), None) => status,
                    // It is refused.
                    (None, None) => Status::Blacklisted,
                },
                validity: *validity,
                reason: reason.clone(),
                exceptions: exceptions.into(),
            })),
        };
        if let Some(Action::Set(entry)) = &action
            && entry.status != Status::Blacklisted
            && !entry.exceptions.is_empty()
        {
            return Err(format!(
                "an IMSI is excepted from a blacklisting, and this is {}",
                entry.status
            ));
        }
        let by = Arc::clone(by);
        let edit = match action {
            None => Edit::Undo(subject),
            Some(action) => Edit::Change(Arc::new(Change {
                number,
                time,
                by: Arc::clone(&by),
                subject,
                action,
            })),
        };
        Ok(Step {
            number,
            time,
            by,
            edit,
        })
    }
}

//----------- Changes ---------------------------------------------------------

/// What was changed, beside the register in which it is in force.
pub struct Changes {
    /// Where it is in force.
    register: Arc<Register>,
    /// All of it, whether the lists are there or not.
    live: Mutex<Live>,
    /// What scatters it.
    secret: [u64; 2],
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
            live: Mutex::new(live),
            secret,
        }
    }

    /// Publishes another rulebook with all changes above it. Returns what it has
    /// replaced, and the changes that are not in effect.
    #[must_use]
    pub fn install(&self, rulebook: &Rulebook) -> (Arc<Rulebook>, Vec<Misfit>) {
        let live = self.live();
        let (rulebook, misfits) = laid_above(rulebook, &live, self.secret);
        (self.register.publish(rulebook), misfits)
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts steps in force: the overlay with them is `next` above `base`.
    /// Returns what was replaced.
    fn publish(&self, steps: &[Step], base: &Rulebook, next: Overlay) -> Arc<Rulebook> {
        let mut live = self.live();
        steps.iter().for_each(|step| live.take(step));
        let current = Arc::clone(&self.register.load());
        if current.shares_base(base) {
            return self.register.publish(current.with_overlay(next));
        }
        // Others lists were published meanwhile.
        let (rulebook, _) = laid_above(&current, &live, self.secret);
        self.register.publish(rulebook)
    }

    /// What was changed.
    fn live(&self) -> MutexGuard<'_, Live> {
        // Nothing in between is half done: at worst a step is in the journal
        // and not in force.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//----------- Keeper ----------------------------------------------------------

/// What came of a request: the numbers of its first and last change, or why
/// none of it was done.
pub type Outcome = Result<(u64, u64), String>;

/// A request on its way.
struct Job {
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
        let _ = self.jobs.send(Job { by, wishes, reply });
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
        }
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
            let first = match self.retired.is_empty() {
                true => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => inbox.recv_timeout(RETIRE_POLL),
            };
            match first {
                Ok(first) => self.make(first, inbox),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Checks that what the steps undo was changed, by them, by those before
    /// them in `said`, or earlier: most likely a list or a number is misspelt
    /// otherwise, and the change that was meant would stay in force. Notes what
    /// they say.
    fn check_undone(
        &self,
        steps: &[Step],
        said: &mut HashMap<Subject, bool>,
    ) -> Result<(), String> {
        let mut own = HashMap::new();
        for step in steps {
            let subject = step.edit.subject();
            let is_change = matches!(step.edit, Edit::Change(_));
            let before = own.get(subject).or_else(|| said.get(subject));
            let is_there = || self.changes.live().find(subject).is_some();
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

    /// Makes the changes of a request, and of all that wait behind it.
    fn make(&mut self, first: Job, inbox: &Receiver<Job>) {
        let current = Arc::clone(&self.changes.register.load());
        let snapshot = current.snapshot();
        let overlay = current.overlay().cloned();
        let mut next = overlay.unwrap_or_else(|| Overlay::new(self.changes.secret));
        let mut number = self.changes.live().last();
        let mut steps = Vec::new();
        let mut weight = 0;
        let mut made = Vec::new();
        let mut said = HashMap::new();
        let mut tally = Tally::default();
        let now = Clock::start().now().unix;
        let mut job = Some(first);
        while let Some(Job { by, wishes, reply }) = job {
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
            return;
        }
        let live = || self.changes.live().clone();
        let written = self.log.append(&steps, live, now);
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
            return;
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
            let live = self.changes.live().clone();
            match self.log.rewrite(&live, now) {
                Ok(()) => tracing::info!("the journal of {} changes was written anew", live.len()),
                Err(error) => {
                    tracing::warn!("the journal cannot be written anew, and grows on: {error}");
                }
            }
        }
    }
}

/// The overlay with what is wished, and the steps to it; or why there is none.
fn above<'a>(
    overlay: &Overlay,
    snapshot: &Snapshot,
    wishes: impl ExactSizeIterator<Item = (Numbered<'a>, &'a Wish)>,
) -> Result<(Overlay, Vec<Step>), String> {
    let count = wishes.len();
    let place = |place: usize| match count {
        1 => String::new(),
        _ => format!("change {} of the request: ", place + 1),
    };
    if !(1..=BATCH_MAX).contains(&count) {
        return Err(format!(
            "a request is of 1 to {BATCH_MAX} changes, and this one of {count}"
        ));
    }
    let mut steps = Vec::with_capacity(count);
    for (at, (of, wish)) in wishes.enumerate() {
        let step = wish.step(snapshot, of);
        let step = step.map_err(|why| format!("{}{why}", place(at)))?;
        if !step.is_storable() {
            return Err(format!("{}a name or reason is too long", place(at)));
        }
        steps.push(step);
    }
    let edits: Vec<Edit> = steps.iter().map(|step| step.edit.clone()).collect();
    let above = overlay.with_agreeing(snapshot, &edits);
    let above = above.map_err(|(at, error)| format!("{}{error}", place(at)))?;
    Ok((above, steps))
}
