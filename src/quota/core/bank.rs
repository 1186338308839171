//! Many meters under one lock: found by key, bounded in number, let go when idle.

use std::collections::HashMap;

use hashbrown::HashTable;

use super::limits::split;
use super::line::Line;
use super::meter::{Key, Meter, Now};
use super::rule::Rule;

/// Meters that one bank holds at most.
pub(super) const METERS_MAX: usize = 1 << 15;

/// Of so many reservations one looks at a meter, to let go of it if it is idle.
const SWEPT_EACH: usize = 4;

/// Meters that are looked at for each that was added: so many more that the idle cannot pile up.
const SWEPT_GROWN: usize = 8;

/// Meters that are looked at when there is no room for one more.
const SWEPT_FULL: usize = 64;

/// Names that are kept to be shown.
const NAMES_MAX: usize = 4096;

/// Where a subject is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this meter.
    At(u32),
    /// In a meter of its own, which is not there yet.
    Own,
    /// Among those for whom there is no room, whose meter is not there yet.
    Others,
}

/// A bank.
pub(super) struct Bank {
    /// The latest instant that it was asked at: its time never goes back.
    pub(super) latest: u64,
    /// Who waits for which meter.
    pub(super) lines: HashMap<u32, Line>,
    /// What meters are of, to be shown.
    pub(super) names: HashMap<Key, Box<str>>,
    /// Times that a subject was counted among the others.
    pub(super) crowded: u64,
    index: HashTable<u32>,
    pub(super) meters: Slab,
    /// Meters that take in those for whom there is no room.
    others: Vec<Key>,
    hand: usize,
    /// Reservations, and what is to be looked at for meters that were added.
    due: usize,
    capacity: usize,
}

impl Bank {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            latest: 0,
            lines: HashMap::new(),
            names: HashMap::new(),
            crowded: 0,
            index: HashTable::new(),
            meters: Slab::default(),
            others: Vec::new(),
            hand: 0,
            due: 0,
            capacity,
        }
    }

    /// How many meters there are.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn meter(&mut self, slot: u32) -> Option<&mut Meter> {
        self.meters.get(slot).filter(|meter| meter.key != FREE)
    }

    pub(super) fn find(&self, key: Key) -> Option<u32> {
        self.index.find(hash(key), |slot| self.meters.key(*slot) == key).copied()
    }

    /// Where a subject is counted: in its own meter, or where there is no room for one, among the others.
    ///
    /// As long as the others' meter holds something, newcomers join it even if there is room again: one of them may be in it
    /// already, and would get its limit twice.
    pub(super) fn place(&mut self, key: Key, rule: &Rule, now: Now) -> Place {
        if let Some(slot) = self.find(key) {
            return Place::At(slot);
        }
        if let Some(slot) = self.other(rule)
            && (self.is_full() || !self.idle(slot, now))
        {
            self.crowded += 1;
            return Place::At(slot);
        }
        if self.is_full() {
            self.crowded += 1;
            return Place::Others;
        }
        Place::Own
    }

    /// The meter at a place. A new one may get a name, to be shown.
    pub(super) fn ensure(&mut self, place: Place, key: Key, rule: &Rule, name: impl FnOnce() -> Option<Box<str>>) -> u32 {
        let key = match place {
            Place::At(slot) => return slot,
            Place::Own => key,
            Place::Others => split(rule.other()),
        };
        self.due += SWEPT_GROWN * SWEPT_EACH;
        let slot = self.meters.insert(Meter::new(key, rule.owner()));
        let Self { index, meters, .. } = self;
        index.insert_unique(hash(key), slot, |slot| hash(meters.key(*slot)));
        if place == Place::Others {
            self.others.push(key);
        } else if self.names.len() < NAMES_MAX
            && let Some(name) = name()
        {
            self.names.insert(key, name);
        }
        slot
    }

    /// Looks at some more meters and lets go of those that are idle; at many more, where there is no room for another.
    pub(super) fn tidy(&mut self, now: Now) {
        self.due += 1;
        let count = if self.is_full() { SWEPT_FULL } else { self.due / SWEPT_EACH };
        self.due %= SWEPT_EACH;
        for _ in 0..count.min(self.meters.len()) {
            self.hand = if self.hand + 1 < self.meters.len() { self.hand + 1 } else { 0 };
            let slot = self.hand as u32;
            let Some(key) = self.meters.get(slot).map(|meter| meter.key).filter(|key| *key != FREE) else { continue };
            if self.idle(slot, now) {
                self.remove(slot, key);
            }
        }
    }

    fn other(&self, rule: &Rule) -> Option<u32> {
        if self.others.is_empty() { None } else { self.find(split(rule.other())) }
    }

    fn idle(&mut self, slot: u32, now: Now) -> bool {
        !self.lines.contains_key(&slot) && self.meters.get(slot).is_none_or(|meter| meter.idle(now))
    }

    fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    fn remove(&mut self, slot: u32, key: Key) {
        if let Ok(entry) = self.index.find_entry(hash(key), |found| *found == slot) {
            entry.remove();
        }
        self.meters.remove(slot);
        self.names.remove(&key);
        self.others.retain(|other| *other != key);
    }
}

/// The key of a place that is free.
const FREE: Key = [0, 0];

/// Keys are random already.
fn hash(key: Key) -> u64 {
    key[0]
}

/// Meters by slot, in chunks: growing moves none, and wastes at most a chunk.
#[derive(Default)]
pub(super) struct Slab {
    chunks: Vec<Vec<Meter>>,
    free: Vec<u32>,
    length: usize,
}

const CHUNK_BITS: u32 = 8;
const CHUNK: usize = 1 << CHUNK_BITS;

impl Slab {
    fn len(&self) -> usize {
        self.length
    }

    fn get(&mut self, slot: u32) -> Option<&mut Meter> {
        self.chunks.get_mut((slot >> CHUNK_BITS) as usize)?.get_mut(slot as usize % CHUNK)
    }

    fn key(&self, slot: u32) -> Key {
        let chunk = self.chunks.get((slot >> CHUNK_BITS) as usize);
        chunk.and_then(|chunk| chunk.get(slot as usize % CHUNK)).map_or(FREE, |meter| meter.key)
    }

    fn insert(&mut self, meter: Meter) -> u32 {
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.get(slot)
        {
            *place = meter;
            return slot;
        }
        let slot = self.length as u32;
        if self.length.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(meter);
            self.length += 1;
        }
        slot
    }

    fn remove(&mut self, slot: u32) {
        if let Some(meter) = self.get(slot) {
            *meter = Meter::new(FREE, 0);
            self.free.push(slot);
        }
    }

    /// The meters of one chunk, each with its slot; `None` past the last.
    pub(super) fn chunk(&mut self, number: usize) -> Option<impl Iterator<Item = (u32, &mut Meter)>> {
        let meters = self.chunks.get_mut(number)?.iter_mut().enumerate();
        let slot = move |place: usize| (number << CHUNK_BITS | place) as u32;
        Some(meters.map(move |(place, meter)| (slot(place), meter)).filter(|(_, meter)| meter.key != FREE))
    }
}
