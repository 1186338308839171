//! Answers to the app: whole ones, errors, and the headers of all.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body as _;

use super::held::Hold;
use super::ingress::no_room;
use crate::base::body::Body;
use crate::base::framing::Framing;
use crate::base::money::NanoUsd;
use crate::base::rng::ExchangeId;
use crate::base::{Fault, FaultKind, Secret};
use crate::dialect::{Losses, codec, wait};
use crate::ir::Dialect;
use crate::upstream::AnswerBody;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-outrider-request-id");
const TARGET: HeaderName = HeaderName::from_static("x-outrider-target");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-outrider-attempts");
const COST: HeaderName = HeaderName::from_static("x-outrider-cost-usd");
const LOSSY: HeaderName = HeaderName::from_static("x-outrider-lossy");
const DEGRADED: HeaderName = HeaderName::from_static("x-outrider-degraded");
const POLICY: HeaderName = HeaderName::from_static("x-outrider-policy");

/// A provider's answer that is not 2xx.
pub(super) struct Refusal {
    /// Its meaning.
    pub fault: Fault,
    /// Its status, headers and body, for a caller who speaks the same dialect.
    pub raw: Option<Box<(StatusCode, HeaderMap, Bytes)>>,
    /// Headers that tell of it beside.
    pub beside: Option<Box<HeaderMap>>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, raw: None, beside: None }
    }
}

/// What our own headers tell.
pub(super) struct Told<'t> {
    /// The exchange.
    pub id: ExchangeId,
    /// Who answered.
    pub target: Option<&'t HeaderValue>,
    /// Tries made.
    pub attempts: u32,
    /// What it costs, where that is known by now.
    pub cost: Option<NanoUsd>,
    /// The alias that serves instead of the one asked for, and the limit that sent it there.
    pub degraded: Option<(&'t str, &'t str)>,
    /// What the request lost on its way.
    pub losses: &'t Losses,
    /// The policy in force.
    pub policy: Option<&'t HeaderValue>,
}

/// Reads a whole body, within a bound and in time.
///
/// # Errors
/// Too large, broken off, stalled between two pieces, or no memory left to hold it.
pub(super) async fn collect(mut body: AnswerBody, bytes_max: usize, idle: Option<Duration>, hold: &mut Hold) -> Result<Bytes, Fault> {
    let mut first: Option<Bytes> = None;
    let mut rest: Option<BytesMut> = None;
    let mut length = 0;
    while !body.is_end_stream() {
        let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx));
        let polled = match idle {
            None => next.await,
            Some(idle) => match tokio::time::timeout(idle, next).await {
                Ok(polled) => polled,
                Err(_) => {
                    let text = format!("The provider's answer stalled for {}.", humantime::format_duration(idle));
                    return Err(Fault::upstream(FaultKind::Timeout, text));
                }
            },
        };
        let piece = match polled {
            None => break,
            Some(Ok(piece)) => piece,
            Some(Err(error)) => {
                let text = "The provider's answer broke off.";
                return Err(Fault::upstream(FaultKind::Truncated, text).cause(error));
            }
        };
        let Ok(chunk) = piece.into_data() else { continue };
        length += chunk.len();
        if length > bytes_max {
            let text = format!("The provider's answer is larger than {bytes_max} bytes.");
            return Err(Fault::upstream(FaultKind::UpstreamProtocol, text));
        }
        if !hold.grow(chunk.len()) {
            return Err(no_room());
        }
        match (&first, &mut rest) {
            (None, _) => first = Some(chunk),
            (Some(start), None) => {
                let told = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(bytes_max);
                let mut buffer = BytesMut::with_capacity(length + told);
                buffer.extend_from_slice(start);
                buffer.extend_from_slice(&chunk);
                rest = Some(buffer);
            }
            (Some(_), Some(buffer)) => buffer.extend_from_slice(&chunk),
        }
    }
    Ok(rest.map(BytesMut::freeze).or(first).unwrap_or_default())
}

