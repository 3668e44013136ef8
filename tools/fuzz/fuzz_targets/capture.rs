//! A capture file: read or refused with an error that can be printed, never a
//! panic; what is taken for a message is one, as long as it says and from a
//! frame that there is; and how the file's octets arrive changes nothing.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use weir::capture::{Options, read_from};

fuzz_target!(|data: &[u8]| {
    let options = Options::default();
    let whole = read_from(data, &options);
    let trickle = read_from(Trickle(data), &options);
    let (capture, again) = match (whole, trickle) {
        (Ok(capture), Ok(again)) => (capture, again),
        (Err(fault), Err(again)) => return assert_eq!(fault.to_string(), again.to_string()),
        (whole, trickle) => panic!("{whole:?} in one piece, {trickle:?} octet by octet"),
    };
    assert_eq!(capture.messages, again.messages);
    assert_eq!(capture.flows, again.flows);
    let carried: usize = capture
        .messages
        .iter()
        .map(|message| message.bytes.len())
        .sum();
    assert!(
        carried <= data.len(),
        "more octets of messages than of file"
    );
    for message in &capture.messages {
        assert_eq!(
            weir_fuzz::received(&message.bytes),
            [message.bytes.as_slice()]
        );
        assert!((1..=capture.frames).contains(&message.frame));
        assert!(capture.flow(message.flow).is_some());
    }
    for warning in &capture.warnings {
        assert!(!warning.to_string().is_empty());
    }
});

/// A source that gives one octet at a time.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match (self.0.split_first(), buffer.first_mut()) {
            (Some((octet, rest)), Some(place)) => {
                *place = *octet;
                self.0 = rest;
                Ok(1)
            }
            _ => Ok(0),
        }
    }
}
