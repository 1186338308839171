//! Waiting in line: fair, bounded, and nobody is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use outrider::base::clock::{self, Instant, StillClock};
use outrider::config::{Dimension, Limit, Most, OnExceed, Span, Unit};
use outrider::quota::{Again, Limits, Measure, Moment, Reservation, Turn, WaitEnd, Waiting};
use proptest::prelude::*;

use super::support::*;

/// Whether somebody was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    fn taken(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

struct Waiter {
    id: usize,
    user: usize,
    entered: Instant,
    waiting: Waiting,
    flag: Arc<Flag>,
    until: Instant,
}

#[derive(Clone, Debug)]
enum Step {
    Enter(usize),
    /// One who would not wait.
    Ask(usize),
    Settle(usize),
    Leave(usize),
    Forward(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize).prop_map(Step::Enter),
        2 => (0..3_usize).prop_map(Step::Ask),
        5 => (0..9_usize).prop_map(Step::Settle),
        2 => (0..9_usize).prop_map(Step::Leave),
        3 => prop_oneof![Just(0_u32), 1..5_000_u32, Just(10_000_u32), Just(60_000_u32)].prop_map(Step::Forward),
    ]
}

const USERS: [&str; 3] = ["a", "b", "c"];
const OWN: u64 = 1;
const ALL: u64 = 2;
const RATE: u64 = 8;
const LENGTH: usize = 4;
const TIMEOUT: u64 = 10;

struct World {
    clock: Still,
    limits: Arc<Limits>,
    waiters: Vec<Waiter>,
    open: Vec<(usize, Reservation)>,
    passed: Vec<Instant>,
    next: usize,
}

