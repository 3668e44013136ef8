//! `weir serve`: the server.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use super::workers::Workers;
use super::{complete, configuration, runtime};
use crate::base::Node;
use crate::base::node::{Limits, NodeSettings, is_identity};
use crate::config::{ClientCertificates, Config, Diameter, Endpoint, LogLevel, Transport};
use crate::error::Failed;
use crate::journal::disk::Directory;
use crate::journal::fold::Folding;
use crate::journal::keeper::Keeper;
use crate::journal::{self, above, control};
use crate::lists::LoadReport;
use crate::load::{self, Previous};
use crate::metrics::Counters;
use crate::net::tls::Tls;
use crate::net::{Clock, Listening, Peers, Server};
use crate::policy::Register;
use crate::reload::{self, Fingerprint, Reloader, SetLevel};
use crate::state::State;

/// How often the counters are logged while they change: often enough for a
/// look at the log, too seldom to fill it.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How often the end of a certificate is told of.
const REMIND_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Run the server. Without a configuration it listens on 127.0.0.1:3868 and
/// knows a built-in register of test IMEIs.
#[derive(Clone, Debug, Args)]
#[command(after_help = SIGNALS)]
pub struct ServeArgs {
    /// The configuration file; `weir config` prints one to begin with.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Listen here instead of where the configuration says, such as
    /// tcp://127.0.0.1:3868; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<Endpoint>,

    /// The Origin-Host of this EIR, instead of the configuration's. It must be
    /// the name that the MME is configured with.
    #[arg(long, value_name = "HOST")]
    pub origin_host: Option<String>,

    /// The Origin-Realm of this EIR, instead of the configuration's.
    #[arg(long, value_name = "REALM")]
    pub origin_realm: Option<String>,
}

/// What the signals do.
const SIGNALS: &str = "\
Signals:
  SIGHUP            reads the configuration's lists, policies, peers and certificates again
  SIGUSR1           logs the table of peers
  SIGTERM, SIGINT   disconnects all peers in order (DPR cause REBOOTING) and stops;
                    the second one stops at once";

/// What the server begins with.
struct Loaded {
    /// The register, with the changes above it.
    register: Arc<Register>,
    /// Who makes more of them, if they are kept.
    keeper: Option<Keeper<Directory>>,
    /// What was loaded.
    report: LoadReport,
}

impl ServeArgs {
    /// The register with the changes above it that are kept, if there is a
    /// `state_dir`.
    fn load(&self, config: &Config, counters: &Arc<Counters>) -> Result<Loaded, Failed> {
        let state = State::of(config);
        let previous = state
            .as_ref()
            .map_or_else(Previous::default, State::previous);
        let opened = journal::open(config)?;
        let dir = journal::dir(config);
        let fold = opened.as_ref().and_then(|opened| opened.fold);
        let candidate = fold.zip(dir.as_ref());
        let candidate = candidate.map(|(fold, dir)| above::candidate(fold, dir));
        let loaded = load::load_folded(config, &previous, candidate.as_ref())
            .map_err(|refused| Failed::new(reload::loggable(&refused.to_string(), config)))?;
        if let Some(residence) = loaded.residence {
            tracing::info!("snapshot: {residence}");
        }
        let (Some(opened), Some(dir)) = (opened, dir) else {
            return Ok(Loaded {
                register: Arc::new(Register::new(loaded.rulebook)),
                keeper: None,
                report: loaded.report,
            });
        };
        let secret = [journal::random(), journal::random()];
        let register = Arc::new(Register::new(loaded.rulebook.clone()));
        let folding = Folding {
            dir,
            after: config.register.fold_changes,
            memory: config.register.snapshot_memory,
            compile_memory: config.register.compile_memory,
        };
        let keeper = Keeper::new(opened, Arc::clone(&register), secret, Arc::clone(counters))
            .folding(folding, fold);
        let changes = keeper.changes();
        let (_, misfits) = changes
            .install(&loaded.rulebook, loaded.origin)
            .map_err(Failed::new)?;
        for warning in above::told(&misfits) {
            tracing::warn!("{warning}");
        }
        if !changes.is_empty() {
            tracing::info!(
                "{} single changes are in force",
                changes.len() - misfits.len()
            );
        }
        if let Some(fold) = changes.fold() {
            tracing::info!("changes up to {} are folded", fold.through);
        }
        Ok(Loaded {
            register,
            keeper: Some(keeper),
            report: loaded.report,
        })
    }

