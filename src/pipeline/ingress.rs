//! From an HTTP request to a call: which dialect and operation, a bounded body, its top-level members.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http_body::Body;

use super::held::Hold;
use super::opaque::{Asked, names_method};
use crate::base::framing::Framing;
use crate::base::json::{Envelope, Raw};
use crate::base::{Fault, FaultKind};
use crate::config::Bounds;
use crate::dialect::codec;
use crate::ir::{Dialect, Operation, Request};

/// What a path and method ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// What the app speaks.
    pub dialect: Dialect,
    /// What it wants.
    pub operation: Operation,
    /// The model, where the path names it.
    pub model: Option<String>,
    /// Whether a stream is wanted, where the path says it.
    pub stream: Option<bool>,
    /// How the app's stream is cut.
    pub framing: Framing,
    /// Whether one embedding is asked for, by a path that answers in another form than that for several.
    pub one_embedding: bool,
}

impl Endpoint {
    /// An endpoint whose body says the rest.
    fn new(dialect: Dialect, operation: Operation) -> Self {
        Self { dialect, operation, model: None, stream: None, framing: codec(dialect).framing(), one_embedding: false }
    }
}

/// A request with a body, understood as far as every exchange must be.
pub(super) struct Call {
    /// What it asks for.
    pub endpoint: Endpoint,
    /// The client's headers that may go on.
    pub headers: HeaderMap,
    /// The client's query.
    pub query: Option<String>,
    /// The body as it came.
    pub body: Bytes,
    /// Where its top-level members stand.
    pub envelope: Envelope,
    /// The model asked for.
    pub model: String,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Whether the stream's usage is asked for (or is always told, as in Anthropic's dialect).
    pub stream_usage: bool,
    /// The caller's own deadline, from the exchange's start.
    pub timeout: Option<Duration>,
    /// The body's bytes, held until the exchange is committed.
    pub hold: Hold,
}

impl Call {
    /// The request in the neutral form.
    ///
    /// # Errors
    /// What of it cannot be read, and where.
    pub(super) fn request(&self) -> Result<Request<'_>, Fault> {
        let caller = codec(self.endpoint.dialect);
        let mut request = match self.envelope.root(&self.body) {
            Some(root) => caller.read_request(root)?,
            None => caller.decode_request(&self.body)?,
        };
        if let Some(stream) = self.endpoint.stream {
            request.stream = stream;
        }
        Ok(request)
    }
}

/// Finds the endpoint.
///
/// # Errors
/// No such path, or not by this method.
pub(super) fn endpoint(head: &Parts) -> Result<Endpoint, Fault> {
    let path = head.uri.path();
    let unread = || Asked::of(head).map(|asked| Endpoint::new(asked.dialect, Operation::Opaque));
    let known = if path.starts_with("/providers/") { None } else { known(head) };
    match known {
        Some((endpoint, method)) if head.method == method => Ok(endpoint),
        // A model's method that this version does not know.
        Some(_) if head.method == Method::POST && names_method(path) => unread().ok_or_else(|| no_endpoint(path)),
        Some((_, method)) => {
            let text = format!("{path} is asked with {method}, not {}.", head.method);
            Err(Fault::caller(FaultKind::MethodNotAllowed, text))
        }
        None => unread().ok_or_else(|| no_endpoint(path)),
    }
}

fn no_endpoint(path: &str) -> Fault {
    let text = format!(
        "There is no endpoint {path}. This version serves POST /v1/chat/completions, /v1/responses, /v1/embeddings, /v1/messages, \
         /v1/messages/count_tokens, /v1beta/models/MODEL:generateContent, /model/ID/converse and GET /v1/models; it forwards any other \
         path under /v1 and /v1beta to the provider whose API it is, and /providers/NAME/… to that provider."
    );
    Fault::caller(FaultKind::NotFound, text)
}

/// The method that a path is asked with, for the `Allow` of a refusal.
pub(super) fn allowed(head: &Parts) -> Option<HeaderValue> {
    known(head).and_then(|(_, method)| HeaderValue::from_str(method.as_str()).ok())
}

