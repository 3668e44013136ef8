//! Errors of the configuration, each with the line and column it is about.
//!
//! The parser knows where a value stands, but not what it is called; the
//! checks know what it is called, but not where it stands. On an error the
//! text is read once more into a table with places, and the one is looked up
//! by the other.

use core::fmt;
use core::ops::Range;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::check::{Fault, suggest};

/// The largest configuration file in bytes: thousands of peers fit, a list
/// that was named by mistake does not.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// A configuration that cannot be used; prints one line a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named.
    pub path: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, both from 1; `None` if it is about the whole file.
    pub place: Option<(usize, usize)>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl ConfigError {
    /// An error about the whole file.
    fn whole(path: &Path, message: String) -> Self {
        let place = None;
        Self {
            path: path.to_path_buf(),
            problems: vec![Problem { place, message }],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:", self.path.display())?;
            if let Some((line, column)) = problem.place {
                write!(f, "{line}:{column}:")?;
            }
            write!(f, " {}", problem.message)?;
        }
        Ok(())
    }
}

impl core::error::Error for ConfigError {}

//----------- Making errors ---------------------------------------------------

/// Reads a configuration file, or says plainly why not.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let whole = |message: String| ConfigError::whole(path, message);
    let unreadable = |error: io::Error| {
        whole(match error.kind() {
            io::ErrorKind::NotFound => {
                "no such file; `weir config` prints a configuration to start from".to_owned()
            }
            io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
            _ => format!("cannot be read: {error}"),
        })
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(whole("is a directory; name a file in it".to_owned()));
    }
    if metadata.len() > MAX_FILE {
        return Err(whole(format!(
            "has {} bytes, more than the {MAX_FILE} of any configuration; is it a list?",
            metadata.len()
        )));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
        let mut error = whole("is not UTF-8 from here on".to_owned());
        for problem in &mut error.problems {
            problem.place = Some(place_of(&before, valid));
        }
        error
    })
}

/// Words an error of the parser or of a value's type.
pub(super) fn syntax(error: &toml::de::Error, text: &str, path: &Path) -> ConfigError {
    let span = error.span().unwrap_or(0..0);
    let place = error.span().map(|span| place_of(text, span.start));
    let message = error.message().trim().replace('\n', "; ");
    let mut keys = DeTable::parse(text)
        .map(|table| path_at(table.get_ref(), &span))
        .unwrap_or_default();

    let message = if let Some((key, known)) = unknown_field(&message) {
        if keys.last().is_some_and(|last| last == key) {
            keys.pop();
        }
        format!(
            "unknown key `{key}`{}{}",
            within(&keys),
            suggest(key, &known)
        )
    } else if let Some(key) = quoted_after(&message, "missing field ") {
        format!("missing key `{key}`{}", within(&keys))
    } else {
        match keys.iter().rposition(|key| !is_index(key)) {
            Some(last) => named(&keys, last, &message),
            None => message,
        }
    };
    ConfigError {
        path: path.to_path_buf(),
        problems: vec![Problem { place, message }],
    }
}

/// Words values that are out of bounds or contradict each other.
pub(super) fn values(faults: Vec<Fault>, text: &str, path: &Path) -> ConfigError {
    let table = DeTable::parse(text).ok();
    let problems = faults.into_iter().map(|fault| {
        let span = table
            .as_ref()
            .and_then(|table| span_of(table.get_ref(), &fault.path));
        let message = match fault.path.iter().rposition(|key| !is_index(key)) {
            Some(last) => named(&fault.path, last, &fault.message),
            None => fault.message,
        };
        Problem {
            place: span.map(|span| place_of(text, span.start)),
            message,
        }
    });
    ConfigError {
        path: path.to_path_buf(),
        problems: problems.collect(),
    }
}

