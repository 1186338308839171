//! Whole answers: reading the provider's, writing the caller's, and a glance at one that passes.

use super::wire::{finish_reason, finish_word, made_call_id, thinking_text};
use super::{error, usage};
use crate::base::Fault;
use crate::base::json::{Object, Raw, Reader, object};
use crate::dialect::openai::read::{arguments, served, told, words};
use crate::dialect::openai::write::{custom_input, join};
use crate::dialect::{Notes, Observed, Reply, broken};
use crate::ir::{Answer, Citations, Dialect, Extension, Finish, FinishReason, Part, ServiceTier, Text};

/// Reads an answer of status 200.
pub(super) fn decode(body: &[u8]) -> Result<Answer<'_>, Fault> {
    let root = broken::object(body)?;
    if let Some(fault) = error::inside(root) {
        return Err(fault);
    }
    let mut answer = Answer::default();
    let mut choices = None;
    let (mut groq, mut tier) = (None, None);
    for (name, value) in root.members() {
        match &*name {
            _ if value.is_null() => {}
            "object" => {}
            "id" => answer.id = words(Some(value)),
            "model" => answer.model = words(Some(value)),
            "created" => answer.created = value.u64(),
            "choices" => choices = Some(value),
            "usage" => answer.usage = usage::decode(value),
            _ => {
                if name == "service_tier" {
                    tier = value.inner().and_then(ServiceTier::named);
                }
                if name == "x_groq" {
                    groq = told(value, "usage").and_then(usage::decode);
                }
                answer.extensions.push(Extension { dialect: Dialect::OpenAiChat, name, value });
            }
        }
    }
    answer.usage = served(answer.usage.or(groq), tier);
    let choice = choices.and_then(first_choice).ok_or_else(|| broken::answer("has no `choices`: it is not a chat completion"))?;
    read_choice(choice, &mut answer);
    Ok(answer)
}

/// What accounting wants of an answer that passes unchanged.
pub(super) fn observe(body: &[u8]) -> Result<Observed, Fault> {
    let (mut told_usage, mut groq, mut tier, mut reason, mut calls, mut failed) = (None, None, None, None, false, false);
    let read = Reader::read(body, |r| {
        if !r.is_object() {
            return Err(r.expected("an object"));
        }
        r.members(|r, name| match &*name {
            "usage" => r.raw().map(|value| told_usage = usage::decode(value)),
            "error" => r.raw().map(|value| failed = !value.is_null()),
            "x_groq" => r.raw().map(|value| groq = told(value, "usage").and_then(usage::decode)),
            "service_tier" => r.raw().map(|value| tier = value.inner().and_then(ServiceTier::named)),
            "choices" => r.elements(|r, place| {
                if place > 0 {
                    return r.skip();
                }
                r.members(|r, name| match &*name {
                    "finish_reason" => r.raw().map(|value| reason = value.string()),
                    "message" => r.members(|r, name| match &*name {
                        "tool_calls" | "function_call" => r.raw().map(|value| {
                            calls |= match value.is_array() {
                                true => value.elements().any(|call| call_of(call).is_some()),
                                false => words(told(value, "name")).is_some(),
                            };
                        }),
                        _ => r.skip(),
                    }),
                    _ => r.skip(),
                })
            }),
            _ => r.skip(),
        })
    });
    read.map_err(|error| broken::answer("is not a JSON object").cause(error))?;
    if failed && let Some(fault) = error::inside(broken::object(body)?) {
        return Err(fault);
    }
    let finish = match (reason.as_deref().map(finish_reason), calls) {
        (Some(FinishReason::Stop) | None, true) => Some(FinishReason::ToolCalls),
        (told, _) => told,
    };
    Ok(Observed { usage: served(told_usage.or(groq), tier), finish })
}

/// The choice of index 0, which is the first where the host does not number them.
fn first_choice(choices: Raw<'_>) -> Option<Raw<'_>> {
    choices.elements().find(|choice| choice.is_object() && told(*choice, "index").and_then(Raw::u64).unwrap_or(0) == 0)
}

/// The body of a call and whether it is free-form. `None` for what is no call that a caller could run.
fn call_of(call: Raw<'_>) -> Option<(Raw<'_>, bool)> {
    if let Some(custom) = told(call, "custom") {
        return Some((custom, true)).filter(|(body, _)| words(told(*body, "name")).is_some());
    }
    let function = told(call, "function")?;
    words(told(function, "name")).map(|_| (function, false))
}

fn read_choice<'a>(choice: Raw<'a>, answer: &mut Answer<'a>) {
    let mut has_calls = false;
    if let Some(message) = told(choice, "message") {
        read_message(message, answer);
        has_calls = answer.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    }
    answer.finish = finish(choice, has_calls);
    if let Some(logprobs) = told(choice, "logprobs") {
        answer.extensions.push(Extension { dialect: Dialect::OpenAiChat, name: "logprobs".into(), value: logprobs });
    }
}

