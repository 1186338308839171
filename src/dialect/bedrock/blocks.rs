//! What is said, block by block, and the cache points behind it.

use super::encode::Writer;
use super::media;
use super::tools::TOOL_NAME_MAX;
use super::wire::put_call_id;
use crate::base::Fault;
use crate::base::json::{Array, Object, try_array, try_object};
use crate::dialect::anthropic::blocks::JSON_HINT;
use crate::dialect::anthropic::turns::Turn;
use crate::dialect::anthropic::wire::is_blank;
use crate::dialect::{free_form, refuse};
use crate::ir::{CacheMark, CacheTtl, Citations, Dialect, OutputFormat, Part, Text, proof};

impl Writer<'_, '_> {
    /// Writes `system`.
    pub(super) fn system(&mut self, parts: &[&Part<'_>], object: &mut Object<'_>) -> Result<(), Fault> {
        let hint = matches!(self.request.output, Some(OutputFormat::JsonObject));
        if parts.is_empty() && !hint {
            return Ok(());
        }
        try_array(object.key("system"), |array| {
            for part in parts {
                if matches!(part, Part::Media(_) | Part::ToolCall { .. } | Part::ToolResult { .. }) {
                    return Err(refuse::instructions());
                }
                self.part(part, false, array)?;
            }
            if hint {
                array.object(|block| block.string("text", JSON_HINT));
            }
            Ok(())
        })
    }

    /// Writes one message.
    pub(super) fn turn(&mut self, turn: &Turn<'_, '_>, last: bool, messages: &mut Array<'_>) -> Result<(), Fault> {
        // The API refuses white space at the end of an answer that it is to continue.
        let trim = last && turn.role == "assistant";
        try_object(messages.item(), |message| {
            message.string("role", turn.role);
            try_array(message.key("content"), |array| {
                turn.parts.iter().enumerate().try_for_each(|(i, part)| self.part(part, trim && i + 1 == turn.parts.len(), array))
            })?;
            for extension in &turn.extensions {
                message.raw(&extension.name, extension.value);
            }
            Ok(())
        })
    }

    fn part(&mut self, part: &Part<'_>, trim: bool, array: &mut Array<'_>) -> Result<(), Fault> {
        match part {
            Part::Text { text, citations, cache } => {
                let own = match citations {
                    Some(citations) if citations.dialect == Dialect::Bedrock => Some(citations),
                    Some(_) => {
                        self.lose("messages[].annotations");
                        None
                    }
                    None => None,
                };
                array.object(|block| put_text(text, own, trim, block));
                self.cache(*cache, array);
            }
            Part::Refusal(text) => array.object(|block| put_text(text, None, trim, block)),
            Part::Reasoning { text, signature } => {
                let signature = signature.as_ref().and_then(|proof| proof::claim(Dialect::Bedrock, proof));
                array.object(|block| put_reasoning(text, signature.as_ref(), block));
            }
            Part::RedactedReasoning(data) => {
                if let Some(data) = proof::claim(Dialect::Bedrock, data) {
                    array.object(|block| put_redacted(&data, block));
                }
            }
            Part::ToolCall { id, name, arguments, custom, cache } => {
                array.object(|block| {
                    block.object("toolUse", |call| {
                        put_call_id(id, call);
                        call.string("name", &self.notes.tools.fit(&name.read(), TOOL_NAME_MAX));
                        free_form::put_input("input", arguments, *custom, call);
                    });
                });
                self.cache(*cache, array);
            }
            Part::ToolResult { id, parts, error, cache } => {
                let mut mark = *cache;
                try_object(array.item(), |block| {
                    try_object(block.key("toolResult"), |result| {
                        put_call_id(id, result);
                        try_array(result.key("content"), |content| {
                            parts.iter().try_for_each(|part| self.result(part, &mut mark, content))
                        })?;
                        if *error {
                            result.string("status", "error");
                        }
                        Ok(())
                    })
                })?;
                self.cache(mark, array);
            }
            Part::Media(media) => {
                try_object(array.item(), |block| media::write(media, &mut self.names, &mut self.notes.losses, block))?;
                self.cache(media.cache, array);
            }
            Part::Opaque { dialect: Dialect::Bedrock, raw, .. } => array.raw(*raw),
            Part::Opaque { kind, .. } => return Err(refuse::kind_of_content(kind)),
        }
        Ok(())
    }

    /// Writes a piece of a result. No cache point can stand here: it moves behind the result.
    fn result(&mut self, part: &Part<'_>, mark: &mut Option<CacheMark>, content: &mut Array<'_>) -> Result<(), Fault> {
        match part {
            Part::Text { text, .. } | Part::Refusal(text) if is_blank(text) => {}
            Part::Text { text, citations, cache } => {
                if citations.is_some() {
                    self.lose("messages[].annotations");
                }
                content.object(|block| text.put("text", block));
                *mark = cache.or(*mark);
            }
            Part::Refusal(text) => content.object(|block| text.put("text", block)),
            Part::Media(media) => {
                try_object(content.item(), |block| media::write(media, &mut self.names, &mut self.notes.losses, block))?;
                *mark = media.cache.or(*mark);
            }
            Part::Opaque { dialect: Dialect::Bedrock, raw, .. } => content.raw(*raw),
            Part::Opaque { kind, .. } => return Err(refuse::kind_of_content(kind)),
            Part::Reasoning { .. } | Part::RedactedReasoning(_) | Part::ToolCall { .. } | Part::ToolResult { .. } => {
                self.lose("messages[].content[].content");
            }
        }
        Ok(())
    }

    /// Writes a cache point, always behind another element.
    pub(super) fn cache(&mut self, mark: Option<CacheMark>, array: &mut Array<'_>) {
        let Some(mark) = mark else { return };
        if !self.family.caches() {
            return self.lose("cache_control");
        }
        let hour = matches!(mark.ttl, Some(CacheTtl::Hour1 | CacheTtl::Hours12));
        if hour && !self.family.caches_all() {
            self.lose("cache_control.ttl");
        }
        let out = array.item();
        let start = out.len() - 1;
        // Five minutes are what holds without a word, which older models do not know.
        out.extend_from_slice(match hour && self.family.caches_all() {
            true => br#"{"cachePoint":{"type":"default","ttl":"1h"}}"#,
            false => br#"{"cachePoint":{"type":"default"}}"#,
        });
        self.marks.add(start..out.len());
    }
}

/// Writes a text, with its citations where it has some.
pub(super) fn put_text(text: &Text<'_>, citations: Option<&Citations<'_>>, trim: bool, block: &mut Object<'_>) {
    let words = |object: &mut Object<'_>| match trim {
        true => object.string("text", text.read().trim_end()),
        false => text.put("text", object),
    };
    match citations {
        None => words(block),
        Some(citations) => block.object("citationsContent", |cited| {
            cited.array("content", |content| content.object(words));
            cited.raw("citations", citations.raw);
        }),
    }
}

/// Writes thinking that can be read.
pub(super) fn put_reasoning(text: &Text<'_>, signature: Option<&Text<'_>>, block: &mut Object<'_>) {
    block.object("reasoningContent", |content| {
        content.object("reasoningText", |told| {
            text.put("text", told);
            if let Some(signature) = signature {
                signature.put("signature", told);
            }
        });
    });
}

/// Writes thinking that only its provider can read. The slot holds bytes, which SDKs decode and encode again: what is no
/// base64 would not come back from there whole, but does from the slot of a signature.
pub(super) fn put_redacted(data: &Text<'_>, block: &mut Object<'_>) {
    match media::is_base64(&data.read()) {
        true => block.object("reasoningContent", |content| data.put("redactedContent", content)),
        false => put_reasoning(&Text::EMPTY, Some(data), block),
    }
}
