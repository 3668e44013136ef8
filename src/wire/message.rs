//! A received message: its header, and its AVPs parsed as one asks for them.

use super::avp::Avps;
use super::header::{HEADER_LEN, Header};

/// A view of one complete message. Made only by [`deframe`](super::deframe),
/// so the frame is whole; the AVPs may still be broken. The header is read as
/// one asks for it, which leaves the view small enough to be handed around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The whole message, at least a header.
    frame: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message that fills a frame of at least [`HEADER_LEN`] octets.
    pub(super) const fn new(frame: &'a [u8]) -> Self {
        Self { frame }
    }

    /// The header.
    #[inline(always)]
    #[must_use]
    pub fn header(&self) -> Header {
        match self.frame.first_chunk() {
            Some(octets) => Header::parse(octets),
            // Never: the frame has a header.
            None => Header::parse(&[0; HEADER_LEN]),
        }
    }

    /// Octets of the whole message.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a message is never empty")]
    pub const fn len(&self) -> usize {
        self.frame.len()
    }

    /// The whole message as received.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.frame
    }

    /// The AVPs of the first level, in order.
    #[must_use]
    pub fn avps(&self) -> Avps<'a> {
        Avps::top(self.frame.get(HEADER_LEN..).unwrap_or_default())
    }
}
