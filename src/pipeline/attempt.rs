//! The only loop of the pipeline: from the targets of a model to the first good answer.
//!
//! Until the first content has come, nothing has reached the app, and another try may answer in its place; after that, never.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Response, StatusCode};

use super::account::Account;
use super::answer::{self, Refusal};
use super::embed;
use super::ingress::Call;
use super::opaque::{Passage, Socket};
use super::outbound::{self, Prepared};
use super::passing::Mode;
use super::relay::{Parts, Patience, Relay};
use super::snapshot::{Route, RouteTarget};
use super::{Pipeline, held::Hold};
use crate::base::clock::{self, Instant};
use crate::base::framing::Framing;
use crate::base::{Fault, FaultKind, Secret};
use crate::config::{Place, Provider, Target, Timeouts};
use crate::dialect::{Losses, Reply, codec};
use crate::echo;
use crate::ir::Operation;
use crate::policy::health::Health;
use crate::policy::tries::Tries;
use crate::telemetry::Record;
use crate::upstream::{AnswerBody, SendError, SendErrorKind};

/// A provider's error body is read up to this.
pub(super) const ERROR_BYTES_MAX: usize = 1 << 20;
/// Answers up to this leave with the next write; larger ones hold their memory until the app has read them.
const SMALL_BYTES: usize = 64 << 10;
/// No bound between two pieces; another one holds.
const NO_IDLE: Option<Duration> = None;

/// A good answer, ready for the app.
pub(super) struct Good {
    /// Status and headers.
    pub status: StatusCode,
    /// The provider's headers, or new ones.
    pub headers: HeaderMap,
    /// The content.
    pub content: Content,
    /// What the way to this provider and back lost.
    pub losses: Losses,
}

/// The content of a good answer.
pub(super) enum Content {
    /// All of it, and what it holds of the memory bound until it has been read.
    Whole(Bytes, Option<Hold>),
    /// Primed, to be committed.
    Stream(Box<Relay>),
    /// Forwarded unread, to be committed.
    Passage(Box<Passage>),
    /// A WebSocket, to be committed.
    Socket(Box<Socket>),
}

/// Asks the route's targets in order until one answers.
///
/// # Errors
/// The last real refusal.
pub(super) async fn first_good(line: &Pipeline, call: &mut Call, route: &Route, account: &mut Account) -> Result<Good, Refusal> {
    let targets = &route.model.targets;
    let meters = &line.shared.stores.sinks.meters;
    let total = call.timeout.map_or(route.model.timeout.total, |asked| asked.min(route.model.timeout.total));
    let deadline = account.record.started + total;
    let rng = || line.shared.env.rng.fork();
    let healths: Vec<_> = targets.iter().map(|_| Arc::new(Health::new(1, rng(), clock::now()))).collect();
    let mut tries = Tries::new(0..targets.len(), route.model.retry, true, deadline, rng(), Arc::default());
    let mut last = None;
    loop {
        let Some(permit) = tries.begin(&healths, clock::now()) else {
            return Err(last.unwrap_or_else(|| Fault::internal("no target").into()));
        };
        account.record.attempts += 1;
        let index = tries.index;
        let names = &route.targets[index];
        account.record.target = Some((Arc::clone(&names.label), Arc::clone(&names.meters)));
        account.target = Some(names.header.clone());
        let mut sent = None;
        let refusal = match one_try(line, call, route, index, deadline, &mut account.record, &mut sent).await {
            Ok(good) => {
                permit.succeeded(clock::now());
                names.meters.attempt_succeeded(meters, call.endpoint.operation);
                if !good.losses.is_empty() {
                    meters.losses(
                        call.endpoint.dialect.label(),
                        targets[index].dialect(call.endpoint.dialect).label(),
                        good.losses.names().len(),
                    );
                }
                return Ok(good);
            }
            Err(mut refusal) => {
                answer::redact_fault(&mut refusal.fault, sent.as_ref());
                refusal
            }
        };
        meters.attempt(&names.meters, refusal.fault.kind.label());
        permit.failed(&refusal.fault, clock::now());
        match tries.next(&refusal.fault, &healths, clock::now()) {
            None => return Err(refusal),
            Some(wait) if !wait.is_zero() => tokio::time::sleep(wait).await,
            Some(_) => {}
        }
        last = Some(refusal);
    }
}

