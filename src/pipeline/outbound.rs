//! From a call to the request for one target: the bytes as they are, with a patch or two, or in another dialect.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};

use super::embed;
use super::ingress::Call;
use super::layout;
use crate::base::body::Body;
use crate::base::framing::Framing;
use crate::base::json::{self, Patch, Raw};
use crate::base::{Fault, FaultKind, Origin};
use crate::config::{Model, Place, Site, Target};
use crate::dialect::{Losses, Notes, codec};
use crate::ir::{Dialect, Operation};

/// What one target is sent, and what must be known to read its answer.
pub(super) struct Prepared {
    /// The body.
    pub body: Bytes,
    /// What the translation left behind; empty where nothing was translated.
    pub notes: Notes,
    /// What the target is asked in.
    pub dialect: Dialect,
    /// How its stream is cut.
    pub framing: Framing,
    /// Whether that is another dialect than the caller's.
    pub translated: bool,
    /// Whether we asked for a usage event that the caller did not ask for.
    pub withhold_usage: bool,
    /// What was asked for, where embeddings are translated.
    pub embed: Option<Box<embed::Asked>>,
}

impl Prepared {
    /// The same for another body of the same request.
    pub(super) fn with_body(&self, body: Bytes) -> Self {
        let Self { dialect, framing, translated, withhold_usage, .. } = *self;
        Self { body, notes: Notes::default(), dialect, framing, translated, withhold_usage, embed: None }
    }
}

/// Makes the body for a target.
///
/// # Errors
/// The target's dialect cannot carry the request, or `strict` forbids what it would lose.
pub(super) fn prepare(call: &Call, model: &Model, target: &Target) -> Result<Prepared, Fault> {
    let dialect = target.dialect(call.endpoint.dialect);
    if dialect == call.endpoint.dialect {
        let mut patches = Vec::new();
        let vertex = layout::wants_vertex_body(target, dialect);
        if vertex {
            patches = layout::vertex_patches(&call.body, &call.envelope, call.endpoint.operation);
        }
        let model_stays = !vertex || call.endpoint.operation == Operation::CountTokens;
        if model_stays
            && target.model != call.model
            && let Some(span) = call.envelope.span(&call.body, "model")
        {
            let with = renamed(Raw::parse(&call.body[span.clone()]).unwrap_or(Raw::literal("\"\"")), &target.model);
            patches.push(Patch { span, with });
        }
        if target.model != call.model && call.endpoint.operation == Operation::Embeddings {
            patches.extend(embed::rename(call, target));
        }
        let withhold_usage = dialect == Dialect::OpenAiChat && call.endpoint.operation == Operation::Chat && call.stream && !call.stream_usage
            // Where it cannot be asked for, it is told anyway, with the last piece of content.
            && target.traits.stream_options;
        if withhold_usage {
            patches.push(ask_for_usage(call));
        }
        let body = json::splice(&call.body, patches);
        let framing = call.endpoint.framing;
        return Ok(Prepared { body, notes: Notes::default(), dialect, framing, translated: false, withhold_usage, embed: None });
    }
    let framing = codec(dialect).framing();
    if call.endpoint.operation == Operation::Embeddings {
        let mut notes = Notes::default();
        let (body, asked) = embed::prepare(call, target, dialect, &mut notes)?;
        refuse_losses(model, target, &notes.losses)?;
        return Ok(Prepared { body, notes, dialect, framing, translated: true, withhold_usage: false, embed: Some(Box::new(asked)) });
    }
    if call.endpoint.operation != Operation::Chat {
        let text = format!(
            "`{}` is asked from {}, which speaks another dialect: only chats and embeddings are translated.",
            call.endpoint.operation.label(),
            target.provider.name
        );
        return Err(Fault::unsupported("model", text));
    }
    let request = call.request()?;
    let mut notes = Notes::default();
    let mut body = Vec::with_capacity(call.body.len() + call.body.len() / 8 + 256);
    codec(dialect).encode_request(&request, &target.model, &target.traits, &mut notes, &mut body)?;
    refuse_losses(model, target, &notes.losses)?;
    if layout::wants_vertex_body(target, dialect) {
        body =
            layout::vertex_body(&target.model, &body).ok_or_else(|| Fault::internal("a body of our own does not begin with its model"))?;
    }
    Ok(Prepared { body: body.into(), notes, dialect, framing, translated: true, withhold_usage: false, embed: None })
}

