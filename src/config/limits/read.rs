//! Reads limits.

use std::sync::Arc;
use std::time::Duration;

use super::{Dimension, Limit, Most, OnExceed, OnOverrun, Selector, Window};
use crate::base::money::NanoUsd;
use crate::config::Model;
use crate::config::file::{Reading, Table, Text};
use crate::config::locate::did_you_mean;
use crate::config::resolve::keys;

/// More limits cost time with each request.
const LIMITS_MAX: usize = 256;

/// No model writes more.
const ASSUMED_MAX: usize = 100_000_000;

/// More than so many are noise.
const THRESHOLDS_MAX: usize = 7;

const DIMENSIONS: [&str; 8] = ["team", "app", "user", "key", "model", "provider", "tag", "operation"];

/// Names of limits that are taken, each with the place that took it.
type Taken = Vec<(String, String)>;

/// Reads `[[limits]]`.
pub(in super::super) fn limits(reading: &Reading<'_>, root: &Table<'_, '_>, models: &[Arc<Model>]) -> Vec<Arc<Limit>> {
    let mut taken = Taken::new();
    let tables = root.tables("limits", keys::LIMITS).unwrap_or_default();
    if let Some(table) = tables.get(LIMITS_MAX) {
        reading
            .fault(&table.at, format!("there are more than {LIMITS_MAX} limits (let one count apart what several do: per = [\"team\"])"));
    }
    tables.iter().filter_map(|table| limit(reading, table, models, &mut taken)).collect()
}

fn limit(reading: &Reading<'_>, table: &Table<'_, '_>, models: &[Arc<Model>], taken: &mut Taken) -> Option<Arc<Limit>> {
    let name = name(reading, table, taken);
    let when = when(reading, table);
    scope(reading, table);
    let rest = own(reading, table, models, String::new(), Vec::new());
    Some(Arc::new(Limit { name: name?, when, ..rest }))
}

/// Reads the keys that a limit has wherever it stands; `implied` is counted apart in any case.
pub(in super::super) fn own(
    reading: &Reading<'_>,
    table: &Table<'_, '_>,
    models: &[Arc<Model>],
    name: String,
    implied: Vec<Dimension>,
) -> Limit {
    let mut per = implied;
    for text in table.names("per").unwrap_or_default() {
        match dimension(reading, &text) {
            Some(dimension) if per.contains(&dimension) => reading.fault(&text.at, format!("{:?} is there already", text.value)),
            dimension => per.extend(dimension),
        }
    }
    let most = most(reading, table);
    let (on_exceed, on_overrun) = (on_exceed(reading, table, models), on_overrun(reading, table));
    if on_overrun == OnOverrun::Cut && most.tokens_per_minute.is_none() && most.windows.is_empty() {
        reading.warn(&table.spot("on_overrun"), "has no effect: no tokens and no money are bounded, which a stream could outrun");
    }
    let offset_seconds = offset(reading, table).unwrap_or_default();
    if table.has("time_zone") && most.windows.is_empty() {
        reading.warn(&table.spot("time_zone"), "has no effect: nothing is bounded by the hour, the day or the month");
    }
    let assumed_output_tokens = table.count("assume_output_tokens", 1..=ASSUMED_MAX).map(|tokens| tokens as u64);
    if assumed_output_tokens.is_some() && most.tokens_per_minute.is_none() && most.windows.is_empty() {
        reading.warn(&table.spot("assume_output_tokens"), "has no effect: no tokens and no money are bounded");
    }
    let warn_permille = thresholds(reading, table);
    Limit { name, per, when: Vec::new(), most, offset_seconds, on_exceed, on_overrun, assumed_output_tokens, warn_permille }
}

fn name(reading: &Reading<'_>, table: &Table<'_, '_>, taken: &mut Taken) -> Option<String> {
    if !table.has("name") {
        reading.fault(&table.spot("name"), "is missing (what callers and metrics are told, as \"team-budget\")");
        return None;
    }
    let name = table.name("name")?;
    if !is_plain(&name.value) {
        reading.fault(&name.at, "a limit's name has letters, digits, \"-\", \"_\" and \".\", at most 64 (it is a label of metrics)");
        return None;
    }
    match taken.iter().find(|(earlier, _)| *earlier == name.value) {
        Some((_, earlier)) => {
            reading.fault(&name.at, format!("{earlier} has the name {:?} already (names are unique)", name.value));
            return None;
        }
        None => taken.push((name.value.clone(), table.at.key.clone())),
    }
    Some(name.value)
}

