//! Request text → the neutral form. The model and the stream stand in the path, not here.

use std::borrow::Cow;

use super::content::{block, cache_mark, extension};
use super::read::{each, optional, required};
use crate::base::Fault;
use crate::base::json::Raw;
use crate::dialect::anthropic::decode::{boolean, number, object, short, text, whole};
use crate::dialect::anthropic::wire::Path;
use crate::ir::{
    CacheMark, Dialect, Effort, Message, OutputFormat, Part, Reasoning, ReasoningMode, Request, Role, Schema, Text, Tool, ToolChoice,
};

/// Reads a request. A member that is `null` counts as absent.
pub(super) fn request(raw: Raw<'_>) -> Result<Request<'_>, Fault> {
    if !raw.is_object() {
        return Err(Fault::bad_request("The body must be a JSON object with `messages`."));
    }
    let mut request = Request { stream_usage: true, ..Request::default() };
    let mut reader = Reader::default();
    for (key, value) in members(raw) {
        reader.member(key, value, &mut request)?;
    }
    let messages = reader.messages.ok_or_else(|| Path::root("messages").missing("an array of messages"))?;
    if messages.is_empty() {
        return Err(Path::root("messages").fault("at least one message is required"));
    }
    request.messages.extend(reader.system);
    request.messages.extend(messages);
    request.reasoning = (reader.reasoning != Reasoning::default()).then_some(reader.reasoning);
    Ok(request)
}

/// The members that are told.
fn members(raw: Raw<'_>) -> impl Iterator<Item = (Cow<'_, str>, Raw<'_>)> {
    raw.members().filter(|(_, value)| !value.is_null())
}

/// What must be seen whole before the request is made of it.
#[derive(Default)]
struct Reader<'a> {
    system: Option<Message<'a>>,
    messages: Option<Vec<Message<'a>>>,
    reasoning: Reasoning,
}

impl<'a> Reader<'a> {
    fn member(&mut self, key: Cow<'a, str>, value: Raw<'a>, request: &mut Request<'a>) -> Result<(), Fault> {
        let path = Path::root(&key);
        match &*key {
            "messages" => self.messages = Some(each(value, &path, "an array of messages", message)?),
            "system" => {
                let mut system = Message::new(Role::System, Vec::new());
                parts(value, &path, "an array of system blocks", &mut system)?;
                self.system = (!system.parts.is_empty()).then_some(system);
            }
            "inferenceConfig" => inference(value, &path, request)?,
            "toolConfig" => tool_config(value, &path, request)?,
            "additionalModelRequestFields" => self.additional(value, &path, request)?,
            "outputConfig" => self.output(value, &path, request)?,
            "serviceTier" => {
                object(value, &path)?;
                request.service_tier = Some(required(value, &path, "type", text)?);
            }
            "requestMetadata" => {
                object(value, &path)?;
                for (name, value) in members(value) {
                    match (&*name, Text::of(value)) {
                        ("user_id", Some(user)) => request.user = Some(user),
                        _ => request.extensions.push(extension(format!("requestMetadata.{name}"), value)),
                    }
                }
            }
            _ => request.extensions.push(extension(key, value)),
        }
        Ok(())
    }

    /// What a model takes beside the API. What is known says the same as a member of other dialects; the rest is kept.
    fn additional(&mut self, value: Raw<'a>, path: &Path<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
        object(value, path)?;
        for (key, value) in members(value) {
            let told = match &*key {
                "top_k" => {
                    request.top_k = Some(number(value, &path.name("top_k"))?);
                    true
                }
                "thinking" | "reasoning_config" => self.thinking(value),
                "reasoningConfig" => self.nova_reasoning(value),
                "reasoning_effort" => self.effort(value),
                "output_config" if only(value, "effort") => value.member("effort").is_some_and(|effort| self.effort(effort)),
                "inferenceConfig" if only(value, "topK") => {
                    let inner = path.name("inferenceConfig");
                    request.top_k = optional(value, &inner, "topK", number)?;
                    true
                }
                "tool_choice" if only(value, "disable_parallel_tool_use") => {
                    let serial = value.member("disable_parallel_tool_use").and_then(Raw::bool);
                    if serial == Some(true) {
                        request.parallel_tool_calls = Some(false);
                    }
                    serial.is_some()
                }
                _ => false,
            };
            if !told {
                request.extensions.push(extension(format!("additionalModelRequestFields.{key}"), value));
            }
        }
        Ok(())
    }

