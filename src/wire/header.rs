//! The Diameter header (RFC 6733 section 3): 20 octets, network byte order.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+-----------------------------------------------+
//! |    Version    |                Message Length                 |
//! +---------------+-----------------------------------------------+
//! |R P E T r r r r|                 Command Code                  |
//! +---------------+-----------------------------------------------+
//! |                        Application-ID                         |
//! +---------------------------------------------------------------+
//! |                     Hop-by-Hop Identifier                     |
//! +---------------------------------------------------------------+
//! |                     End-to-End Identifier                     |
//! +---------------------------------------------------------------+
//! ```

use super::code::{ApplicationId, CommandCode, CommandFlags};
use super::octets::{halves, octet_and_u24, u24};

/// Octets of a Diameter header.
pub const HEADER_LEN: usize = 20;

/// The only protocol version there is.
pub const VERSION: u8 = 1;

/// A Diameter header, without the Version, which is always [`VERSION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Message Length: octets of the whole message, header and padding
    /// included.
    pub length: u32,
    /// Command Flags.
    pub flags: CommandFlags,
    /// Command Code.
    pub command: CommandCode,
    /// Application-ID.
    pub application: ApplicationId,
    /// Pairs an answer with its request on one connection.
    pub hop_by_hop: u32,
    /// Recognises a request sent twice; agents keep it.
    pub end_to_end: u32,
}

impl Header {
    /// Whether the R bit is set.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.flags.contains(CommandFlags::REQUEST)
    }

    /// The header of the answer to this request: same identifiers, command and
    /// application, the request's P bit, never the T bit (RFC 6733 section
    /// 6.2). The length is left to the composer.
    #[must_use]
    pub const fn answer(&self, error: bool) -> Self {
        let proxiable = CommandFlags(self.flags.0 & CommandFlags::PROXIABLE.0);
        let flags = if error {
            proxiable.with(CommandFlags::ERROR)
        } else {
            proxiable
        };
        Self {
            length: 0,
            flags,
            ..*self
        }
    }

    /// Reads the 20 octets of a header; the Version is left out.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn parse(octets: &[u8; HEADER_LEN]) -> Self {
        // Read by words, each with one load.
        let &[a, b, c, d, e, f, g, h, ref octets @ ..] = octets;
        let (first, second) = halves(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        let &[a, b, c, d, e, f, g, h, ref octets @ ..] = octets;
        let (application, hop_by_hop) = halves(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        let (_, length) = octet_and_u24(first);
        let (flags, command) = octet_and_u24(second);
        Self {
            length,
            flags: CommandFlags(flags),
            command: CommandCode(command),
            application: ApplicationId(application),
            hop_by_hop,
            end_to_end: u32::from_be_bytes(*octets),
        }
    }

    /// The 20 octets of this header, its length as it stands.
    #[inline]
    #[must_use]
    pub fn compose(&self) -> [u8; HEADER_LEN] {
        let [l0, l1, l2] = u24(self.length);
        let [c0, c1, c2] = u24(self.command.0);
        let [a0, a1, a2, a3] = self.application.0.to_be_bytes();
        let [h0, h1, h2, h3] = self.hop_by_hop.to_be_bytes();
        let [e0, e1, e2, e3] = self.end_to_end.to_be_bytes();
        [
            VERSION,
            l0,
            l1,
            l2,
            self.flags.0,
            c0,
            c1,
            c2,
            a0,
            a1,
            a2,
            a3,
            h0,
            h1,
            h2,
            h3,
            e0,
            e1,
            e2,
            e3,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ECR of the worked example in `tests/codec_vectors.rs`.
    const ECR: [u8; 20] = [
        0x01, 0x00, 0x01, 0x34, 0xc0, 0x00, 0x01, 0x44, 0x01, 0x00, 0x00, 0x24, 0x11, 0x11, 0x00,
        0x03, 0x22, 0x22, 0x00, 0x03,
    ];

    #[test]
    fn parses_and_composes_the_same_octets() {
        let header = Header::parse(&ECR);
        assert_eq!(header.length, 308);
        assert!(header.is_request());
        assert_eq!(header.command, CommandCode::ME_IDENTITY_CHECK);
        assert_eq!(header.application, ApplicationId::S13);
        assert_eq!(
            (header.hop_by_hop, header.end_to_end),
            (0x1111_0003, 0x2222_0003)
        );
        assert_eq!(header.compose(), ECR);
    }

    #[test]
    fn an_answer_keeps_only_the_p_bit() {
        let mut header = Header::parse(&ECR);
        header.flags = CommandFlags(0xff);
        assert_eq!(header.answer(false).flags.0, 0x40);
        assert_eq!(header.answer(true).flags.0, 0x60);
        header.flags = CommandFlags(0x80);
        assert_eq!(header.answer(false).flags.0, 0);
    }
}