/// One try at one target, in its time. `sent` is told the secret that went out with it.
async fn one_try(
    line: &Pipeline,
    call: &mut Call,
    route: &Route,
    index: usize,
    deadline: Instant,
    record: &mut Record,
    sent: &mut Option<Secret>,
) -> Result<Good, Refusal> {
    let target = &route.model.targets[index];
    let timeout = &route.model.timeout;
    let prepared = outbound::prepare(call, &route.model, target)?;
    let sent_at = clock::now();
    // Only a stream tells its first token; a whole answer may rightly take until the deadline.
    let due = if call.stream { deadline.min(sent_at + timeout.first_token) } else { deadline };
    let answered = tokio::time::timeout_at(due, ask_all(line, call, target, &prepared, timeout, sent)).await;
    let answer = match answered {
        Ok(answer) => answer?,
        Err(_) => {
            let over = humantime::format_duration(due.duration_since(sent_at)).to_string();
            let what = if call.stream { "no content" } else { "no answer" };
            let text = format!("{} gave {what} within {over}.", route.targets[index].label);
            return Err(Fault::upstream(FaultKind::Timeout, text).into());
        }
    };
    let back_at = clock::now();
    let patience = Patience { idle: timeout.idle, deadline };
    let good = understand(line, call, target, &route.targets[index], prepared, answer, patience, due, record, sent.as_ref()).await;
    let waited = back_at.duration_since(sent_at);
    if !call.stream {
        record.overhead = Some(clock::now().duration_since(record.started).saturating_sub(waited).saturating_sub(record.receiving));
    } else {
        record.overhead = Some(sent_at.duration_since(record.started).saturating_sub(record.receiving));
    }
    good
}

/// A provider's answer whose head is good.
pub(super) struct Answered {
    pub(super) headers: HeaderMap,
    pub(super) body: AnsweredBody,
}

pub(super) enum AnsweredBody {
    Whole(Bytes, Hold),
    Stream(AnswerBody),
    /// Those of all the calls that one request became.
    Several(Vec<Answered>),
}

/// Asks with the one call that a request mostly is, or with all that it became.
async fn ask_all(
    line: &Pipeline,
    call: &Call,
    target: &Target,
    prepared: &Prepared,
    timeout: &Timeouts,
    sent: &mut Option<Secret>,
) -> Result<Answered, Refusal> {
    match &prepared.embed {
        Some(asked) if asked.has_several_calls() => Box::pin(embed::ask_each(line, call, target, prepared, asked, timeout, sent)).await,
        _ => ask(line, call, target, prepared, timeout, sent).await,
    }
}

