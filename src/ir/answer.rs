//! An answer in the neutral form.

use super::{Extension, Part, Text};

/// One whole answer.
#[derive(Clone, Debug, Default)]
pub struct Answer<'a> {
    /// The provider's id for it.
    pub id: Option<Text<'a>>,
    /// The model that answered.
    pub model: Option<Text<'a>>,
    /// Seconds since the Unix epoch.
    pub created: Option<u64>,
    /// What was said, in order.
    pub parts: Vec<Part<'a>>,
    /// Why it ended.
    pub finish: Option<Finish<'a>>,
    /// What it cost in tokens.
    pub usage: Option<Usage>,
    /// Members that the neutral form does not model.
    pub extensions: Vec<Extension<'a>>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish<'a> {
    /// The unified reason.
    pub reason: FinishReason,
    /// The provider's own word.
    pub raw: Text<'a>,
    /// The stop text that was met.
    pub stop_sequence: Option<Text<'a>>,
    /// Why the content was refused, where the provider says.
    pub explanation: Option<Text<'a>>,
}

impl<'a> Finish<'a> {
    /// A reason in the provider's word.
    pub fn new(reason: FinishReason, raw: Text<'a>) -> Self {
        Self { reason, raw, stop_sequence: None, explanation: None }
    }

    /// The same, owned.
    pub fn into_owned(self) -> Finish<'static> {
        Finish {
            reason: self.reason,
            raw: self.raw.into_owned(),
            stop_sequence: self.stop_sequence.map(Text::into_owned),
            explanation: self.explanation.map(Text::into_owned),
        }
    }
}

/// The unified reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or met a stop text.
    Stop,
    /// The output bound or the context window is full.
    Length,
    /// The model waits for tool results.
    ToolCalls,
    /// Refused for its content.
    ContentFilter,
    /// The provider's own tools want another turn (Anthropic's `pause_turn`).
    Pause,
    /// A word that this version does not know.
    Other,
}

impl FinishReason {
    /// The log field's word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Pause => "pause",
            Self::Other => "other",
        }
    }
}

/// Token counters. Each may be absent, and absent means not told, never zero; in a stream they are cumulative, so a
/// later value replaces an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input_tokens: Option<u64>,
    /// Of these, read from the provider's prompt cache.
    pub cache_read_tokens: Option<u64>,
    /// Of these, written to the provider's prompt cache.
    pub cache_write_tokens: Option<u64>,
    /// Of the written, those kept for an hour (priced apart).
    pub cache_write_1h_tokens: Option<u64>,
    /// All output tokens, reasoning included.
    pub output_tokens: Option<u64>,
    /// Of these, spent on reasoning.
    pub reasoning_tokens: Option<u64>,
    /// Of the input, audio.
    pub input_audio_tokens: Option<u64>,
    /// Of the output, audio.
    pub output_audio_tokens: Option<u64>,
}

impl Usage {
    /// Takes over what `later` tells; what it does not tell stays.
    pub fn merge(&mut self, later: &Self) {
        let take = |own: &mut Option<u64>, other: Option<u64>| {
            if other.is_some() {
                *own = other;
            }
        };
        take(&mut self.input_tokens, later.input_tokens);
        take(&mut self.cache_read_tokens, later.cache_read_tokens);
        take(&mut self.cache_write_tokens, later.cache_write_tokens);
        take(&mut self.cache_write_1h_tokens, later.cache_write_1h_tokens);
        take(&mut self.output_tokens, later.output_tokens);
        take(&mut self.reasoning_tokens, later.reasoning_tokens);
        take(&mut self.input_audio_tokens, later.input_audio_tokens);
        take(&mut self.output_audio_tokens, later.output_audio_tokens);
    }

    /// Input that was neither read from nor written to the provider's prompt cache. Never negative, whatever the provider says.
    pub fn uncached_input_tokens(&self) -> Option<u64> {
        let cached = self.cache_read_tokens.unwrap_or(0).saturating_add(self.cache_write_tokens.unwrap_or(0));
        self.input_tokens.map(|all| all.saturating_sub(cached))
    }
}
