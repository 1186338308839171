mod fastest;
mod laws;
mod order;
mod price;
mod tell;

use std::time::UNIX_EPOCH;

use super::*;
use crate::base::clock;
use crate::base::rng::RootRng;
use crate::config::Moment;
use crate::config::catalog;
use crate::ir::Usage;

/// Three models, from cheap to dear: 0.1, 0.4 and 2 dollars for a million tokens in, four times that out, a quarter for cached ones.
const CHEAP: &str = "gpt-4.1-nano";
const MIDDLE: &str = "gpt-4.1-mini";
const DEAR: &str = "gpt-4.1";

/// An alias under test, on a clock that stands still until it is moved.
struct Alias {
    chooser: Arc<Chooser>,
    candidates: Vec<Candidate>,
    now: Instant,
    rng: Rng,
}

impl Alias {
    fn new(strategy: Strategy, models: &[&str]) -> Self {
        Self::weighted(strategy, &models.iter().map(|model| (*model, 1)).collect::<Vec<_>>())
    }

    fn weighted(strategy: Strategy, models: &[(&str, u32)]) -> Self {
        let now = clock::now();
        let chooser =
            Arc::new(Chooser::new(strategy, models.iter().map(|(model, weight)| entrant(model, *weight, now)).collect(), None, now));
        let candidates = (0..models.len()).map(|index| Candidate { index, standing: Standing::Well }).collect();
        Self { chooser, candidates, now, rng: RootRng::seeded(1).fork() }
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn order(&mut self, asked: &Features) -> Vec<usize> {
        self.chooser.order(asked, &self.candidates, self.now, UNIX_EPOCH, &mut self.rng).indexes
    }

    fn stand(&mut self, index: usize, standing: Standing) {
        self.candidates[index].standing = standing;
    }

    /// A request that a target answers after so long, all at once.
    fn answer(&mut self, index: usize, asked: &Features, ms: u64, usage: &Usage) {
        let watch = self.chooser.watch(index, asked, self.now);
        watch.answered(usage, self.now + Duration::from_millis(ms));
        self.pass(ms);
    }

    fn explain(&self, asked: &Features) -> Explanation {
        self.chooser.explain(asked, &self.candidates, self.now, UNIX_EPOCH)
    }
}

fn entrant(model: &str, weight: u32, now: Instant) -> Entrant {
    let quote = Arc::new(Quote::new(&catalog::facts("openai", model).prices));
    Entrant { label: format!("openai/{model}"), weight, latency: Arc::new(Latency::new(now)), quote }
}

fn asking(input_tokens: u64) -> Features {
    Features { input_tokens, ..Features::default() }
}

fn within(ms: u64) -> Strategy {
    Strategy::Cheapest(vec![LatencyBound { percentile: 95, moment: Moment::Whole, within: Duration::from_millis(ms) }])
}

fn used(input: u64, cached: u64, output: u64) -> Usage {
    Usage { input_tokens: Some(input), cache_read_tokens: Some(cached), output_tokens: Some(output), ..Usage::default() }
}
