//! The sidecar as a process: from a configuration to listening, through reloads, to the drain.
//!
//! Each worker is a thread with a current-thread runtime of its own: a sidecar has a fraction of a core, and a
//! connection that never changes threads needs no locks. The main thread keeps the admin listener, the signals and the
//! clockwork, so that these stay alive whatever the workers do.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::base::Fault;
use crate::base::body::Body;
use crate::base::clock::{SystemClock, WallClock};
use crate::base::drain::{Drain, DrainState};
use crate::base::rng::RootRng;
use crate::config::{Bootstrap, Config, Loaded, Outside, Rejected};
use crate::credential::Credentials;
use crate::journal::Journal;
use crate::pipeline::{self, Env, Pipeline, Shared, Snapshot, Stores};
use crate::server::admin::{ADMIN_CONNECTIONS_MAX, Admin};
use crate::server::{self, EdgeRules, Gate, Listener, Server, Service};
use crate::status::Status;
use crate::telemetry::{Failures, Meters, Sinks};
use crate::upstream::{Connector, TlsSetup, Upstream};

/// How often files are looked at, and histograms folded: a change is in force well within five seconds.
const TICK: Duration = Duration::from_secs(1);
/// What streams get, after the drain time is over, to tell their error event.
const CUT_GRACE: Duration = Duration::from_millis(1500);

/// Why the process could not start or had to end.
#[derive(Debug)]
pub enum RunError {
    /// The configuration is not sound.
    Config(Rejected),
    /// The operating system refused: what, and why.
    System(String, std::io::Error),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(rejected) => write!(f, "{rejected}"),
            Self::System(what, cause) => write!(f, "{what}: {cause}"),
        }
    }
}

impl std::error::Error for RunError {}

fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> RunError {
    let what = what.into();
    move |cause| RunError::System(what, cause)
}

/// Runs the sidecar until it has drained. `ready` is told each listener once all are open.
///
/// # Errors
/// A configuration that is not sound, an address in use, no threads.
pub fn run(config: Option<&Path>, mut ready: impl FnMut(&str, &str)) -> Result<(), RunError> {
    let loaded = Config::load(config, &Outside::process()).map_err(RunError::Config)?;
    for warning in &loaded.warnings {
        tracing::warn!(message = "configuration", warning = %warning);
    }
    let bootstrap = loaded.config.bootstrap.clone();
    raise_file_limit(&bootstrap);
    let app = bind(bootstrap.listen.app, "app")?;
    let admin = bind(bootstrap.listen.admin, "admin")?;
    let unix = bootstrap.listen.unix.as_deref().map(bind_unix).transpose()?;
    let local = |listener: &TcpListener| listener.local_addr().map_err(system("listener"));
    let (app_address, admin_address) = (local(&app)?, local(&admin)?);

    let chance = RootRng::from_system();
    let journal = Journal::open(&bootstrap.state, Arc::new(SystemClock), &chance);
    let shared = Arc::new(share(&loaded, &bootstrap, journal));
    restore(&shared);
    let gate = Gate::new(bootstrap.bounds.connections_max);
    let tls = Arc::new(TlsSetup::default());
    let mut workers = Vec::new();
    for number in 0..worker_count(&bootstrap) {
        let line = Pipeline {
            shared: Arc::clone(&shared),
            upstream: Arc::new(Upstream::new(Connector::Network(Arc::clone(&tls)), bootstrap.bounds.idle_connections_max)),
        };
        let server = |rules| Server::new(line.clone(), rules, &bootstrap.bounds, Arc::clone(&gate), shared.drain.clone());
        let mut doors =
            vec![(server(EdgeRules::for_app(&bootstrap.listen, app_address)), Door::Tcp(app.try_clone().map_err(system("listener"))?))];
        if let Some(unix) = &unix {
            doors.push((server(EdgeRules::for_unix(&bootstrap.listen)), Door::Unix(unix.try_clone().map_err(system("unix socket"))?)));
        }
        let worker = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || work(doors));
        workers.push(worker.map_err(system("worker thread"))?);
    }
    drop((app, unix));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system("runtime"))?;
    let ended = runtime.block_on(async {
        let signals = Signals::new().map_err(system("signals"))?;
        let status = Arc::new(Status::new(Arc::clone(&shared), loaded.config.clone()));
        // A drain of its own, never begun: the admin side answers until the app's is over.
        let admin_server = Server::new(
            Admin::new(Arc::clone(&status)),
            EdgeRules::for_admin(&bootstrap.listen, admin_address),
            &Admin::<Status>::bounds(&bootstrap.bounds),
            Gate::new(ADMIN_CONNECTIONS_MAX),
            Drain::default(),
        );
        let listener = Door::Tcp(admin).open().map_err(system("admin listener"))?;
        ready("app", &format!("http://{app_address}"));
        if let Some(path) = &bootstrap.listen.unix {
            ready("app", &format!("unix:{}", path.display()));
        }
        ready("admin", &format!("http://{admin_address}"));
        let minding = mind(&shared, &status, loaded, signals, &gate, bootstrap.listen.drain_timeout);
        tokio::select! {
            () = admin_server.serve(listener) => Ok(()),
            () = minding => Ok(()),
        }
    });
    if let Some(path) = &bootstrap.listen.unix {
        // Another process may have taken the path over: then it is not ours to remove, and failing is fine.
        let _may_be_gone = std::fs::remove_file(path);
    }
    ended
}

