//! When a second target is asked beside a slow one, and how often at most.
//!
//! Dean and Barroso, "The Tail at Scale" (CACM 2013): a request that is slower than most is asked again elsewhere, and the first
//! answer is taken. What is asked more is bounded by a ratio, at every moment, so that hedging never adds to an overload.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::SizeClass;
use super::latency::Latency;
use crate::base::clock::Instant;
use crate::config::{Hedge, Moment};

/// How many hedges may be saved up, in thousandths: what a quiet hour saves must not be spent in one bad second.
const SAVED_MAX: u32 = 10_000;
/// What one hedge costs, in thousandths.
const ONE: u32 = 1_000;

/// The hedges that an alias may make: each of its requests earns a share of one.
#[derive(Debug, Default)]
pub struct HedgeBudget {
    saved: AtomicU32,
}

impl HedgeBudget {
    /// A request came.
    pub fn earn(&self, hedge: &Hedge) {
        let earned = |saved: u32| Some(saved.saturating_add(hedge.ratio_max_permille).min(SAVED_MAX));
        // An update that always gives a value does not fail.
        let _infallible = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earned);
    }

    /// A hedge that was taken out was not made after all.
    pub fn give_back(&self) {
        self.saved.fetch_add(ONE, Ordering::Relaxed);
    }

    /// Takes a hedge out of it, if there is one.
    pub fn spend(&self) -> bool {
        self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| saved.checked_sub(ONE)).is_ok()
    }
}

/// After which time a target's answer is slow enough for a hedge; `None` while too little is known of it.
///
/// Where a slow mode begins right at the percentile, its estimate jumps between the modes from one moment to the next. So the time
/// is also bounded by half as much again as a somewhat lower percentile: what is slower than that is slow by any measure.
pub fn delay(latency: &Latency, hedge: &Hedge, class: SizeClass, moment: Moment, now: Instant) -> Option<Duration> {
    const LOWER: u8 = 3;
    let at = latency.percentile_answered(class, moment, hedge.after_percentile, now)?;
    let below = latency.percentile_answered(class, moment, hedge.after_percentile.saturating_sub(LOWER), now)?;
    Some(at.min(below.mul_f32(1.5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_holds_its_ratio_at_every_moment() {
        let hedge = Hedge { after_percentile: 95, ratio_max_permille: 50 };
        let budget = HedgeBudget::default();
        assert!(!budget.spend(), "nothing is earned yet");
        let mut spent = 0;
        for requests in 1..=10_000_u32 {
            budget.earn(&hedge);
            spent += u32::from(budget.spend());
            assert!(spent * 1000 <= requests * 50);
        }
        assert_eq!(spent, 500);
        (0..1_000_000).for_each(|_| budget.earn(&hedge));
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10, "a burst is bounded");
    }
}
