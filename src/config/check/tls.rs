//! Checks of `[diameter.tls]`. What is in the files is checked when they are
//! read.

use super::super::diameter::Diameter;
use super::super::endpoint::Transport;
use super::super::tls::ClientCertificates;
use super::Check;

/// What is allowed but most likely not meant.
pub(super) fn warning(diameter: &Diameter) -> Option<String> {
    let tls = &diameter.tls;
    let whose = match tls.client_certificates {
        ClientCertificates::Required => return None,
        ClientCertificates::Optional => "of a peer that shows no certificate",
        ClientCertificates::None => "of peers that connect, who are asked for no certificate,",
    };
    tls.verify_identity.then(|| {
        format!("diameter.tls.verify_identity is true, but the name {whose} is taken on its word")
    })
}

impl Check {
    /// Checks `[diameter.tls]`, and that it has what addresses with `tls://`
    /// need.
    pub(super) fn tls(&mut self, diameter: &Diameter) {
        let tls = &diameter.tls;
        let is_tls = |transport| transport == Transport::Tls;
        let mut listen = diameter.listen.iter();
        let listens = listen.position(|address| is_tls(address.endpoint.transport));
        let mut connect = diameter.connect.iter();
        let calls = connect.position(|connect| is_tls(connect.address.transport));
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => self.fault(
                &[&"diameter", &"tls", &"certificate"],
                "is set without `key`, the file of its private key".to_owned(),
            ),
            (None, Some(_)) => self.fault(
                &[&"diameter", &"tls", &"key"],
                "is set without `certificate`, the file of its certificate".to_owned(),
            ),
            (None, None) => {
                let message =
                    "is an address for TLS; set `certificate`, `key` and `ca` in [diameter.tls]";
                if let Some(index) = listens {
                    self.fault(&[&"diameter", &"listen", &index], message.to_owned());
                }
                if let Some(index) = calls {
                    self.fault(
                        &[&"diameter", &"connect", &index, &"address"],
                        message.to_owned(),
                    );
                }
            }
            (Some(_), Some(_)) => {}
        }
        if tls.ca.is_some() {
            return;
        }
        if tls.certificate.is_some() && tls.client_certificates != ClientCertificates::None {
            self.fault(
                &[&"diameter", &"tls", &"certificate"],
                "is set without `ca`, the file of the CAs of the peers; write it, or \
                 client_certificates = \"none\" to ask them for no certificate"
                    .to_owned(),
            );
        } else if let (Some(_), Some(index)) = (&tls.certificate, calls) {
            self.fault(
                &[&"diameter", &"connect", &index, &"address"],
                "is an address for TLS; set `ca` in [diameter.tls], the file of the CA that \
                 issued the peer's certificate"
                    .to_owned(),
            );
        }
        if tls.crl.is_some() {
            self.fault(
                &[&"diameter", &"tls", &"crl"],
                "is set without `ca`, the file of the CAs that revoke".to_owned(),
            );
        }
    }
}
