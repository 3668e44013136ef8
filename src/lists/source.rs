//! Where lists come from: files named plainly or by patterns, compressed or
//! not.

use core::fmt;
use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::bufread::MultiGzDecoder;
use glob::{MatchOptions, Pattern};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::archive::{self, Member};
use super::tap::{Hasher, Meter, Tap};
use crate::compile::Progress;

/// Bytes read from a file, and decompressed, at a time.
const BUFFER: usize = 128 * 1024;

/// The first bytes of a gzip file (RFC 1952 clause 2.3.1).
const GZIP_MAGIC: &[u8] = b"\x1F\x8B";

/// The first bytes of a Zstandard frame (RFC 8878 clause 3.1.1).
const ZSTD_MAGIC: &[u8] = b"\x28\xB5\x2F\xFD";

/// The first bytes of a ZIP archive that is not empty.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// What makes a path a pattern.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// How patterns match: case counts, `*` stays within a directory, and names
/// that start with a dot are left alone, as copying programs give such names
/// to what they have not finished.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

//----------- Finding ---------------------------------------------------------

/// The files that the paths of one list name.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Each file once; those of a pattern are sorted.
    pub(crate) files: Vec<PathBuf>,
    /// What is wrong with the paths.
    pub(crate) faults: Vec<String>,
    /// What is most likely not meant.
    pub(crate) warnings: Vec<String>,
    /// The files again, to take each only once.
    seen: HashSet<PathBuf>,
}

/// Finds the files of `paths`, relative to `dir`.
///
/// A plain path is taken as it is, whether there is such a file or not: to
/// open it will tell. A pattern may match nothing, as a list may have no file
/// yet; that is a warning.
pub(crate) fn find(dir: &Path, paths: &[String]) -> Found {
    let mut found = Found::default();
    for path in paths {
        if !is_pattern(path) {
            found.add(dir.join(path));
            continue;
        }
        let pattern = match Path::new(path).is_absolute() {
            true => path.clone(),
            // The directory may have characters that mean something in patterns.
            false => match Pattern::escape(&dir.to_string_lossy()) {
                dir if dir.is_empty() => path.clone(),
                dir => format!("{dir}/{path}"),
            },
        };
        let matches = match glob::glob_with(&pattern, MATCHING) {
            Ok(matches) => matches,
            Err(error) => {
                found
                    .faults
                    .push(format!("`{path}` is no pattern: {error}"));
                continue;
            }
        };
        let mut files = Vec::new();
        for matched in matches {
            match matched {
                Ok(file) if file.is_dir() => {}
                Ok(file) => files.push(file),
                Err(error) => found.faults.push(format!(
                    "{}: cannot be searched: {}",
                    error.path().display(),
                    plain(error.error())
                )),
            }
        }
        if files.is_empty() {
            let dir = dir.join(path);
            found
                .warnings
                .push(format!("no file matches {}", dir.display()));
        }
        files.sort();
        files.into_iter().for_each(|file| found.add(file));
    }
    found
}

impl Found {
    /// Takes a file, unless it was named before.
    fn add(&mut self, file: PathBuf) {
        if self.seen.insert(file.clone()) {
            self.files.push(file);
        }
    }
}

/// Whether a path has wildcards.
fn is_pattern(path: &str) -> bool {
    path.contains(WILDCARDS)
}

/// The directory of a path, or of the part of a pattern before its first
/// wildcard; empty if that is all in the directory it is relative to.
pub(crate) fn fixed_dir(path: &str) -> &str {
    let fixed = path.split(WILDCARDS).next().unwrap_or_default();
    match fixed.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((dir, _)) => dir,
        None => "",
    }
}

//----------- Part ------------------------------------------------------------

/// A file, or a list in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The file.
    path: PathBuf,
    /// The list in it, and what the archive was when it was found.
    member: Option<(Member, Stamp)>,
}

