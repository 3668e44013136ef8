//! Compiled registers: a whole snapshot in one stream of octets, and back.
//!
//! ```text
//! ┌────────┬─────────────┬─────────┬─────────┬─   ─┬─────────┐
//! │ header │ table       │ section │ section │  …  │ section │
//! │ 128    │ 64 a section│         │         │     │         │
//! └────────┴─────────────┴─────────┴─────────┴─   ─┴─────────┘
//! ```
//!
//! # Header
//!
//! | octets | what |
//! |---|---|
//! | 0–7 | `89 57 45 49 52 0D 0A 1A`: no text, and damaged by a transfer as one |
//! | 8–11 | the number of the format, [`FORMAT`] |
//! | 12–15 | `04 03 02 01`: the number 01020304 in the order of all numbers here |
//! | 16–23 | when it was made, in seconds since 1970 |
//! | 24–31 | the length of the whole in octets |
//! | 32–35 | how many sections there are |
//! | 36–39 | zero |
//! | 40–71 | the version of Weir that made it, filled up with zeros |
//! | 72–79 | the checksum of the table |
//! | 80–119 | zero |
//! | 120–127 | the checksum of the octets before |
//!
//! The magic, the number of the format, the version and the checksum of the
//! header stand there in any format to come, so that a file of a newer one is
//! told from a damaged one.
//!
//! # Table and sections
//!
//! | octets | what |
//! |---|---|
//! | 0–31 | the name of the section, filled up with zeros |
//! | 32–39 | where it begins |
//! | 40–47 | its length |
//! | 48–55 | its checksum |
//! | 56–63 | zero |
//!
//! The table names the large sections of devices first, so that they can be written
//! as soon as their lengths are known. Sections stand in the order of the table, each at the next multiple of 64, or
//! of 4096 if it has so many octets; between them are zeros, and behind the last
//! one nothing. So every octet is one of a checksum or known to be zero, and
//! whichever is damaged is found. The checksums are XXH3 of 64 bits: they find
//! what breaks by itself, not what somebody has changed on purpose.
//!
//! What the sections hold is said where they are made, in
//! [`Snapshot::sections`](crate::equipment::Snapshot::sections); `provenance` is
//! JSON, a [`Provenance`]. A section that is not known is refused as well, as
//! what it says may count.
//!
//! # Versions
//!
//! One Weir reads one format: a file is quickly compiled anew, and must not be
//! read as something that it is not. Whoever changes a section, a structure in
//! it, or how a key is mixed, counts [`FORMAT`] up.

mod checksum;
mod container;
mod provenance;
mod reading;

use core::convert::Infallible;
use std::borrow::Cow;

use thiserror::Error;

use crate::equipment::{Flaw, Parts, Section, Snapshot};
use crate::time::UnixTime;

pub(crate) use self::checksum::Sum;
pub use self::container::{Ahead, Contents, Elsewhere, MAGIC, Sink, TableEntry};
pub use self::provenance::{FileOrigin, Folded, ListOrigin, Provenance};
pub use self::reading::Source;

/// The number of the format.
pub const FORMAT: u32 = 3;

/// The section of the provenance.
const PROVENANCE: &str = "provenance";

/// The longest provenance in octets: a hundred thousand files, and not what
/// would fill the memory.
const PROVENANCE_MAX: usize = 64 * 1024 * 1024;

//----------- Stored ----------------------------------------------------------

/// What a compiled register holds.
#[derive(Debug)]
pub struct Stored {
    /// What it is, and what its sections are.
    pub contents: Contents,
    /// Where its lists come from.
    pub provenance: Provenance,
    /// All lists.
    pub snapshot: Snapshot,
}

/// Writes a snapshot, made at this time, to a sink.
///
/// The same snapshot, provenance and time give the same octets.
///
/// # Errors
///
/// Those of the sink; and if something cannot be stored, see
/// [`Snapshot::sections`].
pub fn write<S: Sink>(
    snapshot: &Snapshot,
    provenance: &Provenance,
    created: UnixTime,
    sink: &mut S,
) -> Result<Contents, WriteError<S::Error>> {
    write_with(snapshot, &(), provenance, created, sink)
}

