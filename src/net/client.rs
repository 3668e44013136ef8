//! A small Diameter client: connects, exchanges capabilities, and pairs
//! answers with requests. For `weir check`, live replay and tests.

mod transport;

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{sleep, timeout};
use tokio_util::codec::Decoder;

pub use self::transport::Carrier;
use self::transport::Transport;
use super::codec::MessageCodec;
use super::tls::words;
use super::{host_address, seed};
use crate::base::disconnect::{DisconnectCause, compose_request};
use crate::base::{Answer, Envelope, Node, capabilities, watchdog};
use crate::wire::{CommandCode, Deframed, Message, ResultCode, deframe, dictionary};

/// A connection to a Diameter server.
#[derive(Debug)]
pub struct Client {
    /// What carries the messages.
    transport: Transport,
    /// Who we say we are.
    node: Node,
    /// Framing.
    codec: MessageCodec,
    /// Received, not yet decoded.
    input: BytesMut,
    /// The next Hop-by-Hop Identifier.
    next: u32,
    /// How long to wait for anything.
    patience: Duration,
}

/// Why a client could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No transport connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, io::Error),
    /// No agreement on TLS.
    #[error("no TLS with the server: {0}")]
    Tls(String),
    /// The server speaks TLS, and the client does not.
    #[error("the server speaks TLS on this port")]
    SpeaksTls,
    /// The server did not answer in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The server closed the connection.
    #[error("the server closed the connection instead of answering")]
    Closed,
    /// The server disconnected in order.
    #[error("the server has disconnected")]
    Disconnected,
    /// The transport failed, or what came is no Diameter.
    #[error("the connection failed: {0}")]
    Transport(#[from] io::Error),
    /// The capabilities exchange was refused.
    #[error(
        "the server refused the capabilities exchange: {code}{}",
        in_brackets(message)
    )]
    Refused {
        /// Its Result-Code.
        code: ResultCode,
        /// Its Error-Message.
        message: Option<String>,
    },
}

/// An Error-Message behind a code.
fn in_brackets(message: &Option<String>) -> String {
    message
        .as_ref()
        .map(|text| format!(" ({text})"))
        .unwrap_or_default()
}

/// Who the server is, as its CEA says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerIdentity {
    /// Origin-Host.
    pub origin_host: String,
    /// Origin-Realm.
    pub origin_realm: String,
    /// Product-Name.
    pub product_name: String,
}

impl Client {
    /// Connects to `address` (host and port) as `node`.
    ///
    /// # Errors
    ///
    /// When nothing accepts the connection within `patience`, or TLS is wanted
    /// and not agreed.
    pub async fn connect(
        address: &str,
        carrier: &Carrier,
        node: Node,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        let transport = timeout(patience, Transport::connect(address, carrier))
            .await
            .map_err(|_| ClientError::Timeout(patience))??;
        #[expect(clippy::cast_possible_truncation, reason = "any 32 bits do")]
        let next = seed() as u32;
        Ok(Self {
            transport,
            node,
            codec: MessageCodec::default(),
            input: BytesMut::new(),
            next,
            patience,
        })
    }

    /// Who we say we are.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The local addresses, at least one.
    ///
    /// # Errors
    ///
    /// When the socket is dead.
    pub fn local_addresses(&self) -> io::Result<Vec<IpAddr>> {
        self.transport.local_addresses()
    }

    /// Fresh Hop-by-Hop and End-to-End Identifiers.
    pub const fn identifiers(&mut self) -> (u32, u32) {
        self.next = self.next.wrapping_add(1);
        (self.next, self.next)
    }

