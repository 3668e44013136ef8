//! The files of the lists, or the snapshot, that were in force, kept so that they
//! can be put back.
//!
//! ```text
//! state_dir/
//!   7/                 one load, numbered as they came
//!     manifest.toml    when, the entries of each list, the files with checksums
//!     0, 1, …          the files, byte by byte
//!     refused          there if another load was put back in its place
//!   8/
//!   restored           the number of a load that was put back and not yet used
//!   lock               locked while a server uses the directory
//! ```
//!
//! A load is written to a directory with another name first and renamed when
//! all of it is on the disk, so that what has a number is whole. The files are
//! copies: a link would change with a list that is written in place. Where the
//! file system can share what two files have in common, as XFS and Btrfs can, a
//! copy takes no room, which a large snapshot is glad of. What has not changed
//! since the load before is linked to its copy, which nobody writes to.
//!
//! No two loads hold the same files: what is put back and used becomes the newest
//! load, and the older one of the same files goes. So going back takes no place
//! from what one may go back to.

mod disk;

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use self::disk::{
    checksum, copy_file, keep_as, prepare, put_back, remove_dir, remove_file, sync_dir, told,
};
use crate::config::Config;
use crate::lists::LoadReport;
use crate::load::{self, Previous};
use crate::snapshot::MAGIC;
use crate::time::UnixTime;

/// What the directory of a load tells about it.
const MANIFEST: &str = "manifest.toml";

/// The name of a load while it is written.
const UNFINISHED: &str = "unfinished";

/// Tells which load was put back, until it is in force.
const RESTORED: &str = "restored";

/// Marks a load that another was put back in the place of.
const REFUSED: &str = "refused";

/// Locked by the server that uses the directory.
const LOCK: &str = "lock";

/// How often the lock is tried, and how long it takes until it is tried again.
const LOCK_TRIES: u32 = 40;
/// See [`LOCK_TRIES`].
const LOCK_PAUSE: Duration = Duration::from_millis(50);

//----------- Manifest --------------------------------------------------------

/// One load that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// When it was published, in seconds since 1970.
    pub time: i64,
    /// How many entries each list had.
    pub entries: std::collections::BTreeMap<String, u64>,
    /// The files of all lists.
    #[serde(rename = "file", default)]
    pub files: Vec<Kept>,
}

impl Manifest {
    /// Whether the files are those of another load.
    fn has_files_of(&self, other: &Self) -> bool {
        self.files.len() == other.files.len()
            && (self.files.iter().zip(&other.files)).all(|(one, other)| one.what() == other.what())
    }
}

/// A file that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Where it stood.
    pub path: PathBuf,
    /// Its bytes.
    pub length: u64,
    /// Their checksum.
    pub crc32: u32,
    /// When it was changed last and its inode; tells whether it has to be
    /// copied again.
    pub changed: String,
}

impl Kept {
    /// What does not change with the time at which it was written.
    fn what(&self) -> (&Path, u64, u32) {
        (&self.path, self.length, self.crc32)
    }

    /// Whether the file is in its place, as it was.
    fn is_in_place(&self) -> bool {
        let Ok((length, changed)) = stamp(&self.path) else {
            return false;
        };
        length == self.length
            && (changed == self.changed
                || checksum(&self.path).is_ok_and(|now| now == (self.length, self.crc32)))
    }
}

/// What the files of the lists are before they are read: what is kept must be
/// what was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamps(Vec<(PathBuf, u64, String)>);

impl Stamps {
    /// The files of a configuration as they are now.
    #[must_use]
    pub fn take(config: &Config) -> Self {
        Self::of(files(config))
    }

    /// Files as they are now; those that are not there are left out.
    #[must_use]
    pub fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let stamps = paths.into_iter().filter_map(|path| {
            let (length, changed) = stamp(&path).ok()?;
            Some((path, length, changed))
        });
        Self(stamps.collect())
    }
}

