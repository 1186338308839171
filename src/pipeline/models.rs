//! Which models there are, and how many tokens a request has where no provider is asked.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode};

use super::attempt::{Content, Good};
use super::ingress::Call;
use super::snapshot::{Route, Snapshot};
use super::{Pipeline, answer, layout, outbound};
use crate::base::body::Body;
use crate::base::clock::{self, Instant};
use crate::base::json::{self, Object, Raw};
use crate::base::{Fault, FaultKind};
use crate::config::{Place, Provider, Target};
use crate::dialect::{Losses, codec};
use crate::ir::{Operation, Part, Request as ChatRequest, Tool};

/// How long a provider's list is good for; a list that failed is asked again sooner.
const LISTING_AGE_MAX: Duration = Duration::from_secs(300);
const FAILED_LISTING_AGE_MAX: Duration = Duration::from_secs(30);
/// A provider that does not answer in this time is left out: `/models` must answer fast.
const LISTING_TIMEOUT: Duration = Duration::from_secs(3);
const LISTING_BYTES_MAX: usize = 4 << 20;
/// The most models taken from one provider.
const LISTING_LENGTH_MAX: usize = 5_000;

/// What providers said which models they have, by provider name.
#[derive(Default)]
pub struct Listings {
    kept: Mutex<HashMap<String, Listing>>,
}

struct Listing {
    models: Arc<[ListedModel]>,
    until: Instant,
}

struct ListedModel {
    id: String,
    created: u64,
    display_name: String,
}

/// Answers `GET /v1/models` and `/v1/models/{id}`: the aliases first, then what the providers list, as `provider/model`.
/// One form that the OpenAI and the Anthropic SDKs both read.
///
/// # Errors
/// No model of that id.
pub(super) async fn list(line: &Pipeline, snapshot: &Snapshot, head: &Parts) -> Result<Good, Fault> {
    let policy = &snapshot.policy;
    let path = head.uri.path().trim_end_matches('/');
    let mut body = Vec::with_capacity(1024);
    match path.split_once("/models/").map(|(_, id)| percent_decode(id)) {
        Some(id) => {
            let model = policy.find(&id)?;
            let owner = model.targets.first().map_or("outrider", |target| target.provider.name.as_str());
            json::object(&mut body, |out| describe(out, &id, owner, 0, &id));
        }
        None => {
            let listings = join_all(policy.providers.iter().map(|provider| listing(line, provider)).collect()).await;
            let mut ids: Vec<(String, &str, u64, String)> = Vec::new();
            for model in &policy.models {
                ids.push((model.name.clone(), "outrider", 0, model.name.clone()));
            }
            for (provider, models) in policy.providers.iter().zip(&listings) {
                for model in models.iter() {
                    ids.push((format!("{}/{}", provider.name, model.id), &provider.name, model.created, model.display_name.clone()));
                }
            }
            json::object(&mut body, |out| {
                out.string("object", "list");
                out.array("data", |out| {
                    for (id, owner, created, display) in &ids {
                        out.object(|out| describe(out, id, owner, *created, display));
                    }
                });
                out.bool("has_more", false);
                for (name, edge) in [("first_id", ids.first()), ("last_id", ids.last())] {
                    match edge {
                        Some((id, ..)) => out.string(name, id),
                        None => out.null(name),
                    }
                }
            });
        }
    }
    Ok(made_here(body))
}

fn describe(out: &mut Object<'_>, id: &str, owner: &str, created: u64, display_name: &str) {
    out.string("id", id);
    out.string("object", "model");
    out.string("type", "model");
    out.u64("created", created);
    let created_at = std::time::UNIX_EPOCH.checked_add(Duration::from_secs(created)).unwrap_or(std::time::UNIX_EPOCH);
    out.string("created_at", &humantime::format_rfc3339_seconds(created_at).to_string());
    out.string("owned_by", owner);
    out.string("display_name", display_name);
}

fn made_here(body: Vec<u8>) -> Good {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Good { status: StatusCode::OK, headers, content: Content::Whole(body.into(), None), losses: Losses::default() }
}

/// A provider's models: from memory where that is fresh, else asked for. A provider that fails lists nothing for a while.
async fn listing(line: &Pipeline, provider: &Provider) -> Arc<[ListedModel]> {
    let kept = &line.shared.stores.listings.kept;
    let now = clock::now();
    if let Some(listing) = kept.lock().unwrap_or_else(PoisonError::into_inner).get(&provider.name)
        && listing.until > now
    {
        return Arc::clone(&listing.models);
    }
    let asked = tokio::time::timeout(LISTING_TIMEOUT, ask(line, provider)).await;
    let (models, age) = match asked {
        Ok(Ok(models)) => (models, LISTING_AGE_MAX),
        Ok(Err(_)) | Err(_) => (Arc::from([]), FAILED_LISTING_AGE_MAX),
    };
    let listing = Listing { models: Arc::clone(&models), until: now + age };
    kept.lock().unwrap_or_else(PoisonError::into_inner).insert(provider.name.clone(), listing);
    models
}

