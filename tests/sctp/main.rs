//! Diameter over the kernel's SCTP: sockets, the server behind them, and paths
//! that fail.
//!
//! On a kernel without SCTP the tests pass without having been run, and say so
//! once; with SCTP_VM=1, as `tools/sctp-vm` sets it, that is a failure:
//!
//! ```text
//! CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='tools/sctp-vm --timeout 300 --' \
//!     cargo test --test sctp
//! ```

mod commands;
#[path = "../server/harness.rs"]
#[allow(dead_code, reason = "what the tests over TCP use, too")]
mod harness;
mod paths;
mod peer;
mod server;
mod sockets;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::sync::Once;

/// Whether there is SCTP to be tested.
fn has_sctp() -> bool {
    let has = weir::net::sctp::is_available();
    if !has {
        skipped("this kernel has no SCTP");
    }
    has
}

/// Says that tests were left out, and why; fails where none may be.
fn skipped(why: &str) {
    static SAID: Once = Once::new();
    let demanded = std::env::var_os("SCTP_VM").is_some_and(|value| value == "1");
    assert!(!demanded, "SCTP_VM=1, but {why}");
    // Past the capture of what tests print.
    SAID.call_once(|| {
        let line = format!("SKIPPED: {why}; see tools/sctp-vm\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    });
}

/// Leaves a test where there is no SCTP.
macro_rules! need_sctp {
    () => {
        if !crate::has_sctp() {
            return;
        }
    };
}
pub(crate) use need_sctp;
