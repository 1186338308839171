//! Limits and keys.

use super::{Toml, literal, share, show_duration, texts};
use crate::config::limits::show_offset;
use crate::config::resolve::keys;
use crate::config::{Dimension, Key, Limit, OnExceed, Selector, Unit, Window};

pub(super) fn limit(out: &mut Toml, limit: &Limit) {
    out.header("[[limits]]");
    out.text("name", &limit.name);
    match limit.when.is_empty() {
        true => out.none("when"),
        false => out.raw("when", &when(&limit.when)),
    }
    out.text("scope", "local");
    lines(limit, &[]).for_each(|(key, value)| match value {
        Some(value) => out.raw(key, &value),
        None => out.none(key),
    });
}

pub(super) fn key(out: &mut Toml, key: &Key) {
    out.header("[[keys]]");
    out.text("digest", &key.digest.to_string());
    out.text("name", &key.name);
    for (name, value) in [("team", &key.team), ("app", &key.app), ("user", &key.user)] {
        match value {
            Some(value) => out.text(name, value),
            None => out.none(name),
        }
    }
    match key.expires {
        // TOML knows no year above 9999, and a key that old no reader.
        Some(expires) => out.raw("expires", &humantime::format_rfc3339_seconds(expires).to_string()),
        None => out.none("expires"),
    }
    match key.models.is_empty() {
        true => out.none("models"),
        false => out.raw("models", &texts(&key.models)),
    }
    match &key.limit {
        Some(limit) => {
            let entries: Vec<_> = lines(limit, &[Dimension::Key]).filter_map(|(key, value)| Some(format!("{key} = {}", value?))).collect();
            out.raw("limits", &format!("{{ {} }}", entries.join(", ")));
        }
        None => out.none("limits"),
    }
}

/// What a limit has wherever it stands, without the dimensions that are `implied` there.
fn lines<'l>(limit: &'l Limit, implied: &'l [Dimension]) -> impl Iterator<Item = (&'static str, Option<String>)> + 'l {
    keys::OWN_LIMIT.iter().map(|key| (*key, value(limit, key, implied)))
}

fn value(limit: &Limit, key: &str, implied: &[Dimension]) -> Option<String> {
    let most = &limit.most;
    if let Some((unit, span)) = Window::kinds().find(|(unit, span)| Window::key(*unit, *span) == key) {
        let shown = |most: u64| match unit {
            Unit::Usd => crate::base::money::NanoUsd(most).to_string(),
            Unit::Tokens => most.to_string(),
        };
        return most.window(unit, span).map(shown);
    }
    match (key, &limit.on_exceed) {
        ("per", _) => {
            let per: Vec<_> = limit.per.iter().filter(|of| !implied.contains(of)).map(|of| of.label().to_owned()).collect();
            Some(texts(&per))
        }
        ("requests_per_minute", _) => most.requests_per_minute.map(|most| most.to_string()),
        ("tokens_per_minute", _) => most.tokens_per_minute.map(|most| most.to_string()),
        ("max_concurrent", _) => most.concurrent.map(|most| most.to_string()),
        ("time_zone", _) if most.windows.is_empty() => None,
        ("time_zone", _) => Some(literal(&show_offset(limit.offset_seconds))),
        ("on_exceed", then) => Some(literal(then.label())),
        ("queue_timeout", OnExceed::Queue { timeout, .. }) => Some(literal(&show_duration(*timeout))),
        ("queue_max", OnExceed::Queue { length_max, .. }) => Some(length_max.to_string()),
        ("degrade_to", OnExceed::Degrade { to }) => Some(literal(to)),
        ("on_overrun", _) => Some(literal(limit.on_overrun.label())),
        ("assume_output_tokens", _) => limit.assumed_output_tokens.map(|tokens| tokens.to_string()),
        ("warn_at", _) => Some(format!("[{}]", limit.warn_permille.iter().map(|each| share(*each)).collect::<Vec<_>>().join(", "))),
        _ => None,
    }
}

fn when(selectors: &[Selector]) -> String {
    let entry = |selector: &Selector| match selector.patterns.as_slice() {
        [one] => format!("{} = {}", selector.of.label(), literal(one)),
        several => format!("{} = {}", selector.of.label(), texts(several)),
    };
    format!("{{ {} }}", selectors.iter().map(entry).collect::<Vec<_>>().join(", "))
}
