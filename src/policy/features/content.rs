//! What a prompt holds, in tokens, by kind of content.

use super::images::ImageTokens;
use super::tokens::Twelfths;

/// A kind of content. Each provider counts each of them in a way of its own, so that what is learned of one says nothing of
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Prose in ASCII.
    Text,
    /// Text in ASCII with many signs: programs, tables, markup.
    Code,
    /// Text that is not ASCII: Chinese, Japanese, Korean, all other scripts, emoji.
    Foreign,
    /// JSON (schemas of tools, calls), and what stands around messages and tools.
    Json,
    /// Images, by [`ImageRule`].
    Image,
    /// Documents that are not plain text.
    Document,
    /// Sound.
    Audio,
    /// Films.
    Video,
}

impl Content {
    /// All of them.
    pub const ALL: [Self; 8] = [Self::Text, Self::Code, Self::Foreign, Self::Json, Self::Image, Self::Document, Self::Audio, Self::Video];
}

/// How a model counts an image, by its size in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageRule {
    /// By tiles of 512 pixels: OpenAI.
    Tiles512,
    /// By its area: Claude.
    Area,
    /// By tiles of up to 768 pixels: Gemini.
    Tiles768,
    /// By the rule under which it costs most: where the model's is not known.
    #[default]
    Dearest,
}

impl ImageRule {
    /// Of a model, by its name: that of its maker, whoever serves it.
    pub fn of(label: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| label.contains(word));
        if has(&["claude"]) {
            Self::Area
        } else if has(&["gemini", "gemma"]) {
            Self::Tiles768
        } else if has(&["gpt-4", "gpt-5", "/o1", "/o3", "/o4"]) {
            Self::Tiles512
        } else {
            Self::Dearest
        }
    }
}

/// The tokens of a prompt by kind of content, as they are estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Text of all kinds, in twelfths of a token.
    pub(super) text: Twelfths,
    /// JSON, in twelfths of a token.
    pub(super) json: u64,
    pub(super) images: ImageTokens,
    pub(super) documents: u64,
    pub(super) audio: u64,
    pub(super) video: u64,
}

impl Contents {
    /// The tokens of one kind, images by this rule.
    pub fn tokens(&self, content: Content, rule: ImageRule) -> u64 {
        match content {
            Content::Text => self.text.prose.div_ceil(12),
            Content::Code => self.text.code.div_ceil(12),
            Content::Foreign => self.text.foreign.div_ceil(12),
            Content::Json => self.json.div_ceil(12),
            Content::Image => self.images.by(rule),
            Content::Document => self.documents,
            Content::Audio => self.audio,
            Content::Video => self.video,
        }
    }

    /// All text, JSON included.
    pub(super) fn text_tokens(&self) -> u64 {
        self.text.all().saturating_add(self.json).div_ceil(12)
    }

    /// All that is no text.
    pub(super) fn media_tokens(&self) -> u64 {
        [self.documents, self.audio, self.video].into_iter().fold(self.images.by(ImageRule::Dearest), u64::saturating_add)
    }
}
