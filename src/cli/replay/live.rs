//! Replay against a live server: one connection for each recorded flow,
//! one after the other, and the recorded requests as they are.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::BytesMut;
use tokio::time::timeout;

use super::recording::{Exchange, Recording, identity, is_base_request, number, view};
use super::{Reply, Silence};
use crate::base::node::{Limits, NodeSettings};
use crate::base::{Answer, Envelope, Node};
use crate::cli::transport::TransportArgs;
use crate::cli::{complete, runtime};
use crate::error::Failed;
use crate::net::client::{Client, ClientError};
use crate::wire::{CommandCode, DEFAULT_MESSAGE_LEN_MAX, Message, ResultCode, dictionary};

/// How long to wait for an answer. An EIR answers in milliseconds; five
/// seconds allow for a path with losses.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests without an answer that may be on their way at once: enough to fill
/// a path, few enough that any server has room for the answers.
const WINDOW: usize = 32;

/// Octets of requests that may be on their way at once, so that neither side
/// ever waits for the other to read.
const WINDOW_BYTES: usize = 64 * 1024;

/// Sends all requests of a recording to the server `peer`.
///
/// # Errors
///
/// When no connection can be opened. A connection that fails later leaves
/// requests without an answer, which is a result.
pub(super) fn replay(
    recording: &Recording<'_>,
    peer: &str,
    transport: &TransportArgs,
) -> Result<Vec<Reply>, Failed> {
    let runtime = runtime()?;
    let address = transport.address(peer);
    complete(runtime, replay_flows(recording, &address, transport))
}

/// Replays flow after flow.
async fn replay_flows(
    recording: &Recording<'_>,
    address: &str,
    transport: &TransportArgs,
) -> Result<Vec<Reply>, Failed> {
    let carrier = transport.carrier()?;
    let mut replies: Vec<Reply> = (recording.exchanges.iter())
        .map(|_| Reply::silent(Silence::Lost))
        .collect();
    let mut flows: Vec<Vec<usize>> = vec![Vec::new(); recording.capture.flows.len()];
    for (number, exchange) in recording.exchanges.iter().enumerate() {
        if let Some(flow) = flows.get_mut(exchange.request.flow.0 as usize) {
            flow.push(number);
        }
    }
    for numbers in flows {
        let requests: Vec<_> = (numbers.iter())
            .filter_map(|&number| Some((number, recording.exchanges.get(number)?)))
            .collect();
        let Some((_, first)) = requests.first() else {
            continue;
        };
        let client = Client::connect(address, &carrier, client_node(first), PATIENCE)
            .await
            .map_err(|error| {
                let remedy = transport.remedy(&error);
                match error {
                    ClientError::Connect(..) => Failed::new(format!(
                        "{error}{remedy}\nWithout --peer no server is needed."
                    )),
                    _ => Failed::new(format!("{address}: {error}{remedy}")),
                }
            })?;
        let mut conversation = Conversation {
            client,
            replies: &mut replies,
            waiting: VecDeque::new(),
            bytes: 0,
        };
        let end = conversation.run(&requests).await;
        if end.is_ok() {
            // The answers are there; how the server says goodbye is its own.
            let _ = timeout(PATIENCE, conversation.client.disconnect()).await;
        }
        let silence = end.err().unwrap_or(Silence::Lost);
        for (number, _) in requests {
            if let Some(reply @ Reply { answer: Err(_), .. }) = replies.get_mut(number) {
                reply.answer = Err(silence.clone());
            }
        }
    }
    Ok(replies)
}

/// The client of a flow, for what has to be composed: DWA, DPR, and the CER
/// of a flow whose own was not captured.
fn client_node(first: &Exchange<'_>) -> Node {
    let name = |definition, default: &str| {
        identity(&first.message, definition).unwrap_or_else(|| default.to_owned())
    };
    Node::new(NodeSettings {
        origin_host: name(dictionary::ORIGIN_HOST, "replay.weir.invalid"),
        origin_realm: name(dictionary::ORIGIN_REALM, "weir.invalid"),
        realms: Vec::new(),
        vendor_id: 0,
        product_name: "weir replay".to_owned(),
        firmware_revision: 1,
        state_id: number(&first.message, dictionary::ORIGIN_STATE_ID).unwrap_or_default(),
        limits: Limits {
            message_len_max: DEFAULT_MESSAGE_LEN_MAX,
            output_len_max: DEFAULT_MESSAGE_LEN_MAX,
            watchdog: crate::base::watchdog::DEFAULT_INTERVAL,
            handshake: PATIENCE,
            drain: PATIENCE,
        },
    })
}

