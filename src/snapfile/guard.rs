//! A guard for files that are mapped.
//!
//! Whoever copies a new snapshot over the one that is served, instead of renaming
//! it, cuts the file short first, and to read what was mapped of it would end the
//! server (SIGBUS). So the server takes a *lease* on the file: the kernel lets
//! others that open it for writing wait, for 45 seconds (`lease-break-time`), until
//! the lease is given back. In that time its content is copied into memory, which
//! takes the place of the mapping.
//!
//! A lease is had on files of one's own only (or with `CAP_LEASE`), on local file
//! systems, and while nobody writes to them.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::mapping::Mapping;
use super::memory::has_room;
use crate::equipment::devices::Region;

/// How often a guard looks whether somebody waits: nobody waits much longer for
/// it, and it costs nothing.
const POLL: Duration = Duration::from_millis(500);

/// Says which signal tells of it: `F_SETSIG` of Linux, which `libc` does not have.
const F_SETSIG: libc::c_int = 10;

/// Guards a mapping for as long as there is one; false if no lease is to be had.
pub(super) fn guard(mapping: &Arc<Mapping>) -> bool {
    if !lease(mapping.file()) {
        return false;
    }
    let weak = Arc::downgrade(mapping);
    let thread = thread::Builder::new().name("guard".to_owned());
    let spawned = thread.spawn(move || watch(&weak));
    if spawned.is_err() {
        give_back(mapping.file());
    }
    spawned.is_ok()
}

/// Waits for somebody who wants to write to the file.
fn watch(mapping: &Weak<Mapping>) {
    let mut is_told = false;
    loop {
        thread::sleep(POLL);
        let Some(mapping) = mapping.upgrade() else {
            return;
        };
        if !is_wanted(mapping.file()) {
            continue;
        }
        if !has_room(mapping.octets().len() as u64) {
            if core::mem::replace(&mut is_told, true) {
                continue;
            }
            tracing::error!(
                "somebody writes to the snapshot in force, and there is no memory to copy it into: \
                 stop them, and rename the new file over the old one instead, or the server ends"
            );
        } else if mapping.take_over() {
            give_back(mapping.file());
            tracing::warn!(
                "somebody writes to the snapshot in force, so it was copied into memory; rename the \
                 new file over the old one instead"
            );
            return;
        }
    }
}

/// Takes a lease on a file that is open for reading.
fn lease(file: &File) -> bool {
    // The signal by which the kernel tells of somebody who waits is to be one
    // that does nothing, and is set before there can be any.
    fcntl(file, F_SETSIG, libc::SIGURG) == Some(0)
        && fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) == Some(0)
}

/// Gives a lease back, if there is one.
pub(super) fn give_back(file: &File) {
    fcntl(file, libc::F_SETLEASE, libc::F_UNLCK);
}

/// Whether somebody waits for a lease to be given back.
fn is_wanted(file: &File) -> bool {
    fcntl(file, libc::F_GETLEASE, 0) == Some(libc::F_UNLCK)
}

/// Calls the system; `None` on an error.
fn fcntl(file: &File, command: libc::c_int, argument: libc::c_int) -> Option<libc::c_int> {
    // SAFETY: a file that is open, and commands that take a number.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    (result >= 0).then_some(result)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    /// Whoever opens the file for writing waits, and what is mapped stays.
    #[test]
    fn a_file_can_be_cut_short_under_a_guard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [7; 100_000]).unwrap();
        let file = File::open(&path).unwrap();
        let mapping = Mapping::new(&file, 100_000).unwrap();
        if !guard(&mapping) {
            // Not every file system has leases.
            return;
        }
        let mut over = File::create(&path).unwrap();
        over.write_all(b"new").unwrap();
        assert!(mapping.octets()[..100_000].iter().all(|&octet| octet == 7));
    }

    /// Nobody waits for what is not mapped any more, though the file is open.
    #[test]
    fn a_guard_ends_with_its_mapping() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [7; 5000]).unwrap();
        let file = File::open(&path).unwrap();
        let mapping = Mapping::new(&file, 5000).unwrap();
        let is_guarded = guard(&mapping);
        let write = || {
            // Told instead of having to wait.
            let mut options = File::options();
            options
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(&path)
        };
        assert_eq!(write().is_err(), is_guarded);
        drop(mapping);
        write().unwrap();
        drop(file);
    }
}
