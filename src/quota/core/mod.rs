//! What is counted, and how it is reserved: values and locks, no clock, no await.

mod limits;
mod reservation;
mod subject;
mod verdict;
mod view;

pub use limits::Limits;
pub use reservation::{Extension, Reservation, Settled};
pub use subject::{Ask, Label};
pub use verdict::{Again, Crossing, Exceeded, Left, Measure, Room};
pub use view::{LimitView, MeasureView, SubjectView, View};

use std::time::SystemTime;

use crate::base::clock::Instant;
use crate::base::money::NanoUsd;

/// Now, on both clocks: rates go by the one that never steps, windows of the calendar by the one on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic clock.
    pub now: Instant,
    /// The wall clock.
    pub wall: SystemTime,
}

/// What a request takes, beside being one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Tokens, of the input and the output together.
    pub tokens: u64,
    /// Money.
    pub cost: NanoUsd,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self { tokens: 0, cost: NanoUsd::ZERO };
}
