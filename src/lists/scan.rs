//! A chunk of a house list, on whichever thread: what its lines say, before it is
//! known which lines they are and what stands in others.
//!
//! Most lines are simple: an IMEI of digits, perhaps a status and a reason, all
//! without quotes and the like. These are taken apart here. Every other line goes
//! the way of [`Entry::read`], which is all there is to know about lines: a
//! simple line is one of which that would say the same, and in doubt it is asked.

use rustc_hash::FxHashMap;

use crate::equipment::bulk::{Bundle, Tuple, Tuples};
use crate::equipment::{CheckDigit, Imei, Scope, Status, Validity};

use super::column;
use super::digits::{self, Digits};
use super::entry::{Entry, What};
use super::feed::{At, Draft, Feed, Refusal, Target};
use super::field;
use super::house::is_skipped;
use super::lines::{LineError, MAX_LINE};
use super::report::Bad;
use super::table::{Column, Header, Row};

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
    /// What they say.
    pub(super) saids: Vec<Saying>,
    /// What is counted of them.
    pub(super) tally: Tally,
    /// What other lines say, with their numbers from 1.
    pub(super) found: Vec<(u64, Found)>,
    /// Why the rest of the chunk was not read.
    pub(super) stop: Option<LineError>,
}

/// What a rule of a single device says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saying {
    /// The status.
    pub(crate) status: Status,
    /// When.
    pub(crate) validity: Validity,
    /// Why.
    pub(crate) reason: Option<Box<str>>,
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

/// A line that is no rule of a single device.
#[derive(Debug)]
pub(super) enum Found {
    /// It is bad; with the name of the column.
    Bad(Bad, Option<&'static str>),
    /// It is another rule, or a binding.
    Entry(Box<Owned>),
}

/// An entry that stands by itself.
#[derive(Debug)]
pub(super) struct Owned {
    /// Which devices.
    scope: Scope,
    /// When.
    validity: Validity,
    /// Why.
    reason: Option<Box<str>>,
    /// What of them.
    what: What,
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
        match &self.what {
            What::Rule {
                status,
                has_status,
                exceptions,
            } => {
                feed.rule(at, draft, *status, exceptions)?;
                feed.list.own_status += u64::from(*has_status);
                feed.list.like_bindings += u64::from(self.is_like_binding);
            }
            What::Binding(subscribers) => feed.binding(at, draft, *subscribers)?,
        }
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

/// What simple lines have.
#[derive(Clone, Copy, Debug)]
struct Simple {
    /// How many columns there are.
    width: usize,
    /// The place of the IMEI.
    imei: usize,
    /// The place of the status.
    status: Option<usize>,
    /// The place of the reason.
    reason: Option<usize>,
    /// Places of what simple lines do not have.
    others: u128,
    /// The status of lines without one.
    default: Status,
}

impl<'a> Scan<'a> {
    /// For a list with this header.
    pub(super) fn new(header: &'a Header, target: Target) -> Self {
        let simple = match target {
            Target::Rules(_, default) => Simple::of(header, default),
            Target::Bindings(_) | Target::Models => None,
        };
        Self {
            header,
            target,
            simple,
        }
    }

