//! When a target is not asked: after failures in a row, or too large a share of them; and how it comes back.

use std::time::Duration;

use super::super::Standing;
use super::window::Window;
use crate::base::clock::Instant;
use crate::base::rng::Rng;

/// So many failures in a row open it.
pub const FAILURES_IN_A_ROW: u32 = 5;
/// So do half of at least so many tries within the window.
pub const TRIES_MIN: u32 = 20;
/// The first opening lasts so long, each one after it twice as long,
pub const OPEN_FIRST: Duration = Duration::from_secs(1);
/// up to this.
pub const OPEN_MAX: Duration = Duration::from_secs(60);
/// A target that came back is given its full share after this.
pub const RETURN: Duration = Duration::from_secs(10);
/// The share that it begins with.
pub const SHARE_FIRST: f32 = 0.1;

#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    failures_in_a_row: u32,
    window: Window,
    /// Openings since it was last well.
    openings: u8,
    /// Which state this is, counted: what was begun in an earlier one says nothing of this one.
    era: u32,
    /// Whether a probe is under way.
    probed: bool,
    /// When it was opened, or asked though it was open.
    tried: Instant,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { back_since: Option<Instant> },
    Open { until: Instant },
}

/// What a try is to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    era: u32,
    pub(super) probe: bool,
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    /// No good answer, but one that shows that the target is there.
    Alive,
    Bad,
    /// Nothing is known.
    Unknown,
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        let state = State::Closed { back_since: None };
        Self { state, failures_in_a_row: 0, window: Window::new(now), openings: 0, era: 0, probed: false, tried: now }
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        match self.state {
            State::Closed { back_since: None } => Standing::Well,
            State::Closed { back_since: Some(since) } => match now.saturating_duration_since(since) {
                back if back >= RETURN => Standing::Well,
                back => Standing::Returning(SHARE_FIRST + (1.0 - SHARE_FIRST) * (back.as_secs_f32() / RETURN.as_secs_f32())),
            },
            State::Open { until } if now < until => Standing::Out(until),
            State::Open { .. } if self.probed => Standing::Out(now + OPEN_FIRST),
            State::Open { .. } => Standing::Probe,
        }
    }

    /// Whether it lets everything in, whatever the time.
    pub(super) fn is_simply_closed(&self) -> bool {
        matches!(self.state, State::Closed { back_since: None })
    }

    /// Lets a try in, or not.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Entry> {
        let probe = match self.standing(now) {
            Standing::Well | Standing::Returning(_) => false,
            Standing::Probe => true,
            Standing::Out(_) => return None,
        };
        self.probed |= probe;
        Some(Entry { era: self.era, probe })
    }

    /// Lets a try in that nothing better is known for.
    pub(super) fn begin_anyway(&mut self, now: Instant) -> Entry {
        self.tried = self.tried.max(now);
        self.begin(now).unwrap_or(Entry { era: self.era, probe: false })
    }

    pub(super) fn end(&mut self, entry: Entry, outcome: Outcome, now: Instant, rng: &mut Rng) {
        if entry.era != self.era {
            return;
        }
        self.give_back(entry);
        match (self.state, outcome) {
            (_, Outcome::Unknown) | (State::Closed { .. }, Outcome::Alive) => {}
            (State::Closed { back_since }, Outcome::Good) => {
                self.window.succeeded(now);
                self.failures_in_a_row = 0;
                if back_since.is_some_and(|since| now.saturating_duration_since(since) >= RETURN) {
                    self.state = State::Closed { back_since: None };
                    self.openings = 0;
                }
            }
            (State::Closed { .. }, Outcome::Bad) => {
                self.window.failed(now);
                self.count_failure(now, rng);
            }
            (State::Open { .. }, Outcome::Good | Outcome::Alive) => self.close(now),
            (State::Open { .. }, Outcome::Bad) if entry.probe => self.open(now, rng),
            // Asked for want of a better one: that it still fails is known, and must not put off the probe.
            (State::Open { .. }, Outcome::Bad) => {}
        }
    }

    /// What was let in and seemed good has failed.
    pub(super) fn failed_late(&mut self, now: Instant, rng: &mut Rng) {
        if let State::Closed { .. } = self.state {
            self.window.failed_late(now);
            self.count_failure(now, rng);
        }
    }

    /// Nothing was learnt by a try.
    pub(super) fn give_back(&mut self, entry: Entry) {
        if entry.probe && entry.era == self.era {
            self.probed = false;
        }
    }

    /// When it was last seen to fail, or asked for want of a better one.
    pub(super) fn tried(&self) -> Instant {
        self.tried
    }

    /// Whether a probe is under way.
    pub(super) fn is_probed(&self) -> bool {
        self.probed
    }

    #[cfg(test)]
    pub(super) fn is_current(&self, entry: Entry) -> bool {
        entry.era == self.era
    }

    pub(super) fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row
    }

    pub(super) fn counts(&self, now: Instant) -> (u32, u32) {
        self.window.counts(now)
    }

    fn count_failure(&mut self, now: Instant, rng: &mut Rng) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let (tries, failures) = self.window.counts(now);
        let mostly_fails = tries >= TRIES_MIN && failures.saturating_mul(2) >= tries;
        if self.failures_in_a_row >= FAILURES_IN_A_ROW || mostly_fails {
            self.open(now, rng);
        }
    }

    fn open(&mut self, now: Instant, rng: &mut Rng) {
        let whole = OPEN_FIRST.saturating_mul(1 << self.openings.min(16)).min(OPEN_MAX);
        // Up to a quarter less, by chance, so that many processes do not probe in step.
        let less = Duration::from_millis(rng.below(u64::try_from(whole.as_millis()).unwrap_or(0) / 4 + 1));
        self.openings = self.openings.saturating_add(1);
        self.tried = self.tried.max(now);
        self.enter(State::Open { until: now + whole.saturating_sub(less) });
    }

    fn close(&mut self, now: Instant) {
        self.failures_in_a_row = 0;
        self.window.clear();
        self.enter(State::Closed { back_since: Some(now) });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era = self.era.wrapping_add(1);
        self.probed = false;
    }
}
