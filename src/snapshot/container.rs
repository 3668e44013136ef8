//! Named sections in one stream of octets, see [the format](super): what they are,
//! and how they are written.

use core::convert::Infallible;
use core::fmt;
use core::hash::Hasher as _;
use core::ops::Range;

use twox_hash::XxHash3_64;

use super::{FORMAT, WriteError, checksum};
use crate::equipment::Section;
use crate::time::UnixTime;

/// How every file begins.
pub const MAGIC: [u8; 8] = *b"\x89WEIR\r\n\x1a";

/// Tells the order of octets.
pub(super) const ORDER: u32 = 0x0102_0304;

/// Octets of the header.
pub(super) const HEADER: usize = 128;
/// Octets of an entry of the table.
pub(super) const ENTRY: usize = 64;
/// Most sections that are read: more than any format has, and few enough for
/// the table to fit in memory.
pub(super) const SECTIONS_MAX: u32 = 256;

/// Where a section begins that is a page or more: on a page.
pub(super) const PAGE: u64 = 4096;
/// Where others begin: on a cache line.
const LINE: u64 = 64;

/// The number of the format.
pub(super) const AT_FORMAT: Range<usize> = 8..12;
/// [`ORDER`].
pub(super) const AT_ORDER: Range<usize> = 12..16;
/// When it was made.
pub(super) const AT_CREATED: Range<usize> = 16..24;
/// The length of the whole.
pub(super) const AT_LENGTH: Range<usize> = 24..32;
/// How many sections there are.
pub(super) const AT_COUNT: Range<usize> = 32..36;
/// Zero.
pub(super) const AT_ZERO: [Range<usize>; 2] = [36..40, 80..120];
/// The version of Weir.
pub(super) const AT_VERSION: Range<usize> = 40..72;
/// The checksum of the table.
pub(super) const AT_TABLE: Range<usize> = 72..80;
/// The checksum of the header.
pub(super) const AT_CHECKSUM: Range<usize> = 120..128;

//----------- Sink ------------------------------------------------------------

/// Where octets go, one after the other.
pub trait Sink {
    /// Why they do not.
    type Error;

    /// Takes the next ones.
    ///
    /// # Errors
    ///
    /// When they cannot be taken.
    fn write(&mut self, octets: &[u8]) -> Result<(), Self::Error>;

    /// Leaves the next ones as they are, so many: they stand there already, see
    /// [`Elsewhere::place`].
    ///
    /// # Errors
    ///
    /// When there cannot be so many.
    fn pass(&mut self, octets: u64) -> Result<(), Self::Error>;
}

impl Sink for Vec<u8> {
    type Error = Infallible;

    fn write(&mut self, octets: &[u8]) -> Result<(), Infallible> {
        self.extend_from_slice(octets);
        Ok(())
    }

    fn pass(&mut self, octets: u64) -> Result<(), Infallible> {
        // Nobody has written to it before.
        self.resize(self.len().saturating_add(octets as usize), 0);
        Ok(())
    }
}

/// A file under way, to which sections can be written before all is known of the
/// others, by several threads at once. Errors are complete with the file.
pub trait Ahead: fmt::Debug + Send + Sync {
    /// Writes octets to a place.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    fn write(&self, octets: &[u8], at: u64) -> Result<(), String>;

    /// Fills a buffer with what was written.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), String>;

    /// Has what was written brought to the disk while other work goes on.
    fn flush(&self);
}

//----------- Contents --------------------------------------------------------

/// What a file is, and what its sections are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The number of its format.
    pub format: u32,
    /// When it was made.
    pub created: UnixTime,
    /// The Weir that made it.
    pub version: String,
    /// Its octets.
    pub length: u64,
    /// A digest of all sections, whenever and by which Weir they were written:
    /// two files with the same one hold the same register from the same files.
    pub digest: u64,
    /// Its sections, in their order.
    pub sections: Vec<TableEntry>,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// What it is called.
    pub name: String,
    /// Where it begins.
    pub offset: u64,
    /// How many octets it has.
    pub length: u64,
    /// Their checksum.
    pub checksum: u64,
}

//----------- Writing ---------------------------------------------------------

/// What sections hold that are too large for memory.
pub trait Elsewhere<E> {
    /// How many octets a section has, if it is kept here.
    fn length(&self, section: &str) -> Option<u64>;

    /// The checksum of such a section, if it is known: otherwise it is read once
    /// more for that.
    fn checksum(&self, _section: &str) -> Option<u64> {
        None
    }

    /// Where the section stands in the sink, if it is there already; then its
    /// checksum is known, and it is not read.
    fn place(&self, _section: &str) -> Option<u64> {
        None
    }

    /// Gives them to `take`, one after the other.
    ///
    /// # Errors
    ///
    /// Those of `take`, and when they cannot be read.
    fn read(&self, section: &str, take: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E>;
}

/// Nothing is kept elsewhere.
impl<E> Elsewhere<E> for () {
    fn length(&self, _section: &str) -> Option<u64> {
        None
    }

