//! Gemini `generateContent`, as the app speaks it and as a provider speaks it (Google's API and Vertex).
//!
//! Requests are read by `decode` (the conversation in `contents`) and written by `encode` (the conversation in `turns`
//! and `encode_contents`, tools in `tools`, thinking in `thinking`); `schema` turns the API's schemas into JSON Schema.
//! `answer` holds whole answers, `stream_decoder`, `partial` and `stream_encoder` streams, `error` failures; `parts`,
//! `finish`, `usage` and `wire` what they share.

mod answer;
mod contents;
mod decode;
mod embed;
mod encode;
mod encode_contents;
mod error;
mod finish;
mod partial;
mod parts;
mod schema;
mod stream_decoder;
mod stream_encoder;
#[cfg(test)]
mod tests;
mod thinking;
mod tools;
mod turns;
mod usage;
mod wire;

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Codec, EmbeddingsCodec, Notes, Observed, Reply, StreamDecoder, StreamEncoder};
use crate::base::Fault;
use crate::base::framing::Framing;
use crate::base::json::{self, Raw};
use crate::base::rng::ExchangeId;
use crate::ir::{Answer, Dialect, ModelTraits, Operation, Request};

/// What a segment of the path holds unescaped: RFC 3986's unreserved characters, and the `@` of Vertex's versions.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');
/// The same for a name of several segments.
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// The codec of Gemini's generateContent.
pub struct Gemini;

impl Codec for Gemini {
    fn dialect(&self) -> Dialect {
        Dialect::Gemini
    }

    fn path(&self, operation: Operation, model: &str, stream: bool) -> Option<Cow<'static, str>> {
        let method = match operation {
            Operation::Chat if stream => "streamGenerateContent",
            Operation::Chat => "generateContent",
            Operation::CountTokens => "countTokens",
            Operation::Models => return Some("/models".into()),
            Operation::Embeddings => "batchEmbedContents",
            Operation::Opaque => return None,
        };
        Some(path_of(model, method).into())
    }

    fn stream_query(&self) -> Option<&'static str> {
        Some("alt=sse")
    }

    fn request_id_header(&self) -> &'static str {
        "x-request-id"
    }

    fn known_members(&self) -> &'static [&'static str] {
        &[
            "contents",
            "systemInstruction",
            "system_instruction",
            "tools",
            "toolConfig",
            "tool_config",
            "generationConfig",
            "generation_config",
            "safetySettings",
            "safety_settings",
            "cachedContent",
            "cached_content",
            "labels",
            "serviceTier",
            "service_tier",
            "store",
            "generateContentRequest",
            "generate_content_request",
        ]
    }

    fn read_request<'a>(&self, root: Raw<'a>) -> Result<Request<'a>, Fault> {
        decode::request(root)
    }

    fn encode_request(
        &self,
        request: &Request<'_>,
        _: &str,
        traits: &ModelTraits,
        notes: &mut Notes,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        encode::request(request, traits, notes, out)
    }

    fn decode_answer<'a>(&self, body: &'a [u8]) -> Result<Answer<'a>, Fault> {
        answer::decode(body)
    }

    fn encode_answer(&self, answer: &Answer<'_>, reply: &Reply, notes: &mut Notes, out: &mut Vec<u8>) {
        answer::encode(answer, reply, &mut notes.losses, out);
    }

    fn observe_answer(&self, body: &[u8]) -> Result<Observed, Fault> {
        answer::observe(body)
    }

    fn decode_error(&self, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Fault {
        error::decode(status, body)
    }

    fn error_status(&self, fault: &Fault) -> StatusCode {
        error::status_and_word(fault.kind).0
    }

    fn encode_error(&self, fault: &Fault, _: ExchangeId, out: &mut Vec<u8>) {
        error::encode(fault, out);
    }

    fn encode_stream_error(&self, fault: &Fault, _: ExchangeId, framing: Framing, begun: bool, out: &mut Vec<u8>) {
        error::encode_event(fault, framing, begun, out);
    }

    fn encode_token_count(&self, tokens: u64, out: &mut Vec<u8>) -> bool {
        json::object(out, |o| o.u64("totalTokens", tokens));
        true
    }

    fn embeddings(&self) -> Option<&'static dyn EmbeddingsCodec> {
        Some(&embed::GeminiEmbeddings)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<stream_decoder::Decoder>::default()
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream_encoder::Encoder::new(reply))
    }
}

/// The path of a model's method.
fn path_of(model: &str, method: &str) -> String {
    let model = model.strip_prefix("models/").unwrap_or(model);
    // A tuned model is a collection of its own; a step upwards is no name.
    let collection = if model.starts_with("tunedModels/") { "" } else { "models/" };
    let climbs = model.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    let model = utf8_percent_encode(model, if climbs { SEGMENT } else { SEGMENTS });
    format!("/{collection}{model}:{method}")
}
