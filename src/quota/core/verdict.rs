//! What comes of asking: what is exceeded, what is left, what was crossed.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Limit, OnExceed, Span, Unit};

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

/// When the same request would fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Again {
    /// After this time, if nothing else came; sooner, where what is under way turns out smaller than it might be.
    In(Duration),
    /// When one that is under way ends, which nobody knows.
    OnRelease,
    /// Never: it is larger than the whole limit.
    Never,
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
