//! Lists of a DIRBS registry, as it gives them to operators: CSV with a header,
//! plain or in ZIP archives.
//!
//! | Format | File | Columns | Becomes |
//! |---|---|---|---|
//! | `dirbs-blacklist` | `<date>_blacklist.csv` | `imei,block_date,reasons` | blacklisted devices |
//! | `dirbs-notifications` | `<date>_notifications_<operator>.csv` | `imei,imsi,msisdn,block_date,reasons` | devices that are blacklisted from `block_date` on |
//! | `dirbs-exceptions` | `<date>_exceptions_<operator>.csv` | `imei,imsi,msisdn` | subscribers who may use a blacklisted device |
//! | `dirbs-pairing` | any name | `imei,imsi,msisdn` | bindings |
//!
//! A delta has `_delta_<base>_<run>_<change>` behind that, or a column
//! `change_type`. Deltas are applied to the newest full list in the order of
//! their runs ([`plan`]), and give exactly what the full list of their run
//! would; a delta that builds on another run, adds what is there or removes
//! what is not is refused.
//!
//! A notification concerns the device, whoever uses it: from its date on the
//! device is blacklisted for all, as the registry's blacklist will say then.
//! Dates are in UTC. A blacklist is in force as it stands, whatever its dates.
//!
//! An IMEI may be none: registries list what networks have seen, also letters,
//! `*`, `#` and anything up to 16 characters. Such lines are counted and left
//! out. MSISDNs tell lines apart and are not kept.

mod names;
mod plan;

use rustc_hash::FxHashMap;

use crate::equipment::{BuildError, Device, Imei, Imsi, Scope, Subscribers, Validity};
use crate::time::UnixTime;

use self::names::Action;
use self::plan::Described;
use super::feed::{At, Draft, Feed, Refusal, Stop};
use super::field::{self, End};
use super::format::ListFormat;
use super::house::{is_skipped, stop};
use super::lines::Lines;
use super::open::with_source;
use super::report::Bad;
use super::source::{Part, Source};
use super::table::Row;

/// The longest IMEI that a registry keeps, whatever it is made of.
const MAX_IMEI: usize = 16;

/// Reads the files of a list.
pub(crate) fn read(
    format: ListFormat,
    parts: &[Part],
    feed: &mut Feed<'_>,
) -> Result<(), BuildError> {
    let files: Vec<Described> = parts.iter().map(|part| describe(format, part)).collect();
    let lanes = match plan::plan(&files) {
        Ok(lanes) => lanes,
        Err(faults) => {
            feed.list.faults.extend(faults);
            return Ok(());
        }
    };
    for lane in lanes {
        feed.list.warnings.extend(lane.notes);
        let mut changes = Changes::default();
        for (number, action) in lane.steps {
            let Some(part) = parts.get(number) else {
                continue;
            };
            with_source(part, format, feed, |source, file, feed| {
                each_row(source, file, format, feed, |row, feed| {
                    let action = match action {
                        Some(action) => action,
                        None => row.action()?,
                    };
                    changes.apply(action, row, feed)
                })
            })?;
        }
        for number in lane.base {
            let Some(part) = parts.get(number) else {
                continue;
            };
            with_source(part, format, feed, |source, file, feed| {
                each_row(source, file, format, feed, |row, feed| {
                    if changes.replaces(row) {
                        return Ok(false);
                    }
                    emit(format, row.at, row.device, row.imsi, &row.value(), feed)?;
                    Ok(true)
                })
            })?;
        }
        changes.finish(format, feed)?;
    }
    Ok(())
}

/// Looks at name and header of a file. One that cannot be opened is told of
/// when it is read.
fn describe(format: ListFormat, part: &Part) -> Described {
    let mut row = Row::new();
    let mut line_actions = false;
    if let Ok(source) = Source::open(part) {
        let mut lines = Lines::new(source.reader);
        while let Ok(Some(line)) = lines.next() {
            if is_skipped(line) {
                continue;
            }
            if row.read(line).is_ok() {
                line_actions = Columns::of(&row).change_type.is_some();
            }
            break;
        }
    }
    Described {
        shown: part.to_string(),
        name: names::parse(part.name(), format),
        line_actions,
    }
}

