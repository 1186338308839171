//! One try at one target: the request made for it, sent, and its answer judged.
//!
//! A try changes nothing but what it returns, so that two may run side by side and the loser be dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap};

use super::Pipeline;
use super::answer::{self, Refusal};
use super::embed;
use super::good::{Content, Good};
use super::held::Hold;
use super::ingress::Call;
use super::outbound::{self, Prepared};
use super::passing::Mode;
use super::relay::{Parts, Patience, Relay};
use super::snapshot::{Route, RouteTarget};
use crate::base::clock::{self, Instant};
use crate::base::framing::Framing;
use crate::base::json::Raw;
use crate::base::rng::ExchangeId;
use crate::base::{Fault, FaultKind, Secret};
use crate::config::{Place, Provider, Target};
use crate::dialect::{Notes, Reply, codec};
use crate::echo;
use crate::ir::{FinishReason, Operation, Usage};
use crate::telemetry::Record;
use crate::upstream::{AnswerBody, SendError, SendErrorKind};

/// A provider's error body is read up to this.
pub(super) const ERROR_BYTES_MAX: usize = 1 << 20;
/// No bound between two pieces; another one holds.
const NO_IDLE: Option<Duration> = None;

/// One try.
#[derive(Clone, Copy)]
pub(super) struct Try<'t> {
    /// The worker's line.
    pub line: &'t Pipeline,
    /// What is asked.
    pub call: &'t Call,
    /// The model asked for.
    pub route: &'t Route,
    /// Which of its targets.
    pub index: usize,
    /// With which of its provider's keys.
    pub key: usize,
    /// When it must have shown content.
    pub due: Instant,
    /// When all must be over.
    pub deadline: Instant,
    /// Which exchange it is for.
    pub exchange: Exchange,
}

/// What a try must know of its exchange.
#[derive(Clone, Copy)]
pub(super) struct Exchange {
    /// Its name.
    pub id: ExchangeId,
    /// When its head arrived.
    pub started: Instant,
    /// What the caller took to send its body.
    pub receiving: Duration,
}

impl Exchange {
    /// The exchange of a record.
    pub(super) fn of(record: &Record) -> Self {
        Self { id: record.id, started: record.started, receiving: record.receiving }
    }
}

/// A try that ended well.
pub(super) struct Tried {
    /// The answer.
    pub good: Good,
    /// What is known of it so far.
    pub learnt: Learnt,
}

/// What is known of an answer before it leaves: of a stream little, of a whole answer everything.
#[derive(Default)]
pub(super) struct Learnt {
    /// Tokens, as far as they were told.
    pub usage: Usage,
    /// Why the answer ended.
    pub finish: Option<FinishReason>,
    /// Text bytes of the answer.
    pub output_bytes: u64,
    /// Outrider's own share of the time.
    pub overhead: Duration,
}

impl Learnt {
    /// Takes it over into the exchange's record.
    pub(super) fn fill(self, record: &mut Record) {
        record.usage = self.usage;
        record.finish = self.finish;
        record.output_bytes = self.output_bytes;
        record.overhead = Some(self.overhead);
    }
}

