//! Recorded exchanges: whatever providers and clients really send can be read.

use http::StatusCode;
use serde_json::Value;

use super::super::Anthropic;
use super::reply;
use crate::dialect::tests::{recordings, same};
use crate::dialect::{Codec, Notes};
use crate::ir::{Answer, Event, Fold, ModelTraits, Usage};

/// Requests that are not requests, and why.
const REFUSED: [(&str, &str); 3] = [
    ("anthropic-msg-n-174eb5f33b", "its tool schema is a boolean; the API answered 400"),
    ("anthropic-msg-n-8ae8d8fd66", "its only message is blank; the API answered 400"),
    ("anthropic-msg-n-9ea49e4ecf", "its messages are strings; the API answered 400"),
];

#[test]
#[expect(clippy::print_stderr, reason = "a test over recordings says how many it checked")]
fn recorded_exchanges_are_read() {
    let (mut requests, mut answers, mut streams, mut errors) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for (id, exchange) in recordings(&["messages", "vertex.rawPredict"], &["syn-anthropic"]) {
        let is_object = exchange["request"]["body"]["messages"].is_array();
        if is_object && !REFUSED.iter().any(|(refused, _)| *refused == id) {
            requests += 1;
            wrong.extend(check_request(exchange["request"]["body"].clone()).err().map(|e| format!("{id}: request: {e}")));
        }
        let response = &exchange["response"];
        let status = response["status"].as_u64().unwrap_or(0) as u16;
        let result = match (&response["body"], response["body_text"].as_str()) {
            (body @ Value::Object(_), _) if status == 200 => {
                answers += 1;
                check_answer(body)
            }
            (_, Some(text)) if status == 200 && text.contains("data:") => {
                streams += 1;
                check_stream(text)
            }
            (body, text) if status >= 400 => {
                errors += 1;
                let body = text.map_or_else(|| serde_json::to_vec(body).unwrap(), |t| t.as_bytes().to_vec());
                let fault = Anthropic.decode_error(StatusCode::from_u16(status).unwrap(), &http::HeaderMap::new(), &body);
                (!fault.client_text.is_empty()).then_some(()).ok_or("no text".to_owned())
            }
            _ => Ok(()),
        };
        wrong.extend(result.err().map(|e| format!("{id}: {e}")));
    }
    eprintln!("recorded exchanges read: {requests} requests, {answers} answers, {streams} streams, {errors} errors");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn check_request(mut body: Value) -> Result<(), String> {
    let members = body.as_object_mut().unwrap();
    // Vertex keeps the model in the path.
    members.entry("model").or_insert("claude".into());
    let body = serde_json::to_vec(&body).unwrap();
    let request = Anthropic.decode_request(&body).map_err(|fault| fault.to_string())?;
    let mut out = Vec::new();
    let traits = ModelTraits { system_in_messages: true, ..ModelTraits::default() };
    Anthropic.encode_request(&request, "claude", &traits, &mut Notes::default(), &mut out).map_err(|fault| format!("again: {fault}"))?;
    Anthropic.decode_request(&out).map_err(|fault| format!("and again: {fault}"))?;
    Ok(())
}

fn check_answer(body: &Value) -> Result<(), String> {
    let body = serde_json::to_vec(body).unwrap();
    let answer = Anthropic.decode_answer(&body).map_err(|fault| fault.to_string())?;
    let mut out = Vec::new();
    Anthropic.encode_answer(&answer, &reply(), &mut Notes::default(), &mut out);
    let again = Anthropic.decode_answer(&out).map_err(|fault| format!("again: {fault}"))?;
    same(&format!("{answer:?}"), &format!("{again:?}")).or_else(|_| same_meaning(&answer, &again))
}

fn same_meaning(a: &Answer<'_>, b: &Answer<'_>) -> Result<(), String> {
    same(&a.parts.len(), &b.parts.len())?;
    same(&a.finish, &b.finish)
}

fn check_stream(text: &str) -> Result<(), String> {
    let mut decoder = Anthropic.stream_decoder();
    let (mut fold, mut result) = (Fold::default(), Ok(()));
    let (mut encoder, mut out) = (Anthropic.stream_encoder(reply()), Vec::new());
    for frame in super::streams::frames(format!("{}\n\n", text.trim_end()).as_bytes()) {
        let told = decoder.decode(&frame, &mut |event: Event<'_>| {
            fold.add(&event);
            encoder.encode(&event, &mut out);
        });
        result = result.and(told);
    }
    result.map_err(|fault| fault.to_string())?;
    if !fold.ended() && fold.fault().is_none() {
        return Err("the stream has no end".to_owned());
    }
    super::streams::check_grammar(&out).map_err(|e| format!("encoded: {e}"))?;
    if fold.ended() {
        let again = super::streams::fold_wire(&out);
        let first = fold.into_answer();
        same(&first.finish, &again.finish)?;
        same(&first.usage.map(Usage::writable), &again.usage.map(Usage::writable))?;
        same(&super::streams::words(&first), &super::streams::words(&again))?;
    }
    Ok(())
}
