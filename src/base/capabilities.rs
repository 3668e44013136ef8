//! Capabilities exchange (RFC 6733 section 5.3).
//!
//! The common application is the intersection of what Weir serves with **all**
//! ids of the CER: Auth-Application-Id, Acct-Application-Id, and those within
//! Vendor-Specific-Application-Id, whose Vendor-Id plays no part. The relay
//! application is common with everything. A CER that offers much else besides
//! is welcome.

use bytes::BytesMut;

use super::answer::{Answer, Envelope};
use super::disconnect::request_header;
use super::grammar::grammar;
use super::node::{APPLICATIONS, Node, is_identity};
use super::watchdog::state_id;
use crate::wire::compose::HostAddress;
use crate::wire::{
    ApplicationId, Avp, CommandCode, Composer, Culprit, Fault, Message, ResultCode, VendorId,
    dictionary,
};

/// Inband-Security-Id NO_INBAND_SECURITY (RFC 6733 section 6.10): the default
/// when the AVP is absent, and the only mechanism that is still in use.
const NO_INBAND_SECURITY: u32 = 0;

/// Inband-Security-Id TLS (RFC 6733 section 6.10): TLS once capabilities are
/// exchanged, which is done no longer, as it protects them too late.
const INBAND_TLS: u32 = 1;

grammar! {
    /// CER, RFC 6733 section 5.3.1.
    CER, Position {
        ORIGIN_HOST: Once,
        ORIGIN_REALM: Once,
        HOST_IP_ADDRESS: AtLeastOnce,
        VENDOR_ID: Once,
        PRODUCT_NAME: Once,
        ORIGIN_STATE_ID: AtMostOnce,
        SUPPORTED_VENDOR_ID: Any,
        AUTH_APPLICATION_ID: Any,
        INBAND_SECURITY_ID: Any,
        ACCT_APPLICATION_ID: Any,
        VENDOR_SPECIFIC_APPLICATION_ID: Any,
        FIRMWARE_REVISION: AtMostOnce,
        RESULT_CODE: Never,
        FAILED_AVP: Never,
    }
}

grammar! {
    /// Vendor-Specific-Application-Id, RFC 6733 section 6.11. RFC 3588 allowed
    /// several Vendor-Ids, and its implementations are still about.
    VENDOR_SPECIFIC_APPLICATION_ID, Member {
        VENDOR_ID: AtLeastOnce,
        AUTH_APPLICATION_ID: AtMostOnce,
        ACCT_APPLICATION_ID: AtMostOnce,
    }
}

/// What a well-formed CER says of its sender.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities<'a> {
    /// Origin-Host: the peer's identity.
    pub origin_host: &'a [u8],
    /// Origin-Realm.
    pub origin_realm: &'a [u8],
    /// Origin-State-Id; 0, like its absence, allows no inference.
    pub state_id: u32,
    /// Product-Name.
    pub product_name: &'a [u8],
    /// Whether S13 or relay is among its applications.
    pub has_common_application: bool,
    /// Whether it can do without in-band security.
    pub has_common_security: bool,
    /// Whether it asks for TLS, were it not there yet.
    pub offers_tls: bool,
}

