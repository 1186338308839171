//! What an operator sees: one log line and a few counters for each exchange.

mod log;
mod metrics;
mod record;

pub use log::{LogFormat, Logs, init_logs};
pub use metrics::{ExchangeMeters, JournalMeters, Meters};
pub use record::{Ending, Failure, Failures, Record, Sinks};
