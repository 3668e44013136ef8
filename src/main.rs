//! The `weir` command: arguments, one call, exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use weir::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            // Not eprintln!, which panics if nobody reads on.
            let _ = writeln!(io::stderr(), "weir: {failed}");
            ExitCode::from(failed.exit_code())
        }
    }
}