    /// Scans the lines of a chunk.
    pub(super) fn read(&self, text: &[u8], desk: &mut Desk) -> Scanned {
        let tuples = core::mem::take(&mut desk.tuples).again();
        let mut scanner = Scanner {
            scan: self,
            tuples,
            sayings: Sayings::default(),
            tally: Tally::default(),
            found: Vec::new(),
            row: Row::new(),
            line: Vec::new(),
            last: (0..0, 0..0, None),
            tails: Tails::new(self.simple),
        };
        let (lines, bytes, stop) = scanner.read(text);
        let Scanner {
            tuples,
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
            saids: sayings.all,
            tally,
            found,
            stop,
        }
    }
}

impl Simple {
    /// Of a list with this header.
    fn of(header: &Header, default: Status) -> Option<Self> {
        let known = [Column::Imei, Column::Status, Column::Reason];
        let mut others = 0;
        for column in Column::ALL
            .into_iter()
            .filter(|column| !known.contains(column))
        {
            if let Some(place) = header.place(column) {
                others |= 1u128.checked_shl(u32::try_from(place).ok()?)?;
            }
        }
        (header.width() <= 128).then_some(())?;
        Some(Self {
            width: header.width(),
            imei: header.place(Column::Imei)?,
            status: header.place(Column::Status),
            reason: header.place(Column::Reason),
            others,
            default,
        })
    }
}

/// Scans a chunk.
struct Scanner<'a> {
    /// How.
    scan: &'a Scan<'a>,
    /// Rules of single devices.
    tuples: Tuples,
    /// What they say.
    sayings: Sayings,
    /// What is counted.
    tally: Tally,
    /// Everything else.
    found: Vec<(u64, Found)>,
    /// The fields of a line that is not simple.
    row: Row,
    /// That line.
    line: Vec<u8>,
    /// Where status and reason of the last simple line stand, and what they say.
    last: (
        core::ops::Range<usize>,
        core::ops::Range<usize>,
        Option<u32>,
    ),
    /// What stood behind the IMEIs of simple lines.
    tails: Tails,
}

impl Scanner<'_> {
    /// Reads all lines; returns how many lines and bytes they are, and why there
    /// are no more.
    fn read(&mut self, text: &[u8]) -> (u64, u64, Option<LineError>) {
        let plain = self.scan.simple.filter(|simple| simple.width == 1);
        let mut at = 0;
        let mut number = 0;
        // From which line on it is worth a try to read several at once.
        let mut several_from = 0;
        while at < text.len() {
            let rest = text.get(at..).unwrap_or_default();
            if let Some(simple) = plain
                && number >= several_from
            {
                let lines = self.column(number, rest, simple.default);
                if lines > 0 {
                    number += lines as u64;
                    at += lines * column::LINE;
                    continue;
                }
                several_from = number + column::BATCH as u64;
            }
            number += 1;
            // A column of IMEIs and nothing else is what large lists are.
            if let Some(simple) = plain
                && let Some((digits, length)) = digits::line(rest)
            {
                let said = self.sayings.plain(simple.default);
                self.add(number, digits, said);
                at += length;
                continue;
            }
            // In others, the IMEI is followed by the same again and again.
            if self.tails.are_kept()
                && let Some((digits, length)) = digits::first_field(rest)
                && let Some(end) = memchr::memchr(b'\n', rest)
                && let Some((said, has_status)) = self.tails.find(text, at + length..at + end)
            {
                self.tally.own_status += u64::from(has_status);
                self.add(number, digits, said);
                at += end + 1;
                continue;
            }
            let end = memchr::memchr(b'\n', rest);
            let behind = end.map_or(text.len(), |end| at + end + 1);
            let line = text
                .get(at..at + end.unwrap_or(rest.len()))
                .unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > MAX_LINE {
                return (number, behind as u64, Some(LineError::TooLong));
            }
            let whole = at..at + end.unwrap_or(rest.len());
            if !self.simple(number, text, whole, line) {
                self.line.clear();
                self.line.extend_from_slice(line);
                self.line.push(b'\n');
                self.general(number);
            }
            at = behind;
        }
        (number, at as u64, None)
    }

    /// Adds the rules of some of the lines of a column behind a line, as many as
    /// can be read at once, and returns how many they are.
    #[inline]
    fn column(&mut self, before: u64, text: &[u8], default: Status) -> usize {
        let mut devices = [column::Parts::default(); column::BATCH];
        let lines = column::read(text, &mut devices);
        if lines == 0 {
            return 0;
        }
        let said = self.sayings.plain(default);
        let parts = |device: &column::Parts| [device.tac(), device.serial()].map(u64::from);
        let devices = devices.get(..lines).unwrap_or_default().iter().map(parts);
        (self.tuples).push_column((said, before as u32 + 1), devices);
        self.tally.entries += lines as u64;
        self.tally.with_check_digit += lines as u64;
        lines
    }

    /// Adds a rule of a single device that always holds.
    #[inline]
    fn add(&mut self, line: u64, digits: Digits, said: u32) {
        self.tuples
            .push(Tuple::new(digits.device, said, line as u32));
        let tally = &mut self.tally;
        tally.entries += 1;
        match digits.check_digit {
            Some(CheckDigit::Right) => tally.with_check_digit += 1,
            _ => tally.check_digit(line, digits.imei()),
        }
    }

