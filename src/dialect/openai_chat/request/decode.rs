//! Reading a request: the members beside the conversation.

use super::message;
use crate::base::Fault;
use crate::base::json::{Cursor, Fields, Raw};
use crate::dialect::openai::read::{
    At, boolean, cache_mark, choice, json_schema, number, required_text, safety_identifier, text, told, whole,
};
use crate::ir::{Dialect, Effort, Extension, OutputFormat, Reasoning, ReasoningMode, Request, Text, Tool, ToolChoice};

/// Reads a chat request.
pub(in super::super) fn decode(root: Raw<'_>) -> Result<Request<'_>, Fault> {
    if !root.is_object() {
        return Err(At::Root.expected("an object", Some(root)));
    }
    let mut reader = Reader::default();
    Cursor::over(root).members(|cursor, name| {
        // In this dialect an optional member that is `null` is one that is absent.
        if cursor.is_null() || reader.list(&name, cursor, &At::Key(&At::Root, &name))? {
            return Ok(());
        }
        let value = cursor.raw();
        if !reader.member(&name, value, &At::Key(&At::Root, &name))? && !says_nothing(&name, value) {
            reader.request.extensions.push(Extension { dialect: Dialect::OpenAiChat, name, value });
        }
        Ok(())
    })?;
    reader.finish()
}

/// Members whose value is the default spelled out: no fact is lost with them.
fn says_nothing(name: &str, value: Raw<'_>) -> bool {
    match name {
        "logprobs" | "store" => value.bool() == Some(false),
        "logit_bias" | "metadata" => value.is_object() && value.members().next().is_none(),
        "modalities" => value.elements().count() == 1 && value.elements().all(|m| m.inner() == Some("text")),
        _ => false,
    }
}

/// The request so far, and the members that have two names.
#[derive(Default)]
struct Reader<'a> {
    request: Request<'a>,
    model_seen: bool,
    messages_seen: bool,
    max_tokens: Option<u64>,
    safety_identifier: Option<Raw<'a>>,
    function_call: Option<ToolChoice<'a>>,
}

