//! The neutral form → request text.

use std::borrow::Cow;

use super::sampling::{Heat, put_stops};
use super::schema;
use super::thinking::Plan;
use super::turns::Turns;
use super::wire::is_blank;
use crate::base::Fault;
use crate::base::json::{Object, Raw, try_array, try_object};
use crate::dialect::marks::Marks;
use crate::dialect::{Notes, refuse};
use crate::ir::{Dialect, ModelTraits, Number, OutputFormat, Request, Text};

/// The longest `metadata.user_id` that the API takes, in characters.
const USER_CHARS_MAX: usize = 256;

/// How many cache marks one request may have.
const CACHE_MARKS_MAX: usize = 4;
/// Why a member is refused.
const CANNOT: &str = "the target's dialect (Anthropic Messages) cannot do this";

/// Writes a request for `model`. Nothing is left in `out` where it is refused.
pub(super) fn request(request: &Request<'_>, model: &str, traits: &ModelTraits, notes: &mut Notes, out: &mut Vec<u8>) -> Result<(), Fault> {
    refuse::all_or_nothing(out, |out| write(request, model, traits, notes, out))
}

fn write(request: &Request<'_>, model: &str, traits: &ModelTraits, notes: &mut Notes, out: &mut Vec<u8>) -> Result<(), Fault> {
    refuse::penalties(request, &mut notes.losses);
    let says = |name: &str, _: Raw<'_>| name == "safety_identifier" && request.user.is_none();
    refuse::foreign(request, Dialect::Anthropic, CANNOT, says, &mut notes.losses)?;
    let turns = Turns::new(Dialect::Anthropic, &request.messages, traits, &mut notes.losses)?;
    let output_tokens_max = request.output_tokens_max.unwrap_or(traits.output_tokens_default);
    let plan = Plan::new(request.reasoning, &request.messages, output_tokens_max, traits, &mut notes.losses);
    let mut writer = Writer { request, traits, plan, notes, marks: Marks::default(), fixed_marks: 0 };
    try_object(out, |object| {
        object.string("model", model);
        object.u64("max_tokens", output_tokens_max);
        if request.stream {
            object.bool("stream", true);
        }
        if let Some(ask) = plan.thinking {
            object.object("thinking", |thinking| {
                ask.put(thinking);
                writer.put_nested("thinking.", &["type", "budget_tokens", "display"], thinking);
            });
        }
        writer.output_config(object)?;
        writer.sampling(object);
        writer.identity(object);
        writer.extensions(object);
        // From here on in the order of the provider's prompt cache, so that the earliest marks are the first to go.
        writer.tools(&turns, object)?;
        writer.system(&turns.system, object)?;
        try_array(object.key("messages"), |messages| {
            let last = turns.turns.len() - 1;
            turns.turns.iter().enumerate().try_for_each(|(i, turn)| writer.turn(turn, i == last, messages))
        })
    })?;
    if writer.marks.drop_early(CACHE_MARKS_MAX.saturating_sub(writer.fixed_marks), out) {
        writer.lose("cache_control");
    }
    Ok(())
}

/// Writes one request, member by member.
pub(super) struct Writer<'w, 'a> {
    /// What is written.
    pub(super) request: &'w Request<'a>,
    /// What the model takes.
    pub(super) traits: &'w ModelTraits,
    /// How it is asked to think.
    pub(super) plan: Plan,
    /// What is lost, and which tools are renamed.
    pub(super) notes: &'w mut Notes,
    /// Where the cache marks stand in the output.
    pub(super) marks: Marks,
    /// Marks inside of what is written verbatim.
    pub(super) fixed_marks: usize,
}

impl<'w, 'a> Writer<'w, 'a> {
    /// Names a loss.
    pub(super) fn lose(&mut self, name: impl Into<Cow<'static, str>>) {
        self.notes.losses.add(name);
    }

    /// The dialect's own members that were read inside of another (`output_config.x`).
    fn nested(&self, prefix: &'static str) -> impl Iterator<Item = (&'w str, Raw<'a>)> + use<'w, 'a> {
        self.request.nested(Dialect::Anthropic, prefix)
    }

