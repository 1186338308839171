//! Paths that this gateway does not read: forwarded as they are, streamed both ways, authenticated and metered.
//!
//! What is read is only what decides where a request goes (a model's name), and what an answer tells of its usage.

mod asked;
mod frames;
mod judge;
mod multipart;
mod passage;
mod payload;
mod pump;
mod send;
mod socket;
mod upload;
mod usage;
mod ways;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http_body::Body as HttpBody;

pub(super) use asked::{Asked, names_method};
pub(super) use passage::Passage;
pub(super) use socket::{Socket, UPGRADE_REQUIRED, is_handshake};

use super::Pipeline;
use super::account::{Account, Served, tokens_of_bytes};
use super::admission::{self, Subject};
use super::answer::{self, Refusal};
use super::attempt::Payer;
use super::funds::Upper;
use super::good::Good;
use super::ingress::{timeout, without_key};
use super::routing::Asker;
use super::snapshot::Snapshot;
use crate::base::body::Body;
use crate::base::clock::{self, Instant};
use crate::base::{Fault, Secret};
use crate::ir::{Dialect, Operation};
use crate::journal::Estimate;
use crate::policy::charge;
use crate::policy::tries::Tries;
use crate::telemetry::Record;
use crate::upstream::Switched;
use judge::Ask;
use payload::Payload;
use send::{Limits, Outgoing, keep_forwardable, model_of_query, signs_bodies};
use upload::Upload;
use ways::{Way, Ways};

/// The dialect of the provider that a path names, for its errors.
pub(super) fn dialect(snapshot: &Snapshot, head: &Parts) -> Option<Dialect> {
    let name = Asked::of(head)?.provider?;
    let provider = snapshot.policy.providers.iter().find(|provider| provider.name == name)?;
    Some(provider.dialect())
}

/// Forwards one request and gives its answer.
///
/// # Errors
/// Nobody may answer it, it cannot be sent, or the provider refused.
pub(super) async fn forward<B>(
    line: &Pipeline,
    snapshot: &Snapshot,
    dialect: Dialect,
    head: Parts,
    body: B,
    asker: &Asker<'_>,
    account: &mut Account,
) -> Result<Good, Refusal>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: std::error::Error + 'static,
{
    let stores = &line.shared.stores;
    let asked = Asked::of(&head).ok_or_else(|| Fault::internal("a path that is not forwarded was to be"))?;
    asked.check()?;
    let own_deadline = timeout(&head.headers)?.map(|timeout| account.record.started + timeout);
    let mut payload = Payload::read(&head, body, &stores.bounds, stores.held.open(), asked.provider.is_some()).await?;
    account.record.receiving = clock::now().duration_since(account.record.started);
    account.record.request_bytes = payload.begun.len() as u64;
    let query = head.uri.query().and_then(without_key);
    let in_path = asked.model.as_ref().map(|(name, _)| name.clone());
    let model =
        in_path.or_else(|| query.as_deref().and_then(model_of_query)).or_else(|| payload.model.as_ref().map(|(name, _)| name.clone()));
    let ways = Ways::find(snapshot, &asked, model.as_deref(), stores)?;
    account.record.model = ways.route.as_ref().map(|route| Arc::clone(&route.name));
    if let (Some(key), Some(model)) = (asker.key, &model) {
        key.may_ask(model).map_err(|refused| refused.fault())?;
    }
    let upper = upper(&head, &payload, &ways, line.shared.env.wall.now());

    let plan = Plan::new(asked, dialect, own_deadline, query, head, &payload, &ways);

    let subject = Subject::of(&line.shared, &snapshot.limits, asker, Operation::Opaque);
    let payer = Payer { limits: &snapshot.limits, subject: &subject };
    let name = account.record.model.clone().unwrap_or_default();
    admission::check_journal(&line.shared)?;
    admission::admit_unread(&line.shared, payer, dialect, name, upper, own_deadline, account).await?;

    // Only what has been read whole can be sent again.
    if ways.all.first().is_some_and(|way| signs_bodies(&way.provider)) {
        payload.read_rest(&stores.bounds).await?;
    }
    let mut policy = ways.retry;
    if payload.rest.is_some() || plan.socket {
        policy.attempts = 1;
    }
    let deadline = own_deadline.unwrap_or(account.record.started + ways.timeout.total);
    let healths: Vec<_> = ways.all.iter().map(|way| Arc::clone(&way.names.state.health)).collect();
    let rng = line.shared.env.rng.fork();
    let mut tries = Tries::new(0..ways.all.len(), policy, plan.repeatable, deadline, rng, Arc::clone(&ways.retries));
    let mut last: Option<Refusal> = None;
    loop {
        let Some(permit) = tries.begin(&healths, clock::now()) else {
            return Err(last.unwrap_or_else(|| Fault::internal("nobody was asked").into()));
        };
        let way = &ways.all[tries.index];
        if plan.ask.metered && tries.made() == 1 {
            account.intend(&way.names);
        }
        account.asks(&way.names, tries.made());
        let begun = payload.with_model(way.model.as_deref());
        let mut sent = None;
        let tried = match (plan.socket, payload.rest.take()) {
            (true, _) => plan.switch(line, way, permit.key(), &mut account.record, &mut sent).await,
            (false, Some(rest)) => {
                let (upload, body) = Upload::new(begun, rest, stores.bounds.body_idle_timeout);
                let sending = (Body::Stream(Box::pin(body)), Some(upload));
                plan.once(line, way, permit.key(), sending, &mut account.record, &mut sent).await
            }
            (false, None) => plan.once(line, way, permit.key(), (Body::Full(begun), None), &mut account.record, &mut sent).await,
        };
        let mut refusal = match tried {
            Ok(good) => {
                permit.succeeded(clock::now());
                account.served =
                    Some(Served { judges: None, quote: Arc::clone(&way.names.quote), at: line.shared.env.wall.now(), learns: None });
                way.names.meters.attempt_succeeded(&stores.sinks.meters, Operation::Opaque);
                return Ok(good);
            }
            Err(refusal) => refusal,
        };
        answer::redact_fault(&mut refusal.fault, sent.as_ref());
        stores.sinks.meters.attempt(&way.names.meters, refusal.fault.kind.label());
        permit.failed(&refusal.fault, clock::now());
        let Some(wait) = tries.next(&refusal.fault, &healths, clock::now()) else { return Err(refusal) };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        last = Some(refusal);
    }
}

