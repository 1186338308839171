//! How one target is: its breaker, its keys, and when it asked to be left alone.
//!
//! A try takes a [`Permit`] and tells it what came of it. Only failures that are the target's own count against it, only
//! those that are a key's against that key (`blame`).

mod breaker;
mod keys;
mod window;

#[cfg(test)]
mod tests;

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use breaker::{FAILURES_IN_A_ROW, OPEN_FIRST, OPEN_MAX, RETURN, SHARE_FIRST, TRIES_MIN};
pub use keys::{KeyReport, REST_MAX};

use super::Standing;
use super::blame::{Blame, Verdict};
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::base::{Fault, FaultKind};
use breaker::{Breaker, Entry, Outcome};
use keys::{Keys, Taken};

/// The health of one target; a few hundred bytes.
#[derive(Debug)]
pub struct Health {
    /// Whether nothing speaks against asking it, now or later: all that most requests need to know, and no lock.
    well: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    keys: Keys,
    /// Until when it asked to be left alone.
    resting: Option<Instant>,
    last_fault: Option<(&'static str, Instant)>,
    rng: Rng,
}

/// Leave to ask a target once. Dropped without a word: nothing was learnt.
#[must_use = "a permit is told what came of it"]
#[derive(Debug)]
pub struct Permit {
    health: Arc<Health>,
    entry: Entry,
    taken: Taken,
    told: bool,
}

/// How a target is, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How it stands.
    pub standing: Standing,
    /// Its state in a word: `well`, `returning`, `probe`, `probing`, `open`, `resting`, `keys resting`.
    pub state: &'static str,
    /// How long until it may be asked again; zero where it may be now.
    pub wait: Duration,
    /// Failures since the last success.
    pub failures_in_a_row: u32,
    /// Tries within the last ten seconds.
    pub tries: u32,
    /// Failures among them.
    pub failures: u32,
    /// Its keys, in order.
    pub keys: Vec<KeyReport>,
    /// The kind of its last failure that was its own or a key's, and how long ago.
    pub last_fault: Option<(&'static str, Duration)>,
}

impl Health {
    /// A target that is well, with so many keys. `rng` scatters its probes: it should be another one in each process.
    pub fn new(keys: usize, rng: Rng, now: Instant) -> Self {
        let keys = Keys::new(keys);
        let state = State { breaker: Breaker::new(now), keys, resting: None, last_fault: None, rng };
        Self { well: AtomicBool::new(true), state: Mutex::new(state) }
    }

    /// The provider's keys as a (new) configuration has them, by what tells one from another: what is known of those that were there
    /// before stays, a new one in the place of one that rests is ready.
    pub fn keep_keys(&self, ids: &[u64]) {
        let mut state = self.lock();
        if !ids.is_empty() && !state.keys.are(ids) {
            state.keys.become_these(ids);
        }
    }

    /// How it stands.
    pub fn standing(&self, now: Instant) -> Standing {
        if self.well.load(Ordering::Relaxed) {
            return Standing::Well;
        }
        self.lock().standing(now)
    }

    /// Leave to ask it now; `None` where it is out, or another request finds out just now how it is.
    pub fn begin(self: &Arc<Self>, now: Instant) -> Option<Permit> {
        let mut state = self.lock();
        if state.rest(now).is_some() {
            return None;
        }
        let entry = state.breaker.begin(now)?;
        let taken = state.keys.take_anyway(now);
        drop(state);
        Some(Permit { health: Arc::clone(self), entry, taken, told: false })
    }

    /// Where nothing but its breaker keeps it out: when it was last seen to fail, or asked anyway. It may be back by now; a target
    /// or a key that rests by its own word is not.
    pub fn may_be_back(&self, now: Instant) -> Option<Instant> {
        let state = self.lock();
        let open = matches!(state.breaker.standing(now), Standing::Out(_));
        (open && state.rest(now).is_none()).then(|| state.breaker.tried())
    }

    /// Leave to ask it though it is out, for want of a better one.
    pub fn begin_anyway(self: &Arc<Self>, now: Instant) -> Permit {
        let mut state = self.lock();
        let entry = state.breaker.begin_anyway(now);
        let taken = state.keys.take_anyway(now);
        drop(state);
        Permit { health: Arc::clone(self), entry, taken, told: false }
    }

    /// An answer whose beginning was good broke off later.
    pub fn failed_late(&self, fault: &Fault, now: Instant) {
        if matches!(Verdict::of(fault).blame, Blame::Target | Blame::Site) {
            let mut state = self.lock();
            let state = &mut *state;
            state.last_fault = Some((fault.kind.label(), now));
            state.breaker.failed_late(now, &mut state.rng);
        }
    }

