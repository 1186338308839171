//! Which of a target's keys is used next, and which ones rest.

use std::time::Duration;

use super::super::blame::Trouble;
use crate::base::clock::Instant;

/// A hint that asks for more than this is not followed further: a key, or a target, is looked at again after it.
pub const REST_MAX: Duration = Duration::from_secs(600);
/// How long the one request that finds out about a key which was not accepted keeps the others away from it.
const LEASE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Keys {
    all: Box<[Key]>,
    /// From where the next one is looked for.
    next: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Key {
    /// Tells it from the one that was in its place before.
    id: u64,
    until: Option<Instant>,
    trouble: Option<Trouble>,
    /// Rests since it last worked.
    rests: u8,
}

/// A key in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) index: usize,
    id: u64,
    leased: bool,
}

/// How one key stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyReport {
    /// How long until it is used again; zero where it is ready.
    pub wait: Duration,
    /// What was wrong with it last, where it has not worked since.
    pub trouble: Option<&'static str>,
}

impl Trouble {
    /// The first rest of a key that the provider does not give a time for, and the longest: it doubles in between.
    fn rest(self) -> (Duration, Duration) {
        let (first, most) = match self {
            Self::Limited => (1, 60),
            // Shorter than for a key that is not accepted: it may be what was asked for.
            Self::Forbidden => (10, 600),
            Self::Refused => (60, 1800),
            Self::Spent => (600, 3600),
        };
        (Duration::from_secs(first), Duration::from_secs(most))
    }
}

impl Keys {
    pub(super) fn new(count: usize) -> Self {
        Self { all: vec![Key::default(); count.max(1)].into(), next: 0 }
    }

    /// Whether these are the ones that are known.
    pub(super) fn are(&self, ids: &[u64]) -> bool {
        self.all.iter().map(|key| key.id).eq(ids.iter().copied())
    }

    /// From now on these: what is known of one that was there before stays.
    pub(super) fn become_these(&mut self, ids: &[u64]) {
        let known = |id: &u64| self.all.iter().find(|key| key.id == *id).copied().unwrap_or(Key { id: *id, ..Key::default() });
        self.all = ids.iter().map(known).collect();
        self.next = 0;
    }

    /// Whether each is ready, whatever the time.
    pub(super) fn none_rests(&self) -> bool {
        self.all.iter().all(|key| key.until.is_none())
    }

    /// When the first of them is ready, where none is now.
    pub(super) fn out(&self, now: Instant) -> Option<Instant> {
        let mut soonest: Option<Instant> = None;
        for key in &self.all {
            let until = key.until.filter(|until| *until > now)?;
            soonest = Some(soonest.map_or(until, |soonest| soonest.min(until)));
        }
        soonest
    }

    /// The next key that is ready, in turn.
    pub(super) fn take(&mut self, now: Instant) -> Option<Taken> {
        let count = self.all.len();
        let index = (0..count).map(|step| (self.next + step) % count).find(|index| self.all[*index].is_ready(now))?;
        self.next = (index + 1) % count;
        let key = &mut self.all[index];
        let leased = key.trouble.is_some_and(|trouble| trouble != Trouble::Limited);
        if leased {
            key.until = Some(now + LEASE);
        }
        Some(Taken { index, id: key.id, leased })
    }

    /// The next key, or the one that is ready soonest.
    pub(super) fn take_anyway(&mut self, now: Instant) -> Taken {
        self.take(now).unwrap_or_else(|| {
            let soonest = self.all.iter().enumerate().min_by_key(|(_, key)| key.until);
            soonest.map_or(Taken { index: 0, id: 0, leased: false }, |(index, key)| Taken { index, id: key.id, leased: false })
        })
    }

    /// It worked.
    pub(super) fn worked(&mut self, taken: Taken, now: Instant) {
        if let Some(key) = self.of(taken)
            // Resting by what another request was told meanwhile: that holds.
            && (taken.leased || key.is_ready(now))
        {
            *key = Key { id: key.id, ..Key::default() };
        }
    }

    /// Nothing was learnt of it.
    pub(super) fn give_back(&mut self, taken: Taken) {
        if let Some(key) = self.of(taken).filter(|_| taken.leased) {
            key.until = None;
        }
    }

    /// It failed, and rests.
    pub(super) fn rest(&mut self, taken: Taken, trouble: Trouble, told: Option<Duration>, now: Instant) {
        let Some(key) = self.of(taken) else { return };
        let (first, most) = trouble.rest();
        let told = told.filter(|told| !told.is_zero()).map(|told| told.min(REST_MAX));
        let rests_already = !taken.leased && !key.is_ready(now);
        let worse = key.trouble.is_none_or(|before| before.rest() < trouble.rest());
        let usual = first.saturating_mul(1 << key.rests.min(16)).min(most);
        let rest = match (told, trouble) {
            (Some(told), Trouble::Limited) => told,
            (Some(told), _) => told.max(usual),
            // Several requests that fail together are one failure.
            (None, _) if rests_already && !worse => return,
            (None, _) => usual,
        };
        if !rests_already {
            key.rests = key.rests.saturating_add(1);
        }
        if worse || !rests_already {
            key.trouble = Some(trouble);
        }
        let until = now + rest;
        key.until = Some(key.until.filter(|_| rests_already).map_or(until, |before| before.max(until)));
    }

    /// The key that was taken, where it is still there.
    fn of(&mut self, taken: Taken) -> Option<&mut Key> {
        self.all.get_mut(taken.index).filter(|key| key.id == taken.id)
    }

    pub(super) fn report(&self, now: Instant) -> Vec<KeyReport> {
        let report = |key: &Key| KeyReport {
            wait: key.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now)),
            trouble: key.trouble.map(Trouble::label),
        };
        self.all.iter().map(report).collect()
    }
}

impl Key {
    fn is_ready(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }
}
