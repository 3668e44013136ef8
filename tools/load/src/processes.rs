//! Other processes: what runs beside a measurement, and processor time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A process that says one line when it is ready, and ends when its standard
/// input does.
#[derive(Debug)]
pub struct Beside {
    /// The process.
    child: Child,
    /// What it prints.
    output: BufReader<ChildStdout>,
    /// The line that it said first.
    pub ready: String,
}

impl Beside {
    /// Starts one, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or ends without a word.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let output = child.stdout.take().ok_or("a process without output")?;
        let mut output = BufReader::new(output);
        let mut ready = String::new();
        let read = output.read_line(&mut ready);
        let beside = Self {
            child,
            output,
            ready: ready.trim_end().to_owned(),
        };
        match read {
            Ok(1..) => Ok(beside),
            _ => Err(format!("{name} ended before it was ready")),
        }
    }

    /// A command of the shell.
    pub fn shell(command: &str) -> Result<Self, String> {
        Self::start(Command::new("sh").args(["-c", command]))
    }

    /// Its number.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Lets it end; returns its last line.
    pub fn stop(mut self) -> Result<String, String> {
        drop(self.child.stdin.take());
        let mut last = String::new();
        for line in (&mut self.output).lines() {
            last = line.map_err(|error| error.to_string())?;
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        match status.success() {
            true => Ok(last),
            false => Err(format!("what ran beside ended with {status}; {last}")),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It may be gone, which is as well.
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of this thread.
pub fn own_cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        spent.tv_sec.unsigned_abs(),
        u32::try_from(spent.tv_nsec).unwrap_or(0),
    )
}

/// What the threads of a process have had of processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// The time they had one, in the kernel and outside.
    pub had: Duration,
    /// The time they waited for one, having something to do: how long it takes
    /// to wake them, and what else ran there.
    pub waited: Duration,
}

impl Processor {
    /// What came to it since.
    pub const fn since(self, before: Self) -> Self {
        Self {
            had: self.had.saturating_sub(before.had),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

/// What all threads of a process have had of processors, to the nanosecond
/// where `stat` has ticks of ten milliseconds.
pub fn processor(process: u32) -> Option<Processor> {
    let mut sum = Processor::default();
    for thread in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        // A thread may have ended meanwhile.
        let Ok(text) = fs::read_to_string(thread.ok()?.path().join("schedstat")) else {
            continue;
        };
        let mut numbers = text.split(' ').map_while(|number| number.parse().ok());
        sum.had += Duration::from_nanos(numbers.next()?);
        sum.waited += Duration::from_nanos(numbers.next()?);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_beside_is_told_to_end_and_heard() {
        let beside = Beside::shell("echo ready; read -r line; echo 7 done").unwrap();
        assert_eq!(beside.ready, "ready");
        assert!(processor(beside.process()).is_some());
        assert_eq!(beside.stop().unwrap(), "7 done");
        let failing = Beside::shell("echo ready; exit 3").unwrap();
        assert!(failing.stop().unwrap_err().contains('3'));
        assert!(Beside::shell("exit 0").unwrap_err().contains("ready"));
    }

    #[test]
    fn processor_time_is_what_the_clock_says() {
        let (own, all) = (own_cpu_time(), processor(std::process::id()).unwrap());
        let mut sum = 0u64;
        while own_cpu_time() - own < Duration::from_millis(50) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let grown = processor(std::process::id()).unwrap().since(all);
        // The scheduler accounts a running thread at its ticks.
        assert!(grown.had >= Duration::from_millis(30), "{grown:?}");
    }
}
