//! A snapshot as named sections of octets, and back.
//!
//! Whatever lookups need is stored as it is in memory: the rules of single
//! devices, of which there may be a billion, and the indexes of all others. What
//! is known of each rule and binding beside that, its line above all, may stay in
//! the file; see [`Section::LEFT`].
//!
//! | section | entries |
//! |---|---|
//! | `lists`, `files`, `reasons` | what there is, and texts |
//! | `terms`, `sources` | what rules share |
//! | `counts` | how many entries there are of each kind |
//! | `devices`, `devices.*` | the rules of single devices |
//! | `rules.*`, `exceptions`, `exceptions.*`, `bindings.*` | indexes of all others |
//! | `indexes` | what there is to know of these besides |
//! | `rules`, `bindings`, `subscribers` | all other rules and the bindings, with all that is known of them |
//! | `models`, `names` | the models of TACs |
//!
//! All numbers are little-endian, which is also how they are in memory: machines
//! of the other kind refuse to read and to write.

mod array;
mod column;
mod octets;
mod records;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytemuck::{Pod, Zeroable};
use thiserror::Error;

use self::records::{StoredCounts, StoredTerms};
use super::bindings::{BoundHead, BoundIndex, Exceptions};
use super::device_rules::DeviceRules;
use super::index::{RuleIndex, RuleIndexHead};
use super::keyed::KeyedHead;
use super::record::NONE;
use super::snapshot::{Bindings, Catalogue, List, ListKind, Rules, Source};
use super::texts::Texts;
use super::{Counts, FileId, Snapshot, Status, TacDirectory, Terms};

pub(super) use self::array::Array;
pub(super) use self::column::Column;
pub use self::column::{Left, Store};
pub use self::octets::Octets;
pub(super) use self::octets::{Fields, NO_RECORDS, octets, put_text};
pub(super) use self::records::{StoredModel, StoredRule, StoredSubscribers};

//----------- Section ---------------------------------------------------------

/// A named part of a stored snapshot.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// What it is called: ASCII letters, `.` and `_`, no more than
    /// [`Section::NAME_MAX`] of them.
    pub name: &'static str,
    /// What it holds.
    pub octets: Cow<'a, [u8]>,
}

impl<'a> Section<'a> {
    /// The longest name.
    pub const NAME_MAX: usize = 32;

    /// How many [`Snapshot::sections`] gives.
    pub(crate) const COUNT: usize = 39;

