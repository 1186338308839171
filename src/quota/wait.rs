//! Standing in line, as a future.

use std::sync::Arc;

use super::{Amount, Ask, Exceeded, Limits, Moment, Reservation};
use crate::base::clock::{self, WallClock};

impl Limits {
    /// Like [`Limits::reserve`], and waits in line where the limits that do not fit say so: first come, first served among
    /// those who share a subject of a limit that queues, for a bounded time in a line of bounded length. Dropping the
    /// future leaves the line.
    ///
    /// # Errors
    /// It does not fit, did not in time, or the line is full.
    pub async fn admit(self: &Arc<Self>, ask: &Ask<'_>, bound: Amount, wall: &dyn WallClock) -> Result<Reservation, Box<Exceeded>> {
        self.reserve(ask, bound, Moment { now: clock::now(), wall: wall.now() })
    }
}
