//! The journal on a disk: appended to, and written anew when it has grown.
//!
//! ```text
//! changes/
//!   7.journal     the journal; the highest number counts
//!   unfinished    the next one while it is written
//!   900-D.folded  changes up to 900, if the journal names this file (`fold`)
//!   900-D.weir    the snapshot in force with these made in it
//! ```
//!
//! What was written before an error is known; what an error has left behind is
//! not. So it is cut off at once, and after an error of waiting for the disk the
//! journal is written anew, to another file and from what is known; no change is
//! taken before that is done.

use std::io;

use thiserror::Error;

use super::disk::Disk;
use super::fold;
use crate::changes::{Composer, Fold, Header, Live, Replay, Step, replay};
use crate::time::UnixTime;

/// How names of journals end.
const SUFFIX: &str = ".journal";

/// The name of a journal while it is written.
const UNFINISHED: &str = "unfinished";

/// A journal is not written anew before it has so many octets: some ten thousand
/// changes, which are read in no time.
const REWRITE_MIN: u64 = 4 * 1024 * 1024;

/// Octets of a change, as they are mostly: when a journal is opened nobody knows
/// how long it would be without what is no longer in force.
const CHANGE_TYPICAL: u64 = 128;

/// Changes in one record of a journal that is written anew.
const RECORD_CHANGES: usize = 4096;

/// A journal that is written to.
#[derive(Debug)]
pub struct Log<D> {
    /// Where it is.
    disk: D,
    /// Its number; 0 as long as there is none.
    number: u64,
    /// Writes its records.
    composer: Composer,
    /// How many octets of it are on the disk, and known.
    length: u64,
    /// How many it had when it was written anew.
    length_at_first: u64,
    /// Whether it is to be written anew before the next change.
    is_doubtful: bool,
    /// Where the changes are that it has not.
    fold: Option<Fold>,
    /// The folds that it or an older one may name, whichever the next start reads:
    /// their files stay.
    named: Vec<Fold>,
    /// Makes numbers of files.
    random: fn() -> u64,
}

/// How to go on without what is damaged: without its header a file is none.
fn remedy(name: &str, offset: usize) -> String {
    match offset {
        0 => format!("remove it with `rm {name}`"),
        _ => format!("cut it off with `truncate -s {offset} {name}`"),
    }
}

/// Why there is no journal to go on with.
#[derive(Debug, Error)]
pub enum LogError {
    /// The directory or a file cannot be read or written.
    #[error("{name}: {error}")]
    Disk {
        /// The file; empty for the directory.
        name: String,
        /// What went wrong.
        error: io::Error,
    },
    /// There is no journal, and none can be begun.
    #[error("{0}")]
    Begin(io::Error),
    /// A journal is damaged.
    #[error(
        "{name} is damaged at octet {offset}: {what}. Put a whole copy of it back; or, to go on \
         without the changes from there on, {}",
        remedy(name, *offset)
    )]
    Damaged {
        /// The file.
        name: String,
        /// Where.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The file of folded changes is not the one that the journal names.
    #[error(
        "{name} is not as it was written, and the journal lacks the changes in it: put a whole copy \
         of it back"
    )]
    Fold {
        /// The file.
        name: String,
    },
}

impl LogError {
    /// The same with the directory before the name.
    #[must_use]
    pub fn within(self, dir: &str) -> Self {
        let path = |name: String| match name.is_empty() {
            true => dir.to_owned(),
            false => format!("{dir}/{name}"),
        };
        match self {
            Self::Disk { name, error } => Self::Disk {
                name: path(name),
                error,
            },
            Self::Begin(error) => Self::Begin(error),
            Self::Fold { name } => Self::Fold { name: path(name) },
            Self::Damaged { name, offset, what } => Self::Damaged {
                name: path(name),
                offset,
                what,
            },
        }
    }
}

/// What is known when a journal was opened.
#[derive(Debug)]
pub struct Opened<D> {
    /// The journal.
    pub log: Log<D>,
    /// What is in force, but for what is folded.
    pub live: Live,
    /// Where the changes are that are folded, if there are any.
    pub fold: Option<Fold>,
    /// The octets of an interrupted write that were cut off.
    pub torn: usize,
}

