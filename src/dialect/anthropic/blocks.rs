//! What is said, block by block, and the cache marks on it.

use super::encode::Writer;
use super::tools::TOOL_NAME_MAX;
use super::turns::Turn;
use super::wire::{is_blank, put_call_id, unbase64};
use crate::base::Fault;
use crate::base::json::{Array, Object, Raw, try_array, try_object};
use crate::dialect::{free_form, refuse};
use crate::ir::{CacheMark, CacheTtl, Dialect, Media, MediaKind, OutputFormat, Part, Source, Text};

pub(in crate::dialect) const JSON_HINT: &str = "Answer with one valid JSON object and nothing else.";

impl Writer<'_, '_> {
    /// Writes `system`.
    pub(super) fn system(&mut self, parts: &[&Part<'_>], object: &mut Object<'_>) -> Result<(), Fault> {
        let hint = matches!(self.request.output, Some(OutputFormat::JsonObject));
        match parts {
            [] if hint => object.string("system", JSON_HINT),
            [] => {}
            [Part::Text { text, cache: None, citations: None }] if !hint => text.put("system", object),
            _ => {
                return try_array(object.key("system"), |array| {
                    for part in parts {
                        if matches!(part, Part::Media(_) | Part::ToolCall { .. } | Part::ToolResult { .. }) {
                            return Err(refuse::instructions());
                        }
                        self.part(part, false, array)?;
                    }
                    if hint {
                        array.object(|block| {
                            block.string("type", "text");
                            block.string("text", JSON_HINT);
                        });
                    }
                    Ok(())
                });
            }
        }
        Ok(())
    }

    /// Writes one message.
    pub(super) fn turn(&mut self, turn: &Turn<'_, '_>, last: bool, messages: &mut Array<'_>) -> Result<(), Fault> {
        // The API refuses white space at the end of an answer that it is to continue.
        let trim = last && turn.role == "assistant";
        try_object(messages.item(), |message| {
            message.string("role", turn.role);
            match &turn.parts[..] {
                [Part::Text { text, cache: None, citations: None }] => put_words(text, trim, "content", message),
                parts => try_array(message.key("content"), |array| {
                    parts.iter().enumerate().try_for_each(|(i, part)| self.part(part, trim && i + 1 == parts.len(), array))
                })?,
            }
            for extension in &turn.extensions {
                message.raw(&extension.name, extension.value);
            }
            Ok(())
        })
    }

    fn part(&mut self, part: &Part<'_>, trim: bool, array: &mut Array<'_>) -> Result<(), Fault> {
        match part {
            Part::Text { text, citations, cache } => array.object(|block| {
                block.string("type", "text");
                put_words(text, trim, "text", block);
                match citations {
                    Some(citations) if citations.dialect == Dialect::Anthropic => block.raw("citations", citations.raw),
                    Some(_) => self.lose("messages[].annotations"),
                    None => {}
                }
                self.cache(*cache, block);
            }),
            Part::Refusal(text) => array.object(|block| {
                block.string("type", "text");
                put_words(text, trim, "text", block);
            }),
            Part::Reasoning { text, signature } => array.object(|block| {
                block.string("type", "thinking");
                text.put("thinking", block);
                signature.as_ref().unwrap_or(&Text::EMPTY).put("signature", block);
            }),
            Part::RedactedReasoning(data) => array.object(|block| {
                block.string("type", "redacted_thinking");
                data.put("data", block);
            }),
            Part::ToolCall { id, name, arguments, custom, cache } => array.object(|block| {
                block.string("type", "tool_use");
                put_call_id("id", id, block);
                block.string("name", &self.notes.tools.fit(&name.read(), TOOL_NAME_MAX));
                free_form::put_input("input", arguments, *custom, block);
                self.cache(*cache, block);
            }),
            Part::ToolResult { id, parts, error, cache } => {
                return try_object(array.item(), |block| {
                    block.string("type", "tool_result");
                    put_call_id("tool_use_id", id, block);
                    self.result(parts, block)?;
                    if *error {
                        block.bool("is_error", true);
                    }
                    self.cache(*cache, block);
                    Ok(())
                });
            }
            Part::Media(media) => return try_object(array.item(), |block| self.media(media, block)),
            Part::Opaque { dialect: Dialect::Anthropic, raw, .. } => {
                self.fixed_marks += usize::from(has_mark(*raw));
                array.raw(*raw);
            }
            Part::Opaque { kind, .. } => return Err(refuse::kind_of_content(kind)),
        }
        Ok(())
    }

    fn result(&mut self, parts: &[Part<'_>], block: &mut Object<'_>) -> Result<(), Fault> {
        match parts {
            [] => Ok(()),
            [Part::Text { text, cache: None, citations: None }] => {
                text.put("content", block);
                Ok(())
            }
            parts => try_array(block.key("content"), |array| {
                let blank = |part: &&Part<'_>| matches!(part, Part::Text { text, .. } if is_blank(text));
                parts.iter().filter(|part| !blank(part)).try_for_each(|part| self.part(part, false, array))
            }),
        }
    }

    fn media(&mut self, media: &Media<'_>, block: &mut Object<'_>) -> Result<(), Fault> {
        let cannot = |what: &str| Err(refuse::content(what));
        let document = match media.kind {
            MediaKind::Image => false,
            MediaKind::Document => true,
            MediaKind::Audio => return cannot("audio"),
            MediaKind::Video => return cannot("video"),
        };
        block.string("type", if document { "document" } else { "image" });
        match &media.source {
            Source::Opaque { dialect: Dialect::Anthropic, raw } => block.raw("source", *raw),
            Source::Url(url) => block.object("source", |source| {
                source.string("type", "url");
                url.put("url", source);
            }),
            Source::Base64 { media_type, data } if document && !media_type.is("application/pdf") => match plain_text(media_type, data) {
                Some(text) => put_plain(&Text::plain(text), block),
                None => return cannot("document that is neither a PDF nor text"),
            },
            Source::Base64 { media_type, data } => block.object("source", |source| {
                source.string("type", "base64");
                if media_type.is("image/jpg") {
                    source.string("media_type", "image/jpeg");
                } else {
                    media_type.put("media_type", source);
                }
                data.put("data", source);
            }),
            Source::Plain(text) if document => put_plain(text, block),
            Source::Plain(_) => return cannot("image as plain text"),
            Source::FileId { dialect: Dialect::Anthropic, id } => block.object("source", |source| {
                source.string("type", "file");
                id.put("file_id", source);
            }),
            Source::FileId { .. } => return Err(refuse::file_elsewhere()),
            Source::Opaque { .. } => return cannot("media from such a source"),
        }
        match &media.title {
            Some(title) if document => title.put("title", block),
            Some(_) => self.lose("messages[].content[].filename"),
            None => {}
        }
        self.notes.losses.write_own(Dialect::Anthropic, "messages[].content[].", &media.extensions, block);
        self.cache(media.cache, block);
        Ok(())
    }

    /// Writes a cache mark, never as the first member.
    pub(super) fn cache(&mut self, mark: Option<CacheMark>, object: &mut Object<'_>) {
        const KEY: &str = r#","cache_control":"#;
        let Some(mark) = mark else { return };
        let out = object.key("cache_control");
        let start = out.len() - KEY.len();
        out.extend_from_slice(match mark.ttl {
            None => br#"{"type":"ephemeral"}"#,
            Some(CacheTtl::Minutes5 | CacheTtl::Minutes30) => br#"{"type":"ephemeral","ttl":"5m"}"#,
            Some(CacheTtl::Hour1 | CacheTtl::Hours12) => br#"{"type":"ephemeral","ttl":"1h"}"#,
        });
        self.marks.add(start..out.len());
    }
}

/// Whether what is written verbatim holds a cache mark.
pub(super) fn has_mark(raw: Raw<'_>) -> bool {
    raw.member("cache_control").is_some_and(|mark| !mark.is_null())
}

fn put_words(text: &Text<'_>, trim: bool, key: &str, object: &mut Object<'_>) {
    if trim {
        object.string(key, text.read().trim_end());
    } else {
        text.put(key, object);
    }
}

fn put_plain(text: &Text<'_>, block: &mut Object<'_>) {
    block.object("source", |source| {
        source.string("type", "text");
        source.string("media_type", "text/plain");
        text.put("data", source);
    });
}

/// The words of a text document that came in base64.
fn plain_text(media_type: &Text<'_>, data: &Text<'_>) -> Option<String> {
    let kind = media_type.read();
    let textual = kind.starts_with("text/") || matches!(kind.split(';').next(), Some("application/json" | "application/xml"));
    textual.then(|| unbase64(data.read().as_bytes())).flatten().and_then(|bytes| String::from_utf8(bytes).ok())
}
