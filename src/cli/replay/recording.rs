//! What a capture holds to be replayed: the requests of the connecting side,
//! each with its recorded answer, and who answered.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;

use crate::base::node::is_identity;
use crate::capture::{self, Capture, Direction};
use crate::wire::compose::HostAddress;
use crate::wire::frame::whole;
use crate::wire::{
    ApplicationId, AvpDefinition, CommandCode, CommandFlags, Message, ResultCode, dictionary,
};

/// The requests of a capture, in its order.
#[derive(Debug)]
pub(super) struct Recording<'c> {
    /// Where it comes from.
    pub(super) capture: &'c Capture,
    /// The requests of all clients.
    pub(super) exchanges: Vec<Exchange<'c>>,
    /// Who answered, by flow.
    pub(super) servers: Vec<Server>,
    /// Realms that requests were sent to and that were served.
    pub(super) realms: BTreeSet<String>,
    /// Requests of the accepting side, such as its own DWR: not replayed.
    pub(super) server_requests: u64,
    /// Answers of the accepting side without a request.
    pub(super) stray_answers: u64,
}

/// A request and what was answered.
#[derive(Debug)]
pub(super) struct Exchange<'c> {
    /// Its index in [`Capture::messages`].
    pub(super) index: usize,
    /// How the request travelled.
    pub(super) request: &'c capture::Message,
    /// The request itself.
    pub(super) message: Message<'c>,
    /// The recorded answer.
    pub(super) recorded: Option<Recorded<'c>>,
}

/// A recorded answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recorded<'c> {
    /// The frame that completed it.
    pub(super) frame: u64,
    /// The answer itself.
    pub(super) message: Message<'c>,
}

/// The accepting side of a flow as its answers show it. What they do not show
/// is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    /// Origin-Host and Origin-Realm.
    pub(super) origin: Option<(String, String)>,
    /// Product-Name.
    pub(super) product_name: Option<String>,
    /// Vendor-Id.
    pub(super) vendor_id: Option<u32>,
    /// Firmware-Revision.
    pub(super) firmware_revision: Option<u32>,
    /// Origin-State-Id.
    pub(super) state_id: Option<u32>,
    /// Host-IP-Addresses.
    pub(super) addresses: Vec<HostAddress>,
    /// How good a witness `origin` has; see [`Server::learn`].
    rank: u8,
}

/// What pairs an answer with its request: the flow and both identifiers.
type Pairing = (u32, u32, u32);

impl<'c> Recording<'c> {
    /// Pairs the messages of a capture.
    pub(super) fn of(capture: &'c Capture) -> Self {
        let mut this = Self {
            capture,
            exchanges: Vec::new(),
            servers: vec![Server::default(); capture.flows.len()],
            realms: BTreeSet::new(),
            server_requests: 0,
            stray_answers: 0,
        };
        this.pair();
        this.share_identities();
        this.collect_realms();
        this
    }

    /// Finds the answer of each request. Identifiers may be used again on one
    /// flow, so the oldest request without an answer gets it; and packets may
    /// have been captured in the wrong order, so an answer may come first.
    fn pair(&mut self) {
        let mut waiting: HashMap<Pairing, VecDeque<usize>> = HashMap::new();
        let mut early: HashMap<Pairing, VecDeque<Recorded<'c>>> = HashMap::new();
        for (index, request) in self.capture.messages.iter().enumerate() {
            let Some(message) = view(&request.bytes) else {
                continue;
            };
            let header = message.header();
            let key = (request.flow.0, header.hop_by_hop, header.end_to_end);
            match (request.direction, header.is_request()) {
                (Direction::FromClient, true) => {
                    let recorded = early.get_mut(&key).and_then(VecDeque::pop_front);
                    if recorded.is_none() {
                        let number = self.exchanges.len();
                        waiting.entry(key).or_default().push_back(number);
                    }
                    self.exchanges.push(Exchange {
                        index,
                        request,
                        message,
                        recorded,
                    });
                }
                (Direction::FromServer, false) => {
                    if let Some(server) = self.servers.get_mut(request.flow.0 as usize) {
                        server.learn(&message);
                    }
                    let recorded = Recorded {
                        frame: request.frame,
                        message,
                    };
                    let asked = waiting.get_mut(&key).and_then(VecDeque::pop_front);
                    match asked.and_then(|number| self.exchanges.get_mut(number)) {
                        Some(exchange) => exchange.recorded = Some(recorded),
                        None => early.entry(key).or_default().push_back(recorded),
                    }
                }
                (Direction::FromServer, true) => self.server_requests += 1,
                // Answers to the server's requests: fed, but not judged.
                (Direction::FromClient, false) => {}
            }
        }
        self.stray_answers = early.values().map(|left| left.len() as u64).sum();
    }

