//! How soon a target has answered of late.
//!
//! A histogram of logarithmic buckets for each size class and moment. It forgets by forward decay (Cormode, Shkapenyuk,
//! Srivastava and Xu, "Forward Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009): a new answer counts more
//! than those before it, so that nothing is to be touched as time passes. A run of answers all on one side of the middle says
//! that the target has become another one, and what was before hardly counts any longer.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::SizeClass;
use super::decay::Decay;
use crate::base::clock::Instant;
use crate::config::Moment;

/// After two minutes an answer counts half; figures are of the last 256 answers at most.
const DECAY: Decay = Decay { half_life: Duration::from_secs(120), window: 256.0 };
/// Fewer answers than this, decayed, tell nothing.
const SAMPLES_MIN: f32 = 0.25;
/// So many answers in a row beyond a quartile are no chance (4⁻⁸), and what was before is worth no more than they are.
const RUN: u8 = 8;

/// Octaves from a millisecond: up to 17 minutes.
const OCTAVES: usize = 20;
/// Buckets of each octave.
const PARTS: usize = 4;
/// The last one is for answers that never came.
const BUCKETS: usize = OCTAVES * PARTS + 1;
/// The first bucket begins at 2¹⁰ µs.
const FIRST_BIT: usize = 10;
/// The new answer's weight before all weights are brought down.
const GAIN_MAX: f32 = 1e9;

const MOMENTS: usize = 2;

/// How soon one target has answered of late, by size class and moment. One for each `provider/model`, shared by all aliases;
/// 3 KB. Reading the median and the 95th percentile takes no lock.
#[derive(Debug)]
pub struct Latency {
    since: Instant,
    read: [[Read; MOMENTS]; SizeClass::COUNT],
    cells: Mutex<Box<[[Cell; MOMENTS]; SizeClass::COUNT]>>,
}

/// What is read of a cell, as its last answer left it.
#[derive(Debug, Default)]
struct Read {
    /// The median and the 95th percentile, in µs, 32 bits each.
    percentiles: AtomicU64,
    /// How much the answers count (the bits of an `f32`), and in which second since the beginning that was.
    weight: AtomicU64,
}

/// The answers of one size class, to one moment.
#[derive(Clone, Copy, Debug)]
struct Cell {
    buckets: [f32; BUCKETS],
    /// Of the buckets.
    total: f32,
    /// What a new answer counts.
    gain: f32,
    at: Instant,
    /// Answers in a row below the lower quartile (negative) or above the upper one.
    run: i8,
    quartiles: (u8, u8),
}

/// Percentiles of answers of late.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// Half of the answers came within this.
    pub p50: Option<Duration>,
    /// Of twenty answers, nineteen came within this.
    pub p95: Option<Duration>,
    /// How many answers that is from: they fade with time.
    pub samples: f32,
}

impl Latency {
    /// What an answer that never came counts as.
    pub const NEVER: Duration = Duration::from_micros(1 << (FIRST_BIT + OCTAVES));

    /// Nothing is known yet.
    pub fn new(now: Instant) -> Self {
        let cell = Cell { buckets: [0.0; BUCKETS], total: 0.0, gain: 1.0, at: now, run: 0, quartiles: (0, u8::MAX) };
        Self { since: now, read: Default::default(), cells: Mutex::new(Box::new([[cell; MOMENTS]; SizeClass::COUNT])) }
    }

    /// An answer reached this moment after `took`.
    pub fn observe(&self, class: SizeClass, moment: Moment, took: Duration, now: Instant) {
        self.add(class, moment, bucket(took), now);
    }

    /// An answer never reached this moment: it counts as slower than any that did.
    pub fn failed(&self, class: SizeClass, moment: Moment, now: Instant) {
        self.add(class, moment, BUCKETS - 1, now);
    }

    /// The time within which so many percent of the answers of late reached this moment, those that failed counted as
    /// [`Self::NEVER`]; `None` where nothing is known, or what was known has faded.
    pub fn percentile(&self, class: SizeClass, moment: Moment, percentile: u8, now: Instant) -> Option<Duration> {
        self.percentile_micros(class, moment, percentile, now).map(Duration::from_micros)
    }