    /// The sections that stand first in a file: those that are written while a
    /// register is built, before all is known of the others.
    pub(crate) const FIRST: [&'static str; 3] = super::device_rules::ARRAYS_OF_LINES;

    /// The sections that may be left where they are when a snapshot is read, see
    /// [`Parts::leave`]: no lookup needs them.
    pub const LEFT: [&'static str; 4] = [super::device_rules::LINES, RULES, BINDINGS, SUBSCRIBERS];

    /// A section.
    pub fn new(name: &'static str, octets: impl Into<Cow<'a, [u8]>>) -> Self {
        Self {
            name,
            octets: octets.into(),
        }
    }
}

/// The sections that were read, by their names.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Those that have not been used yet.
    sections: BTreeMap<String, Octets>,
    /// Those that were left where they are.
    left: BTreeMap<String, Left>,
}

impl Parts {
    /// Those of a snapshot, copied.
    #[cfg(test)]
    pub(super) fn of(sections: &[Section<'_>]) -> Self {
        let mut parts = Self::default();
        for Section { name, octets } in sections {
            let mut own = Octets::zeroed(octets.len());
            own.as_mut_slice().copy_from_slice(octets);
            parts.insert((*name).to_owned(), own);
        }
        parts
    }

    /// Adds a section; false if there is one of this name.
    pub fn insert(&mut self, name: String, octets: Octets) -> bool {
        self.sections.insert(name, octets).is_none()
    }

    /// Adds a section that was left where it is; false if there is one of this
    /// name.
    pub fn leave(&mut self, name: String, left: Left) -> bool {
        self.left.insert(name, left).is_none()
    }

    /// Takes a section of entries out, which may have been left where it is.
    pub(super) fn column<T: Pod>(&mut self, name: &'static str) -> Result<Column<T>, Flaw> {
        let column = match self.left.remove(name) {
            Some(left) => Column::left(left),
            None => Column::here(self.take(name)?),
        };
        column.ok_or_else(|| NO_RECORDS.of(name))
    }

    /// Takes a section out.
    ///
    /// # Errors
    ///
    /// If there is none of this name.
    pub fn take(&mut self, name: &'static str) -> Result<Octets, Flaw> {
        let section = self.sections.remove(name);
        section.ok_or_else(|| Damage("is missing").of(name))
    }

    /// A section that has not been taken.
    #[must_use]
    pub fn left(&self) -> Option<&str> {
        let mut names = self.sections.keys().chain(self.left.keys());
        names.next().map(String::as_str)
    }
}

//----------- Flaw ------------------------------------------------------------

/// Why no snapshot can be made of sections.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("section `{section}` {reason}")]
pub struct Flaw {
    /// The section.
    pub section: String,
    /// What is wrong with it, as a predicate.
    pub reason: &'static str,
}

/// What is wrong with a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage(pub(super) &'static str);

impl Damage {
    /// The same with the name of the section.
    pub(super) fn of(self, section: &str) -> Flaw {
        Flaw {
            section: section.to_owned(),
            reason: self.0,
        }
    }
}

/// What is wrong with a number of something that there is not.
const NO_SUCH: Damage = Damage("refers to something that is not in the file");

//----------- Storing ---------------------------------------------------------

impl Snapshot {
    /// The snapshot as sections, in the order in which they are to be stored.
    ///
    /// Equal snapshots, built by the same calls, have equal sections. `None` on
    /// a machine that is not little-endian, if a text has 4 GiB or more, and if a
    /// section that was left in a file cannot be read there.
    #[must_use]
    pub fn sections(&self) -> Option<Vec<Section<'_>>> {
        if cfg!(target_endian = "big") {
            return None;
        }
        let Catalogue {
            lists,
            files,
            terms,
            sources,
            reasons,
        } = &self.catalogue;
        let mut stored_lists = Vec::new();
        for list in lists {
            list.store(&mut stored_lists)?;
        }
        let mut stored_files = Vec::new();
        for file in files {
            put_text(&mut stored_files, file)?;
        }
        let terms: Vec<StoredTerms> = terms.iter().map(StoredTerms::of).collect();
        let sources = sources.iter().map(|source| [source.file.0, source.reason]);
        let sources: Vec<[u32; 2]> = sources.collect();
        let models = self.models.stored();
        let mut sections = vec![
            Section::new(LISTS, stored_lists),
            Section::new(FILES, stored_files),
            Section::new(REASONS, reasons.store()?),
            Section::new(TERMS, octets(&terms)),
            Section::new(SOURCES, octets(&sources)),
            Section::new(COUNTS, octets(&[StoredCounts::of(self.counts)])),
        ];
        self.rules.devices.store(&mut sections)?;
        let heads = Heads {
            rules: self.rules.index.store(&mut sections),
            exceptions: self.rules.exceptions.store(&mut sections),
            bound: self.bindings.index.store(&mut sections),
        };
        sections.extend([
            Section::new(INDEXES, octets(&[heads])),
            Section::new(RULES, self.rules.records.octets()?),
            Section::new(BINDINGS, self.bindings.records.octets()?),
            Section::new(SUBSCRIBERS, self.bindings.subscribers.octets()?),
            Section::new(MODELS, octets(&models)),
            Section::new(NAMES, self.models.names().store()?),
        ]);
        Some(sections)
    }

    //--- Restoring

