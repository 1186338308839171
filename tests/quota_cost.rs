//! What limits cost: memory as a test, time as measurements (`cargo test --release --test quota_cost -- --ignored --nocapture`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::print_stderr, reason = "a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use outrider::base::clock;
use outrider::base::money::NanoUsd;
use outrider::config::{Dimension, Limit, Most, OnExceed, OnOverrun, Overrides, Policy, Span, Unit, Window};
use outrider::ir::Operation;
use outrider::quota::{Amount, Ask, Label, Limits, Moment};

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn limit(name: &str, per: &[Dimension], most: Most) -> Limit {
    Limit {
        name: name.into(),
        per: per.to_vec(),
        when: Vec::new(),
        most,
        offset_seconds: 0,
        on_exceed: OnExceed::Reject,
        on_overrun: OnOverrun::Finish,
        assumed_output_tokens: None,
        warn_permille: vec![800],
    }
}

fn limits(of: Vec<Limit>) -> Arc<Limits> {
    let mut policy = Policy::new(String::new(), Vec::new(), Vec::new(), Overrides::default());
    policy.limits = of.into_iter().map(Arc::new).collect();
    Limits::new(&policy, clock::now())
}

fn windows(all: &[(Unit, Span)]) -> Vec<Window> {
    all.iter().map(|(unit, span)| Window { unit: *unit, span: *span, most: 1 << 49 }).collect()
}

const MANY: Option<u64> = Some(1 << 49);

fn rates() -> Most {
    Most { requests_per_minute: MANY, tokens_per_minute: MANY, ..Most::default() }
}

fn runs() -> Most {
    Most { concurrent: MANY, ..Most::default() }
}

fn money(spans: &[Span]) -> Most {
    Most { windows: windows(&spans.iter().map(|span| (Unit::Usd, *span)).collect::<Vec<_>>()), ..Most::default() }
}

fn wall() -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_608_000)
}

const BOUND: Amount = Amount { tokens: 2000, cost: NanoUsd(30_000_000) };
const ACTUAL: Amount = Amount { tokens: 1234, cost: NanoUsd(12_345_678) };

/// Nanoseconds that this thread had a processor: others may want it too.
fn processor() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split(' ').next().unwrap().parse().unwrap()
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[test]
fn a_hundred_thousand_users_fit_into_30_megabytes() {
    let limits = limits(vec![
        limit("rate", &[Dimension::User], rates()),
        limit("runs", &[Dimension::User], runs()),
        limit("money", &[Dimension::User], money(&[Span::Day, Span::Month])),
    ]);
    let begun = clock::now();
    let before = resident();
    for user in 0..100_000_u64 {
        // All within a minute, so that none is let go.
        let at = Moment { now: begun + Duration::from_micros(user * 500), wall: wall() };
        let name = format!("user-{user}@example.com");
        let ask = Ask { user: Label::new(&name), ..plain() };
        drop(limits.reserve(&ask, BOUND, at).unwrap().settle(ACTUAL, at));
    }
    let used = resident() - before;
    let at = Moment { now: begun + Duration::from_secs(50), wall: wall() };
    let view = limits.view(at, 0);
    eprintln!("{} bytes for each of 100,000 users with 5 bounds, {} meters", used / 100_000, view.meters);
    assert!(view.crowded == 0 && view.meters >= 200_000);
    assert!(used <= 30_000_000, "{used} bytes");
    // Nor does a subject take more that asks very often: half a million requests of one minute.
    let limits = busy(begun);
    let used = resident().saturating_sub(before + used);
    assert!(limits.view(at, 1).limits[0].top[0].measures[0].settled == 500_000 && used < 1_000_000, "{used} bytes");
}

fn busy(begun: clock::Instant) -> Arc<Limits> {
    let limits = limits(vec![limit("rate", &[], Most { requests_per_minute: Some(600_000), ..Most::default() })]);
    for request in 0..500_000_u64 {
        let at = Moment { now: begun + Duration::from_micros(request * 100), wall: wall() };
        drop(limits.reserve(&plain(), BOUND, at).unwrap().settle(ACTUAL, at));
    }
    limits
}

fn plain() -> Ask<'static> {
    Ask {
        team: Label::NONE,
        app: Label::NONE,
        user: Label::NONE,
        key: Label::NONE,
        model: Label::NONE,
        provider: None,
        tags: &[],
        operation: Operation::Chat,
    }
}

