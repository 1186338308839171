//! A list of prices, compiled: its text is read once, and what holds on an occasion is found without parsing.

use std::time::SystemTime;

use super::price::{Moment, Prices, Rates, cut, day_of};

const DAY_MINUTES: u64 = 24 * 60;
const WEEK_WORDS: usize = (7 * DAY_MINUTES).div_ceil(64) as usize;

/// A part of a list: the rates that it gives, and when.
#[derive(Clone, Debug)]
pub struct Clause {
    /// When it holds.
    pub when: When,
    /// The rates that it gives; what it gives none for stays as the clauses before it say.
    pub rates: Rates,
}

/// When a clause holds.
#[derive(Clone, Debug)]
pub struct When {
    /// The period that it belongs to, where it is not the first: the days since 1970 on which that begins. With its first day,
    /// whatever the clauses of earlier periods say ends. `Some(None)`: a day that cannot be read, and so never comes.
    pub from_day: Option<Option<u64>>,
    least_tokens: u64,
    hours: Option<Box<Hours>>,
    at_this_tier: bool,
}

/// Minutes of a week, a bit for each.
type Hours = [u64; WEEK_WORDS];

/// A moment, as [`When`] asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Days since 1970.
    pub day: u64,
    week_minute: usize,
}

impl Stamp {
    /// The stamp of a time.
    pub fn of(at: SystemTime) -> Self {
        let moment = Moment::of(at);
        Self { day: moment.day, week_minute: ((moment.weekday - 1) * DAY_MINUTES + moment.minute) as usize }
    }
}

impl When {
    /// On every occasion.
    pub const ALWAYS: Self = Self { from_day: None, least_tokens: 0, hours: None, at_this_tier: true };

    /// The least input tokens of a request for which it holds.
    pub fn least_tokens(&self) -> u64 {
        self.least_tokens
    }

    /// Whether it holds for a request of so many input tokens, its period and its hours aside.
    pub fn may_hold(&self, input_tokens: u64) -> bool {
        self.at_this_tier && input_tokens >= self.least_tokens
    }

    /// Whether it holds at some hours only.
    pub fn has_hours(&self) -> bool {
        self.hours.is_some()
    }

    /// Whether it is one of its hours.
    pub fn is_hour(&self, stamp: Stamp) -> bool {
        let is_in = |hours: &Hours| hours.get(stamp.week_minute / 64).is_some_and(|word| word >> (stamp.week_minute % 64) & 1 == 1);
        self.hours.as_deref().is_none_or(is_in)
    }

    fn read(conditions: &str, service_tier: &str) -> Self {
        let mut when = Self::ALWAYS;
        for word in conditions.split(' ').filter(|word| !word.is_empty()) {
            if let Some(tokens) = word.strip_prefix('>') {
                let least = tokens.parse::<u64>().ok().and_then(|tokens| tokens.checked_add(1));
                when.at_this_tier &= least.is_some();
                when.least_tokens = when.least_tokens.max(least.unwrap_or(0));
            } else if let Some(tier) = word.strip_prefix('@') {
                when.at_this_tier &= tier == service_tier;
            } else if let Some(spans) = word.strip_prefix("off:") {
                when.hours = Some(Box::new(hours(spans)));
            } else if let Some(day) = word.strip_prefix("from:") {
                when.from_day = when.from_day.or(Some(day_of(day)));
            } else {
                when.at_this_tier = false;
            }
        }
        when
    }
}

impl Prices {
    /// The clauses of the list as they count at a service tier, in order.
    pub fn clauses(&self, service_tier: &str) -> Vec<Clause> {
        let clause = |group| {
            let (conditions, words) = cut(group);
            let mut rates = Rates::default();
            words.split(' ').for_each(|word| rates.read(word));
            Clause { when: When::read(conditions, service_tier), rates }
        };
        self.listed.split('|').map(clause).collect()
    }

    /// What the policy says, whatever the list does.
    pub fn set(&self) -> &Rates {
        &self.set
    }
}

/// Each minute that is within one of the spans.
fn hours(spans: &str) -> Hours {
    let mut hours = [0; WEEK_WORDS];
    for minute in 0..7 * DAY_MINUTES {
        let moment = Moment { day: 0, weekday: minute / DAY_MINUTES + 1, minute: minute % DAY_MINUTES };
        if spans.split(';').any(|spans| moment.is_in(spans))
            && let Some(word) = hours.get_mut(minute as usize / 64)
        {
            *word |= 1 << (minute % 64);
        }
    }
    hours
}