    /// Claude's; `false` where it says more than the neutral form knows.
    fn thinking(&mut self, value: Raw<'a>) -> bool {
        let mut read = self.reasoning;
        for (key, value) in members(value) {
            match (&*key, value.inner(), value.u64()) {
                ("type", Some("enabled"), _) => read.mode = Some(ReasoningMode::Enabled),
                ("type", Some("adaptive"), _) => read.mode = Some(ReasoningMode::Adaptive),
                ("type", Some("disabled"), _) => read.mode = Some(ReasoningMode::Disabled),
                ("budget_tokens", _, Some(tokens)) => read.budget_tokens = Some(tokens),
                ("display", Some(word), _) => read.summary = Some(word != "omitted"),
                _ => return false,
            }
        }
        self.reasoning = read;
        value.is_object()
    }

    fn nova_reasoning(&mut self, value: Raw<'a>) -> bool {
        let mut read = self.reasoning;
        for (key, value) in members(value) {
            match (&*key, value.inner()) {
                ("type", Some("enabled")) => read.mode = Some(ReasoningMode::Enabled),
                ("type", Some("disabled")) => read.mode = Some(ReasoningMode::Disabled),
                ("maxReasoningEffort", Some(word)) if Effort::parse(word).is_some() => read.effort = Effort::parse(word),
                _ => return false,
            }
        }
        self.reasoning = read;
        value.is_object()
    }

    fn effort(&mut self, value: Raw<'a>) -> bool {
        let effort = value.inner().and_then(Effort::parse);
        if effort.is_some() {
            self.reasoning.effort = effort;
        }
        effort.is_some()
    }

    fn output(&mut self, value: Raw<'a>, path: &Path<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
        object(value, path)?;
        for (key, value) in members(value) {
            match &*key {
                "effort" if self.effort(value) => {}
                "textFormat" => match value.member("type").and_then(Raw::inner) {
                    Some("json_schema") => request.output = Some(json_schema(value, &path.name("textFormat"))?),
                    _ => request.extensions.push(extension("outputConfig.textFormat", value)),
                },
                _ => request.extensions.push(extension(format!("outputConfig.{key}"), value)),
            }
        }
        Ok(())
    }
}

/// Whether an object has this member and no other.
fn only(value: Raw<'_>, name: &str) -> bool {
    value.is_object() && members(value).all(|(key, _)| key == name)
}

fn json_schema<'a>(value: Raw<'a>, path: &Path<'_>) -> Result<OutputFormat<'a>, Fault> {
    let (structure, json) = (path.name("structure"), value.member("structure").and_then(|s| s.member("jsonSchema")));
    let at = structure.name("jsonSchema");
    let json = json.ok_or_else(|| at.missing("an object with a `schema`"))?;
    let schema = required(json, &at, "schema", |schema, path| {
        // The API packs the schema into a string; a schema that is not packed says the same.
        let Some(packed) = schema.string() else { return object(schema, path).map(|()| schema.into()) };
        let unpacked =
            Schema::made(packed.into_owned()).map_err(|error| path.fault(format_args!("the string must hold a JSON schema: {error}")))?;
        object(unpacked.raw(), path)?;
        Ok(unpacked)
    })?;
    let (name, description) = (optional(json, &at, "name", text)?, optional(json, &at, "description", text)?);
    Ok(OutputFormat::JsonSchema { name, description, schema, strict: None })
}

fn inference<'a>(value: Raw<'a>, path: &Path<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
    object(value, path)?;
    for (key, value) in members(value) {
        let path = path.name(&key);
        match &*key {
            "maxTokens" => request.output_tokens_max = Some(whole(value, &path)?),
            "temperature" => request.temperature = Some(number(value, &path)?),
            "topP" => request.top_p = Some(number(value, &path)?),
            "stopSequences" => request.stop = each(value, &path, "an array of strings", text)?,
            _ => request.extensions.push(extension(format!("inferenceConfig.{key}"), value)),
        }
    }
    Ok(())
}

fn message<'a>(value: Raw<'a>, path: &Path<'_>) -> Result<Message<'a>, Fault> {
    object(value, path)?;
    let (mut role, mut content, mut message) = (None, None, Message::new(Role::User, Vec::new()));
    for (key, value) in members(value) {
        match &*key {
            "role" => role = Some(value),
            "content" => content = Some(value),
            _ => message.extensions.push(extension(key, value)),
        }
    }
    let at = path.name("role");
    let role = role.ok_or_else(|| at.missing("\"user\" or \"assistant\""))?;
    message.role = match role.string().as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        Some(other) => return Err(at.fault(format_args!("expected \"user\", \"assistant\" or \"system\", found \"{}\"", short(other)))),
        None => return Err(at.wrong("a string", role)),
    };
    let at = path.name("content");
    let content = content.ok_or_else(|| at.missing("an array of content blocks"))?;
    parts(content, &at, "an array of content blocks", &mut message)?;
    Ok(message)
}

