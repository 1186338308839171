#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;

use super::*;
use crate::base::Origin;
use crate::base::clock;
use crate::base::rng::RootRng;

const SECOND: Duration = Duration::from_secs(1);

fn health(keys: usize) -> (Arc<Health>, Instant) {
    let now = clock::now();
    (Arc::new(Health::new(keys, RootRng::seeded(7).fork(), now)), now)
}

fn failing() -> Fault {
    Fault::upstream(FaultKind::UpstreamFailed, "").status(500)
}

fn limited(after: Option<u64>) -> Fault {
    Fault::upstream(FaultKind::RateLimited, "").status(429).after(after.map(Duration::from_secs))
}

fn of(kind: FaultKind, status: u16) -> Fault {
    Fault::upstream(kind, "").status(status)
}

fn is_out(health: &Arc<Health>, now: Instant) -> bool {
    matches!(health.standing(now), Standing::Out(_))
}

/// Opens the breaker, and tells when it is half-open.
fn broken(health: &Arc<Health>, now: Instant) -> Instant {
    for _ in 0..FAILURES_IN_A_ROW {
        health.begin(now).unwrap().failed(&failing(), now);
    }
    match health.standing(now) {
        Standing::Out(until) => until,
        other => panic!("{other:?}"),
    }
}

#[test]
fn five_failures_in_a_row_open_it_and_no_fewer() {
    let (health, now) = health(1);
    for _ in 0..3 {
        for _ in 0..FAILURES_IN_A_ROW - 1 {
            health.begin(now).unwrap().failed(&failing(), now);
        }
        assert_eq!(health.standing(now), Standing::Well);
        health.begin(now).unwrap().succeeded(now);
    }
    let until = broken(&health, now);
    assert!(until > now + SECOND * 3 / 4 - SECOND / 100 && until <= now + SECOND);
    assert!(health.begin(now).is_none());
    assert_eq!(health.report(now).state, "open");
}

#[test]
fn half_of_twenty_within_ten_seconds_open_it() {
    // Never five in a row: two fail, two do not.
    let turns = |every: Duration| {
        let (health, mut now) = health(1);
        for turn in 0..200 {
            let Some(permit) = health.begin(now) else { return Some(turn) };
            if turn % 4 < 2 {
                permit.failed(&failing(), now)
            } else {
                permit.succeeded(now)
            }
            now += every;
        }
        None
    };
    assert_eq!(turns(SECOND / 10), Some(21));
    // Fewer than twenty fall into ten seconds.
    assert_eq!(turns(SECOND), None);
}

#[test]
fn one_probe_at_a_time_finds_out() {
    let (health, now) = health(1);
    let now = broken(&health, now);
    assert_eq!(health.standing(now), Standing::Probe);
    let probe = health.begin(now).unwrap();
    assert!(probe.is_probe() && health.begin(now).is_none() && is_out(&health, now));
    assert_eq!(health.report(now).state, "probing");
    // Dropped: nothing was learnt, and the place is free.
    drop(probe);
    assert_eq!(health.standing(now), Standing::Probe);
    // The caller's fault is no success, but an answer.
    let probe = health.begin(now).unwrap();
    probe.failed(&Fault::bad_request("no"), now);
    assert_eq!(health.standing(now), Standing::Probe, "a fault without an answer tells nothing");
    health.begin(now).unwrap().succeeded(now);
    assert_eq!(health.standing(now), Standing::Returning(SHARE_FIRST));
    let Standing::Returning(share) = health.standing(now + RETURN / 2) else { panic!() };
    assert!((share - 0.55).abs() < 0.01);
    assert_eq!(health.standing(now + RETURN), Standing::Well);
}

#[test]
fn it_opens_for_twice_as_long_each_time_up_to_a_minute() {
    let (health, mut now) = health(1);
    now = broken(&health, now);
    let mut waits = Vec::new();
    for _ in 0..9 {
        health.begin(now).unwrap().failed(&failing(), now);
        let Standing::Out(until) = health.standing(now) else { panic!() };
        waits.push(until.duration_since(now).as_secs_f64());
        now = until;
    }
    for (wait, whole) in waits.iter().zip([2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0]) {
        assert!(*wait <= whole && *wait >= whole * 0.74, "{waits:?}");
    }
    // Back, and well for long enough: it begins anew.
    health.begin(now).unwrap().succeeded(now);
    now += RETURN;
    health.begin(now).unwrap().succeeded(now);
    assert!(broken(&health, now) <= now + SECOND);
}

