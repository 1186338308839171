//! The way to the providers: pooled connections, one send at a time, bytes in and bytes out.
//!
//! Nothing here knows what a model is. One `Upstream` belongs to one worker, so that its pool is never contended and
//! a connection's task runs on the thread that uses it.

mod body;
mod connect;
mod pool;

use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

pub use body::{AnswerBody, BodyError};
pub use connect::{Connector, Dial, Dialled, TlsSetup};

pub use crate::base::io::Io;

use crate::base::body::Body;
use crate::config::{HttpVersion, Site};
use connect::{ConnectError, Connected};
use pool::{Http1, Pool};

/// The upstream side of one worker.
pub struct Upstream {
    connector: Connector,
    pool: Arc<Pool>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub struct SendError {
    /// What failed.
    pub kind: SendErrorKind,
    /// Whether the provider may have seen the request.
    pub sent: bool,
    /// The cause chain, for the operator.
    pub cause: String,
}

/// The answer to a request for another protocol.
pub enum Switched {
    /// The provider speaks it now.
    Tunnel(Response<Box<dyn Io>>),
    /// It answered something else.
    Refused(Response<AnswerBody>),
}

/// What failed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendErrorKind {
    /// The name has no address.
    Dns,
    /// No connection.
    Connect,
    /// No connection within the connect timeout.
    ConnectTimeout,
    /// The TLS handshake failed: a certificate, a name, a version.
    Tls,
    /// The connection broke.
    Connection,
    /// What came is not HTTP.
    Protocol,
}

impl SendErrorKind {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Connection => "connection",
            Self::Protocol => "protocol",
        }
    }
}

impl Upstream {
    /// An upstream that dials through `connector` and keeps up to `idle_connections_max` idle connections to one site.
    pub fn new(connector: Connector, idle_connections_max: usize) -> Self {
        Self { connector, pool: Arc::new(Pool::new(idle_connections_max)) }
    }

    /// Sends one request and waits for the head of its answer. `request` has a path and query as its target; `Host` is set here.
    /// Dropping the future, or the answer's body, closes the exchange upstream at once.
    ///
    /// # Errors
    /// No answer's head came. A kept connection that was closed under us is replaced without a word, as nothing was sent on it.
    /// A streamed body is read once: what is left of it when the answer is over is its owner's to stop.
    pub async fn send(&self, site: &Site, connect_timeout: Duration, request: Request<Body>) -> Result<Response<AnswerBody>, SendError> {
        let mut request = request;
        // The answer to a streamed body may end before the body does: such a connection is not kept.
        let keep = !matches!(request.body(), Body::Stream(_));
        loop {
            if let Some(mut sender) = self.pool.http2(site.id) {
                // The version asked of hyper decides nothing here, but the target must be absolute.
                if sender.ready().await.is_ok() {
                    let answer = sender.try_send_request(absolute(request, site)).await;
                    return match answer {
                        Ok(answer) => Ok(answer.map(AnswerBody::http2)),
                        Err(mut error) => match error.take_message() {
                            Some(back) => {
                                request = back;
                                self.pool.forget_http2(site.id);
                                continue;
                            }
                            None => Err(broken(error.error())),
                        },
                    };
                }
                self.pool.forget_http2(site.id);
            }
            let kept = self.pool.take(site.id);
            let reused = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                // Boxed, being rare and large: most exchanges go over a kept connection.
                None => match Box::pin(self.connect(site, connect_timeout)).await? {
                    Some(sender) => sender,
                    None => continue,
                },
            };
            if sender.is_closed() || sender.ready().await.is_err() {
                if reused {
                    continue;
                }
                return Err(SendError { kind: SendErrorKind::Connection, sent: false, cause: "closed right after connecting".into() });
            }
            match sender.try_send_request(origin_form(request, site)).await {
                Ok(answer) => return Ok(self.lend(answer, sender, site.id, keep)),
                Err(mut error) => match error.take_message() {
                    Some(back) if reused => request = back,
                    Some(_) => return Err(SendError { sent: false, ..broken(error.error()) }),
                    None => return Err(broken(error.error())),
                },
            }
        }
    }

    fn lend(&self, answer: Response<Incoming>, sender: Http1, site: u64, keep: bool) -> Response<AnswerBody> {
        let (head, body) = answer.into_parts();
        let body = AnswerBody::http1(body, sender, site, keep.then(|| Arc::clone(&self.pool)));
        Response::from_parts(head, body)
    }

    /// Asks for another protocol, over an HTTP/1.1 connection of its own.
    ///
    /// # Errors
    /// No answer's head came.
    pub async fn switch(&self, site: &Site, connect_timeout: Duration, request: Request<Body>) -> Result<Switched, SendError> {
        // Only HTTP/1.1 switches, whatever the provider would rather speak.
        let plain = Site::new(site.origin.clone(), site.path_prefix.clone(), site.query.clone(), site.ca_pem.clone(), HttpVersion::Http1);
        let io = self.open(&plain, connect_timeout).await?.io;
        let mut sender = connect::handshake_upgrade(io).await.map_err(|error| SendError { sent: false, ..broken(&error) })?;
        let mut answer = sender.send_request(origin_form(request, &plain)).await.map_err(|error| broken(&error))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Switched::Refused(self.lend(answer, sender, plain.id, false)));
        }
        let upgraded = hyper::upgrade::on(&mut answer).await.map_err(|error| broken(&error))?;
        let (head, _) = answer.into_parts();
        Ok(Switched::Tunnel(Response::from_parts(head, Box::new(TokioIo::new(upgraded)))))
    }

    async fn open(&self, site: &Site, timeout: Duration) -> Result<Connected, SendError> {
        match tokio::time::timeout(timeout, self.connector.connect(site)).await {
            Ok(connected) => connected.map_err(|ConnectError { kind, cause }| SendError { kind, sent: false, cause }),
            Err(_) => {
                let cause = format!("no connection to {} within {}", site.origin, humantime::format_duration(timeout));
                Err(SendError { kind: SendErrorKind::ConnectTimeout, sent: false, cause })
            }
        }
    }

    /// A fresh HTTP/1.1 connection, or `None` where the site speaks HTTP/2: its connection is in the pool then.
    async fn connect(&self, site: &Site, timeout: Duration) -> Result<Option<Http1>, SendError> {
        let Connected { io, http2 } = self.open(site, timeout).await?;
        if http2 || site.http_version == HttpVersion::Http2 {
            let sender = connect::handshake_http2(io).await.map_err(|error| SendError { sent: false, ..broken(&error) })?;
            self.pool.keep_http2(site.id, sender);
            return Ok(None);
        }
        let sender = connect::handshake_http1(io).await.map_err(|error| SendError { sent: false, ..broken(&error) })?;
        Ok(Some(sender))
    }
}

