//! Request text → the neutral form.

use std::borrow::Cow;

use super::wire::Path;
use crate::base::Fault;
use crate::base::json::{Cursor, Fields, Raw};
use crate::ir::{
    CacheMark, CacheTtl, Citations, Dialect, Effort, Extension, Media, MediaKind, Message, Number, OutputFormat, Part, Reasoning,
    ReasoningMode, Request, Role, Source, Text, Tool, ToolChoice,
};

/// Reads a request. A member that is `null` counts as absent, as with the API.
pub(super) fn request(raw: Raw<'_>) -> Result<Request<'_>, Fault> {
    if !raw.is_object() {
        return Err(Fault::bad_request("The body must be a JSON object with `model`, `max_tokens` and `messages`."));
    }
    let mut request = Request { stream_usage: true, ..Request::default() };
    let mut reader = Reader::default();
    Cursor::over(raw).members(|cursor, key| match cursor.is_null() {
        true => Ok(()),
        false => reader.member(key, cursor, &mut request),
    })?;
    if !reader.has_model {
        return Err(Path::root("model").missing("the model's name"));
    }
    if request.output_tokens_max.is_none() {
        return Err(Path::root("max_tokens").missing("how many tokens the answer may have"));
    }
    let Some(messages) = reader.messages else {
        return Err(Path::root("messages").missing("an array of messages"));
    };
    if messages.is_empty() {
        return Err(Path::root("messages").fault("at least one message is required"));
    }
    request.messages.extend(reader.system);
    request.messages.extend(messages);
    request.reasoning = (reader.reasoning != Reasoning::default()).then_some(reader.reasoning);
    Ok(request)
}

/// What must be seen whole before the request is made of it.
#[derive(Default)]
struct Reader<'a> {
    has_model: bool,
    system: Option<Message<'a>>,
    messages: Option<Vec<Message<'a>>>,
    reasoning: Reasoning,
}

impl<'a> Reader<'a> {
    fn member(&mut self, key: Cow<'a, str>, cursor: &mut Cursor<'a>, request: &mut Request<'a>) -> Result<(), Fault> {
        let path = Path::root(&key);
        // What may be long is read in the one walk over the body.
        match &*key {
            "messages" => self.messages = Some(each(cursor, &path, "an array of messages", message)?),
            "system" => self.system = system(cursor, &path)?,
            "tools" => request.tools = each(cursor, &path, "an array of tools", |cursor, path| tool(cursor.fields(), path))?,
            _ => return self.short_member(key, cursor.raw(), request),
        }
        Ok(())
    }

    fn short_member(&mut self, key: Cow<'a, str>, value: Raw<'a>, request: &mut Request<'a>) -> Result<(), Fault> {
        let path = Path::root(&key);
        match &*key {
            "model" => {
                request.model = value.string().ok_or_else(|| path.wrong("a string", value))?;
                self.has_model = true;
            }
            "max_tokens" => request.output_tokens_max = Some(whole(value, &path)?),
            "stream" => request.stream = boolean(value, &path)?,
            "temperature" => request.temperature = Some(number(value, &path)?),
            "top_p" => request.top_p = Some(number(value, &path)?),
            "top_k" => request.top_k = Some(number(value, &path)?),
            "stop_sequences" => {
                request.stop = each(&mut Cursor::over(value), &path, "an array of strings", |cursor, path| text(cursor.raw(), path))?;
            }
            "service_tier" => request.service_tier = Some(text(value, &path)?),
            "tool_choice" => tool_choice(value, &path, request)?,
            "thinking" => self.thinking(value, &path, request)?,
            "output_config" => self.output_config(value, &path, request)?,
            "output_format" => output_format(value, &path, "output_format", request)?,
            "metadata" => metadata(value, &path, request)?,
            _ => request.extensions.push(extension(key, value)),
        }
        Ok(())
    }

