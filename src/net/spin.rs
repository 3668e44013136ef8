//! Busy polling: what a connection does instead of sleeping right after it has
//! received something.
//!
//! A thread that sleeps is woken by the kernel some ten microseconds after its
//! request has arrived, or much later where the processor sleeps as well. A
//! connection that spins asks the runtime for another turn at once instead, again and
//! again. It gets one only when the thread has nothing else to do and has asked
//! the kernel, without waiting, which sockets are ready: so one that
//! spins delays no other, and finds what has arrived for all others.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;
use std::time::Duration;

use tokio::task::yield_now;

use crate::time::Uptime;

/// Who of a thread's connections may spin, and for how long.
#[derive(Debug)]
pub(super) struct Spinning {
    /// How long after what was received last; zero: not at all.
    span: Duration,
    /// Whether a connection does.
    taken: AtomicBool,
}

impl Spinning {
    /// One connection of a thread at a time may spin, for `span` after what it
    /// has received: more would only take turns, and it looks for all of them.
    pub(super) const fn new(span: Duration) -> Self {
        Self {
            span,
            taken: AtomicBool::new(false),
        }
    }

    /// Whether there is any.
    pub(super) const fn is_on(&self) -> bool {
        !self.span.is_zero()
    }

    /// Leave to spin from now on; `None` if another does.
    fn begin(&self) -> Option<Spin<'_>> {
        let taken = self.taken.swap(true, Ordering::Relaxed);
        (!taken).then(|| Spin(self))
    }
}

/// Leave to spin, until it is dropped.
#[derive(Debug)]
struct Spin<'a>(&'a Spinning);

impl Drop for Spin<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Relaxed);
    }
}

/// The part of one connection.
#[derive(Debug)]
pub(super) struct Spinner<'a> {
    /// Who may spin.
    all: &'a Spinning,
    /// When something was received last, and leave to spin since then.
    since: Option<(Uptime, Spin<'a>)>,
}

impl<'a> Spinner<'a> {
    /// One that does not spin yet.
    pub(super) const fn new(all: &'a Spinning) -> Self {
        Self { all, since: None }
    }

    /// Takes note that something was received, from when on to spin.
    pub(super) fn received(&mut self, now: impl FnOnce() -> Uptime) {
        if !self.all.is_on() {
            return;
        }
        let leave = self.since.take().map(|(_, leave)| leave);
        let leave = leave.or_else(|| self.all.begin());
        self.since = leave.map(|leave| (now(), leave));
    }

    /// Leaves the spinning to others until something is received again.
    pub(super) fn rest(&mut self) {
        self.since = None;
    }

    /// Asks for another turn of the task if it is to spin; the task is about to
    /// wait, as nothing is there for it.
    pub(super) fn wait(&mut self, now: impl FnOnce() -> Uptime, cx: &mut Context<'_>) {
        let Some((since, _)) = &self.since else {
            return;
        };
        if now().since(*since) >= self.all.span {
            self.rest();
            return;
        }
        // Polled once, it has told the runtime to wake the task as soon as all
        // others have had their turn and the sockets have been asked.
        let _ = pin!(yield_now()).poll(cx);
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::{Wake, Waker};

    use super::*;

    /// Counts how often a task was woken.
    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a task that waits at so many microseconds is woken.
    fn spins(spinner: &mut Spinner<'_>, micros: u64) -> bool {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        spinner.wait(|| at(micros), &mut Context::from_waker(&waker));
        woken.0.load(Ordering::Relaxed) > 0
    }

    /// So many microseconds after the start.
    fn at(micros: u64) -> Uptime {
        Uptime(Duration::from_micros(micros))
    }

    #[test]
    fn it_lasts_as_long_as_configured_after_the_last_octets() {
        let all = Spinning::new(Duration::from_micros(50));
        let mut spinner = Spinner::new(&all);
        assert!(!spins(&mut spinner, 0), "nothing was received");
        spinner.received(|| at(100));
        assert!(spins(&mut spinner, 100));
        assert!(spins(&mut spinner, 149));
        spinner.received(|| at(149));
        assert!(spins(&mut spinner, 198));
        assert!(!spins(&mut spinner, 199));
        assert!(!spins(&mut spinner, 150), "it is over until more comes");
    }

    #[test]
    fn one_of_a_thread_spins_at_a_time() {
        let all = Spinning::new(Duration::from_micros(50));
        let mut spinners: Vec<_> = (0..2).map(|_| Spinner::new(&all)).collect();
        for spinner in &mut spinners {
            spinner.received(|| at(0));
        }
        let spinning = |spinners: &mut Vec<Spinner<'_>>| {
            let spinning = spinners.iter_mut().map(|spinner| spins(spinner, 10));
            spinning.collect::<Vec<_>>()
        };
        assert_eq!(spinning(&mut spinners), [true, false]);
        // The one that ends, or whose time is over, leaves it to the next.
        drop(spinners.remove(0));
        spinners[0].received(|| at(0));
        assert_eq!(spinning(&mut spinners), [true]);
        assert!(!spins(&mut spinners[0], 60));
        let mut next = Spinner::new(&all);
        next.received(|| at(60));
        assert!(spins(&mut next, 60));
    }

    #[test]
    fn none_without_time_for_it() {
        let all = Spinning::new(Duration::ZERO);
        let mut spinner = Spinner::new(&all);
        spinner.received(|| panic!("asked for the time"));
        assert!(!spins(&mut spinner, 0));
    }
}
