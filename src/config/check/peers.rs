//! Checks of who may connect, and of whom the EIR calls.

use std::collections::BTreeSet;

use super::super::diameter::Diameter;
use super::super::peers::{
    Access, MAX_CONNECTIONS_PER_PEER, MAX_RETRY, MIN_CONNECTIONS_PER_PEER, MIN_RETRY,
};
use super::Check;

/// What is allowed but most likely not meant.
pub(super) fn warnings(diameter: &Diameter) -> Vec<String> {
    let mut warnings = Vec::new();
    if !diameter.unknown_peers {
        if diameter.peers.is_empty() && diameter.connect.is_empty() {
            warnings.push(
                "unknown_peers is false and no [[diameter.peer]] is named: nobody may connect"
                    .to_owned(),
            );
        }
        if !diameter.allow.origin_host.is_empty() || !diameter.allow.origin_realm.is_empty() {
            warnings.push(
                "unknown_peers is false, so the names in [diameter.allow] let nobody in; only a \
                 [[diameter.peer]] may connect"
                    .to_owned(),
            );
        }
    }
    let admission = diameter.admission();
    for peer in &diameter.peers {
        let host = peer.origin_host.as_bytes();
        let realm = peer.origin_realm.as_deref().unwrap_or_default();
        if admission.deny.names_any(host, realm.as_bytes()) {
            warnings.push(format!(
                "[diameter.deny] names the known peer `{}`: it may not connect",
                peer.origin_host
            ));
        }
    }
    for connect in &diameter.connect {
        let host = connect.origin_host.as_bytes();
        let realm = connect.origin_realm.as_deref().unwrap_or_default();
        if admission.deny.names_any(host, realm.as_bytes()) {
            warnings.push(format!(
                "[diameter.deny] names `{}`, which [[diameter.connect]] calls: it is called all \
                 the same, and may only not connect by itself",
                connect.origin_host
            ));
        }
    }
    warnings
}

impl Check {
    /// Checks the peers of `[diameter]`.
    pub(super) fn peers(&mut self, diameter: &Diameter) {
        let bounds = MIN_CONNECTIONS_PER_PEER..=MAX_CONNECTIONS_PER_PEER;
        let out_of_bounds = |number: u16| {
            let (least, most) = (bounds.start(), bounds.end());
            let message = format!("is {number}; allowed are {least} to {most}");
            (!bounds.contains(&number)).then_some(message)
        };
        if let Some(message) = out_of_bounds(diameter.connections_per_peer) {
            self.fault(&[&"diameter", &"connections_per_peer"], message);
        }
        self.access("allow", &diameter.allow);
        self.access("deny", &diameter.deny);
        let mut seen = BTreeSet::new();
        for (index, peer) in diameter.peers.iter().enumerate() {
            let place = index.to_string();
            let at = |key: &'static str| ["diameter", "peer", &place, key].map(str::to_owned);
            self.identity(
                &at("origin_host").each_ref().map(String::as_str),
                &peer.origin_host,
            );
            if let Some(realm) = &peer.origin_realm {
                self.identity(&at("origin_realm").each_ref().map(String::as_str), realm);
            }
            if let Some(message) = peer.connections.and_then(out_of_bounds) {
                self.fault(&[&"diameter", &"peer", &index, &"connections"], message);
            }
            if !seen.insert(peer.origin_host.to_ascii_lowercase()) {
                let message = format!("peer `{}` is named twice", peer.origin_host);
                self.fault(&[&"diameter", &"peer", &index, &"origin_host"], message);
            }
        }
        self.connects(diameter);
    }

    /// Checks names that are allowed or denied.
    fn access(&mut self, table: &str, access: &Access) {
        self.patterns(&["diameter", table, "origin_host"], &access.origin_host);
        self.patterns(&["diameter", table, "origin_realm"], &access.origin_realm);
    }

    /// Checks the peers that the EIR calls.
    fn connects(&mut self, diameter: &Diameter) {
        for (index, connect) in diameter.connect.iter().enumerate() {
            let place = index.to_string();
            self.identity(
                &["diameter", "connect", &place, "origin_host"],
                &connect.origin_host,
            );
            if let Some(realm) = &connect.origin_realm {
                self.identity(&["diameter", "connect", &place, "origin_realm"], realm);
            }
            self.duration_at(
                &["diameter", "connect", &place, "retry"],
                connect.retry,
                MIN_RETRY,
                MAX_RETRY,
            );
            if connect
                .origin_host
                .eq_ignore_ascii_case(&diameter.origin_host)
            {
                self.fault(
                    &[&"diameter", &"connect", &index, &"origin_host"],
                    format!(
                        "`{}` is this EIR itself; write the Origin-Host of the peer",
                        connect.origin_host
                    ),
                );
            }
            if connect.address.port == 0 {
                self.fault(
                    &[&"diameter", &"connect", &index, &"address"],
                    format!("`{}`: port 0 cannot be called", connect.address),
                );
            }
            let before = diameter.connect.iter().take(index);
            if { before }.any(|other| other.is_same_as(connect)) {
                self.fault(
                    &[&"diameter", &"connect", &index, &"address"],
                    format!(
                        "`{}` at `{}` is named twice",
                        connect.origin_host, connect.address
                    ),
                );
            }
        }
    }
}