impl<'a> Reader<'a> {
    /// Takes a member that may be long, in the one walk over the body; `false` where it is another.
    fn list(&mut self, name: &str, cursor: &mut Cursor<'a>, at: &At<'_>) -> Result<bool, Fault> {
        let tools = &mut self.request.tools;
        match name {
            "messages" => {
                self.request.messages = message::decode_all(cursor, at)?;
                self.messages_seen = true;
            }
            "tools" => each(cursor, at, "an array of tools", |cursor, at| {
                tools.push(tool(cursor.fields(), at)?);
                Ok(())
            })?,
            "functions" => each(cursor, at, "an array of functions", |cursor, at| {
                tools.push(function(cursor.raw(), None, at)?);
                Ok(())
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes any other member; `false` where the neutral form has no place for it.
    fn member(&mut self, name: &str, value: Raw<'a>, at: &At<'_>) -> Result<bool, Fault> {
        let request = &mut self.request;
        match name {
            "model" => {
                request.model = value.string().ok_or_else(|| at.expected("a string", Some(value)))?;
                self.model_seen = true;
            }
            "tool_choice" => return Ok(set(&mut request.tool_choice, tool_choice(value, at)?)),
            "function_call" => return Ok(set(&mut self.function_call, tool_choice(value, at)?)),
            "parallel_tool_calls" => request.parallel_tool_calls = Some(boolean(value, at)?),
            "temperature" => request.temperature = Some(number(value, at)?),
            "top_p" => request.top_p = Some(number(value, at)?),
            "top_k" => request.top_k = Some(number(value, at)?),
            "seed" => request.seed = Some(number(value, at)?),
            "presence_penalty" => request.presence_penalty = Some(number(value, at)?),
            "frequency_penalty" => request.frequency_penalty = Some(number(value, at)?),
            "n" => request.answers = Some(whole(value, at)?),
            "stop" => request.stop = stop(value, at)?,
            "response_format" => return Ok(set(&mut request.output, output(value, at)?)),
            "reasoning_effort" => return effort(value, at, &mut request.reasoning),
            "reasoning" => return Ok(reasoning(value, &mut request.reasoning)),
            "thinking" => return Ok(thinking(value, &mut request.reasoning)),
            "max_completion_tokens" => request.output_tokens_max = Some(whole(value, at)?),
            "max_tokens" => self.max_tokens = Some(whole(value, at)?),
            "stream" => request.stream = boolean(value, at)?,
            // Beside the usage this can only ask for less padding, and we add none.
            "stream_options" => {
                if !value.is_object() {
                    return Err(at.expected("an object", Some(value)));
                }
                if let Some(wanted) = told(value, "include_usage") {
                    request.stream_usage = boolean(wanted, &at.key("include_usage"))?;
                }
            }
            "user" => request.user = Some(text(value, at)?),
            "safety_identifier" => self.safety_identifier = Some(value),
            "service_tier" => request.service_tier = Some(text(value, at)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self) -> Result<Request<'a>, Fault> {
        let mut request = self.request;
        if !self.model_seen {
            return Err(At::Root.key("model").expected("the name of a model", None));
        }
        if !self.messages_seen {
            return Err(At::Root.key("messages").expected("an array of messages", None));
        }
        request.output_tokens_max = request.output_tokens_max.or(self.max_tokens);
        request.tool_choice = request.tool_choice.or(self.function_call);
        safety_identifier(self.safety_identifier, Dialect::OpenAiChat, &mut request);
        Ok(request)
    }
}

/// Stores what was understood and says whether it was.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let understood = value.is_some();
    *place = value;
    understood
}

/// Reads each element of an array.
pub(super) fn each<'a>(
    cursor: &mut Cursor<'a>,
    at: &At<'_>,
    what: &str,
    mut take: impl FnMut(&mut Cursor<'a>, &At<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if cursor.kind() != b'[' {
        return Err(at.expected(what, Some(cursor.raw())));
    }
    cursor.elements(|cursor, place| take(cursor, &At::Item(at, place))).map(drop)
}

fn tool<'a>(tool: Fields<'a>, at: &At<'_>) -> Result<Tool<'a>, Fault> {
    let raw = tool.raw();
    if !raw.is_object() {
        return Err(at.expected("a tool", Some(raw)));
    }
    let kind = match tool.told("type") {
        Some(kind) => kind.string().ok_or_else(|| at.key("type").expected("a string", Some(kind)))?,
        None => "function".into(),
    };
    match &*kind {
        "function" => match tool.told("function") {
            Some(inner) => function(inner, Some(tool), at),
            // Some clients send the flat form of the Responses API here.
            None => function(raw, None, at),
        },
        "custom" => {
            let custom = tool.told("custom").map_or(tool, Raw::fields);
            Ok(Tool::Custom {
                name: required_text(custom.told("name"), &at.key("custom").key("name"))?,
                description: custom.told("description").and_then(Text::of),
                format: custom.told("format"),
            })
        }
        _ => Ok(Tool::Opaque { dialect: Dialect::OpenAiChat, kind, raw }),
    }
}

/// A function: `function` is its description, `tool` what that stands in, where it does (not so in the older and the flat form).
fn function<'a>(function: Raw<'a>, tool: Option<Fields<'a>>, at: &At<'_>) -> Result<Tool<'a>, Fault> {
    let at = if tool.is_some() { at.key("function") } else { *at };
    if !function.is_object() {
        return Err(at.expected("an object", Some(function)));
    }
    let (mut name, mut description, mut parameters, mut strict, mut cache) = (None, None, None, None, None);
    let mut extensions = Vec::new();
    let outer = tool.into_iter().flatten().filter(|(key, _)| key != "function");
    for (key, value) in function.members().chain(outer) {
        match &*key {
            _ if value.is_null() => {}
            "type" => {}
            "name" => name = Some(value),
            "description" => description = Some(text(value, &at.key("description"))?),
            "parameters" => match value.is_object() {
                true => parameters = Some(value.into()),
                false => return Err(at.key("parameters").expected("a JSON schema (an object)", Some(value))),
            },
            "strict" => strict = Some(boolean(value, &at.key("strict"))?),
            "cache_control" | "prompt_cache_breakpoint" => cache = cache_mark(value),
            _ => extensions.push(Extension { dialect: Dialect::OpenAiChat, name: key, value }),
        }
    }
    let name = required_text(name, &at.key("name"))?;
    Ok(Tool::Function { name, description, parameters, strict, cache, extensions })
}

/// `tool_choice`, or the older `function_call`, which differs only in what it may be. `None`: a kind of a host's own.
fn tool_choice<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Option<ToolChoice<'a>>, Fault> {
    if let Some(word) = raw.string() {
        // Mistral's word.
        return if word == "any" { Ok(Some(ToolChoice::Required)) } else { choice(&word, at).map(Some) };
    }
    if !raw.is_object() {
        return Err(at.expected("a string or an object", Some(raw)));
    }
    let kind = told(raw, "type").and_then(Raw::string);
    match kind.as_deref() {
        Some("allowed_tools") => {
            let allowed = told(raw, "allowed_tools").unwrap_or(raw);
            let at = at.key("allowed_tools");
            let tools = told(allowed, "tools").ok_or_else(|| at.key("tools").expected("an array of tools", None))?;
            let mut names = Vec::new();
            each(&mut Cursor::over(tools), &at.key("tools"), "an array of tools", |cursor, at| {
                names.push(chosen(cursor.raw(), at)?);
                Ok(())
            })?;
            Ok(Some(ToolChoice::Allowed { required: told(allowed, "mode").and_then(Raw::inner) == Some("required"), names }))
        }
        None | Some("function" | "custom" | "tool") => Ok(Some(ToolChoice::Named(chosen(raw, at)?))),
        Some("auto") => Ok(Some(ToolChoice::Auto)),
        Some("none") => Ok(Some(ToolChoice::None)),
        Some("required" | "any") => Ok(Some(ToolChoice::Required)),
        Some(_) => Ok(None),
    }
}

/// The name in `{type: "function", function: {name}}`, its `custom` twin or the flat form.
fn chosen<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Text<'a>, Fault> {
    let inner = told(raw, "function").or_else(|| told(raw, "custom")).unwrap_or(raw);
    required_text(told(inner, "name"), &at.key("function").key("name"))
}