/// Ten limits, all of which apply to each request.
fn ten() -> Vec<Limit> {
    use Dimension::{App, Key, Model, Team, User};
    vec![
        limit("all-rate", &[], rates()),
        limit("all-runs", &[], runs()),
        limit("team-money", &[Team], money(&[Span::Day, Span::Month])),
        limit("team-rate", &[Team], rates()),
        limit("app-runs", &[App], runs()),
        limit("key-money", &[Key], money(&[Span::Hour])),
        limit("user-rate", &[User], rates()),
        limit("user-money", &[User], money(&[Span::Day])),
        limit("user-model", &[User, Model], rates()),
        limit("model-tokens", &[Model], Most { windows: windows(&[(Unit::Tokens, Span::Day)]), ..Most::default() }),
    ]
}

struct Names {
    users: Vec<String>,
    digests: Vec<u128>,
    models: [Label<'static>; 4],
}

impl Names {
    fn new(users: usize) -> Self {
        let users: Vec<_> = (0..users).map(|user| format!("user-{user}@example.com")).collect();
        let digests = users.iter().map(|user| Label::new(user).digest()).collect();
        Self { users, digests, models: ["fast", "cheap", "gpt-4.1", "claude-sonnet-4-5"].map(Label::new) }
    }

    fn ask(&self, place: usize) -> Ask<'_> {
        let user = place % self.users.len();
        let names = (Label::new("search"), Label::new("ranker"), Label::new("key-1"));
        let user = Label::with_digest(&self.users[user], self.digests[user]);
        Ask { team: names.0, app: names.1, key: names.2, user, model: self.models[place % 4], ..plain() }
    }
}

/// Nanoseconds for each of so many rounds, at the pace of so many requests a second on the limits' clock.
fn measure(limits: &Arc<Limits>, asks: &[Ask<'_>], rounds: usize, pace: u64, from: Duration) -> f64 {
    let begun = clock::now() + from;
    let step = Duration::from_nanos(1_000_000_000 / pace);
    let started = processor();
    for (round, ask) in asks.iter().cycle().take(rounds).enumerate() {
        let at = Moment { now: begun + step * round as u32, wall: wall() };
        drop(limits.reserve(ask, BOUND, at).unwrap().settle(ACTUAL, at));
    }
    (processor() - started) as f64 / rounds as f64
}

#[test]
#[ignore = "a measurement"]
fn reserving_and_settling_in_ten_limits() {
    for users in [1, 100, 10_000, 100_000] {
        let names = Names::new(users);
        let asks: Vec<_> = (0..users.max(4)).map(|place| names.ask(place)).collect();
        let limits = limits(ten());
        measure(&limits, &asks, 300_000, 10_000, Duration::ZERO);
        let best = (1..6).map(|round| measure(&limits, &asks, 300_000, 10_000, Duration::from_secs(30 * round))).fold(f64::MAX, f64::min);
        eprintln!("{users} users: {best:.0} ns for reserve and settle in ten limits");
    }
    let names = Names::new(1000);
    let asks: Vec<_> = (0..1000).map(|place| names.ask(place)).collect();
    let none = limits(Vec::new());
    eprintln!("no limits: {:.0} ns", measure(&none, &asks, 1_000_000, 10_000, Duration::ZERO));
    let one = limits(vec![limit("user-rate", &[Dimension::User], rates())]);
    eprintln!("one limit: {:.0} ns", measure(&one, &asks, 1_000_000, 10_000, Duration::ZERO));
    let started = processor();
    let digests = names.users.iter().cycle().take(1_000_000).fold(0, |sum, user| sum ^ Label::new(user).digest());
    eprintln!("a label: {:.0} ns ({})", (processor() - started) as f64 / 1e6, digests & 1);
}

#[test]
#[ignore = "a measurement"]
fn two_threads_in_the_same_ten_limits() {
    let names = Names::new(1000);
    let limits = limits(ten());
    for threads in [1, 2] {
        let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let begun = clock::now();
        let busy = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (names, limits, done, stop, busy) = (&names, &limits, &done, &stop, &busy);
                scope.spawn(move || {
                    let asks: Vec<_> = (0..1000).map(|place| names.ask(place + thread * 500)).collect();
                    let (mut rounds, started) = (0_u64, processor());
                    while !stop.load(Ordering::Relaxed) {
                        for ask in &asks {
                            let at = Moment { now: begun + Duration::from_micros(rounds * 50), wall: wall() };
                            drop(limits.reserve(ask, BOUND, at).unwrap().settle(ACTUAL, at));
                            rounds += 1;
                        }
                    }
                    done.fetch_add(rounds, Ordering::Relaxed);
                    busy.fetch_add(processor() - started, Ordering::Relaxed);
                });
            }
            std::thread::sleep(Duration::from_secs(2));
            stop.store(true, Ordering::Relaxed);
        });
        let each = busy.load(Ordering::Relaxed) as f64 / done.load(Ordering::Relaxed) as f64;
        eprintln!("{threads} threads: {each:.0} ns of a processor for each request");
    }
}