    /// A flow that shows little of its server learns it from other flows: of
    /// the same server, else of any.
    fn share_identities(&mut self) {
        let mut by_address: HashMap<SocketAddr, Server> = HashMap::new();
        let mut any = Server::default();
        for (server, flow) in self.servers.iter().zip(&self.capture.flows) {
            by_address.entry(flow.server).or_default().complete(server);
            any.complete(server);
        }
        for (server, flow) in self.servers.iter_mut().zip(&self.capture.flows) {
            if let Some(same) = by_address.get(&flow.server) {
                server.complete(same);
            }
            server.complete(&any);
        }
    }

    /// The realms that were served, as far as the answers tell.
    fn collect_realms(&mut self) {
        for exchange in &self.exchanges {
            let Some(recorded) = exchange.recorded else {
                continue;
            };
            let code = number(&recorded.message, dictionary::RESULT_CODE);
            if code == Some(ResultCode::REALM_NOT_SERVED.0) {
                continue;
            }
            let realm = identity(&exchange.message, dictionary::DESTINATION_REALM);
            self.realms.extend(realm);
        }
    }

    /// The messages that the client of each flow sent, in the order of the
    /// capture; a request with the number of its exchange.
    pub(super) fn fed(&self) -> impl Iterator<Item = (&'c capture::Message, Option<usize>)> {
        let mut exchanges = self.exchanges.iter().enumerate().peekable();
        let messages = self.capture.messages.iter().enumerate();
        messages.filter_map(move |(index, message)| {
            let request = exchanges.next_if(|(_, exchange)| exchange.index == index);
            let number = request.map(|(number, _)| number);
            (message.direction == Direction::FromClient).then_some((message, number))
        })
    }
}

impl Exchange<'_> {
    /// Whether the request is this one of the base protocol.
    pub(super) fn is_base(&self, command: CommandCode) -> bool {
        is_base_request(&self.message, command)
    }
}

impl Server {
    /// Learns from an answer. The best witness of an identity is a good
    /// answer of S13, as a CEA may be that of an agent in between; an error may
    /// come from anywhere.
    fn learn(&mut self, answer: &Message<'_>) {
        let header = answer.header();
        let cea = header.command == CommandCode::CAPABILITIES_EXCHANGE;
        let rank = match header.application {
            _ if header.flags.contains(CommandFlags::ERROR) => 1,
            ApplicationId::S13 => 3,
            _ if cea => 2,
            _ => 1,
        };
        let host = identity(answer, dictionary::ORIGIN_HOST);
        let realm = identity(answer, dictionary::ORIGIN_REALM);
        if let (Some(host), Some(realm)) = (host, realm)
            && rank > self.rank
        {
            self.origin = Some((host, realm));
            self.rank = rank;
        }
        if self.state_id.is_none() {
            self.state_id = number(answer, dictionary::ORIGIN_STATE_ID);
        }
        if cea && self.addresses.is_empty() {
            self.product_name = text(answer, dictionary::PRODUCT_NAME);
            self.vendor_id = number(answer, dictionary::VENDOR_ID);
            self.firmware_revision = number(answer, dictionary::FIRMWARE_REVISION);
            self.addresses = addresses(answer);
        }
    }

    /// Takes what is missing from another.
    fn complete(&mut self, other: &Self) {
        if self.rank < other.rank && self.origin.is_none() {
            self.origin.clone_from(&other.origin);
            self.rank = other.rank;
        }
        self.state_id = self.state_id.or(other.state_id);
        if self.addresses.is_empty() {
            self.product_name.clone_from(&other.product_name);
            self.vendor_id = other.vendor_id;
            self.firmware_revision = other.firmware_revision;
            self.addresses.clone_from(&other.addresses);
        }
    }
}

/// A recorded message as a view; none if its bytes are not exactly one, which
/// a capture's messages are.
pub(super) fn view(bytes: &[u8]) -> Option<Message<'_>> {
    whole(bytes, usize::MAX).ok()
}

/// Whether a message is this request of the base protocol.
pub(super) fn is_base_request(message: &Message<'_>, command: CommandCode) -> bool {
    let header = message.header();
    header.is_request() && header.command == command && header.application == ApplicationId::COMMON
}

/// The data of the first AVP of this kind.
pub(super) fn data<'m>(message: &Message<'m>, definition: AvpDefinition) -> Option<&'m [u8]> {
    let mut avps = message.avps().map_while(Result::ok);
    let avp = avps.find(|avp| avp.key() == definition.key)?;
    Some(avp.data())
}

/// The number in the first AVP of this kind.
pub(super) fn number(message: &Message<'_>, definition: AvpDefinition) -> Option<u32> {
    Some(u32::from_be_bytes(
        data(message, definition)?.try_into().ok()?,
    ))
}

