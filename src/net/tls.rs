//! TLS over TCP (RFC 6733 section 13): certificates, keys and trust, read
//! from files and replaced while connections last.
//!
//! ```text
//! [diameter.tls] ── Credentials::load ── checks all files, says what is wrong
//!                        │
//!                        ▼
//!        Tls: the credentials in force ◀── publish: a reload with good files
//!                        │
//!                        ▼
//!   accept: handshake with a client ──▶ a byte stream, and its CertifiedNames
//! ```
//!
//! A connection keeps the credentials that it began with; new ones are only
//! seen by handshakes that begin later.
//!
//! The answers to one batch still leave in one system call. rustls allocates
//! for each record of up to 16 KiB that it seals or opens, so a batch costs a
//! few allocations, where plain TCP costs none.

mod certificate;
mod connector;
pub(super) mod words;

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::server::TlsStream;

pub use self::certificate::{CertifiedNames, TlsError};
use self::certificate::{Details, Source};
pub use self::connector::{ClientFiles, Connector};
use crate::config::{self, ClientCertificates, Config, Endpoint, TlsVersion};
use crate::error::Failed;
use crate::time::UnixTime;

/// How long before the end of the certificate its renewal is asked for: two
/// weeks leave time for a CA that people run by hand.
pub const EXPIRY_NOTICE: Duration = Duration::from_secs(14 * 24 * 3600);

/// How long a client whose handshake failed has to take the alert that says
/// why.
const FAREWELL: Duration = Duration::from_millis(500);

//----------- Credentials -----------------------------------------------------

/// Everything that TLS needs, read and checked.
#[derive(Debug)]
pub struct Credentials {
    /// For connections that are accepted.
    server: Arc<ServerConfig>,
    /// For connections to others; absent without CAs.
    connector: Option<Connector>,
    /// Whether a peer's Origin-Host must be among its certificate's names.
    verify_identity: bool,
    /// The last second of the certificate.
    until: UnixTime,
    /// What is allowed but most likely not meant.
    warnings: Vec<String>,
}

impl Credentials {
    /// Reads the files that the configuration names; `None` if it names no
    /// certificate.
    ///
    /// # Errors
    ///
    /// The key and file that cannot be used, what is wrong with it, and what
    /// to do.
    pub fn load(config: &Config, now: UnixTime) -> Result<Option<Self>, TlsError> {
        let tls = &config.diameter.tls;
        let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
            return Ok(None);
        };
        let paths = [
            Some(certificate),
            Some(key),
            tls.ca.as_ref(),
            tls.crl.as_ref(),
        ]
        .map(|path| path.map(|path| config.base_dir.join(path)));
        let [Some(certificate), Some(key), ca, crl] = &paths else {
            return Ok(None);
        };
        let files = Files {
            certificate: source("diameter.tls.certificate", certificate),
            key: source("diameter.tls.key", key),
            ca: ca.as_deref().map(|path| source("diameter.tls.ca", path)),
            crl: crl.as_deref().map(|path| source("diameter.tls.crl", path)),
        };
        files.load(tls, &config.diameter.origin_host, now).map(Some)
    }

    /// What is allowed but most likely not meant, one line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The last second of the certificate, or of one that leads to its CA.
    #[must_use]
    pub const fn until(&self) -> UnixTime {
        self.until
    }

    /// Shakes hands with a server: the peer of this Origin-Host, where it was
    /// found.
    ///
    /// # Errors
    ///
    /// What went wrong, in words.
    pub(super) async fn connect(
        &self,
        origin_host: &str,
        endpoint: &Endpoint,
        stream: TcpStream,
    ) -> Result<client::TlsStream<TcpStream>, String> {
        let connector = self.connector.as_ref();
        let connector = connector.ok_or("diameter.tls.ca is not set, so no server is trusted")?;
        let name = match self.verify_identity {
            true => origin_host,
            false => endpoint.hosts.first().map_or(origin_host, String::as_str),
        };
        let stream = connector.connect(name, stream).await;
        stream.map_err(|error| words::explain_handshake(&error))
    }

    /// That the certificate ends soon, or has ended.
    #[must_use]
    pub fn expiry(&self, now: UnixTime) -> Option<String> {
        let warning = expiry_warning(self.until, now)?;
        Some(format!("the certificate in force {warning}"))
    }
}

/// A file and the key that names it.
fn source<'a>(named_by: &'static str, path: &'a Path) -> Source<'a> {
    Source { named_by, path }
}

