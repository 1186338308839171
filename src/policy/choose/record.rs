//! How one target of an alias keeps its bounds, in one size class: what is under way, what came of it, what that says.

use std::time::Duration;

use super::under_way::{Number, UnderWay};
use super::verdict::{Tests, Verdict};
use crate::base::clock::Instant;
use crate::config::{LatencyBound, Moment};
use crate::policy::decay::{Decay, Mean};

/// Shares over a bound, as they are shown.
pub(super) const SHOWN: Decay = Decay { half_life: Duration::from_secs(120), window: 256.0 };
/// Before a target that broke a bound is tried again; doubled with each trial that fails.
const REST_FIRST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(16);
/// The most trials under way at once: 2 to this.
const DOUBLINGS_MAX: u32 = 5;

/// The bounds of a strategy with their tests.
#[derive(Debug)]
pub(super) struct Bounds(Vec<Bound>);

/// One of them.
#[derive(Debug)]
pub(super) struct Bound {
    /// As the configuration says it.
    pub(super) said: LatencyBound,
    tests: Tests,
    /// The part of the bound that a microsecond is.
    pub(super) per_micro: f32,
}

impl Bounds {
    pub(super) fn new(bounds: &[LatencyBound]) -> Self {
        let per_micro = |bound: &LatencyBound| 1.0 / bound.within.as_micros().max(1) as f32;
        let bound = |bound: &LatencyBound| Bound { said: *bound, tests: Tests::of(bound.percentile), per_micro: per_micro(bound) };
        // As many as there are bits for those that are open.
        Self(bounds.iter().take(8).map(bound).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> &[Bound] {
        &self.0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &LatencyBound> {
        self.0.iter().map(|bound| &bound.said)
    }

    /// The least share that may be over.
    pub(super) fn allowed(&self) -> f32 {
        self.0.iter().map(|bound| bound.tests.allowed()).fold(1.0, f32::min)
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// How one target keeps the bounds in one size class.
#[derive(Debug)]
pub(super) struct Record {
    /// One for each bound.
    verdicts: Vec<(Verdict, Mean)>,
    under_way: UnderWay,
    /// While a bound counts as broken.
    trials: Option<Trials>,
}

/// A target is tried after it broke a bound.
#[derive(Clone, Copy, Debug)]
struct Trials {
    since: Instant,
    /// The number of the first request sent since.
    from: u64,
    under_way: u32,
    /// In a row within the bounds.
    good: u32,
    rest: Duration,
    next: Instant,
}

/// What is published of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Regard {
    /// It counts as keeping the bounds.
    Kept,
    /// It broke one; it may be tried from `next` on, for a first time or, where trials went well, once more.
    Broken { next: Instant, promising: bool },
}

impl Record {
    pub(super) fn new(bounds: &Bounds, threshold: f32, now: Instant) -> Self {
        let verdicts: Vec<_> = bounds.iter().map(|_| (Verdict::unknown(threshold), Mean::new(now))).collect();
        // Without bounds there is one question still: whether the target hangs.
        Self { under_way: UnderWay::new(verdicts.len().max(1)), verdicts, trials: None }
    }

    /// A request is sent.
    pub(super) fn sent(&mut self, open: u8, now: Instant) -> Number {
        let number = self.under_way.push(open, now)?;
        if let Some(trials) = &mut self.trials {
            trials.under_way += 1;
            trials.next = if trials.has_room() { now } else { now + trials.rest.max(REST_MAX) };
        }
        Some(number)
    }

    /// What is known of a request that was not known before: `over` says for each bound whether it is over it, where that is known.
    pub(super) fn told(&mut self, number: Number, open: u8, over: impl Fn(&LatencyBound) -> Option<bool>, facts: &Facts<'_>) {
        self.sweep(facts);
        for (place, bound) in facts.bounds.iter().enumerate() {
            let Some(over) = over(bound) else { continue };
            let is_open = match number {
                Some(number) => self.under_way.close(number, 1 << place),
                None => open & 1 << place != 0,
            };
            if is_open {
                self.decide(number, place, over, facts);
            }
        }
    }

    /// An answer has come, where there are no bounds; tells whether it was not held to hang.
    pub(super) fn came(&mut self, number: Number) -> bool {
        number.is_none_or(|number| self.under_way.close(number, u8::MAX))
    }

    /// A request has ended, whatever else is not known of it.
    pub(super) fn ended(&mut self, number: Number) {
        let Some(number) = number else { return };
        self.under_way.close(number, u8::MAX);
        if let Some(trials) = self.trials.as_mut().filter(|trials| number >= trials.from) {
            trials.under_way = trials.under_way.saturating_sub(1);
            if trials.good > 0 && trials.has_room() {
                trials.next = trials.since;
            }
        }
    }

    /// Requests under way that are late already are over the bound, without waiting for how late they will be.
    pub(super) fn sweep(&mut self, facts: &Facts<'_>) {
        for (place, bound) in facts.bounds.iter().enumerate() {
            while let Some(number) = self.under_way.late(place, bound.within, facts.now) {
                self.decide(Some(number), place, true, facts);
            }
        }
    }

    /// How many requests have come to hang: are under way for longer than this.
    pub(super) fn hanging(&mut self, within: Duration, now: Instant) -> usize {
        std::iter::from_fn(|| self.under_way.late(0, within, now)).count()
    }

    /// How the target is to be regarded.
    pub(super) fn regard(&self) -> Regard {
        match &self.trials {
            None => Regard::Kept,
            Some(trials) => Regard::Broken { next: trials.next, promising: trials.good > 0 },
        }
    }

    /// Since when a bound counts as broken.
    pub(super) fn broken_since(&self) -> Option<Instant> {
        self.trials.map(|trials| trials.since)
    }

    /// It was chosen for a trial, so that no other request chooses it before that one is sent.
    pub(super) fn chosen(&mut self, now: Instant) {
        if let Some(trials) = self.trials.as_mut().filter(|trials| trials.good == 0) {
            trials.next = now + trials.rest;
        }
    }

    /// The share of answers of late over each bound.
    pub(super) fn over(&self, now: Instant) -> impl Iterator<Item = (Option<f32>, bool)> {
        self.verdicts.iter().map(move |(verdict, mean)| {
            let known = mean.weight(&SHOWN, now) >= 1.0;
            (mean.mean().filter(|_| known), verdict.is_broken())
        })
    }

    fn decide(&mut self, number: Number, place: usize, over: bool, facts: &Facts<'_>) {
        let (Some((verdict, mean)), Some(bound)) = (self.verdicts.get_mut(place), facts.bounds.all().get(place)) else { return };
        mean.add(f32::from(u8::from(over)), &SHOWN, facts.now);
        // What was sent before the bound was broken says nothing for a return.
        let before = self.trials.is_some_and(|trials| number.is_none_or(|number| number < trials.from));
        if !before {
            verdict.add(over, &bound.tests, facts.threshold, facts.now);
        }
        let broken = self.verdicts.iter().any(|(verdict, _)| verdict.is_broken());
        match &mut self.trials {
            None if broken => self.trials = Some(Trials::new(self.under_way.next(), facts.now)),
            Some(_) if !broken => self.trials = None,
            Some(trials) if !before => trials.add(over, facts.now),
            _ => {}
        }
    }
}

/// What a record is told with every fact.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) bounds: &'a Bounds,
    /// Of the tests.
    pub(super) threshold: f32,
    pub(super) now: Instant,
}

impl Facts<'_> {
    /// The bounds that can be kept or broken by an answer: one without a stream has no first content. Without bounds there is one
    /// question still.
    pub(super) fn open(bounds: &Bounds, stream: bool) -> u8 {
        if bounds.is_empty() {
            return 1;
        }
        let counts = |bound: &LatencyBound| stream || bound.moment == Moment::Whole;
        bounds.iter().enumerate().map(|(place, bound)| u8::from(counts(bound)) << place).sum()
    }
}

impl Trials {
    fn new(from: u64, now: Instant) -> Self {
        Self { since: now, from, under_way: 0, good: 0, rest: REST_FIRST, next: now + REST_FIRST }
    }

    fn has_room(&self) -> bool {
        self.under_way < 1 << self.good.min(DOUBLINGS_MAX)
    }

    fn add(&mut self, over: bool, now: Instant) {
        if over {
            self.good = 0;
            self.next = now + self.rest;
            self.rest = (self.rest * 2).min(REST_MAX);
            return;
        }
        self.good = self.good.saturating_add(1);
        self.next = if self.has_room() { now } else { now + REST_MAX };
    }
}
