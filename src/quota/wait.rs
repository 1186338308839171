//! Standing in line, as a future.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::{Sleep, sleep_until};

use super::{Amount, Ask, Exceeded, Limits, Moment, Reservation, Turn};
use crate::base::clock::{self, WallClock};
use crate::config::OnExceed;

impl Limits {
    /// Like [`Limits::reserve`], and waits in line where the limits that do not fit say so: first come, first served among
    /// those who share a subject of a limit that queues, for a bounded time in a line of bounded length. Dropping the
    /// future leaves the line.
    ///
    /// # Errors
    /// It does not fit, did not in time, or the line is full.
    pub async fn admit(self: &Arc<Self>, ask: &Ask<'_>, bound: Amount, wall: &dyn WallClock) -> Result<Reservation, Box<Exceeded>> {
        let moment = || Moment { now: clock::now(), wall: wall.now() };
        // Mostly there is room, or nothing to wait for.
        match self.reserve(ask, bound, moment()) {
            Err(exceeded) if matches!(exceeded.then, OnExceed::Queue { .. }) => {}
            done => return done,
        }
        let mut waiting = self.enter(ask, bound, moment());
        let mut alarm: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|context| {
            loop {
                let until = match waiting.turn(moment(), context.waker()) {
                    Turn::Admitted(reservation) => return Poll::Ready(Ok(reservation)),
                    Turn::Refused(exceeded) => return Poll::Ready(Err(exceeded)),
                    Turn::Wait(until) => until,
                };
                let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
                alarm.as_mut().reset(until);
                if alarm.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}
