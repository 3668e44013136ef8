//! Rules and bindings while they are collected, and what an index says of them.

use super::rule::OF_DEVICE;
use super::stored::{Array, Column, Flaw, Parts, Section, StoredRule};
use super::{Device, Scope, Special, Svn, Tac, TacPrefix};

//----------- Entry -----------------------------------------------------------

/// What an index says of a rule or binding, so that a lookup needs nothing else
/// of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The number of its record.
    pub(super) number: u32,
    /// The number of its terms.
    pub(super) terms: u32,
    /// Its scope, packed; [`Spans`] unpack it.
    pub(super) scope: u64,
}

/// Words of an [`Entry`].
pub(super) const ENTRY: usize = 4;

impl From<Entry> for [u32; ENTRY] {
    fn from(entry: Entry) -> Self {
        let Entry {
            number,
            terms,
            scope,
        } = entry;
        [number, terms, scope as u32, (scope >> u32::BITS) as u32]
    }
}

impl From<[u32; ENTRY]> for Entry {
    #[inline]
    fn from([number, terms, low, high]: [u32; ENTRY]) -> Self {
        Self {
            number,
            terms,
            scope: u64::from(low) | u64::from(high) << u32::BITS,
        }
    }
}

//----------- Spans -----------------------------------------------------------

/// Unpacks scopes: the ends of ranges are too long to be packed, and stand here.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans {
    /// The first and the last device of each range.
    ends: Array<[u64; 2]>,
}

impl Spans {
    /// The scope that was packed.
    #[inline]
    pub(super) fn scope(&self, packed: u64) -> Option<Scope> {
        unpack(packed, |place| self.ends.all().get(place).copied())
    }

    /// The section of them.
    pub(super) fn store(&self, name: &'static str) -> Section<'_> {
        Section::new(name, self.ends.octets())
    }

    /// Those of a section.
    pub(super) fn restore(name: &'static str, parts: &mut Parts) -> Result<Self, Flaw> {
        let ends = Array::of(parts.take(name)?).map_err(|damage| damage.of(name))?;
        Ok(Self { ends })
    }
}

/// Packs scopes, and collects [`Spans`] with what does not fit.
#[derive(Clone, Debug, Default)]
pub(super) struct Packer {
    /// The first and the last device of each range.
    ends: Vec<[u64; 2]>,
}

impl Packer {
    /// A scope in one word: the kind in the top three bits, the digits or a place
    /// below.
    pub(super) fn pack(&mut self, scope: Scope) -> u64 {
        let (kind, value) = match scope {
            Scope::DeviceSvn(device, svn) => (DEVICE_SVN, device_svn_key(device, svn)),
            Scope::Device(device) => (DEVICE, device.number()),
            Scope::Range { from, to } => {
                self.ends.push([from.number(), to.number()]);
                (RANGE, self.ends.len() as u64 - 1)
            }
            Scope::Tac(tac) => (TAC, u64::from(tac.number())),
            Scope::TacPrefix(prefix) => (
                TAC_PREFIX,
                (prefix.digits() as u64) << PREFIX_SHIFT | u64::from(prefix.number()),
            ),
            Scope::Special(special) => (SPECIAL, special.number() as u64),
        };
        kind << KIND_SHIFT | value
    }

    /// What unpacks the scopes that were packed.
    pub(super) fn spans(&self) -> Spans {
        Spans {
            ends: Array::from(&self.ends[..]),
        }
    }
}

//----------- Record ----------------------------------------------------------

/// One rule in 24 bytes.
///
/// What many records share stands elsewhere, once: the list, status and dates
/// in the terms, the file and reason in the sources.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// The scope, packed by [`Records`].
    scope: u64,
    /// The number of its terms.
    pub(super) terms: u32,
    /// The number of its source.
    pub(super) source: u32,
    /// The line of the file.
    pub(super) line: u32,
    /// The next record with the same key, or [`NONE`].
    pub(super) next: u32,
}

/// The number of no record, which ends a chain of them.
pub(super) const NONE: u32 = u32::MAX;

/// How many records there may be: the numbers above are those of other rules.
pub(super) const RECORDS_MAX: u32 = OF_DEVICE;

// More than this, and a register of many devices would not fit in memory.
const _: () = assert!(size_of::<Record>() == 24);

//----------- Records ---------------------------------------------------------

/// All rules but those of single devices, in the order in which they were added,
/// while there may be more of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    /// Them.
    records: Vec<Record>,
    /// Packs their scopes.
    packer: Packer,
}

impl Records {
    /// Appends a record with no successor; `None` if the numbers are used up.
    pub(super) fn push(&mut self, scope: Scope, terms: u32, source: u32, line: u32) -> Option<u32> {
        let number = u32::try_from(self.records.len()).ok()?;
        if number >= RECORDS_MAX {
            return None;
        }
        let scope = self.packer.pack(scope);
        self.records.push(Record {
            scope,
            terms,
            source,
            line,
            next: NONE,
        });
        Some(number)
    }

    /// Lets `next` follow on a record.
    pub(super) fn link(&mut self, number: u32, next: u32) {
        if let Some(record) = self.records.get_mut(number as usize) {
            record.next = next;
        }
    }

    /// The record with this number.
    pub(super) fn find(&self, number: u32) -> Option<&Record> {
        self.records.get(number as usize)
    }

