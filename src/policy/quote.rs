//! A target's prices, compiled for a quick comparison.

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use crate::config::catalog::price::{Counted, Prices, Rates};
use crate::config::catalog::schedule::{Stamp, When};

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
    /// What holds on every occasion, where nothing else is said.
    always: Option<Option<Tariff>>,
    /// Where it depends, in order.
    clauses: Vec<(When, Own)>,
    /// What the policy says instead.
    set: Own,
    is_timed: bool,
    knows_cached: bool,
}

/// The rates that have a price of their own.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    rates: [Option<u64>; COUNTED.len()],
    /// Whether anything has a price, be it of [`COUNTED`] or not.
    is_known: bool,
}

const COUNTED: [Counted; 5] = [Counted::Input, Counted::CachedInput, Counted::Output, Counted::Reasoning, Counted::Request];

/// What each of [`COUNTED`] is charged.
#[derive(Clone, Copy, Debug)]
struct Tariff([u64; COUNTED.len()]);

impl Default for Quote {
    /// Of a target whose prices are not known.
    fn default() -> Self {
        Self::new(&Prices::default())
    }
}

impl Quote {
    /// Compiles prices.
    pub fn new(prices: &Prices) -> Self {
        let listed = prices.clauses("");
        let (set, mut clauses) = (Own::of(prices.set()), Vec::with_capacity(listed.len()));
        clauses.extend(listed.iter().map(|clause| (clause.when.clone(), Own::of(&clause.rates))));
        let mut quote = Self {
            always: None,
            set,
            is_timed: clauses.iter().any(|(when, _)| when.is_timed()),
            knows_cached: prices.set().own(Counted::CachedInput).is_some()
                || listed.iter().any(|clause| clause.rates.own(Counted::CachedInput).is_some()),
            clauses,
        };
        if let [(when, own)] = quote.clauses.as_slice()
            && when.is_always()
        {
            quote.always = Some(own.with(&set).tariff());
        }
        quote
    }

    /// Whether cached input has a price of its own, so that a warm prompt cache is worth something.
    pub fn knows_cached(&self) -> bool {
        self.knows_cached
    }

    /// What a request costs at that time, in nano-USD; `None` where no price is known.
    pub fn cost(&self, expected: &Expected, at: SystemTime) -> Option<u64> {
        if let Some(always) = &self.always {
            return always.as_ref().map(|tariff| tariff.cost(expected));
        }
        let stamp = self.is_timed.then(|| Stamp::of(at));
        let (mut own, mut period) = (Own::default(), None);
        for (when, rates) in &self.clauses {
            if when.from_day.is_some_and(|day| day.is_none_or(|day| stamp.is_none_or(|stamp| day > stamp.day))) {
                break;
            }
            if when.from_day != period {
                (own, period) = (Own::default(), when.from_day);
            }
            if when.holds(expected.input_tokens, stamp) {
                own = own.with(rates);
            }
        }
        own.with(&self.set).tariff().map(|tariff| tariff.cost(expected))
    }
}

impl Own {
    fn of(rates: &Rates) -> Self {
        Self { rates: COUNTED.map(|counted| rates.own(counted).map(|rate| rate.units())), is_known: !rates.is_empty() }
    }

    /// What `other` has a price for counts first.
    fn with(&self, other: &Self) -> Self {
        let mut all = *self;
        all.rates.iter_mut().zip(other.rates).for_each(|(slot, rate)| *slot = rate.or(*slot));
        all.is_known |= other.is_known;
        all
    }

    /// What has no price of its own is charged as what it is a kind of; `None` where nothing has a price.
    fn tariff(&self) -> Option<Tariff> {
        let [input, cached, output, reasoning, request] = self.rates;
        let rates = [input, cached.or(input), output, reasoning.or(output), request];
        self.is_known.then(|| Tariff(rates.map(Option::unwrap_or_default)))
    }
}

impl Tariff {
    /// Pico-dollars for tokens, nano-dollars for the request; rounded down, last.
    fn cost(&self, expected: &Expected) -> u64 {
        let [input, cached, output, reasoning, request] = self.0;
        let cached_tokens = expected.cached_input_tokens.min(expected.input_tokens);
        let reasoning_tokens = expected.reasoning_tokens.min(expected.output_tokens);
        let parts = [
            (expected.input_tokens - cached_tokens, input),
            (cached_tokens, cached),
            (expected.output_tokens - reasoning_tokens, output),
            (reasoning_tokens, reasoning),
        ];
        let pico = parts.into_iter().fold(0u64, |sum, (tokens, rate)| sum.saturating_add(tokens.saturating_mul(rate)));
        (pico / 1000).saturating_add(request)
    }
}
