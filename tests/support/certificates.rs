//! A CA of a test, and the files of certificates that it issues. Made by another
//! library than the one that judges them.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

/// A CA, and the directory of its files.
pub(crate) struct Ca {
    dir: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Ca {
    /// A CA whose certificate is `NAME.pem` in `dir`.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.join(format!("{name}.pem")), issuer.pem()).unwrap();
        Self {
            dir: dir.to_owned(),
            issuer,
        }
    }

    /// A certificate for these DNS names, in `NAME.pem` and `NAME.key`.
    pub(crate) fn issue(&self, name: &str, dns: &[&str]) -> Pair {
        self.issue_with(name, dns, |_| {})
    }

    /// The same with changes.
    pub(crate) fn issue_with(
        &self,
        name: &str,
        dns: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let dns: Vec<String> = dns.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(dns).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            certificate: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        };
        fs::write(&pair.certificate, certificate.pem()).unwrap();
        write_key(&pair.key, &key.serialize_pem());
        pair
    }

    /// A list that revokes the certificate of this number, in `NAME.pem`.
    pub(crate) fn revoke(&self, name: &str, serial: u64) -> PathBuf {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.dir.join(format!("{name}.pem"));
        let list = params.signed_by(&self.issuer).unwrap();
        fs::write(&path, list.pem().unwrap()).unwrap();
        path
    }
}

/// Writes a key that only its owner can read.
fn write_key(path: &Path, pem: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, pem).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Makes a certificate that is over.
pub(crate) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
}

/// Makes a certificate that has not begun.
pub(crate) fn early(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(4000, 1, 1);
}