fn bind(address: SocketAddr, what: &str) -> Result<TcpListener, RunError> {
    let bound = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(system(format!("cannot listen on {address}, is it in use? Set listen.{what}")))
}

/// Binds a unix socket. A socket that nobody answers on is what a process left behind that was killed: it is replaced.
fn bind_unix(path: &Path) -> Result<UnixListener, RunError> {
    if UnixStream::connect(path).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
        // Whoever removed it first did the same.
        let _may_be_gone = std::fs::remove_file(path);
    }
    let bound = UnixListener::bind(path).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(system(format!("cannot listen on {}, is it in use? Set listen.unix", path.display())))
}

/// Each exchange may hold two sockets; the usual soft limit of 1,024 files is for programs that hold none.
fn raise_file_limit(bootstrap: &Bootstrap) {
    let wanted = 2 * bootstrap.bounds.connections_max as u64 + 256;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(granted) if granted < wanted => {
            tracing::info!(message = "the file limit is lower than bounds.connections_max may need", granted, wanted);
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(message = "the file limit cannot be raised", cause = %error),
    }
}

fn share(loaded: &Loaded, bootstrap: &Bootstrap, journal: Arc<Journal>) -> Shared {
    let identity = bootstrap.identity.clone();
    let sinks = Sinks {
        meters: Meters::new(),
        team: identity.team.unwrap_or_default(),
        app: identity.app.unwrap_or_default(),
        failures: Failures::default(),
    };
    sinks.meters.policy(&loaded.config.policy.version, None);
    let wall: Arc<dyn WallClock> = Arc::new(SystemClock);
    Shared {
        credentials: Credentials::new(Arc::clone(&wall)),
        env: Env { wall, rng: RootRng::from_system() },
        snapshot: tokio::sync::watch::Sender::new(Arc::new(Snapshot::new(loaded.config.policy.clone(), &bootstrap.identity))),
        stores: Stores::new(bootstrap.bounds.clone(), bootstrap.identity.clone(), journal, sinks),
        drain: Drain::default(),
    }
}

/// What would happen to a request by a configuration, as JSON: by a process that has seen no traffic yet, and whose limits stand
/// where the journal says. The error says why not.
pub fn explain(loaded: &Loaded, head: Parts, body: Bytes) -> Result<Vec<u8>, String> {
    let bootstrap = &loaded.config.bootstrap;
    let upstream = Arc::new(Upstream::new(Connector::Network(Arc::default()), bootstrap.bounds.idle_connections_max));
    // Nothing is sent, so nothing is written down.
    let journal = Journal::glance(&bootstrap.state, SystemClock.now(), &RootRng::from_system());
    let line = Pipeline { shared: Arc::new(share(loaded, bootstrap, Arc::new(journal))), upstream };
    if let Some(recovered) = line.shared.stores.journal.recovered() {
        line.shared.restore(&recovered);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|cause| format!("no runtime: {cause}"))?;
    runtime.block_on(pipeline::explain(&line, head, body)).map_err(|fault| fault.to_string())
}

/// One for each core that the cgroup grants, unless the configuration says otherwise.
fn worker_count(bootstrap: &Bootstrap) -> usize {
    match bootstrap.listen.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        told => told,
    }
}

/// A listening socket, before a worker's runtime takes it over.
enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    fn open(self) -> std::io::Result<Listener> {
        Ok(match self {
            Self::Tcp(listener) => Listener::Tcp(tokio::net::TcpListener::from_std(listener)?),
            Self::Unix(listener) => Listener::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }
}

fn work(doors: Vec<(Server<Pipeline>, Door)>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(message = "a worker has no runtime", cause = %error),
    };
    runtime.block_on(async {
        let mut serving = tokio::task::JoinSet::new();
        for (server, door) in doors {
            match door.open() {
                Ok(listener) => drop(serving.spawn(async move { server.serve(listener).await })),
                Err(error) => tracing::error!(message = "a listener failed", cause = %error),
            }
        }
        while serving.join_next().await.is_some() {}
    });
}

