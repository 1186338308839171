//! How an alias uses its targets: strategy, retries, times, hedging.

use std::time::Duration;

use super::file::{Reading, Table};
use super::locate::did_you_mean;
use super::resolve::keys;
use super::{Hedge, LatencyBound, Moment, RetryPolicy, Strategy, Target, Timeouts};

/// The largest weight of a target.
pub(super) const WEIGHT_MAX: usize = 1_000_000;

const WORDS: [&str; 4] = ["ordered", "weighted", "fastest", "cheapest"];

/// The entries of `latency_target`.
pub(super) const LATENCY_KEYS: [(&str, u8, Moment); 4] = [
    ("p50_first_token", 50, Moment::FirstToken),
    ("p95_first_token", 95, Moment::FirstToken),
    ("p50_total", 50, Moment::Whole),
    ("p95_total", 95, Moment::Whole),
];

/// Reads `strategy` and `latency_target`.
pub(super) fn strategy(reading: &Reading<'_>, model: &Table<'_, '_>, targets: &[Target]) -> Strategy {
    let bounds = latency_bounds(reading, model);
    let Some(text) = model.text("strategy") else {
        if model.has("latency_target") {
            reading.fault(
                &model.spot("latency_target"),
                "needs strategy = \"cheapest\": it says which targets are fast enough to be chosen by price",
            );
        }
        return Strategy::Ordered;
    };
    let strategy = match text.value.as_str() {
        "ordered" => Strategy::Ordered,
        "weighted" => Strategy::Weighted,
        "fastest" => Strategy::Fastest,
        "cheapest" => Strategy::Cheapest(bounds),
        other => {
            let meant = did_you_mean(other, WORDS);
            reading.fault(&text.at, format!("no strategy named {other:?}{meant}: expected one of {}", WORDS.join(", ")));
            return Strategy::Ordered;
        }
    };
    if model.has("latency_target") && !matches!(strategy, Strategy::Cheapest(_)) {
        reading.fault(&model.spot("latency_target"), "has a meaning for strategy = \"cheapest\" only");
    }
    if strategy == Strategy::Weighted && !targets.is_empty() && targets.iter().all(|target| target.weight == 0) {
        reading.fault(&model.spot("targets"), "every weight is 0: nobody would be asked first (give one target a weight)");
    }
    if let Strategy::Cheapest(_) = strategy {
        for target in targets.iter().filter(|target| target.facts.prices.is_empty()) {
            let text = format!(
                "the price of {} is not known, so it counts as dearer than those that are (add a [[prices]] entry for it)",
                target.label()
            );
            reading.warn(&model.spot("targets"), text);
        }
    }
    strategy
}

fn latency_bounds(reading: &Reading<'_>, model: &Table<'_, '_>) -> Vec<LatencyBound> {
    let names = LATENCY_KEYS.map(|(key, ..)| key);
    let table = model.table("latency_target", &names);
    let bound = |(key, percentile, moment)| Some(LatencyBound { percentile, moment, within: table.duration(key)? });
    let bounds: Vec<_> = LATENCY_KEYS.into_iter().filter_map(bound).collect();
    if bounds.is_empty() && model.has("latency_target") && !names.iter().any(|key| table.has(key)) {
        reading.fault(&model.spot("latency_target"), format!("is empty: expected one or more of {}", names.join(", ")));
    }
    bounds
}

/// Reads `retry`.
pub(super) fn retry(model: &Table<'_, '_>) -> RetryPolicy {
    const ATTEMPTS_MAX: usize = 100;
    let table = model.table("retry", keys::RETRY);
    let default = RetryPolicy::default();
    let attempts = table.count("attempts", 1..=ATTEMPTS_MAX).and_then(|attempts| u32::try_from(attempts).ok());
    RetryPolicy {
        attempts: attempts.unwrap_or(default.attempts),
        budget_permille: table.permille("budget").unwrap_or(default.budget_permille),
    }
}

/// Reads `hedge`.
pub(super) fn hedge(reading: &Reading<'_>, model: &Table<'_, '_>, targets: &[Target]) -> Option<Hedge> {
    const DEFAULT: Hedge = Hedge { after_percentile: 95, ratio_max_permille: 50 };
    if !model.has("hedge") {
        return None;
    }
    let table = model.table("hedge", keys::HEDGE);
    let after = table.count("after_p", 50..=99).and_then(|percentile| u8::try_from(percentile).ok());
    if targets.len() == 1 {
        reading.warn(&model.spot("hedge"), "has no effect: there is no second target to ask");
    }
    Some(Hedge {
        after_percentile: after.unwrap_or(DEFAULT.after_percentile),
        ratio_max_permille: table.permille("max_ratio").unwrap_or(DEFAULT.ratio_max_permille),
    })
}

/// Reads `timeout`.
pub(super) fn timeouts(model: &Table<'_, '_>) -> Timeouts {
    let table = model.table("timeout", keys::TIMEOUT);
    let default = Timeouts::default();
    let read = |key, default: Duration| table.duration(key).unwrap_or(default);
    Timeouts {
        connect: read("connect", default.connect),
        first_token: read("first_token", default.first_token),
        idle: read("idle", default.idle),
        total: read("total", default.total),
    }
}
