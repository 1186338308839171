//! What is counted in memory: the dimensions in use, and the counters of the minute. Never held while anything is written.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use super::counters::Counters;
use super::dims::{Class, Dims, DimsBuf, Encoded};
use super::sums::OTHER;
use super::wire::{CellKey, Span};
use crate::base::rng::ExchangeId;

/// How many sets of dimensions are told apart at a time. Past it, users, keys and tags are counted together.
const DIMS_MAX: usize = 10_000;
/// How many more there may be without users, keys and tags. Past it, everything is counted together.
const COARSE_MAX: usize = 1_000;
/// Dimensions that were not used in so many batches (minutes, mostly) may make room.
const UNUSED_BATCHES: u32 = 60;
/// How many counters are kept apart while they cannot be written.
const CELLS_MAX: usize = 40_000;
/// How many exchanges are remembered that were settled while nothing could be written.
const DONE_MAX: usize = 100_000;

/// A set of dimensions with its number in this process.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) index: u32,
    pub(super) dims: DimsBuf,
    /// The file that says what the number stands for.
    pub(super) defined_in: AtomicU64,
    /// The batch that counted under it last.
    used: AtomicU64,
}

/// Counters that are closed, on their way to the disk.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) batch: u32,
    pub(super) rows: Vec<(CellKey, Arc<Entry>, Counters)>,
    /// Exchanges whose settles could not be written.
    pub(super) done: Vec<ExchangeId>,
}

#[derive(Debug)]
pub(super) struct Books {
    entries: HashMap<DimsBuf, Arc<Entry>, RandomState>,
    next_index: u32,
    /// The batch in which room was last looked for.
    cleared: u32,
    /// The number of the batch that is open.
    batch: u32,
    cells: HashMap<CellKey, (Arc<Entry>, Counters), RandomState>,
    /// Settles that could not be written, with their batch.
    done: Vec<(u32, ExchangeId)>,
    /// Exchanges that were counted under coarser dimensions.
    pub(super) overflows: u64,
}

impl Default for Books {
    fn default() -> Self {
        let mut books = Self {
            entries: HashMap::default(),
            next_index: OTHER,
            cleared: 0,
            batch: 1,
            cells: HashMap::default(),
            done: Vec::new(),
            overflows: 0,
        };
        books.insert(Encoded::of(&Dims::OTHER).bytes());
        books
    }
}

impl Books {
    /// The entry of these dimensions.
    pub(super) fn entry(&mut self, dims: &Dims<'_>, encoded: &Encoded) -> Arc<Entry> {
        let batch = u64::from(self.batch);
        if let Some(entry) = self.entries.get(encoded.bytes()) {
            entry.used.store(batch, Ordering::Relaxed);
            return Arc::clone(entry);
        }
        if self.entries.len() < DIMS_MAX || self.clear() {
            return self.insert(encoded.bytes());
        }
        self.overflows += 1;
        let coarse = Encoded::of(&dims.coarse());
        if let Some(entry) = self.entries.get(coarse.bytes()) {
            entry.used.store(batch, Ordering::Relaxed);
            return Arc::clone(entry);
        }
        if self.entries.len() < DIMS_MAX + COARSE_MAX {
            return self.insert(coarse.bytes());
        }
        let other = self.entries.get(Encoded::of(&Dims::OTHER).bytes()).map(Arc::clone);
        other.unwrap_or_else(|| self.insert(Encoded::of(&Dims::OTHER).bytes()))
    }

    fn insert(&mut self, bytes: &[u8]) -> Arc<Entry> {
        let dims = DimsBuf::sound(bytes);
        let used = AtomicU64::new(u64::from(self.batch));
        let entry = Arc::new(Entry { index: self.next_index, dims: dims.clone(), defined_in: AtomicU64::new(0), used });
        self.next_index = self.next_index.wrapping_add(1);
        self.entries.insert(dims, Arc::clone(&entry));
        entry
    }

    /// Makes room, at most once in a batch; whether there is some.
    fn clear(&mut self) -> bool {
        if self.cleared == self.batch {
            return false;
        }
        self.cleared = self.batch;
        let since = u64::from(self.batch.saturating_sub(UNUSED_BATCHES));
        // An entry that counters or a settle under way still hold is theirs; its number is never given again.
        self.entries.retain(|_, entry| entry.index == OTHER || entry.used.load(Ordering::Relaxed) >= since);
        self.entries.len() < DIMS_MAX
    }

