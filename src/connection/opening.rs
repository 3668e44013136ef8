//! How a connection opens: by a peer's CER and the decision on its claim, or by
//! the CEA to a CER of ours.

use std::sync::Arc;

use bytes::BytesMut;

use super::{CLAIM_WAIT, Connection, Decision, EndReason};
use crate::base::capabilities::{self, Acceptance, Capabilities};
use crate::base::node::{IDENTITY_LEN_MAX, is_identity};
use crate::base::peer::{Action, Event, State, transition};
use crate::service::Observer;
use crate::time::Uptime;
use crate::wire::{Fault, Message, ResultCode};

/// Who is at the other end, as its CER or CEA says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Origin-Host; printable ASCII.
    pub origin_host: String,
    /// Origin-Realm; printable ASCII.
    pub origin_realm: String,
    /// Origin-State-Id; 0 if it gave none.
    pub state_id: u32,
}

/// Whom a connection is opened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callee {
    /// The Origin-Host that its CEA must have.
    pub origin_host: String,
    /// The Origin-Realm that its CEA must have; any if none.
    pub origin_realm: Option<String>,
}

/// What a connection that we have opened knows besides.
#[derive(Debug)]
pub(super) struct Call {
    /// Whom we have called.
    pub(super) callee: Callee,
    /// The identifiers of our CER.
    pub(super) cer: (u32, u32),
    /// The Error-Message of its CEA.
    pub(super) said: Option<String>,
}

impl Connection {
    //----------- The CEA to our CER

    /// Whether an answer has the identifiers of our CER.
    pub(super) fn is_to_our_cer(&self, message: &Message<'_>) -> bool {
        let header = message.header();
        let identifiers = (header.hop_by_hop, header.end_to_end);
        self.call
            .as_ref()
            .is_some_and(|call| call.cer == identifiers)
    }

    /// Handles the CEA.
    pub(super) fn on_cea(&mut self, now: Uptime, message: &Message<'_>) {
        if self.state != State::WaitCea {
            return self.step(Event::CeaBad, EndReason::NotCea);
        }
        match self.judge_cea(message) {
            Ok(()) => {
                self.step(Event::CeaGood, EndReason::NotCea);
                self.open(now);
            }
            Err(reason) => self.step(Event::CeaBad, reason),
        }
    }

    /// Whether the connection may open with this CEA.
    fn judge_cea(&mut self, message: &Message<'_>) -> Result<(), EndReason> {
        let cea = Acceptance::read(message).ok_or(EndReason::BadCea)?;
        if let Some(call) = &mut self.call {
            call.said = cea.error_message.map(text);
        }
        if cea.result_code != ResultCode::SUCCESS {
            return Err(EndReason::RefusedByPeer(cea.result_code));
        }
        self.peer = Some(Peer {
            origin_host: text(cea.origin_host),
            origin_realm: text(cea.origin_realm),
            state_id: cea.state_id,
        });
        let is_callee = self.call.as_ref().is_some_and(|call| {
            let realm = call.callee.origin_realm.as_ref();
            let host = call.callee.origin_host.as_bytes();
            host.eq_ignore_ascii_case(cea.origin_host)
                && realm.is_none_or(|realm| realm.as_bytes().eq_ignore_ascii_case(cea.origin_realm))
        });
        // The host is the callee's; the realm is the peer's to choose, but to be
        // shown to people.
        match (is_callee, cea.has_common_application) {
            (false, _) => Err(EndReason::WrongPeer),
            (true, _) if !is_identity(cea.origin_realm) => Err(EndReason::BadCea),
            (true, false) => Err(EndReason::NoCommonApplication),
            (true, true) => Ok(()),
        }
    }

    //----------- The peer's CER

    /// Handles a CER; returns whether it is done with.
    pub(super) fn on_cer(
        &mut self,
        now: Uptime,
        message: &Message<'_>,
        out: &mut BytesMut,
        observer: &mut impl Observer,
    ) -> bool {
        let node = Arc::clone(&self.node);
        let (event, result) = if self.state == State::Claiming {
            // The second look at the CER, now that its claim is decided.
            match self.claim.take() {
                Some(Decision::Granted) => (Event::Granted, Ok(())),
                Some(Decision::Refused(refusal)) => (Event::Denied, Err(refusal.fault())),
                // Cannot be: nothing is handled while the claim is undecided.
                None => return false,
            }
        } else {
            match Capabilities::read(message) {
                Ok(capabilities) if self.secured => self.judge(&capabilities.over_tls()),
                Ok(capabilities) => self.judge(&capabilities),
                Err(fault) => (Event::CerBad, Err(fault)),
            }
        };
        let (action, _) = transition(self.state, event);
        match action {
            Action::Claim => {
                self.step(event, EndReason::NotCer);
                self.deadline = self.deadline.max(Some(now.plus(CLAIM_WAIT)));
                return false;
            }
            Action::Close => {
                self.step(event, self.premature());
                return true;
            }
            _ => {}
        }
        let result = match result {
            Ok(()) if action == Action::RefuseCer => Err(Fault::Closing),
            result => result,
        };
        capabilities::answer(message, &node, &self.addresses, result, out);
        match result {
            Ok(()) if event == Event::Granted => self.open(now),
            Ok(()) => {}
            Err(fault) => {
                observer.faulted(message, &fault);
                self.step(event, EndReason::Refused(fault.report().result_code));
            }
        }
        true
    }

    /// What a readable CER means for this connection.
    fn judge<'a>(&mut self, capabilities: &Capabilities<'a>) -> (Event, Result<(), Fault<'a>>) {
        // Known from here on, so that a refusal can be reported with a name.
        let peer = self.peer.get_or_insert_with(|| Peer::of(capabilities));
        if !peer.is(capabilities) {
            return (Event::CerForeign, Err(Fault::IdentityChanged));
        }
        match capabilities.negotiate() {
            Ok(()) => (Event::CerGood, Ok(())),
            Err(fault) => (Event::CerBad, Err(fault)),
        }
    }
}

impl Peer {
    /// The peer that a CER names.
    fn of(capabilities: &Capabilities<'_>) -> Self {
        Self {
            origin_host: text(capabilities.origin_host),
            origin_realm: text(capabilities.origin_realm),
            state_id: capabilities.state_id,
        }
    }

    /// Whether a CER names this peer.
    const fn is(&self, capabilities: &Capabilities<'_>) -> bool {
        self.origin_host
            .as_bytes()
            .eq_ignore_ascii_case(capabilities.origin_host)
    }
}

/// The peer's text as ours, whatever it is, and no more of it than a name may
/// have: logs and tables show it, and an answer can be of any length.
fn text(bytes: &[u8]) -> String {
    let shown = bytes.get(..IDENTITY_LEN_MAX).unwrap_or(bytes);
    String::from_utf8_lossy(shown).into_owned()
}
