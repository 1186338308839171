//! Limits, requests and a clock that stands still.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use outrider::base::clock::{self, Instant};
use outrider::base::money::NanoUsd;
use outrider::config::{Dimension, Limit, Most, OnExceed, OnOverrun, Overrides, Policy, Selector, Span, Unit, Window};
use outrider::ir::Operation;
use outrider::quota::{Amount, Ask, Exceeded, Label, Limits, Moment};

/// 2026-11-25T12:00:00Z.
pub(crate) const NOON: u64 = 1_795_608_000;

/// A clock that moves when it is told to.
#[derive(Clone, Copy)]
pub(crate) struct Still {
    origin: Instant,
    pub(crate) elapsed: Duration,
    /// Seconds since the Unix epoch.
    pub(crate) wall: Duration,
}

impl Still {
    pub(crate) fn new() -> Self {
        Self { origin: clock::now(), elapsed: Duration::ZERO, wall: Duration::from_secs(NOON) }
    }

    pub(crate) fn at(&self) -> Moment {
        Moment { now: self.origin + self.elapsed, wall: UNIX_EPOCH + self.wall }
    }

    pub(crate) fn origin(&self) -> Instant {
        self.origin
    }

    pub(crate) fn forward(&mut self, time: Duration) {
        self.elapsed += time;
        self.wall += time;
    }

    pub(crate) fn after(mut self, time: Duration) -> Moment {
        self.forward(time);
        self.at()
    }
}

pub(crate) fn limit(name: &str, per: &[Dimension], most: Most) -> Limit {
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

pub(crate) fn requests(most: u64) -> Most {
    Most { requests_per_minute: Some(most), ..Most::default() }
}

pub(crate) fn tokens(most: u64) -> Most {
    Most { tokens_per_minute: Some(most), ..Most::default() }
}

pub(crate) fn concurrent(most: u64) -> Most {
    Most { concurrent: Some(most), ..Most::default() }
}

pub(crate) fn window(unit: Unit, span: Span, most: u64) -> Most {
    Most { windows: vec![Window { unit, span, most }], ..Most::default() }
}

pub(crate) fn when(of: Dimension, patterns: &[&str]) -> Selector {
    Selector { of, patterns: patterns.iter().map(|text| (*text).to_owned()).collect() }
}

pub(crate) fn queue(limit: Limit, timeout: u64, length_max: usize) -> Limit {
    Limit { on_exceed: OnExceed::Queue { timeout: Duration::from_secs(timeout), length_max }, ..limit }
}

pub(crate) fn policy(limits: &[Limit]) -> Policy {
    let mut policy = Policy::new(String::new(), Vec::new(), Vec::new(), Overrides::default());
    policy.limits = limits.iter().cloned().map(Arc::new).collect();
    policy
}

pub(crate) fn limits(clock: &Still, of: &[Limit]) -> Arc<Limits> {
    Limits::new(&policy(of), clock.origin())
}

pub(crate) fn ask<'a>(user: &'a str, model: &'a str) -> Ask<'a> {
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

pub(crate) fn amount(tokens: u64, nanos: u64) -> Amount {
    Amount { tokens, cost: NanoUsd(nanos) }
}

pub(crate) const ONE: Amount = Amount { tokens: 1, cost: NanoUsd(1) };

/// Admits it and leaves it at what it reserved.
#[track_caller]
pub(crate) fn pass(limits: &Arc<Limits>, ask: &Ask<'_>, amount: Amount, at: Moment) {
    let reservation = limits.reserve(ask, amount, at).unwrap_or_else(|exceeded| panic!("{exceeded}"));
    drop(reservation.settle(amount, at));
}

#[track_caller]
pub(crate) fn refused(limits: &Arc<Limits>, ask: &Ask<'_>, amount: Amount, at: Moment) -> Box<Exceeded> {
    limits.reserve(ask, amount, at).err().expect("it fits")
}

/// Whether nothing is under way, waiting or reserved any more.
pub(crate) fn all_returned(limits: &Limits, at: Moment) -> bool {
    let view = limits.view(at, usize::MAX);
    view.limits
        .iter()
        .flat_map(|limit| &limit.top)
        .all(|subject| subject.under_way == 0 && subject.waiting == 0 && subject.measures.iter().all(|measure| measure.reserved == 0))
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
