//! One alias and its traffic.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use outrider::base::clock::{self, Instant};
use outrider::base::rng::RootRng;
use outrider::config::catalog;
use outrider::config::{LatencyBound, Moment, Strategy};
use outrider::ir::Usage;
use outrider::policy::Standing;
use outrider::policy::choose::{Candidate, Chooser, Entrant, Watch};
use outrider::policy::features::Features;
use outrider::policy::latency::Latency;
use outrider::policy::quote::{Expected, Quote};

use crate::chance::Chance;
use crate::fleet::Truth;

/// Every request: so many tokens in and out.
const INPUT: u64 = 2_000;
const OUTPUT: u64 = 400;

pub struct World {
    pub seed: u64,
    pub truths: Vec<Truth>,
    /// Requests per second.
    pub rate: f64,
    pub seconds: f64,
    /// p95 of the first token, in seconds.
    pub bound: f64,
}

/// What came of a world.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub requests: u64,
    /// Share of the requests over the bound.
    pub over: f64,
    /// The same of an oracle that always asks the cheapest target that meets the bound.
    pub oracle_over: f64,
    /// What was saved against always asking the dearest, as a share of what the oracle saves.
    pub savings: f64,
    /// The same, but only with targets that met the bound when they were asked.
    pub fair_savings: f64,
    /// How often the preferred target changed, per hour; and how often the oracle's did.
    pub switches: f64,
    pub oracle_switches: f64,
    /// Seconds from when the oracle goes over to a cheaper target to when that one is preferred: mean and longest.
    pub return_mean: f64,
    pub return_worst: f64,
    pub explored: f64,
    /// Requests to each target.
    pub sent: Vec<u64>,
}

impl World {
    pub fn run(&self) -> Outcome {
        let start = clock::now();
        let wall = UNIX_EPOCH + Duration::from_secs(1_795_600_800);
        let quotes: Vec<_> = self.truths.iter().map(|truth| Arc::new(Quote::new(&catalog::facts("openai", truth.model).prices))).collect();
        let chooser = Arc::new(Chooser::new(self.strategy(), self.entrants(&quotes, start), None, start));
        let used = Expected { input_tokens: INPUT, output_tokens: OUTPUT, ..Expected::default() };
        let cost: Vec<_> = quotes.iter().map(|quote| quote.cost(&used, wall).unwrap() as f64).collect();
        let dearest = cost.iter().copied().fold(0.0, f64::max);
        let usage = Usage { input_tokens: Some(INPUT), output_tokens: Some(OUTPUT), ..Usage::default() };
        let asked = Features { input_tokens: INPUT, stream: true, ..Features::default() };
        let candidates: Vec<_> = (0..self.truths.len()).map(|index| Candidate { index, standing: Standing::Well }).collect();

        let (mut chance, mut rng) = (Chance::of(self.seed), RootRng::seeded(!self.seed).fork());
        let mut events: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let mut watches: Vec<Option<(Watch, f64)>> = Vec::new();
        let mut free = Vec::new();
        let mut tally = Tally { sent: vec![0; self.truths.len()], ..Tally::default() };
        let mut now = 0.0;
        loop {
            now += chance.exponential(1.0 / self.rate);
            if now > self.seconds {
                break;
            }
            while let Some(Reverse((at, slot))) = events.peek().copied().filter(|Reverse((at, _))| *at <= nanos(now)) {
                events.pop();
                let (mut watch, rest) = watches[slot].take().unwrap();
                let when = start + Duration::from_nanos(at);
                if rest > 0.0 {
                    watch.first_token(when);
                    events.push(Reverse((at + nanos(rest), slot)));
                    watches[slot] = Some((watch, 0.0));
                } else {
                    watch.answered(&usage, when);
                    free.push(slot);
                }
            }
            let when = start + Duration::from_nanos(nanos(now));
            let order = chooser.order(&asked, &candidates, when, wall + Duration::from_nanos(nanos(now)), &mut rng);
            let chosen = order.indexes[0];
            let took = self.truths[chosen].draw(now, &mut chance);
            let oracle = self.oracle(now, &cost);
            tally.over += u64::from(took > self.bound);
            tally.oracle_over += u64::from(self.truths[oracle].draw(now, &mut chance) > self.bound);
            tally.sent[chosen] += 1;
            let saved = dearest - cost[chosen];
            tally.saved += saved;
            tally.fairly_saved += if self.truths[chosen].p95(now) <= self.bound { saved } else { 0.0 };
            tally.oracle_saved += dearest - cost[oracle];
            tally.explored += u64::from(order.explores);
            tally.preferred(if order.explores { None } else { Some(chosen) }, oracle, now, &cost);
            let slot = free.pop().unwrap_or_else(|| {
                watches.push(None);
                watches.len() - 1
            });
            watches[slot] = Some((chooser.watch(chosen, &asked, when), 1.0));
            events.push(Reverse((nanos(now + took), slot)));
        }
        tally.outcome(self.seconds)
    }

