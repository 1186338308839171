//! Whole answers: reading the provider's, writing the caller's, and a glance at one that passes.

use super::reply::{self, Head, Made, Status};
use super::wire::{Served, called, finish, reasoning_part, status_words, usage};
use crate::base::json::{Raw, Reader, object};
use crate::base::{Fault, FaultKind};
use crate::dialect::openai::error;
use crate::dialect::openai::read::{arguments, told, words};
use crate::dialect::openai::write::custom_input;
use crate::dialect::{Notes, Observed, Reply, broken};
use crate::ir::{Answer, Citations, Dialect, Extension, FinishReason, Part, Text, proof};

/// Reads an answer of status 200.
pub(super) fn decode(body: &[u8]) -> Result<Answer<'_>, Fault> {
    let root = broken::object(body)?;
    if let Some(fault) = error::inside(root) {
        return Err(fault);
    }
    read(root)
}

/// Reads a response object that has no error.
pub(super) fn read(root: Raw<'_>) -> Result<Answer<'_>, Fault> {
    let mut answer = Answer::default();
    let (mut status, mut reason, mut output) = (None, None, None);
    let mut served = Served::default();
    for (name, value) in root.members() {
        served.read(&name, value);
        match &*name {
            _ if value.is_null() => {}
            "id" => answer.id = words(Some(value)),
            "model" => answer.model = words(Some(value)),
            "created_at" => answer.created = seconds(value),
            "status" => status = words(Some(value)),
            "incomplete_details" => reason = words(told(value, "reason")),
            "output" => output = Some(value),
            "usage" => answer.usage = usage(value),
            // The others repeat the request.
            "service_tier" | "moderation" | "content_filters" | "citations" if !is_empty(value) => {
                answer.extensions.push(Extension { dialect: Dialect::OpenAiResponses, name, value });
            }
            _ => {}
        }
    }
    let is_failed = status.as_ref().is_some_and(|status| status.is("failed") || status.is("cancelled"));
    if is_failed {
        return Err(Fault::upstream(FaultKind::UpstreamFailed, "The provider gave up the answer and did not say why."));
    }
    let Some(output) = output.filter(|output| output.is_array()) else {
        return Err(broken::answer("has no `output`: it is not a response"));
    };
    let mut phase = None;
    for item in output.elements() {
        read_item(item, &mut phase, &mut answer);
    }
    let dialect = Dialect::OpenAiResponses;
    answer.extensions.extend(phase.map(|value| Extension { dialect, name: "output[].phase".into(), value }));
    let has_calls = answer.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    answer.finish = finish(status, reason, has_calls);
    answer.usage = served.with(answer.usage);
    Ok(answer)
}

/// Seconds since the epoch; some hosts give a fraction.
pub(super) fn seconds(raw: Raw<'_>) -> Option<u64> {
    raw.u64().or_else(|| raw.number()?.split('.').next()?.parse().ok())
}

fn is_empty(value: Raw<'_>) -> bool {
    value.elements().next().is_none() && value.members().next().is_none() && words(Some(value)).is_none()
}

fn read_item<'a>(item: Raw<'a>, phase: &mut Option<Raw<'a>>, answer: &mut Answer<'a>) {
    if !item.is_object() {
        return;
    }
    let kind = told(item, "type").and_then(Raw::string).unwrap_or("message".into());
    match &*kind {
        "message" => {
            for part in told(item, "content").into_iter().flat_map(Raw::elements) {
                answer.parts.extend(content_part(part, &mut answer.extensions));
            }
            if let Some(value) = told(item, "phase") {
                *phase = phase.or(Some(value));
            }
        }
        "reasoning" => answer.parts.extend(reasoning_part(item)),
        "function_call" | "custom_tool_call" => {
            if let Some(part) = call(item, kind == "custom_tool_call", answer.parts.len()) {
                answer.parts.push(part);
            }
        }
        _ => answer.parts.push(Part::Opaque { dialect: Dialect::OpenAiResponses, kind, raw: item }),
    }
}