fn broken(error: &hyper::Error) -> SendError {
    let protocol = error.is_parse() || error.is_parse_status() || error.is_parse_too_large();
    let kind = if protocol { SendErrorKind::Protocol } else { SendErrorKind::Connection };
    SendError { kind, sent: true, cause: causes(error) }
}

/// An error and what it came from, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// HTTP/1.1 wants the path as the target and the authority as `Host`.
fn origin_form(mut request: Request<Body>, site: &Site) -> Request<Body> {
    if let Some(host) = &site.host {
        request.headers_mut().insert(http::header::HOST, host.clone());
    }
    if request.uri().authority().is_some() {
        let target = request.uri().path_and_query().cloned();
        *request.uri_mut() = target.map_or_else(http::Uri::default, http::Uri::from);
    }
    *request.version_mut() = Version::HTTP_11;
    request
}

/// HTTP/2 wants scheme and authority in the target and no `Host`.
fn absolute(mut request: Request<Body>, site: &Site) -> Request<Body> {
    request.headers_mut().remove(http::header::HOST);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = site.origin.scheme().cloned();
    // As `Host` would be, without a default port: signatures are made over it.
    let host = site.host.as_ref().and_then(|host| Authority::try_from(host.as_bytes()).ok());
    parts.authority = host.or_else(|| site.origin.authority().cloned());
    if let Ok(target) = http::Uri::from_parts(parts) {
        *request.uri_mut() = target;
    }
    *request.version_mut() = Version::HTTP_2;
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_name_the_host_alike() {
        let cases = [
            ("https://h.test:443", "h.test"),
            ("http://h.test:80", "h.test"),
            ("https://h.test:8443", "h.test:8443"),
            ("http://[::1]:80", "[::1]"),
        ];
        for (origin, expected) in cases {
            let site = Site::new(origin.parse().unwrap_or_default(), String::new(), None, None, HttpVersion::Auto);
            let request = || Request::builder().uri("/a%3Ab?c=d").body(Body::Empty).unwrap();
            let older = origin_form(request(), &site);
            assert_eq!(older.headers().get("host").and_then(|host| host.to_str().ok()), Some(expected));
            assert_eq!(older.uri(), "/a%3Ab?c=d");
            let newer = absolute(request(), &site);
            assert_eq!(newer.uri().authority().map(Authority::as_str), Some(expected));
            assert_eq!(newer.uri().path_and_query().map(|path| path.as_str()), Some("/a%3Ab?c=d"));
            assert!(!newer.headers().contains_key("host"));
        }
    }
}
