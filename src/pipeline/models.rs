//! Which models there are, and how many tokens a request has where no provider is asked.

mod form;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode};

use form::Told;

use super::good::{Content, Good};
use super::ingress::Call;
use super::snapshot::{Route, Snapshot};
use super::{Pipeline, answer, layout, outbound};
use crate::base::body::Body;
use crate::base::clock::{self, Instant};
use crate::base::json::{self, Raw};
use crate::base::{Fault, FaultKind};
use crate::config::{Place, Provider, Target};
use crate::dialect::{Losses, codec};
use crate::ir::{Dialect, Operation, Part, Request as ChatRequest, Thinking, Tool};
use crate::quota::Caller;

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

/// Answers `GET /v1/models` and `/v1/models/{id}` in the caller's dialect: the aliases first, then what the providers
/// list, as `provider/model`, and the aliases' targets that no provider lists. Of these, what the caller's key allows.
///
/// # Errors
/// No model of that id, or the key does not allow it.
pub(super) async fn list(
    line: &Pipeline,
    snapshot: &Snapshot,
    dialect: Dialect,
    head: &Parts,
    key: Option<&Caller>,
) -> Result<Good, Fault> {
    let policy = &snapshot.policy;
    let path = head.uri.path().trim_end_matches('/');
    let mut body = Vec::with_capacity(1024);
    match path.split_once("/models/").map(|(_, id)| percent_decode(id)) {
        Some(id) => {
            key.map_or(Ok(()), |key| key.may_ask(&id)).map_err(|refused| refused.fault())?;
            let model = policy.find(&id)?;
            let owner = model.targets.first().map_or(OWN, |target| target.provider.name.as_str());
            form::one(&told(&id, owner, &model.targets), dialect, &mut body);
        }
        None => {
            let listings = join_all(policy.providers.iter().map(|provider| listing(line, provider)).collect()).await;
            let mut models: Vec<_> = policy.models.iter().map(|model| told(&model.name, OWN, &model.targets)).collect();
            for (provider, listed) in policy.providers.iter().zip(&listings) {
                let mut names: HashSet<_> = listed.iter().map(|model| model.id.as_str()).collect();
                for model in listed.iter() {
                    let target = Target::new(Arc::clone(provider), model.id.clone(), &policy.overrides);
                    let told = told(&target.label(), &provider.name, &[target]);
                    models.push(Told { created: model.created, display_name: model.display_name.clone(), ..told });
                }
                let targets = policy.models.iter().flat_map(|model| &model.targets).filter(|target| target.provider.name == provider.name);
                for target in targets.filter(|target| names.insert(&target.model)) {
                    models.push(told(&target.label(), &provider.name, std::slice::from_ref(target)));
                }
            }
            models.retain(|model| key.is_none_or(|key| key.may_ask(&model.id).is_ok()));
            form::list(&models, dialect, &mut body);
        }
    }
    Ok(made_here(body))
}

/// Who has the aliases.
const OWN: &str = "outrider";

/// What is told of a model that these targets may answer: the bounds of the narrowest, else the first one's facts.
fn told(id: &str, owner: &str, targets: &[Target]) -> Told {
    let first = targets.first();
    let mut facts = first.map(|target| target.facts.clone()).unwrap_or_default();
    let least = |of: fn(&Target) -> Option<u32>| targets.iter().filter_map(of).min();
    (facts.context_tokens, facts.output_tokens) = (least(|t| t.facts.context_tokens), least(|t| t.facts.output_tokens));
    Told {
        id: id.to_owned(),
        owner: owner.to_owned(),
        created: 0,
        display_name: id.to_owned(),
        facts,
        thinking: first.map_or(Thinking::Unsupported, |target| target.traits.thinking),
        speaks_anthropic: first.is_some_and(|target| target.dialects.contains(&Dialect::Anthropic)),
    }
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
    *request.uri_mut() = outbound::target_uri(site, &path, page(codec.dialect()))?;
    let headers = request.headers_mut();
    for (name, value) in codec.default_headers() {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    headers.extend(provider.headers.iter().cloned());
    line.shared.credentials.authorize(&line.upstream, provider, 0, &mut request, b"").await?;
    let failed =
        |cause: String| Fault::upstream(FaultKind::UpstreamFailed, "The provider's list of models could not be read.").cause(cause);
    let response = line.upstream.send(site, LISTING_TIMEOUT, request).await.map_err(|error| failed(error.cause))?;
    if !response.status().is_success() {
        return Err(failed(format!("status {}", response.status())));
    }
    let mut hold = line.shared.stores.held.open();
    let body = answer::collect(response.into_body(), LISTING_BYTES_MAX, None, &mut hold).await?;
    let raw = Raw::parse(&body).map_err(|error| failed(error.to_string()))?;
    // Together's list is an array without an object around it.
    let models = raw.member("data").or_else(|| raw.member("models")).unwrap_or(raw);
    Ok(models.elements().take(LISTING_LENGTH_MAX).filter_map(listed).collect())
}

/// The first page is all that is asked for: as long a one as the dialect allows.
fn page(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::Anthropic => Some("limit=1000"),
        Dialect::Gemini => Some("pageSize=1000"),
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Bedrock => None,
    }
}

fn listed(raw: Raw<'_>) -> Option<ListedModel> {
    let (mut id, mut created, mut display_name) = (None, None, None);
    for (name, value) in raw.members() {
        match &*name {
            "id" => id = value.string().map(Cow::into_owned),
            // Gemini's are resources of a collection.
            "name" if id.is_none() => id = value.string().map(|name| name.strip_prefix("models/").unwrap_or(&name).to_owned()),
            "created" => created = value.u64(),
            "created_at" if created.is_none() => created = value.string().and_then(|stamp| seconds(&stamp)),
            "display_name" | "displayName" => display_name = value.string().map(Cow::into_owned),
            _ => {}
        }
    }
    let id = id?;
    Some(ListedModel { display_name: display_name.unwrap_or_else(|| id.clone()), created: created.unwrap_or(0), id })
}

fn seconds(stamp: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339_weak(stamp.trim_end_matches("+00:00")).ok()?;
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
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
