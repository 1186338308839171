//! Weights, within binomial bounds.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use outrider::base::clock;
use outrider::base::rng::RootRng;
use outrider::config::Strategy;
use outrider::policy::Standing;
use outrider::policy::choose::{Candidate, Chooser, Entrant};
use outrider::policy::features::Features;
use outrider::policy::latency::Latency;
use outrider::policy::quote::Quote;

use crate::chance::Chance;

const CONFIGURATIONS: u64 = 3000;
const DRAWS: usize = 200;
/// Standard deviations: among 20,000 figures one beyond this is a rare accident, and the seeds do not change.
const FAR: f64 = 5.5;

struct Draws {
    /// What each target's weight comes to, its share on return counted.
    weights: Vec<f64>,
    orders: Vec<Vec<usize>>,
}

fn draws(seed: u64) -> Draws {
    let mut chance = Chance::of(seed ^ 0x3e16_4785);
    let now = clock::now();
    let count = 2 + (chance.unit() * 5.0) as usize;
    let entrant =
        |weight| Entrant { label: format!("{weight}"), weight, latency: Arc::new(Latency::new(now)), quote: Arc::new(Quote::default()) };
    let entrants: Vec<_> = (0..count).map(|_| entrant(1 + (chance.unit() * 20.0) as u32)).collect();
    let standings: Vec<_> = (0..count)
        .map(|_| match chance.unit() < 0.3 {
            true => Standing::Returning((chance.unit() * 16.0).ceil() as f32 / 16.0),
            false => Standing::Well,
        })
        .collect();
    let share = |standing: &Standing| if let Standing::Returning(share) = standing { f64::from(*share) } else { 1.0 };
    let weights = entrants.iter().zip(&standings).map(|(entrant, standing)| f64::from(entrant.weight) * share(standing)).collect();
    let candidates: Vec<_> = standings.iter().enumerate().map(|(index, standing)| Candidate { index, standing: *standing }).collect();
    let chooser = Chooser::new(Strategy::Weighted, entrants, None, now);
    let mut rng = RootRng::seeded(seed).fork();
    let mut order = || chooser.order(&Features::default(), &candidates, now, UNIX_EPOCH, &mut rng).indexes;
    Draws { orders: (0..DRAWS).map(|_| order()).collect(), weights }
}

/// How many standard deviations a count is off.
fn off(count: usize, probability: f64) -> f64 {
    let draws = DRAWS as f64;
    (count as f64 - draws * probability) / (draws * probability * (1.0 - probability)).sqrt()
}

#[test]
fn first_and_second_places_are_drawn_by_weight() {
    let (mut squares, mut figures) = (0.0, 0.0);
    for seed in 0..CONFIGURATIONS {
        let Draws { weights, orders } = draws(seed);
        let all = weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            let second = (0..weights.len())
                .filter(|first| *first != index)
                .map(|first| weights[first] / all * weight / (all - weights[first]))
                .sum();
            for (place, probability) in [(0, weight / all), (1, second)] {
                let off = off(orders.iter().filter(|order| order[place] == index).count(), probability);
                // The normal bound is for counts that are not tiny.
                if probability * DRAWS as f64 > 10.0 && (1.0 - probability) * DRAWS as f64 > 10.0 {
                    assert!(off.abs() < FAR, "seed {seed}: target {index} in place {place} is {off:.1} standard deviations off");
                    squares += off * off;
                    figures += 1.0;
                }
            }
        }
    }
    // The mean square of standard normal figures is 1: a bias too small for each configuration shows in all of them.
    assert!(figures > 10_000.0);
    assert!((squares / figures - 1.0).abs() < 0.05, "{}", squares / figures);
}
