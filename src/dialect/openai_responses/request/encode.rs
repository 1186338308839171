//! Writing a request: the members beside the conversation.

use super::compose::{check_messages, items};
use crate::base::Fault;
use crate::base::json::{Array, Object, Raw, object};
use crate::dialect::openai::form::{Form, put_output, put_tools};
use crate::dialect::openai::refuse::Target;
use crate::dialect::openai::write::{TOOL_NAME_BYTES_MAX, effort, put_sampling, put_schema, put_service_tier, put_tool_name};
use crate::dialect::{Losses, Notes, refuse};
use crate::ir::{Dialect, Effort, Extension, MediaKind, ModelTraits, OutputFormat, ReasoningMode, Request, Text, Thinking, Tool};

const TARGET: Target =
    Target { dialect: Dialect::OpenAiResponses, name: "OpenAI Responses", fetches_not: &[(MediaKind::Audio, "a sound")] };
/// The least bound on output tokens that the API takes.
const OUTPUT_TOKENS_MIN: u64 = 16;

/// Writes a request for `model`. Whatever is refused is refused before the first byte.
pub(in super::super) fn encode(
    request: &Request<'_>,
    model: &str,
    traits: &ModelTraits,
    notes: &mut Notes,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    check(request)?;
    check_messages(TARGET, &request.messages)?;
    notes.tools.reserve(request.tools.iter().filter_map(Tool::name).map(Text::read), TOOL_NAME_BYTES_MAX);
    let own = Own::of(&request.extensions, &mut notes.losses);
    object(out, |o| {
        o.string("model", model);
        o.array("input", |a| items(&request.messages, traits, notes, a));
        put_tools(request, traits, Form::Flat, tool, notes, o);
        sampling(request, traits, notes, o);
        own.put_text(request.output.as_ref(), notes, traits, o);
        own.put_reasoning(request, traits, notes, o);
        if let Some(bound) = request.output_tokens_max {
            if bound < OUTPUT_TOKENS_MIN {
                notes.losses.add("max_output_tokens");
            }
            o.u64("max_output_tokens", bound.max(OUTPUT_TOKENS_MIN));
        }
        if let Some(user) = &request.user {
            user.put("user", o);
        }
        put_service_tier(request.service_tier.as_ref(), &mut notes.losses, o);
        if request.stream {
            o.bool("stream", true);
        }
        // Nobody could ask for the stored answer; so what the provider would keep with it must come back with the caller.
        o.bool("store", false);
        own.put_include(traits, o);
        own.put_rest(o);
    });
    Ok(())
}

/// Refuses what would change the meaning of the request if it were left out.
fn check(request: &Request<'_>) -> Result<(), Fault> {
    let cannot = |name: &str| {
        let text = format!("{name}: the target speaks OpenAI Responses, which cannot do this; leave it out, or ask another model");
        Err(Fault::unsupported(name.to_owned(), text))
    };
    if request.answers.is_some_and(|n| n > 1) {
        return cannot("n");
    }
    if !request.stop.is_empty() {
        return cannot("stop");
    }
    request.tools.iter().try_for_each(|tool| TARGET.check_tool(tool))?;
    for Extension { dialect, name, value } in &request.extensions {
        let refused = *dialect != Dialect::OpenAiResponses
            && match &**name {
                "logit_bias" => value.members().next().is_some(),
                "modalities" => value.elements().any(|m| m.inner() != Some("text")),
                "audio" | "web_search_options" | "prediction" => !value.is_null(),
                _ => false,
            };
        if refused {
            return cannot(name);
        }
    }
    Ok(())
}

/// Members that go on as they are, sorted by where they stand.
#[derive(Default)]
struct Own<'r, 'a> {
    /// Inside of `text`.
    text: Vec<(&'r str, Raw<'a>)>,
    /// Inside of `reasoning`.
    reasoning: Vec<(&'r str, Raw<'a>)>,
    /// At the top.
    rest: Vec<(&'r str, Raw<'a>)>,
    /// The caller's own list.
    include: Option<Raw<'a>>,
    /// Whether probabilities are asked for.
    logprobs: bool,
}