    /// Adds a line if it is simple; with the part of the text that it is, to the
    /// octet that ends it.
    fn simple(
        &mut self,
        number: u64,
        text: &[u8],
        core::ops::Range { start, end }: core::ops::Range<usize>,
        line: &[u8],
    ) -> bool {
        let Some(simple) = self.scan.simple else {
            return false;
        };
        let mut imei = 0..0;
        let mut status = 0..0;
        let mut reason = 0..0;
        let mut place = 0;
        let mut from = 0;
        for (at, &byte) in line.iter().chain(b",").enumerate() {
            match byte {
                b',' => {
                    let field = start + from..start + at;
                    if place == simple.imei {
                        imei = field;
                    } else if Some(place) == simple.status {
                        status = field;
                    } else if Some(place) == simple.reason {
                        reason = field;
                    } else if simple.others >> place & 1 == 1 && at > from {
                        return false;
                    }
                    place += 1;
                    from = at + 1;
                    if place > simple.width {
                        return false;
                    }
                }
                b'"' | b'\r' => return false,
                _ => {}
            }
        }
        if place != simple.width || line.first() == Some(&b'#') {
            return false;
        }
        let field = |range: &core::ops::Range<usize>| text.get(range.clone()).unwrap_or_default();
        let Some(digits) = digits::imei(field(&imei)) else {
            return false;
        };
        let has_status = !field(&status).trim_ascii().is_empty();
        let tail = imei.end..end;
        let (last_status, last_reason, last) = &self.last;
        let said = match *last {
            Some(said)
                if field(last_status) == field(&status) && field(last_reason) == field(&reason) =>
            {
                said
            }
            _ => {
                let Some(said) = self.say(simple.default, field(&status), field(&reason)) else {
                    return false;
                };
                self.last = (status, reason, Some(said));
                said
            }
        };
        self.tally.own_status += u64::from(has_status);
        self.add(number, digits, said);
        self.tails.keep(text, tail, (said, has_status));
        true
    }

    /// The number of what a status and a reason say; `None` if something is
    /// wrong with them.
    fn say(&mut self, default: Status, status: &[u8], reason: &[u8]) -> Option<u32> {
        let status = match status.trim_ascii() {
            [] => default,
            name => core::str::from_utf8(name).ok()?.parse().ok()?,
        };
        let reason = match reason.trim_ascii() {
            [] => None,
            text => Some(field::reason(text).ok()?),
        };
        Some(self.sayings.number(status, Validity::ALWAYS, reason))
    }

    /// Reads the line in the buffer.
    fn general(&mut self, number: u64) {
        if is_skipped(&self.line) {
            return;
        }
        let header = self.scan.header;
        let read = self.row.read(&self.line);
        if read.is_ok() && self.row.is_blank() {
            return;
        }
        let is_read = read.is_ok();
        let entry = read.and_then(|()| Entry::read(header, &self.row, self.scan.target));
        match entry {
            Err(bad) => {
                if is_read {
                    let imei = header.field(&self.row, Column::Imei);
                    self.tally.lost_zeros += u64::from(field::lost_a_zero(imei));
                }
                let name = bad.place.and_then(|place| header.name_at(place));
                self.found.push((number, Found::Bad(bad, name)));
            }
            Ok(Entry { draft, what, imeis }) => match (draft.scope, &what) {
                (
                    Scope::Device(device),
                    What::Rule {
                        status,
                        has_status,
                        exceptions,
                    },
                ) if exceptions.is_empty() => {
                    let said = self.sayings.number(*status, draft.validity, draft.reason);
                    self.tuples.push(Tuple::new(device, said, number as u32));
                    self.tally.entries += 1;
                    self.tally.own_status += u64::from(*has_status);
                    for imei in imeis.into_iter().flatten() {
                        self.tally.check_digit(number, imei);
                    }
                }
                _ => {
                    let is_like_binding = matches!(&what, What::Rule { exceptions, .. }
                        if exceptions.len() == 1 && header.place(Column::Status).is_none());
                    let entry = Owned {
                        scope: draft.scope,
                        validity: draft.validity,
                        reason: draft.reason.map(Into::into),
                        what,
                        imeis,
                        is_like_binding,
                    };
                    self.found.push((number, Found::Entry(Box::new(entry))));
                }
            },
        }
    }
}

//----------- Tails -----------------------------------------------------------

/// How many tails are kept.
const TAILS: usize = 256;

/// The longest that is kept: what is as long as a line may be would be too long
/// behind a longer IMEI.
const TAIL_MAX: usize = 1024;

/// What stands behind the IMEI on simple lines, and what it says: lists have a
/// few statuses and reasons, so that most lines need not be taken apart.
#[derive(Debug, Default)]
struct Tails(Vec<Tail>);

