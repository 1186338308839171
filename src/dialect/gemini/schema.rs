//! Gemini's schemas, a subset of OpenAPI 3.0 with words of its own, as JSON Schema.
//!
//! What is JSON Schema already stays as it is written.

use crate::base::Fault;
use crate::base::json::{self, Array, Object, Raw};
use crate::ir::Schema;

use super::wire::camel;

/// The types as the API spells them.
const TYPES: [(&str, &str); 7] = [
    ("STRING", "string"),
    ("NUMBER", "number"),
    ("INTEGER", "integer"),
    ("BOOLEAN", "boolean"),
    ("ARRAY", "array"),
    ("OBJECT", "object"),
    ("NULL", "null"),
];

/// Counts, which the API's JSON may spell as strings.
const COUNTS: [&str; 6] = ["minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"];

/// The schema as JSON Schema.
pub(super) fn read(schema: Raw<'_>) -> Result<Schema<'_>, Fault> {
    if !is_foreign(schema) {
        return Ok(schema.into());
    }
    let mut text = Vec::with_capacity(schema.get().len() + 32);
    write(schema, &mut text);
    let text = String::from_utf8(text).map_err(Fault::internal)?;
    Schema::made(text).map_err(Fault::internal)
}

/// Whether any word in it is not JSON Schema's.
fn is_foreign(schema: Raw<'_>) -> bool {
    schema.members().any(|(key, value)| match &*key {
        "type" => value.inner().is_some_and(|word| word.bytes().any(|b| b.is_ascii_uppercase())),
        "nullable" | "propertyOrdering" | "example" | "defs" | "ref" => true,
        "properties" | "$defs" => value.members().any(|(_, schema)| is_foreign(schema)),
        "items" | "additionalProperties" => is_foreign(value),
        "anyOf" => value.elements().any(is_foreign),
        key if COUNTS.contains(&key) => value.inner().is_some(),
        key => key.contains('_') && camel(key.into()) != key && known(&camel(key.into())),
    })
}

/// Whether a member of this name may be spelled with underscores.
fn known(name: &str) -> bool {
    COUNTS.contains(&name) || ["anyOf", "propertyOrdering", "additionalProperties"].contains(&name)
}

/// The nesting is bounded by the parser's own bound.
fn write(schema: Raw<'_>, out: &mut Vec<u8>) {
    if !schema.is_object() {
        return out.extend_from_slice(schema.get().as_bytes());
    }
    json::object(out, |object| put(schema, object));
}

fn put(schema: Raw<'_>, object: &mut Object<'_>) {
    let nullable = schema.member("nullable").and_then(Raw::bool) == Some(true);
    for (key, value) in schema.members() {
        let spelled = camel(key.as_ref().into());
        let name = if known(&spelled) { spelled } else { key };
        match &*name {
            "type" => put_type(value, nullable, object),
            "nullable" | "propertyOrdering" => {}
            "enum" if nullable && !value.elements().any(Raw::is_null) => object.array("enum", |array| {
                value.elements().for_each(|word| array.raw(word));
                array.raw(Raw::literal("null"));
            }),
            "anyOf" => object.array("anyOf", |array| {
                value.elements().for_each(|schema| write(schema, array.item()));
                if nullable {
                    put_null(array);
                }
            }),
            "example" => object.array("examples", |array| array.raw(value)),
            "properties" | "$defs" => object.object(&name, |object| each(value, object)),
            "defs" => object.object("$defs", |object| each(value, object)),
            "ref" => match value.string().as_deref().and_then(|r| r.strip_prefix("#/defs/")) {
                Some(name) => object.string("$ref", &format!("#/$defs/{name}")),
                None => object.raw("$ref", value),
            },
            "items" | "additionalProperties" => write(value, object.key(&name)),
            name if COUNTS.contains(&name) => match value.inner().and_then(|digits| digits.parse().ok()) {
                Some(count) => object.u64(name, count),
                None => object.raw(name, value),
            },
            name => object.raw(name, value),
        }
    }
}

fn put_type(value: Raw<'_>, nullable: bool, object: &mut Object<'_>) {
    let Some(word) = value.inner() else { return object.raw("type", value) };
    let Some((_, word)) = TYPES.iter().find(|(own, _)| own.eq_ignore_ascii_case(word)) else {
        // `TYPE_UNSPECIFIED`: any.
        return;
    };
    match nullable {
        true => object.array("type", |array| {
            array.string(word);
            array.string("null");
        }),
        false => object.string("type", word),
    }
}

fn put_null(array: &mut Array<'_>) {
    array.object(|object| object.string("type", "null"));
}

fn each(schemas: Raw<'_>, object: &mut Object<'_>) {
    for (name, schema) in schemas.members() {
        write(schema, object.key(&name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn becomes_json_schema() {
        let cases = [
            (json!({"type": "STRING"}), json!({"type": "string"})),
            (json!({"type": "TYPE_UNSPECIFIED"}), json!({})),
            (json!({"type": "string", "nullable": true, "enum": ["a"]}), json!({"type": ["string", "null"], "enum": ["a", null]})),
            (json!({"nullable": true, "anyOf": [{"type": "INTEGER"}]}), json!({"anyOf": [{"type": "integer"}, {"type": "null"}]})),
            (json!({"nullable": false, "type": "NUMBER", "example": 1}), json!({"type": "number", "examples": [1]})),
            (
                json!({"type": "OBJECT", "property_ordering": ["type"], "properties": {"type": {"type": "ARRAY", "min_items": "2",
                    "maxItems": "3", "items": {"any_of": [{"type": "NULL"}]}}, "nullable": {"type": "string"}}}),
                json!({"type": "object", "properties": {"type": {"type": "array", "minItems": 2, "maxItems": 3,
                    "items": {"anyOf": [{"type": "null"}]}}, "nullable": {"type": "string"}}}),
            ),
            (
                json!({"defs": {"a": {"type": "OBJECT"}}, "ref": "#/defs/a"}),
                json!({"$defs": {"a": {"type": "object"}}, "$ref": "#/$defs/a"}),
            ),
        ];
        for (own, wanted) in cases {
            let text = own.to_string();
            let schema = read(Raw::parse(text.as_bytes()).unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<Value>(schema.raw().get()).unwrap(), wanted, "{own}");
        }
    }

    #[test]
    fn json_schema_stays_as_it_is_written() {
        for text in [
            r#"{"type": "object",  "properties":{"my_name":{"type":"string"},"nullable":{}}, "x_y":1}"#,
            r#"{"type":["string","null"],"minItems": 1}"#,
            "true",
        ] {
            assert_eq!(read(Raw::parse(text.as_bytes()).unwrap()).unwrap().raw().get(), text);
        }
    }
}
