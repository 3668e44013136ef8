//! Byte streams as transports: TCP, and what is layered on it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_util::io::poll_read_buf;

use super::transport::{Received, Transport};
use crate::connection::Connection;
use crate::policy::Rulebook;
use crate::service::Observer;
use crate::time::Now;

/// Octets that a first read offers room for: most peers send one request at a
/// time, and an idle connection should cost little.
const READ_MIN: usize = 4 * 1024;

/// Octets that a read offers room for at most: some two hundred requests, so
/// that one turn stays short.
const READ_MAX: usize = 64 * 1024;

/// Octets that are answered at a time, some hundred requests: while the peer
/// reads these answers, the next are made.
const PORTION: usize = 32 * 1024;

/// A byte stream over TCP.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket below.
    fn socket(&self) -> &TcpStream;
}

impl ByteStream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl ByteStream for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A byte stream with its buffers.
#[derive(Debug)]
pub(super) struct Stream<S> {
    /// The stream.
    io: S,
    /// Received, not yet handled.
    input: BytesMut,
    /// Composed, not yet taken by the stream.
    output: BytesMut,
    /// Whether the stream has passed on all that it took.
    flushed: bool,
    /// Octets to offer the next read.
    read_len: usize,
}

impl<S: ByteStream> Stream<S> {
    /// A stream on which nothing was sent or received yet.
    pub(super) fn new(io: S) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            output: BytesMut::new(),
            flushed: true,
            read_len: READ_MIN,
        }
    }
}

impl<S: ByteStream> Stream<S> {
    /// Receives by way of the stack: a connection that waits for its next
    /// request holds no memory for it.
    fn poll_receive_little(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut octets = [MaybeUninit::uninit(); READ_MIN];
        let mut buffer = ReadBuf::uninit(&mut octets);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        self.input.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: ByteStream> Transport for Stream<S> {
    fn handle(
        &mut self,
        now: Now,
        connection: &mut Connection,
        rulebook: &Rulebook,
        observer: &mut impl Observer,
    ) -> bool {
        let (input, output) = (&mut self.input, &mut self.output);
        if let Some(portion) = input.get(..PORTION) {
            let consumed = connection.handle_input(now, portion, rulebook, output, observer);
            input.advance(consumed);
            if consumed > 0 {
                return true;
            }
        }
        // All that there is, or a message that is larger.
        let consumed = connection.handle_input(now, input, rulebook, output, observer);
        input.advance(consumed);
        false
    }

    fn compose(&mut self, compose: impl FnOnce(&mut BytesMut)) {
        compose(&mut self.output);
    }

    fn backlog(&self) -> usize {
        self.input.len()
    }

    fn queued(&self) -> usize {
        self.output.len()
    }

    fn is_sent(&self) -> bool {
        self.output.is_empty() && self.flushed
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            self.flushed = false;
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.output))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(sent);
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        let received = match self.read_len {
            READ_MIN => self.poll_receive_little(cx),
            read_len => {
                self.input.reserve(read_len);
                poll_read_buf(Pin::new(&mut self.io), cx, &mut self.input)
            }
        };
        let received = match ready!(received) {
            // TLS that ends without saying so: whether a message was cut off
            // is told by its length.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            received => received?,
        };
        if received == 0 {
            return Poll::Ready(Ok(Received::End));
        }
        if received >= self.read_len {
            self.read_len = (self.read_len * 2).min(READ_MAX);
        }
        Poll::Ready(Ok(Received::Octets(received)))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn relax(&mut self) {
        if self.input.is_empty() && self.is_sent() {
            self.input = BytesMut::new();
            self.output = BytesMut::new();
            self.read_len = READ_MIN;
        }
    }

    fn discard(&mut self) {
        self.input.clear();
    }

    fn abort(&mut self) {
        // Fails only on a socket that is dead already.
        let _ = SockRef::from(self.io.socket()).set_linger(Some(Duration::ZERO));
    }
}
