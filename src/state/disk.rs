//! Copies, checksums and replacement of files, so that they are on the disk or
//! not there at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Crc;

use super::UNFINISHED;

/// Bytes copied at a time.
const BUFFER: usize = 128 * 1024;

/// An error with the file that it is about.
pub(super) fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Copies a file to one that is not there yet, on the disk when this returns;
/// gives the checksum.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<u32> {
    let mut source = File::open(from)?;
    let mut target = File::create_new(to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        target.sync_all()?;
        return checksum(to).map(|(_, crc32)| crc32);
    }
    let mut crc = Crc::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = source.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        crc.update(bytes);
        target.write_all(bytes)?;
    }
    target.sync_all()?;
    Ok(crc.sum())
}

/// Length and checksum of a file.
pub(super) fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut crc = Crc::new();
    let mut buffer = vec![0; BUFFER];
    let mut length = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((length, crc.sum()));
        }
        length += count as u64;
        crc.update(buffer.get(..count).unwrap_or_default());
    }
}

/// Gives a file that is about to be replaced a second name, so that it is there
/// all the time; where a file can have one name only, moves it.
pub(super) fn keep_as(path: &Path, aside: &Path) -> io::Result<()> {
    fs::hard_link(path, aside).or_else(|_| fs::rename(path, aside))
}

/// Copies a copy beside the file that it is to replace, under a name that no
/// list reads; returns the name.
pub(super) fn prepare(copy: &Path, path: &Path) -> io::Result<PathBuf> {
    let dir = path.parent().unwrap_or_else(|| Path::new(""));
    fs::create_dir_all(dir)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!(".{name}.{UNFINISHED}"));
    remove_file(&unfinished)?;
    copy_file(copy, &unfinished)?;
    Ok(unfinished)
}

/// Puts what was prepared in the place of a file, at once.
pub(super) fn put_back(unfinished: &Path, path: &Path) -> io::Result<()> {
    fs::rename(unfinished, path)?;
    sync_dir(path.parent().unwrap_or_else(|| Path::new("")))
}

/// Removes a file, if there is one.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a directory with all that is in it, if there is one.
pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Has the names of a directory written to the disk.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    let here = Path::new(".");
    File::open(if dir.as_os_str().is_empty() {
        here
    } else {
        dir
    })?
    .sync_all()
}
