//! Tools on offer and the choice among them, as Anthropic takes them.

use super::blocks::has_mark;
use super::encode::{CHOICE, Writer};
use super::schema;
use super::turns::Turns;
use crate::base::Fault;
use crate::base::json::{self, Array, Object, Raw, try_array};
use crate::dialect::{free_form, refuse};
use crate::ir::{Dialect, Schema, Text, Tool, ToolChoice};

/// The longest tool name that the API takes.
pub(super) const TOOL_NAME_MAX: usize = 128;
pub(in crate::dialect) const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

impl Writer<'_, '_> {
    /// Writes `tools` and `tool_choice`.
    pub(super) fn tools(&mut self, turns: &Turns<'_, '_>, object: &mut Object<'_>) -> Result<(), Fault> {
        let request = self.request;
        if request.tools.is_empty() {
            if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { .. })) {
                self.lose("tool_choice");
            }
            self.tools_of_history(turns, object);
            return Ok(());
        }
        self.notes.tools.reserve(request.tools.iter().filter_map(Tool::name).map(Text::read), TOOL_NAME_MAX);
        try_array(object.key("tools"), |array| request.tools.iter().try_for_each(|tool| self.tool(tool, array)))?;
        self.tool_choice(object);
        Ok(())
    }

    /// The API refuses tool calls in a history without tools: the tools that were called are declared, and not to be called again.
    fn tools_of_history(&mut self, turns: &Turns<'_, '_>, object: &mut Object<'_>) {
        let names = turns.called();
        if names.is_empty() {
            return;
        }
        object.array("tools", |array| {
            for name in &names {
                array.object(|tool| {
                    tool.string("name", &self.notes.tools.fit(name, TOOL_NAME_MAX));
                    tool.verbatim("input_schema", NO_PARAMETERS);
                });
            }
        });
        object.verbatim("tool_choice", r#"{"type":"none"}"#);
    }

    fn tool(&mut self, tool: &Tool<'_>, array: &mut Array<'_>) -> Result<(), Fault> {
        match tool {
            Tool::Function { name, description, parameters, strict, cache, extensions } => {
                let strict = *strict == Some(true);
                if strict && !self.traits.structured_output {
                    self.lose("tools[].strict");
                }
                let strict = strict && self.traits.structured_output;
                array.object(|object| {
                    object.string("name", &self.notes.tools.fit(&name.read(), TOOL_NAME_MAX));
                    if let Some(description) = description {
                        description.put("description", object);
                    }
                    write_parameters(parameters.as_ref().map(Schema::raw), strict, object.key("input_schema"));
                    if strict {
                        object.bool("strict", true);
                    }
                    self.notes.losses.write_own(Dialect::Anthropic, "tools[].", extensions, object);
                    self.cache(*cache, object);
                });
            }
            Tool::Custom { name, description, format } => {
                let upstream = free_form::name(name, *format, TOOL_NAME_MAX, self.notes);
                array.object(|object| {
                    object.string("name", &upstream);
                    free_form::put_description(description.as_ref(), object);
                    object.verbatim("input_schema", free_form::SCHEMA);
                });
            }
            Tool::Opaque { dialect: Dialect::Anthropic, raw, .. } => {
                self.fixed_marks += usize::from(has_mark(*raw));
                array.raw(*raw);
            }
            Tool::Opaque { kind, .. } => return Err(refuse::tool(kind)),
        }
        Ok(())
    }

    fn tool_choice(&mut self, object: &mut Object<'_>) {
        let serial = self.request.parallel_tool_calls == Some(false);
        let (mut kind, mut name) = match &self.request.tool_choice {
            None if serial => ("auto", None),
            None => return,
            Some(ToolChoice::Auto) => ("auto", None),
            Some(ToolChoice::None) => ("none", None),
            Some(ToolChoice::Required) => ("any", None),
            Some(ToolChoice::Named(name)) => ("tool", Some(name)),
            Some(ToolChoice::Allowed { required, .. }) => {
                // A shorter list of tools would miss the provider's prompt cache.
                self.lose("tool_choice.allowed_tools");
                (if *required { "any" } else { "auto" }, None)
            }
        };
        if matches!(kind, "any" | "tool") && (!self.traits.forced_tool || self.plan.is_legacy()) {
            self.lose("tool_choice");
            (kind, name) = ("auto", None);
        }
        object.object("tool_choice", |choice| {
            choice.string("type", kind);
            if let Some(name) = name {
                choice.string("name", &self.notes.tools.fit(&name.read(), TOOL_NAME_MAX));
            }
            if serial && kind != "none" {
                choice.bool("disable_parallel_tool_use", true);
            }
            self.put_nested(CHOICE, &["type", "name", "disable_parallel_tool_use"], choice);
        });
    }
}

/// Writes a tool's schema: the API wants an object that says it is one. A strict tool's has to keep to the strict subset.
pub(in crate::dialect) fn write_parameters(parameters: Option<Raw<'_>>, strict: bool, out: &mut Vec<u8>) {
    let Some(schema) = parameters.filter(|schema| schema.is_object()) else {
        return out.extend_from_slice(NO_PARAMETERS.as_bytes());
    };
    let typed = schema.members().any(|(key, _)| key == "type");
    match (typed, strict) {
        (true, false) => out.extend_from_slice(schema.get().as_bytes()),
        (true, true) => schema::write_strict(schema, out),
        (false, _) => {
            let mut whole = Vec::with_capacity(schema.get().len() + 20);
            json::object(&mut whole, |copy| {
                copy.string("type", "object");
                schema.members().for_each(|(key, value)| copy.raw(&key, value));
            });
            match Raw::parse(&whole) {
                Ok(whole) if strict => schema::write_strict(whole, out),
                _ => out.extend_from_slice(&whole),
            }
        }
    }
}
