//! Whole answers.

use super::contents::add_thought;
use super::parts::{Call, Fields};
use super::wire::{At, arguments, extension, shown};
use super::{error, finish, usage};
use crate::base::Fault;
use crate::base::digest::fnv1a;
use crate::base::json::{self, Array, Object, Raw, Reader};
use crate::dialect::{Losses, Observed, Reply, broken, free_form};
use crate::ir::{Answer, Dialect, Part, Text, proof};

/// Members of a candidate that the neutral form does not model.
pub(super) const OF_CANDIDATE: [&str; 5] =
    ["groundingMetadata", "citationMetadata", "urlContextMetadata", "logprobsResult", "continuationToken"];

/// Reads an answer of status 200.
pub(super) fn decode(body: &[u8]) -> Result<Answer<'_>, Fault> {
    let raw = broken::json(body)?;
    if error::is_error(raw) {
        return Err(error::decode_typed(raw));
    }
    let (mut answer, mut candidates, mut feedback) = (Answer::default(), None, None);
    for (name, value) in raw.members().filter(|(_, v)| !v.is_null()) {
        match &*name {
            "candidates" => candidates = Some(value),
            "promptFeedback" => feedback = Some(value),
            "usageMetadata" => answer.usage = usage::read(value),
            "responseId" => answer.id = Text::of(value),
            "modelVersion" => answer.model = Text::of(value),
            "createTime" => answer.created = value.string().and_then(|stamp| seconds(&stamp)),
            _ => answer.extensions.push(extension(name, value)),
        }
    }
    match (candidates.and_then(|c| c.elements().next()), feedback.and_then(finish::blocked)) {
        (Some(first), _) => candidate(first, &mut answer)?,
        (None, Some(blocked)) => answer.finish = Some(blocked),
        (None, None) => return Err(broken::answer("has no candidate: it is not an answer of Gemini's generateContent")),
    }
    Ok(answer)
}

/// Seconds since the Unix epoch of an RFC 3339 time.
pub(super) fn seconds(stamp: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339_weak(stamp).ok()?;
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn candidate<'a>(raw: Raw<'a>, answer: &mut Answer<'a>) -> Result<(), Fault> {
    let (mut parts, mut word, mut message) = (None, None, None);
    for (name, value) in raw.members().filter(|(_, v)| !v.is_null()) {
        match &*name {
            "content" => parts = value.member("parts"),
            "finishReason" => word = finish::word_of(value),
            "finishMessage" => message = Text::of(value),
            name_of_own if OF_CANDIDATE.contains(&name_of_own) => {
                if let (true, Some(searches)) = (name_of_own == "groundingMetadata", usage::searches(value)) {
                    answer.usage.get_or_insert_default().web_searches = Some(searches);
                }
                answer.extensions.push(extension(name, value));
            }
            _ => {}
        }
    }
    let (at, mut calls) = (At::root("candidates[0].content.parts"), 0);
    for (i, raw) in parts.into_iter().flat_map(Raw::elements).enumerate() {
        part(raw, &at.index(i), &mut calls, answer).map_err(|fault| broken::part(&fault))?;
    }
    // The signature alone stands for a last part without words.
    if let [.., Part::Reasoning { text: thought, .. }, Part::Text { text, .. }] = &answer.parts[..]
        && thought.is_empty()
        && text.is_empty()
    {
        answer.parts.pop();
    }
    answer.finish = word.map(|word| finish::read(word, message, calls > 0));
    Ok(())
}

fn part<'a>(raw: Raw<'a>, at: &At<'_>, calls: &mut usize, answer: &mut Answer<'a>) -> Result<(), Fault> {
    let fields = Fields::read(raw, at)?;
    if fields.thought && fields.held.is_none() {
        add_thought(fields, &mut answer.parts);
        return Ok(());
    }
    let signature = |signature: Option<Text<'a>>| signature.map(|s| Part::Reasoning { text: Text::EMPTY, signature: Some(s) });
    match fields.held {
        Some((kind, value)) if kind == "functionCall" => {
            let here = at.name(&kind);
            let call = Call::read(value, &here)?;
            let name = call.name(&here)?;
            let id = call.id.unwrap_or_else(|| Text::plain(call_id(answer.id.as_ref(), *calls, raw.get())));
            *calls += 1;
            answer.parts.extend(signature(fields.signature));
            answer.parts.push(Part::ToolCall { id, name, arguments: arguments(call.args), custom: false, cache: None });
        }
        Some((kind, _)) => answer.parts.push(Part::Opaque { dialect: Dialect::Gemini, kind, raw }),
        None => {
            let signed = fields.signature.is_some();
            answer.parts.extend(signature(fields.signature));
            let words = fields.text.filter(|text| signed || !text.is_empty());
            answer.parts.extend(words.map(Part::text));
            answer.extensions.extend(fields.rest.into_iter().map(|(name, value)| extension(format!("parts[].{name}"), value)));
        }
    }
    Ok(())
}

