//! Single things that happen to a target, and what is done about them.

use crate::fleet::Truth;
use crate::world::{MODELS, Outcome, World};

const BOUND: f64 = 0.8;

/// A cheap target and a dear one that is always fast, for an hour.
fn beside(cheap: Truth, seed: u64, rate: f64, seconds: f64) -> Outcome {
    let dear = Truth::steady(MODELS[MODELS.len() - 1], BOUND);
    World { seed, truths: vec![cheap, dear], rate, seconds, bound: BOUND }.run()
}

#[test]
fn one_that_hangs_is_left_before_its_answers_come() {
    for seed in 0..10 {
        // Answers take minutes from the 100th second on; it is found out when the first are late, not when they come.
        let hangs = Truth::changing(MODELS[0], BOUND, &[(0.0, 0.5), (100.0, 400.0)]);
        let outcome = beside(hangs, seed, 10.0, 130.0);
        let late = (outcome.over * outcome.requests as f64) as u64;
        assert!((10..=50).contains(&late), "{outcome:?}");
    }
}

#[test]
fn one_that_is_good_is_kept() {
    let outcomes: Vec<_> = (0..12).map(|seed| beside(Truth::constant(MODELS[0], BOUND, 0.85), seed, 20.0, 1800.0)).collect();
    assert!(outcomes.iter().all(|of| of.switches <= 4.0), "{outcomes:?}");
    let kept: u64 = outcomes.iter().map(|of| of.sent[0]).sum();
    let all: u64 = outcomes.iter().map(|of| of.requests).sum();
    assert!(kept as f64 >= 0.99 * all as f64, "{outcomes:?}");
}

#[test]
fn one_on_the_verge_does_not_flap() {
    for (seed, p95) in [(0, 0.97), (1, 1.0), (2, 1.03), (3, 1.1), (4, 1.2), (5, 1.4)] {
        let outcome = beside(Truth::constant(MODELS[0], BOUND, p95), seed, 20.0, 5400.0);
        eprintln!("p95 of {p95} bounds: over {:.4}, switches per hour {:.1}, {:?}", outcome.over, outcome.switches, outcome.sent);
        assert!(outcome.switches <= 20.0 && outcome.over <= 0.06, "{p95}: {outcome:?}");
    }
}

#[test]
fn it_returns_soon_after_long_trouble() {
    for seed in 0..10 {
        let recovers = Truth::changing(MODELS[0], BOUND, &[(0.0, 4.0), (1500.0, 0.6)]);
        let outcome = beside(recovers, seed, 10.0, 1800.0);
        assert!(outcome.return_worst <= 60.0, "{outcome:?}");
        assert!(outcome.over <= 0.05, "{outcome:?}");
    }
}

#[test]
fn of_many_that_are_slow_each_is_tried_and_none_for_long() {
    for seed in 0..6 {
        let mut truths: Vec<_> = (0..MODELS.len() - 1).map(|at| Truth::constant(MODELS[at], BOUND, 5.0)).collect();
        truths.push(Truth::steady(MODELS[MODELS.len() - 1], BOUND));
        let outcome = World { seed, truths, rate: 10.0, seconds: 1200.0, bound: BOUND }.run();
        assert!(outcome.over <= 0.05, "{outcome:?}");
        assert!(outcome.sent.iter().rev().skip(1).all(|sent| (10..=300).contains(sent)), "{outcome:?}");
    }
}

#[test]
fn where_nobody_keeps_the_bound_the_nearest_is_asked() {
    for seed in 0..6 {
        let p95s = [6.0, 1.5, 4.0];
        let truths = p95s.iter().enumerate().map(|(at, p95)| Truth::constant(MODELS[2 * at], BOUND, *p95)).collect();
        let outcome = World { seed, truths, rate: 10.0, seconds: 1200.0, bound: BOUND }.run();
        assert!(outcome.sent[1] as f64 >= 0.8 * outcome.requests as f64, "{outcome:?}");
    }
}
