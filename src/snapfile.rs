//! Snapshots in files: read or mapped and checked, and written so that there is
//! the old file or the whole new one, whatever happens.
//!
//! ```text
//! DIR/.NAME.unfinished ── write, fsync ──▶ rename ──▶ DIR/NAME ──▶ fsync of DIR
//!         │ an error: removed
//! ```
//!
//! All messages are complete: they name the file, and say what is wrong.

mod draft;
#[cfg(all(target_os = "linux", feature = "server"))]
mod guard;
#[cfg(target_os = "linux")]
mod mapping;
#[cfg(not(target_os = "linux"))]
#[path = "snapfile/no_mapping.rs"]
mod mapping;
mod memory;
mod reading;

use std::fs;
use std::path::Path;

use crate::equipment::Snapshot;
use crate::snapshot::{Contents, Provenance};
use crate::time::UnixTime;

pub use self::draft::Draft;
pub use self::memory::{Memory, Residence};
pub use self::reading::{is_snapshot, provenance, read, verify};

//----------- Writing ---------------------------------------------------------

/// Writes a snapshot, and puts it in the place of what was there.
///
/// # Errors
///
/// As [`Draft::begin`] and [`Draft::finish`].
pub fn write(
    path: &Path,
    snapshot: &Snapshot,
    provenance: &Provenance,
    created: UnixTime,
) -> Result<Contents, String> {
    Draft::begin(path)?.finish((snapshot, &()), provenance, created)
}

/// Refuses to replace what is no snapshot: a list, most likely, whose name was
/// given by mistake.
///
/// # Errors
///
/// If the path is that of a file with something else in it, or of no file.
fn refuse_foreign(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => Err(format!("{}: is not a regular file", path.display())),
        Ok(there) if there.len() > 0 && !is_snapshot(path) => Err(format!(
            "{}: is there and is no snapshot of Weir, so it is not replaced; name another file",
            path.display()
        )),
        _ => Ok(()),
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::{Builder, Status};

    /// A snapshot with one list.
    fn snapshot() -> Snapshot {
        let mut builder = Builder::new();
        builder.list("black", Status::Blacklisted).unwrap();
        builder.finish()
    }

    /// Writes a snapshot to a path.
    fn put(path: &Path) -> Result<Contents, String> {
        write(path, &snapshot(), &Provenance::default(), UnixTime(0))
    }

    /// The names in a directory.
    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.weir");
        for _ in 0..2 {
            let written = put(&path).unwrap();
            let (stored, _) = read(&path, Memory::Auto).unwrap();
            assert_eq!(stored.contents, written);
            assert_eq!(verify(&path), Ok(written));
            assert_eq!(stored.snapshot.lists().next().unwrap().name, "black");
            assert_eq!(names(dir.path()), ["a.weir"]);
        }
        assert!(is_snapshot(&path) && !is_snapshot(dir.path()));
    }

    #[test]
    fn what_a_killed_process_left_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".a.weir.unfinished"), [1; 100_000]).unwrap();
        let path = dir.path().join("a.weir");
        let written = put(&path).unwrap();
        assert_eq!(verify(&path), Ok(written));
        assert_eq!(names(dir.path()), ["a.weir"]);
    }

    #[test]
    fn what_another_writes_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.weir");
        let others = Draft::begin(&path).unwrap();
        let told = put(&path).unwrap_err();
        assert!(
            told.ends_with("a.weir: is being written by another process"),
            "{told}"
        );
        drop(others);
        put(&path).unwrap();
    }

    #[test]
    fn what_is_no_snapshot_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.csv");
        fs::write(&path, "imei\n").unwrap();
        assert!(put(&path).unwrap_err().contains("is not replaced"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "imei\n");
        assert!(
            put(dir.path())
                .unwrap_err()
                .ends_with("is not a regular file")
        );
        let nowhere = dir.path().join("no/a.weir");
        assert!(put(&nowhere).unwrap_err().contains("cannot be written"));
        assert!(verify(&nowhere).unwrap_err().contains("no such file"));
    }

    #[test]
    fn what_came_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.weir");
        let draft = Draft::begin(&path).unwrap();
        fs::write(&path, "imei\n").unwrap();
        let written = draft.finish((&snapshot(), &()), &Provenance::default(), UnixTime(0));
        assert!(written.unwrap_err().contains("is not replaced"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "imei\n");
        assert_eq!(names(dir.path()), ["a.weir"]);
    }

    #[test]
    fn a_link_in_the_place_of_the_unfinished_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.weir");
        let target = dir.path().join("list.csv");
        fs::write(&target, "imei\n").unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join(".a.weir.unfinished")).unwrap();
        assert!(put(&path).unwrap_err().contains("cannot be written"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "imei\n");
        assert!(!path.exists());
    }
}
