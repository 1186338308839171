//! What a request is, as far as rules, fit and price ask.

mod content;
mod images;
mod media;
mod own;
#[cfg(test)]
mod tests;
mod tokens;

pub use content::{Content, Contents, ImageRule};

use own::{ACTING, HELD, SEARCHES_ASSUMED, SEARCHING, acts, own_kind, runs_at_provider, searches_of};

use super::SizeClass;
use super::digest::Digest;
use crate::base::json::{Envelope, Raw};
use crate::ir::{
    Dialect, Effort, MediaKind, Message, OutputFormat, Part, Reasoning, ReasoningMode, Request, Role, Source, Text, Tool, ToolChoice,
};

/// What a request is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// Tokens of the prompt, tools and media included, by estimate.
    pub input_tokens: u64,
    /// Of these, those of media, which are little more than guessed.
    pub media_tokens: u64,
    /// The same by kind of content.
    pub contents: Contents,
    /// Whether it was decoded. Where it was not, all of its JSON counts as part of the prompt.
    pub read: bool,
    /// The asked-for bound on output tokens.
    pub output_tokens_max: Option<u64>,
    /// How many answers are asked for; `None` and 1 are the same.
    pub answers: Option<u64>,
    /// How often the provider may search the web for the answer.
    pub searches_max: u64,
    /// Whether the provider holds a part of the prompt: a stored conversation, a cache with a name.
    pub held: bool,
    /// Pieces of reasoning that are sent back and that only the provider can read.
    pub sealed: u32,
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
    /// Of a request that was decoded: one walk over it.
    pub fn of(request: &Request<'_>) -> Self {
        let mut walk = Walk::new();
        request.tools.iter().for_each(|tool| walk.tool(tool));
        request.messages.iter().for_each(|message| walk.message(message));
        walk.asked(request);
        Self {
            input_tokens: walk.contents.text_tokens().saturating_add(walk.contents.media_tokens()),
            media_tokens: walk.contents.media_tokens(),
            contents: walk.contents,
            read: true,
            output_tokens_max: request.output_tokens_max,
            answers: request.answers,
            searches_max: walk.searches,
            held: walk.held,
            sealed: walk.sealed,
            messages: walk.turns,
            stream: request.stream,
            has: walk.has,
            // 0 has a meaning of its own.
            session: walk.session.finish().max(1),
        }
    }

    /// Of a request that nobody decodes, by its bytes and its top-level members. What only a reading shows is left out: the
    /// turns, the media, the session.
    pub fn of_bytes(dialect: Dialect, body: &[u8], envelope: &Envelope, stream: bool) -> Self {
        let mut contents = Contents::default();
        contents.add_unread(body);
        let member = |name| envelope.member(body, name).filter(|value| !value.is_null());
        let within = |outer, inner| member(outer).and_then(|value| value.member(inner));
        let tools = member("tools").or_else(|| within("toolConfig", "tools"));
        let bound = ["max_completion_tokens", "max_output_tokens", "max_tokens"].into_iter().find_map(member);
        let bound = bound.or_else(|| within("generationConfig", "maxOutputTokens")).or_else(|| within("inferenceConfig", "maxTokens"));
        let answers = member("n").or_else(|| within("generationConfig", "candidateCount")).and_then(Raw::u64);
        let (mut has, mut searches_max) = (Has::default(), 0_u64);
        for tool in tools.into_iter().flat_map(Raw::elements) {
            has = has.and(Has::TOOLS);
            if let Some(kind) = own_kind(dialect, tool) {
                has = has.and(Has::SIDE_EFFECTS);
                searches_max = searches_max.saturating_add(searches_of(&kind, tool));
            }
        }
        if ACTING.iter().any(|name| member(name).is_some_and(acts)) {
            has = has.and(Has::SIDE_EFFECTS);
        }
        if SEARCHING.iter().any(|name| member(name).is_some_and(acts)) {
            searches_max = searches_max.saturating_add(SEARCHES_ASSUMED);
        }
        Self {
            input_tokens: contents.text_tokens().saturating_add(contents.media_tokens()),
            media_tokens: contents.media_tokens(),
            contents,
            output_tokens_max: bound.and_then(Raw::u64),
            answers,
            searches_max,
            held: HELD.iter().any(|name| member(name).is_some_and(acts)),
            stream,
            has,
            ..Self::default()
        }
    }

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

    const LABELS: [(Self, &str); 9] = [
        (Self::TOOLS, "tools"),
        (Self::IMAGES, "images"),
        (Self::DOCUMENTS, "documents"),
        (Self::AUDIO, "audio"),
        (Self::VIDEO, "video"),
        (Self::STRUCTURED_OUTPUT, "structured_output"),
        (Self::REASONING, "reasoning"),
        (Self::FORCED_TOOL, "forced_tool"),
        (Self::SIDE_EFFECTS, "side_effects"),
    ];

    /// The words of what is in it.
    pub fn labels(self) -> impl Iterator<Item = &'static str> {
        Self::LABELS.into_iter().filter(move |(each, _)| self.has(*each)).map(|(_, label)| label)
    }

    /// Whether all of `other` is in it.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in it.
    pub fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The union.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Whether a request asks for reasoning.
pub(super) fn asks_to_reason(reasoning: &Reasoning) -> bool {
    let off = reasoning.mode == Some(ReasoningMode::Disabled) || reasoning.effort == Some(Effort::None);
    !off && (reasoning.mode.is_some() || reasoning.effort.is_some() || reasoning.budget_tokens.is_some())
}

/// The walk over a request.
struct Walk {
    contents: Contents,
    turns: u32,
    has: Has,
    searches: u64,
    held: bool,
    sealed: u32,
    /// Whether a document is to be cited.
    cites: bool,
    session: Digest,
    /// Whether the first user turn is behind.
    begun: bool,
}