/// Whether a name may be a label.
pub(in super::super) fn is_plain(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn dimension(reading: &Reading<'_>, text: &Text) -> Option<Dimension> {
    let found = Dimension::ALL.into_iter().find(|dimension| dimension.label() == text.value);
    if found.is_none() {
        let meant = did_you_mean(&text.value, DIMENSIONS);
        reading.fault(&text.at, format!("nothing is told apart by {:?}{meant}: expected any of {}", text.value, DIMENSIONS.join(", ")));
    }
    found
}

fn when(reading: &Reading<'_>, table: &Table<'_, '_>) -> Vec<Selector> {
    let when = table.table("when", &DIMENSIONS);
    let selector = |of: Dimension| {
        let patterns = when.name_or_names(of.label())?;
        if patterns.is_empty() {
            reading.fault(&when.spot(of.label()), "is empty: the limit would never apply (leave it out to apply to all)");
        }
        if of == Dimension::Operation {
            operations(reading, &patterns);
        }
        Some(Selector { of, patterns: patterns.into_iter().map(|text| text.value).collect() })
    };
    Dimension::ALL.into_iter().filter_map(selector).collect()
}

fn operations(reading: &Reading<'_>, patterns: &[Text]) {
    const WORDS: [&str; 5] = ["chat", "embeddings", "count_tokens", "models", "opaque"];
    for text in patterns {
        if !WORDS.iter().any(|word| super::matches(&text.value, word)) {
            let meant = did_you_mean(&text.value, WORDS);
            reading.fault(&text.at, format!("no operation is {:?}{meant}: expected one of {}", text.value, WORDS.join(", ")));
        }
    }
}

fn scope(reading: &Reading<'_>, table: &Table<'_, '_>) {
    let Some(text) = table.text("scope") else { return };
    match text.value.as_str() {
        "local" => {}
        "global" => reading.fault(
            &text.at,
            "\"global\" needs a control plane, which this version has none of: write \"local\", which counts in this process alone",
        ),
        other => reading.fault(&text.at, format!("expected \"local\", found {other:?}")),
    }
}

fn most(reading: &Reading<'_>, table: &Table<'_, '_>) -> Most {
    // Sums of so much stay exact whatever is under way.
    const COUNT_MAX: usize = 1 << 50;
    const CONCURRENT_MAX: usize = 1_000_000;
    let count = |key: &str, most: usize| table.count(key, 0..=most).map(|count| count as u64);
    let window = |(unit, span)| {
        let key = Window::key(unit, span);
        let most = match unit {
            super::Unit::Usd => table.decimal(key).and_then(|text| reading.accept(&text.at, usd(&text.value)))?.0,
            super::Unit::Tokens => count(key, COUNT_MAX)?,
        };
        Some(Window { unit, span, most })
    };
    let most = Most {
        requests_per_minute: count("requests_per_minute", COUNT_MAX),
        tokens_per_minute: count("tokens_per_minute", COUNT_MAX),
        concurrent: count("max_concurrent", CONCURRENT_MAX),
        windows: Window::kinds().filter_map(window).collect(),
    };
    if !keys::MOST.iter().any(|key| table.has(key)) {
        reading.fault(&table.at, format!("bounds nothing: expected one or more of {}", keys::MOST.join(", ")));
    }
    most
}

/// Reads a decimal number of dollars, exactly.
fn usd(text: &str) -> Result<NanoUsd, String> {
    const LARGEST: u64 = 1_000_000;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(format!("{text:?} is not an amount in USD, as 50.0"));
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err(format!("{text} is finer than a billionth of a dollar"));
    }
    let nanos = format!("{whole}{fraction:0<9}").parse::<u64>().ok().filter(|nanos| *nanos <= LARGEST * 1_000_000_000);
    nanos.map(NanoUsd).ok_or_else(|| format!("{text} is more than a million dollars"))
}

