//! The codec against hand-written fixtures, against its laws, and against recorded traffic where that is present.

mod answers;
mod corpus;
mod decode;
mod encode;
mod errors;
mod laws;
mod streams;

use serde_json::Value;

use super::Gemini;
use crate::base::framing::Framing;
use crate::dialect::tests::{self, folded, json, losses, reply};
use crate::dialect::{Codec, Notes, StreamEncoder};
use crate::ir::{Answer, Event, Fold, ModelTraits, Part, Request, Usage};

/// The request as Gemini gets it, and what was lost.
fn encoded(request: &Request<'_>, traits: &ModelTraits) -> (Value, Notes) {
    tests::written(&Gemini, request, "gemini", traits).unwrap()
}

/// The events of a wire text in their debug form, and the answer they make.
fn decoded(wire: &[u8], framing: Framing) -> (Vec<String>, Fold) {
    let (fold, events) = folded(&Gemini, framing, wire, |event| format!("{event:?}")).unwrap();
    (events, fold)
}

/// The wire text of events, each handed over by `each`.
fn streamed(framing: Framing, each: impl FnOnce(&mut dyn FnMut(Event<'_>))) -> (Vec<u8>, Box<dyn StreamEncoder>) {
    let (mut encoder, mut out) = (Gemini.stream_encoder(reply(framing)), Vec::new());
    each(&mut |event| encoder.encode(&event, &mut out));
    (out, encoder)
}

/// What an answer says, without the seams between its texts and without the ids that were made up.
fn facts(answer: &Answer<'_>) -> Vec<String> {
    let mut facts: Vec<(&str, String)> = Vec::new();
    let mut tell = |kind: &'static str, said: String| match facts.last_mut() {
        _ if said.is_empty() => {}
        Some((last, text)) if *last == kind && matches!(kind, "text" | "thought") => text.push_str(&said),
        _ => facts.push((kind, said)),
    };
    for part in &answer.parts {
        match part {
            Part::Text { text, .. } | Part::Refusal(text) => tell("text", text.read().into_owned()),
            Part::Reasoning { text, signature } => {
                tell("thought", text.read().into_owned());
                tell("signature", signature.as_ref().map(|s| s.read().into_owned()).unwrap_or_default());
            }
            Part::RedactedReasoning(data) => tell("redacted", data.read().into_owned()),
            Part::ToolCall { name, arguments, .. } => {
                let arguments: Value = serde_json::from_str(&arguments.read()).unwrap();
                tell("call", format!("{} {arguments}", name.read()));
            }
            Part::Opaque { kind, .. } => tell("opaque", kind.clone().into_owned()),
            Part::ToolResult { .. } | Part::Media(_) => tell("other", "x".to_owned()),
        }
    }
    let mut facts: Vec<String> = facts.into_iter().map(|(kind, said)| format!("{kind}: {said}")).collect();
    facts.push(format!("{:?}", answer.finish.as_ref().map(|f| f.reason)));
    facts.push(format!("{:?}", answer.usage.map(Usage::writable)));
    facts
}