/// Adds what a line says.
fn emit(
    format: ListFormat,
    at: At,
    device: Device,
    imsi: Option<Imsi>,
    value: &Value,
    feed: &mut Feed<'_>,
) -> Result<(), Refusal> {
    let draft = Draft {
        scope: Scope::Device(device),
        validity: Validity {
            from: value.from,
            until: None,
        },
        reason: value.reason.as_deref(),
    };
    match (format, imsi) {
        (ListFormat::DirbsExceptions, Some(imsi)) => feed.exception(at, draft, imsi),
        (ListFormat::DirbsPairing, Some(imsi)) => feed.binding(at, draft, Subscribers::One(imsi)),
        (ListFormat::DirbsExceptions | ListFormat::DirbsPairing, None) => {
            Err(Bad::new("has no IMSI").into())
        }
        // All of them blacklist; the configuration was checked for that.
        _ => feed.rule(at, draft, crate::equipment::Status::Blacklisted, &[]),
    }
}

//----------- Rows ------------------------------------------------------------

/// Where the columns are, from 0.
#[derive(Clone, Copy, Debug, Default)]
struct Columns {
    /// `imei`.
    imei: Option<usize>,
    /// `imsi`.
    imsi: Option<usize>,
    /// `msisdn`.
    msisdn: Option<usize>,
    /// `block_date`.
    block_date: Option<usize>,
    /// `reasons`.
    reasons: Option<usize>,
    /// `change_type`.
    change_type: Option<usize>,
}

impl Columns {
    /// The columns of a header.
    fn of(header: &Row) -> Self {
        let find = |name: &str| {
            (0..header.len())
                .find(|place| header.field(*place).eq_ignore_ascii_case(name.as_bytes()))
        };
        Self {
            imei: find("imei"),
            imsi: find("imsi"),
            msisdn: find("msisdn"),
            block_date: find("block_date"),
            reasons: find("reasons"),
            change_type: find("change_type"),
        }
    }

    /// The first column that a list needs and does not have.
    fn missing(&self, format: ListFormat) -> Option<&'static str> {
        let needed = match format {
            ListFormat::DirbsNotifications => {
                [("imei", self.imei), ("block_date", self.block_date)]
            }
            ListFormat::DirbsBlacklist => [("imei", self.imei), ("imei", self.imei)],
            _ => [("imei", self.imei), ("imsi", self.imsi)],
        };
        let missing = needed.iter().find(|(_, place)| place.is_none());
        missing.map(|(name, _)| *name)
    }

    /// The name of the column at `place`.
    fn name_at(&self, place: usize) -> Option<&'static str> {
        [
            ("imei", self.imei),
            ("imsi", self.imsi),
            ("block_date", self.block_date),
            ("reasons", self.reasons),
            ("change_type", self.change_type),
        ]
        .into_iter()
        .find(|(_, own)| *own == Some(place))
        .map(|(name, _)| name)
    }
}

/// A line of a list, with an IMEI that is one.
struct Line<'a> {
    /// Where it stands.
    at: At,
    /// Its fields.
    row: &'a Row,
    /// Where they are.
    columns: &'a Columns,
    /// The device.
    device: Device,
    /// The subscriber.
    imsi: Option<Imsi>,
    /// When the device becomes blacklisted.
    from: Option<UnixTime>,
    /// Why.
    reason: Option<&'a str>,
}

impl Line<'_> {
    /// What the line says besides what it is about.
    fn value(&self) -> Value {
        Value {
            from: self.from,
            reason: self.reason.map(Into::into),
        }
    }

    /// What the line is about: device, IMSI and MSISDN.
    fn key(&self) -> Key {
        let text = |place: Option<usize>| place.map_or(&b""[..], |place| self.row.field(place));
        let no_imsi = match self.imsi {
            Some(_) => &b""[..],
            None => text(self.columns.imsi),
        };
        Key {
            device: self.device,
            imsi: self.imsi,
            no_imsi: no_imsi.into(),
            msisdn: text(self.columns.msisdn).into(),
        }
    }

    /// What a line with `change_type` does.
    fn action(&self) -> Result<Action, Refusal> {
        let place = self.columns.change_type;
        let word = place.map_or(&b""[..], |place| self.row.field(place));
        let action = core::str::from_utf8(word).ok().and_then(Action::named);
        action.ok_or_else(|| {
            Refusal::Line(Bad {
                place,
                reason: format!("{} is no change; write add or remove", field::show(word)),
            })
        })
    }
}

