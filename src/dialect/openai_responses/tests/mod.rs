//! What the codec promises, as tables and as laws.

mod answers;
mod corpus;
mod laws;
mod requests;
mod streams;

use serde_json::{Value, json};

use super::OpenAiResponses;
use crate::base::Fault;
use crate::base::framing::Framing;
use crate::dialect::openai::tests::{said, told};
use crate::dialect::tests::{self, frames, json as value};
use crate::dialect::{Codec, Notes, Reply};
use crate::ir::{Answer, Event, Fold, ModelTraits, Part, Request, Text};

/// A request as `codec` would write it, and what was lost.
fn written(codec: &dyn Codec, request: &Request<'_>, traits: &ModelTraits) -> Result<(Value, Notes), Fault> {
    tests::written(codec, request, &request.model, traits)
}

fn reply() -> Reply {
    tests::reply(Framing::Sse)
}

/// The events of a stream folded, and the order of what was told.
fn folded(wire: &[u8]) -> Result<(Fold, Vec<String>), Fault> {
    told(&OpenAiResponses, wire)
}

/// Events written as a stream.
fn streamed<'e>(events: impl IntoIterator<Item = Event<'e>>, reply: Reply) -> (Vec<u8>, Vec<String>) {
    let mut encoder = OpenAiResponses.stream_encoder(reply);
    let mut out = Vec::new();
    events.into_iter().for_each(|event| encoder.encode(&event, &mut out));
    let losses = encoder.losses().names().iter().map(|name| name.to_string()).collect();
    (out, losses)
}

/// Checks the grammar of a stream as the SDKs read it, and gives its events.
fn checked(wire: &[u8]) -> Vec<Value> {
    let mut events = Vec::new();
    for frame in frames(Framing::Sse, wire) {
        if let Some(data) = &frame.data {
            let event = value(data);
            assert_eq!(event["type"].as_str().unwrap().as_bytes(), &frame.name[..]);
            events.push(event);
        }
    }
    let mut snapshot: Vec<Value> = Vec::new();
    let mut open_part: Option<(u64, u64, String)> = None;
    for (i, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], i, "{event}");
        let kind = event["type"].as_str().unwrap();
        match i {
            0 => assert_eq!(kind, "response.created"),
            1 => assert_eq!(kind, "response.in_progress"),
            _ => {}
        }
        let place = event["output_index"].as_u64();
        if let Some(id) = event["item_id"].as_str() {
            assert_eq!(snapshot[place.unwrap() as usize]["id"], id, "{event}");
            assert_eq!(place.unwrap() as usize + 1, snapshot.len(), "items do not overlap");
            assert!(snapshot[place.unwrap() as usize]["done"].is_null(), "{event}");
        }
        match kind {
            "response.output_item.added" => {
                assert_eq!(place, Some(snapshot.len() as u64));
                assert!(snapshot.last().is_none_or(|item| item["done"] == true));
                snapshot.push(event["item"].clone());
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                assert!(open_part.is_none());
                let member = if kind.contains("summary") { "summary_index" } else { "content_index" };
                open_part = Some((place.unwrap(), event[member].as_u64().unwrap(), String::new()));
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                let (_, _, text) = open_part.take().unwrap();
                let part = &event["part"];
                assert_eq!(part["text"].as_str().or(part["refusal"].as_str()).unwrap(), text);
            }
            "response.output_text.delta" | "response.refusal.delta" | "response.reasoning_summary_text.delta" => {
                open_part.as_mut().unwrap().2.push_str(event["delta"].as_str().unwrap());
            }
            "response.output_item.done" => {
                assert!(open_part.is_none());
                let item = &mut snapshot[place.unwrap() as usize];
                assert_eq!(item["id"], event["item"]["id"]);
                item["done"] = true.into();
                item["whole"] = event["item"].clone();
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                assert_eq!(i + 1, events.len(), "nothing behind the end");
                let output: Vec<Value> = snapshot.iter().filter(|item| item["done"] == true).map(|item| item["whole"].clone()).collect();
                assert_eq!(event["response"]["output"], json!(output));
                assert!(kind == "response.failed" || output.len() == snapshot.len());
                assert_eq!(format!("response.{}", event["response"]["status"].as_str().unwrap()), kind);
            }
            _ => {}
        }
    }
    events
}

/// What an answer says, without how it is cut and spelled.
fn meaning(answer: &Answer<'_>) -> Value {
    let read = |text: &Text<'_>| text.read().into_owned();
    json!({
        "id": answer.id.as_ref().map(read), "model": answer.model.as_ref().map(read), "created": answer.created,
        "parts": said(answer),
        "finish": answer.finish.as_ref().map(|f| format!("{:?}", f.reason)),
        "usage": answer.usage.map(|u| format!("{u:?}")),
    })
}
