//! The house format: each line a rule or a binding. [`super`] describes it.

use std::io::BufRead;

use crate::equipment::{
    BindingSpec, BuildError, Builder, CheckDigit, FileId, Imei, Imsi, ListId, RuleSpec, Scope,
    Status, Subscribers, Validity,
};

use super::field::{self, End};
use super::lines::{LineError, Lines, MAX_LINE};
use super::report::{Bad, FileReport, ListReport, plural};
use super::source::plain;
use super::table::{Column, Header, Row};

/// What the lines of a file become.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Rules, with this status unless a line has its own.
    Rules(ListId, Status),
    /// Bindings.
    Bindings(ListId),
}

/// Why the rest of a file was not read.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something is wrong with the file; complete with its path.
    Fault(String),
    /// The register is full.
    Build(BuildError),
}

impl From<BuildError> for Stop {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

/// Reads a file of the house format into the builder.
///
/// Bad lines are noted in `list` and left out; what was read is counted in
/// `report`, also if reading stops early.
pub(crate) fn read(
    reader: impl BufRead,
    target: Target,
    builder: &mut Builder,
    list: &mut ListReport,
    report: &mut FileReport,
) -> Result<(), Stop> {
    let mut lines = Lines::new(reader);
    let result = read_lines(&mut lines, target, builder, list, report);
    report.lines = lines.number();
    report.bytes = lines.bytes();
    result
}

/// The header, then line by line.
fn read_lines(
    lines: &mut Lines<impl BufRead>,
    target: Target,
    builder: &mut Builder,
    list: &mut ListReport,
    report: &mut FileReport,
) -> Result<(), Stop> {
    let file = builder.file(&report.path)?;
    let mut row = Row::new();
    let header = read_header(lines, &mut row, target, report)?;
    report.warnings.extend(header.warnings.iter().cloned());
    let mut entry = Entry {
        target,
        file,
        header,
        exceptions: Vec::new(),
    };
    let mut first_wrong_digit = None;
    loop {
        let read = match lines.next() {
            Ok(None) => break,
            Ok(Some(line)) if is_skipped(line) => continue,
            Ok(Some(line)) => row.read(line),
            Err(error) => return Err(stop(error, &report.path, lines.number())),
        };
        if read.is_ok() && row.is_blank() {
            continue;
        }
        let line = lines.number();
        let added = read
            .map_err(Refusal::Row)
            .and_then(|()| entry.add(&row, line, builder));
        match added {
            Ok(wrong) => {
                report.entries += 1;
                if wrong > 0 {
                    report.wrong_check_digits += wrong;
                    first_wrong_digit.get_or_insert(line);
                }
            }
            Err(Refusal::Row(bad)) => {
                report.bad_lines += 1;
                let name = bad.place.and_then(|place| entry.header.name_at(place));
                list.note(|| bad.in_line(&report.path, line, name));
            }
            Err(Refusal::Build(error)) => return Err(error.into()),
        }
    }
    if let Some(line) = first_wrong_digit {
        report.warnings.push(format!(
            "{} with a wrong check digit, the first on line {line}; their devices count nonetheless",
            plural(report.wrong_check_digits, "IMEI")
        ));
    }
    if report.entries == 0 && report.bad_lines == 0 {
        report.warnings.push("nothing but a header".to_owned());
    }
    Ok(())
}

/// Reads the first line that is neither blank nor a comment.
fn read_header(
    lines: &mut Lines<impl BufRead>,
    row: &mut Row,
    target: Target,
    report: &FileReport,
) -> Result<Header, Stop> {
    loop {
        let read = match lines.next() {
            Ok(None) => {
                let path = &report.path;
                return Err(Stop::Fault(format!(
                    "{path}: is empty; its first line must name the columns, as in `imei,reason`"
                )));
            }
            Ok(Some(line)) if is_skipped(line) => continue,
            Ok(Some(line)) => row.read(line),
            Err(error) => return Err(stop(error, &report.path, lines.number())),
        };
        let bindings = matches!(target, Target::Bindings(_));
        let header = read.and_then(|()| Header::parse(row, bindings));
        return header
            .map_err(|bad| bad.in_line(&report.path, lines.number(), None))
            .map_err(|bad| Stop::Fault(bad.to_string()));
    }
}

/// Whether a line is blank or a comment.
fn is_skipped(line: &[u8]) -> bool {
    line.first() == Some(&b'#') || line.trim_ascii().is_empty()
}

/// Words an error of reading with the line it is about.
fn stop(error: LineError, path: &str, line: u64) -> Stop {
    Stop::Fault(match error {
        LineError::TooLong => {
            format!("{path}:{line}: a line of more than {MAX_LINE} bytes; is it a list?")
        }
        LineError::Encoding => format!("{path}:{line}: is UTF-16; save it as UTF-8"),
        LineError::Read(error) => format!("{path}: {}, after line {line}", plain(&error)),
    })
}

//----------- Entry -----------------------------------------------------------

/// Turns rows into entries of one list.
struct Entry {
    /// The list, and the status of its rules.
    target: Target,
    /// The file, for the provenance of each entry.
    file: FileId,
    /// Where the columns are.
    header: Header,
    /// The exceptions of one line, in a buffer that is used again.
    exceptions: Vec<Imsi>,
}

/// Why a row did not become an entry.
enum Refusal {
    /// The row is wrong.
    Row(Bad),
    /// The register is full.
    Build(BuildError),
}

impl From<Bad> for Refusal {
    fn from(bad: Bad) -> Self {
        Self::Row(bad)
    }
}

impl From<BuildError> for Refusal {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl Entry {
    /// Adds a row to the builder and returns how many of its IMEIs have a
    /// wrong check digit, or says why it cannot be added.
    fn add(&mut self, row: &Row, line: u64, builder: &mut Builder) -> Result<u64, Refusal> {
        let header = &self.header;
        if row.len() != header.width() {
            return Err(Refusal::Row(Bad::new(format!(
                "{}, but the header names {}; a field with a comma is written in double quotes",
                plural(row.len() as u64, "field"),
                plural(header.width() as u64, "column"),
            ))));
        }
        let mut wrong_check_digits = 0;
        let scope = scope(header, row, &mut wrong_check_digits)?;
        let validity = validity(header, row)?;
        let reason = match header.field(row, Column::Reason) {
            [] => None,
            text => Some(parsed(header, Column::Reason, field::reason(text))?),
        };
        let file = self.file;
        // Lines beyond the fourth thousand million share a number.
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        match self.target {
            Target::Rules(list, default) => {
                let status = status(header, row, default)?;
                exceptions(header, row, status, &mut self.exceptions)?;
                let exceptions = &self.exceptions;
                builder.rule(
                    list,
                    RuleSpec {
                        scope,
                        status,
                        validity,
                        reason,
                        exceptions,
                        file,
                        line,
                    },
                )?;
            }
            Target::Bindings(list) => {
                let imsi = match header.field(row, Column::Imsi) {
                    [] => return Err(bad_at(header, Column::Imsi, "is empty").into()),
                    text => parsed(header, Column::Imsi, field::imsi(text))?,
                };
                builder.binding(
                    list,
                    BindingSpec {
                        subscribers: Subscribers::One(imsi),
                        scope,
                        validity,
                        reason,
                        file,
                        line,
                    },
                )?;
            }
        }
        Ok(wrong_check_digits)
    }
}

/// Reads which devices a row is about.
fn scope(header: &Header, row: &Row, wrong_check_digits: &mut u64) -> Result<Scope, Bad> {
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
    let mut device = |column| {
        let imei: Imei = parsed(header, column, field::imei(field(column)))?;
        if imei.check_digit == CheckDigit::Wrong {
            *wrong_check_digits += 1;
        }
        Ok(imei.device)
    };
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
            let device = device(Column::Imei)?;
            Ok(match svn {
                Some(svn) => Scope::DeviceSvn(device, svn),
                None => Scope::Device(device),
            })
        }
        Some(Column::Tac) => {
            parsed(header, Column::Tac, field::tac(field(Column::Tac))).map(Scope::Tac)
        }
        Some(Column::TacPrefix) => {
            let prefix = field::tac_prefix(field(Column::TacPrefix));
            parsed(header, Column::TacPrefix, prefix).map(Scope::TacPrefix)
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
            let (from, to) = (device(Column::ImeiFrom)?, device(Column::ImeiTo)?);
            if from > to {
                return Err(bad_at(
                    header,
                    Column::ImeiTo,
                    format!("the range ends at {to}, before it starts at {from}"),
                ));
            }
            Ok(Scope::Range { from, to })
        }
        None => Err(Bad::new(
            "names no device; one of `imei`, `tac`, `tac_prefix`, `imei_from` and `imei_to` must be given",
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