impl World {
    fn new() -> Self {
        let clock = Still::new();
        let own = queue(limit("own", &[Dimension::User], concurrent(OWN)), TIMEOUT, LENGTH);
        let all = queue(limit("all", &[], Most { requests_per_minute: Some(RATE), ..concurrent(ALL) }), TIMEOUT, LENGTH);
        Self { clock, limits: limits(&clock, &[own, all]), waiters: Vec::new(), open: Vec::new(), passed: Vec::new(), next: 0 }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Enter(user) => {
                let at = self.clock.at();
                let waiting = self.limits.enter(&ask(USERS[*user], ""), ONE, at);
                let flag = Arc::new(Flag(AtomicBool::new(true)));
                self.waiters.push(Waiter { id: self.next, user: *user, entered: at.now, waiting, flag, until: at.now });
                self.next += 1;
            }
            Step::Ask(user) => {
                let asked = self.limits.reserve(&ask(USERS[*user], ""), ONE, self.clock.at());
                match asked {
                    Ok(reservation) => self.admitted(usize::MAX, *user, reservation),
                    Err(exceeded) => assert!(matches!(exceeded.then, OnExceed::Queue { .. }) && exceeded.wait.is_none()),
                }
            }
            Step::Settle(which) if !self.open.is_empty() => {
                let (_, reservation) = self.open.remove(which % self.open.len());
                drop(reservation.settle(ONE, self.clock.at()));
            }
            Step::Leave(which) if !self.waiters.is_empty() => drop(self.waiters.remove(which % self.waiters.len())),
            Step::Settle(_) | Step::Leave(_) => {}
            Step::Forward(millis) => self.clock.forward(Duration::from_millis((*millis).into())),
        }
        self.run();
        self.check();
    }

    /// Lets those ask who were woken, or whose instant has come, in any order, until nobody has a reason to.
    fn run(&mut self) {
        let at = self.clock.at();
        let mut rounds = 0;
        while let Some(place) = self.waiters.iter().rposition(|waiter| waiter.until <= at.now || waiter.flag.taken()) {
            rounds += 1;
            assert!(rounds < 1000, "they wake each other for ever");
            let waiter = &mut self.waiters[place];
            let waker = Waker::from(Arc::clone(&waiter.flag));
            match waiter.waiting.turn(at, &waker) {
                Turn::Admitted(reservation) => {
                    let waiter = self.waiters.remove(place);
                    self.admitted(waiter.id, waiter.user, reservation);
                }
                Turn::Refused(exceeded) => {
                    let waiter = self.waiters.remove(place);
                    let in_time = at.now < waiter.entered + seconds(TIMEOUT);
                    match exceeded.wait.unwrap() {
                        WaitEnd::TimedOut => assert!(!in_time),
                        WaitEnd::Full => assert!(in_time),
                        WaitEnd::Hopeless => {
                            let (Again::In(wait) | Again::OnRelease(wait)) = exceeded.again else { panic!("{exceeded}") };
                            assert!(at.now + wait > waiter.entered + seconds(TIMEOUT), "it might have come");
                        }
                    }
                }
                Turn::Wait(until) => {
                    assert!(until > at.now && until <= waiter.entered + seconds(TIMEOUT));
                    waiter.until = until;
                }
            }
        }
    }

    /// Nobody of the same user, who waits for the same things, came before and still waits.
    fn admitted(&mut self, id: usize, user: usize, reservation: Reservation) {
        assert!(self.waiters.iter().all(|other| other.user != user || other.id > id), "{id} overtook somebody");
        self.open.push((user, reservation));
        self.passed.push(self.clock.at().now);
    }

    fn check(&self) {
        let now = self.clock.at().now;
        let passed = self.passed.iter().filter(|at| **at + seconds(60) > now).count() as u64;
        assert!(self.open.len() as u64 <= ALL && passed <= RATE);
        let all_has_room = (self.open.len() as u64) < ALL && passed < RATE;
        let view = self.limits.view(self.clock.at(), usize::MAX);
        let waiting: BTreeMap<_, Vec<u64>> =
            view.limits.iter().map(|limit| (limit.limit.name.as_str(), limit.top.iter().map(|top| top.waiting).collect())).collect();
        assert!(waiting.values().flatten().all(|waiting| *waiting <= LENGTH as u64));
        for (user, _) in USERS.iter().enumerate() {
            let own = self.open.iter().filter(|(other, _)| *other == user).count() as u64;
            assert!(own <= OWN);
            // The first of a user waits for a reason, be it that another waits before it for what all share.
            let first = self.waiters.iter().find(|waiter| waiter.user == user);
            if first.is_some() && own < OWN && all_has_room {
                assert!(waiting["all"].iter().sum::<u64>() > 0, "the first of user {user} is forgotten");
            }
        }
        // The first of all waits for a reason of its own.
        if let Some(first) = self.waiters.first() {
            let own = self.open.iter().filter(|(user, _)| *user == first.user).count() as u64;
            assert!(own >= OWN || !all_has_room, "the first of all is forgotten");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_are_fair_bounded_and_forget_nobody(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.take(step));
        // Whoever left, left no trace.
        world.waiters.clear();
        world.open.clear();
        world.clock.forward(seconds(61));
        prop_assert!(all_returned(&world.limits, world.clock.at()));
        for _ in 0..20 {
            drop(world.limits.check(&ask("d", ""), ONE, world.clock.at()));
            drop(world.limits.check(&ask("a", ""), ONE, world.clock.at()));
            drop(world.limits.check(&ask("b", ""), ONE, world.clock.at()));
            drop(world.limits.check(&ask("c", ""), ONE, world.clock.at()));
        }
        prop_assert_eq!(world.limits.view(world.clock.at(), 0).meters, 0);
    }
}

fn turn(waiting: &mut Waiting, flag: &Arc<Flag>, at: Moment) -> Turn {
    waiting.turn(at, &Waker::from(Arc::clone(flag)))
}

fn flag() -> Arc<Flag> {
    Arc::default()
}

#[test]
fn whoever_leaves_the_head_of_a_line_makes_room_for_the_next() {
    let clock = Still::new();
    let limits = limits(&clock, &[queue(limit("l", &[], concurrent(1)), 10, 9)]);
    let held = limits.reserve(&ask("", ""), ONE, clock.at()).unwrap();
    let (first_flag, second_flag) = (flag(), flag());
    let mut first = limits.enter(&ask("", ""), ONE, clock.at());
    let mut second = limits.enter(&ask("", ""), ONE, clock.at());
    let Turn::Wait(until) = turn(&mut first, &first_flag, clock.at()) else { panic!("it does not wait") };
    assert_eq!(until, clock.at().now + seconds(10));
    assert!(matches!(turn(&mut second, &second_flag, clock.at()), Turn::Wait(_)));
    // The second asks out of turn, and stays second.
    drop(held.settle(ONE, clock.at()));
    assert!(first_flag.taken() && !second_flag.taken());
    assert!(matches!(turn(&mut second, &second_flag, clock.at()), Turn::Wait(_)));
    assert!(limits.reserve(&ask("", ""), ONE, clock.at()).is_err());
    // The first was woken, and goes without asking: the second is woken in its place.
    drop(first);
    assert!(second_flag.taken());
    let Turn::Admitted(held) = turn(&mut second, &second_flag, clock.at()) else { panic!("it is not let in") };
    drop(second);
    assert!(limits.reserve(&ask("", ""), ONE, clock.at()).is_err());
    drop(held.settle(ONE, clock.at()));
    assert!(limits.reserve(&ask("", ""), ONE, clock.at()).is_ok());
}

