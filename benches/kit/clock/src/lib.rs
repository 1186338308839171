//! The one clock that all processes of a bench share.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
///
/// `std::time::Instant` reads the same clock but does not show its value, and the mock's stamp is compared with the load
/// generator's reading: two processes, one clock.
pub fn now_ns() -> u64 {
    let at = clock_gettime(ClockId::Monotonic);
    at.tv_sec.unsigned_abs() * 1_000_000_000 + at.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_never_goes_back() {
        let first = super::now_ns();
        assert!(first > 0);
        assert!(super::now_ns() >= first);
    }
}