impl Part {
    /// What is to be read of a file: itself, or each list in a ZIP archive.
    /// Warnings are of members that are no lists.
    ///
    /// # Errors
    ///
    /// An archive that is missing, damaged or made to fill the machine.
    pub(crate) fn all(path: &Path, warnings: &mut Vec<String>) -> Result<Vec<Self>, String> {
        let plain_file = |path: &Path| Self {
            path: path.to_owned(),
            member: None,
        };
        if path.extension().is_none_or(|suffix| suffix != "zip") {
            return Ok(vec![plain_file(path)]);
        }
        let (file, stamp) = open_file(path)?;
        if stamp.length == 0 {
            return Err("is empty".to_owned());
        }
        let (members, others) = archive::members(file)?;
        if !others.is_empty() {
            let shown = path.display();
            warnings.push(format!(
                "{shown}: {} is no list and left alone",
                others.join(", ")
            ));
        }
        if members.is_empty() {
            return Err("has no list in it; its name must end in .csv, .txt or .json".to_owned());
        }
        let part = |member| Self {
            path: path.to_owned(),
            member: Some((member, stamp)),
        };
        Ok(members.into_iter().map(part).collect())
    }

    /// The name of the list, without directories and compression.
    pub(crate) fn name(&self) -> &str {
        let name = match &self.member {
            Some((member, _)) => Some(member.name.as_str()),
            None => self.path.file_name().and_then(|name| name.to_str()),
        };
        let name = name.unwrap_or_default();
        let stem = (name.strip_suffix(".gz")).or_else(|| name.strip_suffix(".zst"));
        stem.unwrap_or(name)
    }
}

/// The path, and behind it what it is of an archive.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.member {
            Some((member, _)) => write!(f, "/{}", member.name),
            None => Ok(()),
        }
    }
}

/// Opens a regular file, and says what it was then.
fn open_file(path: &Path) -> Result<(File, Stamp), String> {
    let metadata = fs::metadata(path).map_err(|error| plain(&error))?;
    // Told before opening: to open a pipe would wait for its other end.
    if metadata.is_dir() {
        return Err("is a directory; name its files, as in `directory/*.csv`".to_owned());
    }
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let file = File::open(path).map_err(|error| plain(&error))?;
    let stamp = file.metadata().map_err(|error| plain(&error))?;
    Ok((file, Stamp::of(&stamp)))
}

//----------- Source ----------------------------------------------------------

/// An open file, decompressed as it is read.
pub(crate) struct Source {
    /// The file itself, to see whether it changes.
    file: File,
    /// What it was when it was opened.
    before: Stamp,
    /// What has been read of it.
    meter: Meter,
    /// Whether its text is all there is of it: it is not compressed.
    is_plain: bool,
    /// Its text.
    pub(crate) reader: BufReader<Box<dyn Read + Send>>,
}

impl Source {
    /// Opens a file by the suffix of its name, or a list in an archive.
    ///
    /// # Errors
    ///
    /// A file that is missing, not readable, no file, or not compressed as its
    /// name says.
    pub(crate) fn open(part: &Part) -> Result<Self, String> {
        Self::open_with(part, Progress::default(), false)
    }

