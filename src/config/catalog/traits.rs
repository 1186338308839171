//! What models accept, as data: rows of facts by kind of provider and pattern of name.

use super::facts::{Capabilities, Facts, Mode};
use super::{family, models};
use crate::config::values::matches;
use crate::ir::{MaxTokensName, ModelTraits, Thinking};

/// What codecs must know of `model` at a provider of this kind.
///
/// Three layers, of which a later one corrects an earlier one: what holds of a family, so that its newest model is
/// spoken to rightly before any list has it; what the table of models tells; and the host's own ways. The first two ask
/// for a hosted model by its maker's name first, and by its host's then.
pub fn traits(kind: &str, model: &str) -> ModelTraits {
    let mut traits = ModelTraits::default();
    let names = || family(kind, model).into_iter().chain([(kind, model)]);
    names().for_each(|(kind, model)| apply(FAMILIES, kind, model, &mut traits));
    names()
        .filter_map(|(kind, model)| Some((kind, models::lookup(kind, model)?)))
        .for_each(|(kind, facts)| told(kind, &facts, &mut traits));
    apply(HOSTS, kind, model, &mut traits);
    traits
}

fn apply(rows: &[Row], kind: &str, model: &str, traits: &mut ModelTraits) {
    let rows = rows.iter().filter(|row| row.kinds.contains(&kind) && row.models.iter().any(|pattern| matches(pattern, model)));
    rows.flat_map(|row| row.facts).for_each(|fact| fact.apply(traits));
}

/// Takes over what is told of a model. Silence changes nothing: the lists leave out as often as they deny.
pub(in crate::config) fn told(kind: &str, facts: &Facts, traits: &mut ModelTraits) {
    if let (Some(tokens), Some(Mode::Chat | Mode::Responses)) = (facts.output_tokens, facts.mode) {
        traits.output_tokens_default = u64::from(tokens);
    }
    let denied = |capability| facts.knows(capability) == Some(false);
    traits.sampling &= !denied(Capabilities::SAMPLING);
    traits.forced_tool &= !denied(Capabilities::FORCED_TOOL) && !denied(Capabilities::TOOL_CHOICE);
    traits.system_in_messages |= facts.can.has(Capabilities::SYSTEM_IN_MESSAGES);
    traits.structured_output = structured_output(kind, facts).unwrap_or(traits.structured_output);
    traits.thinking = thinking(kind, facts).unwrap_or(traits.thinking);
}

fn structured_output(kind: &str, facts: &Facts) -> Option<bool> {
    let native = facts.knows(Capabilities::NATIVE_STRUCTURED_OUTPUT);
    let denied = facts.knows(Capabilities::STRUCTURED_OUTPUT).filter(|yes| !yes);
    let own = if kind == "bedrock" { facts.knows(Capabilities::BEDROCK_STRUCTURED_OUTPUT) } else { None };
    own.or(native).or(denied)
}

fn thinking(kind: &str, facts: &Facts) -> Option<Thinking> {
    let denied = |capability| facts.knows(capability) == Some(false);
    if denied(Capabilities::REASONING) {
        return Some(Thinking::Unsupported);
    }
    if !facts.can.has(Capabilities::REASONING) {
        return None;
    }
    // Which level is the least that a Gemini takes tells whether its reasoning ends at nothing.
    let least = if matches!(kind, "gemini" | "vertex") { Capabilities::EFFORT_MINIMAL } else { Capabilities::EFFORT_NONE };
    if facts.can.has(Capabilities::REASONING_ALWAYS) || denied(least) {
        return Some(Thinking::Always);
    }
    facts.can.has(Capabilities::ADAPTIVE_REASONING).then_some(Thinking::Adaptive)
}

/// Facts about some models of some kinds of provider.
struct Row {
    kinds: &'static [&'static str],
    models: &'static [&'static str],
    facts: &'static [Fact],
}