#[test]
fn what_was_begun_before_says_nothing_of_after() {
    let (health, now) = health(1);
    let (old, older) = (health.begin(now).unwrap(), health.begin(now).unwrap());
    let until = broken(&health, now);
    old.succeeded(now);
    assert!(is_out(&health, now));
    let probe = health.begin(until).unwrap();
    older.failed(&failing(), until);
    assert!(health.begin(until).is_none(), "the probe's place is still taken");
    probe.succeeded(until);
    assert!(health.begin(until).is_some());
}

#[test]
fn asked_for_want_of_a_better_one_it_may_close_but_never_puts_off_the_probe() {
    let (health, now) = health(1);
    let until = broken(&health, now);
    health.begin_anyway(now).failed(&failing(), now);
    assert_eq!(health.standing(now), Standing::Out(until));
    health.begin_anyway(now).succeeded(now);
    assert!(matches!(health.standing(now), Standing::Returning(_)));
}

#[test]
fn what_breaks_off_late_counts() {
    let cut = Fault::upstream(FaultKind::Truncated, "");
    let (health, now) = health(1);
    // Each begins well, so that there are never two failures in a row: every second one breaks off.
    for turn in 0..TRIES_MIN {
        assert_eq!(health.standing(now), Standing::Well, "{turn}");
        health.begin(now).unwrap().succeeded(now);
        if turn % 2 == 1 {
            health.failed_late(&cut, now);
        }
    }
    assert!(is_out(&health, now));
    // What this process does is not the target's fault.
    let (health, now) = self::health(1);
    let drained = Fault::new(FaultKind::Draining, Origin::Gateway, "");
    (0..10).for_each(|_| health.failed_late(&drained, now));
    assert_eq!(health.standing(now), Standing::Well);
}

#[test]
fn a_limited_key_rests_as_told_and_the_others_serve() {
    let (health, now) = health(3);
    let keys: Vec<_> = (0..6).map(|_| health.begin(now).unwrap().key()).collect();
    assert_eq!(keys, [0, 1, 2, 0, 1, 2]);
    health.begin(now).unwrap().failed(&limited(Some(20)), now);
    assert_eq!(health.standing(now), Standing::Well);
    let keys: Vec<_> = (0..4).map(|_| health.begin(now).unwrap().key()).collect();
    assert_eq!(keys, [1, 2, 1, 2]);
    health.begin(now).unwrap().failed(&limited(Some(7)), now);
    health.begin(now).unwrap().failed(&limited(Some(9)), now);
    assert_eq!(health.standing(now), Standing::Out(now + SECOND * 7));
    assert_eq!(health.report(now).state, "keys resting");
    assert_eq!(health.begin_anyway(now).key(), 1);
    assert_eq!(health.begin(now + SECOND * 8).unwrap().key(), 1);
    let report = health.report(now);
    assert_eq!(report.keys[0], KeyReport { wait: SECOND * 20, trouble: Some("rate limited") });
    assert_eq!(report.last_fault, Some(("rate_limited", Duration::ZERO)));
}

#[test]
fn rests_grow_while_a_key_does_not_work() {
    let spans = |fault: &Fault, wanted: &[u64]| {
        let (health, mut now) = health(1);
        for wanted in wanted {
            // Those under way beside it are told the same: that is one failure.
            let (first, second) = (health.begin_anyway(now), health.begin_anyway(now));
            first.failed(fault, now);
            second.failed(fault, now);
            assert_eq!(health.standing(now), Standing::Out(now + SECOND * u32::try_from(*wanted).unwrap()), "{}", fault.kind.label());
            now += SECOND * u32::try_from(*wanted).unwrap();
        }
        health.begin(now).unwrap().succeeded(now);
        health.begin(now).unwrap().failed(fault, now);
        assert_eq!(health.standing(now), Standing::Out(now + SECOND * u32::try_from(wanted[0]).unwrap()));
    };
    spans(&limited(None), &[1, 2, 4, 8, 16, 32, 60, 60]);
    spans(&of(FaultKind::Forbidden, 403), &[10, 20, 40, 80, 160, 320, 600, 600]);
    spans(&of(FaultKind::Unauthenticated, 401), &[60, 120, 240, 480, 960, 1800, 1800]);
    spans(&of(FaultKind::BudgetExhausted, 402), &[600, 1200, 2400, 3600, 3600]);
    // A year is not believed.
    spans(&limited(Some(31_536_000)), &[600, 600]);
}

