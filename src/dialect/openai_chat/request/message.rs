//! Reading the conversation.

use std::convert::Infallible;

use super::super::wire::{made_call_id, thinking_text};
use super::decode::each;
use crate::base::Fault;
use crate::base::json::{Cursor, Fields as Members, Raw};
use crate::dialect::openai::read::{At, arguments, audio, cache_mark, file_data, required_text, source, text, told, words};
use crate::ir::{CacheMark, Dialect, Extension, Media, MediaKind, Message, Part, Role, Source, Text};

/// What the kind of a call that the neutral form does not model begins with: it is no part of a content.
pub(super) const OPAQUE_CALL: &str = "tool_calls.";

/// Reads all messages. Tool results that stand next to each other make one user turn; a user message behind them stays
/// one of its own.
pub(super) fn decode_all<'a>(cursor: &mut Cursor<'a>, at: &At<'_>) -> Result<Vec<Message<'a>>, Fault> {
    let mut reader = Reader { messages: Vec::new(), results_open: false, legacy_call: None };
    let mut place = 0;
    each(cursor, at, "an array of messages", |cursor, at| {
        reader.message(cursor, place, at)?;
        place += 1;
        Ok(())
    })?;
    Ok(reader.messages)
}

struct Reader<'a> {
    messages: Vec<Message<'a>>,
    /// Whether the last message is a run of tool results.
    results_open: bool,
    /// The id given to the last call of the older form, which has none.
    legacy_call: Option<Text<'static>>,
}

/// The members of one message that mean something for its role.
#[derive(Default)]
struct Fields<'a> {
    role: Option<Raw<'a>>,
    content: Option<Raw<'a>>,
    name: Option<Raw<'a>>,
    tool_call_id: Option<Raw<'a>>,
    tool_calls: Option<Raw<'a>>,
    function_call: Option<Raw<'a>>,
    refusal: Option<Raw<'a>>,
    reasoning_content: Option<Raw<'a>>,
    reasoning: Option<Raw<'a>>,
    thinking_blocks: Option<Raw<'a>>,
    cache: Option<CacheMark>,
    extensions: Vec<Extension<'a>>,
}

impl<'a> Fields<'a> {
    fn of(cursor: &mut Cursor<'a>) -> Self {
        let mut fields = Self::default();
        let Ok(_) = cursor.members(|cursor, name| {
            let value = cursor.raw();
            let place = match &*name {
                _ if value.is_null() => return Ok::<_, Infallible>(()),
                "role" => &mut fields.role,
                "content" => &mut fields.content,
                "name" => &mut fields.name,
                "tool_call_id" => &mut fields.tool_call_id,
                "tool_calls" => &mut fields.tool_calls,
                "function_call" => &mut fields.function_call,
                "refusal" => &mut fields.refusal,
                "reasoning_content" if value.inner().is_some() => &mut fields.reasoning_content,
                "reasoning" if value.inner().is_some() => &mut fields.reasoning,
                "thinking_blocks" if value.is_array() => &mut fields.thinking_blocks,
                "cache_control" | "prompt_cache_breakpoint" => {
                    fields.cache = cache_mark(value);
                    return Ok(());
                }
                // An SDK's model of an answer, sent back as history, is full of empty lists.
                _ if value.is_array() && value.elements().next().is_none() => return Ok(()),
                _ => {
                    fields.extensions.push(Extension { dialect: Dialect::OpenAiChat, name, value });
                    return Ok(());
                }
            };
            *place = Some(value);
            Ok(())
        });
        fields
    }

    /// Reads the content.
    fn content(&mut self, at: &At<'_>, parts: &mut Vec<Part<'a>>) -> Result<(), Fault> {
        let Some(raw) = self.content else { return Ok(()) };
        if let Some(text) = Text::of(raw) {
            parts.reserve_exact(1);
            parts.push(Part::text(text));
            return Ok(());
        }
        each(&mut Cursor::over(raw), &at.key("content"), "a string or an array of parts", |cursor, at| {
            parts.push(part(cursor.fields(), at, &mut self.extensions)?);
            Ok(())
        })
    }

    /// Members that mean something only in the model's own turns, told elsewhere.
    fn keep_foreign(&mut self) {
        let foreign = [
            ("tool_calls", self.tool_calls.take()),
            ("function_call", self.function_call.take()),
            ("refusal", self.refusal.take()),
            ("reasoning_content", self.reasoning_content.take()),
            ("reasoning", self.reasoning.take()),
            ("thinking_blocks", self.thinking_blocks.take()),
        ];
        for (name, value) in foreign {
            if let Some(value) = value {
                self.extensions.push(Extension { dialect: Dialect::OpenAiChat, name: name.into(), value });
            }
        }
    }
}

/// Names members for which the neutral form has no room as lost, where they are.
fn keep_inner<'a>(place: &str, members: Members<'a>, known: &[&str], extensions: &mut Vec<Extension<'a>>) {
    for (name, value) in members {
        if !value.is_null() && !known.contains(&&*name) {
            extensions.push(Extension { dialect: Dialect::OpenAiChat, name: format!("{place}{name}").into(), value });
        }
    }
}

