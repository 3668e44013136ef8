//! A received message: its header, and its AVPs parsed as one asks for them.

use super::avp::Avps;
use super::header::Header;

/// A view of one complete message. Made only by [`deframe`](super::deframe),
/// so the frame is whole and its header has been read; the AVPs may still be
/// broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The parsed header.
    header: Header,
    /// The whole message.
    frame: &'a [u8],
    /// What follows the header.
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Joins a frame with its parsed header and the octets behind that.
    pub(super) const fn new(header: Header, frame: &'a [u8], body: &'a [u8]) -> Self {
        Self {
            header,
            frame,
            body,
        }
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
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
    pub const fn avps(&self) -> Avps<'a> {
        Avps::top(self.body)
    }
}
