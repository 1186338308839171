//! How much traffic an alias has, and so how often it may try who is out of favour, and how sure it must be of a change.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::Instant;
use crate::config::Moment;
use crate::policy::SizeClass;
use crate::policy::decay::{Decay, Mean};

/// The traffic of late.
const TRAFFIC: Decay = Decay { half_life: Duration::from_secs(300), window: 1e9 };
/// A false alarm about so often, or more rarely.
const FALSE_ALARM: Duration = Duration::from_secs(1200);
/// The threshold of alarms, as a logarithm of answers: at little traffic an alarm must not wait for certainty.
const THRESHOLD: [f32; 2] = [4.0, 12.0];
/// Trials that may be saved up.
const TRIALS_MAX: f32 = 3.0;
/// Switches that are remembered.
const SWITCHES_MAX: usize = 1000;
const HOUR: Duration = Duration::from_secs(3600);

/// How often who is out of favour may be tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Trials for each request.
    pub(super) share: f32,
    /// So that little traffic can try at all: a trial each so often.
    pub(super) each: Duration,
}

/// The pace of an alias.
#[derive(Debug)]
pub(super) struct Pace {
    budget: Budget,
    /// Of each size class, the bits of an `f32`.
    thresholds: [AtomicU32; SizeClass::COUNT],
    /// Who is preferred for being fastest, in each size class and moment: the target's digest. 0: nobody yet.
    preferred: [[AtomicU64; 2]; SizeClass::COUNT],
    state: Mutex<State>,
}

/// What of a pace is under its lock.
#[derive(Debug)]
pub(super) struct State {
    lanes: [Lane; SizeClass::COUNT],
    switches: VecDeque<Instant>,
}

/// The requests of one size class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    arrivals: Mean,
    at: Instant,
    trials: f32,
}

impl Pace {
    pub(super) fn new(budget: Budget, now: Instant) -> Self {
        let lane = Lane { arrivals: Mean::new(now), at: now, trials: 1.0 };
        let state = State { lanes: [lane; SizeClass::COUNT], switches: VecDeque::new() };
        let thresholds = std::array::from_fn(|_| AtomicU32::new(THRESHOLD[0].to_bits()));
        Self { budget, thresholds, preferred: Default::default(), state: Mutex::new(state) }
    }

    /// How sure a change must be.
    pub(super) fn threshold(&self, class: SizeClass) -> f32 {
        self.thresholds.get(class.index()).map_or(THRESHOLD[0], |threshold| f32::from_bits(threshold.load(Ordering::Relaxed)))
    }

    /// A request has come: what is to be decided on it under the lock is decided by `f`.
    pub(super) fn arrive<T>(&self, class: SizeClass, now: Instant, f: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let mut state = self.lock();
        let lane = state.lanes.get_mut(class.index())?;
        let passed = now.saturating_duration_since(lane.at);
        lane.at = lane.at.max(now);
        lane.arrivals.add(1.0, &TRAFFIC, now);
        let more = self.budget.share + passed.as_secs_f32() / self.budget.each.as_secs_f32();
        lane.trials = (lane.trials + more).min(TRIALS_MAX);
        let awaited = TRAFFIC.rate(lane.arrivals.weight(&TRAFFIC, now)) * FALSE_ALARM.as_secs_f32();
        if let Some(threshold) = self.thresholds.get(class.index()) {
            threshold.store(awaited.ln().clamp(THRESHOLD[0], THRESHOLD[1]).to_bits(), Ordering::Relaxed);
        }
        Some(f(lane))
    }

    /// Who is preferred for being fastest: the target's digest.
    pub(super) fn preferred(&self, class: SizeClass, moment: Moment) -> Option<u64> {
        let preferred = self.preferred.get(class.index())?.get(moment as usize)?.load(Ordering::Relaxed);
        (preferred != 0).then_some(preferred)
    }

    /// This target is preferred for being fastest.
    pub(super) fn prefer(&self, class: SizeClass, moment: Moment, id: u64, now: Instant) {
        let Some(preferred) = self.preferred.get(class.index()).and_then(|moments| moments.get(moment as usize)) else { return };
        let before = preferred.swap(id, Ordering::Relaxed);
        if before != 0 && before != id {
            self.switched(now);
        }
    }

    /// Another target became the preferred one.
    pub(super) fn switched(&self, now: Instant) {
        let mut state = self.lock();
        if state.switches.len() >= SWITCHES_MAX {
            state.switches.pop_front();
        }
        state.switches.push_back(now);
    }

    /// Switches within the last hour.
    pub(super) fn switches(&self, now: Instant) -> usize {
        self.lock().switches.iter().filter(|at| now.saturating_duration_since(**at) < HOUR).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// Takes leave for a trial.
    pub(super) fn try_one(&mut self) -> bool {
        let may = self.trials >= 1.0;
        if may {
            self.trials -= 1.0;
        }
        may
    }
}
