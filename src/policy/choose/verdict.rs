//! Whether a target keeps a latency bound: sequential tests on which answers were over it.
//!
//! An answer is over the bound or not; the bound allows a share of them. A target that is believed to keep it is watched by two
//! CUSUM tests (Page, "Continuous Inspection Schemes", Biometrika 1954), one for a sudden great change, one for a slow small
//! one. Both raise a false alarm about as often as the threshold says (e^threshold answers at the allowed share), which is
//! chosen from the traffic so that it is an hour or more. One that broke the bound is believed again by a sequential
//! probability ratio test (Wald, "Sequential Tests of Statistical Hypotheses", 1945) against the share that it was seen to
//! have; whoever breaks it again soon needs more evidence each time.

use std::time::Duration;

use crate::base::clock::Instant;

/// The odds of being over, of a target that breaks the bound, as multiples of those that are allowed.
const BROKEN: [f32; 2] = [6.0, 1.5];
/// The odds of one that keeps it well.
const KEPT_WELL: f32 = 0.5;
/// The odds against which a return is tested at least and at most.
const AGAINST: [f32; 2] = [1.7, 6.0];
/// What one more answer over the bound adds to the share that is believed of a target that broke it.
const LEARNT: f32 = 0.15;
/// Evidence for a return, as a part of the threshold of alarms.
const RETURN_PART: f32 = 0.25;
/// Where a test begins for whom is hardly known (Lucas and Crosier, "Fast Initial Response for CUSUM", 1982).
const HEAD_START: f32 = 0.5;
/// Who breaks the bound again within this needs twice the evidence the next time; each such time that passed well takes that back.
const RELAPSE: Duration = Duration::from_secs(120);
const RELAPSES_MAX: u8 = 5;

/// What one answer says for one share of answers over the bound against another: logarithms of likelihood ratios.
#[derive(Clone, Copy, Debug)]
struct Odds {
    over: f32,
    within: f32,
}

impl Odds {
    /// For `to` against `from`, both shares.
    fn of(to: f32, from: f32) -> Self {
        Self { over: (to / from).ln(), within: ((1.0 - to) / (1.0 - from)).ln() }
    }

    fn says(self, over: bool) -> f32 {
        if over { self.over } else { self.within }
    }
}

/// The share whose odds are so many times those of `share`.
fn times(share: f32, odds: f32) -> f32 {
    let odds = odds * share / (1.0 - share);
    odds / (1.0 + odds)
}

/// One CUSUM test.
#[derive(Clone, Copy, Debug, Default)]
struct Alarm {
    score: f32,
    /// Answers since the score was zero, and those of them that were over.
    answers: u32,
    over: u32,
}

impl Alarm {
    fn add(&mut self, over: bool, odds: Odds) {
        self.score += odds.says(over);
        self.answers = self.answers.saturating_add(1);
        self.over = self.over.saturating_add(u32::from(over));
        if self.score <= 0.0 {
            *self = Self::default();
        }
    }
}

/// What the tests of a bound are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tests {
    /// The share of answers that may be over.
    allowed: f32,
    alarms: [Odds; 2],
}

impl Tests {
    /// Those of a bound on this percentile.
    pub(super) fn of(percentile: u8) -> Self {
        let allowed = 1.0 - f32::from(percentile.clamp(1, 99)) / 100.0;
        Self { allowed, alarms: BROKEN.map(|odds| Odds::of(times(allowed, odds), allowed)) }
    }

    /// The share of answers that may be over.
    pub(super) fn allowed(&self) -> f32 {
        self.allowed
    }
}

/// Whether one target keeps one bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    alarms: [Alarm; 2],
    /// While the bound counts as broken.
    broken: Option<Broken>,
    /// Since when it counts as kept, after it was broken.
    kept_since: Option<Instant>,
    relapses: u8,
}

#[derive(Clone, Copy, Debug)]
struct Broken {
    /// The share that is believed to be over.
    over: f32,
    /// For keeping it well.
    evidence: f32,
}

impl Verdict {
    /// It counts as kept until it is seen to be broken, and that is seen soon.
    pub(super) fn unknown(threshold: f32) -> Self {
        Self { alarms: Self::head_start(threshold), broken: None, kept_since: None, relapses: 0 }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// An answer was over the bound, or within it.
    pub(super) fn add(&mut self, over: bool, tests: &Tests, threshold: f32, now: Instant) {
        match &mut self.broken {
            Some(broken) => {
                broken.add(over, tests);
                if broken.evidence >= threshold * RETURN_PART * f32::from(1u16 << self.relapses) {
                    self.broken = None;
                    self.kept_since = Some(now);
                    self.alarms = Self::head_start(threshold);
                }
            }
            None => self.watch(over, tests, threshold, now),
        }
    }

    fn watch(&mut self, over: bool, tests: &Tests, threshold: f32, now: Instant) {
        self.alarms.iter_mut().zip(tests.alarms).for_each(|(alarm, odds)| alarm.add(over, odds));
        let Some(alarm) = self.alarms.iter().find(|alarm| alarm.score >= threshold) else { return };
        let [least, most] = AGAINST.map(|odds| times(tests.allowed, odds));
        let seen = alarm.over as f32 / alarm.answers.max(1) as f32;
        self.broken = Some(Broken { over: seen.clamp(least, most), evidence: 0.0 });
        if let Some(since) = self.kept_since.take() {
            let well = now.saturating_duration_since(since).as_secs() / RELAPSE.as_secs();
            self.relapses = match u8::try_from(well) {
                Ok(0) => (self.relapses + 1).min(RELAPSES_MAX),
                well => self.relapses.saturating_sub(well.unwrap_or(u8::MAX)),
            };
        }
    }

    fn head_start(threshold: f32) -> [Alarm; 2] {
        [Alarm { score: threshold * HEAD_START, ..Alarm::default() }; 2]
    }
}

impl Broken {
    fn add(&mut self, over: bool, tests: &Tests) {
        let [least, most] = AGAINST.map(|odds| times(tests.allowed, odds));
        if over {
            self.over += (1.0 - self.over) * LEARNT;
            self.over = self.over.clamp(least, most);
        }
        let odds = Odds::of(times(tests.allowed, KEPT_WELL), self.over);
        self.evidence = (self.evidence + odds.says(over)).max(0.0);
    }
}