    /// The same in µs; the median and the 95th take no lock.
    pub fn percentile_micros(&self, class: SizeClass, moment: Moment, percentile: u8, now: Instant) -> Option<u64> {
        if !matches!(percentile, 50 | 95) {
            let found = self.with(class, moment, |cell| cell.known(now)?.percentile(percentile, BUCKETS))?;
            return u64::try_from(found.as_micros()).ok();
        }
        let read = self.read.get(class.index())?.get(moment as usize)?;
        let (p50, p95) = read.percentiles(SAMPLES_MIN, self.second(now))?;
        Some(if percentile == 50 { p50 } else { p95 })
    }

    /// The same of those answers that did not fail: how long to wait before a second target is asked.
    pub fn percentile_answered(&self, class: SizeClass, moment: Moment, percentile: u8, now: Instant) -> Option<Duration> {
        self.with(class, moment, |cell| cell.known(now)?.percentile(percentile, BUCKETS - 1))
    }

    /// Median, 95th percentile, and what they are from. Takes no lock.
    pub fn read(&self, class: SizeClass, moment: Moment, now: Instant) -> Percentiles {
        let Some(read) = self.read.get(class.index()).and_then(|moments| moments.get(moment as usize)) else {
            return Percentiles::default();
        };
        let Some((p50, p95)) = read.percentiles(SAMPLES_MIN, self.second(now)) else { return Percentiles::default() };
        let (weight, second) = read.weight();
        let faded = DECAY.over(Duration::from_secs(self.second(now).saturating_sub(second)));
        let duration = |micros| Some(Duration::from_micros(micros));
        Percentiles { p50: duration(p50), p95: duration(p95), samples: weight * faded }
    }

    /// Midway between median and 95th percentile, in µs: the mean of a skewed distribution, nearly, but for its rarest answers.
    /// `None` below one answer. Takes no lock.
    pub fn typical(&self, class: SizeClass, moment: Moment, now: Instant) -> Option<u64> {
        let read = self.read.get(class.index())?.get(moment as usize)?;
        read.percentiles(1.0, self.second(now)).map(|(p50, p95)| (p50 + p95) / 2)
    }

    /// The same over all size classes.
    pub fn overall(&self, moment: Moment, now: Instant) -> Percentiles {
        let mut all = Cell { buckets: [0.0; BUCKETS], total: 0.0, gain: 1.0, at: now, run: 0, quartiles: (0, 0) };
        for cell in self.lock().iter().filter_map(|moments| moments.get(moment as usize)) {
            let unit = DECAY.over(now.saturating_duration_since(cell.at)) / cell.gain;
            all.buckets.iter_mut().zip(&cell.buckets).for_each(|(sum, weight)| *sum += weight * unit);
            all.total += cell.total * unit;
        }
        let known = all.known(now);
        let percentile = |percentile| known.and_then(|all| all.percentile(percentile, BUCKETS));
        Percentiles { p50: percentile(50), p95: percentile(95), samples: all.total }
    }

    fn add(&self, class: SizeClass, moment: Moment, bucket: usize, now: Instant) {
        let Some(read) = self.read.get(class.index()).and_then(|moments| moments.get(moment as usize)) else { return };
        let mut cells = self.lock();
        let Some(cell) = cells.get_mut(class.index()).and_then(|moments| moments.get_mut(moment as usize)) else { return };
        let [p50, p95] = cell.add(bucket, now).map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX).min(u64::from(u32::MAX)));
        let second = cell.at.saturating_duration_since(self.since).as_secs().min(u64::from(u32::MAX));
        let weight = (cell.total / cell.gain).to_bits();
        read.percentiles.store(p50 << 32 | p95, Ordering::Relaxed);
        read.weight.store(u64::from(weight) << 32 | second, Ordering::Relaxed);
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_secs()
    }

    fn with<T>(&self, class: SizeClass, moment: Moment, f: impl FnOnce(&Cell) -> Option<T>) -> Option<T> {
        self.lock().get(class.index()).and_then(|moments| moments.get(moment as usize)).and_then(f)
    }

    fn lock(&self) -> MutexGuard<'_, Box<[[Cell; MOMENTS]; SizeClass::COUNT]>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    /// Median and 95th percentile in µs, where they are from at least so many answers.
    fn percentiles(&self, samples: f32, second: u64) -> Option<(u64, u64)> {
        let (weight, at) = self.weight();
        if weight == 0.0 || !DECAY.leaves(weight, second.saturating_sub(at), samples) {
            return None;
        }
        let both = self.percentiles.load(Ordering::Relaxed);
        Some((both >> 32, both & u64::from(u32::MAX)))
    }

    /// How much the answers counted, and when.
    fn weight(&self) -> (f32, u64) {
        let both = self.weight.load(Ordering::Relaxed);
        (f32::from_bits((both >> 32) as u32), both & u64::from(u32::MAX))
    }
}

