//! One request at one target, from its sending to its end.

use std::sync::Arc;

use super::record::Facts;
use super::under_way::Number;
use super::{Chooser, Rival};
use crate::base::clock::Instant;
use crate::config::{LatencyBound, Moment};
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
    number: Number,
    /// The bounds that the answer can keep or break, a bit for each.
    open: u8,
    /// Tokens that the target was sent before in this conversation, of late.
    warm: Option<u64>,
    /// Whether the first content has come.
    begun: bool,
}

impl Watch {
    pub(super) fn new(chooser: Arc<Chooser>, index: usize, asked: &Features, now: Instant) -> Self {
        let open = Facts::open(&chooser.bounds, asked.stream);
        let threshold = chooser.pace.threshold(asked.class());
        let rival = chooser.rivals.get(index);
        let number = rival.and_then(|rival| rival.track.sent(asked.class(), open, threshold, now));
        let warm = rival.and_then(|rival| chooser.sticky.warm(asked.session, now).filter(|warm| warm.target == rival.id));
        Self { warm: warm.map(|warm| warm.tokens), index, asked: asked.clone(), sent: now, number, open, begun: false, chooser }
    }

    /// The first content of a stream has come. Once; of an answer that is no stream only [`Self::answered`] is told.
    pub fn first_token(&mut self, now: Instant) {
        if !self.begun && self.asked.stream {
            self.begun = true;
            self.reached(Moment::FirstToken, now);
        }
    }

    /// The whole answer has come, and has used this.
    pub fn answered(mut self, usage: &Usage, now: Instant) {
        self.first_token(now);
        self.reached(Moment::Whole, now);
        self.chooser.habits.observe(&self.asked, usage, now);
        let Some(rival) = self.rival() else { return };
        if let (Some(warm), Some(cached)) = (self.warm.filter(|warm| *warm > 0), usage.cache_read_tokens) {
            rival.track.cached(cached as f32 / warm as f32, now);
        }
        let tokens = usage.input_tokens.unwrap_or(self.asked.input_tokens);
        self.chooser.sticky.answered(self.asked.session, rival.id, tokens, now);
    }

    /// The target failed or was too slow to wait for: what has not come counts as slow. Not for what is the caller's fault.
    pub fn failed(self, now: Instant) {
        let Some(rival) = self.rival() else { return };
        let class = self.asked.class();
        if self.asked.stream && !self.begun {
            rival.entrant.latency.failed(class, Moment::FirstToken, now);
        }
        rival.entrant.latency.failed(class, Moment::Whole, now);
        self.told(|_| Some(true), now);
    }

    /// The answer is not waited for any longer through no fault of the target (the app left, another target won the race): it
    /// counts as slow only for the bounds that it has exceeded already.
    pub fn left(self, now: Instant) {
        let Some(rival) = self.rival() else { return };
        let took = now.saturating_duration_since(self.sent);
        self.told(|bound| (took >= bound.within).then_some(true), now);
        let moment = if self.asked.stream { Moment::FirstToken } else { Moment::Whole };
        // It would have taken longer. Where even this was long, leaving it out would make the target look faster than it is.
        let median = rival.entrant.latency.percentile(self.asked.class(), moment, 50, now);
        if !self.begun && median.is_some_and(|median| took > median) {
            rival.entrant.latency.observe(self.asked.class(), moment, took, now);
        }
    }

    fn reached(&self, moment: Moment, now: Instant) {
        let Some(rival) = self.rival() else { return };
        let took = now.saturating_duration_since(self.sent);
        // What was held to hang was counted then.
        let is_first = moment == Moment::FirstToken || !self.asked.stream;
        if !is_first || !self.chooser.bounds.is_empty() || rival.track.came(self.asked.class(), self.number) {
            rival.entrant.latency.observe(self.asked.class(), moment, took, now);
        }
        self.told(|bound| (bound.moment == moment).then(|| took > bound.within), now);
    }

    /// Tells for each bound whether the answer is over it, where that is known.
    fn told(&self, over: impl Fn(&LatencyBound) -> Option<bool>, now: Instant) {
        let Some(rival) = self.rival() else { return };
        if self.chooser.bounds.is_empty() {
            return;
        }
        let class = self.asked.class();
        let before = rival.track.trial(class).is_some();
        rival.track.told(class, self.number, self.open, over, self.chooser.pace.threshold(class), now);
        if before != rival.track.trial(class).is_some() {
            self.chooser.pace.switched(now);
        }
    }

    fn rival(&self) -> Option<&Rival> {
        self.chooser.rivals.get(self.index)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(rival) = self.rival() {
            rival.track.ended(self.asked.class(), self.number);
        }
    }
}
