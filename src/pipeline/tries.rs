//! Which target is asked next, and when: the arithmetic of retries.

use std::time::Duration;

use crate::base::clock::{self, Instant};
use crate::base::rng::Rng;
use crate::base::{Fault, Retry};

/// A wait that a provider asks for and that is longer than this is the app's to decide: it is told.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Exponential backoff before the same target is asked again, with full jitter.
/// Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(4);

/// The tries of one exchange.
pub(super) struct Tries {
    /// The target to ask.
    pub index: usize,
    made: u32,
    made_max: u32,
    deadline: Instant,
    ruled_out: Vec<bool>,
    ready_at: Vec<Option<Instant>>,
    rng: Rng,
}

impl Tries {
    /// Tries at so many targets, the first first; `attempts` in all, until `deadline`.
    pub(super) fn new(targets: usize, attempts: u32, deadline: Instant, rng: Rng) -> Self {
        Self { index: 0, made: 0, made_max: attempts, deadline, ruled_out: vec![false; targets], ready_at: vec![None; targets], rng }
    }

    /// After a failure: how long to wait before the target that is now at [`Self::index`] is asked; `None` where the
    /// failure is the last word.
    pub(super) fn next(&mut self, fault: &Fault) -> Option<Duration> {
        match fault.retry {
            Retry::Never => return None,
            Retry::OtherTarget => self.ruled_out[self.index] = !fault.kind.may_pass(),
        }
        self.made += 1;
        if self.made >= self.made_max {
            return None;
        }
        let targets = self.ruled_out.len();
        let round = self.made / u32::try_from(targets).unwrap_or(u32::MAX).max(1);
        let backoff = BACKOFF_FIRST.saturating_mul(1 << round.min(8)).min(BACKOFF_MAX);
        let backoff = Duration::from_millis(self.rng.below(u64::try_from(backoff.as_millis()).unwrap_or(0)));
        let now = clock::now();
        self.ready_at[self.index] = Some(now + fault.retry_after.unwrap_or(backoff));
        // In order, from the one after: a target that was not asked yet is ready at once.
        let others = (1..=targets).map(|step| (self.index + step) % targets).filter(|i| !self.ruled_out[*i]);
        let next = others.min_by_key(|i| self.ready_at[*i])?;
        let wait = self.ready_at[next].map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if wait > WAIT_MAX || now + wait >= self.deadline {
            return None;
        }
        self.index = next;
        Some(wait)
    }
}