impl<'a> Reader<'a> {
    fn message(&mut self, cursor: &mut Cursor<'a>, place: usize, at: &At<'_>) -> Result<(), Fault> {
        if cursor.kind() != b'{' {
            return Err(at.expected("a message (an object)", Some(cursor.raw())));
        }
        let mut fields = Fields::of(cursor);
        let word = fields.role.and_then(Raw::string).ok_or_else(|| at.key("role").expected("a string", fields.role))?;
        let role = match &*word {
            "system" => Role::System,
            "developer" => Role::Developer,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" | "function" => return self.result(fields, at),
            _ => {
                let what = format_args!("expected `system`, `developer`, `user`, `assistant` or `tool`, found `{word}`");
                return Err(at.key("role").wrong(what));
            }
        };
        let mut parts = Vec::new();
        if role == Role::Assistant {
            thoughts(&fields, &mut parts);
            self.assistant(&mut fields, place, at, &mut parts)?;
        } else {
            fields.keep_foreign();
            fields.content(at, &mut parts)?;
        }
        if let Some(mark) = fields.cache {
            mark_last(&mut parts, mark);
        }
        let name = fields.name.map(|name| text(name, &at.key("name"))).transpose()?;
        self.results_open = false;
        self.messages.push(Message { role, parts, name, extensions: fields.extensions });
        Ok(())
    }

    fn assistant(&mut self, fields: &mut Fields<'a>, place: usize, at: &At<'_>, parts: &mut Vec<Part<'a>>) -> Result<(), Fault> {
        let has_calls = fields.function_call.is_some() || fields.tool_calls.is_some_and(|calls| calls.elements().next().is_some());
        // Beside tool calls an empty text is how some clients spell `null`.
        if !(has_calls && fields.content.and_then(Raw::inner) == Some("")) {
            fields.content(at, parts)?;
        }
        if let Some(refusal) = fields.refusal {
            parts.push(Part::Refusal(text(refusal, &at.key("refusal"))?));
        }
        if let Some(calls) = fields.tool_calls {
            each(&mut Cursor::over(calls), &at.key("tool_calls"), "an array of tool calls", |cursor, at| {
                parts.push(tool_call(cursor.fields(), at, &mut fields.extensions)?);
                Ok(())
            })?;
        }
        if let Some(call) = fields.function_call {
            let at = at.key("function_call");
            let id = made_call_id(None, place);
            self.legacy_call = Some(id.clone());
            let name = required_text(told(call, "name"), &at.key("name"))?;
            parts.push(Part::ToolCall { id, name, arguments: arguments(told(call, "arguments")), custom: false, cache: None });
        }
        Ok(())
    }

    fn result(&mut self, mut fields: Fields<'a>, at: &At<'_>) -> Result<(), Fault> {
        fields.keep_foreign();
        let id = match fields.tool_call_id {
            Some(id) => text(id, &at.key("tool_call_id"))?,
            // The older form pairs by the name alone; its call stands right before.
            None if fields.role.and_then(Raw::inner) == Some("function") => match self.legacy_call.take() {
                Some(id) => id,
                None => required_text(fields.name, &at.key("name"))?,
            },
            None => return Err(at.key("tool_call_id").expected("the id of a tool call", None)),
        };
        let mut parts = Vec::new();
        fields.content(at, &mut parts)?;
        let result = Part::ToolResult { id, parts, error: false, cache: fields.cache };
        match self.messages.last_mut() {
            Some(last) if self.results_open => {
                last.parts.push(result);
                last.extensions.append(&mut fields.extensions);
            }
            _ => {
                let mut message = Message::new(Role::User, vec![result]);
                message.extensions = fields.extensions;
                self.messages.push(message);
                self.results_open = true;
            }
        }
        Ok(())
    }
}

/// The model's earlier thinking. Blocks hold the proof that a provider may want, so they win over the bare text.
fn thoughts<'a>(fields: &Fields<'a>, parts: &mut Vec<Part<'a>>) {
    let before = parts.len();
    for block in fields.thinking_blocks.into_iter().flat_map(Raw::elements) {
        match told(block, "type").and_then(Raw::inner) {
            Some("thinking") => parts.push(thinking(block)),
            Some("redacted_thinking") => parts.extend(words(told(block, "data")).map(Part::RedactedReasoning)),
            _ => {}
        }
    }
    if parts.len() == before
        && let Some(text) = words(fields.reasoning_content).or_else(|| words(fields.reasoning))
    {
        parts.push(Part::Reasoning { text, signature: None });
    }
}

