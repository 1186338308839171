#![allow(clippy::unwrap_used, reason = "a test")]

mod fleet;

use proptest::prelude::*;

use super::*;
use crate::base::rng::RootRng;
use crate::base::{FaultKind, Origin, clock};
use crate::policy::budget::{REFILL, RESERVE, SAVED_MAX};
use crate::policy::health::FAILURES_IN_A_ROW;

const SECOND: Duration = Duration::from_secs(1);

/// One exchange among targets that have so many keys each.
struct World {
    now: Instant,
    healths: Vec<Arc<Health>>,
    budget: Arc<RetryBudget>,
    rng: RootRng,
}

impl World {
    fn new(keys: &[usize]) -> Self {
        let (now, rng) = (clock::now(), RootRng::seeded(11));
        let healths = keys.iter().map(|keys| Arc::new(Health::new(*keys, rng.fork(), now))).collect();
        Self { now, healths, budget: Arc::default(), rng }
    }

    fn tries(&self, attempts: u32) -> Tries {
        let policy = RetryPolicy { attempts, ..RetryPolicy::default() };
        let deadline = self.now + SECOND * 60;
        Tries::new(0..self.healths.len(), policy, true, deadline, self.rng.fork(), Arc::clone(&self.budget))
    }

    /// The tries of an exchange whose answers are these, by target: who was asked with which key after how long a wait.
    fn asked(&mut self, attempts: u32, answers: &[&[Fault]]) -> (Vec<(usize, usize)>, Vec<Duration>) {
        let mut tries = self.tries(attempts);
        let (mut asked, mut waits) = (Vec::new(), Vec::new());
        while let Some(permit) = tries.begin(&self.healths, self.now) {
            let before = asked.iter().filter(|(index, _)| *index == tries.index).count();
            asked.push((tries.index, permit.key()));
            let Some(fault) = answers[tries.index].get(before) else {
                permit.succeeded(self.now);
                break;
            };
            permit.failed(fault, self.now);
            let Some(wait) = tries.next(fault, &self.healths, self.now) else { break };
            waits.push(wait);
            self.now += wait;
        }
        (asked, waits)
    }

    fn breaks(&self, index: usize) {
        for _ in 0..FAILURES_IN_A_ROW {
            self.healths[index].begin(self.now).unwrap().failed(&failing(), self.now);
        }
    }
}

fn failing() -> Fault {
    Fault::upstream(FaultKind::UpstreamFailed, "").status(500)
}

fn limited(after: Option<u64>) -> Fault {
    Fault::upstream(FaultKind::RateLimited, "").status(429).after(after.map(Duration::from_millis))
}

#[test]
fn another_target_is_asked_at_once() {
    for fault in [failing(), limited(Some(20_000)), Fault::upstream(FaultKind::ModelNotFound, "").status(404)] {
        let (asked, waits) = World::new(&[1, 1]).asked(3, &[&[fault], &[]]);
        assert_eq!((asked, waits), (vec![(0, 0), (1, 0)], vec![Duration::ZERO]));
    }
}

#[test]
fn another_key_is_asked_at_once() {
    let mut world = World::new(&[2, 1]);
    let refused = Fault::upstream(FaultKind::Unauthenticated, "").status(401);
    let (asked, waits) = world.asked(3, &[&[refused], &[]]);
    assert_eq!((asked, waits), (vec![(0, 0), (0, 1)], vec![Duration::ZERO]));
    // Both limited: the other target.
    let mut world = World::new(&[2, 1]);
    let (asked, _) = world.asked(3, &[&[limited(None), limited(None)], &[]]);
    assert_eq!(asked, [(0, 0), (0, 1), (1, 0)]);
    assert_eq!((world.budget.spent(world.now).charged, world.budget.spent(world.now).moved), (0, 2));
}

