//! A request in the neutral form.

use std::borrow::Cow;

use super::{Dialect, Number, Schema, Text};
use crate::base::json::Raw;

/// One chat request.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The model asked for, as the caller spelled it.
    pub model: Cow<'a, str>,
    /// The conversation in order, system and developer turns included where they stood.
    pub messages: Vec<Message<'a>>,
    /// Tools on offer, in order (the order is part of the provider's prompt cache).
    pub tools: Vec<Tool<'a>>,
    /// Whether and which tool must be called.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether several tools may be called in one turn.
    pub parallel_tool_calls: Option<bool>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<Number<'a>>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<Number<'a>>,
    /// Sampling among the k likeliest tokens.
    pub top_k: Option<Number<'a>>,
    /// Repeatable sampling.
    pub seed: Option<Number<'a>>,
    /// Penalty on tokens seen at all, −2 to 2.
    pub presence_penalty: Option<Number<'a>>,
    /// Penalty on tokens by their count, −2 to 2.
    pub frequency_penalty: Option<Number<'a>>,
    /// How many answers are wanted; `None` and 1 are the same.
    pub answers: Option<u64>,
    /// Texts at which the answer stops.
    pub stop: Vec<Text<'a>>,
    /// The asked-for form of the answer.
    pub output: Option<OutputFormat<'a>>,
    /// How much the model may think first.
    pub reasoning: Option<Reasoning>,
    /// Bound on output tokens, reasoning included.
    pub output_tokens_max: Option<u64>,
    /// Whether the answer comes as a stream.
    pub stream: bool,
    /// Whether the caller wants the usage in a stream of a dialect that tells it only on request.
    pub stream_usage: bool,
    /// The end user, as an opaque id.
    pub user: Option<Text<'a>>,
    /// The wanted class of service (`auto`, `flex`, `priority`, …), in the caller's words.
    pub service_tier: Option<Text<'a>>,
    /// Top-level members that this form does not model.
    pub extensions: Vec<Extension<'a>>,
}

impl<'a> Request<'a> {
    /// The members of `dialect`'s own that were read inside of another: those whose names begin with `prefix`, without it.
    pub fn nested<'r>(&'r self, dialect: Dialect, prefix: &'static str) -> impl Iterator<Item = (&'r str, Raw<'a>)> + use<'r, 'a> {
        let own = self.extensions.iter().filter(move |e| e.dialect == dialect);
        own.filter_map(move |e| e.name.strip_prefix(prefix).map(|name| (name, e.value)))
    }
}

/// What the neutral form does not model: kept verbatim, re-emitted only by the dialect it came from, a loss elsewhere.
#[derive(Clone, Debug)]
pub struct Extension<'a> {
    /// Whose member it is.
    pub dialect: Dialect,
    /// The member's name.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: Raw<'a>,
}

impl Extension<'_> {
    /// Whether it says how the provider served an answer, not what the model said: leaving it out is no loss to name.
    pub fn tells_only_of_serving(&self) -> bool {
        const NAMES: [&str; 10] = [
            "system_fingerprint",
            "service_tier",
            "inference_geo",
            "object",
            "provider",
            "timings",
            "x_groq",
            "metrics",
            "performanceConfig",
            "serviceTier",
        ];
        NAMES.contains(&&*self.name)
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions above the conversation.
    System,
    /// OpenAI's name for the same on newer models; kept apart so that it survives a round trip.
    Developer,
    /// The end user, and tool results.
    User,
    /// The model.
    Assistant,
}

/// One turn.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Who speaks. Tool results are parts of a user turn.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part<'a>>,
    /// The participant's name, where the dialect has one.
    pub name: Option<Text<'a>>,
    /// Members that the neutral form does not model.
    pub extensions: Vec<Extension<'a>>,
}

impl<'a> Message<'a> {
    /// A turn of these parts.
    pub fn new(role: Role, parts: Vec<Part<'a>>) -> Self {
        Self { role, parts, name: None, extensions: Vec::new() }
    }
}

