//! The codec against hand-written fixtures, against its laws, and against recorded traffic where that is present.

mod answers;
mod corpus;
mod decode;
mod encode;
mod errors;
mod laws;
mod sequences;
mod streams;

use serde_json::Value;

use super::Bedrock;
use crate::base::framing::Framing;
use crate::dialect::tests::{self, json, losses};
use crate::dialect::{Codec, Notes, Reply};
use crate::ir::{Answer, ModelTraits, Part, Request};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-6";
const NOVA: &str = "us.amazon.nova-lite-v1:0";

fn reply() -> Reply {
    tests::reply(Framing::EventStream)
}

/// The request as `model` gets it, and what was lost.
fn encoded(request: &Request<'_>, model: &str, traits: &ModelTraits) -> (Value, Notes) {
    tests::written(&Bedrock, request, model, traits).unwrap_or_else(|fault| panic!("{fault}"))
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

fn decoded(body: &str) -> Request<'_> {
    Bedrock.decode_request(body.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {body}"))
}
