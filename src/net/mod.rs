//! The network shell: the only code that uses tokio.
//!
//! ```text
//! listener ── accepts, limits, configures sockets ──▶ one driver task a connection
//!                                                       │  socket ⇄ Connection (sans-IO)
//! Server ── drain on shutdown ────────────────────────▶ │  timers, claims, end of the transport
//!                                                       ▼
//!                                  Directory: the table of peers, and who may be one
//!                                                       ▲
//! connect ── calls peers, and calls again ──────────────┘
//! ```
//!
//! The runtime that a server is run on listens, accepts and decides whom to
//! call. Connections are tasks of the workers, which can be other runtimes.
//!
//! A connection is one task that reads, answers and writes; it shares nothing
//! with others but the register (lock-free), counters (atomic) and the
//! directory (touched at its beginning and end only). A peer that is slow,
//! silent or hostile holds up its own task and no other.

pub mod client;
pub mod codec;
mod connect;
mod directory;
mod driver;
mod listener;
mod peers;
pub mod sctp;
mod spin;
mod stream;
mod throttle;
pub mod tls;
mod transport;
mod witness;
mod workers;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::base::Node;
use crate::base::disconnect::DisconnectCause;
use crate::config::{Config, Endpoint, Transport};
use crate::error::Failed;
use crate::metrics::Counters;
use crate::policy::Register;
use crate::time::{Now, UnixTime, Uptime};
use crate::wire::compose::HostAddress;

pub use self::peers::{CallRow, ConnectionRow, Direction, LinkState, PeerRow, PeerTable, Peers};

use self::directory::{Directory, Orders};
use self::listener::{Acceptor, Door, Listener};
use self::throttle::{Sampler, Throttle};
use self::tls::Tls;
use self::workers::Workers;

/// Both clocks, as one thing to ask for the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The origin of uptimes.
    origin: Instant,
}

impl Clock {
    /// A clock whose uptime begins now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the core's time comes from"
    )]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// The time on both clocks.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the core's time comes from"
    )]
    pub fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            uptime: Uptime(self.origin.elapsed()),
            unix: UnixTime(i64::try_from(unix.as_secs()).unwrap_or(i64::MAX)),
        }
    }

    /// The instant of an uptime.
    #[must_use]
    pub fn instant(&self, uptime: Uptime) -> Instant {
        self.origin + uptime.0
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    /// This node, as the capabilities exchange shows it.
    node: Arc<Node>,
    /// The rulebook in force.
    register: Arc<Register>,
    /// What was done.
    counters: Arc<Counters>,
    /// Which connection each peer holds.
    directory: Arc<Directory>,
    /// What connections over TLS are secured with.
    tls: Option<Arc<Tls>>,
    /// The time.
    clock: Clock,
    /// How associations are opened from this side.
    sctp: sctp::Calling,
    /// How long a peer may leave its answers unread.
    write_timeout: Duration,
    /// Whether the log may have IMEIs and IMSIs in full.
    show_identities: bool,
    /// Keeps strangers from filling the log.
    throttle: Throttle,
    /// Keeps shadows from filling the log.
    shadow_samples: Sampler,
}

/// A server that listens, and has not begun to accept.
#[derive(Debug)]
pub struct Server {
    /// What all connections share.
    shared: Arc<Shared>,
    /// The listening sockets.
    listeners: Vec<Listener>,
    /// What is not listened on, as the kernel has no SCTP.
    without_sctp: Vec<Endpoint>,
    /// Who serves the connections.
    workers: Workers,
    /// How long they look for requests instead of sleeping.
    busy_poll: Duration,
    /// One permit for each connection that may be there at once.
    connections: Arc<Semaphore>,
    /// How many permits there are.
    connections_max: u32,
}