/// One deviation from the defaults.
enum Fact {
    OutputTokens(u64),
    Sampling(bool),
    SamplingTogether(bool),
    Thinking(Thinking),
    ForcedTool(bool),
    StructuredOutput(bool),
    SystemInMessages(bool),
    MaxTokens(MaxTokensName),
    DeveloperRole(bool),
    ReplaysReasoning(bool),
    EndsWithoutMark(bool),
    StreamOptions(bool),
    TopK(bool),
    RandomSeed(bool),
    ShortCallIds(bool),
}

impl Fact {
    fn apply(&self, traits: &mut ModelTraits) {
        match self {
            Self::OutputTokens(tokens) => traits.output_tokens_default = *tokens,
            Self::Sampling(yes) => traits.sampling = *yes,
            Self::SamplingTogether(yes) => traits.sampling_together = *yes,
            Self::Thinking(thinking) => traits.thinking = *thinking,
            Self::ForcedTool(yes) => traits.forced_tool = *yes,
            Self::StructuredOutput(yes) => traits.structured_output = *yes,
            Self::SystemInMessages(yes) => traits.system_in_messages = *yes,
            Self::MaxTokens(name) => traits.max_tokens_name = *name,
            Self::DeveloperRole(yes) => traits.developer_role = *yes,
            Self::ReplaysReasoning(yes) => traits.replays_reasoning = *yes,
            Self::EndsWithoutMark(yes) => traits.ends_without_mark = *yes,
            Self::StreamOptions(yes) => traits.stream_options = *yes,
            Self::TopK(yes) => traits.top_k = *yes,
            Self::RandomSeed(yes) => traits.random_seed = *yes,
            Self::ShortCallIds(yes) => traits.short_call_ids = *yes,
        }
    }
}

const ANY: &[&str] = &["*"];
const ANTHROPIC: &[&str] = &["anthropic"];
const GEMINI: &[&str] = &["gemini"];
const OPENAI: &[&str] = &["openai", "azure"];
/// Vendors and servers that speak OpenAI's dialect with models of others.
const COMPATIBLE: &[&str] = &[
    "mistral",
    "groq",
    "deepseek",
    "xai",
    "openrouter",
    "together",
    "fireworks",
    "cerebras",
    "perplexity",
    "cohere",
    "huggingface",
    "nvidia",
    "moonshot",
    "zai",
    "sambanova",
    "nebius",
    "dashscope",
    "aihubmix",
    "chutes",
    "crusoe",
    "helicone",
    "nanogpt",
    "parasail",
    "poe",
    "publicai",
    "reka",
    "scaleway",
    "synthetic",
    "venice",
    "xiaomi",
    "ollama",
    "vllm",
    "llamacpp",
    "lmstudio",
    "sglang",
];

