//! The body of a provider's answer; gives its connection back when it has been read to the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::{Http1, Pool};

/// A provider's answer, in pieces. Dropping it before its end closes the connection (HTTP/1.1) or resets the stream
/// (HTTP/2), which is how a provider learns that nobody listens any more.
pub struct AnswerBody {
    inner: Inner,
    lease: Option<Box<Lease>>,
}

enum Inner {
    Http(Incoming),
    Local(Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>),
}

struct Lease {
    sender: Http1,
    site: u64,
    /// Where the connection goes afterwards; `None`: it is closed.
    pool: Option<Arc<Pool>>,
}

/// The answer broke off.
#[derive(Debug)]
pub struct BodyError(pub String);

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BodyError {}

impl AnswerBody {
    pub(super) fn http1(body: Incoming, sender: Http1, site: u64, pool: Option<Arc<Pool>>) -> Self {
        let mut this = Self { inner: Inner::Http(body), lease: Some(Box::new(Lease { sender, site, pool })) };
        this.give_back_at_end();
        this
    }

    pub(super) fn http2(body: Incoming) -> Self {
        Self { inner: Inner::Http(body), lease: None }
    }

    /// An answer made in this process.
    pub fn local(body: impl Body<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self { inner: Inner::Local(Box::pin(body)), lease: None }
    }

    fn give_back_at_end(&mut self) {
        let ended = match &self.inner {
            Inner::Http(body) => body.is_end_stream(),
            Inner::Local(body) => body.is_end_stream(),
        };
        if ended {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take()
            && let Some(pool) = lease.pool
        {
            pool.keep(lease.site, lease.sender);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.inner {
            Inner::Http(body) => Pin::new(body).poll_frame(cx).map(|f| f.map(|f| f.map_err(|error| BodyError(super::causes(&error))))),
            Inner::Local(body) => body.as_mut().poll_frame(cx),
        };
        match &polled {
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(Ok(_))) => self.give_back_at_end(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Http(body) => body.is_end_stream(),
            Inner::Local(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Http(body) => body.size_hint(),
            Inner::Local(body) => body.size_hint(),
        }
    }
}
