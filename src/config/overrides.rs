//! What the policy knows better than the catalogue: `[[prices]]` and `[[capabilities]]`.

use crate::ir::{ModelTraits, ServiceTier, Thinking};

use super::catalog::price::{Counted, PriceRule, Rate, Rates};
use super::catalog::{self, Capabilities, Facts};
use super::file::{Reading, Table, Text};
use super::provider::Providers;
use super::resolve::keys;
use super::values::matches;

/// What the policy says of models, beside the catalogue.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Prices, in the order of the file.
    pub prices: Vec<PriceRow>,
    /// Capabilities and bounds, in the order of the file.
    pub capabilities: Vec<CapabilityRow>,
}

/// Which models a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The provider's name.
    pub provider: String,
    /// The model's name there, `*` for any text.
    pub model: String,
}

/// What some models cost, and when.
#[derive(Clone, Debug)]
pub struct PriceRow {
    /// Which models.
    pub of: Subject,
    /// The prices that are given, and when they hold.
    pub rule: PriceRule,
}

/// What some models can.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// A model of the catalogue that they are, under another name.
    pub same_as: Option<String>,
    /// The most tokens that they read.
    pub context_tokens: Option<u32>,
    /// The most tokens that they write.
    pub output_tokens: Option<u32>,
    /// How they are asked to reason.
    pub reasoning: Option<Thinking>,
    /// What they can.
    pub can: Capabilities,
    /// What they cannot.
    pub cannot: Capabilities,
}

/// What some models can, and which.
#[derive(Clone, Debug)]
pub struct CapabilityRow {
    /// Which models.
    pub of: Subject,
    /// What is said of them.
    pub said: Said,
}

const TOKENS_MAX: usize = 1_000_000_000;

/// The prices that a row may give, by their keys.
pub(super) const PRICES: &[(&str, Counted)] = &[
    ("input_usd", Counted::Input),
    ("cached_input_usd", Counted::CachedInput),
    ("cache_write_usd", Counted::CacheWrite),
    ("cache_write_1h_usd", Counted::CacheWrite1h),
    ("cache_write_12h_usd", Counted::CacheWrite12h),
    ("output_usd", Counted::Output),
    ("reasoning_usd", Counted::Reasoning),
    ("audio_input_usd", Counted::AudioInput),
    ("cached_audio_input_usd", Counted::CachedAudio),
    ("audio_output_usd", Counted::AudioOutput),
    ("image_input_usd", Counted::ImageInput),
    ("image_output_usd", Counted::ImageOutput),
    ("video_input_usd", Counted::VideoInput),
    ("request_usd", Counted::Request),
    ("search_usd", Counted::Search),
];

/// The capabilities that a row may switch, by their keys.
pub(super) const SWITCHES: &[(&str, Capabilities)] = &[
    ("tools", Capabilities::TOOLS),
    ("parallel_tools", Capabilities::PARALLEL_TOOLS),
    ("forced_tool", Capabilities::FORCED_TOOL),
    ("vision", Capabilities::VISION),
    ("documents", Capabilities::DOCUMENTS),
    ("audio_input", Capabilities::AUDIO_INPUT),
    ("audio_output", Capabilities::AUDIO_OUTPUT),
    ("video_input", Capabilities::VIDEO_INPUT),
    ("structured_output", Capabilities::STRUCTURED_OUTPUT),
    ("prompt_cache", Capabilities::PROMPT_CACHE),
    ("sampling", Capabilities::SAMPLING),
    ("system_in_messages", Capabilities::SYSTEM_IN_MESSAGES),
];

/// The words for how a model is asked to reason.
pub(super) const REASONING: &[(&str, Thinking)] =
    &[("none", Thinking::Unsupported), ("budget", Thinking::Budget), ("effort", Thinking::Adaptive), ("always", Thinking::Always)];

impl Subject {
    fn is(&self, provider: &str, model: &str) -> bool {
        self.provider == provider && matches(&self.model, model)
    }
}

