//! What went wrong in TLS, in words for operators.

use std::error::Error as _;
use std::io;

use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible,
};

/// The failure of TLS in an error of a transport, if it is one, as seen from
/// this end: "it" is the other.
pub(in crate::net) fn explain(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match inner {
        Error::NoCertificatesPresented => {
            "it sent no certificate, and one of a trusted CA is required".to_owned()
        }
        Error::InvalidCertificate(error) => invalid(error),
        Error::AlertReceived(alert) => refused(*alert),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => "it does not speak TLS; its connection may be meant for a port without".to_owned(),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "no version of TLS that both allow (1.2 and 1.3 are known)".to_owned(),
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "no cipher suite that both allow, or none that goes with the kind of key in the \
             certificate"
                .to_owned()
        }
        other => other.to_string(),
    })
}

/// What webpki says of a certificate without extensions, as `openssl x509 -req`
/// makes it unless told otherwise.
const OLD_CERTIFICATE: &str = "UnsupportedCertVersion";

/// What is wrong with its certificate.
fn invalid(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "its certificate is of no CA that is trusted here".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate, or that of its CA, has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; the clocks may differ".to_owned()
        }
        CertificateError::Revoked => "its certificate is revoked".to_owned(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "its certificate is for {}, not for {}",
            match presented.as_slice() {
                [] => "no name".to_owned(),
                names => names
                    .iter()
                    .map(|name| plain(name))
                    .collect::<Vec<_>>()
                    .join(", "),
            },
            expected.to_str()
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not meant for this end of TLS (extended key usage)".to_owned()
        }
        // rustls has no name of its own for this one.
        CertificateError::Other(error) if error.to_string() == OLD_CERTIFICATE => {
            "its certificate is of the old version 1, which has no names; issue it one with a \
             subjectAltName"
                .to_owned()
        }
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// A name without the kind of name that rustls writes around it.
fn plain(name: &str) -> &str {
    let inner = name
        .split_once("(\"")
        .and_then(|(_, rest)| rest.strip_suffix("\")"));
    inner.unwrap_or(name)
}

/// Why it refused us.
fn refused(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it requires a certificate of ours".to_owned(),
        AlertDescription::UnknownCA => "it does not trust the CA of our certificate".to_owned(),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => {
            format!("it does not accept our certificate, or the lack of one ({alert:?})")
        }
        AlertDescription::CertificateExpired => "to it, our certificate has expired".to_owned(),
        AlertDescription::CertificateRevoked => "to it, our certificate is revoked".to_owned(),
        AlertDescription::ProtocolVersion => "it allows no version of TLS that we do".to_owned(),
        AlertDescription::HandshakeFailure => {
            "it found no common ground for TLS (HandshakeFailure); it may require a certificate"
                .to_owned()
        }
        other => format!("it ended TLS with the alert {other:?}"),
    }
}

/// What went wrong in a handshake.
pub(in crate::net) fn explain_handshake(error: &io::Error) -> String {
    match (explain(error), error.kind()) {
        (Some(words), _) => words,
        (None, io::ErrorKind::UnexpectedEof) => "it closed the connection".to_owned(),
        (None, io::ErrorKind::ConnectionReset) => {
            "it reset the connection; its port may be one without TLS".to_owned()
        }
        (None, _) => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
    use tokio_rustls::rustls::server::WebPkiClientVerifier;

    /// Of version 1; made with `openssl x509 -req`, without `-copy_extensions`.
    const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBHDCBwwIUbnVv4q/NMNfGTcfpP2oipYvIN6QwCgYIKoZIzj0EAwIwDTELMAkG
A1UEAwwCY2EwHhcNMjYxMTIyMTQ0MzAwWhcNMjYxMjIyMTQ0MzAwWjAVMRMwEQYD
VQQDDApjbi5tbWUub3JnMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2h2DwsDP
KE8KTPQ1gJC+fxchiWxLRZDQFCfuqojGvt7FohRbVrM3ZBTQaAWE03tBTO1N5nF6
pUBInq64RwzFqzAKBggqhkjOPQQDAgNIADBFAiAyWHxMFnzFZeph2AtbL3V26b//
XHFH8pcoXwXGR8TA2AIhALYxl9zA/8a3MtmUG0wAH6IB8xFuRGOG2w4FDpYIGG7v
-----END CERTIFICATE-----
";

    #[test]
    fn an_old_certificate_is_called_so() {
        let certificate = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let error = verifier
            .verify_client_cert(&certificate, &[], UnixTime::now())
            .unwrap_err();
        let told = explain(&io::Error::new(io::ErrorKind::InvalidData, error)).unwrap();
        assert!(told.contains("old version 1"), "{told}");
    }
}
