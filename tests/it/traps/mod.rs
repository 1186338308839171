//! Bugs that other gateways and SDKs shipped, each a test by its number in the list that the project keeps of them.
//!
//! The name of a test begins with the trap's number; traps that do not apply are named in ARCHITECTURE.md with the reason.

mod errors;
mod line;
mod messages;
mod reasoning;
mod streams;
mod tools;
mod usage;

use http::{HeaderMap, StatusCode};
use outrider::base::framing::{Framer, Framing};
use outrider::base::rng::RootRng;
use outrider::base::{Fault, FaultKind};
use outrider::config::catalog;
use outrider::dialect::{Notes, Reply, codec};
use outrider::ir::{Dialect, Event, Fold};
use serde_json::Value;

pub use Dialect::{Anthropic as A, Bedrock as B, Gemini as G, OpenAiChat as C, OpenAiResponses as R};

/// A model of each dialect, with its kind of provider.
pub fn model_of(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        C | R => ("openai", "gpt-4.1-mini"),
        A => ("anthropic", "claude-haiku-4-5"),
        G => ("gemini", "gemini-2.5-flash"),
        B => ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
    }
}

/// A translated request, with what it lost and what it must remember for the way back.
#[derive(Debug)]
pub struct Sent {
    pub body: Value,
    pub notes: Notes,
}

impl Sent {
    /// Whether a loss of this name was told.
    pub fn lost(&self, name: &str) -> bool {
        self.notes.losses.names().iter().any(|lost| lost.contains(name))
    }
}

/// A request of one dialect, told to a provider of another.
pub fn tell(from: Dialect, to: Dialect, body: Value) -> Sent {
    try_tell(from, to, model_of(to), body).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The same for a model of one's choice, `(kind, model)`.
pub fn tell_model(from: Dialect, to: Dialect, model: (&str, &str), body: Value) -> Sent {
    try_tell(from, to, model, body).unwrap_or_else(|fault| panic!("{fault}"))
}

pub fn try_tell(from: Dialect, to: Dialect, (kind, model): (&str, &str), mut body: Value) -> Result<Sent, Fault> {
    if matches!(from, C | R | A) && body.get("model").is_none() {
        body["model"] = "asked".into();
    }
    if from == A && body.get("max_tokens").is_none() {
        body["max_tokens"] = 100.into();
    }
    let text = body.to_string();
    let request = codec(from).decode_request(text.as_bytes())?;
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    codec(to).encode_request(&request, model, &catalog::traits(kind, model), &mut notes, &mut out)?;
    Ok(Sent { body: serde_json::from_slice(&out).unwrap(), notes })
}

/// A writer's view of an exchange, in `caller`'s dialect.
pub fn reply(caller: Dialect) -> Reply {
    let id = RootRng::seeded(1).fork().exchange_id();
    let framing = codec(caller).framing();
    Reply {
        id,
        model: "asked".into(),
        created: 1_700_000_000,
        stream_usage: true,
        input_tokens_estimate: 7,
        tools: Default::default(),
        framing,
    }
}

/// A provider's whole answer, told to a caller of another dialect.
pub fn answer(from: Dialect, to: Dialect, body: Value) -> Value {
    let text = body.to_string();
    let answer = codec(from).decode_answer(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}"));
    let mut out = Vec::new();
    codec(to).encode_answer(&answer, &reply(to), &mut Notes::default(), &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// The meanings of a stream.
pub fn events(from: Dialect, framing: Framing, wire: &[u8], mut each: impl FnMut(Event<'_>)) {
    let mut decoder = codec(from).stream_decoder();
    let mut framer = Framer::new(framing, 1 << 20);
    let mut wire = wire.to_vec();
    if framing == Framing::Sse {
        wire.extend_from_slice(b"\n\n");
    }
    framer.push(wire.into(), |frame| decoder.decode(&frame, &mut each).unwrap_or_else(|fault| panic!("{fault}"))).unwrap();
}

/// A provider's SSE stream, told to a caller of another dialect: its text, with the end that the provider's grammar implies.
pub fn stream(from: Dialect, to: Dialect, wire: &str) -> String {
    String::from_utf8(stream_bytes(from, to, Framing::Sse, wire.as_bytes())).unwrap()
}

pub fn stream_bytes(from: Dialect, to: Dialect, framing: Framing, wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = codec(to).stream_encoder(reply(to));
    let mut over = false;
    events(from, framing, wire, |event| {
        over |= matches!(event, Event::End | Event::Fault(_));
        encoder.encode(&event, &mut out);
    });
    if !over {
        encoder.encode(&Event::End, &mut out);
    }
    out
}

/// What a caller's SDK makes of a stream.
pub fn fold(dialect: Dialect, wire: &str) -> Fold {
    let mut fold = Fold::default();
    events(dialect, Framing::Sse, wire.as_bytes(), |event| fold.add(&event));
    fold
}

/// The data of each event.
pub fn data(wire: &str) -> Vec<Value> {
    wire.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

/// Events of a dialect that names them in the data: `{"type": …}` objects.
pub fn named(events: &[Value]) -> String {
    events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect()
}

/// Events without a name.
pub fn unnamed(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// One chunk of OpenAI's older dialect.
pub fn chunk(delta: Value, finish: Option<&str>) -> Value {
    serde_json::json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

/// A stream of OpenAI's older dialect, with its end mark.
pub fn chunks(events: &[Value]) -> String {
    unnamed(events) + "data: [DONE]\n\n"
}

/// What a provider's error is.
pub fn kind_of(dialect: Dialect, status: u16, body: &str) -> FaultKind {
    codec(dialect).decode_error(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes()).kind
}

/// One message of Amazon's binary event stream.
pub fn binary(kind: &str, payload: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let how = if kind.ends_with("Exception") { (":exception-type", "exception") } else { (":event-type", "event") };
    let headers = [(how.0, kind), (":content-type", "application/json"), (":message-type", how.1)];
    outrider::base::eventstream::write(&headers, &mut out, |out| out.extend_from_slice(payload.to_string().as_bytes()));
    out
}