/// Why the answer ended. Calls that are there win over a word that does not know of them.
fn finish(choice: Raw<'_>, has_calls: bool) -> Option<Finish<'_>> {
    let raw = told(choice, "finish_reason").and_then(Text::of);
    let reason = match (raw.as_ref().map(|raw| finish_reason(&raw.read())), has_calls) {
        (Some(FinishReason::Stop) | None, true) => FinishReason::ToolCalls,
        (Some(reason), _) => reason,
        (None, false) => return None,
    };
    let mut finish = Finish::new(reason, raw.unwrap_or(Text::EMPTY));
    // vLLM names the stop text that was met.
    if reason == FinishReason::Stop {
        finish.stop_sequence = words(told(choice, "stop_reason"));
    }
    Some(finish)
}

/// The prefix of members that stood in the message, not beside it.
const IN_MESSAGE: &str = "message.";

fn read_message<'a>(message: Raw<'a>, answer: &mut Answer<'a>) {
    let mut fields = Fields::default();
    for (name, value) in message.members() {
        if value.is_null() {
            continue;
        }
        match &*name {
            "role" => {}
            "content" => fields.content = Some(value),
            "refusal" => fields.refusal = words(Some(value)),
            "reasoning_content" => fields.reasoning = words(Some(value)).or(fields.reasoning),
            "reasoning" => fields.reasoning = fields.reasoning.or(words(Some(value))),
            "thinking_blocks" => fields.thinking_blocks = Some(value),
            "annotations" => fields.annotations = Some(value).filter(|list| list.elements().next().is_some()),
            "tool_calls" => fields.tool_calls = Some(value),
            "function_call" => fields.function_call = Some(value),
            "audio" | "images" if value.is_object() || value.elements().next().is_some() => {
                fields.opaque.push(Part::Opaque { dialect: Dialect::OpenAiChat, kind: name, raw: value });
            }
            _ if value.is_array() && value.elements().next().is_none() => {}
            _ => {
                let name = format!("{IN_MESSAGE}{name}").into();
                answer.extensions.push(Extension { dialect: Dialect::OpenAiChat, name, value });
            }
        }
    }
    fields.parts(answer);
}

/// The members of a message that make parts, to be put into the order in which the model thought them.
#[derive(Default)]
struct Fields<'a> {
    content: Option<Raw<'a>>,
    refusal: Option<Text<'a>>,
    reasoning: Option<Text<'a>>,
    thinking_blocks: Option<Raw<'a>>,
    annotations: Option<Raw<'a>>,
    tool_calls: Option<Raw<'a>>,
    function_call: Option<Raw<'a>>,
    opaque: Vec<Part<'a>>,
}

impl<'a> Fields<'a> {
    fn parts(self, answer: &mut Answer<'a>) {
        let parts = &mut answer.parts;
        for block in self.thinking_blocks.into_iter().flat_map(Raw::elements) {
            block_part(block, parts);
        }
        let has_thinking = parts.iter().any(|part| matches!(part, Part::Reasoning { .. }));
        if let Some(text) = self.reasoning.filter(|_| !has_thinking) {
            parts.insert(0, Part::Reasoning { text, signature: None });
        }
        let annotations = self.annotations.map(|raw| Citations { dialect: Dialect::OpenAiChat, raw });
        match self.content {
            Some(content) if content.is_array() => content.elements().for_each(|block| block_part(block, parts)),
            content => {
                if let Some(text) = words(content) {
                    parts.push(Part::Text { text, citations: None, cache: None });
                }
            }
        }
        if let Some(Part::Text { citations, .. }) = parts.iter_mut().rev().find(|part| matches!(part, Part::Text { .. })) {
            *citations = annotations;
        }
        parts.extend(self.refusal.map(Part::Refusal));
        let mut place = 0;
        for call in self.tool_calls.into_iter().flat_map(Raw::elements) {
            if let Some((body, custom)) = call_of(call) {
                let name = words(told(body, "name")).unwrap_or(Text::EMPTY);
                let id = words(told(call, "id")).unwrap_or_else(|| made_call_id(answer.id.as_ref(), place));
                let arguments = arguments(told(body, if custom { "input" } else { "arguments" }));
                parts.push(Part::ToolCall { id, name, arguments, custom, cache: None });
                place += 1;
            }
        }
        if let Some(call) = self.function_call
            && let Some(name) = words(told(call, "name"))
        {
            let id = made_call_id(answer.id.as_ref(), place);
            parts.push(Part::ToolCall { id, name, arguments: arguments(told(call, "arguments")), custom: false, cache: None });
        }
        parts.extend(self.opaque);
    }
}