/// Puts our own headers beside the others.
pub(super) fn tell(headers: &mut HeaderMap, told: &Told<'_>) {
    if let Ok(id) = HeaderValue::from_bytes(&told.id.digits()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(target) = told.target {
        headers.insert(TARGET, target.clone());
    }
    if told.attempts > 0 {
        headers.insert(ATTEMPTS, HeaderValue::from(told.attempts));
    }
    if let Some(cost) = told.cost.and_then(|cost| HeaderValue::from_str(&cost.to_string()).ok()) {
        headers.insert(COST, cost);
    }
    if let Some((alias, limit)) = told.degraded
        && let Ok(degraded) = HeaderValue::from_str(&format!("{alias}; limit={limit}"))
    {
        headers.insert(DEGRADED, degraded);
    }
    if let Some(policy) = told.policy {
        headers.insert(POLICY, policy.clone());
    }
    if !told.losses.is_empty()
        && let Ok(names) = HeaderValue::from_str(&told.losses.names().join(", "))
    {
        headers.insert(LOSSY, names);
    }
}

/// Whether the caller reads trailers, as [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1) has it say.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    let told = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    told.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("trailers"))
}

/// Says that [`trailers`] will follow the body.
pub(super) fn announce_trailers(headers: &mut HeaderMap) {
    headers.insert(header::TRAILER, HeaderValue::from(COST));
}

/// What follows a streamed body: its cost, where that is known.
pub(super) fn trailers(cost: Option<NanoUsd>) -> Option<HeaderMap> {
    let cost = HeaderValue::from_str(&cost?.to_string()).ok()?;
    Some(HeaderMap::from_iter([(COST, cost)]))
}

/// The provider's headers as they may reach the app: nothing of this hop, no cookies, no framing, none that look like ours.
pub(super) fn keep_answer_headers(headers: &mut HeaderMap) {
    let stops_here = |name: &HeaderName| {
        *name == header::CONTENT_LENGTH
            || *name == header::CONNECTION
            || *name == header::TRANSFER_ENCODING
            || *name == header::SET_COOKIE
            || *name == header::UPGRADE
            || *name == header::TRAILER
            || *name == header::PROXY_AUTHENTICATE
            || *name == header::STRICT_TRANSPORT_SECURITY
            || *name == header::ACCESS_CONTROL_ALLOW_ORIGIN
            || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "alt-svc")
            || name.as_str().starts_with("x-outrider-")
    };
    remove_where(headers, stops_here);
}

/// Removes the headers of which `wanted` says so. Mostly there are few, so they are looked for one by one.
pub(super) fn remove_where(headers: &mut HeaderMap, wanted: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| wanted(name)).cloned() {
        headers.remove(name);
    }
}

/// Headers of an answer that was written anew in `caller`'s dialect: the provider's own id stays findable.
pub(super) fn translated_answer_headers(provider: &HeaderMap, caller: Dialect, id: ExchangeId, stream: Option<Framing>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    let content_type = stream.map_or("application/json", Framing::content_type);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if stream.is_some() {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Some(theirs) = REQUEST_IDS.iter().find_map(|name| provider.get(*name)) {
        headers.insert(HeaderName::from_static("x-upstream-request-id"), theirs.clone());
    }
    insert_request_id(&mut headers, caller, id);
    headers
}

/// Where the vendors tell their own id of a request.
const REQUEST_IDS: [&str; 4] = ["x-request-id", "request-id", "x-amzn-requestid", "apim-request-id"];

/// The header in which the dialect's SDK looks for the request's id.
fn insert_request_id(headers: &mut HeaderMap, caller: Dialect, id: ExchangeId) {
    let name = codec(caller).request_id_header();
    if let Ok(value) = HeaderValue::from_str(&format!("req_{id}")) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// An error answer in the caller's dialect. A provider's own error of the same dialect passes as it is.
pub(super) fn refuse(refusal: Refusal, caller: Dialect, told: &Told<'_>) -> Response<Body> {
    let codec = codec(caller);
    let Refusal { fault, raw, beside } = refusal;
    let (status, mut headers, body) = match raw.map(|raw| *raw) {
        Some((status, mut headers, body)) => {
            keep_answer_headers(&mut headers);
            (status, headers, body)
        }
        None => {
            let mut body = Vec::with_capacity(256);
            codec.encode_error(&fault, told.id, &mut body);
            let mut headers = HeaderMap::with_capacity(8);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            insert_request_id(&mut headers, caller, told.id);
            if let Some((name, value)) = codec.error_header(&fault) {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            if !fault.kind.may_pass() {
                headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
            }
            (codec.error_status(&fault), headers, body.into())
        }
    };
    if let Some(wait) = fault.retry_after
        && !headers.contains_key(header::RETRY_AFTER)
    {
        // Rounded up: a client that comes back a moment early is refused once more.
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000).max(1) as u64));
    }
    headers.extend(beside.into_iter().flat_map(|beside| *beside));
    tell(&mut headers, told);
    respond(status, headers, Body::Full(body))
}