fn known(head: &Parts) -> Option<(Endpoint, Method)> {
    if let Some(endpoint) = named_in_path(head) {
        return Some((endpoint, Method::POST));
    }
    // An SDK may have been given the base URL with or without `/v1`, and with a trailing slash.
    let trimmed = head.uri.path().trim_end_matches('/');
    let short = trimmed.strip_prefix("/v1").filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(trimmed);
    let (dialect, operation, method) = match short {
        "/chat/completions" => (Dialect::OpenAiChat, Operation::Chat, Method::POST),
        "/responses" => (Dialect::OpenAiResponses, Operation::Chat, Method::POST),
        "/responses/input_tokens" => (Dialect::OpenAiResponses, Operation::CountTokens, Method::POST),
        "/embeddings" => (Dialect::OpenAiChat, Operation::Embeddings, Method::POST),
        "/messages" => (Dialect::Anthropic, Operation::Chat, Method::POST),
        "/messages/count_tokens" => (Dialect::Anthropic, Operation::CountTokens, Method::POST),
        "/v1beta/models" => (Dialect::Gemini, Operation::Models, Method::GET),
        _ if short == "/models" || short.starts_with("/models/") => (likely_dialect(head), Operation::Models, Method::GET),
        _ if short.starts_with("/v1beta/models/") => (Dialect::Gemini, Operation::Models, Method::GET),
        _ => return None,
    };
    Some((Endpoint::new(dialect, operation), method))
}

/// The endpoints whose path names the model: `…/models/MODEL:METHOD` (Gemini; Vertex with its project before it), and
/// `/model/ID/converse` (Bedrock).
fn named_in_path(head: &Parts) -> Option<Endpoint> {
    let path = head.uri.path().trim_end_matches('/');
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned);
    if let Some(rest) = path.strip_prefix("/model/") {
        let (model, operation, stream) = match rest.rsplit_once('/')? {
            (model, "converse") => (model, Operation::Chat, false),
            (model, "converse-stream") => (model, Operation::Chat, true),
            _ => return None,
        };
        let endpoint = Endpoint::new(Dialect::Bedrock, operation);
        return Some(Endpoint { model: decoded(model), stream: Some(stream), ..endpoint });
    }
    let (before, method) = path.rsplit_once(':')?;
    let (_, model) = before.split_once("/models/")?;
    let (operation, stream) = match method {
        "generateContent" => (Operation::Chat, false),
        "streamGenerateContent" => (Operation::Chat, true),
        "countTokens" => (Operation::CountTokens, false),
        "embedContent" | "batchEmbedContents" => (Operation::Embeddings, false),
        _ => return None,
    };
    let sse = head.uri.query().is_some_and(|query| query.split('&').any(|part| part == "alt=sse"));
    let framing = if sse { Framing::Sse } else { Framing::JsonArray };
    let one_embedding = method == "embedContent";
    Some(Endpoint { model: decoded(model), stream: Some(stream), framing, one_embedding, ..Endpoint::new(Dialect::Gemini, operation) })
}

/// The dialect in which a caller can read an error before the endpoint is known.
pub(super) fn likely_dialect(head: &Parts) -> Dialect {
    let anthropic =
        head.headers.contains_key("anthropic-version") || head.headers.contains_key("x-api-key") || head.uri.path().contains("/messages");
    let path = head.uri.path();
    match () {
        () if path.starts_with("/model/") => Dialect::Bedrock,
        () if path.starts_with("/v1beta") || head.headers.contains_key("x-goog-api-key") => Dialect::Gemini,
        () if anthropic => Dialect::Anthropic,
        () if path.contains("/responses") => Dialect::OpenAiResponses,
        () => Dialect::OpenAiChat,
    }
}

