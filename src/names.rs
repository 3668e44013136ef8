//! Names of Diameter nodes and realms, and the patterns that fit them: for
//! policies as for the admission of peers.

//----------- NamePattern -----------------------------------------------------

/// A DiameterIdentity, or all those that end alike.
///
/// Names compare without regard to ASCII case (RFC 6733 section 4.3.1). A
/// pattern `*.example` fits every name that has at least one label before
/// `example`, and so neither `example` nor `myexample`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    /// Whether any labels may stand before the text.
    is_suffix: bool,
    /// The whole name, or its end with the dot before it; in lower case.
    text: String,
}

impl NamePattern {
    /// Reads a name or `*.suffix`; `None` if a `*` stands elsewhere, or
    /// nothing beside it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (is_suffix, text) = match text.strip_prefix('*') {
            Some(suffix) => (true, suffix),
            None => (false, text),
        };
        let is_dotted = !is_suffix || (text.starts_with('.') && text.len() > 1);
        (is_dotted && !text.is_empty() && !text.contains('*')).then(|| Self {
            is_suffix,
            text: text.to_ascii_lowercase(),
        })
    }

    /// Whether any labels may stand before the text.
    #[must_use]
    pub const fn is_suffix(&self) -> bool {
        self.is_suffix
    }

    /// The whole name, or its end with the dot before it; in lower case.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a name fits.
    #[must_use]
    pub fn fits(&self, name: &[u8]) -> bool {
        let text = self.text.as_bytes();
        match name.len().checked_sub(text.len()) {
            Some(0) => !self.is_suffix && name.eq_ignore_ascii_case(text),
            Some(front) => {
                self.is_suffix
                    && name
                        .get(front..)
                        .is_some_and(|end| end.eq_ignore_ascii_case(text))
            }
            None => false,
        }
    }

    /// Whether every name that fits the other fits this one.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        match (self.is_suffix, other.is_suffix) {
            (true, true) => other.text.ends_with(&self.text),
            (true, false) => self.fits(other.text.as_bytes()),
            (false, true) => false,
            (false, false) => self.text == other.text,
        }
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_labels_fit() {
        for (pattern, name, expected) in [
            ("mme.example", "MME.Example", true),
            ("mme.example", "mme.example.", false),
            ("mme.example", "", false),
            ("*.example", "mme.EXAMPLE", true),
            ("*.Example", "a.b.example", true),
            ("*.example", "example", false),
            ("*.example", ".example", false),
            ("*.example", "myexample", false),
            ("*.example", "mme.example.org", false),
        ] {
            let parsed = NamePattern::parse(pattern).unwrap();
            assert_eq!(parsed.fits(name.as_bytes()), expected, "{pattern} {name}");
        }
        for wrong in ["", "*", "*.", "*example", "a.*", "*.*.b", "a*b"] {
            assert_eq!(NamePattern::parse(wrong), None, "{wrong}");
        }
    }

    /// What fits the included pattern fits the including one.
    #[test]
    fn some_include_others() {
        let patterns = [
            "*.example",
            "*.a.example",
            "a.example",
            "b.a.example",
            "*.org",
        ];
        let expected = ["11110", "01010", "00100", "00010", "00001"];
        for (one, row) in patterns.iter().zip(expected) {
            let included = patterns.map(|other| {
                let [one, other] = [one, other].map(|text| NamePattern::parse(text).unwrap());
                if one.includes(&other) { '1' } else { '0' }
            });
            assert_eq!(included.iter().collect::<String>(), row, "{one}");
        }
    }
}
