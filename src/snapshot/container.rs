//! Named sections in one stream of octets, see [the format](super).

use core::convert::Infallible;
use core::hash::Hasher as _;
use core::ops::Range;

use twox_hash::XxHash3_64;

use super::{FORMAT, ReadError};
use crate::equipment::{Flaw, Octets, Parts, Section};
use crate::time::UnixTime;

/// How every file begins.
pub const MAGIC: [u8; 8] = *b"\x89WEIR\r\n\x1a";

/// Tells the order of octets.
const ORDER: u32 = 0x0102_0304;

/// Octets of the header.
const HEADER: usize = 128;
/// Octets of an entry of the table.
const ENTRY: usize = 64;
/// Most sections that are read: more than any format has, and few enough for
/// the table to fit in memory.
const SECTIONS_MAX: u32 = 256;

/// Where a section begins that is a page or more: on a page.
const PAGE: u64 = 4096;
/// Where others begin: on a cache line.
const LINE: u64 = 64;

/// Octets that are read and summed at a time: they stay in the cache between.
const CHUNK: usize = 256 * 1024;

/// The number of the format.
const AT_FORMAT: Range<usize> = 8..12;
/// [`ORDER`].
const AT_ORDER: Range<usize> = 12..16;
/// When it was made.
const AT_CREATED: Range<usize> = 16..24;
/// The length of the whole.
const AT_LENGTH: Range<usize> = 24..32;
/// How many sections there are.
const AT_COUNT: Range<usize> = 32..36;
/// Zero.
const AT_ZERO: [Range<usize>; 2] = [36..40, 80..120];
/// The version of Weir.
const AT_VERSION: Range<usize> = 40..72;
/// The checksum of the table.
const AT_TABLE: Range<usize> = 72..80;
/// The checksum of the header.
const AT_CHECKSUM: Range<usize> = 120..128;

//----------- Source and Sink -------------------------------------------------

/// Where octets come from, one after the other.
pub trait Source {
    /// Why there are none.
    type Error;

    /// How many there are from here to the end.
    ///
    /// # Errors
    ///
    /// When that cannot be told.
    fn length(&mut self) -> Result<u64, Self::Error>;

    /// Fills the buffer with the next ones. Returns how many there were: less
    /// than asked for at the end only.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error>;
}

impl Source for &[u8] {
    type Error = Infallible;

    fn length(&mut self) -> Result<u64, Infallible> {
        Ok(self.len() as u64)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let count = buffer.len().min(self.len());
        let (next, rest) = self.split_at(count);
        if let Some(buffer) = buffer.get_mut(..count) {
            buffer.copy_from_slice(next);
        }
        *self = rest;
        Ok(count)
    }
}

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
}

impl Sink for Vec<u8> {
    type Error = Infallible;

