//! Everything that is counted: banks of meters, locked in one order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::UNIX_EPOCH;

use super::bank::{Bank, METERS_MAX};
use super::locks::{Mutex, MutexGuard};
use super::meter::Now;
use super::rule::Rule;
use super::subject::Parts;
use super::window::Calendar;
use super::{Moment, window};
use crate::base::clock::Instant;
use crate::config::Dimension;

/// Banks of users and tags, beside the one for all that is few.
const CROWD_BANKS: usize = 16;

/// All banks.
pub(super) const BANKS: usize = CROWD_BANKS + 1;

/// What is counted, for the whole process.
///
/// A bank is locked by whoever reserves or settles in it. The first holds what there are few of, and every request has a
/// subject in it; users and tags are spread over the others by their own digest, so that a request finds all of its user's
/// limits in one. Two locks are the rule, always in ascending order.
pub(super) struct Books {
    origin: Instant,
    banks: [Mutex<Bank>; BANKS],
    tickets: AtomicU64,
}

impl Books {
    pub(super) fn new(origin: Instant) -> Arc<Self> {
        Self::with_capacity(origin, METERS_MAX)
    }

    /// Books of which each bank holds so many meters.
    pub(super) fn with_capacity(origin: Instant, capacity: usize) -> Arc<Self> {
        Arc::new(Self { origin, banks: std::array::from_fn(|_| Mutex::new(Bank::new(capacity))), tickets: AtomicU64::new(1) })
    }

    /// Locks these banks, as bits, and tells what time it is in them: never earlier than any of them has seen.
    ///
    /// Whoever waited for a lock comes after whoever held it, whatever the clock said when each of them looked.
    pub(super) fn open(&self, banks: u32, at: Moment) -> Open<'_> {
        let nanos = u64::try_from(at.now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX >> 1);
        let mut open = Open::at(Now { nanos, seconds: window::seconds(at.wall), wall: at.wall });
        self.lock(banks, &mut open);
        let nanos = open.banks().fold(nanos, |nanos, bank| nanos.max(bank.latest));
        open.banks().for_each(|bank| bank.latest = nanos);
        open.now.nanos = nanos;
        open
    }

    /// Locks these banks at no time in particular: nothing may be counted.
    pub(super) fn reopen(&self, banks: u32) -> Open<'_> {
        let mut open = Open::at(Now { nanos: 0, seconds: 0, wall: UNIX_EPOCH });
        self.lock(banks, &mut open);
        open
    }

    /// In ascending order, so that nobody waits for each other.
    fn lock<'b>(&'b self, mut banks: u32, open: &mut Open<'b>) {
        let mut few = open.few.iter_mut();
        while banks != 0 {
            let bank = self.banks.get(banks.trailing_zeros() as usize);
            banks &= banks - 1;
            let guard = bank.map(|bank| bank.lock().unwrap_or_else(PoisonError::into_inner));
            match few.next() {
                Some(free) => *free = guard,
                None => open.more.extend(guard),
            }
        }
    }

    /// The number of the next who waits. To be drawn while the banks in question are open.
    pub(super) fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// Which bank a subject is in.
    pub(super) fn bank(rule: &Rule, parts: &Parts, tag: u128) -> u8 {
        let spread = |part: u128| 1 + (part >> 124) as u8 % CROWD_BANKS as u8;
        match rule.crowd {
            Some(Dimension::User) => spread(parts.user()),
            Some(_) => spread(tag),
            None => 0,
        }
    }
}

/// Banks that are locked, in ascending order.
pub(super) struct Open<'b> {
    few: [Option<MutexGuard<'b, Bank>>; FEW],
    more: Vec<MutexGuard<'b, Bank>>,
    pub(super) now: Now,
    calendar: Option<Calendar>,
}

/// Banks that are locked without more memory: those of most requests.
const FEW: usize = 3;

impl Open<'_> {
    fn at(now: Now) -> Self {
        Self { few: [const { None }; FEW], more: Vec::new(), now, calendar: None }
    }

    /// The bank at this place among those that are open.
    pub(super) fn bank(&mut self, place: u8) -> Option<&mut Bank> {
        let place = usize::from(place);
        match self.few.get_mut(place) {
            Some(bank) => bank.as_deref_mut(),
            None => self.more.get_mut(place - FEW).map(|bank| &mut **bank),
        }
    }

    /// Every bank that is open.
    pub(super) fn banks(&mut self) -> impl Iterator<Item = &mut Bank> {
        self.few.iter_mut().flatten().chain(&mut self.more).map(|bank| &mut **bank)
    }

    /// The windows of now for a rule.
    pub(super) fn calendar(&mut self, rule: &Rule) -> Calendar {
        if rule.windows().is_empty() {
            return Calendar::NONE;
        }
        let offset = rule.limit.offset_seconds;
        match self.calendar {
            Some(calendar) if calendar.offset == offset => calendar,
            _ => *self.calendar.insert(Calendar::of(self.now.seconds, offset)),
        }
    }
}

/// Closes the banks, and then wakes those who may have room now.
pub(super) fn close(open: Open<'_>, wakers: Vec<Waker>) {
    drop(open);
    wakers.into_iter().for_each(Waker::wake);
}
