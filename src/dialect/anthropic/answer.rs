//! Whole answers.

use super::wire::{Counters, Path, Seen, finish, finish_reason, put_cache_creation, put_call_id, put_finish, put_usage_rest};
use super::{decode, error};
use crate::base::Fault;
use crate::base::json::{self, Array, Raw};
use crate::dialect::{Losses, Observed, Reply, broken, free_form};
use crate::ir::{Answer, Dialect, Extension, Part, Text};

/// Reads an answer of status 200.
pub(super) fn decode(body: &[u8]) -> Result<Answer<'_>, Fault> {
    let raw = broken::json(body)?;
    if raw.member("type").and_then(Raw::inner) == Some("error") {
        return Err(error::decode_typed(raw));
    }
    let mut answer = Answer::default();
    let mut content = None;
    for (key, value) in raw.members().filter(|(_, v)| !v.is_null()) {
        match &*key {
            "id" => answer.id = Text::of(value),
            "model" => answer.model = Text::of(value),
            "content" => content = Some(value),
            "usage" => {
                let mut counters = Counters::default();
                counters.read(value);
                answer.usage = Some(counters.usage());
            }
            "type" | "role" | "stop_reason" | "stop_sequence" | "stop_details" => {}
            _ => answer.extensions.push(Extension { dialect: Dialect::Anthropic, name: key, value }),
        }
    }
    let Some(content) = content.filter(|content| content.is_array()) else {
        if raw.member("error").is_some_and(|error| !error.is_null()) {
            return Err(error::decode_typed(raw));
        }
        return Err(broken::answer("has no `content` array: it is not an answer of the Anthropic Messages API"));
    };
    let (path, mut rest) = (Path::root("content"), Vec::new());
    for (i, block) in content.elements().enumerate() {
        let part = decode::block(block.fields(), &path.index(i), &mut rest);
        answer.parts.push(part.map_err(|fault| broken::part(&fault))?);
    }
    let called = answer.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    answer.finish = finish(raw, called);
    Ok(answer)
}

/// Reads what accounting wants of an answer that passes unchanged.
pub(super) fn observe(body: &[u8]) -> Result<Observed, Fault> {
    let raw = broken::json(body)?;
    let mut observed = Observed::default();
    let mut called = false;
    let mut reason = None;
    for (key, value) in raw.members().filter(|(_, v)| !v.is_null()) {
        match &*key {
            "usage" => {
                let mut counters = Counters::default();
                counters.read(value);
                observed.usage = Some(counters.usage());
            }
            "type" if value.inner() == Some("error") => return Err(error::decode_typed(raw)),
            "stop_reason" => reason = value.string(),
            "content" => called = value.elements().any(|block| block.member("type").and_then(Raw::inner) == Some("tool_use")),
            _ => {}
        }
    }
    observed.finish = reason.map(|word| finish_reason(&word, called));
    Ok(observed)
}

/// Writes an answer for an Anthropic client.
pub(super) fn encode(answer: &Answer<'_>, reply: &Reply, losses: &mut Losses, out: &mut Vec<u8>) {
    let mut seen = Seen::default();
    json::object(out, |body| {
        put_head(answer.id.as_ref(), answer.model.as_ref(), reply, body);
        body.array("content", |blocks| {
            for part in &answer.parts {
                put_part(part, reply, &mut seen, losses, blocks);
            }
        });
        put_finish(answer.finish.as_ref(), seen, body);
        let usage = answer.usage.unwrap_or_default();
        body.object("usage", |object| {
            object.u64("input_tokens", usage.uncached_input_tokens().unwrap_or(0));
            put_usage_rest(&usage, object);
            put_cache_creation(&usage, object);
        });
        let told = answer.extensions.iter().filter(|e| e.dialect == Dialect::Anthropic || !e.tells_only_of_serving());
        losses.write_own(Dialect::Anthropic, "", told, body);
    });
}

/// Writes `id`, `type`, `role` and `model`.
pub(super) fn put_head(id: Option<&Text<'_>>, model: Option<&Text<'_>>, reply: &Reply, body: &mut json::Object<'_>) {
    match id.filter(|id| !id.is_empty()) {
        Some(id) => id.put("id", body),
        None => body.string("id", &format!("msg_{}", reply.id)),
    }
    body.string("type", "message");
    body.string("role", "assistant");
    match model.filter(|model| !model.is_empty()) {
        Some(model) => model.put("model", body),
        None => body.string("model", &reply.model),
    }
}

fn put_part(part: &Part<'_>, reply: &Reply, seen: &mut Seen, losses: &mut Losses, blocks: &mut Array<'_>) {
    match part {
        // The client would send an empty block back, and the API would refuse it.
        Part::Text { text, .. } | Part::Refusal(text) if text.is_empty() => {}
        Part::Text { text, citations, .. } => blocks.object(|block| {
            block.string("type", "text");
            text.put("text", block);
            match citations {
                Some(citations) if citations.dialect == Dialect::Anthropic => block.raw("citations", citations.raw),
                Some(_) => losses.add("annotations"),
                None => {}
            }
        }),
        Part::Refusal(text) => {
            seen.refusal = true;
            blocks.object(|block| {
                block.string("type", "text");
                text.put("text", block);
            });
        }
        Part::Reasoning { text, signature: None } if text.is_empty() => {}
        Part::Reasoning { text, signature } => blocks.object(|block| {
            block.string("type", "thinking");
            text.put("thinking", block);
            signature.as_ref().unwrap_or(&Text::EMPTY).put("signature", block);
        }),
        Part::RedactedReasoning(data) => blocks.object(|block| {
            block.string("type", "redacted_thinking");
            data.put("data", block);
        }),
        Part::ToolCall { id, name, arguments, custom, .. } => {
            seen.call = true;
            blocks.object(|block| {
                block.string("type", "tool_use");
                put_call_id("id", id, block);
                block.string("name", &reply.caller_name(name));
                free_form::put_input("input", arguments, *custom, block);
            });
        }
        Part::Opaque { dialect: Dialect::Anthropic, raw, .. } => blocks.raw(*raw),
        Part::Opaque { kind, .. } => losses.add(format!("content[].{kind}")),
        Part::Media(_) => losses.add("content[].media"),
        Part::ToolResult { .. } => losses.add("content[].tool_result"),
    }
}