/// A call that a caller could run.
fn call(item: Raw<'_>, custom: bool, place: usize) -> Option<Part<'_>> {
    let name = called(item)?;
    let id = words(told(item, "call_id")).or_else(|| words(told(item, "id"))).unwrap_or_else(|| Text::plain(format!("call_{place}")));
    let arguments = arguments(told(item, if custom { "input" } else { "arguments" }));
    Some(Part::ToolCall { id, name, arguments, custom, cache: None })
}

/// A part of a message. An empty text is none.
fn content_part<'a>(part: Raw<'a>, extensions: &mut Vec<Extension<'a>>) -> Option<Part<'a>> {
    let kind = told(part, "type").and_then(Raw::string).unwrap_or("output_text".into());
    match &*kind {
        "output_text" | "text" => {
            let text = words(told(part, "text"))?;
            if let Some(value) = told(part, "logprobs").filter(|list| !is_empty(*list)) {
                extensions.push(Extension { dialect: Dialect::OpenAiResponses, name: "logprobs".into(), value });
            }
            let cited = told(part, "annotations").filter(|list| !is_empty(*list));
            let citations = cited.map(|raw| Citations { dialect: Dialect::OpenAiResponses, raw });
            Some(Part::Text { text, citations, cache: None })
        }
        "refusal" => words(told(part, "refusal")).map(Part::Refusal),
        _ => Some(Part::Opaque { dialect: Dialect::OpenAiResponses, kind, raw: part }),
    }
}

/// What accounting wants of an answer that passes unchanged.
pub(super) fn observe(body: &[u8]) -> Result<Observed, Fault> {
    let (mut counted, mut status, mut reason, mut calls, mut failed, mut whole) = (None, None, None, false, false, false);
    let mut served = Served::default();
    let read = Reader::read(body, |r| {
        if !r.is_object() {
            return Err(r.expected("an object"));
        }
        r.members(|r, name| match &*name {
            "usage" => r.raw().map(|value| counted = usage(value)),
            "status" => r.raw().map(|value| status = Text::of(value)),
            "incomplete_details" => r.raw().map(|value| reason = told(value, "reason").and_then(Text::of)),
            "error" => r.raw().map(|value| failed = !value.is_null()),
            "output" => {
                whole = true;
                r.elements(|r, _| {
                    let (mut search, mut action) = (false, None);
                    r.members(|r, name| match &*name {
                        "type" => r.raw().map(|value| {
                            calls |= matches!(value.inner(), Some("function_call" | "custom_tool_call"));
                            search = value.inner() == Some("web_search_call");
                        }),
                        "action" => r.raw().map(|value| action = Some(value)),
                        _ => r.skip(),
                    })?;
                    served.item(search, action);
                    Ok(())
                })
            }
            "service_tier" | "tool_usage" => {
                let value = r.raw()?;
                served.read(&name, value);
                Ok(())
            }
            _ => r.skip(),
        })
    });
    read.map_err(|error| broken::answer("is not a JSON object").cause(error))?;
    if failed && let Some(fault) = error::inside(broken::object(body)?) {
        return Err(fault);
    }
    // An answer to another question (a count of tokens) has no status and no output.
    let ended = if whole || status.is_some() { finish(status, reason, calls) } else { None };
    Ok(Observed { usage: served.with(counted), finish: ended.map(|finish| finish.reason) })
}

/// Writes an answer as OpenAI's SDKs want it.
pub(super) fn encode(answer: &Answer<'_>, reply: &Reply, notes: &mut Notes, out: &mut Vec<u8>) {
    let reason = answer.finish.as_ref().map_or(FinishReason::Stop, |finish| finish.reason);
    let (status, incomplete) = status_words(reason);
    let head = Head::new(answer.id.as_ref(), answer.model.as_ref(), answer.created, reply);
    let mut output = Vec::with_capacity(256);
    output.push(b'[');
    let mut writer = Items { reply, status, notes, count: 0 };
    let mut parts = &answer.parts[..];
    while !parts.is_empty() {
        parts = writer.item(parts, &mut output);
    }
    let explanation = answer.finish.as_ref().and_then(|finish| finish.explanation.as_ref());
    if let Some(explanation) = explanation.filter(|_| !answer.parts.iter().any(|part| matches!(part, Part::Refusal(_)))) {
        writer.item(&[Part::Refusal(explanation.by_ref())], &mut output);
    }
    output.push(b']');
    object(out, |o| {
        head.put(&Status { word: status, incomplete, error: None }, o);
        o.key("output").extend_from_slice(&output);
        reply::put_rest(answer.usage.as_ref(), o);
    });
    for extension in &answer.extensions {
        if !extension.value.is_null() && !extension.tells_only_of_serving() {
            notes.losses.add(extension.name.clone().into_owned());
        }
    }
}

struct Items<'w> {
    reply: &'w Reply,
    status: &'static str,
    notes: &'w mut Notes,
    count: usize,
}