/// The id of a call that came without one: no other call of the conversation has it, and the same answer gives the same.
pub(super) fn call_id(answer: Option<&Text<'_>>, made: usize, part: &str) -> String {
    match answer.filter(|id| !id.is_empty()) {
        Some(id) => format!("call_{}_{made}", id.read()),
        None => format!("call_{:016x}_{made}", fnv1a(part)),
    }
}

/// Reads what accounting wants of an answer that passes unchanged.
pub(super) fn observe(body: &[u8]) -> Result<Observed, Fault> {
    let (mut observed, mut word, mut called, mut blocked, mut searches) = (Observed::default(), None, false, None, None);
    Reader::read(body, |r| {
        r.members(|r, name| match &*name {
            "usageMetadata" => {
                observed.usage = usage::read(r.raw()?);
                Ok(())
            }
            "promptFeedback" => {
                blocked = finish::blocked(r.raw()?).map(|finish| finish.reason);
                Ok(())
            }
            "candidates" => r.elements(|r, _| {
                r.members(|r, name| match &*name {
                    "finishReason" => {
                        let told = finish::word_of(r.raw()?);
                        word = word.take().or(told);
                        Ok(())
                    }
                    "groundingMetadata" => {
                        searches = usage::searches(r.raw()?);
                        Ok(())
                    }
                    "content" => r.members(|r, name| match &*name {
                        "parts" => r.elements(|r, _| {
                            r.members(|r, name| {
                                called |= name == "functionCall";
                                r.skip()
                            })
                        }),
                        _ => r.skip(),
                    }),
                    _ => r.skip(),
                })
            }),
            _ => r.skip(),
        })
    })
    .map_err(|e| broken::answer("is not JSON, though its status says success").cause(e))?;
    if searches.is_some() {
        observed.usage.get_or_insert_default().web_searches = searches;
    }
    observed.finish = word.map(|word| finish::reason(&word.read(), called)).or(blocked);
    Ok(observed)
}

/// Writes an answer for a client of Google's SDKs.
pub(super) fn encode(answer: &Answer<'_>, reply: &Reply, losses: &mut Losses, out: &mut Vec<u8>) {
    let own = |name: &str| OF_CANDIDATE.contains(&name);
    json::object(out, |body| {
        body.array("candidates", |candidates| {
            candidates.object(|candidate| {
                let mut writer = PartWriter { reply, losses, refused: false, written: false, pending: None };
                candidate.object("content", |content| {
                    content.array("parts", |parts| {
                        answer.parts.iter().for_each(|part| writer.put(part, parts));
                        writer.flush(parts);
                        // Without any part the SDKs find no answer, not an empty one.
                        if !writer.written {
                            put_words(&Text::EMPTY, None, parts.item());
                        }
                    });
                    content.string("role", "model");
                });
                finish::put(answer.finish.as_ref(), writer.refused, candidate);
                candidate.u64("index", 0);
                for extension in answer.extensions.iter().filter(|e| e.dialect == Dialect::Gemini && own(&e.name)) {
                    candidate.raw(&extension.name, extension.value);
                }
            });
        });
        if let Some(usage) = &answer.usage {
            usage::put(usage, body);
        }
        put_tail(answer.id.as_ref(), answer.model.as_ref(), reply, body);
        for extension in answer.extensions.iter().filter(|e| !e.value.is_null()) {
            match extension.dialect {
                Dialect::Gemini if own(&extension.name) => {}
                Dialect::Gemini if !extension.name.contains("[].") => body.raw(&extension.name, extension.value),
                _ if extension.tells_only_of_serving() => {}
                _ => losses.add(extension.name.to_string()),
            }
        }
    });
}

/// Writes `modelVersion` and `responseId`.
pub(super) fn put_tail(id: Option<&Text<'_>>, model: Option<&Text<'_>>, reply: &Reply, body: &mut Object<'_>) {
    match model.filter(|model| !model.is_empty()) {
        Some(model) => model.put("modelVersion", body),
        None => body.string("modelVersion", &reply.model),
    }
    match id.filter(|id| !id.is_empty()) {
        Some(id) => id.put("responseId", body),
        None => body.string("responseId", &reply.id.to_string()),
    }
}

