//! One message: the codec against a naive reading, and every reader and writer
//! of a command; each answer must be sound and fit its request.
#![no_main]

use std::sync::LazyLock;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use weir::base::answer::Envelope;
use weir::base::node::Node;
use weir::base::{capabilities, disconnect, watchdog};
use weir::s13::form::FORM_LEN_MAX;
use weir::s13::{EquipmentStatus, Forms, IdentityCheckRequest, answer};
use weir::wire::{AvpFlags, Avps, DEFAULT_MESSAGE_LEN_MAX, Deframed, Message, deframe};

static NODE: LazyLock<Node> = LazyLock::new(weir_fuzz::node);

fuzz_target!(|data: &[u8]| {
    let Deframed::Message(message) = deframe(data, DEFAULT_MESSAGE_LEN_MAX) else {
        return;
    };
    assert_eq!(message.bytes(), &data[..message.len()]);
    compare(message.avps(), &message.bytes()[20..]);
    if message.header().is_request() {
        answers(&message);
        forms(&message);
    }
});

/// What is read by the form of a request is what is read in full: of the
/// request itself, and of those that differ from it in an octet.
fn forms(message: &Message<'_>) {
    let node = &*NODE;
    let mut learned = Forms::default();
    if learned.read(message, node).is_err() || message.len() > FORM_LEN_MAX {
        return;
    }
    let mut octets = message.bytes().to_vec();
    for place in 0..octets.len() {
        let before = octets[place];
        // Another octet of the input says what it becomes.
        octets[place] ^= octets[place * 7 % octets.len()];
        if let Deframed::Message(message) = deframe(&octets, DEFAULT_MESSAGE_LEN_MAX) {
            let full = IdentityCheckRequest::read(&message, node);
            assert_eq!(learned.clone().read(&message, node), full);
        }
        octets[place] = before;
    }
}

/// Both readings find the same AVPs, also inside whatever may be a group.
fn compare(avps: Avps<'_>, octets: &[u8]) {
    let (naive, broken) = weir_fuzz::avps(octets);
    let ours: Vec<_> = avps.collect();
    assert_eq!(ours.len(), naive.len() + usize::from(broken));
    assert_eq!(ours.last().is_some_and(Result::is_err), broken);
    for (ours, naive) in ours.iter().zip(&naive) {
        let Ok(ours) = ours else {
            panic!("broken where the naive reading goes on");
        };
        assert_eq!(
            (
                ours.key().code.0,
                ours.key().vendor.0,
                ours.flags(),
                ours.data()
            ),
            (naive.code, naive.vendor, AvpFlags(naive.flags), naive.data)
        );
        if let Some(members) = ours.members() {
            compare(members, naive.data);
        }
    }
}

/// Reads the request as every command in turn and answers it.
fn answers(message: &Message<'_>) {
    let node = &*NODE;
    let judge = |write: &dyn Fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        write(&mut out);
        let answers = weir_fuzz::messages(&out);
        assert_eq!(answers.len(), 1, "one answer to one request");
        weir_fuzz::assert_answers(message.bytes(), answers[0]);
    };
    let capabilities = capabilities::Capabilities::read(message).and_then(|read| read.negotiate());
    judge(&|out| capabilities::answer(message, node, &[], capabilities, out));
    judge(&|out| watchdog::answer(message, node, out));
    let _ = disconnect::read_request(message);
    match IdentityCheckRequest::read(message, node) {
        Ok(request) => {
            for status in [None, Some(EquipmentStatus::BLACKLISTED)] {
                judge(&|out| answer::compose(out, node, &request, status));
            }
            let fault = request.invalid_imei();
            judge(&|out| {
                answer::compose_fault(
                    out,
                    node,
                    request.envelope(),
                    &fault,
                    request.overload_control(),
                );
            });
        }
        Err(fault) => {
            judge(&|out| answer::compose_fault(out, node, Envelope::of(message), &fault, false));
        }
    }
}
