//! Rules: which request goes to which model, or nowhere.

mod read;

use std::fmt;

use http::HeaderName;
use regex::Regex;

use super::values;
use crate::ir::Operation;

pub(super) use read::read;

/// One rule of `[[routes]]`: the first whose conditions all hold decides.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, where it has one: shown, and what a percentage hangs on.
    pub name: Option<String>,
    /// What must hold. Nothing: it matches every request.
    pub when: When,
    /// What then happens.
    pub then: Then,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Another model is asked: an alias, `provider/model`, or a name that one provider claims; known to exist when the file
    /// was read.
    Use(String),
    /// The request is refused with this text.
    Deny(String),
}

/// What must hold of a request: all of it. What is empty or absent is not asked.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// The model asked for is one of these.
    pub model: Vec<Glob>,
    /// The operation is one of these.
    pub operations: Vec<Operation>,
    /// Whether the answer comes as a stream.
    pub stream: Option<bool>,
    /// Numbers within bounds. A number that is not known is within none.
    pub counts: Vec<(Count, Between)>,
    /// What the request holds or asks for, and what it does not.
    pub holds: Vec<(Holds, bool)>,
    /// Who asks is one of these.
    pub who: Vec<(Who, Vec<Glob>)>,
    /// Headers with such a value; of a header that stands several times one value suffices.
    pub headers: Vec<(HeaderName, Glob)>,
    /// The time of day and the day of the week.
    pub time: Option<Clock>,
    /// A share of the requests.
    pub sample: Option<Sample>,
    /// One of these words stands in the last user message.
    pub words: Option<Words>,
    /// The last user message matches this.
    pub pattern: Option<Regex>,
}

impl When {
    /// Whether it asks nothing at all.
    pub fn says_nothing(&self) -> bool {
        self.model.is_empty() && self.sample.is_none() && self.asks_only_model_and_share()
    }

    /// Whether it holds of every request, whatever that is.
    pub fn is_all(&self) -> bool {
        let any_model = self.model.is_empty() || self.model.iter().any(Glob::is_any);
        let everybody = self.sample.is_none_or(|sample| sample.ppm == Sample::ALL);
        any_model && everybody && self.asks_only_model_and_share()
    }

    fn asks_only_model_and_share(&self) -> bool {
        let Self { model: _, operations, stream, counts, holds, who, headers, time, sample: _, words, pattern } = self;
        let about_body = counts.is_empty() && holds.is_empty() && words.is_none() && pattern.is_none();
        about_body && operations.is_empty() && stream.is_none() && who.is_empty() && headers.is_empty() && time.is_none()
    }
}

/// A number of a request, with the keys of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Tokens of the prompt, by estimate.
    InputTokens,
    /// Turns of the conversation, system turns left out.
    Messages,
    /// The asked-for bound on output tokens.
    OutputTokens,
    /// How hard it looks, in thousandths.
    Difficulty,
}

impl Count {
    /// Each, with the keys of its least and its most.
    pub const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::InputTokens, "min_input_tokens", "max_input_tokens"),
        (Self::Messages, "min_messages", "max_messages"),
        (Self::OutputTokens, "min_output_tokens", "max_output_tokens"),
        (Self::Difficulty, "min_difficulty", "max_difficulty"),
    ];
}

/// Bounds, both inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Between {
    /// At least this.
    pub min: Option<u64>,
    /// At most this.
    pub max: Option<u64>,
}

impl Between {
    /// Whether a number is within.
    pub fn has(self, number: u64) -> bool {
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }
}

/// What a request may hold or ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Tools on offer.
    Tools,
    /// Images.
    Images,
    /// Documents.
    Documents,
    /// Sound.
    Audio,
    /// Films.
    Video,
    /// An answer by a JSON schema.
    StructuredOutput,
    /// Reasoning.
    Reasoning,
}

impl Holds {
    /// Each with its key.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Tools, "has_tools"),
        (Self::Images, "has_images"),
        (Self::Documents, "has_documents"),
        (Self::Audio, "has_audio"),
        (Self::Video, "has_video"),
        (Self::StructuredOutput, "structured_output"),
        (Self::Reasoning, "reasoning"),
    ];
}