    /// The snapshot of stored sections, which are taken out.
    ///
    /// Whatever the sections hold, this neither panics nor runs without end, nor
    /// does the snapshot. That its answers are those of the snapshot that was
    /// stored is what checksums are for.
    ///
    /// # Errors
    ///
    /// A section that is missing, or that no snapshot has.
    pub fn restore(parts: &mut Parts) -> Result<Self, Flaw> {
        if cfg!(target_endian = "big") {
            return Err(Damage("is little-endian, and this machine is not").of(LISTS));
        }
        let catalogue = Catalogue::restore(parts)?;
        let counts = parts.take(COUNTS)?;
        let counts = match counts.records::<StoredCounts>() {
            Ok([counts]) => counts.restore(),
            _ => None,
        };
        let counts = counts.ok_or_else(|| Damage("is not one entry").of(COUNTS))?;
        let devices = DeviceRules::restore(parts, catalogue.terms.len(), catalogue.sources.len())?;
        let heads = parts.take(INDEXES)?;
        let &[heads] = heads
            .records::<Heads>()
            .map_err(|damage| damage.of(INDEXES))?
        else {
            return Err(Damage("is not one entry").of(INDEXES));
        };
        let terms = &catalogue.terms;
        let rules = Rules {
            devices,
            records: parts.column(RULES)?,
            index: RuleIndex::restore(heads.rules, parts)?,
            exceptions: Exceptions::restore(heads.exceptions, terms, parts)?,
        };
        let bindings = Bindings {
            records: parts.column(BINDINGS)?,
            subscribers: parts.column(SUBSCRIBERS)?,
            index: BoundIndex::restore(heads.bound, terms, parts)?,
        };
        let names = restore_with(parts, NAMES, |octets| Texts::restore(octets.as_slice()))?;
        let models = restore_with(parts, MODELS, |octets| {
            TacDirectory::restore(octets.records::<StoredModel>()?, names)
        })?;
        Ok(Self {
            catalogue,
            rules,
            bindings,
            models,
            counts,
        })
    }
}

/// Reads a section, and names it in what is wrong with it.
fn restore_with<T>(
    parts: &mut Parts,
    name: &'static str,
    restore: impl FnOnce(Octets) -> Result<T, Damage>,
) -> Result<T, Flaw> {
    restore(parts.take(name)?).map_err(|damage| damage.of(name))
}

impl Catalogue {
    /// What rules refer to.
    fn restore(parts: &mut Parts) -> Result<Self, Flaw> {
        let lists = restore_with(parts, LISTS, |octets| {
            let mut fields = Fields::new(octets.as_slice());
            let mut lists = Vec::new();
            while !fields.is_empty() {
                lists.push(List::restore(&mut fields)?);
            }
            match lists.len() < usize::from(u16::MAX) {
                true => Ok(lists),
                false => Err(Damage("has more lists than there may be")),
            }
        })?;
        let files = restore_with(parts, FILES, |octets| {
            let mut fields = Fields::new(octets.as_slice());
            let mut files: Vec<Box<str>> = Vec::new();
            while !fields.is_empty() {
                files.push(fields.text()?.into());
            }
            Ok(files)
        })?;
        let reasons = restore_with(parts, REASONS, |octets| Texts::restore(octets.as_slice()))?;
        let terms = restore_with(parts, TERMS, |octets| {
            let terms = octets.records::<StoredTerms>()?.iter();
            let terms = terms.map(|stored| {
                let terms = stored.restore()?;
                lists.get(terms.list.place()).ok_or(NO_SUCH)?;
                Ok(terms)
            });
            terms.collect::<Result<Vec<Terms>, Damage>>()
        })?;
        let sources = restore_with(parts, SOURCES, |octets| {
            let sources = octets.records::<[u32; 2]>()?.iter();
            let sources = sources.map(|&[file, reason]| {
                files.get(file as usize).ok_or(NO_SUCH)?;
                if reason != NONE {
                    reasons.find(reason).ok_or(NO_SUCH)?;
                }
                let file = FileId(file);
                Ok(Source { file, reason })
            });
            sources.collect::<Result<Vec<Source>, Damage>>()
        })?;
        Ok(Self {
            lists,
            files,
            terms,
            sources,
            reasons,
        })
    }
}

/// What there is to know of indexes besides their arrays.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
struct Heads {
    /// Of the rules.
    rules: RuleIndexHead,
    /// Of the exceptions.
    exceptions: KeyedHead,
    /// Of the bindings.
    bound: BoundHead,
}

/// What is wrong with a number that is too large.
const TOO_MANY: Damage = Damage("has more entries than there may be");

//----------- Small parts -----------------------------------------------------

impl List {
    /// Appends the list to their section.
    fn store(&self, section: &mut Vec<u8>) -> Option<()> {
        let kind = match self.kind {
            ListKind::Rules { status } => [0, status.number(), NO_STATUS],
            ListKind::Bindings { mismatch, on_match } => {
                let on_match = on_match.map_or(NO_STATUS, Status::number);
                [1, mismatch.number(), on_match]
            }
        };
        section.extend_from_slice(&kind);
        section.push(self.shadow.into());
        section.extend_from_slice(&(self.entries as u64).to_le_bytes());
        put_text(section, &self.name)
    }