impl<'r, 'a> Own<'r, 'a> {
    fn of(extensions: &'r [Extension<'a>], losses: &mut Losses) -> Self {
        let mut own = Self::default();
        for Extension { dialect, name, value } in extensions {
            match (dialect, &**name) {
                _ if value.is_null() => {}
                (Dialect::OpenAiResponses, "store") => {}
                (Dialect::OpenAiResponses, "include") => own.include = Some(*value),
                (Dialect::OpenAiResponses, name) => match name.split_once('.') {
                    Some(("text", inner)) => own.text.push((inner, *value)),
                    Some(("reasoning", inner)) => own.reasoning.push((inner, *value)),
                    _ if name.contains("[].") => losses.add(name.to_owned()),
                    _ => own.rest.push((name, *value)),
                },
                (Dialect::OpenAiChat, "verbosity") => own.text.push(("verbosity", *value)),
                (Dialect::OpenAiChat, "logprobs") => own.logprobs = value.bool() == Some(true),
                (
                    Dialect::OpenAiChat,
                    "metadata"
                    | "prompt_cache_key"
                    | "prompt_cache_options"
                    | "prompt_cache_retention"
                    | "safety_identifier"
                    | "top_logprobs"
                    | "moderation",
                ) => own.rest.push((name, *value)),
                (_, "store") if value.bool() == Some(false) => {}
                (_, "logit_bias" | "modalities") => {}
                _ => losses.add(name.clone().into_owned()),
            }
        }
        own
    }

    fn put_text(&self, format: Option<&OutputFormat<'_>>, notes: &mut Notes, traits: &ModelTraits, o: &mut Object<'_>) {
        if format.is_none() && self.text.is_empty() {
            return;
        }
        o.object("text", |o| {
            if let Some(format) = format {
                o.object("format", |o| put_output(format, traits, Form::Flat, &mut notes.losses, o));
            }
            self.text.iter().filter(|(name, _)| *name != "format" || format.is_none()).for_each(|(name, value)| o.raw(name, *value));
        });
    }

    fn put_reasoning(&self, request: &Request<'_>, traits: &ModelTraits, notes: &mut Notes, o: &mut Object<'_>) {
        let asked = request.reasoning.unwrap_or_default();
        let effort = effort(asked, traits, &mut notes.losses);
        // A budget with the thinking enabled always shows it; the newer ways show it where it was asked for.
        let shown = asked.summary.unwrap_or(asked.mode == Some(ReasoningMode::Enabled));
        let shown = shown && traits.thinking != Thinking::Unsupported && effort != Some(Effort::None);
        if effort.is_none() && !shown && self.reasoning.is_empty() {
            return;
        }
        o.object("reasoning", |o| {
            if let Some(effort) = effort {
                o.string("effort", effort.word());
            }
            if shown {
                o.string("summary", "auto");
            }
            self.reasoning.iter().filter(|(name, _)| *name != "effort" || effort.is_none()).for_each(|(name, value)| o.raw(name, *value));
        });
    }

    /// What the answer must hold beyond the usual: the proof of the thinking, which models that do not think refuse to give.
    fn put_include(&self, traits: &ModelTraits, o: &mut Object<'_>) {
        const PROOF: &str = "reasoning.encrypted_content";
        const LOGPROBS: &str = "message.output_text.logprobs";
        let thinks = traits.thinking != Thinking::Unsupported;
        if !thinks && !self.logprobs && self.include.is_none() {
            return;
        }
        o.array("include", |a| {
            if thinks {
                a.string(PROOF);
            }
            if self.logprobs {
                a.string(LOGPROBS);
            }
            self.include.into_iter().flat_map(Raw::elements).filter(|e| e.inner() != Some(PROOF)).for_each(|e| a.raw(e));
        });
    }

    fn put_rest(&self, o: &mut Object<'_>) {
        self.rest.iter().for_each(|(name, value)| o.raw(name, *value));
    }
}

fn tool(tool: &Tool<'_>, notes: &mut Notes, a: &mut Array<'_>) {
    match tool {
        Tool::Function { name, description, parameters, strict, cache, extensions } => a.object(|o| {
            o.string("type", "function");
            put_tool_name(name, notes, o);
            if let Some(description) = description {
                description.put("description", o);
            }
            match parameters {
                Some(schema) => put_schema(schema.raw(), o),
                None => o.verbatim("parameters", r#"{"type":"object","properties":{}}"#),
            }
            // Left out it counts as true, which few schemas meet.
            o.bool("strict", *strict == Some(true));
            notes.losses.write_own(Dialect::OpenAiResponses, "tools[].", extensions, o);
            if cache.is_some() {
                notes.losses.add("cache_control");
            }
        }),
        Tool::Custom { name, description, format } => a.object(|o| {
            o.string("type", "custom");
            put_tool_name(name, notes, o);
            if let Some(description) = description {
                description.put("description", o);
            }
            if let Some(format) = format {
                put_grammar(*format, o);
            }
        }),
        Tool::Opaque { raw, .. } => a.raw(*raw),
    }
}

/// The format of a free-form tool's text; Chat Completions nests the grammar one level deeper.
fn put_grammar(format: Raw<'_>, o: &mut Object<'_>) {
    match format.member("grammar").filter(|inner| inner.is_object()) {
        Some(grammar) => o.object("format", |o| {
            o.string("type", "grammar");
            grammar.members().for_each(|(name, value)| o.raw(&name, value));
        }),
        None => o.raw("format", format),
    }
}

fn sampling(request: &Request<'_>, traits: &ModelTraits, notes: &mut Notes, o: &mut Object<'_>) {
    put_sampling(request, traits, &mut notes.losses, o);
    refuse::penalties(request, &mut notes.losses);
    if request.top_k.is_some() {
        notes.losses.add("top_k");
    }
}
