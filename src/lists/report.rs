//! What was loaded, and what was wrong with it.

use core::fmt;

use serde::Serialize;

/// How many bad lines are told one by one; the others are counted. Ten show
/// what kind of mistake it is, and fit a screen.
pub(crate) const MAX_SHOWN: usize = 10;

//----------- LoadReport ------------------------------------------------------

/// What was loaded: the lists and bindings in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// One entry a list or binding.
    pub lists: Vec<ListReport>,
    /// What is allowed but most likely not meant, of the whole register.
    pub warnings: Vec<String>,
}

impl LoadReport {
    /// Rules and bindings together.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.lists.iter().map(ListReport::entries).sum()
    }

    /// Lines that could not be read, in all lists.
    #[must_use]
    pub fn bad_lines(&self) -> u64 {
        self.lists.iter().map(ListReport::bad_lines).sum()
    }

    /// Every warning with what it is about, one line each.
    pub fn all_warnings(&self) -> impl Iterator<Item = String> {
        let of_lists = self.lists.iter().flat_map(|list| {
            let own = (list.warnings.iter()).map(move |text| format!("list {}: {text}", list.name));
            let of_files = list.files.iter().flat_map(|file| {
                (file.warnings.iter()).map(move |text| format!("{}: {text}", file.path))
            });
            let tolerated = (list.first_bad_lines.iter())
                .filter(|_| !list.is_refused())
                .map(|bad| format!("{bad} (line left out)"));
            let untold = list
                .bad_lines()
                .saturating_sub(list.first_bad_lines.len() as u64);
            let rest = (untold > 0 && !list.is_refused())
                .then(|| format!("list {}: {untold} more bad lines left out", list.name));
            own.chain(of_files).chain(tolerated).chain(rest)
        });
        self.warnings.iter().cloned().chain(of_lists)
    }
}

/// One line a list, then the warnings.
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for list in &self.lists {
            writeln!(f, "{list}")?;
        }
        for warning in self.all_warnings() {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

//----------- ListReport ------------------------------------------------------

/// What was loaded of one list or binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListReport {
    /// The name in the configuration.
    pub name: String,
    /// Whether it holds bindings rather than rules.
    pub bindings: bool,
    /// Whether it names models rather than rules.
    pub models: bool,
    /// Bad lines that it may have.
    pub max_bad_lines: u64,
    /// Its files, in the order in which they were read.
    pub files: Vec<FileReport>,
    /// The first of the bad lines, at most ten.
    pub first_bad_lines: Vec<BadLine>,
    /// What spoils the list whatever the number of bad lines, one line each:
    /// a file that is missing or cut short, a header that makes no sense.
    pub faults: Vec<String>,
    /// What is allowed but most likely not meant.
    pub warnings: Vec<String>,
    /// Entries of the list that is in force, if there is one.
    pub before: Option<u64>,
    /// IMEIs that look as if a spreadsheet had taken a zero from them.
    #[serde(skip)]
    pub(crate) lost_zeros: u64,
    /// IMEIs with their check digit.
    #[serde(skip)]
    pub(crate) with_check_digit: u64,
    /// IMEIs of fourteen digits.
    #[serde(skip)]
    pub(crate) without_check_digit: u64,
    /// Those of them that have a check digit if a zero is put before them.
    #[serde(skip)]
    pub(crate) like_shifted: u64,
    /// Entries with a status of their own.
    #[serde(skip)]
    pub(crate) own_status: u64,
    /// Lines that contradict others.
    #[serde(skip)]
    pub(crate) contradictions: u64,
    /// Rules with just one IMSI and no status of their own, which is how
    /// bindings are written.
    #[serde(skip)]
    pub(crate) like_bindings: u64,
}

impl ListReport {
    /// A report with nothing in it yet.
    pub(crate) fn new(name: &str, bindings: bool, max_bad_lines: u64) -> Self {
        Self {
            name: name.to_owned(),
            bindings,
            models: false,
            max_bad_lines,
            files: Vec::new(),
            first_bad_lines: Vec::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
            before: None,
            lost_zeros: 0,
            with_check_digit: 0,
            without_check_digit: 0,
            like_shifted: 0,
            own_status: 0,
            contradictions: 0,
            like_bindings: 0,
        }
    }