/// The same of a snapshot of which some sections are kept elsewhere.
///
/// # Errors
///
/// As [`write()`].
pub fn write_with<S: Sink>(
    snapshot: &Snapshot,
    elsewhere: &dyn Elsewhere<S::Error>,
    provenance: &Provenance,
    created: UnixTime,
    sink: &mut S,
) -> Result<Contents, WriteError<S::Error>> {
    let mut sections = snapshot.sections().ok_or(WriteError::Unstorable)?;
    let text = serde_json::to_vec(provenance).map_err(|_| WriteError::Unstorable)?;
    if text.len() > PROVENANCE_MAX {
        return Err(WriteError::Unstorable);
    }
    sections.insert(0, Section::new(PROVENANCE, Cow::Owned(text)));
    sections.sort_by_key(|section| !Section::FIRST.contains(&section.name));
    container::write(&sections, elsewhere, created, sink)
}

/// Where the sections begin that stand first, if they have so many octets.
pub(crate) fn ahead(lengths: [u64; Section::FIRST.len()]) -> [u64; Section::FIRST.len()] {
    // The provenance is one more.
    let mut end = container::first(Section::COUNT + 1);
    lengths.map(|length| {
        let begin = container::aligned(end, length);
        end = begin.saturating_add(length);
        begin
    })
}

/// Reads a snapshot from a source and checks everything, but for sections that
/// are left where they are.
///
/// Sections stay in the region of the source if it has one, and are read into
/// memory of their own otherwise. Long ones that no lookup needs are left where
/// they are if the source has a store; these [`verify`] checks.
///
/// # Errors
///
/// Those of the source; and what is wrong with it, naming the section.
pub fn read<S: Source>(source: &S) -> Result<Stored, ReadError<S::Error>> {
    let (contents, mut parts) = reading::read(source)?;
    let provenance = provenance(&mut parts)?;
    let snapshot = Snapshot::restore(&mut parts)?;
    match parts.left() {
        None => Ok(Stored {
            contents,
            provenance,
            snapshot,
        }),
        Some(section) => Err(Flaw {
            section: section.to_owned(),
            reason: "is not known to this version",
        }
        .into()),
    }
}

/// Reads what a source holds and checks its checksums, without making a
/// snapshot of it.
///
/// # Errors
///
/// As [`read`], but for what only the making would find.
pub fn verify<S: Source>(source: &S) -> Result<Contents, ReadError<S::Error>> {
    reading::verify(source)
}

/// Reads what a snapshot is and where its lists come from, and none of the rules.
///
/// # Errors
///
/// As [`read`], but for what is wrong with other sections.
pub fn read_provenance<S: Source>(
    source: &S,
) -> Result<(Contents, Provenance), ReadError<S::Error>> {
    let (contents, mut parts) = reading::read_one(source, PROVENANCE)?;
    Ok((contents, provenance(&mut parts)?))
}

/// Takes the provenance out.
fn provenance(parts: &mut Parts) -> Result<Provenance, Flaw> {
    let octets = parts.take(PROVENANCE)?;
    let flaw = |reason| Flaw {
        section: PROVENANCE.to_owned(),
        reason,
    };
    if octets.len() > PROVENANCE_MAX {
        return Err(flaw("is longer than it may be"));
    }
    serde_json::from_slice(octets.as_slice())
        .map_err(|_| flaw("is no JSON that this version knows"))
}

/// A snapshot as octets in memory; see [`write()`].
///
/// # Errors
///
/// If something cannot be stored.
pub fn to_octets(
    snapshot: &Snapshot,
    provenance: &Provenance,
    created: UnixTime,
) -> Result<Vec<u8>, WriteError<Infallible>> {
    let mut octets = Vec::new();
    write(snapshot, provenance, created, &mut octets)?;
    Ok(octets)
}

/// The snapshot of octets in memory; see [`read`].
///
/// # Errors
///
/// What is wrong with them.
pub fn from_octets(octets: &[u8]) -> Result<Stored, ReadError<Infallible>> {
    read(&octets)
}

//----------- Errors ----------------------------------------------------------

/// Why a snapshot cannot be written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WriteError<E> {
    /// This machine is not little-endian, a text is too long, or the file that it
    /// came from cannot be read any more.
    #[error("it holds something that cannot be stored, or be read again where it came from")]
    Unstorable,
    /// The sink does not take it.
    #[error(transparent)]
    Sink(E),
}

