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
        let mut guards = self.lock(banks);
        let nanos = u64::try_from(at.now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX >> 1);
        let nanos = guards.iter().flatten().fold(nanos, |nanos, bank| nanos.max(bank.latest));
        guards.iter_mut().flatten().for_each(|bank| bank.latest = nanos);
        Open { guards, now: Now { nanos, seconds: window::seconds(at.wall), wall: at.wall } }
    }

    /// Locks these banks at no time in particular: nothing may be counted.
    pub(super) fn reopen(&self, banks: u32) -> Open<'_> {
        Open { guards: self.lock(banks), now: Now { nanos: 0, seconds: 0, wall: UNIX_EPOCH } }
    }

    /// In ascending order, so that nobody waits for each other.
    fn lock(&self, banks: u32) -> [Option<MutexGuard<'_, Bank>>; BANKS] {
        let mut guards = [const { None }; BANKS];
        for (place, (guard, bank)) in guards.iter_mut().zip(&self.banks).enumerate() {
            if banks >> place & 1 == 1 {
                *guard = Some(bank.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
        guards
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

/// Banks that are locked.
pub(super) struct Open<'b> {
    guards: [Option<MutexGuard<'b, Bank>>; BANKS],
    pub(super) now: Now,
}

impl Open<'_> {
    pub(super) fn bank(&mut self, bank: u8) -> Option<&mut Bank> {
        self.guards.get_mut(usize::from(bank))?.as_deref_mut()
    }

    /// Every bank that is open.
    pub(super) fn banks(&mut self) -> impl Iterator<Item = &mut Bank> {
        self.guards.iter_mut().flatten().map(|guard| &mut **guard)
    }
}

/// Closes the banks, and then wakes those who may have room now.
pub(super) fn close(open: Open<'_>, wakers: Vec<Waker>) {
    drop(open);
    wakers.into_iter().for_each(Waker::wake);
}
