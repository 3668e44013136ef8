//! What `[runtime]` may say. Whether the processors that it names are there is
//! known only on the machine that is to serve.

use super::super::runtime::{MAX_BUSY_POLL, MAX_PROCESSOR, MAX_WORKERS, MIN_WORKERS, Runtime};
use super::Check;

impl Check {
    /// Checks `[runtime]`.
    pub(super) fn runtime(&mut self, runtime: &Runtime) {
        if let Some(workers) = runtime.workers
            && !(MIN_WORKERS..=MAX_WORKERS).contains(&workers)
        {
            let message = format!("is {workers}; allowed are {MIN_WORKERS} to {MAX_WORKERS}");
            self.fault(&[&"runtime", &"workers"], message);
        }
        for (index, processor) in runtime.affinity.iter().enumerate() {
            let before = runtime.affinity.iter().take(index);
            let message = if *processor > MAX_PROCESSOR {
                format!(
                    "there is no processor {processor}; they have the numbers 0 to {MAX_PROCESSOR}"
                )
            } else if before.into_iter().any(|other| other == processor) {
                format!(
                    "processor {processor} is named twice; name it once, and have fewer `workers`"
                )
            } else {
                continue;
            };
            self.fault(&[&"runtime", &"affinity", &index], message);
        }
        if runtime.busy_poll > MAX_BUSY_POLL {
            let message = format!(
                "is {}; allowed are 0 to {MAX_BUSY_POLL} microseconds",
                runtime.busy_poll
            );
            self.fault(&[&"runtime", &"busy_poll"], message);
        }
        let named = runtime.affinity.len();
        if let Some(workers) = runtime.workers.filter(|workers| *workers < named) {
            let message = format!(
                "{named} processors for {workers} `workers`; have as many workers, or name \
                 fewer processors"
            );
            self.fault(&[&"runtime", &"affinity"], message);
        }
        if named > MAX_WORKERS {
            let message = format!("{named} processors; at most {MAX_WORKERS} threads answer");
            self.fault(&[&"runtime", &"affinity"], message);
        }
    }
}