    fn read(&self, _section: &str, _take: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        Ok(())
    }
}

/// Writes sections; of those that are kept elsewhere, what is there.
pub(super) fn write<S: Sink>(
    sections: &[Section<'_>],
    elsewhere: &dyn Elsewhere<S::Error>,
    created: UnixTime,
    sink: &mut S,
) -> Result<Contents, WriteError<S::Error>> {
    let mut end = first(sections.len());
    let mut entries = Vec::with_capacity(sections.len());
    let mut table = Vec::with_capacity(ENTRY * sections.len());
    for section in sections {
        let (length, checksum) = match elsewhere.length(section.name) {
            None => {
                let checksum = checksum::of(&section.octets);
                (section.octets.len() as u64, checksum)
            }
            Some(length) => match elsewhere.checksum(section.name) {
                Some(checksum) => (length, checksum),
                None => {
                    let mut sum = checksum::Sum::default();
                    let read = elsewhere.read(section.name, &mut |octets| {
                        sum.add(octets);
                        Ok(())
                    });
                    read.map_err(WriteError::Sink)?;
                    (length, sum.finish())
                }
            },
        };
        let entry = TableEntry {
            name: section.name.to_owned(),
            offset: aligned(end, length),
            length,
            checksum,
        };
        end = entry.offset.saturating_add(length);
        if let Some(place) = elsewhere.place(section.name)
            && place != entry.offset
        {
            return Err(WriteError::Unstorable);
        }
        put_text::<{ Section::NAME_MAX }>(&mut table, &entry.name);
        for number in [entry.offset, length, entry.checksum, 0] {
            table.extend_from_slice(&number.to_le_bytes());
        }
        entries.push(entry);
    }
    let table_checksum = XxHash3_64::oneshot(&table);
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&FORMAT.to_le_bytes());
    header.extend_from_slice(&ORDER.to_le_bytes());
    header.extend_from_slice(&created.0.to_le_bytes());
    header.extend_from_slice(&end.to_le_bytes());
    // There are some twenty.
    header.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    put_text::<32>(&mut header, env!("CARGO_PKG_VERSION"));
    header.extend_from_slice(&table_checksum.to_le_bytes());
    header.extend_from_slice(&[0; 40]);
    let checksum = XxHash3_64::oneshot(&header);
    header.extend_from_slice(&checksum.to_le_bytes());

    let mut put = || {
        sink.write(&header)?;
        sink.write(&table)?;
        let mut written = (HEADER + table.len()) as u64;
        for (section, entry) in sections.iter().zip(&entries) {
            // Less than a page.
            sink.write(zeros(entry.offset - written))?;
            let name = section.name;
            match (elsewhere.length(name), elsewhere.place(name)) {
                (None, _) => sink.write(&section.octets)?,
                (Some(length), Some(_)) => sink.pass(length)?,
                (Some(_), None) => elsewhere.read(name, &mut |octets| sink.write(octets))?,
            }
            written = entry.offset + entry.length;
        }
        Ok(())
    };
    put().map_err(WriteError::Sink)?;
    Ok(Contents {
        format: FORMAT,
        created,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        length: end,
        digest: digest(&entries),
        sections: entries,
    })
}

/// Where the first of so many sections may begin.
pub(super) fn first(sections: usize) -> u64 {
    (HEADER + ENTRY * sections) as u64
}

/// Where a section of this length begins at or behind `end`.
pub(super) fn aligned(end: u64, length: u64) -> u64 {
    let alignment = if length < PAGE { LINE } else { PAGE };
    end.checked_next_multiple_of(alignment).unwrap_or(end)
}

/// So many zeros, less than a page.
fn zeros(count: u64) -> &'static [u8] {
    /// Them.
    const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
    ZEROS.get(..count as usize).unwrap_or_default()
}

/// Appends a text of no more than `LENGTH` octets, filled up with zeros.
fn put_text<const LENGTH: usize>(out: &mut Vec<u8>, text: &str) {
    let mut field = [0; LENGTH];
    for (to, from) in field.iter_mut().zip(text.as_bytes()) {
        *to = *from;
    }
    out.extend_from_slice(&field);
}

