//! Writing the conversation as items.

use std::collections::HashSet;

use crate::base::Fault;
use crate::base::json::{Array, Object};
use crate::dialect::Notes;
use crate::dialect::openai::refuse::Target;
use crate::dialect::openai::write::{audio_format, is_ours, put_address, put_cache_mark, put_tool_name};
use crate::ir::{Dialect, Media, MediaKind, Message, ModelTraits, Part, Role, Source, Text, proof};

/// Refuses what would change the conversation if it were left out.
pub(super) fn check_messages(target: Target, messages: &[Message<'_>]) -> Result<(), Fault> {
    for message in messages {
        target.check_parts(message)?;
        if message.extensions.iter().any(|e| e.dialect == Dialect::OpenAiChat && e.name == "audio" && !e.value.is_null()) {
            let text = "messages[].audio: the target speaks OpenAI Responses, which cannot take a spoken answer back; send its text";
            return Err(Fault::unsupported("messages[].audio", text));
        }
    }
    Ok(())
}

/// Writes all messages.
pub(super) fn items(messages: &[Message<'_>], traits: &ModelTraits, notes: &mut Notes, a: &mut Array<'_>) {
    let mut writer = Writer { traits, notes, custom_calls: HashSet::new() };
    messages.iter().for_each(|message| writer.message(message, a));
}

struct Writer<'w> {
    traits: &'w ModelTraits,
    notes: &'w mut Notes,
    /// Calls of free-form tools: their results are items of another kind.
    custom_calls: HashSet<String>,
}

impl Writer<'_> {
    /// What a turn says stands in messages; its thoughts, calls and results are items between them, in their order.
    fn message(&mut self, message: &Message<'_>, a: &mut Array<'_>) {
        self.rest(message);
        let mut said: Vec<&Part<'_>> = Vec::new();
        let mut any = false;
        for part in &message.parts {
            if sayable(part, message.role) {
                said.push(part);
                continue;
            }
            if !said.is_empty() {
                self.say(message, &said, a);
                said.clear();
            }
            any = true;
            self.item(part, a);
        }
        if !said.is_empty() || !any {
            self.say(message, &said, a);
        }
    }

    fn rest(&mut self, message: &Message<'_>) {
        if message.name.is_some() {
            self.lose("messages[].name");
        }
        for extension in message.extensions.iter().filter(|e| !e.value.is_null()) {
            if !(extension.dialect == Dialect::OpenAiResponses && extension.name == "phase" && message.role == Role::Assistant) {
                self.notes.losses.add(format!("messages[].{}", extension.name));
            }
        }
    }

    fn say(&mut self, message: &Message<'_>, parts: &[&Part<'_>], a: &mut Array<'_>) {
        let role = match message.role {
            Role::System => "system",
            Role::Developer if self.traits.developer_role => "developer",
            Role::Developer => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        // A turn without any words is none of the model's.
        if parts.is_empty() && message.role == Role::Assistant {
            return;
        }
        a.object(|o| {
            o.string("type", "message");
            o.string("role", role);
            match parts {
                [] => o.string("content", ""),
                [Part::Text { text, citations: None, cache }] if !is_ours(*cache) => {
                    if cache.is_some() {
                        self.lose("cache_control");
                    }
                    text.put("content", o);
                }
                parts => o.array("content", |a| parts.iter().for_each(|part| self.content(part, message.role, a))),
            }
            if message.role == Role::Assistant
                && let Some(phase) = message.extensions.iter().find(|e| e.dialect == Dialect::OpenAiResponses && e.name == "phase")
            {
                o.raw("phase", phase.value);
            }
        });
    }

    fn content(&mut self, part: &Part<'_>, role: Role, a: &mut Array<'_>) {
        let words = if role == Role::Assistant { "output_text" } else { "input_text" };
        match part {
            Part::Text { text, citations, cache } => a.object(|o| {
                o.string("type", words);
                text.put("text", o);
                match citations {
                    Some(own) if own.dialect == Dialect::OpenAiResponses && role == Role::Assistant => o.raw("annotations", own.raw),
                    Some(_) => self.lose("messages[].content[].citations"),
                    None => {}
                }
                put_cache_mark(*cache, &mut self.notes.losses, o);
            }),
            Part::Refusal(text) if role == Role::Assistant => a.object(|o| {
                o.string("type", "refusal");
                text.put("refusal", o);
            }),
            Part::Refusal(text) => a.object(|o| {
                o.string("type", words);
                text.put("text", o);
            }),
            Part::Media(media) => a.object(|o| self.media(media, o)),
            Part::Opaque { raw, .. } => a.raw(*raw),
            _ => {}
        }
    }

    fn item(&mut self, part: &Part<'_>, a: &mut Array<'_>) {
        match part {
            Part::Reasoning { text, signature } => self.thought(Some(text), signature.as_ref(), a),
            Part::RedactedReasoning(data) => self.thought(None, Some(data), a),
            Part::ToolCall { id, name, arguments, custom, cache } => {
                if *custom {
                    self.custom_calls.insert(id.read().into_owned());
                }
                if cache.is_some() {
                    self.lose("cache_control");
                }
                a.object(|o| {
                    o.string("type", if *custom { "custom_tool_call" } else { "function_call" });
                    id.put("call_id", o);
                    put_tool_name(name, self.notes, o);
                    match (custom, arguments.is_empty()) {
                        (true, _) => arguments.put("input", o),
                        (false, true) => o.string("arguments", "{}"),
                        (false, false) => arguments.put("arguments", o),
                    }
                });
            }
            Part::ToolResult { id, parts, error, cache } => {
                if cache.is_some() {
                    self.lose("cache_control");
                }
                let is_custom = !self.custom_calls.is_empty() && self.custom_calls.contains(&*id.read());
                a.object(|o| {
                    o.string("type", if is_custom { "custom_tool_call_output" } else { "function_call_output" });
                    id.put("call_id", o);
                    self.output(parts, *error, o);
                });
            }
            Part::Opaque { dialect: Dialect::OpenAiResponses, raw, .. } => a.raw(*raw),
            Part::Opaque { kind, .. } => self.notes.losses.add(format!("messages[].content[].{kind}")),
            Part::Media(_) => self.lose("messages[].content[].media"),
            Part::Text { .. } | Part::Refusal(_) => {}
        }
    }

    /// A thought goes back only to who thought it, whole.
    fn thought(&mut self, text: Option<&Text<'_>>, proof: Option<&Text<'_>>, a: &mut Array<'_>) {
        let own = proof.and_then(|proof| proof::claim(Dialect::OpenAiResponses, proof));
        let unsigned = proof.is_none_or(Text::is_empty);
        let words = text.filter(|text| !text.is_empty());
        match (own, words) {
            (Some(encrypted), words) => a.object(|o| {
                o.string("type", "reasoning");
                o.array("summary", |a| {
                    if let Some(words) = words {
                        a.object(|o| {
                            o.string("type", "summary_text");
                            words.put("text", o);
                        });
                    }
                });
                encrypted.put("encrypted_content", o);
            }),
            (None, Some(words)) if unsigned && self.traits.replays_reasoning => a.object(|o| {
                o.string("type", "reasoning");
                o.array("summary", |_| ());
                o.array("content", |a| {
                    a.object(|o| {
                        o.string("type", "reasoning_text");
                        words.put("text", o);
                    });
                });
            }),
            (None, None) if unsigned => {}
            _ => self.lose("messages[].reasoning"),
        }
    }

    fn output(&mut self, parts: &[Part<'_>], error: bool, o: &mut Object<'_>) {
        const FLAG: &[u8] = b"Error: ";
        let flag = |first: bool| if error && first { FLAG } else { b"" };
        match parts {
            [] => {
                let out = o.key("output");
                out.push(b'"');
                out.extend_from_slice(flag(true));
                out.push(b'"');
            }
            [Part::Text { text, citations: None, cache }] if !is_ours(*cache) => {
                if cache.is_some() {
                    self.lose("cache_control");
                }
                let out = o.key("output");
                out.push(b'"');
                out.extend_from_slice(flag(true));
                text.write_inner(out);
                out.push(b'"');
            }
            parts => o.array("output", |a| {
                if error && !matches!(parts.first(), Some(Part::Text { .. })) {
                    a.object(|o| {
                        o.string("type", "input_text");
                        o.string("text", "Error:");
                    });
                }
                for (i, part) in parts.iter().enumerate() {
                    match part {
                        Part::Text { text, citations, cache } => a.object(|o| {
                            o.string("type", "input_text");
                            let out = o.key("text");
                            out.push(b'"');
                            out.extend_from_slice(flag(i == 0));
                            text.write_inner(out);
                            out.push(b'"');
                            if citations.is_some() {
                                self.lose("messages[].content[].citations");
                            }
                            put_cache_mark(*cache, &mut self.notes.losses, o);
                        }),
                        Part::Opaque { dialect, kind, .. } if *dialect != Dialect::OpenAiResponses => {
                            self.notes.losses.add(format!("messages[].content[].{kind}"));
                        }
                        part => self.content(part, Role::User, a),
                    }
                }
            }),
        }
    }

    fn media(&mut self, media: &Media<'_>, o: &mut Object<'_>) {
        for extension in media.extensions.iter().filter(|e| !e.value.is_null()) {
            self.notes.losses.add(format!("messages[].content[].{}", extension.name));
        }
        match (media.kind, &media.source) {
            (_, Source::Plain(text)) => {
                o.string("type", "input_text");
                text.put("text", o);
                if media.title.is_some() {
                    self.lose("messages[].content[].title");
                }
            }
            (MediaKind::Image, source) => {
                o.string("type", "input_image");
                match source {
                    Source::FileId { id, .. } => id.put("file_id", o),
                    source => put_address(source, o.key("image_url")),
                }
                match &media.detail {
                    Some(detail) => detail.put("detail", o),
                    None => o.string("detail", "auto"),
                }
            }
            (MediaKind::Audio, Source::Base64 { media_type, data }) => {
                o.string("type", "input_audio");
                o.object("input_audio", |o| {
                    data.put("data", o);
                    o.string("format", audio_format(&media_type.read()));
                });
            }
            (_, source) => {
                o.string("type", "input_file");
                match source {
                    Source::FileId { id, .. } => id.put("file_id", o),
                    Source::Url(url) => url.put("file_url", o),
                    source => {
                        match &media.title {
                            Some(title) => title.put("filename", o),
                            None => o.string("filename", "document.pdf"),
                        }
                        put_address(source, o.key("file_data"));
                    }
                }
                if let Some(detail) = &media.detail {
                    detail.put("detail", o);
                }
            }
        }
        put_cache_mark(media.cache, &mut self.notes.losses, o);
    }

    fn lose(&mut self, name: &'static str) {
        self.notes.losses.add(name);
    }
}

/// Whether a part stands in a message rather than beside it.
fn sayable(part: &Part<'_>, role: Role) -> bool {
    match part {
        Part::Text { .. } | Part::Refusal(_) => true,
        Part::Media(_) => role != Role::Assistant,
        // What is no item of its own.
        Part::Opaque { dialect: Dialect::OpenAiResponses, kind, .. } => kind.starts_with("input_") || kind.starts_with("output_"),
        _ => false,
    }
}
