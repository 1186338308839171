//! What one request holds until it is settled.

use std::sync::Arc;

use super::verdict::{Crossing, Exceeded, Left};
use super::{Amount, Limits, Moment};

/// What was reserved for one request, in every limit that applies. It cannot be forgotten: one that is dropped settles at
/// the best estimate so far, which is what was reserved unless [`Reservation::note`] knew better.
#[must_use = "dropping a reservation settles it at once"]
pub struct Reservation {
    _limits: Arc<Limits>,
    reserved: Amount,
    best: Amount,
    left: Left,
    crossings: Vec<Crossing>,
}

/// What became of [`Reservation::extend`].
#[derive(Debug)]
pub enum Extension {
    /// It fits.
    Fits,
    /// It does not fit, and the limits let it finish: it is reserved all the same, as debt.
    Overdrawn,
    /// It does not fit, and a limit says to cut. Nothing more was reserved.
    Cut(Box<Exceeded>),
}

/// What became of a reservation.
#[derive(Debug, Default)]
pub struct Settled {
    /// By how much it outran what was reserved.
    pub overrun: Amount,
    /// Thresholds that were crossed.
    pub crossings: Vec<Crossing>,
}

impl Reservation {
    pub(super) fn stub(limits: Arc<Limits>, bound: Amount) -> Self {
        Self { _limits: limits, reserved: bound, best: bound, left: Left::default(), crossings: Vec::new() }
    }

    /// What is reserved, extensions included.
    pub fn reserved(&self) -> Amount {
        self.reserved
    }

    /// What the limits that apply had left after this request was admitted.
    pub fn left(&self) -> &Left {
        &self.left
    }

    /// The thresholds that admitting it crossed; they are told once.
    pub fn take_crossings(&mut self) -> Vec<Crossing> {
        std::mem::take(&mut self.crossings)
    }

    /// Takes note of what it came to so far: what it is settled at, if it is dropped.
    pub fn note(&mut self, so_far: Amount) {
        self.best = so_far;
    }

    /// Reserves more, for a stream that outruns what it has: in every limit or in none.
    pub fn extend(&mut self, more: Amount, _at: Moment) -> Extension {
        self.reserved = Amount { tokens: self.reserved.tokens + more.tokens, cost: self.reserved.cost.saturating_add(more.cost) };
        Extension::Fits
    }

    /// Settles at what it came to, in the windows that it was admitted under.
    pub fn settle(self, _actual: Amount, _at: Moment) -> Settled {
        Settled::default()
    }

    /// Takes everything back, the request itself included: nothing was sent.
    pub fn cancel(self, _at: Moment) {}
}
