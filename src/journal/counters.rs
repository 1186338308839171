//! What is counted: one exchange's charge, and the sums of many.

use std::time::Duration;

use super::dims::{CacheKind, StatusClass};
use crate::base::money::NanoUsd;

/// What an exchange may cost at most, as it was reserved: what it is settled at where its end is never told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Money.
    pub cost: NanoUsd,
}

/// What an exchange came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// How it ended.
    pub status: StatusClass,
    /// What the cache had to do with it.
    pub cache: CacheKind,
    /// Whether tokens or money are an estimate of ours.
    pub estimated: bool,
    /// All input tokens, cached ones included.
    pub input_tokens: u64,
    /// Of these, read from the provider's prompt cache.
    pub cached_tokens: u64,
    /// Of the input, written to the provider's prompt cache.
    pub cache_write_tokens: u64,
    /// All output tokens, reasoning included.
    pub output_tokens: u64,
    /// Of these, spent on reasoning.
    pub reasoning_tokens: u64,
    /// Money.
    pub cost: NanoUsd,
    /// From the request's head to the answer's end.
    pub duration: Duration,
    /// From the request's head to the first content, where there was one.
    pub first_token: Option<Duration>,
}

/// Sums over exchanges. They never wrap: at the end of their range they stay there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Exchanges.
    pub requests: u64,
    /// Of these, the ones that did not end well.
    pub errors: u64,
    /// Of the exchanges, the ones whose charge is an estimate.
    pub estimated: u64,
    /// Input tokens, cached ones included.
    pub input_tokens: u64,
    /// Of these, read from the provider's prompt cache.
    pub cached_tokens: u64,
    /// Of the input, written to the provider's prompt cache.
    pub cache_write_tokens: u64,
    /// Output tokens, reasoning included.
    pub output_tokens: u64,
    /// Of these, spent on reasoning.
    pub reasoning_tokens: u64,
    /// Money.
    pub cost: NanoUsd,
    /// Of the money, what is an estimate.
    pub cost_estimated: NanoUsd,
    /// The exchanges' durations, in microseconds.
    pub duration_us: u64,
    /// The times to the first content, in microseconds.
    pub first_token_us: u64,
    /// The exchanges that had a first content.
    pub first_tokens: u64,
}

impl Counters {
    /// How many numbers there are.
    pub(super) const COUNT: usize = 13;

    /// The counters of one exchange.
    pub fn of(charge: &Charge) -> Self {
        Self {
            requests: 1,
            errors: u64::from(charge.status != StatusClass::Success),
            estimated: u64::from(charge.estimated),
            input_tokens: charge.input_tokens,
            cached_tokens: charge.cached_tokens,
            cache_write_tokens: charge.cache_write_tokens,
            output_tokens: charge.output_tokens,
            reasoning_tokens: charge.reasoning_tokens,
            cost: charge.cost,
            cost_estimated: if charge.estimated { charge.cost } else { NanoUsd(0) },
            duration_us: micros(charge.duration),
            first_token_us: charge.first_token.map_or(0, micros),
            first_tokens: u64::from(charge.first_token.is_some()),
        }
    }

    /// Adds others to these.
    pub fn add(&mut self, other: &Self) {
        let (own, other) = (self.numbers(), other.numbers());
        *self = Self::from_numbers(std::array::from_fn(|at| own[at].saturating_add(other[at])));
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn numbers(&self) -> [u64; Self::COUNT] {
        [
            self.requests,
            self.errors,
            self.estimated,
            self.input_tokens,
            self.cached_tokens,
            self.cache_write_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.cost.0,
            self.cost_estimated.0,
            self.duration_us,
            self.first_token_us,
            self.first_tokens,
        ]
    }

    pub(super) fn from_numbers(numbers: [u64; Self::COUNT]) -> Self {
        let [
            requests,
            errors,
            estimated,
            input_tokens,
            cached_tokens,
            cache_write_tokens,
            output_tokens,
            reasoning_tokens,
            cost,
            cost_estimated,
            duration_us,
            first_token_us,
            first_tokens,
        ] = numbers;
        Self {
            requests,
            errors,
            estimated,
            input_tokens,
            cached_tokens,
            cache_write_tokens,
            output_tokens,
            reasoning_tokens,
            cost: NanoUsd(cost),
            cost_estimated: NanoUsd(cost_estimated),
            duration_us,
            first_token_us,
            first_tokens,
        }
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
