//! What is done beside the requests, on one thread: opening and recovering the folder, forcing files to the disk, writing
//! closed minutes, turning old files into sums.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::books::{Entry, Sealed};
use super::dims::Encoded;
use super::folder::{self, Replay};
use super::log::{Log, Place, Unsynced};
use super::recovered::Recovered;
use super::spend::Spend;
use super::sums::minute_of;
use super::user::UserKey;
use super::wire::{Record, Settle};
use super::{Health, Shared, locked, millis, rewrite};
use crate::base::clock::WallClock;
use crate::base::money::NanoUsd;
use crate::config::Sync;

/// How long nothing is tried after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// Pieces of the log that are kept in detail. Reading them is what a start waits for.
const DETAIL_PIECES_MAX: u64 = 8;
/// And in how many files: each start begins one.
const FILES_MAX: usize = 64;
/// A sum in a file, in bytes, amply.
const CELL_BYTES: usize = 64;
const CELLS_MAX: usize = 250_000;
/// Rows that are written in one go.
const ROWS_AT_ONCE: usize = 256;
/// Failures to force, one after the other, after which the disk is not believed.
const SYNC_STRIKES: u32 = 2;

#[derive(Default)]
pub(super) struct Upkeep {
    /// The folder that is ours, and what keeps it so.
    folder: Option<(PathBuf, File)>,
    /// When something failed last.
    failed_at: Option<SystemTime>,
    /// Settles of recovery that could not be written yet.
    owed: Vec<(Arc<Entry>, Settle)>,
    /// The batch that is not certainly on the disk.
    sealed: Option<Sealed>,
    /// Whether it was written.
    sealed_written: bool,
    /// The minute in which the open batch began.
    minute: u32,
    /// Whether records could be written at the last look.
    worked: bool,
    /// Whether the open batch is to be closed as soon as possible: it has what could not be written.
    overdue: bool,
    sync_strikes: u32,
    /// How far the disk has the log.
    synced: Option<Place>,
    /// Bytes of all files when they were last counted, and of the log's writing then.
    counted: (u64, u64),
    /// What the log had written when the files were looked at last.
    looked: Option<u64>,
    /// When collapsing was tried last without success.
    collapse_failed_at: Option<SystemTime>,
    given: bool,
    corrupt_files: u64,
    by_estimate: u64,
}

/// One round. At the end, `last`, everything is written whatever the minute.
pub(super) fn tick(shared: &Shared, now: SystemTime, last: bool) {
    let Some(dir) = shared.settings.dir.clone() else { return };
    let mut upkeep = locked(&shared.upkeep);
    upkeep.round(shared, &dir, now, last);
    locked(&shared.told).of(&upkeep);
}

/// Looks into a folder, whoever is at work there.
pub(super) fn glance(shared: &Shared, dir: &Path, now: SystemTime) {
    locked(&shared.upkeep).look(shared, dir, now);
}

/// A clock that was set back must not stop the trying.
fn due(failed_at: Option<SystemTime>, now: SystemTime) -> bool {
    failed_at.is_none_or(|at| now.duration_since(at).is_ok_and(|since| since >= RETRY) || now < at)
}

impl Upkeep {
    fn round(&mut self, shared: &Shared, dir: &Path, now: SystemTime, last: bool) {
        if self.folder.is_none() && due(self.failed_at, now) {
            self.open(shared, dir, now);
        }
        if self.folder.is_none() {
            return;
        }
        self.resume(shared, now, last);
        self.write_closed(shared, now, last);
        self.sync(shared, now);
        if self.overdue || last {
            // A batch was on its way already.
            self.write_closed(shared, now, last);
            self.sync(shared, now);
        }
        self.keep_small(shared, now);
        let mut log = locked(&shared.log);
        log.prepare();
        shared.works.store(log.works(), Ordering::Relaxed);
    }

    /// Takes the folder and reads it.
    fn open(&mut self, shared: &Shared, dir: &Path, now: SystemTime) {
        match self.try_open(shared, dir, now) {
            Ok(()) => self.failed_at = None,
            Err(cause) => {
                self.failed_at = Some(now);
                locked(&shared.log).stop(&format!("{}: {cause}", dir.display()));
                self.read_only(shared, dir, &cause, now);
            }
        }
    }

