//! An answer in the neutral form.

use super::{Extension, Part, Text};
use crate::base::money::NanoUsd;

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

/// What an answer used. Each counter may be absent, and absent means not told, never zero; in a stream they are
/// cumulative, so a later value replaces an earlier one. What is told beside the tokens is what prices hang on.
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
    /// Of the written, those kept for twelve hours or longer (priced apart).
    pub cache_write_12h_tokens: Option<u64>,
    /// All output tokens, reasoning included.
    pub output_tokens: Option<u64>,
    /// Of these, spent on reasoning.
    pub reasoning_tokens: Option<u64>,
    /// Of the input, audio.
    pub input_audio_tokens: Option<u64>,
    /// Of the tokens read from the cache, audio.
    pub cache_read_audio_tokens: Option<u64>,
    /// Of the output, audio.
    pub output_audio_tokens: Option<u64>,
    /// Of the input, images.
    pub input_image_tokens: Option<u64>,
    /// Of the output, images.
    pub output_image_tokens: Option<u64>,
    /// Of the input, video.
    pub input_video_tokens: Option<u64>,
    /// Searches of the web that the provider made for the answer.
    pub web_searches: Option<u64>,
    /// What the provider says that it charges for the answer, where it says so.
    pub billed: Option<NanoUsd>,
    /// The tier that answered.
    pub service_tier: Option<ServiceTier>,
    /// Whether it was computed in the United States alone, where that costs more (Anthropic's `inference_geo`).
    pub us_only: Option<bool>,
}

impl Usage {
    /// Takes over what `later` tells; what it does not tell stays.
    pub fn merge(&mut self, later: &Self) {
        self.counters(later, |own, other| *own = other.or(*own));
        self.billed = later.billed.or(self.billed);
        self.service_tier = later.service_tier.or(self.service_tier);
        self.us_only = later.us_only.or(self.us_only);
    }

    /// Adds what `more` tells, as of another answer on the same connection; the dearer of two tiers stays.
    pub fn add(&mut self, more: &Self) {
        self.counters(more, |own, other| {
            if let Some(other) = other {
                *own = Some(own.unwrap_or(0).saturating_add(other));
            }
        });
        // A sum with a part that is not told is none.
        self.billed = None;
        self.service_tier = self.service_tier.max(more.service_tier);
        self.us_only = self.us_only.max(more.us_only);
    }

    /// What of it every codec can write as well as read.
    #[cfg(test)]
    pub(crate) fn writable(self) -> Self {
        Self {
            input_tokens: self.input_tokens,
            cache_read_tokens: self.cache_read_tokens,
            cache_write_tokens: self.cache_write_tokens,
            cache_write_1h_tokens: self.cache_write_1h_tokens,
            output_tokens: self.output_tokens,
            reasoning_tokens: self.reasoning_tokens,
            input_audio_tokens: self.input_audio_tokens,
            output_audio_tokens: self.output_audio_tokens,
            ..Self::default()
        }
    }

    /// Every counter of this with its twin.
    fn counters(&mut self, other: &Self, each: impl Fn(&mut Option<u64>, Option<u64>)) {
        each(&mut self.input_tokens, other.input_tokens);
        each(&mut self.cache_read_tokens, other.cache_read_tokens);
        each(&mut self.cache_write_tokens, other.cache_write_tokens);
        each(&mut self.cache_write_1h_tokens, other.cache_write_1h_tokens);
        each(&mut self.cache_write_12h_tokens, other.cache_write_12h_tokens);
        each(&mut self.output_tokens, other.output_tokens);
        each(&mut self.reasoning_tokens, other.reasoning_tokens);
        each(&mut self.input_audio_tokens, other.input_audio_tokens);
        each(&mut self.cache_read_audio_tokens, other.cache_read_audio_tokens);
        each(&mut self.output_audio_tokens, other.output_audio_tokens);
        each(&mut self.input_image_tokens, other.input_image_tokens);
        each(&mut self.output_image_tokens, other.output_image_tokens);
        each(&mut self.input_video_tokens, other.input_video_tokens);
        each(&mut self.web_searches, other.web_searches);
    }

    /// Input that was neither read from nor written to the provider's prompt cache. Never negative, whatever the provider says.
    pub fn uncached_input_tokens(&self) -> Option<u64> {
        let cached = self.cache_read_tokens.unwrap_or(0).saturating_add(self.cache_write_tokens.unwrap_or(0));
        self.input_tokens.map(|all| all.saturating_sub(cached))
    }
}

/// A class of service that has a price of its own, the cheaper first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceTier {
    /// Within a day.
    Batch,
    /// When there is room.
    Flex,
    /// The ordinary one. Capacity that is paid for beforehand counts as it.
    Standard,
    /// Between the ordinary one and the next.
    Balanced,
    /// Before the others.
    Priority,
    /// On faster machines.
    Fast,
    /// On the fastest.
    Ultrafast,
}

impl ServiceTier {
    /// Those that are not the ordinary one, with their words in price lists.
    pub const PRICED: [(&'static str, Self); 6] = [
        ("batch", Self::Batch),
        ("flex", Self::Flex),
        ("balanced", Self::Balanced),
        ("priority", Self::Priority),
        ("fast", Self::Fast),
        ("ultrafast", Self::Ultrafast),
    ];

    /// The tier of a vendor's word; one that is not known is the ordinary one, an empty one and `auto` are none.
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "" | "auto" | "TRAFFIC_TYPE_UNSPECIFIED" => return None,
            "ON_DEMAND_PRIORITY" => Self::Priority,
            "ON_DEMAND_FLEX" => Self::Flex,
            _ => Self::PRICED.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map_or(Self::Standard, |(_, tier)| *tier),
        })
    }
}
