//! Line by line through a chunk: the simple lines are taken apart here, the
//! others by the general reader.

use super::sayings::Sayings;
use super::tails::Tails;
use super::{Found, Owned, Scan, Tally, Tied};
use crate::equipment::bulk::{Tuple, Tuples};
use crate::equipment::{CheckDigit, Imsi, Scope, Status, Subscribers, Validity};
use crate::lists::column;
use crate::lists::digits::{self, Digits};
use crate::lists::entry::{Entry, What};
use crate::lists::feed::Target;
use crate::lists::field;
use crate::lists::house::is_skipped;
use crate::lists::lines::{LineError, MAX_LINE};
use crate::lists::table::{Column, Header, Row};

//----------- Simple ----------------------------------------------------------

/// What simple lines have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Simple {
    /// How many columns there are.
    pub(super) width: usize,
    /// The place of the IMEI.
    pub(super) imei: usize,
    /// The place of the IMSI, in a list of bindings.
    imsi: Option<usize>,
    /// The place of the status.
    status: Option<usize>,
    /// The place of the reason.
    reason: Option<usize>,
    /// Places of what simple lines do not have.
    others: u128,
    /// The status of lines without one.
    default: Status,
}

impl Simple {
    /// Of a list with this header.
    pub(super) fn of(header: &Header, target: Target) -> Option<Self> {
        let (second, default) = match target {
            Target::Rules(_, default) => (Column::Status, default),
            Target::Bindings(_) => (Column::Imsi, ANY),
            Target::Models => return None,
        };
        let known = [Column::Imei, second, Column::Reason];
        let place = |column| header.place(column).filter(|_| second == column);
        let imsi = place(Column::Imsi);
        if second == Column::Imsi {
            imsi?;
        }
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
            imsi,
            status: place(Column::Status),
            reason: header.place(Column::Reason),
            others,
            default,
        })
    }
}

//----------- Scanner ---------------------------------------------------------

/// Scans a chunk.
pub(super) struct Scanner<'a> {
    /// How.
    scan: &'a Scan<'a>,
    /// Rules of single devices.
    pub(super) tuples: Tuples,
    /// Bindings.
    pub(super) tied: Vec<Tied>,
    /// What both say.
    pub(super) sayings: Sayings,
    /// What is counted.
    pub(super) tally: Tally,
    /// Everything else.
    pub(super) found: Vec<(u64, Found)>,
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

impl<'a> Scanner<'a> {
    /// One that has read nothing yet.
    pub(super) fn new(scan: &'a Scan<'a>, tuples: Tuples) -> Self {
        Self {
            scan,
            tuples,
            tied: Vec::new(),
            sayings: Sayings::default(),
            tally: Tally::default(),
            found: Vec::new(),
            row: Row::new(),
            line: Vec::new(),
            last: (0..0, 0..0, None),
            tails: Tails::new(scan.simple.filter(|simple| simple.imsi.is_none())),
        }
    }

    /// Reads all lines; returns how many lines and bytes they are, and why there
    /// are no more.
    pub(super) fn read(&mut self, text: &[u8]) -> (u64, u64, Option<LineError>) {
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
        self.count(line, digits);
    }

    /// Counts an entry of a single device.
    #[inline]
    fn count(&mut self, line: u64, digits: Digits) {
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
        let mut imsi = 0..0;
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
                    } else if Some(place) == simple.imsi {
                        imsi = field;
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
        let imsi = match simple.imsi.map(|_| Imsi::parse(field(&imsi))) {
            Some(Err(_)) => return false,
            imsi => imsi.and_then(Result::ok),
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
        if let Some(imsi) = imsi {
            self.tied.push(Tied {
                subscribers: Subscribers::One(imsi),
                scope: Scope::Device(digits.device),
                said,
                line: number as u32,
            });
            self.count(number, digits);
            return true;
        }
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
            Ok(Entry { draft, what, imeis }) => match what {
                What::Binding(subscribers) => {
                    let said = self.sayings.number(ANY, draft.validity, draft.reason);
                    self.tied.push(Tied {
                        subscribers,
                        scope: draft.scope,
                        said,
                        line: number as u32,
                    });
                    self.tally.entries += 1;
                    for imei in imeis.into_iter().flatten() {
                        self.tally.check_digit(number, imei);
                    }
                }
                What::Rule {
                    status,
                    has_status,
                    exceptions,
                } => match draft.scope {
                    Scope::Device(device) if exceptions.is_empty() => {
                        let said = self.sayings.number(status, draft.validity, draft.reason);
                        self.tuples.push(Tuple::new(device, said, number as u32));
                        self.tally.entries += 1;
                        self.tally.own_status += u64::from(has_status);
                        for imei in imeis.into_iter().flatten() {
                            self.tally.check_digit(number, imei);
                        }
                    }
                    scope => {
                        let is_like_binding =
                            exceptions.len() == 1 && header.place(Column::Status).is_none();
                        let rule = Owned {
                            scope,
                            validity: draft.validity,
                            reason: draft.reason.map(Into::into),
                            status,
                            has_status,
                            exceptions,
                            imeis,
                            is_like_binding,
                        };
                        self.found.push((number, Found::Rule(Box::new(rule))));
                    }
                },
            },
        }
    }
}

/// The status that bindings are said to have: theirs is that of their list.
const ANY: Status = Status::Blacklisted;
