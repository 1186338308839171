//! What each day came to, for whoever looks: of this process, and of those before it as far as it was recovered.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::millis;
use crate::base::money::NanoUsd;

/// Days that are kept: a month, and some more for a clock that is wrong.
const DAYS_MAX: usize = 64;

const DAY: Duration = Duration::from_secs(86_400);

/// Money by the day (UTC), counted since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Spend {
    days: BTreeMap<u64, NanoUsd>,
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpentLately {
    /// Since midnight, UTC.
    pub today: NanoUsd,
    /// Since the first of the month, UTC.
    pub this_month: NanoUsd,
}

impl Spend {
    /// Adds what an exchange, or many, came to at this time.
    pub(super) fn add(&mut self, at: SystemTime, cost: NanoUsd) {
        let sum = self.days.entry(day(at)).or_default();
        *sum = sum.saturating_add(cost);
        if self.days.len() > DAYS_MAX {
            self.days.pop_first();
        }
    }

    pub(super) fn lately(&self, now: SystemTime) -> SpentLately {
        let today = day(now);
        let first = today - day_of_month(now);
        let sum = self.days.range(first..=today).fold(NanoUsd::ZERO, |sum, (_, cost)| sum.saturating_add(*cost));
        SpentLately { today: self.days.get(&today).copied().unwrap_or_default(), this_month: sum }
    }

    /// The beginning of the oldest day that may be asked for.
    pub(super) fn since(now: SystemTime) -> SystemTime {
        now.checked_sub(DAY * 31).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

fn day(at: SystemTime) -> u64 {
    millis(at) / 86_400_000
}

/// How many days of the month are over.
fn day_of_month(now: SystemTime) -> u64 {
    let date = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + DAY * u32::try_from(day(now)).unwrap_or(0)).to_string();
    let day = date.get("2026-11-".len().."2026-11-25".len()).and_then(|day| day.parse::<u64>().ok());
    day.map_or(0, |day| day.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_those_of_utc() {
        let at = |text: &str| humantime::parse_rfc3339(text).unwrap();
        let mut spend = Spend::default();
        for (time, cost) in [
            ("2028-01-31T23:59:59Z", 1),
            ("2028-02-01T00:00:00Z", 10),
            ("2028-02-28T12:00:00Z", 100),
            ("2028-02-29T00:00:00Z", 1_000),
            ("2028-02-29T23:59:59Z", 10_000),
            ("2028-03-01T00:00:00Z", 100_000),
        ] {
            spend.add(at(time), NanoUsd(cost));
        }
        let lately = |now: &str| {
            let lately = spend.lately(at(now));
            (lately.today.0, lately.this_month.0)
        };
        assert_eq!(lately("2028-01-31T00:00:00Z"), (1, 1));
        assert_eq!(lately("2028-02-28T00:00:00Z"), (100, 110));
        assert_eq!(lately("2028-02-29T13:00:00Z"), (11_000, 11_110));
        assert_eq!(lately("2028-03-01T13:00:00Z"), (100_000, 100_000));
        assert_eq!(lately("2028-03-02T00:00:00Z"), (0, 100_000));
        assert_eq!(lately("1970-01-01T00:00:00Z"), (0, 0));
    }

    #[test]
    fn few_days_are_kept() {
        let mut spend = Spend::default();
        for day in 0..1_000 {
            spend.add(SystemTime::UNIX_EPOCH + DAY * day, NanoUsd(1));
        }
        assert_eq!(spend.days.len(), DAYS_MAX);
        assert_eq!(spend.lately(SystemTime::UNIX_EPOCH + DAY * 999).today, NanoUsd(1));
    }
}
