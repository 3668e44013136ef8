//! The threads that answer: how many there are, and on which processors.

use std::sync::mpsc;
use std::{io, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use super::complete;
use crate::config;
use crate::config::runtime::{MAX_PROCESSOR, MAX_WORKERS, MIN_WORKERS};
use crate::error::Failed;

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

    /// Starts the threads; each is on its processor when this returns, and runs
    /// what it is given until they are dropped.
    ///
    /// # Errors
    ///
    /// When there can be no threads, or they cannot be pinned.
    pub(super) fn start(&self) -> Result<Started, Failed> {
        let everywhere = sched_getaffinity(None).map_err(|error| cannot_start(error.into()))?;
        let mut started = Started::default();
        for index in 0..self.count {
            let processor = self.processor(index);
            let (stop, stopped) = oneshot::channel();
            let (sender, runtime) = mpsc::channel();
            let thread = thread::Builder::new().name("weir-worker".to_owned());
            let thread = thread.spawn(move || {
                // Sending fails only if nobody waits any more, and who is to
                // stop it is gone as well then.
                match begin(processor, everywhere) {
                    Ok(runtime) => {
                        let _ = sender.send(Ok(runtime.handle().clone()));
                        let _ = complete(runtime, stopped);
                    }
                    Err(error) => {
                        let _ = sender.send(Err(error));
                    }
                }
            });
            let thread = thread.map_err(cannot_start)?;
            started.threads.push((stop, thread));
            let gone = |_| Err(Failed::new("cannot start: a thread has ended"));
            started.runtimes.push(runtime.recv().unwrap_or_else(gone)?);
        }
        Ok(started)
    }

    /// The processor of a thread, if it is pinned to one.
    fn processor(&self, index: usize) -> Option<usize> {
        let turn = index.checked_rem(self.processors.len())?;
        self.processors.get(turn).copied()
    }
}

/// Pins the present thread to its processor, if it has one, and makes its runtime.
fn begin(processor: Option<usize>, everywhere: CpuSet) -> Result<Runtime, Failed> {
    if let Some(processor) = processor {
        sched_setaffinity(None, &only(processor)).map_err(|error| {
            Failed::new(format!(
                "runtime.affinity: cannot pin a thread to its processor: {}",
                io::Error::from(error)
            ))
        })?;
    }
    let mut builder = Builder::new_current_thread();
    builder.enable_all().on_thread_start(move || {
        // Threads that wait for the resolver would inherit the processor of one
        // that answers. Where this fails, they do.
        let _ = sched_setaffinity(None, &everywhere);
    });
    builder.build().map_err(cannot_start)
}

/// Threads that run what they are given; dropped, they end, and what they run
/// is dropped with them.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// Their runtimes.
    runtimes: Vec<Handle>,
    /// Tells each to end, and waits for it.
    threads: Vec<(oneshot::Sender<()>, thread::JoinHandle<()>)>,
}

impl Started {
    /// The runtimes of the threads, one each.
    pub(super) fn runtimes(&self) -> Vec<Handle> {
        self.runtimes.clone()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let threads = self.threads.drain(..);
        let ending: Vec<_> = threads
            .map(|(stop, thread)| {
                // Fails only if it has ended.
                let _ = stop.send(());
                thread
            })
            .collect();
        for thread in ending {
            // Fails only if it has panicked, which was told.
            let _ = thread.join();
        }
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
        assert_eq!(turns, [4, 2, 4, 2, 4, 2].map(Some));
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
        let started = workers.start().unwrap();
        let set = || {
            let set = sched_getaffinity(None).unwrap();
            let numbers = (0..=MAX_PROCESSOR).filter(|number| set.is_set(*number));
            numbers.collect::<BTreeSet<_>>()
        };
        let all = set();
        let runtimes = started.runtimes();
        assert_eq!(runtimes.len(), 2);
        for runtime in runtimes {
            let (sender, sets) = mpsc::channel();
            runtime.spawn(async move {
                let waits = tokio::task::spawn_blocking(set).await;
                sender.send((set(), waits.unwrap())).unwrap();
            });
            let (answers, waits) = sets.recv().unwrap();
            assert_eq!(answers, BTreeSet::from([last]));
            assert_eq!(waits, all);
        }
    }

    #[test]
    fn what_threads_run_is_dropped_with_them() {
        let workers = Workers {
            count: 2,
            processors: Vec::new(),
        };
        let started = workers.start().unwrap();
        let (sender, ended) = mpsc::channel::<()>();
        for runtime in started.runtimes() {
            let sender = sender.clone();
            runtime.spawn(async move {
                let _held = sender;
                std::future::pending::<()>().await;
            });
        }
        drop(sender);
        drop(started);
        assert_eq!(ended.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}
