//! What models accept, as data: rows of facts by kind of provider and pattern of name.

use crate::config::values::matches;
use crate::ir::{MaxTokensName, ModelTraits, Thinking};

/// What is known of `model` at a provider of this kind.
pub fn traits(kind: &str, model: &str) -> ModelTraits {
    let mut traits = ModelTraits::default();
    for (kind, model) in family(kind, model).into_iter().chain([(kind, model)]) {
        let rows = TRAITS.iter().filter(|row| row.kinds.contains(&kind) && row.models.iter().any(|pattern| matches(pattern, model)));
        for fact in rows.flat_map(|row| row.facts) {
            fact.apply(&mut traits);
        }
    }
    traits
}

/// Whose model it is, and by which name there, where another vendor hosts it: `us.anthropic.claude-opus-4-8-v1:0` is
/// Anthropic's `claude-opus-4-8-v1:0`, behind whatever region, profile or publisher it stands.
fn family<'m>(kind: &str, model: &'m str) -> Option<(&'static str, &'m str)> {
    if !matches!(kind, "bedrock" | "vertex" | "azure" | "openrouter") {
        return None;
    }
    let from = |name: &str| model.find(name).and_then(|at| model.get(at..));
    from("claude-").map(|name| ("anthropic", name)).or_else(|| from("gemini-").map(|name| ("gemini", name)))
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
const ANTHROPIC: &[&str] = &["anthropic", "vertex"];
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

/// The table. Every row that fits counts, in this order, so that a later row corrects an earlier one.
const TRAITS: &[Row] = &[
    // Anthropic: version by version, since each changed what is refused.
    Row {
        kinds: ANTHROPIC,
        models: &["claude-2*", "claude-instant-*", "claude-3-*"],
        facts: &[Fact::OutputTokens(4096), Fact::Thinking(Thinking::Unsupported), Fact::StructuredOutput(false)],
    },
    Row { kinds: ANTHROPIC, models: &["claude-3-5-*"], facts: &[Fact::OutputTokens(8192)] },
    Row { kinds: ANTHROPIC, models: &["claude-3-7-*"], facts: &[Fact::OutputTokens(64_000), Fact::Thinking(Thinking::Budget)] },
    Row {
        kinds: ANTHROPIC,
        models: &["claude-sonnet-4*", "claude-opus-4*", "claude-haiku-4*"],
        facts: &[
            Fact::OutputTokens(64_000),
            Fact::Thinking(Thinking::Budget),
            Fact::StructuredOutput(false),
            Fact::SamplingTogether(false),
        ],
    },
    Row {
        kinds: ANTHROPIC,
        models: &["claude-opus-4-0*", "claude-opus-4-1*", "claude-opus-4-2025*"],
        facts: &[Fact::OutputTokens(32_000)],
    },
    Row {
        kinds: ANTHROPIC,
        models: &["claude-*-4-5*", "claude-*-4-6*", "claude-*-4-7*", "claude-*-4-8*"],
        facts: &[Fact::StructuredOutput(true)],
    },
    Row {
        kinds: ANTHROPIC,
        models: &["claude-*-4-6*", "claude-*-4-7*", "claude-*-4-8*"],
        facts: &[Fact::OutputTokens(128_000), Fact::Thinking(Thinking::Adaptive)],
    },
    Row { kinds: ANTHROPIC, models: &["claude-*-4-7*", "claude-*-4-8*"], facts: &[Fact::Sampling(false)] },
    Row { kinds: ANTHROPIC, models: &["claude-*-4-8*"], facts: &[Fact::SystemInMessages(true)] },
    Row {
        kinds: ANTHROPIC,
        models: &["claude-sonnet-5*", "claude-opus-5*", "claude-haiku-5*", "claude-fable-*", "claude-mythos-*"],
        facts: &[
            Fact::OutputTokens(128_000),
            Fact::Thinking(Thinking::Adaptive),
            Fact::Sampling(false),
            Fact::SamplingTogether(false),
            Fact::SystemInMessages(true),
        ],
    },
    Row {
        kinds: ANTHROPIC,
        models: &["claude-sonnet-5-5*", "claude-opus-5-5*", "claude-fable-*", "claude-mythos-*"],
        facts: &[Fact::Thinking(Thinking::Always)],
    },
    Row {
        kinds: ANTHROPIC,
        models: &["claude-sonnet-5-5*", "claude-opus-5-5*", "claude-fable-5-1*", "claude-mythos-5-1*"],
        facts: &[Fact::ForcedTool(false)],
    },
    Row { kinds: ANTHROPIC, models: &["claude-mythos-preview*"], facts: &[Fact::SystemInMessages(false)] },
    // Gemini: a budget up to 2.5, a level from 3 on; the larger ones always think.
    Row { kinds: &["gemini"], models: &["gemini-1*", "gemini-2.0*", "gemma-*"], facts: &[Fact::Thinking(Thinking::Unsupported)] },
    Row { kinds: &["gemini"], models: &["gemini-2.5*"], facts: &[Fact::Thinking(Thinking::Budget), Fact::OutputTokens(65_536)] },
    Row { kinds: &["gemini"], models: &["gemini-3*-pro*"], facts: &[Fact::Thinking(Thinking::Always)] },
    // OpenAI: the reasoning models refuse what samples; the others refuse what reasons.
    Row {
        kinds: OPENAI,
        models: &["gpt-3.5-*", "gpt-4*", "chatgpt-*", "ft:gpt-*", "gpt-audio*"],
        facts: &[Fact::OutputTokens(16_384), Fact::Thinking(Thinking::Unsupported)],
    },
    Row {
        kinds: OPENAI,
        models: &["gpt-3.5-*", "gpt-4", "gpt-4-*", "gpt-4o-2024-05-13", "ft:gpt-3.5-*", "ft:gpt-4-*"],
        facts: &[Fact::OutputTokens(4096)],
    },
    Row { kinds: OPENAI, models: &["gpt-3.5-*", "gpt-4", "gpt-4-*", "gpt-4o-2024-05-13"], facts: &[Fact::StructuredOutput(false)] },
    Row { kinds: OPENAI, models: &["gpt-4.1*", "ft:gpt-4.1*"], facts: &[Fact::OutputTokens(32_768)] },
    Row { kinds: OPENAI, models: &["gpt-5*", "gpt-6*"], facts: &[Fact::OutputTokens(128_000), Fact::Sampling(false)] },
    Row {
        kinds: OPENAI,
        models: &["gpt-5*-chat", "gpt-5*-chat-latest"],
        facts: &[Fact::OutputTokens(16_384), Fact::Sampling(true), Fact::Thinking(Thinking::Unsupported)],
    },
    Row { kinds: OPENAI, models: &["o1*", "o3*", "o4*", "ft:o*"], facts: &[Fact::OutputTokens(100_000), Fact::Sampling(false)] },
    // Reasoning that no effort switches off.
    Row {
        kinds: OPENAI,
        models: &["o1*", "o3*", "o4*", "ft:o*", "gpt-5", "gpt-5-*", "gpt-6-astra*"],
        facts: &[Fact::Thinking(Thinking::Always)],
    },
    Row { kinds: OPENAI, models: &["gpt-5-chat*"], facts: &[Fact::Thinking(Thinking::Unsupported)] },
    Row { kinds: OPENAI, models: &["o1-mini*", "o1-preview*"], facts: &[Fact::DeveloperRole(false)] },
    // Their streams close after the finish reason: Gemini's and Bedrock's grammar has no end mark, Perplexity's recordings no `[DONE]`.
    Row { kinds: &["vertex"], models: &["gemini-*"], facts: &[Fact::EndsWithoutMark(true)] },
    Row { kinds: &["perplexity", "huggingface", "dashscope", "gemini", "bedrock"], models: ANY, facts: &[Fact::EndsWithoutMark(true)] },
    // OpenAI-compatible vendors and servers: `system` is what all of them understand.
    Row { kinds: COMPATIBLE, models: ANY, facts: &[Fact::DeveloperRole(false), Fact::MaxTokens(MaxTokensName::MaxTokens)] },
    // They know the newer name alone, or both.
    Row { kinds: &["groq", "xai", "cerebras"], models: ANY, facts: &[Fact::MaxTokens(MaxTokensName::MaxCompletionTokens)] },
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
