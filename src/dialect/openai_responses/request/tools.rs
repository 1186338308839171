//! Reading the tools on offer and the choice among them.

use super::decode::extension;
use crate::base::Fault;
use crate::base::json::Raw;
use crate::dialect::openai::read;
use crate::dialect::openai::read::{At, boolean, required_text, text, told, words};
use crate::dialect::openai_responses::wire::in_namespace;
use crate::ir::{Dialect, Request, Text, Tool, ToolChoice};

/// Adds the tools of a list to `request`. Those in namespaces stand beside the others, under a name that tells both.
pub(super) fn decode_all<'a>(raw: Raw<'a>, at: &At<'_>, request: &mut Request<'a>) -> Result<(), Fault> {
    if !raw.is_array() {
        return Err(at.expected("an array of tools", Some(raw)));
    }
    for (i, element) in raw.elements().enumerate() {
        tool(element, None, request, &At::Item(at, i))?;
    }
    Ok(())
}

fn tool<'a>(raw: Raw<'a>, namespace: Option<&Text<'a>>, request: &mut Request<'a>, at: &At<'_>) -> Result<(), Fault> {
    if !raw.is_object() {
        return Err(at.expected("a tool (an object)", Some(raw)));
    }
    let kind = told(raw, "type");
    let kind = kind.and_then(Raw::string).ok_or_else(|| at.key("type").expected("a string", kind))?;
    match &*kind {
        // Some clients send the nested form of Chat Completions here.
        "function" => function(told(raw, "function").filter(|inner| inner.is_object()).unwrap_or(raw), namespace, request, at),
        "custom" => custom(told(raw, "custom").filter(|inner| inner.is_object()).unwrap_or(raw), namespace, request, at),
        "namespace" if namespace.is_none() => {
            let name = required_text(told(raw, "name"), &at.key("name"))?;
            if let Some(description) = words(told(raw, "description")).and(raw.member("description")) {
                request.extensions.push(extension("tools[].namespace.description", description));
            }
            let list = told(raw, "tools").ok_or_else(|| at.key("tools").expected("an array of tools", None))?;
            let at = at.key("tools");
            list.elements().enumerate().try_for_each(|(i, inner)| tool(inner, Some(&name), request, &At::Item(&at, i)))
        }
        // Codex offers this one always. It reaches no further than the provider's own index: doing without loses a source,
        // and is named; refusing would lose the client.
        "web_search" if told(raw, "external_web_access").and_then(Raw::bool) == Some(false) => {
            request.extensions.push(extension("tools[].web_search", raw));
            Ok(())
        }
        _ => {
            request.tools.push(Tool::Opaque { dialect: Dialect::OpenAiResponses, kind, raw });
            Ok(())
        }
    }
}

fn function<'a>(raw: Raw<'a>, namespace: Option<&Text<'a>>, request: &mut Request<'a>, at: &At<'_>) -> Result<(), Fault> {
    let (mut name, mut description, mut parameters, mut strict) = (None, None, None, None);
    let mut extensions = Vec::new();
    for (key, value) in raw.members().filter(|(_, value)| !value.is_null()) {
        match &*key {
            "type" => {}
            "name" => name = Some(value),
            "description" => description = Some(text(value, &at.key("description"))?),
            "parameters" => match value.is_object() {
                true => parameters = Some(value.into()),
                false => return Err(at.key("parameters").expected("a JSON schema (an object)", Some(value))),
            },
            "strict" => strict = Some(boolean(value, &at.key("strict"))?),
            _ if is_default(&key, value) => {}
            _ => extensions.push(extension(key, value)),
        }
    }
    let name = in_namespace(namespace.cloned(), required_text(name, &at.key("name"))?);
    request.tools.push(Tool::Function { name, description, parameters, strict, cache: None, extensions });
    Ok(())
}

fn custom<'a>(raw: Raw<'a>, namespace: Option<&Text<'a>>, request: &mut Request<'a>, at: &At<'_>) -> Result<(), Fault> {
    let (mut name, mut description, mut format) = (None, None, None);
    for (key, value) in raw.members().filter(|(_, value)| !value.is_null()) {
        match &*key {
            "type" => {}
            "name" => name = Some(value),
            "description" => description = Some(text(value, &at.key("description"))?),
            "format" => format = Some(value),
            _ if is_default(&key, value) => {}
            _ => request.extensions.push(extension(format!("tools[].{key}"), value)),
        }
    }
    let name = in_namespace(namespace.cloned(), required_text(name, &at.key("name"))?);
    request.tools.push(Tool::Custom { name, description, format });
    Ok(())
}

/// Called by the model itself, at once, awaited: what every other dialect means too.
fn is_default(key: &str, value: Raw<'_>) -> bool {
    match key {
        "async" | "defer_loading" => value.bool() == Some(false),
        "allowed_callers" => value.elements().all(|caller| caller.inner() == Some("direct")),
        _ => false,
    }
}

/// Reads `tool_choice`. `None`: a kind of the dialect's own.
pub(super) fn choice<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Option<ToolChoice<'a>>, Fault> {
    if let Some(word) = raw.string() {
        return read::choice(&word, at).map(Some);
    }
    if !raw.is_object() {
        return Err(at.expected("a string or an object", Some(raw)));
    }
    match told(raw, "type").and_then(Raw::string).as_deref() {
        Some("function" | "custom") => Ok(Some(ToolChoice::Named(chosen(raw, at)?))),
        Some("allowed_tools") => {
            let allowed = told(raw, "allowed_tools").unwrap_or(raw);
            let tools = told(allowed, "tools").filter(|list| list.is_array());
            let tools = tools.ok_or_else(|| at.key("tools").expected("an array of tools", allowed.member("tools")))?;
            let named = |tool: &Raw<'a>| matches!(told(*tool, "type").and_then(Raw::inner), None | Some("function" | "custom"));
            if !tools.elements().all(|tool| named(&tool)) {
                return Ok(None);
            }
            let at = at.key("tools");
            let names = tools.elements().enumerate().map(|(i, tool)| chosen(tool, &At::Item(&at, i))).collect::<Result<_, _>>()?;
            Ok(Some(ToolChoice::Allowed { required: told(allowed, "mode").and_then(Raw::inner) == Some("required"), names }))
        }
        _ => Ok(None),
    }
}

fn chosen<'a>(raw: Raw<'a>, at: &At<'_>) -> Result<Text<'a>, Fault> {
    let inner = told(raw, "function").or_else(|| told(raw, "custom")).unwrap_or(raw);
    let name = required_text(told(inner, "name"), &at.key("name"))?;
    Ok(in_namespace(words(told(raw, "namespace")), name))
}
