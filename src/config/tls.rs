//! `[diameter.tls]`: TLS over TCP.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[diameter.tls]`: who the EIR is and whom it trusts on `tls://` addresses.
/// All paths are relative to the configuration file's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate, followed by those that lead to its CA (PEM).
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM, without a passphrase).
    pub key: Option<PathBuf>,
    /// The CAs that issue the certificates of peers (PEM).
    pub ca: Option<PathBuf>,
    /// Lists of certificates that these CAs have revoked (PEM).
    pub crl: Option<PathBuf>,
    /// Whether peers that connect must have a certificate.
    pub client_certificates: ClientCertificates,
    /// Whether the Origin-Host of a peer must be among the DNS names of its
    /// certificate.
    pub verify_identity: bool,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            ca: None,
            crl: None,
            client_certificates: ClientCertificates::default(),
            verify_identity: true,
            min_version: TlsVersion::default(),
        }
    }
}

impl Tls {
    /// Whether anything is configured that TLS needs.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.certificate.is_some() || self.key.is_some()
    }
}

/// What is asked of peers that connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// A certificate of one of the CAs.
    #[default]
    Required,
    /// Such a certificate or none: for the time in which peers get theirs.
    Optional,
    /// None is asked for; the peer is known by its word alone.
    None,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), which older stacks end at.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    V1_3,
}
