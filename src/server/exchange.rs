//! One request of one connection: judged, served, and kept from taking others down.

use std::any::Any;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, Uri, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::Service;
use super::edge::EdgeRules;
use super::framing::{Flaw, Ledger};
use super::handover::Handover;
use crate::base::Fault;
use crate::base::body::{Body, Cut};

/// What hyper calls for each request of a connection.
pub(super) struct Exchanges<S> {
    pub(super) service: S,
    pub(super) rules: Arc<EdgeRules>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) handover: Arc<Handover>,
}

impl<S: Service> hyper::service::Service<Request<Incoming>> for Exchanges<S> {
    type Response = Response<Tracked>;
    type Error = Infallible;
    // Boxed, so that a connection which only waits does not carry the room of a whole exchange.
    type Future = Pin<Box<dyn Future<Output = Result<Response<Tracked>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        // Nothing but a client's wish for another protocol makes hyper put something there.
        let upgrade = (!request.extensions().is_empty()).then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let presence = Presence::new(&self.ledger);
        if let Err(fault) = self.judge(&parts) {
            let mut response = self.service.refuse(&parts, fault);
            if parts.version < Version::HTTP_2 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return Box::pin(std::future::ready(Ok(response.map(|body| Tracked { body, _presence: presence }))));
        }
        let service = self.service.clone();
        let handover = upgrade.map(|upgrade| (upgrade, Arc::clone(&self.handover)));
        Box::pin(async move {
            let (method, uri, version) = (parts.method.clone(), parts.uri.clone(), parts.version);
            let served = caught(pin!(service.serve(Request::from_parts(parts, body)))).await;
            let response = served.unwrap_or_else(|panic| {
                service.panicked();
                service.refuse(&bare_head(method, uri, version), Fault::internal(panic_text(&*panic)))
            });
            Ok(response.map(|mut body| {
                if let Body::Tunnel(_) = body
                    && let Some((upgrade, handover)) = handover
                    && let Body::Tunnel(tunnel) = std::mem::replace(&mut body, Body::Empty)
                {
                    handover.offer(upgrade, tunnel);
                }
                Tracked { body, _presence: presence }
            }))
        })
    }
}

impl<S: Service> Exchanges<S> {
    fn judge(&self, parts: &Parts) -> Result<(), Fault> {
        if parts.version < Version::HTTP_2 {
            self.ledger.next_request().map_err(Flaw::fault)?;
        }
        self.rules.check(parts)
    }
}

/// Runs a future to its end or to its panic. It is lent, since what an `async fn` is given and pins has room in its state twice.
pub(super) async fn caught<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Box<dyn Any + Send>> {
    // A future that panicked is dropped and never polled again, so nobody sees its broken state.
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// What remains of a head that a panicking service has consumed: enough to tell the caller's dialect.
fn bare_head(method: Method, uri: Uri, version: Version) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = uri;
    parts.version = version;
    parts
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("no text"))
}

/// An exchange is under way, answer included.
struct Presence(Arc<Ledger>);

impl Presence {
    fn new(ledger: &Arc<Ledger>) -> Self {
        ledger.enter();
        Self(Arc::clone(ledger))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A body that tells when its answer is over.
pub(super) struct Tracked {
    body: Body,
    _presence: Presence,
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