impl Server {
    /// Reads the certificates and opens all listening sockets of the
    /// configuration.
    ///
    /// # Errors
    ///
    /// The file that cannot be used, or the address that cannot be listened
    /// on, and why.
    pub async fn bind(
        config: &Config,
        node: Arc<Node>,
        register: Arc<Register>,
        counters: Arc<Counters>,
    ) -> Result<Self, Failed> {
        let clock = Clock::start();
        let tls = Tls::open(config, clock.now().unix)?;
        let mut listeners = Vec::new();
        let mut without_sctp = Vec::new();
        for listen in &config.diameter.listen {
            let endpoint = &listen.endpoint;
            if endpoint.transport != Transport::Sctp {
                listener::bind(endpoint, tls.as_ref(), &mut listeners).await?;
            } else if let Some((socket, listening)) = sctp::bind(listen, &config.diameter).await? {
                let socket = Acceptor::Sctp(socket);
                listeners.push(Listener { listening, socket });
            } else {
                without_sctp.push(endpoint.clone());
            }
        }
        if let (true, Some(endpoint)) = (listeners.is_empty(), without_sctp.first()) {
            return Err(Failed::new(format!(
                "cannot listen on {endpoint}: this machine's kernel has no SCTP; load its module \
                 (`modprobe sctp`), or listen on a tcp:// address as well"
            )));
        }
        let connections_max = u32::try_from(config.diameter.max_connections).unwrap_or(u32::MAX);
        let orders = Orders {
            admission: Arc::new(config.diameter.admission()),
            connect: config.diameter.connect.as_slice().into(),
            leave: None,
        };
        let directory = Directory::new(&node.settings().origin_host, orders);
        let shared = Shared {
            node,
            register,
            counters,
            directory: Arc::new(directory),
            tls,
            clock,
            sctp: sctp::Calling::new(
                &config.diameter,
                listeners.iter().map(|listener| &listener.listening),
            ),
            write_timeout: config.diameter.write_timeout,
            show_identities: config.log.show_identities,
            throttle: Throttle::default(),
            shadow_samples: Sampler::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            listeners,
            without_sctp,
            workers: Workers::new(Vec::new(), config.runtime.busy_poll()),
            busy_poll: config.runtime.busy_poll(),
            connections: Arc::new(Semaphore::new(config.diameter.max_connections)),
            connections_max,
        })
    }

    /// What connections over TLS are secured with, for reloads.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.shared.tls.as_ref()
    }

    /// What is listened on, ports resolved.
    pub fn listening(&self) -> impl Iterator<Item = &Listening> {
        self.listeners.iter().map(|listener| &listener.listening)
    }

    /// What is configured and not listened on, as the kernel has no SCTP.
    #[must_use]
    pub fn without_sctp(&self) -> &[Endpoint] {
        &self.without_sctp
    }

    /// The peers: to look at, and to change who may be one.
    #[must_use]
    pub fn peers(&self) -> Peers {
        Peers {
            directory: Arc::clone(&self.shared.directory),
            clock: self.shared.clock,
        }
    }

    /// Has connections served by these runtimes, each with one thread of its
    /// own, instead of the one that the server was bound on. That one accepts
    /// them, and hands them out evenly.
    #[must_use]
    pub fn served_by(self, runtimes: Vec<Handle>) -> Self {
        let workers = Workers::new(runtimes, self.busy_poll);
        Self { workers, ..self }
    }

    /// Accepts and serves connections, and calls peers, until `shutdown` is done; then sends
    /// every peer a DPR with cause REBOOTING, answers what is still coming in,
    /// and returns once all connections are closed or the drain time is over.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let workers = Arc::new(self.workers);
        let door = Door {
            shared: Arc::clone(&self.shared),
            workers: Arc::clone(&workers),
            connections: Arc::clone(&self.connections),
            orders: self.shared.directory.orders(),
        };
        let accepting: Vec<_> = self
            .listeners
            .into_iter()
            .map(|listener| tokio::spawn(door.clone().open(listener)))
            .collect();
        drop(door);
        let calling = tokio::spawn(connect::call_all(Arc::clone(&self.shared), workers));
        shutdown.await;
        for task in &accepting {
            task.abort();
        }
        let leave = Some(DisconnectCause::REBOOTING);
        self.shared.directory.order(|orders| orders.leave = leave);
        let limit = self.shared.node.limits().drain + driver::FLUSH_MAX + DRAIN_GRACE;
        let all_closed = async {
            // Neither fails: the semaphore is never closed, and a task that
            // panicked is over as well.
            let _ = self.connections.acquire_many(self.connections_max).await;
            let _ = calling.await;
        };
        if tokio::time::timeout(limit, all_closed).await.is_err() {
            let left = self.shared.counters.connections();
            tracing::warn!("{left} connections did not close in time and are cut");
        }
    }
}

/// A socket that listens, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// What its connections are.
    pub transport: Transport,
    /// Its addresses, all of one port; more than one only with SCTP.
    pub addresses: Vec<SocketAddr>,
}

impl Listening {
    /// The first of its addresses.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }
}

/// The way it is configured: `tcp://127.0.0.1:3868`.
impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = Endpoint {
            transport: self.transport,
            hosts: self
                .addresses
                .iter()
                .map(|at| at.ip().to_string())
                .collect(),
            port: self.address().map_or(0, |address| address.port()),
        };
        endpoint.fmt(f)
    }
}

/// How much longer the connections may take to close before they are cut.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

/// A socket address as Host-IP-Address shows it.
#[must_use]
pub fn host_address(address: IpAddr) -> HostAddress {
    match address.to_canonical() {
        IpAddr::V4(v4) => HostAddress::V4(v4.octets()),
        IpAddr::V6(v6) => HostAddress::V6(v6.octets()),
    }
}

/// A seed for jitter and identifiers, different for each call.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
