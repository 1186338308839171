//! The codec against hand-written fixtures, against its laws, and against recorded traffic where that is present.

mod answers;
mod corpus;
mod requests;
mod streams;

use serde_json::Value;

use super::Anthropic;
use crate::base::rng::RootRng;
use crate::dialect::{Codec, Notes, Reply, ToolNames};
use crate::ir::{ModelTraits, Request};

fn reply() -> Reply {
    Reply {
        id: RootRng::seeded(1).fork().exchange_id(),
        model: "asked-model".to_owned(),
        created: 1_700_000_000,
        stream_usage: true,
        input_tokens_estimate: 7,
        tools: ToolNames::default(),
        framing: crate::base::framing::Framing::Sse,
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

fn losses(notes: &Notes) -> Vec<&str> {
    notes.losses.names().iter().map(|name| name.as_ref()).collect()
}

/// The request as Anthropic gets it, and what was lost.
fn encoded(request: &Request<'_>, traits: &ModelTraits) -> (Value, Notes) {
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    Anthropic.encode_request(request, "claude", traits, &mut notes, &mut out).unwrap();
    (json(&out), notes)
}
