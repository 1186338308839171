//! Decisions: which model, which target, whether again. Values in, values out: no await, no socket, and the time and chance are
//! arguments, so that a simulation of hours runs in a moment.

pub mod blame;
pub mod budget;
pub mod caller;
pub mod charge;
pub mod choose;
mod decay;
pub mod difficulty;
mod digest;
pub mod estimate;
pub mod features;
pub mod fit;
pub mod fleet;
pub mod habits;
pub mod health;
pub mod hedge;
pub mod latency;
pub mod prompt;
pub mod quote;
pub mod rules;
pub mod sticky;
pub mod tries;

use std::time::Duration;

use crate::base::clock::Instant;

/// How a target stands: what its breaker and its cooldowns say of asking it now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// It is well.
    Well,
    /// It came back a moment ago and gets this share (0 to 1, growing) of what it would get (slow start).
    Returning(f32),
    /// Its breaker was open and one request may find out how it is now.
    Probe,
    /// It should not be asked before this.
    Out(Instant),
}

impl Standing {
    /// How long until it may be asked; zero where it may be now.
    pub fn wait(self, now: Instant) -> Duration {
        match self {
            Self::Out(until) => until.saturating_duration_since(now),
            Self::Well | Self::Returning(_) | Self::Probe => Duration::ZERO,
        }
    }
}

/// Requests whose answers take about as long: by the size of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SizeClass(u8);

impl SizeClass {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// The least input tokens of each class but the first.
    const FROM: [u64; Self::COUNT - 1] = [1_000, 8_000, 64_000];

    /// The class of a prompt of so many tokens.
    pub fn of(input_tokens: u64) -> Self {
        Self(Self::FROM.iter().map(|from| u8::from(input_tokens >= *from)).sum())
    }

    /// All of them, the smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).take(Self::COUNT).map(Self)
    }

    /// Its place among all.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Its word, for people.
    pub fn label(self) -> &'static str {
        match self.0 {
            0 => "below 1k tokens",
            1 => "1k to 8k tokens",
            2 => "8k to 64k tokens",
            _ => "64k tokens and more",
        }
    }
}
