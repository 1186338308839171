//! What is known of one model.

use super::price::Prices;

/// What is known of a model, from the catalogue and the policy. What is not known is absent, never guessed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What it is for.
    pub mode: Option<Mode>,
    /// The most tokens that it reads.
    pub context_tokens: Option<u32>,
    /// The most tokens that it writes.
    pub output_tokens: Option<u32>,
    /// What it can.
    pub can: Capabilities,
    /// What it is known not to be able to.
    pub cannot: Capabilities,
    /// What it costs.
    pub prices: Prices,
}

impl Facts {
    /// Whether it can do something, where that is known.
    pub fn knows(&self, capability: Capabilities) -> Option<bool> {
        match (self.can.has(capability), self.cannot.has(capability)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }

    /// The same, with what `other` knows of the model where this knows nothing; prices are the provider's own.
    pub(super) fn or(self, other: &Self) -> Self {
        let told = self.can != Capabilities::default() || self.cannot != Capabilities::default();
        let (can, cannot) = if told { (self.can, self.cannot) } else { (other.can, other.cannot) };
        Self {
            mode: self.mode.or(other.mode),
            context_tokens: self.context_tokens.or(other.context_tokens),
            output_tokens: self.output_tokens.or(other.output_tokens),
            can,
            cannot,
            prices: self.prices,
        }
    }
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Conversations.
    Chat,
    /// Conversations, by OpenAI's Responses API alone.
    Responses,
    /// Continuing a text.
    Completion,
    /// Vectors.
    Embedding,
    /// Putting documents in order.
    Rerank,
    /// Judging texts.
    Moderation,
}

impl Mode {
    /// The mode of this name in the table.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "chat" => Self::Chat,
            "responses" => Self::Responses,
            "completion" => Self::Completion,
            "embedding" => Self::Embedding,
            "rerank" => Self::Rerank,
            "moderation" => Self::Moderation,
            _ => return None,
        })
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(u32);

/// Each capability: its name here and in the policy, and its letter in the table.
macro_rules! capabilities {
    ($($bit:literal $letter:literal $constant:ident $name:literal $doc:literal),* $(,)?) => {
        impl Capabilities {
            $(#[doc = $doc] pub const $constant: Self = Self(1 << $bit);)*
            /// Every capability with its name.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($name, Self::$constant)),*];

            /// The capability of a letter in the table.
            fn lettered(letter: u8) -> Self {
                match letter {
                    $($letter => Self::$constant,)*
                    _ => Self::default(),
                }
            }
        }
    };
}

capabilities! {
    0 b't' TOOLS "tools" "Calls of tools.",
    1 b'p' PARALLEL_TOOLS "parallel_tools" "Several calls at once.",
    2 b'c' TOOL_CHOICE "tool_choice" "The choice among tools can be told.",
    3 b'f' FORCED_TOOL "forced_tool" "A call of a tool can be forced.",
    4 b'v' VISION "vision" "Images in the prompt.",
    5 b'd' DOCUMENTS "documents" "PDF documents in the prompt.",
    6 b'a' AUDIO_INPUT "audio_input" "Sound in the prompt.",
    7 b'A' AUDIO_OUTPUT "audio_output" "Sound in the answer.",
    8 b'i' VIDEO_INPUT "video_input" "Video in the prompt.",
    9 b'j' STRUCTURED_OUTPUT "structured_output" "Answers that keep a JSON schema.",
    10 b'J' NATIVE_STRUCTURED_OUTPUT "native_structured_output" "The same without a forced tool, at Anthropic's API.",
    11 b'b' BEDROCK_STRUCTURED_OUTPUT "bedrock_structured_output" "The same without a forced tool, at Bedrock's.",
    12 b'r' REASONING "reasoning" "Reasoning.",
    13 b'e' ADAPTIVE_REASONING "adaptive_reasoning" "Reasoning by effort, without a budget.",
    14 b'g' REASONING_ALWAYS "reasoning_always" "Reasoning that cannot be switched off.",
    15 b'n' EFFORT_NONE "effort_none" "The effort `none`.",
    16 b'l' EFFORT_MINIMAL "effort_minimal" "The effort `minimal`.",
    17 b'k' PROMPT_CACHE "prompt_cache" "Prompts that are cached.",
    18 b's' SAMPLING "sampling" "Temperature and its like.",
    19 b'x' PREFILL "prefill" "An answer that the caller began.",
    20 b'y' SYSTEM "system" "A system prompt.",
    21 b'm' SYSTEM_IN_MESSAGES "system_in_messages" "System turns amid the conversation.",
    22 b'w' WEB_SEARCH "web_search" "Searching the web by itself.",
}

impl Capabilities {
    /// Whether all of `other` is in it.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The union.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in it, but not in `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The capabilities of these letters.
    pub(super) fn read(letters: &str) -> Self {
        letters.bytes().fold(Self::default(), |all, letter| all.and(Self::lettered(letter)))
    }
}

impl std::fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(Self::ALL.iter().filter(|(_, each)| self.has(*each)).map(|(name, _)| name)).finish()
    }
}
