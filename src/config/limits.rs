//! `[[limits]]`: how much of what, for whom, and what happens past it.

mod read;

use std::time::Duration;

use super::values::matches;
use crate::base::money::NanoUsd;

pub(super) use read::{is_plain, limits, own, show_offset};

/// One limit: what it measures, what it counts apart, and to whom it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name, unique: what is counted survives a reload under it.
    pub name: String,
    /// What is counted apart: one count for each combination of these. Empty: everything together.
    pub per: Vec<Dimension>,
    /// To what it applies: all of these must match. Empty: to everything.
    pub when: Vec<Selector>,
    /// What it bounds; at least one of them.
    pub most: Most,
    /// Where hours, days and months begin, in seconds east of UTC. Fixed: there is no summer time.
    pub offset_seconds: i32,
    /// What happens to a request that does not fit.
    pub on_exceed: OnExceed,
    /// What happens to a stream that produces more than was reserved for it, where that does not fit either.
    pub on_overrun: OnOverrun,
    /// What the answer is taken for, in tokens, where the request bounds it not. `None`: the most that the model writes.
    pub assumed_output_tokens: Option<u64>,
    /// Shares of a bound at which to warn, in thousandths, ascending.
    pub warn_permille: Vec<u32>,
}

/// Something by which requests are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The team.
    Team,
    /// The app.
    App,
    /// The end user.
    User,
    /// The outrider key, by its name.
    Key,
    /// The model as the caller asks for it.
    Model,
    /// The provider that is tried: counted at each try, not once for each request.
    Provider,
    /// The caller's labels (`x-outrider-tag`): each counts.
    Tag,
    /// What is asked for (`chat`, `embeddings`, `count_tokens`, `models`, `opaque`).
    Operation,
}

impl Dimension {
    /// Every dimension, in the order of their bits.
    pub const ALL: [Self; 8] = [Self::Team, Self::App, Self::User, Self::Key, Self::Model, Self::Provider, Self::Tag, Self::Operation];

    /// Its word in the file.
    pub fn label(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::App => "app",
            Self::User => "user",
            Self::Key => "key",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Tag => "tag",
            Self::Operation => "operation",
        }
    }
}

/// A condition of a limit: the dimension has one of these values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Of what.
    pub of: Dimension,
    /// Patterns with `*` for any text; one must match.
    pub patterns: Vec<String>,
}

impl Selector {
    /// Whether a value is meant.
    pub fn takes(&self, value: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, value))
    }
}

/// What a limit bounds. `None`: not bounded by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Most {
    /// Requests in any 60 seconds.
    pub requests_per_minute: Option<u64>,
    /// Tokens in any 60 seconds.
    pub tokens_per_minute: Option<u64>,
    /// Requests under way.
    pub concurrent: Option<u64>,
    /// Money and tokens in windows of the calendar, at most one of each kind.
    pub windows: Vec<Window>,
}

/// A bound on a calendar window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Of what.
    pub unit: Unit,
    /// How long.
    pub span: Span,
    /// How much: tokens, or nano-USD.
    pub most: u64,
}

/// What is counted in a calendar window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Nano-USD.
    Usd,
    /// Tokens.
    Tokens,
}

/// A calendar window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
}

/// What happens to a request that does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnExceed {
    /// It is refused.
    #[default]
    Reject,
    /// It waits in line.
    Queue {
        /// At most so long.
        timeout: Duration,
        /// Behind at most so many others of the same subject.
        length_max: usize,
    },
    /// It is served by another alias.
    Degrade {
        /// Which.
        to: String,
    },
}

/// What happens to a stream that produces more than was reserved for it, where that does not fit either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOverrun {
    /// It goes on, and the limit is overdrawn: debt, which holds up others.
    #[default]
    Finish,
    /// It is cut.
    Cut,
}

impl Most {
    /// The bound in a calendar window, where there is one.
    pub fn window(&self, unit: Unit, span: Span) -> Option<u64> {
        self.windows.iter().find(|window| (window.unit, window.span) == (unit, span)).map(|window| window.most)
    }

    /// The budget for this span.
    pub fn budget(&self, span: Span) -> Option<NanoUsd> {
        self.window(Unit::Usd, span).map(NanoUsd)
    }
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 2] = [Self::Usd, Self::Tokens];
}

impl Span {
    /// Every span, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];
}

impl Window {
    /// The key in the file that bounds this.
    pub fn key(unit: Unit, span: Span) -> &'static str {
        match (unit, span) {
            (Unit::Usd, Span::Hour) => "budget_usd_per_hour",
            (Unit::Usd, Span::Day) => "budget_usd_per_day",
            (Unit::Usd, Span::Month) => "budget_usd_per_month",
            (Unit::Tokens, Span::Hour) => "tokens_per_hour",
            (Unit::Tokens, Span::Day) => "tokens_per_day",
            (Unit::Tokens, Span::Month) => "tokens_per_month",
        }
    }

    /// Each unit of each span.
    pub fn kinds() -> impl Iterator<Item = (Unit, Span)> {
        Unit::ALL.into_iter().flat_map(|unit| Span::ALL.into_iter().map(move |span| (unit, span)))
    }
}

impl OnExceed {
    /// Its word in the file.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Queue { .. } => "queue",
            Self::Degrade { .. } => "degrade",
        }
    }
}

impl OnOverrun {
    /// Its word in the file.
    pub fn label(self) -> &'static str {
        match self {
            Self::Finish => "finish",
            Self::Cut => "cut",
        }
    }
}
