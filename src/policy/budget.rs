//! How many retries an alias may make: a share of its exchanges, so that an outage is not multiplied.
//!
//! A token bucket as in Finagle's and linkerd's retry budgets: an exchange pays in its share of a token, a retry takes a whole
//! one. So that low traffic can retry at all there is a reserve of [`RESERVE`] tokens, which time refills, one each [`REFILL`],
//! where exchanges pay in less than that. So at most `share × N + RESERVE` retries are charged over N exchanges, where they come
//! often enough to pay in a token each [`REFILL`] (for a share of 0.2: one exchange in two seconds), and else one retry more each
//! [`REFILL`], which hurts nobody.
//!
//! Moving on to a target that stands well is never refused: load that one target refuses and another one carries is no load
//! that was multiplied, and a target that fails does not stand well for long (its breaker opens after five). It takes a token
//! all the same where the share of the exchanges holds one, so that moves and retries together keep to the share.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::Instant;

/// What low traffic can always fall back on, in retries.
pub const RESERVE: u32 = 10;
/// How long it takes to refill the reserve by one.
pub const REFILL: Duration = Duration::from_secs(10);
/// What can be saved up, in retries: bounds the burst after a long quiet time.
pub const SAVED_MAX: u32 = 100;

/// What it costs to ask a target that is known to be down, since it may be up again: so much that of a total outage's traffic most
/// does without.
const GUESS: u32 = 2;
/// A token, in the unit of the bucket.
const TOKEN: u32 = 1000;

/// The retry budget of one alias.
#[derive(Debug)]
pub struct RetryBudget(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    /// In thousandths of a retry.
    level: u32,
    /// When the reserve was refilled last.
    refilled: Option<Instant>,
    /// What exchanges have paid in since.
    paid: u32,
    charged: u64,
    moved: u64,
    denied: u64,
}

/// What a budget tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Retries that may be made now.
    pub left: f32,
    /// Retries that were charged.
    pub charged: u64,
    /// Failures after which a target that stood well was asked: not charged.
    pub moved: u64,
    /// Retries that were not made because none was left.
    pub denied: u64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryBudget {
    /// A budget that holds its reserve.
    pub fn new() -> Self {
        Self(Mutex::new(Bucket { level: RESERVE * TOKEN, refilled: None, paid: 0, charged: 0, moved: 0, denied: 0 }))
    }

    /// An exchange begins, which pays in its share (`permille` thousandths of a retry).
    pub fn deposit(&self, permille: u32) {
        let mut bucket = self.lock();
        bucket.paid = bucket.paid.saturating_add(permille);
        let level = bucket.level.saturating_add(permille);
        // What is above the bound already (never by much) is kept.
        bucket.level = level.min(SAVED_MAX * TOKEN).max(bucket.level);
    }

    /// Takes one retry at its price, a guess's or the usual one, where the budget has that.
    pub fn withdraw(&self, guess: bool, now: Instant) -> bool {
        let price = if guess { GUESS * TOKEN } else { TOKEN };
        let mut bucket = self.lock();
        bucket.refill(now);
        if bucket.level < price {
            bucket.denied += 1;
            return false;
        }
        bucket.level -= price;
        bucket.charged += 1;
        true
    }

    /// A target that stands well is asked in the place of one that failed.
    pub fn moved(&self) {
        let mut bucket = self.lock();
        bucket.moved += 1;
        if bucket.level >= (RESERVE + 1) * TOKEN {
            bucket.level -= TOKEN;
        }
    }

    /// How it stands.
    pub fn spent(&self, now: Instant) -> Spent {
        let mut bucket = self.lock();
        bucket.refill(now);
        let left = bucket.level as f32 / TOKEN as f32;
        Spent { left, charged: bucket.charged, moved: bucket.moved, denied: bucket.denied }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Bucket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let since = *self.refilled.get_or_insert(now);
        let steps = now.saturating_duration_since(since).as_secs() / REFILL.as_secs();
        if steps == 0 {
            return;
        }
        let refilled = u32::try_from(steps).unwrap_or(u32::MAX).saturating_mul(TOKEN).saturating_sub(self.paid);
        self.level = self.level.saturating_add(refilled).min(RESERVE * TOKEN).max(self.level);
        self.refilled = Some(since + Duration::from_secs(steps * REFILL.as_secs()));
        self.paid = 0;
    }
}