#[test]
fn the_same_target_is_asked_again_after_a_backoff_and_only_for_want_of_another() {
    let mut world = World::new(&[1]);
    let (asked, waits) = world.asked(3, &[&[failing(), failing(), failing()]]);
    assert_eq!(asked.len(), 3);
    assert!(waits[0] < SECOND / 4 && waits[1] < SECOND / 2 && waits.iter().any(|wait| !wait.is_zero()), "{waits:?}");
    assert_eq!(world.budget.spent(world.now).charged, 2);
    // As told, up to five seconds; else the app decides.
    let (asked, waits) = World::new(&[1]).asked(3, &[&[limited(Some(3_200))]]);
    assert_eq!((asked.len(), waits), (2, vec![Duration::from_millis(3_200)]));
    let (asked, _) = World::new(&[1]).asked(3, &[&[limited(Some(5_001))]]);
    assert_eq!(asked.len(), 1);
    // A key that is not accepted will not be in a moment.
    let (asked, _) = World::new(&[1]).asked(3, &[&[Fault::upstream(FaultKind::Unauthenticated, "").status(401)]]);
    assert_eq!(asked.len(), 1);
}

#[test]
fn who_is_ruled_out_is_not_asked_again() {
    let unsupported = Fault::unsupported("n", "");
    let (asked, _) = World::new(&[1, 1]).asked(9, &[&[unsupported], &[failing(), failing()]]);
    assert_eq!(asked, [(0, 0), (1, 0), (1, 0), (1, 0)]);
}

#[test]
fn what_is_wrong_everywhere_ends_it() {
    for fault in [Fault::bad_request(""), Fault::internal(""), Fault::caller(FaultKind::Blocked, "").status(400)] {
        assert_eq!(World::new(&[1, 1]).asked(3, &[&[fault], &[]]).0.len(), 1);
    }
    // What may have been done is not done twice where that may do harm; what was refused is.
    let world = World::new(&[1, 1]);
    for (fault, goes_on) in [(failing(), false), (limited(None), true), (Fault::upstream(FaultKind::Unreachable, ""), true)] {
        let deadline = world.now + SECOND;
        let mut tries = Tries::new(0..2, RetryPolicy::default(), false, deadline, world.rng.fork(), Arc::default());
        let _permit = tries.begin(&world.healths, world.now).unwrap();
        assert_eq!(tries.next(&fault, &world.healths, world.now).is_some(), goes_on, "{fault}");
    }
}

#[test]
fn who_is_out_is_passed_over_but_the_first_try_is_always_made() {
    let mut world = World::new(&[1, 1, 1]);
    world.breaks(1);
    assert_eq!(world.asked(3, &[&[failing()], &[], &[]]).0, [(0, 0), (2, 0)]);
    // The preferred one has gone out since the order was made.
    let mut world = World::new(&[1, 1]);
    world.breaks(0);
    assert_eq!(world.asked(3, &[&[], &[]]).0, [(1, 0)]);
    // All are out.
    let mut world = World::new(&[1, 1]);
    world.breaks(0);
    world.breaks(1);
    assert_eq!(world.asked(3, &[&[], &[]]).0, [(0, 0)]);
}

#[test]
fn a_hedge_is_a_try_at_another_target_that_is_well() {
    let world = World::new(&[1, 1, 1]);
    world.breaks(1);
    let mut tries = world.tries(2);
    let _first = tries.begin(&world.healths, world.now).unwrap();
    let _beside = tries.begin_beside(&world.healths, world.now).unwrap();
    assert_eq!((tries.index, tries.made()), (2, 2));
    assert!(tries.begin_beside(&world.healths, world.now).is_none(), "no more than two tries in all");
    assert!(tries.failed(0, &failing(), world.now) && tries.failed(2, &failing(), world.now));
    assert_eq!(tries.again(&world.healths, world.now), None);
    let mut tries = world.tries(3);
    let _first = tries.begin(&world.healths, world.now).unwrap();
    let _beside = tries.begin_beside(&world.healths, world.now).unwrap();
    assert!(tries.failed(0, &failing(), world.now));
    // One of the two told that it is the request: nothing goes on, in whatever order they came.
    assert!(!tries.failed(2, &Fault::bad_request(""), world.now));
    assert!(!tries.failed(0, &failing(), world.now));
    assert_eq!(tries.again(&world.healths, world.now), None);
}