impl Overrides {
    /// What counts for a provider's model: its traits and its facts. Of several rows that fit the first does.
    pub(super) fn known(&self, provider: &str, kind: &str, model: &str) -> (ModelTraits, Facts) {
        let said = self.capabilities.iter().find(|row| row.of.is(provider, model)).map(|row| &row.said);
        let name = said.and_then(|said| said.same_as.as_deref()).unwrap_or(model);
        let (mut traits, mut facts) = (catalog::traits(kind, name), catalog::facts(kind, name));
        if let Some(said) = said {
            said.apply(&mut traits, &mut facts);
        }
        if let Some(first) = self.prices.iter().find(|row| row.of.is(provider, model)) {
            let rules = self.prices.iter().filter(|row| row.of == first.of).map(|row| row.rule);
            facts.prices = facts.prices.with(rules.collect());
        }
        (traits, facts)
    }

    /// The name under which the catalogue knows a provider's model.
    pub(super) fn name<'n>(&'n self, provider: &str, model: &'n str) -> &'n str {
        let row = self.capabilities.iter().find(|row| row.of.is(provider, model));
        row.and_then(|row| row.said.same_as.as_deref()).unwrap_or(model)
    }

    /// Reads `[[prices]]` and `[[capabilities]]`.
    pub(super) fn read(reading: &Reading<'_>, root: &Table<'_, '_>, providers: &Providers<'_>) -> Self {
        let mut overrides = Self::default();
        let mut of = Vec::new();
        for table in root.tables("capabilities", keys::CAPABILITIES).unwrap_or_default() {
            let subject = subject(reading, &table, providers);
            unique(reading, &table, subject.as_ref().map(|(of, _)| of), (), &mut of);
            let said = said(reading, &table);
            overrides.capabilities.extend(subject.map(|(of, _)| CapabilityRow { of, said }));
        }
        let mut of = Vec::new();
        let tables = root.tables("prices", keys::PRICES).unwrap_or_default();
        let mut read = Vec::new();
        for table in &tables {
            let subject = subject(reading, table, providers);
            let rule = rule(reading, table);
            let when = (rule.from, rule.tier, rule.above_input_tokens);
            unique(reading, table, subject.as_ref().map(|(of, _)| of), when, &mut of);
            let Some((of, kind)) = subject else { continue };
            overrides.prices.push(PriceRow { of: of.clone(), rule });
            read.push((table, of, kind, rule));
        }
        for (table, of, kind, rule) in read {
            let always = |rule: &PriceRule| (rule.from, rule.tier, rule.above_input_tokens) == (None, None, None);
            // What holds on some occasions only adds to what always holds.
            if always(&rule) || !overrides.prices.iter().any(|row| row.of == of && always(&row.rule)) {
                require_whole(reading, table, &overrides, &of, kind.as_deref());
            }
        }
        overrides
    }
}

impl Said {
    fn apply(&self, traits: &mut ModelTraits, facts: &mut Facts) {
        facts.context_tokens = self.context_tokens.or(facts.context_tokens);
        facts.output_tokens = self.output_tokens.or(facts.output_tokens);
        facts.can = facts.can.and(self.can).without(self.cannot);
        facts.cannot = facts.cannot.and(self.cannot).without(self.can);
        let switched = |capability, now| if self.can.has(capability) { true } else { now && !self.cannot.has(capability) };
        traits.sampling = switched(Capabilities::SAMPLING, traits.sampling);
        traits.forced_tool = switched(Capabilities::FORCED_TOOL, traits.forced_tool);
        traits.structured_output = switched(Capabilities::STRUCTURED_OUTPUT, traits.structured_output);
        traits.system_in_messages = switched(Capabilities::SYSTEM_IN_MESSAGES, traits.system_in_messages);
        if let Some(tokens) = self.output_tokens {
            traits.output_tokens_default = u64::from(tokens);
        }
        if let Some(thinking) = self.reasoning {
            let (reasons, always) = (thinking != Thinking::Unsupported, thinking == Thinking::Always);
            for (capability, yes) in [(Capabilities::REASONING, reasons), (Capabilities::REASONING_ALWAYS, always)] {
                facts.can = if yes { facts.can.and(capability) } else { facts.can.without(capability) };
                facts.cannot = if yes { facts.cannot.without(capability) } else { facts.cannot.and(capability) };
            }
            traits.thinking = thinking;
        }
    }
}

