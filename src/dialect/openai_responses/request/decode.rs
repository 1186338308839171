//! Reading a request: the members beside the conversation.

use super::items;
use super::tools;
use crate::base::Fault;
use crate::base::json::Raw;
use crate::dialect::openai::read::{At, boolean, json_schema, number, safety_identifier, text, told, whole};
use crate::ir::{Dialect, Effort, Extension, Message, OutputFormat, Part, Reasoning, ReasoningMode, Request, Role, Text};

/// Reads a request. What only the provider that holds it could resolve (an earlier response, a stored prompt) is refused:
/// this is asked for only where the request goes to another dialect.
pub(in super::super) fn decode(root: Raw<'_>) -> Result<Request<'_>, Fault> {
    if !root.is_object() {
        return Err(At::Root.expected("an object", Some(root)));
    }
    let mut reader = Reader { request: Request { stream_usage: true, ..Request::default() }, ..Reader::default() };
    for (name, value) in root.members() {
        // An optional member that is `null` is one that is absent.
        if value.is_null() {
            continue;
        }
        let at = At::Key(&At::Root, &name);
        if !reader.member(&name, value, &at)? && !says_nothing(&name, value) {
            reader.request.extensions.push(extension(name, value));
        }
    }
    reader.finish()
}

/// A member that the neutral form does not model.
pub(super) fn extension<'a>(name: impl Into<std::borrow::Cow<'a, str>>, value: Raw<'a>) -> Extension<'a> {
    Extension { dialect: Dialect::OpenAiResponses, name: name.into(), value }
}

/// What only the provider that holds it could resolve.
pub(super) fn held_elsewhere(at: &At<'_>, what: &str) -> Fault {
    let text = format!(
        "{at}: the target speaks another dialect and does not hold {what}; send the whole conversation as `input`, \
         or ask a model whose provider speaks OpenAI Responses"
    );
    Fault::unsupported(at.to_string(), text)
}

/// Members whose value is the default spelled out, or asks for what every answer has: no fact is lost with them.
fn says_nothing(name: &str, value: Raw<'_>) -> bool {
    match name {
        "store" | "background" => value.bool() == Some(false),
        "metadata" | "stream_options" => value.members().all(|(name, _)| name == "include_obfuscation"),
        "include" => value.is_array() && value.elements().all(|e| e.inner() == Some("reasoning.encrypted_content")),
        "truncation" => value.inner() == Some("disabled"),
        "top_logprobs" => value.u64() == Some(0),
        _ => false,
    }
}

/// The request so far, and the members that must be seen whole.
#[derive(Default)]
struct Reader<'a> {
    request: Request<'a>,
    model_seen: bool,
    input_seen: bool,
    instructions: Option<Message<'a>>,
    safety_identifier: Option<Raw<'a>>,
}

impl<'a> Reader<'a> {
    /// Takes one member; `false` where the neutral form has no place for it.
    fn member(&mut self, name: &str, value: Raw<'a>, at: &At<'_>) -> Result<bool, Fault> {
        let request = &mut self.request;
        match name {
            "model" => {
                request.model = value.string().ok_or_else(|| at.expected("a string", Some(value)))?;
                self.model_seen = true;
            }
            "instructions" => self.instructions = instructions(value, at)?,
            "input" => {
                items::decode_all(value, at, request)?;
                self.input_seen = true;
            }
            "tools" => tools::decode_all(value, at, request)?,
            "tool_choice" => {
                request.tool_choice = tools::choice(value, at)?;
                return Ok(request.tool_choice.is_some());
            }
            "parallel_tool_calls" => request.parallel_tool_calls = Some(boolean(value, at)?),
            "temperature" => request.temperature = Some(number(value, at)?),
            "top_p" => request.top_p = Some(number(value, at)?),
            "max_output_tokens" => request.output_tokens_max = Some(whole(value, at)?),
            "text" => self.text(value, at)?,
            "reasoning" => self.reasoning(value, at)?,
            "stream" => request.stream = boolean(value, at)?,
            "user" => request.user = Some(text(value, at)?),
            "safety_identifier" => self.safety_identifier = Some(value),
            "service_tier" => request.service_tier = Some(text(value, at)?),
            "previous_response_id" => return Err(held_elsewhere(at, "the earlier response")),
            "conversation" => return Err(held_elsewhere(at, "the conversation")),
            "prompt" => return Err(held_elsewhere(at, "the stored prompt")),
            "background" if boolean(value, at)? => return Err(held_elsewhere(at, "answers for a later visit")),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn text(&mut self, value: Raw<'a>, at: &At<'_>) -> Result<(), Fault> {
        if !value.is_object() {
            return Err(at.expected("an object", Some(value)));
        }
        for (name, value) in value.members().filter(|(_, value)| !value.is_null()) {
            match &*name {
                "format" => match format(value, &at.key("format"))? {
                    Some(format) => self.request.output = Some(format),
                    None => self.request.extensions.push(extension("text.format", value)),
                },
                _ => self.request.extensions.push(extension(format!("text.{name}"), value)),
            }
        }
        Ok(())
    }

    fn reasoning(&mut self, value: Raw<'a>, at: &At<'_>) -> Result<(), Fault> {
        if !value.is_object() {
            return Err(at.expected("an object", Some(value)));
        }
        let mut reasoning = Reasoning::default();
        for (name, value) in value.members().filter(|(_, value)| !value.is_null()) {
            match &*name {
                "effort" => match value.string().as_deref().and_then(Effort::parse) {
                    Some(effort) => {
                        reasoning.effort = Some(effort);
                        reasoning.mode = (effort == Effort::None).then_some(ReasoningMode::Disabled);
                    }
                    None => self.request.extensions.push(extension("reasoning.effort", value)),
                },
                "summary" | "generate_summary" => reasoning.summary = Some(!text(value, &at.key("summary"))?.is("none")),
                _ => self.request.extensions.push(extension(format!("reasoning.{name}"), value)),
            }
        }
        self.request.reasoning = (reasoning != Reasoning::default()).then_some(reasoning);
        Ok(())
    }

    fn finish(self) -> Result<Request<'a>, Fault> {
        let mut request = self.request;
        if !self.model_seen {
            return Err(At::Root.key("model").expected("the name of a model", None));
        }
        if !self.input_seen {
            return Err(At::Root.key("input").expected("a string or an array of items", None));
        }
        if let Some(instructions) = self.instructions {
            request.messages.insert(0, instructions);
        }
        safety_identifier(self.safety_identifier, Dialect::OpenAiResponses, &mut request);
        Ok(request)
    }
}

/// A text; some clients send items here.
fn instructions<'a>(value: Raw<'a>, at: &At<'_>) -> Result<Option<Message<'a>>, Fault> {
    let parts = match Text::of(value) {
        Some(text) if text.is_empty() => return Ok(None),
        Some(text) => vec![Part::text(text)],
        None if value.is_array() => {
            let mut inner = Request::default();
            items::decode_all(value, at, &mut inner)?;
            inner.messages.into_iter().flat_map(|message| message.parts).collect()
        }
        None => return Err(at.expected("a string", Some(value))),
    };
    Ok(Some(Message::new(Role::System, parts)))
}

fn format<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Option<OutputFormat<'a>>, Fault> {
    let kind = told(raw, "type");
    let kind = kind.and_then(Raw::string).ok_or_else(|| at.key("type").expected("a string", kind))?;
    Ok(match &*kind {
        "text" => Some(OutputFormat::Text),
        "json_object" => Some(OutputFormat::JsonObject),
        "json_schema" => Some(json_schema(raw, at)?),
        _ => None,
    })
}