    fn thinking(&mut self, value: Raw<'a>, path: &Path<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
        object(value, path)?;
        let fields = value.fields();
        let mode = match required(&fields, path, "type", text)?.read().as_ref() {
            "enabled" => ReasoningMode::Enabled,
            "adaptive" => ReasoningMode::Adaptive,
            "disabled" => ReasoningMode::Disabled,
            // Newer kinds pass to their own dialect and are a loss elsewhere.
            _ => {
                request.extensions.push(extension("thinking", value));
                return Ok(());
            }
        };
        self.reasoning.mode = Some(mode);
        for (key, value) in fields.into_iter().filter(|(_, v)| !v.is_null()) {
            match &*key {
                "type" => {}
                "budget_tokens" => self.reasoning.budget_tokens = Some(whole(value, &path.name("budget_tokens"))?),
                "display" => self.reasoning.summary = Some(!text(value, &path.name("display"))?.is("omitted")),
                _ => request.extensions.push(extension(format!("thinking.{key}"), value)),
            }
        }
        Ok(())
    }

    fn output_config(&mut self, value: Raw<'a>, path: &Path<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
        object(value, path)?;
        for (key, value) in value.members().filter(|(_, v)| !v.is_null()) {
            match &*key {
                "effort" => match Effort::parse(&text(value, &path.name("effort"))?.read()) {
                    Some(effort) => self.reasoning.effort = Some(effort),
                    None => request.extensions.push(extension("output_config.effort", value)),
                },
                "format" => output_format(value, &path.name("format"), "output_config.format", request)?,
                _ => request.extensions.push(extension(format!("output_config.{key}"), value)),
            }
        }
        Ok(())
    }
}

fn system<'a>(cursor: &mut Cursor<'a>, path: &Path<'_>) -> Result<Option<Message<'a>>, Fault> {
    if let Some(text) = text_of(cursor) {
        return Ok((!text.is_empty()).then(|| Message::new(Role::System, vec![Part::text(text)])));
    }
    let mut message = Message::new(Role::System, Vec::new());
    message.parts = blocks(cursor, path, "a string or an array of text blocks", &mut message.extensions)?;
    Ok((!message.parts.is_empty()).then_some(message))
}

fn message<'a>(cursor: &mut Cursor<'a>, path: &Path<'_>) -> Result<Message<'a>, Fault> {
    if cursor.kind() != b'{' {
        return Err(path.wrong("an object", cursor.raw()));
    }
    let (mut role, mut parts, mut extensions) = (None, None, Vec::new());
    cursor.members(|cursor, key| {
        match &*key {
            _ if cursor.is_null() => {}
            "role" => role = Some(cursor.raw()),
            "content" => {
                let expected = "a string or an array of content blocks";
                parts = Some(match text_of(cursor) {
                    Some(text) => vec![Part::text(text)],
                    None => blocks(cursor, &path.name("content"), expected, &mut extensions)?,
                });
            }
            _ => extensions.push(extension(key, cursor.raw())),
        }
        Ok(())
    })?;
    let at = path.name("role");
    let role = role.ok_or_else(|| at.missing("\"user\" or \"assistant\""))?;
    let role = match role.string().as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        Some(other) => return Err(at.fault(format_args!("expected \"user\", \"assistant\" or \"system\", found \"{}\"", short(other)))),
        None => return Err(at.wrong("a string", role)),
    };
    let parts = parts.ok_or_else(|| path.name("content").missing("a string or an array of content blocks"))?;
    Ok(Message { role, parts, name: None, extensions })
}

/// The text, where a string stands here.
fn text_of<'a>(cursor: &mut Cursor<'a>) -> Option<Text<'a>> {
    (cursor.kind() == b'"').then(|| cursor.raw()).and_then(Text::of)
}

fn blocks<'a>(
    cursor: &mut Cursor<'a>,
    path: &Path<'_>,
    expected: &str,
    extensions: &mut Vec<Extension<'a>>,
) -> Result<Vec<Part<'a>>, Fault> {
    each(cursor, path, expected, |cursor, path| block(cursor.fields(), path, extensions))
}

