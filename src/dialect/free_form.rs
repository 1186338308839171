//! Tools whose input is any text, for targets whose tools take objects alone, and the objects that tools take.

use super::Notes;
use crate::base::json::{Object, Raw, write_on_one_line};
use crate::ir::Text;

/// The schema of the function that stands for such a tool.
pub(super) const SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

/// The name of that function upstream. What is asked of the text's format is lost.
pub(super) fn name(caller: &Text<'_>, format: Option<Raw<'_>>, length_max: usize, notes: &mut Notes) -> String {
    if format.is_some_and(|format| format.member("type").and_then(Raw::inner) != Some("text")) {
        notes.losses.add("tools[].format");
    }
    let caller = caller.read();
    let upstream = notes.tools.fit(&caller, length_max).into_owned();
    notes.tools.mark_custom(&upstream, &caller);
    upstream
}

/// Writes the description of that function.
pub(super) fn put_description(description: Option<&Text<'_>>, object: &mut Object<'_>) {
    let out = object.key("description");
    out.push(b'"');
    if let Some(description) = description.filter(|d| !d.is_empty()) {
        description.write_inner(out);
        out.extend_from_slice(b"\\n\\n");
    }
    out.extend_from_slice(b"Takes free-form text: put all of it, unquoted and unescaped, into `input`.\"");
}

/// Writes the input of a call: always an object, whatever the arguments are. A model's slip must not end the conversation.
pub(super) fn put_input(key: &str, arguments: &Text<'_>, custom: bool, object: &mut Object<'_>) {
    if custom {
        return object.object(key, |input| arguments.put("input", input));
    }
    let text = arguments.read();
    match Raw::parse(text.as_bytes()) {
        Ok(raw) if raw.is_object() => write_on_one_line(raw.get(), object.key(key)),
        _ if matches!(text.trim(), "" | "null") => object.verbatim(key, "{}"),
        _ => object.object(key, |input| input.string("_raw", &text)),
    }
}
