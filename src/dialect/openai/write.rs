//! Writing what both dialects spell alike.

use std::borrow::Cow;

use crate::base::json::{Object, Raw, unescape};
use crate::dialect::{Losses, Notes};
use crate::ir::{CacheMark, CacheTtl, Effort, ModelTraits, Reasoning, ReasoningMode, Request, Source, Text, Thinking};

/// One literal of several texts.
pub(in crate::dialect) fn join<'t>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'t Text<'t>>) {
    out.push(b'"');
    texts.for_each(|text| text.write_inner(out));
    out.push(b'"');
}

/// An address, or the bytes themselves as one.
pub(in crate::dialect) fn put_address(source: &Source<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    match source {
        Source::Url(url) => url.write_inner(out),
        Source::Base64 { media_type, data } => {
            out.extend_from_slice(b"data:");
            media_type.write_inner(out);
            out.extend_from_slice(b";base64,");
            data.write_inner(out);
        }
        Source::Plain(text) | Source::FileId { id: text, .. } => text.write_inner(out),
        Source::Opaque { .. } => {}
    }
    out.push(b'"');
}

/// OpenAI's word for a kind of sound.
pub(in crate::dialect) fn audio_format(media_type: &str) -> &str {
    match media_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
        "audio/mpeg" | "audio/mp3" => "mp3",
        other => other.strip_prefix("audio/").unwrap_or(other),
    }
}

/// Whether a cache mark has a step of OpenAI's own.
pub(in crate::dialect) fn is_ours(cache: Option<CacheMark>) -> bool {
    matches!(cache, Some(CacheMark { ttl: Some(CacheTtl::Minutes30 | CacheTtl::Hours12) }))
}

/// Writes how freely the model is to choose its words.
pub(in crate::dialect) fn put_sampling(request: &Request<'_>, traits: &ModelTraits, losses: &mut Losses, o: &mut Object<'_>) {
    for (name, value) in [("temperature", &request.temperature), ("top_p", &request.top_p)] {
        match value {
            Some(value) if traits.sampling => o.verbatim(name, &value.0),
            // The default needs no saying.
            Some(value) if value.value() != 1.0 => losses.add(name),
            _ => {}
        }
    }
}

/// The schema of arguments, as it is but for one thing: OpenAI refuses an object schema without `properties`.
pub(in crate::dialect) fn put_schema(schema: Raw<'_>, o: &mut Object<'_>) {
    let is_object = schema.member("type").and_then(Raw::inner) == Some("object");
    if !is_object || schema.member("properties").is_some() {
        return o.raw("parameters", schema);
    }
    o.object("parameters", |o| {
        schema.members().for_each(|(key, value)| o.raw(&key, value));
        o.verbatim("properties", "{}");
    });
}

/// The effort to ask for. There are only efforts here: a budget becomes the nearest one.
pub(in crate::dialect) fn effort(reasoning: Reasoning, traits: &ModelTraits, losses: &mut Losses) -> Option<Effort> {
    let off = reasoning.mode == Some(ReasoningMode::Disabled) || reasoning.effort == Some(Effort::None);
    let effort = match (off, reasoning.effort, reasoning.budget_tokens) {
        (true, ..) => Effort::None,
        (false, Some(effort), _) => effort,
        (false, None, Some(budget)) => effort_of(budget),
        (false, None, None) => return None,
    };
    match (effort, traits.thinking) {
        (Effort::None, Thinking::Unsupported) => None,
        (_, Thinking::Unsupported) => {
            losses.add("reasoning");
            None
        }
        (Effort::None, Thinking::Always) => {
            losses.add("reasoning");
            Some(Effort::Low)
        }
        (effort, _) => Some(effort),
    }
}

fn effort_of(budget: u64) -> Effort {
    match budget {
        8192.. => Effort::Xhigh,
        4096.. => Effort::High,
        2048.. => Effort::Medium,
        _ => Effort::Low,
    }
}

/// Writes the class of service. `auto` is the default here as well; Anthropic's `standard_only` has no word here.
pub(in crate::dialect) fn put_service_tier(tier: Option<&Text<'_>>, losses: &mut Losses, o: &mut Object<'_>) {
    match tier {
        None => {}
        Some(tier) if tier.is("auto") => {}
        Some(tier) if tier.is("standard_only") => losses.add("service_tier"),
        Some(tier) => tier.put("service_tier", o),
    }
}

/// Longest name of a tool.
pub(in crate::dialect) const TOOL_NAME_BYTES_MAX: usize = 64;

/// Writes a tool's name so that the target takes it.
pub(in crate::dialect) fn put_tool_name(name: &Text<'_>, notes: &mut Notes, o: &mut Object<'_>) {
    match notes.tools.fit(&name.read(), TOOL_NAME_BYTES_MAX) {
        Cow::Borrowed(_) => name.put("name", o),
        Cow::Owned(fitted) => o.string("name", &fitted),
    }
}

/// Writes a cache mark. OpenAI's own steps return as they came; another vendor's mark has no equal here (caching is automatic).
pub(in crate::dialect) fn put_cache_mark(cache: Option<CacheMark>, losses: &mut Losses, o: &mut Object<'_>) {
    match cache.map(|mark| mark.ttl) {
        None => {}
        Some(Some(ttl @ (CacheTtl::Minutes30 | CacheTtl::Hours12))) => o.object("prompt_cache_breakpoint", |o| {
            o.string("mode", "explicit");
            o.string("ttl", if ttl == CacheTtl::Hours12 { "12h" } else { "30m" });
        }),
        Some(_) => losses.add("cache_control"),
    }
}

/// The text that a free-form tool gets, out of the `{"input": "…"}` that stood in for it upstream.
pub(in crate::dialect) fn custom_input(arguments: &str) -> String {
    let input = Raw::parse(arguments.as_bytes()).ok().and_then(|raw| raw.member("input")).and_then(Raw::inner);
    input.map_or_else(|| arguments.to_owned(), |inner| unescape(inner).into_owned())
}

/// Most bytes of a free-form tool's wrapped argument that are held to unwrap it.
const WRAPPED_BYTES_MAX: usize = 4 << 20;

/// What became of a piece of a wrapped argument.
pub(in crate::dialect) enum Held {
    /// Kept for the end.
    Yes,
    /// Nothing is kept: it may be written.
    No,
    /// More than is kept: all of it, to be written as it is.
    TooMuch(String),
}

/// Keeps a piece of the argument of a free-form tool that is a function upstream.
pub(in crate::dialect) fn hold(wrapped: &mut Option<String>, text: &Text<'_>) -> Held {
    let Some(held) = wrapped else { return Held::No };
    held.push_str(&text.read());
    match held.len() > WRAPPED_BYTES_MAX {
        true => Held::TooMuch(wrapped.take().unwrap_or_default()),
        false => Held::Yes,
    }
}
