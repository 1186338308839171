//! Many exchanges at once, simulated on a clock of their own: what an outage does to the load upstream, and to the callers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::base::rng::Rng;

/// What one try at a target comes to, and how long it takes.
type Answers<'a> = &'a dyn Fn(usize, Instant, &mut Rng) -> (Option<Fault>, Duration);

/// Its tries, and what the one under way will come to.
type Exchange = (Tries, Option<(Permit, Option<Fault>)>);

#[derive(Debug, Default)]
struct Sum {
    tries: u64,
    failed: u64,
    charged: u64,
    moved: u64,
}

/// The order that a chooser gives: who is well first, then who may be probed, then the soonest back. The one that is preferred is
/// the first.
fn order(healths: &[Arc<Health>], now: Instant) -> Vec<usize> {
    let mut order: Vec<usize> = (0..healths.len()).collect();
    order.sort_by_key(|index| match healths[*index].standing(now) {
        Standing::Probe | Standing::Well | Standing::Returning(_) => (0, Duration::ZERO),
        out @ Standing::Out(_) => (1, out.wait(now)),
    });
    order
}

/// So many requests, one each `every` on average, at targets with one key each.
fn run(seed: u64, targets: usize, requests: usize, every: Duration, answers: Answers<'_>) -> Sum {
    let root = RootRng::seeded(seed);
    let (mut now, mut rng) = (clock::now(), root.fork());
    let healths: Vec<_> = (0..targets).map(|_| Arc::new(Health::new(1, root.fork(), now))).collect();
    let budget: Arc<RetryBudget> = Arc::default();
    let mut sum = Sum::default();
    // What happens when: by time, then in the order in which it was planned.
    let mut agenda = BinaryHeap::new();
    let mut exchanges: Vec<Option<Exchange>> = Vec::new();
    let mut arrival = now;
    for id in 0..requests {
        agenda.push(Reverse((arrival, id)));
        arrival += Duration::from_nanos(rng.below(2 * u64::try_from(every.as_nanos()).unwrap()));
        exchanges.push(None);
    }
    while let Some(Reverse((at, id))) = agenda.pop() {
        now = at;
        let exchange = exchanges[id].get_or_insert_with(|| {
            let deadline = now + SECOND * 30;
            let order = order(&healths, now);
            (Tries::new(order, RetryPolicy::default(), true, deadline, root.fork(), Arc::clone(&budget)), None)
        });
        let (tries, under_way) = exchange;
        if let Some((permit, fault)) = under_way.take() {
            let Some(fault) = fault else {
                permit.succeeded(now);
                continue;
            };
            permit.failed(&fault, now);
            match tries.next(&fault, &healths, now) {
                None => sum.failed += 1,
                Some(wait) => agenda.push(Reverse((now + wait, id))),
            }
            continue;
        }
        let Some(permit) = tries.begin(&healths, now) else {
            sum.failed += 1;
            continue;
        };
        sum.tries += 1;
        let (fault, took) = answers(tries.index, now, &mut rng);
        *under_way = Some((permit, fault));
        agenda.push(Reverse((now + took, id)));
    }
    let spent = budget.spent(now);
    (sum.charged, sum.moved) = (spent.charged, spent.moved);
    sum
}

fn some_failure(rng: &mut Rng) -> Fault {
    match rng.below(5) {
        0 => Fault::upstream(FaultKind::Unreachable, ""),
        1 => Fault::upstream(FaultKind::Overloaded, "").status(529),
        2 => Fault::upstream(FaultKind::Timeout, ""),
        3 => Fault::upstream(FaultKind::Truncated, ""),
        _ => failing(),
    }
}

/// From one request in a while to hundreds in each second.
const RATES: [u64; 6] = [1, 5, 20, 100, 250, 500];

#[test]
fn a_total_outage_is_not_multiplied() {
    let outage = |seed: u64, targets: usize, requests: usize| {
        let rate = RATES[(seed as usize + targets) % RATES.len()];
        let slow = 1 + seed * 13 % 200;
        let answers = |_: usize, _: Instant, rng: &mut Rng| (Some(some_failure(rng)), Duration::from_millis(rng.below(2 * slow)));
        let sum = run(seed, targets, requests, SECOND / u32::try_from(rate).unwrap(), &answers);
        assert_eq!(sum.failed, requests as u64);
        sum
    };
    for seed in 0..36 {
        let targets = 1 + seed as usize % 4;
        let sum = outage(seed, targets, 10_000);
        assert!(sum.tries <= 12_000, "{targets} targets, seed {seed}: {sum:?}");
    }
    for seed in 0..2_000 {
        let targets = 1 + seed as usize % 4;
        let sum = outage(seed, targets, 200);
        // A short one has less to pay for its beginning.
        assert!(sum.charged <= 40 + u64::from(RESERVE), "{targets} targets, seed {seed}: {sum:?}");
    }
}

#[test]
fn limits_of_all_are_not_multiplied() {
    for seed in 0..24 {
        let targets = 1 + seed as usize % 3;
        let rate = RATES[seed as usize / 4];
        let told = (seed % 2 == 0).then_some(1 + seed * 300);
        let answers = |_: usize, _: Instant, rng: &mut Rng| (Some(limited(told)), Duration::from_millis(rng.below(60)));
        let sum = run(seed, targets, 10_000, SECOND / u32::try_from(rate).unwrap(), &answers);
        // Each is told when to come back, and does, as often as the budget allows.
        let most = 12_000 + u64::from(RESERVE) + sum.moved;
        assert!(sum.tries <= most, "{rate}/s, {targets} targets, seed {seed}: {sum:?}");
    }
}

#[test]
fn one_dead_target_of_two_costs_no_request() {
    let one_dead = |seed: u64, requests: usize| {
        let rate = RATES[seed as usize % RATES.len()];
        let (slow, dead) = (1 + seed * 7 % 150, (seed as usize / 2) % 2);
        let answers = |index: usize, _: Instant, rng: &mut Rng| {
            ((index == dead).then(|| some_failure(rng)), Duration::from_millis(rng.below(2 * slow)))
        };
        let sum = run(seed, 2, requests, SECOND / u32::try_from(rate).unwrap(), &answers);
        assert!(sum.failed == 0 && sum.tries <= requests as u64 * 6 / 5 + 100, "seed {seed}: {sum:?}");
    };
    (0..36).for_each(|seed| one_dead(seed, 10_000));
    (0..2_000).for_each(|seed| one_dead(seed, 200));
}

/// It is dead half of the time, by turns with the other one, and each is limited now and then.
#[test]
fn targets_that_fail_by_turns_cost_two_requests_in_a_thousand() {
    for seed in 0..40 {
        let begun = clock::now();
        let turn = 3 + seed % 40;
        let answers = move |index: usize, now: Instant, rng: &mut Rng| {
            let turns = now.duration_since(begun).as_secs() / turn;
            // A pause between the turns, in which both are well.
            let dead = !now.duration_since(begun).as_secs().is_multiple_of(turn) && turns % 3 == index as u64;
            (dead.then(|| some_failure(rng)), Duration::from_millis(5 + rng.below(40)))
        };
        let sum = run(seed, 2, 10_000, SECOND / 50, &answers);
        // Whoever finds one dead while the other is not known to be back yet has to guess, and may have no try left.
        assert!(sum.failed <= 20 && sum.tries <= 12_000, "seed {seed}: {sum:?}");
    }
}
