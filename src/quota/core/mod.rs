//! What is counted, and how it is reserved: values and locks, no clock, no await.

mod bank;
mod books;
mod held;
mod limits;
mod line;
mod meter;
mod rates;
mod reservation;
mod rule;
mod stand;
mod subject;
mod tally;
mod unfit;
mod verdict;
mod view;
mod waiting;
mod window;

pub use limits::Limits;
pub use reservation::{Extension, Reservation, Settled};
pub use stand::{BoundStand, Stand};
pub use subject::{Ask, Label};
pub use tally::Admissions;
pub use verdict::{Again, Crossing, Exceeded, Left, Measure, Room, WaitEnd};
pub use view::{LimitView, MeasureView, SubjectView, View};
pub use waiting::{Turn, Waiting};

use std::time::SystemTime;

use super::locks;

use crate::base::clock::Instant;
use crate::base::money::NanoUsd;
use crate::config::Unit;

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

    /// The most that one request can be: more is taken for this. Sums over all requests under way stay exact.
    const MOST: u64 = 1 << 50;

    fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Usd => self.cost.0,
            Unit::Tokens => self.tokens,
        }
    }

    fn bounded(self) -> Self {
        Self { tokens: self.tokens.min(Self::MOST), cost: NanoUsd(self.cost.0.min(Self::MOST)) }
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), cost: self.cost.saturating_add(other.cost) }
    }

    /// What is left without the other; nothing is less than nothing.
    pub fn minus(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_sub(other.tokens), cost: self.cost.saturating_sub(other.cost) }
    }
}
