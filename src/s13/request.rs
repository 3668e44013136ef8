//! The view of an ME-Identity-Check-Request (TS 29.272 clause 7.2.19).

use bytes::BytesMut;

use crate::base::grammar::grammar;
use crate::base::{Envelope, Fields, Node};
use crate::wire::{
    ApplicationId, Avp, CommandCode, CommandFlags, Composer, Culprit, Fault, Header, Message,
    dictionary,
};

grammar! {
    /// ECR. AVPs that change nothing for an EIR (DRMP,
    /// Vendor-Specific-Application-Id, which clause 7.1 tells receivers to
    /// ignore) are left to [`is_ignored`](crate::base::grammar::is_ignored).
    ECR, Position {
        SESSION_ID: Once,
        AUTH_SESSION_STATE: Once,
        ORIGIN_HOST: Once,
        ORIGIN_REALM: Once,
        DESTINATION_HOST: AtMostOnce,
        DESTINATION_REALM: Once,
        TERMINAL_INFORMATION: Once,
        USER_NAME: AtMostOnce,
        OC_SUPPORTED_FEATURES: Any,
        PROXY_INFO: Any,
        ROUTE_RECORD: Any,
        RESULT_CODE: Never,
        EXPERIMENTAL_RESULT: Never,
        EQUIPMENT_STATUS: Never,
        FAILED_AVP: Never,
    }
}

grammar! {
    /// Terminal-Information, TS 29.272 clause 7.3.3. Its grammar has every
    /// member optional, but clause 6.2.1 checks an IMEI, so there must be one.
    TERMINAL_INFORMATION, Member {
        IMEI: Once,
        SOFTWARE_VERSION: AtMostOnce,
    }
}

/// A well-formed ECR that is addressed to this node.
#[derive(Clone, Copy, Debug)]
pub struct IdentityCheckRequest<'a> {
    /// Origin-Host: the client that asks, also behind agents.
    pub origin_host: &'a [u8],
    /// Origin-Realm of that client.
    pub origin_realm: &'a [u8],
    /// The IMEI AVP, its value unchecked.
    imei: Avp<'a>,
    /// Software-Version, its value unchecked.
    pub software_version: Option<&'a [u8]>,
    /// User-Name: the IMSI, where the client knows it; unchecked.
    pub user_name: Option<&'a [u8]>,
    /// The first Route-Record, if there is any: the node that the first agent
    /// had the request from (RFC 6733 section 6.7.1).
    pub route_record: Option<&'a [u8]>,
    /// Whether the client takes part in overload control, so that the answer
    /// must say what this node supports (RFC 7683 section 5.1.1).
    pub overload_control: bool,
    /// What the answer repeats.
    pub envelope: Envelope<'a>,
}

impl<'a> IdentityCheckRequest<'a> {
    /// Reads the AVPs of an ECR and checks, in this order: lengths,
    /// destination, grammar.
    ///
    /// # Errors
    ///
    /// The first fault found.
    // Into its caller, so that it is written where it is to stand: it is large.
    #[inline(always)]
    pub fn read(message: &Message<'a>, node: &Node) -> Result<Self, Fault<'a>> {
        let mut fields = Fields::default();
        ECR.read_into(&mut fields, message.avps(), None)?;
        let avp = |position: Position| fields.avp(position as usize);
        let group = Some(&dictionary::TERMINAL_INFORMATION);
        let mut terminal = Fields::default();
        if let Some(avp) = avp(Position::TERMINAL_INFORMATION) {
            let members = avp.members().ok_or(Fault::TooDeep)?;
            TERMINAL_INFORMATION.read_into(&mut terminal, members, group)?;
        }
        if avp(Position::DESTINATION_HOST).is_some_and(|host| !node.is_host(host.data())) {
            return Err(Fault::WrongDestinationHost);
        }
        if avp(Position::DESTINATION_REALM).is_some_and(|realm| !node.serves_realm(realm.data())) {
            return Err(Fault::WrongDestinationRealm);
        }
        if !(fields.findings.is_empty() && terminal.findings.is_empty()) {
            fields.findings.and(terminal.findings).check()?;
        }
        let imei = terminal
            .avp(Member::IMEI as usize)
            .ok_or(Fault::MissingAvp(&dictionary::IMEI, group))?;
        Ok(Self {
            origin_host: fields.data(Position::ORIGIN_HOST as usize),
            origin_realm: fields.data(Position::ORIGIN_REALM as usize),
            imei,
            software_version: terminal
                .avp(Member::SOFTWARE_VERSION as usize)
                .map(|avp| avp.data()),
            user_name: avp(Position::USER_NAME).map(|avp| avp.data()),
            route_record: avp(Position::ROUTE_RECORD).map(|avp| avp.data()),
            overload_control: avp(Position::OC_SUPPORTED_FEATURES).is_some(),
            envelope: Envelope::known(
                message,
                avp(Position::SESSION_ID),
                avp(Position::PROXY_INFO).is_some(),
            ),
        })
    }

    /// The value of the IMEI AVP.
    #[must_use]
    pub fn imei(&self) -> &'a [u8] {
        self.imei.data()
    }

    /// The fault of an IMEI that cannot be one (5004, with the IMEI in its
    /// Terminal-Information).
    #[must_use]
    pub const fn invalid_imei(&self) -> Fault<'a> {
        let within = Some(&dictionary::TERMINAL_INFORMATION);
        Fault::InvalidValue(
            Culprit {
                avp: self.imei,
                within,
            },
            "the IMEI is not 14, 15 or 16 digits",
        )
    }
}

/// What a client puts into an ECR.
#[derive(Clone, Copy, Debug)]
pub struct IdentityCheck<'a> {
    /// Session-Id.
    pub session_id: &'a str,
    /// Destination-Host, if the request is for one node.
    pub destination_host: Option<&'a str>,
    /// Destination-Realm.
    pub destination_realm: &'a str,
    /// IMEI.
    pub imei: &'a str,
    /// Software-Version.
    pub software_version: Option<&'a str>,
    /// User-Name: the IMSI.
    pub user_name: Option<&'a str>,
}

/// Composes an ECR of this node, as a client.
pub fn compose(
    out: &mut BytesMut,
    node: &Node,
    (hop_by_hop, end_to_end): (u32, u32),
    check: &IdentityCheck<'_>,
) {
    let header = Header {
        length: 0,
        flags: CommandFlags::REQUEST.with(CommandFlags::PROXIABLE),
        command: CommandCode::ME_IDENTITY_CHECK,
        application: ApplicationId::S13,
        hop_by_hop,
        end_to_end,
    };
    let mut out = Composer::begin(out, &header);
    out.octets(&dictionary::SESSION_ID, check.session_id.as_bytes());
    out.unsigned32(
        &dictionary::AUTH_SESSION_STATE,
        crate::base::answer::NO_STATE_MAINTAINED,
    );
    out.precomposed(node.origin());
    if let Some(host) = check.destination_host {
        out.octets(&dictionary::DESTINATION_HOST, host.as_bytes());
    }
    out.octets(
        &dictionary::DESTINATION_REALM,
        check.destination_realm.as_bytes(),
    );
    out.group(&dictionary::TERMINAL_INFORMATION, |out| {
        out.octets(&dictionary::IMEI, check.imei.as_bytes());
        if let Some(version) = check.software_version {
            out.octets(&dictionary::SOFTWARE_VERSION, version.as_bytes());
        }
    });
    if let Some(user_name) = check.user_name {
        out.octets(&dictionary::USER_NAME, user_name.as_bytes());
    }
    out.finish();
}