/// The target's name for the model, with the kind of resource before it where the caller spelled that.
pub(super) fn renamed(spelled: Raw<'_>, model: &str) -> Bytes {
    let prefix = spelled.inner().filter(|name| name.starts_with(MODELS) && !model.starts_with(MODELS)).map_or("", |_| MODELS);
    let mut with = Vec::with_capacity(prefix.len() + model.len() + 2);
    with.push(b'"');
    with.extend_from_slice(prefix.as_bytes());
    json::write_escaped(model, &mut with);
    with.push(b'"');
    with.into()
}

const MODELS: &str = "models/";

/// A model that is `strict` refuses to lose anything.
fn refuse_losses(model: &Model, target: &Target, losses: &Losses) -> Result<(), Fault> {
    let Some(first) = losses.names().first().filter(|_| model.strict) else { return Ok(()) };
    let text = format!(
        "{}/{} cannot express: {}. The model is `strict`, so the request was refused rather than sent without it.",
        target.provider.name,
        target.model,
        losses.names().join(", ")
    );
    Err(Fault::unsupported(first.clone(), text).code("unsupported_parameter"))
}

/// The patch that makes an OpenAI stream tell its usage: accounting must not hang on what the caller asked for.
fn ask_for_usage(call: &Call) -> Patch {
    let span = call.envelope.span(&call.body, "stream_options");
    let given = span.clone().and_then(|span| Raw::parse(&call.body[span]).ok()).filter(|options| options.is_object());
    let mut with = Vec::with_capacity(64);
    match (span, given) {
        (Some(span), options) => {
            json::object(&mut with, |out| {
                out.bool("include_usage", true);
                for (name, value) in options.into_iter().flat_map(Raw::members).filter(|(name, _)| name != "include_usage") {
                    out.raw(&name, value);
                }
            });
            Patch { span, with: with.into() }
        }
        (None, _) => {
            with.extend_from_slice(br#""stream_options":{"include_usage":true},"#);
            Patch { span: call.envelope.open..call.envelope.open, with: with.into() }
        }
    }
}

/// Makes the HTTP request around a body, complete but for the provider's credential.
///
/// # Errors
/// The operation has no path in the target's dialect.
pub(super) fn request(call: &Call, target: &Target, prepared: &Prepared) -> Result<Request<Body>, Fault> {
    let codec = codec(prepared.dialect);
    // What was translated is asked for as several, be it one.
    let path = match call.endpoint.one_embedding && !prepared.translated {
        true => layout::path_of_one_embedding(target, prepared.dialect),
        false => layout::path(target, prepared.dialect, call.endpoint.operation, call.stream),
    };
    let Some(path) = path else {
        let text = format!("{} has no {} endpoint.", target.provider.name, call.endpoint.operation.label());
        return Err(Fault::new(FaultKind::Unsupported, Origin::Gateway, text));
    };
    let query = match prepared.translated {
        true => codec.stream_query().filter(|_| call.stream),
        false => call.query.as_deref(),
    };
    let uri = match &target.provider.place {
        Place::Http(site) => target_uri(site, &path, query)?,
        Place::Echo => Uri::from_static("/"),
    };
    let mut headers = if prepared.translated { translated_headers(&call.headers) } else { call.headers.clone() };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What is read for accounting must be readable.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if prepared.translated {
        let accept = if call.stream { prepared.framing.accept() } else { "application/json" };
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    }
    for (name, value) in codec.default_headers() {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    for (name, value) in &target.provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    let mut request = Request::new(Body::Full(prepared.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The path and query of an operation at a site.
///
/// # Errors
/// The caller's query is not one that a URI can hold.
pub(super) fn target_uri(site: &Site, path: &str, query: Option<&str>) -> Result<Uri, Fault> {
    let mut text = String::with_capacity(site.path_prefix.len() + path.len() + 32);
    text.push_str(&site.path_prefix);
    text.push_str(path);
    let mut mark = '?';
    for part in [site.query.as_deref(), query].into_iter().flatten().filter(|part| !part.is_empty()) {
        text.push(mark);
        text.push_str(part);
        mark = '&';
    }
    text.parse().map_err(|error| Fault::bad_request("The query cannot be passed on.").cause(error))
}

/// To another dialect only what is the same in all goes on.
fn translated_headers(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    for name in ["user-agent", "traceparent", "tracestate", "baggage", "idempotency-key"] {
        if let Some(value) = client.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    headers
}
