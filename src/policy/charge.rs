//! What an answer costs: its usage times the prices that hold, line by line.
//!
//! Every token is charged once. Input is what was read from a cache, what was written to one, and the rest; sound, images
//! and video are taken out of these where they have a price of their own, reasoning, sound and images out of the output.
//! Which of the cached tokens are sound is mostly not told, so none are but those that must be: what remains uncached is
//! the dearer. Where a provider's counters contradict each other, the larger counts, and no line is ever negative.
//!
//! Some providers say in the answer what they charge. That is what will be on the bill, so it counts before our sum, unless
//! the policy sets prices of its own or the answer was cut short.
//!
//! A line is exact, as count times rate, and rounded to a whole nano-USD once, halves up; the total is the sum of the lines.

use std::time::SystemTime;

use crate::base::money::NanoUsd;
use crate::config::catalog::price::{Counted, Rate, Tariff, Terms};
use crate::ir::{ServiceTier, Usage};

/// What an answer costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    lines: [Line; Counted::ALL.len()],
    count: usize,
    /// The sum of the lines.
    pub total: NanoUsd,
    /// What the provider says that it charges, where that counts before our sum.
    pub billed: Option<NanoUsd>,
    /// Which prices were taken: the same number for the same rates. What else decides (tokens, lines) stands beside it.
    pub revision: u64,
    /// Whether the usage is an estimate, in part or in whole.
    pub estimated: bool,
    /// Whether a price was not known, so that a pessimistic one stands in, and the provider did not say either.
    pub price_unknown: bool,
}

/// One thing that is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub what: Counted,
    /// How many tokens, requests or searches; never 0.
    pub count: u64,
    /// At which price.
    pub rate: Rate,
    /// What it comes to.
    pub cost: NanoUsd,
}

/// What is known of an answer beside its usage.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// When it was asked for: prices may begin on a day, and hold at hours.
    pub at: SystemTime,
    /// The tier that was asked for, or `Batch` where it came from a batch; counts where the answer does not tell its own.
    pub tier: Option<ServiceTier>,
    /// How many requests it took; nearly always 1.
    pub requests: u64,
    /// Whether the usage is an estimate.
    pub estimated: bool,
}

impl Served {
    /// One whole answer.
    pub fn once(at: SystemTime) -> Self {
        Self { at, tier: None, requests: 1, estimated: false }
    }
}

impl Charge {
    /// Charges a usage.
    pub fn of(tariff: &Tariff, usage: &Usage, served: &Served) -> Self {
        let input = Input::of(usage);
        let tier = usage.service_tier.or(served.tier).unwrap_or(ServiceTier::Standard);
        let terms = tariff.terms(served.at, input.whole, tier, usage.us_only == Some(true));
        let mut charge = Self::none(terms.revision(), served.estimated);
        charge.input(terms, input, usage);
        charge.output(terms, usage);
        charge.line(terms, Counted::Request, served.requests);
        charge.line(terms, Counted::Search, tariff.paid_searches(usage.web_searches.unwrap_or(0)));
        charge.billed = usage.billed.filter(|_| tariff.bill_counts() && !served.estimated);
        charge.price_unknown &= charge.billed.is_none();
        charge
    }

    /// What counts against budgets: the provider's bill where it sends one with the answer, else the sum of the lines.
    pub fn cost(&self) -> NanoUsd {
        self.billed.unwrap_or(self.total)
    }

    /// The lines, none of them empty.
    pub fn lines(&self) -> &[Line] {
        self.lines.get(..self.count).unwrap_or_default()
    }

    fn none(revision: u64, estimated: bool) -> Self {
        let line = Line { what: Counted::Input, count: 0, rate: Rate::FREE, cost: NanoUsd::ZERO };
        Self { lines: [line; Counted::ALL.len()], count: 0, total: NanoUsd::ZERO, billed: None, revision, estimated, price_unknown: false }
    }

    fn input(&mut self, terms: &Terms, mut input: Input, usage: &Usage) {
        // What is taken out of the uncached input; and of the cached, what must be.
        for (what, cached_as, all, told) in [
            (Counted::AudioInput, Counted::CachedAudio, usage.input_audio_tokens, usage.cache_read_audio_tokens),
            (Counted::ImageInput, Counted::CachedInput, usage.input_image_tokens, None),
            (Counted::VideoInput, Counted::CachedInput, usage.input_video_tokens, None),
        ] {
            let all = all.unwrap_or(0).max(told.unwrap_or(0));
            if all == 0 || !terms.is_apart(what) {
                continue;
            }
            let cached = told.unwrap_or(0).max(all.saturating_sub(input.fresh)).min(all).min(input.read);
            let fresh = (all - cached).min(input.fresh);
            input.fresh -= fresh;
            self.line(terms, what, fresh);
            if cached_as == Counted::CachedAudio {
                input.read -= cached;
                self.line(terms, cached_as, cached);
            }
        }
        self.line(terms, Counted::Input, input.fresh);
        self.line(terms, Counted::CachedInput, input.read);
        self.line(terms, Counted::CacheWrite, input.write);
        self.line(terms, Counted::CacheWrite1h, input.write_1h);
        self.line(terms, Counted::CacheWrite12h, input.write_12h);
    }

