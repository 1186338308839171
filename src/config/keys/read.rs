//! Reads outrider keys.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toml::value::{Datetime, Offset, Time};

use super::{Digest, KEY_PREFIX, Key};
use crate::config::file::{Reading, Table, Text};
use crate::config::limits::{self, is_plain};
use crate::config::resolve::keys::{KEY, OWN_LIMIT};
use crate::config::{Dimension, Model};

/// Names and digests that are taken, with the place that took them.
type Taken = Vec<(String, String)>;

/// Reads `[[keys]]`.
pub(in super::super) fn keys(reading: &Reading<'_>, root: &Table<'_, '_>, models: &[Arc<Model>]) -> Vec<Arc<Key>> {
    let (mut names, mut digests) = (Taken::new(), Taken::new());
    let tables = root.tables("keys", KEY).unwrap_or_default();
    tables.iter().filter_map(|table| key(reading, table, models, &mut names, &mut digests)).map(Arc::new).collect()
}

fn key(reading: &Reading<'_>, table: &Table<'_, '_>, models: &[Arc<Model>], names: &mut Taken, digests: &mut Taken) -> Option<Key> {
    let digest = digest(reading, table, digests);
    let name = name(reading, table, digest.as_ref(), names);
    let text = |key| table.name(key).map(|text| text.value);
    let (team, app, user) = (text("team"), text("app"), text("user"));
    let expires = table.instant("expires").and_then(|text| reading.accept(&text.at, instant(&text.value)));
    let allowed = table.names("models").unwrap_or_default();
    if table.is_empty_array("models") {
        reading.fault(&table.spot("models"), "is empty: the key would allow nothing (leave it out to allow all)");
    }
    let limit = table.has("limits").then(|| {
        let own = table.table("limits", OWN_LIMIT);
        let name = format!("key:{}", name.as_deref().unwrap_or_default());
        Arc::new(limits::own(reading, &own, models, name, vec![Dimension::Key]))
    });
    let models = allowed.into_iter().map(|text| text.value).collect();
    Some(Key { digest: digest?, name: name?, team, app, user, expires, models, limit })
}

fn digest(reading: &Reading<'_>, table: &Table<'_, '_>, taken: &mut Taken) -> Option<Digest> {
    if !table.has("digest") {
        reading.fault(&table.spot("digest"), "is missing (\"sha256:\" and 64 hex digits, as `outrider key new` prints them)");
        return None;
    }
    let text = table.name("digest")?;
    let digest = reading.accept(&text.at, parse(&text))?;
    take(reading, &text, digest.to_string(), "digest", taken, &table.at.key);
    Some(digest)
}

/// The text is not told: somebody may have written the key itself.
fn parse(text: &Text) -> Result<Digest, String> {
    if text.value.starts_with(KEY_PREFIX) {
        return Err(
            "is a key, not its digest: whoever reads this file could use it (`outrider key new` prints the digest of a new one)".into()
        );
    }
    let hex = text.value.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
    let digits: Option<Vec<u8>> =
        hex.map(|hex| hex.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect()).unwrap_or_default();
    let digits = digits.ok_or("expected \"sha256:\" and 64 hex digits, as `outrider key new` prints them")?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
    }
    Ok(Digest(digest))
}

fn name(reading: &Reading<'_>, table: &Table<'_, '_>, digest: Option<&Digest>, taken: &mut Taken) -> Option<String> {
    let Some(text) = table.name("name") else {
        // The name was wrong, and has its fault.
        if table.has("name") {
            return None;
        }
        return digest.map(Digest::name);
    };
    if !is_plain(&text.value) {
        reading.fault(&text.at, "a key's name has letters, digits, \"-\", \"_\" and \".\", at most 64 (it is a label of accounts)");
        return None;
    }
    take(reading, &text, text.value.clone(), "name", taken, &table.at.key);
    Some(text.value)
}

fn take(reading: &Reading<'_>, text: &Text, value: String, what: &str, taken: &mut Taken, place: &str) {
    match taken.iter().find(|(earlier, _)| *earlier == value) {
        Some((_, earlier)) => reading.fault(&text.at, format!("{earlier} has this {what} already")),
        None => taken.push((value, place.to_owned())),
    }
}

/// An instant: a date alone is its beginning in UTC.
pub(super) fn instant(text: &str) -> Result<SystemTime, String> {
    let example = "write it as 2027-01-31, which is its beginning in UTC, or as 2027-01-31T12:00:00Z";
    let read: Datetime = text.trim().parse().map_err(|_| format!("{text:?} is not a date ({example})"))?;
    let Some(date) = read.date else { return Err(format!("{text:?} lacks a date ({example})")) };
    let seconds = match (read.time, read.offset) {
        (None, _) => 0,
        (Some(_), None) => return Err(format!("{text:?} lacks its offset from UTC ({example})")),
        (Some(time), Some(offset)) => of_day(time) - of_offset(offset),
    };
    let seconds = days(date.year.into(), date.month.into(), date.day.into()) * 86_400 + seconds;
    let seconds = u64::try_from(seconds).map_err(|_| format!("{text:?} is before 1970"))?;
    Ok(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn of_day(time: Time) -> i64 {
    i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0))
}

fn of_offset(offset: Offset) -> i64 {
    match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes) * 60,
    }
}

/// Days from the Unix epoch to a date: Howard Hinnant, "chrono-compatible low-level date algorithms".
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}
