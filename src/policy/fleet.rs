//! What is known of targets and aliases from what they did: kept by name, so that a reload forgets nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::budget::RetryBudget;
use super::choose::{Chooser, Entrant};
use super::estimate::Calibration;
use super::health::Health;
use super::hedge::HedgeBudget;
use super::latency::Latency;
use crate::base::clock::Instant;
use crate::base::rng::Rng;
use crate::config::Strategy;

/// How many targets or aliases are remembered. Callers may ask for any model of a provider by its name: those beyond are new each
/// time that they are resolved.
const KEPT_MAX: usize = 4096;

/// One target, by what it did.
pub struct TargetState {
    /// Whether it may be asked.
    pub health: Arc<Health>,
    /// How fast it answers.
    pub latency: Arc<Latency>,
    /// How it counts tokens.
    pub calibration: Calibration,
}

/// One alias, by what was asked of it.
#[derive(Default)]
pub struct AliasState {
    /// Its retries.
    pub retries: Arc<RetryBudget>,
    /// Its hedges.
    pub hedges: HedgeBudget,
    chooser: Mutex<Option<Arc<Chooser>>>,
}

impl AliasState {
    /// Puts a chooser for these targets in the place of the one before, whose knowledge it takes over.
    pub fn renew(&self, strategy: Strategy, targets: Vec<Entrant>, now: Instant) -> Arc<Chooser> {
        let mut latest = self.chooser.lock().unwrap_or_else(PoisonError::into_inner);
        let chooser = Arc::new(Chooser::new(strategy, targets, latest.as_deref(), now));
        *latest = Some(Arc::clone(&chooser));
        chooser
    }

    /// The latest chooser.
    pub fn chooser(&self) -> Option<Arc<Chooser>> {
        self.chooser.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All of them.
#[derive(Default)]
pub struct Fleet {
    targets: Mutex<HashMap<Box<str>, Arc<TargetState>>>,
    aliases: Mutex<HashMap<Box<str>, Arc<AliasState>>>,
}

impl Fleet {
    /// The state of the target `provider/model`, whose provider has these keys now.
    pub fn target(&self, label: &str, keys: &[u64], rng: Rng, now: Instant) -> Arc<TargetState> {
        let new = || TargetState {
            health: Arc::new(Health::new(keys.len(), rng.clone(), now)),
            latency: Arc::new(Latency::new(now)),
            calibration: Calibration::of(label),
        };
        let state = kept(&self.targets, label, new);
        state.health.keep_keys(keys);
        state
    }

    /// The state of an alias.
    pub fn alias(&self, name: &str) -> Arc<AliasState> {
        kept(&self.aliases, name, AliasState::default)
    }

    /// The state of a target that was asked for before.
    pub fn known_target(&self, label: &str) -> Option<Arc<TargetState>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).get(label).cloned()
    }

    /// The state of an alias that was asked for before.
    pub fn known_alias(&self, name: &str) -> Option<Arc<AliasState>> {
        self.aliases.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

/// The state of this name; a new one where there is none.
fn kept<S>(all: &Mutex<HashMap<Box<str>, Arc<S>>>, name: &str, new: impl Fn() -> S) -> Arc<S> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(state) = all.get(name) {
        return Arc::clone(state);
    }
    if all.len() >= KEPT_MAX {
        // What only this map holds is in nobody's use.
        all.retain(|_, state| Arc::strong_count(state) > 1);
    }
    let state = Arc::new(new());
    if all.len() < KEPT_MAX {
        all.insert(name.into(), Arc::clone(&state));
    }
    state
}
