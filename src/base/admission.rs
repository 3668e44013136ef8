//! Who may be a peer: by name, realm and network.
//!
//! ```text
//! address ─▶ deny.network ─▶ allow.network ─▶ (CER) ─▶ deny names ─▶ known peer ─▶ its realm, its networks
//!                                                                       └ unknown ─▶ unknown_peers ─▶ allow names
//! ```
//!
//! What is denied is denied, whoever else allows it; a list of what is allowed
//! allows nothing else, unless it is empty. A peer that is named by itself
//! need not be on the lists of names again.
//!
//! A name is never compared with the Host-IP-Addresses of the CER: behind NAT
//! and with several homes, the address of the socket is none of them.

use super::network::Network;
use crate::names::NamePattern;
use crate::wire::compose::HostAddress;

/// Which peers may connect.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Whether peers that are not named may connect.
    pub unknown_peers: bool,
    /// Named peers.
    pub peers: Vec<KnownPeer>,
    /// What is allowed, and nothing else; each list that is empty allows all.
    pub allow: Rules,
    /// What is not allowed in any case.
    pub deny: Rules,
    /// How many connections a peer may have, if nothing else is said of it.
    pub connections: u16,
}

/// A peer that is named in the configuration.
#[derive(Clone, Debug, Default)]
pub struct KnownPeer {
    /// Its Origin-Host.
    pub origin_host: String,
    /// Its Origin-Realm, where only one is right.
    pub origin_realm: Option<String>,
    /// The networks that it comes from; any if empty.
    pub networks: Vec<Network>,
    /// How many connections it may have, where that is special.
    pub connections: Option<u16>,
}

/// Names and networks of which peers are allowed or denied.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Origin-Hosts.
    pub origin_hosts: Vec<NamePattern>,
    /// Origin-Realms.
    pub origin_realms: Vec<NamePattern>,
    /// Networks.
    pub networks: Vec<Network>,
}

impl Admission {
    /// Whether a connection from this address may be, whoever it is.
    #[must_use]
    pub fn admits_address(&self, address: HostAddress) -> bool {
        let within = |networks: &[Network]| networks.iter().any(|net| net.contains(address));
        !within(&self.deny.networks)
            && (self.allow.networks.is_empty() || within(&self.allow.networks))
    }

    /// Whether a peer of these names may connect from this address. Names
    /// compare without regard to ASCII case.
    #[must_use]
    pub fn admits(&self, origin_host: &[u8], origin_realm: &[u8], address: HostAddress) -> bool {
        if !self.admits_address(address) || self.deny.names_any(origin_host, origin_realm) {
            return false;
        }
        match self.known(origin_host) {
            Some(peer) => {
                let realm = peer.origin_realm.as_ref();
                realm.is_none_or(|realm| origin_realm.eq_ignore_ascii_case(realm.as_bytes()))
                    && (peer.networks.is_empty()
                        || peer.networks.iter().any(|net| net.contains(address)))
            }
            None => self.unknown_peers && self.allow.allows_names(origin_host, origin_realm),
        }
    }

    /// How many connections the peer of this name may have; at least one.
    #[must_use]
    pub fn connections(&self, origin_host: &[u8]) -> usize {
        let special = self.known(origin_host).and_then(|peer| peer.connections);
        usize::from(special.unwrap_or(self.connections).max(1))
    }

    /// What is said of the peer of this name.
    fn known(&self, origin_host: &[u8]) -> Option<&KnownPeer> {
        self.peers
            .iter()
            .find(|peer| origin_host.eq_ignore_ascii_case(peer.origin_host.as_bytes()))
    }
}

impl Rules {
    /// Whether one of the names is on its list.
    #[must_use]
    pub fn names_any(&self, origin_host: &[u8], origin_realm: &[u8]) -> bool {
        fits(&self.origin_hosts, origin_host) || fits(&self.origin_realms, origin_realm)
    }

    /// Whether each of the names is on its list, if that has any.
    fn allows_names(&self, origin_host: &[u8], origin_realm: &[u8]) -> bool {
        (self.origin_hosts.is_empty() || fits(&self.origin_hosts, origin_host))
            && (self.origin_realms.is_empty() || fits(&self.origin_realms, origin_realm))
    }
}