/// Sends, and reads what of the answer must be read before it can be judged.
pub(super) async fn ask(
    line: &Pipeline,
    call: &Call,
    target: &Target,
    prepared: &Prepared,
    timeout: &Timeouts,
    sent: &mut Option<Secret>,
) -> Result<Answered, Refusal> {
    let bounds = &line.shared.stores.bounds;
    let response = match &target.provider.place {
        Place::Echo => echo::answer(&prepared.body, call.endpoint.operation).map_err(Refusal::from)?,
        Place::Http(site) => {
            let mut request = outbound::request(call, target, prepared)?;
            let credentials = &line.shared.credentials;
            *sent = credentials.authorize(&line.upstream, &target.provider, 0, &mut request, &prepared.body).await?;
            line.upstream.send(site, timeout.connect, request).await.map_err(|error| not_sent(&error, &target.provider))?
        }
    };
    let (head, body) = response.into_parts();
    let mut hold = line.shared.stores.held.open();
    if !head.status.is_success() {
        if matches!(head.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            line.shared.credentials.refused(&target.provider);
        }
        let body = answer::collect(body, ERROR_BYTES_MAX, Some(timeout.idle), &mut hold).await?;
        let (provider, caller) = (prepared.dialect, call.endpoint.dialect);
        return Err(answer::refusal(provider, caller, head.status, head.headers, body, sent.as_ref()));
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A JSON array is told from one answer by what was asked for only.
    let is_stream = prepared.framing.fits(content_type) && (call.stream || prepared.framing != Framing::JsonArray);
    if head.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(unlike(&target.provider, "a compressed answer that was not asked for").into());
    }
    match (call.stream, is_stream) {
        (true, true) => Ok(Answered { headers: head.headers, body: AnsweredBody::Stream(body) }),
        (true, false) => {
            // An error under status 200, or a page of something else.
            let body = answer::collect(body, ERROR_BYTES_MAX, Some(timeout.idle), &mut hold).await?;
            let told = codec(prepared.dialect).decode_answer(&body).err().filter(|fault| fault.kind != FaultKind::UpstreamProtocol);
            Err(told.unwrap_or_else(|| unlike(&target.provider, &format!("`{content_type}` where an event stream was asked for"))).into())
        }
        (false, true) => Err(unlike(&target.provider, "an event stream where one answer was asked for").into()),
        (false, false) => {
            // Some hosts send the head at once and then think: only the deadline bounds a whole answer.
            let body = answer::collect(body, bounds.answer_bytes_max, NO_IDLE, &mut hold).await?;
            Ok(Answered { headers: head.headers, body: AnsweredBody::Whole(body, hold) })
        }
    }
}

/// A provider's answer is not what it should be.
pub(super) fn unlike(provider: &Provider, what: &str) -> Fault {
    let text = format!("{} answered with {what}.", provider.name);
    Fault::upstream(FaultKind::UpstreamProtocol, text)
}

/// Why a provider gave no answer.
pub(super) fn not_sent(error: &SendError, provider: &Provider) -> Fault {
    let (kind, text) = match error.kind {
        SendErrorKind::ConnectTimeout => (FaultKind::Unreachable, "cannot be reached: no connection in time"),
        SendErrorKind::Dns => (FaultKind::Unreachable, "cannot be reached: its name has no address"),
        SendErrorKind::Connect => (FaultKind::Unreachable, "cannot be reached: the connection was refused"),
        SendErrorKind::Tls => (FaultKind::Unreachable, "cannot be reached: the TLS handshake failed"),
        SendErrorKind::Connection => (FaultKind::UpstreamFailed, "closed the connection without an answer"),
        SendErrorKind::Protocol => (FaultKind::UpstreamProtocol, "answered with something that is not HTTP"),
    };
    let text = format!("{} {text}.", provider.name);
    // Whatever broke, what has not begun to go out may go out again.
    let kind = if error.sent { kind } else { FaultKind::Unreachable };
    Fault::upstream(kind, text).cause(&error.cause)
}