    fn output(&mut self, terms: &Terms, usage: &Usage) {
        let parts = [
            (Counted::Reasoning, usage.reasoning_tokens),
            (Counted::AudioOutput, usage.output_audio_tokens),
            (Counted::ImageOutput, usage.output_image_tokens),
        ];
        let told = parts.iter().fold(0_u64, |sum, (_, part)| sum.saturating_add(part.unwrap_or(0)));
        let mut rest = usage.output_tokens.unwrap_or(told);
        for (what, part) in parts {
            if terms.is_apart(what) {
                let part = part.unwrap_or(0).min(rest);
                rest -= part;
                self.line(terms, what, part);
            }
        }
        self.line(terms, Counted::Output, rest);
    }

    fn line(&mut self, terms: &Terms, what: Counted, count: u64) {
        let rate = terms.rate(what);
        if count == 0 || rate == Rate::FREE && what == Counted::Request {
            return;
        }
        let line = Line { what, count, rate, cost: cost(what, count, rate) };
        if let Some(slot) = self.lines.get_mut(self.count) {
            *slot = line;
            self.count += 1;
        }
        self.total = self.total.saturating_add(line.cost);
        self.price_unknown |= terms.is_guessed(what);
    }
}

/// The input, taken apart: the pieces add up to the whole.
#[derive(Clone, Copy)]
struct Input {
    whole: u64,
    /// Neither read from a cache nor written to one.
    fresh: u64,
    read: u64,
    /// Written for five minutes, or for as long as the provider likes.
    write: u64,
    write_1h: u64,
    write_12h: u64,
}

impl Input {
    fn of(usage: &Usage) -> Self {
        let read = usage.cache_read_tokens.or(usage.cache_read_audio_tokens).unwrap_or(0);
        let told = |tokens: Option<u64>| tokens.unwrap_or(0);
        let long = told(usage.cache_write_1h_tokens).saturating_add(told(usage.cache_write_12h_tokens));
        let written = usage.cache_write_tokens.unwrap_or(long);
        let cached = read.saturating_add(written);
        let whole = told(usage.input_tokens).max(cached);
        let write_12h = told(usage.cache_write_12h_tokens).min(written);
        let write_1h = told(usage.cache_write_1h_tokens).min(written - write_12h);
        Self { whole, fresh: whole - cached, read, write: written - write_12h - write_1h, write_1h, write_12h }
    }
}

/// The most that an answer may cost that reads, writes and searches no more than this, whatever of it is cached, sound or
/// image. Of the tier that is asked for; `None`: the ordinary one.
pub fn bound(tariff: &Tariff, at: SystemTime, tier: Option<ServiceTier>, upper: &Upper) -> NanoUsd {
    let of = |terms: &Terms| {
        let most = |kinds: &[Counted], count: u64| {
            let dearest = kinds.iter().map(|what| terms.rate(*what)).max().unwrap_or_default();
            // Each of the lines that this may become is rounded on its own.
            cost(Counted::Input, count, dearest).saturating_add(NanoUsd(if count == 0 { 0 } else { kinds.len() as u64 }))
        };
        let input = most(INPUTS, upper.input_tokens);
        let output = most(OUTPUTS, upper.output_tokens);
        let request = cost(Counted::Request, 1, terms.rate(Counted::Request));
        let searches = cost(Counted::Search, tariff.paid_searches(upper.searches), terms.rate(Counted::Search));
        input.saturating_add(output).saturating_add(request).saturating_add(searches)
    };
    let tier = tier.unwrap_or(ServiceTier::Standard);
    tariff.terms_up_to(at, upper.input_tokens, tier).map(of).max().unwrap_or_default()
}

/// What an answer may use at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upper {
    /// All input tokens.
    pub input_tokens: u64,
    /// All output tokens, reasoning included.
    pub output_tokens: u64,
    /// Searches of the web.
    pub searches: u64,
}

const INPUTS: &[Counted] = &[
    Counted::Input,
    Counted::CachedInput,
    Counted::CacheWrite,
    Counted::CacheWrite1h,
    Counted::CacheWrite12h,
    Counted::AudioInput,
    Counted::CachedAudio,
    Counted::ImageInput,
    Counted::VideoInput,
];
const OUTPUTS: &[Counted] = &[Counted::Output, Counted::Reasoning, Counted::AudioOutput, Counted::ImageOutput];

/// Count times rate, rounded to a whole nano-USD, halves up. A rate is nano-USD for one of what is counted one by one, and
/// a thousandth of that for a token.
fn cost(what: Counted, count: u64, rate: Rate) -> NanoUsd {
    let nanos = match (what.is_tokens(), count.checked_mul(rate.units())) {
        (false, exact) => exact.unwrap_or(u64::MAX),
        (true, Some(picos)) => picos / 1000 + u64::from(picos % 1000 >= 500),
        (true, None) => {
            let picos = u128::from(count) * u128::from(rate.units());
            u64::try_from((picos + 500) / 1000).unwrap_or(u64::MAX)
        }
    };
    NanoUsd(nanos)
}

#[cfg(test)]
mod tests;
