//! The usage journal: what each exchange was reserved and what it came to, on disk before anybody is told, so that a kill
//! loses nothing and counts nothing twice.
//!
//! The pipeline calls [`Journal::intent`] before a provider is asked and [`Journal::settle`] before the answer's end is told.
//! Both return when the operating system has the record: from then on it outlives the process. No call waits for the disk
//! (unless `sync = "always"`), none fails, none panics: what cannot be written is counted in memory.

mod counters;
mod dims;

pub use counters::{Charge, Counters, Estimate};
pub use dims::{CacheKind, DIM_BYTES_MAX, Dims, DimsBuf, StatusClass, UserHash};

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::base::clock::WallClock;
use crate::base::money::NanoUsd;
use crate::base::rng::{ExchangeId, RootRng};
use crate::config::State;

/// Where a record is after the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// With the operating system: it outlives this process.
    Written,
    /// In this process only: there is no directory, or it cannot be written now.
    Memory,
}

/// The journal of this process. One for all workers; every method may be called from any thread.
pub struct Journal {}

impl Journal {
    /// Opens the journal of `[state]`, recovers what earlier processes left, and starts its upkeep on a thread of its own.
    /// It cannot fail: without a directory, or with one that cannot be used now, it counts in memory; the latter is tried
    /// again every few seconds. What was recovered is in [`Journal::recovered`].
    pub fn open(_state: &State, _clock: Arc<dyn WallClock>, _chance: &RootRng) -> Arc<Self> {
        Arc::new(Self {})
    }

    /// What earlier processes spent: once, as soon as it is known. That is right after [`Journal::open`], or later where
    /// another process still held the directory: ask again every second or so.
    pub fn recovered(&self) -> Option<Recovered> {
        None
    }

    /// Whether requests may be served: false while nothing can be written and `on_full = "deny"`.
    pub fn admits(&self) -> bool {
        true
    }

    /// The hash under which a user is accounted, here and after a restart.
    pub fn user(&self, _name: &str) -> UserHash {
        UserHash(1)
    }

    /// Notes what an exchange was reserved, before a provider is asked. `at` is when it was admitted, which decides the
    /// window it counts to. A second intent of the same exchange replaces the first: a stream that outran its reservation.
    pub fn intent(&self, _id: ExchangeId, _at: SystemTime, _dims: &Dims<'_>, _estimate: &Estimate) -> Kept {
        Kept::Memory
    }

    /// Notes what an exchange came to, before its end is told. `at` is what its intent had. To be called exactly once for
    /// each intent; an exchange without an intent may be settled too (a cached answer).
    pub fn settle(&self, _id: ExchangeId, _at: SystemTime, _dims: &Dims<'_>, _charge: &Charge) -> Kept {
        Kept::Memory
    }

    /// What it does and how it is.
    pub fn health(&self) -> Health {
        Health::default()
    }

    /// Writes what is only in memory and forces it to the disk: before the process ends.
    pub fn close(&self) {}
}

/// How the journal is, for metrics and status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether there is a directory at all.
    pub configured: bool,
    /// Why records are kept in memory only, where they are.
    pub trouble: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Records written.
    pub records: u64,
    /// Exchanges whose charge is in memory only.
    pub pending: u64,
    /// Times that writing or forcing to the disk failed.
    pub write_errors: u64,
    /// Files set aside since they were damaged.
    pub corrupt_files: u64,
    /// Exchanges of earlier processes settled at their estimate.
    pub settled_by_estimate: u64,
    /// Exchanges counted under coarser dimensions, since there were too many.
    pub dims_overflows: u64,
}

/// What earlier processes spent.
pub struct Recovered {}

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
    /// What was spent from `since` on. A stretch in which `since` lies counts whole: a restored limit is too strict for a
    /// while rather than too loose.
    pub fn since(&self, _since: SystemTime) -> impl Iterator<Item = Spent<'_>> {
        std::iter::empty()
    }

    /// Exchanges that were under way when their process ended: settled at their estimate, which is in the sums.
    pub fn settled_by_estimate(&self) -> (u64, NanoUsd) {
        (0, NanoUsd::ZERO)
    }
}
