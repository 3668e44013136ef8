//! The directories in which files may change, and who tells when they do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::Reloader;
use super::requests::Request;
use crate::load;

/// Directories to be watched, by device and inode: another directory may take
/// a name, while the watch stays with the old one.
pub(super) type Watches = BTreeMap<(u64, u64), (Depth, PathBuf)>;

/// How far below a directory is watched, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// The entries of the directory.
    Itself,
    /// The directories in it as well, and so on.
    AllBelow,
}

impl Reloader {
    /// The directories to be watched: those of lists with all below them, and
    /// the others, whose entries lead to a file, without.
    pub(super) fn watches(&self) -> Watches {
        if !self.wanted.register.watch {
            return Watches::new();
        }
        let mut dirs = BTreeSet::new();
        let mut enter = |path: &Path| {
            if let Some(dir) = path.parent() {
                // An empty parent is the working directory.
                let here = dir.as_os_str().is_empty();
                let dir = if here { Path::new(".") } else { dir };
                dirs.insert((Depth::Itself, dir.to_owned()));
            }
        };
        let lists = load::watched_dirs(&self.wanted);
        for path in &lists {
            // Where a directory appears, or another one takes its name.
            enter(path);
            path.ancestors()
                .filter(|path| !path.as_os_str().is_empty())
                .filter(|path| path.is_symlink() || !path.exists())
                .for_each(&mut enter);
        }
        for path in self.path.iter().chain(&load::files(&self.wanted)) {
            if let (true, Ok(target)) = (path.is_symlink(), path.canonicalize()) {
                enter(&target);
            }
        }
        self.wanted.snapshot().as_deref().map(&mut enter);
        self.path.as_deref().map(enter);
        dirs.extend(lists.into_iter().map(|dir| (Depth::AllBelow, dir)));
        // A directory is watched once, however many names it has, and with all
        // below it if any of them asks for that.
        let mut watches = BTreeMap::new();
        for (depth, dir) in dirs {
            if let Some(of) = fs::metadata(&dir).ok().filter(fs::Metadata::is_dir) {
                watches.insert((of.dev(), of.ino()), (depth, dir));
            }
        }
        watches
    }

    /// Watches these directories.
    pub(super) fn watch(
        &self,
        watches: &Watches,
        requests: &Sender<Request>,
    ) -> Option<RecommendedWatcher> {
        if watches.is_empty() {
            return None;
        }
        let requests = requests.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            // An error may mean that events were lost: look at the files.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                let _ = requests.send(Request::Touched);
            }
        };
        let mut watcher = notify::recommended_watcher(on_event)
            .inspect_err(|error| {
                tracing::warn!("files are not watched ({error}); use SIGHUP to reload");
            })
            .ok()?;
        for (depth, dir) in watches.values() {
            let mode = match depth {
                Depth::Itself => RecursiveMode::NonRecursive,
                Depth::AllBelow => RecursiveMode::Recursive,
            };
            if let Err(error) = watcher.watch(dir, mode) {
                tracing::warn!(
                    "{} is not watched: {error}; use SIGHUP to reload",
                    dir.display()
                );
            }
        }
        Some(watcher)
    }
}