/// Why a snapshot cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError<E> {
    /// The source gives an error.
    #[error("cannot be read: {0}")]
    Source(E),
    /// It is something else.
    #[error("is no snapshot of Weir")]
    Foreign,
    /// It was made by another Weir.
    #[error(
        "is of format {format}, made by Weir {version}, and this Weir reads format {FORMAT}; \
         compile the lists anew"
    )]
    Format {
        /// The number of its format.
        format: u32,
        /// Who made it.
        version: String,
    },
    /// It ends too early.
    #[error("section `{section}` is cut short: the file has {length} of {expected} octets")]
    Truncated {
        /// Where it ends.
        section: String,
        /// Its length.
        length: u64,
        /// The length that it should have, as far as is known.
        expected: u64,
    },
    /// Something in it is not as it was written, or never should have been.
    #[error(transparent)]
    Flaw(#[from] Flaw),
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equipment::{
        BindingSpec, Builder, Device, ExceptionSpec, Imsi, RuleSpec, Scope, Special, Status,
        Subscribers, Svn, Tac, TacPrefix, Validity,
    };

    /// A register with something of everything.
    fn sample(devices: u64) -> Snapshot {
        let mut builder = Builder::new();
        let black = builder.list("black", Status::Blacklisted).unwrap();
        let grey = builder.list("grey", Status::Greylisted).unwrap();
        let fleet = builder.binding_list("fleet", Status::Blacklisted, Some(Status::Whitelisted));
        let fleet = fleet.unwrap();
        builder.shadow(grey).unwrap();
        let files = ["a.csv", "b.csv"].map(|path| builder.file(path).unwrap());
        let device = |number| Device::from_number(number).unwrap();
        let imsi = |number: u64| Imsi::parse(format!("{number:015}").as_bytes()).unwrap();
        let base = 49_015_420_000_000;
        let mut scopes: Vec<Scope> = Vec::new();
        for number in 0..devices {
            // Dense, hashed and scattered.
            scopes.push(Scope::Device(device(base + number)));
            scopes.push(Scope::Device(device(35_209_900_000_000 + number * 163)));
            scopes.push(Scope::Device(device(
                number * 77_777_777_777 % 100_000_000_000_000,
            )));
        }
        scopes.extend([
            Scope::DeviceSvn(device(base), Svn::from_number(7).unwrap()),
            Scope::Range {
                from: device(base + 10),
                to: device(base + 20),
            },
            Scope::Tac(Tac::from_digits(b"49015420").unwrap()),
            Scope::TacPrefix(TacPrefix::from_digits(b"49").unwrap()),
            Scope::Special(Special::Test),
        ]);
        let validity = Validity {
            from: Some(UnixTime(-1)),
            until: None,
        };
        for (line, &scope) in (1u32..).zip(&scopes) {
            let lists = [(black, Status::Blacklisted), (grey, Status::Greylisted)];
            // Some are on both.
            for &(list, status) in &lists[..1 + usize::from(line % 3 == 0)] {
                let exceptions = [imsi(1), imsi(u64::from(line))];
                let spec = RuleSpec {
                    scope,
                    status,
                    validity: match line % 2 {
                        0 => validity,
                        _ => Validity::ALWAYS,
                    },
                    reason: Some("gestohlen · 被盗").filter(|_| line % 5 == 0),
                    exceptions: &exceptions[..usize::from(line % 11 == 0) * 2],
                    file: files[line as usize % 2],
                    line,
                };
                builder.rule(list, spec).unwrap();
            }
            for subscribers in [
                Subscribers::One(imsi(7)),
                Subscribers::Range {
                    from: imsi(u64::from(line)),
                    to: imsi(u64::from(line) + 5),
                },
            ] {
                let spec = BindingSpec {
                    subscribers,
                    scope,
                    validity,
                    reason: None,
                    file: files[0],
                    line,
                };
                if line % 13 == 0 {
                    builder.binding(fleet, spec).unwrap();
                }
            }
        }
        let exception = ExceptionSpec {
            imsi: imsi(3),
            scope: scopes[0],
            validity: Validity::ALWAYS,
            reason: None,
            file: files[1],
            line: 1,
        };
        builder.exception(black, exception).unwrap();
        builder.model(device(base).tac(), "Acme", "One").unwrap();
        builder.finish()
    }

    /// The octets of a register without provenance.
    fn octets(snapshot: &Snapshot) -> Vec<u8> {
        to_octets(snapshot, &Provenance::default(), UnixTime(5)).unwrap()
    }

    /// Everything that can be asked of a register, in an order of its own.
    fn everything(snapshot: &Snapshot) -> Vec<String> {
        let rules = snapshot.rules().map(|rule| format!("{rule:?}"));
        let bindings = snapshot.bindings().map(|binding| format!("{binding:?}"));
        let lists = snapshot.lists().map(|list| format!("{list:?}"));
        let models = snapshot.models().tacs();
        let models = models.map(|tac| format!("{tac} {:?}", snapshot.models().find(tac)));
        let counts = core::iter::once(format!("{:?}", snapshot.counts()));
        let excepted = snapshot.excepted().map(|imsi| {
            let mut from = Vec::new();
            snapshot.visit_exceptions(imsi, |id, scope, terms| {
                from.push(format!("{id} {scope} {terms:?}"));
            });
            format!("{imsi} {from:?}")
        });
        let all = rules.chain(bindings).chain(lists).chain(models);
        let mut all: Vec<String> = all.chain(counts).chain(excepted).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn what_was_written_is_read() {
        for devices in [0, 1, 40, 5000] {
            let snapshot = sample(devices);
            let octets = octets(&snapshot);
            let stored = from_octets(&octets).unwrap();
            assert_eq!(everything(&stored.snapshot), everything(&snapshot));
            assert_eq!(stored.contents.created, UnixTime(5));
            // What is read is written as it was.
            assert!(self::octets(&stored.snapshot) == octets);
        }
        let nothing = octets(&Snapshot::default());
        assert_eq!(from_octets(&nothing).unwrap().snapshot.counts().rules(), 0);
    }

    #[test]
    fn what_stands_first_stands_where_it_is_said() {
        for devices in [0, 40, 5000] {
            let snapshot = sample(devices);
            assert_eq!(snapshot.sections().unwrap().len(), Section::COUNT);
            let stored = from_octets(&octets(&snapshot)).unwrap();
            let first = Section::FIRST.map(|name| {
                let mut sections = stored.contents.sections.iter();
                sections.find(|own| own.name == name).unwrap()
            });
            let begin = ahead(first.map(|section| section.length));
            assert_eq!(begin, first.map(|section| section.offset));
        }
    }

    #[test]
    fn the_same_input_gives_the_same_octets() {
        assert!(octets(&sample(3000)) == octets(&sample(3000)));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let mut octets = octets(&sample(1));
        for place in 0..octets.len() {
            for bit in 0..8 {
                octets[place] ^= 1 << bit;
                assert!(from_octets(&octets).is_err(), "octet {place}, bit {bit}");
                octets[place] ^= 1 << bit;
            }
        }
    }

    /// With right checksums around them, wrong sections are refused or give a
    /// register that answers something: nothing panics, and nothing hangs.
    #[test]
    fn sections_that_nobody_has_written_do_no_harm() {
        let snapshot = sample(40);
        let sections = snapshot.sections().unwrap();
        let mut word = 1u64;
        let mut refused = 0;
        for (place, section) in sections.iter().enumerate() {
            for _ in 0..150 {
                let mut changed = sections.clone();
                let octets = changed[place].octets.to_mut();
                word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let at = (word >> 33) as usize % octets.len().max(1);
                match word >> 60 {
                    0 => octets.truncate(at),
                    1 => octets.extend_from_within(..),
                    2 => octets.fill(0xff),
                    _ => {
                        if let Some(octet) = octets.get_mut(at) {
                            *octet = (word >> 50) as u8;
                        }
                    }
                }
                let mut parts = Parts::default();
                for Section { name, octets } in changed {
                    let mut own = crate::equipment::Octets::zeroed(octets.len());
                    own.as_mut_slice().copy_from_slice(&octets);
                    parts.insert(name.to_owned(), own);
                }
                match Snapshot::restore(&mut parts) {
                    Ok(snapshot) => drop(everything(&snapshot)),
                    Err(flaw) => {
                        assert!(sections.iter().any(|own| own.name == flaw.section));
                        refused += 1;
                    }
                }
                if section.octets.is_empty() {
                    break;
                }
            }
        }
        assert!(refused > 100, "{refused}");
    }

    #[test]
    fn sections_that_are_missing_or_unknown_are_refused() {
        let snapshot = sample(1);
        let sections = snapshot.sections().unwrap();
        let provenance = Section::new(PROVENANCE, &b"{\"lists\":[]}"[..]);
        let all: Vec<Section<'_>> = core::iter::once(provenance).chain(sections).collect();
        let fate = |sections: &[Section<'_>]| {
            let mut octets = Vec::new();
            container::write(sections, &(), UnixTime(0), &mut octets).unwrap();
            from_octets(&octets).map(drop)
        };
        assert_eq!(fate(&all), Ok(()));
        for missing in 0..all.len() {
            let mut some = all.clone();
            let name = some.remove(missing).name;
            let told = fate(&some).unwrap_err().to_string();
            assert_eq!(told, format!("section `{name}` is missing"));
        }
        let more = [all.as_slice(), &[Section::new("other", &b""[..])]].concat();
        let told = fate(&more).unwrap_err().to_string();
        assert_eq!(told, "section `other` is not known to this version");
    }
}
