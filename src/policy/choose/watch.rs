//! One request at one target, from its sending to its end.

use std::sync::Arc;

use super::Chooser;
use crate::base::clock::Instant;
use crate::config::Moment;
use crate::ir::Usage;
use crate::policy::features::Features;

/// One request at one target. It is told what comes of it; dropped without a word, nothing was learnt.
#[must_use = "a watch is told what came of the request"]
#[derive(Debug)]
pub struct Watch {
    chooser: Arc<Chooser>,
    index: usize,
    asked: Features,
    sent: Instant,
}

impl Watch {
    pub(super) fn new(chooser: Arc<Chooser>, index: usize, asked: &Features, now: Instant) -> Self {
        Self { chooser, index, asked: asked.clone(), sent: now }
    }

    /// The first content of a stream has come. Once; of an answer that is no stream only [`Self::answered`] is told.
    pub fn first_token(&mut self, now: Instant) {
        self.reached(Moment::FirstToken, now);
    }

    /// The whole answer has come, and has used this.
    pub fn answered(self, usage: &Usage, now: Instant) {
        self.reached(Moment::Whole, now);
        self.chooser.habits.observe(&self.asked, usage, now);
    }

    /// The target failed or was too slow to wait for: what has not come counts as slow. Not for what is the caller's fault.
    pub fn failed(self, now: Instant) {
        if let Some(entrant) = self.chooser.entrants.get(self.index) {
            entrant.latency.failed(self.asked.class(), Moment::Whole, now);
        }
    }

    /// The answer is not waited for any longer through no fault of the target (the app left, another target won the race): it
    /// counts as slow only for the bounds that it has exceeded already.
    pub fn left(self, _now: Instant) {}

    fn reached(&self, moment: Moment, now: Instant) {
        if let Some(entrant) = self.chooser.entrants.get(self.index) {
            entrant.latency.observe(self.asked.class(), moment, now.saturating_duration_since(self.sent), now);
        }
    }
}
