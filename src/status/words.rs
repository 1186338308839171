//! Amounts, times and limits in the words of people.

use std::time::Duration;

use crate::base::money::NanoUsd;
use crate::base::text::grouped;
use crate::config::{Dimension, Limit, OnExceed, Span, Unit};
use crate::quota::{Measure, MeasureView};

/// A bound: `600 requests a minute`.
pub(super) fn bound(measure: &MeasureView) -> String {
    let most = amount(measure.measure, measure.most);
    match measure.measure {
        Measure::RequestsPerMinute | Measure::TokensPerMinute => format!("{most} a minute"),
        Measure::Concurrent => format!("{most} at a time"),
        Measure::Window(_, Span::Hour) => format!("{most} an hour"),
        Measure::Window(_, Span::Day) => format!("{most} a day"),
        Measure::Window(_, Span::Month) => format!("{most} a month"),
    }
}

/// An amount in its unit's own words: `1 request`, `2,000 tokens`, `0.25 USD`.
pub(super) fn amount(measure: Measure, amount: u64) -> String {
    let some = |word: &str| format!("{} {word}{}", grouped(amount), if amount == 1 { "" } else { "s" });
    match measure {
        Measure::RequestsPerMinute | Measure::Concurrent => some("request"),
        Measure::TokensPerMinute | Measure::Window(Unit::Tokens, _) => some("token"),
        Measure::Window(Unit::Usd, _) => usd(NanoUsd(amount)),
    }
}

/// Money as people read it: to a hundredth of a cent from one dollar on, below to a millionth; what is less stays exact.
pub(super) fn usd(money: NanoUsd) -> String {
    let grain = if money.0 >= 1_000_000_000 { 100_000 } else { 1_000 };
    let rounded = NanoUsd(money.0.saturating_add(grain / 2) / grain * grain);
    let shown = if rounded == NanoUsd::ZERO { money } else { rounded };
    let text = shown.to_string();
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let whole = grouped(whole.parse().unwrap_or(0));
    if rest.is_empty() { format!("{whole} USD") } else { format!("{whole}.{rest:0<2} USD") }
}

/// A time to come, by its two largest units: `11h 59m`.
pub(super) fn coarse(time: Duration) -> String {
    let whole = Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0));
    let text = humantime::format_duration(whole).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Whom a limit counts, where it applies, and what happens past it.
pub(super) fn says(limit: &Limit) -> String {
    let mut says = vec![match limit.per.as_slice() {
        [] => "everything together".to_owned(),
        per => format!("for each {}", per.iter().map(|of| of.label()).collect::<Vec<_>>().join(" and ")),
    }];
    if !limit.when.is_empty() {
        let one = |of: Dimension, patterns: &[String]| format!("{} is {}", of.label(), patterns.join(" or "));
        let all: Vec<_> = limit.when.iter().map(|selector| one(selector.of, &selector.patterns)).collect();
        says.push(format!("where {}", all.join(" and ")));
    }
    says.push(match &limit.on_exceed {
        OnExceed::Reject => "past it refused".to_owned(),
        OnExceed::Queue { timeout, length_max } => {
            format!("past it in line up to {}, {} at most", humantime::format_duration(*timeout), grouped(*length_max as u64))
        }
        OnExceed::Degrade { to } => format!("past it served by {to}"),
    });
    if limit.offset_seconds != 0 && !limit.most.windows.is_empty() {
        let (sign, minutes) = (if limit.offset_seconds < 0 { '-' } else { '+' }, limit.offset_seconds.unsigned_abs() / 60);
        says.push(format!("by UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60));
    }
    says.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_told_to_what_matters() {
        let told = |nano| usd(NanoUsd(nano));
        assert_eq!(told(0), "0 USD");
        assert_eq!(told(7), "0.000000007 USD");
        assert_eq!(told(1_499), "0.000001 USD");
        assert_eq!(told(250_000_000), "0.25 USD");
        assert_eq!(told(500_000_000), "0.50 USD");
        assert_eq!(told(1_234_567_890_123), "1,234.5679 USD");
        assert_eq!(told(50_000_000_000), "50 USD");
    }

    #[test]
    fn amounts_and_times_are_short() {
        assert_eq!(amount(Measure::Concurrent, 1), "1 request");
        assert_eq!(amount(Measure::TokensPerMinute, 2_000_000), "2,000,000 tokens");
        assert_eq!([grouped(0), grouped(999), grouped(1_000)], ["0", "999", "1,000"]);
        assert_eq!(coarse(Duration::from_millis(43_199_001)), "12h");
        assert_eq!(coarse(Duration::from_secs(86_400 + 3_660)), "1day 1h");
    }
}
