//! Failures and tries of the last ten seconds.

use crate::base::clock::Instant;

/// One slot for each second.
const SLOTS: usize = 10;

/// A ring of seconds.
#[derive(Debug)]
pub(super) struct Window {
    begun: Instant,
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    second: u32,
    tries: u32,
    failures: u32,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, slots: Default::default() }
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        let slot = self.slot(now);
        slot.tries = slot.tries.saturating_add(1);
    }

    pub(super) fn failed(&mut self, now: Instant) {
        let slot = self.slot(now);
        slot.tries = slot.tries.saturating_add(1);
        slot.failures = slot.failures.saturating_add(1);
    }

    /// A try that was counted as a success has failed after all.
    pub(super) fn failed_late(&mut self, now: Instant) {
        let slot = self.slot(now);
        slot.failures = slot.failures.saturating_add(1);
    }

    /// Tries, and failures among them.
    pub(super) fn counts(&self, now: Instant) -> (u32, u32) {
        let second = self.second(now);
        let live = self.slots.iter().filter(|slot| second.saturating_sub(slot.second) < SLOTS as u32);
        let (tries, failures) =
            live.fold((0_u32, 0_u32), |(tries, failures), slot| (tries.saturating_add(slot.tries), failures.saturating_add(slot.failures)));
        (tries, failures.min(tries))
    }

    pub(super) fn clear(&mut self) {
        self.slots = Default::default();
    }

    fn slot(&mut self, now: Instant) -> &mut Slot {
        let second = self.second(now);
        let slot = &mut self.slots[second as usize % SLOTS];
        // Several workers' clocks: a reading from the second before counts in this one.
        if slot.second < second {
            *slot = Slot { second, ..Slot::default() };
        }
        slot
    }

    /// Seconds since the beginning, counted from one ring's length so that the empty ring is of the past.
    fn second(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.begun);
        u32::try_from(seconds.as_secs()).unwrap_or(u32::MAX - SLOTS as u32).saturating_add(SLOTS as u32)
    }
}
