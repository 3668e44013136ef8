//! What can be wrong with a request whose header is readable, and the one
//! table that says how each fault is answered (RFC 6733 sections 7.1 and 7.5).

use super::avp::{Avp, BrokenAvp};
use super::code::{AvpKey, ResultCode};
use super::compose::Composer;
use super::dictionary::{self, AvpDefinition, DataType};

/// Octets of an offending AVP that a Failed-AVP repeats at most. Longer ones
/// are named by their header alone, so that a hostile request cannot make the
/// answer carry its load back.
pub const FAILED_AVP_COPY_MAX: usize = 1024;

/// A fault of a request, to be answered on a connection that lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<'a> {
    /// The application is served, but has no such command.
    UnknownCommand,
    /// Destination-Host names another node.
    WrongDestinationHost,
    /// Destination-Realm is not served here.
    WrongDestinationRealm,
    /// No such application is served.
    UnknownApplication,
    /// R and E are set together.
    ErrorBitInRequest,
    /// The CER's Origin-Host is not admitted.
    UnknownPeer,
    /// An unknown AVP has the M bit.
    UnsupportedAvp(Culprit<'a>),
    /// A value is outside its domain.
    InvalidValue(Culprit<'a>, &'static str),
    /// A required AVP is absent; with the group that lacks it.
    MissingAvp(&'static AvpDefinition, Option<&'static AvpDefinition>),
    /// A Vendor-Specific-Application-Id with neither Auth- nor
    /// Acct-Application-Id.
    NoApplicationId,
    /// A Vendor-Specific-Application-Id with both.
    TwoApplicationIds(Avp<'a>, Avp<'a>),
    /// The command forbids this AVP.
    ForbiddenAvp(Culprit<'a>),
    /// One instance too many.
    RepeatedAvp(Culprit<'a>),
    /// An AVP Length cannot be followed; with the enclosing group.
    BrokenAvp(BrokenAvp, Option<&'static AvpDefinition>),
    /// The data's length does not fit the AVP's type.
    WrongLength(Culprit<'a>),
    /// More AVPs than [`AVPS_MAX`](super::AVPS_MAX).
    TooManyAvps,
    /// Groups nested deeper than [`NESTING_MAX`](super::NESTING_MAX).
    TooDeep,
    /// The CER offers no application that is served.
    NoCommonApplication,
    /// The CER offers no security mechanism that can be used.
    NoCommonSecurity,
    /// The CER's Origin-Host is not one of the peer's certificate.
    NotCertified,
    /// A CER for a peer that already has as many connections as it may have.
    AlreadyConnected,
    /// A CER of a peer that has lost the election: our connection to it stays.
    ElectionLost,
    /// A CER while the connection is being closed.
    Closing,
    /// A CER that changes its identity on an open connection.
    IdentityChanged,
}

/// An AVP that is at fault, and the group that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Culprit<'a> {
    /// The AVP as received.
    pub avp: Avp<'a>,
    /// The group around it, if it is not on the first level.
    pub within: Option<&'static AvpDefinition>,
}

/// How a fault is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// The Result-Code; the E bit follows from it.
    pub result_code: ResultCode,
    /// What Failed-AVP shows.
    pub failed_avp: FailedAvp<'a>,
    /// The Error-Message, for the people who read the trace.
    pub message: &'static str,
}

/// The content of a Failed-AVP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedAvp<'a> {
    /// No Failed-AVP.
    None,
    /// The offending AVP as received, in its group.
    Copy(Culprit<'a>),
    /// Auth- and Acct-Application-Id in their group, as received or as examples
    /// (RFC 6733 section 6.11).
    ApplicationIds(Option<(Avp<'a>, Avp<'a>)>),
    /// A header with a zero-filled payload of the least size, in its group.
    Example(
        AvpKey,
        super::code::AvpFlags,
        Option<&'static AvpDefinition>,
    ),
}

impl<'a> Fault<'a> {
    /// The answer to this fault. The only table from faults to codes.
    #[must_use]
    pub const fn report(&self) -> Report<'a> {
        let (result_code, failed_avp, message) = match *self {
            Self::UnknownCommand => (
                ResultCode::COMMAND_UNSUPPORTED,
                FailedAvp::None,
                "the application has no such command",
            ),
            Self::WrongDestinationHost => (
                ResultCode::UNABLE_TO_DELIVER,
                FailedAvp::None,
                "Destination-Host is another node, and this one does not relay",
            ),
            Self::WrongDestinationRealm => (
                ResultCode::REALM_NOT_SERVED,
                FailedAvp::None,
                "Destination-Realm is not served here",
            ),
            Self::UnknownApplication => (
                ResultCode::APPLICATION_UNSUPPORTED,
                FailedAvp::None,
                "only S13 (16777252) is served here",
            ),
            Self::ErrorBitInRequest => (
                ResultCode::INVALID_HDR_BITS,
                FailedAvp::None,
                "a request with the E bit",
            ),
            Self::UnknownPeer => (
                ResultCode::UNKNOWN_PEER,
                FailedAvp::None,
                "this Origin-Host and Origin-Realm are not admitted",
            ),
            Self::UnsupportedAvp(culprit) => (
                ResultCode::AVP_UNSUPPORTED,
                FailedAvp::Copy(culprit),
                "unknown AVP with the M bit",
            ),
            Self::InvalidValue(culprit, why) => {
                (ResultCode::INVALID_AVP_VALUE, FailedAvp::Copy(culprit), why)
            }
            Self::MissingAvp(missing, within) => (
                ResultCode::MISSING_AVP,
                FailedAvp::Example(missing.key, missing.flags, within),
                "a required AVP is missing",
            ),
            Self::NoApplicationId => (
                ResultCode::MISSING_AVP,
                FailedAvp::ApplicationIds(None),
                "Vendor-Specific-Application-Id without an application",
            ),
            Self::TwoApplicationIds(auth, acct) => (
                ResultCode::AVP_OCCURS_TOO_MANY_TIMES,
                FailedAvp::ApplicationIds(Some((auth, acct))),
                "Vendor-Specific-Application-Id with two applications",
            ),
            Self::ForbiddenAvp(culprit) => (
                ResultCode::AVP_NOT_ALLOWED,
                FailedAvp::Copy(culprit),
                "this AVP is not allowed in this command",
            ),
            Self::RepeatedAvp(culprit) => (
                ResultCode::AVP_OCCURS_TOO_MANY_TIMES,
                FailedAvp::Copy(culprit),
                "this AVP occurs too many times",
            ),
            Self::BrokenAvp(broken, within) => (
                ResultCode::INVALID_AVP_LENGTH,
                FailedAvp::Example(broken.key, broken.flags, within),
                "AVP Length is impossible",
            ),
            Self::WrongLength(culprit) => (
                ResultCode::INVALID_AVP_LENGTH,
                FailedAvp::Copy(culprit),
                "AVP Length is wrong for the type",
            ),
            Self::TooManyAvps => (
                ResultCode::UNABLE_TO_COMPLY,
                FailedAvp::None,
                "more AVPs in one message than this node reads",
            ),
            Self::TooDeep => (
                ResultCode::UNABLE_TO_COMPLY,
                FailedAvp::None,
                "AVPs nested deeper than this node reads",
            ),
            Self::NoCommonApplication => (
                ResultCode::NO_COMMON_APPLICATION,
                FailedAvp::None,
                "neither S13 (16777252) nor relay (4294967295) was offered",
            ),
            Self::NoCommonSecurity => (
                ResultCode::NO_COMMON_SECURITY,
                FailedAvp::None,
                "no offered Inband-Security-Id can be used on this connection",
            ),
            Self::NotCertified => (
                ResultCode::UNKNOWN_PEER,
                FailedAvp::None,
                "the certificate is not one of this Origin-Host",
            ),
            Self::AlreadyConnected => (
                ResultCode::UNABLE_TO_COMPLY,
                FailedAvp::None,
                "this Origin-Host has a connection that is alive",
            ),
            Self::ElectionLost => (
                ResultCode::ELECTION_LOST,
                FailedAvp::None,
                "the connection that this node has opened is kept",
            ),
            Self::Closing => (
                ResultCode::UNABLE_TO_COMPLY,
                FailedAvp::None,
                "this connection is being closed",
            ),
            Self::IdentityChanged => (
                ResultCode::UNABLE_TO_COMPLY,
                FailedAvp::None,
                "Origin-Host changed on an open connection",
            ),
        };
        Report {
            result_code,
            failed_avp,
            message,
        }
    }
}

impl FailedAvp<'_> {
    /// Composes the Failed-AVP, if there is one to compose.
    pub fn compose(&self, out: &mut Composer<'_>) {
        match *self {
            Self::None => {}
            Self::Copy(Culprit { avp, within }) => in_group(out, within, |out| {
                if is_repeatable(&avp) {
                    out.copy(&avp);
                } else {
                    out.example(avp.key(), avp.flags(), data_type(avp.key()));
                }
            }),
            Self::ApplicationIds(ids) => {
                in_group(
                    out,
                    Some(&dictionary::VENDOR_SPECIFIC_APPLICATION_ID),
                    |out| match ids {
                        Some((auth, acct)) => {
                            out.copy(&auth);
                            out.copy(&acct);
                        }
                        None => {
                            out.unsigned32(&dictionary::AUTH_APPLICATION_ID, 0);
                            out.unsigned32(&dictionary::ACCT_APPLICATION_ID, 0);
                        }
                    },
                );
            }
            Self::Example(key, flags, within) => {
                in_group(out, within, |out| out.example(key, flags, data_type(key)));
            }
        }
    }
}

