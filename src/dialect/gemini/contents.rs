//! The conversation of a request → messages.
//!
//! A client that keeps what it streamed sends each piece back as a content of its own: contents of the model in a row
//! are one message, and pieces of one thought or text are joined again.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use super::parts::{Call, Fields, media};
use super::wire::{At, arguments, each, extension, members, object, text};
use crate::base::Fault;
use crate::base::json::Raw;
use crate::ir::{Dialect, Message, Part, Role, Text};

/// Reads the contents in order.
#[derive(Default)]
pub(super) struct Contents<'a> {
    /// The messages so far.
    pub(super) messages: Vec<Message<'a>>,
    calls: Calls<'a>,
}

/// Which calls were made: results may name them by their function only.
#[derive(Default)]
struct Calls<'a> {
    made: usize,
    waiting: HashMap<String, VecDeque<Text<'a>>>,
    answered: HashSet<String>,
}

impl<'a> Contents<'a> {
    /// Reads one content.
    pub(super) fn read(&mut self, value: Raw<'a>, at: &At<'_>) -> Result<(), Fault> {
        let (mut role, mut parts) = (Role::User, None);
        for (name, value) in members(object(value, at)?) {
            match &*name {
                "role" => role = role_of(value, &at.name("role"))?,
                "parts" => parts = Some(value),
                _ => {}
            }
        }
        let continued = role == Role::Assistant && self.messages.last().is_some_and(|m| m.role == role);
        let mut message = match continued {
            true => self.messages.pop().unwrap_or_else(|| Message::new(role, Vec::new())),
            false => Message::new(role, Vec::new()),
        };
        let mut joins = continued;
        if let Some(parts) = parts {
            each(parts, &at.name("parts"), |part, at| self.part(part, at, std::mem::take(&mut joins), &mut message))?;
        }
        self.messages.push(message);
        Ok(())
    }

    fn part(&mut self, raw: Raw<'a>, at: &At<'_>, joins: bool, message: &mut Message<'a>) -> Result<(), Fault> {
        let fields = Fields::read(raw, at)?;
        if fields.thought && fields.held.is_none() {
            add_thought(fields, &mut message.parts);
            return Ok(());
        }
        let parts = &mut message.parts;
        let Some((kind, value)) = fields.held else {
            let signed = fields.signature.is_some();
            if let Some(signature) = fields.signature {
                parts.push(Part::Reasoning { text: Text::EMPTY, signature: Some(signature) });
            }
            message.extensions.extend(fields.rest.into_iter().map(|(name, value)| extension(format!("parts[].{name}"), value)));
            match (parts.last_mut(), fields.text) {
                (Some(Part::Text { text, .. }), Some(more)) if joins && !signed => append(text, &more),
                // The signature alone stands for it.
                (_, Some(empty)) if signed && empty.is_empty() => {}
                (_, Some(text)) => parts.push(Part::text(text)),
                (_, None) => {}
            }
            return Ok(());
        };
        let here = at.name(&kind);
        let part = match &*kind {
            "functionCall" => {
                let call = Call::read(value, &here)?;
                let name = call.name(&here)?;
                let id = self.calls.made(call.id, &name);
                Part::ToolCall { id, name, arguments: arguments(call.args), custom: false, cache: None }
            }
            "functionResponse" => self.result(value, &here)?,
            "inlineData" | "fileData" => media(value, &here, fields.rest)?,
            // Its own signature stays inside.
            _ => {
                parts.push(Part::Opaque { dialect: Dialect::Gemini, kind, raw });
                return Ok(());
            }
        };
        if let Some(signature) = fields.signature {
            parts.push(Part::Reasoning { text: Text::EMPTY, signature: Some(signature) });
        }
        parts.push(part);
        Ok(())
    }

