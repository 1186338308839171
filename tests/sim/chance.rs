//! Chance for the worlds, of which the chooser's own is no part.

use outrider::base::rng::{Rng, RootRng};

pub struct Chance(Rng);

impl Chance {
    pub fn of(seed: u64) -> Self {
        Self(RootRng::seeded(seed).fork())
    }

    /// In (0, 1).
    pub fn unit(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// With a uniform logarithm.
    pub fn scale(&mut self, from: f64, to: f64) -> f64 {
        self.between(from.ln(), to.ln()).exp()
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}
