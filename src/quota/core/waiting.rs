//! Waiting for room, without a clock: asked how it stands, it says whether to wait on, and until when.

use std::sync::Arc;
use std::task::Waker;

use super::books::{Open, close};
use super::held::Held;
use super::unfit::Unfit;
use super::verdict::{Exceeded, WaitEnd};
use super::{Amount, Limits, Moment, Reservation};
use crate::base::clock::Instant;

/// One who would wait for room: from [`Limits::enter`].
///
/// Among those who wait for the same subject of the same limit the first to come is the first to be served, and nobody who
/// comes later overtakes them. Dropping it gives its place up, and leaves no trace.
#[must_use = "it has come, and has not asked yet"]
pub struct Waiting {
    limits: Arc<Limits>,
    held: Held,
    bound: Amount,
    since: Instant,
    /// Its place among all who wait, and when its time is over: once it waits.
    ticket: Option<(u64, Instant)>,
}

/// How one who would wait stands.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once, and a box would cost each request an allocation")]
pub enum Turn {
    /// It is in.
    Admitted(Reservation),
    /// It will not get in.
    Refused(Box<Exceeded>),
    /// It is to ask again at this instant, or when it is woken.
    Wait(Instant),
}

impl Waiting {
    pub(super) fn new(limits: Arc<Limits>, held: Held, bound: Amount, since: Instant) -> Self {
        Self { limits, held, bound, since, ticket: None }
    }

    /// Asks how it stands. The waker is woken when it should ask again before the instant that it was told. After an answer
    /// other than to wait there is nothing left to ask.
    pub fn turn(&mut self, at: Moment, waker: &Waker) -> Turn {
        let limits = Arc::clone(&self.limits);
        if self.held.is_empty() {
            return Turn::Admitted(Reservation::nothing(limits, self.bound, at));
        }
        let mut open = limits.books.open(self.held.banks, at);
        match self.held.fit(&limits, &mut open, self.bound, self.ticket.map(|(number, _)| number)) {
            Ok(()) => {
                let admission = self.held.admit(&limits, &mut open, self.bound, None);
                let now = open.now;
                self.leave(open);
                let held = std::mem::take(&mut self.held);
                Turn::Admitted(Reservation::new(limits, held, self.bound, admission, now, at))
            }
            Err(unfit) if !unfit.waits() => {
                self.leave(open);
                Turn::Refused(unfit.exceeded)
            }
            Err(unfit) => self.stay(open, unfit, at, waker),
        }
    }

    /// Takes its place in line, or keeps it, as long as that makes sense.
    fn stay(&mut self, mut open: Open<'_>, unfit: Unfit, at: Moment, waker: &Waker) -> Turn {
        let (number, mut deadline) = self.ticket.unwrap_or_else(|| (self.limits.books.ticket(), self.since + FOREVER));
        let since = self.since;
        let joined = self.held.join(&self.limits, &mut open, number, waker, |timeout| deadline = deadline.min(since + timeout));
        self.ticket = Some((number, deadline));
        let again = unfit.exceeded.again.least().filter(|wait| !wait.is_zero()).map(|wait| at.now + wait);
        let hopeless = unfit.firm.is_some_and(|firm| firm.least().is_none_or(|wait| at.now + wait > deadline));
        let end = match joined {
            Err(_) => WaitEnd::Full,
            Ok(()) if at.now >= deadline => WaitEnd::TimedOut,
            Ok(()) if hopeless => WaitEnd::Hopeless,
            Ok(()) => return Turn::Wait(again.map_or(deadline, |again| again.min(deadline))),
        };
        self.leave(open);
        Turn::Refused(unfit.ended(end))
    }

    fn leave(&mut self, mut open: Open<'_>) {
        let mut wakers = Vec::new();
        if let Some((number, _)) = self.ticket.take() {
            self.held.leave(&mut open, number, &mut wakers);
        }
        close(open, wakers);
    }
}

/// Longer than any line is waited in.
const FOREVER: std::time::Duration = std::time::Duration::from_secs(366 * 86_400);

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let limits = Arc::clone(&self.limits);
            let open = limits.books.reopen(self.held.banks);
            self.leave(open);
        }
    }
}
