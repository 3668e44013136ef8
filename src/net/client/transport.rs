//! What carries a client's messages: a byte stream, or whatever else takes
//! messages and gives the octets of messages back.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::ClientError;
use crate::config::{Endpoint, Sctp};
use crate::net::listener::resolve;
use crate::net::sctp::{
    DIAMETER_PPID, Parcel, ReceiveBuffer, Received, SctpOptions, SctpSocket, is_missing,
};
use crate::net::tls::{Connector, words};
use crate::wire::DEFAULT_MESSAGE_LEN_MAX;

/// What a client is to reach a server with.
#[derive(Clone, Debug, Default)]
pub enum Carrier {
    /// TCP.
    #[default]
    Tcp,
    /// TLS over TCP.
    Tls(Connector),
    /// SCTP; the address may have several hosts, as in `10.0.0.1,10.0.1.1:3868`.
    Sctp,
}

/// The transport connection of a client.
#[derive(Debug)]
pub(super) enum Transport {
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP; its state is large.
    Tls(Box<TlsStream<TcpStream>>),
    /// SCTP, and where messages are received.
    Sctp(SctpSocket, Box<ReceiveBuffer>),
}

impl Transport {
    /// Connects to `address` (host and port).
    pub(super) async fn connect(address: &str, carrier: &Carrier) -> Result<Self, ClientError> {
        match carrier {
            Carrier::Tcp => Ok(Self::Tcp(connect_tcp(address).await?)),
            Carrier::Tls(connector) => {
                let stream = connect_tcp(address).await?;
                let stream = connector.connect(host(address), stream).await;
                let stream =
                    stream.map_err(|error| ClientError::Tls(words::explain_handshake(&error)))?;
                Ok(Self::Tls(Box::new(stream)))
            }
            Carrier::Sctp => Ok(Self::Sctp(connect_sctp(address).await?, Box::default())),
        }
    }

    /// Whether what is received comes as it was sent.
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// The local addresses, at least one.
    pub(super) fn local_addresses(&self) -> io::Result<Vec<IpAddr>> {
        let socket = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Sctp(socket, _) => {
                let addresses = socket.local_addresses()?;
                return Ok(addresses.iter().map(SocketAddr::ip).collect());
            }
        };
        Ok(vec![socket.local_addr()?.ip()])
    }

    /// Sends one message.
    pub(super) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(message).await,
            Self::Tls(stream) => {
                stream.write_all(message).await?;
                stream.flush().await
            }
            Self::Sctp(socket, _) => {
                let parcel = Parcel {
                    octets: message,
                    stream: 0,
                    ppid: DIAMETER_PPID,
                };
                socket.send(parcel).await
            }
        }
    }

    /// Appends octets of messages to `input`, in order; tells how many, and 0
    /// at the end. Nothing is lost if it is given up half way.
    pub(super) async fn receive(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(input).await,
            Self::Tls(stream) => stream.read_buf(input).await,
            Self::Sctp(socket, buffer) => poll_fn(|cx| poll_sctp(cx, socket, buffer, input)).await,
        }
    }

    /// Tells the server that nothing more comes.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
            Self::Sctp(socket, _) => socket.shutdown(),
        }
    }
}

/// Appends what was received over SCTP: the parts of a message follow each
/// other, so that nothing has to be put together.
fn poll_sctp(
    cx: &mut Context<'_>,
    socket: &SctpSocket,
    buffer: &mut ReceiveBuffer,
    input: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let mut ended = false;
    let before = input.len();
    while input.len() == before && !ended {
        ready!(socket.poll_receive(cx, buffer, |received| match received {
            Received::Data { octets, .. } => input.extend_from_slice(octets),
            Received::End => ended = true,
            Received::Notification(_) => {}
        }))?;
    }
    Poll::Ready(Ok(input.len() - before))
}

/// Opens an association.
async fn connect_sctp(address: &str) -> Result<SctpSocket, ClientError> {
    let failed = |error| ClientError::Connect(address.to_owned(), error);
    let endpoint = format!("sctp://{address}").parse::<Endpoint>();
    let endpoint = endpoint.map_err(|why| failed(io::Error::other(why)))?;
    let remote = resolve(&endpoint).await;
    let remote = remote.map_err(|why| failed(io::Error::other(why)))?;
    let options = SctpOptions::new(&Sctp::default(), DEFAULT_MESSAGE_LEN_MAX);
    match SctpSocket::connect(&[], &remote, &options).await {
        Err(error) if is_missing(&error) => Err(ClientError::Transport(io::Error::other(
            "this machine's kernel has no SCTP; where it is a module, `modprobe sctp` loads it",
        ))),
        connected => connected.map_err(failed),
    }
}

/// Opens a TCP connection.
async fn connect_tcp(address: &str) -> Result<TcpStream, ClientError> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| ClientError::Connect(address.to_owned(), error))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The host of `host:port`, without the brackets of IPv6.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_the_certificate_must_be_for() {
        let cases = [
            ("eir.example.org:5868", "eir.example.org"),
            ("127.0.0.1:5868", "127.0.0.1"),
            ("[::1]:5868", "::1"),
        ];
        for (address, want) in cases {
            assert_eq!(host(address), want);
        }
    }
}
