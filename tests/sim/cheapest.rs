//! Cheapest under a latency target, against an oracle.

use crate::chance::Chance;
use crate::fleet::{CHANGING, Truth};
use crate::world::{MODELS, Outcome, World};

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

fn tell(outcomes: &[Outcome]) {
    for outcome in outcomes {
        eprintln!("{outcome:.4?}");
    }
    let mean = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64;
    eprintln!(
        "MEAN over {:.4} oracle {:.4} savings {:.4} switches {:.1} oracle {:.1} return {:.1} explored {:.4}",
        mean(|o| o.over),
        mean(|o| o.oracle_over),
        mean(|o| o.savings),
        mean(|o| o.switches),
        mean(|o| o.oracle_switches),
        mean(|o| o.return_mean),
        mean(|o| o.explored)
    );
    let worst = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).fold(0.0, f64::max);
    eprintln!(
        "WORST over {:.4} savings {:.4} switches {:.1} return {:.1}",
        worst(|o| o.over),
        -outcomes.iter().map(|o| -o.savings).fold(-9.0, f64::max),
        worst(|o| o.switches),
        worst(|o| o.return_worst)
    );
}

#[test]
fn it_saves_nearly_what_an_oracle_saves() {
    tell(&run(0..48, (5.0, 50.0), 3.0 * 3600.0));
}

#[test]
fn it_is_sensible_at_little_traffic() {
    tell(&run(0..48, (0.1, 0.1), 6.0 * 3600.0));
}
