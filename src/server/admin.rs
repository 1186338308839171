//! The admin listener: liveness, readiness, metrics, configuration, status, drain. Plain HTTP/1.1 with a few connections of
//! its own, so that it answers whatever the app's side is doing.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::edge::EdgeRules;
use super::gate::Gate;
use crate::base::body::Body;
use crate::base::{FaultKind, json};

const CONNECTIONS_MAX: usize = 64;
const BUFFER_BYTES_MAX: usize = 16 << 10;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the system refused to give us a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the admin listener shows.
pub trait AdminSource: Send + Sync + 'static {
    /// The metrics in Prometheus text form.
    fn metrics(&self) -> String;
    /// The effective configuration, secrets redacted, as TOML.
    fn config(&self) -> String;
    /// The state of things as a JSON object.
    fn status_json(&self) -> String;
    /// The same as a page.
    fn status_html(&self) -> String;
    /// Whether new requests are welcome.
    ///
    /// # Errors
    /// Why they are not.
    fn ready(&self) -> Result<(), String>;
    /// Begins the drain.
    fn drain(&self);
}

/// Serves until the process ends.
///
/// # Errors
/// The listener cannot be used.
#[expect(clippy::disallowed_methods, reason = "admin connections end with the process, which waits for none of them")]
pub async fn serve(listener: TcpListener, rules: EdgeRules, source: Arc<impl AdminSource>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let rules = Arc::new(rules);
    let gate = Gate::new(CONNECTIONS_MAX);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(place) = gate.enter() else { continue };
        let (rules, source) = (Arc::clone(&rules), Arc::clone(&source));
        tokio::spawn(async move {
            let answer = hyper::service::service_fn(|request: Request<Incoming>| {
                let response = answer(&request.into_parts().0, &rules, &*source);
                std::future::ready(Ok::<_, Infallible>(response))
            });
            let mut connection = http1::Builder::new();
            connection.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(BUFFER_BYTES_MAX);
            // What goes wrong on it is the client's to notice.
            let _client_notices = connection.serve_connection(TokioIo::new(stream), answer).await;
            drop(place);
        });
    }
}

fn answer(head: &Parts, rules: &EdgeRules, source: &impl AdminSource) -> Response<Body> {
    if let Err(fault) = rules.check(head) {
        let status = if fault.kind == FaultKind::Forbidden { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
        return error(status, &fault.client_text);
    }
    let path = head.uri.path();
    let method = if path == "/drain" { Method::POST } else { Method::GET };
    let known = matches!(path, "/" | "/healthz" | "/readyz" | "/metrics" | "/config" | "/status" | "/drain");
    if known && head.method != method && !(method == Method::GET && head.method == Method::HEAD) {
        let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &format!("{path} is asked with {method}."));
        let allow = if method == Method::GET { "GET, HEAD" } else { "POST" };
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        return response;
    }
    match path {
        "/healthz" => text("text/plain; charset=utf-8", "ok\n".to_owned()),
        "/readyz" => match source.ready() {
            Ok(()) => text("text/plain; charset=utf-8", "ready\n".to_owned()),
            Err(why) => error(StatusCode::SERVICE_UNAVAILABLE, &why),
        },
        "/metrics" if accepts(&head.headers, "application/openmetrics-text") => {
            text("application/openmetrics-text; version=1.0.0; charset=utf-8", to_openmetrics(&source.metrics()))
        }
        "/metrics" => text("text/plain; version=0.0.4; charset=utf-8", source.metrics()),
        "/config" => text("text/plain; charset=utf-8", source.config()),
        "/" | "/status" if wants_page(head) => text("text/html; charset=utf-8", source.status_html()),
        "/" | "/status" => text("application/json", source.status_json()),
        "/drain" => {
            source.drain();
            text("text/plain; charset=utf-8", "draining\n".to_owned())
        }
        _ => error(StatusCode::NOT_FOUND, "GET /healthz, /readyz, /metrics, /config, /status; POST /drain."),
    }
}

fn wants_page(head: &Parts) -> bool {
    let asked_json = head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "format=json"));
    !asked_json && accepts(&head.headers, "text/html")
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| range.split(';').next().is_some_and(|name| name.trim() == media_type))
}

fn text(content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::Full(body.into()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

fn error(status: StatusCode, message: &str) -> Response<Body> {
    let mut body = Vec::with_capacity(128);
    json::object(&mut body, |out| out.object("error", |out| out.string("message", message)));
    let mut response = text("application/json", String::from_utf8_lossy(&body).into_owned());
    *response.status_mut() = status;
    response
}

/// The Prometheus text as OpenMetrics: a counter's family is named without `_total`, and the text ends with its mark.
/// Specification: OpenMetrics 1.0, sections "Counter" and "EOF".
pub fn to_openmetrics(prometheus: &str) -> String {
    let mut counters: Vec<&str> = Vec::new();
    for line in prometheus.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter")) {
            counters.push(name);
        }
    }
    let mut out = String::with_capacity(prometheus.len() + 8);
    for line in prometheus.lines().filter(|line| !line.is_empty()) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(keyword @ ("TYPE" | "HELP")), Some(name), rest) if counters.contains(&name) => {
                let family = name.strip_suffix("_total").unwrap_or(name);
                out.push_str(&format!("# {keyword} {family} {}\n", rest.unwrap_or_default()));
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_lose_their_suffix_in_openmetrics() {
        let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n\n# TYPE b gauge\nb 1\n\n";
        assert_eq!(to_openmetrics(text), "# HELP a Things.\n# TYPE a counter\na_total{x=\"1\"} 2\n# TYPE b gauge\nb 1\n# EOF\n");
    }
}