    /// A record and those that follow on it.
    #[inline]
    pub(super) fn chain(&self, head: u32) -> impl Iterator<Item = (u32, &Record)> {
        let mut number = head;
        core::iter::from_fn(move || {
            // Nothing has the number that ends a chain, so the chain ends.
            let record = self.find(number)?;
            let current = number;
            number = record.next;
            Some((current, record))
        })
    }

    /// All records as they are stored: for explanations.
    pub(super) fn column(&self) -> Column<StoredRule> {
        let stored = self.records.iter().filter_map(|record| {
            let of = (record.terms, record.source, record.line);
            Some(StoredRule::new(self.scope(record)?, of))
        });
        Column::collect(self.records.len(), stored)
    }

    /// What an index says of a record.
    pub(super) fn entry(&self, number: u32) -> Option<Entry> {
        let record = self.find(number)?;
        Some(Entry {
            number,
            terms: record.terms,
            scope: record.scope,
        })
    }

    /// What unpacks the scopes of entries.
    pub(super) fn spans(&self) -> Spans {
        self.packer.spans()
    }

    /// The scope of a record of this collection.
    pub(super) fn scope(&self, record: &Record) -> Option<Scope> {
        unpack(record.scope, |place| self.packer.ends.get(place).copied())
    }
}

/// The scope that was packed; `ends` tells those of a range.
#[inline]
fn unpack(packed: u64, ends: impl FnOnce(usize) -> Option<[u64; 2]>) -> Option<Scope> {
    let value = packed & ((1 << KIND_SHIFT) - 1);
    Some(match packed >> KIND_SHIFT {
        DEVICE_SVN => Scope::DeviceSvn(
            Device::from_number(value / 100)?,
            Svn::from_number(u8::try_from(value % 100).ok()?)?,
        ),
        DEVICE => Scope::Device(Device::from_number(value)?),
        RANGE => {
            let [from, to] = ends(usize::try_from(value).ok()?)?.map(Device::from_number);
            Scope::Range {
                from: from?,
                to: to?,
            }
        }
        TAC => Scope::Tac(Tac::from_number(u32::try_from(value).ok()?)?),
        TAC_PREFIX => {
            let length = usize::try_from(value >> PREFIX_SHIFT).ok()?;
            let number = u32::try_from(value & ((1 << PREFIX_SHIFT) - 1)).ok()?;
            Scope::TacPrefix(TacPrefix::from_number(length, number)?)
        }
        SPECIAL => Scope::Special(*Special::ALL.get(usize::try_from(value).ok()?)?),
        _ => return None,
    })
}

/// A device and its software version as one number, below 10¹⁶.
pub(super) fn device_svn_key(device: Device, svn: Svn) -> u64 {
    device.number() * 100 + u64::from(svn.number())
}

/// Where the kind of a packed scope begins.
const KIND_SHIFT: u32 = 61;
/// Where the length of a packed prefix begins.
const PREFIX_SHIFT: u32 = 32;

/// A packed [`Scope::DeviceSvn`].
const DEVICE_SVN: u64 = 0;
/// A packed [`Scope::Device`].
const DEVICE: u64 = 1;
/// A packed [`Scope::Range`].
const RANGE: u64 = 2;
/// A packed [`Scope::Tac`].
const TAC: u64 = 3;
/// A packed [`Scope::TacPrefix`].
const TAC_PREFIX: u64 = 4;
/// A packed [`Scope::Special`].
const SPECIAL: u64 = 5;

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_come_back_as_they_were() {
        let first = Device::from_number(0).unwrap();
        let last = Device::from_number(99_999_999_999_999).unwrap();
        let svns = [0, 99].map(|svn| Svn::from_number(svn).unwrap());
        let scopes = [
            Scope::DeviceSvn(first, svns[0]),
            Scope::DeviceSvn(last, svns[1]),
            Scope::Device(first),
            Scope::Device(last),
            Scope::Range {
                from: first,
                to: last,
            },
            Scope::Range {
                from: last,
                to: first,
            },
            Scope::Tac(first.tac()),
            Scope::Tac(last.tac()),
            Scope::TacPrefix(TacPrefix::from_digits(b"0").unwrap()),
            Scope::TacPrefix(TacPrefix::from_digits(b"0000000").unwrap()),
            Scope::TacPrefix(TacPrefix::from_digits(b"9999999").unwrap()),
            Scope::Special(Special::Test),
            Scope::Special(Special::UnallocatedTac),
        ];
        let mut records = Records::default();
        for scope in scopes {
            records.push(scope, 0, 0, 1).unwrap();
        }
        for (number, scope) in scopes.into_iter().enumerate() {
            let record = records.find(number as u32).unwrap();
            assert_eq!(records.scope(record), Some(scope));
            let entry = records.entry(number as u32).unwrap();
            assert_eq!(Entry::from(<[u32; ENTRY]>::from(entry)), entry);
            assert_eq!(records.spans().scope(entry.scope), Some(scope));
            let stored = records.column().find(number).unwrap();
            assert_eq!(stored.scope(), Ok(scope));
        }
    }

    #[test]
    fn chains_end() {
        let scope = Scope::Tac(Tac::MAX);
        let mut records = Records::default();
        for line in 0..4 {
            records.push(scope, 0, 0, line).unwrap();
        }
        records.link(3, 1);
        records.link(1, 0);
        let chain = |head| {
            records
                .chain(head)
                .map(|(number, _)| number)
                .collect::<Vec<_>>()
        };
        assert_eq!(chain(3), [3, 1, 0]);
        assert_eq!(chain(2), [2]);
        assert_eq!(chain(NONE), [0; 0]);
    }
}
