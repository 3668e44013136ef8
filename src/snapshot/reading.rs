//! Named sections of octets, read and checked; see [the format](super).
//!
//! ```text
//! header, table ─▶ gaps ─▶ blocks of all sections, by as many as are at work ─▶ checksums
//! ```
//!
//! A section is read into memory of its own, or stays where it is: in a region
//! such as a mapped file, and what no lookup needs in the file itself.

use core::convert::Infallible;
use core::hash::Hasher as _;
use core::ops::Range;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::checksum::{self, BLOCK};
use super::container::{
    AT_CHECKSUM, AT_COUNT, AT_CREATED, AT_FORMAT, AT_LENGTH, AT_ORDER, AT_TABLE, AT_VERSION,
    AT_ZERO, Contents, ENTRY, HEADER, MAGIC, ORDER, PAGE, SECTIONS_MAX, TableEntry, aligned,
    digest, first,
};
use super::{FORMAT, ReadError};
use crate::equipment::devices::Region;
use crate::equipment::{Flaw, Left, Octets, Parts, Section, Store};
use crate::time::UnixTime;

/// Octets that are read and summed at a time: they stay in the cache between.
const CHUNK: usize = 256 * 1024;

/// Octets up to which a section is read although it might be left where it is:
/// then it is checked as well.
const LEFT_MIN: u64 = 1024 * 1024;

//----------- Source ----------------------------------------------------------

/// Where octets come from.
pub trait Source: Sync {
    /// Why there are none.
    type Error: Send;

    /// How many there are.
    ///
    /// # Errors
    ///
    /// When that cannot be told.
    fn length(&self) -> Result<u64, Self::Error>;

    /// Fills the buffer with those from a place on. Returns how many there were:
    /// less than asked for at the end only.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error>;

    /// All of them as memory, if sections are to stay there. It ends with zeros
    /// that make the last cache line full.
    fn region(&self) -> Option<Arc<dyn Region>> {
        None
    }

    /// Has a part of the region brought into memory, if that is not what would
    /// happen anyhow when it is read.
    fn populate(&self, part: Range<u64>) {
        let _ = part;
    }

    /// Where sections can be read later that no lookup needs, if there is such a
    /// place.
    fn store(&self) -> Option<Arc<dyn Store>> {
        None
    }

    /// Does the work on each of the tasks, on several at once if there is
    /// somebody to do so, and returns what came of it in their order.
    fn each<T: Send, R: Send>(&self, tasks: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        tasks.into_iter().map(work).collect()
    }
}

impl Source for &[u8] {
    type Error = Infallible;

