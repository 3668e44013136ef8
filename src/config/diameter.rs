//! `[diameter]`: the EIR as a Diameter node, its peers, and its limits.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::{Endpoint, Transport};
use super::peers::{Access, Connect, DEFAULT_CONNECTIONS_PER_PEER, Peer};
use super::sctp::{Listen, Sctp};
use super::text;
use super::tls::Tls;

/// The Origin-Host that a fresh installation answers with: the EIR of the test
/// network 001/01, in the form of TS 23.003 clause 19.4.2.
pub const DEFAULT_ORIGIN_HOST: &str = "eir.epc.mnc001.mcc001.3gppnetwork.org";

/// The Origin-Realm that a fresh installation answers with.
pub const DEFAULT_ORIGIN_REALM: &str = "epc.mnc001.mcc001.3gppnetwork.org";

/// The Product-Name of the capabilities exchange.
pub const DEFAULT_PRODUCT_NAME: &str = "Weir";

/// The interval Tw of the watchdog that RFC 3539 clause 3.4.1 recommends.
pub const DEFAULT_WATCHDOG: Duration = crate::base::watchdog::DEFAULT_INTERVAL;
/// RFC 3539 clause 3.4.1 allows no shorter interval: shorter ones take
/// congestion for failure.
pub const MIN_WATCHDOG: Duration = crate::base::watchdog::INTERVAL_BOUNDS.0;
/// Beyond an hour a dead peer would be kept for longer than anybody waits.
pub const MAX_WATCHDOG: Duration = crate::base::watchdog::INTERVAL_BOUNDS.1;

/// How long a new connection may take to send its CER: several round trips and
/// a retransmission, yet short enough that silent connections do not pile up.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Below a second a retransmitted SYN or a slow link would be cut off.
pub const MIN_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that has been silent for a minute is not going to speak.
pub const MAX_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest message in bytes; an ME-Identity-Check has some 300, and the
/// rest is room for Proxy-Info, Route-Record and vendors' AVPs.
pub const DEFAULT_MAX_MESSAGE: usize = crate::wire::DEFAULT_MESSAGE_LEN_MAX;
/// A message shorter than this must always pass, whatever the operator saves.
pub const MIN_MAX_MESSAGE: usize = crate::wire::MESSAGE_LEN_MAX_BOUNDS.0;
/// Each connection may have to hold one whole message; beyond 1 MiB that
/// memory would be the peer's to spend.
pub const MAX_MAX_MESSAGE: usize = crate::wire::MESSAGE_LEN_MAX_BOUNDS.1;

/// Connections at once: far above the MMEs and DRAs of any one network.
pub const DEFAULT_MAX_CONNECTIONS: usize = 4096;
/// At least one.
pub const MIN_MAX_CONNECTIONS: usize = 1;
/// What one process is commonly allowed to hold open.
pub const MAX_MAX_CONNECTIONS: usize = 65_535;

/// Answers queued for a connection that does not read, in bytes: about a
/// thousand, the number that a busy DRA keeps in flight.
pub const DEFAULT_OUTPUT_LIMIT: usize = 256 * 1024;
/// Room for one batch of answers.
pub const MIN_OUTPUT_LIMIT: usize = 64 * 1024;
/// With the default number of connections this is already 256 GiB at worst.
pub const MAX_OUTPUT_LIMIT: usize = 64 * 1024 * 1024;

/// A peer that has read nothing for so long, with answers queued, is gone.
pub const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Below a second ordinary retransmissions would abort connections.
pub const MIN_WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// Beyond ten minutes the watchdog has long given up.
pub const MAX_WRITE_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a stopping server waits for DPA and for its answers to leave.
pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Zero stops at once.
pub const MIN_DRAIN_TIMEOUT: Duration = Duration::ZERO;
/// Service managers kill what has not stopped after some 30 s; stay well below.
pub const MAX_DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

/// `[diameter]`: the EIR as a Diameter node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Diameter {
    /// Origin-Host of every answer, and of the capabilities exchange.
    pub origin_host: String,
    /// Origin-Realm of the same.
    pub origin_realm: String,
    /// Destination-Realms served beside `origin_realm`.
    #[serde(deserialize_with = "text::one_or_many")]
    pub realms: Vec<String>,
    /// Where peers may connect to.
    #[serde(deserialize_with = "text::one_or_many")]
    pub listen: Vec<Listen>,
    /// Product-Name of the capabilities exchange.
    pub product_name: String,
    /// Vendor-Id of the capabilities exchange; 0 is "no vendor".
    #[serde(deserialize_with = "text::whole_number")]
    pub vendor_id: u32,
    /// The watchdog interval Tw, before jitter.
    #[serde(with = "text::duration")]
    pub watchdog: Duration,
    /// Time from accepting a connection to its CER.
    #[serde(with = "text::duration")]
    pub handshake_timeout: Duration,
    /// Whether a peer that no `[[diameter.peer]]` names may connect.
    pub unknown_peers: bool,
    /// The largest message that is accepted, in bytes, a multiple of four.
    #[serde(deserialize_with = "text::whole_number")]
    pub max_message: usize,
    /// The most connections at once; further ones are closed on arrival.
    #[serde(deserialize_with = "text::whole_number")]
    pub max_connections: usize,
    /// The most bytes of answers queued for one connection; nothing more is
    /// read from it until it has taken some.
    #[serde(deserialize_with = "text::whole_number")]
    pub output_limit: usize,
    /// A connection that takes no byte of its queue for so long is aborted.
    #[serde(with = "text::duration")]
    pub write_timeout: Duration,
    /// The longest that stopping may take.
    #[serde(with = "text::duration")]
    pub drain_timeout: Duration,
    /// How many connections a peer may have at once.
    #[serde(deserialize_with = "text::whole_number")]
    pub connections_per_peer: u16,
    /// The only peers that may connect; each list that is empty allows all.
    pub allow: Access,
    /// Peers that may not connect in any case.
    pub deny: Access,
    /// Certificates, for addresses with `tls://`.
    pub tls: Tls,
    /// Associations, for addresses with `sctp://`.
    pub sctp: Sctp,
    /// The peers that are known.
    #[serde(rename = "peer")]
    pub peers: Vec<Peer>,
    /// The peers that the EIR calls.
    pub connect: Vec<Connect>,
}

impl Default for Diameter {
    fn default() -> Self {
        Self {
            origin_host: DEFAULT_ORIGIN_HOST.to_owned(),
            origin_realm: DEFAULT_ORIGIN_REALM.to_owned(),
            realms: Vec::new(),
            listen: default_listen(),
            product_name: DEFAULT_PRODUCT_NAME.to_owned(),
            vendor_id: 0,
            watchdog: DEFAULT_WATCHDOG,
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            unknown_peers: true,
            max_message: DEFAULT_MAX_MESSAGE,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            output_limit: DEFAULT_OUTPUT_LIMIT,
            write_timeout: DEFAULT_WRITE_TIMEOUT,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            connections_per_peer: DEFAULT_CONNECTIONS_PER_PEER,
            allow: Access::default(),
            deny: Access::default(),
            tls: Tls::default(),
            sctp: Sctp::default(),
            peers: Vec::new(),
            connect: Vec::new(),
        }
    }
}

/// Where a fresh installation listens: this machine alone can reach it, over
/// whatever Diameter is carried by.
fn default_listen() -> Vec<Listen> {
    let sctp = Endpoint {
        transport: Transport::Sctp,
        ..Endpoint::default()
    };
    vec![Endpoint::default().into(), sctp.into()]
}