/// What a request may come to that nobody reads: of JSON for a model with a price, what it holds to be read.
fn upper<B>(head: &Parts, payload: &Payload<B>, ways: &Ways, at: SystemTime) -> Upper {
    let json = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let Some(way) = ways.all.first().filter(|_| json && ways.route.is_some()) else { return Upper::default() };
    let input_tokens = tokens_of_bytes(payload.begun.len() as u64);
    let cost = charge::bound(way.names.quote.tariff(), at, None, &charge::Upper { input_tokens, ..charge::Upper::default() });
    Upper { estimate: Estimate { input_tokens, output_tokens: 0, cost }, open_ended: true }
}

/// What all tries of one exchange share.
struct Plan {
    asked: Asked,
    outgoing: Outgoing,
    ask: Ask,
    /// Whether it does no harm to ask again where a provider may have acted.
    repeatable: bool,
    /// Whether a WebSocket is asked for.
    socket: bool,
}

impl Plan {
    fn new<B>(
        asked: Asked,
        dialect: Dialect,
        deadline: Option<Instant>,
        query: Option<String>,
        mut head: Parts,
        payload: &Payload<B>,
        ways: &Ways,
    ) -> Self {
        let socket = is_handshake(&head);
        let handshake = socket.then(|| socket::handshake(&head.headers));
        let host = head.headers.get(header::HOST).cloned();
        keep_forwardable(&mut head.headers, payload.rest.is_some());
        let may_have_body = matches!(head.method, Method::POST | Method::PUT | Method::PATCH);
        if may_have_body && payload.rest.is_none() && payload.begun.is_empty() {
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        head.headers.extend(handshake.into_iter().flatten());
        // Done twice it does no harm where it is a model's answer, or where HTTP says so.
        let repeatable = ways.route.is_some() || head.method.is_idempotent();
        let ask = Ask {
            method: head.method.clone(),
            metered: head.method == Method::POST && !asked.rest.ends_with("/cancel"),
            dialect,
            host,
            idle: ways.timeout.idle,
            limits: Limits { connect: ways.timeout.connect, answer: ways.timeout.total, deadline },
        };
        let outgoing = Outgoing { method: head.method, headers: head.headers, query };
        Self { asked, outgoing, ask, repeatable, socket }
    }

    /// One try at one provider. `secret` is told what went out with it.
    async fn once(
        &self,
        line: &Pipeline,
        way: &Way,
        key: usize,
        (body, upload): (Body, Option<Upload>),
        record: &mut Record,
        secret: &mut Option<Secret>,
    ) -> Result<Good, Refusal> {
        // A signature is over the body, which has been read whole for it.
        let signed = if let Body::Full(bytes) = &body { bytes.clone() } else { Bytes::new() };
        let mut request = self.outgoing.request(&self.asked, way, body)?;
        *secret = line.shared.credentials.authorize(&line.upstream, &way.provider, key, &mut request, &signed).await?;
        record.overhead = Some(clock::now().duration_since(record.started).saturating_sub(record.receiving));
        let sent = self.outgoing.send(&line.upstream, way, request, upload.as_ref(), self.ask.limits).await;
        if let Some(upload) = &upload {
            record.request_bytes = upload.bytes();
        }
        self.ask.judge(line, way, sent?, upload, record, secret.as_ref()).await
    }

    /// One try at a WebSocket. `secret` is told what went out with it.
    async fn switch(
        &self,
        line: &Pipeline,
        way: &Way,
        key: usize,
        record: &mut Record,
        secret: &mut Option<Secret>,
    ) -> Result<Good, Refusal> {
        let mut request = self.outgoing.request(&self.asked, way, Body::Empty)?;
        *secret = line.shared.credentials.authorize(&line.upstream, &way.provider, key, &mut request, b"").await?;
        record.stream = true;
        record.overhead = Some(clock::now().duration_since(record.started).saturating_sub(record.receiving));
        match self.outgoing.switch(&line.upstream, way, request, self.ask.limits).await? {
            Switched::Tunnel(response) => Ok(socket::switched(response, line.shared.drain.cut_signal())),
            Switched::Refused(response) => self.ask.judge(line, way, response, None, record, secret.as_ref()).await,
        }
    }
}