/// Reads a content block, of a request or of an answer. Members that the part has no room for go to `extensions`.
pub(super) fn block<'a>(fields: Fields<'a>, path: &Path<'_>, extensions: &mut Vec<Extension<'a>>) -> Result<Part<'a>, Fault> {
    object(fields.raw(), path)?;
    let kind = required(&fields, path, "type", text)?;
    match kind.read().as_ref() {
        "text" => {
            let (mut words, mut citations, mut cache) = (None, None, None);
            rest(fields, extensions, |key, value| {
                match key {
                    "text" => words = Some(text(value, &path.name("text"))?),
                    "citations" if value.elements().next().is_some() => {
                        citations = Some(Citations { dialect: Dialect::Anthropic, raw: value });
                    }
                    "citations" => {}
                    "cache_control" => cache = Some(cache_mark(value, &path.name("cache_control"))?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            let text = words.ok_or_else(|| path.name("text").missing("a string"))?;
            Ok(Part::Text { text, citations, cache })
        }
        "image" => Ok(Part::Media(media(MediaKind::Image, fields, path)?)),
        "document" => Ok(Part::Media(media(MediaKind::Document, fields, path)?)),
        "tool_use" => tool_use(fields, path, extensions),
        "tool_result" => tool_result(fields, path, extensions),
        "thinking" => {
            let signature = optional(&fields, path, "signature", text)?;
            Ok(Part::Reasoning {
                text: optional(&fields, path, "thinking", text)?.unwrap_or(Text::EMPTY),
                signature: signature.filter(|s| !s.is_empty()),
            })
        }
        "redacted_thinking" => Ok(Part::RedactedReasoning(required(&fields, path, "data", text)?)),
        _ => Ok(Part::Opaque { dialect: Dialect::Anthropic, kind: plain(kind), raw: fields.raw() }),
    }
}

fn tool_use<'a>(fields: Fields<'a>, path: &Path<'_>, extensions: &mut Vec<Extension<'a>>) -> Result<Part<'a>, Fault> {
    let (mut id, mut name, mut arguments, mut cache) = (None, None, EMPTY_OBJECT, None);
    rest(fields, extensions, |key, value| {
        match key {
            "id" => id = Some(text(value, &path.name("id"))?),
            "name" => name = Some(text(value, &path.name("name"))?),
            "input" => arguments = input(value),
            "cache_control" => cache = Some(cache_mark(value, &path.name("cache_control"))?),
            // Called by the model itself: what every other dialect means too.
            "caller" => return Ok(value.member("type").and_then(Raw::inner) == Some("direct")),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let id = id.ok_or_else(|| path.name("id").missing("a string"))?;
    let name = name.ok_or_else(|| path.name("name").missing("a string"))?;
    Ok(Part::ToolCall { id, name, arguments, custom: false, cache })
}

const EMPTY_OBJECT: Text<'static> = Text::Plain(Cow::Borrowed("{}"));

/// The arguments that an `input` stands for. A client that keeps what it streamed may send a string here; that is the text itself.
pub(in crate::dialect) fn input(value: Raw<'_>) -> Text<'_> {
    match Text::of(value) {
        Some(text) if text.is_empty() => EMPTY_OBJECT,
        Some(text) => text,
        None if value.is_null() => EMPTY_OBJECT,
        None => Text::plain(value.get()),
    }
}

fn tool_result<'a>(fields: Fields<'a>, path: &Path<'_>, extensions: &mut Vec<Extension<'a>>) -> Result<Part<'a>, Fault> {
    let (mut id, mut content, mut error, mut cache) = (None, None, false, None);
    rest(fields, extensions, |key, value| {
        match key {
            "tool_use_id" => id = Some(text(value, &path.name("tool_use_id"))?),
            "content" => content = Some(value),
            "is_error" => error = boolean(value, &path.name("is_error"))?,
            "cache_control" => cache = Some(cache_mark(value, &path.name("cache_control"))?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let id = id.ok_or_else(|| path.name("tool_use_id").missing("a string"))?;
    let parts = match content.map(|content| (content, Text::of(content))) {
        None => Vec::new(),
        Some((_, Some(text))) => vec![Part::text(text)],
        Some((content, None)) => {
            let expected = "a string or an array of content blocks";
            each(&mut Cursor::over(content), &path.name("content"), expected, |cursor, path| {
                let fields = cursor.fields();
                match fields.get("type").and_then(Raw::inner) {
                    // No result holds a result: reading on inside would only cost time, level by level.
                    Some("tool_result") => Ok(Part::Opaque { dialect: Dialect::Anthropic, kind: "tool_result".into(), raw: fields.raw() }),
                    _ => block(fields, path, extensions),
                }
            })?
        }
    };
    Ok(Part::ToolResult { id, parts, error, cache })
}

fn media<'a>(kind: MediaKind, fields: Fields<'a>, path: &Path<'_>) -> Result<Media<'a>, Fault> {
    let (mut title, mut extensions, mut cache, mut from) = (None, Vec::new(), None, None);
    for (key, value) in fields.into_iter().filter(|(_, v)| !v.is_null()) {
        match &*key {
            "type" => {}
            "source" => from = Some(source(value, &path.name("source"))?),
            "title" => title = Some(text(value, &path.name("title"))?),
            "cache_control" => cache = Some(cache_mark(value, &path.name("cache_control"))?),
            _ => extensions.push(extension(key, value)),
        }
    }
    let source = from.ok_or_else(|| path.name("source").missing("an object"))?;
    Ok(Media { kind, source, title, detail: None, extensions, cache })
}

fn source<'a>(value: Raw<'a>, path: &Path<'_>) -> Result<Source<'a>, Fault> {
    object(value, path)?;
    let fields = value.fields();
    let kind = required(&fields, path, "type", text)?;
    Ok(match kind.read().as_ref() {
        "base64" => {
            Source::Base64 { media_type: required(&fields, path, "media_type", text)?, data: required(&fields, path, "data", text)? }
        }
        "url" => Source::Url(required(&fields, path, "url", text)?),
        "text" => Source::Plain(required(&fields, path, "data", text)?),
        "file" => Source::FileId { dialect: Dialect::Anthropic, id: required(&fields, path, "file_id", text)? },
        _ => Source::Opaque { dialect: Dialect::Anthropic, raw: value },
    })
}

fn tool<'a>(fields: Fields<'a>, path: &Path<'_>) -> Result<Tool<'a>, Fault> {
    let raw = fields.raw();
    object(raw, path)?;
    if let Some(kind) = optional(&fields, path, "type", text)?
        && !kind.is("custom")
    {
        return Ok(Tool::Opaque { dialect: Dialect::Anthropic, kind: plain(kind), raw });
    }
    let (mut name, mut description, mut parameters, mut strict, mut cache) = (None, None, None, None, None);
    let mut extensions = Vec::new();
    for (key, value) in fields.into_iter().filter(|(_, v)| !v.is_null()) {
        match &*key {
            "type" => {}
            "name" => name = Some(text(value, &path.name("name"))?),
            "description" => description = Some(text(value, &path.name("description"))?),
            "input_schema" => {
                object(value, &path.name("input_schema"))?;
                parameters = Some(value.into());
            }
            "strict" => strict = Some(boolean(value, &path.name("strict"))?),
            "cache_control" => cache = Some(cache_mark(value, &path.name("cache_control"))?),
            _ => extensions.push(extension(key, value)),
        }
    }
    let name = name.ok_or_else(|| path.name("name").missing("a string"))?;
    Ok(Tool::Function { name, description, parameters, strict, cache, extensions })
}

fn tool_choice<'a>(value: Raw<'a>, path: &Path<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
    object(value, path)?;
    let fields = value.fields();
    let choice = match required(&fields, path, "type", text)?.read().as_ref() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(required(&fields, path, "name", text)?),
        _ => {
            request.extensions.push(extension("tool_choice", value));
            return Ok(());
        }
    };
    request.tool_choice = Some(choice);
    for (key, value) in fields.into_iter().filter(|(_, v)| !v.is_null()) {
        match &*key {
            "type" | "name" => {}
            "disable_parallel_tool_use" => {
                if boolean(value, &path.name("disable_parallel_tool_use"))? {
                    request.parallel_tool_calls = Some(false);
                }
            }
            _ => request.extensions.push(extension(format!("tool_choice.{key}"), value)),
        }
    }
    Ok(())
}

fn output_format<'a>(value: Raw<'a>, path: &Path<'_>, name: &'static str, request: &mut Request<'a>) -> Result<(), Fault> {
    object(value, path)?;
    let fields = value.fields();
    if !required(&fields, path, "type", text)?.is("json_schema") {
        request.extensions.push(extension(name, value));
        return Ok(());
    }
    let schema = required(&fields, path, "schema", |schema, path| object(schema, path).map(|()| schema))?;
    request.output = Some(OutputFormat::JsonSchema { name: None, description: None, schema: schema.into(), strict: None });
    Ok(())
}

fn metadata<'a>(value: Raw<'a>, path: &Path<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
    object(value, path)?;
    for (key, value) in value.members().filter(|(_, v)| !v.is_null()) {
        match &*key {
            "user_id" => request.user = Some(text(value, &path.name("user_id"))?),
            _ => request.extensions.push(extension(format!("metadata.{key}"), value)),
        }
    }
    Ok(())
}

fn cache_mark(value: Raw<'_>, path: &Path<'_>) -> Result<CacheMark, Fault> {
    object(value, path)?;
    let ttl = optional(&value.fields(), path, "ttl", text)?.and_then(|ttl| match ttl.read().as_ref() {
        "5m" => Some(CacheTtl::Minutes5),
        "1h" => Some(CacheTtl::Hour1),
        _ => None,
    });
    Ok(CacheMark { ttl })
}

/// Where members of a block go that its part has no room for, as their message's extensions.
pub(super) const IN_CONTENT: &str = "content[].";

/// Reads a block's members; those that `read` does not know are kept as extensions.
fn rest<'a>(
    fields: Fields<'a>,
    extensions: &mut Vec<Extension<'a>>,
    mut read: impl FnMut(&str, Raw<'a>) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    for (key, value) in fields.into_iter().filter(|(key, v)| key != "type" && !v.is_null()) {
        if !read(&key, value)? {
            extensions.push(extension(format!("{IN_CONTENT}{key}"), value));
        }
    }
    Ok(())
}

fn extension<'a>(name: impl Into<Cow<'a, str>>, value: Raw<'a>) -> Extension<'a> {
    Extension { dialect: Dialect::Anthropic, name: name.into(), value }
}

fn each<'a, T>(
    cursor: &mut Cursor<'a>,
    path: &Path<'_>,
    expected: &str,
    mut read: impl FnMut(&mut Cursor<'a>, &Path<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    if cursor.kind() != b'[' {
        return Err(path.wrong(expected, cursor.raw()));
    }
    let mut all = Vec::new();
    cursor.elements(|cursor, place| {
        all.push(read(cursor, &path.index(place))?);
        Ok(())
    })?;
    Ok(all)
}

fn optional<'a, T>(
    fields: &Fields<'a>,
    path: &Path<'_>,
    name: &str,
    read: impl FnOnce(Raw<'a>, &Path<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    fields.told(name).map(|member| read(member, &path.name(name))).transpose()
}

fn required<'a, T>(
    fields: &Fields<'a>,
    path: &Path<'_>,
    name: &str,
    read: impl FnOnce(Raw<'a>, &Path<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let member = fields.get(name).ok_or_else(|| path.name(name).missing("a value"))?;
    read(member, &path.name(name))
}

pub(in crate::dialect) fn object(value: Raw<'_>, path: &Path<'_>) -> Result<(), Fault> {
    if value.is_object() { Ok(()) } else { Err(path.wrong("an object", value)) }
}

pub(in crate::dialect) fn text<'a>(value: Raw<'a>, path: &Path<'_>) -> Result<Text<'a>, Fault> {
    Text::of(value).ok_or_else(|| path.wrong("a string", value))
}

pub(in crate::dialect) fn number<'a>(value: Raw<'a>, path: &Path<'_>) -> Result<Number<'a>, Fault> {
    Number::of(value).ok_or_else(|| path.wrong("a number", value))
}

pub(in crate::dialect) fn whole(value: Raw<'_>, path: &Path<'_>) -> Result<u64, Fault> {
    match (value.u64(), value.number()) {
        (Some(count), _) => Ok(count),
        (None, Some(other)) => Err(path.fault(format_args!("expected a whole number from 0, found {}", short(other)))),
        (None, None) => Err(path.wrong("a whole number", value)),
    }
}

pub(in crate::dialect) fn boolean(value: Raw<'_>, path: &Path<'_>) -> Result<bool, Fault> {
    value.bool().ok_or_else(|| path.wrong("a boolean", value))
}

/// The characters of a text, borrowed where they stand unescaped.
pub(in crate::dialect) fn plain(text: Text<'_>) -> Cow<'_, str> {
    match text {
        Text::Escaped(inner) => crate::base::json::unescape(inner),
        Text::Plain(plain) => plain,
    }
}

/// A caller's word for an error text: no longer than it helps.
pub(in crate::dialect) fn short(word: &str) -> &str {
    let end = word.char_indices().nth(40).map_or(word.len(), |(at, _)| at);
    &word[..end]
}
