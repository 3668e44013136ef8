//! The reload thread: who asks it to reload, and when it does.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::{Fingerprint, Reloader, loggable};
use crate::error::Failed;
use crate::net::Clock;

/// How long the files must be left alone before they are read: copying a list
/// takes a while, and several are often replaced together.
const QUIET: Duration = Duration::from_millis(500);

/// How long files may go on changing before they are read all the same; a
/// list that is being written then is refused, and read again when it is done.
const RESTLESS: Duration = Duration::from_secs(30);

/// How much the reload thread gives way to those that answer: as much as can be.
/// Where there are processors to spare it costs nothing, and where there are
/// none a reload may take longer, but no answer.
const NICENESS: i32 = 19;

/// What the reload thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Reload now.
    Now,
    /// A file below a watched directory was touched.
    Touched,
}

/// The reload thread, as others see it. It ends when the last handle and the
/// watcher are gone.
#[derive(Clone, Debug)]
pub struct Handle {
    /// To the thread.
    requests: Sender<Request>,
}

impl Handle {
    /// Asks for a reload, as SIGHUP does.
    pub fn reload(&self) {
        // Fails only if the thread is gone, and then nothing can be done.
        let _ = self.requests.send(Request::Now);
    }
}

impl Reloader {
    /// Starts the reload thread, which also watches the files if the
    /// configuration says so.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn spawn(self) -> Result<Handle, Failed> {
        let (requests, inbox) = channel();
        let handle = Handle {
            requests: requests.clone(),
        };
        thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || self.run(&inbox, &requests))
            .map_err(|error| Failed::new(format!("cannot start the reload thread: {error}")))?;
        Ok(handle)
    }

    /// The reload thread.
    fn run(mut self, inbox: &Receiver<Request>, requests: &Sender<Request>) {
        // Of this thread and those that it starts, not of the process. Fails
        // only where that is forbidden, and then it just has no effect.
        let _ = rustix::process::nice(NICENESS);
        let mut watched = None;
        let mut watcher = None;
        loop {
            let watches = Some(self.watches());
            if watches != watched {
                watcher = watches.iter().find_map(|dirs| self.watch(dirs, requests));
                watched = watches;
                if watcher.is_some() {
                    // For what changed before it was watched.
                    let _ = requests.send(Request::Touched);
                }
            }
            let Some(request) = next(inbox) else { break };
            // Reading a file touches it too, and so do neighbours that are no
            // lists.
            let present = Fingerprint::of(self.path.as_deref(), &self.wanted);
            if request == Request::Touched && present == self.seen {
                tracing::debug!("files were touched, but no list and no configuration has changed");
                continue;
            }
            match self.reload() {
                Ok(report) => {
                    tracing::info!(
                        "register reloaded: lists={} entries={}",
                        report.lists.len(),
                        report.entries()
                    );
                    for warning in report.all_warnings() {
                        tracing::warn!("{}", self.loggable(&warning));
                    }
                }
                Err(failed) => {
                    let why = self.loggable(&failed.to_string());
                    tracing::error!("reload refused, the register in force stays: {why}");
                }
            }
        }
        drop(watcher);
    }

    /// A report as the log may have it.
    fn loggable(&self, report: &str) -> String {
        loggable(report, &self.config)
    }
}

/// Waits for a request, and for the files to be left alone if it is about
/// them; none when nobody is left to make requests. Requests that have piled up
/// are one: what is read now is what they all ask for.
fn next(inbox: &Receiver<Request>) -> Option<Request> {
    let mut request = inbox.recv().ok()?;
    let clock = Clock::start();
    while request == Request::Touched && clock.now().uptime.0 < RESTLESS {
        match inbox.recv_timeout(QUIET) {
            Ok(next) => request = next,
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    for more in inbox.try_iter() {
        if more == Request::Now {
            request = more;
        }
    }
    Some(request)
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// A script that sends SIGHUP for each of a thousand files must not keep
    /// the server reading for hours.
    #[test]
    fn requests_that_pile_up_are_one() {
        let (requests, inbox) = channel();
        for request in [Request::Now, Request::Touched, Request::Now] {
            requests.send(request).unwrap();
        }
        assert_eq!(next(&inbox), Some(Request::Now));
        assert!(inbox.try_recv().is_err(), "nothing is left to be done");
        requests.send(Request::Touched).unwrap();
        requests.send(Request::Now).unwrap();
        requests.send(Request::Touched).unwrap();
        assert_eq!(next(&inbox), Some(Request::Now), "the order still holds");
        assert!(inbox.try_recv().is_err());
        drop(requests);
        assert_eq!(next(&inbox), None);
    }
}