/// One flow on its way.
struct Conversation<'r> {
    /// The connection.
    client: Client,
    /// Where the answers go.
    replies: &'r mut [Reply],
    /// The requests without an answer, the oldest first: exchange, both
    /// identifiers, octets.
    waiting: VecDeque<(usize, (u32, u32), usize)>,
    /// Octets of these.
    bytes: usize,
}

impl Conversation<'_> {
    /// Sends the requests and collects the answers. The error is why the
    /// connection is over, which is also what silenced the rest.
    async fn run(&mut self, requests: &[(usize, &Exchange<'_>)]) -> Result<(), Silence> {
        let cer = |exchange: &Exchange<'_>| exchange.is_base(CommandCode::CAPABILITIES_EXCHANGE);
        if !requests.first().is_some_and(|(_, first)| cer(first)) {
            self.client.handshake().await.map_err(silence)?;
        }
        for &(number, exchange) in requests {
            let dpr = exchange.is_base(CommandCode::DISCONNECT_PEER);
            // Nothing may overtake the CER, and the DPR may overtake nothing.
            let alone = dpr || cer(exchange);
            let len = exchange.request.bytes.len();
            while !self.waiting.is_empty()
                && (alone || self.waiting.len() >= WINDOW || self.bytes + len > WINDOW_BYTES)
            {
                self.receive().await?;
            }
            self.send(number, exchange).await?;
            while alone && !self.waiting.is_empty() {
                self.receive().await?;
            }
            if dpr {
                return Err(Silence::Ended("the recorded DPR ended the flow".to_owned()));
            }
            if cer(exchange) {
                self.check_cea(number)?;
            }
        }
        while !self.waiting.is_empty() {
            self.receive().await?;
        }
        Ok(())
    }

    /// Sends one request.
    async fn send(&mut self, number: usize, exchange: &Exchange<'_>) -> Result<(), Silence> {
        let header = exchange.message.header();
        let bytes = &exchange.request.bytes;
        match timeout(PATIENCE, self.client.send(bytes)).await {
            Ok(sent) => sent.map_err(silence)?,
            Err(_) => return Err(silence(ClientError::Timeout(PATIENCE))),
        }
        let identifiers = (header.hop_by_hop, header.end_to_end);
        self.waiting.push_back((number, identifiers, bytes.len()));
        self.bytes += bytes.len();
        Ok(())
    }

    /// Takes one message of the server.
    async fn receive(&mut self) -> Result<(), Silence> {
        let bytes = match timeout(PATIENCE, self.client.receive()).await {
            Ok(received) => received.map_err(silence)?,
            Err(_) => return Err(silence(ClientError::Timeout(PATIENCE))),
        };
        let Some(message) = view(&bytes) else {
            return Ok(());
        };
        if message.header().is_request() {
            return self.take_request(&message).await;
        }
        let header = message.header();
        let identifiers = (header.hop_by_hop, header.end_to_end);
        let position = self
            .waiting
            .iter()
            .position(|(_, sent, _)| *sent == identifiers);
        if let Some((number, _, len)) = position.and_then(|at| self.waiting.remove(at)) {
            self.bytes = self.bytes.saturating_sub(len);
            if let Some(reply) = self.replies.get_mut(number) {
                reply.answer = Ok(bytes);
            }
        }
        Ok(())
    }

    /// Answers the server's DPR, which ends the flow. Its DWRs are answered by
    /// the client, and an EIR has no other requests.
    async fn take_request(&mut self, request: &Message<'_>) -> Result<(), Silence> {
        if !is_base_request(request, CommandCode::DISCONNECT_PEER) {
            return Ok(());
        }
        let mut dpa = BytesMut::new();
        Answer::success(&mut dpa, Envelope::of(request), self.client.node()).finish();
        self.client.send(&dpa).await.map_err(silence)?;
        Err(Silence::Ended("the server disconnected".to_owned()))
    }

    /// Whether the CER was accepted.
    fn check_cea(&self, cer: usize) -> Result<(), Silence> {
        let Some(Reply {
            answer: Ok(cea), ..
        }) = self.replies.get(cer)
        else {
            return Err(Silence::Unanswered);
        };
        let code = view(cea).and_then(|cea| number(&cea, dictionary::RESULT_CODE));
        match ResultCode(code.unwrap_or_default()) {
            ResultCode::SUCCESS => Ok(()),
            code => Err(Silence::Ended(format!("the CER was refused with {code}"))),
        }
    }
}

/// What a failed connection means for the requests on it.
fn silence(error: ClientError) -> Silence {
    match error {
        ClientError::Timeout(patience) => {
            Silence::Ended(format!("no answer within {} s", patience.as_secs()))
        }
        ClientError::Closed => Silence::Ended("the server closed the connection".to_owned()),
        other => Silence::Ended(other.to_string()),
    }
}