/// Calls `add` with each line of a file; it returns false for one that is not
/// an entry of the list.
fn each_row(
    source: &mut Source,
    file: usize,
    format: ListFormat,
    feed: &mut Feed<'_>,
    mut add: impl FnMut(&Line<'_>, &mut Feed<'_>) -> Result<bool, Refusal>,
) -> Result<(), Stop> {
    let mut lines = Lines::new(&mut source.reader);
    let mut row = Row::new();
    let mut header: Option<(Columns, usize)> = None;
    let mut is_empty = true;
    let result = loop {
        let read = match lines.next() {
            Ok(None) => break Ok(()),
            Ok(Some(line)) if is_skipped(line) => continue,
            Ok(Some(line)) => row.read(line),
            Err(error) => break Err(stop(&error, file, lines.number(), feed)),
        };
        let at = At {
            file,
            line: lines.number(),
        };
        let Some((columns, width)) = &header else {
            let columns = Columns::of(&row);
            if let Some(name) = columns.missing(format) {
                let why = format!("has no column `{name}`, which a list of `{format}` needs");
                break Err(feed.fault(at, &why));
            }
            header = Some((columns, row.len()));
            continue;
        };
        is_empty = false;
        let added = read.map_err(Refusal::Line).and_then(|()| {
            if row.len() != *width {
                let fields = row.len();
                return Err(
                    Bad::new(format!("{fields} fields, but the header has {width}")).into(),
                );
            }
            match line(&row, columns, at, format)? {
                None => {
                    let imei = columns.imei.map_or(&b""[..], |place| row.field(place));
                    feed.list.lost_zeros += u64::from(field::lost_a_zero(imei));
                    feed.left_out(at);
                    Ok(false)
                }
                Some((line, imei)) => {
                    let added = add(&line, feed)?;
                    feed.check_digit(at, imei);
                    Ok(added)
                }
            }
        });
        match added {
            Ok(false) => {}
            added => feed.settle(at, added.map(|_| ()), |place| columns.name_at(place))?,
        }
    };
    feed.read(file, lines.number(), lines.bytes());
    result?;
    if header.is_none() {
        return Err(feed.fault(At { file, line: 0 }, "is empty; it has no header"));
    }
    // A delta may well be empty, and what is changed counts at the end.
    feed.end_foreign(file, "without a usable IMEI", is_empty);
    Ok(())
}

/// Reads a line; `None` if its IMEI is none.
fn line<'a>(
    row: &'a Row,
    columns: &'a Columns,
    at: At,
    format: ListFormat,
) -> Result<Option<(Line<'a>, Imei)>, Bad> {
    let text = |place: Option<usize>| place.map_or(&b""[..], |place| row.field(place));
    let wrong = |place: Option<usize>, reason: String| Bad { place, reason };
    let imei = text(columns.imei);
    let Ok(parsed) = Imei::parse(imei) else {
        let kept = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'*' | b'#');
        if (1..=MAX_IMEI).contains(&imei.len()) && imei.iter().all(kept) {
            return Ok(None);
        }
        let error = field::imei(imei).err().unwrap_or_default();
        return Err(wrong(columns.imei, error));
    };
    let imsi = match text(columns.imsi) {
        [] => None,
        // Who was seen with the device does not matter on a list of devices.
        text if format == ListFormat::DirbsNotifications => field::imsi(text).ok(),
        text => Some(field::imsi(text).map_err(|why| wrong(columns.imsi, why))?),
    };
    let date = match text(columns.block_date) {
        [] if format == ListFormat::DirbsNotifications => {
            return Err(wrong(columns.block_date, "is empty".to_owned()));
        }
        [] => None,
        text => {
            let moment = field::moment(text, End::From);
            Some(moment.map_err(|why| wrong(columns.block_date, why))?)
        }
    };
    let reason = match text(columns.reasons) {
        [] => None,
        text => Some(field::reason(text).map_err(|why| wrong(columns.reasons, why))?),
    };
    let line = Line {
        at,
        row,
        columns,
        device: parsed.device,
        imsi,
        from: date.filter(|_| format == ListFormat::DirbsNotifications),
        reason,
    };
    Ok(Some((line, parsed)))
}

