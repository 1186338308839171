//! Targets whose latency drifts, and what is true of them at each moment.

use crate::chance::Chance;

/// Of a standard normal distribution.
pub const Z95: f64 = 1.6449;

/// A target: log-normal times to the first token, whose median is fast or slow for a time, and goes over at once or by and by.
#[derive(Clone, Debug)]
pub struct Truth {
    pub model: &'static str,
    /// Seconds from the beginning, and the logarithm of the median, in seconds, from there on to the next in a straight line.
    pub drift: Vec<(f64, f64)>,
    pub sigma: f64,
}

/// How times of a kind are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Mean seconds for which a target stays fast and slow.
    pub fast: f64,
    pub slow: f64,
    /// Seconds of each period at least.
    pub least: f64,
}

/// Minutes to tens of minutes.
pub const CHANGING: Weather = Weather { fast: 900.0, slow: 600.0, least: 120.0 };

impl Truth {
    /// One that is always fast, for a bound in seconds.
    pub fn steady(model: &'static str, bound: f64) -> Self {
        Self { model, drift: vec![(0.0, (bound * 0.3).ln())], sigma: 0.35 }
    }

    /// One that never changes: its p95 as a multiple of the bound.
    pub fn constant(model: &'static str, bound: f64, p95: f64) -> Self {
        Self::changing(model, bound, &[(0.0, p95)])
    }

    /// One whose p95 is these multiples of the bound, each from this second on.
    pub fn changing(model: &'static str, bound: f64, p95s: &[(f64, f64)]) -> Self {
        let sigma = 0.4;
        let mut drift: Vec<(f64, f64)> = Vec::new();
        for (from, p95) in p95s {
            let level = (bound * p95).ln() - Z95 * sigma;
            drift.extend(drift.last().map(|(_, before)| (from - 0.001, *before)));
            drift.push((*from, level));
        }
        Self { model, drift, sigma }
    }

    pub fn drifting(model: &'static str, bound: f64, weather: Weather, seconds: f64, chance: &mut Chance) -> Self {
        let sigma = chance.between(0.25, 0.6);
        let mut drift = Vec::new();
        let mut is_fast = chance.unit() < 0.5;
        let (mut now, mut level) = (0.0, None);
        while now < seconds {
            let p95 = if is_fast { chance.between(0.5, 0.95) } else { chance.scale(1.3, 8.0) };
            let next = (bound * p95).ln() - Z95 * sigma;
            let gradual = if chance.unit() < 0.5 { chance.between(60.0, 240.0) } else { 0.001 };
            drift.push((now, level.unwrap_or(next)));
            drift.push((now + gradual, next));
            now += gradual + weather.least + chance.exponential(if is_fast { weather.fast } else { weather.slow } - weather.least);
            level = Some(next);
            drift.push((now, next));
            is_fast = !is_fast;
        }
        Self { model, drift, sigma }
    }

    fn log_median(&self, now: f64) -> f64 {
        let after = self.drift.partition_point(|(at, _)| *at <= now);
        let (Some(a), b) = (self.drift.get(after.saturating_sub(1)), self.drift.get(after)) else { panic!("no drift") };
        match b {
            Some(b) if b.0 > a.0 => a.1 + (b.1 - a.1) * (now - a.0) / (b.0 - a.0),
            _ => a.1,
        }
    }

    pub fn p95(&self, now: f64) -> f64 {
        (self.log_median(now) + Z95 * self.sigma).exp()
    }

    pub fn draw(&self, now: f64, chance: &mut Chance) -> f64 {
        (self.log_median(now) + self.sigma * chance.normal()).exp()
    }
}
