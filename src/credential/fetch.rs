//! Asking an endpoint of tokens: one small request, one small answer.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Token;
use super::kept::Fetched;
use crate::base::body::Body;
use crate::base::json::Raw;
use crate::base::{FaultKind, Secret};
use crate::config::Site;
use crate::upstream::{AnswerBody, SendError, Upstream};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// No token is larger than a head.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Where an answer does not say how long its token is good for.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// Longer than any that is given out; clocks may add it.
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why there is no token.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// What it means for a request.
    pub(super) kind: FaultKind,
    /// For the operator.
    pub(super) cause: String,
    /// When it will be tried again.
    pub(super) again_in: Option<Duration>,
}

impl Failure {
    pub(super) fn new(kind: FaultKind, cause: impl Into<String>) -> Self {
        Self { kind, cause: cause.into(), again_in: None }
    }

    /// The endpoint answered with something else than it should.
    pub(super) fn unreadable(cause: impl Into<String>) -> Self {
        Self::new(FaultKind::UpstreamProtocol, cause)
    }
}

/// A request to an endpoint of tokens.
pub(super) struct Ask<'a> {
    site: &'a Site,
    method: Method,
    /// Behind the site's own path.
    path: &'a str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl<'a> Ask<'a> {
    pub(super) fn get(site: &'a Site) -> Self {
        Self { site, method: Method::GET, path: "", headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn put(site: &'a Site) -> Self {
        Self { method: Method::PUT, ..Self::get(site) }
    }

    /// A form, as OAuth and AWS's older services want it.
    pub(super) fn form(site: &'a Site, pairs: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, UNRESERVED))).collect();
        let ask = Self { method: Method::POST, body: pairs.join("&").into(), ..Self::get(site) };
        ask.with(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
    }

    pub(super) fn json(site: &'a Site, body: Vec<u8>) -> Self {
        let ask = Self { method: Method::POST, body: body.into(), ..Self::get(site) };
        ask.with(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    pub(super) fn at(mut self, path: &'a str) -> Self {
        self.path = path;
        self
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A header that holds a secret.
    pub(super) fn with_secret(self, name: HeaderName, value: &str) -> Result<Self, Failure> {
        let unfit = || Failure::unreadable("a secret has characters that no header can carry");
        let mut value = HeaderValue::from_str(value).map_err(|_| unfit())?;
        value.set_sensitive(true);
        Ok(self.with(name, value))
    }

    /// Sends it: the body of a good answer.
    pub(super) async fn send(self, upstream: &Upstream) -> Result<Bytes, Failure> {
        let host = self.site.origin.host().unwrap_or_default();
        let query = self.site.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{}", self.site.path_prefix, self.path);
        let path = if path.is_empty() { "/" } else { &path };
        let mut request = Request::new(Body::Full(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = format!("{path}{query}").parse().map_err(|error| Failure::unreadable(format!("{host}: {error}")))?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"));
        request.headers_mut().extend(self.headers);
        let unreachable = |SendError { cause, .. }| Failure::new(FaultKind::Unreachable, format!("{host} cannot be reached: {cause}"));
        let answer = upstream.send(self.site, CONNECT_TIMEOUT, request).await.map_err(unreachable)?;
        let status = answer.status();
        let body =
            read(answer.into_body()).await.map_err(|cause| Failure::unreadable(format!("the answer of {host} broke off: {cause}")))?;
        if status.is_success() {
            return Ok(body);
        }
        let told = reason(&body);
        let told = if told.is_empty() { String::new() } else { format!(": {told}") };
        Err(Failure::new(kind(status), format!("{host} answered {}{told}", status.as_u16())))
    }
}

/// A whole answer, within its bound.
async fn read(mut body: AnswerBody) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(piece) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
        if whole.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(format!("more than {ANSWER_BYTES_MAX} bytes"));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// RFC 3986's unreserved characters stay.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn kind(status: StatusCode) -> FaultKind {
    match status.as_u16() {
        408 | 429 | 500.. => FaultKind::UpstreamFailed,
        _ => FaultKind::Unauthenticated,
    }
}

/// What an endpoint says of a failure: OAuth's members, Google's, or AWS's elements. Nothing else of the body is told,
/// since it may hold what was sent.
fn reason(body: &[u8]) -> String {
    const SHOWN_MAX: usize = 300;
    let words: Vec<Cow<'_, str>> = match Raw::parse(body) {
        Ok(raw) => {
            let nested = raw.member("error").filter(|error| error.is_object());
            let texts = |raw: Raw<'_>| {
                let member = |name| raw.member(name).and_then(Raw::string).map(|text| text.into_owned());
                ["error", "error_description", "code", "message", "status"].into_iter().filter_map(member).map(Cow::Owned).collect()
            };
            nested.map_or_else(|| texts(raw), texts)
        }
        Err(_) => {
            let text = std::str::from_utf8(body).unwrap_or_default();
            ["Code", "Message"].into_iter().filter_map(|name| element(text, name)).map(Cow::Borrowed).collect()
        }
    };
    words.join(": ").chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

/// The text of the first XML element of this name: enough for AWS's flat answers, whose values hold no markup.
pub(super) fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once('<').map(|(value, _)| value.trim())
}

/// Reads a token and its lifetime, as OAuth's endpoints tell them; some write the seconds as a string.
pub(super) fn bearer(body: &[u8]) -> Result<Fetched, Failure> {
    let raw = Raw::parse(body).map_err(|error| Failure::unreadable(format!("the answer is not JSON: {error}")))?;
    let token = raw.member("access_token").and_then(Raw::string);
    let token = token.ok_or_else(|| Failure::unreadable("the answer has no access_token"))?;
    let seconds = raw.member("expires_in").and_then(|value| value.u64().or_else(|| value.string()?.parse().ok()));
    bearer_of(&token, seconds.map(Duration::from_secs))
}

/// A bearer token with this lifetime.
pub(super) fn bearer_of(token: &str, lifetime: Option<Duration>) -> Result<Fetched, Failure> {
    let secret = Secret::new(token);
    let header = HeaderValue::from_str(&format!("Bearer {}", secret.reveal()));
    let mut header = header.map_err(|_| Failure::unreadable("the token has characters that no header can carry"))?;
    header.set_sensitive(true);
    Ok(Fetched { token: Token::Bearer(header, secret), lifetime: bounded(lifetime) })
}

/// A lifetime that clocks can take.
pub(super) fn bounded(lifetime: Option<Duration>) -> Duration {
    lifetime.unwrap_or(LIFETIME_DEFAULT).min(LIFETIME_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_without_the_rest_of_the_body() {
        let cases = [
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid\nsecret","claims":"x"}"#,
                "invalid_client: AADSTS7000215: Invalidsecret",
            ),
            (
                r#"{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}"#,
                "Permission denied: PERMISSION_DENIED",
            ),
            (
                "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>Token expired</Message></Error>",
                "ExpiredToken: Token expired",
            ),
            ("<html>token=secret</html>", ""),
            ("\u{0}", ""),
        ];
        for (body, expected) in cases {
            assert_eq!(reason(body.as_bytes()), expected, "{body}");
        }
        assert!(reason(format!("{{\"error\":\"{}\"}}", "é".repeat(1000)).as_bytes()).chars().count() <= 300);
    }

    #[test]
    fn lifetimes_are_read_as_numbers_and_as_texts() {
        let lifetime = |expires: &str| {
            bearer(format!("{{\"access_token\":\"t\"{expires}}}").as_bytes()).ok().map(|fetched| fetched.lifetime.as_secs())
        };
        assert_eq!(lifetime(",\"expires_in\":3599"), Some(3599));
        assert_eq!(lifetime(",\"expires_in\":\"86399\""), Some(86_399));
        assert_eq!(lifetime(""), Some(600));
        assert_eq!(lifetime(",\"expires_in\":99999999999999999999"), Some(600));
        assert_eq!(lifetime(",\"expires_in\":9007199254740991"), Some(7 * 24 * 3600));
        for wrong in ["", "[]", "{}", r#"{"access_token":7}"#, r#"{"access_token":"a\nb"}"#] {
            assert!(bearer(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
