//! A chunk of a house list, on whichever thread: what its lines say, before it is
//! known which lines they are and what stands in others.
//!
//! Most lines are simple: an IMEI of digits, perhaps a status and a reason, all
//! without quotes and the like. These are taken apart here. Every other line goes
//! the way of [`Entry::read`](super::entry::Entry::read), which is all there is to know about lines: a
//! simple line is one of which that would say the same, and in doubt it is asked.

mod sayings;
mod scanner;
mod tails;

use crate::equipment::bulk::{Bundle, Tuples};
use crate::equipment::{CheckDigit, Imei, Imsi, Scope, Status, Subscribers, Validity};

use self::scanner::{Scanner, Simple};
use super::feed::{At, Draft, Feed, Refusal, Target};
use super::field;
use super::lines::LineError;
use super::report::Bad;
use super::table::Header;

//----------- Scanned ---------------------------------------------------------

/// What a chunk holds.
#[derive(Debug)]
pub(super) struct Scanned {
    /// Its lines.
    pub(super) lines: u64,
    /// Its bytes.
    pub(super) bytes: u64,
    /// The rules of single devices; lines are counted from the chunk's first.
    pub(super) bundle: Bundle,
    /// The bindings; likewise.
    pub(super) tied: Vec<Tied>,
    /// What both say.
    pub(super) saids: Vec<Saying>,
    /// What is counted of them.
    pub(super) tally: Tally,
    /// What other lines say, with their numbers from 1.
    pub(super) found: Vec<(u64, Found)>,
    /// Why the rest of the chunk was not read.
    pub(super) stop: Option<LineError>,
}

/// What a rule of a single device says, or a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saying {
    /// The status; that of a binding is its list's, and this is any.
    pub(crate) status: Status,
    /// When.
    pub(crate) validity: Validity,
    /// Why.
    pub(crate) reason: Option<Box<str>>,
}

/// A binding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tied {
    /// Who is bound.
    pub(crate) subscribers: Subscribers,
    /// To which devices.
    pub(crate) scope: Scope,
    /// The number of what it says.
    pub(crate) said: u32,
    /// The line.
    pub(crate) line: u32,
}

/// What is counted of lines; see [`ListReport`](super::ListReport) for what is
/// told from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Entries.
    pub(crate) entries: u64,
    /// IMEIs with their check digit.
    pub(crate) with_check_digit: u64,
    /// IMEIs of fourteen digits.
    pub(crate) without_check_digit: u64,
    /// Those that may have lost their first digit.
    pub(crate) like_shifted: u64,
    /// IMEIs with a wrong check digit.
    pub(crate) wrong_check_digits: u64,
    /// The first line with one.
    pub(crate) first_wrong_digit: Option<u64>,
    /// Entries with a status of their own.
    pub(crate) own_status: u64,
    /// Bad lines whose IMEI has thirteen digits.
    pub(crate) lost_zeros: u64,
}

impl Tally {
    /// Counts the check digit of an IMEI.
    pub(crate) fn check_digit(&mut self, line: u64, imei: Imei) {
        match (imei.check_digit, imei.svn) {
            (CheckDigit::Right, _) => self.with_check_digit += 1,
            (CheckDigit::Absent, None) => {
                self.without_check_digit += 1;
                self.like_shifted += u64::from(field::is_shifted(imei.device));
            }
            (CheckDigit::Wrong, _) => {
                self.wrong_check_digits += 1;
                self.first_wrong_digit.get_or_insert(line);
            }
            _ => {}
        }
    }
}

/// A line that is neither a rule of a single device nor a binding.
#[derive(Debug)]
pub(super) enum Found {
    /// It is bad; with the name of the column.
    Bad(Bad, Option<&'static str>),
    /// It is another rule.
    Rule(Box<Owned>),
}

/// A rule that stands by itself.
#[derive(Debug)]
pub(super) struct Owned {
    /// Which devices.
    scope: Scope,
    /// When.
    validity: Validity,
    /// Why.
    reason: Option<Box<str>>,
    /// The status.
    status: Status,
    /// Whether the line has one of its own.
    has_status: bool,
    /// Who may use the devices nonetheless.
    exceptions: Vec<Imsi>,
    /// The IMEIs that say which devices.
    imeis: [Option<Imei>; 2],
    /// Whether it is written as bindings are.
    is_like_binding: bool,
}

impl Owned {
    /// Adds it to the list.
    pub(super) fn add(&self, at: At, feed: &mut Feed<'_>) -> Result<(), Refusal> {
        let draft = Draft {
            scope: self.scope,
            validity: self.validity,
            reason: self.reason.as_deref(),
        };
        feed.rule(at, draft, self.status, &self.exceptions)?;
        feed.list.own_status += u64::from(self.has_status);
        feed.list.like_bindings += u64::from(self.is_like_binding);
        for imei in self.imeis.into_iter().flatten() {
            feed.check_digit(at, imei);
        }
        Ok(())
    }
}

//----------- Scan ------------------------------------------------------------

/// How the chunks of one file are scanned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'a> {
    /// The columns.
    header: &'a Header,
    /// What lines become.
    target: Target,
    /// Where simple lines have what they have, if there may be any.
    simple: Option<Simple>,
}

