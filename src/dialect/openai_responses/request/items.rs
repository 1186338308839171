//! Reading the conversation: items in a row that belong to one turn become one.

use super::decode::{extension, held_elsewhere};
use super::tools;
use crate::base::Fault;
use crate::base::json::Raw;
use crate::dialect::openai::read::{At, arguments, audio, cache_mark, file_data, required_text, source, text, told};
use crate::dialect::openai_responses::wire::{called, reasoning_part};
use crate::ir::{Dialect, Media, MediaKind, Message, Part, Request, Role, Source, Text};

/// Reads `input` into the messages of `request`.
pub(super) fn decode_all<'a>(raw: Raw<'a>, at: &At<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
    if let Some(text) = Text::of(raw) {
        request.messages.push(Message::new(Role::User, vec![Part::text(text)]));
        return Ok(());
    }
    if !raw.is_array() {
        return Err(at.expected("a string or an array of items", Some(raw)));
    }
    let mut reader = Reader { request, turn: None };
    for (i, element) in raw.elements().enumerate() {
        reader.item(element, &At::Item(at, i))?;
    }
    Ok(())
}

/// What the last message is made of, where the next item may join it.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    /// What the model thought, said and called.
    Assistant,
    /// What tools said.
    Results,
}

struct Reader<'r, 'a> {
    request: &'r mut Request<'a>,
    turn: Option<Turn>,
}

impl<'a> Reader<'_, 'a> {
    fn item(&mut self, raw: Raw<'a>, at: &At<'_>) -> Result<(), Fault> {
        if let Some(text) = Text::of(raw) {
            self.push(Role::User, vec![Part::text(text)]);
            return Ok(());
        }
        if !raw.is_object() {
            return Err(at.expected("an item (an object)", Some(raw)));
        }
        let kind = match told(raw, "type") {
            Some(kind) => kind.string().ok_or_else(|| at.key("type").expected("a string", Some(kind)))?,
            None if told(raw, "role").is_some() => "message".into(),
            // The API takes a bare id for a reference.
            None if told(raw, "id").is_some() => "item_reference".into(),
            None => return Err(at.key("type").expected("a string", None)),
        };
        match &*kind {
            "message" => self.message(raw, at),
            "reasoning" => {
                if let Some(part) = reasoning_part(raw) {
                    self.join(Turn::Assistant, part);
                }
                Ok(())
            }
            "function_call" | "custom_tool_call" => self.call(raw, kind == "custom_tool_call", at),
            "function_call_output" | "custom_tool_call_output" => self.result(raw, at),
            "item_reference" => Err(held_elsewhere(at, "the item")),
            "compaction" | "compaction_summary" => Err(held_elsewhere(at, "what was compacted")),
            "additional_tools" => {
                let list = told(raw, "tools").ok_or_else(|| at.key("tools").expected("an array of tools", None))?;
                tools::decode_all(list, &at.key("tools"), self.request)
            }
            other => {
                let turn = if other.ends_with("_output") || other.ends_with("_response") { Turn::Results } else { Turn::Assistant };
                self.join(turn, Part::Opaque { dialect: Dialect::OpenAiResponses, kind, raw });
                Ok(())
            }
        }
    }

    fn push(&mut self, role: Role, parts: Vec<Part<'a>>) {
        self.turn = None;
        self.request.messages.push(Message::new(role, parts));
    }

    /// Adds a part to the turn that is going on, or begins one.
    fn join(&mut self, turn: Turn, part: Part<'a>) {
        match self.request.messages.last_mut() {
            Some(last) if self.turn == Some(turn) => last.parts.push(part),
            _ => {
                let role = if turn == Turn::Assistant { Role::Assistant } else { Role::User };
                self.push(role, vec![part]);
                self.turn = Some(turn);
            }
        }
    }

    fn message(&mut self, raw: Raw<'a>, at: &At<'_>) -> Result<(), Fault> {
        let (mut role, mut content) = (None, None);
        let mut extensions = Vec::new();
        for (name, value) in raw.members().filter(|(_, value)| !value.is_null()) {
            match &*name {
                "role" => role = Some(value),
                "content" => content = Some(value),
                // Ids and statuses mean something to the provider that gave them.
                "type" | "id" | "status" => {}
                _ => extensions.push(extension(name, value)),
            }
        }
        let word = role.and_then(Raw::string).ok_or_else(|| at.key("role").expected("a string", role))?;
        let role = match &*word {
            "system" => Role::System,
            "developer" => Role::Developer,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => {
                let what = format_args!("expected `user`, `assistant`, `system` or `developer`, found `{word}`");
                return Err(at.key("role").wrong(what));
            }
        };
        let mut parts = Vec::new();
        if let Some(content) = content {
            contents(content, &at.key("content"), &mut parts)?;
        }
        if role != Role::Assistant {
            self.push(role, parts);
        } else if self.turn == Some(Turn::Assistant)
            && let Some(last) = self.request.messages.last_mut()
        {
            last.parts.append(&mut parts);
        } else {
            self.push(role, parts);
            self.turn = Some(Turn::Assistant);
        }
        if let Some(last) = self.request.messages.last_mut() {
            last.extensions.append(&mut extensions);
        }
        Ok(())
    }

    fn call(&mut self, raw: Raw<'a>, custom: bool, at: &At<'_>) -> Result<(), Fault> {
        let id = required_text(told(raw, "call_id"), &at.key("call_id"))?;
        let name = called(raw).ok_or_else(|| at.key("name").expected("a string", raw.member("name")))?;
        let arguments = arguments(told(raw, if custom { "input" } else { "arguments" }));
        self.join(Turn::Assistant, Part::ToolCall { id, name, arguments, custom, cache: None });
        Ok(())
    }

    fn result(&mut self, raw: Raw<'a>, at: &At<'_>) -> Result<(), Fault> {
        let id = required_text(told(raw, "call_id"), &at.key("call_id"))?;
        let at = at.key("output");
        let mut parts = Vec::new();
        match told(raw, "output") {
            // Clients send what a tool gave them: anything but a list of parts is its JSON text.
            Some(output) if output.is_object() || output.number().is_some() || output.bool().is_some() => {
                parts.push(Part::text(Text::plain(output.get())));
            }
            Some(output) => contents(output, &at, &mut parts)?,
            None => return Err(at.expected("a string or an array of parts", raw.member("output"))),
        }
        self.join(Turn::Results, Part::ToolResult { id, parts, error: false, cache: None });
        Ok(())
    }
}

