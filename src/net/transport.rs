//! What a driver needs of a transport: octets or messages in, answers out, and
//! an end.
//!
//! A transport owns what was received and not yet handled, and what was
//! composed and not yet sent, as only it knows where a message ends and on
//! which stream its answer goes. It is polled, not awaited, so that one task
//! can wait for both directions, its timers and its commands at once.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::BytesMut;

use super::tls::CertifiedNames;
use crate::config::Transport as Kind;
use crate::connection::Connection;
use crate::policy::Rulebook;
use crate::service::Observer;
use crate::time::Now;

/// The transport of one connection.
pub(super) trait Transport: Send {
    /// Hands what was received to the connection, as much as it takes, and
    /// keeps the answers to be sent. Tells whether these should be on their way
    /// before the rest is handed over.
    fn handle(
        &mut self,
        now: Now,
        connection: &mut Connection,
        rulebook: &Rulebook,
        observer: &mut impl Observer,
    ) -> bool;

    /// Lets `compose` append a message that answers none, or nothing, to what
    /// is to be sent.
    fn compose(&mut self, compose: impl FnOnce(&mut BytesMut));

    /// Octets received and not yet handled.
    fn backlog(&self) -> usize;

    /// Octets composed and not yet taken by the transport.
    fn queued(&self) -> usize;

    /// Whether all that was composed has left.
    fn is_sent(&self) -> bool;

    /// Sends what was composed; ready once all of it has left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Receives what there is, up to some bound.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Received>>;

    /// Tells the peer that nothing more will be sent, after all that was
    /// composed.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Gives back the memory of buffers that are empty: the connection is idle.
    fn relax(&mut self) {}

    /// Forgets what was received.
    fn discard(&mut self);

    /// Makes the end abortive: TCP RST, SCTP ABORT. Nothing lingers, and the
    /// peer cannot take it for an orderly one (RFC 6733 section 2.1).
    fn abort(&mut self);
}

/// What came of receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many octets, at least one.
    Octets(usize),
    /// The end: the peer will send nothing more.
    End,
}

/// Both ends of a transport connection.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// What connects them.
    pub(super) kind: Kind,
    /// The local addresses, at least one.
    pub(super) local: Vec<SocketAddr>,
    /// The peer's address, the primary one where it has several; for logs
    /// only, as peers are known by name.
    pub(super) remote: SocketAddr,
    /// The names one of which the peer must have, by its certificate; any
    /// where no certificate speaks for it.
    pub(super) certified: Option<CertifiedNames>,
}
