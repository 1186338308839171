//! What answers cost: worked examples, providers' own bills, the two lists, and laws.

mod bills;
mod laws;
mod sources;
mod worked;

use std::time::SystemTime;

use crate::config::catalog::{self, price::Tariff};

/// A Wednesday's noon: outside of DeepSeek's dear hours.
const NOON: &str = "2026-11-25T12:00:00Z";

fn on(time: &str) -> SystemTime {
    humantime::parse_rfc3339(time).unwrap()
}

fn tariff(kind: &str, model: &str) -> Tariff {
    Tariff::new(&catalog::facts(kind, model).prices)
}

/// The recorded exchanges, where they are.
fn given() -> Option<std::path::PathBuf> {
    Some(shared()?.join("given")).filter(|folder| folder.is_dir())
}

/// What is read in place beside the repository.
fn shared() -> Option<std::path::PathBuf> {
    let told = std::env::var_os("OUTRIDER_CORPUS");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    Some(told.map_or_else(|| root.join("../shared/traffic"), Into::into)).filter(|folder: &std::path::PathBuf| folder.is_dir())
}
