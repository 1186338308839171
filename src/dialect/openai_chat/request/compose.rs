//! Writing the conversation.

use super::encode::{extensions, put_call_id};
use super::message::OPAQUE_CALL;
use crate::base::json::{Array, Object};
use crate::dialect::Notes;
use crate::dialect::openai::write::{audio_format, is_ours, join, put_address, put_cache_mark, put_tool_name};
use crate::ir::{CacheMark, Dialect, Media, MediaKind, Message, ModelTraits, Part, Role, Source, Text};

/// What stands in a tool message for a medium, which follows in a user message: this role takes words only.
const MEDIUM_FOLLOWS: &str = "[the tool returned a file: it is in the next user message]";

/// Writes all messages.
pub(super) fn messages(messages: &[Message<'_>], traits: &ModelTraits, notes: &mut Notes, a: &mut Array<'_>) {
    let mut writer = Writer { traits, notes };
    for message in messages {
        match message.role {
            Role::System => writer.plain(message, "system", a),
            Role::Developer => writer.plain(message, if traits.developer_role { "developer" } else { "system" }, a),
            Role::User => writer.user(message, a),
            Role::Assistant => writer.assistant(message, a),
        }
    }
}

struct Writer<'w> {
    traits: &'w ModelTraits,
    notes: &'w mut Notes,
}

/// One part of a message's content, and what it comes from.
enum Piece<'p> {
    /// A part of the turn itself.
    Own(&'p Part<'p>),
    /// Words that tell which call the medium behind it comes from.
    Origin(&'p Text<'p>),
}