/// What holds of families, and of models that are so old that the lists have dropped what they say of them. Every row
/// that fits counts, in this order, so that a later row corrects an earlier one.
const FAMILIES: &[Row] = &[
    // The lists have dropped these models' bounds, or never had them.
    Row {
        kinds: ANTHROPIC,
        models: &["claude-2*", "claude-instant-*", "claude-3-*"],
        facts: &[Fact::OutputTokens(4096), Fact::Thinking(Thinking::Unsupported), Fact::StructuredOutput(false)],
    },
    Row { kinds: ANTHROPIC, models: &["claude-3-5-*"], facts: &[Fact::OutputTokens(8192)] },
    Row { kinds: ANTHROPIC, models: &["claude-3-7-*"], facts: &[Fact::OutputTokens(64_000), Fact::Thinking(Thinking::Budget)] },
    // Up to 4.5 thinking takes a budget; the table tells who is asked by effort, and whose structured output is native.
    Row {
        kinds: ANTHROPIC,
        models: &["claude-sonnet-4*", "claude-opus-4*", "claude-haiku-4*"],
        facts: &[Fact::OutputTokens(64_000), Fact::Thinking(Thinking::Budget), Fact::StructuredOutput(false)],
    },
    Row {
        kinds: ANTHROPIC,
        models: &["claude-opus-4-0*", "claude-opus-4-1*", "claude-opus-4-2025*"],
        facts: &[Fact::OutputTokens(32_000)],
    },
    // From the fifth generation on: what all of them share, for those that no list has yet.
    Row {
        kinds: ANTHROPIC,
        models: CLAUDE_5,
        facts: &[
            Fact::OutputTokens(128_000),
            Fact::Thinking(Thinking::Adaptive),
            Fact::Sampling(false),
            Fact::StructuredOutput(true),
            Fact::SystemInMessages(true),
        ],
    },
    Row { kinds: ANTHROPIC, models: &["claude-fable-*", "claude-mythos-*"], facts: &[Fact::Thinking(Thinking::Always)] },
    // Gemini: a budget up to 2.5, a level from 3 on, of which the larger ones have none for nothing. The table tells
    // whether a model thinks, and not how it is asked.
    Row {
        kinds: GEMINI,
        models: &["gemini-1*", "gemini-2.0*", "gemma-2*", "gemma-3*", "learnlm-*"],
        facts: &[Fact::Thinking(Thinking::Unsupported)],
    },
    Row { kinds: GEMINI, models: &["gemini-2.5*"], facts: &[Fact::Thinking(Thinking::Budget), Fact::OutputTokens(65_536)] },
    Row { kinds: GEMINI, models: &["gemini-2.5*-tts*", "gemini-2.5*-image*"], facts: &[Fact::Thinking(Thinking::Unsupported)] },
    Row { kinds: GEMINI, models: &["gemini-3*-pro*"], facts: &[Fact::Thinking(Thinking::Always)] },
    // OpenAI: the reasoning models refuse what samples; the others refuse what reasons. The table is silent on both.
    Row {
        kinds: OPENAI,
        models: &["gpt-3.5-*", "gpt-35-*", "gpt-4*", "chatgpt-*", "ft:gpt-*", "gpt-audio*"],
        facts: &[Fact::OutputTokens(16_384), Fact::Thinking(Thinking::Unsupported)],
    },
    // Names of these are often owners' own, with the model's at their beginning.
    Row {
        kinds: OPENAI,
        models: &["gpt-3.5-*", "gpt-35-*", "gpt-4", "gpt-4-*", "gpt-4o-2024-05-13", "ft:gpt-3.5-*", "ft:gpt-4-*"],
        facts: &[Fact::OutputTokens(4096)],
    },
    Row {
        kinds: OPENAI,
        models: &["gpt-3.5-*", "gpt-35-*", "gpt-4", "gpt-4-*", "gpt-4o-2024-05-13"],
        facts: &[Fact::StructuredOutput(false)],
    },
    Row { kinds: OPENAI, models: &["gpt-5*", "gpt-6*"], facts: &[Fact::OutputTokens(128_000), Fact::Sampling(false)] },
    Row { kinds: OPENAI, models: &["o1*", "o3*", "o4*", "ft:o*"], facts: &[Fact::OutputTokens(100_000), Fact::Sampling(false)] },
    // Reasoning that no effort switches off; the table knows who of the later ones takes the effort `none`.
    Row { kinds: OPENAI, models: &["o1*", "o3*", "o4*", "ft:o*", "gpt-5", "gpt-5-*"], facts: &[Fact::Thinking(Thinking::Always)] },
    // These do not reason, although their names begin like those that do.
    Row {
        kinds: OPENAI,
        models: &["gpt-5*-chat", "gpt-5*-chat-latest", "gpt-5-chat*"],
        facts: &[Fact::OutputTokens(16_384), Fact::Sampling(true), Fact::Thinking(Thinking::Unsupported)],
    },
    // Mistral's that do not reason.
    Row {
        kinds: &["mistral"],
        models: &[
            "codestral-*",
            "ministral-*",
            "pixtral-*",
            "voxtral-*",
            "open-mi*",
            "mistral-large-3*",
            "mistral-large-2*",
            "mistral-tiny*",
        ],
        facts: &[Fact::Thinking(Thinking::Unsupported)],
    },
    // No list tells that temperature and top_p exclude each other.
    Row {
        kinds: ANTHROPIC,
        models: &[
            "claude-sonnet-4*",
            "claude-opus-4*",
            "claude-haiku-4*",
            "claude-sonnet-5*",
            "claude-opus-5*",
            "claude-haiku-5*",
            "claude-fable-*",
            "claude-mythos-*",
        ],
        facts: &[Fact::SamplingTogether(false)],
    },
    Row { kinds: ANTHROPIC, models: &["claude-mythos-preview*"], facts: &[Fact::SystemInMessages(false)] },
    Row { kinds: OPENAI, models: &["o1-mini*", "o1-preview*"], facts: &[Fact::DeveloperRole(false)] },
];