    /// Counts; the number of the batch that will tell it.
    pub(super) fn count(&mut self, entry: &Arc<Entry>, minute: u32, class: Class, counters: &Counters) -> u32 {
        let key = CellKey { start: minute, span: Span::Minute, dims: entry.index, class };
        if let Some((_, sum)) = self.cells.get_mut(&key) {
            sum.add(counters);
            return self.batch;
        }
        if self.cells.len() >= CELLS_MAX {
            self.count_coarsely(key, counters);
            return self.batch;
        }
        self.cells.insert(key, (Arc::clone(entry), *counters));
        self.batch
    }

    /// There are too many counters, after hours in which none could be written: days under no dimensions are few.
    fn count_coarsely(&mut self, key: CellKey, counters: &Counters) {
        let Some(other) = self.entries.get(Encoded::of(&Dims::OTHER).bytes()) else { return };
        let span = Span::Day;
        let key = CellKey { start: key.start - key.start % span.minutes(), span, dims: OTHER, class: key.class };
        let (_, sum) = self.cells.entry(key).or_insert_with(|| (Arc::clone(other), Counters::default()));
        sum.add(counters);
        self.overflows += 1;
    }

    /// Remembers an exchange whose settle could not be written.
    pub(super) fn not_written(&mut self, batch: u32, id: ExchangeId) {
        if self.done.len() < DONE_MAX {
            self.done.push((batch, id));
        }
    }

    /// Hands over what is remembered of batches up to this one.
    pub(super) fn take_done(&mut self, batch: u32) -> Vec<ExchangeId> {
        let (due, later): (Vec<_>, _) = std::mem::take(&mut self.done).into_iter().partition(|(of, _)| *of <= batch);
        self.done = later;
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Exchanges that are in memory only, as far as their ids are remembered.
    pub(super) fn pending(&self) -> u64 {
        self.done.len() as u64
    }

    /// Closes the batch, where it has anything.
    pub(super) fn seal(&mut self) -> Option<Sealed> {
        if self.cells.is_empty() {
            return None;
        }
        let batch = self.batch;
        self.batch = self.batch.saturating_add(1);
        let mut rows: Vec<_> = std::mem::take(&mut self.cells).into_iter().map(|(key, (entry, sum))| (key, entry, sum)).collect();
        rows.sort_by_key(|(key, ..)| *key);
        Some(Sealed { batch, rows, done: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(books: &mut Books, tag: &str, minute: u32) -> Arc<Entry> {
        let dims = Dims { team: "t", tag, ..Dims::default() };
        let entry = books.entry(&dims, &Encoded::of(&dims));
        books.count(&entry, minute, Class(1), &Counters { requests: 1, ..Counters::default() });
        entry
    }

    #[test]
    fn too_many_dimensions_are_counted_together_until_some_are_not_used_any_more() {
        let mut books = Books::default();
        let own = (1..DIMS_MAX).filter(|each| count(&mut books, &each.to_string(), 0).dims.view().tag == each.to_string()).count();
        assert_eq!((own, books.overflows), (DIMS_MAX - 1, 0));
        assert_eq!(count(&mut books, "more", 0).dims.view(), Dims { team: "t", ..Dims::default() }.coarse());
        assert_eq!((count(&mut books, "1", 0).dims.view().tag, books.overflows), ("1", 1));
        let requests: u64 = books.seal().unwrap().rows.iter().map(|(.., sum)| sum.requests).sum();
        assert_eq!(requests, DIMS_MAX as u64 + 1);
        for minute in 0..=UNUSED_BATCHES {
            count(&mut books, "1", minute);
            books.seal().unwrap();
        }
        let more = count(&mut books, "more", 0);
        assert_eq!((more.dims.view().tag, books.overflows), ("more", 1));
        assert!(more.index >= DIMS_MAX as u32);
    }

    #[test]
    fn counters_have_a_bound_and_no_request_is_lost_to_it() {
        let mut books = Books::default();
        let exchanges = CELLS_MAX as u32 + 5000;
        (0..exchanges).for_each(|minute| drop(count(&mut books, "a", minute)));
        let rows = books.seal().unwrap().rows;
        assert!(rows.len() <= CELLS_MAX + 40);
        assert_eq!(rows.iter().map(|(.., sum)| sum.requests).sum::<u64>(), u64::from(exchanges));
    }
}