fn thinking(block: Raw<'_>) -> Part<'_> {
    Part::Reasoning { text: thinking_text(block), signature: words(told(block, "signature")) }
}

fn part<'a>(part: Members<'a>, at: &At<'_>, extensions: &mut Vec<Extension<'a>>) -> Result<Part<'a>, Fault> {
    const TEXT: &[&str] = &["type", "text", "cache_control", "prompt_cache_breakpoint", "annotations"];
    let raw = part.raw();
    if let Some(text) = Text::of(raw) {
        return Ok(Part::text(text));
    }
    if !raw.is_object() {
        return Err(at.expected("a part (an object)", Some(raw)));
    }
    let kind = match part.told("type") {
        Some(kind) => kind.string().ok_or_else(|| at.key("type").expected("a string", Some(kind)))?,
        None if part.told("text").is_some() => "text".into(),
        None => return Err(at.key("type").expected("a string", None)),
    };
    let cache = part.told("cache_control").or_else(|| part.told("prompt_cache_breakpoint")).and_then(cache_mark);
    Ok(match &*kind {
        "text" | "input_text" | "output_text" => {
            let text = required_text(part.told("text"), &at.key("text"))?;
            keep_inner("content[].", part, TEXT, extensions);
            Part::Text { text, citations: None, cache }
        }
        "refusal" => Part::Refusal(required_text(part.told("refusal"), &at.key("refusal"))?),
        "image_url" | "input_image" if part.told("file_id").is_none() => {
            let image = part.told("image_url");
            let inner = image.filter(|image| image.is_object()).map(Raw::fields);
            let url = inner.as_ref().map_or(image, |inner| inner.told("url"));
            let url = url.and_then(Raw::inner).ok_or_else(|| at.key("image_url").key("url").expected("a string", url))?;
            let detail = inner.and_then(|inner| inner.told("detail")).or_else(|| part.told("detail")).and_then(Text::of);
            Part::Media(media(MediaKind::Image, source(url), None, detail, cache))
        }
        "input_audio" => Part::Media(media(MediaKind::Audio, audio(part.told("input_audio"), &at.key("input_audio"))?, None, None, cache)),
        "file" | "input_file" => file(&part.told("file").map_or(part, Raw::fields), cache, &at.key("file"))?,
        "thinking" => thinking(raw),
        "redacted_thinking" => Part::RedactedReasoning(required_text(part.told("data"), &at.key("data"))?),
        _ => Part::Opaque { dialect: Dialect::OpenAiChat, kind, raw },
    })
}

fn file<'a>(file: &Members<'a>, cache: Option<CacheMark>, at: &At<'_>) -> Result<Part<'a>, Fault> {
    let source = match (file.told("file_data"), file.told("file_id")) {
        (Some(data), _) => file_data(data, &at.key("file_data"))?,
        (None, Some(id)) => Source::FileId { dialect: Dialect::OpenAiChat, id: text(id, &at.key("file_id"))? },
        (None, None) => return Err(at.wrong("expected `file_data` or `file_id`, found neither")),
    };
    Ok(Part::Media(media(MediaKind::Document, source, file.told("filename").and_then(Text::of), None, cache)))
}

fn media<'a>(
    kind: MediaKind,
    source: Source<'a>,
    title: Option<Text<'a>>,
    detail: Option<Text<'a>>,
    cache: Option<CacheMark>,
) -> Media<'a> {
    Media { kind, source, title, detail, extensions: Vec::new(), cache }
}

fn tool_call<'a>(tool_call: Members<'a>, at: &At<'_>, extensions: &mut Vec<Extension<'a>>) -> Result<Part<'a>, Fault> {
    const CALL: &[&str] = &["id", "type", "index", "function", "custom", "cache_control"];
    let raw = tool_call.raw();
    if !raw.is_object() {
        return Err(at.expected("a tool call (an object)", Some(raw)));
    }
    let kind = tool_call.told("type").and_then(Raw::string).unwrap_or("function".into());
    let (member, custom) = match &*kind {
        "function" | "" => ("function", false),
        "custom" => ("custom", true),
        _ => return Ok(Part::Opaque { dialect: Dialect::OpenAiChat, kind: format!("{OPAQUE_CALL}{kind}").into(), raw }),
    };
    let at_call = at.key(member);
    let call = tool_call.told(member).filter(|call| call.is_object());
    let call = call.ok_or_else(|| at_call.expected("an object", tool_call.get(member)))?.fields();
    let part = Part::ToolCall {
        id: required_text(tool_call.told("id"), &at.key("id"))?,
        name: required_text(call.told("name"), &at_call.key("name"))?,
        arguments: arguments(call.told(if custom { "input" } else { "arguments" })),
        custom,
        cache: tool_call.told("cache_control").and_then(cache_mark),
    };
    keep_inner("tool_calls[].", tool_call, CALL, extensions);
    Ok(part)
}

/// A mark on the message stands behind its last part.
fn mark_last(parts: &mut [Part<'_>], mark: CacheMark) {
    match parts.last_mut() {
        Some(Part::Text { cache, .. } | Part::ToolCall { cache, .. } | Part::ToolResult { cache, .. }) => *cache = Some(mark),
        Some(Part::Media(media)) => media.cache = Some(mark),
        _ => {}
    }
}
