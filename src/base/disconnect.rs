//! Disconnect-Peer (RFC 6733 section 5.4).

use core::fmt;

use bytes::BytesMut;

use super::grammar::grammar;
use super::node::Node;
use crate::wire::{
    ApplicationId, CommandCode, CommandFlags, Composer, Fault, Header, Message, dictionary,
};

/// How long to wait for the peer to close the transport after our DPA. It
/// should do so at once (RFC 6733 section 5.4.2).
pub const CLOSE_WAIT: core::time::Duration = core::time::Duration::from_secs(5);

/// Disconnect-Cause (RFC 6733 section 5.4.3): tells the peer whether it may
/// come back. Open to values that the RFC does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisconnectCause(pub u32);

impl DisconnectCause {
    /// A restart is near; the peer may reconnect.
    pub const REBOOTING: Self = Self(0);
    /// Too busy; the peer should not reconnect soon.
    pub const BUSY: Self = Self(1);
    /// The peer should not reconnect.
    pub const DO_NOT_WANT_TO_TALK_TO_YOU: Self = Self(2);
}

impl fmt::Display for DisconnectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::REBOOTING => f.write_str("REBOOTING (0)"),
            Self::BUSY => f.write_str("BUSY (1)"),
            Self::DO_NOT_WANT_TO_TALK_TO_YOU => f.write_str("DO_NOT_WANT_TO_TALK_TO_YOU (2)"),
            Self(other) => write!(f, "{other}"),
        }
    }
}

grammar! {
    /// DPR, RFC 6733 section 5.4.1.
    DPR, Position {
        ORIGIN_HOST: Once,
        ORIGIN_REALM: Once,
        DISCONNECT_CAUSE: Once,
    }
}

/// Reads a DPR.
///
/// # Errors
///
/// The fault to answer; the connection then stays open.
pub fn read_request<'a>(message: &Message<'a>) -> Result<DisconnectCause, Fault<'a>> {
    let fields = DPR.read(message.avps(), None)?;
    fields.findings.check()?;
    let cause = fields
        .avp(Position::DISCONNECT_CAUSE as usize)
        .and_then(|avp| avp.unsigned32());
    Ok(DisconnectCause(cause.unwrap_or_default()))
}

/// Composes a DPR of this node.
pub fn compose_request(
    out: &mut BytesMut,
    node: &Node,
    identifiers: (u32, u32),
    cause: DisconnectCause,
) {
    let header = request_header(CommandCode::DISCONNECT_PEER, identifiers);
    let mut out = Composer::begin(out, &header);
    out.precomposed(node.origin());
    out.unsigned32(&dictionary::DISCONNECT_CAUSE, cause.0);
    out.finish();
}

/// The header of a request of the base protocol: never proxiable.
pub(super) const fn request_header(
    command: CommandCode,
    (hop_by_hop, end_to_end): (u32, u32),
) -> Header {
    Header {
        length: 0,
        flags: CommandFlags::REQUEST,
        command,
        application: ApplicationId::COMMON,
        hop_by_hop,
        end_to_end,
    }
}
