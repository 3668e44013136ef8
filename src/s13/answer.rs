//! The ME-Identity-Check-Answer (TS 29.272 clause 7.2.20).
//!
//! Exactly one of these leaves for each request:
//!
//! * 2001 with Equipment-Status, for equipment that a list knows: a client
//!   that gets 2001 without it may hang the attach;
//! * Experimental-Result 5422 of vendor 10415 alone, for equipment that none
//!   knows: never in Result-Code, where clients take it for an outage;
//! * a fault, by [`Answer::fail`].

use core::fmt;

use bytes::BytesMut;

use super::request::IdentityCheckRequest;
use crate::base::{Answer, Envelope, Node};
use crate::wire::code::ERROR_EQUIPMENT_UNKNOWN;
use crate::wire::{Composer, Fault, VendorId, dictionary};

/// OC-Feature-Vector OLR_DEFAULT_ALGO: the loss algorithm, which every node
/// with overload control has (RFC 7683 section 7.2).
const OLR_DEFAULT_ALGO: u64 = 1;

/// Equipment-Status (TS 29.272 clause 7.3.51), open to values that later
/// releases may add. Releases 16 and later call the first two permitted and
/// prohibited equipment; the numbers are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EquipmentStatus(pub u32);

impl EquipmentStatus {
    /// WHITELISTED.
    pub const WHITELISTED: Self = Self(0);
    /// BLACKLISTED.
    pub const BLACKLISTED: Self = Self(1);
    /// GREYLISTED.
    pub const GREYLISTED: Self = Self(2);
}

impl fmt::Display for EquipmentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WHITELISTED => f.write_str("whitelisted (0)"),
            Self::BLACKLISTED => f.write_str("blacklisted (1)"),
            Self::GREYLISTED => f.write_str("greylisted (2)"),
            Self(other) => write!(f, "status {other}"),
        }
    }
}

/// Composes the ECA for equipment with this status, or for unknown equipment
/// if it has none.
#[inline]
pub fn compose(
    out: &mut BytesMut,
    node: &Node,
    request: &IdentityCheckRequest<'_>,
    status: Option<EquipmentStatus>,
) {
    let envelope = request.envelope();
    let mut answer = match status {
        Some(status) => {
            let mut answer = Answer::success(out, envelope, node);
            answer
                .avps()
                .unsigned32(&dictionary::EQUIPMENT_STATUS, status.0);
            answer
        }
        None => Answer::experimental(out, envelope, node, VendorId::TGPP, ERROR_EQUIPMENT_UNKNOWN),
    };
    supported_features(answer.avps(), request.overload_control());
    answer.finish();
}

/// Composes the ECA for a request with a fault. `overload_control` tells
/// whether the request had OC-Supported-Features, as far as is known.
pub fn compose_fault(
    out: &mut BytesMut,
    node: &Node,
    envelope: Envelope<'_>,
    fault: &Fault<'_>,
    overload_control: bool,
) {
    Answer::fail(out, envelope, node, fault, |out| {
        supported_features(out, overload_control)
    });
}

/// OC-Supported-Features, only ever in reply to the client's own (RFC 7683
/// section 5.1.2), and with one algorithm. No OC-OLR follows: this node has
/// nothing to report, and its absence means "no change".
///
/// DRMP is not repeated: an answer inherits the request's priority unless it
/// names another (RFC 7944 section 6), and this node never wants another.
fn supported_features(out: &mut Composer<'_>, wanted: bool) {
    if wanted {
        out.group(&dictionary::OC_SUPPORTED_FEATURES, |out| {
            out.unsigned64(&dictionary::OC_FEATURE_VECTOR, OLR_DEFAULT_ALGO);
        });
    }
}
