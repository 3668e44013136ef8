//! One application request in, the bytes of one answer out.
//!
//! ```text
//! header ─▶ 3008 R and E     3007 application     3001 command
//!   ▼
//! IdentityCheckRequest ─▶ 5014 lengths   3002, 3003 destination   5005 5009 5008 5001 grammar
//!   ▼
//! Imei, Svn, Imsi ─▶ Inquiry ─▶ Rulebook::decide ─▶ Verdict
//!   ▼                                                 │ malformed IMEI, and the policy says so: 5004
//! ECA: 2001 and Equipment-Status, or 5422  ◀──────────┘
//! ```
//!
//! This is where the protocol and the register meet: neither knows the other.
//! Nothing here allocates, blocks or reads a clock.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use bytes::BytesMut;

use crate::base::{Envelope, Node};
pub use crate::equipment::devices::BATCH;
use crate::equipment::{Imei, Imsi, Status, Svn};
use crate::policy::{Inquiry, Outcome, Rulebook, Verdict};
use crate::s13::{EquipmentStatus, Forms, IdentityCheckRequest, answer as eca};
use crate::time::UnixTime;
use crate::wire::{ApplicationId, CommandCode, CommandFlags, Fault, Message};

/// Learns what was answered, to count or to print it. All methods do nothing
/// unless implemented.
pub trait Observer {
    /// A check was answered by a verdict.
    fn checked(&mut self, check: &Checked<'_>) {
        let _ = check;
    }

    /// A check would have been answered by `shadow` if the lists and policies
    /// that are shadows were in force. Called after the check was reported,
    /// also where it was reported as a fault.
    fn shadowed(&mut self, check: &Checked<'_>, shadow: &Verdict) {
        let _ = (check, shadow);
    }

    /// A request was answered with a fault.
    fn faulted(&mut self, message: &Message<'_>, fault: &Fault<'_>) {
        let _ = (message, fault);
    }
}

/// The observer that observes nothing.
impl Observer for () {}

/// A check, and how it was answered.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    /// The request.
    pub request: &'a IdentityCheckRequest<'a>,
    /// What the register was asked.
    pub inquiry: &'a Inquiry<'a>,
    /// What it said.
    pub verdict: &'a Verdict,
}

/// A request that was read: all that can be done before the register is asked.
///
/// Of several requests each can be read before the first is answered, so that
/// the memory that their lookups begin with is fetched for all of them at once.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a>(Result<(IdentityCheckRequest<'a>, Inquiry<'a>), (Message<'a>, Fault<'a>)>);

impl<'a> Reading<'a> {
    /// Reads `message`, a request of any application but the base protocol's
    /// own commands. `forms` are those of the connection.
    #[inline(always)]
    #[must_use]
    pub fn of(message: &Message<'a>, node: &Node, forms: &mut Forms) -> Self {
        let request = check_header(message).and_then(|()| forms.read(message, node));
        Self(match request {
            Ok(request) => Ok((request, inquiry(&request))),
            Err(fault) => Err((*message, fault)),
        })
    }

    /// What was read.
    #[inline]
    #[must_use]
    pub const fn message(&self) -> &Message<'a> {
        match &self.0 {
            Ok((request, _)) => request.message(),
            Err((message, _)) => message,
        }
    }

    /// What the register is to be asked, if anything.
    #[inline]
    #[must_use]
    pub fn inquiry(&self) -> Option<&Inquiry<'a>> {
        self.0.as_ref().ok().map(|(_, inquiry)| inquiry)
    }
}

/// Answers a request at the end of `out`.
#[inline]
pub fn answer(
    reading: &Reading<'_>,
    rulebook: &Rulebook,
    node: &Node,
    now: UnixTime,
    out: &mut BytesMut,
    observer: &mut impl Observer,
) {
    let (request, inquiry) = match &reading.0 {
        Ok(read) => read,
        Err((message, fault)) => {
            let overload_control = message
                .avps()
                .map_while(Result::ok)
                .any(|avp| avp.key() == crate::wire::dictionary::OC_SUPPORTED_FEATURES.key);
            eca::compose_fault(out, node, Envelope::of(message), fault, overload_control);
            observer.faulted(message, fault);
            return;
        }
    };
    let verdict = rulebook.decide(inquiry, now);
    let checked = Checked {
        request,
        inquiry,
        verdict: &verdict,
    };
    match answered(verdict.outcome) {
        Some(status) => {
            eca::compose(out, node, request, status);
            observer.checked(&checked);
        }
        None => {
            let fault = request.invalid_imei();
            eca::compose_fault(
                out,
                node,
                request.envelope(),
                &fault,
                request.overload_control(),
            );
            observer.faulted(request.message(), &fault);
        }
    }
    if let Some(shadow) = rulebook.shadow(inquiry, now, &verdict) {
        observer.shadowed(&checked, &shadow);
    }
}

/// What is answered: a status or, within, that there is none; `None` if the
/// request is at fault.
const fn answered(outcome: Outcome) -> Option<Option<EquipmentStatus>> {
    match outcome {
        Outcome::Status(status) => Some(Some(equipment_status(status))),
        Outcome::Unknown => Some(None),
        Outcome::Malformed => None,
    }
}

/// Whether the header names something that is served here.
#[inline]
fn check_header<'a>(message: &Message<'a>) -> Result<(), Fault<'a>> {
    let header = message.header();
    if header.flags.contains(CommandFlags::ERROR) {
        return Err(Fault::ErrorBitInRequest);
    }
    match header.application {
        ApplicationId::S13 if header.command == CommandCode::ME_IDENTITY_CHECK => Ok(()),
        ApplicationId::S13 | ApplicationId::COMMON => Err(Fault::UnknownCommand),
        _ => Err(Fault::UnknownApplication),
    }
}

/// What the register is asked for this request.
///
/// A Software-Version that is not two digits and a User-Name that is no IMSI
/// count as absent: both are optional, and refusing the request for them would
/// cost a subscriber the service for a client's slip.
#[inline]
fn inquiry<'a>(request: &IdentityCheckRequest<'a>) -> Inquiry<'a> {
    Inquiry {
        imei: Imei::parse(request.imei()),
        svn: request.software_version().and_then(Svn::from_digits),
        imsi: request
            .user_name()
            .and_then(|user_name| Imsi::parse(user_name).ok()),
        origin_host: request.origin_host(),
        origin_realm: request.origin_realm(),
        route_record: request.route_record(),
    }
}

/// The value on the wire of the register's status.
const fn equipment_status(status: Status) -> EquipmentStatus {
    match status {
        Status::Whitelisted => EquipmentStatus::WHITELISTED,
        Status::Blacklisted => EquipmentStatus::BLACKLISTED,
        Status::Greylisted => EquipmentStatus::GREYLISTED,
    }
}
