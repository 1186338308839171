//! What a request is expected to cost at a target.

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use crate::config::catalog::price::{Counted, Prices, Tariff};
use crate::ir::ServiceTier;

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
#[derive(Clone, Debug)]
pub struct Quote {
    tariff: Tariff,
    knows_cached: bool,
}

impl Default for Quote {
    /// Of a target whose prices are not known.
    fn default() -> Self {
        Self::new(&Prices::default())
    }
}

impl Quote {
    /// Compiles prices.
    pub fn new(prices: &Prices) -> Self {
        let tariff = Tariff::new(prices);
        let ordinary = tariff.terms(SystemTime::UNIX_EPOCH, 0, ServiceTier::Standard, false);
        Self { knows_cached: ordinary.is_apart(Counted::CachedInput), tariff }
    }

    /// The prices, by which answers are charged too.
    pub fn tariff(&self) -> &Tariff {
        &self.tariff
    }

    /// Whether cached input has a price of its own, so that a warm prompt cache is worth something.
    pub fn knows_cached(&self) -> bool {
        self.knows_cached
    }

    /// Which prices an ordinary prompt of that length has at that time ([`Terms::revision`](crate::config::catalog::price::Terms::revision)).
    pub fn revision(&self, at: SystemTime, input_tokens: u64) -> u64 {
        self.tariff.terms(at, input_tokens, ServiceTier::Standard, false).revision()
    }

    /// What a request costs at that time, in nano-USD; `None` where no price is known.
    pub fn cost(&self, expected: &Expected, at: SystemTime) -> Option<u64> {
        let terms = self.tariff.terms(at, expected.input_tokens, ServiceTier::Standard, false);
        if terms.is_guessed(Counted::Input) {
            return None;
        }
        // Where only the prompt has a price, as with embeddings, nothing else is paid for.
        let rate = |what| if terms.is_guessed(what) { 0 } else { terms.rate(what).units() };
        let cached = expected.cached_input_tokens.min(expected.input_tokens);
        let reasoning = expected.reasoning_tokens.min(expected.output_tokens);
        let parts = [
            (Counted::Input, expected.input_tokens - cached),
            (Counted::CachedInput, cached),
            (Counted::Output, expected.output_tokens - reasoning),
            (Counted::Reasoning, reasoning),
        ];
        // A rate counts pico-dollars for a token, nano-dollars for a request.
        let by_token = parts.into_iter().fold(0_u64, |sum, (what, tokens)| sum.saturating_add(tokens.saturating_mul(rate(what))));
        Some((by_token / 1_000).saturating_add(terms.rate(Counted::Request).units()))
    }
}
