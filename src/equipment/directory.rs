//! From the TAC of a device to its make and model.

use core::fmt;

use rustc_hash::FxHashMap;

use super::Tac;
use super::stored::{Damage, StoredModel};
use super::texts::{Texts, TextsBuilder};

//----------- TacDirectory ----------------------------------------------------

/// The models of devices, as a file of allocated TACs names them.
///
/// It is there for people, who want to read what a device is; a verdict looks
/// at it for rules about unallocated TACs only.
#[derive(Clone, Debug, Default)]
pub struct TacDirectory {
    /// The numbers of the make and the model of each TAC.
    models: FxHashMap<u32, (u32, u32)>,
    /// The names of makes and models: there are few of them for many TACs.
    names: Texts,
}

impl TacDirectory {
    /// The make and model of devices with a TAC; `None`: it is not allocated,
    /// as far as is known here.
    #[must_use]
    pub fn find(&self, tac: Tac) -> Option<Model<'_>> {
        let &(make, model) = self.models.get(&tac.number())?;
        Some(Model {
            make: self.names.find(make)?,
            model: self.names.find(model)?,
        })
    }

    /// Whether a TAC is allocated, as far as is known here.
    #[must_use]
    pub fn contains(&self, tac: Tac) -> bool {
        self.models.contains_key(&tac.number())
    }

    /// The TACs, in no particular order.
    pub fn tacs(&self) -> impl Iterator<Item = Tac> {
        self.models.keys().copied().filter_map(Tac::from_number)
    }

    /// The names of makes and models.
    pub(super) fn names(&self) -> &Texts {
        &self.names
    }

    /// The TACs in order, each with the numbers of its make and model.
    pub(super) fn stored(&self) -> Vec<StoredModel> {
        let models = self.models.iter();
        let mut stored: Vec<StoredModel> = models
            .map(|(&tac, &(make, model))| [tac, make, model])
            .collect();
        stored.sort_unstable();
        stored
    }

    /// The directory of what was stored.
    pub(super) fn restore(stored: &[StoredModel], names: Texts) -> Result<Self, Damage> {
        let mut models = FxHashMap::default();
        models.reserve(stored.len());
        for &[tac, make, model] in stored {
            if Tac::from_number(tac).is_none() {
                return Err(Damage("has a TAC that is none"));
            }
            if names.find(make).is_none() || names.find(model).is_none() {
                return Err(Damage("refers to a name that is not in the file"));
            }
            models.insert(tac, (make, model));
        }
        Ok(Self { models, names })
    }

    /// How many TACs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// Whether there is no TAC, as when no file of them was loaded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }
}

/// What a device is. Either name may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model<'a> {
    /// Who made it.
    pub make: &'a str,
    /// What they call it.
    pub model: &'a str,
}

impl fmt::Display for Model<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.make, self.model) {
            ("", "") => f.write_str("not named"),
            ("", name) | (name, "") => f.write_str(name),
            (make, model) => write!(f, "{make} {model}"),
        }
    }
}

//----------- TacDirectoryBuilder ---------------------------------------------

/// Collects a [`TacDirectory`].
#[derive(Debug, Default)]
pub(super) struct TacDirectoryBuilder {
    /// The numbers of the makes and models.
    models: FxHashMap<u32, (u32, u32)>,
    /// Their names.
    names: TextsBuilder,
}

impl TacDirectoryBuilder {
    /// Names the model of a TAC, unless it has one. `None` if the numbers of
    /// names are used up.
    pub(super) fn insert(&mut self, tac: Tac, make: &str, model: &str) -> Option<()> {
        if self.models.contains_key(&tac.number()) {
            return Some(());
        }
        let names = (self.names.intern(make)?, self.names.intern(model)?);
        self.models.insert(tac.number(), names);
        Some(())
    }

    /// The directory, with no room for more.
    pub(super) fn finish(mut self) -> TacDirectory {
        self.models.shrink_to_fit();
        TacDirectory {
            models: self.models,
            names: self.names.finish(),
        }
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_stays() {
        let tac = |number| Tac::from_number(number).unwrap();
        let mut builder = TacDirectoryBuilder::default();
        for (number, make, model) in [
            (1, "Acme", "One"),
            (2, "Acme", "Two"),
            (1, "Other", "Name"),
            (3, "", "Two"),
            (4, "", ""),
        ] {
            builder.insert(tac(number), make, model).unwrap();
        }
        let directory = builder.finish();
        assert_eq!(directory.len(), 4);
        for (number, printed) in [
            (1, "Acme One"),
            (2, "Acme Two"),
            (3, "Two"),
            (4, "not named"),
        ] {
            assert!(directory.contains(tac(number)));
            assert_eq!(directory.find(tac(number)).unwrap().to_string(), printed);
        }
        assert_eq!(directory.find(tac(5)), None);
        assert!(!directory.contains(tac(5)));
        assert!(!directory.is_empty() && TacDirectory::default().is_empty());
    }
}
