//! The client's end of TLS: whom it trusts and who it is.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{Resumption, WantsClientCert};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, UnixTime as RustlsTime,
};
use tokio_rustls::rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    WantsVerifier,
};

use super::certificate::{Source, TlsError};
use super::{allowed, provider};
use crate::config::TlsVersion as Version;
use crate::time::UnixTime;

/// Opens TLS on connections to servers.
#[derive(Clone)]
pub struct Connector {
    /// Whom to trust, and who we are.
    config: Arc<ClientConfig>,
    /// The name that the server's certificate must have; the host that is
    /// connected to if absent.
    name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a client is told about TLS on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientFiles<'a> {
    /// The CAs to trust; without them any certificate is accepted.
    pub ca: Option<&'a Path>,
    /// The client's certificate and its key.
    pub certificate: Option<(&'a Path, &'a Path)>,
    /// The name that the server's certificate must have.
    pub server_name: Option<&'a str>,
}

impl Connector {
    /// Reads what the command line names.
    ///
    /// # Errors
    ///
    /// The option whose file cannot be used, and why.
    pub fn load(files: ClientFiles<'_>, now: UnixTime) -> Result<Self, String> {
        let builder = builder(Version::V1_2).map_err(|error| error.to_string())?;
        let builder = match files.ca {
            Some(path) => {
                let source = Source {
                    named_by: "--ca",
                    path,
                };
                let (roots, _) = source.roots(now).map_err(|error| error.to_string())?;
                builder.with_root_certificates(roots)
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider()))),
        };
        let config = match files.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = Source {
                    named_by: "--cert",
                    path: certificate,
                };
                let key = Source {
                    named_by: "--key",
                    path: key,
                };
                authenticated(builder, certificate, key).map_err(|error| error.to_string())?
            }
        };
        let name = match files.server_name {
            None => None,
            Some(name) => Some(server_name(name).ok_or_else(|| {
                format!("--server-name `{name}` is no host name; write one such as eir.example.org")
            })?),
        };
        Ok(Self {
            config: Arc::new(without_resumption(config)),
            name,
        })
    }

    /// A connector from what a server has loaded: its own certificate serves
    /// as the client's.
    pub(super) fn of_server(
        roots: RootCertStore,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        least: Version,
    ) -> Result<Self, Error> {
        let config = builder(least)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Self {
            config: Arc::new(without_resumption(config)),
            name: None,
        })
    }

    /// Shakes hands with a server, which must prove to have the name that was
    /// given to this connector, or else this one.
    pub(in crate::net) async fn connect(
        &self,
        name: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(name).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "its name is none that a certificate can have",
                )
            })?,
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, stream).await
    }
}

/// A name or an address as the name of a server.
fn server_name(name: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).ok()
}

/// The beginning of every client. Fails only if the provider has no cipher
/// suite for a version.
fn builder(least: Version) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider()).with_protocol_versions(allowed(least))
}

/// The end of a client that shows a certificate.
fn authenticated(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: Source<'_>,
    key: Source<'_>,
) -> Result<ClientConfig, TlsError> {
    builder
        .with_client_auth_cert(certificate.chain()?, key.key()?)
        .map_err(|error| super::unusable(&error, certificate, key))
}

/// Sessions are not resumed: a connection lasts for days, and each is to be
/// judged by the certificates of its time.
fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config
}

/// Accepts any certificate, as long as the server has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: RustlsTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