    /// Runs the server until a signal stops it.
    ///
    /// # Errors
    ///
    /// A configuration or list that cannot be used, or an address that cannot
    /// be listened on.
    pub fn run(&self) -> Result<(), Failed> {
        let file = configuration(self.config.as_deref())?;
        let config = self.configuration(&file)?;
        let workers = Workers::new(&config.runtime)?;
        let (_log, set_level) = start_log(&config);
        let seen = Fingerprint::of(self.config.as_deref(), &file);
        let lock = reload::lock(&config)?;
        let counters = Arc::new(Counters::default());
        let Loaded {
            register,
            keeper,
            report: loaded,
        } = self.load(&config, &counters)?;
        let node = Arc::new(node(&config));
        let workers = workers.start()?;
        // For all but the connections: listening, signals, reloads.
        let runtime = runtime()?;
        allow_files(config.diameter.max_connections);
        complete(runtime, async {
            let signals = Signals::new()?;
            let server =
                Server::bind(&config, node, Arc::clone(&register), Arc::clone(&counters)).await?;
            let server = server.served_by(workers.runtimes());
            // What could not be listened with was not in force.
            reload::keep(&config, seen.lists(), &loaded);
            let reloader =
                Reloader::new(self.config.clone(), file, register, Arc::clone(&counters))
                    .since(seen)
                    .with_peers(server.peers())
                    .with_log(set_level)
                    .with_tls(server.tls().cloned())
                    .after(Previous::of(&loaded))
                    .with_changes(keeper.as_ref().map(Keeper::changes))
                    .holding(lock);
            let reload = reloader.spawn()?;
            if let (Some(keeper), Some(dir)) = (keeper, journal::dir(&config)) {
                control::listen(&dir, keeper.spawn()?)?;
            }
            if let Some(endpoint) = server.without_sctp().first() {
                tracing::warn!(
                    "this machine's kernel has no SCTP: not listening on {endpoint} (`modprobe \
                     sctp` loads it where it is a module)"
                );
            }
            // A server whose standard output is gone serves all the same.
            if let Err(error) = self.banner(&config, &server, &loaded) {
                let listening: Vec<_> = server.listening().map(ToString::to_string).collect();
                tracing::warn!(
                    "listening on {}; this cannot be printed: {error}",
                    listening.join(", ")
                );
            }
            let peers = server.peers();
            let report = tokio::spawn(report(Arc::clone(&counters)));
            let remind = server.tls().cloned().map(|tls| tokio::spawn(remind(tls)));
            let (stop, stopped) = oneshot::channel();
            let stopped = async {
                // Fails only when nobody is left to stop the server.
                let _ = stopped.await;
            };
            let result = tokio::select! {
                () = server.run(stopped) => Ok(()),
                () = signals.pass_on(reload, peers, stop) => {
                    Err(Failed::new("stopped at once by the second signal"))
                }
            };
            report.abort();
            remind.inspect(tokio::task::JoinHandle::abort);
            tracing::info!("stopped; {}", counters.total());
            result
        })
    }

    /// The configuration of the file, with what the command line says instead.
    fn configuration(&self, file: &Config) -> Result<Config, Failed> {
        let mut config = file.clone();
        if !self.listen.is_empty() {
            config.diameter.listen = self.listen.iter().cloned().map(Into::into).collect();
        }
        let names = [
            (
                "--origin-host",
                &self.origin_host,
                &mut config.diameter.origin_host,
            ),
            (
                "--origin-realm",
                &self.origin_realm,
                &mut config.diameter.origin_realm,
            ),
        ];
        for (option, given, configured) in names {
            let Some(name) = given else { continue };
            if !is_identity(name.as_bytes()) {
                return Err(Failed::usage(format!(
                    "{option} `{name}` is no DiameterIdentity; write a name such as eir.localdomain"
                )));
            }
            configured.clone_from(name);
        }
        Ok(config)
    }

