//! Messages on their way between a socket and a connection, each with its
//! stream.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

use super::{DIAMETER_PPID, Parcel};
use crate::wire::{Deframed, deframe};

//----------- Inbox

/// Messages received and not yet handled. Parts are put together until a
/// message ends.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// All octets: those of the whole messages, then those of the incomplete
    /// one.
    octets: BytesMut,
    /// Length and stream of each whole message.
    messages: VecDeque<(usize, u16)>,
    /// Octets of the incomplete message at the end.
    partial: usize,
    /// Whether the incomplete message is too long, and was handed on cut.
    overlong: bool,
}

impl Inbox {
    /// Takes a message or the next part of one. One that grows beyond
    /// `len_max` is handed on as far as it came, for the connection to find
    /// broken, and the rest of it is dropped: no peer may make us hold more.
    pub(super) fn push(&mut self, octets: &[u8], stream: u16, ends: bool, len_max: usize) {
        if self.overlong {
            self.overlong = !ends;
            return;
        }
        self.octets.extend_from_slice(octets);
        self.partial += octets.len();
        let overlong = self.partial > len_max;
        if ends || overlong {
            self.messages.push_back((self.partial, stream));
            self.partial = 0;
            self.overlong = overlong && !ends;
        }
    }

    /// Drops the message that is incomplete: its rest will not come.
    pub(super) fn drop_partial(&mut self) {
        self.octets.truncate(self.octets.len() - self.partial);
        self.partial = 0;
        self.overlong = false;
    }

    /// The whole messages.
    pub(super) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.octets[..];
        self.messages.iter().map_while(move |(len, _)| {
            let (message, behind) = rest.split_at_checked(*len)?;
            rest = behind;
            Some(message)
        })
    }

    /// Removes the first message; returns its stream.
    pub(super) fn pop(&mut self) -> Option<u16> {
        let (len, stream) = self.messages.pop_front()?;
        self.octets.advance(len);
        Some(stream)
    }

    /// Octets of whole messages.
    pub(super) fn whole(&self) -> usize {
        self.octets.len() - self.partial
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives back its memory if nothing is in it.
    pub(super) fn relax(&mut self) {
        if self.octets.is_empty() && !self.overlong {
            self.clear();
        }
    }
}

//----------- Outbox

/// Messages composed and not yet taken by the socket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Their octets. Whoever composes appends here, and then says
    /// [`seal`](Self::seal).
    octets: BytesMut,
    /// Length and stream of each.
    messages: VecDeque<(usize, u16)>,
    /// Octets of all of `messages`.
    sealed: usize,
}

impl Outbox {
    /// Where to append whole messages; what is in it is not to be changed.
    pub(super) const fn octets(&mut self) -> &mut BytesMut {
        &mut self.octets
    }

    /// Takes what was appended since, up to where `octets` had the length `end`,
    /// for messages to be sent on `stream`. Each Diameter message must be one
    /// user message, so they are taken apart.
    pub(super) fn seal(&mut self, end: usize, stream: u16) {
        while let Some(rest) = self
            .octets
            .get(self.sealed..end)
            .filter(|rest| !rest.is_empty())
        {
            let len = match deframe(rest, usize::MAX) {
                Deframed::Message(message) => message.len(),
                // What we compose is whole; if it were not, no other way of
                // cutting it would be better.
                Deframed::Incomplete { .. } | Deframed::Broken(_) => rest.len(),
            };
            self.messages.push_back((len, stream));
            self.sealed += len;
        }
    }

    /// The first messages, as many as there are and `parcels` has room for,
    /// and how many that are.
    pub(super) fn fill<'a>(&'a self, parcels: &mut [Parcel<'a>]) -> usize {
        let mut rest = &self.octets[..];
        let mut filled = 0;
        for (parcel, (len, stream)) in parcels.iter_mut().zip(&self.messages) {
            let Some((octets, behind)) = rest.split_at_checked(*len) else {
                break;
            };
            *parcel = Parcel {
                octets,
                stream: *stream,
                ppid: DIAMETER_PPID,
            };
            rest = behind;
            filled += 1;
        }
        filled
    }

    /// Removes the first `sent` messages.
    pub(super) fn pop(&mut self, sent: usize) {
        for (len, _) in self.messages.drain(..sent.min(self.messages.len())) {
            self.octets.advance(len);
            self.sealed -= len;
        }
    }

    /// Octets of all messages.
    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether there is nothing to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives back its memory if nothing is in it.
    pub(super) fn relax(&mut self) {
        if self.is_empty() {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of `len` octets, of which only the header matters.
    fn message(len: u8) -> Vec<u8> {
        let mut message = vec![0; usize::from(len)];
        message[0] = 1;
        message[3] = len;
        message
    }

    /// The whole messages.
    fn messages(inbox: &Inbox) -> Vec<&str> {
        let messages = inbox.messages().map(std::str::from_utf8);
        messages.map(Result::unwrap).collect()
    }

    #[test]
    fn parts_make_a_message() {
        let mut inbox = Inbox::default();
        inbox.push(b"one", 3, true, 100);
        inbox.push(b"tw", 5, false, 100);
        assert_eq!((messages(&inbox), inbox.whole()), (vec!["one"], 3));
        inbox.push(b"o", 5, true, 100);
        assert_eq!((messages(&inbox), inbox.whole()), (vec!["one", "two"], 6));
        assert_eq!(inbox.pop(), Some(3));
        assert_eq!(messages(&inbox), ["two"]);
        assert_eq!(inbox.pop(), Some(5));
        assert_eq!((messages(&inbox), inbox.whole()), (vec![], 0));
        assert_eq!(inbox.pop(), None);
    }

    #[test]
    fn a_message_that_will_not_end_is_dropped() {
        let mut inbox = Inbox::default();
        inbox.push(b"one", 0, true, 100);
        inbox.push(b"tw", 0, false, 100);
        inbox.drop_partial();
        inbox.push(b"three", 0, true, 100);
        assert_eq!(messages(&inbox), ["one", "three"]);
    }

    #[test]
    fn no_more_is_held_than_the_limit_and_a_part() {
        let mut inbox = Inbox::default();
        for _ in 0..1000 {
            inbox.push(&[0; 10], 0, false, 25);
        }
        assert_eq!(inbox.whole(), 30);
        assert_eq!(inbox.octets.len(), 30);
        inbox.push(&[0; 10], 0, true, 25);
        inbox.push(b"next", 0, true, 25);
        inbox.pop();
        assert_eq!(messages(&inbox), ["next"]);
    }

    #[test]
    fn each_diameter_message_is_a_user_message() {
        let mut outbox = Outbox::default();
        outbox.octets().extend_from_slice(&message(20));
        outbox.octets().extend_from_slice(&message(24));
        outbox.octets().extend_from_slice(&message(28));
        outbox.seal(44, 7);
        outbox.seal(44, 9);
        outbox.seal(72, 0);
        let mut parcels = [Parcel::EMPTY; 4];
        assert_eq!(outbox.fill(&mut parcels), 3);
        let shape = |parcel: &Parcel<'_>| (parcel.octets.len(), parcel.stream, parcel.ppid);
        let shapes: Vec<_> = parcels[..3].iter().map(shape).collect();
        assert_eq!(shapes, [(20, 7, 46), (24, 7, 46), (28, 0, 46)]);
        outbox.pop(2);
        let mut parcels = [Parcel::EMPTY; 1];
        assert_eq!(outbox.fill(&mut parcels), 1);
        assert_eq!(shape(&parcels[0]), (28, 0, 46));
        outbox.pop(1);
        assert!(outbox.is_empty());
    }
}
