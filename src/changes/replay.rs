//! From the octets of a journal to its steps.

use thiserror::Error;

use super::step::{Reader, Step};
use super::{
    Composer, END, FORMAT, FORMAT_FOLDED, HEAD_LEN, HEADER_LEN, MAGIC, MARK, RECORD_MAX, checksum,
};
use crate::time::UnixTime;

/// What a disk writes as a whole or not at all: no disk has smaller sectors.
const SECTOR: usize = 512;

//----------- Header ----------------------------------------------------------

/// What stands before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the file, a random one.
    pub file: u64,
    /// The number of the last change before it.
    pub last: u64,
    /// When it was made.
    pub created: UnixTime,
    /// Where the changes are that are not in it, if not all of them are.
    pub fold: Option<Fold>,
}

/// Older changes, which are kept in a file of their own, and are part of a
/// snapshot that was made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The number of the last of them.
    pub through: u64,
    /// The number of their file, see [`digest`](super::digest).
    pub file: u64,
}

impl Header {
    /// Appends it; returns its checksum.
    pub(super) fn compose(&self, out: &mut Vec<u8>) -> u64 {
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(&MAGIC);
        let format = match self.fold {
            None => FORMAT,
            Some(_) => FORMAT_FOLDED,
        };
        header.extend_from_slice(&format.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&self.file.to_le_bytes());
        header.extend_from_slice(&self.last.to_le_bytes());
        header.extend_from_slice(&self.created.0.to_le_bytes());
        let fold = self.fold.map_or([0; 2], |fold| [fold.through, fold.file]);
        for number in fold {
            header.extend_from_slice(&number.to_le_bytes());
        }
        let check = checksum(&header, self.file);
        header.extend_from_slice(&check.to_le_bytes());
        out.extend_from_slice(&header);
        check
    }

    /// Reads it, with its checksum.
    fn parse(octets: &[u8]) -> Result<(Self, u64), Damage> {
        let damage = |what| Damage { offset: 0, what };
        let octets = octets.first_chunk::<HEADER_LEN>();
        let octets = octets.ok_or_else(|| damage("is shorter than a header"))?;
        if !octets.starts_with(&MAGIC) {
            return Err(damage("is no journal of changes"));
        }
        let number = |at| u64_at(octets, at);
        let (file, check) = (number(16), number(56));
        let covered = octets.get(..HEADER_LEN - 8).unwrap_or_default();
        let format = number(8);
        if checksum(covered, file) != check {
            return Err(damage("its header is damaged"));
        }
        let fold = match format {
            _ if format == u64::from(FORMAT) => None,
            _ if format == u64::from(FORMAT_FOLDED) => Some(Fold {
                through: number(40),
                file: number(48),
            }),
            _ => return Err(damage("is of a newer format; use the Weir that wrote it")),
        };
        let header = Self {
            file,
            last: number(24),
            created: UnixTime(number(32).cast_signed()),
            fold,
        };
        Ok((header, check))
    }
}

/// The number at a place, which is there.
fn u64_at(octets: &[u8], at: usize) -> u64 {
    let number = octets.get(at..).and_then(<[u8]>::first_chunk);
    number.map_or(0, |number| u64::from_le_bytes(*number))
}

//----------- Replay ----------------------------------------------------------

/// What was found in a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Its header.
    pub header: Header,
    /// The octets that are whole; what is behind them is to be cut off.
    pub length: usize,
    /// The octets behind them: of a write that was interrupted.
    pub torn: usize,
    /// How many records there are.
    pub records: u64,
    /// Writes what comes next.
    pub composer: Composer,
}