    /// Says on standard output that the server listens, and what to try.
    fn banner(&self, config: &Config, server: &Server, report: &LoadReport) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let diameter = &config.diameter;
        writeln!(
            out,
            "Weir {}, Equipment Identity Register",
            env!("CARGO_PKG_VERSION")
        )?;
        writeln!(out, "  identity      {}", diameter.origin_host)?;
        writeln!(out, "  realm         {}", diameter.origin_realm)?;
        for listening in server.listening() {
            writeln!(out, "  listening on {listening}")?;
        }
        for endpoint in server.without_sctp() {
            writeln!(out, "  no SCTP in this kernel: not listening on {endpoint}")?;
        }
        for list in &report.lists {
            writeln!(out, "  list          {list}")?;
        }
        for warning in report.all_warnings() {
            let warning = reload::loggable(&warning, config);
            writeln!(out, "  warning       {warning}")?;
        }
        let tls = server.tls().map(|tls| tls.current());
        for warning in tls.iter().flat_map(|tls| tls.warnings()) {
            writeln!(out, "  warning       {warning}")?;
        }
        let weir = std::env::args_os().next();
        let weir = weir.map_or_else(|| "weir".to_owned(), |weir| quoted(&weir.to_string_lossy()));
        let peer = way_to(config, server);
        let config = match &self.config {
            Some(path) => format!(" -c {}", quoted(&path.to_string_lossy())),
            None => String::new(),
        };
        writeln!(out, "Try in a second shell:")?;
        writeln!(out, "  {weir} check 490154203237518{peer}")?;
        writeln!(out, "  {weir} explain 490154203237518{config}")?;
        out.flush()
    }
}

/// The options with which `weir check` reaches a server: over TCP if it can.
fn way_to(config: &Config, server: &Server) -> String {
    let plain = |listening: &&Listening| listening.transport == Transport::Tcp;
    let listening = server.listening().find(plain);
    let Some(listening) = listening.or_else(|| server.listening().next()) else {
        return String::new();
    };
    let peer = match listening.address().map(reachable) {
        Some(address) if address != DEFAULT_PEER => format!(" --peer {address}"),
        _ => String::new(),
    };
    match listening.transport {
        Transport::Tcp => return peer,
        Transport::Sctp => return format!("{peer} --sctp"),
        Transport::Tls => {}
    }
    let Diameter {
        origin_host, tls, ..
    } = &config.diameter;
    let ca = tls.ca.as_ref().map(|ca| config.base_dir.join(ca));
    let ca = ca.map_or_else(|| "FILE".to_owned(), |ca| quoted(&ca.to_string_lossy()));
    let own = match tls.client_certificates {
        ClientCertificates::Required => " --cert FILE --key FILE",
        ClientCertificates::Optional | ClientCertificates::None => "",
    };
    format!("{peer} --tls --ca {ca} --server-name {origin_host}{own}")
}

/// Where `weir check` asks unless it is told otherwise.
const DEFAULT_PEER: SocketAddr = SocketAddr::new(
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    crate::config::endpoint::DEFAULT_PORT,
);

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// The node that a configuration describes.
#[must_use]
pub fn node(config: &Config) -> Node {
    let diameter = &config.diameter;
    let started = Clock::start().now().unix.0;
    Node::new(NodeSettings {
        origin_host: diameter.origin_host.clone(),
        origin_realm: diameter.origin_realm.clone(),
        realms: diameter.realms.clone(),
        vendor_id: diameter.vendor_id,
        product_name: diameter.product_name.clone(),
        firmware_revision: firmware_revision(),
        state_id: u32::try_from(started).unwrap_or_default(),
        limits: Limits {
            message_len_max: diameter.max_message,
            output_len_max: diameter.output_limit,
            watchdog: diameter.watchdog,
            handshake: diameter.handshake_timeout,
            drain: diameter.drain_timeout,
        },
    })
}