/// The text in the first AVP of this kind.
fn text(message: &Message<'_>, definition: AvpDefinition) -> Option<String> {
    Some(String::from_utf8_lossy(data(message, definition)?).into_owned())
}

/// The name in the first AVP of this kind, if it can be one.
pub(super) fn identity(message: &Message<'_>, definition: AvpDefinition) -> Option<String> {
    let name = data(message, definition)?;
    is_identity(name).then(|| String::from_utf8_lossy(name).into_owned())
}

/// The Host-IP-Addresses of a CEA. Families other than the two of IP cannot be
/// composed and are left out.
fn addresses(cea: &Message<'_>) -> Vec<HostAddress> {
    let avps = cea.avps().map_while(Result::ok);
    let found = avps.filter(|avp| avp.key() == dictionary::HOST_IP_ADDRESS.key);
    found
        .filter_map(|avp| match avp.data().split_first_chunk::<2>()? {
            ([0, 1], address) => Some(HostAddress::V4(address.try_into().ok()?)),
            ([0, 2], address) => Some(HostAddress::V6(address.try_into().ok()?)),
            _ => None,
        })
        .collect()
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::capture::{Ending, Flow, Opening, Transport};
    use crate::wire::{Composer, Header};

    /// A capture of one flow, from direction, command, identifier and
    /// Origin-Host of each message. Frames count from 1.
    fn capture(messages: &[(Direction, u32, u32, &str)]) -> Capture {
        let flow = |client: &str| Flow {
            transport: Transport::Tcp,
            client: client.parse().unwrap(),
            server: "192.0.2.1:3868".parse().unwrap(),
            first_frame: 1,
            opening: Opening::MidStream,
            ending: Ending::Open,
        };
        let messages = (1..).zip(messages);
        let messages = messages.map(|(frame, &(direction, command, identifier, host))| {
            let request = direction == Direction::FromClient;
            let application = match command {
                324 => ApplicationId::S13,
                _ => ApplicationId::COMMON,
            };
            let header = Header {
                length: 0,
                flags: CommandFlags(if request { 0x80 } else { 0 }),
                command: CommandCode(command),
                application,
                hop_by_hop: identifier,
                end_to_end: identifier,
            };
            let mut bytes = BytesMut::new();
            let mut out = Composer::begin(&mut bytes, &header);
            out.octets(&dictionary::ORIGIN_HOST, host.as_bytes());
            out.octets(&dictionary::ORIGIN_REALM, b"realm");
            out.finish();
            capture::Message {
                time_ns: frame,
                frame,
                flow: capture::FlowId(0),
                direction,
                transport: Transport::Tcp,
                stream: 0,
                payload_protocol: None,
                bytes: bytes.to_vec(),
            }
        });
        Capture {
            messages: messages.collect(),
            flows: vec![flow("192.0.2.2:1000"), flow("192.0.2.2:1001")],
            ..Capture::default()
        }
    }

    #[test]
    fn answers_find_their_requests() {
        use Direction::{FromClient as C, FromServer as S};
        let capture = capture(&[
            (C, 324, 7, "mme"),
            // The same identifiers again, before and after an answer.
            (C, 324, 7, "mme"),
            (S, 324, 7, "eir"),
            (S, 324, 7, "eir"),
            (C, 324, 7, "mme"),
            // Captured before its request.
            (S, 324, 8, "eir"),
            (C, 324, 8, "mme"),
            (S, 324, 9, "eir"),
        ]);
        let recording = Recording::of(&capture);
        let pairs: Vec<_> = (recording.exchanges.iter())
            .map(|exchange| (exchange.request.frame, exchange.recorded.map(|r| r.frame)))
            .collect();
        assert_eq!(pairs, [(1, Some(3)), (2, Some(4)), (5, None), (7, Some(6))]);
        assert_eq!(recording.stray_answers, 1);
        let fed: Vec<_> = recording
            .fed()
            .map(|(message, number)| (message.frame, number))
            .collect();
        assert_eq!(
            fed,
            [(1, Some(0)), (2, Some(1)), (5, Some(2)), (7, Some(3))]
        );
    }

    #[test]
    fn the_eir_behind_an_agent_is_who_answers_s13() {
        use Direction::{FromClient as C, FromServer as S};
        let capture = capture(&[
            (C, 257, 1, "mme"),
            (S, 257, 1, "agent"),
            (C, 324, 2, "mme"),
            (S, 324, 2, "eir"),
            (S, 280, 3, "agent"),
        ]);
        let recording = Recording::of(&capture);
        let hosts: Vec<_> = (recording.servers.iter())
            .map(|server| server.origin.as_ref().map(|(host, _)| host.as_str()))
            .collect();
        // The other flow goes to the same server and shows nothing itself.
        assert_eq!(hosts, [Some("eir"), Some("eir")]);
    }
}
