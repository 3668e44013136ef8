//! The house format: each line a rule or a binding. [`super`] describes it.

use std::io::BufRead;

use crate::equipment::{BuildError, Imei, Imsi, Scope, Status, Subscribers, Validity};

use super::feed::{At, Draft, Feed, Refusal, Stop, Target};
use super::field::{self, End};
use super::lines::{LineError, Lines, MAX_LINE};
use super::report::{Bad, plural};
use super::source::plain;
use super::table::{Column, Header, Row};

/// Reads a file of the house format.
///
/// Bad lines are noted and left out; what was read is counted also if reading
/// stops early.
pub(crate) fn read(reader: impl BufRead, file: usize, feed: &mut Feed<'_>) -> Result<(), Stop> {
    let mut lines = Lines::new(reader);
    let result = read_lines(&mut lines, file, feed);
    feed.read(file, lines.number(), lines.bytes());
    result
}

/// The header, then line by line.
fn read_lines(
    lines: &mut Lines<impl BufRead>,
    file: usize,
    feed: &mut Feed<'_>,
) -> Result<(), Stop> {
    let mut row = Row::new();
    let header = read_header(lines, &mut row, file, feed)?;
    for warning in &header.warnings {
        feed.warn(file, warning.clone());
    }
    let mut entry = Entry {
        header,
        exceptions: Vec::new(),
    };
    loop {
        let read = match lines.next() {
            Ok(None) => break,
            Ok(Some(line)) if is_skipped(line) => continue,
            Ok(Some(line)) => row.read(line),
            Err(error) => return Err(stop(&error, file, lines.number(), feed)),
        };
        if read.is_ok() && row.is_blank() {
            continue;
        }
        let at = At {
            file,
            line: lines.number(),
        };
        let is_read = read.is_ok();
        let added = read
            .map_err(Refusal::Line)
            .and_then(|()| entry.add(&row, at, feed));
        if is_read && let Err(Refusal::Line(_)) = added {
            let imei = entry.header.field(&row, Column::Imei);
            feed.list.lost_zeros += u64::from(field::lost_a_zero(imei));
        }
        feed.settle(at, added, |place| entry.header.name_at(place))?;
    }
    feed.end(file, "without a meaning");
    Ok(())
}

/// Reads the first line that is neither blank nor a comment.
fn read_header(
    lines: &mut Lines<impl BufRead>,
    row: &mut Row,
    file: usize,
    feed: &Feed<'_>,
) -> Result<Header, Stop> {
    loop {
        let read = match lines.next() {
            Ok(None) => {
                return Err(feed.fault(
                    At { file, line: 0 },
                    "is empty; its first line must name the columns, as in `imei,reason`",
                ));
            }
            Ok(Some(line)) if is_skipped(line) => continue,
            Ok(Some(line)) => row.read(line),
            Err(error) => return Err(stop(&error, file, lines.number(), feed)),
        };
        let bindings = matches!(feed.target, Target::Bindings(_));
        let header = read.and_then(|()| Header::parse(row, bindings));
        return header
            .map_err(|bad| bad.in_line(feed.path(file), lines.number(), None))
            .map_err(|bad| Stop::Fault(bad.to_string()));
    }
}

/// Whether a line is blank or a comment.
pub(crate) fn is_skipped(line: &[u8]) -> bool {
    line.first() == Some(&b'#') || line.trim_ascii().is_empty()
}

/// Words an error of reading with the line it is about.
pub(crate) fn stop(error: &LineError, file: usize, line: u64, feed: &Feed<'_>) -> Stop {
    match error {
        LineError::TooLong => feed.fault(
            At { file, line },
            &format!("a line of more than {MAX_LINE} bytes; is it a list?"),
        ),
        LineError::Encoding => feed.fault(At { file, line }, "is UTF-16; save it as UTF-8"),
        LineError::Read(error) => feed.fault(
            At { file, line: 0 },
            &format!("{}, after line {line}", plain(error)),
        ),
    }
}

//----------- Entry -----------------------------------------------------------

/// Turns rows into entries of one list.
struct Entry {
    /// Where the columns are.
    header: Header,
    /// The exceptions of one line, in a buffer that is used again.
    exceptions: Vec<Imsi>,
}

