//! Logs on stderr: one line each, human or JSON, handed to a thread of their own.
//!
//! A worker never waits for the log's reader: lines go to a bounded buffer, and a thread writes it out. When the
//! reader stalls and the buffer is full, lines are dropped and counted, and traffic goes on.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::base::clock::{SystemClock, WallClock};
use crate::base::json;

/// What a full buffer holds: some thousands of lines.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(50);

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For eyes on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

/// The running log; flushed when dropped.
pub struct Logs {
    buffer: Arc<Buffer>,
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.buffer.write_out();
    }
}

/// Sends this process's logs to stderr. To be called once, from `main`.
pub fn init_logs(format: LogFormat, level: Level) -> Logs {
    let buffer = Arc::new(Buffer::default());
    let writing = Arc::clone(&buffer);
    // A thread, not a task: stderr may block, and the workers must not.
    let spawned = std::thread::Builder::new().name("log".into()).stack_size(64 << 10).spawn(move || writing.run());
    let direct = spawned.is_err();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(BufferWriter { buffer: Arc::clone(&buffer), direct })
        .event_format(Lines { format })
        .finish();
    // Only a second call can fail, and then the first subscriber goes on.
    let _first_one_stays = tracing::subscriber::set_global_default(subscriber);
    Logs { buffer }
}

#[derive(Default)]
struct Buffer {
    lines: Mutex<Lost>,
    filled: Condvar,
    /// Held while writing, so that lines of two flushes do not mix.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Lost {
    bytes: Vec<u8>,
    dropped: u64,
}

impl Buffer {
    fn lines(&self) -> MutexGuard<'_, Lost> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut lines = self.lines();
        if lines.bytes.len() + line.len() > BUFFER_BYTES_MAX {
            lines.dropped += 1;
            return;
        }
        let wake = lines.bytes.is_empty();
        lines.bytes.extend_from_slice(line);
        drop(lines);
        if wake {
            self.filled.notify_one();
        }
    }

    fn run(&self) {
        loop {
            let mut lines = self.lines();
            while lines.bytes.is_empty() {
                lines = self.filled.wait(lines).unwrap_or_else(PoisonError::into_inner);
            }
            drop(lines);
            std::thread::sleep(GATHER);
            self.write_out();
        }
    }

    fn write_out(&self) {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Lost { mut bytes, dropped } = std::mem::take(&mut *self.lines());
        if dropped > 0 {
            bytes.extend_from_slice(
                format!("{{\"level\":\"WARN\",\"message\":\"{dropped} log lines were dropped: stderr was not read\"}}\n").as_bytes(),
            );
        }
        // Nobody is left to tell when stderr is closed.
        let _nobody_to_tell = std::io::stderr().lock().write_all(&bytes);
    }
}

#[derive(Clone)]
struct BufferWriter {
    buffer: Arc<Buffer>,
    direct: bool,
}

impl std::io::Write for BufferWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.buffer.add(line);
        if self.direct {
            self.buffer.write_out();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for BufferWriter {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// Writes one event as one line.
struct Lines {
    format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::with_capacity(512);
        let stamp = humantime::format_rfc3339_millis(SystemClock.now());
        let level = event.metadata().level();
        match self.format {
            LogFormat::Json => {
                write!(line, "{{\"time\":\"{stamp}\",\"level\":\"{level}\"")?;
                event.record(&mut JsonFields { line: &mut line });
                line.push_str("}\n");
            }
            LogFormat::Human => {
                write!(line, "{stamp} {level:>5}")?;
                event.record(&mut HumanFields { line: &mut line });
                line.push('\n');
            }
        }
        writer.write_str(&line)
    }
}

struct JsonFields<'l> {
    line: &'l mut String,
}

impl JsonFields<'_> {
    fn key(&mut self, field: &Field) {
        self.line.push_str(",\"");
        self.line.push_str(field.name());
        self.line.push_str("\":");
    }

    fn string(&mut self, field: &Field, text: &str) {
        self.key(field);
        if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
            self.line.push('"');
            self.line.push_str(text);
            self.line.push('"');
            return;
        }
        let mut literal = Vec::with_capacity(text.len() + 2);
        json::write_string(text, &mut literal);
        self.line.push_str(&String::from_utf8_lossy(&literal));
    }
}

impl Visit for JsonFields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field);
        self.line.push_str(itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field);
        self.line.push_str(itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field);
        self.line.push_str(if value { "true" } else { "false" });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.string(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.string(field, &format!("{value:?}"));
    }
}

struct HumanFields<'l> {
    line: &'l mut String,
}

impl Visit for HumanFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _infallible = match field.name() {
            "message" => write!(self.line, " {value:?}"),
            name => write!(self.line, " {name}={value:?}"),
        };
    }
}
