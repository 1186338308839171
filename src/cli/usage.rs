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
    // The log's format has this id already.
    #[arg(id = "report-format", long = "format", value_name = "FORMAT", default_value = "table")]
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::base::money::NanoUsd;
    use crate::base::rng::RootRng;
    use crate::cli::{Command, parse};
    use crate::config::State;
    use crate::journal::{Charge, Dims, Journal, StatusClass};

    fn run(line: &str, read: &dyn Fn(&Path) -> io::Result<String>, now: SystemTime) -> (Exit, String, String) {
        let Command::Usage(asked) = parse(line.split(' ')).unwrap().command else { panic!("{line}") };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = usage(&asked, &Outside { env: &|_| None, read }, now, &mut out, &mut err);
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn it_shows_what_a_running_journal_has_and_says_what_is_wrong() {
        let dir = std::env::temp_dir().join(format!("outrider-usage-{}", std::process::id()));
        let at = |hours: u64| UNIX_EPOCH + Duration::from_secs(1_790_000_000 + hours * 3600);
        let journal = Journal::still(&State { dir: Some(dir.clone()), ..State::default() }, at(0), &RootRng::seeded(1));
        let mut rng = RootRng::seeded(2).fork();
        for (hours, team, model, cost) in [(0, "a", "m", 10), (0, "b", "m", 500_000_000), (200, "a", "n", 3)] {
            let charge = Charge { status: StatusClass::Success, cost: NanoUsd(cost), ..Charge::default() };
            journal.settle(rng.exchange_id(), at(hours), &Dims { team, model, ..Dims::default() }, &charge);
        }
        let config = format!("[state]\ndir = {:?}\n[providers.echo]\nkind = \"echo\"\n", dir.to_str().unwrap());
        let read = |path: &Path| match path.to_str() {
            Some("f") => Ok(config.clone()),
            Some("bare") => Ok("[providers.echo]\nkind = \"echo\"\n".into()),
            Some("bad") => Ok("[state]\nwhere = 1\n".into()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let (exit, out, err) = run("outrider usage -c f --by team,model,team --format csv", &read, at(201));
        assert_eq!((exit, err.as_str()), (Exit::Done, ""));
        let names: Vec<_> = out.lines().map(|line| line.split(',').take(3).collect::<Vec<_>>().join(",")).collect();
        assert_eq!(names, ["team,model,requests", "b,m,1", "a,m,1", "a,n,1"]);
        for since in ["7d", "2026-09-28", "2026-09-28T00:00:00Z"] {
            let (_, out, _) = run(&format!("outrider -c f usage --since {since} --format json"), &read, at(201));
            assert!(out.contains("\"model\": \"n\"") && !out.contains("\"m\""), "{since}: {out}");
        }
        let (exit, out, _) = run(&format!("outrider usage --dir {}", dir.display()), &read, at(201));
        assert!(exit == Exit::Done && out.lines().count() == 4 && out.contains("0.500000"), "{out}");
        drop(journal);
        std::fs::remove_dir_all(&dir).unwrap();
        for (line, why) in [
            ("outrider usage -c f", "cannot read the journal in"),
            ("outrider usage -c bare", "outrider: bare: no [state] dir: nothing is kept"),
            ("outrider usage -c bad", "bad:2:1: state.where: unknown key"),
        ] {
            let (exit, out, err) = run(line, &read, at(201));
            assert!(exit == Exit::Failed && out.is_empty() && err.contains(why), "{line}: {err}");
        }
    }
}