impl Entry {
    /// Adds a row, or says why it cannot be added.
    fn add(&mut self, row: &Row, at: At, feed: &mut Feed<'_>) -> Result<(), Refusal> {
        let header = &self.header;
        if row.len() != header.width() {
            return Err(Refusal::Line(Bad::new(format!(
                "{}, but the header names {}; a field with a comma is written in double quotes",
                plural(row.len() as u64, "field"),
                plural(header.width() as u64, "column"),
            ))));
        }
        let (scope, imeis) = scope(header, row)?;
        let draft = Draft {
            scope,
            validity: validity(header, row)?,
            reason: match header.field(row, Column::Reason) {
                [] => None,
                text => Some(parsed(header, Column::Reason, field::reason(text))?),
            },
        };
        match feed.target {
            Target::Rules(_, default) => {
                let status = status(header, row, default)?;
                exceptions(header, row, status, &mut self.exceptions)?;
                feed.rule(at, draft, status, &self.exceptions)?;
                // See `ListReport` for what is told from these.
                let has_status = !header.field(row, Column::Status).is_empty();
                feed.list.own_status += u64::from(has_status);
                let like_binding =
                    self.exceptions.len() == 1 && header.place(Column::Status).is_none();
                feed.list.like_bindings += u64::from(like_binding);
            }
            Target::Bindings(_) => feed.binding(at, draft, subscribers(header, row)?)?,
            Target::Models => return Err(BuildError::List.into()),
        }
        for imei in imeis.into_iter().flatten() {
            feed.check_digit(at, imei);
        }
        Ok(())
    }
}

/// Reads which devices a row is about, and gives the IMEIs that say so.
fn scope(header: &Header, row: &Row) -> Result<(Scope, [Option<Imei>; 2]), Bad> {
    let field = |column| header.field(row, column);
    let mut given: Option<Column> = None;
    for column in [
        Column::Imei,
        Column::Tac,
        Column::TacPrefix,
        Column::ImeiFrom,
        Column::ImeiTo,
    ] {
        if field(column).is_empty() {
            continue;
        }
        match given {
            None => given = Some(column),
            // The other end of the range.
            Some(Column::ImeiFrom) if column == Column::ImeiTo => {}
            Some(first) => {
                let reason = format!("`{}` is given as well; a line has one device", first.name());
                return Err(bad_at(header, column, reason));
            }
        }
    }
    let imei = |column| parsed(header, column, field::imei(field(column)));
    let svn = match field(Column::Svn) {
        [] => None,
        text if given == Some(Column::Imei) => Some(parsed(header, Column::Svn, field::svn(text))?),
        _ => {
            return Err(bad_at(
                header,
                Column::Svn,
                "a software version goes with an `imei` only",
            ));
        }
    };
    match given {
        Some(Column::Imei) => {
            let imei = imei(Column::Imei)?;
            let scope = match svn {
                Some(svn) => Scope::DeviceSvn(imei.device, svn),
                None => Scope::Device(imei.device),
            };
            Ok((scope, [Some(imei), None]))
        }
        Some(Column::Tac) => {
            let tac = parsed(header, Column::Tac, field::tac(field(Column::Tac)))?;
            Ok((Scope::Tac(tac), [None; 2]))
        }
        Some(Column::TacPrefix) => {
            let prefix = field::tac_prefix(field(Column::TacPrefix));
            let prefix = parsed(header, Column::TacPrefix, prefix)?;
            Ok((Scope::TacPrefix(prefix), [None; 2]))
        }
        Some(_) => {
            for (column, other) in [
                (Column::ImeiFrom, Column::ImeiTo),
                (Column::ImeiTo, Column::ImeiFrom),
            ] {
                if field(column).is_empty() {
                    let reason = format!("is empty, but `{}` is not", other.name());
                    return Err(bad_at(header, column, reason));
                }
            }
            let imeis = [imei(Column::ImeiFrom)?, imei(Column::ImeiTo)?];
            let [from, to] = imeis.map(|imei| imei.device);
            if from > to {
                return Err(bad_at(
                    header,
                    Column::ImeiTo,
                    format!("the range ends at {to}, before it starts at {from}"),
                ));
            }
            Ok((Scope::Range { from, to }, imeis.map(Some)))
        }
        None => Err(Bad::new(
            "names no device; one of `imei`, `tac`, `tac_prefix`, `imei_from` and `imei_to` must be given",
        )),
    }
}

