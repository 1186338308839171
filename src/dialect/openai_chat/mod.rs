//! OpenAI Chat Completions, as OpenAI speaks it and as the many hosts beside it do.

mod answer;
mod embed;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod usage;
mod wire;

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};

use super::{Codec, EmbeddingsCodec, Notes, Observed, Reply, StreamDecoder, StreamEncoder};
use crate::base::Fault;
use crate::base::framing::Framing;
use crate::base::json::Raw;
use crate::base::rng::ExchangeId;
use crate::dialect::openai::error;
use crate::ir::{Answer, Dialect, ModelTraits, Operation, Request};

/// The codec of OpenAI Chat Completions.
pub struct OpenAiChat;

impl Codec for OpenAiChat {
    fn dialect(&self) -> Dialect {
        Dialect::OpenAiChat
    }

    fn path(&self, operation: Operation, _: &str, _: bool) -> Option<Cow<'static, str>> {
        let path = match operation {
            Operation::Chat => "/chat/completions",
            Operation::Embeddings => "/embeddings",
            Operation::Models => "/models",
            Operation::CountTokens | Operation::Opaque => return None,
        };
        Some(path.into())
    }

    fn request_id_header(&self) -> &'static str {
        "x-request-id"
    }

    fn known_members(&self) -> &'static [&'static str] {
        &[
            "model",
            "messages",
            "input",
            "prompt",
            "stream",
            "stream_options",
            "max_tokens",
            "max_completion_tokens",
            "n",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "functions",
            "function_call",
            "response_format",
            "reasoning_effort",
            "temperature",
            "top_p",
            "seed",
            "stop",
            "user",
            "safety_identifier",
            "service_tier",
        ]
    }

    fn read_request<'a>(&self, root: Raw<'a>) -> Result<Request<'a>, Fault> {
        request::decode(root)
    }

    fn encode_request(
        &self,
        request: &Request<'_>,
        model: &str,
        traits: &ModelTraits,
        notes: &mut Notes,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        request::encode(request, model, traits, notes, out)
    }

    fn decode_answer<'a>(&self, body: &'a [u8]) -> Result<Answer<'a>, Fault> {
        answer::decode(body)
    }

    fn encode_answer(&self, answer: &Answer<'_>, reply: &Reply, notes: &mut Notes, out: &mut Vec<u8>) {
        answer::encode(answer, reply, notes, out);
    }

    fn observe_answer(&self, body: &[u8]) -> Result<Observed, Fault> {
        answer::observe(body)
    }

    fn decode_error(&self, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Fault {
        error::decode(status, body)
    }

    fn error_status(&self, fault: &Fault) -> StatusCode {
        error::status(fault)
    }

    fn encode_error(&self, fault: &Fault, _: ExchangeId, out: &mut Vec<u8>) {
        error::encode(fault, out);
    }

    fn encode_stream_error(&self, fault: &Fault, _: ExchangeId, _: Framing, _: bool, out: &mut Vec<u8>) {
        stream::write_error(fault, out);
    }

    fn embeddings(&self) -> Option<&'static dyn EmbeddingsCodec> {
        Some(&embed::OpenAiEmbeddings)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::default())
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream::Encoder::new(reply))
    }
}
