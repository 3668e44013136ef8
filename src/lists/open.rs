//! From the files of a list to the reader of its format.

use std::io::BufRead;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::equipment::BuildError;

use super::eagle;
use super::feed::{At, Feed, Stop, Target};
use super::format::{self, ListFormat};
use super::source::{Part, Source};
use super::{dirbs, house, open5gs, pyhss, tacs};

/// Reads the files of a list in their order. What is wrong with a file is
/// noted as a fault of the list, and the others are read all the same, so that
/// everything is told at once.
pub(crate) fn read(
    format: ListFormat,
    strict_svn: bool,
    parts: &[Part],
    feed: &mut Feed<'_>,
) -> Result<(), BuildError> {
    let each = |read: &mut Reading<'_>, feed: &mut Feed<'_>| {
        (parts.iter()).try_for_each(|part| with_source(part, format, feed, &mut *read))
    };
    match format {
        ListFormat::GsmaTac | ListFormat::OsmocomTac => models(format, parts, feed),
        ListFormat::Csv if feed.target == Target::Models => models(format, parts, feed),
        ListFormat::Csv => each(
            &mut |source, file, feed| house::read_source(source, file, feed),
            feed,
        ),
        ListFormat::Pyhss => each(
            &mut |source, file, feed| pyhss::read(&mut source.reader, file, feed),
            feed,
        ),
        ListFormat::Open5gs => each(
            &mut |source, file, feed| open5gs::read(&mut source.reader, file, strict_svn, feed),
            feed,
        ),
        ListFormat::Eagle => {
            let mut changes = eagle::Changes::default();
            let mut read_before = FxHashMap::default();
            for part in parts {
                if let Ok(source) = Source::open(part) {
                    read_before.insert(part.to_string(), source.stamp());
                    changes.collect(source.reader);
                }
            }
            each(
                &mut |source, file, feed| {
                    // What is deleted in one version may not be in another.
                    if read_before.get(feed.path(file)) != Some(&source.stamp()) {
                        let at = At { file, line: 0 };
                        return Err(feed.fault(at, BEING_WRITTEN));
                    }
                    changes.read(&mut source.reader, file, feed)?;
                    feed.end_foreign(file, "with commands that are not of the EIR", false);
                    Ok(())
                },
                feed,
            )?;
            changes.finish(feed)
        }
        ListFormat::DirbsBlacklist
        | ListFormat::DirbsNotifications
        | ListFormat::DirbsExceptions
        | ListFormat::DirbsPairing => dirbs::read(format, parts, feed),
    }
}

/// Reads files of TACs.
fn models(format: ListFormat, parts: &[Part], feed: &mut Feed<'_>) -> Result<(), BuildError> {
    let mut seen = FxHashSet::default();
    (parts.iter()).try_for_each(|part| {
        with_source(part, format, feed, |source, file, feed| {
            tacs::read(&mut source.reader, file, format, &mut seen, feed)
        })
    })
}

/// What is wrong with a file that changes while it is read.
const BEING_WRITTEN: &str = "is being written; it will be read again";

/// What reads one file.
type Reading<'a> = dyn FnMut(&mut Source, usize, &mut Feed<'_>) -> Result<(), Stop> + 'a;

/// Opens a file and has it read; notes what is wrong with it.
pub(crate) fn with_source(
    part: &Part,
    format: ListFormat,
    feed: &mut Feed<'_>,
    mut read: impl FnMut(&mut Source, usize, &mut Feed<'_>) -> Result<(), Stop>,
) -> Result<(), BuildError> {
    let mut source = match feed.open(part) {
        Ok(source) => source,
        Err(why) => {
            feed.list.faults.push(format!("{part}: {why}"));
            return Ok(());
        }
    };
    let file = feed.start(part.to_string())?;
    // An error of reading is told by the reader, with the line.
    let start = source.reader.fill_buf().unwrap_or_default();
    let is_foreign = match (format, feed.target) {
        // The columns of a house list may be those of others.
        (ListFormat::Csv, Target::Models) => None,
        (_, target) => format::mismatch(format, matches!(target, Target::Bindings(_)), start),
    };
    let result = match is_foreign {
        Some(why) => Err(Stop::Fault(format!("{part}: {why}"))),
        None => read(&mut source, file, feed),
    };
    feed.digest(file, source.digest());
    // What looks damaged may be half written, so this is told instead.
    let changed = source.has_changed();
    match result {
        Err(Stop::Build(error)) => return Err(error),
        _ if changed => feed.list.faults.push(format!("{part}: {BEING_WRITTEN}")),
        Err(Stop::Fault(fault)) => feed.list.faults.push(fault),
        Ok(()) => {}
    }
    Ok(())
}
