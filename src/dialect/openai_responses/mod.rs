//! OpenAI Responses, as OpenAI speaks it and as the hosts beside it do.

mod answer;
mod reply;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};

use super::openai::error;
use super::{Codec, Notes, Observed, Reply, StreamDecoder, StreamEncoder};
use crate::base::Fault;
use crate::base::framing::Framing;
use crate::base::json::{Raw, object};
use crate::base::rng::ExchangeId;
use crate::ir::{Answer, Dialect, ModelTraits, Operation, Request};

/// The codec of OpenAI Responses.
pub struct OpenAiResponses;

impl Codec for OpenAiResponses {
    fn dialect(&self) -> Dialect {
        Dialect::OpenAiResponses
    }

    fn path(&self, operation: Operation, _: &str, _: bool) -> Option<Cow<'static, str>> {
        let path = match operation {
            Operation::Chat => "/responses",
            Operation::CountTokens => "/responses/input_tokens",
            Operation::Models => "/models",
            Operation::Embeddings | Operation::Opaque => return None,
        };
        Some(path.into())
    }

    fn request_id_header(&self) -> &'static str {
        "x-request-id"
    }

    fn known_members(&self) -> &'static [&'static str] {
        &[
            "model",
            "input",
            "instructions",
            "stream",
            "stream_options",
            "store",
            "background",
            "previous_response_id",
            "conversation",
            "prompt",
            "include",
            "max_output_tokens",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "text",
            "reasoning",
            "temperature",
            "top_p",
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
        stream::write_error(fault, None, out);
    }

    fn encode_token_count(&self, tokens: u64, out: &mut Vec<u8>) -> bool {
        object(out, |o| {
            o.string("object", "response.input_tokens");
            o.u64("input_tokens", tokens);
        });
        true
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::default())
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream::Encoder::new(reply))
    }
}