impl Writer<'_> {
    fn plain(&mut self, message: &Message<'_>, role: &str, a: &mut Array<'_>) {
        let pieces = self.sayable(&message.parts);
        self.message(message, role, &pieces, a);
    }

    /// Tool results come first, each a message of its own, in the order of the turn; then what else the turn says, led
    /// by the media that the results hold.
    fn user(&mut self, message: &Message<'_>, a: &mut Array<'_>) {
        let mut pieces = Vec::new();
        let mut has_results = false;
        for part in &message.parts {
            if let Part::ToolResult { id, parts, error, cache } = part {
                has_results = true;
                self.result(id, parts, *error, a);
                if cache.is_some() {
                    self.lose("cache_control");
                }
                for medium in parts.iter().filter(|part| matches!(part, Part::Media(_))) {
                    pieces.extend([Piece::Origin(id), Piece::Own(medium)]);
                }
            }
        }
        pieces.extend(self.sayable(&message.parts));
        if has_results && pieces.is_empty() {
            // The members that would ride on the turn have no message to ride on.
            if message.name.is_some() {
                self.lose("messages[].name");
            }
            for extension in &message.extensions {
                self.notes.losses.add(format!("messages[].{}", extension.name));
            }
            return;
        }
        self.message(message, "user", &pieces, a);
    }

    fn result(&mut self, id: &Text<'_>, parts: &[Part<'_>], error: bool, a: &mut Array<'_>) {
        let mut texts: Vec<Text<'_>> = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Part::Text { text, citations, cache } => {
                    texts.push(text.by_ref());
                    if citations.is_some() {
                        self.lose("messages[].content[].citations");
                    }
                    if cache.is_some() {
                        self.lose("cache_control");
                    }
                }
                Part::Refusal(text) => texts.push(text.by_ref()),
                Part::Media(_) => texts.push(Text::Escaped(MEDIUM_FOLLOWS)),
                Part::Opaque { dialect: Dialect::OpenAiChat, raw, .. } => texts.push(Text::plain(raw.get())),
                Part::Opaque { kind, .. } => self.lose_part(kind),
                Part::Reasoning { .. } | Part::RedactedReasoning(_) | Part::ToolCall { .. } | Part::ToolResult { .. } => {}
            }
        }
        a.object(|o| {
            o.string("role", "tool");
            put_call_id("tool_call_id", id, self.traits, o);
            let flag = if error { "Error: " } else { "" };
            match &texts[..] {
                [] | [_] => {
                    let content = o.key("content");
                    content.push(b'"');
                    content.extend_from_slice(flag.as_bytes());
                    texts.iter().for_each(|text| text.write_inner(content));
                    content.push(b'"');
                }
                several => o.array("content", |a| {
                    for (i, text) in several.iter().enumerate() {
                        a.object(|o| {
                            o.string("type", "text");
                            let content = o.key("text");
                            content.push(b'"');
                            content.extend_from_slice(if i == 0 { flag.as_bytes() } else { b"" });
                            text.write_inner(content);
                            content.push(b'"');
                        });
                    }
                }),
            }
        });
    }

    /// The parts of a turn that this dialect can say in `content`, in order; the others are named.
    fn sayable<'p>(&mut self, parts: &'p [Part<'p>]) -> Vec<Piece<'p>> {
        let mut pieces = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Part::Opaque { dialect, kind, .. } if *dialect != Dialect::OpenAiChat => self.lose_part(kind),
                Part::Reasoning { .. } | Part::RedactedReasoning(_) => self.lose("messages[].reasoning"),
                // Results are messages of their own; a call is the model's alone.
                Part::ToolResult { .. } => {}
                Part::ToolCall { .. } => self.lose("messages[].tool_calls"),
                _ => pieces.push(Piece::Own(part)),
            }
        }
        pieces
    }

    fn message(&mut self, message: &Message<'_>, role: &str, pieces: &[Piece<'_>], a: &mut Array<'_>) {
        a.object(|o| {
            o.string("role", role);
            match pieces {
                [] => o.string("content", ""),
                [Piece::Own(Part::Text { text, citations: None, cache })] if !is_ours(*cache) => {
                    if cache.is_some() {
                        self.lose("cache_control");
                    }
                    text.put("content", o);
                }
                _ => o.array("content", |a| pieces.iter().for_each(|piece| self.piece(piece, a))),
            }
            self.rest(message, o);
        });
    }

    fn rest(&mut self, message: &Message<'_>, o: &mut Object<'_>) {
        if let Some(name) = &message.name {
            name.put("name", o);
        }
        extensions(&message.extensions, "messages[].", self.notes, o);
    }

    fn assistant(&mut self, message: &Message<'_>, a: &mut Array<'_>) {
        let parts = &message.parts;
        let is_call = |part: &&Part<'_>| match part {
            Part::ToolCall { .. } => true,
            Part::Opaque { dialect: Dialect::OpenAiChat, kind, .. } => kind.starts_with(OPAQUE_CALL),
            _ => false,
        };
        let has_calls = parts.iter().any(|part| is_call(&part));
        let has_refusal = parts.iter().any(|part| matches!(part, Part::Refusal(_)));
        a.object(|o| {
            o.string("role", "assistant");
            self.said(parts, has_calls || has_refusal, o);
            if has_refusal {
                join(o.key("refusal"), parts.iter().filter_map(|part| if let Part::Refusal(text) = part { Some(text) } else { None }));
            }
            self.thoughts(parts, o);
            if has_calls {
                o.array("tool_calls", |a| parts.iter().filter(is_call).for_each(|part| self.call(part, a)));
            }
            self.rest(message, o);
        });
    }

    /// The model's words: one text, since hosts that cut them into parts (for citations) cut in mid-sentence.
    fn said(&mut self, parts: &[Part<'_>], may_be_null: bool, o: &mut Object<'_>) {
        let mut any = false;
        let mut others = false;
        for part in parts {
            match part {
                Part::Text { citations, cache, .. } => {
                    any = true;
                    if citations.is_some() {
                        self.lose("messages[].content[].citations");
                    }
                    if cache.is_some() {
                        self.lose("cache_control");
                    }
                }
                Part::Opaque { dialect: Dialect::OpenAiChat, kind, .. } => others |= !kind.starts_with(OPAQUE_CALL),
                Part::Opaque { kind, .. } => self.lose_part(kind),
                Part::Media(_) => self.lose("messages[].content[].media"),
                Part::ToolResult { .. } => self.lose("messages[].content[].tool_result"),
                _ => {}
            }
        }
        if others {
            return o.array("content", |a| {
                for part in parts {
                    match part {
                        Part::Text { text, .. } => a.object(|o| {
                            o.string("type", "text");
                            text.put("text", o);
                        }),
                        Part::Opaque { dialect: Dialect::OpenAiChat, kind, raw } if !kind.starts_with(OPAQUE_CALL) => a.raw(*raw),
                        _ => {}
                    }
                }
            });
        }
        if !any && may_be_null {
            return o.null("content");
        }
        join(o.key("content"), parts.iter().filter_map(|part| if let Part::Text { text, .. } = part { Some(text) } else { None }));
    }

    /// Only some hosts want the thinking back, and only its words.
    fn thoughts(&mut self, parts: &[Part<'_>], o: &mut Object<'_>) {
        let texts = || parts.iter().filter_map(|part| if let Part::Reasoning { text, .. } = part { Some(text) } else { None });
        let has_redacted = parts.iter().any(|part| matches!(part, Part::RedactedReasoning(_)));
        let has_text = texts().any(|text| !text.is_empty());
        let has_proof = parts.iter().any(|part| matches!(part, Part::Reasoning { signature: Some(_), .. }));
        if has_redacted || ((has_text || has_proof) && !self.traits.replays_reasoning) {
            self.lose("messages[].reasoning");
        }
        if has_text && self.traits.replays_reasoning {
            join(o.key("reasoning_content"), texts());
        }
    }

    fn call(&mut self, part: &Part<'_>, a: &mut Array<'_>) {
        let (id, name, arguments, custom, cache) = match part {
            Part::ToolCall { id, name, arguments, custom, cache } => (id, name, arguments, *custom, cache),
            Part::Opaque { raw, .. } => return a.raw(*raw),
            _ => return,
        };
        if cache.is_some() {
            self.lose("cache_control");
        }
        let (kind, input) = if custom { ("custom", "input") } else { ("function", "arguments") };
        a.object(|o| {
            put_call_id("id", id, self.traits, o);
            o.string("type", kind);
            o.object(kind, |o| {
                put_tool_name(name, self.notes, o);
                match arguments.is_empty() && !custom {
                    true => o.string(input, "{}"),
                    false => arguments.put(input, o),
                }
            });
        });
    }

    fn piece(&mut self, piece: &Piece<'_>, a: &mut Array<'_>) {
        let part = match piece {
            Piece::Own(part) => part,
            Piece::Origin(id) => {
                return a.object(|o| {
                    o.string("type", "text");
                    let text = o.key("text");
                    text.extend_from_slice(b"\"From the tool call ");
                    id.write_inner(text);
                    text.extend_from_slice(b":\"");
                });
            }
        };
        match part {
            Part::Text { text, citations, cache } => a.object(|o| {
                o.string("type", "text");
                text.put("text", o);
                if citations.is_some() {
                    self.lose("messages[].content[].citations");
                }
                self.mark(*cache, o);
            }),
            Part::Refusal(text) => a.object(|o| {
                o.string("type", "text");
                text.put("text", o);
            }),
            Part::Media(media) => self.media(media, a),
            Part::Opaque { raw, .. } => a.raw(*raw),
            Part::Reasoning { .. } | Part::RedactedReasoning(_) | Part::ToolCall { .. } | Part::ToolResult { .. } => {}
        }
    }

    fn media(&mut self, media: &Media<'_>, a: &mut Array<'_>) {
        for extension in &media.extensions {
            self.notes.losses.add(format!("messages[].content[].{}", extension.name));
        }
        a.object(|o| {
            match (media.kind, &media.source) {
                (_, Source::FileId { id, .. }) => {
                    o.string("type", "file");
                    o.object("file", |o| id.put("file_id", o));
                }
                (_, Source::Plain(text)) => {
                    o.string("type", "text");
                    text.put("text", o);
                    if media.title.is_some() {
                        self.lose("messages[].content[].title");
                    }
                }
                (MediaKind::Image, source) => {
                    o.string("type", "image_url");
                    o.object("image_url", |o| {
                        put_address(source, o.key("url"));
                        if let Some(detail) = &media.detail {
                            detail.put("detail", o);
                        }
                    });
                }
                (MediaKind::Audio, Source::Base64 { media_type, data }) => {
                    o.string("type", "input_audio");
                    o.object("input_audio", |o| {
                        data.put("data", o);
                        o.string("format", audio_format(&media_type.read()));
                    });
                }
                (_, source) => {
                    o.string("type", "file");
                    o.object("file", |o| {
                        match &media.title {
                            Some(title) => title.put("filename", o),
                            None => o.string("filename", "document.pdf"),
                        }
                        put_address(source, o.key("file_data"));
                    });
                }
            }
            self.mark(media.cache, o);
        });
    }

    fn mark(&mut self, cache: Option<CacheMark>, o: &mut Object<'_>) {
        put_cache_mark(cache, &mut self.notes.losses, o);
    }

    fn lose(&mut self, name: &'static str) {
        self.notes.losses.add(name);
    }

    fn lose_part(&mut self, kind: &str) {
        self.notes.losses.add(format!("messages[].content[].{kind}"));
    }
}