/// One block of a content that is a list (Mistral), or of `thinking_blocks`.
fn block_part<'a>(block: Raw<'a>, parts: &mut Vec<Part<'a>>) {
    let kind = told(block, "type").and_then(Raw::string).unwrap_or("text".into());
    match &*kind {
        "text" | "output_text" => parts.extend(words(told(block, "text")).map(Part::text)),
        "refusal" => parts.extend(words(told(block, "refusal")).map(Part::Refusal)),
        "thinking" => {
            let (text, signature) = (thinking_text(block), words(told(block, "signature")));
            if !text.is_empty() || signature.is_some() {
                parts.push(Part::Reasoning { text, signature });
            }
        }
        "redacted_thinking" => parts.extend(words(told(block, "data")).map(Part::RedactedReasoning)),
        _ => parts.push(Part::Opaque { dialect: Dialect::OpenAiChat, kind, raw: block }),
    }
}

/// Writes an answer as OpenAI's SDKs want it.
pub(super) fn encode(answer: &Answer<'_>, reply: &Reply, notes: &mut Notes, out: &mut Vec<u8>) {
    let has_calls = answer.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let reason = answer.finish.as_ref().map_or(FinishReason::Stop, |finish| finish.reason);
    object(out, |o| {
        match &answer.id {
            Some(id) => id.put("id", o),
            None => o.string("id", &format!("chatcmpl-{}", reply.id)),
        }
        o.string("object", "chat.completion");
        o.u64("created", answer.created.unwrap_or(reply.created));
        match &answer.model {
            Some(model) => model.put("model", o),
            None => o.string("model", &reply.model),
        }
        o.array("choices", |a| {
            a.object(|o| {
                o.u64("index", 0);
                o.object("message", |o| write_message(answer, reply, notes, o));
                write_logprobs(&answer.extensions, o);
                o.string("finish_reason", finish_word(reason, has_calls));
                put_native_finish(answer.finish.as_ref(), o);
            });
        });
        if let Some(told) = &answer.usage {
            usage::encode(told, o);
        }
        for extension in &answer.extensions {
            match extension.dialect {
                Dialect::OpenAiChat | Dialect::OpenAiResponses if extension.name == "logprobs" => {}
                Dialect::OpenAiChat if extension.name.starts_with(IN_MESSAGE) => {}
                Dialect::OpenAiChat => o.raw(&extension.name, extension.value),
                _ if extension.value.is_null() || extension.tells_only_of_serving() => {}
                _ => notes.losses.add(extension.name.clone().into_owned()),
            }
        }
    });
}