/// One piece of a turn or of an answer.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    /// Words.
    Text {
        /// The words.
        text: Text<'a>,
        /// Where its claims come from.
        citations: Option<Citations<'a>>,
        /// A prompt-cache mark behind this part.
        cache: Option<CacheMark>,
    },
    /// Words by which the model declined.
    Refusal(Text<'a>),
    /// The model's thinking, to be replayed unmodified.
    Reasoning {
        /// The readable thinking; may be empty where only the signature is told.
        text: Text<'a>,
        /// The provider's proof that the thinking is its own: see [`super::proof`]. Where the text is empty it belongs to
        /// the part that follows (Gemini signs a tool call or a text).
        signature: Option<Text<'a>>,
    },
    /// Thinking that only the provider can read: a proof without words, see [`super::proof`].
    RedactedReasoning(Text<'a>),
    /// The model asks for a tool.
    ToolCall {
        /// The call's id, by which its result is paired.
        id: Text<'a>,
        /// The tool's name.
        name: Text<'a>,
        /// The arguments: the text of a JSON object (a free-form tool's is any text).
        arguments: Text<'a>,
        /// Whether the tool is a free-form one (`type: "custom"` in OpenAI's words).
        custom: bool,
        /// A prompt-cache mark behind this part.
        cache: Option<CacheMark>,
    },
    /// What the tool said.
    ToolResult {
        /// The call's id.
        id: Text<'a>,
        /// The result: text and media parts.
        parts: Vec<Part<'a>>,
        /// Whether the tool failed.
        error: bool,
        /// A prompt-cache mark behind this part.
        cache: Option<CacheMark>,
    },
    /// An image, a document, a sound, a film.
    Media(Media<'a>),
    /// A part that the neutral form does not model.
    Opaque {
        /// Whose part it is.
        dialect: Dialect,
        /// The part's `type`.
        kind: Cow<'a, str>,
        /// The part, verbatim.
        raw: Raw<'a>,
    },
}

impl<'a> Part<'a> {
    /// Words without marks.
    pub fn text(text: Text<'a>) -> Self {
        Self::Text { text, citations: None, cache: None }
    }
}

/// Citations of a text part, kept in their dialect's form.
#[derive(Clone, Debug)]
pub struct Citations<'a> {
    /// Whose form it is.
    pub dialect: Dialect,
    /// A JSON array.
    pub raw: Raw<'a>,
}

/// Which sense a medium is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A still picture.
    Image,
    /// A sound.
    Audio,
    /// A text document or PDF.
    Document,
    /// A film.
    Video,
}

/// A medium and where its bytes are.
#[derive(Clone, Debug)]
pub struct Media<'a> {
    /// Which sense it is for.
    pub kind: MediaKind,
    /// Where its bytes are.
    pub source: Source<'a>,
    /// A file name or title.
    pub title: Option<Text<'a>>,
    /// How closely to look (OpenAI's `detail`).
    pub detail: Option<Text<'a>>,
    /// Members that the neutral form does not model (Anthropic's document `context`, `citations`).
    pub extensions: Vec<Extension<'a>>,
    /// A prompt-cache mark behind this part.
    pub cache: Option<CacheMark>,
}

/// Where a medium's bytes are.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// At a web address, for the provider to fetch.
    Url(Text<'a>),
    /// Here, in base64.
    Base64 {
        /// The media type (`image/png`).
        media_type: Text<'a>,
        /// The base64 text.
        data: Text<'a>,
    },
    /// Here, as plain text (a document).
    Plain(Text<'a>),
    /// Uploaded to this provider before; means nothing elsewhere.
    FileId {
        /// Whose file it is.
        dialect: Dialect,
        /// The file's id.
        id: Text<'a>,
    },
    /// A source of the dialect's own kind.
    Opaque {
        /// Whose it is.
        dialect: Dialect,
        /// The `source` member, verbatim.
        raw: Raw<'a>,
    },
}

/// The prompt up to here is worth caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheMark {
    /// For how long, where the caller said.
    pub ttl: Option<CacheTtl>,
}

/// How long a marked prefix is kept: the vendors' own steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheTtl {
    /// Anthropic `5m`.
    Minutes5,
    /// OpenAI `30m`.
    Minutes30,
    /// Anthropic `1h`.
    Hour1,
    /// OpenAI `12h`.
    Hours12,
}

/// A tool on offer.
#[derive(Clone, Debug)]
pub enum Tool<'a> {
    /// A function with a JSON schema.
    Function {
        /// Its name.
        name: Text<'a>,
        /// What it is for.
        description: Option<Text<'a>>,
        /// The JSON schema of its arguments.
        parameters: Option<Schema<'a>>,
        /// Whether arguments must match the schema exactly.
        strict: Option<bool>,
        /// A prompt-cache mark behind this tool.
        cache: Option<CacheMark>,
        /// Members that the neutral form does not model.
        extensions: Vec<Extension<'a>>,
    },
    /// A free-form tool: its argument is any text (OpenAI's `custom`).
    Custom {
        /// Its name.
        name: Text<'a>,
        /// What it is for.
        description: Option<Text<'a>>,
        /// The grammar of its text, verbatim.
        format: Option<Raw<'a>>,
    },
    /// A tool that the provider runs, or another kind of its own.
    Opaque {
        /// Whose tool it is.
        dialect: Dialect,
        /// The tool's `type`.
        kind: Cow<'a, str>,
        /// The tool, verbatim.
        raw: Raw<'a>,
    },
}

