//! The facts of one exchange, filled along the line and told once, at its end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::metrics::{ExchangeMeters, Meters, Outcome};
use crate::base::clock::{self, Instant, SystemClock, WallClock};
use crate::base::money::NanoUsd;
use crate::base::rng::ExchangeId;
use crate::base::{Fault, FaultKind, Origin};
use crate::config::Key;
use crate::ir::{Dialect, FinishReason, Operation, Usage};

/// How an exchange ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// The answer is whole, as its own end mark says.
    Complete,
    /// The caller went away; what was produced until then counts.
    ClientGone,
    /// Refused or failed, before or in mid-stream.
    Failed(Box<Fault>),
}

/// Where finished exchanges are told.
pub struct Sinks {
    /// The metrics.
    pub meters: Meters,
    /// The team and app of this sidecar, told in every line.
    pub team: String,
    /// See `team`.
    pub app: String,
    /// The newest failures, for the status page.
    pub failures: Failures,
}

/// The newest failures, oldest first: enough to see what is wrong now.
#[derive(Default)]
pub struct Failures {
    kept: Mutex<VecDeque<Failure>>,
}

/// One failure, without anything that the caller or the provider wrote.
#[derive(Clone)]
pub struct Failure {
    /// Which exchange.
    pub id: ExchangeId,
    /// When it ended.
    pub at: SystemTime,
    /// What went wrong.
    pub kind: FaultKind,
    /// Who was asked last.
    pub target: Option<Arc<str>>,
    /// The status told to the app.
    pub status: Option<u16>,
    /// Our own cause.
    pub cause: Option<String>,
}

/// How many failures are kept.
const FAILURES_MAX: usize = 20;

impl Failures {
    fn add(&self, failure: Failure) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= FAILURES_MAX {
            kept.pop_front();
        }
        kept.push_back(failure);
    }

    /// The failures, oldest first.
    pub fn all(&self) -> Vec<Failure> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// What is known of one exchange.
pub struct Record {
    /// Its name.
    pub id: ExchangeId,
    /// When its head arrived.
    pub started: Instant,
    /// What was asked for.
    pub operation: Option<Operation>,
    /// What the app speaks.
    pub dialect: Option<Dialect>,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// The alias or model asked for, once it is known to exist.
    pub model: Option<Arc<str>>,
    /// The rule that named the model.
    pub rule: Option<Arc<str>>,
    /// The outrider key that was presented.
    pub key: Option<Arc<Key>>,
    /// The limit that sent the exchange on to that model instead of the one asked for.
    pub degraded_by: Option<Arc<str>>,
    /// Who answered, or was asked last: `provider/model`, and its meters.
    pub target: Option<(Arc<str>, Arc<ExchangeMeters>)>,
    /// Tries made.
    pub attempts: u32,
    /// Tokens of the prompt, by estimate, that went to targets which were given up: they lost a race, or took too long.
    pub lost_tokens: u64,
    /// The status told to the app.
    pub status: Option<u16>,
    /// From the start to the first content.
    pub first_token: Option<Duration>,
    /// What the caller took to send its body, and what it stood in line.
    pub receiving: Duration,
    /// Outrider's own share.
    pub overhead: Option<Duration>,
    /// Tokens, as far as they were told.
    pub usage: Usage,
    /// What it costs, and what was lost to hedges with it; `None` where nothing was asked of a priced target.
    pub cost: Option<NanoUsd>,
    /// Whether the price is not known, so that the cost is a pessimistic guess.
    pub price_unknown: bool,
    /// Which prices were taken.
    pub price_revision: u64,
    /// Text bytes produced so far: the base of an estimate where the usage never comes.
    pub output_bytes: u64,
    /// Whether counters above are an estimate of ours.
    pub estimated: bool,
    /// Why the answer ended.
    pub finish: Option<FinishReason>,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer, where it was forwarded unread.
    pub response_bytes: u64,
    /// Members lost in translation.
    pub losses: usize,
}

impl Record {
    /// An exchange that begins now.
    pub fn begin(id: ExchangeId, now: Instant) -> Self {
        Self {
            id,
            started: now,
            operation: None,
            dialect: None,
            stream: false,
            model: None,
            rule: None,
            key: None,
            degraded_by: None,
            target: None,
            attempts: 0,
            lost_tokens: 0,
            status: None,
            first_token: None,
            receiving: Duration::ZERO,
            overhead: None,
            usage: Usage::default(),
            cost: None,
            price_unknown: false,
            price_revision: 0,
            output_bytes: 0,
            estimated: false,
            finish: None,
            request_bytes: 0,
            response_bytes: 0,
            losses: 0,
        }
    }