#[test]
fn a_key_that_was_refused_is_tried_again_by_one_request() {
    let (health, now) = health(2);
    health.begin(now).unwrap().failed(&of(FaultKind::Unauthenticated, 401), now);
    let now = now + SECOND * 60;
    assert_eq!(health.begin(now).unwrap().key(), 1);
    let finds_out = health.begin(now).unwrap();
    assert_eq!(finds_out.key(), 0);
    assert_eq!([0; 3].map(|_| health.begin(now).unwrap().key()), [1; 3]);
    drop(finds_out);
    let finds_out = health.begin(now).unwrap();
    assert_eq!(finds_out.key(), 0);
    finds_out.succeeded(now);
    assert_eq!([0; 3].map(|_| health.begin(now).unwrap().key()), [1, 0, 1]);
}

#[test]
fn a_new_key_in_the_place_of_one_that_rests_is_ready() {
    let (health, now) = health(1);
    health.keep_keys(&[7, 8]);
    let (first, second) = (health.begin(now).unwrap(), health.begin(now).unwrap());
    first.failed(&of(FaultKind::Unauthenticated, 401), now);
    health.keep_keys(&[7, 8]);
    assert_eq!([0; 2].map(|_| health.begin(now).unwrap().key()), [1, 1]);
    // The order has changed, and with it the place of the one that rests.
    health.keep_keys(&[8, 7]);
    assert_eq!([0; 2].map(|_| health.begin(now).unwrap().key()), [0, 0]);
    health.keep_keys(&[9]);
    assert_eq!(health.begin(now).unwrap().key(), 0);
    // What comes of one that is gone is nobody's.
    second.failed(&of(FaultKind::Unauthenticated, 401), now);
    assert_eq!(health.standing(now), Standing::Well);
    health.keep_keys(&[]);
    assert_eq!(health.begin(now).unwrap().key(), 0);
}

#[test]
fn an_overload_that_names_its_time_is_left_alone_until_then() {
    let (health, now) = health(2);
    health.begin(now).unwrap().failed(&of(FaultKind::Overloaded, 529).after(Some(SECOND * 4)), now);
    assert_eq!((health.standing(now), health.report(now).state), (Standing::Out(now + SECOND * 4), "resting"));
    assert_eq!(health.standing(now + SECOND * 4), Standing::Well);
}

#[test]
fn a_few_hundred_bytes() {
    assert!(size_of::<Health>() <= 400, "{}", size_of::<Health>());
}

#[derive(Clone, Debug)]
enum Step {
    Begin,
    Anyway,
    Succeed(usize),
    Fail(usize, FaultKind, Option<u16>, Option<u64>),
    Drop(usize),
    Late,
    Wait(u64),
}