#[test]
fn room_for_several_goes_from_one_to_the_next() {
    let clock = Still::new();
    let limits = limits(&clock, &[queue(limit("l", &[], window(Unit::Usd, Span::Day, 10)), 10, 9)]);
    let held = limits.reserve(&ask("", ""), amount(0, 10), clock.at()).unwrap();
    let mut line: Vec<_> = (0..3).map(|_| (limits.enter(&ask("", ""), amount(0, 3), clock.at()), flag())).collect();
    for (waiting, flag) in &mut line {
        assert!(matches!(turn(waiting, flag, clock.at()), Turn::Wait(_)));
    }
    drop(held.settle(amount(0, 1), clock.at()));
    let mut open = Vec::new();
    for (waiting, flag) in &mut line {
        assert!(flag.taken());
        match turn(waiting, flag, clock.at()) {
            Turn::Admitted(reservation) => open.push(reservation),
            _ => panic!("there is room"),
        }
    }
    assert_eq!(open.len(), 3);
}

#[test]
fn one_who_waits_for_his_own_holds_up_nobody_else() {
    let clock = Still::new();
    let own = queue(limit("own", &[Dimension::User], concurrent(1)), 10, 9);
    let all = queue(limit("all", &[], concurrent(2)), 10, 9);
    let limits = limits(&clock, &[own, all]);
    let _held = limits.reserve(&ask("a", ""), ONE, clock.at()).unwrap();
    let mut second = limits.enter(&ask("a", ""), ONE, clock.at());
    assert!(matches!(turn(&mut second, &flag(), clock.at()), Turn::Wait(_)));
    assert!(limits.reserve(&ask("b", ""), ONE, clock.at()).is_ok());
}

#[test]
fn who_comes_behind_is_told_what_others_wait_for() {
    let cases = [
        (concurrent(1), Measure::Concurrent),
        (requests(1), Measure::RequestsPerMinute),
        (tokens(1), Measure::TokensPerMinute),
        (window(Unit::Tokens, Span::Hour, 1), Measure::Window(Unit::Tokens, Span::Hour)),
    ];
    for (most, measure) in cases {
        let mut clock = Still::new();
        let limits = limits(&clock, &[queue(limit("l", &[], most), 86_400, 9)]);
        let held = limits.reserve(&ask("", ""), ONE, clock.at()).unwrap();
        let mut waiting = limits.enter(&ask("", ""), ONE, clock.at());
        assert!(matches!(turn(&mut waiting, &flag(), clock.at()), Turn::Wait(_)));
        drop(held);
        clock.forward(seconds(3600));
        // There is room, and somebody before.
        let exceeded = refused(&limits, &ask("", ""), ONE, clock.at());
        assert_eq!((exceeded.measure, exceeded.most, exceeded.used), (measure, 1, 1));
        drop(waiting);
        pass(&limits, &ask("", ""), ONE, clock.at());
    }
}

#[test]
fn those_who_wait_for_two_things_do_not_wait_for_each_other() {
    let clock = Still::new();
    let with = |name: &str, of| queue(limit(name, &[of], concurrent(1)), 10, 9);
    let limits = limits(&clock, &[with("user", Dimension::User), with("model", Dimension::Model)]);
    let user = limits.reserve(&ask("u", "other"), ONE, clock.at()).unwrap();
    let model = limits.reserve(&ask("other", "m"), ONE, clock.at()).unwrap();
    let (first_flag, second_flag) = (flag(), flag());
    // The first waits for the user alone at first, the second for the model alone.
    let mut first = limits.enter(&ask("u", "m"), ONE, clock.at());
    drop(model.settle(ONE, clock.at()));
    assert!(matches!(turn(&mut first, &first_flag, clock.at()), Turn::Wait(_)));
    let model = limits.reserve(&ask("other", "m"), ONE, clock.at()).unwrap();
    let mut second = limits.enter(&ask("u2", "m"), ONE, clock.at());
    assert!(matches!(turn(&mut second, &second_flag, clock.at()), Turn::Wait(_)));
    drop(user.settle(ONE, clock.at()));
    // Now the first waits for the model as well, and before the second, having come before.
    assert!(first_flag.taken());
    assert!(matches!(turn(&mut first, &first_flag, clock.at()), Turn::Wait(_)));
    drop(model.settle(ONE, clock.at()));
    assert!(first_flag.taken());
    let Turn::Admitted(held) = turn(&mut first, &first_flag, clock.at()) else { panic!("they wait for each other") };
    drop(first);
    drop(held.settle(ONE, clock.at()));
    assert!(second_flag.taken());
    assert!(matches!(turn(&mut second, &second_flag, clock.at()), Turn::Admitted(_)));
}

