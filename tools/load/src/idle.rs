//! Connections that are open and ask nothing.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::address::Address;
use crate::link::{Link, Peer};
use crate::script::Script;
use crate::tls::Credentials;

/// The token of the end of standard input.
const END: Token = Token(usize::MAX - 1);

/// The number of the first peer: beside those that ask.
const FIRST: usize = 100_000;

/// Opens connections, says so, and answers their watchdogs until standard input
/// ends; returns how many were still open then.
///
/// # Errors
///
/// When a connection cannot be made.
pub fn run(
    address: &Address,
    credentials: &Credentials,
    script: &Script,
    connections: usize,
) -> Result<usize, String> {
    let failed = |error: io::Error| error.to_string();
    let mut poll = Poll::new().map_err(failed)?;
    let mut links = Vec::with_capacity(connections);
    for place in 0..connections {
        let number = FIRST + place;
        let link = Link::connect(address, credentials, Peer::Diameter, script, number, 1)?;
        poll.registry()
            .register(
                &mut SourceFd(&link.stream.as_raw_fd()),
                Token(place),
                Interest::READABLE,
            )
            .map_err(failed)?;
        links.push(Some(link));
    }
    println!("{connections} connections are open");
    let ended = Arc::new(AtomicBool::new(false));
    let waker = Waker::new(poll.registry(), END).map_err(failed)?;
    let says = ended.clone();
    thread::spawn(move || {
        when_input_ends();
        says.store(true, Ordering::Release);
        let _ = waker.wake();
    });
    let mut events = Events::with_capacity(1024);
    while !ended.load(Ordering::Acquire) {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(failed)?,
        }
        for event in events.iter().filter(|event| event.token() != END) {
            let slot = &mut links[event.token().0];
            let Some(link) = slot else { continue };
            if serve(link, script).is_err() {
                *slot = None;
            }
        }
    }
    Ok(links.iter().flatten().count())
}

/// Answers what the server asks.
fn serve(link: &mut Link, script: &Script) -> io::Result<()> {
    loop {
        let more = link.receive()?;
        link.check(script, |_, _| {})?;
        if !more {
            return link.send();
        }
    }
}

/// Waits for the end of standard input.
pub fn when_input_ends() {
    let mut input = io::stdin().lock();
    let mut some = [0; 64];
    while matches!(input.read(&mut some), Ok(1..)) {}
}
