//! The neutral form → request text.

use std::borrow::Cow;

use super::decode::{CONFIG, TOOL_CONFIG};
use super::thinking::Plan;
use super::tools::TOOL_NAME_MAX;
use super::turns::Turns;
use crate::base::Fault;
use crate::base::json::{self, Object, Raw, try_object};
use crate::dialect::{Notes, refuse};
use crate::ir::{Dialect, ModelTraits, Number, OutputFormat, Request, Text, Tool};

/// How many stop texts the API takes.
const STOPS_MAX: usize = 5;
/// The prefix of members read inside of `generationConfig.thinkingConfig`.
const THINKING: &str = "generationConfig.thinkingConfig.";

/// Why a member is refused.
const CANNOT: &str = "this gateway cannot ask a Gemini model for it";

/// Writes a request. Nothing is left in `out` where it is refused.
pub(super) fn request(request: &Request<'_>, traits: &ModelTraits, notes: &mut Notes, out: &mut Vec<u8>) -> Result<(), Fault> {
    refuse::all_or_nothing(out, |out| write(request, traits, notes, out))
}

fn write(request: &Request<'_>, traits: &ModelTraits, notes: &mut Notes, out: &mut Vec<u8>) -> Result<(), Fault> {
    if request.user.is_some() {
        notes.losses.add("user");
    }
    refuse::foreign(request, Dialect::Gemini, CANNOT, |_, _| false, &mut notes.losses)?;
    if matches!(request.output, Some(OutputFormat::JsonSchema { .. })) && !traits.structured_output {
        return Err(refuse::structured_output());
    }
    let turns = Turns::new(&request.messages, &mut notes.losses)?;
    notes.tools.reserve(request.tools.iter().filter_map(Tool::name).map(Text::read), TOOL_NAME_MAX);
    let mut writer = Writer { request, traits, notes };
    try_object(out, |object| {
        writer.system(&turns.system, object)?;
        writer.contents(&turns, object)?;
        writer.tools(object)?;
        writer.config(object);
        writer.rest(object);
        Ok(())
    })
}

/// Writes one request, member by member.
pub(super) struct Writer<'w, 'a> {
    /// What is written.
    pub(super) request: &'w Request<'a>,
    /// What the model takes.
    pub(super) traits: &'w ModelTraits,
    /// What is lost, and which tools are renamed.
    pub(super) notes: &'w mut Notes,
}

impl<'w, 'a> Writer<'w, 'a> {
    /// Names a loss.
    pub(super) fn lose(&mut self, name: impl Into<Cow<'static, str>>) {
        self.notes.losses.add(name);
    }

    /// The dialect's own members that were read inside of another (`generationConfig.x`).
    pub(super) fn nested(&self, prefix: &'static str) -> impl Iterator<Item = (&'w str, Raw<'a>)> + use<'w, 'a> {
        self.request.nested(Dialect::Gemini, prefix)
    }

    fn config(&mut self, object: &mut Object<'_>) {
        const EMPTY: &str = r#","generationConfig":{}"#;
        let out = object.key("generationConfig");
        let start = out.len() - r#","generationConfig":"#.len();
        json::object(out, |config| {
            self.sampling(config);
            self.output(config);
            self.thinking(config);
            for (name, value) in self.nested(CONFIG).filter(|(name, _)| !name.contains('.')) {
                config.raw(name, value);
            }
        });
        // It is never the first member.
        if out.get(start..) == Some(EMPTY.as_bytes()) {
            out.truncate(start);
        }
    }

    fn sampling(&mut self, config: &mut Object<'_>) {
        let request = self.request;
        let chances =
            [("temperature", "temperature", &request.temperature), ("topP", "top_p", &request.top_p), ("topK", "top_k", &request.top_k)];
        for (own, name, given) in chances {
            match given {
                Some(number) if self.traits.sampling => config.verbatim(own, &number.0),
                // 1 is what holds anyway.
                Some(number) if name == "top_k" || number.value() != 1.0 => self.lose(name),
                _ => {}
            }
        }
        if let Some(bound) = request.output_tokens_max {
            config.u64("maxOutputTokens", bound);
        }
        if request.stop.len() > STOPS_MAX {
            self.lose("stop");
        }
        if !request.stop.is_empty() {
            config.array("stopSequences", |array| request.stop.iter().take(STOPS_MAX).for_each(|text| text.write(array.item())));
        }
        match &request.seed {
            // The API's seed has 32 bits.
            Some(Number(seed)) if seed.parse::<i32>().is_ok() => config.verbatim("seed", seed),
            Some(_) => self.lose("seed"),
            None => {}
        }
        for (own, given) in [("presencePenalty", &request.presence_penalty), ("frequencyPenalty", &request.frequency_penalty)] {
            if let Some(Number(penalty)) = given {
                config.verbatim(own, penalty);
            }
        }
        if request.answers == Some(1) {
            config.u64("candidateCount", 1);
        }
    }

    fn output(&mut self, config: &mut Object<'_>) {
        match &self.request.output {
            Some(OutputFormat::JsonSchema { description, schema, .. }) => {
                if description.is_some() {
                    self.lose("response_format.json_schema.description");
                }
                config.string("responseMimeType", "application/json");
                config.raw("responseJsonSchema", schema.raw());
            }
            Some(OutputFormat::JsonObject) => config.string("responseMimeType", "application/json"),
            Some(OutputFormat::Text) | None => {}
        }
    }

    fn thinking(&mut self, config: &mut Object<'_>) {
        let request = self.request;
        let plan = Plan::new(request.reasoning, request.output_tokens_max, self.traits, &mut self.notes.losses);
        if plan.is_empty() && self.nested(THINKING).next().is_none() {
            return;
        }
        config.object("thinkingConfig", |thinking| {
            plan.put(thinking);
            for (name, value) in self.nested(THINKING) {
                thinking.raw(name, value);
            }
        });
    }

    /// Writes the class of service and the dialect's own members.
    fn rest(&mut self, object: &mut Object<'_>) {
        if let Some(tier) = &self.request.service_tier {
            match tier.read().as_ref() {
                tier @ ("flex" | "priority" | "standard") => object.string("serviceTier", tier),
                "auto" | "default" | "standard_only" | "unspecified" => {}
                _ => self.lose("service_tier"),
            }
        }
        let nested = |name: &str| name.starts_with(CONFIG) || name.starts_with(TOOL_CONFIG);
        for extension in self.request.extensions.iter().filter(|e| e.dialect == Dialect::Gemini && !nested(&e.name)) {
            object.raw(&extension.name, extension.value);
        }
    }
}