/// Anthropic's models from the fifth generation on.
const CLAUDE_5: &[&str] = &["claude-sonnet-5*", "claude-opus-5*", "claude-haiku-5*", "claude-fable-*", "claude-mythos-*"];

/// The ways of hosts, and where the table is wrong about their models. Every row that fits counts, in this order.
const HOSTS: &[Row] = &[
    // Their streams close after the finish reason: Gemini's and Bedrock's grammar has no end mark, Perplexity's recordings no `[DONE]`.
    Row { kinds: &["vertex"], models: &["gemini-*"], facts: &[Fact::EndsWithoutMark(true)] },
    Row { kinds: &["perplexity", "huggingface", "gemini", "bedrock"], models: ANY, facts: &[Fact::EndsWithoutMark(true)] },
    // OpenAI-compatible vendors and servers: `system` is what all of them understand.
    Row { kinds: COMPATIBLE, models: ANY, facts: &[Fact::DeveloperRole(false), Fact::MaxTokens(MaxTokensName::MaxTokens)] },
    // They know the newer name alone, or both.
    Row { kinds: &["groq", "xai", "cerebras"], models: ANY, facts: &[Fact::MaxTokens(MaxTokensName::MaxCompletionTokens)] },
    // OpenRouter tells the usage of each stream, asked or not.
    Row { kinds: &["openrouter"], models: ANY, facts: &[Fact::StreamOptions(false)] },
    // Mistral's schema has no `stream_options`: each stream tells its usage with the last piece.
    Row { kinds: &["mistral"], models: ANY, facts: &[Fact::StreamOptions(false), Fact::RandomSeed(true), Fact::ShortCallIds(true)] },
    Row {
        kinds: &["mistral", "openrouter", "together", "fireworks", "vllm", "llamacpp", "sglang"],
        models: ANY,
        facts: &[Fact::TopK(true)],
    },
    // DeepSeek's thinking models want their reasoning back on every turn that calls tools; the old reasoner refuses it.
    Row { kinds: &["deepseek"], models: ANY, facts: &[Fact::ReplaysReasoning(true)] },
    Row {
        kinds: &["deepseek"],
        models: &["deepseek-reasoner*", "deepseek-r1*"],
        facts: &[Fact::ReplaysReasoning(false), Fact::ForcedTool(false), Fact::Thinking(Thinking::Always), Fact::OutputTokens(65_536)],
    },
    Row {
        kinds: &["deepseek"],
        models: &["deepseek-chat*", "deepseek-coder*", "deepseek-v3"],
        facts: &[Fact::ReplaysReasoning(false), Fact::Thinking(Thinking::Unsupported), Fact::OutputTokens(8192)],
    },
    Row { kinds: &["together"], models: ANY, facts: &[Fact::ReplaysReasoning(true)] },
    Row { kinds: &["xai"], models: &["*non-reasoning*"], facts: &[Fact::Thinking(Thinking::Unsupported)] },
];
