//! The house format: each line a rule or a binding. [`super`] describes it.
//!
//! Chunks of some thousand lines are scanned by several threads at once ([`crew`]);
//! what they find is added in the order of the file, so that the register and all
//! that is told of the list are those of one thread.

mod crew;

use std::io::BufRead;

use self::crew::Crew;
use super::chunks::Chunks;
use super::feed::{At, Feed, Stop, Target};
use super::lines::{LineError, Lines, MAX_LINE};
use super::scan::{Found, Scan, Scanned};
use super::source::{Source, plain};
use super::table::{Header, Row};
use super::tap::Hasher;
use crate::equipment::bulk::Bundle;

/// Bytes of a chunk: a hundred thousand lines or so, so that what is made of it
/// stays near the processor, and enough of them that handing it over does not
/// count.
const CHUNK: usize = 2 << 20;

/// Reads a file of the house format.
///
/// Bad lines are noted and left out; what was read is counted also if reading
/// stops early.
pub(crate) fn read(
    reader: impl BufRead + Send,
    file: usize,
    feed: &mut Feed<'_>,
) -> Result<(), Stop> {
    read_in_chunks((reader, None), file, feed, CHUNK)
}

/// The same of a file whose digest may be wanted.
pub(crate) fn read_source(
    source: &mut Source,
    file: usize,
    feed: &mut Feed<'_>,
) -> Result<(), Stop> {
    let hasher = source.hasher();
    read_in_chunks((&mut source.reader, hasher), file, feed, CHUNK)
}

/// The same in chunks of about so many bytes.
fn read_in_chunks(
    (mut reader, hasher): (impl BufRead + Send, Option<Hasher>),
    file: usize,
    feed: &mut Feed<'_>,
    chunk: usize,
) -> Result<(), Stop> {
    let mut lines = Lines::new(&mut reader);
    let header = read_header(&mut lines, &mut Row::new(), file, feed);
    let mut merge = Merge {
        file,
        lines: lines.number(),
        bytes: lines.bytes(),
        feed,
    };
    let result = header.and_then(|header| {
        for warning in &header.warnings {
            merge.feed.warn(file, warning.clone());
        }
        let scan = Scan::new(&header, merge.feed.target);
        let chunks = Chunks::new(reader, chunk);
        let threads = merge.feed.threads();
        Crew::new(chunks, &scan, (hasher, threads), &mut merge).read_all()
    });
    let Merge {
        lines, bytes, feed, ..
    } = merge;
    feed.read(file, lines, bytes);
    result?;
    feed.end(file, "without a meaning");
    Ok(())
}

//----------- Merge -----------------------------------------------------------

/// Adds what was found in chunks to the list.
struct Merge<'a, 'f> {
    /// The file.
    file: usize,
    /// Lines so far.
    lines: u64,
    /// Bytes so far.
    bytes: u64,
    /// Where it goes.
    feed: &'a mut Feed<'f>,
}

impl Merge<'_, '_> {
    /// Adds what was found in the next chunk, where reading ended if there was an
    /// error. What memory of it is not needed any more comes back.
    fn add(&mut self, scanned: Scanned, error: Option<LineError>) -> Result<Option<Bundle>, Stop> {
        let Self { file, feed, .. } = self;
        let file = *file;
        let before = self.lines;
        self.lines += scanned.lines;
        self.bytes += scanned.bytes;
        let spare = feed.bundle(file, before, scanned.bundle, &scanned.saids)?;
        feed.bindings(file, before, &scanned.tied, &scanned.saids)?;
        feed.tally(file, before, &scanned.tally);
        for (line, found) in scanned.found {
            let at = At {
                file,
                line: before + line,
            };
            match found {
                Found::Bad(bad, name) => feed.bad(at, bad, name),
                Found::Rule(rule) => {
                    let added = rule.add(at, feed);
                    feed.settle(at, added, |_| None)?;
                }
            }
        }
        match scanned.stop.or(error) {
            None => Ok(spare),
            Some(error) => Err(stop(&error, file, self.lines, feed)),
        }
    }
}

