//! A whole connection: the input in pieces of any size must have the same
//! effect as in one piece, each answer must fit its request, in order, and
//! nothing but whole, sound messages may be written.
//!
//! The first octet of the input says how it is cut and whether a good CER goes
//! before it; the rest is what the peer sends.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use weir::base::capabilities;
use weir::base::disconnect::DisconnectCause;
use weir::base::node::Node;
use weir::base::peer::State;
use weir::connection::{Connection, Decision, Ending};
use weir::policy::Rulebook;
use weir::time::{Now, UnixTime, Uptime};
use weir::wire::compose::HostAddress;

/// The address of every interface.
const ADDRESSES: [HostAddress; 1] = [HostAddress::V4([127, 0, 0, 1])];
/// When all input arrives.
const NOW: Now = Now {
    uptime: Uptime(Duration::from_secs(100)),
    unix: UnixTime(1_767_225_600),
};
/// Timers that are let run out at the end: enough for any state to end.
const TIMEOUTS: usize = 16;

static NODE: LazyLock<Arc<Node>> = LazyLock::new(|| Arc::new(weir_fuzz::node()));
static RULEBOOK: LazyLock<Rulebook> = LazyLock::new(weir_fuzz::rulebook);
static CER: LazyLock<BytesMut> = LazyLock::new(|| {
    let mut out = BytesMut::new();
    capabilities::compose_request(&mut out, &NODE, (1, 2), &ADDRESSES);
    out
});

fuzz_target!(|data: &[u8]| {
    let Some((&how, rest)) = data.split_first() else {
        return;
    };
    let mut input = Vec::new();
    if how & 1 == 0 {
        input.extend_from_slice(&CER);
    }
    input.extend_from_slice(rest);

    let mut whole = Peer::new();
    whole.send(&input);
    let mut parts = Peer::new();
    // From octet by octet to pieces that hold several messages.
    let size = usize::from(how >> 1).max(1).pow(2).min(1500);
    for part in input.chunks(size) {
        parts.send(part);
    }
    assert_eq!(whole.outcome(), parts.outcome());

    let requests: Vec<_> = weir_fuzz::received(&input)
        .into_iter()
        .filter(|message| weir_fuzz::is_request(message))
        .collect();
    let answers = weir_fuzz::messages(&whole.written);
    assert!(
        answers.len() <= requests.len(),
        "an answer that nobody asked for"
    );
    for (request, answer) in requests.iter().zip(&answers) {
        weir_fuzz::assert_answers(request, answer);
    }
    if whole.connection.state() == State::Open {
        assert_eq!(answers.len(), requests.len(), "a request without an answer");
    }
    whole.outlive(how);
});

/// A connection with what was received and not consumed, and what it wrote.
struct Peer {
    connection: Connection,
    pending: Vec<u8>,
    written: Vec<u8>,
}

impl Peer {
    fn new() -> Self {
        Self {
            connection: Connection::new(Arc::clone(&NODE), &ADDRESSES, 1, NOW.uptime),
            pending: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Receives octets, as a shell would hand them in.
    fn send(&mut self, octets: &[u8]) {
        self.pending.extend_from_slice(octets);
        loop {
            let mut out = BytesMut::new();
            let consumed =
                self.connection
                    .handle_input(NOW, &self.pending, &RULEBOOK, &mut out, &mut ());
            self.pending.drain(..consumed);
            self.written.extend_from_slice(&out);
            let claimed = self.connection.claim().is_some();
            if claimed {
                self.connection.resolve_claim(Decision::Granted);
            }
            if consumed == 0 && out.is_empty() && !claimed {
                return;
            }
        }
    }

    /// All that may not depend on how the input was cut. Where the connection
    /// ended, what was left unread may.
    fn outcome(&self) -> (&[u8], Option<Ending>, State, Option<&[u8]>) {
        let ending = self.connection.ending();
        let pending = ending.is_none().then_some(self.pending.as_slice());
        (&self.written, ending, self.connection.state(), pending)
    }

    /// Lets time pass until the connection ends.
    fn outlive(&mut self, how: u8) {
        let mut out = BytesMut::new();
        if how & 2 == 0 {
            self.connection
                .begin_disconnect(DisconnectCause::REBOOTING, NOW.uptime, &mut out);
        }
        for _ in 0..TIMEOUTS {
            if self.connection.ending().is_some() {
                break;
            }
            let Some(due) = self.connection.next_timeout() else {
                break;
            };
            self.connection.handle_timeout(due, &mut out);
        }
        assert!(
            self.connection.ending().is_some(),
            "a silent peer is kept for ever"
        );
        for message in weir_fuzz::messages(&out) {
            weir_fuzz::assert_sound(message);
            assert!(weir_fuzz::is_request(message));
        }
    }
}
