//! What one request holds until it is settled.

use std::sync::Arc;

use super::books::{BANKS, close};
use super::held::Held;
use super::meter::{Ended, Now};
use super::verdict::{Crossing, Exceeded, Left};
use super::{Amount, Limits, Moment};

const _: () = assert!(BANKS <= 32, "banks are bits of an u32");

/// What was reserved for one request, in every limit that applies. It cannot be forgotten: one that is dropped settles at
/// the best estimate so far, which is what was reserved unless [`Reservation::note`] knew better.
#[must_use = "dropping a reservation settles it at once"]
pub struct Reservation {
    limits: Arc<Limits>,
    held: Held,
    /// Tokens that were counted to rates, and when: first with the request itself.
    first: (u64, u64),
    later: Vec<(u64, u64)>,
    reserved: Amount,
    /// What it came to so far, where that is known.
    noted: Option<Amount>,
    /// When it was last touched.
    seen: Moment,
    left: Left,
    crossings: Vec<Crossing>,
    open: bool,
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

/// What admitting told.
#[derive(Debug, Default)]
pub(super) struct Admission {
    pub(super) left: Left,
    pub(super) crossings: Vec<Crossing>,
}

impl Reservation {
    pub(super) fn new(limits: Arc<Limits>, held: Held, bound: Amount, admission: Admission, now: Now, at: Moment) -> Self {
        let Admission { left, crossings } = admission;
        let first = (now.nanos, bound.tokens);
        Self { limits, held, first, later: Vec::new(), reserved: bound, noted: None, seen: at, left, crossings, open: true }
    }

    /// One where no limit applies.
    pub(super) fn nothing(limits: Arc<Limits>, bound: Amount, at: Moment) -> Self {
        let now = Now { nanos: 0, seconds: 0, wall: at.wall };
        Self::new(limits, Held::default(), bound, Admission::default(), now, at)
    }

    /// When it was admitted, or extended last.
    pub fn seen(&self) -> Moment {
        self.seen
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
        self.noted = Some(so_far);
    }

    /// Reserves more, for a stream that outruns what it has: in every limit or in none.
    ///
    /// Money and tokens of the calendar are those of the windows that admitted it; where one is over nothing more fits, and
    /// debt in it holds up nobody. Tokens of the minute count from now on.
    pub fn extend(&mut self, more: Amount, at: Moment) -> Extension {
        self.seen = at;
        let more = more.bounded();
        if self.held.is_empty() || more == Amount::ZERO {
            self.reserved = self.reserved.plus(more);
            return Extension::Fits;
        }
        let mut open = self.limits.books.open(self.held.banks, at);
        let fits = match self.held.fit_more(&self.limits, &mut open, more) {
            Ok(fits) => fits,
            Err(unfit) => return Extension::Cut(unfit.exceeded),
        };
        self.held.extend(&self.limits, &mut open, more);
        self.later.push((open.now.nanos, more.tokens));
        self.reserved = self.reserved.plus(more);
        if fits { Extension::Fits } else { Extension::Overdrawn }
    }

    /// Reserves more where it fits in every limit, whatever they say of streams; else nothing, and tells so.
    pub fn extend_if_fits(&mut self, more: Amount, at: Moment) -> bool {
        self.seen = at;
        let more = more.bounded();
        if !self.held.is_empty() && more != Amount::ZERO {
            let mut open = self.limits.books.open(self.held.banks, at);
            if !matches!(self.held.fit_more(&self.limits, &mut open, more), Ok(true)) {
                return false;
            }
            self.held.extend(&self.limits, &mut open, more);
            self.later.push((open.now.nanos, more.tokens));
        }
        self.reserved = self.reserved.plus(more);
        true
    }

    /// Settles at what it came to, in the windows that it was admitted under.
    pub fn settle(mut self, actual: Amount, at: Moment) -> Settled {
        self.seen = at;
        self.end(actual, false)
    }

    /// Takes everything back, the request itself included: nothing was sent.
    pub fn cancel(mut self, at: Moment) {
        self.seen = at;
        self.end(Amount::ZERO, true);
    }

    fn end(&mut self, actual: Amount, cancelled: bool) -> Settled {
        let actual = actual.bounded();
        let mut settled = Settled { overrun: actual.minus(self.reserved), crossings: std::mem::take(&mut self.crossings) };
        if !std::mem::take(&mut self.open) || self.held.is_empty() {
            return settled;
        }
        let mut wakers = Vec::new();
        let mut open = self.limits.books.open(self.held.banks, self.seen);
        let ended = Ended { first: self.first, later: &self.later, reserved: self.reserved, actual, cancelled };
        self.held.settle(&self.limits, &mut open, &ended, &mut settled.crossings, &mut wakers);
        close(open, wakers);
        settled
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.end(self.noted.unwrap_or(self.reserved), false);
    }
}