#[test]
fn waiting_ends_where_it_makes_no_sense() {
    let mut clock = Still::new();
    let end = |limits: &Arc<Limits>, clock: &Still, tokens: u64| {
        let mut waiting = limits.enter(&ask("", ""), amount(tokens, tokens), clock.at());
        match turn(&mut waiting, &flag(), clock.at()) {
            Turn::Refused(exceeded) => exceeded.wait.map(|wait| (wait, exceeded.limit.name.clone())),
            Turn::Wait(_) => None,
            Turn::Admitted(_) => panic!("it fits"),
        }
    };
    let hopeless = |name: &str| Some((WaitEnd::Hopeless, name.to_owned()));
    // What is spent for the day does not come back in ten seconds; what is reserved may.
    let day = limits(&clock, &[queue(limit("day", &[], window(Unit::Usd, Span::Day, 10)), 10, 9)]);
    pass(&day, &ask("", ""), amount(0, 6), clock.at());
    assert_eq!(end(&day, &clock, 5), hopeless("day"));
    let held = day.reserve(&ask("", ""), amount(0, 4), clock.at()).unwrap();
    assert_eq!(end(&day, &clock, 4), None);
    assert_eq!(end(&day, &clock, 5), hopeless("day"));
    assert_eq!(end(&day, &clock, 11), hopeless("day"));
    drop(held);
    clock.forward(seconds(43_200 - 10));
    assert_eq!(end(&day, &clock, 5), None);
    // Requests do not come back either, but at their minute's end.
    let rate = limits(&clock, &[queue(limit("rate", &[], requests(1)), 10, 9)]);
    pass(&rate, &ask("", ""), ONE, clock.at());
    assert_eq!(end(&rate, &clock, 1), hopeless("rate"));
    clock.forward(seconds(50));
    assert_eq!(end(&rate, &clock, 1), None);
    // Tokens may.
    let words = limits(&clock, &[queue(limit("words", &[], tokens(10)), 10, 9)]);
    let held = words.reserve(&ask("", ""), amount(10, 0), clock.at()).unwrap();
    assert_eq!(end(&words, &clock, 5), None);
    assert_eq!(end(&words, &clock, 11), hopeless("words"));
    drop(held);
    // A limit that rejects ends it, in line too.
    let both = limits(&clock, &[queue(limit("runs", &[], concurrent(1)), 10, 9), limit("reject", &[], requests(2))]);
    let _held = both.reserve(&ask("", ""), ONE, clock.at()).unwrap();
    let mut waiting = both.enter(&ask("", ""), ONE, clock.at());
    assert!(matches!(turn(&mut waiting, &flag(), clock.at()), Turn::Wait(_)));
    let renewed = both.renewed(&policy(&[limit("reject", &[], requests(2))]));
    pass(&renewed, &ask("", ""), ONE, clock.at());
    let Turn::Refused(exceeded) = turn(&mut waiting, &flag(), clock.at()) else { panic!("it waits on") };
    assert_eq!((exceeded.limit.name.as_str(), exceeded.wait), ("reject", None));
    assert_eq!(both.view(clock.at(), 1).limits[0].top[0].waiting, 0);
}

