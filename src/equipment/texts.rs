//! Many short texts, each kept once.

use core::hash::BuildHasher;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::stored::{Damage, Fields, put_text};

/// Texts in one block of memory, numbered from 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    /// All texts, one behind the other.
    block: String,
    /// Where each text ends.
    ends: Vec<usize>,
}

impl Texts {
    /// The text with this number.
    pub(super) fn find(&self, number: u32) -> Option<&str> {
        let number = number as usize;
        let end = *self.ends.get(number)?;
        let start = match number.checked_sub(1) {
            Some(previous) => *self.ends.get(previous)?,
            None => 0,
        };
        self.block.get(start..end)
    }

    /// The texts as a section.
    pub(super) fn store(&self) -> Option<Vec<u8>> {
        let mut section = Vec::with_capacity(self.block.len() + 4 * self.ends.len());
        for number in (0..self.ends.len()).map_while(|number| u32::try_from(number).ok()) {
            put_text(&mut section, self.find(number)?)?;
        }
        Some(section)
    }

    /// The texts of a section.
    pub(super) fn restore(section: &[u8]) -> Result<Self, Damage> {
        let mut texts = Self::default();
        let mut fields = Fields::new(section);
        while !fields.is_empty() {
            let number = texts.push(fields.text()?);
            number.ok_or(Damage("has more texts than can be numbered"))?;
        }
        texts.block.shrink_to_fit();
        texts.ends.shrink_to_fit();
        Ok(texts)
    }

    /// Appends a text; `None` if the numbers are used up.
    fn push(&mut self, text: &str) -> Option<u32> {
        let number = u32::try_from(self.ends.len()).ok()?;
        self.block.push_str(text);
        self.ends.push(self.block.len());
        Some(number)
    }
}

/// Collects [`Texts`] and finds again what it has.
#[derive(Debug, Default)]
pub(super) struct TextsBuilder {
    /// What there is so far.
    texts: Texts,
    /// The number of a text with this hash.
    ///
    /// One number a hash is enough: of two texts with the same hash, which is
    /// rare, the second is merely kept anew each time.
    numbers: FxHashMap<u64, u32>,
}

impl TextsBuilder {
    /// The number of a text, which is kept if it is new.
    ///
    /// `None` if the numbers are used up.
    pub(super) fn intern(&mut self, text: &str) -> Option<u32> {
        let hash = FxBuildHasher.hash_one(text);
        if let Some(&number) = self.numbers.get(&hash) {
            if self.texts.find(number) == Some(text) {
                return Some(number);
            }
            return self.texts.push(text);
        }
        let number = self.texts.push(text)?;
        self.numbers.insert(hash, number);
        Some(number)
    }

    /// The texts, with no room for more.
    pub(super) fn finish(mut self) -> Texts {
        self.texts.block.shrink_to_fit();
        self.texts.ends.shrink_to_fit();
        self.texts
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_each_text_once() {
        let mut builder = TextsBuilder::default();
        let words = [
            "stolen",
            "",
            "lost",
            "stolen",
            "",
            "gestohlen · 被盗",
            "lost",
        ];
        let numbers = words.map(|word| builder.intern(word).unwrap());
        assert_eq!(numbers, [0, 1, 2, 0, 1, 3, 2]);
        let texts = builder.finish();
        for (word, number) in words.into_iter().zip(numbers) {
            assert_eq!(texts.find(number), Some(word));
        }
        assert_eq!(texts.find(4), None);
        assert_eq!(texts.find(u32::MAX), None);
    }
}
