//! The neutral form of a request, an answer and a stream: borrowed from the wire text, never serialised, no I/O.
//!
//! Names follow the OpenTelemetry GenAI conventions where they have one. Wire shapes live in [`crate::dialect`], so
//! this form may change freely. What it does not model travels as [`Extension`] or [`Part::Opaque`] and returns only
//! to the dialect it came from.

mod answer;
mod embed;
mod event;
pub mod proof;
mod request;
mod schema;
mod text;

pub use answer::{Answer, Finish, FinishReason, ServiceTier, Usage};
pub use embed::{EmbedContent, EmbedInput, EmbedNames, EmbedRequest, EmbedTask, Embeddings, Encoding, INPUTS_MAX, Vector};
pub use event::{Delta, Event, Fold, PartStart, unfold};
pub use request::{
    CacheMark, CacheTtl, Citations, Effort, Extension, MaxTokensName, Media, MediaKind, Message, ModelTraits, OutputFormat, Part,
    Reasoning, ReasoningMode, Request, Role, Source, Thinking, Tool, ToolChoice,
};
pub use schema::Schema;
pub use text::{Number, Text};

/// A wire schema: what the app speaks, or what the provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI Chat Completions (and the embeddings and models endpoints beside it).
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini `generateContent`.
    Gemini,
    /// Amazon Bedrock Converse.
    Bedrock,
}

impl Dialect {
    /// Every dialect, for laws over all pairs.
    pub const ALL: [Self; 5] = [Self::OpenAiChat, Self::OpenAiResponses, Self::Anthropic, Self::Gemini, Self::Bedrock];

    /// The name in logs, metrics and messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai_chat",
            Self::OpenAiResponses => "openai_responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
        }
    }
}

/// What the caller asks for: the OpenTelemetry `gen_ai.operation.name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A turn of a conversation.
    Chat,
    /// Vectors for texts.
    Embeddings,
    /// How many tokens a request would have.
    CountTokens,
    /// Which models there are.
    Models,
    /// Whatever the path means to its provider: forwarded unread.
    Opaque,
}

impl Operation {
    /// The name in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
            Self::CountTokens => "count_tokens",
            Self::Models => "models",
            Self::Opaque => "opaque",
        }
    }
}