    /// How it is, for people.
    pub fn report(&self, now: Instant) -> Report {
        let state = self.lock();
        let standing = state.standing(now);
        let breaker = state.breaker.standing(now);
        let word = match (standing, breaker) {
            (Standing::Well, _) => "well",
            (Standing::Returning(_), _) => "returning",
            (Standing::Probe, _) => "probe",
            (Standing::Out(_), Standing::Out(_)) => {
                if state.breaker.is_probed() {
                    "probing"
                } else {
                    "open"
                }
            }
            (Standing::Out(_), _) if state.keys.out(now).is_some() => "keys resting",
            (Standing::Out(_), _) => "resting",
        };
        let (tries, failures) = state.breaker.counts(now);
        Report {
            standing,
            state: word,
            wait: standing.wait(now),
            failures_in_a_row: state.breaker.failures_in_a_row(),
            tries,
            failures,
            keys: state.keys.report(now),
            last_fault: state.last_fault.map(|(label, at)| (label, now.saturating_duration_since(at))),
        }
    }

    fn lock(&self) -> Locked<'_> {
        Locked { well: &self.well, state: self.state.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The state while it is looked at or changed; what it means for the next request is told when that is over.
struct Locked<'h> {
    well: &'h AtomicBool,
    state: MutexGuard<'h, State>,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.well.store(self.state.is_simply_well(), Ordering::Relaxed);
    }
}

impl State {
    /// Whether it is well, whatever the time.
    fn is_simply_well(&self) -> bool {
        self.resting.is_none() && self.breaker.is_simply_closed() && self.keys.none_rests()
    }

    fn standing(&self, now: Instant) -> Standing {
        match (self.rest(now), self.breaker.standing(now)) {
            (None, standing) => standing,
            (Some(until), Standing::Out(later)) => Standing::Out(until.max(later)),
            (Some(until), _) => Standing::Out(until),
        }
    }

    /// Until when it rests, breaker aside.
    fn rest(&self, now: Instant) -> Option<Instant> {
        let resting = self.resting.filter(|until| *until > now);
        resting.max(self.keys.out(now))
    }

    fn end(&mut self, entry: Entry, outcome: Outcome, now: Instant) {
        self.breaker.end(entry, outcome, now, &mut self.rng);
    }

    fn failed(&mut self, entry: Entry, taken: Taken, fault: &Fault, now: Instant) {
        let outcome = match Verdict::of(fault).blame {
            Blame::Nobody => {
                self.keys.give_back(taken);
                return self.end(entry, if fault.status.is_some() { Outcome::Alive } else { Outcome::Unknown }, now);
            }
            Blame::Key(trouble) => {
                self.keys.rest(taken, trouble, fault.retry_after, now);
                Outcome::Alive
            }
            Blame::Target | Blame::Site => {
                self.keys.give_back(taken);
                if fault.kind == FaultKind::Overloaded
                    && let Some(told) = fault.retry_after
                {
                    self.resting = self.resting.max(Some(now + told.min(REST_MAX)));
                }
                Outcome::Bad
            }
        };
        self.last_fault = Some((fault.kind.label(), now));
        self.end(entry, outcome, now);
    }
}

impl Permit {
    /// Which of the provider's keys to ask with.
    pub fn key(&self) -> usize {
        self.taken.index
    }

    /// Whether it finds out how a target is whose breaker was open.
    pub fn is_probe(&self) -> bool {
        self.entry.probe
    }

    /// The same, and no other try has found out meanwhile.
    #[cfg(test)]
    fn holds_the_probe(&self) -> bool {
        self.entry.probe && self.health.lock().breaker.is_current(self.entry)
    }

    /// A good answer has begun.
    pub fn succeeded(mut self, now: Instant) {
        self.told = true;
        let mut state = self.health.lock();
        state.resting = state.resting.filter(|until| *until > now);
        state.keys.worked(self.taken, now);
        state.end(self.entry, Outcome::Good, now);
    }

    /// It failed. Before the next target is looked for, since it decides how this one stands.
    pub fn failed(mut self, fault: &Fault, now: Instant) {
        self.told = true;
        self.health.lock().failed(self.entry, self.taken, fault, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.told {
            let mut state = self.health.lock();
            state.keys.give_back(self.taken);
            state.breaker.give_back(self.entry);
        }
    }
}
