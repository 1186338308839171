//! The neutral form → request text.

use std::borrow::Cow;

use super::family::Family;
use super::media::Names;
use crate::base::Fault;
use crate::base::json::{self, Object, Raw, try_array, try_object};
use crate::dialect::anthropic::sampling::{Heat, put_stops};
use crate::dialect::anthropic::schema;
use crate::dialect::anthropic::thinking::{Ask, Plan};
use crate::dialect::anthropic::turns::Turns;
use crate::dialect::anthropic::wire::is_blank;
use crate::dialect::marks::Marks;
use crate::dialect::{Notes, refuse};
use crate::ir::{Dialect, ModelTraits, OutputFormat, Request, Text};

/// How many entries the metadata of a request may have, and how long each may be.
const METADATA_MAX: usize = 16;
const METADATA_BYTES_MAX: usize = 256;
/// Members of the request that have a place of their own: what was read inside of them stands under their names.
const NESTED: [&str; 5] = ["inferenceConfig.", "additionalModelRequestFields.", "outputConfig.", "toolConfig.", "requestMetadata."];

/// How many cache points one request may have.
const CACHE_POINTS_MAX: usize = 4;
/// Why a member is refused.
const CANNOT: &str = "the target's dialect (Bedrock Converse) cannot do this";

/// Writes a request for `model`. Nothing is left in `out` where it is refused.
pub(super) fn request(request: &Request<'_>, model: &str, traits: &ModelTraits, notes: &mut Notes, out: &mut Vec<u8>) -> Result<(), Fault> {
    refuse::all_or_nothing(out, |out| write(request, model, traits, notes, out))
}

fn write(request: &Request<'_>, model: &str, traits: &ModelTraits, notes: &mut Notes, out: &mut Vec<u8>) -> Result<(), Fault> {
    refuse::penalties(request, &mut notes.losses);
    let says = |name: &str, value: Raw<'_>| match name {
        "safety_identifier" => request.user.is_none(),
        "metadata" => value.is_object(),
        _ => false,
    };
    refuse::foreign(request, Dialect::Bedrock, CANNOT, says, &mut notes.losses)?;
    let turns = Turns::new(Dialect::Bedrock, &request.messages, traits, &mut notes.losses)?;
    if turns.turns.first().is_some_and(|turn| turn.role != "user") {
        let text = "messages: the target wants a conversation to begin with a user's message; put one first.";
        return Err(Fault::unsupported("messages", text));
    }
    let family = Family::of(model);
    let plan = match family {
        Family::Claude => {
            let output_tokens_max = request.output_tokens_max.unwrap_or(traits.output_tokens_default);
            Plan::new(request.reasoning, &request.messages, output_tokens_max, traits, &mut notes.losses)
        }
        _ => Plan::default(),
    };
    let mut writer = Writer { request, traits, family, plan, notes, names: Names::default(), marks: Marks::default() };
    try_object(out, |object| {
        put_filled("inferenceConfig", object, |config| writer.inference(config));
        put_filled("additionalModelRequestFields", object, |fields| writer.additional(fields));
        writer.output(object)?;
        writer.serving(object);
        writer.extensions(object);
        // From here on in the order of the provider's prompt cache, so that the earliest marks are the first to go.
        writer.tools(&turns, object)?;
        writer.system(&turns.system, object)?;
        try_array(object.key("messages"), |messages| {
            let last = turns.turns.len() - 1;
            turns.turns.iter().enumerate().try_for_each(|(i, turn)| writer.turn(turn, i == last, messages))
        })
    })?;
    if writer.marks.drop_early(CACHE_POINTS_MAX, out) {
        writer.lose("cache_control");
    }
    Ok(())
}

/// Writes an object unless nothing is in it.
fn put_filled(key: &str, object: &mut Object<'_>, fill: impl FnOnce(&mut Object<'_>)) {
    let mut inner = Vec::new();
    json::object(&mut inner, fill);
    if inner.len() > 2 {
        object.key(key).extend_from_slice(&inner);
    }
}

/// Writes one request, member by member.
pub(super) struct Writer<'w, 'a> {
    /// What is written.
    pub(super) request: &'w Request<'a>,
    /// What the model takes.
    pub(super) traits: &'w ModelTraits,
    /// Who made it.
    pub(super) family: Family,
    /// How a Claude is asked to think.
    pub(super) plan: Plan,
    /// What is lost, and which tools are renamed.
    pub(super) notes: &'w mut Notes,
    /// Which names documents have.
    pub(super) names: Names,
    /// Where the cache points stand in the output.
    pub(super) marks: Marks,
}

impl<'w, 'a> Writer<'w, 'a> {
    /// Names a loss.
    pub(super) fn lose(&mut self, name: impl Into<Cow<'static, str>>) {
        self.notes.losses.add(name);
    }

    /// The dialect's own members that were read inside of another (`outputConfig.x`).
    pub(super) fn nested(&self, prefix: &'static str) -> impl Iterator<Item = (&'w str, Raw<'a>)> + use<'w, 'a> {
        self.request.nested(Dialect::Bedrock, prefix)
    }

