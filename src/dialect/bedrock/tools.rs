//! Tools on offer and the choice among them.

use std::collections::HashSet;

use super::encode::Writer;
use super::family::Family;
use crate::base::Fault;
use crate::base::json::{Array, Object, try_array, try_object};
use crate::dialect::anthropic::tools::{NO_PARAMETERS, write_parameters};
use crate::dialect::anthropic::turns::Turns;
use crate::dialect::anthropic::wire::is_blank;
use crate::dialect::{free_form, refuse};
use crate::ir::{Dialect, Schema, Text, Tool, ToolChoice};

/// The longest tool name that the API takes.
pub(super) const TOOL_NAME_MAX: usize = 64;

impl Writer<'_, '_> {
    /// Writes `toolConfig`.
    pub(super) fn tools(&mut self, turns: &Turns<'_, '_>, object: &mut Object<'_>) -> Result<(), Fault> {
        let request = self.request;
        self.notes.tools.reserve(request.tools.iter().filter_map(Tool::name).map(Text::read), TOOL_NAME_MAX);
        let names: Option<HashSet<_>> = match &request.tool_choice {
            Some(ToolChoice::Allowed { names, .. }) => Some(names.iter().map(Text::read).collect()),
            _ => None,
        };
        let allowed = |tool: &&Tool<'_>| match (&names, tool.name()) {
            (Some(names), Some(name)) => names.contains(&name.read()),
            _ => true,
        };
        let offered: Vec<&Tool<'_>> = request.tools.iter().filter(allowed).collect();
        if offered.is_empty() {
            if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { .. })) {
                self.lose("tool_choice");
            }
            self.tools_of_history(turns, object);
            return Ok(());
        }
        try_object(object.key("toolConfig"), |config| {
            try_array(config.key("tools"), |array| offered.iter().try_for_each(|tool| self.tool(tool, array)))?;
            self.tool_choice(config);
            let taken = if request.tool_choice.is_some() { "toolChoice" } else { "" };
            self.put_nested("toolConfig.", &[taken, "tools[].cachePoint"], config);
            Ok(())
        })
    }

    /// The API refuses tool calls in a history without tools: the tools that were called are declared.
    fn tools_of_history(&mut self, turns: &Turns<'_, '_>, object: &mut Object<'_>) {
        let names = turns.called();
        if names.is_empty() {
            return;
        }
        self.notes.tools.reserve(names.iter().cloned(), TOOL_NAME_MAX);
        object.object("toolConfig", |config| {
            config.array("tools", |array| {
                for name in &names {
                    put_spec(array, |spec| {
                        let upstream = self.notes.tools.fit(name, TOOL_NAME_MAX);
                        spec.string("name", &upstream);
                        spec.string("description", &upstream);
                        spec.object("inputSchema", |schema| schema.verbatim("json", NO_PARAMETERS));
                    });
                }
            });
        });
    }

    fn tool(&mut self, tool: &Tool<'_>, array: &mut Array<'_>) -> Result<(), Fault> {
        match tool {
            Tool::Function { name, description, parameters, strict, cache, extensions } => {
                let wanted = *strict == Some(true);
                let strict = wanted && self.traits.structured_output;
                if wanted && !strict {
                    self.lose("tools[].strict");
                }
                put_spec(array, |spec| {
                    let upstream = self.notes.tools.fit(&name.read(), TOOL_NAME_MAX).into_owned();
                    spec.string("name", &upstream);
                    // The API refuses an empty one.
                    match description.as_ref().filter(|description| !is_blank(description)) {
                        Some(description) => description.put("description", spec),
                        None => spec.string("description", &upstream),
                    }
                    spec.object("inputSchema", |schema| write_parameters(parameters.as_ref().map(Schema::raw), strict, schema.key("json")));
                    if strict {
                        spec.bool("strict", true);
                    }
                    self.notes.losses.write_own(Dialect::Bedrock, "tools[].", extensions, spec);
                });
                match cache {
                    Some(_) if self.family.caches() && !self.family.caches_all() => self.lose("tools[].cache_control"),
                    mark => self.cache(*mark, array),
                }
            }
            Tool::Custom { name, description, format } => {
                let upstream = free_form::name(name, *format, TOOL_NAME_MAX, self.notes);
                put_spec(array, |spec| {
                    spec.string("name", &upstream);
                    free_form::put_description(description.as_ref(), spec);
                    spec.object("inputSchema", |schema| schema.verbatim("json", free_form::SCHEMA));
                });
            }
            Tool::Opaque { dialect: Dialect::Bedrock, raw, .. } => array.raw(*raw),
            Tool::Opaque { kind, .. } => return Err(refuse::tool(kind)),
        }
        Ok(())
    }

    fn tool_choice(&mut self, config: &mut Object<'_>) {
        let put = |config: &mut Object<'_>, kind: &str| config.object("toolChoice", |choice| choice.object(kind, |_| ()));
        let named: Option<&Text<'_>> = match &self.request.tool_choice {
            None | Some(ToolChoice::Allowed { required: false, .. }) => return,
            // The choice that holds anyway, which some models refuse to be told.
            Some(ToolChoice::Auto) if self.family == Family::Other => return,
            Some(ToolChoice::Auto) => return put(config, "auto"),
            // The tools stay, since the history may need them: the API has no word for this.
            Some(ToolChoice::None) => return self.lose("tool_choice"),
            Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => None,
            Some(ToolChoice::Named(name)) => Some(name),
        };
        if !self.traits.forced_tool || self.plan.is_legacy() {
            return self.lose("tool_choice");
        }
        match named {
            None => put(config, "any"),
            Some(name) => {
                let caller = name.read();
                let upstream = self.notes.tools.fit(&caller, TOOL_NAME_MAX);
                config.object("toolChoice", |choice| choice.object("tool", |tool| tool.string("name", &upstream)));
            }
        }
    }
}

fn put_spec(array: &mut Array<'_>, fill: impl FnOnce(&mut Object<'_>)) {
    array.object(|tool| tool.object("toolSpec", fill));
}
