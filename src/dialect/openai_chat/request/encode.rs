//! Writing a request: the members beside the conversation.

use super::compose::messages;
use crate::base::Fault;
use crate::base::digest::fnv1a;
use crate::base::json::{Array, Object, object};
use crate::dialect::Notes;
use crate::dialect::openai::form::{Form, put_output, put_tools};
use crate::dialect::openai::refuse::Target;
use crate::dialect::openai::write::{TOOL_NAME_BYTES_MAX, effort, put_sampling, put_schema, put_service_tier, put_tool_name};
use crate::ir::{Dialect, Extension, MaxTokensName, MediaKind, ModelTraits, Request, Text, Tool};

const TARGET: Target = Target {
    dialect: Dialect::OpenAiChat,
    name: "OpenAI Chat Completions",
    fetches_not: &[(MediaKind::Document, "a document"), (MediaKind::Audio, "a sound")],
};
/// Most stop texts.
const STOPS_MAX: usize = 4;

/// Writes a chat request for `model`. Whatever is refused is refused before the first byte.
pub(in super::super) fn encode(
    request: &Request<'_>,
    model: &str,
    traits: &ModelTraits,
    notes: &mut Notes,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    request.messages.iter().try_for_each(|message| TARGET.check_parts(message))?;
    request.tools.iter().try_for_each(|tool| TARGET.check_tool(tool))?;
    notes.tools.reserve(request.tools.iter().filter_map(Tool::name).map(Text::read), TOOL_NAME_BYTES_MAX);
    object(out, |o| {
        o.string("model", model);
        o.array("messages", |a| messages(&request.messages, traits, notes, a));
        put_tools(request, traits, Form::Nested, tool, notes, o);
        sampling(request, traits, notes, o);
        if let Some(format) = &request.output {
            o.object("response_format", |o| put_output(format, traits, Form::Nested, &mut notes.losses, o));
        }
        if let Some(effort) = request.reasoning.and_then(|reasoning| effort(reasoning, traits, &mut notes.losses)) {
            o.string("reasoning_effort", effort.word());
        }
        if let Some(bound) = request.output_tokens_max {
            let name = match traits.max_tokens_name {
                MaxTokensName::MaxCompletionTokens => "max_completion_tokens",
                MaxTokensName::MaxTokens => "max_tokens",
            };
            o.u64(name, bound);
        }
        if let Some(user) = &request.user {
            user.put("user", o);
        }
        put_service_tier(request.service_tier.as_ref(), &mut notes.losses, o);
        // Accounting needs the usage, whether or not the caller does.
        if request.stream {
            o.bool("stream", true);
            if traits.stream_options {
                o.object("stream_options", |o| o.bool("include_usage", true));
            }
        }
        extensions(&request.extensions, "", notes, o);
    });
    Ok(())
}

/// Re-emits what came from this dialect and names the rest.
pub(super) fn extensions(extensions: &[Extension<'_>], place: &str, notes: &mut Notes, o: &mut Object<'_>) {
    for extension in extensions {
        match extension.dialect {
            // A name with a place in it stood inside of a part or a call, which is written anew.
            Dialect::OpenAiChat if !extension.name.contains("[].") => o.raw(&extension.name, extension.value),
            Dialect::OpenAiResponses if place.is_empty() && shared(&extension.name).is_some() => {
                o.raw(shared(&extension.name).unwrap_or_default(), extension.value);
            }
            _ => notes.losses.add(format!("{place}{}", extension.name)),
        }
    }
}

/// Writes a call's id, so that the target takes it: the same id becomes the same at the call and at its result.
pub(super) fn put_call_id(key: &str, id: &Text<'_>, traits: &ModelTraits, o: &mut Object<'_>) {
    if !traits.short_call_ids {
        return id.put(key, o);
    }
    let plain = id.read();
    match plain.len() == SHORT_ID_BYTES && plain.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => id.put(key, o),
        false => o.string(key, &short_id(&plain)),
    }
}

const SHORT_ID_BYTES: usize = 9;

/// Nine letters and digits by the id's digest: two ids of one conversation that meet are one in 10¹⁵.
fn short_id(id: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digest = fnv1a(id);
    let mut digit = || {
        let digit = DIGITS[(digest % 62) as usize];
        digest /= 62;
        char::from(digit)
    };
    (0..SHORT_ID_BYTES).map(|_| digit()).collect()
}

/// What a member of OpenAI's other dialect is called here, where it means the same.
fn shared(name: &str) -> Option<&str> {
    match name {
        "metadata" | "prompt_cache_key" | "prompt_cache_options" | "prompt_cache_retention" | "safety_identifier" => Some(name),
        "text.verbosity" => Some("verbosity"),
        _ => None,
    }
}

fn tool(tool: &Tool<'_>, notes: &mut Notes, a: &mut Array<'_>) {
    match tool {
        Tool::Function { name, description, parameters, strict, cache, extensions: more } => a.object(|o| {
            o.string("type", "function");
            o.object("function", |o| {
                put_tool_name(name, notes, o);
                if let Some(description) = description {
                    description.put("description", o);
                }
                if let Some(schema) = parameters {
                    put_schema(schema.raw(), o);
                }
                if let Some(strict) = strict {
                    o.bool("strict", *strict);
                }
                extensions(more, "tools[].", notes, o);
            });
            if cache.is_some() {
                notes.losses.add("cache_control");
            }
        }),
        Tool::Custom { name, description, format } => a.object(|o| {
            o.string("type", "custom");
            o.object("custom", |o| {
                put_tool_name(name, notes, o);
                if let Some(description) = description {
                    description.put("description", o);
                }
                if let Some(format) = format {
                    o.raw("format", *format);
                }
            });
        }),
        Tool::Opaque { raw, .. } => a.raw(*raw),
    }
}

fn sampling(request: &Request<'_>, traits: &ModelTraits, notes: &mut Notes, o: &mut Object<'_>) {
    put_sampling(request, traits, &mut notes.losses, o);
    match &request.top_k {
        Some(value) if traits.top_k && traits.sampling => o.verbatim("top_k", &value.0),
        Some(_) => notes.losses.add("top_k"),
        None => {}
    }
    let seed = if traits.random_seed { "random_seed" } else { "seed" };
    let numbers =
        [(seed, &request.seed), ("presence_penalty", &request.presence_penalty), ("frequency_penalty", &request.frequency_penalty)];
    for (name, value) in numbers {
        if let Some(value) = value {
            o.verbatim(name, &value.0);
        }
    }
    if let Some(answers) = request.answers {
        o.u64("n", answers);
    }
    if !request.stop.is_empty() {
        o.array("stop", |a| request.stop.iter().take(STOPS_MAX).for_each(|text| text.write(a.item())));
    }
    if request.stop.len() > STOPS_MAX {
        notes.losses.add("stop");
    }
}