    fn try_open(&mut self, shared: &Shared, dir: &Path, now: SystemTime) -> io::Result<()> {
        folder::make(dir)?;
        if let Some(key) = UserKey::read(dir) {
            self.take_key(shared, key);
        }
        let lock = folder::lock(dir)?;
        if UserKey::read(dir).is_none()
            && let Err(cause) = shared.user_key.read().unwrap_or_else(PoisonError::into_inner).write(dir)
        {
            tracing::warn!(message = "journal: users will have other hashes after a restart", cause = %cause);
        }
        let replay = folder::replay(dir, None)?;
        self.corrupt_files += folder::tidy(dir, &replay.files);
        let bytes = replay.files.iter().map(|file| file.bytes).sum();
        {
            let mut log = locked(&shared.log);
            log.begin(dir, replay.highest() + 1);
            self.counted = (bytes, 0);
        }
        self.folder = Some((dir.to_path_buf(), lock));
        self.minute = minute_of(millis(now));
        self.recover(shared, replay, now);
        Ok(())
    }

    /// The folder cannot be written. What can be read of it tells limits where they stand, unless another process is at work
    /// there: it is not over yet.
    fn read_only(&mut self, shared: &Shared, dir: &Path, cause: &io::Error, now: SystemTime) {
        if self.given || cause.kind() == io::ErrorKind::ResourceBusy {
            return;
        }
        self.look(shared, dir, now);
    }

    /// Takes over what can be read of a folder, and writes nothing.
    fn look(&mut self, shared: &Shared, dir: &Path, now: SystemTime) {
        if let Some(key) = UserKey::read(dir) {
            self.take_key(shared, key);
        }
        match folder::replay(dir, None) {
            Ok(Replay { mut sums, .. }) => {
                let settles = sums.settle_open();
                self.give(shared, Recovered::new(sums, total(&settles)), now);
            }
            // Nobody has spent anything yet.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => locked(&shared.log).trouble = Some(format!("{} cannot be read: {cause}", dir.display())),
        }
    }

    fn take_key(&mut self, shared: &Shared, key: UserKey) {
        let mut own = shared.user_key.write().unwrap_or_else(PoisonError::into_inner);
        if !own.is(&key) {
            *own = key;
        }
    }

    /// Settles what earlier processes left open, in the log itself: whatever interrupts it, the next process goes on.
    fn recover(&mut self, shared: &Shared, mut replay: Replay, now: SystemTime) {
        let settles = replay.sums.settle_open();
        for settle in &settles {
            let Some(dims) = replay.sums.dims.get(settle.dims as usize) else { continue };
            let dims = dims.view();
            let entry = locked(&shared.books).entry(&dims, &Encoded::of(&dims));
            let settle = Settle { dims: entry.index, ..*settle };
            self.owed.push((entry, settle));
        }
        let by_estimate = total(&settles);
        if by_estimate.0 > 0 {
            let (exchanges, usd) = (by_estimate.0, by_estimate.1.to_string());
            tracing::warn!(message = "journal: exchanges were under way when their process ended; they count as estimated", exchanges, usd);
        }
        self.by_estimate += by_estimate.0;
        self.pay(shared);
        self.give(shared, Recovered::new(replay.sums, by_estimate), now);
    }

    fn give(&mut self, shared: &Shared, recovered: Recovered, now: SystemTime) {
        if !std::mem::replace(&mut self.given, true) {
            let mut spend = locked(&shared.spend);
            recovered.since(Spend::since(now)).for_each(|spent| spend.add(spent.start, spent.counters.cost));
            drop(spend);
            *locked(&shared.recovered) = Some(recovered);
        }
    }

    /// Writes the settles of recovery, as far as possible.
    fn pay(&mut self, shared: &Shared) {
        let mut paid = 0;
        for (entry, settle) in &self.owed {
            if locked(&shared.log).append(&[entry], std::iter::once(Record::Settle(*settle))).is_none() {
                break;
            }
            paid += 1;
        }
        self.owed.drain(..paid);
    }

    /// Tries to write again where nothing can be written.
    fn resume(&mut self, shared: &Shared, now: SystemTime, last: bool) {
        if locked(&shared.log).works() {
            return;
        }
        // The first look after a failure only notes it.
        if std::mem::replace(&mut self.worked, false) && !last {
            self.failed_at = Some(now);
            return;
        }
        if !due(self.failed_at, now) && !last {
            return;
        }
        self.failed_at = Some(now);
        if self.bytes(shared) > shared.settings.max_bytes as u64 {
            self.collapse(shared, now);
        }
        if self.bytes(shared) > shared.settings.max_bytes as u64 {
            return;
        }
        locked(&shared.log).open();
        self.probe(shared);
    }

