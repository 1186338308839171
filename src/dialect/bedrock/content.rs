//! Content blocks → parts, in requests and in answers. A block is an object whose one member names its kind.

use std::borrow::Cow;

use super::media;
use super::read::{optional, required};
use crate::base::Fault;
use crate::base::json::Raw;
use crate::dialect::anthropic::decode::{input, object, text};
use crate::dialect::anthropic::wire::Path;
use crate::ir::{CacheMark, CacheTtl, Citations, Dialect, Extension, MediaKind, Part, Text, proof};

/// A member of the dialect's own.
pub(super) fn extension<'a>(name: impl Into<Cow<'a, str>>, value: Raw<'a>) -> Extension<'a> {
    Extension { dialect: Dialect::Bedrock, name: name.into(), value }
}

/// Reads a content block. What a part has no room for goes to `extensions`, under a name that begins with `content[].`.
pub(super) fn block<'a>(value: Raw<'a>, path: &Path<'_>, extensions: &mut Vec<Extension<'a>>) -> Result<Part<'a>, Fault> {
    object(value, path)?;
    // A serialiser may write the other members of the union as null.
    let Some((kind, inner)) = value.members().find(|(_, inner)| !inner.is_null()) else {
        return Err(path.fault("expected a content block (`text`, `image`, `toolUse`, …), found an empty object"));
    };
    let opaque = || Part::Opaque { dialect: Dialect::Bedrock, kind: kind.clone(), raw: value };
    let path = &path.name(&kind);
    Ok(match &*kind {
        "text" => Part::text(text(inner, path)?),
        "image" => Part::Media(media::read(MediaKind::Image, inner, path)?),
        "document" => Part::Media(media::read(MediaKind::Document, inner, path)?),
        "video" => Part::Media(media::read(MediaKind::Video, inner, path)?),
        "audio" => Part::Media(media::read(MediaKind::Audio, inner, path)?),
        "toolUse" if is_served(inner) => opaque(),
        "toolUse" => tool_use(inner, path)?,
        "toolResult" if is_served(inner) => opaque(),
        "toolResult" => tool_result(inner, path, extensions)?,
        "reasoningContent" => match reasoning(inner, path)? {
            Some(part) => part,
            None => opaque(),
        },
        "citationsContent" => cited(inner, path)?,
        "guardContent" => match guarded(inner, path, extensions)? {
            Some(part) => part,
            None => opaque(),
        },
        _ => opaque(),
    })
}

/// Reads a cache point.
pub(super) fn cache_mark(point: Raw<'_>, path: &Path<'_>) -> Result<CacheMark, Fault> {
    object(point, path)?;
    let ttl = match point.member("ttl").and_then(Raw::inner) {
        Some("5m") => Some(CacheTtl::Minutes5),
        Some("1h") => Some(CacheTtl::Hour1),
        _ => None,
    };
    Ok(CacheMark { ttl })
}

/// Whether the provider itself runs the tool: its calls and results are not the app's to handle.
pub(super) fn is_served(block: Raw<'_>) -> bool {
    block.member("type").and_then(Raw::inner).is_some_and(|kind| kind != "tool_use")
}

fn tool_use<'a>(value: Raw<'a>, path: &Path<'_>) -> Result<Part<'a>, Fault> {
    object(value, path)?;
    let id = required(value, path, "toolUseId", text)?;
    let name = required(value, path, "name", text)?;
    let arguments = value.member("input").map_or(Text::plain("{}"), input);
    Ok(Part::ToolCall { id, name, arguments, custom: false, cache: None })
}

fn tool_result<'a>(value: Raw<'a>, path: &Path<'_>, extensions: &mut Vec<Extension<'a>>) -> Result<Part<'a>, Fault> {
    object(value, path)?;
    let (mut parts, error) = (Vec::new(), value.member("status").and_then(Raw::inner) == Some("error"));
    let id = required(value, path, "toolUseId", text)?;
    let content = value.member("content").filter(|content| !content.is_null());
    let at = path.name("content");
    if let Some(content) = content.filter(|content| !content.is_array()) {
        return Err(at.wrong("an array of result blocks", content));
    }
    for (i, element) in content.into_iter().flat_map(Raw::elements).enumerate() {
        let json = element.member("json").filter(|json| !json.is_null());
        parts.push(match json {
            Some(json) => Part::text(Text::plain(json.get())),
            // No result holds a result: reading on inside would only cost time, level by level.
            None if element.member("toolResult").is_some() => {
                Part::Opaque { dialect: Dialect::Bedrock, kind: "toolResult".into(), raw: element }
            }
            None => block(element, &at.index(i), extensions)?,
        });
    }
    Ok(Part::ToolResult { id, parts, error, cache: None })
}

fn reasoning<'a>(value: Raw<'a>, path: &Path<'_>) -> Result<Option<Part<'a>>, Fault> {
    object(value, path)?;
    if let Some(data) = optional(value, path, "redactedContent", text)? {
        return Ok(Some(Part::RedactedReasoning(proof::read(Dialect::Bedrock, data))));
    }
    let Some(told) = value.member("reasoningText").filter(|told| told.is_object()) else { return Ok(None) };
    let path = &path.name("reasoningText");
    let signature = optional(told, path, "signature", text)?.filter(|signature| !signature.is_empty());
    Ok(Some(Part::Reasoning {
        text: optional(told, path, "text", text)?.unwrap_or(Text::EMPTY),
        signature: signature.map(|signature| proof::read(Dialect::Bedrock, signature)),
    }))
}

/// A text with its citations. Its pieces are one text.
fn cited<'a>(value: Raw<'a>, path: &Path<'_>) -> Result<Part<'a>, Fault> {
    object(value, path)?;
    let citations = value.member("citations").filter(|citations| citations.elements().next().is_some());
    let mut pieces =
        value.member("content").into_iter().flat_map(Raw::elements).filter_map(|piece| piece.member("text").and_then(Text::of));
    let text = match (pieces.next(), pieces.next()) {
        (None, _) => Text::EMPTY,
        (Some(one), None) => one,
        (Some(first), Some(second)) => {
            let mut joined = first.read().into_owned() + &second.read();
            pieces.for_each(|piece| joined.push_str(&piece.read()));
            Text::plain(joined)
        }
    };
    let citations = citations.map(|raw| Citations { dialect: Dialect::Bedrock, raw });
    Ok(Part::Text { text, citations, cache: None })
}

/// What a guardrail is to look at: words and pictures like others, but that the mark on them is nobody else's.
fn guarded<'a>(value: Raw<'a>, path: &Path<'_>, extensions: &mut Vec<Extension<'a>>) -> Result<Option<Part<'a>>, Fault> {
    object(value, path)?;
    let part = match value.members().find(|(_, inner)| !inner.is_null()) {
        Some((kind, inner)) if kind == "text" => Part::text(required(inner, &path.name("text"), "text", text)?),
        Some((kind, inner)) if kind == "image" => Part::Media(media::read(MediaKind::Image, inner, &path.name("image"))?),
        _ => return Ok(None),
    };
    extensions.push(extension("content[].guardContent", value));
    Ok(Some(part))
}
