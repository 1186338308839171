//! What a chooser has learnt of one target.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::{Bounds, Facts, Record, Regard};
use super::under_way::Number;
use crate::base::clock::Instant;
use crate::config::LatencyBound;
use crate::policy::SizeClass;
use crate::policy::decay::{Decay, Mean};

/// A target that broke a bound and was not seen since is not held to be bad for longer than this.
const GRUDGE: Duration = Duration::from_secs(600);
/// Shares of the traffic.
const TRAFFIC: Decay = Decay { half_life: Duration::from_secs(300), window: 1e9 };
/// What prompt caches held of what was sent before.
const CACHE: Decay = Decay { half_life: Duration::from_secs(1800), window: 64.0 };

/// Hundredths of a second.
const TICKS: u64 = 100;

/// What the moments of an alias are counted from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(pub(super) Instant);

impl Clock {
    /// A moment in hundredths of a second, 32 bits.
    pub(super) fn tick(self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0);
        (since.as_secs().saturating_mul(TICKS) + u64::from(since.subsec_millis() / 10)).min(u64::from(u32::MAX))
    }

    /// What a tick is as a time.
    pub(super) fn span(ticks: u64) -> Duration {
        Duration::from_millis(ticks * 10)
    }
}

/// What a chooser has learnt of one target. Reading how it is regarded takes no lock.
#[derive(Debug)]
pub(super) struct Track {
    clock: Clock,
    bounds: Arc<Bounds>,
    /// How it is regarded in each size class: see [`Published`].
    published: [AtomicU64; SizeClass::COUNT],
    under_way: AtomicU32,
    /// The bits of an `f32`; NaN where it is not known.
    cache_share: AtomicU32,
    learnt: Mutex<Learnt>,
}

#[derive(Debug)]
struct Learnt {
    records: [Option<Box<Record>>; SizeClass::COUNT],
    sent: Mean,
    cached: Mean,
}

/// How a target is regarded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Favour {
    /// It is believed to keep the bounds.
    Kept,
    /// It broke one, but that is long ago.
    Faded,
    /// It broke one of late.
    Broken,
}

/// Of [`Regard`], in 64 bits: whether it is broken, whether trials are promising, 30 bits for the second in which it was last
/// heard of, 32 bits for the next trial, in hundredths of a second.
const BROKEN: u64 = 1 << 63;
const PROMISING: u64 = 1 << 62;
const SECONDS: u64 = (1 << 30) - 1;

impl Track {
    pub(super) fn new(bounds: Arc<Bounds>, clock: Clock, now: Instant) -> Self {
        let learnt = Learnt { records: Default::default(), sent: Mean::new(now), cached: Mean::new(now) };
        Self {
            clock,
            bounds,
            published: Default::default(),
            under_way: AtomicU32::new(0),
            cache_share: AtomicU32::new(f32::NAN.to_bits()),
            learnt: Mutex::new(learnt),
        }
    }

    /// Whether it was learnt under the same bounds.
    pub(super) fn is_of(&self, bounds: &Bounds) -> bool {
        self.bounds.same(bounds)
    }

    /// How it is regarded now.
    pub(super) fn favour(&self, class: SizeClass, tick: u64) -> Favour {
        let published = self.published(class);
        if published & BROKEN == 0 {
            return Favour::Kept;
        }
        let heard = published >> 32 & SECONDS;
        match (tick / TICKS).saturating_sub(heard) > GRUDGE.as_secs() {
            true => Favour::Faded,
            false => Favour::Broken,
        }
    }

    /// The tick from which on it may be tried after it broke a bound, and whether trials went well; `None` where it keeps them.
    pub(super) fn trial(&self, class: SizeClass) -> Option<(u64, bool)> {
        let published = self.published(class);
        (published & BROKEN != 0).then_some((published & u64::from(u32::MAX), published & PROMISING != 0))
    }

    /// Requests under way.
    pub(super) fn under_way(&self) -> u32 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// The share of what a conversation sent before that its prompt cache held; `None` where that was never seen.
    pub(super) fn cache_share(&self) -> Option<f32> {
        Some(f32::from_bits(self.cache_share.load(Ordering::Relaxed))).filter(|share| !share.is_nan())
    }