    fn strategy(&self) -> Strategy {
        let within = Duration::from_secs_f64(self.bound);
        Strategy::Cheapest(vec![LatencyBound { percentile: 95, moment: Moment::FirstToken, within }])
    }

    fn entrants(&self, quotes: &[Arc<Quote>], now: Instant) -> Vec<Entrant> {
        let entrant = |(truth, quote): (&Truth, &Arc<Quote>)| Entrant {
            label: truth.model.to_owned(),
            weight: 1,
            latency: Arc::new(Latency::new(now)),
            quote: Arc::clone(quote),
        };
        self.truths.iter().zip(quotes).map(entrant).collect()
    }

    /// The cheapest that meets the bound now.
    fn oracle(&self, now: f64, cost: &[f64]) -> usize {
        let meets = (0..cost.len()).filter(|index| self.truths[*index].p95(now) <= self.bound);
        let nearest = || (0..cost.len()).min_by(|a, b| self.truths[*a].p95(now).total_cmp(&self.truths[*b].p95(now)));
        meets.min_by(|a, b| cost[*a].total_cmp(&cost[*b])).or_else(nearest).unwrap()
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

#[derive(Default)]
struct Tally {
    requests: u64,
    over: u64,
    oracle_over: u64,
    explored: u64,
    saved: f64,
    fairly_saved: f64,
    oracle_saved: f64,
    preferred: Option<usize>,
    oracle: Option<usize>,
    switches: u64,
    oracle_switches: u64,
    /// Since when the oracle has asked a cheaper target than is preferred.
    behind: Option<f64>,
    returns: Vec<f64>,
    sent: Vec<u64>,
}

impl Tally {
    fn preferred(&mut self, preferred: Option<usize>, oracle: usize, now: f64, cost: &[f64]) {
        self.requests += 1;
        if let Some(preferred) = preferred {
            self.switches += u64::from(self.preferred.is_some_and(|before| before != preferred));
            self.preferred = Some(preferred);
        }
        self.oracle_switches += u64::from(self.oracle.is_some_and(|before| before != oracle));
        self.oracle = Some(oracle);
        let Some(preferred) = self.preferred else { return };
        match (cost[oracle] < cost[preferred], self.behind) {
            (true, None) => self.behind = Some(now),
            (false, Some(since)) => {
                self.returns.push(now - since);
                self.behind = None;
            }
            _ => {}
        }
    }

    fn outcome(self, seconds: f64) -> Outcome {
        let requests = self.requests as f64;
        let hours = seconds / 3600.0;
        Outcome {
            requests: self.requests,
            over: self.over as f64 / requests,
            oracle_over: self.oracle_over as f64 / requests,
            savings: self.saved / self.oracle_saved,
            fair_savings: self.fairly_saved / self.oracle_saved,
            switches: self.switches as f64 / hours,
            oracle_switches: self.oracle_switches as f64 / hours,
            return_mean: self.returns.iter().sum::<f64>() / self.returns.len().max(1) as f64,
            return_worst: self.returns.iter().copied().fold(0.0, f64::max),
            explored: self.explored as f64 / requests,
            sent: self.sent,
        }
    }
}

/// Models, from cheap to dear; the last is the one that is always fast.
pub const MODELS: [&str; 7] = ["gpt-4.1-nano", "gpt-4o-mini", "gpt-4.1-mini", "o4-mini", "gpt-5", "gpt-4.1", "gpt-4o"];