/// What whoever scans chunk after chunk uses again: memory that is new has to be
/// cleared by the system first, which takes as long as to scan.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// For rules of single devices.
    tuples: Tuples,
    /// For what is made of them.
    pub(super) spare: Option<Bundle>,
}

impl<'a> Scan<'a> {
    /// For a list with this header.
    pub(super) fn new(header: &'a Header, target: Target) -> Self {
        Self {
            header,
            target,
            simple: Simple::of(header, target),
        }
    }

    /// Scans the lines of a chunk.
    pub(super) fn read(&self, text: &[u8], desk: &mut Desk) -> Scanned {
        let tuples = core::mem::take(&mut desk.tuples).again();
        let mut scanner = Scanner::new(self, tuples);
        let (lines, bytes, stop) = scanner.read(text);
        let Scanner {
            tuples,
            tied,
            sayings,
            tally,
            found,
            ..
        } = scanner;
        let table = (0u32..).take(sayings.all.len()).collect();
        let bundle = Bundle::pack(&tuples, table, desk.spare.take().unwrap_or_default());
        desk.tuples = tuples;
        Scanned {
            lines,
            bytes,
            bundle,
            tied,
            saids: sayings.all,
            tally,
            found,
            stop,
        }
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::equipment::Builder;
    use crate::lists::table::Row;

    /// Headers with the columns of simple lines, and others.
    const HEADERS: [&str; 7] = [
        "imei,imsi",
        "imsi,imsi_to,reason,imei,imsi_from",
        "imei",
        "imei,status,reason",
        "reason,shoe size,imei",
        "status,imei,imsi,from",
        "tac,imei,svn,reason",
    ];

    /// Pieces that lines are made of.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => "[0-9]{14,16}",
            2 => "[0-9]{0,18}",
            4 => Just(",".to_owned()),
            2 => Just("blacklisted".to_owned()),
            1 => Just(" Grey ".to_owned()),
            1 => Just("no status".to_owned()),
            1 => Just("\u{e4}\u{f6}".to_owned()),
            1 => Just("\"".to_owned()),
            1 => Just("\r".to_owned()),
            1 => Just(" ".to_owned()),
            1 => Just("#".to_owned()),
            1 => Just("\"a \"\"b\"\"\"".to_owned()),
            1 => Just("2026-01-31".to_owned()),
        ]
    }

    /// Lines, whole ones most of the time.
    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let odd = prop::collection::vec(piece(), 0..6).prop_map(|pieces| pieces.concat());
        let plain = "[0-9]{14,16}";
        let full = "[0-9]{14,16},(blacklisted|grey|white|),(stolen|lost|)";
        let bound = "[0-9]{14,16},(imsi-|)[0-9]{5,16}";
        let line = prop_oneof![plain, full, bound, odd];
        let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n")];
        let lines = prop::collection::vec((line, end), 0..30);
        (lines, any::<bool>(), any::<[u8; 2]>()).prop_map(|(lines, is_cut, odd)| {
            let lines = lines.iter().map(|(line, end)| format!("{line}{end}"));
            let mut text = lines.collect::<String>().into_bytes();
            if is_cut {
                text.pop();
                if let Some(place) = text.len().checked_sub(1 + usize::from(odd[0])) {
                    text[place] = odd[1];
                }
            }
            text
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The general reader of lines is the oracle of that of simple ones.
        #[test]
        fn simple_lines_are_what_the_general_reader_makes_of_them(
            text in lines(), header in 0..HEADERS.len(), of_bindings: bool
        ) {
            let mut row = Row::new();
            row.read(format!("{}\n", HEADERS[header]).as_bytes()).unwrap();
            // Only in the first two there are subscribers, and no status.
            let of_bindings = of_bindings && header < 2;
            if !of_bindings && header == 1 {
                return Ok(());
            }
            let header = Header::parse(&row, of_bindings).unwrap();
            let mut builder = Builder::new();
            let list = builder.list("l", Status::Blacklisted).unwrap();
            let target = match of_bindings {
                true => Target::Bindings(list),
                false => Target::Rules(list, Status::Blacklisted),
            };
            let scan = Scan::new(&header, target);
            let general = Scan { simple: None, ..scan };
            let mut desk = Desk::default();
            let (own, expected) = (scan.read(&text, &mut desk), general.read(&text, &mut desk));
            prop_assert_eq!(format!("{own:?}"), format!("{expected:?}"));
        }
    }
}