/// Writes the parts of an answer.
struct PartWriter<'w> {
    reply: &'w Reply,
    losses: &'w mut Losses,
    refused: bool,
    written: bool,
    /// A signature that belongs to the part that follows.
    pending: Option<Text<'w>>,
}

impl<'w> PartWriter<'w> {
    fn put(&mut self, part: &'w Part<'_>, parts: &mut Array<'_>) {
        match part {
            Part::Reasoning { text, signature } if text.is_empty() => match signature {
                Some(own) if proof::claim(Dialect::Gemini, own).is_some() => {
                    self.flush(parts);
                    self.pending = Some(proof::write(Dialect::Gemini, own));
                }
                Some(foreign) => self.thought(Some(&Text::EMPTY), Some(foreign), parts),
                None => {}
            },
            Part::Reasoning { text, signature } => self.thought(Some(text), signature.as_ref(), parts),
            Part::RedactedReasoning(data) => self.thought(None, Some(data), parts),
            Part::Text { text, citations, .. } => {
                if citations.is_some() {
                    self.losses.add("annotations");
                }
                self.words(text, parts);
            }
            Part::Refusal(text) => {
                self.refused |= !text.is_empty();
                self.words(text, parts);
            }
            Part::ToolCall { id, name, arguments, custom, .. } => {
                let signature = self.pending.take();
                let name = self.reply.caller_name(name);
                put_call(id, &name, arguments, *custom, signature.as_ref(), self.item(parts));
            }
            Part::Opaque { dialect: Dialect::Gemini, raw, .. } => {
                self.flush(parts);
                self.item(parts).extend_from_slice(raw.get().as_bytes());
            }
            Part::Opaque { kind, .. } => self.losses.add(format!("parts[].{kind}")),
            Part::Media(_) => self.losses.add("parts[].media"),
            Part::ToolResult { .. } => self.losses.add("parts[].functionResponse"),
        }
    }

    fn thought(&mut self, text: Option<&Text<'_>>, proof: Option<&Text<'_>>, parts: &mut Array<'_>) {
        self.flush(parts);
        let signature = proof.filter(|proof| !proof.is_empty()).and_then(|proof| {
            let shown = shown(proof);
            if shown.is_none() {
                self.losses.add("parts[].signature");
            }
            shown
        });
        if signature.is_some() || text.is_some_and(|text| !text.is_empty()) {
            put_thought(text, signature.as_ref(), self.item(parts));
        }
    }

    fn words(&mut self, text: &Text<'_>, parts: &mut Array<'_>) {
        let signature = self.pending.take();
        if signature.is_some() || !text.is_empty() {
            put_words(text, signature.as_ref(), self.item(parts));
        }
    }

    /// A signature whose part never came stands on one without words.
    fn flush(&mut self, parts: &mut Array<'_>) {
        if let Some(signature) = self.pending.take() {
            put_words(&Text::EMPTY, Some(&signature), self.item(parts));
        }
    }

    fn item<'p>(&mut self, parts: &'p mut Array<'_>) -> &'p mut Vec<u8> {
        self.written = true;
        parts.item()
    }
}

/// Writes a part of words, with the signature as the wire has it.
pub(super) fn put_words(text: &Text<'_>, signature: Option<&Text<'_>>, out: &mut Vec<u8>) {
    json::object(out, |part| {
        text.put("text", part);
        if let Some(signature) = signature {
            signature.put("thoughtSignature", part);
        }
    });
}

/// Writes a part of thinking, with the signature as the wire has it. What only its provider can read has no text.
pub(super) fn put_thought(text: Option<&Text<'_>>, signature: Option<&Text<'_>>, out: &mut Vec<u8>) {
    json::object(out, |part| {
        if let Some(text) = text {
            text.put("text", part);
        }
        part.bool("thought", true);
        if let Some(signature) = signature {
            signature.put("thoughtSignature", part);
        }
    });
}

/// Writes a part that is a call, with the signature as the wire has it.
pub(super) fn put_call(id: &Text<'_>, name: &str, arguments: &Text<'_>, custom: bool, signature: Option<&Text<'_>>, out: &mut Vec<u8>) {
    json::object(out, |part| {
        part.object("functionCall", |call| {
            id.put("id", call);
            call.string("name", name);
            free_form::put_input("args", arguments, custom, call);
        });
        if let Some(signature) = signature {
            signature.put("thoughtSignature", part);
        }
    });
}
