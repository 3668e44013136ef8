//! One row of a house list: which rule or binding it is. Nothing here knows the
//! rows before it.

use crate::equipment::{Imei, Imsi, Scope, Status, Subscribers, Validity};

use super::feed::{Draft, Target};
use super::field::{self, End};
use super::report::{Bad, plural};
use super::table::{Column, Header, Row};

/// What a row says.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Which devices, when and why.
    pub(super) draft: Draft<'a>,
    /// What of them.
    pub(super) what: What,
    /// The IMEIs that say which devices.
    pub(super) imeis: [Option<Imei>; 2],
}

/// What a row says of devices.
#[derive(Debug)]
pub(super) enum What {
    /// Their status.
    Rule {
        /// It.
        status: Status,
        /// Whether the row has one of its own.
        has_status: bool,
        /// Who may use them nonetheless.
        exceptions: Vec<Imsi>,
    },
    /// Who is bound to them.
    Binding(Subscribers),
}

impl<'a> Entry<'a> {
    /// Reads a row, or says what is wrong with it.
    pub(super) fn read(header: &Header, row: &'a Row, target: Target) -> Result<Self, Bad> {
        if row.len() != header.width() {
            return Err(Bad::new(format!(
                "{}, but the header names {}; a field with a comma is written in double quotes",
                plural(row.len() as u64, "field"),
                plural(header.width() as u64, "column"),
            )));
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
        let what = match target {
            Target::Rules(_, default) => {
                let status = status(header, row, default)?;
                What::Rule {
                    status,
                    has_status: !header.field(row, Column::Status).is_empty(),
                    exceptions: exceptions(header, row, status)?,
                }
            }
            Target::Bindings(_) | Target::Models => What::Binding(subscribers(header, row)?),
        };
        Ok(Self { draft, what, imeis })
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
fn exceptions(header: &Header, row: &Row, status: Status) -> Result<Vec<Imsi>, Bad> {
    let mut exceptions = Vec::new();
    let text = header.field(row, Column::Imsi);
    if text.is_empty() {
        return Ok(exceptions);
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
    Ok(exceptions)
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
