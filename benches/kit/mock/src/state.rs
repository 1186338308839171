//! What the mock is told, and what it has counted.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bytes::Bytes;

use crate::{Api, answer};

/// The settings and the counts, shared by all connections of the one thread.
pub struct State {
    /// How many events with text a stream has.
    pub chunks: Cell<usize>,
    /// The pause before each of them but the first.
    pub gap: Cell<Duration>,
    whole: RefCell<Whole>,
    chat: Cell<u64>,
    messages: Cell<u64>,
    open: Cell<u64>,
    most_open: Cell<u64>,
}

/// The answers that are not streamed, made once for each size.
struct Whole {
    openai: Bytes,
    anthropic: Bytes,
}

impl Whole {
    fn of_size(bytes: usize) -> Self {
        Self { openai: answer::openai(bytes), anthropic: answer::anthropic(bytes) }
    }
}

impl State {
    /// Answers of 1 KiB, streams of 100 events 10 ms apart.
    pub fn new() -> Self {
        Self {
            chunks: Cell::new(100),
            gap: Cell::new(Duration::from_millis(10)),
            whole: RefCell::new(Whole::of_size(1024)),
            chat: Cell::new(0),
            messages: Cell::new(0),
            open: Cell::new(0),
            most_open: Cell::new(0),
        }
    }

    /// Notes a request.
    pub fn count(&self, api: Api) {
        let counter = match api {
            Api::OpenAi => &self.chat,
            Api::Anthropic => &self.messages,
        };
        counter.set(counter.get() + 1);
    }

    /// Notes a stream that begins.
    pub fn opened(&self) {
        self.open.set(self.open.get() + 1);
        self.most_open.set(self.most_open.get().max(self.open.get()));
    }

    /// Notes a stream that ends, or that the client left.
    pub fn closed(&self) {
        self.open.set(self.open.get() - 1);
    }

    /// The answer to a request that is not streamed.
    pub fn whole(&self, api: Api) -> Bytes {
        let whole = self.whole.borrow();
        match api {
            Api::OpenAi => whole.openai.clone(),
            Api::Anthropic => whole.anthropic.clone(),
        }
    }

    /// `/__config?k=v&…` sets, `/__reset` sets the counts to nought, and any control path answers with the counts.
    pub fn control(&self, path: &str, query: &str) -> Bytes {
        match path {
            "/__config" => query.split('&').filter_map(|pair| pair.split_once('=')).for_each(|(key, value)| self.set(key, value)),
            "/__reset" => self.reset(),
            _ => {}
        }
        Bytes::from(format!(
            "{{\"chat\":{},\"messages\":{},\"open\":{},\"most_open\":{}}}\n",
            self.chat.get(),
            self.messages.get(),
            self.open.get(),
            self.most_open.get()
        ))
    }

    fn set(&self, key: &str, value: &str) {
        match (key, value.parse::<usize>()) {
            ("body", Ok(bytes)) => *self.whole.borrow_mut() = Whole::of_size(bytes),
            ("chunks", Ok(count)) => self.chunks.set(count),
            ("gap_ms", Ok(pause)) => self.gap.set(Duration::from_millis(pause as u64)),
            _ => eprintln!("mock: {key}={value}: expected body=, chunks= or gap_ms= with a whole number"),
        }
    }

    fn reset(&self) {
        self.chat.set(0);
        self.messages.set(0);
        self.most_open.set(self.open.get());
    }
}