impl Cell {
    /// Adds an answer; tells median and 95th percentile.
    fn add(&mut self, bucket: usize, now: Instant) -> [Duration; 2] {
        let passed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.gain *= (1.0 + 1.0 / DECAY.window) / DECAY.over(passed).max(1.0 / GAIN_MAX);
        if self.gain > GAIN_MAX {
            self.scale(1.0 / self.gain);
            self.gain = 1.0;
        }
        if let Some(weight) = self.buckets.get_mut(bucket) {
            *weight += self.gain;
            self.total += self.gain;
        }
        self.watch_for_change(bucket);
        let [(lower, _), (_, p50), (upper, _), (_, p95)] = self.quantiles([0.25, 0.5, 0.75, 0.95], BUCKETS);
        self.quartiles = (lower, upper);
        [p50, p95]
    }

    fn watch_for_change(&mut self, bucket: usize) {
        self.run = match self.quartiles {
            (lower, _) if bucket < usize::from(lower) => self.run.min(0).saturating_sub(1),
            (_, upper) if bucket > usize::from(upper) => self.run.max(0).saturating_add(1),
            _ => 0,
        };
        let past = self.total / self.gain;
        if self.run.unsigned_abs() >= RUN && past > 2.0 * f32::from(RUN) {
            // The run counts as much as all before it.
            self.scale(2.0 * f32::from(RUN) / past);
            self.run = 0;
        }
    }

    fn scale(&mut self, by: f32) {
        self.buckets.iter_mut().for_each(|weight| *weight *= by);
        self.total = self.buckets.iter().sum();
    }

    /// Itself, where enough is known.
    fn known(&self, now: Instant) -> Option<&Self> {
        let weight = self.total / self.gain * DECAY.over(now.saturating_duration_since(self.at));
        (weight >= SAMPLES_MIN).then_some(self)
    }

    /// A percentile of what is in the first so many buckets.
    fn percentile(&self, percentile: u8, buckets: usize) -> Option<Duration> {
        let [(_, found)] = self.quantiles([f32::from(percentile) / 100.0], buckets);
        (self.buckets.get(..buckets)?.iter().sum::<f32>() > 0.0).then_some(found)
    }

    /// Where each share, in ascending order, of the weight in the first so many buckets is reached: the bucket, and the time in it.
    fn quantiles<const N: usize>(&self, shares: [f32; N], buckets: usize) -> [(u8, Duration); N] {
        let buckets = self.buckets.get(..buckets).unwrap_or_default();
        let total = if buckets.len() == BUCKETS { self.total } else { buckets.iter().sum() };
        let (mut at, mut before) = (0, 0.0);
        shares.map(|share| {
            let wanted = total * share;
            // Sums of floats may miss the last of the weight.
            while let Some(weight) = buckets.get(at) {
                if before + weight >= wanted && *weight > 0.0 || at + 1 == buckets.len() {
                    let (from, to) = (edge(at), edge(at + 1));
                    let part = if *weight > 0.0 { (wanted - before) / weight } else { 1.0 };
                    return (u8::try_from(at).unwrap_or(u8::MAX), from + (to - from).mul_f32(part.clamp(0.0, 1.0)));
                }
                before += weight;
                at += 1;
            }
            (u8::MAX, Duration::ZERO)
        })
    }
}

/// The bucket of a duration.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1 << FIRST_BIT);
    let bit = micros.ilog2() as usize;
    let part = (micros >> (bit - 2)) as usize & (PARTS - 1);
    // Whatever came is never counted as what never came.
    ((bit - FIRST_BIT) * PARTS + part).min(BUCKETS - 2)
}

/// Where a bucket begins.
fn edge(bucket: usize) -> Duration {
    if bucket >= BUCKETS - 1 {
        return Latency::NEVER;
    }
    let (octave, part) = (bucket / PARTS, bucket % PARTS);
    Duration::from_micros(((PARTS + part) as u64) << (FIRST_BIT - 2 + octave))
}
