//! What batches are worth: an ignored test that prints times and packets.

use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::layout::{ReceiveControl, SendControl};
use super::socket::is_available;
use super::sys::{self, BATCH_MAX, Outgoing, Slot};
use crate::net::Clock;

/// Rounds of each way in turn.
const ROUNDS: usize = 300;

/// Octets of a usual request.
const LEN: usize = 300;

/// Two connected sockets that do not block.
fn pair() -> (Socket, Socket) {
    let protocol = Protocol::from(libc::IPPROTO_SCTP);
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(protocol)).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(1).unwrap();
    let client = Socket::new(Domain::IPV4, Type::STREAM, Some(protocol)).unwrap();
    for socket in [&client, &listener] {
        use super::layout::{ON, SocketOption};
        sys::set_option(socket.as_fd(), SocketOption::NoDelay, &ON).unwrap();
        sys::set_option(socket.as_fd(), SocketOption::ReceiveInfo, &ON).unwrap();
    }
    client.connect(&listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

#[test]
#[ignore = "prints figures, for tools/sctp-vm or a kernel with SCTP"]
fn batches_against_one_by_one() {
    assert!(is_available());
    let (client, server) = pair();
    let clock = Clock::start();
    let timed = |work: &mut dyn FnMut()| {
        let before = clock.now().uptime;
        work();
        clock.now().uptime.since(before)
    };
    let octets = [7; LEN];
    let control = SendControl::new(0, 46);
    let batch = [Outgoing {
        octets: &octets,
        control,
    }; BATCH_MAX];
    let (tx, rx) = (client.as_fd(), server.as_fd());
    let mut buffer = vec![0; 2048 * BATCH_MAX];
    let mut controls = [ReceiveControl::default(); BATCH_MAX];
    let mut slots = [Slot::default(); BATCH_MAX];
    // Sending: one by one, all at once, all at once and bundled; receiving:
    // one by one, all at once.
    let mut sending = [Duration::ZERO; 3];
    let mut receiving = [Duration::ZERO; 2];
    for round in 0..ROUNDS * 6 {
        let (way, take) = (round % 3, round % 2);
        sending[way] += timed(&mut || {
            let mut rest = &batch[..];
            while !rest.is_empty() {
                let sent = match way {
                    0 => sys::send_one(tx, &rest[0], false).map(|()| 1),
                    1 => sys::send_many(tx, rest, false),
                    _ if rest.len() > 1 => sys::send_many(tx, &rest[..rest.len() - 1], true),
                    _ => sys::send_one(tx, &rest[0], false).map(|()| 1),
                };
                rest = &rest[sent.unwrap_or(0)..];
            }
        });
        let mut received = 0;
        while received < BATCH_MAX {
            receiving[take] += timed(&mut || {
                received += match take {
                    0 => {
                        sys::receive_one(rx, &mut buffer[..2048], &mut controls[0]).map_or(0, |_| 1)
                    }
                    _ => sys::receive_many(rx, &mut buffer, 2048, &mut controls, &mut slots)
                        .unwrap_or(0),
                };
            });
        }
    }
    let each = |sum: Duration, rounds: usize| sum.as_secs_f64() * 1e6 / (rounds * BATCH_MAX) as f64;
    println!("microseconds a message of {LEN} octets, batches of {BATCH_MAX}:");
    for (way, sum) in ["sendmsg", "sendmmsg", "sendmmsg, bundled"]
        .iter()
        .zip(sending)
    {
        println!("  {way:20} {:8.2}", each(sum, ROUNDS * 2));
    }
    for (way, sum) in ["recvmsg", "recvmmsg"].iter().zip(receiving) {
        println!("  {way:20} {:8.2}", each(sum, ROUNDS * 3));
    }
}