fn stop<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Vec<Text<'a>>, Fault> {
    if let Some(one) = Text::of(raw) {
        return Ok(vec![one]);
    }
    let mut texts = Vec::new();
    each(&mut Cursor::over(raw), at, "a string or an array of strings", |cursor, at| {
        texts.push(text(cursor.raw(), at)?);
        Ok(())
    })?;
    Ok(texts)
}

fn output<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Option<OutputFormat<'a>>, Fault> {
    if !raw.is_object() {
        return Err(at.expected("an object", Some(raw)));
    }
    let kind = told(raw, "type");
    let kind = kind.and_then(Raw::string).ok_or_else(|| at.key("type").expected("a string", kind))?;
    Ok(match &*kind {
        "text" => Some(OutputFormat::Text),
        // Some hosts take a schema right here.
        "json_object" => Some(match told(raw, "schema").filter(|schema| schema.is_object()) {
            Some(schema) => OutputFormat::JsonSchema { name: None, description: None, schema: schema.into(), strict: None },
            None => OutputFormat::JsonObject,
        }),
        "json_schema" => Some(json_schema(told(raw, "json_schema").unwrap_or(raw), &at.key("json_schema"))?),
        _ => None,
    })
}

fn effort(raw: Raw<'_>, at: &At<'_>, place: &mut Option<Reasoning>) -> Result<bool, Fault> {
    let word = raw.string().ok_or_else(|| at.expected("a string", Some(raw)))?;
    let Some(effort) = Effort::parse(&word) else { return Ok(false) };
    let reasoning = place.get_or_insert_default();
    reasoning.effort = Some(effort);
    if effort == Effort::None {
        reasoning.mode = Some(ReasoningMode::Disabled);
    }
    Ok(true)
}

/// OpenRouter's `reasoning`: an effort, a budget or a switch.
fn reasoning(raw: Raw<'_>, place: &mut Option<Reasoning>) -> bool {
    let mut read = place.unwrap_or_default();
    for (name, value) in raw.members() {
        match &*name {
            _ if value.is_null() => {}
            "effort" => match value.inner().and_then(Effort::parse) {
                Some(Effort::None) => (read.effort, read.mode) = (Some(Effort::None), Some(ReasoningMode::Disabled)),
                Some(effort) => read.effort = Some(effort),
                None => return false,
            },
            "max_tokens" => read.budget_tokens = value.u64(),
            "enabled" if value.bool() == Some(false) => read.mode = Some(ReasoningMode::Disabled),
            "enabled" => read.mode = read.mode.or(Some(ReasoningMode::Adaptive)),
            "exclude" => read.summary = value.bool().map(|exclude| !exclude),
            _ => return false,
        }
    }
    *place = Some(read);
    raw.is_object()
}

/// Anthropic's `thinking`, which several hosts took over.
fn thinking(raw: Raw<'_>, place: &mut Option<Reasoning>) -> bool {
    let mode = match told(raw, "type").and_then(Raw::inner) {
        Some("enabled") => ReasoningMode::Enabled,
        Some("adaptive") => ReasoningMode::Adaptive,
        Some("disabled") => ReasoningMode::Disabled,
        _ => return false,
    };
    let reasoning = place.get_or_insert_default();
    reasoning.mode = Some(mode);
    reasoning.budget_tokens = told(raw, "budget_tokens").and_then(Raw::u64).or(reasoning.budget_tokens);
    true
}