#[test]
fn a_line_is_as_long_as_it_may_be() {
    let mut clock = Still::new();
    let limits = limits(&clock, &[queue(limit("l", &[Dimension::User], concurrent(1)), 10, 2)]);
    let _held = ["a", "b"].map(|user| limits.reserve(&ask(user, ""), ONE, clock.at()).unwrap());
    let mut line: Vec<_> = (0..2).map(|_| limits.enter(&ask("a", ""), ONE, clock.at())).collect();
    for waiting in &mut line {
        assert!(matches!(turn(waiting, &flag(), clock.at()), Turn::Wait(_)));
    }
    let mut third = limits.enter(&ask("a", ""), ONE, clock.at());
    let Turn::Refused(exceeded) = turn(&mut third, &flag(), clock.at()) else { panic!("the line is full") };
    assert_eq!(exceeded.wait, Some(WaitEnd::Full));
    assert!(exceeded.to_string().contains("its line is full"), "{exceeded}");
    assert_eq!(limits.view(clock.at(), 9).limits[0].top.iter().map(|top| top.waiting).sum::<u64>(), 2);
    // Another's line is another's, and those in line keep their place when they ask again.
    let mut other = limits.enter(&ask("b", ""), ONE, clock.at());
    assert!(matches!(turn(&mut other, &flag(), clock.at()), Turn::Wait(_)));
    assert!(matches!(turn(&mut line[1], &flag(), clock.at()), Turn::Wait(_)));
    clock.forward(seconds(10) - Duration::from_nanos(1));
    assert!(matches!(turn(&mut line[0], &flag(), clock.at()), Turn::Wait(_)));
    clock.forward(Duration::from_nanos(1));
    let Turn::Refused(exceeded) = turn(&mut line[0], &flag(), clock.at()) else { panic!("its time is over") };
    assert_eq!(exceeded.wait, Some(WaitEnd::TimedOut));
    assert!(exceeded.to_string().contains("did not help in time"), "{exceeded}");
}

#[test]
fn the_shortest_patience_of_several_counts() {
    let clock = Still::new();
    let all = [
        queue(limit("long", &[], concurrent(1)), 100, 9),
        queue(limit("short", &[], concurrent(1)), 3, 9),
        queue(limit("unused", &[], concurrent(9)), 1, 9),
    ];
    let limits = limits(&clock, &all);
    let _held = limits.reserve(&ask("", ""), ONE, clock.at()).unwrap();
    let mut waiting = limits.enter(&ask("", ""), ONE, clock.at());
    let Turn::Wait(until) = turn(&mut waiting, &flag(), clock.at()) else { panic!("it waits") };
    assert_eq!(until, clock.at().now + seconds(3));
}

/// What a request in an async world sees.
async fn admit(limits: &Arc<Limits>, limit_wall: &StillClock) -> (Duration, Result<Reservation, Option<WaitEnd>>) {
    let begun = clock::now();
    let admitted = limits.admit(&ask("", ""), ONE, limit_wall).await;
    (clock::now() - begun, admitted.map_err(|exceeded| exceeded.wait))
}

fn async_limits(of: Limit) -> (Arc<Limits>, StillClock) {
    (Limits::new(&policy(&[of]), clock::now()), StillClock(std::time::UNIX_EPOCH + seconds(NOON)))
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_another_to_end() {
    let (limits, wall) = async_limits(queue(limit("l", &[], concurrent(1)), 10, 9));
    let (_, held) = admit(&limits, &wall).await;
    let release = async {
        tokio::time::sleep(seconds(3)).await;
        drop(held.unwrap());
    };
    let (waited, ()) = tokio::join!(admit(&limits, &wall), release);
    assert_eq!(waited.0, seconds(3));
    let held = waited.1.unwrap();
    let (waited, refused) = admit(&limits, &wall).await;
    assert_eq!((waited, refused.err().unwrap()), (seconds(10), Some(WaitEnd::TimedOut)));
    // One that is given up leaves the line.
    let given_up = tokio::time::timeout(seconds(1), admit(&limits, &wall)).await;
    assert!(given_up.is_err());
    drop(held);
    let (waited, admitted) = admit(&limits, &wall).await;
    assert!(waited.is_zero() && admitted.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_its_minute() {
    let (limits, wall) = async_limits(queue(limit("l", &[], requests(2)), 90, 9));
    let mut passed = Vec::new();
    let begun = clock::now();
    for _ in 0..6 {
        drop(admit(&limits, &wall).await.1.unwrap());
        passed.push((clock::now() - begun).as_secs());
        tokio::time::sleep(seconds(1)).await;
    }
    assert_eq!(passed, [0, 1, 60, 61, 120, 121]);
}
