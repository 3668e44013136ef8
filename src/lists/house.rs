//! The house format: each line a rule or a binding. [`super`] describes it.
//!
//! ```text
//! file ─▶ Chunks ─┬▶ scan ─┬▶ merge, in the order of chunks ─▶ Feed
//!                 ├▶ scan ─┘
//!                 └▶ digest, in the order of chunks
//! ```
//!
//! Chunks of some thousand lines are scanned by several threads at once; what
//! they find is added in the order of the file, so that the register and all
//! that is told of the list are those of one thread. The digest of the file takes
//! longer than anything else and has to be made in one go: whichever thread has a
//! chunk and sees that nobody is at it goes on with it ([`Digest`]).

use std::collections::{BTreeMap, VecDeque};
use std::io::BufRead;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use super::chunks::{Chunk, Chunks};
use super::feed::{At, Feed, Stop, Target};
use super::lines::{LineError, Lines, MAX_LINE};
use super::scan::{Desk, Found, Scan, Scanned};
use super::source::{Source, plain};
use super::table::{Header, Row};
use super::tap::Hasher;
use crate::equipment::bulk::Bundle;

/// Bytes of a chunk: a hundred thousand lines or so, so that what is made of it
/// stays near the processor, and enough of them that handing it over does not
/// count.
const CHUNK: usize = 2 << 20;

/// How many chunks may be scanned before what they say is added: enough for hardly
/// anybody to wait when the thread that adds them has to wait for a processor; more
/// are no faster.
const AHEAD_MAX: usize = 4;

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
        let digest = Digest::new(hasher, merge.bytes);
        read_body((Chunks::new(reader, chunk), &digest), &scan, &mut merge)
    });
    let Merge {
        lines, bytes, feed, ..
    } = merge;
    feed.read(file, lines, bytes);
    result?;
    feed.end(file, "without a meaning");
    Ok(())
}

/// Reads what stands below the header.
fn read_body(
    (mut chunks, digest): (Chunks<impl BufRead + Send>, &Digest),
    scan: &Scan<'_>,
    merge: &mut Merge<'_, '_>,
) -> Result<(), Stop> {
    let threads = merge.feed.threads();
    // Most files are shorter than a chunk, and not worth a thread.
    let first = chunks.next(Chunk::default());
    if threads < 2 || first.as_ref().is_none_or(|first| first.is_last) {
        let mut desk = Desk::default();
        let mut next = first;
        while let Some(mut chunk) = next {
            let error = chunk.error.take();
            let chunk = Arc::new(chunk);
            digest.await_chunk(&chunk);
            digest.go_on(Turn::Wait);
            let scanned = scan.read(chunk.text(), &mut desk);
            desk.spare = merge.add(scanned, error)?;
            digest.take_back(chunk);
            next = chunks.next(digest.spare());
        }
        return Ok(());
    }
    let chunks = Mutex::new((0u64, first, chunks));
    let spares = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel::<(u64, Scanned, _)>(AHEAD_MAX);
        // While one reads or makes the digest, the others scan.
        for _ in 0..=threads {
            let sender = sender.clone();
            let (chunks, spares) = (&chunks, &spares);
            scope.spawn(move || {
                let mut desk = Desk::default();
                loop {
                    let mut source = lock(chunks);
                    let (number, first, chunks) = &mut *source;
                    let next = first.take();
                    let Some(mut chunk) = next.or_else(|| chunks.next(digest.spare())) else {
                        break;
                    };
                    let own = *number;
                    *number += 1;
                    let error = chunk.error.take();
                    let chunk = Arc::new(chunk);
                    digest.await_chunk(&chunk);
                    drop(source);
                    digest.go_on(Turn::IfFree);
                    let scanned = scan.read(chunk.text(), &mut desk);
                    digest.take_back(chunk);
                    // Nobody wants it when reading has stopped.
                    if sender.send((own, scanned, error)).is_err() {
                        return;
                    }
                    desk.spare = lock(spares).pop();
                }
                drop(sender);
                digest.go_on(Turn::Wait);
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for (number, scanned, error) in &receiver {
            waiting.insert(number, (scanned, error));
            while let Some((scanned, error)) = waiting.remove(&next) {
                next += 1;
                match merge.add(scanned, error) {
                    Ok(spare) => lock(&spares).extend(spare),
                    Err(stop) => {
                        // Whoever waits for room to send is told.
                        drop(receiver);
                        return Err(stop);
                    }
                }
            }
        }
        Ok(())
    })
}

/// Locks; a thread that panicked takes the others with it anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//----------- Digest ----------------------------------------------------------

/// So many chunks may be without a digest before reading waits for it; more would
/// be further from the processor when it is made.
const BEHIND_MAX: usize = 8;

/// The digest of a file, made chunk by chunk by whoever has time.
struct Digest {
    /// It, and where the next chunk begins in the file; if it is wanted.
    hasher: Option<Mutex<(Hasher, u64)>>,
    /// The chunks that are not in it yet, in their order.
    waiting: Mutex<VecDeque<Arc<Chunk>>>,
    /// Chunks that nobody looks at any more, for their memory.
    spare: Mutex<Vec<Chunk>>,
}

/// Whether to wait for somebody else who is making the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Only if it is far behind.
    IfFree,
    /// Until nothing is left of what was read before.
    Wait,
}

