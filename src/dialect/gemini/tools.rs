//! Tools on offer and the choice among them, as Gemini takes them.

use super::decode::{CALLING, TOOL_CONFIG};
use super::encode::Writer;
use crate::base::Fault;
use crate::base::json::{Array, Object, try_array};
use crate::dialect::{free_form, refuse};
use crate::ir::{Dialect, Text, Tool, ToolChoice};

/// The longest name that the API takes.
pub(super) const TOOL_NAME_MAX: usize = 64;

impl Writer<'_, '_> {
    /// Writes `tools` and `toolConfig`.
    pub(super) fn tools(&mut self, object: &mut Object<'_>) -> Result<(), Fault> {
        let request = self.request;
        let functions = request.tools.iter().filter(|tool| !matches!(tool, Tool::Opaque { .. })).count();
        if !request.tools.is_empty() {
            // The API takes one tool with all functions, beside those of its own.
            try_array(object.key("tools"), |array| {
                if functions > 0 {
                    array.object(|tool| {
                        tool.array("functionDeclarations", |array| request.tools.iter().for_each(|tool| self.function(tool, array)));
                    });
                }
                request.tools.iter().try_for_each(|tool| own(tool, array))
            })?;
        }
        self.tool_config(functions > 0, object);
        Ok(())
    }

    fn function(&mut self, tool: &Tool<'_>, array: &mut Array<'_>) {
        match tool {
            Tool::Function { name, description, parameters, strict, cache, extensions } => {
                if *strict == Some(true) {
                    self.lose("tools[].strict");
                }
                if cache.is_some() {
                    self.lose("cache_control");
                }
                array.object(|object| {
                    object.string("name", &self.notes.tools.fit(&name.read(), TOOL_NAME_MAX));
                    if let Some(description) = description {
                        description.put("description", object);
                    }
                    if let Some(schema) = parameters {
                        object.raw("parametersJsonSchema", schema.raw());
                    }
                    self.notes.losses.write_own(Dialect::Gemini, "tools[].", extensions, object);
                });
            }
            Tool::Custom { name, description, format } => {
                let upstream = free_form::name(name, *format, TOOL_NAME_MAX, self.notes);
                array.object(|object| {
                    object.string("name", &upstream);
                    free_form::put_description(description.as_ref(), object);
                    object.verbatim("parametersJsonSchema", free_form::SCHEMA);
                });
            }
            Tool::Opaque { .. } => {}
        }
    }

    fn tool_config(&mut self, functions: bool, object: &mut Object<'_>) {
        let forced = matches!(self.request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { .. }));
        let mut choice = self.request.tool_choice.as_ref();
        if !functions {
            if forced {
                self.lose("tool_choice");
            }
            choice = None;
        }
        if self.request.parallel_tool_calls == Some(false) && functions {
            self.lose("parallel_tool_calls");
        }
        let (mut mode, mut names): (_, &[Text<'_>]) = match choice {
            None => (None, &[]),
            Some(ToolChoice::Auto) => (Some("AUTO"), &[]),
            Some(ToolChoice::None) => (Some("NONE"), &[]),
            Some(ToolChoice::Required) => (Some("ANY"), &[]),
            Some(ToolChoice::Named(name)) => (Some("ANY"), std::slice::from_ref(name)),
            Some(ToolChoice::Allowed { required: true, names }) => (Some("ANY"), names),
            // The one mode that leaves the choice to the model and takes names.
            Some(ToolChoice::Allowed { required: false, names }) => (Some("VALIDATED"), names),
        };
        if mode == Some("ANY") && !self.traits.forced_tool {
            self.lose("tool_choice");
            (mode, names) = (Some("AUTO"), &[]);
        }
        let own_mode = self.nested(CALLING).find(|(name, _)| *name == "mode").map(|(_, value)| value);
        let has_own = self.nested(TOOL_CONFIG).next().is_some();
        if mode.is_none() && !has_own {
            return;
        }
        object.object("toolConfig", |config| {
            if mode.is_some() || self.nested(CALLING).next().is_some() {
                config.object("functionCallingConfig", |calling| {
                    match (own_mode, mode) {
                        (Some(own), _) => calling.raw("mode", own),
                        (None, Some(mode)) => calling.string("mode", mode),
                        (None, None) => {}
                    }
                    if !names.is_empty() {
                        calling.array("allowedFunctionNames", |array| {
                            for name in names {
                                array.string(&self.notes.tools.fit(&name.read(), TOOL_NAME_MAX));
                            }
                        });
                    }
                    for (name, value) in self.nested(CALLING).filter(|(name, _)| *name != "mode") {
                        calling.raw(name, value);
                    }
                });
            }
            for (name, value) in self.nested(TOOL_CONFIG).filter(|(name, _)| !name.contains('.')) {
                config.raw(name, value);
            }
        });
    }
}

/// Writes a tool that the provider runs.
fn own(tool: &Tool<'_>, array: &mut Array<'_>) -> Result<(), Fault> {
    match tool {
        Tool::Opaque { dialect: Dialect::Gemini, kind, raw } => {
            array.object(|tool| tool.raw(kind, *raw));
            Ok(())
        }
        Tool::Opaque { kind, .. } => Err(refuse::tool(kind)),
        Tool::Function { .. } | Tool::Custom { .. } => Ok(()),
    }
}