/// Reads the body and its top-level members.
///
/// # Errors
/// Too large, stalled, cut short, compressed, not JSON, twin or misspelt members, no model; or no memory left to hold it.
pub(super) async fn receive<B>(endpoint: Endpoint, mut head: Parts, body: B, bounds: &Bounds, mut hold: Hold) -> Result<Call, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    check_content(&head.headers)?;
    let body = read_body(body, bounds, &mut hold).await?;
    let envelope = Envelope::read(&body).map_err(|error| Fault::bad_request(format!("The body is not valid JSON: {error}.")))?;
    let member = |name| envelope.get(&body, name).and_then(|value| Raw::parse(value).ok());
    if let Some((wrong, right)) = envelope.case_variant(&body, codec(endpoint.dialect).known_members()) {
        let wrong = String::from_utf8_lossy(&body[wrong.key]).into_owned();
        return Err(Fault::bad_request(format!("`{wrong}` must be spelt `{right}`: member names are case-sensitive.")).at(wrong));
    }
    let model = match member("model") {
        _ if endpoint.model.is_some() => Cow::Owned(endpoint.model.clone().unwrap_or_default()),
        Some(value) => value
            .string()
            .ok_or_else(|| Fault::bad_request(format!("`model` must be a string, found {}.", value.kind_name())).at("model"))?,
        None => return Err(Fault::bad_request("`model` is missing: name an alias of this Outrider, or provider/model.").at("model")),
    };
    let stream = match member("stream") {
        _ if endpoint.stream.is_some() => endpoint.stream.unwrap_or_default(),
        None => false,
        Some(value) if value.is_null() => false,
        Some(value) => value
            .bool()
            .ok_or_else(|| Fault::bad_request(format!("`stream` must be true or false, found {}.", value.kind_name())).at("stream"))?,
    };
    let stream_usage = match endpoint.dialect {
        Dialect::OpenAiChat => asks_usage(member("stream_options"))?,
        Dialect::OpenAiResponses | Dialect::Anthropic | Dialect::Gemini | Dialect::Bedrock => true,
    };
    let model = model.into_owned();
    let timeout = timeout(&head.headers)?;
    let query = head.uri.query().and_then(without_key);
    keep_forwardable(&mut head.headers);
    Ok(Call { endpoint, headers: head.headers, query, envelope, model, stream, stream_usage, timeout, hold, body })
}

/// The query without Google's `key`, which is a credential. `None` where nothing is left.
pub(super) fn without_key(query: &str) -> Option<String> {
    let kept: Vec<_> = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("key=")).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// Whether `stream_options` asks for the usage. Another type than an object is refused here, since the patch that asks for
/// it would write over the mistake.
fn asks_usage(options: Option<Raw<'_>>) -> Result<bool, Fault> {
    match options {
        Some(options) if !options.is_object() && !options.is_null() => {
            let text = format!("`stream_options` must be an object, found {}.", options.kind_name());
            Err(Fault::bad_request(text).at("stream_options"))
        }
        options => Ok(options.and_then(|o| o.member("include_usage")).and_then(Raw::bool).unwrap_or(false)),
    }
}

/// Refuses a body that would have to be unpacked to be read.
pub(super) fn check_content(headers: &HeaderMap) -> Result<(), Fault> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding.as_bytes() != b"identity"
    {
        let name = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
        return Err(Fault::bad_request(format!("Bodies compressed with `{name}` are not read: send the body as it is.")));
    }
    Ok(())
}

/// The caller's own deadline.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Fault> {
    let Some(value) = headers.get("x-outrider-timeout") else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).ok(),
    });
    match parsed {
        Some(timeout) if !timeout.is_zero() => Ok(Some(timeout)),
        _ => Err(Fault::bad_request("x-outrider-timeout must be a duration such as `30s` or `500ms`.")),
    }
}

/// Reads a whole body, within its bound and in time.
pub(super) async fn read_body<B>(mut body: B, bounds: &Bounds, hold: &mut Hold) -> Result<Bytes, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if told > bounds.body_bytes_max {
        return Err(too_large(bounds));
    }
    take(hold, told)?;
    let mut first: Option<Bytes> = None;
    let mut rest: Option<BytesMut> = None;
    let mut length = 0;
    while let Some(chunk) = next_chunk(&mut body, bounds).await? {
        length += chunk.len();
        if length > bounds.body_bytes_max {
            return Err(too_large(bounds));
        }
        if length > told {
            take_up_to(hold, length)?;
        }
        match (&first, &mut rest) {
            (None, _) => first = Some(chunk),
            (Some(start), None) => {
                let mut buffer = BytesMut::with_capacity(told.max(length));
                buffer.extend_from_slice(start);
                buffer.extend_from_slice(&chunk);
                rest = Some(buffer);
            }
            (Some(_), Some(buffer)) => buffer.extend_from_slice(&chunk),
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(rest.map(BytesMut::freeze).or(first).unwrap_or_default())
}

/// The next piece of a body; `None` at its end.
pub(super) async fn next_chunk<B>(body: &mut B, bounds: &Bounds) -> Result<Option<Bytes>, Fault>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    loop {
        // What has arrived already costs no timer.
        let frame = match poll_once(body).await {
            Some(ready) => ready,
            None => match tokio::time::timeout(
                bounds.body_idle_timeout,
                std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx)),
            )
            .await
            {
                Ok(frame) => frame,
                Err(_) => return Err(body_stalled(bounds.body_idle_timeout)),
            },
        };
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => return Err(body_fault(&error)),
        }
    }
}

