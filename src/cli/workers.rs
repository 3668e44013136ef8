//! The threads that answer: how many there are, and on which processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::{io, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

use crate::config;
use crate::config::runtime::{MAX_PROCESSOR, MAX_WORKERS, MIN_WORKERS};
use crate::error::Failed;

/// Every so many turns of a thread one goes to the queue that it shares. A thread's
/// own queue has room for 256 connections; of a thousand that are asked at once the
/// others wait in the shared one, while those that are answered are asked again.
/// With the scheduler's own choice, one answer in a hundred came after a hundred
/// milliseconds; with this one, after fifteen.
const OVERFLOW_TURN: u32 = 3;

/// The threads that a configuration asks for, on this machine.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    /// How many there are.
    count: usize,
    /// The processors that they are pinned to, in turn; none: they are not.
    processors: Vec<usize>,
}

impl Workers {
    /// Looks for the processors of the configuration on this machine.
    ///
    /// # Errors
    ///
    /// A processor that this process may not use.
    pub(super) fn new(config: &config::Runtime) -> Result<Self, Failed> {
        let processors = config.affinity.clone();
        if !processors.is_empty() {
            let usable = sched_getaffinity(None).map_err(|error| cannot_start(error.into()))?;
            if let Some(missing) = processors.iter().find(|number| !usable.is_set(**number)) {
                let usable: Vec<_> = (0..=MAX_PROCESSOR)
                    .filter(|number| usable.is_set(*number))
                    .collect();
                return Err(Failed::new(format!(
                    "runtime.affinity names processor {missing}, which this process may not use; \
                     it may use {}: name some of these, or let it use more (taskset, \
                     CPUAffinity=, cpusets)",
                    ranges(&usable)
                )));
            }
        }
        let count = config.workers.unwrap_or_else(|| match processors.len() {
            0 => thread::available_parallelism().map_or(MIN_WORKERS, Into::into),
            named => named,
        });
        let count = count.clamp(MIN_WORKERS, MAX_WORKERS);
        Ok(Self { count, processors })
    }

    /// Starts the threads; they are where they belong when this returns.
    ///
    /// # Errors
    ///
    /// When there can be no threads, or they cannot be pinned.
    pub(super) fn start(&self) -> Result<Runtime, Failed> {
        let mut builder = Builder::new_multi_thread();
        builder
            .worker_threads(self.count)
            .thread_name("weir-worker")
            .global_queue_interval(OVERFLOW_TURN)
            .enable_all();
        if self.processors.is_empty() {
            return builder.build().map_err(cannot_start);
        }
        let everywhere = sched_getaffinity(None).map_err(|error| cannot_start(error.into()))?;
        let (sender, pinned) = mpsc::channel();
        let started = AtomicUsize::new(0);
        let workers = Arc::new(self.clone());
        builder.on_thread_start(move || {
            // The first threads are those that answer, as nothing is asked of
            // the runtime before they are all there. The others, which wait for
            // the resolver, would inherit the processor of one that answers.
            let index = started.fetch_add(1, Ordering::Relaxed);
            let set = workers.processor(index).map_or(everywhere, only);
            let result = sched_setaffinity(None, &set);
            if index < workers.count {
                // Fails only if nobody waits any more.
                let _ = sender.send(result);
            }
        });
        let runtime = builder.build().map_err(cannot_start)?;
        for result in pinned.iter().take(self.count) {
            result.map_err(|error| {
                Failed::new(format!(
                    "runtime.affinity: cannot pin a thread to its processor: {}",
                    io::Error::from(error)
                ))
            })?;
        }
        Ok(runtime)
    }

    /// The processor of the thread that started as this one, if it answers.
    fn processor(&self, index: usize) -> Option<usize> {
        if index >= self.count {
            return None;
        }
        let turn = index.checked_rem(self.processors.len())?;
        self.processors.get(turn).copied()
    }
}

/// The set of one processor.
fn only(processor: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(processor);
    set
}

/// The failure of the runtime itself.
fn cannot_start(error: io::Error) -> Failed {
    Failed::new(format!("cannot start: {error}"))
}

/// Ascending numbers, those in a row as `0-3`.
fn ranges(numbers: &[usize]) -> String {
    let rows = numbers.chunk_by(|one, next| one + 1 == *next);
    let rows = rows.filter_map(|row| match row {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    });
    rows.collect::<Vec<_>>().join(", ")
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn threads_take_the_processors_in_turn() {
        let workers = Workers {
            count: 5,
            processors: vec![4, 2],
        };
        let turns: Vec<_> = (0..6).map(|index| workers.processor(index)).collect();
        assert_eq!(turns, [Some(4), Some(2), Some(4), Some(2), Some(4), None]);
        let free = Workers {
            count: 2,
            processors: Vec::new(),
        };
        assert_eq!(free.processor(0), None);
    }

    #[test]
    fn as_many_threads_as_processors_unless_configured() {
        let count = |workers, affinity: &[usize]| {
            let affinity = affinity.to_vec();
            let config = config::Runtime {
                workers,
                affinity,
                ..config::Runtime::default()
            };
            Workers::new(&config).map(|workers| workers.count)
        };
        let usable = sched_getaffinity(None).unwrap();
        let first = (0..=MAX_PROCESSOR).find(|number| usable.is_set(*number));
        let first = first.unwrap();
        assert_eq!(count(None, &[]).unwrap(), usable.count() as usize);
        assert_eq!(count(None, &[first]).unwrap(), 1);
        assert_eq!(count(Some(3), &[first]).unwrap(), 3);
    }

    #[test]
    fn processors_in_a_row_are_told_as_one() {
        assert_eq!(ranges(&[0, 1, 2, 3, 6, 8, 9]), "0-3, 6, 8-9");
        assert_eq!(ranges(&[5]), "5");
    }

    #[test]
    fn threads_that_do_not_answer_are_not_pinned() {
        let usable = sched_getaffinity(None).unwrap();
        let last = (0..=MAX_PROCESSOR).rfind(|number| usable.is_set(*number));
        let last = last.unwrap();
        let workers = Workers {
            count: 2,
            processors: vec![last],
        };
        let runtime = workers.start().unwrap();
        let set = || {
            let set = sched_getaffinity(None).unwrap();
            let numbers = (0..=MAX_PROCESSOR).filter(|number| set.is_set(*number));
            numbers.collect::<BTreeSet<_>>()
        };
        let all = set();
        let (answers, waits) = runtime.block_on(async move {
            let answers = tokio::spawn(async move { (set(), tokio::task::spawn_blocking(set)) });
            let (answers, waits) = answers.await.unwrap();
            (answers, waits.await.unwrap())
        });
        assert_eq!(answers, BTreeSet::from([last]));
        assert_eq!(waits, all);
    }
}
