//! One connection, from accept to close.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::exchange::{Exchanges, caught};
use super::framing::Ledger;
use super::handover::Handover;
use super::io::{Patience, Stream, Wire};
use super::{EdgeRules, Service};
use crate::base::drain::{DrainState, DrainWatch};
use crate::config::Bounds;

/// After the cut, streams have this long to say their last word.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// Whoever connected just before the drain has this long to begin with a request.
const FIRST_BYTE_GRACE: Duration = Duration::from_millis(100);

/// hyper's own minimum for a connection's buffer.
const BUFFER_MIN: usize = 8192;

/// Streams of one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Streams that a client opened and reset before we saw them ("rapid reset"): more end the connection.
const PENDING_RESETS_MAX: usize = 20;
/// Resets that a client's own protocol errors caused ("MadeYouReset"): more end the connection.
const LOCAL_RESETS_MAX: usize = 256;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How connections of one listener are served.
pub(super) struct Protocol<S> {
    http1: http1::Builder,
    http2: http2::Builder<Spawner<S>>,
    head_bytes_max: usize,
    patience: Patience,
}

impl<S: Service> Protocol<S> {
    pub(super) fn new(service: &S, bounds: &Bounds) -> Self {
        let head_bytes_max = bounds.head_bytes_max.max(BUFFER_MIN);
        let mut http1 = http1::Builder::new();
        http1
            .half_close(false)
            .keep_alive(true)
            .max_buf_size(head_bytes_max)
            .max_header_size(head_bytes_max)
            .max_headers(bounds.headers_max);
        // The wire has its own clock for heads; see there.
        http1.header_read_timeout(None).timer(TokioTimer::new());
        let mut http2 = http2::Builder::new(Spawner(service.clone()));
        http2
            .timer(TokioTimer::new())
            .adaptive_window(false)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(head_bytes_max).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Self { http1, http2, head_bytes_max, patience: Patience { head: bounds.head_timeout, body: bounds.body_idle_timeout } }
    }

    /// Serves one connection until it ends, or until the drain ends it.
    ///
    /// # Errors
    /// A panic outside of an exchange, as in a body that is being streamed; the connection is gone.
    pub(super) async fn run(&self, stream: Stream, service: S, rules: Arc<EdgeRules>, drain: DrainWatch) -> Result<(), ()> {
        caught(pin!(self.converse(stream, service, rules, drain))).await.map_err(drop)
    }

    async fn converse(&self, stream: Stream, service: S, rules: Arc<EdgeRules>, mut drain: DrainWatch) {
        let ledger = Arc::new(Ledger::default());
        let mut wire = Wire::new(stream, Arc::clone(&ledger), self.head_bytes_max, self.patience);
        let Some(is_http2) = sniff(&mut wire, &mut drain).await else { return };
        let handover = Arc::new(Handover::default());
        let exchanges = Exchanges { service, rules, ledger, handover: Arc::clone(&handover) };
        if is_http2 {
            let connection = Box::pin(self.http2.serve_connection(TokioIo::new(wire), exchanges));
            finish(connection, http2::Connection::graceful_shutdown, drain).await;
            return;
        }
        {
            let connection = pin!(self.http1.serve_connection(TokioIo::new(wire), exchanges).with_upgrades());
            finish(connection, http1::UpgradeableConnection::graceful_shutdown, drain).await;
        }
        handover.run().await;
    }
}

/// Whether it is HTTP/2; `None` where the connection has nothing to say, or not in time.
async fn sniff(wire: &mut Wire, drain: &mut DrainWatch) -> Option<bool> {
    let too_late = async {
        drain.reached(DrainState::Draining).await;
        tokio::time::sleep(FIRST_BYTE_GRACE).await;
    };
    tokio::select! {
        biased;
        found = poll_fn(|cx| wire.poll_sniff(cx)) => io::Result::ok(found),
        () = too_late => None,
    }
}

/// Drives a connection. Its errors are the peer's doing, and what matters of them is in the account of the exchange.
async fn finish<C: Future>(mut connection: Pin<impl std::ops::DerefMut<Target = C>>, shut: fn(Pin<&mut C>), mut drain: DrainWatch) {
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = drain.reached(DrainState::Draining) => shut(connection.as_mut()),
    }
    let cut = async {
        drain.reached(DrainState::Cut).await;
        tokio::time::sleep(CUT_GRACE).await;
    };
    tokio::select! {
        biased;
        _ = connection.as_mut() => {}
        () = cut => {}
    }
}

/// Runs the streams of HTTP/2 connections, on the worker of their connection.
#[derive(Clone)]
struct Spawner<S>(S);

impl<S: Service, F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner<S> {
    #[expect(clippy::disallowed_methods, reason = "a stream of a connection ends with the connection, which the drain awaits")]
    fn execute(&self, stream: F) {
        let service = self.0.clone();
        tokio::spawn(async move {
            if caught(pin!(stream)).await.is_err() {
                service.panicked();
            }
        });
    }
}
