//! Request text → the neutral form.

use std::borrow::Cow;

use super::contents::Contents;
use super::schema;
use super::wire::{At, boolean, each, extension, member, members, number, object, text, whole};
use crate::base::Fault;
use crate::base::json::Raw;
use crate::ir::{Dialect, Effort, Message, OutputFormat, Part, Reasoning, ReasoningMode, Request, Role, Text, Tool, ToolChoice};

/// The prefix of members read inside of `generationConfig`.
pub(super) const CONFIG: &str = "generationConfig.";
/// The prefix of members read inside of `toolConfig`.
pub(super) const TOOL_CONFIG: &str = "toolConfig.";
/// The prefix of members read inside of `toolConfig.functionCallingConfig`.
pub(super) const CALLING: &str = "toolConfig.functionCallingConfig.";

/// Reads a request, or the question how many tokens one has.
pub(super) fn request(raw: Raw<'_>) -> Result<Request<'_>, Fault> {
    if !raw.is_object() {
        return Err(Fault::bad_request("The body must be a JSON object with `contents`."));
    }
    let mut reader = Reader { request: Request { stream_usage: true, ..Request::default() }, ..Reader::default() };
    reader.members(raw)?;
    reader.finish()
}

/// What must be seen whole before the request is made of it.
#[derive(Default)]
struct Reader<'a> {
    request: Request<'a>,
    system: Option<Raw<'a>>,
    contents: Option<Raw<'a>>,
    reasoning: Reasoning,
    mime: Option<Raw<'a>>,
    schema: Option<(Raw<'a>, bool)>,
}

impl<'a> Reader<'a> {
    fn members(&mut self, raw: Raw<'a>) -> Result<(), Fault> {
        members(raw).try_for_each(|(name, value)| self.member(name, value))
    }

    fn member(&mut self, name: Cow<'a, str>, value: Raw<'a>) -> Result<(), Fault> {
        let at = At::root(&name);
        match &*name {
            "contents" => self.contents = Some(value),
            "systemInstruction" => self.system = Some(value),
            "tools" => {
                let tools = &mut self.request.tools;
                tools.clear();
                each(value, &at, |value, at| tool(value, at, tools))?;
            }
            "toolConfig" => self.tool_config(value, &at)?,
            "generationConfig" => self.config(value, &at)?,
            "serviceTier" => self.request.service_tier = Some(text(value, &at)?),
            // The question for tokens wraps the request that it is about.
            "generateContentRequest" => {
                for (name, value) in members(object(value, &at)?).filter(|(name, _)| name != "generateContentRequest") {
                    self.member(name, value)?;
                }
            }
            // The path says it; `max_tokens` is no member of this dialect.
            "model" | "maxTokens" => {}
            _ => self.request.extensions.push(extension(name, value)),
        }
        Ok(())
    }

    fn config(&mut self, value: Raw<'a>, at: &At<'_>) -> Result<(), Fault> {
        for (name, value) in members(object(value, at)?) {
            let at = at.name(&name);
            let request = &mut self.request;
            match &*name {
                "temperature" => request.temperature = Some(number(value, &at)?),
                "topP" => request.top_p = Some(number(value, &at)?),
                "topK" => request.top_k = Some(number(value, &at)?),
                "seed" => request.seed = Some(number(value, &at)?),
                "presencePenalty" => request.presence_penalty = Some(number(value, &at)?),
                "frequencyPenalty" => request.frequency_penalty = Some(number(value, &at)?),
                "maxOutputTokens" => request.output_tokens_max = Some(whole(value, &at)?),
                "candidateCount" => request.answers = Some(whole(value, &at)?),
                "stopSequences" => {
                    request.stop.clear();
                    each(value, &at, |value, at| {
                        request.stop.push(text(value, at)?);
                        Ok(())
                    })?;
                }
                "responseMimeType" => {
                    text(value, &at)?;
                    self.mime = Some(value);
                }
                "responseSchema" => self.schema = Some((object(value, &at)?, true)),
                "responseJsonSchema" => self.schema = Some((value, false)),
                "thinkingConfig" => self.thinking(value, &at)?,
                "responseModalities" if value.elements().all(|m| m.inner().is_some_and(|m| m.eq_ignore_ascii_case("text"))) => {}
                _ => request.extensions.push(extension(format!("{CONFIG}{name}"), value)),
            }
        }
        Ok(())
    }

    fn thinking(&mut self, value: Raw<'a>, at: &At<'_>) -> Result<(), Fault> {
        for (name, value) in members(object(value, at)?) {
            let at = at.name(&name);
            match &*name {
                "thinkingBudget" => match (value.u64(), value.number()) {
                    (Some(0), _) => self.reasoning.mode = Some(ReasoningMode::Disabled),
                    (Some(budget), _) => {
                        self.reasoning.mode = Some(ReasoningMode::Enabled);
                        self.reasoning.budget_tokens = Some(budget);
                    }
                    (None, Some("-1")) => self.reasoning.mode = Some(ReasoningMode::Adaptive),
                    (None, Some(_)) => return Err(at.fault("expected a whole number from -1, found another number")),
                    (None, None) => return Err(at.wrong("a whole number", value)),
                },
                "thinkingLevel" => {
                    let word = text(value, &at)?.read().to_ascii_lowercase();
                    match Effort::parse(&word) {
                        Some(effort) => self.reasoning.effort = Some(effort),
                        None => self.request.extensions.push(extension(format!("{CONFIG}thinkingConfig.{name}"), value)),
                    }
                }
                "includeThoughts" => self.reasoning.summary = Some(boolean(value, &at)?),
                _ => self.request.extensions.push(extension(format!("{CONFIG}thinkingConfig.{name}"), value)),
            }
        }
        Ok(())
    }

    fn tool_config(&mut self, value: Raw<'a>, at: &At<'_>) -> Result<(), Fault> {
        for (name, value) in members(object(value, at)?) {
            match &*name {
                "functionCallingConfig" => self.calling(value, &at.name(&name))?,
                _ => self.request.extensions.push(extension(format!("{TOOL_CONFIG}{name}"), value)),
            }
        }
        Ok(())
    }

    fn calling(&mut self, value: Raw<'a>, at: &At<'_>) -> Result<(), Fault> {
        let (mut mode, mut names) = (None, Vec::new());
        for (name, value) in members(object(value, at)?) {
            let at = at.name(&name);
            match &*name {
                "mode" => mode = Some((text(value, &at)?.read().to_ascii_uppercase(), value)),
                "allowedFunctionNames" => each(value, &at, |value, at| {
                    names.push(text(value, at)?);
                    Ok(())
                })?,
                _ => self.request.extensions.push(extension(format!("{CALLING}{name}"), value)),
            }
        }
        let request = &mut self.request;
        let required = mode.as_ref().is_some_and(|(word, _)| word == "ANY");
        request.tool_choice = match mode.as_ref().map(|(word, _)| word.as_str()) {
            Some("NONE") => Some(ToolChoice::None),
            Some("ANY") if names.is_empty() => Some(ToolChoice::Required),
            Some("ANY") if names.len() == 1 => names.pop().map(ToolChoice::Named),
            _ if !names.is_empty() => Some(ToolChoice::Allowed { required, names }),
            Some("AUTO" | "VALIDATED") => Some(ToolChoice::Auto),
            _ => None,
        };
        // That calls keep to their schemas is the dialect's own.
        if let Some((word, value)) = mode
            && !["NONE", "ANY", "AUTO", "MODE_UNSPECIFIED"].contains(&word.as_str())
        {
            request.extensions.push(extension(format!("{CALLING}mode"), value));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Request<'a>, Fault> {
        let mut contents = Contents::default();
        if let Some(system) = self.system {
            contents.messages.extend(instruction(system, &At::root("systemInstruction"))?);
        }
        let at = At::root("contents");
        let told = self.contents.ok_or_else(|| at.missing("an array of contents"))?;
        if told.is_array() && told.elements().next().is_none() {
            return Err(at.fault("expected at least one content, found none"));
        }
        each(told, &at, |value, at| contents.read(value, at))?;
        self.request.messages = contents.messages;
        self.request.output = self.output()?;
        self.request.reasoning = (self.reasoning != Reasoning::default()).then_some(self.reasoning);
        Ok(self.request)
    }

    fn output(&mut self) -> Result<Option<OutputFormat<'a>>, Fault> {
        let schema = match self.schema {
            None => None,
            Some((raw, true)) => Some(schema::read(raw)?),
            Some((raw, false)) => Some(raw.into()),
        };
        let Some(mime) = self.mime else {
            return Ok(schema.map(|schema| OutputFormat::JsonSchema { name: None, description: None, schema, strict: None }));
        };
        match (mime.inner(), schema) {
            (Some("application/json"), Some(schema)) => {
                Ok(Some(OutputFormat::JsonSchema { name: None, description: None, schema, strict: None }))
            }
            (Some("application/json"), None) => Ok(Some(OutputFormat::JsonObject)),
            (Some("text/plain"), _) => Ok(None),
            // One word of an enum, which no other dialect has.
            _ => {
                self.request.extensions.push(extension(format!("{CONFIG}responseMimeType"), mime));
                if let Some((schema, _)) = self.schema {
                    self.request.extensions.push(extension(format!("{CONFIG}responseSchema"), schema));
                }
                Ok(None)
            }
        }
    }
}

/// Reads the instructions: a content whose role says nothing, or its text alone.
fn instruction<'a>(value: Raw<'a>, at: &At<'_>) -> Result<Option<Message<'a>>, Fault> {
    if let Some(text) = Text::of(value) {
        return Ok((!text.is_empty()).then(|| Message::new(Role::System, vec![Part::text(text)])));
    }
    let Some(parts) = member(object(value, at)?, "parts") else { return Ok(None) };
    let mut message = Message::new(Role::System, Vec::new());
    each(parts, &at.name("parts"), |part, at| {
        let words = member(object(part, at)?, "text").ok_or_else(|| at.name("text").missing("a string"))?;
        message.parts.push(Part::text(text(words, &at.name("text"))?));
        Ok(())
    })?;
    Ok((!message.parts.is_empty()).then_some(message))
}

/// Reads what one element of `tools` offers.
fn tool<'a>(value: Raw<'a>, at: &At<'_>, tools: &mut Vec<Tool<'a>>) -> Result<(), Fault> {
    for (name, value) in members(object(value, at)?) {
        match &*name {
            "functionDeclarations" => each(value, &at.name(&name), |value, at| {
                tools.push(function(value, at)?);
                Ok(())
            })?,
            _ => tools.push(Tool::Opaque { dialect: Dialect::Gemini, kind: name, raw: value }),
        }
    }
    Ok(())
}

fn function<'a>(value: Raw<'a>, at: &At<'_>) -> Result<Tool<'a>, Fault> {
    let (mut name, mut description, mut parameters, mut extensions) = (None, None, None, Vec::new());
    for (key, value) in members(object(value, at)?) {
        let at = at.name(&key);
        match &*key {
            "name" => name = Some(text(value, &at)?),
            "description" => description = Some(text(value, &at)?),
            "parameters" => parameters = Some(schema::read(object(value, &at)?)?),
            "parametersJsonSchema" => parameters = Some(object(value, &at)?.into()),
            _ => extensions.push(extension(key.clone(), value)),
        }
    }
    let name = name.ok_or_else(|| at.name("name").missing("a string"))?;
    Ok(Tool::Function { name, description, parameters, strict: None, cache: None, extensions })
}
