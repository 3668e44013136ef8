//! One connection in virtual time: handshake, watchdog, disconnect, limits,
//! and the same from the side that calls.
//!
//! Times are checked against RFC 3539 section 3.4.1: Tw is 30 s, and every
//! arming of the timer adds up to 2 s either way.

#[path = "../support/mod.rs"]
mod support;

mod disconnect;
mod framing;
mod handshake;
mod initiator;
mod watchdog;

use core::time::Duration;

use support::{Bench, Read};
use weir::connection::{EndReason, Ending};

/// So many seconds.
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// An orderly ending for this reason.
pub const fn closed(reason: EndReason) -> Option<Ending> {
    Some(Ending {
        abort: false,
        reason,
    })
}

/// Reads what was composed, and returns the Command Codes, negative for
/// answers.
pub fn codes(messages: &[Vec<u8>]) -> Vec<i64> {
    messages
        .iter()
        .map(|message| {
            let read = Read::strictly(message).expect("a sound message");
            let code = i64::from(read.command);
            if read.flags & 0x80 == 0 { -code } else { code }
        })
        .collect()
}

/// The Result-Code of the only message composed.
pub fn only_result(bench: &mut Bench) -> Option<u32> {
    let messages = bench.taken();
    assert_eq!(messages.len(), 1);
    Read::strictly(&messages[0]).expect("sound").result_code()
}