impl Walk {
    fn new() -> Self {
        Self {
            contents: Contents::default(),
            turns: 0,
            has: Has::default(),
            searches: 0,
            held: false,
            sealed: 0,
            cites: false,
            session: Digest::new(),
            begun: false,
        }
    }

    fn tool(&mut self, tool: &Tool<'_>) {
        // Its place among the others, and what the provider writes around it.
        const AROUND: u64 = 8;
        const TAUGHT: u64 = 500;
        self.has = self.has.and(Has::TOOLS);
        self.add(AROUND);
        match tool {
            Tool::Function { name, description, parameters, .. } => {
                self.words(name);
                description.iter().for_each(|description| self.words(description));
                parameters.iter().for_each(|schema| self.json(schema.raw()));
            }
            Tool::Custom { name, description, format } => {
                self.words(name);
                description.iter().for_each(|description| self.words(description));
                format.iter().for_each(|format| self.json(*format));
            }
            Tool::Opaque { kind, raw, .. } => {
                self.json(*raw);
                // A few words stand for the schema and the instructions that the model was taught: at Claude 250 to 750 tokens.
                self.add(if kind.contains('_') { TAUGHT } else { 0 });
                if runs_at_provider(kind) {
                    self.has = self.has.and(Has::SIDE_EFFECTS);
                    self.searches = self.searches.saturating_add(searches_of(kind, *raw));
                }
            }
        }
    }

    fn message(&mut self, message: &Message<'_>) {
        const AROUND: u64 = 4;
        self.add(AROUND);
        if !matches!(message.role, Role::System | Role::Developer) {
            self.turns = self.turns.saturating_add(1);
        }
        message.parts.iter().for_each(|part| self.part(part));
        self.begun |= message.role == Role::User;
    }

    fn part(&mut self, part: &Part<'_>) {
        if matches!(part, Part::RedactedReasoning(_)) || matches!(part, Part::Reasoning { text, .. } if text.is_empty()) {
            self.sealed = self.sealed.saturating_add(1);
        }
        match part {
            Part::Text { text, .. } | Part::Refusal(text) | Part::RedactedReasoning(text) | Part::Reasoning { text, .. } => {
                self.words(text)
            }
            Part::ToolCall { name, arguments, .. } => {
                self.words(name);
                self.contents.json += tokens::of_text(arguments).all();
                self.remember(bytes_of(arguments));
            }
            Part::ToolResult { parts, .. } => parts.iter().for_each(|part| self.part(part)),
            Part::Media(media) => {
                self.has = self.has.and(match media.kind {
                    MediaKind::Image => Has::IMAGES,
                    MediaKind::Document => Has::DOCUMENTS,
                    MediaKind::Audio => Has::AUDIO,
                    MediaKind::Video => Has::VIDEO,
                });
                if !self.cites && media.extensions.iter().any(|each| each.name == "citations" && acts(each.value)) {
                    // How to cite is told once.
                    const CITING: u64 = 500;
                    self.cites = true;
                    self.add(CITING);
                }
                match &media.source {
                    Source::Plain(text) => self.words(text),
                    Source::Base64 { data, .. } | Source::Url(data) | Source::FileId { id: data, .. } => {
                        self.contents.add_media(media);
                        self.remember(bytes_of(data));
                    }
                    Source::Opaque { raw, .. } => {
                        self.contents.add_media(media);
                        self.remember(raw.get().as_bytes());
                    }
                }
            }
            Part::Opaque { raw, .. } => self.json(*raw),
        }
    }

    /// What stands beside the conversation.
    fn asked(&mut self, request: &Request<'_>) {
        self.begun = true;
        if let Some(OutputFormat::JsonSchema { schema, .. }) = &request.output {
            self.has = self.has.and(Has::STRUCTURED_OUTPUT);
            self.json(schema.raw());
        }
        if request.reasoning.as_ref().is_some_and(asks_to_reason) {
            self.has = self.has.and(Has::REASONING);
        }
        if matches!(&request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { required: true, .. })) {
            self.has = self.has.and(Has::FORCED_TOOL);
        }
        let acting = |names: &[&str]| request.extensions.iter().any(|each| names.contains(&&*each.name) && acts(each.value));
        if acting(&ACTING) {
            self.has = self.has.and(Has::SIDE_EFFECTS);
        }
        self.held = acting(&HELD);
        if acting(&SEARCHING) {
            self.searches = self.searches.saturating_add(SEARCHES_ASSUMED);
        }
    }

    fn words(&mut self, text: &Text<'_>) {
        self.contents.text += tokens::of_text(text);
        self.remember(bytes_of(text));
    }

    fn json(&mut self, raw: Raw<'_>) {
        let mut found = Contents::default();
        found.add_unread(raw.get().as_bytes());
        // What words there are describe members: they count as the schema that they are in.
        self.contents.json += found.json + std::mem::take(&mut found.text).all();
        self.contents.images.add(found.images);
        self.contents.documents += found.documents;
        self.contents.audio += found.audio;
        self.contents.video += found.video;
        self.remember(raw.get().as_bytes());
    }

    fn add(&mut self, tokens: u64) {
        self.contents.json += 12 * tokens;
    }

    /// Takes what stays the same from turn to turn into the session's name.
    fn remember(&mut self, bytes: &[u8]) {
        if !self.begun {
            self.session = self.session.ends(bytes);
        }
    }
}

fn bytes_of<'t>(text: &'t Text<'_>) -> &'t [u8] {
    match text {
        Text::Escaped(inner) => inner.as_bytes(),
        Text::Plain(plain) => plain.as_bytes(),
    }
}