impl<'a> Capabilities<'a> {
    /// Reads a CER.
    ///
    /// # Errors
    ///
    /// The fault against its grammar.
    pub fn read(message: &Message<'a>) -> Result<Self, Fault<'a>> {
        let fields = CER.read(message.avps(), None)?;
        let mut findings = fields.findings;
        let mut common = false;
        let mut security = None;
        let mut offers_tls = false;
        for avp in message.avps().map_while(Result::ok) {
            common |= is_application(&avp);
            if avp.key() == dictionary::VENDOR_SPECIFIC_APPLICATION_ID.key {
                let group = Some(&dictionary::VENDOR_SPECIFIC_APPLICATION_ID);
                let members = avp.members().ok_or(Fault::TooDeep)?;
                let members = VENDOR_SPECIFIC_APPLICATION_ID.read(members, group)?;
                findings = findings.and(members.findings);
                let auth = members.avp(Member::AUTH_APPLICATION_ID as usize);
                let acct = members.avp(Member::ACCT_APPLICATION_ID as usize);
                match (auth, acct) {
                    (Some(id), None) | (None, Some(id)) => common |= is_common(&id),
                    (None, None) => return Err(Fault::NoApplicationId),
                    (Some(auth), Some(acct)) => return Err(Fault::TwoApplicationIds(auth, acct)),
                }
            } else if avp.key() == dictionary::INBAND_SECURITY_ID.key {
                let none = avp.unsigned32() == Some(NO_INBAND_SECURITY);
                security = Some(none || security.unwrap_or(false));
                offers_tls |= avp.unsigned32() == Some(INBAND_TLS);
            }
        }
        findings.check()?;
        let identity = |position: Position| {
            let avp = fields
                .avp(position as usize)
                .filter(|avp| is_identity(avp.data()));
            avp.map(|avp| avp.data())
                .ok_or_else(|| match fields.avp(position as usize) {
                    Some(avp) => Fault::InvalidValue(
                        Culprit { avp, within: None },
                        "not a DiameterIdentity: 1 to 255 printable ASCII characters",
                    ),
                    None => Fault::MissingAvp(&dictionary::ORIGIN_HOST, None),
                })
        };
        let state_id = fields.avp(Position::ORIGIN_STATE_ID as usize);
        Ok(Self {
            origin_host: identity(Position::ORIGIN_HOST)?,
            origin_realm: identity(Position::ORIGIN_REALM)?,
            state_id: state_id.and_then(|avp| avp.unsigned32()).unwrap_or(0),
            product_name: fields.data(Position::PRODUCT_NAME as usize),
            has_common_application: common,
            has_common_security: security.unwrap_or(true),
            offers_tls,
        })
    }

    /// The same on a connection that TLS protects already: who wants TLS and
    /// nothing else has it.
    #[must_use]
    pub const fn over_tls(mut self) -> Self {
        self.has_common_security |= self.offers_tls;
        self
    }

    /// Whether there is anything to talk about with this peer. Whether it is
    /// admitted is another question, which its claim answers.
    ///
    /// # Errors
    ///
    /// 5010 for a peer without a common application, then 5017 for one that
    /// insists on in-band security.
    pub const fn negotiate(&self) -> Result<(), Fault<'a>> {
        if !self.has_common_application {
            return Err(Fault::NoCommonApplication);
        }
        if !self.has_common_security {
            return Err(Fault::NoCommonSecurity);
        }
        Ok(())
    }
}

/// What a CEA says of its sender.
#[derive(Clone, Copy, Debug)]
pub struct Acceptance<'a> {
    /// Result-Code; 0 if there is none.
    pub result_code: ResultCode,
    /// Error-Message.
    pub error_message: Option<&'a [u8]>,
    /// Origin-Host; empty if there is none.
    pub origin_host: &'a [u8],
    /// Origin-Realm; empty if there is none.
    pub origin_realm: &'a [u8],
    /// Origin-State-Id; 0, like its absence, allows no inference.
    pub state_id: u32,
    /// Whether S13 or relay is among its applications.
    pub has_common_application: bool,
}

impl<'a> Acceptance<'a> {
    /// Reads a CEA, as far as it matters whether the connection may open: an
    /// answer cannot be answered with its faults, and one that opens a
    /// connection of a peer that was configured is better understood than
    /// judged. `None` if its AVPs cannot be told apart.
    #[must_use]
    pub fn read(message: &Message<'a>) -> Option<Self> {
        let mut this = Self {
            result_code: ResultCode(0),
            error_message: None,
            origin_host: b"",
            origin_realm: b"",
            state_id: 0,
            has_common_application: false,
        };
        for avp in message.avps() {
            let avp = avp.ok()?;
            if avp.key() == dictionary::RESULT_CODE.key {
                this.result_code = ResultCode(avp.unsigned32()?);
            } else if avp.key() == dictionary::ERROR_MESSAGE.key {
                this.error_message = Some(avp.data());
            } else if avp.key() == dictionary::ORIGIN_HOST.key {
                this.origin_host = avp.data();
            } else if avp.key() == dictionary::ORIGIN_REALM.key {
                this.origin_realm = avp.data();
            } else if avp.key() == dictionary::ORIGIN_STATE_ID.key {
                this.state_id = avp.unsigned32()?;
            } else if avp.key() == dictionary::VENDOR_SPECIFIC_APPLICATION_ID.key {
                let members = avp.members()?.map_while(Result::ok);
                this.has_common_application |= { members }.any(|member| is_application(&member));
            } else {
                this.has_common_application |= is_application(&avp);
            }
        }
        Some(this)
    }
}

/// Composes the CEA: success, or the fault that keeps the connection from
/// opening.
pub fn answer(
    message: &Message<'_>,
    node: &Node,
    addresses: &[HostAddress],
    result: Result<(), Fault<'_>>,
    out: &mut BytesMut,
) {
    let envelope = Envelope::of(message);
    match result {
        Ok(()) => {
            let mut answer = Answer::success(out, envelope, node);
            describe(answer.avps(), node, addresses);
            answer.finish();
        }
        Err(fault) => {
            Answer::fail(out, envelope, node, &fault, |out| {
                describe(out, node, addresses)
            });
        }
    }
}

