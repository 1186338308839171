//! `[state]`: what is kept on disk.

use std::path::PathBuf;
use std::time::Duration;

use super::file::{Reading, Table};
use super::render::Toml;
use super::values::{show_duration, show_size};

/// The keys of the table.
pub(super) const KEYS: &[&str] = &["dir", "max_bytes", "sync", "on_full"];

/// What is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where. `None`: nowhere, so that a restart forgets what was spent.
    pub dir: Option<PathBuf>,
    /// The most that the usage journal takes there, in bytes.
    pub max_bytes: usize,
    /// When what was written is forced to the disk.
    pub sync: Sync,
    /// What happens to requests while the journal cannot be written.
    pub on_full: OnFull,
}

/// When what was written is forced to the disk. What was written survives the process's end either way; this is about
/// the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// So often, in the background.
    Every(Duration),
    /// At once: each request waits for the disk, twice.
    Always,
}

/// What happens to requests while the journal cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// They are served, and counted in memory.
    Admit,
    /// They are refused.
    Deny,
}

impl Default for State {
    fn default() -> Self {
        Self { dir: None, max_bytes: 256 << 20, sync: Sync::Every(Duration::from_millis(200)), on_full: OnFull::Admit }
    }
}

/// Less does not hold two segments and their sum.
const MAX_BYTES_MIN: usize = 16 << 20;
const SYNC_MIN: Duration = Duration::from_millis(10);
const SYNC_MAX: Duration = Duration::from_secs(60);

pub(super) fn read(reading: &Reading<'_>, root: &Table<'_, '_>) -> State {
    let table = root.table("state", KEYS);
    let default = State::default();
    State {
        dir: table.name("dir").map(|text| PathBuf::from(text.value)),
        max_bytes: table.size("max_bytes", MAX_BYTES_MIN).unwrap_or(default.max_bytes),
        sync: sync(reading, &table).unwrap_or(default.sync),
        on_full: on_full(reading, &table).unwrap_or(default.on_full),
    }
}

fn sync(reading: &Reading<'_>, table: &Table<'_, '_>) -> Option<Sync> {
    let text = table.text("sync")?;
    if text.value == "always" {
        return Some(Sync::Always);
    }
    let expected = || format!("{:?}: expected \"always\", or a duration from \"10ms\" to \"1m\"", text.value);
    let every = humantime::parse_duration(&text.value).ok().filter(|every| (SYNC_MIN..=SYNC_MAX).contains(every));
    reading.accept(&text.at, every.map(Sync::Every).ok_or_else(expected))
}

fn on_full(reading: &Reading<'_>, table: &Table<'_, '_>) -> Option<OnFull> {
    let text = table.text("on_full")?;
    let found = match text.value.as_str() {
        "admit" => Ok(OnFull::Admit),
        "deny" => Ok(OnFull::Deny),
        other => Err(format!("{other:?}: expected \"admit\" (requests are served, and counted in memory) or \"deny\" (they are refused)")),
    };
    reading.accept(&text.at, found)
}

pub(super) fn show(out: &mut Toml, state: &State) {
    out.header("[state]");
    match &state.dir {
        Some(dir) => out.text("dir", &dir.display().to_string()),
        None => out.none("dir"),
    }
    out.text("max_bytes", &show_size(state.max_bytes));
    match state.sync {
        Sync::Every(every) => out.text("sync", &show_duration(every)),
        Sync::Always => out.text("sync", "always"),
    }
    out.text(
        "on_full",
        match state.on_full {
            OnFull::Admit => "admit",
            OnFull::Deny => "deny",
        },
    );
}