/// "`key` in `[table]` message" or, if the message starts with a value of its
/// own, "`key` in `[table]`: message".
fn named(keys: &[String], last: usize, message: &str) -> String {
    let (table, rest) = keys.split_at(last);
    let key = rest.first().map_or("", String::as_str);
    let link = match ["is ", "must "]
        .iter()
        .any(|verb| message.starts_with(verb))
    {
        true => " ",
        false => ": ",
    };
    format!("`{key}`{}{link}{message}", within(table))
}

/// `in [table]`, as the file would write the table; nothing for the root.
fn within(keys: &[String]) -> String {
    let names: Vec<&str> = keys
        .iter()
        .filter(|key| !is_index(key))
        .map(String::as_str)
        .collect();
    match names.as_slice() {
        [] => String::new(),
        ["policy", "match"] => " in `match` of [[policy]]".to_owned(),
        names if keys.len() > names.len() => format!(" in [[{}]]", names.join(".")),
        names => format!(" in [{}]", names.join(".")),
    }
}

/// Whether a step of a path is a place in an array; no key is a number.
fn is_index(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_digit())
}

/// Takes the key and the known ones from what serde says of an unknown field.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let key = quoted_after(message, "unknown field ")?;
    let known = message
        .split_once(", expected")
        .map_or("", |(_, rest)| rest);
    // What stands between backquotes is every second piece.
    Some((key, known.split('`').skip(1).step_by(2).collect()))
}

/// The text between the backquotes after `prefix`.
fn quoted_after<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = message.strip_prefix(prefix)?.strip_prefix('`')?;
    rest.split('`').next()
}

//----------- Places ----------------------------------------------------------

/// Line and column of a byte, both from 1, columns in characters.
fn place_of(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The keys that lead to the narrowest key or value around `span`.
fn path_at(table: &DeTable<'_>, span: &Range<usize>) -> Vec<String> {
    let mut best = Best {
        span,
        width: usize::MAX,
        path: Vec::new(),
    };
    best.search_table(table, &mut Vec::new());
    best.path
}

/// The search of [`path_at`].
struct Best<'a> {
    /// What is looked for.
    span: &'a Range<usize>,
    /// Length of the narrowest span so far.
    width: usize,
    /// The keys that lead there.
    path: Vec<String>,
}

impl Best<'_> {
    /// Takes `found` if it is around the span and not wider than the best.
    fn offer(&mut self, found: Range<usize>, path: &[String]) {
        let around = found.start <= self.span.start && self.span.end <= found.end;
        if around && found.len() <= self.width {
            self.width = found.len();
            self.path = path.to_vec();
        }
    }

    /// Offers all keys and values of a table.
    fn search_table(&mut self, table: &DeTable<'_>, path: &mut Vec<String>) {
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            self.offer(key.span(), path);
            self.offer(value.span(), path);
            self.search(value.get_ref(), path);
            path.pop();
        }
    }

    /// Offers everything inside a value.
    fn search(&mut self, value: &DeValue<'_>, path: &mut Vec<String>) {
        match value {
            DeValue::Table(table) => self.search_table(table, path),
            DeValue::Array(array) => {
                for (index, item) in array.iter().enumerate() {
                    path.push(index.to_string());
                    self.offer(item.span(), path);
                    self.search(item.get_ref(), path);
                    path.pop();
                }
            }
            _ => {}
        }
    }
}

/// The place of the value that `path` leads to, or of the last key on the way
/// that is there: a default that is wrong stands nowhere itself.
fn span_of(table: &DeTable<'_>, path: &[String]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let (_, found) = table
        .iter()
        .find(|(key, _)| key.get_ref().as_ref() == first.as_str())?;
    let mut span = found.span();
    let mut value = found.get_ref();
    for step in rest {
        let next = match value {
            DeValue::Table(table) => table
                .iter()
                .find(|(key, _)| key.get_ref().as_ref() == step.as_str())
                .map(|(_, value)| value),
            DeValue::Array(array) => step.parse().ok().and_then(|index: usize| array.get(index)),
            _ => None,
        };
        let Some(next) = next else { break };
        span = next.span();
        value = next.get_ref();
    }
    Some(span)
}