/// What sections hold, in one number.
pub(super) fn digest(entries: &[TableEntry]) -> u64 {
    let mut hasher = XxHash3_64::new();
    for entry in entries {
        hasher.write(entry.name.as_bytes());
        for number in [entry.length, entry.checksum] {
            hasher.write(&number.to_le_bytes());
        }
    }
    hasher.finish()
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::super::ReadError;
    use super::super::reading::{read, verify};
    use super::*;

    /// The names of the sections of [`sample`].
    const NAMES: [&str; 4] = ["first", "empty", "a.page", "last"];

    /// A file of four sections.
    fn sample() -> Vec<u8> {
        let contents = [&b"abc"[..], b"", &[7; PAGE as usize + 1], b"the end"];
        let sections: Vec<Section<'_>> = (NAMES.iter().zip(contents))
            .map(|(name, octets)| Section::new(name, octets))
            .collect();
        let mut file = Vec::new();
        write(&sections, &(), UnixTime(1_790_000_000), &mut file).unwrap();
        file
    }

    /// What is said of a file.
    fn fate(file: &[u8]) -> Result<Contents, ReadError<Infallible>> {
        let read = read(&file).map(|(contents, _)| contents);
        assert_eq!(read, verify(&file));
        read
    }

    /// The places are those of the table in the documentation, taken by hand.
    #[test]
    fn a_file_is_laid_out_as_described() {
        let file = sample();
        let contents = fate(&file).unwrap();
        assert_eq!(file[..16], *b"\x89WEIR\r\n\x1a\x03\0\0\0\x04\x03\x02\x01");
        assert_eq!(file[16..24], 1_790_000_000i64.to_le_bytes());
        assert_eq!(file[24..32], (file.len() as u64).to_le_bytes());
        assert_eq!(file[32..40], [4, 0, 0, 0, 0, 0, 0, 0]);
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        assert_eq!(file[40..40 + version.len()], *version);
        let entry = 128 + 2 * 64;
        assert_eq!(file[entry..entry + 7], *b"a.page\0");
        assert_eq!(file[entry + 32..entry + 40], 4096u64.to_le_bytes());
        assert_eq!(file[entry + 40..entry + 48], 4097u64.to_le_bytes());
        assert_eq!(file[4096..4096 + 4097], [7; 4097]);
        assert_eq!(file[file.len() - 7..], *b"the end");
        let names: Vec<&str> = contents.sections.iter().map(|own| &*own.name).collect();
        assert_eq!(names, NAMES);
        assert_eq!(contents.created, UnixTime(1_790_000_000));
        assert_eq!(contents.length, file.len() as u64);
    }

    #[test]
    fn every_cut_is_told_with_the_section() {
        let file = sample();
        for length in 0..file.len() {
            let section = match length {
                0..8 => {
                    assert_eq!(fate(&file[..length]), Err(ReadError::Foreign));
                    continue;
                }
                8..128 => "header",
                128..384 => "table",
                384..387 => "first",
                387..448 => "empty",
                // Of what is empty nothing is cut off.
                448..8193 => "a.page",
                _ => "last",
            };
            let Err(ReadError::Truncated { section: told, .. }) = fate(&file[..length]) else {
                panic!("{length} octets are taken for a file");
            };
            assert_eq!(told, section, "{length}");
        }
        let longer = [&file[..], b"\0"].concat();
        assert!(fate(&longer).unwrap_err().to_string().contains("goes on"));
    }

    #[test]
    fn every_flipped_bit_is_found_and_its_section_named() {
        let mut file = sample();
        let whole = fate(&file).unwrap();
        // Of the long section, a few.
        let places = (0..600).chain(4000..4200).chain(8100..file.len());
        for place in places {
            for bit in 0..8 {
                file[place] ^= 1 << bit;
                let error = fate(&file).expect_err("a flipped bit was not found");
                let expected = match place {
                    0..8 => None,
                    8..128 => Some("header"),
                    128..384 => Some("table"),
                    _ => {
                        let mut sections = whole.sections.iter();
                        let own = sections.find(|own| (place as u64) < own.offset + own.length);
                        own.map(|own| own.name.as_str())
                    }
                };
                match (expected, error) {
                    (None, error) => assert_eq!(error, ReadError::Foreign),
                    (Some(expected), ReadError::Flaw(flaw)) => assert_eq!(flaw.section, expected),
                    (Some(_), error) => panic!("octet {place}: {error}"),
                }
                file[place] ^= 1 << bit;
            }
        }
        assert_eq!(fate(&file), Ok(whole));
    }

    #[test]
    fn another_format_is_told_with_its_maker() {
        let mut file = sample();
        file[AT_FORMAT].copy_from_slice(&(FORMAT + 1).to_le_bytes());
        let checksum = XxHash3_64::oneshot(&file[..AT_CHECKSUM.start]);
        file[AT_CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let format = FORMAT + 1;
        let expected = ReadError::Format { format, version };
        assert_eq!(fate(&file), Err(expected));
        assert_eq!(fate(b"imei\n490154203237518\n"), Err(ReadError::Foreign));
    }

    #[test]
    fn the_digest_is_of_the_sections_only() {
        let digest = |created, text: &[u8]| {
            let mut file = Vec::new();
            let sections = [Section::new("a", text)];
            write(&sections, &(), UnixTime(created), &mut file)
                .unwrap()
                .digest
        };
        assert_eq!(digest(1, b"x"), digest(2, b"x"));
        assert_ne!(digest(1, b"x"), digest(1, b"y"));
    }
}
