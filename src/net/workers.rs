//! Who serves a connection: each belongs to one worker, a runtime with a thread
//! of its own, from its first octet to its last.
//!
//! Few peers carry all the load, so they are handed out evenly, and no hash of
//! addresses decides. A connection that never changes its thread wakes no
//! other, shares no queue and keeps its caches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::spin::Spinning;
use crate::time::Uptime;

/// How long a look at how busy the workers are holds. Within it connections are
/// handed out by their number: none has done anything yet.
const LOOK: Duration = Duration::from_secs(1);

/// Parts of its time by which a worker is told to be busier than another: less
/// than a hundredth is chance.
const PARTS: u128 = 100;

/// All workers.
#[derive(Debug)]
pub(super) struct Workers {
    /// Each of them; at least one.
    all: Vec<Arc<Worker>>,
    /// Whose turn it is.
    turns: Mutex<Turns>,
}

/// One worker.
#[derive(Debug)]
struct Worker {
    /// What runs its connections' tasks.
    runtime: Handle,
    /// How many connections it has.
    connections: AtomicUsize,
    /// Which of them looks for requests instead of sleeping.
    spinning: Spinning,
}

impl Workers {
    /// These runtimes, or the present one if there are none; a connection of
    /// each may look for requests for as long as `busy_poll` instead of sleeping.
    ///
    /// # Panics
    ///
    /// Without runtimes, outside of one.
    pub(super) fn new(mut runtimes: Vec<Handle>, busy_poll: Duration) -> Self {
        if runtimes.is_empty() {
            runtimes.push(Handle::current());
        }
        let all = runtimes.into_iter().map(|runtime| {
            Arc::new(Worker {
                runtime,
                connections: AtomicUsize::new(0),
                spinning: Spinning::new(busy_poll),
            })
        });
        Self {
            all: all.collect(),
            turns: Mutex::default(),
        }
    }

    /// A seat for one more connection.
    pub(super) fn seat(&self, now: Uptime) -> Seat {
        // Held until the connection counts, so that the next one sees it.
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.look(now, || {
            let metrics = self.all.iter().map(|worker| worker.runtime.metrics());
            metrics.map(|metrics| metrics.worker_total_busy_duration(0))
        });
        let connections = self.all.iter();
        let connections = connections.map(|worker| worker.connections.load(Ordering::Relaxed));
        let worker = Arc::clone(&self.all[turns.next(connections)]);
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Seat(worker)
    }
}

/// The place of a connection with its worker, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<Worker>);

impl Seat {
    /// What is to run the connection's task.
    pub(super) fn runtime(&self) -> Handle {
        self.0.runtime.clone()
    }

