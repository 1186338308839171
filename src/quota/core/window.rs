//! Windows of the calendar, and what one of them holds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::{Span, Unit};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Seconds since the Unix epoch, up to the year 2106: a clock beyond that stays at its end.
pub(super) fn seconds(wall: SystemTime) -> u32 {
    u32::try_from(wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(u32::MAX)
}

/// How long until an instant of the calendar.
pub(super) fn until(ends: u32, wall: SystemTime) -> Duration {
    (UNIX_EPOCH + Duration::from_secs(ends.into())).duration_since(wall).unwrap_or_default()
}

/// When the windows that hold an instant end, by a clock at a fixed offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) offset: i32,
    ends: [u32; 3],
}

impl Calendar {
    /// For what has no windows.
    pub(super) const NONE: Self = Self { offset: 0, ends: [0; 3] };

    pub(super) fn of(seconds: u32, offset: i32) -> Self {
        let local = i64::from(seconds) + i64::from(offset);
        let days = local.div_euclid(DAY);
        let ends = [(local.div_euclid(HOUR) + 1) * HOUR, (days + 1) * DAY, next_month(days) * DAY];
        let utc = |local: i64| u32::try_from((local - i64::from(offset)).max(0)).unwrap_or(u32::MAX);
        Self { offset, ends: ends.map(utc) }
    }

    pub(super) fn ends(&self, span: Span) -> u32 {
        let [hour, day, month] = self.ends;
        match span {
            Span::Hour => hour,
            Span::Day => day,
            Span::Month => month,
        }
    }
}

/// The first day of the next month, in days since the Unix epoch: Howard Hinnant, "chrono-compatible low-level date
/// algorithms", by years that begin in March.
fn next_month(days: i64) -> i64 {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day = shifted.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (year, month) = if month == 11 { (year + 1, 0) } else { (year, month + 1) };
    era * 146_097 + 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 - 719_468
}

/// What one subject has in one kind of window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) unit: Unit,
    pub(super) span: Span,
    /// How many of the thresholds were told in this window.
    pub(super) told: u8,
    /// When the window ends, in seconds since the Unix epoch: which window it is.
    pub(super) ends: u32,
    /// Bounds of what is under way.
    pub(super) reserved: u64,
    /// What came of what is over.
    pub(super) settled: u64,
}

impl Cell {
    pub(super) fn new(unit: Unit, span: Span, ends: u32) -> Self {
        Self { unit, span, told: 0, ends, reserved: 0, settled: 0 }
    }

    /// What it is at `now`, when the window ends at `ends`: itself, or nothing where its own window is over.
    ///
    /// A clock that steps back does not open an earlier window again: it stays in the one it had reached, until the clock
    /// is further behind than any correction, so that it must have been wrong before.
    pub(super) fn at(self, now: u32, ends: u32) -> Self {
        let behind = self.ends.saturating_sub(ends);
        if now < self.ends && behind <= step_back_max(self.span) { self } else { Self::new(self.unit, self.span, ends) }
    }

    /// What is used up.
    pub(super) fn used(&self) -> u64 {
        self.reserved.saturating_add(self.settled)
    }

    /// Whether nothing is lost with it: its window is over, for so long that no clock steps back into it. One that holds
    /// nothing is kept as well, since it knows which window was reached.
    pub(super) fn idle(&self, now: u32) -> bool {
        self.reserved == 0 && now >= self.ends.saturating_add(KEPT_SECONDS)
    }
}

/// How long a window is kept after its end, in case the clock is set back.
const KEPT_SECONDS: u32 = 300;

/// How far behind a window that it had reached a clock may be, in seconds, and still be believed later.
fn step_back_max(span: Span) -> u32 {
    match span {
        Span::Hour | Span::Day => 86_400,
        Span::Month => 31 * 86_400,
    }
}
