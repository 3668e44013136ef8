//! The journal of single changes, as octets, and what of it is in force.
//!
//! ```text
//! ┌────────┬────────┬────────┬─   ─┐        ┌──────┬────────┬────────┬─  ─┬────┐
//! │ header │ record │ record │  …  │        │ head │ change │ change │ …  │ 0A │
//! │ 64     │        │        │     │        │ 40   │        │        │    │    │
//! └────────┴────────┴────────┴─   ─┘        └──────┴────────┴────────┴─  ─┴────┘
//! ```
//!
//! A journal is only ever appended to, one record with one write and one wait
//! for the disk. All changes of a record are made at once: they are all there,
//! or none is. All numbers are little-endian.
//!
//! # Header
//!
//! | octets | what |
//! |---|---|
//! | 0–7 | `89 57 45 49 4A 0D 0A 1A` |
//! | 8–11 | the number of the format, [`FORMAT`], or [`FORMAT_FOLDED`] where changes are folded |
//! | 12–15 | zero |
//! | 16–23 | a random number, that of the file |
//! | 24–31 | the number of the last change before the file |
//! | 32–39 | when it was made, in seconds since 1970 |
//! | 40–47 | the number of the last change that is folded, see [`Fold`] |
//! | 48–55 | the number of the file that has these |
//! | 56–63 | the checksum of the octets before |
//!
//! # Record
//!
//! | octets | what |
//! |---|---|
//! | 0–3 | `A5 4A 72 63` |
//! | 4–7 | the length of what follows the head |
//! | 8–15 | which record of the file it is, from 0 |
//! | 16–23 | the checksum of the changes of the record before; of the first, that of the header |
//! | 24–31 | the checksum of the changes |
//! | 32–39 | the checksum of the octets before |
//!
//! Then come the changes ([`Step`]), and a last octet `0A`. Checksums are XXH3 of
//! 64 bits that begin with the number of the file, so that a record of another
//! file, or of another place, is none of this one.
//!
//! # What is damaged, and what was cut off
//!
//! A write that a crash has interrupted leaves the beginning of a record, or one
//! in which sectors that never reached the disk are zero, at the end of the
//! file: nobody was told that its changes were made, so that it is cut off. All
//! else that is not as it was written, down to a single bit, is damage
//! ([`Damage`]): a record that is there in full length and has no sector of
//! zeros, and whatever a whole record follows. No sector of a record is zero by
//! itself: it begins with a mark, ends with `0A`, and has no text with zeros.

mod live;
mod replay;
mod step;

pub use self::live::Live;
pub use self::replay::{Damage, Fold, Header, Replay, replay};
pub use self::step::{BY_MAX, LIST_MAX, REASON_MAX, Step, steps};

use twox_hash::XxHash3_64;

/// The number of the format of a journal that has all changes.
pub const FORMAT: u32 = 1;

/// That of one that has not: who does not know of the others must not go on
/// without them.
pub const FORMAT_FOLDED: u32 = 2;

/// The first octets of a journal.
const MAGIC: [u8; 8] = [0x89, b'W', b'E', b'I', b'J', 0x0d, 0x0a, 0x1a];

/// The octets of a header.
pub const HEADER_LEN: usize = 64;

/// The first octets of a record.
const MARK: [u8; 4] = [0xa5, b'J', b'r', b'c'];

/// The octets of a record before its changes.
pub const HEAD_LEN: usize = 40;

/// The last octet of a record.
const END: u8 = b'\n';

/// The longest record: what a group of changes may need, and not what would
/// fill the memory.
pub const RECORD_MAX: usize = 64 * 1024 * 1024;

/// The checksum of octets of a file with this number.
fn checksum(octets: &[u8], file: u64) -> u64 {
    XxHash3_64::oneshot_with_seed(file, octets)
}

/// The checksum of a whole file of changes that are folded: it is the number by
/// which a journal names it.
#[must_use]
pub fn digest(octets: &[u8]) -> u64 {
    checksum(octets, 0)
}

//----------- Composer --------------------------------------------------------

/// Writes the records of one journal, each to be appended as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composer {
    /// The number of the file.
    file: u64,
    /// The number of the next record.
    record: u64,
    /// The checksum of the record before.
    previous: u64,
}

impl Composer {
    /// Appends a header, and writes what comes behind it.
    #[must_use]
    pub fn begin(header: &Header, out: &mut Vec<u8>) -> Self {
        let previous = header.compose(out);
        Self {
            file: header.file,
            record: 0,
            previous,
        }
    }

    /// Appends a record of these steps; with none, or more than
    /// [`RECORD_MAX`] takes, nothing, and it is `false`.
    pub fn record(&mut self, steps: &[Step], out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        let mut head = [0; HEAD_LEN];
        out.extend_from_slice(&head);
        let body_at = out.len();
        steps.iter().for_each(|step| step.compose(out));
        out.push(END);
        let body = out.get(body_at..).unwrap_or_default();
        let length = u32::try_from(body.len()).ok();
        let length = length.filter(|&length| length as usize <= RECORD_MAX);
        let (Some(length), false) = (length, steps.is_empty()) else {
            out.truncate(begin);
            return false;
        };
        let check = checksum(body, self.file);
        let mut fields = Vec::with_capacity(HEAD_LEN);
        fields.extend_from_slice(&MARK);
        fields.extend_from_slice(&length.to_le_bytes());
        fields.extend_from_slice(&self.record.to_le_bytes());
        fields.extend_from_slice(&self.previous.to_le_bytes());
        fields.extend_from_slice(&check.to_le_bytes());
        let own = checksum(&fields, self.file);
        fields.extend_from_slice(&own.to_le_bytes());
        head.copy_from_slice(&fields);
        if let Some(place) = out.get_mut(begin..body_at) {
            place.copy_from_slice(&head);
        }
        self.record += 1;
        self.previous = check;
        true
    }
}
