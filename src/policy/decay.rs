//! Numbers that forget.
//!
//! A past observation counts less and less: with time, so that silence makes it fade, and with each later observation, so that
//! a busy target's figures are of its last few hundred answers and not of its last minutes.

use std::time::Duration;

use crate::base::clock::Instant;

/// How quickly is forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decay {
    /// After so long an observation counts half.
    pub(super) half_life: Duration,
    /// All observations together count at most as so many.
    pub(super) window: f32,
}

impl Decay {
    /// What an observation counts after so long.
    pub(super) fn over(&self, passed: Duration) -> f32 {
        (-passed.as_secs_f32() / self.half_life.as_secs_f32()).exp2()
    }

    /// Whether what counted so much counts at least `least` after whole seconds; a tenth of an octave early or late.
    pub(super) fn leaves(&self, weight: f32, seconds: u64, least: f32) -> bool {
        log2(weight) - seconds as f32 / self.half_life.as_secs() as f32 >= log2(least)
    }

    /// The rate, per second, of events that were each counted as one, where they count so much together now.
    pub(super) fn rate(&self, weight: f32) -> f32 {
        weight * std::f32::consts::LN_2 / self.half_life.as_secs_f32()
    }
}

/// The binary logarithm of a positive number, to a tenth: its exponent, and its mantissa for the rest.
pub(super) fn log2(number: f32) -> f32 {
    number.to_bits() as f32 / (1u32 << 23) as f32 - 127.0
}

/// A mean that forgets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    /// Of value times weight.
    sum: f32,
    weight: f32,
    at: Instant,
}

impl Mean {
    pub(super) fn new(now: Instant) -> Self {
        Self { sum: 0.0, weight: 0.0, at: now }
    }

    /// Adds a value.
    pub(super) fn add(&mut self, value: f32, decay: &Decay, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let kept = decay.over(passed) * (1.0 - 1.0 / decay.window);
        self.sum = self.sum * kept + value;
        self.weight = self.weight * kept + 1.0;
        self.at = self.at.max(now);
    }

    /// How much its observations count now.
    pub(super) fn weight(&self, decay: &Decay, now: Instant) -> f32 {
        self.weight * decay.over(now.saturating_duration_since(self.at))
    }

    /// The mean; `None` where nothing was added.
    pub(super) fn mean(&self) -> Option<f32> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }

    /// The mean together with a belief that counts as so many observations.
    pub(super) fn mean_with(&self, belief: f32, counts: f32) -> f32 {
        (self.sum + belief * counts) / (self.weight + counts)
    }
}
