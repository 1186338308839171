//! Amazon Bedrock Converse, as the app speaks it and as the provider speaks it.
//!
//! Requests are read by `decode` and written by `encode` (the conversation in `blocks`, media in `media`, tools in
//! `tools`, what only some families of models take in `family`); `content` reads content blocks, of requests and of
//! answers; `answer` holds whole answers, `stream_decoder` and `stream_encoder` streams (`sequence` puts overlapping
//! parts in order), `error` failures, and `wire` what they share. What a Claude model wants is the Anthropic dialect's.

mod answer;
mod blocks;
mod content;
mod decode;
mod embed;
mod encode;
mod error;
mod family;
mod media;
mod read;
mod sequence;
mod stream_decoder;
mod stream_encoder;
#[cfg(test)]
mod tests;
mod tools;
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

/// The codec of the Converse API.
pub struct Bedrock;

/// What is not encoded in a path: the unreserved characters of RFC 3986. A model's ARN is one segment so, and the
/// signature of a request covers just this spelling.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Codec for Bedrock {
    fn dialect(&self) -> Dialect {
        Dialect::Bedrock
    }

    fn path(&self, operation: Operation, model: &str, stream: bool) -> Option<Cow<'static, str>> {
        match operation {
            Operation::Chat => {
                let method = if stream { "converse-stream" } else { "converse" };
                Some(format!("/model/{}/{method}", utf8_percent_encode(model, SEGMENT)).into())
            }
            Operation::Embeddings => Some(format!("/model/{}/invoke", utf8_percent_encode(model, SEGMENT)).into()),
            // Native counting has a body and a model id of its own: what is counted here is estimated.
            Operation::CountTokens | Operation::Models | Operation::Opaque => None,
        }
    }

    fn framing(&self) -> Framing {
        Framing::EventStream
    }

    fn request_id_header(&self) -> &'static str {
        "x-amzn-requestid"
    }

    fn error_header(&self, fault: &Fault) -> Option<(&'static str, &'static str)> {
        Some(("x-amzn-errortype", error::status_and_type(fault.kind).1))
    }

    fn known_members(&self) -> &'static [&'static str] {
        &[
            "messages",
            "system",
            "inferenceConfig",
            "toolConfig",
            "guardrailConfig",
            "additionalModelRequestFields",
            "promptVariables",
            "additionalModelResponseFieldPaths",
            "requestMetadata",
            "performanceConfig",
            "serviceTier",
            "outputConfig",
        ]
    }

    fn read_request<'a>(&self, root: Raw<'a>) -> Result<Request<'a>, Fault> {
        decode::request(root)
    }

    fn encode_request(
        &self,
        request: &Request<'_>,
        model: &str,
        traits: &ModelTraits,
        notes: &mut Notes,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        encode::request(request, model, traits, notes, out)
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

    fn decode_error(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
        error::decode(status, headers, body)
    }

    fn error_status(&self, fault: &Fault) -> StatusCode {
        error::status_and_type(fault.kind).0
    }

    fn encode_error(&self, fault: &Fault, _: ExchangeId, out: &mut Vec<u8>) {
        error::encode(fault, out);
    }

    fn encode_stream_error(&self, fault: &Fault, _: ExchangeId, _: Framing, _: bool, out: &mut Vec<u8>) {
        error::encode_message(fault, out);
    }

    fn encode_token_count(&self, tokens: u64, out: &mut Vec<u8>) -> bool {
        json::object(out, |o| o.u64("inputTokens", tokens));
        true
    }

    fn embeddings(&self) -> Option<&'static dyn EmbeddingsCodec> {
        Some(&embed::BedrockEmbeddings)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<stream_decoder::Decoder>::default()
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream_encoder::Encoder::new(reply))
    }
}