impl Items<'_> {
    /// Writes the item that the next parts make, and gives the parts behind them. Words in a row are one message.
    fn item<'p, 'a>(&mut self, parts: &'p [Part<'a>], out: &mut Vec<u8>) -> &'p [Part<'a>] {
        let spoken = |part: &Part<'_>| matches!(part, Part::Text { .. } | Part::Refusal(_));
        let words = parts.iter().take_while(|part| spoken(part)).count();
        let (these, rest) = parts.split_at(words.max(1).min(parts.len()));
        // Only what the bound has cut off is not whole.
        let status = if rest.is_empty() { self.status } else { "completed" };
        let before = out.len();
        if before > 1 {
            out.push(b',');
        }
        match self.write(these, status, out) {
            true => self.count += 1,
            false => out.truncate(before),
        }
        rest
    }

    fn write(&mut self, parts: &[Part<'_>], status: &str, out: &mut Vec<u8>) -> bool {
        let made = Made { reply: self.reply, place: self.count };
        match parts.first() {
            Some(Part::Text { .. } | Part::Refusal(_)) => made.message(status, out, |a| {
                for part in parts {
                    match part {
                        Part::Text { text, citations, .. } => {
                            let own = citations.as_ref().filter(|c| c.dialect == Dialect::OpenAiResponses);
                            if citations.is_some() && own.is_none() {
                                self.notes.losses.add("content[].citations");
                            }
                            a.object(|o| reply::put_text(o, |out| text.write_inner(out), own.map(|c| c.raw.get())));
                        }
                        Part::Refusal(text) => a.object(|o| reply::put_refusal(o, |out| text.write_inner(out))),
                        _ => {}
                    }
                }
            }),
            Some(Part::Reasoning { text, signature }) => {
                let proof = signature.as_ref().map(|s| proof::write(Dialect::OpenAiResponses, s));
                made.reasoning(out, Some(|out: &mut Vec<u8>| text.write_inner(out)), proof.as_ref());
            }
            Some(Part::RedactedReasoning(data)) => {
                let proof = proof::write(Dialect::OpenAiResponses, data);
                made.reasoning(out, None::<fn(&mut Vec<u8>)>, Some(&proof));
            }
            Some(Part::ToolCall { id, name, arguments, custom, .. }) => {
                let call = reply::Call::new(id, name, *custom, &made);
                let wrapped = (call.wrapped).then(|| Text::plain(custom_input(&arguments.read())));
                let text = wrapped.as_ref().unwrap_or(arguments);
                made.call(&call, status, out, |out| match text.is_empty() && !call.custom {
                    true => out.extend_from_slice(b"{}"),
                    false => text.write_inner(out),
                });
            }
            Some(Part::Opaque { dialect: Dialect::OpenAiResponses, raw, .. }) if told(*raw, "type").is_some() => {
                out.extend_from_slice(raw.get().as_bytes());
            }
            Some(Part::Opaque { kind, .. }) => {
                self.notes.losses.add(format!("content[].{kind}"));
                return false;
            }
            Some(Part::Media(_)) => {
                self.notes.losses.add("content[].media");
                return false;
            }
            Some(Part::ToolResult { .. }) => {
                self.notes.losses.add("content[].tool_result");
                return false;
            }
            None => return false,
        }
        true
    }
}
