//! Single changes of the register in force, kept in `state_dir`.
//!
//! ```text
//! weir change ─▶ socket ─▶ control ─▶ keeper ─▶ log ─▶ disk
//!                                       └─▶ Register::publish
//! ```
//!
//! The journal's octets are told in [`changes`](crate::changes); here are the
//! files, the threads and the socket.

pub mod above;
pub mod control;
pub mod disk;
pub mod fold;
pub mod keeper;
pub mod log;
pub mod request;
pub mod wish;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};

use self::disk::Directory;
use self::log::{LogError, Opened};
use crate::changes::Live;
use crate::config::Config;
use crate::error::Failed;
use crate::net::Clock;

/// The directory of the journal, in `state_dir`.
const DIR: &str = "changes";

/// Where the journal of a configuration is, if it has a `state_dir`.
#[must_use]
pub fn dir(config: &Config) -> Option<PathBuf> {
    Some(config.state_dir()?.join(DIR))
}

/// Opens the journal of a configuration that has a `state_dir`, and tells what
/// had to be cut off.
///
/// # Errors
///
/// If it cannot be read or written, or is damaged: a server that went on would
/// answer as if the changes had never been made.
pub fn open(config: &Config) -> Result<Option<Opened<Directory>>, Failed> {
    let Some(path) = dir(config) else {
        return Ok(None);
    };
    let shown = path.display().to_string();
    let without = |error: &dyn std::fmt::Display| {
        tracing::warn!(
            "{shown}: {error}; single changes cannot be kept there, and so not be made: make \
             `state_dir` writable, and restart"
        );
        Ok(None)
    };
    let directory = match Directory::new(&path) {
        Ok(directory) => directory,
        // Then there is no journal either.
        Err(error) if !path.exists() => return without(&error),
        Err(error) => return Err(Failed::new(format!("{shown}: {error}"))),
    };
    let now = Clock::start().now().unix;
    let opened = match log::Log::open(directory, now, random) {
        Ok(opened) => opened,
        Err(LogError::Begin(error)) => return without(&error),
        Err(error) => return Err(Failed::new(error.within(&shown).to_string())),
    };
    if opened.torn > 0 {
        tracing::warn!(
            "{shown}/{}: {} octets of an interrupted write were cut off: nobody was told that \
             these changes were made",
            opened.log.name(),
            opened.torn
        );
    }
    Ok(Some(opened))
}

/// What the journal of a configuration says, whether a server runs or not;
/// nothing if there is no journal.
///
/// # Errors
///
/// If it cannot be read, or is damaged.
pub fn read(config: &Config) -> Result<Live, Failed> {
    let Some(path) = dir(config) else {
        return Ok(Live::default());
    };
    read_dir(&path)
}

/// What the journal in a directory says.
fn read_dir(path: &Path) -> Result<Live, Failed> {
    let shown = path.display().to_string();
    let live = log::read(&Directory::read_only(path));
    live.map_err(|error| Failed::new(error.within(&shown).to_string()))
}

/// A number that nobody can guess.
#[must_use]
pub fn random() -> u64 {
    RandomState::new().hash_one(0)
}