/// What is known of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The team.
    Team,
    /// The app.
    App,
    /// The end user.
    User,
    /// The key that the caller presented, by its name.
    Key,
    /// A label that the caller put on it: its name, or `name=value`.
    Tag,
}

impl Who {
    /// Each with its key.
    pub const ALL: [(Self, &'static str); 5] =
        [(Self::Team, "team"), (Self::App, "app"), (Self::User, "user"), (Self::Key, "key"), (Self::Tag, "tag")];
}

/// A text in which `*` stands for any text.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    pattern: Box<str>,
    stars: Stars,
}

/// Where the stars are: most patterns need no search.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stars {
    None,
    /// The whole pattern.
    Alone,
    /// One, at the end.
    End,
    /// One, at the beginning.
    Beginning,
    Other,
}

impl Glob {
    /// The pattern of this text: every text is one.
    pub fn new(pattern: &str) -> Self {
        let stars = match pattern.find('*') {
            None => Stars::None,
            Some(_) if pattern.bytes().all(|byte| byte == b'*') => Stars::Alone,
            Some(at) if at + 1 == pattern.len() => Stars::End,
            Some(0) if pattern.bytes().filter(|byte| *byte == b'*').count() == 1 => Stars::Beginning,
            Some(_) => Stars::Other,
        };
        Self { pattern: pattern.into(), stars }
    }

    /// Whether a text matches.
    pub fn matches(&self, text: &str) -> bool {
        match self.stars {
            Stars::None => *self.pattern == *text,
            Stars::Alone => true,
            Stars::End => text.as_bytes().starts_with(self.pattern.as_bytes().split_last().map_or(&[], |(_, start)| start)),
            Stars::Beginning => text.as_bytes().ends_with(self.pattern.as_bytes().split_first().map_or(&[], |(_, end)| end)),
            Stars::Other => values::matches(&self.pattern, text),
        }
    }

    /// Whether it matches every text.
    pub fn is_any(&self) -> bool {
        self.stars == Stars::Alone
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)
    }
}

/// Hours of some days of the week, at a fixed distance from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The minute of the day at which they begin, 0 to 1439.
    pub from: u16,
    /// The minute before which they end, 1 to 1440. Less than `from`: on the next day, which then belongs to the day of its
    /// beginning.
    pub until: u16,
    /// The days on which they begin.
    pub days: Days,
    /// Minutes that the local time is ahead of UTC.
    pub offset_minutes: i16,
}

/// Days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    /// Each day's word, Monday first.
    pub const WORDS: [&'static str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    /// All of them.
    pub const ALL: Self = Self(0x7f);
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether a day is among them, by its number from Monday, 0.
    pub fn has(self, day: usize) -> bool {
        day < 7 && self.0 & (1 << day) != 0
    }

    /// The same with one day more.
    #[must_use]
    pub fn with(self, day: usize) -> Self {
        if day < 7 { Self(self.0 | (1 << day)) } else { self }
    }
}

/// A share of the requests, the same ones each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How many of a million.
    pub ppm: u32,
    /// What is the same each time.
    pub sticky: Sticky,
}

impl Sample {
    /// Everybody.
    pub const ALL: u32 = 1_000_000;
}

/// By what a request is in a share or out of it. Where that is not known the next one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sticky {
    /// The end user.
    #[default]
    User,
    /// The conversation.
    Session,
    /// Nothing: each request by chance.
    Request,
}

impl Sticky {
    /// Each with its word.
    pub const ALL: [(Self, &'static str); 3] = [(Self::User, "user"), (Self::Session, "session"), (Self::Request, "request")];
}

/// Words of which one must stand in a text, whole and in whatever case.
#[derive(Clone, Debug)]
pub struct Words {
    /// The words as they were written.
    pub list: Vec<String>,
    /// What finds them, be they whole or not: quick where it finds none.
    likely: Regex,
    /// What finds one of them whole.
    whole: Regex,
}

impl Words {
    /// Whether one of them stands in a text.
    pub fn are_in(&self, text: &str) -> bool {
        self.likely.is_match(text) && self.whole.is_match(text)
    }
}