    /// Exchanges capabilities.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] when the server does not want us.
    pub async fn handshake(&mut self) -> Result<ServerIdentity, ClientError> {
        let addresses: Vec<_> = self
            .local_addresses()?
            .into_iter()
            .map(host_address)
            .collect();
        let identifiers = self.identifiers();
        let mut cer = BytesMut::new();
        capabilities::compose_request(&mut cer, &self.node, identifiers, &addresses);
        let cea = self.exchange(&cer).await?;
        let Deframed::Message(cea) = deframe(&cea, self.codec.message_len_max) else {
            return Err(ClientError::Closed);
        };
        let text = |definition: dictionary::AvpDefinition| text(&cea, definition);
        let code = ResultCode(number(&cea, dictionary::RESULT_CODE).unwrap_or_default());
        if code != ResultCode::SUCCESS {
            return Err(ClientError::Refused {
                code,
                message: text(dictionary::ERROR_MESSAGE),
            });
        }
        Ok(ServerIdentity {
            origin_host: text(dictionary::ORIGIN_HOST).unwrap_or_default(),
            origin_realm: text(dictionary::ORIGIN_REALM).unwrap_or_default(),
            product_name: text(dictionary::PRODUCT_NAME).unwrap_or_default(),
        })
    }

    /// Sends a request and waits for its answer, the one with its Hop-by-Hop
    /// Identifier. Watchdog requests of the server are answered meanwhile.
    ///
    /// # Errors
    ///
    /// When no answer comes in time or the connection fails.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Bytes, ClientError> {
        self.send(request).await?;
        let hop_by_hop = request.get(12..16).map(<[u8]>::to_vec);
        let patience = self.patience;
        let answer = async {
            loop {
                let message = self.receive().await?;
                let request = message.get(4).is_some_and(|flags| flags & 0x80 != 0);
                if !request && message.get(12..16) == hop_by_hop.as_deref() {
                    return Ok(message);
                }
            }
        };
        timeout(patience, answer)
            .await
            .map_err(|_| ClientError::Timeout(patience))?
    }

    /// Sends a message as it is.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), ClientError> {
        self.transport.send(message).await.map_err(failed)
    }

    /// The next message from the server that is no DWR; those are answered
    /// here.
    ///
    /// # Errors
    ///
    /// When the connection fails or is closed.
    pub async fn receive(&mut self) -> Result<Bytes, ClientError> {
        loop {
            while let Some(bytes) = self.decode()? {
                if !self.answer_watchdog(&bytes).await? {
                    return Ok(bytes);
                }
            }
            self.fill().await?;
        }
    }

    /// Waits for so long, and keeps the connection meanwhile: watchdog
    /// requests are answered, and so is a disconnect request, which ends it.
    ///
    /// # Errors
    ///
    /// When the connection ends.
    pub async fn idle(&mut self, span: Duration) -> Result<(), ClientError> {
        let mut over = pin!(sleep(span));
        loop {
            while let Some(bytes) = self.decode()? {
                if !self.answer_watchdog(&bytes).await? {
                    self.answer_disconnect(&bytes).await?;
                }
            }
            // Only reading is given up when the time is over: a message that
            // was half sent could not be taken back.
            tokio::select! {
                filled = self.fill() => filled?,
                () = &mut over => return Ok(()),
            }
        }
    }

    /// The next message that was received whole.
    fn decode(&mut self) -> Result<Option<Bytes>, ClientError> {
        let is_tls = self.input.starts_with(&TLS_RECORD) && self.transport.is_plain();
        match self.codec.decode(&mut self.input) {
            Err(_) if is_tls => Err(ClientError::SpeaksTls),
            decoded => Ok(decoded?),
        }
    }

    /// Receives more. May be given up without loss.
    async fn fill(&mut self) -> Result<(), ClientError> {
        match self.transport.receive(&mut self.input).await {
            Ok(0) => Err(ClientError::Closed),
            Ok(_) => Ok(()),
            // TLS that ends without saying so: nothing of a message is missing
            // that its length would not tell.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ClientError::Closed),
            Err(error) => Err(failed(error)),
        }
    }

    /// Answers a message if it is a DWR; tells whether it was.
    async fn answer_watchdog(&mut self, bytes: &[u8]) -> Result<bool, ClientError> {
        let Some(request) = request(bytes, CommandCode::DEVICE_WATCHDOG) else {
            return Ok(false);
        };
        let mut dwa = BytesMut::new();
        watchdog::answer(&request, &self.node, &mut dwa);
        self.send(&dwa).await?;
        Ok(true)
    }

    /// Answers a message if it is a DPR, after which the connection is over.
    async fn answer_disconnect(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let Some(request) = request(bytes, CommandCode::DISCONNECT_PEER) else {
            return Ok(());
        };
        let mut dpa = BytesMut::new();
        Answer::success(&mut dpa, Envelope::of(&request), &self.node).finish();
        self.send(&dpa).await?;
        Err(ClientError::Disconnected)
    }

    /// Disconnects in order: DPR, DPA, close.
    ///
    /// # Errors
    ///
    /// When the DPR is not answered.
    pub async fn disconnect(mut self) -> Result<(), ClientError> {
        let identifiers = self.identifiers();
        let mut dpr = BytesMut::new();
        // Cause 2, as this client will not come back.
        let cause = DisconnectCause::DO_NOT_WANT_TO_TALK_TO_YOU;
        compose_request(&mut dpr, &self.node, identifiers, cause);
        self.exchange(&dpr).await?;
        Ok(self.transport.close().await?)
    }
}