    /// Which of the worker's connections looks for requests.
    pub(super) fn spinning(&self) -> &Spinning {
        &self.0.spinning
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who is next: the one with the fewest connections; of those, the one that was
/// least busy; of those, the one whose turn was longest ago.
#[derive(Debug, Default)]
struct Turns {
    /// When was looked last.
    looked: Uptime,
    /// For how long each had been busy then, and which part of its time before.
    busy: Vec<(Duration, u128)>,
    /// Who comes after the last one.
    after: usize,
}

impl Turns {
    /// Looks for how long each has been busy since the start, unless that was
    /// done just now.
    fn look<B: Iterator<Item = Duration>>(&mut self, now: Uptime, busy: impl FnOnce() -> B) {
        let elapsed = now.since(self.looked);
        if elapsed < LOOK && !self.busy.is_empty() {
            return;
        }
        let elapsed = elapsed.as_nanos().max(1);
        let mut before = std::mem::take(&mut self.busy).into_iter();
        let parts = busy().map(|total| {
            let (before, _) = before.next().unwrap_or_default();
            let lately = total.saturating_sub(before).as_nanos();
            (total, lately * PARTS / elapsed)
        });
        self.busy = parts.collect();
        self.looked = now;
    }

    /// The next one, by how many connections each has.
    fn next(&mut self, connections: impl ExactSizeIterator<Item = usize>) -> usize {
        let count = connections.len();
        let rank = |(index, connections): (usize, usize)| {
            let busy = self.busy.get(index).map_or(0, |(_, part)| *part);
            (connections, busy, (index + count - self.after) % count)
        };
        let ranked = connections.enumerate().map(rank);
        let turn = ranked.min().map_or(0, |(_, _, turn)| turn);
        let chosen = (turn + self.after) % count.max(1);
        self.after = (chosen + 1) % count.max(1);
        chosen
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    /// So many seconds after the start.
    fn at(seconds: u64) -> Uptime {
        Uptime(Duration::from_secs(seconds))
    }

    #[test]
    fn those_with_fewer_connections_come_first() {
        let mut turns = Turns::default();
        assert_eq!(turns.next([3, 1, 2].into_iter()), 1);
        assert_eq!(turns.next([3, 2, 2].into_iter()), 2);
        assert_eq!(turns.next([3, 2, 3].into_iter()), 1);
        assert_eq!(Turns::default().next([0].into_iter()), 0);
    }

    #[test]
    fn those_that_are_equal_take_turns() {
        let mut turns = Turns::default();
        let mut connections = [0; 3];
        let mut chosen = Vec::new();
        for _ in 0..7 {
            let next = turns.next(connections.into_iter());
            connections[next] += 1;
            chosen.push(next);
        }
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2, 0]);
        // Those that come and go at once, too.
        let chosen: Vec<_> = (0..4).map(|_| turns.next([5; 3].into_iter())).collect();
        assert_eq!(chosen, [1, 2, 0, 1]);
    }

    #[test]
    fn of_those_that_are_equal_the_idle_one_is_next() {
        let mut turns = Turns::default();
        let busy = |millis: [u64; 2]| move || millis.map(Duration::from_millis).into_iter();
        turns.look(at(10), busy([9000, 100]));
        assert_eq!(turns.next([1, 1].into_iter()), 1);
        assert_eq!(turns.next([1, 1].into_iter()), 1);
        assert_eq!(turns.next([1, 2].into_iter()), 0, "the number counts more");
        // It has changed since.
        turns.look(at(12), busy([9100, 1900]));
        assert_eq!(turns.next([1, 1].into_iter()), 0);
        // A hundredth is no difference.
        turns.look(at(14), busy([9104, 1900]));
        assert_eq!(turns.next([1, 1].into_iter()), 1);
        assert_eq!(turns.next([1, 1].into_iter()), 0);
    }

    #[test]
    fn a_look_holds_for_a_while() {
        let mut turns = Turns::default();
        turns.look(at(1), || [1, 0].map(Duration::from_secs).into_iter());
        turns.look(
            Uptime(Duration::from_millis(1999)),
            || -> std::vec::IntoIter<_> { panic!("looked again") },
        );
        assert_eq!(turns.next([0, 0].into_iter()), 1);
    }

    #[tokio::test]
    async fn a_seat_is_free_once_it_is_dropped() {
        let runtimes = vec![Handle::current(), Handle::current()];
        let workers = Workers::new(runtimes, Duration::ZERO);
        let counts = || {
            let all = workers.all.iter();
            let counts = all.map(|worker| worker.connections.load(Ordering::Relaxed));
            counts.collect::<Vec<_>>()
        };
        let mut seats: Vec<_> = (0..5).map(|_| workers.seat(at(0))).collect();
        assert_eq!(counts(), [3, 2]);
        // One of each, then the second again.
        seats.truncate(2);
        assert_eq!(counts(), [1, 1]);
        seats.pop();
        assert_eq!(counts(), [1, 0]);
        seats.push(workers.seat(at(0)));
        assert_eq!(counts(), [1, 1]);
        drop(seats);
        assert_eq!(counts(), [0, 0]);
    }
}
