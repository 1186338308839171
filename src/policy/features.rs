//! What a request is, as far as rules, fit and price ask.

use super::SizeClass;

/// What a request is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// Tokens of the prompt, tools and media included, by estimate.
    pub input_tokens: u64,
    /// The asked-for bound on output tokens.
    pub output_tokens_max: Option<u64>,
    /// Turns of the conversation, system turns left out.
    pub messages: u32,
    /// Whether the answer comes as a stream.
    pub stream: bool,
    /// What it holds and asks for.
    pub has: Has,
    /// Names the conversation: a digest of what stays the same from turn to turn (system prompt, tools, first user turn), so
    /// that turns of one conversation can meet the same prompt cache. 0: not known.
    pub session: u64,
}

impl Features {
    /// Its size class.
    pub fn class(&self) -> SizeClass {
        SizeClass::of(self.input_tokens)
    }
}

/// What a request holds and asks for: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Has(u16);

impl Has {
    /// Tools on offer.
    pub const TOOLS: Self = Self(1);
    /// Images.
    pub const IMAGES: Self = Self(1 << 1);
    /// Documents.
    pub const DOCUMENTS: Self = Self(1 << 2);
    /// Sound.
    pub const AUDIO: Self = Self(1 << 3);
    /// Films.
    pub const VIDEO: Self = Self(1 << 4);
    /// An answer by a JSON schema is asked for.
    pub const STRUCTURED_OUTPUT: Self = Self(1 << 5);
    /// Reasoning is asked for.
    pub const REASONING: Self = Self(1 << 6);
    /// A call of some or of one tool is forced.
    pub const FORCED_TOOL: Self = Self(1 << 7);
    /// Something acts on the provider's side (its own tools, a stored conversation, work in the background): not to be done twice.
    pub const SIDE_EFFECTS: Self = Self(1 << 8);

    /// Whether all of `other` is in it.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The union.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