/// Why a journal cannot be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("octet {offset}: {what}")]
pub struct Damage {
    /// Where: what is before this octet is as it was written.
    pub offset: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// Calls `visitor` with each step of a journal, in their order.
///
/// # Errors
///
/// If it is not as it was written, for another reason than that the last write
/// was interrupted. `visitor` has then been called with the steps before.
pub fn replay(octets: &[u8], mut visitor: impl FnMut(Step)) -> Result<Replay, Damage> {
    let (header, mut previous) = Header::parse(octets)?;
    let mut offset = HEADER_LEN;
    let mut records = 0;
    let mut names = [None, None];
    let whole = loop {
        let rest = octets.get(offset..).unwrap_or_default();
        if rest.is_empty() {
            break offset;
        }
        let damage = |what| Damage { offset, what };
        let record = match Record::parse(rest, header.file) {
            Ok(record) => record,
            // What was written since the disk was last waited for.
            Err(Flaw::Short) => break offset,
            Err(Flaw::Wrong { end, what }) => {
                let end = end.map_or(octets.len(), |end| offset + end);
                if has_zero_sector(octets, offset, end) && !has_record(rest, header.file) {
                    break offset;
                }
                return Err(damage(what));
            }
        };
        if record.number != records || record.previous != previous {
            return Err(damage("a record is not of this place"));
        }
        let mut reader = Reader::new(record.body, &mut names);
        while !reader.is_done() {
            let step = reader.step();
            visitor(step.ok_or_else(|| damage("a record makes no sense"))?);
        }
        records += 1;
        previous = record.check;
        offset += record.length;
    };
    Ok(Replay {
        header,
        length: whole,
        torn: octets.len() - whole,
        records,
        composer: Composer {
            file: header.file,
            record: records,
            previous,
        },
    })
}

//----------- Record ----------------------------------------------------------

/// A record that is as it was written.
struct Record<'a> {
    /// Which of the file.
    number: u64,
    /// The checksum of the one before.
    previous: u64,
    /// That of its steps.
    check: u64,
    /// The steps.
    body: &'a [u8],
    /// The octets of all of it.
    length: usize,
}

/// Why octets do not begin with a whole record.
enum Flaw {
    /// They end too early.
    Short,
    /// They are not what was written.
    Wrong {
        /// Where the record ends, if that is known.
        end: Option<usize>,
        /// What is wrong.
        what: &'static str,
    },
}

impl<'a> Record<'a> {
    /// Reads the record that octets begin with.
    fn parse(octets: &'a [u8], file: u64) -> Result<Self, Flaw> {
        let Some(head) = octets.first_chunk::<HEAD_LEN>() else {
            // The head of one that was cut off is what was written of it, or
            // was never written.
            let is_zero = octets.iter().all(|&octet| octet == 0);
            let begins = MARK.iter().zip(octets).all(|(mark, octet)| mark == octet);
            return Err(match is_zero || begins {
                true => Flaw::Short,
                false => Flaw::Wrong {
                    end: None,
                    what: "what follows the last record is none",
                },
            });
        };
        let wrong = |what| Flaw::Wrong { end: None, what };
        let covered = head.get(..HEAD_LEN - 8).unwrap_or_default();
        if !head.starts_with(&MARK) || checksum(covered, file) != u64_at(head, 32) {
            return Err(wrong("the head of a record is damaged"));
        }
        let length = (u64_at(head, 0) >> 32) as usize;
        if length > RECORD_MAX {
            return Err(wrong("a record is too long"));
        }
        let length = HEAD_LEN + length;
        let Some(body) = octets.get(HEAD_LEN..length) else {
            return Err(Flaw::Short);
        };
        let wrong = |what| Flaw::Wrong {
            end: Some(length),
            what,
        };
        let check = u64_at(head, 24);
        if checksum(body, file) != check {
            return Err(wrong("a record is damaged"));
        }
        let Some((&END, body)) = body.split_last() else {
            return Err(wrong("a record has no end"));
        };
        Ok(Self {
            number: u64_at(head, 8),
            previous: u64_at(head, 16),
            check,
            body,
            length,
        })
    }
}

/// Whether what lies in some sector between two places is zero: it never reached
/// the disk.
fn has_zero_sector(octets: &[u8], from: usize, to: usize) -> bool {
    let mut at = from;
    while at < to {
        let end = (at / SECTOR + 1) * SECTOR;
        let sector = octets.get(at..end.min(to)).unwrap_or_default();
        if sector.iter().all(|&octet| octet == 0) {
            return true;
        }
        at = end;
    }
    false
}

/// Whether a whole record begins behind the first octet: then what is before it
/// was waited for.
fn has_record(octets: &[u8], file: u64) -> bool {
    let places = octets.windows(MARK.len()).enumerate().skip(1);
    let mut marks = places.filter(|(_, octets)| *octets == MARK);
    marks.any(|(at, _)| {
        let rest = octets.get(at..).unwrap_or_default();
        Record::parse(rest, file).is_ok()
    })
}