/// What a journal says, without writing to it. What an interrupted write has
/// left, or one that is under way, is passed over.
///
/// # Errors
///
/// If it cannot be read, or is damaged.
pub fn read(disk: &impl Disk) -> Result<Live, LogError> {
    let mut before = None;
    loop {
        let Some(&number) = numbers(disk)?.last() else {
            return Ok(Live::default());
        };
        let all = load(disk, number).and_then(|(live, replay)| match replay.header.fold {
            None => Ok(live),
            Some(fold) => Ok(fold::read(disk, fold)?.followed_by(&live)),
        });
        match all {
            Ok(live) => return Ok(live),
            // It was written anew meanwhile.
            Err(LogError::Disk { error, .. })
                if error.kind() == io::ErrorKind::NotFound && before != Some(number) =>
            {
                before = Some(number);
            }
            Err(error) => return Err(error),
        }
    }
}

impl<D: Disk> Log<D> {
    /// Opens the journal of a directory, and begins one if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be read or written, or is damaged.
    pub fn open(disk: D, now: UnixTime, random: fn() -> u64) -> Result<Opened<D>, LogError> {
        let numbers = numbers(&disk)?;
        let header = Header {
            file: 0,
            last: 0,
            created: now,
            fold: None,
        };
        let mut log = Self {
            disk,
            number: 0,
            composer: Composer::begin(&header, &mut Vec::new()),
            length: 0,
            length_at_first: 0,
            is_doubtful: false,
            fold: None,
            named: Vec::new(),
            random,
        };
        let Some((&number, older)) = numbers.split_last() else {
            let live = Live::default();
            let begun = log.rewrite(&live, None, now);
            begun.map_err(LogError::Begin)?;
            return Ok(Opened {
                log,
                live,
                fold: None,
                torn: 0,
            });
        };
        let (live, replay) = load(&log.disk, number)?;
        log.number = number;
        log.fold = replay.header.fold;
        log.named.extend(log.fold);
        log.composer = replay.composer;
        log.length = replay.length as u64;
        log.length_at_first = (live.len() as u64).saturating_mul(CHANGE_TYPICAL);
        let name = name(number);
        if replay.torn > 0 {
            let cut = log.disk.truncate(&name, log.length);
            cut.map_err(|error| at(&name, error))?;
        }
        // Of what was read nobody knows whether it has reached the disk.
        log.disk.sync(&name).map_err(|error| at(&name, error))?;
        let synced = log.disk.sync_names();
        synced.map_err(|error| at("", error))?;
        for &older in older {
            log.forget(older);
        }
        log.tidy();
        Ok(Opened {
            fold: log.fold,
            log,
            live,
            torn: replay.torn,
        })
    }