    /// The same, telling how much has been read, and, if it is wanted, what.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) fn open_with(
        part: &Part,
        progress: Progress,
        digests: bool,
    ) -> Result<Self, String> {
        let path = &part.path;
        let (file, before) = open_file(path)?;
        let clone = file.try_clone().map_err(|error| plain(&error))?;
        if let Some((member, stamp)) = &part.member {
            let reader: Box<dyn Read + Send> =
                Box::new(member.open(clone).map_err(|error| plain(&error))?);
            return Ok(Self {
                file,
                before: *stamp,
                meter: Meter::default(),
                is_plain: false,
                reader: BufReader::with_capacity(BUFFER, reader),
            });
        }
        let meter = Meter::new(digests);
        let tap = Tap::new(clone, meter.clone(), progress);
        let mut raw = BufReader::with_capacity(BUFFER, tap);
        let start = raw.fill_buf().map_err(|error| plain(&error))?;

        let suffix = path.extension().and_then(|suffix| suffix.to_str());
        let is_gzip = start.starts_with(GZIP_MAGIC);
        let is_zstd = start.starts_with(ZSTD_MAGIC) || skippable(start);
        let reader: Box<dyn Read + Send> = match suffix {
            Some("gz") if is_gzip => Box::new(MultiGzDecoder::new(raw)),
            Some("zst") if is_zstd => Box::new(ZstdReader::new(raw)),
            Some("gz" | "zst") if start.is_empty() => return Err("is empty".to_owned()),
            Some("gz") => return Err("is named .gz, but holds no gzip data".to_owned()),
            Some("zst") => return Err("is named .zst, but holds no Zstandard data".to_owned()),
            _ if is_gzip => return Err("holds gzip data; name it .gz".to_owned()),
            _ if is_zstd => return Err("holds Zstandard data; name it .zst".to_owned()),
            _ if start.starts_with(ZIP_MAGIC) => {
                return Err("is a ZIP archive; name it .zip".to_owned());
            }
            _ => Box::new(raw),
        };
        Ok(Self {
            file,
            before,
            meter,
            is_plain: !matches!(suffix, Some("gz" | "zst")),
            reader: BufReader::with_capacity(BUFFER, reader),
        })
    }

    /// SHA-256 of the file, if it was wanted and all of it has been read; that of
    /// an archive is not known.
    pub(crate) fn digest(&self) -> Option<String> {
        self.meter.digest(self.before.length)
    }

    /// Lets whoever reads the text make the digest of it, if one is wanted and it
    /// is that of the text.
    pub(super) fn hasher(&self) -> Option<Hasher> {
        match self.is_plain {
            true => self.meter.take_over(),
            false => None,
        }
    }

    /// What the file was when it was opened.
    pub(crate) fn stamp(&self) -> Stamp {
        self.before
    }

    /// Whether the file was written to since it was opened. A file that took
    /// its name in the meantime is another file and does not count.
    pub(crate) fn has_changed(&self) -> bool {
        match self.file.metadata() {
            Ok(metadata) => Stamp::of(&metadata) != self.before,
            Err(_) => true,
        }
    }
}

/// What changes when a file is written to, or another takes its name. The time
/// of the last change of its attributes is no part of it, as that changes too
/// when the file loses its name to another while it is read, which is how lists
/// are to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which file it is on its device.
    inode: u64,
    /// Its bytes.
    length: u64,
    /// When it was written to last, where the system knows.
    modified: Option<SystemTime>,
}

impl Stamp {
    /// The stamp of a file.
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

/// An error of the system in plain words.
pub(crate) fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        io::ErrorKind::UnexpectedEof => "is cut short; copy it again".to_owned(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            format!("is damaged ({error}); copy it again")
        }
        _ => format!("cannot be read: {error}"),
    }
}

//----------- ZstdReader ------------------------------------------------------

/// Decompresses all frames of a Zstandard file, one behind the other, as the
/// programs that append to files or compress in parallel write them; checks
/// the checksum of each, and skips frames that hold no data (RFC 8878 clause 3).
struct ZstdReader<R> {
    /// The compressed bytes.
    source: R,
    /// The decoder, used again for each frame.
    decoder: FrameDecoder,
    /// Whether a frame has been started and not yet been left.
    in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    /// Starts before the first frame.
    fn new(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
            in_frame: false,
        }
    }

    /// Starts the next frame; false at the end of the file.
    fn start_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.source).take(u64::from(length));
                    if io::copy(&mut skipped, &mut io::sink())? < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(damaged(error)),
            }
        }
    }

    /// Leaves a frame whose bytes have all been read.
    fn end_frame(&mut self) -> io::Result<()> {
        self.in_frame = false;
        match self.decoder.get_checksum_from_data() {
            Some(sum) if self.decoder.get_calculated_checksum() != Some(sum) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "wrong checksum"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.in_frame && self.decoder.is_finished() && self.decoder.can_collect() == 0 {
                self.end_frame()?;
            }
            if !self.in_frame && !self.start_frame()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(damaged)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
        }
    }
}