    /// Rules or bindings loaded from all files.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.files.iter().map(|file| file.entries).sum()
    }

    /// Lines that could not be read, in all files.
    #[must_use]
    pub fn bad_lines(&self) -> u64 {
        self.files.iter().map(|file| file.bad_lines).sum()
    }

    /// Whether the list must not be used.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        !self.faults.is_empty() || self.bad_lines() > self.max_bad_lines
    }

    /// Whether another bad line would be told in full.
    pub(crate) fn tells_more(&self) -> bool {
        self.first_bad_lines.len() < MAX_SHOWN
    }

    /// Notes a bad line, among the first in full.
    pub(crate) fn note(&mut self, bad: impl FnOnce() -> BadLine) {
        if self.tells_more() {
            self.first_bad_lines.push(bad());
        }
    }
}

impl fmt::Display for ListReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.bindings, self.models) {
            (true, _) => "binding",
            (_, true) => "model",
            _ => "rule",
        };
        let files = plural(self.files.len() as u64, "file");
        let entries = self.entries();
        let counted = plural(entries, kind);
        write!(f, "{}: {counted} from {files}", self.name)?;
        match self.bad_lines() {
            0 => {}
            1 => f.write_str(", 1 bad line")?,
            many => write!(f, ", {many} bad lines")?,
        }
        match self.before {
            Some(before) if before < entries => {
                write!(f, " ({} more than in force)", entries - before)
            }
            Some(before) if before > entries => {
                write!(f, " ({} fewer than in force)", before - entries)
            }
            _ => Ok(()),
        }
    }
}

//----------- FileReport ------------------------------------------------------

/// What was loaded of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// The file.
    pub path: String,
    /// Its bytes, decompressed.
    pub bytes: u64,
    /// Its lines, with header, comments and blank ones.
    pub lines: u64,
    /// Rules or bindings loaded from it.
    pub entries: u64,
    /// Lines that could not be read.
    pub bad_lines: u64,
    /// Lines that are allowed to mean nothing, such as those of a registry with
    /// what is no IMEI.
    pub left_out: u64,
    /// Lines kept whose fifteenth digit is neither 0 nor the check digit.
    pub wrong_check_digits: u64,
    /// What is allowed but most likely not meant.
    pub warnings: Vec<String>,
    /// Its SHA-256, if it was wanted.
    #[serde(skip)]
    pub sha256: Option<String>,
}

//----------- BadLine ---------------------------------------------------------

/// A line that could not be read. Prints as `path:line:column: reason`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// The file.
    pub path: String,
    /// The line in it, from 1.
    pub line: u64,
    /// The field, from 1; absent if it is about the whole line.
    pub column: Option<usize>,
    /// The name of the field's column, if it is known.
    pub column_name: Option<&'static str>,
    /// What is wrong, and where it helps, what would be right.
    pub reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.path, self.line)?;
        if let Some(column) = self.column {
            write!(f, "{column}:")?;
        }
        if let Some(name) = self.column_name {
            write!(f, " {name}:")?;
        }
        write!(f, " {}", self.reason)
    }
}

//----------- Bad -------------------------------------------------------------

/// What is wrong with a line, before it is known which line it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    /// The field, from 0; absent if it is about the whole line.
    pub(crate) place: Option<usize>,
    /// What is wrong.
    pub(crate) reason: String,
}

impl Bad {
    /// Something wrong with the whole line.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            place: None,
            reason: reason.into(),
        }
    }

    /// Something wrong with the field at `place`.
    pub(crate) fn at(place: usize, reason: impl Into<String>) -> Self {
        Self {
            place: Some(place),
            reason: reason.into(),
        }
    }

    /// The same with file, line and the name of the column.
    pub(crate) fn in_line(self, path: &str, line: u64, name: Option<&'static str>) -> BadLine {
        BadLine {
            path: path.to_owned(),
            line,
            column: self.place.map(|place| place + 1),
            column_name: name,
            reason: self.reason,
        }
    }
}

/// "1 line", "2 lines".
pub(crate) fn plural(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
