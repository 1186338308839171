//! What the codec promises, as tables and as laws.

mod answers;
mod corpus;
mod laws;
mod requests;
mod streams;

use bytes::Bytes;
use serde_json::{Value, json};

use super::OpenAiResponses;
use crate::base::Fault;
use crate::base::rng::RootRng;
use crate::base::sse::Framer;
use crate::dialect::{Codec, Notes, Reply, ToolNames};
use crate::ir::{Answer, Event, Fold, ModelTraits, Part, Request, Text};

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

/// A request as `codec` would write it, and what was lost.
fn written(codec: &dyn Codec, request: &Request<'_>, traits: &ModelTraits) -> Result<(Value, Notes), Fault> {
    let (mut notes, mut out) = (Notes::default(), Vec::new());
    codec.encode_request(request, &request.model, traits, &mut notes, &mut out)?;
    Ok((value(&out), notes))
}

fn reply() -> Reply {
    Reply {
        id: RootRng::seeded(1).fork().exchange_id(),
        model: "gpt-x".to_owned(),
        created: 1_700_000_000,
        stream_usage: true,
        input_tokens_estimate: 0,
        tools: ToolNames::default(),
        framing: crate::base::framing::Framing::Sse,
    }
}

/// The events of a stream folded, and the order of what was told.
fn folded(wire: &[u8]) -> Result<(Fold, Vec<String>), Fault> {
    let (mut fold, mut told) = (Fold::default(), Vec::new());
    let mut decoder = OpenAiResponses.stream_decoder();
    let mut result = Ok(());
    let mut framer = Framer::new(1 << 24);
    let pushed = framer.push(Bytes::copy_from_slice(wire), |frame| {
        if result.is_ok() {
            result = decoder.decode(&frame, &mut |event| {
                told.push(label(&event));
                fold.add(&event);
            });
        }
    });
    assert!(pushed.is_ok());
    result.map(|()| (fold, told))
}

fn label(event: &Event<'_>) -> String {
    match event {
        Event::Start { .. } => "start".into(),
        Event::PartStart { index, .. } => format!("+{index}"),
        Event::PartDelta { index, .. } => format!("{index}"),
        Event::PartEnd { index } => format!("-{index}"),
        Event::Usage(_) => "usage".into(),
        Event::Finish(_) => "finish".into(),
        Event::Ping => "ping".into(),
        Event::Fault(_) => "fault".into(),
        Event::End => "end".into(),
    }
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
    let mut framer = Framer::new(1 << 26);
    framer
        .push(Bytes::copy_from_slice(wire), |frame| {
            if let Some(data) = &frame.data {
                let event = value(data);
                assert_eq!(event["type"].as_str().unwrap().as_bytes(), &frame.name[..]);
                events.push(event);
            }
        })
        .unwrap();
    assert!(framer.rest().is_none());
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
    let mut parts: Vec<(String, String)> = Vec::new();
    for part in &answer.parts {
        let (kind, text) = match part {
            Part::Text { text, .. } => ("text".to_owned(), read(text)),
            Part::Refusal(text) => ("refusal".to_owned(), read(text)),
            Part::Reasoning { text, signature } => (format!("reasoning {}", signature.as_ref().map(read).unwrap_or_default()), read(text)),
            Part::RedactedReasoning(data) => ("redacted".to_owned(), read(data)),
            Part::ToolCall { id, name, arguments, custom, .. } => {
                let arguments = if arguments.is_empty() && !custom { "{}".to_owned() } else { read(arguments) };
                (format!("call {} {} {custom}", read(id), read(name)), arguments)
            }
            _ => continue,
        };
        match kind.as_str() {
            "text" | "refusal" | "reasoning " if text.is_empty() => {}
            _ => parts.push((kind, text)),
        }
    }
    json!({
        "id": answer.id.as_ref().map(read), "model": answer.model.as_ref().map(read), "created": answer.created,
        "parts": parts,
        "finish": answer.finish.as_ref().map(|f| format!("{:?}", f.reason)),
        "usage": answer.usage.map(|u| format!("{u:?}")),
    })
}