fn on_exceed(reading: &Reading<'_>, table: &Table<'_, '_>, models: &[Arc<Model>]) -> OnExceed {
    const WORDS: [&str; 3] = ["reject", "queue", "degrade"];
    const LENGTH_MAX: usize = 1_000_000;
    let text = table.text("on_exceed");
    let word = text.as_ref().map_or("reject", |text| text.value.as_str());
    for (key, needed) in [("queue_timeout", "queue"), ("queue_max", "queue"), ("degrade_to", "degrade")] {
        if table.has(key) && word != needed && WORDS.contains(&word) {
            reading.fault(&table.spot(key), format!("has a meaning for on_exceed = {needed:?} only"));
        }
    }
    match word {
        "reject" => OnExceed::Reject,
        "queue" => OnExceed::Queue {
            timeout: table.duration("queue_timeout").unwrap_or(Duration::from_secs(10)),
            length_max: table.count("queue_max", 1..=LENGTH_MAX).unwrap_or(100),
        },
        "degrade" => degrade(reading, table, models),
        other => {
            if let Some(text) = &text {
                let meant = did_you_mean(other, WORDS);
                reading.fault(&text.at, format!("expected one of {}, found {other:?}{meant}", WORDS.join(", ")));
            }
            OnExceed::Reject
        }
    }
}

fn degrade(reading: &Reading<'_>, table: &Table<'_, '_>, models: &[Arc<Model>]) -> OnExceed {
    if !table.has("degrade_to") {
        reading.fault(&table.spot("degrade_to"), "is missing: the alias that serves what does not fit, as \"cheap\"");
        return OnExceed::Reject;
    }
    let Some(to) = table.name("degrade_to") else { return OnExceed::Reject };
    if !models.iter().any(|model| model.name == to.value) {
        let meant = did_you_mean(&to.value, models.iter().map(|model| model.name.as_str()));
        reading.fault(&to.at, format!("no alias named {:?}{meant}: expected the name of a [[models]] entry", to.value));
    }
    OnExceed::Degrade { to: to.value }
}

fn on_overrun(reading: &Reading<'_>, table: &Table<'_, '_>) -> OnOverrun {
    let Some(text) = table.text("on_overrun") else { return OnOverrun::default() };
    match text.value.as_str() {
        "finish" => OnOverrun::Finish,
        "cut" => OnOverrun::Cut,
        other => {
            let meant = did_you_mean(other, ["finish", "cut"]);
            reading.fault(&text.at, format!("expected \"finish\" or \"cut\", found {other:?}{meant}"));
            OnOverrun::default()
        }
    }
}

/// Seconds east of UTC.
fn offset(reading: &Reading<'_>, table: &Table<'_, '_>) -> Option<i32> {
    let text = table.text("time_zone")?;
    let sound = || {
        if text.value == "UTC" || text.value == "Z" {
            return Some(0);
        }
        let (sign, digits) = match text.value.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        let (hours, minutes) = digits.split_once(':')?;
        let number = |text: &str, most: i32| {
            let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i32>().ok().filter(|number| two && *number <= most)
        };
        Some(sign * (number(hours, 14)? * 3600 + number(minutes, 59)? * 60))
    };
    let offset = sound();
    if offset.is_none() {
        let hint = "an offset from UTC, as \"+02:00\"; names of zones are not known here, since their summer times change";
        reading.fault(&text.at, format!("expected {hint}, found {:?}", text.value));
    }
    offset
}

/// An offset as [`offset`] reads it.
pub(in super::super) fn show_offset(seconds: i32) -> String {
    let (sign, seconds) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
    format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60)
}

fn thresholds(reading: &Reading<'_>, table: &Table<'_, '_>) -> Vec<u32> {
    const DEFAULT: u32 = 800;
    let Some(mut shares) = table.permilles("warn_at") else { return vec![DEFAULT] };
    let at = table.spot("warn_at");
    if shares.contains(&0) {
        reading.fault(&at, "warns at nothing: expected shares above 0, as [0.8]");
    }
    if shares.len() > THRESHOLDS_MAX {
        reading.fault(&at, format!("has more than {THRESHOLDS_MAX} shares"));
    }
    shares.sort_unstable();
    shares.dedup();
    shares
}
