//! One try at one provider: the request that it gets, and the wait for the head of its answer.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::super::one_try::not_sent;
use super::super::outbound::target_uri;
use super::asked::{Asked, IN_SEGMENT};
use super::upload::Upload;
use super::ways::Way;
use crate::base::body::Body;
use crate::base::clock::{self, Instant};
use crate::base::{Fault, FaultKind};
use crate::config::{Credential, Provider, Site};
use crate::dialect::codec;
use crate::upstream::{AnswerBody, Switched, Upstream};

/// What every try sends alike.
pub(super) struct Outgoing {
    /// The method.
    pub method: Method,
    /// The client's headers that may go on.
    pub headers: HeaderMap,
    /// The client's query, without credentials.
    pub query: Option<String>,
}

impl Outgoing {
    /// The request for one provider.
    ///
    /// # Errors
    /// The path or the query is not one that a URI can hold.
    pub(super) fn request(&self, asked: &Asked, way: &Way, body: Body) -> Result<Request<Body>, Fault> {
        let query = self.query.as_deref().map(|query| with_model(query, way.model.as_deref()));
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri(way.site()?, asked, way.model.as_deref(), query.as_deref())?;
        *request.headers_mut() = self.headers.clone();
        add_headers(request.headers_mut(), &way.provider);
        Ok(request)
    }
}

/// The model that a query names (`model=`), as `/v1/realtime` is asked.
pub(super) fn model_of_query(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|part| part.strip_prefix("model="))?;
    let name = percent_decode_str(value).decode_utf8().ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

fn with_model(query: &str, model: Option<&str>) -> String {
    let Some(model) = model.filter(|model| model_of_query(query).is_some_and(|asked| asked != *model)) else { return query.to_owned() };
    let parts = query.split('&').map(|part| match part.starts_with("model=") {
        true => format!("model={}", utf8_percent_encode(model, IN_SEGMENT)),
        false => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("&")
}

fn uri(site: &Site, asked: &Asked, model: Option<&str>, query: Option<&str>) -> Result<Uri, Fault> {
    let path = asked.path(model);
    if asked.upload {
        // `/upload` stands before the version, which the base URL ends with.
        let at = site.path_prefix.rfind('/').unwrap_or(0);
        let (before, version) = site.path_prefix.split_at(at);
        let moved = Site { path_prefix: format!("{before}/upload{version}"), ..site.clone() };
        return target_uri(&moved, &path, query);
    }
    if path.is_empty() && site.path_prefix.is_empty() {
        return target_uri(site, "/", query);
    }
    target_uri(site, &path, query)
}

/// The provider's own headers in place of the client's.
fn add_headers(headers: &mut HeaderMap, provider: &Provider) {
    for (name, value) in codec(provider.dialect()).default_headers() {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
}

/// Whether a request's signature is over its body, so that no body may stream that has not been read before.
pub(super) fn signs_bodies(provider: &Provider) -> bool {
    matches!(provider.key(0).credential, Credential::Aws(_))
}

/// How long to wait for what.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// For a connection.
    pub connect: Duration,
    /// For the head of the answer, from when the request is out.
    pub answer: Duration,
    /// When all must be over, where the caller said so.
    pub deadline: Option<Instant>,
}

impl Outgoing {
    /// Sends a request and waits for the head of its answer. The clock runs anew with each piece of the body that is taken.
    ///
    /// # Errors
    /// No answer's head came; the caller's own fault where its body broke off.
    pub(super) async fn send(
        &self,
        upstream: &Upstream,
        way: &Way,
        request: Request<Body>,
        upload: Option<&Upload>,
        limits: Limits,
    ) -> Result<Response<AnswerBody>, Fault> {
        let mut sending = std::pin::pin!(upstream.send(way.site()?, limits.connect, request));
        let mut due = limits.due(clock::now());
        let sent = loop {
            match tokio::time::timeout_at(due, sending.as_mut()).await {
                Ok(sent) => break sent,
                Err(_) => match upload.map(|upload| limits.due(upload.moved())) {
                    Some(later) if later > due => due = later,
                    _ => return Err(Self::late(way)),
                },
            }
        };
        sent.map_err(|error| {
            if let Some(fault) = upload.and_then(Upload::fault) {
                return fault;
            }
            not_sent(&error, &way.provider)
        })
    }

    /// Asks for another protocol.
    ///
    /// # Errors
    /// No answer's head came.
    pub(super) async fn switch(&self, upstream: &Upstream, way: &Way, request: Request<Body>, limits: Limits) -> Result<Switched, Fault> {
        let switching = upstream.switch(way.site()?, limits.connect, request);
        match tokio::time::timeout_at(limits.due(clock::now()), switching).await {
            Ok(switched) => switched.map_err(|error| not_sent(&error, &way.provider)),
            Err(_) => Err(Self::late(way)),
        }
    }

    fn late(way: &Way) -> Fault {
        Fault::upstream(FaultKind::Timeout, format!("{} gave no answer in time.", way.names.label))
    }
}

impl Limits {
    /// Until when to wait for what should come next.
    pub(super) fn due_from_now(&self) -> Instant {
        self.due(clock::now())
    }

    fn due(&self, from: Instant) -> Instant {
        let due = from + self.answer;
        self.deadline.map_or(due, |deadline| deadline.min(due))
    }
}

/// Takes what belongs to the client's own hop out of its headers, but for what a body that is not read is understood by.
pub(super) fn keep_forwardable(headers: &mut HeaderMap, unread: bool) {
    let encoding = headers.get(header::CONTENT_ENCODING).filter(|_| unread).cloned();
    super::super::ingress::keep_forwardable(headers);
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    // What is read for accounting must be readable.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_behind_the_base_url() {
        let table = [
            ("/v1beta", "/upload/v1beta/files", "/upload/v1beta/files?q"),
            ("/proxy/v1beta", "/upload/v1beta/files", "/proxy/upload/v1beta/files?q"),
            ("/v1beta", "/v1beta/files", "/v1beta/files?q"),
            ("", "/providers/p", "/?q"),
            ("", "/providers/p//x/", "//x/?q"),
            ("/v1", "/providers/p", "/v1?q"),
        ];
        for (prefix, path, wanted) in table {
            let site = Site::new("https://p.test:443".parse().unwrap(), prefix.into(), None, None, Default::default());
            let head = Request::builder().uri(path).body(()).unwrap().into_parts().0;
            assert_eq!(uri(&site, &Asked::of(&head).unwrap(), None, Some("q")).unwrap(), wanted, "{prefix} {path}");
        }
    }

    #[test]
    fn the_model_of_a_query_is_found_and_written_over() {
        assert_eq!(model_of_query("a=b&model=x%2Fy&c"), Some("x/y".to_owned()));
        assert_eq!(model_of_query("a=model&models=x&model="), None);
        assert_eq!(with_model("a=b&model=fast&c", Some("gpt-x 1")), "a=b&model=gpt-x%201&c");
        assert_eq!(with_model("a=b&model=x%2Dy", Some("x-y")), "a=b&model=x%2Dy", "the same name is left as it is spelled");
        assert_eq!(with_model("a=b", Some("x")), "a=b");
    }
}
