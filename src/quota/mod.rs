//! Limits and keys: who calls, and whether what they ask for fits what they may have.
//!
//! [`Keys`] finds whom a presented key stands for. [`Limits`] holds what was admitted and spent, counted apart for each
//! subject of each limit. A request reserves in every limit that applies to it, all or nothing, and gets a
//! [`Reservation`], which is settled at what it came to, on every exit: one that is dropped settles itself. Time is an
//! argument ([`Moment`]); nothing here awaits but [`Limits::admit`], which stands in line where a limit says so.
//!
//! The laws, which `tests/quota_laws.rs` checks over arbitrary interleavings:
//!
//! * In any 60 seconds at most the limit is admitted. Nothing refills in bursts, no window has an edge.
//! * In a calendar window, reserved + settled + free = limit, and where streams outran what they had reserved, the limit
//!   is exceeded by exactly that: debt, which nothing forgives before the window's end.
//! * A request reserves everywhere or nowhere, and nobody sees a half-made reservation.
//! * What was reserved is settled in the window that admitted it, also after the window's end.

mod core;
mod keys;
mod wait;

/// The locks of [`core`]: apart, so that a test can compile the same files against a model checker's.
mod locks {
    pub(super) use std::sync::{Mutex, MutexGuard};
}

pub use core::{
    Admissions, Again, Amount, Ask, BoundStand, Crossing, Exceeded, Extension, Label, Left, LimitView, Limits, Measure, MeasureView,
    Moment, Reservation, Room, Settled, Stand, SubjectView, Turn, View, WaitEnd, Waiting,
};
pub use keys::{Caller, KeyRefused, Keys};