fn fault_of(kind: FaultKind, status: Option<u16>, after: Option<u64>) -> Fault {
    let mut fault = Fault::upstream(kind, "").after(after.map(Duration::from_millis));
    fault.status = status;
    fault
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(FaultKind::ALL.to_vec());
    let status = prop::option::of(prop::sample::select(vec![400_u16, 401, 403, 404, 429, 500, 503, 529]));
    let bad = || Just((FaultKind::UpstreamFailed, Some(500), None));
    prop_oneof![
        6 => Just(Step::Begin),
        1 => Just(Step::Anyway),
        2 => any::<usize>().prop_map(Step::Succeed),
        3 => (any::<usize>(), kind, status, prop::option::of(0_u64..1_000_000)).prop_map(|(at, kind, status, after)| Step::Fail(at, kind, status, after)),
        4 => (any::<usize>(), bad()).prop_map(|(at, (kind, status, after))| Step::Fail(at, kind, status, after)),
        1 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Late),
        3 => (0_u64..3_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// However tries begin and end: one probe at a time, no permit while it is out, one where it is not, and once all are over and
    /// the target answers again it is soon well.
    #[test]
    fn whatever_happens_it_comes_back(keys in 1_usize..4, steps in prop::collection::vec(step(), 0..120)) {
        let (health, mut now) = health(keys);
        let mut open: Vec<Permit> = Vec::new();
        for step in steps {
            let standing = health.standing(now);
            match step {
                Step::Begin => {
                    let permit = health.begin(now);
                    prop_assert_eq!(permit.is_some(), !matches!(standing, Standing::Out(_)), "{:?}", standing);
                    if let Some(permit) = permit {
                        prop_assert_eq!(permit.is_probe(), standing == Standing::Probe);
                        prop_assert!(permit.key() < keys);
                        open.push(permit);
                    }
                }
                Step::Anyway => open.push(health.begin_anyway(now)),
                Step::Succeed(at) if !open.is_empty() => open.swap_remove(at % open.len()).succeeded(now),
                Step::Fail(at, kind, status, after) if !open.is_empty() => {
                    open.swap_remove(at % open.len()).failed(&fault_of(kind, status, after), now);
                }
                Step::Drop(at) if !open.is_empty() => drop(open.swap_remove(at % open.len())),
                Step::Late => health.failed_late(&failing(), now),
                Step::Wait(millis) => now += Duration::from_millis(millis),
                _ => {}
            }
            let probes = open.iter().filter(|permit| permit.holds_the_probe()).count();
            prop_assert!(probes <= 1);
            if let Standing::Out(until) = health.standing(now) {
                prop_assert!(until > now && until <= now + Duration::from_secs(3600));
            }
        }
        open.clear();
        // It answers again: the longest rest of all is a spent quota's hour.
        now += Duration::from_secs(3600);
        prop_assert!(!matches!(health.standing(now), Standing::Out(_)));
        health.begin(now).unwrap().succeeded(now);
        now += RETURN;
        prop_assert_eq!(health.standing(now), Standing::Well);
    }

    /// What the caller does wrong, or this process, is never held against a target.
    #[test]
    fn callers_faults_never_hurt(faults in prop::collection::vec((prop::sample::select(FaultKind::ALL.to_vec()), any::<bool>(), prop::option::of(400_u16..600), 0_u64..500), 0..200)) {
        let (health, mut now) = health(2);
        for (kind, ours, status, wait) in faults {
            let mut fault = Fault::new(kind, if ours { Origin::Gateway } else { Origin::Downstream }, "").after(Some(SECOND));
            fault.status = status;
            health.begin(now).unwrap().failed(&fault, now);
            health.failed_late(&fault, now);
            now += Duration::from_millis(wait);
            prop_assert_eq!(health.standing(now), Standing::Well);
        }
        prop_assert_eq!(health.report(now).last_fault, None);
    }

    /// A target that fails for a while and then no more is well again within two minutes of its recovery: the longest opening and
    /// the slow start.
    #[test]
    fn it_recovers_in_bounded_time(seed: u64, outage in 1_u64..300, every in 200_u64..2_000) {
        let mut now = clock::now();
        let health = Arc::new(Health::new(1, RootRng::seeded(seed).fork(), now));
        let end = now + Duration::from_secs(outage);
        let every = Duration::from_millis(every);
        let mut asked_in_vain = 0;
        while now < end {
            if let Some(permit) = health.begin(now) {
                permit.failed(&failing(), now);
                asked_in_vain += 1;
            }
            now += every;
        }
        // Five, then a probe for each opening.
        prop_assert!(asked_in_vain <= 5 + 7 + outage / 45, "{}", asked_in_vain);
        let limit = end + OPEN_MAX + RETURN + every * 2;
        while now < limit {
            if let Some(permit) = health.begin(now) {
                permit.succeeded(now);
            }
            now += every;
        }
        prop_assert_eq!(health.standing(now), Standing::Well);
    }
}