/// One of them.
#[derive(Clone, Debug, Default)]
struct Tail {
    /// Where it stands in the text.
    at: core::ops::Range<usize>,
    /// What it says, and whether it has a status.
    says: (u32, bool),
}

impl Tails {
    /// Those of a list of which this is known; none if the IMEI is not first.
    fn new(simple: Option<Simple>) -> Self {
        let are_kept = simple.is_some_and(|simple| simple.width > 1 && simple.imei == 0);
        Self(match are_kept {
            true => vec![Tail::default(); TAILS],
            false => Vec::new(),
        })
    }

    /// Whether there may be any.
    #[inline]
    fn are_kept(&self) -> bool {
        !self.0.is_empty()
    }

    /// What a tail says, if it is known.
    #[inline]
    fn find(&self, text: &[u8], at: core::ops::Range<usize>) -> Option<(u32, bool)> {
        let own = text.get(at)?;
        let known = self.0.get(Self::place(own))?;
        // An empty one is none: a simple line has a comma at least.
        (text.get(known.at.clone())? == own).then_some(known.says)
    }

    /// Keeps one.
    fn keep(&mut self, text: &[u8], at: core::ops::Range<usize>, says: (u32, bool)) {
        let place = Self::place(text.get(at.clone()).unwrap_or_default());
        if at.len() <= TAIL_MAX
            && let Some(tail) = self.0.get_mut(place)
        {
            *tail = Tail { at, says };
        }
    }

    /// The place of a tail.
    #[inline]
    fn place(tail: &[u8]) -> usize {
        let (words, rest) = tail.as_chunks::<8>();
        let last = rest
            .iter()
            .fold(0, |last, &octet| last << 8 | u64::from(octet));
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let hash = words.chain([last]).fold(tail.len() as u64, |hash, word| {
            (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        (hash >> 56) as usize % TAILS
    }
}

//----------- Sayings ---------------------------------------------------------

/// What rules of single devices say, each once.
#[derive(Debug, Default)]
struct Sayings {
    /// All of them.
    all: Vec<Saying>,
    /// Their numbers by their hashes. Of two with the same hash, which is rare,
    /// the second is merely kept anew each time.
    numbers: FxHashMap<u64, u32>,
    /// That which has neither dates nor reason, of the last status asked for.
    plain: Option<(Status, u32)>,
}

impl Sayings {
    /// The number of a status without more.
    #[inline]
    fn plain(&mut self, status: Status) -> u32 {
        match self.plain {
            Some((known, number)) if known == status => number,
            _ => {
                let number = self.number(status, Validity::ALWAYS, None);
                self.plain = Some((status, number));
                number
            }
        }
    }

    /// The number of this.
    fn number(&mut self, status: Status, validity: Validity, reason: Option<&str>) -> u32 {
        use core::hash::BuildHasher;
        let hash = rustc_hash::FxBuildHasher.hash_one((status, validity, reason));
        if let Some(&number) = self.numbers.get(&hash) {
            let known = self.all.get(number as usize);
            if known.is_some_and(|known| {
                known.status == status
                    && known.validity == validity
                    && known.reason.as_deref() == reason
            }) {
                return number;
            }
        }
        // A chunk has fewer lines than there are numbers.
        let number = self.all.len() as u32;
        self.numbers.entry(hash).or_insert(number);
        self.all.push(Saying {
            status,
            validity,
            reason: reason.map(Into::into),
        });
        number
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::equipment::Builder;

    /// Headers with the columns of simple lines, and others.
    const HEADERS: [&str; 5] = [
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
        let line = prop_oneof![plain, full, odd];
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
            text in lines(), header in 0..HEADERS.len()
        ) {
            let mut row = Row::new();
            row.read(format!("{}\n", HEADERS[header]).as_bytes()).unwrap();
            let header = Header::parse(&row, false).unwrap();
            let mut builder = Builder::new();
            let list = builder.list("l", Status::Blacklisted).unwrap();
            let scan = Scan::new(&header, Target::Rules(list, Status::Blacklisted));
            let general = Scan { simple: None, ..scan };
            let mut desk = Desk::default();
            let (own, expected) = (scan.read(&text, &mut desk), general.read(&text, &mut desk));
            prop_assert_eq!(format!("{own:?}"), format!("{expected:?}"));
        }
    }
}