impl Service for Pipeline {
    async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        Self::serve(self, request).await
    }

    fn refuse(&self, head: &Parts, fault: Fault) -> Response<Body> {
        Self::refuse(self, head, fault)
    }

    fn panicked(&self) {
        self.shared.stores.sinks.meters.panics.increment(1);
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Minds the process until it has drained: reloads, upkeep, signals.
async fn mind(shared: &Shared, status: &Status, loaded: Loaded, mut signals: Signals, gate: &Gate, drain_timeout: Duration) {
    let mut reload = Reload::new(loaded);
    let mut draining = shared.drain.watch();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                shared.stores.sinks.meters.upkeep();
                restore(shared);
                if reload.changed() {
                    reload.apply(shared, status);
                }
            }
            _ = signals.hangup.recv() => reload.apply(shared, status),
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            () = draining.reached(DrainState::Draining) => break,
        }
    }
    drain(shared, signals, gate, drain_timeout).await;
}

/// Stops accepting, waits for what is in flight, then cuts it with an honest error. A second signal cuts at once.
async fn drain(shared: &Shared, mut signals: Signals, gate: &Gate, drain_timeout: Duration) {
    tracing::info!(message = "draining", timeout = %humantime::format_duration(drain_timeout));
    tokio::select! {
        () = server::drain(&shared.drain, gate, drain_timeout) => {}
        _ = signals.terminate.recv() => {}
        _ = signals.interrupt.recv() => {}
    }
    let left = shared.stores.exchanges.load(std::sync::atomic::Ordering::Relaxed);
    if left > 0 {
        tracing::warn!(message = "the drain time is over", exchanges_cut = left as u64);
    }
    shared.drain.cut();
    // The error events are on their way; what does not leave in this time is lost with its connection.
    let _grace_over = tokio::time::timeout(CUT_GRACE, gate.emptied()).await;
    shared.stores.journal.close(shared.env.wall.now());
    tracing::info!(message = "drained");
}

/// Puts back what earlier processes spent, as soon as the journal knows: at the start, or when another process lets go of it.
fn restore(shared: &Shared) {
    let Some(recovered) = shared.stores.journal.recovered() else { return };
    let (exchanges, cost) = recovered.settled_by_estimate();
    if exchanges > 0 {
        tracing::warn!(message = "the last process ended amid exchanges, which are settled at their estimates", exchanges, cost_usd = %cost);
    }
    shared.restore(&recovered);
}

/// Watches the files of a configuration and brings a new one into force.
struct Reload {
    file: Option<PathBuf>,
    bootstrap: Bootstrap,
    seen: HashMap<PathBuf, Stamp>,
}

/// What tells one content of a file from another without reading it. Kubernetes swaps a symlink: the inode tells.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
    }
}

impl Reload {
    fn new(loaded: Loaded) -> Self {
        let seen = stamps(&loaded.config.watched);
        Self { file: loaded.file, bootstrap: loaded.config.bootstrap, seen }
    }

    /// Whether a file has changed since it was looked at last. One that is gone for the moment has not.
    fn changed(&self) -> bool {
        self.seen.iter().any(|(path, before)| Stamp::of(path).is_some_and(|now| now != *before))
    }

    /// Reads the configuration anew. What is not sound is refused, told and counted, and the old one goes on.
    fn apply(&mut self, shared: &Shared, status: &Status) {
        let meters = &shared.stores.sinks.meters;
        let paths: Vec<_> = self.seen.keys().cloned().collect();
        // Looked at before it is read: a change in between is seen again.
        self.seen = stamps(&paths);
        let loaded = match Config::load(self.file.as_deref(), &Outside::process()) {
            Ok(loaded) => loaded,
            Err(rejected) => {
                meters.reload(false);
                for fault in &rejected.faults {
                    tracing::error!(message = "the new configuration is refused, the old one goes on", fault = %fault);
                }
                return status.reload_refused(&rejected);
            }
        };
        for warning in &loaded.warnings {
            tracing::warn!(message = "configuration", warning = %warning);
        }
        if format!("{:?}", loaded.config.bootstrap) != format!("{:?}", self.bootstrap) {
            tracing::warn!(message = "listen, identity, state and bounds take effect by a restart only");
        }
        for (path, stamp) in stamps(&loaded.config.watched) {
            self.seen.entry(path).or_insert(stamp);
        }
        self.seen.retain(|path, _| loaded.config.watched.contains(path));
        let before = shared.snapshot.borrow().policy.version.clone();
        let version = loaded.config.policy.version.clone();
        let after = shared.snapshot.borrow().after(loaded.config.policy.clone(), &shared.stores.identity);
        shared.snapshot.send_replace(Arc::new(after));
        meters.policy(&version, (version != before).then_some(before.as_str()));
        meters.reload(true);
        status.reloaded(loaded.config);
        tracing::info!(message = "configuration reloaded", version);
    }
}

fn stamps(paths: &[PathBuf]) -> HashMap<PathBuf, Stamp> {
    let unreadable = Stamp { modified: None, length: 0, inode: 0 };
    paths.iter().map(|path| (path.clone(), Stamp::of(path).unwrap_or(unreadable))).collect()
}