/// Firmware-Revision: the version as one number, 10203 for 1.2.3.
fn firmware_revision() -> u32 {
    let part = |text: &str| text.parse::<u32>().unwrap_or_default();
    part(env!("CARGO_PKG_VERSION_MAJOR")) * 10_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 100
        + part(env!("CARGO_PKG_VERSION_PATCH"))
}

/// Files that are open besides those of connections: listeners, lists, log.
const FILES_BESIDES: u64 = 64;

/// Raises the limit of open files to what the connections need, and warns if
/// it may not be raised so far: peers would then be kept waiting, not refused.
fn allow_files(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = (connections as u64).saturating_add(FILES_BESIDES);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    let limit = Rlimit {
        current: Some(raised),
        maximum,
    };
    if setrlimit(Resource::Nofile, limit).is_err() || raised < needed {
        tracing::warn!(
            "diameter.max_connections is {connections}, but this process may open only {} files; \
             raise its limit (ulimit -n, LimitNOFILE=) to {needed}, or lower the key",
            getrlimit(Resource::Nofile).current.unwrap_or(raised)
        );
    }
}

/// Starts logging to standard error, from a thread of its own: whoever reads
/// the log slowly loses lines of it, and delays no answer. RUST_LOG overrides
/// the configured level, now and later. The guard writes what is left when it
/// is dropped.
fn start_log(config: &Config) -> (WorkerGuard, SetLevel) {
    let level = |level: LogLevel| EnvFilter::new(format!("weir={}", level.as_str()));
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let wanted = wanted.filter(|wanted| !wanted.is_empty());
    let wanted = wanted.and_then(|wanted| EnvFilter::try_new(wanted).ok());
    let is_overridden = wanted.is_some();
    let filter = wanted.unwrap_or_else(|| level(config.log.level));
    let (writer, guard) = tracing_appender::non_blocking(io::stderr());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        // Told on standard error too, and with a panic if that is what fails:
        // a server must outlive whoever reads its log.
        .log_internal_errors(false)
        .with_writer(writer)
        .with_filter_reloading();
    let filter = log.reload_handle();
    // Fails only if a log was started before, which then serves as well.
    let _ = log.try_init();
    let set_level = move |wanted| {
        if !is_overridden {
            // Fails only if there is no log any more.
            let _ = filter.reload(level(wanted));
        }
    };
    (guard, SetLevel(Box::new(set_level)))
}

/// An address that a client on this machine can connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Logs the counters now and then, while they change.
async fn report(counters: Arc<Counters>) {
    let mut last = counters.total();
    loop {
        tokio::time::sleep(REPORT_INTERVAL).await;
        let total = counters.total();
        if total != last {
            tracing::info!("{} peers; {total}", counters.peers());
            last = total;
        }
    }
}

/// Tells every day that the certificate ends soon, or has ended; the first day
/// is the banner's.
async fn remind(tls: Arc<Tls>) {
    loop {
        tokio::time::sleep(REMIND_INTERVAL).await;
        if let Some(warning) = tls.current().expiry(Clock::start().now().unix) {
            tracing::warn!("{warning}");
        }
    }
}

/// The signals that the server obeys.
struct Signals {
    /// SIGHUP.
    reload: tokio::signal::unix::Signal,
    /// SIGUSR1.
    show: tokio::signal::unix::Signal,
    /// SIGTERM.
    terminate: tokio::signal::unix::Signal,
    /// SIGINT.
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes over the signals.
    fn new() -> Result<Self, Failed> {
        let take = |kind| {
            signal(kind).map_err(|error| Failed::new(format!("cannot handle signals: {error}")))
        };
        Ok(Self {
            reload: take(SignalKind::hangup())?,
            show: take(SignalKind::user_defined1())?,
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
        })
    }

    /// Passes reloads on and shows the peers until the first signal to stop,
    /// and tells so; done at the second one.
    async fn pass_on(mut self, reload: reload::Handle, peers: Peers, stop: oneshot::Sender<()>) {
        loop {
            tokio::select! {
                _ = self.reload.recv() => reload.reload(),
                _ = self.show.recv() => tracing::info!("peers:\n{}", peers.table()),
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
            }
        }
        tracing::info!("stopping: disconnecting all peers");
        // Fails only if the server has stopped already.
        let _ = stop.send(());
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
