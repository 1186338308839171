//! Writing the tools on offer, the choice among them and the form of the answer: both dialects say the same, the older one
//! nested, the newer one flat.

use std::collections::HashSet;

use super::write::put_tool_name;
use crate::base::json::{Array, Object};
use crate::dialect::{Losses, Notes};
use crate::ir::{ModelTraits, OutputFormat, Request, Text, Tool, ToolChoice};

/// Whether what belongs together stands in an object of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect) enum Form {
    /// In one that is named by its kind.
    Nested,
    /// Beside its kind.
    Flat,
}

impl Form {
    fn put(self, kind: &str, o: &mut Object<'_>, fill: impl FnOnce(&mut Object<'_>)) {
        match self {
            Self::Nested => o.object(kind, fill),
            Self::Flat => fill(o),
        }
    }
}

/// Writes `tools`, each by `tool`, and what is said of calling them.
pub(in crate::dialect) fn put_tools(
    request: &Request<'_>,
    traits: &ModelTraits,
    form: Form,
    tool: impl Fn(&Tool<'_>, &mut Notes, &mut Array<'_>),
    notes: &mut Notes,
    o: &mut Object<'_>,
) {
    if request.tools.is_empty() {
        if let Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { .. }) = request.tool_choice {
            notes.losses.add("tool_choice");
        }
        return;
    }
    o.array("tools", |a| request.tools.iter().for_each(|t| tool(t, notes, a)));
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Required | ToolChoice::Named(_)) if !traits.forced_tool => {
            notes.losses.add("tool_choice");
            o.string("tool_choice", "auto");
        }
        Some(choice) => put_choice(choice, &request.tools, form, notes, o),
    }
    if let Some(parallel) = request.parallel_tool_calls {
        o.bool("parallel_tool_calls", parallel);
    }
}

fn put_choice(choice: &ToolChoice<'_>, tools: &[Tool<'_>], form: Form, notes: &mut Notes, o: &mut Object<'_>) {
    let custom = |tool: &'_ Tool<'_>| if let Tool::Custom { name, .. } = tool { Some(name.read().into_owned()) } else { None };
    let custom: HashSet<String> = tools.iter().filter_map(custom).collect();
    let mut chosen = |name: &Text<'_>, o: &mut Object<'_>| {
        let kind = if custom.contains(&*name.read()) { "custom" } else { "function" };
        o.string("type", kind);
        form.put(kind, o, |o| put_tool_name(name, notes, o));
    };
    match choice {
        ToolChoice::Auto => o.string("tool_choice", "auto"),
        ToolChoice::None => o.string("tool_choice", "none"),
        ToolChoice::Required => o.string("tool_choice", "required"),
        ToolChoice::Named(name) => o.object("tool_choice", |o| chosen(name, o)),
        ToolChoice::Allowed { required, names } => o.object("tool_choice", |o| {
            o.string("type", "allowed_tools");
            form.put("allowed_tools", o, |o| {
                o.string("mode", if *required { "required" } else { "auto" });
                o.array("tools", |a| names.iter().for_each(|name| a.object(|o| chosen(name, o))));
            });
        }),
    }
}

/// Writes the members of the form that the answer is to have.
pub(in crate::dialect) fn put_output(format: &OutputFormat<'_>, traits: &ModelTraits, form: Form, losses: &mut Losses, o: &mut Object<'_>) {
    match format {
        OutputFormat::Text => o.string("type", "text"),
        OutputFormat::JsonObject => o.string("type", "json_object"),
        OutputFormat::JsonSchema { .. } if !traits.structured_output => {
            losses.add("response_format.json_schema");
            o.string("type", "json_object");
        }
        OutputFormat::JsonSchema { name, description, schema, strict } => {
            o.string("type", "json_schema");
            form.put("json_schema", o, |o| {
                match name {
                    Some(name) => name.put("name", o),
                    None => o.string("name", "answer"),
                }
                if let Some(description) = description {
                    description.put("description", o);
                }
                o.raw("schema", schema.raw());
                if let Some(strict) = strict {
                    o.bool("strict", *strict);
                }
            });
        }
    }
}