    fn length(&self) -> Result<u64, Infallible> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = self.get(from..).unwrap_or_default();
        let count = buffer.len().min(there.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), there.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

//----------- Reading ---------------------------------------------------------

/// Reads all sections and checks them, but for those that are left where they
/// are.
pub(super) fn read<S: Source>(source: &S) -> Result<(Contents, Parts), ReadError<S::Error>> {
    let (reader, header, entries) = begin(source)?;
    let (region, store) = (source.region(), source.store());
    let mut sections = Vec::with_capacity(entries.len());
    for (number, entry) in entries.iter().enumerate() {
        if entries
            .iter()
            .take(number)
            .any(|before| before.name == entry.name)
        {
            return Err(entry.flaw("is there twice"));
        }
        sections.push(match (&region, &store) {
            (_, Some(store)) if may_be_left(entry) => Place::Left(Arc::clone(store)),
            (Some(region), _) => Place::Mapped(entry.of_region(region)?),
            (None, _) => Place::Own(Octets::zeroed(entry.size()?)),
        });
    }
    let mut tasks = Vec::new();
    for (number, (section, entry)) in sections.iter_mut().zip(&entries).enumerate() {
        let offsets = (entry.offset..).step_by(BLOCK);
        match section {
            Place::Own(octets) => {
                let blocks = octets.as_mut_slice().chunks_mut(BLOCK);
                let blocks = blocks.zip(offsets);
                tasks.extend(blocks.map(|(block, offset)| (number, offset, Block::Read(block))));
            }
            Place::Mapped(octets) => {
                let blocks = octets.as_slice().chunks(BLOCK);
                let blocks = blocks.zip(offsets);
                tasks.extend(blocks.map(|(block, offset)| (number, offset, Block::Sum(block))));
            }
            Place::Left(_) => {}
        }
    }
    let sums = source.each(tasks, |(number, offset, block)| {
        let name = entries.get(number).map_or("", |entry| &entry.name);
        let sum = match block {
            Block::Read(block) => reader.fill_and_sum(name, offset, block),
            Block::Sum(block) => {
                source.populate(offset..offset.saturating_add(block.len() as u64));
                Ok(XxHash3_64::oneshot(block))
            }
        };
        (number, sum)
    });
    let left = |number| matches!(sections.get(number), Some(Place::Left(_)));
    check_sums(&entries, sums, left)?;
    let mut parts = Parts::default();
    for (section, entry) in sections.into_iter().zip(&entries) {
        let name = entry.name.clone();
        match section {
            Place::Own(octets) | Place::Mapped(octets) => parts.insert(name, octets),
            Place::Left(store) => {
                let (offset, len) = (entry.offset, entry.length);
                parts.leave(name, Left { store, offset, len })
            }
        };
    }
    Ok((header.contents(entries), parts))
}

/// Where a section is to be.
enum Place {
    /// In memory of its own.
    Own(Octets),
    /// In the region.
    Mapped(Octets),
    /// Where it is.
    Left(Arc<dyn Store>),
}

/// A block of a section.
enum Block<'a> {
    /// Is to be read, and summed.
    Read(&'a mut [u8]),
    /// Is there, and is to be summed.
    Sum(&'a [u8]),
}

/// Whether a section may be left where it is.
fn may_be_left(entry: &TableEntry) -> bool {
    entry.length > LEFT_MIN && Section::LEFT.contains(&&*entry.name)
}

/// Reads one section.
pub(super) fn read_one<S: Source>(
    source: &S,
    section: &str,
) -> Result<(Contents, Parts), ReadError<S::Error>> {
    let (reader, header, entries) = begin(source)?;
    let mut parts = Parts::default();
    if let Some(entry) = entries.iter().find(|entry| entry.name == section) {
        let mut octets = Octets::zeroed(entry.size()?);
        let blocks = octets.as_mut_slice().chunks_mut(BLOCK);
        let blocks = blocks.zip((entry.offset..).step_by(BLOCK));
        let sums =
            blocks.map(|(block, offset)| (0, reader.fill_and_sum(&entry.name, offset, block)));
        check_sums(core::slice::from_ref(entry), sums.collect(), |_| false)?;
        parts.insert(entry.name.clone(), octets);
    }
    Ok((header.contents(entries), parts))
}

/// Reads all sections and forgets them.
pub(super) fn verify<S: Source>(source: &S) -> Result<Contents, ReadError<S::Error>> {
    let (reader, header, entries) = begin(source)?;
    let mut tasks = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let end = entry.offset.saturating_add(entry.length);
        let blocks = (entry.offset..end).step_by(BLOCK);
        tasks.extend(blocks.map(|offset| (number, offset, (end - offset).min(BLOCK as u64))));
    }
    let sums = source.each(tasks, |(number, offset, length)| {
        let name = entries.get(number).map_or("", |entry| &entry.name);
        (number, reader.sum(name, offset, length))
    });
    check_sums(&entries, sums, |_| false)?;
    Ok(header.contents(entries))
}

/// Checks the checksums of sections by those of their blocks, which come in
/// their order, each with the number of its section.
fn check_sums<E>(
    entries: &[TableEntry],
    sums: Vec<(usize, Result<u64, ReadError<E>>)>,
    is_left: impl Fn(usize) -> bool,
) -> Result<(), ReadError<E>> {
    let mut sums = sums.into_iter().peekable();
    for (number, entry) in entries.iter().enumerate() {
        let mut blocks = Vec::new();
        while let Some((_, sum)) = sums.next_if(|(own, _)| *own == number) {
            blocks.push(sum?);
        }
        if !is_left(number) && checksum::of_blocks(blocks.into_iter()) != entry.checksum {
            return Err(entry.flaw(DAMAGED));
        }
    }
    Ok(())
}

/// A source whose header and sections are known.
type Begun<'a, S> = (Reader<'a, S>, Header, Vec<TableEntry>);