impl Digest {
    /// The digest of a file whose chunks begin at a place.
    fn new(hasher: Option<Hasher>, at: u64) -> Self {
        Self {
            hasher: hasher.map(|hasher| Mutex::new((hasher, at))),
            waiting: Mutex::default(),
            spare: Mutex::default(),
        }
    }

    /// Notes the next chunk, in the order of the file.
    fn await_chunk(&self, chunk: &Arc<Chunk>) {
        if self.hasher.is_some() {
            lock(&self.waiting).push_back(Arc::clone(chunk));
        }
    }

    /// Goes on with the digest, unless somebody else does.
    fn go_on(&self, turn: Turn) {
        let Some(hasher) = &self.hasher else {
            return;
        };
        let is_far_behind = || lock(&self.waiting).len() >= BEHIND_MAX;
        let mut hasher = match hasher.try_lock() {
            Ok(hasher) => hasher,
            Err(_) if turn == Turn::Wait || is_far_behind() => lock(hasher),
            Err(_) => return,
        };
        let (hasher, at) = &mut *hasher;
        // Not what comes meanwhile: others wait for the lines of this thread.
        let count = lock(&self.waiting).len();
        for _ in 0..count {
            let next = lock(&self.waiting).pop_front();
            let Some(chunk) = next else {
                return;
            };
            hasher.add(*at, chunk.text());
            *at += chunk.text().len() as u64;
            self.take_back(chunk);
        }
    }

    /// Keeps the memory of a chunk if nobody else has it.
    fn take_back(&self, chunk: Arc<Chunk>) {
        lock(&self.spare).extend(Arc::into_inner(chunk));
    }

    /// A chunk whose memory may be used for another.
    fn spare(&self) -> Chunk {
        lock(&self.spare).pop().unwrap_or_default()
    }
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
        feed.tally(file, before, &scanned.tally);
        for (line, found) in scanned.found {
            let at = At {
                file,
                line: before + line,
            };
            match found {
                Found::Bad(bad, name) => feed.bad(at, bad, name),
                Found::Entry(entry) => {
                    let added = entry.add(at, feed);
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
        heap.add(builder.take_bundles(true));
        heap.finish().unwrap();
        let files = builder.files_of_sources();
        let mut keeper = Keeper::memory(&heap);
        let plan = builder.plan(&files, (heap.digest(), true));
        let mut assembled = assemble(plan, heap, &mut keeper, &Progress::default()).unwrap();
        let refusals = core::mem::take(&mut assembled.refusals);
        let kept = keeper.kept.unwrap();
        let snapshot = builder.finish_assembled(kept.fill(assembled, true), &refusals);
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