//----------- Header ----------------------------------------------------------

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

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Budget, Heap, Keeper, Ledger, Progress, assemble};
    use crate::equipment::{Builder, Status};
    use crate::lists::ListReport;
    use crate::lists::feed::Watch;
    use crate::snapshot::{Provenance, to_octets};
    use crate::time::UnixTime;

    /// What became of a list.
    #[derive(Debug, PartialEq, Eq)]
    struct Fate {
        /// The octets of the register.
        octets: Vec<u8>,
        /// Its rules and exceptions.
        rules: Vec<String>,
        /// What is told.
        report: ListReport,
        /// How it ended.
        end: String,
    }

    /// What a list becomes that is read in chunks of some bytes by so many
    /// threads.
    fn read_with(text: &[u8], chunk: usize, threads: usize) -> Fate {
        let mut builder = Builder::new();
        let mut heap = Heap::new(Budget {
            memory: 1 << 20,
            dir: std::env::temp_dir(),
            threads,
            ledger: Ledger::default(),
            ahead: None,
        });
        let list = builder.list("l", Status::Blacklisted).unwrap();
        let mut report = ListReport::new("l", false, 0);
        let target = Target::Rules(list, Status::Blacklisted);
        let of = (&mut builder, &mut heap);
        let mut feed = Feed::new(of, &mut report, target, Watch::default());
        let file = feed.start("list.csv".to_owned()).unwrap();
        let result = read_in_chunks((text, None), file, &mut feed, chunk);
        let end = format!("{result:?}");
        heap.take_from(&mut builder, true);
        heap.finish().unwrap();
        let bound = heap.arrange_bindings().unwrap();
        let bindings = bound.and_then(|bound| bound.into_memory().unwrap());
        let files = builder.files_of_sources();
        let mut keeper = Keeper::memory(&heap);
        let plan = builder.plan(&files, (heap.digest(), true));
        let mut assembled = assemble(plan, heap, &mut keeper, &Progress::default()).unwrap();
        let refusals = core::mem::take(&mut assembled.refusals);
        let kept = keeper.kept.unwrap();
        let snapshot = builder.finish_assembled(kept.fill(assembled, true), &refusals, bindings);
        let octets = to_octets(&snapshot, &Provenance::default(), UnixTime(0)).unwrap();
        let rules = snapshot.rules().map(|rule| {
            let what = (
                rule.scope,
                rule.status,
                rule.validity,
                rule.reason,
                rule.line,
            );
            format!("{what:?}")
        });
        let mut rules: Vec<String> = rules.collect();
        rules.extend(snapshot.excepted().map(|imsi| imsi.to_string()));
        rules.sort_unstable();
        Fate {
            octets,
            rules,
            report,
            end,
        }
    }

    /// Whatever a list is cut into, and by however many it is read, it is the
    /// same; one thread and one chunk are the oracle.
    #[test]
    fn chunks_and_threads_change_nothing() {
        let mut text = String::from("# a comment\nimei,status,imsi,reason,tac,imei_from,imei_to\n");
        for number in 0..3000u64 {
            let imei = 35_209_900_000_000 + number * 7919 % 2500;
            text += &match number % 11 {
                0 => format!("{imei},,001010000000{:03},,,,\n", number % 1000),
                1 => format!(",,,,{:08},,\n", 35_000_000 + number),
                2 => format!("{imei}0,grey,,\"a, b\",,,\r\n"),
                3 => format!(",,,,,{imei},{}\n", imei + 5),
                4 if number % 5 == 0 => "no imei,,,,,,\n".to_owned(),
                4 => "\n".to_owned(),
                5 => format!("{imei}1,,,reason {number},,,\n"),
                _ => format!("{imei},,,,,,\n"),
            };
        }
        let long = format!("{text}{}\n{text}", "9".repeat(MAX_LINE + 1));
        let cut = text.trim_end().to_owned();
        for text in [
            text.as_str(),
            &long,
            &cut,
            "imei\n",
            "imei",
            "",
            "\n\n",
            "imei\n1",
        ] {
            let mut expected = read_with(text.as_bytes(), 1 << 24, 1);
            expected.octets.clear();
            for (chunk, threads) in [(1000, 3), (70_000, 2), (1, 2)] {
                let one = read_with(text.as_bytes(), chunk, 1);
                assert!(read_with(text.as_bytes(), chunk, threads) == one, "{chunk}");
                // What rules share may be numbered otherwise.
                let octets = Vec::new();
                assert!(Fate { octets, ..one } == expected, "{chunk}");
            }
        }
    }
}
