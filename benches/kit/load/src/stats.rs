//! What was measured.

use std::cell::{Cell, RefCell};
use std::error::Error;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The counts and the times of a run. Times are nanoseconds.
pub struct Stats {
    /// Answers with status 200.
    pub ok: Cell<u64>,
    /// Answers with another status.
    pub not_ok: Cell<u64>,
    /// Exchanges that broke off.
    pub broken: Cell<u64>,
    /// Requests that were sent after they were due.
    pub late: Cell<u64>,
    /// Events with a stamp.
    pub chunks: Cell<u64>,
    /// Streams that said they were complete.
    pub complete: Cell<u64>,
    /// Streams open now: the first event is there, the last is not.
    pub open: Cell<u64>,
    /// The most streams that were open at once.
    pub most_open: Cell<u64>,
    /// How long the run took.
    pub wall: Cell<u64>,
    /// From sending a request, or from when it was due, to the end of its answer.
    pub latency: Times,
    /// From sending a request to the first event of its stream.
    pub first: Times,
    /// From the making of an event to its arrival.
    pub delay: Times,
    /// How the first answer began.
    pub sample: RefCell<String>,
}

impl Stats {
    /// Nothing measured yet.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            ok: Cell::new(0),
            not_ok: Cell::new(0),
            broken: Cell::new(0),
            late: Cell::new(0),
            chunks: Cell::new(0),
            complete: Cell::new(0),
            open: Cell::new(0),
            most_open: Cell::new(0),
            wall: Cell::new(0),
            latency: Times::new()?,
            first: Times::new()?,
            delay: Times::new()?,
            sample: RefCell::default(),
        })
    }

    /// Keeps the start of an answer, if it is the first: the runner looks whether it is one at all.
    pub fn sample(&self, answer: &[u8]) {
        let mut sample = self.sample.borrow_mut();
        if sample.is_empty() {
            *sample = String::from_utf8_lossy(&answer[..answer.len().min(400)]).into_owned();
        }
    }

    /// A stream's first event has come.
    pub fn opened(&self) {
        add(&self.open);
        self.most_open.set(self.most_open.get().max(self.open.get()));
    }

    /// A stream that was open has ended.
    pub fn closed(&self) {
        self.open.set(self.open.get() - 1);
    }

    /// Everything, times in microseconds.
    pub fn report(&self) -> Value {
        json!({
            "ok": self.ok.get(), "not_ok": self.not_ok.get(), "broken": self.broken.get(), "late": self.late.get(),
            "chunks": self.chunks.get(), "complete": self.complete.get(), "most_open": self.most_open.get(),
            "wall_s": self.wall.get() as f64 / 1e9,
            "latency_us": self.latency.report(), "first_us": self.first.report(), "delay_us": self.delay.report(),
            "sample": *self.sample.borrow(),
        })
    }
}

/// Adds one.
pub fn add(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// A histogram from 1 ns to 2 minutes, at three digits.
pub struct Times(RefCell<Histogram<u64>>);

impl Times {
    fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self(RefCell::new(Histogram::new_with_bounds(1, 120_000_000_000, 3)?)))
    }

    /// Notes a time in nanoseconds.
    pub fn note(&self, nanoseconds: u64) {
        self.0.borrow_mut().saturating_record(nanoseconds.max(1));
    }

    fn report(&self) -> Value {
        let times = self.0.borrow();
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        json!({"n": times.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": times.max() as f64 / 1e3})
    }
}