/// Tells a frame that ends too early from one with wrong bytes.
fn damaged(error: FrameDecoderError) -> io::Error {
    let mut cause: Option<&(dyn core::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        match inner.downcast_ref::<io::Error>() {
            Some(inner) if inner.kind() == io::ErrorKind::UnexpectedEof => {
                return io::ErrorKind::UnexpectedEof.into();
            }
            _ => cause = inner.source(),
        }
    }
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// Whether the bytes start a Zstandard frame that holds no data (RFC 8878
/// clause 3.1.2).
fn skippable(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..])
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    /// What `printf 'imei\n490154203237518\n' | zstd` writes: a frame with one
    /// block of plain bytes and a checksum.
    const ONE_FRAME: &[u8] =
        b"\x28\xb5\x2f\xfd\x04\x58\xa9\0\0imei\n490154203237518\n\x6d\xd3\x79\x72";

    /// Everything that a reader of Zstandard data gives.
    fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        ZstdReader::new(bytes).read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn another_file_of_the_same_name_length_and_time_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.csv");
        let put = |text: &str| {
            let new = dir.path().join("new");
            fs::write(&new, text).unwrap();
            let file = File::options().write(true).open(&new).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            fs::rename(&new, &path).unwrap();
        };
        put("one");
        let part = Part::all(&path, &mut Vec::new()).unwrap().remove(0);
        let first = Source::open(&part).unwrap();
        assert_eq!(Source::open(&part).unwrap().stamp(), first.stamp());
        put("two");
        assert_ne!(Source::open(&part).unwrap().stamp(), first.stamp());
        // Who reads the first one still has all of it.
        assert!(!first.has_changed());
    }

    #[test]
    fn all_frames_are_read_and_empty_ones_skipped() {
        let text = b"imei\n490154203237518\n";
        assert_eq!(unpack(ONE_FRAME).unwrap(), text);
        let skip = b"\x5A\x2A\x4D\x18\x03\0\0\0abc";
        let many = [ONE_FRAME, skip, ONE_FRAME].concat();
        assert_eq!(unpack(&many).unwrap(), [&text[..], text].concat());
        assert_eq!(unpack(b"").unwrap(), b"");
    }

    #[test]
    fn every_cut_is_an_error() {
        for length in 1..ONE_FRAME.len() {
            let error = unpack(&ONE_FRAME[..length]).unwrap_err();
            assert_eq!(
                error.kind(),
                io::ErrorKind::UnexpectedEof,
                "{length}: {error}"
            );
        }
        let error = unpack(b"\x5A\x2A\x4D\x18\x03\0\0\0ab").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn no_damage_panics_or_passes_the_checksum() {
        let lines = (0..100).map(|device| format!("{:014}\n", device * 7919));
        let text = lines.collect::<String>().into_bytes();
        let packed = compress_to_vec(&text[..], CompressionLevel::Fastest);
        assert_eq!(unpack(&packed).unwrap(), text);
        // Byte 4 says whether there is a checksum at all.
        for place in (0..packed.len()).filter(|place| *place != 4) {
            let mut damaged = packed.clone();
            damaged[place] ^= 0x10;
            if let Ok(unpacked) = unpack(&damaged) {
                assert!(unpacked == text, "byte {place}");
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_an_error() {
        let mut bytes = ONE_FRAME.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let error = unpack(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "wrong checksum");
    }

    #[test]
    fn a_file_that_is_written_to_is_noticed_and_one_that_is_replaced_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.csv");
        fs::write(&path, "imei\n").unwrap();
        let part = &Part::all(&path, &mut Vec::new()).unwrap()[0];
        let source = Source::open(part).unwrap();
        assert!(!source.has_changed());

        let other = dir.path().join("other.csv");
        fs::write(&other, "imei\n490154203237518\n").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(!source.has_changed());

        let source = Source::open(part).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        io::Write::write_all(&mut file, b"00000000000001\n").unwrap();
        assert!(source.has_changed());
    }
}
