//! The admin listener's pages: alive, ready, measured, configured, and on the way out.
//!
//! It is a [`Service`] behind the same edge as the app's, with a gate and a drain of its own, so that it answers while
//! the app's side is full and until the app's drain is over.

use std::sync::Arc;

use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::Service;
use crate::base::body::Body;
use crate::base::{Fault, FaultKind};
use crate::config::Bounds;

/// Connections of the admin listener.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;

/// An admin request has no body and few headers.
const HEAD_BYTES_MAX: usize = 16 << 10;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const INDEX: &str = "<!doctype html><meta charset=\"utf-8\"><title>Outrider</title><h1>Outrider</h1><ul>\
    <li><a href=\"/status\">status</a><li><a href=\"/config\">config</a><li><a href=\"/metrics\">metrics</a>\
    <li><a href=\"/healthz\">healthz</a><li><a href=\"/readyz\">readyz</a></ul>\n";

/// Where the pages' content comes from.
pub trait AdminSource: Send + Sync + 'static {
    /// All metrics, in OpenMetrics or in the Prometheus text format.
    fn metrics(&self, openmetrics: bool) -> String;

    /// The configuration in force, redacted, as TOML.
    fn config(&self) -> String;

    /// The state of targets, limits, cache and hub, as JSON.
    fn status_json(&self) -> String;

    /// The same as a page. It may have styles, but neither scripts nor anything from elsewhere.
    fn status_html(&self) -> String;

    /// Whether the app may send requests.
    ///
    /// # Errors
    /// Why it may not yet, or no longer.
    fn ready(&self) -> Result<(), String>;

    /// Begins the drain, as SIGTERM does. It must return at once.
    fn drain(&self);
}

/// The admin pages.
pub struct Admin<A>(Arc<A>);

impl<A> Clone for Admin<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: AdminSource> Admin<A> {
    /// Pages with content from `source`.
    pub fn new(source: Arc<A>) -> Self {
        Self(source)
    }

    /// The admin listener's own bounds: the app's, where they are not about size and number.
    pub fn bounds(app: &Bounds) -> Bounds {
        Bounds { head_bytes_max: HEAD_BYTES_MAX, connections_max: ADMIN_CONNECTIONS_MAX, ..app.clone() }
    }

    fn page(&self, parts: &Parts) -> Response<Body> {
        let Some(page) = Page::at(parts.uri.path()) else {
            return told(StatusCode::NOT_FOUND, "not_found", "no such page: see / for those there are.");
        };
        if !page.takes(&parts.method) {
            let mut response = told(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this page does not take this method.");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(page.methods()));
            return response;
        }
        match page {
            Page::Index => content(StatusCode::OK, HTML, INDEX.to_owned()),
            Page::Health => content(StatusCode::OK, TEXT, "ok\n".to_owned()),
            Page::Ready => match self.0.ready() {
                Ok(()) => content(StatusCode::OK, TEXT, "ready\n".to_owned()),
                Err(reason) => content(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {reason}\n")),
            },
            Page::Metrics => match accepts(&parts.headers, "application/openmetrics-text") {
                true => content(StatusCode::OK, OPENMETRICS, self.0.metrics(true)),
                false => content(StatusCode::OK, PROMETHEUS, self.0.metrics(false)),
            },
            Page::Config => content(StatusCode::OK, TEXT, self.0.config()),
            Page::Status => match wants_html(parts) {
                true => content(StatusCode::OK, HTML, self.0.status_html()),
                false => content(StatusCode::OK, JSON, self.0.status_json()),
            },
            Page::Drain => {
                self.0.drain();
                content(StatusCode::ACCEPTED, JSON, "{\"status\":\"draining\"}\n".to_owned())
            }
        }
    }
}

impl<A: AdminSource> Service for Admin<A> {
    async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, _) = request.into_parts();
        self.page(&parts)
    }

    fn refuse(&self, _: &Parts, fault: Fault) -> Response<Body> {
        let status = match fault.kind {
            FaultKind::Forbidden => StatusCode::FORBIDDEN,
            FaultKind::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            FaultKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        told(status, fault.kind.label(), &fault.client_text)
    }

    fn panicked(&self) {
        tracing::error!("a panic in an admin page");
    }
}

#[derive(Clone, Copy)]
enum Page {
    Index,
    Health,
    Ready,
    Metrics,
    Config,
    Status,
    Drain,
}

impl Page {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Index,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/config" => Self::Config,
            "/status" => Self::Status,
            "/drain" => Self::Drain,
            _ => return None,
        })
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Drain => "POST",
            _ => "GET, HEAD",
        }
    }

    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Drain => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// The query decides, else a browser is who names HTML.
fn wants_html(parts: &Parts) -> bool {
    let asked = parts.uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("format="));
    asked.map_or_else(|| accepts(&parts.headers, "text/html"), |format| format == "html")
}

/// Whether `media_type` is named in `Accept`, and not just to be declined.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = lines.flat_map(|line| line.split(','));
    ranges.any(|range| {
        let mut parameters = range.split(';').map(str::trim);
        let named = parameters.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
        let weight = parameters.find_map(|parameter| parameter.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
        named && weight.is_ok_and(|weight| weight > 0.0)
    })
}

fn content(status: StatusCode, media_type: &'static str, body: String) -> Response<Body> {
    const HEADERS: [(HeaderName, HeaderValue); 3] = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")),
    ];
    let mut response = Response::new(Body::Full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().extend(HEADERS);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// An error as JSON. Both texts are ours, without anything that JSON would escape.
fn told(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    content(status, JSON, format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"{message}\"}}}}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_read_by_name_and_weight() {
        let table = [
            ("text/html,application/xhtml+xml", "text/html", true),
            ("application/json, Text/HTML;q=0.5", "text/html", true),
            ("text/html;q=0", "text/html", false),
            ("*/*", "text/html", false),
            ("application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5", "application/openmetrics-text", true),
            ("text/plain;version=0.0.4", "application/openmetrics-text", false),
        ];
        for (accept, media_type, wanted) in table {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(accepts(&headers, media_type), wanted, "{accept}");
        }
    }
}
