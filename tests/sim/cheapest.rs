//! Cheapest under a latency target, against an oracle.

use crate::chance::Chance;
use crate::fleet::{CHANGING, Truth};
use crate::world::{MODELS, Outcome, World};

/// Debug builds make a million requests in some twenty seconds.
const BUSY_HOURS: f64 = 0.6;

fn world(seed: u64, rates: (f64, f64), seconds: f64) -> World {
    let mut chance = Chance::of(seed ^ 0xf1ee7);
    let bound = 0.8;
    let [drifting @ .., dearest] = MODELS;
    let rivals = 1 + (seed % drifting.len() as u64) as usize;
    // Some of the models, from all of the scale.
    let models = drifting.into_iter().step_by(drifting.len() / rivals).take(rivals);
    let mut truths: Vec<_> = models.map(|model| Truth::drifting(model, bound, CHANGING, seconds, &mut chance)).collect();
    truths.push(Truth::steady(dearest, bound));
    World { seed, truths, rate: chance.scale(rates.0, rates.1), seconds, bound }
}

fn run(seeds: std::ops::Range<u64>, rates: (f64, f64), seconds: f64) -> Vec<Outcome> {
    std::thread::scope(|scope| {
        let runs: Vec<_> = seeds.map(|seed| scope.spawn(move || world(seed, rates, seconds).run())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    })
}

type Figure = fn(&Outcome) -> f64;

struct Of<'a>(&'a [Outcome], Figure);

impl Of<'_> {
    fn mean(&self) -> f64 {
        self.0.iter().map(self.1).sum::<f64>() / self.0.len() as f64
    }

    fn most(&self) -> f64 {
        self.0.iter().map(self.1).fold(f64::MIN, f64::max)
    }

    fn least(&self) -> f64 {
        self.0.iter().map(self.1).fold(f64::MAX, f64::min)
    }
}

fn tell(what: &str, outcomes: &[Outcome]) {
    let figures: [(&str, Figure); 10] = [
        ("share over the bound", |of| of.over),
        ("the oracle's", |of| of.oracle_over),
        ("savings of the oracle's", |of| of.savings),
        ("savings while the bound is met", |of| of.fair_savings),
        ("switches per hour", |of| of.switches),
        ("the oracle's", |of| of.oracle_switches),
        ("seconds to return, mean", |of| of.return_mean),
        ("seconds to return, longest", |of| of.return_worst),
        ("share of trials", |of| of.explored),
        ("requests", |of| of.requests as f64),
    ];
    eprintln!("{what}, {} seeds", outcomes.len());
    for (name, figure) in figures {
        let of = Of(outcomes, figure);
        eprintln!("  {name:<32} least {:10.4} mean {:10.4} most {:10.4}", of.least(), of.mean(), of.most());
    }
}

#[test]
fn it_saves_nearly_what_an_oracle_saves_and_keeps_the_bound() {
    let outcomes = run(0..24, (5.0, 50.0), BUSY_HOURS * 3600.0);
    tell("busy", &outcomes);
    for (seed, of) in outcomes.iter().enumerate() {
        assert!(of.over <= 0.05, "seed {seed}: {of:?}");
        assert!(of.savings >= 0.95, "seed {seed}: {of:?}");
        assert!(of.fair_savings >= 0.8, "seed {seed}: {of:?}");
        assert!(of.return_worst <= 180.0, "seed {seed}: {of:?}");
        assert!(of.switches <= 2.5 * of.oracle_switches + 12.0, "seed {seed}: {of:?}");
    }
    assert!(Of(&outcomes, |of| of.over).mean() <= 0.03);
    assert!(Of(&outcomes, |of| of.fair_savings).mean() >= 0.95);
    assert!(Of(&outcomes, |of| of.return_mean).mean() <= 25.0);
    assert!(Of(&outcomes, |of| of.switches).mean() <= 25.0);
    assert!(Of(&outcomes, |of| of.explored).mean() <= 0.02);
}

#[test]
fn it_does_well_at_middling_traffic() {
    let outcomes = run(100..112, (1.0, 1.0), 4.0 * 3600.0);
    tell("middling", &outcomes);
    assert!(outcomes.iter().all(|of| of.over <= 0.06 && of.savings >= 0.93 && of.fair_savings >= 0.8), "{outcomes:?}");
    assert!(Of(&outcomes, |of| of.over).mean() <= 0.05);
    assert!(Of(&outcomes, |of| of.savings).mean() >= 0.97);
    assert!(Of(&outcomes, |of| of.return_mean).mean() <= 90.0);
}

#[test]
fn it_is_sensible_at_a_request_each_ten_seconds() {
    let outcomes = run(0..24, (0.1, 0.1), 6.0 * 3600.0);
    tell("quiet", &outcomes);
    assert!(outcomes.iter().all(|of| of.over <= 0.12 && of.savings >= 0.8 && of.switches <= 15.0), "{outcomes:?}");
    assert!(Of(&outcomes, |of| of.over).mean() <= 0.09);
    assert!(Of(&outcomes, |of| of.savings).mean() >= 0.93);
    assert!(Of(&outcomes, |of| of.fair_savings).mean() >= 0.75);
    assert!(Of(&outcomes, |of| of.return_mean).mean() <= 400.0);
}