/// The probabilities as they came, or out of the lists that OpenAI's other dialect has for each text.
fn write_logprobs(extensions: &[Extension<'_>], o: &mut Object<'_>) {
    let of = |dialect| extensions.iter().filter(move |e| e.dialect == dialect && e.name == "logprobs").map(|e| e.value);
    if let Some(own) = of(Dialect::OpenAiChat).next() {
        return o.raw("logprobs", own);
    }
    if of(Dialect::OpenAiResponses).next().is_none() {
        return o.null("logprobs");
    }
    o.object("logprobs", |o| {
        o.array("content", |a| of(Dialect::OpenAiResponses).flat_map(Raw::elements).for_each(|token| a.raw(token)));
        o.null("refusal");
    });
}

/// The provider's own word, where this dialect's says less.
pub(super) fn put_native_finish(finish: Option<&Finish<'_>>, o: &mut Object<'_>) {
    if let Some(finish) = finish
        && let FinishReason::Pause | FinishReason::Other = finish.reason
    {
        finish.raw.put("native_finish_reason", o);
    }
}

fn write_message(answer: &Answer<'_>, reply: &Reply, notes: &mut Notes, o: &mut Object<'_>) {
    let parts = &answer.parts;
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let texts = || parts.iter().filter_map(|part| if let Part::Text { text, .. } = part { Some(text) } else { None });
    let refusals = || parts.iter().filter_map(|part| if let Part::Refusal(text) = part { Some(text) } else { None });
    let refused = answer.finish.as_ref().and_then(|finish| finish.explanation.as_ref());
    let refused = refused.filter(|_| refusals().next().is_none());
    let has_refusal = refusals().next().is_some() || refused.is_some();
    o.string("role", "assistant");
    match texts().next() {
        None if has_calls || has_refusal => o.null("content"),
        _ => join(o.key("content"), texts()),
    }
    match has_refusal {
        true => join(o.key("refusal"), refusals().chain(refused)),
        false => o.null("refusal"),
    }
    write_thoughts(parts, o);
    if has_calls {
        o.array("tool_calls", |a| {
            for (place, part) in parts.iter().filter(|part| matches!(part, Part::ToolCall { .. })).enumerate() {
                a.object(|o| write_call(part, place, reply, o));
            }
        });
    }
    write_annotations(parts, notes, o);
    for extension in answer.extensions.iter().filter(|e| e.dialect == Dialect::OpenAiChat) {
        if let Some(name) = extension.name.strip_prefix(IN_MESSAGE) {
            o.raw(name, extension.value);
        }
    }
    for part in parts {
        match part {
            Part::Opaque { dialect: Dialect::OpenAiChat, kind, raw } if matches!(&**kind, "audio" | "images") => o.raw(kind, *raw),
            Part::Opaque { kind, .. } => notes.losses.add(format!("content[].{kind}")),
            Part::Media(_) => notes.losses.add("content[].media"),
            Part::ToolResult { .. } => notes.losses.add("content[].tool_result"),
            _ => {}
        }
    }
}

/// The thinking as text, which is what most clients read, and as blocks where a proof must come back with it.
fn write_thoughts(parts: &[Part<'_>], o: &mut Object<'_>) {
    let texts = || parts.iter().filter_map(|part| if let Part::Reasoning { text, .. } = part { Some(text) } else { None });
    if texts().any(|text| !text.is_empty()) {
        join(o.key("reasoning_content"), texts());
    }
    let has_proof = parts.iter().any(|part| matches!(part, Part::Reasoning { signature: Some(_), .. } | Part::RedactedReasoning(_)));
    if !has_proof {
        return;
    }
    o.array("thinking_blocks", |a| {
        for part in parts {
            match part {
                Part::Reasoning { text, signature } => a.object(|o| {
                    o.string("type", "thinking");
                    text.put("thinking", o);
                    if let Some(signature) = signature {
                        signature.put("signature", o);
                    }
                }),
                Part::RedactedReasoning(data) => a.object(|o| {
                    o.string("type", "redacted_thinking");
                    data.put("data", o);
                }),
                _ => {}
            }
        }
    });
}

fn write_call(part: &Part<'_>, place: usize, reply: &Reply, o: &mut Object<'_>) {
    let Part::ToolCall { id, name, arguments, custom, .. } = part else { return };
    match id.is_empty() {
        true => o.string("id", &format!("call_{}_{place}", reply.id)),
        false => id.put("id", o),
    }
    let upstream_name = name.read();
    let restored = reply.tools.restore(&upstream_name);
    let was_custom = restored.is_some_and(|(_, custom)| custom);
    let kind = if *custom || was_custom { "custom" } else { "function" };
    o.string("type", kind);
    o.object(kind, |o| {
        match restored {
            Some((caller_name, _)) => o.string("name", caller_name),
            None => name.put("name", o),
        }
        match (*custom, was_custom) {
            (true, _) => arguments.put("input", o),
            (false, true) => o.string("input", &custom_input(&arguments.read())),
            (false, false) if arguments.is_empty() => o.string("arguments", "{}"),
            (false, false) => arguments.put("arguments", o),
        }
    });
}

/// Annotations of this dialect return as they came; another's citations point into blocks that are joined here.
fn write_annotations(parts: &[Part<'_>], notes: &mut Notes, o: &mut Object<'_>) {
    let cited = || parts.iter().filter_map(|part| if let Part::Text { citations, .. } = part { citations.as_ref() } else { None });
    if cited().any(|citations| citations.dialect != Dialect::OpenAiChat) {
        notes.losses.add("content[].citations");
    }
    if cited().any(|citations| citations.dialect == Dialect::OpenAiChat) {
        o.array("annotations", |a| {
            cited().filter(|c| c.dialect == Dialect::OpenAiChat).flat_map(|c| c.raw.elements()).for_each(|raw| a.raw(raw));
        });
    }
}
