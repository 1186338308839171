//! What the journal tells, asked as an operator does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder, gone with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        Self::within(Path::new(env!("CARGO_TARGET_TMPDIR")), name)
    }

    pub fn within(root: &Path, name: &str) -> Self {
        let path = root.join(format!("{name}-{}", std::process::id()));
        let _leftover = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A row of `outrider usage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub requests: u64,
    pub errors: u64,
    pub estimated: u64,
    pub input: u64,
    pub output: u64,
    pub nanos: u64,
}

/// A report, by its first column, and what it says beside.
pub struct Books {
    pub rows: HashMap<String, Row>,
    pub remarks: String,
}

impl Books {
    pub fn of(dir: &Path, by: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outrider"));
        let output = command.args(["usage", "--by", by, "--format", "json", "--since", "7d", "--dir"]).arg(dir).output().unwrap();
        let remarks = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{remarks}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let row = |row: &serde_json::Value| {
            let count = |name: &str| row[name].as_u64().unwrap_or_else(|| panic!("{name}: {row}"));
            let read = Row {
                requests: count("requests"),
                errors: count("errors"),
                estimated: count("estimated"),
                input: count("input_tokens"),
                output: count("output_tokens"),
                nanos: (row["cost_usd"].as_f64().unwrap() * 1e9).round() as u64,
            };
            (row[by].as_str().unwrap().to_owned(), read)
        };
        Self { rows: report.as_array().unwrap().iter().map(row).collect(), remarks }
    }

    /// The row of a request's own tag.
    pub fn of_number(&self, number: u64) -> Row {
        self.rows.get(&tag(number)).copied().unwrap_or_default()
    }

    /// All rows together.
    pub fn total(&self) -> Row {
        self.rows.values().fold(Row::default(), |sum, row| Row {
            requests: sum.requests + row.requests,
            errors: sum.errors + row.errors,
            estimated: sum.estimated + row.estimated,
            input: sum.input + row.input,
            output: sum.output + row.output,
            nanos: sum.nanos + row.nanos,
        })
    }
}

/// The label under which a request is accounted.
pub fn tag(number: u64) -> String {
    format!("t{number}")
}
