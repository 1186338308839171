//! Spend and tokens of a journal, grouped; while its writer runs, too.

use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::counters::Counters;
use super::folder::{self, Replay, Verdict};
use super::recovered::Spent;
use crate::base::json;
use crate::base::money::NanoUsd;

/// What usage can be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// The team.
    Team,
    /// The app.
    App,
    /// The end user's hash.
    User,
    /// The outrider key's id.
    Key,
    /// The model as callers ask for it.
    Alias,
    /// The provider.
    Provider,
    /// The provider's model.
    Model,
    /// The status class.
    Status,
    /// What the cache did.
    Cache,
    /// The caller's label.
    Tag,
    /// The revision of the prices.
    Prices,
    /// The hour, UTC. What is older than some weeks is kept by the day.
    Hour,
    /// The day, UTC.
    Day,
    /// The month, UTC.
    Month,
}

impl Column {
    /// Every column.
    pub const ALL: [Self; 14] = [
        Self::Team,
        Self::App,
        Self::User,
        Self::Key,
        Self::Alias,
        Self::Provider,
        Self::Model,
        Self::Status,
        Self::Cache,
        Self::Tag,
        Self::Prices,
        Self::Hour,
        Self::Day,
        Self::Month,
    ];

    /// Its name, as it is asked for and shown.
    pub fn label(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::App => "app",
            Self::User => "user",
            Self::Key => "key",
            Self::Alias => "alias",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Status => "status",
            Self::Cache => "cache",
            Self::Tag => "tag",
            Self::Prices => "prices",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    fn of(self, spent: &Spent<'_>) -> String {
        let dims = &spent.dims;
        let time = |digits: usize| {
            let text = humantime::format_rfc3339_seconds(spent.start).to_string();
            text.get(..digits).unwrap_or_default().to_owned()
        };
        match self {
            Self::Team => dims.team.to_owned(),
            Self::App => dims.app.to_owned(),
            Self::User => dims.user.map(|user| user.to_string()).unwrap_or_default(),
            Self::Key => dims.key.to_owned(),
            Self::Alias => dims.alias.to_owned(),
            Self::Provider => dims.provider.to_owned(),
            Self::Model => dims.model.to_owned(),
            Self::Status => spent.status.label().to_owned(),
            Self::Cache => spent.cache.label().to_owned(),
            Self::Tag => dims.tag.to_owned(),
            Self::Prices => format!("{:016x}", dims.price_revision),
            Self::Hour => time("2026-11-25T07".len()),
            Self::Day => time("2026-11-25".len()),
            Self::Month => time("2026-11".len()),
        }
    }

    fn is_time(self) -> bool {
        matches!(self, Self::Hour | Self::Day | Self::Month)
    }
}

/// Usage, grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the rows are grouped by.
    pub by: Vec<Column>,
    /// The groups: what is grouped by time in its order, else the dearest first.
    pub rows: Vec<Row>,
    /// Exchanges under way, or, where their process is gone, not yet settled. Not in the rows.
    pub open: u64,
    /// Files that were damaged: what could be read of them is in the rows.
    pub damaged: u64,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its names, in the order of [`Report::by`].
    pub names: Vec<String>,
    /// Its sums.
    pub counters: Counters,
}

/// Reads the journal in `dir`. A stretch of time in which `since` lies counts whole.
///
/// # Errors
/// The directory or a file cannot be read.
pub fn read(dir: &Path, by: &[Column], since: SystemTime) -> io::Result<Report> {
    let Replay { mut sums, files } = folder::replay(dir, None)?;
    sums.fold();
    let mut groups: HashMap<Vec<String>, Counters> = HashMap::new();
    for spent in sums.since(since) {
        let names = by.iter().map(|column| column.of(&spent)).collect();
        groups.entry(names).or_default().add(&spent.counters);
    }
    let mut rows: Vec<_> = groups.into_iter().map(|(names, counters)| Row { names, counters }).collect();
    let in_time = by.iter().any(|column| column.is_time());
    rows.sort_by(|a, b| {
        let dearest = b.counters.cost.cmp(&a.counters.cost);
        if in_time { a.names.cmp(&b.names) } else { dearest.then_with(|| a.names.cmp(&b.names)) }
    });
    let damaged = files.iter().filter(|file| file.verdict == Verdict::Damaged || file.name.corrupt).count() as u64;
    Ok(Report { by: by.to_vec(), rows, open: sums.open.len() as u64, damaged })
}

