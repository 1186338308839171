//! `outrider usage`: spend and tokens from this sidecar's own journal.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use super::{ConfigFile, Exit, reject, written};
use crate::config::{Config, Outside};
use crate::journal::usage::{self, Column};

/// What of the journal to show, and how.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// The journal's directory, instead of the configuration's [state] dir
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    dir: Option<PathBuf>,
    /// What to group by, separated by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', default_value = "model")]
    by: Vec<Column>,
    /// From when on: a time ago, as 7d or 12h, or a date, as 2026-11-01 or 2026-11-01T12:00:00Z, UTC [default: everything]
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// How to show a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns and a sum.
    Table,
    /// An array of objects.
    Json,
    /// Comma-separated values with a header.
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Ago(Duration),
    At(SystemTime),
}

impl ValueEnum for Column {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.label()))
    }
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Since::Ago(ago));
    }
    let at = if text.len() == "2026-11-01".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    humantime::parse_rfc3339_weak(&at).map(Since::At).map_err(|_| "expected a time ago, as 7d or 12h, or a date, as 2026-11-01".into())
}

/// Shows the usage on `out`; what is wrong, or worth knowing beside it, goes to `err`.
pub fn usage(asked: &Usage, outside: &Outside<'_>, now: SystemTime, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let dir = match &asked.dir {
        Some(dir) => dir.clone(),
        None => match Config::load(asked.config.config.as_deref(), outside) {
            Err(rejected) => return written(reject(&rejected, err), Exit::Failed),
            Ok(loaded) => match loaded.config.bootstrap.state.dir {
                Some(dir) => dir,
                None => {
                    let file = loaded.file.map_or("zero-config".into(), |file| file.display().to_string());
                    let text = "no [state] dir: nothing is kept (set it in the configuration, or name a journal by --dir)";
                    return written(writeln!(err, "outrider: {file}: {text}"), Exit::Failed);
                }
            },
        },
    };
    let since = match asked.since {
        None => UNIX_EPOCH,
        Some(Since::At(at)) => at,
        Some(Since::Ago(ago)) => now.checked_sub(ago).unwrap_or(UNIX_EPOCH),
    };
    let mut by = Vec::new();
    for column in &asked.by {
        if !by.contains(column) {
            by.push(*column);
        }
    }
    let report = match usage::read(&dir, &by, since) {
        Ok(report) => report,
        Err(cause) => return written(writeln!(err, "outrider: cannot read the journal in {}: {cause}", dir.display()), Exit::Failed),
    };
    let mut remarks = Vec::new();
    if report.open > 0 {
        remarks.push(format!("{} exchanges are under way and not counted yet", report.open));
    }
    if report.damaged > 0 {
        remarks.push(format!("{} damaged files; what can be read of them is counted", report.damaged));
    }
    let text = match asked.format {
        Format::Table => report.table(),
        Format::Json => report.json(),
        Format::Csv => report.csv(),
    };
    let told = remarks.iter().try_for_each(|remark| writeln!(err, "outrider: {remark}"));
    written(told.and_then(|()| out.write_all(text.as_bytes())), Exit::Done)
}
