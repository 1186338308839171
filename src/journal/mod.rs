//! The usage journal: what each exchange was reserved and what it came to, on disk before anybody is told, so that a kill
//! loses nothing and counts nothing twice.
//!
//! The pipeline calls [`Journal::intent`] before a provider is asked and [`Journal::settle`] before the answer's end is told.
//! Both return when the operating system has the record: from then on it outlives the process. No call waits for the disk
//! (unless `sync = "always"`), none fails, none panics: what cannot be written is counted in memory.
//!
//! * On the way of a request: `books` (memory), then `log` (one `write(2)`).
//! * On a thread of its own: `upkeep` opens the folder, forces files to the disk, writes a closed minute's counters, and has
//!   `rewrite` turn old files into sums.
//! * Reading: `folder` finds the files, `scan` and `wire` their records, `sums` what these add up to, `collapse` makes that
//!   coarser with age, `usage` groups it.

mod books;
mod collapse;
mod counters;
mod dims;
mod folder;
pub mod fuzz;
mod log;
mod recovered;
mod rewrite;
mod scan;
mod spend;
mod sums;
mod upkeep;
pub mod usage;
mod user;
mod wire;

#[cfg(test)]
mod tests;

pub use counters::{Charge, Counters, Estimate};
pub use dims::{CacheKind, DIM_BYTES_MAX, Dims, DimsBuf, StatusClass, UserHash};
pub use recovered::{Recovered, Spent};
pub use spend::SpentLately;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::clock::WallClock;
use crate::base::rng::{ExchangeId, RootRng};
use crate::config::{OnFull, State, Sync};

use books::{Books, Entry};
use dims::{Class, Encoded};
use log::{Log, Place};
use spend::Spend;
use upkeep::{Told, Upkeep};
use user::UserKey;
use wire::{Intent, Record, Settle};

/// Where a record is after the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// With the operating system (with `sync = "always"`: on the disk): it outlives this process.
    Written,
    /// In this process only: there is no directory, or it cannot be written now.
    Memory,
}

/// The journal of this process. One for all workers; every method may be called from any thread.
pub struct Journal {
    shared: Arc<Shared>,
    /// Told to end when the journal is dropped.
    thread: Mutex<Option<upkeep::Thread>>,
}

/// What the requests' threads and the upkeep's share.
struct Shared {
    settings: State,
    books: Mutex<Books>,
    log: Mutex<Log>,
    upkeep: Mutex<Upkeep>,
    /// What was seen last of the log and the upkeep, which may be at work for long.
    told: Mutex<Told>,
    spend: Mutex<Spend>,
    user_key: RwLock<UserKey>,
    recovered: Mutex<Option<Recovered>>,
    /// Settles that are counted and not written yet, of batches with even and odd numbers: one batch is open, and at most one
    /// is on its way.
    under_way: [AtomicU64; 2],
    /// Whether records are written; told without a lock.
    works: AtomicBool,
    /// Someone holds the log and does not come back from the system.
    stalled: AtomicBool,
    stalls: AtomicU64,
    /// Up to where `sync = "always"` has forced.
    forced: Mutex<Option<Place>>,
}

impl Journal {
    /// Opens the journal of `[state]`, recovers what earlier processes left, and starts its upkeep on a thread of its own.
    /// It cannot fail: without a directory, or with one that cannot be used now, it counts in memory; the latter is tried
    /// again every few seconds. What was recovered is in [`Journal::recovered`].
    pub fn open(settings: &State, clock: Arc<dyn WallClock>, chance: &RootRng) -> Arc<Self> {
        let journal = Self::still(settings, clock.now(), chance);
        if settings.dir.is_some() {
            let thread = upkeep::Thread::spawn(Arc::clone(&journal.shared), clock);
            *locked(&journal.thread) = thread;
        } else {
            tracing::warn!(message = "no [state] dir: a restart forgets what was spent, and there is no usage report");
        }
        Arc::new(journal)
    }

    /// The same without a thread: [`Journal::tick`] is to be called instead.
    pub fn still(settings: &State, now: SystemTime, chance: &RootRng) -> Self {
        Self::of(settings, now, chance, Log::new(chance.fork().next_u64()))
    }

