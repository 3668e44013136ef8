//! An association as the transport of a driver.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::queue::{Inbox, Outbox};
use super::{Notification, Parcel, PathState, ReceiveBuffer, Received, SctpSocket};
use crate::connection::Connection;
use crate::metrics::Tally;
use crate::net::Shared;
use crate::net::transport::{self, Transport};
use crate::policy::Rulebook;
use crate::service::Observer;
use crate::time::Now;

/// Messages that are handed to the socket at once.
const PARCELS: usize = 32;

/// The stream of messages that answer none.
const OWN_STREAM: u16 = 0;

thread_local! {
    /// Where the associations of a thread receive. It is empty between two
    /// polls, so one is enough for all, and an idle association costs nothing.
    static BUFFER: RefCell<ReceiveBuffer> = RefCell::default();
}

/// An association, and the messages that wait on both sides of it.
#[derive(Debug)]
pub(in crate::net) struct Association {
    /// The socket; `None` once it was aborted.
    socket: Option<SctpSocket>,
    /// The peer's primary address, for logs.
    remote: SocketAddr,
    /// What all connections share.
    shared: Arc<Shared>,
    /// Received, not yet handled.
    inbox: Inbox,
    /// Composed, not yet sent.
    outbox: Outbox,
    /// Whether the shutdown has begun.
    closing: bool,
    /// Whether the peer has restarted the association since the last call.
    restarted: bool,
}

impl Association {
    /// An association on which nothing was sent or received yet.
    pub(in crate::net) fn new(socket: SctpSocket, remote: SocketAddr, shared: Arc<Shared>) -> Self {
        Self {
            socket: Some(socket),
            remote,
            shared,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            closing: false,
            restarted: false,
        }
    }

    /// Takes what was received; returns how many octets of messages it had.
    fn take(&mut self, received: Received<'_>) -> usize {
        match received {
            Received::Data {
                octets,
                stream,
                ends,
                ..
            } => {
                let len_max = self.shared.node.limits().message_len_max;
                self.inbox.push(octets, stream, ends, len_max);
                octets.len()
            }
            Received::Notification(notification) => {
                self.note(notification);
                0
            }
            Received::End => 0,
        }
    }

    /// Logs and counts what has happened, and does what follows from it.
    fn note(&mut self, notification: Notification) {
        let remote = self.remote;
        let mut tally = Tally::default();
        match notification {
            Notification::Path { address, state } => {
                let throttle = &self.shared.throttle;
                let is = |what: &str| format!("{remote}: its address {address} {what}");
                match state {
                    PathState::Unreachable => {
                        tally.paths_down = 1;
                        throttle.warn("path", || is("cannot be reached"));
                    }
                    PathState::PotentiallyFailed => {
                        throttle.warn("suspect path", || is("does not answer at the moment"));
                    }
                    PathState::Available => {
                        tally.paths_up = 1;
                        tracing::info!("{}", is("can be reached again"));
                    }
                    // Of each address but the first: too common for more.
                    PathState::Confirmed => {
                        tally.paths_up = 1;
                        tracing::debug!("{}", is("can be reached"));
                    }
                    PathState::Other => {}
                }
            }
            Notification::Restarted => {
                // The peer remembers nothing of what was under way. It will
                // exchange capabilities again, which an open connection allows.
                self.inbox.clear();
                self.outbox.clear();
                self.restarted = true;
                tally.restarted_associations = 1;
                // Who is no peer yet can do that, too, any number of times.
                self.shared.throttle.warn("restart", || {
                    format!("{remote}: the peer has restarted the association")
                });
            }
            Notification::DeliveryAborted => self.inbox.drop_partial(),
            Notification::SendFailed => tally.undelivered = 1,
            Notification::Lost
            | Notification::Refused
            | Notification::Closed
            | Notification::PeerShutdown => {
                // The socket tells the same by an error or the end.
                tracing::debug!("{remote}: {notification:?}");
            }
            Notification::Up | Notification::Other => {}
        }
        self.shared.counters.add(&mut tally);
    }
}

impl Transport for Association {
    fn handle(
        &mut self,
        now: Now,
        connection: &mut Connection,
        rulebook: &Rulebook,
        observer: &mut impl Observer,
    ) -> bool {
        let streams = self.socket.as_ref().map_or(1, SctpSocket::streams_out);
        let Self { inbox, outbox, .. } = self;
        loop {
            let messages = inbox.messages();
            let out = outbox.octets();
            let handled = connection.handle_messages(now, messages, rulebook, out, observer);
            if handled.is_empty() {
                return false;
            }
            for end in handled {
                // On the stream of the request, or on one that there is.
                let stream = inbox.pop().filter(|stream| *stream < streams);
                outbox.seal(end, stream.unwrap_or(OWN_STREAM));
            }
        }
    }

    fn compose(&mut self, compose: impl FnOnce(&mut BytesMut)) {
        compose(self.outbox.octets());
        self.outbox.seal(self.outbox.len(), OWN_STREAM);
    }

    fn backlog(&self) -> usize {
        self.inbox.whole()
    }

    fn queued(&self) -> usize {
        self.outbox.len()
    }

    fn is_sent(&self) -> bool {
        self.outbox.is_empty()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        while !self.outbox.is_empty() {
            let mut parcels = [Parcel::EMPTY; PARCELS];
            let filled = self.outbox.fill(&mut parcels);
            let parcels = parcels.get(..filled).unwrap_or_default();
            let sent = ready!(socket.poll_send(cx, parcels))?;
            self.outbox.pop(sent);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<transport::Received>> {
        // Taken out for the while, so that what is received can be noted.
        let mut socket = self.socket.take().ok_or(io::ErrorKind::NotConnected)?;
        let mut ended = false;
        let mut octets = 0;
        let received = BUFFER.with_borrow_mut(|buffer| {
            loop {
                let received = socket.poll_receive(cx, buffer, |received| {
                    ended |= received == Received::End;
                    octets += self.take(received);
                });
                // A notification alone is nothing for the driver.
                let nothing = matches!(received, Poll::Ready(Ok(()))) && octets == 0 && !ended;
                if !nothing {
                    break received;
                }
            }
        });
        if std::mem::take(&mut self.restarted) {
            socket.refresh();
        }
        self.socket = Some(socket);
        ready!(received)?;
        Poll::Ready(Ok(match octets {
            // The end is told again by the next call.
            0 => transport::Received::End,
            octets => transport::Received::Octets(octets),
        }))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        if let (Some(socket), false) = (&self.socket, self.closing) {
            self.closing = true;
            socket.shutdown()?;
        }
        Poll::Ready(Ok(()))
    }

    fn relax(&mut self) {
        self.inbox.relax();
        self.outbox.relax();
    }

    fn discard(&mut self) {
        self.inbox.clear();
    }

    fn abort(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.abort();
        }
    }
}
