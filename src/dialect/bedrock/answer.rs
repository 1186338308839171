//! Whole answers.

use super::blocks::{put_reasoning, put_redacted, put_text};
use super::content::{block, extension};
use super::wire::{finish, finish_reason, put_call_id, put_stop_sequence, put_usage, reasoning_tokens, stop_reason, tier, usage};
use super::{error, media};
use crate::base::Fault;
use crate::base::json::{self, Array, Raw, try_object};
use crate::dialect::anthropic::wire::{Path, Seen};
use crate::dialect::{Losses, Observed, Reply, broken, free_form};
use crate::ir::{Answer, Dialect, Part, Text, proof};

/// Reads an answer of status 200.
pub(super) fn decode(body: &[u8]) -> Result<Answer<'_>, Fault> {
    let raw = broken::json(body)?;
    let mut answer = Answer::default();
    let (mut output, mut reason, mut fields, mut intervened, mut served) = (None, None, None, None, None);
    for (key, value) in raw.members().filter(|(_, value)| !value.is_null()) {
        match &*key {
            "output" => output = value.member("message").and_then(|message| message.member("content")),
            "stopReason" => reason = Text::of(value),
            "usage" => answer.usage = Some(usage(value)),
            "additionalModelResponseFields" => {
                fields = Some(value);
                answer.extensions.push(extension(key, value));
            }
            "trace" => {
                intervened = value.member("guardrail").and_then(|guardrail| guardrail.member("actionReason")).and_then(Text::of);
                answer.extensions.push(extension(key, value));
            }
            // What an SDK adds of its own.
            "$metadata" | "ResponseMetadata" => {}
            "serviceTier" => {
                served = tier(value);
                answer.extensions.push(extension(key, value));
            }
            _ => answer.extensions.push(extension(key, value)),
        }
    }
    let Some(content) = output.filter(|content| content.is_array()) else {
        let none = || broken::answer("has no `output.message.content`: it is not an answer of the Bedrock Converse API");
        return Err(error::untyped(raw).unwrap_or_else(none));
    };
    let (path, mut rest) = (Path::root("content"), Vec::new());
    for (i, element) in content.elements().enumerate() {
        let part = block(element, &path.index(i), &mut rest);
        answer.parts.push(part.map_err(|fault| broken::part(&fault))?);
    }
    if let Some(usage) = &mut answer.usage {
        usage.reasoning_tokens = fields.and_then(reasoning_tokens);
        usage.service_tier = served;
    }
    let called = answer.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    answer.finish = reason.map(|reason| finish(reason, fields, called));
    if let Some(finish) = answer.finish.as_mut().filter(|finish| finish.raw.is("guardrail_intervened")) {
        finish.explanation = intervened;
    }
    Ok(answer)
}

/// Reads what accounting wants of an answer that passes unchanged.
pub(super) fn observe(body: &[u8]) -> Result<Observed, Fault> {
    let raw = broken::json(body)?;
    let mut observed = Observed::default();
    let (mut called, mut reason, mut output, mut served) = (false, None, false, None);
    for (key, value) in raw.members().filter(|(_, value)| !value.is_null()) {
        match &*key {
            "usage" => observed.usage = Some(usage(value)),
            "stopReason" => reason = value.string(),
            "serviceTier" => served = tier(value),
            "output" => {
                output = true;
                let content = value.member("message").and_then(|message| message.member("content"));
                called = content.into_iter().flat_map(Raw::elements).any(|block| block.member("toolUse").is_some());
            }
            _ => {}
        }
    }
    if !output && let Some(fault) = error::untyped(raw) {
        return Err(fault);
    }
    if let Some(usage) = &mut observed.usage {
        usage.service_tier = served;
    }
    observed.finish = reason.map(|word| finish_reason(&word, called));
    Ok(observed)
}

/// Writes an answer for a Converse client.
pub(super) fn encode(answer: &Answer<'_>, reply: &Reply, losses: &mut Losses, out: &mut Vec<u8>) {
    let mut seen = Seen::default();
    json::object(out, |body| {
        body.object("output", |output| {
            output.object("message", |message| {
                message.string("role", "assistant");
                message.array("content", |blocks| {
                    for part in &answer.parts {
                        put_part(part, reply, &mut seen, losses, blocks);
                    }
                });
            });
        });
        body.string("stopReason", stop_reason(answer.finish.as_ref(), seen));
        if answer.finish.as_ref().is_some_and(|finish| finish.explanation.is_some()) {
            losses.add("stop_details.explanation");
        }
        let own = |name: &str| answer.extensions.iter().any(|e| e.dialect == Dialect::Bedrock && e.name == name);
        if !own("additionalModelResponseFields") {
            put_stop_sequence(answer.finish.as_ref(), body);
        }
        put_usage(&answer.usage.unwrap_or_default(), own("metrics"), body);
        let told = answer.extensions.iter().filter(|e| e.dialect == Dialect::Bedrock || !e.tells_only_of_serving());
        losses.write_own(Dialect::Bedrock, "", told, body);
    });
}

fn put_part(part: &Part<'_>, reply: &Reply, seen: &mut Seen, losses: &mut Losses, blocks: &mut Array<'_>) {
    match part {
        // The client would send an empty block back, and the API would refuse it.
        Part::Text { text, .. } | Part::Refusal(text) if text.is_empty() => {}
        Part::Text { text, citations, .. } => {
            let own = citations.as_ref().filter(|citations| citations.dialect == Dialect::Bedrock);
            if citations.is_some() && own.is_none() {
                losses.add("annotations");
            }
            blocks.object(|block| put_text(text, own, false, block));
        }
        Part::Refusal(text) => {
            seen.refusal = true;
            blocks.object(|block| put_text(text, None, false, block));
        }
        Part::Reasoning { text, signature: None } if text.is_empty() => {}
        Part::Reasoning { text, signature } => {
            let signature = signature.as_ref().map(|signature| proof::write(Dialect::Bedrock, signature));
            blocks.object(|block| put_reasoning(text, signature.as_ref(), block));
        }
        Part::RedactedReasoning(data) => blocks.object(|block| put_redacted(&proof::write(Dialect::Bedrock, data), block)),
        Part::ToolCall { id, name, arguments, custom, .. } => {
            seen.call = true;
            blocks.object(|block| {
                block.object("toolUse", |call| {
                    put_call_id(id, call);
                    call.string("name", &reply.caller_name(name));
                    free_form::put_input("input", arguments, *custom, call);
                });
            });
        }
        Part::Media(medium) => {
            let (mut block, mut names) = (Vec::new(), media::Names::default());
            match try_object(&mut block, |block| media::write(medium, &mut names, losses, block)) {
                Ok(()) => blocks.item().extend_from_slice(&block),
                Err(_) => losses.add("content[].media"),
            }
        }
        Part::Opaque { dialect: Dialect::Bedrock, raw, .. } => blocks.raw(*raw),
        Part::Opaque { kind, .. } => losses.add(format!("content[].{kind}")),
        Part::ToolResult { .. } => losses.add("content[].tool_result"),
    }
}