/// Which models a table is about, and the kind of their provider.
fn subject(reading: &Reading<'_>, table: &Table<'_, '_>, providers: &Providers<'_>) -> Option<(Subject, Option<String>)> {
    for key in ["provider", "model"].into_iter().filter(|key| !table.has(key)) {
        reading.fault(&table.spot(key), "is missing (which provider's model this is about, as provider = \"openai\", model = \"gpt-4.1\")");
    }
    let provider = table.name("provider");
    let kind = provider.as_ref().and_then(|name| providers.find(reading, name)).map(|found| found.kind.clone());
    let model = table.name("model")?;
    Some((Subject { provider: provider?.value, model: model.value }, kind))
}

/// Rows must differ in which models they are about, or in when they hold.
fn unique<W: PartialEq>(
    reading: &Reading<'_>,
    table: &Table<'_, '_>,
    of: Option<&Subject>,
    when: W,
    earlier: &mut Vec<(Subject, W, String)>,
) {
    let Some(of) = of else { return };
    match earlier.iter().find(|(known, holds, _)| known == of && *holds == when) {
        Some((.., place)) => {
            reading.fault(&table.spot("model"), format!("{place} is about {:?} of {:?} already", of.model, of.provider));
        }
        None => earlier.push((of.clone(), when, table.at.key.clone())),
    }
}

/// The prices of a table, and when they hold.
fn rule(reading: &Reading<'_>, table: &Table<'_, '_>) -> PriceRule {
    let mut rates = Rates::default();
    for (key, counted) in PRICES {
        let parse = if counted.is_tokens() { Rate::parse } else { Rate::parse_each };
        let rate = table.decimal(key).and_then(|text| reading.accept(&text.at, parse(&text.value)));
        if let Some(rate) = rate {
            rates.set(*counted, rate);
        }
    }
    PriceRule {
        from: table.date("from"),
        tier: table.name("tier").and_then(|text| tier(reading, &text)),
        above_input_tokens: table.count("above_input_tokens", 1..=TOKENS_MAX).and_then(|tokens| u64::try_from(tokens).ok()),
        rates,
    }
}

fn tier(reading: &Reading<'_>, text: &Text) -> Option<ServiceTier> {
    let known = ServiceTier::PRICED.iter().find(|(word, _)| *word == text.value).map(|(_, tier)| *tier);
    if known.is_none() {
        let words: Vec<_> = ServiceTier::PRICED.iter().map(|(word, _)| format!("{word:?}")).collect();
        reading.fault(&text.at, format!("expected one of {}, found {:?}", words.join(", "), text.value));
    }
    known
}

/// A price that is left out is the catalogue's; where that has none, what is left out would be free by mistake.
fn require_whole(reading: &Reading<'_>, table: &Table<'_, '_>, overrides: &Overrides, of: &Subject, kind: Option<&str>) {
    let Some(kind) = kind else { return };
    let known = !of.model.contains('*') && !catalog::facts(kind, overrides.name(&of.provider, &of.model)).prices.is_empty();
    for key in ["input_usd", "output_usd"].into_iter().filter(|key| !known && !table.has(key)) {
        let text = format!("is missing: the catalogue has no price of {:?} to take instead (0 where it is free)", of.model);
        reading.fault(&table.spot(key), text);
    }
}

fn said(reading: &Reading<'_>, table: &Table<'_, '_>) -> Said {
    let tokens = |key| table.count(key, 1..=TOKENS_MAX).and_then(|tokens| u32::try_from(tokens).ok());
    let mut said = Said {
        same_as: table.name("same_as").map(|text| text.value),
        context_tokens: tokens("context_tokens"),
        output_tokens: tokens("output_tokens"),
        reasoning: table.name("reasoning").and_then(|text| reasoning(reading, &text)),
        ..Said::default()
    };
    for (key, capability) in SWITCHES {
        match table.flag(key) {
            Some(true) => said.can = said.can.and(*capability),
            Some(false) => said.cannot = said.cannot.and(*capability),
            None => {}
        }
    }
    said
}

fn reasoning(reading: &Reading<'_>, text: &Text) -> Option<Thinking> {
    let known = REASONING.iter().find(|(word, _)| *word == text.value).map(|(_, thinking)| *thinking);
    if known.is_none() {
        let words: Vec<_> = REASONING.iter().map(|(word, _)| format!("{word:?}")).collect();
        reading.fault(&text.at, format!("expected one of {}, found {:?}", words.join(", "), text.value));
    }
    known
}
