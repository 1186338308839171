//! What the tests of OpenAI's two dialects share.

use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use serde_json::Value;

use crate::base::framing::Framing;
use crate::dialect::Codec;
use crate::dialect::tests::{folded, recordings};
use crate::ir::{Answer, Event, Finish, FinishReason, Fold, Part, Text, Usage};

/// What stands where something else belongs.
pub(in crate::dialect) const JUNK: [&str; 14] = [
    "null",
    "0",
    "-1.5",
    "1e300",
    "true",
    "\"\"",
    "\"\\ud83d\\ude00\"",
    "[]",
    "{}",
    "[[null]]",
    "[{\"type\":\"text\"}]",
    "[{\"type\":\"output_text\"}]",
    "{\"type\":\"function\"}",
    "{\"type\":\"function_call\",\"name\":\"f\"}",
];

/// A stream folded, and the order of what was told.
pub(in crate::dialect) fn told(codec: &dyn Codec, wire: &[u8]) -> Result<(Fold, Vec<String>), crate::base::Fault> {
    folded(codec, Framing::Sse, wire, label)
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

/// Checks all recorded exchanges of an API but those that are `expected` not to be understood.
#[expect(clippy::print_stderr, reason = "what was checked is said aloud")]
pub(in crate::dialect) fn check_recordings(
    codec: &dyn Codec,
    api: &str,
    expected: &[(&str, &str)],
    request: impl Fn(&Value) -> Result<(), String>,
    answer: impl Fn(&str) -> Result<(), String>,
    stream: impl Fn(&str) -> Result<(), String>,
) {
    let (mut requests, mut answers, mut streams, mut errors) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for (id, exchange) in recordings(&[api], &[]) {
        let body = &exchange["request"]["body"];
        if body.is_object() {
            requests += 1;
            wrong.extend(request(body).err().map(|why| format!("{id} request: {why}")));
        }
        let status = exchange["response"]["status"].as_u64().unwrap() as u16;
        let body = match (&exchange["response"]["body"], &exchange["response"]["body_text"]) {
            (Value::Null, Value::String(text)) => text.clone(),
            (Value::Null, _) => continue,
            (body, _) => body.to_string(),
        };
        let is_stream = exchange["stream"] == true || exchange["stream"] == 1;
        if status != 200 {
            errors += 1;
            let fault = codec.decode_error(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes());
            if fault.client_text.is_empty() || fault.client_text.contains("did not say why") {
                wrong.push(format!("{id} error: {fault}"));
            }
        } else if is_stream {
            streams += 1;
            wrong.extend(stream(&body).err().map(|why| format!("{id} stream: {why}")));
        } else {
            answers += 1;
            wrong.extend(answer(&body).err().map(|why| format!("{id} answer: {why}")));
        }
    }
    eprintln!("checked {requests} requests, {answers} answers, {streams} streams, {errors} errors");
    wrong.retain(|line| !expected.iter().any(|(id, _)| line.starts_with(id)));
    assert!(wrong.is_empty(), "{} exchanges:\n{}", wrong.len(), wrong.join("\n"));
}

fn words() -> impl Strategy<Value = String> {
    "[a-z\"\\\\\n é😀]{1,8}"
}

fn part(thoughts: &'static str, names: &'static str) -> impl Strategy<Value = Part<'static>> {
    let call = |((id, name), (arguments, custom)): ((String, String), (String, bool))| Part::ToolCall {
        id: Text::plain(id),
        name: Text::plain(name),
        arguments: Text::plain(arguments),
        custom,
        cache: None,
    };
    prop_oneof![
        words().prop_map(|t| Part::text(Text::plain(t))),
        words().prop_map(|t| Part::Refusal(Text::plain(t))),
        (thoughts, prop::option::of(words())).prop_map(|(t, s)| Part::Reasoning { text: Text::plain(t), signature: s.map(Text::plain) }),
        words().prop_map(|t| Part::RedactedReasoning(Text::plain(t))),
        (("[a-z]{8}", names), ("[a-z{}\"]{0,5}", any::<bool>())).prop_map(call),
    ]
}

prop_compose! {
    /// An answer of this id, with thoughts and names of tools of these patterns and counters of three numbers.
    pub(in crate::dialect) fn answer(id: &'static str, thoughts: &'static str, names: &'static str, usage: fn([u64; 3]) -> Usage)(
        parts in prop::collection::vec(part(thoughts, names), 0..8),
        reason in prop::sample::select(vec!["length", "content_filter", "stop"]),
        counts in prop::option::of(prop::array::uniform3(0u64..9)),
    ) -> Answer<'static> {
        let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        let reason = match reason {
            "length" => FinishReason::Length,
            "content_filter" => FinishReason::ContentFilter,
            _ if has_calls => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        };
        Answer {
            id: Some(Text::plain(id)),
            model: Some(Text::plain("m")),
            created: Some(7),
            parts,
            finish: Some(Finish::new(reason, Text::plain("x"))),
            usage: counts.map(usage),
            extensions: Vec::new(),
        }
    }
}

/// The parts of an answer, each in two words, without how they are spelled.
pub(in crate::dialect) fn said(answer: &Answer<'_>) -> Vec<(String, String)> {
    let read = |text: &Text<'_>| text.read().into_owned();
    let say = |part: &Part<'_>| match part {
        Part::Text { text, .. } => Some(("text".to_owned(), read(text))),
        Part::Refusal(text) => Some(("refusal".to_owned(), read(text))),
        Part::Reasoning { text, signature } => {
            Some((format!("reasoning {}", signature.as_ref().map(read).unwrap_or_default()), read(text)))
        }
        Part::RedactedReasoning(data) => Some(("redacted".to_owned(), read(data))),
        Part::ToolCall { id, name, arguments, custom, .. } => {
            let arguments = if arguments.is_empty() && !custom { "{}".to_owned() } else { read(arguments) };
            Some((format!("call {} {} {custom}", read(id), read(name)), arguments))
        }
        _ => None,
    };
    let is_words = |kind: &str| matches!(kind, "text" | "refusal" | "reasoning ");
    answer.parts.iter().filter_map(say).filter(|(kind, text)| !(is_words(kind) && text.is_empty())).collect()
}