/// An answer of these parts.
pub(super) fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Reads a provider's error answer.
pub(super) fn refusal(
    provider: Dialect,
    caller: Dialect,
    status: StatusCode,
    mut headers: HeaderMap,
    body: Bytes,
    secret: Option<&Secret>,
) -> Refusal {
    let body = redact(body, secret);
    for value in headers.values_mut() {
        let clean = redact(Bytes::copy_from_slice(value.as_bytes()), secret);
        if clean != value.as_bytes() {
            *value = HeaderValue::from_maybe_shared(clean).unwrap_or(HeaderValue::from_static("[redacted]"));
        }
    }
    let mut fault = codec(provider).decode_error(status, &headers, &body);
    fault.status = Some(status.as_u16());
    let limited = matches!(fault.kind, FaultKind::RateLimited | FaultKind::Overloaded | FaultKind::BudgetExhausted);
    fault.retry_after = wait::told(&headers, limited).or(fault.retry_after);
    let raw = (provider == caller).then(|| Box::new((status, headers, body)));
    Refusal { fault, raw, beside: None }
}

/// Takes the provider's keys out of what its error says.
pub(super) fn redact_fault(fault: &mut Fault, secret: Option<&Secret>) {
    for key in keys_of(secret) {
        if fault.client_text.contains(key) {
            fault.client_text = fault.client_text.replace(key, "[redacted]").into();
        }
    }
}

/// The text without the provider's keys.
pub(super) fn redact(text: Bytes, secret: Option<&Secret>) -> Bytes {
    keys_of(secret).fold(text, |text, key| without(text, key.as_bytes()))
}

/// A provider's keys, none of which it may show.
fn keys_of(secret: Option<&Secret>) -> impl Iterator<Item = &str> {
    secret.into_iter().flat_map(Secret::hidden).filter(|key| key.len() >= KEY_BYTES_MIN)
}

fn without(text: Bytes, key: &[u8]) -> Bytes {
    let Some(mut at) = memchr::memmem::find(&text, key) else { return text };
    let mut clean = BytesMut::with_capacity(text.len());
    let mut rest = &text[..];
    loop {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(b"[redacted]");
        rest = &rest[at + key.len()..];
        match memchr::memmem::find(rest, key) {
            Some(next) => at = next,
            None => break,
        }
    }
    clean.extend_from_slice(rest);
    clean.freeze()
}

/// A shorter key than this is a test's, and would be found everywhere.
const KEY_BYTES_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_of_a_providers_keys_is_shown() {
        let keys = Secret::together(["sk-one", "sk-one-more", "abc"].map(Secret::new).to_vec());
        let (sent, text) = (keys.first(), "sk-one-more and sk-one, sk-one; abcd");
        assert_eq!(redact(Bytes::from_static(text.as_bytes()), sent), "[redacted] and [redacted], [redacted]; abcd");
        let mut fault = Fault::bad_request(text);
        redact_fault(&mut fault, sent);
        assert_eq!(fault.client_text, "[redacted] and [redacted], [redacted]; abcd");
        assert_eq!(redact(Bytes::from_static(b"sk-one"), None), "sk-one");
    }
}
