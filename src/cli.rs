//! The command line of the sidecar: what was asked for, and the commands that need no server.
//!
//! Results go to stdout and logs to stderr. The exit code is 0 for done, 1 for failed, 2 for wrong usage.

mod explain;
mod key;
mod usage;

pub use key::{NewKey, entropy, new_key};
pub use usage::{Usage, usage};

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub use explain::{Asked, explain};

use crate::config::{Config, Finding, Outside, Rejected, render};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked: 0.
    Done,
    /// It failed: 1.
    Failed,
    /// It was asked wrongly: 2.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
        })
    }
}

/// A command line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// How to log.
    pub log: Log,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the sidecar.
    Run {
        /// The configuration's file, where one was named.
        config: Option<PathBuf>,
    },
    /// Check a configuration.
    Check {
        /// The configuration's file.
        file: PathBuf,
    },
    /// Print the effective configuration.
    PrintConfig {
        /// The configuration's file, where one was named.
        config: Option<PathBuf>,
    },
    /// Explain what would happen to a request.
    Explain {
        /// The configuration's file, where one was named.
        config: Option<PathBuf>,
        /// The request, but for its body.
        asked: Asked,
    },
    /// Show spend and tokens.
    Usage(Usage),
    /// Make an outrider key.
    NewKey(NewKey),
}

/// How to log.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The form of the log on stderr [default: human on a terminal, json otherwise]
    #[arg(long = "log-format", global = true, value_name = "FORMAT")]
    pub format: Option<LogFormat>,
    /// The least severity that is logged
    #[arg(long = "log-level", global = true, value_name = "LEVEL", default_value = "info")]
    pub level: LogLevel,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// A JSON object a line, for machines.
    Json,
}

/// The least severity that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What needs attention.
    Warn,
    /// What happens: one line for each exchange.
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

#[derive(Parser)]
#[command(name = "outrider", version, about = "An AI gateway that rides beside each service", long_about = None)]
#[command(after_help = "\
Examples:
  outrider                           run with sidecar.toml, or with the API keys in the environment
  outrider -c sidecar.toml           run with this configuration
  outrider check sidecar.toml        say what is wrong with a configuration
  outrider print-config              show what counts, with every default
  outrider explain < request.json    show what would happen to a request, and why
  outrider usage --by team,model     show spend and tokens
  outrider key new --app ranker      make a key for an app
  outrider run --help                say more about a command

