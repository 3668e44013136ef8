//! The view of an ME-Identity-Check-Request (TS 29.272 clause 7.2.19).

use core::ops::Range;

use bytes::BytesMut;

use crate::base::grammar::grammar;
use crate::base::{Envelope, Fields, Node};
use crate::wire::{
    ApplicationId, Avp, Avps, CommandCode, CommandFlags, Composer, Culprit, Fault, Header, Message,
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

/// A well-formed ECR that is addressed to this node: the message, and where in
/// it the values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityCheckRequest<'a> {
    /// The message.
    message: Message<'a>,
    /// Where its values stand.
    values: Values,
}

impl<'a> IdentityCheckRequest<'a> {
    /// Reads the AVPs of an ECR and checks, in this order: lengths,
    /// destination, grammar.
    ///
    /// # Errors
    ///
    /// The first fault found.
    #[inline(never)]
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
        let place = |avp: Option<Avp<'a>>| match avp {
            Some(avp) => Place::of(message.bytes(), avp.data()),
            None => Place::NOWHERE,
        };
        let values = Values {
            session_id: place(avp(Position::SESSION_ID)),
            origin_host: place(avp(Position::ORIGIN_HOST)),
            origin_realm: place(avp(Position::ORIGIN_REALM)),
            imei: place(Some(imei)),
            software_version: place(terminal.avp(Member::SOFTWARE_VERSION as usize)),
            user_name: place(avp(Position::USER_NAME)),
            route_record: place(avp(Position::ROUTE_RECORD)),
            overload_control: avp(Position::OC_SUPPORTED_FEATURES).is_some(),
            proxied: avp(Position::PROXY_INFO).is_some(),
        };
        Ok(Self::at(*message, values))
    }

    /// The request of which the values stand at these places.
    #[inline(always)]
    pub(super) const fn at(message: Message<'a>, values: Values) -> Self {
        Self { message, values }
    }

    /// What it was read from.
    #[inline]
    #[must_use]
    pub const fn message(&self) -> &Message<'a> {
        &self.message
    }

    /// Where its values stand.
    pub(super) const fn values(&self) -> &Values {
        &self.values
    }

    //--- Values

    /// Origin-Host: the client that asks, also behind agents.
    #[inline]
    #[must_use]
    pub fn origin_host(&self) -> &'a [u8] {
        self.at_place(self.values.origin_host).unwrap_or_default()
    }

    /// Origin-Realm of that client.
    #[inline]
    #[must_use]
    pub fn origin_realm(&self) -> &'a [u8] {
        self.at_place(self.values.origin_realm).unwrap_or_default()
    }

    /// IMEI, unchecked.
    #[inline]
    #[must_use]
    pub fn imei(&self) -> &'a [u8] {
        self.at_place(self.values.imei).unwrap_or_default()
    }

    /// Software-Version, unchecked.
    #[inline]
    #[must_use]
    pub fn software_version(&self) -> Option<&'a [u8]> {
        self.at_place(self.values.software_version)
    }

    /// User-Name: the IMSI, where the client knows it; unchecked.
    #[inline]
    #[must_use]
    pub fn user_name(&self) -> Option<&'a [u8]> {
        self.at_place(self.values.user_name)
    }

    /// The first Route-Record, if there is any: the node that the first agent
    /// had the request from (RFC 6733 section 6.7.1).
    #[inline]
    #[must_use]
    pub fn route_record(&self) -> Option<&'a [u8]> {
        self.at_place(self.values.route_record)
    }

    /// Whether the client takes part in overload control, so that the answer
    /// must say what this node supports (RFC 7683 section 5.1.1).
    #[inline]
    #[must_use]
    pub const fn overload_control(&self) -> bool {
        self.values.overload_control
    }

    /// What the answer repeats.
    #[inline]
    #[must_use]
    pub fn envelope(&self) -> Envelope<'a> {
        let session_id = self.at_place(self.values.session_id);
        Envelope::known(self.message, session_id, self.values.proxied)
    }

    /// The octets at a place.
    #[inline(always)]
    fn at_place(&self, place: Place) -> Option<&'a [u8]> {
        match place.is_nowhere() {
            true => None,
            false => self.message.bytes().get(place.range()),
        }
    }

    //--- Faults

    /// The fault of an IMEI that cannot be one (5004, with the IMEI in its
    /// Terminal-Information).
    #[cold]
    #[must_use]
    pub fn invalid_imei(&self) -> Fault<'a> {
        let group = &dictionary::TERMINAL_INFORMATION;
        let first =
            |mut avps: Avps<'a>, key| avps.find_map(|avp| avp.ok().filter(|avp| avp.key() == key));
        let terminal = first(self.message.avps(), group.key);
        let members = terminal.and_then(|terminal| terminal.members());
        match members.and_then(|members| first(members, dictionary::IMEI.key)) {
            Some(avp) => Fault::InvalidValue(
                Culprit {
                    avp,
                    within: Some(group),
                },
                "the IMEI is not 14, 15 or 16 digits",
            ),
            // Never: it was read from there.
            None => Fault::MissingAvp(&dictionary::IMEI, Some(group)),
        }
    }
}

//----------- Values ----------------------------------------------------------

/// Where the values of a request stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Values {
    /// Session-Id.
    session_id: Place,
    /// Origin-Host.
    origin_host: Place,
    /// Origin-Realm.
    origin_realm: Place,
    /// IMEI.
    imei: Place,
    /// Software-Version.
    software_version: Place,
    /// User-Name.
    user_name: Place,
    /// The first Route-Record.
    route_record: Place,
    /// Whether there is OC-Supported-Features.
    overload_control: bool,
    /// Whether there is Proxy-Info.
    proxied: bool,
}

impl Values {
    /// The places of all values.
    pub(super) fn all(&self) -> impl Iterator<Item = Range<usize>> {
        let places = [
            self.session_id,
            self.origin_host,
            self.origin_realm,
            self.imei,
            self.software_version,
            self.user_name,
            self.route_record,
        ];
        places.into_iter().map(Place::range)
    }
}

/// Where a value stands: its first octet, and the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The first octet, counted from the message's.
    from: u32,
    /// The octet behind the last.
    to: u32,
}

impl Place {
    /// That of a value which is not there: no value stands in the header.
    const NOWHERE: Self = Self { from: 0, to: 0 };

    /// The place of `value`, which was borrowed from `frame`.
    fn of(frame: &[u8], value: &[u8]) -> Self {
        let from = value.as_ptr().addr().wrapping_sub(frame.as_ptr().addr());
        let to = from.saturating_add(value.len());
        match (u32::try_from(from), u32::try_from(to)) {
            (Ok(from), Ok(to)) => Self { from, to },
            // Never: messages are far shorter.
            _ => Self::NOWHERE,
        }
    }

    /// Whether the value is not there.
    #[inline(always)]
    const fn is_nowhere(self) -> bool {
        self.to == 0
    }

    /// The octets there.
    #[inline(always)]
    const fn range(self) -> Range<usize> {
        self.from as usize..self.to as usize
    }
}

//----------- As a client -----------------------------------------------------

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