/// How an alert of TLS begins, which a server sends that was spoken to without:
/// its type, and the version of the record.
const TLS_RECORD: [u8; 2] = [21, 3];

/// A message, if it is a request with this command.
fn request(bytes: &[u8], command: CommandCode) -> Option<Message<'_>> {
    let Deframed::Message(message) = deframe(bytes, bytes.len()) else {
        return None;
    };
    let header = message.header();
    (header.is_request() && header.command == command).then_some(message)
}

/// What a failure of the transport means.
fn failed(error: io::Error) -> ClientError {
    match words::explain(&error) {
        Some(words) => ClientError::Tls(words),
        None => ClientError::Transport(error),
    }
}

/// The text of the first AVP of this kind, control characters escaped: it is
/// the server's, and goes to a terminal.
#[must_use]
pub fn text(message: &Message<'_>, definition: dictionary::AvpDefinition) -> Option<String> {
    let avp = message
        .avps()
        .map_while(Result::ok)
        .find(|avp| avp.key() == definition.key)?;
    let mut text = String::new();
    for letter in String::from_utf8_lossy(avp.data()).chars() {
        match letter.is_control() {
            true => text.extend(letter.escape_default()),
            false => text.push(letter),
        }
    }
    Some(text)
}

/// The number in the first AVP of this kind.
#[must_use]
pub fn number(message: &Message<'_>, definition: dictionary::AvpDefinition) -> Option<u32> {
    let avp = message
        .avps()
        .map_while(Result::ok)
        .find(|avp| avp.key() == definition.key)?;
    avp.unsigned32()
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ApplicationId, CommandFlags, Composer, Header};

    #[test]
    fn what_a_server_says_cannot_steer_the_terminal() {
        let header = Header {
            length: 0,
            flags: CommandFlags(0),
            command: CommandCode::CAPABILITIES_EXCHANGE,
            application: ApplicationId::COMMON,
            hop_by_hop: 0,
            end_to_end: 0,
        };
        let mut bytes = BytesMut::new();
        let mut composer = Composer::begin(&mut bytes, &header);
        composer.octets(&dictionary::ERROR_MESSAGE, "no\x1b[2J\n\u{9b}ü".as_bytes());
        composer.finish();
        let Deframed::Message(message) = deframe(&bytes, 1024) else {
            panic!("a message")
        };
        assert_eq!(
            text(&message, dictionary::ERROR_MESSAGE).as_deref(),
            Some("no\\u{1b}[2J\\n\\u{9b}ü")
        );
    }
}