/// A number of a row: its name, and how it is shown.
type Number = (&'static str, fn(&Counters) -> String);

/// The numbers of each row, by their names in JSON and CSV.
const NUMBERS: [Number; 12] = [
    ("requests", |sum| sum.requests.to_string()),
    ("errors", |sum| sum.errors.to_string()),
    ("estimated", |sum| sum.estimated.to_string()),
    ("input_tokens", |sum| sum.input_tokens.to_string()),
    ("cached_tokens", |sum| sum.cached_tokens.to_string()),
    ("cache_write_tokens", |sum| sum.cache_write_tokens.to_string()),
    ("output_tokens", |sum| sum.output_tokens.to_string()),
    ("reasoning_tokens", |sum| sum.reasoning_tokens.to_string()),
    ("cost_usd", |sum| sum.cost.to_string()),
    ("cost_estimated_usd", |sum| sum.cost_estimated.to_string()),
    ("mean_duration_ms", |sum| mean_ms(sum.duration_us, sum.requests)),
    ("mean_first_token_ms", |sum| mean_ms(sum.first_token_us, sum.first_tokens)),
];

/// The columns of the table, with their numbers.
const TABLE: [Number; 9] = [
    ("requests", |sum| sum.requests.to_string()),
    ("errors", |sum| sum.errors.to_string()),
    ("input", |sum| sum.input_tokens.to_string()),
    ("cached", |sum| sum.cached_tokens.to_string()),
    ("cache writes", |sum| sum.cache_write_tokens.to_string()),
    ("output", |sum| sum.output_tokens.to_string()),
    ("reasoning", |sum| sum.reasoning_tokens.to_string()),
    ("USD", |sum| six_places(sum.cost)),
    ("of it estimated", |sum| six_places(sum.cost_estimated)),
];

impl Report {
    /// Aligned columns with a sum, for people.
    pub fn table(&self) -> String {
        let head = self.by.iter().map(|column| column.label()).chain(TABLE.iter().map(|(name, _)| *name)).map(str::to_owned);
        let mut lines: Vec<Vec<String>> = vec![head.collect()];
        let mut total = Counters::default();
        for row in &self.rows {
            total.add(&row.counters);
            let names = row.names.iter().map(|name| if name.is_empty() { "-".to_owned() } else { plain(name) });
            lines.push(names.chain(TABLE.iter().map(|(_, number)| number(&row.counters))).collect());
        }
        if self.rows.len() > 1 {
            let names = (0..self.by.len()).map(|at| if at == 0 { "total" } else { "" }.to_owned());
            lines.push(names.chain(TABLE.iter().map(|(_, number)| number(&total))).collect());
        }
        let width = |at: usize| lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.by.len() + TABLE.len()).map(width).collect();
        let mut out = String::new();
        for line in &lines {
            let mut text = String::new();
            for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (left, right) = if at < self.by.len() { ("", gap.as_str()) } else { (gap.as_str(), "") };
                text += &format!("{}{left}{cell}{right}", if at == 0 { "" } else { "  " });
            }
            out += text.trim_end();
            out.push('\n');
        }
        out
    }

    /// An array of objects, one for each group.
    pub fn json(&self) -> String {
        let mut out = String::from("[");
        for (at, row) in self.rows.iter().enumerate() {
            out += if at == 0 { "\n  {" } else { ",\n  {" };
            for (column, name) in self.by.iter().zip(&row.names) {
                let mut literal = Vec::new();
                json::write_string(name, &mut literal);
                // Writing to a string does not fail.
                let _infallible = write!(out, "\"{}\": {}, ", column.label(), String::from_utf8_lossy(&literal));
            }
            let numbers = NUMBERS.iter().map(|(name, number)| format!("\"{name}\": {}", number(&row.counters)));
            out += &numbers.collect::<Vec<_>>().join(", ");
            out.push('}');
        }
        out += if self.rows.is_empty() { "]\n" } else { "\n]\n" };
        out
    }

    /// Comma-separated values with a header, as RFC 4180 has them.
    pub fn csv(&self) -> String {
        let head = self.by.iter().map(|column| column.label()).chain(NUMBERS.iter().map(|(name, _)| *name));
        let mut out = head.collect::<Vec<_>>().join(",") + "\r\n";
        for row in &self.rows {
            let names = row.names.iter().map(|name| match name.contains([',', '"', '\r', '\n']) {
                true => format!("\"{}\"", name.replace('"', "\"\"")),
                false => name.clone(),
            });
            let cells = names.chain(NUMBERS.iter().map(|(_, number)| number(&row.counters)));
            out += &(cells.collect::<Vec<_>>().join(",") + "\r\n");
        }
        out
    }
}

/// Callers chose these words: nothing of them moves the cursor.
fn plain(name: &str) -> String {
    name.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

fn mean_ms(sum_us: u64, count: u64) -> String {
    (sum_us.saturating_add(count * 500) / 1000).checked_div(count).unwrap_or(0).to_string()
}

/// USD rounded to millionths, so that columns align.
fn six_places(amount: NanoUsd) -> String {
    let micros = amount.0 / 1000 + u64::from(amount.0 % 1000 >= 500);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_aligned_sound_and_exact() {
        let row = |name: &str, requests, cost| Row {
            names: vec![name.into(), "m".into()],
            counters: Counters {
                requests,
                cost: NanoUsd(cost),
                duration_us: 3_500_000,
                first_tokens: 1,
                first_token_us: 1499,
                ..Counters::default()
            },
        };
        let rows = vec![row("a,\"b\"\u{1b}", 12, 1_234_567_899), row("", 2, 1)];
        let report = Report { by: vec![Column::Team, Column::Model], rows, open: 0, damaged: 0 };
        assert_eq!(
            report.table(),
            "team    model  requests  errors  input  cached  cache writes  output  reasoning       USD  of it estimated\n\
             a,\"b\"\u{fffd}  m            12       0      0       0             0       0          0  1.234568         0.000000\n\
             -       m             2       0      0       0             0       0          0  0.000000         0.000000\n\
             total                14       0      0       0             0       0          0  1.234568         0.000000\n"
        );
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json[0]["team"], "a,\"b\"\u{1b}");
        assert_eq!(json[1]["requests"], 2);
        assert_eq!(json[0]["mean_duration_ms"], 292);
        assert!(report.json().contains("\"cost_usd\": 1.234567899,"));
        let csv = report.csv();
        let lines: Vec<_> = csv.split("\r\n").collect();
        assert!(lines[0].starts_with("team,model,requests,errors,estimated,"));
        assert_eq!(lines[1], "\"a,\"\"b\"\"\u{1b}\",m,12,0,0,0,0,0,0,0,1.234567899,0,292,1");
        assert_eq!(Report { rows: vec![], ..report }.json(), "[]\n");
    }
}
