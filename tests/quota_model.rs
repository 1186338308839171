//! The concurrent core under a model checker: its very files, compiled against loom's locks, and every interleaving of a few
//! threads tried.
//!
//! loom and not shuttle: shuttle tries interleavings by chance, loom tries all of them, and here they are few enough, since
//! only locks are shared. No flag is needed: the core takes its locks from the module that holds it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test")]
#![allow(missing_docs, unreachable_pub, dead_code, unused_imports, reason = "a part of the library, compiled again")]

use outrider::{base, config, ir};

#[path = "../src/quota/core/mod.rs"]
mod core;

mod locks {
    pub(super) use loom::sync::{Mutex, MutexGuard};
}

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};

use crate::core::{Amount, Ask, Exceeded, Label, Limits, Moment, Reservation, Turn};
use base::money::NanoUsd;
use config::{Dimension, Limit, Most, OnExceed, OnOverrun, Overrides, Policy, Span, Unit, Window};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{Builder, JoinHandle};

const ONE: Amount = Amount { tokens: 1, cost: NanoUsd(1) };

/// Words of stack: the usual 4096 are too few for what is not optimised.
const STACK: usize = 1 << 17;

/// Tries every interleaving of `body`.
fn model(body: impl Fn() + Clone + Send + Sync + 'static) {
    loom::model(move || spawn(body.clone()).join().unwrap());
}

fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().stack_size(STACK).spawn(body).unwrap()
}

fn join<T, const COUNT: usize>(threads: [JoinHandle<T>; COUNT]) -> [T; COUNT] {
    threads.map(|thread| thread.join().unwrap())
}

fn at() -> Moment {
    thread_local!(static NOW: base::clock::Instant = base::clock::now());
    Moment { now: NOW.with(|now| *now), wall: UNIX_EPOCH + Duration::from_secs(1_795_608_000) }
}

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
        warn_permille: Vec::new(),
    }
}

fn concurrent(name: &str, per: &[Dimension], most: u64) -> Limit {
    limit(name, per, Most { concurrent: Some(most), ..Most::default() })
}

fn queue(limit: Limit) -> Limit {
    Limit { on_exceed: OnExceed::Queue { timeout: Duration::from_secs(10), length_max: 9 }, ..limit }
}

fn limits(of: &[Limit]) -> Arc<Limits> {
    let mut policy = Policy::new(String::new(), Vec::new(), Vec::new(), Overrides::default());
    policy.limits = of.iter().cloned().map(Arc::new).collect();
    Limits::new(&policy, at().now)
}

fn ask<'a>(user: &'a str, model: &'a str) -> Ask<'a> {
    let none = Label::NONE;
    let (user, model) = (Label::with_digest(user, digest(user)), Label::with_digest(model, digest(model)));
    Ask { team: none, app: none, user, key: none, model, provider: None, tags: &[], operation: ir::Operation::Chat }
}

/// The same in every execution, so that subjects are always in the same banks.
fn digest(text: &str) -> u128 {
    text.bytes().fold(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn reserve(limits: &Arc<Limits>, ask: &Ask<'_>) -> Result<Reservation, Box<Exceeded>> {
    limits.reserve(ask, ONE, at())
}

/// Waits its turn.
fn admit(limits: &Arc<Limits>, ask: &Ask<'_>) -> Reservation {
    let mut waiting = limits.enter(ask, ONE, at());
    loom::future::block_on(poll_fn(|context| match waiting.turn(at(), context.waker()) {
        Turn::Admitted(reservation) => Poll::Ready(reservation),
        Turn::Refused(exceeded) => panic!("{exceeded}"),
        Turn::Wait(_) => Poll::Pending,
    }))
}

fn at_rest(limits: &Limits) -> bool {
    let view = limits.view(at(), usize::MAX);
    view.limits
        .iter()
        .flat_map(|limit| &limit.top)
        .all(|top| top.under_way == 0 && top.waiting == 0 && top.measures.iter().all(|measure| measure.reserved == 0))
}

#[test]
fn two_are_never_let_in_where_there_is_room_for_one() {
    model(|| {
        let limits = limits(&[concurrent("all", &[], 1), concurrent("user", &[Dimension::User], 9)]);
        let running = Arc::new(AtomicUsize::new(0));
        let run = |user: &'static str| {
            let (limits, running) = (Arc::clone(&limits), Arc::clone(&running));
            spawn(move || {
                if let Ok(reservation) = reserve(&limits, &ask(user, "")) {
                    assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                    running.fetch_sub(1, Ordering::SeqCst);
                    drop(reservation.settle(ONE, at()));
                }
            })
        };
        let threads = [run("a"), run("b")];
        join(threads);
        assert!(at_rest(&limits) && reserve(&limits, &ask("a", "")).is_ok());
    });
}

#[test]
fn money_is_never_spent_twice() {
    model(|| {
        let most = Most { windows: vec![Window { unit: Unit::Usd, span: Span::Day, most: 2 }], ..Most::default() };
        let limits = limits(&[limit("money", &[], most), concurrent("user", &[Dimension::User], 9)]);
        let run = |user: &'static str, actual: u64| {
            let limits = Arc::clone(&limits);
            spawn(move || {
                let bound = Amount { tokens: 0, cost: NanoUsd(2) };
                let reservation = limits.reserve(&ask(user, ""), bound, at()).ok()?;
                drop(reservation.settle(Amount { tokens: 0, cost: NanoUsd(actual) }, at()));
                Some(actual)
            })
        };
        let threads = [run("a", 2), run("b", 0)];
        let spent: u64 = join(threads).into_iter().flatten().sum();
        assert!(spent <= 2);
        let view = limits.view(at(), 1);
        assert_eq!(view.limits[0].top.first().map_or(0, |top| top.measures[0].settled), spent);
        assert!(at_rest(&limits));
    });
}