    /// Looks for requests under way that are late already, and tells whether it is regarded otherwise since.
    pub(super) fn sweep(&self, class: SizeClass, threshold: f32, now: Instant) -> bool {
        if self.under_way() == 0 {
            return false;
        }
        let before = self.published(class) & BROKEN;
        self.with(class, threshold, now, |record, facts| record.sweep(facts));
        before != self.published(class) & BROKEN
    }

    /// It was chosen for a trial.
    pub(super) fn chosen(&self, class: SizeClass, threshold: f32, now: Instant) {
        self.with(class, threshold, now, |record, _| record.chosen(now));
    }

    /// A request is sent; tells its number.
    pub(super) fn sent(&self, class: SizeClass, open: u8, threshold: f32, now: Instant) -> Number {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.lock().sent.add(1.0, &TRAFFIC, now);
        self.with(class, threshold, now, |record, _| record.sent(open, now)).flatten()
    }

    /// What is known now of a request: for each bound whether it is over it, where that is known.
    pub(super) fn told(
        &self,
        class: SizeClass,
        number: Number,
        open: u8,
        over: impl Fn(&LatencyBound) -> Option<bool>,
        threshold: f32,
        now: Instant,
    ) {
        self.with(class, threshold, now, |record, facts| record.told(number, open, over, facts));
    }

    /// An answer has come, where there are no bounds; tells whether it was not held to hang.
    pub(super) fn came(&self, class: SizeClass, number: Number) -> bool {
        let mut learnt = self.lock();
        learnt.records.get_mut(class.index()).and_then(Option::as_mut).is_none_or(|record| record.came(number))
    }

    /// How many requests have come to hang: are under way for longer than this.
    pub(super) fn hanging(&self, class: SizeClass, within: Duration, now: Instant) -> usize {
        if self.under_way() == 0 {
            return 0;
        }
        let mut learnt = self.lock();
        learnt.records.get_mut(class.index()).and_then(Option::as_mut).map_or(0, |record| record.hanging(within, now))
    }

    /// A request has ended.
    pub(super) fn ended(&self, class: SizeClass, number: Number) {
        // Each request is counted once, and ends once.
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        let mut learnt = self.lock();
        let Some(record) = learnt.records.get_mut(class.index()).and_then(Option::as_mut) else { return };
        record.ended(number);
        let heard = self.published(class) >> 32 & SECONDS;
        self.publish(class, record.regard(), heard);
    }

    /// What a prompt cache held of what was sent before.
    pub(super) fn cached(&self, share: f32, now: Instant) {
        let mut learnt = self.lock();
        learnt.cached.add(share.clamp(0.0, 1.0), &CACHE, now);
        self.cache_share.store(learnt.cached.mean().unwrap_or(f32::NAN).to_bits(), Ordering::Relaxed);
    }

    /// How much traffic it had of late, in any unit.
    pub(super) fn traffic(&self, now: Instant) -> f32 {
        self.lock().sent.weight(&TRAFFIC, now)
    }

    /// Since when it counts as breaking a bound, and for each bound the share of answers over it, and whether it is broken.
    pub(super) fn seen(&self, class: SizeClass, now: Instant) -> (Option<Instant>, Vec<(Option<f32>, bool)>) {
        let learnt = self.lock();
        match learnt.records.get(class.index()).and_then(Option::as_ref) {
            Some(record) => (record.broken_since(), record.over(now).collect()),
            None => (None, self.bounds.iter().map(|_| (None, false)).collect()),
        }
    }

    fn with<T>(&self, class: SizeClass, threshold: f32, now: Instant, f: impl FnOnce(&mut Record, &Facts<'_>) -> T) -> Option<T> {
        let mut learnt = self.lock();
        let slot = learnt.records.get_mut(class.index())?;
        let record = slot.get_or_insert_with(|| Box::new(Record::new(&self.bounds, threshold, now)));
        let told = f(record, &Facts { bounds: &self.bounds, threshold, now });
        self.publish(class, record.regard(), self.clock.tick(now) / TICKS);
        Some(told)
    }

    fn publish(&self, class: SizeClass, regard: Regard, heard: u64) {
        let Some(published) = self.published.get(class.index()) else { return };
        let word = match regard {
            Regard::Kept => 0,
            Regard::Broken { next, promising } => BROKEN | u64::from(promising) << 62 | heard.min(SECONDS) << 32 | self.clock.tick(next),
        };
        published.store(word, Ordering::Relaxed);
    }

    fn published(&self, class: SizeClass) -> u64 {
        self.published.get(class.index()).map_or(0, |published| published.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
