//! Certificates, keys and revocation lists as they are kept in PEM files, and
//! what is wrong with them in words that tell what to do.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::time::UnixTime;

/// The largest file that is read: hundreds of CAs have 1 MiB, and a list of
/// revoked certificates that is larger than this is no S13 network's.
const FILE_LEN_MAX: u64 = 16 * 1024 * 1024;

/// A file, and the key or option that names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// Such as `diameter.tls.key` or `--key`.
    pub(super) named_by: &'static str,
    /// The file.
    pub(super) path: &'a Path,
}

/// What keeps TLS from being used.
#[derive(Debug, thiserror::Error)]
#[error("{named_by}: {}: {why}", path.display())]
pub struct TlsError {
    /// The key or option that names the file.
    named_by: &'static str,
    /// The file.
    path: PathBuf,
    /// What is wrong with it, and what to do.
    why: String,
}

impl Source<'_> {
    /// The error of this file.
    pub(super) fn wrong(self, why: impl fmt::Display) -> TlsError {
        TlsError {
            named_by: self.named_by,
            path: self.path.to_owned(),
            why: why.to_string(),
        }
    }

    /// A warning about this file.
    pub(super) fn warning(self, why: impl fmt::Display) -> String {
        self.wrong(why).to_string()
    }

    /// The content of the file.
    fn read(self) -> Result<Vec<u8>, TlsError> {
        let read = || {
            let of = std::fs::metadata(self.path)?;
            if of.len() > FILE_LEN_MAX {
                return Err(io::Error::other("it is larger than 16 MiB"));
            }
            std::fs::read(self.path)
        };
        read().map_err(|error: io::Error| self.wrong(format_args!("cannot be read: {error}")))
    }

    /// All objects of one kind in the file; at least one.
    fn objects<T: PemObject>(self, kind: &str) -> Result<Vec<T>, TlsError> {
        let bytes = self.read()?;
        let found: Result<Vec<T>, _> = T::pem_slice_iter(&bytes).collect();
        match found {
            Ok(found) if found.is_empty() => Err(self.wrong(nothing(kind, &bytes))),
            Ok(found) => Ok(found),
            Err(error) => Err(self.wrong(format_args!("is damaged: {}", damage(&error)))),
        }
    }

    /// A certificate with those that lead to its CA, the certificate first.
    pub(super) fn chain(self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        self.objects("certificate")
    }

    /// A private key.
    pub(super) fn key(self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let mut keys = self.objects("private key without a passphrase")?;
        match keys.len() {
            1 => Ok(keys.remove(0)),
            more => Err(self.wrong(format_args!("holds {more} private keys; leave one in it"))),
        }
    }

    /// A warning if others than the owner's group may read the file.
    pub(super) fn exposed(self) -> Option<String> {
        let mode = std::fs::metadata(self.path).ok()?.permissions().mode();
        (mode & 0o004 != 0).then(|| {
            self.warning("everybody on this machine may read the private key; `chmod o-r` it")
        })
    }

    /// The certificates of CAs, as what is trusted.
    pub(super) fn roots(self, now: UnixTime) -> Result<(RootCertStore, Vec<String>), TlsError> {
        let mut roots = RootCertStore::empty();
        let mut warnings = Vec::new();
        for (index, root) in self.chain()?.into_iter().enumerate() {
            let number = index + 1;
            match Details::read(&root) {
                Some(details) if details.until < now => warnings.push(self.warning(format_args!(
                    "certificate {number} ({}) has expired on {}; nothing that it issued is accepted",
                    details.subject, details.until
                ))),
                _ => {}
            }
            roots.add(root).map_err(|error| {
                self.wrong(format_args!(
                    "certificate {number} cannot be that of a CA: {error}"
                ))
            })?;
        }
        Ok((roots, warnings))
    }

    /// Lists of revoked certificates.
    pub(super) fn revoked(
        self,
        now: UnixTime,
    ) -> Result<(Vec<CertificateRevocationListDer<'static>>, Vec<String>), TlsError> {
        let lists: Vec<CertificateRevocationListDer<'static>> =
            self.objects("revocation list (X509 CRL)")?;
        let next_update = |list: &CertificateRevocationListDer<'_>| {
            let (_, list) = CertificateRevocationList::from_der(list).ok()?;
            Some(UnixTime(list.next_update()?.timestamp()))
        };
        let overdue = lists
            .iter()
            .filter_map(next_update)
            .filter(|next| *next < now)
            .map(|next| {
                self.warning(format_args!(
                    "a newer list was due on {next}; this one is used all the same"
                ))
            });
        let warnings = overdue.collect();
        Ok((lists, warnings))
    }
}

/// Kinds of objects that an error names at most: a file that has more is none
/// of ours.
const KINDS_SHOWN: usize = 4;

/// Why there is nothing of this kind in a file.
fn nothing(kind: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut kinds: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-----BEGIN "))
        .filter_map(|line| line.strip_suffix("-----"))
        .map(|kind| kind.chars().filter(|letter| !letter.is_control()).collect())
        .collect::<Vec<String>>();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.truncate(KINDS_SHOWN);
    let remedy = match kinds.as_slice() {
        [] if bytes.first() == Some(&0x30) => {
            "; it looks like DER, make PEM of it (openssl x509, pkey or crl with -inform DER)"
                .to_owned()
        }
        [] if bytes.is_empty() => "; it is empty".to_owned(),
        [] => "; it is no PEM file".to_owned(),
        kinds if kinds.iter().any(|kind| kind == "ENCRYPTED PRIVATE KEY") => {
            "; the key in it is encrypted, take the passphrase off (openssl pkey -in OLD -out NEW)"
                .to_owned()
        }
        kinds => format!(", only {}", kinds.join(", ")),
    };
    format!("holds no {kind}{remedy}")
}

