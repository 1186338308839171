//! How soon a target has answered of late.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::SizeClass;
use crate::base::clock::Instant;
use crate::config::Moment;

/// How soon one target has answered of late, by size class and moment. One for each `provider/model`, shared by all aliases.
#[derive(Debug)]
pub struct Latency(Mutex<[[Option<Duration>; 2]; SizeClass::COUNT]>);

impl Latency {
    /// Nothing is known yet.
    pub fn new(_now: Instant) -> Self {
        Self(Mutex::default())
    }

    /// An answer reached this moment after `took`.
    pub fn observe(&self, class: SizeClass, moment: Moment, took: Duration, _now: Instant) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = last.get_mut(class.index()).and_then(|moments| moments.get_mut(moment as usize)) {
            *slot = Some(took);
        }
    }

    /// An answer never reached this moment: it counts as slower than any that did.
    pub fn failed(&self, class: SizeClass, moment: Moment, now: Instant) {
        self.observe(class, moment, Self::NEVER, now);
    }

    /// What a failed answer counts as.
    pub const NEVER: Duration = Duration::from_secs(1 << 10);

    /// The time within which so many percent of the answers of late reached this moment; `None` where too little is known.
    pub fn percentile(&self, class: SizeClass, moment: Moment, _percentile: u8, _now: Instant) -> Option<Duration> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last.get(class.index())?.get(moment as usize)?
    }
}
