//! The codec against hand-written fixtures, against its laws, and against recorded traffic where that is present.

mod answers;
mod corpus;
mod decode;
mod encode;
mod laws;
mod streams;

use serde_json::Value;

use super::Anthropic;
use crate::base::framing::Framing;
use crate::dialect::tests::{self, json};
use crate::dialect::{Codec, Notes, Reply};
use crate::ir::{ModelTraits, Request};

fn reply() -> Reply {
    tests::reply(Framing::Sse)
}

/// The request as Anthropic gets it, and what was lost.
fn encoded(request: &Request<'_>, traits: &ModelTraits) -> (Value, Notes) {
    tests::written(&Anthropic, request, "claude", traits).unwrap()
}

fn decoded(body: &str) -> Request<'_> {
    Anthropic.decode_request(body.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {body}"))
}