    /// Writes those of them that are not written otherwise.
    pub(super) fn put_nested(&self, prefix: &'static str, taken: &[&str], object: &mut Object<'_>) {
        for (name, value) in self.nested(prefix).filter(|(name, _)| !taken.contains(name)) {
            object.raw(name, value);
        }
    }

    fn output_config(&mut self, object: &mut Object<'_>) -> Result<(), Fault> {
        let format = match &self.request.output {
            Some(OutputFormat::JsonSchema { .. }) if !self.traits.structured_output => return Err(refuse::structured_output()),
            Some(OutputFormat::JsonSchema { description, schema, .. }) => {
                if description.is_some() {
                    self.lose("response_format.json_schema.description");
                }
                Some(schema.raw())
            }
            Some(OutputFormat::JsonObject) => {
                self.lose("response_format");
                None
            }
            Some(OutputFormat::Text) | None => None,
        };
        let effort = self.plan.effort;
        if format.is_none() && effort.is_none() && self.nested(CONFIG).next().is_none() {
            return Ok(());
        }
        object.object("output_config", |config| {
            let mut taken = Vec::new();
            if let Some(effort) = effort {
                config.string("effort", effort.word());
                taken.push("effort");
            }
            if let Some(schema) = format {
                config.object("format", |format| {
                    format.string("type", "json_schema");
                    schema::write_strict(schema, format.key("schema"));
                });
                taken.push("format");
            }
            self.put_nested(CONFIG, &taken, config);
        });
        Ok(())
    }

    fn sampling(&mut self, object: &mut Object<'_>) {
        let request = self.request;
        let (sampling, thinks) = (self.traits.sampling, self.plan.thinks());
        let losses = &mut self.notes.losses;
        Heat { any: sampling, both: self.traits.sampling_together, thinks }.put(request, "top_p", losses, object);
        if let Some(Number(top_k)) = &request.top_k {
            if sampling && !thinks {
                object.verbatim("top_k", top_k);
            } else {
                losses.add("top_k");
            }
        }
        put_stops(request, "stop_sequences", is_blank, losses, object);
    }

    fn identity(&mut self, object: &mut Object<'_>) {
        let request = self.request;
        let safety = || {
            let named = request.extensions.iter().find(|e| e.dialect != Dialect::Anthropic && e.name == "safety_identifier");
            named.and_then(|e| Text::of(e.value))
        };
        let mut user = request.user.as_ref().map(Text::by_ref).or_else(safety);
        if user.as_ref().is_some_and(|user| user.len() > USER_CHARS_MAX && user.read().chars().count() > USER_CHARS_MAX) {
            self.lose("user");
            user = None;
        }
        if user.is_some() || self.nested(METADATA).next().is_some() {
            object.object("metadata", |metadata| {
                if let Some(user) = &user {
                    user.put("user_id", metadata);
                }
                self.put_nested(METADATA, &["user_id"], metadata);
            });
        }
        if let Some(tier) = &request.service_tier {
            match tier.read().as_ref() {
                "auto" | "priority" => object.string("service_tier", "auto"),
                "standard_only" => object.string("service_tier", "standard_only"),
                "default" => {}
                _ => self.lose("service_tier"),
            }
        }
    }

    fn extensions(&mut self, object: &mut Object<'_>) {
        for extension in self.request.extensions.iter().filter(|e| e.dialect == Dialect::Anthropic) {
            let nested = [CONFIG, METADATA, CHOICE, "thinking."].iter().any(|prefix| extension.name.starts_with(prefix));
            if !nested {
                object.raw(&extension.name, extension.value);
                self.fixed_marks += usize::from(extension.name == "cache_control");
            }
        }
    }
}

const CONFIG: &str = "output_config.";
const METADATA: &str = "metadata.";
/// The prefix of members read inside of `tool_choice`.
pub(super) const CHOICE: &str = "tool_choice.";
