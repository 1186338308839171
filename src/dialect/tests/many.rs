//! A caller decides how many of everything it sends: whatever there are many of, reading and writing takes time by their
//! number, not by its square. Nothing is timed here; what tried name after name for each of them would not come to an end.

use serde_json::{Value, json};

use super::super::codec;
use super::written;
use crate::base::FaultKind;
use crate::ir::{Dialect, ModelTraits};

const MANY: usize = 10_000;

fn list(each: impl Fn(usize) -> Value) -> Value {
    (0..MANY).map(each).collect()
}

/// Reads a request of one dialect and writes it for all others.
fn translate(from: Dialect, body: &Value) {
    let text = body.to_string();
    let request = codec(from).decode_request(text.as_bytes()).unwrap();
    let traits = ModelTraits { system_in_messages: true, ..ModelTraits::default() };
    for to in Dialect::ALL.into_iter().filter(|to| *to != from) {
        match written(codec(to), &request, "m", &traits) {
            Ok((body, _)) => drop(body),
            Err(fault) => assert_eq!(fault.kind, FaultKind::Unsupported, "{to:?}: {fault}"),
        }
    }
}

/// Another name each, and all the same once they are cleaned.
fn name(i: usize) -> String {
    let letter = |i: usize| char::from_u32(0x4e00 + (i % 1000) as u32).unwrap();
    [letter(i), letter(i / 1000)].iter().collect()
}

#[test]
fn many_tools() {
    let tool = |i| json!({"type": "function", "function": {"name": name(i)}});
    let custom = |i| json!({"type": "custom", "custom": {"name": name(i)}});
    let call = |i| json!({"id": format!("c{i}"), "type": "function", "function": {"name": name(i), "arguments": "{}"}});
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": list(tool)}});
    let user = json!({"role": "user", "content": "x"});
    translate(Dialect::OpenAiChat, &json!({"model": "m", "messages": [user], "tools": list(tool), "tool_choice": allowed}));
    translate(Dialect::OpenAiChat, &json!({"model": "m", "messages": [user], "tools": list(custom), "tool_choice": allowed}));
    let assistant = json!({"role": "assistant", "tool_calls": list(call)});
    let mut messages = vec![user, assistant];
    messages.extend((0..MANY).map(|i| json!({"role": "tool", "tool_call_id": format!("c{i}"), "content": "r"})));
    translate(Dialect::OpenAiChat, &json!({"model": "m", "messages": messages}));
}

#[test]
fn many_messages() {
    let turn = |role: &'static str| move |_| json!({"role": role, "content": [{"type": "text", "text": "x"}]});
    for (first, second) in [("user", "system"), ("assistant", "system"), ("system", "user")] {
        let mut messages = vec![turn("user")(0)];
        messages.extend((0..MANY).map(turn(first)));
        messages.extend((0..MANY).map(turn(second)));
        translate(Dialect::OpenAiChat, &json!({"model": "m", "messages": messages}));
    }
}

#[test]
fn many_parts() {
    let part = list(|_| json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}));
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]});
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": part}]});
    let says = json!({"role": "user", "content": part});
    translate(Dialect::Anthropic, &json!({"model": "m", "max_tokens": 9, "system": part, "messages": [says, call, result]}));
    let twin = json!({"document": {"name": "a", "format": "pdf", "source": {"bytes": "QQ=="}}});
    let text = json!({"role": "user", "content": list(|_| twin.clone())}).to_string();
    let request = format!(r#"{{"messages":[{text}]}}"#);
    let request = codec(Dialect::Bedrock).decode_request(request.as_bytes()).unwrap();
    written(codec(Dialect::Bedrock), &request, "m", &ModelTraits::default()).unwrap();
}

#[test]
fn many_marks_behind_what_keeps_none() {
    let mut content: Vec<Value> = (0..MANY).map(|_| json!({"newer": {}})).collect();
    content.extend((0..MANY).map(|_| json!({"cachePoint": {"type": "default"}})));
    translate(Dialect::Bedrock, &json!({"messages": [{"role": "user", "content": content}]}));
}

#[test]
fn many_calls_in_an_answer() {
    let parts = list(|i| json!({"functionCall": {"name": "f", "args": {"i": i}}}));
    let body = json!({"candidates": [{"content": {"parts": parts}}]}).to_string();
    assert_eq!(codec(Dialect::Gemini).decode_answer(body.as_bytes()).unwrap().parts.len(), MANY);
    let message = |_| json!({"type": "message", "phase": "p", "content": [{"type": "output_text", "text": "t", "logprobs": [{}]}]});
    let body = json!({"output": list(message)}).to_string();
    assert_eq!(codec(Dialect::OpenAiResponses).decode_answer(body.as_bytes()).unwrap().parts.len(), MANY);
}
