//! The one constructor of answers (RFC 6733 section 6.2).
//!
//! Every answer of Weir, of every command, begins and ends here, so what all
//! answers must repeat is written once: the identifiers and the P bit of the
//! header, the Session-Id as the first AVP, the own Origin-Host and
//! Origin-Realm, and every Proxy-Info, unchanged and in order, at the end.
//!
//! ```text
//! normal:    [Session-Id] Result-Code | Experimental-Result  [Auth-Session-State]
//!            Origin-Host Origin-Realm  (the command's own)   [Error-Message] [Failed-AVP] [Proxy-Info …]
//! E bit set: [Session-Id] Origin-Host Origin-Realm Result-Code [Error-Message] [Failed-AVP] [Proxy-Info …]
//! ```

use bytes::BytesMut;

use super::node::Node;
use crate::wire::code::VendorId;
use crate::wire::{Avps, Composer, Fault, Message, ResultCode, dictionary};

/// Auth-Session-State of every S13 message: NO_STATE_MAINTAINED (RFC 6733
/// section 8.11).
pub const NO_STATE_MAINTAINED: u32 = 1;

/// What an answer repeats of its request.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The request.
    message: Message<'a>,
    /// Its Session-Id.
    session_id: Option<&'a [u8]>,
    /// Whether there may be Proxy-Infos in it.
    proxied: bool,
}

impl<'a> Envelope<'a> {
    /// Walks the message for what must be repeated, as far as it can be
    /// walked.
    #[must_use]
    pub fn of(message: &Message<'a>) -> Self {
        let mut session_id = None;
        let mut proxied = false;
        for avp in message.avps().map_while(Result::ok) {
            if avp.key() == dictionary::SESSION_ID.key {
                session_id = session_id.or_else(|| Some(avp.data()));
            }
            proxied |= avp.key() == dictionary::PROXY_INFO.key;
        }
        Self::known(*message, session_id, proxied)
    }

    /// The same without another walk, from what a walk already found.
    #[inline]
    #[must_use]
    pub const fn known(message: Message<'a>, session_id: Option<&'a [u8]>, proxied: bool) -> Self {
        Self {
            message,
            session_id,
            proxied,
        }
    }

    /// Its Proxy-Infos, if there are any, among other AVPs.
    #[inline]
    fn proxies(&self) -> Avps<'a> {
        match self.proxied {
            true => self.message.avps(),
            false => Avps::none(),
        }
    }
}

/// An answer being composed.
#[derive(Debug)]
pub struct Answer<'o, 'a> {
    /// The message.
    out: Composer<'o>,
    /// Where the Proxy-Infos are that it repeats at its end.
    proxies: Avps<'a>,
}

impl<'o, 'a> Answer<'o, 'a> {
    /// An answer with 2001, DIAMETER_SUCCESS.
    #[inline]
    #[must_use]
    pub fn success(out: &'o mut BytesMut, envelope: Envelope<'a>, node: &Node) -> Self {
        Self::begin(out, envelope, false, |out| {
            out.unsigned32(&dictionary::RESULT_CODE, ResultCode::SUCCESS.0);
            out.precomposed(origin(node, &envelope));
        })
    }

    /// An answer with an Experimental-Result of `vendor`, and no Result-Code.
    #[inline]
    #[must_use]
    pub fn experimental(
        out: &'o mut BytesMut,
        envelope: Envelope<'a>,
        node: &Node,
        vendor: VendorId,
        code: u32,
    ) -> Self {
        Self::begin(out, envelope, false, |out| {
            out.group(&dictionary::EXPERIMENTAL_RESULT, |out| {
                out.unsigned32(&dictionary::VENDOR_ID, vendor.0);
                out.unsigned32(&dictionary::EXPERIMENTAL_RESULT_CODE, code);
            });
            out.precomposed(origin(node, &envelope));
        })
    }

    /// The beginning of an answer that reports `fault`; the Failed-AVP is
    /// still to come, see [`fail`](Self::fail).
    fn fault(out: &'o mut BytesMut, envelope: Envelope<'a>, node: &Node, code: ResultCode) -> Self {
        let error = code.is_protocol_error();
        Self::begin(out, envelope, error, |out| {
            if error {
                out.precomposed(node.origin());
                out.unsigned32(&dictionary::RESULT_CODE, code.0);
            } else {
                out.unsigned32(&dictionary::RESULT_CODE, code.0);
                out.precomposed(origin(node, &envelope));
            }
        })
    }

    /// Composes the whole answer to a request with a fault. `own` adds the
    /// command's own AVPs, unless the E bit replaces the command's grammar by
    /// that of errors (RFC 6733 section 7.2).
    pub fn fail(
        out: &'o mut BytesMut,
        envelope: Envelope<'a>,
        node: &Node,
        fault: &Fault<'_>,
        own: impl FnOnce(&mut Composer<'_>),
    ) {
        let report = fault.report();
        let mut answer = Self::fault(out, envelope, node, report.result_code);
        if !report.result_code.is_protocol_error() {
            own(answer.avps());
        }
        answer
            .avps()
            .octets(&dictionary::ERROR_MESSAGE, report.message.as_bytes());
        report.failed_avp.compose(answer.avps());
        answer.finish();
    }

    /// Header, Session-Id and what `result` composes.
    #[inline]
    fn begin(
        out: &'o mut BytesMut,
        envelope: Envelope<'a>,
        error: bool,
        result: impl FnOnce(&mut Composer<'_>),
    ) -> Self {
        let mut out = Composer::begin(out, &envelope.message.header().answer(error));
        if let Some(session_id) = envelope.session_id {
            // Composed anew rather than copied: a stray P or reserved flag of
            // the request has no place in the answer.
            out.octets(&dictionary::SESSION_ID, session_id);
        }
        result(&mut out);
        Self {
            out,
            proxies: envelope.proxies(),
        }
    }

    /// Where the command's own AVPs go.
    pub fn avps(&mut self) -> &mut Composer<'o> {
        &mut self.out
    }

    /// Copies the Proxy-Infos and ends the message.
    #[inline]
    pub fn finish(mut self) {
        for avp in self.proxies.map_while(Result::ok) {
            if avp.key() == dictionary::PROXY_INFO.key {
                self.out.copy(&avp);
            }
        }
        self.out.finish();
    }
}

/// Origin-Host and Origin-Realm behind the result, and before them
/// Auth-Session-State, for every application: only the base protocol's own
/// commands have no sessions.
#[inline]
fn origin<'n>(node: &'n Node, request: &Envelope<'_>) -> &'n [u8] {
    match request.message.header().application {
        crate::wire::ApplicationId::COMMON => node.origin(),
        _ => node.session_and_origin(),
    }
}