/// Reads header and table, and what stands between the sections.
fn begin<S: Source>(source: &S) -> Result<Begun<'_, S>, ReadError<S::Error>> {
    let length = source.length().map_err(ReadError::Source)?;
    let mut reader = Reader {
        source,
        length,
        expected: HEADER as u64,
    };
    let header = reader.header()?;
    reader.expected = header.length;
    let entries = reader.table(&header)?;
    let mut end = first(entries.len());
    for entry in &entries {
        reader.zeros(entry, end)?;
        end = entry.offset.saturating_add(entry.length);
    }
    if let Some(last) = entries.last()
        && length != header.length
    {
        return Err(last.flaw("is the last one, but the file goes on"));
    }
    if length != header.length {
        return Err(flaw(TABLE_NAME, "is the last one, but the file goes on"));
    }
    Ok((reader, header, entries))
}

/// What is wrong with what has another checksum than it should.
const DAMAGED: &str = "is damaged: its checksum is another";

/// What the header is called in what is wrong.
const HEADER_NAME: &str = "header";
/// What the table is called.
const TABLE_NAME: &str = "table";

/// What is wrong with a section.
fn flaw<E>(section: &str, reason: &'static str) -> ReadError<E> {
    ReadError::Flaw(Flaw {
        section: section.to_owned(),
        reason,
    })
}

impl TableEntry {
    /// What is wrong with it.
    fn flaw<E>(&self, reason: &'static str) -> ReadError<E> {
        flaw(&self.name, reason)
    }

    /// Its octets, of which the source has no less.
    fn size<E>(&self) -> Result<usize, ReadError<E>> {
        let size = usize::try_from(self.length);
        size.map_err(|_| self.flaw("is larger than this machine's memory"))
    }

    /// It as a part of a region.
    fn of_region<E>(&self, region: &Arc<dyn Region>) -> Result<Octets, ReadError<E>> {
        let part = usize::try_from(self.offset).ok().and_then(|from| {
            let end = from.checked_add(usize::try_from(self.length).ok()?)?;
            Octets::of_region(region, from..end)
        });
        part.ok_or_else(|| self.flaw("is not within the memory of its file"))
    }
}

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

impl Header {
    /// What it is, with these sections.
    fn contents(self, sections: Vec<TableEntry>) -> Contents {
        Contents {
            format: FORMAT,
            created: self.created,
            version: self.version,
            length: self.length,
            digest: digest(&sections),
            sections,
        }
    }
}

/// A source, and how long it is.
struct Reader<'a, S> {
    /// It.
    source: &'a S,
    /// The length of the source.
    length: u64,
    /// The length that it should have.
    expected: u64,
}

