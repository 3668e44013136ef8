//! Whether a snapshot is read into memory or mapped.
//!
//! | | read | mapped |
//! |---|---|---|
//! | memory | its own; of old and new, both for a while | that of the page cache, once for all |
//! | loading | as fast as memory is copied | no slower than it is checked |
//! | lookups | huge pages | huge pages if the page cache has them, else up to twice as slow |
//! | the file is replaced by another name | nothing happens | nothing happens |
//! | the file is written to or cut short in place | nothing happens | wrong answers, or SIGBUS ends the server, unless it is guarded |
//!
//! A mapping is guarded by a lease, see `guard`: whoever wants to write to the
//! file waits until its content has been copied into memory.

use core::fmt;
use std::fs::{self, File};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::mapping::Mapping;

/// `snapshot_memory`: where the octets of a snapshot are while it is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// Mapped if it can be guarded and stands on huge pages; otherwise read if
    /// there is memory for it.
    #[default]
    Auto,
    /// In memory of the server's own.
    Read,
    /// In the page cache.
    Map,
}

/// Where the octets of a snapshot are, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// Read into memory.
    Read(&'static str),
    /// Mapped and guarded against others who write to the file.
    Guarded(&'static str),
    /// Mapped, and nothing keeps others from writing to the file.
    Mapped(&'static str),
}

impl fmt::Display for Residence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(why) => write!(f, "read into memory, {why}"),
            Self::Guarded(why) => write!(f, "mapped and guarded by a lease, {why}"),
            Self::Mapped(why) => write!(
                f,
                "mapped, {why}; replace the file by another only (rename), as `weir compile` does: \
                 whoever writes to it in place ends the server"
            ),
        }
    }
}

/// Octets up to which a file is always read unless it is to be mapped: that takes
/// hundredths of a second.
const READ_MAX: u64 = 64 * 1024 * 1024;

/// How much more memory than the file is long has to be there, as a divisor:
/// the server, its connections and the page cache want some, too.
const RESERVE: u64 = 8;

/// Why a file is read or mapped.
const CONFIGURED: &str = "as `snapshot_memory` says";
/// See [`CONFIGURED`].
const SMALL: &str = "as it is small";

impl Memory {
    /// Maps a file of this length if that is the way, and tells why.
    pub(super) fn choose(self, file: &File, length: u64) -> (Option<Arc<Mapping>>, Residence) {
        match self {
            Self::Read => (None, Residence::Read(CONFIGURED)),
            Self::Auto if length <= READ_MAX => (None, Residence::Read(SMALL)),
            Self::Auto | Self::Map => match Mapping::new(file, length) {
                None => (
                    None,
                    Residence::Read("as the system does not map this file"),
                ),
                Some(mapping) => self.keep(mapping, length),
            },
        }
    }

    /// Keeps a mapping, or gives it up.
    fn keep(self, mapping: Arc<Mapping>, length: u64) -> (Option<Arc<Mapping>>, Residence) {
        #[cfg(all(target_os = "linux", feature = "server"))]
        let is_guarded = super::guard::guard(&mapping);
        #[cfg(not(all(target_os = "linux", feature = "server")))]
        let is_guarded = false;
        match (self, is_guarded) {
            (Self::Map, true) => (Some(mapping), Residence::Guarded(CONFIGURED)),
            (Self::Map, false) => (Some(mapping), Residence::Mapped(CONFIGURED)),
            (_, true) => (
                Some(mapping),
                Residence::Guarded("so that it takes no second place in memory"),
            ),
            (_, false) if has_room(length) => (
                None,
                Residence::Read(
                    "as no lease is to be had on the file (it is not this user's, or is open for \
                     writing)",
                ),
            ),
            (_, false) => (
                Some(mapping),
                Residence::Mapped("as there is not enough memory to read it"),
            ),
        }
    }

    /// Why a file that was mapped should be read after all.
    pub(super) fn repents(self, mapping: &Mapping, length: u64) -> Option<Residence> {
        let repents = self == Self::Auto && !mapping.is_huge() && has_room(length);
        repents.then_some(Residence::Read(
            "as the page cache has it on small pages, which are slower",
        ))
    }
}

/// Whether there is memory for a file of this length beside everything else.
pub(super) fn has_room(length: u64) -> bool {
    available().is_some_and(|available| length.saturating_add(length / RESERVE) <= available)
}

/// The octets that can be had without anybody losing theirs: of the machine, and
/// of the control group that a container is.
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = |line: &str| {
        let number = line.strip_prefix("MemAvailable:")?.trim();
        number.strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let machine = text.lines().find_map(kilobytes)?.saturating_mul(1024);
    let of_group = |name: &str| {
        let text = fs::read_to_string(format!("/sys/fs/cgroup/memory.{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    Some(match (of_group("max"), of_group("current")) {
        (Some(most), Some(used)) => machine.min(most.saturating_sub(used)),
        _ => machine,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_apart_from_too_much() {
        assert!(has_room(4096));
        assert!(!has_room(u64::MAX / 2));
    }
}
