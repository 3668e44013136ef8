//! This node as its peers see it: identity, capabilities and the local rules
//! of the base protocol. Built once from the configuration, then shared by
//! all connections.

use core::time::Duration;

use super::answer::NO_STATE_MAINTAINED;
use crate::wire::compose::precompose;
use crate::wire::{ApplicationId, VendorId, dictionary};

/// The applications that Weir serves.
pub const APPLICATIONS: [ApplicationId; 1] = [ApplicationId::S13];

/// Most octets of a DiameterIdentity: that of a domain name (RFC 1035
/// section 2.3.4).
pub const IDENTITY_LEN_MAX: usize = 255;

/// What a [`Node`] is made from.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Origin-Host.
    pub origin_host: String,
    /// Origin-Realm.
    pub origin_realm: String,
    /// Destination-Realms served besides Origin-Realm.
    pub realms: Vec<String>,
    /// Vendor-Id of the CEA: the manufacturer's enterprise number, 0 for none.
    pub vendor_id: u32,
    /// Product-Name of the CEA.
    pub product_name: String,
    /// Firmware-Revision of the CEA.
    pub firmware_revision: u32,
    /// Origin-State-Id: rises with each start, so that peers can tell a
    /// restart; usually the start's time in seconds.
    pub state_id: u32,
    /// Timers and limits.
    pub limits: Limits,
}

/// Timers and limits of every connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest message accepted, in octets.
    pub message_len_max: usize,
    /// Octets of answers that may wait for a peer to read them before no more
    /// of its requests are handled.
    pub output_len_max: usize,
    /// Watchdog interval Tw (RFC 3539 section 3.4.1).
    pub watchdog: Duration,
    /// How long a new connection may take until its CER is answered.
    pub handshake: Duration,
    /// How long to wait for the DPA to our DPR.
    pub drain: Duration,
}

/// This node: the settings, with all that answers repeat composed before.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it was made from.
    settings: NodeSettings,
    /// Auth-Session-State, Origin-Host and Origin-Realm, composed.
    session_and_origin: Box<[u8]>,
    /// Octets of the first of them.
    session_len: usize,
}

impl Node {
    /// Composes the constant parts of all answers.
    #[must_use]
    pub fn new(settings: NodeSettings) -> Self {
        let mut session_len = 0;
        let session_and_origin = precompose(|out| {
            out.unsigned32(&dictionary::AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
            session_len = out.len();
            out.octets(&dictionary::ORIGIN_HOST, settings.origin_host.as_bytes());
            out.octets(&dictionary::ORIGIN_REALM, settings.origin_realm.as_bytes());
        });
        Self {
            settings,
            session_and_origin,
            session_len,
        }
    }

    /// What this node was made from.
    #[must_use]
    pub const fn settings(&self) -> &NodeSettings {
        &self.settings
    }

    /// Timers and limits.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// Origin-Host and Origin-Realm as composed AVPs.
    #[must_use]
    pub fn origin(&self) -> &[u8] {
        self.session_and_origin
            .get(self.session_len..)
            .unwrap_or_default()
    }

    /// The same behind Auth-Session-State: what every answer of an application
    /// has behind its result, in one piece.
    #[must_use]
    pub const fn session_and_origin(&self) -> &[u8] {
        &self.session_and_origin
    }

    /// Whether `host` is this node's Origin-Host.
    #[must_use]
    pub fn is_host(&self, host: &[u8]) -> bool {
        host.eq_ignore_ascii_case(self.settings.origin_host.as_bytes())
    }

    /// Whether this node serves requests for `realm`.
    #[must_use]
    pub fn serves_realm(&self, realm: &[u8]) -> bool {
        let own = self.settings.origin_realm.as_bytes();
        // Most write it just as it is written here.
        realm == own
            || realm.eq_ignore_ascii_case(own)
            || self
                .settings
                .realms
                .iter()
                .any(|own| realm.eq_ignore_ascii_case(own.as_bytes()))
    }

    /// The vendors whose AVPs this node understands (Supported-Vendor-Id).
    #[must_use]
    pub const fn supported_vendors(&self) -> [VendorId; 1] {
        [VendorId::TGPP]
    }
}

/// Whether `name` can be a DiameterIdentity: 1 to [`IDENTITY_LEN_MAX`]
/// printable ASCII characters (RFC 6733 section 4.3.1). Anything stricter
/// refuses names that are in use.
#[must_use]
pub fn is_identity(name: &[u8]) -> bool {
    (1..=IDENTITY_LEN_MAX).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The node of the worked examples.
    pub(crate) fn example() -> NodeSettings {
        NodeSettings {
            origin_host: "eir1.epc.mnc001.mcc001.3gppnetwork.org".to_owned(),
            origin_realm: "epc.mnc001.mcc001.3gppnetwork.org".to_owned(),
            realms: Vec::new(),
            vendor_id: 32473,
            product_name: "example-eir".to_owned(),
            firmware_revision: 1,
            state_id: 1_767_225_600,
            limits: Limits {
                message_len_max: 65_536,
                output_len_max: 262_144,
                watchdog: Duration::from_secs(30),
                handshake: Duration::from_secs(10),
                drain: Duration::from_secs(5),
            },
        }
    }

    #[test]
    fn names_compare_without_case() {
        let node = Node::new(NodeSettings {
            realms: vec!["Other.Realm".to_owned()],
            ..example()
        });
        assert!(node.is_host(b"EIR1.epc.mnc001.mcc001.3gppnetwork.org"));
        assert!(!node.is_host(b"eir2.epc.mnc001.mcc001.3gppnetwork.org"));
        assert!(node.serves_realm(b"EPC.mnc001.mcc001.3gppnetwork.org"));
        assert!(node.serves_realm(b"other.realm"));
        assert!(!node.serves_realm(b"realm"));
    }

    #[test]
    fn identities_are_printable() {
        assert!(is_identity(b"mme.localdomain"));
        assert!(!is_identity(b""));
        assert!(!is_identity(b"mme\n"));
        assert!(!is_identity(b"mme 1"));
        assert!(!is_identity(&[b'a'; 256]));
    }
}
