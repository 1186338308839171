//! What was admitted in the last 60 seconds, exactly.
//!
//! A log, not a counter: a bucket that refills admits up to twice its size in 60 seconds, and a window of the clock has an
//! edge at which two windows' worth comes at once. Up to [`EXACT`] entries are kept as they are; beyond, those of one
//! [`GRAIN`] share an entry that counts from the last of them, so that they leave late by less than a grain and never
//! early. That bounds the log at [`EXACT`] entries and one for each grain of a minute, whatever the limit.

use std::collections::VecDeque;

/// The length of the window, in nanoseconds.
pub(super) const MINUTE: u64 = 60_000_000_000;

/// Entries up to which each instant has its own.
pub(super) const EXACT: usize = 64;

/// How late an entry may leave in a longer log, in nanoseconds.
pub(super) const GRAIN: u64 = 200_000_000;

/// What was admitted at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: u64,
    tokens: u64,
    requests: u32,
}

/// The log of one subject. Instants are nanoseconds of the books' own clock, and never go back from call to call.
#[derive(Debug)]
pub(super) struct Rates {
    entries: VecDeque<Entry>,
    requests: u64,
    tokens: u64,
    /// What was told of requests, and of tokens.
    pub(super) told: [Told; 2],
}

impl Rates {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::with_capacity(1), requests: 0, tokens: 0, told: [Told::default(); 2] }
    }

    /// Requests that still count, as of the last [`Rates::expire`].
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Tokens that still count.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lets go of what was admitted 60 seconds ago or earlier.
    pub(super) fn expire(&mut self, now: u64) {
        while let Some(entry) = self.entries.front().filter(|entry| entry.at + MINUTE <= now) {
            self.requests -= u64::from(entry.requests);
            self.tokens -= entry.tokens;
            self.entries.pop_front();
        }
    }

    /// Counts from now on.
    pub(super) fn push(&mut self, now: u64, requests: u32, tokens: u64) {
        let tokens = tokens.min(u64::MAX - self.tokens);
        self.requests += u64::from(requests);
        self.tokens += tokens;
        let crowded = self.entries.len() >= EXACT;
        if let Some(last) = self.entries.back_mut()
            && (last.at == now || crowded && last.at / GRAIN == now / GRAIN)
            && let Some(sum) = last.requests.checked_add(requests)
        {
            (last.at, last.requests, last.tokens) = (now, sum, last.tokens + tokens);
            return;
        }
        self.entries.push_back(Entry { at: now, tokens, requests });
    }

    /// Takes back what was counted at `at`, if it still counts.
    pub(super) fn refund(&mut self, at: u64, now: u64, requests: u32, tokens: u64) {
        // Past its time it may have left, and then its place is another's.
        if at + MINUTE <= now {
            return;
        }
        // Entries only ever move to later instants, so that the first one not before `at` has it; that is often the last.
        let last = self.entries.len().saturating_sub(1);
        let before = last.checked_sub(1).and_then(|before| self.entries.get(before));
        let is_last = before.is_none_or(|before| before.at < at);
        let place = if is_last { last } else { self.entries.partition_point(|entry| entry.at < at) };
        if let Some(entry) = self.entries.get_mut(place) {
            let (requests, tokens) = (requests.min(entry.requests), tokens.min(entry.tokens));
            entry.requests -= requests;
            entry.tokens -= tokens;
            self.requests -= u64::from(requests);
            self.tokens -= tokens;
        }
    }

    /// How long until so many requests have left.
    pub(super) fn until_requests_leave(&self, excess: u64, now: u64) -> u64 {
        self.until(excess, now, |entry| u64::from(entry.requests))
    }

    /// How long until so many tokens have left.
    pub(super) fn until_tokens_leave(&self, excess: u64, now: u64) -> u64 {
        self.until(excess, now, |entry| entry.tokens)
    }

    /// How long until all have left.
    pub(super) fn until_empty(&self, now: u64) -> u64 {
        self.entries.back().map_or(0, |last| (last.at + MINUTE).saturating_sub(now))
    }

    fn until(&self, excess: u64, now: u64, of: impl Fn(&Entry) -> u64) -> u64 {
        let mut gone = 0_u64;
        for entry in &self.entries {
            gone = gone.saturating_add(of(entry));
            if gone >= excess {
                return (entry.at + MINUTE).saturating_sub(now);
            }
        }
        self.until_empty(now)
    }
}

/// How many thresholds were told, and until when they are not told again: a level below 8, and seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told(u32);

impl Told {
    /// Notes that the level is reached. Whether that is news: a higher level than in the last 60 seconds.
    pub(super) fn reach(&mut self, level: u8, now: u64) -> bool {
        // Mostly nothing is, and then time does not matter.
        if level == 0 || level <= (self.0 & 7) as u8 && !self.is_over(now) {
            return false;
        }
        *self = Self((seconds(now) + 60) << 3 | u32::from(level & 7));
        true
    }

    /// Whether whatever was told may be told again.
    pub(super) fn is_over(self, now: u64) -> bool {
        seconds(now) >= self.0 >> 3
    }
}

/// Seconds of the books' clock, up to 17 years.
fn seconds(now: u64) -> u32 {
    u32::try_from(now / 1_000_000_000).unwrap_or(u32::MAX).min((u32::MAX >> 3) - 60)
}