/// The files of `[diameter.tls]`.
struct Files<'a> {
    /// The certificate and its chain.
    certificate: Source<'a>,
    /// Its key.
    key: Source<'a>,
    /// The CAs of peers.
    ca: Option<Source<'a>>,
    /// What these have revoked.
    crl: Option<Source<'a>>,
}

impl Files<'_> {
    /// Reads and checks all files.
    fn load(
        &self,
        tls: &config::Tls,
        origin_host: &str,
        now: UnixTime,
    ) -> Result<Credentials, TlsError> {
        let mut warnings = Vec::new();
        let chain = self.certificate.chain()?;
        let until = self.check(&chain, origin_host, now, &mut warnings)?;
        let key = self.key.key()?;
        warnings.extend(self.key.exposed());
        let mut roots = None;
        if let Some(ca) = self.ca {
            let (trusted, more) = ca.roots(now)?;
            warnings.extend(more);
            roots = Some(trusted);
        }
        let mut revoked = Vec::new();
        if let Some(crl) = self.crl {
            let (lists, more) = crl.revoked(now)?;
            warnings.extend(more);
            revoked = lists;
        }
        let verifier = self.verifier(tls.client_certificates, roots.as_ref(), revoked)?;
        let unusable = |error: Error| unusable(&error, self.certificate, self.key);
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(allowed(tls.min_version))
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unusable)?;
        let connector = roots
            .map(|roots| Connector::of_server(roots, chain, key, tls.min_version))
            .transpose()
            .map_err(unusable)?;
        Ok(Credentials {
            server: Arc::new(without_resumption(server)),
            connector,
            verify_identity: tls.verify_identity,
            until,
            warnings,
        })
    }

    /// Checks our own certificate, which no peer would tell us about so
    /// plainly, and the chain behind it; returns its last second.
    fn check(
        &self,
        chain: &[CertificateDer<'_>],
        origin_host: &str,
        now: UnixTime,
        warnings: &mut Vec<String>,
    ) -> Result<UnixTime, TlsError> {
        let file = self.certificate;
        let mut until = UnixTime(i64::MAX);
        for (index, certificate) in chain.iter().enumerate() {
            let number = index + 1;
            let Some(details) = Details::read(certificate) else {
                return Err(file.wrong(format_args!("certificate {number} is damaged")));
            };
            let which = format!("certificate {number} ({})", details.subject);
            if details.until < now {
                return Err(file.wrong(format_args!(
                    "{which} has expired on {}; renew it",
                    details.until
                )));
            }
            if details.from > now {
                return Err(file.wrong(format_args!(
                    "{which} is not valid before {}; is the clock right?",
                    details.from
                )));
            }
            until = until.min(details.until);
            if index == 0 {
                if !details.names.cover(origin_host) {
                    warnings.push(file.warning(format_args!(
                        "it is for {}, and not for origin_host, {origin_host}; peers that \
                         compare the two will not stay",
                        details.names
                    )));
                }
                if !details.for_servers {
                    warnings.push(file.warning(
                        "it is not meant for servers (extended key usage); clients will refuse it",
                    ));
                }
            }
        }
        if let Some(warning) = expiry_warning(until, now) {
            warnings.push(file.warning(warning));
        }
        Ok(until)
    }

    /// What judges the certificates of clients.
    fn verifier(
        &self,
        wanted: ClientCertificates,
        roots: Option<&RootCertStore>,
        revoked: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let (roots, ca) = match (roots, self.ca) {
            _ if wanted == ClientCertificates::None => {
                return Ok(WebPkiClientVerifier::no_client_auth());
            }
            (Some(roots), Some(ca)) => (roots.clone(), ca),
            // The configuration is checked before; without CAs nobody could
            // be trusted.
            _ => {
                return Err(self.certificate.wrong(
                    "diameter.tls.ca is missing: without it no certificate of a peer is trusted",
                ));
            }
        };
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .with_crls(revoked)
            // A CA without a list of its own has revoked nothing.
            .allow_unknown_revocation_status();
        let builder = match wanted {
            ClientCertificates::Optional => builder.allow_unauthenticated(),
            _ => builder,
        };
        builder.build().map_err(|error| match (&error, self.crl) {
            (VerifierBuilderError::InvalidCrl(why), Some(crl)) => {
                crl.wrong(format_args!("a revocation list cannot be used: {why:?}"))
            }
            _ => ca.wrong(error),
        })
    }
}