    fn result(&mut self, value: Raw<'a>, at: &At<'_>) -> Result<Part<'a>, Fault> {
        let (mut id, mut name, mut response, mut parts) = (None, Text::EMPTY, None, None);
        for (key, value) in members(object(value, at)?) {
            match &*key {
                "id" => id = Some(text(value, &at.name("id"))?).filter(|id| !id.is_empty()),
                "name" => name = text(value, &at.name("name"))?,
                "response" => response = Some(object(value, &at.name("response"))?),
                "parts" => parts = Some(value),
                _ => {}
            }
        }
        let id = self.calls.answered(id, &name);
        let (said, error) = response.map_or((Text::EMPTY, false), words);
        let mut said = vec![Part::text(said)];
        if let Some(parts) = parts {
            each(parts, &at.name("parts"), |raw, at| {
                let fields = Fields::read(raw, at)?;
                said.extend(match fields.held {
                    Some((kind, value)) if matches!(&*kind, "inlineData" | "fileData") => Some(media(value, &at.name(&kind), fields.rest)?),
                    Some((kind, _)) => Some(Part::Opaque { dialect: Dialect::Gemini, kind, raw }),
                    None => fields.text.map(Part::text),
                });
                Ok(())
            })?;
        }
        Ok(Part::ToolResult { id, parts: said, error, cache: None })
    }
}

impl<'a> Calls<'a> {
    /// The id of a call that is made: its own, or the next that nobody has.
    fn made(&mut self, id: Option<Text<'a>>, name: &Text<'a>) -> Text<'a> {
        let id = id.unwrap_or_else(|| Text::plain(format!("call_{}", self.made)));
        self.made += 1;
        self.waiting.entry(name.read().into_owned()).or_default().push_back(id.clone());
        id
    }

    /// The id of the call that a result belongs to: as told, else the earliest of its function that has none.
    fn answered(&mut self, id: Option<Text<'a>>, name: &Text<'a>) -> Text<'a> {
        if let Some(id) = id {
            self.answered.insert(id.read().into_owned());
            return id;
        }
        if let Some(waiting) = self.waiting.get_mut(&*name.read()) {
            while let Some(id) = waiting.pop_front() {
                if self.answered.insert(id.read().into_owned()) {
                    return id;
                }
            }
        }
        Text::plain(format!("call_of_{}", name.read()))
    }
}

fn role_of(value: Raw<'_>, at: &At<'_>) -> Result<Role, Fault> {
    match text(value, at)?.read().as_ref() {
        "user" | "function" | "tool" | "" => Ok(Role::User),
        "model" => Ok(Role::Assistant),
        other => {
            let end = other.char_indices().nth(40).map_or(other.len(), |(end, _)| end);
            Err(at.fault(format_args!("expected `user` or `model`, found `{}`", &other[..end])))
        }
    }
}

/// Adds thinking to the parts, joined with the thought that it goes on with.
pub(super) fn add_thought<'a>(fields: Fields<'a>, parts: &mut Vec<Part<'a>>) {
    match (parts.last_mut(), fields.text) {
        (Some(Part::Reasoning { text, signature: signature @ None }), Some(more)) if !text.is_empty() => {
            append(text, &more);
            *signature = fields.signature;
        }
        // Thinking without words, not even none: nobody but its provider can read it.
        (_, None) => parts.extend(fields.signature.map(Part::RedactedReasoning)),
        (_, Some(text)) if text.is_empty() && fields.signature.is_none() => {}
        (_, Some(text)) => parts.push(Part::Reasoning { text, signature: fields.signature }),
    }
}

fn append<'a>(text: &mut Text<'a>, more: &Text<'_>) {
    match text {
        Text::Plain(Cow::Owned(joined)) => joined.push_str(&more.read()),
        _ => *text = Text::plain([text.read(), more.read()].concat()),
    }
}

/// What a `response` says, and whether it says that the function failed.
fn words(response: Raw<'_>) -> (Text<'_>, bool) {
    let mut all = response.members();
    let only = match (all.next(), all.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    };
    match only {
        Some((name, value)) if name == "error" => (Text::of(value).unwrap_or_else(|| Text::plain(value.get())), true),
        Some((name, value)) if name == "output" => (Text::of(value).unwrap_or_else(|| Text::plain(value.get())), false),
        Some((name, value)) if name == "result" && value.inner().is_some() => (Text::of(value).unwrap_or(Text::EMPTY), false),
        _ => (Text::plain(response.get()), false),
    }
}