fn contents<'a>(raw: Raw<'a>, at: &At<'_>, parts: &mut Vec<Part<'a>>) -> Result<(), Fault> {
    if let Some(text) = Text::of(raw) {
        parts.push(Part::text(text));
        return Ok(());
    }
    if !raw.is_array() {
        return Err(at.expected("a string or an array of parts", Some(raw)));
    }
    for (i, element) in raw.elements().enumerate() {
        parts.push(content(element, &At::Item(at, i))?);
    }
    Ok(())
}

fn content<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Part<'a>, Fault> {
    if let Some(text) = Text::of(raw) {
        return Ok(Part::text(text));
    }
    if !raw.is_object() {
        return Err(at.expected("a part (an object)", Some(raw)));
    }
    let kind = match told(raw, "type") {
        Some(kind) => kind.string().ok_or_else(|| at.key("type").expected("a string", Some(kind)))?,
        None if told(raw, "text").is_some() => "input_text".into(),
        None => return Err(at.key("type").expected("a string", None)),
    };
    let cache = told(raw, "prompt_cache_breakpoint").or_else(|| told(raw, "cache_control")).and_then(cache_mark);
    let media = |kind, source, title, detail| Part::Media(Media { kind, source, title, detail, extensions: Vec::new(), cache });
    let detail = told(raw, "detail").and_then(Text::of);
    Ok(match &*kind {
        "input_text" | "output_text" | "text" | "summary_text" => {
            let cited = told(raw, "annotations").filter(|list| list.elements().next().is_some());
            let citations = cited.map(|raw| crate::ir::Citations { dialect: Dialect::OpenAiResponses, raw });
            Part::Text { text: required_text(told(raw, "text"), &at.key("text"))?, citations, cache }
        }
        "refusal" => Part::Refusal(required_text(told(raw, "refusal"), &at.key("refusal"))?),
        "input_image" | "image_url" => {
            let source = match (told(raw, "image_url"), told(raw, "file_id")) {
                (Some(image), _) => {
                    let url = if image.is_object() { told(image, "url") } else { Some(image) };
                    source(url.and_then(Raw::inner).ok_or_else(|| at.key("image_url").expected("a string", url))?)
                }
                (None, Some(id)) => Source::FileId { dialect: Dialect::OpenAiResponses, id: text(id, &at.key("file_id"))? },
                (None, None) => return Err(at.wrong("expected `image_url` or `file_id`, found neither")),
            };
            media(MediaKind::Image, source, None, detail)
        }
        "input_file" => media(MediaKind::Document, file(raw, at)?, told(raw, "filename").and_then(Text::of), detail),
        "input_audio" => media(MediaKind::Audio, audio(told(raw, "input_audio"), &at.key("input_audio"))?, None, None),
        _ => Part::Opaque { dialect: Dialect::OpenAiResponses, kind, raw },
    })
}

fn file<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Source<'a>, Fault> {
    if let Some(data) = told(raw, "file_data") {
        return file_data(data, &at.key("file_data"));
    }
    if let Some(url) = told(raw, "file_url") {
        return Ok(source(url.inner().ok_or_else(|| at.key("file_url").expected("a string", Some(url)))?));
    }
    match told(raw, "file_id") {
        Some(id) => Ok(Source::FileId { dialect: Dialect::OpenAiResponses, id: text(id, &at.key("file_id"))? }),
        None => Err(at.wrong("expected `file_data`, `file_url` or `file_id`, found none")),
    }
}