/// What is wrong with a PEM file.
fn damage(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { end_marker } => format!(
            "the line `-----END {}-----` is missing",
            String::from_utf8_lossy(end_marker).trim()
        ),
        PemError::IllegalSectionStart { line } => format!(
            "the line `{}` begins no section",
            String::from_utf8_lossy(line).trim()
        ),
        other => other.to_string(),
    }
}

//----------- Details ---------------------------------------------------------

/// What is to be known of a certificate besides that it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Details {
    /// Whom it is for, as it says.
    pub(super) subject: String,
    /// The first second in which it is valid.
    pub(super) from: UnixTime,
    /// The last second in which it is valid.
    pub(super) until: UnixTime,
    /// Its DNS names.
    pub(super) names: CertifiedNames,
    /// Whether it may be used by a TLS server.
    pub(super) for_servers: bool,
}

impl Details {
    /// Reads a certificate; `None` if it is none.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let validity = certificate.validity();
        let usage = certificate.extended_key_usage().ok().flatten();
        Some(Self {
            subject: printable(&certificate.subject().to_string()),
            from: UnixTime(validity.not_before.timestamp()),
            until: UnixTime(validity.not_after.timestamp()),
            names: CertifiedNames::of(&certificate),
            for_servers: usage.is_none_or(|usage| usage.value.any || usage.value.server_auth),
        })
    }
}

/// A text without what could steer a terminal.
fn printable(text: &str) -> String {
    let shown = |letter: char| !letter.is_control();
    text.chars().filter(|letter| shown(*letter)).collect()
}

/// The DNS names that a certificate was issued for (RFC 5280 section 4.2.1.6).
/// The common name is not one of them (RFC 6125 section 6.4.4 only allows it
/// for old certificates).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertifiedNames(Vec<String>);

impl CertifiedNames {
    /// Those of a certificate as it came from the peer, which rustls has found
    /// to be trusted; `None` if there is no certificate. One that cannot be read
    /// here is for nobody: it must not pass for a peer that has none.
    pub(super) fn of_peer(chain: Option<&[CertificateDer<'_>]>) -> Option<Self> {
        let certificate = X509Certificate::from_der(chain?.first()?);
        let names = certificate.map(|(_, certificate)| Self::of(&certificate));
        Some(names.unwrap_or_default())
    }

    /// Those of a certificate.
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            // One with control characters in it is no name: without them, it
            // would be another.
            GeneralName::DNSName(name) if !name.contains(char::is_control) => {
                Some(name.to_ascii_lowercase())
            }
            _ => None,
        });
        Self(names.collect())
    }

    /// Whether one of them is this host, or stands for it: `*` is any one
    /// leftmost label (RFC 6125 section 6.4.3). A host that ends with a dot is
    /// none: to admission and policies, which compare names as they are, it is
    /// another one than that without, of which nothing is said.
    #[must_use]
    pub fn cover(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.0.iter().any(|name| match name.strip_prefix("*.") {
            // A wildcard for a whole top-level domain is nobody's name.
            Some(domain) if domain.contains('.') => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
            Some(_) => false,
            None => !host.is_empty() && *name == host,
        })
    }
}

impl fmt::Display for CertifiedNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("no DNS name"),
            names => f.write_str(&names.join(", ")),
        }
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_one_label_and_never_a_whole_top_level_domain() {
        let names = ["mme.example.org", "*.epc.example.org", "*.org", "*"];
        let names = CertifiedNames(names.map(str::to_owned).to_vec());
        for host in ["mme.example.org", "MME.example.ORG", "a.epc.example.org"] {
            assert!(names.cover(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "epc.example.org",
            ".epc.example.org",
            "a.b.epc.example.org",
            "*.org",
            "mme.example.org.evil",
            "org",
            "mme.example.org.",
            "a.epc.example.org.",
        ] {
            assert!(!names.cover(host), "{host}");
        }
        assert!(!CertifiedNames::default().cover("mme.example.org"));
    }

    /// Of which rustls may think otherwise.
    #[test]
    fn a_certificate_that_cannot_be_read_is_for_nobody() {
        assert_eq!(CertifiedNames::of_peer(None), None);
        let damaged = CertificateDer::from(&b"\x30\x03\x02\x01"[..]);
        let names = CertifiedNames::of_peer(Some(&[damaged]));
        assert_eq!(names, Some(CertifiedNames::default()));
    }

    #[test]
    fn files_without_what_is_looked_for_tell_what_they_hold() {
        let dir = tempfile::tempdir().unwrap();
        let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        let cases = [
            (&b""[..], "holds no certificate; it is empty"),
            (b"hello", "holds no certificate; it is no PEM file"),
            (b"\x30\x82\x01\x02", "it looks like DER"),
            (key.as_bytes(), "holds no certificate, only PRIVATE KEY"),
            (
                b"-----BEGIN CERTIFICATE-----\nMAA=\n",
                "is damaged: the line `-----END CERTIFICATE-----` is missing",
            ),
        ];
        for (content, want) in cases {
            let path = dir.path().join("x.pem");
            std::fs::write(&path, content).unwrap();
            let source = Source {
                named_by: "--ca",
                path: &path,
            };
            let error = source.chain().unwrap_err().to_string();
            assert!(error.starts_with("--ca: "), "{error}");
            assert!(error.contains(want), "{error}");
        }
        let path = dir.path().join("encrypted.pem");
        let text = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        std::fs::write(&path, text).unwrap();
        let source = Source {
            named_by: "--key",
            path: &path,
        };
        let error = source.key().unwrap_err().to_string();
        assert!(error.contains("take the passphrase off"), "{error}");
    }
}