/// The app stopped sending.
pub(super) fn body_stalled(idle: Duration) -> Fault {
    Fault::caller(FaultKind::Timeout, format!("The request body stalled for {}.", humantime::format_duration(idle)))
}

/// What a broken body means: the edge's own words are in the chain of causes, where it was the edge that broke it.
pub(super) fn body_fault(error: &(dyn std::error::Error + 'static)) -> Fault {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(told) = cause.downcast_ref::<std::io::Error>() {
            return match told.kind() {
                std::io::ErrorKind::TimedOut => Fault::caller(FaultKind::Timeout, format!("The request was cut: {told}.")),
                std::io::ErrorKind::InvalidData => Fault::bad_request(format!("The request was cut: {told}")),
                _ => Fault::bad_request("The request body broke off.").cause(told),
            };
        }
        next = cause.source();
    }
    Fault::bad_request("The request body broke off.").cause(error)
}

/// One poll: what is ready now, if anything.
async fn poll_once<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Option<Option<Result<http_body::Frame<Bytes>, B::Error>>> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *body).poll_frame(cx) {
        std::task::Poll::Ready(frame) => std::task::Poll::Ready(Some(frame)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

fn too_large(bounds: &Bounds) -> Fault {
    Fault::caller(FaultKind::TooLarge, format!("The body is larger than {} bytes (`bounds.body_bytes_max`).", bounds.body_bytes_max))
}

fn take(hold: &mut Hold, bytes: usize) -> Result<(), Fault> {
    if hold.grow(bytes) { Ok(()) } else { Err(no_room()) }
}

fn take_up_to(hold: &mut Hold, bytes: usize) -> Result<(), Fault> {
    if hold.set(bytes) { Ok(()) } else { Err(no_room()) }
}

/// The memory bound is reached: new work waits, what is under way goes on.
pub(super) fn no_room() -> Fault {
    Fault::new(
        FaultKind::Overloaded,
        crate::base::Origin::Gateway,
        "Outrider holds as many bytes as it may (`bounds.held_bytes_max`); try again.",
    )
    .after(Some(Duration::from_secs(1)))
}

/// Leaves only what may go to a provider: no credentials, no cookies, nothing that belongs to this hop or names this
/// machine, none of our own.
pub(super) fn keep_forwardable(headers: &mut HeaderMap) {
    // Almost always it names nothing, or only what is removed anyway.
    let named_by_connection: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named_by_connection {
        headers.remove(name);
    }
    let refused: Vec<HeaderName> = headers.keys().filter(|name| !forwardable(name)).cloned().collect();
    for name in refused {
        headers.remove(name);
    }
}

fn forwardable(name: &HeaderName) -> bool {
    let refused = matches!(
        name.as_str(),
        "accept-encoding"
            | "anthropic-workspace-id"
            | "api-key"
            | "authorization"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "cookie"
            | "cookie2"
            | "expect"
            | "forwarded"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "openai-organization"
            | "openai-project"
            | "origin"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "referer"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "via"
            | "x-amz-content-sha256"
            | "x-amz-date"
            | "x-amz-security-token"
            | "x-api-key"
            | "x-client-ip"
            | "x-goog-api-key"
            | "x-real-ip"
    );
    let text = name.as_str();
    !(refused || text.starts_with("x-outrider-") || text.starts_with("x-forwarded-") || text.starts_with("sec-"))
}
