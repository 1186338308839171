//! Placeholder, replaced by its own commit.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};

use super::{Codec, Notes, Observed, Reply, StreamDecoder, StreamEncoder};
use crate::base::Fault;
use crate::base::framing::Framing;
use crate::base::json::Raw;
use crate::base::rng::ExchangeId;
use crate::ir::{Answer, Dialect, ModelTraits, Operation, Request};

/// Placeholder.
pub struct Bedrock;

#[expect(clippy::todo, reason = "placeholder")]
impl Codec for Bedrock {
    fn dialect(&self) -> Dialect {
        Dialect::Bedrock
    }

    fn path(&self, _: Operation, _: &str, _: bool) -> Option<Cow<'static, str>> {
        None
    }

    fn request_id_header(&self) -> &'static str {
        "x-request-id"
    }

    fn known_members(&self) -> &'static [&'static str] {
        &[]
    }

    fn read_request<'a>(&self, _: Raw<'a>) -> Result<Request<'a>, Fault> {
        todo!()
    }

    fn encode_request(&self, _: &Request<'_>, _: &str, _: &ModelTraits, _: &mut Notes, _: &mut Vec<u8>) -> Result<(), Fault> {
        todo!()
    }

    fn decode_answer<'a>(&self, _: &'a [u8]) -> Result<Answer<'a>, Fault> {
        todo!()
    }

    fn encode_answer(&self, _: &Answer<'_>, _: &Reply, _: &mut Notes, _: &mut Vec<u8>) {
        todo!()
    }

    fn observe_answer(&self, _: &[u8]) -> Result<Observed, Fault> {
        todo!()
    }

    fn decode_error(&self, _: StatusCode, _: &HeaderMap, _: &[u8]) -> Fault {
        todo!()
    }

    fn error_status(&self, _: &Fault) -> StatusCode {
        todo!()
    }

    fn encode_error(&self, _: &Fault, _: ExchangeId, _: &mut Vec<u8>) {
        todo!()
    }

    fn encode_stream_error(&self, _: &Fault, _: ExchangeId, _: Framing, _: bool, _: &mut Vec<u8>) {
        todo!()
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        todo!()
    }

    fn stream_encoder(&self, _: Reply) -> Box<dyn StreamEncoder> {
        todo!()
    }
}