/// Reads content blocks. A cache point is a block of its own here, and a mark on the part before it in the neutral form.
fn parts<'a>(value: Raw<'a>, path: &Path<'_>, expected: &str, message: &mut Message<'a>) -> Result<(), Fault> {
    if !value.is_array() {
        return Err(path.wrong(expected, value));
    }
    // The last part that can keep a mark.
    let mut keeps = None;
    for (i, element) in value.elements().enumerate() {
        let path = path.index(i);
        match element.member("cachePoint").filter(|point| !point.is_null()) {
            None => {
                let mut part = block(element, &path, &mut message.extensions)?;
                if cache_of(&mut part).is_some() {
                    keeps = Some(message.parts.len());
                }
                message.parts.push(part);
            }
            Some(point) => {
                let mark = cache_mark(point, &path.name("cachePoint"))?;
                match keeps.and_then(|place| message.parts.get_mut(place)).and_then(cache_of) {
                    Some(cache) => *cache = Some(mark),
                    None => message.extensions.push(extension("content[].cachePoint", point)),
                }
            }
        }
    }
    Ok(())
}

/// Where a part keeps its cache mark.
fn cache_of<'p>(part: &'p mut Part<'_>) -> Option<&'p mut Option<CacheMark>> {
    match part {
        Part::Text { cache, .. } | Part::ToolCall { cache, .. } | Part::ToolResult { cache, .. } => Some(cache),
        Part::Media(media) => Some(&mut media.cache),
        Part::Refusal(_) | Part::Reasoning { .. } | Part::RedactedReasoning(_) | Part::Opaque { .. } => None,
    }
}

fn tool_config<'a>(value: Raw<'a>, path: &Path<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
    object(value, path)?;
    for (key, value) in members(value) {
        let path = path.name(&key);
        match &*key {
            "tools" => {
                if !value.is_array() {
                    return Err(path.wrong("an array of tools", value));
                }
                for (i, element) in value.elements().enumerate() {
                    tool(element, &path.index(i), request)?;
                }
            }
            "toolChoice" => match tool_choice(value, &path)? {
                Some(choice) => request.tool_choice = Some(choice),
                None => request.extensions.push(extension("toolConfig.toolChoice", value)),
            },
            _ => request.extensions.push(extension(format!("toolConfig.{key}"), value)),
        }
    }
    Ok(())
}

fn tool<'a>(value: Raw<'a>, path: &Path<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
    object(value, path)?;
    let Some((kind, inner)) = members(value).next() else { return Err(path.fault("expected `toolSpec`, found nothing")) };
    match &*kind {
        "toolSpec" => request.tools.push(tool_spec(inner, &path.name("toolSpec"))?),
        "cachePoint" => {
            let mark = cache_mark(inner, &path.name("cachePoint"))?;
            match request.tools.last_mut() {
                Some(Tool::Function { cache, .. }) => *cache = Some(mark),
                _ => request.extensions.push(extension("toolConfig.tools[].cachePoint", inner)),
            }
        }
        _ => request.tools.push(Tool::Opaque { dialect: Dialect::Bedrock, kind: kind.clone(), raw: value }),
    }
    Ok(())
}

fn tool_spec<'a>(value: Raw<'a>, path: &Path<'_>) -> Result<Tool<'a>, Fault> {
    object(value, path)?;
    let (mut name, mut description, mut parameters, mut strict, mut extensions) = (None, None, None, None, Vec::new());
    for (key, value) in members(value) {
        let path = path.name(&key);
        match &*key {
            "name" => name = Some(text(value, &path)?),
            "description" => description = Some(text(value, &path)?),
            "inputSchema" => {
                object(value, &path)?;
                parameters = optional(value, &path, "json", |schema, path| object(schema, path).map(|()| schema))?;
            }
            "strict" => strict = Some(boolean(value, &path)?),
            _ => extensions.push(extension(key, value)),
        }
    }
    let name = name.ok_or_else(|| path.name("name").missing("a string"))?;
    Ok(Tool::Function { name, description, parameters: parameters.map(Schema::from), strict, cache: None, extensions })
}

fn tool_choice<'a>(value: Raw<'a>, path: &Path<'_>) -> Result<Option<ToolChoice<'a>>, Fault> {
    object(value, path)?;
    let Some((kind, inner)) = members(value).next() else { return Ok(None) };
    Ok(match &*kind {
        "auto" => Some(ToolChoice::Auto),
        "any" => Some(ToolChoice::Required),
        "tool" => Some(ToolChoice::Named(required(inner, &path.name("tool"), "name", text)?)),
        _ => None,
    })
}
