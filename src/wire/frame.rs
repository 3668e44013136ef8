//! Framing: where one message ends and the next begins in a byte stream.
//!
//! The decision needs the first four octets only (Version and Message Length)
//! and keeps no state, so a message that trickles in octet by octet costs no
//! re-scan. A stream has no point at which it could be resynchronised: once
//! the boundary is lost, the connection must be aborted (RFC 6733 section 2.1).

use core::fmt;

use super::header::{HEADER_LEN, VERSION};
use super::message::Message;
use super::octets::{Parsed, chunk, octet_and_u24};

/// What stands at the beginning of a received buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deframed<'a> {
    /// Not a whole message yet. `needed` is how many octets the buffer must
    /// hold before it makes sense to try again.
    Incomplete {
        /// Octets from the beginning of the buffer, at least one more than
        /// there are.
        needed: usize,
    },
    /// One whole message, which took `Message::len` octets.
    Message(Message<'a>),
    /// No message can begin like this.
    Broken(BrokenFrame),
}

/// Why a message boundary was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenFrame {
    /// The Version is not 1: whatever speaks here, it is not Diameter.
    Version(u8),
    /// Message Length is shorter than a header.
    TooShort(u32),
    /// Message Length is not a multiple of four.
    Unaligned(u32),
    /// Message Length is above the configured limit.
    TooLong {
        /// The Message Length received.
        length: u32,
        /// The limit in force.
        limit: usize,
    },
    /// A user message (SCTP) holds more or fewer octets than its Message
    /// Length says.
    Boundary {
        /// The Message Length received.
        length: u32,
        /// Octets of the user message.
        received: usize,
    },
}

impl fmt::Display for BrokenFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "Diameter version {version} instead of 1"),
            Self::TooShort(length) => {
                write!(
                    f,
                    "Message Length {length}, shorter than a header of {HEADER_LEN}"
                )
            }
            Self::Unaligned(length) => {
                write!(f, "Message Length {length}, not a multiple of 4")
            }
            Self::TooLong { length, limit } => {
                write!(f, "Message Length {length}, above the limit of {limit}")
            }
            Self::Boundary { length, received } => {
                write!(
                    f,
                    "Message Length {length} in a user message of {received} octets"
                )
            }
        }
    }
}

/// Finds the message at the beginning of `buffer`.
///
/// `limit` is the largest Message Length accepted. A broken length is reported
/// as soon as its four octets are there, before any of the message is
/// buffered.
#[inline]
#[must_use]
pub fn deframe(buffer: &[u8], limit: usize) -> Deframed<'_> {
    let Ok((_, (version, length))) = version_and_length(buffer) else {
        return Deframed::Incomplete { needed: HEADER_LEN };
    };
    if version != VERSION {
        return Deframed::Broken(BrokenFrame::Version(version));
    }
    let len = match usize::try_from(length) {
        Ok(len) if len > limit => {
            return Deframed::Broken(BrokenFrame::TooLong { length, limit });
        }
        Ok(len) if len < HEADER_LEN => return Deframed::Broken(BrokenFrame::TooShort(length)),
        Ok(len) if len % 4 != 0 => return Deframed::Broken(BrokenFrame::Unaligned(length)),
        Ok(len) => len,
        Err(_) => return Deframed::Broken(BrokenFrame::TooLong { length, limit }),
    };
    let Some((frame, _)) = buffer.split_at_checked(len) else {
        return Deframed::Incomplete { needed: len };
    };
    Deframed::Message(Message::new(frame))
}

/// Takes `received`, one user message of a transport that keeps boundaries
/// (SCTP), as one Diameter message.
///
/// # Errors
///
/// [`BrokenFrame`] when it is not exactly one message.
pub fn whole(received: &[u8], limit: usize) -> Result<Message<'_>, BrokenFrame> {
    match deframe(received, limit) {
        Deframed::Message(message) if message.len() == received.len() => Ok(message),
        Deframed::Message(message) => Err(BrokenFrame::Boundary {
            length: message.header().length,
            received: received.len(),
        }),
        Deframed::Incomplete { needed } => Err(BrokenFrame::Boundary {
            length: u32::try_from(needed).unwrap_or(u32::MAX),
            received: received.len(),
        }),
        Deframed::Broken(broken) => Err(broken),
    }
}

/// The first four octets of a message.
#[inline]
fn version_and_length(input: &[u8]) -> Parsed<'_, (u8, u32)> {
    let (rest, octets) = chunk(input)?;
    Ok((rest, octet_and_u24(u32::from_be_bytes(*octets))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64;

    fn start(version: u8, length: u32) -> [u8; 4] {
        let [_, a, b, c] = length.to_be_bytes();
        [version, a, b, c]
    }

    #[test]
    fn waits_for_a_whole_message() {
        assert_eq!(deframe(&[], LIMIT), Deframed::Incomplete { needed: 20 });
        assert_eq!(
            deframe(&[1, 0, 0], LIMIT),
            Deframed::Incomplete { needed: 20 }
        );
        assert_eq!(
            deframe(&start(1, 64), LIMIT),
            Deframed::Incomplete { needed: 64 }
        );
    }

    #[test]
    fn breaks_on_what_cannot_be_a_message() {
        let cases = [
            (start(0, 20), BrokenFrame::Version(0)),
            (start(2, 20), BrokenFrame::Version(2)),
            (start(1, 0), BrokenFrame::TooShort(0)),
            (start(1, 16), BrokenFrame::TooShort(16)),
            (start(1, 22), BrokenFrame::Unaligned(22)),
            (
                start(1, 68),
                BrokenFrame::TooLong {
                    length: 68,
                    limit: LIMIT,
                },
            ),
            (
                start(1, 0xff_ffff),
                BrokenFrame::TooLong {
                    length: 0xff_ffff,
                    limit: LIMIT,
                },
            ),
        ];
        for (bytes, want) in cases {
            assert_eq!(deframe(&bytes, LIMIT), Deframed::Broken(want), "{bytes:?}");
        }
    }

    #[test]
    fn finds_the_first_of_two() {
        let mut bytes = [0; 48];
        bytes[..4].copy_from_slice(&start(1, 24));
        bytes[24..28].copy_from_slice(&start(1, 24));
        let Deframed::Message(message) = deframe(&bytes, LIMIT) else {
            panic!("a whole message is there");
        };
        assert_eq!(message.len(), 24);
        assert_eq!(message.bytes(), &bytes[..24]);
    }

    #[test]
    fn a_user_message_is_exactly_one_message() {
        let mut bytes = [0; 24];
        bytes[..4].copy_from_slice(&start(1, 20));
        assert!(whole(&bytes[..20], LIMIT).is_ok());
        let longer = BrokenFrame::Boundary {
            length: 20,
            received: 24,
        };
        assert_eq!(whole(&bytes, LIMIT).unwrap_err(), longer);
        let shorter = BrokenFrame::Boundary {
            length: 20,
            received: 8,
        };
        assert_eq!(whole(&bytes[..8], LIMIT).unwrap_err(), shorter);
    }
}