    /// Tells metrics and log. Called once, by the account.
    pub fn tell(&self, ending: &Ending, sinks: &Sinks) {
        let duration = clock::now().duration_since(self.started);
        let (outcome, failed) = match ending {
            Ending::Complete => ("complete", false),
            Ending::ClientGone => ("client_gone", true),
            Ending::Failed(fault) => (fault.kind.label(), true),
        };
        match (&self.target, self.operation) {
            (Some((_, meters)), Some(operation)) => {
                if self.price_unknown {
                    sinks.meters.price_unknown(meters);
                }
                meters.exchange(
                    &sinks.meters,
                    &Outcome {
                        operation,
                        outcome,
                        failed,
                        duration,
                        first_token: self.first_token,
                        overhead: self.overhead,
                        usage: &self.usage,
                        cost: self.cost.unwrap_or_default(),
                    },
                )
            }
            (None, operation) => {
                let kind = match ending {
                    Ending::Failed(fault) => Some(fault.kind),
                    Ending::ClientGone => Some(FaultKind::Truncated),
                    // A list of models, a sign of life: nothing reached a provider, nothing failed.
                    Ending::Complete => None,
                };
                if let Some(kind) = kind {
                    sinks.meters.refused(operation, kind);
                }
            }
            (Some(_), None) => {}
        }
        if let Ending::Failed(fault) = ending {
            sinks.failures.add(Failure {
                id: self.id,
                at: SystemClock.now(),
                kind: fault.kind,
                target: self.target.as_ref().map(|(name, _)| Arc::clone(name)),
                status: self.status,
                cause: fault.operator_text.as_deref().map(|cause| short(cause).to_owned()),
            });
        }
        self.log(ending, outcome, duration, sinks);
    }

    fn log(&self, ending: &Ending, outcome: &'static str, duration: Duration, sinks: &Sinks) {
        let fault = match ending {
            Ending::Failed(fault) => Some(&**fault),
            _ => None,
        };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let cost = self.cost.map(|cost| cost.to_string());
        let key = self.key.as_deref();
        let team = key.and_then(|key| key.team.as_deref()).unwrap_or(&sinks.team);
        let app = key.and_then(|key| key.app.as_deref()).unwrap_or(&sinks.app);
        let id = self.id.digits();
        let id = std::str::from_utf8(&id).unwrap_or_default();
        // The vendor's message is left out: it may quote the prompt. Its code, our own cause and the place are not secret.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    message = "exchange",
                    id,
                    team,
                    app,
                    key = key.map(|key| key.name.as_str()),
                    operation = self.operation.map(Operation::label),
                    dialect = self.dialect.map(Dialect::label),
                    model = self.model.as_deref(),
                    rule = self.rule.as_deref(),
                    degraded_by = self.degraded_by.as_deref(),
                    target_model = self.target.as_ref().map(|(name, _)| &**name),
                    stream = self.stream,
                    status = self.status.map(u64::from),
                    outcome,
                    attempts = u64::from(self.attempts),
                    lost_tokens = (self.lost_tokens > 0).then_some(self.lost_tokens),
                    duration_us = micros(duration),
                    first_token_us = self.first_token.map(micros),
                    overhead_us = self.overhead.map(micros),
                    input_tokens = self.usage.input_tokens,
                    cache_read_tokens = self.usage.cache_read_tokens,
                    cache_write_tokens = self.usage.cache_write_tokens,
                    output_tokens = self.usage.output_tokens,
                    reasoning_tokens = self.usage.reasoning_tokens,
                    cost_usd = cost.as_deref(),
                    price_unknown = self.price_unknown.then_some(true),
                    estimated = self.estimated.then_some(true),
                    finish = self.finish.map(FinishReason::label),
                    request_bytes = self.request_bytes,
                    response_bytes = (self.response_bytes > 0).then_some(self.response_bytes),
                    losses = (self.losses > 0).then_some(self.losses as u64),
                    error_origin = fault.map(|f| f.origin.label()),
                    error_status = fault.and_then(|f| f.status).map(u64::from),
                    error_code = fault.and_then(|f| f.code.as_deref()).map(short),
                    error_param = fault.and_then(|f| f.param.as_deref()).map(short),
                    error_cause = fault.and_then(|f| f.operator_text.as_deref()),
                )
            };
        }
        match fault.map(|f| f.origin) {
            Some(Origin::Upstream | Origin::Gateway) => line!(warn),
            _ => line!(info),
        }
    }
}

/// A caller or a provider chose these words: their length is theirs too.
fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(200)]
}
