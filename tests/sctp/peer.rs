//! The other end of an association: whole messages with stream and protocol.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;
use weir::net::sctp::{
    DIAMETER_PPID, Notification, Parcel, ReceiveBuffer, Received, SctpListener, SctpOptions,
    SctpSocket,
};

use crate::harness::PATIENCE;
use crate::support::{Read, Request};

/// A message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) octets: Vec<u8>,
    pub(crate) stream: u16,
    pub(crate) ppid: u32,
}

/// A socket that puts messages together.
pub(crate) struct Peer {
    pub(crate) socket: SctpSocket,
    buffer: ReceiveBuffer,
    partial: Vec<u8>,
    /// How many parts had no end.
    pub(crate) parts: usize,
    /// How many times the kernel was asked and had something.
    pub(crate) calls: usize,
    messages: VecDeque<Message>,
    pub(crate) notifications: Vec<Notification>,
    ended: bool,
}

impl Peer {
    pub(crate) fn new(socket: SctpSocket) -> Self {
        Self {
            socket,
            buffer: ReceiveBuffer::default(),
            partial: Vec::new(),
            parts: 0,
            calls: 0,
            messages: VecDeque::new(),
            notifications: Vec::new(),
            ended: false,
        }
    }

    /// Connects with 30 streams, as freeDiameter asks for.
    pub(crate) async fn connect(remote: &[SocketAddr]) -> Self {
        let options = SctpOptions {
            streams_out: Some(30),
            ..SctpOptions::default()
        };
        Self::connect_with(&[], remote, &options).await.unwrap()
    }

    pub(crate) async fn connect_with(
        local: &[SocketAddr],
        remote: &[SocketAddr],
        options: &SctpOptions,
    ) -> io::Result<Self> {
        let connected = SctpSocket::connect(local, remote, options);
        let connected = timeout(PATIENCE, connected)
            .await
            .expect("an end of connecting");
        connected.map(Self::new)
    }

    /// Connects and exchanges capabilities.
    pub(crate) async fn open(remote: &[SocketAddr]) -> Self {
        let mut peer = Self::connect(remote).await;
        let cea = peer.ask(&Request::cer().bytes()).await;
        assert_eq!(Read::strictly(&cea).unwrap().result_code(), Some(2001));
        peer
    }

    pub(crate) async fn send(&self, octets: &[u8]) {
        self.send_on(octets, 0, DIAMETER_PPID).await;
    }

    pub(crate) async fn send_on(&self, octets: &[u8], stream: u16, ppid: u32) {
        let parcel = Parcel {
            octets,
            stream,
            ppid,
        };
        let sent = timeout(PATIENCE, self.socket.send(parcel)).await;
        sent.expect("the peer reads").unwrap();
    }

    /// The next message; `None` at an orderly end, and the error of any other.
    pub(crate) async fn receive(&mut self) -> io::Result<Option<Message>> {
        timeout(PATIENCE, self.next())
            .await
            .expect("a message or an end")
    }

    /// The same without a time limit.
    async fn next(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Ok(Some(message));
            }
            if self.ended {
                return Ok(None);
            }
            let Self {
                socket,
                buffer,
                partial,
                parts,
                messages,
                notifications,
                ended,
                calls,
            } = self;
            let mut sink = |received: Received<'_>| match received {
                Received::Data {
                    octets,
                    stream,
                    ppid,
                    ends,
                } => {
                    partial.extend_from_slice(octets);
                    match ends {
                        true => messages.push_back(Message {
                            octets: std::mem::take(partial),
                            stream,
                            ppid,
                        }),
                        false => *parts += 1,
                    }
                }
                Received::Notification(notification) => notifications.push(notification),
                Received::End => *ended = true,
            };
            poll_fn(|cx| socket.poll_receive(cx, buffer, &mut sink)).await?;
            *calls += 1;
        }
    }

    /// Sends a request and takes its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.send(request).await;
        let answer = self.receive().await.unwrap().expect("an answer");
        assert_eq!(answer.octets[12..20], request[12..20], "of this request");
        answer.octets
    }

    /// Waits for an ABORT.
    pub(crate) async fn expect_abort(&mut self) {
        match self.receive().await {
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
            Ok(other) => panic!("no ABORT but {other:?}"),
        }
    }
}

/// Two ends of an association on loopback: the one that connected, first.
pub(crate) async fn pair(options: &SctpOptions) -> (Peer, Peer) {
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = SctpListener::bind(&[any], options, 8).unwrap();
    let (connected, accepted) = tokio::join!(
        SctpSocket::connect(&[], listener.addresses(), options),
        timeout(PATIENCE, listener.accept()),
    );
    let (accepted, _) = accepted.expect("an association").unwrap();
    (Peer::new(connected.unwrap()), Peer::new(accepted))
}

/// Waits until `done`, looking every few milliseconds.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}
