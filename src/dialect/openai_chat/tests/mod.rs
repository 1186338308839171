//! What the codec promises, as tables and as laws.

mod answers;
mod corpus;
mod errors;
mod laws;
mod requests;
mod streams;

use serde_json::{Value, json};

use super::OpenAiChat;
use crate::base::Fault;
use crate::base::framing::Framing;
use crate::dialect::openai::tests::{said, told};
use crate::dialect::tests::{self, json as value};
use crate::dialect::{Codec, Notes, Reply};
use crate::ir::{Answer, Event, Fold, ModelTraits, Part, Request};

fn traits() -> ModelTraits {
    ModelTraits { replays_reasoning: true, ..ModelTraits::default() }
}

/// A request as it would be written, and what was lost.
fn written(request: &Request<'_>, traits: &ModelTraits) -> Result<(Value, Notes), Fault> {
    tests::written(&OpenAiChat, request, &request.model, traits)
}

fn reply() -> Reply {
    tests::reply(Framing::Sse)
}

/// The events of a stream folded, and the order of what was told.
fn folded(wire: &[u8]) -> Result<(Fold, Vec<String>), Fault> {
    told(&OpenAiChat, wire)
}

/// What an answer says, without how it is cut and spelled.
fn meaning(answer: &Answer<'_>) -> Value {
    let mut parts: Vec<(String, String)> = Vec::new();
    for (kind, text) in said(answer) {
        match parts.last_mut() {
            Some((last, joined)) if *last == kind && matches!(&*kind, "text" | "refusal" | "reasoning ") => joined.push_str(&text),
            _ => parts.push((kind, text)),
        }
    }
    let read = |text: &crate::ir::Text<'_>| text.read().into_owned();
    json!({
        "id": answer.id.as_ref().map(read), "model": answer.model.as_ref().map(read), "created": answer.created,
        "parts": parts,
        "finish": answer.finish.as_ref().map(|f| format!("{:?} {}", f.reason, f.stop_sequence.as_ref().map(read).unwrap_or_default())),
        "usage": answer.usage.map(|u| format!("{u:?}")),
    })
}
