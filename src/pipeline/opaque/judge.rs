//! What an unread path's answer may pass as: its head judged, its headers cleaned, its body left alone.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::Body as _;

use super::super::Pipeline;
use super::super::answer::{self, Refusal};
use super::super::good::{Content, Good};
use super::super::held::Hold;
use super::super::one_try::{ERROR_BYTES_MAX, unlike};
use super::passage::Passage;
use super::send::Limits;
use super::upload::Upload;
use super::usage::UsageFinder;
use super::ways::Way;
use crate::base::json::Raw;
use crate::base::{Fault, FaultKind, Secret};
use crate::config::{Place, Provider, Site};
use crate::dialect::Losses;
use crate::ir::{Dialect, Usage};
use crate::telemetry::Record;
use crate::upstream::AnswerBody;

/// A JSON answer up to this is read whole, so that it is known to be JSON before it is sent.
const WHOLE_BYTES_MAX: usize = 1 << 20;

/// What is asked of an answer.
pub(super) struct Ask {
    /// The method of the request.
    pub method: Method,
    /// Whether it is work that is paid for, and not the look at one that was.
    pub metered: bool,
    /// The caller's dialect.
    pub dialect: Dialect,
    /// The gateway as the app knows it, for an address that the provider gives of itself.
    pub host: Option<HeaderValue>,
    /// How long the provider may be silent.
    pub idle: Duration,
    /// The other bounds of time.
    pub limits: Limits,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Events,
    OtherText,
    Other,
}

impl Ask {
    /// Judges an answer by its head, and by its beginning where that tells what the head only claims.
    ///
    /// # Errors
    /// The provider's own error, or one over what it sent.
    pub(super) async fn judge(
        &self,
        line: &Pipeline,
        way: &Way,
        response: Response<AnswerBody>,
        upload: Option<Upload>,
        record: &mut Record,
        secret: Option<&Secret>,
    ) -> Result<Good, Refusal> {
        let (head, mut body) = response.into_parts();
        let (status, mut headers) = (head.status, head.headers);
        if status.is_client_error() || status.is_server_error() {
            return Err(self.refused(line, status, headers, body, secret).await);
        }
        let kind = kind(&headers);
        let mut usage = Usage::default();
        if self.metered {
            usage.input_tokens = count(&headers, "x-amzn-bedrock-input-token-count");
            usage.output_tokens = count(&headers, "x-amzn-bedrock-output-token-count");
        }
        record.usage = usage;
        self.clean(&mut headers, &way.provider);
        let good = |headers, content| Good { status, headers, content, losses: Losses::default() };
        if body.is_end_stream() || self.method == Method::HEAD {
            return Ok(good(headers, Content::Whole(Bytes::new(), None)));
        }
        let mut finder = (self.metered && kind != Kind::Other).then(UsageFinder::default);
        let mut hold = line.shared.stores.held.open();
        let (first, whole) = match kind {
            Kind::Json | Kind::Events => self.beginning(way, &mut body, kind, &mut hold).await?,
            Kind::OtherText | Kind::Other => (None, false),
        };
        if let Some(bytes) = first.as_ref().filter(|_| whole) {
            Raw::parse(bytes).map_err(|error| unlike(&way.provider, &format!("a body that is not JSON: {error}")))?;
            if let Some(finder) = &mut finder {
                finder.read(bytes, &mut |told| record.usage.merge(&told));
            }
            record.response_bytes = bytes.len() as u64;
            let bytes = answer::redact(bytes.clone(), secret);
            return Ok(good(headers, Content::Whole(bytes, Some(hold))));
        }
        record.stream = kind == Kind::Events;
        let passage = Passage {
            upstream: body,
            first: first.map(|begun| hold.over(begun)),
            finder,
            usage,
            events: (kind == Kind::Events).then_some(self.dialect),
            secret: secret.cloned(),
            id: record.id,
            idle: self.idle,
            deadline: self.limits.deadline,
            cut: line.shared.drain.cut_signal(),
            upload,
            progress: Default::default(),
        };
        Ok(good(headers, Content::Passage(Box::new(passage))))
    }

    async fn refused(&self, line: &Pipeline, status: StatusCode, headers: HeaderMap, body: AnswerBody, secret: Option<&Secret>) -> Refusal {
        let mut hold = line.shared.stores.held.open();
        let body = match answer::collect(body, ERROR_BYTES_MAX, Some(self.idle), &mut hold).await {
            Ok(body) => body,
            Err(fault) => return fault.into(),
        };
        answer::refusal(self.dialect, self.dialect, status, headers, body, secret)
    }