#[test]
fn nobody_is_refused_for_what_another_only_tries() {
    model(|| {
        // The user's own limit is full, and stands in a later bank than the one that all share.
        let limits = limits(&[concurrent("shared", &[], 2), concurrent("user", &[Dimension::User], 1)]);
        let held = reserve(&limits, &ask("full", "")).unwrap();
        let tries = {
            let limits = Arc::clone(&limits);
            spawn(move || assert!(reserve(&limits, &ask("full", "")).is_err()))
        };
        // There is room for one more, whatever the other tries meanwhile.
        drop(reserve(&limits, &ask("b", "")).unwrap_or_else(|exceeded| panic!("{exceeded}")));
        tries.join().unwrap();
        drop(held);
        assert!(at_rest(&limits));
    });
}

#[test]
fn nobody_waits_for_each_other() {
    model(|| {
        // Each needs two of three banks, in whatever order its limits stand.
        let user = concurrent("user", &[Dimension::User], 9);
        let limits = limits(&[user, concurrent("all", &[], 9), concurrent("tag", &[Dimension::Tag], 9)]);
        let run = |user: &'static str, tag: &'static str| {
            let limits = Arc::clone(&limits);
            spawn(move || {
                let tags = [Label::with_digest(tag, digest(tag))];
                let reservation = reserve(&limits, &Ask { tags: &tags, ..ask(user, "") }).unwrap_or_else(|exceeded| panic!("{exceeded}"));
                drop(reservation);
            })
        };
        let threads = [run("a", "b"), run("b", "a")];
        join(threads);
        assert!(at_rest(&limits));
    });
}

#[test]
fn no_wakeup_is_lost() {
    model(|| {
        let limits = limits(&[queue(concurrent("all", &[], 1))]);
        let held = reserve(&limits, &ask("", "")).unwrap();
        let waits = {
            let limits = Arc::clone(&limits);
            spawn(move || drop(admit(&limits, &ask("", ""))))
        };
        drop(held.settle(ONE, at()));
        // loom tells of a deadlock if this never ends.
        waits.join().unwrap();
        assert!(at_rest(&limits));
    });
}

#[test]
fn two_who_wait_are_both_served() {
    // Three threads have very many interleavings. These are those that take the processor away from a thread at most
    // three times, where errors are found (Musuvathi and Qadeer, "Iterative context bounding", PLDI 2007).
    let mut bounded = loom::model::Builder::new();
    bounded.preemption_bound = Some(3);
    let body = || {
        let limits = limits(&[queue(concurrent("all", &[], 1))]);
        let held = reserve(&limits, &ask("", "")).unwrap();
        let waits = || {
            let limits = Arc::clone(&limits);
            spawn(move || drop(admit(&limits, &ask("", ""))))
        };
        let threads = [waits(), waits()];
        drop(held.settle(ONE, at()));
        join(threads);
        assert!(at_rest(&limits));
    };
    bounded.check(move || spawn(body).join().unwrap());
}

#[test]
fn whoever_leaves_does_not_take_a_wakeup_along() {
    model(|| {
        let limits = limits(&[queue(concurrent("all", &[], 1))]);
        let held = reserve(&limits, &ask("", "")).unwrap();
        // Stands before the other, is perhaps woken, and leaves without having asked again.
        let mut leaves = limits.enter(&ask("", ""), ONE, at());
        assert!(matches!(leaves.turn(at(), std::task::Waker::noop()), Turn::Wait(_)));
        let waits = {
            let limits = Arc::clone(&limits);
            spawn(move || drop(admit(&limits, &ask("", ""))))
        };
        drop(held.settle(ONE, at()));
        drop(leaves);
        waits.join().unwrap();
        assert!(at_rest(&limits));
    });
}

#[test]
fn a_reload_in_between_loses_nothing() {
    model(|| {
        let money = |most| {
            let windows = vec![Window { unit: Unit::Usd, span: Span::Day, most }];
            limit("money", &[], Most { windows, ..Most::default() })
        };
        let limits = limits(&[money(3)]);
        let spends = {
            let limits = Arc::clone(&limits);
            spawn(move || drop(reserve(&limits, &ask("", "")).map(|reservation| drop(reservation.settle(ONE, at())))))
        };
        let mut policy = Policy::new(String::new(), Vec::new(), Vec::new(), Overrides::default());
        policy.limits = vec![Arc::new(money(2))];
        let renewed = limits.renewed(&policy);
        drop(reserve(&renewed, &ask("", "")).map(|reservation| drop(reservation.settle(ONE, at()))));
        spends.join().unwrap();
        assert_eq!(renewed.view(at(), 1).limits[0].top[0].measures[0].settled, 2);
    });
}
