//! The sidecar.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use outrider::base::clock::{SystemClock, WallClock};
use outrider::cli::{self, Command, Exit};
use outrider::config::Outside;
use outrider::run::{self, RunError};
use outrider::telemetry::{LogFormat, init_logs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut stdout = std::io::stdout();
    let mut stderr = std::io::stderr();
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(refused) => return cli::refuse(&refused, &mut stdout, &mut stderr).into(),
    };
    let exit = match invocation.command {
        Command::Check { file } => cli::check(&file, &Outside::process(), &mut stdout),
        Command::Usage(asked) => cli::usage(&asked, &Outside::process(), SystemClock.now(), &mut stdout, &mut stderr),
        Command::PrintConfig { config } => cli::print_config(config.as_deref(), &Outside::process(), &mut stdout, &mut stderr),
        Command::Explain { config, asked } => {
            cli::explain(config.as_deref(), &asked, &Outside::process(), &mut std::io::stdin().lock(), &mut stdout, &mut stderr)
        }
        Command::NewKey(key) => cli::new_key(&key, cli::entropy, &mut stdout, &mut stderr),
        Command::Run { config } => {
            let human = std::io::stderr().is_terminal();
            let format = match invocation.log.format {
                Some(cli::LogFormat::Human) => LogFormat::Human,
                Some(cli::LogFormat::Json) => LogFormat::Json,
                None if human => LogFormat::Human,
                None => LogFormat::Json,
            };
            let logs = init_logs(format, level(invocation.log.level));
            let ran = run::run(config.as_deref(), |what, place| {
                // A reader that has gone away does not stop the sidecar.
                let _nobody_reads = writeln!(std::io::stdout(), "listening {what} {place}");
            });
            drop(logs);
            match ran {
                Ok(()) => Exit::Done,
                Err(error) => {
                    let lead = if matches!(error, RunError::Config(_)) { "" } else { "outrider: " };
                    let _nobody_reads = writeln!(stderr, "{lead}{error}");
                    Exit::Failed
                }
            }
        }
    };
    exit.into()
}

fn level(level: cli::LogLevel) -> tracing::Level {
    match level {
        cli::LogLevel::Error => tracing::Level::ERROR,
        cli::LogLevel::Warn => tracing::Level::WARN,
        cli::LogLevel::Info => tracing::Level::INFO,
        cli::LogLevel::Debug => tracing::Level::DEBUG,
        cli::LogLevel::Trace => tracing::Level::TRACE,
    }
}
