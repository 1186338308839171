//! The process's front door: accepts connections, keeps them within bounds, judges each request's head, drains.
//!
//! Generic over what answers. Each worker has an event loop of its own and calls [`Server::serve`] with its own copy of
//! the listening socket; what they share is in [`Server`].

pub mod admin;
mod connection;
pub mod edge;
mod exchange;
mod framing;
mod gate;
mod handover;
mod io;
mod openmetrics;
mod shed;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;

pub use admin::{Admin, AdminSource};
pub use edge::EdgeRules;
pub use gate::{Gate, Place};
pub use openmetrics::to_openmetrics;

use self::connection::Protocol;
use self::io::Stream;
use crate::base::Fault;
use crate::base::body::Body;
use crate::base::drain::{Drain, DrainState};
use crate::config::Bounds;

/// First pause after the system refused to give us a connection; doubles up to [`ACCEPT_PAUSE_MAX`].
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Connections that had been accepted by the system when the drain began are still served, up to so many.
const BACKLOG_MAX: usize = 4096;

/// What answers requests. Cloned for each connection and exchange, so it should be an `Arc` or less.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers one request, whose head has passed the edge rules.
    fn serve(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;

    /// Words a refusal in the caller's dialect. After a panic, `head` has method, target and version, but no headers.
    fn refuse(&self, head: &Parts, fault: Fault) -> Response<Body>;

    /// Counts a panic. One in [`Self::serve`] is answered through [`Self::refuse`], one in a body cuts it.
    fn panicked(&self);
}

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

/// Everything that the workers of one listener share. Cheap to clone.
pub struct Server<S> {
    service: S,
    rules: Arc<EdgeRules>,
    protocol: Arc<Protocol<S>>,
    gate: Arc<Gate>,
    shed: Arc<Gate>,
    drain: Drain,
}

impl<S: Service> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            rules: Arc::clone(&self.rules),
            protocol: Arc::clone(&self.protocol),
            gate: Arc::clone(&self.gate),
            shed: Arc::clone(&self.shed),
            drain: self.drain.clone(),
        }
    }
}

impl<S: Service> Server<S> {
    /// A server of `service`. The gate may be shared by several servers, as by the app's port and its unix socket.
    pub fn new(service: S, rules: EdgeRules, bounds: &Bounds, gate: Arc<Gate>, drain: Drain) -> Self {
        let protocol = Arc::new(Protocol::new(&service, bounds));
        Self { service, rules: Arc::new(rules), protocol, gate, shed: Gate::new(shed::LINGERING_MAX), drain }
    }

    /// Accepts and serves until the drain begins, then returns once every connection accepted here has ended: those that
    /// are idle at once, the others with their last answer, or shortly after the cut.
    pub async fn serve(&self, listener: Listener) {
        let (alive, mut all_gone) = mpsc::channel::<Infallible>(1);
        self.accept_until_drain(&listener, &alive).await;
        self.accept_backlog(&listener, &alive).await;
        drop(listener);
        drop(alive);
        all_gone.recv().await;
    }

    async fn accept_until_drain(&self, listener: &Listener, alive: &mpsc::Sender<Infallible>) {
        let mut watch = self.drain.watch();
        let mut draining = pin!(watch.reached(DrainState::Draining));
        let mut pause = ACCEPT_PAUSE;
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut draining => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(stream) => {
                    pause = ACCEPT_PAUSE;
                    self.admit(stream, alive);
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, pause_ms = pause.as_millis(), "cannot accept connections; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
            }
        }
    }

    /// A client whose connection the system completed before the drain has been promised an answer.
    async fn accept_backlog(&self, listener: &Listener, alive: &mpsc::Sender<Infallible>) {
        // Lets the event loop look once more for what has come in.
        tokio::task::yield_now().await;
        for _ in 0..BACKLOG_MAX {
            let mut accept = pin!(listener.accept());
            let accepted = poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx))).await;
            let Poll::Ready(Ok(stream)) = accepted else { return };
            self.admit(stream, alive);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the drain awaits every connection through `alive`")]
    fn admit(&self, stream: Stream, alive: &mpsc::Sender<Infallible>) {
        let alive = alive.clone();
        let Some(place) = self.gate.enter() else {
            if let Some(place) = self.shed.enter() {
                tokio::spawn(async move {
                    shed::refuse(stream).await;
                    drop((place, alive));
                });
            }
            return;
        };
        let server = self.clone();
        tokio::spawn(async move {
            let watch = server.drain.watch();
            if server.protocol.run(stream, server.service.clone(), server.rules, watch).await.is_err() {
                server.service.panicked();
            }
            drop((place, alive));
        });
    }
}

/// Begins the drain, waits until no connection is left behind the gate, at most for `timeout`, then cuts.
pub async fn drain(drain: &Drain, gate: &Gate, timeout: Duration) {
    drain.begin();
    if tokio::time::timeout(timeout, gate.emptied()).await.is_err() {
        drain.cut();
    }
}

impl Listener {
    async fn accept(&self) -> std::io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Small events of a stream must not wait for each other; a socket that refuses is about to fail anyway.
                stream.set_nodelay(true).ok();
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// Whether an accept error is over with the connection that it was about.
fn is_about_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, PermissionDenied};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | PermissionDenied)
}
