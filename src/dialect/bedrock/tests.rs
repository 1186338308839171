//! The codec against hand-written fixtures, against its laws, and against recorded traffic where that is present.

mod answers;
mod corpus;
mod errors;
mod requests;
mod sequences;
mod streams;

use serde_json::Value;

use super::Bedrock;
use crate::base::framing::Framing;
use crate::base::rng::RootRng;
use crate::dialect::{Codec, Notes, Reply, ToolNames};
use crate::ir::{Answer, ModelTraits, Part, Request};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-6";
const NOVA: &str = "us.amazon.nova-lite-v1:0";

fn reply() -> Reply {
    Reply {
        id: RootRng::seeded(1).fork().exchange_id(),
        model: "asked-model".to_owned(),
        created: 1_700_000_000,
        stream_usage: true,
        input_tokens_estimate: 7,
        tools: ToolNames::default(),
        framing: Framing::EventStream,
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

fn losses(notes: &Notes) -> Vec<&str> {
    notes.losses.names().iter().map(|name| name.as_ref()).collect()
}

/// The request as `model` gets it, and what was lost.
fn encoded(request: &Request<'_>, model: &str, traits: &ModelTraits) -> (Value, Notes) {
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    Bedrock.encode_request(request, model, traits, &mut notes, &mut out).unwrap_or_else(|fault| panic!("{fault}"));
    (json(&out), notes)
}

/// What was said, in order, without parts that say nothing.
fn words(answer: &Answer<'_>) -> Vec<String> {
    let say = |part: &Part<'_>| match part {
        Part::Text { text, .. } | Part::Refusal(text) => (!text.is_empty()).then(|| format!("text {}", text.read())),
        Part::Reasoning { text, signature } => (!text.is_empty() || signature.is_some())
            .then(|| format!("thinking {} {}", text.read(), signature.as_ref().map(|s| s.read()).unwrap_or_default())),
        Part::RedactedReasoning(data) => Some(format!("redacted {}", data.read())),
        Part::ToolCall { id, name, arguments, .. } => {
            let arguments: Value = serde_json::from_str(&arguments.read()).unwrap_or_default();
            let arguments = if arguments.is_object() { arguments } else { serde_json::json!({}) };
            Some(format!("call {} {} {arguments}", id.read(), name.read()))
        }
        _ => None,
    };
    answer.parts.iter().filter_map(say).collect()
}