impl<'a> Tool<'a> {
    /// The name of a tool that the caller defined.
    pub fn name(&self) -> Option<&Text<'a>> {
        match self {
            Self::Function { name, .. } | Self::Custom { name, .. } => Some(name),
            Self::Opaque { .. } => None,
        }
    }
}

/// Whether and which tool must be called.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice<'a> {
    /// The model decides.
    Auto,
    /// No tool.
    None,
    /// Some tool.
    Required,
    /// This tool.
    Named(Text<'a>),
    /// One of these, `required` or not (OpenAI's `allowed_tools`).
    Allowed {
        /// Whether one of them must be called.
        required: bool,
        /// Their names.
        names: Vec<Text<'a>>,
    },
}

/// The asked-for form of the answer.
#[derive(Clone, Debug)]
pub enum OutputFormat<'a> {
    /// Any text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON by a schema.
    JsonSchema {
        /// The schema's name.
        name: Option<Text<'a>>,
        /// What it is for.
        description: Option<Text<'a>>,
        /// The schema.
        schema: Schema<'a>,
        /// Whether the answer must match exactly.
        strict: Option<bool>,
    },
}

/// How much the model may think first. Dialects say it as an effort, as a budget, or as a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// On, off, or up to the model.
    pub mode: Option<ReasoningMode>,
    /// How hard.
    pub effort: Option<Effort>,
    /// At most so many tokens.
    pub budget_tokens: Option<u64>,
    /// Whether a readable summary is wanted; `None` leaves it to the provider.
    pub summary: Option<bool>,
}

/// Whether to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningMode {
    /// Think, within the budget.
    Enabled,
    /// Think as much as the model sees fit.
    Adaptive,
    /// Do not think.
    Disabled,
}

/// How hard to think, in the vendors' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words are the vendors' own and say it")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    /// From the wire word.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::Xhigh,
            "max" => Self::Max,
            _ => return None,
        })
    }

    /// The wire word.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// What a codec must know of the target's model to write a request it accepts. Facts about models, never code:
/// they come from the catalogue, and an unknown model gets the defaults, which strip nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTraits {
    /// The upper bound on output tokens that is sent where the dialect requires one and the caller gave none.
    pub output_tokens_default: u64,
    /// Whether `temperature`, `top_p` and `top_k` are accepted.
    pub sampling: bool,
    /// Whether `temperature` and `top_p` may be given together.
    pub sampling_together: bool,
    /// How thinking is asked for.
    pub thinking: Thinking,
    /// Whether a call of some or of one tool can be forced.
    pub forced_tool: bool,
    /// Whether a structured output is native; otherwise a forced tool stands in for it.
    pub structured_output: bool,
    /// Whether system turns may stand in the middle of the conversation.
    pub system_in_messages: bool,
    /// Which name the output bound has (OpenAI's newer and older word).
    pub max_tokens_name: MaxTokensName,
    /// Whether the target knows the `developer` role.
    pub developer_role: bool,
    /// Whether the provider wants the assistant's `reasoning_content` back.
    pub replays_reasoning: bool,
    /// Whether its streams end by closing after the finish reason, without the dialect's end mark.
    pub ends_without_mark: bool,
    /// Whether `stream_options` is known (OpenAI's question for the usage of a stream).
    pub stream_options: bool,
    /// Whether `top_k` is known beside OpenAI's own members.
    pub top_k: bool,
    /// Whether the seed is called `random_seed`.
    pub random_seed: bool,
    /// Whether ids of tool calls must have nine letters and digits.
    pub short_call_ids: bool,
}

impl Default for ModelTraits {
    fn default() -> Self {
        Self {
            output_tokens_default: 32_000,
            sampling: true,
            sampling_together: true,
            thinking: Thinking::Adaptive,
            forced_tool: true,
            structured_output: true,
            system_in_messages: false,
            max_tokens_name: MaxTokensName::MaxCompletionTokens,
            developer_role: true,
            replays_reasoning: false,
            ends_without_mark: false,
            stream_options: true,
            top_k: false,
            random_seed: false,
            short_call_ids: false,
        }
    }
}

/// How a model is asked to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// By effort; the model finds the budget (Claude 4.6 and later, OpenAI's reasoning models).
    Adaptive,
    /// By a budget in tokens (Claude up to 4.5).
    Budget,
    /// Always; it cannot be switched off.
    Always,
    /// Not at all.
    Unsupported,
}

/// OpenAI's two names for the output bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxTokensName {
    /// `max_completion_tokens`.
    MaxCompletionTokens,
    /// `max_tokens`: older hosts know only this.
    MaxTokens,
}