    fn of(settings: &State, now: SystemTime, chance: &RootRng, log: Log) -> Self {
        let shared = Shared {
            settings: settings.clone(),
            books: Mutex::default(),
            log: Mutex::new(log),
            upkeep: Mutex::default(),
            told: Mutex::default(),
            spend: Mutex::default(),
            user_key: RwLock::new(UserKey::random(chance)),
            recovered: Mutex::default(),
            under_way: Default::default(),
            works: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            stalls: AtomicU64::new(0),
            forced: Mutex::default(),
        };
        let journal = Self { shared: Arc::new(shared), thread: Mutex::default() };
        journal.tick(now);
        journal
    }

    /// A journal that only looks: it recovers what the directory tells, whoever is at work there, and writes nothing. What is
    /// under way there counts at its estimate. Where the directory cannot be read, [`Journal::health`] says so.
    pub fn glance(settings: &State, now: SystemTime, chance: &RootRng) -> Self {
        let journal = Self::still(&State::default(), now, chance);
        if let Some(dir) = &settings.dir {
            upkeep::glance(&journal.shared, dir, now);
        }
        journal
    }

    /// What earlier processes spent: once, as soon as it is known. That is right after [`Journal::open`], or later where
    /// another process still held the directory: ask again every second or so.
    pub fn recovered(&self) -> Option<Recovered> {
        locked(&self.shared.recovered).take()
    }

    /// Whether requests may be served: false while nothing can be written and `on_full = "deny"`.
    pub fn admits(&self) -> bool {
        self.shared.settings.on_full == OnFull::Admit || self.shared.settings.dir.is_none() || self.shared.works.load(Ordering::Relaxed)
    }

    /// Whether there is a directory to keep it in.
    pub fn is_kept(&self) -> bool {
        self.shared.settings.dir.is_some()
    }

    /// The hash under which a user is accounted, here and after a restart.
    pub fn user(&self, name: &str) -> UserHash {
        self.shared.user_key.read().unwrap_or_else(PoisonError::into_inner).hash(name)
    }

    /// Notes what an exchange was reserved, before a provider is asked. `at` is when it was admitted, which decides the
    /// window it counts to. A second intent of the same exchange replaces the first: a stream that outran its reservation.
    pub fn intent(&self, id: ExchangeId, at: SystemTime, dims: &Dims<'_>, estimate: &Estimate) -> Kept {
        let shared = &*self.shared;
        if shared.settings.dir.is_none() {
            return Kept::Memory;
        }
        let encoded = Encoded::of(dims);
        let entry = locked(&shared.books).entry(dims, &encoded);
        let intent = Intent { id, at_ms: millis(at), dims: entry.index, estimate: *estimate };
        shared.write(&entry, Record::Intent(intent))
    }

    /// Notes what an exchange came to, before its end is told. `at` is what its intent had. To be called exactly once for
    /// each intent; an exchange without an intent may be settled too (a cached answer).
    pub fn settle(&self, id: ExchangeId, at: SystemTime, dims: &Dims<'_>, charge: &Charge) -> Kept {
        let shared = &*self.shared;
        locked(&shared.spend).add(at, charge.cost);
        if shared.settings.dir.is_none() {
            return Kept::Memory;
        }
        let encoded = Encoded::of(dims);
        let (class, counters, at_ms) = (Class::new(charge.status, charge.cache), Counters::of(charge), millis(at));
        let (entry, batch) = {
            let mut books = locked(&shared.books);
            let entry = books.entry(dims, &encoded);
            let batch = books.count(&entry, sums::minute_of(at_ms), class, &counters);
            // Under the books' lock: whoever closes the batch knows of it.
            shared.under_way(batch).fetch_add(1, Ordering::Relaxed);
            (entry, batch)
        };
        let settle = Settle { id, batch, recovered: false, at_ms, dims: entry.index, class, counters };
        let kept = shared.write(&entry, Record::Settle(settle));
        if kept == Kept::Memory {
            locked(&shared.books).not_written(batch, id);
        }
        shared.under_way(batch).fetch_sub(1, Ordering::Release);
        kept
    }

    /// What it does and how it is.
    pub fn health(&self) -> Health {
        let shared = &*self.shared;
        let mut health =
            Health { configured: shared.settings.dir.is_some(), stalls: shared.stalls.load(Ordering::Relaxed), ..Health::default() };
        {
            let books = locked(&shared.books);
            (health.pending, health.dims_overflows) = (books.pending(), books.overflows);
        }
        if let Some(log) = shared.glimpsed_log() {
            locked(&shared.told).saw(&log);
            health.trouble = log.trouble.clone();
        } else if shared.stalled.load(Ordering::Relaxed) {
            health.trouble = Some("the disk does not answer".into());
        }
        locked(&shared.told).tell(&mut health);
        health
    }

