//! What comes of asking: what is exceeded, what is left, what was crossed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::base::money::NanoUsd;
use crate::base::{Fault, FaultKind};
use crate::config::{Limit, OnExceed, Span, Unit, Window};

/// What of a limit is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Requests in any 60 seconds.
    RequestsPerMinute,
    /// Tokens in any 60 seconds.
    TokensPerMinute,
    /// Requests under way.
    Concurrent,
    /// Money (in nano-USD) or tokens in a calendar window.
    Window(Unit, Span),
}

impl Measure {
    /// Its key in the configuration: the label of metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::Concurrent => "max_concurrent",
            Self::Window(unit, span) => Window::key(unit, span),
        }
    }

    /// An amount of it as a JSON number: money in USD.
    pub fn number(self, amount: u64) -> String {
        match self {
            Self::Window(Unit::Usd, _) => NanoUsd(amount).to_string(),
            _ => amount.to_string(),
        }
    }

    /// An amount of it, in words.
    fn shown(self, amount: u64) -> String {
        let unit = if matches!(self, Self::Window(Unit::Usd, _)) { " USD" } else { "" };
        self.number(amount) + unit
    }
}

impl fmt::Display for Measure {
    /// What it counts: "requests in any minute".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |span: &Span| match span {
            Span::Hour => "this hour",
            Span::Day => "today",
            Span::Month => "this month",
        };
        match self {
            Self::RequestsPerMinute => f.write_str("requests in any minute"),
            Self::TokensPerMinute => f.write_str("tokens in any minute"),
            Self::Concurrent => f.write_str("requests at a time"),
            Self::Window(Unit::Usd, of) => f.write_str(span(of)),
            Self::Window(Unit::Tokens, of) => write!(f, "tokens {}", span(of)),
        }
    }
}

/// When the same request would fit, if nothing else came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Again {
    /// After this time; sooner, where what is under way turns out smaller than it might be.
    In(Duration),
    /// When one that is under way ends, which nobody knows, and not before this time.
    OnRelease(Duration),
    /// Never: it is larger than the whole limit.
    Never,
}

impl Again {
    /// When this and the other are over.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::In(one), Self::In(other)) => Self::In(one.max(other)),
            (Self::In(one) | Self::OnRelease(one), Self::In(other) | Self::OnRelease(other)) => Self::OnRelease(one.max(other)),
        }
    }

    /// The least time that it takes; `None`: no time helps.
    pub fn least(self) -> Option<Duration> {
        match self {
            Self::In(wait) | Self::OnRelease(wait) => Some(wait),
            Self::Never => None,
        }
    }
}

/// A request did not fit, and nothing was reserved for it.
#[derive(Clone, Debug)]
pub struct Exceeded {
    /// The limit that decides.
    pub limit: Arc<Limit>,
    /// What of it.
    pub measure: Measure,
    /// Its bound: requests, tokens or nano-USD.
    pub most: u64,
    /// What is used up: passed, settled, or under way.
    pub used: u64,
    /// What is reserved by those under way, and may come back in part.
    pub held: u64,
    /// What was asked for.
    pub asked: u64,
    /// When it would fit in every limit that applies.
    pub again: Again,
    /// What became of waiting, where it was for a limit that queues.
    pub wait: Option<WaitEnd>,
    /// What to do, by all limits that do not fit: one that rejects counts before one that degrades, and that before one
    /// that queues.
    pub then: OnExceed,
}

impl Exceeded {
    /// The fault that the caller is told. What is only unknown (when another request ends) is told as a second.
    pub fn fault(&self) -> Fault {
        let (kind, code) = match self.measure {
            Measure::Window(..) => (FaultKind::BudgetExhausted, "insufficient_quota"),
            _ => (FaultKind::RateLimited, "rate_limit_exceeded"),
        };
        let wait = match self.again {
            Again::In(wait) => Some(wait),
            Again::OnRelease(wait) => Some(wait.max(Duration::from_secs(1))),
            Again::Never => None,
        };
        Fault::caller(kind, self.to_string()).code(code).after(wait)
    }

    /// The alias that serves instead, where the limits say so.
    pub fn degrade_to(&self) -> Option<&str> {
        match &self.then {
            OnExceed::Degrade { to } => Some(to),
            OnExceed::Reject | OnExceed::Queue { .. } => None,
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [most, used, asked] = [self.most, self.used, self.asked].map(|amount| self.measure.shown(amount));
        write!(
            f,
            "The limit {:?} has no room: {most} {}, {used} of it used or reserved, {asked} asked for",
            self.limit.name, self.measure
        )?;
        match self.wait {
            Some(WaitEnd::Full) => f.write_str("; its line is full")?,
            Some(WaitEnd::TimedOut) => f.write_str("; waiting in line did not help in time")?,
            Some(WaitEnd::Hopeless) => f.write_str("; waiting in line would not help in time")?,
            None => {}
        }
        match self.again {
            Again::In(wait) => write!(f, " (try again in {} s)", wait.as_millis().div_ceil(1000)),
            Again::OnRelease(_) => f.write_str(" (try again when another request has ended)"),
            Again::Never => f.write_str(" (it never fits: ask for less, or raise the limit)"),
        }
    }
}

/// Why waiting in line did not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// The line is as long as it may be.
    Full,
    /// Its turn did not come in time.
    TimedOut,
    /// It cannot fit before its time is over, whatever happens.
    Hopeless,
}

/// What is left of the tightest limits that apply, for the headers that tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Of requests per minute.
    pub requests: Option<Room>,
    /// Of tokens per minute.
    pub tokens: Option<Room>,
    /// Of money, in nano-USD, in whichever window has least.
    pub budget: Option<Room>,
    /// The highest threshold (`warn_at`, in thousandths) that any limit that applies is past now.
    pub warning: Option<u32>,
}

/// What is left of one bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The bound.
    pub most: u64,
    /// What is left of it.
    pub remaining: u64,
    /// After this time all of it is there again, if nothing else came.
    pub reset: Duration,
}

/// A limit passed one of its `warn_at`: told once for each window of each subject.
#[derive(Clone, Debug)]
pub struct Crossing {
    /// Which limit.
    pub limit: Arc<Limit>,
    /// What of it.
    pub measure: Measure,
    /// Which share, in thousandths.
    pub permille: u32,
    /// What is used now.
    pub used: u64,
    /// The bound.
    pub most: u64,
}