    /// After failures to force, a new file is not believed before it was forced once.
    fn probe(&mut self, shared: &Shared) {
        if self.sync_strikes == 0 {
            return;
        }
        let files = locked(&shared.log).unsynced();
        match files.iter().try_for_each(|unsynced| unsynced.file.sync_data()) {
            Ok(()) => self.sync_strikes = 0,
            Err(cause) => locked(&shared.log).stop(&format!("nothing can be forced to the disk: {cause}")),
        }
    }

    /// Writes the counters of what is over: a minute, or a time in which nothing could be written.
    fn write_closed(&mut self, shared: &Shared, now: SystemTime, last: bool) {
        if !locked(&shared.log).works() {
            return;
        }
        self.overdue |= last || !std::mem::replace(&mut self.worked, true);
        self.pay(shared);
        let minute = minute_of(millis(now));
        if self.sealed.is_none() && (minute != self.minute || self.overdue) {
            self.sealed = locked(&shared.books).seal();
            (self.sealed_written, self.minute, self.overdue) = (false, minute, false);
        }
        if let Some(sealed) = self.sealed.as_mut().filter(|_| !self.sealed_written) {
            // A settle that is counted in the batch must be in the log, or among what is done, before the batch is: otherwise a
            // kill in between would leave it open and counted.
            if shared.under_way(sealed.batch).load(Ordering::Acquire) > 0 {
                return;
            }
            sealed.done.extend(locked(&shared.books).take_done(sealed.batch));
            self.sealed_written = write_batch(shared, sealed);
        }
    }

    fn sync(&mut self, shared: &Shared, now: SystemTime) {
        let files = locked(&shared.log).unsynced();
        let place = files.last().and_then(|unsynced| unsynced.place);
        if files.len() == 1 && place == self.synced {
            // Even so the disk would be woken.
            return;
        }
        if sync_files(shared, &files) {
            // Rows count once, however often they are written.
            self.sealed_written = false;
            self.sync_strikes += 1;
            let mut log = locked(&shared.log);
            if self.sync_strikes >= SYNC_STRIKES && log.works() {
                log.stop("nothing can be forced to the disk");
                self.failed_at = Some(now);
            }
        } else if !files.is_empty() {
            self.sync_strikes = 0;
            self.synced = place;
            if self.sealed_written {
                self.sealed = None;
            }
        }
    }

    fn bytes(&self, shared: &Shared) -> u64 {
        let (bytes, written) = self.counted;
        bytes + locked(&shared.log).written.saturating_sub(written)
    }

    /// Turns detail into sums when there is much of it, and stops writing at the bound where that fails.
    fn keep_small(&mut self, shared: &Shared, now: SystemTime) {
        if due(self.collapse_failed_at, now) && self.detail(shared) {
            self.collapse(shared, now);
        }
        if self.bytes(shared) > shared.settings.max_bytes as u64 {
            locked(&shared.log).stop("its files have reached max_bytes, and cannot be made smaller");
        }
    }

    /// Whether there is much detail.
    fn detail(&mut self, shared: &Shared) -> bool {
        let Some((dir, _)) = &self.folder else { return false };
        let (written, current, piece) = {
            let log = locked(&shared.log);
            (log.written, log.current(), log.segment_bytes)
        };
        let most = (DETAIL_PIECES_MAX * piece).min(shared.settings.max_bytes as u64 / 2);
        if self.looked.is_some_and(|looked| written - looked < piece / 2) {
            return false;
        }
        self.looked = Some(written);
        let Ok(names) = folder::list(dir) else { return false };
        let detail: Vec<_> = names.iter().filter(|name| !name.sums && name.number < current).collect();
        let bytes: u64 = detail.iter().filter_map(|name| name.path(dir).metadata().ok()).map(|meta| meta.len()).sum();
        bytes >= most || detail.len() > FILES_MAX
    }

    fn collapse(&mut self, shared: &Shared, now: SystemTime) {
        let Some((dir, _)) = &self.folder else { return };
        let through = locked(&shared.log).current().saturating_sub(1);
        let most = CELLS_MAX.min(shared.settings.max_bytes / 4 / CELL_BYTES);
        match rewrite::collapse(dir, through, minute_of(millis(now)), most) {
            Ok(set_aside) => {
                self.collapse_failed_at = None;
                self.corrupt_files += set_aside;
            }
            Err(cause) => {
                (self.collapse_failed_at, self.looked) = (Some(now), None);
                tracing::warn!(message = "journal: old files could not be made into sums", cause = %cause);
            }
        }
        let files = folder::list(dir).unwrap_or_default();
        let bytes = files.iter().filter_map(|name| name.path(dir).metadata().ok()).map(|meta| meta.len()).sum();
        self.counted = (bytes, locked(&shared.log).written);
    }
}

