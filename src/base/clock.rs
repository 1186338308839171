//! The one caller of the system's clocks. Policies take `now` as an argument; tests run on tokio's paused clock.

use std::time::{SystemTime, UNIX_EPOCH};
pub use tokio::time::Instant;

/// The monotonic clock (tokio's, so that a test may pause it).
#[expect(clippy::disallowed_methods, reason = "the one door to the monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock: stamps, never durations.
pub trait WallClock: Send + Sync {
    /// Time since the Unix epoch.
    fn now(&self) -> SystemTime;

    /// Whole seconds since the Unix epoch.
    fn unix_seconds(&self) -> u64 {
        self.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one door to the wall clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A wall clock that stands still where a test put it.
#[derive(Clone, Copy, Debug)]
pub struct StillClock(pub SystemTime);

impl WallClock for StillClock {
    fn now(&self) -> SystemTime {
        self.0
    }
}