impl<S: Source> Reader<'_, S> {
    /// Fills a buffer with the octets of a section from a place on.
    fn fill(
        &self,
        section: &str,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), ReadError<S::Error>> {
        let count = self
            .source
            .read_at(offset, buffer)
            .map_err(ReadError::Source)?;
        match count == buffer.len() {
            true => Ok(()),
            false => Err(ReadError::Truncated {
                section: section.to_owned(),
                length: self.length,
                expected: self.expected,
            }),
        }
    }

    /// The same with a whole block; returns its checksum.
    fn fill_and_sum(
        &self,
        section: &str,
        offset: u64,
        block: &mut [u8],
    ) -> Result<u64, ReadError<S::Error>> {
        let mut checksum = XxHash3_64::new();
        for (chunk, offset) in block.chunks_mut(CHUNK).zip((offset..).step_by(CHUNK)) {
            self.fill(section, offset, chunk)?;
            checksum.write(chunk);
        }
        Ok(checksum.finish())
    }

    /// The checksum of a block, which is read and forgotten.
    fn sum(&self, section: &str, offset: u64, length: u64) -> Result<u64, ReadError<S::Error>> {
        let mut buffer = vec![0; CHUNK.min(length as usize)];
        let mut checksum = XxHash3_64::new();
        let end = offset.saturating_add(length);
        for from in (offset..end).step_by(CHUNK) {
            let count = (end - from).min(CHUNK as u64) as usize;
            let chunk = buffer.get_mut(..count).unwrap_or_default();
            self.fill(section, from, chunk)?;
            checksum.write(chunk);
        }
        Ok(checksum.finish())
    }

    /// Checks that there are zeros, less than a page of them, from the end of
    /// what is before a section to its beginning.
    fn zeros(&self, entry: &TableEntry, end: u64) -> Result<(), ReadError<S::Error>> {
        let mut buffer = [0; PAGE as usize];
        let count = entry.offset.saturating_sub(end) as usize;
        let buffer = buffer.get_mut(..count).unwrap_or_default();
        self.fill(&entry.name, end, buffer)?;
        match buffer.iter().all(|&octet| octet == 0) {
            true => Ok(()),
            false => Err(entry.flaw("is damaged: what stands before it is not zero")),
        }
    }

    /// Reads the header.
    fn header(&self) -> Result<Header, ReadError<S::Error>> {
        let mut octets = [0; HEADER];
        let magic = octets.first_chunk_mut::<{ MAGIC.len() }>();
        let magic = magic.map_or(&mut [][..], |magic| magic);
        if self.length < MAGIC.len() as u64 {
            return Err(ReadError::Foreign);
        }
        self.fill(HEADER_NAME, 0, magic)?;
        if *magic != MAGIC {
            return Err(ReadError::Foreign);
        }
        let behind = octets.get_mut(MAGIC.len()..).unwrap_or_default();
        self.fill(HEADER_NAME, MAGIC.len() as u64, behind)?;
        let summed = octets.get(..AT_CHECKSUM.start).unwrap_or_default();
        if XxHash3_64::oneshot(summed) != long(&octets, AT_CHECKSUM) {
            return Err(flaw(HEADER_NAME, DAMAGED));
        }
        let version = text(octets.get(AT_VERSION).unwrap_or_default());
        let version = version.ok_or_else(|| flaw(HEADER_NAME, "has a version that is no text"))?;
        let format = short(&octets, AT_FORMAT);
        if format != FORMAT {
            return Err(ReadError::Format { format, version });
        }
        if short(&octets, AT_ORDER) != ORDER {
            return Err(flaw(HEADER_NAME, "has numbers in another order of octets"));
        }
        let are_zero = |range: Range<usize>| {
            octets
                .get(range)
                .unwrap_or_default()
                .iter()
                .all(|&octet| octet == 0)
        };
        if !AT_ZERO.into_iter().all(are_zero) {
            return Err(flaw(
                HEADER_NAME,
                "has something where there should be zeros",
            ));
        }
        let count = short(&octets, AT_COUNT);
        if count > SECTIONS_MAX {
            return Err(flaw(HEADER_NAME, "has too many sections"));
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
    fn table(&self, header: &Header) -> Result<Vec<TableEntry>, ReadError<S::Error>> {
        let mut table = vec![0; ENTRY * header.count as usize];
        self.fill(TABLE_NAME, HEADER as u64, &mut table)?;
        if XxHash3_64::oneshot(&table) != header.table {
            return Err(flaw(TABLE_NAME, DAMAGED));
        }
        let mut end = (HEADER + table.len()) as u64;
        let mut entries = Vec::with_capacity(header.count as usize);
        for octets in table.chunks_exact(ENTRY) {
            let (name, numbers) = octets.split_at(Section::NAME_MAX);
            let number = |place: usize| long(numbers, place * 8..place * 8 + 8);
            let (offset, length) = (number(0), number(1));
            let name = text(name).filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| flaw(TABLE_NAME, "has a name that is no text"))?;
            let behind = offset.checked_add(length);
            let behind = behind.filter(|&behind| behind <= header.length);
            let (Some(behind), true, 0) = (behind, offset == aligned(end, length), number(3))
            else {
                return Err(flaw(
                    TABLE_NAME,
                    "has a section that is not where it belongs",
                ));
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
            return Err(flaw(TABLE_NAME, "has sections that do not fill the file"));
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