/// Composes a CER of this node.
pub fn compose_request(
    out: &mut BytesMut,
    node: &Node,
    identifiers: (u32, u32),
    addresses: &[HostAddress],
) {
    let header = request_header(CommandCode::CAPABILITIES_EXCHANGE, identifiers);
    let mut out = Composer::begin(out, &header);
    out.precomposed(node.origin());
    describe(&mut out, node, addresses);
    out.finish();
}

/// The AVPs that describe this node, in CER and CEA alike: all its
/// applications, not only the common ones.
fn describe(out: &mut Composer<'_>, node: &Node, addresses: &[HostAddress]) {
    let settings = node.settings();
    for address in addresses {
        out.address(&dictionary::HOST_IP_ADDRESS, *address);
    }
    out.unsigned32(&dictionary::VENDOR_ID, settings.vendor_id);
    out.octets(&dictionary::PRODUCT_NAME, settings.product_name.as_bytes());
    state_id(out, node);
    for vendor in node.supported_vendors() {
        out.unsigned32(&dictionary::SUPPORTED_VENDOR_ID, vendor.0);
    }
    for application in APPLICATIONS {
        out.group(&dictionary::VENDOR_SPECIFIC_APPLICATION_ID, |out| {
            out.unsigned32(&dictionary::VENDOR_ID, VendorId::TGPP.0);
            out.unsigned32(&dictionary::AUTH_APPLICATION_ID, application.0);
        });
    }
    out.unsigned32(&dictionary::FIRMWARE_REVISION, settings.firmware_revision);
}

/// Whether this AVP is the id of an application that is served here, or of the
/// relay's.
fn is_application(avp: &Avp<'_>) -> bool {
    let ids = [
        dictionary::AUTH_APPLICATION_ID.key,
        dictionary::ACCT_APPLICATION_ID.key,
    ];
    ids.contains(&avp.key()) && is_common(avp)
}