Exit codes: 0 done, 1 failed, 2 wrong usage.")]
struct Line {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    log: Log,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct ConfigFile {
    /// The configuration [default: $OUTRIDER_CONFIG, else ./sidecar.toml, else the API keys in the environment]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Sub {
    /// Run the sidecar (also without this word)
    #[command(after_help = "\
Examples:
  outrider run
  outrider run -c sidecar.toml
  OPENAI_API_KEY=sk-… outrider run
  OUTRIDER_CONFIG=/etc/outrider/sidecar.toml outrider run --log-format json")]
    Run(ConfigFile),
    /// Check a configuration: print each fault as FILE:LINE:COL: KEY.PATH: what is wrong
    #[command(after_help = "\
Examples:
  outrider check sidecar.toml
  outrider check sidecar.toml && outrider -c sidecar.toml")]
    Check {
        /// The configuration
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the effective configuration, with every default and without secrets
    #[command(after_help = "\
Examples:
  outrider print-config
  outrider print-config -c sidecar.toml")]
    PrintConfig(ConfigFile),
    /// Print, as JSON, what would happen to the request on stdin and why; nothing is sent
    #[command(after_help = "\
Examples:
  outrider explain -c sidecar.toml < request.json
  outrider explain --header 'x-outrider-user: alice' < request.json
  outrider explain --path /v1beta/models/fast:generateContent < request.json
  echo '{\"model\": \"echo/echo\", \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}' | outrider explain")]
    Explain {
        #[command(flatten)]
        config: ConfigFile,
        /// A header of the request; may be given several times
        #[arg(long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
        /// The path of the request [default: /v1/chat/completions, /v1/responses or /v1/messages, by what the body looks like]
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
    },
    /// Show spend and tokens from this sidecar's own journal, also while it runs
    #[command(after_help = "\
Examples:
  outrider usage
  outrider usage --by team,model --since 7d
  outrider usage --by day --since 2026-11-01 --format csv
  outrider usage -c sidecar.toml --by user,status --format json
  outrider usage --dir /var/lib/outrider --by provider

A stretch of time in which --since lies counts whole: minutes, and for what is older hours or days.

Exit codes: 0 done, 1 failed, 2 wrong usage.")]
    Usage(Usage),
    /// Make outrider keys, which tell apps behind one listener apart
    #[command(subcommand_required = true, arg_required_else_help = true)]
    #[command(after_help = "\
Examples:
  outrider key new --team search --app ranker")]
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make a key: shown once, with the TOML that holds its digest
    #[command(after_help = "\
Examples:
  outrider key new --team search --app ranker
  outrider key new --name ci --models fast,gpt-4.1-mini --expires 2027-01-31")]
    New(NewKey),
}

/// Understands a command line, the program's name first. The error may also be the text of `--help` or `--version`:
/// [`refuse`] writes it.
pub fn parse<A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> Result<Invocation, clap::Error> {
    let Line { config: ConfigFile { config: outer }, log, command } = Line::try_parse_from(arguments)?;
    let command = match command {
        None => Command::Run { config: outer },
        Some(Sub::Run(file)) => Command::Run { config: file.config.or(outer) },
        Some(Sub::Explain { config, headers, path }) => {
            Command::Explain { config: config.config.or(outer), asked: Asked { path, headers } }
        }
        Some(Sub::Usage(mut asked)) => {
            asked.config.config = asked.config.config.or(outer);
            Command::Usage(asked)
        }
        Some(Sub::PrintConfig(file)) => Command::PrintConfig { config: file.config.or(outer) },
        Some(Sub::Check { .. }) if outer.is_some() => {
            let text = "check takes its FILE without -c: outrider check FILE";
            return Err(Line::command().error(ErrorKind::ArgumentConflict, text));
        }
        Some(Sub::Check { file }) => Command::Check { file },
        Some(Sub::Key { command: KeyCommand::New(key) }) => Command::NewKey(key),
    };
    Ok(Invocation { command, log })
}

/// Writes the error of [`parse`]: help and version to `out`, a mistake to `err`.
pub fn refuse(error: &clap::Error, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let text = error.render();
    if error.use_stderr() { written(write!(err, "{text}"), Exit::Usage) } else { written(write!(out, "{text}"), Exit::Done) }
}

/// `outrider check FILE`: one line for each fault and warning, or that all is well.
pub fn check(file: &Path, outside: &Outside<'_>, out: &mut dyn Write) -> Exit {
    match Config::load(Some(file), outside) {
        Ok(loaded) => written(warn(&loaded.warnings, out).and_then(|()| writeln!(out, "{}: ok", file.display())), Exit::Done),
        Err(rejected) => written(reject(&rejected, out), Exit::Failed),
    }
}

/// `outrider print-config [-c FILE]`: the effective configuration on `out`; what is wrong with it on `err`.
pub fn print_config(config: Option<&Path>, outside: &Outside<'_>, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    match Config::load(config, outside) {
        Ok(loaded) => written(warn(&loaded.warnings, err).and_then(|()| write!(out, "{}", render(&loaded.config))), Exit::Done),
        Err(rejected) => written(reject(&rejected, err), Exit::Failed),
    }
}

fn reject(rejected: &Rejected, out: &mut dyn Write) -> io::Result<()> {
    for fault in &rejected.faults {
        writeln!(out, "{fault}")?;
    }
    warn(&rejected.warnings, out)
}

fn warn(warnings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    for warning in warnings {
        let Finding { file, line, column, key, text } = warning;
        writeln!(out, "{file}:{line}:{column}: {key}: warning: {text}")?;
    }
    Ok(())
}

/// The exit after writing: what nobody could read was not done.
fn written(result: io::Result<()>, exit: Exit) -> Exit {
    if result.is_ok() { exit } else { Exit::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: Outside<'static> = Outside { env: &|_| None, read: &read };

    fn read(path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("good.toml") => Ok("[providers.o]\nkind = \"openai\"\n".into()),
            Some("bad.toml") => Ok("[providers.o]\nkind = \"opnai\"\nx = 1\n".into()),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "No such file or directory")),
        }
    }

    fn command(line: &str) -> Option<Command> {
        parse(line.split(' ')).ok().map(|invocation| invocation.command)
    }

    #[test]
    fn run_is_what_is_meant_without_a_command() {
        let file = Some(PathBuf::from("f"));
        assert_eq!(command("outrider"), Some(Command::Run { config: None }));
        for line in
            ["outrider -c f", "outrider run -c f", "outrider --config f", "outrider -c f run", "outrider --log-level debug run -c f"]
        {
            assert_eq!(command(line), Some(Command::Run { config: file.clone() }), "{line}");
        }
        assert_eq!(command("outrider print-config -c f"), Some(Command::PrintConfig { config: file }));
        assert_eq!(command("outrider check f"), Some(Command::Check { file: "f".into() }));
    }

    #[test]
    fn the_log_may_be_chosen_before_and_after_the_command() {
        for line in ["outrider --log-format json --log-level warn run", "outrider run --log-level warn --log-format json"] {
            let log = parse(line.split(' ')).unwrap().log;
            assert_eq!(log, Log { format: Some(LogFormat::Json), level: LogLevel::Warn });
        }
        assert_eq!(parse(["outrider"]).unwrap().log, Log { format: None, level: LogLevel::Info });
    }

    #[test]
    fn wrong_usage_is_2_and_goes_to_stderr_while_help_is_0_and_goes_to_stdout() {
        for line in [
            "outrider chek f",
            "outrider check",
            "outrider check -c f",
            "outrider -c f check f",
            "outrider --log-level loud",
            "outrider run x",
            "outrider usage --by colour",
            "outrider usage --since yesterday",
            "outrider usage --format xml",
            "outrider usage -c f --dir d",
        ] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            assert_eq!(refuse(&parse(line.split(' ')).unwrap_err(), &mut out, &mut err), Exit::Usage, "{line}");
            assert!(out.is_empty() && !err.is_empty(), "{line}");
        }
        for command in ["", " run", " check", " print-config", " explain", " usage", " key", " key new"] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let line = format!("outrider{command} --help");
            assert_eq!(refuse(&parse(line.split(' ')).unwrap_err(), &mut out, &mut err), Exit::Done, "{line}");
            assert!(String::from_utf8(out).unwrap().contains("Examples:") && err.is_empty(), "{line}");
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(refuse(&parse(["outrider", "--version"]).unwrap_err(), &mut out, &mut err), Exit::Done);
        assert_eq!(String::from_utf8(out).unwrap(), concat!("outrider ", env!("CARGO_PKG_VERSION"), "\n"));
    }

    #[test]
    fn check_prints_faults_or_that_all_is_well() {
        let run = |file: &str| {
            let mut out = Vec::new();
            let exit = check(Path::new(file), &OUTSIDE, &mut out);
            (exit, String::from_utf8(out).unwrap())
        };
        let (exit, out) = run("good.toml");
        assert_eq!(exit, Exit::Done);
        let warning = "requests go out without a credential (did you mean api_key = \"env:OPENAI_API_KEY\"?)";
        assert_eq!(out, format!("good.toml:1:12: providers.o.api_key: warning: is missing: {warning}\ngood.toml: ok\n"));
        let (exit, out) = run("bad.toml");
        assert_eq!(exit, Exit::Failed);
        assert_eq!(
            out.lines().map(|line| line.split(" (").next().unwrap()).collect::<Vec<_>>(),
            ["bad.toml:2:8: providers.o.kind: no kind named \"opnai\"", "bad.toml:3:1: providers.o.x: unknown key"]
        );
        let (exit, out) = run("none.toml");
        assert_eq!(exit, Exit::Failed);
        assert!(out.starts_with("none.toml:1:1: file: cannot read the file none.toml: No such file"), "{out}");
    }

    #[test]
    fn print_config_keeps_results_and_complaints_apart() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(print_config(None, &OUTSIDE, &mut out, &mut err), Exit::Done);
        assert!(String::from_utf8(out).unwrap().contains("[providers.echo]") && err.is_empty());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(print_config(Some(Path::new("bad.toml")), &OUTSIDE, &mut out, &mut err), Exit::Failed);
        assert!(out.is_empty() && !err.is_empty());
    }

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }
}
