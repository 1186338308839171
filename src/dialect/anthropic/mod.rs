//! Anthropic Messages, as the app speaks it and as a provider speaks it.
//!
//! Requests are read by `decode` and written by `encode` (the conversation in `turns` and `blocks`, tools in
//! `tools` and `schema`, thinking in `thinking`, sampling in `sampling`); `answer` holds whole answers, `stream_decoder` and
//! `stream_encoder` streams, `error` failures, and `wire` what they share.

mod answer;
pub(super) mod blocks;
pub(super) mod decode;
mod encode;
mod error;
pub(super) mod sampling;
pub(super) mod schema;
mod stream_decoder;
mod stream_encoder;
#[cfg(test)]
mod tests;
pub(super) mod thinking;
pub(super) mod tools;
pub(super) mod turns;
pub(super) mod wire;

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};

use super::{Codec, Notes, Observed, Reply, StreamDecoder, StreamEncoder};
use crate::base::Fault;
use crate::base::framing::Framing;
use crate::base::json::{self, Raw};
use crate::base::rng::ExchangeId;
use crate::ir::{Answer, Dialect, ModelTraits, Operation, Request};

/// The codec of the Anthropic Messages API (`anthropic-version` 2023-06-01 and 2026-10-21: the bodies differ only in
/// what a model refuses, which [`ModelTraits`] tell).
pub struct Anthropic;

impl Codec for Anthropic {
    fn dialect(&self) -> Dialect {
        Dialect::Anthropic
    }

    fn path(&self, operation: Operation, _: &str, _: bool) -> Option<Cow<'static, str>> {
        let path = match operation {
            Operation::Chat => "/messages",
            Operation::CountTokens => "/messages/count_tokens",
            Operation::Models => "/models",
            Operation::Embeddings | Operation::Opaque => return None,
        };
        Some(path.into())
    }

    fn request_id_header(&self) -> &'static str {
        "request-id"
    }

    fn default_headers(&self) -> &'static [(&'static str, &'static str)] {
        // The version that still takes sampling parameters, which a caller of another dialect may have given.
        &[("anthropic-version", "2023-06-01")]
    }

    fn known_members(&self) -> &'static [&'static str] {
        &[
            "model",
            "messages",
            "system",
            "max_tokens",
            "stream",
            "tools",
            "tool_choice",
            "thinking",
            "output_config",
            "output_format",
            "metadata",
            "service_tier",
            "speed",
            "stop_sequences",
            "temperature",
            "top_p",
            "top_k",
            "cache_control",
            "container",
            "context_management",
            "mcp_servers",
            "inference_geo",
            "fallbacks",
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

    fn decode_error(&self, status: StatusCode, _: &HeaderMap, body: &[u8]) -> Fault {
        error::decode(status, body)
    }

    fn error_status(&self, fault: &Fault) -> StatusCode {
        error::status_and_type(fault.kind).0
    }

    fn encode_error(&self, fault: &Fault, id: ExchangeId, out: &mut Vec<u8>) {
        error::encode(fault, id, out);
    }

    fn encode_stream_error(&self, fault: &Fault, id: ExchangeId, _: Framing, _: bool, out: &mut Vec<u8>) {
        error::encode_event(fault, id, out);
    }

    fn encode_token_count(&self, tokens: u64, out: &mut Vec<u8>) -> bool {
        json::object(out, |o| o.u64("input_tokens", tokens));
        true
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<stream_decoder::Decoder>::default()
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream_encoder::Encoder::new(reply))
    }
}