    fn write(&mut self, octets: &[u8]) -> Result<(), Infallible> {
        self.extend_from_slice(octets);
        Ok(())
    }
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

/// Writes sections.
pub(super) fn write<S: Sink>(
    sections: &[Section<'_>],
    created: UnixTime,
    sink: &mut S,
) -> Result<Contents, S::Error> {
    let mut end = (HEADER + ENTRY * sections.len()) as u64;
    let mut entries = Vec::with_capacity(sections.len());
    let mut table = Vec::with_capacity(ENTRY * sections.len());
    for section in sections {
        let length = section.octets.len() as u64;
        let entry = TableEntry {
            name: section.name.to_owned(),
            offset: aligned(end, length),
            length,
            checksum: XxHash3_64::oneshot(&section.octets),
        };
        end = entry.offset.saturating_add(length);
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

    sink.write(&header)?;
    sink.write(&table)?;
    let mut written = (HEADER + table.len()) as u64;
    for (section, entry) in sections.iter().zip(&entries) {
        // Less than a page.
        sink.write(zeros(entry.offset - written))?;
        sink.write(&section.octets)?;
        written = entry.offset + entry.length;
    }
    Ok(Contents {
        format: FORMAT,
        created,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        length: end,
        digest: digest(&entries),
        sections: entries,
    })
}

/// Where a section of this length begins at or behind `end`.
fn aligned(end: u64, length: u64) -> u64 {
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
fn digest(entries: &[TableEntry]) -> u64 {
    let mut hasher = XxHash3_64::new();
    for entry in entries {
        hasher.write(entry.name.as_bytes());
        for number in [entry.length, entry.checksum] {
            hasher.write(&number.to_le_bytes());
        }
    }
    hasher.finish()
}

//----------- Reading ---------------------------------------------------------

/// Reads all sections.
pub(super) fn read<S: Source>(source: &mut S) -> Result<(Contents, Parts), ReadError<S::Error>> {
    let mut parts = Parts::default();
    let contents = walk(source, |reader, entry| keep(reader, entry, &mut parts))?;
    Ok((contents, parts))
}

/// Reads a section and keeps it; returns its checksum.
fn keep<S: Source>(
    reader: &mut Reader<'_, S>,
    entry: &TableEntry,
    parts: &mut Parts,
) -> Result<u64, ReadError<S::Error>> {
    // No more than the source has.
    let length = usize::try_from(entry.length)
        .map_err(|_| reader.flaw("is larger than this machine's memory"))?;
    let mut octets = Octets::zeroed(length);
    let mut hasher = XxHash3_64::new();
    for chunk in octets.as_mut_slice().chunks_mut(CHUNK) {
        reader.fill(chunk)?;
        hasher.write(chunk);
    }
    match parts.insert(entry.name.clone(), octets) {
        true => Ok(hasher.finish()),
        false => Err(reader.flaw("is there twice")),
    }
}

/// Reads the first section.
pub(super) fn read_first<S: Source>(source: &mut S) -> Result<Parts, ReadError<S::Error>> {
    let (mut reader, header) = begin(source)?;
    let entries = reader.table(&header)?;
    let mut parts = Parts::default();
    if let Some(entry) = entries.first() {
        reader.section.clone_from(&entry.name);
        reader.zeros(entry.offset - (HEADER + ENTRY * entries.len()) as u64)?;
        if keep(&mut reader, entry, &mut parts)? != entry.checksum {
            return Err(reader.flaw(DAMAGED));
        }
    }
    Ok(parts)
}

/// Reads all sections and forgets them.
pub(super) fn verify<S: Source>(source: &mut S) -> Result<Contents, ReadError<S::Error>> {
    let mut buffer = vec![0; CHUNK];
    walk(source, |reader, entry| {
        let mut hasher = XxHash3_64::new();
        let mut left = entry.length;
        while left > 0 {
            let count = left.min(CHUNK as u64);
            let chunk = buffer.get_mut(..count as usize).unwrap_or_default();
            reader.fill(chunk)?;
            hasher.write(chunk);
            left -= count;
        }
        Ok(hasher.finish())
    })
}

/// Reads header and table, and has each section read, whose checksum is
/// returned.
fn walk<S: Source>(
    source: &mut S,
    mut section: impl FnMut(&mut Reader<'_, S>, &TableEntry) -> Result<u64, ReadError<S::Error>>,
) -> Result<Contents, ReadError<S::Error>> {
    let (mut reader, header) = begin(source)?;
    let entries = reader.table(&header)?;
    let mut end = (HEADER + ENTRY * entries.len()) as u64;
    for entry in &entries {
        reader.section.clone_from(&entry.name);
        reader.zeros(entry.offset - end)?;
        if section(&mut reader, entry)? != entry.checksum {
            return Err(reader.flaw(DAMAGED));
        }
        end = entry.offset + entry.length;
    }
    let length = header.length;
    if reader.length != length {
        return Err(reader.flaw("is the last one, but the file goes on"));
    }
    Ok(Contents {
        format: FORMAT,
        created: header.created,
        version: header.version,
        length,
        digest: digest(&entries),
        sections: entries,
    })
}

/// Reads the header; the table is next.
fn begin<S: Source>(source: &mut S) -> Result<(Reader<'_, S>, Header), ReadError<S::Error>> {
    let length = source.length().map_err(ReadError::Source)?;
    let mut reader = Reader {
        source,
        section: "header".to_owned(),
        length,
        expected: HEADER as u64,
    };
    let header = reader.header()?;
    reader.expected = header.length;
    reader.section = "table".to_owned();
    Ok((reader, header))
}

/// What is wrong with what has another checksum than it should.
const DAMAGED: &str = "is damaged: its checksum is another";

/// What the header says.
struct Header {
    /// When it was made.
    created: UnixTime,
    /// The Weir that made it.
    version: String,
    /// The length of the whole.
    length: u64,
    /// How many sections there are.
    count: u32,
    /// The checksum of the table.
    table: u64,
}

/// A source, and what is being read of it.
struct Reader<'a, S> {
    /// It.
    source: &'a mut S,
    /// The section.
    section: String,
    /// The length of the source.
    length: u64,
    /// The length that it should have.
    expected: u64,
}

impl<S: Source> Reader<'_, S> {
    /// What is wrong with the section that is being read.
    fn flaw(&self, reason: &'static str) -> ReadError<S::Error> {
        ReadError::Flaw(Flaw {
            section: self.section.clone(),
            reason,
        })
    }

    /// Fills a buffer.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ReadError<S::Error>> {
        let count = self.source.read(buffer).map_err(ReadError::Source)?;
        match count == buffer.len() {
            true => Ok(()),
            false => Err(ReadError::Truncated {
                section: self.section.clone(),
                length: self.length,
                expected: self.expected,
            }),
        }
    }

    /// Reads zeros, less than a page of them.
    fn zeros(&mut self, count: u64) -> Result<(), ReadError<S::Error>> {
        let mut buffer = [0; PAGE as usize];
        let buffer = buffer.get_mut(..count as usize).unwrap_or_default();
        self.fill(buffer)?;
        match buffer.iter().all(|&octet| octet == 0) {
            true => Ok(()),
            false => Err(self.flaw("is damaged: what stands before it is not zero")),
        }
    }

    /// Reads the header.
    fn header(&mut self) -> Result<Header, ReadError<S::Error>> {
        let mut octets = [0; HEADER];
        let magic = octets.first_chunk_mut::<{ MAGIC.len() }>();
        let magic = magic.map_or(&mut [][..], |magic| magic);
        if self.length < MAGIC.len() as u64 {
            return Err(ReadError::Foreign);
        }
        self.fill(magic)?;
        if *magic != MAGIC {
            return Err(ReadError::Foreign);
        }
        self.fill(octets.get_mut(MAGIC.len()..).unwrap_or_default())?;
        let summed = octets.get(..AT_CHECKSUM.start).unwrap_or_default();
        if XxHash3_64::oneshot(summed) != long(&octets, AT_CHECKSUM) {
            return Err(self.flaw(DAMAGED));
        }
        let version = text(octets.get(AT_VERSION).unwrap_or_default());
        let version = version.ok_or_else(|| self.flaw("has a version that is no text"))?;
        let format = short(&octets, AT_FORMAT);
        if format != FORMAT {
            return Err(ReadError::Format { format, version });
        }
        if short(&octets, AT_ORDER) != ORDER {
            return Err(self.flaw("has numbers in another order of octets"));
        }
        let are_zero = |range: Range<usize>| {
            octets
                .get(range)
                .unwrap_or_default()
                .iter()
                .all(|&octet| octet == 0)
        };
        if !AT_ZERO.into_iter().all(are_zero) {
            return Err(self.flaw("has something where there should be zeros"));
        }
        let count = short(&octets, AT_COUNT);
        if count > SECTIONS_MAX {
            return Err(self.flaw("has too many sections"));
        }
        Ok(Header {
            created: UnixTime(long(&octets, AT_CREATED).cast_signed()),
            version,
            length: long(&octets, AT_LENGTH),
            count,
            table: long(&octets, AT_TABLE),
        })
    }

    /// Reads the table, and checks that each section stands where it belongs.
    fn table(&mut self, header: &Header) -> Result<Vec<TableEntry>, ReadError<S::Error>> {
        let mut table = vec![0; ENTRY * header.count as usize];
        self.fill(&mut table)?;
        if XxHash3_64::oneshot(&table) != header.table {
            return Err(self.flaw(DAMAGED));
        }
        let mut end = (HEADER + table.len()) as u64;
        let mut entries = Vec::with_capacity(header.count as usize);
        for octets in table.chunks_exact(ENTRY) {
            let (name, numbers) = octets.split_at(Section::NAME_MAX);
            let number = |place: usize| long(numbers, place * 8..place * 8 + 8);
            let (offset, length) = (number(0), number(1));
            let name = text(name).filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| self.flaw("has a name that is no text"))?;
            let behind = offset.checked_add(length);
            let behind = behind.filter(|&behind| behind <= header.length);
            let (Some(behind), true, 0) = (behind, offset == aligned(end, length), number(3))
            else {
                return Err(self.flaw("has a section that is not where it belongs"));
            };
            end = behind;
            entries.push(TableEntry {
                name,
                offset,
                length,
                checksum: number(2),
            });
        }
        if end != header.length {
            return Err(self.flaw("has sections that do not fill the file"));
        }
        // Whoever makes room for a section knows that there is one.
        if let Some(cut) = entries
            .iter()
            .find(|entry| entry.offset + entry.length > self.length)
        {
            return Err(ReadError::Truncated {
                section: cut.name.clone(),
                length: self.length,
                expected: header.length,
            });
        }
        Ok(entries)
    }
}

/// The text of a field that is filled up with zeros: ASCII that can be printed.
fn text(field: &[u8]) -> Option<String> {
    let length = field.iter().position(|&octet| octet == 0);
    let (text, zeros) = field.split_at_checked(length.unwrap_or(field.len()))?;
    let is_text = text.iter().all(u8::is_ascii_graphic) && zeros.iter().all(|&octet| octet == 0);
    is_text.then(|| text.iter().map(|&octet| char::from(octet)).collect())
}

/// A number of four octets; 0 if they are not there.
fn short(octets: &[u8], at: Range<usize>) -> u32 {
    let field = octets.get(at).and_then(|field| field.try_into().ok());
    field.map_or(0, u32::from_le_bytes)
}

/// A number of eight octets; 0 if they are not there.
fn long(octets: &[u8], at: Range<usize>) -> u64 {
    let field = octets.get(at).and_then(|field| field.try_into().ok());
    field.map_or(0, u64::from_le_bytes)
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
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
        write(&sections, UnixTime(1_790_000_000), &mut file).unwrap();
        file
    }