    /// Appends steps, all in one; they are on the disk when this returns. `live`
    /// tells what is in force without them, but for what is folded.
    ///
    /// # Errors
    ///
    /// If that cannot be done: then none of them was made, as far as the disk
    /// can still be told.
    pub fn append(
        &mut self,
        steps: &[Step],
        fold: Option<Fold>,
        live: impl Fn() -> Live,
        now: UnixTime,
    ) -> io::Result<()> {
        if !self.is_certain(fold) {
            self.rewrite(&live(), fold, now)?;
        }
        let mut next = self.composer.clone();
        let mut octets = Vec::new();
        if !next.record(steps, &mut octets) {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let name = name(self.number);
        let written = self.disk.append(&name, &octets);
        let result = match written {
            Ok(()) => self.disk.sync(&name).inspect_err(|_| {
                // What reached the disk is not known any more.
                self.is_doubtful = true;
            }),
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {
                self.composer = next;
                self.length += octets.len() as u64;
            }
            Err(_) => {
                // Of an error here nothing more can be said than of the first.
                self.is_doubtful |= self.disk.truncate(&name, self.length).is_err();
                if self.is_doubtful {
                    // The sooner, the less can be found later that was refused.
                    // If it fails, the next change has it done first.
                    let _ = self.rewrite(&live(), fold, now);
                }
            }
        }
        result
    }

    /// Whether the next start will find the journal as it is known here, and with
    /// the changes of this fold in their own file, if there is one.
    pub(super) fn is_certain(&self, fold: Option<Fold>) -> bool {
        !self.is_doubtful && self.fold == fold
    }

    /// Whether the journal says little for its length.
    pub fn has_grown(&self) -> bool {
        self.length > REWRITE_MIN.max(self.length_at_first.saturating_mul(2))
    }

    /// Writes the journal anew, with no more than what is in force and is not
    /// folded.
    ///
    /// # Errors
    ///
    /// If that cannot be done; then the old one stays, or nobody knows which one
    /// the next start would read, and no change is taken before one is written.
    pub fn rewrite(&mut self, live: &Live, fold: Option<Fold>, now: UnixTime) -> io::Result<()> {
        let result = self.write_anew(live, fold, now);
        if result.is_err() {
            // It takes room that may be what is missing.
            let _ = self.disk.remove(UNFINISHED);
        }
        result
    }

    /// The same, without cleaning up.
    fn write_anew(&mut self, live: &Live, fold: Option<Fold>, now: UnixTime) -> io::Result<()> {
        let header = Header {
            file: (self.random)(),
            last: live.last(),
            created: now,
            fold,
        };
        self.disk.create(UNFINISHED)?;
        let (composer, length) =
            compose(live, &header, |octets| self.disk.append(UNFINISHED, octets))?;
        self.disk.sync(UNFINISHED)?;
        let old = self.number;
        // Of a renaming that fails nobody knows whether it was done.
        self.named
            .extend(fold.filter(|fold| !self.named.contains(fold)));
        let new = name(old + 1);
        if let Err(error) = self.disk.rename(UNFINISHED, &new) {
            // If it was done all the same, what is appended to the old one is lost.
            let names = self.disk.list();
            self.is_doubtful |= names.map_or(true, |names| names.contains(&new));
            return Err(error);
        }
        // From here on it is the one that the next start reads.
        self.number = old + 1;
        self.fold = fold;
        self.composer = composer;
        self.length = length;
        self.length_at_first = length;
        // After a loss of power, it may be the old one as long as the name is
        // not on the disk: until then no change may be taken.
        self.is_doubtful = true;
        self.disk.sync_names()?;
        self.is_doubtful = false;
        for older in numbers(&self.disk).unwrap_or_default() {
            if older < self.number {
                self.forget(older);
            }
        }
        for named in core::mem::take(&mut self.named) {
            if fold != Some(named) {
                fold::forget(&mut self.disk, named);
            }
        }
        self.named.extend(fold);
        Ok(())
    }

    /// Removes a journal that another one has replaced. If it stays, the next
    /// start removes it.
    fn forget(&mut self, number: u64) {
        let _ = self.disk.remove(&name(number));
    }

    /// Removes what folds have left that came to nothing, and none is under way:
    /// whatever no journal may name.
    pub(super) fn tidy(&mut self) {
        fold::tidy(&mut self.disk, &self.named);
    }

    /// The name of the journal that is written to.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.number)
    }
}

/// Writes a journal of what is in force, piece by piece; returns what writes on
/// behind it, and its length.
pub(super) fn compose(
    live: &Live,
    header: &Header,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(Composer, u64)> {
    let changes: Vec<_> = live.in_order().collect();
    let mut octets = Vec::new();
    let mut composer = Composer::begin(header, &mut octets);
    let mut length = octets.len() as u64;
    write(&octets)?;
    for changes in changes.chunks(RECORD_CHANGES) {
        octets.clear();
        let steps: Vec<Step> = changes.iter().copied().map(Step::of).collect();
        composer.record(&steps, &mut octets);
        length += octets.len() as u64;
        write(&octets)?;
    }
    Ok((composer, length))
}

/// Reads a journal.
fn load(disk: &impl Disk, number: u64) -> Result<(Live, Replay), LogError> {
    let name = name(number);
    let octets = disk.read(&name).map_err(|error| at(&name, error))?;
    let mut live = Live::default();
    live.reserve(octets.len() / CHANGE_TYPICAL as usize);
    let replayed = replay(&octets, |step| live.take(&step));
    let replayed = replayed.map_err(|damage| LogError::Damaged {
        name,
        offset: damage.offset,
        what: damage.what,
    })?;
    live.skip_to(replayed.header.last);
    Ok((live, replayed))
}

/// The numbers of the journals, the lowest first.
fn numbers(disk: &impl Disk) -> Result<Vec<u64>, LogError> {
    let names = disk.list().map_err(|error| at("", error))?;
    let numbers = names.iter().filter_map(|name| {
        let number = name.strip_suffix(SUFFIX)?;
        number.parse().ok()
    });
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The name of a journal.
fn name(number: u64) -> String {
    format!("{number}{SUFFIX}")
}

/// An error of a file.
pub(super) fn at(name: &str, error: io::Error) -> LogError {
    LogError::Disk {
        name: name.to_owned(),
        error,
    }
}