/// Whether a name fits one of the patterns.
fn fits(patterns: &[NamePattern], name: &[u8]) -> bool {
    patterns.iter().any(|pattern| pattern.fits(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: HostAddress = HostAddress::V4([10, 0, 0, 1]);
    const THERE: HostAddress = HostAddress::V4([192, 0, 2, 1]);

    fn network(first: [u8; 4], prefix_len: u8) -> Network {
        Network::new(HostAddress::V4(first), prefix_len).unwrap()
    }

    fn rules(hosts: &[&str], realms: &[&str], networks: &[Network]) -> Rules {
        let patterns = |names: &[&str]| {
            let patterns = names.iter().map(|name| NamePattern::parse(name).unwrap());
            patterns.collect()
        };
        Rules {
            origin_hosts: patterns(hosts),
            origin_realms: patterns(realms),
            networks: networks.to_vec(),
        }
    }

    fn known(realm: Option<&str>) -> KnownPeer {
        KnownPeer {
            origin_host: "mme.example".to_owned(),
            origin_realm: realm.map(str::to_owned),
            ..KnownPeer::default()
        }
    }

    #[test]
    fn known_peers_by_name_and_realm() {
        let open = Admission {
            unknown_peers: true,
            peers: vec![known(Some("example"))],
            ..Admission::default()
        };
        assert!(open.admits(b"other", b"any", HERE));
        assert!(open.admits(b"MME.example", b"Example", HERE));
        assert!(!open.admits(b"mme.example", b"elsewhere", HERE));
        let closed = Admission {
            peers: vec![known(None)],
            ..Admission::default()
        };
        assert!(closed.admits(b"mme.example", b"elsewhere", HERE));
        assert!(!closed.admits(b"other", b"any", HERE));
    }

    /// Every combination of what may be said of a peer, against the sentences
    /// of the configuration's reference.
    #[test]
    fn deny_beats_allow_and_an_allow_list_admits_nothing_else() {
        let nets = [network([10, 0, 0, 0], 8)];
        for case in 0..256u32 {
            let on = |bit: u32| case & (1 << bit) != 0;
            let list = |bit, name: &'static str| if on(bit) { vec![name] } else { vec![] };
            let net = |bit| if on(bit) { &nets[..] } else { &[] };
            let admission = Admission {
                unknown_peers: on(0),
                peers: if on(1) { vec![known(None)] } else { vec![] },
                deny: rules(&list(2, "mme.example"), &list(3, "*.bad"), net(4)),
                allow: rules(&list(5, "*.example"), &list(6, "good"), net(7)),
                connections: 1,
            };
            for (host, realm) in [
                ("mme.example", "good"),
                ("mme.other", "a.bad"),
                ("x.example", "z"),
            ] {
                for from in [HERE, THERE] {
                    let denied = on(2) && host == "mme.example"
                        || on(3) && realm == "a.bad"
                        || on(4) && from == HERE;
                    let address_allowed = !on(7) || from == HERE;
                    let is_known = on(1) && host == "mme.example";
                    let name_allowed =
                        (!on(5) || host.ends_with(".example")) && (!on(6) || realm == "good");
                    let want = !denied && address_allowed && (is_known || on(0) && name_allowed);
                    let got = admission.admits(host.as_bytes(), realm.as_bytes(), from);
                    assert_eq!(got, want, "{host} {realm} {from:?} {case:b}");
                }
            }
        }
    }

    #[test]
    fn a_peer_is_tied_to_its_networks() {
        let tied = KnownPeer {
            networks: vec![network([10, 0, 0, 0], 24), network([10, 9, 0, 0], 16)],
            connections: Some(4),
            ..known(None)
        };
        let admission = Admission {
            unknown_peers: true,
            peers: vec![tied],
            connections: 2,
            ..Admission::default()
        };
        assert!(admission.admits(b"mme.example", b"r", HERE));
        assert!(admission.admits(b"mme.example", b"r", HostAddress::V4([10, 9, 8, 7])));
        assert!(!admission.admits(b"MME.example", b"r", THERE));
        assert!(admission.admits(b"other", b"r", THERE));
        assert_eq!(admission.connections(b"MME.example"), 4);
        assert_eq!(admission.connections(b"other"), 2);
        assert_eq!(Admission::default().connections(b"other"), 1);
    }
}