/// Judges a good head's content, and turns it into the caller's dialect where that is another.
#[expect(clippy::too_many_arguments, reason = "one try's whole context, used once")]
async fn understand(
    line: &Pipeline,
    call: &mut Call,
    target: &Target,
    names: &RouteTarget,
    prepared: Prepared,
    answered: Answered,
    patience: Patience,
    due: Instant,
    record: &mut Record,
    secret: Option<&Secret>,
) -> Result<Good, Refusal> {
    let mut prepared = prepared;
    if let Some(asked) = prepared.embed.take() {
        return Ok(embed::understand(line, call, target, prepared, &asked, answered, record)?);
    }
    let (provider, caller) = (codec(prepared.dialect), codec(call.endpoint.dialect));
    let mut headers = answered.headers;
    let mut notes = prepared.notes;
    let reply = || Reply {
        id: record.id,
        model: call.model.clone(),
        created: line.shared.env.wall.unix_seconds(),
        stream_usage: call.stream_usage,
        input_tokens_estimate: super::account::tokens_of_bytes(call.body.len() as u64),
        tools: notes.tools.clone(),
        framing: call.endpoint.framing,
    };
    match answered.body {
        AnsweredBody::Whole(body, hold) if !prepared.translated => {
            if call.endpoint.operation == Operation::Chat || call.endpoint.operation == Operation::Embeddings {
                let observed = provider.observe_answer(&body)?;
                record.usage = observed.usage.unwrap_or_default();
                record.finish = observed.finish;
                record.output_bytes = body.len() as u64;
            } else {
                crate::base::json::Raw::parse(&body)
                    .map_err(|error| unlike(&target.provider, &format!("a body that is not JSON: {error}")))?;
            }
            answer::keep_answer_headers(&mut headers);
            Ok(Good { status: StatusCode::OK, headers, content: Content::Whole(body, Some(hold)), losses: notes.losses })
        }
        AnsweredBody::Whole(body, mut hold) => {
            let answer = provider.decode_answer(&body)?;
            record.usage = answer.usage.unwrap_or_default();
            record.finish = answer.finish.as_ref().map(|f| f.reason);
            record.output_bytes = body.len() as u64;
            let reply = reply();
            let mut out = Vec::with_capacity(body.len() + 256);
            caller.encode_answer(&answer, &reply, &mut notes, &mut out);
            if !hold.set(out.len()) {
                return Err(super::ingress::no_room().into());
            }
            let headers = answer::translated_answer_headers(&headers, call.endpoint.dialect, record.id, None);
            Ok(Good { status: StatusCode::OK, headers, content: Content::Whole(out.into(), Some(hold)), losses: notes.losses })
        }
        AnsweredBody::Several(_) => Err(Fault::internal("several answers to what was asked once").into()),
        AnsweredBody::Stream(body) => {
            let mode = if prepared.translated {
                Mode::Translate(caller.stream_encoder(reply()))
            } else {
                Mode::Forward { withhold_usage: prepared.withhold_usage }
            };
            let mut relay = Box::new(Relay::new(Parts {
                upstream: body,
                provider,
                caller,
                mode,
                framing: prepared.framing,
                id: record.id,
                secret: secret.cloned(),
                patience,
                event_bytes_max: line.shared.stores.bounds.event_bytes_max,
                ends_without_mark: target.traits.ends_without_mark,
                cut: line.shared.drain.cut_signal(),
                sinks: Arc::clone(&line.shared.stores.sinks),
            }));
            match tokio::time::timeout_at(due, relay.prime()).await {
                Ok(primed) => primed?,
                Err(_) => {
                    let text = format!("{} gave no content in time.", names.label);
                    return Err(Fault::upstream(FaultKind::Timeout, text).into());
                }
            }
            // Nobody will ask for these bytes again.
            call.body = Bytes::new();
            let _given_back = call.hold.set(0);
            let headers = if prepared.translated {
                answer::translated_answer_headers(&headers, call.endpoint.dialect, record.id, Some(call.endpoint.framing))
            } else {
                answer::keep_answer_headers(&mut headers);
                headers
            };
            Ok(Good { status: StatusCode::OK, headers, content: Content::Stream(relay), losses: notes.losses })
        }
    }
}

impl Good {
    /// The app's answer; the account closes with its body.
    pub(super) fn respond(self, mut account: Account, line: &Pipeline) -> Response<crate::base::body::Body> {
        use crate::base::body::Body;
        let streams = &line.shared.stores.streams;
        let body = match self.content {
            Content::Whole(bytes, hold) => {
                account.close(&crate::telemetry::Ending::Complete);
                Body::Full(match hold {
                    Some(hold) if bytes.len() > SMALL_BYTES => hold.over(bytes),
                    _ => bytes,
                })
            }
            Content::Stream(relay) => Body::Stream(Box::pin(relay.commit(account, streams))),
            Content::Passage(passage) => Body::Stream(Box::pin(passage.commit(account, streams))),
            Content::Socket(socket) => {
                let socket = socket.commit(account, streams);
                Body::Tunnel(Box::new(move |early, app| Box::pin(socket.run(early, app))))
            }
        };
        answer::respond(self.status, self.headers, body)
    }
}