/// That the certificate ends soon, or has ended.
fn expiry_warning(until: UnixTime, now: UnixTime) -> Option<String> {
    let left = until.0.saturating_sub(now.0);
    let notice = i64::try_from(EXPIRY_NOTICE.as_secs()).unwrap_or(i64::MAX);
    match left {
        left if left > notice => None,
        left if left < 0 => Some(format!("expired on {until}; peers refuse it, renew it")),
        left => Some(format!(
            "expires in {} days, on {until}; renew it and send SIGHUP",
            left / (24 * 3600)
        )),
    }
}

/// Why a certificate and a key cannot be used together.
fn unusable(error: &Error, certificate: Source<'_>, key: Source<'_>) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => key.wrong(format_args!(
            "is not the key of the certificate in {}",
            certificate.path.display()
        )),
        Error::InvalidCertificate(why) => certificate.wrong(format_args!("cannot be used: {why}")),
        other => key.wrong(format_args!(
            "cannot be used: {other}; RSA of 2048 bits or more, ECDSA P-256, P-384 and Ed25519 \
             can"
        )),
    }
}

/// The cryptography, named so that no other library can choose it for us.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The versions from this one on.
fn allowed(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match least {
        TlsVersion::V1_2 => &FROM_1_2,
        TlsVersion::V1_3 => &FROM_1_3,
    }
}

/// TLS 1.2 and all after it.
static FROM_1_2: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// TLS 1.3 and all after it.
static FROM_1_3: [&SupportedProtocolVersion; 1] = [&TLS13];

/// Sessions are not resumed: a connection lasts for days, and each is to be
/// judged by the certificates and revocations of its time.
fn without_resumption(mut server: ServerConfig) -> ServerConfig {
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server
}

//----------- Tls -------------------------------------------------------------

/// The credentials in force.
#[derive(Debug)]
pub struct Tls {
    /// Read once a handshake, replaced by reloads.
    current: RwLock<Arc<Credentials>>,
}

impl Tls {
    /// What the configuration says of TLS, if anything.
    ///
    /// # Errors
    ///
    /// As [`Credentials::load`].
    pub fn open(config: &Config, now: UnixTime) -> Result<Option<Arc<Self>>, Failed> {
        let credentials = Credentials::load(config, now)?;
        Ok(credentials.map(|credentials| Arc::new(Self::new(credentials))))
    }

    /// These credentials, in force.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            current: RwLock::new(Arc::new(credentials)),
        }
    }

    /// The credentials in force.
    #[must_use]
    pub fn current(&self) -> Arc<Credentials> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts these in force for all handshakes that begin from now on.
    pub fn publish(&self, credentials: Credentials) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(credentials);
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    ///
    /// What went wrong, in words; the client has been told by an alert.
    pub(super) async fn accept(&self, stream: TcpStream) -> Result<Accepted, String> {
        let credentials = self.current();
        let acceptor = TlsAcceptor::from(Arc::clone(&credentials.server));
        match acceptor.accept(stream).into_fallible().await {
            Ok(stream) => {
                let (_, session) = stream.get_ref();
                let names = CertifiedNames::of_peer(session.peer_certificates());
                let names = names.filter(|_| credentials.verify_identity);
                Ok(Accepted { stream, names })
            }
            Err((error, stream)) => {
                let _ = timeout(FAREWELL, say_goodbye(stream)).await;
                Err(words::explain_handshake(&error))
            }
        }
    }
}

/// A connection on which TLS is agreed.
#[derive(Debug)]
pub(super) struct Accepted {
    /// What goes through it is secured.
    pub(super) stream: TlsStream<TcpStream>,
    /// The names one of which its Origin-Host must be; `None` if that is not
    /// asked for, or it has no certificate and needs none.
    pub(super) names: Option<CertifiedNames>,
}

/// Ends a connection whose handshake failed so that the alert arrives: closing
/// with unread input would reset the connection, and the reset can overtake it.
async fn say_goodbye(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

impl From<TlsError> for Failed {
    fn from(error: TlsError) -> Self {
        Self::new(error.to_string())
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_asked_for_from_two_weeks_before_the_end() {
        let at = |now| expiry_warning(UnixTime(100 * 24 * 3600), UnixTime(now));
        let day = 24 * 3600;
        assert_eq!(at(86 * day - 1), None);
        assert!(at(86 * day).unwrap().starts_with("expires in 14 days"));
        assert!(at(100 * day).unwrap().starts_with("expires in 0 days"));
        assert!(
            at(100 * day + 1)
                .unwrap()
                .starts_with("expired on 1970-04-11T00:00:00Z")
        );
    }
}