async fn ask(line: &Pipeline, provider: &Provider) -> Result<Arc<[ListedModel]>, Fault> {
    let codec = codec(provider.dialect());
    let site = match &provider.place {
        Place::Echo => return Ok(Arc::from([ListedModel { id: "echo".into(), created: 0, display_name: "Echo".into() }])),
        Place::Http(site) => site,
    };
    let usual = codec.path(Operation::Models, "", false);
    let path = layout::laid_out(&provider.layout, usual, codec.dialect(), Operation::Models, "", false);
    let Some(path) = path else { return Ok(Arc::from([])) };
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = Method::GET;
    *request.uri_mut() = outbound::target_uri(site, &path, None)?;
    let headers = request.headers_mut();
    for (name, value) in codec.default_headers() {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    headers.extend(provider.headers.iter().cloned());
    line.shared.credentials.authorize(&line.upstream, provider, &mut request, b"").await?;
    let failed =
        |cause: String| Fault::upstream(FaultKind::UpstreamFailed, "The provider's list of models could not be read.").cause(cause);
    let response = line.upstream.send(site, LISTING_TIMEOUT, request).await.map_err(|error| failed(error.cause))?;
    if !response.status().is_success() {
        return Err(failed(format!("status {}", response.status())));
    }
    let mut hold = line.shared.stores.held.open();
    let body = answer::collect(response.into_body(), LISTING_BYTES_MAX, None, &mut hold).await?;
    let raw = Raw::parse(&body).map_err(|error| failed(error.to_string()))?;
    let data = raw.member("data").unwrap_or(Raw::literal("[]"));
    Ok(data.elements().take(LISTING_LENGTH_MAX).filter_map(listed).collect())
}

fn listed(raw: Raw<'_>) -> Option<ListedModel> {
    let id = raw.member("id")?.string()?.into_owned();
    let created = raw.member("created").and_then(Raw::u64).or_else(|| {
        let stamp = raw.member("created_at")?.string()?;
        let time = humantime::parse_rfc3339_weak(stamp.trim_end_matches("+00:00")).ok()?;
        time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
    });
    let display_name = raw.member("display_name").and_then(Raw::string).map_or_else(|| id.clone(), |name| name.into_owned());
    Some(ListedModel { display_name, created: created.unwrap_or(0), id })
}

/// Polls all of them until each is done, in this task.
async fn join_all<'f, T>(futures: Vec<impl Future<Output = T> + Send + 'f>) -> Vec<T> {
    let mut slots: Vec<_> = futures.into_iter().map(|future| (Some(Box::pin(future)), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, value) in &mut slots {
            if let Some(polled) = future
                && let Poll::Ready(ready) = polled.as_mut().poll(cx)
            {
                *value = Some(ready);
                *future = None;
            }
        }
        if slots.iter().all(|(future, _)| future.is_none()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    slots.into_iter().filter_map(|(_, value)| value).collect()
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Counts tokens by our own estimate, where the target has no endpoint for it.
///
/// # Errors
/// The request cannot be read.
pub(super) fn count_tokens_here(call: &Call, route: &Route) -> Result<Option<Good>, Fault> {
    if call.endpoint.operation != Operation::CountTokens {
        return Ok(None);
    }
    let first = route.model.targets.first();
    let native = |target: &Target| {
        let dialect = target.dialect(call.endpoint.dialect);
        dialect == call.endpoint.dialect && layout::path(target, dialect, Operation::CountTokens, false).is_some()
    };
    if first.is_some_and(native) {
        return Ok(None);
    }
    // The endpoint takes the request of a message without its bound.
    let with_bound = if call.envelope.get(&call.body, "max_tokens").is_some() {
        call.body.clone()
    } else {
        json::splice(
            &call.body,
            vec![json::Patch { span: call.envelope.open..call.envelope.open, with: Bytes::from_static(br#""max_tokens":1,"#) }],
        )
    };
    let caller = codec(call.endpoint.dialect);
    let request = caller.decode_request(&with_bound)?;
    let mut body = Vec::with_capacity(64);
    match caller.encode_token_count(estimate_input_tokens(&request), &mut body) {
        true => Ok(Some(made_here(body))),
        false => Err(Fault::internal("a dialect without an answer to count_tokens was asked for one")),
    }
}

/// About four bytes of text a token, a flat share for each turn and medium.
pub(super) fn estimate_input_tokens(request: &ChatRequest<'_>) -> u64 {
    const PER_MESSAGE: u64 = 4;
    let messages: u64 = request.messages.iter().map(|m| PER_MESSAGE + m.parts.iter().map(part_tokens).sum::<u64>()).sum();
    let tools: u64 = request.tools.iter().map(tool_tokens).sum();
    messages + tools
}

fn part_tokens(part: &Part<'_>) -> u64 {
    const PER_MEDIUM: u64 = 1_000;
    let bytes = |length: usize| super::account::tokens_of_bytes(length as u64);
    match part {
        Part::Text { text, .. } | Part::Refusal(text) | Part::RedactedReasoning(text) | Part::Reasoning { text, .. } => bytes(text.len()),
        Part::ToolCall { name, arguments, .. } => bytes(name.len() + arguments.len()),
        Part::ToolResult { parts, .. } => parts.iter().map(part_tokens).sum(),
        Part::Media(_) => PER_MEDIUM,
        Part::Opaque { raw, .. } => bytes(raw.get().len()),
    }
}

fn tool_tokens(tool: &Tool<'_>) -> u64 {
    let length = match tool {
        Tool::Function { name, description, parameters, .. } => {
            name.len() + description.as_ref().map_or(0, |d| d.len()) + parameters.as_ref().map_or(0, |p| p.raw().get().len())
        }
        Tool::Custom { name, description, format } => {
            name.len() + description.as_ref().map_or(0, |d| d.len()) + format.map_or(0, |f| f.get().len())
        }
        Tool::Opaque { raw, .. } => raw.get().len(),
    };
    super::account::tokens_of_bytes(length as u64)
}