#[test]
fn the_budget_holds_its_law() {
    let (budget, mut now) = (RetryBudget::new(), clock::now());
    assert_eq!((0..100).filter(|_| budget.withdraw(false, now)).count(), RESERVE as usize);
    (0..100).for_each(|_| budget.deposit(200));
    assert_eq!((0..100).filter(|_| budget.withdraw(false, now)).count(), 20);
    // Time fills the reserve, and no more than that, where exchanges pay in less.
    now += REFILL * 3;
    assert!(!budget.withdraw(false, now));
    now += REFILL * 3;
    assert_eq!((0..100).filter(|_| budget.withdraw(false, now)).count(), 3);
    (0..15).for_each(|_| budget.deposit(200));
    now += REFILL * 3;
    assert_eq!((0..100).filter(|_| budget.withdraw(false, now)).count(), 3);
    now += REFILL * 300;
    assert_eq!((0..100).filter(|_| budget.withdraw(false, now)).count(), RESERVE as usize);
    (0..1_000_000).for_each(|_| budget.deposit(1000));
    assert_eq!((0..1000).filter(|_| budget.withdraw(false, now)).count(), SAVED_MAX as usize);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Whatever comes back: no more tries than allowed, none at or past the deadline but the first, no wait past it, none at who is
    /// ruled out, and each retry that is charged was in the budget.
    #[test]
    fn an_exchange_keeps_its_bounds(
        seed: u64,
        keys in prop::collection::vec(1_usize..4, 1..5),
        attempts in 1_u32..8,
        time in 0_u64..20_000,
        took in 0_u64..3_000,
        broken in prop::collection::vec(any::<bool>(), 5),
        faults in prop::collection::vec((prop::sample::select(FaultKind::ALL.to_vec()), 0_u8..8, prop::option::of(0_u64..30_000)), 8),
    ) {
        let mut world = World::new(&keys);
        world.rng = RootRng::seeded(seed);
        (0..keys.len()).filter(|index| broken[*index]).for_each(|index| world.breaks(index));
        let mut now = world.now;
        let deadline = now + Duration::from_millis(time);
        let policy = RetryPolicy { attempts, budget_permille: 200 };
        let mut tries = Tries::new(0..keys.len(), policy, true, deadline, world.rng.fork(), Arc::clone(&world.budget));
        let mut ruled_out = Vec::new();
        let mut made = 0;
        let mut faults = faults.into_iter();
        while let Some(permit) = tries.begin(&world.healths, now) {
            prop_assert!(made == 0 || now < deadline);
            prop_assert!(!ruled_out.contains(&tries.index));
            made += 1;
            prop_assert_eq!(made, tries.made());
            let Some((kind, origin, after)) = faults.next() else { break };
            let origin = match origin { 0 => Origin::Downstream, 1 => Origin::Gateway, _ => Origin::Upstream };
            let fault = Fault::new(kind, origin, "").after(after.map(Duration::from_millis));
            let verdict = Verdict::of(&fault);
            now += Duration::from_millis(took);
            permit.failed(&fault, now);
            if verdict.again == Again::OtherTarget {
                ruled_out.push(tries.index);
            }
            let Some(wait) = tries.next(&fault, &world.healths, now) else { break };
            prop_assert!(verdict.again > Again::Nowhere);
            prop_assert!(wait <= WAIT_MAX && now + wait < deadline);
            now += wait;
        }
        prop_assert!((1..=attempts).contains(&made));
        let spent = world.budget.spent(now);
        prop_assert!(spent.charged + spent.moved + 1 >= u64::from(made));
        prop_assert!(spent.charged <= u64::from(RESERVE));
    }
}
