//! JSON schemas in the subset that Anthropic's strict outputs accept.
//!
//! What the subset cannot say is moved into the `description`, where the model still reads it: what Anthropic's own
//! SDK does.

use crate::base::json::{self, Array, Object, Raw};

/// Constraints that are refused.
const REFUSED: [&str; 25] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "prefixItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "if",
    "then",
    "else",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedProperties",
];

/// String formats that are accepted.
const FORMATS: [&str; 10] = ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// Writes `schema` in the subset. The nesting is bounded by the parser's own bound.
pub(in crate::dialect) fn write_strict(schema: Raw<'_>, out: &mut Vec<u8>) {
    if !schema.is_object() {
        return out.extend_from_slice(schema.get().as_bytes());
    }
    json::object(out, |object| put_strict(schema, object));
}

fn put_strict(schema: Raw<'_>, object: &mut Object<'_>) {
    let (mut description, mut notes, mut is_object) = (None, String::new(), false);
    let has_any_of = schema.members().any(|(key, _)| key == "anyOf");
    for (key, value) in schema.members() {
        match &*key {
            "description" => description = value.inner(),
            "additionalProperties" => {
                // `false` is what is written anyway; a schema here is a map, which the subset has no word for.
                if value.is_object() {
                    note(&mut notes, &key, value);
                }
            }
            "properties" => {
                is_object = true;
                object.object(&key, |names| each_named(value, names));
            }
            "$defs" => object.object(&key, |names| each_named(value, names)),
            "definitions" => object.object("$defs", |names| each_named(value, names)),
            "$ref" => match value.string().as_deref().and_then(|r| r.strip_prefix("#/definitions/")) {
                Some(name) => object.string("$ref", &format!("#/$defs/{name}")),
                None => object.raw("$ref", value),
            },
            "anyOf" | "allOf" => object.array(&key, |schemas| each(value, schemas)),
            "oneOf" if !has_any_of => object.array("anyOf", |schemas| each(value, schemas)),
            "items" => write_strict(value, object.key("items")),
            "minItems" if value.u64().is_some_and(|least| least > 1) => note(&mut notes, &key, value),
            "format" if !value.string().is_some_and(|format| FORMATS.contains(&&*format)) => note(&mut notes, &key, value),
            "type" => {
                is_object |= value.inner() == Some("object") || value.elements().any(|t| t.inner() == Some("object"));
                object.raw("type", value);
            }
            "oneOf" => note(&mut notes, &key, value),
            word if REFUSED.contains(&word) => note(&mut notes, word, value),
            word => object.raw(word, value),
        }
    }
    if is_object {
        object.bool("additionalProperties", false);
    }
    put_description(description, &notes, object);
}

fn each_named(schemas: Raw<'_>, object: &mut Object<'_>) {
    for (name, schema) in schemas.members() {
        write_strict(schema, object.key(&name));
    }
}

fn each(schemas: Raw<'_>, array: &mut Array<'_>) {
    for schema in schemas.elements() {
        write_strict(schema, array.item());
    }
}

fn note(notes: &mut String, key: &str, value: Raw<'_>) {
    notes.push_str(if notes.is_empty() { "{" } else { ", " });
    notes.push_str(key);
    notes.push_str(": ");
    notes.push_str(value.get());
}

fn put_description(description: Option<&str>, notes: &str, object: &mut Object<'_>) {
    if description.is_none() && notes.is_empty() {
        return;
    }
    let out = object.key("description");
    out.push(b'"');
    out.extend_from_slice(description.unwrap_or_default().as_bytes());
    if !notes.is_empty() {
        if description.is_some_and(|d| !d.is_empty()) {
            out.extend_from_slice(b"\\n\\n");
        }
        json::write_escaped(notes, out);
        out.push(b'}');
    }
    out.push(b'"');
}