    /// What was spent of late: by this process, and by those before it, once that is known.
    pub fn spent_lately(&self, now: SystemTime) -> SpentLately {
        locked(&self.shared.spend).lately(now)
    }

    /// What the upkeep's thread does every `sync`: opens what could not be opened, forces to the disk, closes minutes, makes
    /// old files into sums.
    pub fn tick(&self, now: SystemTime) {
        upkeep::tick(&self.shared, now, false);
    }

    /// Writes what is only in memory and forces it to the disk: before the process ends.
    pub fn close(&self, now: SystemTime) {
        drop(locked(&self.thread).take());
        upkeep::tick(&self.shared, now, true);
    }
}

impl Shared {
    fn under_way(&self, batch: u32) -> &AtomicU64 {
        let [even, odd] = &self.under_way;
        if batch.is_multiple_of(2) { even } else { odd }
    }

    fn write(&self, entry: &Entry, record: Record<'_>) -> Kept {
        if !self.works.load(Ordering::Relaxed) {
            return Kept::Memory;
        }
        let Some(mut log) = self.patient_log() else { return Kept::Memory };
        let place = log.append(&[entry], std::iter::once(record));
        self.works.store(log.works(), Ordering::Relaxed);
        drop(log);
        if self.stalled.load(Ordering::Relaxed) {
            self.stalled.store(false, Ordering::Relaxed);
        }
        match (place, self.settings.sync) {
            (None, _) => Kept::Memory,
            (Some(_), Sync::Every(_)) => Kept::Written,
            (Some(place), Sync::Always) => self.force(place),
        }
    }

    /// The log, unless its holder hangs in the system: a disk that does not answer may stop one thread, not all.
    fn patient_log(&self) -> Option<MutexGuard<'_, Log>> {
        /// A write takes a microsecond; its thread may have to wait for a core.
        const SPINS: u32 = 200;
        const YIELDS: u32 = 50;
        const NAPS: u32 = 400;
        const NAP: Duration = Duration::from_micros(500);
        for attempt in 0..SPINS + YIELDS + NAPS {
            match self.log.try_lock() {
                Ok(log) => return Some(log),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
            match attempt {
                0..SPINS => std::hint::spin_loop(),
                SPINS.. if attempt < SPINS + YIELDS => std::thread::yield_now(),
                // Someone waited in vain already.
                _ if self.stalled.load(Ordering::Relaxed) => break,
                _ => std::thread::sleep(NAP),
            }
        }
        self.stalled.store(true, Ordering::Relaxed);
        self.stalls.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// The log, for whoever only looks: its holder mostly lets go of it in a microsecond.
    fn glimpsed_log(&self) -> Option<MutexGuard<'_, Log>> {
        const LOOKS: u32 = 100;
        for _ in 0..LOOKS {
            match self.log.try_lock() {
                Ok(log) => return Some(log),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
        None
    }

    /// Waits until the disk has what is before `place`.
    fn force(&self, place: Place) -> Kept {
        // Those who wait here are served by the first one's sync, if it began after their record was written.
        let mut forced = locked(&self.forced);
        if forced.is_some_and(|forced| forced >= place) {
            return Kept::Written;
        }
        let files = locked(&self.log).unsynced();
        let failed = upkeep::sync_files(self, &files);
        *forced = files.last().and_then(|file| file.place).filter(|_| !failed).or(*forced);
        if failed { Kept::Memory } else { Kept::Written }
    }
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
    /// Records written by this process.
    pub records: u64,
    /// Exchanges whose charge is in memory only.
    pub pending: u64,
    /// Times that writing or forcing to the disk failed.
    pub write_errors: u64,
    /// Times that a request did not wait for a disk that does not answer.
    pub stalls: u64,
    /// Files set aside since they were damaged.
    pub corrupt_files: u64,
    /// Exchanges of earlier processes settled at their estimate.
    pub settled_by_estimate: u64,
    /// Exchanges counted under coarser dimensions, since there were too many.
    pub dims_overflows: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
