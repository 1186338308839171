//! Writing a request: the members beside the conversation.

use super::compose::{check_messages, messages};
use crate::base::Fault;
use crate::base::digest::fnv1a;
use crate::base::json::{Array, Object, object};
use crate::dialect::Notes;
use crate::dialect::openai::write::{TOOL_NAME_BYTES_MAX, effort, put_schema, put_service_tier, put_tool_name};
use crate::ir::{Dialect, Extension, MaxTokensName, ModelTraits, OutputFormat, Request, Text, Tool, ToolChoice};

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
    check_messages(&request.messages)?;
    request.tools.iter().try_for_each(check_tool)?;
    notes.tools.reserve(request.tools.iter().filter_map(Tool::name).map(Text::read), TOOL_NAME_BYTES_MAX);
    object(out, |o| {
        o.string("model", model);
        o.array("messages", |a| messages(&request.messages, traits, notes, a));
        tools(request, traits, notes, o);
        sampling(request, traits, notes, o);
        if let Some(format) = &request.output {
            output(format, traits, notes, o);
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

fn check_tool(tool: &Tool<'_>) -> Result<(), Fault> {
    match tool {
        Tool::Opaque { dialect, kind, .. } if *dialect != Dialect::OpenAiChat => Err(Fault::unsupported(
            "tools",
            format!(
                "tools: the target speaks OpenAI Chat Completions, which has no tool of the kind `{kind}` ({}); \
                 leave it out, or ask a model that has it",
                dialect.label()
            ),
        )),
        _ => Ok(()),
    }
}

fn tools(request: &Request<'_>, traits: &ModelTraits, notes: &mut Notes, o: &mut Object<'_>) {
    if request.tools.is_empty() {
        if let Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { .. }) = request.tool_choice {
            notes.losses.add("tool_choice");
        }
        return;
    }
    o.array("tools", |a| request.tools.iter().for_each(|t| tool(t, notes, a)));
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Required | ToolChoice::Named(_)) if !traits.forced_tool => {
            notes.losses.add("tool_choice");
            o.string("tool_choice", "auto");
        }
        Some(choice) => tool_choice(choice, &request.tools, notes, o),
    }
    if let Some(parallel) = request.parallel_tool_calls {
        o.bool("parallel_tool_calls", parallel);
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

fn tool_choice(choice: &ToolChoice<'_>, tools: &[Tool<'_>], notes: &mut Notes, o: &mut Object<'_>) {
    match choice {
        ToolChoice::Auto => o.string("tool_choice", "auto"),
        ToolChoice::None => o.string("tool_choice", "none"),
        ToolChoice::Required => o.string("tool_choice", "required"),
        ToolChoice::Named(name) => o.object("tool_choice", |o| chosen(name, tools, notes, o)),
        ToolChoice::Allowed { required, names } => o.object("tool_choice", |o| {
            o.string("type", "allowed_tools");
            o.object("allowed_tools", |o| {
                o.string("mode", if *required { "required" } else { "auto" });
                o.array("tools", |a| names.iter().for_each(|name| a.object(|o| chosen(name, tools, notes, o))));
            });
        }),
    }
}

fn chosen(name: &Text<'_>, tools: &[Tool<'_>], notes: &mut Notes, o: &mut Object<'_>) {
    let is_custom = tools.iter().any(|tool| matches!(tool, Tool::Custom { name: other, .. } if other == name));
    let kind = if is_custom { "custom" } else { "function" };
    o.string("type", kind);
    o.object(kind, |o| put_tool_name(name, notes, o));
}

fn sampling(request: &Request<'_>, traits: &ModelTraits, notes: &mut Notes, o: &mut Object<'_>) {
    for (name, value) in [("temperature", &request.temperature), ("top_p", &request.top_p)] {
        match value {
            Some(value) if traits.sampling => o.verbatim(name, &value.0),
            // The default needs no saying.
            Some(value) if value.value() != 1.0 => notes.losses.add(name),
            _ => {}
        }
    }
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

fn output(format: &OutputFormat<'_>, traits: &ModelTraits, notes: &mut Notes, o: &mut Object<'_>) {
    o.object("response_format", |o| match format {
        OutputFormat::Text => o.string("type", "text"),
        OutputFormat::JsonObject => o.string("type", "json_object"),
        OutputFormat::JsonSchema { .. } if !traits.structured_output => {
            notes.losses.add("response_format.json_schema");
            o.string("type", "json_object");
        }
        OutputFormat::JsonSchema { name, description, schema, strict } => {
            o.string("type", "json_schema");
            o.object("json_schema", |o| {
                match name {
                    Some(name) => name.put("name", o),
                    None => o.string("name", "answer"),
                }
                if let Some(description) = description {
                    description.put("description", o);
                }
                o.raw("schema", schema.raw());
                if let Some(strict) = strict {
                    o.bool("strict", *strict);
                }
            });
        }
    });
}
