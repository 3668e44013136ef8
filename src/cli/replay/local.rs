//! Replay without a server: the requests go through the same connection and
//! register as on a live server, at the times of the recording.

use core::time::Duration;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::recording::{Recording, is_base_request, view};
use super::{Reply, Silence};
use crate::base::node::NodeSettings;
use crate::base::{Node, peer};
use crate::capture::{FlowId, Transport};
use crate::connection::{Connection, Decision};
use crate::net::host_address;
use crate::policy::Rulebook;
use crate::service::{Checked, Observer};
use crate::time::{Now, UnixTime, Uptime};
use crate::wire::compose::HostAddress;
use crate::wire::{CommandCode, Deframed, deframe};

/// Answers all requests of a recording. `configured` is the node as the
/// configuration has it; unless `own_identity`, each flow is answered in the
/// name of its recorded server, so that only what matters differs. Rules are
/// judged by the times of the recording, or all by `at`. `explain` asks for the
/// grounds of verdicts, which costs more than the verdicts.
pub(super) fn replay(
    recording: &Recording<'_>,
    configured: &Node,
    own_identity: bool,
    rulebook: &Rulebook,
    at: Option<UnixTime>,
    explain: bool,
) -> Vec<Reply> {
    let mut replies: Vec<Reply> = (recording.exchanges.iter())
        .map(|_| Reply::silent(Silence::Lost))
        .collect();
    let flows = recording.capture.flows.len();
    let mut connections: Vec<Option<Connection>> = (0..flows).map(|_| None).collect();
    let origin = recording.capture.messages.first();
    let origin = origin.map_or(0, |message| message.time_ns);
    let mut uptime = Uptime::default();
    for (message, exchange) in recording.fed() {
        // Captures of several interfaces may be out of order, and a
        // connection's time never runs backwards.
        let since = Duration::from_nanos(message.time_ns.saturating_sub(origin));
        uptime = uptime.max(Uptime(since));
        let now = Now {
            uptime,
            unix: at.unwrap_or_else(|| message.unix_time()),
        };
        let Some(slot) = connections.get_mut(message.flow.0 as usize) else {
            continue;
        };
        let connection = slot.get_or_insert_with(|| {
            let (node, addresses) = node(recording, message.flow, configured, own_identity);
            let cer = view(&message.bytes)
                .is_some_and(|first| is_base_request(&first, CommandCode::CAPABILITIES_EXCHANGE));
            match cer {
                true => Connection::new(node, &addresses, 0, now.uptime),
                false => Connection::already_open(node, &addresses, now.uptime),
            }
        });
        let mut observer = Grounds {
            rulebook,
            now,
            wanted: explain,
            ground: None,
        };
        let mut out = BytesMut::new();
        feed(connection, now, message, rulebook, &mut out, &mut observer);
        if let Some(reply) = exchange.and_then(|number| replies.get_mut(number)) {
            reply.answer = answer_in(&out, &message.bytes).ok_or_else(|| silence(connection));
            reply.ground = observer.ground;
        }
    }
    replies
}

/// Hands a message in as its transport would; a claim is always granted, as
/// whom the recorded server let in is in the recording.
fn feed(
    connection: &mut Connection,
    now: Now,
    message: &crate::capture::Message,
    rulebook: &Rulebook,
    out: &mut BytesMut,
    observer: &mut impl Observer,
) {
    // The second time is for a CER whose claim had to be resolved.
    for _ in 0..2 {
        let bytes = message.bytes.as_slice();
        let taken = match message.transport {
            Transport::Tcp => connection.handle_input(now, bytes, rulebook, out, observer) > 0,
            Transport::Sctp => {
                let handled = connection.handle_messages(now, [bytes], rulebook, out, observer);
                !handled.is_empty()
            }
        };
        if taken || connection.claim().is_none() {
            return;
        }
        connection.resolve_claim(Decision::Granted);
    }
}

/// The answer to `request` in what a connection sent.
fn answer_in(sent: &[u8], request: &[u8]) -> Option<Bytes> {
    let request = view(request)?.header();
    let mut rest = sent;
    while let Deframed::Message(message) = deframe(rest, usize::MAX) {
        let header = message.header();
        let pairs = (header.hop_by_hop, header.end_to_end)
            == (request.hop_by_hop, request.end_to_end)
            && !header.is_request();
        if pairs {
            return Some(Bytes::copy_from_slice(message.bytes()));
        }
        rest = rest.get(message.len()..).unwrap_or_default();
    }
    None
}

/// Why a connection gave no answer.
fn silence(connection: &Connection) -> Silence {
    match connection.ending() {
        Some(ending) => Silence::Ended(ending.reason.to_string()),
        None if connection.state() == peer::State::Open => Silence::Unanswered,
        None => Silence::Lost,
    }
}

/// The node that answers a flow, and its addresses.
fn node(
    recording: &Recording<'_>,
    flow: FlowId,
    configured: &Node,
    own_identity: bool,
) -> (Arc<Node>, Vec<HostAddress>) {
    let mut settings: NodeSettings = configured.settings().clone();
    let local = recording.capture.flow(flow).map(|flow| flow.server.ip());
    let mut addresses: Vec<_> = local.map(host_address).into_iter().collect();
    let server = recording.servers.get(flow.0 as usize);
    if let (Some(server), false) = (server, own_identity) {
        let server = server.clone();
        if let Some((host, realm)) = server.origin {
            settings.origin_host = host;
            settings.origin_realm = realm;
        }
        settings.realms.extend(recording.realms.iter().cloned());
        settings.product_name = server.product_name.unwrap_or(settings.product_name);
        settings.vendor_id = server.vendor_id.unwrap_or(settings.vendor_id);
        settings.state_id = server.state_id.unwrap_or(settings.state_id);
        if let Some(revision) = server.firmware_revision {
            settings.firmware_revision = revision;
        }
        if !server.addresses.is_empty() {
            addresses = server.addresses;
        }
    }
    (Arc::new(Node::new(settings)), addresses)
}

//----------- Grounds ---------------------------------------------------------

/// Keeps what a verdict was based on.
struct Grounds<'r> {
    /// What decides.
    rulebook: &'r Rulebook,
    /// When.
    now: Now,
    /// Whether anybody wants to know.
    wanted: bool,
    /// What decided, in a few words.
    ground: Option<String>,
}

impl Observer for Grounds<'_> {
    fn checked(&mut self, check: &Checked<'_>) {
        if !self.wanted {
            return;
        }
        let explanation = self.rulebook.explain(check.inquiry, self.now.unix);
        let entry = explanation.decided_by.as_ref();
        let entry =
            entry.map(|entry| format!(" in {}:{} (list {})", entry.file, entry.line, entry.list));
        self.ground = Some(explanation.ground + &entry.unwrap_or_default());
    }
}
