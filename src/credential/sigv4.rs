//! AWS Signature Version 4, in headers.
//!
//! The canonical path is the path as it is sent, encoded once more: what is sent must be exactly what was signed.

use std::borrow::Cow;
use std::time::SystemTime;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::{digest, hmac};

use crate::base::body::Body;
use crate::config::AwsKey;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SESSION_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// RFC 3986's unreserved characters stay; in a path, its slashes too.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// Signs a request that is otherwise complete. Of its headers only those are signed that no proxy may change: the host,
/// the type of the content and AWS's own.
///
/// # Errors
/// The session token cannot stand in a header.
pub(super) fn sign(
    request: &mut Request<Body>,
    body: &[u8],
    host: HeaderValue,
    key: &AwsKey,
    region: &str,
    service: &str,
    now: SystemTime,
) -> Result<(), String> {
    let stamp = stamp(now);
    let payload = hex(digest::digest(&digest::SHA256, body).as_ref());
    let headers = request.headers_mut();
    let unfit = |_| "the signature cannot stand in a header".to_owned();
    headers.insert(DATE, HeaderValue::from_str(&stamp).map_err(unfit)?);
    headers.remove(SESSION_TOKEN);
    if let Some(token) = &key.session_token {
        let mut value = HeaderValue::from_str(token.reveal()).map_err(|_| "the session token cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        headers.insert(SESSION_TOKEN, value);
    }
    // The runtime's own SDKs leave it out, those of the newer hosts send it.
    if service != "bedrock" {
        headers.insert(CONTENT_SHA256, HeaderValue::from_str(&payload).map_err(unfit)?);
    }
    headers.insert(HOST, host);
    let signed: Vec<(String, Cow<'_, str>)> = request
        .headers()
        .iter()
        .filter(|(name, _)| **name == HOST || **name == CONTENT_TYPE || name.as_str().starts_with("x-amz-"))
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let uri = request.uri();
    let (canonical, names) =
        canonical_request(request.method().as_str(), uri.path(), uri.query().unwrap_or_default(), signed, &payload, true);
    let scope = scope(&stamp, region, service);
    let signature = signature(key.secret.reveal(), &stamp, region, service, &string_to_sign(&stamp, &scope, &canonical));
    let value = format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", key.id);
    let mut value = HeaderValue::from_str(&value).map_err(unfit)?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(())
}

/// The time as `20261122T073000Z`.
fn stamp(now: SystemTime) -> String {
    humantime::format_rfc3339_seconds(now).to_string().replace(['-', ':'], "")
}

fn scope(stamp: &str, region: &str, service: &str) -> String {
    format!("{}/{region}/{service}/aws4_request", day(stamp))
}

fn day(stamp: &str) -> &str {
    stamp.split('T').next().unwrap_or_default()
}

/// The request in the one form that both sides make of it, and the names of its signed headers.
fn canonical_request(
    method: &str,
    path: &str,
    query: &str,
    headers: Vec<(String, Cow<'_, str>)>,
    payload: &str,
    normalize: bool,
) -> (String, String) {
    let (headers, names) = canonical_headers(headers);
    let (path, query) = (canonical_path(path, normalize), canonical_query(query));
    (format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{payload}"), names)
}

fn canonical_path(path: &str, normalize: bool) -> String {
    let path = if normalize { normalized(path) } else { Cow::Borrowed(path) };
    let path = if path.is_empty() { "/" } else { &path };
    utf8_percent_encode(path, PATH).to_string()
}

/// Without dot segments and empty segments.
fn normalized(path: &str) -> Cow<'_, str> {
    if !path.contains("//") && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let directory = path.ends_with(['/']) || path.ends_with("/.") || path.ends_with("/..");
    let end = if directory && !kept.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{end}", kept.join("/")))
}

/// Sorted by what is sent: the encoded names, then the encoded values.
fn canonical_query(query: &str) -> String {
    let encoded = |text: &str| {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encoding::percent_encode(&bytes, UNRESERVED).to_string()
    };
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (encoded(name), encoded(value))
    };
    let mut pairs: Vec<_> = query.split('&').filter(|part| !part.is_empty()).map(pair).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Headers in the order of their names, the values of one name in theirs, white space made single; and the names.
fn canonical_headers(mut headers: Vec<(String, Cow<'_, str>)>) -> (String, String) {
    headers.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut lines = String::with_capacity(256);
    let mut names: Vec<&str> = Vec::with_capacity(headers.len());
    for (name, value) in &headers {
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        if names.last() == Some(&name.as_str()) {
            lines.pop();
            lines.push(',');
        } else {
            lines.push_str(name);
            lines.push(':');
            names.push(name);
        }
        lines.push_str(&value);
        lines.push('\n');
    }
    let names = names.join(";");
    (lines, names)
}

fn string_to_sign(stamp: &str, scope: &str, canonical: &str) -> String {
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash}")
}

fn signature(secret: &str, stamp: &str, region: &str, service: &str, text: &str) -> String {
    let mac = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let day = mac(format!("AWS4{secret}").as_bytes(), day(stamp));
    let region = mac(day.as_ref(), region);
    let service = mac(region.as_ref(), service);
    let key = mac(service.as_ref(), "aws4_request");
    hex(mac(key.as_ref(), text).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests;
