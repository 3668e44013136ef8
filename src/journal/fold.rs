//! Folding: the changes above a snapshot become a part of one.
//!
//! ```text
//! the thread of changes           a thread for it, which gives way to all others
//!   what is in force ────────────▶ N-D.folded   all changes up to N, in one file
//!   goes on making changes         N-D.weir     the snapshot with them made in it
//!   journal that names both ◀───── both are on the disk
//!   N-D.weir in force, with the changes behind N above it
//! ```
//!
//! D is the digest of the changes' file, which has a random number in it: one fold
//! never writes to the files of another, also where both are up to the same
//! change, as when what was folded has to be folded anew above another snapshot.
//!
//! What counts is the journal. As long as it does not name the files of a fold,
//! they are forgotten at the next start, and all changes are in the journal. From
//! the moment it names them, they hold what it holds no more. The snapshot is a
//! shortcut: it is used if it was made of the very one that the configuration
//! names, and if not, the changes are laid above that as ever.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::above;
use super::disk::{Directory, Disk};
use super::log::{self, LogError};
use crate::changes::{self, Fold, Header, Live, replay};
use crate::compile::{self, Budget, Ledger};
use crate::equipment::{Change, EditError, Overlay, Snapshot};
use crate::load::Origin;
use crate::policy::Rulebook;
use crate::snapfile::{self, Draft, Memory, Residence};
use crate::snapshot::Folded;
use crate::time::UnixTime;

/// How the names of files of changes end.
const CHANGES: &str = ".folded";

/// How the names of snapshots end.
const SNAPSHOT: &str = ".weir";

/// How the names of the files of a fold end.
const ENDS: [&str; 2] = [CHANGES, SNAPSHOT];

/// The name of a file of changes while it is written.
const UNFINISHED: &str = "unfinished.folded";

/// The name of a file of a fold that ends so.
fn name(fold: Fold, end: &str) -> String {
    format!("{}-{:016x}{end}", fold.through, fold.file)
}

/// The snapshot that belongs to a fold.
#[must_use]
pub fn snapshot(dir: &Path, fold: Fold) -> PathBuf {
    dir.join(name(fold, SNAPSHOT))
}

/// The changes of a fold.
///
/// # Errors
///
/// If their file cannot be read, or is not what was written.
pub fn read(disk: &impl Disk, fold: Fold) -> Result<Live, LogError> {
    let name = name(fold, CHANGES);
    let octets = disk.read(&name).map_err(|error| log::at(&name, error))?;
    let damaged = |offset, what| LogError::Damaged {
        name: name.clone(),
        offset,
        what,
    };
    if changes::digest(&octets) != fold.file {
        return Err(LogError::Fold { name });
    }
    let mut live = Live::default();
    let replayed = replay(&octets, |step| live.take(&step));
    let replayed = replayed.map_err(|damage| damaged(damage.offset, damage.what))?;
    live.skip_to(replayed.header.last);
    Ok(live)
}

/// Writes the changes of a fold; they are on the disk when this returns.
///
/// # Errors
///
/// If that cannot be done.
pub fn write(
    disk: &mut impl Disk,
    live: &Live,
    random: fn() -> u64,
    now: UnixTime,
) -> io::Result<Fold> {
    let header = Header {
        file: random(),
        last: live.last(),
        created: now,
        fold: None,
    };
    let mut octets = Vec::new();
    log::compose(live, &header, |more| {
        octets.extend_from_slice(more);
        Ok(())
    })?;
    let fold = Fold {
        through: live.last(),
        file: changes::digest(&octets),
    };
    let placed = place(disk, &octets, &name(fold, CHANGES));
    if placed.is_err() {
        // It takes room that may be what is missing.
        let _ = disk.remove(UNFINISHED);
    }
    placed.map(|()| fold)
}

/// Writes a file as a whole, and brings it to the disk.
fn place(disk: &mut impl Disk, octets: &[u8], name: &str) -> io::Result<()> {
    disk.create(UNFINISHED)?;
    disk.append(UNFINISHED, octets)?;
    disk.sync(UNFINISHED)?;
    disk.rename(UNFINISHED, name)?;
    disk.sync_names()
}

/// Removes the files of a fold. What stays is removed at the next start.
pub(super) fn forget(disk: &mut impl Disk, fold: Fold) {
    for end in ENDS {
        let _ = disk.remove(&name(fold, end));
    }
}

/// Removes all files of folds but those of these, also such as were never
/// finished. None may be under way.
pub(super) fn tidy(disk: &mut impl Disk, kept: &[Fold]) {
    for name in disk.list().unwrap_or_default() {
        let of_snapshot = name.strip_prefix('.');
        let of_snapshot = of_snapshot.and_then(|name| name.strip_suffix(".unfinished"));
        let is_old = match of_fold(&name) {
            Some(fold) => !kept.contains(&fold),
            None => name == UNFINISHED || of_snapshot.and_then(of_fold).is_some(),
        };
        if is_old {
            let _ = disk.remove(&name);
        }
    }
}