fn total(settles: &[Settle]) -> (u64, NanoUsd) {
    let cost = settles.iter().fold(NanoUsd::ZERO, |sum, settle| sum.saturating_add(settle.counters.cost));
    (settles.len() as u64, cost)
}

/// Writes the rows of a batch, a part at a time, so that no request waits for all of them.
fn write_batch(shared: &Shared, sealed: &Sealed) -> bool {
    // No batch has 2³² rows.
    let (batch, rows) = (sealed.batch, sealed.rows.len() as u32);
    let mut written = locked(&shared.log).append(&[], std::iter::once(Record::Begin { batch, rows })).is_some();
    for part in sealed.rows.chunks(ROWS_AT_ONCE) {
        let entries: Vec<&Entry> = part.iter().map(|(_, entry, _)| &**entry).collect();
        let records = part.iter().map(|(key, _, counters)| Record::Row(*key, *counters));
        written = written && locked(&shared.log).append(&entries, records).is_some();
    }
    for part in sealed.done.chunks(ROWS_AT_ONCE) {
        written = written && locked(&shared.log).append(&[], part.iter().map(|id| Record::Done(*id))).is_some();
    }
    written && locked(&shared.log).append(&[], std::iter::once(Record::Commit { batch })).is_some()
}

/// Forces files to the disk; whether one failed.
pub(super) fn sync_files(shared: &Shared, files: &[Unsynced]) -> bool {
    let mut failed = false;
    for Unsynced { file, place } in files {
        if let Err(cause) = file.sync_data() {
            failed = true;
            locked(&shared.log).sync_failed(*place, &cause);
        }
    }
    failed
}

/// What was seen last of the log and of the upkeep, for whoever looks while they are at work.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// See [`Upkeep::counted`].
    counted: (u64, u64),
    corrupt_files: u64,
    by_estimate: u64,
    records: u64,
    written: u64,
    write_errors: u64,
}

impl Told {
    fn of(&mut self, upkeep: &Upkeep) {
        (self.counted, self.corrupt_files, self.by_estimate) = (upkeep.counted, upkeep.corrupt_files, upkeep.by_estimate);
    }

    pub(super) fn saw(&mut self, log: &Log) {
        (self.records, self.written, self.write_errors) = (log.records, log.written, log.errors);
    }

    pub(super) fn tell(&self, health: &mut Health) {
        let (bytes, written) = self.counted;
        health.bytes = bytes + self.written.saturating_sub(written);
        (health.records, health.write_errors) = (self.records, self.write_errors);
        (health.corrupt_files, health.settled_by_estimate) = (self.corrupt_files, self.by_estimate);
    }
}

/// The upkeep's thread; told to end and waited for when dropped.
pub(super) struct Thread {
    stop: Arc<(Mutex<bool>, Condvar)>,
    running: Option<JoinHandle<()>>,
}

impl Thread {
    pub(super) fn spawn(shared: Arc<Shared>, clock: Arc<dyn WallClock>) -> Option<Self> {
        let every = match shared.settings.sync {
            Sync::Every(every) => every,
            Sync::Always => Duration::from_secs(1),
        };
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let told = Arc::clone(&stop);
        let run = move || {
            let (stop, changed) = &*told;
            let mut stopping = locked(stop);
            while !*stopping {
                stopping = changed.wait_timeout(stopping, every).unwrap_or_else(PoisonError::into_inner).0;
                tick(&shared, clock.now(), *stopping);
            }
        };
        match std::thread::Builder::new().name("journal".into()).spawn(run) {
            Ok(running) => Some(Self { stop, running: Some(running) }),
            Err(cause) => {
                tracing::error!(message = "journal: no thread for its upkeep: nothing is forced to the disk", cause = %cause);
                None
            }
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        *locked(&self.stop.0) = true;
        self.stop.1.notify_all();
        if let Some(running) = self.running.take()
            && running.join().is_err()
        {
            tracing::error!(message = "journal: its upkeep panicked");
        }
    }
}