/// Whether this application id is served here, or is the relay's.
fn is_common(id: &Avp<'_>) -> bool {
    id.unsigned32().is_some_and(|id| {
        let id = ApplicationId(id);
        id == ApplicationId::RELAY || APPLICATIONS.contains(&id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::node::tests::example;
    use crate::wire::{AvpDefinition, CommandFlags, Deframed, deframe};

    /// A CER composed from parts, so that each case can leave some out.
    fn cer(parts: impl FnOnce(&mut Composer<'_>)) -> BytesMut {
        let mut out = BytesMut::new();
        let header = request_header(CommandCode::CAPABILITIES_EXCHANGE, (1, 2));
        let mut composer = Composer::begin(&mut out, &header);
        parts(&mut composer);
        composer.finish();
        out
    }

    /// The AVPs that every CER needs.
    fn base(out: &mut Composer<'_>) {
        out.octets(&dictionary::ORIGIN_HOST, b"mme.localdomain");
        out.octets(&dictionary::ORIGIN_REALM, b"localdomain");
        out.address(
            &dictionary::HOST_IP_ADDRESS,
            HostAddress::V4([127, 0, 0, 2]),
        );
        out.unsigned32(&dictionary::VENDOR_ID, 0);
        out.octets(&dictionary::PRODUCT_NAME, b"freediameter");
    }

    fn vsai(out: &mut Composer<'_>, ids: &[(&AvpDefinition, u32)]) {
        out.group(&dictionary::VENDOR_SPECIFIC_APPLICATION_ID, |out| {
            ids.iter()
                .for_each(|(id, value)| out.unsigned32(id, *value));
        });
    }

    /// The Result-Code with which this CER is answered.
    fn result(node: &Node, parts: impl FnOnce(&mut Composer<'_>)) -> u32 {
        let bytes = cer(parts);
        let Deframed::Message(message) = deframe(&bytes, 65_536) else {
            panic!("a message")
        };
        let outcome = Capabilities::read(&message).and_then(|cer| cer.negotiate());
        let mut out = BytesMut::new();
        answer(
            &message,
            node,
            &[HostAddress::V4([127, 0, 0, 1])],
            outcome,
            &mut out,
        );
        let Deframed::Message(cea) = deframe(&out, 65_536) else {
            panic!("an answer")
        };
        let code = cea
            .avps()
            .map(Result::unwrap)
            .find(|avp| avp.key() == dictionary::RESULT_CODE.key)
            .and_then(|avp| avp.unsigned32())
            .unwrap();
        let error_bit = cea.header().flags.contains(CommandFlags::ERROR);
        assert_eq!(error_bit, ResultCode(code).is_protocol_error());
        let described = cea
            .avps()
            .any(|avp| avp.unwrap().key() == dictionary::PRODUCT_NAME.key);
        assert_eq!(
            described, !error_bit,
            "E-bit answers have their own grammar"
        );
        code
    }

    #[test]
    fn every_way_to_offer_s13() {
        let node = Node::new(example());
        let (vendor, auth, acct) = (
            &dictionary::VENDOR_ID,
            &dictionary::AUTH_APPLICATION_ID,
            &dictionary::ACCT_APPLICATION_ID,
        );
        let s13 = ApplicationId::S13.0;
        let relay = ApplicationId::RELAY.0;
        let s6a = 16_777_251;
        type Ids<'a> = &'a [(&'a AvpDefinition, u32)];
        type Case<'a> = (Ids<'a>, &'a [Ids<'a>], u32);
        let cases: &[Case<'_>] = &[
            (&[], &[&[(vendor, 10415), (auth, s13)]], 2001),
            (&[], &[&[(auth, s13), (vendor, 10415)]], 2001),
            (
                &[],
                &[&[(vendor, 10415), (vendor, 13019), (auth, s13)]],
                2001,
            ),
            (&[], &[&[(vendor, 99), (auth, s13)]], 2001),
            (&[], &[&[(vendor, 10415), (acct, s13)]], 2001),
            (
                &[],
                &[
                    &[(vendor, 10415), (auth, s6a)],
                    &[(vendor, 10415), (auth, s13)],
                ],
                2001,
            ),
            (&[(auth, s13)], &[], 2001),
            (&[(acct, s13)], &[], 2001),
            (&[(auth, relay)], &[], 2001),
            (&[(acct, relay)], &[], 2001),
            (&[(auth, 4), (auth, s13)], &[], 2001),
            (&[], &[], 5010),
            (&[(auth, 4)], &[&[(vendor, 10415), (auth, s6a)]], 5010),
            (&[], &[&[(vendor, 10415)]], 5005),
            (&[], &[&[(vendor, 10415), (auth, s13), (acct, s13)]], 5009),
            (&[], &[&[(auth, s13)]], 5005),
        ];
        for (plain, groups, want) in cases {
            let got = result(&node, |out| {
                base(out);
                groups.iter().for_each(|group| vsai(out, group));
                plain
                    .iter()
                    .for_each(|(id, value)| out.unsigned32(id, *value));
            });
            assert_eq!(got, *want, "{plain:?} {groups:?}");
        }
    }

    #[test]
    fn inband_security_needs_the_null_mechanism() {
        let node = Node::new(example());
        for (offered, want) in [(&[][..], 2001), (&[0], 2001), (&[1, 0], 2001), (&[1], 5017)] {
            let got = result(&node, |out| {
                base(out);
                out.unsigned32(&dictionary::AUTH_APPLICATION_ID, ApplicationId::S13.0);
                offered
                    .iter()
                    .for_each(|id| out.unsigned32(&dictionary::INBAND_SECURITY_ID, *id));
            });
            assert_eq!(got, want, "{offered:?}");
        }
    }

    #[test]
    fn missing_parts_and_bad_names() {
        let node = Node::new(example());
        let app = |out: &mut Composer<'_>| {
            out.unsigned32(&dictionary::AUTH_APPLICATION_ID, ApplicationId::S13.0);
        };
        let names = |out: &mut Composer<'_>, host: &[u8]| {
            out.octets(&dictionary::ORIGIN_HOST, host);
            out.octets(&dictionary::ORIGIN_REALM, b"localdomain");
            out.unsigned32(&dictionary::VENDOR_ID, 0);
            out.octets(&dictionary::PRODUCT_NAME, b"x");
            app(out);
        };
        assert_eq!(result(&node, app), 5005);
        assert_eq!(
            result(&node, |out| names(out, b"mme")),
            5005,
            "no Host-IP-Address"
        );
        for (host, want) in [
            (&b"mme"[..], 2001),
            (b"", 5004),
            (b"m\nme", 5004),
            (b"m\xff", 5004),
        ] {
            let got = result(&node, |out| {
                names(out, host);
                out.address(&dictionary::HOST_IP_ADDRESS, HostAddress::V6([0; 16]));
            });
            assert_eq!(got, want, "{host:?}");
        }
    }
}
