//! ZIP files: which lists are in them, and each as a stream.
//!
//! The directory of the archive is read by the crate `zip`; the members are
//! read one at a time, decompressed as they are read, with their lengths and
//! checksums held against what the directory says.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

/// The most lists in an archive: the daily deltas of a year and more.
const MAX_MEMBERS: usize = 1000;

/// How many times its size an archive may unpack to. Lists of digits shrink to
/// a fifth, and with ever the same reason to a thirtieth; what unpacks to more
/// than two hundred times is made to fill the machine.
const MAX_RATIO: u64 = 200;

/// Archives that unpack to less than this are harmless whatever their ratio.
const ALWAYS_ALLOWED: u64 = 1024 * 1024;

/// The suffixes of members that are lists; others are left alone, as archives
/// are often sent with a note or a signature.
const LISTS: [&str; 5] = ["csv", "txt", "json", "jsonl", "dat"];

//----------- Member ----------------------------------------------------------

/// A list in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its name, without directories.
    pub(crate) name: String,
    /// Where its data begins in the archive.
    start: u64,
    /// Bytes in the archive.
    packed: u64,
    /// Bytes unpacked.
    size: u64,
    /// The checksum of the unpacked bytes.
    crc: u32,
    /// Whether it is compressed.
    deflated: bool,
}

/// The lists of an archive, in the order of the archive, and the names of
/// members that are none.
pub(crate) fn members(file: File) -> Result<(Vec<Member>, Vec<String>), String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| format!("is no ZIP archive that can be read ({error}); copy it again"))?;
    let (mut members, mut others, mut total) = (Vec::new(), Vec::new(), 0u64);
    for index in 0..archive.len() {
        let entry = (archive.by_index_raw(index))
            .map_err(|error| format!("is a damaged ZIP archive ({error}); copy it again"))?;
        let path = match entry.name() {
            Ok(path) => path.into_owned(),
            Err(error) => return Err(format!("has a member without a readable name: {error}")),
        };
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        if entry.is_dir() || name.starts_with('.') || path.starts_with("__MACOSX/") {
            continue;
        }
        let suffix = name.rsplit('.').next().unwrap_or_default();
        if !LISTS.iter().any(|list| suffix.eq_ignore_ascii_case(list)) {
            others.push(name);
            continue;
        }
        if entry.encrypted() {
            return Err(format!("{name} is encrypted; unpack it first"));
        }
        let deflated = match entry.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => {
                return Err(format!(
                    "{name} is compressed by {other}; only deflate is read, pack it anew"
                ));
            }
        };
        let start = (entry.data_start())
            .ok_or_else(|| format!("{name} is not where the archive says; copy it again"))?;
        total = total.saturating_add(entry.size());
        members.push(Member {
            name,
            start,
            packed: entry.compressed_size(),
            size: entry.size(),
            crc: entry.crc32(),
            deflated,
        });
        if members.len() > MAX_MEMBERS {
            return Err(format!("has more than {MAX_MEMBERS} lists"));
        }
    }
    if total > ALWAYS_ALLOWED.max(length.saturating_mul(MAX_RATIO)) {
        return Err(format!(
            "unpacks to {total} bytes, more than {MAX_RATIO} times its size; is it a list?"
        ));
    }
    Ok((members, others))
}

impl Member {
    /// The unpacked bytes.
    pub(crate) fn open(&self, mut file: File) -> io::Result<impl Read + Send + use<>> {
        file.seek(SeekFrom::Start(self.start))?;
        let packed = BufReader::new(file).take(self.packed);
        let reader: Box<dyn Read + Send> = match self.deflated {
            true => Box::new(DeflateDecoder::new(packed)),
            false => Box::new(packed),
        };
        Ok(Checked {
            reader,
            left: self.size,
            crc: Crc::new(),
            expected: self.crc,
        })
    }
}

/// Holds what is read against the directory of the archive.
struct Checked {
    /// The unpacked bytes.
    reader: Box<dyn Read + Send>,
    /// How many are still to come.
    left: u64,
    /// The checksum so far.
    crc: Crc,
    /// The checksum of all.
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            return match (self.left, self.crc.sum() == self.expected) {
                (0, true) => Ok(0),
                (0, false) => Err(damaged("wrong checksum")),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        self.left = (self.left.checked_sub(count as u64))
            .ok_or_else(|| damaged("longer than the archive says"))?;
        self.crc.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// The error of bytes that are wrong.
fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    /// An archive of these members.
    fn archive(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in members {
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// The members of an archive and what is in them.
    fn unpack(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let (members, _) = members(file.try_clone().unwrap())?;
        members
            .iter()
            .map(|member| {
                let mut text = Vec::new();
                let mut reader = member
                    .open(file.try_clone().unwrap())
                    .map_err(|error| error.to_string())?;
                reader
                    .read_to_end(&mut text)
                    .map_err(|error| error.to_string())?;
                Ok((member.name.clone(), text))
            })
            .collect()
    }

    #[test]
    fn members_come_as_they_were_packed() {
        let text = "490154203237518\n".repeat(500);
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let bytes = archive(
                &[
                    ("a.csv", text.as_bytes()),
                    ("dir/b.TXT", b"x"),
                    ("c.csv", b""),
                    ("readme.pdf", b"no list"),
                    ("__MACOSX/a.csv", b"no list"),
                    (".hidden.csv", b"no list"),
                ],
                method,
            );
            assert_eq!(
                unpack(&bytes).unwrap(),
                [
                    ("a.csv".to_owned(), text.clone().into_bytes()),
                    ("b.TXT".to_owned(), b"x".to_vec()),
                    ("c.csv".to_owned(), Vec::new()),
                ]
            );
        }
    }

    #[test]
    fn no_damage_panics_or_passes_the_checksum() {
        let text: String = (0..100).map(|n| format!("{:014}\n", n * 7919)).collect();
        let bytes = archive(&[("a.csv", text.as_bytes())], CompressionMethod::Deflated);
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x11;
            if let Ok(members) = unpack(&damaged) {
                for (_, unpacked) in members {
                    assert!(unpacked == text.as_bytes(), "byte {place}");
                }
            }
        }
        for length in 0..bytes.len() {
            assert!(unpack(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn what_unpacks_without_end_is_refused() {
        let bytes = archive(&[("a.csv", &[b'0'; 8 << 20])], CompressionMethod::Deflated);
        let error = unpack(&bytes).unwrap_err();
        assert!(error.contains("more than 200 times its size"), "{error}");
    }
}
