//! Real threads: nothing over, nothing lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use outrider::config::{Dimension, Most, Span, Unit};
use outrider::quota::{Amount, Limits};

use super::support::*;

const THREADS: u64 = 8;
const ROUNDS: u64 = 2000;

/// A cheap source of chance for each thread.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn threads_never_exceed_a_limit_and_return_everything() {
    const CONCURRENT: u64 = 3;
    const REQUESTS: u64 = 9000;
    const BUDGET: u64 = 10_000;
    let clock = Still::new();
    let all = Most { requests_per_minute: Some(REQUESTS), concurrent: Some(CONCURRENT), ..Most::default() };
    let of = [
        limit("all", &[], all),
        limit("money", &[Dimension::Team], window(Unit::Usd, Span::Day, BUDGET)),
        limit("user", &[Dimension::User], concurrent(2)),
        limit("pair", &[Dimension::User, Dimension::Model], Most { concurrent: Some(1), ..requests(REQUESTS) }),
    ];
    let limits = limits(&clock, &of);
    let (running, admitted, spent) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let worker = |seed: u64, limits: &Arc<Limits>| {
        let mut chance = Chance(seed);
        for round in 0..ROUNDS {
            let (user, model) = (format!("u{}", chance.below(3)), format!("m{}", chance.below(2)));
            let bound = 1 + chance.below(20);
            let Ok(mut reservation) = limits.reserve(&ask(&user, &model), amount(bound, bound), clock.at()) else { continue };
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(now <= CONCURRENT, "{now} at a time");
            if round % 64 == 0 {
                thread::yield_now();
            }
            let actual = chance.below(bound + 1);
            running.fetch_sub(1, Ordering::SeqCst);
            match chance.below(4) {
                0 => reservation.cancel(clock.at()),
                1 => {
                    reservation.note(amount(actual, actual));
                    drop(reservation);
                    admitted.fetch_add(1, Ordering::SeqCst);
                    spent.fetch_add(actual, Ordering::SeqCst);
                }
                _ => {
                    drop(reservation.settle(amount(actual, actual), clock.at()));
                    admitted.fetch_add(1, Ordering::SeqCst);
                    spent.fetch_add(actual, Ordering::SeqCst);
                }
            }
        }
    };
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (limits, worker) = (&limits, &worker);
            scope.spawn(move || worker(seed, limits));
        }
    });
    let (admitted, spent) = (admitted.load(Ordering::SeqCst), spent.load(Ordering::SeqCst));
    assert!(admitted <= REQUESTS && spent <= BUDGET, "{admitted} {spent}");
    assert!(admitted > 100, "hardly anything got in: {admitted}");
    assert!(all_returned(&limits, clock.at()));
    let view = limits.view(clock.at(), 1);
    assert_eq!(view.limits[0].top[0].measures[0].settled, admitted);
    assert_eq!(view.limits[1].top[0].measures[0].settled, spent);
}

#[test]
fn nobody_is_refused_for_what_another_only_tries() {
    // One limit is always full for half of the threads. Those who do not need it have exactly the room that they need, so
    // that any trace of a half-made reservation would turn one of them away.
    let clock = Still::new();
    let full = limit("full", &[Dimension::Model], concurrent(1));
    let shared = limit("shared", &[], concurrent(1 + THREADS / 2));
    let limits = limits(&clock, &[shared, full]);
    let _held = limits.reserve(&ask("", "full"), Amount::ZERO, clock.at()).unwrap();
    thread::scope(|scope| {
        for place in 0..THREADS {
            let limits = &limits;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    if place % 2 == 0 {
                        let model = format!("m{place}");
                        let reservation = limits.reserve(&ask("", &model), ONE, clock.at());
                        drop(reservation.unwrap_or_else(|exceeded| panic!("{exceeded}")));
                    } else {
                        refused(limits, &ask("", "full"), ONE, clock.at());
                    }
                }
            });
        }
    });
}

#[test]
fn threads_that_meet_many_subjects_lose_none() {
    let clock = Still::new();
    let limits = limits(
        &clock,
        &[
            limit("money", &[Dimension::User], window(Unit::Usd, Span::Day, 1_000_000)),
            limit("runs", &[Dimension::User, Dimension::Model], concurrent(9)),
        ],
    );
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let limits = &limits;
            scope.spawn(move || {
                let mut chance = Chance(seed);
                for _ in 0..ROUNDS {
                    let user = format!("u{}", chance.below(1000));
                    pass(limits, &ask(&user, &format!("m{}", chance.below(50))), amount(0, 1000), clock.at());
                }
            });
        }
    });
    let view = limits.view(clock.at(), usize::MAX);
    let spent: u64 = view.limits[0].top.iter().map(|subject| subject.measures[0].settled).sum();
    assert_eq!(spent, THREADS * ROUNDS * 1000);
    assert!(all_returned(&limits, clock.at()));
}
