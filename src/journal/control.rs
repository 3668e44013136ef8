//! The socket over which changes are asked for.
//!
//! One line of JSON is a request, and one is its answer; requests may follow
//! each other without waiting, and answers come in their order. It has threads
//! of its own, so that nothing here is in the way of those that serve.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::keeper::{Handle, Outcome};
use super::request::{Answer, Request};
use crate::error::Failed;

/// The name of the socket, beside the journal.
pub const SOCKET: &str = "socket";

/// The longest request in octets: ten thousand changes with what they usually
/// say.
pub const LINE_MAX: u64 = 4 * 1024 * 1024;

/// Connections at once: a few programs and people.
const CONNECTIONS: usize = 16;

/// Requests of one connection that are under way.
const UNDER_WAY: usize = 256;

/// How long a connection may ask for nothing.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer may wait for a client that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait after an error of accepting, which is most often one of too
/// many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes requests on the socket of a directory, which nobody else uses.
///
/// # Errors
///
/// If the socket cannot be made.
pub fn listen(dir: &Path, handle: Handle) -> Result<(), Failed> {
    let path = dir.join(SOCKET);
    let failed = |error: io::Error| {
        Failed::new(format!(
            "{}: {error}; changes are asked for over this socket: choose a shorter or writable \
             `state_dir`",
            path.display()
        ))
    };
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // The directory lets nobody else in, also before the mode is set.
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || accept(&listener, &handle))
        .map_err(failed)?;
    Ok(())
}

/// The path of the socket of a directory.
#[must_use]
pub fn path(dir: &Path) -> PathBuf {
    dir.join(SOCKET)
}

/// Accepts connections for ever.
fn accept(listener: &UnixListener, handle: &Handle) {
    let guests = Guests::default();
    loop {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        let Ok(own) = stream.try_clone() else {
            continue;
        };
        let Some(guest) = guests.admit(own) else {
            let _ = refuse(stream, "too many connections ask for changes; try again");
            continue;
        };
        let handle = handle.clone();
        // Without a thread the connection is closed.
        let _ = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                // Whoever asked is gone, and what was asked for is done or not.
                let _ = serve(stream, &handle, &guest.0);
            });
    }
}

/// The connections that there are.
#[derive(Clone, Debug, Default)]
struct Guests {
    /// Them.
    all: Arc<Mutex<Vec<Arc<Guest>>>>,
    /// Counts what they do.
    clock: Arc<AtomicU64>,
}

/// One connection.
#[derive(Debug)]
struct Guest {
    /// It.
    stream: UnixStream,
    /// The requests that are under way.
    under_way: AtomicUsize,
    /// When it asked last, as the clock of all has it.
    last: AtomicU64,
    /// That clock.
    clock: Arc<AtomicU64>,
}

/// A connection that is one of those that there are for as long as this lives.
struct Place(Arc<Guest>, Guests);

impl Guests {
    /// Takes a connection in. If there are too many, the one that has asked for
    /// nothing for the longest time is parted with: one that was forgotten must
    /// not keep others from making changes. `None` if all are being answered.
    fn admit(&self, stream: UnixStream) -> Option<Place> {
        let guest = Arc::new(Guest {
            stream,
            under_way: AtomicUsize::new(0),
            last: AtomicU64::new(self.clock.fetch_add(1, Ordering::Relaxed)),
            clock: Arc::clone(&self.clock),
        });
        let mut all = self.all();
        if all.len() >= CONNECTIONS {
            let idle = all.iter().enumerate();
            let idle = idle.filter(|(_, own)| own.under_way.load(Ordering::Relaxed) == 0);
            let (place, longest) = idle.min_by_key(|(_, own)| own.last.load(Ordering::Relaxed))?;
            // Whoever is gone already needs not be told.
            let _ = longest.stream.shutdown(Shutdown::Both);
            all.swap_remove(place);
        }
        all.push(Arc::clone(&guest));
        drop(all);
        Some(Place(guest, self.clone()))
    }

    /// All of them.
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Guest>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// Notes that it asks for something.
    fn asks(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Notes that it was answered.
    fn is_answered(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self(guest, guests) = self;
        guests.all().retain(|own| !Arc::ptr_eq(own, guest));
    }
}

/// What is answered to a request, now or when it is known.
enum Reply {
    /// This.
    Now(String),
    /// What comes of it.
    Later(Receiver<Outcome>),
}

/// Serves one connection to its end.
fn serve(stream: UnixStream, handle: &Handle, guest: &Arc<Guest>) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let writer = stream.try_clone()?;
    let (replies, outbox) = sync_channel::<Reply>(UNDER_WAY);
    let answered = Arc::clone(guest);
    let answering = thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || answer(writer, &outbox, &answered))?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        // An error is that of a connection that asks for nothing any more.
        let read = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line);
        let Some(read) = read.ok().filter(|&read| read > 0) else {
            break;
        };
        if line.last() != Some(&b'\n') && read as u64 == LINE_MAX {
            // Where the next one begins is not known any more.
            guest.asks();
            let _ = replies.send(Reply::Now(format!(
                "a request has more than {LINE_MAX} octets"
            )));
            break;
        }
        if line.last() != Some(&b'\n') {
            // Cut off: who asked did not ask to the end.
            break;
        }
        guest.asks();
        let reply = match ask(&line, handle) {
            Ok(outcome) => Reply::Later(outcome),
            Err(why) => Reply::Now(why),
        };
        if replies.send(reply).is_err() {
            break;
        }
    }
    drop(replies);
    // Panics are none of ours.
    let _ = answering.join();
    Ok(())
}

/// Passes a request on.
fn ask(line: &[u8], handle: &Handle) -> Result<Receiver<Outcome>, String> {
    let request: Request =
        serde_json::from_slice(line).map_err(|error| format!("the request is wrong: {error}"))?;
    let wishes = request.wishes()?;
    if request.fold {
        return Ok(handle.fold());
    }
    Ok(handle.ask(request.by.into(), wishes))
}

/// Answers requests in their order.
fn answer(stream: UnixStream, outbox: &Receiver<Reply>, guest: &Guest) -> io::Result<()> {
    let mut writer = io::BufWriter::new(stream);
    loop {
        let reply = match outbox.try_recv() {
            Ok(reply) => reply,
            Err(_) => {
                // What is known is not to wait for what is not.
                writer.flush()?;
                match outbox.recv() {
                    Ok(reply) => reply,
                    Err(_) => return Ok(()),
                }
            }
        };
        let answer = match reply {
            Reply::Now(why) => Answer::Refused(why),
            Reply::Later(outcome) => match outcome.try_recv() {
                Ok(outcome) => told(outcome),
                Err(_) => {
                    writer.flush()?;
                    // Fails if the server stops.
                    told(
                        (outcome.recv())
                            .unwrap_or_else(|_| Err("the server is stopping".to_owned())),
                    )
                }
            },
        };
        write(&mut writer, &answer)?;
        guest.is_answered();
    }
}

/// An outcome as an answer.
fn told(outcome: Outcome) -> Answer {
    match outcome {
        Ok((first, last)) => Answer::Done(first, last),
        Err(why) => Answer::Refused(why),
    }
}

/// Refuses a connection.
fn refuse(stream: UnixStream, why: &str) -> io::Result<()> {
    stream.set_write_timeout(Some(ACCEPT_PAUSE))?;
    let mut writer = io::BufWriter::new(stream);
    write(&mut writer, &Answer::Refused(why.to_owned()))?;
    writer.flush()
}

/// Writes one answer.
fn write(writer: &mut impl Write, answer: &Answer) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, answer)?;
    writer.write_all(b"\n")
}
