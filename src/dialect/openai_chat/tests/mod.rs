//! What the codec promises, as tables and as laws.

mod answers;
mod corpus;
mod errors;
mod laws;
mod requests;
mod streams;

use bytes::Bytes;
use serde_json::{Value, json};

use super::OpenAiChat;
use crate::base::Fault;
use crate::base::rng::RootRng;
use crate::base::sse::Framer;
use crate::dialect::{Codec, Notes, Reply, ToolNames};
use crate::ir::{Answer, Event, Fold, ModelTraits, Part, Request};

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

fn traits() -> ModelTraits {
    ModelTraits { replays_reasoning: true, ..ModelTraits::default() }
}

/// A request as it would be written, and what was lost.
fn written(request: &Request<'_>, traits: &ModelTraits) -> Result<(Value, Notes), Fault> {
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    OpenAiChat.encode_request(request, &request.model, traits, &mut notes, &mut out)?;
    Ok((value(&out), notes))
}

fn reply() -> Reply {
    Reply {
        id: RootRng::seeded(1).fork().exchange_id(),
        model: "gpt-x".to_owned(),
        created: 1_700_000_000,
        stream_usage: true,
        input_tokens_estimate: 0,
        tools: ToolNames::default(),
        framing: crate::base::framing::Framing::Sse,
    }
}

/// The events of a stream folded, and the order of what was told.
fn folded(wire: &[u8]) -> Result<(Fold, Vec<String>), Fault> {
    let (mut fold, mut told) = (Fold::default(), Vec::new());
    let mut decoder = OpenAiChat.stream_decoder();
    let mut result = Ok(());
    let mut framer = Framer::new(1 << 24);
    let pushed = framer.push(Bytes::copy_from_slice(wire), |frame| {
        if result.is_ok() {
            result = decoder.decode(&frame, &mut |event| {
                told.push(label(&event));
                fold.add(&event);
            });
        }
    });
    assert!(pushed.is_ok());
    result.map(|()| (fold, told))
}

fn label(event: &Event<'_>) -> String {
    match event {
        Event::Start { .. } => "start".into(),
        Event::PartStart { index, .. } => format!("+{index}"),
        Event::PartDelta { index, .. } => format!("{index}"),
        Event::PartEnd { index } => format!("-{index}"),
        Event::Usage(_) => "usage".into(),
        Event::Finish(_) => "finish".into(),
        Event::Ping => "ping".into(),
        Event::Fault(_) => "fault".into(),
        Event::End => "end".into(),
    }
}

/// What an answer says, without how it is cut and spelled.
fn meaning(answer: &Answer<'_>) -> Value {
    let read = |text: &crate::ir::Text<'_>| text.read().into_owned();
    let mut parts: Vec<(String, String)> = Vec::new();
    for part in &answer.parts {
        let (kind, text) = match part {
            Part::Text { text, .. } => ("text".to_owned(), read(text)),
            Part::Refusal(text) => ("refusal".to_owned(), read(text)),
            Part::Reasoning { text, signature } => (format!("reasoning {}", signature.as_ref().map(read).unwrap_or_default()), read(text)),
            Part::RedactedReasoning(data) => ("redacted".to_owned(), read(data)),
            Part::ToolCall { id, name, arguments, custom, .. } => {
                let arguments = if arguments.is_empty() && !custom { "{}".to_owned() } else { read(arguments) };
                (format!("call {} {} {custom}", read(id), read(name)), arguments)
            }
            _ => continue,
        };
        match parts.last_mut() {
            Some((last, joined)) if *last == kind && (kind == "text" || kind == "refusal" || kind == "reasoning ") => {
                joined.push_str(&text)
            }
            _ if text.is_empty() && (kind == "text" || kind == "refusal" || kind == "reasoning ") => {}
            _ => parts.push((kind, text)),
        }
    }
    json!({
        "id": answer.id.as_ref().map(read), "model": answer.model.as_ref().map(read), "created": answer.created,
        "parts": parts,
        "finish": answer.finish.as_ref().map(|f| format!("{:?} {}", f.reason, f.stop_sequence.as_ref().map(read).unwrap_or_default())),
        "usage": answer.usage.map(|u| format!("{u:?}")),
    })
}
