//! A target's prices, compiled for a quick comparison.

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use crate::config::catalog::price::{Counted, Prices, Rates};
use crate::config::catalog::schedule::{Clause, Stamp, When};

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
    /// What holds below so many tokens of input, whatever the time.
    below: u64,
    tariff: Option<Tariff>,
    /// What holds else.
    periods: Vec<Period>,
    knows_cached: bool,
}

/// Prices from a day on.
#[derive(Clone, Debug)]
struct Period {
    /// `None`: from the beginning.
    from_day: Option<u64>,
    /// From the smallest requests up.
    bands: Vec<Band>,
}

/// Prices of requests of so much input and more.
#[derive(Clone, Debug)]
struct Band {
    least_tokens: u64,
    /// Clauses that hold at some hours only.
    hourly: Vec<When>,
    /// What all clauses come to, for each choice of those in `hourly` that hold: a bit for each.
    tariffs: Vec<Option<Tariff>>,
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
        let knows = |rates: &Rates| rates.own(Counted::CachedInput).is_some();
        let knows_cached = knows(prices.set()) || listed.iter().any(|clause| knows(&clause.rates));
        let set = Own::of(prices.set());
        let mut periods = Vec::new();
        let known = listed.iter().take_while(|clause| clause.when.from_day != Some(None));
        for clauses in known.collect::<Vec<_>>().chunk_by(|a, b| a.when.from_day == b.when.from_day) {
            periods.push(Period::new(clauses, &set));
        }
        let always = match periods.as_slice() {
            [period] => period.bands.first().filter(|first| first.hourly.is_empty()).map(|first| first.at(None)),
            _ => None,
        };
        let second = periods.first().and_then(|period| period.bands.get(1));
        let below = always.map_or(0, |_| second.map_or(u64::MAX, |band| band.least_tokens));
        Self { below, tariff: always.flatten(), periods, knows_cached }
    }

    /// Whether cached input has a price of its own, so that a warm prompt cache is worth something.
    pub fn knows_cached(&self) -> bool {
        self.knows_cached
    }

    /// What a request costs at that time, in nano-USD; `None` where no price is known.
    pub fn cost(&self, expected: &Expected, at: SystemTime) -> Option<u64> {
        if expected.input_tokens < self.below {
            return self.tariff.as_ref().map(|tariff| tariff.cost(expected));
        }
        self.cost_at(expected, Stamp::of(at))
    }

    /// The same, where the time was compiled before, for many quotes.
    pub fn cost_at(&self, expected: &Expected, stamp: Stamp) -> Option<u64> {
        if expected.input_tokens < self.below {
            return self.tariff.as_ref().map(|tariff| tariff.cost(expected));
        }
        let begun = |period: &&Period| period.from_day.is_none_or(|day| day <= stamp.day);
        // The list ends where a period has not begun.
        let period = self.periods.iter().take_while(begun).last()?;
        let band = period.bands.iter().rfind(|band| band.least_tokens <= expected.input_tokens)?;
        band.at(Some(stamp)).map(|tariff| tariff.cost(expected))
    }
}

impl Period {
    fn new(clauses: &[&Clause], set: &Own) -> Self {
        let mut sizes: Vec<_> = clauses.iter().map(|clause| clause.when.least_tokens()).chain([0]).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let from_day = clauses.first().and_then(|clause| clause.when.from_day.flatten());
        Self { from_day, bands: sizes.into_iter().map(|least| Band::new(least, clauses, set)).collect() }
    }
}

impl Band {
    fn new(least_tokens: u64, clauses: &[&Clause], set: &Own) -> Self {
        let clauses: Vec<_> = clauses.iter().filter(|clause| clause.when.may_hold(least_tokens)).collect();
        let hourly: Vec<_> = clauses.iter().filter(|clause| clause.when.has_hours()).map(|clause| clause.when.clone()).collect();
        let tariff = |choice: usize| {
            let mut hour = 0;
            let holds = clauses.iter().filter(|clause| {
                let always = !clause.when.has_hours();
                let chosen = choice >> hour & 1 == 1;
                hour += usize::from(!always);
                always || chosen
            });
            holds.fold(Own::default(), |all, clause| all.with(&Own::of(&clause.rates))).with(set).tariff()
        };
        Self { least_tokens, tariffs: (0..1 << hourly.len()).map(tariff).collect(), hourly }
    }

    fn at(&self, stamp: Option<Stamp>) -> Option<Tariff> {
        let holds = |when: &When| stamp.is_some_and(|stamp| when.is_hour(stamp));
        let choice: usize = self.hourly.iter().enumerate().map(|(place, when)| usize::from(holds(when)) << place).sum();
        self.tariffs.get(choice).copied().flatten()
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
