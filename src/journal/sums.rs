//! What the records of a journal add up to.
//!
//! A settle counts until its batch has rows, which then count instead; a batch is committed or not there. So each exchange
//! counts once, however often recovery, writing or collapsing was interrupted:
//!
//! * a settle written by a later process counts only while its intent is open;
//! * a batch counts once: rows that are written a second time, after a failed sync, are passed over;
//! * what is only in rows (the disk was full meanwhile) closes its intent by a `Done` in the same batch.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::counters::{Counters, Estimate};
use super::dims::{CacheKind, Class, Dims, DimsBuf, StatusClass};
use super::scan::Scan;
use super::wire::{CellKey, Header, Intent, Record, Settle, Span};
use crate::base::rng::ExchangeId;

/// The sums of everything that was read so far.
#[derive(Debug)]
pub(super) struct Sums {
    /// Every set of dimensions once; `CellKey::dims` is an index of it.
    pub(super) dims: Vec<DimsBuf>,
    known: HashMap<DimsBuf, u32>,
    /// What is final.
    pub(super) cells: HashMap<CellKey, Counters>,
    /// Exchanges that were not settled.
    pub(super) open: HashMap<ExchangeId, Intent>,
    /// The process whose records are being read; the batches are its.
    pub(super) incarnation: u64,
    /// Its last batch that has its rows.
    pub(super) closed: u32,
    /// Its settles whose batch has no rows yet.
    pub(super) partial: HashMap<(u32, CellKey), Counters>,
    /// Its rows whose batch is not committed yet.
    pub(super) pending: Option<Pending>,
    /// Whether anything was damaged or missing.
    pub(super) damaged: bool,
}

/// Rows on their way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) batch: u32,
    pub(super) expected: u32,
    pub(super) rows: Vec<(CellKey, Counters)>,
    pub(super) done: Vec<ExchangeId>,
}

/// What was found in one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Sound records.
    pub(super) records: u64,
    /// Damaged stretches with sound records behind them.
    pub(super) damaged: u32,
    /// Where the last sound record ended.
    pub(super) sound: u64,
    /// Whether bytes are left behind it.
    pub(super) torn: bool,
}

impl Default for Sums {
    fn default() -> Self {
        let mut sums = Self {
            dims: Vec::new(),
            known: HashMap::new(),
            cells: HashMap::new(),
            open: HashMap::new(),
            incarnation: 0,
            closed: 0,
            partial: HashMap::new(),
            pending: None,
            damaged: false,
        };
        sums.intern(DimsBuf::new(&Dims::OTHER));
        sums
    }
}

/// The index of [`Dims::OTHER`].
pub(super) const OTHER: u32 = 0;

impl Sums {
    /// Reads a file's bytes behind its header.
    pub(super) fn read(&mut self, header: &Header, bytes: &[u8]) -> Read {
        self.enter(header.incarnation);
        let mut file = File { sums: self, indices: HashMap::new() };
        let mut scan = Scan::new(bytes, header);
        let mut records = 0;
        for record in scan.by_ref() {
            records += 1;
            file.apply(record);
        }
        self.damaged |= scan.damaged > 0;
        Read { records, damaged: scan.damaged, sound: scan.sound as u64, torn: scan.torn() }
    }

    /// What follows is of this process. Only one writes at a time: the batches of any other are over.
    pub(super) fn enter(&mut self, incarnation: u64) {
        if self.incarnation != incarnation {
            self.fold();
            self.incarnation = incarnation;
            self.closed = 0;
        }
    }

    /// Takes what has no rows as it is: nothing will come.
    pub(super) fn fold(&mut self) {
        self.pending = None;
        for ((_, key), counters) in std::mem::take(&mut self.partial) {
            self.cells.entry(key).or_default().add(&counters);
        }
    }

    pub(super) fn intern(&mut self, dims: DimsBuf) -> u32 {
        if let Some(index) = self.known.get(&dims) {
            return *index;
        }
        // Fewer than 2³² fit the files that are read.
        let index = self.dims.len() as u32;
        self.dims.push(dims.clone());
        self.known.insert(dims, index);
        index
    }

    /// Settles everything that is open at its estimate. To be called when the processes that opened it are gone.
    pub(super) fn settle_open(&mut self) -> Vec<Settle> {
        let mut settles: Vec<_> = self.open.values().map(by_estimate).collect();
        // In the order in which they began, so that the log can be read.
        settles.sort_by_key(|settle| (settle.at_ms, settle.id.to_bytes()));
        settles.iter().for_each(|settle| self.settle(settle));
        settles
    }

    /// Settles the oldest open exchanges at their estimate, until at most `most` are left.
    pub(super) fn forget_open(&mut self, most: usize) {
        let excess = self.open.len().saturating_sub(most);
        if excess == 0 {
            return;
        }
        let mut settles: Vec<_> = self.open.values().map(by_estimate).collect();
        settles.sort_by_key(|settle| settle.at_ms);
        settles.iter().take(excess).for_each(|settle| self.settle(settle));
    }

