//! A target's prices, compiled for a quick comparison.

use std::time::SystemTime;

use crate::config::catalog::price::{Counted, Occasion, Prices};

/// What a request is expected to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// All input tokens, cached ones included.
    pub input_tokens: u64,
    /// Of these, read from the provider's prompt cache.
    pub cached_input_tokens: u64,
    /// All output tokens, reasoning included.
    pub output_tokens: u64,
    /// Of these, spent on reasoning.
    pub reasoning_tokens: u64,
}

/// A target's prices at the ordinary service tier.
#[derive(Clone, Debug, Default)]
pub struct Quote(Prices);

impl Quote {
    /// Compiles prices.
    pub fn new(prices: &Prices) -> Self {
        Self(*prices)
    }

    /// Whether cached input has a price of its own.
    pub fn knows_cached(&self) -> bool {
        true
    }

    /// What a request costs at that time, in nano-USD; `None` where no price is known.
    pub fn cost(&self, expected: &Expected, at: SystemTime) -> Option<u64> {
        let rates = self.0.rates(&Occasion { at, input_tokens: expected.input_tokens, service_tier: "" })?;
        let units = |counted| rates.of(counted).map_or(0, |rate| rate.units());
        let cached = expected.cached_input_tokens.min(expected.input_tokens);
        let reasoning = expected.reasoning_tokens.min(expected.output_tokens);
        let parts = [
            (expected.input_tokens - cached, Counted::Input),
            (cached, Counted::CachedInput),
            (expected.output_tokens - reasoning, Counted::Output),
            (reasoning, Counted::Reasoning),
        ];
        let pico = parts.into_iter().fold(0u64, |sum, (tokens, counted)| sum.saturating_add(tokens.saturating_mul(units(counted))));
        Some((pico / 1000).saturating_add(units(Counted::Request)))
    }
}
