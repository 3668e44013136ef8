//! The commands of `weir`, one file each.

pub mod change;
pub mod check;
pub mod compile;
pub mod config;
pub mod diff;
pub mod explain;
pub mod inspect;
pub mod replay;
pub mod rollback;
pub mod serve;
pub mod transport;
mod workers;

use std::io::{self, Write};
use std::path::Path;

use tokio::runtime::{Builder, Runtime};

use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::config::Config;
use crate::error::Failed;

/// An Equipment Identity Register for LTE cores: answers MMEs and SGSNs over
/// Diameter S13 whether a phone may attach.
#[derive(Clone, Debug, Parser)]
#[command(name = "weir", version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to try first.
const EXAMPLES: &str = "\
Examples:
  weir serve                           a server with a built-in register of test IMEIs
  weir check 490154203237518           asks it, from a second shell
  weir explain 490154203237518         says why, without a server
  weir config > weir.toml              the configuration to begin with

Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Ask a server about one IMEI over S13.
    Check(check::CheckArgs),
    /// Show step by step how a verdict is reached, from the lists and without
    /// a server.
    Explain(explain::ExplainArgs),
    /// Show whose verdict would change from one configuration or list to
    /// another, before it is used.
    Diff(diff::DiffArgs),
    /// Compile the lists into a snapshot file, which a server reads at once.
    Compile(compile::CompileArgs),
    /// Show what is in a snapshot, and where it comes from.
    Inspect(inspect::InspectArgs),
    /// Check that a snapshot is as it was written, to the last bit.
    Verify(inspect::VerifyArgs),
    /// Feed the requests of a packet capture through the EIR, or to a server,
    /// and show where the answers differ from the recorded ones.
    Replay(replay::ReplayArgs),
    /// Change what a list says of single devices, at once.
    Change(change::ChangeArgs),
    /// Put the lists, or the snapshot, back that were in force last, or before.
    Rollback(rollback::RollbackArgs),
    /// Print the commented default configuration, or check one.
    Config(config::ConfigArgs),
}

impl Cli {
    /// Carries the command out.
    ///
    /// # Errors
    ///
    /// What went wrong, complete and to be printed as it is.
    pub fn run(&self) -> Result<(), Failed> {
        let mut out = io::stdout().lock();
        match &self.command {
            Command::Serve(args) => {
                drop(out);
                args.run()
            }
            Command::Check(args) => args.run(&mut out),
            Command::Explain(args) => args.run(&mut out),
            Command::Diff(args) => args.run(&mut out),
            Command::Compile(args) => args.run(&mut out),
            Command::Inspect(args) => args.run(&mut out),
            Command::Verify(args) => args.run(&mut out),
            Command::Replay(args) => args.run(&mut out),
            Command::Change(args) => args.run(&mut out),
            Command::Rollback(args) => args.run(&mut out),
            Command::Config(args) => args.run(&mut out),
        }
    }
}

/// The configuration of a file, or the built-in one with its sample register.
fn configuration(path: Option<&Path>) -> Result<Config, Failed> {
    Ok(match path {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    })
}

/// A runtime of the present thread.
fn runtime() -> Result<Runtime, Failed> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failed::new(format!("cannot start: {error}")))
}

/// Runs a future to its end, and waits for nothing that it has left behind: the
/// system may go on looking for a name for as long as its name servers are
/// silent, and cannot be told to stop.
fn complete<F: Future>(runtime: Runtime, future: F) -> F::Output {
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    output
}

/// Prints a value as JSON.
fn print_json(out: &mut impl Write, value: &impl Serialize) -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failed::new(format!("the result cannot be printed: {error}")))?;
    printed(writeln!(out, "{text}"))
}

/// The end of printing: that nobody reads on is no failure.
fn printed(result: io::Result<()>) -> Result<(), Failed> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failed::new(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// A number in groups of three digits, as people read it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn digits_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (99_999_998_999_999, "99,999,998,999,999"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
    use std::time::Duration;

    /// A lookup of a name that hangs is the same: a thread that cannot be
    /// stopped.
    #[test]
    fn the_end_does_not_wait_for_what_cannot_be_stopped() {
        let (release, released) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel();
        let (done, ends) = mpsc::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().build().unwrap();
            let output = complete(runtime, async {
                tokio::task::spawn_blocking(move || {
                    started.send(()).unwrap();
                    released.recv()
                });
                starts.recv().unwrap();
                7
            });
            done.send(output).unwrap();
        });
        assert_eq!(ends.recv_timeout(Duration::from_secs(10)), Ok(7));
        drop(release);
    }
}
