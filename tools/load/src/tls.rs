//! TLS, without a runtime.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};
use rustls::{ServerConfig, ServerConnection};

use crate::stream::{Calls, READ, Received};

/// What secures connections.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// What connections are made with.
    client: Option<Arc<ClientConfig>>,
    /// Whom the server's certificate is for, if not for its host.
    server_name: Option<String>,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate, followed by those that lead to its CA.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Pair {
    /// Reads both.
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| format!("{}: no private key: {error}", self.key.display()))?;
        Ok((certificates(&self.certificate)?, key))
    }
}

impl Credentials {
    /// Trusts a CA, and shows a certificate if there is one.
    pub fn new(ca: &Path, own: Option<&Pair>, server_name: Option<String>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots
                .add(certificate)
                .map_err(|error| format!("{}: {error}", ca.display()))?;
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let (chain, key) = pair.read()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("{}: {error}", pair.certificate.display()))?
            }
        };
        Ok(Self {
            client: Some(Arc::new(config)),
            server_name,
        })
    }

    /// A session with a server.
    pub fn client(&self, host: &str) -> Result<Connection, String> {
        let config = self
            .client
            .clone()
            .ok_or("tls:// needs to know the CA of the server's certificate: add --ca FILE")?;
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name.clone())
            .map_err(|_| format!("`{name}` is no name that a certificate may have"))?;
        ClientConnection::new(config, name)
            .map(Connection::from)
            .map_err(|error| error.to_string())
    }
}

/// What a server shows; it asks for no certificate.
pub fn server(pair: &Pair) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = pair.read()?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map(Arc::new)
        .map_err(|error| format!("{}: {error}", pair.certificate.display()))
}

/// The certificates of a file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| format!("{} has no certificate in PEM", path.display()))
}

/// A TLS session on a socket.
#[derive(Debug)]
pub struct TlsStream {
    /// The socket.
    socket: TcpStream,
    /// The session.
    session: Connection,
    /// Received, not yet taken by the session: it takes little at once, so that
    /// without this there would be many more system calls.
    raw: Box<[u8]>,
    /// Which part of it.
    waiting: std::ops::Range<usize>,
    /// Whether the last read may have left something.
    more: bool,
    /// What was read and written.
    pub calls: Calls,
}

impl TlsStream {
    /// A session that begins.
    pub fn new(socket: TcpStream, session: Connection) -> Self {
        Self {
            socket,
            session,
            raw: vec![0; READ].into(),
            waiting: 0..0,
            more: false,
            calls: Calls::default(),
        }
    }

    /// A server's end.
    pub fn accept(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self::new(socket, session.into()))
    }

    /// Whether something is held that could not be sent yet.
    pub fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// Whether no data can be exchanged yet.
    pub fn is_shaking_hands(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Encrypts some octets and sends them, as far as the socket takes them.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.session.writer().write(octets)?;
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends what is encrypted.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.calls.writes += 1;
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Receives and decrypts.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut octets = 0;
        loop {
            match self.session.reader().read(&mut buffer[octets..]) {
                Ok(0) => return Ok(Received { octets, more: true }),
                Ok(read) => octets += read,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => {}
            }
            if octets == buffer.len() {
                return Ok(Received { octets, more: true });
            }
            if self.waiting.is_empty() {
                if octets > 0 {
                    let more = self.more;
                    return Ok(Received { octets, more });
                }
                self.calls.reads += 1;
                let read = match self.socket.read(&mut self.raw) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    result => result?,
                };
                if read == 0 {
                    return Ok(Received {
                        octets: 0,
                        more: false,
                    });
                }
                self.more = read == self.raw.len();
                self.waiting = 0..read;
            }
            let mut waiting = &self.raw[self.waiting.clone()];
            self.session.read_tls(&mut waiting)?;
            self.waiting.start = self.waiting.end - waiting.len();
            self.session
                .process_new_packets()
                .map_err(io::Error::other)?;
            // What a handshake answers must not wait for data to be sent.
            match self.flush() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