    /// What is said of a file.
    fn fate(mut file: &[u8]) -> Result<Contents, ReadError<Infallible>> {
        let read = read(&mut { file }).map(|(contents, _)| contents);
        assert_eq!(read, verify(&mut file));
        read
    }

    /// The places are those of the table in the documentation, taken by hand.
    #[test]
    fn a_file_is_laid_out_as_described() {
        let file = sample();
        let contents = fate(&file).unwrap();
        assert_eq!(file[..16], *b"\x89WEIR\r\n\x1a\x01\0\0\0\x04\x03\x02\x01");
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

    /// XXH3 of nothing with seed 0, from its specification.
    #[test]
    fn checksums_are_those_of_the_specification() {
        let contents = fate(&sample()).unwrap();
        assert_eq!(contents.sections[1].checksum, 0x2d06_8005_38d3_94c2);
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
        file[AT_FORMAT].copy_from_slice(&2u32.to_le_bytes());
        let checksum = XxHash3_64::oneshot(&file[..AT_CHECKSUM.start]);
        file[AT_CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let expected = ReadError::Format { format: 2, version };
        assert_eq!(fate(&file), Err(expected));
        assert_eq!(fate(b"imei\n490154203237518\n"), Err(ReadError::Foreign));
    }

    #[test]
    fn the_digest_is_of_the_sections_only() {
        let digest = |created, text: &[u8]| {
            let mut file = Vec::new();
            let sections = [Section::new("a", text)];
            write(&sections, UnixTime(created), &mut file)
                .unwrap()
                .digest
        };
        assert_eq!(digest(1, b"x"), digest(2, b"x"));
        assert_ne!(digest(1, b"x"), digest(1, b"y"));
    }
}