//----------- Changes ---------------------------------------------------------

/// What deltas amount to. It is gathered before the full list is read, so that
/// only what has changed is held in memory.
#[derive(Debug, Default)]
struct Changes {
    /// What became of the lines that were changed.
    lines: FxHashMap<Key, Change>,
}

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The device.
    device: Device,
    /// The subscriber.
    imsi: Option<Imsi>,
    /// What stands there instead and is none, as it tells lines apart too.
    no_imsi: Box<[u8]>,
    /// The subscriber's number.
    msisdn: Box<[u8]>,
}

/// What a line says besides that.
#[derive(Clone, Debug)]
struct Value {
    /// When it begins to hold.
    from: Option<UnixTime>,
    /// Why.
    reason: Option<Box<str>>,
}

/// What became of a line.
#[derive(Debug)]
struct Change {
    /// Whether the full list must have it.
    was_there: bool,
    /// Whether the full list has it.
    seen: bool,
    /// Where it was changed first.
    first: At,
    /// Where it was changed last, and what it says then; `None`: removed.
    last: (At, Option<Value>),
}

impl Changes {
    /// Applies a line of a delta. It is no entry before the full list is read.
    fn apply(&mut self, action: Action, line: &Line<'_>, feed: &Feed<'_>) -> Result<bool, Refusal> {
        let value = match action {
            Action::Remove => None,
            Action::Add | Action::Change => Some(line.value()),
        };
        let key = line.key();
        match self.lines.get_mut(&key) {
            None => {
                self.lines.insert(
                    key,
                    Change {
                        was_there: action != Action::Add,
                        seen: false,
                        first: line.at,
                        last: (line.at, value),
                    },
                );
            }
            Some(change) => {
                let is_there = change.last.1.is_some();
                if is_there == (action == Action::Add) {
                    let (at, _) = &change.last;
                    return Err(Refusal::Line(Bad::new(format!(
                        "{} what {}:{} has {}",
                        does(action),
                        feed.path(at.file),
                        at.line,
                        if is_there { "added" } else { "removed" },
                    ))));
                }
                change.last = (line.at, value);
            }
        }
        Ok(false)
    }

    /// Whether the deltas have another say about a line of the full list.
    fn replaces(&mut self, line: &Line<'_>) -> bool {
        // Most lists have no deltas, and need no key of each line.
        if self.lines.is_empty() {
            return false;
        }
        match self.lines.get_mut(&line.key()) {
            None => false,
            Some(change) => {
                change.seen = true;
                true
            }
        }
    }

    /// Adds what was added and changed, in the order of the files.
    fn finish(self, format: ListFormat, feed: &mut Feed<'_>) -> Result<(), BuildError> {
        let mut lines: Vec<(Key, Change)> = self.lines.into_iter().collect();
        lines.sort_unstable_by_key(|(_, change)| (change.last.0.file, change.last.0.line));
        for (key, change) in lines {
            if change.was_there != change.seen {
                let why = match change.seen {
                    true => "adds what the full list has; does the delta belong to it?",
                    false => {
                        "changes or removes what the full list has not; does the delta belong to it?"
                    }
                };
                feed.settle(change.first, Err(Bad::new(why).into()), |_| None)?;
                continue;
            }
            if let (at, Some(value)) = change.last {
                let added = emit(format, at, key.device, key.imsi, &value, feed);
                feed.settle(at, added, |_| None)?;
            }
        }
        Ok(())
    }
}

/// What a change does, as a word.
fn does(action: Action) -> &'static str {
    match action {
        Action::Add => "adds",
        Action::Change => "changes",
        Action::Remove => "removes",
    }
}