    /// Reads the next list of their section.
    fn restore(fields: &mut Fields<'_>) -> Result<Self, Damage> {
        let kind = match fields.take()? {
            [0, own, NO_STATUS] => ListKind::Rules {
                status: status(own)?,
            },
            [1, mismatch, on_match] => ListKind::Bindings {
                mismatch: status(mismatch)?,
                on_match: match on_match {
                    NO_STATUS => None,
                    on_match => Some(status(on_match)?),
                },
            },
            _ => return Err(UNKNOWN_KIND),
        };
        let shadow = match fields.take()? {
            [0] => false,
            [1] => true,
            _ => return Err(UNKNOWN_KIND),
        };
        let entries = usize::try_from(u64::from_le_bytes(fields.take()?));
        Ok(Self {
            kind,
            shadow,
            entries: entries.map_err(|_| TOO_MANY)?,
            name: fields.text()?.into(),
        })
    }
}

/// Stands for no status.
const NO_STATUS: u8 = u8::MAX;

/// What is wrong with a number that should name a kind of something.
const UNKNOWN_KIND: Damage = Damage("has an entry of a kind that is not known");

/// The status with this number.
fn status(number: u8) -> Result<Status, Damage> {
    let known = Status::ALL.into_iter();
    let mut known = known.filter(|status| status.number() == number);
    known.next().ok_or(UNKNOWN_KIND)
}

impl Counts {
    /// The counts as an array, and where each of them stands in it.
    fn fields(&mut self) -> [&mut usize; 8] {
        [
            &mut self.device_svns,
            &mut self.devices,
            &mut self.ranges,
            &mut self.tacs,
            &mut self.tac_prefixes,
            &mut self.specials,
            &mut self.exceptions,
            &mut self.bindings,
        ]
    }
}

/// See [`Catalogue::lists`].
const LISTS: &str = "lists";
/// See [`Catalogue::files`].
const FILES: &str = "files";
/// See [`Catalogue::reasons`].
const REASONS: &str = "reasons";
/// See [`Catalogue::terms`].
const TERMS: &str = "terms";
/// See [`Catalogue::sources`].
const SOURCES: &str = "sources";
/// See [`Counts`].
const COUNTS: &str = "counts";
/// See [`Rules::records`].
const RULES: &str = "rules";
/// See [`Heads`].
const INDEXES: &str = "indexes";
/// See [`Bindings::records`].
pub(super) const BINDINGS: &str = "bindings";
/// See [`Bindings::subscribers`].
pub(super) const SUBSCRIBERS: &str = "subscribers";
/// The models of TACs.
const MODELS: &str = "models";
/// The names of makes and models.
const NAMES: &str = "names";