/// Length of a file, and what tells whether it is still the same: the time of
/// its last change and its inode. The time of writing is not enough, as copying
/// programs set it to that of the file that they copy.
fn stamp(path: &Path) -> io::Result<(u64, String)> {
    let of = fs::metadata(path)?;
    let changed = format!("{}.{:09} {}", of.ctime(), of.ctime_nsec(), of.ino());
    Ok((of.len(), changed))
}

//----------- Lock ------------------------------------------------------------

/// A directory of loads that no other server uses, for as long as this lives.
///
/// It is a lock of the system on a file, so that it ends with the process
/// however that ends.
#[derive(Debug)]
pub struct Lock {
    /// The directory.
    dir: PathBuf,
    /// The file that is locked while it is open.
    _file: File,
}

impl Lock {
    /// Whether the directory is that of `state`.
    pub(crate) fn is_of(&self, state: &State) -> bool {
        self.dir == state.dir
    }
}

//----------- State -----------------------------------------------------------

/// The directory in which loads are kept.
#[derive(Clone, Debug)]
pub struct State {
    /// Where it is.
    dir: PathBuf,
    /// How many loads are kept.
    keep: usize,
}

impl State {
    /// That of a configuration, if it has one.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        Some(Self {
            dir: config.state_dir()?,
            keep: config.register.keep,
        })
    }

    /// Whether the files of a load are in place, as they were, and no others.
    #[must_use]
    pub fn is_in_place(&self, manifest: &Manifest, config: &Config) -> bool {
        let is_kept = |path: &PathBuf| manifest.files.iter().any(|kept| kept.path == *path);
        files(config).iter().all(is_kept) && manifest.files.iter().all(Kept::is_in_place)
    }

    /// Whether another load was put back in the place of this one.
    #[must_use]
    pub fn is_refused(&self, number: u64) -> bool {
        self.mark(number).exists()
    }

    /// Why a load cannot be put back under a configuration: it is of lists where
    /// a snapshot is served, or the other way round. The message names the key.
    #[must_use]
    pub fn misfit(&self, number: u64, manifest: &Manifest, config: &Config) -> Option<String> {
        match (config.snapshot(), self.snapshot_of(number, manifest)) {
            (None, None) => None,
            (Some(_), _)
                if manifest
                    .files
                    .iter()
                    .map(|kept| &kept.path)
                    .eq(&files(config)) =>
            {
                None
            }
            (Some(_), None) => Some(format!(
                "load {number} is of lists; take `snapshot` out of [register] to go back to it"
            )),
            (_, Some(path)) => Some(format!(
                "load {number} is of the snapshot {path}; write `snapshot = \"{path}\"` in [register] to go back to it",
                path = path.display()
            )),
        }
    }

    /// The path of the snapshot that a load is of, if it is not of lists.
    fn snapshot_of<'a>(&self, number: u64, manifest: &'a Manifest) -> Option<&'a Path> {
        let [only] = manifest.files.as_slice() else {
            return None;
        };
        let mut magic = [0; MAGIC.len()];
        let mut file = File::open(self.file(number, 0)).ok()?;
        file.read_exact(&mut magic).ok()?;
        (magic == MAGIC).then_some(only.path.as_path())
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes the directory for this process alone; `None` if another has it, and
    /// still has it some two seconds later: one that was killed takes a moment to
    /// end, and the next one is often started within it.
    ///
    /// # Errors
    ///
    /// When nothing can be written there.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        fs::create_dir_all(&self.dir)?;
        let file = File::create(self.dir.join(LOCK))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => {
                    return Ok(Some(Lock {
                        dir: self.dir.clone(),
                        _file: file,
                    }));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The numbers of the loads that are kept, the oldest first.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read. That there is none yet is no error.
    pub fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
            numbers.extend(number.filter(|number| name == *number.to_string()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What is known of one load.
    ///
    /// # Errors
    ///
    /// When there is none of this number, or its manifest cannot be read; the
    /// message names the file.
    pub fn manifest(&self, number: u64) -> io::Result<Manifest> {
        let path = self.load(number).join(MANIFEST);
        let named = |error: io::Error| io::Error::new(error.kind(), told(&path, &error));
        let text = fs::read_to_string(&path).map_err(named)?;
        toml::from_str(&text)
            .map_err(|error| named(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// The newest load that is whole.
    #[must_use]
    pub fn newest(&self) -> Option<(u64, Manifest)> {
        let numbers = self.numbers().ok()?;
        let mut newest = numbers.into_iter().rev();
        newest.find_map(|number| Some((number, self.manifest(number).ok()?)))
    }

    /// The entries of the lists that were in force last, as far as is known, or
    /// of those that were put back since.
    #[must_use]
    pub fn previous(&self) -> Previous {
        self.restored().unwrap_or_else(|| Previous {
            entries: (self.newest()).map_or_else(Default::default, |(_, newest)| newest.entries),
        })
    }

    /// The entries of the load that was put back, if it is not in force yet: to
    /// it the lists are held, as what is in force is what was not wanted.
    #[must_use]
    pub fn restored(&self) -> Option<Previous> {
        let number = fs::read_to_string(self.dir.join(RESTORED)).ok()?;
        let Manifest { entries, .. } = self.manifest(number.trim().parse().ok()?).ok()?;
        Some(Previous { entries })
    }

    /// Notes that what was put back is in force, or something newer.
    ///
    /// # Errors
    ///
    /// When the note cannot be removed.
    pub fn settle(&self) -> io::Result<()> {
        remove_file(&self.dir.join(RESTORED))
    }

    //--- Keeping

    /// Keeps the files of a load that was published; `stamps` are of before it
    /// was read. Returns its number, or none if the files have changed since
    /// (there will be another load) or hold what those of the newest load do.
    ///
    /// # Errors
    ///
    /// When something cannot be written. What was kept before stays as it is.
    pub fn save(
        &self,
        stamps: &Stamps,
        report: &LoadReport,
        now: UnixTime,
    ) -> io::Result<Option<u64>> {
        let newest = self.newest();
        let same = |(_, manifest): &(u64, Manifest)| {
            manifest.entries == Previous::of(report).entries
                && manifest.files.len() == stamps.0.len()
                && (manifest.files.iter().zip(&stamps.0)).all(|(kept, stamp)| is_same(kept, stamp))
        };
        if let Some((number, _)) = newest.as_ref().filter(|newest| same(newest)) {
            // It is in force, whatever was thought of it before.
            remove_file(&self.mark(*number))?;
            return Ok(None);
        }
        let unfinished = self.dir.join(UNFINISHED);
        remove_dir(&unfinished)?;
        fs::create_dir_all(&unfinished)?;
        let mut files = Vec::new();
        for (place, (path, length, changed)) in stamps.0.iter().enumerate() {
            let copy = unfinished.join(place.to_string());
            let before = newest.as_ref().and_then(|(number, manifest)| {
                let wanted = (path.clone(), *length, changed.clone());
                let place = (manifest.files.iter()).position(|kept| is_same(kept, &wanted))?;
                let crc32 = manifest.files.get(place)?.crc32;
                Some((self.file(*number, place), crc32))
            });
            let crc32 = match before {
                Some((kept, crc32)) if fs::hard_link(&kept, &copy).is_ok() => crc32,
                _ => copy_file(path, &copy)?,
            };
            if stamp(path).ok() != Some((*length, changed.clone())) {
                fs::remove_dir_all(&unfinished)?;
                return Ok(None);
            }
            files.push(Kept {
                path: path.clone(),
                length: *length,
                crc32,
                changed: changed.clone(),
            });
        }
        let manifest = Manifest {
            time: now.0,
            entries: Previous::of(report).entries,
            files,
        };
        // The same files in a new place, or touched: what is kept would only
        // push out what is older.
        let as_before = |(_, newest): &(u64, Manifest)| {
            newest.entries == manifest.entries && newest.has_files_of(&manifest)
        };
        if let Some((number, _)) = newest.as_ref().filter(|newest| as_before(newest)) {
            fs::remove_dir_all(&unfinished)?;
            remove_file(&self.mark(*number))?;
            return Ok(None);
        }
        let text = toml::to_string(&manifest).map_err(io::Error::other)?;
        let mut file = File::create_new(unfinished.join(MANIFEST))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync_dir(&unfinished)?;
        let older = self.numbers()?;
        let number = older.last().map_or(1, |last| last + 1);
        fs::rename(&unfinished, self.load(number))?;
        sync_dir(&self.dir)?;
        self.forget(&older, &manifest)?;
        Ok(Some(number))
    }

    /// Removes what there is no place for beside the newest load: those of the
    /// same files, then, as far as they are too many, those that nobody goes
    /// back to, as they were refused or cannot be read, then the oldest.
    fn forget(&self, older: &[u64], newest: &Manifest) -> io::Result<()> {
        let mut others = Vec::new();
        for &number in older {
            let manifest = self.manifest(number);
            match &manifest {
                Ok(manifest) if manifest.has_files_of(newest) => self.remove(number)?,
                _ => others.push((manifest.is_ok() && !self.is_refused(number), number)),
            }
        }
        others.sort_unstable();
        let excess = (others.len() + 1).saturating_sub(self.keep);
        let mut excess = others.iter().take(excess);
        excess.try_for_each(|(_, number)| self.remove(*number))
    }

    /// Removes a load: first its number, as what has one is whole.
    fn remove(&self, number: u64) -> io::Result<()> {
        let unfinished = self.dir.join(UNFINISHED);
        remove_dir(&unfinished)?;
        fs::rename(self.load(number), &unfinished)?;
        remove_dir(&unfinished)
    }

    /// The directory of a load.
    fn load(&self, number: u64) -> PathBuf {
        self.dir.join(number.to_string())
    }

    /// What marks a load that was refused.
    fn mark(&self, number: u64) -> PathBuf {
        self.load(number).join(REFUSED)
    }

    /// Where a file of a load is.
    fn file(&self, number: u64, place: usize) -> PathBuf {
        self.load(number).join(place.to_string())
    }

    //--- Restoring

    /// Puts the files of a load back in place. Files that are there and differ,
    /// or that are in no way part of that load, are set aside as `*.refused`.
    /// The loads that are newer, and what is in place, count as refused then; a
    /// load that was refused itself no longer does.
    ///
    /// All copies are checked before the first file is touched; each file is
    /// replaced at once.
    ///
    /// # Errors
    ///
    /// When a copy is damaged, or something cannot be written; the message
    /// names the file.
    pub fn restore(&self, number: u64, config: &Config) -> Result<Restored, String> {
        let manifest = self
            .manifest(number)
            .map_err(|error| format!("load {number}: {error}"))?;
        for (place, kept) in manifest.files.iter().enumerate() {
            let copy = self.file(number, place);
            let sum = checksum(&copy).map_err(|error| format!("{}: {error}", copy.display()))?;
            if sum != (kept.length, kept.crc32) {
                return Err(format!(
                    "{}: is damaged; go back to another load",
                    copy.display()
                ));
            }
        }
        let mut restored = Restored::default();
        // All copying is done before the first list changes: a server that
        // watches its files must not see some of them missing for long.
        let mut ready = Vec::new();
        for (place, kept) in manifest.files.iter().enumerate() {
            let path = &kept.path;
            let there = checksum(path).ok();
            if there == Some((kept.length, kept.crc32)) {
                restored.unchanged.push(path.clone());
                continue;
            }
            let copy = self.file(number, place);
            let unfinished = prepare(&copy, path).map_err(|error| told(path, &error))?;
            ready.push((path, unfinished, there.is_some()));
        }
        let mut marks = self.refused_by(number, &manifest, config);
        let note = self.dir.join(RESTORED);
        fs::write(&note, number.to_string()).map_err(|error| told(&note, &error))?;
        // A load that a server has removed meanwhile needs none.
        marks.retain(|mark| File::create_new(mark).is_ok());
        let result = exchange(&manifest, config, ready, &mut restored);
        match result {
            Ok(()) => remove_file(&self.mark(number)).map_err(|error| told(&self.dir, &error))?,
            Err(_) => {
                // The lists are not those of the load, and not to be held to it.
                let _ = remove_file(&note);
                for mark in marks {
                    let _ = remove_file(&mark);
                }
            }
        }
        result.map(|()| restored)
    }

    /// The marks of the loads that count as refused when this one is put back.
    fn refused_by(&self, number: u64, wanted: &Manifest, config: &Config) -> Vec<PathBuf> {
        // Whoever goes back on a refusal refuses nothing.
        if self.is_refused(number) {
            return Vec::new();
        }
        let numbers = self.numbers().unwrap_or_default().into_iter();
        let is_refused = |other: &u64| {
            self.manifest(*other).is_ok_and(|manifest| {
                !manifest.has_files_of(wanted)
                    && self.misfit(*other, &manifest, config).is_none()
                    && (*other > number || self.is_in_place(&manifest, config))
            })
        };
        let refused = numbers.filter(is_refused);
        refused.map(|other| self.mark(other)).collect()
    }
}

/// Puts the files that are `ready` in their places, and sets aside what differs
/// or is in no way part of a load.
fn exchange(
    manifest: &Manifest,
    config: &Config,
    ready: Vec<(&PathBuf, PathBuf, bool)>,
    restored: &mut Restored,
) -> Result<(), String> {
    let is_kept = |path: &Path| manifest.files.iter().any(|kept| kept.path == path);
    for path in files(config) {
        if !is_kept(&path) && path.exists() {
            let aside = set_aside(&path, config, |from, to| fs::rename(from, to))
                .map_err(|error| told(&path, &error))?;
            restored.set_aside.push((path, aside));
        }
    }
    for (path, unfinished, is_there) in ready {
        if is_there {
            let aside = set_aside(path, config, keep_as).map_err(|error| told(path, &error))?;
            restored.set_aside.push((path.clone(), aside));
        }
        put_back(&unfinished, path).map_err(|error| told(path, &error))?;
        restored.restored.push(path.clone());
    }
    Ok(())
}

/// What was done to restore a load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Files that were put back.
    pub restored: Vec<PathBuf>,
    /// Files that were as they should be.
    pub unchanged: Vec<PathBuf>,
    /// Files that were moved away, and where to.
    pub set_aside: Vec<(PathBuf, PathBuf)>,
}

//----------- Files -----------------------------------------------------------

/// The files of all lists, by paths that hold wherever a command is run.
fn files(config: &Config) -> Vec<PathBuf> {
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    load::files(config).into_iter().map(absolute).collect()
}

/// Whether a file is still what was kept of it.
fn is_same(kept: &Kept, (path, length, changed): &(PathBuf, u64, String)) -> bool {
    (&kept.path, kept.length, &kept.changed) == (path, *length, changed)
}

/// Moves a file to a name that no list reads, as `move_to` does that; returns
/// the name.
fn set_aside(
    path: &Path,
    config: &Config,
    move_to: impl Fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 0u32;
    loop {
        let suffix = match number {
            0 => ".refused".to_owned(),
            number => format!(".{number}.refused"),
        };
        let aside = path.with_file_name(format!("{name}{suffix}"));
        // A pattern such as `lists/*` reads any name but one with a dot.
        let hidden = path.with_file_name(format!(".{name}{suffix}"));
        if !aside.exists() && !hidden.exists() {
            move_to(path, &aside)?;
            if files(config).contains(&aside) {
                fs::rename(&aside, &hidden)?;
                return Ok(hidden);
            }
            return Ok(aside);
        }
        number += 1;
    }
}

/// The time now, for a manifest.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "a shell: only its callers keep files"
)]
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }))
}
