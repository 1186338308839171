//! What earlier processes spent, for limits to go on from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::counters::Counters;
use super::dims::{CacheKind, Dims, StatusClass};
use super::millis;
use super::sums::{OTHER, Sums};
use crate::base::money::NanoUsd;

/// What earlier processes spent.
#[derive(Debug)]
pub struct Recovered {
    sums: Sums,
    by_estimate: (u64, NanoUsd),
}

/// Sums of one stretch of time under one set of dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent<'r> {
    /// Its beginning.
    pub start: SystemTime,
    /// Its length: a minute, and for what is older an hour or a day (of UTC).
    pub span: Duration,
    /// Under what.
    pub dims: Dims<'r>,
    /// How the exchanges ended.
    pub status: StatusClass,
    /// What the cache had to do with them.
    pub cache: CacheKind,
    /// The sums.
    pub counters: Counters,
}

impl Recovered {
    pub(super) fn new(mut sums: Sums, by_estimate: (u64, NanoUsd)) -> Self {
        sums.fold();
        Self { sums, by_estimate }
    }

    /// What was spent from `since` on. A stretch in which `since` lies counts whole: a restored limit is too strict for a
    /// while rather than too loose.
    pub fn since(&self, since: SystemTime) -> impl Iterator<Item = Spent<'_>> {
        self.sums.since(since)
    }

    /// Exchanges that were under way when their process ended, and what they were settled at: their estimate, which is in
    /// the sums.
    pub fn settled_by_estimate(&self) -> (u64, NanoUsd) {
        self.by_estimate
    }
}

impl Sums {
    /// The final cells that end after `since`.
    pub(super) fn since(&self, since: SystemTime) -> impl Iterator<Item = Spent<'_>> {
        let since = millis(since);
        self.cells.iter().filter_map(move |(key, counters)| {
            let start = u64::from(key.start) * 60_000;
            let span = u64::from(key.span.minutes()) * 60_000;
            let dims = self.dims.get(key.dims as usize).or_else(|| self.dims.get(OTHER as usize))?;
            (start + span > since).then(|| Spent {
                start: UNIX_EPOCH + Duration::from_millis(start),
                span: Duration::from_millis(span),
                dims: dims.view(),
                status: key.class.status(),
                cache: key.class.cache(),
                counters: *counters,
            })
        })
    }
}