    fn settle(&mut self, settle: &Settle) {
        let key = key_of(settle);
        let was_open = self.open.remove(&settle.id).is_some();
        if settle.recovered {
            // Another word on it may have come after all; of one whose intent is lost nothing is known.
            if was_open || self.damaged {
                self.cells.entry(key).or_default().add(&settle.counters);
            }
        } else if settle.batch == 0 {
            self.cells.entry(key).or_default().add(&settle.counters);
        } else if settle.batch > self.closed {
            self.partial.entry((settle.batch, key)).or_default().add(&settle.counters);
        }
    }

    fn commit(&mut self, batch: u32) {
        let Some(pending) = self.pending.take_if(|pending| pending.batch == batch) else {
            self.damaged |= batch > self.closed;
            return;
        };
        if batch <= self.closed {
            return;
        }
        self.closed = batch;
        let (mut settled, mut lost) = (Vec::new(), Vec::new());
        self.partial.retain(|(of, key), counters| {
            match (*of).cmp(&batch) {
                Ordering::Less => lost.push((*key, *counters)),
                Ordering::Equal => settled.push((*key, *counters)),
                Ordering::Greater => {}
            }
            *of > batch
        });
        let requests = |rows: &[(CellKey, Counters)]| rows.iter().fold(0u64, |sum, (_, row)| sum.saturating_add(row.requests));
        let whole = pending.rows.len() == pending.expected as usize;
        self.damaged |= !whole;
        // Of damaged rows and the settles that they stand for, what tells more.
        let rows = if whole || requests(&pending.rows) > requests(&settled) { pending.rows } else { settled };
        // Batches come in order: one that was passed over lost its rows.
        for (key, counters) in rows.into_iter().chain(lost) {
            self.cells.entry(key).or_default().add(&counters);
        }
        for id in pending.done {
            self.open.remove(&id);
        }
    }
}

/// The settle of an exchange whose end nobody told.
fn by_estimate(intent: &Intent) -> Settle {
    let Estimate { input_tokens, output_tokens, cost } = intent.estimate;
    let counters =
        Counters { requests: 1, errors: 1, estimated: 1, input_tokens, output_tokens, cost, cost_estimated: cost, ..Counters::default() };
    let class = Class::new(StatusClass::Lost, CacheKind::Bypass);
    Settle { id: intent.id, batch: 0, recovered: true, at_ms: intent.at_ms, dims: intent.dims, class, counters }
}

/// The minute of a moment, both since the Unix epoch.
pub(super) fn minute_of(at_ms: u64) -> u32 {
    u32::try_from(at_ms / 60_000).unwrap_or(u32::MAX)
}

pub(super) fn key_of(settle: &Settle) -> CellKey {
    CellKey { start: minute_of(settle.at_ms), span: Span::Minute, dims: settle.dims, class: settle.class }
}

/// One file while it is read.
struct File<'s> {
    sums: &'s mut Sums,
    /// The file's indices of dimensions, as those of the sums.
    indices: HashMap<u32, u32>,
}

impl File<'_> {
    fn apply(&mut self, record: Record<'_>) {
        match record {
            Record::Dims { index, bytes } => match DimsBuf::decoded(bytes) {
                Some(dims) => {
                    let own = self.sums.intern(dims);
                    self.indices.insert(index, own);
                }
                None => self.sums.damaged = true,
            },
            Record::Intent(intent) => {
                let intent = Intent { dims: self.dims(intent.dims), ..intent };
                self.sums.open.insert(intent.id, intent);
            }
            Record::Settle(settle) => {
                let settle = Settle { dims: self.dims(settle.dims), ..settle };
                self.sums.settle(&settle);
            }
            Record::Begin { batch, rows } => {
                self.sums.pending = Some(Pending { batch, expected: rows, rows: Vec::new(), done: Vec::new() });
            }
            Record::Row(key, counters) => {
                let key = self.key(key);
                match &mut self.sums.pending {
                    Some(pending) => pending.rows.push((key, counters)),
                    None => self.sums.damaged = true,
                }
            }
            Record::Done(id) => match &mut self.sums.pending {
                Some(pending) => pending.done.push(id),
                // Without its batch the estimate is the better word.
                None => self.sums.damaged = true,
            },
            Record::Commit { batch } => self.sums.commit(batch),
            Record::Cell(key, counters) => {
                let key = self.key(key);
                self.sums.cells.entry(key).or_default().add(&counters);
            }
            Record::Partial(batch, key, counters) => {
                let key = self.key(key);
                self.sums.partial.entry((batch, key)).or_default().add(&counters);
            }
            Record::Closed { batch } => self.sums.closed = self.sums.closed.max(batch),
            Record::End { .. } | Record::Unknown => {}
        }
    }

    fn key(&mut self, key: CellKey) -> CellKey {
        CellKey { dims: self.dims(key.dims), ..key }
    }

    /// Money whose dimensions are lost is still money.
    fn dims(&mut self, index: u32) -> u32 {
        match self.indices.get(&index) {
            Some(own) => *own,
            None => {
                self.sums.damaged = true;
                OTHER
            }
        }
    }
}