/// Reads who is bound.
fn subscribers(header: &Header, row: &Row) -> Result<Subscribers, Bad> {
    let field = |column| header.field(row, column);
    let imsi = |column| parsed(header, column, field::imsi(field(column)));
    let one = field(Column::Imsi);
    let ends = [Column::ImsiFrom, Column::ImsiTo];
    match (one, ends.map(|end| field(end).is_empty())) {
        ([], [true, true]) if header.place(Column::Imsi).is_none() => {
            Err(bad_at(header, Column::ImsiFrom, "is empty"))
        }
        ([], [true, true]) => Err(bad_at(header, Column::Imsi, "is empty")),
        (_, [true, true]) => imsi(Column::Imsi).map(Subscribers::One),
        ([], [false, false]) => {
            let [from, to] = [imsi(Column::ImsiFrom)?, imsi(Column::ImsiTo)?];
            if from.digits() != to.digits() {
                let reason = "has not as many digits as `imsi_from`";
                return Err(bad_at(header, Column::ImsiTo, reason));
            }
            if from > to {
                let reason = format!("the range ends at {to}, before it starts at {from}");
                return Err(bad_at(header, Column::ImsiTo, reason));
            }
            Ok(Subscribers::Range { from, to })
        }
        ([], [true, false]) => Err(bad_at(
            header,
            Column::ImsiFrom,
            "is empty, but `imsi_to` is not",
        )),
        ([], [false, true]) => Err(bad_at(
            header,
            Column::ImsiTo,
            "is empty, but `imsi_from` is not",
        )),
        (_, [false, _] | [_, false]) => Err(bad_at(
            header,
            Column::Imsi,
            "is given beside a range; a line has one subscriber or one range of them",
        )),
    }
}

/// Reads when a row holds.
fn validity(header: &Header, row: &Row) -> Result<Validity, Bad> {
    let moment = |column, end| match header.field(row, column) {
        [] => Ok(None),
        text => parsed(header, column, field::moment(text, end)).map(Some),
    };
    let from = moment(Column::From, End::From)?;
    let until = moment(Column::Until, End::Until)?;
    match (from, until) {
        (Some(from), Some(until)) if until < from => Err(bad_at(
            header,
            Column::Until,
            format!("{until} is before `from`, {from}"),
        )),
        _ => Ok(Validity { from, until }),
    }
}

/// Reads the status of a rule, `default` if it has none of its own.
fn status(header: &Header, row: &Row, default: Status) -> Result<Status, Bad> {
    let text = header.field(row, Column::Status);
    if text.is_empty() {
        return Ok(default);
    }
    core::str::from_utf8(text)
        .ok()
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| {
            let reason = format!(
                "{} is no status; write whitelisted, greylisted or blacklisted",
                field::show(text)
            );
            bad_at(header, Column::Status, reason)
        })
}

/// Reads the IMSIs that may use a blacklisted device.
fn exceptions(
    header: &Header,
    row: &Row,
    status: Status,
    exceptions: &mut Vec<Imsi>,
) -> Result<(), Bad> {
    exceptions.clear();
    let text = header.field(row, Column::Imsi);
    if text.is_empty() {
        return Ok(());
    }
    if status != Status::Blacklisted {
        return Err(bad_at(
            header,
            Column::Imsi,
            format!(
                "only a blacklisted rule has exceptions, and this one is {status}; to tie an IMSI to its devices, use a [[binding]]"
            ),
        ));
    }
    for part in text.split(|byte| *byte == b'|') {
        exceptions.push(parsed(
            header,
            Column::Imsi,
            field::imsi(part.trim_ascii()),
        )?);
    }
    Ok(())
}

/// Gives an error of a field its place.
fn parsed<T>(header: &Header, column: Column, result: Result<T, String>) -> Result<T, Bad> {
    result.map_err(|reason| bad_at(header, column, reason))
}

/// Something wrong with the field of a column.
fn bad_at(header: &Header, column: Column, reason: impl Into<String>) -> Bad {
    Bad {
        place: header.place(column),
        reason: reason.into(),
    }
}