/// The fold to which a file of this name belongs.
fn of_fold(name: &str) -> Option<Fold> {
    let stem = ENDS.iter().find_map(|end| name.strip_suffix(end))?;
    let (through, file) = stem.split_once('-')?;
    Some(Fold {
        through: through.parse().ok()?,
        file: u64::from_str_radix(file, 16).ok()?,
    })
}

//----------- Task ------------------------------------------------------------

/// How folding is done.
#[derive(Clone, Debug)]
pub struct Folding {
    /// The directory of the journal.
    pub dir: PathBuf,
    /// How many changes there are when it begins by itself; 0: never.
    pub after: usize,
    /// Where the snapshot is to be while it is served.
    pub memory: Memory,
    /// How much memory it may take.
    pub compile_memory: u64,
}

/// What is to be folded.
#[derive(Debug)]
pub(super) struct Task {
    /// How.
    pub(super) folding: Folding,
    /// What is in force. Not the one that others wait for to be free.
    pub(super) rulebook: Rulebook,
    /// What its snapshot is.
    pub(super) origin: Arc<Origin>,
    /// The changes above it.
    pub(super) live: Live,
    /// Those that are folded already.
    pub(super) fold: Option<Fold>,
    /// What scatters changes.
    pub(super) secret: [u64; 2],
    /// The time.
    pub(super) now: UnixTime,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Made {
    /// What was in force.
    pub(super) rulebook: Rulebook,
    /// The files.
    pub(super) fold: Fold,
    /// The snapshot of them.
    pub(super) snapshot: Snapshot,
    /// Where that is.
    pub(super) residence: Residence,
}

impl Task {
    /// Does it.
    ///
    /// # Errors
    ///
    /// Why it cannot be done. What it has left then is for the thread of changes
    /// to remove, which knows what the journal names.
    pub(super) fn run(self) -> Result<Made, String> {
        let mut disk = Directory::read_only(&self.folding.dir);
        let told = |error: LogError| {
            let dir = self.folding.dir.display().to_string();
            error.within(&dir).to_string()
        };
        let all = match self.fold {
            None => self.live.clone(),
            Some(fold) => read(&disk, fold).map_err(told)?.followed_by(&self.live),
        };
        let fold = write(&mut disk, &all, super::random, self.now);
        let fold = fold.map_err(|error| format!("{}: {error}", self.folding.dir.display()))?;
        drop(all);
        let (snapshot, residence) = self.make(fold)?;
        Ok(Made {
            rulebook: self.rulebook,
            fold,
            snapshot,
            residence,
        })
    }

    /// Makes the snapshot, and brings it into memory.
    fn make(&self, fold: Fold) -> Result<(Snapshot, Residence), String> {
        let base = self.rulebook.snapshot();
        let changes = self.live.in_order().cloned();
        let (overlay, misfits) = Overlay::of_those_that_fit(self.secret, base, changes);
        // What would be left out here is in effect in the register.
        if let Some((_, why)) = misfits
            .iter()
            .find(|(_, why)| *why == EditError::Unreadable)
        {
            return Err(why.to_string());
        }
        // They stay in the file of folded changes, but whoever starts with the
        // snapshot does not lay them above it, and so is not told of them.
        for warning in above::told(&misfits) {
            tracing::warn!("folding: {warning}");
        }
        let misfits: HashSet<u64> = misfits.iter().map(|(misfit, _)| misfit.number).collect();
        let is_in_effect = |change: &&Arc<Change>| !misfits.contains(&change.number);
        let path = snapshot(&self.folding.dir, fold);
        let draft = Draft::begin(&path)?;
        let budget = Budget {
            memory: self.folding.compile_memory,
            dir: self.folding.dir.clone(),
            // It is in nobody's way, and nobody waits for it.
            threads: 1,
            ledger: Ledger::default(),
            ahead: Some(draft.ahead()),
        };
        let changes = self.live.in_order().filter(is_in_effect);
        let (folded, shelf) = compile::fold(base, &overlay, changes, budget)?;
        let mut provenance = self.origin.provenance.clone();
        provenance.folded = Some(Folded {
            base: self.origin.base(),
            through: fold.through,
            file: fold.file,
        });
        draft.finish((&folded, &shelf), &provenance, self.now)?;
        drop((folded, shelf));
        let (stored, residence) = snapfile::read(&path, self.folding.memory)?;
        Ok((stored.snapshot, residence))
    }
}
