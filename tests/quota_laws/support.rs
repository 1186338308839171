//! Limits, requests and a clock that stands still.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use outrider::base::clock::{self, Instant};
use outrider::base::money::NanoUsd;
use outrider::config::{Dimension, Limit, Most, OnExceed, OnOverrun, Overrides, Policy, Selector, Span, Unit, Window};
use outrider::ir::Operation;
use outrider::quota::{Amount, Ask, Exceeded, Label, Limits, Moment};

/// 2026-11-25T12:00:00Z.
pub const NOON: u64 = 1_795_608_000;

/// A clock that moves when it is told to.
#[derive(Clone, Copy)]
pub struct Still {
    origin: Instant,
    pub elapsed: Duration,
    /// Seconds since the Unix epoch.
    pub wall: Duration,
}

impl Still {
    pub fn new() -> Self {
        Self { origin: clock::now(), elapsed: Duration::ZERO, wall: Duration::from_secs(NOON) }
    }

    pub fn at(&self) -> Moment {
        Moment { now: self.origin + self.elapsed, wall: UNIX_EPOCH + self.wall }
    }

    pub fn origin(&self) -> Instant {
        self.origin
    }

    pub fn forward(&mut self, time: Duration) {
        self.elapsed += time;
        self.wall += time;
    }

    pub fn after(mut self, time: Duration) -> Moment {
        self.forward(time);
        self.at()
    }
}

pub fn limit(name: &str, per: &[Dimension], most: Most) -> Limit {
    Limit {
        name: name.into(),
        per: per.to_vec(),
        when: Vec::new(),
        most,
        offset_seconds: 0,
        on_exceed: OnExceed::Reject,
        on_overrun: OnOverrun::Finish,
        warn_permille: Vec::new(),
    }
}

pub fn requests(most: u64) -> Most {
    Most { requests_per_minute: Some(most), ..Most::default() }
}

pub fn tokens(most: u64) -> Most {
    Most { tokens_per_minute: Some(most), ..Most::default() }
}

pub fn concurrent(most: u64) -> Most {
    Most { concurrent: Some(most), ..Most::default() }
}

pub fn window(unit: Unit, span: Span, most: u64) -> Most {
    Most { windows: vec![Window { unit, span, most }], ..Most::default() }
}

pub fn when(of: Dimension, patterns: &[&str]) -> Selector {
    Selector { of, patterns: patterns.iter().map(|text| (*text).to_owned()).collect() }
}

pub fn queue(limit: Limit, timeout: u64, length_max: usize) -> Limit {
    Limit { on_exceed: OnExceed::Queue { timeout: Duration::from_secs(timeout), length_max }, ..limit }
}

pub fn policy(limits: &[Limit]) -> Policy {
    let mut policy = Policy::new(String::new(), Vec::new(), Vec::new(), Overrides::default());
    policy.limits = limits.iter().cloned().map(Arc::new).collect();
    policy
}

pub fn limits(clock: &Still, of: &[Limit]) -> Arc<Limits> {
    Limits::new(&policy(of), clock.origin())
}

pub fn ask<'a>(user: &'a str, model: &'a str) -> Ask<'a> {
    Ask {
        team: Label::new("search"),
        app: Label::new("ranker"),
        user: Label::new(user),
        key: Label::NONE,
        model: Label::new(model),
        provider: None,
        tags: &[],
        operation: Operation::Chat,
    }
}

pub fn amount(tokens: u64, nanos: u64) -> Amount {
    Amount { tokens, cost: NanoUsd(nanos) }
}

pub const ONE: Amount = Amount { tokens: 1, cost: NanoUsd(1) };

/// Admits it and leaves it at what it reserved.
#[track_caller]
pub fn pass(limits: &Arc<Limits>, ask: &Ask<'_>, amount: Amount, at: Moment) {
    let reservation = limits.reserve(ask, amount, at).unwrap_or_else(|exceeded| panic!("{exceeded}"));
    drop(reservation.settle(amount, at));
}

#[track_caller]
pub fn refused(limits: &Arc<Limits>, ask: &Ask<'_>, amount: Amount, at: Moment) -> Box<Exceeded> {
    limits.reserve(ask, amount, at).err().expect("it fits")
}

/// Whether nothing is under way, waiting or reserved any more.
pub fn all_returned(limits: &Limits, at: Moment) -> bool {
    let view = limits.view(at, usize::MAX);
    view.limits
        .iter()
        .flat_map(|limit| &limit.top)
        .all(|subject| subject.under_way == 0 && subject.waiting == 0 && subject.measures.iter().all(|measure| measure.reserved == 0))
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