impl<'t> Try<'t> {
    /// The target.
    pub(super) fn target(&self) -> &'t Target {
        &self.route.model.targets[self.index]
    }

    /// The target's names.
    fn names(&self) -> &'t RouteTarget {
        &self.route.targets[self.index]
    }

    /// Runs it, within its time. Dropping the future cancels the request upstream.
    ///
    /// # Errors
    /// Why there is no good answer; nothing in it tells the secret that was sent.
    pub(super) async fn run(&self) -> Result<Tried, Refusal> {
        let mut sent = None;
        self.attempt(&mut sent).await.map_err(|mut refusal| {
            answer::redact_fault(&mut refusal.fault, sent.as_ref());
            refusal
        })
    }

    async fn attempt(&self, sent: &mut Option<Secret>) -> Result<Tried, Refusal> {
        let mut prepared = outbound::prepare(self.call, &self.route.model, self.target())?;
        let sent_at = clock::now();
        let due = self.due;
        let answered = tokio::time::timeout_at(due, self.ask_all(&prepared, sent)).await;
        let answer = match answered {
            Ok(answer) => answer?,
            Err(_) => {
                let over = humantime::format_duration(due.duration_since(sent_at)).to_string();
                let what = if self.call.stream { "no content" } else { "no answer" };
                let text = format!("{} gave {what} within {over}.", self.names().label);
                return Err(Fault::upstream(FaultKind::Timeout, text).into());
            }
        };
        let back_at = clock::now();
        let mut tried = self.understand(&mut prepared, answer, sent.as_ref()).await?;
        let until = if self.call.stream { sent_at } else { clock::now() };
        let waited = if self.call.stream { Duration::ZERO } else { back_at.duration_since(sent_at) };
        tried.learnt.overhead = until.duration_since(self.exchange.started).saturating_sub(waited).saturating_sub(self.exchange.receiving);
        Ok(tried)
    }

    /// Asks with the one call that a request mostly is, or with all that it became.
    async fn ask_all(&self, prepared: &Prepared, sent: &mut Option<Secret>) -> Result<Answered, Refusal> {
        match &prepared.embed {
            Some(asked) if asked.has_several_calls() => Box::pin(embed::ask_each(self, prepared, asked, sent)).await,
            _ => self.ask(prepared, sent).await,
        }
    }

    /// Sends, and reads what of the answer must be read before it can be judged.
    pub(super) async fn ask(&self, prepared: &Prepared, sent: &mut Option<Secret>) -> Result<Answered, Refusal> {
        let Self { line, call, .. } = *self;
        let (target, timeout) = (self.target(), &self.route.model.timeout);
        let bounds = &line.shared.stores.bounds;
        let response = match &target.provider.place {
            Place::Echo => echo::answer(&prepared.body, call.endpoint.operation).map_err(Refusal::from)?,
            Place::Http(site) => {
                let mut request = outbound::request(call, target, prepared)?;
                let credentials = &line.shared.credentials;
                *sent = credentials.authorize(&line.upstream, &target.provider, self.key, &mut request, &prepared.body).await?;
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
            let mut refusal = answer::refusal(provider, caller, head.status, head.headers, body, sent.as_ref());
            if head.status.is_redirection() {
                // An app that follows it would go past this process, to a place of the upstream's choice, with its own key.
                refusal.raw = None;
            }
            return Err(refusal);
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
                Err(told
                    .unwrap_or_else(|| unlike(&target.provider, &format!("`{content_type}` where an event stream was asked for")))
                    .into())
            }
            (false, true) => Err(unlike(&target.provider, "an event stream where one answer was asked for").into()),
            (false, false) => {
                // Some hosts send the head at once and then think: only the deadline bounds a whole answer.
                let body = answer::collect(body, bounds.answer_bytes_max, NO_IDLE, &mut hold).await?;
                Ok(Answered { headers: head.headers, body: AnsweredBody::Whole(body, hold) })
            }
        }
    }

    /// Judges a good head's content, and turns it into the caller's dialect where that is another.
    async fn understand(&self, prepared: &mut Prepared, answered: Answered, secret: Option<&Secret>) -> Result<Tried, Refusal> {
        if let Some(asked) = prepared.embed.take() {
            return Ok(embed::understand(self, prepared, &asked, answered)?);
        }
        match answered.body {
            AnsweredBody::Whole(body, hold) if !prepared.translated => Ok(self.keep_whole(prepared, answered.headers, body, hold)?),
            AnsweredBody::Whole(body, hold) => Ok(self.translate_whole(prepared, answered.headers, &body, hold)?),
            AnsweredBody::Several(_) => Err(Fault::internal("several answers to what was asked once").into()),
            AnsweredBody::Stream(body) => Ok(self.begin_stream(prepared, answered.headers, body, secret).await?),
        }
    }

    /// What the encoders of the caller's dialect must know.
    fn reply(&self, notes: &Notes) -> Reply {
        Reply {
            id: self.exchange.id,
            model: self.call.model.clone(),
            created: self.line.shared.env.wall.unix_seconds(),
            stream_usage: self.call.stream_usage,
            input_tokens_estimate: super::account::tokens_of_bytes(self.call.body.len() as u64),
            tools: notes.tools.clone(),
            framing: self.call.endpoint.framing,
        }
    }

    fn keep_whole(&self, prepared: &mut Prepared, mut headers: HeaderMap, body: Bytes, hold: Hold) -> Result<Tried, Fault> {
        let mut learnt = Learnt::default();
        if matches!(self.call.endpoint.operation, Operation::Chat | Operation::Embeddings) {
            let observed = codec(prepared.dialect).observe_answer(&body)?;
            learnt.usage = observed.usage.unwrap_or_default();
            learnt.finish = observed.finish;
            learnt.output_bytes = body.len() as u64;
        } else {
            Raw::parse(&body).map_err(|error| unlike(&self.target().provider, &format!("a body that is not JSON: {error}")))?;
        }
        answer::keep_answer_headers(&mut headers);
        let content = Content::Whole(body, Some(hold));
        Ok(Tried { good: Good { status: StatusCode::OK, headers, content, losses: std::mem::take(&mut prepared.notes.losses) }, learnt })
    }

    fn translate_whole(&self, prepared: &mut Prepared, headers: HeaderMap, body: &[u8], mut hold: Hold) -> Result<Tried, Fault> {
        let caller = self.call.endpoint.dialect;
        let notes = &mut prepared.notes;
        let answer = codec(prepared.dialect).decode_answer(body)?;
        let learnt = Learnt {
            usage: answer.usage.unwrap_or_default(),
            finish: answer.finish.as_ref().map(|finish| finish.reason),
            output_bytes: body.len() as u64,
            ..Learnt::default()
        };
        let reply = self.reply(notes);
        let mut out = Vec::with_capacity(body.len() + 256);
        codec(caller).encode_answer(&answer, &reply, notes, &mut out);
        if !hold.set(out.len()) {
            return Err(super::ingress::no_room());
        }
        let headers = answer::translated_answer_headers(&headers, caller, self.exchange.id, None);
        let content = Content::Whole(out.into(), Some(hold));
        Ok(Tried { good: Good { status: StatusCode::OK, headers, content, losses: std::mem::take(&mut notes.losses) }, learnt })
    }

    /// Reads a stream up to its first content.
    async fn begin_stream(
        &self,
        prepared: &mut Prepared,
        mut headers: HeaderMap,
        body: AnswerBody,
        secret: Option<&Secret>,
    ) -> Result<Tried, Fault> {
        let Self { line, call, .. } = *self;
        let caller = codec(call.endpoint.dialect);
        let mode = match prepared.translated {
            true => Mode::Translate(caller.stream_encoder(self.reply(&prepared.notes))),
            false => Mode::Forward { withhold_usage: prepared.withhold_usage },
        };
        let mut relay = Box::new(Relay::new(Parts {
            upstream: body,
            provider: codec(prepared.dialect),
            caller,
            mode,
            framing: prepared.framing,
            id: self.exchange.id,
            secret: secret.cloned(),
            patience: Patience { idle: self.route.model.timeout.idle, deadline: self.deadline },
            event_bytes_max: line.shared.stores.bounds.event_bytes_max,
            ends_without_mark: self.target().traits.ends_without_mark,
            cut: line.shared.drain.cut_signal(),
            sinks: Arc::clone(&line.shared.stores.sinks),
        }));
        match tokio::time::timeout_at(self.due, relay.prime()).await {
            Ok(primed) => primed?,
            Err(_) => {
                let text = format!("{} gave no content in time.", self.names().label);
                return Err(Fault::upstream(FaultKind::Timeout, text));
            }
        }
        if prepared.translated {
            headers = answer::translated_answer_headers(&headers, call.endpoint.dialect, self.exchange.id, Some(call.endpoint.framing));
        } else {
            answer::keep_answer_headers(&mut headers);
        }
        let good =
            Good { status: StatusCode::OK, headers, content: Content::Stream(relay), losses: std::mem::take(&mut prepared.notes.losses) };
        Ok(Tried { good, learnt: Learnt::default() })
    }
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