    /// Writes those of them that are not written otherwise.
    pub(super) fn put_nested(&self, prefix: &'static str, taken: &[&str], object: &mut Object<'_>) {
        for (name, value) in self.nested(prefix).filter(|(name, _)| !taken.contains(name)) {
            object.raw(name, value);
        }
    }

    fn inference(&mut self, config: &mut Object<'_>) {
        let request = self.request;
        // Nova refuses these beside its highest effort.
        let unbound = self.nova_effort() == Some("high");
        match request.output_tokens_max {
            Some(_) if unbound => self.lose("max_tokens"),
            Some(tokens) => config.u64("maxTokens", tokens),
            // Without a bound the model's own holds, but a budget for thinking must stay below it.
            None if matches!(self.plan.thinking, Some(Ask::Budget { .. })) => config.u64("maxTokens", self.traits.output_tokens_default),
            None => {}
        }
        let (losses, family) = (&mut self.notes.losses, self.family);
        let heat = Heat { any: self.traits.sampling && !unbound, both: self.traits.sampling_together, thinks: self.plan.thinks() };
        heat.put(request, "topP", losses, config);
        let refused = |text: &Text<'_>| if family == Family::Claude { is_blank(text) } else { text.is_empty() };
        put_stops(request, "stopSequences", refused, losses, config);
        self.put_nested("inferenceConfig.", &[], config);
    }

    fn output(&mut self, object: &mut Object<'_>) -> Result<(), Fault> {
        let format = match &self.request.output {
            Some(OutputFormat::JsonSchema { .. }) if !self.traits.structured_output => return Err(refuse::structured_output()),
            Some(OutputFormat::JsonSchema { name, description, schema, .. }) => Some((name, description, schema)),
            Some(OutputFormat::JsonObject) => {
                self.lose("response_format");
                None
            }
            Some(OutputFormat::Text) | None => None,
        };
        put_filled("outputConfig", object, |config| {
            let mut taken = Vec::new();
            if let Some((name, description, schema)) = format {
                taken.push("textFormat");
                config.object("textFormat", |format| {
                    format.string("type", "json_schema");
                    format.object("structure", |structure| {
                        structure.object("jsonSchema", |json| {
                            // Packed into a string.
                            let mut strict = Vec::with_capacity(schema.raw().get().len() + 64);
                            schema::write_strict(schema.raw(), &mut strict);
                            json.string("schema", &String::from_utf8_lossy(&strict));
                            if let Some(name) = name {
                                name.put("name", json);
                            }
                            if let Some(description) = description {
                                description.put("description", json);
                            }
                        });
                    });
                });
            }
            self.put_nested("outputConfig.", &taken, config);
        });
        Ok(())
    }

    /// Writes who asks, and how it is to be served.
    fn serving(&mut self, object: &mut Object<'_>) {
        let request = self.request;
        if let Some(tier) = &request.service_tier {
            match tier.read().as_ref() {
                tier @ ("priority" | "flex" | "reserved") => object.object("serviceTier", |o| o.string("type", tier)),
                "auto" | "default" | "standard" | "standard_only" => {}
                _ => self.lose("service_tier"),
            }
        }
        put_filled("requestMetadata", object, |metadata| self.metadata(metadata));
        if self.family == Family::Claude && !request.stop.is_empty() && self.nested("additionalModelResponseFieldPaths").next().is_none() {
            // Which of the texts was met is told only where it is asked for.
            let path = if request.stream { "/delta/stop_sequence" } else { "/stop_sequence" };
            object.array("additionalModelResponseFieldPaths", |paths| paths.string(path));
        }
    }

    fn metadata(&mut self, metadata: &mut Object<'_>) {
        let request = self.request;
        let foreign = |name: &'static str| request.extensions.iter().find(move |e| e.dialect != Dialect::Bedrock && e.name == name);
        let user = request.user.as_ref().map(Text::by_ref).or_else(|| foreign("safety_identifier").and_then(|e| Text::of(e.value)));
        let mut entries = 0;
        let mut put = |name: &str, value: Option<Text<'_>>, loss: &'static str| match value {
            Some(text) if entries < METADATA_MAX && fits(name) && !name.is_empty() && fits(&text.read()) => {
                text.put(name, metadata);
                entries += 1;
            }
            _ => self.notes.losses.add(loss),
        };
        if user.is_some() {
            put("user_id", user, "user");
        }
        for (name, value) in request.nested(Dialect::Bedrock, "requestMetadata.") {
            put(name, Text::of(value), "requestMetadata");
        }
        for (name, value) in foreign("metadata").into_iter().flat_map(|e| e.value.members()).filter(|(name, _)| name != "user_id") {
            put(&name, Text::of(value), "metadata");
        }
    }

    fn extensions(&mut self, object: &mut Object<'_>) {
        let own = self.request.extensions.iter().filter(|e| e.dialect == Dialect::Bedrock);
        for extension in own.filter(|e| !NESTED.iter().any(|prefix| e.name.starts_with(prefix))) {
            object.raw(&extension.name, extension.value);
        }
    }
}

/// Whether the metadata of a request can hold this text.
fn fits(text: &str) -> bool {
    let sound = |b: u8| b.is_ascii_alphanumeric() || b.is_ascii_whitespace() || b":_@$#=/+,-.".contains(&b);
    text.len() <= METADATA_BYTES_MAX && text.bytes().all(sound)
}