    /// The beginning of a body, in whose first character its kind shows; all of a JSON object that was asked to be made,
    /// up to [`WHOLE_BYTES_MAX`], and whether it is all. A file's content may be lines of JSON under that name, and an array
    /// may come element by element: neither is waited for.
    async fn beginning(&self, way: &Way, body: &mut AnswerBody, kind: Kind, hold: &mut Hold) -> Result<(Option<Bytes>, bool), Fault> {
        let mut begun = BytesMut::new();
        while let Some(piece) = self.piece(way, body).await? {
            begun.extend_from_slice(&piece);
            let first = begun.trim_ascii_start().first().copied();
            let sound = match (kind, first) {
                (Kind::Json, Some(byte)) => matches!(byte, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'),
                (_, Some(byte)) => !matches!(byte, b'<' | b'{' | b'['),
                (_, None) => true,
            };
            if !sound {
                return Err(unlike(&way.provider, "a body that is not what its content type says"));
            }
            let wait = kind == Kind::Json && self.method == Method::POST && first.is_none_or(|byte| byte == b'{');
            if !wait || begun.len() > WHOLE_BYTES_MAX || !hold.set(begun.len()) {
                return Ok((Some(begun.freeze()), false));
            }
        }
        let some = Some(begun.freeze()).filter(|begun| !begun.is_empty());
        let whole = some.is_some() && kind == Kind::Json && self.method == Method::POST;
        Ok((some, whole))
    }

    async fn piece(&self, way: &Way, body: &mut AnswerBody) -> Result<Option<Bytes>, Fault> {
        while !body.is_end_stream() {
            let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx));
            match tokio::time::timeout_at(self.limits.due_from_now(), next).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Ok(Some(Err(error))) => {
                    return Err(Fault::upstream(FaultKind::Truncated, "The provider's answer broke off.").cause(error));
                }
                Err(_) => {
                    let text = format!("{} gave no content in time.", way.names.label);
                    return Err(Fault::upstream(FaultKind::Timeout, text));
                }
            }
        }
        Ok(None)
    }

    /// The provider's headers as they may reach the app.
    fn clean(&self, headers: &mut HeaderMap, provider: &Provider) {
        let length = headers.get(header::CONTENT_LENGTH).filter(|_| self.method == Method::HEAD).cloned();
        answer::keep_answer_headers(headers);
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length);
        }
        // Where Gemini wants the bytes of a file: at itself, but the app's way there leads through here.
        if let (Some(url), Some(host)) = (headers.get(UPLOAD_URL), &self.host)
            && let Place::Http(site) = &provider.place
            && let Some(ours) = rehosted(url, site, host)
        {
            headers.insert(UPLOAD_URL, ours);
        }
    }
}

const UPLOAD_URL: HeaderName = HeaderName::from_static("x-goog-upload-url");

/// The same address at this gateway; `None` where it is none of the provider's.
fn rehosted(url: &HeaderValue, site: &Site, host: &HeaderValue) -> Option<HeaderValue> {
    let uri: http::Uri = url.to_str().ok()?.parse().ok()?;
    let theirs = uri.host() == site.origin.host() && uri.path().starts_with("/upload/v1beta/");
    let target = uri.path_and_query().filter(|_| theirs)?;
    HeaderValue::from_str(&format!("http://{}{target}", host.to_str().ok()?)).ok()
}

fn kind(headers: &HeaderMap) -> Kind {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let readable = headers.get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
    match essence.as_str() {
        _ if !readable => Kind::Other,
        "application/json" => Kind::Json,
        "text/event-stream" => Kind::Events,
        "application/x-ndjson" | "application/jsonl" | "application/x-jsonl" | "application/stream+json" => Kind::OtherText,
        _ => Kind::Other,
    }
}

fn count(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HttpVersion;

    #[test]
    fn an_upload_goes_on_through_this_gateway() {
        let site = Site::new("https://gemini.test:443".parse().unwrap(), "/v1beta".into(), None, None, HttpVersion::Auto);
        let table = [
            (
                "https://gemini.test/upload/v1beta/files?upload_id=a&upload_protocol=resumable",
                Some("http://localhost:4141/upload/v1beta/files?upload_id=a&upload_protocol=resumable"),
            ),
            ("https://other.test/upload/v1beta/files?upload_id=a", None),
            ("https://gemini.test/elsewhere", None),
            ("no address", None),
        ];
        for (url, ours) in table {
            let got = rehosted(&HeaderValue::from_static(url), &site, &HeaderValue::from_static("localhost:4141"));
            assert_eq!(got.as_ref().map(|value| value.to_str().unwrap()), ours, "{url}");
        }
    }
}