/// Composes Failed-AVP, the enclosing group if there was one, and `culprit` in
/// it. The group holds only the culprit: that is what makes the error readable.
fn in_group(
    out: &mut Composer<'_>,
    within: Option<&'static AvpDefinition>,
    culprit: impl FnOnce(&mut Composer<'_>),
) {
    out.group(&dictionary::FAILED_AVP, |out| match within {
        Some(group) => out.group(group, culprit),
        None => culprit(out),
    });
}

/// Whether a copy of this AVP keeps the answer short and parseable: a group
/// with a broken member would break whoever decodes the answer.
fn is_repeatable(avp: &Avp<'_>) -> bool {
    avp.raw().len() <= FAILED_AVP_COPY_MAX && members_are_whole(avp)
}

/// Whether all members of `avp` can be walked, as far as they are known to be
/// groups. Recursion ends with the nesting limit.
fn members_are_whole(avp: &Avp<'_>) -> bool {
    if data_type(avp.key()) != DataType::Grouped {
        return true;
    }
    avp.members().is_some_and(|mut members| {
        members.all(|member| member.is_ok_and(|member| members_are_whole(&member)))
    })
}

/// The type of an AVP; opaque octets when it is not known.
fn data_type(key: AvpKey) -> DataType {
    dictionary::lookup(key).map_or(DataType::OctetString, |known| known.data_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::compose::precompose;
    use crate::wire::{AvpFlags, Avps};

    #[test]
    fn a_missing_imei_is_shown_in_its_group() {
        let fault = Fault::MissingAvp(&dictionary::IMEI, Some(&dictionary::TERMINAL_INFORMATION));
        let bytes = precompose(|out| fault.report().failed_avp.compose(out));
        assert_eq!(
            *bytes,
            *b"\x00\x00\x01\x17\x40\x00\x00\x20\
            \x00\x00\x05\x79\xc0\x00\x00\x18\x00\x00\x28\xaf\
            \x00\x00\x05\x7a\xc0\x00\x00\x0c\x00\x00\x28\xaf"
        );
    }

    #[test]
    fn a_missing_number_is_shown_with_zeros() {
        let fault = Fault::MissingAvp(&dictionary::AUTH_SESSION_STATE, None);
        let bytes = precompose(|out| fault.report().failed_avp.compose(out));
        assert_eq!(
            *bytes,
            *b"\x00\x00\x01\x17\x40\x00\x00\x14\
            \x00\x00\x01\x15\x40\x00\x00\x0c\x00\x00\x00\x00"
        );
    }

    #[test]
    fn a_broken_header_gets_a_length_that_can_be_parsed() {
        let broken = BrokenAvp {
            key: AvpKey::tgpp(1402),
            flags: AvpFlags(0xc0),
        };
        let fault = Fault::BrokenAvp(broken, None);
        let bytes = precompose(|out| fault.report().failed_avp.compose(out));
        assert_eq!(
            *bytes,
            *b"\x00\x00\x01\x17\x40\x00\x00\x14\
            \x00\x00\x05\x7a\xc0\x00\x00\x0c\x00\x00\x28\xaf"
        );
    }

    #[test]
    fn what_is_long_or_broken_is_not_repeated() {
        let long = precompose(|out| out.octets(&dictionary::USER_NAME, &[b'1'; 2000]));
        let broken = precompose(|out| {
            out.octets(
                &dictionary::TERMINAL_INFORMATION,
                b"\x00\x00\x05\x7a\xc0\x00\x00\x00",
            );
        });
        for (bytes, want) in [(long, 16), (broken, 20)] {
            let avp = first(&bytes);
            let fault = Fault::RepeatedAvp(Culprit { avp, within: None });
            let failed = precompose(|out| fault.report().failed_avp.compose(out));
            assert_eq!(failed.len(), want);
        }
    }

    fn first(bytes: &[u8]) -> Avp<'_> {
        Avps::top(bytes).next().unwrap().unwrap()
    }
}
